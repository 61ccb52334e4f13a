/* The frame has two chains in the forward hook, the egress rules of a pod before the ingress rules
 * of another: `accept` in the first one leads to the second. The hook sees packets after a
 * service's address was replaced by a pod's. A pod is found by one lookup in a map by its address;
 * pods that the same policies select share the chain that it leads to.
 *
 * What the machine itself sends and receives passes the other hooks and is not restricted. Who
 * could send packets with any address would be a peer of everybody: in `guard` a pod's packet with
 * an address that is not its own ends, in `guard-overlay` one in VXLAN that no node has sent. */
#include "nodeagent/network/policy-nft.h"

#include "nodeagent/network/overlay.h"
#include "nodeagent/network/policy-memory.h"

#define TABLE "inet " POLICY_TABLE

struct element {
        unsigned wanted;
        char *value;  /* wanted; NULL in sets */
        char *loaded; /* the value that the kernel has, "" in sets; NULL: it does not have it */
};

struct set {
        char *declaration; /* NULL: of the frame */
        unsigned users;
        bool loaded;
        struct map *elements; /* struct element */
        struct map *changed;  /* their names; values are not used */
};

struct chain {
        char *rules;
        unsigned users;
        bool loaded, changed;
};

struct policy_nft {
        struct map *sets, *chains;
        struct map *changed_sets, *changed_chains; /* names; values are not used */
};

static const struct {
        const char *name, *declaration;
} frame_sets[] = {
                {"ingress4", "map ingress4 { type ipv4_addr : verdict; }"},
                {"ingress6", "map ingress6 { type ipv6_addr : verdict; }"},
                {"egress4", "map egress4 { type ipv4_addr : verdict; }"},
                {"egress6", "map egress6 { type ipv6_addr : verdict; }"},
                {"self4", "set self4 { type ipv4_addr . ipv4_addr; }"},
                {"self6", "set self6 { type ipv6_addr . ipv6_addr; }"},
                {"nodes4", "set nodes4 { type ipv4_addr; }"},
                {"nodes6", "set nodes6 { type ipv6_addr; }"},
};

static void element_free(void *p) {
        struct element *e = p;

        if (!e)
                return;
        free(e->value);
        free(e->loaded);
        free(e);
}

static void set_free(void *p) {
        struct set *s = p;

        if (!s)
                return;
        free(s->declaration);
        map_free(s->elements);
        map_free(s->changed);
        free(s);
}

static void chain_free(void *p) {
        struct chain *c = p;

        if (c)
                free(c->rules);
        free(c);
}

static struct set *set_new(struct policy_nft *n, const char *name, const char *declaration) {
        struct set *s = must_alloc(sizeof(*s));

        s->elements = must_map(element_free);
        s->changed = must_map(NULL);
        s->declaration = declaration ? must_copy(declaration) : NULL;
        must(map_set(n->sets, name, s));
        return s;
}

struct policy_nft *policy_nft_new(void) {
        struct policy_nft *n = must_alloc(sizeof(*n));

        n->sets = must_map(set_free);
        n->chains = must_map(chain_free);
        n->changed_sets = must_map(NULL);
        n->changed_chains = must_map(NULL);
        for (size_t i = 0; i < ELEMENTS(frame_sets); i++)
                set_new(n, frame_sets[i].name, NULL)->users = 1;
        return n;
}

struct policy_nft *policy_nft_free(struct policy_nft *n) {
        if (!n)
                return NULL;
        map_free(n->sets);
        map_free(n->chains);
        map_free(n->changed_sets);
        map_free(n->changed_chains);
        free(n);
        return NULL;
}

/* ---- what is wanted ---- */

void policy_nft_set(struct policy_nft *n, const char *name, const char *declaration) {
        struct set *s = map_get(n->sets, name);

        if (!s)
                s = set_new(n, name, declaration);
        must(map_set(n->changed_sets, name, n));
        s->users++;
}

void policy_nft_set_done(struct policy_nft *n, const char *name) {
        struct set *s = map_get(n->sets, name);

        assert(s && s->users > 0);
        if (--s->users == 0)
                must(map_set(n->changed_sets, name, n));
}

static void element_changed(
                struct policy_nft *n, struct set *s, const char *set, const char *name) {
        must(map_set(s->changed, name, n));
        must(map_set(n->changed_sets, set, n));
}

