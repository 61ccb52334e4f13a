/* Controllers, runner, informers and scheduler together against an API in memory: what plans alone
 * can't show. */
#include "tests/unit/fake-api.h"

#include "lib/metrics.h"
#include "reconcilers/collector.h"
#include "reconcilers/manager.h"
#include "reconcilers/pods.h"
#include "reconcilers/sched/scheduler.h"

static const struct controller *const controllers[] = {&deployment_controller,
                &replicaset_controller, &endpointslice_controller, &node_controller,
                &podcidr_controller, &podgc_controller, &job_controller, &serviceaccount_controller,
                &namespace_controller};

struct world_under_test {
        sd_event *event;
        struct fake_api *api;
        struct metrics *metrics;
        struct world_config config;
        struct manager *manager;
        struct collector *collector;
        struct scheduler *scheduler;
};

static void add_node(struct fake_api *a, const char *name) {
        fake_api_put(a, "nodes",
                        json_pack("{s:s, s:s, s:{s:s}, s:{}, s:{s:{s:s, s:s, s:s}, s:[{s:s, "
                                  "s:s}]}}",
                                        "apiVersion", "v1", "kind", "Node", "metadata", "name",
                                        name, "spec", "status", "allocatable", "cpu", "4", "memory",
                                        "8Gi", "pods", "110", "conditions", "type", "Ready",
                                        "status", "True"));
}

static void on_change(enum world_kind kind, const json_t *object, bool gone, void *userdata) {
        struct world_under_test *t = userdata;

        if (!world_kinds[kind].ns)
                collector_on_change(t->collector, world_resource(kind), object, gone);
}

static void on_synced(void *userdata) {
        collector_on_world_synced(((struct world_under_test *)userdata)->collector);
}

static int setup(void **state) {
        static struct world_under_test t;

        t = (struct world_under_test){0};
        assert_int_equal(sd_event_new(&t.event), 0);
        t.api = fake_api_new(t.event);
        t.metrics = metrics_new();
        t.config = (struct world_config){.cluster_cidr = "10.244.0.0/16",
                        .node_cidr_mask_size = 24,
                        .node_monitor_grace_us = 40000000};
        struct manager_options manager = {.event = t.event,
                        .client = t.api->client,
                        .metrics = t.metrics,
                        .config = &t.config,
                        .controllers = controllers,
                        .count = ELEMENTS(controllers),
                        .listener = on_change,
                        .on_synced = on_synced,
                        .userdata = &t};
        struct collector_options collector = {
                        .event = t.event, .client = t.api->client, .metrics = t.metrics};
        struct scheduler_options scheduler = {.event = t.event,
                        .client = t.api->client,
                        .metrics = t.metrics,
                        .name = "default-scheduler"};

        add_node(t.api, "n1");
        add_node(t.api, "n2");
        add_node(t.api, "n3");
        assert_int_equal(manager_new(&t.manager, &manager), 0);
        collector.manager = t.manager;
        assert_int_equal(collector_new(&t.collector, &collector), 0);
        assert_int_equal(scheduler_new(&t.scheduler, &scheduler), 0);
        *state = &t;
        return 0;
}

static void lead(struct world_under_test *t) {
        assert_int_equal(manager_set_leading(t->manager, true), 0);
        assert_int_equal(collector_set_leading(t->collector, true), 0);
        assert_int_equal(scheduler_set_leading(t->scheduler, true), 0);
}

static int teardown(void **state) {
        struct world_under_test *t = *state;

        scheduler_free(t->scheduler);
        collector_free(t->collector);
        manager_free(t->manager);
        fake_api_free(t->api);
        metrics_free(t->metrics);
        sd_event_unref(t->event);
        return 0;
}

