/* StatefulSets and DaemonSets by the seed: templates that change in the middle of a roll, some of
 * which never become ready, pods that fail, replicas, partitions and nodes that come and go. At
 * each step the bounds hold, and when the template is a good one the end is reached without help. A
 * failing seed is printed; run with SEED=n to see it again. */
#include "tests/unit/simulation.h"

#include "reconcilers/workloads/statefulset-internal.h"

enum { STEPS = 60, SETTLE_MAX = 400, BAD = 9 };

static const struct controller *controller;

static enum world_kind kind_under_test(void) {
        return controller->primary;
}

static json_t *the_set(struct simulation *s) {
        return s->f->objects[kind_under_test()][0];
}

static bool is_good(const json_t *pod) {
        return json_int_or(pod, "spec.version", 0) != BAD;
}

static const char *target_of(const json_t *pod) {
        const json_t *terms = json_at(pod, "spec.affinity.nodeAffinity."
                                           "requiredDuringSchedulingIgnoredDuringExecution."
                                           "nodeSelectorTerms");
        const json_t *field =
                        json_array_get(json_object_get(json_array_get(terms, 0), "matchFields"), 0);

        return terms ? json_string_value(json_array_get(json_object_get(field, "values"), 0)) : "n";
}

/* The world's part; kind: pods become ready and are gone at once. */
static bool live(struct simulation *s, bool kind) {
        struct fake *f = s->f;
        bool changed = false;

        for (size_t i = 0; i < f->counts[WORLD_PODS]; i++) {
                json_t *pod = f->objects[WORLD_PODS][i];
                bool ready = object_condition_true(pod, "Ready");
                const char *node = target_of(pod);

                if (object_is_deleting(pod) ||
                                (!streq(node, "n") &&
                                                !world_get(&f->world, WORLD_NODES, NULL, node))) {
                        if (kind || draw(s, 3) == 0) {
                                drop(f, WORLD_PODS, i--);
                                changed = true;
                        }
                } else if (!json_str(pod, "spec.nodeName") && (kind || draw(s, 2) == 0)) {
                        set_ready(pod, is_good(pod));
                        json_set_str(pod, "spec.nodeName", node);
                        changed = true;
                } else if (!kind && draw(s, 40) == 0)
                        json_set_str(pod, "status.phase", "Failed");
                else if (json_str(pod, "spec.nodeName") && !ready && is_good(pod) &&
                                !pod_is_finished(pod)) {
                        set_ready(pod, true);
                        json_set_str(pod, "spec.nodeName", node);
                        changed = true;
                }
        }
        s->f->world.now_us += 1000000;
        return changed;
}

static void change_nodes(struct simulation *s) {
        unsigned n = draw(s, 6);
        char name[16];
        size_t at;

        (void)snprintf(name, sizeof(name), "n%u", n);
        if (find(s->f, WORLD_NODES, name, &at) && draw(s, 2))
                drop(s->f, WORLD_NODES, at);
        else
                fake_put(s->f, WORLD_NODES, "metadata: {name: %s}\nspec: {taints: [%s]}\n", name,
                                draw(s, 3) ? "" : "{key: a, effect: NoSchedule}");
}

static void disturb(struct simulation *s) {
        json_t *set = the_set(s);

        switch (draw(s, 6)) {
        case 0:
                if (kind_under_test() == WORLD_DAEMONSETS)
                        change_nodes(s);
                else
                        json_set_int(set, "spec.replicas", draw(s, 6));
                break;
        case 1:
        case 2:
                json_set_int(set, "spec.template.spec.version", draw(s, 3) == 0 ? BAD : draw(s, 4));
                break;
        case 3:
                if (kind_under_test() == WORLD_STATEFULSETS)
                        json_set_int(set, "spec.updateStrategy.rollingUpdate.partition",
                                        draw(s, 3));
                break;
        default:
                return;
        }
        json_set_int(set, "metadata.generation", object_generation(set) + 1);
        touch(s, set);
}

/* Every pod's name is there once. */
static void check_names(struct simulation *s, unsigned seed) {
        struct fake *f = s->f;

        for (size_t i = 0; i < f->counts[WORLD_PODS]; i++)
                for (size_t k = 0; k < i; k++)
                        if (streq(object_name(f->objects[WORLD_PODS][i]),
                                            object_name(f->objects[WORLD_PODS][k])))
                                fail_msg("SEED=%u: two pods are called %s", seed,
                                                object_name(f->objects[WORLD_PODS][i]));
}

static int64_t wanted(struct simulation *s) {
        int64_t n = 0;

        if (kind_under_test() == WORLD_STATEFULSETS)
                return json_int_or(the_set(s), "spec.replicas", 0);
        for (size_t i = 0; i < s->f->counts[WORLD_NODES]; i++)
                n += json_array_size(json_at(s->f->objects[WORLD_NODES][i], "spec.taints")) == 0;
        return n;
}

