/* The decisions of a GitSync's run: objects in, actions out. */
#include "tests/unit/gitsync-commit.h"

#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/decide.h"
#include "reconcilers/gitsync/people.h"
#include "reconcilers/gitsync/plan.h"

static json_t *parse(const char *text) {
        json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

        assert_non_null(v);
        return v;
}

static void test_rank(void **state) {
        assert_true(kind_rank("", "Namespace") < kind_rank("", "ConfigMap"));
        assert_true(kind_rank("", "ConfigMap") < kind_rank("apps", "Deployment"));
        assert_true(kind_rank("", "Namespace") <= KIND_RANK_BASE);
        assert_true(kind_rank("apiextensions.k8s.io", "CustomResourceDefinition") <=
                        KIND_RANK_BASE);
        /* namesakes of other groups are nothing special */
        assert_int_equal(kind_rank("bus.example.org", "Namespace"), kind_rank("x.org", "Thing"));
        assert_true(kind_rank("x.org", "CustomResourceDefinition") > KIND_RANK_BASE);
}

static void refuses_duplicates(void **state) {
        static const struct {
                const char *a, *b;
                bool same;
        } cases[] = {
                        {"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}",
                                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, "
                                        "namespace: ns}}",
                                        true},
                        {"{apiVersion: a.org/v1, kind: K, metadata: {name: x}}",
                                        "{apiVersion: a.org/v2, kind: K, metadata: {name: x}}",
                                        true},
                        {"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}",
                                        "{apiVersion: v1, kind: List, items: [{apiVersion: v1, "
                                        "kind: ConfigMap, metadata: {name: x, namespace: ns}}]}",
                                        true},
                        {"{apiVersion: a.org/v1, kind: K, metadata: {name: x}}",
                                        "{apiVersion: b.org/v1, kind: K, metadata: {name: x}}",
                                        false},
                        {"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}",
                                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, "
                                        "namespace: other}}",
                                        false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct commit *c = commit_new((const char *const[]){
                                "a.yaml", cases[i].a, "b.yaml", cases[i].b, NULL});
                _cleanup_problem_ struct problem p = {0};
                int r = decide_duplicates(c->wanted, c->count, &p);

                assert_int_equal(r, cases[i].same ? -EINVAL : 0);
                if (cases[i].same) {
                        assert_non_null(strstr(p.message, "b.yaml line 1: "));
                        assert_non_null(strstr(p.message, "in a.yaml line 1 already"));
                }
                commit_done(c);
        }
}

static void applies_what_changed(void **state) {
        static const char *const files[] = {"a.yaml",
                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", "b.yaml",
                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: 'y'}, data: {a: b}}",
                        NULL};
        static const char *const changed[] = {"a.yaml",
                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", "b.yaml",
                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: 'y'}, data: {a: c}}",
                        NULL};
        struct commit *c = commit_new(files), *d = commit_new(changed);
        struct inventory v;
        struct inventory_entry *e;
        bool is_new;

        assert_int_equal(inventory_init(&v), 0);
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 2);
        for (size_t i = 0; i < c->count; i++) {
                assert_int_equal(inventory_put(&v, &c->resources[i], "ns",
                                                 object_name(c->set.items[i].object), &e, &is_new),
                                0);
                assert_true(is_new);
                assert_string_equal(e->key, c->wanted[i].key);
        }
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 2); /* recorded, not applied */
        for (size_t i = 0; i < c->count; i++)
                memcpy(inventory_get(&v, c->wanted[i].key)->hash, c->wanted[i].hash,
                                sizeof(e->hash));
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 0);
        assert_int_equal(decide_apply(d->wanted, d->count, &v), 1);
        assert_true(d->wanted[1].apply && !d->wanted[0].apply);
        /* An apply by another manager is a change. */
        decide_hash(c->set.items[0].object, &c->resources[0], "system:serviceaccount:ns:x",
                        c->wanted[0].hash);
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 1);
        inventory_done(&v);
        commit_done(c);
        commit_done(d);
}

