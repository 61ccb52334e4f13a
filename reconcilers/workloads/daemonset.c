/* DaemonSet: one pod on each node that the template allows. Without a surge an old pod is deleted
 * before the new one is made; with one the new pod runs beside the old one until it is available.
 *
 * A failed pod is replaced after a pause that doubles with each failure on that node (1 s up to 15
 * minutes). The number of failures is an annotation of the pods, so that a new leader continues
 * where the last one stopped. */
#include "lib/object.h"
#include "reconcilers/workloads/daemonset-internal.h"

#define BACKOFF_BASE_US UINT64_C(1000000)
#define BACKOFF_MAX_US (900 * UINT64_C(1000000))
/* A pod that ran this long has not failed again and again. */
#define BACKOFF_RESET_US (1800 * UINT64_C(1000000))

enum { BURST_MAX = 250, DOUBLINGS_MAX = 20 };

static bool judged_alike(const json_t *old, const json_t *node) {
        static const char *const looked_at[] = {"metadata.labels", "spec.taints"};

        for (size_t i = 0; i < ELEMENTS(looked_at); i++) {
                const json_t *a = json_at(old, looked_at[i]), *b = json_at(node, looked_at[i]);

                if (a != b && (!a || !b || !json_equal(json_unconst(a), json_unconst(b))))
                        return false;
        }
        return true;
}

static void daemonset_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        switch (kind) {
        case WORLD_DAEMONSETS:
                wake_object(out, object);
                break;
        case WORLD_PODS:
        case WORLD_REVISIONS:
                if (old)
                        wake_controller(out, old, "apps", "DaemonSet");
                wake_controller(out, object, "apps", "DaemonSet");
                wake_selecting(w, out, WORLD_DAEMONSETS_BY_NS, object);
                break;
        case WORLD_NODES:
                if (gone || !old || !judged_alike(old, object)) {
                        _cleanup_objects_ struct objects all = {0};

                        world_all(w, WORLD_DAEMONSETS, &all);
                        for (size_t i = 0; i < all.count; i++)
                                wake_object(out, all.items[i]);
                }
                wake_owners_of_node_pods(w, out, old, object, gone, "apps", "DaemonSet");
                break;
        default:
                break;
        }
}

static uint64_t ended_at(const json_t *pod) {
        uint64_t latest = 0;
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(pod, "status.containerStatuses"), i, c)
                latest = MAX(latest, time_at(c, "state.terminated.finishedAt"));
        return latest ? latest : object_created_us(pod);
}

/* Failures on the node up to this failed pod, and when it is replaced. */
static int64_t failures_with(const json_t *pod, uint64_t now_us, uint64_t *ret_due_us) {
        uint64_t ended = ended_at(pod), created = object_created_us(pod), pause;
        int64_t before;

        /* The node's clock is ahead: no wait until that time. */
        if (ended > now_us)
                ended = MIN(created, now_us);
        before = ended > created && ended - created >= BACKOFF_RESET_US ? 0 : daemon_failures(pod);
        pause = BACKOFF_BASE_US << MIN(before, (int64_t)DOUBLINGS_MAX);
        *ret_due_us = ended + MIN(pause, BACKOFF_MAX_US);
        return before + 1;
}

static void create_on(const struct daemons *d, struct actions *a, const struct daemon_node *n,
                int64_t failures) {
        if (a->count < BURST_MAX)
                pod_create(a, d->object, daemon_pod(d, n->node, failures));
}

static void delete_pod(const struct daemons *d, struct actions *a, const json_t *pod) {
        if (a->count < BURST_MAX)
                pod_delete(a, d->object, pod);
}

static bool needs_pod(const struct daemons *d, const struct daemon_node *n) {
        return n->wants && !n->updated && !n->outdated && !(n->terminating && d->surge == 0);
}

static void replace_finished(const struct daemons *d, const struct world *w, struct actions *a,
                const struct daemon_node *n) {
        bool failed = streq(json_str_or(n->finished, "status.phase", ""), "Failed");
        uint64_t due;
        int64_t failures = failures_with(n->finished, w->now_us, &due);

        if (due > w->now_us) {
                actions_requeue(a, due - w->now_us);
                return;
        }
        action_event(a, d->object, failed ? "Warning" : "Normal",
                        failed ? "FailedDaemonPod" : "SucceededDaemonPod",
                        failed ? "Found failed daemon pod %s/%s on node %s, will try to kill it"
                               : "Found succeeded daemon pod %s/%s on node %s, will try to "
                                 "delete it",
                        object_namespace(n->finished), object_name(n->finished),
                        object_name(n->node));
        if (needs_pod(d, n))
                create_on(d, a, n, failures);
        delete_pod(d, a, n->finished);
}

static void keep_pods(const struct daemons *d, const struct world *w, struct actions *a) {
        for (size_t i = 0; i < d->surplus.count; i++)
                delete_pod(d, a, d->surplus.items[i]);
        for (size_t i = 0; i < d->node_count; i++) {
                const struct daemon_node *n = &d->nodes[i];

                if (n->finished)
                        replace_finished(d, w, a, n);
                else if (needs_pod(d, n))
                        create_on(d, a, n, /* failures= */ 0);
        }
}

/* --- rolling --- */

