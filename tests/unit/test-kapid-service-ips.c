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

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_alloc_gives),
                        cmocka_unit_test(test_alloc_refuses),
                        cmocka_unit_test(test_alloc_ranges),
                        cmocka_unit_test(test_alloc_changes),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
