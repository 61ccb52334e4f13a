/* In-place resize (KEP-1287): the resources of a pod's spec may change while it runs. What the node
 * has room for is allocated, the units follow; what it has no room for waits, and is tried again.
 */
#include "lib/pod-amounts.h"
#include "nodeagent/pod/decide.h"

enum { LOOK_US = 10 * 1000000 };

static const char *const resources[NODE_RESOURCES] = {
                [RESOURCE_CPU] = "cpu", [RESOURCE_MEMORY] = "memory"};

bool resources_are_same(const json_t *a, const json_t *b) {
        size_t n = json_object_size(a), m = json_object_size(b);

        return n == 0 || m == 0 ? n == m : json_equal(a, b);
}

static bool can_be_resized(const struct container_record *r) {
        return !r->init || r->sidecar;
}

static bool wants(const struct container_view *c) {
        return can_be_resized(c->record) && c->record->allocated &&
               !resources_are_same(json_object_get(c->spec, "resources"), c->record->allocated);
}

static bool any_wants(const struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++)
                if (wants(&d->v->containers[i]))
                        return true;
        return false;
}

/* In milli-units of CPU, bytes of memory. */
static int64_t amount_in(const json_t *spec, enum node_resource resource) {
        struct quantity q;
        __int128 n;

        if (!pod_amount(spec, "requests", resources[resource], &q))
                return 0;
        n = resource == RESOURCE_CPU ? q.milli : (q.milli + 999) / 1000;
        return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static void pend(struct decide *d, const char *reason, enum node_resource resource, int64_t asked) {
        const struct node_room *room = &d->v->room;
        bool infeasible = streq(reason, "Infeasible");
        _cleanup_free_ char *message =
                        infeasible ? strformat("Node didn't have enough capacity: %s, requested: "
                                               "%lld, capacity: %lld",
                                                     resources[resource], (long long)asked,
                                                     (long long)room->capacity[resource])
                                   : strformat("Node didn't have enough resource: %s, requested: "
                                               "%lld, used: %lld, capacity: %lld",
                                                     resources[resource], (long long)asked,
                                                     (long long)room->used[resource],
                                                     (long long)room->capacity[resource]);

        assert(message);
        decide_wake(d, d->v->now_us + LOOK_US);
        if (!streq_ptr(d->v->resize_reason, reason) || !streq_ptr(d->v->resize_message, message))
                action_resize_pending(&d->out->actions, reason, message);
}

/* Why there is no room; NULL: there is. */
static const char *refusal(
                const struct decide *d, enum node_resource resource, int64_t *ret_asked) {
        int64_t asked = amount_in(json_object_get(d->v->object, "spec"), resource);
        const struct node_room *room = &d->v->room;

        *ret_asked = asked;
        if (asked <= room->own[resource])
                return NULL;
        if (asked > room->capacity[resource])
                return "Infeasible";
        return asked > room->capacity[resource] - room->used[resource] ? "Deferred" : NULL;
}

int decide_resize(struct decide *d) {
        if (!any_wants(d)) {
                if (d->v->resize_reason)
                        action_resize_pending(
                                        &d->out->actions, /* reason= */ "", /* message= */ "");
                return 0;
        }
        for (size_t k = 0; k < NODE_RESOURCES; k++) {
                int64_t asked;
                const char *why = refusal(d, (enum node_resource)k, &asked);

                if (!why)
                        continue;
                pend(d, why, (enum node_resource)k, asked);
                return 0;
        }
        action_pod(&d->out->actions, POD_RESIZE);
        d->out->again = true;
        return 1;
}

/* Whether a changed resource asks for a restart of the container. */
static bool needs_restart(const struct container_view *c) {
        static const char *const sides[] = {"requests", "limits"};
        const json_t *policy;
        size_t i;

        json_array_foreach (json_object_get(c->spec, "resizePolicy"), i, policy) {
                const char *name = json_str_or(policy, "resourceName", "");

                if (!streq(json_str_or(policy, "restartPolicy", ""), "RestartContainer"))
                        continue;
                for (size_t s = 0; s < ELEMENTS(sides); s++)
                        if (!json_same(json_get(c->record->resources, sides[s], name, NULL),
                                            json_get(c->record->allocated, sides[s], name, NULL)))
                                return true;
        }
        return false;
}

int decide_container_resize(struct decide *d, size_t i) {
        const struct container_view *c = &d->v->containers[i];

        if (!can_be_resized(c->record) || !c->record->allocated || !c->record->resources ||
                        c->resizing || d->out->containers[i].restarting ||
                        resources_are_same(c->record->resources, c->record->allocated))
                return 0;
        if (d->v->now_us < c->resize_retry_us) {
                decide_wake(d, c->resize_retry_us);
                return 0;
        }
        action_container(&d->out->actions, CONTAINER_RESIZE, c->record->name);
        return needs_restart(c);
}
