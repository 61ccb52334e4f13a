/* Rollouts by the seed: Deployments that change in the middle of rollouts, pods that become ready,
 * fail and take their time to stop. Whatever happens, the bounds hold at every step and the end is
 * reached. A failing seed is printed; run with SEED=n to see it again. */
#include "tests/unit/simulation.h"

enum { STEPS = 60, SETTLE_MAX = 400 };

/* The world's part; kind: without failures. */
static bool live(struct simulation *s, bool kind) {
        struct fake *f = s->f;
        bool changed = false;

        for (size_t i = 0; i < f->counts[WORLD_PODS]; i++) {
                json_t *pod = f->objects[WORLD_PODS][i];
                bool ready = object_condition_true(pod, "Ready");

                if (object_is_deleting(pod)) {
                        if (kind || draw(s, 3) == 0) {
                                drop(f, WORLD_PODS, i--);
                                changed = true;
                        }
                } else if (!ready && (kind || draw(s, 2) == 0)) {
                        set_ready(pod, true);
                        changed = true;
                }
        }
        return changed;
}

static bool reconcile_all(struct simulation *s) {
        bool changed = reconcile(s, &deployment_controller, "d/web");

        for (size_t i = 0; i < s->f->counts[WORLD_REPLICASETS]; i++) {
                _cleanup_free_ char *key = object_key(s->f->objects[WORLD_REPLICASETS][i]);

                changed |= reconcile(s, &replicaset_controller, key);
        }
        return changed;
}

static json_t *the_deployment(struct simulation *s) {
        return s->f->objects[WORLD_DEPLOYMENTS][0];
}

static void disturb(struct simulation *s) {
        json_t *d = the_deployment(s);
        int64_t replicas;

        switch (draw(s, 6)) {
        case 0:
                replicas = draw(s, 12);
                s->highest = MAX(s->highest, replicas);
                s->lowest = MIN(s->lowest, replicas);
                json_set_int(d, "spec.replicas", replicas);
                break;
        case 1:
        case 2:
                json_set_int(d, "spec.template.spec.version", draw(s, 4));
                break;
        case 3:
                json_set_at(d, "spec.paused", json_boolean(draw(s, 3) == 0));
                break;
        default:
                return;
        }
        json_set_int(d, "metadata.generation", object_generation(d) + 1);
        touch(s, d);
}

static int64_t active_pods(const struct fake *f) {
        int64_t n = 0;

        for (size_t i = 0; i < f->counts[WORLD_PODS]; i++)
                n += pod_is_active(f->objects[WORLD_PODS][i]);
        return n;
}

static void check_end(struct simulation *s, unsigned seed) {
        const json_t *d = the_deployment(s);
        int64_t replicas = json_int_or(d, "spec.replicas", 0);

        if (json_int_or(d, "status.updatedReplicas", -1) != replicas ||
                        json_int_or(d, "status.availableReplicas", -1) != replicas ||
                        (int64_t)s->f->counts[WORLD_PODS] != replicas ||
                        !streq(json_str_or(object_condition(d, "Progressing"), "reason", ""),
                                        "NewReplicaSetAvailable")) {
                _cleanup_free_ char *text = json_text_pretty(d);

                fail_msg("SEED=%u ends with %zu pods and\n%s", seed, s->f->counts[WORLD_PODS],
                                text);
        }
        if (s->f->counts[WORLD_REPLICASETS] > 3)
                fail_msg("SEED=%u leaves %zu sets", seed, s->f->counts[WORLD_REPLICASETS]);
}

static void settle(struct simulation *s, unsigned seed) {
        json_del_at(the_deployment(s), "spec.paused");
        for (int i = 0; (int)reconcile_all(s) | (int)live(s, true); i++)
                if (i > SETTLE_MAX)
                        fail_msg("SEED=%u does not settle", seed);
        check_end(s, seed);
        s->highest = s->lowest = json_int_or(the_deployment(s), "spec.replicas", 0);
}

static void run(unsigned seed) {
        _cleanup_fake_ struct fake *f = fake_new();
        struct simulation s = {.f = f, .random = seed * 0x9E3779B97F4A7C15u | 1};
        unsigned surge, unavailable;

        surge = draw(&s, 4);
        unavailable = draw(&s, 3) + (surge == 0);
        fake_put(f, WORLD_DEPLOYMENTS,
                        "metadata: {name: web, namespace: d, uid: p, resourceVersion: '1', "
                        "generation: 1}\n"
                        "spec: {replicas: %u, revisionHistoryLimit: 2, selector: {matchLabels: {a: "
                        "b}}, "
                        "strategy: {rollingUpdate: {maxSurge: %u, maxUnavailable: %u}}, "
                        "template: {metadata: {labels: {a: b}}, spec: {version: 0}}}\n",
                        1 + draw(&s, 9), surge, unavailable);
        settle(&s, seed);
        for (int step = 0; step < STEPS; step++) {
                int64_t before = available_pods(f), replicas, floor;

                if (draw(&s, 4) == 0)
                        disturb(&s);
                (void)live(&s, false);
                before = available_pods(f);
                replicas = json_int_or(the_deployment(&s), "spec.replicas", 0);
                if (draw(&s, 2))
                        (void)reconcile_all(&s);
                else
                        (void)reconcile(&s, &deployment_controller, "d/web");
                /* Never fewer available than allowed by our own doing, never more than the surge.
                 */
                floor = MIN(before, s.lowest - (int64_t)unavailable);
                if (available_pods(f) < floor)
                        fail_msg("SEED=%u step %d: %lld available, at least %lld of %lld expected",
                                        seed, step, (long long)available_pods(f), (long long)floor,
                                        (long long)replicas);
                if (active_pods(f) > s.highest + (int64_t)surge)
                        fail_msg("SEED=%u step %d: %lld pods, at most %lld expected", seed, step,
                                        (long long)active_pods(f), (long long)(s.highest + surge));
                if (draw(&s, 15) == 0)
                        settle(&s, seed);
        }
        settle(&s, seed);
}

static void test_rollouts(void **state) {
        const char *only = getenv("SEED");
        uint32_t seed;

        if (only && parse_u32(only, &seed) >= 0) {
                run(seed);
                return;
        }
        for (seed = 1; seed <= 40; seed++)
                run(seed);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_rollouts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
