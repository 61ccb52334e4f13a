/* The kinds and indexes that controllers share, and reading through a source. */
#include "reconcilers/world.h"

#include "lib/client/informer.h"
#include "lib/client/network-policy.h"
#include "lib/crypto.h"
#include "lib/volumes.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/vector.h"
#include "reconcilers/network/slices.h"
#include "reconcilers/pods.h"

#define KIND_ROW(name, id, ns, selector) [WORLD_##name] = {id, ns, selector},
const struct world_kind_row world_kinds[WORLD_KINDS_MAX] = {WORLD_KINDS(KIND_ROW)};

bool world_kind_holds(enum world_kind kind, const char *ns, const char *name) {
        const struct world_kind_row *row = &world_kinds[kind];
        const char *only = row->field_selector ? startswith(row->field_selector, "metadata.name=")
                                               : NULL;

        if (row->ns && !streq(row->ns, strempty(ns)))
                return false;
        return !only || streq(only, strempty(name));
}

static const char *by_owner(const json_t *o, char *buffer, size_t n) {
        const json_t *ref = object_controller_ref(o);

        if (ref)
                return json_str(ref, "uid");
        snprintf(buffer, n, "orphan/%s", object_namespace(o));
        return buffer;
}

static const char *by_ns(const json_t *o, char *buffer, size_t n) {
        return object_namespace(o);
}

static const char *by_node(const json_t *o, char *buffer, size_t n) {
        return json_str_or(o, "spec.nodeName", "");
}

static const char *by_ready(const json_t *o, char *buffer, size_t n) {
        return node_is_ready(o) ? "1" : NULL;
}

static const char *by_service(const json_t *o, char *buffer, size_t n) {
        const char *service = object_label(o, SLICE_SERVICE_LABEL);

        if (!service)
                return NULL;
        snprintf(buffer, n, "%s/%s", object_namespace(o), service);
        return buffer;
}

static const char *by_balanced(const json_t *o, char *buffer, size_t n) {
        return streq(json_str_or(o, "spec.type", ""), "LoadBalancer") ||
                                               object_has_finalizer(o, "service.kubernetes.io/"
                                                                       "load-balancer-cleanup")
                               ? "1"
                               : NULL;
}

static const char *by_job(const json_t *o, char *buffer, size_t n) {
        const json_t *ref = object_controller_ref(o);

        if (!ref || !streq(json_str_or(ref, "kind", ""), "Job"))
                return NULL;
        snprintf(buffer, n, "%s/%s", object_namespace(o), json_str_or(ref, "name", ""));
        return buffer;
}

static const char *by_claim(const json_t *o, char *buffer, size_t n) {
        const char *name = json_str(o, "spec.claimRef.name");

        if (!name)
                return NULL;
        snprintf(buffer, n, "%s/%s", json_str_or(o, "spec.claimRef.namespace", ""), name);
        return buffer;
}

static const char *by_free_class(const json_t *o, char *buffer, size_t n) {
        return json_at(o, "spec.claimRef") ? NULL : volume_class(o);
}

static const char *by_volume_node(const json_t *o, char *buffer, size_t n) {
        return object_label(o, VOLUME_NODE_LABEL);
}

static const char *by_volume(const json_t *o, char *buffer, size_t n) {
        const char *name = json_str_or(o, "spec.volumeName", "");

        return *name ? name : NULL;
}

static const char *by_waiting_class(const json_t *o, char *buffer, size_t n) {
        return *json_str_or(o, "spec.volumeName", "") ? NULL : volume_class(o);
}

/* What an autoscaler scales. The version says nothing about which object that is. */
static const char *by_target(const json_t *o, char *buffer, size_t n) {
        const json_t *ref = json_at(o, "spec.scaleTargetRef");
        const char *api_version = json_str_or(ref, "apiVersion", "v1"),
                   *slash = strchr(api_version, '/');

        snprintf(buffer, n, "%s/%s %s.%.*s", object_namespace(o), json_str_or(ref, "name", ""),
                        json_str_or(ref, "kind", ""), slash ? (int)(slash - api_version) : 0,
                        api_version);
        return buffer;
}

/* The label that all of them require; "": they differ, or one requires none. NULL: none selects
 * other namespaces. */
static const char *by_peer_label(const json_t *o, char *buffer, size_t n) {
        const json_t *rule, *peer;
        bool found = false;
        char value[INFORMER_INDEX_VALUE_MAX];
        size_t i, k;

        for (int d = 0; d < POLICY_DIRECTIONS; d++)
                json_array_foreach (network_policy_rules(o, d), i, rule)
                        json_array_foreach (network_policy_peers(rule, d), k, peer) {
                                const json_t *selector = json_object_get(peer, "namespaceSelector"),
                                             *labels = json_object_get(selector, "matchLabels");
                                void *first = json_object_iter(json_unconst(labels));

                                if (!json_is_object(selector))
                                        continue;
                                if (!first)
                                        return "";
                                snprintf(value, sizeof(value), "%s=%s", json_object_iter_key(first),
                                                strempty(json_string_value(
                                                                json_object_iter_value(first))));
                                if (found && !streq(buffer, value))
                                        return "";
                                snprintf(buffer, n, "%s", value);
                                found = true;
                        }
        return found ? buffer : NULL;
}

