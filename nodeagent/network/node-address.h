/* The addresses of a node as the text in which the routes carry them. Pure. */
#pragma once

#include "lib/address.h"

/* A node's addresses, "" where it has none of a family. */
struct node_addresses {
        char text[FAMILIES][ADDRESS_TEXT_SIZE];
};
/* "10.98.0.12", "10.98.0.12,fd00:98::12": one of each family at most, in any order; others are left
 * out. */
struct node_addresses node_addresses_read(const char *text);
/* The reverse, IPv4 first. Caller frees. */
char *node_addresses_text(const struct node_addresses *a) _warn_unused_;
