/* What the files of this folder share of libnl: links, addresses and routes of both families, one
 * request a function. */
#pragma once

#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>

#include "nodeagent/network/bandwidth.h"

DEFINE_CLEANUP(struct nl_sock *, nl_socket_free);
DEFINE_CLEANUP(struct nl_cache *, nl_cache_free);
DEFINE_CLEANUP(struct nl_addr *, nl_addr_put);
DEFINE_CLEANUP(struct rtnl_addr *, rtnl_addr_put);
DEFINE_CLEANUP(struct rtnl_link *, rtnl_link_put);
DEFINE_CLEANUP(struct rtnl_route *, rtnl_route_put);

/* A negative errno for an error of libnl, either sign. */
int netlink_errno(int error);
/* A connected socket; the caller frees it. */
int netlink_open(struct nl_sock **ret);
/* The index of the link of that name; -ENODEV. */
int netlink_link_index(struct nl_sock *s, const char *name);
/* mtu: its largest packet; 0: as it is. */
int netlink_link_up(struct nl_sock *s, int index, unsigned mtu);
/* text: "10.244.3.1", "fd00:10:244:3::1", or with a prefix's length. -EEXIST. */
int netlink_address_add(struct nl_sock *s, int index, const char *text);

struct netlink_route {
        const char *destination; /* NULL: default, of the gateway's family */
        const char *gateway;     /* NULL: on the link */
        const char *source;      /* preferred source; NULL: none */
        int index;               /* of the link, or 0 */
        bool unreachable;
        bool onlink; /* the gateway is reachable over the link, whatever the addresses say */
};

/* Limits what leaves through the link. bytes: of the bucket; queue_bytes: of packets that wait. */
int netlink_limit_rate(struct nl_sock *s, int index, const struct token_bucket *bucket);
/* Adds or replaces a route with our protocol (network.h). */
int netlink_route_add(struct nl_sock *s, const struct netlink_route *route);
/* -ENODEV: it is not there. */
int netlink_route_remove(struct nl_sock *s, const struct netlink_route *route);
