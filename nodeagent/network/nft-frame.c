/* The frame is written as one list of chains and their rules. It is put in by one transaction that
 * empties the chains first, so there is no moment without rules. */
#include "nodeagent/network/nft-frame.h"

#include "lib/crypto.h"

/* What has ports. */
#define PORTS "meta l4proto { tcp, udp, sctp }"
#define THERE "ip daddr . meta l4proto . th dport"
#define THERE6 "ip6 daddr . meta l4proto . th dport"
#define HERE "ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport"
#define HERE6 "ip6 daddr != ::1 fib daddr type local meta l4proto . th dport"

const struct nft_collection nft_collections[NFT_COLLECTIONS] = {
                [NFT_ENDPOINTS] = {"endpoints", "apsn", NFT_VALUE_PLACE},
                [NFT_PROTECTED] = {"protected", "aps", NFT_VALUE_NONE},
                [NFT_SERVICES] = {"services", "aps", NFT_VALUE_VERDICT},
                [NFT_NODEPORTS] = {"nodeports", "ps", NFT_VALUE_VERDICT},
                [NFT_HOSTPORTS] = {"hostports", "aps", NFT_VALUE_VERDICT},
                [NFT_REFUSED] = {"refused", "aps", NFT_VALUE_VERDICT},
                [NFT_REFUSED_NODEPORTS] = {"refused-nodeports", "ps", NFT_VALUE_VERDICT},
                [NFT_BALANCED] = {"balanced", "a", NFT_VALUE_NONE},
                [NFT_HAIRPIN] = {"hairpin", "aa", NFT_VALUE_NONE},
};

static const char *const names6[NFT_COLLECTIONS] = {
                [NFT_ENDPOINTS] = "endpoints6",
                [NFT_PROTECTED] = "protected6",
                [NFT_SERVICES] = "services6",
                [NFT_NODEPORTS] = "nodeports6",
                [NFT_HOSTPORTS] = "hostports6",
                [NFT_REFUSED] = "refused6",
                [NFT_REFUSED_NODEPORTS] = "refused-nodeports6",
                [NFT_BALANCED] = "balanced6",
                [NFT_HAIRPIN] = "hairpin6",
};

const char *nft_collection_name(enum nft_collection_id id, enum ip_family family) {
        return family == FAMILY_IPV4 ? nft_collections[id].name : names6[id];
}

bool nft_collection_find(
                const char *name, enum nft_collection_id *ret, enum ip_family *ret_family) {
        for (int id = 0; id < NFT_COLLECTIONS; id++) {
                bool is6 = streq(name, names6[id]);

                if (!is6 && !streq(name, nft_collections[id].name))
                        continue;
                *ret = (enum nft_collection_id)id;
                *ret_family = is6 ? FAMILY_IPV6 : FAMILY_IPV4;
                return true;
        }
        return false;
}

/* A rule may hold %s, the range that `of` names; it is left out when the range is not known. */
enum frame_range { NO_RANGE, CLUSTER_RANGE, CLUSTER_RANGE6, SERVICE_RANGE, SERVICE_RANGE6 };
struct frame_rule {
        const char *chain;
        const char *text;
        enum frame_range of;
};

static const struct {
        const char *name, *hook; /* hook NULL: only jumped to */
} chains[] = {
                {"refuse", NULL},
                {"dispatch", NULL},
                {"refuse-check", NULL},
                {"guard", "type filter hook prerouting priority raw; policy accept;"},
                {"prerouting", "type nat hook prerouting priority dstnat; policy accept;"},
                {"output", "type nat hook output priority -100; policy accept;"},
                {"filter-input", "type filter hook input priority filter; policy accept;"},
                {"filter-forward", "type filter hook forward priority filter; policy accept;"},
                {"filter-output", "type filter hook output priority filter; policy accept;"},
                {"postrouting", "type nat hook postrouting priority srcnat; policy accept;"},
};

/* First the addresses that no service and no pod may claim: the API's own. A packet to a service's
 * address that no rule has sent to a pod is for a port that is not served: it is refused, so that
 * no client waits for an answer. Loopback addresses never arrive over a link; otherwise a pod with
 * a host port on one would be a way to the machine's own servers (CVE-2020-8558). Reject is allowed
 * only in the filter hooks, so refusals are looked up there, for new connections. */
