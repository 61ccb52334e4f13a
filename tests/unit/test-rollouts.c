/* Rollouts by the seed: Deployments that change in the middle of rollouts, pods that become ready,
 * fail and take their time to stop. Whatever happens, the bounds hold at every step and the end is
 * reached. A failing seed is printed; run with SEED=n to see it again. */
#include "tests/unit/fake-world.h"

#include "reconcilers/jsondiff.h"

enum { STEPS = 60, SETTLE_MAX = 400 };

struct simulation {
        struct fake *f;
        uint64_t random;
        unsigned next_name, version;
        int64_t highest, lowest; /* spec.replicas since the last time all was settled */
};

static unsigned draw(struct simulation *s, unsigned bound) {
        s->random ^= s->random << 13;
        s->random ^= s->random >> 7;
        s->random ^= s->random << 17;
        return (unsigned)(s->random % bound);
}

static enum world_kind kind_of(const char *plural) {
        for (int k = 0; k < WORLD_KINDS_MAX; k++)
                if (streq(world_resource(k)->plural, plural))
                        return (enum world_kind)k;
        assert_not_reached();
}

static void touch(struct simulation *s, json_t *o) {
        char version[16];

        (void)snprintf(version, sizeof(version), "%u", ++s->version);
        json_set_str(o, "metadata.resourceVersion", version);
}

static json_t *find(struct fake *f, enum world_kind kind, const char *name, size_t *ret_index) {
        for (size_t i = 0; i < f->counts[kind]; i++)
                if (streq(object_name(f->objects[kind][i]), name)) {
                        *ret_index = i;
                        return f->objects[kind][i];
                }
        return NULL;
}

static void drop(struct fake *f, enum world_kind kind, size_t i) {
        json_decref(f->objects[kind][i]);
        f->objects[kind][i] = f->objects[kind][--f->counts[kind]];
}

static void merge(json_t *to, const json_t *patch) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)patch, key, v) {
                if (json_is_null(v))
                        json_object_del(to, key);
                else if (json_is_object(v)) {
                        if (!json_is_object(json_object_get(to, key)))
                                json_object_set_new(to, key, json_object());
                        merge(json_object_get(to, key), v);
                } else
                        json_object_set(to, key, v);
        }
}

static void create(struct simulation *s, const struct action *x) {
        enum world_kind kind = kind_of(x->resource->plural);
        _cleanup_free_ char *uid = strformat("u%u", ++s->next_name), *name = NULL, *created = NULL;
        json_t *o = json_deep_copy(x->body);

        assert_true(s->f->counts[kind] < FAKE_OBJECTS_MAX);
        if (!*object_name(o)) {
                name = strformat("%s%u", json_str(o, "metadata.generateName"), s->next_name);
                json_set_str(o, "metadata.name", name);
        }
        created = strformat("2026-01-01T%02u:%02u:%02uZ", s->next_name / 3600,
                        s->next_name / 60 % 60, s->next_name % 60);
        json_set_str(o, "metadata.uid", uid);
        json_set_str(o, "metadata.creationTimestamp", created);
        json_set_int(o, "metadata.generation", 1);
        touch(s, o);
        s->f->objects[kind][s->f->counts[kind]++] = o;
}

static void carry_out(struct simulation *s, const struct action *x) {
        enum world_kind kind;
        _cleanup_json_ json_t *spec = NULL;
        json_t *o;
        size_t i = 0;

        if (x->type == ACTION_EVENT)
                return;
        if (x->type == ACTION_CREATE) {
                create(s, x);
                return;
        }
        kind = kind_of(x->resource->plural);
        o = find(s->f, kind, x->name, &i);
        assert_non_null(o);
        if (x->type == ACTION_DELETE) {
                if (kind == WORLD_PODS && json_str(o, "spec.nodeName"))
                        json_set_str(o, "metadata.deletionTimestamp", FAKE_NOW);
                else
                        drop(s->f, kind, i);
                return;
        }
        assert_int_equal(x->type, ACTION_PATCH);
        spec = json_deep_copy(json_object_get(o, "spec"));
        merge(o, x->body);
        if (!json_equal(spec, json_object_get(o, "spec")))
                json_set_int(o, "metadata.generation", object_generation(o) + 1);
        touch(s, o);
}

static int64_t available_pods(const struct fake *f) {
        int64_t n = 0;

        for (size_t i = 0; i < f->counts[WORLD_PODS]; i++)
                n += pod_is_active(f->objects[WORLD_PODS][i]) &&
                     object_condition_true(f->objects[WORLD_PODS][i], "Ready");
        return n;
}

/* One round as the runner does it; true when anything changed. */
static bool reconcile(struct simulation *s, const struct controller *c, const char *key) {
        _cleanup_actions_ struct actions a = {0};
        _cleanup_json_ json_t *status = NULL, *diff = NULL;
        json_t *o;

        c->plan(&s->f->world, key, &a);
        if (getenv("SEED")) {
                _cleanup_free_ char *text = actions_text(&a);

                printf("# %s %s: %lld available\n%s", c->name, key, (long long)available_pods(s->f),
                                text);
        }
        for (size_t i = 0; i < a.count; i++)
                carry_out(s, &a.items[i]);
        o = (json_t *)world_get_key(&s->f->world, c->primary, key);
        status = o ? c->report(&s->f->world, key, NULL) : NULL;
        if (status) {
                diff = json_merge_diff(json_object_get(o, "status"), status);
                if (json_object_size(diff) > 0) {
                        json_object_set(o, "status", status);
                        touch(s, o);
                        return true;
                }
        }
        return a.count > 0;
}

static void set_ready(json_t *pod, bool ready) {
        json_set_str(pod, "spec.nodeName", "n");
        json_set_str(pod, "status.phase", "Running");
        json_set_at(pod, "status.conditions",
                        json_pack("[{s:s, s:s}]", "type", "Ready", "status",
                                        ready ? "True" : "False"));
}

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
