/* Server-side apply and field ownership, as sequences of writes on one object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/patch/managed.h"
#include "kapid/schema/schema.h"
#include "tests/unit/kapid-cases.h"

enum { T0 = 1700000000 };

static struct apply_options by(const char *manager, unsigned when) {
        return (struct apply_options){
                        .manager = manager, .now_us = (uint64_t)(T0 + when) * 1000000};
}

/* Applies text to live (may be NULL) and returns the object. */
static json_t *apply_with(const struct kind *k, const json_t *live, const char *text,
                struct apply_options o) {
        _cleanup_free_ char *body = quoted(text);
        _cleanup_problem_ struct problem p = {0};
        struct decoded d = {0};

        if (apply_run(k, body, strlen(body), live, &o, &d, &p) < 0)
                fail_msg("%s", p.message);
        return d.object;
}

static json_t *apply(const struct kind *k, const json_t *live, const char *text,
                const char *manager, unsigned when) {
        return apply_with(k, live, text, by(manager, when));
}

static void apply_fails(const struct kind *k, const json_t *live, const char *text,
                const char *manager, int code, const char *expected) {
        _cleanup_free_ char *body = quoted(text), *want = quoted(expected);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_decoded_ struct decoded d = {0};
        struct apply_options o = by(manager, 50);

        assert_true(apply_run(k, body, strlen(body), live, &o, &d, &p) < 0);
        if (p.code != code || !strstr(p.message, want))
                fail_msg("\n got: %i %s\nwant: %s", p.code, p.message, want);
        if (code == 409) {
                assert_string_equal(p.reason, "Conflict");
                assert_string_equal(json_str(json_array_get(p.causes, 0), "reason"),
                                "FieldManagerConflict");
        }
}

/* An update that merges `text` into the object, by the manager. */
static json_t *update(const struct kind *k, const json_t *live, const char *text,
                struct apply_options o) {
        _cleanup_json_ json_t *change = parse(text);
        json_t *object = json_deep_copy(live);

        json_object_update_recursive(object, change);
        assert_int_equal(managed_update(k, live, object, &o), 0);
        return object;
}

/* fieldsV1 of an entry. */
static const json_t *fields(const json_t *object, const char *manager, const char *operation) {
        const json_t *e;
        size_t i;

        json_array_foreach (json_at(object, "metadata.managedFields"), i, e)
                if (streq(json_str_or(e, "manager", ""), manager) &&
                                streq(json_str_or(e, "operation", ""), operation))
                        return json_object_get(e, "fieldsV1");
        return NULL;
}

#define CM(data) \
        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':'d'},'data'" \
        ":" data "}"

static void test_create_and_change(void **state) {
        const struct kind *k = kind("", "configmaps");
        _cleanup_json_ json_t *a = apply(k, NULL, CM("{'a':'1','b':'2'}"), "one", 0);

        assert_json(fields(a, "one", "Apply"), "{'f:data':{'f:a':{},'f:b':{}}}");
        assert_string_equal(
                        json_str(json_array_get(json_at(a, "metadata.managedFields"), 0), "time"),
                        "2023-11-14T22:13:20Z");
        _cleanup_json_ json_t *b = apply(k, a, CM("{'a':'3'}"), "one", 5);
        assert_json(json_object_get(b, "data"), "{'a':'3'}");
        assert_json(fields(b, "one", "Apply"), "{'f:data':{'f:a':{}}}");
        /* YAML, nothing changed: the very same object, times too. */
        _cleanup_json_ json_t *c = apply(k, b,
                        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: "
                        "d}\ndata:\n  a: \"3\"\n",
                        "one", 9);
        assert_true(json_equal(b, c));
}

