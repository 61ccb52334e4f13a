/* The core group but pods and services: namespaces, nodes, config maps, secrets, events. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/cidr.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/quantity.h"

enum { DATA_SIZE_MAX = 1024 * 1024 };

/* Namespaces. */

static int namespace_defaults(json_t *object) {
        const char *name = object_name(object);
        json_t *labels = json_at_mut(object, "metadata.labels");

        if (!*name)
                return 0;
        if (!labels) {
                int r = json_set_at(object, "metadata.labels", json_object());

                if (r < 0)
                        return r;
                labels = json_at_mut(object, "metadata.labels");
        }
        return json_object_set_new(labels, "kubernetes.io/metadata.name", json_string(name)) < 0
                               ? -ENOMEM
                               : 0;
}

static int namespace_prepare_create(json_t *object, const struct pipeline_context *c) {
        json_t *list = json_at_mut(object, "spec.finalizers"), *v;
        int r = json_set_str(object, "status.phase", "Active");
        size_t i;

        if (r < 0)
                return r;
        if (json_array_size(list) == 0)
                return json_set_at(object, "spec.finalizers", json_pack("[s]", "kubernetes"));
        json_array_foreach (list, i, v)
                if (streq(strempty(json_string_value(v)), "kubernetes"))
                        return 0;
        return json_array_append_new(list, json_string("kubernetes")) < 0 ? -ENOMEM : 0;
}

static void namespace_validate(struct findings *f, const json_t *object) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(object, "spec.finalizers"), i, v) {
                const char *name = strempty(json_string_value(v)),
                           *error = format_check(FORMAT_QUALIFIED_NAME, name);

                if (error)
                        finding_add(f, FINDING_INVALID, "spec.finalizers", v, "%s", error);
                else if (!strchr(name, '/') && !streq(name, "kubernetes"))
                        finding_add(f, FINDING_INVALID, "spec.finalizers", v,
                                        "name is neither a standard finalizer name nor is it fully "
                                        "qualified");
        }
}

/* The finalizers of the spec go only through /finalize. */
static int namespace_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        json_t *finalizers = (json_t *)json_at(old, "spec.finalizers");

        if (streq(subresource, "finalize"))
                return 0;
        if (!finalizers) {
                json_del_at(object, "spec.finalizers");
                return 0;
        }
        return json_set_at(object, "spec.finalizers", json_incref(finalizers));
}

static int namespace_prepare_delete(json_t *object) {
        return json_set_str(object, "status.phase", "Terminating");
}

/* Nodes. */

/* podCIDR is the first of podCIDRs, whichever of them a writer gives. */
static int node_complete_ranges(json_t *object) {
        const json_t *list = json_at(object, "spec.podCIDRs");
        const char *only = json_str_or(object, "spec.podCIDR", ""),
                   *first = strempty(json_string_value(json_array_get(list, 0)));

        if (*only && json_array_size(list) == 0)
                return json_set_at(object, "spec.podCIDRs", json_pack("[s]", only));
        if (!*only && *first)
                return json_set_str(object, "spec.podCIDR", first);
        return 0;
}

/* What pods may use is everything, unless the agent says otherwise. */
static int node_defaults(json_t *object) {
        json_t *capacity = json_at_mut(object, "status.capacity");

        if (!capacity || json_at(object, "status.allocatable"))
                return 0;
        return json_set_at(object, "status.allocatable", json_tree_copy(capacity));
}

static int node_prepare_create(json_t *object, const struct pipeline_context *c) {
        return node_complete_ranges(object);
}

static int node_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        return *subresource ? 0 : node_complete_ranges(object);
}

static void node_validate_ranges(struct findings *f, const json_t *object) {
        const json_t *list = json_at(object, "spec.podCIDRs"), *v;
        const char *first = strempty(json_string_value(json_array_get(list, 0)));
        struct cidr ranges[FAMILIES];
        size_t i;

        if (json_array_size(list) > 0 && !streq(json_str_or(object, "spec.podCIDR", ""), first))
                finding_add(f, FINDING_INVALID, "spec.podCIDRs", list,
                                "first value must match `podCIDR`");
        json_array_foreach (list, i, v) {
                _cleanup_free_ char *path = strformat("spec.podCIDRs[%zu]", i);
                struct cidr c;

                if (i >= FAMILIES)
                        break;
                if (cidr_parse(strempty(json_string_value(v)), &c) < 0) {
                        finding_add(f, FINDING_INVALID, path, v,
                                        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or "
                                        "2001:db8::/64)");
                        return;
                }
                ranges[i] = c;
        }
        if (json_array_size(list) > FAMILIES ||
                        (json_array_size(list) == FAMILIES &&
                                        address_family(&ranges[0].range.first) ==
                                                        address_family(&ranges[1].range.first)))
                finding_add(f, FINDING_INVALID, "spec.podCIDRs", list,
                                "may specify no more than one CIDR for each IP family");
}

