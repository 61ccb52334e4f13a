/* Amounts of a pod as a whole: the properties of its slice, and who is killed first when the
 * machine's memory ends. Containers' own amounts are rows of pod-fields.c. */
#include "lib/pod-amounts.h"
#include "nodeagent/plan/plan.h"

enum {
        WEIGHT_MAX = 10000,
        MILLI_PER_WEIGHT = 10, /* one core is systemd's default weight of 100 */
        /* A kubelet's scale (KEP-753 for sidecars). */
        OOM_GUARANTEED = -997,
        OOM_BURSTABLE_MIN = 3,
        OOM_BEST_EFFORT = 1000,
        PRIORITY_NODE_CRITICAL = 2000001000,
};

static const char *const lists[] = {"initContainers", "containers"};

/* In whole units, within int64_t. */
static int64_t units_of(struct quantity q, int64_t per_unit) {
        __int128 n = (q.milli + per_unit - 1) / per_unit;

        return n < 0 ? 0 : n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static bool every_container_has(const json_t *spec, const char *side, const char *resource) {
        const json_t *c;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, c) {
                        struct quantity q;

                        if (!container_amount(c, side, resource, &q) || q.milli <= 0)
                                return false;
                }
        return true;
}

/* The pod's limit; 0: none. */
static int64_t limit_of(const json_t *spec, const char *resource, int64_t per_unit) {
        struct quantity whole, sum;

        if (!container_amount(spec, "limits", resource, &whole) &&
                        !every_container_has(spec, "limits", resource))
                return 0;
        return pod_amount(spec, "limits", resource, &sum) ? units_of(sum, per_unit) : 0;
}

static int64_t request_of(const json_t *spec, const char *resource, int64_t per_unit) {
        struct quantity q;

        return pod_amount(spec, "requests", resource, &q) ? units_of(q, per_unit) : 0;
}

static int set_positive(json_t *properties, const char *key, int64_t value) {
        if (value <= 0)
                return 0;
        return json_object_set_new(properties, key, json_integer(value)) < 0 ? -ENOMEM : 0;
}

int pod_slice_resources(const json_t *pod, json_t **ret) {
        const json_t *spec = json_object_get(pod, "spec");
        int64_t share = request_of(spec, "cpu", 1) / MILLI_PER_WEIGHT,
                weight = MIN(share, (int64_t)WEIGHT_MAX), quota = limit_of(spec, "cpu", 1);
        const struct {
                const char *key;
                int64_t value;
        } rows[] = {{"CPUWeight", MAX(weight, INT64_C(1))},
                        {"CPUQuotaPerSecUSec", MIN(quota, INT64_MAX / 1000) * 1000},
                        {"MemoryLow", request_of(spec, "memory", 1000)},
                        {"MemoryMax", limit_of(spec, "memory", 1000)}};
        _cleanup_json_ json_t *properties = json_object();

        if (!properties)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                int r = set_positive(properties, rows[i].key, rows[i].value);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(properties);
        return 0;
}

static int64_t memory_request(const json_t *container) {
        struct quantity q;

        return container_amount(container, "requests", "memory", &q) ? units_of(q, 1000) : 0;
}

/* What each container has of the part of spec.resources that no container asks for itself. */
static int64_t share_of_rest(const json_t *spec) {
        int64_t rest = memory_request(spec), count = 0;
        const json_t *c;
        size_t i;

        if (rest == 0)
                return 0;
        json_array_foreach (json_object_get(spec, "containers"), i, c) {
                rest -= MIN(rest, memory_request(c));
                count++;
        }
        return count > 0 ? rest / count : 0;
}

static int64_t score_of(int64_t request, int64_t memory_bytes) {
        return 1000 - (int64_t)((__int128)1000 * request / memory_bytes);
}

/* A sidecar is not killed before the container that it serves. */
static int64_t least_request(const json_t *spec) {
        int64_t least = INT64_MAX;
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(spec, "containers"), i, c)
                least = MIN(least, memory_request(c));
        return least == INT64_MAX ? 0 : least;
}

int pod_oom_score(const json_t *pod, const json_t *container, int64_t memory_bytes) {
        const json_t *spec = json_object_get(pod, "spec");
        const char *class = pod_qos_class(spec);
        int64_t request = memory_request(container) + share_of_rest(spec), score;

        if (json_int_or(spec, "priority", 0) >= PRIORITY_NODE_CRITICAL ||
                        streq(class, "Guaranteed"))
                return OOM_GUARANTEED;
        if (streq(class, "BestEffort") || memory_bytes <= 0)
                return OOM_BEST_EFFORT;
        if (streq(json_str_or(container, "restartPolicy", ""), "Always"))
                request = MAX(request, least_request(spec));
        score = score_of(MIN(request, memory_bytes), memory_bytes);
        score = MIN(score, (int64_t)OOM_BEST_EFFORT - 1);
        return (int)MAX(score, (int64_t)OOM_BURSTABLE_MIN);
}

json_t *pod_resource_properties(const json_t *unit) {
        /* systemd's default, where the plan sets nothing: a limit that was taken away. */
        static const struct {
                const char *key;
                int64_t absent;
        } rows[] = {{"CPUWeight", -1}, {"CPUQuotaPerSecUSec", -1}, {"MemoryLow", 0},
                        {"MemoryMax", -1}};
        _cleanup_json_ json_t *out = json_object();

        if (!out)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const json_t *v = json_get(unit, "properties", rows[i].key, NULL);

                if (json_object_set_new(out, rows[i].key,
                                    v ? json_ref(v) : json_integer(rows[i].absent)) < 0)
                        return NULL;
        }
        return TAKE_PTR(out);
}
