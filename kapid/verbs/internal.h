/* The decisions of the writing verbs (write.h has their contract). Pure apart from admission's
 * reading of the caches: they need no store. */
#pragma once

#include "kapid/pipeline/write.h"

/* POST of request->body.object. */
int create_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p);
/* PUT of request->body.object, which may be a subresource's form. */
int put_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p);
/* PATCH with the request's body and patch_type, server-side apply included. */
int patch_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p);
/* DELETE with request->delete_options; deletecollection and eviction use it too. */
int delete_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p);
/* POST of a Binding. */
int binding_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p);
/* An eviction takes one from what the budget allows; w is about the PodDisruptionBudget. */
int budget_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p);
