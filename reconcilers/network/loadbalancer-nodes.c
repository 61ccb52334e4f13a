/* Which node carries an address. The one that does keeps it while it can; otherwise the node with
 * the fewest addresses gets it.
 *
 * A node that carries addresses renews its lease every second and says so in leaseDurationSeconds.
 * It is silent when no renewal was seen for SILENT_US, by the clock of this process, and when the
 * process can know that renewals got through meanwhile: it renews a lease of its own (LB_PULSE)
 * twice a second, and judges a node only if its own renewals were seen, without a gap, for as long
 * as the node was silent. A store without a leader, an overloaded API server, a broken watch or a
 * process that was stopped hold up both, and nothing moves. */
#include "lib/object.h"
#include "reconcilers/network/loadbalancer-internal.h"
#include "reconcilers/pods.h"

#define EXCLUDE_LABEL "node.kubernetes.io/exclude-from-external-load-balancers"
enum {
        LEASE_SECONDS_MAX = 5, /* a longer lease is not that of a node that carries addresses */
        SILENT_US = 2000000,
        GRACE_US = 3000000, /* after the start */
        PROOF_US = 1500000, /* how long after its last renewal our own must have been seen */
        AGAIN_US = 100000,  /* while that proof is missing */
        LATER_US = 1000000,
};

struct choice {
        struct lb_view *v;
        struct actions *a;
        struct map *counts;   /* node -> addresses that it carries (size_t *) */
        struct map *carriers; /* node -> itself, those that carry addresses */
        struct map *silent;   /* those of them that are silent */
        struct objects nodes;
        bool listed;
};

/* --- silence --- */

static bool is_silent(const struct choice *c, const char *node) {
        const struct world *w = c->v->w;
        const json_t *lease = world_get(w, WORLD_LEASES, LB_LEASE_NAMESPACE, node);
        uint64_t seen, pulse;

        if (!lease)
                return false;
        if (json_int_or(lease, "spec.leaseDurationSeconds", 0) > LEASE_SECONDS_MAX)
                return false;
        seen = MAX(w->source->lease_seen(w->data, node), w->started_us + GRACE_US);
        seen = MAX(seen, w->source->lease_unbroken(w->data, LB_PULSE));
        pulse = w->source->lease_seen(w->data, LB_PULSE);
        if (w->mono_us < seen + SILENT_US) {
                actions_requeue(c->a, seen + SILENT_US - w->mono_us);
                return false;
        }
        actions_requeue(c->a, pulse >= seen + PROOF_US ? LATER_US : AGAIN_US);
        return pulse >= seen + PROOF_US;
}

/* When several carry addresses and all are silent at once, the fault is more likely on this side.
 */
static void find_silent(struct choice *c) {
        map_foreach (c->v->entries, i) {
                const struct lb_entry *e = map_entry_value(i);

                if (!e->node || map_get(c->carriers, e->node))
                        continue;
                assert(map_set(c->carriers, e->node, c) >= 0);
                if (is_silent(c, e->node))
                        assert(map_set(c->silent, e->node, c) >= 0);
        }
        if (map_size(c->carriers) > 1 && map_size(c->silent) == map_size(c->carriers))
                map_clear(c->silent);
}

/* --- what nodes are fit --- */

/* The administrator allows it. */
static bool is_allowed(const struct lb_pool *pool, const json_t *node) {
        return !object_label(node, EXCLUDE_LABEL) &&
               (!pool->nodes || label_selector_matches(
                                                pool->nodes, json_at(node, "metadata.labels")));
}

static bool is_fit(const struct choice *c, const struct lb_pool *pool, const json_t *node) {
        return node && is_allowed(pool, node) && !object_is_deleting(node) && node_is_ready(node) &&
               !json_bool_or(node, "spec.unschedulable", false) &&
               !map_get(c->silent, object_name(node));
}

/* May get addresses. One that lost its own because it was silent is not fit before it renews its
 * lease again: it would lose them once more. */
static bool is_candidate(const struct choice *c, const struct lb_pool *pool, const json_t *node) {
        const char *name = object_name(node);

        return is_fit(c, pool, node) && (map_get(c->carriers, name) || !is_silent(c, name));
}

