/* For each far range three entries: it is behind a gateway on the link (the first address of the
 * range, which no pod has; for IPv6 a link-local one that is made from the node's address), the
 * gateway has the hardware address of the node, and packets to that go to the node's address. The
 * outer packets are of the family of this node's address. */
#include "nodeagent/network/overlay.h"

#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/link/vxlan.h>
#include <netlink/route/neighbour.h>

#include "lib/address.h"
#include "lib/crypto.h"
#include "lib/log.h"
#include "lib/vector.h"
#include "nodeagent/network/network.h"
#include "nodeagent/network/node-address.h"
#include "nodeagent/network/rtnetlink.h"

enum { MTU_DEFAULT = 1500, MTU_MIN = 576, MTU_MAX = 65535, HARDWARE_SIZE = 6 };

struct overlay {
        struct nl_sock *socket;
        char node_ip[ADDRESS_TEXT_SIZE];
        int index; /* of the link, 0: there is none */
        unsigned uplink_mtu;
        struct map *routes; /* as last set: range -> address of the node */
};

DEFINE_CLEANUP(struct rtnl_neigh *, rtnl_neigh_put);

int overlay_new(struct overlay **ret, const char *node_ip) {
        _cleanup_(overlay_freep) struct overlay *o = calloc(1, sizeof(*o));
        int r;

        if (!o)
                return -ENOMEM;
        snprintf(o->node_ip, sizeof(o->node_ip), "%s", node_ip);
        o->uplink_mtu = MTU_DEFAULT;
        o->routes = map_new(free);
        if (!o->routes)
                return -ENOMEM;
        r = netlink_open(&o->socket);
        if (r < 0)
                return r;
        r = netlink_link_index(o->socket, OVERLAY_DEVICE);
        o->index = MAX(r, 0);
        *ret = TAKE_PTR(o);
        return 0;
}

struct overlay *overlay_free(struct overlay *o) {
        if (!o)
                return NULL;
        nl_socket_free(o->socket);
        map_free(o->routes);
        free(o);
        return NULL;
}

static enum ip_family outer_family(const struct overlay *o) {
        return strchr(o->node_ip, ':') ? FAMILY_IPV6 : FAMILY_IPV4;
}

/* What the outer headers take of a packet. */
static unsigned outer_bytes(const struct overlay *o) {
        return outer_family(o) == FAMILY_IPV6 ? OVERLAY_BYTES6 : OVERLAY_BYTES;
}

int overlay_index(const struct overlay *o) {
        return o ? o->index : 0;
}

unsigned overlay_pod_mtu(const struct overlay *o) {
        return o->uplink_mtu - (map_size(o->routes) > 0 ? outer_bytes(o) : 0);
}

/* ---- which nodes are far ---- */

bool overlay_is_far(const char *const *networks, size_t count, const char *address) {
        struct address a = address_parse(address);
        struct address_range range;

        for (size_t i = 0; i < count; i++)
                if (address_range_parse(networks[i], &range) >= 0 && address_range_has(&range, &a))
                        return false;
        return a.size > 0;
}

/* The networks of the machine's links but ours and loopback. */
struct networks {
        char **items;
        size_t count, allocated;
};

static void networks_done(struct networks *n) {
        for (size_t i = 0; i < n->count; i++)
                free(n->items[i]);
        vector_done(n);
}

static void learn_mtu(struct overlay *o, int index) {
        struct rtnl_link *link = NULL;

        if (rtnl_link_get_kernel(o->socket, index, NULL, &link) < 0)
                return;
        o->uplink_mtu = MIN(rtnl_link_get_mtu(link), (unsigned)MTU_MAX);
        o->uplink_mtu = MAX(o->uplink_mtu, (unsigned)MTU_MIN);
        rtnl_link_put(link);
}

