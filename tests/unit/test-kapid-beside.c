/* What a random comparison with the reference API server found: ownership, nulls, empty metadata,
 * duplicates and numbers, on a custom kind with every sort of list and on pods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/patch/managed.h"
#include "kapid/patch/patch.h"
#include "tests/unit/kapid-cases.h"

enum { NOW_S = 1700000000 };

#define MIX(metadata, spec) \
        "{'apiVersion':'diff.example.com/v1','kind':'Mix','metadata':{'name':'m'," metadata \
        "'namespace':'d'}" spec "}"

static int setup_mix(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *crd = parse(
                        "{'metadata':{'name':'mixes.diff.example.com'},'spec':{'group':"
                        "'diff.example.com','scope':'Namespaced','names':{'plural':'mixes',"
                        "'kind':'Mix','singular':'mix','listKind':'MixList'},'versions':[{'name':"
                        "'v1','served':true,'storage':true,'subresources':{'status':{}},'schema':{"
                        "'openAPIV3Schema':{'type':'object','properties':{'status':{'type':"
                        "'object','properties':{'x':{'type':'string'}}},'spec':{'type':'object',"
                        "'properties':{"
                        "'n':{'type':'integer'},'def':{'type':'string','default':'d'},"
                        "'nul':{'type':'string','nullable':true},"
                        "'m':{'type':'object','additionalProperties':{'type':'string'}},"
                        "'atom':{'type':'array','items':{'type':'string'}},"
                        "'set':{'type':'array','items':{'type':'number'},"
                        "'x-kubernetes-list-type':'set'},"
                        "'lm':{'type':'array','x-kubernetes-list-type':'map',"
                        "'x-kubernetes-list-map-keys':['name'],'items':{'type':'object',"
                        "'required':['name'],'properties':{'name':{'type':'string'},"
                        "'v':{'type':'string'}}}}}}}}}}]}}");

        if (setup(state) < 0 || kind_registry_add_crd(registry, crd, &p) < 0) {
                fprintf(stderr, "%s\n", strempty(p.message));
                return -1;
        }
        return 0;
}

static const struct kind *mix(void) {
        return kind("diff.example.com", "mixes");
}

static struct apply_options by(const char *manager, const char *subresource) {
        return (struct apply_options){.manager = manager,
                        .subresource = subresource,
                        .now_us = NOW_S * 1000000ULL};
}

static json_t *apply(const struct kind *k, const json_t *live, const char *text,
                struct apply_options o, struct problem *p) {
        _cleanup_free_ char *body = quoted(text);
        _cleanup_decoded_ struct decoded d = {0};

        return apply_run(k, body, strlen(body), live, &o, &d, p) < 0 ? NULL : TAKE_PTR(d.object);
}

static const json_t *owners(const json_t *object) {
        return json_at(object, "metadata.managedFields");
}

static void test_empty_metadata(void **state) {
        static const char *const cases[] = {"'labels':{},", "'annotations':{},", "'finalizers':[],",
                        "'ownerReferences':[],"};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat(MIX("%s", ""), cases[i]);
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *a = apply(mix(), NULL, text, by("m1", ""), &p);
                _cleanup_decoded_ struct decoded d = {0};
                _cleanup_free_ char *body = quoted(text);

                assert_json(json_object_get(a, "metadata"), "{'name':'m','namespace':'d'}");
                assert_int_equal(pipeline_decode(mix(), NULL, NULL, body, strlen(body),
                                                 FIELD_VALIDATION_STRICT, &d, &p),
                                0);
                assert_json(json_object_get(d.object, "metadata"), "{'name':'m','namespace':'d'}");
        }
}

/* The last label goes, and the empty map with it. */
static void test_last_label(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *a =
                        apply(mix(), NULL, MIX("'labels':{'a':'x'},", ""), by("m2", ""), &p);
        _cleanup_json_ json_t *b = apply(mix(), a, MIX("", ""), by("m2", ""), &p);

        assert_non_null(json_at(a, "metadata.labels"));
        assert_json(json_object_get(b, "metadata"), "{'name':'m','namespace':'d'}");
}

