/* Drift: an object that changed or was deleted since it was last correct is compared with what
 * applying Git's revision now would give (a dry run of the same apply). If they are equal it is
 * correct, whatever others wrote into fields that are not in Git. If they differ, or people added
 * fields, it is put back, or reported once for each state.
 *
 * First every suspect is compared (see), then decide_drift() says what happens to those that
 * drifted, then that is carried out. */
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/people.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/run-actions.h"
#include "reconcilers/gitsync/gitsync-internal.h"

static const char *spec_drift(const struct gitsync *s) {
        return json_str_or(s->object, "spec.drift", "revert");
}

bool gitsync_drift_is(const struct gitsync *s, const char *word) {
        return streq(spec_drift(s), word);
}

const json_t *gitsync_live(const struct gitsync *s, const struct wanted *w) {
        return drift_get(s->world->drift, s->identity, w->resource,
                        w->resource->namespaced ? object_namespace(w->item->object) : "",
                        object_name(w->item->object));
}

void gitsync_watch_all(struct gitsync *s) {
        const struct wanted *before = NULL;

        for (size_t i = 0; i < s->current.count; i++) {
                const struct wanted *w = &s->current.wanted[i];
                const char *ns = w->resource->namespaced ? object_namespace(w->item->object) : "";

                if (before && before->resource == w->resource &&
                                streq(ns, object_namespace(before->item->object)))
                        continue;
                if (drift_watch(s->world->drift, s->identity, w->resource, ns) < 0)
                        log_oom();
                before = w;
        }
}

static bool is_reverted(const struct gitsync *s, const struct wanted *w, const json_t *live) {
        return streq(decide_drift_word(w->item->object, live, spec_drift(s)), "revert");
}

static void fingerprint(const json_t *object, char ret[static INVENTORY_HASH_SIZE]) {
        char print[65];

        plan_fingerprint(object, print);
        memcpy(ret, print, INVENTORY_HASH_SIZE - 1);
        ret[INVENTORY_HASH_SIZE - 1] = 0;
}

void gitsync_suspect_seen(struct gitsync *s, const struct wanted *w) {
        if (map_get(s->suspects, w->key))
                (void)map_set(s->suspects, w->key, SUSPECT_SEEN); /* replaces: cannot fail */
}

/* The event of our own apply may come before its answer: it makes a new suspect, which is correct.
 */
void gitsync_suspect_settled(struct gitsync *s, const struct wanted *w) {
        const struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        const json_t *live = gitsync_live(s, w);
        char print[INVENTORY_HASH_SIZE] = "";

        if (live)
                fingerprint(live, print);
        if (map_get(s->suspects, w->key) == SUSPECT_SEEN || (e && live && streq(print, e->live)))
                map_remove(s->suspects, w->key);
}

static void settled(struct running_action *a, const struct wanted *w) {
        gitsync_suspect_settled(gitsync_of(a), w);
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
}

/* Drift that cannot be reverted is left to the next whole run, which reports it until it succeeds.
 * What is only reported is compared again when it changes, or when the API is back. */
static void note_failure(struct gitsync *s, const struct wanted *w, const struct problem *p) {
        struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        bool reverts = is_reverted(s, w, gitsync_live(s, w));

        if (e && reverts) {
                e->hash[0] = 0;
                s->inventory_dirty = true;
        }
        if (reverts)
                map_remove(s->suspects, w->key);
        else if (p->code > 0 && p->code < 500 && p->code != 429)
                gitsync_suspect_settled(s, w);
}

/* --- comparing --- */

/* A comparison that fails does not end the others: it is reported after them. */
static void compare_failed(struct running_action *a, int error, const struct problem *p) {
        struct finding *f = a->action->subject;

        note_failure(gitsync_of(a), f->w, p);
        f->error = gitsync_blame(gitsync_of(a), f->w->item, "ApplyFailed", error, p, &f->problem);
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
}

/* Fields of it belong to another GitSync. */
static void compare_conflicts(struct running_action *a, const struct problem *p) {
        struct finding *f = a->action->subject;
        _cleanup_problem_ struct problem conflict = {0};

        gitsync_set_conflict(gitsync_of(a), p, &conflict);
        f->error = gitsync_blame(gitsync_of(a), f->w->item, "OwnershipConflict", -EBUSY, &conflict,
                        &f->problem);
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
}

static void found_drift(struct running_action *a) {
        struct finding *f = a->action->subject;

        f->drifted = true;
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
}