static void finds_brought_kinds(void **state) {
        static const char *const files[] = {"crd.yaml",
                        "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, "
                        "metadata: {name: namespaces.bus.example.org}, spec: {group: "
                        "bus.example.org, scope: Namespaced, names: {plural: namespaces, kind: "
                        "Namespace}, versions: [{name: v1, served: true}, {name: v2, served: "
                        "false}]}}",
                        "q.yaml",
                        "{apiVersion: bus.example.org/v1, kind: Namespace, metadata: {name: q}}",
                        "r.yaml",
                        "{apiVersion: bus.example.org/v2, kind: Namespace, metadata: {name: r}}",
                        "s.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: s}}", NULL};
        struct commit *c = commit_new(files);
        struct api_resource r;
        const json_t *crd;

        assert_true(decide_brought_resource(&c->set, c->set.items[1].object, &r, &crd));
        assert_string_equal(r.group, "bus.example.org");
        assert_string_equal(r.version, "v1");
        assert_string_equal(r.plural, "namespaces");
        assert_true(r.namespaced);
        assert_ptr_equal(crd, c->set.items[0].object);
        /* a version that is not served, and another group's namesake */
        assert_false(decide_brought_resource(&c->set, c->set.items[2].object, &r, &crd));
        assert_false(decide_brought_resource(&c->set, c->set.items[3].object, &r, &crd));
        commit_done(c);
}

/* --- pruning --- */

static void prunes_in_reverse(void **state) {
        _cleanup_json_ json_t *items = parse(
                        "[{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Namespace\",\"resource\":"
                        "\"namespaces\",\"name\":\"n\"},"
                        "{\"group\":\"\",\"version\":\"v1\",\"kind\":\"ConfigMap\",\"resource\":"
                        "\"configmaps\",\"namespace\":\"ns\",\"name\":\"c\"},"
                        "{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\",\"resource\":\"pods\","
                        "\"namespace\":\"ns\",\"name\":\"p\"}]");
        struct commit *c = commit_new((const char *const[]){
                        "a.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}", NULL});
        struct inventory v;
        size_t n;

        assert_int_equal(inventory_init(&v), 0);
        assert_int_equal(inventory_read_items(&v, items), 0);
        _cleanup_free_ struct inventory_entry **gone = decide_gone(&v, c->wanted, c->count, &n);
        assert_int_equal(n, 2);
        assert_string_equal(gone[0]->kind, "Pod"); /* workloads go before their namespace */
        assert_string_equal(gone[1]->kind, "Namespace");
        inventory_done(&v);
        commit_done(c);
}

static void brakes(void **state) {
        assert_int_equal(decide_brake(5, 0, 5, 50), BRAKE_NONE);
        assert_int_equal(decide_brake(5, 5, 0, 100), BRAKE_NOTHING_LEFT);
        assert_int_equal(decide_brake(9, 8, 1, 50), BRAKE_NONE); /* few objects */
        assert_int_equal(decide_brake(10, 5, 5, 50), BRAKE_NONE);
        assert_int_equal(decide_brake(10, 6, 4, 50), BRAKE_SHARE);
        assert_int_equal(decide_brake(10, 6, 4, 60), BRAKE_NONE);
        assert_int_equal(decide_brake(20000, 1, 1, 0), BRAKE_SHARE);
        assert_int_equal(decide_limit("50%"), 50);
        assert_int_equal(decide_limit("0%"), 0);
        assert_int_equal(decide_limit("100%"), 100);
        assert_int_equal(decide_limit(NULL), PRUNE_LIMIT_DEFAULT);
        assert_int_equal(decide_limit("101%"), PRUNE_LIMIT_DEFAULT);
        assert_int_equal(decide_limit("5"), PRUNE_LIMIT_DEFAULT);
        assert_int_equal(decide_limit("-5%"), PRUNE_LIMIT_DEFAULT);
}

