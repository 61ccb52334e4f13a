/* The steps of an object on its way into the store. The order is the API's: ownership comes right
 * after the defaults, so that fields which the server adds later have no owner; admission changes
 * the object before it is validated and judges it after. */
#include "kapid/pipeline/write-object.h"

#include "kapid/http/dispatch.h"
#include "kapid/patch/managed.h"
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/body.h"
#include "kapid/policies/set.h"
#include "kapid/schema/internal.h"
#include "kapid/webhooks/webhooks.h"
#include "lib/fiber.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

/* An object on its way. */
struct passage {
        struct write *write;
        const json_t *live;   /* NULL: a create */
        json_t *object;       /* owned; changed in place; ours alone */
        const json_t *stored; /* what live was */
        json_t *old;          /* owned; what live is: without zero values of older versions */
        enum object_origin origin;
        struct decision *decision;
        size_t next;    /* of the steps */
        bool same;      /* as live */
        bool was_asked; /* mutating webhooks were */
        bool changed;   /* by mutating policies */
        struct policy_memory policies;
        struct validation *validation; /* that takes more than one turn */
        size_t warnings;               /* that the decision had before the mutating plugins */
};

/* Metadata that no client changes. */
static int fixed_refused(const struct passage *a, const char *path, struct problem *p) {
        _cleanup_findings_ struct findings f = {.built_in = true};

        finding_add(&f, FINDING_INVALID, path, json_at(a->object, path), "field is immutable");
        return findings_problem(&f, a->write->kind, NULL, a->write->name, p);
}

