/* The kinds that keep pods running: defaults, refusals, what an update may change. */
#include "tests/unit/unit.h"

#include "tests/unit/kapid-create.h"

#define META "'metadata':{'name':'web','namespace':'d'}"
#define TEMPLATE \
        "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c'}]}}"
#define SELECTOR "'selector':{'matchLabels':{'app':'web'}}"
#define WORKLOAD(more) "{" META ",'spec':{" SELECTOR "," TEMPLATE more "}}"

static void test_defaults(void **state) {
        static const struct {
                const char *group, *plural, *object, *path, *expected;
        } cases[] = {
                        {"apps", "statefulsets", WORKLOAD(""), "spec.updateStrategy",
                                        "{'type':'RollingUpdate','rollingUpdate':{'partition':0}}"},
                        {"apps", "statefulsets", WORKLOAD(",'updateStrategy':{'type':'OnDelete'}"),
                                        "spec.updateStrategy", "{'type':'OnDelete'}"},
                        {"apps", "statefulsets", WORKLOAD(""), "spec.podManagementPolicy",
                                        "'OrderedReady'"},
                        {"apps", "statefulsets", WORKLOAD(""),
                                        "spec.persistentVolumeClaimRetentionPolicy",
                                        "{'whenDeleted':'Retain','whenScaled':'Retain'}"},
                        {"apps", "statefulsets", WORKLOAD(""), "spec.replicas", "1"},
                        {"apps", "statefulsets",
                                        "{" META ",'spec':{" SELECTOR
                                        ",'template':{'metadata':{'labels':{'app':'web'}},'spec':{"
                                        "'containers':[{'name':'c','volumeMounts':[{'name':'data',"
                                        "'mountPath':'/data'}]}]}},'volumeClaimTemplates':[{"
                                        "'metadata':{'name':'data'},'spec':{'accessModes':["
                                        "'ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'"
                                        "}}}}]}}",
                                        "spec.replicas", "1"},
                        {"apps", "statefulsets", WORKLOAD(""), "spec.revisionHistoryLimit", "10"},
                        {"apps", "daemonsets", WORKLOAD(""), "spec.updateStrategy",
                                        "{'type':'RollingUpdate','rollingUpdate':{'maxSurge':0,"
                                        "'maxUnavailable':1}}"},
                        {"apps", "daemonsets",
                                        WORKLOAD(",'updateStrategy':{'rollingUpdate':{'"
                                                 "maxSurge':'10%','maxUnavailable':0}}"),
                                        "spec.updateStrategy.rollingUpdate",
                                        "{'maxSurge':'10%','maxUnavailable':0}"},
                        {"apps", "daemonsets", WORKLOAD(""), "spec.revisionHistoryLimit", "10"},
                        {"", "replicationcontrollers", "{" META ",'spec':{" TEMPLATE "}}",
                                        "spec.selector", "{'app':'web'}"},
                        {"", "replicationcontrollers", "{" META ",'spec':{" TEMPLATE "}}",
                                        "metadata.labels", "{'app':'web'}"},
                        {"", "replicationcontrollers",
                                        "{'metadata':{'name':'web','namespace':'d','labels':{'a':"
                                        "'b'}},'spec':{" TEMPLATE "}}",
                                        "metadata.labels", "{'a':'b'}"},
                        {"", "replicationcontrollers", "{" META ",'spec':{" TEMPLATE "}}",
                                        "spec.replicas", "1"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o = create(
                                kind(cases[i].group, cases[i].plural), cases[i].object, NULL);

                assert_json(json_at(o, cases[i].path), cases[i].expected);
        }
}

static const struct {
        const char *group, *plural, *object, *expected;
} refusals[] = {
                {"apps", "statefulsets", WORKLOAD(",'podManagementPolicy':'Random'"),
                                "spec.podManagementPolicy: Unsupported value: 'Random'"},
                {"apps", "statefulsets",
                                WORKLOAD(",'updateStrategy':{'type':'OnDelete',"
                                         "'rollingUpdate':{'partition':1}}"),
                                "spec.updateStrategy.rollingUpdate: Invalid value: "
                                "{'partition':1}: only allowed for updateStrategy"},
                {"apps", "statefulsets",
                                WORKLOAD(",'updateStrategy':{'rollingUpdate':{'partition'"
                                         ":-1}}"),
                                "rollingUpdate.partition: Invalid value: -1"},
                {"apps", "statefulsets",
                                WORKLOAD(",'updateStrategy':{'rollingUpdate':{"
                                         "'maxUnavailable':0}}"),
                                "rollingUpdate.maxUnavailable: Invalid value: 0: cannot "
                                "be 0"},
                {"apps", "statefulsets",
                                WORKLOAD(",'updateStrategy':{'rollingUpdate':{"
                                         "'maxUnavailable':'101%'}}"),
                                "must not be greater than 100%"},
                {"apps", "statefulsets", WORKLOAD(",'ordinals':{'start':-1}"),
                                "spec.ordinals.start: Invalid value: -1"},
                {"apps", "statefulsets", WORKLOAD(",'serviceName':'a.b'"),
                                "spec.serviceName: Invalid value: 'a.b'"},
                {"apps", "statefulsets",
                                "{'metadata':{'name':'we.b','namespace':'d'},'spec':{" SELECTOR
                                "," TEMPLATE "}}",
                                "metadata.name: Invalid value: 'we.b'"},
                {"apps", "statefulsets",
                                WORKLOAD(",'persistentVolumeClaimRetentionPolicy':{"
                                         "'whenScaled':'Recycle'}"),
                                "Unsupported value: 'Recycle'"},
                {"apps", "daemonsets",
                                WORKLOAD(",'updateStrategy':{'rollingUpdate':{'maxSurge':1"
                                         ",'maxUnavailable':1}}"),
                                "rollingUpdate.maxSurge: Invalid value: 1: may not be set "
                                "when `maxUnavailable` is non-zero"},
                {"apps", "daemonsets",
                                WORKLOAD(",'updateStrategy':{'rollingUpdate':{'maxSurge':0"
                                         ",'maxUnavailable':0}}"),
                                "rollingUpdate.maxUnavailable: Required value: cannot be "
                                "0 when `maxSurge` is 0"},
                {"apps", "daemonsets",
                                "{" META ",'spec':{" SELECTOR ",'template':{"
                                "'metadata':{'labels':{'app':'web'}},'spec':{"
                                "'restartPolicy':'Never','containers':[{'name':'c'}]}}}}",
                                "spec.template.spec.restartPolicy: Unsupported value"},
                {"apps", "daemonsets",
                                "{" META ",'spec':{" SELECTOR ",'template':{"
                                "'metadata':{'labels':{'app':'web'}},'spec':{"
                                "'activeDeadlineSeconds':9,'containers':[{'name':'c'}]}}}}",
                                "activeDeadlineSeconds in DaemonSet is not Supported"},
                {"apps", "daemonsets", "{" META ",'spec':{'selector':{}," TEMPLATE "}}",
                                "empty selector is invalid"},
                {"apps", "controllerrevisions", "{" META ",'revision':1}",
                                "data: Required value: data is mandatory"},
                {"apps", "controllerrevisions", "{" META ",'data':{},'revision':-1}",
                                "revision: Invalid value: -1"},
                {"", "replicationcontrollers",
                                "{" META ",'spec':{'selector':{'app':'x'}," TEMPLATE "}}",
                                "`selector` does not match template `labels`"},
                {"", "replicationcontrollers",
                                "{" META ",'spec':{'template':{'spec':{'containers':[{"
                                "'name':'c'}]}}}}",
                                "spec.selector: Required value"},
                {"", "replicationcontrollers", "{" META ",'spec':{'replicas':-1," TEMPLATE "}}",
                                "spec.replicas: Invalid value: -1"},
};

static void test_refusals(void **state) {
        for (size_t i = 0; i < ELEMENTS(refusals); i++)
                create_fails(kind(refusals[i].group, refusals[i].plural), refusals[i].object,
                                refusals[i].expected);
}

static void test_updates(void **state) {
        static const struct {
                const char *plural, *path, *value, *expected; /* NULL: it is allowed */
        } cases[] = {
                        {"statefulsets", "spec.serviceName", "'other'",
                                        "spec: Forbidden: updates to statefulset spec for fields "
                                        "other than"},
                        {"statefulsets", "spec.podManagementPolicy", "'Parallel'", "Forbidden"},
                        {"statefulsets", "spec.volumeClaimTemplates", "[{'metadata':{'name':'v'}}]",
                                        "Forbidden"},
                        {"statefulsets", "spec.replicas", "3", NULL},
                        {"statefulsets", "spec.ordinals", "{'start':2}", NULL},
                        {"statefulsets", "spec.template.spec.hostNetwork", "true", NULL},
                        {"statefulsets", "spec.updateStrategy", "{'type':'OnDelete'}", NULL},
                        {"statefulsets", "spec.minReadySeconds", "3", NULL},
                        {"statefulsets", "spec.revisionHistoryLimit", "3", NULL},
                        {"statefulsets", "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
                                        "'Delete'", NULL},
                        {"daemonsets", "spec.selector",
                                        "{'matchExpressions':[{'key':'app','operator':'Exists'}]}",
                                        "field is immutable"},
                        {"daemonsets", "spec.template.spec.hostNetwork", "true", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct kind *k = kind("apps", cases[i].plural);
                _cleanup_json_ json_t *old = create(k, WORKLOAD(""), NULL),
                                      *new = json_deep_copy(old);
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(json_set_at(new, cases[i].path, parse(cases[i].value)), 0);
                if (!cases[i].expected)
                        assert_int_equal(pipeline_validate_update(k, NULL, old, new, NULL, &p), 0);
                else if (pipeline_validate_update(k, NULL, old, new, NULL, &p) == 0 ||
                                !strstr(p.message, cases[i].expected))
                        fail_msg("%s: %s", cases[i].path, strempty(p.message));
        }
}

/* A DaemonSet counts the changes of its template, whatever clients write there. */
static void test_template_generation(void **state) {
        static const char key[] = "deprecated.daemonset.template.generation";
        static const struct {
                const char *path, *value, *expected;
        } cases[] = {
                        {"metadata.labels", "{'x':'y'}", "1"},
                        {"metadata.annotations", "{'a':'b'}", "1"},
                        {"metadata.annotations", "null", "1"},
                        {"spec.template.spec.hostNetwork", "true", "2"},
                        {"spec.updateStrategy", "{'type':'OnDelete'}", "1"},
        };
        const struct kind *k = kind("apps", "daemonsets");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct pipeline_context c = {0};
                _cleanup_json_ json_t *old = create(k, WORKLOAD(""), NULL),
                                      *new = json_deep_copy(old);

                assert_string_equal(object_annotation(old, key), "1");
                assert_int_equal(json_set_at(new, cases[i].path, parse(cases[i].value)), 0);
                assert_int_equal(pipeline_prepare_update(k, NULL, old, new, &c), 0);
                assert_string_equal(object_annotation(new, key), cases[i].expected);
        }
}

static void test_revision_is_immutable(void **state) {
        const struct kind *k = kind("apps", "controllerrevisions");
        _cleanup_json_ json_t *old = create(k, "{" META ",'data':{'spec':1},'revision':1}", NULL),
                              *new = json_deep_copy(old), *other = json_deep_copy(old);
        _cleanup_problem_ struct problem p = {0};

        json_set_int(new, "revision", 5);
        assert_int_equal(pipeline_validate_update(k, NULL, old, new, NULL, &p), 0);
        json_set_int(other, "data.spec", 2);
        assert_true(pipeline_validate_update(k, NULL, old, other, NULL, &p) < 0);
        assert_non_null(strstr(p.message, "data: Invalid value"));
        assert_int_equal(json_int_or(old, "metadata.generation", 0), 0);
}

/* The scale subresource of a kind whose selector is a map. */
static void test_scale_of_a_map(void **state) {
        const struct kind *k = kind("", "replicationcontrollers");
        _cleanup_json_ json_t *o = create(k, "{" META ",'spec':{'replicas':3," TEMPLATE "}}", NULL),
                              *scale = scale_form.get(k, o);

        assert_int_equal(json_int_or(scale, "spec.replicas", 0), 3);
        assert_string_equal(json_str_or(scale, "status.selector", ""), "app=web");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_updates),
                        cmocka_unit_test(test_template_generation),
                        cmocka_unit_test(test_revision_is_immutable),
                        cmocka_unit_test(test_scale_of_a_map),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
