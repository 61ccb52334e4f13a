/* A table of paths, each with a function that makes the answer. */
#include "nodeagent/node-api.h"

#include <sys/statvfs.h>

#include "lib/http-server.h"
#include "lib/timefmt.h"
#include "nodeagent/measure.h"
#include "nodeagent/node-summary.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/streams/stream-protocol.h"

enum { CONNECTIONS_MAX = 256, BODY_MAX = 64 << 10 };

struct node_api {
        struct agent *agent;
        struct http_server *server;
};

/* Takes the object. */
static void answer_json(struct http_request *r, json_t *taken) {
        _cleanup_json_ json_t *v = taken;
        _cleanup_free_ char *text = v ? json_text(v) : NULL;

        if (text)
                http_respond(r, 200, "application/json", text, strlen(text));
        else
                http_respond(r, 500, "text/plain", "out of memory\n", 14);
}

static void healthz(struct agent *a, struct http_request *r) {
        http_respond(r, 200, "text/plain; charset=utf-8", "ok", 2);
}

static void readyz(struct agent *a, struct http_request *r) {
        const char *why = "not ready";
        bool ready = daemon_is_ready(a->daemon, &why);

        http_respond(r, ready ? 200 : 503, "text/plain; charset=utf-8", ready ? "ok" : why,
                        strlen(ready ? "ok" : why));
}

static void metrics(struct agent *a, struct http_request *r) {
        _cleanup_buf_ struct buf b = {0};

        if (metrics_render(daemon_metrics(a->daemon), &b) < 0 || b.failed)
                http_respond(r, 500, "text/plain", "out of memory\n", 14);
        else
                http_respond(r, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.size);
}

static void add_pod(const json_t *object, void *userdata) {
        json_array_append_new(userdata, json_ref(object));
}

static void pods(struct agent *a, struct http_request *r) {
        json_t *items = json_array();

        if (items)
                pods_each(a->pods, add_pod, items);
        answer_json(r, json_pack("{ss, ss, s{}, so}", "kind", "PodList", "apiVersion", "v1",
                                       "metadata", "items", items));
}

static void summary(struct agent *a, struct http_request *r) {
        struct node_disk disk = {0};
        struct statvfs v;

        if (statvfs(a->config.data_dir, &v) == 0)
                disk = (struct node_disk){.capacity_bytes = (uint64_t)v.f_blocks * v.f_frsize,
                                .available_bytes = (uint64_t)v.f_bavail * v.f_frsize,
                                .inodes = v.f_files,
                                .inodes_free = v.f_ffree};
        answer_json(r, node_summary(a->config.node_name, measure_last(a->measure), &disk,
                                       now_wall_us()));
}

static void set_text(json_t *to, const char *name, const char *value) {
        if (!isempty(value))
                json_object_set_new(to, name, json_string(value));
}

static void configz(struct agent *a, struct http_request *r) {
        const struct agent_config *c = &a->config;
        json_t *v = json_pack("{ss, ss, sI, sI, sI, sI}", "kind", "KubeletConfiguration",
                        "apiVersion", "kubelet.config.k8s.io/v1beta1", "maxPods",
                        (json_int_t)c->pods_max, "nodeStatusUpdateFrequencySeconds",
                        (json_int_t)(c->status_frequency_us / 1000000),
                        "shutdownGracePeriodSeconds", (json_int_t)(c->shutdown_us / 1000000),
                        "evictionPressureTransitionPeriodSeconds",
                        (json_int_t)(c->eviction_transition_us / 1000000));

        set_text(v, "clusterDomain", c->cluster_domain);
        set_text(v, "clusterDNS", c->cluster_dns);
        set_text(v, "podCIDR", c->pod_cidr);
        set_text(v, "staticPodPath", c->manifest_dir);
        set_text(v, "evictionHard", c->eviction_hard);
        set_text(v, "evictionSoft", c->eviction_soft);
        set_text(v, "evictionMinimumReclaim", c->eviction_reclaim);
        set_text(v, "drift", c->drift);
        answer_json(r, json_pack("{so}", "kubeletconfig", v));
}

static void logs(struct agent *a, struct http_request *r) {
        static const char text[] =
                        "this node has no files of logs: they are in its journal. On the node: "
                        "journalctl -u keelson-nodeagent; of pods: kubectl logs\n";

        http_respond(r, 501, "text/plain; charset=utf-8", text, sizeof(text) - 1);
}

enum { EXACT, BELOW };

static const struct {
        const char *path;
        int match;
        void (*answer)(struct agent *a, struct http_request *r);
} rows[] = {{"/healthz", BELOW, healthz}, {"/livez", BELOW, healthz}, {"/readyz", EXACT, readyz},
                {"/metrics", EXACT, metrics}, {"/pods", EXACT, pods}, {"/runningpods", EXACT, pods},
                {"/stats/summary", EXACT, summary}, {"/configz", EXACT, configz},
                {"/logs", BELOW, logs}};

static bool matches(const char *path, const char *row, int match) {
        const char *rest = startswith(path, row);

        return rest && (*rest == 0 || streq(rest, "/") || (match == BELOW && *rest == '/'));
}

static void not_found(struct http_request *r) {
        _cleanup_buf_ struct buf b = {0};

        buf_append_str(&b, "not found; a node's agent has");
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                buf_printf(&b, " %s", rows[i].path);
        buf_append_char(&b, '\n');
        http_respond(r, 404, "text/plain; charset=utf-8", strempty(b.data), b.size);
}

static void on_request(struct http_request *r, void *userdata) {
        struct node_api *n = userdata;
        const char *path = http_request_path(r), *method = http_request_method(r);

        if (!streq(method, "GET") && !streq(method, "HEAD")) {
                http_respond(r, 405, "text/plain", "only GET\n", 9);
                return;
        }
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (matches(path, rows[i].path, rows[i].match)) {
                        rows[i].answer(n->agent, r);
                        return;
                }
        not_found(r);
}

/* Only root connects. */
static enum http_admission admit(struct http_request *r, void *userdata) {
        http_request_trust(r, "root");
        return HTTP_DROP_BODY;
}

int node_api_new(struct node_api **ret, struct agent *a, struct problem *p) {
        _cleanup_(node_api_freep) struct node_api *n = calloc(1, sizeof(*n));
        struct http_server_options options = {.unix_path = NODE_API_SOCKET,
                        .unix_mode = 0600,
                        .body_size_max = BODY_MAX,
                        .connections_max = CONNECTIONS_MAX,
                        .admit = admit,
                        .handler = on_request,
                        .userdata = n};
        int r;

        if (!n)
                return -ENOMEM;
        n->agent = a;
        r = http_server_new(&n->server, a->event, &options, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

struct node_api *node_api_free(struct node_api *n) {
        if (!n)
                return NULL;
        http_server_free(n->server);
        return mfree(n);
}
