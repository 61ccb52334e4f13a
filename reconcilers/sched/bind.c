/* Bindings: a pod is assumed on its node at once, so that the next choice sees it; the request
 * either succeeds and the watch shows it, or fails and the pod is forgotten and tried again. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/sched/internal.h"

struct binding {
        struct scheduler *scheduler;
        struct api_call *call;
        char *key, *uid, *node;
        uint64_t started_us;
};

void scheduler_binding_free(void *p) {
        struct binding *b = p;

        if (!b)
                return;
        api_call_cancel(b->call);
        free(b->key);
        free(b->uid);
        free(b->node);
        free(b);
}

uint64_t scheduler_binding_started_us(const void *p) {
        return ((const struct binding *)p)->started_us;
}

/* The pod needs no further attempt; another one of its name may. */
static void leave_queue(struct scheduler *s, const struct binding *b, const json_t *pod) {
        if (pod && !streq(object_uid(pod), b->uid))
                sched_queue_retry(s->queue, b->key, now_mono_us());
        else
                sched_queue_remove(s->queue, b->key);
}

static void on_refused(struct scheduler *s, const struct binding *b, const json_t *pod, int error,
                const struct problem *p) {
        bool gone = !pod || !streq(object_uid(pod), b->uid);
        bool expected = error == -ESTALE || error == -EAGAIN || error == -ENOENT;

        /* If another scheduler has bound it, its watch event says where. */
        if (gone || !*json_str_or(pod, "spec.nodeName", ""))
                sched_cluster_forget(s->cluster, b->uid);
        if (gone || error == -ENOENT) {
                leave_queue(s, b, pod);
                return;
        }
        metric_add(s->refused_total, 1);
        log_about(expected ? LOG_DEBUG : LOG_WARNING, 0, "Pod", b->key,
                        "Pod %s could not be bound to %s: %s", b->key, b->node,
                        strempty(p->message));
        sched_queue_retry(s->queue, b->key, now_mono_us());
}

static void on_bound(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct binding *b = userdata;
        struct scheduler *s = b->scheduler;
        const json_t *pod = scheduler_pod(s, b->key);

        b->call = NULL;
        map_steal(s->bindings, b->key);
        scheduler_metrics_end(s, b->started_us);
        if (error < 0)
                on_refused(s, b, pod, error, p);
        else {
                metric_add(s->bound_total, 1);
                metric_observe(s->latency, (double)(now_mono_us() - b->started_us) / 1e6);
                leave_queue(s, b, pod);
                log_about(LOG_INFO, 0, "Pod", b->key, "Pod %s is bound to node %s", b->key,
                                b->node);
                if (pod)
                        api_event(s->options.client, pod, "Normal", "Scheduled",
                                        "Successfully assigned %s to %s", b->key, b->node);
        }
        scheduler_binding_free(b);
        scheduler_arm(s);
}

int scheduler_bind(struct scheduler *s, struct sched_pod *pod, const json_t *object,
                const char *node) {
        _cleanup_json_ json_t *body = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}}",
                        "apiVersion", "v1", "kind", "Binding", "metadata", "name",
                        object_name(object), "namespace", object_namespace(object), "uid",
                        object_uid(object), "target", "apiVersion", "v1", "kind", "Node", "name",
                        node);
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), object_namespace(object),
                        object_name(object), "binding", NULL);
        struct binding *b = calloc(1, sizeof(*b));
        int r;

        if (!body || !path || !b) {
                free(b);
                return -ENOMEM;
        }
        *b = (struct binding){.scheduler = s,
                        .key = strdup(sched_pod_key(pod)),
                        .uid = strdup(sched_pod_uid(pod)),
                        .node = strdup(node),
                        .started_us = now_mono_us()};
        assert(b->key && b->uid && b->node && map_set(s->bindings, b->key, b) >= 0);
        /* Before the request: its answer and the watch may come in any order. */
        sched_cluster_nominate(s->cluster, pod, NULL);
        sched_cluster_assume(s->cluster, pod, b->node);
        scheduler_wake(s, SCHED_POD_PLACED, b->node);
        r = api_create_async(s->options.client, path, body, on_bound, b, &b->call);
        if (r < 0) {
                sched_cluster_forget(s->cluster, b->uid);
                map_steal(s->bindings, b->key);
                scheduler_binding_free(b);
        }
        return r;
}
