/* What is hidden in /etc, and which mounts a plain user does without: pod_protect(), pod_lighten().
 */
#include "tests/unit/unit.h"

#include "lib/yaml.h"
#include "nodeagent/plan/plan.h"

static const struct pod_facts facts = {.run_dir = "/run/pod",
                .secret_dir = "/secret",
                .exec_program = "/kpod-exec",
                .etc_dir = "/view",
                .proc_dir = "/proc-view"};

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
        "CapabilityBoundingSet: [], User: kp-1, NoNewPrivileges: true, " \
        "ProtectKernelTunables: true, " \
        "ProtectControlGroups: true, ProtectKernelModules: true, ProtectKernelLogs: true, " \
        "PrivateDevices: true, SystemCallFilter: {allow: true, names: ['@system-service']}, " \
        "ProtectProc: ptraceable, ProtectHome: tmpfs, InaccessiblePaths: [-/run/keelson, " \
        "-/var/lib/keelson, -/root/.ssh, -/boot], TemporaryFileSystem: [[/run, mode=0755], " \
        "[/var, mode=0755], [/dev/shm, mode=1777]], BindReadOnlyPaths: [[/kpod-exec, " \
        "/run/kpod/exec], [/secret/command/c, /run/kpod/command], [/run/pod/etc~/..data/hosts, " \
        "/etc/hosts], [/run/pod/dev/c, /dev], [/data, /data], [/run/pod/volumes/v, /v], " \
        "[/run/x, /run/x, optional]]"

/* A unit of a plan with these properties; change: others. */
static json_t *unit_of(const char *change) {
        _cleanup_json_ json_t *properties = parse("{" PLAIN "}"), *other = parse(change);

        assert_int_equal(json_object_update(properties, other), 0);
        return json_pack("{s:s, s:O, s:{}}", "container", "c", "properties", properties, "start");
}

static void test_lighter(void **state) {
        static const char *const gone[] = {"ProtectKernelTunables", "ProtectControlGroups",
                        "ProtectKernelModules", "ProtectKernelLogs", "ProtectProc"};
        _cleanup_json_ json_t *unit = unit_of("{}");
        const json_t *properties = json_object_get(unit, "properties"), *list;

        assert_int_equal(pod_lighten(&facts, unit), 0);
        for (size_t i = 0; i < ELEMENTS(gone); i++)
                assert_null(json_object_get(properties, gone[i]));
        list = json_object_get(properties, "ReadOnlyPaths");
        assert_true(has_word(list, "/sys") && !has_word(list, "/proc/sys"));
        assert_string_equal(source_at(properties, "BindPaths", "/proc"), "/proc-view");
        assert_string_equal(source_at(properties, "BindPaths", "/run"), "/run/pod/own/c/run");
        assert_string_equal(source_at(properties, "BindPaths", "/var"), "/run/pod/own/c/var");
        assert_int_equal(json_array_size(json_at(unit, "start.folders")), 2);
        assert_non_null(source_at(properties, "BindPaths", "/run/kpod/exec"));
        assert_non_null(source_at(properties, "BindPaths", "/run/kpod/command"));
        assert_non_null(source_at(properties, "BindPaths", "/etc/hosts"));
        assert_non_null(source_at(properties, "BindPaths", "/dev"));
        /* Volumes, and what the container has no file of its own instead of. */
        assert_int_equal(json_array_size(json_object_get(properties, "BindReadOnlyPaths")), 3);
        assert_int_equal(json_array_size(json_object_get(properties, "TemporaryFileSystem")), 1);
        list = json_object_get(properties, "InaccessiblePaths");
        assert_int_equal(json_array_size(list), 1);
        assert_true(has_word(list, "-/boot"));
}

/* Without the agent's /proc it is systemd's. */
static void test_lighter_without_proc(void **state) {
        static const char *const changes[] = {"{}", "{ProcSubset: pid}",
                        "{BindPaths: [[/x, /proc/x]]}", "{ProtectProc: invisible}"};

        for (size_t i = 0; i < ELEMENTS(changes); i++) {
                _cleanup_json_ json_t *unit = unit_of(changes[i]);
                const json_t *properties = json_object_get(unit, "properties");
                struct pod_facts f = facts;

                if (i == 0)
                        f.proc_dir = NULL;
                assert_int_equal(pod_lighten(&f, unit), 0);
                assert_non_null(json_object_get(properties, "ProtectProc"));
                assert_null(source_at(properties, "BindPaths", "/proc"));
                assert_true(has_word(json_object_get(properties, "ReadOnlyPaths"), "/proc/sys"));
        }
}

