/* What is in the table, from a packet's point of view:
 *
 *      ingress4: address of a pod -> its chain, which all pods share that the same policies select
 *      that chain: a jump to the chain of each of these policies, then drop
 *      chain of a policy: rules that accept (policy-rules.h)
 *      g4-..., p4-...: the peers of a selector and their named ports, from PeerSlices
 *      port4-...: the named ports of this node's isolated pods
 *
 * Invariants, once it is settled: the users of a policy are the shared chains that jump to it, and
 * its chain, blocks and groups are in the table exactly while it has some; a group has the elements
 * of its slices exactly while such a policy names it. */
#include "nodeagent/network/policy-table.h"

#include "lib/log.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/vector.h"
#include "nodeagent/network/policy-memory.h"
#include "nodeagent/network/policy-peers.h"

enum { ADDRESS_SIZE = 46 };

struct policy {
        json_t *object;                  /* NULL: deleted, and not yet out of the table */
        struct label_selector *selector; /* NULL: it selects nothing */
        bool isolates[POLICY_DIRECTIONS];
        unsigned users[POLICY_DIRECTIONS];
        json_t *realized[POLICY_DIRECTIONS]; /* the model that is in the table */
};

struct local_pod {
        char *ns;
        json_t *labels, *addresses, *ports;
        /* What is in the table: the key of the shared chain of each direction (NULL: not isolated),
         * and for which addresses and ports. */
        char *chains[POLICY_DIRECTIONS];
        json_t *realized_addresses, *realized_ports;
};

struct policy_table {
        struct policy_facts facts;
        char *cluster_cidr[FAMILIES];
        struct policy_nft *nft;
        struct policy_peers *peers;
        struct map *policies;                  /* key -> struct policy */
        struct map *policies_by_ns;            /* ns -> map: key -> struct policy, borrowed */
        struct map *pods;                      /* uid -> struct local_pod */
        struct map *pods_by_ns;                /* ns -> map: uid -> struct local_pod, borrowed */
        struct map *shared[POLICY_DIRECTIONS]; /* keys of policies, a line each -> struct counter */
        struct map *changed_pods, *changed_policies; /* keys; values are not used */
        size_t isolated;
        uint64_t steps;
};

/* ---- memory ---- */

static void map_free_value(void *m) {
        map_free(m);
}

static void policy_free(void *v) {
        struct policy *p = v;

        if (!p)
                return;
        json_decref(p->object);
        label_selector_free(p->selector);
        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                json_decref(p->realized[d]);
        free(p);
}

static void local_pod_free(void *v) {
        struct local_pod *p = v;

        if (!p)
                return;
        free(p->ns);
        json_decref(p->labels);
        json_decref(p->addresses);
        json_decref(p->ports);
        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                free(p->chains[d]);
        json_decref(p->realized_addresses);
        json_decref(p->realized_ports);
        free(p);
}

struct policy_table *policy_table_new(const struct policy_facts *facts) {
        struct policy_table *t = must_alloc(sizeof(*t));

        for (int f = 0; f < FAMILIES; f++)
                t->facts.cluster_cidr[f] = t->cluster_cidr[f] =
                                must_copy(strempty(facts->cluster_cidr[f]));
        t->nft = policy_nft_new();
        t->peers = policy_peers_new(t->nft, &t->steps);
        t->policies = must_map(policy_free);
        t->policies_by_ns = must_map(map_free_value);
        t->pods = must_map(local_pod_free);
        t->pods_by_ns = must_map(map_free_value);
        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                t->shared[d] = must_map(free);
        t->changed_pods = must_map(NULL);
        t->changed_policies = must_map(NULL);
        return t;
}

struct policy_table *policy_table_free(struct policy_table *t) {
        if (!t)
                return NULL;
        for (int f = 0; f < FAMILIES; f++)
                free(t->cluster_cidr[f]);
        policy_peers_free(t->peers);
        policy_nft_free(t->nft);
        map_free(t->policies);
        map_free(t->policies_by_ns);
        map_free(t->pods);
        map_free(t->pods_by_ns);
        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                map_free(t->shared[d]);
        map_free(t->changed_pods);
        map_free(t->changed_policies);
        free(t);
        return NULL;
}

