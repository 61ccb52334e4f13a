/* What an eviction does to a PodDisruptionBudget. */
#include "tests/unit/unit.h"

#include "kapid/verbs/budget.h"
#include "kapid/verbs/internal.h"
#include "lib/object.h"

#define BUDGET(generation, more) \
        "{\"metadata\": {\"generation\": " generation \
        "}, \"status\": {\"observedGeneration\": 1" more "}}"

static const struct {
        const char *live;
        int code, left; /* disruptions, where it is granted */
        const char *cause;
} cases[] = {
                {NULL, 0, 0, NULL},
                {BUDGET("1", ", \"disruptionsAllowed\": 2"), 0, 1, NULL},
                {BUDGET("1", ", \"disruptionsAllowed\": 1, \"conditions\": [{\"type\": "
                             "\"DisruptionAllowed\", \"status\": \"True\"}]"),
                                0, 0, NULL},
                {BUDGET("1", ", \"desiredHealthy\": 3, \"currentHealthy\": 2"), 429, 0,
                                "The disruption budget b needs 3 healthy pods and has 2 currently"},
                {BUDGET("1", ", \"conditions\": [{\"type\": \"DisruptionAllowed\", \"reason\": "
                             "\"SyncFailed\", \"message\": \"why\"}]"),
                                429, 0,
                                "The disruption budget b does not allow evicting pods currently "
                                "because it failed sync: why"},
                {BUDGET("2", ", \"disruptionsAllowed\": 2"), 429, 0,
                                "The disruption budget b is still being processed by the server."},
                {BUDGET("1", ", \"disruptionsAllowed\": -1"), 403, 0, NULL},
};

static void check_granted(const struct decision *d, int left) {
        const json_t *condition = object_condition(d->object, "DisruptionAllowed");

        assert_int_equal(d->act, DECIDE_PUT);
        assert_int_equal(json_int_or(d->object, "status.disruptionsAllowed", -1), left);
        assert_string_equal(json_str(d->object, "status.disruptedPods.p"), "2024-01-02T03:04:05Z");
        /* the last one is spent: the condition says so in the same write */
        if (condition) {
                assert_string_equal(json_str(condition, "status"), "False");
                assert_string_equal(json_str(condition, "reason"), "InsufficientPods");
        }
}

static void test_budget_decides(void **state) {
        struct request request = {.now_us = UINT64_C(1704164645000000), .route.name = "p"};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *live =
                                cases[i].live ? json_loads(cases[i].live, 0, NULL) : NULL;
                struct write w = {.request = &request, .name = "b"};
                _cleanup_decision_ struct decision d = {0};
                _cleanup_problem_ struct problem p = {0};
                int r = budget_decide(&w, live, &d, &p);

                assert_true(live || !cases[i].live);
                assert_int_equal(r<0, cases[i].code> 0);
                assert_int_equal(p.code, cases[i].code);
                /* others would make clients of Go wait without a word */
                assert_int_equal(p.retry_after_s, i == 5 ? 10 : 0);
                if (cases[i].cause)
                        assert_string_equal(json_str(json_array_get(p.causes, 0), "message"),
                                        cases[i].cause);
                if (r == 0 && live)
                        check_granted(&d, cases[i].left);
                else
                        assert_int_equal(d.act, DECIDE_NOTHING);
        }
}

static void test_too_many_disrupted(void **state) {
        _cleanup_json_ json_t *live =
                        json_loads(BUDGET("1", ", \"disruptionsAllowed\": 2"), 0, NULL);
        struct request request = {.now_us = UINT64_C(1704164645000000), .route.name = "p"};
        struct write w = {.request = &request, .name = "b"};
        _cleanup_decision_ struct decision d = {0};
        _cleanup_problem_ struct problem p = {0};
        char path[64];

        for (int i = 0; i <= 2000; i++) {
                snprintf(path, sizeof(path), "status.disruptedPods.p%i", i);
                assert_int_equal(json_set_str(live, path, "2024-01-02T03:04:05Z"), 0);
        }
        assert_true(budget_decide(&w, live, &d, &p) < 0);
        assert_int_equal(p.code, 403);
}

static void test_unhealthy(void **state) {
        static const struct {
                const char *budget;
                bool spared;
        } rows[] = {
                        {"{\"spec\": {}, \"status\": {\"desiredHealthy\": 2, "
                         "\"currentHealthy\": 2}}",
                                        true},
                        {"{\"spec\": {}, \"status\": {\"desiredHealthy\": 2, "
                         "\"currentHealthy\": 1}}",
                                        false},
                        {"{\"spec\": {}, \"status\": {}}", false},
                        {"{\"spec\": {\"unhealthyPodEvictionPolicy\": \"IfHealthyBudget\"}, "
                         "\"status\": {\"desiredHealthy\": 2, \"currentHealthy\": 1}}",
                                        false},
                        {"{\"spec\": {\"unhealthyPodEvictionPolicy\": \"AlwaysAllow\"}, "
                         "\"status\": {\"desiredHealthy\": 2, \"currentHealthy\": 1}}",
                                        true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_json_ json_t *object = json_loads(rows[i].budget, 0, NULL);
                struct budget b = {.object = object};

                assert_non_null(object);
                assert_int_equal(budget_spares_unhealthy(&b), rows[i].spared);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_budget_decides),
                        cmocka_unit_test(test_too_many_disrupted),
                        cmocka_unit_test(test_unhealthy),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
