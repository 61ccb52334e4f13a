/* Fields without effect are found where they stand, and only where they ask for something. */
#include "tests/unit/unit.h"

#include "lib/no-effect.h"
#include "lib/yaml.h"

static void add(void *userdata, const char *path, const char *text) {
        char *list = userdata;

        assert_true(strlen(text) > 0);
        assert_true(strlen(list) + strlen(path) + 2 < 1000);
        strcat(strcat(list, *list ? " " : ""), path);
}

static json_t *parse(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        return json_incref(docs.items[0].value);
}

static void check(const char *group, const char *kind, const char *old, const char *new,
                const char *want) {
        _cleanup_json_ json_t *was = old ? parse(old) : NULL, *is = parse(new);
        char list[1000] = "";

        no_effect_find(&no_effect_table, group, kind, was, is, add, list);
        assert_string_equal(list, want);
}

static void test_found(void **state) {
        check("", "Pod", NULL,
                        "spec: {containers: [{name: a}, {name: b, volumeDevices: [{name: x}], "
                        "securityContext: {seLinuxOptions: {level: s0}}}]}",
                        "spec.containers[1].securityContext.seLinuxOptions "
                        "spec.containers[1].volumeDevices");
        check("apps", "Deployment", NULL,
                        "spec: {template: {spec: {runtimeClassName: kata, initContainers: "
                        "[{name: i, volumeDevices: [{name: x}]}]}}}",
                        "spec.template.spec.initContainers[0].volumeDevices "
                        "spec.template.spec.runtimeClassName");
        check("batch", "Job", NULL, "spec: {template: {spec: {runtimeClassName: kata}}}",
                        "spec.template.spec.runtimeClassName");
}

/* What is empty, false, the default, or of another kind or group says nothing. */
static void test_silent(void **state) {
        check("", "Pod", NULL,
                        "spec: {runtimeClassName: '', imagePullSecrets: [], overhead: {}, "
                        "containers: [{name: a, volumeDevices: []}]}",
                        "");
        check("", "Pod", NULL, "spec: hello", "");
        check("", "Pod", NULL, "spec: {containers: {volumeDevices: [{name: x}]}}", "");
        check("example.org", "Pod", NULL, "spec: {runtimeClassName: kata}", "");
        check("", "ConfigMap", NULL, "spec: {runtimeClassName: kata}", "");
}

static void test_one_value(void **state) {
        check("", "Service", NULL, "spec: {type: LoadBalancer, loadBalancerIP: 192.0.2.1}", "");
        check("", "Pod", NULL, "spec: {hostUsers: false}", "spec.hostUsers");
        check("", "Pod", NULL, "spec: {hostUsers: true}", "");
        check("", "Pod", NULL, "spec: {hostUsers: false}", "spec.hostUsers");
}

/* All values but those that begin with a text. */
static void test_except(void **state) {
        check("", "Pod", NULL,
                        "spec: {securityContext: {sysctls: [{name: net.core.somaxconn, value: "
                        "'1'}, {name: kernel.shmmax, value: '1'}, {name: net/ipv4/tcp_rmem, value: "
                        "'1'}]}}",
                        "spec.securityContext.sysctls[1].name");
}

/* What the agent realizes is not in the table. */
static void test_realized(void **state) {
        check("", "Pod", NULL,
                        "spec: {hostname: a, subdomain: b, setHostnameAsFQDN: true, hostPID: true, "
                        "hostIPC: true, hostAliases: [{ip: 10.0.0.1}], dnsPolicy: None, dnsConfig: "
                        "{nameservers: [10.0.0.1]}, enableServiceLinks: true, containers: [{name: "
                        "a, terminationMessagePath: /x, terminationMessagePolicy: "
                        "FallbackToLogsOnError, lifecycle: {preStop: {httpGet: {port: 80}}, "
                        "postStart: {sleep: {seconds: 1}}}, livenessProbe: "
                        "{terminationGracePeriodSeconds: 3}, ports: [{hostIP: 127.0.0.1, hostPort: "
                        "1}], volumeMounts: [{name: v, subPathExpr: $(A)}], securityContext: "
                        "{procMount: Unmasked}}]}",
                        "");
}

/* Who changes something else has heard it before. */
static void test_unchanged(void **state) {
        const char *old =
                        "spec: {containers: [{name: a, volumeDevices: [{name: x}]}], runtimeClassName: kata}";

        check("", "Pod", old, old, "");
        check("", "Pod", old,
                        "spec: {containers: [{name: a, image: x, volumeDevices: [{name: x}]}], runtimeClassName: "
                        "gvisor}",
                        "spec.runtimeClassName");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_found),
                        cmocka_unit_test(test_silent),
                        cmocka_unit_test(test_one_value),
                        cmocka_unit_test(test_except),
                        cmocka_unit_test(test_realized),
                        cmocka_unit_test(test_unchanged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
