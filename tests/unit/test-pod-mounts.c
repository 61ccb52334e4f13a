/* What is hidden in /etc, and which mounts a plain user does without: pod_protect(), pod_lighten().
 */
#include "tests/unit/unit.h"

#include "lib/yaml.h"
#include "nodeagent/plan/plan.h"

static const struct pod_facts facts = {.run_dir = "/run/pod",
                .secret_dir = "/secret",
                .exec_program = "/kpod-exec",
                .etc_dir = "/view"};

static json_t *parse(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        assert_int_equal(docs.count, 1);
        return json_incref(json_unconst(docs.items[0].value));
}

static bool has_word(const json_t *list, const char *word) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq_ptr(json_string_value(v), word))
                        return true;
        return false;
}

static const char *source_at(const json_t *properties, const char *key, const char *target) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_object_get(properties, key), i, m)
                if (streq_ptr(json_string_value(json_array_get(m, 1)), target))
                        return json_string_value(json_array_get(m, 0));
        return NULL;
}

/* Either /etc is the view, or each file in it is hidden. */
static void test_hidden_in_etc(void **state) {
        static const struct {
                const char *properties;
                bool has_view, view, hidden;
        } cases[] = {{"{}", true, true, false}, {"{}", false, false, true},
                        {"{RootDirectory: /x}", true, false, true},
                        {"{RootImage: /x}", true, false, true},
                        {"{BindPaths: [[/mine, /etc]]}", true, false, true},
                        {"{BindReadOnlyPaths: [[/mine, /etc]]}", true, false, true},
                        {"{TemporaryFileSystem: [[/etc, mode=0755]]}", true, false, true},
                        {"{BindReadOnlyPaths: [[/mine, /etc/ssl]]}", true, true, false},
                        /* A folder of a user does not look like the agent's copy. */
                        {"{BindReadOnlyPaths: [[/run/pod/points/c/etc, /etc]]}", true, false, true},
                        {"{BindReadOnlyPaths: [[/run/pod/points/c/etc, /etc, optional]]}", true,
                                        false, true},
                        {"{BindReadOnlyPaths: [[/run/pod/points/c/etc, /etc, masked]]}", true,
                                        false, false}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *properties = parse(cases[i].properties),
                                      *container = parse("{name: c}"), *volumes = json_array();
                struct pod_facts f = facts;
                const json_t *hidden;
                bool view;

                if (!cases[i].has_view)
                        f.etc_dir = NULL;
                assert_true(pod_protect(container, volumes, &f, properties) >= 0);
                hidden = json_object_get(properties, "InaccessiblePaths");
                view = streq_ptr(source_at(properties, "BindPaths", "/etc"), "/view");
                if (view != cases[i].view || has_word(hidden, "-/etc/shadow") != cases[i].hidden ||
                                has_word(hidden, "-/etc/ssl/private") != cases[i].hidden)
                        fail_msg("case %zu", i);
                assert_true(has_word(hidden, "-/root/.ssh") && has_word(hidden, "-/run/keelson"));
        }
}

/* What a host folder shows is hidden where it is mounted, also beside the view. */
static void test_hidden_in_volume(void **state) {
        _cleanup_json_ json_t *properties = json_object(),
                              *container = parse("{name: c, volumeMounts: [{name: v, "
                                                 "mountPath: /mnt}]}"),
                              *volumes = parse("[{name: v, type: host, path: /etc}]");

        assert_true(pod_protect(container, volumes, &facts, properties) >= 0);
        assert_true(has_word(json_object_get(properties, "InaccessiblePaths"), "-/mnt/shadow"));
        assert_string_equal(source_at(properties, "BindPaths", "/etc"), "/view");
}

#define PLAIN \
        "CapabilityBoundingSet: [], User: kp-1, ProtectKernelTunables: true, " \
        "ProtectControlGroups: true, ProtectKernelModules: true, ProtectKernelLogs: true, " \
        "PrivateDevices: true, SystemCallFilter: {allow: true, names: ['@system-service']}, " \
        "BindReadOnlyPaths: [[/kpod-exec, /run/kpod/exec], [/secret/command/c, /run/kpod/command]" \
        ", [/run/pod/etc~/..data/hosts, /etc/hosts], [/run/pod/dev/c, /dev], [/data, /data], " \
        "[/run/pod/volumes/v, /v], [/run/x, /run/x, optional]]"

static void test_lighter(void **state) {
        _cleanup_json_ json_t *properties = parse("{" PLAIN "}"), *container = parse("{name: c}");
        const json_t *read_only;

        assert_int_equal(pod_lighten(container, &facts, properties), 0);
        assert_null(json_object_get(properties, "ProtectKernelTunables"));
        assert_null(json_object_get(properties, "ProtectControlGroups"));
        assert_null(json_object_get(properties, "ProtectKernelModules"));
        assert_null(json_object_get(properties, "ProtectKernelLogs"));
        read_only = json_object_get(properties, "ReadOnlyPaths");
        assert_true(has_word(read_only, "/sys") && has_word(read_only, "/proc/sys"));
        assert_non_null(source_at(properties, "BindPaths", "/run/kpod/exec"));
        assert_non_null(source_at(properties, "BindPaths", "/run/kpod/command"));
        assert_non_null(source_at(properties, "BindPaths", "/etc/hosts"));
        assert_non_null(source_at(properties, "BindPaths", "/dev"));
        /* Volumes, and what may not be there. */
        assert_int_equal(json_array_size(json_object_get(properties, "BindReadOnlyPaths")), 3);
}

/* Root, a capability, another root, a filter that does not say what is refused. */
static void test_not_lighter(void **state) {
        static const struct {
                const char *change, *container, *kept;
        } cases[] = {{"{AmbientCapabilities: [CAP_KILL]}", "{}", "ProtectKernelTunables"},
                        {"{CapabilityBoundingSet: [CAP_KILL]}", "{}", "ProtectKernelModules"},
                        {"{User: '0'}", "{}", "ProtectKernelTunables"},
                        {"{User: root}", "{}", "ProtectKernelTunables"},
                        {"{RootDirectory: /x}", "{}", "ProtectControlGroups"},
                        {"{RootImage: /x}", "{}", "ProtectControlGroups"},
                        {"{}", "{securityContext: {privileged: true}}", "ProtectKernelTunables"},
                        {"{ProtectControlGroups: false}", "{}", "ProtectKernelTunables"},
                        {"{SystemCallFilter: {allow: false, names: ['@mount']}}", "{}",
                                        "ProtectKernelLogs"},
                        {"{SystemCallFilter: {allow: true, names: ['@system-service', syslog]}}",
                                        "{}", "ProtectKernelLogs"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *properties = parse("{" PLAIN "}"),
                                      *change = parse(cases[i].change),
                                      *container = parse(cases[i].container);

                assert_int_equal(json_object_update(properties, change), 0);
                assert_int_equal(pod_lighten(container, &facts, properties), 0);
                if (!json_is_true(json_object_get(properties, cases[i].kept)))
                        fail_msg("case %zu: %s is gone", i, cases[i].kept);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_hidden_in_etc),
                        cmocka_unit_test(test_hidden_in_volume), cmocka_unit_test(test_lighter),
                        cmocka_unit_test(test_not_lighter)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