static int learn_address(struct overlay *o, struct rtnl_addr *a, struct networks *networks) {
        char text[64], name[IF_NAMESIZE] = "", *copy;
        int index = rtnl_addr_get_ifindex(a);
        size_t n;

        if ((rtnl_addr_get_family(a) != AF_INET && rtnl_addr_get_family(a) != AF_INET6) ||
                        !rtnl_addr_get_local(a) || rtnl_addr_get_scope(a) == RT_SCOPE_LINK ||
                        !if_indextoname((unsigned)index, name) || streq(name, "lo") ||
                        startswith(name, NETWORK_LINK_PREFIX))
                return 0;
        nl_addr2str(rtnl_addr_get_local(a), text, sizeof(text));
        n = strcspn(text, "/");
        if (strncmp(text, o->node_ip, n) == 0 && !o->node_ip[n])
                learn_mtu(o, index);
        copy = strdup(text);
        if (copy && vector_append(networks, copy) >= 0)
                return 0;
        free(copy);
        return -ENOMEM;
}

static int learn_networks(struct overlay *o, struct networks *networks) {
        _cleanup_(nl_cache_freep) struct nl_cache *cache = NULL;
        int r = rtnl_addr_alloc_cache(o->socket, &cache);

        if (r < 0)
                return netlink_errno(r);
        for (struct nl_object *a = nl_cache_get_first(cache); a; a = nl_cache_get_next(a)) {
                r = learn_address(o, (struct rtnl_addr *)a, networks);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put(struct map *map, const char *range, const char *address) {
        char *copy = strdup(address);
        int r = copy ? map_set(map, range, copy) : -ENOMEM;

        if (r < 0)
                free(copy);
        return r;
}

int overlay_divide(struct overlay *o, const struct map *routes, struct map *near, struct map *far) {
        _cleanup_(networks_done) struct networks networks = {0};
        int r = learn_networks(o, &networks);

        if (r < 0)
                return r;
        map_foreach (routes, e) {
                const struct node_addresses a = node_addresses_read(map_entry_value(e));
                const char *range = map_entry_key(e), *outer = a.text[outer_family(o)],
                           *gateway = a.text[strchr(range, ':') ? FAMILY_IPV6 : FAMILY_IPV4];
                bool is_near = *gateway && !overlay_is_far((const char *const *)networks.items,
                                                           networks.count, gateway);

                if (!is_near && !*outer)
                        continue;
                r = is_near ? put(near, range, gateway) : put(far, range, outer);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the link ---- */

/* The hardware address of a node's end: locally administered, then 'k' and the node's address, or a
 * part of the digest of one of IPv6. False when that is no address, or out of memory. */
static bool hardware_octets(const char *node_ip, unsigned char ret[static HARDWARE_SIZE]) {
        const struct address a = address_parse(node_ip);
        _cleanup_(sha256_freep) struct sha256 *hash = NULL;
        uint8_t digest[SHA256_SIZE];

        ret[0] = 0x02;
        ret[1] = 'k';
        if (a.size == 4)
                memcpy(ret + 2, a.octets, 4);
        else if (a.size == 16) {
                hash = sha256_new();
                if (!hash)
                        return false;
                sha256_add(hash, a.octets, a.size);
                sha256_take(hash, digest);
                memcpy(ret + 1, digest, HARDWARE_SIZE - 1);
        }
        return a.size > 0;
}

static struct nl_addr *hardware_of(const char *node_ip) {
        unsigned char octets[HARDWARE_SIZE];

        return hardware_octets(node_ip, octets) ? nl_addr_build(AF_LLC, octets, sizeof(octets))
                                                : NULL;
}

static struct rtnl_link *link_wanted(struct overlay *o) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = rtnl_link_vxlan_alloc();
        _cleanup_(nl_addr_putp) struct nl_addr *hardware = hardware_of(o->node_ip), *local = NULL;

        if (!link || !hardware || nl_addr_parse(o->node_ip, AF_UNSPEC, &local) < 0)
                return NULL;
        rtnl_link_set_name(link, OVERLAY_DEVICE);
        rtnl_link_set_addr(link, hardware);
        rtnl_link_set_mtu(link, o->uplink_mtu - outer_bytes(o));
        if (rtnl_link_vxlan_set_id(link, OVERLAY_ID) < 0 ||
                        rtnl_link_vxlan_set_local(link, local) < 0 ||
                        rtnl_link_vxlan_set_port(link, OVERLAY_PORT) < 0 ||
                        rtnl_link_vxlan_disable_learning(link) < 0)
                return NULL;
        return TAKE_PTR(link);
}

/* Whether the link that is there has this node's address. */
static bool link_is_ours(struct overlay *o) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
        _cleanup_(nl_addr_putp) struct nl_addr *hardware = hardware_of(o->node_ip);

        return rtnl_link_get_kernel(o->socket, 0, OVERLAY_DEVICE, &link) >= 0 && hardware &&
               rtnl_link_is_vxlan(link) && rtnl_link_get_addr(link) &&
               nl_addr_cmp(rtnl_link_get_addr(link), hardware) == 0 &&
               rtnl_link_get_mtu(link) == o->uplink_mtu - outer_bytes(o);
}

static int remove_link(struct overlay *o) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = rtnl_link_alloc();
        int r;

        o->index = 0;
        if (!link)
                return -ENOMEM;
        rtnl_link_set_name(link, OVERLAY_DEVICE);
        r = netlink_errno(rtnl_link_delete(o->socket, link));
        return r == -ENODEV ? 0 : r;
}

static int ensure_link(struct overlay *o) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
        int r;

        if (!link_is_ours(o)) {
                (void)remove_link(o);
                link = link_wanted(o);
                if (!link)
                        return -ENOMEM;
                r = netlink_errno(rtnl_link_add(o->socket, link, NLM_F_CREATE | NLM_F_EXCL));
                if (r < 0)
                        return r;
        }
        o->index = netlink_link_index(o->socket, OVERLAY_DEVICE);
        if (o->index < 0) {
                r = o->index;
                o->index = 0;
                return r;
        }
        return netlink_link_up(o->socket, o->index, 0);
}

