/* Addresses of the machine's links over rtnetlink. Addresses of load balancers are left out: they
 * move from node to node. */
#include "nodeagent/network/machine-address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "lib/fileio.h"
#include "nodeagent/network/carried.h"
#include "nodeagent/network/network.h"
#include "nodeagent/network/rtnetlink.h"

static struct rtnl_nexthop *first_hop(struct rtnl_route *route) {
        return rtnl_route_get_nnexthops(route) > 0 ? rtnl_route_nexthop_n(route, 0) : NULL;
}

/* Whether it is an IPv4 address of this link, and not of a load balancer; its text without the
 * prefix's length then. */
static bool address_of_link(struct rtnl_addr *a, int index, char ret[static 16]) {
        char text[64];

        if (rtnl_addr_get_ifindex(a) != index || rtnl_addr_get_family(a) != AF_INET ||
                        !rtnl_addr_get_local(a) ||
                        streq(strempty(rtnl_addr_get_label(a)), CARRIED_LABEL))
                return false;
        nl_addr2str(rtnl_addr_get_local(a), text, sizeof(text));
        text[strcspn(text, "/")] = 0;
        if (strlen(text) > 15)
                return false;
        memcpy(ret, text, strlen(text) + 1);
        return true;
}

/* The primary address of a link but loopback's; false when it has none. */
static bool link_address(struct nl_cache *addresses, int index, char ret[static 16]) {
        for (struct nl_object *o = nl_cache_get_first(addresses); o; o = nl_cache_get_next(o))
                if (address_of_link((struct rtnl_addr *)o, index, ret) && !startswith(ret, "127."))
                        return true;
        return false;
}

/* The address of the link that a default route uses. */
static bool default_address(
                struct nl_cache *routes, struct nl_cache *addresses, char ret[static 16]) {
        for (struct nl_object *o = nl_cache_get_first(routes); o; o = nl_cache_get_next(o)) {
                struct rtnl_route *route = (struct rtnl_route *)o;
                struct rtnl_nexthop *hop = first_hop(route);
                struct nl_addr *destination = rtnl_route_get_dst(route);

                if (hop && destination && nl_addr_get_prefixlen(destination) == 0 &&
                                link_address(addresses, rtnl_route_nh_get_ifindex(hop), ret))
                        return true;
        }
        return false;
}

/* The address of the first link that is not ours. */
static bool any_address(struct nl_cache *links, struct nl_cache *addresses, char ret[static 16]) {
        for (struct nl_object *o = nl_cache_get_first(links); o; o = nl_cache_get_next(o)) {
                struct rtnl_link *link = (struct rtnl_link *)o;
                const char *name = strempty(rtnl_link_get_name(link));

                if (!startswith(name, NETWORK_LINK_PREFIX) &&
                                !startswith(name, NETWORK_POD_LINK_PREFIX) && !streq(name, "lo") &&
                                link_address(addresses, rtnl_link_get_ifindex(link), ret))
                        return true;
        }
        return false;
}

int machine_address(char ret[static 16]) {
        _cleanup_(nl_socket_freep) struct nl_sock *s = NULL;
        _cleanup_(nl_cache_freep) struct nl_cache *routes = NULL, *addresses = NULL, *links = NULL;
        int r = netlink_open(&s);

        if (r < 0)
                return r;
        r = rtnl_route_alloc_cache(s, AF_INET, 0, &routes);
        if (r < 0)
                return netlink_errno(r);
        r = rtnl_addr_alloc_cache(s, &addresses);
        if (r < 0)
                return netlink_errno(r);
        r = rtnl_link_alloc_cache(s, AF_UNSPEC, &links);
        if (r < 0)
                return netlink_errno(r);
        return default_address(routes, addresses, ret) || any_address(links, addresses, ret)
                               ? 0
                               : -ENODEV;
}

/* How well an address of IPv6 serves other machines: 0 not at all. One of a load balancer is a
 * network of itself, and may be the only one. */
