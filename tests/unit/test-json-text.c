/* Parts of a JSON text that are found, or left out, without parsing the rest. */
#include "tests/unit/unit.h"

#include "lib/json-memory.h"
#include "lib/json-part.h"
#include "lib/json-read.h"
#include "lib/json-scan.h"
#include "lib/json-text.h"
#include "tests/unit/random.h"

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

/* A quote or a backslash at every place of the eight that are looked at together, beside bytes that
 * differ from them by one bit. */
static void test_long_strings(void **state) {
        enum { SIZE = 40 };
        static const char fill[] = "#\xa2\x22\xdc]!\x7f\xff";

        for (size_t at = 0; at < SIZE; at++)
                for (size_t k = 0; fill[k]; k++) {
                        char text[SIZE + 4] = "\"";

                        if (fill[k] == '"')
                                continue;
                        memset(text + 1, fill[k], at);
                        memcpy(text + 1 + at, "\"x", 2);
                        assert_ptr_equal(json_text_value_end(text, text + at + 3), text + at + 2);
                        memcpy(text + 1 + at, "\\\"\"", 3);
                        assert_ptr_equal(json_text_value_end(text, text + at + 4), text + at + 4);
                        assert_null(json_text_value_end(text, text + at + 3));
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

static void test_part(void **state) {
        static const struct {
                const char *paths, *text, *part; /* NULL: refused */
        } cases[] = {
                        {"a.b c", "{\"a\":{\"b\":[1],\"x\":2},\"c\":\"t\",\"d\":{\"b\":3}}",
                                        "{\"a\":{\"b\":[1]},\"c\":\"t\"}"},
                        {"a.b", " { \"x\" : \"]}\\\"\" , \"a\" : [ {\"b\":1,\"c\":2} , {} , 7 ] } ",
                                        "{\"a\":[{\"b\":1},{},7]}"},
                        {"a.b", "{\"a\":\"text\"}", "{\"a\":\"text\"}"},
                        {"a.b", "{\"a\":null}", "{\"a\":null}"},
                        {"a.b a", "{\"a\":{\"c\":1}}", "{\"a\":{\"c\":1}}"},
                        {"d.*", "{\"d\":{\"k\":\"long\",\"l\":{\"m\":1}},\"e\":1}",
                                        "{\"d\":{\"k\":null,\"l\":null}}"},
                        {"a", "{\"a\":\"\\u00e4\\n\"}", "{\"a\":\"\303\244\\n\"}"},
                        {"a", "{\"a\":18446744073709551616}", "{\"a\":18446744073709551616.0}"},
                        {"a.b", "{\"a\":[[{\"c\":1}]]}", "{\"a\":[[{\"c\":1}]]}"},
                        {"a", "{}", "{}"},
                        {"", "{\"a\":1}", "{}"},
                        {"a", "{\"a\":1,\"a\":2}", "{\"a\":2}"},
                        {"a", "{\"\\u0061\":1}", NULL}, /* an escape in a name */
                        {"a", "{\"a\":\"\xff\"}", NULL},
                        {"a", "{\"a\" 1}", NULL},
                        {"a", "{\"a\":1 \"b\":2}", NULL},
                        {"a", "{\"b\":1", NULL},
                        {"a", "[1]", NULL},
                        {"a", "", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(json_part_freep) struct json_part *part = json_part_new();
                _cleanup_json_ json_t *v = NULL;
                _cleanup_free_ char *text = NULL;
                size_t n = strlen(cases[i].text);
                char *exact = malloc(n + 1); /* a read past the end shows with a sanitizer */
                int r;

                assert_non_null(exact);
                memcpy(exact, cases[i].text, n);
                assert_int_equal(json_part_add(part, cases[i].paths), 0);
                r = json_part_parse(part, exact, n, &v);
                free(exact);
                text = v ? json_text(v) : NULL;
                if (r != (cases[i].part ? 0 : -EINVAL) || !streq_ptr(text, cases[i].part))
                        fail_msg("%s: %d %s and not %s", cases[i].text, r, strempty(text),
                                        strempty(cases[i].part));
        }
}

/* A text that is cut short anywhere is refused, and never read past its end. */
static void test_part_cut(void **state) {
        static const char whole[] =
                        "{\"o\":{\"x\":\"\\\\\",\"m\":[{\"a\":[\"\\\"\",{}],\"b\":1}],\"z\":1}}";
        _cleanup_(json_part_freep) struct json_part *part = json_part_new();

        assert_int_equal(json_part_add(part, "o.m.a o.z q.*"), 0);
        for (size_t n = 0; n < strlen(whole); n++) {
                char *exact = malloc(n + 1);
                json_t *v = NULL;

                assert_non_null(exact);
                memcpy(exact, whole, n);
                assert_int_equal(json_part_parse(part, exact, n, &v), -EINVAL);
                assert_null(v);
                free(exact);
        }
}

/* --- reading and writing, compared with jansson --- */

static void compare_reading(const char *text, size_t n, unsigned flags) {
        _cleanup_json_ json_t *ours = NULL,
                              *theirs = json_loadb(text, n,
                                              JSON_DECODE_ANY |
                                                              (flags ? JSON_REJECT_DUPLICATES : 0),
                                              NULL);
        _cleanup_free_ char *exact = memcpy(malloc(n + 1), text, n), *a = NULL, *b = NULL;
        int r = json_read(exact, n, 100, flags, &ours);

        if (r < 0)
                return;
        a = json_dumps(ours, JSON_ENCODE_ANY | JSON_COMPACT);
        b = theirs ? json_dumps(theirs, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        if (!streq_ptr(a, b))
                fail_msg("%.*s: %s and not %s", (int)n, text, strempty(a), b ? b : "refused");
        json_decref(theirs);
        theirs = NULL;
        free(b);
        b = json_text(ours);
        if (!streq_ptr(a, b))
                fail_msg("%.*s: written %s and not %s", (int)n, text, strempty(b), a);
}

static const char *const readable[] = {"{}", "[]", " [ ] ", "{ }", "0", "-1", "-0",
                "999999999999999999", "true", "false", "null", "\"\"", "\"a\"",
                "{\"a\":1,\"b\":[1,2,{\"c\":null}],\"d\":{\"e\":{}}}",
                "\t{\r\n\"a\" : [ true , false ] }\n", "{\"a\":1,\"b\":2,\"a\":3}",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\u20aC\\u003c\"",
                "\"0123456789\\u0001abcdefghi\"",
                "{\"k\\n\":{\"l\\u003e\":\"m\\\"\"},\"\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}",
                "\"1234567\xc3\xa4\"", "\"12345678\x7f\"", "{\"\xc3\xa4\":\"\xc3\xa4\"}"};

/* Left to jansson, which refuses them or knows what to do. */
static const char *const left[] = {"", " ", "{", "[", "\"", "{\"a\"", "{\"a\":", "{\"a\":1", "[1",
                "[1,", "[1,]", "{\"a\":1,}", "{,}", "[,]", "{a:1}", "01", "-", "-01", "1.5", "1e3",
                "1E3", "9999999999999999999", "-9223372036854775808", "tru", "truex", "nul", "True",
                "[1 2]", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "1 2", "{}x", "\"a\nb\"", "\"\x01\"",
                "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"",
                "\"\\udc00\"", "\"\xff\"", "\"\xc3\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
                "{\"\xff\":1}", "\"\\", "\"\\u", "]", "}", ":", ",", "\xef\xbb\xbf{}", "[1}", "{]"};

static void test_reading(void **state) {
        for (size_t i = 0; i < ELEMENTS(readable); i++) {
                _cleanup_json_ json_t *v = NULL;

                if (json_read(readable[i], strlen(readable[i]), 100, 0, &v) < 0)
                        fail_msg("not read: %s", readable[i]);
                compare_reading(readable[i], strlen(readable[i]), 0);
                compare_reading(readable[i], strlen(readable[i]),
                                JSON_PARSE_REJECT_DUPLICATES_FLAG);
        }
        for (size_t i = 0; i < ELEMENTS(left); i++) {
                _cleanup_json_ json_t *v = NULL;

                if (json_read(left[i], strlen(left[i]), 100, 0, &v) != -EAGAIN)
                        fail_msg("read: %s", left[i]);
        }
}

static void test_reading_bounds(void **state) {
        _cleanup_json_ json_t *v = NULL;
        _cleanup_free_ char *why = NULL;

        assert_int_equal(json_read("{\"a\":1,\"a\":2}", 13, 100, JSON_PARSE_REJECT_DUPLICATES_FLAG,
                                         &v),
                        -EAGAIN);
        assert_int_equal(json_read("[[[0]]]", 7, 2, 0, &v), -EAGAIN);
        assert_int_equal(json_read("{}\0", 3, 100, 0, &v), -EAGAIN);
        assert_int_equal(json_read("[[0],[1]]", 9, 2, 0, &v), 0);
        json_decref(v);
        v = NULL;
        assert_int_equal(json_parse("{\"a\":1,\"a\":2}", 13, JSON_PARSE_REJECT_DUPLICATES_FLAG, &v,
                                         &why),
                        -EINVAL);
        assert_non_null(strstr(why, "duplicate object key"));
}

/* Texts with one byte changed, left out or added: what is taken, jansson takes as the same. */
static void test_reading_changed(void **state) {
        static const char bytes[] = "\"\\{}[]:, u0198-.eEtfn\x01\x1f\x7f\x80\xc3\xff";

        for (size_t i = 0; i < ELEMENTS(readable); i++) {
                const size_t n = strlen(readable[i]);
                char text[256];

                for (size_t at = 0; at < n; at++) {
                        memcpy(text, readable[i], n);
                        for (size_t k = 0; k < sizeof(bytes) - 1; k++) {
                                text[at] = bytes[k];
                                compare_reading(text, n, (unsigned)(k & 1));
                        }
                        compare_reading(readable[i], at, 0);
                        memcpy(text + at, readable[i] + at + 1, n - at - 1);
                        compare_reading(text, n - 1, 0);
                        memcpy(text + at + 1, readable[i] + at, n - at);
                        text[at] = bytes[(at + i) % (sizeof(bytes) - 1)];
                        compare_reading(text, n + 1, 0);
                }
        }
}

static void test_writing(void **state) {
        _cleanup_json_ json_t *v = json_pack("[f,f,f,f,I,I,b,n,s%,s]", 0.1, 2.0, 1e21, -0.0,
                        (json_int_t)INT64_MIN, (json_int_t)INT64_MAX, 1, "a\0b", (size_t)3,
                        "\x1f\x7f\"\\/\b\f\n\r\t");
        _cleanup_free_ char *text = json_text(v);
        json_t *inner = json_array(), *bad = json_array();

        assert_string_equal(text,
                        "[0.1,2.0,1e+21,-0.0,-9223372036854775808,9223372036854775807,true,"
                        "null,\"a\\u0000b\",\"\\u001F\x7f\\\"\\\\/\\b\\f\\n\\r\\t\"]");
        for (unsigned i = 0; i < 1000; i++)
                inner = json_pack("[o]", inner);
        free(text);
        text = json_text(inner);
        assert_int_equal(strlen(text), 2002);
        json_decref(inner);
        assert_int_equal(json_array_append_new(bad, json_stringn_nocheck("\xff", 1)), 0);
        assert_null(json_text(bad));
        json_decref(bad);
}

/* Runs of plain characters, beside a walk character by character; never past the end. */
static void test_plain_runs(void **state) {
        static const char bytes[] = "\"\\\x1f\x01 !#[]\x7f\x80\xdc\xa2\xff";
        enum { SIZE = 27 };

        for (size_t n = 0; n < SIZE; n++)
                for (size_t at = 0; at <= n; at++)
                        for (size_t k = 0; k + 1 < sizeof(bytes); k++) {
                                char *exact = malloc(n + 1);
                                bool high = false, expected = false;
                                size_t plain = 0;

                                assert_non_null(exact);
                                memset(exact, 'x', n);
                                if (at < n)
                                        exact[at] = bytes[k];
                                if (at + 2 < n)
                                        exact[at + 2] = bytes[(k + n) % (sizeof(bytes) - 1)];
                                for (; plain < n; plain++) {
                                        unsigned char c = (unsigned char)exact[plain];

                                        if (c == '"' || c == '\\' || c < 0x20)
                                                break;
                                        expected |= c >= 0x80;
                                }
                                exact = realloc(exact, MAX(n, (size_t)1));
                                assert_int_equal(json_scan_plain(exact, n, &high), plain);
                                assert_int_equal(high, expected);
                                free(exact);
                        }
}

static json_t *random_tree(struct dice *d, unsigned depth) {
        static const char *const words[] = {"", "a", "b", "key", "value \"quoted\"",
                        "0123456789abcdef", "\xc3\xa4", "tab\t"};
        json_t *v;

        switch (roll(d, depth < 5 ? 8 : 6)) {
        case 0:
                return json_integer((json_int_t)roll(d, 3));
        case 1:
                return json_real((double)roll(d, 3));
        case 2:
                return json_null();
        case 3:
                return json_boolean(roll(d, 2));
        case 4:
        case 5:
                return json_string(words[roll(d, ELEMENTS(words))]);
        case 6:
                v = json_array();
                for (uint64_t n = roll(d, 4); n > 0; n--)
                        json_array_append_new(v, random_tree(d, depth + 1));
                return v;
        default:
                v = json_object();
                for (uint64_t n = roll(d, 40) == 0 ? 40 : roll(d, 5); n > 0; n--) {
                        char key[24];

                        (void)snprintf(key, sizeof(key), "%s%u", words[roll(d, 4)],
                                        (unsigned)roll(d, 12));
                        json_object_set_new(v, key, random_tree(d, depth + 1));
                }
                return v;
        }
}

/* The same tree with the members in another order, or something else than it. */
static json_t *shuffled(struct dice *d, const json_t *v) {
        json_t *copy, *child;
        const char *key;
        size_t i;

        if (roll(d, 60) == 0)
                return random_tree(d, 4);
        if (json_is_array(v)) {
                copy = json_array();
                json_array_foreach (v, i, child)
                        json_array_append_new(copy, shuffled(d, child));
                return copy;
        }
        copy = json_deep_copy(v);
        json_object_foreach (json_unconst(v), key, child) {
                if (roll(d, 3) == 0)
                        json_object_del(copy, key);
                json_object_set_new(copy, key, shuffled(d, child));
        }
        return copy;
}

static void wreck(struct dice *d, json_t *v) {
        const char *key;
        json_t *child;
        size_t i;

        json_array_foreach (v, i, child)
                wreck(d, child);
        json_object_foreach (v, key, child)
                wreck(d, child);
        if (json_is_array(v))
                json_array_append_new(v, json_true());
        if (json_is_object(v))
                json_object_set_new(v, "new", json_true());
}

/* Comparing, copying and writing trees, beside what jansson does. */
static void test_trees(void **state) {
        struct rounds r = {0};
        unsigned equal = 0;

        while (next_round(&r, 3000)) {
                struct dice d = {.state = r.seed};
                _cleanup_json_ json_t *a = random_tree(&d, 0), *b = shuffled(&d, a),
                                      *copy = json_tree_copy(a), *before = json_deep_copy(a);
                _cleanup_free_ char *text = json_text_sorted(a), *plain = json_text(a),
                                    *theirs = json_dumps(a, JSON_ENCODE_ANY | JSON_COMPACT |
                                                                            JSON_SORT_KEYS),
                                    *bounded = NULL;

                assert_int_equal(json_same(a, b), json_equal(a, b));
                assert_int_equal(json_same(b, a), json_equal(b, a));
                equal += json_equal(a, b);
                assert_true(json_equal(a, copy) && json_same(a, copy));
                assert_string_equal(text, theirs);
                assert_int_equal(json_text_bounded(a, &bounded), 0);
                assert_string_equal(bounded, plain);
                wreck(&d, copy);
                assert_true(json_equal(a, before));
        }
        assert_true(equal > 100);
        assert_true(json_same(NULL, NULL));
        assert_null(json_tree_copy(NULL));
}

/* Deeper than what is read is not written for reading. */
static void test_text_bounded(void **state) {
        json_t *v = json_array();

        for (unsigned depth = 1; depth < 103; depth++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(json_text_bounded(v, &text), depth <= 100 ? 0 : -E2BIG);
                v = depth % 2 ? json_pack("{s:o}", "[", v) : json_pack("[o]", v);
        }
        json_decref(v);
}

/* Trees that come and go while their blocks are kept; what is kept stays whole. */
static void test_memory(void **state) {
        static const char text[] =
                        "{\"a\":[1,\"two\",{\"three\":\"0123456789012345678901234567890\"}]}";
        json_t *trees[100];

        json_memory_keep();
        for (unsigned round = 0; round < 3; round++) {
                for (size_t i = 0; i < ELEMENTS(trees); i++)
                        assert_int_equal(json_parse(text, strlen(text), 0, &trees[i], NULL), 0);
                for (size_t i = 0; i < ELEMENTS(trees); i++) {
                        _cleanup_free_ char *again = json_text(trees[i]); /* free() may have it */

                        assert_string_equal(again, text);
                        json_decref(trees[i]);
                }
                if (round == 1)
                        json_memory_drop();
        }
        json_memory_drop();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_member),
                        cmocka_unit_test(test_long_strings),
                        cmocka_unit_test(test_cut),
                        cmocka_unit_test(test_without),
                        cmocka_unit_test(test_part),
                        cmocka_unit_test(test_part_cut),
                        cmocka_unit_test(test_reading),
                        cmocka_unit_test(test_reading_bounds),
                        cmocka_unit_test(test_reading_changed),
                        cmocka_unit_test(test_writing),
                        cmocka_unit_test(test_plain_runs),
                        cmocka_unit_test(test_trees),
                        cmocka_unit_test(test_text_bounded),
                        cmocka_unit_test(test_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
