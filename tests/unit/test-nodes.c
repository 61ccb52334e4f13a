/* Plans of the controllers around nodes: lifecycle, subnets, pods nobody ends; and EndpointSlices.
 */
#include "tests/unit/fake-world.h"
#include "reconcilers/cluster/podcidr.h"

static json_t *put_node(struct fake *f, const char *name, const char *ready, const char *extra) {
        return fake_put(f, WORLD_NODES,
                        "metadata: {name: '%s', uid: u-%s, resourceVersion: '3', creationTimestamp: "
                        "'2026-01-01T10:00:00Z'}\nspec: {%s}\nstatus: {conditions: [{type: Ready, "
                        "status: '%s', lastHeartbeatTime: '2026-01-01T11:59:00Z'}]}\n",
                        name, name, extra, ready);
}

static json_t *put_pod(struct fake *f, const char *name, const char *node, const char *extra) {
        return fake_put(f, WORLD_PODS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '9', "
                        "labels: "
                        "{app: web}}\nspec: {nodeName: '%s', containers: [{name: c, ports: "
                        "[{name: http, containerPort: 80}]}] %s}\nstatus: {phase: Running, podIP: "
                        "10.0.0.9, conditions: [{type: Ready, status: 'True'}]}\n",
                        name, name, node, extra);
}

/* --- node lifecycle --- */

static void test_silent_node(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;
        uint64_t wait;

        put_node(f, "n", "True", "");
        f->lease_seen_us = f->world.mono_us - 30000000;
        text = fake_plan(f, &node_controller, "n", &wait);
        assert_string_equal(text, "");
        assert_int_equal(wait, 10000000); /* looked at again when the grace period ends */
        f->lease_seen_us = f->world.mono_us - 40000000;
        assert_plan_has(f, &node_controller, "n", "patch nodes n status");
        assert_plan_has(f, &node_controller, "n",
                        "\"reason\":\"NodeStatusUnknown\",\"status\":\"Unknown\",\"type\":"
                        "\"Ready\"");
        assert_plan_has(f, &node_controller, "n", "\"lastHeartbeatTime\":\"2026-01-01T11:59:00Z\"");
        /* just started: what was before does not count */
        f->world.started_us = f->world.mono_us - 1000000;
        assert_plan(f, &node_controller, "n", "");
}

static void test_taints(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        f->lease_seen_us = f->world.mono_us;
        put_node(f, "n", "Unknown", "taints: [{key: mine, effect: NoSchedule}]");
        assert_plan_has(f, &node_controller, "n",
                        "{\"taints\":[{\"effect\":\"NoSchedule\",\"key\":\"mine\"},"
                        "{\"effect\":\"NoSchedule\",\"key\":\"node.kubernetes.io/unreachable\","
                        "\"timeAdded\":\"" FAKE_NOW "\"},{\"effect\":\"NoExecute\","
                        "\"key\":\"node.kubernetes.io/unreachable\",\"timeAdded\":\"" FAKE_NOW
                        "\"}]}");
        put_node(f, "n", "False", "");
        assert_plan_has(f, &node_controller, "n", "node.kubernetes.io/not-ready");
        put_node(f, "n", "True", "unschedulable: true");
        assert_plan_has(f, &node_controller, "n", "node.kubernetes.io/unschedulable");
        put_node(f, "n", "True",
                        "taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute, "
                        "timeAdded: '2026-01-01T11:00:00Z'}]");
        assert_plan_has(f, &node_controller, "n", "{\"taints\":[]}");
        put_node(f, "n", "True", "");
        assert_plan(f, &node_controller, "n", "");
}

static void put_unreachable(struct fake *f) {
        put_node(f, "n", "Unknown",
                        "taints: [{key: node.kubernetes.io/unreachable, effect: NoSchedule, "
                        "timeAdded: "
                        "'2026-01-01T11:59:00Z'}, {key: node.kubernetes.io/unreachable, effect: "
                        "NoExecute, timeAdded: '2026-01-01T11:59:00Z'}]");
        f->lease_seen_us = 1000;
}

