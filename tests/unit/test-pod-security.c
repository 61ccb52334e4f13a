/* Every control of pod security, as a row: pod, level, version, what is said. */
#include "tests/unit/unit.h"

#include "kapid/admission/pod-security-namespace.h"
#include "kapid/admission/pod-security.h"
#include "tests/unit/kapid-cases.h"

/* A container that restricted takes as it is. */
#define GOOD \
        "'name':'a','image':'example.org/a:1','securityContext':{'allowPrivilegeEscalation':" \
        "false,'runAsNonRoot':true,'capabilities':{'drop':['ALL']},'seccompProfile':{'type':" \
        "'RuntimeDefault'}}"
#define IMAGE "'image':'example.org/a:1'"

static const struct {
        const char *metadata, *spec; /* NULL metadata: {} */
        const char *version;         /* NULL: latest */
        const char *baseline;        /* what baseline says; NULL: nothing */
        const char *restricted;      /* likewise; "-": not asked */
} cases[] = {
                {NULL, "{'containers':[{" GOOD "}]}", NULL, NULL, NULL},
                /* host namespaces */
                {NULL, "{'hostNetwork':true,'hostPID':true,'containers':[{" GOOD "}]}", NULL,
                                "host namespaces (hostNetwork=true, hostPID=true)",
                                "host namespaces (hostNetwork=true, hostPID=true)"},
                {NULL, "{'hostIPC':true,'containers':[{" GOOD "}]}", NULL,
                                "host namespaces (hostIPC=true)", "-"},
                {NULL, "{'hostNetwork':false,'containers':[{" GOOD "}]}", NULL, NULL, NULL},
                /* privileged, in all three lists */
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'securityContext':"
                                "{'privileged':true}}]}",
                                NULL,
                                "privileged (container 'x' must not set "
                                "securityContext.privileged=true)",
                                "-"},
                {NULL,
                                "{'initContainers':[{'name':'i'," IMAGE ",'securityContext':"
                                "{'privileged':true}}],'containers':[{" GOOD
                                "}],'ephemeralContainers':[{'name':'e'," IMAGE
                                ",'securityContext':{'privileged':true}}]}",
                                NULL,
                                "privileged (containers 'i', 'e' must not set "
                                "securityContext.privileged=true)",
                                "-"},
                /* capabilities */
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'securityContext':"
                                "{'capabilities':{'add':['SYS_ADMIN','CHOWN','NET_RAW']}}}]}",
                                NULL,
                                "non-default capabilities (container 'x' must not include "
                                "'NET_RAW', 'SYS_ADMIN' in securityContext.capabilities.add)",
                                "-"},
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'securityContext':"
                                "{'capabilities':{'add':['ALL']}}}]}",
                                NULL,
                                "non-default capabilities (container 'x' must not include 'ALL' in "
                                "securityContext.capabilities.add)",
                                "-"},
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'securityContext':"
                                "{'capabilities':{'add':['cap_sys_admin']}}}]}",
                                NULL,
                                "non-default capabilities (container 'x' must not include "
                                "'cap_sys_admin' in securityContext.capabilities.add)",
                                "-"},
                /* hostPath */
                {NULL,
                                "{'volumes':[{'name':'v','hostPath':{'path':'/etc'}},{'name':'w',"
                                "'hostPath':{'path':'/'}},{'name':'e','emptyDir':{}}],"
                                "'containers':[{" GOOD "}]}",
                                NULL, "hostPath volumes (volumes 'v', 'w')",
                                "restricted volume types (volumes 'v', 'w' use restricted volume "
                                "type 'hostPath')"},
                {NULL,
                                "{'volumes':[{'name':'n','nfs':{'server':'x','path':'/'}},{'name':"
                                "'d'}],'containers':[{" GOOD "}]}",
                                NULL, NULL,
                                "restricted volume types (volume 'n' uses restricted volume type "
                                "'nfs')"},
                /* hostPort */
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'ports':[{'containerPort':1,"
                                "'hostPort':80},{'containerPort':2,'hostPort':0},{'containerPort':"
                                "3,'hostPort':81}]}]}",
                                NULL, "hostPort (container 'x' uses hostPorts 80, 81)", "-"},
                /* probes and hooks that speak to others */
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'livenessProbe':{'httpGet':"
                                "{'host':'127.0.0.1'}},'lifecycle':{'preStop':{'tcpSocket':{'host':"
                                "'10.0.0.1'}}}}]}",
                                NULL,
                                "probe or lifecycle host (container 'x' uses probe or lifecycle "
                                "hosts '10.0.0.1', '127.0.0.1')",
                                "-"},
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'livenessProbe':{'httpGet':"
                                "{'host':'127.0.0.1'}}}]}",
                                "v1.33", NULL, "-"},
                /* AppArmor: field and annotation */
                {NULL,
                                "{'securityContext':{'appArmorProfile':{'type':'Unconfined'}},"
                                "'containers':[{" GOOD "}]}",
                                NULL,
                                "forbidden AppArmor profile (pod must not set AppArmor profile "
                                "type to 'Unconfined')",
                                "-"},
                {"{'annotations':{'container.apparmor.security.beta.kubernetes.io/a':"
                 "'unconfined'}}",
                                "{'containers':[{" GOOD "}]}", NULL,
                                "forbidden AppArmor profile (annotation must not set AppArmor "
                                "profile type to "
                                "'container.apparmor.security.beta.kubernetes.io/a=unconfined')",
                                "-"},
                {"{'annotations':{'container.apparmor.security.beta.kubernetes.io/a':"
                 "'localhost/x'}}",
                                "{'containers':[{" GOOD "}]}", NULL, NULL, NULL},
                /* SELinux */
                {NULL,
                                "{'securityContext':{'seLinuxOptions':{'type':'spc_t','user':'u'}},"
                                "'containers':[{" GOOD "}]}",
                                NULL,
                                "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: "
                                "type 'spc_t'; user may not be set)",
                                "-"},
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'securityContext':"
                                "{'seLinuxOptions':{'role':'r'}}}]}",
                                NULL,
                                "seLinuxOptions (container 'x' set forbidden "
                                "securityContext.seLinuxOptions: role may not be set)",
                                "-"},
                {NULL,
                                "{'securityContext':{'seLinuxOptions':{'type':'container_engine_t'"
                                "}},'containers':[{" GOOD "}]}",
                                NULL, NULL, NULL},
                {NULL,
                                "{'securityContext':{'seLinuxOptions':{'type':'container_engine_t'"
                                "}},'containers':[{" GOOD "}]}",
                                "v1.30",
                                "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: "
                                "type 'container_engine_t')",
                                "-"},
                /* /proc */
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'securityContext':"
                                "{'procMount':'Unmasked'}}]}",
                                NULL,
                                "procMount (container 'x' must not set securityContext.procMount "
                                "to 'Unmasked')",
                                "-"},
                /* seccomp */
                {NULL,
                                "{'securityContext':{'seccompProfile':{'type':'Unconfined'}},"
                                "'containers':[{" GOOD "}]}",
                                NULL,
                                "seccompProfile (pod must not set "
                                "securityContext.seccompProfile.type to 'Unconfined')",
                                "seccompProfile (pod must not set "
                                "securityContext.seccompProfile.type to 'Unconfined')"},
                {NULL,
                                "{'containers':[{'name':'x'," IMAGE ",'securityContext':"
                                "{'seccompProfile':{'type':'Unconfined'}}}]}",
                                NULL,
                                "seccompProfile (container 'x' must not set "
                                "securityContext.seccompProfile.type to 'Unconfined')",
                                "-"},
                /* sysctls */
                {NULL,
                                "{'securityContext':{'sysctls':[{'name':'kernel.msgmax'},{'name':"
                                "'net.ipv4.tcp_syncookies'},{'name':'net.ipv4.tcp_rmem'}]},"
                                "'containers':[{" GOOD "}]}",
                                NULL, "forbidden sysctls (kernel.msgmax)", "-"},
                {NULL,
                                "{'securityContext':{'sysctls':[{'name':'net.ipv4.tcp_rmem'}]},"
                                "'containers':[{" GOOD "}]}",
                                "v1.31", "forbidden sysctls (net.ipv4.tcp_rmem)", "-"},
                /* hostProcess */
                {NULL,
                                "{'securityContext':{'windowsOptions':{'hostProcess':true}},"
                                "'containers':[{" GOOD "}]}",
                                NULL,
                                "hostProcess (pod must not set "
                                "securityContext.windowsOptions.hostProcess=true)",
                                "-"},
                /* restricted: what must be said */
                {NULL, "{'containers':[{'name':'x'," IMAGE "}]}", NULL, NULL,
                                "allowPrivilegeEscalation != false (container 'x' must set "
                                "securityContext.allowPrivilegeEscalation=false), unrestricted "
                                "capabilities (container 'x' must set "
                                "securityContext.capabilities.drop=['ALL']), runAsNonRoot != true "
                                "(pod or container 'x' must set securityContext.runAsNonRoot=true),"
                                " seccompProfile (pod or container 'x' must set "
                                "securityContext.seccompProfile.type to 'RuntimeDefault' or "
                                "'Localhost')"},
                {NULL, "{'containers':[{'name':'x'," IMAGE "}]}", "v1.7", NULL,
                                "runAsNonRoot != true (pod or container 'x' must set "
                                "securityContext.runAsNonRoot=true)"},
                {NULL,
                                "{'securityContext':{'runAsNonRoot':true,'seccompProfile':{'type':"
                                "'Localhost'}},'containers':[{'name':'x'," IMAGE
                                ",'securityContext':{'allowPrivilegeEscalation':false,"
                                "'capabilities':{'drop':['ALL'],'add':['NET_BIND_SERVICE']}}}]}",
                                NULL, NULL, NULL},
                {NULL,
                                "{'containers':[{" GOOD "},{'name':'x'," IMAGE
                                ",'securityContext':{'allowPrivilegeEscalation':false,"
                                "'runAsNonRoot':false,'runAsUser':0,'capabilities':{'drop':['ALL'],"
                                "'add':['CHOWN']},'seccompProfile':{'type':'RuntimeDefault'}}}]}",
                                NULL, NULL,
                                "unrestricted capabilities (container 'x' must not include 'CHOWN' "
                                "in securityContext.capabilities.add), runAsNonRoot != true "
                                "(container 'x' must not set securityContext.runAsNonRoot=false), "
                                "runAsUser=0 (container 'x' must not set runAsUser=0)"},
                {NULL, "{'securityContext':{'runAsUser':0},'containers':[{" GOOD "}]}", NULL, NULL,
                                "runAsUser=0 (pod must not set runAsUser=0)"},
                {NULL, "{'securityContext':{'runAsUser':0},'containers':[{" GOOD "}]}", "v1.22",
                                NULL, NULL},
                /* ours: users of the machine's own root */
                {NULL, "{'containers':[{'name':'x'}]}", NULL, NULL, "-"},
                {NULL,
                                "{'containers':[{'name':'x','image':'host','securityContext':{'"
                                "runAsUser':"
                                "1000,'runAsGroup':65532}}]}",
                                NULL, NULL, "-"},
                {NULL,
                                "{'containers':[{'name':'x','image':'host','securityContext':"
                                "{'runAsUser':0}}]}",
                                NULL,
                                "users of the machine (container 'x' without an image of its own "
                                "must not set runAsUser=0: ids below 1000 and from 61184 to 65519 "
                                "belong to the machine)",
                                "-"},
                /* a root by its path names no user: it would be user 0 */
                {NULL, "{'containers':[{'name':'x','image':'/srv/root'}]}", NULL,
                                "users of the machine (container 'x' without an image of its own "
                                "must not set image=/... without runAsUser or runAsNonRoot=true: "
                                "ids below 1000 and from 61184 to 65519 belong to the machine)",
                                "-"},
                {NULL,
                                "{'securityContext':{'runAsNonRoot':true},'containers':[{'name':"
                                "'x','image':'/srv/root'},{'name':'y','image':'/srv/root',"
                                "'securityContext':{'runAsUser':1000,'runAsNonRoot':false}}]}",
                                NULL, NULL, "-"},
                {NULL,
                                "{'securityContext':{'runAsUser':33,'fsGroup':4,"
                                "'supplementalGroups':[2000,42]},'containers':[{'name':'x','image':"
                                "'/srv/root'},{'name':'y'," IMAGE "}]}",
                                NULL,
                                "users of the machine (container 'x' without an image of its own "
                                "must not set runAsUser=33, fsGroup=4, supplementalGroups=42: ids "
                                "below 1000 and from 61184 to 65519 belong to the machine)",
                                "-"},
                {NULL,
                                "{'securityContext':{'runAsUser':0},'containers':[{'name':'x',"
                                "'securityContext':{'runAsUser':1000,'runAsGroup':61184}}]}",
                                NULL,
                                "users of the machine (container 'x' without an image of its own "
                                "must not set runAsGroup=61184: ids below 1000 and from 61184 to "
                                "65519 belong to the machine)",
                                "-"},
                {NULL,
                                "{'securityContext':{'runAsUser':0},'containers':[{'name':'x',"
                                "'securityContext':{'runAsUser':1000}}]}",
                                NULL, NULL, "-"},
                {NULL, "{'containers':[{'name':'x'," IMAGE ",'securityContext':{'runAsUser':0}}]}",
                                NULL, NULL, "-"},
                /* ours: unit properties */
                {"{'annotations':{'unit.keelson.dev/MemoryHigh':'64M'}}",
                                "{'containers':[{" GOOD "}]}", NULL, NULL, NULL},
                {"{'annotations':{'unit.keelson.dev/Nice':'5'}}", "{'containers':[{" GOOD "}]}",
                                NULL, NULL,
                                "unit properties (annotation 'unit.keelson.dev/Nice' needs the "
                                "level baseline)"},
                {"{'annotations':{'unit.keelson.dev/InaccessiblePaths':'',"
                 "'a.unit.keelson.dev/Conflicts':'sshd.service'}}",
                                "{'containers':[{" GOOD "}]}", NULL,
                                "unit properties (annotation 'a.unit.keelson.dev/Conflicts' needs "
                                "the level privileged; annotation "
                                "'unit.keelson.dev/InaccessiblePaths' needs the level privileged)",
                                "unit properties (annotation 'a.unit.keelson.dev/Conflicts' needs "
                                "the level privileged; annotation "
                                "'unit.keelson.dev/InaccessiblePaths' needs the level "
                                "privileged)"},
                {"{'annotations':{'unit.keelson.dev/ProtectHome':'no'}}",
                                "{'containers':[{" GOOD "}]}", NULL,
                                "unit properties (annotation 'unit.keelson.dev/ProtectHome' may "
                                "only be set to yes true on 1 tmpfs)",
                                "-"},
};

