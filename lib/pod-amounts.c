/* Sums over a pod's containers. */
#include "lib/pod-amounts.h"

bool container_amount(const json_t *container, const char *side, const char *resource,
                struct quantity *ret) {
        const json_t *v = json_get(container, "resources", side, resource, NULL);

        *ret = (struct quantity){0};
        return v && quantity_read(v, ret) >= 0;
}

static bool runs_beside(const json_t *init_container) {
        return streq(json_str_or(init_container, "restartPolicy", ""), "Always");
}

/* The most that is needed at one time while init containers run; those that keep running are added
 * to *beside. */
static bool init_amount(const json_t *spec, const char *side, const char *resource,
                struct quantity *beside, struct quantity *most) {
        const json_t *container;
        bool named = false;
        size_t i;

        json_array_foreach (json_object_get(spec, "initContainers"), i, container) {
                struct quantity q, now = *beside;

                if (!container_amount(container, side, resource, &q))
                        continue;
                named = true;
                quantity_add(&now, q, 1);
                if (runs_beside(container))
                        *beside = now;
                if (now.milli > most->milli)
                        *most = now;
        }
        return named;
}

static bool containers_amount(
                const json_t *spec, const char *side, const char *resource, struct quantity *ret) {
        struct quantity sum = {0}, most = {0}, q;
        const json_t *container;
        bool named;
        size_t i;

        named = init_amount(spec, side, resource, &sum, &most);
        json_array_foreach (json_object_get(spec, "containers"), i, container)
                if (container_amount(container, side, resource, &q)) {
                        named = true;
                        quantity_add(&sum, q, 1);
                }
        *ret = sum.milli >= most.milli ? sum : most;
        return named;
}

bool pod_amount(const json_t *spec, const char *side, const char *resource, struct quantity *ret) {
        const json_t *overhead = json_get(spec, "overhead", resource, NULL);
        struct quantity whole, extra;
        bool named = containers_amount(spec, side, resource, ret);

        if (container_amount(spec, side, resource, &whole)) {
                *ret = whole;
                named = true;
        }
        if (!overhead || quantity_read(overhead, &extra) < 0 || extra.milli < 0)
                return named;
        /* A pod without a limit has none with its overhead either. */
        if (streq(side, "limits") && ret->milli == 0)
                return named;
        quantity_add(ret, extra, 1);
        return true;
}

/* Whether a container, or spec.resources, names any cpu or memory. */
static bool asks_for_any(const json_t *container) {
        static const char *const sides[] = {"requests", "limits"}, *const resources[] = {
                                                                                   "cpu", "memory"};
        struct quantity q;

        for (size_t s = 0; s < ELEMENTS(sides); s++)
                for (size_t n = 0; n < ELEMENTS(resources); n++)
                        if (container_amount(container, sides[s], resources[n], &q) && q.milli > 0)
                                return true;
        return false;
}

bool pod_is_best_effort(const json_t *spec) {
        static const char *const lists[] = {"containers", "initContainers"};
        const json_t *container;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, container)
                        if (asks_for_any(container))
                                return false;
        return !asks_for_any(spec);
}

/* Counts one container, or the pod's own resources. */
static void judge_class(const json_t *of, bool *any, bool *all) {
        static const char *const counted[] = {"cpu", "memory"};

        for (size_t i = 0; i < ELEMENTS(counted); i++) {
                struct quantity limit, request;
                bool limited = container_amount(of, "limits", counted[i], &limit),
                     requested = container_amount(of, "requests", counted[i], &request);

                *any |= limit.milli > 0 || request.milli > 0;
                *all &= limited && requested && limit.milli > 0 && limit.milli == request.milli;
        }
}

const char *pod_qos_class(const json_t *spec) {
        static const char *const lists[] = {"containers", "initContainers"};
        bool any = false, all = true, whole = asks_for_any(spec);
        const json_t *container;
        size_t i;

        if (whole)
                judge_class(spec, &any, &all);
        for (size_t l = 0; l < ELEMENTS(lists) && !whole; l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, container)
                        judge_class(container, &any, &all);
        return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}
