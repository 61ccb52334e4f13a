/* Addresses are numbers of 4 or 16 octets; a range is its two ends. */
#include "lib/address.h"

#include <arpa/inet.h>

const char *family_name(enum ip_family family) {
        return family == FAMILY_IPV4 ? "IPv4" : "IPv6";
}

enum ip_family address_family(const struct address *a) {
        assert(a->size > 0);
        return a->size == 4 ? FAMILY_IPV4 : FAMILY_IPV6;
}

struct address address_parse(const char *text) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
        struct address a = {0};

        if (inet_pton(AF_INET, text, a.octets) == 1) {
                a.size = 4;
        } else if (inet_pton(AF_INET6, text, a.octets) == 1) {
                a.size = 16;
                if (memcmp(a.octets, mapped, sizeof(mapped)) == 0) {
                        memmove(a.octets, a.octets + 12, 4);
                        memset(a.octets + 4, 0, 12);
                        a.size = 4;
                }
        }
        return a;
}

int address_compare(const struct address *a, const struct address *b) {
        if (a->size != b->size)
                return a->size < b->size ? -1 : 1;
        return memcmp(a->octets, b->octets, a->size);
}

void address_next(struct address *a) {
        address_add(a, 1);
}

void address_add(struct address *a, uint64_t n) {
        unsigned carry = 0;

        for (unsigned i = a->size; i-- > 0 && (n > 0 || carry > 0); n >>= 8) {
                unsigned sum = a->octets[i] + (unsigned)(n & 0xff) + carry;

                a->octets[i] = (unsigned char)sum;
                carry = sum >> 8;
        }
}

const char *address_text(const struct address *a, char buffer[static ADDRESS_TEXT_SIZE]) {
        assert(a->size > 0);
        return inet_ntop(a->size == 4 ? AF_INET : AF_INET6, a->octets, buffer, ADDRESS_TEXT_SIZE);
}

/* The first and the last address that share `bits` bits with a. */
static struct address_range range_of_prefix(const struct address *a, unsigned bits) {
        struct address_range r = {*a, *a};

        for (unsigned i = 0; i < a->size; i++) {
                unsigned left = bits > i * 8 ? MIN(bits - i * 8, 8u) : 0;
                unsigned char host = (unsigned char)(0xff >> left);

                r.first.octets[i] &= (unsigned char)~host;
                r.last.octets[i] |= host;
        }
        return r;
}

int address_range_parse(const char *text, struct address_range *ret) {
        char first[ADDRESS_TEXT_SIZE];
        size_t n = strcspn(text, "/-");
        struct address_range r;
        uint32_t bits;

        if (n >= sizeof(first))
                return -EINVAL;
        memcpy(first, text, n);
        first[n] = 0;
        r.first = r.last = address_parse(first);
        if (r.first.size == 0)
                return -EINVAL;
        if (text[n] == '/') {
                if (parse_u32(text + n + 1, &bits) < 0 || bits > r.first.size * 8)
                        return -EINVAL;
                r = range_of_prefix(&r.first, bits);
        } else if (text[n] == '-') {
                r.last = address_parse(text + n + 1);
                if (r.last.size != r.first.size || address_compare(&r.first, &r.last) > 0)
                        return -EINVAL;
        }
        *ret = r;
        return 0;
}

bool address_range_has(const struct address_range *r, const struct address *a) {
        return a->size == r->first.size && address_compare(&r->first, a) <= 0 &&
               address_compare(a, &r->last) <= 0;
}

bool address_ranges_overlap(const struct address_range *a, const struct address_range *b) {
        return a->first.size == b->first.size && address_compare(&a->first, &b->last) <= 0 &&
               address_compare(&b->first, &a->last) <= 0;
}

uint64_t address_range_count(const struct address_range *r) {
        uint64_t difference = 0;
        int borrow = 0;

        /* last - first, octet by octet; what does not fit the lower 64 bits is "as many or more".
         */
        for (unsigned i = 0; i < r->first.size; i++) {
                unsigned at = r->first.size - 1 - i;
                int d = r->last.octets[at] - r->first.octets[at] - borrow;

                borrow = d < 0;
                if (i < 8)
                        difference |= (uint64_t)(d & 0xff) << (8 * i);
                else if (d & 0xff)
                        return UINT64_MAX;
        }
        return difference == UINT64_MAX ? UINT64_MAX : difference + 1;
}
