/* A bitmap over the node's pod range; addresses are assigned round robin. */
#include "nodeagent/network/ipam.h"

enum { HOST_BITS_MAX = 16 };

struct ipam {
        struct cidrs ranges;
        char text[FAMILIES * CIDR_TEXT_SIZE];
        char gateways[FAMILIES][ADDRESS_TEXT_SIZE];
        uint32_t count;     /* addresses in the first range that are assigned */
        uint32_t last;      /* offset last assigned */
        uint8_t used[8192]; /* a bit per offset; /16 is the largest range */
};

static const char *nth_address(
                const struct cidr *c, uint32_t n, char buffer[static ADDRESS_TEXT_SIZE]) {
        struct address a = c->range.first;

        address_add(&a, n);
        return address_text(&a, buffer);
}

/* A range of IPv4 that is not too large, with one of IPv6 that is as large at least; or one of
 * IPv6. */
static bool is_right(const struct cidrs *all) {
        const struct cidr *first = &all->items[0];

        if (address_family(&first->range.first) == FAMILY_IPV6)
                return all->count == 1;
        return cidr_host_bits(first) <= HOST_BITS_MAX &&
               (all->count == 1 || cidr_host_bits(&all->items[1]) >= cidr_host_bits(first));
}

static int read_ranges(const char *text, struct cidrs *ret) {
        _cleanup_problem_ struct problem p = {0};
        struct cidrs all;

        if (cidrs_parse(text, "", &all, &p) < 0 ||
                        cidr_host_bits(&all.items[0]) < 2 || !is_right(&all))
                return -EINVAL;
        *ret = all;
        return 0;
}

/* How many addresses of the first range are used. */
static uint32_t count_of(const struct cidrs *all) {
        return UINT32_C(1) << MIN(cidr_host_bits(&all->items[0]), (unsigned)HOST_BITS_MAX);
}

static void set_ranges(struct ipam *i, const struct cidrs *ranges) {
        i->ranges = *ranges;
        snprintf(i->text, sizeof(i->text), "%s%s%s", ranges->items[0].text,
                        ranges->count > 1 ? "," : "",
                        ranges->count > 1 ? ranges->items[1].text : "");
        for (int f = 0; f < FAMILIES; f++) {
                const struct cidr *c = cidrs_of(ranges, (enum ip_family)f);

                if (c)
                        nth_address(c, 1, i->gateways[f]);
        }
}

int ipam_new(struct ipam **ret, const char *ranges) {
        struct cidrs all;
        struct ipam *i;
        int r = read_ranges(ranges, &all);

        if (r < 0)
                return r;
        i = calloc(1, sizeof(*i));
        if (!i)
                return -ENOMEM;
        set_ranges(i, &all);
        i->count = count_of(&all);
        i->last = 1;
        *ret = i;
        return 0;
}

struct ipam *ipam_free(struct ipam *i) {
        return mfree(i);
}

int ipam_extend(struct ipam *i, const char *ranges) {
        struct cidrs all;
        int r = read_ranges(ranges, &all);

        if (r < 0)
                return r;
        if (!streq(all.items[0].text, i->ranges.items[0].text) ||
                        (i->ranges.count > 1 && all.count > 1 &&
                                        !streq(all.items[1].text, i->ranges.items[1].text)))
                return -EINVAL;
        if (i->ranges.count > 1 || all.count < 2)
                return 0;
        set_ranges(i, &all);
        return 1;
}

const char *ipam_ranges(const struct ipam *i) {
        return i->text;
}

const char *ipam_cidr(const struct ipam *i, enum ip_family family) {
        return cidrs_text(&i->ranges, family);
}

const char *ipam_gateway(const struct ipam *i, enum ip_family family) {
        return i->gateways[family];
}

/* Offsets 2 to count - 2: the network, gateway and broadcast addresses are never assigned. */
uint32_t ipam_size(const struct ipam *i) {
        return i->count - 3;
}

int ipam_take(struct ipam *i, char ret[static ADDRESS_TEXT_SIZE]) {
        uint32_t usable = ipam_size(i);

        assert(i->count >= 4 && i->count <= sizeof(i->used) * 8);
        for (uint32_t n = 1; n <= usable; n++) {
                uint32_t offset = 2 + (i->last - 2 + n + usable) % usable;

                assert(offset >= 2 && offset <= i->count - 2);
                if (i->used[offset / 8] & (1U << offset % 8))
                        continue;
                i->used[offset / 8] |= (uint8_t)(1U << offset % 8);
                i->last = offset;
                (void)nth_address(&i->ranges.items[0], offset, ret);
                return 0;
        }
        return -ENOSPC;
}

/* Whether the addresses are equal but for their last four octets. */
static bool is_low(const struct address *a, const struct address *first) {
        return memcmp(a->octets, first->octets, a->size - 4) == 0;
}

static int offset_of(const struct ipam *i, const char *address, uint32_t *ret) {
        const struct address a = address_parse(address), *first = &i->ranges.items[0].range.first;
        uint32_t offset = 0;

        if (!address_range_has(&i->ranges.items[0].range, &a))
                return -EADDRNOTAVAIL;
        /* Both have the same prefix: the difference is that of the last octets. */
        for (unsigned k = a.size - 4; k < a.size; k++)
                offset = offset << 8 | (uint32_t)(a.octets[k] ^ first->octets[k]);
        if (offset < 2 || offset > i->count - 2 || !is_low(&a, first))
                return -EADDRNOTAVAIL;
        *ret = offset;
        return 0;
}

const char *ipam_second(
                const struct ipam *i, const char *address, char buffer[static ADDRESS_TEXT_SIZE]) {
        const struct cidr *six = i->ranges.count > 1 ? &i->ranges.items[1] : NULL;
        uint32_t offset;

        buffer[0] = 0;
        return six && offset_of(i, address, &offset) >= 0 ? nth_address(six, offset, buffer)
                                                          : buffer;
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
