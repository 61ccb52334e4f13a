/* The node authorizer. An agent's rights are a table; where the answer depends on which pods run
 * on its node, the cached pods decide. The rules follow Kubernetes' page on node authorization;
 * what a write may contain is checked by the admission plugin NodeRestriction. */
#include "kapid/auth/authz.h"

#include "lib/object.h"
#include "lib/volumes.h"

/* Whether a pod of the namespace on the node refers to the object. */
typedef bool (*pod_refers)(const json_t *pod, const char *name);

const struct cache_key pods_by_node = {
                .by = CACHE_BY_FIELD, .name = "spec.nodeName", .api_version = "v1"};

/* A pod that was found by the node: the walk may have others. */
static bool pod_refers_to(struct item *it, const char *node, pod_refers refers, const char *name) {
        char bound_to[256];
        _cleanup_json_ json_t *pod = NULL;

        if (!item_string(it, "spec", "nodeName", bound_to, sizeof(bound_to)) ||
                        !streq(bound_to, node))
                return false;
        pod = item_object(it);
        return pod && refers(pod, name);
}

static bool any_pod(struct api *a, const char *node, const char *namespace, const char *name,
                pod_refers refers) {
        const struct cache_term on_node = {.key = pods_by_node, .value = node};
        _cleanup_free_ char *prefix = strformat("%s/", namespace);
        struct cache *c = api_cache(a, "", "pods");
        struct cache_walk walk;
        struct item *it;

        if (!c || !prefix)
                return false;
        cache_walk_terms(&walk, c, prefix, NULL, 0, &on_node, 1);
        while ((it = cache_walk_next(&walk)))
                if (pod_refers_to(it, node, refers, name))
                        return true;
        return false;
}

static bool containers_refer(const json_t *pod, const char *const *paths, const char *name) {
        static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
        const json_t *c, *e;
        size_t i, k;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_get(pod, "spec", lists[l], NULL), i, c) {
                        json_array_foreach (json_object_get(c, "env"), k, e)
                                if (streq(json_str_or(e, paths[0], ""), name))
                                        return true;
                        json_array_foreach (json_object_get(c, "envFrom"), k, e)
                                if (streq(json_str_or(e, paths[1], ""), name))
                                        return true;
                }
        return false;
}

static bool volumes_refer(
                const json_t *pod, const char *direct, const char *projected, const char *name) {
        const json_t *v, *s;
        size_t i, k;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
                if (streq(json_str_or(v, direct, ""), name))
                        return true;
                json_array_foreach (json_at(v, "projected.sources"), k, s)
                        if (streq(json_str_or(s, projected, ""), name))
                                return true;
        }
        return false;
}

static bool refers_to_secret(const json_t *pod, const char *name) {
        static const char *const paths[] = {"valueFrom.secretKeyRef.name", "secretRef.name"};

        return json_named(json_at(pod, "spec.imagePullSecrets"), name) ||
               containers_refer(pod, paths, name) ||
               volumes_refer(pod, "secret.secretName", "secret.name", name);
}

static bool refers_to_configmap(const json_t *pod, const char *name) {
        static const char *const paths[] = {"valueFrom.configMapKeyRef.name", "configMapRef.name"};

        return containers_refer(pod, paths, name) ||
               volumes_refer(pod, "configMap.name", "configMap.name", name);
}

static bool refers_to_account(const json_t *pod, const char *name) {
        return streq(json_str_or(pod, "spec.serviceAccountName", "default"), name);
}

static bool refers_to_claim(const json_t *pod, const char *name) {
        const char *volume = startswith(name, object_name(pod));
        const json_t *v;
        size_t i;

        if (volumes_refer(pod, "persistentVolumeClaim.claimName", "", name))
                return true;
        /* The claim of an ephemeral volume is "POD-VOLUME". */
        if (!volume || *volume != '-')
                return false;
        json_array_foreach (json_at(pod, "spec.volumes"), i, v)
                if (json_at(v, "ephemeral") && streq(json_str_or(v, "name", ""), volume + 1))
                        return true;
        return false;
}

/* Whether the selector holds path=value. */
static bool selects(const struct access *access, const char *path, const char *value) {
        const char *p, *v;
        bool negated;

        for (size_t i = 0;
                        access->fields && field_selector_term(access->fields, i, &p, &v, &negated);
                        i++)
                if (!negated && streq(p, path) && streq(v, value))
                        return true;
        return false;
}

