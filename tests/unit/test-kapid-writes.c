/* What the writing verbs decide, with no store; and how a decision is carried out. */
#include "tests/unit/unit.h"

#include "kapid/pipeline/convert.h"
#include "kapid/pipeline/forms.h"
#include "kapid/strategy/strategy.h"
#include "kapid/verbs/internal.h"
#include "lib/object.h"
#include "tests/unit/fake-kapid.h"

static struct fake_kapid *f;

static int setup(void **state) {
        f = fake_kapid_new();
        return 0;
}

static int teardown(void **state) {
        f = fake_kapid_free(f);
        return 0;
}

static void put(const char *key, const char *text) {
        _cleanup_free_ char *s = fake_quoted(text);

        fake_kapid_put(f, key, s);
}

/* --- decisions, with no store --- */

/* One decide on a live object. */
struct trial {
        struct exchange x;
        struct request *request;
        struct write write;
        struct decision decision;
        struct problem p;
        json_t *live;
};

static void trial_done(struct trial *t) {
        decision_done(&t->decision);
        problem_done(&t->p);
        json_decref(t->live);
        if (t->request)
                request_unref(t->request);
        exchange_done(&t->x);
}

static void trial_begin(struct trial *t, const char *live) {
        t->request = fake_request(f, &t->x);
        t->write = (struct write){.request = t->request,
                        .kind = t->request->kind,
                        .namespace = t->request->route.namespace,
                        .name = isempty(t->request->route.name) ? "x" : t->request->route.name,
                        .decision = &t->decision};
        t->live = live ? fake_json(live) : NULL;
        if (t->x.body && t->x.body[0] == '{')
                t->request->body.object = json_loads(t->x.body, 0, NULL);
}

static int run(struct trial *t, write_decide decide) {
        return decide(&t->write, t->live, &t->decision, &t->p);
}

#define CONFIG "/api/v1/namespaces/default/configmaps"
#define LIVE_CONFIG \
        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x','namespace':'default'," \
        "'uid':'u1','creationTimestamp':'2020-01-01T00:00:00Z','resourceVersion':'7'}," \
        "'data':{'a':'1'}}"

static void test_create_decides(void **state) {
        _cleanup_(trial_done) struct trial t = {
                        .x = {.method = "POST",
                                        .path = CONFIG,
                                        .body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                                                "\"metadata\":{\"name\":\"x\"},\"data\":{}}"}};

        trial_begin(&t, NULL);
        assert_int_equal(run(&t, create_decide), 0);
        assert_int_equal(t.decision.act, DECIDE_PUT);
        assert_true(t.decision.created);
        assert_string_not_equal(object_uid(t.decision.object), "");
        assert_string_equal(object_namespace(t.decision.object), "default");
        assert_int_equal(t.decision.key_count, 0);
        assert_int_equal(f->txns, 0);
        /* The same on something that is there already. */
        decision_done(&t.decision);
        t.live = fake_json(LIVE_CONFIG);
        assert_true(run(&t, create_decide) < 0);
        assert_int_equal(t.p.code, 409);
        assert_string_equal(t.p.reason, "AlreadyExists");
}

static void test_create_renames(void **state) {
        _cleanup_(trial_done) struct trial t = {.x = {.method = "POST",
                                                                .path = CONFIG,
                                                                .body = "{\"metadata\":{"
                                                                        "\"generateName\":\"c-\"}"
                                                                        "}"}};

        trial_begin(&t, LIVE_CONFIG);
        assert_int_equal(run(&t, create_decide), 0);
        assert_int_equal(t.decision.act, DECIDE_RENAME);
        assert_non_null(startswith(t.decision.name, "c-"));
        assert_null(t.decision.object);
}

