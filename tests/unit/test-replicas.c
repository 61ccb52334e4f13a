/* Plans and reports of ReplicaSet and Deployment. */
#include "tests/unit/fake-world.h"

static void put_rs(struct fake *f, int replicas) {
        fake_put(f, WORLD_REPLICASETS,
                        "metadata: {name: web, namespace: d, uid: r, resourceVersion: '5', "
                        "generation: 2}\n"
                        "spec: {replicas: %d, selector: {matchLabels: {app: web}}, template: "
                        "{metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}\n",
                        replicas);
}

static json_t *put_pod(struct fake *f, const char *name, const char *owner, const char *node,
                const char *phase, bool ready) {
        return fake_put(f, WORLD_PODS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '9', "
                        "labels: "
                        "{app: web}, creationTimestamp: '2026-01-01T11:00:00Z', ownerReferences: "
                        "[%s%s%s]}\n"
                        "spec: {nodeName: '%s'}\n"
                        "status: {phase: %s, podIP: 10.0.0.1, conditions: [{type: Ready, status: "
                        "'%s', "
                        "lastTransitionTime: '2026-01-01T11:59:50Z'}]}\n",
                        name, name,
                        owner ? "{apiVersion: apps/v1, kind: ReplicaSet, name: web, "
                                "controller: true, uid: "
                              : "",
                        strempty(owner), owner ? "}" : "", node, phase, ready ? "True" : "False");
}

static void test_rs_creates(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;

        put_rs(f, 3);
        put_pod(f, "a", "r", "n1", "Running", true);
        assert_plan(f, &replicaset_controller, "d/web", "create pods d/web-|create pods d/web-");
        text = fake_plan(f, &replicaset_controller, "d/web", NULL);
        assert_non_null(strstr(text, "\"blockOwnerDeletion\":true,\"controller\":true"));
        assert_non_null(strstr(text, "\"labels\":{\"app\":\"web\"}"));
        assert_non_null(strstr(text, "\"spec\":{\"containers\":[{\"name\":\"c\"}]}"));
        put_rs(f, 2000); /* bounded a round */
        free(text);
        text = fake_plan(f, &replicaset_controller, "d/web", NULL);
        size_t lines = 0;
        for (const char *s = text; (s = strchr(s, '\n')); s++)
                lines++;
        assert_int_equal(lines, 500);
}

/* An evicted pod that hangs on an unreachable node is replaced at once. */
static void test_rs_replaces_terminating(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *pod;

        put_rs(f, 1);
        pod = put_pod(f, "a", "r", "n1", "Running", true);
        assert_plan(f, &replicaset_controller, "d/web", "");
        json_set_str(pod, "metadata.deletionTimestamp", FAKE_NOW);
        assert_plan(f, &replicaset_controller, "d/web", "create pods d/web-");
        put_pod(f, "a", "r", "n1", "Failed", false); /* and a finished one too */
        assert_plan(f, &replicaset_controller, "d/web", "create pods d/web-");
}

static void test_rs_deletes_in_order(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_rs(f, 1);
        put_pod(f, "ready", "r", "n1", "Running", true);
        put_pod(f, "unready", "r", "n2", "Running", false);
        put_pod(f, "pending", "r", "n3", "Pending", false);
        put_pod(f, "unassigned", "r", "", "Pending", false);
        assert_plan(f, &replicaset_controller, "d/web",
                        "delete pods d/unassigned|delete pods d/pending|delete pods d/unready");
        put_rs(f, 0);
        assert_plan_has(f, &replicaset_controller, "d/web",
                        "\"preconditions\":{\"uid\":\"u-ready\"}");
}

static void test_rs_adopts_and_releases(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *pod;

        put_rs(f, 1);
        put_pod(f, "stray", NULL, "n1", "Running", true);
        assert_plan(f, &replicaset_controller, "d/web", "patch pods d/stray");
        assert_plan_has(f, &replicaset_controller, "d/web", "\"uid\":\"r\"");
        pod = put_pod(f, "stray", "r", "n1", "Running", true);
        json_set_str(pod, "metadata.labels.app", "other");
        assert_plan(f, &replicaset_controller, "d/web", "patch pods d/stray|create pods d/web-");
        assert_plan_has(f, &replicaset_controller, "d/web",
                        "{\"metadata\":{\"ownerReferences\":[],\"resourceVersion\":\"9\"}}");
}