void policy_nft_add(struct policy_nft *n, const char *set, const char *name, const char *value) {
        struct set *s = map_get(n->sets, set);
        struct element *e = s ? map_get(s->elements, name) : NULL;

        assert(s);
        if (!e) {
                e = must_alloc(sizeof(*e));
                must(map_set(s->elements, name, e));
        }
        e->wanted++;
        free(e->value);
        e->value = value ? must_copy(value) : NULL;
        element_changed(n, s, set, name);
}

void policy_nft_remove(struct policy_nft *n, const char *set, const char *name) {
        struct set *s = map_get(n->sets, set);
        struct element *e = s ? map_get(s->elements, name) : NULL;

        assert(e && e->wanted > 0);
        if (--e->wanted == 0)
                element_changed(n, s, set, name);
}

void policy_nft_chain(struct policy_nft *n, const char *name, const char *rules) {
        struct chain *c = map_get(n->chains, name);

        if (!c) {
                c = must_alloc(sizeof(*c));
                must(map_set(n->chains, name, c));
        }
        must(map_set(n->changed_chains, name, n));
        c->users++;
        c->changed |= !streq_ptr(c->rules, rules);
        free(c->rules);
        c->rules = must_copy(rules);
}

void policy_nft_chain_done(struct policy_nft *n, const char *name) {
        struct chain *c = map_get(n->chains, name);

        assert(c && c->users > 0);
        if (--c->users == 0)
                must(map_set(n->changed_chains, name, n));
}

/* ---- the text ---- */

static void fill_chain(const char *name, const struct chain *c, struct buf *out) {
        for (const char *line = c->rules; *line;) {
                size_t n = strcspn(line, "\n");

                buf_printf(out, "add rule " TABLE " %s %.*s\n", name, (int)n, line);
                line += n + (line[n] ? 1 : 0);
        }
}

static bool element_differs(const struct element *e) {
        return e->wanted == 0 || !e->loaded || !streq(e->loaded, strempty(e->value));
}

/* One command a set: a transaction's cost grows with the number of commands. */
static void list_element(struct buf *out, const char *verb, const char *set, size_t *count,
                const char *element, const char *value) {
        if ((*count)++ == 0)
                buf_printf(out, "%s element " TABLE " %s { ", verb, set);
        else
                buf_append_str(out, ", ");
        buf_printf(out, "%s%s%s", element, value ? " : " : "", strempty(value));
}

/* Deletes what the kernel has and is not wanted, or not with that value. */
static void delete_elements(const char *name, struct set *s, struct buf *out) {
        size_t count = 0;

        map_foreach (s->changed, c) {
                struct element *e = map_get(s->elements, map_entry_key(c));

                if (!e || !e->loaded || !element_differs(e))
                        continue;
                list_element(out, "delete", name, &count, map_entry_key(c), NULL);
                e->loaded = mfree(e->loaded);
        }
        if (count > 0)
                buf_append_str(out, " }\n");
}

static void add_elements(const char *name, struct set *s, struct buf *out) {
        size_t count = 0;

        map_foreach (s->changed, c) {
                struct element *e = map_get(s->elements, map_entry_key(c));

                if (!e || e->loaded)
                        continue;
                if (e->wanted == 0) {
                        (void)map_remove(s->elements, map_entry_key(c));
                        continue;
                }
                list_element(out, "add", name, &count, map_entry_key(c), e->value);
                e->loaded = must_copy(strempty(e->value));
        }
        if (count > 0)
                buf_append_str(out, " }\n");
        map_clear(s->changed);
}

/* Sets and empty chains, so that everything after them may refer to them. */
static void add_containers(struct policy_nft *n, struct buf *out) {
        map_foreach (n->changed_sets, e) {
                struct set *s = map_get(n->sets, map_entry_key(e));

                if (!s || !s->declaration || s->loaded || s->users == 0)
                        continue;
                buf_printf(out, "add set " TABLE " %s { %s }\n", map_entry_key(e), s->declaration);
                s->loaded = true;
        }
        map_foreach (n->changed_chains, f) {
                struct chain *c = map_get(n->chains, map_entry_key(f));

                if (c && !c->loaded && c->users > 0)
                        buf_printf(out, "add chain " TABLE " %s\n", map_entry_key(f));
        }
}

static void fill_chains(struct policy_nft *n, struct buf *out) {
        map_foreach (n->changed_chains, e) {
                struct chain *c = map_get(n->chains, map_entry_key(e));

                if (!c || c->users == 0 || (c->loaded && !c->changed))
                        continue;
                if (c->loaded)
                        buf_printf(out, "flush chain " TABLE " %s\n", map_entry_key(e));
                fill_chain(map_entry_key(e), c, out);
                c->loaded = true;
                c->changed = false;
        }
}

