/* Addresses and node ports of Services: given, refused, given back. */
#include "tests/unit/kapid-admission.h"

static const struct question service = {
                .group = "", .plural = "services", .namespace = "a", .name = "web"};

static int allocate(json_t *live, json_t *object, struct problem *p) {
        _cleanup_(admission_chain_freep) struct admission_chain *chain =
                        chain_of("ServiceIPAllocation", true);

        return run(chain, &service, ADMISSION_MUTATE, live, object, p);
}

static void test_alloc_gives(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *s =
                        parse("{'spec':{'type':'NodePort','ports':[{'port':80},{'port':81,"
                              "'nodePort':30100}]}}");
        const char *ip;

        assert_int_equal(allocate(NULL, s, &p), 0);
        ip = json_str(s, "spec.clusterIP");
        assert_non_null(ip);
        assert_non_null(startswith(ip, "10.96.0."));
        assert_string_not_equal(ip, "10.96.0.1");
        assert_true(json_int_or(json_array_get(json_at(s, "spec.ports"), 0), "nodePort", 0) >=
                        30000);
        assert_int_equal(key_count, 3);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(keys[i].owner, "a/web");
        assert_string_equal(keys[2].key, "/registry/ranges/nodeports/30100");
        forget();
}

static void test_alloc_refuses(void **state) {
        static const char *const bad[] = {
                        "{'spec':{'clusterIP':'10.97.0.5'}}",
                        "{'spec':{'clusterIP':'10.96.0.5'}}",
                        "{'spec':{'clusterIP':'ten'}}",
                        "{'spec':{'clusterIP':'10.96.0.6','type':'NodePort','ports':[{'nodePort':"
                        "80}]}}",
                        "{'spec':{'clusterIP':'10.96.0.6','type':'NodePort','ports':[{'nodePort':"
                        "30001}]}}",
        };
        _cleanup_problem_ struct problem p = {0};

        alloc_observe(api.alloc, "/registry/ranges/serviceips/10.96.0.5", "x/y", 3);
        alloc_observe(api.alloc, "/registry/ranges/nodeports/30001", "x/y", 3);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_json_ json_t *s = parse(bad[i]);

                assert_true(allocate(NULL, s, &p) < 0);
                assert_int_equal(p.code, 422);
                forget();
        }
        for (int i = 2; i < 15; i++) {
                _cleanup_free_ char *key = strformat("/registry/ranges/serviceips/10.96.0.%d", i);

                alloc_observe(api.alloc, key, "x/y", 3);
        }
        _cleanup_json_ json_t *s = parse("{'spec':{}}");

        assert_true(allocate(NULL, s, &p) < 0); /* the range is full */
        alloc_observe(api.alloc, "/registry/ranges/serviceips/10.96.0.9", NULL, 0);
        assert_int_equal(allocate(NULL, s, &p), 0);
        assert_string_equal(json_str(s, "spec.clusterIP"), "10.96.0.9");
        alloc_reset(api.alloc);
        forget();
}

static void test_alloc_ranges(void **state) {
        _cleanup_(alloc_freep) struct alloc *a = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_true(alloc_new(&a, "10.96.0.0", &p) < 0);
        assert_true(alloc_new(&a, "10.96.0.0/31", &p) < 0);
        assert_true(alloc_new(&a, "10.96.0.0/16,fd00:96::/48", &p) < 0);
        assert_true(alloc_new(&a, "10.96.0.0/16,10.97.0.0/16", &p) < 0);
}

/* A create, or an update of `live`, in a cluster with these ranges: the families, policy and
 * addresses that the Service has then ("?": any of the family's range), or the refusal; and how many
 * addresses are claimed and released. */
struct family_case {
        const char *what, *ranges, *live, *draft, *gets;
        size_t claims;
};
#define ONE "10.96.0.0/28"
#define DUAL "10.96.0.0/28,fd00:96::/124"
#define SIX_FIRST "fd00:96::/124,10.96.0.0/28"
#define LIVE4 \
        "{'spec':{'clusterIP':'10.96.0.5','clusterIPs':['10.96.0.5'],'ipFamilies':['IPv4']," \
        "'ipFamilyPolicy':'SingleStack'}}"
#define LIVE46(policy) \
        "{'spec':{'clusterIP':'10.96.0.5','clusterIPs':['10.96.0.5','fd00:96::5']," \
        "'ipFamilies':['IPv4','IPv6'],'ipFamilyPolicy':'" policy "'}}"