static void test_rs_reports(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_rs(f, 3);
        put_pod(f, "a", "r", "n1", "Running", true);
        put_pod(f, "b", "r", "n2", "Running", false);
        assert_report(f, &replicaset_controller, "d/web", "replicas", "2");
        assert_report(f, &replicaset_controller, "d/web", "readyReplicas", "1");
        assert_report(f, &replicaset_controller, "d/web", "availableReplicas", "1");
        assert_report(f, &replicaset_controller, "d/web", "observedGeneration", "2");
        /* its node fell silent: the pod's own status no longer counts */
        fake_put(f, WORLD_NODES,
                        "metadata: {name: n1}\nstatus: {conditions: [{type: Ready, status: "
                        "Unknown}]}");
        assert_report(f, &replicaset_controller, "d/web", "readyReplicas", "0");
}

static void test_rs_min_ready(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;
        uint64_t wait;

        put_rs(f, 1);
        json_set_int(f->objects[WORLD_REPLICASETS][0], "spec.minReadySeconds", 30);
        put_pod(f, "a", "r", "n1", "Running", true); /* ready for 10 s */
        assert_report(f, &replicaset_controller, "d/web", "availableReplicas", "0");
        text = fake_plan(f, &replicaset_controller, "d/web", &wait);
        assert_int_equal(wait, 20000000);
}

/* --- Deployment --- */

static json_t *put_deployment(struct fake *f, int replicas, const char *image, const char *extra) {
        return fake_put(f, WORLD_DEPLOYMENTS,
                        "metadata: {name: web, namespace: d, uid: p, resourceVersion: '5', "
                        "generation: 3}\n"
                        "spec: {replicas: %d, selector: {matchLabels: {app: web}}, %s template: "
                        "{metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: "
                        "%s}]}}}\n",
                        replicas, extra, image);
}

static json_t *put_set(struct fake *f, const char *name, const char *image, int replicas,
                int available, int revision, int desired) {
        return fake_put(f, WORLD_REPLICASETS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '6', "
                        "generation: 1, creationTimestamp: '2026-01-01T11:0%d:00Z', "
                        "labels: {app: web, pod-template-hash: %s}, annotations: "
                        "{deployment.kubernetes.io/revision: '%d', "
                        "deployment.kubernetes.io/desired-replicas: '%d', "
                        "deployment.kubernetes.io/max-replicas: '%d'}, ownerReferences: "
                        "[{apiVersion: apps/v1, kind: Deployment, name: web, uid: p, controller: "
                        "true}]}\n"
                        "spec: {replicas: %d, selector: {matchLabels: {app: web, "
                        "pod-template-hash: %s}}, "
                        "template: {metadata: {labels: {app: web, pod-template-hash: %s}}, spec: "
                        "{containers: [{name: c, image: %s}]}}}\n"
                        "status: {replicas: %d, readyReplicas: %d, availableReplicas: %d, "
                        "observedGeneration: 1}\n",
                        name, name, revision, name, revision, desired, desired + 1, replicas, name,
                        name, image, replicas, available, available);
}

/* A ReplicationController is the same with a selector that is a map. */
static void test_replication_controller(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        fake_put(f, WORLD_REPLICATIONCONTROLLERS,
                        "metadata: {name: web, namespace: d, uid: r, generation: 2}\n"
                        "spec: {replicas: 2, selector: {app: web}, template: {metadata: {labels: "
                        "{app: web}}, spec: {containers: [{name: c}]}}}\n");
        put_pod(f, "stray", NULL, "n1", "Running", true);
        assert_plan(f, &replicationcontroller_controller, "d/web",
                        "patch pods d/stray|create pods d/web-");
        assert_plan_has(f, &replicationcontroller_controller, "d/web",
                        "{\"apiVersion\":\"v1\",\"blockOwnerDeletion\":true,\"controller\":true,"
                        "\"kind\":\"ReplicationController\"");
        assert_plan_has(f, &replicationcontroller_controller, "d/web",
                        "SuccessfulCreate: Created pod: {}");
        put_pod(f, "stray", "r", "n1", "Running", true);
        assert_report(f, &replicationcontroller_controller, "d/web", "readyReplicas", "1");
        assert_report(f, &replicationcontroller_controller, "d/web", "fullyLabeledReplicas", "1");
        assert_report(f, &replicationcontroller_controller, "d/web", "observedGeneration", "2");
        assert_report(f, &replicationcontroller_controller, "d/web", "terminatingReplicas",
                        "absent");
}

