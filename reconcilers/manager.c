/* Informers -> world -> runners. Controllers are woken only after every cache is full: then each
 * object is reported once as new, so that a wake function never sees a partly filled cache; a few
 * in a turn of the loop, because a wake function may look at many others. */
#include "reconcilers/manager.h"

#include "lib/log.h"
#include "lib/loop-turn.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

enum { WAKE_TURN_US = 10000 };

struct kind_watch {
        struct manager *manager;
        enum world_kind kind;
        struct informer *informer; /* NULL: no controller wants it */
};

/* When a lease was seen to change; monotonic. */
struct sight {
        uint64_t at_us, unbroken_us;
};

/* One that the controllers have not heard of yet. */
struct unreported {
        enum world_kind kind;
        json_t *object; /* as it was then */
};

enum { READY_STATES = 3 };
static const char *const ready_states[READY_STATES] = {"True", "False", "Unknown"};

struct manager {
        struct metric *nodes[READY_STATES];
        struct manager_options options;
        struct world world;
        struct kind_watch kinds[WORLD_KINDS_MAX];
        struct runner **runners;
        struct map *lease_seen;       /* name -> struct sight */
        uint64_t leases_connected_us; /* monotonic; 0: the watch of leases is down */
        uint64_t wanted;
        VECTOR(struct unreported) unreported;
        size_t reported; /* of them */
        struct loop_turn *report;
        bool started, synced, leading;
};

static const json_t *source_get(
                void *data, enum world_kind kind, const char *ns, const char *name) {
        struct manager *m = data;

        assert(m->kinds[kind].informer);
        return informer_get2(m->kinds[kind].informer, ns, name);
}

static void collect(const json_t *object, void *userdata) {
        objects_add(userdata, object);
}

static void source_list(
                void *data, enum world_index index, const char *value, struct objects *ret) {
        struct manager *m = data;
        const struct world_index_row *row = &world_indexes[index];

        assert(m->kinds[row->kind].informer);
        informer_by_index(m->kinds[row->kind].informer, row->name, value, collect, ret);
}

static void source_all(void *data, enum world_kind kind, struct objects *ret) {
        struct manager *m = data;

        assert(m->kinds[kind].informer);
        informer_foreach(m->kinds[kind].informer, e) objects_add(ret, informer_object(e));
}

static uint64_t source_lease_seen(void *data, const char *name) {
        struct manager *m = data;
        const struct sight *sight = map_get(m->lease_seen, name);

        /* While the watch of leases is down no lease counts as silent; the time before it came back
         * does not count either. */
        if (m->leases_connected_us == 0)
                return now_mono_us();
        return sight ? MAX(sight->at_us, m->leases_connected_us) : m->leases_connected_us;
}

static uint64_t source_lease_unbroken(void *data, const char *name) {
        struct manager *m = data;
        const struct sight *sight = map_get(m->lease_seen, name);

        if (m->leases_connected_us == 0 || !sight)
                return now_mono_us();
        return MAX(sight->unbroken_us, m->leases_connected_us);
}

static int source_zone(void *data, const char *name, struct time_zone **ret) {
        return time_zone_load(name, ret);
}

static const struct world_source live_source = {source_get, source_list, source_all,
                source_lease_seen, source_lease_unbroken, source_zone};

const struct world *manager_world(struct manager *m) {
        m->world.now_us = now_wall_us();
        m->world.mono_us = now_mono_us();
        return &m->world;
}

static const struct world *world_for_runner(void *userdata) {
        return manager_world(userdata);
}

static uint64_t runner_seen_version(void *userdata, enum world_kind kind) {
        struct manager *m = userdata;

        return m->kinds[kind].informer ? informer_resource_version(m->kinds[kind].informer)
                                       : UINT64_MAX;
}

static void note_lease(struct manager *m, const json_t *object, bool gone) {
        struct sight *sight = map_get(m->lease_seen, object_name(object));
        uint64_t now = now_mono_us();

        if (gone) {
                map_remove(m->lease_seen, object_name(object));
                return;
        }
        if (!sight) {
                sight = calloc(1, sizeof(*sight));
                assert(sight && map_set(m->lease_seen, object_name(object), sight) >= 0);
        }
        if (now > sight->at_us + LEASE_GAP_US)
                sight->unbroken_us = now;
        sight->at_us = now;
}

static void on_event(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct kind_watch *k = userdata;
        struct manager *m = k->manager;
        bool gone = event == INFORMER_DELETED;

        if (k->kind == WORLD_LEASES)
                note_lease(m, object, gone);
        if (m->options.listener)
                m->options.listener(k->kind, object, gone, m->options.userdata);
        if (!m->synced)
                return;
        for (size_t n = 0; n < m->options.count; n++)
                runner_on_event(m->runners[n], k->kind, old, object, gone);
}