static void expect(const json_t *metadata, const json_t *spec, enum security_level level,
                const char *version, const char *expected) {
        struct pod_security_policy policy = {level, POD_SECURITY_LATEST};
        _cleanup_pod_security_report_ struct pod_security_report report = {0};
        _cleanup_free_ char *text = NULL, *want = NULL, *words = NULL;

        if (version)
                assert_int_equal(pod_security_version_parse(version, &policy.minor), 0);
        assert_int_equal(pod_security_check(metadata, spec, &policy, &report), 0);
        text = pod_security_text(&report, &policy, "violates");
        assert_non_null(text);
        words = quoted(expected ? expected : "");
        want = strformat("violates PodSecurity \"%s:%s\": %s", pod_security_level_name(level),
                        version ? version : "latest", words);
        assert_string_equal(text, want);
        assert_int_equal(report.count > 0, expected != NULL);
}

static void test_controls(void **state) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *metadata =
                                parse(cases[i].metadata ? cases[i].metadata : "{}");
                _cleanup_json_ json_t *spec = parse(cases[i].spec);

                expect(metadata, spec, LEVEL_PRIVILEGED, cases[i].version, NULL);
                expect(metadata, spec, LEVEL_BASELINE, cases[i].version, cases[i].baseline);
                if (!streq_ptr(cases[i].restricted, "-"))
                        expect(metadata, spec, LEVEL_RESTRICTED, cases[i].version,
                                        cases[i].restricted);
        }
}

