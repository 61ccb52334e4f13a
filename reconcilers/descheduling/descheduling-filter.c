/* Which pods a Descheduling may evict at all. The names are those of the Kubernetes descheduler. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/descheduling/descheduling-internal.h"

static const char *const kept_texts[KEPT_MAX] = {
                [KEPT_MIRROR] = "mirror pods of a node's own files",
                [KEPT_DAEMON] = "pods of a DaemonSet",
                [KEPT_NODE] = "on nodes that filter.nodeSelector does not select",
                [KEPT_NAMESPACE] = "in namespaces that filter.namespaces leaves out",
                [KEPT_LABELS] = "not selected by filter.labelSelector",
                [KEPT_SCHEDULER] = "of another scheduler than scheduler.name",
                [KEPT_TERMINATING] = "terminating",
                [KEPT_BARE] = "without a controller (filter.evictBarePods)",
                [KEPT_STORAGE] = "with local storage (filter.evictLocalStoragePods)",
                [KEPT_CLAIMS] = "with PersistentVolumeClaims (filter.ignorePvcPods)",
                [KEPT_PRIORITY] = "of filter.priorityThreshold or above",
                [KEPT_YOUNG] = "younger than filter.minPodAge",
};

const char *desched_kept_text(enum desched_kept kept) {
        return kept_texts[kept];
}

static int read_selector(const json_t *v, struct label_selector **ret, struct problem *p) {
        return v ? label_selector_from_json(v, ret, p) : 0;
}

int desched_filter_read(struct desched *d, struct problem *p) {
        const json_t *filter = json_object_get(d->spec, "filter");
        const char *age = json_str(filter, "minPodAge");
        int r;

        d->local_storage = json_bool_or(filter, "evictLocalStoragePods", false);
        d->bare = json_bool_or(filter, "evictBarePods", false);
        d->ignores_claims = json_bool_or(filter, "ignorePvcPods", false);
        d->node_fit = json_bool_or(filter, "nodeFit", true);
        r = read_selector(json_object_get(filter, "labelSelector"), &d->labels, p);
        if (r < 0)
                return r;
        r = read_selector(json_object_get(filter, "nodeSelector"), &d->node_labels, p);
        if (r < 0)
                return r;
        if (age && parse_duration_us(age, &d->age_min_us) < 0)
                return problem_set(
                                p, EINVAL, 0, NULL, "filter.minPodAge %s is not a duration", age);
        return 0;
}

static bool contains(const json_t *list, const char *word) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(strempty(json_string_value(v)), word))
                        return true;
        return false;
}

static bool namespace_is_meant(const struct desched *d, const char *ns) {
        const json_t *include = json_at(d->spec, "filter.namespaces.include"),
                     *exclude = json_at(d->spec, "filter.namespaces.exclude");

        return (!include || contains(include, ns)) && !contains(exclude, ns);
}

static bool has_volume(const json_t *pod, const char *one, const char *other) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v)
                if (json_object_get(v, one) || json_object_get(v, other))
                        return true;
        return false;
}

uint64_t desched_started_us(const json_t *pod) {
        uint64_t us = 0;

        (void)time_parse(json_str_or(pod, "status.startTime",
                                         json_str_or(pod, "metadata.creationTimestamp", "")),
                        &us);
        return us;
}

static bool is_young(const struct desched *d, const json_t *pod) {
        uint64_t start = desched_started_us(pod);

        return d->age_min_us > 0 && start + d->age_min_us > d->now_us;
}

/* About the pod and its place. */
static enum desched_kept keeps_foreign(
                const struct desched *d, const json_t *pod, const struct desched_node *node) {
        const char *scheduler = json_str_or(d->spec, "scheduler.name", "default-scheduler");
        const json_t *owner = object_controller_ref(pod);

        if (object_annotation(pod, "kubernetes.io/config.mirror"))
                return KEPT_MIRROR;
        if (streq(json_str_or(owner, "kind", ""), "DaemonSet"))
                return KEPT_DAEMON;
        if (!node || !node->selected)
                return KEPT_NODE;
        if (!namespace_is_meant(d, object_namespace(pod)))
                return KEPT_NAMESPACE;
        if (d->labels && !label_selector_matches(d->labels, json_at(pod, "metadata.labels")))
                return KEPT_LABELS;
        if (!streq(json_str_or(pod, "spec.schedulerName", "default-scheduler"), scheduler))
                return KEPT_SCHEDULER;
        return KEPT_NONE;
}

enum desched_kept desched_keeps(
                const struct desched *d, const json_t *pod, const struct desched_node *node) {
        enum desched_kept kept = keeps_foreign(d, pod, node);

        if (kept != KEPT_NONE)
                return kept;
        if (object_is_deleting(pod))
                return KEPT_TERMINATING;
        if (!d->bare && !object_controller_ref(pod))
                return KEPT_BARE;
        if (!d->local_storage && has_volume(pod, "emptyDir", "hostPath"))
                return KEPT_STORAGE;
        if (d->ignores_claims && has_volume(pod, "persistentVolumeClaim", "ephemeral"))
                return KEPT_CLAIMS;
        if (json_int_or(pod, "spec.priority", 0) >= d->priority_threshold)
                return KEPT_PRIORITY;
        return is_young(d, pod) ? KEPT_YOUNG : KEPT_NONE;
}