static void index_put(struct map *index, const char *ns, const char *key, void *value) {
        struct map *m = map_get(index, ns);

        if (!m) {
                m = must_map(NULL);
                must(map_set(index, ns, m));
        }
        must(map_set(m, key, value));
}

static void index_remove(struct map *index, const char *ns, const char *key) {
        struct map *m = map_get(index, ns);

        (void)map_remove(m, key);
        if (map_size(m) == 0)
                (void)map_remove(index, ns);
}

static void changed(struct policy_table *t, struct map *list, const char *key) {
        must(map_set(list, key, t));
}

/* ---- peers ---- */

int policy_table_set_slice(struct policy_table *t, const json_t *slice) {
        return policy_peers_set(t->peers, slice);
}

int policy_table_drop_slice(struct policy_table *t, const char *key) {
        return policy_peers_drop(t->peers, key);
}

/* ---- policies in the table ---- */

static void one_element(struct policy_table *t, bool add, const char *set, const char *element) {
        t->steps++;
        if (add)
                policy_nft_add(t->nft, set, element, NULL);
        else
                policy_nft_remove(t->nft, set, element);
}

/* Adds what the model refers to, or removes it. */
static void model_parts(struct policy_table *t, bool add, const json_t *model) {
        const char *name;
        const json_t *v, *port;
        json_t *list;
        size_t i;

        json_object_each (json_object_get(model, "blocks"), name, list) {
                if (add)
                        policy_nft_set(t->nft, name,
                                        startswith(name, "b4") ? "type ipv4_addr; flags interval;"
                                                               : "type ipv6_addr; flags interval;");
                json_array_foreach (list, i, v)
                        one_element(t, add, name, json_string_value(v));
                if (!add)
                        policy_nft_set_done(t->nft, name);
        }
        json_array_foreach (json_object_get(model, "ports"), i, v)
                for (int family = 4; family <= 6; family += 2) {
                        _cleanup_free_ char *set = policy_port_set(json_string_value(v), family);

                        assert(set);
                        if (add)
                                policy_declare_ports(t->nft, set, family);
                        else
                                policy_nft_set_done(t->nft, set);
                }
        json_object_each (json_object_get(model, "groups"), name, list) {
                if (add)
                        policy_peers_use(t->peers, name);
                json_array_foreach (list, i, port) {
                        if (add)
                                policy_peers_use_port(t->peers, name, json_string_value(port));
                        else
                                policy_peers_unuse_port(t->peers, name, json_string_value(port));
                }
                if (!add)
                        policy_peers_unuse(t->peers, name);
        }
}

static void model_chain(struct policy_table *t, const char *key, enum policy_direction d,
                const json_t *model) {
        _cleanup_free_ char *name = policy_chain_name(key, d);
        _cleanup_buf_ struct buf rules = {0};
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(model, "rules"), i, v)
                buf_printf(&rules, "%s\n", json_string_value(v));
        assert(name && !rules.failed);
        policy_nft_chain(t->nft, name, rules.data ? rules.data : "");
}

/* Brings one direction of a policy into the table, up to date, or out of it. */
static void realize_policy(struct policy_table *t, const char *key, struct policy *p,
                enum policy_direction d) {
        _cleanup_json_ json_t *model = NULL, *old = p->realized[d];

        if (p->users[d] > 0) {
                model = policy_model(p->object, d, &t->facts);
                assert(model);
        }
        if (model && old && json_same(model, old)) {
                p->realized[d] = json_ref(old);
                return;
        }
        /* First the new parts: what both have stays. */
        if (model) {
                model_parts(t, true, model);
                model_chain(t, key, d, model);
        }
        if (old) {
                _cleanup_free_ char *name = policy_chain_name(key, d);

                assert(name);
                policy_nft_chain_done(t->nft, name);
                model_parts(t, false, old);
        }
        p->realized[d] = TAKE_PTR(model);
}

