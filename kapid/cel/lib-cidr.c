/* Networks: Kubernetes' cidr(), isCIDR() and what they can be asked. */
#include "kapid/cel/lib-ip.h"
#include "lib/cidr.h"

struct network {
        struct address address; /* as it was written: bits behind the prefix may be set */
        unsigned bits;
};

static bool equal(const void *a, const void *b) {
        const struct network *x = a, *y = b;

        return x->bits == y->bits && address_compare(&x->address, &y->address) == 0;
}

static const struct cel_opaque_class cidr_class = {
                .type = {.kind = CEL_TYPE_OPAQUE, .name = "net.CIDR", .size_max = UINT64_MAX},
                .equal = equal};

static const struct network *network_of(struct cel_value v) {
        return v.opaque.data;
}

static struct cel_value refusal(struct cel_run *run, struct cel_value text, const char *why) {
        char quoted[CEL_QUOTED_SIZE];

        /* Twice, as Kubernetes has it. */
        return cel_error(run,
                        "network address parse error during conversion from string: network "
                        "address parse error during conversion from string: "
                        "netip.ParsePrefix(%s): %s",
                        cel_quoted(text, quoted), why);
}

/* Decimal digits without a zero before others. */
static bool parse_bits(const char *text, size_t n, unsigned *ret) {
        if (n == 0 || n > 3 || (n > 1 && *text == '0'))
                return false;
        *ret = 0;
        for (; n > 0; n--, text++) {
                if (*text < '0' || *text > '9')
                        return false;
                *ret = *ret * 10 + (unsigned)(*text - '0');
        }
        return true;
}

static bool parse(struct cel_run *run, struct cel_value text, struct network *ret,
                struct cel_value *ret_error) {
        const char *slash = memrchr(text.text.data, '/', text.text.size);
        size_t n = slash ? (size_t)(slash - text.text.data) : 0;
        char quoted[CEL_QUOTED_SIZE];

        if (!slash) {
                *ret_error = refusal(run, text, "no '/'");
                return false;
        }
        if (!cel_ip_parse(run, cel_string_at(text.text.data, n), &ret->address, NULL)) {
                if (ret->address.size == 4 && memchr(text.text.data, ':', n))
                        *ret_error = cel_error(run,
                                        "network address parse error during conversion from "
                                        "string: IPv4-mapped IPv6 address %s is not allowed",
                                        cel_quoted(text, quoted));
                else
                        *ret_error = refusal(run, text, "unable to parse IP");
                return false;
        }
        if (!parse_bits(slash + 1, text.text.size - n - 1, &ret->bits)) {
                *ret_error = refusal(run, text, "bad bits after slash");
                return false;
        }
        if (ret->bits > ret->address.size * 8) {
                *ret_error = refusal(run, text, "prefix length out of range");
                return false;
        }
        return true;
}

static struct cidr masked_of(const struct network *network) {
        char address[ADDRESS_TEXT_SIZE], text[CIDR_TEXT_SIZE];
        struct cidr c;

        snprintf(text, sizeof(text), "%s/%u", cel_ip_text(&network->address, address),
                        network->bits);
        if (cidr_parse(text, &c) < 0)
                assert_not_reached();
        return c;
}

static struct cel_value cidr(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct network network;
        struct cel_value error;

        if (!parse(run, args[0], &network, &error))
                return error;
        return cel_opaque_copy(run, &cidr_class, &network, sizeof(network));
}

static struct cel_value is_cidr(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct network network;
        struct cel_value error;

        return cel_bool(parse(run, args[0], &network, &error));
}

static struct cel_value string(struct cel_run *run, const struct cel_value *args, size_t n) {
        const struct network *network = network_of(args[0]);
        char address[ADDRESS_TEXT_SIZE], text[CIDR_TEXT_SIZE];

        snprintf(text, sizeof(text), "%s/%u", cel_ip_text(&network->address, address),
                        network->bits);
        return cel_string(run, text, strlen(text));
}

static struct cel_value contains_address(struct cel_value network, const struct address *a) {
        struct cidr c = masked_of(network_of(network));

        return cel_bool(address_range_has(&c.range, a));
}

static struct cel_value contains_ip(struct cel_run *run, const struct cel_value *args, size_t n) {
        return contains_address(args[0], args[1].opaque.data);
}

static struct cel_value contains_ip_text(
                struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value error;
        struct address a;

        return cel_ip_parse(run, args[1], &a, &error) ? contains_address(args[0], &a) : error;
}

