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

static void priorityclass_validate(struct findings *f, const json_t *object) {
        const json_t *value = json_object_get(object, "value");

        if (startswith(object_name(object), "system-")) {
                if (!streq(object_name(object), "system-node-critical") &&
                                !streq(object_name(object), "system-cluster-critical"))
                        finding_add(f, FINDING_FORBIDDEN, "metadata.name", NULL,
                                        "priority class names with 'system-' prefix are reserved "
                                        "for system use only");
        } else if (json_integer_value(value) > 1000000000)
                finding_add(f, FINDING_FORBIDDEN, "value", NULL,
                                "maximum allowed value of a user defined priority is 1000000000");
}

static void priorityclass_validate_update(struct findings *f, const char *subresource,
                const json_t *old, const json_t *object) {
        strategy_validate_immutable(f, old, object, "value");
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
                                .validate = priorityclass_validate,
                                .validate_update = priorityclass_validate_update},
                {0},
};
