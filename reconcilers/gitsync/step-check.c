/* Every object that the commit changed is tried by a dry run before anything is applied. What
 * cannot be tried before namespaces and CRDs are applied (a new namespace's objects, kinds of new
 * CRDs) is tried right after them, before anything else is applied. */
#include "lib/object.h"
#include "reconcilers/gitsync/people.h"
#include "reconcilers/gitsync/run-actions.h"
#include "reconcilers/gitsync/gitsync-internal.h"

static void on_tried(int error, const json_t *answer, const struct problem *p, void *userdata);
static void on_forced(int error, const json_t *answer, const struct problem *p, void *userdata);

/* Fields owned by people, as the dry run shows them, are taken over before the apply. */
static void passed(struct running_action *a, struct wanted *w, const json_t *answer) {
        const json_t *managed = json_at(answer, "metadata.managedFields");
        const struct gitsync *s = gitsync_of(a);
        _cleanup_json_ json_t *extra = gitsync_removes_additions(s, w, answer)
                                                       ? people_additions(managed, s->manager)
                                                       : NULL;

        w->unchecked = false;
        w->adopt = extra != NULL;
        json_decref(w->managed);
        free(w->version);
        w->managed = extra ? json_incref((json_t *)managed) : NULL;
        w->version = extra ? strdup(json_str_or(answer, "metadata.resourceVersion", "")) : NULL;
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
}

static void conflicts(struct running_action *a, const struct wanted *w, const struct problem *p) {
        _cleanup_problem_ struct problem conflict = {0};

        gitsync_set_conflict(gitsync_of(a), p, &conflict);
        gitsync_action_failed(a, w->item, "OwnershipConflict", -EBUSY, &conflict);
}

static void force(struct running_action *a, const struct wanted *w) {
        int r = gitsync_send_apply(a, w, APPLY_FORCED_TRIAL, on_forced);

        if (r < 0)
                gitsync_action_failed(a, w->item, "BuildFailed", r, out_of_memory());
}

static void on_answer(struct running_action *a, bool forced, int error, const json_t *answer,
                const struct problem *p) {
        const struct gitsync *s = gitsync_of(a);
        struct wanted *w = a->action->subject;
        struct trial t = {.wanted = s->revision->wanted,
                        .count = s->revision->count,
                        .w = w,
                        .late = s->state == GITSYNC_CHECKING_LATE,
                        .forced = forced,
                        .manager = s->manager,
                        .error = error,
                        .p = p};

        a->handle = NULL;
        switch (decide_trial(&t)) {
        case TRIAL_PASSED:
                passed(a, w, answer);
                break;
        case TRIAL_LATER:
                w->unchecked = !t.late;
                action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
                break;
        case TRIAL_FORCE:
                force(a, w);
                break;
        case TRIAL_CONFLICT:
                conflicts(a, w, p);
                break;
        case TRIAL_REFUSED:
                gitsync_action_failed(a, w->item, "BuildFailed", error, p);
                break;
        }
}

static void on_tried(int error, const json_t *answer, const struct problem *p, void *userdata) {
        on_answer(userdata, /* forced= */ false, error, answer, p);
}

static void on_forced(int error, const json_t *answer, const struct problem *p, void *userdata) {
        on_answer(userdata, /* forced= */ true, error, answer, p);
}

static int start_trial(struct running_action *a) {
        return gitsync_send_apply(a, a->action->subject, APPLY_TRIAL, on_tried);
}

const struct action_type run_action_try = {
                .name = "try", .start = start_trial, .cancel = gitsync_cancel_call};

static void see_served(struct gitsync *s) {
        for (size_t i = 0; i < s->revision->count; i++) {
                struct wanted *w = &s->revision->wanted[i];

                w->served = discovery_find(s->world->discovery, object_api_version(w->item->object),
                                            object_kind(w->item->object)) != NULL;
        }
}

void gitsync_check_begin(struct gitsync *s) {
        struct actions list = {0};

        see_served(s);
        decide_trials(s->revision->wanted, s->revision->count, s->state == GITSYNC_CHECKING_LATE,
                        &list);
        gitsync_carry_out(s, &list, gitsync_next);
}
