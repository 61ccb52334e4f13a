/* The last step of a run: objects that left Git are removed, rank by rank from the last. Each rank
 * is checked (is the object still this GitSync's, which objects does a Namespace or a CRD hold?),
 * decided (decide_removals) and carried out before the next one. Objects that must not be removed
 * without a user's permission are kept, and tried again by later runs. */
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/contents.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/run-actions.h"
#include "reconcilers/gitsync/gitsync-internal.h"

static bool is_kind(const struct inventory_entry *e, const char *group, const char *kind) {
        return streq(e->group, group) && streq(e->kind, kind);
}

static char *entry_path(const struct inventory_entry *e) {
        struct api_resource r = inventory_resource(e);

        return *r.plural ? api_path(&r, e->ns, e->name, NULL, NULL) : NULL;
}

/* As discovery asks for it: "v1", "apps/v1". Caller frees. */
static char *entry_version(const struct inventory_entry *e) {
        return *e->group ? strformat("%s/%s", e->group, e->version) : strdup(e->version);
}

static void leaving_done(struct leaving *leaving, size_t count) {
        for (size_t i = 0; i < count; i++) {
                json_decref(leaving[i].live);
                free(leaving[i].holds);
                free(leaving[i].unseen);
                problem_done(&leaving[i].problem);
        }
        free(leaving);
}

static void ended(struct running_action *a) {
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
}

/* An object that cannot be read or removed does not hold up the others of its rank: it is reported
 * after them. Without any answer of the API the run ends at once. */
static void fail(struct running_action *a, int error, const struct problem *p) {
        struct leaving *l = a->action->subject;
        _cleanup_problem_ struct problem why = {0};

        assert(error < 0);
        assert(l->error == 0);

        problem_set(&why, error, p->code, p->reason, "cannot remove %s \"%s\", which left Git: %s",
                        l->entry->kind, l->entry->name, strempty(p->message));
        if (p->code == 0) {
                gitsync_action_failed(a, /* item= */ NULL, "PruneFailed", error, &why);
                return;
        }
        l->error = gitsync_blame(
                        gitsync_of(a), /* item= */ NULL, "PruneFailed", error, &why, &l->problem);
        ended(a);
}

/* --- looking --- */

/* The awaited state of an action of the type "look": one of the two. */
struct looking {
        struct api_call *call;
        struct contents *contents;
};

static void look_cancel(struct running_action *a) {
        struct looking *look = a->handle;

        if (!look)
                return;
        api_call_cancel(look->call);
        contents_free(look->contents);
        free(look);
        a->handle = NULL;
}

static void look_ended(struct running_action *a) {
        look_cancel(a);
        ended(a);
}

static void look_failed(struct running_action *a, int error, const struct problem *p) {
        look_cancel(a);
        fail(a, error, p);
}

static void on_contents(const char *holds, const char *unseen, void *userdata) {
        struct running_action *a = userdata;
        struct leaving *l = a->action->subject;

        l->holds = action_string(holds);
        l->unseen = action_string(unseen);
        l->facts.holds = l->holds;
        l->facts.unseen = l->unseen;
        look_ended(a);
}

/* Removing a Namespace or a CRD removes all objects in it: finds them. */
static void look_inside(struct running_action *a) {
        struct leaving *l = a->action->subject;
        struct looking *look = a->handle;
        const struct gitsync *s = gitsync_of(a);
        int r;

        if (is_kind(l->entry, "", "Namespace"))
                r = contents_of_namespace(&look->contents, gitsync_client(s), l->entry->name, s->ns,
                                s->name, on_contents, a);
        else
                r = contents_of_crd(&look->contents, gitsync_client(s), l->live, s->ns, s->name,
                                on_contents, a);
        if (r == -ENOENT) { /* an object that can't be read is not removed */
                l->facts.unseen = "none of its versions is served";
                look_ended(a);
        } else if (r < 0)
                look_failed(a, r, out_of_memory());
}

