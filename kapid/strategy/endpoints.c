/* Endpoints and EndpointSlices: addresses must have the declared type, ports must be distinct.
 * Which addresses are allowed is up to the admission plugin ServiceAddressRestriction. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

enum { HINTS_MAX = 8, DEPRECATED_TOPOLOGY_MAX = 16 };

static void validate_format(
                struct findings *f, const char *field, const json_t *v, enum schema_format format) {
        const char *text = json_string_value(v), *error = text ? format_check(format, text) : NULL;

        if (error)
                finding_add(f, FINDING_INVALID, field, v, "%s", error);
}

static bool is_empty(const json_t *v) {
        return !*strempty(json_string_value(v));
}

/* Names of ports: a label, given once (seen: those before it); needed: where there are several. */
static void validate_port(struct findings *f, const json_t *port, json_t *seen, bool needed) {
        const json_t *name = json_object_get(port, "name");

        if (needed && is_empty(name))
                finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
        else if (!is_empty(name))
                validate_format(f, "name", name, FORMAT_DNS1123_LABEL);
        validate_format(f, "appProtocol", json_object_get(port, "appProtocol"),
                        FORMAT_QUALIFIED_NAME);
        if (!needed && strategy_was_seen(f, seen, strempty(json_string_value(name))))
                finding_add(f, FINDING_DUPLICATE, "name", name ? name : json_null(), NULL);
}

/* --- Endpoints --- */

static void validate_addresses(struct findings *f, const json_t *subset, const char *list) {
        const json_t *address;
        size_t i;

        json_array_foreach (json_object_get(subset, list), i, address) {
                const json_t *hostname = json_object_get(address, "hostname");
                size_t at = findings_push(f, list);

                findings_push_index(f, i);
                validate_format(f, "ip", json_object_get(address, "ip"), FORMAT_IP);
                if (!is_empty(hostname))
                        validate_format(f, "hostname", hostname, FORMAT_DNS1123_LABEL);
                validate_format(f, "nodeName", json_object_get(address, "nodeName"),
                                FORMAT_DNS1123_SUBDOMAIN);
                findings_pop(f, at);
        }
}

static void endpoints_validate(struct findings *f, const json_t *object) {
        const json_t *subset;
        size_t i, at;

        json_array_foreach (json_object_get(object, "subsets"), i, subset) {
                const json_t *ports = json_object_get(subset, "ports");

                at = findings_push(f, "subsets");
                findings_push_index(f, i);
                if (json_array_size(json_object_get(subset, "addresses")) == 0 &&
                                json_array_size(json_object_get(subset, "notReadyAddresses")) == 0)
                        finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                        "must specify `addresses` or `notReadyAddresses`");
                validate_addresses(f, subset, "addresses");
                validate_addresses(f, subset, "notReadyAddresses");
                for (size_t p = 0; p < json_array_size(ports); p++) {
                        size_t inner = findings_push(f, "ports");

                        findings_push_index(f, p);
                        if (json_array_size(ports) > 1 ||
                                        !is_empty(json_object_get(json_array_get(ports, p), "name")))
                                validate_port(f, json_array_get(ports, p), /* seen= */ NULL,
                                                /* needed= */ true);
                        findings_pop(f, inner);
                }
                findings_pop(f, at);
        }
}

/* --- EndpointSlice --- */

/* It may end with a dot. */
static void validate_full_name(struct findings *f, const char *path, const json_t *address) {
        _cleanup_free_ char *text = strdup(strempty(json_string_value(address)));
        size_t n = text ? strlen(text) : 0;
        const char *error;

        f->failed |= !text;
        if (!text)
                return;
        if (n > 1 && text[n - 1] == '.')
                text[n - 1] = 0;
        error = format_check(FORMAT_DNS1123_SUBDOMAIN, text);
        if (error)
                finding_add(f, FINDING_INVALID, path, address, "%s", error);
        else if (!strchr(text, '.'))
                finding_add(f, FINDING_INVALID, path, address,
                                "should be a domain with at least two segments separated by dots");
}

static void validate_slice_address(
                struct findings *f, const char *type, size_t index, const json_t *address) {
        _cleanup_free_ char *path = strformat("addresses[%zu]", index);
        const char *text = strempty(json_string_value(address));

        f->failed |= !path;
        if (streq(type, "FQDN"))
                validate_full_name(f, path, address);
        else if (format_check(FORMAT_IP, text))
                finding_add(f, FINDING_INVALID, path, address, "%s",
                                format_check(FORMAT_IP, text));
        else if ((strchr(text, ':') != NULL) != streq(type, "IPv6"))
                finding_add(f, FINDING_INVALID, path, address, "must be an %s address", type);
}

