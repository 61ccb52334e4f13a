/* Mutating admission policies, pure: what their expressions may make, what becomes of an object,
 * and in which words they fail. */
#include "kapid/policies/applied.h"
#include "kapid/policies/judge.h"
#include "kapid/policies/made.h"
#include "kapid/webhooks/review.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "tests/unit/yaml-object.h"

struct world {
        struct policy_language *language;
        struct kind_registry *kinds;
};

static int setup(void **state) {
        static struct world w;
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(policy_language_new(&w.language), 0);
        assert_int_equal(kind_registry_new(&w.kinds, &p), 0);
        *state = &w;
        return 0;
}

static int teardown(void **state) {
        struct world *w = *state;

        policy_language_free(w->language);
        kind_registry_free(w->kinds);
        return 0;
}

static json_t *policy_object(const char *type, const char *expression) {
        bool patch = streq(type, "JSONPatch");
        json_t *v = json_pack("{s{ss}, s{s[{ss, s{ss}}], s[{ss, ss}]}}", "metadata", "name", "p",
                        "spec", "mutations", "patchType", type,
                        patch ? "jsonPatch" : "applyConfiguration", "expression", expression,
                        "variables", "name", "two", "expression", "2");

        assert_non_null(v);
        return v;
}

/* The object after the policy's mutation, or why there is none; "unchanged". */
static char *mutate_limited(struct world *w, const char *type, const char *expression,
                const char *object_text, const struct cel_limits *limits) {
        static const struct webhook v1 = {.version = "v1"};
        _cleanup_(policy_unrefp) struct policy *p = NULL;
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_json_ json_t *policy = policy_object(type, expression),
                              *object = yaml("%s", object_text), *review = NULL,
                              *changed = NULL, *form = NULL;
        _cleanup_free_ char *why = NULL;
        const struct kind *k = kind_registry_find(w->kinds,
                        streq(json_str_or(object, "apiVersion", ""), "v1") ? "" : "apps", "v1",
                        streq(json_str_or(object, "kind", ""), "Deployment") ? "deployments"
                                                                             : "pods");
        const struct webhook_request facts = {.operation = WEBHOOK_CREATE,
                        .kind = k,
                        .namespace = "shop",
                        .name = "web",
                        .object = object};
        const struct patched_facts patched = {
                        .kind = k, .as = k, .who = "the mutation", .strict = true};
        struct policy_question q = {.functions = w->language->functions,
                        .request = &facts,
                        .as = k,
                        .object = object,
                        .limits = limits};
        int r;

        assert_int_equal(policy_new(&p, w->language, policy, &problem), 0);
        if (p->fault)
                return strdup(p->fault);
        review = webhook_review(&v1, &facts, k, "");
        q.review = json_object_get(review, "request");
        assert_int_equal(policy_mutate(p, &q, 0, &verdict), 0);
        if (verdict.refusal_count > 0)
                return strdup(verdict.refusals[0].message);
        r = streq(type, "JSONPatch") ? policy_apply_patch(object, verdict.made, &form, &why)
                                     : policy_apply_configuration(&patched, object, verdict.made,
                                                       &form, &why);
        if (r > 0)
                r = policy_applied(&patched, object, form, &changed, &why);
        if (r == -EINVAL)
                return strdup(why);
        assert_true(r >= 0);
        return r > 0 ? json_text(changed) : strdup("unchanged");
}

#define DEPLOYMENT(spec) \
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, labels: " \
        "{a/b: x}}, spec: " spec "}"
#define POD(spec) "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: " spec "}"
#define PLAIN "{replicas: 1, selector: {matchLabels: {app: web}}, template: {spec: {containers: " \
              "[{name: c, image: i}]}}}"
#define TEMPLATE(what) "Object{spec: Object.spec{template: Object.spec.template{" what "}}}"
#define IN_POD(what) TEMPLATE("spec: Object.spec.template.spec{" what "}")

