/* The scheduler's cluster and the plugins that look at one node. */
#include "tests/unit/sched.h"

#include <time.h>

static int64_t used_cpu(const struct sched_cluster *c, const char *node) {
        return ((const struct sched_node *)map_get(c->nodes, node))->used.v[RESOURCE_CPU];
}

static void test_resources(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();

        assert_place(c, "p", "", "", "no nodes available to schedule pods");
        add_node(c, "a", "", "");
        add_node(c, "b", "", "");
        add_pod(c, "big", "z", "a", "", "cpu: 1500m, memory: 1Gi");
        assert_place(c, "p", "", "cpu: '1'", "b");
        assert_place(c, "p", "", "cpu: 2500m", "0/2 nodes are available: 2 Insufficient cpu.");
        assert_place(c, "p", "", "cpu: 2500m, memory: 5Gi",
                        "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.");
        assert_place(c, "p", "", "example.com/gpu: 1",
                        "0/2 nodes are available: 2 Insufficient example.com/gpu.");
        add_pod(c, "b1", "z", "b", "", "");
        add_pod(c, "b2", "z", "b", "", "");
        add_pod(c, "b3", "z", "b", "", "");
        assert_place(c, "p", "", "cpu: '1'",
                        "0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods.");
}

/* What the pod waits for. */
static uint32_t waits_for(struct sched_cluster *c, const json_t *object) {
        _cleanup_sched_reasons_ struct sched_reasons why = {0};
        struct sched_pod *p = read_pod(c, object);

        assert_null(sched_choose(c, p, /* tie= */ 0, &why));
        sched_pod_free(c, p);
        return why.events;
}

/* A claim of ReadWriteOncePod is for one pod in the cluster, on whatever node. */
static void test_one_pod_claims(void **state) {
        static const char volumes[] =
                        "volumes: [{name: v, persistentVolumeClaim: {claimName: one}}]";
        static const char busy[] = "0/2 nodes are available: node has pod using "
                                   "PersistentVolumeClaim with the same name and ReadWriteOncePod "
                                   "access mode";
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t
                        *claim = yaml("metadata: {name: one, namespace: d}\n"
                                      "spec: {accessModes: [ReadWriteOncePod], volumeName: v, "
                                      "storageClassName: s}\nstatus: {phase: Bound}\n"),
                        *volume = yaml("metadata: {name: v}\nspec: {}\n"
                                       "status: {phase: Bound}\n"),
                        *o = pod("q", "o", volumes, "");
        _cleanup_free_ char *got = NULL, *on = NULL;

        add_node(c, "a", "", "");
        add_node(c, "b", "", "");
        sched_cluster_put_claim(c, claim);
        sched_cluster_put_volume(c, volume);
        add_pod(c, "p", "o", "a", volumes, "");
        got = place(c, o);
        if (!startswith(got, busy))
                fail_msg("%s", got);
        /* The pod that has it may leave a node where this one could not be, as a cordoned one. */
        assert_int_equal(waits_for(c, o) & (SCHED_POD_GONE | SCHED_ANYWHERE),
                        SCHED_POD_GONE | SCHED_ANYWHERE);
        sched_cluster_forget(c, "u-p");
        /* A pod that was only just assigned has it as well. */
        on = assume(c, o);
        assert_non_null(on);
        free(got);
        o = (json_decref(o), pod("r", "o", volumes, ""));
        got = place(c, o);
        if (!startswith(got, busy))
                fail_msg("%s", got);
        sched_cluster_forget(c, "u-q");
        assert_place(c, "r", volumes, "", "a");
}

/* The pod's own requests raise the sum of its containers and never lower it: lib/pod-amounts.h. */
static void test_pod_requests(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();

        add_node(c, "a", "", "");
        /* The pod's own amount counts: its slice holds the containers to it. */
        assert_place(c, "p", "resources: {requests: {cpu: 100m}}", "cpu: 2500m", "a");
        assert_place(c, "p", "resources: {requests: {cpu: 2500m}}", "cpu: 100m",
                        "0/1 nodes are available: 1 Insufficient cpu.");
        assert_place(c, "p", "resources: {requests: {cpu: '2'}}", "cpu: 100m", "a");
        assert_place(c, "p", "overhead: {cpu: 600m}", "cpu: 1500m",
                        "0/1 nodes are available: 1 Insufficient cpu.");
        assert_place(c, "p", "overhead: {example.com/gpu: 1}", "",
                        "0/1 nodes are available: 1 Insufficient example.com/gpu.");
}

