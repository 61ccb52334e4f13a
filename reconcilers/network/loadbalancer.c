/* Services of type LoadBalancer. Their addresses and the nodes that carry them are in the status of
 * the AddressPools, and nowhere else: one object a pool, written against the version that was read,
 * so that two controllers (around a change of leaders) cannot give one address twice. Services show
 * what the pools say. Agents read the pools (nodeagent/load-balancer.c).
 *
 *      name            plan
 *      pools           who has which address, and which node carries it -> status of the pools
 *      pulse           the controller's own lease, while addresses are carried
 *      namespace/name  a service: finalizer, status, events, from the pools as they are stored
 *
 * An address is released in three steps, so that nobody else gets it too early: the service stops
 * showing it, the pool forgets it, the service's finalizer goes. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/network/loadbalancer-internal.h"
#include "reconcilers/network/slices.h"
#include "reconcilers/pods.h"

#define POOLS "pools"
#define PULSE "pulse"
/* Well below LEASE_GAP_US of the manager. */
enum { PULSE_US = 500000 };

/* --- waking --- */

static bool is_balanced(const json_t *service) {
        return service && (streq(json_str_or(service, "spec.type", ""), "LoadBalancer") ||
                                          object_has_finalizer(service, LB_FINALIZER));
}

static void wake_pools(const struct wake *out) {
        wake_key(out, NULL, POOLS);
}

static bool node_changed(const json_t *old, const json_t *node) {
        static const char *const paths[] = {"metadata.labels", "spec.unschedulable",
                        "metadata.deletionTimestamp", "status.addresses"};

        if (!old || node_readiness_changed(old, node))
                return true;
        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (!json_same(json_at(old, paths[i]), json_at(node, paths[i])))
                        return true;
        return false;
}

/* The services of the entries of one state of a pool that differ in the other. */
static void wake_listed(const struct wake *out, const json_t *pool, const json_t *other) {
        _cleanup_json_ json_t *by = json_object();
        const json_t *row, *key;
        size_t i, k;

        assert(by);
        json_array_foreach (json_at(other, "status.addresses"), i, row)
                assert(json_object_set(by, json_str_or(row, "address", ""), json_unconst(row)) >=
                                0);
        json_array_foreach (json_at(pool, "status.addresses"), i, row) {
                if (json_same(json_object_get(by, json_str_or(row, "address", "")), row))
                        continue;
                json_array_foreach (json_object_get(row, "services"), k, key)
                        wake_key(out, NULL, strempty(json_string_value(key)));
        }
}

/* Those without an address may get one now. */
static void wake_waiting(const struct world *w, const struct wake *out) {
        _cleanup_objects_ struct objects all = {0};

        world_list(w, WORLD_SERVICES_BALANCED, "1", &all);
        for (size_t i = 0; i < all.count; i++)
                if (!object_condition_true(all.items[i], LB_CONDITION))
                        wake_object(out, all.items[i]);
}

static void wake_service_of_slice(
                const struct world *w, const struct wake *out, const json_t *slice) {
        const char *name = object_label(slice, SLICE_SERVICE_LABEL);
        const json_t *s = name ? world_get(w, WORLD_SERVICES, object_namespace(slice), name) : NULL;

        if (is_balanced(s) && streq(json_str_or(s, "spec.externalTrafficPolicy", ""), "Local"))
                wake_pools(out);
}

static void loadbalancer_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        switch (kind) {
        case WORLD_SERVICES:
                if (!is_balanced(old) && !is_balanced(object))
                        break;
                wake_object(out, object);
                wake_pools(out);
                break;
        case WORLD_ADDRESSPOOLS:
                wake_pools(out);
                wake_key(out, NULL, PULSE);
                wake_listed(out, object, gone ? NULL : old);
                wake_listed(out, old, gone ? NULL : object);
                wake_waiting(w, out);
                break;
        case WORLD_NODES:
                if (gone || node_changed(old, object))
                        wake_pools(out);
                break;
        case WORLD_ENDPOINTSLICES:
                wake_service_of_slice(w, out, object);
                break;
        case WORLD_NAMESPACES:
                if (old && !json_same(json_at(old, "metadata.labels"),
                                           json_at(object, "metadata.labels")))
                        wake_pools(out);
                break;
        default:
                break;
        }
}

