/* Two sockets: ARP packets of all links, and neighbour advertisements. Their own packets are seen
 * as outgoing, or come from an own link's address, and are ignored. */
#include "nodeagent/network/announce.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { PACKETS_PER_TURN = 64, MAC_SIZE = 6, HOPS = 255 };

struct announce {
        int arp, icmp6;
        sd_event_source *on_arp, *on_icmp6;
        announce_func on_other;
        void *userdata;
};

/* An unsolicited advertisement, with the option "target link-layer address". */
struct advertisement {
        struct nd_neighbor_advert head;
        struct nd_opt_hdr option;
        unsigned char mac[MAC_SIZE];
} __attribute__((packed));

static int link_mac(struct announce *n, int link, unsigned char ret[static MAC_SIZE]) {
        struct ifreq r = {0};

        if (!if_indextoname((unsigned)link, r.ifr_name) || ioctl(n->arp, SIOCGIFHWADDR, &r) < 0)
                return -errno;
        memcpy(ret, r.ifr_hwaddr.sa_data, MAC_SIZE);
        return 0;
}

static void report(struct announce *n, const struct address *a, int link,
                const unsigned char mac[static MAC_SIZE]) {
        char text[ANNOUNCE_MAC_SIZE];

        snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                        mac[3], mac[4], mac[5]);
        n->on_other(a, link, text, n->userdata);
}

static int on_arp(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct announce *n = userdata;

        for (unsigned i = 0; i < PACKETS_PER_TURN; i++) {
                struct sockaddr_ll from = {0};
                socklen_t size = sizeof(from);
                struct address a = {.size = 4};
                struct ether_arp packet;
                ssize_t got = recvfrom(fd, &packet, sizeof(packet), MSG_DONTWAIT,
                                (struct sockaddr *)&from, &size);
                unsigned char own[MAC_SIZE];

                if (got < 0)
                        return 0;
                if (got < (ssize_t)sizeof(packet) || from.sll_pkttype == PACKET_OUTGOING ||
                                packet.arp_pro != htons(ETHERTYPE_IP) || packet.arp_pln != 4 ||
                                packet.arp_hln != MAC_SIZE ||
                                (link_mac(n, from.sll_ifindex, own) >= 0 &&
                                                memcmp(own, packet.arp_sha, MAC_SIZE) == 0))
                        continue;
                memcpy(a.octets, packet.arp_spa, 4);
                report(n, &a, from.sll_ifindex, packet.arp_sha);
        }
        return 0;
}

/* The link on which a message came; 0: not known, or the message is none of a neighbour: a router
 * would have lowered the hop limit (RFC 4861, section 7.1.2). */
static int link_of(struct msghdr *m) {
        struct in6_pktinfo info = {0};
        int hops = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                if (c->cmsg_level != IPPROTO_IPV6)
                        continue;
                if (c->cmsg_type == IPV6_PKTINFO && c->cmsg_len >= CMSG_LEN(sizeof(info)))
                        memcpy(&info, CMSG_DATA(c), sizeof(info));
                if (c->cmsg_type == IPV6_HOPLIMIT && c->cmsg_len >= CMSG_LEN(sizeof(hops)))
                        memcpy(&hops, CMSG_DATA(c), sizeof(hops));
        }
        return hops == HOPS ? (int)info.ipi6_ifindex : 0;
}

static int on_icmp6(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct announce *n = userdata;

        for (unsigned i = 0; i < PACKETS_PER_TURN; i++) {
                _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                                      CMSG_SPACE(sizeof(int))];
                struct advertisement packet;
                struct iovec part = {&packet, sizeof(packet)};
                struct msghdr m = {.msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = control,
                                .msg_controllen = sizeof(control)};
                ssize_t got = recvmsg(fd, &m, MSG_DONTWAIT);
                struct address a = {.size = 16};
                unsigned char own[MAC_SIZE];
                int link;

                if (got < 0)
                        return 0;
                link = link_of(&m);
                if (got < (ssize_t)sizeof(packet) || link == 0 ||
                                packet.option.nd_opt_type != ND_OPT_TARGET_LINKADDR ||
                                (link_mac(n, link, own) >= 0 &&
                                                memcmp(own, packet.mac, MAC_SIZE) == 0))
                        continue;
                memcpy(a.octets, &packet.head.nd_na_target, 16);
                report(n, &a, link, packet.mac);
        }
        return 0;
}

