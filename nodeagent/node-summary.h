/* /stats/summary, as clients of a kubelet know it, from what the agent reports for metrics.k8s.io.
 * Pure. */
#pragma once

#include "lib/json.h"

struct node_disk {
        uint64_t capacity_bytes, available_bytes, inodes, inodes_free;
};
/* usage: a NodeUsage (kapid/kinds/keelson.yaml), NULL: nothing was measured yet. A new reference;
 * NULL: no memory. */
json_t *node_summary(const char *node, const json_t *usage, const struct node_disk *disk,
                uint64_t now_us);
