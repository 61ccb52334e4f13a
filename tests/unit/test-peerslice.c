/* The controller of PeerSlices: which pods are whose peers, how slices change, and what wakes it.
 */
#include "tests/unit/fake-world.h"

#include "lib/client/network-policy.h"

static const char *const namespaces =
                "{metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}}\n"
                "---\n"
                "{metadata: {name: ops, labels: {team: ops}}}\n"
                "---\n"
                "{metadata: {name: qa, labels: {team: qa}}}\n";

static void put_all(struct fake *f, enum world_kind kind, const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        for (size_t i = 0; i < docs.count; i++) {
                assert_true(f->counts[kind] < FAKE_OBJECTS_MAX);
                f->objects[kind][f->counts[kind]++] = json_ref(docs.items[i].value);
        }
}

static void put_pod(
                struct fake *f, const char *ns, const char *name, const char *app, const char *ip) {
        f->objects[WORLD_PODS][f->counts[WORLD_PODS]++] = json_pack(
                        "{s:{s:s, s:s, s:s, s:{s:s}}, s:{s:s, s:[{s:[{s:s, s:i}]}]}, "
                        "s:{s:s, s:s}}",
                        "metadata", "name", name, "namespace", ns, "uid", name, "labels", "app",
                        app, "spec", "nodeName", "n1", "containers", "ports", "name", "http",
                        "containerPort", 80, "status", "podIP", ip, "phase", "Running");
}

static void put_policy(struct fake *f, const char *peer) {
        _cleanup_free_ char *yaml = strformat(
                        "{metadata: {name: p%zu, namespace: shop}, spec: {podSelector: {}, "
                        "ingress: [{from: [%s]}]}}",
                        f->counts[WORLD_NETWORKPOLICIES], peer);

        put_all(f, WORLD_NETWORKPOLICIES, yaml);
}

static struct fake *shop(const char *peer) {
        struct fake *f = fake_new();

        put_all(f, WORLD_NAMESPACES, namespaces);
        put_pod(f, "shop", "front", "front", "10.244.1.1");
        put_pod(f, "shop", "back", "back", "10.244.1.2");
        put_pod(f, "ops", "prometheus", "prometheus", "10.244.1.3");
        put_pod(f, "ops", "front", "front", "10.244.1.4");
        put_pod(f, "qa", "front", "front", "10.244.1.5");
        if (peer)
                put_policy(f, peer);
        return f;
}

/* The name that the controller gives a peer. */
static char *name_of(const char *peer) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *selector = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(yaml_parse(peer, strlen(peer), &docs, &p), 0);
        selector = peer_selector(docs.items[0].value);
        text = selector ? peer_selector_text(selector) : NULL;
        return text ? strformat("shop/%s", text) : NULL;
}

/* "10.244.1.1 10.244.1.2" */
static char *addresses_of(const json_t *body) {
        struct buf out = {0};
        const json_t *peer;
        size_t i;

        json_array_foreach (json_object_get(body, "peers"), i, peer)
                buf_printf(&out, "%s%s", i > 0 ? " " : "",
                                json_string_value(json_array_get(
                                                json_object_get(peer, "addresses"), 0)));
        return buf_take(&out);
}

static int64_t first_port(const json_t *body) {
        const json_t *peer = json_array_get(json_object_get(body, "peers"), 0),
                     *port = json_array_get(json_object_get(peer, "ports"), 0);

        return json_int_or(port, "port", 0);
}

static void test_selection(void **state) {
        static const struct {
                const char *peer, *addresses; /* NULL: no slice */
        } cases[] = {
                        {"{podSelector: {matchLabels: {app: front}}}", "10.244.1.1"},
                        {"{podSelector: {}}", "10.244.1.1 10.244.1.2"},
                        {"{podSelector: {matchLabels: {app: nobody}}}", NULL},
                        {"{namespaceSelector: {matchLabels: {team: ops}}}",
                                        "10.244.1.3 10.244.1.4"},
                        {"{namespaceSelector: {matchLabels: {team: ops}}, podSelector: "
                         "{matchLabels: {app: front}}}",
                                        "10.244.1.4"},
                        {"{namespaceSelector: {}, podSelector: {matchLabels: {app: front}}}",
                                        "10.244.1.1 10.244.1.4 10.244.1.5"},
                        {"{namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}, "
                         "podSelector: {matchLabels: {app: front}}}",
                                        "10.244.1.4 10.244.1.5"},
                        {"{namespaceSelector: {}}", NULL}, /* all pods: no slice is needed */
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct fake *f = shop(cases[i].peer);
                _cleanup_free_ char *name = name_of(cases[i].peer), *addresses = NULL;
                struct actions a = {0};

                peerslice_controller.plan(&f->world, name, &a);
                assert_int_equal(a.count, cases[i].addresses ? 1 : 0);
                if (cases[i].addresses) {
                        addresses = addresses_of(a.items[0].body);
                        assert_string_equal(addresses, cases[i].addresses);
                        assert_ptr_equal(a.items[0].type, &action_type_create);
                        assert_string_equal(a.items[0].ns, "shop");
                        assert_int_equal(first_port(a.items[0].body), 80);
                }
                actions_done(&a);
                fake_free(f);
        }
}

