/* The annotations about a pod's bandwidth, and the token bucket of a rate. */
#include "tests/unit/unit.h"

#include <limits.h>

#include "nodeagent/network/bandwidth.h"

static void test_annotations(void **state) {
        static const struct {
                const char *ingress, *egress;
                bool ok;
                uint64_t want_ingress, want_egress;
        } cases[] = {
                        {NULL, NULL, true, 0, 0},
                        {"10M", NULL, true, 10000000, 0},
                        {NULL, "1Gi", true, 0, 1073741824},
                        {"1k", "1P", true, 1000, 1000000000000000},
                        {"999", NULL, false, 0, 0},
                        {NULL, "1001T", false, 0, 0},
                        {"10 M", NULL, false, 0, 0},
                        {"-1M", NULL, false, 0, 0},
                        {"", NULL, false, 0, 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *pod = json_pack("{s:{s:{s:s*, s:s*}}}", "metadata",
                                "annotations", BANDWIDTH_INGRESS, cases[i].ingress,
                                BANDWIDTH_EGRESS, cases[i].egress);
                _cleanup_problem_ struct problem p = {0};
                struct bandwidth b = {77, 77};
                int r = bandwidth_read(pod, &b, &p);

                assert_int_equal(r, cases[i].ok ? 0 : -EINVAL);
                if (!cases[i].ok) {
                        assert_non_null(strstr(p.message, "-bandwidth: "));
                        assert_int_equal(b.ingress, 77);
                        continue;
                }
                assert_int_equal(b.ingress, cases[i].want_ingress);
                assert_int_equal(b.egress, cases[i].want_egress);
        }
}

static void test_buckets(void **state) {
        static const struct {
                uint64_t bits;
                struct token_bucket bucket;
        } cases[] = {
                        {0, {0, 65536, 65536}},
                        {8000000, {1000000, 65536, 90536}},
                        {8000000000, {1000000000, 10000000, 35000000}},
                        {UINT64_C(8) * INT_MAX,
                                        {INT_MAX, INT_MAX / 100, INT_MAX / 40 + INT_MAX / 100}},
                        {UINT64_C(8) * INT_MAX + 8, {0, 0, 0}},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct token_bucket b = bandwidth_bucket(cases[i].bits);

                assert_int_equal(b.rate, cases[i].bucket.rate);
                assert_int_equal(b.bytes, cases[i].bucket.bytes);
                assert_int_equal(b.queue_bytes, cases[i].bucket.queue_bytes);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_annotations),
                        cmocka_unit_test(test_buckets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
