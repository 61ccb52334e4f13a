/* Volumes, claims and storage classes: the sources that a volume may have, what every claim must
 * ask for, and what an update may change. */
#include "kapid/schema/format.h"
#include "kapid/strategy/pod-placement.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/timefmt.h"

enum { PARAMETERS_MAX = 512, PARAMETERS_SIZE_MAX = 256 * 1024 };

static const char *const volume_sources[] = {"awsElasticBlockStore", "azureDisk", "azureFile",
                "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker", "gcePersistentDisk",
                "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk",
                "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"};

static void validate_modes(struct findings *f, const json_t *spec, const char *missing) {
        const json_t *modes = json_object_get(spec, "accessModes"), *mode;
        bool single = false;
        size_t i;

        if (json_array_size(modes) == 0)
                finding_add(f, FINDING_REQUIRED, "accessModes", NULL, "%s", missing);
        json_array_foreach (modes, i, mode)
                single |= streq(strempty(json_string_value(mode)), "ReadWriteOncePod");
        if (single && json_array_size(modes) > 1)
                finding_add(f, FINDING_FORBIDDEN, "accessModes", NULL,
                                "may not use ReadWriteOncePod with other access modes");
}

static void validate_class_name(struct findings *f, const json_t *spec) {
        const json_t *name = json_object_get(spec, "storageClassName");
        const char *text = strempty(json_string_value(name)),
                   *error = *text ? format_check(FORMAT_DNS1123_SUBDOMAIN, text) : NULL;

        if (error)
                finding_add(f, FINDING_INVALID, "storageClassName", name, "%s", error);
}

static void validate_positive(struct findings *f, const char *path, const json_t *amount) {
        int sign;

        if (quantity_compare(amount, NULL, &sign) == 0 && sign <= 0)
                finding_add(f, FINDING_INVALID, path, amount, "must be greater than zero");
}

/* Volumes. */

static void validate_capacity(struct findings *f, const json_t *spec) {
        const json_t *capacity = json_object_get(spec, "capacity");
        const json_t *storage = json_object_get(capacity, "storage");

        if (json_object_size(capacity) == 0)
                finding_add(f, FINDING_REQUIRED, "capacity", NULL, NULL);
        else if (!storage || json_object_size(capacity) > 1)
                finding_add(f, FINDING_NOT_SUPPORTED, "capacity", capacity,
                                "supported values: \"storage\"");
        else
                validate_positive(f, "capacity[storage]", storage);
}

static void validate_path(struct findings *f, const json_t *spec, const char *field) {
        const json_t *path = json_at(spec, field);

        if (!path)
                return;
        if (strstr(strempty(json_string_value(path)), ".."))
                finding_add(f, FINDING_INVALID, field, path, "must not contain '..'");
        else if (*strempty(json_string_value(path)) != '/')
                finding_add(f, FINDING_INVALID, field, path, "must be an absolute path");
}

static void validate_source(struct findings *f, const json_t *spec) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(volume_sources); i++)
                n += json_object_get(spec, volume_sources[i]) != NULL;
        if (n == 0)
                finding_add(f, FINDING_REQUIRED, NULL, NULL, "must specify a volume type");
        if (n > 1)
                finding_add(f, FINDING_FORBIDDEN, NULL, NULL,
                                "may not specify more than 1 volume type");
        validate_path(f, spec, "hostPath.path");
        validate_path(f, spec, "local.path");
        validate_path(f, spec, "nfs.path");
        if (json_object_get(spec, "local") && !json_at(spec, "nodeAffinity.required"))
                finding_add(f, FINDING_REQUIRED, "nodeAffinity", NULL,
                                "Local volume requires node affinity");
        if (streq(json_str_or(spec, "hostPath.path", ""), "/") &&
                        streq(json_str_or(spec, "persistentVolumeReclaimPolicy", ""), "Recycle"))
                finding_add(f, FINDING_FORBIDDEN, "persistentVolumeReclaimPolicy", NULL,
                                "may not be 'recycle' for a hostPath mount of '/'");
}

static void volume_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec"),
                     *affinity = json_object_get(spec, "nodeAffinity");
        size_t at;

        if (!spec) {
                finding_add(f, FINDING_REQUIRED, "spec", NULL, NULL);
                return;
        }
        at = findings_push(f, "spec");
        validate_modes(f, spec, "");
        validate_capacity(f, spec);
        validate_source(f, spec);
        validate_class_name(f, spec);
        if (affinity && !json_object_get(affinity, "required"))
                finding_add(f, FINDING_REQUIRED, "nodeAffinity.required", NULL,
                                "must specify required node constraints");
        else if (affinity) {
                findings_push(f, "nodeAffinity.required");
                strategy_validate_node_selector(f, json_object_get(affinity, "required"));
        }
        findings_pop(f, at);
}

