/* CustomResourceDefinitions: what is not structural is refused in Kubernetes' words, rules of
 * names, versions and conversion, and their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/kinds/crd-delete.h"
#include "kapid/pipeline/forms.h"
#include "kapid/strategy/crd-validate.h"
#include "kapid/schema/structural.h"
#include "lib/object.h"
#include "tests/unit/kapid-cases.h"

enum { NOW_S = 1700000000 };

struct rule_case {
        const char *document;
        const char *field, *message; /* of the only finding; field NULL: none */
};

static void check_case(const struct rule_case *c, const struct findings *f) {
        const json_t *first = json_array_get(f->causes, 0);
        _cleanup_free_ char *all = f->causes ? json_dumps(f->causes, JSON_COMPACT) : NULL;

        assert_false(f->failed);
        if (!c->field) {
                if (findings_count(f) > 0)
                        fail_msg("%s: %s", c->document, all);
                return;
        }
        if (findings_count(f) != 1 || !streq(json_str_or(first, "field", ""), c->field) ||
                        !streq(json_str_or(first, "message", ""), c->message))
                fail_msg("%s: %s", c->document, strempty(all));
}

#define PRESERVE "'x-kubernetes-preserve-unknown-fields':true"
#define EMBEDDED "'x-kubernetes-embedded-resource':true"
#define INT_OR_STRING "'x-kubernetes-int-or-string':true"