/* ---- its entries ---- */

/* A neighbour of the link (family AF_INET, AF_INET6: the gateway's hardware address; AF_BRIDGE:
 * where packets to that go). NULL when out of memory or for an address that cannot be read. */
static struct rtnl_neigh *neighbour(
                struct overlay *o, int family, const char *address, const char *node_ip) {
        _cleanup_(rtnl_neigh_putp) struct rtnl_neigh *n = rtnl_neigh_alloc();
        _cleanup_(nl_addr_putp) struct nl_addr *hardware = hardware_of(node_ip), *to = NULL;

        if (!n || !hardware ||
                        nl_addr_parse(address, strchr(address, ':') ? AF_INET6 : AF_INET, &to) < 0)
                return NULL;
        rtnl_neigh_set_ifindex(n, o->index);
        rtnl_neigh_set_lladdr(n, hardware);
        if (rtnl_neigh_set_dst(n, to) < 0)
                return NULL;
        rtnl_neigh_set_family(n, family);
        rtnl_neigh_set_state(n, NUD_PERMANENT | (family == AF_BRIDGE ? NUD_NOARP : 0));
        if (family == AF_BRIDGE)
                rtnl_neigh_set_flags(n, NTF_SELF);
        return TAKE_PTR(n);
}

static int put_neighbour(
                struct overlay *o, int family, const char *address, const char *node_ip, bool add) {
        _cleanup_(rtnl_neigh_putp) struct rtnl_neigh *n = neighbour(o, family, address, node_ip);

        if (!n)
                return -EINVAL;
        return netlink_errno(add ? rtnl_neigh_add(o->socket, n, NLM_F_CREATE | NLM_F_REPLACE)
                                 : rtnl_neigh_delete(o->socket, n, 0));
}

/* "10.244.2.0/24" -> "10.244.2.0"; of a range of IPv6 "fe80::10.98.2.12", of the node, or one with
 * the node's hardware address. Caller frees.
 */
static char *gateway_of(const char *cidr, const char *node_ip) {
        unsigned char o[HARDWARE_SIZE];

        if (!strchr(cidr, ':'))
                return strndup(cidr, strcspn(cidr, "/"));
        if (!strchr(node_ip, ':'))
                return strformat("fe80::%s", node_ip);
        return hardware_octets(node_ip, o) ? strformat("fe80::%02x%02x:%02x%02x:%02x%02x", o[0],
                                                             o[1], o[2], o[3], o[4], o[5])
                                           : NULL;
}

