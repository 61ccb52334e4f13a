/* Who is blamed when members differ: a letter for each member's data, '-' for no answer. The first
 * is the one that asks, the leader. */
#include "kstored/server/corrupt-judge.h"
#include "lib/base.h"
#include "tests/unit/unit.h"

static const struct {
        const char *members;
        enum corrupt_verdict verdict;
        const char *wrong; /* 'x' for those */
} rows[] = {
                {"a", CORRUPT_NOBODY, "."},
                {"aa", CORRUPT_NOBODY, ".."},
                {"ab", CORRUPT_UNKNOWN, ".."},
                {"a-", CORRUPT_NOBODY, ".."},
                {"aaa", CORRUPT_NOBODY, "..."},
                {"aab", CORRUPT_SOMEONE, "..x"},
                {"aba", CORRUPT_SOMEONE, ".x."},
                {"baa", CORRUPT_SOMEONE, "x.."}, /* the leader itself */
                {"abc", CORRUPT_UNKNOWN, "..."},
                {"ab-", CORRUPT_UNKNOWN, "..."}, /* the third might side with either */
                {"aa-", CORRUPT_NOBODY, "..."},
                {"a--", CORRUPT_NOBODY, "..."},
                {"aabb", CORRUPT_UNKNOWN, "...."},
                {"aaab", CORRUPT_SOMEONE, "...x"},
                {"aab-", CORRUPT_UNKNOWN, "...."},
                {"baaab", CORRUPT_SOMEONE, "x...x"},
                {"aabb-", CORRUPT_UNKNOWN, "....."},
                {"aaa-b", CORRUPT_SOMEONE, "....x"},
                {"bcaaa", CORRUPT_SOMEONE, "xx..."},
};

static void test_verdicts(void **state) {
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                struct corrupt_answer v[8] = {0};
                size_t n = strlen(rows[i].members);
                bool wrong[8];

                for (size_t k = 0; k < n; k++) {
                        v[k].member = k + 1;
                        v[k].known = rows[i].members[k] != '-';
                        /* What was left of an answer that does not count is not looked at. */
                        v[k].hash = v[k].known ? (uint32_t)rows[i].members[k] : 'z';
                }
                assert_int_equal(corrupt_judge(v, n, wrong), rows[i].verdict);
                for (size_t k = 0; k < n; k++)
                        assert_int_equal(wrong[k], rows[i].wrong[k] == 'x');
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdicts)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
