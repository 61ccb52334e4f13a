/* Old versions of built-in kinds: which are served, their defaults, what is stored and read. */
#include "tests/unit/unit.h"

#include "kapid/pipeline/convert.h"
#include "tests/unit/kapid-create.h"

static int start(void **state) {
        static const char *const settings[] = {"extensions/v1beta1", "apps/v1beta1=true",
                        "apps/v1beta2", "networking.k8s.io/v1beta1", "policy/v1beta1",
                        "admissionregistration.k8s.io/v1beta1",
                        "admissionregistration.k8s.io/v1alpha1", NULL};
        _cleanup_problem_ struct problem p = {0};
        int r = kind_registry_new_with(&registry, (char *const *)settings, &p);

        if (r < 0)
                fprintf(stderr, "%s\n", strempty(p.message));
        return r;
}

static const struct kind *old(const char *api_version, const char *plural) {
        _cleanup_free_ char *group = strdup(api_version);
        char *slash = strchr(group, '/');
        const struct kind *k;

        *slash = 0;
        k = kind_registry_find(registry, group, slash + 1, plural);
        if (!k)
                fail_msg("%s %s is not served", api_version, plural);
        return k;
}

#define META "'metadata':{'name':'web','namespace':'d'}"
#define TEMPLATE \
        "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c'}]}}"
#define SPEC(more) "{" META ",'spec':{" TEMPLATE more "}}"
#define SELECTED SPEC(",'selector':{'matchLabels':{'app':'web'}}")
#define BUDGET(selector) "{" META ",'spec':{'minAvailable':1,'selector':" selector "}}"
#define OLD_EMPTY "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
#define OLD_INGRESS \
        "{" META \
        ",'spec':{'backend':{'serviceName':'a','servicePort':80},'rules':[{'host':'h.org'," \
        "'http':{'paths':[{'path':'/','backend':{'serviceName':'b','servicePort':'http'}}]}}]}}"
#define NEW_RULES \
        "[{'host':'h.org','http':{'paths':[{'path':'/','pathType':'ImplementationSpecific'," \
        "'backend':{'service':{'name':'b','port':{'name':'http'}}}}]}}]"

#define POLICY(what) \
        "{'metadata':{'name':'p'},'spec':{'matchConstraints':{'resourceRules':[{'apiGroups':['']," \
        "'apiVersions':['v1'],'operations':['CREATE'],'resources':['pods']}]}," what "}}"
#define MUTATING \
        POLICY("'reinvocationPolicy':'Never','mutations':[{'patchType':'ApplyConfiguration'," \
               "'applyConfiguration':{'expression':'Object{}'}}]")
#define VALIDATING POLICY("'validations':[{'expression':'true'}]")