static json_t *deployment(int replicas, const char *image) {
        return json_pack("{s:s, s:s, s:{s:s, s:s, s:i}, s:{s:i, s:{s:{s:s}}, s:{s:{s:i, s:i}}, "
                         "s:{s:{s:{s:s}}, s:{s:[{s:s, s:s}]}}}}",
                        "apiVersion", "apps/v1", "kind", "Deployment", "metadata", "name", "web",
                        "namespace", "d", "generation", 1, "spec", "replicas", replicas, "selector",
                        "matchLabels", "app", "web", "strategy", "rollingUpdate", "maxSurge", 1,
                        "maxUnavailable", 0, "template", "metadata", "labels", "app", "web", "spec",
                        "containers", "name", "c", "image", image);
}

static bool is_bound(const json_t *pod) {
        return *json_str_or(pod, "spec.nodeName", "") != 0;
}

/* The agent's part: bound pods run, pods on their way out go. */
static bool run_pod(json_t *pod) {
        char now[TIMEFMT_SIZE];

        if (object_is_deleting(pod)) {
                json_set_int(pod, "metadata.deletionGracePeriodSeconds", 0);
                return true;
        }
        if (!is_bound(pod) || object_condition_true(pod, "Ready"))
                return false;
        json_set_str(pod, "status.phase", "Running");
        json_set_str(pod, "status.podIP", "10.244.0.9");
        json_set_at(pod, "status.conditions",
                        json_pack("[{s:s, s:s, s:s}]", "type", "Ready", "status", "True",
                                        "lastTransitionTime", time_format(now_wall_us(), now)));
        return true;
}

/* Runs the agent's part and the loop until the Deployment says it is complete; the number of
 * available pods never falls under `floor`. */
static void roll_out(struct world_under_test *t, int replicas, size_t floor) {
        uint64_t end = loop_now_ms() + 10000;

        for (;;) {
                const json_t *d;
                size_t ready = 0;

                fake_api_each(t->api, "pods", run_pod);
                assert_true(sd_event_run(t->event, 5000) >= 0);
                d = fake_api_get(
                                t->api, "deployments", "d/web"); /* the turn may have replaced it */
                map_foreach (t->api->objects, e)
                        ready += startswith(map_entry_key(e), "/api/v1/pods|") &&
                                 !object_is_deleting(map_entry_value(e)) &&
                                 object_condition_true(map_entry_value(e), "Ready");
                assert_true(ready >= floor);
                assert_true(fake_api_count(t->api, "pods", NULL) <= (size_t)replicas + 1 + 3);
                if (object_generation(d) == json_int_or(d, "status.observedGeneration", 0) &&
                                json_int_or(d, "status.updatedReplicas", 0) == replicas &&
                                json_int_or(d, "status.replicas", 0) == replicas &&
                                json_int_or(d, "status.availableReplicas", 0) == replicas)
                        return;
                if (loop_now_ms() > end)
                        fail_msg("no end to the rollout");
        }
}

static bool on_n1(const json_t *pod) {
        return streq(json_str_or(pod, "spec.nodeName", ""), "n1");
}

/* Waits for writes in flight, then checks that no more follow. */
static void assert_rests(struct world_under_test *t) {
        unsigned writes;

        for (int i = 0; i < 100; i++) {
                writes = t->api->writes;
                loop_for_ms(t->event, 50);
                if (t->api->writes == writes)
                        return;
        }
        fail_msg("still writing after %u writes", t->api->writes);
}