#define FRONT "{podSelector: {matchLabels: {app: front}}}"

/* Pods of the node's network, finished ones and those without an address are no peers. */
static void test_no_peers(void **state) {
        static const char *const changes[][2] = {
                        {"spec.hostNetwork", "true"},
                        {"status.phase", "\"Succeeded\""},
                        {"status.podIP", "\"\""},
        };
        _cleanup_free_ char *name = name_of(FRONT);

        for (size_t i = 0; i < ELEMENTS(changes); i++) {
                struct fake *f = shop(FRONT);
                struct actions a = {0};
                json_t *v = json_loads(changes[i][1], JSON_DECODE_ANY, NULL);

                assert_int_equal(json_set_at(f->objects[WORLD_PODS][0], changes[i][0], v), 0);
                peerslice_controller.plan(&f->world, name, &a);
                assert_int_equal(a.count, 0);
                actions_done(&a);
                fake_free(f);
        }
}

static void test_slices_change(void **state) {
        _cleanup_free_ char *name = name_of(FRONT), *addresses = NULL;
        struct fake *f = shop(FRONT);
        struct actions a = {0};

        /* As it should be: nothing. */
        put_all(f, WORLD_PEERSLICES,
                        "{metadata: {name: peers-a, namespace: shop, uid: a}, podSelector: "
                        "{matchLabels: {app: front}}, peers: [{addresses: [10.244.1.1], ports: "
                        "[{name: http, protocol: TCP, port: 80}]}]}\n"
                        "---\n"
                        "{metadata: {name: peers-b, namespace: shop, uid: b}, podSelector: "
                        "{matchLabels: {app: back}}, peers: [{addresses: [10.244.1.2]}]}");
        peerslice_controller.plan(&f->world, name, &a);
        assert_int_equal(a.count, 0);
        /* One more: it joins the slice that is there. */
        put_pod(f, "shop", "front-2", "front", "10.244.1.9");
        peerslice_controller.plan(&f->world, name, &a);
        assert_int_equal(a.count, 1);
        assert_ptr_equal(a.items[0].type, &action_type_patch);
        assert_string_equal(a.items[0].name, "peers-a");
        addresses = addresses_of(a.items[0].body);
        assert_string_equal(addresses, "10.244.1.1 10.244.1.9");
        actions_done(&a);
        /* The policy goes: so does its slice, and no other's. */
        f->counts[WORLD_NETWORKPOLICIES] = 0;
        a = (struct actions){0};
        peerslice_controller.plan(&f->world, name, &a);
        assert_int_equal(a.count, 1);
        assert_ptr_equal(a.items[0].type, &action_type_delete);
        assert_string_equal(a.items[0].name, "peers-a");
        actions_done(&a);
        f->counts[WORLD_NETWORKPOLICIES] = 1;
        fake_free(f);
}

static void test_many(void **state) {
        _cleanup_free_ char *name = name_of("{podSelector: {matchLabels: {app: many}}}");
        struct fake *f = shop("{podSelector: {matchLabels: {app: many}}}");
        struct actions a = {0};
        size_t n = 0;

        for (unsigned i = 0; i < 450; i++) {
                _cleanup_free_ char *pod = strformat("many-%u", i),
                                    *ip = strformat("10.244.%u.%u", 2 + i / 200, i % 200);
                put_pod(f, "shop", pod, "many", ip);
        }
        peerslice_controller.plan(&f->world, name, &a);
        assert_int_equal(a.count, 3);
        for (size_t i = 0; i < a.count; i++)
                n += json_array_size(json_object_get(a.items[i].body, "peers"));
        assert_int_equal(n, 450);
        actions_done(&a);
        fake_free(f);
}

/* ---- what wakes ---- */

static void add_name(void *userdata, const char *key) {
        buf_printf(userdata, "%s\n", key);
}

static void assert_wakes(struct fake *f, enum world_kind kind, const json_t *old,
                const json_t *object, const char *peer) {
        _cleanup_buf_ struct buf out = {0};
        _cleanup_free_ char *name = peer ? name_of(peer) : NULL,
                            *line = name ? strformat("%s\n", name) : NULL;
        const struct wake wake = {add_name, &out};

        peerslice_controller.wake(&f->world, &wake, kind, old, object, false);
        assert_string_equal(strempty(out.data), strempty(line));
}