/* The stored form of an object made through an old version. */
static const struct {
        const char *api_version, *plural, *object, *path, *expected;
} stored_cases[] = {
                {"admissionregistration.k8s.io/v1alpha1", "mutatingadmissionpolicies", MUTATING,
                                "apiVersion", "'admissionregistration.k8s.io/v1'"},
                {"admissionregistration.k8s.io/v1beta1", "mutatingadmissionpolicies", MUTATING,
                                "spec.failurePolicy", "'Fail'"},
                {"admissionregistration.k8s.io/v1beta1", "validatingadmissionpolicies", VALIDATING,
                                "apiVersion", "'admissionregistration.k8s.io/v1'"},
                {"extensions/v1beta1", "deployments", SPEC(""), "apiVersion", "'apps/v1'"},
                {"extensions/v1beta1", "deployments", SPEC(""), "spec.selector",
                                "{'matchLabels':{'app':'web'}}"},
                {"extensions/v1beta1", "deployments", SPEC(""), "metadata.labels", "{'app':'web'}"},
                {"extensions/v1beta1", "deployments", SPEC(""), "spec.strategy",
                                "{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1,"
                                "'maxUnavailable':1}}"},
                {"extensions/v1beta1", "deployments", SPEC(",'strategy':{'type':'Recreate'}"),
                                "spec.strategy", "{'type':'Recreate'}"},
                {"extensions/v1beta1", "deployments", SPEC(""), "spec.revisionHistoryLimit",
                                "2147483647"},
                {"extensions/v1beta1", "deployments", SPEC(",'revisionHistoryLimit':3"),
                                "spec.revisionHistoryLimit", "3"},
                {"apps/v1beta1", "deployments", SPEC(""), "spec.revisionHistoryLimit", "2"},
                {"apps/v1beta1", "deployments", SPEC(""), "spec.strategy.rollingUpdate.maxSurge",
                                "'25%'"},
                {"apps/v1beta2", "deployments", SELECTED, "spec.revisionHistoryLimit", "10"},
                {"extensions/v1beta1", "replicasets", SPEC(""), "spec.selector",
                                "{'matchLabels':{'app':'web'}}"},
                {"extensions/v1beta1", "daemonsets", SPEC(""), "spec.updateStrategy",
                                "{'type':'OnDelete'}"},
                {"apps/v1beta2", "daemonsets", SELECTED, "spec.updateStrategy.type",
                                "'RollingUpdate'"},
                {"apps/v1beta1", "statefulsets", SPEC(""), "spec.updateStrategy",
                                "{'type':'OnDelete'}"},
                {"apps/v1beta2", "statefulsets", SELECTED, "spec.updateStrategy.type",
                                "'RollingUpdate'"},
                {"extensions/v1beta1", "ingresses", OLD_INGRESS, "apiVersion",
                                "'networking.k8s.io/v1'"},
                {"extensions/v1beta1", "ingresses", OLD_INGRESS, "spec",
                                "{'defaultBackend':{'service':{'name':'a','port':{'number':"
                                "80}}},'rules':" NEW_RULES "}"},
                {"networking.k8s.io/v1beta1", "ingresses", OLD_INGRESS, "spec.rules", NEW_RULES},
                {"policy/v1beta1", "poddisruptionbudgets", BUDGET("{}"), "spec.selector",
                                "{'matchExpressions':[{'key':'" OLD_EMPTY
                                "','operator':'Exists'}]}"},
                {"policy/v1beta1", "poddisruptionbudgets", BUDGET("{'matchLabels':{'a':'b'}}"),
                                "spec.selector", "{'matchLabels':{'a':'b'}}"},
};

static void test_stored(void **state) {
        for (size_t i = 0; i < ELEMENTS(stored_cases); i++) {
                const struct kind *k = old(stored_cases[i].api_version, stored_cases[i].plural);
                _cleanup_json_ json_t *o = create(k, stored_cases[i].object, NULL), *stored = NULL,
                                      *again = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(json_set_str(o, "apiVersion", k->api_version), 0);
                assert_int_equal(kind_store_form(k, o, &stored, &p), 0);
                assert_json(json_at(stored, stored_cases[i].path), stored_cases[i].expected);
                /* read through the old version it is what was written */
                assert_int_equal(object_as(stored, k, &again, &p), 0);
                if (!json_equal(again, o)) {
                        _cleanup_free_ char *a = json_dumps(again, JSON_SORT_KEYS),
                                            *b = json_dumps(o, JSON_SORT_KEYS);

                        fail_msg("row %zu\n got: %s\nwant: %s", i, a, b);
                }
        }
}

