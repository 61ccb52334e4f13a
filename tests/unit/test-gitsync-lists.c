/* What a GitSync's run does, as lists of actions: a commit, an inventory and answers of the API in,
 * actions out. */
#include "tests/unit/gitsync-commit.h"

#include "reconcilers/gitsync/run-actions.h"

#define MAP(name) "{apiVersion: v1, kind: ConfigMap, metadata: {name: " name "}}"
#define CRD \
        "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: " \
        "gizmos.example.org}, spec: {group: example.org, scope: Namespaced, names: {plural: " \
        "gizmos, kind: Gizmo}, versions: [{name: v1, served: true}]}}"

#define assert_actions(list, expected) \
        do { \
                _cleanup_free_ char *_text = actions_text(list); \
                assert_string_equal(_text, expected); \
                actions_done(list); \
        } while (0)

static json_t *parse(const char *text) {
        json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

        assert_non_null(v);
        return v;
}

/* Everything of the commit is in the inventory, as applied. */
static void record(struct commit *c, struct inventory *v) {
        for (size_t i = 0; i < c->count; i++) {
                struct inventory_entry *e;
                bool is_new;

                assert_int_equal(inventory_put(v, c->wanted[i].resource, "ns",
                                                 object_name(c->wanted[i].item->object), &e,
                                                 &is_new),
                                0);
                memcpy(e->hash, c->wanted[i].hash, sizeof(e->hash));
        }
}

/* --- a run --- */

static const struct {
        const char *what;
        struct run_view v;
        enum run_start want;
} start_cases[] = {
                {"a new one", {0}, RUN_ADD_FINALIZER},
                {"after a start of kgitd", {.has_finalizer = true}, RUN_LOAD},
                {"the first fetch", {.has_finalizer = true, .inventory_loaded = true}, RUN_FETCH},
                {"nothing is due",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .have_current = true,
                                                .now_us = 1,
                                                .next_poll_us = 2},
                                RUN_NOTHING},
                {"the interval is over",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .have_current = true,
                                                .now_us = 2,
                                                .next_poll_us = 2},
                                RUN_FETCH},
                {"a person asks",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .have_current = true,
                                                .asked = true,
                                                .next_poll_us = 2},
                                RUN_FETCH},
                {"suspended, even when asked",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .suspended = true,
                                                .asked = true},
                                RUN_SUSPENDED},
                {"another one first",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .dependency = "base"},
                                RUN_WAIT},
                {"drift",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .have_current = true,
                                                .suspects = 1,
                                                .next_poll_us = 2},
                                RUN_DRIFT},
                {"drift after a failure: the newest commit may be the cure",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .have_current = true,
                                                .suspects = 1,
                                                .failures = 1,
                                                .next_poll_us = 2},
                                RUN_FETCH},
                {"drift is nobody's business",
                                {.has_finalizer = true,
                                                .inventory_loaded = true,
                                                .have_current = true,
                                                .suspects = 1,
                                                .drift_off = true,
                                                .next_poll_us = 2},
                                RUN_NOTHING},
                {"deleted before it applied anything", {.deleting = true}, RUN_LET_GO},
                {"deleted, not loaded", {.deleting = true, .has_finalizer = true}, RUN_LOAD},
                {"deleted while suspended",
                                {.deleting = true,
                                                .has_finalizer = true,
                                                .inventory_loaded = true,
                                                .suspended = true},
                                RUN_REMOVE_ALL},
};

static void starts_what_is_due(void **state) {
        for (size_t i = 0; i < ELEMENTS(start_cases); i++)
                if (decide_run(&start_cases[i].v) != start_cases[i].want)
                        fail_msg("%s: %i", start_cases[i].what, decide_run(&start_cases[i].v));
}

static void first_apply(void **state) {
        static const char *const files[] = {"a.yaml", MAP("a"), "b.yaml", MAP("b"), NULL};
        struct commit *c = commit_new(files);
        struct actions list = {0};
        struct inventory v;

        assert_int_equal(inventory_init(&v), 0);
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 2);
        decide_trials(c->wanted, c->count, false, &list);
        assert_actions(&list, "try things a\ntry things b\n");
        decide_applies(c->wanted, c->count, true, &list);
        assert_actions(&list, "");
        decide_applies(c->wanted, c->count, false, &list);
        assert_actions(&list, "apply things a\napply things b\n");
        inventory_done(&v);
        commit_done(c);
}

static void unchanged(void **state) {
        static const char *const files[] = {"a.yaml", MAP("a"), "b.yaml", MAP("b"), NULL};
        struct commit *c = commit_new(files);
        struct actions list = {0};
        struct inventory v;

        assert_int_equal(inventory_init(&v), 0);
        record(c, &v);
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 0);
        decide_trials(c->wanted, c->count, false, &list);
        assert_actions(&list, "");
        decide_applies(c->wanted, c->count, false, &list);
        assert_actions(&list, "");
        inventory_done(&v);
        commit_done(c);
}