static void test_wake(void **state) {
        struct fake *f = shop(FRONT);
        const char *ops = "{namespaceSelector: {matchLabels: {team: ops}}}";
        const json_t *front = f->objects[WORLD_PODS][0], *back = f->objects[WORLD_PODS][1],
                     *prometheus = f->objects[WORLD_PODS][2], *qa = f->objects[WORLD_PODS][4];
        _cleanup_json_ json_t *ready = json_deep_copy(front), *relabeled = json_deep_copy(front),
                              *moved = json_deep_copy(front),
                              *renamed = json_deep_copy(f->objects[WORLD_NAMESPACES][1]);

        put_policy(f, ops);
        /* Added, and only where it is selected. */
        assert_wakes(f, WORLD_PODS, NULL, front, FRONT);
        assert_wakes(f, WORLD_PODS, NULL, back, NULL);
        assert_wakes(f, WORLD_PODS, NULL, prometheus, ops);
        assert_wakes(f, WORLD_PODS, NULL, qa, NULL);
        /* Its readiness says nothing, its labels and its address do. */
        json_set_str(ready, "status.phase", "Pending");
        assert_wakes(f, WORLD_PODS, front, ready, NULL);
        json_set_str(relabeled, "metadata.labels.app", "other");
        assert_wakes(f, WORLD_PODS, front, relabeled, FRONT);
        assert_wakes(f, WORLD_PODS, relabeled, front, FRONT);
        json_set_str(moved, "status.podIP", "10.244.1.77");
        assert_wakes(f, WORLD_PODS, front, moved, FRONT);
        /* A namespace gets or loses the label. */
        json_set_str(renamed, "metadata.labels.team", "dev");
        assert_wakes(f, WORLD_NAMESPACES, f->objects[WORLD_NAMESPACES][1], renamed, ops);
        assert_wakes(f, WORLD_NAMESPACES, renamed, f->objects[WORLD_NAMESPACES][1], ops);
        assert_wakes(f, WORLD_NAMESPACES, f->objects[WORLD_NAMESPACES][1],
                        f->objects[WORLD_NAMESPACES][1], NULL);
        assert_wakes(f, WORLD_NETWORKPOLICIES, NULL, f->objects[WORLD_NETWORKPOLICIES][1], ops);
        fake_free(f);
}

/* ---- a change looks only at the policies that may be about it ---- */

static size_t visited;

static void counting_list(
                void *data, enum world_index index, const char *value, struct objects *ret) {
        size_t before = ret->count;

        fake_list(data, index, value, ret);
        visited += ret->count - before;
}

static void test_wake_is_indexed(void **state) {
        enum { POLICIES = 500 };
        static const struct world_source source = {fake_get, counting_list, fake_all,
                        fake_lease_seen, fake_lease_unbroken, fake_zone};
        struct fake *f = fake_new();
        _cleanup_buf_ struct buf out = {0};
        const struct wake wake = {add_name, &out};

        f->world.source = &source;
        for (unsigned i = 0; i < POLICIES; i++) {
                _cleanup_free_ char *
                                policy = strformat(
                                               "{metadata: {name: p, namespace: n%u}, spec: {podSelector: {}, "
                                               "ingress: [{from: [{podSelector: {}}, {namespaceSelector: "
                                               "{matchLabels: {kubernetes.io/metadata.name: n%u}}}]}]}}",
                                               i, (i + 1) % POLICIES),
                               *ns = strformat("{metadata: {name: n%u, labels: "
                                               "{kubernetes.io/metadata.name: n%u}}}",
                                               i, i);
                put_all(f, WORLD_NETWORKPOLICIES, policy);
                put_all(f, WORLD_NAMESPACES, ns);
        }
        put_pod(f, "n7", "a", "a", "10.244.1.1");
        peerslice_controller.wake(
                        &f->world, &wake, WORLD_PODS, NULL, f->objects[WORLD_PODS][0], false);
        assert_string_equal(out.data, "n7/{\"podSelector\":{}}\n"
                                      "n6/{\"namespaceSelector\":{\"matchLabels\":{\"kubernetes.io/"
                                      "metadata.name\":\"n7\"}},\"podSelector\":{}}\n");
        assert_int_equal(visited, 2);
        fake_free(f);
}

static void test_index_of_labels(void **state) {
        static const struct {
                const char *peers, *value;
        } cases[] = {
                        {FRONT, NULL},
                        {"{namespaceSelector: {matchLabels: {team: ops}}}", "team=ops"},
                        {"{namespaceSelector: {matchLabels: {team: ops}}}, " FRONT, "team=ops"},
                        {"{namespaceSelector: {matchLabels: {team: ops}}}, {namespaceSelector: "
                         "{matchLabels: {team: qa}}}",
                                        ""},
                        {"{namespaceSelector: {}}", ""},
                        {"{namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}}",
                                        ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct fake *f = shop(NULL);
                char buffer[512];
                const char *value;

                put_policy(f, cases[i].peers);
                value = world_indexes[WORLD_POLICIES_BY_PEER_LABEL].func(
                                f->objects[WORLD_NETWORKPOLICIES][0], buffer, sizeof(buffer));
                assert_true(streq_ptr(value, cases[i].value));
                fake_free(f);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_selection),
                        cmocka_unit_test(test_no_peers),
                        cmocka_unit_test(test_slices_change),
                        cmocka_unit_test(test_many),
                        cmocka_unit_test(test_wake),
                        cmocka_unit_test(test_wake_is_indexed),
                        cmocka_unit_test(test_index_of_labels),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
