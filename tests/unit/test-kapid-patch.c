/* JSON patch, merge patch, strategic merge patch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/patch/patch.h"
#include "lib/buf.h"
#include "tests/unit/kapid-cases.h"

static void test_json_patch(void **state) {
        static const struct {
                const char *target, *patch, *result; /* NULL: refused */
        } cases[] = {
                        {"{'a':1}", "[{'op':'add','path':'/b','value':[1]}]", "{'a':1,'b':[1]}"},
                        {"{'a':[1,3]}", "[{'op':'add','path':'/a/1','value':2}]", "{'a':[1,2,3]}"},
                        {"{'a':[1]}", "[{'op':'add','path':'/a/-','value':2}]", "{'a':[1,2]}"},
                        {"{'a':[1]}", "[{'op':'add','path':'/a/2','value':2}]", NULL},
                        {"{'a':1}", "[{'op':'remove','path':'/a'}]", "{}"},
                        {"{'a':1}", "[{'op':'remove','path':'/b'}]", NULL},
                        {"{'a':1}", "[{'op':'replace','path':'/a','value':null}]", "{'a':null}"},
                        {"{'a':1}", "[{'op':'replace','path':'/b','value':1}]", "{'a':1,'b':1}"},
                        {"{'a':1}", "[{'op':'replace','path':'/b/c','value':1}]", NULL},
                        {"{'a':[1]}", "[{'op':'replace','path':'/a/0','value':2}]", "{'a':[2]}"},
                        {"{'a':[1]}", "[{'op':'replace','path':'/a/1','value':2}]", NULL},
                        {"{'a':[1]}", "[{'op':'replace','path':'/a/-','value':2}]", NULL},
                        {"{'a':[1,2]}", "[{'op':'remove','path':'/a/-1'}]", "{'a':[1]}"},
                        {"{'a':[1,2]}", "[{'op':'replace','path':'/a/-2','value':3}]",
                                        "{'a':[3,2]}"},
                        {"{'a':[1,2]}", "[{'op':'add','path':'/a/-1','value':3}]", "{'a':[1,2,3]}"},
                        {"{'a':[1,2]}", "[{'op':'add','path':'/a/-3','value':3}]", "{'a':[3,1,2]}"},
                        {"{'a':[1,2]}", "[{'op':'test','path':'/a/-1','value':2}]", "{'a':[1,2]}"},
                        {"{'a':[1,2]}", "[{'op':'remove','path':'/a/-3'}]", NULL},
                        {"{'a':[1,2]}", "[{'op':'remove','path':'/a/--1'}]", NULL},
                        {"{'a':{'b':1}}", "[{'op':'move','from':'/a/b','path':'/c'}]",
                                        "{'a':{},'c':1}"},
                        {"{'a':{'b':1}}", "[{'op':'move','from':'/a','path':'/a/b'}]", NULL},
                        {"{'a':{'b':1}}", "[{'op':'copy','from':'/a','path':'/c'}]",
                                        "{'a':{'b':1},'c':{'b':1}}"},
                        {"{'a':1}", "[{'op':'test','path':'/a','value':1}]", "{'a':1}"},
                        {"{'a':1}", "[{'op':'test','path':'/a','value':2}]", NULL},
                        {"{'a':1}", "[{'op':'test','path':'/z','value':null}]", "{'a':1}"},
                        {"{'a/b':{'~':1}}", "[{'op':'replace','path':'/a~1b/~0','value':2}]",
                                        "{'a/b':{'~':2}}"},
                        {"{'a':1}", "[{'op':'replace','path':'','value':{'x':1}}]", "{'x':1}"},
                        {"{'a':1}", "[{'op':'test','path':'/a/b','value':null}]", NULL},
                        {"{'a':[1]}", "[{'op':'test','path':'/a/1','value':null}]", NULL},
                        {"{'a':1}", "[{'op':'frobnicate','path':'/a'}]", NULL},
                        {"{'a':1}", "[{'op':'add','path':'/b'}]", NULL},
                        {"{'a':1}", "[{'op':'remove'}]", NULL},
                        {"{'a':1}", "[{'op':'add','path':'a','value':1}]", NULL},
                        {"{'a':1}", "[{'op':'add','path':'/a/b','value':1}]", NULL},
                        {"{'a':[1]}", "[{'op':'remove','path':'/a/00'}]", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *target = parse(cases[i].target),
                                      *patch = parse(cases[i].patch), *result = NULL;
                _cleanup_problem_ struct problem p = {0};
                int r = patch_json(target, patch, &result, &p);

                if (!cases[i].result) {
                        assert_true(r < 0);
                        assert_int_equal(p.code, 422);
                } else {
                        assert_int_equal(r, 0);
                        assert_json(result, cases[i].result);
                }
                assert_json(target, cases[i].target);
        }
}

