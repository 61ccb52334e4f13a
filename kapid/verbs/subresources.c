/* POSTs to a part of an object: binding, eviction; reading such a body (token.c does too). */
#include "kapid/verbs/verbs.h"
#include "kapid/pipeline/write.h"
#include "lib/object.h"
#include "lib/timefmt.h"

static void body_free(void *p) {
        json_decref(p);
}

json_t *subresource_body(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(decoded_done) struct decoded d = {0};
        const char *data;
        size_t n;
        int e;

        data = request_body(r, &n);
        e = machine_decode(r->kind, r->sub, request_header(r, "Content-Type"), data, n,
                        r->validation, &d, &p);
        if (e >= 0)
                e = body_check_names(r, d.object, &p);
        if (e >= 0) {
                /* The answer is ours to write; clients send an empty one. */
                json_object_del(d.object, "status");
                e = machine_validate_body(r->kind, r->sub, d.object, &p);
        }
        if (e < 0) {
                if (p.code)
                        respond_problem(r, &p);
                else
                        respond_errno(r, e);
                return NULL;
        }
        request_warn_all(r, d.warnings);
        r->state = TAKE_PTR(d.object);
        r->free_state = body_free;
        return r->state;
}

/* --- binding --- */

static int set_condition(json_t *object, const char *type, const char *now) {
        json_t *list = json_at_mut(object, "status.conditions"), *c;
        size_t i;

        if (!list) {
                list = json_array();
                if (!list || json_set_at(object, "status.conditions", list) < 0)
                        return -ENOMEM;
        }
        json_array_foreach (list, i, c)
                if (streq(json_str_or(c, "type", ""), type)) {
                        json_array_remove(list, i);
                        break;
                }
        return json_array_append_new(list, json_pack("{ss, ss, ss}", "type", type, "status", "True",
                                                           "lastTransitionTime", now)) < 0
                               ? -ENOMEM
                               : 0;
}

/* What pod security has let pass is not widened behind its back. */
static int check_binding(const json_t *body, struct problem *p) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_get(body, "metadata", "annotations", NULL), key, v)
                if (strstr(key, "unit.keelson.dev/") ||
                                startswith(key, "container.apparmor.security.beta.kubernetes.io/"))
                        return problem_set(p, EACCES, 403, "Forbidden",
                                        "a binding may not set the annotation \"%s\": it says how "
                                        "the pod runs; set it when the pod is made",
                                        key);
        return 0;
}

static int merge_annotations(json_t *object, const json_t *from) {
        const char *key;
        json_t *v, *to = json_object_get(json_object_get(object, "metadata"), "annotations");

        if (json_object_size(from) == 0)
                return 0;
        if (!to) {
                to = json_object();
                if (!to || json_set_at(object, "metadata.annotations", to) < 0)
                        return -ENOMEM;
        }
        json_object_foreach ((json_t *)from, key, v)
                if (json_object_set(to, key, v) < 0)
                        return -ENOMEM;
        return 0;
}

static int binding_decide(struct write *w, const json_t *live, struct problem *p) {
        const json_t *body = w->r->state;
        const char *node = json_str_or(body, "target.name", ""), *uid = object_uid(body);
        _cleanup_json_ json_t *object = NULL;
        char now[TIMEFMT_SIZE];
        int r = check_binding(body, p);

        if (r < 0)
                return r;
        if (!live)
                return problem_not_found(p, w->kind, w->name);
        if (!isempty(uid) && !streq(uid, object_uid(live)))
                return problem_conflict(
                                p, w->kind, w->name, "the pod is not the one that was bound");
        if (object_is_deleting(live))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on pods/binding \"%s\": pod %s is "
                                "being deleted, cannot be assigned to a host",
                                w->name, w->name);
        if (!isempty(json_str_or(live, "spec.nodeName", "")))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on pods/binding \"%s\": pod %s is "
                                "already assigned to node \"%s\"",
                                w->name, w->name, json_str_or(live, "spec.nodeName", ""));
        object = json_deep_copy(live);
        if (!object)
                return -ENOMEM;
        r = json_set_str(object, "spec.nodeName", node);
        if (r >= 0)
                r = set_condition(object, "PodScheduled", time_format(w->r->now_us, now));
        if (r >= 0)
                r = merge_annotations(object, json_get(body, "metadata", "annotations", NULL));
        if (r < 0)
                return r;
        w->act = WRITE_PUT;
        w->object = TAKE_PTR(object);
        return 0;
}

static void status_respond(struct write *w, const struct problem *p) {
        _cleanup_json_ json_t *v = NULL;

        if (p) {
                respond_problem(w->r, p);
                return;
        }
        v = json_pack("{ss, ss, s{}, ss, si}", "kind", "Status", "apiVersion", "v1", "metadata",
                        "status", "Success", "code", 201);
        respond_json(w->r, 201, v);
}

void verb_binding(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        json_t *body = subresource_body(r);
        const char *kind;

        if (!body)
                return;
        kind = json_str_or(body, "target.kind", "Node");
        if ((!isempty(kind) && !streq(kind, "Node")) ||
                        isempty(json_str_or(body, "target.name", ""))) {
                problem_set(&p, EINVAL, 422, "Invalid",
                                "Binding \"%s\" is invalid: target: a Node's name is required",
                                r->route.name);
                problem_cause(&p, "FieldValueRequired", "target.name", "Required value");
                respond_problem(r, &p);
                return;
        }
        write_start(r, r->kind, r->route.namespace, r->route.name, false, binding_decide,
                        status_respond, NULL);
}

