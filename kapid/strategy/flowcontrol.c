/* FlowSchemas and PriorityLevelConfigurations: the rules of Kubernetes for them. kapid's own levels
 * are fixed (kapid/http/fairness.c). */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

#define GROUP "flowcontrol.apiserver.k8s.io"
enum { PRECEDENCE_MAX = 10000, QUEUES_MAX = 10 * 1000 * 1000 };

/* A 0 stands for the default, as what is absent does. */
static int default_number(json_t *holder, const char *field, int value) {
        if (!json_is_object(holder) || json_int_or(holder, field, 0) != 0)
                return 0;
        return json_object_set_new(holder, field, json_integer(value)) < 0 ? -ENOMEM : 0;
}

/* --- FlowSchema --- */

static int schema_defaults(json_t *object) {
        return default_number(json_object_get(object, "spec"), "matchingPrecedence", 1000);
}

/* At least one value; "*" stands alone. what: "verbs", as messages name them. */
static void validate_values(
                struct findings *f, const json_t *rule, const char *field, const char *what) {
        const json_t *values = json_object_get(rule, field), *v;
        size_t n = json_array_size(values), i;

        if (n == 0)
                finding_add(f, FINDING_REQUIRED, field, NULL, "%s must contain at least one value",
                                field);
        json_array_foreach (values, i, v)
                if (n > 1 && streq(strempty(json_string_value(v)), "*")) {
                        finding_add(f, FINDING_INVALID, field, values,
                                        "if '*' is present, must not specify other %s", what);
                        return;
                }
}

static void validate_resource_rule(struct findings *f, const json_t *rule) {
        static const char *const verbs[] = {"get", "list", "create", "update", "patch", "delete",
                        "deletecollection", "watch", "proxy", "*"};
        const json_t *verb;
        size_t i;

        validate_values(f, rule, "verbs", "verbs");
        json_array_foreach (json_object_get(rule, "verbs"), i, verb) {
                bool known = false;

                for (size_t k = 0; k < ELEMENTS(verbs); k++)
                        known |= streq(strempty(json_string_value(verb)), verbs[k]);
                if (!known)
                        finding_add(f, FINDING_NOT_SUPPORTED, "verbs", verb,
                                        "supported values: \"*\", \"create\", \"delete\", "
                                        "\"deletecollection\", \"get\", \"list\", \"patch\", "
                                        "\"proxy\", \"update\", \"watch\"");
        }
        validate_values(f, rule, "apiGroups", "api groups");
        validate_values(f, rule, "resources", "resources");
        if (json_array_size(json_object_get(rule, "namespaces")) > 0)
                validate_values(f, rule, "namespaces", "namespaces");
        else if (!json_bool_or(rule, "clusterScope", false))
                finding_add(f, FINDING_REQUIRED, "namespaces", NULL,
                                "resource rules that are not cluster scoped must supply at least "
                                "one namespace");
}

static void validate_path_rule(struct findings *f, const json_t *rule) {
        const json_t *path;
        size_t i;

        validate_values(f, rule, "verbs", "verbs");
        validate_values(f, rule, "nonResourceURLs", "non-resource URLs");
        json_array_foreach (json_object_get(rule, "nonResourceURLs"), i, path) {
                const char *text = strempty(json_string_value(path)), *star = strchr(text, '*');

                if (streq(text, "*"))
                        continue;
                if (*text != '/' || strpbrk(text, " "))
                        finding_add(f, FINDING_INVALID, "nonResourceURLs", path,
                                        "must begin with '/' and have no blanks");
                else if (strstr(text, "//"))
                        finding_add(f, FINDING_INVALID, "nonResourceURLs", path,
                                        "must not contain double slash");
                else if (star && (star[1] || star[-1] != '/'))
                        finding_add(f, FINDING_INVALID, "nonResourceURLs", path,
                                        "wildcard can only do suffix matching");
        }
}

static void validate_subject(struct findings *f, const json_t *subject) {
        static const struct {
                const char *kind, *field;
        } rows[] = {{"User", "user"}, {"Group", "group"}, {"ServiceAccount", "serviceAccount"}};
        const char *kind = json_str_or(subject, "kind", "");

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                bool given = json_object_get(subject, rows[i].field),
                     wanted = streq(kind, rows[i].kind);

                if (wanted && !given)
                        finding_add(f, FINDING_REQUIRED, rows[i].field, NULL,
                                        "%s is required when subject kind is '%s'", rows[i].field,
                                        kind);
                else if (given && !wanted)
                        finding_add(f, FINDING_FORBIDDEN, rows[i].field, NULL,
                                        "%s is forbidden when subject kind is not '%s'",
                                        rows[i].field, rows[i].kind);
        }
}

static void validate_rule(struct findings *f, const json_t *rule) {
        if (json_array_size(json_object_get(rule, "subjects")) == 0)
                finding_add(f, FINDING_REQUIRED, "subjects", NULL,
                                "subjects must contain at least one value");
        findings_each(f, rule, "subjects", validate_subject);
        if (json_array_size(json_object_get(rule, "resourceRules")) == 0 &&
                        json_array_size(json_object_get(rule, "nonResourceRules")) == 0)
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "at least one of resourceRules and nonResourceRules has to be "
                                "non-empty");
        findings_each(f, rule, "resourceRules", validate_resource_rule);
        findings_each(f, rule, "nonResourceRules", validate_path_rule);
}

