/* The slots of containers that are being started. */
#include "tests/unit/unit.h"

#include "nodeagent/pod/start-slots.h"

static const char owners[START_SLOTS_MAX + 1];

static void test_size(void **state) {
        static const struct {
                long processors;
                size_t max;
        } cases[] = {{-1, 6}, {1, 6}, {2, 6}, {8, 24}, {64, 64}, {100000, 64}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct start_slots s;

                start_slots_init(&s, cases[i].processors);
                assert_int_equal(s.max, cases[i].max);
                assert_false(start_slots_are_full(&s, 1));
                assert_int_equal(start_slots_next_us(&s), 0);
        }
}

static void test_taken(void **state) {
        struct start_slots s;

        start_slots_init(&s, 1);
        for (size_t i = 0; i < 6; i++) {
                assert_false(start_slots_are_full(&s, 50));
                start_slots_take(&s, &owners[i], 100 + i);
        }
        assert_true(start_slots_are_full(&s, 60));
        assert_int_equal(start_slots_next_us(&s), 100);
        start_slots_release(&s, &owners[20]);
        assert_true(start_slots_are_full(&s, 60));
        start_slots_release(&s, &owners[0]);
        assert_false(start_slots_are_full(&s, 60));
        assert_int_equal(start_slots_next_us(&s), 101);
        /* Again: still one slot, with a new time. */
        start_slots_take(&s, &owners[1], 200);
        assert_int_equal(s.count, 5);
        assert_int_equal(start_slots_next_us(&s), 102);
}

static void test_expired(void **state) {
        struct start_slots s;

        start_slots_init(&s, 1);
        for (size_t i = 0; i < 6; i++)
                start_slots_take(&s, &owners[i], i < 3 ? 100 : 200);
        assert_true(start_slots_are_full(&s, 99));
        assert_false(start_slots_are_full(&s, 100));
        assert_int_equal(s.count, 3);
        /* Its slot is gone: nothing else is released. */
        start_slots_release(&s, &owners[0]);
        assert_int_equal(s.count, 3);
}

static void test_more_than_there_are(void **state) {
        struct start_slots s;

        start_slots_init(&s, 1);
        for (size_t i = 0; i < ELEMENTS(owners); i++)
                start_slots_take(&s, &owners[i], 100);
        assert_int_equal(s.count, START_SLOTS_MAX);
        start_slots_release(&s, &owners[START_SLOTS_MAX]);
        assert_int_equal(s.count, START_SLOTS_MAX);
        start_slots_release(&s, &owners[0]);
        assert_int_equal(s.count, START_SLOTS_MAX - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_size),
                        cmocka_unit_test(test_taken), cmocka_unit_test(test_expired),
                        cmocka_unit_test(test_more_than_there_are)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
