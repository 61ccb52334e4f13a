/* The user that a GitSync acts as: kgitd itself, or a service account of the GitSync's namespace,
 * by impersonation. Every request that is made for the GitSync goes through its identity's client.
 */
#pragma once

#include "lib/client/api.h"
#include "lib/map.h"

struct identity {
        char *user; /* "" for kgitd itself, else "system:serviceaccount:NS:NAME" */
        struct api_client *client;
};

/* A map of identities, filled by identity_get(). */
struct map *identities_new(void);
/* The identity of a service account, or kgitd's own (service_account NULL or ""). Borrowed from the
 * map; NULL when out of memory. */
struct identity *identity_get(struct map *identities, struct api_client *base, const char *ns,
                const char *service_account);