static const struct {
        const char *name, *type, *expression, *object;
        const char *expected; /* a part of the text of what became of it, or of the failure */
} cases[] = {
                /* --- configurations --- */
                {"a field", "ApplyConfiguration", "Object{spec: Object.spec{replicas: 3}}",
                                DEPLOYMENT(PLAIN), "\"replicas\":3"},
                {"a field that is so already", "ApplyConfiguration",
                                "Object{spec: Object.spec{replicas: 1}}", DEPLOYMENT(PLAIN),
                                "unchanged"},
                {"nothing", "ApplyConfiguration", "Object{}", DEPLOYMENT(PLAIN), "unchanged"},
                {"what the object has", "ApplyConfiguration",
                                "Object{spec: Object.spec{replicas: object.spec.replicas + "
                                "variables.two}}",
                                DEPLOYMENT(PLAIN), "\"replicas\":3"},
                {"a condition", "ApplyConfiguration",
                                "object.spec.replicas > 1 ? Object{} : Object{spec: "
                                "Object.spec{paused: true}}",
                                DEPLOYMENT(PLAIN), "\"paused\":true"},
                {"a map of labels", "ApplyConfiguration",
                                "Object{metadata: Object.metadata{labels: {'c': 'd'}}}",
                                DEPLOYMENT(PLAIN), "\"labels\":{\"a/b\":\"x\",\"c\":\"d\"}"},
                {"labels as an object", "ApplyConfiguration",
                                "Object{metadata: Object.metadata{labels: "
                                "Object.metadata.labels{`c/d`: 'e'}}}",
                                DEPLOYMENT(PLAIN), "\"c/d\":\"e\""},
                {"an item of a keyed list", "ApplyConfiguration",
                                IN_POD("containers: [Object.spec.template.spec.containers{name: "
                                       "'c', image: 'j'}]"),
                                DEPLOYMENT(PLAIN), "[{\"name\":\"c\",\"image\":\"j\""},
                {"one more item", "ApplyConfiguration",
                                IN_POD("volumes: [Object.spec.template.spec.volumes{name: 'v', "
                                       "emptyDir: Object.spec.template.spec.volumes.emptyDir{}}]"),
                                DEPLOYMENT(PLAIN), "\"volumes\":[{\"name\":\"v\""},
                {"items made of others", "ApplyConfiguration",
                                IN_POD("containers: object.spec.template.spec.containers.map(c, "
                                       "Object.spec.template.spec.containers{name: c.name, image: "
                                       "'registry/' + c.image})"),
                                DEPLOYMENT(PLAIN), "\"image\":\"registry/i\""},
                {"an optional field that there is", "ApplyConfiguration",
                                "Object{spec: Object.spec{?paused: optional.of(true)}}",
                                DEPLOYMENT(PLAIN), "\"paused\":true"},
                {"one that there is not", "ApplyConfiguration",
                                "Object{spec: Object.spec{?paused: object.spec.?paused}}",
                                DEPLOYMENT(PLAIN), "unchanged"},
                {"a field of an object that was made", "ApplyConfiguration",
                                "Object{spec: Object.spec{replicas: Object.spec{replicas: 7}"
                                ".replicas}}",
                                DEPLOYMENT(PLAIN), "\"replicas\":7"},
                {"objects of two types differ", "ApplyConfiguration",
                                "dyn(Object.spec{a: 1}) == dyn(Object{a: 1}) ? Object{} : "
                                "Object{spec: Object.spec{paused: true}}",
                                DEPLOYMENT(PLAIN), "\"paused\":true"},
                {"those of one do not", "ApplyConfiguration",
                                "Object.spec{a: 1} == Object.spec{a: 1} && !has(Object{a: 1}.b) && "
                                "has(Object{a: 1}.a) ? Object{spec: Object.spec{paused: true}} : "
                                "Object{}",
                                DEPLOYMENT(PLAIN), "\"paused\":true"},
                {"defaults come in", "ApplyConfiguration",
                                IN_POD("containers: [Object.spec.template.spec.containers{name: "
                                       "'d', image: 'i'}]"),
                                DEPLOYMENT(PLAIN), "\"terminationMessagePolicy\""},
                {"of a kind without a group", "ApplyConfiguration",
                                "Object{spec: Object.spec{priorityClassName: 'high'}}",
                                POD("{containers: [{name: c, image: i}]}"),
                                "\"priorityClassName\":\"high\""},
                /* --- configurations that fail --- */
                {"an atomic map", "ApplyConfiguration",
                                "Object{spec: Object.spec{selector: Object.spec.selector{"
                                "matchLabels: {'l': 'v'}}}}",
                                DEPLOYMENT(PLAIN),
                                "error applying patch: invalid ApplyConfiguration: may not mutate "
                                "atomic arrays, maps or structs: .spec.selector"},
                {"an atomic list", "ApplyConfiguration",
                                IN_POD("containers: [Object.spec.template.spec.containers{name: "
                                       "'c', args: ['x']}]"),
                                DEPLOYMENT(PLAIN),
                                "may not mutate atomic arrays, maps or structs: "
                                ".spec.template.spec.containers[0].args"},
                {"a type of another field", "ApplyConfiguration",
                                "Object{spec: Object.specx{replicas: 1}}", DEPLOYMENT(PLAIN),
                                "type mismatch: unexpected type name \"Object.specx\", expected "
                                "\"Object.spec\", which matches field name path from root Object "
                                "type"},
                {"a type of another field in a list", "ApplyConfiguration",
                                IN_POD("containers: [Object.spec.template.spec{name: 'c'}]"),
                                DEPLOYMENT(PLAIN),
                                "unexpected type name \"Object.spec.template.spec\", expected "
                                "\"Object.spec.template.spec.containers\""},
                {"a field that there is not", "ApplyConfiguration",
                                "Object{spec: Object.spec{replicasx: 1}}", DEPLOYMENT(PLAIN),
                                "error applying patch: failed to convert patch object to typed "
                                "object: .spec.replicasx: field not declared in schema"},
                {"a value of another type", "ApplyConfiguration",
                                "Object{spec: Object.spec{replicas: 'three'}}", DEPLOYMENT(PLAIN),
                                "failed to convert patch object to typed object: "},
                {"an item without its key", "ApplyConfiguration",
                                IN_POD("containers: [Object.spec.template.spec.containers{image: "
                                       "'j'}]"),
                                DEPLOYMENT(PLAIN), "failed to convert patch object to typed object"},
                {"an item twice", "ApplyConfiguration",
                                IN_POD("containers: [Object.spec.template.spec.containers{name: "
                                       "'j'}, Object.spec.template.spec.containers{name: 'j'}]"),
                                DEPLOYMENT(PLAIN), "failed to convert patch object to typed object"},
                {"another name", "ApplyConfiguration",
                                "Object{metadata: Object.metadata{name: 'other'}}",
                                DEPLOYMENT(PLAIN),
                                "the mutation changed metadata.name, which it may not change"},
                {"another kind does not count", "ApplyConfiguration",
                                "Object{kind: 'Pod', apiVersion: 'v1'}", DEPLOYMENT(PLAIN),
                                "unchanged"},
                {"an expression that fails", "ApplyConfiguration",
                                "Object{spec: Object.spec{replicas: object.spec.nothing}}",
                                DEPLOYMENT(PLAIN),
                                "expression 'Object{spec: Object.spec{replicas: "
                                "object.spec.nothing}}' resulted in error: no such key: nothing"},
                {"a key that is no text", "ApplyConfiguration",
                                "Object{metadata: Object.metadata{labels: {1: 'x'}}}",
                                DEPLOYMENT(PLAIN), "a map with a key that is not a string"},
                {"a value without JSON", "ApplyConfiguration",
                                "Object{metadata: Object.metadata{labels: {'a': "
                                "duration('1s')}}}",
                                DEPLOYMENT(PLAIN), "a value that has no JSON form"},
                /* --- what does not compile --- */
                {"a text", "ApplyConfiguration", "'teapot'", DEPLOYMENT(PLAIN),
                                "must evaluate to Object but got string"},
                {"two types compared", "ApplyConfiguration",
                                "Object.spec{} == Object{} ? Object{} : Object{}", DEPLOYMENT(PLAIN),
                                "found no matching overload for '_==_' applied to '(Object.spec, "
                                "Object)'"},
                {"a field twice", "ApplyConfiguration",
                                "Object{spec: Object.spec{paused: true, paused: false}}",
                                DEPLOYMENT(PLAIN), "resulted in error: Failed with repeated key"},
                {"a part", "ApplyConfiguration", "Object.spec{}", DEPLOYMENT(PLAIN),
                                "must evaluate to Object but got Object.spec"},
                {"a map", "ApplyConfiguration", "{'spec': {'replicas': 1}}", DEPLOYMENT(PLAIN),
                                "must evaluate to Object but got map(string, map(string, int))"},
                {"another type", "ApplyConfiguration", "Thing{}", DEPLOYMENT(PLAIN),
                                "undeclared reference to 'Thing' (in container '')"},
                {"a name that begins alike", "ApplyConfiguration", "Objects{}", DEPLOYMENT(PLAIN),
                                "undeclared reference to 'Objects'"},
                {"a patch", "ApplyConfiguration", "[JSONPatch{op: 'remove', path: '/spec'}]",
                                DEPLOYMENT(PLAIN), "must evaluate to Object but got list(JSONPatch)"},
                {"no field name", "ApplyConfiguration", "Object{1: 2}", DEPLOYMENT(PLAIN),
                                "Syntax error: mismatched input '1' expecting IDENTIFIER"},
                {"an operand that is no name", "ApplyConfiguration", "Object[0]{}",
                                DEPLOYMENT(PLAIN), "Syntax error"},
                {"a field that is not optional", "ApplyConfiguration", "Object{?spec: 1}",
                                DEPLOYMENT(PLAIN),
                                "expected type 'optional_type(int)' but found 'int'"},
                /* --- patches --- */
                {"an operation", "JSONPatch",
                                "[JSONPatch{op: 'replace', path: '/spec/replicas', value: "
                                "object.spec.replicas + 4}]",
                                DEPLOYMENT(PLAIN), "\"replicas\":5"},
                {"none", "JSONPatch",
                                "object.spec.replicas > 1 ? [JSONPatch{op: 'remove', path: "
                                "'/spec/replicas'}] : []",
                                DEPLOYMENT(PLAIN), "unchanged"},
                {"a test that says yes", "JSONPatch",
                                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 1}, "
                                "JSONPatch{op: 'add', path: '/spec/paused', value: true}]",
                                DEPLOYMENT(PLAIN), "\"paused\":true"},
                {"a test that says no", "JSONPatch",
                                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 2}, "
                                "JSONPatch{op: 'add', path: '/spec/paused', value: true}]",
                                DEPLOYMENT(PLAIN), "unchanged"},
                {"an object as value", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/spec/template/spec/volumes', value: "
                                "[Object.spec.template.spec.volumes{name: 'v'}]}]",
                                DEPLOYMENT(PLAIN), "\"volumes\":[{\"name\":\"v\""},
                {"an object whose parts do not fit", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/spec', value: Object.spec{template: "
                                "Object.spec{}}}]",
                                DEPLOYMENT(PLAIN), "type mismatch: unexpected type name"},
                {"a key with a slash", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/metadata/labels/' + "
                                "jsonpatch.escapeKey('a/b'), value: 'y'}]",
                                DEPLOYMENT(PLAIN), "\"labels\":{\"a/b\":\"y\"}"},
                {"a move", "JSONPatch",
                                "[JSONPatch{op: 'move', from: '/metadata/labels', path: "
                                "'/metadata/annotations'}]",
                                DEPLOYMENT(PLAIN), "\"annotations\":{\"a/b\":\"x\"}"},
                {"an atomic list, which a patch may change", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/spec/template/spec/containers/0/"
                                "args', value: ['x']}]",
                                DEPLOYMENT(PLAIN), "\"args\":[\"x\"]"},
                {"part of the object, twice", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/metadata/annotations', value: "
                                "object.metadata.labels}, JSONPatch{op: 'add', path: "
                                "'/metadata/annotations/c', value: 'd'}]",
                                DEPLOYMENT(PLAIN), "\"labels\":{\"a/b\":\"x\"}"},
                /* --- patches that fail --- */
                {"a path that there is not", "JSONPatch",
                                "[JSONPatch{op: 'remove', path: '/spec/nothing'}]",
                                DEPLOYMENT(PLAIN), "JSONPatch: "},
                {"an operation that there is not", "JSONPatch",
                                "[JSONPatch{op: 'change', path: '/spec'}]", DEPLOYMENT(PLAIN),
                                "unsupported operation"},
                {"a field that there is not, of a patch", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/spec/nothing', value: 1}]",
                                DEPLOYMENT(PLAIN), "unknown field \"spec.nothing\""},
                {"the whole object", "JSONPatch",
                                "[JSONPatch{op: 'replace', path: '', value: 1}]",
                                DEPLOYMENT(PLAIN), "the result is not an object"},
                {"another namespace", "JSONPatch",
                                "[JSONPatch{op: 'replace', path: '/metadata/namespace', value: "
                                "'kube-system'}]",
                                DEPLOYMENT(PLAIN),
                                "the mutation changed metadata.namespace, which it may not change"},
                {"another kind", "JSONPatch",
                                "[JSONPatch{op: 'replace', path: '/kind', value: 'Secret'}]",
                                DEPLOYMENT(PLAIN), "cannot be handled as a Deployment"},
                {"what the server says stays", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/metadata/uid', value: 'mine'}]",
                                DEPLOYMENT(PLAIN),
                                "{\"name\":\"web\",\"namespace\":\"shop\",\"labels\":{\"a/b\":\"x\"}},"},
                {"one patch, not a list", "JSONPatch", "JSONPatch{op: 'remove', path: '/spec'}",
                                DEPLOYMENT(PLAIN),
                                "must evaluate to list(JSONPatch) but got JSONPatch"},
                {"a field that patches have not", "JSONPatch", "[JSONPatch{operation: 'add'}]",
                                DEPLOYMENT(PLAIN), "undefined field 'operation'"},
                {"a field of another type", "JSONPatch", "[JSONPatch{op: 1}]", DEPLOYMENT(PLAIN),
                                "expected type of field 'op' is 'string' but provided type is "
                                "'int'"},
                {"a part of a patch", "JSONPatch", "[JSONPatch.op{}]", DEPLOYMENT(PLAIN),
                                "undeclared reference to 'JSONPatch.op'"},
                /* --- hostile ones --- */
                {"a tree that shares its parts", "JSONPatch",
                                "[JSONPatch{op: 'add', path: '/metadata/annotations', value: "
                                "cel.bind(a, ['x','x','x','x','x','x','x','x','x','x'], cel.bind("
                                "b, [a,a,a,a,a,a,a,a,a,a], cel.bind(c, [b,b,b,b,b,b,b,b,b,b], "
                                "cel.bind(d, [c,c,c,c,c,c,c,c,c,c], cel.bind(e, [d,d,d,d,d,d,d,d,d,"
                                "d], cel.bind(f, [e,e,e,e,e,e,e,e,e,e], [f,f,f,f,f,f,f,f,f,f]))))))"
                                "}]",
                                DEPLOYMENT(PLAIN), "a value of more than 3145728 bytes"},
                {"many copies", "JSONPatch",
                                "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,"
                                "25].map(i, JSONPatch{op: 'copy', from: '/spec', path: "
                                "'/spec/copy' + string(i)})",
                                DEPLOYMENT(PLAIN), "the copies are too large"},
};

