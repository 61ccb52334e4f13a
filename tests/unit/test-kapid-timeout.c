/* Durations as clients of Go write them. */
#include "tests/unit/unit.h"

#include "kapid/http/timeout.h"

static void reads_durations(void **state) {
        static const struct {
                const char *text;
                uint64_t us;
        } good[] = {{"0", 0}, {"32s", 32000000}, {"1m30s", 90000000}, {"1.5h", 5400000000},
                        {"250ms", 250000}, {"10us", 10}, {"10\u00b5s", 10}, {"5000ns", 5},
                        {".5s", 500000}, {"1.s", 1000000}, {"1h0m0.25s", 3600250000}};
        static const char *const bad[] = {"", "s", "5", "1m30", "-5s", "1d", "5 s", ".s", "1..5s",
                        "99999999999999999999h", "9999999999h", "bad"};
        uint64_t us;

        for (size_t i = 0; i < ELEMENTS(good); i++) {
                us = 1;
                assert_int_equal(go_duration_parse(good[i].text, &us), 0);
                assert_int_equal(us, good[i].us);
        }
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_true(go_duration_parse(bad[i], &us) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(reads_durations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
