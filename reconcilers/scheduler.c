/* The way of a pod without a node:
 *
 *      queued --> choose --node--> assumed --> binding --ok--> (its watch event confirms)
 *        ^          | none                        | refused: forgotten, queued with back-off
 *        |          v
 *        '-- parked, until an event one of the refusing plugins named (with back-off)
 *
 * "No node" is not an error: it is reported in the pod's PodScheduled condition and an Event, and
 * costs nothing until something changes. An assumed pod counts on its node at once, so the next
 * choice sees it; its binding either succeeds and the watch shows it, or fails and it is forgotten.
 */
#include "reconcilers/scheduler.h"

#include "lib/client/informer.h"
#include "lib/client/workqueue.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "reconcilers/pods.h"
#include "reconcilers/sched-internal.h"

enum { BINDINGS_PARALLEL_MAX = 32 };
#define RETRY_MIN_US UINT64_C(1000000)
#define RETRY_MAX_US UINT64_C(10000000)
/* A parked pod is tried again even without such an event: a plugin's list of events may be wrong.
 */
#define PARKED_MAX_US (5 * 60 * UINT64_C(1000000))

struct parked {
        uint32_t events;
        unsigned attempts;
};

struct scheduler {
        struct scheduler_options options;
        struct cluster cluster;
        struct informer *pods, *nodes;
        struct workqueue *queue;
        struct map *parked;   /* key -> struct parked */
        struct map *bindings; /* key -> struct binding */
        struct metric *bound_total, *unschedulable_total, *refused_total, *latency;
        bool leading;
};

struct binding {
        struct scheduler *scheduler;
        struct api_call *call;
        char *key, *uid, *node;
        uint64_t started_us;
};

static void binding_free(void *p) {
        struct binding *b = p;

        if (!b)
                return;
        api_call_cancel(b->call);
        free(b->key);
        free(b->uid);
        free(b->node);
        free(b);
}

static bool is_ours(const struct scheduler *s, const json_t *pod) {
        return streq(json_str_or(pod, "spec.schedulerName", "default-scheduler"), s->options.name);
}

static bool wants_a_node(const struct scheduler *s, const json_t *pod) {
        return pod && is_ours(s, pod) && !*json_str_or(pod, "spec.nodeName", "") &&
               pod_is_active(pod) && json_array_size(json_at(pod, "spec.schedulingGates")) == 0;
}

/* --- reporting that there is no node --- */

static void on_told(int error, const json_t *object, const struct problem *p, void *userdata) {
        if (error < 0 && error != -ENOENT && error != -ESTALE)
                log_debug("A PodScheduled condition was not written: %s", strempty(p->message));
}

static void tell_unschedulable(struct scheduler *s, const json_t *pod, const char *message) {
        const json_t *was = object_condition(pod, "PodScheduled");
        _cleanup_json_ json_t *conditions = NULL, *body = NULL;
        _cleanup_free_ char *path = NULL;
        char now[TIMEFMT_SIZE];

        api_event(s->options.client, pod, "Warning", "FailedScheduling", "%s", message);
        if (streq(json_str_or(was, "status", ""), "False") &&
                        streq(json_str_or(was, "message", ""), message))
                return;
        conditions = json_deep_copy(json_at(pod, "status.conditions"));
        if (!conditions)
                conditions = json_array();
        condition_set(conditions, "PodScheduled", "False", "Unschedulable", message,
                        time_format(now_wall_us(), now), false);
        body = json_pack("{s:{s:s}, s:{s:O}}", "metadata", "resourceVersion",
                        json_str_or(pod, "metadata.resourceVersion", ""), "status", "conditions",
                        conditions);
        path = api_path(api_resource(KIND_PODS), object_namespace(pod), object_name(pod), "status",
                        NULL);
        if (body && path)
                (void)api_patch_async(
                                s->options.client, path, API_PATCH_MERGE, body, on_told, s, NULL);
}

static void park(struct scheduler *s, const struct sched_pod *pod, const struct reasons *why) {
        struct parked *p = map_get(s->parked, pod->key);
        _cleanup_free_ char *message = sched_message(&s->cluster, why);

        if (!p) {
                p = calloc(1, sizeof(*p));
                assert(p && map_set(s->parked, pod->key, p) >= 0);
        }
        p->events = why->events;
        p->attempts++;
        metric_add(s->unschedulable_total, 1);
        log_debug("No node for pod %s: %s", pod->key, strempty(message));
        tell_unschedulable(s, pod->object, strempty(message));
}