static void test_eviction(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;
        json_t *gone;
        uint64_t wait;

        put_unreachable(f);
        put_node(f, "other", "True", "");
        put_pod(f, "stays", "n",
                        ", tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists}]");
        put_pod(f, "later", "n",
                        ", tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, "
                        "effect: NoExecute, tolerationSeconds: 75}]");
        put_pod(f, "due", "n",
                        ", tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, "
                        "effect: NoExecute, tolerationSeconds: 60}]");
        put_pod(f, "never", "n",
                        ", tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, "
                        "effect: NoExecute, tolerationSeconds: 9223372036854775807}]");
        put_pod(f, "now", "n", "");
        gone = put_pod(f, "terminating", "n", "");
        json_set_str(gone, "metadata.deletionTimestamp", FAKE_NOW);
        for (size_t i = 0; i < f->counts[WORLD_PODS]; i++)
                json_set_str(json_array_get(json_at(f->objects[WORLD_PODS][i], "status.conditions"),
                                             0),
                                "status", "False");
        text = fake_plan(f, &node_controller, "n", &wait);
        assert_int_equal(wait, 15000000);
        assert_plan(f, &node_controller, "n",
                        "patch pods d/due|patch pods d/now|barrier|event events d/due|delete pods "
                        "d/due|event events d/now|delete pods d/now");
        assert_plan_has(f, &node_controller, "n", "\"reason\":\"DeletionByTaintManager\"");
        /* graceful: on the node nobody says they are gone */
        assert_null(strstr(text, "gracePeriodSeconds"));
}

/* Nobody sees what a lost node's pods do: services leave them out until it is back. */
static void test_pods_of_a_lost_node(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *pod;

        put_unreachable(f);
        put_node(f, "other", "True", "");
        pod = put_pod(f, "ready", "n", "");
        put_pod(f, "elsewhere", "other", "");
        assert_plan(f, &node_controller, "n", "event events d/ready|patch pods d/ready");
        assert_plan_has(f, &node_controller, "n", "patch pods d/ready status");
        assert_plan_has(f, &node_controller, "n", "Warning NodeNotReady: Node is not ready");
        assert_plan_has(f, &node_controller, "n",
                        "{\"conditions\":[{\"lastTransitionTime\":\"" FAKE_NOW
                        "\",\"status\":\"False\",\"type\":\"Ready\"}]}");
        json_object_set_new(json_array_get(json_at(pod, "status.conditions"), 0), "status",
                        json_string("False"));
        assert_plan(f, &node_controller, "n",
                        "patch pods d/ready|barrier|event events d/ready|delete pods d/ready");
        put_node(f, "other", "Unknown", ""); /* the fault is more likely ours */
        json_object_set_new(json_array_get(json_at(pod, "status.conditions"), 0), "status",
                        json_string("True"));
        assert_plan(f, &node_controller, "n", "");
}

/* When no node at all is in reach nobody is evicted. */
static void test_no_eviction_when_all_are_silent(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_unreachable(f);
        put_pod(f, "now", "n", "");
        assert_plan(f, &node_controller, "n", "");
}

/* --- pods nobody ends --- */

static void test_podgc(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *pod;

        put_pod(f, "a", "lost", "");
        assert_plan(f, &podgc_controller, "d/a",
                        "guard-absent nodes lost|patch pods d/a|barrier|delete pods d/a");
        assert_plan_has(f, &podgc_controller, "d/a", "\"phase\":\"Failed\"");
        assert_plan_has(f, &podgc_controller, "d/a", "\"gracePeriodSeconds\":0");
        put_node(f, "lost", "Unknown", "");
        assert_plan(f, &podgc_controller, "d/a", ""); /* unreachable is not gone */
        pod = put_pod(f, "b", "", "");
        assert_plan(f, &podgc_controller, "d/b", "");
        json_set_str(pod, "metadata.deletionTimestamp", FAKE_NOW);
        assert_plan(f, &podgc_controller, "d/b", "delete pods d/b");
}

/* --- subnets --- */

static void put_record(struct fake *f, const char *data) {
        fake_put(f, WORLD_CIDR_RECORDS,
                        "metadata: {name: keelson-pod-cidrs, namespace: kube-system, uid: x, "
                        "resourceVersion: '4'}\ndata: {%s}\n",
                        data);
}

