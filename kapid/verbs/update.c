/* PUT and PATCH of an object, its status, its scale and the other parts that are written alone. */
#include "kapid/audit/audit.h"
#include "kapid/auth/authz.h"
#include "kapid/cache/item.h"
#include "kapid/patch/managed.h"
#include "kapid/patch/status.h"
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/body.h"
#include "kapid/pipeline/options.h"
#include "kapid/pipeline/write-object.h"
#include "kapid/verbs/internal.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/siphash.h"

/* The form that the request's subresource has; NULL: it is read and written as the object. */
static const struct subresource_form *form_of(const struct request *request) {
        return request->sub ? request->sub->form : NULL;
}

/* An update or an apply that makes the object needs the right to create it too. */
static int may_create(struct write *w, struct problem *p) {
        struct request *request = w->request;
        struct access access = {.user = &request->user,
                        .verb = "create",
                        .group = w->kind->group,
                        .version = w->kind->version,
                        .resource = w->kind->plural,
                        .subresource = "",
                        .namespace = w->namespace,
                        .name = w->name};

        if (!authorize(request->api, &access))
                return access_refused(&access, w->kind, p);
        return request_may_create(request, p);
}

/* Puts the values of a subresource's form into a copy of the object. */
static int put_form(struct write *w, const json_t *live, const json_t *body, struct decision *ret,
                struct problem *p) {
        const char *version = json_str_or(body, "metadata.resourceVersion", ""),
                   *uid = object_uid(body);
        _cleanup_json_ json_t *object = NULL;
        int r;

        if (!isempty(uid) && !streq(uid, object_uid(live)))
                return problem_conflict(p, w->kind, w->name,
                                "the UID is that of another object of this name");
        if (!isempty(version) && !streq(version, json_str_or(live, "metadata.resourceVersion", "")))
                return problem_conflict(p, w->kind, w->name, NULL);
        object = json_tree_copy(live);
        if (!object)
                return -ENOMEM;
        r = form_of(w->request)->put(w->kind, object, body, p);
        if (r < 0)
                return r;
        return write_object(w, live, TAKE_PTR(object), FROM_BODY, ret, p);
}

/* The refusal names the resource, as the API does. */
static int need_version(const struct write *w, const json_t *body, struct problem *p) {
        static const char why[] = "Invalid value: 0x0: must be specified for an update";
        const char *version = json_str_or(body, "metadata.resourceVersion", "");

        if (!pipeline_needs_version(w->kind) || (!isempty(version) && !streq(version, "0")))
                return 0;
        problem_set(p, EINVAL, 422, "Invalid", "%s \"%s\" is invalid: metadata.resourceVersion: %s",
                        w->kind->resource, w->name, why);
        problem_cause(p, "FieldValueInvalid", "metadata.resourceVersion", why);
        return -EINVAL;
}

int put_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        const struct decoded *body = &w->request->body;
        _cleanup_json_ json_t *object = NULL;
        int r = decision_warn(ret, body->warnings);

        if (r < 0)
                return r;
        if (!live && (w->request->sub || !w->kind->update_creates))
                return problem_not_found(p, w->kind, w->name);
        if (form_of(w->request))
                return put_form(w, live, body->object, ret, p);
        ret->no_retry = !isempty(json_str_or(body->object, "metadata.resourceVersion", ""));
        r = live ? need_version(w, body->object, p) : may_create(w, p);
        if (r < 0)
                return r;
        object = live ? status_replaced(w->kind, w->request->sub, live, body->object) : NULL;
        if (object)
                return write_object(w, live, TAKE_PTR(object), FROM_STATUS, ret, p);
        object = json_tree_copy(body->object);
        if (!object)
                return -ENOMEM;
        return write_object(w, live, TAKE_PTR(object), FROM_BODY, ret, p);
}

/* An object that is written has its name in it. */
static int check_named(const struct request *request, const json_t *object, struct problem *p) {
        if (!isempty(object_name(object)))
                return 0;
        return problem_set(p, EINVAL, 400, "BadRequest",
                        "the name of the object (%.128s based on URL) was undeterminable: name "
                        "must be provided",
                        request->route.name);
}

static int update_begin(struct request *request, struct problem *p) {
        int r = request_decode(request, p);

        if (r < 0)
                return r;
        r = check_named(request, request->body.object, p);
        if (r < 0)
                return r;
        r = request_check_names(request, request->body.object, p);
        if (r < 0 || !form_of(request))
                return r;
        return pipeline_validate_body(request->kind, request->sub, request->body.object, p);
}

/* A status that the server counts is counted from caches that are as new as the request. */
static void start(struct request *request, void (*write)(struct request *request)) {
        if (pipeline_counts_status(request->kind, request->sub))
                request_freshen(request, write);
        else
                write(request);
}

static void update_write(struct request *request) {
        write_start(request, &(struct write_options){.decide = put_decide});
}

void verb_update(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = update_begin(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                start(request, update_write);
}

/* --- PATCH --- */

static int apply_new(struct write *w, struct decoded *d, struct decision *ret, struct problem *p) {
        const char *uid = object_uid(d->object);
        int r;

        if (!isempty(uid))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s \"%s\": uid mismatch: the "
                                "provided object specified uid %s, and no existing object was "
                                "found",
                                w->kind->resource, w->name, uid);
        r = may_create(w, p);
        if (r < 0)
                return r;
        return write_object(w, NULL, TAKE_PTR(d->object), FROM_APPLY, ret, p);
}