static const struct frame_rule rules[] = {
                {"refuse", "meta l4proto tcp reject with tcp reset", NO_RANGE},
                {"refuse", "reject", NO_RANGE},
                {"guard", "iif != lo ip daddr 127.0.0.0/8 drop", NO_RANGE},
                {"dispatch", THERE " @protected return", NO_RANGE},
                {"dispatch", THERE6 " @protected6 return", NO_RANGE},
                {"dispatch", THERE " vmap @services", NO_RANGE},
                {"dispatch", THERE6 " vmap @services6", NO_RANGE},
                {"dispatch", "ip daddr @balanced return", NO_RANGE},
                {"dispatch", "ip6 daddr @balanced6 return", NO_RANGE},
                {"dispatch", "fib daddr type local " THERE " vmap @hostports", NO_RANGE},
                {"dispatch", "fib daddr type local " THERE6 " vmap @hostports6", NO_RANGE},
                {"dispatch", HERE " vmap @nodeports", NO_RANGE},
                {"dispatch", HERE6 " vmap @nodeports6", NO_RANGE},
                {"prerouting", "jump dispatch", NO_RANGE},
                {"output", "jump dispatch", NO_RANGE},
                {"refuse-check", THERE " @protected return", NO_RANGE},
                {"refuse-check", THERE6 " @protected6 return", NO_RANGE},
                {"refuse-check", "ip daddr @balanced fib daddr type local " PORTS " goto refuse",
                                NO_RANGE},
                {"refuse-check", "ip6 daddr @balanced6 fib daddr type local " PORTS " goto refuse",
                                NO_RANGE},
                {"refuse-check", THERE " vmap @refused", NO_RANGE},
                {"refuse-check", THERE6 " vmap @refused6", NO_RANGE},
                {"refuse-check", "ip daddr @balanced " PORTS " goto refuse", NO_RANGE},
                {"refuse-check", "ip6 daddr @balanced6 " PORTS " goto refuse", NO_RANGE},
                {"refuse-check", HERE " vmap @refused-nodeports", NO_RANGE},
                {"refuse-check", HERE6 " vmap @refused-nodeports6", NO_RANGE},
                {"refuse-check", "ip daddr %s " PORTS " goto refuse", SERVICE_RANGE},
                {"refuse-check", "ip6 daddr %s " PORTS " goto refuse", SERVICE_RANGE6},
                {"filter-input", "ct state new jump refuse-check", NO_RANGE},
                {"filter-forward", "ct state new jump refuse-check", NO_RANGE},
                {"filter-output", "ct state new jump refuse-check", NO_RANGE},
                {"postrouting", "meta mark & 0x4000 == 0x4000 masquerade", NO_RANGE},
                {"postrouting", "ct status dnat ip saddr . ip daddr @hairpin masquerade", NO_RANGE},
                {"postrouting", "ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade",
                                NO_RANGE},
                {"postrouting", "ip saddr %s ip daddr != %s fib daddr type != local masquerade",
                                CLUSTER_RANGE},
                {"postrouting", "ip6 saddr %s ip6 daddr != %s fib daddr type != local masquerade",
                                CLUSTER_RANGE6},
};

static const char *range_of(const struct nft_frame *f, const struct frame_rule *r) {
        switch (r->of) {
        case CLUSTER_RANGE:
                return strempty(f->cluster_cidr[FAMILY_IPV4]);
        case CLUSTER_RANGE6:
                return strempty(f->cluster_cidr[FAMILY_IPV6]);
        case SERVICE_RANGE:
                return strempty(f->service_cidr[FAMILY_IPV4]);
        case SERVICE_RANGE6:
                return strempty(f->service_cidr[FAMILY_IPV6]);
        case NO_RANGE:
                break;
        }
        return "";
}

static bool rule_applies(const struct nft_frame *f, const struct frame_rule *r) {
        return r->of == NO_RANGE || *range_of(f, r);
}