static const struct family_case family_cases[] = {
                {"the default", ONE, NULL, "{'spec':{}}", "SingleStack IPv4 10.96.0.?", 1},
                {"the default of two", DUAL, NULL, "{'spec':{}}", "SingleStack IPv4 10.96.0.?", 1},
                {"IPv6 is primary", SIX_FIRST, NULL, "{'spec':{}}", "SingleStack IPv6 fd00:96::?", 1},
                {"prefers two, one is there", ONE, NULL, "{'spec':{'ipFamilyPolicy':'PreferDualStack'}}",
                                "PreferDualStack IPv4 10.96.0.?", 1},
                {"prefers two", DUAL, NULL, "{'spec':{'ipFamilyPolicy':'PreferDualStack'}}",
                                "PreferDualStack IPv4 IPv6 10.96.0.? fd00:96::?", 2},
                {"requires two", DUAL, NULL, "{'spec':{'ipFamilyPolicy':'RequireDualStack'}}",
                                "RequireDualStack IPv4 IPv6 10.96.0.? fd00:96::?", 2},
                {"requires two, one is there", ONE, NULL,
                                "{'spec':{'ipFamilyPolicy':'RequireDualStack'}}",
                                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this "
                                "cluster is not configured for dual-stack services",
                                0},
                {"the other order", DUAL, NULL,
                                "{'spec':{'ipFamilyPolicy':'RequireDualStack','ipFamilies':['IPv6']}}",
                                "RequireDualStack IPv6 IPv4 fd00:96::? 10.96.0.?", 2},
                {"one family", DUAL, NULL, "{'spec':{'ipFamilies':['IPv6']}}",
                                "SingleStack IPv6 fd00:96::?", 1},
                {"a family that is not there", ONE, NULL, "{'spec':{'ipFamilies':['IPv6']}}",
                                "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this "
                                "cluster",
                                0},
                {"two families mean two", DUAL, NULL, "{'spec':{'ipFamilies':['IPv4','IPv6']}}",
                                "RequireDualStack IPv4 IPv6 10.96.0.? fd00:96::?", 2},
                {"two families and one stack", DUAL, NULL,
                                "{'spec':{'ipFamilyPolicy':'SingleStack','ipFamilies':['IPv4','IPv6']}}",
                                "must be RequireDualStack or PreferDualStack when multiple "
                                "'ipFamilies' are specified",
                                0},
                {"an address has its family", DUAL, NULL, "{'spec':{'clusterIP':'fd00:96::7'}}",
                                "SingleStack IPv6 fd00:96::7", 1},
                {"two addresses", DUAL, NULL,
                                "{'spec':{'clusterIP':'fd00:96::7','clusterIPs':['fd00:96::7',"
                                "'10.96.0.7']}}",
                                "RequireDualStack IPv6 IPv4 fd00:96::7 10.96.0.7", 2},
                {"another form of an address", DUAL, NULL, "{'spec':{'clusterIP':'fd00:96:0::7'}}",
                                "must be in its usual form", 0},
                {"outside of the range", DUAL, NULL, "{'spec':{'clusterIP':'fd00:97::7'}}",
                                "the provided IP is not in the valid range", 0},
                {"headless", DUAL, NULL,
                                "{'spec':{'clusterIP':'None','clusterIPs':['None'],'selector':{'a':'b'},"
                                "'ipFamilyPolicy':'PreferDualStack'}}",
                                "PreferDualStack IPv4 IPv6 None", 0},
                {"headless, one stack", ONE, NULL,
                                "{'spec':{'clusterIP':'None','clusterIPs':['None'],'selector':{'a':'b'}}}",
                                "SingleStack IPv4 None", 0},
                {"without selector both families are possible", ONE, NULL,
                                "{'spec':{'clusterIP':'None','clusterIPs':['None']}}",
                                "RequireDualStack IPv4 IPv6 None", 0},
                {"a name", DUAL, NULL, "{'spec':{'type':'ExternalName'}}", "", 0},
                {"unchanged", DUAL, LIVE4, LIVE4, "SingleStack IPv4 10.96.0.5", 0},
                {"one becomes two", DUAL, LIVE4,
                                "{'spec':{'clusterIP':'10.96.0.5','clusterIPs':['10.96.0.5'],"
                                "'ipFamilies':['IPv4'],'ipFamilyPolicy':'PreferDualStack'}}",
                                "PreferDualStack IPv4 IPv6 10.96.0.5 fd00:96::?", 1},
                {"two become one", DUAL, LIVE46("RequireDualStack"), LIVE4,
                                "SingleStack IPv4 10.96.0.5", 1},
                {"the second address is left out", DUAL, LIVE46("RequireDualStack"),
                                "{'spec':{'clusterIP':'10.96.0.5','clusterIPs':['10.96.0.5'],"
                                "'ipFamilies':['IPv4','IPv6'],'ipFamilyPolicy':'RequireDualStack'}}",
                                "RequireDualStack IPv4 IPv6 10.96.0.5", 1}, /* validation refuses */
                {"a preference does not follow the cluster", DUAL,
                                "{'spec':{'clusterIP':'10.96.0.5','clusterIPs':['10.96.0.5'],"
                                "'ipFamilies':['IPv4'],'ipFamilyPolicy':'PreferDualStack'}}",
                                "{'spec':{'clusterIP':'10.96.0.5','clusterIPs':['10.96.0.5'],"
                                "'ipFamilies':['IPv4'],'ipFamilyPolicy':'PreferDualStack'}}",
                                "PreferDualStack IPv4 10.96.0.5", 0},
                {"one that was stored without families", DUAL, "{'spec':{'clusterIP':'10.96.0.5'}}",
                                "{'spec':{'clusterIP':'10.96.0.5'}}", "SingleStack IPv4 10.96.0.5", 0},
};