static int put_gateway(struct overlay *o, const char *cidr, const char *node_ip, bool add) {
        _cleanup_free_ char *gateway = gateway_of(cidr, node_ip);

        if (!gateway)
                return -ENOMEM;
        return put_neighbour(o, strchr(cidr, ':') ? AF_INET6 : AF_INET, gateway, node_ip, add);
}

static int add_far(struct overlay *o, const char *cidr, const char *node_ip, const char *source) {
        _cleanup_free_ char *gateway = gateway_of(cidr, node_ip);
        struct netlink_route route = {.destination = cidr,
                        .gateway = gateway,
                        .source = *source ? source : NULL,
                        .index = o->index,
                        .onlink = !strchr(cidr, ':')};
        int r;

        if (!gateway)
                return -ENOMEM;
        r = put_gateway(o, cidr, node_ip, true);
        if (r < 0)
                return r;
        r = put_neighbour(o, AF_BRIDGE, node_ip, node_ip, true);
        if (r < 0)
                return r;
        return netlink_route_add(o->socket, &route);
}

/* Routes of the link that nobody wants. */
static int remove_routes(struct overlay *o, int family, const struct map *far) {
        _cleanup_(nl_cache_freep) struct nl_cache *cache = NULL;
        int r = rtnl_route_alloc_cache(o->socket, family, 0, &cache);

        if (r < 0)
                return netlink_errno(r);
        for (struct nl_object *i = nl_cache_get_first(cache); i; i = nl_cache_get_next(i)) {
                struct rtnl_route *route = (struct rtnl_route *)i;
                struct rtnl_nexthop *hop = rtnl_route_get_nnexthops(route) > 0
                                                           ? rtnl_route_nexthop_n(route, 0)
                                                           : NULL;
                char destination[64];

                if (!hop || rtnl_route_nh_get_ifindex(hop) != o->index ||
                                rtnl_route_get_protocol(route) != NETWORK_ROUTE_PROTOCOL)
                        continue;
                nl_addr2str(rtnl_route_get_dst(route), destination, sizeof(destination));
                if (!map_get(far, destination))
                        (void)rtnl_route_delete(o->socket, route, 0);
        }
        return 0;
}

/* The entries of nodes that are gone or near now, and of those that have another address. */
static void remove_neighbours(struct overlay *o, const struct map *far) {
        map_foreach (o->routes, e) {
                const char *now = map_get(far, map_entry_key(e)), *before = map_entry_value(e);

                if (now && streq(now, before))
                        continue;
                (void)put_gateway(o, map_entry_key(e), before, false);
                (void)put_neighbour(o, AF_BRIDGE, before, before, false);
        }
}

static int remember(struct overlay *o, const struct map *far) {
        map_clear(o->routes);
        map_foreach (far, e) {
                int r = put(o->routes, map_entry_key(e), map_entry_value(e));

                if (r < 0)
                        return r;
        }
        return 0;
}

int overlay_set_routes(
                struct overlay *o, const struct map *far, const char *const sources[FAMILIES]) {
        int r, result;

        if (map_size(far) == 0) {
                map_clear(o->routes);
                return o->index > 0 ? remove_link(o) : 0;
        }
        r = ensure_link(o);
        if (r < 0)
                return log_warning_errno(r,
                                "Cannot make the link " OVERLAY_DEVICE " (VXLAN); pods of nodes on "
                                "other networks are not reached");
        if (map_size(o->routes) == 0)
                log_info("Nodes on other networks: their pods are reached by VXLAN, and pods here "
                         "send packets of up to %u bytes",
                                o->uplink_mtu - outer_bytes(o));
        remove_neighbours(o, far);
        result = remove_routes(o, AF_INET, far);
        (void)remove_routes(o, AF_INET6, far);
        map_foreach (far, e) {
                bool six = strchr(map_entry_key(e), ':') != NULL;

                r = add_far(o, map_entry_key(e), map_entry_value(e), sources[six]);
                if (r < 0)
                        result = log_warning_errno(r,
                                        "Cannot reach the pods %s of the node %s by VXLAN",
                                        map_entry_key(e), (const char *)map_entry_value(e));
        }
        r = remember(o, far);
        return r < 0 ? r : result;
}