/* --- pools --- */

static int compare_entries(const void *a, const void *b) {
        return address_compare(&(*(const struct lb_entry *const *)a)->address,
                        &(*(const struct lb_entry *const *)b)->address);
}

/* status.addresses, by address. */
static json_t *rows_of(const struct lb_view *v, const struct lb_pool *pool) {
        VECTOR(const struct lb_entry *) entries = {0};
        json_t *rows = json_array();

        assert(rows);
        map_foreach (v->entries, i) {
                const struct lb_entry *e = map_entry_value(i);

                if (e->pool == pool)
                        assert(vector_append(&entries, e) >= 0);
        }
        if (entries.count > 0)
                qsort(entries.items, entries.count, sizeof(*entries.items), compare_entries);
        for (size_t i = 0; i < entries.count; i++)
                assert(json_array_append_new(
                                       rows, json_pack("{s:s, s:s*, s:O}", "address",
                                                             entries.items[i]->text, "node",
                                                             entries.items[i]->node, "services",
                                                             entries.items[i]->services)) >= 0);
        vector_done(&entries);
        return rows;
}

static json_t *status_of_pool(const struct lb_view *v, const struct lb_pool *pool) {
        uint64_t total = 0;

        for (size_t i = 0; i < pool->ranges.count; i++) {
                uint64_t n = address_range_count(&pool->ranges.items[i]);

                total = n > INT64_MAX - total ? INT64_MAX : total + n;
        }
        return json_pack("{s:I, s:I, s:I, s:o}", "total", (json_int_t)total, "inUse",
                        (json_int_t)pool->in_use, "free", (json_int_t)(total - pool->in_use),
                        "addresses", rows_of(v, pool));
}

static void plan_pools(const struct world *w, struct actions *a) {
        _cleanup_lb_view_ struct lb_view v;

        lb_view_init(&v, w);
        lb_allocate(&v);
        lb_choose_nodes(&v, a);
        for (size_t i = 0; i < v.pools.count; i++) {
                const struct lb_pool *pool = &v.pools.items[i];
                _cleanup_json_ json_t *status = status_of_pool(&v, pool);

                assert(status);
                if (!json_same(json_object_get(pool->object, "status"), status))
                        action_patch(a, "addresspools", pool->object, "status",
                                        json_pack("{s:O}", "status", status));
        }
}

/* --- the pulse --- */

static bool any_carried(const struct world *w) {
        _cleanup_objects_ struct objects pools = {0};
        const json_t *row;
        size_t i;

        world_all(w, WORLD_ADDRESSPOOLS, &pools);
        for (size_t n = 0; n < pools.count; n++)
                json_array_foreach (json_at(pools.items[n], "status.addresses"), i, row)
                        if (*json_str_or(row, "node", ""))
                                return true;
        return false;
}

static void plan_pulse(const struct world *w, struct actions *a) {
        const json_t *lease = world_get(w, WORLD_LEASES, LB_LEASE_NAMESPACE, LB_PULSE);
        uint64_t due = w->source->lease_seen(w->data, LB_PULSE) + PULSE_US;
        char now[TIMEFMT_SIZE];
        json_t *spec;

        if (!any_carried(w))
                return;
        if (lease && w->mono_us < due)
                return actions_requeue(a, due - w->mono_us);
        spec = json_pack("{s:s, s:i, s:s}", "holderIdentity", "kreconciled", "leaseDurationSeconds",
                        1, "renewTime", time_format_micro(w->now_us, now));
        if (lease)
                action_patch(a, "leases", lease, NULL, json_pack("{s:o}", "spec", spec));
        else
                action_create(a, "leases", LB_LEASE_NAMESPACE,
                                json_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion",
                                                "coordination.k8s.io/v1", "kind", "Lease",
                                                "metadata", "name", LB_PULSE, "namespace",
                                                LB_LEASE_NAMESPACE, "spec", spec));
        actions_requeue(a, PULSE_US);
}

