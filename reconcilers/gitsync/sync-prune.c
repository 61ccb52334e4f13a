/* The last step of a run: what left Git is removed, rank by rank from the last, each object bound
 * to its uid and only while its labels name this GitSync. What must not go without a word from a
 * person stays (decide_removal) and is tried again by later runs. */
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/contents.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/sync-internal.h"

/* One object on its way out. */
struct leaving {
        struct batch_slot *slot;
        struct inventory_entry *entry;
        struct contents *contents;
        json_t *live;
        struct removal_facts facts;
};

static struct sync *sync_of(const struct batch_slot *slot) {
        return slot->batch->userdata;
}

static struct inventory_entry *entry_of(const struct batch_slot *slot) {
        const struct sync *s = sync_of(slot);

        return s->gone[s->todo[slot->at]];
}

static bool is_kind(const struct inventory_entry *e, const char *group, const char *kind) {
        return streq(e->group, group) && streq(e->kind, kind);
}

static char *entry_path(const struct inventory_entry *e) {
        struct api_resource r = inventory_resource(e);

        return *r.plural ? api_path(&r, e->ns, e->name, NULL, NULL) : NULL;
}

static void forget(struct batch_slot *slot) {
        struct sync *s = sync_of(slot);
        struct inventory_entry *e = entry_of(slot);

        s->gone[s->todo[slot->at]] = NULL;
        map_remove(s->suspects, e->key);
        map_remove(s->drifted, e->key);
        inventory_remove(&s->inventory, e->key);
        s->inventory_dirty = true;
        batch_next(slot);
}

static void fail(struct batch_slot *slot, int error, const struct problem *p) {
        const struct inventory_entry *e = entry_of(slot);
        _cleanup_problem_ struct problem why = {0};

        problem_set(&why, error, p->code, p->reason, "cannot remove %s \"%s\", which left Git: %s",
                        e->kind, e->name, strempty(p->message));
        sync_slot_failed(slot, NULL, "PruneFailed", error, &why);
}

/* A sentence for what stays, and how to let it go all the same. Caller frees. */
static char *kept_sentence(const struct sync *s, const struct inventory_entry *e,
                enum removal removal, const struct removal_facts *f) {
        _cleanup_free_ char *why = NULL;

        if (removal == KEEP_GITSYNC)
                why = strdup("this GitSync itself is in it");
        else if (removal == KEEP_HOLDS)
                why = strformat("it holds %s, which is not from this GitSync", f->holds);
        else if (removal == KEEP_UNSEEN)
                why = strformat("what it holds cannot be seen (%s)", f->unseen);
        else
                why = strdup("a link or submodule that came with that commit may stand for it");
        return why ? strformat("%s \"%s\" left Git and was kept: %s; to remove it all the same: "
                               "kctl "
                               "annotate --overwrite %s %s%s%s keelson.dev/prune=confirmed",
                                     e->kind, e->name, why, e->resource, e->name,
                                     *e->ns ? " -n " : "", e->ns)
                   : NULL;
}

static void keep(struct batch_slot *slot, enum removal removal, const struct removal_facts *f) {
        struct sync *s = sync_of(slot);
        struct inventory_entry *e = entry_of(slot);
        char *sentence = kept_sentence(s, e, removal, f);

        if (!e->kept)
                e->kept = s->inventory_dirty = true;
        s->kept_count++;
        if (sentence && (!s->kept || strcmp(sentence, s->kept) < 0)) { /* the same one each time */
                free(s->kept);
                s->kept = TAKE_PTR(sentence);
        }
        free(sentence);
        batch_next(slot);
}

static struct leaving *leaving_free(struct leaving *l) {
        contents_free(l->contents);
        json_decref(l->live);
        free(l);
        return NULL;
}

static void on_deleted(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;
        struct sync *s = sync_of(slot);
        struct inventory_entry *e = entry_of(slot);

        slot->call = NULL;
        if (error < 0 && error != -ENOENT && p->code != 409) {
                fail(slot, error, p);
                return;
        }
        if (error == 0)
                log_info("GitSync %s: removed %s \"%s\", which left Git", s->key, e->kind, e->name);
        forget(slot);
}

