/* What a living or a dead API server's endpoint of default/kubernetes should say. */
#include "tests/unit/unit.h"

#include "kapid/presence.h"

static json_t *slice(const char *conditions) {
        _cleanup_free_ char *text =
                        strformat("{\"metadata\":{\"name\":\"x\",\"resourceVersion\":"
                                  "\"7\"},\"endpoints\":[{\"addresses\":[\"10.0.0.1\"]%s}]}",
                                        conditions);
        json_t *v = NULL;

        assert_int_equal(json_parse(text, strlen(text), 0, &v, NULL), 0);
        return v;
}

static void check(const char *conditions, bool lives, int wanted) {
        _cleanup_json_ json_t *had = slice(conditions), *now = presence_correct(had, lives);

        if (wanted < 0) {
                assert_null(now);
                return;
        }
        assert_non_null(now);
        assert_int_equal(json_bool_or(json_array_get(json_object_get(now, "endpoints"), 0),
                                         "conditions.ready", !wanted),
                        wanted);
        assert_null(json_at(now, "metadata.resourceVersion"));
        /* The caches' object is not touched. */
        assert_non_null(json_at(had, "metadata.resourceVersion"));
}

static void test_correct(void **state) {
        check(",\"conditions\":{\"ready\":true}", true, -1);
        check(",\"conditions\":{\"ready\":true}", false, false);
        check(",\"conditions\":{\"ready\":false}", false, -1);
        check(",\"conditions\":{\"ready\":false}", true, true);
        check("", true, -1); /* unset is ready */
        check("", false, false);
}

static void test_name(void **state) {
        _cleanup_free_ char *four = presence_name("10.0.0.1"), *six = presence_name("fd00::1");

        assert_string_equal(four, "kubernetes-10-0-0-1");
        assert_string_equal(six, "kubernetes-fd00--1");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_correct),
                        cmocka_unit_test(test_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
