/* The status of Ingresses: whose it is, which machines it names, what wakes it. */
#include "tests/unit/fake-world.h"

#define KEY "d/web"

static void put_pod(struct fake *f, const char *name, const char *ns, const char *label,
                const char *ip, const char *ready, const char *more) {
        fake_put(f, WORLD_PODS,
                        "metadata: {name: %s, namespace: %s, labels: {app.kubernetes.io/name: %s}%s}\n"
                        "status: {hostIP: %s, conditions: [{type: Ready, status: '%s'}]}\n",
                        name, ns, label, more, ip, ready);
}

static struct fake *with_ingress(const char *spec, const char *class) {
        struct fake *f = fake_new();

        fake_put(f, WORLD_INGRESSES, "metadata: {name: web, namespace: d, uid: i}\nspec: %s\n",
                        spec);
        fake_put(f, WORLD_INGRESSCLASSES,
                        "metadata: {name: keelson%s}\nspec: {controller: keelson.dev/ingress}\n",
                        class);
        fake_put(f, WORLD_INGRESSCLASSES,
                        "metadata: {name: other}\nspec: {controller: example.com/other}\n");
        return f;
}

static void test_addresses(void **state) {
        _cleanup_fake_ struct fake *f = with_ingress("{ingressClassName: keelson}", "");

        assert_report(f, &ingress_controller, KEY, "loadBalancer", "{}");
        put_pod(f, "a", "kube-system", "kingressd", "10.0.0.2", "True", "");
        put_pod(f, "b", "kube-system", "kingressd", "10.0.0.1", "True", "");
        put_pod(f, "c", "kube-system", "kingressd", "10.0.0.3", "False", "");
        put_pod(f, "d", "kube-system", "other", "10.0.0.4", "True", "");
        put_pod(f, "e", "evil", "kingressd", "10.0.0.5", "True", "");
        put_pod(f, "f", "kube-system", "kingressd", "10.0.0.6", "True",
                        ", deletionTimestamp: '2026-01-01T11:59:00Z'");
        /* a surge: two pods of one machine */
        put_pod(f, "g", "kube-system", "kingressd", "10.0.0.1", "True", "");
        assert_report(f, &ingress_controller, KEY, "loadBalancer.ingress",
                        "[{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.2\"}]");
}

static void test_whose(void **state) {
        static const char marked[] =
                        ", annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}";
        static const struct {
                const char *spec, *class;
                bool ours;
        } rows[] = {
                        {"{ingressClassName: keelson}", "", true},
                        {"{ingressClassName: other}", "", false},
                        {"{ingressClassName: gone}", marked, false},
                        {"{}", "", false},
                        {"{}", marked, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_fake_ struct fake *f = with_ingress(rows[i].spec, rows[i].class);
                _cleanup_json_ json_t *status = ingress_controller.report(&f->world, KEY, NULL);

                assert_int_equal(status != NULL, rows[i].ours);
        }
}

static void on_wake(void *userdata, const char *key) {
        unsigned *count = userdata;

        assert_string_equal(key, KEY);
        (*count)++;
}

static unsigned wakes(struct fake *f, enum world_kind kind, const json_t *old, const json_t *now,
                bool gone) {
        unsigned count = 0;
        const struct wake out = {on_wake, &count};

        ingress_controller.wake(&f->world, &out, kind, old, now, gone);
        return count;
}

static void test_wakes(void **state) {
        _cleanup_fake_ struct fake *f = with_ingress("{ingressClassName: keelson}", "");
        const json_t *ingress = world_get_key(&f->world, WORLD_INGRESSES, KEY), *ready, *not_ready,
                     *other;

        put_pod(f, "a", "kube-system", "kingressd", "10.0.0.2", "True", "");
        put_pod(f, "b", "kube-system", "kingressd", "10.0.0.2", "False", "");
        put_pod(f, "c", "kube-system", "other", "10.0.0.2", "True", "");
        ready = world_get(&f->world, WORLD_PODS, "kube-system", "a");
        not_ready = world_get(&f->world, WORLD_PODS, "kube-system", "b");
        other = world_get(&f->world, WORLD_PODS, "kube-system", "c");
        assert_int_equal(wakes(f, WORLD_INGRESSES, NULL, ingress, false), 1);
        assert_int_equal(wakes(f, WORLD_INGRESSES, NULL, ingress, true), 0);
        assert_int_equal(wakes(f, WORLD_INGRESSCLASSES, NULL, ingress, false), 1);
        assert_int_equal(wakes(f, WORLD_PODS, NULL, ready, false), 1);
        assert_int_equal(wakes(f, WORLD_PODS, not_ready, ready, false), 1);
        assert_int_equal(wakes(f, WORLD_PODS, ready, not_ready, false), 1);
        assert_int_equal(wakes(f, WORLD_PODS, ready, ready, false), 0);
        assert_int_equal(wakes(f, WORLD_PODS, ready, ready, true), 1);
        assert_int_equal(wakes(f, WORLD_PODS, not_ready, not_ready, true), 0);
        assert_int_equal(wakes(f, WORLD_PODS, NULL, other, false), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses),
                        cmocka_unit_test(test_whose), cmocka_unit_test(test_wakes)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
