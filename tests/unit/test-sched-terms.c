/* Rules about other pods: inter-pod affinity and topology spread, and the counts below them. */
#include "tests/unit/sched.h"

#define NO_SPREAD "node(s) didn't match pod topology spread constraints"
#define NO_AFFINITY "node(s) didn't match pod affinity rules"
#define NO_ANTI "node(s) didn't match pod anti-affinity rules"
#define NO_EXISTING "node(s) didn't satisfy existing pods anti-affinity rules"

/* Nodes a1 and a2 in zone a, b1 in zone b, x1 without a zone. */
static struct sched_cluster *zones(void) {
        struct sched_cluster *c = cluster_new();

        add_node(c, "a1", "zone: a", "");
        add_node(c, "a2", "zone: a, disk: ssd", "");
        add_node(c, "b1", "zone: b", "");
        add_node(c, "x1", "", "taints: [{key: k, effect: NoSchedule}]");
        return c;
}

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"
#define NEAR(kind, key, selector) \
        "affinity: {" kind ": {" REQUIRED ": [{topologyKey: " key ", " selector "}]}}"
#define APP(name) "labelSelector: {matchLabels: {app: " name "}}"

struct placed {
        const char *name, *owner, *node, *spec;
};
struct interpod_case {
        struct placed placed[3];
        const char *spec, *expected;
};

static const struct interpod_case interpod[] = {
                /* the zone of the database */
                {{{"p1", "db", "b1", ""}}, NEAR("podAffinity", "zone", APP("db")), "b1"},
                {{{"p1", "db", "a1", ""}, {"p2", "db", "b1", ""}},
                                NEAR("podAffinity", "zone", APP("cache")),
                                "0/4 nodes are available: 1 node(s) had untolerated taint {k: }, "
                                "3 " NO_AFFINITY "."},
                /* the first of its kind may go anywhere that has the key */
                {{{0}},
                                "tolerations: [{operator: Exists}], nodeSelector: "
                                "{kubernetes.io/hostname: x1}, " NEAR(
                                                "podAffinity", "zone", APP("o")),
                                "0/4 nodes are available: 1 " NO_AFFINITY
                                ", 3 node(s) didn't match Pod's node affinity/selector."},
                {{{0}}, NEAR("podAffinity", "zone", APP("o")) ", nodeSelector: {disk: ssd}", "a2"},
                /* all terms of one pod: no pod has both labels */
                {{{"p1", "db", "b1", ""}},
                                "affinity: {podAffinity: {" REQUIRED
                                ": [{topologyKey: zone, " APP("db") "}, {topologyKey: "
                                                                    "zone, " APP("web") "}]}}",
                                "0/4 nodes are available: 1 node(s) had untolerated taint {k: }, "
                                "3 " NO_AFFINITY "."},
                {{{"p1", "web", "a1", ""}, {"p2", "web", "b1", ""}},
                                NEAR("podAntiAffinity", "kubernetes.io/hostname", APP("web")),
                                "a2"},
                {{{"p1", "web", "a1", ""}, {"p2", "web", "b1", ""}},
                                NEAR("podAntiAffinity", "zone", APP("web")),
                                "0/4 nodes are available: 1 node(s) had untolerated taint {k: }, "
                                "3 " NO_ANTI "."},
                /* a placed pod does not want this one */
                {{{"p1", "x", "a1", NEAR("podAntiAffinity", "zone", APP("o"))},
                                 {"p2", "x", "b1", NEAR("podAntiAffinity", "zone", APP("o"))}},
                                "",
                                "0/4 nodes are available: 1 node(s) had untolerated taint {k: }, "
                                "3 " NO_EXISTING "."},
                {{{"p1", "x", "a1", NEAR("podAntiAffinity", "zone", APP("o"))}}, "", "b1"},
                {{{"p1", "x", "a1", NEAR("podAntiAffinity", "zone", APP("other"))},
                                 {"p2", "x", "b1", NEAR("podAntiAffinity", "zone", APP("o"))}},
                                "nodeSelector: {kubernetes.io/hostname: a1}", "a1"},
                /* no selector: nothing; another namespace: nothing */
                {{{"p1", "web", "a1", ""}}, NEAR("podAffinity", "zone", "namespaces: [d]"),
                                "0/4 nodes are available: 1 node(s) had untolerated taint {k: }, "
                                "3 " NO_AFFINITY "."},
                {{{"p1", "web", "b1", ""}},
                                NEAR("podAffinity", "zone", "namespaces: [e], " APP("web")),
                                "0/4 nodes are available: 1 node(s) had untolerated taint {k: }, "
                                "3 " NO_AFFINITY "."},
                {{{"p1", "web", "b1", ""}},
                                NEAR("podAffinity", "zone", "namespaceSelector: {}, " APP("web")),
                                "b1"},
                {{{"p1", "web", "b1", ""}},
                                NEAR("podAffinity", "zone",
                                                "namespaceSelector: {matchLabels: {team: t}}, " APP(
                                                                "web")),
                                "b1"},
                {{{"p1", "web", "b1", ""}},
                                NEAR("podAffinity", "zone",
                                                "namespaceSelector: {matchLabels: {team: u}}, " APP(
                                                                "web")),
                                "0/4 nodes are available: 1 node(s) had untolerated taint {k: }, "
                                "3 " NO_AFFINITY "."},
                /* the values of the pod itself: only its own kind, or only others */
                {{{"p1", "o", "b1", ""}, {"p2", "web", "a1", ""}},
                                NEAR("podAffinity", "zone",
                                                "labelSelector: {}, matchLabelKeys: [app]"),
                                "b1"},
                {{{"p1", "o", "b1", ""}, {"p2", "web", "a1", ""}},
                                NEAR("podAffinity", "kubernetes.io/hostname",
                                                "labelSelector: {}, mismatchLabelKeys: [app]"),
                                "a1"},
                /* preferred rules, both ways */
                {{{"p1", "db", "b1", "priority: 1"}},
                                "affinity: {podAffinity: {" PREFERRED
                                ": [{weight: 100, podAffinityTerm: {topologyKey: zone, " APP(
                                                "db") "}}]}}",
                                "b1"},
                {{{"p1", "db", "a1", ""}},
                                "affinity: {podAntiAffinity: {" PREFERRED
                                ": [{weight: 100, podAffinityTerm: {topologyKey: zone, " APP(
                                                "db") "}}]}}",
                                "b1"},
                {{{"p1", "x", "b1",
                                 "affinity: {podAffinity: {" PREFERRED
                                 ": [{weight: 100, podAffinityTerm: {topologyKey: zone, " APP(
                                                 "o") "}}]}}"}},
                                "", "b1"},
                {{{"p1", "x", "b1", NEAR("podAffinity", "zone", APP("o"))}}, "", "b1"},
};