static void test_unknown_property(void **state) {
        _cleanup_json_ json_t
                        *bad = parse("{'annotations':{'unit.keelson.dev/Nope':'x'}}"),
                        *good = parse("{'annotations':{'unit.keelson.dev/Nice':'x','a':'b'}}");
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(pod_security_check_names(good, "metadata.annotations", &p), 0);
        assert_int_equal(pod_security_check_names(NULL, "metadata.annotations", &p), 0);
        assert_int_equal(pod_security_check_names(bad, "metadata.annotations", &p), -EINVAL);
        assert_int_equal(p.code, 422);
        assert_non_null(strstr(p.message, "metadata.annotations[unit.keelson.dev/Nope]"));
}

static void test_annotations_equal(void **state) {
        _cleanup_json_ json_t *a = parse("{'annotations':{'unit.keelson.dev/Nice':'1','x':'1'}}"),
                              *b = parse("{'annotations':{'unit.keelson.dev/Nice':'1','x':'2'}}"),
                              *c = parse("{'annotations':{'unit.keelson.dev/Nice':'2'}}");

        assert_true(pod_security_annotations_equal(a, b));
        assert_false(pod_security_annotations_equal(a, c));
        assert_false(pod_security_annotations_equal(NULL, c));
        assert_false(pod_security_annotations_equal(a, NULL));
        assert_true(pod_security_annotations_equal(NULL, NULL));
}