/* A client may name the uid and the revision that it means. */
static int step_preconditions(struct passage *a, struct problem *p) {
        const struct write *w = a->write;
        const char *uid = object_uid(a->object),
                   *version = json_str_or(a->object, "metadata.resourceVersion", ""),
                   *current = json_str_or(a->live, "metadata.resourceVersion", "");

        if (!a->live)
                return 0;
        if (!isempty(uid) && !streq(uid, object_uid(a->live)) &&
                        streq(w->request->route.verb, "patch"))
                return fixed_refused(a, "metadata.uid", p);
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

/* Objects of older versions have zero values that new ones are written without: neither a change
 * nor a breach of what may not change. */
static int step_old_zeros(struct passage *a, struct problem *p) {
        a->stored = a->live;
        if (!a->live || a->write->kind->custom)
                return 0;
        a->old = schema_without_zeros(a->write->kind->schema, a->live);
        if (!a->old)
                return -ENOMEM;
        a->live = a->old;
        return 0;
}

/* A pod template stays as it is stored where nothing else changes in it, as controllers compare it
 * with those of the sets and revisions that they made from it. */
static int keep_template(struct passage *a) {
        static const char path[] = "spec.template";
        const json_t *was = json_at(a->stored, path), *old = json_at(a->live, path),
                     *new = json_at(a->object, path);

        if (old == was || !old || !new || !json_same(old, new))
                return 0;
        return json_set_at(a->object, path, json_tree_copy(was));
}

/* Nobody marks an object as deleted by writing it. What only repeats the live object, or leaves it
 * out, is no change. */
static int check_deletion(const struct passage *a, struct problem *p) {
        static const char time[] = "metadata.deletionTimestamp",
                          grace[] = "metadata.deletionGracePeriodSeconds";
        const json_t *v = json_at(a->object, grace), *was = json_at(a->live, grace);

        if (!json_at(a->live, time) && json_is_string(json_at(a->object, time)))
                return fixed_refused(a, time, p);
        if (json_is_integer(v) && json_integer_value(v) != (was ? json_integer_value(was) : -1))
                return fixed_refused(a, grace, p);
        return 0;
}

static int step_server_metadata(struct passage *a, struct problem *p) {
        int r = a->live ? check_deletion(a, p) : 0;

        if (r < 0)
                return r;
        return a->live ? kept_metadata(a->live, a->object) : new_metadata(a->write, a->object);
}

static int step_defaults(struct passage *a, struct problem *p) {
        const struct kind *k = a->write->kind;

        if (a->origin == FROM_STATUS)
                return pipeline_default_status(k, a->object);
        return pipeline_default(k, a->object);
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
        a->warnings = strv_length(a->decision->warnings);
        return write_admit(a->write, ADMISSION_MUTATE, a->live, a->object, p);
}

static int step_mutating_policies(struct passage *a, struct problem *p);
static int step_mutating_policies_again(struct passage *a, struct problem *p);

static int step_mutating_webhooks(struct passage *a, struct problem *p) {
        if (!webhooks_has(a->write->request->api->webhooks, WEBHOOK_MUTATING))
                return 0;
        return a->was_asked ? 0 : WRITE_ASKS_WEBHOOKS;
}

/* --- validation --- */

struct validation {
        struct passage *passage;
        struct problem p;
        int r;
};

static void validate(struct fiber *f, void *userdata) {
        struct validation *v = userdata;
        struct passage *a = v->passage;
        const struct write *w = a->write;
        const struct pipeline_validation all = {.kind = w->kind,
                        .sub = w->request->sub,
                        .old = a->live,
                        .object = a->object,
                        .warnings = &a->decision->warnings,
                        .now_us = fiber_clock_us,
                        .clock = f};

        v->r = pipeline_validate(&all, &v->p);
}

static void on_validated(void *userdata) {
        struct validation *v = userdata;
        struct write *w = v->passage->write;

        dispatch_release(w->request);
        w->wake(w);
}

static struct validation *validation_free(struct validation *v) {
        if (v)
                problem_done(&v->p);
        return mfree(v);
}

/* Rules of a definition may take long. */
static int step_validate(struct passage *a, struct problem *p) {
        struct validation *v = a->validation;
        struct fibers *fibers = a->write->kind->rules ? a->write->request->api->fibers : NULL;
        struct fiber *f = fiber_if_current(a->write->request->fiber);
        int r = 0;

        if (!v) {
                v = a->validation = calloc(1, sizeof(*v));
                if (!v)
                        return -ENOMEM;
                v->passage = a;
                if (f)
                        validate(f, v);
                else
                        r = fibers_start(fibers, validate, on_validated, v);
        }
        if (r > 0) {
                dispatch_hold(a->write->request);
                return WRITE_LATER;
        }
        a->validation = NULL;
        if (r == 0) {
                r = v->r;
                *p = v->p;
                v->p = (struct problem){0};
        }
        validation_free(v);
        return r;
}

static int step_admit(struct passage *a, struct problem *p) {
        return write_admit(a->write, ADMISSION_VALIDATE, a->live, a->object, p);
}

static int step_warnings(struct passage *a, struct problem *p) {
        if (a->write->request->sub)
                return 0;
        return pipeline_warnings(a->write->kind, a->live, a->object, &a->decision->warnings);
}

/* An apply that changes nothing writes nothing. The template is compared before it becomes the
 * stored one again, as live has no zero values of older versions. */
static int step_settle(struct passage *a, struct problem *p) {
        int r = a->live ? managed_settle(a->live, a->object) : 0;

        if (r < 0 || !a->live)
                return r;
        a->same = r > 0;
        return keep_template(a);
}

static const struct {
        const char *name;
        int (*run)(struct passage *a, struct problem *p);
} steps[] = {
                {"preconditions", step_preconditions},
                {"old zeros", step_old_zeros},
                {"server metadata", step_server_metadata},
                {"defaults", step_defaults},
                {"ownership", step_ownership},
                {"prepare", step_prepare},
                {"mutating admission", step_mutate},
                {"mutating policies", step_mutating_policies},
                {"mutating webhooks", step_mutating_webhooks},
                {"mutating policies again", step_mutating_policies_again},
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

/* Everything was passed. */
static int conclude(struct passage *a, struct problem *p) {
        struct decision *ret = a->decision;

        ret->created = !a->live;
        ret->question = ASK_ABOUT_WRITE;
        ret->object = TAKE_PTR(a->object);
        if (a->stored && (a->stored == a->live ? a->same : json_same(ret->object, a->stored))) {
                ret->unchanged = true;
                ret->act = DECIDE_NOTHING;
                return 0;
        }
        if (!a->live || !may_go(a->write->kind, ret->object)) {
                ret->act = DECIDE_PUT;
                return 0;
        }
        ret->act = DECIDE_DELETE;
        return write_admit_deletion(a->write, ADMISSION_DELETED, ret->object, p);
}

static int walk(struct passage *a, struct problem *p) {
        for (; a->next < ELEMENTS(steps); a->next++) {
                int r = request_breathe(a->write->request);

                if (r < 0)
                        return r;
                r = steps[a->next].run(a, p);
                if (r < 0)
                        log_debug("%s \"%s\": refused by %s", a->write->kind->resource,
                                        a->write->name, steps[a->next].name);
                if (r != 0)
                        return r;
        }
        return conclude(a, p);
}

int write_object(struct write *w, const json_t *live, json_t *object_taken,
                enum object_origin origin, struct decision *ret, struct problem *p) {
        _cleanup_json_ json_t *object = object_taken;
        _cleanup_(passage_freep) struct passage *a = calloc(1, sizeof(*a));
        int r;

        assert(object && object != live);
        assert(ret == w->decision && !ret->object && !w->passage);
        if (!a)
                return -ENOMEM;
        *a = (struct passage){.write = w,
                        .live = live,
                        .object = TAKE_PTR(object),
                        .origin = origin,
                        .decision = ret};
        r = walk(a, p);
        if (r > 0)
                w->passage = TAKE_PTR(a);
        return r;
}

/* --- with mutating policies and webhooks --- */

struct passage *passage_free(struct passage *a) {
        if (!a)
                return NULL;
        json_decref(a->object);
        json_decref(a->old);
        policy_memory_done(&a->policies);
        validation_free(a->validation);
        return mfree(a);
}

/* The name that the client gave, or that the object has. */
static const char *asked_name(const struct write *w, const json_t *live) {
        bool generated = !live && isempty(w->request->route.name) && isempty(w->request->new_name);

        return generated ? "" : w->name;
}

/* What webhooks see of an object: a new reference. */
static int seen_form(const struct write *w, const json_t *object, json_t **ret) {
        const struct kind_subresource *sub = w->request->sub;

        *ret = object && sub && sub->form ? sub->form->get(w->kind, object) : json_ref(object);
        return *ret || !object ? 0 : -ENOMEM;
}

int write_facts(struct write *w, const json_t *live, const json_t *object,
                struct webhook_request *ret, json_t **ret_object, json_t **ret_old) {
        _cleanup_json_ json_t *seen = NULL, *old = NULL;
        bool deletion = w->decision->question == ASK_ABOUT_DELETION;
        int r;

        r = deletion ? 0 : seen_form(w, object, &seen);
        if (r < 0)
                return r;
        r = deletion ? 0 : seen_form(w, live, &old);
        if (r < 0)
                return r;
        if (deletion)
                old = json_ref(live);
        *ret = (struct webhook_request){.operation = deletion ? WEBHOOK_DELETE
                                                     : live   ? WEBHOOK_UPDATE
                                                              : WEBHOOK_CREATE,
                        .kind = w->kind,
                        .sub = deletion ? NULL : w->request->sub,
                        .namespace = webhook_namespace(w->kind, w->namespace, w->name),
                        .name = asked_name(w, live),
                        .object = seen,
                        .old_object = old};
        *ret_object = TAKE_PTR(seen);
        *ret_old = TAKE_PTR(old);
        return 0;
}

int passage_facts(const struct passage *a, struct webhook_request *ret, json_t **ret_object,
                json_t **ret_old) {
        return write_facts(a->write, a->live, a->object, ret, ret_object, ret_old);
}

static void drop_warnings(struct decision *d, size_t count) {
        for (size_t n = strv_length(d->warnings); n > count; n--)
                d->warnings[n - 1] = mfree(d->warnings[n - 1]);
}

/* The server's part and the mutating plugins on the object as it is now. What the plugins claimed
 * and said before was about another one. */
static int prepare_again(struct passage *a, json_t *object, struct problem *p) {
        struct passage again = *a;
        int r;

        again.object = object;
        r = step_prepare(&again, p);
        if (r < 0)
                return r;
        decision_drop_keys(a->decision, 0);
        drop_warnings(a->decision, a->warnings);
        return write_admit(a->write, ADMISSION_MUTATE, a->live, object, p);
}

/* What policies or webhooks have made of what they saw. */
static int take_seen(struct passage *a, const json_t *seen, struct problem *p) {
        const struct kind_subresource *sub = a->write->request->sub;
        json_t *copy;

        if (sub && sub->form)
                return sub->form->put(a->write->kind, a->object, seen, p);
        copy = json_tree_copy(seen);
        if (!copy)
                return -ENOMEM;
        json_decref(a->object);
        a->object = copy;
        return 0;
}

static void on_policies(void *userdata) {
        struct passage *a = userdata;

        a->write->wake(a->write);
}

/* The mutating policies about an object of the passage. POLICY_CHANGED: *ret is what became of what
 * they saw. POLICY_LATER: w->wake() is called. */
static int ask_policies(struct passage *a, const json_t *object, json_t **ret, struct problem *p) {
        struct write *w = a->write;
        struct policy_set *policies = w->request->api->policies;
        const struct policy_waiter waiter = {.func = on_policies, .userdata = a};
        _cleanup_json_ json_t *seen = NULL, *old = NULL;
        struct webhook_request facts;
        int r;

        if (!policy_set_has(policies, POLICY_MUTATING))
                return 0;
        r = write_facts(w, a->live, object, &facts, &seen, &old);
        if (r < 0)
                return r;
        r = policy_set_mutate(policies, w->request, &facts, &waiter, &a->policies, ret, p);
        a->changed |= r == POLICY_CHANGED;
        return r;
}

static int step_mutating_policies(struct passage *a, struct problem *p) {
        _cleanup_json_ json_t *made = NULL;
        int r = ask_policies(a, a->object, &made, p);

        if (r == POLICY_LATER)
                return WRITE_LATER;
        if (r <= 0)
                return r;
        r = take_seen(a, made, p);
        return r < 0 ? r : prepare_again(a, a->object, p);
}

/* What plugins or webhooks have changed since, policies may want to see. */
static int step_mutating_policies_again(struct passage *a, struct problem *p) {
        return policy_memory_waits(&a->policies) ? step_mutating_policies(a, p) : 0;
}

bool passage_changed(const struct passage *a) {
        return a->changed;
}

/* The webhooks' object, in place: policies that want to see it come before those webhooks that do.
 */
static int settle(struct passage *a, json_t *object, struct problem *p) {
        _cleanup_json_ json_t *made = NULL, *copy = NULL;
        int r = a->policies.mutating ? 0 : prepare_again(a, object, p);

        if (r < 0 || !policy_memory_waits(&a->policies))
                return r;
        r = ask_policies(a, object, &made, p);
        if (r == POLICY_LATER)
                return WRITE_LATER;
        if (r <= 0)
                return r;
        copy = json_tree_copy(made);
        if (!copy || json_object_clear(object) < 0 || json_object_update(object, copy) < 0)
                return -ENOMEM;
        return prepare_again(a, object, p);
}

int passage_settle(struct passage *a, json_t *object, struct problem *p) {
        const struct kind_subresource *sub = a->write->request->sub;

        /* A form becomes a part of the object at the end. */
        return sub && sub->form ? 0 : settle(a, object, p);
}

int passage_resume(struct passage *a, const json_t *object, struct problem *p) {
        const struct kind_subresource *sub = a->write->request->sub;
        int r;

        a->was_asked = true;
        r = object ? take_seen(a, object, p) : 0;
        if (r < 0)
                return r;
        r = object && sub && sub->form ? prepare_again(a, a->object, p) : 0;
        return r < 0 ? r : walk(a, p);
}

int passage_continue(struct passage *a, struct problem *p) {
        return walk(a, p);
}
