/* What the agent reads of /proc, and rates. */
#include "tests/unit/unit.h"

#include "nodeagent/measure.h"

static void test_stat(void **state) {
        uint64_t busy, all;

        assert_int_equal(measure_parse_stat(
                                         "cpu  10 1 5 100 20 2 3 4 0 0\ncpu0 1 1 1\n", &busy, &all),
                        0);
        assert_int_equal(busy, 25);
        assert_int_equal(all, 145);
        assert_int_equal(measure_parse_stat("cpu 1 2 3\n", &busy, &all), -EINVAL);
        assert_int_equal(measure_parse_stat("", &busy, &all), -EINVAL);
}

static void test_meminfo(void **state) {
        int64_t used;

        assert_int_equal(measure_parse_meminfo("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  "
                                               "400 kB\n",
                                         &used),
                        0);
        assert_int_equal(used, 600 * 1024);
        assert_int_equal(measure_parse_meminfo("MemTotal: 1000 kB\n", &used), -EINVAL);
}

static void test_process(void **state) {
        uint64_t ns;

        assert_int_equal(measure_parse_process(
                                         "7 (a) b) R 1 7 7 0 -1 4194304 95 0 0 0 3 4 5 6 20 0 1"
                                         " 0",
                                         100, &ns),
                        0);
        assert_int_equal(ns, 180000000);
        assert_int_equal(measure_parse_process("7 (a", 100, &ns), -EINVAL);
        assert_int_equal(measure_parse_process("7 (a) R 1 2", 100, &ns), -EINVAL);
}

static void test_rate(void **state) {
        assert_int_equal(measure_rate(15000000000, 15000000), 1000000000); /* one core */
        assert_int_equal(measure_rate(1500000000, 15000000), 100000000);
        assert_int_equal(measure_rate(5, 0), 0);
        assert_int_equal(measure_rate(UINT64_MAX, 1), INT64_C(100000000000000));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_stat),
                        cmocka_unit_test(test_meminfo),
                        cmocka_unit_test(test_process),
                        cmocka_unit_test(test_rate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