static void add_all(struct sched_cluster *c, const struct placed *placed, size_t count) {
        for (size_t k = 0; k < count && placed[k].name; k++)
                add_pod(c, placed[k].name, placed[k].owner, placed[k].node, placed[k].spec, "");
}

static void test_interpod(void **state) {
        _cleanup_json_ json_t *ns = yaml("metadata: {name: d, labels: {team: t}}");

        for (size_t i = 0; i < ELEMENTS(interpod); i++) {
                _cleanup_(sched_cluster_freep) struct sched_cluster *c = zones();
                _cleanup_json_ json_t *o = pod("p", "o", interpod[i].spec, "");
                _cleanup_free_ char *node = NULL;

                sched_cluster_put_namespace(c, ns);
                add_all(c, interpod[i].placed, ELEMENTS(interpod[i].placed));
                node = place(c, o);
                if (!streq(node, interpod[i].expected))
                        fail_msg("case %zu: %s, not %s", i, node, interpod[i].expected);
        }
}

#define SPREAD(skew, key, more) \
        "topologySpreadConstraints: [{maxSkew: " #skew ", topologyKey: " key \
        ", whenUnsatisfiable: DoNotSchedule, " more "}]"
#define TAINTED "1 node(s) had untolerated taint {k: }"

static const struct interpod_case spread[] = {
                {{{"p1", "o", "a1", ""}}, SPREAD(1, "zone", APP("o")), "b1"},
                {{{"p1", "o", "b1", ""}}, SPREAD(1, "zone", APP("o")) ", nodeSelector: {disk: ssd}",
                                "a2"},
                {{{"p1", "o", "a1", ""}, {"p2", "o", "a2", ""}},
                                SPREAD(2, "zone", APP("o")) ", nodeSelector: {zone: a}", "a1"},
                /* nodes outside the selector count when the policy says so */
                {{{"p1", "o", "a1", ""}, {"p2", "o", "a2", ""}},
                                SPREAD(2, "zone",
                                                "nodeAffinityPolicy: Ignore, " APP(
                                                                "o")) ", nodeSelector: {zone: a}",
                                "0/4 nodes are available: 1 node(s) didn't match Pod's node "
                                "affinity/selector, " TAINTED ", 2 " NO_SPREAD "."},
                /* too few domains: the smallest count is 0 */
                {{{"p1", "o", "a1", ""}, {"p2", "o", "b1", ""}},
                                SPREAD(1, "zone", "minDomains: 3, " APP("o")),
                                "0/4 nodes are available: " TAINTED ", 3 " NO_SPREAD "."},
                {{{0}}, SPREAD(1, "rack", APP("o")),
                                "0/4 nodes are available: " TAINTED ", 3 " NO_SPREAD
                                " (missing required label)."},
                /* the tainted node is a domain of its own, unless taints count */
                {{{"p1", "o", "a1", ""}, {"p2", "o", "a2", ""}, {"p3", "o", "b1", ""}},
                                SPREAD(1, "kubernetes.io/hostname", APP("o")),
                                "0/4 nodes are available: " TAINTED ", 3 " NO_SPREAD "."},
                {{{"p1", "o", "a1", ""}, {"p2", "o", "a2", ""}, {"p3", "web", "b1", ""}},
                                SPREAD(1, "kubernetes.io/hostname",
                                                "nodeTaintsPolicy: Honor, " APP("o")),
                                "b1"},
                /* only pods of its own revision */
                {{{"p1", "web", "a1", ""}, {"p2", "web", "a2", ""}, {"p3", "o", "b1", ""}},
                                SPREAD(1, "zone", "labelSelector: {}, matchLabelKeys: [app]"),
                                "a1"},
                {{{"p1", "o", "a1", ""}, {"p2", "o", "a2", ""}},
                                "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, "
                                "whenUnsatisfiable: ScheduleAnyway, " APP("o") "}]",
                                "b1"},
};

