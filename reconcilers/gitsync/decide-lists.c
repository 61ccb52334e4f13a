/* The decisions of a run that are lists of actions: which trials, applies, removals and corrections
 * of drift follow from the views. */
#include "lib/object.h"
#include "reconcilers/gitsync/decide.h"
#include "reconcilers/gitsync/people.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/run-actions.h"

/* Whether anything is due: a poke long before the interval is over (our own status write, for
 * instance) is not a reason to fetch. */
static bool is_due(const struct run_view *v) {
        return !v->have_current || v->failures > 0 || v->look_again || v->spec_changed ||
               v->asked || v->now_us >= v->next_poll_us;
}

enum run_start decide_run(const struct run_view *v) {
        if (v->deleting && !v->has_finalizer)
                return RUN_LET_GO;
        if (!v->deleting && !v->has_finalizer)
                return RUN_ADD_FINALIZER;
        if (!v->inventory_loaded)
                return RUN_LOAD;
        if (v->deleting)
                return RUN_REMOVE_ALL;
        if (v->suspended)
                return RUN_SUSPENDED;
        if (v->dependency)
                return RUN_WAIT;
        /* After a failure Git is asked first: its newest commit may be the cure. */
        if (v->suspects > 0 && v->have_current && v->failures == 0 && !v->drift_off)
                return RUN_DRIFT;
        return is_due(v) ? RUN_FETCH : RUN_NOTHING;
}

static struct action *add_wanted(
                struct actions *a, const struct action_type *type, const struct wanted *w) {
        const json_t *o = w->item->object;
        const char *ns = w->resource->namespaced ? object_namespace(o) : NULL;
        struct action *x = actions_add(a, type, w->resource, ns, object_name(o), /* body= */ NULL);

        x->subject = (void *)w;
        return x;
}

/* --- trials --- */

static bool crd_changes(const struct wanted *wanted, size_t count, const json_t *crd) {
        for (size_t i = 0; i < count && wanted[i].rank <= KIND_RANK_BASE; i++)
                if (wanted[i].item->object == crd)
                        return wanted[i].apply;
        return false;
}

void decide_trials(struct wanted *wanted, size_t count, bool late, struct actions *ret) {
        for (size_t i = 0; i < count; i++) {
                struct wanted *w = &wanted[i];

                if (!w->apply || (late && !w->unchecked))
                        continue;
                /* A kind that is not served yet, or whose CRD this run changes. */
                if (!late && w->crd && (!w->served || crd_changes(wanted, count, w->crd)))
                        w->unchecked = true;
                else
                        add_wanted(ret, &run_action_try, w);
        }
}

static bool commit_makes_namespace(const struct trial *t, const char *ns) {
        _cleanup_free_ char *key = inventory_key("", "Namespace", "", ns);

        for (size_t i = 0; key && i < t->count && t->wanted[i].rank == 0; i++)
                if (streq(t->wanted[i].key, key))
                        return true;
        return false;
}

/* Whether the refusal names something missing that the commit brings before the object itself: a
 * Pod's ServiceAccount, say. */
static bool commit_brings_it(const struct trial *t) {
        const char *message = t->p->message;

        if (!message || !strstr(message, "not found"))
                return false;
        for (size_t i = 0; i < t->count && t->wanted[i].rank < t->w->rank; i++) {
                const json_t *o = t->wanted[i].item->object;
                _cleanup_free_ char *quoted = strformat("\"%s\"", object_name(o));

                if (t->wanted[i].apply && quoted && strstr(message, quoted))
                        return true;
        }
        return false;
}

/* Whether what the object needs (its namespace, its kind) comes with namespaces and CRDs. */
static bool base_brings_it(const struct trial *t) {
        const char *message = strempty(t->p->message);

        if (t->late || t->error != -ENOENT)
                return false;
        return t->w->crd ||
               (startswith(message, "namespaces \"") &&
                               commit_makes_namespace(t, object_namespace(t->w->item->object)));
}

enum trial_result decide_trial(const struct trial *t) {
        char other[256];

        if (t->error == 0)
                return TRIAL_PASSED;
        if (t->p->code == 409 && !t->forced)
                return decide_other_owner(t->manager, t->p, other, sizeof(other)) ? TRIAL_CONFLICT
                                                                                  : TRIAL_FORCE;
        if (t->p->code > 0 && t->p->code < 500 && (base_brings_it(t) || commit_brings_it(t)))
                return TRIAL_LATER;
        return TRIAL_REFUSED;
}

const char *decide_other_owner(
                const char *manager, const struct problem *p, char *buffer, size_t n) {
        const char *at = p->message ? strstr(p->message, "kgitd:") : NULL;
        size_t length;

        if (!at)
                return NULL;
        at += strlen("kgitd:");
        length = MIN(strcspn(at, "\" :,"), n - 1);
        memcpy(buffer, at, length);
        buffer[length] = 0;
        return streq(buffer, manager + strlen("kgitd:")) ? NULL : buffer;
}