static void test_deployment_end_to_end(void **state) {
        struct world_under_test *t = *state;
        json_t *d;

        fake_api_put(t->api, "deployments", deployment(3, "one"));
        lead(t);
        roll_out(t, 3, 0);
        assert_int_equal(fake_api_count(t->api, "replicasets", NULL), 1);
        assert_int_equal(fake_api_count(t->api, "pods", NULL), 3);
        assert_int_equal(fake_api_count(t->api, "pods", on_n1), 1); /* one a node */
        loop_until(t->event,
                        streq_ptr(object_annotation(fake_api_get(t->api, "deployments", "d/web"),
                                                  "deployment.kubernetes.io/revision"),
                                        "1"));

        d = json_deep_copy(fake_api_get(t->api, "deployments", "d/web"));
        json_object_set_new(json_array_get(json_at_mut(d, "spec.template.spec.containers"), 0),
                        "image", json_string("two"));
        json_set_int(d, "metadata.generation", 2);
        fake_api_put(t->api, "deployments", d);
        roll_out(t, 3, 3);
        assert_int_equal(fake_api_count(t->api, "replicasets", NULL), 2);
        loop_for_ms(t->event, 20);
        assert_int_equal(fake_api_count(t->api, "pods", NULL), 3);
        loop_until(t->event, streq_ptr(json_str(object_condition(fake_api_get(t->api, "deployments",
                                                                                 "d/web"),
                                                                "Progressing"),
                                                       "reason"),
                                             "NewReplicaSetAvailable"));
        assert_rests(t);
}

/* Exactly as many pods as asked for, though the watch lags behind the writes. */
static void test_no_overshoot(void **state) {
        struct world_under_test *t = *state;

        fake_api_put(t->api, "deployments", deployment(40, "one"));
        lead(t);
        loop_until(t->event, fake_api_count(t->api, "pods", is_bound) == 40);
        loop_for_ms(t->event, 30);
        assert_int_equal(fake_api_count(t->api, "pods", NULL), 40);
        assert_in_range(fake_api_count(t->api, "pods", on_n1), 12, 15);
}

static unsigned refusals;

static int refuse_pods(struct fake_api *a, const char *key, json_t *object) {
        if (!startswith(key, "/api/v1/pods|") || refusals == 0)
                return 0;
        refusals--;
        return 403;
}

static bool has_settled(const json_t *rs) {
        return json_int_or(rs, "status.replicas", 0) == 20 &&
               !object_condition(rs, "ReplicaFailure");
}

/* A refusal is one request and a pause, not five hundred requests. */
static void test_slow_start(void **state) {
        struct world_under_test *t = *state;

        refusals = 3;
        t->api->on_create = refuse_pods;
        fake_api_put(t->api, "deployments", deployment(20, "one"));
        lead(t);
        loop_until(t->event, refusals == 2);
        loop_for_ms(t->event, 3);
        assert_in_range(refusals, 1, 2);
        loop_until(t->event, fake_api_count(t->api, "pods", NULL) == 20);
        loop_until(t->event, fake_api_count(t->api, "replicasets", has_settled) == 1);
}

static bool has_subnet(const json_t *node) {
        return json_str(node, "spec.podCIDR");
}

static void test_subnets_are_unique(void **state) {
        struct world_under_test *t = *state;
        _cleanup_json_ json_t *seen = json_object();

        for (int i = 4; i < 20; i++) {
                _cleanup_free_ char *name = strformat("n%d", i);

                add_node(t->api, name);
        }
        lead(t);
        loop_for_ms(t->event, 20);
        add_node(t->api, "late");
        loop_until(t->event, json_str(fake_api_get(t->api, "nodes", "late"), "spec.podCIDR"));
        loop_until(t->event, fake_api_count(t->api, "nodes", has_subnet) == 20);
        map_foreach (t->api->objects, e)
                if (startswith(map_entry_key(e), "/api/v1/nodes|")) {
                        const char *cidr = json_str(map_entry_value(e), "spec.podCIDR");

                        assert_non_null(cidr);
                        assert_null(json_object_get(seen, cidr));
                        json_object_set_new(seen, cidr, json_true());
                }
        assert_int_equal(json_object_size(seen), 20);
}

static void test_pod_of_lost_node(void **state) {
        struct world_under_test *t = *state;

        fake_api_put(t->api, "pods",
                        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}}", "apiVersion", "v1", "kind",
                                        "Pod", "metadata", "name", "a", "namespace", "d", "spec",
                                        "nodeName", "nowhere"));
        fake_api_put(t->api, "pods",
                        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}}", "apiVersion", "v1", "kind",
                                        "Pod", "metadata", "name", "b", "namespace", "d", "spec",
                                        "nodeName", "n1"));
        lead(t);
        loop_until(t->event, !fake_api_get(t->api, "pods", "d/a"));
        loop_for_ms(t->event, 10);
        assert_non_null(fake_api_get(t->api, "pods", "d/b"));
}

