/* kctl node repoint: gives nodes the present servers of the API and their CA, over SSH: for those
 * that were away while the addresses changed. Pods are not touched: only the agent restarts. */
#include "kctl/repoint.h"

#include "kctl/control.h"
#include "kctl/crew.h"
#include "kctl/image.h"
#include "kctl/info.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/client/servers.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { REPORT_TIMEOUT_S = 60 };

struct repoint {
        struct kctl *k;
        const json_t *nodes;
        char *const *servers;
        const char *ca;
        size_t failed;
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
                                        "its agent was restarted and has not reported; "
                                        "`journalctl -u keelson-nodeagent` there says why");
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

static int repoint(struct repoint *x, const json_t *node) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_free_ char *before = NULL;
        int r = machine_open_node(&m, x->k, node, x->p);

        if (r < 0)
                return r;
        before = last_report(x->k, object_name(node));
        r = write_files(x, m);
        return r < 0 ? r : wait_report(x, object_name(node), before);
}

/* In the node's process. */
static int on_job(size_t i, void *userdata) {
        struct repoint *x = userdata;
        const json_t *node = json_array_get(x->nodes, i);
        _cleanup_problem_ struct problem p = {0};
        int r;

        x->p = &p;
        x->k->client = NULL; /* the parent's connection is not ours */
        if (!kctl_client(x->k))
                return EXIT_ERROR;
        r = repoint(x, node);
        if (r < 0)
                return kctl_error("%s: %s", object_name(node),
                                p.message ? p.message : strerror(-r));
        printf("node/%s reaches the API\n", object_name(node));
        return EXIT_OK;
}

static void on_line(size_t i, bool is_stderr, const char *line, void *userdata) {
        fprintf(is_stderr ? stderr : stdout, "%s\n", line);
        fflush(stdout);
}

static void on_end(size_t i, int code, void *userdata) {
        ((struct repoint *)userdata)->failed += code != 0;
}

int nodes_repoint(struct kctl *k, const json_t *nodes, char *const *servers, const char *ca,
                size_t *ret_failed, struct problem *p) {
        struct repoint x = {.k = k, .nodes = nodes, .servers = servers, .ca = ca};
        const struct crew crew = {.count = json_array_size(nodes),
                        .job = on_job,
                        .on_line = on_line,
                        .on_end = on_end,
                        .userdata = &x};
        int r = crew_run(&crew, p);

        *ret_failed = x.failed;
        return r;
}

/* --- the verb --- */

static int check_servers(char *const *servers, struct problem *p) {
        for (; servers && *servers; servers++)
                if (!server_is_valid(*servers))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--servers: \"%s\" is not a URL as https://10.0.0.1:6443",
                                        *servers);
        return 0;
}

static int repoint_words(struct kctl *k, size_t *ret_failed, struct problem *p) {
        _cleanup_strv_free_ char **known = NULL;
        _cleanup_json_ json_t *info = NULL, *nodes = NULL;
        const char *ca;
        int r = check_servers(k->flags.servers, p);

        if (r < 0)
                return r;
        r = info_read(k, &info, p);
        if (r < 0)
                return r;
        ca = json_string_value(json_object_get(info, "ca.crt"));
        if (isempty(ca))
                return problem_set(p, EINVAL, 0, NULL,
                                "the cluster's ConfigMap kube-system/keelson-info holds no ca.crt; "
                                "run kctl up again");
        r = k->flags.servers ? 0 : info_servers(k, &known, p);
        if (r < 0)
                return r;
        r = image_nodes(k, /* from= */ 0, /* default_all= */ false, &nodes, p);
        return r < 0 ? r
                     : nodes_repoint(k, nodes, k->flags.servers ? k->flags.servers : known, ca,
                                       ret_failed, p);
}

int kctl_node_repoint(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        size_t failed = 0;

        if (!kctl_client(k))
                return EXIT_ERROR;
        if (repoint_words(k, &failed, &p) < 0)
                return kctl_fail(&p);
        return failed > 0 ? EXIT_ERROR : EXIT_OK;
}
