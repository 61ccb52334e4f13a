/* The small pure parts of a pod's images: the pull policy, the documents of imagePullSecrets, what
 * the Node reports. */
#include "tests/unit/unit.h"

#include "lib/buf.h"
#include "lib/crypto.h"
#include "nodeagent/image-care.h"
#include "nodeagent/plan/image.h"
#include "nodeagent/runtime/images.h"

static void test_policy(void **state) {
        static const struct {
                const char *image, *own, *policy;
        } cases[] = {
                        {"nginx", NULL, "Always"},
                        {"nginx:latest", NULL, "Always"},
                        {"nginx:1.27", NULL, "IfNotPresent"},
                        {"localhost:5000/nginx", NULL, "Always"},
                        {"nginx@sha256:"
                         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                                        NULL, "IfNotPresent"},
                        {"nginx", "Never", "Never"},
                        {"nginx:1", "Always", "Always"},
                        {"host", NULL, "IfNotPresent"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *container = json_pack("{s:s, s:s, s:s*}", "name", "c",
                                                      "image", cases[i].image, "imagePullPolicy",
                                                      cases[i].own),
                                      *image = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(image_resolve(container, &image, &p), 0);
                assert_string_equal(image_pull_policy(image, container), cases[i].policy);
        }
}

static json_t *secret(const char *key, const char *text) {
        _cleanup_free_ char *base64 = base64_encode(text, strlen(text));

        return json_pack("{s:{s:s}}", "data", key, base64);
}

static void test_credentials(void **state) {
        _cleanup_json_ json_t *pod = json_pack("{s:{s:[{s:s}, {s:s}, {s:s}, {s:s}]}}", "spec",
                                              "imagePullSecrets", "name", "new", "name", "old",
                                              "name", "none", "name", "bad"),
                              *resources = json_pack("{s:{s:o, s:o, s:o}}", "secrets", "new",
                                              secret(".dockerconfigjson", "{\"auths\":{\"a\":{}}}"),
                                              "old", secret(".dockercfg", "{\"b\":{}}"), "bad",
                                              secret(".dockerconfigjson", "{")),
                              *documents = NULL, *without = json_object(), *none = NULL;
        _cleanup_free_ char *missing = NULL, *text = NULL, *nothing = NULL;

        assert_int_equal(pod_pull_credentials(pod, resources, &documents, &missing), 0);
        text = json_text(documents);
        assert_string_equal(text, "[{\"auths\":{\"a\":{}}},{\"b\":{}}]");
        assert_string_equal(missing, "none, bad");
        assert_int_equal(pod_pull_credentials(without, resources, &none, &nothing), 0);
        assert_int_equal(json_array_size(none), 0);
        assert_null(nothing);
}

/* Optional: a pod starts although a Secret for its images is missing. */
static void test_references(void **state) {
        _cleanup_json_ json_t *pod = json_pack("{s:{s:[{s:s}, {s:s}], s:[{s:[{s:{s:s}}]}]}}",
                                              "spec", "imagePullSecrets", "name", "a", "name", "b",
                                              "containers", "envFrom", "secretRef", "name", "b"),
                              *references = pod_references(pod);

        assert_true(json_is_true(json_at(references, "secrets.a")));
        assert_true(json_is_false(json_at(references, "secrets.b")));
}

static void test_node_images(void **state) {
        _cleanup_json_ json_t *records = json_array(), *images = NULL;
        _cleanup_free_ char *text = NULL;

        for (int i = 0; i < 60; i++)
                json_array_append_new(
                                records, json_pack("{s:o, s:i, s:[]}", "id", json_sprintf("%d", i),
                                                         "size", i == 7 ? 5000 : i, "names"));
        json_array_append_new(records,
                        json_pack("{s:s, s:i, s:[s, s, s, s, s, s]}", "id", "x", "size", 9000,
                                        "names", "a:1", "a@d", "a:2", "a:3", "a:4", "a:5"));
        images = node_images(records);
        assert_int_equal(json_array_size(images), 50);
        text = json_text(json_array_get(images, 0));
        assert_string_equal(text,
                        "{\"names\":[\"a@d\",\"a:1\",\"a:2\",\"a:3\",\"a:4\"],\"sizeBytes\":9000}");
        assert_int_equal(json_int_or(json_array_get(images, 1), "sizeBytes", 0), 5000);
        assert_int_equal(json_int_or(json_array_get(images, 2), "sizeBytes", 0), 59);
}

/* $(NAME) sees the pod's variables and not the image's. */
static void test_variables(void **state) {
        _cleanup_json_ json_t *image = json_pack("{s:s, s:{s:[s, s]}, s:{s:s}}", "root", "oci",
                                              "config", "Env", "A=1", "PATH=/x", "user", "home",
                                              "/home/a"),
                              *lines = NULL, *host = json_pack("{s:s}", "root", "host"),
                              *none = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(image_variables(image, &lines), 0);
        text = json_text(lines);
        assert_string_equal(text, "[\"HOME=/home/a\",\"A=1\",\"PATH=/x\"]");
        assert_int_equal(image_variables(host, &none), 0);
        assert_int_equal(json_array_size(none), 0);
}

static void test_stop_signal(void **state) {
        static const struct {
                const char *text;
                int number;
        } cases[] = {{"SIGQUIT", 3}, {"QUIT", 3}, {"9", 9}, {"SIGRTMIN+3", 37}, {"SIGRTMIN", 34},
                        {"RTMIN+31", 0}, {"SIGNOTHING", 0}, {"0", 0}, {"65", 0}, {"", 0}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *properties = json_object(),
                                      *image = json_pack("{s:{s:s}}", "config", "StopSignal",
                                                      cases[i].text);

                assert_int_equal(image_stop_signal(image, /* container= */ NULL, properties), 0);
                assert_int_equal(json_int_or(properties, "KillSignal", 0), cases[i].number);
        }
        static const struct {
                const char *text;
                int number;
        } own[] = {{"SIGUSR1", 10}, {"SIGSTKFLT", 16}, {"SIGCLD", 17}, {"SIGPOLL", 29},
                        {"SIGIO", 29}, {"SIGSYS", 31}, {"SIGRTMIN+15", 49}, {"SIGRTMAX", 64},
                        {"SIGRTMAX-14", 50}};

        for (size_t i = 0; i < ELEMENTS(own); i++) {
                _cleanup_json_ json_t *properties = json_object(),
                                      *image = json_pack("{s:{s:s}}", "config", "StopSignal",
                                                      "SIGQUIT"),
                                      *container = json_pack("{s:{s:s}}", "lifecycle",
                                                      "stopSignal", own[i].text);

                assert_int_equal(image_stop_signal(image, container, properties), 0);
                assert_int_equal(json_int_or(properties, "KillSignal", 0), own[i].number);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_policy),
                        cmocka_unit_test(test_credentials), cmocka_unit_test(test_references),
                        cmocka_unit_test(test_node_images), cmocka_unit_test(test_variables),
                        cmocka_unit_test(test_stop_signal)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
