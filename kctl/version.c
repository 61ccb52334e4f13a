/* kctl version. */
#include "kctl/kctl.h"

#include "config.h"

/* -o json and yaml: both versions as kubectl has them. */
static int print_versions(struct kctl *k, const json_t *server, struct problem *p) {
        struct kind_ref kind = {{"", "v1", "versions", "Version", false}, "version", NULL};
        _cleanup_json_ json_t *v = json_pack("{s:{s:s}, s:O*}", "clientVersion", "gitVersion",
                        "v" PACKAGE_VERSION, "serverVersion", server);

        return v ? print_object(k, v, &kind, p) : -ENOMEM;
}

int kctl_version(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;

        if (!k->flags.output)
                printf("Client Version: v%s\n", PACKAGE_VERSION);
        if (!k->flags.client_only) {
                if (!kctl_client(k))
                        return EXIT_ERROR;
                if (api_get(k->client, "/version", &v, &p) < 0)
                        return kctl_fail(&p);
        }
        if (k->flags.output)
                return print_versions(k, v, &p) < 0 ? kctl_fail(&p) : EXIT_OK;
        if (v)
                printf("Server Version: %s\n", json_str_or(v, "gitVersion", "?"));
        return EXIT_OK;
}