static void validate_precedence(struct findings *f, const json_t *object) {
        const json_t *v = json_at(object, "spec.matchingPrecedence");
        int64_t n = json_integer_value(v);

        if (!v)
                return;
        if (n < 1)
                finding_add(f, FINDING_INVALID, "matchingPrecedence", v,
                                "must be a positive value");
        else if (n > PRECEDENCE_MAX)
                finding_add(f, FINDING_INVALID, "matchingPrecedence", v,
                                "must not be greater than %i", PRECEDENCE_MAX);
        else if (n == 1 && !streq(object_name(object), "exempt"))
                finding_add(f, FINDING_INVALID, "matchingPrecedence", v,
                                "only the schema named 'exempt' may have matchingPrecedence 1");
}

static void schema_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec"),
                     *level = json_at(spec, "priorityLevelConfiguration.name");
        const char *error =
                        format_check(FORMAT_DNS1123_SUBDOMAIN, strempty(json_string_value(level)));
        size_t at;

        if (!spec) {
                finding_add(f, FINDING_REQUIRED, "spec.priorityLevelConfiguration.name", NULL,
                                "must reference a priority level");
                return;
        }
        at = findings_push(f, "spec");
        validate_precedence(f, object);
        if (!isempty(json_string_value(level)) && error)
                finding_add(f, FINDING_INVALID, "priorityLevelConfiguration.name", level, "%s",
                                error);
        findings_each(f, spec, "rules", validate_rule);
        findings_pop(f, at);
}

/* --- PriorityLevelConfiguration --- */

static int level_defaults(json_t *object) {
        static const struct {
                const char *field;
                int value;
        } rows[] = {{"queues", 64}, {"handSize", 8}, {"queueLengthLimit", 50}};
        json_t *queuing = json_at_mut(object, "spec.limited.limitResponse.queuing");

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                int r = default_number(queuing, rows[i].field, rows[i].value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void validate_queuing(struct findings *f, const json_t *queuing) {
        const json_t *queues = json_object_get(queuing, "queues"),
                     *hand = json_object_get(queuing, "handSize"),
                     *length = json_object_get(queuing, "queueLengthLimit");

        if (json_integer_value(queues) < 1)
                finding_add(f, FINDING_INVALID, "queues", queues, "must be positive");
        else if (json_integer_value(queues) > QUEUES_MAX)
                finding_add(f, FINDING_INVALID, "queues", queues, "must not be greater than %i",
                                QUEUES_MAX);
        if (json_integer_value(hand) < 1)
                finding_add(f, FINDING_INVALID, "handSize", hand, "must be positive");
        else if (json_integer_value(hand) > json_integer_value(queues))
                finding_add(f, FINDING_INVALID, "handSize", hand,
                                "should not be greater than queues (%lld)",
                                (long long)json_integer_value(queues));
        if (json_integer_value(length) < 1)
                finding_add(f, FINDING_INVALID, "queueLengthLimit", length, "must be positive");
}

static void validate_limited(struct findings *f, const json_t *limited) {
        const json_t *response = json_object_get(limited, "limitResponse"),
                     *queuing = json_object_get(response, "queuing");
        const char *type = json_str_or(response, "type", "");
        size_t at = findings_push(f, "limited.limitResponse");

        if (!response)
                finding_add(f, FINDING_REQUIRED, "type", NULL, "must be Queue or Reject");
        else if (streq(type, "Queue") && !queuing)
                finding_add(f, FINDING_REQUIRED, "queuing", NULL,
                                "must not be empty if limitResponse.type is Queue");
        else if (!streq(type, "Queue") && queuing)
                finding_add(f, FINDING_FORBIDDEN, "queuing", NULL,
                                "must be nil if limitResponse.type is not Queue");
        if (queuing) {
                findings_push(f, "queuing");
                validate_queuing(f, queuing);
        }
        findings_pop(f, at);
}

static void level_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec"),
                     *limited = json_object_get(spec, "limited"),
                     *type = json_object_get(spec, "type");
        bool exempt = streq(strempty(json_string_value(type)), "Exempt");
        size_t at = findings_push(f, "spec");

        if (!spec)
                finding_add(f, FINDING_REQUIRED, "type", NULL, "must be Exempt or Limited");
        else if (exempt != streq(object_name(object), "exempt"))
                finding_add(f, FINDING_INVALID, "type", type,
                                "must be 'Exempt' if and only if `name` is 'exempt'");
        if (exempt && limited)
                finding_add(f, FINDING_FORBIDDEN, "limited", NULL,
                                "must be nil if the type is not Limited");
        if (!exempt && json_object_get(spec, "exempt"))
                finding_add(f, FINDING_FORBIDDEN, "exempt", NULL,
                                "must be nil if the type is Limited");
        if (spec && !exempt && !limited)
                finding_add(f, FINDING_REQUIRED, "limited", NULL,
                                "must not be empty when type is Limited");
        if (!exempt && limited)
                validate_limited(f, limited);
        findings_pop(f, at);
}

const struct kind_strategy strategies_flowcontrol[] = {
                {.group = GROUP,
                                .kind = "FlowSchema",
                                .defaults = schema_defaults,
                                .validate = schema_validate},
                {.group = GROUP,
                                .kind = "PriorityLevelConfiguration",
                                .defaults = level_defaults,
                                .validate = level_validate},
                {0},
};
