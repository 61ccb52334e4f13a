/* A message holds a list of elements of one map, at most 64 KB of them, as the size of an attribute
 * is a number of 16 bits. Numbers of attributes are in the byte order of the network; the number of
 * an endpoint in a key is in the machine's, as `numgen` makes it. The formats are those of
 * linux/netfilter/nf_tables.h. */
#include "nodeagent/network/nft-elements.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>

#include "lib/address.h"

enum { LIST_MAX = 60000, FIELD_TEXT_MAX = 64 };

/* ---- keys ---- */

static const struct {
        const char *name;
        unsigned char number;
} protocols[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}};

static size_t field_size(char field, enum ip_family family) {
        return field == 'a' && family == FAMILY_IPV6 ? 16 : 4;
}

static int encode_protocol(const char *text, unsigned char *to) {
        uint32_t number;

        for (size_t i = 0; i < ELEMENTS(protocols); i++)
                if (streq(text, protocols[i].name)) {
                        to[0] = protocols[i].number;
                        return 0;
                }
        if (parse_u32(text, &number) < 0 || number > UINT8_MAX)
                return -EINVAL;
        to[0] = (unsigned char)number;
        return 0;
}

/* `to` is zero. */
static int encode_field(char field, enum ip_family family, const char *text, unsigned char *to) {
        struct address a;
        uint32_t number;
        uint16_t port;

        switch (field) {
        case 'a':
                a = address_parse(text);
                if (a.size != field_size(field, family))
                        return -EINVAL;
                memcpy(to, a.octets, a.size);
                return 0;
        case 'p':
                return encode_protocol(text, to);
        case 's':
                if (parse_u32(text, &number) < 0 || number > 65535)
                        return -EINVAL;
                port = htons((uint16_t)number);
                memcpy(to, &port, sizeof(port));
                return 0;
        default:
                if (parse_u32(text, &number) < 0)
                        return -EINVAL;
                memcpy(to, &number, sizeof(number));
                return 0;
        }
}

int nft_key_encode(const char *fields, enum ip_family family, const char *text,
                unsigned char ret[static NFT_KEY_MAX]) {
        size_t n = 0;

        memset(ret, 0, NFT_KEY_MAX);
        for (; *fields; fields++) {
                const char *end = strstr(text, " . ");
                size_t length = end ? (size_t)(end - text) : strlen(text);
                char one[FIELD_TEXT_MAX];
                int r;

                if (length >= sizeof(one) || !end == (fields[1] != 0) ||
                                n + field_size(*fields, family) > NFT_KEY_MAX)
                        return -EINVAL;
                memcpy(one, text, length);
                one[length] = 0;
                r = encode_field(*fields, family, one, ret + n);
                if (r < 0)
                        return r;
                n += field_size(*fields, family);
                text += length + (end ? 3 : 0);
        }
        return (int)n;
}

static void decode_field(
                char field, enum ip_family family, const unsigned char *from, struct buf *out) {
        struct address a = {.size = (unsigned)field_size(field, family)};
        char text[ADDRESS_TEXT_SIZE];
        uint32_t number;
        uint16_t port;

        switch (field) {
        case 'a':
                memcpy(a.octets, from, a.size);
                buf_append_str(out, address_text(&a, text));
                return;
        case 'p':
                for (size_t i = 0; i < ELEMENTS(protocols); i++)
                        if (protocols[i].number == from[0]) {
                                buf_append_str(out, protocols[i].name);
                                return;
                        }
                buf_printf(out, "%u", from[0]);
                return;
        case 's':
                memcpy(&port, from, sizeof(port));
                buf_printf(out, "%u", ntohs(port));
                return;
        default:
                memcpy(&number, from, sizeof(number));
                buf_printf(out, "%u", number);
                return;
        }
}

char *nft_key_decode(const char *fields, enum ip_family family, const void *bytes, size_t n) {
        _cleanup_buf_ struct buf out = {0};
        const unsigned char *at = bytes;

        for (const char *f = fields; *f; f++) {
                size_t size = field_size(*f, family);

                if (size > n)
                        return NULL;
                if (f > fields)
                        buf_append_str(&out, " . ");
                decode_field(*f, family, at, &out);
                at += size;
                n -= size;
        }
        return n == 0 ? buf_take(&out) : NULL;
}

/* ---- writing ---- */

static void pad(struct buf *b) {
        static const char zeros[4];

        buf_append(b, zeros, (4 - b->size % 4) % 4);
}

static size_t nest_begin(struct buf *b, uint16_t type) {
        struct nlattr a = {.nla_type = (uint16_t)(type | NLA_F_NESTED)};
        size_t at = b->size;

        buf_append(b, &a, sizeof(a));
        return at;
}

static void nest_end(struct buf *b, size_t at) {
        uint16_t size = (uint16_t)(b->size - at);

        if (!b->failed)
                memcpy(b->data + at, &size, sizeof(size));
}

static void attribute(struct buf *b, uint16_t type, const void *data, size_t n) {
        struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + n), .nla_type = type};

        buf_append(b, &a, sizeof(a));
        buf_append(b, data, n);
        pad(b);
}