static void see_facts(const struct gitsync *s, struct leaving *l) {
        const struct inventory_entry *e = l->entry;

        l->facts = (struct removal_facts){
                        .ours = streq_ptr(object_label(l->live, "keelson.dev/gitsync-name"),
                                                s->name) &&
                                streq_ptr(object_label(l->live, "keelson.dev/gitsync-namespace"),
                                                s->ns),
                        .prune = object_annotation(l->live, "keelson.dev/prune"),
                        .by_link = e->by_link && !s->deleting,
                        .confirmed = !s->deleting && gitsync_is_confirmed(s, s->revision),
                        .holds_gitsync = is_kind(e, "", "Namespace") && streq(e->name, s->ns)};
}

/* Before an object is removed: does it still belong to this GitSync, and may it be removed? */
static void on_read(int error, const json_t *live, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        struct leaving *l = a->action->subject;
        struct looking *look = a->handle;

        look->call = NULL;
        /* One that is being deleted needs nothing more; its own finalizers decide when it is gone.
         */
        if (error == -ENOENT || (error == 0 && object_is_deleting(live))) {
                look_ended(a);
                return;
        }
        if (error < 0) {
                look_failed(a, error, p);
                return;
        }
        l->live = json_incref((json_t *)live);
        see_facts(gitsync_of(a), l);
        bool container = is_kind(l->entry, "", "Namespace") ||
                         is_kind(l->entry, "apiextensions.k8s.io", "CustomResourceDefinition");
        if (container && decide_removal(&l->facts) == REMOVE &&
                        !streq(strempty(l->facts.prune), "confirmed"))
                look_inside(a);
        else
                look_ended(a);
}

/* An entry of an older inventory may lack its resource: the kind is looked up. */
static bool complete(struct gitsync *s, struct inventory_entry *e) {
        const struct api_resource *r;
        _cleanup_free_ char *version = NULL;

        if (*e->resource)
                return true;
        version = entry_version(e);
        r = version ? discovery_find(s->world->discovery, version, e->kind) : NULL;
        if (!r)
                return false;
        char *plural = strdup(r->plural);
        if (!plural)
                return false;
        free(e->resource);
        e->resource = plural;
        if (r->namespaced && !*e->ns) { /* written before its namespace was known: the GitSync's */
                char *ns = strdup(json_str_or(s->object, "spec.targetNamespace", s->ns));

                if (!ns)
                        return false;
                free(e->ns);
                e->ns = ns;
        }
        return true;
}

static void on_kind_known(int error, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        struct leaving *l = a->action->subject;
        struct looking *look = a->handle;
        _cleanup_free_ char *path = NULL;
        int r = -ENOMEM;

        look->call = NULL;
        if (error < 0 && error != -ENOENT) {
                look_failed(a, error, p);
                return;
        }
        if (!complete(gitsync_of(a), l->entry)) { /* the kind is not served: there is nothing */
                look_ended(a);
                return;
        }
        path = entry_path(l->entry);
        if (path)
                r = api_get_async(gitsync_client(gitsync_of(a)), path, on_read, a, &look->call);
        if (r < 0)
                look_failed(a, r, out_of_memory());
}

static int look_start(struct running_action *a) {
        struct leaving *l = a->action->subject;
        struct gitsync *s = gitsync_of(a);
        struct looking *look = calloc(1, sizeof(*look));
        _cleanup_free_ char *version = NULL;
        int r = -ENOMEM;

        if (!look)
                return -ENOMEM;
        a->handle = look;
        if (complete(s, l->entry)) {
                on_kind_known(/* error= */ 0, /* p= */ NULL, a);
                return 0;
        }
        version = entry_version(l->entry);
        if (version)
                r = discovery_refresh(s->world->discovery, version, on_kind_known, a, &look->call);
        if (r < 0)
                look_failed(a, r, out_of_memory());
        return 0;
}

/* --- carrying out --- */