static bool is_available(const struct daemons *d, const struct world *w, struct actions *a,
                const json_t *pod) {
        uint64_t wait = 0;
        bool available = pod && pod_is_available(w, pod, d->min_ready_s, &wait);

        if (wait > 0)
                actions_requeue(a, wait);
        return available;
}

/* The old pod first: at most d->unavailable nodes are without an available pod by our doing. Pods
 * on nodes that want none any longer, but keep them, stay as they are: they would not come back. */
static void roll_in_place(const struct daemons *d, const struct world *w, struct actions *a) {
        _cleanup_objects_ struct objects candidates = {0};
        int64_t unavailable = 0;

        for (size_t i = 0; i < d->node_count; i++) {
                const struct daemon_node *n = &d->nodes[i];

                if (!n->wants)
                        continue;
                if (is_available(d, w, a, n->oldest)) {
                        if (n->outdated)
                                objects_add(&candidates, n->outdated);
                        continue;
                }
                unavailable++;
                if (n->outdated)
                        delete_pod(d, a, n->outdated);
        }
        for (size_t i = 0; i < candidates.count && unavailable < d->unavailable; i++) {
                unavailable++;
                delete_pod(d, a, candidates.items[i]);
        }
}

/* The new pod first: at most d->surge nodes have two by our doing. */
static void roll_with_surge(const struct daemons *d, const struct world *w, struct actions *a) {
        int64_t surging = 0;

        for (size_t i = 0; i < d->node_count; i++) {
                const struct daemon_node *n = &d->nodes[i];

                if (!n->outdated || !n->updated)
                        continue;
                if (is_available(d, w, a, n->updated))
                        delete_pod(d, a, n->outdated);
                else
                        surging++;
        }
        for (size_t i = 0; i < d->node_count; i++) {
                const struct daemon_node *n = &d->nodes[i];

                if (!n->wants || !n->outdated || n->updated || n->finished)
                        continue;
                if (is_available(d, w, a, n->outdated)) {
                        if (surging >= d->surge)
                                continue;
                        surging++;
                }
                create_on(d, a, n, /* failures= */ 0);
        }
}

static void clean_history(const struct daemons *d, struct actions *a) {
        _cleanup_(map_freep) struct map *used = map_new(/* free_value= */ NULL);

        assert(used);
        for (size_t i = 0; i < d->pods.count; i++) {
                const char *hash = object_label(d->pods.items[i], REVISION_LABEL);

                if (hash)
                        assert(map_set(used, hash, used) >= 0);
        }
        history_clean(&d->history, a, used);
}

static void daemonset_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *object = world_get_key(w, WORLD_DAEMONSETS, name);
        _cleanup_objects_ struct objects pods = {0}, orphans = {0};
        _cleanup_(daemons_done) struct daemons d = {0};

        if (!object || object_is_deleting(object))
                return;
        world_owned(w, WORLD_PODS_BY_OWNER, object, &pods, &orphans);
        adopt_and_release(a, "pods", object, "apps/v1", "DaemonSet", &pods, &orphans);
        if (a->count > 0)
                return; /* pods are counted once ownership is settled */
        daemons_read(&d, w, object);
        if (!history_sync(&d.history, a))
                return;
        keep_pods(&d, w, a);
        if (d.rolling && d.surge > 0)
                roll_with_surge(&d, w, a);
        else if (d.rolling)
                roll_in_place(&d, w, a);
        clean_history(&d, a);
}

static json_t *daemonset_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *object = world_get_key(w, WORLD_DAEMONSETS, name);
        int64_t current = 0, misscheduled = 0, ready = 0, available = 0, updated = 0;
        _cleanup_(daemons_done) struct daemons d = {0};
        json_t *status;

        if (!object || object_is_deleting(object))
                return NULL;
        daemons_read(&d, w, object);
        for (size_t i = 0; i < d.node_count; i++) {
                const struct daemon_node *n = &d.nodes[i];
                /* With a surge the new pod is the node's one as soon as it is ready. */
                const json_t *pod =
                                n->updated && pod_is_ready(w, n->updated) ? n->updated : n->oldest;

                if (!n->wants) {
                        misscheduled += pod != NULL;
                        continue;
                }
                current += pod || n->finished || n->terminating;
                if (!pod)
                        continue;
                ready += pod_is_ready(w, pod);
                available += pod_is_available(w, pod, d.min_ready_s, NULL);
                updated += daemon_is_updated(&d, pod);
        }
        status = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "observedGeneration",
                        (json_int_t)object_generation(object), "desiredNumberScheduled",
                        (json_int_t)d.desired, "currentNumberScheduled", (json_int_t)current,
                        "numberMisscheduled", (json_int_t)misscheduled, "numberReady",
                        (json_int_t)ready, "numberAvailable", (json_int_t)available,
                        "numberUnavailable", (json_int_t)(d.desired - available),
                        "updatedNumberScheduled", (json_int_t)updated);
        assert(status);
        if (history_collisions(&d.history, failed) > 0)
                json_object_set_new(status, "collisionCount",
                                json_integer(history_collisions(&d.history, failed)));
        return status;
}

const struct controller daemonset_controller = {
                .name = "daemonset",
                .primary = WORLD_DAEMONSETS,
                .kinds = WORLD_BIT(WORLD_DAEMONSETS) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_NODES) | WORLD_BIT(WORLD_REVISIONS),
                .wake = daemonset_wake,
                .plan = daemonset_plan,
                .report = daemonset_report,
};
