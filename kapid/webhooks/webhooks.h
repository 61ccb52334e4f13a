/* The webhooks of the cluster: configurations as kapid's caches have them, and asking those that a
 * request is for. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/webhooks/match.h"

enum {
        WEBHOOKS_WRITE_US = 55 * 1000 * 1000, /* a request waits for all its webhooks */
        WEBHOOKS_WAITING_MAX = 2000,          /* requests that wait */
        WEBHOOKS_BYTES_MAX = 64 << 20,        /* of messages; beyond, nobody begins to wait */
};

struct webhooks;
int webhooks_new(struct webhooks **ret, struct api *a);
/* Requests that wait are forgotten without their callbacks. */
struct webhooks *webhooks_free(struct webhooks *h);
DEFINE_CLEANUP(struct webhooks *, webhooks_free);
/* After a change in a cache, any. NULL: everything was reloaded. */
void webhooks_on_change(struct webhooks *h, const struct cache *c);

/* What came out; borrowed. */
struct webhook_outcome {
        int error;         /* 0, or what p says */
        struct problem *p; /* of an error; the receiver may take what is in it */
        json_t *object;    /* after mutating webhooks: what it is now; NULL: there is none */
        bool changed;      /* by one of them */
        char *const *warnings;
};
typedef void (*webhooks_done)(const struct webhook_outcome *outcome, void *userdata);

/* Something takes more than one turn of the loop: func is called once when it is through. */
struct webhooks_later {
        void (*func)(void *userdata);
        void *userdata;
};
struct webhooks_question {
        enum webhook_type type;
        struct request *request;
        const struct webhook_request *facts; /* user, options, namespace_labels and dry_run are
                                              * filled in here; namespace and name are copied, trees
                                              * and kinds referenced */
        bool changed; /* mutating: the object has changed since the client sent it, so that webhooks
                         that want to see that are asked twice */
        /* Mutating: after webhooks have changed the object (it is ours alone), what the server does
         * with it. NULL: nothing. Refuses with p. 1: later is called, and then this again with the
         * same object. */
        int (*settle)(json_t *object, const struct webhooks_later *later, void *userdata,
                        struct problem *p);
        webhooks_done done;
        void *userdata;
};
/* Whether there is any webhook of the type at all. h may be NULL. */
bool webhooks_has(const struct webhooks *h, enum webhook_type type);
/* 1: they are asked, and done is called once, later; 0: nobody is to be asked, done is never
 * called. -EBUSY with p (too many wait), -ENOMEM. h may be NULL. */
int webhooks_ask(struct webhooks *h, const struct webhooks_question *q, struct problem *p);
/* meta.k8s.io/v1 CreateOptions and the like, from the query: a new reference, NULL when out of
 * memory. */
json_t *webhooks_options(const struct request *request, unsigned operation);
