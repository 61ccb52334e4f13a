/* PeerSlice: for each selector of peers in the NetworkPolicies of a namespace the addresses of the
 * pods that it selects, for the agents (docs/network-policy.md). A name of this controller is
 * "namespace/selector", the selector as its text: policies of a namespace that select the same
 * peers share the slices. A pod keeps its place in the slice it is in, so that one change touches
 * one slice.
 *
 * All pods of all namespaces need no slices: they are the cluster's range of addresses. Pods in
 * their node's network are never peers: what comes from them comes from the node. */
#include "lib/client/network-policy.h"
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

enum { PEERS_PER_SLICE_MAX = 200 };

/* --- names --- */

static void wake_peers(const struct wake *out, const char *ns, const json_t *selector) {
        _cleanup_free_ char *text = peer_selector_text(selector), *key = NULL;

        assert(text);
        key = strformat("%s/%s", ns, text);
        assert(key);
        out->add(out->userdata, key);
}

/* A peer that needs slices: its selector, which the caller unrefs; else NULL. */
static json_t *selector_of(const json_t *peer) {
        json_t *selector = peer_selector(peer);

        if (selector && peer_is_every_pod(selector)) {
                json_decref(selector);
                return NULL;
        }
        return selector;
}

/* Calls func with each peer of a policy until it returns true; returns whether it did. */
static bool any_peer(const json_t *policy,
                bool (*func)(const json_t *policy, const json_t *selector, void *userdata),
                void *userdata) {
        const json_t *rule, *peer;
        size_t i, k;

        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                json_array_foreach (network_policy_rules(policy, d), i, rule)
                        json_array_foreach (network_policy_peers(rule, d), k, peer) {
                                _cleanup_json_ json_t *selector = selector_of(peer);

                                if (selector && func(policy, selector, userdata))
                                        return true;
                        }
        return false;
}

/* --- which pods --- */

static bool is_peer(const json_t *pod) {
        return !json_bool_or(pod, "spec.hostNetwork", false) && !pod_is_finished(pod) &&
               !isempty(json_str(pod, "status.podIP"));
}

/* Whether a selector in a policy of namespace `ns` selects pods of the namespace `of`. */
static bool selects_namespace(
                const char *ns, const json_t *selector, const char *of, const json_t *labels) {
        const json_t *namespaces = json_object_get(selector, "namespaceSelector");

        return namespaces ? label_selector_json_matches(namespaces, labels) : streq(ns, of);
}

static bool selects_pod(const json_t *selector, const json_t *pod) {
        return pod && label_selector_json_matches(json_object_get(selector, "podSelector"),
                                      json_at(pod, "metadata.labels"));
}

/* --- what wakes --- */

/* A pod or a namespace has changed: the names whose peers may be others now. */
struct change {
        const struct wake *out;
        const char *ns;       /* of the pod, or the namespace itself */
        const json_t *labels; /* of the namespace now ... */
        const json_t *before; /* ... and before */
        const json_t *pod[2]; /* NULL: all pods of the namespace */
        bool whole_namespace;
};

static bool wake_if_affected(const json_t *policy, const json_t *selector, void *userdata) {
        const struct change *c = userdata;
        const char *ns = object_namespace(policy);

        if (!selects_namespace(ns, selector, c->ns, c->labels) &&
                        !selects_namespace(ns, selector, c->ns, c->before))
                return false;
        if (c->whole_namespace || selects_pod(selector, c->pod[0]) ||
                        selects_pod(selector, c->pod[1]))
                wake_peers(c->out, ns, selector);
        return false;
}

static void wake_listed(const struct world *w, enum world_index index, const char *value,
                struct change *c) {
        _cleanup_objects_ struct objects policies = {0};

        world_list(w, index, value, &policies);
        for (size_t i = 0; i < policies.count; i++)
                (void)any_peer(policies.items[i], wake_if_affected, c);
}

/* The policies that select pods of other namespaces are indexed by a label which these must have.
 */
static void wake_by_labels(const struct world *w, const json_t *labels, struct change *c) {
        const char *key;
        char value[600];
        json_t *v;

        json_object_each (labels, key, v) {
                snprintf(value, sizeof(value), "%s=%s", key, strempty(json_string_value(v)));
                wake_listed(w, WORLD_POLICIES_BY_PEER_LABEL, value, c);
        }
}

static void wake_policies(const struct world *w, struct change *c) {
        if (!c->whole_namespace)
                wake_listed(w, WORLD_POLICIES_BY_NS, c->ns, c);
        wake_listed(w, WORLD_POLICIES_BY_PEER_LABEL, "", c);
        wake_by_labels(w, c->labels, c);
        if (!json_same(c->before, c->labels))
                wake_by_labels(w, c->before, c);
}

