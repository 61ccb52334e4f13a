/* DELETE of one object (docs/wire.md#14): at once, after a grace period, or when the last finalizer
 * has gone. */
#include "kapid/verbs/delete.h"

#include "kapid/audit/audit.h"
#include "kapid/pipeline/admit.h"
#include "kapid/verbs/internal.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/timefmt.h"

int delete_check_preconditions(const struct request *request, const struct kind *k,
                const json_t *live, struct problem *p) {
        const struct delete_options *o = &request->delete_options;
        const char *version = json_str_or(live, "metadata.resourceVersion", "");
        const char *dot = *k->group ? "." : "";

        if (!isempty(o->uid) && !streq(o->uid, object_uid(live)))
                problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s%s%s \"%s\": the UID in the "
                                "precondition (%s) does not match the UID in record (%s). The "
                                "object might have been deleted and then recreated",
                                k->kind, dot, k->group, object_name(live), o->uid,
                                object_uid(live));
        else if (!isempty(o->resource_version) && !streq(o->resource_version, version))
                problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s%s%s \"%s\": the "
                                "ResourceVersion in the precondition (%s) does not match the "
                                "ResourceVersion in record (%s). The object might have been "
                                "modified",
                                k->kind, dot, k->group, object_name(live), o->resource_version,
                                version);
        else
                return 0;
        problem_about(p, k->group, k->kind, object_name(live));
        return -EEXIST;
}

static int drop_finalizer(json_t *list, const char *name) {
        for (size_t i = json_array_size(list); i-- > 0;)
                if (streq(strempty(json_string_value(json_array_get(list, i))), name) &&
                                json_array_remove(list, i) < 0)
                        return -ENOMEM;
        return 0;
}

/* The garbage collector's two finalizers follow the policy; others stay as they are. */
static int set_finalizers(json_t *object, const char *propagation) {
        static const struct {
                const char *policy, *finalizer;
        } rows[] = {{"Orphan", "orphan"}, {"Foreground", "foregroundDeletion"}};
        json_t *list = json_at_mut(object, "metadata.finalizers");

        if (isempty(propagation))
                return 0;
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (list && drop_finalizer(list, rows[i].finalizer) < 0)
                        return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                if (!streq(rows[i].policy, propagation))
                        continue;
                if (!list) {
                        list = json_array();
                        if (!list || json_set_at(object, "metadata.finalizers", list) < 0)
                                return -ENOMEM;
                }
                return json_array_append_new(list, json_string(rows[i].finalizer)) < 0 ? -ENOMEM
                                                                                       : 0;
        }
        return 0;
}

/* For some kinds the first delete adds our own finalizer. */
static int add_own_finalizer(const struct write *w, const json_t *live, json_t *object) {
        const char *name = pipeline_delete_finalizer(w->kind);
        json_t *list = json_at_mut(object, "metadata.finalizers");

        if (!name || object_is_deleting(live) || object_has_finalizer(object, name))
                return 0;
        if (!list) {
                list = json_array();
                if (!list || json_set_at(object, "metadata.finalizers", list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(list, json_string(name)) < 0 ? -ENOMEM : 0;
}

/* Something holds the object: it gets the time at which it is to end. */
static int mark_deleted(struct write *w, const json_t *live, json_t *object, int64_t grace) {
        char end[TIMEFMT_SIZE];
        int r;

        if (object_is_deleting(live)) {
                int64_t had = json_int_or(live, "metadata.deletionGracePeriodSeconds", 0);

                if (grace >= had) /* a second delete may only shorten */
                        return 0;
        } else {
                r = json_set_int(object, "metadata.generation", object_generation(live) + 1);
                if (r < 0)
                        return r;
        }
        time_format(w->request->now_us + seconds_us(grace), end);
        r = json_set_str(object, "metadata.deletionTimestamp", end);
        if (r < 0)
                return r;
        r = json_set_int(object, "metadata.deletionGracePeriodSeconds", grace);
        if (r < 0)
                return r;
        return pipeline_prepare_delete(w->kind, object);
}

int delete_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        const struct delete_options *o = &w->request->delete_options;
        int64_t grace;
        int r;

        if (!live)
                return problem_not_found(p, w->kind, w->name);
        r = delete_check_preconditions(w->request, w->kind, live, p);
        if (r < 0)
                return r;
        r = write_admit_deletion(w, ADMISSION_MAY_DELETE, live, p);
        if (r < 0)
                return r;
        ret->question = ASK_ABOUT_DELETION;
        ret->no_retry = !isempty(o->resource_version);
        ret->object = json_tree_copy(live);
        if (!ret->object)
                return -ENOMEM;
        r = set_finalizers(ret->object, o->propagation);
        if (r < 0)
                return r;
        r = add_own_finalizer(w, live, ret->object);
        if (r < 0)
                return r;
        grace = pipeline_grace_seconds(w->kind, live, o->grace_s);
        if (grace <= 0 && !pipeline_is_held(w->kind, ret->object)) {
                ret->act = DECIDE_DELETE;
                return write_admit_deletion(w, ADMISSION_DELETED, ret->object, p);
        }
        r = mark_deleted(w, live, ret->object, MAX(grace, 0));
        if (r < 0)
                return r;
        ret->act = json_equal(ret->object, live) ? DECIDE_NOTHING : DECIDE_PUT;
        return 0;
}

static void delete_respond(struct write *w, const struct problem *p) {
        const struct decision *d = w->decision;

        if (p)
                respond_problem(w->request, p);
        else if (d->act == DECIDE_DELETE && !pipeline_returns_deleted(w->kind))
                respond_success(w->request, 200, w->name, object_uid(d->object));
        else
                respond_object(w->request, 200, d->object);
}

/* Without a body the query may name them. */
static int query_preconditions(
                const struct request *request, struct delete_options *o, struct problem *p) {
        const char *uid = request_query(request, "uid"),
                   *version = request_query(request, "resourceVersion");

        if (o->body || (isempty(uid) && isempty(version)))
                return 0;
        if (!utf8_is_valid(strempty(uid), strlen(strempty(uid))) ||
                        !utf8_is_valid(strempty(version), strlen(strempty(version))))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "uid and resourceVersion must be UTF-8");
        o->body = json_pack("{s:{s:s*, s:s*}}", "preconditions", "uid", isempty(uid) ? NULL : uid,
                        "resourceVersion", isempty(version) ? NULL : version);
        o->uid = json_str(o->body, "preconditions.uid");
        o->resource_version = json_str(o->body, "preconditions.resourceVersion");
        return o->body ? 0 : -ENOMEM;
}

int request_delete_options(struct request *request, struct problem *p) {
        _cleanup_json_ json_t *body = NULL;
        size_t n;
        const char *data = request_body(request, &n);
        int r;

        r = delete_options_decode(request_header(request, "Content-Type"), data, n, &body, p);
        if (r < 0)
                return r;
        if (body)
                audit_request_object(request, body);
        r = delete_options_parse(body, request_query(request, "gracePeriodSeconds"),
                        request_query(request, "propagationPolicy"),
                        request_query(request, "orphanDependents"), &request->delete_options, p);
        if (r < 0)
                return r;
        request->dry_run |= request->delete_options.dry_run;
        return query_preconditions(request, &request->delete_options, p);
}

void verb_delete(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = request_delete_options(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                write_start(request, &(struct write_options){.decide = delete_decide,
                                                     .done = delete_respond});
}
