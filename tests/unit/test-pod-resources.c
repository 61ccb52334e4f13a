/* Amounts, quality classes and OOM scores of pods; tokens and watched objects. */
#include "tests/unit/unit.h"

#include "lib/pod-amounts.h"
#include "lib/object.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/status.h"

#define GIB (INT64_C(1) << 30)
#define S UINT64_C(1000000)

static json_t *pod(const char *spec) {
        json_t *v = NULL;

        assert_int_equal(json_parse(spec, strlen(spec), 0, &v, NULL), 0);
        return json_pack("{s:{s:s, s:s, s:s}, s:o}", "metadata", "namespace", "t", "name", "web",
                        "uid", "1-2", "spec", v);
}

#define FULL "'requests':{'cpu':'1','memory':'1Gi'},'limits':{'cpu':'1','memory':'1Gi'}"

/* Single quotes are easier to read. */
static json_t *quoted(const char *spec) {
        _cleanup_free_ char *text = strdup(spec);

        for (char *c = text; *c; c++)
                if (*c == '\'')
                        *c = '"';
        return pod(text);
}

static void test_scores(void **state) {
        static const struct {
                const char *spec, *class;
                int score; /* of the first container, on a machine with 4 GiB */
        } cases[] = {{"{'containers':[{}]}", "BestEffort", 1000},
                        {"{'containers':[{'resources':{" FULL "}}]}", "Guaranteed", -997},
                        {"{'containers':[{'resources':{" FULL "}},{}]}", "Burstable", 750},
                        {"{'containers':[{'resources':{'requests':{'memory':'1Gi'}}}]}",
                                        "Burstable", 750},
                        {"{'containers':[{'resources':{'requests':{'memory':'1'}}}]}", "Burstable",
                                        999},
                        {"{'containers':[{'resources':{'requests':{'memory':'4Gi'}}}]}",
                                        "Burstable", 3},
                        {"{'containers':[{'resources':{'requests':{'cpu':'1'}}}]}", "Burstable",
                                        999},
                        {"{'priority':2000001000,'containers':[{}]}", "BestEffort", -997},
                        /* The pod's own resources decide alone. */
                        {"{'resources':{" FULL "},'containers':[{}]}", "Guaranteed", -997},
                        {"{'resources':{'requests':{'memory':'2Gi'}},'containers':[{},{}]}",
                                        "Burstable", 750}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *p = quoted(cases[i].spec);
                const json_t *c = json_array_get(json_at(p, "spec.containers"), 0);

                assert_string_equal(pod_qos_class(json_at(p, "spec")), cases[i].class);
                assert_int_equal(pod_oom_score(p, c, 4 * GIB), cases[i].score);
        }
}

/* A sidecar lives as long as what it serves. */
static void test_sidecar_score(void **state) {
        _cleanup_json_ json_t *p =
                        quoted("{'initContainers':[{'restartPolicy':'Always'}],"
                               "'containers':[{'resources':{'requests':{'memory':'2Gi'}}},"
                               "{'resources':{'requests':{'memory':'1Gi'}}}]}");
        const json_t *c = json_array_get(json_at(p, "spec.initContainers"), 0);

        assert_int_equal(pod_oom_score(p, c, 4 * GIB), 750);
}

static void test_slices(void **state) {
        static const struct {
                const char *spec, *want;
        } cases[] = {{"{'containers':[{}]}", "{\"CPUWeight\":1}"},
                        {"{'containers':[{'resources':{" FULL "}},{}]}",
                                        "{\"CPUWeight\":100,\"MemoryLow\":1073741824}"},
                        {"{'containers':[{'resources':{" FULL "}}]}",
                                        "{\"CPUQuotaPerSecUSec\":1000000,\"CPUWeight\":100,"
                                        "\"MemoryLow\":1073741824,\"MemoryMax\":1073741824}"},
                        {"{'resources':{'limits':{'memory':'1Gi'}},'containers':[{},{}]}",
                                        "{\"CPUWeight\":1,\"MemoryMax\":1073741824}"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *p = quoted(cases[i].spec), *got = NULL;
                _cleanup_free_ char *text = NULL;

                assert_int_equal(pod_slice_resources(p, &got), 0);
                text = json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS);
                assert_string_equal(text, cases[i].want);
        }
}

