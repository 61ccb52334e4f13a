/* Patterns of schemas: RE2's syntax and meaning, and bounds on what they cost. */
#include "tests/unit/unit.h"

#include "kapid/schema/pattern.h"
#include "lib/timefmt.h"

DEFINE_CLEANUP(struct pattern *, pattern_free);

static int match(struct pattern_cache *c, const char *pattern, const char *text) {
        _cleanup_(pattern_freep) struct pattern *p = NULL;
        _cleanup_free_ char *error = NULL;
        uint64_t steps = 0;

        if (pattern_new(&p, c, pattern, &error) < 0 || pattern_compile(p, NULL, &error) < 0) {
                print_message("%s\n", error);
                return -EINVAL;
        }
        return pattern_match(p, text, strlen(text), &steps);
}

static void test_meaning(void **state) {
        static const struct {
                const char *pattern, *text;
                int want;
        } cases[] = {
                        {"(?i)^ab$", "AB", 1}, {"(?i)^ab$", "abc", 0}, {"a??b", "xaby", 1},
                        {"^\\p{L}+$", "Größe", 1}, {"^\\p{L}+$", "a1", 0}, {"^\\pL\\PN$", "ab", 1},
                        {"^\\p{Greek}+$", "αβγ", 1}, {"^\\p{^Greek}+$", "α", 0},
                        {"^[\\p{Lu}_]+$", "A_Ä", 1}, {"^\\d{3}-\\w+$", "123-a_b", 1},
                        {"^\\d+$", "١٢", 0}, /* ASCII only, as RE2 */
                        {"^\\s$", "\v", 0}, {"^[\\s]$", "\v", 0}, {"^[\\S]$", "\v", 1},
                        {"^\\S$", "\v", 1}, {"^\\s$", "\f", 1},
                        {"a$", "a\n", 0}, /* the very end, not before a last line feed */
                        {"(?m)^b$", "a\nb\nc", 1}, {"(?m)^$", "a\n", 1}, {"^a.c$", "a\nc", 0},
                        {"(?s)^a.c$", "a\nc", 1}, {"(?s:^a.)c$", "a\nc", 1}, {"^[^a]$", "\n", 1},
                        {"^[]a]+$", "]a", 1}, {"^[a\\]b-]+$", "]-b", 1}, {"^[a-c-e]+$", "-e", 1},
                        {"^[[:alpha:]]+$", "abc", 1}, {"^[[:^digit:]]+$", "a1", 0},
                        {"^a{,3}$", "a{,3}", 1}, /* no repetition */
                        {"^{a}$", "{a}", 1}, {"^a{2,3}$", "aaa", 1}, {"^a{2,3}$", "aaaa", 0},
                        {"^a{02}$", "a{02}", 1}, {"^\\Qa.b\\E$", "a.b", 1},
                        {"^\\Qa.b\\E$", "axb", 0},
                        {"^\\x41\\x{1F600}\\101$",
                                        "A\xf0\x9f\x98\x80"
                                        "A",
                                        1},
                        {"\\bfoo\\b", "a foo b", 1}, {"\\Bfoo", "xfoo", 1},
                        {"^(?P<year>\\d+)-(?<month>\\d+)$", "2024-05", 1}, {"^*a", "a", 1},
                        {"(?:^)*a", "a", 1}, {"\\b+a", "a", 1}, {"^(|a)$", "", 1}, {"()", "", 1},
                        {"", "x", 1}, {"#", "a#b", 1}, {"^a b$", "a b", 1}, {"(?U)^a+$", "aa", 1},
                        {"(?i)k", "\xe2\x84\xaa", 1}, /* the Kelvin sign folds to k */
                        {"^(a(?i)b|c)$", "C", 1}, {"^(?-i:a)$", "a", 1}, {"x*", "", 1},
                        {"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
                                        "a-b.example.org", 1},
                        {"^((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)(\\.|$)){4}$", "10.0.0.255", 1},
                        {"^(([a-z]{10}){10}){10}$", "a", 0}, /* 1000 together: allowed */
        };
        _cleanup_(pattern_cache_freep) struct pattern_cache *c = pattern_cache_new();

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int r = match(c, cases[i].pattern, cases[i].text);

                if (r != cases[i].want)
                        fail_msg("%s on %s: %d", cases[i].pattern, cases[i].text, r);
        }
}

