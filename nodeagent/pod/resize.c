/* Carries an in-place resize out: the new resources are allocated on disk, then a container's unit
 * and the pod's slice get their properties while they run. */
#include "lib/object.h"
#include "lib/pod-amounts.h"
#include "lib/timefmt.h"
#include "nodeagent/node.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"

enum { RETRY_US = 5 * 1000000 };

static const json_t *wanted(const struct container *c) {
        return json_object_get(container_spec(c), "resources");
}

json_t *pod_allocated_object(const struct pod *p) {
        static const char *const lists[] = {"initContainers", "containers"};
        _cleanup_json_ json_t *object = NULL;
        bool same = true;

        for (size_t i = 0; i < p->count; i++)
                same &= resources_are_same(wanted(p->containers[i]), p->records[i].allocated);
        if (same)
                return json_ref(p->object);
        object = json_deep_copy(p->object);
        for (size_t i = 0; object && i < p->count; i++) {
                json_t *list = json_object_get(
                                       json_object_get(object, "spec"), lists[!p->records[i].init]),
                       *c;
                size_t k;

                json_array_foreach (list, k, c)
                        if (streq(json_str_or(c, "name", ""), p->records[i].name) &&
                                        json_object_set(c, "resources", p->records[i].allocated) <
                                                        0)
                                return NULL;
        }
        return TAKE_PTR(object);
}

/* What a pod has allocated of each resource. */
static void add_amounts(const struct pod *p, int64_t sum[static NODE_RESOURCES]) {
        _cleanup_json_ json_t *object = pod_allocated_object(p);
        const json_t *spec = json_object_get(object, "spec");
        struct quantity q;

        if (pod_amount(spec, "requests", "cpu", &q))
                sum[RESOURCE_CPU] += (int64_t)MIN(q.milli, (__int128)INT64_MAX / 1024);
        if (pod_amount(spec, "requests", "memory", &q))
                sum[RESOURCE_MEMORY] += (int64_t)MIN(q.milli / 1000, (__int128)INT64_MAX / 1024);
}

void pod_room(const struct pod *p, struct node_room *ret) {
        const struct agent *a = p->pods->agent;

        *ret = (struct node_room){
                        .capacity = {[RESOURCE_CPU] = a->machine.cpu_milli,
                                        [RESOURCE_MEMORY] =
                                                        a->machine.memory_bytes -
                                                        node_memory_reserve(
                                                                        a->machine.memory_bytes)}};
        add_amounts(p, ret->own);
        map_foreach (p->pods->by_uid, e) {
                const struct pod *other = map_entry_value(e);

                if (other != p && !pod_is_terminal(other))
                        add_amounts(other, ret->used);
        }
}

bool pod_wants_resize(const struct pod *p) {
        for (size_t i = 0; i < p->count; i++)
                if ((!p->records[i].init || p->records[i].sidecar) &&
                                !resources_are_same(
                                                wanted(p->containers[i]), p->records[i].allocated))
                        return true;
        return false;
}

void pod_allocate(struct pod *p) {
        pod_resize_pending(p, "", "");
        for (size_t i = 0; i < p->count; i++)
                container_record_allocate(&p->records[i], wanted(p->containers[i]));
        sandbox_drop_plan(p);
}

void pod_resize_pending(struct pod *p, const char *reason, const char *message) {
        free(p->resizing.reason);
        free(p->resizing.message);
        p->resizing.reason = *reason ? strdup(reason) : NULL;
        p->resizing.message = *reason ? strdup(message) : NULL;
        if (*reason)
                pod_event(p, "Warning",
                                streq(reason, "Deferred") ? "ResizeDeferred" : "ResizeInfeasible",
                                "%s", message);
}

static void failed(struct container *c, const char *message) {
        struct pod *p = c->pod;

        c->resize.retry_us = now_mono_us() + RETRY_US;
        if (streq_ptr(p->resizing.error, message))
                return;
        free(p->resizing.error);
        p->resizing.error = strdup(message);
        pod_event(p, "Warning", "ResizeError", "Error resizing container %s: %s", c->record->name,
                        message);
}

static void on_limited(const char *error, void *userdata) {
        struct container *c = userdata;

        c->resize.call = NULL;
        if (error)
                failed(c, error);
        else {
                c->pod->resizing.error = mfree(c->pod->resizing.error);
                container_record_resized(c->record, c->resize.to);
                pod_event(c->pod, "Normal", "ResizeCompleted", "Resized container %s",
                                c->record->name);
        }
        json_decref(TAKE_PTR(c->resize.to));
        pod_wake(c->pod);
}

/* The slice first where the pod grows; where it shrinks the order does not matter, for the sum of
 * the containers' limits is what bounds them. */
static int send_limits(struct container *c) {
        struct pod *p = c->pod;
        const json_t *slice = json_at(p->sandbox.plan, "slice"), *unit = container_plan(c);
        _cleanup_json_ json_t *whole = pod_resource_properties(slice),
                              *own = pod_resource_properties(unit);
        int r;

        if (!unit)
                return -ENOENT;
        if (!whole || !own)
                return -ENOMEM;
        r = runtime_limit(p->pods->agent->runtime, json_str_or(slice, "name", ""), whole,
                        /* done= */ NULL, /* userdata= */ NULL, /* ret= */ NULL);
        if (r < 0)
                return r;
        return runtime_limit(p->pods->agent->runtime, c->unit, own, on_limited, c, &c->resize.call);
}

void container_resize(struct container *c) {
        int r;

        assert(!c->resize.call);
        if (c->adopts) {
                container_limit_adopted(c);
                container_record_resized(c->record, c->record->allocated);
                return;
        }
        json_decref(c->resize.to);
        c->resize.to = json_ref(c->record->allocated);
        r = send_limits(c);
        if (r < 0)
                failed(c, strerror(-r));
}

void container_resize_done(struct container *c) {
        c->resize.call = runtime_limit_cancel(c->pod->pods->agent->runtime, c->resize.call);
        json_decref(TAKE_PTR(c->resize.to));
}