static void carry_out(struct batch_slot *slot, const json_t *live, const struct removal_facts *f) {
        struct sync *s = sync_of(slot);
        const struct inventory_entry *e = entry_of(slot);
        enum removal removal = decide_removal(f);
        _cleanup_json_ json_t *options = NULL;
        _cleanup_free_ char *path = NULL;

        if (removal == RELEASE_OPTED_OUT || removal == RELEASE_NOT_OURS) {
                const char *why = removal == RELEASE_OPTED_OUT
                                                  ? "its annotation keelson.dev/prune says disabled"
                                                  : "its labels do not name this GitSync";

                log_info("GitSync %s: kept %s \"%s\", which left Git: %s", s->key, e->kind, e->name,
                                why);
                api_event(s->world->client, s->object, "Normal", "PruneSkipped",
                                "kept %s \"%s\", which left Git: %s", e->kind, e->name, why);
                forget(slot);
                return;
        }
        if (removal != REMOVE) {
                keep(slot, removal, f);
                return;
        }
        options = json_pack("{s:s, s:{s:s}}", "propagationPolicy", "Background", "preconditions",
                        "uid", object_uid(live));
        path = entry_path(e);
        if (!options || !path ||
                        api_delete_async(sync_client(s), path, options, on_deleted, slot,
                                        &slot->call) < 0)
                fail(slot, -ENOMEM, out_of_memory());
}

static void on_contents(const char *holds, const char *unseen, void *userdata) {
        struct leaving *l = userdata;
        struct batch_slot *slot = l->slot;
        struct removal_facts f = l->facts;

        f.holds = holds;
        f.unseen = unseen;
        sync_of(slot)->look_at[slot - slot->batch->slots] = NULL;
        carry_out(slot, l->live, &f);
        leaving_free(l);
}

/* A Namespace or CRD goes with all that it holds: what is that? */
static void look_inside(
                struct batch_slot *slot, const json_t *live, const struct removal_facts *f) {
        struct sync *s = sync_of(slot);
        struct inventory_entry *e = entry_of(slot);
        struct leaving *l = calloc(1, sizeof(*l));
        int r = -ENOMEM;

        if (l) {
                *l = (struct leaving){.slot = slot,
                                .entry = e,
                                .live = json_incref((json_t *)live),
                                .facts = *f};
                l->facts.prune = object_annotation(l->live, "keelson.dev/prune");
                s->look_at[slot - slot->batch->slots] = l;
                if (is_kind(e, "", "Namespace"))
                        r = contents_of_namespace(&l->contents, sync_client(s), e->name, s->ns,
                                        s->name, on_contents, l);
                else
                        r = contents_of_crd(&l->contents, sync_client(s), live, s->ns, s->name,
                                        on_contents, l);
        }
        if (r < 0) {
                s->look_at[slot - slot->batch->slots] = NULL;
                if (l)
                        leaving_free(l);
                if (r == -ENOENT) { /* what can't be looked into is not removed on a guess */
                        struct removal_facts unseen = *f;

                        unseen.prune = object_annotation(live, "keelson.dev/prune");
                        unseen.unseen = "none of its versions is served";
                        carry_out(slot, live, &unseen);
                } else
                        fail(slot, r, out_of_memory());
        }
}

void sync_prune_cancel(struct sync *s) {
        for (size_t i = 0; i < BATCH_WIDTH; i++)
                if (s->look_at[i])
                        s->look_at[i] = leaving_free(s->look_at[i]);
}

/* Before an object goes: is it still this GitSync's, and may it go? */
static void on_read(int error, const json_t *live, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;
        struct sync *s = sync_of(slot);
        const struct inventory_entry *e = entry_of(slot);
        struct removal_facts f = {0};

        slot->call = NULL;
        if (error == -ENOENT) {
                forget(slot);
                return;
        }
        if (error < 0) {
                fail(slot, error, p);
                return;
        }
        if (object_is_deleting(live)) { /* on its way; its own finalizers decide when */
                forget(slot);
                return;
        }
        f.ours = streq_ptr(object_label(live, "keelson.dev/gitsync-name"), s->name) &&
                 streq_ptr(object_label(live, "keelson.dev/gitsync-namespace"), s->ns);
        f.prune = object_annotation(live, "keelson.dev/prune");
        f.by_link = e->by_link && !s->deleting;
        f.confirmed = !s->deleting && sync_is_confirmed(s, s->revision);
        f.holds_gitsync = is_kind(e, "", "Namespace") && streq(e->name, s->ns);
        bool container = is_kind(e, "", "Namespace") ||
                         is_kind(e, "apiextensions.k8s.io", "CustomResourceDefinition");
        if (container && decide_removal(&f) == REMOVE && !streq(strempty(f.prune), "confirmed"))
                look_inside(slot, live, &f);
        else
                carry_out(slot, live, &f);
}

