/* Plugins about a node itself: NodeUnschedulable, NodeReady, NodeName, TaintToleration,
 * NodeAffinity. */
#include "lib/sched/internal.h"

int sched_unschedulable_filter(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why) {
        if (!node->unschedulable || shape->tolerates_unschedulable)
                return FITS;
        sched_reason(why, "node(s) were unschedulable");
        return UNRESOLVABLE;
}

/* A node that has never reported ready may not have the taint yet. */
int sched_ready_filter(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why) {
        if ((node->ready || shape->tolerates_not_ready) && !node->deleting)
                return FITS;
        sched_reason(why, node->deleting ? "node(s) were being deleted" : "node(s) were not ready");
        return UNRESOLVABLE;
}

int sched_name_filter(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why) {
        if (!*shape->node_name || streq(shape->node_name, node->name))
                return FITS;
        sched_reason(why, "node(s) didn't match the requested node name");
        return UNRESOLVABLE;
}

int sched_taints_filter(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why) {
        size_t at = 0;
        const struct sched_taint *t = sched_next_untolerated(shape, node, &at);

        if (!t)
                return FITS;
        sched_reason(why, "node(s) had untolerated taint {%s: %s}", t->key, t->value);
        return UNRESOLVABLE;
}

/* How many PreferNoSchedule taints the pod does not tolerate. */
int64_t sched_taints_score(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node) {
        int64_t n = 0;

        for (size_t i = 0; i < node->taints.count; i++) {
                const struct sched_taint *t = &node->taints.items[i];

                n += t->effect == EFFECT_PREFER &&
                     !sched_tolerates(&shape->tolerations, t->key, t->value, EFFECT_PREFER);
        }
        return n;
}

int sched_affinity_filter(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why) {
        if (profile->added && !profile->added->match[node->slot]) {
                sched_reason(why, "node(s) didn't match scheduler-enforced node affinity");
                return UNRESOLVABLE;
        }
        if (!shape->required || shape->required->match[node->slot])
                return FITS;
        sched_reason(why, "node(s) didn't match Pod's node affinity/selector");
        return UNRESOLVABLE;
}

int64_t sched_affinity_score(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node) {
        int64_t sum = 0;

        for (size_t i = 0; i < shape->preferred.count; i++)
                if (shape->preferred.items[i].filter->match[node->slot])
                        sum += shape->preferred.items[i].weight;
        for (size_t i = 0; i < profile->added_preferred.count; i++)
                if (profile->added_preferred.items[i].filter->match[node->slot])
                        sum += profile->added_preferred.items[i].weight;
        return sum;
}