static void test_podcidr(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_node(f, "a", "True", "");
        put_node(f, "b", "True", "podCIDR: 10.244.0.0/24"); /* from before the record */
        /* first written down, then given */
        assert_plan(f, &podcidr_controller, "cidrs",
                        "create configmaps kube-system/keelson-pod-cidrs");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "{\"a\":\"10.244.1.0/24\",\"b\":\"10.244.0.0/24\"}");
        put_record(f, "a: 10.244.1.0/24, b: 10.244.0.0/24");
        assert_plan(f, &podcidr_controller, "cidrs", "patch nodes a");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "{\"podCIDR\":\"10.244.1.0/24\",\"podCIDRs\":[\"10.244.1.0/24\"]}");
        put_node(f, "a", "True", "podCIDR: 10.244.1.0/24");
        assert_plan(f, &podcidr_controller, "cidrs", "");
        /* a block that is written down is taken, even while its node is away */
        put_record(f, "a: 10.244.1.0/24, b: 10.244.0.0/24, z: 10.244.2.0/24");
        put_node(f, "c", "True", "");
        assert_plan_has(f, &podcidr_controller, "cidrs", "\"c\":\"10.244.3.0/24\"");
        put_node(f, "c", "True", "podCIDR: 10.244.3.0/24");
        put_record(f, "a: 10.244.1.0/24, b: 10.244.0.0/24, c: 10.244.3.0/24, z: 10.244.2.0/24");
        assert_plan(f, &podcidr_controller, "cidrs",
                        "guard-absent nodes z|patch configmaps kube-system/keelson-pod-cidrs");
        assert_plan_has(f, &podcidr_controller, "cidrs", "{\"data\":{\"z\":null}");
}

/* A block of each family, with parts of other sizes. */
static void test_podcidr_dual(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        f->config.cluster_cidr = "10.244.0.0/16,fd00:10:244::/56";
        f->config.node_cidr_mask_size = 23;
        f->config.node_cidr_mask_size_ipv6 = 64;
        put_node(f, "a", "True", "");
        put_node(f, "old", "True", "podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24]");
        put_record(f, "old: 10.244.0.0/24");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "\"a\":\"10.244.2.0/23,fd00:10:244::/64\"");
        /* a node that has one block keeps it, and gets one of the new range */
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "\"old\":\"10.244.0.0/24,fd00:10:244:1::/64\"");
        put_record(f, "old: '10.244.0.0/24,fd00:10:244:f::/64', a: '10.244.2.0/23,fd00:10:244::/64'");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "{\"podCIDR\":\"10.244.0.0/24\",\"podCIDRs\":[\"10.244.0.0/24\","
                        "\"fd00:10:244:f::/64\"]}");
        put_node(f, "old", "True",
                        "podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24, 'fd00:10:244:f::/64']");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "{\"podCIDR\":\"10.244.2.0/23\",\"podCIDRs\":[\"10.244.2.0/23\","
                        "\"fd00:10:244::/64\"]}");
        put_node(f, "a", "True",
                        "podCIDR: 10.244.2.0/23, podCIDRs: [10.244.2.0/23, 'fd00:10:244::/64']");
        assert_plan(f, &podcidr_controller, "cidrs", "");
        put_node(f, "b", "True", "");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "\"b\":\"10.244.4.0/23,fd00:10:244:1::/64\"");
        /* of a node from before the record, both are taken */
        put_node(f, "c", "True",
                        "podCIDR: 10.244.4.0/23, podCIDRs: [10.244.4.0/23, 'fd00:10:244:1::/64']");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "\"b\":\"10.244.6.0/23,fd00:10:244:2::/64\"");
}

static void test_podcidr_dual_exhausted(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        f->config.cluster_cidr = "10.244.0.0/16,fd00:10:244::/63";
        f->config.node_cidr_mask_size_ipv6 = 64;
        put_record(f, "a: '10.244.0.0/24,fd00:10:244::/64', b: '10.244.1.0/24,fd00:10:244:1::/64'");
        put_node(f, "c", "True", "");
        assert_plan_has(f, &podcidr_controller, "cidrs",
                        "CIDRNotAvailable: Node c gets no pod subnet: fd00:10:244::/63 has no free "
                        "/64 left");
}

