/* ResourceQuotas are counted by kapid, which has every kind in its caches at one revision: when a
 * write adds to one (in that write's own transaction), and when the status is written, whatever the
 * writer says. What is left for the controller is to ask for the second: for new quotas and changed
 * ones, when something they count is deleted, when a pod ends or is overdue to end, and every five
 * minutes in any case. A status that stays the same is not written. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

#define RESYNC_US (5 * 60 * UINT64_C(1000000))
#define SECOND_US UINT64_C(1000000)

static bool is_of_claims(const char *resource) {
        return strstr(resource, "storageclass.storage.k8s.io/") ||
               streq(resource, "requests.storage") || streq(resource, "persistentvolumeclaims");
}

/* All requests and limits but those of claims. */
static bool is_of_pods(const char *resource) {
        static const char *const words[] = {"pods", "cpu", "memory", "ephemeral-storage"},
                                 *const beginnings[] = {"requests.", "limits.", "hugepages-"};

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (streq(resource, words[i]))
                        return true;
        for (size_t i = 0; i < ELEMENTS(beginnings); i++)
                if (startswith(resource, beginnings[i]))
                        return !is_of_claims(resource);
        return false;
}

/* Whether a resource of a quota is about the kind: "pods" and "requests.cpu" about pods,
 * "count/deployments.apps" about Deployments. */
static bool counts(const char *resource, const struct api_resource *r) {
        const char *count = startswith(resource, "count/");
        size_t n = strlen(r->plural);

        if (count)
                return strncmp(count, r->plural, n) == 0 &&
                       (*r->group ? count[n] == '.' && streq(count + n + 1, r->group)
                                  : count[n] == 0);
        if (*r->group)
                return false;
        if (streq(r->plural, "pods"))
                return is_of_pods(resource);
        if (streq(r->plural, "persistentvolumeclaims"))
                return is_of_claims(resource);
        return strncmp(resource, r->plural, n) == 0 && (resource[n] == 0 || resource[n] == '.');
}

/* Wakes the quotas of the object's namespace (NULL: of all) that count it. */
static void wake_counting(const struct world *w, const struct wake *out,
                const struct api_resource *r, const json_t *object) {
        _cleanup_objects_ struct objects quotas = {0};

        if (object)
                world_list(w, WORLD_RESOURCEQUOTAS_BY_NS, object_namespace(object), &quotas);
        else
                world_all(w, WORLD_RESOURCEQUOTAS, &quotas);
        for (size_t i = 0; i < quotas.count; i++) {
                const char *key;
                json_t *v;

                json_object_each (json_at(quotas.items[i], "spec.hard"), key, v)
                        if (counts(key, r)) {
                                wake_object(out, quotas.items[i]);
                                break;
                        }
        }
}

/* Whether the pod may count less than before: it ended or its end has been set, or it left a scope
 * (activeDeadlineSeconds is what can change). */
static bool pod_counts_less(const json_t *old, const json_t *pod) {
        return pod_is_finished(old) != pod_is_finished(pod) ||
               object_is_deleting(old) != object_is_deleting(pod) ||
               !json_same(json_at(old, "spec.activeDeadlineSeconds"),
                               json_at(pod, "spec.activeDeadlineSeconds"));
}

static void resourcequota_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        bool less = false;

        if (gone || (!old && kind != WORLD_RESOURCEQUOTAS))
                return; /* deletions of all kinds come to resourcequota_deleted() */
        switch (kind) {
        case WORLD_RESOURCEQUOTAS:
                if (!old || !json_same(json_object_get(old, "spec"),
                                            json_object_get(object, "spec")))
                        wake_object(out, object);
                return;
        case WORLD_PODS:
                less = pod_counts_less(old, object);
                break;
        default: /* Services: their type and ports */
                less = !json_same(json_object_get(old, "spec"), json_object_get(object, "spec"));
        }
        if (less)
                wake_counting(w, out, world_resource(kind), object);
}

static void resourcequota_deleted(const struct world *w, const struct wake *out,
                const struct api_resource *r, const json_t *object) {
        wake_counting(w, out, r, object);
}

/* The earliest time at which a pod that should be gone stops counting: one grace period after its
 * end, plus a second for kapid's clock. 0: there is none. */
static uint64_t next_overdue_us(const struct world *w, const char *ns) {
        _cleanup_objects_ struct objects pods = {0};
        uint64_t next_us = 0;

        world_list(w, WORLD_PODS_BY_NS, ns, &pods);
        for (size_t i = 0; i < pods.count; i++) {
                uint64_t due_us = time_at(pods.items[i], "metadata.deletionTimestamp");

                if (due_us == 0 || pod_is_finished(pods.items[i]))
                        continue;
                due_us += (uint64_t)MAX(json_int_or(pods.items[i],
                                                        "metadata.deletionGracePeriodSeconds", 0),
                                          (int64_t)0) *
                                          SECOND_US +
                          SECOND_US;
                if (due_us > w->now_us && (next_us == 0 || due_us < next_us))
                        next_us = due_us;
        }
        return next_us;
}

static void resourcequota_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *quota = world_get_key(w, WORLD_RESOURCEQUOTAS, name);
        struct action *x;
        uint64_t next_us;

        if (!quota)
                return;
        x = actions_add(a, &action_type_patch, world_resource(WORLD_RESOURCEQUOTAS),
                        object_namespace(quota), object_name(quota), json_pack("{s:{}}", "status"));
        x->subresource = action_string("status");
        actions_requeue(a, RESYNC_US);
        next_us = next_overdue_us(w, object_namespace(quota));
        if (next_us > 0)
                actions_requeue(a, next_us - w->now_us);
}

const struct controller resourcequota_controller = {
                .name = "resourcequota",
                .primary = WORLD_RESOURCEQUOTAS,
                .kinds = WORLD_BIT(WORLD_RESOURCEQUOTAS) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_SERVICES),
                .wake = resourcequota_wake,
                .deleted = resourcequota_deleted,
                .plan = resourcequota_plan,
};
