/* StatefulSet: its pods by ordinal, and what a pod of an ordinal looks like. */
#include "lib/object.h"
#include "lib/vector.h"
#include "reconcilers/workloads/statefulset-internal.h"

int64_t set_ordinal_of(const json_t *object, const json_t *pod) {
        const char *rest = startswith(object_name(pod), object_name(object));
        int64_t ordinal;

        /* "web-01" is not the pod of any ordinal. */
        if (!rest || *rest++ != '-' || !(*rest >= '0' && *rest <= '9') ||
                        (rest[0] == '0' && rest[1]) || parse_i64(rest, &ordinal) < 0 ||
                        ordinal > INT32_MAX)
                return -1;
        return ordinal;
}

static int compare_members(const void *x, const void *y) {
        const struct set_member *a = x, *b = y;

        return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

static void sort_members(struct set_members *m) {
        if (m->count > 0)
                qsort(m->items, m->count, sizeof(*m->items), compare_members);
}

static void read_strategy(struct set *s) {
        const json_t *rolling = json_at(s->object, "spec.updateStrategy.rollingUpdate");

        s->ordered = !streq(json_str_or(s->object, "spec.podManagementPolicy", ""), "Parallel");
        s->rolling = !streq(json_str_or(s->object, "spec.updateStrategy.type", ""), "OnDelete");
        s->partition = MAX(json_int_or(rolling, "partition", 0), (int64_t)0);
        s->max_unavailable = MAX(int_or_percent(json_object_get(rolling, "maxUnavailable"),
                                                 s->wanted, /* round_up= */ true,
                                                 /* fallback= */ 1),
                        (int64_t)1);
}

void set_read(struct set *s, const struct world *w, const json_t *object) {
        int64_t min_ready_s = json_int_or(object, "spec.minReadySeconds", 0);

        s->object = object;
        s->start = MAX(json_int_or(object, "spec.ordinals.start", 0), (int64_t)0);
        s->wanted = MAX(json_int_or(object, "spec.replicas", 1), (int64_t)0);
        read_strategy(s);
        history_read(&s->history, w, object, "StatefulSet");
        s->current = history_find(&s->history, json_str_or(object, "status.currentRevision", ""));
        /* One that people have made in its place may lack the pod. */
        if (!s->current || !json_at(s->current, "data.spec.template.spec"))
                s->current = s->history.update;
        world_list(w, WORLD_PODS_BY_OWNER, object_uid(object), &s->pods);
        for (size_t i = 0; i < s->pods.count; i++) {
                const json_t *pod = s->pods.items[i];
                struct set_member m = {.pod = pod, .ordinal = set_ordinal_of(object, pod)};

                if (m.ordinal < 0)
                        continue;
                m.healthy = !object_is_deleting(pod) && pod_is_ready(w, pod);
                m.available = m.healthy && pod_is_available(w, pod, min_ready_s, &s->wait_us);
                if (m.ordinal >= s->start && m.ordinal - s->start < s->wanted)
                        assert(vector_append(&s->replicas, m) >= 0);
                else
                        assert(vector_append(&s->condemned, m) >= 0);
        }
        sort_members(&s->replicas);
        sort_members(&s->condemned);
}

void set_done(struct set *s) {
        history_done(&s->history);
        objects_done(&s->pods);
        vector_done(&s->replicas);
        vector_done(&s->condemned);
}

const json_t *set_revision_for(const struct set *s, int64_t ordinal) {
        return s->rolling && ordinal - s->start < s->partition ? s->current : s->history.update;
}

static json_t *labels_for(
                const struct set *s, const json_t *labels, int64_t ordinal, const char *pod_name) {
        json_t *all = labels ? json_copy(json_unconst(labels)) : json_object();

        assert(all);
        json_object_set_new(all, POD_NAME_LABEL, json_string(pod_name));
        json_object_set_new(all, POD_INDEX_LABEL, json_sprintf("%lld", (long long)ordinal));
        return all;
}

json_t *set_pod(const struct set *s, int64_t ordinal, const json_t *revision) {
        _cleanup_free_ char *name =
                        strformat("%s-%lld", object_name(s->object), (long long)ordinal);
        _cleanup_json_ json_t *template = revision_template(revision);
        json_t *pod = pod_from_template(template, s->object, "apps/v1", "StatefulSet"), *metadata,
               *spec, *labels;
        const char *service = json_str_or(s->object, "spec.serviceName", "");

        assert(name && pod);
        metadata = json_object_get(pod, "metadata");
        json_object_del(metadata, "generateName");
        json_object_set_new(metadata, "name", json_string(name));
        labels = labels_for(s, json_object_get(metadata, "labels"), ordinal, name);
        json_object_set_new(labels, REVISION_LABEL, json_string(object_name(revision)));
        json_object_set_new(metadata, "labels", labels);
        spec = json_copy(json_object_get(pod, "spec"));
        assert(spec);
        json_object_set_new(spec, "hostname", json_string(name));
        if (*service)
                json_object_set_new(spec, "subdomain", json_string(service));
        set_mount_claims(s, spec, name);
        json_object_set_new(pod, "spec", spec);
        return pod;
}

void set_label_pod(const struct set *s, struct actions *a, const struct set_member *m) {
        _cleanup_json_ json_t *want = labels_for(
                        s, json_at(m->pod, "metadata.labels"), m->ordinal, object_name(m->pod));

        if (!json_equal(want, json_unconst(json_at(m->pod, "metadata.labels"))))
                action_patch(a, "pods", m->pod, /* subresource= */ NULL,
                                json_pack("{s:{s:O}}", "metadata", "labels", want));
}

void set_create_pod(const struct set *s, struct actions *a, int64_t ordinal) {
        const char *set = object_name(s->object);
        _cleanup_free_ char *done = strformat("create Pod {} in StatefulSet %s successful", set),
                            *failed = strformat(
                                            "create Pod %s-%lld in StatefulSet %s failed error: ",
                                            set, (long long)ordinal, set);

        assert(done && failed);
        action_create(a, "pods", object_namespace(s->object),
                        set_pod(s, ordinal, set_revision_for(s, ordinal)));
        action_report_end(a, s->object, "Create", done, failed);
}

void set_delete_pod(const struct set *s, struct actions *a, const json_t *pod) {
        const char *set = object_name(s->object);
        _cleanup_free_ char *done = strformat("delete Pod {} in StatefulSet %s successful", set),
                            *failed = strformat("delete Pod %s in StatefulSet %s failed error: ",
                                            object_name(pod), set);

        assert(done && failed);
        action_delete(a, "pods", pod, /* grace_s= */ -1, /* propagation= */ NULL);
        action_report_end(a, s->object, "Delete", done, failed);
}
