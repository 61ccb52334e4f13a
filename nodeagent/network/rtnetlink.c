/* See rtnetlink.h. */
#include "nodeagent/network/rtnetlink.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/tbf.h>
#include <netlink/route/tc.h>

#include "nodeagent/network/network.h"

enum { UNREACHABLE_METRIC = 0x7fffff00 };

int netlink_errno(int error) {
        switch (error < 0 ? -error : error) {
        case 0:
                return 0;
        case NLE_EXIST:
                return -EEXIST;
        case NLE_OBJ_NOTFOUND:
        case NLE_NODEV:
                return -ENODEV;
        case NLE_PERM:
                return -EPERM;
        case NLE_NOMEM:
                return -ENOMEM;
        case NLE_INVAL:
                return -EINVAL;
        default:
                return -EIO;
        }
}

int netlink_open(struct nl_sock **ret) {
        struct nl_sock *s = nl_socket_alloc();
        int r;

        if (!s)
                return -ENOMEM;
        r = nl_connect(s, NETLINK_ROUTE);
        if (r < 0) {
                nl_socket_free(s);
                return netlink_errno(r);
        }
        *ret = s;
        return 0;
}

int netlink_link_index(struct nl_sock *s, const char *name) {
        struct rtnl_link *link = NULL;
        int r = rtnl_link_get_kernel(s, 0, name, &link);

        if (r < 0)
                return netlink_errno(r);
        r = rtnl_link_get_ifindex(link);
        rtnl_link_put(link);
        return r;
}

int netlink_link_up(struct nl_sock *s, int index, unsigned mtu) {
        struct rtnl_link *link = rtnl_link_alloc(), *change = rtnl_link_alloc();
        int r = -NLE_NOMEM;

        if (link && change) {
                rtnl_link_set_ifindex(link, index);
                rtnl_link_set_flags(change, IFF_UP);
                if (mtu > 0)
                        rtnl_link_set_mtu(change, mtu);
                r = rtnl_link_change(s, link, change, 0);
        }
        rtnl_link_put(link);
        rtnl_link_put(change);
        return netlink_errno(r);
}

int netlink_address_add(struct nl_sock *s, int index, const char *text) {
        _cleanup_(rtnl_addr_putp) struct rtnl_addr *address = rtnl_addr_alloc();
        _cleanup_(nl_addr_putp) struct nl_addr *local = NULL;
        int r;

        if (!address)
                return -ENOMEM;
        r = nl_addr_parse(text, strchr(text, ':') ? AF_INET6 : AF_INET, &local);
        if (r < 0)
                return netlink_errno(r);
        rtnl_addr_set_ifindex(address, index);
        /* The addresses of pods and gateways are given once: nobody has to be asked for a second.
         */
        if (nl_addr_get_family(local) == AF_INET6)
                rtnl_addr_set_flags(address, IFA_F_NODAD);
        r = rtnl_addr_set_local(address, local);
        if (r < 0)
                return netlink_errno(r);
        return netlink_errno(rtnl_addr_add(s, address, NLM_F_CREATE | NLM_F_REPLACE));
}

int netlink_limit_rate(struct nl_sock *s, int index, const struct token_bucket *bucket) {
        struct rtnl_qdisc *q = rtnl_qdisc_alloc();
        int r;

        if (!q)
                return -ENOMEM;
        rtnl_tc_set_ifindex(TC_CAST(q), index);
        rtnl_tc_set_parent(TC_CAST(q), TC_H_ROOT);
        rtnl_tc_set_handle(TC_CAST(q), TC_HANDLE(1, 0));
        r = rtnl_tc_set_kind(TC_CAST(q), "tbf");
        if (r >= 0) {
                rtnl_qdisc_tbf_set_rate(q, bucket->rate, bucket->bytes, 0);
                rtnl_qdisc_tbf_set_limit(q, bucket->queue_bytes);
                r = rtnl_qdisc_add(s, q, NLM_F_CREATE | NLM_F_REPLACE);
        }
        rtnl_qdisc_put(q);
        return netlink_errno(r);
}

static int family_of(const struct netlink_route *route) {
        const char *some = route->destination ? route->destination : route->gateway;

        return some && strchr(some, ':') ? AF_INET6 : AF_INET;
}

/* *ret is NULL for NULL, else the parsed address; the caller puts it. */
static int parse_nl_address(const char *text, int family, struct nl_addr **ret) {
        *ret = NULL;
        return text ? nl_addr_parse(text, family, ret) : 0;
}

static int route_set_addresses(struct rtnl_route *o, const struct netlink_route *route) {
        _cleanup_(nl_addr_putp) struct nl_addr *destination = NULL, *source = NULL;
        int family = family_of(route);
        const char *all = family == AF_INET6 ? "::/0" : "0.0.0.0/0";
        int r = parse_nl_address(
                        route->destination ? route->destination : all, family, &destination);

        if (r < 0)
                return r;
        r = parse_nl_address(route->source, family, &source);
        if (r < 0)
                return r;
        r = rtnl_route_set_dst(o, destination);
        if (r < 0)
                return r;
        return source ? rtnl_route_set_pref_src(o, source) : 0;
}

static int route_set_hop(struct rtnl_route *o, const struct netlink_route *route) {
        struct rtnl_nexthop *hop;
        struct nl_addr *gateway;
        int r = parse_nl_address(route->gateway, family_of(route), &gateway);

        if (r < 0)
                return r;
        hop = rtnl_route_nh_alloc();
        if (hop) {
                if (route->index > 0)
                        rtnl_route_nh_set_ifindex(hop, route->index);
                if (gateway)
                        rtnl_route_nh_set_gateway(hop, gateway);
                if (route->onlink)
                        rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
                rtnl_route_add_nexthop(o, hop);
        }
        nl_addr_put(gateway);
        return hop ? 0 : -NLE_NOMEM;
}

static int route_fill(struct rtnl_route *o, const struct netlink_route *route) {
        int r;

        rtnl_route_set_family(o, family_of(route));
        rtnl_route_set_table(o, RT_TABLE_MAIN);
        rtnl_route_set_protocol(o, NETWORK_ROUTE_PROTOCOL);
        rtnl_route_set_type(o, route->unreachable ? RTN_UNREACHABLE : RTN_UNICAST);
        rtnl_route_set_scope(o,
                        route->gateway || route->unreachable ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
        r = route_set_addresses(o, route);
        if (r < 0)
                return r;
        if (!route->unreachable)
                return route_set_hop(o, route);
        rtnl_route_set_priority(o, UNREACHABLE_METRIC);
        return 0;
}

int netlink_route_add(struct nl_sock *s, const struct netlink_route *route) {
        _cleanup_(rtnl_route_putp) struct rtnl_route *o = rtnl_route_alloc();
        int r = o ? route_fill(o, route) : -NLE_NOMEM;

        if (r < 0)
                return netlink_errno(r);
        return netlink_errno(rtnl_route_add(s, o, NLM_F_CREATE | NLM_F_REPLACE));
}

int netlink_route_remove(struct nl_sock *s, const struct netlink_route *route) {
        _cleanup_(rtnl_route_putp) struct rtnl_route *o = rtnl_route_alloc();
        int r = o ? route_fill(o, route) : -NLE_NOMEM;

        return netlink_errno(r < 0 ? r : rtnl_route_delete(s, o, 0));
}
