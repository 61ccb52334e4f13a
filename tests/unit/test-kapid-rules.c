/* x-kubernetes-validations: definitions judged, rules carried out, changes and what did not change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/schema/rules.h"
#include "tests/unit/kapid-cases.h"

/* JSON with single quotes; the texts of rules stand in double ones and keep their single quotes. */
static json_t *parse_rules(const char *text) {
        _cleanup_free_ char *s = strdup(text);
        bool inside = false;
        json_t *v;

        assert_non_null(s);
        for (char *c = s; *c; c++)
                if (*c == '"')
                        inside = !inside;
                else if (*c == '\'' && !inside)
                        *c = '"';
        v = json_loads(s, JSON_DECODE_ANY, NULL);
        if (!v)
                fail_msg("bad JSON in the test: %s", s);
        return v;
}

/* The causes' "field: message", one a line; "" when there are none. */
static char *texts(const struct findings *f) {
        struct buf b = {};
        const json_t *cause;
        size_t i;

        json_array_foreach (f->causes, i, cause)
                buf_printf(&b, "%s%s: %s", i > 0 ? "\n" : "", json_str_or(cause, "field", ""),
                                json_str_or(cause, "message", ""));
        return buf_take(&b);
}

static struct rules_base *base;

static int setup_rules(void **state) {
        return setup(state) < 0 ? -1 : rules_base_new(&base);
}

static int teardown_rules(void **state) {
        base = rules_base_free(base);
        return teardown(state);
}

struct definition {
        const char *schema, *want; /* want: what the first finding has in it; "": none */
};

#define RULE(text) "'x-kubernetes-validations':[{'rule':\"" text "\"}]"
#define AT_ROOT(text) "{'type':'object','properties':{'a':{'type':'integer'}}," RULE(text) "}"

static const struct definition definitions[] = {
                {AT_ROOT("self.a > 1"), ""},
                {AT_ROOT("self.metadata.name.size() > 1"), ""},
                {AT_ROOT("self.b > 1"),
                                "compilation failed: ERROR: <input>:1:5: undefined field 'b'"},
                {AT_ROOT("self.a"), "cel expression must evaluate to a bool"},
                {AT_ROOT("self.a >"), "Syntax error: mismatched input '<EOF>'"},
                {AT_ROOT("self.a == oldSelf.a"), ""},
                {AT_ROOT(" "), "x-kubernetes-validations[0].rule: Required value: rule is not specified"},
                {"{'type':'object','x-kubernetes-validations':[{'rule':'true','messageExpression':'1'}]}",
                                "messageExpression must evaluate to a string"},
                {"{'type':'object','x-kubernetes-validations':[{'rule':'true','message':'a\\nb'}]}",
                                "message: Invalid value: \"a\\nb\": must not contain line breaks"},
                {"{'type':'object','x-kubernetes-validations':[{'rule':'true\\n'}]}", ""},
                {"{'type':'object','x-kubernetes-validations':[{'rule':'true ||\\nfalse'}]}",
                                "message must be specified if rule contains line breaks"},
                {"{'type':'object','x-kubernetes-validations':[{'rule':'true','reason':'Nope'}]}",
                                "reason: Unsupported value: \"Nope\""},
                {"{'type':'object','properties':{'a':{'type':'string'}},'x-kubernetes-validations':"
                 "[{'rule':'true','fieldPath':'.a'}]}",
                                ""},
                {"{'type':'object','properties':{'a':{'type':'string'}},'x-kubernetes-validations':"
                 "[{'rule':'true','fieldPath':'.b'}]}",
                                "fieldPath: Invalid value: \".b\": must be a valid path"},
                {"{'type':'object','x-kubernetes-validations':[{'rule':'true','optionalOldSelf':true}]}",
                                "may not be set if oldSelf is not used in rule"},
                /* Where items have no keys there is nothing to compare an item with. */
                {"{'type':'object','properties':{'l':{'type':'array','maxItems':3,'items':{'type':"
                 "'integer'," RULE("self == oldSelf") "}}}}",
                                "oldSelf cannot be used on the uncorrelatable portion of the schema "
                                "within schema.properties[l]"},
                {"{'type':'object','properties':{'l':{'type':'array','maxItems':3,"
                 "'x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':"
                 "'object','required':['k'],'properties':{'k':{'type':'string','maxLength':9}}," RULE(
                                 "self.k == oldSelf.k") "}}}}",
                                ""},
                /* Costs: without bounds a rule on items, or a loop in a loop, is too dear. */
                {"{'type':'object','properties':{'l':{'type':'array','items':{'type':'string'," RULE(
                                 "self.contains('a') && self.contains('bcdef')") "}}}}",
                                "estimated rule cost exceeds budget by factor of more than 100x"},
                /* A bound that no integer holds is none. */
                {"{'type':'object','properties':{'l':{'type':'array','maxItems':1e30,'items':{'type':"
                 "'string'," RULE("self.contains('a') && self.contains('bcdef')") "}}}}",
                                "estimated rule cost exceeds budget by factor of more than 100x"},
                {"{'type':'object','properties':{'l':{'type':'array','maxItems':10,'items':{'type':"
                 "'string','maxLength':10," RULE("self.contains('a')") "}}}}",
                                ""},
                {"{'type':'object','properties':{'l':{'type':'array','items':{'type':'string'}," RULE(
                                 "self.all(x, self.all(y, x == y))") "}}}",
                                "exceeds budget by factor of"},
                {"{'type':'object','properties':{'m':{'type':'object','additionalProperties':"
                 "{'type':'integer'}," RULE("self.all(k, self[k] > 0)") "}}}",
                                ""},
};

