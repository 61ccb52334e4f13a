/* Admission policies, pure: what compiles, what matches, what is refused and in which words. */
#include "kapid/policies/judge.h"
#include "kapid/policies/types.h"
#include "kapid/webhooks/conditions.h"
#include "kapid/webhooks/review.h"
#include "lib/buf.h"
#include "lib/object.h"
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

/* --- judging --- */

static bool may_create(const struct policy_access *access, void *userdata) {

        (void)userdata;
        return streq(access->verb, "create");
}

/* "INDEX REASON MESSAGE; ..." of the refusals, then " # key=value" of the annotations. */
static char *verdict_text(const struct policy_verdict *v) {
        struct buf b = {0};
        const char *key;
        json_t *value;

        for (size_t i = 0; i < v->refusal_count; i++)
                buf_printf(&b, "%s%d %s %s", i > 0 ? "; " : "", (int)v->refusals[i].index,
                                v->refusals[i].reason, v->refusals[i].message);
        json_object_each (v->annotations, key, value)
                buf_printf(&b, " # %s=%s", key, json_string_value(value));
        return b.size > 0 ? buf_take(&b) : strdup("");
}

static const struct policy_authority authority = {.may = may_create};

/* A spec (indented by two), an object and parameters as YAML. */
static char *judge_limited(struct world *w, const char *spec, const char *object_text,
                const char *old_text, const char *params_text, uint64_t cost_max) {
        static const struct webhook v1 = {.version = "v1"};
        _cleanup_(policy_unrefp) struct policy *p = NULL;
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_json_ json_t *policy = yaml("metadata: {name: p, uid: u, generation: 1}\n%s",
                                              spec),
                              *object = object_text ? yaml("%s", object_text) : NULL,
                              *old = old_text ? yaml("%s", old_text) : NULL,
                              *params = params_text ? yaml("%s", params_text) : NULL,
                              *user = yaml("{username: ann, groups: [dev]}"),
                              *space = yaml("metadata: {name: shop, labels: {env: test}}"), *review;
        const struct kind *k = kind_registry_find(w->kinds, "apps", "v1", "deployments");
        const struct webhook_request facts = {.operation = old ? WEBHOOK_UPDATE : WEBHOOK_CREATE,
                        .kind = k,
                        .namespace = "shop",
                        .name = "web",
                        .object = object,
                        .old_object = old,
                        .user = user};
        const struct cel_limits limits = {.cost_max = cost_max};
        struct policy_question q = {.functions = w->language->functions,
                        .request = &facts,
                        .as = k,
                        .object = object,
                        .old_object = old,
                        .namespace_object = space,
                        .params = params,
                        .authority = &authority,
                        .limits = &limits};

        assert_int_equal(policy_new(&p, w->language, policy, &problem), 0);
        if (p->fault)
                fail_msg("%s", p->fault);
        review = webhook_review(&v1, &facts, k, "");
        q.review = json_object_get(review, "request");
        assert_int_equal(policy_judge(p, &q, &verdict), 0);
        return verdict_text(&verdict);
}

static char *judge(struct world *w, const char *spec, const char *object) {
        return judge_limited(w, spec, object, NULL, NULL, 0);
}

#define REPLICAS(n) \
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: " #n "}}"

