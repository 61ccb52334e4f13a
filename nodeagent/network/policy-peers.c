/* A slice's elements are added when its group comes into use or the slice changes, and removed
 * likewise: the table counts them, so that what both states have is left alone. */
#include "nodeagent/network/policy-peers.h"

#include "lib/object.h"
#include "nodeagent/network/policy-memory.h"

enum { ADDRESS_SIZE = 46 };

struct group {
        unsigned users;
        struct map *ports;  /* name -> struct counter */
        struct map *slices; /* key -> slice, borrowed */
};

struct policy_peers {
        struct policy_nft *nft;
        uint64_t *steps;
        struct map *groups;     /* namespace/selector -> struct group */
        struct map *slices;     /* key -> object (json_t *) */
        struct map *namespaces; /* ns -> struct counter, its groups in use */
};

static void json_free(void *v) {
        json_decref(v);
}

static void group_free(void *v) {
        struct group *g = v;

        if (!g)
                return;
        map_free(g->ports);
        map_free(g->slices);
        free(g);
}

struct policy_peers *policy_peers_new(struct policy_nft *nft, uint64_t *steps) {
        struct policy_peers *p = must_alloc(sizeof(*p));

        p->nft = nft;
        p->steps = steps;
        p->groups = must_map(group_free);
        p->slices = must_map(json_free);
        p->namespaces = must_map(free);
        return p;
}

struct policy_peers *policy_peers_free(struct policy_peers *p) {
        if (!p)
                return NULL;
        map_free(p->groups);
        map_free(p->slices);
        map_free(p->namespaces);
        free(p);
        return NULL;
}

/* ---- elements ---- */

static const char *port_protocol(const json_t *port) {
        const char *name = json_str_or(port, "protocol", "TCP");

        return streq(name, "UDP") ? "udp" : streq(name, "SCTP") ? "sctp" : "tcp";
}

static void declare_addresses(struct policy_nft *n, const char *name, int family) {
        policy_nft_set(n, name, family == 4 ? "type ipv4_addr;" : "type ipv6_addr;");
}

void policy_declare_ports(struct policy_nft *n, const char *name, int family) {
        policy_nft_set(n, name,
                        family == 4 ? "type ipv4_addr . inet_proto . inet_service;"
                                    : "type ipv6_addr . inet_proto . inet_service;");
}

static void one_element(struct policy_nft *nft, bool add, const char *set, const char *element) {
        if (add)
                policy_nft_add(nft, set, element, NULL);
        else
                policy_nft_remove(nft, set, element);
}

void policy_port_elements(struct policy_nft *nft, bool add, const char *set, const char *address,
                const json_t *ports, const char *name) {
        const json_t *port;
        size_t i;

        json_array_foreach (ports, i, port) {
                _cleanup_free_ char *element = NULL;
                int64_t number = json_int_or(port, "port", 0);

                if (!streq(json_str_or(port, "name", ""), name) || number < 1 || number > 65535)
                        continue;
                element = strformat(
                                "%s . %s . %lld", address, port_protocol(port), (long long)number);
                assert(element);
                one_element(nft, add, set, element);
        }
}

/* The elements of one port name of a group in the slice. */
static void slice_ports(struct policy_peers *p, bool add, const char *group, const char *name,
                const json_t *slice) {
        const json_t *peer, *v;
        size_t i, k;

        json_array_foreach (json_object_get(slice, "peers"), i, peer)
                json_array_foreach (json_object_get(peer, "addresses"), k, v) {
                        char address[ADDRESS_SIZE];
                        int family = policy_address(strempty(json_string_value(v)), address);
                        _cleanup_free_ char *set =
                                        family ? policy_peer_port_set(group, name, family) : NULL;

                        if (!set)
                                continue;
                        (*p->steps)++;
                        policy_port_elements(p->nft, add, set, address,
                                        json_object_get(peer, "ports"), name);
                }
}

static void slice_addresses(
                struct policy_peers *p, bool add, const char *group, const json_t *slice) {
        char sets[2][POLICY_NAME_SIZE], address[ADDRESS_SIZE];
        const json_t *peer, *v;
        size_t i, k;

        (void)policy_name("g4", group, sets[0]);
        (void)policy_name("g6", group, sets[1]);
        json_array_foreach (json_object_get(slice, "peers"), i, peer)
                json_array_foreach (json_object_get(peer, "addresses"), k, v) {
                        int family = policy_address(strempty(json_string_value(v)), address);

                        if (!family)
                                continue;
                        (*p->steps)++;
                        one_element(p->nft, add, sets[family == 6], address);
                }
}

/* ---- groups ---- */

