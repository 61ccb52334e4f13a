/* Routed veths: the host's end has a /32 route to the pod, the pod's default route leads to the
 * gateway address that lies on the dummy device keelson0 (the kernel answers ARP for it on every
 * link). For IPv6, where the kernel answers for a link's own addresses only, the way out is
 * fe80::1, which each host's end has. There is no bridge, so neither bridge netfilter settings nor
 * hairpin modes matter: all traffic of a pod is routed through the host and sees its nftables
 * rules. */
#include "nodeagent/network/network.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/link/veth.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/cidr.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "nodeagent/network/carried.h"
#include "nodeagent/network/near-routes.h"
#include "nodeagent/network/netns-keeper.h"
#include "nodeagent/network/network-check.h"
#include "nodeagent/network/overlay.h"
#include "nodeagent/network/rtnetlink.h"

#define CONF6 "/proc/sys/net/ipv6/conf"
#define NETNS_PREFIX "kpod-"
#define POD_GATEWAY6 "fe80::1"
#define GATEWAY_DEVICE "keelson0"
#define SERVICE_DEVICE "keelson-svc"

struct network {
        struct nl_sock *socket;
        struct overlay *overlay;
        char node_ip[FAMILIES][ADDRESS_TEXT_SIZE]; /* "": none; likewise: */
        char service_cidr[FAMILIES][CIDR_TEXT_SIZE];
        char dns_address[ADDRESS_TEXT_SIZE];
        char pod_cidr[FAMILIES][CIDR_TEXT_SIZE];
        char gateway[FAMILIES][ADDRESS_TEXT_SIZE];
        struct map *routes; /* to the pods of other nodes, as last set */
        struct near_routes near;
};

static int af_of(enum ip_family family) {
        return family == FAMILY_IPV6 ? AF_INET6 : AF_INET;
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

/* Other addresses of the family on our own device are left over from another range. */
static void address_flush(struct nl_sock *s, int index, enum ip_family family, const char *keep) {
        struct nl_cache *cache;

        if (rtnl_addr_alloc_cache(s, &cache) < 0)
                return;
        for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
                struct rtnl_addr *a = (struct rtnl_addr *)o;
                char text[64];

                if (rtnl_addr_get_ifindex(a) != index || !rtnl_addr_get_local(a) ||
                                rtnl_addr_get_family(a) != af_of(family) ||
                                rtnl_addr_get_scope(a) == RT_SCOPE_LINK ||
                                streq(strempty(rtnl_addr_get_label(a)), CARRIED_LABEL))
                        continue;
                nl_addr2str(rtnl_addr_get_local(a), text, sizeof(text));
                text[strcspn(text, "/")] = 0;
                if (!streq(text, keep))
                        (void)rtnl_addr_delete(s, a, 0);
        }
        nl_cache_free(cache);
}

static int link_make(struct nl_sock *s, const char *name, const char *type) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = rtnl_link_alloc();
        int r;

        if (!link)
                return -ENOMEM;
        rtnl_link_set_name(link, name);
        r = rtnl_link_set_type(link, type);
        if (r < 0)
                return netlink_errno(r);
        r = rtnl_link_add(s, link, NLM_F_CREATE | NLM_F_EXCL);
        return r == -NLE_EXIST ? 0 : netlink_errno(r);
}

/* An up dummy device, or a bridge without ports where the kernel lacks dummy. Returns its index. */
static int dummy_make(struct nl_sock *s, const char *name) {
        int index = netlink_link_index(s, name), r;

        if (index <= 0) {
                r = link_make(s, name, "dummy");
                if (r < 0)
                        r = link_make(s, name, "bridge");
                if (r < 0)
                        return r;
                index = netlink_link_index(s, name);
        }
        if (index <= 0)
                return index < 0 ? index : -ENODEV;
        r = netlink_link_up(s, index, 0);
        return r < 0 ? r : index;
}

