/* A dump that the kernel marks as interrupted by a commit is read again. Of a batch the kernel
 * answers what it refuses, and its last change: all answers are there when the batch was sent. */
#include "nodeagent/network/nft-kernel.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

enum { READ_SIZE = 64 * 1024, ATTEMPTS = 20, ANSWER_S = 10, SEND_SLACK = 64 * 1024 };

static int open_socket(size_t send_size) {
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        struct timeval limit = {.tv_sec = ANSWER_S};
        int size = (int)MIN(send_size + SEND_SLACK, (size_t)INT32_MAX / 4);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
                return -errno;
        if (send_size > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* ---- reading ---- */

typedef int (*message_func)(const struct nlmsghdr *h, void *userdata);

struct dump {
        unsigned type;        /* NFT_MSG_GET... */
        unsigned answer;      /* NFT_MSG_NEW... */
        unsigned table;       /* the attribute that names the table, in both */
        unsigned set;         /* ... that names the set; 0: all of the table */
        const char *set_name; /* NULL with 0 */
        message_func func;
        void *userdata;
};

static void put_text(struct buf *b, unsigned type, const char *text) {
        struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + strlen(text) + 1),
                        .nla_type = (uint16_t)type};
        static const char zeros[4];

        buf_append(b, &a, sizeof(a));
        buf_append(b, text, strlen(text) + 1);
        buf_append(b, zeros, (4 - b->size % 4) % 4);
}

static int send_request(int fd, const struct dump *d) {
        struct {
                struct nlmsghdr header;
                struct nfgenmsg body;
        } m = {{.nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | d->type),
                               .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                        {.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0}};
        _cleanup_buf_ struct buf b = {0};
        uint32_t size;

        buf_append(&b, &m, sizeof(m));
        put_text(&b, d->table, NFT_TABLE_NAME);
        if (d->set > 0)
                put_text(&b, d->set, d->set_name);
        if (b.failed)
                return -ENOMEM;
        size = (uint32_t)b.size;
        memcpy(b.data, &size, sizeof(size));
        return send(fd, b.data, b.size, 0) < 0 ? -errno : 0;
}

static int error_of(const struct nlmsghdr *h) {
        int r;

        if (h->nlmsg_len < NLMSG_HDRLEN + sizeof(r))
                return -EBADMSG;
        memcpy(&r, (const char *)h + NLMSG_HDRLEN, sizeof(r));
        return r;
}

/* 1 at the end, 0 to continue. */
static int one_message(const struct dump *d, const struct nlmsghdr *h) {
        const char *table;

        if (h->nlmsg_flags & NLM_F_DUMP_INTR)
                return -EINTR;
        /* Both begin with an error number. */
        if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
                return error_of(h) == 0 || error_of(h) == -ENOENT ? 1 : error_of(h);
        if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | d->answer))
                return 0;
        table = nft_message_text(h, d->table);
        return streq(strempty(table), NFT_TABLE_NAME) ? d->func(h, d->userdata) : 0;
}

static int read_dump(int fd, const struct dump *d, char *buffer) {
        for (;;) {
                ssize_t n = recv(fd, buffer, READ_SIZE, 0);

                if (n < 0)
                        return -errno;
                for (const struct nlmsghdr *h = (const struct nlmsghdr *)buffer;
                                NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
                        int r = one_message(d, h);

                        if (r != 0)
                                return r;
                }
        }
}

static int dump_once(const struct dump *d) {
        _cleanup_close_ int fd = open_socket(0);
        _cleanup_free_ char *buffer = malloc(READ_SIZE);
        int r;

        if (fd < 0)
                return fd;
        if (!buffer)
                return -ENOMEM;
        r = send_request(fd, d);
        if (r < 0)
                return r;
        r = read_dump(fd, d, buffer);
        return r < 0 ? r : 0;
}