static void test_conflict_force_share(void **state) {
        const struct kind *k = kind("", "configmaps");
        _cleanup_json_ json_t *a = apply(k, NULL, CM("{'a':'1','b':'2'}"), "one", 0);

        apply_fails(k, a, CM("{'a':'2'}"), "two", 409,
                        "Apply failed with 1 conflict: conflict with 'one': .data.a");
        apply_fails(k, a, CM("{'a':'2','b':'3'}"), "two", 409,
                        "Apply failed with 2 conflicts: conflicts with 'one':\n- .data.a\n- "
                        ".data.b");
        /* The same value is shared. */
        _cleanup_json_ json_t *shared = apply(k, a, CM("{'a':'1'}"), "two", 1);
        /* It changed nothing: its entry has no time. */
        assert_null(json_at(json_array_get(json_at(shared, "metadata.managedFields"), 0), "time"));
        assert_json(fields(shared, "two", "Apply"), "{'f:data':{'f:a':{}}}");
        assert_json(fields(shared, "one", "Apply"), "{'f:data':{'f:a':{},'f:b':{}}}");
        /* One owner leaves: the field stays for the other. */
        _cleanup_json_ json_t *left = apply(k, shared, CM("{'b':'2'}"), "one", 2);
        assert_json(json_object_get(left, "data"), "{'a':'1','b':'2'}");
        assert_json(fields(left, "one", "Apply"), "{'f:data':{'f:b':{}}}");
        /* Force takes the field. */
        struct apply_options force = by("two", 3);
        force.force = true;
        _cleanup_json_ json_t *forced = apply_with(k, a, CM("{'a':'9'}"), force);
        assert_json(json_object_get(forced, "data"), "{'a':'9','b':'2'}");
        assert_json(fields(forced, "one", "Apply"), "{'f:data':{'f:b':{}}}");
        /* Leaving out everything gives all up, and the entry goes. */
        _cleanup_json_ json_t *none = apply(k, forced,
                        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':'"
                        "d'}}",
                        "one", 4);
        assert_json(json_object_get(none, "data"), "{'a':'9'}");
        assert_null(fields(none, "one", "Apply"));
        assert_string_equal(json_str(none, "metadata.name"), "c");
}

static void test_updates(void **state) {
        const struct kind *k = kind("", "configmaps");
        _cleanup_json_ json_t *a = apply(k, NULL, CM("{'a':'1','b':'2'}"), "one", 0);
        _cleanup_json_ json_t *b = update(k, a, "{'data':{'a':'5','c':'6'}}", by("editor", 1));

        assert_json(fields(b, "editor", "Update"), "{'f:data':{'f:a':{},'f:c':{}}}");
        assert_json(fields(b, "one", "Apply"), "{'f:data':{'f:b':{}}}");
        apply_fails(k, b, CM("{'a':'1','b':'2'}"), "one", 409,
                        "conflict with 'editor' using v1: .data.a");
        _cleanup_json_ json_t *same = update(k, b, "{}", by("other", 2));
        assert_true(json_equal(b, same));
        /* Removing a field takes it from everyone. */
        _cleanup_json_ json_t *c = json_deep_copy(b);
        struct apply_options o = by("remover", 3);
        json_object_del(json_object_get(c, "data"), "b");
        assert_int_equal(managed_update(k, b, c, &o), 0);
        assert_null(fields(c, "one", "Apply"));
        assert_null(fields(c, "remover", "Update"));
        /* A reset by [{}]. */
        _cleanup_json_ json_t *reset = json_deep_copy(c);
        json_set_at(reset, "metadata.managedFields", json_pack("[{}]"));
        assert_int_equal(managed_update(k, c, reset, &o), 0);
        assert_null(json_at(reset, "metadata.managedFields"));
        /* Applying to what nobody tracks: it belonged to someone before. */
        apply_fails(k, reset, CM("{'a':'7'}"), "one", 409,
                        "conflict with 'before-first-apply' using v1: .data.a");
}

#define DEPLOY(more, containers) \
        "{'apiVersion':'apps/" \
        "v1','kind':'Deployment','metadata':{'name':'w','namespace':'d'},'spec':{'selector':{'" \
        "matchLabels':{'a':'b'}}," more \
        "'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':[" containers "]}}}}"