static bool succeed(json_t *pod) {
        if (!is_bound(pod) || streq(json_str_or(pod, "status.phase", ""), "Succeeded"))
                return false;
        json_set_str(pod, "status.phase", "Succeeded");
        return true;
}

static void test_job(void **state) {
        struct world_under_test *t = *state;
        const json_t *job;

        fake_api_put(t->api, "jobs",
                        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:i, s:i, s:{s:{s:s}}}}",
                                        "apiVersion", "batch/v1", "kind", "Job", "metadata", "name",
                                        "j", "namespace", "d", "spec", "parallelism", 2,
                                        "completions", 5, "template", "spec", "restartPolicy",
                                        "Never"));
        lead(t);
        for (uint64_t end = loop_now_ms() + 10000;;) {
                fake_api_each(t->api, "pods", succeed);
                assert_true(sd_event_run(t->event, 5000) >= 0);
                job = fake_api_get(t->api, "jobs", "d/j");
                assert_true(json_int_or(job, "status.active", 0) <= 2);
                if (object_condition_true(job, "Complete"))
                        break;
                assert_true(loop_now_ms() < end);
        }
        assert_int_equal(json_int_or(job, "status.succeeded", 0), 5);
        assert_int_equal(fake_api_count(t->api, "pods", NULL), 5);
}

/* No room: reported once, and placed as soon as a node comes. */
static void test_unschedulable(void **state) {
        struct world_under_test *t = *state;

        fake_api_put(t->api, "pods",
                        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:{s:s}}}", "apiVersion", "v1",
                                        "kind", "Pod", "metadata", "name", "a", "namespace", "d",
                                        "spec", "nodeSelector", "disk", "ssd"));
        lead(t);
        loop_until(t->event, object_condition(fake_api_get(t->api, "pods", "d/a"), "PodScheduled"));
        assert_string_equal(json_str(object_condition(fake_api_get(t->api, "pods", "d/a"),
                                                     "PodScheduled"),
                                            "message"),
                        "0/3 nodes are available: 3 node(s) didn't match Pod's node "
                        "affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is "
                        "not helpful for scheduling.");
        loop_until(t->event, fake_api_count(t->api, "events", NULL) == 1);
        assert_rests(t);
        json_t *node = json_deep_copy(fake_api_get(t->api, "nodes", "n2"));
        json_set_str(node, "metadata.labels.disk", "ssd");
        fake_api_put(t->api, "nodes", node);
        loop_until(t->event, is_bound(fake_api_get(t->api, "pods", "d/a")));
        assert_string_equal(json_str(fake_api_get(t->api, "pods", "d/a"), "spec.nodeName"), "n2");
}

static void test_standing_by(void **state) {
        struct world_under_test *t = *state;

        fake_api_put(t->api, "deployments", deployment(3, "one"));
        loop_for_ms(t->event, 20);
        assert_int_equal(fake_api_count(t->api, "replicasets", NULL), 0);
        lead(t);
        loop_until(t->event, fake_api_count(t->api, "pods", NULL) == 3);
        loop_for_ms(t->event, 20);
        assert_int_equal(manager_set_leading(t->manager, false), 0);
        fake_api_put(t->api, "namespaces",
                        json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace",
                                        "metadata", "name", "late"));
        loop_for_ms(t->event, 20);
        assert_null(fake_api_get(t->api, "serviceaccounts", "late/default"));
        assert_int_equal(manager_set_leading(t->manager, true), 0);
        loop_until(t->event, fake_api_get(t->api, "serviceaccounts", "late/default"));
}

