/* Configurations of admission webhooks: what Kubernetes' validation asks of them. */
#include "kapid/strategy/admissionregistration.h"

#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "kapid/webhooks/conditions.h"
#include "kapid/webhooks/config.h"
#include "kapid/webhooks/target.h"
#include "lib/object.h"

enum { NAME_SEGMENTS_MIN = 3, CONDITIONS_MAX = 64, TIMEOUT_MAX_S = 30 };

static size_t push_item(struct findings *f, const char *field, size_t i) {
        size_t at = findings_push(f, field);

        (void)findings_push_index(f, i);
        return at;
}

static void validate_name(struct findings *f, const json_t *webhook) {
        const json_t *v = json_object_get(webhook, "name");
        const char *name = strempty(json_string_value(v)), *error;
        size_t segments = 1;

        if (!*name) {
                finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
                return;
        }
        error = format_check(FORMAT_DNS1123_SUBDOMAIN, name);
        for (const char *s = name; (s = strchr(s, '.')); s++)
                segments++;
        if (error)
                finding_add(f, FINDING_INVALID, "name", v, "%s", error);
        else if (segments < NAME_SEGMENTS_MIN)
                finding_add(f, FINDING_INVALID, "name", v,
                                "should be a domain with at least three segments separated by "
                                "dots");
}

/* A list that needs an entry, and no other one beside "*". */
static void validate_words(struct findings *f, const json_t *rule, const char *field,
                bool may_be_empty, const char *what) {
        const json_t *list = json_object_get(rule, field), *v;
        bool star = false;
        size_t i;

        if (json_array_size(list) == 0) {
                finding_add(f, FINDING_REQUIRED, field, NULL, NULL);
                return;
        }
        json_array_foreach (list, i, v) {
                star |= streq(strempty(json_string_value(v)), "*");
                if (!may_be_empty && isempty(json_string_value(v))) {
                        size_t at = push_item(f, field, i);

                        finding_add(f, FINDING_REQUIRED, NULL, NULL, NULL);
                        findings_pop(f, at);
                }
        }
        if (star && json_array_size(list) > 1)
                finding_add(f, FINDING_INVALID, field, list,
                                "if '*' is present, must not specify other %s", what);
}

static void validate_operations(struct findings *f, const json_t *rule) {
        const json_t *list = json_object_get(rule, "operations"), *v;
        size_t i;

        validate_words(f, rule, "operations", true, "operations");
        json_array_foreach (list, i, v) {
                size_t at = push_item(f, "operations", i);

                if (webhook_operation(strempty(json_string_value(v))) == 0)
                        finding_add(f, FINDING_NOT_SUPPORTED, NULL, v,
                                        "supported values: \"*\", \"CONNECT\", \"CREATE\", "
                                        "\"DELETE\", \"UPDATE\"");
                findings_pop(f, at);
        }
}

/* seen: the entries before it, of which one may cover it: "pods/" + "*", or "*" + "/status". */
static void validate_resource(struct findings *f, const json_t *v, json_t *seen) {
        const char *text = strempty(json_string_value(v)), *slash = strchr(text, '/');
        int n = slash ? (int)(slash - text) : 0;
        _cleanup_free_ char *all_of = strformat("%.*s/*", n, text),
                            *of_all = strformat("*%s", strempty(slash));

        f->failed |= !all_of || !of_all;
        if (!*text)
                finding_add(f, FINDING_REQUIRED, NULL, NULL, NULL);
        if (slash && all_of && json_object_get(seen, all_of))
                finding_add(f, FINDING_INVALID, NULL, v, "if '%s' is present, must not specify %s",
                                all_of, text);
        if (slash && of_all && json_object_get(seen, of_all))
                finding_add(f, FINDING_INVALID, NULL, v, "if '%s' is present, must not specify %s",
                                of_all, text);
        (void)strategy_was_seen(f, seen, text);
}

static void validate_resources(struct findings *f, const json_t *rule) {
        const json_t *list = json_object_get(rule, "resources"), *v;
        _cleanup_json_ json_t *seen = json_object();
        bool all = false, star = false, plain = false;
        size_t i;

        if (json_array_size(list) == 0)
                finding_add(f, FINDING_REQUIRED, "resources", NULL, NULL);
        json_array_foreach (list, i, v) {
                const char *text = strempty(json_string_value(v));
                size_t at;

                all |= streq(text, "*/*");
                star |= streq(text, "*");
                plain |= *text && !streq(text, "*") && !strchr(text, '/');
                at = push_item(f, "resources", i);
                validate_resource(f, v, seen);
                findings_pop(f, at);
        }
        if (all && json_array_size(list) > 1)
                finding_add(f, FINDING_INVALID, "resources", list,
                                "if '*/*' is present, must not specify other resources");
        if (star && plain)
                finding_add(f, FINDING_INVALID, "resources", list,
                                "if '*' is present, must not specify other resources without "
                                "subresources");
}

void admission_validate_rules(struct findings *f, const json_t *v, const char *field) {
        const json_t *rule;
        size_t i;

        json_array_foreach (json_object_get(v, field), i, rule) {
                size_t at = push_item(f, field, i);

                validate_operations(f, rule);
                validate_words(f, rule, "apiGroups", true, "API groups");
                validate_words(f, rule, "apiVersions", false, "API versions");
                validate_resources(f, rule);
                findings_pop(f, at);
        }
}

