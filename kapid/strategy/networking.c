/* NetworkPolicies, Ingresses, their classes, ServiceCIDRs. The messages are those of Kubernetes. */
#include <arpa/inet.h>

#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

/* --- NetworkPolicy --- */

/* Without policyTypes a policy is about what comes in, and about what goes out where it has rules
 * for that. */
static int policy_defaults(json_t *object) {
        json_t *spec = json_object_get(object, "spec");
        bool egress = json_array_size(json_object_get(spec, "egress")) > 0;

        if (!json_is_object(spec) || json_array_size(json_object_get(spec, "policyTypes")) > 0)
                return 0;
        return json_set_at(spec, "policyTypes",
                        egress ? json_pack("[s, s]", "Ingress", "Egress")
                               : json_pack("[s]", "Ingress"));
}

/* A range of addresses; size 4 or 16 octets. */
struct range {
        unsigned char octets[16];
        unsigned size, bits;
};

static int range_parse(const char *text, struct range *ret) {
        const char *slash = strchr(text, '/');
        _cleanup_free_ char *net = slash ? strndup(text, (size_t)(slash - text)) : NULL;
        struct range range = {0};
        uint32_t bits;

        if (!net)
                return -EINVAL;
        if (inet_pton(AF_INET, net, range.octets) == 1)
                range.size = 4;
        else if (inet_pton(AF_INET6, net, range.octets) == 1)
                range.size = 16;
        else
                return -EINVAL;
        if (parse_u32(slash + 1, &bits) < 0 || bits > range.size * 8)
                return -EINVAL;
        range.bits = bits;
        *ret = range;
        return 0;
}

/* Whether `inner` is a part of `outer` and not all of it. */
static bool range_is_within(const struct range *inner, const struct range *outer) {
        if (inner->size != outer->size || inner->bits <= outer->bits)
                return false;
        for (unsigned bit = 0; bit < outer->bits; bit++)
                if ((inner->octets[bit / 8] ^ outer->octets[bit / 8]) & (0x80u >> bit % 8))
                        return false;
        return true;
}

static const char *const bad_range =
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

static void validate_block(struct findings *f, const json_t *block) {
        const json_t *cidr = json_object_get(block, "cidr"), *item;
        struct range whole, part;
        bool known = range_parse(strempty(json_string_value(cidr)), &whole) >= 0;
        size_t i;

        if (isempty(json_string_value(cidr)))
                finding_add(f, FINDING_REQUIRED, "cidr", NULL, NULL);
        else if (!known)
                finding_add(f, FINDING_INVALID, "cidr", cidr, "%s", bad_range);
        json_array_foreach (json_object_get(block, "except"), i, item) {
                size_t at = findings_push(f, "except");

                findings_push_index(f, i);
                if (range_parse(strempty(json_string_value(item)), &part) < 0)
                        finding_add(f, FINDING_INVALID, NULL, item, "%s", bad_range);
                else if (known && !range_is_within(&part, &whole))
                        finding_add(f, FINDING_INVALID, NULL, item,
                                        "must be a strict subset of `cidr`");
                findings_pop(f, at);
        }
}

static void validate_selector_at(struct findings *f, const json_t *holder, const char *field) {
        size_t at = findings_push(f, field);

        strategy_validate_label_selector(f, json_object_get(holder, field));
        findings_pop(f, at);
}

static void validate_peer(struct findings *f, const json_t *peer) {
        const json_t *block = json_object_get(peer, "ipBlock");
        bool selects = json_object_get(peer, "podSelector") ||
                       json_object_get(peer, "namespaceSelector");
        size_t at;

        validate_selector_at(f, peer, "podSelector");
        validate_selector_at(f, peer, "namespaceSelector");
        if (block) {
                at = findings_push(f, "ipBlock");
                validate_block(f, block);
                findings_pop(f, at);
        }
        if (!block && !selects)
                finding_add(f, FINDING_REQUIRED, NULL, NULL, "must specify a peer");
        else if (block && selects)
                finding_add(f, FINDING_FORBIDDEN, NULL, NULL,
                                "may not specify both ipBlock and another peer");
}

static bool is_port(int64_t n) {
        return n >= 1 && n <= UINT16_MAX;
}