static void on_connection(struct informer *i, bool connected, void *userdata) {
        struct kind_watch *k = userdata;

        if (k->kind == WORLD_LEASES)
                k->manager->leases_connected_us = connected ? now_mono_us() : 0;
        log_debug("The watch of %s %s", world_resource(k->kind)->plural,
                        connected ? "is up" : "is interrupted");
}

static void apply_leading(struct manager *m) {
        for (size_t n = 0; n < m->options.count; n++)
                runner_set_leading(m->runners[n], m->leading && m->synced);
}

static void stop_reporting(struct manager *m) {
        m->report = loop_turn_free(m->report);
        for (size_t i = 0; i < m->unreported.count; i++)
                json_decref(m->unreported.items[i].object);
        vector_done(&m->unreported);
        m->reported = 0;
}

/* As it is now; what became of one that is gone was reported. */
static void report_one(struct manager *m, const struct unreported *x) {
        const json_t *object = source_get(
                        m, x->kind, object_namespace(x->object), object_name(x->object));

        for (size_t n = 0; object && n < m->options.count; n++)
                runner_on_event(m->runners[n], x->kind, NULL, object, /* gone= */ false);
}

static void on_report(void *userdata) {
        struct manager *m = userdata;
        uint64_t end = now_mono_us() + WAKE_TURN_US;

        while (m->reported < m->unreported.count) {
                report_one(m, &m->unreported.items[m->reported++]);
                if (now_mono_us() >= end) {
                        loop_turn_ask(m->report);
                        return;
                }
        }
        stop_reporting(m);
        apply_leading(m);
        log_debug("The caches are filled");
        if (m->options.on_synced)
                m->options.on_synced(m->options.userdata);
}

static int begin_reporting(struct manager *m) {
        int r = loop_turn_new(&m->report, m->options.event, SD_EVENT_PRIORITY_NORMAL, on_report, m);

        if (r < 0)
                return r;
        for (int k = 0; k < WORLD_KINDS_MAX; k++) {
                if (!m->kinds[k].informer)
                        continue;
                informer_foreach(m->kinds[k].informer, e) {
                        struct unreported x = {.kind = (enum world_kind)k,
                                        .object = json_incref((json_t *)informer_object(e))};

                        r = vector_append(&m->unreported, x);
                        if (r < 0) {
                                json_decref(x.object);
                                return r;
                        }
                }
        }
        loop_turn_ask(m->report);
        return 0;
}

static void on_synced(struct informer *i, void *userdata) {
        struct manager *m = ((struct kind_watch *)userdata)->manager;
        int r;

        for (int k = 0; k < WORLD_KINDS_MAX; k++)
                if (m->kinds[k].informer && !informer_is_synced(m->kinds[k].informer))
                        return;
        if (m->synced)
                return;
        m->synced = true;
        m->world.started_us = now_mono_us();
        r = begin_reporting(m);
        if (r < 0)
                (void)sd_event_exit(m->options.event, log_error_errno(r, "Cannot begin"));
}

static int start_informer(struct manager *m, enum world_kind kind) {
        const struct world_kind_row *row = &world_kinds[kind];
        struct informer_options options = {.resource = world_resource(kind),
                        .ns = row->ns,
                        .field_selector = row->field_selector,
                        .on_event = on_event,
                        .on_synced = on_synced,
                        .on_connection = on_connection,
                        .userdata = &m->kinds[kind]};
        struct informer *i;
        int r;

        m->kinds[kind] = (struct kind_watch){.manager = m, .kind = kind};
        r = informer_new(&m->kinds[kind].informer, m->options.client, &options);
        if (r < 0)
                return r;
        i = m->kinds[kind].informer;
        for (size_t n = 0; n < WORLD_INDEXES_MAX; n++)
                if (world_indexes[n].kind == kind) {
                        const struct world_index_row *x = &world_indexes[n];

                        r = x->nth ? informer_add_index_of_many(i, x->name, x->nth)
                                   : informer_add_index(i, x->name, x->func);
                        if (r < 0)
                                return r;
                }
        return 0;
}

/* Nodes by their Ready condition, as this process sees them while it leads. */
static void count_nodes(void *userdata) {
        struct manager *m = userdata;
        size_t counts[READY_STATES] = {0};

        if (m->leading && m->synced && m->kinds[WORLD_NODES].informer)
                informer_foreach(m->kinds[WORLD_NODES].informer, e) {
                        const json_t *ready = object_condition(informer_object(e), "Ready");
                        const char *status = json_str_or(ready, "status", "Unknown");

                        for (size_t i = 0; i < READY_STATES; i++)
                                counts[i] += streq(status, ready_states[i]);
                }
        for (size_t i = 0; i < READY_STATES; i++)
                metric_set(m->nodes[i], (double)counts[i]);
}

