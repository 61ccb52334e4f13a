/* kctl cluster-info: where the control plane is, and the services that say they belong to it. */
#include "kctl/kctl.h"
#include "lib/object.h"

static void print_place(struct kctl *k, const char *what, const char *url) {
        output_colour(k, "\033[0;32m");
        fputs(what, stdout);
        output_colour(k, "\033[0m");
        fputs(" is running at ", stdout);
        output_colour(k, "\033[0;33m");
        fputs(url, stdout);
        output_colour(k, "\033[0m");
        putchar('\n');
}

int kctl_cluster_info(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *list = NULL;
        _cleanup_free_ char *path = NULL;
        const char *server;
        const json_t *o;
        size_t i;
        int r;

        if (k->words)
                return kctl_usage(k, "cluster-info takes no argument (\"%s\")", k->words[0]);
        if (!kctl_client(k))
                return EXIT_ERROR;
        path = api_path(api_resource(KIND_SERVICES), "kube-system", NULL, NULL,
                        "labelSelector=kubernetes.io%2Fcluster-service%3Dtrue");
        r = path ? api_get(k->client, path, &list, &p) : -ENOMEM;
        if (r < 0)
                return kctl_fail(&p);
        server = api_client_server(k->client);
        print_place(k, "Kubernetes control plane", server);
        json_array_foreach (json_object_get(list, "items"), i, o) {
                const char *name = object_label(o, "kubernetes.io/name");
                const json_t *port = json_array_get(json_at(o, "spec.ports"), 0);
                const char *port_name = json_str_or(port, "name", "");
                bool secure = streq(port_name, "https") || json_int_or(port, "port", 0) == 443;
                _cleanup_free_ char *url = strformat(
                                "%s/api/v1/namespaces/kube-system/services/%s%s%s%s/proxy", server,
                                secure ? "https:" : "", object_name(o),
                                *port_name || secure ? ":" : "", port_name);

                print_place(k, name ? name : object_name(o), strempty(url));
        }
        return EXIT_OK;
}