#define PS "pod-security.kubernetes.io/"

static void test_namespace(void **state) {
        static const struct {
                const char *namespace, *labels, *enforce, *warn, *audit;
        } modes[] = {
                        {"a", "{}", "baseline:latest", "baseline:latest", "baseline:latest"},
                        {"kube-system", "{}", "privileged:latest", "privileged:latest",
                                        "privileged:latest"},
                        {"kube-system", "{'" PS "enforce':'restricted'}", "restricted:latest",
                                        "restricted:latest", "restricted:latest"},
                        {"a", "{'" PS "enforce':'privileged','" PS "warn':'restricted'}",
                                        "privileged:latest", "restricted:latest",
                                        "privileged:latest"},
                        {"a",
                                        "{'" PS "enforce':'restricted','" PS
                                        "enforce-version':'v1.24','" PS "audit-version':'v1.30'}",
                                        "restricted:v1.24", "restricted:v1.24", "restricted:v1.30"},
                        {"a", "{'" PS "enforce':'none'}", "restricted:latest", "restricted:latest",
                                        "restricted:latest"},
        };

        for (size_t i = 0; i < ELEMENTS(modes); i++) {
                _cleanup_json_ json_t *labels = parse(modes[i].labels);
                struct pod_security_modes m =
                                pod_security_modes(modes[i].namespace, labels, LEVEL_BASELINE);
                _cleanup_free_ char *e = pod_security_policy_text(&m.enforce),
                                    *w = pod_security_policy_text(&m.warn),
                                    *a = pod_security_policy_text(&m.audit);

                assert_string_equal(e, modes[i].enforce);
                assert_string_equal(w, modes[i].warn);
                assert_string_equal(a, modes[i].audit);
        }
}

