/* Admission: the order of the plugins (the arrays at the end), and the small ones: namespace
 * lifecycle, service account, priority, RBAC escalation, names of definitions. The others are in
 * files of their own (admission-plugins.h). */
#include "kapid/admission/admission.h"

#include "kapid/admission/plugins.h"
#include "kapid/store/alloc.h"
#include "kapid/kinds/crd-names.h"
#include "lib/object.h"

struct item *admission_find(struct api *a, const char *prefix, const char *path) {
        struct cache *c = caches_get(a->caches, prefix);

        return c ? cache_find(c, path) : NULL;
}

bool admission_is_kind(const struct write *w, const char *group, const char *plural) {
        return streq(w->kind->group, group) && streq(w->kind->plural, plural);
}

int admission_forbidden(const struct write *w, struct problem *p, const char *why) {
        return problem_set(p, EACCES, 403, "Forbidden", "%s \"%s\" is forbidden: %s",
                        w->kind->resource, w->name, why);
}

bool admission_may(const struct write *w, const char *verb, const char *group, const char *resource,
                const char *namespace, const char *name) {
        return authorize(w->request->api, &(struct access){.user = &w->request->user,
                                                    .verb = verb,
                                                    .group = group,
                                                    .version = "v1",
                                                    .resource = resource,
                                                    .subresource = "",
                                                    .namespace = namespace,
                                                    .name = name});
}

int admission_warn(struct write *w, const char *text) {
        return strv_extend(&w->decision->warnings, text);
}

/* --- namespace lifecycle --- */

int admission_namespace(struct request *r, struct problem *p) {
        const char *name = r->route.namespace,
                   *own = isempty(r->route.name) ? r->new_name : r->route.name;
        _cleanup_json_ json_t *ns = NULL;
        struct item *it;

        if (!r->kind->namespaced)
                return 0;
        it = admission_find(r->api, "/registry/namespaces/", name);
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
        if (!streq(copy, "default") &&
                        !admission_find(w->request->api, "/registry/serviceaccounts/", path))
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
        _cleanup_json_ json_t *class = find_class(w->request->api, name);
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
                return admission_forbidden(w, p,
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

        if (!admission_is_kind(w, "", "pods"))
                return 0;
        e = pod_account(w, object, p);
        return e < 0 ? e : pod_priority(w, object, p);
}

/* --- RBAC: nobody gives away more than they have --- */

static bool has_verb(struct write *w, const char *verb, const char *resource, const char *name) {
        return admission_may(w, verb, "rbac.authorization.k8s.io", resource, w->namespace, name);
}

static int refuse_escalation(struct write *w, const json_t *missing, struct problem *p) {
        _cleanup_free_ char *text = missing ? json_text(missing) : NULL;

        return problem_set(p, EACCES, 403, "Forbidden",
                        "%s \"%s\" is forbidden: user \"%s\" is attempting to grant RBAC "
                        "permissions not currently held: %s",
                        w->kind->resource, w->name, w->request->user.name, strempty(text));
}

/* Rules that come from an aggregation may become anything, so naming one needs everything. */
static int validate_role(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const json_t *rules = json_object_get(object, "rules"), *missing = NULL,
                     *aggregation = json_object_get(object, "aggregationRule");
        _cleanup_json_ json_t *everything = NULL;

        if (live && json_equal(json_object_get(live, "rules"), rules))
                rules = NULL;
        if (live && json_equal(json_object_get(live, "aggregationRule"), aggregation))
                aggregation = NULL;
        if ((!rules && !aggregation) || has_verb(w, "escalate", w->kind->plural, w->name))
                return 0;
        if (rules && !rbac_covers(w->request->api->rbac, &w->request->user, w->namespace, rules, &missing))
                return refuse_escalation(w, missing, p);
        if (!aggregation)
                return 0;
        everything = json_pack("[{s[s], s[s], s[s]}, {s[s], s[s]}]", "apiGroups", "*", "resources",
                        "*", "verbs", "*", "nonResourceURLs", "*", "verbs", "*");
        if (!everything)
                return -ENOMEM;
        if (rbac_covers(w->request->api->rbac, &w->request->user, w->namespace, everything, &missing))
                return 0;
        return refuse_escalation(w, missing, p);
}

static int validate_rbac(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        struct rbac *rbac = w->request->api->rbac;
        const json_t *missing = NULL, *ref, *rules;
        bool role;

        if (!streq(w->kind->group, "rbac.authorization.k8s.io") || user_is_master(&w->request->user))
                return 0;
        if (rbac_refresh(rbac, w->request->api->caches) < 0)
                return -ENOMEM;
        role = streq(w->kind->kind, "Role") || streq(w->kind->kind, "ClusterRole");
        if (role) {
                return validate_role(w, live, object, p);
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
        if (rbac_covers(rbac, &w->request->user, w->namespace, rules, &missing))
                return 0;
        return refuse_escalation(w, missing, p);
}

/* --- services --- */

static int create_service(struct write *w, json_t *object, struct problem *p) {
        return admission_is_kind(w, "", "services")
                               ? alloc_service(w->request->api->alloc, w, NULL, object, p)
                               : 0;
}

/* --- definitions --- */

static int settle_crd(struct write *w, const json_t *live, json_t *object) {
        if (!admission_is_kind(w, "apiextensions.k8s.io", "customresourcedefinitions"))
                return 0;
        return crd_settle_names(w->request->api->kinds, live, object, w->request->now_us);
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
                validate_pod_security,
                validate_node_name,
                validate_addresses,
                validate_gitsync,
                validate_rbac,
                validate_csr,
                warn_no_effect,
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
        if (admission_is_kind(w, "", "services") && !w->request->sub)
                return alloc_service(w->request->api->alloc, w, live, object, p);
        return w->request->sub ? 0 : settle_crd(w, live, object);
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
        if (admission_is_kind(w, "", "namespaces") && namespace_must_stay(w->name))
                return admission_forbidden(w, p, "this namespace may not be deleted");
        return may_delete_gitsync(w, object, p);
}

int admission_delete(struct write *w, const json_t *object) {
        return admission_is_kind(w, "", "services")
                               ? alloc_release(w->request->api->alloc, w, object, NULL)
                               : 0;
}
