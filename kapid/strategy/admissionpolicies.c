/* Admission policies and their bindings: what Kubernetes' validation asks of them. */
#include <ctype.h>

#include "kapid/policies/policy.h"
#include "kapid/schema/format.h"
#include "kapid/strategy/admissionregistration.h"
#include "lib/object.h"

enum {
        CONDITIONS_MAX = 64,
        ANNOTATIONS_MAX = 20,
        ANNOTATION_EXPRESSION_MAX = 5 * 1024,
};

static size_t push_item(struct findings *f, const char *field, size_t i) {
        size_t at = findings_push(f, field);

        (void)findings_push_index(f, i);
        return at;
}

static const char *text_at(const json_t *v, const char *field) {
        return json_str_or(v, field, "");
}

static bool is_blank(const char *text) {
        return text[strspn(text, " \t\r\n")] == '\0';
}

static bool has_break(const char *text) {
        return strpbrk(text, "\r\n") != NULL;
}

/* A list that takes one of some words. */
static bool is_one_of(const char *word, const char *const *words, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (streq(word, words[i]))
                        return true;
        return false;
}

static void require(struct findings *f, const json_t *v, const char *field, const char *why) {
        if (is_blank(text_at(v, field)))
                finding_add(f, FINDING_REQUIRED, field, NULL, "%s", why);
}

static void validate_param_kind(struct findings *f, const json_t *kind) {
        const json_t *version = json_object_get(kind, "apiVersion"),
                     *word = json_object_get(kind, "kind");
        const char *slash = strchr(text_at(kind, "apiVersion"), '/');
        size_t at = findings_push(f, "paramKind");

        if (isempty(json_string_value(version)))
                finding_add(f, FINDING_REQUIRED, "apiVersion", NULL, NULL);
        else if (slash && (strchr(slash + 1, '/') || !slash[1]))
                finding_add(f, FINDING_INVALID, "apiVersion", version,
                                "unexpected GroupVersion string: %s", json_string_value(version));
        if (isempty(json_string_value(word)))
                finding_add(f, FINDING_REQUIRED, "kind", NULL, NULL);
        findings_pop(f, at);
}

static void validate_names(struct findings *f, const json_t *rules, const char *field) {
        const json_t *rule, *v;
        size_t i, j;

        json_array_foreach (rules, i, rule) {
                _cleanup_json_ json_t *seen = json_object();
                size_t at = push_item(f, field, i);

                json_array_foreach (json_object_get(rule, "resourceNames"), j, v) {
                        size_t inner = push_item(f, "resourceNames", j);

                        if (strpbrk(strempty(json_string_value(v)), "/%"))
                                finding_add(f, FINDING_INVALID, NULL, v,
                                                "may not contain '/' or '%%'");
                        if (strategy_was_seen(f, seen, strempty(json_string_value(v))))
                                finding_add(f, FINDING_DUPLICATE, NULL, v, NULL);
                        findings_pop(f, inner);
                }
                findings_pop(f, at);
        }
}

static void validate_match(struct findings *f, const json_t *v) {
        static const char *const fields[] = {"resourceRules", "excludeResourceRules"};

        admission_validate_selectors(f, v);
        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                admission_validate_rules(f, v, fields[i]);
                validate_names(f, json_object_get(v, fields[i]), fields[i]);
        }
}

static void validate_constraints(struct findings *f, const json_t *spec) {
        const json_t *v = json_object_get(spec, "matchConstraints");
        size_t at;

        if (!v) {
                finding_add(f, FINDING_REQUIRED, "matchConstraints", NULL, NULL);
                return;
        }
        at = findings_push(f, "matchConstraints");
        validate_match(f, v);
        if (json_array_size(json_object_get(v, "resourceRules")) == 0)
                finding_add(f, FINDING_REQUIRED, "resourceRules", NULL, NULL);
        findings_pop(f, at);
}

static void validate_conditions(struct findings *f, const json_t *list) {
        const json_t *v;
        size_t i;

        if (json_array_size(list) > CONDITIONS_MAX)
                finding_add(f, FINDING_TOO_MANY, "matchConditions", NULL,
                                "must have at most %d items", CONDITIONS_MAX);
        json_array_foreach (list, i, v) {
                const json_t *name = json_object_get(v, "name");
                const char *error = format_check(FORMAT_QUALIFIED_NAME, text_at(v, "name"));
                size_t at = push_item(f, "matchConditions", i);

                if (isempty(json_string_value(name)))
                        finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
                else if (error)
                        finding_add(f, FINDING_INVALID, "name", name, "%s", error);
                require(f, v, "expression", "");
                findings_pop(f, at);
        }
}

