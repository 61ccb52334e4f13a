/* Which name and password a registry gets: the contents of Secrets of the type
 * kubernetes.io/dockerconfigjson, matched as the kubelet does
 * (pkg/credentialprovider/keyring.go). Pure. */
#pragma once

#include "lib/json.h"
#include "lib/vector.h"

struct image_credential {
        char *username, *password; /* of Basic, and for a token service */
        char *identity_token;      /* NULL or an OAuth2 refresh token */
        char *registry_token;      /* NULL or a Bearer token for the registry itself */
};
struct image_credentials {
        struct image_credential *items;
        size_t count, allocated;
};
/* Overwrites the secrets before it frees them. */
void image_credentials_done(struct image_credentials *c);
#define _cleanup_image_credentials_ _cleanup_(image_credentials_done)

/* Those for registry/repository ("docker.io", "library/nginx"), in the order in which they are to
 * be tried: the longest matching key first. sources: an array of the Secrets' documents, each
 * {"auths": {key: {...}}} (also the older .dockercfg form without "auths"), or NULL. A key is a
 * host with an optional scheme, port and path; its host may have '*' within a label
 * ("*.example.com" matches one label). "https://index.docker.io/v1/" is docker.io. Entries that
 * cannot be read are skipped. 0 also when there are none, -ENOMEM. */
int image_credentials_find(const json_t *sources, const char *registry, const char *repository,
                struct image_credentials *ret);
