/* The plans of load balancers: who gets which address, which node carries it, and when a silent
 * node loses it. Tables of cases; the pools' status after a plan is compared as text. */
#include "nodeagent/load-balancer.h"
#include "reconcilers/network/loadbalancer-internal.h"
#include "tests/unit/fake-world.h"

#define LB (&loadbalancer_controller)
#define SECOND UINT64_C(1000000)

static void put_pool(struct fake *f, const char *name, const char *spec, const char *status) {
        fake_put(f, WORLD_ADDRESSPOOLS,
                        "metadata: {name: %s, uid: u-%s, resourceVersion: '7'}\nspec: {%s}\n"
                        "status: {%s}\n",
                        name, name, spec, status);
}

/* created: seconds of the minute; more: further fields of spec. */
static void put_service(struct fake *f, const char *name, int created, const char *metadata,
                const char *spec, const char *shown) {
        fake_put(f, WORLD_SERVICES,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '9', "
                        "creationTimestamp: '2026-01-01T11:00:%02dZ', finalizers: "
                        "[service.kubernetes.io/load-balancer-cleanup] %s}\n"
                        "spec: {type: LoadBalancer %s %s}\n"
                        "status: {loadBalancer: {ingress: [%s]}}\n",
                        name, name, created, metadata,
                        strstr(spec, "ports:") ? "" : ", ports: [{port: 80}]", spec, shown);
}

static void put_node(struct fake *f, const char *name, const char *ready, const char *labels,
                const char *spec) {
        fake_put(f, WORLD_NODES,
                        "metadata: {name: %s, labels: {%s}}\nspec: {%s}\nstatus: {addresses: "
                        "[{type: InternalIP, address: 192.0.2.1}], conditions: [{type: Ready, "
                        "status: '%s'}]}\n",
                        name, labels, spec, ready);
}

static void put_lease(struct fake *f, const char *name, const char *holder, int seconds) {
        fake_put(f, WORLD_LEASES,
                        "metadata: {name: %s, namespace: kube-node-lease, resourceVersion: '3'}\n"
                        "spec: {holderIdentity: '%s', leaseDurationSeconds: %d}\n",
                        name, holder, seconds);
}

/* What the pool would have: "192.0.2.10 n1 d/a,d/b|192.0.2.11 n2 d/c"; "same": no change. */
static char *state_of(struct fake *f, const char *pool) {
        _cleanup_actions_ struct actions a = {0};
        const json_t *row, *key, *rows = NULL;
        struct buf b = {0};
        size_t i, k;

        LB->plan(&f->world, "pools", &a);
        for (i = 0; i < a.count; i++)
                if (streq_ptr(a.items[i].name, pool))
                        rows = json_at(a.items[i].body, "status.addresses");
        if (!rows)
                return strdup("same");
        buf_append_str(&b, "");
        json_array_foreach (rows, i, row) {
                buf_printf(&b, "%s%s %s ", i > 0 ? "|" : "", json_str(row, "address"),
                                json_str_or(row, "node", "-"));
                json_array_foreach (json_object_get(row, "services"), k, key)
                        buf_printf(&b, "%s%s", k > 0 ? "," : "", json_string_value(key));
        }
        return b.size > 0 ? buf_take(&b) : strdup("");
}
#define assert_state(f, pool, expected) \
        do { \
                _cleanup_free_ char *_state = state_of(f, pool); \
                assert_string_equal(_state, expected); \
        } while (0)

static struct fake *world_of_nodes(unsigned count) {
        struct fake *f = fake_new();

        fake_put(f, WORLD_NAMESPACES, "metadata: {name: d, labels: {team: a}}\n");
        for (unsigned i = 1; i <= count; i++) {
                char name[8];

                snprintf(name, sizeof(name), "n%u", i);
                put_node(f, name, "True", "", "");
        }
        return f;
}

#define KEY_A ", annotations: {keelson.dev/allow-shared-ip: a}"
#define KEY_B ", annotations: {metallb.universe.tf/allow-shared-ip: b}"
#define TEN "addresses: [192.0.2.10-192.0.2.12]"