static void test_topology_spread(void **state) {
        for (size_t i = 0; i < ELEMENTS(spread); i++) {
                _cleanup_(sched_cluster_freep) struct sched_cluster *c = zones();
                _cleanup_json_ json_t *o = pod("p", "o", spread[i].spec, "");
                _cleanup_free_ char *node = NULL;

                add_all(c, spread[i].placed, ELEMENTS(spread[i].placed));
                node = place(c, o);
                if (!streq(node, spread[i].expected))
                        fail_msg("case %zu: %s, not %s", i, node, spread[i].expected);
        }
}

/* A pod that is terminating does not count for spread. */
static void test_terminating(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = zones();
        _cleanup_json_ json_t *gone = pod("p1", "o", "nodeName: b1", "");

        json_set_str(gone, "metadata.deletionTimestamp", "2026-01-01T00:00:00Z");
        sched_cluster_put_pod(c, gone);
        add_pod(c, "p2", "o", "a1", "", "");
        assert_place(c, "p", SPREAD(1, "zone", APP("o")), "", "b1");
}

/* Counts follow what happens after they began: pods, labels of nodes and of namespaces. */
static void test_counts_follow(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = zones();
        _cleanup_json_ json_t *o = pod("p", "o",
                        NEAR("podAffinity", "zone",
                                        "namespaceSelector: {matchLabels: {team: "
                                        "t}}, " APP("db")),
                        "");
        _cleanup_json_ json_t *ns = yaml("metadata: {name: d, labels: {team: t}}");
        _cleanup_json_ json_t *db = pod("p1", "db", "nodeName: a1", "");
        struct sched_pod *p = read_pod(c, o); /* the tally lives as long as this */
        _cleanup_free_ char *before = place(c, o), *none = NULL, *after = NULL, *moved = NULL;

        assert_non_null(strstr(before, NO_AFFINITY));
        sched_cluster_put_pod(c, db);
        none = place(c, o); /* its namespace has no such label yet */
        assert_non_null(strstr(none, NO_AFFINITY));
        assert_int_equal(sched_cluster_put_namespace(c, ns), SCHED_POD_CHANGED);
        after = place(c, o);
        assert_true(after[0] == 'a');
        add_node(c, "a1", "zone: c", ""); /* the node moves to another zone, with its pod */
        moved = place(c, o);
        assert_string_equal(moved, "a1");
        sched_cluster_remove_pod(c, db);
        assert_int_equal(p->affinity.items[0]->total, 0);
        for (size_t i = 0; i < p->affinity.items[0]->counts_allocated; i++)
                assert_int_equal(p->affinity.items[0]->counts[i], 0);
        sched_pod_free(c, p);
}

