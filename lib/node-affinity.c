/* Node selectors as the "Assigning Pods to Nodes" page says. */
#include "lib/node-affinity.h"

#include "lib/object.h"

static bool in_values(const json_t *values, const char *value) {
        json_t *v;
        size_t i;

        json_array_foreach (values, i, v)
                if (streq_ptr(json_string_value(v), value))
                        return true;
        return false;
}

static bool expression_matches(const json_t *e, const char *value) {
        const char *op = json_str_or(e, "operator", "");
        const json_t *values = json_object_get(e, "values");
        int64_t have, bound;

        if (streq(op, "Exists"))
                return value;
        if (streq(op, "DoesNotExist"))
                return !value;
        if (streq(op, "In"))
                return value && in_values(values, value);
        if (streq(op, "NotIn"))
                return !value || !in_values(values, value);
        if (!value || parse_i64(value, &have) < 0 ||
                        parse_i64(strempty(json_string_value(json_array_get(values, 0))), &bound) <
                                        0)
                return false;
        return streq(op, "Gt") ? have > bound : streq(op, "Lt") ? have < bound : false;
}

/* All expressions must match; a term without any matches nothing. */
static bool term_matches(const json_t *term, const json_t *node) {
        const json_t *labels = json_object_get(term, "matchExpressions");
        const json_t *fields = json_object_get(term, "matchFields"), *e;
        size_t i;

        if (json_array_size(labels) == 0 && json_array_size(fields) == 0)
                return false;
        json_array_foreach (labels, i, e)
                if (!expression_matches(e, object_label(node, json_str_or(e, "key", ""))))
                        return false;
        json_array_foreach (fields, i, e)
                if (!streq(json_str_or(e, "key", ""), "metadata.name") ||
                                !expression_matches(e, object_name(node)))
                        return false;
        return true;
}

bool node_terms_match(const json_t *terms, const json_t *node) {
        const json_t *term;
        size_t i;

        json_array_foreach (terms, i, term)
                if (term_matches(term, node))
                        return true;
        return false;
}

bool node_has_labels(const json_t *labels, const json_t *node) {
        const char *key;
        json_t *v;

        json_object_each (labels, key, v)
                if (!streq_ptr(object_label(node, key), json_string_value(v)))
                        return false;
        return true;
}

bool node_matches_required(const json_t *pod, const json_t *node) {
        const json_t *required = json_at(pod, "spec.affinity.nodeAffinity."
                                              "requiredDuringSchedulingIgnoredDuringExecution");

        return node_has_labels(json_at(pod, "spec.nodeSelector"), node) &&
               (!required || node_terms_match(
                                             json_object_get(required, "nodeSelectorTerms"), node));
}