/* --- addresses --- */

/* One service against one pool whose first address another service has. */
static void test_one_service(void **state) {
        static const struct {
                const char *pool, *metadata, *spec, *expected, *reason;
        } cases[] = {
                        {TEN, "", "", "192.0.2.11", NULL},
                        {TEN, "", ", loadBalancerIP: 192.0.2.12", "192.0.2.12", NULL},
                        {TEN, ", annotations: {keelson.dev/load-balancer-ips: '192.0.2.12'}", "",
                                        "192.0.2.12", NULL},
                        {TEN, ", annotations: {metallb.io/loadBalancerIPs: '192.0.2.12'}", "",
                                        "192.0.2.12", NULL},
                        {TEN, "", ", loadBalancerIP: 192.0.2.10", NULL, "AddressTaken"},
                        {TEN, "", ", loadBalancerIP: 192.0.2.13", NULL, "AddressOutside"},
                        {TEN, "", ", loadBalancerIP: '2001:db8::1'", NULL, "AddressOutside"},
                        {"addresses: [192.0.2.1, 192.0.2.10]", "", "", NULL, "PoolEmpty"},
                        {"addresses: [192.0.2.1, 192.0.2.10]", "", ", loadBalancerIP: 192.0.2.1",
                                        NULL, "AddressReserved"},
                        {TEN ", autoAssign: false", "", "", NULL, "NoPool"},
                        {TEN ", autoAssign: false", "", ", loadBalancerIP: 192.0.2.11",
                                        "192.0.2.11", NULL},
                        {TEN ", autoAssign: false",
                                        ", annotations: {keelson.dev/address-pool: lan}", "",
                                        "192.0.2.11", NULL},
                        {TEN, ", annotations: {keelson.dev/address-pool: wan}", "", NULL, "NoPool"},
                        {TEN ", namespaceSelector: {matchLabels: {team: b}}", "", "", NULL,
                                        "NoPool"},
                        {TEN ", namespaceSelector: {matchLabels: {team: a}}", "", "", "192.0.2.11",
                                        NULL},
                        {TEN ", serviceSelector: {matchLabels: {x: v}}", "",
                                        ", loadBalancerIP: 192.0.2.11", NULL, "PoolNotAllowed"},
                        {TEN ", serviceSelector: {matchLabels: {x: v}}", ", labels: {x: v}", "",
                                        "192.0.2.11", NULL},
                        {TEN, "", ", ipFamilies: [IPv6]", NULL, "PoolEmpty"},
                        {"addresses: [192.0.2.10, '2001:db8::/127']", "", ", ipFamilies: [IPv6]",
                                        "2001:db8::", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = world_of_nodes(1);
                _cleanup_free_ char *state_text = NULL, *expected = NULL;

                put_pool(f, "lan", cases[i].pool,
                                "addresses: [{address: 192.0.2.10, node: n1, services: [d/old]}]");
                put_service(f, "old", 1, "", "", "{ip: 192.0.2.10, ipMode: VIP}");
                put_service(f, "new", 2, cases[i].metadata, cases[i].spec, "");
                if (cases[i].expected) {
                        expected = strformat("%s n1 d/new", cases[i].expected);
                        state_text = state_of(f, "lan");
                        if (!strstr(state_text, expected))
                                fail_msg("case %zu: %s", i, state_text);
                        assert_plan(f, LB, "d/new", "");
                        continue;
                }
                assert_plan_has(f, LB, "d/new", cases[i].reason);
                assert_plan_has(f, LB, "d/new", "SyncLoadBalancerFailed");
                state_text = state_of(f, "lan");
                assert_null(strstr(state_text, "d/new"));
        }
}

/* Services that must not get one here. */
static void test_not_ours(void **state) {
        static const char *const specs[] = {
                        ", loadBalancerClass: example.org/other", ", type: ClusterIP"};

        for (size_t i = 0; i < ELEMENTS(specs); i++) {
                _cleanup_fake_ struct fake *f = world_of_nodes(1);

                put_pool(f, "lan", TEN, "total: 3, inUse: 0, free: 3, addresses: []");
                fake_put(f, WORLD_SERVICES,
                                "metadata: {name: s, namespace: d, uid: u}\n"
                                "spec: {ports: [{port: 80}] %s}\n",
                                specs[i]);
                assert_state(f, "lan", "same");
                assert_plan(f, LB, "d/s", "");
        }
}

static void test_shared(void **state) {
        static const struct {
                const char *metadata, *spec, *expected;
        } cases[] = {
                        {KEY_A, ", ports: [{port: 443}]", "192.0.2.10 n1 d/old,d/new"},
                        {KEY_A, "", "192.0.2.10 n1 d/old|192.0.2.11 n2 d/new"},
                        {KEY_A, ", ports: [{port: 80, protocol: UDP}]",
                                        "192.0.2.10 n1 d/old,d/new"},
                        {KEY_B, ", ports: [{port: 443}]",
                                        "192.0.2.10 n1 d/old|192.0.2.11 n2 d/new"},
                        {"", ", ports: [{port: 443}]", "192.0.2.10 n1 d/old|192.0.2.11 n2 d/new"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = world_of_nodes(2);

                put_pool(f, "lan", TEN,
                                "addresses: [{address: 192.0.2.10, node: n1, services: [d/old]}]");
                put_service(f, "old", 1, KEY_A, "", "{ip: 192.0.2.10, ipMode: VIP}");
                put_service(f, "new", 2, cases[i].metadata, cases[i].spec, "");
                assert_state(f, "lan", cases[i].expected);
        }
}

/* In another namespace a key counts for nothing: it is no secret. */
static void test_not_shared_with_others(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(1);

        fake_put(f, WORLD_NAMESPACES, "metadata: {name: e}\n");
        put_pool(f, "lan", TEN, "addresses: [{address: 192.0.2.10, node: n1, services: [d/old]}]");
        put_service(f, "old", 1, KEY_A, "", "{ip: 192.0.2.10, ipMode: VIP}");
        fake_put(f, WORLD_SERVICES,
                        "metadata: {name: new, namespace: e, uid: u2 " KEY_A "}\n"
                        "spec: {type: LoadBalancer, ports: [{port: 443}]}\n");
        assert_state(f, "lan", "192.0.2.10 n1 d/old|192.0.2.11 n1 e/new");
}

/* A service keeps what it shows: over restarts, when the pool was made again, when the controller
 * has just begun to lead. Of two that show the same, the older one. */
static void test_stable(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(1);

        put_pool(f, "lan", TEN, "");
        put_service(f, "a", 1, "", "", "");
        put_service(f, "b", 2, "", "", "{ip: 192.0.2.10}");
        put_service(f, "c", 3, "", "", "{ip: 192.0.2.10}");
        assert_state(f, "lan", "192.0.2.10 n1 d/b|192.0.2.11 n1 d/a|192.0.2.12 n1 d/c");
        put_pool(f, "lan", TEN,
                        "total: 3, inUse: 3, free: 0, addresses: [{address: 192.0.2.10, node: n1, "
                        "services: [d/b]}, {address: 192.0.2.11, node: n1, services: [d/a]}, "
                        "{address: 192.0.2.12, node: n1, services: [d/c]}]");
        assert_state(f, "lan", "same");
        assert_plan(f, LB, "d/b", "event events d/b|event events d/b|patch services d/b");
        assert_plan_has(f, LB, "d/c", "\"ip\":\"192.0.2.12\",\"ipMode\":\"VIP\"");
        assert_plan_has(f, LB, "d/c", "node n1 answers for 192.0.2.12");
        put_service(f, "e", 4, "", "", "");
        assert_plan_has(f, LB, "d/e", "PoolEmpty");
}

/* Nobody else gets an address before its service has stopped showing it. */
static void test_released(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(1);

        put_pool(f, "lan", "addresses: [192.0.2.10]",
                        "total: 1, inUse: 1, free: 0, addresses: [{address: 192.0.2.10, node: n1, "
                        "services: [d/a]}]");
        put_service(f, "a", 1, ", deletionTimestamp: '2026-01-01T11:59:00Z'", "",
                        "{ip: 192.0.2.10, ipMode: VIP}");
        put_service(f, "b", 2, "", "", "");
        assert_state(f, "lan", "same");
        assert_plan(f, LB, "d/a", "event events d/a|patch services d/a");
        put_service(f, "a", 1, ", deletionTimestamp: '2026-01-01T11:59:00Z'", "", "");
        assert_plan(f, LB, "d/a", "");
        assert_state(f, "lan", "192.0.2.10 n1 d/b");
        put_pool(f, "lan", "addresses: [192.0.2.10]",
                        "addresses: [{address: 192.0.2.10, node: n1, services: [d/b]}]");
        assert_plan_has(f, LB, "d/a", "\"finalizers\":[]");
}

static void test_pools_in_order(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(1);

        put_pool(f, "first", "addresses: [192.0.2.20], priority: 5", "");
        put_pool(f, "lan", TEN, "");
        put_service(f, "a", 1, "", "", "");
        put_service(f, "b", 2, "", "", "");
        assert_state(f, "first", "192.0.2.20 n1 d/a");
        assert_state(f, "lan", "192.0.2.10 n1 d/b");
}

/* The older one can have any, the younger one only this. */
static void test_asked_first(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(1);

        put_pool(f, "lan", TEN, "");
        put_service(f, "a", 1, "", "", "");
        put_service(f, "b", 2, "", ", loadBalancerIP: 192.0.2.10", "");
        assert_state(f, "lan", "192.0.2.10 n1 d/b|192.0.2.11 n1 d/a");
}

/* --- nodes --- */

#define ONE "addresses: [{address: 192.0.2.10, node: n1, services: [d/a]}]"

/* The node n1 carries the address; what makes it move to n2. */
static void test_node_lost(void **state) {
        static const struct {
                const char *ready, *labels, *spec, *expected;
        } cases[] = {
                        {"True", "", "", "n1"},
                        {"False", "", "", "n2"},
                        {"Unknown", "", "", "n2"},
                        {"True", "", "unschedulable: true", "n2"},
                        {"True", "node.kubernetes.io/exclude-from-external-load-balancers: ''", "",
                                        "n2"},
                        {"True", "zone: b", "", "n2"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = world_of_nodes(2);
                _cleanup_free_ char *expected = strformat("192.0.2.10 %s d/a", cases[i].expected);

                put_pool(f, "lan",
                                TEN ", nodeSelector: {matchExpressions: [{key: zone, operator: "
                                    "NotIn, values: [b]}]}",
                                ONE);
                put_service(f, "a", 1, "", "", "{ip: 192.0.2.10, ipMode: VIP}");
                put_node(f, "n1", cases[i].ready, cases[i].labels, cases[i].spec);
                assert_state(f, "lan", expected);
        }
}

/* When no other node can carry it, it stays, unless the administrator says that it may not. */
static void test_no_other_node(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(1);

        put_pool(f, "lan", TEN, ONE);
        put_service(f, "a", 1, "", "", "{ip: 192.0.2.10, ipMode: VIP}");
        put_node(f, "n1", "Unknown", "", "");
        assert_state(f, "lan", "192.0.2.10 n1 d/a");
        put_node(f, "n1", "True", "node.kubernetes.io/exclude-from-external-load-balancers: ''",
                        "");
        assert_state(f, "lan", "192.0.2.10 - d/a");
}

static void test_spread(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(3);

        put_pool(f, "lan", "addresses: [192.0.2.10-192.0.2.14]", "");
        for (int i = 0; i < 5; i++) {
                char name[4] = {'a' + (char)i};

                put_service(f, name, i, "", "", "");
        }
        assert_state(f, "lan",
                        "192.0.2.10 n1 d/a|192.0.2.11 n2 d/b|192.0.2.12 n3 d/c|192.0.2.13 n1 d/d|"
                        "192.0.2.14 n2 d/e");
}

/* externalTrafficPolicy Local: where the ready endpoints are. */
static void test_local(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(3);

        put_pool(f, "lan", TEN, ONE);
        put_service(f, "a", 1, "", ", externalTrafficPolicy: Local",
                        "{ip: 192.0.2.10, ipMode: VIP}");
        fake_put(f, WORLD_ENDPOINTSLICES,
                        "metadata: {name: a-1, namespace: d, labels: {kubernetes.io/service-name: "
                        "a}}\nendpoints: [{nodeName: n1, conditions: {ready: false}}, {nodeName: "
                        "n3, conditions: {ready: true}}]\n");
        assert_state(f, "lan", "192.0.2.10 n3 d/a");
        fake_clear(f, WORLD_ENDPOINTSLICES);
        assert_state(f, "lan", "192.0.2.10 n1 d/a");
}

/* Silence: seconds before now at which n1's lease and the controller's own were last seen. */
static void test_silence(void **state) {
        static const struct {
                double lease, pulse, unbroken, started;
                int seconds;
                const char *expected;
        } cases[] = {
                        {1.9, 0.1, 60, 60, 2, "n1"},
                        {2.1, 0.1, 60, 60, 2, "n2"},
                        /* a node that does not renew every second */
                        {30, 0.1, 60, 60, 40, "n1"},
                        /* our own renewals do not get through either */
                        {2.1, 2.0, 60, 60, 2, "n1"},
                        {2.1, 0.8, 60, 60, 2, "n1"},
                        /* ... or only again for a moment */
                        {9, 0.1, 1.9, 60, 2, "n1"},
                        {9, 0.1, 2.1, 60, 2, "n2"},
                        /* the controller has just started */
                        {9, 0.1, 9, 4, 2, "n1"},
                        {9, 0.1, 9, 6, 2, "n2"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = world_of_nodes(2);
                _cleanup_free_ char *expected = strformat("192.0.2.10 %s d/a", cases[i].expected),
                                    *got = NULL;
                uint64_t now = f->world.mono_us;

                put_pool(f, "lan", TEN, ONE);
                put_service(f, "a", 1, "", "", "{ip: 192.0.2.10, ipMode: VIP}");
                put_lease(f, "n1", "n1", cases[i].seconds);
                f->lease_seen_us = now - (uint64_t)(cases[i].lease * SECOND);
                f->pulse_seen_us = now - (uint64_t)(cases[i].pulse * SECOND);
                f->lease_unbroken_us = now - (uint64_t)(cases[i].unbroken * SECOND);
                f->world.started_us = now - (uint64_t)(cases[i].started * SECOND);
                got = state_of(f, "lan");
                if (!streq(got, expected))
                        fail_msg("case %zu: %s", i, got);
        }
}

/* Several carry addresses, and all are silent: the fault is not theirs. */
static void test_all_silent(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(3);

        put_pool(f, "lan", TEN,
                        "addresses: [{address: 192.0.2.10, node: n1, services: [d/a]}, {address: "
                        "192.0.2.11, node: n2, services: [d/b]}]");
        put_service(f, "a", 1, "", "", "{ip: 192.0.2.10, ipMode: VIP}");
        put_service(f, "b", 2, "", "", "{ip: 192.0.2.11, ipMode: VIP}");
        put_lease(f, "n1", "n1", 2);
        put_lease(f, "n2", "n2", 2);
        f->lease_seen_us = f->world.mono_us - 5 * SECOND;
        f->pulse_seen_us = f->world.mono_us;
        assert_state(f, "lan", "192.0.2.10 n1 d/a|192.0.2.11 n2 d/b");
        put_lease(f, "n2", "n2", 40); /* not known to be silent */
        assert_state(f, "lan", "192.0.2.10 n3 d/a|192.0.2.11 n2 d/b");
}

/* n2 lost its addresses because it was silent, and is so still: nothing goes there, though n1 is
 * cordoned. */
static void test_silent_candidate(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(2);

        put_pool(f, "lan", TEN, ONE);
        put_service(f, "a", 1, "", "", "{ip: 192.0.2.10, ipMode: VIP}");
        put_node(f, "n1", "True", "", "unschedulable: true");
        put_lease(f, "n2", "n2", 2);
        f->lease_seen_us = f->world.mono_us - 5 * SECOND;
        f->pulse_seen_us = f->world.mono_us;
        assert_state(f, "lan", "192.0.2.10 n1 d/a");
        f->lease_seen_us = f->world.mono_us - SECOND;
        assert_state(f, "lan", "192.0.2.10 n2 d/a");
}

static void test_pulse(void **state) {
        _cleanup_fake_ struct fake *f = world_of_nodes(1);
        uint64_t requeue;
        char *text;

        put_pool(f, "lan", TEN, "");
        assert_plan(f, LB, "pulse", "");
        put_pool(f, "lan", TEN, ONE);
        text = fake_plan(f, LB, "pulse", &requeue);
        assert_non_null(strstr(text, "create leases kube-node-lease"));
        assert_true(requeue > 0 && requeue <= SECOND);
        free(text);
        put_lease(f, LB_PULSE, "kreconciled", 1);
        assert_plan(f, LB, "pulse", "patch leases kube-node-lease/keelson.load-balancer");
        f->pulse_seen_us = f->world.mono_us - SECOND / 10;
        assert_plan(f, LB, "pulse", "");
}

/* --- the agent's side --- */

static void test_addresses_of_node(void **state) {
        _cleanup_json_ json_t *want = json_object(), *pool = NULL;

        pool = json_pack("{s:{s:s}, s:{s:[{s:s, s:s}, {s:s, s:s}, {s:s}, {s:s, s:s}]}}", "metadata",
                        "name", "lan", "status", "addresses", "address", "192.0.2.10", "node", "n1",
                        "address", "192.0.2.11", "node", "n2", "address", "192.0.2.12", "address",
                        "192.0.2.13; drop", "node", "n1");
        assert_non_null(pool);
        assert_int_equal(load_balancer_addresses(pool, "n1", want), 0);
        assert_int_equal(json_object_size(want), 1);
        assert_string_equal(json_string_value(json_object_get(want, "192.0.2.10")), "lan");
}

/* The pools are read again when contact comes back, not while it lasts or is lost. */
static void test_contact(void **state) {
        static const struct {
                bool in_touch, lists;
        } ticks[] = {{true, false}, {false, false}, {false, false}, {true, true}, {true, false}};
        bool lapsed = false;

        for (size_t i = 0; i < ELEMENTS(ticks); i++)
                assert_int_equal(load_balancer_must_list(&lapsed, ticks[i].in_touch),
                                ticks[i].lists);
        /* What was given up stays so until the pools are known, however long that takes. */
        assert_false(load_balancer_may_take_back(SECOND, 1000 * (uint64_t)SECOND, false));
        assert_false(load_balancer_may_take_back(SECOND, 2 * (uint64_t)SECOND, true));
        assert_true(load_balancer_may_take_back(SECOND, 5 * (uint64_t)SECOND, true));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_one_service),
                        cmocka_unit_test(test_not_ours),
                        cmocka_unit_test(test_shared),
                        cmocka_unit_test(test_not_shared_with_others),
                        cmocka_unit_test(test_stable),
                        cmocka_unit_test(test_released),
                        cmocka_unit_test(test_pools_in_order),
                        cmocka_unit_test(test_asked_first),
                        cmocka_unit_test(test_node_lost),
                        cmocka_unit_test(test_no_other_node),
                        cmocka_unit_test(test_spread),
                        cmocka_unit_test(test_local),
                        cmocka_unit_test(test_silence),
                        cmocka_unit_test(test_all_silent),
                        cmocka_unit_test(test_silent_candidate),
                        cmocka_unit_test(test_pulse),
                        cmocka_unit_test(test_addresses_of_node),
                        cmocka_unit_test(test_contact),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