static void removals(void **state) {
        static const struct {
                struct removal_facts f;
                enum removal want;
        } cases[] = {
                        {{.ours = true}, REMOVE},
                        {{.ours = false}, RELEASE_NOT_OURS},
                        {{.ours = true, .prune = "disabled"}, RELEASE_OPTED_OUT},
                        {{.ours = true, .holds_gitsync = true}, KEEP_GITSYNC},
                        {{.ours = true, .holds = "Pod \"a\""}, KEEP_HOLDS},
                        {{.ours = true, .unseen = "forbidden"}, KEEP_UNSEEN},
                        {{.ours = true, .by_link = true}, KEEP_LINK},
                        {{.ours = true, .by_link = true, .confirmed = true}, REMOVE},
                        /* the commit's word is for its share and links, not for what is in it */
                        {{.ours = true, .holds = "x", .confirmed = true}, KEEP_HOLDS},
                        {{.ours = true, .holds_gitsync = true, .prune = "confirmed"}, REMOVE},
                        {{.ours = true, .holds = "x", .prune = "confirmed"}, REMOVE},
                        {{.ours = false, .prune = "confirmed"}, RELEASE_NOT_OURS},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(decide_removal(&cases[i].f), cases[i].want);
}

/* --- drift --- */

static void ended_is_no_drift(void **state) {
        static const struct {
                const char *last; /* NULL: nobody saw it go */
                const char *wanted;
                bool finished;
        } cases[] = {
                        {"{\"kind\":\"Job\",\"spec\":{\"ttlSecondsAfterFinished\":5},\"status\":{"
                         "\"completionTime\":\"2026-01-01T00:00:00Z\",\"conditions\":[{\"type\":"
                         "\"Complete\",\"status\":\"True\"}]}}",
                                        NULL, true},
                        /* its time is not over: a person removed it */
                        {"{\"kind\":\"Job\",\"spec\":{\"ttlSecondsAfterFinished\":3600},"
                         "\"status\":{\"completionTime\":\"2026-01-01T00:00:00Z\",\"conditions\":[{"
                         "\"type\":\"Complete\",\"status\":\"True\"}]}}",
                                        NULL, false},
                        {"{\"kind\":\"Job\",\"spec\":{\"ttlSecondsAfterFinished\":5},\"status\":{"
                         "\"conditions\":[{\"type\":\"Failed\",\"status\":\"True\","
                         "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}",
                                        NULL, true},
                        /* it still ran */
                        {"{\"kind\":\"Job\",\"spec\":{\"ttlSecondsAfterFinished\":5},\"status\":{}"
                         "}",
                                        NULL, false},
                        {"{\"kind\":\"Job\",\"status\":{\"conditions\":[{\"type\":\"Complete\","
                         "\"status\":\"True\"}]}}",
                                        NULL, false},
                        {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"status\":{\"phase\":"
                         "\"Succeeded\"}}",
                                        NULL, true},
                        {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"status\":{\"phase\":"
                         "\"Running\"}}",
                                        NULL, false},
                        {"{\"kind\":\"ConfigMap\"}", NULL, false},
                        {NULL, "{\"kind\":\"Job\",\"spec\":{\"ttlSecondsAfterFinished\":0}}", true},
                        {NULL, "{\"kind\":\"Job\",\"spec\":{}}", false},
        };
        uint64_t now;

        assert_int_equal(time_parse("2026-01-01T00:01:00Z", &now), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *last = cases[i].last ? parse(cases[i].last) : NULL,
                                      *want = cases[i].wanted ? parse(cases[i].wanted) : NULL;

                if (decide_is_finished(want, last, now) != cases[i].finished)
                        fail_msg("case %zu", i);
        }
}

static void names_the_difference(void **state) {
        static const char *const cases[][3] = {
                        {"{\"data\":{\"a\":1}}", "{\"data\":{\"a\":2}}", "data.a"},
                        {"{\"data\":{\"a\":1}}", "{\"data\":{\"a\":1,\"b\":2}}", "data.b"},
                        {"{\"x\":[{\"y\":1}]}", "{\"x\":[{\"y\":2}]}", "x[0].y"},
                        {"{\"x\":[1]}", "{\"x\":[1,2]}", "x"},
                        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"status\":1}",
                                        "{\"metadata\":{\"resourceVersion\":\"2\"},\"status\":2}",
                                        NULL},
                        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"x\":1}",
                                        "{\"metadata\":{\"resourceVersion\":\"2\"},\"x\":2}", "x"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *a = parse(cases[i][0]), *b = parse(cases[i][1]);
                _cleanup_free_ char *at = decide_difference(a, b);

                if (cases[i][2])
                        assert_string_equal(at, cases[i][2]);
                else
                        assert_null(at);
        }
}

#define GIT "\"manager\":\"kgitd:ns/s\",\"operation\":\"Apply\""

