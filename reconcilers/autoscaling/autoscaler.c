/* The driver of the HorizontalPodAutoscalers; see autoscaler.h. A turn is one autoscaler in one
 * round; at most TURNS_MAX are under way. Whatever fails is tried again in the next round. */
#include "reconcilers/autoscaling/autoscaler.h"

#include "lib/client/informer.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"
#include "reconcilers/graph.h"
#include "reconcilers/jsondiff.h"

enum { TURNS_MAX = 16 };

/* What is kept of an autoscaler between rounds. */
struct kept {
        char *uid;
        struct hpa_history history;
};

struct turn {
        struct autoscaler *autoscaler;
        char *key, *path; /* of the autoscaler; of the target's scale */
        json_t *hpa, *scale;
        struct objects pods, autoscalers; /* of the target; only while it is decided */
        struct hpa_input in;
        struct hpa_decision decision;
        struct api_call *call;
};

struct autoscaler {
        struct autoscaler_options options;
        sd_event_source *timer;
        bool leading;
        struct map *kept; /* "namespace/name" -> struct kept */
        /* The round. */
        struct api_call *call; /* the list of metrics */
        json_t *list;
        struct map *metrics; /* borrows from list */
        char *metrics_error;
        VECTOR(char *) waiting; /* keys, the next one last */
        struct map *turns;      /* key -> struct turn, those under way */
        bool starting;          /* turns: one that ends at once does not continue the round */
};

static void kept_free(void *p) {
        struct kept *k = p;

        free(k->uid);
        hpa_history_done(&k->history);
        free(k);
}

static void turn_free(void *p) {
        struct turn *t = p;

        api_call_cancel(t->call);
        hpa_decision_done(&t->decision);
        objects_done(&t->pods);
        objects_done(&t->autoscalers);
        json_decref(t->hpa);
        json_decref(t->scale);
        free(t->key);
        free(t->path);
        free(t);
}

static bool round_is_running(const struct autoscaler *a) {
        return a->call || a->list || a->metrics_error;
}

static void round_end(struct autoscaler *a) {
        a->call = api_call_cancel(a->call);
        map_clear(a->turns);
        map_clear(a->metrics);
        for (size_t i = 0; i < a->waiting.count; i++)
                free(a->waiting.items[i]);
        a->waiting.count = 0;
        json_decref(TAKE_PTR(a->list));
        a->metrics_error = mfree(a->metrics_error);
}

static void round_continue(struct autoscaler *a);

static void turn_end(struct turn *t) {
        struct autoscaler *a = t->autoscaler;

        assert(!t->call);
        (void)map_remove(a->turns, t->key);
        if (!a->starting)
                round_continue(a);
}

/* --- a turn --- */

static struct hpa_history *history_of(struct turn *t) {
        struct map *kept = t->autoscaler->kept;
        struct kept *k = map_get(kept, t->key);

        if (k && streq(k->uid, object_uid(t->hpa)))
                return &k->history;
        k = calloc(1, sizeof(*k));
        assert(k);
        k->uid = strdup(object_uid(t->hpa));
        assert(k->uid && map_set(kept, t->key, k) >= 0);
        return &k->history;
}

static void on_status(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct turn *t = userdata;

        t->call = NULL;
        if (error < 0)
                log_debug("The status of autoscaler %s was not written: %s", t->key,
                                strempty(p ? p->message : NULL));
        turn_end(t);
}

/* Sends events, and the status where it has changed. */
static void turn_report(struct turn *t) {
        struct api_client *client = t->autoscaler->options.client;
        _cleanup_json_ json_t *diff = json_merge_diff(json_object_get(t->hpa, "status"),
                                              t->decision.status),
                              *body = NULL;
        _cleanup_free_ char *path = NULL;
        const json_t *event;
        size_t i;

        json_array_foreach (t->decision.events, i, event)
                api_event(client, t->hpa, json_str_or(event, "type", ""),
                                json_str_or(event, "reason", ""), "%s",
                                json_str_or(event, "message", ""));
        assert(diff);
        if (json_object_size(diff) == 0) {
                turn_end(t);
                return;
        }
        body = json_pack("{s:{s:s}, s:O}", "metadata", "resourceVersion",
                        json_str_or(t->hpa, "metadata.resourceVersion", ""), "status", diff);
        path = api_path(api_resource(KIND_HORIZONTALPODAUTOSCALERS), object_namespace(t->hpa),
                        object_name(t->hpa), "status", NULL);
        if (!body || !path ||
                        api_patch_async(client, path, API_PATCH_MERGE, body, on_status, t,
                                        &t->call) < 0)
                turn_end(t);
}

