/* ServiceIPAllocation: gives a Service the families, cluster addresses and node ports that it asks
 * for or lacks, and takes back those that it no longer has. The keys that claim them go into the
 * Service's own transaction (kapid/store/alloc.h). A list that validation will refuse is left as it
 * is. */
#include <inttypes.h>

#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/store/alloc.h"
#include "lib/object.h"

static int claim(struct admission *a, char *key_taken) {
        _cleanup_free_ char *key = key_taken;
        _cleanup_free_ char *owner = strformat("%s/%s", a->namespace, a->name);

        return key && owner ? admission_claim(a, key, owner) : -ENOMEM;
}

static int release(struct admission *a, char *key_taken) {
        _cleanup_free_ char *key = key_taken;

        return key ? admission_release(a, key) : -ENOMEM;
}

/* --- families (KEP-563) --- */

static bool has_families(const json_t *service) {
        return !streq(json_str_or(service, "spec.type", "ClusterIP"), "ExternalName");
}

static bool is_headless(const json_t *service) {
        return streq(json_str_or(service, "spec.clusterIP", ""), "None");
}

static const char *policy_of(const json_t *service) {
        return json_str_or(service, "spec.ipFamilyPolicy", "");
}

/* The i-th text of spec.KEY; "": there is none. */
static const char *text_at(const json_t *service, const char *key, size_t i) {
        const json_t *list = json_object_get(json_object_get(service, "spec"), key);

        return strempty(json_string_value(json_array_get(list, i)));
}

static size_t size_of(const json_t *service, const char *key) {
        return json_array_size(json_object_get(json_object_get(service, "spec"), key));
}

/* The i-th cluster address; "": none, or "None". */
static const char *address_of(const json_t *service, size_t i) {
        const char *ip = text_at(service, "clusterIPs", i);

        if (i == 0 && !*ip)
                ip = json_str_or(service, "spec.clusterIP", "");
        return streq(ip, "None") ? "" : ip;
}

static bool has_selector(const json_t *service) {
        return json_object_size(json_at(service, "spec.selector")) > 0;
}

/* Whether validation will refuse the lists. */
static bool is_misshapen(const json_t *service) {
        const char *first = json_str_or(service, "spec.clusterIP", "");

        return size_of(service, "clusterIPs") > FAMILIES ||
               size_of(service, "ipFamilies") > FAMILIES ||
               (size_of(service, "clusterIPs") > 0 &&
                               !streq(text_at(service, "clusterIPs", 0), first)) ||
               (size_of(service, "clusterIPs") > 1 && is_headless(service)) ||
               (size_of(service, "ipFamilies") > 1 &&
                               streq(text_at(service, "ipFamilies", 0),
                                               text_at(service, "ipFamilies", 1)));
}