/* The group of a slice. Caller frees; NULL: it has no selector. */
static char *group_of(const json_t *slice) {
        _cleanup_json_ json_t *selector = peer_selector(slice);
        _cleanup_free_ char *text = selector ? peer_selector_text(selector) : NULL;

        return text ? strformat("%s/%s", object_namespace(slice), text) : NULL;
}

static struct group *group_get(struct policy_peers *p, const char *key) {
        struct group *g = map_get(p->groups, key);

        if (g)
                return g;
        g = must_alloc(sizeof(*g));
        g->ports = must_map(free);
        g->slices = must_map(NULL);
        must(map_set(p->groups, key, g));
        return g;
}

static void group_drop_empty(struct policy_peers *p, const char *key) {
        const struct group *g = map_get(p->groups, key);

        if (g && g->users == 0 && map_size(g->slices) == 0)
                (void)map_remove(p->groups, key);
}

/* All that a slice adds to its group's sets. */
static void group_slice(
                struct policy_peers *p, bool add, const char *key, struct group *g, json_t *slice) {
        if (g->users == 0)
                return;
        slice_addresses(p, add, key, slice);
        map_foreach (g->ports, e)
                slice_ports(p, add, key, map_entry_key(e), slice);
}

void policy_peers_use(struct policy_peers *p, const char *key) {
        struct group *g = group_get(p, key);
        _cleanup_free_ char *ns = must_namespace(key);
        char name[POLICY_NAME_SIZE];

        if (g->users++ > 0)
                return;
        declare_addresses(p->nft, policy_name("g4", key, name), 4);
        declare_addresses(p->nft, policy_name("g6", key, name), 6);
        (void)counter_up(p->namespaces, ns);
        map_foreach (g->slices, e)
                slice_addresses(p, true, key, map_entry_value(e));
}

void policy_peers_unuse(struct policy_peers *p, const char *key) {
        struct group *g = group_get(p, key);
        _cleanup_free_ char *ns = must_namespace(key);
        char name[POLICY_NAME_SIZE];

        assert(g->users > 0);
        if (--g->users > 0)
                return;
        map_foreach (g->slices, e)
                slice_addresses(p, false, key, map_entry_value(e));
        policy_nft_set_done(p->nft, policy_name("g4", key, name));
        policy_nft_set_done(p->nft, policy_name("g6", key, name));
        (void)counter_down(p->namespaces, ns);
        group_drop_empty(p, key);
}

void policy_peers_use_port(struct policy_peers *p, const char *key, const char *port) {
        struct group *g = group_get(p, key);

        if (!counter_up(g->ports, port))
                return;
        for (int family = 4; family <= 6; family += 2) {
                _cleanup_free_ char *set = policy_peer_port_set(key, port, family);

                assert(set);
                policy_declare_ports(p->nft, set, family);
        }
        map_foreach (g->slices, e)
                slice_ports(p, true, key, port, map_entry_value(e));
}

void policy_peers_unuse_port(struct policy_peers *p, const char *key, const char *port) {
        _cleanup_free_ char *name = must_copy(port); /* the counter may have it */
        struct group *g = group_get(p, key);

        if (!counter_down(g->ports, name))
                return;
        map_foreach (g->slices, e)
                slice_ports(p, false, key, name, map_entry_value(e));
        for (int family = 4; family <= 6; family += 2) {
                _cleanup_free_ char *set = policy_peer_port_set(key, name, family);

                assert(set);
                policy_nft_set_done(p->nft, set);
        }
}

/* ---- slices ---- */

int policy_peers_set(struct policy_peers *p, const json_t *slice) {
        _cleanup_free_ char *key = object_key(slice), *group = group_of(slice), *before = NULL;
        const json_t *old = key ? map_get(p->slices, key) : NULL;
        struct group *g;

        if (!key || !group)
                return 0;
        before = old ? group_of(old) : NULL;
        if (old && streq_ptr(before, group) &&
                        json_same(json_object_get(old, "peers"), json_object_get(slice, "peers")))
                return 0;
        (void)policy_peers_drop(p, key);
        g = group_get(p, group);
        must(map_set(p->slices, key, json_ref(slice)));
        must(map_set(g->slices, key, json_unconst(slice)));
        group_slice(p, true, group, g, json_unconst(slice));
        return 1;
}

int policy_peers_drop(struct policy_peers *p, const char *key) {
        json_t *slice = map_get(p->slices, key);
        _cleanup_free_ char *group = slice ? group_of(slice) : NULL;
        struct group *g;

        if (!group)
                return 0;
        g = group_get(p, group);
        group_slice(p, false, group, g, slice);
        (void)map_remove(g->slices, key);
        (void)map_remove(p->slices, key);
        group_drop_empty(p, group);
        return 1;
}

const struct map *policy_peers_namespaces(const struct policy_peers *p) {
        return p->namespaces;
}

const struct map *policy_peers_slices(const struct policy_peers *p) {
        return p->slices;
}
