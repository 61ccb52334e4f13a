/* One request and its webhooks of one type: who is asked when, and what comes out. Shared by
 * webhooks.c, round.c and outcome.c. */
#pragma once

#include "kapid/conversion/made-forms.h"
#include "kapid/wait-shares.h"
#include "kapid/webhooks/client.h"
#include "kapid/webhooks/review.h"
#include "kapid/webhooks/webhooks.h"

/* All webhooks of a type, in the order in which they are asked: by the configuration's name, then
 * as it lists them. Counted; immutable. */
struct webhook_list {
        unsigned refs;
        struct webhook_config **configs;
        uint64_t *revisions; /* of the configurations */
        size_t config_count;
        struct webhook **all;
        size_t count;
};
struct webhook_list *webhook_list_ref(struct webhook_list *l);
struct webhook_list *webhook_list_unref(struct webhook_list *l);

struct webhook_figures;
struct webhooks {
        struct api *api;
        struct webhook_clients *clients;
        struct webhook_figures *figures;
        struct cache *caches[WEBHOOK_TYPES];
        struct webhook_list *lists[WEBHOOK_TYPES];
        bool stale[WEBHOOK_TYPES];    /* the list is to be made again */
        uint64_t seen[WEBHOOK_TYPES]; /* the newest configuration that was read, or could not be */
        LIST_HEAD(, round) rounds;
        struct wait_shares *shares; /* a request for each round */
};

/* A webhook of the list that was asked. */
struct probe {
        struct round *round;
        struct webhook *webhook; /* NULL: it is not for the request */
        struct kind *as;         /* the version of the message; a reference */
        struct webhook_place place;
        char uid[37];
        uint64_t began_us;
        size_t size;             /* of the message that is under way; 0: none is */
        json_t *after;           /* mutating: the object as the webhook left it */
        const json_t *converted; /* what is being converted for it, of the round's */
};

struct round {
        LIST_ENTRY(round) entry;
        struct webhooks *hooks;
        struct wait_share *share; /* of the user */
        struct webhooks_question question;
        struct webhook_request facts;
        struct kind *kind;
        struct webhook_equivalents equivalents; /* references */
        struct webhook_list *list;
        struct probe *probes; /* one for each of the list */
        char *namespace, *name;
        json_t *object, *old_object, *options, *user, *labels;
        struct made_forms forms; /* of object and old_object, by a conversion webhook */
        sd_event_source *soon;
        uint64_t deadline_us;
        uint64_t conditions_us; /* that matchConditions took */
        size_t next;            /* of the list: whom to ask */
        unsigned pass;          /* 1: those that are asked again */
        unsigned waiting;
        bool changed, changed_in_pass;
        bool settling; /* the server is at work on what the webhooks of the pass have left */
        struct problem refusal;
        size_t refused_by; /* of the list */
        char **warnings;
};

/* Starts one; it ends itself. */
int round_start(struct round *r);
struct round *round_free(struct round *r);

/* --- outcome.c --- */

enum webhook_result { WEBHOOK_OK, WEBHOOK_DENIED, WEBHOOK_FAILED, WEBHOOK_IGNORED };

int webhook_figures_new(struct webhook_figures **ret, struct metrics *m);
struct webhook_figures *webhook_figures_free(struct webhook_figures *f);
/* Counts, annotates the audit event and logs. why: of a failure. */
void webhook_record(struct probe *probe, enum webhook_result result, bool mutated, const char *why);
/* Shows how many requests wait. */
void webhook_count_waiting(const struct webhooks *h);
/* The refusal of a call that failed. Returns a negative errno. */
int webhook_failed(const struct webhook *w, int error, const char *why, struct problem *p);
/* The answer's annotations go into the audit event, its warnings to the round. */
int webhook_take_notes(struct round *r, const struct webhook_answer *a);
