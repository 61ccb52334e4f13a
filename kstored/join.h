/* How a member with an empty disk finds out who it is in a cluster that runs. */
#pragma once

#include "kstored/state.h"
#include "lib/tls.h"

struct join_answer {
        uint64_t cluster_id;
        uint64_t config_index;
        struct member *members[RAFT_MEMBERS_MAX];
        size_t count;
        uint64_t heard[HEARD_MAX];
        size_t heard_count;
};

/* Asks the members behind peer URLs, each for at most timeout_ms, until one answers, and gives the
 * cluster as it knows it. patient: also waits for one that does not listen yet. -ENOTCONN when none
 * answers. */
int join_ask(struct join_answer *ret, char **peer_urls, const struct tls_files *tls,
                uint64_t timeout_ms, bool patient, struct problem *p);
/* Whether this member has taken part before: somebody has heard it, or it has said its client URLs,
 * which only itself does. */
bool join_knows(const struct join_answer *a, const struct member *m);
void join_answer_done(struct join_answer *a);
