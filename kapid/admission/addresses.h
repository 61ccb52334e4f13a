/* IP addresses that nobody may claim for a Service or an endpoint, and ranges. Pure. */
#pragma once

#include "lib/address.h"
#include "lib/problem.h"

/* Why an address cannot belong to a Service or an endpoint, in the API's words ("may not be in the
 * loopback range (127.0.0.0/8, ::1/128)"); NULL when it can. Also NULL for texts that are not an
 * address: validation refuses those. */
const char *address_special(const char *text);
/* Whether the address is in the range "10.0.0.0/8" or "2001:db8::/32" (a bare address is itself).
 */
bool address_in_range(const char *text, const char *range);
/* -EINVAL with p when it is not a range. */
int address_range_check(const char *range, struct problem *p);
/* Whether both texts are the same address, however they are written. */
bool address_equal(const char *a, const char *b);
/* The address in its usual form (an IPv4 address inside an IPv6 one as IPv4); NULL when it is not
 * an address. */
const char *address_canonical(const char *text, char buffer[static ADDRESS_TEXT_SIZE]);