static void test_terminating(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_rs(f, 1);
        json_set_str(put_pod(f, "a", "r", "n1", "Running", true), "metadata.deletionTimestamp",
                        FAKE_NOW);
        json_set_str(put_pod(f, "b", "r", "n1", "Failed", false), "metadata.deletionTimestamp",
                        FAKE_NOW);
        put_pod(f, "c", "r", "n1", "Running", true);
        assert_report(f, &replicaset_controller, "d/web", "replicas", "1");
        assert_report(f, &replicaset_controller, "d/web", "terminatingReplicas", "1");
}

/* "name=replicas" of every set that the plan scales, in its order. */
static char *scales(struct fake *f) {
        _cleanup_actions_ struct actions a = {0};
        struct buf b = {0};

        deployment_controller.plan(&f->world, "d/web", &a);
        for (size_t i = 0; i < a.count; i++) {
                const json_t *replicas = json_at(a.items[i].body, "spec.replicas");

                if (a.items[i].type == &action_type_event || !replicas)
                        continue;
                buf_printf(&b, "%s%s=%lld", b.size ? " " : "",
                                a.items[i].name ? a.items[i].name : "new",
                                (long long)json_integer_value(replicas));
        }
        return buf_take(&b);
}

#define assert_scales(f, expected) \
        do { \
                _cleanup_free_ char *_s = scales(f); \
                assert_string_equal(_s, expected); \
        } while (0)

static void test_deployment_first_set(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *a = NULL, *b = NULL;

        put_deployment(f, 3, "one", "");
        assert_scales(f, "new=3");
        a = fake_plan(f, &deployment_controller, "d/web", NULL);
        b = fake_plan(f, &deployment_controller, "d/web", NULL);
        assert_string_equal(a, b); /* the name hangs on the template alone */
        assert_non_null(strstr(a, "\"deployment.kubernetes.io/revision\":\"1\""));
        assert_non_null(strstr(a, "pod-template-hash"));
        assert_non_null(strstr(a, "Scaled up replica set web-"));
}

static void test_deployment_rolls(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_deployment(f, 3, "two",
                        "strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, "
                        "maxUnavailable: 0}},");
        put_set(f, "old", "one", 3, 3, 1, 3);
        assert_scales(f, "new=1"); /* one more may run */
        put_set(f, "new", "two", 1, 0, 2, 3);
        json_object_set_new(json_object_get(f->objects[WORLD_DEPLOYMENTS][0], "metadata"),
                        "annotations",
                        json_pack("{s:s}", "deployment.kubernetes.io/revision", "2"));
        assert_scales(f, ""); /* nothing moves until it is available */
        put_set(f, "new", "two", 1, 1, 2, 3);
        assert_scales(f, "old=2");
        put_set(f, "old", "one", 2, 2, 1, 3);
        assert_scales(f, "new=2");
        put_set(f, "new", "two", 2, 1, 2, 3);
        assert_scales(f, "");
        /* an old pod that is not available goes first: it costs nothing */
        put_set(f, "old", "one", 2, 1, 1, 3);
        put_set(f, "new", "two", 2, 2, 2, 3);
        assert_scales(f, "old=1");
        put_set(f, "new", "two", 3, 3, 2, 3);
        assert_scales(f, "old=0");
        put_set(f, "old", "one", 0, 0, 1, 3);
        assert_scales(f, "");
        assert_report(f, &deployment_controller, "d/web", "updatedReplicas", "3");
}

static void test_deployment_defaults(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        /* 25% of 4: one more, one less */
        put_deployment(f, 4, "two", "");
        put_set(f, "old", "one", 4, 4, 1, 4);
        assert_scales(f, "new=1");
        put_set(f, "new", "two", 1, 0, 2, 4);
        assert_scales(f, "old=3"); /* one may be unavailable */
}

static void test_deployment_recreate(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_deployment(f, 2, "two", "strategy: {type: Recreate},");
        put_set(f, "old", "one", 2, 2, 1, 2);
        assert_scales(f, "old=0");
        put_set(f, "old", "one", 0, 0, 1, 2);
        put_pod(f, "a", "u-old", "n1", "Running", false); /* still stopping */
        assert_scales(f, "");
        put_pod(f, "a", "u-old", "n1", "Succeeded", false);
        assert_scales(f, "new=2");
}

