/* The load of bench/api: makes, reads and writes objects through the API as fast as a bounded
 * number of requests in flight allows.
 *
 *      api-load KUBECONFIG WHAT COUNT [IN-FLIGHT [ROUND [OBJECTS [RESOURCE [REVISIONS]]]]]
 *
 * WHAT: with the client library that the daemons use configmaps, nodes, pods, bound (pods on
 * nodes), mixed, services (each of the pods of one app). With a client that is little more than TLS
 * objects: ConfigMaps of 2 kB, one in a hundred with the label rare=yes; gets, cached
 * (resourceVersion=0), updates, patches, statuses and applies: of them, a ROUND being a number
 * that is in the object and so changes it. With OBJECTS (0: as many as COUNT) each of that many has
 * several requests of COUNT, so that handshakes are a small part. RESOURCE: configmaps, or things,
 * which are custom (of bench/peer); updates of these need their REVISIONS, a file with one a line.
 * Prints how many were done in a second. */
#include <stdio.h>

#include "bench/requests.h"
#include "lib/client/api.h"
#include "lib/client/kubeconfig.h"
#include "lib/fileio.h"
#include "lib/timefmt.h"

enum { IN_FLIGHT_MAX = 128, ZONES = 10, DEPLOYMENTS = 200 };

struct load {
        struct api_client *client;
        sd_event *event;
        const struct kind *kind;
        unsigned long count, started, ended, in_flight, in_flight_max, round, objects;
        int failure;
        const struct resource *resource; /* of the objects of 2 kB */
        char **revisions;                /* of the objects, for updates */
        size_t revision_count;
        char *authorization; /* the header, or "" */
        struct buf text;     /* of a body */
};

struct kind {
        const char *name, *path;
        json_t *(*make)(unsigned long i);
        /* Else: a request for the i-th object of 2 kB. */
        const char *method, *query, *type;
        /* NULL: none */
        int (*body)(struct buf *out, const struct load *l, unsigned long i);
        const char *subresource;
};

struct resource {
        const char *name, *path, *version, *kind, *field;
};

static json_t *checked(json_t *v) {
        assert(v);
        return v;
}

static json_t *make_config_map(unsigned long i) {
        _cleanup_free_ char *name = strformat("floor-%lu", i);

        return checked(json_pack("{s:s, s:s, s:{s:s}, s:{s:s}}", "apiVersion", "v1", "kind",
                        "ConfigMap", "metadata", "name", name, "data", "key", "value"));
}

/* As bench/sched.c has them. */
static json_t *make_node(unsigned long i) {
        _cleanup_free_ char *name = strformat("node-%lu", i), *zone = strformat("z%lu", i % ZONES);

        return checked(json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s, s:s}}, s:{}, s:{s:{s:s, s:s, "
                                 "s:s}, s:[{s:s, s:s}]}}",
                        "apiVersion", "v1", "kind", "Node", "metadata", "name", name, "labels",
                        "kubernetes.io/hostname", name, "topology.kubernetes.io/zone", zone, "disk",
                        i % 3 ? "hdd" : "ssd", "spec", "status", "allocatable", "cpu", "32",
                        "memory", "128Gi", "pods", "110", "conditions", "type", "Ready", "status",
                        "True"));
}

static json_t *make_plain(unsigned long i) {
        _cleanup_free_ char *name = strformat("pod-%lu", i),
                            *app = strformat("app-%lu", i % DEPLOYMENTS);

        return checked(json_pack(
                        "{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:[{s:s, s:s, s:{s:{s:s, s:s}}}]}}",
                        "apiVersion", "v1", "kind", "Pod", "metadata", "name", name, "labels",
                        "app", app, "spec", "containers", "name", "c", "image", "example.org/app",
                        "resources", "requests", "cpu", "100m", "memory", "256Mi"));
}

/* A quarter each: plain, node affinity, anti-affinity, spread. */
static json_t *make_mixed(unsigned long i) {
        json_t *pod = make_plain(i), *selector, *term;
        const char *app = json_str_or(pod, "metadata.labels.app", "");

        selector = checked(json_pack("{s:{s:s}}", "matchLabels", "app", app));
        if (i % 4 == 1) {
                term = checked(json_pack("{s:[{s:[{s:s, s:s, s:[s]}]}]}", "nodeSelectorTerms",
                                "matchExpressions", "key", "disk", "operator", "In", "values",
                                "ssd"));
                json_set_at(pod,
                                "spec.affinity.nodeAffinity."
                                "requiredDuringSchedulingIgnoredDuringExecution",
                                term);
        } else if (i % 4 == 2) {
                term = checked(json_pack("[{s:s, s:O}]", "topologyKey", "kubernetes.io/hostname",
                                "labelSelector", selector));
                json_set_at(pod,
                                "spec.affinity.podAntiAffinity."
                                "requiredDuringSchedulingIgnoredDuringExecution",
                                term);
        } else if (i % 4 == 3) {
                term = checked(json_pack("[{s:i, s:s, s:s, s:O}]", "maxSkew", 1, "topologyKey",
                                "topology.kubernetes.io/zone", "whenUnsatisfiable", "DoNotSchedule",
                                "labelSelector", selector));
                json_set_at(pod, "spec.topologySpreadConstraints", term);
        }
        json_decref(selector);
        return pod;
}

