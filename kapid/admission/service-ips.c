/* ServiceIPAllocation: gives a Service the cluster address and the node ports that it asks for or
 * lacks, and takes back those that it no longer has. The keys that claim them go into the Service's
 * own transaction (kapid/store/alloc.h). */
#include <arpa/inet.h>
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

/* --- addresses --- */

static bool wants_address(const json_t *service) {
        return !streq(json_str_or(service, "spec.type", "ClusterIP"), "ExternalName") &&
               !streq(json_str_or(service, "spec.clusterIP", ""), "None");
}

static const char *address_of(const json_t *service) {
        const char *ip = json_str_or(service, "spec.clusterIP", "");

        return streq(ip, "None") ? "" : ip;
}

static int refuse_address(struct admission *a, const char *ip, const char *why, struct problem *p) {
        _cleanup_free_ char *quoted = strformat("\"%.64s\"", ip);

        return quoted ? admission_invalid(a, "spec.clusterIPs[0]", quoted, why, p) : -ENOMEM;
}

static int check_address(struct admission *a, const char *ip, struct problem *p) {
        struct in_addr in;

        if (inet_pton(AF_INET, ip, &in) != 1)
                return refuse_address(
                                a, ip, "must be a valid IPv4 address of the service range", p);
        if (!alloc_address_in_range(a->api->alloc, ip))
                return refuse_address(a, ip,
                                "failed to allocate IP: the provided IP is not in the valid range",
                                p);
        if (alloc_address_is_taken(a->api->alloc, ip))
                return refuse_address(a, ip,
                                "failed to allocate IP: provided IP is already allocated", p);
        return 0;
}

static int give_address(struct admission *a, struct problem *p) {
        const char *ip = address_of(a->draft), *had = a->live ? address_of(a->live) : "";
        char buffer[INET_ADDRSTRLEN];
        int r;

        if (!wants_address(a->draft) || (!isempty(ip) && streq(ip, had)))
                return 0;
        if (!isempty(ip)) {
                r = check_address(a, ip, p);
                if (r < 0)
                        return r;
        } else {
                if (alloc_choose_address(a->api->alloc, buffer) < 0)
                        return admission_invalid(a, "spec.clusterIPs", "[]",
                                        "failed to allocate IP: the service range is full", p);
                r = json_set_str(a->draft, "spec.clusterIP", buffer);
                if (r < 0)
                        return r;
        }
        ip = address_of(a->draft);
        r = claim(a, alloc_address_key(ip));
        if (r < 0)
                return r;
        return json_set_at(a->draft, "spec.clusterIPs", json_pack("[s]", ip));
}

/* --- ports --- */

static bool wants_ports(const json_t *service) {
        const char *type = json_str_or(service, "spec.type", "ClusterIP");

        return (streq(type, "NodePort") || streq(type, "LoadBalancer")) &&
               json_bool_or(service, "spec.allocateLoadBalancerNodePorts", true);
}

/* Whether one of the first n ports of a Service has the number: TCP and UDP may share one. */
static bool has_port(const json_t *service, size_t n, int64_t port) {
        const json_t *entry;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, entry)
                if (i < n && json_int_or(entry, "nodePort", 0) == port)
                        return true;
        return false;
}

static bool is_listed(int64_t port, const void *service) {
        return has_port(service, SIZE_MAX, port);
}

static int check_port(struct admission *a, size_t index, int64_t port, struct problem *p) {
        char field[64], value[24];
        const char *why;

        if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST)
                why = "provided port is not in the valid range. The range of valid ports is "
                      "30000-32767";
        else if (alloc_port_is_taken(a->api->alloc, port))
                why = "provided port is already allocated";
        else
                return 0;
        snprintf(field, sizeof(field), "spec.ports[%zu].nodePort", index);
        snprintf(value, sizeof(value), "%" PRIi64, port);
        return admission_invalid(a, field, value, why, p);
}

static int give_port(struct admission *a, size_t index, json_t *entry, struct problem *p) {
        int64_t port = json_int_or(entry, "nodePort", 0);
        int r;

        if (port && (has_port(a->draft, index, port) || (a->live && is_listed(port, a->live))))
                return 0;
        if (port == 0) {
                if (alloc_choose_port(a->api->alloc, is_listed, a->draft, &port) < 0)
                        return admission_invalid(a, "spec.ports", "[]", "no node port is left", p);
                r = json_set_int(entry, "nodePort", port);
        } else {
                r = check_port(a, index, port, p);
        }
        if (r < 0)
                return r;
        return claim(a, alloc_port_key(port));
}

static int give_ports(struct admission *a, struct problem *p) {
        json_t *entry;
        size_t i;

        if (!wants_ports(a->draft))
                return 0;
        json_array_foreach (json_at_mut(a->draft, "spec.ports"), i, entry) {
                int r = give_port(a, i, entry, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- the rules --- */

/* The addresses of the live object that `kept` (NULL: nothing) does not have. */
static int release_all(struct admission *a, const json_t *kept) {
        const char *ip = address_of(a->live);
        const json_t *entry;
        size_t i;
        int r;

        if (!isempty(ip) && !(kept && streq(address_of(kept), ip))) {
                r = release(a, alloc_address_key(ip));
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_at(a->live, "spec.ports"), i, entry) {
                int64_t port = json_int_or(entry, "nodePort", 0);

                if (!port || has_port(a->live, i, port) || (kept && is_listed(port, kept)))
                        continue;
                r = release(a, alloc_port_key(port));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int give(struct admission *a, struct problem *p) {
        int r;

        if (object_is_deleting(a->draft) && !a->live)
                return 0;
        r = give_address(a, p);
        if (r < 0)
                return r;
        r = give_ports(a, p);
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