static void node_validate_amounts(struct findings *f, const json_t *object) {
        static const char *const lists[] = {"capacity", "allocatable"};

        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                const char *key;
                json_t *v;

                json_object_each (json_get(object, "status", lists[l], NULL), key, v) {
                        _cleanup_free_ char *path = strformat("status.%s.%s", lists[l], key);
                        int sign;

                        f->failed |= !path;
                        if (quantity_compare(v, NULL, &sign) == 0 && sign < 0)
                                finding_add(f, FINDING_INVALID, path, v,
                                                "must be greater than or equal to 0");
                }
        }
}

static void node_validate(struct findings *f, const json_t *object) {
        _cleanup_json_ json_t *seen = json_object();
        const json_t *t;
        size_t i;

        node_validate_ranges(f, object);
        node_validate_amounts(f, object);
        json_array_foreach (json_at(object, "spec.taints"), i, t) {
                _cleanup_free_ char *pair = strformat("%s:%s", json_str_or(t, "effect", ""),
                                                    json_str_or(t, "key", "")),
                                    *path = strformat("spec.taints[%zu]", i);

                f->failed |= !pair || !path;
                if (pair && path && strategy_was_seen(f, seen, pair))
                        finding_add(f, FINDING_DUPLICATE, path, t,
                                        "taints must be unique by key and effect pair");
        }
}

/* The ranges stay; one of the other family may be added to them. */
static bool has_ranges_of(const json_t *object, const json_t *old) {
        const json_t *before = json_at(old, "spec.podCIDRs"),
                     *after = json_at(object, "spec.podCIDRs"), *v;
        size_t i;

        json_array_foreach (before, i, v)
                if (!json_same(v, json_array_get(after, i)))
                        return false;
        return true;
}

static void node_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        if (!has_ranges_of(object, old))
                finding_add(f, FINDING_FORBIDDEN, "spec.podCIDRs", NULL,
                                "node updates may not change podCIDR except from \"\" to valid");
        if (*json_str_or(old, "spec.providerID", "") &&
                        !streq(json_str_or(old, "spec.providerID", ""),
                                        json_str_or(object, "spec.providerID", "")))
                finding_add(f, FINDING_FORBIDDEN, "spec.providerID", NULL,
                                "node updates may not change providerID except from \"\" to valid");
}

/* Config maps and secrets. */

static size_t validate_data(struct findings *f, const json_t *object, const char *field) {
        const json_t *data = json_object_get(object, field);
        const char *key, *error;
        size_t total = 0;
        json_t *v;

        json_object_foreach ((json_t *)data, key, v) {
                total += json_string_length(v);
                if ((error = format_check(FORMAT_CONFIG_KEY, key))) {
                        _cleanup_free_ char *path = strformat("%s[%s]", field, key);
                        _cleanup_json_ json_t *name = json_string(key);

                        finding_add(f, FINDING_INVALID, path, name, "%s", error);
                }
        }
        return total;
}

static void configmap_validate(struct findings *f, const json_t *object) {
        const json_t *data = json_object_get(object, "data"),
                     *binary = json_object_get(object, "binaryData");
        const char *key;
        json_t *v;

        if (validate_data(f, object, "data") + validate_data(f, object, "binaryData") / 4 * 3 >
                        DATA_SIZE_MAX)
                finding_add(f, FINDING_TOO_LONG, "", NULL, "may not be more than %i bytes",
                                DATA_SIZE_MAX);
        json_object_foreach ((json_t *)binary, key, v)
                if (json_object_get(data, key)) {
                        _cleanup_free_ char *path = strformat("data[%s]", key);
                        _cleanup_json_ json_t *name = json_string(key);

                        finding_add(f, FINDING_INVALID, path, name,
                                        "duplicate of key present in binaryData");
                }
}

static void validate_still(struct findings *f, const json_t *old, const json_t *object,
                const char *const *fields) {
        if (!json_bool_or(old, "immutable", false))
                return;
        if (!json_bool_or(object, "immutable", false))
                finding_add(f, FINDING_FORBIDDEN, "immutable", NULL,
                                "field is immutable when `immutable` is set");
        for (; *fields; fields++) {
                const json_t *a = json_object_get(old, *fields),
                             *b = json_object_get(object, *fields);

                if (a != b && (!a || !b || !json_equal((json_t *)a, (json_t *)b)))
                        finding_add(f, FINDING_FORBIDDEN, *fields, NULL,
                                        "field is immutable when `immutable` is set");
        }
}

static void configmap_validate_update(struct findings *f, const char *subresource,
                const json_t *old, const json_t *object) {
        static const char *const fields[] = {"data", "binaryData", NULL};

        validate_still(f, old, object, fields);
}

