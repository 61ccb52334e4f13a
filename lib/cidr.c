/* Texts are read with lib/address.h and written in their usual form, so that two spellings of one
 * network compare equal. */
#include "lib/cidr.h"

int cidr_parse(const char *text, struct cidr *ret) {
        const char *slash = strchr(text, '/');
        struct cidr c = {0};
        char first[ADDRESS_TEXT_SIZE];
        uint32_t bits;

        if (!slash || address_range_parse(text, &c.range) < 0 || parse_u32(slash + 1, &bits) < 0)
                return -EINVAL;
        c.bits = bits;
        snprintf(c.text, sizeof(c.text), "%s/%u", address_text(&c.range.first, first), c.bits);
        *ret = c;
        return 0;
}

bool cidr_contains(const struct cidr *c, const char *address) {
        struct address a = address_parse(address);

        return a.size > 0 && address_range_has(&c->range, &a);
}

unsigned cidr_host_bits(const struct cidr *c) {
        return c->range.first.size * 8 - c->bits;
}

/* The part of a list that begins at text. */
static int parse_one(const char *text, size_t n, struct cidr *ret) {
        char one[CIDR_TEXT_SIZE];

        if (n >= sizeof(one))
                return -EINVAL;
        memcpy(one, text, n);
        one[n] = 0;
        return cidr_parse(one, ret);
}

int cidrs_parse(const char *text, const char *option, struct cidrs *ret, struct problem *p) {
        struct cidrs all = {0};

        for (const char *s = text;;) {
                size_t n = strcspn(s, ",");

                if (all.count == FAMILIES)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s \"%.200s\" has more than two networks: give one, or "
                                        "one of IPv4 and one of IPv6",
                                        option, text);
                if (parse_one(s, n, &all.items[all.count]) < 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s: \"%.*s\" is not a network such as 10.244.0.0/16 or "
                                        "fd00:10:244::/56",
                                        option, (int)MIN(n, (size_t)100), s);
                all.count++;
                if (!s[n])
                        break;
                s += n + 1;
        }
        if (all.count == FAMILIES && address_family(&all.items[0].range.first) ==
                                                     address_family(&all.items[1].range.first))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s \"%.200s\" has two networks of one family: give one, or one "
                                "of IPv4 and one of IPv6",
                                option, text);
        *ret = all;
        return 0;
}

const struct cidr *cidrs_of(const struct cidrs *all, enum ip_family family) {
        for (size_t i = 0; i < all->count; i++)
                if (address_family(&all->items[i].range.first) == family)
                        return &all->items[i];
        return NULL;
}

const char *cidrs_text(const struct cidrs *all, enum ip_family family) {
        const struct cidr *c = cidrs_of(all, family);

        return c ? c->text : "";
}

const struct cidr *cidrs_with(const struct cidrs *all, const char *address) {
        for (size_t i = 0; i < all->count; i++)
                if (cidr_contains(&all->items[i], address))
                        return &all->items[i];
        return NULL;
}

bool cidrs_overlap(const struct cidrs *a, const struct cidrs *b, const struct cidr **ret_a,
                const struct cidr **ret_b) {
        for (size_t i = 0; i < a->count; i++)
                for (size_t k = 0; k < b->count; k++) {
                        if (!address_ranges_overlap(&a->items[i].range, &b->items[k].range))
                                continue;
                        *ret_a = &a->items[i];
                        *ret_b = &b->items[k];
                        return true;
                }
        return false;
}