/* Each stands for the schema of a property "a" of the root. */
static const struct rule_case structural_cases[] = {
                {"{'type':'string'}", NULL, NULL},
                {"{" PRESERVE "}", NULL, NULL},
                {"{" INT_OR_STRING "}", NULL, NULL},
                {"{" INT_OR_STRING ",'anyOf':[{'type':'integer'},{'type':'string'}]}", NULL, NULL},
                {"{" INT_OR_STRING ",'allOf':[{'anyOf':[{'type':'integer'},"
                 "{'type':'string'}]},{'minimum':1}]}",
                                NULL, NULL},
                {"{}", "properties[a].type",
                                "Required value: must not be empty for specified object "
                                "fields"},
                {"{'type':'array','items':{}}", "properties[a].items.type",
                                "Required value: must not be empty for specified array "
                                "items"},
                {"{'type':'array'}", "properties[a].items", "Required value: must be specified"},
                {"{'type':'float'}", "properties[a].type",
                                "Unsupported value: \"float\": supported values: "
                                "\"array\", \"boolean\", \"integer\", \"number\", "
                                "\"object\", \"string\""},
                {"{'type':'null'}", "properties[a].type",
                                "Forbidden: type cannot be set to null, use nullable as "
                                "an alternative"},
                {"{'type':'object','$ref':'#/x'}", "properties[a].$ref",
                                "Forbidden: $ref is not supported"},
                {"{'type':'object','patternProperties':{'a':{}}}",
                                "properties[a].patternProperties",
                                "Forbidden: patternProperties is not supported"},
                {"{'type':'array','items':[{'type':'string'}]}", "properties[a].items",
                                "Forbidden: items must be a schema object and not an "
                                "array"},
                {"{'type':'array','uniqueItems':true,'items':{'type':'string'}}",
                                "properties[a].uniqueItems",
                                "Forbidden: uniqueItems cannot be set to true since the "
                                "runtime complexity becomes quadratic"},
                {"{'type':'object','additionalProperties':false}",
                                "properties[a].additionalProperties",
                                "Forbidden: additionalProperties cannot be set to false"},
                {"{'type':'object','additionalProperties':{'type':'string'},"
                 "'properties':{'b':{'type':'string'}}}",
                                "properties[a].additionalProperties",
                                "Forbidden: additionalProperties and properties are "
                                "mutual exclusive"},
                {"{'type':'string','anyOf':[{'type':'string'}]}", "properties[a].anyOf[0].type",
                                "Forbidden: must be empty to be structural"},
                {"{'type':'string','not':{'default':'x'}}", "properties[a].not.default",
                                "Forbidden: must be undefined to be structural"},
                {"{'type':'string','oneOf':[{'nullable':true}]}", "properties[a].oneOf[0].nullable",
                                "Forbidden: must be false to be structural"},
                {"{'type':'object','anyOf':[{'properties':{'b':{'minimum':1}}}]}", NULL, NULL},
                {"{'type':'array','items':{'type':'object'},'x-kubernetes-list-type':'set'}",
                                "properties[a].items.x-kubernetes-map-type",
                                "Invalid value: must be atomic as item of a list with "
                                "x-kubernetes-list-type=set"},
                {"{'type':'array','items':{'type':'string','nullable':true},"
                 "'x-kubernetes-list-type':'set'}",
                                "properties[a].items.nullable",
                                "Forbidden: cannot be nullable when x-kubernetes-list-type is "
                                "set"},
                {"{'type':'object','properties':{'b':{'type':'integer'}},"
                 "'anyOf':[{'properties':{'b':{'minimum':1}}},{'required':['b']}]}",
                                NULL, NULL},
                {"{'type':'string'," INT_OR_STRING "}", NULL, NULL},
                {"{" EMBEDDED "," PRESERVE "}", "properties[a].type",
                                "Required value: must be object if "
                                "x-kubernetes-embedded-resource is true"},
                {"{'type':'object'," EMBEDDED "}", "properties[a].properties",
                                "Required value: must not be empty if "
                                "x-kubernetes-embedded-resource is true without "
                                "x-kubernetes-preserve-unknown-fields"},
                {"{'type':'object'," EMBEDDED "," PRESERVE "}", NULL, NULL},
                {"{'type':'string','x-kubernetes-list-type':'set'}", "properties[a].type",
                                "Invalid value: \"string\": must be array if "
                                "x-kubernetes-list-type is specified"},
                {"{'type':'array','x-kubernetes-list-type':'map',"
                 "'x-kubernetes-list-map-keys':['k'],'items':{'type':'object',"
                 "'properties':{'k':{'type':'string'}}}}",
                                "properties[a].items.properties[k].default",
                                "Required value: this property is in "
                                "x-kubernetes-list-map-keys, so it must have a default "
                                "or be a required property"},
                {"{'type':'array','x-kubernetes-list-type':'map',"
                 "'x-kubernetes-list-map-keys':['z'],'items':{'type':'object',"
                 "'properties':{'k':{'type':'string'}}}}",
                                "properties[a].x-kubernetes-list-map-keys[0]",
                                "Invalid value: \"z\": entries must all be names of item "
                                "properties"},
                {"{'type':'array','x-kubernetes-list-type':'map',"
                 "'x-kubernetes-list-map-keys':['k'],'items':{'type':'object',"
                 "'required':['k'],'properties':{'k':{'type':'string'}}}}",
                                NULL, NULL},
                {"{'type':'object','x-kubernetes-map-type':'odd'}",
                                "properties[a].x-kubernetes-map-type",
                                "Unsupported value: \"odd\": supported values: \"atomic\", "
                                "\"granular\""},
};
static const struct rule_case root_cases[] = {
                {"{}", "type", "Required value: must not be empty at the root"},
                {"{'type':'string'}", "type",
                                "Invalid value: \"string\": must be object at the root"},
                {"{'type':'object','properties':{'metadata':{'type':'object',"
                 "'properties':{'name':{'type':'string','maxLength':3}}}}}",
                                NULL, NULL},
                {"{'type':'object','properties':{'metadata':{'type':'object',"
                 "'properties':{'labels':{'type':'object'}}}}}",
                                "properties[metadata]",
                                "Forbidden: must not specify anything other than name and "
                                "generateName, but metadata is implicitly specified"},
                {"{'type':'object','properties':{'kind':{'type':'integer'}}}",
                                "properties[kind].type",
                                "Invalid value: \"integer\": must be string"},
};

