/* Manifests in all the forms that people write: JSON, lists, Secrets in plain text, other programs'
 * files. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "reconcilers/gitsync/manifest.h"

static json_t *read_set(const char *name, const char *text, struct manifest_set *ret,
                struct problem *p, int want) {
        _cleanup_json_ json_t *files = json_pack("[{s:s, s:s}]", "name", name, "text", text);
        int r = manifest_set_read(files, &(struct manifest_owner){"sync", "flux"}, ret, p);

        if (r != want)
                print_error("%s\n", strempty(p->message));
        assert_int_equal(r, want);
        return ret->count > 0 ? ret->items[0].object : NULL;
}

static void test_json(void **state) {
        _cleanup_manifests_ struct manifest_set s = {0};
        _cleanup_problem_ struct problem p = {0};
        json_t *o = read_set("a.json",
                        "\xef\xbb\xbf{\n\t\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n"
                        "\t\"metadata\": {\"name\": \"a\\/b\"}}\n\n{\"apiVersion\": \"v1\","
                        "\"kind\":\"Pod\",\"metadata\":{\"name\":\"\\ud83d\\ude00\"}}",
                        &s, &p, 0);

        assert_int_equal(s.count, 2);
        assert_string_equal(object_name(o), "a/b");
        assert_string_equal(object_name(s.items[1].object), "\xf0\x9f\x98\x80");
        assert_int_equal(s.items[1].doc->line, 5);
        problem_set(&p, EINVAL, 422, "Invalid", "no");
        manifest_blame(&s.items[1], &p);
        assert_non_null(strstr(p.message, "a.json line 5"));
}

static void test_json_refusals(void **state) {
        static const struct {
                const char *name, *text, *why;
        } cases[] = {
                        {"a.json", "{\"a\": }", "a.json: line 1 column"},
                        {"a.json", "\n{\"a\": 1, \"a\": 2}", "duplicate"},
                        {"a.json", "{apiVersion: v1}", "a.json: line 1"},
                        {"a.json", "{\"a\": 1} x", "a.json: line 1"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_manifests_ struct manifest_set s = {0};
                _cleanup_problem_ struct problem p = {0};

                read_set(cases[i].name, cases[i].text, &s, &p, -EINVAL);
                assert_non_null(strstr(p.message, cases[i].why));
        }
}

/* A flow mapping is YAML, however much it looks like JSON. */
static void test_flow(void **state) {
        _cleanup_manifests_ struct manifest_set s = {0};
        _cleanup_problem_ struct problem p = {0};

        read_set("a.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", &s, &p, 0);
        assert_int_equal(s.count, 1);
}

static void test_lists(void **state) {
        _cleanup_manifests_ struct manifest_set s = {0}, t = {0};
        _cleanup_problem_ struct problem p = {0};

        read_set("a.yaml",
                        "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n"
                        "- apiVersion: v1\n  kind: Secret\n  metadata: {name: b}\n---\n"
                        "apiVersion: apps/v1\nkind: DeploymentList\nitems: [{metadata: {name: c}}]",
                        &s, &p, 0);
        assert_int_equal(s.count, 3);
        assert_string_equal(object_kind(s.items[0].object), "ConfigMap");
        assert_string_equal(object_kind(s.items[1].object), "Secret");
        assert_string_equal(object_api_version(s.items[2].object), "apps/v1");
        /* a custom kind of the same name */
        read_set("a.yaml", "apiVersion: x.org/v1\nkind: AllowList\nmetadata: {name: a}\nitems: [b]",
                        &t, &p, 0);
        assert_int_equal(t.count, 1);
        assert_string_equal(object_kind(t.items[0].object), "AllowList");
}

static void test_secret(void **state) {
        _cleanup_manifests_ struct manifest_set s = {0}, t = {0};
        _cleanup_problem_ struct problem p = {0};
        json_t *o = read_set("a.yaml",
                        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: b2xk, b: "
                        "Yg==}\n"
                        "stringData: {a: new, c: \"\"}",
                        &s, &p, 0);

        assert_null(json_object_get(o, "stringData"));
        assert_string_equal(json_str(o, "data.a"), "bmV3");
        assert_string_equal(json_str(o, "data.b"), "Yg==");
        assert_string_equal(json_str(o, "data.c"), "");
        read_set("a.yaml",
                        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  ok: x\n"
                        "  port: 80",
                        &t, &p, -EINVAL);
        assert_non_null(strstr(p.message, "a.yaml line 6: Secret \"a\": stringData.port"));
}

/* Files of other programs are named, not fatal; half an object is a mistake. */
static void test_ignored(void **state) {
        _cleanup_manifests_ struct manifest_set s = {0}, t = {0};
        _cleanup_problem_ struct problem p = {0};

        read_set("values.yaml", "replicas: 3\n---\n- a\n---\nhello\n", &s, &p, 0);
        assert_int_equal(s.count, 0);
        assert_int_equal(json_array_size(s.ignored), 3);
        assert_string_equal(json_string_value(json_array_get(s.ignored, 1)),
                        "values.yaml line 3 (no Kubernetes object: it has neither apiVersion nor "
                        "kind)");
        read_set("a.yaml", "kind: Pod\nmetadata: {name: a}", &t, &p, -EINVAL);
        assert_non_null(strstr(p.message, "apiVersion is missing"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_json),
                        cmocka_unit_test(test_json_refusals),
                        cmocka_unit_test(test_flow),
                        cmocka_unit_test(test_lists),
                        cmocka_unit_test(test_secret),
                        cmocka_unit_test(test_ignored),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