static uint64_t next(uint64_t *seed) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        return *seed >> 33;
}

/* However nodes and pods come and leave, a tally that lived through it equals a new one. */
static void test_tallies_equal_new_ones(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = zones();
        static const char *const nodes[] = {"a1", "a2", "b1", "x1"};
        _cleanup_json_ json_t *o =
                        pod("p", "o", SPREAD(1, "zone", "nodeTaintsPolicy: Honor, " APP("o")), "");
        struct sched_pod *p = read_pod(c, o);
        const struct sched_tally *t = p->spread.items[0].tally;
        uint64_t seed = 7;

        for (unsigned i = 0; i < 500; i++) {
                const char *node = nodes[next(&seed) % ELEMENTS(nodes)];
                char name[16], zone[32];

                (void)snprintf(name, sizeof(name), "q%u", (unsigned)(next(&seed) % 10));
                (void)snprintf(zone, sizeof(zone), "zone: z%u", (unsigned)(next(&seed) % 3));
                _cleanup_json_ json_t *gone = yaml("metadata: {name: %s, uid: u-%s}", name, name);
                _cleanup_json_ json_t *leaving = yaml("metadata: {name: %s}", node);

                switch (next(&seed) % 4) {
                case 0:
                        sched_cluster_remove_pod(c, gone);
                        break;
                case 1:
                        add_node(c, node, zone,
                                        next(&seed) % 2 ? ""
                                                        : "taints: [{key: k, effect: NoExecute}]");
                        break;
                case 2:
                        sched_cluster_remove_node(c, leaving);
                        break;
                default:
                        add_pod(c, name, next(&seed) % 2 ? "o" : "web", node, "", "");
                }
        }
        _cleanup_(sched_cluster_freep) struct sched_cluster *d = cluster_new();
        struct sched_pod *q;

        map_foreach (c->nodes, e) {
                const struct sched_node *n = map_entry_value(e);

                if (n->object)
                        sched_cluster_put_node(d, n->object);
                for (size_t i = 0; i < n->pods.count; i++)
                        add_pod(d, n->pods.items[i]->uid + 2,
                                        streq(n->pods.items[i]->class->owner, "o") ? "o" : "web",
                                        n->name, "", "");
        }
        q = read_pod(d, o);
        const struct sched_tally *u = q->spread.items[0].tally;

        assert_int_equal(t->total, u->total);
        map_foreach (u->key->ids, e) {
                int32_t here = (int32_t)(intptr_t)map_entry_value(e) - 1;
                int32_t there = (int32_t)(intptr_t)map_get(t->key->ids, map_entry_key(e)) - 1;

                assert_true(there >= 0);
                assert_int_equal(sched_count_at(u->counts, u->counts_allocated, here),
                                sched_count_at(t->counts, t->counts_allocated, there));
                assert_int_equal(sched_count_at(u->nodes, u->nodes_allocated, here),
                                sched_count_at(t->nodes, t->nodes_allocated, there));
        }
        sched_pod_free(c, p);
        sched_pod_free(d, q);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_interpod),
                        cmocka_unit_test(test_topology_spread),
                        cmocka_unit_test(test_terminating),
                        cmocka_unit_test(test_counts_follow),
                        cmocka_unit_test(test_tallies_equal_new_ones),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
