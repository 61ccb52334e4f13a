/* The collector's driver. Garbage is looked for only when the graph is whole: every kind's first
 * list is in, or was waited for long enough: the server of a kind may be one that does not answer,
 * and what is missing in the graph is asked of the API before anything is deleted. Discovery is
 * read at the start, when a CustomResourceDefinition or an APIService changes, every ten minutes,
 * and more often while an extension server does not answer. */
#include "reconcilers/collector.h"

#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/graph.h"

#define DISCOVER_US (10 * 60 * UINT64_C(1000000))
#define DISCOVER_STALE_US UINT64_C(30000000)
/* How long the first list of a kind is waited for. */
#define FIRST_LISTS_US UINT64_C(30000000)
/* Of one kind: the server of a kind may be one whose lists do not end. */
enum { OBJECTS_MAX = 500000 };
#define DISCOVER_RETRY_US UINT64_C(5000000)
/* The kind of a new CRD may be served a moment after the CRD exists: so long after the last change,
 * and so long after the first one of many. */
#define DISCOVER_SOON_US UINT64_C(1000000)
#define DISCOVER_LATE_US UINT64_C(5000000)
#define ACCEPT \
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," \
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

struct collector {
        struct collector_options options;
        struct catalogue catalogue;
        struct graph graph;
        struct world world;
        struct runner *runner;
        sd_event_source *timer, *patience;
        struct http_call *call;
        json_t *core; /* the first half of a discovery */
        bool leading, discovered, world_synced, whole;
        bool impatient; /* kinds that were not listed yet are no longer waited for */
        bool again;     /* what is served has changed since the discovery under way began */
        uint64_t changed_us; /* when it first has since the last one began; 0: it has not */
};

static const struct world *collector_world(void *userdata) {
        struct collector *c = userdata;

        c->world.now_us = now_wall_us();
        c->world.mono_us = now_mono_us();
        return &c->world;
}

static uint64_t collector_seen(void *userdata, enum world_kind kind) {
        return UINT64_MAX;
}

/* --- changes of the graph --- */

static bool names_unknown_owner(const struct collector *c, const json_t *object) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(object, "metadata.ownerReferences"), i, ref) {
                const struct graph_node *owner = graph_owner(&c->graph, ref, object);

                if (!owner || object_is_deleting(owner->object))
                        return true;
        }
        return false;
}

static void wake_if_needed(struct collector *c, const json_t *object) {
        if (names_unknown_owner(c, object) ||
                        (object_is_deleting(object) && json_array_size(json_at(object,
                                                                       "metadata.finalizers")) > 0))
                runner_add(c->runner, object_uid(object));
}

static void wake_owners(struct collector *c, const json_t *object) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(object, "metadata.ownerReferences"), i, ref) {
                const struct graph_node *owner = graph_get(&c->graph, json_str_or(ref, "uid", ""));

                if (owner && owner->object && object_is_deleting(owner->object))
                        runner_add(c->runner, owner->uid);
        }
}

void collector_on_change(struct collector *c, const struct api_resource *resource,
                const json_t *object, bool gone) {
        const struct graph_node *n;
        const char *ns = object_namespace(object);

        if (!gone) {
                _cleanup_json_ json_t *old = NULL;

                n = graph_get(&c->graph, object_uid(object));
                old = n ? json_incref(n->object) : NULL;
                graph_put(&c->graph, resource, object);
                if (c->whole) {
                        wake_if_needed(c, object);
                        wake_owners(c, object);
                        /* An owner may wait until this object no longer names it. */
                        if (old)
                                wake_owners(c, old);
                }
                return;
        }
        n = graph_get(&c->graph, object_uid(object));
        if (n && n->object && !streq(n->resource->plural, resource->plural))
                return; /* a uid that is not its own */
        graph_remove(&c->graph, object_uid(object));
        manager_on_deleted(c->options.manager, resource, object);
        if (!c->whole)
                return;
        n = graph_get(&c->graph, object_uid(object));
        for (size_t i = 0; n && i < n->count; i++)
                runner_add(c->runner, n->dependents[i]->uid);
        wake_owners(c, object);
        if (*ns && !graph_namespace(&c->graph, ns))
                manager_wake_namespace(c->options.manager, ns);
}

