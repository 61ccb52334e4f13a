/* ControllerRevisions of a template that changes and returns. */
#include "tests/unit/fake-world.h"

#include "lib/map.h"
#include "reconcilers/workloads/history.h"

#define DATA(image) \
        "{spec: {template: {$patch: replace, metadata: {labels: {app: web}}, spec: {containers: " \
        "[{name: c, image: " image "}]}}}}"

static const json_t *put_owner(struct fake *f, const char *image) {
        return fake_put(f, WORLD_DAEMONSETS,
                        "metadata: {name: web, namespace: d, uid: o, annotations: "
                        "{kubernetes.io/change-cause: why, "
                        "kubectl.kubernetes.io/last-applied-configuration: x}}\n"
                        "spec: {revisionHistoryLimit: 1, selector: {matchLabels: {app: web}}, "
                        "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, "
                        "image: %s}]}}}\n",
                        image);
}

static json_t *put_revision(struct fake *f, const char *name, int64_t number, const char *owner,
                const char *data) {
        return fake_put(f, WORLD_REVISIONS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '3', "
                        "labels: {app: web, controller.kubernetes.io/hash: h%lld}, ownerReferences: "
                        "[%s]}\n"
                        "revision: %lld\n"
                        "data: %s\n",
                        name, name, (long long)number,
                        owner ? "{apiVersion: apps/v1, kind: DaemonSet, name: web, uid: o, "
                                "controller: true}"
                              : "",
                        (long long)number, data);
}

/* What sync plans, and which revision is the present one. */
static void check(struct fake *f, const json_t *owner, const char *expected, bool ready,
                const char *update) {
        _cleanup_(history_done) struct history h = {0};
        _cleanup_actions_ struct actions a = {0};
        _cleanup_free_ char *text = NULL, *brief = NULL;

        history_read(&h, &f->world, owner, "DaemonSet");
        assert_int_equal(history_sync(&h, &a), ready);
        text = actions_text(&a);
        brief = fake_brief(text, 3);
        if (strncmp(brief, expected, strlen(expected)) != 0 || (!*expected && *brief))
                fail_msg("planned: %s\nexpected: %s", brief, expected);
        assert_string_equal(h.update ? object_name(h.update) : "none", update);
}

static void test_first(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        const json_t *owner = put_owner(f, "a");
        _cleanup_(history_done) struct history h = {0};
        _cleanup_actions_ struct actions a = {0};
        _cleanup_json_ json_t *template = NULL;
        const json_t *body;

        check(f, owner, "create controllerrevisions d/web-", false, "none");
        history_read(&h, &f->world, owner, "DaemonSet");
        history_sync(&h, &a);
        body = a.items[0].body;
        assert_int_equal(json_int_or(body, "revision", 0), 1);
        assert_non_null(startswith(object_name(body), "web-"));
        assert_string_equal(revision_hash(body), object_name(body) + strlen("web-"));
        assert_string_equal(object_label(body, REVISION_LABEL), revision_hash(body));
        assert_string_equal(object_label(body, "app"), "web");
        assert_string_equal(object_annotation(body, "kubernetes.io/change-cause"), "why");
        assert_int_equal(json_object_size(json_at(body, "metadata.annotations")), 1);
        assert_string_equal(json_str(body, "data.spec.template.$patch"), "replace");
        template = revision_template(body);
        assert_true(json_equal(template, (json_t *)json_at(owner, "spec.template")));
}

static void test_changes_and_returns(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_revision(f, "web-1", 1, "o", DATA("a"));
        check(f, put_owner(f, "a"), "", true, "web-1");
        check(f, put_owner(f, "b"), "create controllerrevisions d/web-", false, "none");
        put_revision(f, "web-2", 2, "o", DATA("b"));
        check(f, put_owner(f, "b"), "", true, "web-2");
        /* back to the first: it gets the next number */
        check(f, put_owner(f, "a"), "patch controllerrevisions d/web-1", false, "web-1");
        put_revision(f, "web-1", 3, "o", DATA("a"));
        check(f, put_owner(f, "a"), "", true, "web-1");
        /* of two equal ones the newer counts */
        put_revision(f, "web-9", 9, "o", DATA("a"));
        check(f, put_owner(f, "a"), "", true, "web-9");
}

/* A forged revision with the highest possible number does not stop a roll. */
static void test_last_number(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_revision(f, "web-1", 1, "o", DATA("a"));
        put_revision(f, "web-forged", INT64_MAX, "o", DATA("z"));
        check(f, put_owner(f, "b"), "patch controllerrevisions d/web-forged", false, "none");
        put_revision(f, "web-forged", 2, "o", DATA("z"));
        check(f, put_owner(f, "b"), "create controllerrevisions d/web-", false, "none");
}

static void test_adopts_orphans(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        const json_t *owner = put_owner(f, "a");

        put_revision(f, "web-1", 1, NULL, DATA("a"));
        check(f, owner, "patch controllerrevisions d/web-1", false, "none");
        put_revision(f, "web-1", 1, "o", DATA("a"));
        check(f, owner, "", true, "web-1");
}

static void test_limit(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_(map_freep) struct map *used = map_new(NULL);
        _cleanup_(history_done) struct history h = {0};
        _cleanup_actions_ struct actions a = {0};
        _cleanup_free_ char *text = NULL, *brief = NULL;
        const json_t *owner = put_owner(f, "e");

        put_revision(f, "web-1", 1, "o", DATA("a"));
        put_revision(f, "web-2", 2, "o", DATA("b"));
        put_revision(f, "web-3", 3, "o", DATA("c"));
        put_revision(f, "web-4", 4, "o", DATA("d"));
        put_revision(f, "web-5", 5, "o", DATA("e"));
        history_read(&h, &f->world, owner, "DaemonSet");
        assert_int_equal(map_set(used, "web-2", used), 0); /* by name, as StatefulSets use it */
        assert_int_equal(map_set(used, "h3", used), 0);    /* by hash, as DaemonSets do */
        history_clean(&h, &a, used);
        text = actions_text(&a);
        brief = fake_brief(text, 3);
        /* 2, 3 and 5 are in use; of 1 and 4 one may stay */
        assert_string_equal(brief, "delete controllerrevisions d/web-1");
}

static void test_collisions(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_(history_done) struct history h = {0}, other = {0};
        _cleanup_problem_ struct problem p = {0};
        json_t *owner = (json_t *)put_owner(f, "a");

        problem_set(&p, EEXIST, 409, "AlreadyExists", "it exists");
        history_read(&h, &f->world, owner, "DaemonSet");
        assert_int_equal(history_collisions(&h, NULL), 0);
        assert_int_equal(history_collisions(&h, &p), 1);
        json_set_int(owner, "status.collisionCount", 1);
        history_read(&other, &f->world, owner, "DaemonSet");
        assert_string_not_equal(h.hash, other.hash);
        /* once the revision is there, an error is about something else */
        put_revision(f, "web-1", 1, "o", DATA("a"));
        history_done(&other);
        other = (struct history){0};
        history_read(&other, &f->world, owner, "DaemonSet");
        assert_int_equal(history_collisions(&other, &p), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_first),
                        cmocka_unit_test(test_changes_and_returns),
                        cmocka_unit_test(test_last_number),
                        cmocka_unit_test(test_adopts_orphans),
                        cmocka_unit_test(test_limit),
                        cmocka_unit_test(test_collisions),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
