/* IP addresses: Kubernetes' ip(), isIP() and what they can be asked. What is an address and how it
 * is written is as Go's net/netip has it: no zeros before numbers, no zones, no IPv4 within IPv6.
 */
#include "kapid/cel/lib-ip.h"

static bool equal(const void *a, const void *b) {
        return address_compare(a, b) == 0;
}

const struct cel_opaque_class cel_ip_class = {
                .type = {.kind = CEL_TYPE_OPAQUE, .name = "net.IP", .size_max = UINT64_MAX},
                .equal = equal};

static const struct address *address_of(struct cel_value v) {
        return v.opaque.data;
}

static bool refuse(struct cel_run *run, struct cel_value *ret_error, struct cel_value text,
                const char *before, const char *behind) {
        char quoted[CEL_QUOTED_SIZE];

        if (ret_error)
                *ret_error = cel_error(run, "%s %s%s", before, cel_quoted(text, quoted), behind);
        return false;
}

static bool not_an_address(
                struct cel_run *run, struct cel_value *ret_error, struct cel_value text) {
        char quoted[CEL_QUOTED_SIZE];

        if (ret_error) {
                cel_quoted(text, quoted);
                *ret_error = cel_error(run,
                                "IP Address %s parse error during conversion from string: "
                                "ParseAddr(%s): unable to parse IP",
                                quoted, quoted);
        }
        return false;
}

bool cel_ip_parse(struct cel_run *run, struct cel_value text, struct address *ret,
                struct cel_value *ret_error) {
        char copy[ADDRESS_TEXT_SIZE + 32], *zone;

        if (text.text.size >= sizeof(copy) || memchr(text.text.data, '\0', text.text.size))
                return not_an_address(run, ret_error, text);
        memcpy(copy, text.text.data, text.text.size);
        copy[text.text.size] = '\0';
        zone = strchr(copy, '%');
        if (zone)
                *zone++ = '\0';
        *ret = address_parse(copy);
        if (ret->size == 0 || (zone && (!*zone || !strchr(copy, ':'))))
                return not_an_address(run, ret_error, text);
        if (zone)
                return refuse(run, ret_error, text, "IP address",
                                " with zone value is not allowed");
        if (ret->size == 4 && strchr(copy, ':'))
                return refuse(run, ret_error, text, "IPv4-mapped IPv6 address", " is not allowed");
        return true;
}

/* The longest row of two or more zero groups: from where, how many. */
static unsigned zeros(const struct address *a, unsigned *ret_from) {
        unsigned best = 1;

        *ret_from = 8;
        for (unsigned i = 0; i < 8; i++) {
                unsigned n = 0;

                while (i + n < 8 && a->octets[2 * (i + n)] == 0 && a->octets[2 * (i + n) + 1] == 0)
                        n++;
                if (n > best) {
                        best = n;
                        *ret_from = i;
                }
        }
        return best;
}

const char *cel_ip_text(const struct address *a, char buffer[static ADDRESS_TEXT_SIZE]) {
        unsigned from, count;
        size_t at = 0;

        if (a->size == 4)
                return address_text(a, buffer);
        /* inet_ntop() writes the last four octets in decimal below ::1:0:0; Go never does. */
        count = zeros(a, &from);
        buffer[0] = '\0';
        for (unsigned i = 0; i < 8; i++) {
                unsigned group = (unsigned)a->octets[2 * i] << 8 | a->octets[2 * i + 1];

                if (i == from) {
                        at += (size_t)snprintf(buffer + at, ADDRESS_TEXT_SIZE - at, "::");
                        i += count - 1;
                        continue;
                }
                at += (size_t)snprintf(buffer + at, ADDRESS_TEXT_SIZE - at, "%s%x",
                                i > 0 && i != from + count ? ":" : "", group);
        }
        return buffer;
}

static struct cel_value ip(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value error;
        struct address a;

        if (!cel_ip_parse(run, args[0], &a, &error))
                return error;
        return cel_opaque_copy(run, &cel_ip_class, &a, sizeof(a));
}

static struct cel_value is_ip(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct address a;

        return cel_bool(cel_ip_parse(run, args[0], &a, NULL));
}