static const struct {
        const char *name, *spec, *object, *expected;
} verdicts[] = {
                {"holds", "spec: {validations: [{expression: object.spec.replicas <= 5}]}",
                                REPLICAS(5), ""},
                {"does not hold: the expression is the message",
                                "spec: {validations: [{expression: object.spec.replicas <= 5}]}",
                                REPLICAS(6),
                                "0 Invalid failed expression: object.spec.replicas <= 5"},
                {"message and reason",
                                "spec: {validations: [{expression: 'false', message: ' no more ', "
                                "reason: Forbidden}]}",
                                REPLICAS(1), "0 Forbidden no more"},
                {"messageExpression wins",
                                "spec: {validations: [{expression: object.spec.replicas <= 5, "
                                "message: m, messageExpression: \"'replicas ' + "
                                "string(object.spec.replicas)\"}]}",
                                REPLICAS(9), "0 Invalid replicas 9"},
                {"a messageExpression that fails leaves the message",
                                "spec: {validations: [{expression: 'false', message: m, "
                                "messageExpression: \"'x' + object.spec.nothing\"}]}",
                                REPLICAS(9), "0 Invalid m"},
                {"a messageExpression with a line break leaves the message",
                                "spec: {validations: [{expression: 'false', message: m, "
                                "messageExpression: \"'a\\\\nb'\"}]}",
                                REPLICAS(9), "0 Invalid m"},
                {"every validation counts",
                                "spec: {validations: [{expression: 'false', message: a}, "
                                "{expression: 'true'}, {expression: 'false', message: c}]}",
                                REPLICAS(1), "0 Invalid a; 2 Invalid c"},
                {"an error refuses",
                                "spec: {validations: [{expression: object.spec.nothing == 1}]}",
                                REPLICAS(1),
                                "0 Invalid expression 'object.spec.nothing == 1' resulted in "
                                "error: no such key: nothing"},
                {"failurePolicy Ignore: an error does not count, a refusal does",
                                "spec: {failurePolicy: Ignore, validations: [{expression: "
                                "object.spec.nothing == 1}, {expression: 'false', message: x}]}",
                                REPLICAS(1), "1 Invalid x"},
                {"variables, one from another",
                                "spec: {variables: [{name: num, expression: object.spec.replicas}, "
                                "{name: twice, expression: variables.num * 2}], validations: "
                                "[{expression: variables.twice < 10, messageExpression: "
                                "\"'twice is ' + string(variables.twice)\"}]}",
                                REPLICAS(5), "0 Invalid twice is 10"},
                {"a variable's error counts where it is used only",
                                "spec: {variables: [{name: bad, expression: object.spec.nothing}], "
                                "validations: [{expression: 'true || variables.bad == 1'}, "
                                "{expression: variables.bad == 1}]}",
                                REPLICAS(5),
                                "1 Invalid expression 'variables.bad == 1' resulted in error: "
                                "composited variable \"bad\" fails to evaluate: no such key: "
                                "nothing"},
                {"has() of a variable",
                                "spec: {variables: [{name: num, expression: '1'}], validations: "
                                "[{expression: '!has(variables.num)', message: it has}]}",
                                REPLICAS(5), "0 Invalid it has"},
                {"a loop's variable hides the policy's",
                                "spec: {variables: [{name: num, expression: '1'}], validations: "
                                "[{expression: '[{\"num\": 2}].all(variables, variables.num == 2)'}]}",
                                REPLICAS(5), ""},
                {"a condition that is false",
                                "spec: {matchConditions: [{name: c, expression: "
                                "'request.userInfo.username != \"ann\"'}], validations: "
                                "[{expression: 'false'}]}",
                                REPLICAS(5), ""},
                {"a condition that is true",
                                "spec: {matchConditions: [{name: c, expression: "
                                "'\"dev\" in request.userInfo.groups'}], validations: "
                                "[{expression: 'false', message: m}]}",
                                REPLICAS(5), "0 Invalid m"},
                {"a condition that fails refuses",
                                "spec: {matchConditions: [{name: c, expression: "
                                "object.spec.nothing == 1}], validations: [{expression: 'true'}]}",
                                REPLICAS(5),
                                "-1 Invalid expression 'object.spec.nothing == 1' resulted in "
                                "error: no such key: nothing"},
                {"a false condition wins over one that fails",
                                "spec: {matchConditions: [{name: c, expression: "
                                "object.spec.nothing == 1}, {name: d, expression: 'false'}], "
                                "validations: [{expression: 'false'}]}",
                                REPLICAS(5), ""},
                {"request",
                                "spec: {validations: [{expression: 'request.operation == \"CREATE\" && "
                                "request.resource.resource == \"deployments\" && request.namespace == "
                                "\"shop\" && request.kind.kind == \"Deployment\" && !request.dryRun && "
                                "oldObject == null'}]}",
                                REPLICAS(5), ""},
                {"namespaceObject",
                                "spec: {validations: [{expression: "
                                "'namespaceObject.metadata.labels.env == \"prod\"', "
                                "messageExpression: '\"it is \" + "
                                "namespaceObject.metadata.labels[\"env\"]'}]}",
                                REPLICAS(5), "0 Invalid it is test"},
                {"annotations",
                                "spec: {auditAnnotations: [{key: high, valueExpression: \"'r=' + "
                                "string(object.spec.replicas)\"}, {key: none, valueExpression: "
                                "'null'}]}",
                                REPLICAS(5), " # high=r=5"},
};