static uint64_t cpu_us(void) {
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* More nodes than a fake has room for; what else is asked is not there. */
struct many_nodes {
        json_t *nodes; /* an array */
        json_t *record;
};

static const json_t *many_get(
                void *data, enum world_kind kind, const char *ns, const char *name) {
        return kind == WORLD_CIDR_RECORDS ? ((struct many_nodes *)data)->record : NULL;
}

static void many_all(void *data, enum world_kind kind, struct objects *ret) {
        json_t *v;
        size_t i;

        json_array_foreach (((struct many_nodes *)data)->nodes, i, v)
                objects_add(ret, v);
}

static void add_node(struct many_nodes *m, const char *name) {
        json_array_append_new(m->nodes,
                        json_pack("{s:{s:s, s:s}, s:{}}", "metadata", "name", name, "uid", name,
                                        "spec"));
}

static void plan_in_time(struct fake *f, const char *what, const char *part) {
        /* A plan is one turn of kreconciled's loop, which takes 50 ms at most. The bound here is
         * for sanitizers and slow machines; a search for each node among all would take longer. */
        enum { BOUND_US = 2000000 };
        uint64_t began_us = cpu_us();
        _cleanup_free_ char *text = fake_plan(f, &podcidr_controller, "cidrs", NULL);

        began_us = cpu_us() - began_us;
        print_message("%s: %" PRIu64 " ms\n", what, began_us / 1000);
        assert_non_null(strstr(text, part));
        assert_true(began_us < BOUND_US);
}

static void test_podcidr_many(void **state) {
        enum { NODES = 10000 };
        static const struct world_source source = {.get = many_get, .all = many_all};
        _cleanup_json_ json_t *nodes = json_array(), *data = json_object();
        _cleanup_fake_ struct fake *f = fake_new();
        struct many_nodes m = {.nodes = nodes};
        _cleanup_free_ char *given = NULL;
        size_t count = 0;

        f->config.cluster_cidr = "10.0.0.0/8,fd00:10:244::/48";
        f->config.node_cidr_mask_size_ipv6 = 64;
        f->world.source = &source;
        f->world.data = &m;
        for (unsigned i = 0; i < NODES; i++) {
                char name[16], blocks[64];

                snprintf(name, sizeof(name), "n%u", i);
                snprintf(blocks, sizeof(blocks), "10.%u.%u.0/24,fd00:10:244:%x::/64", i >> 8,
                                i & 255, i);
                add_node(&m, name);
                json_object_set_new(data, name, json_string(blocks));
        }
        plan_in_time(f, "10,000 new nodes", "\"n9999\":\"10.39.15.0/24,fd00:10:244:270f::/64\"");
        add_node(&m, "late");
        m.record = json_pack("{s:{s:s, s:s}, s:O}", "metadata", "name", "keelson-pod-cidrs",
                        "namespace", "kube-system", "data", data);
        plan_in_time(f, "one more", "\"late\":\"10.39.16.0/24,fd00:10:244:2710::/64\"");
        json_object_set_new(data, "late", json_string("10.39.16.0/24,fd00:10:244:2710::/64"));
        given = fake_plan(f, &podcidr_controller, "cidrs", NULL);
        for (const char *s = given; (s = strstr(s, "patch nodes ")); s++)
                count++;
        assert_int_equal(count, 250); /* the others come in the next rounds */
        json_decref(m.record);
}

static void test_podcidr_exhausted(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        f->config.cluster_cidr = "10.0.0.0/23";
        put_record(f, "a: 10.0.0.0/24, b: 10.0.1.0/24");
        put_node(f, "a", "True", "podCIDR: 10.0.0.0/24");
        put_node(f, "b", "True", "podCIDR: 10.0.1.0/24");
        put_node(f, "c", "True", "");
        assert_plan_has(f, &podcidr_controller, "cidrs", "Warning CIDRNotAvailable");
}

/* --- EndpointSlices --- */

static json_t *put_service(struct fake *f, const char *extra) {
        return fake_put(f, WORLD_SERVICES,
                        "metadata: {name: s, namespace: d, uid: us, resourceVersion: '2', labels: "
                        "{x: 'y'}}\n"
                        "spec: {selector: {app: web}, clusterIP: 10.96.0.7, ports: [{name: p, "
                        "port: 8080, "
                        "targetPort: http}] %s}\n",
                        extra);
}

/* What the plan would write becomes the world's slice. */
static json_t *apply_slice(struct fake *f, const char *name) {
        _cleanup_actions_ struct actions a = {0};
        json_t *slice;

        endpointslice_controller.plan(&f->world, "d/s", &a);
        assert_int_equal(a.count, 1);
        slice = fake_put(f, WORLD_ENDPOINTSLICES, "metadata: {name: %s, namespace: d}", name);
        json_object_update(slice, a.items[0].body);
        json_set_str(slice, "metadata.name", name);
        json_set_str(slice, "metadata.namespace", "d");
        json_set_str(slice, "metadata.resourceVersion", "8");
        return slice;
}

static void test_slice_made(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *slice, *pod;

        put_service(f, "");
        pod = put_pod(f, "a", "n", "");
        assert_plan(f, &endpointslice_controller, "d/s", "create endpointslices d/s-");
        slice = apply_slice(f, "s-1");
        assert_string_equal(object_label(slice, "kubernetes.io/service-name"), "s");
        assert_string_equal(object_label(slice, "x"), "y");
        assert_string_equal(json_str(slice, "addressType"), "IPv4");
        assert_int_equal(json_int_or(json_array_get(json_object_get(slice, "ports"), 0), "port", 0),
                        80);
        json_t *e = json_array_get(json_object_get(slice, "endpoints"), 0);
        assert_true(json_bool_or(e, "conditions.ready", false));
        assert_string_equal(json_str(e, "nodeName"), "n");
        assert_string_equal(json_str(e, "targetRef.uid"), "u-a");
        assert_plan(f, &endpointslice_controller, "d/s", ""); /* nothing more to do */

        json_set_str(pod, "metadata.deletionTimestamp", FAKE_NOW);
        assert_plan_has(f, &endpointslice_controller, "d/s",
                        "\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}");
}

/* A pod on a node out of reach is dropped at once, whatever it last said of itself. */
static void test_slice_unreachable(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_service(f, "");
        put_pod(f, "a", "n", "");
        put_node(f, "n", "Unknown", "");
        assert_plan_has(f, &endpointslice_controller, "d/s",
                        "\"conditions\":{\"ready\":false,\"serving\":false,\"terminating\":false}");
}

static void test_slice_bounds(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        char name[16];

        put_service(f, "");
        for (int i = 0; i < 250; i++) {
                (void)snprintf(name, sizeof(name), "p%d", i);
                put_pod(f, name, "n", "");
        }
        assert_plan(f, &endpointslice_controller, "d/s",
                        "create endpointslices d/s-|create endpointslices d/s-|create "
                        "endpointslices d/s-");
}

static void test_slice_empty_and_gone(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_service(f, "");
        assert_plan_has(f, &endpointslice_controller, "d/s", "\"endpoints\":[]");
        apply_slice(f, "s-1");
        assert_plan(f, &endpointslice_controller, "d/s", "");
        fake_clear(f, WORLD_SERVICES);
        assert_plan(f, &endpointslice_controller, "d/s", "delete endpointslices d/s-1");
}

static void test_slice_headless(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        json_set_str(put_service(f, ", publishNotReadyAddresses: true"), "spec.clusterIP", "None");
        json_set_str(put_pod(f, "a", "n", ", hostname: h, subdomain: s"), "status.phase",
                        "Pending");
        json_set_at(f->objects[WORLD_PODS][0], "status.conditions", json_array());
        assert_plan_has(f, &endpointslice_controller, "d/s",
                        "\"service.kubernetes.io/headless\":\"\"");
        assert_plan_has(f, &endpointslice_controller, "d/s", "\"hostname\":\"h\"");
        assert_plan_has(f, &endpointslice_controller, "d/s",
                        "\"ready\":true,\"serving\":false,\"terminating\":false");
}

static void put_families(json_t *service, const char *first, const char *second) {
        json_t *list = json_pack("[s]", first);

        if (second)
                json_array_append_new(list, json_string(second));
        json_set_at(service, "spec.ipFamilies", list);
}

/* A slice for each of the service's families, with the pods' addresses of it. */
static void test_slice_dual(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *service = put_service(f, ""), *pod = put_pod(f, "a", "n", "");

        json_set_at(pod, "status.podIPs",
                        json_pack("[{s:s}, {s:s}]", "ip", "10.0.0.9", "ip", "fd00::9"));
        put_pod(f, "b", "n", ""); /* of IPv4 only */
        put_families(service, "IPv6", NULL);
        assert_plan(f, &endpointslice_controller, "d/s", "create endpointslices d/s-");
        assert_plan_has(f, &endpointslice_controller, "d/s", "\"addressType\":\"IPv6\"");
        assert_plan_has(f, &endpointslice_controller, "d/s", "\"addresses\":[\"fd00::9\"]");
        apply_slice(f, "s-6");
        assert_plan(f, &endpointslice_controller, "d/s", "");
        put_families(service, "IPv4", "IPv6");
        assert_plan(f, &endpointslice_controller, "d/s", "create endpointslices d/s-");
        assert_plan_has(f, &endpointslice_controller, "d/s", "\"addressType\":\"IPv4\"");
        apply_slice(f, "s-4");
        assert_plan(f, &endpointslice_controller, "d/s", "");
        /* Back to one family: the other one's slice leaves. */
        put_families(service, "IPv4", NULL);
        assert_plan(f, &endpointslice_controller, "d/s", "delete endpointslices d/s-6");
        put_families(service, "IPv6", NULL);
        json_set_at(pod, "status.podIPs", json_pack("[{s:s}]", "ip", "10.0.0.9"));
        /* No pod has an address of the family: "none", not "unknown". */
        assert_plan_has(f, &endpointslice_controller, "d/s", "\"endpoints\":[]");
        assert_plan_has(f, &endpointslice_controller, "d/s", "delete endpointslices d/s-4");
}

static void test_slice_without_selector(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *service = put_service(f, "");

        json_del_at(service, "spec.selector");
        put_pod(f, "a", "n", "");
        assert_plan(f, &endpointslice_controller, "d/s", "");
}

static void test_podcidr_settings(void **state) {
        static const struct {
                const char *cidr;
                unsigned bits;
                bool good;
        } cases[] = {
                        {"10.244.0.0/16", 24, true},
                        {"10.244.0.0/16", 16, true},
                        {"10.244.0.0/16", 15, false},
                        {"10.0.0.0/8", 25, false}, /* more blocks than we count */
                        {"10.244.0.0", 24, false},
                        {"fd00::/48", 24, true},
                        {"fd00::/47", 24, false},
                        {"10.244.0.0/16,fd00::/56", 24, true},
                        {"10.244.0.0/16,10.245.0.0/16", 24, false},
                        {"10.244.0.0/33", 24, false},
                        {"10.244.0.0/28", 31, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world_config config = {.cluster_cidr = cases[i].cidr,
                                .node_cidr_mask_size = cases[i].bits,
                                .node_cidr_mask_size_ipv6 = 64};
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(podcidr_check(&config, &p), cases[i].good ? 0 : -EINVAL);
                assert_true(cases[i].good || strstr(p.message, "cidr"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_silent_node),
                        cmocka_unit_test(test_taints),
                        cmocka_unit_test(test_eviction),
                        cmocka_unit_test(test_pods_of_a_lost_node),
                        cmocka_unit_test(test_no_eviction_when_all_are_silent),
                        cmocka_unit_test(test_podgc),
                        cmocka_unit_test(test_podcidr),
                        cmocka_unit_test(test_podcidr_exhausted),
                        cmocka_unit_test(test_podcidr_many),
                        cmocka_unit_test(test_podcidr_dual),
                        cmocka_unit_test(test_podcidr_dual_exhausted),
                        cmocka_unit_test(test_podcidr_settings),
                        cmocka_unit_test(test_slice_made),
                        cmocka_unit_test(test_slice_unreachable),
                        cmocka_unit_test(test_slice_bounds),
                        cmocka_unit_test(test_slice_empty_and_gone),
                        cmocka_unit_test(test_slice_headless),
                        cmocka_unit_test(test_slice_dual),
                        cmocka_unit_test(test_slice_without_selector),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
