/* JSONPath: paths as printer columns use them, templates as kctl's users write them. */
#include "tests/unit/unit.h"

#include "lib/buf.h"
#include "lib/jsonpath.h"

static bool collect(const json_t *value, void *userdata) {
        struct buf *b = userdata;
        _cleanup_free_ char *text = json_text(value);

        buf_printf(b, "%s%s", b->size > 0 ? " " : "", text);
        return true;
}

static const char object_text[] =
                "{'a':{'b':[1,'two',{'c':true}],'x.y':'dot','q]':7},'f':1.5,"
                "'conditions':[{'type':'Ready','status':'True','n':1},{'type':'Other','n':2,"
                "'deep':{'x':'y'}},{'n':'2'}]}";

static json_t *object(void) {
        char text[sizeof(object_text)];

        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (char)(object_text[i] == '\'' ? '"' : object_text[i]);
        return json_loads(text, 0, NULL);
}

static void test_paths(void **state) {
        static const struct {
                const char *path, *values;
        } cases[] = {
                        {".a.b[0]", "1"},
                        {"a.b[0]", "1"},
                        {"$.a.b[-2]", "\"two\""},
                        {"{.a.b[1]}", "\"two\""},
                        {".a.b[9]", ""},
                        {".a.b[*]", "1 \"two\" {\"c\":true}"},
                        {".a.b[]", "1"},
                        {".a.b[-1:]", "{\"c\":true}"},
                        {".a.b[0:2]", "1 \"two\""},
                        {".a.b[:-1]", "1 \"two\""},
                        {".a.b[::2]", "1 {\"c\":true}"},
                        {".a.b[-9:1]", "1"},
                        {".a.b[7:]", ""},
                        {".f[1:]", ""},
                        {".a.b.*", "1 \"two\" {\"c\":true}"},
                        {".a.*[2].c", "true"},
                        {".a['x.y']", "\"dot\""},
                        {".a[\"x.y\"]", "\"dot\""},
                        {".a['q]']", "7"},
                        {".a.x\\.y", "\"dot\""},
                        {".a.", "{\"b\":[1,\"two\",{\"c\":true}],\"x.y\":\"dot\",\"q]\":7}"},
                        {".f", "1.5"},
                        {".conditions[?(@.type==\"Ready\")].status", "\"True\""},
                        {".conditions[?(@.type=='Ready')].n", "1"},
                        {".conditions[?( @.type == Ready )].n", "1"},
                        {".conditions[?(@.type!='Ready')].n", "2"},
                        {".conditions[?(@.n==2)].n", "2 \"2\""},
                        {".conditions[?(@.n=='2')].n", "\"2\""},
                        {".conditions[?(@.status)].type", "\"Ready\""},
                        {".conditions[?(@.deep.x=='y')].type", "\"Other\""},
                        {".absent.deep[0]", ""},
                        {".f.g", ""},
        };
        _cleanup_json_ json_t *v = object();

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(jsonpath_freep) struct jsonpath *path = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_buf_ struct buf b = {0};

                assert_int_equal(jsonpath_parse(cases[i].path, &path, &p), 0);
                jsonpath_each(path, v, collect, &b);
                assert_string_equal(b.size > 0 ? b.data : "", cases[i].values);
        }
}

static void test_first(void **state) {
        _cleanup_(jsonpath_freep) struct jsonpath *path = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = object();

        assert_int_equal(jsonpath_parse(".conditions[*].n", &path, &p), 0);
        assert_int_equal(json_integer_value(jsonpath_first(path, v)), 1);
        assert_null(jsonpath_first(path, NULL));
}

static void test_refused(void **state) {
        static const char *const wrong[] = {".a[", ".a[x]", ".a['x", ".a..b", ".a[?(x)]",
                        ".a[?(@.b<1)]", ".a[?(@.b==1]", ".a[0]b", "{.a", "{.a}}", ".a b",
                        ".[?(@.x[?(@.y)])]"};
        _cleanup_buf_ struct buf deep = {0};
        struct jsonpath *path = NULL;

        for (size_t i = 0; i < ELEMENTS(wrong); i++) {
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(jsonpath_parse(wrong[i], &path, &p), -EINVAL);
                assert_non_null(strstr(p.message, "jsonpath"));
        }
        for (size_t i = 0; i < JSONPATH_STEPS_MAX + 10; i++)
                buf_append_str(&deep, ".a");
        _cleanup_problem_ struct problem p = {0};
        assert_int_equal(jsonpath_parse(deep.data, &path, &p), -EINVAL);
        assert_non_null(strstr(p.message, "too long"));
        for (size_t i = 0; i < JSONPATH_SIZE_MAX; i++)
                buf_append_char(&deep, 'a');
        assert_int_equal(jsonpath_parse(deep.data, &path, &p), -EINVAL);
}