/* The text of a rule with the range in each %s. */
static void rule_text(const struct nft_frame *f, const struct frame_rule *r, struct buf *out) {
        const char *s = r->text, *hole;

        buf_printf(out, "add rule " NFT_TABLE " %s ", r->chain);
        while ((hole = strstr(s, "%s"))) {
                buf_append(out, s, (size_t)(hole - s));
                buf_append_str(out, range_of(f, r));
                s = hole + 2;
        }
        buf_printf(out, "%s\n", s);
}

/* The number of an endpoint has no name among nft's types, so `endpoints` is declared by example.
 */
static void collection_text(enum nft_collection_id id, enum ip_family family, struct buf *out) {
        const struct nft_collection *c = &nft_collections[id];
        const char *ip = family == FAMILY_IPV4 ? "ip" : "ip6";

        buf_printf(out, "add %s " NFT_TABLE " %s { ", c->value == NFT_VALUE_NONE ? "set" : "map",
                        nft_collection_name(id, family));
        if (c->value == NFT_VALUE_PLACE) {
                buf_printf(out,
                                "typeof %s daddr . meta l4proto . th dport . numgen random mod 2 : "
                                "%s daddr . th dport; }\n",
                                ip, ip);
                return;
        }
        buf_append_str(out, "type ");
        for (const char *s = c->fields; *s; s++)
                buf_printf(out, "%s%s", s > c->fields ? " . " : "",
                                *s == 'p'               ? "inet_proto"
                                : *s == 's'             ? "inet_service"
                                : family == FAMILY_IPV4 ? "ipv4_addr"
                                                        : "ipv6_addr");
        buf_printf(out, "%s; }\n", c->value == NFT_VALUE_VERDICT ? " : verdict" : "");
}

static void pick_text(unsigned n, enum ip_family family, struct buf *out) {
        const char *six = family == FAMILY_IPV4 ? "" : "6",
                   *ip = family == FAMILY_IPV4 ? "ip" : "ip6";

        buf_printf(out,
                        "add chain " NFT_TABLE " pick%s-%u\nflush chain " NFT_TABLE
                        " pick%s-%u\nadd rule " NFT_TABLE " pick%s-%u dnat %s to %s daddr . meta "
                        "l4proto . th dport . numgen random mod %u map @endpoints%s\n",
                        six, n, six, n, six, n, ip, ip, n, six);
}

static void body_text(const struct nft_frame *f, struct buf *out) {
        buf_append_str(out, "add table " NFT_TABLE "\n");
        for (int i = 0; i < NFT_COLLECTIONS * FAMILIES; i++)
                collection_text((enum nft_collection_id)(i / FAMILIES),
                                (enum ip_family)(i % FAMILIES), out);
        for (unsigned n = 1; n <= NFT_PICK_MAX; n++)
                for (int family = 0; family < FAMILIES; family++)
                        pick_text(n, (enum ip_family)family, out);
        for (size_t i = 0; i < ELEMENTS(chains); i++) {
                buf_printf(out, "add chain " NFT_TABLE " %s", chains[i].name);
                if (chains[i].hook)
                        buf_printf(out, " { %s }", chains[i].hook);
                buf_printf(out, "\nflush chain " NFT_TABLE " %s\n", chains[i].name);
        }
        for (size_t i = 0; i < ELEMENTS(rules); i++)
                if (rule_applies(f, &rules[i]))
                        rule_text(f, &rules[i], out);
}

char *nft_frame_marker(const struct nft_frame *frame) {
        _cleanup_buf_ struct buf text = {0};
        char digest[65];

        body_text(frame, &text);
        if (text.failed)
                return NULL;
        sha256_hex(text.data, text.size, digest);
        return strformat("frame-%.16s", digest);
}

int nft_frame_text(const struct nft_frame *frame, struct buf *out) {
        _cleanup_free_ char *marker = nft_frame_marker(frame);

        body_text(frame, out);
        buf_printf(out, "add chain " NFT_TABLE " %s\n", strempty(marker));
        return marker && !out->failed ? 0 : -ENOMEM;
}

static bool is_pick(const char *chain) {
        const char *number = startswith(chain, "pick-");
        uint32_t n;

        if (!number)
                number = startswith(chain, "pick6-");
        return number && parse_u32(number, &n) >= 0 && n >= 1 && n <= NFT_PICK_MAX;
}

