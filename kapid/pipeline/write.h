/* One optimistic write of one stored object: read it, decide its new state, store that
 * if it is unchanged since; else decide again on the present state.
 *
 *      READ --(cache or store)--> DECIDE --nothing to do--> done
 *        ^                           '--> (charge, in turn) --> (lease) --> TXN --held--> done
 *        '------------- the present state -------------'
 *
 * Between DECIDE and what follows it admission webhooks are asked, and mutating ones within it:
 * decide stops there and is resumed with what they made of the object (write-object.h). That may
 * take seconds, in which the write holds no turn.
 *
 * The first reading comes from the cache, which may be moments old: a refusal found on it is
 * decided again on the store's object; "nothing changed" stands if the store has that revision
 * still. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/pipeline/decision.h"

/* Against other writers of the object; against others that charge the same quotas. */
enum { WRITE_ATTEMPTS_MAX = 8, WRITE_CHARGE_ATTEMPTS_MAX = 200 };

/* The facts of one write, for its decide, admission and its end. All borrowed. */
struct write {
        struct request *request;
        const struct kind *kind;
        const char *namespace; /* "" when the kind has none */
        const char *name;
        struct decision *decision; /* the one being made, for what admission adds (warnings, keys);
                                    * at the end the one that was carried out */
        struct passage *passage;   /* owned; of a decision that waits */
        void (*wake)(struct write *w); /* what the passage waited for (WRITE_LATER) has come */
        struct item *item; /* whose object is live, in the requested version; NULL: there is none */
};

/* live: the stored object, in the requested version (NULL: none; immutable). Fills ret,
 * which is empty and the same as w->decision. Pure apart from reading the caches. May be called
 * several times. Refuses with p. Above 0: write_object() waits, its passage is w->passage. */
typedef int (*write_decide)(
                struct write *w, const json_t *live, struct decision *ret, struct problem *p);
/* The end, once; p NULL: w->decision was carried out (a dry run: would have been). */
typedef void (*write_done)(struct write *w, const struct problem *p);

struct write_options {
        const struct kind *kind; /* NULL: the request's */
        const char *namespace;   /* NULL: the request's; copied */
        const char *name;        /* NULL: the request's; copied */
        bool create;             /* it is expected not to be there: nothing is read first */
        write_decide decide;
        write_done done; /* NULL: write_respond */
};
/* Starts a write; it holds a reference on the request. Out of memory: the request is answered. */
void write_start(struct request *request, const struct write_options *o);
/* The usual end: answers with the object in the form that the client asked for, or the refusal. */
void write_respond(struct write *w, const struct problem *p);
