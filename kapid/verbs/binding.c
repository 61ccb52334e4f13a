/* Bindings: the scheduler gives a pod its node. */
#include "kapid/pipeline/ask.h"
#include "kapid/pipeline/body.h"
#include "kapid/verbs/internal.h"
#include "kapid/verbs/subresource-body.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/timefmt.h"

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

/* A binding must not give a pod more than pod security has checked. */
static int check_binding(const json_t *body, struct problem *p) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_get(body, "metadata", "annotations", NULL), key, v)
                if (strstr(key, "unit.keelson.dev/") ||
                                startswith(key, "container.apparmor.security.beta.kubernetes.io/"))
                        return problem_set(p, EACCES, 403, "Forbidden",
                                        "a binding may not set the annotation \"%s\": it controls "
                                        "how "
                                        "the pod runs; set it when the pod is created",
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

/* Whether the pod can be bound to a node. */
static int check_pod(const struct write *w, const json_t *live, struct problem *p) {
        const char *uid = object_uid(w->request->body.object);

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
        return 0;
}

int binding_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        const json_t *body = w->request->body.object;
        char now[TIMEFMT_SIZE];
        int r;

        r = check_binding(body, p);
        if (r < 0)
                return r;
        r = check_pod(w, live, p);
        if (r < 0)
                return r;
        ret->object = json_tree_copy(live);
        if (!ret->object)
                return -ENOMEM;
        r = json_set_str(ret->object, "spec.nodeName", json_str_or(body, "target.name", ""));
        if (r < 0)
                return r;
        r = set_condition(ret->object, "PodScheduled", time_format(w->request->now_us, now));
        if (r < 0)
                return r;
        ret->act = DECIDE_PUT;
        return merge_annotations(ret->object, json_get(body, "metadata", "annotations", NULL));
}

static void binding_respond(struct write *w, const struct problem *p) {
        if (p)
                respond_problem(w->request, p);
        else
                respond_created(w->request);
}

static int check_target(const struct request *request, struct problem *p) {
        const json_t *body = request->body.object;
        const char *kind = json_str_or(body, "target.kind", "Node");

        if ((isempty(kind) || streq(kind, "Node")) &&
                        !isempty(json_str_or(body, "target.name", "")))
                return 0;
        problem_set(p, EINVAL, 422, "Invalid",
                        "Binding \"%s\" is invalid: target: a Node's name is required",
                        object_name(body));
        problem_cause(p, "FieldValueRequired", "target.name", "Required value");
        return -EINVAL;
}

/* The body of the older form, whose kind is the Binding itself. */
static int binding_begin_older(struct request *request, struct problem *p) {
        int r = request_decode(request, p);

        if (r < 0)
                return r;
        r = request_check_names(request, request->body.object, p);
        if (r < 0)
                return r;
        r = pipeline_validate_create(request->kind, request->body.object, p);
        if (r < 0)
                return r;
        request_warn_all(request, request->body.warnings);
        if (isempty(object_name(request->body.object))) {
                problem_set(p, EINVAL, 422, "Invalid",
                                "Binding \"\" is invalid: metadata.name: Required value: the name "
                                "of the pod");
                problem_cause(p, "FieldValueRequired", "metadata.name", "Required value");
                return -EINVAL;
        }
        request->new_name = object_name(request->body.object);
        return 0;
}

static void create_binding_write(struct request *request) {
        const struct kind *pods = kind_registry_find_resource(request->api->kinds, "", "pods");
        _cleanup_problem_ struct problem p = {0};
        int r = check_target(request, &p);

        assert(pods);
        request->new_name = object_name(request->body.object);
        if (r < 0)
                respond_error(request, r, &p);
        else
                write_start(request, &(struct write_options){.kind = pods,
                                                     .name = request->new_name,
                                                     .decide = binding_decide,
                                                     .done = binding_respond});
}

void verb_create_binding(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = binding_begin_older(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_ask(request, WEBHOOK_CREATE, NULL, create_binding_write);
}

static void binding_write(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = check_target(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                write_start(request, &(struct write_options){.decide = binding_decide,
                                                     .done = binding_respond});
}

void verb_binding(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = subresource_body(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_ask(request, WEBHOOK_CREATE, NULL, binding_write);
}