static void finds_what_people_added(void **state) {
        static const struct {
                const char *managed, *field;
        } cases[] = {
                        {"[{" GIT ",\"fieldsV1\":{\"f:data\":{\"f:a\":{}}}},"
                         "{\"manager\":\"kubectl-patch\",\"operation\":\"Update\",\"fieldsV1\":{"
                         "\"f:data\":{\"f:b\":{}}}}]",
                                        "data.b"},
                        /* a controller's own fields are its business */
                        {"[{" GIT ",\"fieldsV1\":{\"f:data\":{\"f:a\":{}}}},"
                         "{\"manager\":\"kreconciled\",\"operation\":\"Update\",\"fieldsV1\":{"
                         "\"f:metadata\":{\"f:annotations\":{\"f:x\":{}}}}}]",
                                        NULL},
                        /* shared with Git, or with a controller */
                        {"[{" GIT ",\"fieldsV1\":{\"f:data\":{\"f:a\":{}}}},"
                         "{\"manager\":\"hpa\",\"operation\":\"Update\",\"fieldsV1\":{\"f:spec\":{"
                         "\"f:replicas\":{}}}},"
                         "{\"manager\":\"kubectl-client-side-apply\",\"operation\":\"Update\","
                         "\"fieldsV1\":{\"f:data\":{\".\":{},\"f:a\":{}},\"f:spec\":{"
                         "\"f:replicas\":{}}}}]",
                                        NULL},
                        /* not Git's to say, and words to kgitd itself */
                        {"[{\"manager\":\"kubectl-edit\",\"operation\":\"Update\",\"fieldsV1\":{"
                         "\"f:status\":{\"f:x\":{}},\"f:metadata\":{\"f:finalizers\":{\".\":{},"
                         "\"v:\\\"x\\\"\":{}},\"f:annotations\":{\".\":{},"
                         "\"f:keelson.dev/prune\":{}}}}}]",
                                        NULL},
                        {"[{\"manager\":\"kubectl\",\"operation\":\"Update\",\"subresource\":"
                         "\"scale\",\"fieldsV1\":{\"f:spec\":{\"f:replicas\":{}}}}]",
                                        NULL},
                        {"[{\"manager\":\"kubectl-rollout\",\"operation\":\"Update\",\"fieldsV1\":{"
                         "\"f:spec\":{\"f:template\":{\"f:metadata\":{\"f:annotations\":{\".\":{},"
                         "\"f:kubectl.kubernetes.io/restartedAt\":{}}}}}}}]",
                                        NULL},
                        /* an item of a list */
                        {"[{" GIT ",\"fieldsV1\":{\"f:env\":{\"k:{\\\"name\\\":\\\"A\\\"}\":{"
                         "\".\":{},\"f:name\":{}}}}},{\"manager\":\"kubectl-set\",\"operation\":"
                         "\"Update\",\"fieldsV1\":{\"f:env\":{\"k:{\\\"name\\\":\\\"B\\\"}\":{"
                         "\".\":{},\"f:name\":{}}}}}]",
                                        "env[{\"name\":\"B\"}].name"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *managed = parse(cases[i].managed),
                                      *extra = people_additions(managed, "kgitd:ns/s");
                _cleanup_free_ char *field = extra ? people_first_field(extra) : NULL;

                if (!cases[i].field != !field)
                        fail_msg("case %zu: %s", i, strempty(field));
                if (field)
                        assert_string_equal(field, cases[i].field);
        }
}

static void takes_over(void **state) {
        _cleanup_json_ json_t *managed = parse(
                        "[{" GIT ",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"time\":"
                        "\"t\",\"fieldsV1\":{\"f:data\":{\"f:a\":{}}}},"
                        "{\"manager\":\"kubectl-edit\",\"operation\":\"Update\",\"fieldsV1\":{"
                        "\"f:data\":{\"f:a\":{},\"f:b\":{}},\"f:metadata\":{\"f:annotations\":{"
                        "\".\":{},\"f:keelson.dev/prune\":{}}}}},"
                        "{\"manager\":\"hpa\",\"operation\":\"Update\",\"fieldsV1\":{\"f:x\":{}}}"
                        "]");
        _cleanup_json_ json_t *want = parse(
                        "[{\"manager\":\"kubectl-edit\",\"operation\":\"Update\",\"fieldsV1\":{"
                        "\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:keelson.dev/prune\":{}}}}"
                        "},{\"manager\":\"hpa\",\"operation\":\"Update\",\"fieldsV1\":{\"f:x\":{}}"
                        "},{" GIT ",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"time\":"
                        "\"t\",\"fieldsV1\":{\"f:data\":{\"f:a\":{},\"f:b\":{}}}}]");
        _cleanup_json_ json_t *got = people_take_over(managed, "kgitd:ns/s", "v1");
        _cleanup_free_ char *text = json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS);

        if (!json_equal(got, want))
                fail_msg("%s", text);
        /* Then there is nothing left to take over. */
        json_t *extra = people_additions(got, "kgitd:ns/s");
        assert_null(extra);
}

/* --- the inventory's forms --- */

