/* Where a webhook is now: the addresses of its service, from kapid's caches. */
#pragma once

#include "kapid/api.h"
#include "kapid/webhooks/client.h"

/* The next address of the webhook in turn. -ENOENT with a sentence in *ret_why (the caller frees
 * it) when there is none; -ENOMEM. */
int webhook_resolve(struct api *a, struct webhook *w, struct webhook_place *ret, char **ret_why);
/* The "address:port" of the service that the target names, the next one in turn (*turn counts). The
 * same errors. */
int webhook_service_address(struct api *a, const struct webhook_target *t, uint64_t *turn,
                char **ret, char **ret_why);