/* Rules first: they refer to chains and sets. */
static void drop_containers(struct policy_nft *n, struct buf *out) {
        for (int pass = 0; pass < 2; pass++)
                map_foreach (n->changed_chains, e) {
                        const struct chain *c = map_get(n->chains, map_entry_key(e));

                        if (c && c->users == 0 && c->loaded)
                                buf_printf(out, "%s chain " TABLE " %s\n",
                                                pass == 0 ? "flush" : "delete", map_entry_key(e));
                }
        map_foreach (n->changed_chains, f) {
                const struct chain *c = map_get(n->chains, map_entry_key(f));

                if (c && c->users == 0)
                        (void)map_remove(n->chains, map_entry_key(f));
        }
        map_foreach (n->changed_sets, g) {
                const struct set *s = map_get(n->sets, map_entry_key(g));

                if (!s || s->users > 0)
                        continue;
                if (s->loaded)
                        buf_printf(out, "delete set " TABLE " %s\n", map_entry_key(g));
                (void)map_remove(n->sets, map_entry_key(g));
        }
        map_clear(n->changed_chains);
        map_clear(n->changed_sets);
}

void policy_nft_changes(struct policy_nft *n, struct buf *out) {
        add_containers(n, out);
        fill_chains(n, out);
        map_foreach (n->changed_sets, d) {
                struct set *s = map_get(n->sets, map_entry_key(d));

                /* The elements of a set that goes, go with it. */
                if (s && s->users > 0)
                        delete_elements(map_entry_key(d), s, out);
        }
        map_foreach (n->changed_sets, a) {
                struct set *s = map_get(n->sets, map_entry_key(a));

                if (s && s->users > 0)
                        add_elements(map_entry_key(a), s, out);
        }
        drop_containers(n, out);
}

/* The two chains of the forward hook. */
static void hook_text(
                const char *direction, const char *priority, const char *side, struct buf *out) {
        buf_printf(out,
                        "  chain forward-%s {\n"
                        "    type filter hook forward priority %s; policy accept;\n"
                        "    ct state established,related accept\n"
                        "    ip saddr . ip daddr @self4 accept\n"
                        "    ip6 saddr . ip6 daddr @self6 accept\n"
                        "    ip %s vmap @%s4\n"
                        "    ip6 %s vmap @%s6\n"
                        "  }\n",
                        direction, priority, side, direction, side, direction);
}

static void frame_text(struct buf *out) {
        /* Declared first, so that deleting works whether or not it is there. */
        buf_append_str(out, "table " TABLE "\ndelete table " TABLE "\ntable " TABLE " {\n");
        for (size_t i = 0; i < ELEMENTS(frame_sets); i++)
                buf_printf(out, "  %s\n", frame_sets[i].declaration);
        buf_append_str(out, "  chain guard {\n"
                            "    type filter hook prerouting priority raw; policy accept;\n"
                            "    iifname \"kp*\" meta nfproto ipv4 fib saddr . iif oif missing "
                            "drop\n"
                            /* Neighbour discovery; neither is forwarded. */
                            "    iifname \"kp*\" ip6 saddr != :: ip6 saddr != fe80::/10 fib saddr "
                            ". iif oif missing drop\n"
                            "  }\n");
        buf_printf(out,
                        "  chain guard-overlay {\n"
                        "    type filter hook input priority filter; policy accept;\n"
                        "    udp dport %d ip saddr != @nodes4 drop\n"
                        "    udp dport %d ip6 saddr != @nodes6 drop\n"
                        "  }\n",
                        OVERLAY_PORT, OVERLAY_PORT);
        hook_text("egress", "filter - 1", "saddr", out);
        hook_text("ingress", "filter", "daddr", out);
        buf_append_str(out, "}\n");
}

void policy_nft_whole(struct policy_nft *n, struct buf *out) {
        map_foreach (n->sets, e) {
                struct set *s = map_entry_value(e);

                s->loaded = false;
                map_foreach (s->elements, f) {
                        struct element *x = map_entry_value(f);

                        x->loaded = mfree(x->loaded);
                        must(map_set(s->changed, map_entry_key(f), n));
                }
                must(map_set(n->changed_sets, map_entry_key(e), n));
        }
        map_foreach (n->chains, g) {
                ((struct chain *)map_entry_value(g))->loaded = false;
                must(map_set(n->changed_chains, map_entry_key(g), n));
        }
        frame_text(out);
        policy_nft_changes(n, out);
}
