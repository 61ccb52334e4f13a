/* A database of format 1, made by SQL as the kstored of before made it: three commands were applied
 * of those that its log holds, and the log goes further. */
#pragma once

enum {
        FORMAT_1_CLUSTER = 0xc1,
        FORMAT_1_MEMBER = 5,
        FORMAT_1_TERM = 3,
        FORMAT_1_VOTE = 5,
        FORMAT_1_BASE = 2, /* the log begins behind it, in term 1 */
        FORMAT_1_APPLIED = 5,
        FORMAT_1_LAST = 8, /* entries 3 to 8: put first (with the lease), second, first; third,
                            * fourth, fifth are not applied */
        FORMAT_1_LEASE = 70,
        FORMAT_1_ALL_KEYS = 5,
};

void format_1_make(const char *path);