/* The one object that a get, or a list or watch by name, is about; NULL for all others. */
static const char *single_name(const struct access *access) {
        const char *name = isempty(access->name)
                                           ? field_selector_exact(access->fields, "metadata.name")
                                           : access->name;

        return isempty(name) ? NULL : name;
}

/* Of what is stored: a proxy is a connection, whatever its verb. */
static bool is_read(const struct access *access) {
        if (!isempty(access->subresource) && !streq(access->subresource, "status"))
                return false;
        return streq(access->verb, "get") || streq(access->verb, "list") ||
               streq(access->verb, "watch");
}

/* absent: the answer for a pod that is not there. */
static bool pod_on_node(struct api *a, const struct access *access, const char *node, bool absent) {
        struct item *it = api_find(a, "", "pods", access->namespace, access->name);
        _cleanup_json_ json_t *pod = it ? item_object(it) : NULL;

        if (!it)
                return absent;
        return pod && streq(json_str_or(pod, "spec.nodeName", ""), node);
}

static bool allow_pods(struct api *a, const struct access *access, const char *node) {
        if (streq(access->verb, "list") || streq(access->verb, "watch"))
                return selects(access, "spec.nodeName", node);
        if (streq(access->verb, "get") && isempty(access->subresource))
                /* A pod that has just gone: the agent may learn that it has (404). */
                return pod_on_node(a, access, node, true);
        if (streq(access->subresource, "status"))
                return (is_read(access) || streq(access->verb, "update") ||
                                       streq(access->verb, "patch")) &&
                       pod_on_node(a, access, node, false);
        if (streq(access->subresource, "eviction"))
                return streq(access->verb, "create") && pod_on_node(a, access, node, false);
        return streq(access->verb, "delete") && isempty(access->subresource) &&
               pod_on_node(a, access, node, false);
}

static bool allow_nodes(struct api *a, const struct access *access, const char *node) {
        if (is_read(access))
                return true; /* its routes go to all of them */
        if (streq(access->verb, "create"))
                return isempty(access->subresource); /* admission: only its own */
        if (!streq(access->name, node))
                return false;
        if (streq(access->subresource, "usage"))
                return streq(access->verb, "update");
        return (isempty(access->subresource) || streq(access->subresource, "status")) &&
               (streq(access->verb, "update") || streq(access->verb, "patch"));
}

static bool allow_referred(
                struct api *a, const struct access *access, const char *node, pod_refers refers) {
        const char *name = single_name(access);

        return is_read(access) && name && !isempty(access->namespace) &&
               isempty(access->subresource) && any_pod(a, node, access->namespace, name, refers);
}

static bool allow_secrets(struct api *a, const struct access *access, const char *node) {
        return allow_referred(a, access, node, refers_to_secret);
}

static bool allow_configmaps(struct api *a, const struct access *access, const char *node) {
        return allow_referred(a, access, node, refers_to_configmap);
}

static bool allow_claims(struct api *a, const struct access *access, const char *node) {
        return allow_referred(a, access, node, refers_to_claim);
}

/* A volume whose data the agent of this node keeps and removes. */
static bool is_kept_by(const json_t *volume, const char *node) {
        return streq(strempty(object_label(volume, VOLUME_NODE_LABEL)), node);
}

/* The volumes that claims of its pods are bound to, and those of its own disk: these by one label,
 * which only administrators and controllers set. Admission: it removes its finalizer only. */
static bool allow_volumes(struct api *a, const struct access *access, const char *node) {
        const char *label = access->labels ? startswith(access->labels, VOLUME_NODE_LABEL "=")
                                           : NULL,
                   *claim;
        _cleanup_json_ json_t *volume = NULL;
        struct item *it;

        if (!isempty(access->subresource))
                return false;
        if (isempty(access->name))
                return is_read(access) && label && streq(label, node);
        it = api_find(a, "", "persistentvolumes", "", access->name);
        volume = it ? item_object(it) : NULL;
        if (!volume)
                return false;
        if (is_kept_by(volume, node))
                return streq(access->verb, "get") || streq(access->verb, "patch");
        claim = json_str_or(volume, "spec.claimRef.name", "");
        return streq(access->verb, "get") && *claim &&
               any_pod(a, node, json_str_or(volume, "spec.claimRef.namespace", ""), claim,
                               refers_to_claim);
}

static bool allow_accounts(struct api *a, const struct access *access, const char *node) {
        if (!streq(access->subresource, "token"))
                return allow_referred(a, access, node, refers_to_account);
        return streq(access->verb, "create") &&
               any_pod(a, node, access->namespace, access->name, refers_to_account);
}

