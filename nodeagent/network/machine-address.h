/* The addresses by which other nodes reach this machine, where none are configured. */
#pragma once

#include "lib/address.h"

/* The address of IPv4 of the interface of the default route, else of the first other one. -ENODEV
 * when there is none. */
int machine_address(char ret[static 16]);
/* The same of IPv6: the address that lasts longest. */
int machine_address_ipv6(char ret[static ADDRESS_TEXT_SIZE]);
/* Whether the kernel has IPv6, switched on for new links. */
bool machine_has_ipv6(void);
/* The address of IPv6 of the link that has node_ip: one that other machines can use, and that lasts
 * longest. -ENODEV when there is none. */
int machine_address_second(const char *node_ip, char ret[static ADDRESS_TEXT_SIZE]);
