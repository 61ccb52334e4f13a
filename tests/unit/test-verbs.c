/* The pure parts of kctl's verbs: merge patches, parts of generated objects, forms of output,
 * sorting, words of verbs. */
#include "tests/unit/unit.h"

#include "kctl/change.h"
#include "kctl/create/create.h"
#include "kctl/formats.h"
#include "kctl/kctl.h"

/* The verbs' table is main.c's; the search for one needs some. */
static int no_verb(struct kctl *k) {
        return 0;
}
const struct verb verbs[] = {{"create", "", "s", NULL, no_verb, NULL},
                {"create secret tls", "", "s", NULL, no_verb, NULL},
                {"create service clusterip", "", "s", NULL, no_verb, NULL},
                {"set image", "", "s", NULL, no_verb, NULL}, {NULL}};

struct api_client *kctl_client(struct kctl *k) {
        return NULL;
}

const char *kctl_namespace(struct kctl *k) {
        return "default";
}

int kctl_fail(const struct problem *p) {
        return EXIT_ERROR;
}

int kctl_error(const char *fmt, ...) {
        return EXIT_ERROR;
}

int kctl_usage(struct kctl *k, const char *fmt, ...) {
        return EXIT_USAGE;
}

static json_t *json_of(const char *text) {
        json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

        assert_non_null(v);
        return v;
}

static void assert_json(const json_t *got, const char *want) {
        _cleanup_json_ json_t *expected = json_of(want);

        if (!json_same(got, expected)) {
                _cleanup_free_ char *text = json_text(got);

                fail_msg("got %s, want %s", text, want);
        }
}

/* RFC 7386, appendix A, and back: the difference of two documents makes one of the other. */
static void test_merge(void **state) {
        static const struct {
                const char *old, *patch, *new;
        } cases[] = {{"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
                        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
                        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
                        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
                        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
                        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
                                        "{\"a\":{\"b\":\"d\"}}"},
                        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
                        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *old = json_of(cases[i].old),
                                      *patch = json_of(cases[i].patch),
                                      *new = merge_apply(old, patch),
                                      *difference = merge_difference(old, new),
                                      *again = merge_apply(old, difference);

                assert_json(new, cases[i].new);
                assert_true(json_same(new, again));
        }
}

/* An edit is sent only when what it replaces is as it was. */
static void test_merge_is_current(void **state) {
        _cleanup_json_ json_t
                        *old = json_of("{\"spec\":{\"n\":1,\"l\":[1]},\"status\":{\"x\":1}}"),
                        *other = json_of("{\"spec\":{\"n\":1,\"l\":[1]},\"status\":{\"x\":2}}"),
                        *list = json_of("{\"spec\":{\"n\":1,\"l\":[2]},\"status\":{\"x\":1}}"),
                        *n = json_of("{\"spec\":{\"n\":2}}"),
                        *l = json_of("{\"spec\":{\"l\":[1,3]}}"),
                        *fresh = json_of("{\"spec\":{\"new\":true}}");

        assert_true(merge_is_current(n, old, other));
        assert_true(merge_is_current(n, old, list));
        assert_true(merge_is_current(l, old, other));
        assert_false(merge_is_current(l, old, list));
        assert_true(merge_is_current(fresh, old, list));
        assert_false(merge_is_current(fresh, old, fresh));
}

static void assert_selector(const char *text, const char *want) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;

        assert_int_equal(label_selector_json(text, &v, &p), 0);
        assert_json(v, want);
}

static void test_selector(void **state) {
        _cleanup_problem_ struct problem p = {0};
        json_t *v = NULL;

        assert_selector("app=web,tier==front",
                        "{\"matchLabels\":{\"app\":\"web\",\"tier\":\"front\"}}");
        assert_selector("a in (x,y),!b,c",
                        "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"x\","
                        "\"y\"]},{\"key\":\"b\",\"operator\":\"DoesNotExist\"},{\"key\":\"c\","
                        "\"operator\":\"Exists\"}]}");
        assert_selector("a!=x", "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\","
                                "\"values\":[\"x\"]}]}");
        assert_int_equal(label_selector_json("a=,=b", &v, &p), -EINVAL);
        assert_int_equal(p.code, 0);
}