/* --- eviction --- */

static void eviction_respond(struct write *w, const struct problem *p) {
        status_respond(w, p);
        free(w->userdata);
}

static void evict(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        struct delete_options *o = calloc(1, sizeof(*o));
        const json_t *body = r->state;

        if (!o || delete_options_parse(r, json_object_get(body, "deleteOptions"), o, &p) < 0) {
                free(o);
                if (p.code)
                        respond_problem(r, &p);
                else
                        respond_errno(r, ENOMEM);
                return;
        }
        o->propagation = "Background";
        write_start(r, r->kind, r->route.namespace, r->route.name, false, delete_decide,
                        eviction_respond, o);
}

static int budget_refused(struct problem *p, const char *why) {
        problem_set(p, EBUSY, 429, "TooManyRequests",
                        "Cannot evict pod as it would violate the pod's disruption budget.");
        problem_cause(p, "DisruptionBudget", "", why);
        p->retry_after_s = 10;
        return -EBUSY;
}

static int budget_decide(struct write *w, const json_t *live, struct problem *p) {
        int64_t allowed = json_int_or(live, "status.disruptionsAllowed", 0);
        _cleanup_json_ json_t *object = NULL, *pods = NULL;
        char now[TIMEFMT_SIZE];

        w->act = WRITE_NOTHING;
        if (!live)
                return 0;
        if (json_int_or(live, "status.observedGeneration", 0) < object_generation(live))
                return budget_refused(
                                p, "The disruption budget is still being processed by the server.");
        if (allowed <= 0) {
                _cleanup_free_ char *why = strformat("The disruption budget %s needs %lld healthy "
                                                     "pods and has %lld currently",
                                w->name, (long long)json_int_or(live, "status.desiredHealthy", 0),
                                (long long)json_int_or(live, "status.currentHealthy", 0));

                return budget_refused(p, strempty(why));
        }
        object = json_deep_copy(live);
        pods = json_object();
        if (!object || !pods || json_set_int(object, "status.disruptionsAllowed", allowed - 1) < 0)
                return -ENOMEM;
        if (json_at(live, "status.disruptedPods") &&
                        json_object_update(pods, (json_t *)json_at(live, "status.disruptedPods")) <
                                        0)
                return -ENOMEM;
        if (json_object_set_new(pods, w->r->route.name,
                            json_string(time_format(w->r->now_us, now))) < 0 ||
                        json_set_at(object, "status.disruptedPods", TAKE_PTR(pods)) < 0)
                return -ENOMEM;
        w->act = WRITE_PUT;
        w->object = TAKE_PTR(object);
        return 0;
}

static void budget_charged(struct write *w, const struct problem *p) {
        if (p)
                respond_problem(w->r, p);
        else
                evict(w->r);
}

/* Budgets that select the pod; ret_name is the only one's. */
static int find_budget(struct request *r, const json_t *pod, char **ret_name) {
        struct cache *c = caches_get(r->api->caches, "/registry/poddisruptionbudgets/");
        _cleanup_free_ char *prefix = strformat("%s/", r->route.namespace);
        int n = 0;

        if (!c || !prefix)
                return -ENOMEM;
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                _cleanup_(label_selector_freep) struct label_selector *s = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *pdb = item_object(it);

                if (!pdb || label_selector_from_json(json_at(pdb, "spec.selector"), &s, &p) < 0)
                        continue;
                if (!label_selector_matches(s, json_get(pod, "metadata", "labels", NULL)))
                        continue;
                if (n++ == 0) {
                        *ret_name = strdup(object_name(pdb));
                        if (!*ret_name)
                                return -ENOMEM;
                }
        }
        return n;
}

static bool is_finished(const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static void evict_now(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *path = request_cache_path(r, r->route.name), *name = NULL;
        struct delete_options options = {0};
        struct item *it = path ? cache_find(r->cache, path) : NULL;
        _cleanup_json_ json_t *pod = it ? item_object(it) : NULL;
        const struct kind *budgets = kind_registry_find_resource(
                        r->api->kinds, "policy", "poddisruptionbudgets");
        int n;

        if (!pod) {
                problem_not_found(&p, r->kind, r->route.name);
                respond_problem(r, &p);
                return;
        }
        /* A dry run that the body asks for must not spend the budget either. */
        if (delete_options_parse(r, json_object_get(r->state, "deleteOptions"), &options, &p) < 0) {
                respond_problem(r, &p);
                return;
        }
        n = budgets && !is_finished(pod) && !object_is_deleting(pod) ? find_budget(r, pod, &name)
                                                                     : 0;
        if (n > 1) {
                problem_set(&p, EINVAL, 500, "InternalError",
                                "This pod has more than one PodDisruptionBudget, which the "
                                "eviction "
                                "subresource does not support.");
                respond_problem(r, &p);
        } else if (n < 0) {
                respond_errno(r, n);
        } else if (n == 1) {
                write_start(r, budgets, r->route.namespace, name, false, budget_decide,
                                budget_charged, NULL);
        } else {
                evict(r);
        }
}

void verb_eviction(struct request *r) {
        if (subresource_body(r))
                request_freshen(r, evict_now);
}