/* --- services --- */

/* What a service has, and what to say about it. */
struct outcome {
        json_t *ingress;
        struct buf has, nodes; /* "10.0.0.5 (AddressPool lan)"; "n2 answers for 10.0.0.5" */
        const char *reason;    /* why something is missing; NULL: nothing is */
        char *message;
};

static void outcome_done(struct outcome *o) {
        json_decref(o->ingress);
        buf_done(&o->has);
        buf_done(&o->nodes);
        free(o->message);
}

static void take_entry(struct outcome *o, const struct lb_entry *e) {
        json_array_append_new(o->ingress, json_pack("{s:s, s:s}", "ip", e->text, "ipMode", "VIP"));
        buf_printf(&o->has, "%s%s of AddressPool %s", o->has.size > 0 ? ", " : "", e->text,
                        object_name(e->pool->object));
        if (e->node) {
                buf_printf(&o->nodes, "%snode %s answers for %s", o->nodes.size > 0 ? ", " : "",
                                e->node, e->text);
                return;
        }
        free(o->message);
        o->reason = "NoNode";
        o->message = strformat("no node can answer for %s: none is Ready, matches the "
                               "nodeSelector of the AddressPool \"%s\" and is not excluded",
                        e->text, object_name(e->pool->object));
}

static void look_at_family(
                struct outcome *o, struct lb_view *v, const json_t *service, unsigned size) {
        _cleanup_free_ char *key = object_key(service);
        struct lb_refusal refusal = {0};

        assert(key);
        map_foreach (v->entries, i) {
                const struct lb_entry *e = map_entry_value(i);

                if (e->address.size == size && lb_lists(e, key) && lb_accepts(v, e, service))
                        return take_entry(o, e);
        }
        if (lb_place(v, service, size, &refusal)) {
                free(refusal.message);
                if (!o->reason)
                        o->reason = ""; /* the next state of the pool has it */
                return;
        }
        free(o->message);
        o->reason = refusal.reason;
        o->message = refusal.message;
}

static json_t *conditions_of(const struct world *w, const json_t *service, const char *status,
                const char *reason, const char *message) {
        json_t *conditions = json_deep_copy(json_at(service, "status.conditions"));
        char now[TIMEFMT_SIZE];

        if (!conditions)
                conditions = json_array();
        assert(conditions);
        condition_set(conditions, LB_CONDITION, status, reason, message,
                        time_format(w->now_us, now), false);
        return conditions;
}

/* Without that of a load balancer. */
static json_t *other_conditions_of(const json_t *service) {
        json_t *conditions = json_array();
        const json_t *c;
        size_t i;

        assert(conditions);
        json_array_foreach (json_at(service, "status.conditions"), i, c)
                if (!streq(json_str_or(c, "type", ""), LB_CONDITION))
                        json_array_append(conditions, json_unconst(c));
        return conditions;
}

static void report_events(struct actions *a, const json_t *service, const struct outcome *o,
                const char *before) {
        if (o->reason) {
                action_event(a, service, "Warning", "SyncLoadBalancerFailed",
                                "Error syncing load balancer: %s", o->message);
                return;
        }
        if (!json_same(json_at(service, "status.loadBalancer.ingress"), o->ingress))
                action_event(a, service, "Normal", "EnsuredLoadBalancer",
                                "Ensured load balancer: %s", o->has.data);
        if (!strstr(before, o->nodes.data))
                action_event(a, service, "Normal", "nodeAssigned", "%s", o->nodes.data);
}

