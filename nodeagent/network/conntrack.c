/* One dump of the table over netlink (ctnetlink), then one delete for each entry that is stale:
 * deleting while the dump runs could make it miss others. */
#include "nodeagent/network/conntrack.h"

#include <netinet/in.h>
#include <netlink/netfilter/ct.h>
#include <netlink/netfilter/nfnl.h>
#include <netlink/netlink.h>

#include "nodeagent/network/services-to-nft.h"

enum { STALE_MAX = 65536 };

struct sweep {
        const json_t *flows;
        const char *service_cidr;
        struct nfnl_ct **stale;
        size_t count, allocated;
        bool failed;
};

/* "10.1.2.3" of an address of the tuple; false when it is not IPv4. */
static bool address_text(struct nl_addr *a, char *text, size_t n) {
        if (!a || nl_addr_get_family(a) != AF_INET)
                return false;
        nl_addr2str(a, text, n);
        text[strcspn(text, "/")] = 0;
        return true;
}

static bool is_stale(const struct sweep *s, struct nfnl_ct *ct) {
        char to[64], from[64];
        struct udp_flow f = {.to = to, .from = from};

        if (nfnl_ct_get_proto(ct) != IPPROTO_UDP ||
                        !address_text(nfnl_ct_get_dst(ct, 0), to, sizeof(to)) ||
                        !address_text(nfnl_ct_get_src(ct, 1), from, sizeof(from)))
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
        if (!is_stale(s, ct) || s->count == STALE_MAX) {
                nfnl_ct_put(ct);
                return NL_OK;
        }
        if (s->count == s->allocated) {
                size_t n = MAX(s->allocated * 2, (size_t)64);
                struct nfnl_ct **list = reallocarray(s->stale, n, sizeof(*list));

                if (!list) {
                        s->failed = true;
                        nfnl_ct_put(ct);
                        return NL_STOP;
                }
                s->stale = list;
                s->allocated = n;
        }
        s->stale[s->count++] = ct;
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

int conntrack_sweep(const json_t *flows, const char *service_cidr) {
        struct sweep s = {.flows = flows, .service_cidr = service_cidr};
        struct nl_sock *reader, *writer = NULL;
        int deleted = 0, r;

        if (json_object_size(flows) == 0 && isempty(service_cidr))
                return 0;
        reader = open_socket();
        if (!reader)
                return -EIO;
        nl_socket_set_buffer_size(reader, 1 << 20, 0);
        r = nl_socket_modify_cb(reader, NL_CB_VALID, NL_CB_CUSTOM, on_entry, &s);
        if (r >= 0)
                r = nfnl_ct_dump_request(reader);
        if (r >= 0)
                r = nl_recvmsgs_default(reader);
        if (s.count > 0)
                writer = open_socket();
        for (size_t i = 0; i < s.count; i++) {
                /* Ended by itself meanwhile: as good. */
                if (writer && nfnl_ct_del(writer, s.stale[i], 0) >= 0)
                        deleted++;
                nfnl_ct_put(s.stale[i]);
        }
        free(s.stale);
        nl_socket_free(reader);
        nl_socket_free(writer);
        return s.failed ? -ENOMEM : r < 0 ? -EIO : deleted;
}