static void compare(struct running_action *a, const json_t *answer) {
        struct finding *f = a->action->subject;
        struct gitsync *s = gitsync_of(a);
        struct inventory_entry *e = inventory_get(&s->inventory, f->w->key);
        const json_t *live = gitsync_live(s, f->w);
        char would_be[INVENTORY_HASH_SIZE];

        /* The answer is of another state than the watch has brought: the next event decides, or
         * the one that came meanwhile and made it a new suspect. */
        if (!e || !live ||
                        !streq(json_str_or(live, "metadata.resourceVersion", ""),
                                        json_str_or(answer, "metadata.resourceVersion", ""))) {
                settled(a, f->w);
                return;
        }
        if (gitsync_removes_additions(s, f->w, live))
                f->extra = people_additions(json_at(answer, "metadata.managedFields"), s->manager);
        fingerprint(live, f->print);
        fingerprint(answer, would_be);
        if (streq(f->print, would_be) && !f->extra) {
                memcpy(e->live, f->print, sizeof(e->live));
                e->reported[0] = 0;
                map_remove(s->drifted, f->w->key);
                settled(a, f->w);
                return;
        }
        f->live = json_incref((json_t *)live);
        f->answer = json_incref((json_t *)answer);
        found_drift(a);
}

static void on_forced(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;

        a->handle = NULL;
        if (error < 0)
                compare_failed(a, error, p);
        else
                compare(a, answer);
}

static void on_dry(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        const struct finding *f = a->action->subject;
        const char *manager = gitsync_of(a)->manager;
        char other[256];
        int r;

        if (error == 0 || p->code != 409) {
                on_forced(error, answer, p, a);
                return;
        }
        a->handle = NULL;
        if (decide_other_owner(manager, p, other, sizeof(other))) {
                compare_conflicts(a, p);
                return;
        }
        r = gitsync_send_apply(a, f->w, APPLY_FORCED_TRIAL, on_forced);
        if (r < 0)
                compare_failed(a, r, out_of_memory());
}

/* The watch does not have it: is it really gone? */
static void on_looked(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        struct finding *f = a->action->subject;

        a->handle = NULL;
        if (error == -ENOENT) {
                memcpy(f->print, "gone............", sizeof(f->print));
                found_drift(a);
        } else if (error < 0)
                compare_failed(a, error, p);
        else
                settled(a, f->w);
}

static int start_compare(struct running_action *a) {
        struct finding *f = a->action->subject;
        struct gitsync *s = gitsync_of(a);
        struct wanted *w = f->w;
        const struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        const json_t *live = gitsync_live(s, w);
        char print[INVENTORY_HASH_SIZE];

        gitsync_suspect_seen(s, w);
        /* Objects that were not applied completely are left to the next run. */
        if (!e || !streq(e->hash, w->hash) || e->finished || (live && object_is_deleting(live))) {
                settled(a, w);
                return 0;
        }
        if (!live) {
                _cleanup_free_ char *path = api_path(w->resource,
                                w->resource->namespaced ? object_namespace(w->item->object) : NULL,
                                object_name(w->item->object), NULL, NULL);

                return gitsync_get(a, path, on_looked);
        }
        fingerprint(live, print);
        bool known = streq(print, e->reported) && !is_reverted(s, w, live);
        if (streq(print, e->live) || known) {
                settled(a, w);
                return 0;
        }
        return gitsync_send_apply(a, w, APPLY_TRIAL, on_dry);
}

/* --- carrying out --- */

static void put_back_failed(struct running_action *a, int error, const struct problem *p) {
        const struct finding *f = a->action->subject;

        note_failure(gitsync_of(a), f->w, p);
        gitsync_action_failed(a, f->w->item, "ApplyFailed", error, p);
}

static void on_put_back(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        const struct finding *f = a->action->subject;
        const json_t *o = f->w->item->object;
        struct gitsync *s = gitsync_of(a);

        a->handle = NULL;
        if (error == 0)
                error = gitsync_note_applied(s, f->w, answer);
        if (error < 0) {
                put_back_failed(a, error, p);
                return;
        }
        _cleanup_free_ char *key = object_key(o),
                            *other = strformat("%s/%s", object_kind(o), strempty(key));
        gitsync_log(s, LOG_NOTICE, other, "GitSync %s: put back %s \"%s\", which had drifted",
                        s->key, object_kind(o), object_name(o));
        api_event(s->world->client, s->object, "Normal", "DriftReverted", "put back %s \"%s\"",
                        object_kind(o), object_name(o));
        settled(a, f->w);
}

static void on_taken_over(int r, const json_t *answer, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        const struct finding *f = a->action->subject;

        a->handle = NULL;
        if (r < 0 && p->code != 409 && r != -ENOENT) {
                put_back_failed(a, r, p);
                return;
        }
        if (r < 0) { /* it changed meanwhile: it stays a suspect and is compared again */
                gitsync_of(a)->drift_in_vain = true;
                action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
                return;
        }
        r = gitsync_send_apply(a, f->w, APPLY_REAL, on_put_back);
        if (r < 0)
                put_back_failed(a, r, out_of_memory());
}