static void test_mutations(void **state) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = mutate_limited(*state, cases[i].type,
                                cases[i].expression, cases[i].object, NULL);

                if (!strstr(text, cases[i].expected))
                        fail_msg("%s: \"%.600s\", not \"%s\"", cases[i].name, text,
                                        cases[i].expected);
        }
}

/* [[[...]]]: deeper than what is written, by names for parts. */
static void test_deep(void **state) {
        struct buf b = {0};
        _cleanup_free_ char *text = NULL, *expression;

        buf_append_str(&b, "[JSONPatch{op: 'add', path: '/metadata/annotations', value: cel.bind("
                           "v0, dyn([]), ");
        for (int i = 1; i <= 20; i++)
                buf_printf(&b, "cel.bind(v%d, dyn([[[[[[[[[[[v%d]]]]]]]]]]]), ", i, i - 1);
        buf_append_str(&b, "v20");
        for (int i = 0; i <= 20; i++)
                buf_append_char(&b, ')');
        buf_append_str(&b, "}]");
        expression = buf_take(&b);
        assert_non_null(expression);
        text = mutate_limited(*state, "JSONPatch", expression, DEPLOYMENT(PLAIN), NULL);
        if (!strstr(text, "nested deeper than 200 levels"))
                fail_msg("%s", text);
}

