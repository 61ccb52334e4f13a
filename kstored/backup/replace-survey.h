/* Asks the other members before one of them is replaced. */
#pragma once

#include "kstored/server/join.h"

struct server_options;

struct survey {
        struct tls_files tls_files;
        const struct tls_files *tls; /* NULL: none */
        uint64_t cluster_id;
        struct join_answer newest;    /* the list of members that counts */
        const struct member *self;    /* in it; NULL: it is not one of them */
        bool self_started;            /* it has taken part, or may have */
        char *urls[RAFT_MEMBERS_MAX]; /* where the others answered, borrowed from `answers` */
        struct join_answer *answers;
        size_t count;
        char **known_urls; /* of others, to begin with */
};
void survey_done(struct survey *s);
/* Fills it, waiting a while for the others to agree; an error says why the member can not be
 * replaced now and what to do. */
int survey_others(struct survey *s, const struct server_options *o, struct problem *p);
/* The same later, without comparing their data once more. */
int survey_again(struct survey *s, const struct server_options *o, struct problem *p);
void survey_wait(uint64_t us);