static void test_put_decides(void **state) {
        static const struct {
                const char *body;
                enum decision_act act;
                int code; /* 0: decided */
        } cases[] = {
                        {LIVE_CONFIG, DECIDE_NOTHING, 0},
                        {"{'metadata':{'name':'x'},'data':{'a':'2'}}", DECIDE_PUT, 0},
                        {"{'metadata':{'name':'x','resourceVersion':'6'},'data':{}}",
                                        DECIDE_NOTHING, 409},
                        {"{'metadata':{'name':'x','uid':'u2'}}", DECIDE_NOTHING, 409},
                        {"{'metadata':{'name':'x'},'immutable':true,'data':{'a':'1'}}", DECIDE_PUT,
                                        0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *body = fake_quoted(cases[i].body);
                _cleanup_(trial_done) struct trial t = {
                                .x = {.method = "PUT", .path = CONFIG "/x", .body = body}};
                int r;

                trial_begin(&t, LIVE_CONFIG);
                json_set_str(t.request->body.object, "apiVersion", "v1");
                json_set_str(t.request->body.object, "kind", "ConfigMap");
                r = run(&t, put_decide);
                if ((r < 0) != (cases[i].code > 0) || t.p.code != cases[i].code)
                        fail_msg("case %zu: %s", i, strempty(t.p.message));
                if (r >= 0 && t.decision.act != cases[i].act)
                        fail_msg("case %zu: act %d", i, (int)t.decision.act);
                if (r >= 0)
                        assert_string_equal(object_uid(t.decision.object), "u1");
                assert_true(t.decision.no_retry ==
                                (strstr(cases[i].body, "resourceVersion") != NULL));
        }
}

/* What an older version stored with zero values: they are no change of what may not change. */
static void test_put_over_zeros(void **state) {
        static const char live[] =
                        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'x','namespace':"
                        "'default','uid':'u1','creationTimestamp':'2020-01-01T00:00:00Z',"
                        "'resourceVersion':'7'},'spec':{'containers':[{'name':'c','image':'i',"
                        "'args':[],'tty':false,'resources':{},'terminationMessagePath':"
                        "'/dev/termination-log','terminationMessagePolicy':'File'}],"
                        "'hostNetwork':false,'nodeName':'','restartPolicy':'Always','dnsPolicy':"
                        "'ClusterFirst','enableServiceLinks':true,'schedulerName':"
                        "'default-scheduler','securityContext':{},"
                        "'terminationGracePeriodSeconds':30},'status':{'phase':'Pending'}}";
        _cleanup_free_ char *body = fake_quoted(live);
        _cleanup_(trial_done) struct trial t = {
                        .x = {.method = "PUT",
                                        .path = "/api/v1/namespaces/default/pods/x",
                                        .body = body}};
        const json_t *spec;

        trial_begin(&t, live);
        if (run(&t, put_decide) < 0)
                fail_msg("%s", strempty(t.p.message));
        assert_int_equal(t.decision.act, DECIDE_PUT);
        spec = json_object_get(t.decision.object, "spec");
        assert_null(json_object_get(spec, "hostNetwork"));
        assert_null(json_object_get(spec, "nodeName"));
        assert_null(json_at(json_array_get(json_object_get(spec, "containers"), 0), "tty"));
}

static void test_put_on_nothing(void **state) {
        _cleanup_(trial_done) struct trial config = {
                        .x = {.method = "PUT", .path = CONFIG "/x", .body = "{\"metadata\":{}}"}};
        _cleanup_(trial_done) struct trial lease = {
                        .x = {.method = "PUT",
                                        .path = "/apis/coordination.k8s.io/v1/namespaces/default/"
                                                "leases/x",
                                        .body = "{\"apiVersion\":\"coordination.k8s.io/v1\","
                                                "\"kind\":\"Lease\",\"metadata\":{\"name\":\"x\"},"
                                                "\"spec\":{}}"}};

        trial_begin(&config, NULL);
        assert_true(run(&config, put_decide) < 0);
        assert_int_equal(config.p.code, 404);
        /* A kind whose PUT creates. */
        trial_begin(&lease, NULL);
        assert_int_equal(run(&lease, put_decide), 0);
        assert_int_equal(lease.decision.act, DECIDE_PUT);
        assert_true(lease.decision.created);
}

#define POD(metadata, spec, status) \
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'x','namespace':'default','uid':'u1'," \
        "'resourceVersion':'7'" metadata "},'spec':{" spec "},'status':{" status "}}"