static bool is_identifier(const char *name) {
        if (!*name || (*name >= '0' && *name <= '9'))
                return false;
        for (; *name; name++)
                if (!isalnum((unsigned char)*name) && *name != '_')
                        return false;
        return true;
}

static void validate_variables(struct findings *f, const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                size_t at = push_item(f, "variables", i);

                if (!*text_at(v, "name"))
                        finding_add(f, FINDING_REQUIRED, "name", NULL, "name is not specified");
                else if (!is_identifier(text_at(v, "name")))
                        finding_add(f, FINDING_INVALID, "name", json_object_get(v, "name"),
                                        "name is not a valid CEL identifier");
                require(f, v, "expression", "expression is not specified");
                findings_pop(f, at);
        }
}

static void validate_message(struct findings *f, const json_t *v) {
        const json_t *message = json_object_get(v, "message"),
                     *expression = json_object_get(v, "messageExpression");

        if (message && is_blank(text_at(v, "message")))
                finding_add(f, FINDING_INVALID, "message", message,
                                "message must be non-empty if specified");
        else if (has_break(text_at(v, "message")))
                finding_add(f, FINDING_INVALID, "message", message,
                                "message must not contain line breaks");
        else if (!message && has_break(text_at(v, "expression")))
                finding_add(f, FINDING_REQUIRED, "message", NULL,
                                "message must be specified if expression contains line breaks");
        if (expression && is_blank(text_at(v, "messageExpression")))
                finding_add(f, FINDING_INVALID, "messageExpression", expression,
                                "must be non-empty if specified");
}

static void validate_validations(struct findings *f, const json_t *list) {
        static const char *const reasons[] = {
                        "Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"};
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const json_t *reason = json_object_get(v, "reason");
                size_t at = push_item(f, "validations", i);

                require(f, v, "expression", "expression is not specified");
                validate_message(f, v);
                if (reason && !is_one_of(text_at(v, "reason"), reasons, ELEMENTS(reasons)))
                        finding_add(f, FINDING_NOT_SUPPORTED, "reason", reason,
                                        "supported values: \"Forbidden\", \"Invalid\", "
                                        "\"RequestEntityTooLarge\", \"Unauthorized\"");
                findings_pop(f, at);
        }
}

/* seen: the keys of those before it. */
static void validate_annotation(
                struct findings *f, const json_t *object, const json_t *v, json_t *seen) {
        const json_t *key = json_object_get(v, "key"),
                     *text = json_object_get(v, "valueExpression");
        _cleanup_free_ char *whole = strformat("%s/%s", object_name(object), text_at(v, "key"));
        const char *error = whole ? format_check(FORMAT_QUALIFIED_NAME, whole) : NULL;

        if (isempty(json_string_value(key)))
                finding_add(f, FINDING_REQUIRED, "key", NULL, NULL);
        else if (error)
                finding_add(f, FINDING_INVALID, "key", key, "%s", error);
        if (is_blank(text_at(v, "valueExpression")))
                finding_add(f, FINDING_REQUIRED, "valueExpression", NULL,
                                "valueExpression is not specified");
        else if (strlen(text_at(v, "valueExpression")) > ANNOTATION_EXPRESSION_MAX)
                finding_add(f, FINDING_TOO_LONG, "valueExpression", text,
                                "must not exceed 5kb in length");
        if (strategy_was_seen(f, seen, text_at(v, "key")))
                finding_add(f, FINDING_DUPLICATE, "key", key, NULL);
}

static void validate_annotations(struct findings *f, const json_t *object, const json_t *list) {
        _cleanup_json_ json_t *seen = json_object();

        if (json_array_size(list) > ANNOTATIONS_MAX)
                finding_add(f, FINDING_INVALID, "auditAnnotations", NULL,
                                "must not have more than %d auditAnnotations", ANNOTATIONS_MAX);
        for (size_t i = 0; i < json_array_size(list); i++) {
                size_t at = push_item(f, "auditAnnotations", i);

                validate_annotation(f, object, json_array_get(list, i), seen);
                findings_pop(f, at);
        }
}