static void test_definitions(void **state) {
        for (size_t i = 0; i < ELEMENTS(definitions); i++) {
                _cleanup_json_ json_t *schema = NULL;
                _cleanup_findings_ struct findings f = {};
                _cleanup_free_ char *got = NULL, *want = strdup(definitions[i].want);

                schema = parse_rules(definitions[i].schema);
                findings_push(&f, "schema");
                rules_check_definition(&f, schema);
                assert_false(f.failed);
                got = texts(&f);
                if (*want ? !strstr(got, want) : *got)
                        fail_msg("%s\n got: %s\nwant: %s", definitions[i].schema, got, want);
        }
}

struct object_case {
        const char *schema, *object, *old, *want; /* old NULL: a create */
};

static const char counters[] =
                "{'type':'object','properties':{'min':{'type':'integer'},'max':{'type':'integer'},"
                "'word':{'type':'string'}},'x-kubernetes-validations':[{'rule':"
                "\"self.min <= self.max\"}]}";
static const char told[] =
                "{'type':'object','properties':{'min':{'type':'integer'},'max':{'type':'integer'}},"
                "'x-kubernetes-validations':[{'rule':\"self.min <= self.max\",'message':'too small',"
                "'messageExpression':\"string(self.min) + ' is more than ' + string(self.max)\","
                "'reason':'FieldValueForbidden','fieldPath':'.min'}]}";
static const char fixed[] =
                "{'type':'object','properties':{'a':{'type':'string','x-kubernetes-validations':"
                "[{'rule':\"self == oldSelf\",'message':'is immutable'}]}}}";
static const char optional[] =
                "{'type':'object','properties':{'a':{'type':'string','x-kubernetes-validations':"
                "[{'rule':\"oldSelf.hasValue() || self.startsWith(dyn('new'))\",'optionalOldSelf':"
                "true}]}}}";
static const char keyed[] =
                "{'type':'object','properties':{'l':{'type':'array','x-kubernetes-list-type':'map',"
                "'x-kubernetes-list-map-keys':['k'],'items':{'type':'object','properties':{'k':"
                "{'type':'string'},'v':{'type':'integer'}},'x-kubernetes-validations':[{'rule':"
                "\"self.v >= oldSelf.v\"}]}}}}";
/* The order does not count where the set stands on the left. */
static const char set_left[] =
                "{'type':'object','properties':{'s':{'type':'array','x-kubernetes-list-type':'set',"
                "'items':{'type':'string'},'x-kubernetes-validations':[{'rule':"
                "\"self == ['b', 'a']\"}]}}}";
static const char set_right[] =
                "{'type':'object','properties':{'s':{'type':'array','x-kubernetes-list-type':'set',"
                "'items':{'type':'string'},'x-kubernetes-validations':[{'rule':"
                "\"['b', 'a'] == self\"}]}}}";
static const char mapped[] =
                "{'type':'object','properties':{'m':{'type':'object','additionalProperties':{'type':"
                "'integer','x-kubernetes-validations':[{'rule':\"self > 0\"}]}}}}";