static uint64_t retry_delay(unsigned attempts) {
        uint64_t d = RETRY_MIN_US << MIN(attempts > 0 ? attempts - 1 : 0u, 10u);

        return MIN(d, RETRY_MAX_US);
}

/* An event that may make parked pods schedulable. The first retry is immediate, so that a node that
 * has just joined is used without delay. */
static void unpark(struct scheduler *s, uint32_t events) {
        map_foreach (s->parked, e) {
                const struct parked *p = map_entry_value(e);

                if (!(p->events & events))
                        continue;
                if (p->attempts <= 1)
                        workqueue_add(s->queue, map_entry_key(e));
                else
                        workqueue_add_after(
                                        s->queue, map_entry_key(e), retry_delay(p->attempts - 1));
        }
}

/* --- binding --- */

static void on_bound(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct binding *b = userdata;
        struct scheduler *s = b->scheduler;
        const json_t *pod = informer_get(s->pods, b->key);

        b->call = NULL;
        map_steal(s->bindings, b->key);
        if (error == 0) {
                metric_add(s->bound_total, 1);
                metric_observe(s->latency, (double)(now_mono_us() - b->started_us) / 1e6);
                map_remove(s->parked, b->key);
                if (pod)
                        api_event(s->options.client, pod, "Normal", "Scheduled",
                                        "Successfully assigned %s to %s", b->key, b->node);
        } else {
                bool gone = !pod || !streq(object_uid(pod), b->uid);

                /* If another scheduler has bound it, its watch event says where. */
                if (gone || !*json_str_or(pod, "spec.nodeName", ""))
                        cluster_forget(&s->cluster, b->uid);
                if (!gone) {
                        metric_add(s->refused_total, 1);
                        log_full(error == -ESTALE || error == -EAGAIN || error == -ENOENT
                                                        ? LOG_DEBUG
                                                        : LOG_WARNING,
                                        0, NULL, "Pod %s could not be bound to %s: %s", b->key,
                                        b->node, strempty(p->message));
                }
        }
        workqueue_done(s->queue, b->key, error == -ENOENT ? 0 : error, 0);
        binding_free(b);
}

static int bind_pod(struct scheduler *s, const struct sched_pod *pod, const char *node) {
        _cleanup_json_ json_t *body = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}}",
                        "apiVersion", "v1", "kind", "Binding", "metadata", "name",
                        object_name(pod->object), "namespace", object_namespace(pod->object), "uid",
                        pod->uid, "target", "apiVersion", "v1", "kind", "Node", "name", node);
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), object_namespace(pod->object),
                        object_name(pod->object), "binding", NULL);
        struct binding *b = calloc(1, sizeof(*b));
        int r;

        if (!body || !path || !b) {
                free(b);
                return -ENOMEM;
        }
        *b = (struct binding){.scheduler = s,
                        .key = strdup(pod->key),
                        .uid = strdup(pod->uid),
                        .node = strdup(node),
                        .started_us = now_mono_us()};
        assert(b->key && b->uid && b->node && map_set(s->bindings, b->key, b) >= 0);
        /* Before the request: its answer and the watch may come in any order. */
        cluster_assume(&s->cluster, pod->object, node);
        r = api_create_async(s->options.client, path, body, on_bound, b, &b->call);
        if (r < 0) {
                cluster_forget(&s->cluster, b->uid);
                map_steal(s->bindings, b->key);
                binding_free(b);
        }
        return r;
}

static void work(struct workqueue *q, const char *key, void *userdata) {
        struct scheduler *s = userdata;
        const json_t *object = informer_get(s->pods, key);
        _cleanup_(sched_pod_freep) struct sched_pod *pod = NULL;
        const struct sched_pod *counted;
        const struct sched_node *node;
        struct reasons why;
        int r;

        if (!wants_a_node(s, object)) {
                map_remove(s->parked, key);
                workqueue_done(q, key, 0, 0);
                return;
        }
        counted = map_get(s->cluster.pods, object_uid(object));
        if (counted) { /* bound already; the watch lags */
                workqueue_done(q, key, 0, 0);
                return;
        }
        assert(reasons_init(&why) >= 0);
        pod = sched_pod_new(&s->cluster, object);
        node = sched_choose(&s->cluster, pod, random_u64(), &why);
        if (node) {
                r = bind_pod(s, pod, node->name);
                if (r < 0)
                        workqueue_done(q, key, r, 0);
        } else {
                park(s, pod, &why);
                workqueue_done(q, key, 0, PARKED_MAX_US);
        }
        reasons_done(&why);
}