static const struct delete_case {
        const char *path, *live;
        struct delete_options options;
        enum decision_act act;
        int64_t grace; /* of DECIDE_PUT */
        int code;
} delete_cases[] = {
                {CONFIG "/x", LIVE_CONFIG, {.grace_s = -1}, DECIDE_DELETE, 0, 0},
                {CONFIG "/x", NULL, {.grace_s = -1}, DECIDE_NOTHING, 0, 404},
                {CONFIG "/x", LIVE_CONFIG, {.grace_s = -1, .uid = "u2"}, DECIDE_NOTHING, 0, 409},
                {CONFIG "/x", LIVE_CONFIG, {.grace_s = -1, .resource_version = "6"}, DECIDE_NOTHING,
                                0, 409},
                {CONFIG "/x", LIVE_CONFIG, {.grace_s = -1, .resource_version = "7"}, DECIDE_DELETE,
                                0, 0},
                /* A finalizer of the policy holds it. */
                {CONFIG "/x", LIVE_CONFIG, {.grace_s = -1, .propagation = "Foreground"}, DECIDE_PUT,
                                0, 0},
                /* A pod that no agent has goes at once, another one has its grace period.
                 */
                {"/api/v1/namespaces/default/pods/x", POD("", "", ""), {.grace_s = -1},
                                DECIDE_DELETE, 0, 0},
                {"/api/v1/namespaces/default/pods/x",
                                POD("", "'nodeName':'n','terminationGracePeriodSeconds':9", ""),
                                {.grace_s = -1}, DECIDE_PUT, 9, 0},
                {"/api/v1/namespaces/default/pods/x", POD("", "'nodeName':'n'", ""), {.grace_s = 3},
                                DECIDE_PUT, 3, 0},
                {"/api/v1/namespaces/default/pods/x", POD("", "'nodeName':'n'", ""), {.grace_s = 0},
                                DECIDE_DELETE, 0, 0},
                {"/api/v1/namespaces/default/pods/x",
                                POD("", "'nodeName':'n'", "'phase':'Succeeded'"), {.grace_s = -1},
                                DECIDE_DELETE, 0, 0},
                {"/api/v1/namespaces/default/pods/x", POD(",'finalizers':['a/b']", "", ""),
                                {.grace_s = 0}, DECIDE_PUT, 0, 0},
                /* Only of a Namespace do the spec's finalizers hold. */
                {CONFIG "/x",
                                "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':"
                                "'x','namespace':'default'},'spec':{'finalizers':['x']}}",
                                {.grace_s = -1}, DECIDE_DELETE, 0, 0},
                {"/api/v1/namespaces/x",
                                "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':"
                                "'x'},'spec':{'finalizers':['kubernetes']}}",
                                {.grace_s = -1}, DECIDE_PUT, 0, 0},
};

static void test_delete_decides(void **state) {
        for (size_t i = 0; i < ELEMENTS(delete_cases); i++) {
                const struct delete_case *c = &delete_cases[i];
                _cleanup_(trial_done) struct trial t = {.x = {.method = "DELETE", .path = c->path}};
                const json_t *object;
                int r;

                trial_begin(&t, c->live);
                t.request->delete_options = c->options;
                r = run(&t, delete_decide);
                object = t.decision.object;
                if ((r < 0) != (c->code > 0) || t.p.code != c->code)
                        fail_msg("case %zu: %s", i, strempty(t.p.message));
                if (r < 0)
                        continue;
                if (t.decision.act != c->act)
                        fail_msg("case %zu: act %d", i, (int)t.decision.act);
                assert_true(object_is_deleting(object) == (c->act == DECIDE_PUT));
                if (c->act == DECIDE_PUT)
                        assert_int_equal(json_int_or(object, "metadata.deletionGracePeriodSeconds",
                                                         -1),
                                        c->grace);
                if (streq(t.write.kind->kind, "Namespace"))
                        assert_string_equal(json_str_or(object, "status.phase", ""), "Terminating");
        }
}