/* How long after a change of what is served that is read again: changes come in rows, but do not
 * put it off without end. changed_us: the first one of the row. */
static uint64_t pause_us(uint64_t changed_us, uint64_t now_us) {
        uint64_t end_us = changed_us + DISCOVER_LATE_US;

        return end_us > now_us ? MIN(end_us - now_us, DISCOVER_SOON_US) : 0;
}

static void discover_after(struct collector *c, uint64_t delay_us) {
        (void)sd_event_source_set_time_relative(c->timer, delay_us);
        (void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static void discover_soon(struct collector *c) {
        uint64_t now_us = now_mono_us();

        if (c->changed_us == 0)
                c->changed_us = now_us;
        discover_after(c, pause_us(c->changed_us, now_us));
}

static void on_event(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct collector *c = userdata;
        const struct api_resource *resource = catalogue_find(
                        &c->catalogue, object_api_version(object), object_kind(object));

        if (!resource)
                return;
        collector_on_change(c, resource, object, event == INFORMER_DELETED);
        if (!streq(resource->plural, "customresourcedefinitions") &&
                        !streq(resource->plural, "apiservices"))
                return;
        if (event == INFORMER_ADDED && streq(resource->plural, "customresourcedefinitions"))
                c->catalogue.outdated = true;
        if (c->call)
                c->again = true;
        else
                discover_soon(c);
}

/* --- when everything is known --- */

static void maybe_whole(struct collector *c) {
        if (c->whole || !c->discovered || !c->world_synced)
                return;
        for (size_t i = 0; i < c->catalogue.count; i++)
                if (c->catalogue.items[i]->informer && !c->impatient &&
                                !informer_is_synced(c->catalogue.items[i]->informer))
                        return;
        c->whole = true;
        c->patience = sd_event_source_disable_unref(c->patience);
        log_debug("The owner graph is complete: %zu objects of %zu kinds", map_size(c->graph.nodes),
                        c->catalogue.count);
        map_foreach (c->graph.nodes, e) {
                const struct graph_node *n = map_entry_value(e);

                if (n->object)
                        wake_if_needed(c, n->object);
        }
        manager_set_graph(c->options.manager, &c->graph, &c->catalogue);
        runner_set_leading(c->runner, c->leading);
}

static int on_impatient(sd_event_source *source, uint64_t usec, void *userdata) {
        struct collector *c = userdata;

        for (size_t i = 0; i < c->catalogue.count; i++)
                if (c->catalogue.items[i]->informer &&
                                !informer_is_synced(c->catalogue.items[i]->informer))
                        log_warning("The objects of %s.%s cannot be listed; garbage is collected "
                                    "without them",
                                        c->catalogue.items[i]->resource.plural,
                                        c->catalogue.items[i]->resource.group);
        c->impatient = true;
        maybe_whole(c);
        return 0;
}

static void on_synced(struct informer *i, void *userdata) {
        struct collector *c = userdata;

        maybe_whole(c);
        /* Objects of a new kind may have come and gone before it was watched. */
        for (size_t n = 0; n < c->catalogue.count; n++)
                if (c->catalogue.items[n]->informer == i)
                        manager_on_deleted(c->options.manager, &c->catalogue.items[n]->resource,
                                        /* object= */ NULL);
}

void collector_on_world_synced(struct collector *c) {
        c->world_synced = true;
        maybe_whole(c);
}

static void watch_kinds(struct collector *c) {
        for (size_t i = 0; i < c->catalogue.count; i++) {
                struct served *s = c->catalogue.items[i];
                struct informer_options options = {.resource = &s->resource,
                                .metadata_only = true,
                                .objects_max = OBJECTS_MAX,
                                .on_event = on_event,
                                .on_synced = on_synced,
                                .userdata = c};

                if (!s->present && s->informer) {
                        s->informer = informer_free(s->informer);
                        graph_remove_kind(&c->graph, &s->resource);
                }
                if (!s->present || !s->watched || s->informer ||
                                manager_watches(c->options.manager, &s->resource))
                        continue;
                if (informer_new(&s->informer, c->options.client, &options) < 0)
                        log_oom();
        }
}

/* --- discovery --- */

static void discover(struct collector *c, const char *path);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct collector *c = userdata;

        if (c->call || !c->leading)
                return 0;
        c->changed_us = 0;
        discover(c, "/api");
        return 0;
}

/* Takes the second half of a discovery: both together are the catalogue. */
static int take_discovery(struct collector *c, const json_t *groups) {
        _cleanup_json_ json_t *core = TAKE_PTR(c->core);
        int r;

        catalogue_begin(&c->catalogue);
        r = catalogue_read(&c->catalogue, core);
        if (r < 0)
                return r;
        r = catalogue_read(&c->catalogue, groups);
        if (r < 0)
                return r;
        if (!c->discovered && sd_event_add_time_relative(c->options.event, &c->patience,
                                              CLOCK_MONOTONIC, FIRST_LISTS_US, 0, on_impatient,
                                              c) < 0)
                log_oom();
        c->discovered = true;
        c->catalogue.outdated = c->again;
        watch_kinds(c);
        if (c->whole) /* namespaces that waited for a server */
                manager_set_graph(c->options.manager, &c->graph, &c->catalogue);
        maybe_whole(c);
        return 0;
}

/* 1 after the first half of a discovery, 0 after the second. */
static int read_discovery(struct collector *c, const struct http_result *result) {
        _cleanup_json_ json_t *list = NULL;
        int r;

        if (result->error != 0 || result->code != 200)
                return -EPROTO;
        r = json_parse(result->body, result->body_size, 0, &list, NULL);
        if (r < 0)
                return r;
        if (c->core)
                return take_discovery(c, list);
        c->core = TAKE_PTR(list);
        return 1;
}

static void on_discovered(
                struct http_call *call, const struct http_result *result, void *userdata) {
        struct collector *c = userdata;
        int r;

        c->call = NULL;
        api_client_note(c->options.client, result);
        r = read_discovery(c, result);
        if (r < 0) {
                json_decref(c->core);
                c->core = NULL;
                log_debug("Cannot read the list of kinds: %s",
                                result->error < 0 ? strempty(result->error_text)
                                                  : "unexpected answer");
        }
        if (r > 0)
                discover(c, "/apis");
        else {
                discover_after(c, c->again            ? DISCOVER_SOON_US
                                  : r < 0             ? DISCOVER_RETRY_US
                                  : c->catalogue.failed ? DISCOVER_STALE_US
                                                        : DISCOVER_US);
                c->again = false;
        }
}

static void discover(struct collector *c, const char *path) {
        struct http_call_options options = {.method = "GET",
                        .path = path,
                        .accept = ACCEPT,
                        .on_done = on_discovered,
                        .userdata = c};

        if (http_call_start(api_client_http(c->options.client), &options, &c->call) < 0) {
                json_decref(c->core);
                c->core = NULL;
                discover_after(c, DISCOVER_RETRY_US);
        }
}

/* --- life --- */

int collector_set_leading(struct collector *c, bool leading) {
        c->leading = leading;
        if (leading && !c->discovered && !c->call)
                discover_after(c, 0);
        else if (leading)
                discover_after(c, DISCOVER_SOON_US);
        runner_set_leading(c->runner, leading && c->whole);
        return 0;
}

int collector_new(struct collector **ret, const struct collector_options *options) {
        _cleanup_(collector_freep) struct collector *c = calloc(1, sizeof(*c));
        struct runner_options runner = {.event = options->event,
                        .client = options->client,
                        .metrics = options->metrics,
                        .controller = &gc_controller,
                        .world = collector_world,
                        .seen_version = collector_seen,
                        .userdata = c};
        int r;

        if (!c)
                return -ENOMEM;
        c->options = *options;
        c->world.graph = &c->graph;
        c->world.catalogue = &c->catalogue;
        r = graph_init(&c->graph);
        if (r < 0)
                return r;
        r = runner_new(&c->runner, &runner);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        options->event, &c->timer, CLOCK_MONOTONIC, 0, 0, on_timer, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

struct collector *collector_free(struct collector *c) {
        if (!c)
                return NULL;
        http_call_cancel(c->call);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->patience);
        for (size_t i = 0; i < c->catalogue.count; i++)
                informer_free(c->catalogue.items[i]->informer);
        runner_free(c->runner);
        graph_done(&c->graph);
        catalogue_done(&c->catalogue);
        json_decref(c->core);
        free(c);
        return NULL;
}
