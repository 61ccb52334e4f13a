/* One question to the kernel for each link, and one for all routes. IPv4 and IPv6 alike. */
#include "nodeagent/network/network-check.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include "nodeagent/network/network.h"

static bool is_address(struct rtnl_addr *a, int index, const char *address) {
        char text[64];

        if (rtnl_addr_get_ifindex(a) != index || !rtnl_addr_get_local(a))
                return false;
        nl_addr2str(rtnl_addr_get_local(a), text, sizeof(text));
        text[strcspn(text, "/")] = 0;
        return streq(text, address);
}

/* 1 when the link has it. */
static int has_address(struct nl_sock *s, int index, const char *address) {
        _cleanup_(nl_cache_freep) struct nl_cache *cache = NULL;
        int r = rtnl_addr_alloc_cache(s, &cache);

        if (r < 0)
                return netlink_errno(r);
        for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o))
                if (is_address((struct rtnl_addr *)o, index, address))
                        return 1;
        return 0;
}

static int found(char **ret, char *text) {
        *ret = text;
        return text ? 1 : -ENOMEM;
}

int network_check_link(struct nl_sock *s, const char *name, const char *address, char **ret) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
        int r = rtnl_link_get_kernel(s, 0, name, &link);

        if (r < 0)
                return found(ret, strformat("the link %s was removed", name));
        if (!(rtnl_link_get_flags(link) & IFF_UP))
                return found(ret, strformat("the link %s was switched off", name));
        if (!*address)
                return 0;
        r = has_address(s, rtnl_link_get_ifindex(link), address);
        if (r != 0)
                return MIN(r, 0);
        return found(ret, strformat("the address %s of the link %s was removed", address, name));
}

static bool is_route(struct rtnl_route *route, const char *destination) {
        char text[64];

        if (rtnl_route_get_protocol(route) != NETWORK_ROUTE_PROTOCOL)
                return false;
        nl_addr2str(rtnl_route_get_dst(route), text, sizeof(text));
        return streq(text, destination);
}

static bool has_route(struct nl_cache *cache, const char *destination) {
        for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o))
                if (is_route((struct rtnl_route *)o, destination))
                        return true;
        return false;
}

int network_check_routes(struct nl_sock *s, const struct map *destinations, char **ret) {
        _cleanup_(nl_cache_freep) struct nl_cache *cache = NULL;
        int r = rtnl_route_alloc_cache(s, AF_UNSPEC, 0, &cache);

        if (r < 0)
                return netlink_errno(r);
        map_foreach (destinations, e)
                if (!has_route(cache, map_entry_key(e)))
                        return found(ret,
                                        strformat("the route to %s was removed", map_entry_key(e)));
        return 0;
}
