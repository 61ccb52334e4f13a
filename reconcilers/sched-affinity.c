/* Preferred node affinity. */
#include "reconcilers/sched-internal.h"

int64_t node_preference(const json_t *pod, const json_t *node) {
        const json_t *list = json_at(pod, "spec.affinity.nodeAffinity."
                                          "preferredDuringSchedulingIgnoredDuringExecution");
        const json_t *p;
        int64_t sum = 0;
        size_t i;

        json_array_foreach (list, i, p)
                if (node_term_matches(json_object_get(p, "preference"), node))
                        sum += json_int_or(p, "weight", 0);
        return sum;
}