static const struct object_case objects[] = {
                {counters, "{'min':1,'max':2}", NULL, ""},
                {counters, "{'min':3,'max':2}", NULL,
                                ": Invalid value: failed rule: self.min <= self.max"},
                {counters, "{'min':3}", NULL,
                                "no such key: max evaluating rule: self.min <= self.max"},
                {told, "{'min':3,'max':2}", NULL, "min: Forbidden: 3 is more than 2"},
                /* A message that cannot be made falls back to the other. */
                {told, "{'min':1,'max':2}", NULL, ""},
                {fixed, "{'a':'x'}", NULL, ""},
                {fixed, "{'a':'x'}", "{'a':'x'}", ""},
                {fixed, "{'a':'y'}", "{'a':'x'}", "a: Invalid value: \"y\": is immutable"},
                {fixed, "{'a':'y'}", "{}", ""},
                {optional, "{'a':'old'}", NULL, "a: Invalid value: \"old\": failed rule"},
                {optional, "{'a':'newer'}", NULL, ""},
                {optional, "{'a':'old'}", "{'a':'x'}", ""},
                {keyed, "{'l':[{'k':'b','v':1},{'k':'a','v':2}]}", "{'l':[{'k':'a','v':1}]}", ""},
                {keyed, "{'l':[{'k':'b','v':1},{'k':'a','v':0}]}", "{'l':[{'k':'a','v':1}]}",
                                "l[1]: Invalid value: failed rule: self.v >= oldSelf.v"},
                {mapped, "{'m':{'a':1,'b-c':0}}", NULL, "m[b-c]: Invalid value: 0: failed rule"},
                {set_left, "{'s':['a','b']}", NULL, ""},
                {set_left, "{'s':['a','c']}", NULL, "s: Invalid value: failed rule"},
                {set_left, "{'s':['a']}", NULL, "s: Invalid value: failed rule"},
                {set_right, "{'s':['a','b']}", NULL, "s: Invalid value: failed rule"},
                {set_right, "{'s':['b','a']}", NULL, ""},
                /* What was there already and did not change stays. */
                {counters, "{'min':3,'max':2}", "{'min':3,'max':2}", ""},
                {counters, "{'min':3,'max':2,'word':'x'}", "{'min':3,'max':2}", "failed rule"},
                {mapped, "{'m':{'a':0,'b':1}}", "{'m':{'a':0}}", ""},
                {mapped, "{'m':{'a':0,'b':-1}}", "{'m':{'a':0}}", "m[b]: Invalid value: -1"},
};

static void test_objects(void **state) {
        for (size_t i = 0; i < ELEMENTS(objects); i++) {
                const struct object_case *o = &objects[i];
                _cleanup_json_ json_t *schema = parse_rules(o->schema), *object = parse(o->object),
                                      *old = o->old ? parse(o->old) : NULL;
                _cleanup_(rules_freep) struct rules *rules = NULL;
                _cleanup_findings_ struct findings f = {};
                _cleanup_free_ char *got = NULL;

                assert_int_equal(rules_new(schema, base, &rules), 0);
                assert_non_null(rules);
                rules_validate(&f, rules, object, old, NULL);
                assert_false(f.failed);
                got = texts(&f);
                if (*o->want ? !strstr(got, o->want) : *got)
                        fail_msg("%s\n got: %s\nwant: %s", o->object, got, o->want);
        }
}

/* A rule that does not end in its budget refuses the object, and so does one that does not compile
 * (its definition was stored before rules were judged). */
static void test_limits(void **state) {
        static const char dear[] =
                        "{'type':'object','properties':{'l':{'type':'array','items':{'type':"
                        "'integer'}}},'x-kubernetes-validations':[{'rule':"
                        "\"self.l.all(x, self.l.all(y, self.l.all(z, x + y + z >= 0)))\"}]}";
        _cleanup_json_ json_t *schema = parse_rules(dear), *object = parse("{'l':[]}"),
                              *wrong = parse("{'type':'object','x-kubernetes-validations':[{'rule':"
                                             "'nothing'}]}");
        _cleanup_(rules_freep) struct rules *rules = NULL, *broken = NULL;
        _cleanup_findings_ struct findings f = {}, g = {};
        _cleanup_free_ char *got = NULL, *other = NULL;

        for (int i = 0; i < 200; i++)
                json_array_append_new(json_object_get(object, "l"), json_integer(i));
        assert_int_equal(rules_new(schema, base, &rules), 0);
        rules_validate(&f, rules, object, NULL, NULL);
        got = texts(&f);
        assert_non_null(strstr(got, "no further validation rules will be run due to call cost "
                                    "exceeds limit for rule: self.l.all"));
        assert_int_equal(rules_new(wrong, base, &broken), 0);
        rules_validate(&g, broken, object, NULL, NULL);
        other = texts(&g);
        assert_non_null(strstr(other, "rule compile error: compilation failed: ERROR"));
}