/* --- events --- */

static void on_pod(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct scheduler *s = userdata;
        _cleanup_free_ char *key = object_key(object);
        bool had_node, has_node;

        assert(key);
        had_node = map_get(s->cluster.pods, object_uid(object));
        if (event == INFORMER_DELETED) {
                cluster_remove_pod(&s->cluster, object);
                map_remove(s->parked, key);
                if (had_node)
                        unpark(s, SCHED_POD_GONE);
                return;
        }
        cluster_put_pod(&s->cluster, object);
        has_node = map_get(s->cluster.pods, object_uid(object));
        if (had_node && !has_node)
                unpark(s, SCHED_POD_GONE);
        if (!wants_a_node(s, object))
                return;
        /* The watch event of our own condition is not a reason to try again. */
        if (!old || !map_get(s->parked, key) ||
                        !json_equal(json_object_get(old, "spec"), json_object_get(object, "spec")))
                workqueue_add(s->queue, key);
}

static void on_node(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct scheduler *s = userdata;
        uint32_t events;

        if (event == INFORMER_DELETED) {
                cluster_remove_node(&s->cluster, object);
                return;
        }
        cluster_put_node(&s->cluster, object);
        events = sched_node_events(old, object);
        if (events)
                unpark(s, events);
}

static void apply_leading(struct scheduler *s) {
        workqueue_set_paused(s->queue, !s->leading || !scheduler_is_synced(s));
}

static void on_synced(struct informer *i, void *userdata) {
        apply_leading(userdata);
}

bool scheduler_is_synced(const struct scheduler *s) {
        return s->pods && s->nodes && informer_is_synced(s->pods) && informer_is_synced(s->nodes);
}

int scheduler_set_leading(struct scheduler *s, bool leading) {
        struct informer_options options = {.on_synced = on_synced, .userdata = s};
        int r;

        s->leading = leading;
        if (leading && !s->nodes) {
                options.resource = api_resource(KIND_NODES);
                options.on_event = on_node;
                r = informer_new(&s->nodes, s->options.client, &options);
                if (r < 0)
                        return r;
        }
        if (leading && !s->pods) {
                options.resource = api_resource(KIND_PODS);
                options.on_event = on_pod;
                r = informer_new(&s->pods, s->options.client, &options);
                if (r < 0)
                        return r;
        }
        apply_leading(s);
        return 0;
}

/* --- life --- */

static int make_metrics(struct scheduler *s) {
        struct metrics *m = s->options.metrics;

        s->bound_total = metrics_counter(
                        m, "keelson_scheduler_bound_total", "", "Pods bound to a node.");
        s->unschedulable_total = metrics_counter(m, "keelson_scheduler_unschedulable_total", "",
                        "Times that no node was found for a pod.");
        s->refused_total = metrics_counter(
                        m, "keelson_scheduler_refused_total", "", "Bindings that the API refused.");
        s->latency = metrics_histogram(m, "keelson_scheduler_binding_seconds", "",
                        "Time from the choice of a node to the answer to its binding.");
        return s->bound_total && s->unschedulable_total && s->refused_total && s->latency ? 0
                                                                                          : -ENOMEM;
}

int scheduler_new(struct scheduler **ret, const struct scheduler_options *options) {
        _cleanup_(scheduler_freep) struct scheduler *s = calloc(1, sizeof(*s));
        struct workqueue_options queue = {.parallel_max = BINDINGS_PARALLEL_MAX,
                        .backoff_min_us = RETRY_MIN_US / 10,
                        .backoff_max_us = RETRY_MAX_US,
                        .work = work,
                        .userdata = s};
        int r;

        if (!s)
                return -ENOMEM;
        s->options = *options;
        s->parked = map_new(free);
        s->bindings = map_new(binding_free);
        if (!s->parked || !s->bindings || cluster_init(&s->cluster) < 0)
                return -ENOMEM;
        r = make_metrics(s);
        if (r < 0)
                return r;
        r = workqueue_new(&s->queue, options->event, &queue);
        if (r < 0)
                return r;
        workqueue_set_paused(s->queue, true);
        *ret = TAKE_PTR(s);
        return 0;
}

struct scheduler *scheduler_free(struct scheduler *s) {
        if (!s)
                return NULL;
        map_free(s->bindings);
        informer_free(s->pods);
        informer_free(s->nodes);
        workqueue_free(s->queue);
        map_free(s->parked);
        cluster_done(&s->cluster);
        free(s);
        return NULL;
}
