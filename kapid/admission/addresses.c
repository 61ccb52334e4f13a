/* Classes of IP addresses. An IPv4 address inside an IPv6 one (::ffff:127.0.0.1) counts as itself.
 */
#include "kapid/admission/addresses.h"

#include <arpa/inet.h>

struct address {
        unsigned char octets[16];
        unsigned size; /* 4 or 16; 0: none */
};

static struct address parse(const char *text) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
        struct address a = {0};

        if (inet_pton(AF_INET, text, a.octets) == 1) {
                a.size = 4;
        } else if (inet_pton(AF_INET6, text, a.octets) == 1) {
                a.size = 16;
                if (memcmp(a.octets, mapped, sizeof(mapped)) == 0) {
                        memmove(a.octets, a.octets + 12, 4);
                        a.size = 4;
                }
        }
        return a;
}

static bool has_prefix(const struct address *a, const struct address *net, unsigned bits) {
        if (a->size != net->size || bits > a->size * 8)
                return false;
        if (memcmp(a->octets, net->octets, bits / 8) != 0)
                return false;
        return bits % 8 == 0 ||
               ((a->octets[bits / 8] ^ net->octets[bits / 8]) >> (8 - bits % 8)) == 0;
}

/* -EINVAL when it is not a range. */
static int parse_range(const char *range, struct address *ret_net, unsigned *ret_bits) {
        const char *slash = strchr(range, '/');
        _cleanup_free_ char *net = strndup(range, slash ? (size_t)(slash - range) : strlen(range));
        uint32_t bits;

        if (!net)
                return -ENOMEM;
        *ret_net = parse(net);
        bits = ret_net->size * 8;
        if (ret_net->size == 0 ||
                        (slash && (parse_u32(slash + 1, &bits) < 0 || bits > ret_net->size * 8)))
                return -EINVAL;
        *ret_bits = bits;
        return 0;
}

bool address_in_range(const char *text, const char *range) {
        struct address a = parse(text), net;
        unsigned bits;

        return a.size > 0 && parse_range(range, &net, &bits) >= 0 && has_prefix(&a, &net, bits);
}

bool address_equal(const char *a, const char *b) {
        struct address x = parse(a), y = parse(b);

        return x.size > 0 && x.size == y.size && memcmp(x.octets, y.octets, x.size) == 0;
}

int address_range_check(const char *range, struct problem *p) {
        struct address net;
        unsigned bits;

        return parse_range(range, &net, &bits) >= 0
                               ? 0
                               : problem_set(p, EINVAL, 0, NULL,
                                                 "\"%s\" is not a range of addresses such as "
                                                 "203.0.113.0/24",
                                                 range);
}

const char *address_special(const char *text) {
        static const struct {
                const char *range, *why;
        } special[] = {
                        {"0.0.0.0/8", "may not be unspecified (0.0.0.0 or ::)"},
                        {"::/128", "may not be unspecified (0.0.0.0 or ::)"},
                        {"127.0.0.0/8", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
                        {"::1/128", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
                        {"169.254.0.0/16", "may not be in the link-local range (169.254.0.0/16, "
                                           "fe80::/10)"},
                        {"fe80::/10", "may not be in the link-local range (169.254.0.0/16, "
                                      "fe80::/10)"},
                        {"224.0.0.0/4", "may not be a multicast address"},
                        {"ff00::/8", "may not be a multicast address"},
                        {"255.255.255.255/32", "may not be the broadcast address"},
        };

        for (size_t i = 0; i < ELEMENTS(special); i++)
                if (address_in_range(text, special[i].range))
                        return special[i].why;
        return NULL;
}

const char *address_canonical(const char *text, char buffer[static ADDRESS_TEXT_SIZE]) {
        struct address a = parse(text);

        return a.size > 0 ? inet_ntop(a.size == 4 ? AF_INET : AF_INET6, a.octets, buffer,
                                            ADDRESS_TEXT_SIZE)
                          : NULL;
}
