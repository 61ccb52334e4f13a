/* One dump of the table over netlink (ctnetlink), then one delete for each stale entry: deleting
 * during the dump could make it skip others. */
#include "nodeagent/network/conntrack.h"

#include <netinet/in.h>
#include <netlink/netfilter/ct.h>
#include <netlink/netfilter/nfnl.h>
#include <netlink/netlink.h>

#include "lib/vector.h"
#include "nodeagent/network/services-to-nft.h"

enum { STALE_MAX = 65536 };

struct sweep {
        const json_t *flows;
        const char *const *service_cidr;
        VECTOR(struct nfnl_ct *) stale;
        bool failed;
};

/* "10.1.2.3" or "fd00::1" of an address of the tuple; false when it is none. */
static bool tuple_address(struct nl_addr *a, char *text, size_t n) {
        if (!a || (nl_addr_get_family(a) != AF_INET && nl_addr_get_family(a) != AF_INET6))
                return false;
        nl_addr2str(a, text, n);
        text[strcspn(text, "/")] = 0;
        return true;
}

static bool is_stale(const struct sweep *s, struct nfnl_ct *ct) {
        char to[64], from[64];
        struct udp_flow f = {.to = to, .from = from};

        if (nfnl_ct_get_proto(ct) != IPPROTO_UDP ||
                        !tuple_address(nfnl_ct_get_dst(ct, 0), to, sizeof(to)) ||
                        !tuple_address(nfnl_ct_get_src(ct, 1), from, sizeof(from)))
                return false;
        f.to_port = nfnl_ct_get_dst_port(ct, 0);
        f.from_port = nfnl_ct_get_src_port(ct, 1);
        return flow_is_stale(s->flows, s->service_cidr, &f);
}

static int on_entry(struct nl_msg *message, void *userdata) {
        struct sweep *s = userdata;
        struct nfnl_ct *ct = NULL;

        if (nfnlmsg_ct_parse(nlmsg_hdr(message), &ct) < 0 || !ct)
                return NL_OK;
        if (!is_stale(s, ct) || s->stale.count == STALE_MAX) {
                nfnl_ct_put(ct);
                return NL_OK;
        }
        if (vector_append(&s->stale, ct) < 0) {
                s->failed = true;
                nfnl_ct_put(ct);
                return NL_STOP;
        }
        return NL_OK;
}

static struct nl_sock *open_socket(void) {
        struct nl_sock *s = nl_socket_alloc();

        if (s && nfnl_connect(s) < 0) {
                nl_socket_free(s);
                return NULL;
        }
        return s;
}

/* Fills s->stale. A netlink error code. */
static int dump(struct nl_sock *reader, struct sweep *s) {
        int r;

        nl_socket_set_buffer_size(reader, 1 << 20, 0);
        r = nl_socket_modify_cb(reader, NL_CB_VALID, NL_CB_CUSTOM, on_entry, s);
        if (r < 0)
                return r;
        r = nfnl_ct_dump_request(reader);
        if (r < 0)
                return r;
        return nl_recvmsgs_default(reader);
}

/* Returns the number of entries that were deleted. */
static int delete_stale(struct sweep *s) {
        struct nl_sock *writer = s->stale.count > 0 ? open_socket() : NULL;
        int deleted = 0;

        for (size_t i = 0; i < s->stale.count; i++) {
                /* An error here means that the entry ended meanwhile. */
                if (writer && nfnl_ct_del(writer, s->stale.items[i], 0) >= 0)
                        deleted++;
                nfnl_ct_put(s->stale.items[i]);
        }
        vector_done(&s->stale);
        nl_socket_free(writer);
        return deleted;
}

int conntrack_sweep(const json_t *flows, const char *const service_cidr[FAMILIES]) {
        struct sweep s = {.flows = flows, .service_cidr = service_cidr};
        struct nl_sock *reader;
        int deleted, r;

        if (json_object_size(flows) == 0 && !service_cidr)
                return 0;
        reader = open_socket();
        if (!reader)
                return -EIO;
        r = dump(reader, &s);
        nl_socket_free(reader);
        deleted = delete_stale(&s);
        if (s.failed)
                return -ENOMEM;
        return r < 0 ? -EIO : deleted;
}
