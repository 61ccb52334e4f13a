/* The growing array. */
#include "tests/unit/unit.h"

#include "lib/vector.h"

static void test_append(void **state) {
        VECTOR(int) v = {0};

        for (int i = 0; i < 1000; i++)
                assert_int_equal(vector_append(&v, i), 0);
        assert_int_equal(v.count, 1000);
        assert_true(v.allocated >= 1000 && v.allocated < 2048);
        for (int i = 0; i < 1000; i++)
                assert_int_equal(v.items[i], i);
        vector_done(&v);
        assert_null(v.items);
        assert_int_equal(v.count + v.allocated, 0);
}

static void test_insert_remove(void **state) {
        VECTOR(const char *) v = {0};

        assert_int_equal(vector_insert(&v, 0, "b"), 0);
        assert_int_equal(vector_insert(&v, 0, "a"), 0);
        assert_int_equal(vector_insert(&v, 2, "d"), 0);
        assert_int_equal(vector_insert(&v, 2, "c"), 0);
        assert_string_equal(v.items[0], "a");
        assert_string_equal(v.items[1], "b");
        assert_string_equal(v.items[2], "c");
        assert_string_equal(v.items[3], "d");
        vector_remove(&v, 1);
        assert_int_equal(v.count, 3);
        assert_string_equal(v.items[1], "c");
        vector_remove_unordered(&v, 0);
        assert_int_equal(v.count, 2);
        assert_string_equal(v.items[0], "d");
        vector_remove(&v, 1);
        vector_remove(&v, 0);
        assert_int_equal(v.count, 0);
        vector_done(&v);
}

static void test_reserve(void **state) {
        VECTOR(uint64_t) v = {0};

        assert_int_equal(vector_reserve(&v, 0), 0);
        assert_null(v.items);
        assert_int_equal(vector_reserve(&v, 100), 0);
        assert_int_equal(v.count, 0);
        assert_true(v.allocated >= 100);
        assert_int_equal(vector_append(&v, 7), 0);
        /* Sizes that overflow fail and change nothing. */
        assert_int_equal(vector_reserve(&v, SIZE_MAX), -ENOMEM);
        assert_int_equal(vector_reserve(&v, SIZE_MAX / 8), -ENOMEM);
        assert_int_equal(v.count, 1);
        assert_int_equal(v.items[0], 7);
        vector_done(&v);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_append),
                        cmocka_unit_test(test_insert_remove),
                        cmocka_unit_test(test_reserve),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
