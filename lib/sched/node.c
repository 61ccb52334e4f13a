/* Nodes: read once when they change in something that the scheduler uses, so that a heartbeat costs
 * a few comparisons. A node that comes, leaves or changes its labels moves its pods out of the
 * counts of terms and back. */
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/sched/internal.h"

enum { PODS_MAX_DEFAULT = 110 };

struct sched_node *sched_node_get(struct sched_cluster *c, const char *name) {
        struct sched_node *n = map_get(c->nodes, name);

        if (n)
                return n;
        n = sched_alloc(1, sizeof(*n));
        n->name = sched_strdup(name);
        n->slot = NO_SLOT;
        assert(map_set(c->nodes, name, n) >= 0);
        return n;
}

static void taints_done(struct sched_node *n) {
        for (size_t i = 0; i < n->taints.count; i++) {
                free(n->taints.items[i].key);
                free(n->taints.items[i].value);
        }
        vector_done(&n->taints);
}

void sched_node_free(struct sched_cluster *c, struct sched_node *n) {
        json_decref(n->object);
        taints_done(n);
        sched_images_done(c, &n->images);
        vector_done(&n->ports);
        vector_done(&n->pods);
        vector_done(&n->nominated);
        free(n->name);
        free(n);
}

void sched_node_maybe_drop(struct sched_cluster *c, struct sched_node *n) {
        if (n->object || n->pods.count > 0 || n->nominated.count > 0)
                return;
        map_steal(c->nodes, n->name);
        sched_node_free(c, n);
}

void sched_node_changed(struct sched_cluster *c, const struct sched_node *node) {
        if (node->slot >= 0)
                c->changes[c->change_count++ % CHANGES_MAX] = (uint32_t)node->slot;
}

/* --- reading --- */

static void read_taints(struct sched_node *n, const json_t *node) {
        const json_t *v;
        size_t i;

        taints_done(n);
        json_array_foreach (json_at(node, "spec.taints"), i, v) {
                struct sched_taint t = {.key = sched_strdup(json_str_or(v, "key", "")),
                                .value = sched_strdup(json_str_or(v, "value", "")),
                                .effect = taint_effect_parse(json_str_or(v, "effect", ""))};

                sched_append(&n->taints, t);
        }
}

static void read_allocatable(struct sched_cluster *c, struct sched_node *n, const json_t *node) {
        const json_t *pods = json_at(node, "status.allocatable.pods");
        const char *name;
        json_t *v;

        n->allocatable = (struct sched_resources){0};
        json_object_each (json_at(node, "status.allocatable"), name, v) {
                unsigned id = sched_resource_id(c, name);

                if (id < RESOURCES_MAX)
                        n->allocatable.v[id] = sched_resource_amount(id, v);
        }
        n->pods_max = PODS_MAX_DEFAULT;
        if (pods)
                (void)quantity_parse_units(pods, &n->pods_max);
}

static void read_images(struct sched_cluster *c, struct sched_node *n, const json_t *node) {
        struct sched_images old = n->images;
        const json_t *v, *name;
        size_t i, k;

        n->images = (struct sched_images){0};
        json_array_foreach (json_at(node, "status.images"), i, v)
                json_array_foreach (json_object_get(v, "names"), k, name) {
                        struct sched_image *image =
                                        sched_image_get(c, strempty(json_string_value(name)));

                        image->size = json_int_or(v, "sizeBytes", 0);
                        image->nodes++;
                        sched_append(&n->images, image);
                }
        for (i = 0; i < old.count; i++)
                old.items[i]->nodes--;
        sched_images_done(c, &old);
        c->images_epoch++;
}

/* --- coming and leaving --- */

static void enter(struct sched_cluster *c, struct sched_node *n) {
        struct sched_node_filter *f;
        struct sched_tally *t;
        struct sched_key *k;

        LIST_FOREACH(k, &c->all_keys, all)
        sched_key_enter(k, n);
        LIST_FOREACH(f, &c->all_filters, all)
        sched_filter_judge(f, n);
        LIST_FOREACH(t, &c->filtered, filtered)
        sched_tally_node(t, n, 1);
        for (size_t i = 0; i < n->pods.count; i++)
                sched_terms_count(n->pods.items[i], 1);
}

