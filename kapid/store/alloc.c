/* Two sets of names that are taken: addresses and ports. Choices are random, so that kapids that
 * choose at the same time rarely meet; the txn's guard is what decides. */
#include "kapid/store/alloc.h"

#include <arpa/inet.h>

#include "lib/map.h"
#include "lib/object.h"
#include "lib/random.h"

struct alloc {
        struct map *ips; /* text -> owner */
        struct map *ports;
        uint32_t first; /* network address, host order */
        uint32_t size;
};

static const char ip_prefix[] = "/registry/ranges/serviceips/";
static const char port_prefix[] = "/registry/ranges/nodeports/";

int alloc_new(struct alloc **ret, const char *range, struct problem *p) {
        _cleanup_(alloc_freep) struct alloc *a = calloc(1, sizeof(*a));
        _cleanup_free_ char *address = strdup(range);
        char *slash = address ? strchr(address, '/') : NULL;
        struct in_addr in;
        uint32_t bits;

        if (!a || !address)
                return -ENOMEM;
        if (slash)
                *slash++ = 0;
        if (!slash || parse_u32(slash, &bits) < 0 || bits < 12 || bits > 28 ||
                        inet_pton(AF_INET, address, &in) != 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "--service-cluster-ip-range must be an IPv4 network between /12 "
                                "and "
                                "/28 such as 10.96.0.0/16, not \"%s\"",
                                range);
        a->size = 1U << (32 - bits);
        a->first = ntohl(in.s_addr) & ~(a->size - 1);
        a->ips = map_new(free);
        a->ports = map_new(free);
        if (!a->ips || !a->ports)
                return -ENOMEM;
        *ret = TAKE_PTR(a);
        return 0;
}

struct alloc *alloc_free(struct alloc *a) {
        if (!a)
                return NULL;
        map_free(a->ips);
        map_free(a->ports);
        return mfree(a);
}

void alloc_observe(struct alloc *a, const char *key, const char *value, size_t n) {
        const char *ip = startswith(key, ip_prefix), *port = startswith(key, port_prefix);
        struct map *m = ip ? a->ips : port ? a->ports : NULL;
        char *owner;

        if (!m)
                return;
        if (!value) {
                map_remove(m, ip ? ip : port);
                return;
        }
        owner = strndup(value, n);
        /* Without memory a taken name looks free; the guard of the txn still refuses it. */
        if (!owner || map_set(m, ip ? ip : port, owner) < 0)
                free(owner);
}

void alloc_reset(struct alloc *a) {
        map_clear(a->ips);
        map_clear(a->ports);
}

static const char *address_text(const struct alloc *a, uint32_t offset, char buffer[static 16]) {
        struct in_addr in = {.s_addr = htonl(a->first + offset)};

        return inet_ntop(AF_INET, &in, buffer, 16);
}

const char *alloc_first_address(const struct alloc *a, char buffer[static 16]) {
        return address_text(a, 1, buffer);
}

static int refuse(struct write *w, struct problem *p, const char *field, const char *value,
                const char *why) {
        _cleanup_free_ char *text = strformat("Invalid value: %s: %s", value, why);

        problem_set(p, EINVAL, 422, "Invalid", "Service \"%s\" is invalid: %s: %s", w->name, field,
                        strempty(text));
        problem_cause(p, "FieldValueInvalid", field, strempty(text));
        return -EINVAL;
}

static int claim(struct write *w, const char *prefix, const char *word) {
        _cleanup_free_ char *key = strformat("%s%s", prefix, word);
        _cleanup_free_ char *owner = strformat("%s/%s", w->namespace, w->name);

        return key && owner ? decision_add_key(w->decision, key, owner, true) : -ENOMEM;
}

static int release(struct write *w, const char *prefix, const char *word) {
        _cleanup_free_ char *key = strformat("%s%s", prefix, word);

        return key ? decision_add_key(w->decision, key, NULL, false) : -ENOMEM;
}

static bool wants_address(const json_t *service) {
        return !streq(json_str_or(service, "spec.type", "ClusterIP"), "ExternalName") &&
               !streq(json_str_or(service, "spec.clusterIP", ""), "None");
}

static const char *address_of(const json_t *service) {
        const char *ip = json_str_or(service, "spec.clusterIP", "");

        return streq(ip, "None") ? "" : ip;
}

static int check_address(struct alloc *a, struct write *w, const char *ip, struct problem *p) {
        _cleanup_free_ char *quoted = strformat("\"%.64s\"", ip);
        struct in_addr in;

        if (inet_pton(AF_INET, ip, &in) != 1)
                return refuse(w, p, "spec.clusterIPs[0]", strempty(quoted),
                                "must be a valid IPv4 address of the service range");
        if (ntohl(in.s_addr) - a->first >= a->size)
                return refuse(w, p, "spec.clusterIPs[0]", strempty(quoted),
                                "failed to allocate IP: the provided IP is not in the valid range");
        if (map_get(a->ips, ip))
                return refuse(w, p, "spec.clusterIPs[0]", strempty(quoted),
                                "failed to allocate IP: provided IP is already allocated");
        return 0;
}

