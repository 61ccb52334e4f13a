/* Objects of CSI drivers: what a driver can do, which drivers a node has, which volumes are
 * attached where, and how much storage is left. Programs of the drivers write and read them;
 * keelson keeps them. The messages are those of Kubernetes. */
#include <ctype.h>

#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/quantity.h"

enum { DRIVER_NAME_MAX = 63 };

void strategy_validate_driver_name(struct findings *f, const char *field, const json_t *name) {
        _cleanup_free_ char *lower = strdup(strempty(json_string_value(name)));
        const char *error;

        f->failed |= !lower;
        if (isempty(lower))
                return; /* the schema refuses it */
        for (char *s = lower; *s; s++)
                *s = (char)tolower((unsigned char)*s);
        if (strlen(lower) > DRIVER_NAME_MAX)
                finding_add(f, FINDING_TOO_LONG, field, NULL, "may not be more than %i bytes",
                                DRIVER_NAME_MAX);
        error = format_check(FORMAT_DNS1123_SUBDOMAIN, lower);
        if (error)
                finding_add(f, FINDING_INVALID, field, name, "%s", error);
}

/* --- CSIDriver --- */

/* Tokens of one audience would overwrite each other. */
static void validate_tokens(struct findings *f, const json_t *spec) {
        _cleanup_json_ json_t *seen = json_object();
        const json_t *request;
        size_t i;

        json_array_foreach (json_object_get(spec, "tokenRequests"), i, request) {
                const json_t *audience = json_object_get(request, "audience"),
                             *seconds = json_object_get(request, "expirationSeconds");
                const char *text = strempty(json_string_value(audience));
                size_t at = findings_push(f, "tokenRequests");

                findings_push_index(f, i);
                if (json_object_get(seen, text))
                        finding_add(f, FINDING_DUPLICATE, "audience", audience, NULL);
                f->failed |= json_object_set_new(seen, text, json_true()) < 0;
                if (json_integer_value(seconds) > INT64_C(1) << 32)
                        finding_add(f, FINDING_INVALID, "expirationSeconds", seconds,
                                        "may not be greater than 2^32");
                findings_pop(f, at);
        }
}

static void driver_validate(struct findings *f, const json_t *object) {
        size_t at;

        strategy_validate_driver_name(f, "metadata.name", json_at(object, "metadata.name"));
        at = findings_push(f, "spec");
        validate_tokens(f, json_object_get(object, "spec"));
        findings_pop(f, at);
}

static void driver_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "spec.attachRequired");
        strategy_validate_immutable(f, old, object, "spec.volumeLifecycleModes");
}

/* --- CSINode --- */

static void validate_driver_of_node(struct findings *f, const json_t *driver) {
        _cleanup_json_ json_t *seen = json_object();
        const json_t *key;
        size_t i;

        strategy_validate_driver_name(f, "name", json_object_get(driver, "name"));
        json_array_foreach (json_object_get(driver, "topologyKeys"), i, key) {
                const char *text = strempty(json_string_value(key)),
                           *error = format_check(FORMAT_QUALIFIED_NAME, text);

                if (error)
                        finding_add(f, FINDING_INVALID, "topologyKeys", key, "%s", error);
                else if (json_object_get(seen, text))
                        finding_add(f, FINDING_DUPLICATE, "topologyKeys", key, NULL);
                f->failed |= json_object_set_new(seen, text, json_true()) < 0;
        }
}

static void node_validate(struct findings *f, const json_t *object) {
        size_t at = findings_push(f, "spec");

        findings_each(f, json_object_get(object, "spec"), "drivers", validate_driver_of_node);
        findings_pop(f, at);
}

/* Of a driver that is still there only the number of volumes may change. */
static bool is_same_driver(const json_t *before, const json_t *after) {
        static const char *const fixed[] = {"nodeID", "topologyKeys"};

        for (size_t i = 0; i < ELEMENTS(fixed); i++)
                if (!json_same(json_object_get(before, fixed[i]), json_object_get(after, fixed[i])))
                        return false;
        return true;
}

