/* Admission, plugin by plugin: namespace lifecycle, service account, priority, node restriction,
 * RBAC escalation, certificate subjects, service addresses, names of definitions. Each is a
 * function in one of the arrays at the end. */
#include "kapid/admission.h"

#include "kapid/alloc.h"
#include "kapid/crd-names.h"
#include "kapid/authz.h"
#include "lib/object.h"
#include "lib/pki.h"

static struct item *find(struct api *a, const char *prefix, const char *path) {
        struct cache *c = caches_get(a->caches, prefix);

        return c ? cache_find(c, path) : NULL;
}

static bool is_kind(const struct write *w, const char *group, const char *plural) {
        return streq(w->kind->group, group) && streq(w->kind->plural, plural);
}

static int forbidden(const struct write *w, struct problem *p, const char *why) {
        return problem_set(p, EACCES, 403, "Forbidden", "%s \"%s\" is forbidden: %s",
                        w->kind->resource, w->name, why);
}

/* --- namespace lifecycle --- */

int admission_namespace(struct request *r, struct problem *p) {
        const char *name = r->route.namespace,
                   *own = isempty(r->route.name) ? r->new_name : r->route.name;
        _cleanup_json_ json_t *ns = NULL;
        struct item *it;

        if (!r->kind->namespaced)
                return 0;
        it = find(r->api, "/registry/namespaces/", name);
        if (!it)
                return problem_set(p, ENOENT, 404, "NotFound", "namespaces \"%s\" not found", name);
        ns = item_object(it);
        if (!ns)
                return -ENOMEM;
        if (!object_is_deleting(ns) && !streq(json_str_or(ns, "status.phase", ""), "Terminating"))
                return 0;
        problem_set(p, EACCES, 403, "Forbidden",
                        "%s%s%s%s is forbidden: unable to create new content in namespace %s "
                        "because it is being terminated",
                        r->kind->resource, isempty(own) ? "" : " \"", strempty(own),
                        isempty(own) ? "" : "\"", name);
        problem_cause(p, "NamespaceTerminating", "metadata.namespace",
                        "namespace is being terminated");
        return -EACCES;
}

static bool namespace_must_stay(const char *name) {
        return streq(name, "default") || streq(name, "kube-system") || streq(name, "kube-public");
}

/* --- pods --- */

static int pod_account(struct write *w, json_t *object, struct problem *p) {
        const char *name = json_str_or(object, "spec.serviceAccountName",
                        json_str_or(object, "spec.serviceAccount", ""));
        _cleanup_free_ char *copy = strdup(isempty(name) ? "default" : name);
        _cleanup_free_ char *path = copy ? strformat("%s/%s", w->namespace, copy) : NULL;

        if (!path)
                return -ENOMEM;
        /* The default account comes a moment after its namespace; nobody should have to wait for
         * it. */
        if (!streq(copy, "default") && !find(w->r->api, "/registry/serviceaccounts/", path))
                return problem_set(p, EACCES, 403, "Forbidden",
                                "pods \"%s\" is forbidden: error looking up service account %s: "
                                "serviceaccount \"%s\" not found",
                                w->name, path, copy);
        if (json_set_str(object, "spec.serviceAccountName", copy) < 0)
                return -ENOMEM;
        return json_set_str(object, "spec.serviceAccount", copy);
}

/* The class named, or the one that is the default for all. */
static json_t *find_class(struct api *a, const char *name) {
        struct cache *c = caches_get(a->caches, "/registry/priorityclasses/");
        struct item *it;

        if (!c)
                return NULL;
        if (!isempty(name)) {
                it = cache_find(c, name);
                return it ? item_object(it) : NULL;
        }
        for (it = cache_first(c, ""); it; it = cache_next(c, it)) {
                json_t *o = item_object(it);

                if (o && json_bool_or(o, "globalDefault", false))
                        return o;
                json_decref(o);
        }
        return NULL;
}

static int pod_priority(struct write *w, json_t *object, struct problem *p) {
        const char *name = json_str_or(object, "spec.priorityClassName", "");
        _cleanup_json_ json_t *class = find_class(w->r->api, name);
        int64_t value = json_int_or(class, "value", 0);

        if (!class && streq(name, "system-cluster-critical"))
                value = 2000000000;
        else if (!class && streq(name, "system-node-critical"))
                value = 2000001000;
        else if (!class && !isempty(name))
                return problem_set(p, EACCES, 403, "Forbidden",
                                "pods \"%s\" is forbidden: no PriorityClass with name %s was found",
                                w->name, name);
        if (json_at(object, "spec.priority") && json_int_or(object, "spec.priority", 0) != value)
                return forbidden(w, p,
                                "the integer value of priority must not be provided in pod spec; "
                                "priority admission controller computed it from the given "
                                "PriorityClass name");
        if (class && isempty(name) &&
                        json_set_str(object, "spec.priorityClassName", object_name(class)) < 0)
                return -ENOMEM;
        if (class && json_str(class, "preemptionPolicy") &&
                        json_set_str(object, "spec.preemptionPolicy",
                                        json_str(class, "preemptionPolicy")) < 0)
                return -ENOMEM;
        return json_set_int(object, "spec.priority", value);
}

