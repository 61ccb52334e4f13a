/* Routed veths: the host's end has a /32 route to the pod, the pod's default route leads to the
 * gateway address that lies on the dummy device keelson0 (the kernel answers ARP for it on every
 * link). There is no bridge, so neither bridge netfilter settings nor hairpin modes matter: all
 * traffic of a pod is routed through the host and sees its nftables rules. */
#include "nodeagent/network/network.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "nodeagent/network/carried.h"

#define NETNS_DIR "/run/netns"
#define NETNS_PREFIX "kpod-"
#define GATEWAY_DEVICE "keelson0"
#define SERVICE_DEVICE "keelson-svc"
#define VETH_PREFIX "kp"

enum {
        ROUTE_PROTOCOL = NETWORK_ROUTE_PROTOCOL,
        UNREACHABLE_METRIC = 0x7fffff00,
};

struct network {
        struct nl_sock *socket;
        char node_ip[16];
        char service_cidr[24];
        char pod_cidr[24];
        char gateway[16];
        struct map *routes; /* to the pods of other nodes, as last set */
};

DEFINE_CLEANUP(struct nl_sock *, nl_socket_free);
DEFINE_CLEANUP(struct nl_cache *, nl_cache_free);
DEFINE_CLEANUP(struct nl_addr *, nl_addr_put);
DEFINE_CLEANUP(struct rtnl_addr *, rtnl_addr_put);
DEFINE_CLEANUP(struct rtnl_link *, rtnl_link_put);
DEFINE_CLEANUP(struct rtnl_route *, rtnl_route_put);