/* Name -> driver: a node's agent may write a long list. */
static json_t *drivers_of(const json_t *object) {
        _cleanup_json_ json_t *drivers = json_object();
        json_t *driver;
        size_t i;

        json_array_foreach (json_at(object, "spec.drivers"), i, driver)
                if (json_object_set(drivers, json_str_or(driver, "name", ""), driver) < 0)
                        return NULL;
        return TAKE_PTR(drivers);
}

static void node_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        _cleanup_json_ json_t *had = drivers_of(old);
        const json_t *driver;
        size_t i;

        f->failed |= !had;
        json_array_foreach (json_at(object, "spec.drivers"), i, driver) {
                const json_t *before = json_object_get(had, json_str_or(driver, "name", ""));
                size_t at = findings_push(f, "spec.drivers");

                findings_push_index(f, i);
                if (before && !is_same_driver(before, driver))
                        finding_add(f, FINDING_INVALID, NULL, driver, "field is immutable");
                findings_pop(f, at);
        }
}

/* --- CSIStorageCapacity --- */

static void capacity_validate(struct findings *f, const json_t *object) {
        static const char *const amounts[] = {"capacity", "maximumVolumeSize"};
        const json_t *class = json_object_get(object, "storageClassName");
        const char *error = format_check(
                        FORMAT_DNS1123_SUBDOMAIN, strempty(json_string_value(class)));
        size_t at = findings_push(f, "nodeTopology");
        int sign;

        strategy_validate_label_selector(f, json_object_get(object, "nodeTopology"));
        findings_pop(f, at);
        if (class && error)
                finding_add(f, FINDING_INVALID, "storageClassName", class, "%s", error);
        for (size_t i = 0; i < ELEMENTS(amounts); i++) {
                const json_t *v = json_object_get(object, amounts[i]);

                if (v && quantity_compare(v, NULL, &sign) == 0 && sign < 0)
                        finding_add(f, FINDING_INVALID, amounts[i], v,
                                        "must be greater than or equal to 0");
        }
}

static void capacity_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "nodeTopology");
        strategy_validate_immutable(f, old, object, "storageClassName");
}

/* --- VolumeAttachment --- */

static void attachment_validate(struct findings *f, const json_t *object) {
        const json_t *source = json_at(object, "spec.source"),
                     *name = json_object_get(source, "persistentVolumeName");
        bool is_inline = json_object_get(source, "inlineVolumeSpec");

        strategy_validate_driver_name(f, "spec.attacher", json_at(object, "spec.attacher"));
        if (!name && !is_inline)
                finding_add(f, FINDING_REQUIRED, "spec.source", NULL,
                                "must specify exactly one of inlineVolumeSpec and "
                                "persistentVolumeName");
        else if (name && is_inline)
                finding_add(f, FINDING_FORBIDDEN, "spec.source", NULL,
                                "must specify exactly one of inlineVolumeSpec and "
                                "persistentVolumeName");
        else if (name && isempty(json_string_value(name)))
                finding_add(f, FINDING_REQUIRED, "spec.source.persistentVolumeName", NULL,
                                "must specify non empty persistentVolumeName");
}

static void attachment_validate_update(struct findings *f, const char *subresource,
                const json_t *old, const json_t *object) {
        strategy_validate_immutable(f, old, object, "spec");
}

#define GROUP "storage.k8s.io"
const struct kind_strategy strategies_csi[] = {
                {.group = GROUP,
                                .kind = "CSIDriver",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED,
                                .validate = driver_validate,
                                .validate_update = driver_validate_update},
                {.group = GROUP,
                                .kind = "CSINode",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED,
                                .validate = node_validate,
                                .validate_update = node_validate_update},
                {.group = GROUP,
                                .kind = "CSIStorageCapacity",
                                .flags = STRATEGY_NO_GENERATION,
                                .validate = capacity_validate,
                                .validate_update = capacity_validate_update},
                {.group = GROUP,
                                .kind = "VolumeAttachment",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_RETURNS_DELETED,
                                .validate = attachment_validate,
                                .validate_update = attachment_validate_update},
                {0},
};