static int run_text(const char *target, const char *operations, json_t **ret) {
        _cleanup_json_ json_t *was = json_loads(target, 0, NULL),
                              *list = json_loads(operations, 0, NULL);
        _cleanup_problem_ struct problem p = {0};

        assert_non_null(was);
        assert_non_null(list);
        return patch_json(was, list, ret, &p);
}

static void append_times(struct buf *b, const char *text, unsigned n) {
        while (n-- > 0)
                buf_append_str(b, text);
}

/* Operations that move values into each other would nest deeper than any stack is. */
static void test_json_patch_nesting(void **state) {
        enum { LEVELS = 90, ROUNDS = 3000 };
        _cleanup_json_ json_t *result = NULL;
        _cleanup_buf_ struct buf b = {0}, siblings = {0};

        buf_append_char(&b, '[');
        for (unsigned i = 0; i < ROUNDS; i++) {
                buf_append_str(&b, i > 0 ? ",{\"op\":\"add\",\"path\":\"/y\",\"value\":"
                                         : "{\"op\":\"add\",\"path\":\"/y\",\"value\":");
                append_times(&b, "{\"\":", LEVELS);
                buf_append_str(&b, "{}");
                append_times(&b, "}", LEVELS);
                buf_append_str(&b, "},{\"op\":\"move\",\"from\":\"/x\",\"path\":\"/y");
                append_times(&b, "/", LEVELS);
                buf_append_str(&b, "/k\"},{\"op\":\"move\",\"from\":\"/y\",\"path\":\"/x\"}");
        }
        buf_append_char(&b, ']');
        assert_int_equal(run_text("{\"x\":{}}", b.data, &result), -EINVAL);

        /* What goes from place to place is no deeper than before. */
        buf_append_char(&siblings, '[');
        for (unsigned i = 0; i < ROUNDS; i++)
                buf_append_str(&siblings,
                                i == 0 ? "{\"op\":\"copy\",\"from\":\"/a/b\",\"path\":\"/a/c\"}"
                                       : ",{\"op\":\"copy\",\"from\":\"/a/b\","
                                         "\"path\":\"/a/c\"}");
        buf_append_char(&siblings, ']');
        assert_int_equal(run_text("{\"a\":{\"b\":{}}}", siblings.data, &result), 0);
        assert_json(result, "{'a':{'b':{},'c':{}}}");
}