static const char *by_selector(const json_t *o, char *buffer, size_t n) {
        _cleanup_json_ json_t *selector = peer_selector(o);
        _cleanup_free_ char *text = selector ? peer_selector_text(selector) : NULL;
        char hash[SHA256_HEX_SIZE];

        if (!text)
                return NULL;
        sha256_hex(text, strlen(text), hash);
        snprintf(buffer, n, "%s/%s", object_namespace(o), hash);
        return buffer;
}

const char *world_label_value(
                const char *ns, const char *key, const char *value, char *buffer, size_t n) {
        snprintf(buffer, n, "%s/%s=%s", ns, key, value);
        return buffer;
}

static const char *by_first_pair(const json_t *o, char *buffer, size_t n) {
        const char *key;
        json_t *v;

        if (!service_has_selector(o))
                return NULL;
        json_object_each (json_at(o, "spec.selector"), key, v) {
                return world_label_value(object_namespace(o), key, strempty(json_string_value(v)),
                                buffer, n);
        }
        return NULL;
}

static const char *by_label(const json_t *o, size_t n, char *buffer, size_t size) {
        const char *key;
        json_t *v;

        json_object_each (json_at(o, "metadata.labels"), key, v) {
                if (n-- == 0)
                        return world_label_value(object_namespace(o), key,
                                        strempty(json_string_value(v)), buffer, size);
        }
        return NULL;
}

#define INDEX_ROW(name, kind, by) [WORLD_##name] = {#by, WORLD_##kind, by, NULL},
#define INDEX_ROW_OF_MANY(name, kind, by) [WORLD_##name] = {#by, WORLD_##kind, NULL, by},
const struct world_index_row world_indexes[WORLD_INDEXES_MAX] = {
                WORLD_INDEXES(INDEX_ROW) WORLD_INDEXES_OF_MANY(INDEX_ROW_OF_MANY)};

void objects_done(struct objects *o) {
        vector_done(o);
}

/* Out of memory ends the program: a truncated list would make a controller act on wrong data. */
void objects_add(struct objects *o, const json_t *object) {
        assert(vector_append(o, object) >= 0);
}

const json_t *world_get(
                const struct world *w, enum world_kind kind, const char *ns, const char *name) {
        return w->source->get(w->data, kind, ns, name);
}

const json_t *world_get_key(const struct world *w, enum world_kind kind, const char *key) {
        const char *slash = strchr(key, '/');
        char ns[256];

        if (!slash)
                return world_get(w, kind, NULL, key);
        if ((size_t)(slash - key) >= sizeof(ns))
                return NULL;
        memcpy(ns, key, (size_t)(slash - key));
        ns[slash - key] = 0;
        return world_get(w, kind, ns, slash + 1);
}

void world_list(const struct world *w, enum world_index index, const char *value,
                struct objects *ret) {
        w->source->list(w->data, index, value, ret);
}

void world_all(const struct world *w, enum world_kind kind, struct objects *ret) {
        w->source->all(w->data, kind, ret);
}

void world_pods_for(const struct world *w, const char *ns, const json_t *selector,
                struct objects *ret) {
        char value[WORLD_LABEL_VALUE_MAX];
        const char *key;
        json_t *v;

        json_object_each (json_object_get(selector, "matchLabels"), key, v) {
                world_list(w, WORLD_PODS_BY_LABEL,
                                world_label_value(ns, key, strempty(json_string_value(v)), value,
                                                sizeof(value)),
                                ret);
                return;
        }
        world_list(w, WORLD_PODS_BY_NS, ns, ret);
}

int world_zone(const struct world *w, const char *name, struct time_zone **ret) {
        return w->source->zone(w->data, name, ret);
}

void world_owned(const struct world *w, enum world_index index, const json_t *owner,
                struct objects *ret_owned, struct objects *ret_orphans) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_objects_ struct objects all = {0};
        char value[300];

        world_list(w, index, object_uid(owner), ret_owned);
        if (!ret_orphans ||
                        label_selector_from_any(json_at(owner, "spec.selector"), &selector, &p) < 0)
                return;
        snprintf(value, sizeof(value), "orphan/%s", object_namespace(owner));
        world_list(w, index, value, &all);
        for (size_t i = 0; i < all.count; i++)
                if (!object_is_deleting(all.items[i]) &&
                                label_selector_matches(
                                                selector, json_at(all.items[i], "metadata.labels")))
                        objects_add(ret_orphans, all.items[i]);
}