/* Available pods that are meant to stay. */
static int64_t available_wanted(struct simulation *s) {
        int64_t n = 0;

        if (kind_under_test() == WORLD_DAEMONSETS)
                return available_pods(s->f);
        for (size_t i = 0; i < s->f->counts[WORLD_PODS]; i++) {
                const json_t *pod = s->f->objects[WORLD_PODS][i];
                int64_t ordinal = set_ordinal_of(the_set(s), pod);

                n += ordinal < wanted(s) && pod_is_active(pod) &&
                     object_condition_true(pod, "Ready");
        }
        return n;
}

static int64_t updated_pods(struct simulation *s) {
        int64_t version = json_int_or(the_set(s), "spec.template.spec.version", 0), n = 0;

        for (size_t i = 0; i < s->f->counts[WORLD_PODS]; i++)
                n += json_int_or(s->f->objects[WORLD_PODS][i], "spec.version", 0) == version &&
                     object_condition_true(s->f->objects[WORLD_PODS][i], "Ready");
        return n;
}

static void settle(struct simulation *s, unsigned seed) {
        json_t *set = the_set(s);

        /* Whatever was there before: a good template, and all of it. */
        json_set_int(set, "spec.template.spec.version", draw(s, 4));
        if (kind_under_test() == WORLD_STATEFULSETS)
                json_set_int(set, "spec.updateStrategy.rollingUpdate.partition", 0);
        for (int i = 0, quiet = 0; quiet < 3; i++) {
                _cleanup_free_ char *key = object_key(set);

                quiet = (int)reconcile(s, controller, key) | (int)live(s, true) ? 0 : quiet + 1;
                /* Pods that failed wait for their turn. */
                s->f->world.now_us += 1000000000;
                if (i > SETTLE_MAX)
                        fail_msg("SEED=%u does not settle", seed);
        }
        if (updated_pods(s) < wanted(s) ||
                        (kind_under_test() == WORLD_STATEFULSETS &&
                                        (int64_t)s->f->counts[WORLD_PODS] != wanted(s))) {
                _cleanup_free_ char *text = json_text_pretty(set);

                fail_msg("SEED=%u ends with %zu pods, %lld of %lld updated, and\n%s", seed,
                                s->f->counts[WORLD_PODS], (long long)updated_pods(s),
                                (long long)wanted(s), text);
        }
        /* The present one, two more, and those that pods still have (on tainted nodes). */
        if (s->f->counts[WORLD_REVISIONS] > 3 + s->f->counts[WORLD_PODS] - (size_t)updated_pods(s))
                fail_msg("SEED=%u leaves %zu revisions", seed, s->f->counts[WORLD_REVISIONS]);
}

static void make_set(struct simulation *s) {
        fake_put(s->f, kind_under_test(),
                        "metadata: {name: web, namespace: d, uid: p, resourceVersion: '1', "
                        "generation: 1}\n"
                        "spec: {replicas: %u, podManagementPolicy: %s, revisionHistoryLimit: 2, "
                        "selector: {matchLabels: {a: b}}, updateStrategy: {type: RollingUpdate, "
                        "rollingUpdate: {maxSurge: %s}}, template: {metadata: {labels: {a: b}}, "
                        "spec: {version: 0}}}\n",
                        1 + draw(s, 5), draw(s, 2) ? "Parallel" : "OrderedReady",
                        draw(s, 2) ? "0" : "0%");
        for (int i = 0; kind_under_test() == WORLD_DAEMONSETS && i < 4; i++)
                fake_put(s->f, WORLD_NODES, "metadata: {name: n%i}\n", i);
}

static void run(unsigned seed) {
        _cleanup_fake_ struct fake *f = fake_new();
        struct simulation s = {.f = f, .random = seed * 0x9E3779B97F4A7C15u | 1};

        make_set(&s);
        settle(&s, seed);
        for (int step = 0; step < STEPS; step++) {
                int64_t before, want;

                if (draw(&s, 4) == 0)
                        disturb(&s);
                (void)live(&s, false);
                before = available_wanted(&s);
                want = wanted(&s);
                (void)reconcile(&s, controller, "d/web");
                check_names(&s, seed);
                /* One at a time is deleted of those that are to stay. */
                if (available_wanted(&s) < MIN(before, want) - 1)
                        fail_msg("SEED=%u step %d: %lld of %lld available pods are left, %lld are "
                                 "wanted",
                                        seed, step, (long long)available_wanted(&s),
                                        (long long)before, (long long)want);
                if (draw(&s, 15) == 0)
                        settle(&s, seed);
        }
        settle(&s, seed);
}

static void run_all(const struct controller *c) {
        const char *only = getenv("SEED");
        uint32_t seed;

        controller = c;
        if (only && parse_u32(only, &seed) >= 0) {
                run(seed);
                return;
        }
        for (seed = 1; seed <= 60; seed++)
                run(seed);
}

static void test_statefulsets(void **state) {
        run_all(&statefulset_controller);
}

static void test_daemonsets(void **state) {
        run_all(&daemonset_controller);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_statefulsets),
                        cmocka_unit_test(test_daemonsets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