/* The examples of RFC 7386's appendix. */
static void test_merge_patch(void **state) {
        static const struct {
                const char *target, *patch, *result;
        } cases[] = {
                        {"{'a':'b'}", "{'a':'c'}", "{'a':'c'}"},
                        {"{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}"},
                        {"{'a':'b'}", "{'a':null}", "{}"},
                        {"{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}"},
                        {"{'a':['b']}", "{'a':'c'}", "{'a':'c'}"},
                        {"{'a':'c'}", "{'a':['b']}", "{'a':['b']}"},
                        {"{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}"},
                        {"{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}"},
                        {"{'e':null}", "{'a':1}", "{'e':null,'a':1}"},
                        {"{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}"},
                        /* not in it: members that are null go also in lists */
                        {"{'a':[{'b':1}]}", "{'a':[{'b':null,'c':[{'d':null}]},null]}",
                                        "{'a':[{'c':[{}]},null]}"},
                        {"{}", "{'a':[{'b':null,'c':1}]}", "{'a':[{'c':1}]}"},
                        {"{'a':{'b':1}}", "{'a':[{'b':null}]}", "{'a':[{'b':null}]}"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *target = parse(cases[i].target),
                                      *patch = parse(cases[i].patch), *result = NULL;

                assert_int_equal(patch_merge(target, patch, &result), 0);
                assert_json(result, cases[i].result);
                assert_json(target, cases[i].target);
        }
}

/* Each on a pod's spec. */
static const struct {
        const char *target, *patch, *result;
} strategic_cases[] = {
                /* merge by key; what only the object has stands behind */
                {"{'containers':[{'name':'a','image':'1'},{'name':'b'}]}",
                                "{'containers':[{'name':'c'},{'name':'a','image':'2'}]}",
                                "{'containers':[{'name':'c'},{'name':'a','image':'2'},{'"
                                "name':'b'}]}"},
                {"{'containers':[{'name':'b'}]}", "{'containers':[{'name':'c'}]}",
                                "{'containers':[{'name':'c'},{'name':'b'}]}"},
                {"{'containers':[{'name':'a'},{'name':'b'}]}",
                                "{'containers':[{'name':'b'},{'name':'c'}]}",
                                "{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}"},
                /* lists without a strategy are replaced */
                {"{'tolerations':[{'key':'a'}]}", "{'tolerations':[{'key':'b'}]}",
                                "{'tolerations':[{'key':'b'}]}"},
                {"{'containers':[{'name':'a','args':['1','2']}]}",
                                "{'containers':[{'name':'a','args':['3']}]}",
                                "{'containers':[{'name':'a','args':['3']}]}"},
                /* nested merge keys */
                {"{'containers':[{'name':'a','env':[{'name':'X','value':'1'}],'ports':[{'"
                 "containerPort':80}]}]}",
                                "{'containers':[{'name':'a','env':[{'name':'Y','value':'2'}"
                                "],'ports':[{'containerPort':80,'name':'web'}]}]}",
                                "{'containers':[{'name':'a','env':[{'name':'Y','value':'2'}"
                                ",{'name':'X','value':'1'}],'ports':[{'containerPort':80,"
                                "'name':'web'}]}]}"},
                /* nulls, $patch: delete and $patch: replace */
                {"{'hostname':'h','nodeSelector':{'a':'1','b':'2'}}",
                                "{'hostname':null,'nodeSelector':{'a':null,'c':'3'}}",
                                "{'nodeSelector':{'b':'2','c':'3'}}"},
                {"{'containers':[{'name':'a'},{'name':'b'}]}",
                                "{'containers':[{'$patch':'delete','name':'a'},{'name':'c'}"
                                "]}",
                                "{'containers':[{'name':'c'},{'name':'b'}]}"},
                {"{'securityContext':{'runAsUser':1}}", "{'securityContext':{'$patch':'delete'}}",
                                "{}"},
                {"{'securityContext':{'runAsUser':1}}",
                                "{'securityContext':{'$patch':'replace','runAsGroup':2}}",
                                "{'securityContext':{'runAsGroup':2}}"},
                {"{'containers':[{'name':'a'},{'name':'b'}]}",
                                "{'containers':[{'name':'c'},{'$patch':'replace'}]}",
                                "{'containers':[{'name':'c'}]}"},
                {"{'containers':[{'name':'a','image':'1','args':['x']}]}",
                                "{'containers':[{'name':'a','image':'2','$patch':'replace'}"
                                "]}",
                                "{'containers':[]}"},
                /* where the object has nothing a directive has nothing to steer */
                {"{}", "{'containers':[{'name':'a','$patch':'replace'},{'name':'b'}]}",
                                "{'containers':[{'name':'b'}]}"},
                {"{}", "{'volumes':[{'name':'w','$patch':'merge'}]}", "{'volumes':[]}"},
                {"{}", "{'volumes':[{}]}", "{'volumes':[{}]}"},
                {"{}", "{'securityContext':{'$patch':'merge','runAsUser':1}}", "{}"},
                {"{}", "{'affinity':{'podAffinity':{'$retainKeys':[]},'x':null}}",
                                "{'affinity':{'podAffinity':{}}}"},
                /* order */
                {"{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}",
                                "{'$setElementOrder/"
                                "containers':[{'name':'c'},{'name':'n'},{'name':'a'}],'"
                                "containers':[{'name':'n'}]}",
                                "{'containers':[{'name':'b'},{'name':'c'},{'name':'n'},{'"
                                "name':'a'}]}"},
                {"{'containers':[{'name':'a'},{'name':'b'}]}",
                                "{'$setElementOrder/"
                                "containers':[{'name':'b'},{'name':'a'}]}",
                                "{'containers':[{'name':'b'},{'name':'a'}]}"},
                /* the last entry is deleted, and the order of what is left is none */
                {"{'imagePullSecrets':[{'name':'a'}]}",
                                "{'$setElementOrder/imagePullSecrets':[],"
                                "'imagePullSecrets':[{'name':'a','$patch':'delete'}]}",
                                "{'imagePullSecrets':[]}"},
                /* retainKeys: another volume source replaces */
                {"{'volumes':[{'name':'v','emptyDir':{}},{'name':'w'}]}",
                                "{'volumes':[{'name':'v','$retainKeys':['name','hostPath'],"
                                "'hostPath':{'path':'/x'}}]}",
                                "{'volumes':[{'name':'v','hostPath':{'path':'/"
                                "x'}},{'name':'w'}]}"},
};

static void test_strategic(void **state) {
        _cleanup_problem_ struct problem p = {0};

        for (size_t i = 0; i < ELEMENTS(strategic_cases); i++) {
                _cleanup_json_ json_t *target =
                                json_pack("{s:o}", "spec", parse(strategic_cases[i].target));
                _cleanup_json_ json_t *patch = json_pack("{s:o}", "spec",
                                                      parse(strategic_cases[i].patch)),
                                      *result = NULL;

                assert_int_equal(patch_strategic(kind("", "pods")->schema, target, patch, &result,
                                                 &p),
                                0);
                assert_json(json_object_get(result, "spec"), strategic_cases[i].result);
                assert_json(json_object_get(target, "spec"), strategic_cases[i].target);
        }
}

/* Each on a pod's spec with one container, one volume and a selector. */
static void test_strategic_refused(void **state) {
        static const struct {
                const char *patch, *why;
        } cases[] = {
                        {"{'$patch':'merge'}", "unknown $patch directive"},
                        {"{'nodeSelector':{'$patch':'merge'}}", "unknown $patch directive"},
                        {"{'nodeSelector':{'$patch':5}}", "unknown $patch directive"},
                        {"{'nodeSelector':{'$patch':null}}", "unknown $patch directive"},
                        {"{'containers':[{'name':'a','$patch':'merge'}]}",
                                        "merging lists cannot yet be specified"},
                        {"{'containers':[{'name':'a','$patch':'melt'}]}",
                                        "unknown $patch directive"},
                        {"{'containers':[{'image':'x'}]}", "lacks its merge key name"},
                        {"{'containers':[{'$patch':'delete'}]}", "lacks its merge key name"},
                        {"{'hostname':'h','$retainKeys':[]}", "does not name the patch's field"},
                        {"{'volumes':[{'name':'v','$retainKeys':['hostPath'],'hostPath':{}}]}",
                                        "does not name the patch's field name"},
                        {"{'$retainKeys':'hostname'}", "$retainKeys needs a list"},
                        {"{'overhead':{'$retainKeys':[]}}", "takes no directive"},
                        {"{'$setElementOrder/containers':[],'containers':[{'name':'a'}]}",
                                        "does not match $setElementOrder"},
                        {"{'$setElementOrder/containers':[{'name':'a'},{'name':'z'}],"
                         "'containers':[{'name':'z'},{'name':'a'}]}",
                                        "does not match $setElementOrder"},
                        {"{'$setElementOrder/imagePullSecrets':[],'imagePullSecrets':[]}",
                                        "no items to order"},
        };
        _cleanup_json_ json_t *target =
                        parse("{'spec':{'containers':[{'name':'a'}],'volumes':[{'name':'v'}],"
                              "'nodeSelector':{'a':'b'},'imagePullSecrets':[]}}");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *patch = json_pack("{s:o}", "spec", parse(cases[i].patch)),
                                      *result = NULL;
                _cleanup_problem_ struct problem p = {0};

                if (patch_strategic(kind("", "pods")->schema, target, patch, &result, &p) == 0)
                        fail_msg("taken: %s", cases[i].patch);
                if (p.code != 400 || !strstr(p.message, cases[i].why))
                        fail_msg("\n got: %s\nwant: %s", p.message, cases[i].why);
        }
}

