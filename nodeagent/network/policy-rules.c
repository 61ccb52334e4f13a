/* A rule of a policy allows every pair of one of its peers and one of its ports: the product of two
 * lists of clauses. All address ranges of a rule become one set of ranges without overlaps, with
 * the exceptions taken out. */
#include "nodeagent/network/policy-rules.h"

#include "lib/address.h"
#include "lib/crypto.h"
#include "lib/vector.h"

enum { HASH_DIGITS = 24, READABLE_MAX = 180 };

/* ---- names ---- */

const char *policy_name(
                const char *prefix, const char *text, char buffer[static POLICY_NAME_SIZE]) {
        char hash[SHA256_HEX_SIZE];

        sha256_hex(text, strlen(text), hash);
        snprintf(buffer, POLICY_NAME_SIZE, "%s-%.*s", prefix, HASH_DIGITS, hash);
        return buffer;
}

char *policy_chain_name(const char *key, enum policy_direction d) {
        const char *prefix = d == POLICY_INGRESS ? "in" : "out";
        char buffer[POLICY_NAME_SIZE];

        /* Text that nft's grammar could misread must not get into the ruleset. */
        if (strlen(key) <= READABLE_MAX &&
                        !key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789.-/")])
                return strformat("%s-%s", prefix, key);
        return strdup(policy_name(prefix, key, buffer));
}

char *policy_port_set(const char *port, int family) {
        return strformat("port%d-%s", family, port);
}

char *policy_peer_port_set(const char *group, const char *port, int family) {
        char buffer[POLICY_NAME_SIZE];

        return strformat("%s-%s", policy_name(family == 4 ? "p4" : "p6", group, buffer), port);
}

bool policy_port_is_plain(const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return n > 0 && n <= 15 && !name[n];
}

int policy_address(const char *text, char ret[static 46]) {
        struct address a = address_parse(text);

        if (a.size == 0)
                return 0;
        (void)address_text(&a, ret);
        return a.size == 4 ? 4 : 6;
}

/* ---- ranges of addresses ---- */

struct ranges {
        struct address_range *items;
        size_t count, allocated;
};

static void ranges_done(struct ranges *r) {
        vector_done(r);
}

static void previous(struct address *a) {
        for (unsigned i = a->size; i-- > 0 && a->octets[i]-- == 0;)
                ;
}

/* Takes `except` out of all of them. */
static int ranges_subtract(struct ranges *r, const struct address_range *except) {
        _cleanup_(ranges_done) struct ranges rest = {0};
        struct ranges swap;

        for (size_t i = 0; i < r->count; i++) {
                struct address_range a = r->items[i], below = a, above = a;

                if (!address_ranges_overlap(&a, except)) {
                        if (vector_append(&rest, a) < 0)
                                return -ENOMEM;
                        continue;
                }
                below.last = except->first;
                previous(&below.last);
                above.first = except->last;
                address_next(&above.first);
                if (address_compare(&a.first, &except->first) < 0 &&
                                vector_append(&rest, below) < 0)
                        return -ENOMEM;
                if (address_compare(&except->last, &a.last) < 0 && vector_append(&rest, above) < 0)
                        return -ENOMEM;
        }
        swap = *r;
        *r = rest;
        rest = swap;
        return 0;
}

static int ranges_add_block(struct ranges *all, const json_t *block) {
        _cleanup_(ranges_done) struct ranges kept = {0};
        struct address_range range, except;
        const json_t *v;
        size_t i;
        int r;

        if (address_range_parse(json_str_or(block, "cidr", ""), &range) < 0)
                return 0;
        if (vector_append(&kept, range) < 0)
                return -ENOMEM;
        json_array_foreach (json_object_get(block, "except"), i, v) {
                if (address_range_parse(strempty(json_string_value(v)), &except) < 0)
                        continue;
                r = ranges_subtract(&kept, &except);
                if (r < 0)
                        return r;
        }
        for (i = 0; i < kept.count; i++)
                if (vector_append(all, kept.items[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int compare_ranges(const void *a, const void *b) {
        const struct address_range *x = a, *y = b;

        return address_compare(&x->first, &y->first);
}

/* Sorts them, and joins those that overlap or touch. */
static void ranges_merge(struct ranges *r) {
        size_t n = 0;

        if (r->count == 0)
                return;
        qsort(r->items, r->count, sizeof(*r->items), compare_ranges);
        for (size_t i = 1; i < r->count; i++) {
                struct address_range *last = &r->items[n], *next = &r->items[i];
                struct address after = last->last;

                address_next(&after);
                if (next->first.size == last->first.size &&
                                (address_compare(&next->first, &last->last) <= 0 ||
                                                address_compare(&next->first, &after) == 0)) {
                        if (address_compare(&next->last, &last->last) > 0)
                                last->last = next->last;
                } else
                        r->items[++n] = *next;
        }
        r->count = n + 1;
}

/* The elements of one family. */
static json_t *ranges_to_elements(const struct ranges *r, int family) {
        json_t *list = json_array();

        for (size_t i = 0; i < r->count; i++) {
                char first[ADDRESS_TEXT_SIZE], last[ADDRESS_TEXT_SIZE];
                const struct address_range *a = &r->items[i];

                if ((a->first.size == 4) != (family == 4))
                        continue;
                (void)address_text(&a->first, first);
                (void)address_text(&a->last, last);
                json_array_append_new(list, address_compare(&a->first, &a->last) == 0
                                                            ? json_string(first)
                                                            : json_sprintf("%s-%s", first, last));
        }
        return list;
}

/* ---- clauses ---- */

struct clause {
        char *text;  /* a part of a rule, with a blank at its end */
        char *group; /* a peer with a selector: its group */
        char *port;  /* a port with a name, of the peers: it depends on the group */
        const char *protocol;
        int family; /* 0: both */
};

struct clauses {
        struct clause *items;
        size_t count, allocated;
};

static void clauses_done(struct clauses *c) {
        for (size_t i = 0; i < c->count; i++) {
                free(c->items[i].text);
                free(c->items[i].group);
                free(c->items[i].port);
        }
        vector_done(c);
}

/* Takes text. */
static int add_clause(struct clauses *c, char *text, int family) {
        if (text && vector_append(c, ((struct clause){.text = text, .family = family})) >= 0)
                return 0;
        free(text);
        return -ENOMEM;
}

struct context {
        json_t *model;
        const char *ns;
        enum policy_direction direction;
        const struct policy_facts *facts;
};

static const char *side(const struct context *c) {
        return c->direction == POLICY_INGRESS ? "saddr" : "daddr";
}

static const char *ip(int family) {
        return family == 4 ? "ip" : "ip6";
}

/* Whether the model's list has the text already; else it gets it. */
static int list_once(json_t *list, const char *text) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_string_value(v), text))
                        return 0;
        return json_array_append_new(list, json_string(text)) < 0 ? -ENOMEM : 0;
}

/* ---- peers ---- */

static int group_clauses(const struct context *c, const json_t *selector, struct clauses *peers) {
        json_t *groups = json_object_get(c->model, "groups");
        _cleanup_free_ char *text = peer_selector_text(selector), *group = NULL;
        char name[POLICY_NAME_SIZE];

        group = text ? strformat("%s/%s", c->ns, text) : NULL;
        if (!group || (!json_object_get(groups, group) &&
                                      json_object_set_new(groups, group, json_array()) < 0))
                return -ENOMEM;
        for (int family = 4; family <= 6; family += 2) {
                (void)policy_name(family == 4 ? "g4" : "g6", group, name);
                if (add_clause(peers, strformat("%s %s @%s ", ip(family), side(c), name), family) <
                                0)
                        return -ENOMEM;
                peers->items[peers->count - 1].group = strdup(group);
                if (!peers->items[peers->count - 1].group)
                        return -ENOMEM;
        }
        return 0;
}

static int selector_clauses(const struct context *c, const json_t *peer, struct clauses *peers) {
        _cleanup_json_ json_t *selector = peer_selector(peer);

        if (!selector)
                return 0;
        if (!peer_is_every_pod(selector))
                return group_clauses(c, selector, peers);
        for (int f = 0; f < FAMILIES; f++) {
                const char *all = strempty(c->facts->cluster_cidr[f]);
                int family = f == FAMILY_IPV4 ? 4 : 6,
                    r = *all ? add_clause(peers, strformat("%s %s %s ", ip(family), side(c), all),
                                               family)
                             : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int block_clauses(
                const struct context *c, const struct ranges *blocks, struct clauses *peers) {
        for (int family = 4; family <= 6; family += 2) {
                _cleanup_json_ json_t *elements = ranges_to_elements(blocks, family);
                _cleanup_free_ char *text = json_text(elements);
                char name[POLICY_NAME_SIZE];

                if (!text)
                        return -ENOMEM;
                if (json_array_size(elements) == 0)
                        continue;
                (void)policy_name(family == 4 ? "b4" : "b6", text, name);
                if (json_object_set(json_object_get(c->model, "blocks"), name, elements) < 0)
                        return -ENOMEM;
                if (add_clause(peers, strformat("%s %s @%s ", ip(family), side(c), name), family) <
                                0)
                        return -ENOMEM;
        }
        return 0;
}

static int peer_clauses(const struct context *c, const json_t *rule, struct clauses *peers) {
        const json_t *list = network_policy_peers(rule, c->direction), *peer;
        _cleanup_(ranges_done) struct ranges blocks = {0};
        size_t i;
        int r;

        if (json_array_size(list) == 0)
                return add_clause(peers, strdup(""), 0);
        json_array_foreach (list, i, peer) {
                const json_t *block = json_object_get(peer, "ipBlock");

                r = block ? ranges_add_block(&blocks, block) : selector_clauses(c, peer, peers);
                if (r < 0)
                        return r;
        }
        ranges_merge(&blocks);
        return block_clauses(c, &blocks, peers);
}

/* ---- ports ---- */

static const struct {
        const char *api, *nft;
} protocols[] = {{"TCP", "tcp"}, {"UDP", "udp"}, {"SCTP", "sctp"}};

struct port_range {
        int64_t first, last;
};

/* The ports of one protocol in a rule. */
struct port_list {
        struct port_range *items;
        size_t count, allocated;
        bool all;
};

static void port_list_done(struct port_list *l) {
        vector_done(l);
}

static int compare_ports(const void *a, const void *b) {
        const struct port_range *x = a, *y = b;

        return x->first < y->first ? -1 : x->first > y->first;
}

/* "{ 80, 8000-8080 }": sorted, overlaps joined, which nft would refuse. */
static char *port_list_text(struct port_list *l) {
        _cleanup_buf_ struct buf b = {0};
        size_t n = 0;

        qsort(l->items, l->count, sizeof(*l->items), compare_ports);
        for (size_t i = 1; i < l->count; i++) {
                if (l->items[i].first <= l->items[n].last + 1)
                        l->items[n].last = MAX(l->items[n].last, l->items[i].last);
                else
                        l->items[++n] = l->items[i];
        }
        buf_append_str(&b, "{ ");
        for (size_t i = 0; i <= n; i++) {
                buf_printf(&b, "%s%lld", i > 0 ? ", " : "", (long long)l->items[i].first);
                if (l->items[i].last > l->items[i].first)
                        buf_printf(&b, "-%lld", (long long)l->items[i].last);
        }
        buf_append_str(&b, " }");
        return buf_take(&b);
}

/* A port with a name: of this node's pods, or (egress) of the peers of each group. */
static int named_clauses(const struct context *c, const char *name, const char *protocol,
                struct clauses *ports) {
        if (!policy_port_is_plain(name))
                return 0;
        if (c->direction == POLICY_EGRESS) {
                struct clause clause = {.port = strdup(name), .protocol = protocol};

                if (clause.port && vector_append(ports, clause) >= 0)
                        return 0;
                free(clause.port);
                return -ENOMEM;
        }
        for (int family = 4; family <= 6; family += 2) {
                _cleanup_free_ char *set = policy_port_set(name, family);

                if (!set || add_clause(ports,
                                            strformat("meta l4proto %s %s daddr . meta l4proto . "
                                                      "th dport @%s ",
                                                            protocol, ip(family), set),
                                            family) < 0)
                        return -ENOMEM;
        }
        return list_once(json_object_get(c->model, "ports"), name);
}

static int read_port(const struct context *c, const json_t *port, const char *protocol,
                struct port_list *list, struct clauses *ports) {
        const json_t *number = json_object_get(port, "port");
        int64_t first = json_integer_value(number), last = json_int_or(port, "endPort", first);

        if (!number || json_is_null(number)) {
                list->all = true;
                return 0;
        }
        if (json_is_string(number))
                return named_clauses(c, json_string_value(number), protocol, ports);
        if (first < 1 || last < first || last > 65535)
                return 0;
        return vector_append(list, ((struct port_range){first, last}));
}

static int protocol_clauses(
                const struct context *c, const json_t *list, size_t p, struct clauses *ports) {
        _cleanup_(port_list_done) struct port_list numbers = {0};
        _cleanup_free_ char *text = NULL;
        const json_t *port;
        size_t i;
        int r;

        json_array_foreach (list, i, port) {
                if (!streq(json_str_or(port, "protocol", "TCP"), protocols[p].api))
                        continue;
                r = read_port(c, port, protocols[p].nft, &numbers, ports);
                if (r < 0)
                        return r;
        }
        if (numbers.all)
                return add_clause(ports, strformat("meta l4proto %s ", protocols[p].nft), 0);
        if (numbers.count == 0)
                return 0;
        text = port_list_text(&numbers);
        if (!text)
                return -ENOMEM;
        return add_clause(ports, strformat("meta l4proto %s th dport %s ", protocols[p].nft, text),
                        0);
}

static int port_clauses(const struct context *c, const json_t *rule, struct clauses *ports) {
        const json_t *list = json_object_get(rule, "ports");
        int r;

        if (json_array_size(list) == 0)
                return add_clause(ports, strdup(""), 0);
        for (size_t p = 0; p < ELEMENTS(protocols); p++) {
                r = protocol_clauses(c, list, p, ports);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the product ---- */

/* The named ports of a group's peers say themselves whose they are. */
static int add_peer_port_rule(
                const struct context *c, const struct clause *peer, const struct clause *port) {
        json_t *names = json_object_get(json_object_get(c->model, "groups"), peer->group);
        _cleanup_free_ char *set = policy_peer_port_set(peer->group, port->port, peer->family);

        if (!set || list_once(names, port->port) < 0)
                return -ENOMEM;
        return json_array_append_new(json_object_get(c->model, "rules"),
                               json_sprintf("meta l4proto %s %s daddr . meta l4proto . th dport "
                                            "@%s accept",
                                               port->protocol, ip(peer->family), set)) < 0
                               ? -ENOMEM
                               : 0;
}

static int add_pair(const struct context *c, const struct clause *peer, const struct clause *port) {
        if (port->port)
                return peer->group ? add_peer_port_rule(c, peer, port) : 0;
        if (peer->family != 0 && port->family != 0 && peer->family != port->family)
                return 0;
        return json_array_append_new(json_object_get(c->model, "rules"),
                               json_sprintf("%s%saccept", peer->text, port->text)) < 0
                               ? -ENOMEM
                               : 0;
}

static int add_rule(const struct context *c, const json_t *rule) {
        _cleanup_(clauses_done) struct clauses peers = {0}, ports = {0};
        int r = peer_clauses(c, rule, &peers);

        if (r < 0)
                return r;
        r = port_clauses(c, rule, &ports);
        if (r < 0)
                return r;
        for (size_t i = 0; i < peers.count; i++)
                for (size_t k = 0; k < ports.count; k++) {
                        r = add_pair(c, &peers.items[i], &ports.items[k]);
                        if (r < 0)
                                return r;
                }
        return 0;
}

json_t *policy_model(
                const json_t *policy, enum policy_direction d, const struct policy_facts *facts) {
        struct context c = {.ns = json_str_or(policy, "metadata.namespace", ""),
                        .direction = d,
                        .facts = facts,
                        .model = json_pack("{s:[], s:{}, s:[], s:{}}", "rules", "groups", "ports",
                                        "blocks")};
        const json_t *rule;
        size_t i;

        json_array_foreach (network_policy_rules(policy, d), i, rule)
                if (!c.model || add_rule(&c, rule) < 0) {
                        json_decref(c.model);
                        return NULL;
                }
        return c.model;
}