static int open_arp(struct announce *n, sd_event *event) {
        int r;

        n->arp = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ARP));
        if (n->arp < 0)
                return -errno;
        r = sd_event_add_io(event, &n->on_arp, n->arp, EPOLLIN, on_arp, n);
        return r < 0 ? r : 0;
}

/* A machine without IPv6 has no such socket, and needs none. */
static int open_icmp6(struct announce *n, sd_event *event) {
        struct icmp6_filter filter;
        int on = 1, hops = HOPS, r;

        n->icmp6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
        if (n->icmp6 < 0)
                return errno == EAFNOSUPPORT ? 0 : -errno;
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
        if (setsockopt(n->icmp6, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0 ||
                        setsockopt(n->icmp6, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0 ||
                        setsockopt(n->icmp6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)) <
                                        0 ||
                        setsockopt(n->icmp6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops,
                                        sizeof(hops)) < 0)
                return -errno;
        r = sd_event_add_io(event, &n->on_icmp6, n->icmp6, EPOLLIN, on_icmp6, n);
        return r < 0 ? r : 0;
}

int announce_new(struct announce **ret, sd_event *event, announce_func on_other, void *userdata) {
        _cleanup_(announce_freep) struct announce *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        *n = (struct announce){
                        .arp = -EBADF, .icmp6 = -EBADF, .on_other = on_other, .userdata = userdata};
        r = open_arp(n, event);
        if (r < 0)
                return r;
        r = open_icmp6(n, event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

struct announce *announce_free(struct announce *n) {
        if (!n)
                return NULL;
        sd_event_source_disable_unref(n->on_arp);
        sd_event_source_disable_unref(n->on_icmp6);
        safe_close(n->arp);
        safe_close(n->icmp6);
        free(n);
        return NULL;
}

static int send_arp(struct announce *n, const struct address *a, int link,
                const unsigned char mac[static MAC_SIZE]) {
        struct sockaddr_ll to = {.sll_family = AF_PACKET,
                        .sll_protocol = htons(ETH_P_ARP),
                        .sll_ifindex = link,
                        .sll_halen = MAC_SIZE};
        struct ether_arp packet = {.arp_hrd = htons(ARPHRD_ETHER),
                        .arp_pro = htons(ETHERTYPE_IP),
                        .arp_hln = MAC_SIZE,
                        .arp_pln = 4};
        static const uint16_t operations[] = {ARPOP_REQUEST, ARPOP_REPLY};

        memset(to.sll_addr, 0xff, MAC_SIZE);
        memcpy(packet.arp_sha, mac, MAC_SIZE);
        memcpy(packet.arp_spa, a->octets, 4);
        memcpy(packet.arp_tpa, a->octets, 4);
        /* Some neighbours believe only the one, some only the other. */
        for (size_t i = 0; i < ELEMENTS(operations); i++) {
                packet.arp_op = htons(operations[i]);
                if (operations[i] == ARPOP_REPLY)
                        memcpy(packet.arp_tha, mac, MAC_SIZE);
                if (sendto(n->arp, &packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&to,
                                    sizeof(to)) < 0)
                        return -errno;
        }
        return 0;
}

static int send_advertisement(struct announce *n, const struct address *a, int link,
                const unsigned char mac[static MAC_SIZE]) {
        struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = (unsigned)link};
        struct advertisement packet = {.head.nd_na_hdr.icmp6_type = ND_NEIGHBOR_ADVERT,
                        .option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1}};

        if (n->icmp6 < 0)
                return -EAFNOSUPPORT;
        to.sin6_addr = (struct in6_addr){{{0xff, 0x02, [15] = 0x01}}}; /* all nodes of the link */
        packet.head.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
        memcpy(&packet.head.nd_na_target, a->octets, 16);
        memcpy(packet.mac, mac, MAC_SIZE);
        return sendto(n->icmp6, &packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&to,
                               sizeof(to)) < 0
                               ? -errno
                               : 0;
}

int announce_send(struct announce *n, const struct address *a, int link) {
        unsigned char mac[MAC_SIZE];
        int r = link_mac(n, link, mac);

        if (r < 0)
                return r;
        return a->size == 4 ? send_arp(n, a, link, mac) : send_advertisement(n, a, link, mac);
}
