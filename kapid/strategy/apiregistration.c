/* APIServices: what Kubernetes' validation asks of them. A local one is available from the start.
 */
#include "kapid/kinds/crd-names.h"
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

enum { GROUP_PRIORITY_MAX = 20000, VERSION_PRIORITY_MAX = 1000 };

static int prepare_create(json_t *object, const struct pipeline_context *c) {
        int r;

        if (json_at(object, "spec.service"))
                return 0;
        r = crd_set_condition(object, "Available", "True", "Local",
                        "Local APIServices are always available", c->now_us);
        return MIN(r, 0);
}

/* It can be a path segment already. */
static void validate_name(struct findings *f, const json_t *object) {
        const json_t *name = json_at(object, "metadata.name");
        _cleanup_free_ char *wanted = strformat("%s.%s", json_str_or(object, "spec.version", ""),
                        json_str_or(object, "spec.group", ""));

        if (!wanted)
                f->failed = true;
        else if (!streq(strempty(json_string_value(name)), wanted))
                finding_add(f, FINDING_INVALID, "metadata.name", name,
                                "must be `spec.version+\".\"+spec.group`: \"%s\"", wanted);
}

static void validate_priority(
                struct findings *f, const json_t *spec, const char *field, int64_t most) {
        int64_t n = json_int_or(spec, field, 0);
        _cleanup_json_ json_t *value = json_integer(n);

        if (n <= 0 || n > most)
                finding_add(f, FINDING_INVALID, field, value, "must be positive and less than %lld",
                                (long long)most);
}

static void validate_service(struct findings *f, const json_t *service) {
        int64_t port = json_int_or(service, "port", 443);
        size_t at = findings_push(f, "service");

        if (isempty(json_str(service, "namespace")))
                finding_add(f, FINDING_REQUIRED, "namespace", NULL, NULL);
        if (isempty(json_str(service, "name")))
                finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
        if (port < 1 || port > 65535)
                finding_add(f, FINDING_INVALID, "port", json_object_get(service, "port"),
                                "port is not valid: must be between 1 and 65535, inclusive");
        findings_pop(f, at);
}

static void validate_trust(struct findings *f, const json_t *spec, bool local) {
        const json_t *insecure = json_object_get(spec, "insecureSkipTLSVerify");
        const char *bundle = json_str_or(spec, "caBundle", "");

        if (local && *bundle)
                finding_add(f, FINDING_INVALID, "caBundle", NULL,
                                "local APIServices may not have a caBundle");
        if (local && json_is_true(insecure))
                finding_add(f, FINDING_INVALID, "insecureSkipTLSVerify", insecure,
                                "local APIServices may not have insecureSkipTLSVerify");
        if (!local && *bundle && json_is_true(insecure))
                finding_add(f, FINDING_INVALID, "insecureSkipTLSVerify", insecure,
                                "may not be true if caBundle is present");
}

static void validate_spec(struct findings *f, const json_t *spec) {
        const json_t *group = json_object_get(spec, "group"),
                     *version = json_object_get(spec, "version"),
                     *service = json_object_get(spec, "service");
        const char *g = strempty(json_string_value(group)),
                   *v = strempty(json_string_value(version)),
                   *error = *g ? format_check(FORMAT_DNS1123_SUBDOMAIN, g) : NULL;

        if (!*g && !streq(v, "v1"))
                finding_add(f, FINDING_REQUIRED, "group", NULL,
                                "only v1 may have an empty group and it better be legacy kube");
        if (error)
                finding_add(f, FINDING_INVALID, "group", group, "%s", error);
        error = format_check(FORMAT_DNS1035_LABEL, v);
        if (error)
                finding_add(f, FINDING_INVALID, "version", version, "%s", error);
        validate_priority(f, spec, "groupPriorityMinimum", GROUP_PRIORITY_MAX);
        validate_priority(f, spec, "versionPriority", VERSION_PRIORITY_MAX);
        if (service)
                validate_service(f, service);
        validate_trust(f, spec, !service);
}

static void validate(struct findings *f, const json_t *object) {
        size_t at;

        validate_name(f, object);
        at = findings_push(f, "spec");
        validate_spec(f, json_object_get(object, "spec"));
        findings_pop(f, at);
}

const struct kind_strategy strategies_apiregistration[] = {
                {.group = "apiregistration.k8s.io",
                                .kind = "APIService",
                                .name = NAME_PATH_SEGMENT,
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_NEEDS_VERSION |
                                         STRATEGY_READ_AT_ONCE,
                                .prepare_create = prepare_create,
                                .validate = validate},
                {0},
};