static int start_put_back(struct running_action *a) {
        const struct finding *f = a->action->subject;

        if (!f->extra)
                return gitsync_send_apply(a, f->w, APPLY_REAL, on_put_back);
        return gitsync_send_take_over(a, f->w, json_at(f->answer, "metadata.managedFields"),
                        json_str_or(f->answer, "metadata.resourceVersion", ""), on_taken_over);
}

static int start_report(struct running_action *a) {
        const struct finding *f = a->action->subject;
        const json_t *o = f->w->item->object;
        struct gitsync *s = gitsync_of(a);
        struct inventory_entry *e = inventory_get(&s->inventory, f->w->key);

        if (e && !streq(e->reported, f->print)) {
                memcpy(e->reported, f->print, INVENTORY_HASH_SIZE);
                api_event(s->world->client, s->object, "Warning", "DriftDetected",
                                "%s \"%s\" is not as Git says: %s", object_kind(o), object_name(o),
                                a->action->message);
        }
        (void)map_set(s->drifted, f->w->key, (void *)1);
        settled(a, f->w);
        return 0;
}

static int start_ignore(struct running_action *a) {
        settled(a, ((const struct finding *)a->action->subject)->w);
        return 0;
}

static void put_back_text(const struct action *x, struct buf *b) {
        if (((const struct finding *)x->subject)->extra)
                buf_append_str(b, " and take over what people own");
}

static void report_text(const struct action *x, struct buf *b) {
        buf_printf(b, ": %s", x->message);
}

const struct action_type run_action_compare = {
                .name = "compare", .start = start_compare, .cancel = gitsync_cancel_call};
const struct action_type run_action_put_back = {.name = "put-back",
                .start = start_put_back,
                .cancel = gitsync_cancel_call,
                .text = put_back_text};
const struct action_type run_action_report = {
                .name = "report", .start = start_report, .text = report_text};
const struct action_type run_action_ignore = {.name = "ignore", .start = start_ignore};

/* --- the step --- */

void gitsync_drift_done(struct gitsync *s) {
        for (size_t i = 0; i < s->finding_count; i++) {
                problem_done(&s->findings[i].problem);
                json_decref(s->findings[i].live);
                json_decref(s->findings[i].answer);
                json_decref(s->findings[i].extra);
        }
        free(s->findings);
        s->findings = NULL;
        s->finding_count = 0;
}

/* The condition Drifted: the drift that is reported and not corrected. */
static void report_drifted(struct gitsync *s) {
        size_t n = map_size(s->drifted);
        const json_t *conditions = json_object_get(s->writer.status, "conditions"), *c;
        bool known = false;
        size_t i;

        json_array_foreach (conditions, i, c)
                known |= streq(json_str_or(c, "type", ""), "Drifted");
        if (n == 0) {
                if (known)
                        gitsync_condition(s, "Drifted", "False", "AsInGit", "");
                return;
        }
        struct map_entry *first = map_first(s->drifted);
        const struct inventory_entry *e = inventory_get(&s->inventory, map_entry_key(first));
        _cleanup_free_ char *text = strformat("%zu objects are not as Git says, one of them %s "
                                              "\"%s\"",
                        n, e ? e->kind : "", e ? e->name : "");
        gitsync_condition(s, "Drifted", "True", "Detected", strempty(text));
}

static void drift_ended(struct gitsync *s) {
        for (size_t i = 0; i < s->finding_count; i++)
                if (s->findings[i].error < 0) {
                        gitsync_fail(s, s->findings[i].problem.reason, &s->findings[i].problem);
                        gitsync_drift_done(s);
                        return;
                }
        gitsync_drift_done(s);
        report_drifted(s);
        gitsync_next(s);
        gitsync_status_write(s, false);
}

static void on_compared(struct gitsync *s) {
        struct actions list = {0};

        decide_drift(s->findings, s->finding_count, spec_drift(s), &list);
        gitsync_carry_out(s, &list, drift_ended);
}

void gitsync_drift_begin(struct gitsync *s) {
        struct actions list = {0};

        gitsync_drift_done(s);
        s->findings = calloc(s->current.count + 1, sizeof(*s->findings));
        for (size_t i = 0; s->findings && i < s->current.count; i++) {
                struct wanted *w = &s->current.wanted[i];

                if (!map_get(s->suspects, w->key))
                        continue;
                s->findings[s->finding_count].w = w;
                actions_add(&list, &run_action_compare, w->resource,
                                w->resource->namespaced ? object_namespace(w->item->object) : NULL,
                                object_name(w->item->object), /* body= */ NULL)
                                ->subject = &s->findings[s->finding_count++];
        }
        if (s->finding_count == 0)
                map_clear(s->suspects); /* they left Git meanwhile */
        gitsync_carry_out(s, &list, on_compared);
}
