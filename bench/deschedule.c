/* `make bench-deschedule`: a run of a Descheduling without an API: nodes of which a tenth is full
 * and a fifth empty, and their pods. Prints the processor time of each part, and the longest piece
 * of work that kreconciled's loop waits for. DESCHEDULE='NODES PODS' for other sizes. */
#include <time.h>

#include "reconcilers/descheduling/descheduling.h"

enum { OWNERS = 500 };

static uint64_t cpu_us(void) {
        struct timespec t;

        assert(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static json_t *checked(json_t *v) {
        assert(v);
        return v;
}

static json_t *make_node(unsigned i) {
        _cleanup_free_ char *name = strformat("node-%u", i), *zone = strformat("z%u", i % 10);

        return checked(json_pack("{s:{s:s, s:{s:s, s:s}}, s:{}, s:{s:{s:s, s:s, s:s}, s:[{s:s, "
                                 "s:s}]}}",
                        "metadata", "name", name, "labels", "kubernetes.io/hostname", name,
                        "topology.kubernetes.io/zone", zone, "spec", "status", "allocatable", "cpu",
                        "16", "memory", "64Gi", "pods", "110", "conditions", "type", "Ready",
                        "status", "True"));
}

/* A fifth of the nodes has no pods, a tenth three times as many as the others. */
static unsigned node_of(unsigned i, unsigned nodes) {
        unsigned busy = nodes / 10, all = nodes - nodes / 5;

        return busy > 0 && i % 4 == 0 ? i / 4 % busy : i % all;
}

static json_t *make_pod(unsigned i, unsigned nodes) {
        _cleanup_free_ char *name = strformat("pod-%u", i), *owner = strformat("rs-%u", i % OWNERS),
                            *node = strformat("node-%u", node_of(i, nodes)),
                            *cpu = strformat("%um", 400 + i % OWNERS % 7 * 50);
        json_t *pod = checked(json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s}, s:[{s:s, s:s, s:s, "
                                        "s:b}]}, s:{s:s, s:[{s:s, s:s, s:{s:{s:s, s:s}}}]}, "
                                        "s:{s:s, s:s}}",
                        "metadata", "name", name, "namespace", "default", "uid", name,
                        "creationTimestamp", "2026-01-01T00:00:00Z", "labels", "app", owner,
                        "ownerReferences", "kind", "ReplicaSet", "name", owner, "uid", owner,
                        "controller", true, "spec", "nodeName", node, "containers", "name", "c",
                        "image", owner, "resources", "requests", "cpu", cpu, "memory", "256Mi",
                        "status", "phase", "Running", "startTime", "2026-01-01T00:00:00Z"));

        if (i % OWNERS % 5 == 0)
                json_set_at(pod, "spec.topologySpreadConstraints",
                                checked(json_pack("[{s:i, s:s, s:s, s:{s:{s:s}}}]", "maxSkew", 1,
                                                "topologyKey", "topology.kubernetes.io/zone",
                                                "whenUnsatisfiable", "DoNotSchedule",
                                                "labelSelector", "matchLabels", "app", owner)));
        return pod;
}

static json_t *make_spec(void) {
        return checked(json_pack(
                        "{s:i, s:[{s:s, s:{s:i}, s:{s:i}}, {s:s}, {s:s}, {s:s}, {s:s}, {s:s}]}",
                        "maxNoOfPodsToEvictTotal", 5000, "strategies", "name", "LowNodeUtilization",
                        "thresholds", "cpu", 20, "targetThresholds", "cpu", 60, "name",
                        "RemoveDuplicates", "name", "RemovePodsViolatingNodeAffinity", "name",
                        "RemovePodsViolatingNodeTaints", "name",
                        "RemovePodsViolatingInterPodAntiAffinity", "name",
                        "RemovePodsViolatingTopologySpreadConstraint"));
}

struct objects_of {
        json_t **items;
        unsigned count;
};

static void feed(struct desched *d, enum world_kind kind, const struct objects_of *all) {
        for (unsigned i = 0; i < all->count; i++)
                desched_put(d, kind, all->items[i]);
}

/* The longest step; *ret_evictions: how many pods it evicts. */
static uint64_t walk(struct desched *d, unsigned *ret_evictions) {
        uint64_t longest = 0;

        for (;;) {
                uint64_t begin = cpu_us();
                enum desched_step step = desched_step(d);

                if (step == DESCHED_END)
                        return longest;
                if (step == DESCHED_EVICT) {
                        ++*ret_evictions;
                        desched_answer(d, DESCHED_EVICTED, /* message= */ NULL);
                }
                longest = MAX(longest, cpu_us() - begin);
        }
}

static void run(unsigned nodes, unsigned pods) {
        struct objects_of n = {calloc(nodes, sizeof(json_t *)), nodes},
                          p = {calloc(pods, sizeof(json_t *)), pods};
        uint64_t begin, fed, walked, shrunk, freed, longest;
        json_t *spec = make_spec(), *report;
        struct desched *d = NULL;
        unsigned evictions = 0;

        assert(n.items && p.items);
        for (unsigned i = 0; i < nodes; i++)
                n.items[i] = make_node(i);
        for (unsigned i = 0; i < pods; i++)
                p.items[i] = make_pod(i, nodes);
        begin = cpu_us();
        assert(desched_new(&d, spec, 2000000000, UINT64_C(1800000000000000), NULL) == 0);
        feed(d, WORLD_NODES, &n);
        feed(d, WORLD_PODS, &p);
        fed = cpu_us();
        longest = walk(d, &evictions);
        walked = cpu_us();
        report = desched_report(d);
        printf("%s\n", json_str_or(report, "message", ""));
        while (desched_shrink(d))
                continue;
        shrunk = cpu_us();
        desched_free(d);
        freed = cpu_us();
        printf("%u nodes, %u pods: read in %.0f ms, %u evictions decided in %.0f ms (longest step "
               "%.1f ms), freed in %.0f ms (the last step %.1f ms); together %.0f ms\n",
                        nodes, pods, (double)(fed - begin) / 1000, evictions,
                        (double)(walked - fed) / 1000, (double)longest / 1000,
                        (double)(freed - walked) / 1000, (double)(freed - shrunk) / 1000,
                        (double)(freed - begin) / 1000);
        for (unsigned i = 0; i < nodes; i++)
                json_decref(n.items[i]);
        for (unsigned i = 0; i < pods; i++)
                json_decref(p.items[i]);
        free(n.items);
        free(p.items);
        json_decref(report);
        json_decref(spec);
}

int main(int argc, char **argv) {
        uint32_t nodes = 5000, pods = 50000;

        if (argc != 1 && (argc != 3 || parse_u32(argv[1], &nodes) < 0 || nodes == 0 ||
                                         parse_u32(argv[2], &pods) < 0)) {
                fprintf(stderr, "usage: deschedule [NODES PODS]\n");
                return 2;
        }
        run(nodes, pods);
        return 0;
}
