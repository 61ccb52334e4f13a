/* The scheduler's picture, plugins and choice. */
#include "tests/unit/unit.h"

#include "lib/yaml.h"
#include "reconcilers/sched-internal.h"

static json_t *yaml(const char *fmt, ...) _printf_(1, 2);
static json_t *yaml(const char *fmt, ...) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        assert_true(vasprintf(&text, fmt, ap) >= 0);
        va_end(ap);
        if (yaml_parse(text, strlen(text), &docs, &p) < 0)
                fail_msg("%s in\n%s", p.message, text);
        return json_incref(docs.items[0].value);
}

static void add_node(struct cluster *c, const char *name, const char *labels, const char *spec) {
        _cleanup_json_ json_t *node =
                        yaml("metadata: {name: %s, labels: {%s}}\nspec: {%s}\n"
                             "status: {allocatable: {cpu: '2', memory: 4Gi, pods: '3'}, "
                             "conditions: [{type: Ready, status: 'True'}]}\n",
                                        name, labels, spec);

        cluster_put_node(c, node);
}

static json_t *pod(const char *name, const char *owner, const char *spec, const char *requests) {
        return yaml("metadata: {name: %s, namespace: d, uid: u-%s, ownerReferences: "
                    "[{uid: '%s', controller: true}]}\n"
                    "spec: {%s, containers: [{name: c, resources: {requests: {%s}}}]}\n"
                    "status: {phase: Running}\n",
                        name, name, owner, spec, requests);
}

static void add_pod(struct cluster *c, const char *name, const char *owner, const char *node,
                const char *requests) {
        _cleanup_free_ char *spec = strformat("nodeName: %s", node);
        _cleanup_json_ json_t *o = pod(name, owner, spec, requests);

        cluster_put_pod(c, o);
}

/* Where it would go: a node's name, or the message. */
static char *place(struct cluster *c, const json_t *object) {
        _cleanup_(sched_pod_freep) struct sched_pod *p = sched_pod_new(c, object);
        const struct sched_node *n;
        struct reasons why;
        char *result;

        assert_int_equal(reasons_init(&why), 0);
        n = sched_choose(c, p, 0, &why);
        result = n ? strdup(n->name) : sched_message(c, &why);
        reasons_done(&why);
        return result;
}

#define assert_place(c, name, spec, requests, expected) \
        do { \
                _cleanup_json_ json_t *_o = pod(name, "o", spec, requests); \
                _cleanup_free_ char *_r = place(c, _o); \
                assert_string_equal(_r, expected); \
        } while (0)

static void test_resources(void **state) {
        _cleanup_(cluster_done) struct cluster c;

        assert_int_equal(cluster_init(&c), 0);
        assert_place(&c, "p", "x: y", "", "no nodes available to schedule pods");
        add_node(&c, "a", "", "");
        add_node(&c, "b", "", "");
        add_pod(&c, "big", "z", "a", "cpu: 1500m, memory: 1Gi");
        assert_place(&c, "p", "x: y", "cpu: '1'", "b");
        assert_place(&c, "p", "x: y", "cpu: 2500m", "0/2 nodes are available: 2 Insufficient cpu.");
        assert_place(&c, "p", "x: y", "cpu: 2500m, memory: 5Gi",
                        "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.");
        assert_place(&c, "p", "x: y", "example.com/gpu: 1",
                        "0/2 nodes are available: 2 Insufficient example.com/gpu.");
        add_pod(&c, "b1", "z", "b", "");
        add_pod(&c, "b2", "z", "b", "");
        add_pod(&c, "b3", "z", "b", "");
        assert_place(&c, "p", "x: y", "cpu: '1'",
                        "0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods.");
}

static void test_counting(void **state) {
        _cleanup_(cluster_done) struct cluster c;
        _cleanup_json_ json_t *o = pod("p", "o", "x: y", "cpu: '2'");
        _cleanup_json_ json_t *bound = pod("p", "o", "nodeName: a", "cpu: '2'"), *done = NULL;

        assert_int_equal(cluster_init(&c), 0);
        add_node(&c, "a", "", "");
        cluster_assume(&c, o, "a");
        assert_place(&c, "q", "x: y", "cpu: 1m", "0/1 nodes are available: 1 Insufficient cpu.");
        cluster_put_pod(&c, o); /* an update from before the binding */
        assert_place(&c, "q", "x: y", "cpu: 1m", "0/1 nodes are available: 1 Insufficient cpu.");
        cluster_put_pod(&c, bound); /* confirmed: counted once */
        cluster_put_pod(&c, bound);
        assert_int_equal(((struct sched_node *)map_get(c.nodes, "a"))->used.v[RESOURCE_CPU], 2000);
        done = json_deep_copy(bound);
        json_set_str(done, "status.phase", "Succeeded");
        cluster_put_pod(&c, done);
        assert_place(&c, "q", "x: y", "cpu: '2'", "a");
        cluster_assume(&c, o, "a");
        cluster_forget(&c, "u-p");
        assert_place(&c, "q", "x: y", "cpu: '2'", "a");
        assert_int_equal(((struct sched_node *)map_get(c.nodes, "a"))->used.v[RESOURCE_CPU], 0);
}

