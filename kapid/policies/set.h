/* The admission policies of the cluster: compiled as kapid's caches have them, and judging the
 * requests that they are about. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/webhooks/match.h"

struct policy_set;
int policy_set_new(struct policy_set **ret, struct api *a);
struct policy_set *policy_set_free(struct policy_set *h);
DEFINE_CLEANUP(struct policy_set *, policy_set_free);
/* After a change in a cache, any. NULL: everything was reloaded. */
void policy_set_on_change(struct policy_set *h, const struct cache *c);
/* Whether there is any policy in effect at all. h may be NULL. */
bool policy_set_any(const struct policy_set *h);
/* A version of the facts' object or old object that a policy wants and only the conversion webhook
 * of the definition makes, and that facts->forms lacks: 1 with the kind and the object (borrowed);
 * 0: there is none. -ENOMEM. */
int policy_set_lacks_form(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, const struct kind **ret_as,
                const json_t **ret_object);
/* Judges; facts as for webhooks_ask(). Adds warnings; -EACCES with p: it is refused. -ENOMEM. h may
 * be NULL. */
int policy_set_judge(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, char ***warnings, struct problem *p);
