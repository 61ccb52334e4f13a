/* The load of bench/api: makes, reads and writes objects through the API as fast as a bounded
 * number of requests in flight allows, with the client library that the daemons use.
 *
 *      api-load KUBECONFIG WHAT COUNT [IN-FLIGHT [ROUND]]
 *
 * WHAT: configmaps, nodes, pods, bound (pods on nodes), mixed, services (each of the pods of one
 * app); objects: ConfigMaps of 2 kB, one in a hundred with the label rare=yes; gets, updates,
 * patches and applies: of them, a ROUND being a number that is in the object and so changes it.
 * Prints how many were done in a second. */
#include <stdio.h>

#include "lib/client/api.h"
#include "lib/timefmt.h"

enum { IN_FLIGHT_MAX = 128, ZONES = 10, DEPLOYMENTS = 200 };

struct load {
        struct api_client *client;
        sd_event *event;
        const struct kind *kind;
        unsigned long count, started, ended, in_flight, in_flight_max, round;
        int failure;
};

struct kind {
        const char *name, *path;
        json_t *(*make)(unsigned long i);
        int (*send)(struct load *l, unsigned long i); /* NULL: makes the object */
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

enum { OBJECT_SIZE = 1400, RARE = 100 };

static const char objects[] = "/api/v1/namespaces/bench/configmaps";

/* With its metadata and managedFields about 2 kB as the API shows it. */
static json_t *make_object(unsigned long i, unsigned long round) {
        _cleanup_free_ char *name = strformat("object-%06lu", i), *text = strformat("%lu", round);
        char data[OBJECT_SIZE];

        memset(data, 'a' + (int)(i % 26), sizeof(data));
        return checked(json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s, s:s}}, s:{s:s#, s:s}}",
                        "apiVersion", "v1", "kind", "ConfigMap", "metadata", "name", name, "labels",
                        "app.kubernetes.io/name", "bench", "app.kubernetes.io/part-of",
                        i % 2 ? "odd" : "even", "rare", i % RARE ? "no" : "yes", "data", "text",
                        data, (int)sizeof(data), "round", text));
}

static void on_made(int error, const json_t *object, const struct problem *p, void *userdata);

static char *object_path(unsigned long i, const char *query) {
        return strformat("%s/object-%06lu%s", objects, i, query);
}

static int send_get(struct load *l, unsigned long i) {
        _cleanup_free_ char *path = object_path(i, "");

        return api_get_async(l->client, path, on_made, l, /* ret= */ NULL);
}

static int send_create(struct load *l, unsigned long i) {
        _cleanup_json_ json_t *body = make_object(i, l->round);

        return api_create_async(l->client, objects, body, on_made, l, /* ret= */ NULL);
}

static int send_update(struct load *l, unsigned long i) {
        _cleanup_free_ char *path = object_path(i, "");
        _cleanup_json_ json_t *body = make_object(i, l->round);

        return api_update_async(l->client, path, body, on_made, l, /* ret= */ NULL);
}

static int send_patch(struct load *l, unsigned long i) {
        _cleanup_free_ char *path = object_path(i, ""), *round = strformat("%lu", l->round);
        _cleanup_json_ json_t *body = checked(json_pack("{s:{s:s}}", "data", "round", round));

        return api_patch_async(l->client, path, API_PATCH_MERGE, body, on_made, l, /* ret= */ NULL);
}

static int send_apply(struct load *l, unsigned long i) {
        _cleanup_free_ char *path = object_path(i, "?fieldManager=bench&force=true");
        _cleanup_json_ json_t *body = make_object(i, l->round);

        return api_patch_async(l->client, path, API_PATCH_APPLY, body, on_made, l, /* ret= */ NULL);
}

static const struct kind kinds[] = {
                {"configmaps", "/api/v1/namespaces/bench/configmaps", make_config_map},
                {"nodes", "/api/v1/nodes", make_node},
                {"pods", "/api/v1/namespaces/bench/pods", make_plain},
                {"bound", "/api/v1/namespaces/bench/pods", make_bound},
                {"mixed", "/api/v1/namespaces/bench/pods", make_mixed},
                {"services", "/api/v1/namespaces/bench/services", make_service},
                {"objects", .send = send_create},
                {"gets", .send = send_get},
                {"updates", .send = send_update},
                {"patches", .send = send_patch},
                {"applies", .send = send_apply},
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
        _cleanup_json_ json_t *body = NULL;

        if (l->kind->send)
                return l->kind->send(l, i);
        body = l->kind->make(i);
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

static int run(struct load *l, const char *kubeconfig) {
        struct api_client_options options = {.kubeconfig = kubeconfig, .user_agent = "api-load"};
        _cleanup_problem_ struct problem p = {0};
        uint64_t begin;
        int r = sd_event_default(&l->event);

        if (r < 0)
                return r;
        r = api_client_new(&l->client, l->event, &options, &p);
        if (r < 0) {
                fprintf(stderr, "api-load: %s\n", strempty(p.message));
                return r;
        }
        begin = now_mono_us();
        fill(l);
        r = sd_event_loop(l->event);
        if (r < 0)
                return r;
        printf("%.0f\n", (double)l->count * 1e6 / (double)(now_mono_us() - begin));
        return 0;
}

int main(int argc, char **argv) {
        struct load l = {.in_flight_max = IN_FLIGHT_MAX};
        int r = -EINVAL;

        for (size_t i = 0; argc >= 4 && i < ELEMENTS(kinds); i++)
                if (streq(kinds[i].name, argv[2]))
                        l.kind = &kinds[i];
        if (!l.kind || (l.count = strtoul(argv[3], NULL, 10)) == 0) {
                fprintf(stderr, "Usage: api-load KUBECONFIG WHAT COUNT [IN-FLIGHT [ROUND]]; WHAT:");
                for (size_t i = 0; i < ELEMENTS(kinds); i++)
                        fprintf(stderr, " %s", kinds[i].name);
                fprintf(stderr, "\n");
                return 2;
        }
        if (argc > 4)
                l.in_flight_max = MAX(strtoul(argv[4], NULL, 10), 1ul);
        if (argc > 5)
                l.round = strtoul(argv[5], NULL, 10);
        r = run(&l, argv[1]);
        api_client_free(l.client);
        sd_event_unref(l.event);
        return r < 0;
}
