/* The pure parts of admission: tolerations, addresses, and what an agent may put into its Node. */
#include "tests/unit/unit.h"

#include "kapid/admission/addresses.h"
#include "kapid/admission/node-restriction.h"
#include "lib/taints.h"
#include "tests/unit/kapid-cases.h"

static void test_tolerations(void **state) {
        static const struct {
                const char *taints, *tolerations;
                bool tolerated;
        } cases[] = {
                        {"[]", "[]", true},
                        {"[{'key':'k','effect':'NoSchedule'}]", "[]", false},
                        {"[{'key':'k','effect':'PreferNoSchedule'}]", "[]", true},
                        {"[{'key':'k','effect':'NoExecute'}]", "[]", false},
                        {"[{'key':'k','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Exists','effect':'NoSchedule'}]",
                                        true},
                        {"[{'key':'k','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Exists','effect':'NoExecute'}]",
                                        false},
                        {"[{'key':'k','effect':'NoSchedule'}]", "[{'operator':'Exists'}]", true},
                        {"[{'key':'k','effect':'NoSchedule'}]", "[{'operator':'Equal'}]", false},
                        {"[{'key':'k','value':'v','effect':'NoSchedule'}]",
                                        "[{'key':'k','value':'v'}]", true},
                        {"[{'key':'k','value':'v','effect':'NoSchedule'}]",
                                        "[{'key':'k','value':'w'}]", false},
                        {"[{'key':'k','value':'v','effect':'NoSchedule'}]", "[{'key':'k'}]", false},
                        {"[{'key':'k','value':'5','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Lt','value':'6'}]", true},
                        {"[{'key':'k','value':'5','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Lt','value':'5'}]", false},
                        {"[{'key':'k','value':'5','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Gt','value':'-7'}]", true},
                        {"[{'key':'k','value':'5','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Gt','value':'10'}]", false},
                        {"[{'key':'k','value':'05','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Lt','value':'6'}]", false},
                        {"[{'key':'k','value':'v','effect':'NoSchedule'}]",
                                        "[{'key':'k','operator':'Lt','value':'6'}]", false},
                        {"[{'key':'k','effect':'NoSchedule'}]",
                                        "[{'operator':'Gt','value':'1'}]", false},
                        {"[{'key':'k','effect':'NoSchedule'},{'key':'l','effect':'NoSchedule'}]",
                                        "[{'key':'k'}]", false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *taints = parse(cases[i].taints),
                                      *tolerations = parse(cases[i].tolerations);

                if ((taint_not_tolerated(taints, tolerations) == NULL) != cases[i].tolerated)
                        fail_msg("%s by %s", cases[i].taints, cases[i].tolerations);
        }
        assert_null(taint_not_tolerated(NULL, NULL));
}

static void test_special_addresses(void **state) {
        static const char *const bad[] = {"127.0.0.1", "127.255.0.1", "::1", "0.0.0.0",
                        "::", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1",
                        "255.255.255.255", "::ffff:127.0.0.1"};
        static const char *const good[] = {"10.0.0.1", "203.0.113.7", "2001:db8::1", "128.0.0.1",
                        "fec0::1", "example.org", "", "127.0.0.1.example.org"};

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (!address_special(bad[i]))
                        fail_msg("%s is special", bad[i]);
        for (size_t i = 0; i < ELEMENTS(good); i++)
                if (address_special(good[i]))
                        fail_msg("%s: %s", good[i], address_special(good[i]));
}

static void test_ranges(void **state) {
        _cleanup_problem_ struct problem p = {0};
        char text[ADDRESS_TEXT_SIZE];

        assert_true(address_in_range("10.1.2.3", "10.0.0.0/8"));
        assert_true(address_in_range("10.1.2.3", "10.1.2.3"));
        assert_false(address_in_range("11.1.2.3", "10.0.0.0/8"));
        assert_true(address_in_range("10.1.2.3", "0.0.0.0/0"));
        assert_false(address_in_range("::1", "0.0.0.0/0"));
        assert_true(address_in_range("10.1.2.131", "10.1.2.128/30"));
        assert_false(address_in_range("10.1.2.132", "10.1.2.128/30"));
        assert_true(address_in_range("::ffff:10.1.2.3", "10.0.0.0/8"));
        assert_false(address_in_range("name", "10.0.0.0/8"));
        assert_true(address_equal("2001:db8::1", "2001:DB8:0:0:0:0:0:1"));
        assert_false(address_equal("2001:db8::1", "2001:db8::2"));
        assert_false(address_equal("", ""));
        assert_string_equal(address_canonical("2001:DB8:0::1", text), "2001:db8::1");
        assert_string_equal(address_canonical("::ffff:10.0.0.1", text), "10.0.0.1");
        assert_null(address_canonical("10.0.0.01x", text));
        assert_int_equal(address_range_check("10.0.0.0/8", &p), 0);
        assert_int_equal(address_range_check("10.0.0.0/33", &p), -EINVAL);
        assert_int_equal(address_range_check("10.0.0.0/", &p), -EINVAL);
        assert_int_equal(address_range_check("x/8", &p), -EINVAL);
        assert_int_equal(address_range_check("::/129", &p), -EINVAL);
}

static void test_node_labels(void **state) {
        static const char *const own[] = {"kubernetes.io/hostname", "kubernetes.io/os",
                        "topology.kubernetes.io/zone", "node.kubernetes.io/anything",
                        "x.node.kubernetes.io/y", "kubelet.kubernetes.io/x", "rack",
                        "example.org/x", "evilkubernetes.io/x", "keelson.dev/x"};
        static const char *const others[] = {"node-role.kubernetes.io/control-plane",
                        "node-restriction.kubernetes.io/pci", "kubernetes.io/role",
                        "x.node-restriction.kubernetes.io/y", "topology.kubernetes.io/other",
                        "beta.kubernetes.io/other", "k8s.io/x", "a.k8s.io/x",
                        "xnode.kubernetes.io/y", "a.b.kubernetes.io/y"};

        for (size_t i = 0; i < ELEMENTS(own); i++)
                if (!node_may_set_label(own[i]))
                        fail_msg("%s", own[i]);
        for (size_t i = 0; i < ELEMENTS(others); i++)
                if (node_may_set_label(others[i]))
                        fail_msg("%s", others[i]);
}

static void test_node_object(void **state) {
        static const struct {
                const char *live, *object; /* live NULL: a create */
                const char *what;          /* NULL: allowed */
        } cases[] = {
                        {NULL, "{'metadata':{'labels':{'kubernetes.io/os':'linux'}}}", NULL},
                        {NULL, "{'spec':{'taints':[{'key':'k'}]}}", NULL},
                        {NULL, "{'spec':{'podCIDR':'10.244.0.0/24'}}", "spec.podCIDR"},
                        {NULL, "{'metadata':{'finalizers':['a/b']}}", "metadata.finalizers"},
                        {NULL, "{'metadata':{'ownerReferences':[{'uid':'x'}]}}",
                                        "metadata.ownerReferences"},
                        {NULL, "{'metadata':{'labels':{'node-role.kubernetes.io/x':''}}}",
                                        "node-role.kubernetes.io/x"},
                        {"{'metadata':{'labels':{'node-role.kubernetes.io/x':''}}}",
                                        "{'metadata':{'labels':{'node-role.kubernetes.io/x':''}}}",
                                        NULL},
                        {"{'metadata':{'labels':{'node-role.kubernetes.io/x':''}}}",
                                        "{'metadata':{}}", "node-role.kubernetes.io/x"},
                        {"{'metadata':{'labels':{'node-restriction.kubernetes.io/x':'a'}}}",
                                        "{'metadata':{'labels':{"
                                        "'node-restriction.kubernetes.io/x':'b'}}}",
                                        "node-restriction.kubernetes.io/x"},
                        {"{'spec':{'taints':[{'key':'k'}]}}", "{'spec':{}}", "spec.taints"},
                        {"{}", "{'spec':{'taints':[{'key':'k'}]}}", "spec.taints"},
                        {"{'spec':{}}", "{'spec':{'taints':[]}}", NULL},
                        {"{'spec':{'unschedulable':true}}", "{'spec':{}}", "spec.unschedulable"},
                        {"{'spec':{'podCIDRs':['a']}}", "{'spec':{'podCIDRs':['b']}}",
                                        "spec.podCIDRs"},
                        {"{}", "{'metadata':{'annotations':{'a':'b'},'labels':{'rack':'1'}}}",
                                        NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *live = cases[i].live ? parse(cases[i].live) : NULL,
                                      *object = parse(cases[i].object);
                const char *why = NULL, *what = NULL;
                int r = node_restrict_object(live, object, &why, &what);

                assert_int_equal(r, cases[i].what != NULL);
                if (cases[i].what)
                        assert_string_equal(what, cases[i].what);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_tolerations),
                        cmocka_unit_test(test_special_addresses),
                        cmocka_unit_test(test_ranges),
                        cmocka_unit_test(test_node_labels),
                        cmocka_unit_test(test_node_object),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