static void pod_changed(const struct world *w, const struct wake *out, const json_t *old,
                const json_t *pod, bool gone) {
        const json_t *ns = world_get(w, WORLD_NAMESPACES, NULL, object_namespace(pod));
        struct change c = {.out = out,
                        .ns = object_namespace(pod),
                        .labels = json_at(ns, "metadata.labels"),
                        .pod = {old, pod}};

        /* Most changes of a pod are of its status. */
        if (!gone && is_peer(pod) == (old && is_peer(old)) &&
                        (!is_peer(pod) || (json_same(json_at(old, "metadata.labels"),
                                                           json_at(pod, "metadata.labels")) &&
                                                          json_same(json_at(old, "status.podIPs"),
                                                                          json_at(pod, "status."
                                                                                       "podIPs")) &&
                                                          streq_ptr(json_str(old, "status.podIP"),
                                                                          json_str(pod, "status."
                                                                                        "podIP")))))
                return;
        c.before = c.labels;
        wake_policies(w, &c);
}

static void namespace_changed(const struct world *w, const struct wake *out, const json_t *old,
                const json_t *ns, bool gone) {
        struct change c = {.out = out,
                        .ns = object_name(ns),
                        .labels = json_at(ns, "metadata.labels"),
                        .before = json_at(old, "metadata.labels"),
                        .whole_namespace = true};

        if (gone || !old || !json_same(c.labels, c.before))
                wake_policies(w, &c);
}

static bool wake_one(const json_t *policy, const json_t *selector, void *userdata) {
        wake_peers(userdata, object_namespace(policy), selector);
        return false;
}

static void peerslice_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        _cleanup_json_ json_t *selector = NULL;

        switch (kind) {
        case WORLD_NETWORKPOLICIES:
                if (!gone && old && json_same(json_at(old, "spec"), json_at(object, "spec")))
                        break;
                (void)any_peer(object, wake_one, (void *)out);
                if (old)
                        (void)any_peer(old, wake_one, (void *)out);
                break;
        case WORLD_PODS:
                pod_changed(w, out, old, object, gone);
                break;
        case WORLD_NAMESPACES:
                namespace_changed(w, out, old, object, gone);
                break;
        case WORLD_PEERSLICES:
                selector = peer_selector(object);
                if (selector)
                        wake_peers(out, object_namespace(object), selector);
                break;
        default:
                break;
        }
}

/* --- the plan --- */

static bool is_that(const json_t *policy, const json_t *selector, void *userdata) {
        return json_same(selector, userdata);
}

static bool is_wanted(const struct world *w, const char *ns, json_t *selector) {
        const json_t *object = world_get(w, WORLD_NAMESPACES, NULL, ns);
        _cleanup_objects_ struct objects policies = {0};

        if (!object || object_is_deleting(object))
                return false;
        world_list(w, WORLD_POLICIES_BY_NS, ns, &policies);
        for (size_t i = 0; i < policies.count; i++)
                if (any_peer(policies.items[i], is_that, selector))
                        return true;
        return false;
}

static json_t *peer_of(const json_t *pod) {
        _cleanup_json_ json_t *addresses = pod_addresses(pod), *ports = pod_named_ports(pod);
        json_t *peer = json_pack("{s:O}", "addresses", addresses);

        assert(peer && ports);
        if (json_array_size(ports) > 0)
                json_object_set(peer, "ports", ports);
        return peer;
}

/* The first address of a peer, which no other one has. */
static const char *peer_name(const json_t *peer) {
        return strempty(json_string_value(json_array_get(json_object_get(peer, "addresses"), 0)));
}

static void add_pods(const struct world *w, const char *ns, const json_t *selector, json_t *peers) {
        _cleanup_objects_ struct objects pods = {0};

        world_list(w, WORLD_PODS_BY_NS, ns, &pods);
        for (size_t i = 0; i < pods.count; i++) {
                _cleanup_json_ json_t *peer = NULL;

                if (!is_peer(pods.items[i]) || !selects_pod(selector, pods.items[i]))
                        continue;
                peer = peer_of(pods.items[i]);
                json_object_set(peers, peer_name(peer), peer);
        }
}

