/* What every new and every changed object goes through (the order stands in machine.h). */
#include "kapid/patch/managed.h"
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/write.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

int body_check_names(struct request *r, json_t *object, struct problem *p) {
        const char *namespace = object_namespace(object);

        if (r->kind->namespaced) {
                if (!isempty(namespace) && !streq(namespace, r->route.namespace))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "the namespace of the provided object does not match the "
                                        "namespace sent on the request");
                if (json_set_str(object, "metadata.namespace", r->route.namespace) < 0)
                        return -ENOMEM;
        } else {
                json_del_at(object, "metadata.namespace");
        }
        if (isempty(r->route.name))
                return 0;
        if (isempty(object_name(object)))
                return json_set_str(object, "metadata.name", r->route.name);
        if (!streq(object_name(object), r->route.name))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the name of the object (%.128s) does not match the name on the "
                                "URL (%.128s)",
                                object_name(object), r->route.name);
        return 0;
}

int request_apply_options(struct request *r, bool is_apply, struct apply_options *ret,
                char **ret_manager, struct problem *p) {
        int e = field_manager_name(request_query(r, "fieldManager"),
                        request_header(r, "User-Agent"), is_apply, ret_manager, p);

        if (e < 0)
                return e;
        *ret = (struct apply_options){.manager = *ret_manager,
                        .force = query_true(request_query(r, "force")),
                        .subresource = r->sub ? r->sub->name : "",
                        .now_us = r->now_us};
        return 0;
}

static int set_server_metadata(struct write *w, json_t *object) {
        static const char *const dropped[] = {"resourceVersion", "selfLink", "generation",
                        "deletionTimestamp", "deletionGracePeriodSeconds"};
        json_t *metadata = json_object_get(object, "metadata");
        char uuid[UUID_SIZE], now[TIMEFMT_SIZE];

        for (size_t i = 0; i < ELEMENTS(dropped); i++)
                json_object_del(metadata, dropped[i]);
        if (json_set_str(object, "metadata.uid", random_uuid(uuid)) < 0 ||
                        json_set_str(object, "metadata.creationTimestamp",
                                        time_format(w->r->now_us, now)) < 0 ||
                        json_set_str(object, "metadata.name", w->name) < 0)
                return -ENOMEM;
        return w->kind->namespaced ? json_set_str(object, "metadata.namespace", w->namespace) : 0;
}

int write_new_object(struct write *w, json_t *object_taken, bool from_apply, struct problem *p) {
        _cleanup_json_ json_t *object = object_taken;
        _cleanup_free_ char *manager = NULL;
        struct request *r = w->r;
        struct apply_options o;
        int e;

        e = set_server_metadata(w, object);
        if (e >= 0)
                e = machine_default(w->kind, object);
        /* Before the server's own part: what it adds belongs to nobody. */
        if (e >= 0 && !from_apply) {
                e = request_apply_options(r, false, &o, &manager, p);
                if (e >= 0)
                        e = managed_update(w->kind, NULL, object, &o);
        }
        if (e >= 0)
                e = machine_prepare_create(w->kind, object, &r->context);
        if (e >= 0)
                e = write_admit(w, ADMISSION_MUTATE, NULL, object, p);
        if (e >= 0)
                e = machine_validate_create(w->kind, object, p);
        if (e >= 0)
                e = write_admit(w, ADMISSION_VALIDATE, NULL, object, p);
        if (e >= 0)
                e = machine_warnings(w->kind, object, &w->warnings);
        if (e < 0)
                return e;
        w->act = WRITE_PUT;
        w->object = TAKE_PTR(object);
        return 0;
}

/* The server's own metadata come from the live object, whatever the client says. */
static int keep_server_metadata(const json_t *live, json_t *object) {
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

static int check_preconditions(
                struct write *w, const json_t *live, json_t *object, struct problem *p) {
        const char *uid = object_uid(object),
                   *version = json_str_or(object, "metadata.resourceVersion", ""),
                   *current = json_str_or(live, "metadata.resourceVersion", "");

        if (!isempty(uid) && !streq(uid, object_uid(live)))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s \"%s\": Precondition failed: "
                                "UID in precondition: %s, UID in object meta: %s",
                                w->kind->resource, w->name, uid, object_uid(live));
        if (!isempty(version) && !streq(version, "0") && !streq(version, current))
                return problem_conflict(p, w->kind, w->name, NULL);
        return json_set_str(object, "metadata.resourceVersion", current);
}

/* Whether nothing holds a deleted object any more. */
static bool may_go(const json_t *object) {
        return object_is_deleting(object) &&
               json_array_size(json_at(object, "metadata.finalizers")) == 0 &&
               json_array_size(json_at(object, "spec.finalizers")) == 0 &&
               json_int_or(object, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

int write_changed_object(struct write *w, const json_t *live, json_t *object_taken, bool from_apply,
                struct problem *p) {
        _cleanup_json_ json_t *object = object_taken;
        _cleanup_free_ char *manager = NULL;
        struct request *r = w->r;
        struct apply_options o;
        int e;

        e = check_preconditions(w, live, object, p);
        if (e >= 0)
                e = keep_server_metadata(live, object);
        if (e >= 0)
                e = machine_default(w->kind, object);
        if (e >= 0 && !from_apply) {
                e = request_apply_options(r, false, &o, &manager, p);
                if (e >= 0)
                        e = managed_update(w->kind, live, object, &o);
        }
        if (e >= 0)
                e = machine_prepare_update(w->kind, r->sub, live, object, &r->context);
        if (e >= 0)
                e = write_admit(w, ADMISSION_MUTATE, live, object, p);
        if (e >= 0)
                e = machine_validate_update(w->kind, r->sub, live, object, p);
        if (e >= 0)
                e = write_admit(w, ADMISSION_VALIDATE, live, object, p);
        if (e >= 0 && !r->sub)
                e = machine_warnings(w->kind, object, &w->warnings);
        if (e >= 0)
                e = managed_settle(live, object);
        if (e < 0)
                return e;
        w->object = TAKE_PTR(object);
        if (json_equal(w->object, live))
                w->act = WRITE_NOTHING;
        else if (may_go(w->object))
                w->act = WRITE_DELETE;
        else
                w->act = WRITE_PUT;
        return w->act == WRITE_DELETE
                               ? write_admit_deletion(w, ADMISSION_DELETED, w->object, p)
                               : 0;
}
