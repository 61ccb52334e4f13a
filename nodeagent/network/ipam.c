/* A bitmap over the node's pod range; addresses are assigned round robin. */
#include "nodeagent/network/ipam.h"

#include <arpa/inet.h>
#include <assert.h>

struct ipam {
        char cidr[24];
        char gateway[16];
        uint32_t base;
        uint32_t count;     /* addresses in the range */
        uint32_t last;      /* offset last assigned */
        uint8_t used[8192]; /* a bit per offset; /16 is the largest range */
};

static void address_text(uint32_t address, char ret[static 16]) {
        struct in_addr a = {htonl(address)};
        inet_ntop(AF_INET, &a, ret, 16);
}

int cidr_parse(const char *cidr, uint32_t *ret_base, unsigned *ret_prefix) {
        char address[16];
        const char *slash = strchr(cidr, '/');
        struct in_addr a;
        uint32_t prefix;

        if (!slash || (size_t)(slash - cidr) >= sizeof(address))
                return -EINVAL;
        memcpy(address, cidr, (size_t)(slash - cidr));
        address[slash - cidr] = 0;
        if (inet_pton(AF_INET, address, &a) != 1 || parse_u32(slash + 1, &prefix) < 0 ||
                        prefix > 32)
                return -EINVAL;
        *ret_base = ntohl(a.s_addr) & (prefix == 0 ? 0 : UINT32_MAX << (32 - prefix));
        *ret_prefix = prefix;
        return 0;
}

bool cidr_contains(const char *cidr, const char *address) {
        uint32_t base;
        unsigned prefix;
        struct in_addr a;

        if (cidr_parse(cidr, &base, &prefix) < 0 || inet_pton(AF_INET, address, &a) != 1)
                return false;
        return (ntohl(a.s_addr) & (prefix == 0 ? 0 : UINT32_MAX << (32 - prefix))) == base;
}

int ipam_new(struct ipam **ret, const char *cidr) {
        uint32_t base;
        unsigned prefix;
        struct ipam *i;

        if (cidr_parse(cidr, &base, &prefix) < 0 || prefix < 16 || prefix > 30 ||
                        strlen(cidr) >= sizeof(i->cidr))
                return -EINVAL;
        i = calloc(1, sizeof(*i));
        if (!i)
                return -ENOMEM;
        i->base = base;
        i->count = UINT32_C(1) << (32 - prefix);
        i->last = 1;
        memcpy(i->cidr, cidr, strlen(cidr) + 1);
        address_text(base + 1, i->gateway);
        *ret = i;
        return 0;
}

struct ipam *ipam_free(struct ipam *i) {
        return mfree(i);
}

const char *ipam_cidr(const struct ipam *i) {
        return i->cidr;
}

const char *ipam_gateway(const struct ipam *i) {
        return i->gateway;
}

int ipam_take(struct ipam *i, char ret[static 16]) {
        /* Offsets 2 to count - 2: the network, gateway and broadcast addresses are never assigned.
         */
        uint32_t usable = i->count - 3;

        assert(i->count >= 4 && i->count <= sizeof(i->used) * 8);
        for (uint32_t n = 1; n <= usable; n++) {
                uint32_t offset = 2 + (i->last - 2 + n + usable) % usable;

                assert(offset >= 2 && offset <= i->count - 2);
                if (i->used[offset / 8] & (1U << offset % 8))
                        continue;
                i->used[offset / 8] |= (uint8_t)(1U << offset % 8);
                i->last = offset;
                address_text(i->base + offset, ret);
                return 0;
        }
        return -ENOSPC;
}

static int offset_of(const struct ipam *i, const char *address, uint32_t *ret) {
        struct in_addr a;
        uint32_t offset;

        if (inet_pton(AF_INET, address, &a) != 1)
                return -EADDRNOTAVAIL;
        offset = ntohl(a.s_addr) - i->base;
        if (offset < 2 || offset > i->count - 2)
                return -EADDRNOTAVAIL;
        *ret = offset;
        return 0;
}

int ipam_reserve(struct ipam *i, const char *address) {
        uint32_t offset;
        int r = offset_of(i, address, &offset);

        if (r < 0)
                return r;
        if (i->used[offset / 8] & (1U << offset % 8))
                return -EADDRINUSE;
        i->used[offset / 8] |= (uint8_t)(1U << offset % 8);
        i->last = MAX(i->last, offset);
        return 0;
}

void ipam_release(struct ipam *i, const char *address) {
        uint32_t offset;

        if (offset_of(i, address, &offset) >= 0)
                i->used[offset / 8] &= (uint8_t) ~(1U << offset % 8);
}