/* A resource is summed up once, not once for each container that names it: a pod of thousands with
 * "0" would hold up everybody's scheduling for seconds. */
static void test_many_zeros(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *o = pod("p", "o", "nodeName: a", "cpu: '0'");
        json_t *containers = json_at_mut(o, "spec.containers");
        clock_t start = clock();

        for (int i = 0; i < 5000; i++)
                json_array_append_new(containers,
                                json_pack("{s{s{ss}}}", "resources", "requests", "cpu", "0"));
        add_node(c, "a", "", "");
        sched_cluster_put_pod(c, o);
        assert_true(clock() - start < CLOCKS_PER_SEC / 2);
}

/* A resource without room in the table is refused, not forgotten. */
static void test_many_resources(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_buf_ struct buf many = {0};

        add_node(c, "a", "", "");
        for (int i = 0; i < RESOURCES_MAX; i++)
                buf_printf(&many, "%sexample.com/r%i: 1", i > 0 ? ", " : "", i);
        add_pod(c, "p", "p", "a", "", many.data);
        assert_place(c, "q", "", "example.com/other: 1",
                        "0/1 nodes are available: 1 Insufficient resources: there are more than 32 "
                        "different ones.");
        assert_place(c, "q", "", "cpu: 1m", "a");
}

static void test_counting(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *o = pod("p", "o", "", "cpu: '2'");
        _cleanup_json_ json_t *bound = pod("p", "o", "nodeName: a", "cpu: '2'"), *done = NULL;
        struct sched_pod *p;

        add_node(c, "a", "", "");
        p = read_pod(c, o);
        sched_cluster_assume(c, p, "a");
        assert_place(c, "q", "", "cpu: 1m", "0/1 nodes are available: 1 Insufficient cpu.");
        sched_cluster_put_pod(c, o); /* an update from before the binding */
        assert_place(c, "q", "", "cpu: 1m", "0/1 nodes are available: 1 Insufficient cpu.");
        sched_cluster_put_pod(c, bound); /* confirmed: counted once */
        sched_cluster_put_pod(c, bound);
        assert_int_equal(used_cpu(c, "a"), 2000);
        done = json_deep_copy(bound);
        json_set_str(done, "status.phase", "Succeeded");
        sched_cluster_put_pod(c, done);
        assert_place(c, "q", "", "cpu: '2'", "a");
        sched_cluster_assume(c, p, "a");
        sched_cluster_forget(c, "u-p");
        assert_place(c, "q", "", "cpu: '2'", "a");
        assert_int_equal(used_cpu(c, "a"), 0);
        sched_pod_free(c, p);
}

static void test_init_containers(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();

        add_node(c, "a", "", "");
        assert_place(c, "p", "initContainers: [{resources: {requests: {cpu: '3'}}}]", "cpu: 1m",
                        "0/1 nodes are available: 1 Insufficient cpu.");
        /* alone it fits, though both together would not */
        assert_place(c, "p", "initContainers: [{resources: {requests: {cpu: '2'}}}]", "cpu: '2'",
                        "a");
        /* a sidecar runs beside */
        assert_place(c, "p",
                        "initContainers: [{restartPolicy: Always, resources: {requests: {cpu: "
                        "'1'}}}]",
                        "cpu: '2'", "0/1 nodes are available: 1 Insufficient cpu.");
}

