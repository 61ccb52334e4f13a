/* Deschedulings: which pods each strategy evicts, what protects them, and when a run starts. */
#include "tests/unit/fake-world.h"
#include "tests/unit/yaml-object.h"

#include "reconcilers/descheduling/descheduling-internal.h"

/* --- a cluster in a few lines --- */

/* "NAME cpus [more]": a ready node of so many cpus, 16 GiB and 40 pods; more: "cordoned", or the
 * insides of YAML: "taints: [...]", "labels: {...}". */
struct node {
        const char *name;
        int cpus;
        const char *labels, *spec;
};
/* A running pod "d/name"; owner: the name of its ReplicaSet; spec and metadata: the insides of YAML
 * maps. */
struct pod {
        const char *name, *owner, *node, *cpu, *spec, *more;
};
struct table {
        const char *name;
        const char *spec; /* of the Descheduling, but `strategies` */
        const char *strategies;
        struct node nodes[6];
        struct pod pods[12];
        const char *expected; /* "pod node>to|..." */
        const char *refused;  /* a pod whose budget refuses; NULL: none */
};

static void put_node(struct desched *d, const struct node *n) {
        _cleanup_json_ json_t *o =
                        yaml("metadata: {name: %s, labels: {kubernetes.io/hostname: %s%s%s}}\n"
                             "spec: {%s}\n"
                             "status: {allocatable: {cpu: '%i', memory: 16Gi, pods: '40'}, "
                             "conditions: [{type: Ready, status: 'True'}]}\n",
                                        n->name, n->name, n->labels ? ", " : "",
                                        strempty(n->labels), strempty(n->spec), n->cpus);

        desched_put(d, WORLD_NODES, o);
}

static void put_pod(struct desched *d, const struct pod *x) {
        _cleanup_free_ char *owner =
                        *x->owner ? strformat("ownerReferences: [{kind: %s, name: %s, uid: u-%s, "
                                              "controller: true}],",
                                                    streq(x->owner, "ds") ? "DaemonSet"
                                                                          : "ReplicaSet",
                                                    x->owner, x->owner)
                                  : strdup("");
        _cleanup_json_ json_t *o = yaml(
                        "metadata: {name: %s, namespace: d, uid: u-%s, labels: {app: '%s'}, %s "
                        "creationTimestamp: '2026-01-01T11:00:00Z'%s%s}\n"
                        "spec: {nodeName: %s, containers: [{name: c, image: i, resources: "
                        "{requests: {cpu: '%s'}}}]%s%s}\n"
                        "status: {phase: Running, startTime: '2026-01-01T11:00:00Z'}\n",
                        x->name, x->name, x->owner, owner, x->more ? ", " : "", strempty(x->more),
                        x->node, x->cpu, x->spec ? ", " : "", strempty(x->spec));

        desched_put(d, WORLD_PODS, o);
}

static struct desched *make(const struct table *t) {
        _cleanup_json_ json_t *spec = yaml("{strategies: [%s]%s%s}", t->strategies,
                        t->spec ? ", " : "", strempty(t->spec));
        _cleanup_problem_ struct problem p = {0};
        struct desched *d = NULL;
        uint64_t now;

        assert_int_equal(time_parse(FAKE_NOW, &now), 0);
        if (desched_new(&d, spec, /* priority_threshold= */ 2000000000, now, &p) < 0)
                fail_msg("%s: %s", t->name, p.message);
        for (size_t i = 0; i < ELEMENTS(t->nodes) && t->nodes[i].name; i++)
                put_node(d, &t->nodes[i]);
        for (size_t i = 0; i < ELEMENTS(t->pods) && t->pods[i].name; i++)
                put_pod(d, &t->pods[i]);
        return d;
}

