/* The checks that the daemons make at their start, and those that only one who knows both ranges
 * can make. */
#include "kctl/ranges.h"

#define PODS "--cluster-cidr"
#define SERVICES "--service-cluster-ip-range"

enum { BLOCK_BITS_MAX = 16 };

static void write_text(const struct cidrs *c, char *text, size_t n) {
        snprintf(text, n, "%s%s%s", c->items[0].text, c->count > 1 ? "," : "",
                        c->count > 1 ? c->items[1].text : "");
}

static int check_families(const char *option, const struct cidrs *c, struct problem *p) {
        if (c->count == 1 || address_family(&c->items[0].range.first) == FAMILY_IPV4)
                return 0;
        return problem_set(p, EINVAL, 0, NULL,
                        "%s %s,%s: the network of IPv4 comes first; give %s,%s", option,
                        c->items[0].text, c->items[1].text, c->items[1].text, c->items[0].text);
}

static int check_services(const struct cidrs *services, struct problem *p) {
        static const struct {
                unsigned from, to;
        } sizes[FAMILIES] = {[FAMILY_IPV4] = {12, 28}, [FAMILY_IPV6] = {64, 124}};

        for (size_t i = 0; i < services->count; i++) {
                const struct cidr *c = &services->items[i];
                enum ip_family family = address_family(&c->range.first);

                if (c->bits < sizes[family].from || c->bits > sizes[family].to)
                        return problem_set(p, EINVAL, 0, NULL,
                                        SERVICES " %s: a network of %s must be between /%u and /%u",
                                        c->text, family_name(family), sizes[family].from,
                                        sizes[family].to);
        }
        return 0;
}

/* A node's part is at least a /16 and has room for a pod. */
static int check_bits(const struct cidr *c, unsigned bits, struct problem *p) {
        bool six = address_family(&c->range.first) == FAMILY_IPV6;
        unsigned from = six ? c->bits : MAX(c->bits, 16u),
                 to = MIN(c->bits + BLOCK_BITS_MAX, six ? 126u : 30u);

        if (from > to)
                return problem_set(p, EINVAL, 0, NULL, PODS " %s is %s for nodes: use a /%u to /%u",
                                c->text, c->bits > to ? "too small" : "too large", six ? 48 : 8,
                                six ? 64 : 24);
        return bits >= from && bits <= to
                               ? 0
                               : problem_set(p, EINVAL, 0, NULL,
                                                 "--node-cidr-mask-size-%s %u does not fit " PODS
                                                 " %s: it must be between %u and %u",
                                                 six ? "ipv6" : "ipv4", bits, c->text, from, to);
}

static int check_nodes(const struct cluster_ranges *all, struct problem *p) {
        unsigned hosts = 32 - all->bits[FAMILY_IPV4];

        for (size_t i = 0; i < all->pods.count; i++) {
                const struct cidr *c = &all->pods.items[i];
                int r = check_bits(c, all->bits[address_family(&c->range.first)], p);

                if (r < 0)
                        return r;
        }
        /* A pod has the same place in both. */
        if (all->pods.count == FAMILIES && 128 - all->bits[FAMILY_IPV6] < hosts)
                return problem_set(p, EINVAL, 0, NULL,
                                "--node-cidr-mask-size-ipv6 %u leaves a node fewer addresses than "
                                "--node-cidr-mask-size-ipv4 %u: use at most %u",
                                all->bits[FAMILY_IPV6], all->bits[FAMILY_IPV4], 128 - hosts);
        return 0;
}

static int check_both(const struct cluster_ranges *all, struct problem *p) {
        const struct cidr *a, *b;

        if (all->pods.count != all->services.count ||
                        ranges_family(all) != address_family(&all->services.items[0].range.first))
                return problem_set(p, EINVAL, 0, NULL,
                                PODS " %s and " SERVICES " %s must have the same families: give "
                                     "both a network of each family that one of them has",
                                all->pods_text, all->services_text);
        if (cidrs_overlap(&all->pods, &all->services, &a, &b))
                return problem_set(p, EINVAL, 0, NULL,
                                PODS " %s overlaps with " SERVICES " %s: give different networks",
                                a->text, b->text);
        return 0;
}

enum ip_family ranges_family(const struct cluster_ranges *r) {
        return address_family(&r->pods.items[0].range.first);
}

int ranges_read(const char *pods, const char *services, const uint32_t bits[FAMILIES],
                struct cluster_ranges *ret, struct problem *p) {
        struct cluster_ranges all = {
                        .bits = {[FAMILY_IPV4] = bits[FAMILY_IPV4] ? bits[FAMILY_IPV4] : 24,
                                        [FAMILY_IPV6] = bits[FAMILY_IPV6] ? bits[FAMILY_IPV6]
                                                                          : 64}};
        int r = cidrs_parse(pods ? pods : "10.244.0.0/16", PODS, &all.pods, p);

        if (r < 0)
                return r;
        r = cidrs_parse(services ? services : "10.96.0.0/16", SERVICES, &all.services, p);
        if (r < 0)
                return r;
        write_text(&all.pods, all.pods_text, sizeof(all.pods_text));
        write_text(&all.services, all.services_text, sizeof(all.services_text));
        r = check_families(PODS, &all.pods, p);
        if (r < 0)
                return r;
        r = check_families(SERVICES, &all.services, p);
        if (r < 0)
                return r;
        r = check_both(&all, p);
        if (r < 0)
                return r;
        r = check_services(&all.services, p);
        if (r < 0)
                return r;
        r = check_nodes(&all, p);
        if (r < 0)
                return r;
        *ret = all;
        return 0;
}