static void test_nodes_that_do_not_match(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *silent =
                        yaml("metadata: {name: d}\nstatus: {allocatable: {pods: 9}}");

        add_node(c, "a", "disk: ssd, 'n': '5'", "");
        add_node(c, "b", "disk: hdd", "taints: [{key: k, value: v, effect: NoSchedule}]");
        add_node(c, "c", "", "unschedulable: true");
        sched_cluster_put_node(c, silent);
        assert_place(c, "p", "nodeSelector: {disk: hdd}", "",
                        "0/4 nodes are available: 1 node(s) didn't match Pod's node "
                        "affinity/selector, "
                        "1 node(s) had untolerated taint {k: v}, 1 node(s) were not ready, "
                        "1 node(s) were unschedulable.");
        assert_place(c, "p",
                        "nodeSelector: {disk: hdd}, tolerations: [{key: k, operator: Equal, value: "
                        "v}]",
                        "", "b");
        assert_place(c, "p",
                        "tolerations: [{operator: Exists}], affinity: {nodeAffinity: "
                        "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
                        "[{matchExpressions: [{key: 'n', operator: Gt, values: ['4']}, "
                        "{key: disk, operator: NotIn, values: [hdd]}]}]}}}",
                        "", "a");
        assert_place(c, "p",
                        "tolerations: [{operator: Exists}], affinity: {nodeAffinity: "
                        "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
                        "[{matchFields: [{key: metadata.name, operator: In, values: [c]}]}]}}}",
                        "", "c");
        assert_place(c, "p",
                        "tolerations: [{key: k, operator: Exists}], affinity: {nodeAffinity: "
                        "{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 50, "
                        "preference: "
                        "{matchExpressions: [{key: disk, operator: In, values: [hdd]}]}}]}}",
                        "", "b");
}

static void test_host_ports(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *first = yaml("metadata: {name: f, namespace: d, uid: f}\nspec: "
                                            "{nodeName: a, containers: "
                                            "[{ports: [{hostPort: 80, hostIP: 10.0.0.1}]}]}\n");
        _cleanup_json_ json_t *clash = yaml("metadata: {name: g, uid: g}\nspec: {containers: "
                                            "[{ports: [{hostPort: 80}]}]}\n");
        _cleanup_json_ json_t *other = yaml("metadata: {name: g, uid: g}\nspec: {containers: "
                                            "[{ports: [{hostPort: 80, hostIP: 10.0.0.2}]}]}\n");
        _cleanup_json_ json_t *udp = yaml("metadata: {name: g, uid: g}\nspec: {containers: "
                                          "[{ports: [{hostPort: 80, protocol: UDP}]}]}\n");
        _cleanup_free_ char *a = NULL, *b = NULL, *d = NULL;

        add_node(c, "a", "", "");
        sched_cluster_put_pod(c, first);
        a = place(c, clash);
        assert_string_equal(a, "0/1 nodes are available: 1 node(s) didn't have free ports for the "
                               "requested pod ports.");
        b = place(c, other);
        assert_string_equal(b, "a");
        d = place(c, udp);
        assert_string_equal(d, "a");
}

/* Three replicas land on three nodes, though one of them is emptier than the others. */
static void test_spread(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        char name[16];

        add_node(c, "a", "", "");
        add_node(c, "b", "", "");
        add_node(c, "c", "", "");
        add_pod(c, "x", "other", "a", "", "cpu: 800m");
        add_pod(c, "y", "other", "b", "", "cpu: 400m");
        for (int i = 0; i < 3; i++) {
                (void)snprintf(name, sizeof(name), "p%d", i);
                _cleanup_json_ json_t *o = pod(name, "o", "", "cpu: 10m");
                _cleanup_free_ char *node = assume(c, o);

                assert_string_equal(node, i == 0 ? "c" : i == 1 ? "b" : "a");
        }
}

static void test_events(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *a = yaml("metadata: {name: a}\nspec: {}\nstatus: {conditions: "
                                        "[{type: Ready, status: 'False', lastHeartbeatTime: x}]}");
        _cleanup_json_ json_t *b = json_deep_copy(a), *d = json_deep_copy(a), *e = NULL;
        uint64_t changes;

        assert_true(sched_cluster_put_node(c, a) & SCHED_NODE_ADDED);
        changes = c->change_count;
        json_set_str(b, "metadata.annotations", "anything");
        assert_int_equal(sched_cluster_put_node(c, b), 0); /* a heartbeat wakes nobody */
        assert_int_equal(c->change_count, changes);
        json_set_str(d, "metadata.labels.x", "y");
        assert_int_equal(sched_cluster_put_node(c, d), SCHED_NODE_LABELS);
        e = json_deep_copy(d);
        json_set_at(e, "spec.unschedulable", json_true());
        assert_int_equal(sched_cluster_put_node(c, e), SCHED_NODE_TAINTS);
}