static void test_verdicts(void **state) {
        for (size_t i = 0; i < ELEMENTS(verdicts); i++) {
                _cleanup_free_ char *found = judge(*state, verdicts[i].spec, verdicts[i].object);

                if (!streq(found, verdicts[i].expected))
                        fail_msg("%s: %s", verdicts[i].name, found);
        }
}

static void test_update(void **state) {
        _cleanup_free_ char *found = judge_limited(*state,
                        "spec: {validations: [{expression: object.spec.replicas >= "
                        "oldObject.spec.replicas}]}",
                        REPLICAS(1), REPLICAS(2), NULL, 0);

        assert_string_equal(found, "0 Invalid failed expression: object.spec.replicas >= "
                                   "oldObject.spec.replicas");
}

static void test_params(void **state) {
        static const char spec[] =
                        "spec: {paramKind: {apiVersion: v1, kind: ConfigMap}, validations: "
                        "[{expression: 'object.spec.replicas <= int(params.data.max)', "
                        "messageExpression: '\"at most \" + params.data.max'}]}";
        _cleanup_free_ char *few = judge_limited(*state, spec, REPLICAS(3), NULL,
                                            "{data: {max: \"3\"}}", 0),
                            *many = judge_limited(*state, spec, REPLICAS(4), NULL,
                                            "{data: {max: \"3\"}}", 0),
                            *none = judge_limited(*state, spec, REPLICAS(4), NULL, NULL, 0);

        assert_string_equal(few, "");
        assert_string_equal(many, "0 Invalid at most 3");
        assert_non_null(strstr(none, "resulted in error"));
}

static void test_authorizer(void **state) {
        _cleanup_free_ char *found = judge(*state,
                        "spec: {validations: [{expression: "
                        "'authorizer.group(\"apps\").resource(\"deployments\").subresource(\"x\")"
                        ".namespace(\"n\").name(\"w\").check(\"create\").allowed()'}, {expression: "
                        "'authorizer.requestResource.check(\"delete\").allowed()', message: may not}, "
                        "{expression: 'authorizer.path(\"/healthz\").check(\"get\").allowed()', "
                        "message: path is not}]}",
                        REPLICAS(1));

        assert_string_equal(found, "1 Invalid may not; 2 Invalid path is not");
        free(found);
        found = judge(*state,
                        "spec: {validations: [{expression: 'authorizer.serviceAccount(\"n\", "
                        "\"robot\").group(\"\").resource(\"pods\").check(\"create\").allowed()'}]}",
                        REPLICAS(1));
        assert_string_equal(found, "");
}

/* A policy ends when its budget is spent, one expression when its share is. */
static void test_budget(void **state) {
        static const char spec[] =
                        "spec: {validations: [{expression: '[1,2,3,4,5,6,7,8,9].all(a, "
                        "[1,2,3,4,5,6,7,8,9].all(b, a * b < 100))'}, {expression: 'false', "
                        "message: m}]}";
        _cleanup_free_ char *small = judge_limited(*state, spec, REPLICAS(1), NULL, NULL, 100),
                            *large = judge_limited(*state, spec, REPLICAS(1), NULL, NULL, 0);

        assert_string_equal(small, "-1 Invalid validation failed due to running out of cost "
                                   "budget, no further validation rules will be run");
        assert_string_equal(large, "1 Invalid m");
}