/* An older template put back finds its own set again, under the next revision. */
static void test_deployment_rollback(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;

        put_deployment(f, 2, "one", "");
        put_set(f, "first", "one", 0, 0, 1, 2);
        put_set(f, "second", "two", 2, 2, 2, 2);
        text = fake_plan(f, &deployment_controller, "d/web", NULL);
        assert_non_null(strstr(text, "patch replicasets d/first"));
        assert_non_null(strstr(text, "\"deployment.kubernetes.io/revision\":\"3\""));
        assert_non_null(strstr(text, "\"deployment.kubernetes.io/revision-history\":\"1\""));
        assert_non_null(strstr(text, "patch deployments d/web"));
        assert_null(strstr(text, "create"));
        put_set(f, "first", "one", 0, 0, 3, 2);
        assert_scales(f, "first=1");
}

static void test_deployment_paused(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_deployment(f, 3, "two", "paused: true,");
        put_set(f, "old", "one", 3, 3, 1, 3);
        assert_scales(f, "");
        put_deployment(f, 5, "two", "paused: true,"); /* scaling continues */
        assert_scales(f, "old=5");
        assert_report(f, &deployment_controller, "d/web", "conditions",
                        "[{\"type\":\"Available\",\"status\":\"False\",\"reason\":"
                        "\"MinimumReplicasUnavailable\",\"message\":\"Deployment does not have "
                        "minimum "
                        "availability.\",\"lastTransitionTime\":\"" FAKE_NOW
                        "\",\"lastUpdateTime\":\"" FAKE_NOW
                        "\"},{\"type\":\"Progressing\",\"status\":\"Unknown\",\"reason\":"
                        "\"DeploymentPaused\",\"message\":\"Deployment is paused\","
                        "\"lastTransitionTime\":\"" FAKE_NOW "\",\"lastUpdateTime\":\"" FAKE_NOW
                        "\"}]");
}

static void test_deployment_proportional(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        /* 10 + 3 in the middle of a roll, scaled to 20 + 3: shares of 8 and 5 grow alike */
        put_deployment(f, 20, "two",
                        "strategy: {rollingUpdate: {maxSurge: 3, maxUnavailable: 2}},");
        put_set(f, "old", "one", 8, 8, 1, 10);
        put_set(f, "new", "two", 5, 5, 2, 10);
        json_object_set_new(json_at_mut(f->objects[WORLD_REPLICASETS][0], "metadata.annotations"),
                        "deployment.kubernetes.io/max-replicas", json_string("13"));
        json_object_set_new(json_at_mut(f->objects[WORLD_REPLICASETS][1], "metadata.annotations"),
                        "deployment.kubernetes.io/max-replicas", json_string("13"));
        assert_scales(f, "old=14 new=9");
        /* the largest, then the newest: 3 x 14 / 12 is 3.5, and there is room for one */
        fake_clear(f, WORLD_REPLICASETS);
        put_deployment(f, 12, "two",
                        "strategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 2}},");
        put_set(f, "a", "zero", 3, 3, 1, 10);
        put_set(f, "b", "one", 3, 3, 2, 10);
        put_set(f, "c", "two", 6, 6, 3, 10);
        for (int i = 0; i < 3; i++)
                json_object_set_new(json_at_mut(f->objects[WORLD_REPLICASETS][i],
                                                    "metadata.annotations"),
                                "deployment.kubernetes.io/max-replicas", json_string("12"));
        assert_scales(f, "c=7 b=4 a=3");
        /* shrinking from 12 to 7: 4, 2 and 2 are one too many, which the largest gives */
        put_deployment(f, 5, "two", "strategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 2}},");
        assert_scales(f, "c=3 a=2 b=2");
}

static void test_deployment_history(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_deployment(f, 1, "four", "revisionHistoryLimit: 1,");
        json_object_set_new(json_object_get(f->objects[WORLD_DEPLOYMENTS][0], "metadata"),
                        "annotations",
                        json_pack("{s:s}", "deployment.kubernetes.io/revision", "4"));
        put_set(f, "a", "one", 0, 0, 1, 1);
        put_set(f, "b", "two", 0, 0, 2, 1);
        put_set(f, "c", "three", 0, 0, 3, 1);
        put_set(f, "d", "four", 1, 1, 4, 1);
        assert_plan(f, &deployment_controller, "d/web",
                        "delete replicasets d/a|delete replicasets d/b");
}

