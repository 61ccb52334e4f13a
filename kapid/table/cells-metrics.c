/* Cells of metrics.k8s.io, as metrics-server prints them: a pod's are the sums of its containers'.
 */
#include "kapid/table/cells.h"

#include "lib/quantity.h"

static json_t *sum_cell(const json_t *pod, const char *resource) {
        _cleanup_free_ char *text = NULL;
        struct quantity sum = {0};
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(pod, "containers"), i, c) {
                struct quantity q;

                if (quantity_read(json_get(c, "usage", resource, NULL), &q) == 0)
                        quantity_add(&sum, q, 1);
        }
        text = quantity_write(sum);
        return text ? json_string(text) : NULL;
}

json_t *cells_metrics_cpu(const json_t *pod, uint64_t now_us) {
        return sum_cell(pod, "cpu");
}

json_t *cells_metrics_memory(const json_t *pod, uint64_t now_us) {
        return sum_cell(pod, "memory");
}
