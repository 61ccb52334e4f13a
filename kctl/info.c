/* What the control plane publishes about itself for kctl. */
#include "kctl/info.h"

#include "kctl/control.h"
#include "lib/object.h"

#define INFO "keelson-info"

char *machine_read(struct machine *m, const char *path, struct problem *p) {
        _cleanup_free_ char *command = strformat("cat %s", path);
        _cleanup_buf_ struct buf out = {0};

        if (!command || machine_run(m, command, NULL, 0, 30, &out, p) < 0)
                return NULL;
        return out.data ? buf_take(&out) : strdup("");
}

static char *info_path(const char *query) {
        return api_path(api_resource(KIND_CONFIGMAPS), "kube-system", INFO, NULL, query);
}

int info_publish(struct kctl *k, struct machine *m, const struct cluster_ranges *ranges,
                const char *server, const char *api, struct problem *p) {
        _cleanup_free_ char *path = info_path("fieldManager=kctl&force=true"),
                            *ca = machine_read(m, "/etc/keelson/pki/ca.crt", p),
                            *ssh_key = ca ? machine_read(m, "/etc/keelson/pki/ssh_kapid.pub", p)
                                          : NULL;
        _cleanup_json_ json_t *o = NULL;
        int r = -ENOMEM;

        if (!ssh_key)
                return p->message ? -EIO : -ENOMEM;
        o = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s, s:s*}}", "apiVersion",
                        "v1", "kind", "ConfigMap", "metadata", "name", INFO, "namespace",
                        "kube-system", "data", "ca.crt", ca, "ssh-key", ssh_key, "server", server,
                        "service-cluster-ip-range", ranges->services_text, "cluster-cidr",
                        ranges->pods_text, "api-address", api);
        /* kapid makes the namespace at its first start, a moment after it is ready to answer. */
        for (int i = 0; path && o && i < 50; i++) {
                r = api_patch_request(k->client, path, API_PATCH_APPLY, o, NULL, p);
                if (r != -ENOENT)
                        break;
                usleep(100000);
        }
        return r;
}

int info_publish_address(struct kctl *k, const char *server, const char *api, struct problem *p) {
        _cleanup_free_ char *path = info_path("fieldManager=kctl");
        _cleanup_json_ json_t *patch =
                        json_pack("{s:{s:s, s:s?}}", "data", "server", server, "api-address", api);

        if (!path || !patch)
                return -ENOMEM;
        return api_patch_request(k->client, path, API_PATCH_MERGE, patch, NULL, p);
}

int info_read(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = info_path(NULL);
        _cleanup_json_ json_t *o = NULL;
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r == -ENOENT)
                return problem_set(p, ENOENT, 0, NULL,
                                "this cluster has no ConfigMap kube-system/" INFO
                                ", which `kctl up` makes; run it again");
        if (r < 0)
                return r;
        *ret = json_incref(json_object_get(o, "data"));
        return *ret ? 0
                    : problem_set(p, EINVAL, 0, NULL,
                                      "the ConfigMap kube-system/" INFO
                                      " is empty; run kctl up again");
}

int info_servers(struct kctl *k, char ***ret, struct problem *p) {
        _cleanup_strv_free_ char **urls = NULL, **own = NULL;
        _cleanup_controls_ struct controls c = {0};
        _cleanup_json_ json_t *data = NULL;
        const char *server;
        int r = info_read(k, &data, p);

        if (r < 0)
                return r;
        r = controls_read(k, &c, p);
        if (r < 0)
                return r;
        server = json_string_value(json_object_get(data, "server"));
        if (controls_servers(&c, &own) < 0)
                return -ENOMEM;
        /* It may be of a machine that was removed. */
        if (own && !json_object_get(data, "api-address") && !strv_contains(own, strempty(server)))
                server = NULL;
        if (!isempty(server) && strv_extend(&urls, server) < 0)
                return -ENOMEM;
        for (char **s = own; s && *s; s++)
                if (!streq_ptr(*s, server) && strv_extend(&urls, *s) < 0)
                        return -ENOMEM;
        if (!urls)
                return problem_set(p, EINVAL, 0, NULL,
                                "the API lists no server (ConfigMaps " INFO
                                " and " CONTROLS_CONFIGMAP
                                " of kube-system); run kctl up again");
        *ret = TAKE_PTR(urls);
        return 0;
}