static struct cel_value is_canonical(struct cel_run *run, const struct cel_value *args, size_t n) {
        char text[ADDRESS_TEXT_SIZE];
        struct cel_value error;
        struct address a;

        if (!cel_ip_parse(run, args[0], &a, &error))
                return error;
        return cel_bool(cel_is_text(args[0], cel_ip_text(&a, text)));
}

static struct cel_value string(struct cel_run *run, const struct cel_value *args, size_t n) {
        char text[ADDRESS_TEXT_SIZE];

        cel_ip_text(address_of(args[0]), text);
        return cel_string(run, text, strlen(text));
}

static struct cel_value family(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_int(address_of(args[0])->size == 4 ? 4 : 6);
}

/* --- what kind of address it is: ranges --- */

static bool in(struct cel_value v, const char *const *networks) {
        for (; *networks; networks++) {
                struct address_range range;

                if (address_range_parse(*networks, &range) >= 0 &&
                                address_range_has(&range, address_of(v)))
                        return true;
        }
        return false;
}

static const char *const unspecified[] = {"0.0.0.0", "::", NULL};
static const char *const loopback[] = {"127.0.0.0/8", "::1", NULL};
static const char *const link_multicast[] = {"224.0.0.0/24", "ff02::/16", "ff12::/16", "ff22::/16",
                "ff32::/16", "ff42::/16", "ff52::/16", "ff62::/16", "ff72::/16", "ff82::/16",
                "ff92::/16", "ffa2::/16", "ffb2::/16", "ffc2::/16", "ffd2::/16", "ffe2::/16",
                "fff2::/16", NULL};
static const char *const link_unicast[] = {"169.254.0.0/16", "fe80::/10", NULL};
static const char *const no_global_unicast[] = {"0.0.0.0", "::", "255.255.255.255", "127.0.0.0/8",
                "::1", "224.0.0.0/4", "ff00::/8", "169.254.0.0/16", "fe80::/10", NULL};

static struct cel_value is_unspecified(
                struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(in(args[0], unspecified));
}

static struct cel_value is_loopback(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(in(args[0], loopback));
}

static struct cel_value is_link_multicast(
                struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(in(args[0], link_multicast));
}

static struct cel_value is_link_unicast(
                struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(in(args[0], link_unicast));
}

static struct cel_value is_global_unicast(
                struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(!in(args[0], no_global_unicast));
}

/* Kubernetes estimates 1 for ip(), isIP() and ip.isCanonical(), whatever the size. */
static const struct cel_row rows[] = {
                {"ip", 0, "(string) -> net.IP", ip, cel_cost_of_first, NULL, "string_to_ip"},
                {"isIP", 0, "(string) -> bool", is_ip, cel_cost_of_first, NULL, "is_ip"},
                {"ip.isCanonical", 0, "(string) -> bool", is_canonical, cel_cost_of_first_twice,
                                NULL, "ip_is_canonical"},
                {"family", CEL_MEMBER, "(net.IP) -> int", family, NULL, NULL, "ip_family"},
                {"isUnspecified", CEL_MEMBER, "(net.IP) -> bool", is_unspecified, NULL, NULL,
                                "ip_is_unspecified"},
                {"isLoopback", CEL_MEMBER, "(net.IP) -> bool", is_loopback, NULL, NULL,
                                "ip_is_loopback"},
                {"isLinkLocalMulticast", CEL_MEMBER, "(net.IP) -> bool", is_link_multicast, NULL,
                                NULL, "ip_is_link_local_multicast"},
                {"isLinkLocalUnicast", CEL_MEMBER, "(net.IP) -> bool", is_link_unicast, NULL, NULL,
                                "ip_is_link_local_unicast"},
                {"isGlobalUnicast", CEL_MEMBER, "(net.IP) -> bool", is_global_unicast, NULL, NULL,
                                "ip_is_global_unicast"},
                {"string", 0, "(net.IP) -> string", string, NULL, NULL, "ip_to_string"},
};

static const struct cel_opaque_class *const classes[] = {&cel_ip_class};

const struct cel_library cel_library_ip = {.name = "ip",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .classes = classes,
                .class_count = ELEMENTS(classes)};
