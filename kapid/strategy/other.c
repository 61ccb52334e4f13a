/* Small groups: leases, endpoint slices, priority classes. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

static void slice_validate(struct findings *f, const json_t *object) {
        const char *type = json_str_or(object, "addressType", "");
        const json_t *endpoint, *address;
        size_t i, j;

        json_array_foreach (json_object_get(object, "endpoints"), i, endpoint)
                json_array_foreach (json_object_get(endpoint, "addresses"), j, address) {
                        const char *text = strempty(json_string_value(address)), *error;
                        _cleanup_free_ char *path =
                                        strformat("endpoints[%zu].addresses[%zu]", i, j);

                        error = format_check(
                                        streq(type, "FQDN") ? FORMAT_DNS1123_SUBDOMAIN : FORMAT_IP,
                                        text);
                        if (!error && (streq(type, "IPv4") || streq(type, "IPv6")) &&
                                        (strchr(text, ':') != NULL) != streq(type, "IPv6"))
                                error = "must be an address of the slice's addressType";
                        if (error)
                                finding_add(f, FINDING_INVALID, path, address, "%s", error);
                }
}

static void slice_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "addressType");
}

const struct system_class *system_class_find(const char *name) {
        static const struct system_class classes[] = {
                        {"system-cluster-critical", 2000000000},
                        {"system-node-critical", 2000001000},
        };

        for (size_t i = 0; i < ELEMENTS(classes); i++)
                if (streq(name, classes[i].name))
                        return &classes[i];
        return NULL;
}

static char *system_class_error(const json_t *object) {
        const char *name = object_name(object);
        const struct system_class *class = system_class_find(name);

        if (!class)
                return strformat("%s is not a known system priority class", name);
        if (json_int_or(object, "value", 0) != class->value)
                return strformat("value of %s PriorityClass must be %lld", name,
                                (long long)class->value);
        if (json_bool_or(object, "globalDefault", false))
                return strformat("globalDefault of %s PriorityClass must be false", name);
        return NULL;
}

static void priorityclass_validate(struct findings *f, const json_t *object) {
        _cleanup_free_ char *error = NULL;

        if (!startswith(object_name(object), "system-")) {
                if (json_int_or(object, "value", 0) > 1000000000)
                        finding_add(f, FINDING_FORBIDDEN, "value", NULL,
                                        "maximum allowed value of a user defined priority is "
                                        "1000000000");
                return;
        }
        error = system_class_error(object);
        if (error)
                finding_add(f, FINDING_FORBIDDEN, "metadata.name", NULL,
                                "priority class names with 'system-' prefix are reserved for "
                                "system use only. error: %s",
                                error);
}

static void priorityclass_validate_update(struct findings *f, const char *subresource,
                const json_t *old, const json_t *object) {
        if (json_int_or(old, "value", 0) != json_int_or(object, "value", 0))
                finding_add(f, FINDING_FORBIDDEN, "value", NULL,
                                "may not be changed in an update.");
        strategy_validate_immutable(f, old, object, "preemptionPolicy");
}

const struct kind_strategy strategies_other[] = {
                {.group = "coordination.k8s.io",
                                .kind = "Lease",
                                .flags = STRATEGY_NO_GENERATION | STRATEGY_NEEDS_VERSION},
                {.group = "discovery.k8s.io",
                                .kind = "EndpointSlice",
                                .validate = slice_validate,
                                .validate_update = slice_validate_update},
                {.group = "scheduling.k8s.io",
                                .kind = "PriorityClass",
                                .flags = STRATEGY_READ_AT_ONCE,
                                .validate = priorityclass_validate,
                                .validate_update = priorityclass_validate_update},
                {0},
};