/* A kind that comes with its CRD is tried after the CRD was applied, ranks apart. */
static void commit_brings_a_crd(void **state) {
        static const char *const files[] = {"1.yaml",
                        "{apiVersion: v1, kind: Namespace, metadata: {name: box}}", "2.yaml", CRD,
                        "3.yaml", MAP("m"), "4.yaml",
                        "{apiVersion: example.org/v1, kind: Gizmo, metadata: {name: g}}", NULL};
        struct commit *c = commit_new(files);
        struct actions list = {0};
        struct inventory v;

        assert_int_equal(inventory_init(&v), 0);
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 4);
        c->wanted[3].crd = c->wanted[1].item->object;
        decide_trials(c->wanted, c->count, false, &list);
        assert_actions(&list, "try things box\ntry things gizmos.example.org\ntry things m\n");
        assert_true(c->wanted[3].unchecked);
        decide_applies(c->wanted, c->count, true, &list);
        assert_actions(&list, "apply things box\nbarrier\napply things gizmos.example.org\n");
        c->wanted[0].apply = c->wanted[1].apply = false; /* they were */
        c->wanted[3].served = true;
        decide_trials(c->wanted, c->count, true, &list);
        assert_actions(&list, "try things g\n");
        decide_applies(c->wanted, c->count, false, &list);
        assert_actions(&list, "apply things m\nbarrier\napply things g\n");
        /* Served already, and its CRD stays as it is: tried with the others. */
        c->wanted[3].unchecked = false;
        decide_trials(c->wanted, c->count, false, &list);
        assert_actions(&list, "try things m\ntry things g\n");
        inventory_done(&v);
        commit_done(c);
}

static void answers_to_trials(void **state) {
        static const char *const files[] = {"1.yaml",
                        "{apiVersion: v1, kind: Namespace, metadata: {name: box}}", "2.yaml",
                        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, namespace: "
                        "box}}",
                        "3.yaml",
                        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: box}}", NULL};
        static const struct {
                bool late, forced;
                int error, code;
                const char *message;
                enum trial_result want;
        } cases[] = {
                        {false, false, 0, 0, NULL, TRIAL_PASSED},
                        /* a failed object */
                        {false, false, -EINVAL, 422, "spec.containers: Required", TRIAL_REFUSED},
                        {false, false, -EIO, 500, "boom", TRIAL_REFUSED},
                        {false, false, -ECONNREFUSED, 0, "refused", TRIAL_REFUSED},
                        /* others own fields of it */
                        {false, false, -ESTALE, 409, "conflict with \"kubectl\": .data",
                                        TRIAL_FORCE},
                        {false, false, -ESTALE, 409, "conflict with \"kgitd:x/y\": .data",
                                        TRIAL_CONFLICT},
                        {false, false, -ESTALE, 409, "conflict with \"kgitd:ns/s\": .data",
                                        TRIAL_FORCE},
                        {false, true, -ESTALE, 409, "conflict", TRIAL_REFUSED},
                        /* the commit brings what is missing */
                        {false, false, -ENOENT, 404, "namespaces \"box\" not found", TRIAL_LATER},
                        {true, false, -ENOENT, 404, "namespaces \"other\" not found",
                                        TRIAL_REFUSED},
                        {true, false, -EACCES, 403, "serviceaccount \"robot\" not found",
                                        TRIAL_LATER},
                        {true, false, -EACCES, 403, "serviceaccount \"else\" not found",
                                        TRIAL_REFUSED},
        };
        struct commit *c = commit_new(files);
        struct inventory v;

        assert_int_equal(inventory_init(&v), 0);
        free(c->wanted[0].key); /* a Namespace is in no namespace */
        c->wanted[0].key = inventory_key("", "Namespace", "", "box");
        assert_int_equal(decide_apply(c->wanted, c->count, &v), 3);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct problem p = {.code = cases[i].code, .message = (char *)cases[i].message};
                struct trial t = {.wanted = c->wanted,
                                .count = c->count,
                                .w = &c->wanted[2],
                                .late = cases[i].late,
                                .forced = cases[i].forced,
                                .manager = "kgitd:ns/s",
                                .error = cases[i].error,
                                .p = &p};

                if (decide_trial(&t) != cases[i].want)
                        fail_msg("case %zu: %i", i, decide_trial(&t));
        }
        inventory_done(&v);
        commit_done(c);
}

/* A first adoption: what people own on the object is taken over before the apply. */
static void adopts_fields(void **state) {
        static const char *const files[] = {"a.yaml", MAP("a"), NULL};
        struct commit *c = commit_new(files);
        struct actions list = {0};

        c->wanted[0].apply = c->wanted[0].adopt = true;
        decide_applies(c->wanted, c->count, false, &list);
        assert_actions(&list, "apply things a and take over what people own\n");
        commit_done(c);
}

/* --- what left Git --- */