static void validate_port(struct findings *f, const json_t *entry) {
        const json_t *port = json_object_get(entry, "port"),
                     *end = json_object_get(entry, "endPort");
        const char *error = json_is_string(port) ? format_check(FORMAT_PORT_NAME,
                                                                   json_string_value(port))
                                                 : NULL;

        if (json_is_integer(port) && !is_port(json_integer_value(port)))
                finding_add(f, FINDING_INVALID, "port", port,
                                "must be between 1 and 65535, inclusive");
        if (error)
                finding_add(f, FINDING_INVALID, "port", port, "%s", error);
        if (!end)
                return;
        if (!port)
                finding_add(f, FINDING_REQUIRED, "port", NULL,
                                "must be specified when `endPort` is specified");
        else if (!json_is_integer(port))
                finding_add(f, FINDING_INVALID, "endPort", end,
                                "may not be specified when `port` is non-numeric");
        else if (!is_port(json_integer_value(end)))
                finding_add(f, FINDING_INVALID, "endPort", end,
                                "must be between 1 and 65535, inclusive");
        else if (json_integer_value(end) < json_integer_value(port))
                finding_add(f, FINDING_INVALID, "endPort", end,
                                "must be greater than or equal to `port`");
}

static void validate_ingress_rule(struct findings *f, const json_t *rule) {
        findings_each(f, rule, "ports", validate_port);
        findings_each(f, rule, "from", validate_peer);
}

static void validate_egress_rule(struct findings *f, const json_t *rule) {
        findings_each(f, rule, "ports", validate_port);
        findings_each(f, rule, "to", validate_peer);
}

static void policy_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec"),
                     *types = json_object_get(spec, "policyTypes");
        size_t at = findings_push(f, "spec");

        validate_selector_at(f, spec, "podSelector");
        findings_each(f, spec, "ingress", validate_ingress_rule);
        findings_each(f, spec, "egress", validate_egress_rule);
        if (json_array_size(types) > 2)
                finding_add(f, FINDING_INVALID, "policyTypes", types,
                                "may not specify more than two policyTypes");
        findings_pop(f, at);
}

/* --- Ingress --- */

/* field: "host" of a rule, where an address is none; NULL: one of tls.hosts, at the path's end. */
static void validate_host(struct findings *f, const char *field, const json_t *host) {
        const char *text = strempty(json_string_value(host)), *error;
        struct in6_addr address;

        if (field && (inet_pton(AF_INET, text, &address) == 1 ||
                                     inet_pton(AF_INET6, text, &address) == 1)) {
                finding_add(f, FINDING_INVALID, field, host,
                                "must be a DNS name, not an IP address");
                return;
        }
        error = format_check(FORMAT_DNS1123_SUBDOMAIN, startswith(text, "*.") ? text + 2 : text);
        if (error && strchr(text, '*'))
                error = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid "
                        "DNS subdomain, which must consist of lower case alphanumeric characters, "
                        "'-' or '.' and end with an alphanumeric character (e.g. '*.example.com')";
        if (error)
                finding_add(f, FINDING_INVALID, field, host, "%s", error);
}

static void validate_service_backend(struct findings *f, const json_t *service) {
        const json_t *name = json_object_get(service, "name"),
                     *port_name = json_at(service, "port.name"),
                     *number = json_at(service, "port.number");
        const char *error;

        if (isempty(json_string_value(name)))
                finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
        else if ((error = format_check(FORMAT_DNS1035_LABEL, json_string_value(name))))
                finding_add(f, FINDING_INVALID, "name", name, "%s", error);
        if (!isempty(json_string_value(port_name)) && json_integer_value(number) != 0)
                finding_add(f, FINDING_INVALID, NULL, service,
                                "cannot set both port name & port number");
        else if (!isempty(json_string_value(port_name))) {
                if ((error = format_check(FORMAT_PORT_NAME, json_string_value(port_name))))
                        finding_add(f, FINDING_INVALID, "port.name", port_name, "%s", error);
        } else if (json_integer_value(number) == 0)
                finding_add(f, FINDING_REQUIRED, NULL, NULL, "port name or number is required");
        else if (!is_port(json_integer_value(number)))
                finding_add(f, FINDING_INVALID, "port.number", number,
                                "must be between 1 and 65535, inclusive");
}

static void validate_segment(struct findings *f, const char *field, const json_t *v) {
        const char *text = strempty(json_string_value(v));

        if (!*text)
                finding_add(f, FINDING_REQUIRED, field, NULL, "%s is required", field);
        else if (strpbrk(text, "/%") || streq(text, ".") || streq(text, ".."))
                finding_add(f, FINDING_INVALID, field, v,
                                "may not be '.' or '..', nor contain '/' or '%%'");
}