/* Removes the entry from the inventory, and all other records of the object. */
static void forget(struct gitsync *s, struct leaving *l) {
        struct inventory_entry *e = l->entry;

        for (size_t i = 0; i < s->gone_count; i++)
                if (s->gone[i] == e)
                        s->gone[i] = NULL;
        map_remove(s->suspects, e->key);
        map_remove(s->drifted, e->key);
        l->entry = NULL;
        inventory_remove(&s->inventory, e->key);
        s->inventory_dirty = true;
}

/* A line about the GitSync and about an object that it has applied. */
static void log_entry(const struct gitsync *s, const struct inventory_entry *e, const char *fmt,
                ...) _printf_(3, 4);
static void log_entry(const struct gitsync *s, const struct inventory_entry *e, const char *fmt,
                ...) {
        _cleanup_free_ char *other = strformat(
                        "%s/%s%s%s", e->kind, strempty(e->ns), isempty(e->ns) ? "" : "/", e->name);
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                text = NULL;
        va_end(ap);
        gitsync_log(s, LOG_INFO, other, "GitSync %s: %s", s->key, strempty(text));
}

static void on_deleted(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;
        struct leaving *l = a->action->subject;
        struct gitsync *s = gitsync_of(a);

        a->handle = NULL;
        /* 409: it is not the object that was looked at. */
        if (error < 0 && error != -ENOENT && p->code != 409) {
                fail(a, error, p);
                return;
        }
        if (error == 0)
                log_entry(s, l->entry, "removed %s \"%s\", which left Git", l->entry->kind,
                                l->entry->name);
        forget(s, l);
        ended(a);
}

/* Only the very object that was looked at is deleted. */
static int remove_start(struct running_action *a) {
        const struct leaving *l = a->action->subject;
        _cleanup_json_ json_t *options = json_pack("{s:s, s:{s:s}}", "propagationPolicy",
                        "Background", "preconditions", "uid", object_uid(l->live));
        _cleanup_free_ char *path = entry_path(l->entry);
        struct api_call *call = NULL;
        int r;

        if (!options || !path)
                return -ENOMEM;
        r = api_delete_async(gitsync_client(gitsync_of(a)), path, options, on_deleted, a, &call);
        a->handle = call;
        return r;
}

static int forget_start(struct running_action *a) {
        forget(gitsync_of(a), a->action->subject);
        ended(a);
        return 0;
}

static int release_start(struct running_action *a) {
        struct leaving *l = a->action->subject;
        const struct inventory_entry *e = l->entry;
        struct gitsync *s = gitsync_of(a);

        log_entry(s, e, "kept %s \"%s\", which left Git: %s", e->kind, e->name, a->action->message);
        api_event(s->world->client, s->object, "Normal", "PruneSkipped",
                        "kept %s \"%s\", which left Git: %s", e->kind, e->name, a->action->message);
        return forget_start(a);
}

static int keep_start(struct running_action *a) {
        const char *sentence = a->action->message;
        struct leaving *l = a->action->subject;
        struct gitsync *s = gitsync_of(a);

        if (!l->entry->kept)
                l->entry->kept = s->inventory_dirty = true;
        s->kept_count++;
        if (!s->kept || strcmp(sentence, s->kept) < 0) { /* the same one each time */
                free(s->kept);
                s->kept = action_string(sentence);
        }
        ended(a);
        return 0;
}

static void leaving_text(const struct action *x, struct buf *b) {
        buf_printf(b, " %s%s%s", strempty(x->reason), x->message ? ": " : "", strempty(x->message));
}

const struct action_type run_action_look = {
                .name = "look", .start = look_start, .cancel = look_cancel, .text = leaving_text};
const struct action_type run_action_remove = {.name = "remove",
                .start = remove_start,
                .cancel = gitsync_cancel_call,
                .text = leaving_text};
const struct action_type run_action_forget = {
                .name = "forget", .start = forget_start, .text = leaving_text};
const struct action_type run_action_release = {
                .name = "release", .start = release_start, .text = leaving_text};
const struct action_type run_action_keep = {
                .name = "keep", .start = keep_start, .text = leaving_text};

