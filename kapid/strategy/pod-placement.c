/* What a pod's spec says to the scheduler: labels of nodes, affinity to nodes and to pods, and how
 * evenly pods are spread. */
#include "kapid/strategy/pod-placement.h"

#include "kapid/schema/format.h"
#include "lib/object.h"

static void validate_label_name(struct findings *f, const char *field, const json_t *name) {
        const char *error = format_check(FORMAT_QUALIFIED_NAME, strempty(json_string_value(name)));

        if (error)
                finding_add(f, FINDING_INVALID, field, name ? name : json_null(), "%s", error);
}

/* --- nodes --- */

static bool is_one_of(const char *word, const char *a, const char *b) {
        return streq(word, a) || streq(word, b);
}

static void validate_expression(struct findings *f, const json_t *term) {
        const char *operator= json_str_or(term, "operator", "");
        size_t n = json_array_size(json_object_get(term, "values"));

        if (is_one_of(operator, "In", "NotIn") && n == 0)
                finding_add(f, FINDING_REQUIRED, "values", NULL,
                                "must be specified when `operator` is 'In' or 'NotIn'");
        else if (is_one_of(operator, "Exists", "DoesNotExist") && n > 0)
                finding_add(f, FINDING_FORBIDDEN, "values", NULL,
                                "may not be specified when `operator` is 'Exists' or "
                                "'DoesNotExist'");
        else if (is_one_of(operator, "Gt", "Lt") && n != 1)
                finding_add(f, FINDING_REQUIRED, "values", NULL,
                                "must be specified single value when `operator` is 'Lt' or 'Gt'");
        validate_label_name(f, "key", json_object_get(term, "key"));
}

/* Only the name of a node can be matched as a field. */
static void validate_field(struct findings *f, const json_t *term) {
        const json_t *key = json_object_get(term, "key"),
                     *operator= json_object_get(term, "operator"),
                     *values = json_object_get(term, "values"), *v;
        const char *word = strempty(json_string_value(operator)), *error;
        size_t i;

        if (!is_one_of(word, "In", "NotIn"))
                finding_add(f, FINDING_INVALID, "operator", operator,
                                "not a valid selector operator");
        else if (json_array_size(values) != 1)
                finding_add(f, FINDING_REQUIRED, "values", NULL,
                                "must be only one value when `operator` is 'In' or 'NotIn' for "
                                "node field selector");
        if (!streq(strempty(json_string_value(key)), "metadata.name")) {
                finding_add(f, FINDING_INVALID, "key", key, "not a valid field selector key");
                return;
        }
        json_array_foreach (values, i, v) {
                _cleanup_free_ char *path = strformat("values[%zu]", i);

                error = format_check(FORMAT_DNS1123_SUBDOMAIN, strempty(json_string_value(v)));
                f->failed |= !path;
                if (error)
                        finding_add(f, FINDING_INVALID, path, v, "%s", error);
        }
}

static void validate_term(struct findings *f, const json_t *term) {
        findings_each(f, term, "matchExpressions", validate_expression);
        findings_each(f, term, "matchFields", validate_field);
}

void strategy_validate_node_selector(struct findings *f, const json_t *selector) {
        if (json_array_size(json_object_get(selector, "nodeSelectorTerms")) == 0)
                finding_add(f, FINDING_REQUIRED, "nodeSelectorTerms", NULL,
                                "must have at least one node selector term");
        findings_each(f, selector, "nodeSelectorTerms", validate_term);
}

static void validate_preferred_node(struct findings *f, const json_t *entry) {
        size_t at = findings_push(f, "preference");

        validate_term(f, json_object_get(entry, "preference"));
        findings_pop(f, at);
}

/* --- pods --- */

static void validate_selector_at(struct findings *f, const json_t *holder, const char *field) {
        size_t at = findings_push(f, field);

        strategy_validate_label_selector(f, json_object_get(holder, field));
        findings_pop(f, at);
}

static void validate_pod_term(struct findings *f, const json_t *term) {
        const json_t *v;
        size_t i;

        validate_selector_at(f, term, "labelSelector");
        validate_selector_at(f, term, "namespaceSelector");
        json_array_foreach (json_object_get(term, "namespaces"), i, v) {
                const char *error =
                                format_check(FORMAT_DNS1123_LABEL, strempty(json_string_value(v)));

                if (error)
                        finding_add(f, FINDING_INVALID, "namespace", v, "%s", error);
        }
        validate_label_name(f, "topologyKey", json_object_get(term, "topologyKey"));
}

static void validate_weighted_pod_term(struct findings *f, const json_t *entry) {
        size_t at = findings_push(f, "podAffinityTerm");

        validate_pod_term(f, json_object_get(entry, "podAffinityTerm"));
        findings_pop(f, at);
}

static void validate_affinity(struct findings *f, const json_t *affinity) {
        static const char *const of_pods[] = {"podAffinity", "podAntiAffinity"};
        static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution",
                          preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
        const json_t *nodes = json_object_get(affinity, "nodeAffinity");
        size_t at = findings_push(f, "nodeAffinity"), inner;

        if (json_object_get(nodes, required)) {
                inner = findings_push(f, required);
                strategy_validate_node_selector(f, json_object_get(nodes, required));
                findings_pop(f, inner);
        }
        findings_each(f, nodes, preferred, validate_preferred_node);
        findings_pop(f, at);
        for (size_t i = 0; i < ELEMENTS(of_pods); i++) {
                const json_t *pods = json_object_get(affinity, of_pods[i]);

                at = findings_push(f, of_pods[i]);
                findings_each(f, pods, required, validate_pod_term);
                findings_each(f, pods, preferred, validate_weighted_pod_term);
                findings_pop(f, at);
        }
}

/* --- spreading --- */

static void validate_spread(struct findings *f, const json_t *constraint) {
        const json_t *domains = json_object_get(constraint, "minDomains");

        validate_selector_at(f, constraint, "labelSelector");
        if (domains && !streq(json_str_or(constraint, "whenUnsatisfiable", ""), "DoNotSchedule"))
                finding_add(f, FINDING_INVALID, "minDomains", domains,
                                "can only use minDomains if whenUnsatisfiable=DoNotSchedule");
}

void pod_placement_validate_labels(struct findings *f, const json_t *spec) {
        const char *key, *error;
        json_t *v;

        json_object_each (json_object_get(spec, "nodeSelector"), key, v) {
                _cleanup_json_ json_t *name = json_string(key);

                error = format_check(FORMAT_QUALIFIED_NAME, key);
                if (error)
                        finding_add(f, FINDING_INVALID, "nodeSelector", name, "%s", error);
                error = format_check(FORMAT_LABEL_VALUE, strempty(json_string_value(v)));
                if (error)
                        finding_add(f, FINDING_INVALID, "nodeSelector", v, "%s", error);
        }
}

void pod_placement_validate(struct findings *f, const json_t *spec) {
        size_t at;

        pod_placement_validate_labels(f, spec);
        at = findings_push(f, "affinity");
        validate_affinity(f, json_object_get(spec, "affinity"));
        findings_pop(f, at);
        findings_each(f, spec, "topologySpreadConstraints", validate_spread);
}
