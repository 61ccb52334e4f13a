/* Addresses and ranges of both families. */
#include "tests/unit/unit.h"

#include "lib/address.h"

static void test_ranges(void **state) {
        static const struct {
                const char *text, *first, *last; /* first NULL: refused */
                uint64_t count;
        } cases[] = {
                        {"192.0.2.7", "192.0.2.7", "192.0.2.7", 1},
                        {"192.0.2.7/24", "192.0.2.0", "192.0.2.255", 256},
                        {"192.0.2.128/25", "192.0.2.128", "192.0.2.255", 128},
                        {"192.0.2.7/32", "192.0.2.7", "192.0.2.7", 1},
                        {"0.0.0.0/0", "0.0.0.0", "255.255.255.255", UINT64_C(1) << 32},
                        {"192.0.2.250-192.0.3.5", "192.0.2.250", "192.0.3.5", 12},
                        {"2001:db8::/126", "2001:db8::", "2001:db8::3", 4},
                        {"2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff",
                                        UINT64_MAX},
                        {"2001:db8::ff-2001:db8::100", "2001:db8::ff", "2001:db8::100", 2},
                        {"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7", 1},
                        {"192.0.2.9-192.0.2.8", NULL, NULL, 0},
                        {"192.0.2.9-2001:db8::", NULL, NULL, 0},
                        {"192.0.2.0/33", NULL, NULL, 0},
                        {"192.0.2.0/", NULL, NULL, 0},
                        {"192.0.2", NULL, NULL, 0},
                        {"192.0.2.1-192.0.2.2/31", NULL, NULL, 0},
                        {"", NULL, NULL, 0},
                        {"-", NULL, NULL, 0},
                        {"name", NULL, NULL, 0},
        };
        char text[ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct address_range r = {0};
                int error = address_range_parse(cases[i].text, &r);

                if (!cases[i].first) {
                        assert_int_equal(error, -EINVAL);
                        continue;
                }
                assert_int_equal(error, 0);
                assert_string_equal(address_text(&r.first, text), cases[i].first);
                assert_string_equal(address_text(&r.last, text), cases[i].last);
                assert_true(address_range_count(&r) == cases[i].count);
        }
}

static void test_overlap(void **state) {
        static const struct {
                const char *a, *b;
                bool overlap;
        } cases[] = {
                        {"192.0.2.0/24", "192.0.2.255", true},
                        {"192.0.2.0/24", "192.0.3.0/24", false},
                        {"192.0.2.0-192.0.2.9", "192.0.2.9-192.0.2.20", true},
                        {"192.0.2.0-192.0.2.9", "192.0.2.10-192.0.2.20", false},
                        {"2001:db8::/64", "2001:db8::5", true},
                        {"0.0.0.0/0", "::/0", false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct address_range a, b;

                assert_int_equal(address_range_parse(cases[i].a, &a), 0);
                assert_int_equal(address_range_parse(cases[i].b, &b), 0);
                assert_int_equal(address_ranges_overlap(&a, &b), cases[i].overlap);
                assert_int_equal(address_ranges_overlap(&b, &a), cases[i].overlap);
                assert_int_equal(address_range_has(&a, &b.first) && address_range_has(&a, &b.last),
                                cases[i].overlap && i != 2);
        }
}

static void test_next(void **state) {
        static const char *const cases[][2] = {{"192.0.2.255", "192.0.3.0"},
                        {"255.255.255.255", "0.0.0.0"}, {"2001:db8::ffff", "2001:db8::1:0"}};
        char text[ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct address a = address_parse(cases[i][0]);

                address_next(&a);
                assert_string_equal(address_text(&a, text), cases[i][1]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges),
                        cmocka_unit_test(test_overlap), cmocka_unit_test(test_next)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