static void delete_deployment(struct world_under_test *t, const char *finalizer) {
        json_t *d = json_deep_copy(fake_api_get(t->api, "deployments", "d/web"));

        json_set_str(d, "metadata.deletionTimestamp", "2026-01-01T00:00:00Z");
        json_set_int(d, "metadata.deletionGracePeriodSeconds", 0);
        if (finalizer)
                json_set_at(d, "metadata.finalizers", json_pack("[s]", finalizer));
        fake_api_put(t->api, "deployments", d);
}

/* The agent's part and the loop, until there is no object of that key. */
static void run_until_gone(struct world_under_test *t, const char *plural, const char *key) {
        uint64_t end = loop_now_ms() + 10000;

        while (fake_api_get(t->api, plural, key)) {
                fake_api_each(t->api, "pods", run_pod);
                assert_true(sd_event_run(t->event, 5000) >= 0);
                assert_true(loop_now_ms() < end);
        }
}

static void test_owner_gone(void **state) {
        struct world_under_test *t = *state;

        fake_api_put(t->api, "deployments", deployment(3, "one"));
        lead(t);
        roll_out(t, 3, 0);
        delete_deployment(t, NULL);
        loop_until(t->event, fake_api_count(t->api, "replicasets", NULL) == 0);
        for (uint64_t end = loop_now_ms() + 10000; fake_api_count(t->api, "pods", NULL) > 0;) {
                fake_api_each(t->api, "pods", run_pod);
                assert_true(sd_event_run(t->event, 5000) >= 0);
                assert_true(loop_now_ms() < end);
        }
}

/* The owner goes last. */
static void test_foreground(void **state) {
        struct world_under_test *t = *state;

        fake_api_put(t->api, "deployments", deployment(3, "one"));
        lead(t);
        roll_out(t, 3, 0);
        delete_deployment(t, "foregroundDeletion");
        run_until_gone(t, "deployments", "d/web");
        assert_int_equal(fake_api_count(t->api, "replicasets", NULL), 0);
}

static void test_orphan(void **state) {
        struct world_under_test *t = *state;

        fake_api_put(t->api, "deployments", deployment(3, "one"));
        lead(t);
        roll_out(t, 3, 0);
        delete_deployment(t, "orphan");
        run_until_gone(t, "deployments", "d/web");
        loop_for_ms(t->event, 30);
        assert_int_equal(fake_api_count(t->api, "replicasets", NULL), 1);
        assert_int_equal(fake_api_count(t->api, "pods", NULL), 3);
}

static void test_namespace_goes(void **state) {
        struct world_under_test *t = *state;
        json_t *ns;

        fake_api_put(t->api, "namespaces",
                        json_pack("{s:s, s:s, s:{s:s, s:[s]}, s:{s:[s]}}", "apiVersion", "v1",
                                        "kind", "Namespace", "metadata", "name", "d", "finalizers",
                                        "held", "spec", "finalizers", "kubernetes"));
        fake_api_put(t->api, "configmaps",
                        json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind",
                                        "ConfigMap", "metadata", "name", "c", "namespace", "d"));
        fake_api_put(t->api, "deployments", deployment(3, "one"));
        lead(t);
        roll_out(t, 3, 0);
        ns = json_deep_copy(fake_api_get(t->api, "namespaces", "d"));
        json_set_str(ns, "metadata.deletionTimestamp", "2026-01-01T00:00:00Z");
        fake_api_put(t->api, "namespaces", ns);
        run_until_gone(t, "namespaces", "d");
        assert_int_equal(fake_api_count(t->api, "pods", NULL), 0);
        assert_int_equal(fake_api_count(t->api, "deployments", NULL), 0);
        assert_null(fake_api_get(t->api, "configmaps", "d/c"));
        assert_null(fake_api_get(t->api, "serviceaccounts", "d/default"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(
                                        test_deployment_end_to_end, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_no_overshoot, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_slow_start, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_subnets_are_unique, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_pod_of_lost_node, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_job, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_unschedulable, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_owner_gone, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_foreground, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_orphan, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_namespace_goes, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_standing_by, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