static int create_pod(struct write *w, json_t *object, struct problem *p) {
        int e;

        if (!is_kind(w, "", "pods"))
                return 0;
        e = pod_account(w, object, p);
        return e < 0 ? e : pod_priority(w, object, p);
}

/* --- node restriction --- */

/* The annotations that say how the control plane reaches a machine are the administrators'. */
static bool ssh_annotations_equal(const json_t *a, const json_t *b) {
        static const char *const names[] = {
                        "keelson.dev/ssh-host-key", "keelson.dev/ssh-port", "keelson.dev/ssh-user"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (!streq_ptr(object_annotation(a, names[i]), object_annotation(b, names[i])))
                        return false;
        return true;
}

static bool agent_may_set_label(const char *key) {
        return streq(key, "kubernetes.io/hostname") || streq(key, "kubernetes.io/os") ||
               streq(key, "kubernetes.io/arch") || startswith(key, "node.kubernetes.io/") ||
               startswith(key, "kubelet.kubernetes.io/") ||
               startswith(key, "topology.kubernetes.io/") || startswith(key, "beta.kubernetes.io/");
}

static int check_node_labels(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const json_t *before = json_get(live, "metadata", "labels", NULL),
                     *after = json_get(object, "metadata", "labels", NULL);
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)after, key, v) {
                const char *slash = strchr(key, '/');
                size_t n = slash ? (size_t)(slash - key) : 0;
                bool reserved = (n >= 13 && memcmp(slash - 13, "kubernetes.io", 13) == 0) ||
                                (n >= 6 && memcmp(slash - 6, "k8s.io", 6) == 0);

                if (reserved && !agent_may_set_label(key) &&
                                !json_equal(json_object_get(before, key), v))
                        return forbidden(w, p,
                                        "an agent may not set labels of kubernetes.io or "
                                        "k8s.io on its node other than its own facts");
        }
        return 0;
}

static int restrict_node_object(struct write *w, const char *node, const json_t *live,
                const json_t *object, struct problem *p) {
        if (!streq(w->name, node))
                return forbidden(w, p, "an agent may write only its own node");
        if (live && !json_equal(json_at(live, "spec.taints"), json_at(object, "spec.taints")))
                return forbidden(w, p, "an agent may not change the taints of its node");
        return check_node_labels(w, live, object, p);
}

static int validate_node(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const char *node = user_node(&w->r->user);

        if (is_kind(w, "", "nodes") && !user_is_master(&w->r->user) &&
                        !ssh_annotations_equal(live, object))
                return forbidden(w, p,
                                "the annotations keelson.dev/ssh-* may be changed by "
                                "system:masters only");
        if (!node || user_is_master(&w->r->user))
                return 0;
        if (is_kind(w, "", "nodes"))
                return restrict_node_object(w, node, live, object, p);
        if (is_kind(w, "", "pods") && !live)
                return forbidden(w, p, "an agent may not create pods");
        if (is_kind(w, "coordination.k8s.io", "leases") && !streq(w->name, node))
                return forbidden(w, p, "an agent may write only its own lease");
        return 0;
}

/* --- RBAC: nobody gives away more than they have --- */

static bool has_verb(struct write *w, const char *verb, const char *resource, const char *name) {
        struct access access = {.user = &w->r->user,
                        .verb = verb,
                        .group = "rbac.authorization.k8s.io",
                        .version = "v1",
                        .resource = resource,
                        .subresource = "",
                        .namespace = w->namespace,
                        .name = name};

        return authorize(w->r->api, &access);
}

static int refuse_escalation(struct write *w, const json_t *missing, struct problem *p) {
        _cleanup_free_ char *text = missing ? json_text(missing) : NULL;

        return problem_set(p, EACCES, 403, "Forbidden",
                        "%s \"%s\" is forbidden: user \"%s\" is attempting to grant RBAC "
                        "permissions not currently held: %s",
                        w->kind->resource, w->name, w->r->user.name, strempty(text));
}