static void leave(struct sched_cluster *c, struct sched_node *n) {
        struct sched_tally *t;
        struct sched_key *k;

        for (size_t i = 0; i < n->pods.count; i++)
                sched_terms_count(n->pods.items[i], -1);
        LIST_FOREACH(t, &c->filtered, filtered)
        sched_tally_node(t, n, -1);
        LIST_FOREACH(k, &c->all_keys, all)
        sched_key_leave(k, n);
}

static void take_slot(struct sched_cluster *c, struct sched_node *n) {
        size_t slot = c->node_count == c->slots.count ? c->slots.count : 0;

        while (slot < c->slots.count && c->slots.items[slot])
                slot++;
        if (slot == c->slots.count)
                sched_append(&c->slots, NULL);
        c->slots.items[slot] = n;
        n->slot = (int32_t)slot;
        c->node_count++;
        c->images_epoch++;
}

static bool same_at(const json_t *a, const json_t *b, const char *path) {
        return json_same(json_at(a, path), json_at(b, path));
}

static uint32_t node_events(const json_t *old, const json_t *node) {
        uint32_t events = 0;

        if (!old)
                return SCHED_NODE_ADDED | SCHED_NODE_LABELS | SCHED_NODE_TAINTS | SCHED_NODE_IMAGES;
        if (!same_at(old, node, "status.allocatable") ||
                        object_condition_true(node, "Ready") !=
                                        object_condition_true(old, "Ready") ||
                        object_is_deleting(node) != object_is_deleting(old))
                events |= SCHED_NODE_ADDED;
        if (!same_at(old, node, "metadata.labels"))
                events |= SCHED_NODE_LABELS;
        if (!same_at(old, node, "spec.taints") ||
                        json_bool_or(old, "spec.unschedulable", false) !=
                                        json_bool_or(node, "spec.unschedulable", false))
                events |= SCHED_NODE_TAINTS;
        if (!same_at(old, node, "status.images"))
                events |= SCHED_NODE_IMAGES;
        return events;
}

uint32_t sched_cluster_put_node(struct sched_cluster *c, const json_t *node) {
        struct sched_node *n = sched_node_get(c, object_name(node));
        uint32_t events = node_events(n->object, node);
        bool moves = events & (SCHED_NODE_LABELS | SCHED_NODE_TAINTS);

        if (n->object && moves)
                leave(c, n);
        if (!n->object)
                take_slot(c, n);
        json_decref(n->object);
        n->object = json_ref(node);
        if (events & SCHED_NODE_TAINTS)
                read_taints(n, node);
        if (events & SCHED_NODE_ADDED)
                read_allocatable(c, n, node);
        if (events & SCHED_NODE_IMAGES)
                read_images(c, n, node);
        n->unschedulable = json_bool_or(node, "spec.unschedulable", false);
        n->ready = object_condition_true(node, "Ready");
        n->deleting = object_is_deleting(node);
        if (moves)
                enter(c, n);
        if (events)
                sched_node_changed(c, n);
        return events & ~(uint32_t)SCHED_NODE_IMAGES;
}

void sched_cluster_remove_node(struct sched_cluster *c, const json_t *node) {
        struct sched_node *n = map_get(c->nodes, object_name(node));

        if (!n || !n->object)
                return;
        leave(c, n);
        sched_node_changed(c, n);
        c->slots.items[n->slot] = NULL;
        c->node_count--;
        n->slot = NO_SLOT;
        json_decref(n->object);
        n->object = NULL;
        for (size_t i = 0; i < n->images.count; i++)
                n->images.items[i]->nodes--;
        sched_images_done(c, &n->images);
        c->images_epoch++;
        sched_node_maybe_drop(c, n);
}
