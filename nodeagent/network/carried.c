/* Messages are made and read with libnl's core: its objects of addresses know no protocol number.
 */
#include "nodeagent/network/carried.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "lib/vector.h"
#include "nodeagent/network/network.h"

/* One address of the machine. */
struct seen {
        struct address address;
        unsigned prefix;
        int link;
        bool ours;
};

struct carried {
        struct nl_sock *socket;
        struct nl_sock *changes; /* of the machine's addresses */
        VECTOR(struct seen) seen;
        bool failed;
        bool stale; /* an address has changed since `seen` was read */
};

DEFINE_CLEANUP(struct nl_msg *, nlmsg_free);

static int error_of(int r) {
        switch (r < 0 ? -r : r) {
        case 0:
                return 0;
        case NLE_NOMEM:
                return -ENOMEM;
        case NLE_PERM:
                return -EPERM;
        case NLE_NOADDR:
        case NLE_OBJ_NOTFOUND:
                return -EADDRNOTAVAIL;
        case NLE_NODEV:
                return -ENODEV;
        default:
                return -EIO;
        }
}

/* Whether it is a message about an address. */
static bool read_address(struct nlmsghdr *header, struct seen *ret) {
        struct nlattr *attributes[IFA_MAX + 1] = {0}, *local;
        struct ifaddrmsg *m;

        if ((header->nlmsg_type != RTM_NEWADDR && header->nlmsg_type != RTM_DELADDR) ||
                        nlmsg_parse(header, sizeof(*m), attributes, IFA_MAX, NULL) < 0)
                return false;
        m = nlmsg_data(header);
        local = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
        *ret = (struct seen){.prefix = m->ifa_prefixlen, .link = (int)m->ifa_index};
        ret->address.size = m->ifa_family == AF_INET ? 4 : 16;
        if (!local || nla_len(local) != (int)ret->address.size ||
                        (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
                return false;
        memcpy(ret->address.octets, nla_data(local), ret->address.size);
        ret->ours = (attributes[IFA_PROTO] &&
                                    nla_get_u8(attributes[IFA_PROTO]) == NETWORK_ROUTE_PROTOCOL) ||
                    (attributes[IFA_LABEL] &&
                                    nla_strcmp(attributes[IFA_LABEL], CARRIED_LABEL) == 0);
        return true;
}

static int on_address(struct nl_msg *message, void *userdata) {
        struct carried *c = userdata;
        struct seen s;

        if (read_address(nlmsg_hdr(message), &s) && vector_append(&c->seen, s) < 0)
                c->failed = true;
        return NL_OK;
}

/* Each renewal of our own addresses is such a message, too: it changes nothing. */
static int on_change(struct nl_msg *message, void *userdata) {
        struct carried *c = userdata;
        struct seen s;

        c->stale |= read_address(nlmsg_hdr(message), &s) &&
                    (!s.ours || nlmsg_hdr(message)->nlmsg_type == RTM_DELADDR);
        return NL_OK;
}

static int open_changes(struct carried *c) {
        int r;

        c->stale = true;
        c->changes = nl_socket_alloc();
        if (!c->changes)
                return -NLE_NOMEM;
        nl_socket_disable_seq_check(c->changes);
        r = nl_socket_modify_cb(c->changes, NL_CB_VALID, NL_CB_CUSTOM, on_change, c);
        if (r < 0)
                return r;
        r = nl_connect(c->changes, NETLINK_ROUTE);
        if (r < 0)
                return r;
        r = nl_socket_add_memberships(c->changes, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0);
        if (r < 0)
                return r;
        return nl_socket_set_nonblocking(c->changes);
}

int carried_new(struct carried **ret) {
        _cleanup_(carried_freep) struct carried *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->socket = nl_socket_alloc();
        if (!c->socket)
                return -ENOMEM;
        r = nl_connect(c->socket, NETLINK_ROUTE);
        if (r < 0)
                return error_of(r);
        r = nl_socket_modify_cb(c->socket, NL_CB_VALID, NL_CB_CUSTOM, on_address, c);
        if (r < 0)
                return error_of(r);
        r = open_changes(c);
        if (r < 0)
                return error_of(r);
        *ret = TAKE_PTR(c);
        return 0;
}

struct carried *carried_free(struct carried *c) {
        if (!c)
                return NULL;
        nl_socket_free(c->socket);
        nl_socket_free(c->changes);
        vector_done(&c->seen);
        free(c);
        return NULL;
}

int carried_refresh(struct carried *c) {
        struct ifaddrmsg all = {.ifa_family = AF_UNSPEC};
        int r;

        do
                r = nl_recvmsgs_default(c->changes);
        while (r >= 0);
        /* Messages may have been lost otherwise. */
        c->stale |= r != -NLE_AGAIN;
        if (!c->stale)
                return 0;
        c->seen.count = 0;
        c->failed = false;
        c->stale = true;
        r = nl_send_simple(c->socket, RTM_GETADDR, NLM_F_DUMP, &all, sizeof(all));
        if (r < 0)
                return error_of(r);
        r = nl_recvmsgs_default(c->socket);
        if (r < 0)
                return error_of(r);
        if (c->failed)
                return -ENOMEM;
        c->stale = false;
        return 0;
}

static bool has_network(const struct seen *s, const struct address *a) {
        char text[ADDRESS_TEXT_SIZE];
        _cleanup_free_ char *network =
                        strformat("%s/%u", address_text(&s->address, text), s->prefix);
        struct address_range r;

        return network && address_range_parse(network, &r) >= 0 && address_range_has(&r, a);
}

/* Pods' links, the gateway and the service range are no way to other machines. */
static bool is_own_link(int link) {
        char name[IF_NAMESIZE];

        return !if_indextoname((unsigned)link, name) || startswith(name, NETWORK_LINK_PREFIX) ||
               startswith(name, "kp") || streq(name, "lo");
}

int carried_find_link(const struct carried *c, const struct address *a, const char *node_ip) {
        struct address own = address_parse(node_ip);
        const struct seen *best = NULL;
        int main_link = -ENODEV;

        for (size_t i = 0; i < c->seen.count; i++) {
                const struct seen *s = &c->seen.items[i];

                if (s->ours || is_own_link(s->link))
                        continue;
                if (address_compare(&s->address, &own) == 0)
                        main_link = s->link;
                if (has_network(s, a) && (!best || s->prefix > best->prefix))
                        best = s;
        }
        return best ? best->link : main_link;
}

bool carried_is_foreign(const struct carried *c, const struct address *a) {
        for (size_t i = 0; i < c->seen.count; i++)
                if (!c->seen.items[i].ours && address_compare(&c->seen.items[i].address, a) == 0)
                        return true;
        return false;
}

void carried_each(const struct carried *c,
                void (*func)(const struct address *a, int link, void *userdata), void *userdata) {
        for (size_t i = 0; i < c->seen.count; i++)
                if (c->seen.items[i].ours)
                        func(&c->seen.items[i].address, c->seen.items[i].link, userdata);
}

/* The head of a message about the address; NULL when out of memory. */
static struct nl_msg *message_about(const struct address *a, int link, int type, int flags) {
        struct ifaddrmsg m = {.ifa_family = a->size == 4 ? AF_INET : AF_INET6,
                        .ifa_prefixlen = (unsigned char)(a->size * 8),
                        /* No source address of anything that leaves the machine. */
                        .ifa_scope = a->size == 4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
                        .ifa_index = (unsigned)link};
        struct nl_msg *message = nlmsg_alloc_simple(type, flags);

        if (message && nlmsg_append(message, &m, sizeof(m), NLMSG_ALIGNTO) >= 0 &&
                        nla_put(message, IFA_LOCAL, (int)a->size, a->octets) >= 0 &&
                        nla_put(message, IFA_ADDRESS, (int)a->size, a->octets) >= 0)
                return message;
        nlmsg_free(message);
        return NULL;
}

int carried_put(struct carried *c, const struct address *a, int link, uint32_t valid_s) {
        /* Not preferred: never a source address. No duplicate address detection: the one that
         * carried it before may still answer. */
        struct ifa_cacheinfo life = {.ifa_prefered = 0, .ifa_valid = valid_s};
        _cleanup_(nlmsg_freep) struct nl_msg *message =
                        message_about(a, link, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);

        if (!message || nla_put(message, IFA_CACHEINFO, sizeof(life), &life) < 0 ||
                        nla_put_u32(message, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE) < 0 ||
                        nla_put_u8(message, IFA_PROTO, NETWORK_ROUTE_PROTOCOL) < 0 ||
                        (a->size == 4 && nla_put_string(message, IFA_LABEL, CARRIED_LABEL) < 0))
                return -ENOMEM;
        return error_of(nl_send_sync(c->socket, TAKE_PTR(message)));
}

int carried_remove(struct carried *c, const struct address *a, int link) {
        struct nl_msg *message = message_about(a, link, RTM_DELADDR, 0);
        int r;

        if (!message)
                return -ENOMEM;
        r = error_of(nl_send_sync(c->socket, message));
        return r == -EADDRNOTAVAIL || r == -ENODEV ? 0 : r;
}
