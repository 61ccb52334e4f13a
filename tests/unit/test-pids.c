/* The process namespace in a plan: who gets one or joins one, what is in the file for kpod-exec,
 * and what the unit has for it. */
#include "tests/unit/unit.h"

#include "lib/yaml.h"
#include "nodeagent/plan/pids.h"
#include "nodeagent/plan/plan.h"

#define HEAD \
        "metadata: {name: p, namespace: ns, uid: 1-2}\n" \
        "spec:\n"
#define OCI "{root: oci, id: i, path: [/layer], config: {User: '0'}}"

static json_t *parse(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        return json_incref(json_unconst(docs.items[0].value));
}

/* images: {container: image}. */
static json_t *plan_of(const char *pod_yaml, const char *images_yaml) {
        _cleanup_json_ json_t *pod = parse(pod_yaml), *images = parse(images_yaml),
                              *resources = json_object();
        _cleanup_problem_ struct problem p = {0};
        struct pod_facts facts = {.node_name = "n1",
                        .node_ip = "192.0.2.1",
                        .pod_ip = "10.244.1.7",
                        .netns_path = "/run/netns/x",
                        .disk_dir = "/disk",
                        .run_dir = "/run/pod",
                        .secret_dir = "/secret",
                        .exec_program = "/kpod-exec",
                        .images = images};
        json_t *plan = NULL;
        int r = pod_to_units(pod, resources, &facts, &plan, &p);

        if (r < 0)
                print_message("%s\n", strempty(p.message));
        assert_int_equal(r, 0);
        return plan;
}

static json_t *unit_at(const json_t *plan, const char *list, size_t i) {
        return json_array_get(json_object_get(plan, list), i);
}

/* The fields of the file before the command's own, with blanks for the NUL bytes. */
static void check_fields(const json_t *unit, const char *file, const char *want) {
        _cleanup_buf_ struct buf b = {0};

        pids_command_fields(json_object_get(unit, "start"), file, &b);
        for (size_t i = 0; i + 1 < b.size; i++)
                if (!b.data[i])
                        b.data[i] = ';';
        if (!want) {
                assert_int_equal(b.size, 0);
                return;
        }
        assert_string_equal(b.data, want);
}

static bool lists(const json_t *unit, const char *path, const char *word) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(unit, path), i, v)
                if (streq(strempty(json_string_value(v)), word))
                        return true;
        return false;
}

#define CALLS "fsopen fsconfig fsmount open_tree move_mount mount_setattr"
#define HOLD "Hkpodm-ns_p_c.service;"

static void test_root(void **state) {
        _cleanup_json_ json_t *plan =
                        plan_of(HEAD "  containers: [{name: c, image: a, command: [x], lifecycle: "
                                     "{postStart: {exec: {command: [y]}}}}]\n",
                                        "{c: " OCI "}");
        json_t *unit = unit_at(plan, "containers", 0), *words = json_pack("[s]", "ls");
        _cleanup_json_ json_t *run = pod_exec_unit(unit, "kpodx-ns_p_c_1.service", words, 0);

        json_decref(words);
        check_fields(unit, "main", HOLD "N;Mtunables logs;Ca00425fb 0;F0 " CALLS);
        /* A hook of the unit itself finds the process by $MAINPID. */
        check_fields(unit, "post-start", "J;Ca00425fb 0;F0 " CALLS);
        assert_true(lists(unit, "properties.CapabilityBoundingSet", "CAP_SYS_ADMIN"));
        assert_true(lists(unit, "properties.SystemCallFilter.names", "fsopen"));
        assert_null(json_at(unit, "properties.AmbientCapabilities"));
        assert_null(json_at(unit, "properties.RestrictNamespaces"));
        assert_null(json_at(unit, "properties.ProtectProc"));
        json_object_set_new(json_object_get(json_object_get(run, "start"), "pids"), "join",
                        json_string("7 99"));
        check_fields(run, "run_1", "J7 99;Ca00425fb 0;F0 " CALLS);
        assert_null(json_object_get(run, "hold"));
        assert_false(lists(run, "properties.Wants", "kpodm-ns_p_c.service"));
}