/* Each expression has the memory that the ones before took. A variable keeps its own. */
static void test_memory(void **state) {
        static const char large[] = "lists.range(10000).map(i, [i]).size() == 10000";
        _cleanup_buf_ struct buf spec = {0};
        _cleanup_free_ char *text = NULL;

        buf_printf(&spec, "spec: {variables: [{name: a, expression: '[1, 2].map(i, [i])'}, "
                          "{name: b, expression: '[1][5] == 1'}], "
                          "validations: [{expression: 'variables.a.size() == 2'}, ");
        for (int i = 0; i < 30; i++)
                buf_printf(&spec, "{expression: '%s'}, ", large);
        buf_append_str(&spec, "{expression: 'variables.a == [[1], [2]]'}, "
                              "{expression: 'variables.a + [[3]] == [[1], [2], [3]]'}, "
                              "{expression: 'variables.a.size() == 3', message: m}, "
                              "{expression: 'variables.b'}]}");
        text = judge(*state, spec.data, REPLICAS(1));
        assert_string_equal(text, "33 Invalid m; 34 Invalid expression 'variables.b' resulted in "
                                  "error: composited variable \"b\" fails to evaluate: index out "
                                  "of bounds: 5");
}

/* --- compiling --- */

static void collect(const char *field, const char *text, const char *why, void *userdata) {
        (void)text;
        buf_printf(userdata, "%s: %s\n", field, why);
}

static const struct {
        const char *spec, *expected;
} faults[] = {
                {"{validations: [{expression: object.x >}]}",
                                "validations[0].expression: compilation failed: ERROR: "
                                "<input>:1:11: Syntax error"},
                {"{validations: [{expression: thing == 1}]}",
                                "undeclared reference to 'thing' (in container '')"},
                {"{validations: [{expression: params.x == 1}]}",
                                "undeclared reference to 'params'"},
                {"{validations: [{expression: \"'a'\"}]}",
                                "validations[0].expression: must evaluate to bool"},
                {"{validations: [{expression: 'true', messageExpression: '1'}]}",
                                "validations[0].messageExpression: must evaluate to string"},
                {"{validations: [{expression: 'true', messageExpression: "
                 "authorizer.path('/x').check('get').reason()}]}",
                                "undeclared reference to 'authorizer'"},
                {"{validations: [{expression: request.nothing == ''}]}",
                                "undefined field 'nothing'"},
                {"{validations: [{expression: variables.later == 1}]}", "undefined field 'later'"},
                {"{variables: [{name: a, expression: variables.b}, {name: b, expression: '1'}]}",
                                "variables[0].expression: compilation failed"},
                {"{matchConditions: [{name: a, expression: '1'}]}",
                                "matchConditions[0].expression: must evaluate to bool"},
                {"{auditAnnotations: [{key: a, valueExpression: '1'}]}",
                                "auditAnnotations[0].valueExpression: must evaluate to one of"},
};

static void test_faults(void **state) {
        struct world *w = *state;
        static const struct policy_types any = {0};

        for (size_t i = 0; i < ELEMENTS(faults); i++) {
                _cleanup_(policy_program_freep) struct policy_program *p = NULL;
                _cleanup_json_ json_t *spec = yaml("%s", faults[i].spec);
                _cleanup_buf_ struct buf b = {0};

                assert_int_equal(policy_program_new(&p, w->language, spec, &any, collect, &b), 0);
                if (b.size == 0 || !strstr(b.data, faults[i].expected))
                        fail_msg("%s gives %s", faults[i].spec, b.size > 0 ? b.data : "nothing");
        }
}

