/* Which member is wrong when members hold different data. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corrupt_answer {
        uint64_t member;
        bool known; /* it has answered, as of the same revision and compaction */
        uint32_t hash;
};

enum corrupt_verdict {
        CORRUPT_NOBODY,  /* those that are known are equal */
        CORRUPT_SOMEONE, /* more than half of all members are equal; `wrong` has those that differ
                          */
        CORRUPT_UNKNOWN, /* they differ, and no side is more than half */
};

/* v: all members of the cluster, whether they answered or not. The one that asks or leads counts as
 * any other. */
enum corrupt_verdict corrupt_judge(const struct corrupt_answer *v, size_t n, bool *ret_wrong);