static void test_deployment(void **state) {
        const struct kind *k = kind("apps", "deployments");
        _cleanup_json_ json_t *a = apply(k, NULL,
                        DEPLOY("'replicas':2,", "{'name':'c','image':'x','ports':[{'containerPort':"
                                                "80}],'livenessProbe':{'exec':{'command':['t']}}}"),
                        "one", 0);

        assert_json(fields(a, "one", "Apply"),
                        "{'f:spec':{'f:replicas':{},'f:selector':{},'f:template':{'f:metadata':{'f:"
                        "labels':{'f:a':{}}},'f:spec':{'f:containers':{"
                        "'k:{\\u0022name\\u0022:\\u0022c\\u0022}':{'.':{},'f:name':{},'f:image':{},"
                        "'f:livenessProbe':{'f:exec':{'f:command':{}}},'f:ports':{"
                        "'k:{\\u0022containerPort\\u0022:80,\\u0022protocol\\u0022:"
                        "\\u0022TCP\\u0022}':{'.':{},'f:containerPort':{}}}}}}}}}");
        assert_int_equal(pipeline_default(k, a), 0);
        /* Applied again after defaulting: nothing changes. */
        _cleanup_json_ json_t *again = apply(k, a,
                        DEPLOY("'replicas':2,", "{'name':'c','image':'x','ports':[{'containerPort':"
                                                "80}],'livenessProbe':{'exec':{'command':['t']}}}"),
                        "one", 1);
        assert_int_equal(pipeline_default(k, again), 0);
        assert_int_equal(managed_settle(a, again), 1);
        assert_true(json_equal(a, again));
        /* Without replicas: the default comes back; without the probe: it goes whole. */
        _cleanup_json_ json_t *less = apply(k, a,
                        DEPLOY("", "{'name':'c','image':'x','ports':[{'containerPort':80}]}"),
                        "one", 2);
        assert_null(json_at(less, "spec.replicas"));
        assert_null(json_object_get(
                        json_array_get(json_at(less, "spec.template.spec.containers"), 0),
                        "livenessProbe"));
        assert_int_equal(pipeline_default(k, less), 0);
        assert_int_equal(json_int_or(less, "spec.replicas", 0), 1);
        /* Another manager adds a container; ours goes, theirs stays. */
        _cleanup_json_ json_t *two =
                        apply(k, a, DEPLOY("", "{'name':'side','image':'s'}"), "two", 3);
        assert_int_equal(json_array_size(json_at(two, "spec.template.spec.containers")), 2);
        _cleanup_json_ json_t *swapped = apply(
                        k, two, DEPLOY("'replicas':2,", "{'name':'new','image':'n'}"), "one", 4);
        const json_t *list = json_at(swapped, "spec.template.spec.containers");
        assert_int_equal(json_array_size(list), 2);
        assert_string_equal(json_str(json_array_get(list, 0), "name"), "side");
        assert_string_equal(json_str(json_array_get(list, 1), "name"), "new");
        /* The selector is atomic. */
        apply_fails(k, a,
                        "{'apiVersion':'apps/"
                        "v1','kind':'Deployment','metadata':{'name':'w','namespace':'d'},'spec':{'"
                        "selector':{'matchLabels':{'a':'c'}}}}",
                        "two", 409, "conflict with 'one': .spec.selector");
        apply_fails(k, a, DEPLOY("", "{'name':'c','image':'y'}"), "two", 409,
                        "conflict with 'one': .spec.template.spec.containers[name='c'].image");
}

static void test_scaled_by_hand(void **state) {
        const struct kind *k = kind("apps", "deployments");
        _cleanup_json_ json_t *a =
                        apply(k, NULL, DEPLOY("'replicas':2,", "{'name':'c'}"), "kgitd", 0);
        struct apply_options o = by("kubectl", 1), force = by("kgitd", 2);

        o.subresource = "scale";
        _cleanup_json_ json_t *scaled = update(k, a, "{'spec':{'replicas':5}}", o);
        assert_json(fields(scaled, "kubectl", "Update"), "{'f:spec':{'f:replicas':{}}}");
        apply_fails(k, scaled, DEPLOY("'replicas':2,", "{'name':'c'}"), "kgitd", 409,
                        "conflict with 'kubectl' with subresource 'scale' using apps/v1: "
                        ".spec.replicas");
        force.force = true;
        _cleanup_json_ json_t *back =
                        apply_with(k, scaled, DEPLOY("'replicas':2,", "{'name':'c'}"), force);
        assert_int_equal(json_int_or(back, "spec.replicas", 0), 2);
        assert_null(fields(back, "kubectl", "Update"));
}

static void test_status(void **state) {
        const struct kind *k = kind("apps", "deployments");
        _cleanup_json_ json_t *a = apply(k, NULL, DEPLOY("", "{'name':'c'}"), "one", 0);
        struct apply_options o = by("controller", 1);

        o.subresource = "status";
        _cleanup_json_ json_t *b = update(k, a,
                        "{'status':{'replicas':1,'conditions':[{'type':'Available','status':'True'}"
                        "]}}",
                        o);
        assert_json(fields(b, "controller", "Update"),
                        "{'f:status':{'.':{},'f:replicas':{},'f:conditions':{'.':{},'k:{"
                        "\\u0022type\\u0022:\\u0022Available\\u0022}':{'.':{},'f:type':{},'f:"
                        "status':{}}}}}");
        /* A main write by someone else leaves the status entry alone, whatever it says of the
         * status. */
        _cleanup_json_ json_t *c = update(k, b, "{'spec':{'paused':true}}", by("kubectl", 2));
        assert_json(fields(c, "kubectl", "Update"), "{'f:spec':{'f:paused':{}}}");
        assert_non_null(fields(c, "controller", "Update"));
        /* An apply with a status in it does not own it. */
        _cleanup_json_ json_t *d = apply(k, c,
                        "{'apiVersion':'apps/"
                        "v1','kind':'Deployment','metadata':{'name':'w','namespace':'d'},'status':{"
                        "'replicas':7}}",
                        "three", 3);
        assert_int_equal(json_int_or(d, "status.replicas", 0), 1);
        assert_null(fields(d, "three", "Apply"));
}

