/* JSON helpers, YAML both ways, selectors, quantities, problems. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "lib/problem.h"
#include "lib/quantity.h"
#include "lib/selector.h"
#include "lib/yaml.h"

static json_t *parse(const char *text) {
        json_t *v = NULL;

        assert_int_equal(json_parse(text, strlen(text), 0, &v, NULL), 0);
        return v;
}

static void test_json_paths(void **state) {
        _cleanup_json_ json_t *o = parse("{\"metadata\":{\"name\":\"a\",\"labels\":{\"x.y/"
                                         "z\":\"1\"},\"generation\":3}}");

        assert_string_equal(object_name(o), "a");
        assert_string_equal(object_label(o, "x.y/z"), "1");
        assert_int_equal(object_generation(o), 3);
        assert_null(json_at(o, "metadata.name.deeper"));
        assert_int_equal(json_set_str(o, "status.phase.reason", "r"), 0);
        assert_string_equal(json_str(o, "status.phase.reason"), "r");
        assert_int_equal(json_set_str(o, "metadata.name.x", "r"), -EINVAL);
        json_del_at(o, "status.phase.reason");
        assert_null(json_at(o, "status.phase.reason"));
}

static void test_json_refusals(void **state) {
        _cleanup_free_ char *error = NULL;
        char deep[300] = "";
        json_t *v;

        memset(deep, '[', 101);
        assert_int_equal(json_parse(deep, 101, 0, &v, NULL), -EINVAL);
        assert_int_equal(json_parse("{\"a\":1,\"a\":2}", 13, JSON_PARSE_REJECT_DUPLICATES_FLAG, &v,
                                         &error),
                        -EINVAL);
        assert_non_null(strstr(error, "line 1"));
        assert_int_equal(json_parse("\"\xff\"", 3, 0, &v, NULL), -EINVAL);
        assert_int_equal(json_parse("{}x", 3, 0, &v, NULL), -EINVAL);
}

static char *yaml_as_json(const char *text) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        if (yaml_parse(text, strlen(text), &docs, &p) < 0)
                return strdup(strempty(p.message));
        return docs.count > 0 ? json_text(docs.items[docs.count - 1].value) : strdup("");
}

static void test_yaml_values(void **state) {
        static const struct {
                const char *yaml, *json;
        } cases[] = {
                        {"a: 1", "{\"a\":1}"},
                        {"a: \"1\"", "{\"a\":\"1\"}"},
                        {"a: !!str 1", "{\"a\":\"1\"}"},
                        {"a: 0644", "{\"a\":420}"},
                        {"a: 0x1f", "{\"a\":31}"},
                        {"a: -12", "{\"a\":-12}"},
                        {"a: 1.5", "{\"a\":1.5}"},
                        {"a: 1.2.3", "{\"a\":\"1.2.3\"}"},
                        {"a: 100m", "{\"a\":\"100m\"}"},
                        /* what kubectl makes of them */
                        {"[yes, on, y, No, OFF, n]", "[true,true,true,false,false,false]"},
                        {"[yES, \"yes\", !!str on]", "[\"yES\",\"yes\",\"on\"]"},
                        {"[0o17, 0b11, 1_000, 089, -0, .5, 5., 1e3, 1.0]",
                                        "[15,3,1000,89,0,0.5,5,1000,1]"},
                        {"[0x, 1e, ., 1.2e, 0b12, 12345678901234567890]",
                                        "[\"0x\",\"1e\",\".\",\"1.2e\",\"0b12\","
                                        "12345678901234567890.0]"},
                        {"{y: 1, 5: 2, 1.5: 3, 0x10: 4, \"on\": 5}",
                                        "{\"true\":1,\"5\":2,\"1.5\":3,\"16\":4,\"on\":5}"},
                        {"\xef\xbb\xbf"
                         "a: 1",
                                        "{\"a\":1}"},
                        {"---\n\xef\xbb\xbf"
                         "a: 1",
                                        "{\"a\":1}"},
                        {"#x\n\xef\xbb\xbf---\na: |\n  \xef\xbb\xbf", "{\"a\":\"\xef\xbb\xbf\"}"},
                        {"a: true", "{\"a\":true}"},
                        {"a: ~\nb:", "{\"a\":null,\"b\":null}"},
                        {"a: 2024-01-02", "{\"a\":\"2024-01-02\"}"},
                        {"- &x {k: 1}\n- *x", "[{\"k\":1},{\"k\":1}]"},
                        {"b: &b {k: 1, l: 2}\na:\n  <<: *b\n  k: 3",
                                        "{\"b\":{\"k\":1,\"l\":2},\"a\":{\"k\":3,\"l\":2}}"},
                        {"a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}"},
                        {"---\n---\na: 1\n---\n", "{\"a\":1}"},
                        {"", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *json = yaml_as_json(cases[i].yaml);
                /* a merge puts base keys first: compare as values */
                _cleanup_json_ json_t *a = *json ? json_loads(json, JSON_DECODE_ANY, NULL) : NULL;
                _cleanup_json_ json_t *b =
                                *cases[i].json ? json_loads(cases[i].json, JSON_DECODE_ANY, NULL)
                                               : NULL;

                if (a && b)
                        assert_true(json_equal(a, b));
                else
                        assert_string_equal(json, cases[i].json);
        }
}

