/* `make bench-sched`: the scheduler's core without an API. Nodes in zones, running pods, and
 * pending pods that are read, placed and counted one after another, as kschedd does it. Prints
 * decisions in a second of processor time. Every choice looks at all nodes. */
#include <time.h>

#include "lib/random.h"
#include "lib/sched/sched.h"

enum { ZONES = 10, DEPLOYMENTS = 200 };

static uint64_t cpu_us(void) {
        struct timespec t;

        assert(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct sizes {
        unsigned nodes, running, pending;
};

static json_t *checked(json_t *v) {
        assert(v);
        return v;
}

static json_t *make_node(unsigned i) {
        _cleanup_free_ char *name = strformat("node-%u", i), *zone = strformat("z%u", i % ZONES);

        json_t *node = checked(json_pack("{s:{s:s, s:{s:s, s:s, s:s}}, s:{}, s:{s:{s:s, s:s, s:s}, "
                                         "s:[{s:s, s:s}]}}",
                        "metadata", "name", name, "labels", "kubernetes.io/hostname", name,
                        "topology.kubernetes.io/zone", zone, "disk", i % 3 ? "hdd" : "ssd", "spec",
                        "status", "allocatable", "cpu", "32", "memory", "128Gi", "pods", "110",
                        "conditions", "type", "Ready", "status", "True"));

        if (i % 11 == 0) /* some nodes in each zone are for others */
                json_set_at(node, "spec.taints",
                                checked(json_pack("[{s:s, s:s, s:s}]", "key", "dedicated", "value",
                                                "batch", "effect", "NoSchedule")));
        return node;
}

/* kind 0: plain; 1: node affinity, 2: anti-affinity, 3: spread over zones, 4: tolerates. */
static json_t *make_pod(unsigned i, unsigned kind, const char *node) {
        unsigned deployment = i % DEPLOYMENTS;
        _cleanup_free_ char *name = strformat("pod-%u-%u", kind, i),
                            *owner = strformat("rs-%u-%u", kind, deployment),
                            *cpu = strformat("%um", 100 + deployment % 7 * 50);
        json_t *pod = checked(json_pack("{s:{s:s, s:s, s:s, s:{s:s}, s:[{s:s, s:b}]}, s:{s:[{s:s, "
                                        "s:{s:{s:s, s:s}}}]}, s:{s:s}}",
                        "metadata", "name", name, "namespace", "default", "uid", name, "labels",
                        "app", owner, "ownerReferences", "uid", owner, "controller", true, "spec",
                        "containers", "name", "c", "resources", "requests", "cpu", cpu, "memory",
                        "256Mi", "status", "phase", "Pending"));

        if (node)
                json_set_str(pod, "spec.nodeName", node);
        if (kind == 1)
                json_set_at(pod, "spec.affinity.nodeAffinity",
                                checked(json_pack("{s:{s:[{s:[{s:s, s:s, s:[s]}]}]}}",
                                                "requiredDuringSchedulingIgnoredDuringExecution",
                                                "nodeSelectorTerms", "matchExpressions", "key",
                                                "disk", "operator", "In", "values", "ssd")));
        if (kind == 2)
                json_set_at(pod, "spec.affinity.podAntiAffinity",
                                checked(json_pack("{s:[{s:s, s:{s:{s:s}}}]}",
                                                "requiredDuringSchedulingIgnoredDuringExecution",
                                                "topologyKey", "kubernetes.io/hostname",
                                                "labelSelector", "matchLabels", "app", owner)));
        if (kind == 3)
                json_set_at(pod, "spec.topologySpreadConstraints",
                                checked(json_pack("[{s:i, s:s, s:s, s:{s:{s:s}}}]", "maxSkew", 1,
                                                "topologyKey", "topology.kubernetes.io/zone",
                                                "whenUnsatisfiable", "DoNotSchedule",
                                                "labelSelector", "matchLabels", "app", owner)));
        if (kind == 4)
                json_set_at(pod, "spec.tolerations",
                                checked(json_pack("[{s:s, s:s}]", "key", "dedicated", "operator",
                                                "Exists")));
        return pod;
}

static void fill(struct sched_cluster *c, const struct sizes *sizes) {
        for (unsigned i = 0; i < sizes->nodes; i++) {
                _cleanup_json_ json_t *node = make_node(i);

                sched_cluster_put_node(c, node);
        }
        for (unsigned i = 0; i < sizes->running; i++) {
                _cleanup_free_ char *node = strformat("node-%u", i % sizes->nodes);
                _cleanup_json_ json_t *pod = make_pod(1000000 + i, i % 5, node);

                sched_cluster_put_pod(c, pod);
        }
}

static void run(const char *what, const struct sizes *sizes, bool mixed, bool owned) {
        struct sched_cluster *c = sched_cluster_new();
        const struct sched_profile *profile = NULL;
        json_t **pods = calloc(sizes->pending, sizeof(*pods));
        unsigned placed = 0;
        uint64_t begin, read_us = 0, choose_us = 0;

        assert(pods && sched_profile_add(c, NULL, &profile, NULL) == 0);
        fill(c, sizes);
        for (unsigned i = 0; i < sizes->pending; i++) {
                pods[i] = make_pod(i, mixed ? i % 5 : 0, NULL);
                if (!owned)
                        json_object_del(json_object_get(pods[i], "metadata"), "ownerReferences");
        }
        for (unsigned i = 0; i < sizes->pending; i++) {
                struct sched_reasons why = {0};
                struct sched_pod *pod;
                const char *node;

                begin = cpu_us();
                pod = sched_pod_new(c, profile, pods[i]);
                read_us += cpu_us() - begin;
                begin = cpu_us();
                node = sched_choose(c, pod, random_u64(), &why);
                if (node) {
                        sched_cluster_assume(c, pod, node);
                        placed++;
                }
                choose_us += cpu_us() - begin;
                sched_reasons_done(&why);
                sched_pod_free(c, pod);
        }
        printf("%-44s %8.0f decisions/s, %8.0f with reading the pod; placed %u of %u\n", what,
                        sizes->pending * 1e6 / (double)MAX(choose_us, UINT64_C(1)),
                        sizes->pending * 1e6 / (double)MAX(choose_us + read_us, UINT64_C(1)),
                        placed, sizes->pending);
        for (unsigned i = 0; i < sizes->pending; i++)
                json_decref(pods[i]);
        free(pods);
        sched_cluster_free(c);
}

int main(int argc, char **argv) {
        struct sizes sizes = {.nodes = 5000, .running = 50000, .pending = 10000};

        if (argc == 4 && (parse_u32(argv[1], &sizes.nodes) < 0 || sizes.nodes == 0 ||
                                         parse_u32(argv[2], &sizes.running) < 0 ||
                                         parse_u32(argv[3], &sizes.pending) < 0))
                argc = 0;
        if (argc != 1 && argc != 4) {
                fprintf(stderr, "usage: sched [NODES RUNNING PENDING]\n");
                return 2;
        }
        printf("%u nodes, %u running pods, %u pending pods\n", sizes.nodes, sizes.running,
                        sizes.pending);
        run("plain", &sizes, /* mixed= */ false, /* owned= */ false);
        run("plain, of controllers (default spreading)", &sizes, /* mixed= */ false,
                        /* owned= */ true);
        run("mixed: plain, affinities, spread, taints", &sizes, /* mixed= */ true,
                        /* owned= */ true);
        return 0;
}
