/* The kernel is asked for all routes only when nothing is known of the last call: with thousands of
 * nodes each question and each route take long, and a new node changes one of them. */
#include "nodeagent/network/near-routes.h"

#include <linux/rtnetlink.h>

#include "lib/log.h"
#include "nodeagent/network/network.h"
#include "nodeagent/network/rtnetlink.h"

static struct rtnl_nexthop *first_hop(struct rtnl_route *route) {
        return rtnl_route_get_nnexthops(route) > 0 ? rtnl_route_nexthop_n(route, 0) : NULL;
}

static void route_gateway(struct rtnl_route *route, char *text, size_t n) {
        struct rtnl_nexthop *hop = first_hop(route);
        struct nl_addr *gateway = hop ? rtnl_route_nh_get_gateway(hop) : NULL;

        text[0] = 0;
        if (gateway)
                nl_addr2str(gateway, text, n);
}

/* Removes the routes of a family through a gateway that are not wanted. */
static int remove_of_family(
                struct nl_sock *s, int family, const struct map *routes, int overlay) {
        struct nl_cache *cache;
        int r = rtnl_route_alloc_cache(s, family, 0, &cache);

        if (r < 0)
                return netlink_errno(r);
        for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
                struct rtnl_route *route = (struct rtnl_route *)o;
                char destination[64], gateway[64];
                const char *want;

                if (rtnl_route_get_protocol(route) != NETWORK_ROUTE_PROTOCOL ||
                                rtnl_route_get_table(route) != RT_TABLE_MAIN)
                        continue;
                route_gateway(route, gateway, sizeof(gateway));
                if (!*gateway || rtnl_route_nh_get_ifindex(first_hop(route)) == overlay)
                        continue;
                nl_addr2str(rtnl_route_get_dst(route), destination, sizeof(destination));
                want = map_get(routes, destination);
                if (!want || !streq(want, gateway))
                        (void)rtnl_route_delete(s, route, 0);
        }
        nl_cache_free(cache);
        return 0;
}

static bool is_same_route(const struct map *routes, struct map_entry *e) {
        return streq_ptr(map_get(routes, map_entry_key(e)), map_entry_value(e));
}

/* What the last call set is not looked for again: with thousands of nodes each question takes long.
 */
static int remove_changed(
                const struct near_routes *n, struct nl_sock *s, const struct map *routes) {
        int result = 0;

        map_foreach (n->set, e) {
                struct netlink_route route = {
                                .destination = map_entry_key(e), .gateway = map_entry_value(e)};
                int r = is_same_route(routes, e) ? 0 : netlink_route_remove(s, &route);

                if (r < 0 && r != -ENODEV)
                        result = r;
        }
        return result;
}

static int remove_others(
                struct near_routes *n, struct nl_sock *s, const struct map *routes, int overlay) {
        int r;

        if (n->set && remove_changed(n, s, routes) >= 0)
                return 0;
        n->set = map_free(n->set);
        r = remove_of_family(s, AF_INET, routes, overlay);
        if (r < 0)
                return r;
        /* A kernel without IPv6 has none of its routes. */
        (void)remove_of_family(s, AF_INET6, routes, overlay);
        return 0;
}

int near_routes_set(struct near_routes *n, struct nl_sock *s, struct map **routes, int overlay) {
        int r = remove_others(n, s, *routes, overlay), result = 0;

        if (r < 0)
                return r;
        map_foreach (*routes, e) {
                struct netlink_route route = {
                                .destination = map_entry_key(e), .gateway = map_entry_value(e)};

                if (n->set && is_same_route(n->set, e))
                        continue;
                r = netlink_route_add(s, &route);
                if (r < 0)
                        result = log_warning_errno(r,
                                        "Cannot add the route to the pods %s through %s",
                                        route.destination, route.gateway);
        }
        near_routes_done(n);
        if (result >= 0)
                n->set = TAKE_PTR(*routes);
        return result;
}

void near_routes_done(struct near_routes *n) {
        n->set = map_free(n->set);
}