static void test_yaml_refusals(void **state) {
        static const struct {
                const char *yaml, *why;
        } cases[] = {
                        {"a: 1\nb: 2\na: 3", "line 3 column 1: key \"a\" is given twice"},
                        {"a: [1", "line "},
                        {"a: *x", "line 1 column 4: the alias names no anchor before it"},
                        {"? [a]\n: b", "line 1 column 3: keys must be plain texts"},
                        {"~: b", "line 1 column 1: null is not a valid key"},
                        {"y: 1\nyes: 2", "line 2 column 1: key \"true\" is given twice"},
                        {"a: !ruby/object x", "line 1 column 4: tags other"},
                        {"a: \"x\\0y\"", "line 1 column 4: the text holds a NUL"},
                        {"\ta: 1", "line 1"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *why = yaml_as_json(cases[i].yaml);

                assert_non_null(strstr(why, cases[i].why));
        }
}

static void test_yaml_bomb(void **state) {
        static const char bomb[] =
                        "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c "
                        "[*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e "
                        "[*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e]\n";
        _cleanup_free_ char *why = yaml_as_json(bomb);

        assert_non_null(strstr(why, "aliases expand to too much"));
}

static void test_yaml_lines(void **state) {
        static const char text[] = "# first\n---\nkind: A\nspec:\n  list:\n  - name: x\n    image: "
                                   "y\n  - name: z\n";
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(yaml_parse(text, strlen(text), &docs, &p), 0);
        assert_int_equal(docs.count, 1);
        assert_int_equal(docs.items[0].line, 3);
        assert_int_equal(yaml_line_of(&docs.items[0], "spec.list[0].image"), 7);
        assert_int_equal(yaml_line_of(&docs.items[0], "spec.list[1].absent.deep"), 8);
        assert_int_equal(yaml_line_of(&docs.items[0], "nothing"), 3);
}

static void test_yaml_round_trip(void **state) {
        static const char *const texts[] = {"plain", "", "yes", "1", "0x1f", "null", "a: b", "# no",
                        "two\nlines\n", "trailing \nblank", " lead", "- dash", "\ttab", "1.5",
                        "true", "2024-01-02T03:04:05Z", "\"quoted\"", "gr\xc3\xbc\xc3\x9f"};

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_json_ json_t *v = json_pack("{s:s, s:[s, i, b, n, {}, []]}", "k", texts[i],
                                "l", texts[i], 7, 1);
                _cleanup_json_ json_t *back = NULL;
                _cleanup_free_ char *yaml = yaml_text(v), *json = NULL;

                assert_non_null(yaml);
                json = yaml_as_json(yaml);
                back = json_loads(json, 0, NULL);
                if (!json_equal(v, back))
                        print_error("%s -> %s\n", yaml, json);
                assert_true(json_equal(v, back));
        }
}