/* Walks to the end and answers each eviction. "pod node>to|..." */
static char *walk(struct desched *d, const char *refused) {
        struct buf b = {0};
        enum desched_step step;

        while ((step = desched_step(d)) != DESCHED_END) {
                struct desched_eviction e;
                bool no;

                if (step == DESCHED_MORE)
                        continue;
                desched_eviction(d, &e);
                no = refused && streq(object_name(e.pod), refused);
                if (!no)
                        buf_printf(&b, "%s%s %s>%s", b.size > 0 ? "|" : "", object_name(e.pod),
                                        e.node, e.to ? e.to : "nowhere");
                desched_answer(d, no ? DESCHED_REFUSED : DESCHED_EVICTED, no ? "a budget" : NULL);
        }
        return buf_take(&b);
}

#define ANTI \
        "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: " \
        "[{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: a}}}]}}"
#define SPREAD(when) \
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, " \
        "whenUnsatisfiable: " when ", labelSelector: {matchLabels: {app: a}}}]"
#define LOW "{name: LowNodeUtilization, thresholds: {cpu: 20}, targetThresholds: {cpu: 50}}"

static const struct table tables[] = {
                {"twins on a node are spread", NULL, "{name: RemoveDuplicates}",
                                {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                                {"a3", "a", "n1", "100m"}},
                                "a1 n1>n2|a2 n1>n3"},
                {"as many as nodes twice over are spread evenly", NULL, "{name: RemoveDuplicates}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                                {"a3", "a", "n1", "100m"},
                                                {"a4", "a", "n1", "100m"}},
                                "a1 n1>n2|a2 n1>n2"},
                {"two on each of two nodes stay", NULL, "{name: RemoveDuplicates}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                                {"a3", "a", "n2", "100m"},
                                                {"a4", "a", "n2", "100m"}},
                                ""},
                {"twins of an excluded kind of owner stay", NULL,
                                "{name: RemoveDuplicates, excludeOwnerKinds: [ReplicaSet]}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"}}, ""},
                {"not onto a cordoned node", NULL, "{name: RemoveDuplicates}",
                                {{"n1", 4}, {"n2", 4, NULL, "unschedulable: true"}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"}}, ""},
                {"not where it does not fit", "filter: {nodeFit: false}",
                                "{name: RemoveDuplicates}", {{"n1", 4}, {"n2", 1}},
                                {{"a1", "a", "n1", "2"}, {"a2", "a", "n1", "2"}}, ""},
                {"a refused pod stays and another one goes", NULL, "{name: RemoveDuplicates}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"}}, "a2 n1>n2",
                                "a1"},
                {"the limit of the run", "maxNoOfPodsToEvictTotal: 1", "{name: RemoveDuplicates}",
                                {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                                {"a3", "a", "n1", "100m"}},
                                "a1 n1>n2"},
                {"a refusal does not use the limit up", "maxNoOfPodsToEvictTotal: 1",
                                "{name: RemoveDuplicates}", {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                                {"a3", "a", "n1", "100m"}},
                                "a2 n1>n2", "a1"},
                {"the limit of a node", "maxNoOfPodsToEvictPerNode: 1", "{name: RemoveDuplicates}",
                                {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                                {"a3", "a", "n1", "100m"},
                                                {"b1", "b", "n2", "100m"},
                                                {"b2", "b", "n2", "100m"}},
                                "a1 n1>n3|b1 n2>n3"},
                {"the limit of a namespace", "maxNoOfPodsToEvictPerNamespace: 1",
                                "{name: RemoveDuplicates}", {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                                {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                                {"a3", "a", "n1", "100m"}},
                                "a1 n1>n2"},
                {"pods leave a full node until it is below its target", NULL, LOW,
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1"}, {"b1", "b", "n1", "1"},
                                                {"c1", "c", "n1", "1"}, {"e1", "e", "n1", "1"}},
                                "a1 n1>n2|b1 n1>n2"},
                {"the less important ones first", NULL, LOW, {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1", "priority: 9"},
                                                {"b1", "b", "n1", "1", "priority: 5"},
                                                {"c1", "c", "n1", "1", "priority: 1"}},
                                "c1 n1>n2"},
                {"a pod that would fill its new node stays", NULL, LOW, {{"n1", 8}, {"n2", 4}},
                                {{"a1", "a", "n1", "3"}, {"b1", "b", "n1", "3"}}, ""},
                {"pods that ask for nothing do not help", NULL, LOW, {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "0"}, {"b1", "b", "n1", "3"}}, ""},
                {"no underutilized node", NULL, LOW, {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1"}, {"b1", "b", "n1", "1"},
                                                {"c1", "c", "n1", "1"}, {"e1", "e", "n2", "1"}},
                                ""},
                {"too few underutilized nodes", NULL,
                                "{name: LowNodeUtilization, thresholds: {cpu: 20}, "
                                "targetThresholds: {cpu: 50}, numberOfNodes: 1}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1"}, {"b1", "b", "n1", "1"},
                                                {"c1", "c", "n1", "1"}},
                                ""},
                {"distances from the average", NULL,
                                "{name: LowNodeUtilization, thresholds: {pods: 5}, "
                                "targetThresholds: {pods: 2}, useDeviationThresholds: true}",
                                {{"n1", 4}, {"n2", 4}},
                                /* 10 and 0 percent of the pods: the average is 5 */
                                {{"a1", "a", "n1", "500m"}, {"b1", "b", "n1", "500m"},
                                                {"c1", "c", "n1", "500m"},
                                                {"e1", "e", "n1", "500m"}},
                                "a1 n1>n2|b1 n1>n2"},
                {"an empty node is emptied", "scheduler: {scoringStrategy: MostAllocated}",
                                "{name: HighNodeUtilization, thresholds: {cpu: 30}}",
                                {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                                {{"a1", "a", "n1", "1"}, {"b1", "b", "n2", "1"},
                                                {"c1", "c", "n2", "1"}},
                                "a1 n1>n2"},
                {"but not for a scheduler that prefers empty nodes", NULL,
                                "{name: HighNodeUtilization, thresholds: {cpu: 30}}",
                                {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                                {{"a1", "a", "n1", "1"}, {"b1", "b", "n2", "1"},
                                                {"c1", "c", "n2", "1"}},
                                ""},
                {"all nodes are empty", "scheduler: {scoringStrategy: MostAllocated}",
                                "{name: HighNodeUtilization, thresholds: {cpu: 30}}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1"}, {"b1", "b", "n2", "1"}}, ""},
                {"a node selector that no longer holds", NULL,
                                "{name: RemovePodsViolatingNodeAffinity}",
                                {{"n1", 4}, {"n2", 4, "disk: ssd"}},
                                {{"a1", "a", "n1", "1", "nodeSelector: {disk: ssd}"},
                                                {"b1", "b", "n1", "1"}},
                                "a1 n1>n2"},
                {"no node has the label: it stays", NULL, "{name: RemovePodsViolatingNodeAffinity}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1", "nodeSelector: {disk: ssd}"}}, ""},
                {"without nodeFit it goes", "filter: {nodeFit: false}",
                                "{name: RemovePodsViolatingNodeAffinity}", {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1", "nodeSelector: {disk: ssd}"}},
                                "a1 n1>nowhere"},
                {"a taint", NULL, "{name: RemovePodsViolatingNodeTaints}",
                                {{"n1", 4, NULL, "taints: [{key: k, value: v, effect: NoSchedule}]"},
                                                {"n2", 4}},
                                {{"a1", "a", "n1", "1"},
                                                {"b1", "b", "n1", "1",
                                                                "tolerations: [{key: k, operator: Exists}]"}},
                                "a1 n1>n2"},
                {"an excluded taint", NULL,
                                "{name: RemovePodsViolatingNodeTaints, excludedTaints: [k=v]}",
                                {{"n1", 4, NULL, "taints: [{key: k, value: v, effect: NoSchedule}]"},
                                                {"n2", 4}},
                                {{"a1", "a", "n1", "1"}}, ""},
                {"another value of the key is not excluded", NULL,
                                "{name: RemovePodsViolatingNodeTaints, excludedTaints: [k=w, x]}",
                                {{"n1", 4, NULL, "taints: [{key: k, value: v, effect: NoSchedule}]"},
                                                {"n2", 4}},
                                {{"a1", "a", "n1", "1"}}, "a1 n1>n2"},
                {"a cordon evicts nobody", NULL, "{name: RemovePodsViolatingNodeTaints}",
                                {{"n1", 4, NULL,
                                                 "unschedulable: true, taints: [{key: "
                                                 "node.kubernetes.io/unschedulable, effect: "
                                                 "NoSchedule}]"},
                                                {"n2", 4}},
                                {{"a1", "a", "n1", "1"}}, ""},
                {"anti-affinity: one of two goes", NULL,
                                "{name: RemovePodsViolatingInterPodAntiAffinity}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1", ANTI}, {"a2", "a", "n1", "1", ANTI}},
                                "a1 n1>n2"},
                {"anti-affinity of the other pod", NULL,
                                "{name: RemovePodsViolatingInterPodAntiAffinity}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"b1", "b", "n1", "1", "priority: 5, " ANTI},
                                                {"a1", "a", "n1", "1"}},
                                "a1 n1>n2"},
                {"anti-affinity that finds no place", NULL,
                                "{name: RemovePodsViolatingInterPodAntiAffinity}",
                                {{"n1", 4}, {"n2", 4}},
                                {{"a1", "a", "n1", "1", ANTI}, {"a2", "a", "n1", "1", ANTI},
                                                {"a3", "a", "n2", "1", ANTI}},
                                ""},
                {"topology spread", NULL, "{name: RemovePodsViolatingTopologySpreadConstraint}",
                                {{"n1", 8}, {"n2", 8}, {"n3", 8}},
                                {{"a1", "a", "n1", "1", SPREAD("DoNotSchedule")},
                                                {"a2", "a", "n1", "1", SPREAD("DoNotSchedule")},
                                                {"a3", "a", "n1", "1", SPREAD("DoNotSchedule")},
                                                {"a4", "a", "n2", "1", SPREAD("DoNotSchedule")}},
                                "a1 n1>n3"},
                {"soft constraints stay", NULL,
                                "{name: RemovePodsViolatingTopologySpreadConstraint}",
                                {{"n1", 8}, {"n2", 8}},
                                {{"a1", "a", "n1", "1", SPREAD("ScheduleAnyway")},
                                                {"a2", "a", "n1", "1", SPREAD("ScheduleAnyway")}},
                                ""},
                {"unless they count", NULL,
                                "{name: RemovePodsViolatingTopologySpreadConstraint, constraints: "
                                "[ScheduleAnyway]}",
                                {{"n1", 8}, {"n2", 8}},
                                {{"a1", "a", "n1", "1", SPREAD("ScheduleAnyway")},
                                                {"a2", "a", "n1", "1", SPREAD("ScheduleAnyway")}},
                                "a1 n1>n2"},
                {"old pods, also when they come back", NULL,
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 3000}",
                                {{"n1", 4}, {"n2", 2}},
                                {{"a1", "a", "n1", "1"}, {"b1", "b", "n2", "1"}},
                                "a1 n1>n1|b1 n2>n2"},
                {"on the only node nothing else would take them", NULL,
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 3000}", {{"n1", 4}},
                                {{"a1", "a", "n1", "1"}}, ""},
                {"young pods stay", NULL, "{name: PodLifeTime, maxPodLifeTimeSeconds: 4000}",
                                {{"n1", 4}, {"n2", 4}}, {{"a1", "a", "n1", "1"}}, ""},
                {"old pods in another state stay", NULL,
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 3000, states: "
                                "[Pending]}",
                                {{"n1", 4}, {"n2", 4}}, {{"a1", "a", "n1", "1"}}, ""},
                {"what is protected", NULL, "{name: PodLifeTime, maxPodLifeTimeSeconds: 1}",
                                {{"n1", 8}, {"n2", 8}},
                                {{"bare", "", "n1", "0"}, {"daemon", "ds", "n1", "0"},
                                                {"mirror", "a", "n1", "0", NULL,
                                                                "annotations: {"
                                                                "kubernetes.io/config.mirror: x}"},
                                                {"local", "a", "n1", "0",
                                                                "volumes: [{name: v, emptyDir: "
                                                                "{}}]"},
                                                {"important", "a", "n1", "0",
                                                                "priority: 2000000000"},
                                                {"ending", "a", "n1", "0", NULL,
                                                                "deletionTimestamp: "
                                                                "'2026-01-01T12:00:00Z'"},
                                                {"other", "a", "n1", "0", "schedulerName: mine"}},
                                ""},
                {"what is not, when it is asked for",
                                "filter: {evictBarePods: true, evictLocalStoragePods: true}",
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 1}",
                                {{"n1", 8}, {"n2", 8}},
                                {{"bare", "", "n1", "0"}, {"daemon", "ds", "n1", "0"},
                                                {"local", "a", "n1", "0",
                                                                "volumes: [{name: v, emptyDir: "
                                                                "{}}]"}},
                                "bare n1>n2|local n1>n1"},
                {"claims", "filter: {ignorePvcPods: true}",
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 1}",
                                {{"n1", 8}, {"n2", 8}},
                                {{"a1", "a", "n1", "0",
                                                "volumes: [{name: v, persistentVolumeClaim: "
                                                "{claimName: c}}]"}},
                                ""},
                {"age", "filter: {minPodAge: 2h}", "{name: RemoveDuplicates}",
                                {{"n1", 8}, {"n2", 8}},
                                {{"a1", "a", "n1", "0"}, {"a2", "a", "n1", "0"}}, ""},
                {"labels and namespaces",
                                "filter: {labelSelector: {matchLabels: {app: b}}, namespaces: "
                                "{include: [d, e]}}",
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 1}",
                                {{"n1", 8}, {"n2", 8}},
                                {{"a1", "a", "n1", "0"}, {"b1", "b", "n1", "0"}}, "b1 n1>n2"},
                {"an excluded namespace", "filter: {namespaces: {exclude: [d]}}",
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 1}",
                                {{"n1", 8}, {"n2", 8}}, {{"a1", "a", "n1", "0"}}, ""},
                {"nodes", "filter: {nodeSelector: {matchLabels: {pool: x}}}",
                                "{name: PodLifeTime, maxPodLifeTimeSeconds: 1}",
                                {{"n1", 8}, {"n2", 8, "pool: x"}},
                                {{"a1", "a", "n1", "0"}, {"b1", "b", "n2", "0"}}, "b1 n2>n2"},
};