/* Many items that do not hold: the findings are bounded, and the patterns of all of them. */
static void test_many(void **state) {
        static const char positive[] =
                        "{'type':'object','properties':{'l':{'type':'array','items':{'type':"
                        "'integer','x-kubernetes-validations':[{'rule':\"self > 0\"}]}}}}";
        static const char slow[] =
                        "{'type':'object','properties':{'l':{'type':'array','items':{'type':"
                        "'string','x-kubernetes-validations':[{'rule':"
                        "\"!self.matches('(x+x+)+y')\"}]}}}}";
        static const char word[] = "xxxxxxxxxxxxxxxxxx";
        _cleanup_json_ json_t *numbers = parse_rules(positive), *texts_schema = parse_rules(slow),
                              *object = parse("{'l':[]}"), *old = NULL, *words = parse("{'l':[]}");
        _cleanup_(rules_freep) struct rules *rules = NULL, *slow_rules = NULL;
        _cleanup_findings_ struct findings f = {}, g = {}, h = {};
        _cleanup_free_ char *got = NULL;
        _cleanup_strv_free_ char **warnings = NULL;

        for (int i = 0; i < 20000; i++)
                json_array_append_new(json_object_get(object, "l"), json_integer(-i));
        for (int i = 0; i < 200; i++)
                json_array_append_new(json_object_get(words, "l"), json_string(word));
        old = json_deep_copy(object);
        assert_int_equal(rules_new(numbers, base, &rules), 0);
        rules_validate(&f, rules, object, NULL, NULL);
        assert_false(f.failed);
        assert_int_equal(findings_count(&f), FINDINGS_MAX);
        rules_validate(&g, rules, object, old, &warnings);
        assert_false(g.failed);
        assert_int_equal(findings_count(&g), 0);
        assert_int_equal(strv_length(warnings), FINDINGS_MAX);
        assert_int_equal(rules_new(texts_schema, base, &slow_rules), 0);
        rules_validate(&h, slow_rules, words, NULL, NULL);
        got = texts(&h);
        if (!strstr(got, "no further validation rules will be run"))
                fail_msg("%s", got);
        assert_int_equal(findings_count(&h), 1);
}

/* Schema validation lets unchanged parts pass too. */
static void test_ratchet(void **state) {
        _cleanup_json_ json_t *crd = parse_rules(
                        "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition',"
                        "'metadata':{'name':'things.rules.example.com'},'spec':{'group':"
                        "'rules.example.com','scope':'Namespaced','names':{'plural':'things','kind':"
                        "'Thing'},'versions':[{'name':'v1','served':true,'storage':true,'schema':"
                        "{'openAPIV3Schema':{'type':'object','properties':{'spec':{'type':'object',"
                        "'properties':{'short':{'type':'string','maxLength':3},'other':{'type':"
                        "'string'}},'x-kubernetes-validations':[{'rule':"
                        "\"!has(self.other) || self.other != 'bad'\"}]}}}}}]}}");
        _cleanup_json_ json_t *old = NULL, *same = NULL, *longer = NULL, *bad = NULL;
        _cleanup_problem_ struct problem p = {0}, q = {0}, o = {0};
        const struct kind *k;

        assert_int_equal(kind_registry_add_crd(registry, crd, &p), 0);
        k = kind("rules.example.com", "things");
        assert_non_null(k->rules);
        old = parse("{'apiVersion':'rules.example.com/v1','kind':'Thing','metadata':{'name':'a',"
                    "'namespace':'b'},'spec':{'short':'toolong'}}");
        same = json_deep_copy(old);
        longer = json_deep_copy(old);
        bad = json_deep_copy(old);
        assert_int_equal(json_set_str(same, "spec.other", "x"), 0);
        assert_int_equal(json_set_str(longer, "spec.short", "longer"), 0);
        assert_int_equal(json_set_str(bad, "spec.other", "bad"), 0);
        assert_int_equal(pipeline_validate_create(k, old, &p), -EINVAL);
        assert_int_equal(pipeline_validate_update(k, NULL, old, same, NULL, &p), 0);
        assert_int_equal(pipeline_validate_update(k, NULL, old, longer, NULL, &q), -EINVAL);
        assert_int_equal(pipeline_validate_update(k, NULL, old, bad, NULL, &o), -EINVAL);
        assert_non_null(strstr(o.message, "spec: Invalid value: failed rule: !has(self.other)"));
        assert_int_equal(kind_registry_remove_crd(registry, "things.rules.example.com"), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_definitions),
                        cmocka_unit_test(test_objects),
                        cmocka_unit_test(test_limits),
                        cmocka_unit_test(test_many),
                        cmocka_unit_test(test_ratchet),
        };

        return cmocka_run_group_tests(tests, setup_rules, teardown_rules);
}
