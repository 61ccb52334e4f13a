/* The admission policies of the cluster: compiled as kapid's caches have them, and judging the
 * requests that they are about. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/webhooks/match.h"

struct policies;
int policies_new(struct policies **ret, struct api *a);
struct policies *policies_free(struct policies *h);
DEFINE_CLEANUP(struct policies *, policies_free);
/* After a change in a cache, any. NULL: everything was reloaded. */
void policies_on_change(struct policies *h, const struct cache *c);
/* Whether there is any policy in effect at all. h may be NULL. */
bool policies_any(const struct policies *h);
/* Judges; facts as for webhooks_ask(). Adds warnings; -EACCES with p: it is refused. -ENOMEM. h may
 * be NULL. */
int policies_judge(struct policies *h, struct request *request,
                const struct webhook_request *facts, char ***warnings, struct problem *p);