static void test_status_owns_status_only(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *a = apply(mix(), NULL, MIX("", ""), by("m1", ""), &p);
        _cleanup_json_ json_t *b = apply(mix(), a,
                        MIX("'labels':{'a':'b'},'ownerReferences':[{'uid':'u','name':'n','kind':"
                            "'K','apiVersion':'v1'}],",
                                        ",'spec':{'n':1}"),
                        by("m3", "status"), &p);

        assert_non_null(b);
        assert_null(owners(b));
}

/* Ownership begins with a create or an apply that owns something; then all there was before belongs
 * to before-first-apply, objects and empty lists too. */
static void test_untracked(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *a =
                        apply(mix(), NULL, MIX("", ",'spec':{'lm':[]}"), by("m1", ""), &p);
        _cleanup_json_ json_t *changed = json_deep_copy(a);
        struct apply_options o = by("u1", "");

        assert_null(owners(a));
        json_set_int(changed, "spec.n", 3);
        assert_int_equal(managed_update(mix(), a, changed, &o), 0);
        assert_null(owners(changed));
        _cleanup_json_ json_t *b = apply(mix(), a, MIX("", ""), by("m3", ""), &p);
        assert_string_equal(
                        json_str(json_array_get(owners(b), 0), "manager"), "before-first-apply");
        assert_json(json_object_get(json_array_get(owners(b), 0), "fieldsV1"),
                        "{'f:spec':{'.':{},'f:lm':{}}}");
}

static void test_nulls(void **state) {
        static const struct {
                const char *spec, *field;
        } cases[] = {{"'n':null", "spec.n"}, {"'m':null", "spec.m"}, {"'lm':null", "spec.lm"},
                        {"'set':null", "spec.set"},
                        {"'lm':[{'name':'a','v':null}]", "spec.lm[0].v"},
                        {"'m':{'k':null}", "spec.m.k"}, {"'def':null", NULL}, {"'nul':null", NULL}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat(MIX("", ",'spec':{%s}"), cases[i].spec);
                _cleanup_problem_ struct problem p = {0}, q = {0};
                _cleanup_json_ json_t *a = apply(mix(), NULL, text, by("m1", ""), &p);
                _cleanup_decoded_ struct decoded d = {0};
                _cleanup_free_ char *body = quoted(text);

                assert_int_equal(pipeline_default(mix(), a), 0);
                int r = pipeline_validate_create(mix(), a, &p);
                if ((r < 0) != (cases[i].field != NULL))
                        fail_msg("%s: %s", text, strempty(p.message));
                if (r < 0)
                        assert_string_equal(json_str(json_array_get(p.causes, 0), "field"),
                                        cases[i].field);
                /* A create or an update drops them. */
                assert_int_equal(pipeline_decode(mix(), NULL, NULL, body, strlen(body),
                                                 FIELD_VALIDATION_STRICT, &d, &q),
                                0);
                assert_int_equal(pipeline_default(mix(), d.object), 0);
                assert_int_equal(pipeline_validate_create(mix(), d.object, &q), 0);
        }
}

static void test_numbers(void **state) {
        static const struct {
                double d;
                const char *text;
        } cases[] = {{0.1, "0.1"}, {1, "1"}, {-2.5, "-2.5"}, {1e20, "100000000000000000000"},
                        {1e21, "1e+21"}, {1e-6, "0.000001"}, {1e-7, "1e-7"},
                        {1.0 / 3, "0.3333333333333333"},
                        {9223372036854775808.0, "9223372036854775808"}, {5e-324, "5e-324"},
                        {1.7976931348623157e308, "1.7976931348623157e+308"}};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *a = apply(mix(), NULL,
                        MIX("", ",'spec':{'set':[0.1,2.0,9223372036854775808]}"), by("m1", ""), &p);
        char buffer[JSON_REAL_SIZE];

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_string_equal(json_real_text(cases[i].d, buffer), cases[i].text);
        assert_json(json_object_get(json_array_get(owners(a), 0), "fieldsV1"),
                        "{'f:spec':{'f:set':{'v:0.1':{},'v:2':{},'v:9223372036854775808':{}}}}");
        _cleanup_free_ char *text = json_text(json_at(a, "spec.set"));
        assert_string_equal(text, "[0.1,2.0,9223372036854775808.0]");
}