/* What the ReplicaSets complain of shows in the Deployment, once and as long as they do. */
static void test_deployment_failure(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_json_ json_t *first = NULL, *second = NULL, *third = NULL;
        json_t *deployment = put_deployment(f, 2, "one", ""), *set;

        put_set(f, "a", "one", 2, 1, 1, 2);
        set = f->objects[WORLD_REPLICASETS][0];
        json_set_int(set, "status.terminatingReplicas", 3);
        json_set_at(set, "status.conditions",
                        json_pack("[{s:s, s:s, s:s, s:s}]", "type", "ReplicaFailure", "status",
                                        "True", "reason", "FailedCreate", "message", "no room"));
        first = deployment_controller.report(&f->world, "d/web", NULL);
        json_object_set(deployment, "status", first);
        assert_string_equal(
                        json_str_or(object_condition(deployment, "ReplicaFailure"), "message", ""),
                        "no room");
        assert_int_equal(json_int_or(first, "terminatingReplicas", 0), 3);
        f->world.now_us += 7000000;
        second = deployment_controller.report(&f->world, "d/web", NULL);
        assert_true(json_equal(json_object_get(first, "conditions"),
                        json_object_get(second, "conditions")));
        json_del_at(set, "status.conditions");
        third = deployment_controller.report(&f->world, "d/web", NULL);
        json_object_set(deployment, "status", third);
        assert_null(object_condition(deployment, "ReplicaFailure"));
}

static void test_deployment_status(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_json_ json_t *status = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *deployment;
        uint64_t wait;

        deployment = put_deployment(f, 2, "one", "progressDeadlineSeconds: 60,");
        put_set(f, "a", "one", 2, 1, 1, 2);
        status = deployment_controller.report(&f->world, "d/web", NULL);
        assert_int_equal(json_int_or(status, "observedGeneration", 0), 3);
        assert_int_equal(json_int_or(status, "unavailableReplicas", 9), 1);
        json_object_set(deployment, "status", status);
        assert_string_equal(json_str(object_condition(deployment, "Progressing"), "reason"),
                        "ReplicaSetUpdated");
        assert_false(object_condition_true(deployment, "Available"));

        /* no progress: reported when the deadline is over, and looked at again then */
        f->world.now_us += 20000000;
        text = fake_plan(f, &deployment_controller, "d/web", &wait);
        assert_int_equal(wait, 40000000);
        f->world.now_us += 41000000;
        json_decref(status);
        status = deployment_controller.report(&f->world, "d/web", NULL);
        json_object_set(deployment, "status", status);
        assert_string_equal(json_str(object_condition(deployment, "Progressing"), "reason"),
                        "ProgressDeadlineExceeded");
        assert_string_equal(
                        json_str(object_condition(deployment, "Progressing"), "status"), "False");

        put_set(f, "a", "one", 2, 2, 1, 2);
        json_decref(status);
        status = deployment_controller.report(&f->world, "d/web", NULL);
        json_object_set(deployment, "status", status);
        assert_string_equal(json_str(object_condition(deployment, "Progressing"), "reason"),
                        "NewReplicaSetAvailable");
        assert_true(object_condition_true(deployment, "Available"));
}

static void test_deployment_collision(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        struct problem taken = {.code = 409, .reason = "AlreadyExists"};
        _cleanup_json_ json_t *status = NULL;
        _cleanup_free_ char *a = NULL, *b = NULL, *name_a = NULL, *name_b = NULL;
        json_t *deployment = put_deployment(f, 1, "one", "");

        a = fake_plan(f, &deployment_controller, "d/web", NULL);
        status = deployment_controller.report(&f->world, "d/web", &taken);
        assert_int_equal(json_int_or(status, "collisionCount", 0), 1);
        json_object_set(deployment, "status", status);
        b = fake_plan(f, &deployment_controller, "d/web", NULL);
        name_a = fake_brief(a, 3);
        name_b = fake_brief(b, 3);
        assert_string_not_equal(name_a, name_b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_rs_creates),
                        cmocka_unit_test(test_rs_replaces_terminating),
                        cmocka_unit_test(test_rs_deletes_in_order),
                        cmocka_unit_test(test_rs_adopts_and_releases),
                        cmocka_unit_test(test_rs_reports),
                        cmocka_unit_test(test_rs_min_ready),
                        cmocka_unit_test(test_deployment_first_set),
                        cmocka_unit_test(test_deployment_rolls),
                        cmocka_unit_test(test_deployment_defaults),
                        cmocka_unit_test(test_deployment_recreate),
                        cmocka_unit_test(test_deployment_rollback),
                        cmocka_unit_test(test_deployment_paused),
                        cmocka_unit_test(test_deployment_proportional),
                        cmocka_unit_test(test_deployment_history),
                        cmocka_unit_test(test_replication_controller),
                        cmocka_unit_test(test_terminating),
                        cmocka_unit_test(test_deployment_failure),
                        cmocka_unit_test(test_deployment_status),
                        cmocka_unit_test(test_deployment_collision),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