static void test_user(void **state) {
        _cleanup_json_ json_t *plan = plan_of(
                        "metadata: {name: p, namespace: ns, uid: 1-2, annotations: "
                        "{keelson.dev/readiness: notify, unit.keelson.dev/ProcSubset: pid}}\nspec:\n"
                        "  containers: [{name: c, image: a, command: [x], securityContext: "
                        "{runAsUser: 5000, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}}]\n",
                        "{c: " OCI "}");
        json_t *unit = unit_at(plan, "containers", 0);

        check_fields(unit, "main", HOLD "Npid;Mtunables logs;S/secret/command/c;P;C400 400;F0 " CALLS);
        assert_true(lists(unit, "properties.AmbientCapabilities", "CAP_SYS_ADMIN"));
        assert_true(lists(unit, "properties.AmbientCapabilities", "CAP_NET_BIND_SERVICE"));
        assert_null(json_at(unit, "properties.PrivateUsers"));
        assert_null(json_at(unit, "properties.ProcSubset"));
        assert_string_equal(json_str(unit, "properties.NotifyAccess"), "main");
}

/* The unit on the machine's root has no mounts; the one that holds them has no rights, and the
 * same user. */
static void test_hold(void **state) {
        _cleanup_json_ json_t *plan = plan_of(HEAD
                        "  securityContext: {runAsUser: 5000}\n"
                        "  containers: [{name: c, image: /i, command: [x]}]\n",
                        "{c: {root: directory, path: /i}}");
        json_t *unit = unit_at(plan, "containers", 0);
        static const char *const moved[] = {"RootDirectory", "BindReadOnlyPaths", "PrivateUsers",
                        "PrivateDevices", "MountAPIVFS"};

        assert_string_equal(json_str(unit, "hold.name"), "kpodm-ns_p_c.service");
        for (size_t i = 0; i < ELEMENTS(moved); i++) {
                assert_null(json_get(unit, "properties", moved[i], NULL));
                assert_non_null(json_get(
                                json_object_get(unit, "hold"), "properties", moved[i], NULL));
        }
        assert_true(lists(unit, "properties.Wants", "kpodm-ns_p_c.service"));
        assert_true(lists(unit, "properties.After", "kpodm-ns_p_c.service"));
        assert_int_equal(json_array_size(json_at(unit, "hold.properties.CapabilityBoundingSet")),
                        0);
        assert_null(json_at(unit, "hold.properties.AmbientCapabilities"));
        assert_true(lists(unit, "hold.properties.SystemCallFilter.except", "prlimit64"));
        assert_int_equal(json_array_size(json_at(unit, "hold.properties.SystemCallFilter.names")),
                        2);
        assert_string_equal(json_str(unit, "hold.properties.User"), "5000");
        assert_string_equal(json_str(unit, "properties.DevicePolicy"), "closed");
        /* What kpod-exec does itself, or one mount for /sys. */
        assert_null(json_at(unit, "hold.properties.ProtectKernelTunables"));
        assert_null(json_at(unit, "hold.properties.ProtectControlGroups"));
        assert_null(json_at(unit, "hold.properties.ProtectKernelLogs"));
        assert_true(lists(unit, "hold.properties.ReadOnlyPaths", "+/sys"));
}

static void test_share(void **state) {
        _cleanup_json_ json_t *plan = plan_of(HEAD
                        "  shareProcessNamespace: true\n"
                        "  containers: [{name: c, image: /i, command: [x], securityContext: "
                        "{privileged: true}}, {name: m, image: host, command: [x]}]\n",
                        "{c: {root: directory, path: /i}, m: {root: host}}");
        json_t *unit = unit_at(plan, "containers", 0);

        assert_string_equal(json_str(plan, "share.name"), "kpodi-ns_p_.service");
        check_fields(unit, "main", HOLD "Gkpodi-ns_p_.service;N;Cffffffffffffffff 0");
        assert_true(lists(unit, "properties.After", "kpodi-ns_p_.service"));
        assert_false(pids_has_namespace(unit_at(plan, "containers", 1)));
        assert_int_equal(json_array_size(json_at(plan, "warnings")), 1);
        assert_string_equal(json_string_value(json_array_get(json_at(plan, "warnings"), 0)),
                        "spec.shareProcessNamespace: container m has no process namespace and does "
                        "not join the pod's");
}

