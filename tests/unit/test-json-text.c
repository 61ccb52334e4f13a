/* Parts of a JSON text that are found, or left out, without parsing the rest. */
#include "tests/unit/unit.h"

#include "lib/json-text.h"

static void test_member(void **state) {
        static const struct {
                const char *text, *value; /* NULL: not found, or its end is not */
        } cases[] = {
                        {"{\"m\":1}", "1"},
                        {"{\"m\" : \"a\\\"}b\" ,\"n\":2}", "\"a\\\"}b\""},
                        {"{\"a\":{\"m\":1},\"m\":{\"x\":[1,{\"y\":\"]}\"}]}}",
                                        "{\"x\":[1,{\"y\":\"]}\"}]}"},
                        {"{\"a\":\"m\",\"b\":[\"m\"],\"m\":[]}", "[]"},
                        {"{\"a\":\"\\\"m\\\":1\",\"m\":true}", "true"},
                        {"{\"mm\":1,\"xm\":2}", NULL},
                        {"{}", NULL},
                        {"{\"m\"", NULL},
                        {"{\"m\":", NULL},
                        {"{\"m\":[1", NULL},
                        {"{\"m\":\"open", NULL},
                        {"{\"m\":\"\\", NULL},
                        {"[{\"m\":1}]", NULL},
                        {"", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *end = cases[i].text + strlen(cases[i].text),
                           *at = json_text_member(cases[i].text, end, "m"),
                           *past = at ? json_text_value_end(at, end) : NULL;
                _cleanup_free_ char *value = past ? strndup(at, (size_t)(past - at)) : NULL;

                if (!streq_ptr(value, cases[i].value))
                        fail_msg("%s: %s and not %s", cases[i].text, value ? value : "nothing",
                                        strempty(cases[i].value));
        }
}

/* Every text that is cut short is refused, and never read past its end. */
static void test_cut(void **state) {
        static const char whole[] = "{\"o\":{\"x\":\"\\\\\",\"m\":{\"a\":[\"\\\"\",{}]},\"z\":1}}";
        static const char *const path[] = {"o", "m", NULL};

        for (size_t n = 0; n < strlen(whole); n++) {
                char *exact = malloc(n + 1);
                json_t *v = NULL;

                assert_non_null(exact);
                memcpy(exact, whole, n);
                assert_true(json_parse_without(exact, n, path, &v) < 0);
                assert_null(v);
                free(exact);
        }
}

static void test_without(void **state) {
        static const struct {
                const char *text, *result; /* NULL: not JSON */
        } cases[] = {
                        {" {\"o\":{\"a\":1,\"m\":[{\"x\":\"y\"}],\"z\":2},\"m\":3}",
                                        "{\"m\":3,\"o\":{\"a\":1,\"m\":null,\"z\":2}}"},
                        {"{\"o\":{\"m\":7}}", "{\"o\":{\"m\":null}}"},
                        {"{\"m\":1,\"o\":{}}", "{\"m\":1,\"o\":{}}"},
                        {"{\"o\":[\"m\"]}", "{\"o\":[\"m\"]}"},
                        {"{\"o\":null}", "{\"o\":null}"},
                        {"[1]", "[1]"},
                        {"{\"o\":{\"m\":1}", NULL},
                        {"", NULL},
        };
        static const char *const path[] = {"o", "m", NULL};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *v = NULL;
                _cleanup_free_ char *text = NULL;
                int r = json_parse_without(cases[i].text, strlen(cases[i].text), path, &v);

                assert_int_equal(r, cases[i].result ? 0 : -EINVAL);
                text = v ? json_text_sorted(v) : NULL;
                assert_string_equal(strempty(text), strempty(cases[i].result));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_member),
                        cmocka_unit_test(test_cut),
                        cmocka_unit_test(test_without),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