/* {first address: peer} of all pods that the selector selects. */
static json_t *collect_peers(const struct world *w, const char *ns, const json_t *selector) {
        _cleanup_objects_ struct objects namespaces = {0};
        json_t *peers = json_object();

        assert(peers);
        if (!json_object_get(selector, "namespaceSelector")) {
                add_pods(w, ns, selector, peers);
                return peers;
        }
        world_all(w, WORLD_NAMESPACES, &namespaces);
        for (size_t i = 0; i < namespaces.count; i++) {
                const json_t *o = namespaces.items[i];

                if (selects_namespace(ns, selector, object_name(o), json_at(o, "metadata.labels")))
                        add_pods(w, object_name(o), selector, peers);
        }
        return peers;
}

/* The slice's peers that remain, as they are now; they are removed from `peers`. */
static json_t *keep_peers(json_t *peers, const json_t *slice) {
        json_t *kept = json_array(), *now;
        const json_t *peer;
        size_t i;

        assert(kept);
        json_array_foreach (json_object_get(slice, "peers"), i, peer) {
                now = json_object_get(peers, peer_name(peer));
                if (!now || json_array_size(kept) >= PEERS_PER_SLICE_MAX)
                        continue;
                json_array_append(kept, now);
                json_object_del(peers, peer_name(peer));
        }
        return kept;
}

/* Moves peers without a slice into the array until it is full. */
static void fill_slice(json_t *peers, json_t *slice) {
        const char *name;
        json_t *peer;
        void *tmp;

        json_object_foreach_safe(peers, tmp, name, peer) {
                if (json_array_size(slice) >= PEERS_PER_SLICE_MAX)
                        return;
                json_array_append(slice, peer);
                json_object_del(peers, name);
        }
}

static void create_peer_slice(
                struct actions *a, const char *ns, const json_t *selector, json_t *peers) {
        json_t *slice = json_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion", "keelson.dev/v1",
                        "kind", "PeerSlice", "metadata", "generateName", "peers-", "namespace", ns,
                        "peers", peers);

        assert(slice && json_object_update(slice, json_unconst(selector)) >= 0);
        action_create(a, "peerslices", ns, slice);
}

static void place_peers(struct actions *a, const char *ns, const json_t *selector, json_t *peers,
                const struct objects *slices) {
        json_t **kept = calloc(slices->count + 1, sizeof(*kept));

        assert(kept);
        for (size_t i = 0; i < slices->count; i++)
                kept[i] = keep_peers(peers, slices->items[i]);
        for (size_t i = 0; i < slices->count; i++) {
                const json_t *slice = slices->items[i];

                fill_slice(peers, kept[i]);
                if (json_array_size(kept[i]) == 0)
                        action_delete(a, "peerslices", slice, -1, NULL);
                else if (!json_same(json_object_get(slice, "peers"), kept[i]))
                        action_patch(a, "peerslices", slice, NULL,
                                        json_pack("{s:O}", "peers", kept[i]));
                json_decref(kept[i]);
        }
        free(kept);
        while (json_object_size(peers) > 0) {
                json_t *more = json_array();

                assert(more);
                fill_slice(peers, more);
                create_peer_slice(a, ns, selector, more);
        }
}

static void list_slices(const struct world *w, const char *ns, const json_t *selector,
                struct objects *ret) {
        const struct world_index_row *index = &world_indexes[WORLD_PEERSLICES_BY_SELECTOR];
        _cleanup_json_ json_t *like = json_copy(json_unconst(selector));
        char buffer[512];

        assert(like && json_object_set_new(like, "metadata", json_pack("{s:s}", "namespace", ns)) >=
                                        0);
        world_list(w, WORLD_PEERSLICES_BY_SELECTOR, index->func(like, buffer, sizeof(buffer)), ret);
}

static void peerslice_plan(const struct world *w, const char *name, struct actions *a) {
        _cleanup_objects_ struct objects all = {0}, slices = {0};
        _cleanup_json_ json_t *selector = NULL, *peers = NULL;
        _cleanup_free_ char *ns = strndup(name, strcspn(name, "/"));
        const char *text = strchr(name, '/');

        assert(ns);
        if (!text || json_parse(text + 1, strlen(text + 1), 0, &selector, NULL) < 0)
                return;
        list_slices(w, ns, selector, &all);
        peers = is_wanted(w, ns, selector) ? collect_peers(w, ns, selector) : json_object();
        for (size_t i = 0; i < all.count; i++)
                if (!object_is_deleting(all.items[i]))
                        objects_add(&slices, all.items[i]);
        place_peers(a, ns, selector, peers, &slices);
}

const struct controller peerslice_controller = {
                .name = "peerslice",
                .primary = WORLD_KINDS_MAX,
                .kinds = WORLD_BIT(WORLD_NETWORKPOLICIES) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_NAMESPACES) | WORLD_BIT(WORLD_PEERSLICES),
                .wake = peerslice_wake,
                .plan = peerslice_plan,
};