static int rate(struct rtnl_addr *a) {
        static const unsigned bad =
                        IFA_F_TEMPORARY | IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED;

        if (rtnl_addr_get_family(a) != AF_INET6 || rtnl_addr_get_scope(a) != RT_SCOPE_UNIVERSE ||
                        (rtnl_addr_get_flags(a) & bad) || !rtnl_addr_get_local(a))
                return 0;
        if (rtnl_addr_get_prefixlen(a) == 128)
                return 1;
        return rtnl_addr_get_flags(a) & IFA_F_PERMANENT ? 3 : 2;
}

bool machine_has_ipv6(void) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        return file_read("/proc/sys/net/ipv6/conf/default/disable_ipv6", 16, &text, &n) >= 0 &&
               text[0] == '0';
}

static int link_of(struct nl_cache *addresses, const char *node_ip) {
        for (struct nl_object *o = nl_cache_get_first(addresses); o; o = nl_cache_get_next(o)) {
                struct rtnl_addr *a = (struct rtnl_addr *)o;
                char text[16];

                if (address_of_link(a, rtnl_addr_get_ifindex(a), text) && streq(text, node_ip))
                        return rtnl_addr_get_ifindex(a);
        }
        return -ENODEV;
}

/* The best address of IPv6 of a link (0: of the links that are not ours). */
static bool best_address(
                struct nl_cache *addresses, int index, char ret[static ADDRESS_TEXT_SIZE]) {
        int best = 0;

        for (struct nl_object *o = nl_cache_get_first(addresses); o; o = nl_cache_get_next(o)) {
                struct rtnl_addr *a = (struct rtnl_addr *)o;
                char text[64], name[IF_NAMESIZE] = "lo";

                if ((index > 0 && rtnl_addr_get_ifindex(a) != index) || rate(a) <= best)
                        continue;
                (void)if_indextoname((unsigned)rtnl_addr_get_ifindex(a), name);
                if (streq(name, "lo") || startswith(name, NETWORK_LINK_PREFIX) ||
                                startswith(name, NETWORK_POD_LINK_PREFIX))
                        continue;
                nl_addr2str(rtnl_addr_get_local(a), text, sizeof(text));
                text[strcspn(text, "/")] = 0;
                snprintf(ret, ADDRESS_TEXT_SIZE, "%.45s", text);
                best = rate(a);
        }
        return best > 0;
}

int machine_address_second(const char *node_ip, char ret[static ADDRESS_TEXT_SIZE]) {
        _cleanup_(nl_socket_freep) struct nl_sock *s = NULL;
        _cleanup_(nl_cache_freep) struct nl_cache *addresses = NULL;
        int index, r = netlink_open(&s);

        if (r < 0)
                return r;
        r = rtnl_addr_alloc_cache(s, &addresses);
        if (r < 0)
                return netlink_errno(r);
        index = link_of(addresses, node_ip);
        if (index < 0)
                return index;
        return best_address(addresses, index, ret) ? 0 : -ENODEV;
}

/* The link of a default route of IPv6; 0: there is none. */
static int default_link(struct nl_cache *routes) {
        for (struct nl_object *o = nl_cache_get_first(routes); o; o = nl_cache_get_next(o)) {
                struct rtnl_route *route = (struct rtnl_route *)o;
                struct rtnl_nexthop *hop = first_hop(route);
                struct nl_addr *destination = rtnl_route_get_dst(route);

                if (hop && destination && nl_addr_get_prefixlen(destination) == 0 &&
                                rtnl_route_get_table(route) == RT_TABLE_MAIN)
                        return rtnl_route_nh_get_ifindex(hop);
        }
        return 0;
}

int machine_address_ipv6(char ret[static ADDRESS_TEXT_SIZE]) {
        _cleanup_(nl_socket_freep) struct nl_sock *s = NULL;
        _cleanup_(nl_cache_freep) struct nl_cache *routes = NULL, *addresses = NULL;
        int index, r = netlink_open(&s);

        if (r < 0)
                return r;
        r = rtnl_route_alloc_cache(s, AF_INET6, 0, &routes);
        if (r < 0)
                return netlink_errno(r);
        r = rtnl_addr_alloc_cache(s, &addresses);
        if (r < 0)
                return netlink_errno(r);
        index = default_link(routes);
        return (index > 0 && best_address(addresses, index, ret)) ||
                                               best_address(addresses, 0, ret)
                               ? 0
                               : -ENODEV;
}
