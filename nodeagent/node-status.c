/* Facts about the machine -> Node status. Pure. */
#include "nodeagent/node.h"

#include "lib/object.h"
#include "lib/timefmt.h"

enum { PODS_MAX = 250 };
#define MEMORY_LOW_BYTES (INT64_C(100) * 1024 * 1024)
#define RESERVE_MIN_BYTES (INT64_C(256) * 1024 * 1024)
#define RESERVE_MAX_BYTES (INT64_C(2) * 1024 * 1024 * 1024)

static void condition(json_t *list, const json_t *old, const char *type, bool status,
                const char *reason, const char *message, uint64_t now_us) {
        const json_t *before = object_condition(old, type);
        const char *text = status ? "True" : "False", *since = NULL;
        char now[TIMEFMT_SIZE];

        time_format(now_us, now);
        if (before && streq(json_str_or(before, "status", ""), text))
                since = json_str(before, "lastTransitionTime");
        json_array_append_new(list,
                        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", text,
                                        "lastHeartbeatTime", now, "lastTransitionTime",
                                        since ? since : now, "reason", reason, "message", message));
}

static json_t *conditions(const json_t *old, const struct node_facts *f) {
        static const char *const ours[] = {
                        "Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
        bool memory = f->memory_available < MEMORY_LOW_BYTES,
             disk = f->disk_available < f->disk_bytes / 20;
        bool pids = f->pids_max > 0 && f->pids_used > f->pids_max / 10 * 9;
        json_t *list = json_array();
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(old, "status.conditions"), i, v) {
                bool mine = false;
                for (size_t k = 0; k < ELEMENTS(ours); k++)
                        mine |= streq(json_str_or(v, "type", ""), ours[k]);
                if (!mine)
                        json_array_append(list, (json_t *)v);
        }
        condition(list, old, "MemoryPressure", memory,
                        memory ? "NodeHasInsufficientMemory" : "NodeHasSufficientMemory",
                        memory ? "less than 100 MiB of memory is available"
                               : "enough memory is available",
                        f->now_us);
        condition(list, old, "DiskPressure", disk,
                        disk ? "NodeHasDiskPressure" : "NodeHasNoDiskPressure",
                        disk ? "less than 5 % of the state directory's disk is free"
                             : "enough disk is free",
                        f->now_us);
        condition(list, old, "PIDPressure", pids,
                        pids ? "NodeHasInsufficientPID" : "NodeHasSufficientPID",
                        pids ? "more than 90 % of the process ids are in use"
                             : "enough process ids are free",
                        f->now_us);
        condition(list, old, "Ready", true, "KubeletReady", "the node agent is running", f->now_us);
        return list;
}

int64_t node_memory_reserve(int64_t memory_bytes) {
        int64_t reserve = MAX(memory_bytes / 10, RESERVE_MIN_BYTES);

        reserve = MIN(reserve, RESERVE_MAX_BYTES);
        return MIN(reserve, memory_bytes / 4);
}

static json_t *amounts(const struct node_facts *f, int64_t memory_bytes) {
        json_t *v = json_object();

        json_object_set_new(v, "cpu",
                        f->cpu_milli % 1000 == 0
                                        ? json_sprintf("%lld", (long long)(f->cpu_milli / 1000))
                                        : json_sprintf("%lldm", (long long)f->cpu_milli));
        json_object_set_new(v, "memory", json_sprintf("%lldKi", (long long)(memory_bytes / 1024)));
        json_object_set_new(v, "ephemeral-storage",
                        json_sprintf("%lldKi", (long long)(f->disk_bytes / 1024)));
        json_object_set_new(v, "pods", json_sprintf("%d", PODS_MAX));
        return v;
}

json_t *node_status(const json_t *old, const struct node_facts *f) {
        json_t *info = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "machineID",
                        f->machine_id, "systemUUID", f->machine_id, "bootID", f->boot_id,
                        "kernelVersion", f->kernel, "osImage", f->os_image,
                        "containerRuntimeVersion", f->runtime, "kubeletVersion", f->version,
                        "kubeProxyVersion", f->version, "operatingSystem", "linux", "architecture",
                        f->architecture);

        return json_pack("{s:o, s:o, s:o, s:o, s:[{s:s, s:s}, {s:s, s:s}]}", "capacity",
                        amounts(f, f->memory_bytes), "allocatable",
                        amounts(f, f->memory_bytes - node_memory_reserve(f->memory_bytes)),
                        "conditions", conditions(old, f), "nodeInfo", info, "addresses", "type",
                        "InternalIP", "address", f->address, "type", "Hostname", "address",
                        f->name);
}

static json_t *without_heartbeats(const json_t *status) {
        json_t *copy = json_deep_copy(status), *v;
        size_t i;

        json_array_foreach (json_object_get(copy, "conditions"), i, v)
                json_object_del(v, "lastHeartbeatTime");
        return copy;
}

bool node_status_differs(const json_t *a, const json_t *b) {
        _cleanup_json_ json_t *x = without_heartbeats(a), *y = without_heartbeats(b);

        return !json_equal(x, y);
}