static void on_fault(const char *field, const char *text, const char *why, void *userdata) {
        _cleanup_json_ json_t *value = json_string(text);

        finding_add(userdata, FINDING_INVALID, field, value, "%s", why);
}

/* Nothing is changed when an object is deleted. field: of the spec, with the rules. */
static void validate_operations(struct findings *f, const json_t *spec, const char *field) {
        const json_t *match = json_object_get(spec, field), *rule, *v;
        size_t at = findings_push(f, field), i, j;

        json_array_foreach (json_object_get(match, "resourceRules"), i, rule)
                json_array_foreach (json_object_get(rule, "operations"), j, v)
                        if (streq(strempty(json_string_value(v)), "DELETE"))
                                finding_add(f, FINDING_NOT_SUPPORTED, "resourceRules.operations", v,
                                                "supported values: \"*\", \"CONNECT\", "
                                                "\"CREATE\", \"UPDATE\"");
        findings_pop(f, at);
}

/* The member that the type of patch is about, and the other one. */
static void validate_patch(struct findings *f, const json_t *mutation, const char *type,
                const char *member, const char *other) {
        const json_t *v = json_object_get(mutation, member);

        if (!v)
                finding_add(f, FINDING_REQUIRED, member, NULL,
                                "must be specified when patchType is %s", type);
        else if (is_blank(text_at(v, "expression"))) {
                size_t at = findings_push(f, member);

                finding_add(f, FINDING_REQUIRED, "expression", NULL, NULL);
                findings_pop(f, at);
        }
        if (json_object_get(mutation, other))
                finding_add(f, FINDING_INVALID, other, json_object_get(mutation, other),
                                "must not be specified when patchType is %s", type);
}

static void validate_mutations(struct findings *f, const json_t *list) {
        const json_t *v;
        size_t i;

        if (json_array_size(list) == 0)
                finding_add(f, FINDING_REQUIRED, "mutations", NULL,
                                "mutations must contain at least one item");
        json_array_foreach (list, i, v) {
                const char *type = text_at(v, "patchType");
                size_t at = push_item(f, "mutations", i);

                if (streq(type, "JSONPatch"))
                        validate_patch(f, v, type, "jsonPatch", "applyConfiguration");
                if (streq(type, "ApplyConfiguration"))
                        validate_patch(f, v, type, "applyConfiguration", "jsonPatch");
                findings_pop(f, at);
        }
}

/* The path's end is spec. */
static void validate_expressions(struct findings *f, const json_t *spec) {
        static const struct policy_types any = {0};
        _cleanup_(policy_language_freep) struct policy_language *l = NULL;
        _cleanup_(policy_program_freep) struct policy_program *program = NULL;

        if (policy_language_new(&l) < 0 ||
                        policy_program_new(&program, l, spec, &any, on_fault, f) < 0)
                f->failed = true;
}

/* What policies of both types have. */
static void validate_spec(struct findings *f, const json_t *spec) {
        if (json_object_get(spec, "paramKind"))
                validate_param_kind(f, json_object_get(spec, "paramKind"));
        validate_constraints(f, spec);
        validate_conditions(f, json_object_get(spec, "matchConditions"));
        validate_variables(f, json_object_get(spec, "variables"));
}

static void mutating_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec");
        size_t at = findings_push(f, "spec");

        validate_spec(f, spec);
        validate_operations(f, spec, "matchConstraints");
        validate_mutations(f, json_object_get(spec, "mutations"));
        if (!*text_at(spec, "reinvocationPolicy"))
                finding_add(f, FINDING_REQUIRED, "reinvocationPolicy", NULL, NULL);
        validate_expressions(f, spec);
        findings_pop(f, at);
}

static void policy_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec"),
                     *validations = json_object_get(spec, "validations"),
                     *annotations = json_object_get(spec, "auditAnnotations");
        size_t at = findings_push(f, "spec");

        validate_spec(f, spec);
        if (json_array_size(validations) == 0 && json_array_size(annotations) == 0)
                finding_add(f, FINDING_REQUIRED, "validations", NULL,
                                "validations or auditAnnotations must be non-empty");
        validate_validations(f, validations);
        validate_annotations(f, object, annotations);
        validate_expressions(f, spec);
        findings_pop(f, at);
}

/* --- bindings --- */