/* One node differs from others in one thing; the plugin's score decides. */
static void test_scores(void **state) {
        static const struct {
                const char *plugin, *config; /* the only score that is on, and its arguments */
                const char *a, *b;           /* what is different, before the pods on a and b */
                const char *on_a, *on_b, *spec, *requests, *expected;
        } cases[] = {
                        {"NodeResourcesFit", "{}", "", "", "cpu: 500m", "cpu: 600m", "", "cpu: 10m",
                                        "a"},
                        {"NodeResourcesFit", "{scoringStrategy: {type: MostAllocated}}", "", "",
                                        "cpu: 500m", "cpu: 600m", "", "cpu: 10m", "b"},
                        {"NodeResourcesFit",
                                        "{scoringStrategy: {type: RequestedToCapacityRatio, "
                                        "resources: [{name: cpu, weight: 1}], "
                                        "requestedToCapacityRatio: {shape: [{utilization: 0, "
                                        "score: 0}, {utilization: 50, score: 10}, {utilization: "
                                        "100, score: 0}]}}}",
                                        "", "", "cpu: 900m", "cpu: 1500m", "", "cpu: 100m", "a"},
                        /* half of the cpu and of the memory is balanced */
                        {"NodeResourcesBalancedAllocation", "{}", "", "", "cpu: '1', memory: 1Gi",
                                        "cpu: '1', memory: 2Gi", "", "cpu: 1m, memory: 1Mi", "b"},
                        {"TaintToleration", "{}",
                                        "taints: [{key: k, value: v, effect: PreferNoSchedule}]",
                                        "", "", "cpu: 900m", "", "", "b"},
                        {"TaintToleration", "{}",
                                        "taints: [{key: k, value: v, effect: PreferNoSchedule}]",
                                        "taints: [{key: l, effect: PreferNoSchedule}]", "", "",
                                        "tolerations: [{key: k, operator: Exists}]", "", "a"},
                        {"NodeAffinity",
                                        "{addedAffinity: "
                                        "{preferredDuringSchedulingIgnoredDuringExecution: "
                                        "[{weight: 1, preference: {matchExpressions: [{key: "
                                        "kubernetes.io/hostname, operator: In, values: [b]}]}}]}}",
                                        "", "", "", "", "", "", "b"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(sched_cluster_freep) struct sched_cluster *c = sched_cluster_new();
                _cleanup_json_ json_t *config =
                                yaml("{plugins: {score: {disabled: [{name: '*'}], enabled: [{name: "
                                     "%s}]}}, pluginConfig: [{name: %s, args: %s}]}",
                                                cases[i].plugin, cases[i].plugin, cases[i].config);
                const struct sched_profile *profile;

                assert_int_equal(sched_profile_add(c, config, &profile, NULL), 0);
                add_node(c, "a", "", cases[i].a);
                add_node(c, "b", "", cases[i].b);
                add_pod(c, "on-a", "x", "a", "", cases[i].on_a);
                add_pod(c, "on-b", "x", "b", "", cases[i].on_b);
                assert_place(c, "p", cases[i].spec, cases[i].requests, cases[i].expected);
        }
}

static void test_images(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *with =
                        yaml("metadata: {name: b, labels: {kubernetes.io/hostname: b}}\n"
                             "status: {allocatable: {cpu: '2', memory: 4Gi}, images: [{names: "
                             "['example.com/app:latest'], sizeBytes: 900000000}], "
                             "conditions: [{type: Ready, status: 'True'}]}");
        _cleanup_json_ json_t *p = yaml("metadata: {name: p, uid: p}\nspec: {containers: "
                                        "[{image: example.com/app}]}");
        _cleanup_free_ char *node = NULL, *other = NULL;
        _cleanup_json_ json_t *without = NULL;

        add_node(c, "a", "", "");
        sched_cluster_put_node(c, with);
        node = place(c, p);
        assert_string_equal(node, "b");
        without = json_deep_copy(with);
        json_del_at(without, "status.images");
        sched_cluster_put_node(c, without);
        other = place(c, p);
        assert_string_equal(other, "a");
}

static void test_profiles(void **state) {
        static const struct {
                const char *profile, *expected; /* a node or part of the message; NULL: accepted */
        } cases[] = {
                        {"plugins: {multiPoint: {disabled: [{name: NodeResourcesFit}]}}", NULL},
                        {"plugins: {score: {enabled: [{name: Nonsense}]}}",
                                        "there is no scheduler plugin \"Nonsense\""},
                        {"plugins: {score: {enabled: [{name: ImageLocality, weight: 20000}]}}",
                                        "from 1 to 10000"},
                        {"plugins: {postFilter: {disabled: [{name: DefaultPreemption}]}}", NULL},
                        {"pluginConfig: [{name: VolumeBinding, args: {}}]", NULL},
                        {"pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: "
                         "Best}}}]",
                                        "is none of LeastAllocated"},
                        {"pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: "
                         "101}}]",
                                        "from 0 to 100"},
                        {"pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: "
                         "[{}]}}]",
                                        "defaultingType: List"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(sched_cluster_freep) struct sched_cluster *c = sched_cluster_new();
                _cleanup_json_ json_t *v = yaml("apiVersion: kubescheduler.config.k8s.io/v1\n"
                                                "kind: KubeSchedulerConfiguration\n"
                                                "profiles: [{schedulerName: own, %s}]",
                                cases[i].profile);
                _cleanup_problem_ struct problem p = {0};
                int r = sched_profiles_read(c, v, &p);

                if (cases[i].expected) {
                        assert_int_equal(r, -EINVAL);
                        assert_non_null(strstr(p.message, cases[i].expected));
                        continue;
                }
                assert_int_equal(r, 1);
                assert_non_null(sched_profile_for(c, "own"));
                assert_null(sched_profile_for(c, "default-scheduler"));
        }
}

/* A filter that is off does not refuse; node affinity of the profile does. */
static void test_profile_filters(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = sched_cluster_new();
        _cleanup_json_ json_t *v =
                        yaml("{plugins: {multiPoint: {disabled: [{name: NodeResourcesFit}]}}, "
                             "pluginConfig: [{name: NodeAffinity, args: {addedAffinity: "
                             "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
                             "[{matchExpressions: [{key: disk, operator: Exists}]}]}}}}]}");
        const struct sched_profile *profile;

        assert_int_equal(sched_profile_add(c, v, &profile, NULL), 0);
        add_node(c, "a", "", "");
        assert_place(c, "p", "", "cpu: 90",
                        "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node "
                        "affinity.");
        add_node(c, "b", "disk: ssd", "");
        assert_place(c, "p", "", "cpu: 90", "b");
}

/* Equal nodes get equal shares. */
static void test_fair_ties(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *o = pod("p", "", "", "");
        unsigned chosen[3] = {0};
        struct sched_pod *p;

        add_node(c, "a", "", "");
        add_node(c, "b", "", "");
        add_node(c, "c", "", "");
        p = read_pod(c, o);
        for (uint64_t tie = 0; tie < 300; tie++) {
                struct sched_reasons why = {0};

                chosen[sched_choose(c, p, tie, &why)[0] - 'a']++;
        }
        for (size_t i = 0; i < ELEMENTS(chosen); i++)
                assert_int_equal(chosen[i], 100);
        sched_pod_free(c, p);
}

static void test_advice(void **state) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
        _cleanup_json_ json_t *o = pod("p", "", "", "cpu: 3"), *small = pod("q", "", "", ""),
                              *v = NULL, *w = NULL;
        struct sched_pod *p, *q;

        add_node(c, "a", "", "");
        add_node(c, "b", "", "taints: [{key: k, effect: NoSchedule}]");
        p = read_pod(c, o);
        v = sched_explain(c, p);
        assert_true(json_is_null(json_object_get(v, "node")));
        assert_string_equal(json_str(v, "message"),
                        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated "
                        "taint {k: }.");
        assert_non_null(strstr(json_str(v, "advice"), "1 Insufficient cpu: lower the pod's"));
        assert_non_null(strstr(json_str(v, "advice"), "add a toleration"));
        assert_int_equal(json_array_size(json_object_get(v, "refused")), 2);
        q = read_pod(c, small);
        w = sched_explain(c, q);
        assert_string_equal(json_str(w, "node"), "a");
        assert_int_equal(json_array_size(json_object_get(w, "scores")), 1);
        assert_true(json_int_or(json_array_get(json_object_get(w, "scores"), 0),
                                    "plugins.NodeResourcesFit.score", 0) > 0);
        assert_string_equal(json_str(json_array_get(json_object_get(w, "refused"), 0), "plugin"),
                        "TaintToleration");
        sched_pod_free(c, p);
        sched_pod_free(c, q);
}

/* Claims: what they are, and where the pod may go. Node a has disk 1, node b another zone. */
static const struct volume_case {
        const char *claim;  /* spec and status; NULL: there is no such claim */
        const char *meta;   /* further metadata */
        const char *volume; /* spec, or NULL */
        const char *class;  /* of the StorageClass "c" */
        const char *expected;
        int unbound; /* on node b */
} volume_cases[] = {
                {.expected = "0/2 nodes are available: persistentvolumeclaim \"data\" not "
                             "found."},
                {.claim = "spec: {storageClassName: c}",
                                .class = "volumeBindingMode: Immediate",
                                .expected = "0/2 nodes are available: pod has unbound "
                                            "immediate PersistentVolumeClaims."},
                {.claim = "spec: {volumeName: v}\nstatus: {phase: Bound}",
                                .volume = "{nodeAffinity: {required: {nodeSelectorTerms: "
                                          "[{matchExpressions: [{key: "
                                          "kubernetes.io/hostname, operator: In, values: "
                                          "[b]}]}]}}}",
                                .class = "x: y",
                                .expected = "b"},
                {.claim = "spec: {volumeName: v}\nstatus: {phase: Bound}",
                                .volume = "{nodeAffinity: {required: {nodeSelectorTerms: "
                                          "[{matchExpressions: [{key: "
                                          "kubernetes.io/hostname, operator: In, values: "
                                          "[z]}]}]}}}",
                                .class = "x: y",
                                .expected = "0/2 nodes are available: 2 node(s) had volume "
                                            "node affinity conflict."},
                {.claim = "spec: {volumeName: v}\nstatus: {phase: Bound}",
                                .class = "x: y",
                                .expected = "0/2 nodes are available: 2 node(s) "
                                            "unavailable due to one or more pvc(s) bound "
                                            "to non-existent pv(s)."},
                {.claim = "spec: {storageClassName: c}",
                                .class = "volumeBindingMode: WaitForFirstConsumer, "
                                         "provisioner: p, allowedTopologies: "
                                         "[{matchLabelExpressions: [{key: "
                                         "kubernetes.io/hostname, values: [b]}]}]",
                                .expected = "b",
                                .unbound = 1},
                {.claim = "spec: {storageClassName: c, accessModes: [ReadWriteOnce], "
                          "resources: {requests: {storage: 2Gi}}}",
                                .volume = "{storageClassName: c, accessModes: "
                                          "[ReadWriteOnce], capacity: {storage: 3Gi}, "
                                          "nodeAffinity: {required: {nodeSelectorTerms: "
                                          "[{matchExpressions: [{key: "
                                          "kubernetes.io/hostname, operator: In, values: "
                                          "[b]}]}]}}}",
                                .class = "volumeBindingMode: WaitForFirstConsumer, "
                                         "provisioner: kubernetes.io/no-provisioner",
                                .expected = "b",
                                .unbound = 1},
                {.claim = "spec: {storageClassName: c, accessModes: [ReadWriteOnce], "
                          "resources: {requests: {storage: 4Gi}}}",
                                .volume = "{storageClassName: c, accessModes: "
                                          "[ReadWriteOnce], capacity: {storage: 3Gi}}",
                                .class = "volumeBindingMode: WaitForFirstConsumer, "
                                         "provisioner: kubernetes.io/no-provisioner",
                                .expected = "0/2 nodes are available: 2 node(s) didn't "
                                            "find available persistent volumes to bind."},
                {.claim = "spec: {storageClassName: c}",
                                .volume = "{storageClassName: other, capacity: {storage: 3Gi}}",
                                .class = "volumeBindingMode: WaitForFirstConsumer, "
                                         "provisioner: kubernetes.io/no-provisioner",
                                .expected = "0/2 nodes are available: 2 node(s) didn't "
                                            "find available persistent volumes to bind."},
                {.claim = "spec: {storageClassName: c, selector: {matchLabels: {a: b}}}",
                                .volume = "{storageClassName: c, capacity: {storage: 3Gi}}",
                                .class = "volumeBindingMode: WaitForFirstConsumer, "
                                         "provisioner: kubernetes.io/no-provisioner",
                                .expected = "0/2 nodes are available: 2 node(s) didn't "
                                            "find available persistent volumes to bind."},
                {.claim = "spec: {storageClassName: c}",
                                .meta = ", annotations: "
                                        "{volume.kubernetes.io/selected-node: b}",
                                .class = "volumeBindingMode: WaitForFirstConsumer, "
                                         "provisioner: p",
                                .expected = "b",
                                .unbound = 1},
                /* A user may have written the annotation. */
                {.claim = "spec: {storageClassName: c}",
                                .meta = ", annotations: "
                                        "{volume.kubernetes.io/selected-node: b}",
                                .class = "volumeBindingMode: WaitForFirstConsumer, "
                                         "provisioner: p, allowedTopologies: "
                                         "[{matchLabelExpressions: [{key: "
                                         "kubernetes.io/hostname, values: [a]}]}]",
                                .expected = "0/2 nodes are available: 2 node(s) didn't "
                                            "find available persistent volumes to bind."},
};

static void test_volumes(void **state) {
        for (size_t i = 0; i < ELEMENTS(volume_cases); i++) {
                const struct volume_case *x = &volume_cases[i];
                _cleanup_(sched_cluster_freep) struct sched_cluster *c = cluster_new();
                _cleanup_json_ json_t *o = pod("p", "o",
                                "volumes: [{persistentVolumeClaim: {claimName: data}}]", "");
                _cleanup_strv_free_ char **select = NULL;
                _cleanup_free_ char *node = NULL;
                struct sched_pod *p = read_pod(c, o);

                add_node(c, "a", "", "");
                add_node(c, "b", "", "");
                if (x->claim) {
                        _cleanup_json_ json_t *claim =
                                        yaml("metadata: {name: data, namespace: d%s}\n%s",
                                                        strempty(x->meta), x->claim);
                        _cleanup_json_ json_t *class = yaml("{metadata: {name: c}, %s}", x->class);

                        assert_int_equal(sched_cluster_put_claim(c, claim), SCHED_VOLUMES);
                        assert_int_equal(sched_cluster_put_claim(c, claim), 0);
                        sched_cluster_put_storage_class(c, class);
                }
                if (x->volume) {
                        _cleanup_json_ json_t *volume =
                                        yaml("{metadata: {name: v}, spec: %s, status: {phase: "
                                             "Available}}",
                                                        x->volume);

                        sched_cluster_put_volume(c, volume);
                }
                node = place(c, o);
                if (!streq(node, x->expected))
                        fail_msg("case %zu: %s", i, node);
                if (x->claim && streq(node, "b")) {
                        assert_int_equal(sched_pod_claims_to_bind(c, p, "b", &select), x->unbound);
                        assert_int_equal(strv_length(select), x->unbound && !x->meta ? 1 : 0);
                }
                sched_pod_free(c, p);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_resources),
                        cmocka_unit_test(test_one_pod_claims),
                        cmocka_unit_test(test_pod_requests),
                        cmocka_unit_test(test_many_zeros),
                        cmocka_unit_test(test_many_resources),
                        cmocka_unit_test(test_counting),
                        cmocka_unit_test(test_init_containers),
                        cmocka_unit_test(test_nodes_that_do_not_match),
                        cmocka_unit_test(test_host_ports),
                        cmocka_unit_test(test_spread),
                        cmocka_unit_test(test_events),
                        cmocka_unit_test(test_scores),
                        cmocka_unit_test(test_images),
                        cmocka_unit_test(test_profiles),
                        cmocka_unit_test(test_profile_filters),
                        cmocka_unit_test(test_fair_ties),
                        cmocka_unit_test(test_advice),
                        cmocka_unit_test(test_volumes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