static int add_family(json_t *service, const char *name) {
        json_t *spec = json_object_get(service, "spec"),
               *list = json_object_get(spec, "ipFamilies");

        if (!json_is_array(list)) {
                list = json_array();
                if (json_object_set_new(spec, "ipFamilies", list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(list, json_string(name)) < 0 ? -ENOMEM : 0;
}

static const char *other_family(const char *name) {
        return streq(name, "IPv4") ? "IPv6" : "IPv4";
}

/* Those of the addresses that the writer gave. */
static int infer_families(json_t *draft) {
        for (size_t i = size_of(draft, "ipFamilies"); i < size_of(draft, "clusterIPs"); i++) {
                struct address a = address_parse(address_of(draft, i));
                int r = a.size > 0 ? add_family(draft, family_name(address_family(&a))) : 0;

                if (r < 0)
                        return r;
        }
        if (size_of(draft, "clusterIPs") == 0 && size_of(draft, "ipFamilies") == 0) {
                struct address a = address_parse(address_of(draft, 0));

                return a.size > 0 ? add_family(draft, family_name(address_family(&a))) : 0;
        }
        return 0;
}

static int set_policy(json_t *draft, const char *policy) {
        return *policy_of(draft) ? 0 : json_set_str(draft, "spec.ipFamilyPolicy", policy);
}

/* The first family where there is none, and the other one where the policy is not SingleStack. */
static int fill_families(struct admission *a, bool both) {
        int r;

        if (size_of(a->draft, "ipFamilies") == 0) {
                r = add_family(a->draft, family_name(alloc_primary_family(a->api->alloc)));
                if (r < 0)
                        return r;
        }
        if (!both || streq(policy_of(a->draft), "SingleStack") ||
                        size_of(a->draft, "ipFamilies") > 1)
                return 0;
        return add_family(a->draft, other_family(text_at(a->draft, "ipFamilies", 0)));
}

static int refuse_policy(struct admission *a, const char *why, struct problem *p) {
        _cleanup_free_ char *value = strformat("\"%s\"", policy_of(a->draft));

        return value ? admission_invalid(a, "spec.ipFamilyPolicy", value, why, p) : -ENOMEM;
}

static int check_single(struct admission *a, struct problem *p) {
        if (!streq(policy_of(a->draft), "SingleStack"))
                return 0;
        if (size_of(a->draft, "clusterIPs") > 1)
                return refuse_policy(a,
                                "must be RequireDualStack or PreferDualStack when multiple "
                                "'clusterIPs' are specified",
                                p);
        if (size_of(a->draft, "ipFamilies") > 1)
                return refuse_policy(a,
                                "must be RequireDualStack or PreferDualStack when multiple "
                                "'ipFamilies' are specified",
                                p);
        return 0;
}

/* Whether this cluster has what is asked for. */
static int check_configured(struct admission *a, struct problem *p) {
        const struct cidrs *ranges = alloc_ranges(a->api->alloc);

        if (streq(policy_of(a->draft), "RequireDualStack") && ranges->count < FAMILIES)
                return refuse_policy(
                                a, "this cluster is not configured for dual-stack services", p);
        for (size_t i = 0; i < size_of(a->draft, "ipFamilies"); i++) {
                const char *name = text_at(a->draft, "ipFamilies", i);
                _cleanup_free_ char *field = strformat("spec.ipFamilies[%zu]", i),
                                    *value = strformat("\"%.16s\"", name);

                if (!field || !value)
                        return -ENOMEM;
                if (!cidrs_of(ranges, streq(name, "IPv6") ? FAMILY_IPV6 : FAMILY_IPV4))
                        return admission_invalid(
                                        a, field, value, "not configured on this cluster", p);
        }
        return 0;
}

/* A service that prefers both families, and of which the write changes neither, stays as it is:
 * also where the cluster has got a second range since. */
static bool stays(const struct admission *a) {
        static const char *const lists[] = {"clusterIPs", "ipFamilies"};

        if (!a->live || !streq(policy_of(a->draft), "PreferDualStack") ||
                        !streq(policy_of(a->live), "PreferDualStack"))
                return false;
        for (size_t i = 0; i < ELEMENTS(lists); i++)
                if (!json_same(json_object_get(json_object_get(a->live, "spec"), lists[i]),
                                    json_object_get(json_object_get(a->draft, "spec"), lists[i])))
                        return false;
        return true;
}

static int give_families(struct admission *a, struct problem *p) {
        int r = check_single(a, p);

        if (r < 0)
                return r;
        r = infer_families(a->draft);
        if (r < 0)
                return r;
        /* Its endpoints are written by others, who may have both families anywhere. */
        if (is_headless(a->draft) && !has_selector(a->draft)) {
                r = set_policy(a->draft, "RequireDualStack");
                return r < 0 ? r : fill_families(a, /* both= */ true);
        }
        r = set_policy(a->draft,
                        size_of(a->draft, "ipFamilies") > 1 ? "RequireDualStack" : "SingleStack");
        if (r < 0)
                return r;
        r = check_configured(a, p);
        if (r < 0)
                return r;
        return fill_families(a, alloc_ranges(a->api->alloc)->count == FAMILIES);
}

/* --- addresses --- */

/* Whether it is one of the service's first n. */
static bool has_address(const json_t *service, const char *ip, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (streq(address_of(service, i), ip))
                        return true;
        return false;
}

static int refuse_address(
                struct admission *a, size_t i, const char *ip, const char *why, struct problem *p) {
        _cleanup_free_ char *quoted = strformat("\"%.64s\"", ip),
                            *field = strformat("spec.clusterIPs[%zu]", i);

        return quoted && field ? admission_invalid(a, field, quoted, why, p) : -ENOMEM;
}

static int check_address(struct admission *a, size_t i, const char *ip, struct problem *p) {
        struct address address = address_parse(ip);
        char usual[ADDRESS_TEXT_SIZE];

        if (address.size == 0)
                return refuse_address(
                                a, i, ip, "must be a valid IP address of the service range", p);
        if (!streq(address_text(&address, usual), ip))
                return refuse_address(a, i, ip,
                                "must be in its usual form, such as fd00:10:96::1, not "
                                "fd00:10:96:0::1",
                                p);
        if (!cidrs_with(alloc_ranges(a->api->alloc), ip))
                return refuse_address(a, i, ip,
                                "failed to allocate IP: the provided IP is not in the valid range",
                                p);
        if (alloc_address_is_taken(a->api->alloc, ip))
                return refuse_address(a, i, ip,
                                "failed to allocate IP: provided IP is already allocated", p);
        return 0;
}

/* The address of the i-th family. */
static int give_address(struct admission *a, size_t i, json_t *ips, struct problem *p) {
        const char *ip = address_of(a->draft, i);
        char chosen[ADDRESS_TEXT_SIZE];
        int r;

        if (*ip && a->live && has_address(a->live, ip, FAMILIES))
                return json_array_append_new(ips, json_string(ip)) < 0 ? -ENOMEM : 0;
        if (*ip)
                r = check_address(a, i, ip, p);
        else {
                r = alloc_choose_address(a->api->alloc,
                                streq(text_at(a->draft, "ipFamilies", i), "IPv6") ? FAMILY_IPV6
                                                                                  : FAMILY_IPV4,
                                chosen);
                ip = chosen;
                if (r < 0)
                        return admission_invalid(a, "spec.clusterIPs", "[]",
                                        "failed to allocate IP: the service range is full", p);
        }
        if (r < 0)
                return r;
        r = claim(a, alloc_address_key(ip));
        if (r < 0)
                return r;
        return json_array_append_new(ips, json_string(ip)) < 0 ? -ENOMEM : 0;
}

static int give_addresses(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *ips = json_array();
        int r;

        if (!has_families(a->draft) || is_misshapen(a->draft) || stays(a))
                return 0;
        if (!json_is_object(json_object_get(a->draft, "spec")))
                return 0;
        r = give_families(a, p);
        if (r < 0 || is_headless(a->draft))
                return r;
        for (size_t i = 0; i < size_of(a->draft, "ipFamilies"); i++) {
                /* An address that the writer took out: validation says what must go with it. */
                if (a->live && !*address_of(a->draft, i) && *address_of(a->live, i))
                        break;
                r = give_address(a, i, ips, p);
                if (r < 0)
                        return r;
        }
        r = json_set_str(a->draft, "spec.clusterIP",
                        strempty(json_string_value(json_array_get(ips, 0))));
        if (r < 0)
                return r;
        return json_set_at(a->draft, "spec.clusterIPs", TAKE_PTR(ips));
}

/* --- ports --- */

static bool wants_ports(const json_t *service) {
        const char *type = json_str_or(service, "spec.type", "ClusterIP");

        return (streq(type, "NodePort") || streq(type, "LoadBalancer")) &&
               json_bool_or(service, "spec.allocateLoadBalancerNodePorts", true);
}

/* Numbers of ports: a Service may have tens of thousands of entries, which are not searched for
 * each of them. */
struct port_set {
        uint64_t bits[(UINT16_MAX + 1) / 64];
};

static void set_add(struct port_set *s, int64_t port) {
        if (port > 0 && port <= UINT16_MAX)
                s->bits[port / 64] |= UINT64_C(1) << (port % 64);
}

static bool set_has(int64_t port, const void *set) {
        const struct port_set *s = set;

        return port > 0 && port <= UINT16_MAX && s->bits[port / 64] & UINT64_C(1) << (port % 64);
}

static int64_t health_port_of(const json_t *service) {
        return json_int_or(service, "spec.healthCheckNodePort", 0);
}

/* service may be NULL. */
static void set_add_node_ports(struct port_set *s, const json_t *service) {
        const json_t *entry;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, entry)
                set_add(s, json_int_or(entry, "nodePort", 0));
}

/* With the one that is asked about its health. */
static void set_add_ports(struct port_set *s, const json_t *service) {
        set_add_node_ports(s, service);
        set_add(s, health_port_of(service));
}

static int check_port(struct admission *a, const char *field, int64_t port, struct problem *p) {
        char value[24];
        const char *why;

        if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST)
                why = "provided port is not in the valid range. The range of valid ports is "
                      "30000-32767";
        else if (alloc_port_is_taken(a->api->alloc, port))
                why = "provided port is already allocated";
        else
                return 0;
        snprintf(value, sizeof(value), "%" PRIi64, port);
        return admission_invalid(a, field, value, why, p);
}

/* The ports of the live object and of the entries before this one, which may be shared (TCP and UDP
 * may have one), and all of the draft, which are not to be chosen. */
struct ports {
        struct port_set held, draft;
};

static int give_port(struct admission *a, struct ports *ports, size_t index, json_t *entry,
                struct problem *p) {
        int64_t port = json_int_or(entry, "nodePort", 0);
        char field[64];
        int r;

        if (set_has(port, &ports->held))
                return 0;
        if (port == 0) {
                if (alloc_choose_port(a->api->alloc, set_has, &ports->draft, &port) < 0)
                        return admission_invalid(a, "spec.ports", "[]", "no node port is left", p);
                r = json_set_int(entry, "nodePort", port);
        } else {
                snprintf(field, sizeof(field), "spec.ports[%zu].nodePort", index);
                r = check_port(a, field, port, p);
        }
        if (r < 0)
                return r;
        set_add(&ports->held, port);
        set_add(&ports->draft, port);
        return claim(a, alloc_port_key(port));
}

static int give_ports(struct admission *a, struct problem *p) {
        struct ports ports = {0};
        json_t *entry;
        size_t i;

        if (!wants_ports(a->draft))
                return 0;
        set_add_ports(&ports.held, a->live);
        set_add_ports(&ports.draft, a->draft);
        json_array_foreach (json_at_mut(a->draft, "spec.ports"), i, entry) {
                int r = give_port(a, &ports, i, entry, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* With the policy Local a balancer outside asks each node, on this port, whether it has endpoints.
 */
static bool wants_health_port(const json_t *service) {
        return streq(json_str_or(service, "spec.type", ""), "LoadBalancer") &&
               streq(json_str_or(service, "spec.externalTrafficPolicy", ""), "Local");
}

static int give_health_port(struct admission *a, struct problem *p) {
        static const char field[] = "spec.healthCheckNodePort";
        int64_t port = health_port_of(a->draft);
        struct port_set live = {0}, nodes = {0};
        int r;

        set_add_ports(&live, a->live);
        if (!wants_health_port(a->draft) || set_has(port, &live))
                return 0;
        set_add_node_ports(&nodes, a->draft);
        if (port == 0) {
                if (alloc_choose_port(a->api->alloc, set_has, &nodes, &port) < 0)
                        return admission_invalid(a, field, "0", "no node port is left", p);
                r = json_set_int(a->draft, field, port);
        } else if (set_has(port, &nodes)) {
                char value[24];

                snprintf(value, sizeof(value), "%" PRIi64, port);
                return admission_invalid(a, field, value, "is a nodePort of this service", p);
        } else {
                r = check_port(a, field, port, p);
        }
        if (r < 0)
                return r;
        return claim(a, alloc_port_key(port));
}

/* --- the rules --- */

/* done: those that stay; those that are released are added. */
static int release_port(struct admission *a, int64_t port, struct port_set *done) {
        if (!port || set_has(port, done))
                return 0;
        set_add(done, port);
        return release(a, alloc_port_key(port));
}

/* The addresses of the live object that `kept` (NULL: nothing) does not have. */
static int release_all(struct admission *a, const json_t *kept) {
        struct port_set done = {0};
        const json_t *entry;
        size_t i;
        int r;

        set_add_ports(&done, kept);
        for (i = 0; i < FAMILIES; i++) {
                const char *ip = address_of(a->live, i);

                if (!*ip || (kept && has_address(kept, ip, FAMILIES)))
                        continue;
                r = release(a, alloc_address_key(ip));
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_at(a->live, "spec.ports"), i, entry) {
                r = release_port(a, json_int_or(entry, "nodePort", 0), &done);
                if (r < 0)
                        return r;
        }
        return release_port(a, health_port_of(a->live), &done);
}

static int give(struct admission *a, struct problem *p) {
        int r;

        if (object_is_deleting(a->draft) && !a->live)
                return 0;
        r = give_addresses(a, p);
        if (r < 0)
                return r;
        r = give_ports(a, p);
        if (r < 0)
                return r;
        r = give_health_port(a, p);
        if (r < 0)
                return r;
        return a->live ? release_all(a, a->draft) : 0;
}

static int take_back(struct admission *a, struct problem *p) {
        return release_all(a, NULL);
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "services",
                                .operations = ADMIT_WRITE | ADMIT_DELETE,
                                .mutate = give,
                                .deleted = take_back},
                {0},
};

const struct admission_plugin admission_service_ips = {.safeguard = true, .rules = rules};
