/* PUT and PATCH of an object, its status, its scale and the other parts that are written alone. */
#include "kapid/pipeline/admit.h"
#include "kapid/auth/authz.h"
#include "kapid/patch/managed.h"
#include "kapid/patch/patch.h"
#include "kapid/verbs/verbs.h"
#include "kapid/pipeline/write.h"
#include "lib/object.h"

struct update {
        struct decoded body;  /* PUT */
        enum patch_type type; /* PATCH */
};

static void update_free(void *p) {
        struct update *u = p;

        decoded_done(&u->body);
        free(u);
}

static bool is_scale(const struct request *r) {
        return r->sub && streq(r->sub->name, "scale");
}

static int take_warnings(struct write *w, char *const *warnings) {
        for (size_t i = 0; warnings && warnings[i]; i++)
                if (strv_extend(&w->warnings, warnings[i]) < 0)
                        return -ENOMEM;
        return 0;
}

/* An update or an apply that makes the object needs the right to create it too. */
static int may_create(struct write *w, struct problem *p) {
        struct access access = {.user = &w->r->user,
                        .verb = "create",
                        .group = w->kind->group,
                        .version = w->kind->version,
                        .resource = w->kind->plural,
                        .subresource = "",
                        .namespace = w->namespace,
                        .name = w->name};

        if (!authorize(w->r->api, &access))
                return access_refused(&access, w->kind, p);
        return request_may_create(w->r, p);
}

/* The replicas of a Scale go into a copy of the object. */
static int put_scale(struct write *w, const json_t *live, const json_t *scale, struct problem *p) {
        const char *version = json_str_or(scale, "metadata.resourceVersion", "");
        _cleanup_json_ json_t *object = NULL;
        int e;

        if (!isempty(version) && !streq(version, json_str_or(live, "metadata.resourceVersion", "")))
                return problem_conflict(p, w->kind, w->name, NULL);
        object = json_deep_copy(live);
        if (!object)
                return -ENOMEM;
        e = machine_scale_put(w->kind, object, scale, p);
        return e < 0 ? e : write_changed_object(w, live, TAKE_PTR(object), false, p);
}

/* The refusal names the resource, as the API does. */
static int need_version(const struct write *w, const json_t *body, struct problem *p) {
        static const char why[] = "Invalid value: 0x0: must be specified for an update";
        const char *version = json_str_or(body, "metadata.resourceVersion", "");

        if (!machine_needs_version(w->kind) || is_scale(w->r) ||
                        (!isempty(version) && !streq(version, "0")))
                return 0;
        problem_set(p, EINVAL, 422, "Invalid", "%s \"%s\" is invalid: metadata.resourceVersion: %s",
                        w->kind->resource, w->name, why);
        problem_cause(p, "FieldValueInvalid", "metadata.resourceVersion", why);
        return -EINVAL;
}

static int put_decide(struct write *w, const json_t *live, struct problem *p) {
        struct update *u = w->r->state;
        json_t *object;
        int e = take_warnings(w, u->body.warnings);

        if (e < 0)
                return e;
        if (!live && (w->r->sub || !w->kind->update_creates))
                return problem_not_found(p, w->kind, w->name);
        if (is_scale(w->r))
                return put_scale(w, live, u->body.object, p);
        w->no_retry = !isempty(json_str_or(u->body.object, "metadata.resourceVersion", ""));
        object = json_deep_copy(u->body.object);
        if (!object)
                return -ENOMEM;
        if (live) {
                e = need_version(w, object, p);
                if (e >= 0)
                        return write_changed_object(w, live, object, false, p);
                json_decref(object);
                return e;
        }
        e = may_create(w, p);
        if (e < 0) {
                json_decref(object);
                return e;
        }
        return write_new_object(w, object, false, p);
}

static int update_begin(struct request *r, struct update *u, struct problem *p) {
        const char *data;
        size_t n;
        int e;

        data = request_body(r, &n);
        e = machine_decode(r->kind, r->sub, request_header(r, "Content-Type"), data, n,
                        r->validation, &u->body, p);
        if (e >= 0)
                e = body_check_names(r, u->body.object, p);
        if (e >= 0 && is_scale(r))
                e = machine_validate_body(r->kind, r->sub, u->body.object, p);
        return e;
}

/* --- PATCH --- */

