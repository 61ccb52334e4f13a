/* IP addresses of both families, and ranges of them. An IPv4 address inside an IPv6 one
 * (::ffff:10.0.0.1) counts as the IPv4 address. Pure. */
#pragma once

#include "lib/base.h"

enum ip_family { FAMILY_IPV4, FAMILY_IPV6, FAMILIES };

struct address {
        unsigned char octets[16]; /* network order */
        unsigned size;            /* 4 or 16; 0: none */
};
/* Both ends are in it, and of one family. */
struct address_range {
        struct address first, last;
};

/* "IPv4", "IPv6": the names of the API. */
const char *family_name(enum ip_family family);
/* The address of a text; size 0 when it is none. */
struct address address_parse(const char *text);
/* Of an address that is one. */
enum ip_family address_family(const struct address *a);
/* Below, equal to or above 0, as memcmp(); IPv4 comes before IPv6. */
int address_compare(const struct address *a, const struct address *b);
/* The next one. The one after the highest of its family is the lowest. */
void address_next(struct address *a);
/* The n-th after it; wraps as address_next(). */
void address_add(struct address *a, uint64_t n);
/* The usual form of an address (not of size 0). Returns buffer. */
enum { ADDRESS_TEXT_SIZE = 46 };
const char *address_text(const struct address *a, char buffer[static ADDRESS_TEXT_SIZE]);

/* Reads "10.0.0.0/24" (bits of the host part are ignored), "10.0.0.5-10.0.0.9" or one address.
 * -EINVAL, also for a range whose end is below its beginning. */
int address_range_parse(const char *text, struct address_range *ret);
bool address_range_has(const struct address_range *r, const struct address *a);
/* Whether some address is in both. */
bool address_ranges_overlap(const struct address_range *a, const struct address_range *b);
/* How many addresses; UINT64_MAX when there are as many or more. */
uint64_t address_range_count(const struct address_range *r);