static void settle_policy(struct policy_table *t, const char *key) {
        struct policy *p = map_get(t->policies, key);
        _cleanup_free_ char *ns = must_namespace(key);

        if (!p)
                return;
        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                realize_policy(t, key, p, d);
        if (p->object)
                return;
        assert(p->users[POLICY_INGRESS] == 0 && p->users[POLICY_EGRESS] == 0);
        index_remove(t->policies_by_ns, ns, key);
        (void)map_remove(t->policies, key);
}

/* ---- policies ---- */

static bool policy_selects(
                struct policy_table *t, const struct policy *p, const struct local_pod *pod) {
        t->steps++;
        return p->selector && label_selector_matches(p->selector, pod->labels);
}

/* What is compared of a policy's old and new state. */
struct selection {
        struct label_selector *selector;
        bool isolates[POLICY_DIRECTIONS];
};

static bool selection_differs(struct policy_table *t, const struct selection *old,
                const struct policy *p, const struct local_pod *pod) {
        bool before = old->selector && label_selector_matches(old->selector, pod->labels),
             now = policy_selects(t, p, pod);

        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                if ((before && old->isolates[d]) != (now && p->isolates[d]))
                        return true;
        return false;
}

/* Replaces the object (NULL: deleted). Its pods find their policies again. */
static void policy_change(
                struct policy_table *t, const char *key, struct policy *p, const json_t *object) {
        struct selection old = {.selector = p->selector};
        struct map *pods;
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_free_ char *ns = must_namespace(key);

        memcpy(old.isolates, p->isolates, sizeof(old.isolates));
        p->selector = NULL;
        if (object && label_selector_from_json(json_at(object, "spec.podSelector"), &p->selector,
                                      &problem) < 0)
                log_warning("NetworkPolicy %s: spec.podSelector cannot be read, so it selects no "
                            "pod: %s",
                                key, strempty(problem.message));
        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                p->isolates[d] = object && network_policy_isolates(object, d);
        json_decref(p->object);
        p->object = object ? json_ref(object) : NULL;
        changed(t, t->changed_policies, key);
        pods = map_get(t->pods_by_ns, ns);
        for (struct map_entry *e = pods ? map_first(pods) : NULL; e; e = map_next(e))
                if (selection_differs(t, &old, p, map_entry_value(e)))
                        changed(t, t->changed_pods, map_entry_key(e));
        label_selector_free(old.selector);
}

int policy_table_set_policy(struct policy_table *t, const json_t *policy) {
        _cleanup_free_ char *key = object_key(policy);
        struct policy *p = key ? map_get(t->policies, key) : NULL;

        if (!key || isempty(object_namespace(policy)))
                return 0;
        if (p && p->object && json_same(json_at(p->object, "spec"), json_at(policy, "spec")))
                return 0;
        if (!p) {
                p = must_alloc(sizeof(*p));
                must(map_set(t->policies, key, p));
                index_put(t->policies_by_ns, object_namespace(policy), key, p);
        }
        policy_change(t, key, p, policy);
        return 1;
}

int policy_table_drop_policy(struct policy_table *t, const char *key) {
        struct policy *p = map_get(t->policies, key);

        if (!p || !p->object)
                return 0;
        policy_change(t, key, p, NULL);
        return 1;
}

/* ---- the chains that pods share ---- */

/* Counts the chain as a user of its policies, or no longer. Returns its rules; the caller frees. */
static char *visit_shared(
                struct policy_table *t, const char *key, enum policy_direction d, bool use) {
        _cleanup_buf_ struct buf rules = {0};

        for (const char *line = key; *line;) {
                _cleanup_free_ char *name = strndup(line, strcspn(line, "\n")), *chain = NULL;
                struct policy *p = name ? map_get(t->policies, name) : NULL;

                assert(p && (use || p->users[d] > 0));
                p->users[d] += use ? 1 : -1;
                changed(t, t->changed_policies, name);
                chain = policy_chain_name(name, d);
                assert(chain);
                buf_printf(&rules, "jump %s\n", chain);
                line += strlen(name) + 1;
        }
        buf_append_str(&rules, "drop\n");
        assert(!rules.failed);
        return buf_take(&rules);
}

static const char *shared_name(
                const char *key, enum policy_direction d, char buffer[static POLICY_NAME_SIZE]) {
        return policy_name(d == POLICY_INGRESS ? "pods-in" : "pods-out", key, buffer);
}