static void test_structural(void **state) {
        for (size_t i = 0; i < ELEMENTS(structural_cases); i++) {
                _cleanup_free_ char *text = strformat("{'type':'object','properties':{'a':%s}}",
                                structural_cases[i].document);
                _cleanup_json_ json_t *doc = parse(text);
                _cleanup_findings_ struct findings f = {0};

                schema_check_structural(&f, doc);
                check_case(&structural_cases[i], &f);
        }
        for (size_t i = 0; i < ELEMENTS(root_cases); i++) {
                _cleanup_json_ json_t *doc = parse(root_cases[i].document);
                _cleanup_findings_ struct findings f = {0};

                schema_check_structural(&f, doc);
                check_case(&root_cases[i], &f);
        }
}

#define VERSION(more) \
        "{'name':'v1','served':true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object'," \
        "'properties':{'spec':{'type':'object','properties':{'s':{'type':'string'},'o':{'type':" \
        "'object'}}}}}}" more "}"
#define SCALE(spec, status) \
        ",'subresources':{'scale':{'specReplicasPath':'" spec "','statusReplicasPath':'" status \
        "'}}"

/* Parts of a definition's spec. */
static const struct rule_case rule_cases[] = {
                {"'versions':[" VERSION("") "]", NULL, NULL},
                {"'versions':[" VERSION("") "," VERSION("") "]", "spec.versions",
                                "Invalid value: [\"v1\",\"v1\"]: must contain unique "
                                "version names"},
                {"'names':{'kind':'A','listKind':'A'}", "spec.names.listKind",
                                "Invalid value: \"A\": kind and listKind may not be the "
                                "same"},
                {"'names':{'kind':'A','shortNames':['x_']}", "spec.names.shortNames[0]",
                                "Invalid value: \"x_\": a DNS-1035 label must consist of "
                                "lower case alphanumeric characters or '-', start with an "
                                "alphabetic character, and end with an alphanumeric "
                                "character (e.g. 'my-name',  or 'abc-123', regex used for "
                                "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"},
                {"'versions':[" VERSION(SCALE(".spec.n", ".status.n")) "]", NULL, NULL},
                {"'versions':[" VERSION(SCALE(".status.n", ".status.n")) "]",
                                "spec.versions[0].subresources.scale.specReplicasPath",
                                "Invalid value: \".status.n\": should be a json path "
                                "under .spec"},
                {"'versions':[" VERSION(",'additionalPrinterColumns':[{'name':'','jsonPath':'.x'}]"
                                        "") "]",
                                "spec.versions[0].additionalPrinterColumns[0].name",
                                "Required value"},
                {"'versions':[" VERSION(",'additionalPrinterColumns':[{'name':'a','format':'odd',"
                                        "'jsonPath':'.x'}]") "]",
                                "spec.versions[0].additionalPrinterColumns[0].format",
                                "Invalid value: \"odd\": must be one of byte,date,date-time,"
                                "double,float,int32,int64,password"},
                {"'versions':[" VERSION(",'additionalPrinterColumns':[{'name':'a',"
                                        "'jsonPath':'spec.x'}]") "]",
                                "spec.versions[0].additionalPrinterColumns[0].jsonPath",
                                "Invalid value: \"spec.x\": must be a simple json path "
                                "starting with ."},
                {"'versions':[" VERSION(",'selectableFields':[{'jsonPath':'.spec.s'}]") "]", NULL,
                                NULL},
                {"'versions':[" VERSION(",'selectableFields':[{'jsonPath':'.spec.z'}]") "]",
                                "spec.versions[0].selectableFields[0].jsonPath",
                                "Invalid value: \".spec.z\": is an invalid path: does not "
                                "refer to a valid field"},
                {"'versions':[" VERSION(",'selectableFields':[{'jsonPath':'.spec.o'}]") "]",
                                "spec.versions[0].selectableFields[0].jsonPath",
                                "Invalid value: \".spec.o\": must point to a field of type "
                                "string, boolean or integer. Enum string fields and "
                                "strings with formats are allowed."},
                {"'versions':[" VERSION(",'selectableFields':[{'jsonPath':'.spec.s'},"
                                        "{'jsonPath':'.spec.s'}]") "]",
                                "spec.versions[0].selectableFields[1].jsonPath",
                                "Duplicate value: \".spec.s\""},
                {"'preserveUnknownFields':true", "spec.preserveUnknownFields",
                                "Invalid value: true: cannot set to true, set "
                                "x-kubernetes-preserve-unknown-fields to true in "
                                "spec.versions[*].schema instead"},
                {"'conversion':{'strategy':'None','webhook':{}}", "spec.conversion.webhook",
                                "Forbidden: should not be set when strategy is not set to "
                                "Webhook"},
                {"'conversion':{'strategy':'Webhook','webhook':{'clientConfig':{'url':"
                 "'https://a'},'conversionReviewVersions':['v1']}}",
                                NULL, NULL},
                {"'conversion':{'strategy':'Webhook','webhook':{'clientConfig':{'url':"
                 "'http://a'},'conversionReviewVersions':['v1']}}",
                                "spec.conversion.webhook.clientConfig.url",
                                "Invalid value: \"http://a\": 'https' is the only allowed "
                                "URL scheme"},
                {"'conversion':{'strategy':'Webhook','webhook':{'clientConfig':{},"
                 "'conversionReviewVersions':['v1']}}",
                                "spec.conversion.webhook.clientConfig",
                                "Required value: exactly one of url or service is "
                                "required"},
                {"'conversion':{'strategy':'Webhook','webhook':{'clientConfig':{'url':"
                 "'https://a'},'conversionReviewVersions':['v9']}}",
                                "spec.conversion.webhook.conversionReviewVersions",
                                "Invalid value: [\"v9\"]: must include at least one of "
                                "v1, v1beta1"},
};