/* What the tree of labels gives, their text gives, and no bit rules out what matches. */
static void check_label_text(const struct label_selector *s, const json_t *labels) {
        _cleanup_free_ char *text = labels ? json_text(labels) : NULL;
        size_t n = strlen(strempty(text));
        bool matches = label_selector_matches(s, labels);
        uint64_t need = label_selector_bits(s);

        assert_int_equal(label_selector_matches_text(s, text, n), matches);
        assert_true(!matches || (label_text_bits(text, n) & need) == need);
}

/* Selectors of every form beside labels of every form. */
static void test_label_texts(void **state) {
        static const char *const selectors[] = {"", "a", "!a", "a=", "a=1", "a!=1", "a in (1,2)",
                        "a in ()", "a notin (1,2)", "a>1", "a<5", "a=1,b=2", "a,!b", "x/a=1",
                        "aa=1", "a=1,b!=2,c"},
                                 *const texts[] = {NULL, "{}", "{\"a\":\"1\"}", "{\"a\":\"\"}",
                                                 "{\"b\":\"2\",\"a\":\"1\",\"c\":\"\"}",
                                                 "{\"aa\":\"1\"}", "{\"a\":\"2\",\"x/a\":\"1\"}",
                                                 "{\"a\":\"7\",\"b\":\"a\"}", "{\"b\":\"a\"}"};
        static const char *const odd[] = {"{\"a\":\"\\u0031\"}", "{\"\\u0061\":\"1\"}", "{\"a\":1}",
                        "{\"a\":null,\"b\":\"2\"}"};

        for (size_t i = 0; i < ELEMENTS(selectors); i++) {
                _cleanup_(label_selector_freep) struct label_selector *s = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(label_selector_parse(selectors[i], &s, &p), 0);
                for (size_t k = 0; k < ELEMENTS(texts); k++) {
                        _cleanup_json_ json_t *labels =
                                        texts[k] ? json_loads(texts[k], 0, NULL) : NULL;

                        check_label_text(s, labels);
                }
        }
        for (size_t i = 0; i < ELEMENTS(odd); i++) /* nothing is ruled out there */
                assert_int_equal(label_text_bits(odd[i], strlen(odd[i])), UINT64_MAX);
}

static void test_label_selectors(void **state) {
        static const struct {
                const char *selector;
                bool matches;
        } cases[] = {
                        {"", true},
                        {"a=1", true},
                        {"a==2", false},
                        {"a!=2,b", true},
                        {"c!=x", true},
                        {"a in (1, 2)", true},
                        {"a notin (1,2)", false},
                        {"!c", true},
                        {"!a", false},
                        {"n>4", true},
                        {"n<4", false},
                        {"in=x", false},
                        {" a = 1 , b in (2) ", true},
        };
        static const char *const bad[] = {"a=1,,b", "a in 1", "a in (1", "=1", "a ~ 1", "a>x",
                        "a b", "a,", "a-", "a=-x", "a!=x-", "!/a", "!a/", "a/b/c", "A/b", "a..b/c",
                        "-a", "a in (1,-)",
                        "a123456789012345678901234567890123456789012345678901234567890123"};
        _cleanup_json_ json_t *labels = parse("{\"a\":\"1\",\"b\":\"2\",\"n\":\"5\"}");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(label_selector_freep) struct label_selector *s = NULL, *again = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *text = NULL;

                assert_int_equal(label_selector_parse(cases[i].selector, &s, &p), 0);
                assert_int_equal(label_selector_matches(s, labels), cases[i].matches);
                check_label_text(s, labels);
                text = label_selector_text(s);
                assert_int_equal(label_selector_parse(text, &again, &p), 0);
                assert_int_equal(label_selector_matches(again, labels), cases[i].matches);
        }
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                struct label_selector *s = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(label_selector_parse(bad[i], &s, &p), -EINVAL);
                assert_int_equal(p.code, 400);
                assert_non_null(strstr(p.message, "unable to parse requirement"));
        }
}