static void test_templates(void **state) {
        static const char text[] = "{\"a\":{\"b\":[1,\"two\",{\"c\":true}],\"x.y/"
                                   "z\":\"dot\"},\"items\":[{\"n\":\"p\",\"t\":\"A\"},{\"n\":\"q\","
                                   "\"t\":\"B\"}],\"e\":[]}";
        static const struct {
                const char *template, *out;
        } cases[] = {
                        {"{.a.b[1]}", "two"},
                        {".a.b[0]", "1"},
                        {"{.a.b[-1].c}", "true"},
                        {"{.a.b[*]}", "1 two {\"c\":true}"},
                        {"{.a['x.y/z']}", "dot"},
                        {"{.a.x\\.y/z}", "dot"},
                        {"{.items[*].n}", "p q"},
                        {"{.items[?(@.t==\"B\")].n}", "q"},
                        {"{.items[?(@.t!=\"B\")].n}", "p"},
                        {"{range .items[*]}{.n}={.t}{\"\\n\"}{end}done", "p=A\nq=B\ndone"},
                        {"{range .e[*]}x{end}none", "none"},
                        {"{.absent.deep}", ""},
                        {"plain {$.a.b[1]} text", "plain two text"},
        };
        static const char *const wrong[] = {
                        "{.a", "{.a[}", "{end}", "{range .items[*]}x", "{.a.b[x]}", "{.a..b}"};
        _cleanup_json_ json_t *v = json_loads(text, 0, NULL);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *out = NULL;

                assert_int_equal(jsonpath_print(cases[i].template, v, &out, &p), 0);
                assert_string_equal(out, cases[i].out);
        }
        for (size_t i = 0; i < ELEMENTS(wrong); i++) {
                _cleanup_problem_ struct problem p = {0};
                char *out = NULL;

                assert_int_equal(jsonpath_print(wrong[i], v, &out, &p), -EINVAL);
                assert_non_null(strstr(p.message, "jsonpath"));
        }
}

static void test_template_text(void **state) {
        _cleanup_json_ json_t *v = object();
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *out = NULL, *nested = NULL;

        /* Braces in quotes end nothing. */
        assert_int_equal(jsonpath_print("{\"}\"}{.conditions[?(@.type==\"}\")].n}{'\\t'}", v, &out,
                                         &p),
                        0);
        assert_string_equal(out, "}\t");
        assert_int_equal(jsonpath_print("{range .conditions[*]}{.n}:{range .deep.*}{.}{end};{end}",
                                         v, &nested, &p),
                        0);
        assert_string_equal(nested, "1:;2:y;2:;");
}

/* A template may be longer than a path. */
static void test_long_words(void **state) {
        _cleanup_json_ json_t *v = object();
        static const size_t sizes[] = {4000, 8192, 8193, 10000, 60000};
        static const char *const shapes[][2] = {
                        {"{.", "}"}, {"{['", "']}"}, {"{.a[?(@.b=='", "')]}"}, {"{.", ""}};

        for (size_t i = 0; i < ELEMENTS(sizes); i++)
                for (size_t k = 0; k < ELEMENTS(shapes); k++) {
                        _cleanup_problem_ struct problem p = {0};
                        _cleanup_free_ char *word = calloc(1, sizes[i] + 1), *text = NULL,
                                            *out = NULL;
                        int r;

                        memset(word, 'a', sizes[i]);
                        text = strformat("%s%s%s", shapes[k][0], word, shapes[k][1]);
                        r = jsonpath_print(text, v, &out, &p);
                        assert_true(r == 0 || r == -EINVAL);
                        if (sizes[i] > 2 * 4096 + 1 || k == 3)
                                assert_int_equal(r, -EINVAL);
                }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_paths),
                        cmocka_unit_test(test_first),
                        cmocka_unit_test(test_refused),
                        cmocka_unit_test(test_templates),
                        cmocka_unit_test(test_template_text),
                        cmocka_unit_test(test_long_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