/* A reference to any object, in the group apiGroup. */
static void validate_typed_reference(struct findings *f, const json_t *ref) {
        const json_t *group = json_object_get(ref, "apiGroup");
        const char *error = group ? format_check(FORMAT_DNS1123_SUBDOMAIN,
                                                    strempty(json_string_value(group)))
                                  : NULL;

        if (error)
                finding_add(f, FINDING_INVALID, "apiGroup", group, "%s", error);
        validate_segment(f, "kind", json_object_get(ref, "kind"));
        validate_segment(f, "name", json_object_get(ref, "name"));
}

static void validate_backend(struct findings *f, const json_t *backend) {
        const json_t *service = json_object_get(backend, "service"),
                     *resource = json_object_get(backend, "resource");
        size_t at;

        if (service && resource)
                finding_add(f, FINDING_INVALID, NULL, NULL,
                                "cannot set both resource and service backends");
        else if (service) {
                at = findings_push(f, "service");
                validate_service_backend(f, service);
                findings_pop(f, at);
        } else if (resource) {
                at = findings_push(f, "resource");
                validate_typed_reference(f, resource);
                findings_pop(f, at);
        } else
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "resource or service backend is required");
}

/* A path of the types Exact and Prefix means the same to all controllers. */
static void validate_plain_path(struct findings *f, const json_t *path) {
        static const char *const never[] = {"//", "/./", "/../", "%2f", "%2F"};
        const char *text = strempty(json_string_value(path));
        size_t n = strlen(text);

        if (*text != '/') {
                finding_add(f, FINDING_INVALID, "path", path, "must be an absolute path");
                return;
        }
        for (size_t i = 0; i < ELEMENTS(never); i++)
                if (strstr(text, never[i]))
                        finding_add(f, FINDING_INVALID, "path", path, "must not contain '%s'",
                                        never[i]);
        if ((n >= 2 && streq(text + n - 2, "/.")) || (n >= 3 && streq(text + n - 3, "/..")))
                finding_add(f, FINDING_INVALID, "path", path, "cannot end with '%s'",
                                text[n - 2] == '.' ? "/.." : "/.");
}

static void validate_path(struct findings *f, const json_t *entry) {
        const json_t *path = json_object_get(entry, "path");
        size_t at;

        if (!streq(json_str_or(entry, "pathType", ""), "ImplementationSpecific"))
                validate_plain_path(f, path ? path : json_null());
        else if (!isempty(json_string_value(path)) && *json_string_value(path) != '/')
                finding_add(f, FINDING_INVALID, "path", path, "must be an absolute path");
        at = findings_push(f, "backend");
        validate_backend(f, json_object_get(entry, "backend"));
        findings_pop(f, at);
}

static void validate_rule(struct findings *f, const json_t *rule) {
        const json_t *http = json_object_get(rule, "http");
        size_t at;

        if (!isempty(json_string_value(json_object_get(rule, "host"))))
                validate_host(f, "host", json_object_get(rule, "host"));
        if (!http)
                return;
        at = findings_push(f, "http");
        if (json_array_size(json_object_get(http, "paths")) == 0)
                finding_add(f, FINDING_REQUIRED, "paths", NULL, NULL);
        findings_each(f, http, "paths", validate_path);
        findings_pop(f, at);
}

static void validate_tls(struct findings *f, const json_t *tls) {
        const json_t *host, *secret = json_object_get(tls, "secretName");
        const char *error;
        size_t i;

        json_array_foreach (json_object_get(tls, "hosts"), i, host) {
                size_t at = findings_push(f, "hosts");

                findings_push_index(f, i);
                validate_host(f, NULL, host);
                findings_pop(f, at);
        }
        if (!isempty(json_string_value(secret)) &&
                        (error = format_check(FORMAT_DNS1123_SUBDOMAIN, json_string_value(secret))))
                finding_add(f, FINDING_INVALID, "secretName", secret, "%s", error);
}

static void ingress_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec"),
                     *backend = json_object_get(spec, "defaultBackend"),
                     *class = json_object_get(spec, "ingressClassName");
        size_t at = findings_push(f, "spec"), inner;
        const char *error;

        if (!backend && json_array_size(json_object_get(spec, "rules")) == 0)
                finding_add(f, FINDING_INVALID, NULL, spec ? spec : json_null(),
                                "either `defaultBackend` or `rules` must be specified");
        if (backend) {
                inner = findings_push(f, "defaultBackend");
                validate_backend(f, backend);
                findings_pop(f, inner);
        }
        if (class && (error = format_check(FORMAT_DNS1123_SUBDOMAIN,
                                      strempty(json_string_value(class)))))
                finding_add(f, FINDING_INVALID, "ingressClassName", class, "%s", error);
        findings_each(f, spec, "rules", validate_rule);
        findings_each(f, spec, "tls", validate_tls);
        findings_pop(f, at);
}