static void test_label_selector_objects(void **state) {
        _cleanup_json_ json_t *v = parse("{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{"
                                         "\"key\":\"b\",\"operator\":\"In\",\"values\":[\"2\"]}]}");
        _cleanup_json_ json_t *labels = parse("{\"a\":\"1\",\"b\":\"2\"}"), *empty = json_object();
        _cleanup_(label_selector_freep) struct label_selector *s = NULL, *none = NULL, *all = NULL,
                                                              *map = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(label_selector_from_json(v, &s, &p), 0);
        assert_true(label_selector_matches(s, labels));
        assert_false(label_selector_matches(s, empty));
        assert_int_equal(label_selector_from_json(NULL, &none, &p), 0);
        assert_false(label_selector_matches(none, labels));
        assert_int_equal(label_selector_from_json(empty, &all, &p), 0);
        assert_true(label_selector_matches(all, labels));
        assert_int_equal(label_selector_from_map(empty, &map), 0);
        assert_false(label_selector_matches(map, labels));
}

static void test_field_selectors(void **state) {
        _cleanup_json_ json_t *o =
                        parse("{\"metadata\":{\"name\":\"a,b\"},\"spec\":{\"x\":true},\"status\":{"
                              "\"podIPs\":[{\"ip\":\"10.0.0.1\"}],\"n\":2}}");
        static const struct {
                const char *selector;
                bool matches;
        } cases[] = {
                        {"metadata.name=a\\,b", true},
                        {"metadata.name!=a\\,b", false},
                        {"spec.x=true,status.n==2", true},
                        {"spec.nodeName=", true},
                        {"spec.unschedulable=false", true},
                        {"spec.nodeName!=", false},
                        {"status.podIPs=10.0.0.1", true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(field_selector_freep) struct field_selector *s = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(field_selector_parse(cases[i].selector, &s, &p), 0);
                assert_int_equal(field_selector_matches(s, o), cases[i].matches);
        }
        _cleanup_problem_ struct problem p = {0};
        struct field_selector *s = NULL;
        assert_int_equal(field_selector_parse("noequals", &s, &p), -EINVAL);
}

static void test_quantities(void **state) {
        static const struct {
                const char *text;
                int64_t milli;
                const char *canonical;
        } cases[] = {
                        {"1000m", 1000, "1"},
                        {"0.5", 500, "500m"},
                        {"1024Mi", 1073741824000, "1Gi"},
                        {"1e3", 1000000, "1e3"},
                        {"100k", 100000000, "100k"},
                        {"0", 0, "0"},
                        {"1.5Gi", 1610612736000, "1536Mi"},
                        {"0.1m", 1, "100u"},
                        {"-2", -2000, "-2"},
                        {"500Ki", 512000000, "500Ki"},
                        {"5.", 5000, "5"},
                        {"007", 7000, "7"},
        };
        static const char *const bad[] = {"", "m", "1x", "1.2.3", "0x10", "1 Gi",
                        "99999999999999999999999999999999999999999"};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *canonical = NULL;
                int64_t v;

                assert_int_equal(quantity_parse_str_milli(cases[i].text, &v), 0);
                assert_int_equal(v, cases[i].milli);
                assert_int_equal(quantity_canonical(cases[i].text, &canonical), 0);
                assert_string_equal(canonical, cases[i].canonical);
        }
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                int64_t v;

                assert_true(quantity_parse_str_milli(bad[i], &v) < 0);
        }
}

