/* Ingress status: the addresses of the machines that serve the Ingresses of keelson's classes,
 * those of ready kingressd pods. It is here and not in kingressd, because one writer is enough and
 * this one is there when the last kingressd is gone. */
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/ingress/class.h"

static bool is_ours(const struct world *w, const json_t *ingress) {
        _cleanup_objects_ struct objects classes = {0};

        world_all(w, WORLD_INGRESSCLASSES, &classes);
        for (size_t i = 0; i < classes.count; i++)
                if (ingress_class_has(classes.items[i], ingress))
                        return true;
        return false;
}

/* The address at which a pod of kingressd serves; "" when it does not. */
static const char *serves_at(const json_t *pod) {
        const char *name = object_label(pod, "app.kubernetes.io/name");

        if (!streq(object_namespace(pod), "kube-system") || !streq_ptr(name, INGRESS_POD_NAME) ||
                        object_is_deleting(pod) || !object_condition_true(pod, "Ready"))
                return "";
        return json_str_or(pod, "status.hostIP", "");
}

static void ingress_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        _cleanup_objects_ struct objects all = {0};

        if (kind == WORLD_INGRESSES) {
                if (!gone)
                        wake_object(out, object);
                return;
        }
        if (kind == WORLD_PODS) {
                const char *before = gone ? serves_at(object) : old ? serves_at(old) : "";

                if (streq(before, gone ? "" : serves_at(object)))
                        return;
        }
        world_all(w, WORLD_INGRESSES, &all);
        for (size_t i = 0; i < all.count; i++)
                wake_object(out, all.items[i]);
}

static int compare_text(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once. A new array. */
static json_t *addresses(const struct world *w) {
        _cleanup_objects_ struct objects pods = {0};
        _cleanup_free_ const char **list = NULL;
        json_t *ret = json_array();
        size_t n = 0;

        world_list(w, WORLD_PODS_BY_NS, "kube-system", &pods);
        list = calloc(pods.count + 1, sizeof(*list));
        assert(ret && list);
        for (size_t i = 0; i < pods.count; i++)
                if (*serves_at(pods.items[i]))
                        list[n++] = serves_at(pods.items[i]);
        qsort(list, n, sizeof(*list), compare_text);
        for (size_t i = 0; i < n; i++)
                if (i == 0 || !streq(list[i], list[i - 1]))
                        assert(json_array_append_new(ret, json_pack("{s:s}", "ip", list[i])) >= 0);
        return ret;
}

/* There is only the status. */
static void ingress_plan(const struct world *w, const char *name, struct actions *a) {
}

static json_t *ingress_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *ingress = world_get_key(w, WORLD_INGRESSES, name);
        json_t *status, *list;

        if (!ingress || object_is_deleting(ingress) || !is_ours(w, ingress))
                return NULL;
        list = addresses(w);
        status = json_array_size(list) > 0 ? json_pack("{s:{s:O}}", "loadBalancer", "ingress", list)
                                           : json_pack("{s:{}}", "loadBalancer");
        assert(status);
        json_decref(list);
        return status;
}

const struct controller ingress_controller = {
                .name = "ingress",
                .primary = WORLD_INGRESSES,
                .kinds = WORLD_BIT(WORLD_INGRESSES) | WORLD_BIT(WORLD_INGRESSCLASSES) |
                         WORLD_BIT(WORLD_PODS),
                .wake = ingress_wake,
                .plan = ingress_plan,
                .report = ingress_report,
};