static void removes_what_left(void **state) {
        struct inventory_entry entries[] = {
                        {.kind = (char *)"ConfigMap",
                                        .name = (char *)"gone",
                                        .ns = (char *)"ns",
                                        .resource = (char *)"configmaps"},
                        {.kind = (char *)"ConfigMap",
                                        .name = (char *)"old",
                                        .ns = (char *)"ns",
                                        .resource = (char *)"configmaps"},
                        {.kind = (char *)"ConfigMap",
                                        .name = (char *)"opted",
                                        .ns = (char *)"ns",
                                        .resource = (char *)"configmaps"},
                        {.kind = (char *)"ConfigMap",
                                        .name = (char *)"other",
                                        .ns = (char *)"ns",
                                        .resource = (char *)"configmaps"},
                        {.kind = (char *)"Namespace",
                                        .name = (char *)"full",
                                        .ns = (char *)"",
                                        .resource = (char *)"namespaces"},
        };
        _cleanup_json_ json_t *live = json_object();
        struct leaving leaving[] = {
                        {.entry = &entries[0]},
                        {.entry = &entries[1], .live = live, .facts = {.ours = true}},
                        {.entry = &entries[2],
                                        .live = live,
                                        .facts = {.ours = true, .prune = "disabled"}},
                        {.entry = &entries[3], .live = live, .facts = {.ours = false}},
                        {.entry = &entries[4],
                                        .live = live,
                                        .facts = {.ours = true, .holds = "Pod \"x\""}},
        };
        struct actions list = {0};

        decide_removals(leaving, ELEMENTS(leaving), true, &list);
        assert_actions(&list,
                        "forget ns/gone ConfigMap\n"
                        "remove ns/old ConfigMap\n"
                        "release ns/opted ConfigMap: its annotation keelson.dev/prune says "
                        "disabled\n"
                        "release ns/other ConfigMap: its labels do not name this GitSync\n"
                        "keep full Namespace: Namespace \"full\" left Git and was kept: it holds "
                        "Pod \"x\", which is not from this GitSync; to remove it all the same: "
                        "kctl annotate --overwrite namespaces full keelson.dev/prune=confirmed\n");
        /* What could not be looked at stays as it is, and does not hold up the others. */
        leaving[0].error = leaving[2].error = leaving[3].error = leaving[4].error = -EACCES;
        decide_removals(leaving, ELEMENTS(leaving), true, &list);
        assert_actions(&list, "remove ns/old ConfigMap\n");
        leaving[0].error = 0;
        /* spec.prune: false */
        decide_removals(leaving, 2, false, &list);
        assert_actions(&list, "forget ns/gone ConfigMap\nforget ns/old ConfigMap\n");
}

/* --- drift --- */

static void corrects_drift(void **state) {
        static const char *const files[] = {"a.yaml", MAP("a"), "b.yaml", MAP("b"), "c.yaml",
                        MAP("c"), "d.yaml",
                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: d, annotations: "
                        "{keelson.dev/drift: detect}}}",
                        "e.yaml",
                        "{apiVersion: v1, kind: ConfigMap, metadata: {name: e, annotations: "
                        "{keelson.dev/drift: 'off'}}}",
                        NULL};
        struct commit *c = commit_new(files);
        _cleanup_json_ json_t *live = parse("{\"metadata\":{\"resourceVersion\":\"7\"},\"data\":{"
                                            "\"x\":\"2\"}}"),
                              *git = parse("{\"metadata\":{\"resourceVersion\":\"7\"},\"data\":{"
                                           "\"x\":\"1\"}}"),
                              *extra = parse("{\"f:data\":{\"f:y\":{}}}");
        struct finding f[] = {
                        {.w = &c->wanted[0], .drifted = true, .live = live, .answer = git},
                        {.w = &c->wanted[1], .drifted = true}, /* gone */
                        {.w = &c->wanted[2],
                                        .drifted = true,
                                        .live = live,
                                        .answer = git,
                                        .extra = extra},
                        {.w = &c->wanted[3],
                                        .drifted = true,
                                        .live = live,
                                        .answer = git,
                                        .extra = extra},
                        {.w = &c->wanted[4], .drifted = true},
        };
        struct actions list = {0};

        decide_drift(f, ELEMENTS(f), "revert", &list);
        assert_actions(&list, "put-back things a\n"
                              "put-back things b\n"
                              "put-back things c and take over what people own\n"
                              "report things d: data.x was changed, and a person added data.y "
                              "(resourceVersion 7)\n"
                              "ignore things e\n");
        f[0].drifted = false; /* right as it is, or the comparison failed */
        f[2].answer = live;
        decide_drift(f, 3, "detect", &list);
        assert_actions(&list, "report things b: it is gone\n"
                              "report things c: a person added data.y (resourceVersion 7)\n");
        commit_done(c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(starts_what_is_due),
                        cmocka_unit_test(first_apply),
                        cmocka_unit_test(unchanged),
                        cmocka_unit_test(commit_brings_a_crd),
                        cmocka_unit_test(answers_to_trials),
                        cmocka_unit_test(adopts_fields),
                        cmocka_unit_test(removes_what_left),
                        cmocka_unit_test(corrects_drift),
        };

        return cmocka_run_group_tests_name("gitsync-lists", tests, NULL, NULL);
}
