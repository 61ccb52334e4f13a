/* Templates. */
#include "tests/unit/unit.h"

#include "kctl/template.h"

static const struct template_value values[] = {
                {"name", "n1"},
                {"address", "10.0.0.5"},
                {"empty", ""},
                {"braces", "{{name}}"},
                {NULL, NULL},
};

static void check(const char *template, const char *expected) {
        _cleanup_free_ char *text = template_fill(template, values);

        assert_string_equal(text, expected);
}

static void test_places(void **state) {
        check("", "");
        check("nothing {to} fill\n", "nothing {to} fill\n");
        check("{{name}}", "n1");
        check("a {{name}} b {{address}} c {{name}}\n", "a n1 b 10.0.0.5 c n1\n");
        check("{{name}}{{empty}}{{address}}", "n110.0.0.5");
}

/* A value is text: what looks like a place in it is none. */
static void test_values_are_text(void **state) {
        check("{{braces}} {{name}}", "{{name}} n1");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_places),
                        cmocka_unit_test(test_values_are_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
