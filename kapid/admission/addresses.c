/* Classes of IP addresses. An IPv4 address inside an IPv6 one (::ffff:127.0.0.1) counts as itself.
 */
#include "kapid/admission/addresses.h"

#include "lib/address.h"

bool address_in_range(const char *text, const char *range) {
        struct address a = address_parse(text);
        struct address_range r;

        return a.size > 0 && address_range_parse(range, &r) >= 0 && address_range_has(&r, &a);
}

bool address_equal(const char *a, const char *b) {
        struct address x = address_parse(a), y = address_parse(b);

        return x.size > 0 && address_compare(&x, &y) == 0;
}

int address_range_check(const char *range, struct problem *p) {
        struct address_range r;

        return address_range_parse(range, &r) >= 0
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
        struct address a = address_parse(text);

        return a.size > 0 ? address_text(&a, buffer) : NULL;
}