static int apply_decide(struct write *w, const json_t *live, struct problem *p) {
        _cleanup_(decoded_done) struct decoded d = {0};
        _cleanup_free_ char *manager = NULL;
        struct apply_options o;
        const char *data;
        size_t n;
        int e;

        data = request_body(w->r, &n);
        e = request_apply_options(w->r, true, &o, &manager, p);
        if (e >= 0)
                e = apply_run(w->kind, data, n, live, &o, &d, p);
        if (e >= 0)
                e = body_check_names(w->r, d.object, p);
        if (e >= 0)
                e = take_warnings(w, d.warnings);
        if (e < 0)
                return e;
        if (live)
                return write_changed_object(w, live, TAKE_PTR(d.object), true, p);
        if (!isempty(object_uid(d.object)))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s \"%s\": uid mismatch: the "
                                "provided object specified uid %s, and no existing object was "
                                "found",
                                w->kind->resource, w->name, object_uid(d.object));
        if (!isempty(json_str_or(d.object, "metadata.resourceVersion", "")))
                return problem_not_found(p, w->kind, w->name);
        e = may_create(w, p);
        return e < 0 ? e : write_new_object(w, TAKE_PTR(d.object), true, p);
}

static int check_identity(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        static const struct {
                const char *path, *field;
        } fixed[] = {
                        {"metadata.name", "metadata.name"},
                        {"metadata.namespace", "metadata.namespace"},
                        {"metadata.uid", "metadata.uid"},
        };

        for (size_t i = 0; i < ELEMENTS(fixed); i++) {
                const char *was = json_str_or(live, fixed[i].path, ""),
                           *is = json_str_or(object, fixed[i].path, was);

                if (streq(was, is))
                        continue;
                if (i == 2)
                        return problem_set(p, EEXIST, 409, "Conflict",
                                        "Operation cannot be fulfilled on %s \"%s\": Precondition "
                                        "failed: UID in precondition: %s, UID in object meta: %s",
                                        w->kind->resource, w->name, is, was);
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the %s of the object (%.128s) does not match the one on the URL "
                                "(%.128s)",
                                i == 0 ? "name" : "namespace", is, was);
        }
        return 0;
}

static int patch_decide(struct write *w, const json_t *live, struct problem *p) {
        struct update *u = w->r->state;
        _cleanup_(decoded_done) struct decoded d = {0};
        _cleanup_json_ json_t *scale = NULL;
        const char *data;
        size_t n;
        int e;

        if (!w->r->http) /* nobody waits, and the patch went with the client */
                return -ECANCELED;
        if (u->type == PATCH_APPLY && !is_scale(w->r))
                return !live && w->r->sub ? problem_not_found(p, w->kind, w->name)
                                          : apply_decide(w, live, p);
        if (!live)
                return problem_not_found(p, w->kind, w->name);
        data = request_body(w->r, &n);
        if (is_scale(w->r)) {
                scale = machine_scale_get(w->kind, live);
                if (!scale)
                        return -ENOMEM;
        }
        e = patch_run(w->kind, w->r->sub, u->type, data, n, w->r->validation, scale ? scale : live,
                        &d, p);
        if (e >= 0)
                e = take_warnings(w, d.warnings);
        if (e >= 0)
                e = check_identity(w, live, d.object, p);
        if (e < 0)
                return e;
        if (scale) {
                e = machine_validate_body(w->kind, w->r->sub, d.object, p);
                return e < 0 ? e : put_scale(w, live, d.object, p);
        }
        return write_changed_object(w, live, TAKE_PTR(d.object), false, p);
}

static int patch_begin(struct request *r, struct update *u, struct problem *p) {
        int e = patch_type_parse(r->kind, request_header(r, "Content-Type"), &u->type, p);

        if (e >= 0 && u->type == PATCH_APPLY && isempty(request_query(r, "fieldManager")))
                e = problem_set(p, EINVAL, 400, "BadRequest",
                                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required "
                                "value: is required for apply patch");
        if (e >= 0 && u->type == PATCH_APPLY && is_scale(r))
                u->type = PATCH_MERGE; /* a Scale has one field: applying it is merging it */
        return e;
}

static void run(struct request *r,
                int (*begin)(struct request *, struct update *, struct problem *),
                write_decide decide) {
        _cleanup_problem_ struct problem p = {0};
        struct update *u = calloc(1, sizeof(*u));
        int e = u ? 0 : -ENOMEM;

        if (u) {
                r->state = u;
                r->free_state = update_free;
                e = begin(r, u, &p);
        }
        if (e >= 0) {
                write_start(r, r->kind, r->route.namespace, r->route.name, false, decide,
                                write_respond, NULL);
        } else if (p.code) {
                respond_problem(r, &p);
        } else {
                respond_errno(r, e);
        }
}

void verb_update(struct request *r) {
        run(r, update_begin, put_decide);
}

void verb_patch(struct request *r) {
        run(r, patch_begin, patch_decide);
}
