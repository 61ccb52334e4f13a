/* A world that carries out what plans say, step by step, with chance decided by a seed. */
#pragma once

#include "tests/unit/fake-world.h"

#include "reconcilers/jsondiff.h"

struct simulation {
        struct fake *f;
        uint64_t random;
        unsigned next_name, version;
        int64_t highest, lowest; /* spec.replicas since the last time all was settled */
};

static _unused_ unsigned draw(struct simulation *s, unsigned bound) {
        s->random ^= s->random << 13;
        s->random ^= s->random >> 7;
        s->random ^= s->random << 17;
        return (unsigned)(s->random % bound);
}

static _unused_ enum world_kind kind_of(const char *plural) {
        for (int k = 0; k < WORLD_KINDS_MAX; k++)
                if (streq(world_resource(k)->plural, plural))
                        return (enum world_kind)k;
        assert_not_reached();
}

static _unused_ void touch(struct simulation *s, json_t *o) {
        char version[16];

        (void)snprintf(version, sizeof(version), "%u", ++s->version);
        json_set_str(o, "metadata.resourceVersion", version);
}

static _unused_ json_t *find(
                struct fake *f, enum world_kind kind, const char *name, size_t *ret_index) {
        for (size_t i = 0; i < f->counts[kind]; i++)
                if (streq(object_name(f->objects[kind][i]), name)) {
                        *ret_index = i;
                        return f->objects[kind][i];
                }
        return NULL;
}

static _unused_ void drop(struct fake *f, enum world_kind kind, size_t i) {
        json_decref(f->objects[kind][i]);
        f->objects[kind][i] = f->objects[kind][--f->counts[kind]];
}

static _unused_ void merge(json_t *to, const json_t *patch) {
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

static _unused_ void create(struct simulation *s, const struct action *x) {
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

static _unused_ void carry_out(struct simulation *s, const struct action *x) {
        enum world_kind kind;
        _cleanup_json_ json_t *spec = NULL;
        json_t *o;
        size_t i = 0;

        if (x->type == &action_type_event || x->type->barrier)
                return;
        if (x->type == &action_type_create) {
                create(s, x);
                return;
        }
        kind = kind_of(x->resource->plural);
        o = find(s->f, kind, x->name, &i);
        assert_non_null(o);
        if (x->type == &action_type_delete) {
                if (kind == WORLD_PODS && json_str(o, "spec.nodeName"))
                        json_set_str(o, "metadata.deletionTimestamp", FAKE_NOW);
                else
                        drop(s->f, kind, i);
                return;
        }
        assert_ptr_equal(x->type, &action_type_patch);
        spec = json_deep_copy(json_object_get(o, "spec"));
        merge(o, x->body);
        if (!json_equal(spec, json_object_get(o, "spec")))
                json_set_int(o, "metadata.generation", object_generation(o) + 1);
        touch(s, o);
}

static _unused_ int64_t available_pods(const struct fake *f) {
        int64_t n = 0;

        for (size_t i = 0; i < f->counts[WORLD_PODS]; i++)
                n += pod_is_active(f->objects[WORLD_PODS][i]) &&
                     object_condition_true(f->objects[WORLD_PODS][i], "Ready");
        return n;
}

/* One round as the runner does it; true when anything changed. */
static _unused_ bool reconcile(struct simulation *s, const struct controller *c, const char *key) {
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

static _unused_ void set_ready(json_t *pod, bool ready) {
        json_set_str(pod, "spec.nodeName", "n");
        json_set_str(pod, "status.phase", "Running");
        json_set_at(pod, "status.conditions",
                        json_pack("[{s:s, s:s}]", "type", "Ready", "status",
                                        ready ? "True" : "False"));
}