/* A second delete may shorten the grace period, and changes nothing else. */
static void test_delete_again(void **state) {
        static const char live[] = POD(",'generation':2,'deletionGracePeriodSeconds':9,"
                                       "'deletionTimestamp':'2023-11-14T22:13:29Z'",
                        "'nodeName':'n'", "");
        _cleanup_(trial_done) struct trial longer = {.x = {.method = "DELETE",
                                                                     .path = "/api/v1/namespaces/"
                                                                             "default/pods/x"}};
        _cleanup_(trial_done) struct trial shorter = {.x = longer.x};

        trial_begin(&longer, live);
        longer.request->delete_options.grace_s = 20;
        assert_int_equal(run(&longer, delete_decide), 0);
        assert_int_equal(longer.decision.act, DECIDE_NOTHING);
        trial_begin(&shorter, live);
        shorter.request->delete_options.grace_s = 2;
        assert_int_equal(run(&shorter, delete_decide), 0);
        assert_int_equal(shorter.decision.act, DECIDE_PUT);
        assert_int_equal(json_int_or(shorter.decision.object, "metadata.deletionGracePeriodSeconds",
                                         -1),
                        2);
        assert_int_equal(object_generation(shorter.decision.object), 2);
}

static void test_apply_decides(void **state) {
        static const char body[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                   "\"name\":\"x\"},\"data\":{\"a\":\"1\"}}";
        struct exchange x = {.method = "PATCH",
                        .path = CONFIG "/x",
                        .body = body,
                        .content_type = "application/apply-patch+yaml",
                        .query = {"fieldManager", "tester"}};
        _cleanup_(trial_done) struct trial fresh = {.x = x}, again = {.x = x};

        trial_begin(&fresh, NULL);
        fresh.request->patch_type = PATCH_APPLY;
        assert_int_equal(run(&fresh, patch_decide), 0);
        assert_int_equal(fresh.decision.act, DECIDE_PUT);
        assert_true(fresh.decision.created);
        assert_non_null(json_at(fresh.decision.object, "metadata.managedFields"));
        /* What it made, applied once more: nothing is written. */
        trial_begin(&again, NULL);
        again.request->patch_type = PATCH_APPLY;
        again.live = json_deep_copy(fresh.decision.object);
        json_set_str(again.live, "metadata.resourceVersion", "7");
        assert_int_equal(run(&again, patch_decide), 0);
        assert_int_equal(again.decision.act, DECIDE_NOTHING);
        /* A status of something that is not there. */
        again.live = (json_decref(again.live), NULL);
        decision_done(&again.decision);
        again.request->sub = kind_subresource_find(
                        kind_registry_find(f->api.kinds, "", "v1", "pods"), "status");
        assert_true(run(&again, patch_decide) < 0);
        assert_int_equal(again.p.code, 404);
}

/* --- carrying out --- */

static int ask(struct exchange *x) {
        exchange(f, x);
        return x->code;
}

static json_t *answer_of(const struct exchange *x) {
        json_t *v = json_loads(strempty(x->answer.data), 0, NULL);

        if (!v)
                fail_msg("not JSON: %s", strempty(x->answer.data));
        return v;
}

static void test_conflicts(void **state) {
        _cleanup_free_ char *live = fake_quoted("{'apiVersion':'v1','kind':'ConfigMap','metadata':{"
                                                "'name':'x','namespace':'default','uid':'u1'},"
                                                "'data':{'a':'1'}}"),
                            *other = fake_quoted(
                                            "{'apiVersion':'v1','kind':'ConfigMap','metadata':{"
                                            "'name':'x','namespace':'default','uid':'u1'},"
                                            "'data':{'a':'1','b':'2'}}");
        _cleanup_exchange_ struct exchange patch = {.method = "PATCH",
                        .path = CONFIG "/x",
                        .body = "{\"data\":{\"c\":\"3\"}}",
                        .content_type = "application/merge-patch+json"};
        _cleanup_exchange_ struct exchange named = {.method = "PATCH",
                        .path = CONFIG "/x",
                        .body = "{\"metadata\":{\"resourceVersion\":\"2\"},\"data\":{\"c\":\"4\"}}",
                        .content_type = "application/merge-patch+json"};
        _cleanup_json_ json_t *stored = NULL;

        put("/registry/configmaps/default/x", live);
        /* Another one writes in between: the patch is decided again on the new object. */
        f->rival = other;
        assert_int_equal(ask(&patch), 200);
        assert_int_equal(f->txns, 2);
        stored = json_loads(fake_kapid_stored(f, "/registry/configmaps/default/x"), 0, NULL);
        assert_string_equal(json_str_or(stored, "data.b", ""), "2");
        assert_string_equal(json_str_or(stored, "data.c", ""), "3");
        assert_null(json_at(stored, "metadata.resourceVersion"));
        /* A revision that the client names: not again. */
        assert_int_equal(ask(&named), 409);
}

/* The answers to requests that their client did not mean, or that mean nothing. */
static void test_refusals(void **state) {
        static const char merge[] = "application/merge-patch+json";
        static const struct {
                const char *method, *path, *name, *value, *body, *type;
                int code;
                const char *text;
        } cases[] = {
                        {"GET", CONFIG "/%ff", NULL, NULL, NULL, NULL, 404, "not found"},
                        {"GET", CONFIG, "fieldSelector", "a=b", NULL, NULL, 400,
                                        "is not a known field selector"},
                        {"PUT", CONFIG "/x", NULL, NULL, "{\"data\":{}}", NULL, 400,
                                        "(x based on URL) was undeterminable"},
                        {"PATCH", CONFIG "/x", NULL, NULL, "{\"metadata\":{\"name\":null}}", merge,
                                        400, "name must be provided"},
                        {"PATCH", CONFIG "/x", NULL, NULL, "{\"metadata\":{\"name\":\"y\"}}", merge,
                                        400,
                                        "the name of the object (y) does not match the name on "
                                        "the URL (x)"},
                        {"PATCH", CONFIG "/x", NULL, NULL, "{\"metadata\":{\"uid\":\"u2\"}}", merge,
                                        422, "metadata.uid: Invalid value: \\\"u2\\\": field is"},
                        {"PATCH", CONFIG "/x", NULL, NULL,
                                        "{\"metadata\":{\"deletionTimestamp\":"
                                        "\"2020-01-01T00:00:00Z\"}}",
                                        merge, 422, "metadata.deletionTimestamp: Invalid value"},
                        {"PATCH", CONFIG "/x", NULL, NULL,
                                        "{\"metadata\":{\"deletionGracePeriodSeconds\":5}}", merge,
                                        422, "metadata.deletionGracePeriodSeconds: Invalid value"},
                        {"POST", CONFIG, "fieldManager", "a\tb", "{\"metadata\":{\"name\":\"y\"}}",
                                        NULL, 422, "invalid character U+0009 (at position 1)"},
                        {"DELETE", CONFIG "/x", "uid", "u2", NULL, NULL, 409,
                                        "on ConfigMap \\\"x\\\": the UID in the precondition (u2) does "
                                        "not match the UID in record (u1)"},
                        {"DELETE", CONFIG "/x", "resourceVersion", "99", NULL, NULL, 409,
                                        "the ResourceVersion in the precondition (99)"},
                        {"DELETE", CONFIG, NULL, NULL, "{\"preconditions\":{\"uid\":\"u2\"}}", NULL,
                                        409, "the UID in the precondition (u2)"},
        };

        put("/registry/configmaps/default/x",
                        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x',"
                        "'namespace':'default','uid':'u1'},'data':{'a':'1'}}");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_exchange_ struct exchange x = {.method = cases[i].method,
                                .path = cases[i].path,
                                .body = cases[i].body,
                                .content_type = cases[i].type,
                                .query = {cases[i].name, cases[i].value}};

                if (ask(&x) != cases[i].code || !strstr(strempty(x.answer.data), cases[i].text))
                        fail_msg("%s %s: %d %s", cases[i].method, cases[i].path, x.code,
                                        strempty(x.answer.data));
        }
}