static void test_tokens(void **state) {
        static const struct {
                uint64_t age_s, life_s;
                bool due;
        } cases[] = {{0, 600, false}, {479, 600, false}, {480, 600, true}, {9999, 600, true},
                        {86399, 1000000, false}, {86400, 1000000, true}};
        _cleanup_json_ json_t *answer = json_pack("{s:{s:s, s:s}}", "status", "token", "a.b.c",
                                              "expirationTimestamp", "1970-01-01T01:00:00Z"),
                              *entry = pod_token_entry(answer, 600 * S), *none = json_object(),
                              *p = quoted("{'serviceAccountName':'robot','containers':[],"
                                          "'volumes':[{'name':'v','projected':{'sources':["
                                          "{'serviceAccountToken':{'path':'t',"
                                          "'audience':'vault'}}]}}]}"),
                              *references = pod_references(p);
        const json_t *wanted = json_get(references, "tokens", "3600 vault", NULL);

        assert_string_equal(json_str(entry, "token"), "a.b.c");
        assert_false(pod_token_is_due(entry, 2999 * S));
        assert_true(pod_token_is_due(entry, 3000 * S));
        assert_true(pod_token_is_due(entry, 500 * S)); /* the clock went back */
        assert_true(pod_token_is_due(NULL, 1));
        assert_null(pod_token_entry(none, 1));
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *one = json_pack("{s:I, s:I}", "sinceUs", (json_int_t)S,
                                "endUs", (json_int_t)((1 + cases[i].life_s) * S));

                assert_int_equal(pod_token_is_due(one, (1 + cases[i].age_s) * S), cases[i].due);
        }
        assert_string_equal(json_str(wanted, "account"), "robot");
        assert_string_equal(json_str(wanted, "body.spec.boundObjectRef.uid"), "1-2");
        assert_int_equal(json_int_or(wanted, "body.spec.expirationSeconds", 0), 3600);
}

static void test_watched(void **state) {
        _cleanup_json_ json_t *p = quoted("{'containers':[{'envFrom':[{'configMapRef':"
                                          "{'name':'env'}}]}],'volumes':[{'name':'a','configMap':"
                                          "{'name':'one'}},{'name':'b','secret':{'secretName':"
                                          "'two'}},{'name':'c','projected':{'sources':[{'configMap'"
                                          ":{'name':'fixed'}},{'secret':{'name':'three'}}]}}]}"),
                              *resources = json_pack("{s:{s:{s:b}}}", "configmaps", "fixed",
                                              "immutable", 1),
                              *keys = pod_watched(p, resources);
        _cleanup_free_ char *text = json_dumps(keys, JSON_COMPACT | JSON_SORT_KEYS);

        assert_string_equal(text, "{\"configmaps/t/one\":true,\"secrets/t/three\":true,"
                                  "\"secrets/t/two\":true}");
}

/* A pod that runs keeps what was deleted, unless it is optional. */
static void test_kept(void **state) {
        _cleanup_json_ json_t *references = json_pack("{s:{s:b, s:b, s:b}}", "configmaps", "must",
                                              0, "may", 1, "new", 0),
                              *before = json_pack("{s:{s:{}, s:{}}}", "configmaps", "must", "may"),
                              *fresh = json_pack("{s:{}}", "configmaps"), *kept = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(pod_keep_objects(before, fresh, references, &kept), 0);
        text = json_dumps(kept, JSON_COMPACT);
        assert_string_equal(text, "{\"configmaps\":{\"must\":{}}}");
}

/* The end of the log may come after the end, or after the next start. */
static void test_late_words(void **state) {
        struct container_record c = {.name = strdup("c"),
                        .phase = CONTAINER_TERMINATED,
                        .exit_code = 1,
                        .invocation = "a"};
        const json_t *sent;

        container_record_words(&c, "b", "of another run");
        assert_null(c.message);
        container_record_words(&c, "a", "last words");
        assert_string_equal(c.message, "last words");
        container_record_words(&c, "a", "more");
        assert_string_equal(c.message, "last words");
        c.last = json_pack("{s:s}", "containerID", "systemd://z");
        sent = json_ref(c.last);
        container_record_words(&c, "z", "of the last run");
        assert_string_equal(json_str(c.last, "message"), "of the last run");
        assert_null(json_str(sent, "message")); /* what was reported before does not change */
        json_decref(json_unconst(sent));
        container_record_done(&c);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores),
                        cmocka_unit_test(test_sidecar_score), cmocka_unit_test(test_slices),
                        cmocka_unit_test(test_tokens), cmocka_unit_test(test_watched),
                        cmocka_unit_test(test_kept), cmocka_unit_test(test_late_words)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