static void test_labels(void **state) {
        static const char *const bad[] = {"{'" PS "enforce':'high'}", "{'" PS "enforce':''}",
                        "{'" PS "warn':'Baseline'}", "{'" PS "audit-version':'1.24'}",
                        "{'" PS "enforce-version':'v1.024'}", "{'" PS "enforce-version':'v2.1'}"};
        static const char *const good[] = {"{}", "{'" PS "enforce':'restricted','x':'y'}",
                        "{'" PS "warn':'privileged','" PS "warn-version':'latest'}",
                        "{'" PS "audit-version':'v1.0'}"};
        _cleanup_json_ json_t *a = parse("{'" PS "warn':'baseline','x':'1'}"),
                              *b = parse("{'" PS "warn':'baseline','x':'2'}");

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_json_ json_t *labels = parse(bad[i]);
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(pod_security_labels_validate(labels, &p), -EINVAL);
                assert_int_equal(p.code, 422);
        }
        for (size_t i = 0; i < ELEMENTS(good); i++) {
                _cleanup_json_ json_t *labels = parse(good[i]);
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(pod_security_labels_validate(labels, &p), 0);
        }
        assert_null(pod_security_label_changed(a, b));
        assert_string_equal(pod_security_label_changed(NULL, b), PS "warn");
        assert_string_equal(pod_security_label_changed(a, NULL), PS "warn");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_controls),
                        cmocka_unit_test(test_unknown_property),
                        cmocka_unit_test(test_annotations_equal),
                        cmocka_unit_test(test_namespace),
                        cmocka_unit_test(test_labels),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
