/* Readiness, availability, templates, owners and conditions. */
#include "reconcilers/pods.h"

#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"

bool pod_is_finished(const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

bool pod_is_active(const json_t *pod) {
        return !object_is_deleting(pod) && !pod_is_finished(pod);
}

bool node_is_ready(const json_t *node) {
        return object_condition_true(node, "Ready");
}

bool node_readiness_changed(const json_t *old, const json_t *node) {
        return !old || node_is_ready(old) != node_is_ready(node);
}

bool pod_is_ready(const struct world *w, const json_t *pod) {
        const char *node_name = json_str_or(pod, "spec.nodeName", "");
        const json_t *node;

        if (!object_condition_true(pod, "Ready"))
                return false;
        /* The pod's own condition is out of date when its node is silent. */
        node = *node_name ? world_get(w, WORLD_NODES, NULL, node_name) : NULL;
        return !node || !object_condition(node, "Ready") || node_is_ready(node);
}

uint64_t time_at(const json_t *o, const char *path) {
        uint64_t t;

        return time_parse(json_str(o, path), &t) < 0 ? 0 : t;
}

uint64_t object_created_us(const json_t *o) {
        return time_at(o, "metadata.creationTimestamp");
}

bool pod_is_available(const struct world *w, const json_t *pod, int64_t min_ready_s,
                uint64_t *ret_wait_us) {
        uint64_t since, need = (uint64_t)MAX(min_ready_s, (int64_t)0) * 1000000;

        if (!pod_is_ready(w, pod))
                return false;
        if (need == 0)
                return true;
        since = time_at(object_condition(pod, "Ready"), "lastTransitionTime");
        if (since == 0)
                return false;
        if (since + need <= w->now_us)
                return true;
        if (ret_wait_us && (*ret_wait_us == 0 || since + need - w->now_us < *ret_wait_us))
                *ret_wait_us = since + need - w->now_us;
        return false;
}

void pod_create(struct actions *a, const json_t *owner, json_t *pod) {
        action_create(a, "pods", object_namespace(owner), pod);
        action_report_end(a, owner, "Create", "Created pod: {}", "Error creating: ");
}

void pod_delete(struct actions *a, const json_t *owner, const json_t *pod) {
        action_delete(a, "pods", pod, /* grace_s= */ -1, /* propagation= */ NULL);
        action_report_end(a, owner, "Delete", "Deleted pod: {}", "Error deleting: ");
}

void wake_owners_of_node_pods(const struct world *w, const struct wake *out, const json_t *old,
                const json_t *node, bool gone, const char *group, const char *kind) {
        _cleanup_objects_ struct objects pods = {0};

        if (!gone && !node_readiness_changed(old, node))
                return;
        world_list(w, WORLD_PODS_BY_NODE, object_name(node), &pods);
        for (size_t i = 0; i < pods.count; i++)
                wake_controller(out, pods.items[i], group, kind);
}

int64_t int_or_percent(const json_t *v, int64_t total, bool round_up, int64_t fallback) {
        const char *s = json_string_value(v);
        int64_t n;

        if (json_is_integer(v))
                return MAX((int64_t)json_integer_value(v), (int64_t)0);
        if (s && *s && s[strlen(s) - 1] == '%') {
                _cleanup_free_ char *digits = strndup(s, strlen(s) - 1);

                if (digits && parse_i64(digits, &n) >= 0 && n >= 0 && n <= 1000)
                        return (n * total + (round_up ? 99 : 0)) / 100;
        } else if (s && parse_i64(s, &n) >= 0 && n >= 0)
                return n;
        return fallback;
}

/* FNV-1a over the template's canonical text, in the alphabet of names. */
void template_hash(
                const json_t *template, int64_t collisions, char ret[static TEMPLATE_HASH_SIZE]) {
        static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
        _cleanup_free_ char *text =
                        json_dumps(template, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        uint64_t h = 14695981039346656037u;
        size_t n;

        assert(text);
        for (const char *s = text; *s; s++)
                h = (h ^ (unsigned char)*s) * 1099511628211u;
        for (int i = 0; i < 8; i++)
                h = (h ^ (unsigned char)(collisions >> (8 * i))) * 1099511628211u;
        for (n = 0; n < 10; n++, h /= 27)
                ret[n] = alphabet[h % 27];
        ret[n] = 0;
}

json_t *controller_ref(const json_t *owner, const char *api_version, const char *kind) {
        return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion", api_version, "kind", kind,
                        "name", object_name(owner), "uid", object_uid(owner), "controller", 1,
                        "blockOwnerDeletion", 1);
}

json_t *pod_from_template(const json_t *template, const json_t *owner, const char *api_version,
                const char *kind) {
        static const char *const keep[] = {"labels", "annotations", "finalizers"};
        const json_t *from = json_object_get(template, "metadata");
        _cleanup_free_ char *prefix = strformat("%s-", object_name(owner));
        json_t *metadata, *spec = json_object_get(template, "spec");

        assert(prefix);
        metadata = json_pack("{s:s, s:s, s:[o]}", "generateName", prefix, "namespace",
                        object_namespace(owner), "ownerReferences",
                        controller_ref(owner, api_version, kind));
        for (size_t i = 0; i < ELEMENTS(keep); i++) {
                json_t *v = json_object_get(from, keep[i]);

                if (v)
                        json_object_set(metadata, keep[i], v);
        }
        return json_pack("{s:s, s:s, s:o, s:O*}", "apiVersion", "v1", "kind", "Pod", "metadata",
                        metadata, "spec", spec);
}

json_t *refs_without(const json_t *object, const char *uid) {
        json_t *refs = json_array(), *ref;
        size_t i;

        json_array_foreach (json_at(object, "metadata.ownerReferences"), i, ref)
                if (!streq(json_str_or(ref, "uid", ""), uid))
                        json_array_append(refs, ref);
        return refs;
}

void adopt_and_release(struct actions *a, const char *plural, const json_t *owner,
                const char *api_version, const char *kind, struct objects *owned,
                const struct objects *orphans) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_problem_ struct problem p = {0};
        size_t kept = 0;

        if (label_selector_from_any(json_at(owner, "spec.selector"), &selector, &p) < 0)
                return;
        for (size_t i = 0; i < owned->count; i++) {
                const json_t *o = owned->items[i];

                if (object_is_deleting(o) ||
                                label_selector_matches(selector, json_at(o, "metadata.labels")))
                        owned->items[kept++] = o;
                else
                        action_patch(a, plural, o, NULL,
                                        json_pack("{s:{s:o}}", "metadata", "ownerReferences",
                                                        refs_without(o, object_uid(owner))));
        }
        owned->count = kept;
        for (size_t i = 0; i < orphans->count && !object_is_deleting(owner); i++) {
                const json_t *o = orphans->items[i];
                json_t *refs;

                if (streq(plural, "pods") && pod_is_finished(o))
                        continue;
                refs = refs_without(o, object_uid(owner));
                json_array_append_new(refs, controller_ref(owner, api_version, kind));
                action_patch(a, plural, o, NULL,
                                json_pack("{s:{s:o}}", "metadata", "ownerReferences", refs));
                objects_add(owned, o);
        }
}