static void validate_hints(struct findings *f, const json_t *endpoint, const char *list) {
        const json_t *hints = json_at(endpoint, "hints"), *all = json_object_get(hints, list), *v;
        _cleanup_json_ json_t *seen = json_object();
        size_t i;

        if (json_array_size(all) > HINTS_MAX)
                finding_add(f, FINDING_TOO_MANY, list, NULL, "%zu: must have at most %i items",
                                json_array_size(all), HINTS_MAX);
        json_array_foreach (all, i, v) {
                _cleanup_free_ char *path = strformat("hints.%s[%zu].name", list, i);
                const json_t *name = json_object_get(v, "name");

                f->failed |= !path;
                if (json_object_get(seen, strempty(json_string_value(name))))
                        finding_add(f, FINDING_DUPLICATE, path, name, NULL);
                else
                        validate_format(f, path, name, streq(list, "forZones")
                                                                       ? FORMAT_LABEL_VALUE
                                                                       : FORMAT_DNS1123_SUBDOMAIN);
                f->failed |= json_object_set_new(seen, strempty(json_string_value(name)),
                                             json_true()) < 0;
        }
}

static void validate_topology(struct findings *f, const json_t *topology) {
        const char *key, *error;
        json_t *v;

        if (json_object_size(topology) > DEPRECATED_TOPOLOGY_MAX)
                finding_add(f, FINDING_TOO_MANY, "deprecatedTopology", NULL,
                                "%zu: must have at most %i items", json_object_size(topology),
                                DEPRECATED_TOPOLOGY_MAX);
        if (json_object_get(topology, "kubernetes.io/hostname"))
                finding_add(f, FINDING_INVALID, "deprecatedTopology", topology,
                                "may not contain kubernetes.io/hostname; use nodeName");
        json_object_each (topology, key, v) {
                _cleanup_json_ json_t *name = json_string(key);

                error = format_check(FORMAT_QUALIFIED_NAME, key);
                if (error)
                        finding_add(f, FINDING_INVALID, "deprecatedTopology", name, "%s", error);
                validate_format(f, "deprecatedTopology", v, FORMAT_LABEL_VALUE);
        }
}

static void validate_endpoint(struct findings *f, const char *type, const json_t *endpoint) {
        const json_t *address;
        size_t i;

        json_array_foreach (json_object_get(endpoint, "addresses"), i, address)
                validate_slice_address(f, type, i, address);
        validate_format(f, "nodeName", json_object_get(endpoint, "nodeName"),
                        FORMAT_DNS1123_SUBDOMAIN);
        validate_format(f, "zone", json_object_get(endpoint, "zone"), FORMAT_LABEL_VALUE);
        validate_format(f, "hostname", json_object_get(endpoint, "hostname"),
                        FORMAT_DNS1123_LABEL);
        validate_topology(f, json_object_get(endpoint, "deprecatedTopology"));
        validate_hints(f, endpoint, "forZones");
        validate_hints(f, endpoint, "forNodes");
}

static void slice_validate(struct findings *f, const json_t *object) {
        const char *type = json_str_or(object, "addressType", "");
        const json_t *endpoint, *port;
        _cleanup_json_ json_t *seen = json_object();
        size_t i, at;

        json_array_foreach (json_object_get(object, "endpoints"), i, endpoint) {
                at = findings_push(f, "endpoints");
                findings_push_index(f, i);
                validate_endpoint(f, type, endpoint);
                findings_pop(f, at);
        }
        json_array_foreach (json_object_get(object, "ports"), i, port) {
                at = findings_push(f, "ports");
                findings_push_index(f, i);
                validate_port(f, port, seen, /* needed= */ false);
                findings_pop(f, at);
        }
}

static void slice_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "addressType");
}

const struct kind_strategy strategies_endpoints[] = {
                {.group = "",
                                .kind = "Endpoints",
                                .flags = STRATEGY_NO_GENERATION,
                                .validate = endpoints_validate},
                {.group = "discovery.k8s.io",
                                .kind = "EndpointSlice",
                                .validate = slice_validate,
                                .validate_update = slice_validate_update},
                {0},
};