/* --- the step --- */

/* The condition Pruned: the objects that are kept, or that none is kept any longer. */
static void report_kept(struct gitsync *s) {
        if (s->kept && s->kept_count > 1) {
                char *more = strformat("%s (and %zu more)", s->kept, s->kept_count - 1);

                if (more) {
                        free(s->kept);
                        s->kept = more;
                }
        }
        if (!s->kept) {
                if (s->kept_before)
                        gitsync_condition(s, "Pruned", "True", "Pruned", "");
                return;
        }
        gitsync_condition(s, "Pruned", "False", "Withheld", s->kept);
        if (!streq_ptr(s->kept_before, s->kept)) {
                gitsync_log(s, LOG_WARNING, NULL, "GitSync %s: %s", s->key, s->kept);
                api_event(s->world->client, s->object, "Warning", "PruneWithheld", "%s", s->kept);
        }
}

void gitsync_prune_done(struct gitsync *s) {
        leaving_done(s->leaving, s->leaving_count);
        s->leaving = NULL;
        s->leaving_count = 0;
}

static void next_rank(struct gitsync *s);

/* The ranks before it (its Namespace, say) wait for the failed object. */
static void on_rank_pruned(struct gitsync *s) {
        for (size_t i = 0; i < s->leaving_count; i++)
                if (s->leaving[i].error < 0) {
                        gitsync_fail(s, s->leaving[i].problem.reason, &s->leaving[i].problem);
                        return;
                }
        next_rank(s);
}

static void on_looked(struct gitsync *s) {
        struct actions list = {0};

        decide_removals(s->leaving, s->leaving_count, /* prune= */ true, &list);
        gitsync_carry_out(s, &list, on_rank_pruned);
}

/* All that left, or those of the next rank. */
static int take_leaving(struct gitsync *s, bool all) {
        unsigned rank = kind_rank(s->gone[s->gone_at]->group, s->gone[s->gone_at]->kind);

        s->leaving = calloc(s->gone_count - s->gone_at, sizeof(*s->leaving));
        if (!s->leaving)
                return -ENOMEM;
        while (s->gone_at < s->gone_count) {
                struct inventory_entry *e = s->gone[s->gone_at];

                if (!all && kind_rank(e->group, e->kind) != rank)
                        break;
                s->leaving[s->leaving_count++].entry = e;
                s->gone_at++;
        }
        return 0;
}

static void next_rank(struct gitsync *s) {
        bool prune = json_bool_or(s->object, "spec.prune", true);
        struct actions list = {0};

        gitsync_prune_done(s);
        if (s->gone_at == s->gone_count) {
                report_kept(s);
                s->kept_before = mfree(s->kept_before);
                s->ok = true;
                gitsync_next(s);
                return;
        }
        if (take_leaving(s, /* all= */ !prune) < 0) {
                gitsync_fail(s, "ApiUnavailable", out_of_memory());
                return;
        }
        if (!prune) {
                decide_removals(s->leaving, s->leaving_count, prune, &list);
                gitsync_carry_out(s, &list, next_rank);
                return;
        }
        for (size_t i = 0; i < s->leaving_count; i++) {
                const struct inventory_entry *e = s->leaving[i].entry;
                struct action *x = actions_add(&list, &run_action_look, /* resource= */ NULL, e->ns,
                                e->name, /* body= */ NULL);

                x->reason = action_string(e->kind);
                x->subject = &s->leaving[i];
        }
        gitsync_carry_out(s, &list, on_looked);
}

void gitsync_prune_begin(struct gitsync *s) {
        if (s->deleting) {
                free(s->gone);
                s->gone = decide_gone(
                                &s->inventory, /* wanted= */ NULL, /* count= */ 0, &s->gone_count);
                if (!s->gone)
                        s->gone_count = 0;
        }
        free(s->kept_before);
        s->kept_before = s->kept;
        s->kept = NULL;
        s->kept_count = 0;
        s->look_again = false;
        s->gone_at = 0;
        next_rank(s);
}