static void test_refusals(void **state) {
        const struct kind *k = kind("", "configmaps");

        apply_fails(k, NULL, "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'c'}}", "one",
                        400, "Kind=Secret");
        apply_fails(k, NULL,
                        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':'"
                        "d'},'spec':{'x':1}}",
                        "one", 400,
                        "failed to create typed patch object (d/c; v1, Kind=ConfigMap): .spec: "
                        "field not declared in schema");
        apply_fails(k, NULL,
                        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','"
                        "managedFields':[{'manager':'x'}]}}",
                        "one", 400, "must be nil");
        apply_fails(k, NULL, "[1", "one", 400, "error decoding YAML");
        apply_fails(kind("apps", "deployments"), NULL, DEPLOY("", "{'image':'x'}"), "one", 400,
                        "omits key field 'name'");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *name = NULL, *agent = NULL;
        assert_true(field_manager_name("", "kubectl/1", "PatchOptions", true, &name, &p) < 0);
        assert_int_equal(p.code, 422);
        assert_int_equal(field_manager_name(NULL, "kubectl/v1.33 (linux)", "CreateOptions", false,
                                         &agent, &p),
                        0);
        assert_string_equal(agent, "kubectl");
}

/* The message is kubectl's; the cause is what finds the line in a file. */
static void test_wrong_type_names_its_field(void **state) {
        _cleanup_free_ char *body =
                        quoted("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d',"
                               "'namespace':'n'},'spec':{'replicas':'many'}}");
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_problem_ struct problem p = {0};
        struct apply_options o = by("one", 50);

        assert_true(apply_run(kind("apps", "deployments"), body, strlen(body), NULL, &o, &d, &p) <
                        0);
        assert_int_equal(p.code, 400);
        assert_string_equal(json_str(json_array_get(p.causes, 0), "field"), "spec.replicas");
}

#define THING(spec) \
        "{'apiVersion':'apply.example.com/v1','kind':'Thing','metadata':{'name':'t','namespace':" \
        "'d'},'spec':" spec "}"

/* Custom kinds: a null owns its field and says nothing about what a map or keyed list has; what is
 * declared as an object and no more takes anything, and keeps nothing. */
static void test_nulls_and_free_objects(void **state) {
        _cleanup_json_ json_t *crd = parse(
                        "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition',"
                        "'metadata':{'name':'things.apply.example.com'},'spec':{'group':"
                        "'apply.example.com','scope':'Namespaced','names':{'plural':'things',"
                        "'kind':'Thing'},'versions':[{'name':'v1','served':true,'storage':true,"
                        "'schema':{'openAPIV3Schema':{'type':'object','properties':{'spec':{'type':"
                        "'object','properties':{'map':{'type':'object','properties':{'a':{'type':"
                        "'string'}}},'keyed':{'type':'array','x-kubernetes-list-type':'map',"
                        "'x-kubernetes-list-map-keys':['k'],'items':{'type':'object','required':["
                        "'k'],'properties':{'k':{'type':'string'}}}},'level':{'type':'string',"
                        "'default':'info'},'free':{'type':'array','items':{'type':'object'}},"
                        "'open':{'type':'object','x-kubernetes-preserve-unknown-fields':true,"
                        "'properties':{'in':{'type':'object','properties':{'x':{'type':'string'}"
                        "}}}}}}}}}}]}}");
        static const char all[] = "{'map':{'a':'1'},'keyed':[{'k':'x'}],'level':'info'}";
        _cleanup_json_ json_t *live = NULL, *kept = NULL, *free_ones = NULL;
        _cleanup_problem_ struct problem p = {0};
        const struct kind *k;

        assert_int_equal(kind_registry_add_crd(registry, crd, &p), 0);
        k = kind("apply.example.com", "things");
        live = apply(k, NULL, THING("{'map':{'a':'1'},'keyed':[{'k':'x'}],'level':'info'}"), "one",
                        0);
        kept = apply(k, live, THING("{'map':null,'keyed':null}"), "two", 1);
        assert_json(json_object_get(kept, "spec"), all);
        assert_json(fields(kept, "two", "Apply"), "{'f:spec':{'f:map':{},'f:keyed':{}}}");
        apply_fails(k, live, THING("{'level':null}"), "two", 409,
                        "conflict with 'one': .spec.level");
        apply_fails(k, live, THING("{'map':{'b':'1'}}"), "two", 400,
                        ".spec.map.b: field not declared in schema");
        free_ones = apply(k, live,
                        THING("{'free':[{'any':1}],'open':{'in':{'x':'1','y':'2'},'z':3}}"), "two",
                        1);
        assert_json(json_at(free_ones, "spec.free"), "[{}]");
        assert_json(json_at(free_ones, "spec.open"), "{'in':{'x':'1'},'z':3}");
        kind_registry_remove_crd(registry, "things.apply.example.com");
}

