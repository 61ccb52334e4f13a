/* Ephemeral containers of pods: which ones may be added, and that nothing else comes in with
 * them. What an update may do to tolerations. */
#include "tests/unit/unit.h"

#include "tests/unit/kapid-create.h"

#define SPEC \
        "'initContainers':[{'name':'i','image':'host'}],'containers':[{'name':'c','image':'host'}]," \
        "'volumes':[{'name':'v','emptyDir':{}}],'nodeName':'n1'"
#define POD(metadata, more) \
        "{'metadata':{'name':'p','namespace':'d'" metadata "},'spec':{" SPEC more "}}"
#define WITH(containers) POD("", ",'ephemeralContainers':[" containers "]")
#define OLD "{'name':'old','image':'host','command':['a']}"

static const struct kind *pods(void) {
        return kind("", "pods");
}

/* Writes the pod through pods/ephemeralcontainers; NULL with p: it is refused. */
static json_t *put(const char *before, const char *after, struct problem *p) {
        const struct kind *k = pods();
        const struct kind_subresource *sub = kind_subresource_find(k, "ephemeralcontainers");
        _cleanup_json_ json_t *old = decode(k, before), *object = decode(k, after);

        assert_non_null(sub);
        assert_int_equal(pipeline_default(k, old), 0);
        assert_int_equal(pipeline_default(k, object), 0);
        assert_int_equal(pipeline_prepare_update(k, sub, old, object, &context), 0);
        if (pipeline_validate_update(k, sub, old, object, NULL, p) < 0)
                return NULL;
        return TAKE_PTR(object);
}

static void test_taken(void **state) {
        static const struct {
                const char *before, *after;
                size_t count;
        } cases[] = {
                        {POD("", ""), WITH("{'name':'e'}"), 1},
                        {WITH(OLD), WITH("{'name':'e'}," OLD), 2}, /* patches change the order */
                        {WITH(OLD), WITH(OLD), 1},
                        {POD("", ""), WITH("{'name':'e','targetContainerName':'c'}"), 1},
                        {POD("", ""), WITH("{'name':'e','targetContainerName':'i'}"), 1},
                        {POD("", ""),
                                        WITH("{'name':'e','image':'host','stdin':true,'tty':true,"
                                             "'command':['sh'],'args':['-i'],'workingDir':'/',"
                                             "'env':[{'name':'A','value':'b'}],'volumeMounts':"
                                             "[{'name':'v','mountPath':'/v'}],'securityContext':"
                                             "{'capabilities':{'add':['SYS_PTRACE']}}}"),
                                        1},
                        {POD("", ""), WITH("{'name':'e','resources':{},'ports':[]}"), 1},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *pod = put(cases[i].before, cases[i].after, &p);

                if (!pod)
                        fail_msg("case %zu: %s", i, strempty(p.message));
                assert_int_equal(json_array_size(json_at(pod, "spec.ephemeralContainers")),
                                cases[i].count);
        }
}

