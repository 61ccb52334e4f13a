/* What is shown of text from outside. */
#include <jansson.h>

#include "lib/json.h"
#include "lib/plain.h"
#include "lib/yaml.h"
#include "tests/unit/unit.h"

static const struct {
        const char *in, *text, *line;
} cases[] = {
                {"", "", ""},
                {"web-1 ready", "web-1 ready", "web-1 ready"},
                {"Gr\xc3\xbc\xc3\x9f", "Gr\xc3\xbc\xc3\x9f", "Gr\xc3\xbc\xc3\x9f"},
                {"\xf0\x9f\x9a\x80 \xe6\x97\xa5", "\xf0\x9f\x9a\x80 \xe6\x97\xa5",
                                "\xf0\x9f\x9a\x80 \xe6\x97\xa5"},
                {"a\tb\nc", "a\tb\nc", "a^Ib^Jc"},
                {"\033[31mred\033[0m", "^[[31mred^[[0m", "^[[31mred^[[0m"},
                {"\033]0;title\007", "^[]0;title^G", "^[]0;title^G"},
                {"gone\rhere\b", "gone^Mhere^H", "gone^Mhere^H"},
                {"\x7f", "^?", "^?"},
                {"\xc2\x9b"
                 "31m",
                                "<U+009B>31m", "<U+009B>31m"},
                {"a\xe2\x80\xaetxt.exe", "a<U+202E>txt.exe", "a<U+202E>txt.exe"},
                {"\xe2\x81\xa6x\xe2\x81\xa9", "<U+2066>x<U+2069>", "<U+2066>x<U+2069>"},
                {"\xd8\x9c\xe2\x80\x8f\xe2\x80\xa8", "<U+061C><U+200F><U+2028>",
                                "<U+061C><U+200F><U+2028>"},
                {"\xf3\xa0\x81\x81", "<U+E0041>", "<U+E0041>"},
                /* bytes that are no UTF-8: a lone byte, an overlong form, a surrogate, too large,
                   cut */
                {"\xff", "\\xff", "\\xff"},
                {"\x9bK", "\\x9bK", "\\x9bK"},
                {"\xc0\x9b", "\\xc0\\x9b", "\\xc0\\x9b"},
                {"\xe0\x82\x9b", "\\xe0\\x82\\x9b", "\\xe0\\x82\\x9b"},
                {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"},
                {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"},
                {"a\xe2\x80", "a\\xe2\\x80", "a\\xe2\\x80"},
                {"a\xe2\x80\033[m", "a\\xe2\\x80^[[m", "a\\xe2\\x80^[[m"},
};

static void test_forms(void **state) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = plain_copy(
                                                    cases[i].in, strlen(cases[i].in), PLAIN_TEXT),
                                    *line = plain_copy(
                                                    cases[i].in, strlen(cases[i].in), PLAIN_LINE);

                assert_string_equal(text, cases[i].text);
                assert_string_equal(line, cases[i].line);
                assert_int_equal(plain_is_needed(cases[i].in), !streq(cases[i].in, cases[i].text));
        }
        _cleanup_free_ char *zero = plain_copy("a\0b", 3, PLAIN_TEXT);
        assert_string_equal(zero, "a^@b");
}

/* However the bytes are cut, the same comes out. */
static void test_pieces(void **state) {
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (size_t step = 1; step < 5; step++) {
                        _cleanup_buf_ struct buf out = {0};
                        struct plain p = {0};
                        size_t n = strlen(cases[i].in);

                        for (size_t at = 0; at < n; at += step)
                                assert_int_equal(plain_feed(&p, cases[i].in + at, MIN(step, n - at),
                                                                 &out),
                                                0);
                        assert_int_equal(plain_end(&p, &out), 0);
                        _cleanup_free_ char *got = buf_take(&out);
                        assert_string_equal(got, cases[i].text);
                }
}

/* Nothing that steers a terminal is left, whatever came in; the second time nothing changes. */
static void test_anything(void **state) {
        char in[64];
        uint32_t x = 1;

        for (unsigned round = 0; round < 20000; round++) {
                for (size_t i = 0; i < sizeof(in); i++)
                        in[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
                _cleanup_free_ char *once = plain_copy(in, sizeof(in), PLAIN_LINE);

                assert_non_null(once);
                assert_true(utf8_is_valid(once, strlen(once)));
                for (const char *c = once; *c; c++)
                        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
                _cleanup_free_ char *twice = plain_copy(once, strlen(once), PLAIN_LINE);
                assert_string_equal(once, twice);
        }
}

/* Documents keep their meaning. */
static void test_documents(void **state) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *v = json_pack("{s:s}", "k", cases[i].in), *back = NULL;

                if (!v)
                        continue; /* no UTF-8 */
                (void)json_object_set_new(v, cases[i].in, json_string("as a key"));
                _cleanup_free_ char *json = json_text_pretty(v),
                                    *safe = plain_copy(json, strlen(json), PLAIN_JSON),
                                    *yaml = yaml_text(v);
                assert_false(plain_is_needed(safe));
                assert_int_equal(json_parse(safe, strlen(safe), 0, &back, NULL), 0);
                assert_true(json_equal(v, back));
                assert_false(plain_is_needed(yaml));
                _cleanup_problem_ struct problem p = {0};
                _cleanup_yaml_docs_ struct yaml_docs docs = {0};
                if (yaml_parse(yaml, strlen(yaml), &docs, &p) < 0)
                        fail_msg("%s: %s", yaml, p.message);
                if (!json_equal(v, docs.items[0].value))
                        fail_msg("%s became %s", json, yaml);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_forms),
                        cmocka_unit_test(test_pieces),
                        cmocka_unit_test(test_anything),
                        cmocka_unit_test(test_documents),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
