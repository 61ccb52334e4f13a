/* Facts about the machine -> Node status. Pure. */
#include "nodeagent/node.h"

#include "lib/object.h"
#include "lib/timefmt.h"

/* A part of the addresses stays free, so that one that was released is not given again at once. */
enum { PODS_PER_256 = 250, PODS_MAX = 4000 };
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

static const struct {
        const char *type, *low, *enough, *low_text, *enough_text;
} pressures[NODE_PRESSURES] = {
                [PRESSURE_MEMORY] = {"MemoryPressure", "KubeletHasInsufficientMemory",
                                "KubeletHasSufficientMemory",
                                "kubelet has insufficient memory available",
                                "kubelet has sufficient memory available"},
                [PRESSURE_DISK] = {"DiskPressure", "KubeletHasDiskPressure",
                                "KubeletHasNoDiskPressure", "kubelet has disk pressure",
                                "kubelet has no disk pressure"},
                [PRESSURE_PIDS] = {"PIDPressure", "KubeletHasInsufficientPID",
                                "KubeletHasSufficientPID", "kubelet has insufficient PID available",
                                "kubelet has sufficient PID available"}};

static json_t *conditions(const json_t *old, const struct node_facts *f) {
        static const char *const ours[] = {
                        "Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
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
        for (i = 0; i < NODE_PRESSURES; i++)
                condition(list, old, pressures[i].type, f->pressure[i],
                                f->pressure[i] ? pressures[i].low : pressures[i].enough,
                                f->pressure[i] ? pressures[i].low_text : pressures[i].enough_text,
                                f->now_us);
        condition(list, old, "Ready", !f->shutting_down,
                        f->shutting_down ? "KubeletNotReady" : "KubeletReady",
                        f->shutting_down ? "node is shutting down" : "the node agent is running",
                        f->now_us);
        return list;
}

int64_t node_memory_reserve(int64_t memory_bytes) {
        int64_t reserve = MAX(memory_bytes / 10, RESERVE_MIN_BYTES);

        reserve = MIN(reserve, RESERVE_MAX_BYTES);
        return MIN(reserve, memory_bytes / 4);
}

int64_t node_pods_max(uint32_t addresses) {
        int64_t blocks = (int64_t)addresses / 256 + 1; /* of a /24 each */
        int64_t most = MIN(blocks * PODS_PER_256, (int64_t)PODS_MAX);

        return addresses == 0 ? PODS_PER_256 : MIN(most, (int64_t)addresses);
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
        json_object_set_new(v, "pods", json_sprintf("%lld", (long long)f->pods_max));
        return v;
}

static json_t *addresses(const struct node_facts *f) {
        json_t *list = json_pack("[{s:s, s:s}]", "type", "InternalIP", "address", f->address);

        if (!isempty(f->address6))
                json_array_append_new(list, json_pack("{s:s, s:s}", "type", "InternalIP", "address",
                                                            f->address6));
        json_array_append_new(
                        list, json_pack("{s:s, s:s}", "type", "Hostname", "address", f->name));
        return list;
}

json_t *node_status(const json_t *old, const struct node_facts *f) {
        json_t *info = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "machineID",
                        f->machine_id, "systemUUID", f->machine_id, "bootID", f->boot_id,
                        "kernelVersion", f->kernel, "osImage", f->os_image,
                        "containerRuntimeVersion", f->runtime, "kubeletVersion", f->version,
                        "kubeProxyVersion", f->version, "operatingSystem", "linux", "architecture",
                        f->architecture);

        return json_pack("{s:o, s:o, s:o, s:o, s:o, s:O*}", "capacity", amounts(f, f->memory_bytes),
                        "allocatable",
                        amounts(f, f->memory_bytes - node_memory_reserve(f->memory_bytes)),
                        "conditions", conditions(old, f), "nodeInfo", info, "addresses",
                        addresses(f), "images", f->images);
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