static int validate_rbac(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        struct rbac *rbac = w->r->api->rbac;
        const json_t *missing = NULL, *ref, *rules;
        bool role;

        if (!streq(w->kind->group, "rbac.authorization.k8s.io") || user_is_master(&w->r->user))
                return 0;
        if (rbac_refresh(rbac, w->r->api->caches) < 0)
                return -ENOMEM;
        role = streq(w->kind->kind, "Role") || streq(w->kind->kind, "ClusterRole");
        if (role) {
                rules = json_object_get(object, "rules");
                if (live && json_equal(json_object_get(live, "rules"), rules))
                        return 0;
                if (has_verb(w, "escalate", w->kind->plural, w->name) ||
                                rbac_covers(rbac, &w->r->user, w->namespace, rules, &missing))
                        return 0;
                return refuse_escalation(w, missing, p);
        }
        ref = json_object_get(object, "roleRef");
        if (live && json_equal(json_object_get(live, "roleRef"), ref) &&
                        json_equal(json_object_get(live, "subjects"),
                                        json_object_get(object, "subjects")))
                return 0;
        if (has_verb(w, "bind",
                            streq(json_str_or(ref, "kind", ""), "ClusterRole") ? "clusterroles"
                                                                               : "roles",
                            json_str_or(ref, "name", "")))
                return 0;
        rules = rbac_role_rules(rbac, w->namespace, ref);
        if (!rules)
                return problem_set(p, ENOENT, 404, "NotFound",
                                "%s.rbac.authorization.k8s.io \"%s\" not found",
                                streq(json_str_or(ref, "kind", ""), "ClusterRole") ? "clusterroles"
                                                                                   : "roles",
                                json_str_or(ref, "name", ""));
        if (rbac_covers(rbac, &w->r->user, w->namespace, rules, &missing))
                return 0;
        return refuse_escalation(w, missing, p);
}

/* --- certificates --- */

static int validate_csr(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const char *signer = json_str_or(object, "spec.signerName", "");
        struct access access = {.user = &w->r->user,
                        .verb = "approve",
                        .group = "certificates.k8s.io",
                        .version = "v1",
                        .resource = "signers",
                        .subresource = "",
                        .namespace = "",
                        .name = signer};
        _cleanup_strv_free_ char **organizations = NULL;
        _cleanup_free_ char *pem = NULL, *cn = NULL;
        void *data = NULL;
        size_t n;

        if (!is_kind(w, "certificates.k8s.io", "certificatesigningrequests"))
                return 0;
        if (live && w->r->sub && streq(w->r->sub->name, "approval"))
                return authorize(w->r->api, &access) ? 0
                                                     : forbidden(w, p,
                                                                       "user not permitted to "
                                                                       "approve requests with "
                                                                       "this signerName");
        if (live || !streq(signer, "kubernetes.io/kube-apiserver-client"))
                return 0;
        if (base64_decode(json_str_or(object, "spec.request", ""), &data, &n) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "spec.request is no base64 text");
        pem = strndup(data, n);
        free(data);
        if (!pem)
                return -ENOMEM;
        if (pki_csr_read(pem, &cn, &organizations, p) < 0)
                return p->code ? -EINVAL
                               : problem_set(p, EINVAL, 400, "BadRequest", "spec.request: %s",
                                                 p->message ? p->message : "unreadable");
        if (strv_contains(organizations, "system:masters"))
                return forbidden(w, p,
                                "use of kubernetes.io/kube-apiserver-client signer with "
                                "system:masters group is not allowed");
        return 0;
}

/* --- services --- */

static int create_service(struct write *w, json_t *object, struct problem *p) {
        return is_kind(w, "", "services") ? alloc_service(w->r->api->alloc, w, NULL, object, p) : 0;
}

/* --- definitions --- */

static int settle_crd(struct write *w, const json_t *live, json_t *object) {
        if (!is_kind(w, "apiextensions.k8s.io", "customresourcedefinitions"))
                return 0;
        return crd_settle_names(w->r->api->kinds, live, object, w->r->now_us);
}

static int create_crd(struct write *w, json_t *object, struct problem *p) {
        return settle_crd(w, NULL, object);
}

/* --- what is asked in which order --- */

static int (*const on_create[])(struct write *, json_t *, struct problem *) = {
                create_pod,
                create_service,
                create_crd,
};

static int (*const on_validate[])(
                struct write *, const json_t *, const json_t *, struct problem *) = {
                validate_node,
                validate_rbac,
                validate_csr,
};

int admission_create(struct write *w, json_t *object, struct problem *p) {
        for (size_t i = 0; i < ELEMENTS(on_create); i++) {
                int e = on_create[i](w, object, p);

                if (e < 0)
                        return e;
        }
        return 0;
}

int admission_update(struct write *w, const json_t *live, json_t *object, struct problem *p) {
        if (is_kind(w, "", "services") && !w->r->sub)
                return alloc_service(w->r->api->alloc, w, live, object, p);
        return w->r->sub ? 0 : settle_crd(w, live, object);
}

int admission_validate(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        for (size_t i = 0; i < ELEMENTS(on_validate); i++) {
                int e = on_validate[i](w, live, object, p);

                if (e < 0)
                        return e;
        }
        return 0;
}

int admission_may_delete(struct write *w, const json_t *object, struct problem *p) {
        if (is_kind(w, "", "namespaces") && namespace_must_stay(w->name))
                return forbidden(w, p, "this namespace may not be deleted");
        return 0;
}

int admission_delete(struct write *w, const json_t *object) {
        return is_kind(w, "", "services") ? alloc_release(w->r->api->alloc, w, object, NULL) : 0;
}
