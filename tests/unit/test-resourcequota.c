/* The controller of ResourceQuotas: which changes wake which quotas, and what it asks for. */
#include "tests/unit/fake-world.h"

static char woken[512];

static void add(void *userdata, const char *key) {
        size_t n = strlen(woken);

        snprintf(woken + n, sizeof(woken) - n, "%s ", key);
}

static const struct wake out = {.add = add};

static struct fake *fill(void) {
        static const struct {
                const char *ns, *name, *resource;
        } quotas[] = {{"a", "pods", "pods"}, {"a", "cpu", "requests.cpu"},
                        {"a", "jobs", "count/jobs.batch"}, {"a", "net", "services.nodeports"},
                        {"a", "disk", "x.storageclass.storage.k8s.io/requests.storage"},
                        {"b", "other", "pods"}};
        struct fake *f = fake_new();

        for (size_t i = 0; i < ELEMENTS(quotas); i++)
                fake_put(f, WORLD_RESOURCEQUOTAS,
                                "{metadata: {name: %s, namespace: %s}, spec: {hard: {%s: '1'}}}",
                                quotas[i].name, quotas[i].ns, quotas[i].resource);
        return f;
}

static void test_deleted(void **state) {
        static const struct {
                struct api_resource r;
                const char *ns; /* of the object; NULL: some of all namespaces */
                const char *woken;
        } cases[] = {
                        {{"", "v1", "pods", "Pod", true}, "a", "a/pods a/cpu "},
                        {{"", "v1", "pods", "Pod", true}, "c", ""},
                        {{"", "v1", "pods", "Pod", true}, NULL, "a/pods a/cpu b/other "},
                        {{"", "v1", "services", "Service", true}, "a", "a/net "},
                        {{"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true}, "a",
                                        "a/disk "},
                        {{"batch", "v1", "jobs", "Job", true}, "a", "a/jobs "},
                        {{"example.com", "v1", "jobs", "Job", true}, "a", ""},
                        {{"", "v1", "configmaps", "ConfigMap", true}, "a", ""},
        };
        _cleanup_fake_ struct fake *f = fill();

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o = cases[i].ns ? json_pack("{s{ss}}", "metadata",
                                                                         "namespace", cases[i].ns)
                                                       : NULL;

                woken[0] = 0;
                resourcequota_controller.deleted(&f->world, &out, &cases[i].r, o);
                assert_string_equal(woken, cases[i].woken);
        }
}

/* One object before and after, and whom the change wakes. */
static void change(const struct fake *f, enum world_kind kind, const json_t *old,
                const json_t *object, const char *expected) {
        woken[0] = 0;
        resourcequota_controller.wake(&f->world, &out, kind, old, object, false);
        assert_string_equal(woken, expected);
}

#define POD(status, more) \
        fake_put(f, WORLD_PODS, \
                        "{metadata: {name: p, namespace: a%s}, spec: {}, status: " \
                        "{phase: %s}}", \
                        more, status)
#define DELETED ", deletionTimestamp: '2026-01-01T12:00:10Z', deletionGracePeriodSeconds: 30"

static void test_changes(void **state) {
        _cleanup_fake_ struct fake *f = fill();
        const json_t *quota = f->objects[WORLD_RESOURCEQUOTAS][0];
        _cleanup_json_ json_t *used = json_deep_copy(quota), *more = json_deep_copy(quota);
        _cleanup_json_ json_t *runs = json_incref(POD("Running", "")),
                              *ends = json_incref(POD("Running", DELETED)),
                              *ended = json_incref(POD("Failed", ""));

        change(f, WORLD_RESOURCEQUOTAS, NULL, quota, "a/pods ");
        /* What kapid has charged is nothing to do. */
        assert_int_equal(json_set_str(used, "status.used.pods", "1"), 0);
        change(f, WORLD_RESOURCEQUOTAS, quota, used, "");
        assert_int_equal(json_set_str(more, "spec.hard.pods", "2"), 0);
        change(f, WORLD_RESOURCEQUOTAS, quota, more, "a/pods ");
        change(f, WORLD_PODS, NULL, runs, "");
        change(f, WORLD_PODS, runs, runs, "");
        change(f, WORLD_PODS, runs, ends, "a/pods a/cpu ");
        change(f, WORLD_PODS, runs, ended, "a/pods a/cpu ");
}

static void test_plan(void **state) {
        _cleanup_fake_ struct fake *f = fill();
        _cleanup_free_ char *first = NULL, *second = NULL, *none = NULL;
        uint64_t requeue_us;

        first = fake_plan(f, &resourcequota_controller, "a/pods", &requeue_us);
        assert_string_equal(first, "patch resourcequotas a/pods status {\"status\":{}}\n");
        assert_int_equal(requeue_us, 300000000);
        /* Ten seconds until its end, thirty more, and one for clocks. */
        POD("Running", DELETED);
        second = fake_plan(f, &resourcequota_controller, "a/pods", &requeue_us);
        assert_int_equal(requeue_us, 41000000);
        assert_string_equal(second, first);
        none = fake_plan(f, &resourcequota_controller, "a/gone", &requeue_us);
        assert_string_equal(none, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_deleted),
                        cmocka_unit_test(test_changes),
                        cmocka_unit_test(test_plan),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
