/* Addresses and ranges of both families. */
#include "tests/unit/unit.h"

#include "lib/address.h"
#include "lib/cidr.h"

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

static void test_add(void **state) {
        static const struct {
                const char *from;
                uint64_t n;
                const char *to;
        } cases[] = {{"10.244.0.0", 300, "10.244.1.44"}, {"10.244.0.255", 0, "10.244.0.255"},
                        {"255.255.255.255", 2, "0.0.0.1"}, {"fd00::", 65536, "fd00::1:0"},
                        {"fd00::ffff:ffff:ffff:ffff", 1, "fd00:0:0:1::"}};
        char text[ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct address a = address_parse(cases[i].from);

                address_add(&a, cases[i].n);
                assert_string_equal(address_text(&a, text), cases[i].to);
        }
}

/* Networks of one or two families, in their usual form. */
static void test_cidrs(void **state) {
        static const struct {
                const char *text, *four, *six; /* four NULL: refused, and six is said */
        } cases[] = {
                        {"10.244.3.7/16", "10.244.0.0/16", ""},
                        {"fd00:0:0::7/64", "", "fd00::/64"},
                        {"10.244.0.0/16,fd00:10:244::/56", "10.244.0.0/16", "fd00:10:244::/56"},
                        {"fd00:10:244::/56,10.244.0.0/16", "10.244.0.0/16", "fd00:10:244::/56"},
                        {"", NULL, "is not a network"},
                        {"10.244.0.0", NULL, "\"10.244.0.0\" is not a network"},
                        {"10.244.0.0/33", NULL, "is not a network"},
                        {"10.244.0.0/16, fd00::/64", NULL, "\" fd00::/64\" is not a network"},
                        {"10.244.0.0/16,10.245.0.0/16", NULL, "two networks of one family"},
                        {"10.244.0.0/16,fd00::/64,fd01::/64", NULL, "more than two"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct cidrs all;
                int r = cidrs_parse(cases[i].text, "--option", &all, &p);

                assert_int_equal(r, cases[i].four ? 0 : -EINVAL);
                if (r < 0) {
                        assert_non_null(strstr(p.message, "--option"));
                        assert_non_null(strstr(p.message, cases[i].six));
                        continue;
                }
                assert_string_equal(cidrs_text(&all, FAMILY_IPV4), cases[i].four);
                assert_string_equal(cidrs_text(&all, FAMILY_IPV6), cases[i].six);
        }
}

static void test_cidrs_with(void **state) {
        _cleanup_problem_ struct problem p = {0};
        const struct cidr *x, *y;
        struct cidrs a, b;

        assert_int_equal(cidrs_parse("10.96.0.0/16,fd00:96::/112", "", &a, &p), 0);
        assert_ptr_equal(cidrs_with(&a, "10.96.255.1"), &a.items[0]);
        assert_ptr_equal(cidrs_with(&a, "fd00:96::ffff"), &a.items[1]);
        assert_null(cidrs_with(&a, "10.97.0.1"));
        assert_null(cidrs_with(&a, "fd00:96::1:0"));
        assert_null(cidrs_with(&a, "name"));
        assert_int_equal(cidr_host_bits(&a.items[1]), 16);
        assert_int_equal(cidrs_parse("10.244.0.0/16,fd00::/16", "", &b, &p), 0);
        assert_true(cidrs_overlap(&a, &b, &x, &y));
        assert_string_equal(x->text, "fd00:96::/112");
        assert_string_equal(y->text, "fd00::/16");
        assert_int_equal(cidrs_parse("10.244.0.0/16,fd01::/16", "", &b, &p), 0);
        assert_false(cidrs_overlap(&a, &b, &x, &y));
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges),
                        cmocka_unit_test(test_overlap), cmocka_unit_test(test_next),
                        cmocka_unit_test(test_add), cmocka_unit_test(test_cidrs),
                        cmocka_unit_test(test_cidrs_with)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
