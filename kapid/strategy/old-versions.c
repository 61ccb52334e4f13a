/* Old versions of kinds: their own defaults, and the fields that were called otherwise. An object
 * is stored in the newest version only, so what an old version does not know is kept there. */
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

static int set_absent(json_t *object, const char *path, json_t *value) {
        if (json_at(object, path) || !json_is_object(json_object_get(object, "spec"))) {
                json_decref(value);
                return 0;
        }
        return json_set_at(object, path, value);
}

/* The versions before apps/v1beta2 took selector and labels from the template. */
static int default_selection(json_t *object) {
        const json_t *labels = json_at(object, "spec.template.metadata.labels");
        int r;

        if (json_object_size(labels) == 0)
                return 0;
        if (!json_at(object, "spec.selector")) {
                r = json_set_at(object, "spec.selector.matchLabels", json_tree_copy(labels));
                if (r < 0)
                        return r;
        }
        if (json_object_size(json_at(object, "metadata.labels")) > 0)
                return 0;
        return json_set_at(object, "metadata.labels", json_tree_copy(labels));
}

/* A field and its default in one version of a kind. */
struct old_default {
        const char *api_version, *kind, *path, *json;
};

static const struct old_default old_defaults[] = {
                {"extensions/v1beta1", "Deployment", "spec.revisionHistoryLimit", "2147483647"},
                {"extensions/v1beta1", "Deployment", "spec.progressDeadlineSeconds", "2147483647"},
                {"apps/v1beta1", "Deployment", "spec.revisionHistoryLimit", "2"},
                {"extensions/v1beta1", "DaemonSet", "spec.updateStrategy.type", "\"OnDelete\""},
                {"apps/v1beta1", "StatefulSet", "spec.updateStrategy.type", "\"OnDelete\""},
};

/* A Deployment of extensions/v1beta1 rolls out one pod at a time. */
static int default_one_by_one(json_t *object) {
        const char *type = json_str_or(object, "spec.strategy.type", "RollingUpdate");
        int r;

        if (!streq(type, "RollingUpdate"))
                return 0;
        r = set_absent(object, "spec.strategy.rollingUpdate.maxSurge", json_integer(1));
        if (r < 0)
                return r;
        return set_absent(object, "spec.strategy.rollingUpdate.maxUnavailable", json_integer(1));
}

int strategy_default_old(const char *api_version, json_t *object) {
        const char *kind = object_kind(object);
        int r;

        for (size_t i = 0; i < ELEMENTS(old_defaults); i++) {
                const struct old_default *d = &old_defaults[i];

                if (!streq(d->api_version, api_version) || !streq(d->kind, kind))
                        continue;
                r = set_absent(object, d->path, json_loads(d->json, JSON_DECODE_ANY, NULL));
                if (r < 0)
                        return r;
        }
        if (streq(api_version, "apps/v1beta2"))
                return 0;
        if (streq(api_version, "extensions/v1beta1") && streq(kind, "Deployment")) {
                r = default_one_by_one(object);
                if (r < 0)
                        return r;
        }
        return default_selection(object);
}

/* --- Ingress: backends --- */

/* {serviceName, servicePort, resource} -> {service: {name, port: {number or name}}, resource} */
static int backend_to_new(json_t *backend) {
        const json_t *name = json_object_get(backend, "serviceName"),
                     *port = json_object_get(backend, "servicePort");
        int r;

        if (name) {
                r = json_set_at(backend, "service.name", json_incref((json_t *)name));
                if (r < 0)
                        return r;
        }
        if (port && !(json_is_integer(port) && json_integer_value(port) == 0)) {
                r = json_set_at(backend,
                                json_is_string(port) ? "service.port.name" : "service.port.number",
                                json_incref((json_t *)port));
                if (r < 0)
                        return r;
        }
        json_object_del(backend, "serviceName");
        json_object_del(backend, "servicePort");
        return 0;
}

static int backend_to_old(json_t *backend) {
        const json_t *name = json_at(backend, "service.name"),
                     *port = json_at(backend, "service.port.name");

        if (!port)
                port = json_at(backend, "service.port.number");
        if (name && json_object_set(backend, "serviceName", (json_t *)name) < 0)
                return -ENOMEM;
        if (port && json_object_set(backend, "servicePort", (json_t *)port) < 0)
                return -ENOMEM;
        json_object_del(backend, "service");
        return 0;
}

/* spec[from] becomes spec[to]. */
static int rename_field(json_t *spec, const char *from, const char *to) {
        json_t *v = json_object_get(spec, from);

        if (!v)
                return 0;
        if (json_object_set(spec, to, v) < 0)
                return -ENOMEM;
        json_object_del(spec, from);
        return 0;
}

int strategy_convert_ingress(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p) {
        bool to_new = streq(to_version, "v1"), is_new = endswith(object_api_version(object), "/v1");
        int (*convert)(json_t * backend) = to_new ? backend_to_new : backend_to_old;
        json_t *spec = json_object_get(object, "spec"), *rule, *path;
        size_t i, j;
        int r;

        if (to_new == is_new || !json_is_object(spec))
                return 0;
        r = to_new ? rename_field(spec, "backend", "defaultBackend")
                   : rename_field(spec, "defaultBackend", "backend");
        if (r < 0)
                return r;
        r = convert(json_object_get(spec, to_new ? "defaultBackend" : "backend"));
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(spec, "rules"), i, rule)
                json_array_foreach (json_at_mut(rule, "http.paths"), j, path) {
                        r = convert(json_object_get(path, "backend"));
                        if (r < 0)
                                return r;
                }
        return 0;
}

/* --- PodDisruptionBudget: the empty selector --- */

#define EMPTY_SELECTOR "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"

static bool is_only(const json_t *selector, const char *operator) {
        const json_t *list = json_object_get(selector, "matchExpressions"),
                     *first = json_array_get(list, 0);

        return json_array_size(list) == 1 &&
               json_object_size(json_object_get(selector, "matchLabels")) == 0 &&
               streq(json_str_or(first, "key", ""), EMPTY_SELECTOR) &&
               streq(json_str_or(first, "operator", ""), operator);
}

/* An empty selector selects nothing in policy/v1beta1 and everything in policy/v1. Each has a
 * requirement that says the other's, as in Kubernetes. */
int strategy_convert_budget(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p) {
        bool to_new = streq(to_version, "v1"), is_new = endswith(object_api_version(object), "/v1");
        json_t *selector = json_at_mut(object, "spec.selector");
        bool empty = json_is_object(selector) &&
                     json_array_size(json_object_get(selector, "matchExpressions")) == 0 &&
                     json_object_size(json_object_get(selector, "matchLabels")) == 0;

        if (to_new == is_new || !json_is_object(selector))
                return 0;
        if (is_only(selector, to_new ? "DoesNotExist" : "Exists"))
                return json_object_clear(selector) < 0 ? -ENOMEM : 0;
        if (!empty)
                return 0;
        return json_set_at(selector, "matchExpressions",
                        json_pack("[{s:s, s:s}]", "key", EMPTY_SELECTOR, "operator",
                                        to_new ? "Exists" : "DoesNotExist"));
}