/* What a mount of the container may show again stays hidden. */
static void test_still_hidden(void **state) {
        static const struct {
                const char *change, *path;
        } cases[] = {{"{BindPaths: [[/a, /run/keelson]]}", "-/run/keelson"},
                        {"{BindPaths: [[/a, /var/lib]]}", "-/var/lib/keelson"},
                        {"{TemporaryFileSystem: [], BindPaths: [[/a, /var]]}", "-/var/lib/keelson"},
                        {"{TemporaryFileSystem: []}", "-/run/keelson"},
                        {"{TemporaryFileSystem: [[/run, mode=0777]]}", "-/run/keelson"},
                        {"{ProtectHome: read-only}", "-/root/.ssh"},
                        {"{BindReadOnlyPaths: [[/a, /root]]}", "-/root/.ssh"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *unit = unit_of(cases[i].change);

                assert_int_equal(pod_lighten(&facts, unit), 0);
                if (!has_word(json_at(unit, "properties.InaccessiblePaths"), cases[i].path))
                        fail_msg("case %zu: %s is not hidden", i, cases[i].path);
        }
}

static void test_resolver(void **state) {
        _cleanup_json_ json_t *unit = unit_of("{BindReadOnlyPaths: [[/run/x, /run/x, optional], "
                                              "[/run/pod/etc~/..data/resolv.conf, "
                                              "/etc/resolv.conf]]}");

        assert_int_equal(pod_lighten(&facts, unit), 0);
        assert_null(json_at(unit, "properties.BindReadOnlyPaths"));
        assert_non_null(source_at(json_at(unit, "properties"), "BindPaths", "/etc/resolv.conf"));
}

/* Root, a capability, another root, a filter that does not say what is refused. */
static void test_not_lighter(void **state) {
        static const struct {
                const char *change, *kept;
        } cases[] = {{"{AmbientCapabilities: [CAP_KILL]}", "ProtectKernelTunables"},
                        {"{CapabilityBoundingSet: [CAP_KILL]}", "ProtectKernelModules"},
                        {"{User: '0'}", "ProtectKernelTunables"},
                        {"{User: root}", "ProtectKernelTunables"},
                        {"{NoNewPrivileges: false}", "ProtectKernelTunables"},
                        {"{RootDirectory: /x}", "ProtectControlGroups"},
                        {"{RootImage: /x}", "ProtectControlGroups"},
                        {"{ProtectControlGroups: false}", "ProtectKernelTunables"},
                        {"{SystemCallFilter: {allow: false, names: ['@mount']}}",
                                        "ProtectKernelLogs"},
                        {"{SystemCallFilter: {allow: true, names: ['@system-service', syslog]}}",
                                        "ProtectKernelLogs"}};
        static const char *const marks[] = {"privileged", "hold"};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *unit = unit_of(cases[i].change);

                assert_int_equal(pod_lighten(&facts, unit), 0);
                if (!json_is_true(json_get(unit, "properties", cases[i].kept, NULL)))
                        fail_msg("case %zu: %s is gone", i, cases[i].kept);
        }
        for (size_t i = 0; i < ELEMENTS(marks); i++) {
                _cleanup_json_ json_t *unit = unit_of("{}");

                json_object_set_new(unit, marks[i], json_true());
                assert_int_equal(pod_lighten(&facts, unit), 0);
                assert_true(json_is_true(
                                json_get(unit, "properties", "ProtectKernelTunables", NULL)));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_hidden_in_etc),
                        cmocka_unit_test(test_hidden_in_volume), cmocka_unit_test(test_lighter),
                        cmocka_unit_test(test_lighter_without_proc),
                        cmocka_unit_test(test_still_hidden), cmocka_unit_test(test_resolver),
                        cmocka_unit_test(test_not_lighter)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