static int make_metrics(struct manager *m) {
        char labels[64];

        for (size_t i = 0; i < READY_STATES; i++) {
                (void)snprintf(labels, sizeof(labels), "ready=\"%s\"", ready_states[i]);
                m->nodes[i] = metrics_gauge(m->options.metrics, "keelson_nodes", labels,
                                "Nodes by their Ready condition; 0 while this process does not "
                                "lead.");
                if (!m->nodes[i])
                        return -ENOMEM;
        }
        return metrics_on_render(m->options.metrics, count_nodes, m);
}

int manager_new(struct manager **ret, const struct manager_options *options) {
        _cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->options = *options;
        r = make_metrics(m);
        if (r < 0)
                return r;
        m->world = (struct world){.source = &live_source, .data = m, .config = options->config};
        m->wanted = options->kinds;
        m->lease_seen = map_new(free);
        m->runners = calloc(options->count, sizeof(*m->runners));
        if (!m->lease_seen || !m->runners)
                return -ENOMEM;
        for (size_t n = 0; n < options->count; n++) {
                struct runner_options runner = {.event = options->event,
                                .client = options->client,
                                .metrics = options->metrics,
                                .controller = options->controllers[n],
                                .world = world_for_runner,
                                .seen_version = runner_seen_version,
                                .userdata = m};

                r = runner_new(&m->runners[n], &runner);
                if (r < 0)
                        return r;
                m->wanted |= options->controllers[n]->kinds;
        }
        *ret = TAKE_PTR(m);
        return 0;
}

struct manager *manager_free(struct manager *m) {
        if (!m)
                return NULL;
        metrics_off_render(m->options.metrics, count_nodes, m);
        for (size_t n = 0; m->runners && n < m->options.count; n++)
                runner_free(m->runners[n]);
        for (int k = 0; k < WORLD_KINDS_MAX; k++)
                informer_free(m->kinds[k].informer);
        stop_reporting(m);
        map_free(m->lease_seen);
        free(m->runners);
        free(m);
        return NULL;
}

/* Another one has led meanwhile. Its last writes may be in one of our caches and not yet in
 * another, as a pod that a Job has counted: nothing is planned before they are in all. */
static void list_again(struct manager *m) {
        m->synced = false;
        stop_reporting(m);
        for (int k = 0; k < WORLD_KINDS_MAX; k++)
                if (m->kinds[k].informer)
                        informer_relist(m->kinds[k].informer);
}

int manager_set_leading(struct manager *m, bool leading) {
        int r;

        if (leading && !m->leading && m->started)
                list_again(m);
        m->leading = leading;
        for (int k = 0; leading && !m->started && k < WORLD_KINDS_MAX; k++)
                if (m->wanted & WORLD_BIT(k)) {
                        r = start_informer(m, (enum world_kind)k);
                        if (r < 0)
                                return r;
                }
        m->started |= leading;
        apply_leading(m);
        return 0;
}

static void add_namespace(struct manager *m, const char *name) {
        for (size_t n = 0; n < m->options.count; n++)
                if (m->options.controllers[n] == &namespace_controller)
                        runner_add(m->runners[n], name);
}

void manager_on_deleted(
                struct manager *m, const struct api_resource *resource, const json_t *object) {
        for (size_t n = 0; m->synced && n < m->options.count; n++)
                runner_on_deleted(m->runners[n], resource, object);
}

void manager_wake_namespace(struct manager *m, const char *name) {
        const json_t *ns = world_get(&m->world, WORLD_NAMESPACES, NULL, name);

        if (ns && object_is_deleting(ns))
                add_namespace(m, name);
}

void manager_set_graph(
                struct manager *m, const struct graph *graph, const struct catalogue *catalogue) {
        _cleanup_objects_ struct objects all = {0};

        m->world.graph = graph;
        m->world.catalogue = catalogue;
        world_all(&m->world, WORLD_NAMESPACES, &all);
        for (size_t i = 0; i < all.count; i++)
                if (object_is_deleting(all.items[i]))
                        add_namespace(m, object_name(all.items[i]));
}

bool manager_is_synced(const struct manager *m) {
        return m->synced;
}

bool manager_watches(const struct manager *m, const struct api_resource *resource) {
        for (int k = 0; k < WORLD_KINDS_MAX; k++)
                if ((m->wanted & WORLD_BIT(k)) && world_kind_is_whole(k) &&
                                streq(world_resource(k)->plural, resource->plural) &&
                                streq(world_resource(k)->group, resource->group))
                        return true;
        return false;
}