/* An apply that changes nothing is remembered with the object, for these bytes and this manager
 * alone, and until the object changes. */
static void test_apply_again(void **state) {
        static const struct {
                const char *a, *manager, *force;
                int txns, code; /* so many more */
        } steps[] = {{"1", "one", "false", 1, 201}, {"1", "one", "false", 0, 200},
                        {"1", "one", "false", 0, 200}, {"2", "one", "false", 1, 200},
                        {"1", "one", "false", 1, 200}, {"1", "one", "false", 0, 200},
                        {"1", "two", "false", 1, 200}, {"1", "one", "false", 0, 200},
                        {"2", "one", "false", 0, 409}, {"2", "one", "true", 1, 200}};
        int txns = 0;

        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                _cleanup_free_ char *body = strformat(
                                "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                "\"name\":\"x\"},\"data\":{\"a\":\"%s\"}}",
                                steps[i].a);
                _cleanup_exchange_ struct exchange x = {.method = "PATCH",
                                .path = CONFIG "/x",
                                .body = body,
                                .content_type = "application/apply-patch+yaml",
                                .query = {"fieldManager", steps[i].manager, "force",
                                                steps[i].force}};
                int code = ask(&x);

                txns += steps[i].txns;
                if (code != steps[i].code || (int)f->txns != txns)
                        fail_msg("step %zu: %d, %d writes", i, code, (int)f->txns);
        }
}