static void test_strategic_metadata(void **state) {
        _cleanup_json_ json_t *target =
                        parse("{'metadata':{'finalizers':['a','b'],'labels':{'x':'1'}},'spec':{'"
                              "taints':[{'key':'k'}]},"
                              "'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
        _cleanup_json_ json_t *patch = parse(
                        "{'metadata':{'finalizers':['c'],'$deleteFromPrimitiveList/"
                        "finalizers':['a'],"
                        "'$setElementOrder/"
                        "finalizers':['c','b'],'labels':{'y':'2'}},'spec':{'unschedulable':true},"
                        "'status':{'conditions':[{'type':'Disk','status':'False'},{'type':'Ready','"
                        "status':'False'}]}}");
        _cleanup_json_ json_t *result = NULL,
                              *bad = parse("{'status':{'conditions':[{'status':'x'}]}}"),
                              *worse = parse("{'spec':{'$patch':'melt'}}");
        _cleanup_problem_ struct problem p = {0};
        const struct schema *s = kind("", "nodes")->schema;

        assert_int_equal(patch_strategic(s, target, patch, &result, &p), 0);
        assert_json(result, "{'metadata':{'finalizers':['c','b'],'labels':{'x':'1','y':'2'}},'spec'"
                            ":{'taints':[{'key':'k'}],'unschedulable':true},"
                            "'status':{'conditions':[{'type':'Disk','status':'False'},{'type':'"
                            "Ready','status':'False'}]}}");
        json_decref(result);
        result = NULL;
        assert_true(patch_strategic(s, target, bad, &result, &p) < 0);
        assert_int_equal(p.code, 400);
        assert_true(patch_strategic(s, target, worse, &result, &p) < 0);
}

static void test_frame(void **state) {
        const struct kind *k = kind("apps", "deployments");
        _cleanup_json_ json_t *target = parse(
                        "{'apiVersion':'apps/"
                        "v1','kind':'Deployment','metadata':{'name':'d'},'spec':{'replicas':1}}");
        static const char good[] = "{\"spec\":{\"replicas\":3,\"foo\":1}}",
                          wrong[] = "{\"spec\":{\"replicas\":\"x\"}}", kinds[] = "{\"kind\":\"X\"}";
        enum patch_type type;

        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0}, e = {0};
        assert_int_equal(patch_run(k, NULL, PATCH_MERGE, good, strlen(good), FIELD_VALIDATION_WARN,
                                         target, &d, &p),
                        0);
        assert_int_equal(json_int_or(d.object, "spec.replicas", 0), 3);
        assert_string_equal(d.warnings[0], "unknown field \"spec.foo\"");
        assert_true(patch_run(k, NULL, PATCH_MERGE, good, strlen(good), FIELD_VALIDATION_STRICT,
                                    target, &e, &p) < 0);
        assert_int_equal(p.code, 400);
        assert_true(patch_run(k, NULL, PATCH_STRATEGIC, wrong, strlen(wrong), FIELD_VALIDATION_WARN,
                                    target, &e, &p) < 0);
        assert_int_equal(p.code, 422);
        assert_true(patch_run(k, NULL, PATCH_MERGE, kinds, strlen(kinds), FIELD_VALIDATION_IGNORE,
                                    target, &e, &p) < 0);
        /* A strategic patch is laid over a typed object, whose type it does not change. */
        _cleanup_decoded_ struct decoded typed = {0};
        assert_int_equal(patch_run(k, NULL, PATCH_STRATEGIC, kinds, strlen(kinds),
                                         FIELD_VALIDATION_STRICT, target, &typed, &p),
                        0);
        assert_string_equal(json_str(typed.object, "kind"), "Deployment");
        assert_int_equal(patch_type_parse(k, "application/strategic-merge-patch+json; charset=x",
                                         &type, &p),
                        0);
        assert_int_equal(type, PATCH_STRATEGIC);
        assert_true(patch_type_parse(k, "application/json", &type, &p) < 0);
        assert_int_equal(p.code, 415);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_json_patch),
                        cmocka_unit_test(test_json_patch_nesting),
                        cmocka_unit_test(test_merge_patch),
                        cmocka_unit_test(test_strategic),
                        cmocka_unit_test(test_strategic_refused),
                        cmocka_unit_test(test_strategic_metadata),
                        cmocka_unit_test(test_frame),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
