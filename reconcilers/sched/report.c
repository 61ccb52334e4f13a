/* What users see of a pod that found no node: its PodScheduled condition, an Event, and with
 * preemption the nominated node and the end of the victims. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/pods.h"
#include "reconcilers/sched/internal.h"

static void patch_status(struct scheduler *s, const json_t *pod, json_t *status) {
        _cleanup_json_ json_t *body = json_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion",
                        json_str_or(pod, "metadata.resourceVersion", ""), "status", status);
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), object_namespace(pod),
                        object_name(pod), "status", NULL);

        scheduler_write_patch(s, path, body);
}

static json_t *conditions_with(const json_t *pod, const char *type, const char *status,
                const char *reason, const char *message) {
        const json_t *was = json_at(pod, "status.conditions");
        json_t *conditions = was ? json_deep_copy(was) : json_array();
        char now[TIMEFMT_SIZE];

        assert(conditions);
        condition_set(conditions, type, status, reason, message, time_format(now_wall_us(), now),
                        /* with_update_time= */ false);
        return conditions;
}

/* --- victims --- */

static void evict(struct scheduler *s, const struct sched_pod *pod, const json_t *victim,
                const char *node) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), object_namespace(victim),
                        object_name(victim), NULL, NULL);
        _cleanup_json_ json_t *options = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1",
                        "kind", "DeleteOptions", "preconditions", "uid", object_uid(victim));
        json_t *conditions = conditions_with(victim, "DisruptionTarget", "True",
                        "PreemptionByScheduler", "preempting to accommodate a higher priority pod");

        patch_status(s, victim, json_pack("{s:o}", "conditions", conditions));
        scheduler_write_delete(s, path, options);
        metric_add(s->preempted_total, 1);
        object_log(LOG_INFO, 0, victim, "Pod",
                        "Pod %s is deleted from node %s to make room for pod %s",
                        object_name(victim), node, sched_pod_key(pod));
        api_event(s->options.client, victim, "Normal", "Preempted",
                        "Preempted by pod %s on node %s", sched_pod_uid(pod), node);
}

static void evict_victims(struct scheduler *s, struct sched_pod *pod,
                const struct sched_preemption *preemption) {
        for (size_t i = 0; preemption->victims && preemption->victims[i]; i++) {
                const json_t *victim = scheduler_pod(s, preemption->victims[i]);

                if (victim && !object_is_deleting(victim))
                        evict(s, pod, victim, preemption->node);
        }
}

/* --- the report --- */

void scheduler_report(struct scheduler *s, struct sched_pod *pod, const json_t *object,
                const struct sched_reasons *why, const struct sched_preemption *preemption) {
        const json_t *was = object_condition(object, "PodScheduled");
        const char *nominated = json_str_or(object, "status.nominatedNodeName", "");
        _cleanup_free_ char *text = sched_message(s->cluster, why), *message = NULL;
        json_t *status;

        if (text && preemption->message)
                message = strformat("%s preemption: %s", text, preemption->message);
        else if (text)
                message = strdup(text);
        assert(message);
        api_event(s->options.client, object, "Warning", "FailedScheduling", "%s", message);
        log_about(LOG_DEBUG, 0, "Pod", sched_pod_key(pod), "No node for pod %s: %s",
                        sched_pod_key(pod), message);
        if (preemption->is_hopeless)
                sched_cluster_nominate(s->cluster, pod, NULL);
        if (preemption->node) {
                sched_cluster_nominate(s->cluster, pod, preemption->node);
                evict_victims(s, pod, preemption);
        } else if (preemption->is_hopeless && *nominated) {
                /* Others may have the room that was kept for it. */
                scheduler_wake(s, SCHED_POD_GONE, nominated);
        } else if (streq(json_str_or(was, "status", ""), "False") &&
                        streq(json_str_or(was, "message", ""), message))
                return;
        status = json_pack("{s:o}", "conditions",
                        conditions_with(object, "PodScheduled", "False", "Unschedulable", message));
        assert(status);
        if (preemption->node && !streq(preemption->node, nominated))
                json_object_set_new(status, "nominatedNodeName", json_string(preemption->node));
        else if (preemption->is_hopeless && *nominated)
                json_object_set_new(status, "nominatedNodeName", json_null());
        patch_status(s, object, status);
}