static bool slice_is_on(const json_t *slice, const char *node) {
        const json_t *e;
        size_t i;

        json_array_foreach (json_object_get(slice, "endpoints"), i, e)
                if (streq(json_str_or(e, "nodeName", ""), node) &&
                                json_bool_or(e, "conditions.ready", true))
                        return true;
        return false;
}

static bool serves(const struct choice *c, const char *service, const char *node) {
        _cleanup_objects_ struct objects slices = {0};

        world_list(c->v->w, WORLD_SLICES_BY_SERVICE, service, &slices);
        for (size_t i = 0; i < slices.count; i++)
                if (slice_is_on(slices.items[i], node))
                        return true;
        return false;
}

/* Services with externalTrafficPolicy Local are answered only where they have an endpoint. */
static bool has_endpoints(const struct choice *c, const struct lb_entry *e, const char *node) {
        const json_t *key;
        size_t i;

        json_array_foreach (e->services, i, key) {
                const char *name = json_string_value(key);
                const json_t *s = world_get_key(c->v->w, WORLD_SERVICES, name);

                if (s && streq(json_str_or(s, "spec.externalTrafficPolicy", ""), "Local") &&
                                !serves(c, name, node))
                        return false;
        }
        return true;
}

/* --- the choice --- */

static size_t *count_of(struct choice *c, const char *node) {
        size_t *n = map_get(c->counts, node);

        if (!n) {
                n = calloc(1, sizeof(*n));
                assert(n && map_set(c->counts, node, n) >= 0);
        }
        return n;
}

static const json_t *node_of(const struct choice *c, const struct lb_entry *e) {
        return e->node ? world_get(c->v->w, WORLD_NODES, NULL, e->node) : NULL;
}

/* The fit node with the fewest addresses; the first by name of several. local: only those with
 * endpoints of services that need them. */
static const char *best_node(struct choice *c, const struct lb_entry *e, bool local) {
        const char *best = NULL;

        if (!c->listed)
                world_all(c->v->w, WORLD_NODES, &c->nodes);
        c->listed = true;
        for (size_t i = 0; i < c->nodes.count; i++) {
                const char *name = object_name(c->nodes.items[i]);

                if (!is_candidate(c, e->pool, c->nodes.items[i]) ||
                                (local && !has_endpoints(c, e, name)))
                        continue;
                if (!best || *count_of(c, name) < *count_of(c, best) ||
                                (*count_of(c, name) == *count_of(c, best) &&
                                                strcmp(name, best) < 0))
                        best = name;
        }
        return best;
}

static void set_node(struct lb_entry *e, const char *node) {
        char *copy = node ? strdup(node) : NULL;

        assert(!node || copy);
        free(e->node);
        e->node = copy;
}

static void choose(struct choice *c, struct lb_entry *e) {
        const json_t *current = node_of(c, e);
        const char *best = best_node(c, e, /* local= */ true);

        if (!best && !is_fit(c, e->pool, current))
                best = best_node(c, e, /* local= */ false);
        /* No other can: better one that may be away than none. */
        if (!best && current && is_allowed(e->pool, current))
                best = e->node;
        if (!streq_ptr(best, e->node))
                set_node(e, best);
        if (e->node)
                ++*count_of(c, e->node);
}

void lb_choose_nodes(struct lb_view *v, struct actions *a) {
        struct choice c = {.v = v,
                        .a = a,
                        .counts = map_new(free),
                        .carriers = map_new(NULL),
                        .silent = map_new(NULL)};
        VECTOR(struct lb_entry *) open = {0};

        assert(c.counts && c.carriers && c.silent);
        find_silent(&c);
        map_foreach (v->entries, i) {
                struct lb_entry *e = map_entry_value(i);

                if (is_fit(&c, e->pool, node_of(&c, e)) && has_endpoints(&c, e, e->node))
                        ++*count_of(&c, e->node);
                else
                        assert(vector_append(&open, e) >= 0);
        }
        for (size_t i = 0; i < open.count; i++)
                choose(&c, open.items[i]);
        vector_done(&open);
        objects_done(&c.nodes);
        map_free(c.counts);
        map_free(c.carriers);
        map_free(c.silent);
}
