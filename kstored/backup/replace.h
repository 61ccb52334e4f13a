/* kstored --replace: a member whose data are damaged or gone becomes a new member of the same
 * cluster, with the others' data. */
#pragma once

#include "lib/problem.h"

struct server_options;

struct replace_result {
        uint64_t cluster_id;
        uint64_t removed;   /* the member it was; 0: it was removed before */
        uint64_t member_id; /* the one that the next start joins as */
        char *data_dir;
        char *aside; /* where the old data are; NULL: there were none */
};
void replace_result_done(struct replace_result *r);

/* Asks the others, which must have a majority without this member, a leader, and equal data; puts
 * the data directory aside; has the old member removed and a new one added; and prepares the
 * directory so that the next start joins as that one. Run again it continues where it was cut off.
 */
int replace_run(const struct server_options *o, struct replace_result *ret, struct problem *p);
