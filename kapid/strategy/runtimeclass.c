/* RuntimeClasses: what they add to a pod must be what a pod may have. Admission adds it
 * (kapid/admission/runtime-class.c). */
#include "kapid/schema/format.h"
#include "kapid/strategy/pod-fields.h"
#include "kapid/strategy/pod-placement.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/quantity.h"

static void validate_overhead(struct findings *f, const json_t *overhead) {
        const char *key;
        json_t *v;

        json_object_each (json_object_get(overhead, "podFixed"), key, v) {
                const char *error = format_check(FORMAT_QUALIFIED_NAME, key);
                size_t at = findings_push(f, "overhead.podFixed");
                _cleanup_json_ json_t *name = json_string(key);
                int sign;

                findings_push_key(f, key);
                if (error)
                        finding_add(f, FINDING_INVALID, NULL, name, "%s", error);
                if (quantity_compare(v, NULL, &sign) == 0 && sign < 0)
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "must be greater than or equal to 0");
                findings_pop(f, at);
        }
}

static void validate_once(struct findings *f, const json_t *tolerations) {
        _cleanup_json_ json_t *seen = json_object();
        const json_t *t;
        size_t i;

        json_array_foreach (tolerations, i, t) {
                _cleanup_free_ char *text = json_dumps(t, JSON_COMPACT | JSON_SORT_KEYS);
                size_t at;

                f->failed |= !text;
                if (json_object_get(seen, strempty(text))) {
                        at = findings_push(f, "tolerations");
                        findings_push_index(f, i);
                        finding_add(f, FINDING_DUPLICATE, NULL, t, NULL);
                        findings_pop(f, at);
                }
                f->failed |= json_object_set_new(seen, strempty(text), json_true()) < 0;
        }
}

static void class_validate(struct findings *f, const json_t *object) {
        const json_t *handler = json_object_get(object, "handler"),
                     *scheduling = json_object_get(object, "scheduling");
        const char *error =
                        format_check(FORMAT_DNS1123_LABEL, strempty(json_string_value(handler)));
        size_t at;

        if (!isempty(json_string_value(handler)) && error)
                finding_add(f, FINDING_INVALID, "handler", handler, "%s", error);
        validate_overhead(f, json_object_get(object, "overhead"));
        at = findings_push(f, "scheduling");
        pod_placement_validate_labels(f, scheduling);
        pod_fields_validate_tolerations(f, scheduling);
        validate_once(f, json_object_get(scheduling, "tolerations"));
        findings_pop(f, at);
}

static void class_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "handler");
}

const struct kind_strategy strategies_node[] = {
                {.group = "node.k8s.io",
                                .kind = "RuntimeClass",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_READ_AT_ONCE,
                                .validate = class_validate,
                                .validate_update = class_validate_update},
                {0},
};
