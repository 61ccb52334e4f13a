/* A world of plain objects for tests of plans: objects in, expected actions out. */
#pragma once

#include "tests/unit/unit.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

enum { FAKE_OBJECTS_MAX = 600 };
#define FAKE_NOW "2026-01-01T12:00:00Z"

struct fake {
        json_t *objects[WORLD_KINDS_MAX][FAKE_OBJECTS_MAX];
        size_t counts[WORLD_KINDS_MAX];
        size_t listed; /* objects that lists have returned: the visits of a plan or waking */
        uint64_t lease_seen_us, lease_unbroken_us;
        uint64_t pulse_seen_us; /* of the lease keelson.load-balancer */
        struct world_config config;
        struct world world;
};

static inline const json_t *fake_get(
                void *data, enum world_kind kind, const char *ns, const char *name) {
        struct fake *f = data;

        for (size_t i = 0; i < f->counts[kind]; i++)
                if (streq(object_name(f->objects[kind][i]), name) &&
                                streq(object_namespace(f->objects[kind][i]), strempty(ns)))
                        return f->objects[kind][i];
        return NULL;
}

static inline bool fake_has(const struct world_index_row *row, const json_t *o, const char *value) {
        const char *one;
        char buffer[512];

        if (row->func)
                return streq_ptr(row->func(o, buffer, sizeof(buffer)), value);
        for (size_t n = 0; (one = row->nth(o, n, buffer, sizeof(buffer))); n++)
                if (streq(one, value))
                        return true;
        return false;
}

static inline void fake_list(
                void *data, enum world_index index, const char *value, struct objects *ret) {
        const struct world_index_row *row = &world_indexes[index];
        struct fake *f = data;

        for (size_t i = 0; i < f->counts[row->kind]; i++)
                if (fake_has(row, f->objects[row->kind][i], value)) {
                        f->listed++;
                        objects_add(ret, f->objects[row->kind][i]);
                }
}

static inline void fake_all(void *data, enum world_kind kind, struct objects *ret) {
        struct fake *f = data;

        for (size_t i = 0; i < f->counts[kind]; i++)
                objects_add(ret, f->objects[kind][i]);
}

static inline uint64_t fake_lease_seen(void *data, const char *name) {
        const struct fake *f = data;

        return streq(name, "keelson.load-balancer") ? f->pulse_seen_us : f->lease_seen_us;
}

static inline uint64_t fake_lease_unbroken(void *data, const char *name) {
        return ((struct fake *)data)->lease_unbroken_us;
}

static inline int fake_zone(void *data, const char *name, struct time_zone **ret) {
        return time_zone_load(name, ret);
}

static inline struct fake *fake_new(void) {
        static const struct world_source source = {fake_get, fake_list, fake_all, fake_lease_seen,
                        fake_lease_unbroken, fake_zone};
        struct fake *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->config = (struct world_config){.cluster_cidr = "10.244.0.0/16",
                        .node_cidr_mask_size = 24,
                        .node_monitor_grace_us = 40000000};
        f->world = (struct world){.source = &source,
                        .data = f,
                        .config = &f->config,
                        .mono_us = 1000000000,
                        .started_us = 1000};
        assert_int_equal(time_parse(FAKE_NOW, &f->world.now_us), 0);
        return f;
}

static inline void fake_free(struct fake *f) {
        for (int k = 0; k < WORLD_KINDS_MAX; k++)
                for (size_t i = 0; i < f->counts[k]; i++)
                        json_decref(f->objects[k][i]);
        free(f);
}
DEFINE_CLEANUP(struct fake *, fake_free);

static inline void fake_clear(struct fake *f, enum world_kind kind) {
        while (f->counts[kind] > 0)
                json_decref(f->objects[kind][--f->counts[kind]]);
}
#define _cleanup_fake_ _cleanup_(fake_freep)

/* Adds an object written in YAML by printf rules; one of the same name is replaced. */
static inline json_t *fake_put(struct fake *f, enum world_kind kind, const char *fmt, ...)
                _printf_(3, 4);
static inline json_t *fake_put(struct fake *f, enum world_kind kind, const char *fmt, ...) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        json_t *o;
        va_list ap;

        va_start(ap, fmt);
        assert_true(vasprintf(&text, fmt, ap) >= 0);
        va_end(ap);
        if (yaml_parse(text, strlen(text), &docs, &p) < 0)
                fail_msg("%s in\n%s", p.message, text);
        assert_int_equal(docs.count, 1);
        o = json_incref(docs.items[0].value);
        for (size_t i = 0; i < f->counts[kind]; i++)
                if (streq(object_name(f->objects[kind][i]), object_name(o)) &&
                                streq(object_namespace(f->objects[kind][i]), object_namespace(o))) {
                        json_decref(f->objects[kind][i]);
                        return f->objects[kind][i] = o;
                }
        assert_true(f->counts[kind] < FAKE_OBJECTS_MAX);
        return f->objects[kind][f->counts[kind]++] = o;
}

/* The plan's actions as text, one a line; the caller frees. */
static inline char *fake_plan(struct fake *f, const struct controller *c, const char *name,
                uint64_t *ret_requeue_us) {
        _cleanup_actions_ struct actions a = {0};

        c->plan(&f->world, name, &a);
        if (ret_requeue_us)
                *ret_requeue_us = a.requeue_after_us;
        return actions_text(&a);
}

/* The lines that contain the word, each shortened to its first `words` words and joined by '|'. */
static inline char *fake_brief(const char *text, int words) {
        struct buf b = {0};

        for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
                const char *end = line;
                int n = 0;

                while (*end != '\n' && !(*end == ' ' && ++n == words))
                        end++;
                if (b.size > 0)
                        buf_append_char(&b, '|');
                buf_append(&b, line, (size_t)(end - line));
        }
        return buf_take(&b);
}

/* The whole of what a plan does, in brief: "create pods d/web-|delete pods d/x". */
#define assert_plan(f, controller, name, expected) \
        do { \
                _cleanup_free_ char *_text = fake_plan(f, controller, name, NULL); \
                _cleanup_free_ char *_brief = fake_brief(_text, 3); \
                if (!streq(_brief, expected)) \
                        fail_msg("planned: %s\nexpected: %s\n%s", _brief, expected, _text); \
        } while (0)
#define assert_plan_has(f, controller, name, part) \
        do { \
                _cleanup_free_ char *_text = fake_plan(f, controller, name, NULL); \
                if (!strstr(_text, part)) \
                        fail_msg("no \"%s\" in\n%s", part, _text); \
        } while (0)
#define assert_report(f, controller, name, path, expected) \
        do { \
                _cleanup_json_ json_t *_status = (controller)->report(&(f)->world, name, NULL); \
                const json_t *_v = json_at(_status, path); \
                _cleanup_free_ char *_text = _v ? json_dumps(_v, JSON_ENCODE_ANY | JSON_COMPACT) \
                                                : strdup("absent"); \
                assert_string_equal(_text, expected); \
        } while (0)