static void test_init_containers(void **state) {
        _cleanup_(cluster_done) struct cluster c;

        assert_int_equal(cluster_init(&c), 0);
        add_node(&c, "a", "", "");
        assert_place(&c, "p", "initContainers: [{resources: {requests: {cpu: '3'}}}]", "cpu: 1m",
                        "0/1 nodes are available: 1 Insufficient cpu.");
        /* alone it fits, though both together would not */
        assert_place(&c, "p", "initContainers: [{resources: {requests: {cpu: '2'}}}]", "cpu: '2'",
                        "a");
        /* a sidecar runs beside */
        assert_place(&c, "p",
                        "initContainers: [{restartPolicy: Always, resources: {requests: {cpu: "
                        "'1'}}}]",
                        "cpu: '2'", "0/1 nodes are available: 1 Insufficient cpu.");
}

static void test_nodes_that_do_not_match(void **state) {
        _cleanup_(cluster_done) struct cluster c;
        _cleanup_json_ json_t *silent =
                        yaml("metadata: {name: d}\nstatus: {allocatable: {pods: 9}}");

        assert_int_equal(cluster_init(&c), 0);
        add_node(&c, "a", "disk: ssd, 'n': '5'", "");
        add_node(&c, "b", "disk: hdd", "taints: [{key: k, value: v, effect: NoSchedule}]");
        add_node(&c, "c", "", "unschedulable: true");
        cluster_put_node(&c, silent);
        assert_place(&c, "p", "nodeSelector: {disk: hdd}", "",
                        "0/4 nodes are available: 1 node(s) didn't match Pod's node "
                        "affinity/selector, "
                        "1 node(s) had untolerated taint {k: v}, 1 node(s) were not ready, "
                        "1 node(s) were unschedulable.");
        assert_place(&c, "p",
                        "nodeSelector: {disk: hdd}, tolerations: [{key: k, operator: Equal, value: "
                        "v}]",
                        "", "b");
        assert_place(&c, "p",
                        "tolerations: [{operator: Exists}], affinity: {nodeAffinity: "
                        "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
                        "[{matchExpressions: [{key: 'n', operator: Gt, values: ['4']}, "
                        "{key: disk, operator: NotIn, values: [hdd]}]}]}}}",
                        "", "a");
        assert_place(&c, "p",
                        "tolerations: [{operator: Exists}], affinity: {nodeAffinity: "
                        "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
                        "[{matchFields: [{key: metadata.name, operator: In, values: [c]}]}]}}}",
                        "", "c");
        assert_place(&c, "p",
                        "tolerations: [{key: k, operator: Exists}], affinity: {nodeAffinity: "
                        "{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 50, "
                        "preference: "
                        "{matchExpressions: [{key: disk, operator: In, values: [hdd]}]}}]}}",
                        "", "b");
}

static void test_host_ports(void **state) {
        _cleanup_(cluster_done) struct cluster c;
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

        assert_int_equal(cluster_init(&c), 0);
        add_node(&c, "a", "", "");
        cluster_put_pod(&c, first);
        a = place(&c, clash);
        assert_string_equal(a, "0/1 nodes are available: 1 node(s) didn't have free ports for the "
                               "requested pod ports.");
        b = place(&c, other);
        assert_string_equal(b, "a");
        d = place(&c, udp);
        assert_string_equal(d, "a");
}

/* Three replicas land on three nodes, though one of them is emptier than the others. */
static void test_spread(void **state) {
        _cleanup_(cluster_done) struct cluster c;
        char name[8];

        assert_int_equal(cluster_init(&c), 0);
        add_node(&c, "a", "", "");
        add_node(&c, "b", "", "");
        add_node(&c, "c", "", "");
        add_pod(&c, "x", "other", "a", "cpu: 800m");
        add_pod(&c, "y", "other", "b", "cpu: 400m");
        for (int i = 0; i < 3; i++) {
                (void)snprintf(name, sizeof(name), "p%d", i);
                _cleanup_json_ json_t *o = pod(name, "o", "x: y", "cpu: 10m");
                _cleanup_free_ char *node = place(&c, o);

                assert_string_equal(node, i == 0 ? "c" : i == 1 ? "b" : "a");
                cluster_assume(&c, o, node);
        }
}

static void test_events(void **state) {
        _cleanup_json_ json_t *a = yaml("metadata: {name: a}\nspec: {}\nstatus: {conditions: "
                                        "[{type: Ready, status: 'False', lastHeartbeatTime: x}]}");
        _cleanup_json_ json_t *b = json_deep_copy(a), *c = NULL;

        assert_int_equal(sched_node_events(a, b), 0);
        json_set_str(b, "metadata.annotations", "anything");
        assert_int_equal(sched_node_events(a, b), 0); /* a heartbeat wakes nobody */
        json_set_str(b, "metadata.labels.x", "y");
        assert_int_equal(sched_node_events(a, b), SCHED_NODE_LABELS);
        c = json_deep_copy(a);
        json_object_set_new(json_object_get(c, "spec"), "unschedulable", json_true());
        assert_int_equal(sched_node_events(c, a), SCHED_NODE_TAINTS);
        assert_true(sched_node_events(NULL, a) & SCHED_NODE_ADDED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_resources),
                        cmocka_unit_test(test_counting),
                        cmocka_unit_test(test_init_containers),
                        cmocka_unit_test(test_nodes_that_do_not_match),
                        cmocka_unit_test(test_host_ports),
                        cmocka_unit_test(test_spread),
                        cmocka_unit_test(test_events),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