static int service_route(struct network *n, int index, enum ip_family family) {
        struct netlink_route route = {.destination = n->service_cidr[family],
                        .source = *n->node_ip[family] ? n->node_ip[family] : NULL,
                        .index = index};
        int r;

        if (!*n->service_cidr[family])
                return 0;
        r = netlink_route_add(n->socket, &route);
        if (r < 0 && route.source) {
                route.source = NULL;
                r = netlink_route_add(n->socket, &route);
        }
        return r < 0 ? log_warning_errno(r, "Cannot add the route of the service range %s",
                                       n->service_cidr[family])
                     : 0;
}

static int service_device(struct network *n) {
        int index = dummy_make(n->socket, SERVICE_DEVICE), r;

        if (index < 0)
                return log_warning_errno(index, "Cannot make the network device " SERVICE_DEVICE);
        for (int f = 0; f < FAMILIES; f++) {
                r = service_route(n, index, (enum ip_family)f);
                if (r < 0)
                        return r;
        }
        address_flush(n->socket, index,
                        strchr(n->dns_address, ':') ? FAMILY_IPV6 : FAMILY_IPV4, n->dns_address);
        r = *n->dns_address ? netlink_address_add(n->socket, index, n->dns_address) : 0;
        if (r < 0 && r != -EEXIST)
                return log_warning_errno(
                                r, "Cannot add the name server's address %s", n->dns_address);
        return 0;
}

int network_new(struct network **ret, const struct network_options *options) {
        _cleanup_(network_freep) struct network *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        for (int f = 0; f < FAMILIES; f++) {
                snprintf(n->node_ip[f], sizeof(n->node_ip[f]), "%s", strempty(options->node_ip[f]));
                snprintf(n->service_cidr[f], sizeof(n->service_cidr[f]), "%s",
                                strempty(options->service_cidr[f]));
        }
        snprintf(n->dns_address, sizeof(n->dns_address), "%s", strempty(options->dns_address));
        r = netlink_open(&n->socket);
        if (r < 0)
                return r;
        r = overlay_new(&n->overlay, *n->node_ip[FAMILY_IPV4] ? n->node_ip[FAMILY_IPV4]
                                                              : n->node_ip[FAMILY_IPV6]);
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
        overlay_free(n->overlay);
        map_free(n->routes);
        near_routes_done(&n->near);
        free(n);
        return NULL;
}

/* A machine that forwards takes no routes from router advertisements, and would lose its default
 * route, unless told that it may (accept_ra 2). Our own links and later ones are left
 * alone. */
static void keep_advertised_routes(void) {
        DIR *d = opendir(CONF6);

        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
                _cleanup_free_ char *path = strformat(CONF6 "/%s/accept_ra", e->d_name),
                                    *text = NULL;
                size_t n;

                if (e->d_name[0] == '.' || streq(e->d_name, "all") || streq(e->d_name, "default") ||
                                startswith(e->d_name, NETWORK_LINK_PREFIX) ||
                                startswith(e->d_name, NETWORK_POD_LINK_PREFIX))
                        continue;
                if (path && file_read(path, 16, &text, &n) >= 0 && text[0] == '1')
                        (void)write_sysctl(path, "2");
        }
        if (d)
                closedir(d);
}

static void forward_ipv6(void) {
        int r;

        keep_advertised_routes();
        r = write_sysctl(CONF6 "/all/forwarding", "1");
        if (r < 0)
                log_warning_errno(r, "Cannot switch on IPv6 forwarding "
                                     "(net.ipv6.conf.all.forwarding); pods will not reach other "
                                     "nodes over IPv6");
}

int network_set_pod_range(struct network *n, const char *cidr, const char *gateway) {
        struct netlink_route route = {.destination = cidr, .unreachable = true};
        enum ip_family family = strchr(cidr, ':') ? FAMILY_IPV6 : FAMILY_IPV4;
        int index = dummy_make(n->socket, GATEWAY_DEVICE), r;

        if (index < 0)
                return index;
        if (family == FAMILY_IPV6)
                forward_ipv6();
        address_flush(n->socket, index, family, gateway);
        r = netlink_address_add(n->socket, index, gateway);
        if (r < 0 && r != -EEXIST)
                return r;
        if (gateway != n->gateway[family]) { /* network_repair() passes our own */
                snprintf(n->gateway[family], sizeof(n->gateway[family]), "%s", gateway);
                snprintf(n->pod_cidr[family], sizeof(n->pod_cidr[family]), "%s", cidr);
        }
        return netlink_route_add(n->socket, &route);
}