/* What a privileged pod asks for stays its own. */
static void test_privileged(void **state) {
        _cleanup_json_ json_t *plan = plan_of(HEAD
                        "  containers:\n"
                        "    - {name: a, image: /i, command: [x], securityContext: "
                        "{privileged: true}}\n"
                        "    - {name: b, image: /i, command: [x], securityContext: "
                        "{capabilities: {add: [SYS_ADMIN]}}}\n"
                        "    - {name: c, image: /i, command: [x], securityContext: "
                        "{procMount: Unmasked, seccompProfile: {type: Unconfined}}}\n",
                        "{a: {root: directory, path: /i}, b: {root: directory, path: /i}, "
                        "c: {root: directory, path: /i}}");

        check_fields(unit_at(plan, "containers", 0), "main", "Hkpodm-ns_p_a.service;N;Cffffffffffffffff 0");
        check_fields(unit_at(plan, "containers", 1), "main",
                        "Hkpodm-ns_p_b.service;N;Mlogs;Ca02425fb 0");
        check_fields(unit_at(plan, "containers", 2), "main", HOLD "N;Mlogs;Ca00425fb 0");
}

/* A list of refused calls gets exceptions, which are refused to the program. */
static void test_denied_calls(void **state) {
        _cleanup_json_ json_t *plan =
                        plan_of("metadata: {name: p, namespace: ns, uid: 1-2, annotations: "
                                "{unit.keelson.dev/SystemCallFilter: ~@mount ptrace}}\nspec:\n"
                                "  containers: [{name: c, image: /i, command: [x]}]\n",
                                        "{c: {root: directory, path: /i}}");
        json_t *unit = unit_at(plan, "containers", 0);

        check_fields(unit, "main", HOLD "N;Mtunables logs;Ca00425fb 0;F0 " CALLS);
        assert_true(lists(unit, "properties.SystemCallFilter.except", "fsopen"));
        assert_false(lists(unit, "properties.SystemCallFilter.except", "ptrace"));
}

static void test_who(void **state) {
        _cleanup_json_ json_t *
                        host = plan_of(HEAD
                                       "  hostPID: true\n  containers: [{name: c, image: /i, command: [x]}]\n",
                                       "{c: {root: directory, path: /i}}"),
                       *plan = plan_of(HEAD "  containers:\n"
                                            "    - {name: c, image: /i, command: [x]}\n"
                                            "    - {name: m, image: host, command: [x]}\n"
                                            "  ephemeralContainers:\n"
                                            "    - {name: d, image: host, command: [x], "
                                            "targetContainerName: c}\n"
                                            "    - {name: e, image: /i, command: [x], "
                                            "targetContainerName: c}\n"
                                            "    - {name: f, image: /i, command: [x], "
                                            "targetContainerName: m}\n"
                                            "    - {name: g, image: host, command: [x], "
                                            "targetContainerName: m}\n",
                                       "{c: {root: directory, path: /i}, m: {root: host}, d: "
                                       "{root: host}, e: {root: directory, path: /i}, f: "
                                       "{root: directory, path: /i}, g: {root: host}}");
        json_t *f = unit_at(plan, "ephemeralContainers", 2);

        check_fields(unit_at(host, "containers", 0), "main", NULL);
        assert_true(pids_has_namespace(unit_at(plan, "containers", 0)));
        assert_false(pids_has_namespace(unit_at(plan, "containers", 1)));
        for (size_t i = 0; i < 2; i++) {
                json_t *unit = unit_at(plan, "ephemeralContainers", i);

                assert_string_equal(json_str(unit, "start.pids.target"), "c");
                assert_null(json_object_get(unit, "warning"));
        }
        /* The machine's own processes are not for it. */
        check_fields(f, "main", "Hkpodm-ns_p_f.service;N;Mtunables logs;Ca00425fb 0;F0 " CALLS);
        assert_non_null(strstr(json_str(f, "warning"), "has no process namespace"));
        check_fields(unit_at(plan, "ephemeralContainers", 3), "main", NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_root), cmocka_unit_test(test_user),
                        cmocka_unit_test(test_hold), cmocka_unit_test(test_share),
                        cmocka_unit_test(test_privileged), cmocka_unit_test(test_denied_calls),
                        cmocka_unit_test(test_who)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