static void test_names_taken(void **state) {
        static const char body[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                                   "\"metadata\":{\"generateName\":\"c-\"}}";
        _cleanup_free_ char *other =
                        fake_quoted("{'apiVersion':'v1','kind':'ConfigMap','metadata':{"
                                    "'name':'c','namespace':'default'}}");
        _cleanup_exchange_ struct exchange x = {.method = "POST", .path = CONFIG, .body = body};
        _cleanup_exchange_ struct exchange dry = {
                        .method = "POST", .path = CONFIG, .body = body, .query = {"dryRun", "All"}};
        _cleanup_json_ json_t *made = NULL;
        _cleanup_free_ char *key = NULL;

        f->rival = other; /* it has our first name */
        assert_int_equal(ask(&x), 201);
        assert_int_equal(f->txns, 2);
        made = answer_of(&x);
        key = strformat("/registry/configmaps/default/%s", object_name(made));
        assert_non_null(fake_kapid_stored(f, key));
        assert_int_equal(ask(&dry), 201);
        assert_int_equal(f->txns, 2);
}

static void test_leases(void **state) {
        static const char *const bodies[] = {
                        "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"a\"},"
                        "\"involvedObject\":{\"namespace\":\"default\"}}",
                        "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"b\"},"
                        "\"involvedObject\":{\"namespace\":\"default\"}}"};
        _cleanup_exchange_ struct exchange config = {.method = "POST",
                        .path = CONFIG,
                        .body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                "\"name\":\"x\"}}"};

        for (size_t i = 0; i < ELEMENTS(bodies); i++) {
                _cleanup_exchange_ struct exchange x = {.method = "POST",
                                .path = "/api/v1/namespaces/default/events",
                                .body = bodies[i]};

                assert_int_equal(ask(&x), 201);
        }
        /* Both hang on one; what does not end by itself hangs on none. */
        assert_int_equal(f->leases_granted, 1);
        assert_int_equal(fake_kapid_lease(f, "/registry/events/default/a"), 1);
        assert_int_equal(fake_kapid_lease(f, "/registry/events/default/b"), 1);
        assert_int_equal(ask(&config), 201);
        assert_int_equal(fake_kapid_lease(f, "/registry/configmaps/default/x"), 0);
}

static void test_store_fails(void **state) {
        _cleanup_exchange_ struct exchange x = {.method = "DELETE", .path = CONFIG "/x"};

        f->error = -EHOSTUNREACH;
        assert_int_equal(ask(&x), 503);
        f->error = 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_create_decides, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_create_renames, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_put_decides, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_put_over_zeros, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_put_on_nothing, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_delete_decides, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_delete_again, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_apply_decides, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_conflicts, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_apply_again, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_names_taken, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_leases, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_store_fails, setup, teardown),
        };

        return cmocka_run_group_tests_name("kapid's writes", tests, NULL, NULL);
}
