/* Pods whose claims wait for a node (volumeBindingMode WaitForFirstConsumer). The scheduler writes
 * the chosen node into each claim (annotation volume.kubernetes.io/selected-node) and keeps the pod
 * assumed there; when all claims have their volumes the pod is bound. When a volume cannot be made
 * there the annotation disappears, or the time is over: another node is chosen. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/volumes.h"
#include "reconcilers/sched/internal.h"

#define CLAIMS_MAX_US (10 * 60 * UINT64_C(1000000)) /* bindTimeoutSeconds of kube-scheduler */
#define SELECT_MAX_US (10 * UINT64_C(1000000))      /* until the annotations are seen */

struct waiting {
        char *node, *uid;
        uint64_t until_us, select_until_us;
        bool selected; /* the annotations have been seen */
};

void scheduler_waiting_free(void *p) {
        struct waiting *w = p;

        if (!w)
                return;
        free(w->node);
        free(w->uid);
        free(w);
}

static void select_node(struct scheduler *s, const char *ns, const char *claim, const char *node) {
        _cleanup_json_ json_t *body = json_pack(
                        "{s:{s:{s:s}}}", "metadata", "annotations", VOLUME_SELECTED_NODE, node);
        _cleanup_free_ char *path =
                        api_path(api_resource(KIND_PERSISTENTVOLUMECLAIMS), ns, claim, NULL, NULL);

        scheduler_write_patch(s, path, body);
}

void scheduler_wait_for_claims(struct scheduler *s, struct sched_pod *pod, const json_t *object,
                const char *node, char *const *claims) {
        struct waiting *w = calloc(1, sizeof(*w));

        assert(w);
        *w = (struct waiting){.node = strdup(node),
                        .uid = strdup(sched_pod_uid(pod)),
                        .until_us = now_mono_us() + CLAIMS_MAX_US,
                        .select_until_us = now_mono_us() + SELECT_MAX_US};
        assert(w->node && w->uid && map_set(s->waiting, sched_pod_key(pod), w) >= 0);
        for (size_t i = 0; claims && claims[i]; i++)
                select_node(s, object_namespace(object), claims[i], w->node);
        w->selected = strv_length(claims) == 0;
        sched_cluster_nominate(s->cluster, pod, NULL);
        sched_cluster_assume(s->cluster, pod, w->node);
        log_about(LOG_DEBUG, 0, "Pod", sched_pod_key(pod), "Pod %s waits for volumes on node %s",
                        sched_pod_key(pod), w->node);
}

static void give_up(struct scheduler *s, const char *key, const struct waiting *w) {
        const json_t *pod = scheduler_pod(s, key);

        /* If another scheduler has bound it, the watch has counted it where it is. */
        if (!pod || !streq(object_uid(pod), w->uid) || !*json_str_or(pod, "spec.nodeName", ""))
                sched_cluster_forget(s->cluster, w->uid);
        sched_queue_retry(s->queue, key, now_mono_us());
}

/* 1: it is decided, one way or the other. */
static int check(struct scheduler *s, const char *key, struct waiting *w) {
        struct sched_pod *pod = sched_queue_payload(s->queue, key);
        const json_t *object = scheduler_pod(s, key);
        _cleanup_strv_free_ char **missing = NULL;
        int r;

        if (!pod || !object || !streq(object_uid(object), w->uid) ||
                        *json_str_or(object, "spec.nodeName", "") || object_is_deleting(object)) {
                give_up(s, key, w);
                return 1;
        }
        r = sched_pod_claims_to_bind(s->cluster, pod, w->node, &missing);
        if (r == 0) {
                if (scheduler_bind(s, pod, object, w->node) < 0)
                        give_up(s, key, w);
                return 1;
        }
        if (r > 0 && !missing)
                w->selected = true;
        if (r < 0 || (missing && (w->selected || now_mono_us() > w->select_until_us)) ||
                        now_mono_us() > w->until_us) {
                give_up(s, key, w);
                return 1;
        }
        return 0;
}

void scheduler_check_claims(struct scheduler *s) {
        map_foreach (s->waiting, e)
                if (check(s, map_entry_key(e), map_entry_value(e)) > 0)
                        map_remove(s->waiting, map_entry_key(e));
}