static int nl_errno(int error) {
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

static int write_sysctl(const char *path, const char *value) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

/* "net.ipv4.tcp_rmem" or "net/ipv4/conf/eth0.1/rp_filter" -> its file; NULL when it is not the name
 * of a network setting. Caller frees. */
static char *sysctl_path(const char *name) {
        bool slashes = name[strcspn(name, "./")] == '/';
        _cleanup_free_ char *path = strformat("/proc/sys/%s", name);
        char *s = path ? path + strlen("/proc/sys/") : NULL;

        if (!path || (!startswith(name, "net.") && !startswith(name, "net/")))
                return NULL;
        for (; *s && !slashes; s++)
                if (*s == '.' || *s == '/')
                        *s = *s == '.' ? '/' : '.';
        if (strstr(path, "/../") || strstr(path, "//") || endswith(path, "/") ||
                        endswith(path, "/.."))
                return NULL;
        return TAKE_PTR(path);
}

static int open_socket(struct nl_sock **ret) {
        struct nl_sock *s = nl_socket_alloc();
        int r;

        if (!s)
                return -ENOMEM;
        r = nl_connect(s, NETLINK_ROUTE);
        if (r < 0) {
                nl_socket_free(s);
                return nl_errno(r);
        }
        *ret = s;
        return 0;
}

static int link_index(struct nl_sock *s, const char *name) {
        struct rtnl_link *link = NULL;
        int r = rtnl_link_get_kernel(s, 0, name, &link);

        if (r < 0)
                return nl_errno(r);
        r = rtnl_link_get_ifindex(link);
        rtnl_link_put(link);
        return r;
}

static int link_up(struct nl_sock *s, int index) {
        struct rtnl_link *link = rtnl_link_alloc(), *change = rtnl_link_alloc();
        int r = -NLE_NOMEM;

        if (link && change) {
                rtnl_link_set_ifindex(link, index);
                rtnl_link_set_flags(change, IFF_UP);
                r = rtnl_link_change(s, link, change, 0);
        }
        rtnl_link_put(link);
        rtnl_link_put(change);
        return nl_errno(r);
}

static int address_add(struct nl_sock *s, int index, const char *text) {
        _cleanup_(rtnl_addr_putp) struct rtnl_addr *address = rtnl_addr_alloc();
        _cleanup_(nl_addr_putp) struct nl_addr *local = NULL;
        int r;

        if (!address)
                return -ENOMEM;
        r = nl_addr_parse(text, AF_INET, &local);
        if (r < 0)
                return nl_errno(r);
        rtnl_addr_set_ifindex(address, index);
        r = rtnl_addr_set_local(address, local);
        if (r < 0)
                return nl_errno(r);
        return nl_errno(rtnl_addr_add(s, address, NLM_F_CREATE | NLM_F_REPLACE));
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

/* Other addresses on our own device are left over from another range. */
static void address_flush(struct nl_sock *s, int index, const char *keep) {
        struct nl_cache *cache;

        if (rtnl_addr_alloc_cache(s, &cache) < 0)
                return;
        for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
                struct rtnl_addr *a = (struct rtnl_addr *)o;
                char text[16];

                if (address_of_link(a, index, text) && !streq(text, keep))
                        (void)rtnl_addr_delete(s, a, 0);
        }
        nl_cache_free(cache);
}

struct route_spec {
        const char *destination; /* NULL: default */
        const char *gateway;     /* NULL: on the link */
        const char *source;      /* preferred source; NULL: none */
        int index;               /* of the link, or 0 */
        bool unreachable;
};

/* *ret is NULL for NULL, else the parsed address; the caller puts it. */
static int parse_nl_address(const char *text, struct nl_addr **ret) {
        *ret = NULL;
        return text ? nl_addr_parse(text, AF_INET, ret) : 0;
}

static int route_set_addresses(struct rtnl_route *o, const struct route_spec *route) {
        _cleanup_(nl_addr_putp) struct nl_addr *destination = NULL, *source = NULL;
        int r = parse_nl_address(
                        route->destination ? route->destination : "0.0.0.0/0", &destination);

        if (r < 0)
                return r;
        r = parse_nl_address(route->source, &source);
        if (r < 0)
                return r;
        r = rtnl_route_set_dst(o, destination);
        if (r < 0)
                return r;
        return source ? rtnl_route_set_pref_src(o, source) : 0;
}

static int route_set_hop(struct rtnl_route *o, const struct route_spec *route) {
        struct rtnl_nexthop *hop;
        struct nl_addr *gateway;
        int r = parse_nl_address(route->gateway, &gateway);

        if (r < 0)
                return r;
        hop = rtnl_route_nh_alloc();
        if (hop) {
                if (route->index > 0)
                        rtnl_route_nh_set_ifindex(hop, route->index);
                if (gateway)
                        rtnl_route_nh_set_gateway(hop, gateway);
                rtnl_route_add_nexthop(o, hop);
        }
        nl_addr_put(gateway);
        return hop ? 0 : -NLE_NOMEM;
}

static int route_fill(struct rtnl_route *o, const struct route_spec *route) {
        int r;

        rtnl_route_set_family(o, AF_INET);
        rtnl_route_set_table(o, RT_TABLE_MAIN);
        rtnl_route_set_protocol(o, ROUTE_PROTOCOL);
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

static int route_add(struct nl_sock *s, const struct route_spec *route) {
        _cleanup_(rtnl_route_putp) struct rtnl_route *o = rtnl_route_alloc();
        int r = o ? route_fill(o, route) : -NLE_NOMEM;

        if (r < 0)
                return nl_errno(r);
        return nl_errno(rtnl_route_add(s, o, NLM_F_CREATE | NLM_F_REPLACE));
}

static int link_make(struct nl_sock *s, const char *name, const char *type) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = rtnl_link_alloc();
        int r;

        if (!link)
                return -ENOMEM;
        rtnl_link_set_name(link, name);
        r = rtnl_link_set_type(link, type);
        if (r < 0)
                return nl_errno(r);
        r = rtnl_link_add(s, link, NLM_F_CREATE | NLM_F_EXCL);
        return r == -NLE_EXIST ? 0 : nl_errno(r);
}

/* An up dummy device, or a bridge without ports where the kernel lacks dummy. Returns its index. */
static int dummy_make(struct nl_sock *s, const char *name) {
        int index = link_index(s, name), r;

        if (index <= 0) {
                r = link_make(s, name, "dummy");
                if (r < 0)
                        r = link_make(s, name, "bridge");
                if (r < 0)
                        return r;
                index = link_index(s, name);
        }
        if (index <= 0)
                return index < 0 ? index : -ENODEV;
        r = link_up(s, index);
        return r < 0 ? r : index;
}

static int service_device(struct network *n) {
        struct route_spec route = {.destination = n->service_cidr, .source = n->node_ip};
        int r;

        route.index = dummy_make(n->socket, SERVICE_DEVICE);
        if (route.index < 0)
                return log_warning_errno(
                                route.index, "Cannot make the network device " SERVICE_DEVICE);
        r = route_add(n->socket, &route);
        if (r < 0) {
                route.source = NULL;
                r = route_add(n->socket, &route);
        }
        if (r < 0)
                return log_warning_errno(
                                r, "Cannot add the route of the service range %s", n->service_cidr);
        return 0;
}

int network_new(struct network **ret, const struct network_options *options) {
        _cleanup_(network_freep) struct network *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        snprintf(n->node_ip, sizeof(n->node_ip), "%s", options->node_ip);
        snprintf(n->service_cidr, sizeof(n->service_cidr), "%s", options->service_cidr);
        r = open_socket(&n->socket);
        if (r < 0)
                return r;
        r = write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
        if (r < 0)
                log_warning_errno(r, "Cannot switch on IPv4 forwarding (net.ipv4.ip_forward); pods "
                                     "will not reach other nodes");
        r = service_device(n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

struct network *network_free(struct network *n) {
        if (!n)
                return NULL;
        nl_socket_free(n->socket);
        map_free(n->routes);
        free(n);
        return NULL;
}

int network_set_pod_range(struct network *n, const char *cidr, const char *gateway) {
        struct route_spec route = {.destination = cidr, .unreachable = true};
        int index = dummy_make(n->socket, GATEWAY_DEVICE), r;

        if (index < 0)
                return index;
        address_flush(n->socket, index, gateway);
        r = address_add(n->socket, index, gateway);
        if (r < 0 && r != -EEXIST)
                return r;
        if (gateway != n->gateway) { /* network_repair() passes our own */
                snprintf(n->gateway, sizeof(n->gateway), "%s", gateway);
                snprintf(n->pod_cidr, sizeof(n->pod_cidr), "%s", cidr);
        }
        return route_add(n->socket, &route);
}

int network_repair(struct network *n) {
        _cleanup_(map_freep) struct map *routes = TAKE_PTR(n->routes);
        int first_error = service_device(n), r;

        /* One failure must not keep the rest from being repaired. */
        if (*n->gateway) {
                r = network_set_pod_range(n, n->pod_cidr, n->gateway);
                if (r < 0 && first_error >= 0)
                        first_error = r;
        }
        if (routes) {
                r = network_set_routes(n, routes);
                if (r < 0 && first_error >= 0)
                        first_error = r;
        }
        return first_error;
}

char *network_pod_path(const char *uid) {
        return strformat(NETNS_DIR "/" NETNS_PREFIX "%s", uid);
}

/* The prefix and the uid's first twelve digits: at most 15 characters. */
static void veth_name(const char *uid, char ret[static 16]) {
        size_t n = strlen(VETH_PREFIX);

        memcpy(ret, VETH_PREFIX, n + 1);
        for (; *uid && n < 14; uid++)
                if (*uid != '-')
                        ret[n++] = *uid;
        ret[n] = 0;
}

/* Returns from another network namespace. It must succeed: everything else would run in the wrong
 * network. */
static void return_home(int home) {
        int r = setns(home, CLONE_NEWNET);

        assert(r == 0);
}

static int netns_make(const char *path, int home) {
        int r = 0;
        _cleanup_close_ int fd = -EBADF;

        r = mkdir_parents(NETNS_DIR, 0755);
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (fd < 0 && errno != EEXIST)
                return -errno;
        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) < 0)
                r = -errno;
        return_home(home);
        if (r < 0)
                (void)unlink(path);
        return r;
}

static int socket_in(int ns, int home, struct nl_sock **ret) {
        int r;

        if (setns(ns, CLONE_NEWNET) < 0)
                return -errno;
        r = open_socket(ret);
        return_home(home);
        return r;
}

/* Ports below 1024 and echo requests need no privilege where every port is the pod's own. */
static int open_ports(int ns, int home) {
        static const struct {
                const char *path, *value;
        } settings[] = {{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
                        {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"}};
        int r = 0;

        if (setns(ns, CLONE_NEWNET) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTS(settings) && r >= 0; i++) {
                _cleanup_close_ int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);
                r = fd < 0 ? -errno
                           : file_write_all(fd, settings[i].value, strlen(settings[i].value));
        }
        return_home(home);
        return r;
}

static int veth_make(struct nl_sock *s, const char *name, int ns) {
        struct rtnl_link *link = rtnl_link_veth_alloc(), *peer;
        int r;

        if (!link)
                return -ENOMEM;
        peer = rtnl_link_veth_get_peer(link);
        if (!peer) {
                rtnl_link_put(link);
                return -ENOMEM;
        }
        rtnl_link_set_name(link, name);
        rtnl_link_set_name(peer, "eth0");
        rtnl_link_set_ns_fd(peer, ns);
        r = rtnl_link_add(s, link, NLM_F_CREATE | NLM_F_EXCL);
        rtnl_link_put(peer);
        rtnl_link_put(link);
        return nl_errno(r);
}

static int link_delete(struct nl_sock *s, const char *name) {
        struct rtnl_link *link = rtnl_link_alloc();
        int r;

        if (!link)
                return -ENOMEM;
        rtnl_link_set_name(link, name);
        r = rtnl_link_delete(s, link);
        rtnl_link_put(link);
        return nl_errno(r);
}

/* The pod's end: loopback, its address on eth0, and the routes through the gateway. */
static int pod_side(struct nl_sock *s, const char *address, const char *gateway) {
        struct route_spec link_route = {.destination = gateway, .source = address},
                          default_route = {.gateway = gateway};
        int lo = link_index(s, "lo"), eth = link_index(s, "eth0"), r;

        if (eth <= 0)
                return -ENODEV;
        if (lo > 0) {
                r = link_up(s, lo);
                if (r < 0)
                        return r;
        }
        r = address_add(s, eth, address);
        if (r < 0 && r != -EEXIST)
                return r;
        r = link_up(s, eth);
        if (r < 0)
                return r;
        link_route.index = default_route.index = eth;
        r = route_add(s, &link_route);
        if (r < 0)
                return r;
        return route_add(s, &default_route);
}

/* Opens the pod's namespace, made where it is missing. Returns its descriptor. */
static int open_pod_ns(const char *path, int home) {
        int ns = open(path, O_RDONLY | O_CLOEXEC), r;

        if (ns >= 0 && setns(ns, CLONE_NEWNET) == 0) {
                return_home(home);
                return ns;
        }
        /* The file is missing, or its mount is (/run was unmounted). */
        safe_close(ns);
        (void)unlink(path);
        r = netns_make(path, home);
        if (r < 0)
                return r;
        ns = open(path, O_RDONLY | O_CLOEXEC);
        return ns < 0 ? -errno : ns;
}

/* The pair of links, where the pod has none yet. */
static int ensure_veth(struct nl_sock *outside, struct nl_sock *inside, const char *name, int ns) {
        int r;

        if (link_index(inside, "eth0") > 0)
                return 0;
        r = veth_make(outside, name, ns);
        if (r != -EEXIST)
                return r;
        /* Left by a crash: its other end is in another namespace. */
        (void)link_delete(outside, name);
        return veth_make(outside, name, ns);
}

static int connect_pod(struct network *n, struct nl_sock *inside, const char *veth, int ns,
                const char *address, const char *gateway) {
        int r = ensure_veth(n->socket, inside, veth, ns), index;

        if (r < 0)
                return r;
        index = link_index(n->socket, veth);
        if (index <= 0)
                return -ENODEV;
        r = link_up(n->socket, index);
        if (r < 0)
                return r;
        return pod_side(inside, address, gateway);
}

int network_pod_up(struct network *n, const char *uid, const char *address, const char *gateway) {
        _cleanup_free_ char *path = network_pod_path(uid);
        _cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
                            ns = -EBADF;
        struct route_spec route = {.destination = address, .source = gateway};
        struct nl_sock *inside = NULL;
        char veth[16];
        int r;

        if (!path)
                return -ENOMEM;
        if (home < 0)
                return -errno;
        ns = open_pod_ns(path, home);
        if (ns < 0)
                return ns;
        r = socket_in(ns, home, &inside);
        if (r < 0)
                return r;
        veth_name(uid, veth);
        r = connect_pod(n, inside, veth, ns, address, gateway);
        nl_socket_free(inside);
        if (r < 0)
                return r;
        r = open_ports(ns, home);
        if (r < 0)
                return r;
        route.index = link_index(n->socket, veth);
        if (route.index <= 0)
                return -ENODEV;
        return route_add(n->socket, &route);
}

int network_pod_sysctl(const char *uid, const char *name, const char *value) {
        _cleanup_free_ char *ns_path = network_pod_path(uid), *path = sysctl_path(name);
        _cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
                            ns = ns_path ? open(ns_path, O_RDONLY | O_CLOEXEC) : -EBADF;
        int r;

        if (!ns_path || !path)
                return ns_path ? -EINVAL : -ENOMEM;
        if (home < 0 || ns < 0 || setns(ns, CLONE_NEWNET) < 0)
                return -errno;
        /* /proc/sys/net shows the namespace of the process that opens it. */
        r = write_sysctl(path, value);
        return_home(home);
        return r;
}

int network_pod_allow_loopback(const char *uid) {
        _cleanup_free_ char *path = NULL;
        char veth[16];

        veth_name(uid, veth);
        path = strformat("/proc/sys/net/ipv4/conf/%s/route_localnet", veth);
        return path ? write_sysctl(path, "1") : -ENOMEM;
}

int network_pod_down(struct network *n, const char *uid) {
        _cleanup_free_ char *path = network_pod_path(uid);
        char veth[16];

        if (!path)
                return -ENOMEM;
        veth_name(uid, veth);
        (void)link_delete(n->socket, veth);
        if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
                return -errno;
        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        return 0;
}

void network_each_pod(void (*func)(const char *uid, void *userdata), void *userdata) {
        DIR *d = opendir(NETNS_DIR);

        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
                const char *uid = startswith(e->d_name, NETNS_PREFIX);
                if (uid)
                        func(uid, userdata);
        }
        if (d)
                closedir(d);
}

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

/* Kept for network_repair(). */
static void remember_routes(struct network *n, const struct map *routes) {
        n->routes = map_free(n->routes);
        n->routes = map_new(free);
        map_foreach (routes, e) {
                char *gateway = n->routes ? strdup(map_entry_value(e)) : NULL;

                if (gateway && map_set(n->routes, map_entry_key(e), gateway) < 0)
                        free(gateway);
        }
}

int network_set_routes(struct network *n, const struct map *routes) {
        struct nl_cache *cache;
        int r, result = 0;

        remember_routes(n, routes);
        r = rtnl_route_alloc_cache(n->socket, AF_INET, 0, &cache);
        if (r < 0)
                return nl_errno(r);
        for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
                struct rtnl_route *route = (struct rtnl_route *)o;
                char destination[64], gateway[64];
                const char *want;

                if (rtnl_route_get_protocol(route) != ROUTE_PROTOCOL ||
                                rtnl_route_get_table(route) != RT_TABLE_MAIN)
                        continue;
                route_gateway(route, gateway, sizeof(gateway));
                if (!*gateway)
                        continue;
                nl_addr2str(rtnl_route_get_dst(route), destination, sizeof(destination));
                want = map_get(routes, destination);
                if (!want || !streq(want, gateway))
                        (void)rtnl_route_delete(n->socket, route, 0);
        }
        nl_cache_free(cache);
        map_foreach (routes, e) {
                struct route_spec route = {
                                .destination = map_entry_key(e), .gateway = map_entry_value(e)};

                r = route_add(n->socket, &route);
                if (r < 0)
                        result = log_warning_errno(r,
                                        "Cannot add the route to the pods %s through %s; is that "
                                        "node on another network?",
                                        route.destination, route.gateway);
        }
        return result;
}

static void clean_pod(const char *uid, void *userdata) {
        (void)network_pod_down(userdata, uid);
}

int network_clean(void) {
        struct network n = {0};
        _cleanup_(map_freep) struct map *none = map_new(NULL);
        int r = none ? open_socket(&n.socket) : -ENOMEM;

        if (r < 0)
                return r;
        network_each_pod(clean_pod, &n);
        r = network_set_routes(&n, none);
        map_free(n.routes);
        (void)link_delete(n.socket, GATEWAY_DEVICE);
        (void)link_delete(n.socket, SERVICE_DEVICE);
        nl_socket_free(n.socket);
        return r;
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

                if (!startswith(name, NETWORK_LINK_PREFIX) && !startswith(name, VETH_PREFIX) &&
                                !streq(name, "lo") &&
                                link_address(addresses, rtnl_link_get_ifindex(link), ret))
                        return true;
        }
        return false;
}

int network_guess_node_ip(char ret[static 16]) {
        _cleanup_(nl_socket_freep) struct nl_sock *s = NULL;
        _cleanup_(nl_cache_freep) struct nl_cache *routes = NULL, *addresses = NULL, *links = NULL;
        int r = open_socket(&s);

        if (r < 0)
                return r;
        r = rtnl_route_alloc_cache(s, AF_INET, 0, &routes);
        if (r < 0)
                return nl_errno(r);
        r = rtnl_addr_alloc_cache(s, &addresses);
        if (r < 0)
                return nl_errno(r);
        r = rtnl_link_alloc_cache(s, AF_UNSPEC, &links);
        if (r < 0)
                return nl_errno(r);
        return default_address(routes, addresses, ret) || any_address(links, addresses, ret)
                               ? 0
                               : -ENODEV;
}