/* "SingleStack IPv4 10.96.0.?"; the last part of chosen addresses is a question mark. */
static char *families_text(const json_t *object, const char *wanted) {
        static const char *const lists[] = {"spec.ipFamilies", "spec.clusterIPs"};
        char *text = strdup(json_str_or(object, "spec.ipFamilyPolicy", ""));
        const json_t *v;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(lists); k++)
                json_array_foreach (json_at(object, lists[k]), i, v) {
                        _cleanup_free_ char *old = text;
                        const char *item = json_string_value(v), *end = strrchr(item, '.');

                        end = end ? end : strrchr(item, ':');
                        text = strstr(wanted, item) || !end
                                               ? strformat("%s %s", old, item)
                                               : strformat("%s %.*s?", old, (int)(end + 1 - item),
                                                                 item);
                }
        return text;
}

static void test_families(void **state) {
        struct alloc *before = api.alloc;

        for (size_t i = 0; i < ELEMENTS(family_cases); i++) {
                const struct family_case *c = &family_cases[i];
                _cleanup_json_ json_t *live = c->live ? parse(c->live) : NULL,
                                      *draft = parse(c->draft);
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *got = NULL;
                int r;

                assert_int_equal(alloc_new(&api.alloc, c->ranges, &p), 0);
                r = allocate(live, draft, &p);
                got = r < 0 ? strdup(p.message) : families_text(draft, c->gets);
                if (r < 0 ? !strstr(got, c->gets) : !streq(got, c->gets))
                        fail_msg("%s:\n got: %s\nwant: %s", c->what, got, c->gets);
                if (r >= 0 && key_count != c->claims)
                        fail_msg("%s: %zu keys", c->what, key_count);
                if (r >= 0)
                        assert_string_equal(json_str_or(draft, "spec.clusterIP", ""),
                                        strempty(json_string_value(json_array_get(
                                                        json_at(draft, "spec.clusterIPs"), 0))));
                alloc_free(api.alloc);
                forget();
        }
        api.alloc = before;
}

static void test_alloc_changes(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t
                        *live = parse("{'spec':{'clusterIP':'10.96.0.5','type':'NodePort','ports':["
                                      "{'port':80,'nodePort':30001}]}}"),
                        *same = json_deep_copy(live),
                        *cluster = parse("{'spec':{'clusterIP':'10.96.0.5','type':'ClusterIP',"
                                         "'ports':[{'port':80}]}}");

        alloc_observe(api.alloc, "/registry/ranges/serviceips/10.96.0.5", "a/web", 5);
        alloc_observe(api.alloc, "/registry/ranges/nodeports/30001", "a/web", 5);
        assert_int_equal(allocate(live, same, &p), 0);
        assert_int_equal(key_count, 0);
        /* The node port is no longer asked for: it is released. */
        assert_int_equal(allocate(live, cluster, &p), 0);
        assert_int_equal(key_count, 1);
        assert_null(keys[0].owner);
        assert_string_equal(keys[0].key, "/registry/ranges/nodeports/30001");
        assert_int_equal(run(all, &service, ADMISSION_DELETED, live, NULL, &p), 0);
        assert_int_equal(key_count, 3);
        alloc_reset(api.alloc);
        forget();
}

