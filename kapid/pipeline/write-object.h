/* The steps that every new and changed object passes before it is stored. */
#pragma once

#include "kapid/pipeline/write.h"
#include "kapid/webhooks/match.h"

enum object_origin {
        FROM_BODY,   /* the client's object or patch: field ownership is computed here */
        FROM_STATUS, /* the same, but all except the status, and what is below the metadata, is
                        shared with live and does not change (kapid/patch/status.h) */
        FROM_APPLY,  /* apply_run() has computed it */
};

/* For mutating webhooks, or for w->wake(). */
enum { WRITE_ASKS_WEBHOOKS = 1, WRITE_LATER = 2 };

/* Takes the object through the steps (the table in write-object.c) and decides: a new one (live
 * NULL) is stored; a changed one is stored, deleted when nothing holds it any longer, or left when
 * it is equal to the live one. Takes object_taken, also on failure. Refuses with p.
 * WRITE_ASKS_WEBHOOKS: it has come to the mutating webhooks, and w->passage waits for
 * passage_resume(). WRITE_LATER: a step takes more turns of the loop, and passage_continue()
 * follows w->wake(), never called before this has returned. live must stay meanwhile. */
int write_object(struct write *w, const json_t *live, json_t *object_taken,
                enum object_origin origin, struct decision *ret, struct problem *p);

struct passage *passage_free(struct passage *a);
DEFINE_CLEANUP(struct passage *, passage_free);
/* The question to webhooks about the object as it is: borrows from the passage but for *ret_object
 * and *ret_old, new references to what webhooks see of it (a Scale of the subresource scale). */
int passage_facts(const struct passage *a, struct webhook_request *ret, json_t **ret_object,
                json_t **ret_old);
/* The same about an object that has passed all steps. */
int write_facts(struct write *w, const json_t *live, const json_t *object,
                struct webhook_request *ret, json_t **ret_object, json_t **ret_old);
/* Whether mutating policies have changed it. */
bool passage_changed(const struct passage *a);
/* What webhooks have made of it goes through the steps before them again, in place. Refuses.
 * WRITE_LATER: w->wake() is called, and then this again, with the same object. */
int passage_settle(struct passage *a, json_t *object, struct problem *p);
/* The steps after the mutating webhooks, on the object that they left; as write_object(). */
int passage_resume(struct passage *a, const json_t *object, struct problem *p);
/* The steps from the one that took more turns on. */
int passage_continue(struct passage *a, struct problem *p);