static void test_conflicts_sorted(void **state) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *a = apply(mix(), NULL,
                        MIX("", ",'spec':{'n':2,'m':{'x':'1'},'atom':[]}"), by("m1", ""), &p);
        _cleanup_json_ json_t *b = apply(mix(), a,
                        MIX("", ",'spec':{'n':3,'m':{'x':'2'},'atom':['z']}"), by("m3", ""), &p);

        assert_null(b);
        assert_string_equal(p.message, "Apply failed with 3 conflicts: conflicts with \"m1\":\n"
                                       "- .spec.atom\n- .spec.n\n- .spec.m.x");
}

#define POD(more) \
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'d'},'spec':{" \
        "'containers':[{'name':'c','image':'i'," more "}]}}"

/* Lists that typed validation does not look at may hold a key twice, except in an apply. */
static void test_twins(void **state) {
        static const struct {
                const char *text;
                bool refused;
        } cases[] = {
                        {POD("'env':[{'name':'A','value':'1'},{'name':'A','value':'2'}]"), false},
                        {POD("'ports':[{'containerPort':80},{'containerPort':80}]"), false},
                        {POD("'volumeDevices':[{'devicePath':'/a','name':'v'},{'devicePath':'/a',"
                             "'name':'v'}]"),
                                        true},
        };
        const struct kind *k = kind("", "pods");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o = parse(cases[i].text);
                _cleanup_problem_ struct problem p = {0}, q = {0};
                bool refused;

                assert_int_equal(pipeline_default(k, o), 0);
                refused = pipeline_validate_create(k, o, &p) < 0 && p.message &&
                          strstr(p.message, "Duplicate value");
                if (refused != cases[i].refused)
                        fail_msg("%s: %s", cases[i].text, strempty(p.message));
                assert_null(apply(k, NULL, cases[i].text, by("m", ""), &q));
                assert_int_equal(q.code, 422);
                assert_non_null(strstr(q.message, "Duplicate value"));
        }
}

/* An apply beside twins leaves them; one that names their key makes them one. */
static void test_apply_over_twins(void **state) {
        _cleanup_json_ json_t *live =
                        parse(POD("'env':[{'name':'A','value':'1'},{'name':'A','value':'2'},"
                                  "{'name':'B','value':'3'}]"));
        _cleanup_problem_ struct problem p = {0};
        struct apply_options o = by("m", "");

        o.force = true;
        _cleanup_json_ json_t *beside = apply(
                        kind("", "pods"), live, POD("'env':[{'name':'C','value':'4'}]"), o, &p);
        assert_json(json_object_get(json_array_get(json_at(beside, "spec.containers"), 0), "env"),
                        "[{'name':'A','value':'1'},{'name':'A','value':'2'},{'name':'B','value':"
                        "'3'},{'name':'C','value':'4'}]");
        _cleanup_json_ json_t *over = apply(
                        kind("", "pods"), live, POD("'env':[{'name':'A','value':'9'}]"), o, &p);
        assert_json(json_object_get(json_array_get(json_at(over, "spec.containers"), 0), "env"),
                        "[{'name':'A','value':'9'},{'name':'B','value':'3'}]");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_empty_metadata),
                        cmocka_unit_test(test_last_label),
                        cmocka_unit_test(test_status_owns_status_only),
                        cmocka_unit_test(test_untracked),
                        cmocka_unit_test(test_nulls),
                        cmocka_unit_test(test_numbers),
                        cmocka_unit_test(test_conflicts_sorted),
                        cmocka_unit_test(test_twins),
                        cmocka_unit_test(test_apply_over_twins),
        };

        return cmocka_run_group_tests(tests, setup_mix, teardown);
}