static const struct {
        const char *pattern, *why;
} refused_patterns[] = {
                {"(?=x)", "lacks"},
                {"(?!x)", "lacks"},
                {"(?<=x)", "lacks"},
                {"(?<!x)", "lacks"},
                {"(?>x)", "lacks"},
                {"(?|a|b)", "lacks"},
                {"(?R)", "lacks"},
                {"(?1)", "lacks"},
                {"(?&n)", "lacks"},
                {"(?P=n)", "lacks"},
                {"(?P>n)", "lacks"},
                {"(?C)", "lacks"},
                {"(?C1)a", "lacks"},
                {"(?#x)", "lacks"},
                {"(?x)a b", "lacks"},
                {"(?(1)a)", "lacks"},
                {"(?^i)a", "lacks"},
                {"(?i-)a", "lacks"},
                {"(*UTF)a", "repeats nothing"},
                {"(*LIMIT_MATCH=9)a", "repeats nothing"},
                {"(*ACCEPT)", "repeats nothing"},
                {"(a)\\1", "references"},
                {"\\8", "references"},
                {"(?<n>a)\\k<n>", "escape"},
                {"\\g1", "escape"},
                {"a\\K", "escape"},
                {"\\G", "escape"},
                {"\\C", "escape"},
                {"\\R", "escape"},
                {"\\X", "escape"},
                {"\\Z", "escape"},
                {"\\h", "escape"},
                {"[\\b]", "escape"},
                {"a*+", "possessive"},
                {"a++", "possessive"},
                {"a?+", "possessive"},
                {"a**", "repetition"},
                {"a{2}{3}", "repetition"},
                {"a{2}+", "repetition"},
                {"*a", "repeats nothing"},
                {"a|*", "repeats nothing"},
                {"(+)", "repeats nothing"},
                {"a{1001}", "1000"},
                {"a{1,1001}", "1000"},
                {"a{99999999999999999999}", "1000"},
                {"a{3,2}", "1000"},
                {"((a{0,100}){0,100}){0,100}", "together"},
                {"(((a{10}){10}){10}){2}", "together"},
                {"((a{1000})|b){2}", "together"},
                {"[z-a]", "backwards"},
                {"[a", "without"},
                {"[]", "without"},
                {"(a", "without"},
                {"a)", "without"},
                {"[[:nothing:]]", "unknown"},
                {"\\p{}", "names no"},
                {"\\p{L&}", "names no"},
                {"\\p{Nothing}", "cannot be used"},
                {"\\x4", "\\x"},
                {"\\x{110000}", "\\x"},
                {"\\", "backslash"},
                {"(?P<1-2>a)", "name"},
                {"\xff", "UTF-8"},
};

static void test_refused(void **state) {
        _cleanup_(pattern_cache_freep) struct pattern_cache *c = pattern_cache_new();

        for (size_t i = 0; i < ELEMENTS(refused_patterns); i++) {
                _cleanup_(pattern_freep) struct pattern *p = NULL;
                _cleanup_free_ char *error = NULL;
                int r = pattern_new(&p, c, refused_patterns[i].pattern, &error);

                if (r >= 0)
                        r = pattern_compile(p, NULL, &error);
                if (r != -EINVAL || !error || !strstr(error, refused_patterns[i].why))
                        fail_msg("%s: %d %s", refused_patterns[i].pattern, r, error ? error : "");
        }
        for (size_t depth = 200; depth <= 201; depth++) {
                _cleanup_buf_ struct buf b = {0};
                int r;

                for (size_t i = 0; i < depth; i++)
                        buf_append_char(&b, '(');
                for (size_t i = 0; i < depth; i++)
                        buf_append_char(&b, ')');
                r = match(c, b.data, "");
                assert_int_equal(r, depth == 200 ? 1 : -EINVAL);
        }
}