static void attribute_text(struct buf *b, uint16_t type, const char *text) {
        attribute(b, type, text, strlen(text) + 1);
}

static size_t message_begin(
                struct nft_batch *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t id) {
        struct {
                struct nlmsghdr header;
                struct nfgenmsg body;
        } m = {{.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = ++b->messages},
                        {.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(id)}};
        size_t at = b->bytes.size;

        buf_append(&b->bytes, &m, sizeof(m));
        return at;
}

static void message_end(struct nft_batch *b, size_t at) {
        uint32_t size = (uint32_t)(b->bytes.size - at);

        if (!b->bytes.failed)
                memcpy(b->bytes.data + at, &size, sizeof(size));
}

static void close_list(struct nft_batch *b) {
        if (b->message == 0)
                return;
        nest_end(&b->bytes, b->list);
        message_end(b, b->message);
        b->last = b->message;
        b->message = 0;
}

static void open_list(
                struct nft_batch *b, bool add, enum nft_collection_id id, enum ip_family family) {
        uint16_t type = add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;

        if (b->bytes.size == 0)
                message_end(b, message_begin(b, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, AF_UNSPEC,
                                               NFNL_SUBSYS_NFTABLES));
        b->message = message_begin(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type),
                        (uint16_t)(NLM_F_REQUEST | (add ? NLM_F_CREATE : 0)), NFPROTO_INET, 0);
        attribute_text(&b->bytes, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE_NAME);
        attribute_text(&b->bytes, NFTA_SET_ELEM_LIST_SET, nft_collection_name(id, family));
        b->list = nest_begin(&b->bytes, NFTA_SET_ELEM_LIST_ELEMENTS);
        b->add = add;
        b->id = id;
        b->family = family;
}

static void verdict(struct buf *b, int32_t code, const char *chain) {
        uint32_t number = htonl((uint32_t)code);
        size_t at = nest_begin(b, NFTA_DATA_VERDICT);

        attribute(b, NFTA_VERDICT_CODE, &number, sizeof(number));
        if (chain)
                attribute_text(b, NFTA_VERDICT_CHAIN, chain);
        nest_end(b, at);
}

static int put_value(struct buf *b, enum nft_value kind, enum ip_family family, const char *value) {
        unsigned char bytes[NFT_KEY_MAX];
        size_t at = nest_begin(b, NFTA_SET_ELEM_DATA);
        int n = 0;

        if (kind == NFT_VALUE_PLACE) {
                n = nft_key_encode("as", family, value, bytes);
                if (n > 0)
                        attribute(b, NFTA_DATA_VALUE, bytes, (size_t)n);
        } else if (startswith(value, "goto "))
                verdict(b, NFT_GOTO, value + strlen("goto "));
        else if (streq(value, "drop"))
                verdict(b, NF_DROP, NULL);
        else if (streq(value, "return"))
                verdict(b, NFT_RETURN, NULL);
        else
                n = -EINVAL;
        nest_end(b, at);
        return n < 0 ? n : 0;
}

int nft_batch_put(struct nft_batch *b, bool add, const char *collection, const char *key,
                const char *value) {
        unsigned char bytes[NFT_KEY_MAX];
        enum nft_collection_id id;
        enum ip_family family;
        size_t one, nest;
        int n, r = 0;

        if (!nft_collection_find(collection, &id, &family))
                return -EINVAL;
        n = nft_key_encode(nft_collections[id].fields, family, key, bytes);
        if (n < 0)
                return n;
        if (b->message > 0 && (b->add != add || b->id != id || b->family != family ||
                                              b->bytes.size - b->list > LIST_MAX))
                close_list(b);
        if (b->message == 0)
                open_list(b, add, id, family);
        one = nest_begin(&b->bytes, NFTA_LIST_ELEM);
        nest = nest_begin(&b->bytes, NFTA_SET_ELEM_KEY);
        attribute(&b->bytes, NFTA_DATA_VALUE, bytes, (size_t)n);
        nest_end(&b->bytes, nest);
        if (add && nft_collections[id].value != NFT_VALUE_NONE)
                r = put_value(&b->bytes, nft_collections[id].value, family, value);
        nest_end(&b->bytes, one);
        b->elements++;
        if (r < 0)
                return r;
        return b->bytes.failed ? -ENOMEM : 0;
}

int nft_batch_close(struct nft_batch *b) {
        uint16_t flags;

        close_list(b);
        if (b->last == 0)
                return 0;
        message_end(b, message_begin(b, NFNL_MSG_BATCH_END, NLM_F_REQUEST, AF_UNSPEC,
                                       NFNL_SUBSYS_NFTABLES));
        if (b->bytes.failed)
                return -ENOMEM;
        memcpy(&flags, b->bytes.data + b->last + offsetof(struct nlmsghdr, nlmsg_flags),
                        sizeof(flags));
        flags |= NLM_F_ACK;
        memcpy(b->bytes.data + b->last + offsetof(struct nlmsghdr, nlmsg_flags), &flags,
                        sizeof(flags));
        return 0;
}

