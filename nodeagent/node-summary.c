/* Reference: stats/v1alpha1 of k8s.io/kubelet. Fields that nobody measures here are left out. */
#include "nodeagent/node-summary.h"

#include "lib/timefmt.h"

static json_t *cpu(const json_t *row, const char *time) {
        return json_pack("{ss, sI}", "time", time, "usageNanoCores",
                        (json_int_t)json_int_or(row, "cpuNanocores", 0));
}

static json_t *memory(const json_t *row, const char *time) {
        json_int_t bytes = json_int_or(row, "memoryBytes", 0);

        return json_pack("{ss, sI, sI}", "time", time, "usageBytes", bytes, "workingSetBytes",
                        bytes);
}

static json_t *filesystem(const struct node_disk *d, const char *time) {
        uint64_t used = d->capacity_bytes - MIN(d->available_bytes, d->capacity_bytes);

        return json_pack("{ss, sI, sI, sI, sI, sI}", "time", time, "capacityBytes",
                        (json_int_t)d->capacity_bytes, "availableBytes",
                        (json_int_t)d->available_bytes, "usedBytes", (json_int_t)used, "inodes",
                        (json_int_t)d->inodes, "inodesFree", (json_int_t)d->inodes_free);
}

static json_t *containers(const json_t *pod, const char *time, int64_t sums[static 2]) {
        json_t *list = json_array();
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(pod, "containers"), i, c) {
                sums[0] += json_int_or(c, "cpuNanocores", 0);
                sums[1] += json_int_or(c, "memoryBytes", 0);
                json_array_append_new(list,
                                json_pack("{ss, so, so}", "name", json_str_or(c, "name", ""), "cpu",
                                                cpu(c, time), "memory", memory(c, time)));
        }
        return list;
}

static json_t *pod_row(const json_t *pod, const char *time) {
        int64_t sums[2] = {0};
        json_t *list = containers(pod, time, sums);
        _cleanup_json_ json_t *all = json_pack("{sI, sI}", "cpuNanocores", (json_int_t)sums[0],
                        "memoryBytes", (json_int_t)sums[1]);

        return json_pack("{s{ss, ss, ss}, so, so, so}", "podRef", "name",
                        json_str_or(pod, "name", ""), "namespace",
                        json_str_or(pod, "namespace", ""), "uid", json_str_or(pod, "uid", ""),
                        "containers", list, "cpu", cpu(all, time), "memory", memory(all, time));
}

json_t *node_summary(const char *node, const json_t *usage, const struct node_disk *disk,
                uint64_t now_us) {
        char time[TIMEFMT_SIZE];
        json_t *pods = json_array();
        const json_t *pod;
        size_t i;

        time_format(now_us, time);
        json_array_foreach (json_at(usage, "pods"), i, pod)
                json_array_append_new(pods, pod_row(pod, time));
        if (!usage)
                return json_pack("{s{ss, so}, so}", "node", "nodeName", node, "fs",
                                filesystem(disk, time), "pods", pods);
        return json_pack("{s{ss, so, so, so}, so}", "node", "nodeName", node, "cpu",
                        cpu(usage, time), "memory", memory(usage, time), "fs",
                        filesystem(disk, time), "pods", pods);
}