static void use_shared(struct policy_table *t, const char *key, enum policy_direction d) {
        _cleanup_free_ char *rules = NULL;
        char name[POLICY_NAME_SIZE];

        if (!counter_up(t->shared[d], key))
                return;
        rules = visit_shared(t, key, d, true);
        policy_nft_chain(t->nft, shared_name(key, d, name), rules);
}

static void unuse_shared(struct policy_table *t, const char *key, enum policy_direction d) {
        char name[POLICY_NAME_SIZE];

        if (!counter_down(t->shared[d], key))
                return;
        free(visit_shared(t, key, d, false));
        policy_nft_chain_done(t->nft, shared_name(key, d, name));
}

/* ---- pods ---- */

static const char *direction_map(enum policy_direction d, int family) {
        static const char *const maps[POLICY_DIRECTIONS][2] = {
                        [POLICY_INGRESS] = {"ingress4", "ingress6"},
                        [POLICY_EGRESS] = {"egress4", "egress6"}};

        return maps[d][family == 6];
}

/* The named ports of an address of an isolated pod. */
static void pod_ports(struct policy_table *t, bool add, const json_t *ports, const char *address,
                int family) {
        const json_t *port;
        size_t i;

        json_array_foreach (ports, i, port) {
                const char *name = json_str_or(port, "name", "");
                _cleanup_json_ json_t *one = json_pack("[O]", port);
                _cleanup_free_ char *set = NULL;

                if (!policy_port_is_plain(name))
                        continue;
                set = policy_port_set(name, family);
                assert(set && one);
                if (add)
                        policy_declare_ports(t->nft, set, family);
                policy_port_elements(t->nft, add, set, address, one, name);
                if (!add)
                        policy_nft_set_done(t->nft, set);
        }
}