/* What the result of an apply depends on, beside the item. 0: out of memory. */
static uint64_t apply_mark(const struct write *w, const struct apply_options *o) {
        const char flag = o->force ? '!' : '?';
        _cleanup_buf_ struct buf b = {0};
        size_t n = 0;
        const char *data = request_body(w->request, &n);

        buf_append(&b, &w->kind->serial, sizeof(w->kind->serial));
        buf_append_char(&b, flag);
        buf_append(&b, o->manager, strlen(o->manager) + 1);
        buf_append(&b, strempty(o->subresource), strlen(strempty(o->subresource)) + 1);
        buf_append(&b, data, n);
        return b.failed ? 0 : siphash(w->request->api->apply_secret, b.data, b.size);
}

/* An apply of the same bytes, by the same manager, to the same revision of the object, has the same
 * result. Only of those that change nothing, which are what controllers send again and again, is
 * that remembered, in the item: what they come to needs no merging then. All that follows (is the
 * write allowed, valid, admitted?) is decided anew each time. */
static int apply_merge(struct write *w, const json_t *live, const struct apply_options *o,
                struct decoded *ret, struct problem *p) {
        const uint64_t mark = live && w->item ? apply_mark(w, o) : 0;
        size_t n = 0;
        const char *data = request_body(w->request, &n);
        int r;

        if (mark && item_applied(w->item) == mark) {
                ret->object = json_tree_copy(live);
                return ret->object ? 0 : -ENOMEM;
        }
        ret->breath = request_yaml_breath(w->request);
        r = apply_run(w->kind, data, n, live, o, ret, p);
        if (r >= 0 && mark && !ret->warnings && json_same(ret->object, live))
                item_set_applied(w->item, mark);
        return r;
}

static int apply_decide(
                struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_free_ char *manager = NULL;
        struct apply_options o;
        int r;

        if (!live && w->request->sub)
                return problem_not_found(p, w->kind, w->name);
        r = request_apply_options(w->request, true, &o, &manager, p);
        if (r < 0)
                return r;
        r = apply_merge(w, live, &o, &d, p);
        if (r < 0)
                return r;
        r = request_check_names(w->request, d.object, p);
        if (r < 0)
                return r;
        r = decision_warn(ret, d.warnings);
        if (r < 0)
                return r;
        if (!live)
                return apply_new(w, &d, ret, p);
        return write_object(w, live, TAKE_PTR(d.object), FROM_APPLY, ret, p);
}

/* A patch may not make the object another one. */
static int check_identity(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        static const struct {
                const char *word, *place;
        } words[] = {{"name", "URL"}, {"namespace", "request"}};
        int r = check_named(w->request, object, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(words); i++) {
                const char *was = strempty(
                                json_string_value(json_get(live, "metadata", words[i].word, NULL)));
                const json_t *v = json_get(object, "metadata", words[i].word, NULL);
                const char *is = json_is_string(v) ? json_string_value(v) : was;

                if (!streq(was, is))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "the %s of the object (%.128s) does not match the %s on "
                                        "the %s (%.128s)",
                                        words[i].word, is, words[i].word, words[i].place, was);
        }
        return 0;
}

int patch_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        struct request *request = w->request;
        const struct subresource_form *form = form_of(request);
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_json_ json_t *part = NULL;
        const char *data;
        size_t n;
        int r;

        if (!request->http) /* no client waits, and the patch went with it */
                return -ECANCELED;
        if (request->patch_type == PATCH_APPLY)
                return apply_decide(w, live, ret, p);
        if (!live)
                return problem_not_found(p, w->kind, w->name);
        part = form ? form->get(w->kind, live) : json_incref((json_t *)live);
        if (!part)
                return -ENOMEM;
        data = request_body(request, &n);
        r = patch_run(w->kind, request->sub, request->patch_type, data, n, request->validation,
                        part, &d, p);
        if (r < 0)
                return r;
        r = decision_warn(ret, d.warnings);
        if (r < 0)
                return r;
        r = check_identity(w, live, d.object, p);
        if (r < 0)
                return r;
        if (!form)
                return write_object(w, live, TAKE_PTR(d.object),
                                d.status_alone ? FROM_STATUS : FROM_BODY, ret, p);
        r = pipeline_validate_body(w->kind, request->sub, d.object, p);
        if (r < 0)
                return r;
        return put_form(w, live, d.object, ret, p);
}

static int patch_begin(struct request *request, struct problem *p) {
        enum patch_type type;
        int r = patch_type_parse(request->kind, request_header(request, "Content-Type"), &type, p);

        if (r < 0)
                return r;
        if (type == PATCH_APPLY && isempty(request_query(request, "fieldManager")))
                return options_refused(p, "PatchOptions", "FieldValueRequired", "fieldManager",
                                "Required value: is required for apply patch");
        if (type != PATCH_APPLY && request_query(request, "force"))
                return options_refused(p, "PatchOptions", "FieldValueForbidden", "force",
                                "Forbidden: may not be specified for non-apply patch");
        if (type == PATCH_APPLY && form_of(request))
                type = PATCH_MERGE; /* a form has one field: applying it is merging it */
        request->patch_type = type;
        return 0;
}

static void patch_write(struct request *request) {
        write_start(request, &(struct write_options){.decide = patch_decide});
}

void verb_patch(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        size_t n;
        const char *data = request_body(request, &n);
        int r = patch_begin(request, &p);

        audit_request_text(request, data, n);
        if (r < 0)
                respond_error(request, r, &p);
        else
                start(request, patch_write);
}