/* On one of as many nodes. */
static json_t *make_bound(unsigned long i) {
        _cleanup_free_ char *name = strformat("bound-%lu", i), *node = strformat("node-%lu", i);
        json_t *pod = make_plain(i);

        assert(json_set_str(pod, "metadata.name", name) >= 0);
        assert(json_set_str(pod, "spec.nodeName", node) >= 0);
        return pod;
}

static json_t *make_service(unsigned long i) {
        _cleanup_free_ char *name = strformat("service-%lu", i),
                            *app = strformat("app-%lu", i % DEPLOYMENTS);

        return checked(json_pack("{s:s, s:s, s:{s:s}, s:{s:{s:s}, s:[{s:i}]}}", "apiVersion", "v1",
                        "kind", "Service", "metadata", "name", name, "spec", "selector", "app", app,
                        "ports", "port", 80));
}

enum { OBJECT_SIZE = 1400, RARE = 100, REVISIONS_SIZE_MAX = 64 << 20 };

static const struct resource resources[] = {
                {"configmaps", "/api/v1/namespaces/bench/configmaps", "v1", "ConfigMap", "data"},
                {"things", "/apis/bench.example.org/v1/namespaces/bench/things",
                                "bench.example.org/v1", "Thing", "spec"},
};

/* With its metadata and managedFields about 2 kB as the API shows it. */
static int object_text(struct buf *out, const struct load *l, unsigned long i) {
        char data[OBJECT_SIZE], revision[64] = "";

        memset(data, 'a' + (int)(i % 26), sizeof(data));
        if (i < l->revision_count)
                (void)snprintf(revision, sizeof(revision), "\"resourceVersion\":\"%s\",",
                                l->revisions[i]);
        return buf_printf(out,
                        "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":"
                        "\"object-%06lu\",%s\"labels\":{\"app.kubernetes.io/name\":\"bench\","
                        "\"app.kubernetes.io/part-of\":\"%s\",\"rare\":\"%s\"}},"
                        "\"%s\":{\"text\":\"%.*s\",\"round\":\"%lu\"}}",
                        l->resource->version, l->resource->kind, i, revision,
                        i % 2 ? "odd" : "even", i % RARE ? "no" : "yes", l->resource->field,
                        OBJECT_SIZE, data, l->round);
}

static int patch_text(struct buf *out, const struct load *l, unsigned long i) {
        return buf_printf(out, "{\"%s\":{\"round\":\"%lu\"}}", l->resource->field, l->round);
}

static int status_text(struct buf *out, const struct load *l, unsigned long i) {
        return buf_printf(out, "{\"status\":{\"round\":\"%lu\"}}", l->round);
}

static int write_request(struct buf *out, unsigned long i, void *userdata) {
        struct load *l = userdata;
        const struct kind *k = l->kind;
        char name[32] = "";
        int r;

        if (l->objects > 0)
                i %= l->objects;
        l->text.size = 0;
        r = k->body ? k->body(&l->text, l, i) : 0;
        if (r < 0)
                return r;
        if (!streq(k->method, "POST"))
                (void)snprintf(name, sizeof(name), "/object-%06lu%s", i, strempty(k->subresource));
        r = buf_printf(out, "%s %s%s%s", k->method, l->resource->path, name, strempty(k->query));
        if (r < 0)
                return r;
        r = buf_printf(out,
                        " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: api-load\r\n"
                        "Accept: application/json\r\n%s",
                        l->authorization);
        if (r < 0 || !k->body)
                return r < 0 ? r : buf_append_str(out, "\r\n");
        return buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", k->type,
                        l->text.size, l->text.data);
}

static const struct kind kinds[] = {
                {"configmaps", "/api/v1/namespaces/bench/configmaps", make_config_map},
                {"nodes", "/api/v1/nodes", make_node},
                {"pods", "/api/v1/namespaces/bench/pods", make_plain},
                {"bound", "/api/v1/namespaces/bench/pods", make_bound},
                {"mixed", "/api/v1/namespaces/bench/pods", make_mixed},
                {"services", "/api/v1/namespaces/bench/services", make_service},
                {"objects", .method = "POST", .type = "application/json", .body = object_text},
                {"gets", .method = "GET"},
                {"cached", .method = "GET", .query = "?resourceVersion=0"},
                {"updates", .method = "PUT", .type = "application/json", .body = object_text},
                {"patches", .method = "PATCH", .type = "application/merge-patch+json",
                                .body = patch_text},
                {"statuses", .method = "PATCH", .type = "application/merge-patch+json",
                                .body = status_text, .subresource = "/status"},
                {"applies", .method = "PATCH", .query = "?fieldManager=bench&force=true",
                                .type = "application/apply-patch+yaml", .body = object_text},
};

static void fill(struct load *l);

