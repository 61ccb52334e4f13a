/* A commit arrives as messages about its changes; the last one names the process. When the socket
 * overflows (a table of thousands of services is tens of thousands of messages) the generation
 * number shows whether a foreign commit was missed. */
#include "nodeagent/network/nft-monitor.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "nodeagent/network/nft-elements.h"

enum { RECEIVE_SIZE = 4 * 1024 * 1024, MESSAGES_PER_TURN = 16 };

struct nft_monitor {
        char *table;
        nft_monitor_func on_foreign;
        void *userdata;
        int fd;
        sd_event_source *io;
        bool touched;         /* our table, in the commit being read */
        bool overflowed;      /* while one of our commits was running */
        bool paused;          /* while they are running */
        unsigned own_running; /* our commits that are running */
        unsigned own_commits; /* not yet seen on the socket */
        uint32_t own_pid;     /* the kernel's id of the thread that commits; 0: not known yet */
        uint32_t generation;  /* of the last commit that was seen */
        uint32_t own_last;    /* generation right after our last commit */
};

static uint32_t attribute_u32(const struct nlmsghdr *h, unsigned type) {
        size_t n, size = 0;
        const void *attributes = nft_message_attributes(h, &n),
                   *v = attributes ? nft_attribute(attributes, n, type, &size) : NULL;
        uint32_t number = 0;

        if (size >= sizeof(number))
                memcpy(&number, v, sizeof(number));
        return be32toh(number);
}

static bool attribute_is(const struct nlmsghdr *h, unsigned type, const char *text) {
        return streq(strempty(nft_message_text(h, type)), text);
}

static void commit_seen(struct nft_monitor *m, const struct nlmsghdr *h) {
        uint32_t pid = attribute_u32(h, NFTA_GEN_PROC_PID);
        char name[17] = "";
        bool ours, foreign;

        (void)prctl(PR_GET_NAME, name);
        /* In a PID namespace the kernel's id for us differs from gettid(): it is taken from our
         * first commit of this table. */
        if (m->own_pid == 0 && m->own_running + m->own_commits > 0 && m->touched &&
                        attribute_is(h, NFTA_GEN_PROC_NAME, name))
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
}

static int set_membership(const struct nft_monitor *m, int option) {
        static const int group = NFNLGRP_NFTABLES;

        return setsockopt(m->fd, SOL_NETLINK, option, &group, sizeof(group)) < 0 ? -errno : 0;
}

void nft_monitor_pause(struct nft_monitor *m) {
        m->paused = set_membership(m, NETLINK_DROP_MEMBERSHIP) >= 0;
}

/* What others committed in the pause shows in the generation. */
static void resume(struct nft_monitor *m, uint32_t *after) {
        m->paused = false;
        m->overflowed = true;
        if (set_membership(m, NETLINK_ADD_MEMBERSHIP) < 0 || nft_generation() != *after)
                *after = 0;
}

void nft_monitor_end(struct nft_monitor *m, unsigned commits, uint32_t before, uint32_t after) {
        m->own_running--;
        m->own_commits += commits;
        if (m->paused)
                resume(m, &after);
        m->own_last = after;
        if (!m->overflowed)
                return;
        m->overflowed = false;
        m->generation = after;
        if (before == 0 || after != before + commits)
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

static int open_monitor(struct nft_monitor *m, sd_event *event) {
        struct sockaddr_nl address = {.nl_family = AF_NETLINK};
        int size = RECEIVE_SIZE, r;

        m->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
        if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        r = set_membership(m, NETLINK_ADD_MEMBERSHIP);
        if (r < 0)
                return r;
        (void)setsockopt(m->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        return sd_event_add_io(event, &m->io, m->fd, EPOLLIN, on_netlink, m);
}

int nft_monitor_new(struct nft_monitor **ret, sd_event *event, const char *table,
                nft_monitor_func on_foreign, void *userdata) {
        struct nft_monitor *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->fd = -EBADF;
        m->on_foreign = on_foreign;
        m->userdata = userdata;
        m->table = strdup(table);
        r = m->table ? open_monitor(m, event) : -ENOMEM;
        if (r < 0) {
                nft_monitor_free(m);
                return r;
        }
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
