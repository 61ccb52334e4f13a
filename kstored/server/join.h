/* How a member with an empty disk learns its identity in a running cluster. */
#pragma once

#include "kstored/state/state.h"
#include "lib/grpc.h"
#include "lib/tls.h"

struct join_answer {
        uint64_t cluster_id;
        uint64_t config_index;
        struct member *members[RAFT_MEMBERS_MAX];
        size_t count;
        uint64_t heard[HEARD_MAX];
        size_t heard_count;
        /* As the one that answered sees it; 0 and false from an older kstored. */
        uint64_t member_id, leader, term;
        int64_t revision;
        bool is_new;
        uint64_t reached[RAFT_MEMBERS_MAX];
        size_t reached_count;
};

struct join_question {
        char *url;
        const char *path;
        const void *data; /* the request's bytes; NULL: an empty one */
        size_t size;
        const struct tls_files *tls;
        uint64_t timeout_ms;
        bool patient; /* also waits for one that does not listen yet */
};

struct join_reply {
        enum grpc_code code;
        char *why; /* in words, when it is not GRPC_OK */
        struct buf bytes;
};

/* One question to one address, on its own event loop: for a program that does nothing else
 * meanwhile. An error only when it could not be asked; the outcome is in the reply. */
int join_call(struct join_reply *ret, const struct join_question *q, struct problem *p);
void join_reply_done(struct join_reply *r);

/* Asks the members behind peer URLs, each for at most timeout_ms, until one answers, and gives the
 * cluster as it knows it. patient: also waits for one that does not listen yet. -ENOTCONN when none
 * answers. */
int join_ask(struct join_answer *ret, char **peer_urls, const struct tls_files *tls,
                uint64_t timeout_ms, bool patient, struct problem *p);
/* Whether this member has taken part before: another member has heard it, or it has published its
 * client URLs, which only itself does. */
bool join_knows(const struct join_answer *a, const struct member *m);
void join_answer_done(struct join_answer *a);