static struct cel_value contains_network(struct cel_value network, const struct network *other) {
        if (network_of(network)->bits > other->bits)
                return cel_bool(false);
        return contains_address(network, &other->address);
}

static struct cel_value contains_cidr(struct cel_run *run, const struct cel_value *args, size_t n) {
        return contains_network(args[0], network_of(args[1]));
}

static struct cel_value contains_cidr_text(
                struct cel_run *run, const struct cel_value *args, size_t n) {
        struct network other;
        struct cel_value error;

        return parse(run, args[1], &other, &error) ? contains_network(args[0], &other) : error;
}

static struct cel_value ip(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_opaque_copy(
                        run, &cel_ip_class, &network_of(args[0])->address, sizeof(struct address));
}

static struct cel_value prefix_length(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_int(network_of(args[0])->bits);
}

static struct cel_value masked(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct network network = *network_of(args[0]);

        network.address = masked_of(&network).range.first;
        return cel_opaque_copy(run, &cidr_class, &network, sizeof(network));
}

/* --- costs: a network's size is the bytes of its prefix --- */

static uint64_t size_of(struct cel_value network) {
        return (network_of(network)->bits + 7) / 8;
}

static uint64_t cost_contains_ip(
                const struct cel_value *args, size_t n, const struct cel_value *result) {
        uint64_t cost = cel_cost_text(2 * size_of(args[0]));

        if (args[1].kind == CEL_STRING)
                cost += cel_cost_text(cel_size_for_cost(args[1]));
        return cost;
}

static uint64_t cost_contains_cidr(
                const struct cel_value *args, size_t n, const struct cel_value *result) {
        return cost_contains_ip(args, n, result) + cel_cost_text(size_of(args[0])) + 1;
}

/* 4 or 16 bytes of each. */
static void estimate_ip(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_cost = cel_range_texts((struct cel_range){4, 16}, 2);
}

static void estimate_ip_text(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        estimate_ip(args, n, ret_cost, ret_size);
        *ret_cost = cel_range_add(*ret_cost, cel_range_text(args[1]));
}

static struct cel_range more_for_cidr(struct cel_range cost) {
        cost = cel_range_add(cost, cel_range_text((struct cel_range){4, 16}));
        return cel_range_add(cost, (struct cel_range){1, 1});
}

static void estimate_cidr(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        estimate_ip(args, n, ret_cost, ret_size);
        *ret_cost = more_for_cidr(*ret_cost);
}

static void estimate_cidr_text(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        estimate_ip_text(args, n, ret_cost, ret_size);
        *ret_cost = more_for_cidr(*ret_cost);
}

static const struct cel_row rows[] = {
                {"cidr", 0, "(string) -> net.CIDR", cidr, cel_cost_of_first, NULL,
                                "string_to_cidr"},
                {"isCIDR", 0, "(string) -> bool", is_cidr, cel_cost_of_first, NULL, "is_cidr"},
                {"containsIP", CEL_MEMBER, "(net.CIDR, string) -> bool", contains_ip_text,
                                cost_contains_ip, estimate_ip_text, "cidr_contains_ip_string"},
                {"containsIP", CEL_MEMBER, "(net.CIDR, net.IP) -> bool", contains_ip,
                                cost_contains_ip, estimate_ip, "cidr_contains_ip_ip"},
                {"containsCIDR", CEL_MEMBER, "(net.CIDR, string) -> bool", contains_cidr_text,
                                cost_contains_cidr, estimate_cidr_text,
                                "cidr_contains_cidr_string"},
                {"containsCIDR", CEL_MEMBER, "(net.CIDR, net.CIDR) -> bool", contains_cidr,
                                cost_contains_cidr, estimate_cidr, "cidr_contains_cidr"},
                {"ip", CEL_MEMBER, "(net.CIDR) -> net.IP", ip, NULL, NULL, "cidr_ip"},
                {"prefixLength", CEL_MEMBER, "(net.CIDR) -> int", prefix_length, NULL, NULL,
                                "cidr_prefix_length"},
                {"masked", CEL_MEMBER, "(net.CIDR) -> net.CIDR", masked, NULL, NULL, "cidr_masked"},
                {"string", 0, "(net.CIDR) -> string", string, NULL, NULL, "cidr_to_string"},
};

static const struct cel_opaque_class *const classes[] = {&cidr_class};

const struct cel_library cel_library_cidr = {.name = "cidr",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .classes = classes,
                .class_count = ELEMENTS(classes)};