void network_set_second_ip(struct network *n, const char *node_ip) {
        snprintf(n->node_ip[FAMILY_IPV6], sizeof(n->node_ip[FAMILY_IPV6]), "%s", node_ip);
        (void)service_device(n);
}

int network_repair(struct network *n) {
        _cleanup_(map_freep) struct map *routes = TAKE_PTR(n->routes);
        int first_error = service_device(n), r;

        /* One failure must not keep the rest from being repaired. */
        for (int f = 0; f < FAMILIES; f++) {
                r = *n->gateway[f] ? network_set_pod_range(n, n->pod_cidr[f], n->gateway[f]) : 0;
                if (r < 0 && first_error >= 0)
                        first_error = r;
        }
        near_routes_done(&n->near);
        if (routes) {
                r = network_set_routes(n, routes);
                if (r < 0 && first_error >= 0)
                        first_error = r;
        }
        return first_error;
}

/* Where our routes must lead: to other nodes' pods, to no pod of this range, to the services. */
static struct map *destinations(const struct network *n) {
        _cleanup_(map_freep) struct map *all = map_new(NULL);

        if (!all)
                return NULL;
        for (int f = 0; f < FAMILIES; f++)
                if ((*n->service_cidr[f] && map_set(all, n->service_cidr[f], all) < 0) ||
                                (*n->gateway[f] && map_set(all, n->pod_cidr[f], all) < 0))
                        return NULL;
        if (n->routes)
                map_foreach (n->routes, e)
                        if (map_set(all, map_entry_key(e), all) < 0)
                                return NULL;
        return TAKE_PTR(all);
}

int network_missing(struct network *n, char **ret) {
        _cleanup_(map_freep) struct map *routes = destinations(n);
        int r;

        if (!routes)
                return -ENOMEM;
        r = network_check_link(n->socket, SERVICE_DEVICE, n->dns_address, ret);
        if (r != 0)
                return r;
        for (int f = 0; f < FAMILIES; f++) {
                if (!*n->gateway[f])
                        continue;
                r = network_check_link(n->socket, GATEWAY_DEVICE, n->gateway[f], ret);
                if (r != 0)
                        return r;
        }
        return network_check_routes(n->socket, routes, ret);
}

char *network_pod_path(const char *uid) {
        return strformat(NETNS_DIR "/" NETNS_PREFIX "%s", uid);
}

