/* The steps of an object on its way into the store. The order is the API's: ownership comes right
 * after the defaults, so that fields which the server adds later have no owner; admission changes
 * the object before it is validated and judges it after. */
#include "kapid/pipeline/write-object.h"

#include "kapid/patch/managed.h"
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/body.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

/* An object on its way. */
struct passage {
        struct write *write;
        const json_t *live; /* NULL: a create */
        json_t *object;     /* changed in place; ours alone */
        enum object_origin origin;
        struct decision *decision;
};

/* A client may name the uid and the revision that it means. */
static int step_preconditions(struct passage *a, struct problem *p) {
        const struct write *w = a->write;
        const char *uid = object_uid(a->object),
                   *version = json_str_or(a->object, "metadata.resourceVersion", ""),
                   *current = json_str_or(a->live, "metadata.resourceVersion", "");

        if (!a->live)
                return 0;
        if (!isempty(uid) && !streq(uid, object_uid(a->live)))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s \"%s\": Precondition failed: "
                                "UID in precondition: %s, UID in object meta: %s",
                                w->kind->resource, w->name, uid, object_uid(a->live));
        if (!isempty(version) && !streq(version, "0") && !streq(version, current))
                return problem_conflict(p, w->kind, w->name, NULL);
        return json_set_str(a->object, "metadata.resourceVersion", current);
}

static int new_metadata(struct write *w, json_t *object) {
        static const char *const dropped[] = {"resourceVersion", "selfLink", "generation",
                        "deletionTimestamp", "deletionGracePeriodSeconds"};
        json_t *metadata = json_object_get(object, "metadata");
        char uuid[UUID_SIZE], now[TIMEFMT_SIZE];

        for (size_t i = 0; i < ELEMENTS(dropped); i++)
                json_object_del(metadata, dropped[i]);
        if (json_set_str(object, "metadata.uid", random_uuid(uuid)) < 0)
                return -ENOMEM;
        if (json_set_str(object, "metadata.creationTimestamp",
                            time_format(w->request->now_us, now)) < 0)
                return -ENOMEM;
        if (json_set_str(object, "metadata.name", w->name) < 0)
                return -ENOMEM;
        return w->kind->namespaced ? json_set_str(object, "metadata.namespace", w->namespace) : 0;
}

/* The server's own metadata come from the live object, whatever the client says. */
static int kept_metadata(const json_t *live, json_t *object) {
        static const char *const kept[] = {"uid", "creationTimestamp", "generation",
                        "deletionTimestamp", "deletionGracePeriodSeconds", "name", "namespace",
                        "generateName"};
        json_t *metadata = json_object_get(object, "metadata");
        const json_t *old = json_object_get(live, "metadata");

        if (!json_is_object(metadata))
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                json_t *v = json_object_get(old, kept[i]);

                if (!v)
                        json_object_del(metadata, kept[i]);
                else if (json_object_set(metadata, kept[i], v) < 0)
                        return -ENOMEM;
        }
        json_object_del(metadata, "selfLink");
        return 0;
}

static int step_server_metadata(struct passage *a, struct problem *p) {
        return a->live ? kept_metadata(a->live, a->object) : new_metadata(a->write, a->object);
}

static int step_defaults(struct passage *a, struct problem *p) {
        return pipeline_default(a->write->kind, a->object);
}

static int step_ownership(struct passage *a, struct problem *p) {
        _cleanup_free_ char *manager = NULL;
        struct apply_options o;
        int r;

        if (a->origin == FROM_APPLY)
                return 0;
        r = request_apply_options(a->write->request, false, &o, &manager, p);
        if (r < 0)
                return r;
        return managed_update(a->write->kind, a->live, a->object, &o);
}

static int step_prepare(struct passage *a, struct problem *p) {
        const struct request *request = a->write->request;

        if (!a->live)
                return pipeline_prepare_create(a->write->kind, a->object, &request->context);
        return pipeline_prepare_update(
                        a->write->kind, request->sub, a->live, a->object, &request->context);
}

static int step_mutate(struct passage *a, struct problem *p) {
        return write_admit(a->write, ADMISSION_MUTATE, a->live, a->object, p);
}

static int step_validate(struct passage *a, struct problem *p) {
        const struct write *w = a->write;

        if (!a->live)
                return pipeline_validate_create(w->kind, a->object, p);
        return pipeline_validate_update(w->kind, w->request->sub, a->live, a->object, p);
}

static int step_admit(struct passage *a, struct problem *p) {
        return write_admit(a->write, ADMISSION_VALIDATE, a->live, a->object, p);
}

static int step_warnings(struct passage *a, struct problem *p) {
        if (a->write->request->sub)
                return 0;
        return pipeline_warnings(a->write->kind, a->object, &a->decision->warnings);
}

/* An apply that changes nothing writes nothing. */
static int step_settle(struct passage *a, struct problem *p) {
        return a->live ? managed_settle(a->live, a->object) : 0;
}

static const struct {
        const char *name;
        int (*run)(struct passage *a, struct problem *p);
} steps[] = {
                {"preconditions", step_preconditions},
                {"server metadata", step_server_metadata},
                {"defaults", step_defaults},
                {"ownership", step_ownership},
                {"prepare", step_prepare},
                {"mutating admission", step_mutate},
                {"validation", step_validate},
                {"validating admission", step_admit},
                {"warnings", step_warnings},
                {"settle", step_settle},
};

/* Whether a deleted object goes now. */
static bool may_go(const struct kind *k, const json_t *object) {
        return object_is_deleting(object) && !pipeline_is_held(k, object) &&
               json_int_or(object, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

int write_object(struct write *w, const json_t *live, json_t *object_taken,
                enum object_origin origin, struct decision *ret, struct problem *p) {
        _cleanup_json_ json_t *object = object_taken;
        struct passage a = {.write = w,
                        .live = live,
                        .object = object,
                        .origin = origin,
                        .decision = ret};
        int r;

        assert(object && object != live);
        assert(ret == w->decision && !ret->object);
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                r = steps[i].run(&a, p);
                if (r < 0) {
                        log_debug("%s \"%s\": refused by %s", w->kind->resource, w->name,
                                        steps[i].name);
                        return r;
                }
        }
        ret->created = !live;
        ret->object = TAKE_PTR(object);
        if (live && json_equal(ret->object, live)) {
                ret->unchanged = true;
                ret->act = DECIDE_NOTHING;
                return 0;
        }
        if (!live || !may_go(w->kind, ret->object)) {
                ret->act = DECIDE_PUT;
                return 0;
        }
        ret->act = DECIDE_DELETE;
        return write_admit_deletion(w, ADMISSION_DELETED, ret->object, p);
}
