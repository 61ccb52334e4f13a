/* A commit arrives as messages about its changes; the last one names the process. When the socket
 * overflows (a table of thousands of services is tens of thousands of messages) the generation
 * number shows whether a foreign commit was missed. */
#include "nodeagent/network/nft-monitor.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { RECEIVE_SIZE = 4 * 1024 * 1024, MESSAGES_PER_TURN = 16 };

struct nft_monitor {
        char *table;
        nft_monitor_func on_foreign;
        void *userdata;
        int fd;
        sd_event_source *io;
        bool touched;         /* our table, in the commit being read */
        bool overflowed;      /* while one of our commits was running */
        unsigned own_running; /* our commits that are running */
        unsigned own_commits; /* not yet seen on the socket */
        uint32_t own_pid;     /* the kernel's id of the thread that commits; 0: not known yet */
        uint32_t generation;  /* of the last commit that was seen */
        uint32_t own_last;    /* generation right after our last commit */
};

static const struct nlattr *attribute(const struct nlmsghdr *h, uint16_t type, size_t *ret_size) {
        size_t offset = NLMSG_ALIGN(sizeof(*h)) + NLMSG_ALIGN(sizeof(struct nfgenmsg));

        while (offset + sizeof(struct nlattr) <= h->nlmsg_len) {
                const struct nlattr *a = (const struct nlattr *)((const char *)h + offset);

                if (a->nla_len < NLA_HDRLEN || offset + a->nla_len > h->nlmsg_len)
                        return NULL;
                if ((a->nla_type & NLA_TYPE_MASK) == type) {
                        *ret_size = a->nla_len - NLA_HDRLEN;
                        return a;
                }
                offset += NLA_ALIGN(a->nla_len);
        }
        return NULL;
}

static uint32_t attribute_u32(const struct nlmsghdr *h, uint16_t type) {
        size_t size;
        const struct nlattr *a = attribute(h, type, &size);
        uint32_t v = 0;

        if (a && size >= sizeof(v))
                memcpy(&v, (const char *)a + NLA_HDRLEN, sizeof(v));
        return be32toh(v);
}

static bool attribute_is(const struct nlmsghdr *h, uint16_t type, const char *text) {
        size_t size;
        const struct nlattr *a = attribute(h, type, &size);

        return a && size > strlen(text) && strncmp((const char *)a + NLA_HDRLEN, text, size) == 0;
}

static void commit_seen(struct nft_monitor *m, const struct nlmsghdr *h) {
        uint32_t pid = attribute_u32(h, NFTA_GEN_PROC_PID);
        char name[17] = "";
        bool ours, foreign;

        (void)prctl(PR_GET_NAME, name);
        /* In a PID namespace the kernel's id for us differs from gettid(): it is taken from our
         * first commit. */
        if (m->own_pid == 0 && m->own_commits > 0 && attribute_is(h, NFTA_GEN_PROC_NAME, name))
                m->own_pid = pid;
        ours = pid == m->own_pid;
        if (ours && m->own_commits > 0)
                m->own_commits--;
        m->generation = attribute_u32(h, NFTA_GEN_ID);
        foreign = m->touched && !ours;
        m->touched = false;
        if (foreign)
                m->on_foreign(m->userdata);
}

static void overflow(struct nft_monitor *m) {
        uint32_t now;

        m->touched = false;
        m->own_commits = 0;
        if (m->own_running > 0) {
                m->overflowed = true;
                return;
        }
        now = nft_generation();
        if (now == 0 || (now != m->generation && now != m->own_last))
                m->on_foreign(m->userdata);
        m->generation = now;
}

static int on_netlink(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct nft_monitor *m = userdata;
        _Alignas(struct nlmsghdr) char buffer[32768];

        for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
                ssize_t size = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

                if (size < 0 && errno == ENOBUFS) {
                        overflow(m);
                        continue;
                }
                if (size <= 0)
                        return 0;
                for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, (size_t)size);
                                h = NLMSG_NEXT(h, size)) {
                        unsigned message = h->nlmsg_type & 0xff;

                        if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
                                continue;
                        if (message == NFT_MSG_NEWGEN)
                                commit_seen(m, h);
                        else if (attribute_is(h, NFTA_TABLE_NAME, m->table))
                                m->touched = true;
                }
        }
        return 0;
}

void nft_monitor_begin(struct nft_monitor *m) {
        m->own_running++;
        m->own_commits++;
}

void nft_monitor_end(struct nft_monitor *m, bool ok, uint32_t before, uint32_t after) {
        m->own_running--;
        m->own_last = after;
        if (!ok && m->own_commits > 0)
                m->own_commits--;
        if (!m->overflowed)
                return;
        m->overflowed = false;
        m->generation = after;
        if (before == 0 || after != before + (ok ? 1 : 0))
                m->on_foreign(m->userdata);
}

uint32_t nft_generation(void) {
        struct {
                struct nlmsghdr header;
                struct nfgenmsg body;
        } request = {{.nlmsg_len = sizeof(request),
                                     .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                                     .nlmsg_flags = NLM_F_REQUEST},
                        {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0}};
        struct timeval limit = {.tv_sec = 1};
        _Alignas(struct nlmsghdr) char buffer[8192];
        const struct nlmsghdr *h = (const struct nlmsghdr *)buffer;
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        ssize_t n;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
                        send(fd, &request, sizeof(request), 0) != sizeof(request))
                return 0;
        n = recv(fd, buffer, sizeof(buffer), 0);
        if (n < 0 || !NLMSG_OK(h, (size_t)n) ||
                        h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN))
                return 0;
        return attribute_u32(h, NFTA_GEN_ID);
}

int nft_monitor_new(struct nft_monitor **ret, sd_event *event, const char *table,
                nft_monitor_func on_foreign, void *userdata) {
        struct sockaddr_nl address = {.nl_family = AF_NETLINK};
        int group = NFNLGRP_NFTABLES, size = RECEIVE_SIZE, r;
        struct nft_monitor *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        m->on_foreign = on_foreign;
        m->userdata = userdata;
        m->table = strdup(table);
        m->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
        if (!m->table)
                r = -ENOMEM;
        else if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
                        setsockopt(m->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
                                        sizeof(group)) < 0)
                r = -errno;
        else
                r = sd_event_add_io(event, &m->io, m->fd, EPOLLIN, on_netlink, m);
        if (r < 0) {
                nft_monitor_free(m);
                return r;
        }
        (void)setsockopt(m->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        m->generation = nft_generation();
        *ret = m;
        return 0;
}

struct nft_monitor *nft_monitor_free(struct nft_monitor *m) {
        if (!m)
                return NULL;
        sd_event_source_disable_unref(m->io);
        safe_close(m->fd);
        free(m->table);
        free(m);
        return NULL;
}