static int choose_address(
                struct alloc *a, struct write *w, char buffer[static 16], struct problem *p) {
        uint32_t usable = a->size - 3; /* without the network, the API's own, the broadcast */
        uint32_t at = (uint32_t)random_below(usable);

        for (uint32_t i = 0; i < usable; i++) {
                address_text(a, 2 + (at + i) % usable, buffer);
                if (!map_get(a->ips, buffer))
                        return 0;
        }
        return refuse(w, p, "spec.clusterIPs", "[]",
                        "failed to allocate IP: the service range is full");
}

static int give_address(struct alloc *a, struct write *w, const json_t *live, json_t *object,
                struct problem *p) {
        const char *ip = address_of(object), *had = live ? address_of(live) : "";
        char buffer[16];
        int r;

        if (!wants_address(object))
                return 0;
        if (!isempty(ip) && streq(ip, had))
                return 0;
        if (isempty(ip)) {
                r = choose_address(a, w, buffer, p);
                if (r < 0)
                        return r;
                ip = buffer;
        } else {
                r = check_address(a, w, ip, p);
                if (r < 0)
                        return r;
        }
        r = claim(w, ip_prefix, ip);
        if (r < 0)
                return r;
        if (ip == buffer) {
                r = json_set_str(object, "spec.clusterIP", ip);
                if (r < 0)
                        return r;
        }
        return json_set_at(object, "spec.clusterIPs", json_pack("[s]", address_of(object)));
}

static bool wants_ports(const json_t *service) {
        const char *type = json_str_or(service, "spec.type", "ClusterIP");

        return streq(type, "NodePort") || streq(type, "LoadBalancer");
}

static bool list_has_port(const json_t *service, int64_t port) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, v)
                if (json_int_or(v, "nodePort", 0) == port)
                        return true;
        return false;
}

/* Whether a port earlier in the list has the number too: TCP and UDP may share one. */
static bool listed_before(const json_t *service, size_t index, int64_t port) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, v)
                if (i < index && json_int_or(v, "nodePort", 0) == port)
                        return true;
        return false;
}

static int choose_port(struct alloc *a, struct write *w, const json_t *object, int64_t *ret,
                struct problem *p) {
        uint32_t n = NODE_PORT_LAST - NODE_PORT_FIRST + 1, at = (uint32_t)random_below(n);

        for (uint32_t i = 0; i < n; i++) {
                int64_t port = NODE_PORT_FIRST + (at + i) % n;
                char text[16];

                snprintf(text, sizeof(text), "%lld", (long long)port);
                if (map_get(a->ports, text) || list_has_port(object, port))
                        continue;
                *ret = port;
                return 0;
        }
        return refuse(w, p, "spec.ports", "[]", "no node port is left");
}

static int give_port(struct alloc *a, struct write *w, const json_t *live, json_t *object,
                size_t index, json_t *entry, struct problem *p) {
        int64_t port = json_int_or(entry, "nodePort", 0);
        char text[16], field[48];
        int r;

        if (port && (listed_before(object, index, port) || (live && list_has_port(live, port))))
                return 0;
        snprintf(field, sizeof(field), "spec.ports[%zu].nodePort", index);
        if (port == 0) {
                r = choose_port(a, w, object, &port, p);
                if (r < 0)
                        return r;
                if (json_object_set_new(entry, "nodePort", json_integer(port)) < 0)
                        return -ENOMEM;
        }
        snprintf(text, sizeof(text), "%lld", (long long)port);
        if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST)
                return refuse(w, p, field, text,
                                "provided port is not in the valid range. The range of valid ports "
                                "is 30000-32767");
        if (map_get(a->ports, text))
                return refuse(w, p, field, text, "provided port is already allocated");
        return claim(w, port_prefix, text);
}

int alloc_release(struct alloc *a, struct write *w, const json_t *object, const json_t *kept) {
        const char *ip = address_of(object);
        const json_t *v;
        size_t i;
        int r;

        if (!isempty(ip) && !(kept && streq(address_of(kept), ip))) {
                r = release(w, ip_prefix, ip);
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_at(object, "spec.ports"), i, v) {
                int64_t port = json_int_or(v, "nodePort", 0);
                char text[16];

                if (!port || listed_before(object, i, port) || (kept && list_has_port(kept, port)))
                        continue;
                snprintf(text, sizeof(text), "%lld", (long long)port);
                r = release(w, port_prefix, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

int alloc_service(struct alloc *a, struct write *w, const json_t *live, json_t *object,
                struct problem *p) {
        json_t *entry;
        size_t i;
        int r;

        if (object_is_deleting(object) && !live)
                return 0;
        r = give_address(a, w, live, object, p);
        if (r < 0)
                return r;
        if (wants_ports(object) && json_bool_or(object, "spec.allocateLoadBalancerNodePorts", true))
                json_array_foreach (json_at_mut(object, "spec.ports"), i, entry) {
                        r = give_port(a, w, live, object, i, entry, p);
                        if (r < 0)
                                return r;
                }
        return live ? alloc_release(a, w, live, object) : 0;
}