/* The elements of an isolated pod. */
static void pod_elements(struct policy_table *t, bool add, const struct local_pod *pod) {
        char address[ADDRESS_SIZE], name[POLICY_NAME_SIZE];
        const json_t *v;
        size_t i;

        if (!pod->chains[POLICY_INGRESS] && !pod->chains[POLICY_EGRESS])
                return;
        t->isolated += add ? 1 : -1;
        json_array_foreach (pod->realized_addresses, i, v) {
                int family = policy_address(strempty(json_string_value(v)), address);
                _cleanup_free_ char *self = strformat("%s . %s", address, address);

                assert(self);
                if (!family)
                        continue;
                one_element(t, add, family == 4 ? "self4" : "self6", self);
                for (int d = 0; d < POLICY_DIRECTIONS; d++) {
                        _cleanup_free_ char *go = NULL;

                        if (!pod->chains[d])
                                continue;
                        go = strformat("goto %s", shared_name(pod->chains[d], d, name));
                        assert(go);
                        t->steps++;
                        if (add)
                                policy_nft_add(t->nft, direction_map(d, family), address, go);
                        else
                                policy_nft_remove(t->nft, direction_map(d, family), address);
                }
                if (pod->chains[POLICY_INGRESS])
                        pod_ports(t, add, pod->realized_ports, address, family);
        }
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of the policies that isolate the pod, sorted, a line each; NULL: none. Caller frees. */
static char *choose_chain(
                struct policy_table *t, const struct local_pod *pod, enum policy_direction d) {
        VECTOR(const char *) keys = {0};
        _cleanup_buf_ struct buf text = {0};
        struct map *policies;

        policies = map_get(t->policies_by_ns, pod->ns);
        if (!policies)
                return NULL;
        map_foreach (policies, e) {
                const struct policy *p = map_entry_value(e);

                if (p->isolates[d] && policy_selects(t, p, pod))
                        must(vector_append(&keys, map_entry_key(e)));
        }
        if (keys.count > 0)
                qsort(keys.items, keys.count, sizeof(*keys.items), compare_texts);
        for (size_t i = 0; i < keys.count; i++)
                buf_printf(&text, "%s\n", keys.items[i]);
        vector_done(&keys);
        assert(!text.failed);
        return text.size > 0 ? buf_take(&text) : NULL;
}

static void settle_pod(struct policy_table *t, const char *uid) {
        struct local_pod *pod = map_get(t->pods, uid);
        char *chains[POLICY_DIRECTIONS];

        if (!pod)
                return;
        for (int d = 0; d < POLICY_DIRECTIONS; d++) {
                chains[d] = choose_chain(t, pod, d);
                if (chains[d])
                        use_shared(t, chains[d], d);
        }
        pod_elements(t, false, pod);
        for (int d = 0; d < POLICY_DIRECTIONS; d++) {
                if (pod->chains[d])
                        unuse_shared(t, pod->chains[d], d);
                free(pod->chains[d]);
                pod->chains[d] = chains[d];
        }
        json_decref(pod->realized_addresses);
        json_decref(pod->realized_ports);
        pod->realized_addresses = json_ref(pod->addresses);
        pod->realized_ports = json_ref(pod->ports);
        pod_elements(t, true, pod);
}

int policy_table_set_pod(struct policy_table *t, const json_t *object, const json_t *addresses) {
        _cleanup_json_ json_t *ports = pod_named_ports(object);
        const json_t *labels = json_at(object, "metadata.labels");
        struct local_pod *pod = map_get(t->pods, object_uid(object));

        assert(ports);
        if (!addresses) {
                if (!pod)
                        return 0;
                addresses = pod->addresses;
        }
        if (pod && json_same(pod->labels, labels) && json_same(pod->addresses, addresses) &&
                        json_same(pod->ports, ports))
                return 0;
        if (!pod) {
                pod = must_alloc(sizeof(*pod));
                pod->ns = must_copy(object_namespace(object));
                must(map_set(t->pods, object_uid(object), pod));
                index_put(t->pods_by_ns, pod->ns, object_uid(object), pod);
        }
        json_decref(pod->labels);
        json_decref(pod->ports);
        pod->labels = json_ref(labels);
        if (addresses != pod->addresses) {
                json_decref(pod->addresses);
                pod->addresses = json_ref(addresses);
        }
        pod->ports = TAKE_PTR(ports);
        changed(t, t->changed_pods, object_uid(object));
        return 1;
}

int policy_table_drop_pod(struct policy_table *t, const char *uid) {
        struct local_pod *pod = map_get(t->pods, uid);

        if (!pod)
                return 0;
        pod_elements(t, false, pod);
        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                if (pod->chains[d])
                        unuse_shared(t, pod->chains[d], d);
        index_remove(t->pods_by_ns, pod->ns, uid);
        (void)map_remove(t->pods, uid);
        return 1;
}

bool policy_table_has_pod(const struct policy_table *t, const char *uid) {
        return map_get(t->pods, uid) != NULL;
}

/* ---- all ---- */

bool policy_table_settle(struct policy_table *t, size_t steps) {
        uint64_t end = t->steps + steps;

        /* Pods first: they say which policies are in use. */
        map_foreach (t->changed_pods, e) {
                if (t->steps >= end)
                        return true;
                settle_pod(t, map_entry_key(e));
                (void)map_remove(t->changed_pods, map_entry_key(e));
        }
        map_foreach (t->changed_policies, f) {
                if (t->steps >= end)
                        return true;
                settle_policy(t, map_entry_key(f));
                (void)map_remove(t->changed_policies, map_entry_key(f));
        }
        return false;
}

struct policy_nft *policy_table_nft(struct policy_table *t) {
        return t->nft;
}

const struct map *policy_table_peer_namespaces(const struct policy_table *t) {
        return policy_peers_namespaces(t->peers);
}

void policy_table_each(const struct policy_table *t,
                void (*func)(const json_t *object, void *userdata), void *userdata) {
        map_foreach (t->policies, e) {
                const struct policy *p = map_entry_value(e);

                if (p->object)
                        func(p->object, userdata);
        }
        map_foreach (policy_peers_slices(t->peers), f)
                func(map_entry_value(f), userdata);
}

size_t policy_table_isolated(const struct policy_table *t) {
        return t->isolated;
}

uint64_t policy_table_steps(const struct policy_table *t) {
        return t->steps;
}
