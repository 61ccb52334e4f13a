/* kctl node repoint: gives nodes the present servers of the API and their CA, over SSH: for those
 * that were away while the addresses changed. */
#include "kctl/control.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { REPORT_TIMEOUT_S = 60 };

struct repoint {
        struct kctl *k;
        char *const *servers;
        const char *ca;
        struct problem *p;
};

/* When the node's agent last reported; NULL: never. Caller frees. */
static char *last_report(struct kctl *k, const char *name) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_LEASES), "kube-node-lease", name,
                        /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_json_ json_t *lease = NULL;

        if (!path || api_get(k->client, path, &lease, &ignored) < 0)
                return NULL;
        return strdup(json_str_or(lease, "spec.renewTime", ""));
}

static int wait_report(struct repoint *x, const char *name, const char *before) {
        uint64_t deadline =
                        now_mono_us() + (x->k->flags.timeout_us ? x->k->flags.timeout_us
                                                                : REPORT_TIMEOUT_S * 1000000ull);

        for (;;) {
                _cleanup_free_ char *now = last_report(x->k, name);

                if (now && !streq_ptr(now, before))
                        return 0;
                if (now_mono_us() > deadline)
                        return problem_set(x->p, ETIMEDOUT, 0, NULL,
                                        "%s: its agent was restarted and has not reported; "
                                        "`journalctl -u keelson-nodeagent` there says why",
                                        name);
                usleep(300000);
        }
}

static int write_files(struct repoint *x, struct machine *m) {
        const struct template_value values[] = {{"server", x->servers[0]}, {NULL, NULL}};
        _cleanup_free_ char *first = template_fill(text_node_kubeconfig, values), *text = NULL;
        int r = first ? kubeconfig_with_servers(first, x->servers, &text, x->p) : -ENOMEM;

        if (r < 0)
                return r;
        r = machine_put(m, "/etc/keelson/node/ca.pem", "0644", x->ca, x->p);
        if (r < 0)
                return r;
        r = machine_put(m, "/etc/keelson/node/kubeconfig", "0600", text, x->p);
        if (r < 0)
                return r;
        return machine_run(m,
                        "rm -f /var/lib/keelson/nodeagent/servers && "
                        "systemctl restart keelson-nodeagent",
                        NULL, 0, 120, NULL, x->p);
}

static int repoint(struct repoint *x, const char *name) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), NULL, name, NULL, NULL),
                            *before = NULL;
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_json_ json_t *node = NULL;
        int r = path ? api_get(x->k->client, path, &node, x->p) : -ENOMEM;

        if (r < 0)
                return r;
        r = machine_open_node(&m, x->k, node, x->p);
        if (r < 0)
                return r;
        before = last_report(x->k, name);
        r = write_files(x, m);
        if (r < 0)
                return r;
        r = wait_report(x, name, before);
        if (r < 0)
                return r;
        printf("node/%s reaches the API\n", name);
        return 0;
}

static int read_ca(struct kctl *k, json_t **ret, const char **ret_ca, const char **ret_server,
                struct problem *p) {
        _cleanup_free_ char *path = api_path(
                        api_resource(KIND_CONFIGMAPS), "kube-system", "keelson-info", NULL, NULL);
        int r = path ? api_get(k->client, path, ret, p) : -ENOMEM;
        const json_t *data = json_object_get(*ret, "data");

        if (r < 0)
                return r;
        *ret_ca = json_string_value(json_object_get(data, "ca.crt"));
        *ret_server = json_string_value(json_object_get(data, "server"));
        if (isempty(*ret_ca) || isempty(*ret_server))
                return problem_set(p, EINVAL, 0, NULL,
                                "the cluster's ConfigMap kube-system/keelson-info holds no ca.crt "
                                "or no server; run kctl up again");
        return 0;
}

int kctl_node_repoint(struct kctl *k) {
        _cleanup_strv_free_ char **servers = NULL;
        _cleanup_controls_ struct controls c = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *info = NULL;
        struct repoint x = {.k = k, .p = &p};
        const char *server;
        int code = EXIT_OK;

        if (!k->words)
                return kctl_usage(k, "which node? kctl get nodes lists them");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (read_ca(k, &info, &x.ca, &server, &p) < 0 || controls_read(k, &c, &p) < 0)
                return kctl_fail(&p);
        if (controls_servers(&c, &servers) < 0 || (!servers && strv_extend(&servers, server) < 0))
                return kctl_error("out of memory");
        x.servers = servers;
        for (char **name = k->words; *name; name++)
                if (repoint(&x, *name) < 0) {
                        code = kctl_fail(&p);
                        problem_done(&p);
                }
        return code;
}