static void volume_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        for (size_t i = 0; i < ELEMENTS(volume_sources); i++)
                if (!json_same(json_get(old, "spec", volume_sources[i], NULL),
                                    json_get(object, "spec", volume_sources[i], NULL))) {
                        finding_add(f, FINDING_FORBIDDEN, "spec.persistentvolumesource", NULL,
                                        "spec.persistentvolumesource is immutable after creation");
                        break;
                }
        strategy_validate_immutable(f, old, object, "spec.volumeMode");
        if (json_at(old, "spec.nodeAffinity"))
                strategy_validate_immutable(f, old, object, "spec.nodeAffinity");
}

static int set_phase_time(json_t *object, const struct pipeline_context *c) {
        char text[TIMEFMT_SIZE];

        return json_set_str(object, "status.lastPhaseTransitionTime", time_format(c->now_us, text));
}

static int volume_prepare_create(json_t *object, const struct pipeline_context *c) {
        int r = json_set_str(object, "status.phase", "Pending");

        return r < 0 ? r : set_phase_time(object, c);
}

static int volume_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        if (!streq(subresource, "status") ||
                        streq(json_str_or(old, "status.phase", ""),
                                        json_str_or(object, "status.phase", "")))
                return 0;
        return set_phase_time(object, c);
}

/* Claims. */

void strategy_validate_claim_spec(struct findings *f, const json_t *spec) {
        const json_t *storage = json_at(spec, "resources.requests.storage");
        size_t at;

        validate_modes(f, spec, "at least 1 access mode is required");
        if (!storage)
                finding_add(f, FINDING_REQUIRED, "resources[storage]", NULL, NULL);
        else
                validate_positive(f, "resources[storage]", storage);
        validate_class_name(f, spec);
        at = findings_push(f, "selector");
        strategy_validate_label_selector(f, json_object_get(spec, "selector"));
        findings_pop(f, at);
}

void strategy_validate_claim_template(struct findings *f, const json_t *template) {
        const char *key;
        json_t *v;
        size_t at;

        json_object_each (json_object_get(template, "metadata"), key, v) {
                if (streq(key, "labels") || streq(key, "annotations"))
                        continue;
                at = findings_push(f, "metadata");
                finding_add(f, FINDING_FORBIDDEN, key, NULL,
                                "may not be set: a claim of a pod has only labels and annotations");
                findings_pop(f, at);
        }
        at = findings_push(f, "spec");
        strategy_validate_claim_spec(f, json_object_get(template, "spec"));
        findings_pop(f, at);
}

static void claim_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec");
        size_t at = findings_push(f, "spec");

        strategy_validate_claim_spec(f, spec);
        findings_pop(f, at);
}

/* The new spec with what may change set to the old values. */
static json_t *claim_spec_as_before(const json_t *old, const json_t *object) {
        const json_t *before = json_object_get(old, "spec");
        json_t *spec = json_tree_copy(json_object_get(object, "spec"));
        const json_t *size = json_at(before, "resources.requests.storage");

        if (!spec)
                return NULL;
        if (!*json_str_or(before, "volumeName", ""))
                json_object_del(spec, "volumeName");
        if (!json_object_get(before, "storageClassName"))
                json_object_del(spec, "storageClassName");
        if (size && streq(json_str_or(old, "status.phase", ""), "Bound") &&
                        json_set_at(spec, "resources.requests.storage", json_ref(size)) < 0) {
                json_decref(spec);
                return NULL;
        }
        return spec;
}

static void claim_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        const json_t *before = json_at(old, "spec.resources.requests.storage"),
                     *after = json_at(object, "spec.resources.requests.storage"),
                     *has = json_at(old, "status.capacity.storage");
        _cleanup_json_ json_t *spec = NULL;
        int order;

        if (*subresource)
                return;
        spec = claim_spec_as_before(old, object);
        if (!spec || !json_equal(spec, json_unconst(json_object_get(old, "spec"))))
                finding_add(f, FINDING_FORBIDDEN, "spec", NULL,
                                "spec is immutable after creation except resources.requests and "
                                "volumeAttributesClassName for bound claims");
        if (quantity_compare(after, before, &order) == 0 && order < 0 &&
                        quantity_compare(after, has, &order) == 0 && order < 0)
                finding_add(f, FINDING_FORBIDDEN, "spec.resources.requests.storage", NULL,
                                "field can not be less than status.capacity");
}

static int claim_prepare_create(json_t *object, const struct pipeline_context *c) {
        return json_set_str(object, "status.phase", "Pending");
}

/* Classes. */

/* Whether the text is in the set; it is put there. */
static void validate_once(struct findings *f, const json_t *values) {
        _cleanup_json_ json_t *seen = json_object();
        const json_t *value;
        size_t i;

        json_array_foreach (values, i, value) {
                _cleanup_free_ char *path = NULL;

                if (!strategy_was_seen(f, seen, strempty(json_string_value(value))))
                        continue;
                path = strformat("values[%zu]", i);
                f->failed |= !path;
                finding_add(f, FINDING_DUPLICATE, path, value, NULL);
        }
}