static void test_strategies(void **state) {
        for (size_t i = 0; i < ELEMENTS(tables); i++) {
                _cleanup_(desched_freep) struct desched *d = make(&tables[i]);
                _cleanup_free_ char *got = walk(d, tables[i].refused);

                if (!streq(got, tables[i].expected))
                        fail_msg("%s: %s, expected %s", tables[i].name, got, tables[i].expected);
        }
}

static void test_restarts(void **state) {
        static const struct {
                const char *args;
                int restarts, of_init;
                const char *expected;
        } cases[] = {{"podRestartThreshold: 5", 5, 0, "a1 n1>n1"},
                        {"podRestartThreshold: 5", 4, 9, ""},
                        {"podRestartThreshold: 5, includingInitContainers: true", 4, 1,
                                        "a1 n1>n1"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *strategy = strformat(
                                "{name: RemovePodsHavingTooManyRestarts, %s}", cases[i].args);
                struct table t = {.name = cases[i].args,
                                .strategies = strategy,
                                .nodes = {{"n1", 4}, {"n2", 4}}};
                _cleanup_(desched_freep) struct desched *d = make(&t);
                _cleanup_free_ char *got = NULL;
                _cleanup_json_ json_t *o = yaml(
                                "metadata: {name: a1, namespace: d, uid: u-a1, ownerReferences: "
                                "[{kind: ReplicaSet, name: a, uid: u, controller: true}]}\n"
                                "spec: {nodeName: n1, containers: [{name: c, image: i}]}\n"
                                "status: {phase: Running, containerStatuses: [{restartCount: %i}], "
                                "initContainerStatuses: [{restartCount: %i}]}\n",
                                cases[i].restarts, cases[i].of_init);

                desched_put(d, WORLD_PODS, o);
                got = walk(d, NULL);
                assert_string_equal(got, cases[i].expected);
        }
}

/* A second run after the first one's moves finds nothing: pods are not sent in circles. */
static void test_settles(void **state) {
        for (size_t i = 0; i < ELEMENTS(tables); i++) {
                _cleanup_(desched_freep) struct desched *d = make(&tables[i]), *again = NULL;
                _cleanup_free_ char *first = walk(d, NULL), *second = NULL;
                struct table t = tables[i];
                _cleanup_strv_free_ char **moves = NULL;

                /* Age does not change with the node, nor does a limit end the work. */
                if (strstr(t.strategies, "PodLifeTime") || strstr(strempty(t.spec), "maxNoOf"))
                        continue;
                assert_int_equal(strv_split(first, "|", &moves), 0);
                for (size_t k = 0; moves && moves[k]; k++)
                        for (size_t n = 0; n < ELEMENTS(t.pods) && t.pods[n].name; n++) {
                                size_t size = strlen(t.pods[n].name);

                                if (startswith(moves[k], t.pods[n].name) && moves[k][size] == ' ')
                                        t.pods[n].node = strchr(moves[k], '>') + 1;
                        }
                if (strstr(first, "nowhere"))
                        continue;
                again = make(&t);
                second = walk(again, NULL);
                if (*second)
                        fail_msg("%s: %s, then again %s", t.name, first, second);
        }
}

static void test_report(void **state) {
        static const struct table t = {"report", "maxNoOfPodsToEvictPerNode: 1",
                        "{name: RemoveDuplicates}, " LOW, {{"n1", 4}, {"n2", 4}, {"n3", 4}},
                        {{"a1", "a", "n1", "100m"}, {"a2", "a", "n1", "100m"},
                                        {"a3", "a", "n1", "100m"}, {"x", "", "n1", "100m"}},
                        NULL};
        static const struct {
                const char *path;
                const char *expected;
        } expected[] = {{"evicted", "1"}, {"refused", "1"}, {"failed", "0"}, {"wouldEvict", "0"},
                        {"nodes", "3"}, {"pods", "4"}, {"evictable", "3"},
                        {"strategies", "[{\"name\":\"RemoveDuplicates\",\"found\":3,\"evicted\":1,"
                                       "\"refused\":1,\"beyondLimits\":1},{\"name\":"
                                       "\"LowNodeUtilization\",\"found\":0,\"message\":\"no node "
                                       "is above its target\"}]"},
                        {"kept", "[{\"reason\":\"without a controller (filter.evictBarePods)\","
                                 "\"pods\":1}]"},
                        {"message", "\"evicted 1 of 3 pods that have a reason to go; "
                                    "PodDisruptionBudgets refused 1\""}};
        _cleanup_(desched_freep) struct desched *d = make(&t);
        _cleanup_json_ json_t *report = NULL;

        free(walk(d, "a1"));
        report = desched_report(d);
        for (size_t i = 0; i < ELEMENTS(expected); i++) {
                _cleanup_free_ char *text = json_dumps(json_object_get(report, expected[i].path),
                                JSON_ENCODE_ANY | JSON_COMPACT);

                assert_string_equal(text, expected[i].expected);
        }
        assert_string_equal(
                        json_str(json_array_get(json_object_get(report, "evictions"), 0), "result"),
                        "Refused");
        assert_string_equal(
                        json_str(json_array_get(json_object_get(report, "evictions"), 1), "reason"),
                        "3 pods of ReplicaSet a are on the node");
}

static void test_report_is_bounded(void **state) {
        struct table t = {"many", "maxNoOfPodsToEvictTotal: 1000, filter: {evictBarePods: true}",
                        "{name: PodLifeTime, maxPodLifeTimeSeconds: 1}",
                        {{"n1", 4}, {"n2", 4}, {"n3", 4}}, {{0}}, NULL};
        _cleanup_(desched_freep) struct desched *d = make(&t);
        _cleanup_json_ json_t *report = NULL;
        _cleanup_free_ char *got = NULL;

        for (int i = 0; i < 20; i++) {
                _cleanup_free_ char *a = strformat("a%i", i), *b = strformat("b%i", i),
                                    *c = strformat("c%i", i);

                put_pod(d, &(struct pod){a, "a", "n1", "0"});
                put_pod(d, &(struct pod){b, "a", "n2", "0"});
                put_pod(d, &(struct pod){c, "a", "n2", "0"});
        }
        got = walk(d, NULL);
        report = desched_report(d);
        assert_int_equal(json_array_size(json_object_get(report, "evictions")), DESCHED_LISTED_MAX);
        assert_true(json_int_or(report, "evicted", 0) > DESCHED_LISTED_MAX);
        assert_int_equal(json_int_or(report, "omitted", 0),
                        json_int_or(report, "evicted", 0) - DESCHED_LISTED_MAX);
}

/* --- when --- */

#define CONTROLLER &descheduling_controller

static void put(struct fake *f, const char *spec, const char *status, const char *annotations) {
        fake_put(f, WORLD_DESCHEDULINGS,
                        "metadata: {name: x, uid: u, generation: 3, creationTimestamp: "
                        "'2026-01-01T09:30:00Z', annotations: {%s}}\nspec: {%s, strategies: []}\n"
                        "status: {%s}\n",
                        annotations, spec, status);
}

static void test_when(void **state) {
        static const struct {
                const char *spec, *status, *annotations, *expected;
                uint64_t requeue_s;
        } cases[] = {
                        {"schedule: '0 * * * *'", "", "",
                                        "patch deschedulings x|barrier|deschedule deschedulings x",
                                        3600},
                        {"schedule: '0 * * * *'", "lastScheduleTime: '2026-01-01T12:00:00Z'", "",
                                        "", 3600},
                        {"schedule: '0 13 * * *', timeZone: Europe/Berlin", "", "",
                                        "patch deschedulings x|barrier|deschedule deschedulings x",
                                        86400},
                        {"schedule: '30 11 * * *', startingDeadlineSeconds: 60", "", "", "", 84600},
                        {"schedule: '30 11 * * *', startingDeadlineSeconds: 9223372036854775807",
                                        "", "",
                                        "patch deschedulings x|barrier|deschedule deschedulings x",
                                        84600},
                        {"schedule: '30 11 * * *', startingDeadlineSeconds: 1800", "", "",
                                        "patch deschedulings x|barrier|deschedule deschedulings x",
                                        84600},
                        {"schedule: '30 11 * * *', startingDeadlineSeconds: 9223372036854775807",
                                        "", "",
                                        "patch deschedulings x|barrier|deschedule deschedulings x",
                                        84600},
                        {"schedule: '0 * * * *', suspend: true", "", "", "", 0},
                        {"interval: 10m", "lastScheduleTime: '2026-01-01T11:51:00Z'", "", "", 60},
                        {"interval: 10m", "lastScheduleTime: '2026-01-01T11:50:00Z'", "",
                                        "patch deschedulings x|barrier|deschedule deschedulings x",
                                        600},
                        {"dryRun: true", "", "", "", 0},
                        {"dryRun: true", "", "keelson.dev/reconcileAt: now",
                                        "patch deschedulings x|barrier|deschedule deschedulings x",
                                        0},
                        {"dryRun: true", "lastHandledReconcileAt: now",
                                        "keelson.dev/reconcileAt: now", "", 0},
                        {"schedule: nonsense", "", "", "", 0},
                        /* killed during a run: recorded, not repeated */
                        {"schedule: '0 * * * *'",
                                        "lastScheduleTime: '2026-01-01T12:00:00Z', running: "
                                        "{evicted: 4}",
                                        "", "patch deschedulings x|event events x", 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *text = NULL, *brief = NULL;
                uint64_t requeue;

                put(f, cases[i].spec, cases[i].status, cases[i].annotations);
                text = fake_plan(f, CONTROLLER, "x", &requeue);
                brief = fake_brief(text, 3);
                if (!streq(brief, cases[i].expected))
                        fail_msg("%s: %s", cases[i].spec, text);
                assert_int_equal(requeue / 1000000, cases[i].requeue_s);
        }
}

/* The run that is claimed is the last one that was missed. */
static void test_claim(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put(f, "schedule: '15 * * * *'", "", "keelson.dev/reconcileAt: abc");
        assert_plan_has(f, CONTROLLER, "x", "\"lastScheduleTime\":\"2026-01-01T11:15:00Z\"");
        assert_plan_has(f, CONTROLLER, "x", "\"lastHandledReconcileAt\":\"abc\"");
        put(f, "interval: 10m", "running: {evicted: 4, startTime: '2026-01-01T11:00:00Z'}", "");
        assert_plan_has(f, CONTROLLER, "x", "\"running\":null");
        assert_plan_has(f, CONTROLLER, "x", "\"result\":\"Interrupted\"");
        assert_plan_has(f, CONTROLLER, "x", "\"evicted\":4");
}

static void test_status(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put(f, "schedule: '15 * * * *', timeZone: Europe/Berlin", "lastRun: {evicted: 7}", "");
        assert_report(f, CONTROLLER, "x", "schedule", "\"15 * * * * Europe/Berlin\"");
        assert_report(f, CONTROLLER, "x", "nextScheduleTime", "\"2026-01-01T12:15:00Z\"");
        assert_report(f, CONTROLLER, "x", "lastRun.evicted", "7");
        assert_report(f, CONTROLLER, "x", "observedGeneration", "3");
        put(f, "interval: 10m, suspend: true", "nextScheduleTime: '2026-01-01T12:15:00Z'", "");
        assert_report(f, CONTROLLER, "x", "schedule", "\"every 10m (suspended)\"");
        assert_report(f, CONTROLLER, "x", "nextScheduleTime", "absent");
        put(f, "schedule: '15 * * * *', timeZone: Europe/Nowhere", "", "");
        {
                _cleanup_json_ json_t *status =
                                descheduling_controller.report(&f->world, "x", /* failed= */ NULL);
                const json_t *c = json_array_get(json_at(status, "conditions"), 0);

                assert_string_equal(json_str(c, "reason"), "UnknownTimeZone");
                assert_non_null(strstr(json_str(c, "message"), "tzdata"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_strategies),
                        cmocka_unit_test(test_restarts),
                        cmocka_unit_test(test_settles),
                        cmocka_unit_test(test_report),
                        cmocka_unit_test(test_report_is_bounded),
                        cmocka_unit_test(test_when),
                        cmocka_unit_test(test_claim),
                        cmocka_unit_test(test_status),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
