/* Plugins about a node's free room: NodePorts, NodeResourcesFit, NodeResourcesBalancedAllocation,
 * ImageLocality. */
#include <math.h>

#include "lib/sched/internal.h"

/* --- ports --- */

static bool clash(const struct sched_port *a, const struct sched_port *b) {
        return a->port == b->port && streq(a->protocol, b->protocol) &&
               (!*a->ip || !*b->ip || streq(a->ip, b->ip));
}

int sched_ports_filter(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why) {
        for (size_t i = 0; i < shape->ports.count; i++)
                for (size_t k = 0; k < node->ports.count; k++)
                        if (clash(&shape->ports.items[i], node->ports.items[k])) {
                                sched_reason(why, "node(s) didn't have free ports for the "
                                                  "requested pod ports");
                                return REFUSED;
                        }
        return FITS;
}

/* --- fit --- */

static bool is_ignored(const struct sched_profile *profile, const char *name) {
        const char *slash = strchr(name, '/');

        if (strv_contains(profile->ignored_resources, name))
                return true;
        for (size_t i = 0; slash && profile->ignored_groups && profile->ignored_groups[i]; i++)
                if (strlen(profile->ignored_groups[i]) == (size_t)(slash - name) &&
                                startswith(name, profile->ignored_groups[i]))
                        return true;
        return false;
}

int sched_fit_filter(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why) {
        bool refused = false, unresolvable = false;

        if ((int64_t)node->pods.count + 1 > node->pods_max) {
                sched_reason(why, "Too many pods");
                refused = true;
        }
        if (shape->wants_unknown) {
                sched_reason(why, "Insufficient resources: there are more than %i different ones",
                                RESOURCES_MAX);
                refused = unresolvable = true;
        }
        for (size_t i = 0; i < shape->requests.count; i++) {
                const struct sched_amount *a = &shape->requests.items[i];
                const char *name = c->resource_names[a->id];

                if (a->amount <= node->allocatable.v[a->id] - node->used.v[a->id] ||
                                (a->id > RESOURCE_STORAGE && is_ignored(profile, name)))
                        continue;
                sched_reason(why, "Insufficient %s", name);
                refused = true;
                /* No victim makes room for more than the node has. */
                unresolvable |= a->amount > node->allocatable.v[a->id];
        }
        return unresolvable ? UNRESOLVABLE : refused ? REFUSED : FITS;
}

/* The usage with the pod, for scores. */
static int64_t used_with(const struct sched_shape *shape, const struct sched_node *node,
                unsigned id, bool assumed) {
        int64_t more = 0;

        if (assumed && id == RESOURCE_CPU)
                return node->score_cpu + shape->score_cpu;
        if (assumed && id == RESOURCE_MEMORY)
                return node->score_memory + shape->score_memory;
        for (size_t i = 0; i < shape->requests.count; i++)
                if (shape->requests.items[i].id == id)
                        more = shape->requests.items[i].amount;
        return node->used.v[id] + more;
}

static bool asks_for(const struct sched_shape *shape, unsigned id) {
        for (size_t i = 0; i < shape->requests.count; i++)
                if (shape->requests.items[i].id == id)
                        return true;
        return false;
}

/* The points of the shape, with straight lines between them; scores 0..10 become 0..100. */
static int64_t ratio_score(const struct sched_profile *profile, int64_t utilization) {
        int64_t last_u = 0, last_s = 0;

        for (size_t i = 0; i < profile->shape.count; i++) {
                int64_t u = profile->shape.items[i].utilization;
                int64_t s = profile->shape.items[i].score * 10;

                if (utilization <= u && (i == 0 || u == last_u))
                        return s;
                if (utilization <= u)
                        return last_s + (s - last_s) * (utilization - last_u) / (u - last_u);
                last_u = u;
                last_s = s;
        }
        return last_s;
}

static int64_t resource_score(const struct sched_profile *profile, int64_t total, int64_t used) {
        switch (profile->strategy) {
        case STRATEGY_MOST:
                return MIN(used, total) * 100 / total;
        case STRATEGY_RATIO:
                return ratio_score(profile, used > total ? 100 : used * 100 / total);
        case STRATEGY_LEAST:
                break;
        }
        return used >= total ? 0 : (total - used) * 100 / total;
}

int64_t sched_fit_score(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node) {
        int64_t sum = 0, weights = 0;

        for (size_t i = 0; i < profile->resources.count; i++) {
                unsigned id = profile->resources.items[i].id;
                int64_t weight = profile->resources.items[i].weight, score;

                if (node->allocatable.v[id] <= 0 || (id > RESOURCE_STORAGE && !asks_for(shape, id)))
                        continue;
                score = resource_score(profile, node->allocatable.v[id],
                                used_with(shape, node, id, /* assumed= */ true));
                if (profile->strategy == STRATEGY_RATIO && score <= 0)
                        continue;
                sum += score * weight;
                weights += weight;
        }
        if (weights == 0)
                return 0;
        return profile->strategy == STRATEGY_RATIO ? (2 * sum + weights) / (2 * weights)
                                                   : sum / weights;
}

/* The smaller the spread of the shares in use, the better. A pod without requests has no say. */
int64_t sched_balanced_score(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node) {
        double shares[RESOURCES_MAX], mean = 0, square = 0;
        size_t n = 0;

        if (shape->requests.count == 0)
                return 0;
        for (size_t i = 0; i < profile->balanced.count; i++) {
                unsigned id = profile->balanced.items[i].id;
                int64_t total = node->allocatable.v[id];

                if (total <= 0 || (id > RESOURCE_STORAGE && !asks_for(shape, id)))
                        continue;
                shares[n] = (double)used_with(shape, node, id, /* assumed= */ false) /
                            (double)total;
                shares[n] = MIN(shares[n], 1.0);
                mean += shares[n++];
        }
        if (n < 2)
                return n == 0 ? 0 : 100;
        if (n == 2)
                return (int64_t)((1 - fabs(shares[0] - shares[1]) / 2) * 100);
        mean /= (double)n;
        for (size_t i = 0; i < n; i++)
                square += (shares[i] - mean) * (shares[i] - mean);
        return (int64_t)((1 - sqrt(square / (double)n)) * 100);
}

/* --- images --- */

#define IMAGE_MIN (INT64_C(23) << 20)
#define IMAGE_MAX (INT64_C(1000) << 20)

/* Images that are there already, each counted in the share of nodes that have it, so that a single
 * node with the image does not get every pod. */
int64_t sched_images_score(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node) {
        int64_t sum = 0, most = IMAGE_MAX * (int64_t)shape->containers;

        if (c->node_count == 0 || node->images.count == 0)
                return 0;
        for (size_t i = 0; i < shape->images.count; i++) {
                const struct sched_image *image = shape->images.items[i];

                for (size_t k = 0; image->nodes > 0 && k < node->images.count; k++)
                        if (node->images.items[k] == image) {
                                sum += (int64_t)((double)image->size * (double)image->nodes /
                                                 (double)c->node_count);
                                break;
                        }
        }
        sum = MAX(sum, IMAGE_MIN);
        sum = MIN(sum, most);
        return most <= IMAGE_MIN ? 0 : 100 * (sum - IMAGE_MIN) / (most - IMAGE_MIN);
}
