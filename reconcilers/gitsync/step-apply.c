/* Applying: rank by rank, many objects of a rank at a time. */
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/run-actions.h"
#include "reconcilers/gitsync/gitsync-internal.h"

int gitsync_note_applied(struct gitsync *s, const struct wanted *w, const json_t *answer) {
        struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        char print[65];

        if (!e)
                return -ENOENT;
        plan_fingerprint(answer, print);
        memcpy(e->hash, w->hash, sizeof(e->hash));
        memcpy(e->live, print, sizeof(e->live) - 1);
        e->live[sizeof(e->live) - 1] = 0;
        e->reported[0] = 0;
        e->finished = false;
        gitsync_suspect_settled(s, w);
        map_remove(s->drifted, w->key);
        s->inventory_dirty = true;
        return 0;
}

static void on_applied(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        struct wanted *w = a->action->subject;

        a->handle = NULL;
        if (error == 0)
                error = gitsync_note_applied(gitsync_of(a), w, answer);
        if (error < 0) {
                gitsync_action_failed(a, w->item, "ApplyFailed", error, p);
                return;
        }
        w->apply = w->unchecked = w->adopt = false;
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
}

static void on_taken_over(int r, const json_t *answer, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        const struct wanted *w = a->action->subject;

        a->handle = NULL;
        if (r < 0) /* it changed meanwhile: the watch brings its new state */
                log_debug("Cannot take over what people own of %s: %s", w->key,
                                strempty(p->message));
        r = gitsync_send_apply(a, w, APPLY_REAL, on_applied);
        if (r < 0)
                gitsync_action_failed(a, w->item, "ApplyFailed", r, out_of_memory());
}

static int start_apply(struct running_action *a) {
        const struct wanted *w = a->action->subject;

        if (w->adopt && w->version &&
                        gitsync_send_take_over(a, w, w->managed, w->version, on_taken_over) >= 0)
                return 0;
        return gitsync_send_apply(a, w, APPLY_REAL, on_applied);
}

static void apply_text(const struct action *x, struct buf *b) {
        const struct wanted *w = x->subject;

        if (w->adopt)
                buf_append_str(b, " and take over what people own");
}

const struct action_type run_action_apply = {.name = "apply",
                .start = start_apply,
                .cancel = gitsync_cancel_call,
                .text = apply_text};

void gitsync_apply_begin(struct gitsync *s) {
        struct actions list = {0};

        decide_applies(s->revision->wanted, s->revision->count,
                        /* base= */ s->state == GITSYNC_APPLYING_BASE, &list);
        gitsync_carry_out(s, &list, gitsync_next);
}