static void validate_param_ref(struct findings *f, const json_t *ref) {
        const json_t *name = json_object_get(ref, "name"),
                     *selector = json_object_get(ref, "selector");
        size_t at = findings_push(f, "paramRef");

        if (!isempty(json_string_value(name)) && selector) {
                finding_add(f, FINDING_FORBIDDEN, "name", NULL,
                                "name and selector are mutually exclusive");
                finding_add(f, FINDING_FORBIDDEN, "selector", NULL,
                                "name and selector are mutually exclusive");
        } else if (isempty(json_string_value(name)) && !selector)
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "one of name or selector must be specified");
        else if (name && strpbrk(text_at(ref, "name"), "/%"))
                finding_add(f, FINDING_INVALID, "name", name, "may not contain '/' or '%%'");
        if (selector) {
                size_t inner = findings_push(f, "selector");

                strategy_validate_label_selector(f, selector);
                findings_pop(f, inner);
        }
        if (!json_object_get(ref, "parameterNotFoundAction"))
                finding_add(f, FINDING_REQUIRED, "parameterNotFoundAction", NULL, NULL);
        findings_pop(f, at);
}

static void validate_actions(struct findings *f, const json_t *list) {
        static const char *const words[] = {"Audit", "Deny", "Warn"};
        bool deny = false, warn = false;
        const json_t *v;
        size_t i;

        if (json_array_size(list) == 0)
                finding_add(f, FINDING_REQUIRED, "validationActions", NULL,
                                "at least one validation action is required");
        json_array_foreach (list, i, v) {
                const char *word = strempty(json_string_value(v));
                size_t at = push_item(f, "validationActions", i);

                if (!is_one_of(word, words, ELEMENTS(words)))
                        finding_add(f, FINDING_NOT_SUPPORTED, NULL, v,
                                        "supported values: \"Audit\", \"Deny\", \"Warn\"");
                deny |= streq(word, "Deny");
                warn |= streq(word, "Warn");
                findings_pop(f, at);
        }
        if (deny && warn)
                finding_add(f, FINDING_INVALID, "validationActions", list,
                                "must not contain both Deny and Warn (repeating the same "
                                "validation failure information in the API response and headers "
                                "serves no purpose)");
}

/* What bindings of both types have; the path's end is spec. */
static void validate_binding(struct findings *f, const json_t *spec) {
        const json_t *name = json_object_get(spec, "policyName"),
                     *ref = json_object_get(spec, "paramRef"),
                     *match = json_object_get(spec, "matchResources");

        if (isempty(json_string_value(name)))
                finding_add(f, FINDING_REQUIRED, "policyName", NULL, NULL);
        else if (format_check(FORMAT_DNS1123_SUBDOMAIN, json_string_value(name)))
                finding_add(f, FINDING_INVALID, "policyName", name, "%s",
                                format_check(FORMAT_DNS1123_SUBDOMAIN, json_string_value(name)));
        if (ref)
                validate_param_ref(f, ref);
        if (match) {
                size_t inner = findings_push(f, "matchResources");

                validate_match(f, match);
                findings_pop(f, inner);
        }
}

static void mutating_binding_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec");
        size_t at = findings_push(f, "spec");

        validate_binding(f, spec);
        validate_operations(f, spec, "matchResources");
        findings_pop(f, at);
}

static void binding_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec");
        size_t at = findings_push(f, "spec");

        validate_binding(f, spec);
        validate_actions(f, json_object_get(spec, "validationActions"));
        findings_pop(f, at);
}

const struct kind_strategy strategies_admissionpolicies[] = {
                {.group = "admissionregistration.k8s.io",
                                .kind = "ValidatingAdmissionPolicy",
                                .flags = STRATEGY_READ_AT_ONCE,
                                .validate = policy_validate},
                {.group = "admissionregistration.k8s.io",
                                .kind = "ValidatingAdmissionPolicyBinding",
                                .flags = STRATEGY_READ_AT_ONCE,
                                .validate = binding_validate},
                {.group = "admissionregistration.k8s.io",
                                .kind = "MutatingAdmissionPolicy",
                                .flags = STRATEGY_READ_AT_ONCE,
                                .validate = mutating_validate},
                {.group = "admissionregistration.k8s.io",
                                .kind = "MutatingAdmissionPolicyBinding",
                                .flags = STRATEGY_READ_AT_ONCE,
                                .validate = mutating_binding_validate},
                {0},
};