static void validate_service(struct findings *f, const json_t *service) {
        const json_t *path = json_object_get(service, "path");
        int64_t port = json_int_or(service, "port", 443);
        size_t at = findings_push(f, "service");
        const char *error;

        if (isempty(json_str(service, "name")))
                finding_add(f, FINDING_REQUIRED, "name", NULL, "service name is required");
        if (isempty(json_str(service, "namespace")))
                finding_add(f, FINDING_REQUIRED, "namespace", NULL,
                                "service namespace is required");
        error = isempty(json_string_value(path)) ? NULL
                                                 : webhook_path_error(json_string_value(path));
        if (error)
                finding_add(f, FINDING_INVALID, "path", path, "%s", error);
        if (port < 1 || port > 65535)
                finding_add(f, FINDING_INVALID, "port", json_object_get(service, "port"),
                                "port is not valid: must be between 1 and 65535, inclusive");
        findings_pop(f, at);
}

static void validate_client(struct findings *f, const json_t *webhook) {
        const json_t *client = json_object_get(webhook, "clientConfig"),
                     *url = json_object_get(client, "url"),
                     *service = json_object_get(client, "service");
        size_t at = findings_push(f, "clientConfig");
        const char *error;

        if (!url == !service)
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "exactly one of url or service is required");
        error = url ? webhook_url_error(strempty(json_string_value(url))) : NULL;
        if (error)
                finding_add(f, FINDING_INVALID, "url", url,
                                "%s; desired format: https://host[/path]", error);
        if (service)
                validate_service(f, service);
        findings_pop(f, at);
}

static void validate_versions(struct findings *f, const json_t *webhook) {
        const json_t *list = json_object_get(webhook, "admissionReviewVersions"), *v;
        _cleanup_json_ json_t *seen = json_object();
        size_t i;

        if (json_array_size(list) == 0) {
                finding_add(f, FINDING_REQUIRED, "admissionReviewVersions", NULL,
                                "must specify one of v1, v1beta1");
                return;
        }
        json_array_foreach (list, i, v) {
                const char *text = strempty(json_string_value(v)),
                           *error = format_check(FORMAT_DNS1035_LABEL, text);
                size_t at = push_item(f, "admissionReviewVersions", i);

                if (error)
                        finding_add(f, FINDING_INVALID, NULL, v, "%s", error);
                if (strategy_was_seen(f, seen, text))
                        finding_add(f, FINDING_INVALID, NULL, v, "duplicate version");
                findings_pop(f, at);
        }
        if (!webhook_review_version(list))
                finding_add(f, FINDING_INVALID, "admissionReviewVersions", list,
                                "must include at least one of v1, v1beta1");
}

static void on_condition(const char *field, const char *text, const char *why, void *userdata) {
        _cleanup_json_ json_t *value = json_string(text);

        finding_add(userdata, FINDING_INVALID, field, value, "%s", why);
}

static void validate_conditions(struct findings *f, const json_t *webhook) {
        const json_t *list = json_object_get(webhook, "matchConditions"), *v;
        size_t i;

        if (json_array_size(list) > CONDITIONS_MAX)
                finding_add(f, FINDING_TOO_MANY, "matchConditions", NULL,
                                "must have at most %d items", CONDITIONS_MAX);
        json_array_foreach (list, i, v) {
                const json_t *name = json_object_get(v, "name"),
                             *text = json_object_get(v, "expression");
                const char *error = format_check(
                                FORMAT_QUALIFIED_NAME, strempty(json_string_value(name)));
                size_t at = push_item(f, "matchConditions", i);

                if (isempty(json_string_value(name)))
                        finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
                else if (error)
                        finding_add(f, FINDING_INVALID, "name", name, "%s", error);
                if (isempty(json_string_value(text)))
                        finding_add(f, FINDING_REQUIRED, "expression", NULL, NULL);
                findings_pop(f, at);
        }
        if (webhook_conditions_check(webhook, on_condition, f) < 0)
                f->failed = true;
}

void admission_validate_selectors(struct findings *f, const json_t *webhook) {
        static const char *const fields[] = {"namespaceSelector", "objectSelector"};

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                size_t at = findings_push(f, fields[i]);

                strategy_validate_label_selector(f, json_object_get(webhook, fields[i]));
                findings_pop(f, at);
        }
}

static void configuration_validate(struct findings *f, const json_t *object) {
        const json_t *list = json_object_get(object, "webhooks"), *webhook;
        _cleanup_json_ json_t *names = json_object();
        size_t i;

        json_array_foreach (list, i, webhook) {
                int64_t timeout_s = json_int_or(webhook, "timeoutSeconds", 10);
                size_t at = push_item(f, "webhooks", i);

                validate_name(f, webhook);
                if (json_object_get(names, json_str_or(webhook, "name", "")))
                        finding_add(f, FINDING_DUPLICATE, "name", json_object_get(webhook, "name"),
                                        NULL);
                f->failed |= json_object_set_new(names, json_str_or(webhook, "name", ""),
                                             json_true()) < 0;
                admission_validate_rules(f, webhook, "rules");
                validate_client(f, webhook);
                admission_validate_selectors(f, webhook);
                validate_versions(f, webhook);
                validate_conditions(f, webhook);
                if (timeout_s < 1 || timeout_s > TIMEOUT_MAX_S)
                        finding_add(f, FINDING_INVALID, "timeoutSeconds",
                                        json_object_get(webhook, "timeoutSeconds"),
                                        "the timeout value must be between 1 and %d seconds",
                                        TIMEOUT_MAX_S);
                findings_pop(f, at);
        }
}

const struct kind_strategy strategies_admissionregistration[] = {
                {.group = "admissionregistration.k8s.io",
                                .kind = "MutatingWebhookConfiguration",
                                .flags = STRATEGY_READ_AT_ONCE | STRATEGY_NEEDS_VERSION,
                                .validate = configuration_validate},
                {.group = "admissionregistration.k8s.io",
                                .kind = "ValidatingWebhookConfiguration",
                                .flags = STRATEGY_READ_AT_ONCE | STRATEGY_NEEDS_VERSION,
                                .validate = configuration_validate},
                {0},
};