static bool allow_read(struct api *a, const struct access *access, const char *node) {
        return is_read(access);
}

static bool is_any(const json_t *pod, const char *name) {
        return true;
}

/* The peers that policies select: of the namespaces of its pods. */
static bool allow_peers(struct api *a, const struct access *access, const char *node) {
        return is_read(access) && !isempty(access->namespace) && isempty(access->subresource) &&
               any_pod(a, node, access->namespace, "", is_any);
}

static bool allow_new_events(struct api *a, const struct access *access, const char *node) {
        return streq(access->verb, "create") || streq(access->verb, "patch") ||
               streq(access->verb, "update");
}

static bool allow_events(struct api *a, const struct access *access, const char *node) {
        return streq(access->verb, "get") || allow_new_events(a, access, node);
}

/* A lease is created without a name in the path; admission checks it. */
static bool allow_lease(struct api *a, const struct access *access, const char *node) {
        return streq(access->namespace, "kube-node-lease") &&
               (streq(access->verb, "create") || streq(access->name, node));
}

/* Its own list of CSI drivers. One is created without a name in the path; admission checks it. */
static bool allow_csi_node(struct api *a, const struct access *access, const char *node) {
        static const char *const verbs[] = {"get", "update", "patch", "delete"};

        if (!isempty(access->subresource))
                return false;
        if (streq(access->verb, "create"))
                return true;
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (streq(access->verb, verbs[i]))
                        return streq(access->name, node);
        return false;
}

/* The volumes that are attached to it. */
static bool allow_attachments(struct api *a, const struct access *access, const char *node) {
        struct item *it;
        _cleanup_json_ json_t *attachment = NULL;

        if (!streq(access->verb, "get") || isempty(access->name) || !isempty(access->subresource))
                return false;
        it = api_find(a, "storage.k8s.io", "volumeattachments", "", access->name);
        attachment = it ? item_object(it) : NULL;
        return attachment && streq(json_str_or(attachment, "spec.nodeName", ""), node);
}

/* Certificate requests: making one (admission checks its contents), and its own. */
static bool allow_requests(struct api *a, const struct access *access, const char *node) {
        const char *name = single_name(access);
        _cleanup_json_ json_t *request = NULL;
        struct item *it;

        if (!isempty(access->subresource))
                return false;
        if (streq(access->verb, "create"))
                return true;
        if (!is_read(access) || !name)
                return false;
        it = api_find(a, "certificates.k8s.io", "certificatesigningrequests", "", name);
        if (!it)
                return true; /* it may learn that it is gone */
        request = item_object(it);
        return request && streq(json_str_or(request, "spec.username", ""), access->user->name);
}

bool authorize_node(struct api *a, const struct access *access, const char *node) {
        static const struct {
                const char *group, *resource; /* resource NULL: all of the group */
                bool (*allow)(struct api *a, const struct access *access, const char *node);
        } rows[] = {
                        {"", "pods", allow_pods},
                        {"", "nodes", allow_nodes},
                        {"", "secrets", allow_secrets},
                        {"", "configmaps", allow_configmaps},
                        {"", "persistentvolumeclaims", allow_claims},
                        {"", "persistentvolumes", allow_volumes},
                        {"", "serviceaccounts", allow_accounts},
                        {"", "events", allow_events},
                        {"", "services", allow_read},
                        {"", "endpoints", allow_read},
                        {"", "namespaces", allow_read},
                        {"coordination.k8s.io", "leases", allow_lease},
                        {"discovery.k8s.io", "endpointslices", allow_read},
                        {"keelson.dev", "addresspools", allow_read},
                        {"keelson.dev", "peerslices", allow_peers},
                        {"networking.k8s.io", "networkpolicies", allow_read},
                        {"certificates.k8s.io", "certificatesigningrequests", allow_requests},
                        {"events.k8s.io", "events", allow_new_events},
                        {"node.k8s.io", "runtimeclasses", allow_read},
                        {"scheduling.k8s.io", NULL, allow_read},
                        {"storage.k8s.io", "csidrivers", allow_read},
                        {"storage.k8s.io", "csinodes", allow_csi_node},
                        {"storage.k8s.io", "volumeattachments", allow_attachments},
                        {"policy", NULL, allow_read},
        };

        if (access->path)
                return false;
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (streq(access->group, rows[i].group) &&
                                (!rows[i].resource || streq(access->resource, rows[i].resource)))
                        return rows[i].allow(a, access, node);
        return false;
}
