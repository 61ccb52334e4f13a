/* rtnetlink reports removed links, addresses and routes; those that are not ours are ignored.
 * Several losses at once (a link takes its addresses and routes along) lead to one call. */
#include "nodeagent/network/network-watch.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "nodeagent/network/network.h"

enum { DELAY_US = 200000, MESSAGES_PER_TURN = 32 };

struct network_watch {
        sd_event *event;
        int fd;
        sd_event_source *io, *timer;
        struct network_watch_callbacks callbacks;
};

/* An attribute's text; "" when absent or without a final NUL. */
static const char *text_of(const struct nlmsghdr *h, size_t header, unsigned short type) {
        const struct rtattr *a =
                        (const struct rtattr *)((const char *)NLMSG_DATA(h) + NLMSG_ALIGN(header));
        int left = (int)h->nlmsg_len - (int)NLMSG_SPACE(header);

        for (; left > 0 && RTA_OK(a, left); a = RTA_NEXT(a, left))
                if (a->rta_type == type && memchr(RTA_DATA(a), 0, (size_t)RTA_PAYLOAD(a)) != NULL)
                        return RTA_DATA(a);
        return "";
}

/* Those of IPv6 have no label. One of a link that is gone went with the link, which is reported. */
static bool is_own_address(const struct nlmsghdr *h) {
        const struct ifaddrmsg *address = NLMSG_DATA(h);
        char link[IF_NAMESIZE] = "";

        if (address->ifa_family != AF_INET6)
                return startswith(text_of(h, sizeof(*address), IFA_LABEL), NETWORK_LINK_PREFIX);
        return address->ifa_scope != RT_SCOPE_LINK && if_indextoname(address->ifa_index, link) &&
               startswith(link, NETWORK_LINK_PREFIX);
}

static bool is_loss(const struct nlmsghdr *h) {
        const struct ifinfomsg *link = NLMSG_DATA(h);
        const struct ifaddrmsg *address = NLMSG_DATA(h);
        const struct rtmsg *route = NLMSG_DATA(h);

        switch (h->nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
                return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*link)) &&
                       (h->nlmsg_type == RTM_DELLINK || !(link->ifi_flags & IFF_UP)) &&
                       startswith(text_of(h, sizeof(*link), IFLA_IFNAME), NETWORK_LINK_PREFIX);
        case RTM_DELADDR:
                return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*address)) && is_own_address(h);
        case RTM_DELROUTE:
                return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*route)) &&
                       route->rtm_protocol == NETWORK_ROUTE_PROTOCOL;
        default:
                return false;
        }
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct network_watch *w = userdata;

        w->timer = sd_event_source_disable_unref(w->timer);
        w->callbacks.missing(w->callbacks.userdata);
        return 0;
}

static void missing(struct network_watch *w) {
        if (!w->timer)
                (void)sd_event_add_time_relative(
                                w->event, &w->timer, CLOCK_MONOTONIC, DELAY_US, 0, on_timer, w);
}

/* The name of a pod's link that was removed; "" for any other message. */
static const char *pod_link_gone(const struct nlmsghdr *h) {
        const char *name;

        if (h->nlmsg_type != RTM_DELLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
                return "";
        name = text_of(h, sizeof(struct ifinfomsg), IFLA_IFNAME);
        return startswith(name, NETWORK_POD_LINK_PREFIX) ? name : "";
}

static void on_message(struct network_watch *w, const struct nlmsghdr *h) {
        const char *link = pod_link_gone(h);

        if (*link)
                w->callbacks.pod_link_gone(link, w->callbacks.userdata);
        if (is_loss(h))
                missing(w);
}

static int on_netlink(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct network_watch *w = userdata;
        _Alignas(struct nlmsghdr) char buffer[16384];

        for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
                ssize_t size = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

                if (size < 0 && errno == ENOBUFS)
                        missing(w);
                if (size <= 0)
                        return 0;
                for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, (size_t)size);
                                h = NLMSG_NEXT(h, size))
                        on_message(w, h);
        }
        return 0;
}

int network_watch_new(struct network_watch **ret, sd_event *event,
                const struct network_watch_callbacks *callbacks) {
        struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE |
                                     RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE};
        _cleanup_(network_watch_freep) struct network_watch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        *w = (struct network_watch){.event = sd_event_ref(event), .callbacks = *callbacks};
        w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        r = sd_event_add_io(event, &w->io, w->fd, EPOLLIN, on_netlink, w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

struct network_watch *network_watch_free(struct network_watch *w) {
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->io);
        sd_event_source_disable_unref(w->timer);
        safe_close(w->fd);
        sd_event_unref(w->event);
        free(w);
        return NULL;
}