/* A part of the object counts each time that it is used. */
static void test_large(void **state) {
        const char *expression = "[1,2,3,4,5,6,7,8,9].map(i, JSONPatch{op: 'add', path: "
                                 "'/metadata/annotations/a' + string(i), value: "
                                 "object.metadata.annotations.a})";
        enum { SIZE = 400 * 1000 };
        _cleanup_free_ char *object = NULL, *text = NULL;
        char *large = malloc(SIZE + 1);

        assert_non_null(large);
        memset(large, 'x', SIZE);
        large[SIZE] = '\0';
        object = strformat("{apiVersion: v1, kind: Pod, metadata: {name: web, annotations: {a: %s}}}",
                        large);
        free(large);
        text = mutate_limited(*state, "JSONPatch", expression, object, NULL);
        assert_string_equal(text, "the expression gave a value of more than 3145728 bytes");
}

static void test_budget(void **state) {
        const struct cel_limits limits = {.cost_max = 60};
        _cleanup_free_ char *text = mutate_limited(*state, "ApplyConfiguration",
                                            "Object{spec: Object.spec{replicas: 1}}",
                                            DEPLOYMENT(PLAIN), &limits),
                            *more = mutate_limited(*state, "ApplyConfiguration", "Object{}",
                                            DEPLOYMENT(PLAIN), &limits);

        /* Each object costs 40. */
        assert_non_null(strstr(text, "running out of cost budget"));
        assert_string_equal(more, "unchanged");
}

/* In validations nothing of this can be named. */
static void test_only_mutations(void **state) {
        static const char *const expressions[] = {"Object{} == Object{}",
                        "jsonpatch.escapeKey('a') == 'a'"};
        struct world *w = *state;

        for (size_t i = 0; i < ELEMENTS(expressions); i++) {
                _cleanup_(policy_unrefp) struct policy *p = NULL;
                _cleanup_problem_ struct problem problem = {0};
                _cleanup_json_ json_t *policy = json_pack("{s{ss}, s{s[{ss}]}}", "metadata", "name",
                                "p", "spec", "validations", "expression", expressions[i]);

                assert_int_equal(policy_new(&p, w->language, policy, &problem), 0);
                assert_non_null(p->fault);
                assert_non_null(strstr(p->fault, "undeclared reference"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_mutations),
                        cmocka_unit_test(test_deep),
                        cmocka_unit_test(test_large),
                        cmocka_unit_test(test_budget),
                        cmocka_unit_test(test_only_mutations),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