/* --- IngressClass --- */

static void validate_parameters(struct findings *f, const json_t *parameters) {
        const json_t *namespace = json_object_get(parameters, "namespace");
        bool namespaced = streq(json_str_or(parameters, "scope", ""), "Namespace");

        validate_typed_reference(f, parameters);

        if (namespaced && !namespace)
                finding_add(f, FINDING_REQUIRED, "namespace", NULL,
                                "`parameters.scope` is set to 'Namespace'");
        else if (!namespaced && namespace)
                finding_add(f, FINDING_FORBIDDEN, "namespace", NULL,
                                "`parameters.scope` is set to 'Cluster'");
}

static int class_defaults(json_t *object) {
        json_t *parameters = json_at_mut(object, "spec.parameters");

        if (!json_is_object(parameters) || json_object_get(parameters, "scope"))
                return 0;
        return json_set_str(parameters, "scope", "Cluster");
}

static void class_validate(struct findings *f, const json_t *object) {
        const json_t *controller = json_at(object, "spec.controller"),
                     *parameters = json_at(object, "spec.parameters");
        const char *text = strempty(json_string_value(controller)), *slash = strchr(text, '/');
        _cleanup_free_ char *domain = slash ? strndup(text, (size_t)(slash - text)) : NULL;
        const char *error = domain ? format_check(FORMAT_DNS1123_SUBDOMAIN, domain) : NULL;
        size_t at;

        if (*text && strlen(text) > 250)
                finding_add(f, FINDING_TOO_LONG, "spec.controller", NULL,
                                "may not be more than %i bytes", 250);
        else if (!slash || !slash[1])
                finding_add(f, FINDING_INVALID, "spec.controller",
                                controller ? controller : json_null(),
                                "must be a domain-prefixed path (such as \"acme.io/foo\")");
        else if (error)
                finding_add(f, FINDING_INVALID, "spec.controller", controller, "%s", error);
        if (!parameters)
                return;
        at = findings_push(f, "spec.parameters");
        validate_parameters(f, parameters);
        findings_pop(f, at);
}

static void class_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "spec.controller");
}

/* --- ServiceCIDR --- */

static void ranges_validate(struct findings *f, const json_t *object) {
        const json_t *cidrs = json_at(object, "spec.cidrs"), *item;
        unsigned of_size[17] = {0};
        size_t i, at = findings_push(f, "spec.cidrs");

        if (json_array_size(cidrs) == 0)
                finding_add(f, FINDING_REQUIRED, NULL, NULL, "at least one CIDR required");
        else if (json_array_size(cidrs) > 2)
                finding_add(f, FINDING_INVALID, NULL, cidrs, "may only hold up to 2 values");
        json_array_foreach (cidrs, i, item) {
                struct range range = {0};
                size_t entry = findings_push_index(f, i);

                if (range_parse(strempty(json_string_value(item)), &range) < 0)
                        finding_add(f, FINDING_INVALID, NULL, item, "%s", bad_range);
                else if (++of_size[range.size] == 2)
                        finding_add(f, FINDING_INVALID, NULL, cidrs,
                                        "may specify no more than one IP for each IP family, i.e "
                                        "192.168.0.0/24 and 2001:db8::/96");
                findings_pop(f, entry);
        }
        findings_pop(f, at);
}

static void ranges_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "spec.cidrs");
}

const struct kind_strategy strategies_networking[] = {
                {.group = "networking.k8s.io",
                                .kind = "NetworkPolicy",
                                .defaults = policy_defaults,
                                .validate = policy_validate},
                {.group = "networking.k8s.io",
                                .kind = "Ingress",
                                .convert = strategy_convert_ingress,
                                .validate = ingress_validate},
                {.group = "networking.k8s.io",
                                .kind = "IngressClass",
                                .defaults = class_defaults,
                                .validate = class_validate,
                                .validate_update = class_validate_update},
                {.group = "networking.k8s.io",
                                .kind = "ServiceCIDR",
                                .flags = STRATEGY_NO_GENERATION,
                                .validate = ranges_validate,
                                .validate_update = ranges_validate_update},
                {0},
};