static void on_rescaled(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct turn *t = userdata;

        t->call = NULL;
        hpa_rescaled(&t->decision, &t->in, history_of(t),
                        error < 0 ? (p && p->message ? p->message : strerror(-error)) : NULL);
        turn_report(t);
}

static int write_scale(struct turn *t) {
        _cleanup_json_ json_t *body = json_deep_copy(t->scale);
        int r = body ? json_set_int(body, "spec.replicas", t->decision.replicas) : -ENOMEM;

        if (r < 0)
                return r;
        return api_update_async(
                        t->autoscaler->options.client, t->path, body, on_rescaled, t, &t->call);
}

static void turn_rescale(struct turn *t) {
        int r = write_scale(t);

        log_debug("autoscaler %s: %lld -> %lld pods, %s", t->key, (long long)t->decision.current,
                        (long long)t->decision.replicas, t->decision.why);
        if (r < 0)
                on_rescaled(r, NULL, NULL, t);
}

static void select_pods(struct turn *t, const struct world *w) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_objects_ struct objects all = {0};
        _cleanup_problem_ struct problem p = {0};
        const char *text = json_str_or(t->scale, "status.selector", "");

        if (!*text || label_selector_parse(text, &selector, &p) < 0)
                return; /* the decision says so */
        world_list(w, WORLD_PODS_BY_NS, object_namespace(t->hpa), &all);
        for (size_t i = 0; i < all.count; i++)
                if (label_selector_matches(selector, json_at(all.items[i], "metadata.labels")))
                        objects_add(&t->pods, all.items[i]);
}

static void find_autoscalers(struct turn *t, const struct world *w) {
        char buffer[INFORMER_INDEX_VALUE_MAX];

        world_list(w, WORLD_AUTOSCALERS_BY_TARGET,
                        world_indexes[WORLD_AUTOSCALERS_BY_TARGET].func(
                                        t->hpa, buffer, sizeof(buffer)),
                        &t->autoscalers);
}

static void turn_decide(struct turn *t, const char *scale_error) {
        struct autoscaler *a = t->autoscaler;
        const struct world *w = manager_world(a->options.manager);

        select_pods(t, w);
        find_autoscalers(t, w);
        t->in = (struct hpa_input){.hpa = t->hpa,
                        .scale = t->scale,
                        .scale_error = scale_error,
                        .pods = &t->pods,
                        .autoscalers = &t->autoscalers,
                        .metrics = a->metrics,
                        .metrics_error = a->metrics_error,
                        .config = &a->options.config,
                        .now_us = w->now_us,
                        .mono_us = w->mono_us};
        hpa_decide(&t->in, history_of(t), &t->decision);
        if (t->decision.rescale)
                turn_rescale(t);
        else
                turn_report(t);
}

static void on_scale(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct turn *t = userdata;

        t->call = NULL;
        if (error >= 0 && !json_is_object(json_object_get(object, "spec")))
                error = -EPROTO;
        if (error >= 0)
                t->scale = json_ref(object);
        turn_decide(t, error < 0 ? (p && p->message ? p->message : strerror(-error)) : NULL);
}

/* The kind of the target. NULL with the reason in *ret_error (caller frees), or without one while
 * the catalogue of kinds is not there yet. */
static const struct api_resource *target_kind(
                const struct world *w, const json_t *ref, char **ret_error) {
        const char *api_version = json_str_or(ref, "apiVersion", "v1"),
                   *kind = json_str_or(ref, "kind", "");
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        const struct kind_facts *facts;
        const struct api_resource *found;

        if (object_split_api_version(api_version, group, version) < 0) {
                *ret_error = strformat(
                                "invalid API version in scale target reference: %s", api_version);
                return NULL;
        }
        facts = kind_facts_by_kind(group, kind);
        if (facts)
                return &facts->resource;
        if (!w->catalogue)
                return NULL;
        found = catalogue_find(w->catalogue, api_version, kind);
        if (!found)
                *ret_error = strformat("no matches for kind \"%s\" in group \"%s\"", kind, group);
        return found;
}