/* The terms of allowedTopologies: keys once in a term, values once under a key, terms once. */
static void validate_topology_term(struct findings *f, const json_t *term) {
        _cleanup_json_ json_t *keys = json_object();
        const json_t *entry;
        size_t i;

        json_array_foreach (json_object_get(term, "matchLabelExpressions"), i, entry) {
                const json_t *key = json_object_get(entry, "key"),
                             *values = json_object_get(entry, "values");
                const char *text = strempty(json_string_value(key)),
                           *error = format_check(FORMAT_QUALIFIED_NAME, text);
                size_t at = findings_push(f, "matchLabelExpressions");

                findings_push_index(f, i);
                if (error)
                        finding_add(f, FINDING_INVALID, "key", key, "%s", error);
                if (strategy_was_seen(f, keys, text))
                        finding_add(f, FINDING_DUPLICATE, "key", key, NULL);
                if (json_array_size(values) == 0)
                        finding_add(f, FINDING_REQUIRED, "values", NULL, NULL);
                validate_once(f, values);
                findings_pop(f, at);
        }
}

static void validate_topologies(struct findings *f, const json_t *object) {
        const json_t *terms = json_object_get(object, "allowedTopologies"), *term;
        _cleanup_json_ json_t *seen = json_object();
        size_t i;

        json_array_foreach (terms, i, term) {
                _cleanup_free_ char *text = json_dumps(term, JSON_COMPACT | JSON_SORT_KEYS);
                size_t at = findings_push(f, "allowedTopologies");

                findings_push_index(f, i);
                validate_topology_term(f, term);
                f->failed |= !text;
                if (text && strategy_was_seen(f, seen, text))
                        finding_add(f, FINDING_DUPLICATE, "matchLabelExpressions", NULL, NULL);
                findings_pop(f, at);
        }
}

static void validate_parameters(struct findings *f, const json_t *parameters) {
        size_t size = 0;
        const char *key;
        json_t *v;

        json_object_each (parameters, key, v) {
                size += strlen(key) + json_string_length(v);
                if (!*key)
                        finding_add(f, FINDING_INVALID, "parameters", parameters,
                                        "field can not be empty.");
        }
        if (json_object_size(parameters) > PARAMETERS_MAX)
                finding_add(f, FINDING_TOO_LONG, "parameters", NULL,
                                "may not be more than %i entries", PARAMETERS_MAX);
        if (size > PARAMETERS_SIZE_MAX)
                finding_add(f, FINDING_TOO_LONG, "parameters", NULL,
                                "may not be more than %i bytes", PARAMETERS_SIZE_MAX);
}

static void class_validate(struct findings *f, const json_t *object) {
        const json_t *provisioner = json_object_get(object, "provisioner");
        const char *error = format_check(
                        FORMAT_QUALIFIED_NAME, strempty(json_string_value(provisioner)));

        if (provisioner && error)
                finding_add(f, FINDING_INVALID, "provisioner", provisioner, "%s", error);
        validate_topologies(f, object);
        validate_parameters(f, json_object_get(object, "parameters"));
}

static void class_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        static const char *const fixed[] = {"parameters", "provisioner", "reclaimPolicy"};

        for (size_t i = 0; i < ELEMENTS(fixed); i++)
                if (!json_same(json_object_get(old, fixed[i]), json_object_get(object, fixed[i])))
                        finding_add(f, FINDING_FORBIDDEN, fixed[i], NULL,
                                        "updates to %s are forbidden.", fixed[i]);
        strategy_validate_immutable(f, old, object, "volumeBindingMode");
}

/* Classes of attributes. */

static void attributes_validate(struct findings *f, const json_t *object) {
        const json_t *parameters = json_object_get(object, "parameters");

        strategy_validate_driver_name(f, "driverName", json_object_get(object, "driverName"));
        if (json_object_size(parameters) == 0)
                finding_add(f, FINDING_REQUIRED, "parameters", NULL,
                                "must contain at least one key/value pair");
        validate_parameters(f, parameters);
}

static void attributes_validate_update(struct findings *f, const char *subresource,
                const json_t *old, const json_t *object) {
        strategy_validate_immutable(f, old, object, "driverName");
        strategy_validate_immutable(f, old, object, "parameters");
}

const struct kind_strategy strategies_storage[] = {
                {.group = "",
                                .kind = "PersistentVolume",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED,
                                .prepare_create = volume_prepare_create,
                                .prepare_update = volume_prepare_update,
                                .validate = volume_validate,
                                .validate_update = volume_validate_update},
                {.group = "",
                                .kind = "PersistentVolumeClaim",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED,
                                .prepare_create = claim_prepare_create,
                                .validate = claim_validate,
                                .validate_update = claim_validate_update},
                {.group = "storage.k8s.io",
                                .kind = "StorageClass",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED,
                                .validate = class_validate,
                                .validate_update = class_validate_update},
                {.group = "storage.k8s.io",
                                .kind = "VolumeAttributesClass",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED,
                                .validate = attributes_validate,
                                .validate_update = attributes_validate_update},
                {0},
};
