/* Networks ("10.244.0.0/16"), and what a cluster has of each kind: one of a family, or one of both
 * ("10.244.0.0/16,fd00:10:244::/56"). Pure. */
#pragma once

#include "lib/address.h"
#include "lib/problem.h"

enum { CIDR_TEXT_SIZE = ADDRESS_TEXT_SIZE + 4 };

struct cidr {
        struct address_range range; /* its first address is the network's */
        unsigned bits;              /* of the prefix */
        char text[CIDR_TEXT_SIZE];  /* in its usual form */
};

/* Bits of the host part are ignored. -EINVAL: no network. */
int cidr_parse(const char *text, struct cidr *ret);
/* Whether it has this address; false also when that is none. */
bool cidr_contains(const struct cidr *c, const char *address);
/* How many bits a host's part of its addresses has. */
unsigned cidr_host_bits(const struct cidr *c);

struct cidrs {
        struct cidr items[FAMILIES]; /* in the order of the text; the first family is the primary */
        size_t count;
};

/* One network, or two of different families, with a comma between them. -EINVAL with p, which
 * names the option ("--cluster-cidr"). */
int cidrs_parse(const char *text, const char *option, struct cidrs *ret, struct problem *p);
/* The network of the family; NULL: there is none. */
const struct cidr *cidrs_of(const struct cidrs *all, enum ip_family family);
/* Its text; "": there is none. */
const char *cidrs_text(const struct cidrs *all, enum ip_family family);
/* The network that has the address; NULL: none, or it is no address. */
const struct cidr *cidrs_with(const struct cidrs *all, const char *address);
/* Whether a network of one list overlaps with one of the other; the first such pair. */
bool cidrs_overlap(const struct cidrs *a, const struct cidrs *b, const struct cidr **ret_a,
                const struct cidr **ret_b);
