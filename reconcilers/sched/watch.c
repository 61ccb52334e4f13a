/* The API's events: what they change in the cluster and in the queue, and which parked pods they
 * may unblock. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/pods.h"
#include "reconcilers/sched/internal.h"

const json_t *scheduler_pod(const struct scheduler *s, const char *key) {
        return informer_get(s->watches[WATCH_PODS], key);
}

const struct sched_profile *scheduler_profile_of(const struct scheduler *s, const json_t *pod) {
        if (!pod || *json_str_or(pod, "spec.nodeName", "") || !pod_is_active(pod) ||
                        json_array_size(json_at(pod, "spec.schedulingGates")) > 0)
                return NULL;
        return sched_profile_for(
                        s->cluster, json_str_or(pod, "spec.schedulerName", "default-scheduler"));
}

/* --- waking --- */

void scheduler_wakes_done(struct scheduler *s) {
        for (size_t i = 0; i < s->wake_count; i++)
                free(s->wakes[i].node);
        s->wake_count = 0;
}

/* Collected, for many events come at once. Too many are one that may have happened anywhere. */
void scheduler_wake(struct scheduler *s, uint32_t events, const char *node) {
        if (events == 0)
                return;
        for (size_t i = 0; i < s->wake_count; i++)
                if (streq_ptr(s->wakes[i].node, node)) {
                        s->wakes[i].events |= events;
                        return;
                }
        if (s->wake_count == WAKES_MAX) {
                for (size_t i = 0; i < s->wake_count; i++)
                        events |= s->wakes[i].events;
                scheduler_wakes_done(s);
                node = NULL;
        }
        s->wakes[s->wake_count].events = events;
        s->wakes[s->wake_count].node = node ? strdup(node) : NULL;
        assert(!node || s->wakes[s->wake_count].node);
        s->wake_count++;
        scheduler_arm(s);
}

struct hint {
        struct scheduler *scheduler;
        const char *node;
};

/* Whether what happened on a node may help a pod: not when the node itself does not suit it. A pod
 * that other pods keep away, or that waits for a claim of theirs, may be helped from anywhere. The
 * node may be refused for another reason than before: one that is ready again has its taint a
 * moment longer. */
static bool may_help(const char *key, void *payload, uint32_t *waits_for, void *userdata) {
        const struct hint *h = userdata;

        if (!payload || !h->node || (*waits_for & (SCHED_POD_PLACED | SCHED_ANYWHERE)) ||
                        sched_node_may_fit(h->scheduler->cluster, payload, h->node))
                return true;
        *waits_for |= SCHED_NODE_ADDED | SCHED_NODE_LABELS | SCHED_NODE_TAINTS;
        return false;
}

void scheduler_apply_wakes(struct scheduler *s) {
        for (size_t i = 0; i < s->wake_count; i++) {
                struct hint hint = {s, s->wakes[i].node};

                sched_queue_wake(s->queue, s->wakes[i].events, now_mono_us(), may_help, &hint);
        }
        scheduler_wakes_done(s);
}

/* --- pods --- */

static bool spec_changed(const json_t *old, const json_t *pod) {
        return !json_same(json_at(old, "spec"), json_at(pod, "spec")) ||
               !json_same(json_at(old, "metadata.labels"), json_at(pod, "metadata.labels"));
}

/* A pod that had a node promised is gone or on another node: the room is for others. */
static void wake_promised(struct scheduler *s, const json_t *old, bool gone, const json_t *pod) {
        const char *promised = json_str_or(old, "status.nominatedNodeName", ""),
                   *on = json_str_or(pod, "spec.nodeName", "");

        if (!*promised || *json_str_or(old, "spec.nodeName", ""))
                return;
        if (gone || pod_is_finished(pod) || (*on && !streq(on, promised)))
                scheduler_wake(s, SCHED_POD_GONE, promised);
}