/* TCP and UDP may share a node port, which is claimed and released once. */
static void test_alloc_shared(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t
                        *cluster = parse("{'spec':{'clusterIP':'10.96.0.5','type':'ClusterIP',"
                                         "'ports':[{'port':53}]}}"),
                        *node = parse("{'spec':{'clusterIP':'10.96.0.5','type':'NodePort','ports':["
                                      "{'port':53,'nodePort':30010},{'port':53,'protocol':'UDP',"
                                      "'nodePort':30010},{'port':54},{'port':55}]}}");
        const json_t *ports = json_at(node, "spec.ports");
        int64_t chosen[2];

        assert_int_equal(allocate(cluster, node, &p), 0);
        assert_int_equal(key_count, 3);
        assert_string_equal(keys[0].key, "/registry/ranges/nodeports/30010");
        for (size_t i = 0; i < 2; i++)
                chosen[i] = json_int_or(json_array_get(ports, i + 2), "nodePort", 0);
        assert_true(chosen[0] >= 30000 && chosen[0] != 30010);
        assert_true(chosen[1] >= 30000 && chosen[1] != 30010 && chosen[1] != chosen[0]);
        forget();
        assert_int_equal(allocate(node, cluster, &p), 0);
        assert_int_equal(key_count, 3);
        for (size_t i = 0; i < key_count; i++)
                assert_null(keys[i].owner);
        alloc_reset(api.alloc);
        forget();
}

#define BALANCED(policy, rest) \
        "{'spec':{'clusterIP':'10.96.0.5','type':'LoadBalancer'," \
        "'allocateLoadBalancerNodePorts':false,'externalTrafficPolicy':'" policy \
        "','ports':[{'port':80}]" rest "}}"

/* Given with the policy Local, kept, released with it; never a port of another service. */
static void test_health_port(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *fresh = parse(BALANCED("Local", "")),
                              *plain = parse(BALANCED("Cluster", "")),
                              *own = parse(BALANCED("Local", ",'healthCheckNodePort':30005")),
                              *same = json_deep_copy(own),
                              *taken = parse(BALANCED("Local", ",'healthCheckNodePort':30001")),
                              *outside = parse(BALANCED("Local", ",'healthCheckNodePort':80")),
                              *twice = parse("{'spec':{'clusterIP':'10.96.0.5','type':"
                                             "'LoadBalancer','externalTrafficPolicy':'Local',"
                                             "'healthCheckNodePort':30007,'ports':[{'port':80,"
                                             "'nodePort':30007}]}}");

        assert_int_equal(allocate(plain, fresh, &p), 0);
        assert_int_equal(key_count, 1);
        assert_in_range(json_int_or(fresh, "spec.healthCheckNodePort", 0), 30000, 32767);
        forget();
        alloc_observe(api.alloc, "/registry/ranges/nodeports/30001", "x/y", 3);
        assert_int_equal(allocate(plain, own, &p), 0);
        assert_int_equal(key_count, 1);
        assert_string_equal(keys[0].key, "/registry/ranges/nodeports/30005");
        forget();
        assert_true(allocate(plain, taken, &p) < 0);
        assert_true(allocate(plain, outside, &p) < 0);
        assert_true(allocate(plain, twice, &p) < 0);
        forget();
        alloc_observe(api.alloc, "/registry/ranges/nodeports/30005", "a/web", 5);
        assert_int_equal(allocate(own, same, &p), 0);
        assert_int_equal(key_count, 0);
        assert_int_equal(allocate(own, plain, &p), 0);
        assert_int_equal(key_count, 1);
        assert_null(keys[0].owner);
        assert_string_equal(keys[0].key, "/registry/ranges/nodeports/30005");
        alloc_reset(api.alloc);
        forget();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_alloc_gives),
                        cmocka_unit_test(test_alloc_refuses),
                        cmocka_unit_test(test_alloc_ranges),
                        cmocka_unit_test(test_families),
                        cmocka_unit_test(test_alloc_changes),
                        cmocka_unit_test(test_alloc_shared),
                        cmocka_unit_test(test_health_port),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