static void test_type_checking(void **state) {
        struct world *w = *state;
        _cleanup_json_ json_t *
                        spec = yaml("matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], "
                                    "operations: [CREATE], resources: [deployments, replicasets]}]}\n"
                                    "validations: [{expression: object.replicas > 1}, {expression: "
                                    "object.spec.replicas > 1}, {expression: "
                                    "\"object.spec.template.spec.containers.all(c, c.image.startsWith('a') && "
                                    "has(c.resources.limits) && c.resources.limits.cpu == 'x')\"}, {expression: "
                                    "object.spec.replicas == '1'}]"),
                       *found = NULL;

        assert_int_equal(policy_check_types(w->language, w->kinds, spec, &found), 0);
        assert_int_equal(json_array_size(found), 2);
        assert_string_equal(json_str(json_array_get(found, 0), "fieldRef"),
                        "spec.validations[0].expression");
        assert_string_equal(json_str(json_array_get(found, 0), "warning"),
                        "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n"
                        " | object.replicas > 1\n"
                        " | ......^\n"
                        "apps/v1, Kind=ReplicaSet: ERROR: <input>:1:7: undefined field 'replicas'\n"
                        " | object.replicas > 1\n"
                        " | ......^");
        assert_string_equal(json_str(json_array_get(found, 1), "fieldRef"),
                        "spec.validations[3].expression");
        assert_non_null(strstr(json_str(json_array_get(found, 1), "warning"),
                        "found no matching overload for '_==_'"));
        json_decref(found);
        found = NULL;
        json_decref(spec);
        spec = yaml("matchConstraints: {resourceRules: [{apiGroups: ['*'], apiVersions: [v1], "
                    "operations: [CREATE], resources: [deployments]}]}\n"
                    "validations: [{expression: object.replicas > 1}]");
        assert_int_equal(policy_check_types(w->language, w->kinds, spec, &found), 0);
        assert_null(found);
}

/* --- conditions of webhooks --- */

static const struct {
        const char *list;
        int result; /* 1, 0 or below */
} conditions[] = {
                {"[{name: a, expression: 'object.spec.replicas == 2'}]", 1},
                {"[{name: a, expression: 'object.spec.replicas == 3'}]", 0},
                {"[{name: a, expression: 'request.name == \"web\"'}, {name: b, expression: "
                 "'oldObject != null'}]",
                                0},
                {"[{name: a, expression: 'object.spec.nothing == 1'}]", -EINVAL},
                {"[{name: a, expression: 'object.spec.nothing == 1'}, {name: b, expression: "
                 "'false'}]",
                                0},
                {"[{name: a, expression: 'authorizer.requestResource.check(\"create\").allowed()'}]",
                                1},
                {"[{name: a, expression: 'this is not one'}]", -EINVAL},
};

static void test_conditions(void **state) {
        struct world *w = *state;
        _cleanup_json_ json_t *object = yaml("%s", REPLICAS(2)),
                              *review = yaml("{name: web, operation: CREATE}");
        const struct webhook_request facts = {.operation = WEBHOOK_CREATE,
                        .kind = kind_registry_find(w->kinds, "apps", "v1", "deployments"),
                        .namespace = "shop",
                        .name = "web"};

        for (size_t i = 0; i < ELEMENTS(conditions); i++) {
                _cleanup_json_ json_t *list = yaml("%s", conditions[i].list);
                struct webhook_conditions *c;
                struct policy_question q = {.request = &facts,
                                .as = facts.kind,
                                .object = object,
                                .review = review,
                                .authority = &authority};
                _cleanup_free_ char *why = NULL;

                assert_int_equal(webhook_conditions_new(&c, list), 0);
                if (webhook_conditions_hold(c, &q, &why) != conditions[i].result)
                        fail_msg("%s", conditions[i].list);
                assert_int_equal(why != NULL, conditions[i].result < 0);
                webhook_conditions_free(c);
        }
}

static uint64_t long_ago(void *clock) {
        return 1000;
}