int nft_frame_rules(const struct nft_frame *frame, const char *chain) {
        int n = is_pick(chain) ? 1 : -1;

        for (size_t i = 0; i < ELEMENTS(chains); i++)
                if (streq(chain, chains[i].name))
                        n = 0;
        for (size_t i = 0; i < ELEMENTS(rules); i++)
                n += streq(chain, rules[i].chain) && rule_applies(frame, &rules[i]);
        return n;
}

bool nft_name_is_of_models(const char *name) {
        static const char *const prefixes[] = {
                        "svc-", "loc-", "ext-", "lb-", "ep-", HOST_CHAIN, "aff-", "frame-"};

        for (size_t i = 0; i < ELEMENTS(prefixes); i++)
                if (startswith(name, prefixes[i]))
                        return true;
        return false;
}

/* ---- models ---- */

void model_set_text(const char *name, const json_t *set, struct buf *out) {
        buf_printf(out,
                        "add set " NFT_TABLE
                        " %s { type %s; flags dynamic,timeout; timeout %llds; size 65535; }\n",
                        name, strempty(json_string_value(json_array_get(set, 0))),
                        (long long)json_integer_value(json_array_get(set, 1)));
}

void model_chain_text(const char *name, const json_t *list, struct buf *out) {
        const json_t *rule;
        size_t i;

        json_array_foreach (list, i, rule)
                buf_printf(out, "add rule " NFT_TABLE " %s %s\n", name, json_string_value(rule));
}

static const json_t *part(const json_t *model, const char *name) {
        return json_object_get(model, name);
}

int model_before(const json_t *old, const json_t *model, struct buf *out) {
        const json_t *had = part(old, "chains"), *v;
        const char *name;

        json_object_each (part(model, "sets"), name, v)
                if (!json_object_get(part(old, "sets"), name))
                        model_set_text(name, v, out);
        json_object_each (part(model, "chains"), name, v)
                if (!json_object_get(had, name))
                        buf_printf(out, "add chain " NFT_TABLE " %s\n", name);
        json_object_each (part(model, "chains"), name, v)
                if (!json_object_get(had, name))
                        model_chain_text(name, v, out);
        return out->failed ? -ENOMEM : 0;
}

int model_after(const json_t *old, const json_t *model, struct buf *out) {
        static const char *const verbs[] = {"flush", "delete"};
        const json_t *v;
        const char *name;

        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                json_object_each (part(old, "chains"), name, v)
                        if (!json_object_get(part(model, "chains"), name))
                                buf_printf(out, "%s chain " NFT_TABLE " %s\n", verbs[i], name);
        json_object_each (part(old, "sets"), name, v)
                if (!json_object_get(part(model, "sets"), name))
                        buf_printf(out, "delete set " NFT_TABLE " %s\n", name);
        return out->failed ? -ENOMEM : 0;
}

/* What `from` has and `to` has not, or with another value. */
static int each_missing(const json_t *from, const json_t *to, bool add, const char *collection,
                model_element_func func, void *userdata) {
        const json_t *mine = json_object_get(part(from, "elements"), collection),
                     *others = json_object_get(part(to, "elements"), collection), *v;
        const char *key;

        json_object_each (mine, key, v) {
                const json_t *other = json_object_get(others, key);
                int r;

                if (other && json_same(other, v))
                        continue;
                r = func(add, collection, key, json_string_value(v), userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

int model_each_change(
                const json_t *old, const json_t *model, model_element_func func, void *userdata) {
        int last = NFT_COLLECTIONS * FAMILIES - 1, r;

        for (int i = last; i >= 0; i--) {
                r = each_missing(old, model, /* add= */ false,
                                nft_collection_name((enum nft_collection_id)(i / FAMILIES),
                                                (enum ip_family)(i % FAMILIES)),
                                func, userdata);
                if (r < 0)
                        return r;
        }
        for (int i = 0; i <= last; i++) {
                r = each_missing(model, old, /* add= */ true,
                                nft_collection_name((enum nft_collection_id)(i / FAMILIES),
                                                (enum ip_family)(i % FAMILIES)),
                                func, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}