static void on_made(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct load *l = userdata;

        l->in_flight--;
        l->ended++;
        if (error < 0 && l->failure == 0) {
                l->failure = error;
                fprintf(stderr, "api-load: %s\n", strempty(p->message));
        }
        fill(l);
}

static int send_one(struct load *l, unsigned long i) {
        _cleanup_json_ json_t *body = l->kind->make(i);

        return api_create_async(l->client, l->kind->path, body, on_made, l, /* ret= */ NULL);
}

static void fill(struct load *l) {
        while (l->failure == 0 && l->started < l->count && l->in_flight < l->in_flight_max) {
                int r = send_one(l, l->started++);

                assert(r >= 0);
                l->in_flight++;
        }
        if (l->in_flight == 0)
                (void)sd_event_exit(l->event, l->failure);
}

static void show(const struct load *l, uint64_t us) {
        printf("%.0f\n", (double)l->count * 1e6 / (double)us);
}

static int run_library(struct load *l, const char *kubeconfig, struct problem *p) {
        struct api_client_options options = {.kubeconfig = kubeconfig, .user_agent = "api-load"};
        uint64_t begin;
        int r = sd_event_default(&l->event);

        if (r < 0)
                return r;
        r = api_client_new(&l->client, l->event, &options, p);
        if (r < 0)
                return r;
        begin = now_mono_us();
        fill(l);
        r = sd_event_loop(l->event);
        if (r < 0)
                return r;
        show(l, now_mono_us() - begin);
        return 0;
}

static int send_all(struct load *l, const struct kubeconfig_context *k, struct problem *p) {
        const struct tls_files pem = {.cert = k->cert_pem, .key = k->key_pem, .ca = k->ca_pem};
        struct requests_options o = {.count = l->count,
                        .connections = MIN(l->in_flight_max, l->count),
                        .write = write_request,
                        .userdata = l};
        const char *port = strrchr(k->server, ':');
        struct tls_context *tls = NULL;
        uint64_t us, number;
        int r;

        if (!port || parse_u64(port + 1, &number) < 0)
                return problem_set(p, EINVAL, 0, NULL, "no port in %s", k->server);
        o.port = (uint16_t)number;
        l->authorization =
                        k->token ? strformat("Authorization: Bearer %s\r\n", k->token) : strdup("");
        r = l->authorization ? tls_context_new_pem(&tls, &pem, /* server= */ false, p) : -ENOMEM;
        if (r < 0)
                return r;
        o.tls = tls;
        r = requests_run(&o, &us, p);
        tls_context_free(tls);
        if (r >= 0)
                show(l, us);
        return r;
}

static int run(struct load *l, const char *kubeconfig, struct problem *p) {
        struct kubeconfig_context k = {0};
        int r;

        if (l->kind->make)
                return run_library(l, kubeconfig, p);
        r = kubeconfig_load(&k, kubeconfig, NULL, p);
        if (r < 0)
                return r;
        r = send_all(l, &k, p);
        kubeconfig_context_done(&k);
        return r;
}

static int read_revisions(struct load *l, const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, REVISIONS_SIZE_MAX, &text, &n);

        if (r < 0)
                return r;
        r = strv_split(text, "\n", &l->revisions);
        l->revision_count = r < 0 ? 0 : strv_length(l->revisions);
        return r;
}

int main(int argc, char **argv) {
        struct load l = {.in_flight_max = IN_FLIGHT_MAX, .resource = &resources[0]};
        _cleanup_problem_ struct problem p = {0};
        int r;

        for (size_t i = 0; argc >= 4 && i < ELEMENTS(kinds); i++)
                if (streq(kinds[i].name, argv[2]))
                        l.kind = &kinds[i];
        if (!l.kind || (l.count = strtoul(argv[3], NULL, 10)) == 0) {
                fprintf(stderr, "Usage: api-load KUBECONFIG WHAT COUNT [IN-FLIGHT [ROUND "
                                "[OBJECTS [RESOURCE [REVISIONS]]]]]; WHAT:");
                for (size_t i = 0; i < ELEMENTS(kinds); i++)
                        fprintf(stderr, " %s", kinds[i].name);
                fprintf(stderr, "\n");
                return 2;
        }
        if (argc > 4)
                l.in_flight_max = MAX(strtoul(argv[4], NULL, 10), 1ul);
        if (argc > 5)
                l.round = strtoul(argv[5], NULL, 10);
        if (argc > 6)
                l.objects = strtoul(argv[6], NULL, 10);
        for (size_t i = 0; argc > 7 && i < ELEMENTS(resources); i++)
                if (streq(resources[i].name, argv[7]))
                        l.resource = &resources[i];
        if (argc > 8 && (r = read_revisions(&l, argv[8])) < 0) {
                fprintf(stderr, "api-load: %s: %s\n", argv[8], strerror(-r));
                return 1;
        }
        r = run(&l, argv[1], &p);
        if (r < 0 && l.failure == 0)
                fprintf(stderr, "api-load: %s\n", p.message ? p.message : strerror(-r));
        api_client_free(l.client);
        sd_event_unref(l.event);
        strv_free(l.revisions);
        free(l.authorization);
        buf_done(&l.text);
        return r < 0;
}