/* A limit makes conditions fail, and with nothing spent they hold. */
static void test_condition_limits(void **state) {
        struct world *w = *state;
        _cleanup_json_ json_t *list = yaml("[{name: a, expression: '[1,2,3,4,5,6,7,8,9].all(a, "
                                           "[1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all("
                                           "c, a * b * c < 1000)))'}]"),
                              *review = yaml("{name: web, operation: CREATE}");
        const struct webhook_request facts = {.operation = WEBHOOK_CREATE,
                        .kind = kind_registry_find(w->kinds, "apps", "v1", "deployments")};
        const struct {
                struct cel_limits limits;
                int result;
        } cases[] = {
                        {{.cost_max = 2500 * 1000}, 1},
                        {{.cost_max = 100}, -EINVAL},
                        {{.deadline_us = 1000, .now_us = long_ago}, 1},
                        {{.deadline_us = 999, .now_us = long_ago}, -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct webhook_conditions *c;
                struct policy_question q = {.request = &facts,
                                .as = facts.kind,
                                .review = review,
                                .authority = &authority,
                                .limits = &cases[i].limits};
                _cleanup_free_ char *why = NULL;

                assert_int_equal(webhook_conditions_new(&c, list), 0);
                assert_int_equal(webhook_conditions_hold(c, &q, &why), cases[i].result);
                webhook_conditions_free(c);
        }
}

/* --- matching --- */

static const struct {
        const char *match, *name, *labels;
        bool matches;
} matches[] = {
                {"{resourceRules: [RULE]}", "web", "{}", true},
                {"{}", "web", "{}", true},
                {"{resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: ['*'], "
                 "resources: [pods]}]}",
                                "web", "{}", false},
                {"{resourceRules: [RULE], excludeResourceRules: [RULE]}", "web", "{}", false},
                {"{excludeResourceRules: [RULE]}", "web", "{}", false},
                {"{resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], "
                 "resources: [deployments], resourceNames: [web]}]}",
                                "web", "{}", true},
                {"{resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], "
                 "resources: [deployments], resourceNames: [other]}]}",
                                "web", "{}", false},
                {"{resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], "
                 "resources: [deployments], resourceNames: [web]}]}",
                                "", "{}", false},
                {"{resourceRules: [RULE], objectSelector: {matchLabels: {a: b}}}", "web", "{a: b}",
                                true},
                {"{resourceRules: [RULE], objectSelector: {matchLabels: {a: b}}}", "web", "{a: c}",
                                false},
                {"{resourceRules: [RULE], namespaceSelector: {matchLabels: {env: test}}}", "web",
                                "{}", true},
                {"{resourceRules: [RULE], namespaceSelector: {matchLabels: {env: prod}}}", "web",
                                "{}", false},
};

static void test_matching(void **state) {
        static const char rule[] = "{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], "
                                   "resources: [deployments]}";
        struct world *w = *state;
        const struct kind *k = kind_registry_find(w->kinds, "apps", "v1", "deployments");
        struct webhook_equivalents equivalents;

        webhook_equivalents_find(w->kinds, k, &equivalents);
        for (size_t i = 0; i < ELEMENTS(matches); i++) {
                _cleanup_(policy_binding_unrefp) struct policy_binding *b = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_buf_ struct buf text = {0};
                const char *at = matches[i].match, *next;

                for (; (next = strstr(at, "RULE")); at = next + 4)
                        buf_printf(&text, "%.*s%s", (int)(next - at), at, rule);
                buf_append_str(&text, at);

                _cleanup_json_ json_t *object = yaml("metadata: {name: b}\nspec: {matchResources: "
                                                     "%s}",
                                                      text.data),
                                      *target = yaml("metadata: {name: web, labels: %s}",
                                                      matches[i].labels),
                                      *labels = yaml("{env: test}");
                const struct webhook_request facts = {.operation = WEBHOOK_CREATE,
                                .kind = k,
                                .namespace = "shop",
                                .name = matches[i].name,
                                .object = target,
                                .namespace_labels = labels};

                assert_int_equal(policy_binding_new(&b, object, &p), 0);
                if (!policy_matches(&b->match, &facts, &equivalents) == matches[i].matches)
                        fail_msg("%s with the name \"%s\"", matches[i].match, matches[i].name);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_verdicts),
                        cmocka_unit_test(test_update),
                        cmocka_unit_test(test_params),
                        cmocka_unit_test(test_authorizer),
                        cmocka_unit_test(test_budget),
                        cmocka_unit_test(test_memory),
                        cmocka_unit_test(test_faults),
                        cmocka_unit_test(test_type_checking),
                        cmocka_unit_test(test_conditions),
                        cmocka_unit_test(test_condition_limits),
                        cmocka_unit_test(test_matching),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