static void test_quantity_sums(void **state) {
        static const struct {
                const char *a, *b, *sum, *difference;
        } cases[] = {
                        {"1", "2", "3", "-1"},
                        {"600m", "400m", "1", "200m"},
                        {"100m", "1500m", "1600m", "-1400m"},
                        {"512Mi", "512Mi", "1Gi", "0"},
                        {"1Gi", "1", "1073741825", "1073741823"},
                        {"1Gi", "100m", "1073741824100m", "1073741823900m"},
                        {"512M", "512M", "1024M", "0"},
                        {"1M", "1Ki", "1001024", "998976"},
                        {"0", "1Ki", "1Ki", "-1Ki"},
                        {"1e3", "2e3", "3e3", "-1e3"},
                        /* more than 64 bits of thousandths hold */
                        {"9Ei", "9Ei", "18Ei", "0"},
                        {"10E", "10E", "20E", "0"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *a = json_string(cases[i].a), *b = json_string(cases[i].b);
                _cleanup_free_ char *plus = NULL, *minus = NULL;
                struct quantity sum = {0}, difference = {0}, q;

                assert_int_equal(quantity_read(a, &q), 0);
                quantity_add(&sum, q, 1);
                quantity_add(&difference, q, 1);
                assert_int_equal(quantity_read(b, &q), 0);
                quantity_add(&sum, q, 1);
                quantity_add(&difference, q, -1);
                plus = quantity_write(sum);
                minus = quantity_write(difference);
                assert_string_equal(plus, cases[i].sum);
                assert_string_equal(minus, cases[i].difference);
        }
        _cleanup_json_ json_t *bad = json_true(), *huge = json_string("1e30");
        struct quantity q;

        assert_int_equal(quantity_read(bad, &q), -EINVAL);
        assert_int_equal(quantity_read(huge, &q), -ERANGE);
}

static void test_quantity_compare(void **state) {
        static const struct {
                const char *a, *b;
                int order;
        } cases[] = {
                        {"1", "1000m", 0},
                        {"1Ki", "1024", 0},
                        {"999m", "1", -1},
                        {"2.5E", "1000P", 1}, /* beyond what thousandths hold */
                        {"1000P", "1E", 0},
                        {"1024Pi", "1Ei", 0},
                        {"-1", "0", -1},
                        {"10E", "9E", 1},
                        {"5.", "+005", 0},
        };
        _cleanup_json_ json_t *bad = json_string("x"), *one = json_integer(1);
        int order;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *a = json_string(cases[i].a), *b = json_string(cases[i].b);

                assert_int_equal(quantity_compare(a, b, &order), 0);
                assert_int_equal(order, cases[i].order);
                assert_int_equal(quantity_compare(b, a, &order), 0);
                assert_int_equal(order, -cases[i].order);
        }
        assert_int_equal(quantity_compare(one, NULL, &order), 0);
        assert_int_equal(order, 1);
        assert_int_equal(quantity_compare(bad, one, &order), -EINVAL);
}

static void test_problem_status(void **state) {
        _cleanup_problem_ struct problem p = {0}, q = {0};
        _cleanup_json_ json_t *status = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(problem_set(&p, EINVAL, 422, "Invalid", "bad %s", "thing"), -EINVAL);
        problem_cause(&p, "FieldValueInvalid", "spec.replicas", "no");
        status = problem_to_status(&p, "web", "apps", "Deployment");
        assert_string_equal(json_str(status, "reason"), "Invalid");
        assert_string_equal(json_str(status, "details.kind"), "Deployment");
        text = json_text(status);
        problem_from_status(&q, 422, text, strlen(text));
        assert_string_equal(q.message, "bad thing");
        assert_string_equal(q.field, "spec.replicas");
        problem_from_status(&q, 502, "<html>", 6);
        assert_non_null(strstr(q.message, "502"));
        /* no text, and cut within a character */
        problem_from_status(&q, 500, "\xff\xe9t\xc3", 4);
        assert_string_equal(q.message, "the server answered with HTTP status 500: t");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_json_paths),
                        cmocka_unit_test(test_json_refusals),
                        cmocka_unit_test(test_yaml_values),
                        cmocka_unit_test(test_yaml_refusals),
                        cmocka_unit_test(test_yaml_bomb),
                        cmocka_unit_test(test_yaml_lines),
                        cmocka_unit_test(test_yaml_round_trip),
                        cmocka_unit_test(test_label_selectors),
                        cmocka_unit_test(test_label_texts),
                        cmocka_unit_test(test_label_selector_objects),
                        cmocka_unit_test(test_field_selectors),
                        cmocka_unit_test(test_quantities),
                        cmocka_unit_test(test_quantity_sums),
                        cmocka_unit_test(test_quantity_compare),
                        cmocka_unit_test(test_problem_status),
        };

        return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