static int count_chain(const struct nlmsghdr *h, void *userdata) {
        const char *name = nft_message_text(h, NFTA_CHAIN_NAME);
        struct nft_kernel *k = userdata;
        unsigned *count = name ? calloc(1, sizeof(*count)) : NULL;

        if (!name)
                return 0;
        if (!count || map_set(k->chains, name, count) < 0) {
                free(count);
                return -ENOMEM;
        }
        return 0;
}

static int count_rule(const struct nlmsghdr *h, void *userdata) {
        const char *name = nft_message_text(h, NFTA_RULE_CHAIN);
        const struct nft_kernel *k = userdata;
        unsigned *count = name ? map_get(k->chains, name) : NULL;

        if (count)
                ++*count;
        return 0;
}

static int count_set(const struct nlmsghdr *h, void *userdata) {
        const char *name = nft_message_text(h, NFTA_SET_NAME);
        struct nft_kernel *k = userdata;

        return name ? map_set(k->sets, name, k) : 0;
}

static int read_all(struct nft_kernel *k) {
        const struct dump dumps[] = {
                        {.type = NFT_MSG_GETCHAIN,
                                        .answer = NFT_MSG_NEWCHAIN,
                                        .table = NFTA_CHAIN_TABLE,
                                        .func = count_chain,
                                        .userdata = k},
                        {.type = NFT_MSG_GETRULE,
                                        .answer = NFT_MSG_NEWRULE,
                                        .table = NFTA_RULE_TABLE,
                                        .func = count_rule,
                                        .userdata = k},
                        {.type = NFT_MSG_GETSET,
                                        .answer = NFT_MSG_NEWSET,
                                        .table = NFTA_SET_TABLE,
                                        .func = count_set,
                                        .userdata = k},
        };

        nft_kernel_done(k);
        k->chains = map_new(free);
        k->sets = map_new(NULL);
        if (!k->chains || !k->sets)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(dumps); i++) {
                int r = dump_once(&dumps[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

int nft_kernel_read(struct nft_kernel *k) {
        int r = -EINTR;

        for (int i = 0; i < ATTEMPTS && r == -EINTR; i++)
                r = read_all(k);
        return r;
}

void nft_kernel_done(struct nft_kernel *k) {
        k->chains = map_free(k->chains);
        k->sets = map_free(k->sets);
}

struct reading {
        model_element_func func;
        void *userdata;
};

static int on_elements(const struct nlmsghdr *h, void *userdata) {
        const struct reading *r = userdata;

        return nft_elements_read(h, r->func, r->userdata);
}

int nft_kernel_elements(const char *collection, model_element_func func, void *userdata) {
        struct reading reading = {func, userdata};
        const struct dump d = {.type = NFT_MSG_GETSETELEM,
                        .answer = NFT_MSG_NEWSETELEM,
                        .table = NFTA_SET_ELEM_LIST_TABLE,
                        .set = NFTA_SET_ELEM_LIST_SET,
                        .set_name = collection,
                        .func = on_elements,
                        .userdata = &reading};
        int r = -EINTR;

        for (int i = 0; i < ATTEMPTS && r == -EINTR; i++)
                r = dump_once(&d);
        return r;
}

/* ---- commits ---- */

static int read_answers(int fd) {
        _Alignas(struct nlmsghdr) char buffer[8192];
        bool answered = false;
        int first = 0;

        for (;;) {
                ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n < 0)
                        break;
                for (const struct nlmsghdr *h = (const struct nlmsghdr *)buffer;
                                NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
                        if (h->nlmsg_type != NLMSG_ERROR)
                                continue;
                        answered = true;
                        if (first == 0)
                                first = error_of(h);
                }
        }
        return first < 0 ? first : answered ? 0 : -EIO;
}

int nft_kernel_commit(const struct nft_batch *b) {
        _cleanup_close_ int fd = -EBADF;

        if (b->bytes.size == 0)
                return 0;
        fd = open_socket(b->bytes.size);
        if (fd < 0)
                return fd;
        if (send(fd, b->bytes.data, b->bytes.size, 0) < 0)
                return -errno;
        return read_answers(fd);
}