/* stringData becomes data before anything else looks at it. */
static int secret_defaults(json_t *object) {
        const json_t *texts = json_object_get(object, "stringData");
        json_t *data = json_object_get(object, "data"), *v;
        const char *key;

        if (!texts)
                return 0;
        if (!data && json_object_size(texts) > 0) {
                data = json_object();
                if (!data || json_object_set_new(object, "data", data) < 0)
                        return -ENOMEM;
        }
        json_object_foreach ((json_t *)texts, key, v) {
                _cleanup_free_ char *encoded = base64_encode(
                                strempty(json_string_value(v)), json_string_length(v));

                if (!encoded || json_object_set_new(data, key, json_string(encoded)) < 0)
                        return -ENOMEM;
        }
        return json_object_del(object, "stringData") < 0 ? -ENOMEM : 0;
}

/* What the kubelet and other programs parse must parse. */
static void secret_validate_json(struct findings *f, const json_t *object, const char *key) {
        const json_t *data = json_get(object, "data", key, NULL);
        _cleanup_free_ char *path = strformat("data[%s]", key);
        _cleanup_json_ json_t *redacted = json_string("<secret contents redacted>"), *v = NULL;
        _cleanup_free_ void *bytes = NULL;
        size_t n = 0;

        f->failed |= !path;
        if (!data)
                return;
        if (base64_decode(json_string_value(data), &bytes, &n) >= 0)
                v = json_loadb(bytes, n, JSON_DECODE_ANY, NULL);
        if (!v)
                finding_add(f, FINDING_INVALID, path, redacted, "must be a JSON document");
}

static void secret_validate(struct findings *f, const json_t *object) {
        static const struct {
                const char *type, *key;
        } needed[] = {{"kubernetes.io/tls", "tls.crt"}, {"kubernetes.io/tls", "tls.key"},
                        {"kubernetes.io/ssh-auth", "ssh-privatekey"},
                        {"kubernetes.io/dockerconfigjson", ".dockerconfigjson"},
                        {"kubernetes.io/dockercfg", ".dockercfg"}};
        static const char account[] = "kubernetes.io/service-account.name";
        const char *type = json_str_or(object, "type", "");

        if (streq(type, "kubernetes.io/service-account-token") &&
                        isempty(object_annotation(object, account)))
                finding_add(f, FINDING_REQUIRED,
                                "metadata.annotations[kubernetes.io/service-account.name]", NULL,
                                NULL);
        if (validate_data(f, object, "data") / 4 * 3 > DATA_SIZE_MAX)
                finding_add(f, FINDING_TOO_LONG, "data", NULL, "may not be more than %i bytes",
                                DATA_SIZE_MAX);
        for (size_t i = 0; i < ELEMENTS(needed); i++)
                if (streq(type, needed[i].type) && !json_get(object, "data", needed[i].key, NULL)) {
                        _cleanup_free_ char *path = strformat("data[%s]", needed[i].key);

                        finding_add(f, FINDING_REQUIRED, path, NULL, NULL);
                }
        if (streq(type, "kubernetes.io/basic-auth") && !json_get(object, "data", "username", NULL) &&
                        !json_get(object, "data", "password", NULL)) {
                finding_add(f, FINDING_REQUIRED, "data[username]", NULL, NULL);
                finding_add(f, FINDING_REQUIRED, "data[password]", NULL, NULL);
        }
        if (streq(type, "kubernetes.io/dockerconfigjson"))
                secret_validate_json(f, object, ".dockerconfigjson");
        if (streq(type, "kubernetes.io/dockercfg"))
                secret_validate_json(f, object, ".dockercfg");
}

static void secret_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        static const char *const fields[] = {"data", NULL};

        strategy_validate_immutable(f, old, object, "type");
        validate_still(f, old, object, fields);
}

const struct kind_strategy strategies_core[] = {
                {.group = "",
                                .kind = "Namespace",
                                .name = NAME_LABEL,
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_SPEC_FINALIZERS,
                                .defaults = namespace_defaults,
                                .prepare_create = namespace_prepare_create,
                                .prepare_delete = namespace_prepare_delete,
                                .validate = namespace_validate,
                                .prepare_update = namespace_prepare_update},
                {.group = "",
                                .kind = "Node",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_STATUS_ON_CREATE |
                                         STRATEGY_STATUS_DEFAULTS,
                                .defaults = node_defaults,
                                .prepare_create = node_prepare_create,
                                .prepare_update = node_prepare_update,
                                .validate = node_validate,
                                .validate_update = node_validate_update},
                {.group = "",
                                .kind = "ConfigMap",
                                .flags = STRATEGY_NO_GENERATION,
                                .validate = configmap_validate,
                                .validate_update = configmap_validate_update},
                {.group = "",
                                .kind = "Secret",
                                .flags = STRATEGY_NO_GENERATION,
                                .defaults = secret_defaults,
                                .validate = secret_validate,
                                .validate_update = secret_validate_update},
                {.group = "",
                                .kind = "ServiceAccount",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED},
                {0},
};
