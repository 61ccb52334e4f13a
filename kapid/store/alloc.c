/* Two sets of names that are taken: addresses and ports. Choices are random, so that kapids that
 * choose at the same time rarely meet; the guard of the transaction decides. */
#include "kapid/store/alloc.h"

#include <arpa/inet.h>
#include <inttypes.h>

#include "lib/map.h"
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

bool alloc_address_in_range(const struct alloc *a, const char *ip) {
        struct in_addr in;

        return inet_pton(AF_INET, ip, &in) == 1 && ntohl(in.s_addr) - a->first < a->size;
}

bool alloc_address_is_taken(const struct alloc *a, const char *ip) {
        return map_get(a->ips, ip);
}

int alloc_choose_address(const struct alloc *a, char buffer[static 16]) {
        uint32_t usable = a->size - 3; /* without the network, the API's own, the broadcast */
        uint32_t at = (uint32_t)random_below(usable);

        for (uint32_t i = 0; i < usable; i++) {
                address_text(a, 2 + (at + i) % usable, buffer);
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
