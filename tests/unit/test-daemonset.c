/* Plans and reports of DaemonSets. */
#include "tests/unit/fake-world.h"

#include "reconcilers/workloads/history.h"

#define KEY "d/web"

/* Three nodes, a revision of the present template, and the set. */
static struct fake *world(const char *strategy) {
        struct fake *f = fake_new();
        char hash[TEMPLATE_HASH_SIZE];
        const json_t *set;

        for (int i = 1; i <= 3; i++)
                fake_put(f, WORLD_NODES,
                                "metadata: {name: n%i, labels: {zone: z%i}}\n"
                                "status: {conditions: [{type: Ready, status: 'True'}]}\n",
                                i, i);
        set = fake_put(f, WORLD_DAEMONSETS,
                        "metadata: {name: web, namespace: d, uid: s, generation: 2, "
                        "resourceVersion: '5'}\n"
                        "spec: {selector: {matchLabels: {app: web}}, updateStrategy: %s, template: "
                        "{metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}\n",
                        strategy);
        template_hash(json_at(set, "spec.template"), 0, hash);
        fake_put(f, WORLD_REVISIONS,
                        "metadata: {name: web-new, namespace: d, uid: r, labels: {app: web, "
                        "controller.kubernetes.io/hash: new}, ownerReferences: [{apiVersion: "
                        "apps/v1, kind: DaemonSet, name: web, uid: s, controller: true}]}\n"
                        "revision: 1\n"
                        "data: {spec: {template: {$patch: replace, metadata: {labels: {app: web}}, "
                        "spec: {containers: [{name: c}]}}}}\n");
        return f;
}

static json_t *put_pod(struct fake *f, const char *name, const char *node, const char *hash,
                const char *phase, bool ready) {
        return fake_put(f, WORLD_PODS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '9', "
                        "labels: {app: web, controller-revision-hash: %s}, creationTimestamp: "
                        "'2026-01-01T11:59:00Z', ownerReferences: [{apiVersion: apps/v1, kind: "
                        "DaemonSet, name: web, uid: s, controller: true}]}\n"
                        "spec: {nodeName: %s}\n"
                        "status: {phase: %s, conditions: [{type: Ready, status: '%s', "
                        "lastTransitionTime: '2026-01-01T11:59:50Z'}]}\n",
                        name, name, hash, node, phase, ready ? "True" : "False");
}

static void put_three(struct fake *f, const char *hash) {
        put_pod(f, "p1", "n1", hash, "Running", true);
        put_pod(f, "p2", "n2", hash, "Running", true);
        put_pod(f, "p3", "n3", hash, "Running", true);
}

#define IN_PLACE "{type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}"
#define SURGE "{type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}"
#define ON_DELETE "{type: OnDelete}"

static void test_creates(void **state) {
        _cleanup_fake_ struct fake *f = world(IN_PLACE);

        put_pod(f, "p1", "n1", "new", "Running", true);
        assert_plan(f, &daemonset_controller, KEY, "create pods d/web-|create pods d/web-");
        assert_plan_has(f, &daemonset_controller, KEY,
                        "\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":\"metadata.name\","
                        "\"operator\":\"In\",\"values\":[\"n2\"]}]}]");
        assert_plan_has(f, &daemonset_controller, KEY, "\"controller-revision-hash\":\"new\"");
        assert_plan_has(f, &daemonset_controller, KEY,
                        "\"key\":\"node.kubernetes.io/unschedulable\"");
        assert_plan_has(f, &daemonset_controller, KEY, "SuccessfulCreate: Created pod: {}");
        assert_plan_has(f, &daemonset_controller, KEY, "\"kind\":\"DaemonSet\"");
        assert_report(f, &daemonset_controller, KEY, "desiredNumberScheduled", "3");
        assert_report(f, &daemonset_controller, KEY, "currentNumberScheduled", "1");
        assert_report(f, &daemonset_controller, KEY, "numberUnavailable", "2");
        assert_report(f, &daemonset_controller, KEY, "observedGeneration", "2");
}