static void test_ancient(void **state) {
        const struct kind *k = kind("", "configmaps");
        json_t *o = apply(k, NULL, CM("{'a':'1'}"), "one", 0);

        for (unsigned i = 0; i < 15; i++) {
                _cleanup_free_ char *manager = strformat("m%02u", i),
                                    *text = strformat("{'data':{'k%02u':'v'}}", i);
                json_t *next = update(k, o, text, by(manager, i + 1));

                json_decref(o);
                o = next;
        }
        assert_int_equal(json_array_size(json_at(o, "metadata.managedFields")), 11);
        assert_json(fields(o, "ancient-changes", "Update"),
                        "{'f:data':{'f:k00':{},'f:k01':{},'f:k02':{},'f:k03':{},'f:k04':{},'f:k05':"
                        "{}}}");
        assert_non_null(fields(o, "m14", "Update"));
        json_decref(o);
}

/* Structs that an empty object of Kubernetes has belong to nobody; a definition's objects have
 * none. */
static void test_created_structs(void **state) {
        static const struct {
                const char *group, *plural, *object, *fields;
        } cases[] = {
                        {"apps", "deployments",
                                        DEPLOY("'strategy':{'rollingUpdate':{'maxSurge':1}},",
                                                        "{'name':'c'}"),
                                        "{'f:spec':{'f:selector':{},'f:strategy':{'f:rollingUpdate'"
                                        ":{'.':{},'f:maxSurge':{}}},'f:template':{'f:metadata':{"
                                        "'f:labels':{'.':{},'f:a':{}}},'f:spec':{'f:containers':{"
                                        "'k:{\\u0022name\\u0022:\\u0022c\\u0022}':{'.':{},"
                                        "'f:name':{}"
                                        "}}}}}}"},
                        {"", "configmaps", CM("{'a':'1'}"), "{'f:data':{'.':{},'f:a':{}}}"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct kind *k = kind(cases[i].group, cases[i].plural);
                _cleanup_json_ json_t *o = parse(cases[i].object);
                struct apply_options options = by("maker", 0);

                assert_int_equal(managed_update(k, NULL, o, &options), 0);
                assert_json(fields(o, "maker", "Update"), cases[i].fields);
        }
}

/* Fields that a document names in an empty object are those of the kind. */
static void assert_has(const struct kind *k, const struct schema *s, const json_t *part) {
        const json_t *v;
        const char *key;

        json_object_each (part, key, v) {
                const struct schema *child = schema_child(s, key);

                if (!child || (json_is_object(v) && child->type != SCHEMA_OBJECT) ||
                                (json_is_array(v) && child->type != SCHEMA_ARRAY))
                        fail_msg("%s %s: %s", k->api_version, k->kind, key);
                assert_has(k, child, v);
        }
}

static void test_empty_objects_fit(void **state) {
        size_t empties = 0, statuses = 0;
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                empties += k->empty != NULL;
                statuses += k->initial_status != NULL;
                assert_has(k, k->schema, k->empty);
                assert_has(k, schema_child(k->schema, "status"), k->initial_status);
        }
        assert_true(empties > 10 && statuses > 10);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_create_and_change),
                        cmocka_unit_test(test_conflict_force_share),
                        cmocka_unit_test(test_updates),
                        cmocka_unit_test(test_created_structs),
                        cmocka_unit_test(test_empty_objects_fit),
                        cmocka_unit_test(test_deployment),
                        cmocka_unit_test(test_scaled_by_hand),
                        cmocka_unit_test(test_status),
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_wrong_type_names_its_field),
                        cmocka_unit_test(test_nulls_and_free_objects),
                        cmocka_unit_test(test_ancient),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