void condition_set(json_t *conditions, const char *type, const char *status, const char *reason,
                const char *message, const char *now, bool with_update_time) {
        const char *since = now;
        json_t *c, *new;
        size_t i;

        json_array_foreach (conditions, i, c) {
                if (!streq(json_str_or(c, "type", ""), type))
                        continue;
                if (streq(json_str_or(c, "status", ""), status))
                        since = json_str_or(c, "lastTransitionTime", now);
                break;
        }
        new = json_pack("{s:s, s:s, s:s*, s:s*, s:s}", "type", type, "status", status, "reason",
                        reason, "message", message, "lastTransitionTime", since);
        assert(new);
        if (with_update_time)
                json_object_set_new(new, "lastUpdateTime", json_string(now));
        /* json_pack has copied `since`, which the old condition owns. */
        if (i < json_array_size(conditions))
                json_array_set_new(conditions, i, new);
        else
                json_array_append_new(conditions, new);
}

void pod_disrupt(struct actions *a, const json_t *pod, const char *reason, const char *message,
                bool failed, uint64_t now_us) {
        json_t *status, *conditions;
        char now[TIMEFMT_SIZE];

        if (pod_is_finished(pod) || (!failed && object_condition_true(pod, "DisruptionTarget")))
                return;
        conditions = json_deep_copy(json_at(pod, "status.conditions"));
        if (!conditions)
                conditions = json_array();
        if (!object_condition_true(pod, "DisruptionTarget"))
                condition_set(conditions, "DisruptionTarget", "True", reason, message,
                                time_format(now_us, now), false);
        status = json_pack("{s:o}", "conditions", conditions);
        assert(status);
        if (failed)
                assert(json_object_set_new(status, "phase", json_string("Failed")) == 0);
        action_patch(a, "pods", pod, "status", json_pack("{s:o}", "status", status));
}
