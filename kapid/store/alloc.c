/* Two sets of names that are taken: addresses and ports. Choices are random, so that kapids that
 * choose at the same time rarely meet; the guard of the transaction decides. */
#include "kapid/store/alloc.h"

#include <inttypes.h>

#include "lib/map.h"
#include "lib/random.h"

enum { DNS_HOST = 10 };
/* Of a larger range, addresses are chosen from this many: it is never searched in vain for long. */
#define CHOICE_MAX (UINT64_C(1) << 20)

struct alloc {
        struct map *ips; /* text -> owner */
        struct map *ports;
        struct cidrs ranges;
};

static const char ip_prefix[] = "/registry/ranges/serviceips/";
static const char port_prefix[] = "/registry/ranges/nodeports/";

static int check_size(const struct cidr *c, struct problem *p) {
        bool six = address_family(&c->range.first) == FAMILY_IPV6;
        unsigned from = six ? 64 : 12, to = six ? 124 : 28;

        return c->bits >= from && c->bits <= to
                               ? 0
                               : problem_set(p, EINVAL, 0, NULL,
                                                 "--service-cluster-ip-range %s: a network of %s "
                                                 "must be between /%u and /%u, such as %s",
                                                 c->text, six ? "IPv6" : "IPv4", from, to,
                                                 six ? "fd00:10:96::/112" : "10.96.0.0/16");
}

int alloc_new(struct alloc **ret, const char *ranges, struct problem *p) {
        _cleanup_(alloc_freep) struct alloc *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        r = cidrs_parse(ranges, "--service-cluster-ip-range", &a->ranges, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < a->ranges.count; i++) {
                r = check_size(&a->ranges.items[i], p);
                if (r < 0)
                        return r;
        }
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

const struct cidrs *alloc_ranges(const struct alloc *a) {
        return &a->ranges;
}

enum ip_family alloc_primary_family(const struct alloc *a) {
        return address_family(&a->ranges.items[0].range.first);
}

static const char *nth_address(
                const struct cidr *c, uint64_t n, char buffer[static ADDRESS_TEXT_SIZE]) {
        struct address a = c->range.first;

        address_add(&a, n);
        return address_text(&a, buffer);
}

const char *alloc_first_address(const struct alloc *a, char buffer[static ADDRESS_TEXT_SIZE]) {
        return nth_address(&a->ranges.items[0], 1, buffer);
}

const char *alloc_dns_address(const struct alloc *a, char buffer[static ADDRESS_TEXT_SIZE]) {
        const struct cidr *c = &a->ranges.items[0];

        return address_range_count(&c->range) > DNS_HOST + 1 ? nth_address(c, DNS_HOST, buffer)
                                                             : NULL;
}

bool alloc_address_is_taken(const struct alloc *a, const char *ip) {
        return map_get(a->ips, ip);
}

int alloc_choose_address(const struct alloc *a, enum ip_family family,
                char buffer[static ADDRESS_TEXT_SIZE]) {
        const struct cidr *c = cidrs_of(&a->ranges, family);
        uint64_t usable, at;

        if (!c)
                return -EAFNOSUPPORT;
        /* Without the network, the API's own, the last one. */
        usable = MIN(address_range_count(&c->range), CHOICE_MAX) - 3;
        at = random_below(usable);
        for (uint64_t i = 0; i < usable; i++) {
                nth_address(c, 2 + (at + i) % usable, buffer);
                if (!map_get(a->ips, buffer))
                        return 0;
        }
        return -ENOSPC;
}

bool alloc_port_is_taken(const struct alloc *a, int64_t port) {
        char text[24];

        snprintf(text, sizeof(text), "%" PRIi64, port);
        return map_get(a->ports, text);
}

int alloc_choose_port(const struct alloc *a, bool (*skip)(int64_t port, const void *userdata),
                const void *userdata, int64_t *ret) {
        uint32_t n = NODE_PORT_LAST - NODE_PORT_FIRST + 1, at = (uint32_t)random_below(n);

        for (uint32_t i = 0; i < n; i++) {
                int64_t port = NODE_PORT_FIRST + (at + i) % n;

                if (alloc_port_is_taken(a, port) || skip(port, userdata))
                        continue;
                *ret = port;
                return 0;
        }
        return -ENOSPC;
}

char *alloc_address_key(const char *ip) {
        return strformat("%s%s", ip_prefix, ip);
}

char *alloc_port_key(int64_t port) {
        return strformat("%s%" PRIi64, port_prefix, port);
}
