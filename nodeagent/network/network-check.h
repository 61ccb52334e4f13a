/* What is missing of the node's network, in words. */
#pragma once

#include "lib/map.h"
#include "nodeagent/network/rtnetlink.h"

/* The link is there and up, and has the address ("10.244.3.1"; "": any). 0, or 1 with what is
 * wrong; caller frees. A negative errno. */
int network_check_link(struct nl_sock *s, const char *link, const char *address, char **ret);
/* Our routes go to these destinations (keys; values are not used). As above. */
int network_check_routes(struct nl_sock *s, const struct map *destinations, char **ret);