/* The prefix and the uid's first twelve digits: at most 15 characters. */
static void veth_name(const char *uid, char ret[static 16]) {
        size_t n = strlen(NETWORK_POD_LINK_PREFIX);

        memcpy(ret, NETWORK_POD_LINK_PREFIX, n + 1);
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

/* Where nothing keeps it as a file. */
static int netns_mount(const char *path, int ns) {
        _cleanup_free_ char *source = strformat("/proc/self/fd/%d", ns);
        _cleanup_close_ int fd = -EBADF;
        int r = source ? mkdir_parents(NETNS_DIR, 0755) : -ENOMEM;

        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (fd < 0 && errno != EEXIST)
                return -errno;
        if (mount(source, path, "none", MS_BIND, NULL) == 0)
                return 0;
        r = -errno;
        (void)unlink(path);
        return r;
}

static int netns_make(const char *path, int home) {
        _cleanup_close_ int ns = -EBADF;
        int r;

        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        r = ns < 0 ? -errno : 0;
        return_home(home);
        if (r < 0)
                return r;
        r = netns_keep(path + strlen(NETNS_DIR "/"), ns);
        if (r >= 0)
                return r;
        log_info("Mounting %s, which " NETNS_KEEPER_UNIT " does not keep: %s", path, strerror(-r));
        return netns_mount(path, ns);
}

static int socket_in(int ns, int home, struct nl_sock **ret) {
        int r;

        if (setns(ns, CLONE_NEWNET) < 0)
                return -errno;
        r = netlink_open(ret);
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
        return netlink_errno(r);
}

static int link_delete(struct nl_sock *s, const char *name) {
        struct rtnl_link *link = rtnl_link_alloc();
        int r;

        if (!link)
                return -ENOMEM;
        rtnl_link_set_name(link, name);
        r = rtnl_link_delete(s, link);
        rtnl_link_put(link);
        return netlink_errno(r);
}

/* The address of one family on the pod's eth0, and the routes through the gateway. */
static int pod_address(struct nl_sock *s, int eth, const char *address, const char *gateway) {
        struct netlink_route link_route = {.destination = gateway, .source = address, .index = eth},
                             default_route = {.gateway = gateway, .index = eth};
        int r = netlink_address_add(s, eth, address);

        if (r < 0 && r != -EEXIST)
                return r;
        /* A link has a route to its local addresses of IPv6 already. */
        r = strchr(gateway, ':') ? 0 : netlink_route_add(s, &link_route);
        if (r < 0)
                return r;
        return netlink_route_add(s, &default_route);
}

/* The pod's end: loopback, its addresses on eth0, and the routes through the gateways. */
static int pod_side(struct network *n, struct nl_sock *s, const char *const addresses[FAMILIES]) {
        int lo = netlink_link_index(s, "lo"), eth = netlink_link_index(s, "eth0"), r;

        if (eth <= 0)
                return -ENODEV;
        if (lo > 0) {
                r = netlink_link_up(s, lo, 0);
                if (r < 0)
                        return r;
        }
        r = netlink_link_up(s, eth, network_pod_mtu(n));
        if (r < 0)
                return r;
        r = *addresses[FAMILY_IPV4] ? pod_address(s, eth, addresses[FAMILY_IPV4],
                                                      n->gateway[FAMILY_IPV4])
                                    : 0;
        if (r < 0 || !*addresses[FAMILY_IPV6])
                return r;
        return pod_address(s, eth, addresses[FAMILY_IPV6], POD_GATEWAY6);
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

        if (netlink_link_index(inside, "eth0") > 0)
                return 0;
        r = veth_make(outside, name, ns);
        if (r != -EEXIST)
                return r;
        /* Left by a crash: its other end is in another namespace. */
        (void)link_delete(outside, name);
        return veth_make(outside, name, ns);
}

/* The host's end: a pod must not advertise itself as the machine's router. */
static int host_side6(struct network *n, const char *veth, int index) {
        _cleanup_free_ char *path = strformat(CONF6 "/%s/accept_ra", veth);
        int r = path ? write_sysctl(path, "0") : -ENOMEM;

        if (r < 0)
                return r;
        r = netlink_address_add(n->socket, index, POD_GATEWAY6 "/64");
        return r == -EEXIST ? 0 : r;
}

static int connect_pod(struct network *n, struct nl_sock *inside, const char *veth, int ns,
                const char *const addresses[FAMILIES]) {
        int r = ensure_veth(n->socket, inside, veth, ns), index;

        if (r < 0)
                return r;
        index = netlink_link_index(n->socket, veth);
        if (index <= 0)
                return -ENODEV;
        r = netlink_link_up(n->socket, index, network_pod_mtu(n));
        if (r < 0)
                return r;
        r = *addresses[FAMILY_IPV6] ? host_side6(n, veth, index) : 0;
        if (r < 0)
                return r;
        return pod_side(n, inside, addresses);
}

static int route_pod(struct network *n, const char *veth, const char *const addresses[FAMILIES]) {
        int index = netlink_link_index(n->socket, veth);

        if (index <= 0)
                return -ENODEV;
        for (int f = 0; f < FAMILIES; f++) {
                struct netlink_route route = {.destination = addresses[f],
                                .source = n->gateway[f],
                                .index = index};
                int r = *addresses[f] ? netlink_route_add(n->socket, &route) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

int network_pod_up(struct network *n, const char *uid, const char *const addresses[FAMILIES]) {
        _cleanup_free_ char *path = network_pod_path(uid);
        _cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
                            ns = -EBADF;
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
        r = connect_pod(n, inside, veth, ns, addresses);
        nl_socket_free(inside);
        if (r < 0)
                return r;
        r = open_ports(ns, home);
        if (r < 0)
                return r;
        return route_pod(n, veth, addresses);
}

static int limit_link(struct nl_sock *s, const char *name, uint64_t bits_per_s) {
        struct token_bucket bucket = bandwidth_bucket(bits_per_s);
        int index = bucket.rate > 0 ? netlink_link_index(s, name) : 0;

        return index > 0 ? netlink_limit_rate(s, index, &bucket) : index;
}

/* What the machine sends into its end of the pair the pod receives; the pod's end shapes what it
 * sends, and only a pod with CAP_NET_ADMIN could change that. */
int network_pod_limit(struct network *n, const char *uid, const struct bandwidth *b) {
        _cleanup_free_ char *path = network_pod_path(uid);
        _cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
                            ns = path ? open(path, O_RDONLY | O_CLOEXEC) : -EBADF;
        _cleanup_(nl_socket_freep) struct nl_sock *inside = NULL;
        char veth[16];
        int r;

        if (b->ingress == 0 && b->egress == 0)
                return 0;
        if (!path)
                return -ENOMEM;
        if (home < 0 || ns < 0)
                return -errno;
        veth_name(uid, veth);
        r = limit_link(n->socket, veth, b->ingress);
        if (r < 0)
                return r;
        r = socket_in(ns, home, &inside);
        if (r < 0)
                return r;
        return limit_link(inside, "eth0", b->egress);
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

bool network_pod_lost_link(const char *uid) {
        char link[16];

        veth_name(uid, link);
        return if_nametoindex(link) == 0;
}

bool network_pod_has_link(const char *uid, const char *link) {
        char veth[16];

        veth_name(uid, veth);
        return streq(veth, link);
}

int network_pod_down(struct network *n, const char *uid) {
        _cleanup_free_ char *path = network_pod_path(uid);
        char veth[16];

        if (!path)
                return -ENOMEM;
        veth_name(uid, veth);
        (void)link_delete(n->socket, veth);
        if (netns_drop(path + strlen(NETNS_DIR "/")) >= 0)
                return 0;
        /* It was a mount, or a link of a service that has lost its namespaces. */
        if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
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

const struct map *network_routes(const struct network *n) {
        return n->routes;
}

unsigned network_pod_mtu(const struct network *n) {
        return overlay_pod_mtu(n->overlay);
}

int network_set_routes(struct network *n, const struct map *routes) {
        _cleanup_(map_freep) struct map *near = map_new(free), *far = map_new(free);
        const char *const sources[FAMILIES] = {n->gateway[FAMILY_IPV4], n->gateway[FAMILY_IPV6]};
        int r, result;

        if (!near || !far)
                return -ENOMEM;
        remember_routes(n, routes);
        r = overlay_divide(n->overlay, routes, near, far);
        if (r < 0)
                return r;
        result = near_routes_set(&n->near, n->socket, &near, overlay_index(n->overlay));
        r = overlay_set_routes(n->overlay, far, sources);
        return result < 0 ? result : r;
}

static void clean_pod(const char *uid, void *userdata) {
        (void)network_pod_down(userdata, uid);
}

int network_clean(void) {
        struct network n = {0};
        _cleanup_(map_freep) struct map *none = map_new(NULL);
        int r = none ? netlink_open(&n.socket) : -ENOMEM;

        if (r < 0)
                return r;
        network_each_pod(clean_pod, &n);
        (void)link_delete(n.socket, OVERLAY_DEVICE);
        r = near_routes_set(&n.near, n.socket, &none, /* overlay= */ 0);
        near_routes_done(&n.near);
        (void)link_delete(n.socket, GATEWAY_DEVICE);
        (void)link_delete(n.socket, SERVICE_DEVICE);
        nl_socket_free(n.socket);
        return r;
}