static void show(const struct world *w, struct actions *a, const json_t *service,
                const struct outcome *o) {
        const json_t *was = object_condition(service, LB_CONDITION);
        const char *before = json_str_or(was, "message", "");
        _cleanup_free_ char *text = o->reason ? strdup(strempty(o->message))
                                              : strformat("%s; %s", o->has.data, o->nodes.data);
        const json_t *shown = json_at(service, "status.loadBalancer.ingress");
        bool same = shown ? json_same(shown, o->ingress) : json_array_size(o->ingress) == 0;

        assert(text);
        if (same && streq(before, text))
                return;
        report_events(a, service, o, before);
        action_patch(a, "services", service, "status",
                        json_pack("{s:{s:{s:O}, s:o}}", "status", "loadBalancer", "ingress",
                                        o->ingress, "conditions",
                                        conditions_of(w, service, o->reason ? "False" : "True",
                                                        o->reason ? o->reason : "Assigned", text)));
}

static void keep_finalizer(struct actions *a, const json_t *service, bool keep) {
        json_t *list = json_array();
        const json_t *v;
        size_t i;

        assert(list);
        json_array_foreach (json_at(service, "metadata.finalizers"), i, v)
                if (!streq(strempty(json_string_value(v)), LB_FINALIZER))
                        json_array_append(list, json_unconst(v));
        if (keep)
                json_array_append_new(list, json_string(LB_FINALIZER));
        action_patch(a, "services", service, NULL,
                        json_pack("{s:{s:o}}", "metadata", "finalizers", list));
}

static void clear(struct actions *a, struct lb_view *v, const json_t *service) {
        _cleanup_free_ char *key = object_key(service);

        assert(key);
        if (json_array_size(json_at(service, "status.loadBalancer.ingress")) > 0) {
                action_event(a, service, "Normal", "DeletingLoadBalancer",
                                "Deleting load balancer");
                action_patch(a, "services", service, "status",
                                json_pack("{s:{s:{s:n}, s:o}}", "status", "loadBalancer", "ingress",
                                                "conditions", other_conditions_of(service)));
                return;
        }
        map_foreach (v->entries, i)
                if (lb_lists(map_entry_value(i), key))
                        return; /* until the pool has forgotten it */
        if (object_has_finalizer(service, LB_FINALIZER)) {
                keep_finalizer(a, service, /* keep= */ false);
                action_event(a, service, "Normal", "DeletedLoadBalancer", "Deleted load balancer");
        }
}

static void plan_service(const struct world *w, const char *name, struct actions *a) {
        static const unsigned sizes[] = {4, 16};
        const json_t *service = world_get_key(w, WORLD_SERVICES, name);
        _cleanup_lb_view_ struct lb_view v;
        _cleanup_(outcome_done) struct outcome o = {0};

        lb_view_init(&v, w);
        if (!service || !lb_is_ours(service))
                return;
        if (!lb_wants(service))
                return clear(a, &v, service);
        if (!object_has_finalizer(service, LB_FINALIZER))
                return keep_finalizer(a, service, /* keep= */ true);
        o.ingress = json_array();
        assert(o.ingress);
        for (size_t i = 0; i < ELEMENTS(sizes); i++)
                if (lb_wants_family(service, sizes[i]))
                        look_at_family(&o, &v, service, sizes[i]);
        if (!o.reason || *o.reason)
                show(w, a, service, &o);
}

static void loadbalancer_plan(const struct world *w, const char *name, struct actions *a) {
        if (streq(name, POOLS))
                plan_pools(w, a);
        else if (streq(name, PULSE))
                plan_pulse(w, a);
        else
                plan_service(w, name, a);
}

const struct controller loadbalancer_controller = {
                .name = "loadbalancer",
                .primary = WORLD_KINDS_MAX,
                .kinds = WORLD_BIT(WORLD_SERVICES) | WORLD_BIT(WORLD_ADDRESSPOOLS) |
                         WORLD_BIT(WORLD_NODES) | WORLD_BIT(WORLD_LEASES) |
                         WORLD_BIT(WORLD_ENDPOINTSLICES) | WORLD_BIT(WORLD_NAMESPACES),
                .wake = loadbalancer_wake,
                .plan = loadbalancer_plan,
};
