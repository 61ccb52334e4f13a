/* kctl version. */
#include "kctl/kctl.h"

#include "config.h"

int kctl_version(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;

        printf("Client Version: v%s\n", PACKAGE_VERSION);
        if (k->flags.client_only)
                return EXIT_OK;
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (api_get(k->client, "/version", &v, &p) < 0)
                return kctl_fail(&p);
        printf("Server Version: %s\n", json_str_or(v, "gitVersion", "?"));
        return EXIT_OK;
}
