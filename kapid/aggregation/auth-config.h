/* The ConfigMap kube-system/extension-apiserver-authentication: by what extension servers built on
 * Kubernetes' libraries know kapid's front proxy and its clients. Pure. */
#pragma once

#include "lib/json.h"

struct auth_config {
        const char *client_ca, *front_ca; /* PEM; NULL: there is none */
        char *const *names;
};
/* The data of the ConfigMap. live: what it has, or NULL. Authorities that it has already stay while
 * they are valid: another kapid may have published them, or they are being replaced. NULL in *ret:
 * nothing is to be changed. */
int auth_config_data(const struct auth_config *c, const json_t *live, uint64_t now_s, json_t **ret);
