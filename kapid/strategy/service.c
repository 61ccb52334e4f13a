/* Services: port defaults, what each type allows, and addresses that stay. Choosing free addresses
 * and ports is the store transaction's business, not ours. */
#include <inttypes.h>

#include "kapid/schema/format.h"
#include "kapid/strategy/service-families.h"
#include "kapid/strategy/strategy.h"
#include "lib/address.h"

#define NODE_PORTS_WANTED "allocateLoadBalancerNodePorts"

/* Only services of type LoadBalancer have them. */
static const char *const of_load_balancers[] = {
                NODE_PORTS_WANTED, "loadBalancerClass", "loadBalancerIP"};

static bool is_headless(const json_t *spec) {
        return streq(json_str_or(spec, "clusterIP", ""), "None");
}

static bool has_type(const json_t *spec, const char *type) {
        return streq(json_str_or(spec, "type", "ClusterIP"), type);
}

static int set_if_absent(json_t *object, const char *key, const char *value) {
        if (*json_str_or(object, key, ""))
                return 0;
        return json_object_set_new(object, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int service_defaults(json_t *service) {
        json_t *spec = json_object_get(service, "spec"), *port;
        int r = 0;
        size_t i;

        if (!spec)
                return 0;
        json_array_foreach (json_object_get(spec, "ports"), i, port) {
                json_t *target = json_object_get(port, "targetPort"),
                       *number = json_object_get(port, "port");
                bool unset = !target ||
                             (json_is_integer(target) && json_integer_value(target) == 0) ||
                             (json_is_string(target) && !*json_string_value(target));

                if (unset && number && json_object_set(port, "targetPort", number) < 0)
                        return -ENOMEM;
        }
        if (streq(json_str_or(spec, "sessionAffinity", "None"), "None"))
                json_object_del(spec, "sessionAffinityConfig");
        if (has_type(spec, "ExternalName"))
                return 0;
        if (streq(json_str_or(spec, "sessionAffinity", ""), "ClientIP") &&
                        !json_at(spec, "sessionAffinityConfig.clientIP.timeoutSeconds"))
                r = json_set_int(spec, "sessionAffinityConfig.clientIP.timeoutSeconds", 10800);
        if (r < 0)
                return r;
        if (has_type(spec, "NodePort") || has_type(spec, "LoadBalancer"))
                r = set_if_absent(spec, "externalTrafficPolicy", "Cluster");
        if (r < 0)
                return r;
        if (has_type(spec, "LoadBalancer") && !json_object_get(spec, NODE_PORTS_WANTED))
                r = json_object_set_new(spec, NODE_PORTS_WANTED, json_true()) < 0 ? -ENOMEM : 0;
        if (r < 0)
                return r;
        r = set_if_absent(spec, "internalTrafficPolicy", "Cluster");
        if (r < 0)
                return r;
        if (is_headless(spec) && !json_object_get(spec, "clusterIPs"))
                r = json_set_at(spec, "clusterIPs", json_pack("[s]", "None"));
        return r;
}

static int keep_if_absent(json_t *spec, const json_t *old, const char *key) {
        json_t *v = json_object_get(old, key);

        if (json_object_get(spec, key) || !v)
                return 0;
        return json_object_set(spec, key, v) < 0 ? -ENOMEM : 0;
}

static bool uses_node_ports(const json_t *spec) {
        return has_type(spec, "NodePort") || has_type(spec, "LoadBalancer");
}

/* A balancer outside asks on a port of its own whether a node has endpoints. */
static bool uses_health_port(const json_t *spec) {
        return has_type(spec, "LoadBalancer") &&
               streq(json_str_or(spec, "externalTrafficPolicy", ""), "Local");
}

static void drop_if_same(json_t *spec, const json_t *old, const char *key) {
        const json_t *a = json_object_get(old, key), *b = json_object_get(spec, key);

        if (a && b && json_equal(a, b))
                json_object_del(spec, key);
}

/* A list of ports may be long: those of another one are looked up by these keys. */
enum { PORT_KEY_SIZE = 64 };

static const char *number_key(const json_t *port, char key[static PORT_KEY_SIZE]) {
        (void)snprintf(key, PORT_KEY_SIZE, "%" PRIi64, json_int_or(port, "nodePort", 0));
        return key;
}

/* Protocols that there are not count as one: the schema refuses them. */
static const char *place_key(const json_t *port, char key[static PORT_KEY_SIZE]) {
        static const char *const protocols[] = {"TCP", "UDP", "SCTP"};
        size_t i = 0;

        while (i < ELEMENTS(protocols) &&
                        !streq(json_str_or(port, "protocol", "TCP"), protocols[i]))
                i++;
        (void)snprintf(key, PORT_KEY_SIZE, "%" PRIi64 "/%zu", json_int_or(port, "port", 0), i);
        return key;
}

/* The ports that have a node port, by such a key. NULL: out of memory. */
static json_t *node_ports_by(const json_t *spec,
                const char *(*key_of)(const json_t *port, char key[static PORT_KEY_SIZE])) {
        _cleanup_json_ json_t *all = json_object();
        char key[PORT_KEY_SIZE];
        json_t *port;
        size_t i;

        json_array_foreach (json_object_get(spec, "ports"), i, port)
                if (json_int_or(port, "nodePort", 0) != 0 &&
                                json_object_set(all, key_of(port, key), port) < 0)
                        return NULL;
        return TAKE_PTR(all);
}

/* Whether every node port of the new list was in the old one: nobody asked for it. */
static bool node_ports_are_old(const json_t *spec, const json_t *old) {
        _cleanup_json_ json_t *known = node_ports_by(old, number_key);
        char key[PORT_KEY_SIZE];
        const json_t *port;
        size_t i;

        json_array_foreach (json_object_get(spec, "ports"), i, port)
                if (json_int_or(port, "nodePort", 0) != 0 &&
                                !json_object_get(known, number_key(port, key)))
                        return false;
        return true;
}

/* Fields that only the old type needs are removed, unless the writer set them now. */
static void drop_of_other_type(json_t *spec, const json_t *old) {
        static const char *const addresses[] = {
                        "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"};
        json_t *port;
        size_t i;

        if (has_type(spec, "ExternalName") && !has_type(old, "ExternalName"))
                for (i = 0; i < ELEMENTS(addresses); i++)
                        drop_if_same(spec, old, addresses[i]);
        if (has_type(old, "LoadBalancer") && !has_type(spec, "LoadBalancer"))
                for (i = 0; i < ELEMENTS(of_load_balancers); i++)
                        drop_if_same(spec, old, of_load_balancers[i]);
        if (uses_health_port(old) && !uses_health_port(spec))
                drop_if_same(spec, old, "healthCheckNodePort");
        if (!uses_node_ports(old) || uses_node_ports(spec))
                return;
        if (node_ports_are_old(spec, old))
                json_array_foreach (json_object_get(spec, "ports"), i, port)
                        json_object_del(port, "nodePort");
        drop_if_same(spec, old, "externalTrafficPolicy");
}

/* A port that had a node port and is written without keeps it. */
static int keep_node_ports(json_t *spec, const json_t *before) {
        _cleanup_json_ json_t *known = node_ports_by(before, place_key);
        char key[PORT_KEY_SIZE];
        json_t *port;
        size_t i;

        if (!known)
                return -ENOMEM;
        json_array_foreach (json_object_get(spec, "ports"), i, port) {
                const json_t *had = json_object_get(known, place_key(port, key));

                if (had && json_int_or(port, "nodePort", 0) == 0 &&
                                json_object_set(port, "nodePort",
                                                json_object_get(had, "nodePort")) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Clients of all languages look into it without asking whether it is there. */
static int add_status(json_t *service) {
        if (json_object_get(service, "status"))
                return 0;
        return json_object_set_new(service, "status", json_pack("{s{}}", "loadBalancer")) < 0
                               ? -ENOMEM
                               : 0;
}

static int service_prepare_create(json_t *service, const struct pipeline_context *c) {
        return add_status(service);
}

/* Values that the server chose and a write leaves out are kept. */
static int service_prepare_update(const char *subresource, const json_t *old, json_t *service,
                const struct pipeline_context *c) {
        static const char *const kept[] = {
                        "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"};
        const json_t *before = json_object_get(old, "spec");
        json_t *spec = json_object_get(service, "spec");
        size_t i;
        int r = add_status(service);

        if (r < 0 || *subresource || !spec)
                return r;
        drop_of_other_type(spec, before);
        if (has_type(spec, "ExternalName") || has_type(before, "ExternalName"))
                return 0;
        if (!*json_str_or(spec, "clusterIP", ""))
                json_object_del(spec, "clusterIP");
        for (i = 0; i < ELEMENTS(kept) && r == 0; i++)
                r = keep_if_absent(spec, before, kept[i]);
        if (r < 0)
                return r;
        r = service_families_trim(before, spec);
        if (r >= 0 && uses_health_port(spec) && json_int_or(spec, "healthCheckNodePort", 0) == 0) {
                json_object_del(spec, "healthCheckNodePort");
                r = keep_if_absent(spec, before, "healthCheckNodePort");
        }
        return r < 0 || !uses_node_ports(spec) ? r : keep_node_ports(spec, before);
}

/* seen: the names and places ("/80/0") of the ports before this one. */
static void validate_port(struct findings *f, const json_t *spec, const json_t *ports, size_t i,
                json_t *seen) {
        const json_t *port = json_array_get(ports, i),
                     *target = json_object_get(port, "targetPort");
        const char *name = json_str_or(port, "name", ""),
                   *application = json_str(port, "appProtocol");
        char place[PORT_KEY_SIZE + 1] = "/";

        if (json_array_size(ports) > 1 && !*name)
                finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
        if (application && format_check(FORMAT_QUALIFIED_NAME, application))
                finding_add(f, FINDING_INVALID, "appProtocol", json_object_get(port, "appProtocol"),
                                "%s", format_check(FORMAT_QUALIFIED_NAME, application));
        if (json_is_integer(target) &&
                        (json_integer_value(target) < 1 || json_integer_value(target) > 65535))
                finding_add(f, FINDING_INVALID, "targetPort", target,
                                "must be between 1 and 65535, inclusive");
        if (json_is_string(target) && format_check(FORMAT_PORT_NAME, json_string_value(target)))
                finding_add(f, FINDING_INVALID, "targetPort", target, "%s",
                                format_check(FORMAT_PORT_NAME, json_string_value(target)));
        if (json_int_or(port, "nodePort", 0) != 0 &&
                        (has_type(spec, "ClusterIP") || has_type(spec, "ExternalName")))
                finding_add(f, FINDING_FORBIDDEN, "nodePort", NULL,
                                "may not be used when `type` is '%s'",
                                json_str_or(spec, "type", "ClusterIP"));
        if (*name && strategy_was_seen(f, seen, name))
                finding_add(f, FINDING_DUPLICATE, "name", json_object_get(port, "name"), NULL);
        (void)place_key(port, place + 1);
        if (strategy_was_seen(f, seen, place))
                finding_add(f, FINDING_DUPLICATE, NULL, port, NULL);
}

static void validate_addresses(struct findings *f, const json_t *spec) {
        const json_t *item;
        size_t i;

        service_families_validate(f, spec);
        if (is_headless(spec) && has_type(spec, "NodePort"))
                finding_add(f, FINDING_INVALID, "clusterIPs[0]", json_object_get(spec, "clusterIP"),
                                "may not be set to 'None' for NodePort services");
        json_array_foreach (json_object_get(spec, "externalIPs"), i, item)
                if (json_is_string(item) && format_check(FORMAT_IP, json_string_value(item)))
                        finding_add(f, FINDING_INVALID, "externalIPs", item, "%s",
                                        format_check(FORMAT_IP, json_string_value(item)));
}

static void validate_load_balancer(struct findings *f, const json_t *spec) {
        const json_t *ranges = json_object_get(spec, "loadBalancerSourceRanges"), *v,
                     *class = json_object_get(spec, "loadBalancerClass");
        struct address_range range;
        size_t i;

        if (!has_type(spec, "LoadBalancer"))
                for (i = 0; i < 2; i++)
                        if (json_object_get(spec, of_load_balancers[i]))
                                finding_add(f, FINDING_FORBIDDEN, of_load_balancers[i], NULL,
                                                "may only be used when `type` is 'LoadBalancer'");
        if (!has_type(spec, "LoadBalancer") && json_array_size(ranges) > 0)
                finding_add(f, FINDING_FORBIDDEN, "loadBalancerSourceRanges", NULL,
                                "may only be used when `type` is 'LoadBalancer'");
        if (json_int_or(spec, "healthCheckNodePort", 0) != 0 && !uses_health_port(spec))
                finding_add(f, FINDING_INVALID, "healthCheckNodePort",
                                json_object_get(spec, "healthCheckNodePort"),
                                "may only be set when `type` is 'LoadBalancer' and "
                                "`externalTrafficPolicy` is 'Local'");
        if (class && format_check(FORMAT_QUALIFIED_NAME, strempty(json_string_value(class))))
                finding_add(f, FINDING_INVALID, "loadBalancerClass", class, "%s",
                                format_check(FORMAT_QUALIFIED_NAME,
                                                strempty(json_string_value(class))));
        json_array_foreach (ranges, i, v)
                if (!strchr(strempty(json_string_value(v)), '/') ||
                                address_range_parse(json_string_value(v), &range) < 0)
                        finding_add(f, FINDING_INVALID, "loadBalancerSourceRanges", v,
                                        "must be a network such as 10.0.0.0/8");
}

/* A name of the DNS; it may end with a dot. */
static void validate_external_name(struct findings *f, const json_t *spec) {
        const json_t *name = json_object_get(spec, "externalName");
        _cleanup_free_ char *text = strdup(strempty(json_string_value(name)));
        size_t n = text ? strlen(text) : 0;
        const char *error;

        f->failed |= !text;
        if (!has_type(spec, "ExternalName") || !text)
                return;
        if (n == 0) {
                finding_add(f, FINDING_REQUIRED, "externalName", NULL, NULL);
                return;
        }
        if (n > 1 && text[n - 1] == '.')
                text[n - 1] = 0;
        error = format_check(FORMAT_DNS1123_SUBDOMAIN, text);
        if (error)
                finding_add(f, FINDING_INVALID, "externalName", name, "%s", error);
}

static void service_validate(struct findings *f, const json_t *service) {
        const json_t *spec = json_object_get(service, "spec"),
                     *ports = json_object_get(spec, "ports"), *v;
        _cleanup_json_ json_t *seen = json_object();
        size_t at = findings_push(f, "spec");
        const char *key;

        if (json_array_size(ports) == 0 && !is_headless(spec) && !has_type(spec, "ExternalName"))
                finding_add(f, FINDING_REQUIRED, "ports", NULL, NULL);
        for (size_t i = 0; i < json_array_size(ports); i++) {
                size_t inner = findings_push(f, "ports");

                findings_push_index(f, i);
                validate_port(f, spec, ports, i, seen);
                findings_pop(f, inner);
        }
        validate_external_name(f, spec);
        validate_addresses(f, spec);
        validate_load_balancer(f, spec);
        json_object_foreach (json_object_get(spec, "selector"), key, v) {
                _cleanup_json_ json_t *name = json_string(key);

                if (format_check(FORMAT_QUALIFIED_NAME, key))
                        finding_add(f, FINDING_INVALID, "selector", name, "%s",
                                        format_check(FORMAT_QUALIFIED_NAME, key));
                else if (json_is_string(v) &&
                                format_check(FORMAT_LABEL_VALUE, json_string_value(v)))
                        finding_add(f, FINDING_INVALID, "selector", v, "%s",
                                        format_check(FORMAT_LABEL_VALUE, json_string_value(v)));
        }
        findings_pop(f, at);
}

static void service_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *service) {
        const json_t *before = json_object_get(old, "spec"),
                     *after = json_object_get(service, "spec");

        if (has_type(before, "LoadBalancer") && has_type(after, "LoadBalancer") &&
                        !streq_ptr(json_str(before, "loadBalancerClass"),
                                        json_str(after, "loadBalancerClass")))
                finding_add(f, FINDING_INVALID, "spec.loadBalancerClass",
                                json_object_get(after, "loadBalancerClass"),
                                "may not change once set");
        if (uses_health_port(before) && uses_health_port(after) &&
                        json_int_or(before, "healthCheckNodePort", 0) != 0 &&
                        !json_same(json_object_get(before, "healthCheckNodePort"),
                                        json_object_get(after, "healthCheckNodePort")))
                finding_add(f, FINDING_INVALID, "spec.healthCheckNodePort",
                                json_object_get(after, "healthCheckNodePort"),
                                "field is immutable");
        if (!has_type(before, "ExternalName") && !has_type(after, "ExternalName"))
                service_families_validate_update(f, before, after);
}

const struct kind_strategy strategies_service[] = {
                {.group = "",
                                .kind = "Service",
                                .name = NAME_LABEL_1035,
                                .flags = STRATEGY_NO_GENERATION,
                                .defaults = service_defaults,
                                .prepare_create = service_prepare_create,
                                .prepare_update = service_prepare_update,
                                .validate = service_validate,
                                .validate_update = service_validate_update},
                {0},
};