void nft_batch_done(struct nft_batch *b) {
        buf_done(&b->bytes);
        *b = (struct nft_batch){0};
}

/* ---- reading ---- */

const void *nft_attribute(const void *attributes, size_t n, unsigned type, size_t *ret_size) {
        const char *at = attributes;

        while (n >= sizeof(struct nlattr)) {
                struct nlattr a;
                size_t step;

                memcpy(&a, at, sizeof(a));
                if (a.nla_len < sizeof(a) || a.nla_len > n)
                        return NULL;
                if ((a.nla_type & NLA_TYPE_MASK) == type) {
                        *ret_size = a.nla_len - sizeof(a);
                        return at + sizeof(a);
                }
                step = NLA_ALIGN(a.nla_len);
                if (step >= n)
                        return NULL;
                at += step;
                n -= step;
        }
        return NULL;
}

const void *nft_message_attributes(const struct nlmsghdr *h, size_t *ret_size) {
        size_t head = NLMSG_ALIGN(sizeof(struct nlmsghdr)) + NLMSG_ALIGN(sizeof(struct nfgenmsg));

        if (h->nlmsg_len < head)
                return NULL;
        *ret_size = h->nlmsg_len - head;
        return (const char *)h + head;
}

const char *nft_message_text(const struct nlmsghdr *h, unsigned type) {
        size_t n, size;
        const void *attributes = nft_message_attributes(h, &n);
        const char *text = attributes ? nft_attribute(attributes, n, type, &size) : NULL;

        return text && size > 0 && text[size - 1] == 0 ? text : NULL;
}

/* The text of a verdict; caller frees. */
static char *read_verdict(const void *attributes, size_t n) {
        size_t size, chain_size;
        const void *code = nft_attribute(attributes, n, NFTA_VERDICT_CODE, &size);
        const char *chain = nft_attribute(attributes, n, NFTA_VERDICT_CHAIN, &chain_size);
        uint32_t number;

        if (!code || size != sizeof(number))
                return NULL;
        memcpy(&number, code, sizeof(number));
        switch ((int32_t)ntohl(number)) {
        case NFT_GOTO:
                return chain && chain_size > 0 ? strformat("goto %.*s", (int)chain_size - 1, chain)
                                               : NULL;
        case NF_DROP:
                return strdup("drop");
        case NFT_RETURN:
                return strdup("return");
        default:
                return strformat("%d", (int32_t)ntohl(number));
        }
}

static char *read_value(enum nft_value kind, enum ip_family family, const void *data, size_t n) {
        size_t size;
        const void *inner;

        if (kind == NFT_VALUE_NONE)
                return strdup("");
        inner = nft_attribute(data, n,
                        kind == NFT_VALUE_PLACE ? NFTA_DATA_VALUE : NFTA_DATA_VERDICT, &size);
        if (!inner)
                return NULL;
        return kind == NFT_VALUE_PLACE ? nft_key_decode("as", family, inner, size)
                                       : read_verdict(inner, size);
}

static int read_element(const char *collection, const void *element, size_t n,
                model_element_func func, void *userdata) {
        enum nft_collection_id id;
        enum ip_family family;
        size_t size, data_size = 0;
        const void *key = nft_attribute(element, n, NFTA_SET_ELEM_KEY, &size),
                   *data = nft_attribute(element, n, NFTA_SET_ELEM_DATA, &data_size),
                   *bytes = key ? nft_attribute(key, size, NFTA_DATA_VALUE, &size) : NULL;
        _cleanup_free_ char *text = NULL, *value = NULL;

        if (!bytes || !nft_collection_find(collection, &id, &family))
                return -EBADMSG;
        text = nft_key_decode(nft_collections[id].fields, family, bytes, size);
        value = read_value(nft_collections[id].value, family, data, data_size);
        if (!text)
                return -EBADMSG;
        /* A value that no model can have is another one than that of any model. */
        return func(/* add= */ true, collection, text, value ? value : "?", userdata);
}

int nft_elements_read(const struct nlmsghdr *h, model_element_func func, void *userdata) {
        const char *collection = nft_message_text(h, NFTA_SET_ELEM_LIST_SET), *at;
        size_t n, size;
        const void *attributes = nft_message_attributes(h, &n);

        if (!attributes || !collection)
                return -EBADMSG;
        at = nft_attribute(attributes, n, NFTA_SET_ELEM_LIST_ELEMENTS, &size);
        while (at && size >= sizeof(struct nlattr)) {
                struct nlattr a;
                int r;

                memcpy(&a, at, sizeof(a));
                if (a.nla_len < sizeof(a) || a.nla_len > size)
                        return -EBADMSG;
                r = read_element(collection, at + sizeof(a), a.nla_len - sizeof(a), func, userdata);
                if (r < 0)
                        return r;
                at += MIN((size_t)NLA_ALIGN(a.nla_len), size);
                size -= MIN((size_t)NLA_ALIGN(a.nla_len), size);
        }
        return 0;
}