/* --- applies --- */

void decide_applies(const struct wanted *wanted, size_t count, bool base, struct actions *ret) {
        const struct wanted *before = NULL;

        for (size_t i = 0; i < count && (!base || wanted[i].rank <= KIND_RANK_BASE); i++) {
                const struct wanted *w = &wanted[i];

                if (!w->apply)
                        continue;
                if (before && before->rank != w->rank)
                        actions_barrier(ret);
                add_wanted(ret, &run_action_apply, w);
                before = w;
        }
}

/* --- objects that left Git --- */

/* A sentence that says why the object is kept, and how to remove it. */
static char *kept_sentence(const struct inventory_entry *e, enum removal removal,
                const struct removal_facts *f) {
        _cleanup_free_ char *why = NULL;
        char *sentence;

        if (removal == KEEP_GITSYNC)
                why = strdup("this GitSync itself is in it");
        else if (removal == KEEP_HOLDS)
                why = strformat("it holds %s, which is not from this GitSync", f->holds);
        else if (removal == KEEP_UNSEEN)
                why = strformat("what it holds cannot be seen (%s)", f->unseen);
        else
                why = strdup("a link or submodule of that commit may have replaced it");
        assert(why);
        sentence = strformat("%s \"%s\" left Git and was kept: %s; to remove it all the same: kctl "
                             "annotate --overwrite %s %s%s%s keelson.dev/prune=confirmed",
                        e->kind, e->name, why, e->resource, e->name, *e->ns ? " -n " : "", e->ns);
        assert(sentence);
        return sentence;
}

static struct action *add_leaving(
                struct actions *a, const struct action_type *type, struct leaving *l) {
        const struct inventory_entry *e = l->entry;
        struct action *x = actions_add(a, type, /* resource= */ NULL, e->ns, e->name,
                        /* body= */ NULL);

        x->reason = action_string(e->kind);
        x->subject = l;
        return x;
}

static void decide_one_removal(struct leaving *l, struct actions *ret) {
        enum removal removal = decide_removal(&l->facts);

        switch (removal) {
        case REMOVE:
                add_leaving(ret, &run_action_remove, l);
                break;
        case RELEASE_OPTED_OUT:
                add_leaving(ret, &run_action_release, l)->message =
                                action_string("its annotation keelson.dev/prune says disabled");
                break;
        case RELEASE_NOT_OURS:
                add_leaving(ret, &run_action_release, l)->message =
                                action_string("its labels do not name this GitSync");
                break;
        case KEEP_GITSYNC:
        case KEEP_HOLDS:
        case KEEP_UNSEEN:
        case KEEP_LINK:
                add_leaving(ret, &run_action_keep, l)->message =
                                kept_sentence(l->entry, removal, &l->facts);
                break;
        }
}

void decide_removals(struct leaving *leaving, size_t count, bool prune, struct actions *ret) {
        for (size_t i = 0; i < count; i++) {
                if (leaving[i].error < 0)
                        continue;
                if (!prune || !leaving[i].live)
                        add_leaving(ret, &run_action_forget, &leaving[i]);
                else
                        decide_one_removal(&leaving[i], ret);
        }
}

/* --- drift --- */

const char *decide_drift_word(const json_t *object, const json_t *live, const char *spec_drift) {
        const char *word = object_annotation(object, "keelson.dev/drift");

        if (!word)
                word = object_annotation(live, "keelson.dev/drift");
        return word ? word : spec_drift;
}

/* "data.a was changed, and a person added data.b (resourceVersion 7)" */
static char *drift_sentence(const struct finding *f) {
        _cleanup_free_ char *changed = f->live ? decide_difference(f->live, f->answer) : NULL,
                            *added = f->extra ? people_first_field(f->extra) : NULL;
        const char *joint = !added ? "" : changed ? ", and a person added " : "a person added ";
        char *sentence = f->live ? strformat("%s%s%s%s (resourceVersion %s)", strempty(changed),
                                                   changed ? " was changed" : "", joint,
                                                   strempty(added),
                                                   json_str_or(f->live, "metadata.resourceVersion",
                                                                   ""))
                                 : strdup("it is gone");

        assert(sentence);
        return sentence;
}

void decide_drift(struct finding *findings, size_t count, const char *spec_drift,
                struct actions *ret) {
        for (size_t i = 0; i < count; i++) {
                struct finding *f = &findings[i];
                const char *word = decide_drift_word(f->w->item->object, f->live, spec_drift);
                struct action *x;

                if (!f->drifted)
                        continue;
                x = add_wanted(ret,
                                streq(word, "revert") ? &run_action_put_back
                                : streq(word, "off")  ? &run_action_ignore
                                                      : &run_action_report,
                                f->w);
                x->subject = f;
                if (x->type == &run_action_report)
                        x->message = drift_sentence(f);
        }
}