static void test_refused(void **state) {
        static const struct {
                const char *before, *after, *why;
        } cases[] = {
                        {POD("", ""), WITH("{'name':'c'}"),
                                        "spec.ephemeralContainers[0].name: Duplicate value: 'c'"},
                        {POD("", ""), WITH("{'name':'i'}"),
                                        "spec.ephemeralContainers[0].name: Duplicate value: 'i'"},
                        {POD("", ""), WITH("{'name':'e'},{'name':'e'}"),
                                        "spec.ephemeralContainers[1].name: Duplicate value: 'e'"},
                        {WITH(OLD), WITH("{'name':'e','targetContainerName':'old'}," OLD),
                                        "targetContainerName: Not found: 'old'"},
                        {POD("", ""), WITH("{'name':'e','targetContainerName':'x'}"),
                                        "targetContainerName: Not found: 'x'"},
                        {WITH(OLD), WITH("{'name':'e'}"),
                                        "existing ephemeral containers 'old' may not be removed"},
                        {WITH(OLD), WITH("{'name':'old','image':'host','command':['b']}"),
                                        "existing ephemeral containers 'old' may not be changed"},
                        {POD("", ""), WITH("{'name':'e','ports':[{'containerPort':80}]}"),
                                        "spec.ephemeralContainers[0].ports: Forbidden: cannot be "
                                        "set for an Ephemeral Container"},
                        {POD("", ""), WITH("{'name':'e','resources':{'limits':{'cpu':'1'}}}"),
                                        "ephemeralContainers[0].resources: Forbidden"},
                        {POD("", ""), WITH("{'name':'e','restartPolicy':'Always'}"),
                                        "ephemeralContainers[0].restartPolicy: Forbidden"},
                        {POD("", ""),
                                        WITH("{'name':'e','livenessProbe':{'tcpSocket':{'port':1}}"
                                             "}"),
                                        "ephemeralContainers[0].livenessProbe: Forbidden"},
                        {POD("", ""),
                                        WITH("{'name':'e','readinessProbe':{'tcpSocket':{'port':1}"
                                             "}}"),
                                        "ephemeralContainers[0].readinessProbe: Forbidden"},
                        {POD("", ""),
                                        WITH("{'name':'e','startupProbe':{'tcpSocket':{'port':1}}"
                                             "}"),
                                        "ephemeralContainers[0].startupProbe: Forbidden"},
                        {POD("", ""),
                                        WITH("{'name':'e','lifecycle':{'preStop':{'sleep':"
                                             "{'seconds':1}}}}"),
                                        "ephemeralContainers[0].lifecycle: Forbidden"},
                        {POD("", ""),
                                        WITH("{'name':'e','volumeMounts':[{'name':'v','mountPath':"
                                             "'/v','subPath':'a'}]}"),
                                        "volumeMounts[0].subPath: Forbidden"},
                        {POD("", ""),
                                        WITH("{'name':'e','volumeMounts':[{'name':'v','mountPath':"
                                             "'/v','subPathExpr':'a'}]}"),
                                        "volumeMounts[0].subPathExpr: Forbidden"},
                        {POD("", ""),
                                        WITH("{'name':'e','volumeMounts':[{'name':'w','mountPath':"
                                             "'/v'}]}"),
                                        "volumeMounts[0].name: Not found: 'w'"},
                        {POD("", ""), WITH("{'name':'Not A Name'}"),
                                        "spec.ephemeralContainers[0].name: Invalid value"},
                        {POD(",'annotations':{'kubernetes.io/config.mirror':'x'}", ""),
                                        WITH("{'name':'e'}"),
                                        "static pods do not support ephemeral containers"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *pod = put(cases[i].before, cases[i].after, &p);
                _cleanup_free_ char *why = quoted(cases[i].why);

                if (pod)
                        fail_msg("case %zu was not refused", i);
                if (!strstr(strempty(p.message), why))
                        fail_msg("case %zu: %s", i, strempty(p.message));
        }
}

/* The rest of what is written there changes nothing. */
static void test_rest_stays(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *pod = put(POD("", ""),
                        "{'metadata':{'name':'p','namespace':'d','labels':{'a':'b'},'annotations':"
                        "{'unit.keelson.dev/User':'root'}},'status':{'phase':'Failed'},'spec':"
                        "{'hostPID':true,'hostNetwork':true,'serviceAccountName':'admin',"
                        "'containers':[{'name':'c','image':'evil'}],'volumes':[{'name':'v',"
                        "'hostPath':{'path':'/'}}],'ephemeralContainers':[{'name':'e'}]}}",
                        &p);

        if (!pod)
                fail_msg("%s", strempty(p.message));
        assert_null(json_at(pod, "metadata.labels"));
        assert_null(json_at(pod, "metadata.annotations"));
        assert_null(json_at(pod, "status"));
        assert_null(json_at(pod, "spec.hostPID"));
        assert_null(json_at(pod, "spec.hostNetwork"));
        assert_null(json_at(pod, "spec.serviceAccountName"));
        assert_string_equal(json_str_or(json_array_get(json_at(pod, "spec.containers"), 0), "image",
                                            ""),
                        "host");
        assert_json(json_at(pod, "spec.volumes"), "[{'name':'v','emptyDir':{}}]");
        assert_int_equal(json_array_size(json_at(pod, "spec.ephemeralContainers")), 1);
}

/* Only a running pod gets them. */
static void test_not_in_new_pods(void **state) {
        create_fails(pods(), WITH("{'name':'e'}"),
                        "spec.ephemeralContainers: Forbidden: cannot be set on create");
        create_fails(kind("apps", "deployments"),
                        "{'metadata':{'name':'p','namespace':'d'},'spec':{'selector':{"
                        "'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},"
                        "'spec':{" SPEC ",'ephemeralContainers':[{'name':'e'}]}}}}",
                        "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers "
                        "not allowed in pod template");
}

#define TOLERATES(list) POD("", ",'tolerations':[" list "]")
#define TAINT(key, more) "{'key':'" key "','operator':'Exists','effect':'NoExecute'" more "}"

/* Those of a pod may get company and other times. */
static void test_tolerations(void **state) {
        static const struct {
                const char *before, *after;
                bool taken;
        } cases[] = {
                        {TOLERATES(TAINT("a", "")), TOLERATES(TAINT("a", "")), true},
                        {TOLERATES(TAINT("a", "")), TOLERATES(TAINT("a", "") "," TAINT("b", "")),
                                        true},
                        {TOLERATES(TAINT("a", "") "," TAINT("b", "")),
                                        TOLERATES(TAINT("b", "") "," TAINT("a", "")), true},
                        {TOLERATES(TAINT("a", "") "," TAINT("b", "")), TOLERATES(TAINT("b", "")),
                                        false},
                        {TOLERATES(TAINT("a", "")), TOLERATES(TAINT("a", ",'tolerationSeconds':5")),
                                        true},
                        {TOLERATES(TAINT("a", ",'tolerationSeconds':5")),
                                        TOLERATES(TAINT("b", "") "," TAINT(
                                                        "a", ",'tolerationSeconds':6")),
                                        true},
                        {TOLERATES(TAINT("a", ",'tolerationSeconds':5")), TOLERATES(TAINT("a", "")),
                                        false},
                        {TOLERATES(TAINT("a", "")), POD("", ""), false},
        };
        const struct kind *k = pods();

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *old = decode(k, cases[i].before),
                                      *object = decode(k, cases[i].after);
                _cleanup_problem_ struct problem p = {0};
                int r;

                assert_int_equal(pipeline_default(k, old), 0);
                assert_int_equal(pipeline_default(k, object), 0);
                r = pipeline_validate_update(k, NULL, old, object, NULL, &p);
                if ((r >= 0) != cases[i].taken)
                        fail_msg("case %zu: %s", i, strempty(p.message));
                if (r < 0)
                        assert_non_null(strstr(
                                        p.message, "existing toleration can not be modified"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken),
                        cmocka_unit_test(test_tolerations), cmocka_unit_test(test_refused),
                        cmocka_unit_test(test_rest_stays), cmocka_unit_test(test_not_in_new_pods)};

        return cmocka_run_group_tests(tests, setup, teardown);
}