static void test_rules(void **state) {
        for (size_t i = 0; i < ELEMENTS(rule_cases); i++) {
                _cleanup_free_ char *text = strformat("{'spec':{%s}}", rule_cases[i].document);
                _cleanup_json_ json_t *crd = parse(text);
                _cleanup_findings_ struct findings f = {0};

                crd_validate_spec(&f, crd);
                check_case(&rule_cases[i], &f);
        }
}

static void test_stored_versions(void **state) {
        static const struct rule_case cases[] = {
                        {"['v1']", NULL, NULL},
                        {"['v1','v2']", NULL, NULL},
                        {"[]", "status.storedVersions",
                                        "Invalid value: []: must have at least one stored version"},
                        {"['v2']", "status.storedVersions",
                                        "Invalid value: [\"v2\"]: must have the storage version "
                                        "v1"},
                        {"['v0','v1']", "status.storedVersions[0]",
                                        "Invalid value: \"v0\": must appear in spec.versions"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text =
                                strformat("{'spec':{'versions':[{'name':'v1','storage':true},"
                                          "{'name':'v2'}]},'status':{'storedVersions':%s}}",
                                                cases[i].document);
                _cleanup_json_ json_t *crd = parse(text);
                _cleanup_findings_ struct findings f = {0};

                crd_validate_stored_versions(&f, crd);
                check_case(&cases[i], &f);
        }
}

/* --- the end --- */

static void test_delete_object(void **state) {
        static const struct {
                const char *metadata;
                int act;
        } cases[] = {
                        {"{'name':'a'}", CRD_OBJECT_DELETE},
                        {"{'name':'a','finalizers':[]}", CRD_OBJECT_DELETE},
                        {"{'name':'a','deletionTimestamp':'2024-01-01T00:00:00Z'}",
                                        CRD_OBJECT_DELETE},
                        {"{'name':'a','finalizers':['x/y'],'generation':3,'resourceVersion':'7'}",
                                        CRD_OBJECT_MARK},
                        {"{'name':'a','finalizers':['x/y'],'deletionTimestamp':"
                         "'2024-01-01T00:00:00Z'}",
                                        CRD_OBJECT_WAITS},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat("{'metadata':%s}", cases[i].metadata);
                _cleanup_json_ json_t *object = parse(text), *marked = NULL;

                assert_int_equal(crd_delete_object(object, NOW_S * 1000000ULL, &marked),
                                cases[i].act);
                assert_int_equal(marked != NULL, cases[i].act == CRD_OBJECT_MARK);
                if (marked)
                        assert_json(marked, "{'metadata':{'name':'a','finalizers':['x/y'],"
                                            "'generation':4,'deletionGracePeriodSeconds':0,"
                                            "'deletionTimestamp':'2023-11-14T22:13:20Z'}}");
        }
}

static const json_t *terminating(const json_t *crd) {
        return object_condition(crd, "Terminating");
}

static void test_delete_definition(void **state) {
        _cleanup_json_ json_t *crd = parse("{'metadata':{'name':'as.b.c','finalizers':['x/y',"
                                           "'" CRD_FINALIZER "']}}");
        uint64_t now = NOW_S * 1000000ULL;

        assert_false(crd_wants_cleanup(crd));
        json_set_str(crd, "metadata.deletionTimestamp", "2024-01-01T00:00:00Z");
        assert_true(crd_wants_cleanup(crd));
        assert_int_equal(crd_delete_progress(crd,
                                         &(struct crd_remains){.waiting = 2,
                                                         .object = "d/a",
                                                         .finalizer = "x/y"},
                                         now),
                        1);
        assert_string_equal(json_str_or(terminating(crd), "message", ""),
                        "CustomResource deletion is in progress: 2 held by finalizers, such as "
                        "d/a (x/y)");
        assert_string_equal(json_str_or(terminating(crd), "status", ""), "True");
        assert_int_equal(crd_delete_progress(crd,
                                         &(struct crd_remains){.waiting = 2,
                                                         .object = "d/a",
                                                         .finalizer = "x/y"},
                                         now + 1000000),
                        0);
        /* Another's finalizer holds the definition; without one it goes. */
        assert_int_equal(crd_delete_finish(crd, now), 1);
        assert_false(crd_wants_cleanup(crd));
        assert_string_equal(
                        json_str_or(terminating(crd), "reason", ""), "InstanceDeletionCompleted");
        json_set_at(crd, "metadata.finalizers", json_pack("[s]", CRD_FINALIZER));
        assert_int_equal(crd_delete_finish(crd, now), 0);
}

/* What a definition's schema has no more is not shown, though it is stored. */
static void test_pruned_on_read(void **state) {
        static const char text[] =
                        "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition',"
                        "'metadata':{'name':'as.rules.example.com','generation':%d},'spec':{"
                        "'group':'rules.example.com','scope':'Namespaced','names':{'plural':'as',"
                        "'kind':'A'},'versions':[{'name':'v1','served':true,'storage':true,"
                        "'schema':{'openAPIV3Schema':{'type':'object','properties':{'spec':{"
                        "'type':'object','properties':{'kept':{'type':'string'}}}}}}}]}}";

        for (int generation = 1; generation <= 2; generation++) {
                _cleanup_free_ char *definition = strformat(text, generation);
                _cleanup_json_ json_t *crd = parse(definition), *shown = NULL;
                _cleanup_json_ json_t *stored = parse(
                                "{'apiVersion':'rules.example.com/v1','kind':'A','metadata':{"
                                "'name':'a','namespace':'d'},'spec':{'kept':'k','lost':'l'}}");
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(kind_registry_add_crd(registry, crd, &p), 0);
                shown = pipeline_fill(kind("rules.example.com", "as"), stored);
                /* A definition that was never changed has checked all that is stored. */
                assert_int_equal(json_at(shown, "spec.lost") != NULL, generation == 1);
                assert_string_equal(json_str_or(shown, "spec.kept", ""), "k");
        }
        kind_registry_remove_crd(registry, "as.rules.example.com");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_structural),
                        cmocka_unit_test(test_rules),
                        cmocka_unit_test(test_stored_versions),
                        cmocka_unit_test(test_delete_object),
                        cmocka_unit_test(test_delete_definition),
                        cmocka_unit_test(test_pruned_on_read),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