static void test_parts(void **state) {
        static const struct {
                const char *image, *name;
        } images[] = {{"host", "host"}, {"web:1", "web"}, {"r.example:5000/a/web", "web"},
                        {"a/web@sha256:00", "web"}, {"/srv/my_image.raw", "my-image-raw"}};
        char *const pairs[] = {(char *)"a=b=c", (char *)"d=", NULL};
        char *const bad[] = {(char *)"=b", NULL};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *map = json_object(), *number = number_or_text("80"),
                              *text = number_or_text("50%");

        for (size_t i = 0; i < ELEMENTS(images); i++) {
                _cleanup_free_ char *name = image_container_name(images[i].image);

                assert_string_equal(name, images[i].name);
        }
        assert_int_equal(pairs_read(pairs, "--x", map, &p), 0);
        assert_json(map, "{\"a\":\"b=c\",\"d\":\"\"}");
        assert_int_equal(pairs_read(bad, "--x", map, &p), -EINVAL);
        assert_true(json_is_integer(number));
        assert_true(json_is_string(text));
}

/* What kubectl 1.32 makes of the same. */
static void test_hash(void **state) {
        static const struct {
                const char *object, *name;
        } cases[] = {{"{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"hashed\"}}",
                                     "hashed-47gf8288c4"},
                        {"{\"kind\":\"Secret\",\"metadata\":{\"name\":\"hashed\"},\"data\":{\"k\":"
                         "\"dg==\"}}",
                                        "hashed-btd4kb2hkm"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *o = json_of(cases[i].object);

                assert_int_equal(append_hash(o, &p), 0);
                assert_string_equal(json_str(o, "metadata.name"), cases[i].name);
        }
}

static void test_formats(void **state) {
        static const struct {
                const char *text;
                enum format format;
                const char *template;
        } cases[] = {{NULL, FORMAT_TABLE, NULL}, {"wide", FORMAT_TABLE, ""},
                        {"jsonpath={.a}", FORMAT_JSONPATH, "{.a}"},
                        {"jsonpath-file=x", FORMAT_JSONPATH_FILE, "x"},
                        {"custom-columns=A:.a", FORMAT_COLUMNS, "A:.a"},
                        {"jsonpath", FORMAT_UNKNOWN, NULL}, {"yamlx", FORMAT_UNKNOWN, NULL}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *template = NULL;

                assert_int_equal(format_parse(cases[i].text, &template), cases[i].format);
                if (cases[i].template)
                        assert_string_equal(template, cases[i].template);
        }
}

static void assert_sorted(const char *list, const char *path, const char *want) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = json_of(list);

        assert_int_equal(sort_by_path(v, NULL, path, &p), 0);
        assert_json(v, want);
}

static void test_sort(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = json_array();

        assert_sorted("[{\"n\":10},{\"n\":9},{}]", ".n", "[{},{\"n\":9},{\"n\":10}]");
        assert_sorted("[{\"m\":\"1Gi\"},{\"m\":\"900Mi\"}]", "{.m}",
                        "[{\"m\":\"900Mi\"},{\"m\":\"1Gi\"}]");
        assert_sorted("[{\"s\":\"b\"},{\"s\":\"a\"}]", ".s", "[{\"s\":\"a\"},{\"s\":\"b\"}]");
        assert_true(sort_by_path(v, NULL, ".a[", &p) < 0);
}

/* Searches the verb of a line of words; the rest of the words stays. */
static const char *found(const char *line, const char *rest) {
        _cleanup_strv_free_ char **argv = NULL;
        const struct verb *v;
        const char *word;
        int argc;

        assert_int_equal(strv_split(line, " ", &argv), 0);
        argc = (int)strv_length(argv);
        char **before = calloc((size_t)argc + 1, sizeof(*before));
        memcpy(before, argv, sizeof(*argv) * (size_t)(argc + 1));
        v = verb_find(&argc, argv, &word);
        if (v && rest)
                assert_string_equal(argv[1] ? argv[1] : "", rest);
        memcpy(argv, before, sizeof(*argv) * (strv_length(before) + 1));
        free(before);
        return v ? v->name : "";
}

static void test_verbs(void **state) {
        assert_string_equal(found("kctl create secret tls x", "x"), "create secret tls");
        assert_string_equal(found("kctl create svc clusterip x", "x"), "create service clusterip");
        assert_string_equal(found("kctl create -f x", "-f"), "create");
        assert_string_equal(found("kctl -n a set image x", "-n"), "set image");
        assert_string_equal(found("kctl --as jane -v 6 create secret tls y", "--as"),
                        "create secret tls");
        assert_string_equal(found("kctl set", NULL), "");
        assert_string_equal(found("kctl", NULL), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_merge),
                        cmocka_unit_test(test_merge_is_current), cmocka_unit_test(test_selector),
                        cmocka_unit_test(test_parts), cmocka_unit_test(test_hash),
                        cmocka_unit_test(test_formats), cmocka_unit_test(test_sort),
                        cmocka_unit_test(test_verbs)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