/* An entry of an older inventory may lack its resource: the kind is looked up. */
static bool complete(struct sync *s, struct inventory_entry *e) {
        const struct api_resource *r;
        _cleanup_free_ char *version = NULL;

        if (*e->resource)
                return true;
        version = *e->group ? strformat("%s/%s", e->group, e->version) : strdup(e->version);
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
        struct batch_slot *slot = userdata;
        struct sync *s = sync_of(slot);
        _cleanup_free_ char *path = NULL;

        slot->call = NULL;
        if (error < 0 && error != -ENOENT) {
                fail(slot, error, p);
                return;
        }
        if (!complete(s, entry_of(slot))) { /* nobody serves it: there is nothing */
                forget(slot);
                return;
        }
        path = entry_path(entry_of(slot));
        if (!path || api_get_async(sync_client(s), path, on_read, slot, &slot->call) < 0)
                fail(slot, -ENOMEM, out_of_memory());
}

static void start_removal(struct batch_slot *slot) {
        struct sync *s = sync_of(slot);
        struct inventory_entry *e = entry_of(slot);
        _cleanup_free_ char *version = NULL;

        if (!json_bool_or(s->object, "spec.prune", true)) {
                forget(slot);
                return;
        }
        if (complete(s, e)) {
                on_kind_known(0, NULL, slot);
                return;
        }
        version = *e->group ? strformat("%s/%s", e->group, e->version) : strdup(e->version);
        if (!version || discovery_refresh(s->world->discovery, version, on_kind_known, slot,
                                        &slot->call) < 0)
                fail(slot, -ENOMEM, out_of_memory());
}

static void prune_rank(struct sync *s);

static void on_rank_pruned(void *userdata) {
        struct sync *s = userdata;

        if (sync_batch_ended_badly(s))
                return;
        s->at = s->to;
        prune_rank(s);
}

static void tell_kept(struct sync *s, const char *before) {
        if (s->kept && s->kept_count > 1) {
                char *more = strformat("%s (and %zu more)", s->kept, s->kept_count - 1);

                if (more) {
                        free(s->kept);
                        s->kept = more;
                }
        }
        if (!s->kept) {
                if (before)
                        sync_condition(s, "Pruned", "True", "Pruned", "");
                return;
        }
        sync_condition(s, "Pruned", "False", "Withheld", s->kept);
        if (!streq_ptr(before, s->kept)) {
                log_fields(LOG_WARNING, ((const char *const[]){"KEELSON_GITSYNC", s->key, NULL}),
                                "GitSync %s: %s", s->key, s->kept);
                api_event(s->world->client, s->object, "Warning", "PruneWithheld", "%s", s->kept);
        }
}

static void prune_rank(struct sync *s) {
        unsigned rank;

        if (s->at >= s->gone_count) {
                tell_kept(s, s->kept_before);
                s->kept_before = mfree(s->kept_before);
                s->ok = true;
                sync_enter(s, SYNC_REPORTING);
                return;
        }
        rank = kind_rank(s->gone[s->at]->group, s->gone[s->at]->kind);
        free(s->todo);
        s->todo = calloc(s->gone_count + 1, sizeof(*s->todo));
        s->todo_count = 0;
        for (s->to = s->at; s->todo && s->to < s->gone_count &&
                            kind_rank(s->gone[s->to]->group, s->gone[s->to]->kind) == rank;)
                s->todo[s->todo_count++] = s->to++;
        if (!s->todo)
                s->to = s->gone_count;
        s->batch_failed = false;
        batch_run(&s->batch, s->todo_count, start_removal, on_rank_pruned, s);
}

void sync_prune_begin(struct sync *s) {
        if (s->deleting) {
                free(s->gone);
                s->gone = decide_gone(&s->inventory, NULL, 0, &s->gone_count);
                if (!s->gone)
                        s->gone_count = 0;
        }
        free(s->kept_before);
        s->kept_before = s->kept;
        s->kept = NULL;
        s->kept_count = 0;
        s->look_again = false;
        s->at = 0;
        prune_rank(s);
}