static void both_forms_hold_all(void **state) {
        struct inventory v, w, x;
        struct inventory_entry *e;
        char name[32];
        bool is_new;

        assert_int_equal(inventory_init(&v), 0);
        assert_int_equal(inventory_init(&w), 0);
        assert_int_equal(inventory_init(&x), 0);
        for (unsigned i = 0; i < 2500; i++) {
                static const struct api_resource kinds[] = {
                                {"", "v1", "configmaps", "ConfigMap", true},
                                {"", "v1", "secrets", "Secret", true},
                                {"a.org", "v1beta1", "gizmos", "Gizmo", false}};
                const struct api_resource *r = &kinds[i % 3];

                (void)snprintf(name, sizeof(name), "o%u", i);
                assert_int_equal(inventory_put(&v, r, r->namespaced ? "ns" : "", name, &e, &is_new),
                                0);
                (void)snprintf(e->hash, sizeof(e->hash), "%016x", i);
                (void)snprintf(e->live, sizeof(e->live), "%016x", ~i);
                e->finished = i % 7 == 0;
                e->kept = !e->finished && i % 5 == 0;
                e->by_link = e->kept && i % 2;
        }
        assert_int_equal(inventory_chunks(INVENTORY_INLINE_MAX), 0);
        assert_int_equal(inventory_chunks(INVENTORY_INLINE_MAX + 1), 1);
        unsigned chunks = inventory_chunks(inventory_size(&v));
        assert_int_equal(chunks, 4);
        for (unsigned n = 0; n < chunks; n++) {
                _cleanup_json_ json_t *sets = inventory_sets(&v, n, chunks);
                _cleanup_free_ char *text = json_text(sets);

                assert_true(strlen(text) > 20000 && strlen(text) < 60000); /* an even share */
                assert_int_equal(inventory_read_sets(&w, sets), 0);
        }
        _cleanup_json_ json_t *items = inventory_items(&v);
        assert_int_equal(inventory_read_items(&x, items), 0);
        assert_int_equal(inventory_size(&w), 2500);
        assert_int_equal(inventory_size(&x), 2500);
        map_foreach (v.entries, m) {
                const struct inventory_entry *a = map_entry_value(m);
                const struct inventory_entry *forms[] = {
                                inventory_get(&w, a->key), inventory_get(&x, a->key)};

                for (size_t i = 0; i < ELEMENTS(forms); i++) {
                        const struct inventory_entry *b = forms[i];
                        bool secret = streq(a->kind, "Secret");

                        assert_non_null(b);
                        assert_string_equal(a->version, b->version);
                        assert_string_equal(a->resource, b->resource);
                        assert_string_equal(secret ? "" : a->hash, b->hash);
                        assert_string_equal(secret ? "" : a->live, b->live);
                        assert_true(a->finished == b->finished && a->kept == b->kept &&
                                        a->by_link == b->by_link);
                }
        }
        inventory_done(&v);
        inventory_done(&w);
        inventory_done(&x);
}

/* What is not of the form is passed over, whoever wrote it. */
static void reads_odd_inventories(void **state) {
        static const char *const texts[] = {"1", "[1, \"a\", {}]", "[{\"kind\":\"A\"}]",
                        "[{\"kind\":\"A\",\"objects\":[1,\"\",\"x\",\"/\",\" \"]}]",
                        "[{\"kind\":\"A\",\"objects\":\"b\"}]"};

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_json_ json_t *v = parse(texts[i]);
                struct inventory inventory;

                assert_int_equal(inventory_init(&inventory), 0);
                assert_int_equal(inventory_read_items(&inventory, v), 0);
                assert_int_equal(inventory_read_sets(&inventory, v), 0);
                assert_int_equal(inventory_size(&inventory), 0);
                inventory_done(&inventory);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_rank),
                        cmocka_unit_test(refuses_duplicates),
                        cmocka_unit_test(applies_what_changed),
                        cmocka_unit_test(finds_brought_kinds),
                        cmocka_unit_test(prunes_in_reverse),
                        cmocka_unit_test(brakes),
                        cmocka_unit_test(removals),
                        cmocka_unit_test(ended_is_no_drift),
                        cmocka_unit_test(names_the_difference),
                        cmocka_unit_test(finds_what_people_added),
                        cmocka_unit_test(takes_over),
                        cmocka_unit_test(both_forms_hold_all),
                        cmocka_unit_test(reads_odd_inventories),
        };

        return cmocka_run_group_tests_name("gitsync-decide", tests, NULL, NULL);
}