/* The turn may have ended when this returns. */
static void turn_begin(struct autoscaler *a, const char *key) {
        const struct world *w = manager_world(a->options.manager);
        const json_t *hpa = world_get_key(w, WORLD_AUTOSCALERS, key), *ref;
        _cleanup_free_ char *error = NULL;
        const struct api_resource *resource;
        struct turn *t;
        int r;

        if (!hpa || object_is_deleting(hpa))
                return;
        ref = json_at(hpa, "spec.scaleTargetRef");
        resource = target_kind(w, ref, &error);
        if (!resource && !error)
                return;
        t = calloc(1, sizeof(*t));
        assert(t);
        *t = (struct turn){.autoscaler = a, .key = strdup(key), .hpa = json_ref(hpa)};
        assert(t->key && map_set(a->turns, t->key, t) >= 0);
        if (!resource) {
                turn_decide(t, error);
                return;
        }
        t->path = api_path(resource, object_namespace(hpa), json_str_or(ref, "name", ""), "scale",
                        NULL);
        r = t->path ? api_get_async(a->options.client, t->path, on_scale, t, &t->call) : -ENOMEM;
        if (r < 0)
                on_scale(r, NULL, NULL, t);
}

/* --- a round --- */

static void round_continue(struct autoscaler *a) {
        a->starting = true;
        while (a->waiting.count > 0 && map_size(a->turns) < TURNS_MAX) {
                _cleanup_free_ char *key = a->waiting.items[--a->waiting.count];

                turn_begin(a, key);
        }
        a->starting = false;
        if (a->waiting.count == 0 && map_size(a->turns) == 0)
                round_end(a);
}

/* Every autoscaler has a turn; histories of those that are gone are dropped. */
static void round_fill(struct autoscaler *a) {
        const struct world *w = manager_world(a->options.manager);
        _cleanup_objects_ struct objects all = {0};

        world_all(w, WORLD_AUTOSCALERS, &all);
        for (size_t i = 0; i < all.count; i++) {
                char *key = object_key(all.items[i]);

                assert(key && vector_append(&a->waiting, key) >= 0);
        }
        map_foreach (a->kept, e)
                if (!world_get_key(w, WORLD_AUTOSCALERS, map_entry_key(e)))
                        kept_free(map_steal(a->kept, map_entry_key(e)));
}

static void index_metrics(struct autoscaler *a) {
        const json_t *item;
        size_t i;

        json_array_foreach (json_object_get(a->list, "items"), i, item) {
                _cleanup_free_ char *key = object_key(item);

                assert(key && map_set(a->metrics, key, json_unconst(item)) >= 0);
        }
}

static void on_metrics(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct autoscaler *a = userdata;

        a->call = NULL;
        if (error < 0) {
                a->metrics_error = strformat("unable to fetch metrics from resource metrics API: "
                                             "%s",
                                p && p->message ? p->message : strerror(-error));
                assert(a->metrics_error);
        } else {
                a->list = json_ref(object);
                index_metrics(a);
        }
        round_fill(a);
        round_continue(a);
}

static void round_begin(struct autoscaler *a) {
        _cleanup_objects_ struct objects all = {0};
        _cleanup_free_ char *path = NULL;
        int r;

        if (!a->leading || !manager_is_synced(a->options.manager) || round_is_running(a))
                return;
        world_all(manager_world(a->options.manager), WORLD_AUTOSCALERS, &all);
        if (all.count == 0) {
                map_clear(a->kept);
                return;
        }
        path = api_path(api_resource(KIND_METRICS_PODS), NULL, NULL, NULL, NULL);
        r = path ? api_get_async(a->options.client, path, on_metrics, a, &a->call) : -ENOMEM;
        if (r < 0)
                on_metrics(r, NULL, NULL, a);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct autoscaler *a = userdata;

        (void)sd_event_source_set_time_relative(s, a->options.period_us);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        round_begin(a);
        return 0;
}

/* --- life --- */

int autoscaler_new(struct autoscaler **ret, const struct autoscaler_options *options) {
        _cleanup_(autoscaler_freep) struct autoscaler *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->options = *options;
        a->kept = map_new(kept_free);
        a->metrics = map_new(NULL);
        a->turns = map_new(turn_free);
        if (!a->kept || !a->metrics || !a->turns)
                return -ENOMEM;
        r = sd_event_add_time_relative(options->event, &a->timer, CLOCK_MONOTONIC,
                        options->period_us, 0, on_timer, a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

struct autoscaler *autoscaler_free(struct autoscaler *a) {
        if (!a)
                return NULL;
        sd_event_source_disable_unref(a->timer);
        if (a->turns && a->metrics)
                round_end(a);
        vector_done(&a->waiting);
        map_free(a->turns);
        map_free(a->metrics);
        map_free(a->kept);
        return mfree(a);
}

void autoscaler_set_leading(struct autoscaler *a, bool leading) {
        a->leading = leading;
        if (leading)
                return;
        round_end(a);
        map_clear(a->kept);
}