static char *text_of(const char *part, size_t n, const char *end) {
        struct buf b = {0};

        for (size_t i = 0; i < n; i++)
                buf_append_str(&b, part);
        buf_append_str(&b, end);
        return buf_take(&b);
}

/* None takes long, whatever the answer; texts are as long as a body may be. */
static void test_hostile(void **state) {
        static const struct {
                const char *pattern, *part;
                size_t n;
                const char *end;
                int want;
        } cases[] = {
                        {"^(a*)*b$", "a", 100000, "", -E2BIG},
                        {"(a*)*b", "a", 30, "", -E2BIG},
                        {"^(a|a)*$", "a", 40, "b", -E2BIG},
                        {"^(([a-z])+.)+[A-Z]([a-z])+$", "a", 60, "", -E2BIG},
                        {"a*x", "a", 1000000, "", -E2BIG},
                        {"(a*x|a*y|a*z)", "a", 1000000, "", -E2BIG},
                        {".*.*.*.*.*x$", "a", 10000, "", -E2BIG},
                        {"(?s).*.*.*b", "a\n", 100000, "", -E2BIG},
                        {"(x+x+)+y", "x", 60, "", -E2BIG},
                        {"^(.|\\n)*$", "ab", 1500000, "", -E2BIG},
                        {"^[a-z]*$", "a", 3000000, "", 1},
                        {"^[a-z]*$", "a", 3000000, "B", 0},
                        {"b", "a", 1000000, "", 0},
        };
        _cleanup_(pattern_cache_freep) struct pattern_cache *c = pattern_cache_new();

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = text_of(cases[i].part, cases[i].n, cases[i].end);
                uint64_t from = now_mono_us();
                int r = match(c, cases[i].pattern, text);
                uint64_t us = now_mono_us() - from;

                if (r != cases[i].want)
                        fail_msg("%s: %d", cases[i].pattern, r);
                print_message("%s: %d in %.1f ms\n", cases[i].pattern, r, (double)us / 1000);
                assert_true(us < 10 * 1000 * 1000); /* generous: sanitizers, busy machines */
        }
}

/* Many values share one budget. */
static void test_budget(void **state) {
        _cleanup_(pattern_cache_freep) struct pattern_cache *c = pattern_cache_new();
        _cleanup_(pattern_freep) struct pattern *p = NULL;
        _cleanup_free_ char *error = NULL;
        uint64_t steps = 0;
        unsigned tried = 0;

        assert_int_equal(pattern_new(&p, c, "(a|a)*b", &error), 0);
        while (pattern_match(p, "aaaaaaaaaaaa", 12, &steps) != -E2BIG)
                assert_true(++tried < 10000);
        assert_true(tried > 10);
        assert_int_equal(steps, PATTERN_STEPS_MAX);
        /* Usual values cost next to nothing. */
        steps = 0;
        for (unsigned i = 0; i < 100000; i++)
                assert_true(pattern_match(p, "xb", 2, &steps) == 1);
}

/* Nothing is compiled before it is used, and no more is kept than the bound. */
static void test_lazy(void **state) {
        enum { PATTERNS = 1000 };
        struct pattern_cache *c = pattern_cache_new();
        struct pattern *p[PATTERNS];
        uint64_t steps = 0;

        for (unsigned i = 0; i < PATTERNS; i++) {
                _cleanup_free_ char *error = NULL, *text = strformat("^(ab?[c-d]){%u}$", i + 1);

                assert_int_equal(pattern_new(&p[i], c, text, &error), 0);
        }
        assert_int_equal(pattern_cache_count(c), 0);
        for (unsigned round = 0; round < 2; round++)
                for (unsigned i = 0; i < 600; i++)
                        assert_int_equal(pattern_match(p[i], "abc", 3, &steps), i == 0);
        assert_in_range(pattern_cache_count(c), 1, 512);
        for (unsigned i = 0; i < PATTERNS; i++)
                pattern_free(p[i]);
        assert_int_equal(pattern_cache_count(c), 0);
        pattern_cache_free(c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_meaning),
                        cmocka_unit_test(test_refused),
                        cmocka_unit_test(test_hostile),
                        cmocka_unit_test(test_budget),
                        cmocka_unit_test(test_lazy),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