/* What an old version shows of an object that was made through the new one. */
static void test_read(void **state) {
        static const struct {
                const char *api_version, *plural, *stored, *path, *expected;
        } cases[] = {
                        {"extensions/v1beta1", "deployments", "{'apiVersion':'apps/v1','spec':{}}",
                                        "apiVersion", "'extensions/v1beta1'"},
                        {"apps/v1beta1", "deployments",
                                        "{'apiVersion':'apps/v1','spec':{'replicas':3}}", "spec",
                                        "{'replicas':3}"},
                        {"extensions/v1beta1", "ingresses",
                                        "{'apiVersion':'networking.k8s.io/v1','spec':{"
                                        "'defaultBackend':{'resource':{'kind':'K','name':'n'}},"
                                        "'rules':" NEW_RULES "}}",
                                        "spec",
                                        "{'backend':{'resource':{'kind':'K','name':'n'}},'rules':[{"
                                        "'host':'h.org','http':{'paths':[{'path':'/','pathType':"
                                        "'ImplementationSpecific','backend':{'serviceName':'b',"
                                        "'servicePort':'http'}}]}}]}"},
                        {"policy/v1beta1", "poddisruptionbudgets",
                                        "{'apiVersion':'policy/v1','spec':{'selector':{}}}",
                                        "spec.selector",
                                        "{'matchExpressions':[{'key':'" OLD_EMPTY
                                        "','operator':'DoesNotExist'}]}"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct kind *k = old(cases[i].api_version, cases[i].plural);
                _cleanup_json_ json_t *stored = parse(cases[i].stored), *read = NULL, *back = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(json_set_str(stored, "metadata.name", "x"), 0);
                assert_int_equal(object_as(stored, k, &read, &p), 0);
                assert_json(json_at(read, cases[i].path), cases[i].expected);
                assert_int_equal(kind_store_form(k, read, &back, &p), 0);
                assert_true(json_equal(back, stored));
        }
}

static void test_refusals(void **state) {
        create_fails(old("apps/v1beta2", "deployments"), SPEC(""), "spec.selector: Required value");
        create_fails(old("extensions/v1beta1", "ingresses"), "{" META ",'spec':{}}",
                        "either `defaultBackend` or `rules` must be specified");
        create_fails(old("networking.k8s.io/v1beta1", "ingresses"),
                        "{" META ",'spec':{'backend':{'serviceName':'a'}}}",
                        "port name or number is required");
}

static void test_same_place(void **state) {
        const struct kind *k = old("extensions/v1beta1", "deployments");
        const struct kind *stored = kind("apps", "deployments");

        assert_string_equal(k->storage_prefix, stored->storage_prefix);
        assert_string_equal(k->storage_api_version, "apps/v1");
        assert_ptr_equal(k->strategy, stored->strategy);
        assert_int_equal(k->column_count, stored->column_count);
        assert_non_null(kind_subresource_find(k, "scale"));
        assert_string_equal(k->deprecation,
                        "extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in "
                        "v1.16+; use apps/v1 Deployment");
        assert_null(kind_registry_find(registry, "batch", "v1beta1", "cronjobs"));
}

static void test_settings(void **state) {
        static const struct {
                const char *settings[3];
                int expected; /* whether extensions/v1beta1 is on; negative: refused */
        } cases[] = {
                        {{NULL}, 0},
                        {{"extensions/v1beta1"}, 1},
                        {{"extensions/v1beta1=true"}, 1},
                        {{"extensions/v1beta1=false"}, 0},
                        {{"extensions/v1beta1", "extensions/v1beta1=false"}, 0},
                        {{"batch/v1beta1"}, 0},
                        {{"extensions/v1beta"}, -EINVAL},
                        {{"extensions/v1beta1=yes"}, -EINVAL},
                        {{"apps/v1=false"}, -EINVAL},
                        {{""}, -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct kind_registry *r = NULL;
                _cleanup_problem_ struct problem p = {0};
                int got = kind_registry_new_with(&r, (char *const *)cases[i].settings, &p);

                if (cases[i].expected < 0) {
                        assert_int_equal(got, cases[i].expected);
                        assert_non_null(strstr(p.message, "with one of: "));
                        continue;
                }
                assert_int_equal(got, 0);
                assert_int_equal(kind_registry_has_group_version(r, "extensions", "v1beta1"),
                                cases[i].expected);
                kind_registry_free(r);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_stored),
                        cmocka_unit_test(test_read),
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_same_place),
                        cmocka_unit_test(test_settings),
        };

        return cmocka_run_group_tests(tests, start, teardown);
}