/* Which nodes want and keep a pod: the template, what the node is, with a pod there and without. */
static void test_nodes(void **state) {
        static const struct {
                const char *spec, *taints, *without, *with;
        } cases[] = {
                        {"{}", "[]", "create pods d/web-", ""},
                        {"{nodeSelector: {zone: z1}}", "[]", "create pods d/web-", ""},
                        {"{nodeSelector: {zone: z2}}", "[]", "", "delete pods d/p1"},
                        {"{nodeName: n1}", "[]", "create pods d/web-", ""},
                        {"{nodeName: n2}", "[]", "", "delete pods d/p1"},
                        {"{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution"
                         ": {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: NotIn, "
                         "values: [z1]}]}]}}}}",
                                        "[]", "", "delete pods d/p1"},
                        /* not schedulable: it stays where it is */
                        {"{}", "[{key: a, effect: NoSchedule}]", "", ""},
                        {"{}", "[{key: a, effect: PreferNoSchedule}]", "create pods d/web-", ""},
                        {"{}", "[{key: a, effect: NoExecute}]", "", "delete pods d/p1"},
                        {"{tolerations: [{key: a, operator: Exists}]}",
                                        "[{key: a, effect: NoExecute}]", "create pods d/web-", ""},
                        /* its own tolerations */
                        {"{}", "[{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]",
                                        "create pods d/web-", ""},
                        {"{}", "[{key: node.kubernetes.io/not-ready, effect: NoExecute}]",
                                        "create pods d/web-", ""},
                        {"{}",
                                        "[{key: node.kubernetes.io/network-unavailable, effect: "
                                        "NoSchedule}]",
                                        "", ""},
                        {"{hostNetwork: true}",
                                        "[{key: node.kubernetes.io/network-unavailable, effect: "
                                        "NoSchedule}]",
                                        "create pods d/web-", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = world(ON_DELETE);
                json_t *set = f->objects[WORLD_DAEMONSETS][0], *data;
                _cleanup_yaml_docs_ struct yaml_docs docs = {0};
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(yaml_parse(cases[i].spec, strlen(cases[i].spec), &docs, &p), 0);
                json_object_update(json_at_mut(set, "spec.template.spec"), docs.items[0].value);
                data = json_deep_copy(json_at(set, "spec.template"));
                json_set_str(data, "$patch", "replace");
                json_set_at(f->objects[WORLD_REVISIONS][0], "data.spec.template", data);
                fake_clear(f, WORLD_NODES);
                fake_put(f, WORLD_NODES,
                                "metadata: {name: n1, labels: {zone: z1}}\nspec: {taints: %s}\n",
                                cases[i].taints);
                assert_plan(f, &daemonset_controller, KEY, cases[i].without);
                put_pod(f, "p1", "n1", "new", "Running", true);
                assert_plan(f, &daemonset_controller, KEY, cases[i].with);
                assert_report(f, &daemonset_controller, KEY, "numberMisscheduled",
                                *cases[i].without ? "0" : "1");
        }
}

static void test_nodes_come_and_go(void **state) {
        _cleanup_fake_ struct fake *f = world(IN_PLACE);
        json_t *pod;

        put_three(f, "new");
        fake_put(f, WORLD_NODES, "metadata: {name: n4}\n");
        assert_plan(f, &daemonset_controller, KEY, "create pods d/web-");
        fake_clear(f, WORLD_NODES);
        assert_plan(f, &daemonset_controller, KEY, ""); /* the pods are podgc's */
        /* but one that was never bound to its node */
        pod = put_pod(f, "p4", "n4", "new", "Pending", false);
        json_set_at(pod, "spec",
                        json_pack("{s:{s:{s:{s:[{s:[{s:s, s:s, s:[s]}]}]}}}}", "affinity",
                                        "nodeAffinity",
                                        "requiredDuringSchedulingIgnoredDuringExecution",
                                        "nodeSelectorTerms", "matchFields", "key", "metadata.name",
                                        "operator", "In", "values", "n4"));
        assert_plan(f, &daemonset_controller, KEY, "delete pods d/p4");
}

static void test_surplus(void **state) {
        _cleanup_fake_ struct fake *f = world(IN_PLACE);

        put_three(f, "new");
        json_set_str(put_pod(f, "twin", "n1", "new", "Running", true), "metadata.creationTimestamp",
                        "2026-01-01T11:59:30Z");
        assert_plan(f, &daemonset_controller, KEY, "delete pods d/twin");
}

static void test_rolls_in_place(void **state) {
        _cleanup_fake_ struct fake *f = world(IN_PLACE);
        json_t *pod;

        put_three(f, "old");
        assert_report(f, &daemonset_controller, KEY, "updatedNumberScheduled", "0");
        assert_plan(f, &daemonset_controller, KEY, "delete pods d/p1");
        assert_plan_has(f, &daemonset_controller, KEY, "SuccessfulDelete: Deleted pod: {}");
        pod = put_pod(f, "p1", "n1", "old", "Running", true);
        json_set_str(pod, "metadata.deletionTimestamp", FAKE_NOW);
        assert_plan(f, &daemonset_controller, KEY, ""); /* the new one comes when it is gone */
        put_pod(f, "p1", "n1", "new", "Running", false);
        assert_plan(f, &daemonset_controller, KEY, ""); /* it is not ready yet */
        put_pod(f, "p1", "n1", "new", "Running", true);
        assert_plan(f, &daemonset_controller, KEY, "delete pods d/p2");
        /* old pods that are not available anyway go at once */
        put_pod(f, "p3", "n3", "old", "Running", false);
        assert_plan(f, &daemonset_controller, KEY, "delete pods d/p3");
        put_three(f, "new");
        assert_plan(f, &daemonset_controller, KEY, "");
        assert_report(f, &daemonset_controller, KEY, "updatedNumberScheduled", "3");
        assert_report(f, &daemonset_controller, KEY, "numberAvailable", "3");
}

static void test_rolls_by_percent(void **state) {
        _cleanup_fake_ struct fake *f = world(
                        "{type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 50%}}");

        put_three(f, "old");
        assert_plan(f, &daemonset_controller, KEY, "delete pods d/p1|delete pods d/p2");
}

static void test_min_ready(void **state) {
        _cleanup_fake_ struct fake *f = world(IN_PLACE);
        uint64_t requeue = 0;

        put_three(f, "old");
        put_pod(f, "p1", "n1", "new", "Running", true); /* ready for ten seconds */
        json_set_int(f->objects[WORLD_DAEMONSETS][0], "spec.minReadySeconds", 15);
        put_pod(f, "p2", "n2", "new", "Running", true);
        json_set_str(json_array_get(json_at_mut(put_pod(f, "p3", "n3", "old", "Running", true),
                                                    "status.conditions"),
                                     0),
                        "lastTransitionTime", "2026-01-01T11:00:00Z");
        free(fake_plan(f, &daemonset_controller, KEY, &requeue));
        assert_int_equal(requeue, 5000000);
        assert_plan(f, &daemonset_controller, KEY, "");
        assert_report(f, &daemonset_controller, KEY, "numberReady", "3");
        assert_report(f, &daemonset_controller, KEY, "numberAvailable", "1");
}

static void test_rolls_with_surge(void **state) {
        _cleanup_fake_ struct fake *f = world(SURGE);

        put_three(f, "old");
        assert_plan(f, &daemonset_controller, KEY, "create pods d/web-");
        json_set_str(put_pod(f, "q1", "n1", "new", "Running", false), "metadata.creationTimestamp",
                        "2026-01-01T11:59:30Z");
        assert_plan(f, &daemonset_controller, KEY, ""); /* two beside each other, not more */
        assert_report(f, &daemonset_controller, KEY, "numberAvailable", "3");
        assert_report(f, &daemonset_controller, KEY, "updatedNumberScheduled", "0");
        /* an old pod that is not available does not count against the surge */
        put_pod(f, "p3", "n3", "old", "Running", false);
        assert_plan(f, &daemonset_controller, KEY, "create pods d/web-");
        put_pod(f, "p3", "n3", "old", "Running", true);
        json_set_str(put_pod(f, "q1", "n1", "new", "Running", true), "metadata.creationTimestamp",
                        "2026-01-01T11:59:30Z");
        assert_plan(f, &daemonset_controller, KEY, "delete pods d/p1|create pods d/web-");
        assert_report(f, &daemonset_controller, KEY, "updatedNumberScheduled", "1");
}

static void test_on_delete(void **state) {
        _cleanup_fake_ struct fake *f = world(ON_DELETE);

        put_three(f, "old");
        assert_plan(f, &daemonset_controller, KEY, "");
}

/* Failures on a node so far, how long ago this pod failed, and whether it is replaced by now. */
static void test_backs_off(void **state) {
        static const struct {
                int failures;
                const char *created, *ended;
                uint64_t wait_s; /* 0: it is replaced */
                const char *next;
        } cases[] = {
                        {0, "11:59:50", "11:59:58", 0, "\"1\""},
                        {3, "11:59:50", "11:59:58", 6, NULL},
                        {3, "11:59:30", "11:59:50", 0, "\"4\""},
                        {60, "11:50:00", "11:59:00", 840, NULL},  /* 15 minutes at most */
                        {60, "11:00:00", "11:59:58", 0, "\"1\""}, /* it ran for long */
                        {3, "11:59:50", "23:59:58", 0, "\"4\""},  /* the node's clock is ahead */
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = world(IN_PLACE);
                _cleanup_free_ char *text = NULL, *ended = NULL;
                uint64_t requeue = 0;
                json_t *pod;

                put_three(f, "new");
                pod = put_pod(f, "p1", "n1", "new", "Failed", false);
                json_set_at(pod, "metadata.annotations",
                                json_pack("{s:o}", "keelson.dev/daemon-pod-failures",
                                                json_sprintf("%i", cases[i].failures)));
                ended = strformat("2026-01-01T%sZ", cases[i].created);
                json_set_str(pod, "metadata.creationTimestamp", ended);
                free(ended);
                ended = strformat("2026-01-01T%sZ", cases[i].ended);
                json_set_at(pod, "status.containerStatuses",
                                json_pack("[{s:{s:{s:s}}}]", "state", "terminated", "finishedAt",
                                                ended));
                text = fake_plan(f, &daemonset_controller, KEY, &requeue);
                assert_int_equal(requeue, cases[i].wait_s * 1000000);
                if (!cases[i].next) {
                        assert_string_equal(text, "");
                        continue;
                }
                assert_non_null(strstr(text, "delete pods d/p1"));
                assert_non_null(strstr(text, "Warning FailedDaemonPod: Found failed daemon pod "
                                             "d/p1 on node n1, will try to kill it"));
                assert_non_null(strstr(strstr(text, "daemon-pod-failures"), cases[i].next));
        }
}

static void wakes(void *userdata, const char *key) {
        assert_string_equal(key, KEY);
        ++*(int *)userdata;
}

static void test_wakes(void **state) {
        _cleanup_fake_ struct fake *f = world(IN_PLACE);
        _cleanup_json_ json_t *old = json_deep_copy(f->objects[WORLD_NODES][0]),
                              *new = json_deep_copy(old);
        int count = 0;
        const struct wake out = {wakes, &count};

        /* A heartbeat is no news, a label is. */
        json_set_str(new, "status.nodeInfo.kernelVersion", "7");
        daemonset_controller.wake(&f->world, &out, WORLD_NODES, old, new, false);
        assert_int_equal(count, 0);
        json_set_str(new, "metadata.labels.zone", "z9");
        daemonset_controller.wake(&f->world, &out, WORLD_NODES, old, new, false);
        assert_int_equal(count, 1);
        daemonset_controller.wake(&f->world, &out, WORLD_NODES, NULL, new, false);
        assert_int_equal(count, 2);
        daemonset_controller.wake(&f->world, &out, WORLD_PODS, NULL,
                        put_pod(f, "p1", "n1", "new", "Running", true), false);
        assert_int_equal(count, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_creates),
                        cmocka_unit_test(test_nodes),
                        cmocka_unit_test(test_nodes_come_and_go),
                        cmocka_unit_test(test_surplus),
                        cmocka_unit_test(test_rolls_in_place),
                        cmocka_unit_test(test_rolls_by_percent),
                        cmocka_unit_test(test_min_ready),
                        cmocka_unit_test(test_rolls_with_surge),
                        cmocka_unit_test(test_on_delete),
                        cmocka_unit_test(test_backs_off),
                        cmocka_unit_test(test_wakes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