static void on_pod(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *pod, void *userdata) {
        struct scheduler *s = userdata;
        _cleanup_free_ char *key = object_key(pod), *node = NULL;
        const char *on = sched_cluster_node_of(s->cluster, object_uid(pod));
        uint32_t events;

        assert(key);
        node = on ? strdup(on) : NULL; /* the change below may free it */
        events = event == INFORMER_DELETED ? sched_cluster_remove_pod(s->cluster, pod)
                                           : sched_cluster_put_pod(s->cluster, pod);
        scheduler_wake(s, events, node);
        wake_promised(s, event == INFORMER_DELETED ? pod : old, event == INFORMER_DELETED, pod);
        if (event == INFORMER_DELETED || !scheduler_profile_of(s, pod)) {
                if (!map_get(s->bindings, key) && !map_get(s->waiting, key))
                        sched_queue_remove(s->queue, key);
                return;
        }
        /* The watch event of our own condition is not a reason to try again. */
        if (!old || !sched_queue_has(s->queue, key) || spec_changed(old, pod))
                sched_queue_put(s->queue, key, (int32_t)json_int_or(pod, "spec.priority", 0),
                                now_mono_us());
        scheduler_arm(s);
}

/* --- the others --- */

static void on_node(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *node, void *userdata) {
        struct scheduler *s = userdata;

        if (event == INFORMER_DELETED) {
                sched_cluster_remove_node(s->cluster, node);
                /* Without its domain pods may be spread well enough elsewhere. */
                scheduler_wake(s, SCHED_NODE_LABELS, NULL);
        } else
                scheduler_wake(s, sched_cluster_put_node(s->cluster, node), object_name(node));
}

static void on_namespace(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *ns, void *userdata) {
        struct scheduler *s = userdata;

        if (event == INFORMER_DELETED)
                sched_cluster_remove_namespace(s->cluster, ns);
        else
                scheduler_wake(s, sched_cluster_put_namespace(s->cluster, ns), NULL);
}

static void on_budget(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *budget, void *userdata) {
        struct scheduler *s = userdata;

        if (event == INFORMER_DELETED)
                sched_cluster_remove_budget(s->cluster, budget);
        else
                sched_cluster_put_budget(s->cluster, budget);
}

static void on_claim(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *claim, void *userdata) {
        struct scheduler *s = userdata;

        if (event == INFORMER_DELETED)
                sched_cluster_remove_claim(s->cluster, claim);
        else
                scheduler_wake(s, sched_cluster_put_claim(s->cluster, claim), NULL);
        scheduler_arm(s);
}

static void on_volume(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *volume, void *userdata) {
        struct scheduler *s = userdata;

        if (event == INFORMER_DELETED)
                sched_cluster_remove_volume(s->cluster, volume);
        else
                scheduler_wake(s, sched_cluster_put_volume(s->cluster, volume), NULL);
}

static void on_storage_class(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *class, void *userdata) {
        struct scheduler *s = userdata;

        if (event == INFORMER_DELETED)
                sched_cluster_remove_storage_class(s->cluster, class);
        else
                scheduler_wake(s, sched_cluster_put_storage_class(s->cluster, class), NULL);
}

static void on_synced(struct informer *i, void *userdata) {
        scheduler_arm(userdata);
}

static const struct {
        enum kind_id kind;
        void (*on_event)(struct informer *i, enum informer_event event, const json_t *old,
                        const json_t *object, void *userdata);
} watched[WATCHES] = {
                [WATCH_NODES] = {KIND_NODES, on_node},
                [WATCH_PODS] = {KIND_PODS, on_pod},
                [WATCH_NAMESPACES] = {KIND_NAMESPACES, on_namespace},
                [WATCH_BUDGETS] = {KIND_PODDISRUPTIONBUDGETS, on_budget},
                [WATCH_CLAIMS] = {KIND_PERSISTENTVOLUMECLAIMS, on_claim},
                [WATCH_VOLUMES] = {KIND_PERSISTENTVOLUMES, on_volume},
                [WATCH_STORAGE_CLASSES] = {KIND_STORAGECLASSES, on_storage_class},
};

int scheduler_watch(struct scheduler *s) {
        for (size_t i = 0; i < WATCHES; i++) {
                struct informer_options options = {.resource = api_resource(watched[i].kind),
                                .on_event = watched[i].on_event,
                                .on_synced = on_synced,
                                .userdata = s};
                int r;

                if (s->watches[i])
                        continue;
                r = informer_new(&s->watches[i], s->options.client, &options);
                if (r < 0)
                        return r;
        }
        return 0;
}
