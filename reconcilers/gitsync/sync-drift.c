/* Drift: an object that changed, or went, since it was last right is compared with what applying
 * Git's revision now would give (a dry run of the same apply). The same: it is right as it is,
 * whoever wrote what Git does not speak of. Not the same, or people added to it: it is put back, or
 * reported once for each state it gets into. */
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/people.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/sync-internal.h"

enum { STAGE_LOOK, STAGE_DRY, STAGE_FORCED };

static struct sync *sync_of(const struct batch_slot *slot) {
        return slot->batch->userdata;
}

static struct wanted *wanted_of(const struct batch_slot *slot) {
        struct sync *s = sync_of(slot);

        return &s->current.wanted[s->todo[slot->at]];
}

bool sync_drift_is(const struct sync *s, const char *word) {
        return streq(json_str_or(s->object, "spec.drift", "revert"), word);
}

const json_t *sync_live(const struct sync *s, const struct wanted *w) {
        return drift_get(s->world->drift, s->who, w->resource,
                        w->resource->namespaced ? object_namespace(w->item->object) : "",
                        object_name(w->item->object));
}

void sync_watch_all(struct sync *s) {
        const struct wanted *before = NULL;

        for (size_t i = 0; i < s->current.count; i++) {
                const struct wanted *w = &s->current.wanted[i];
                const char *ns = w->resource->namespaced ? object_namespace(w->item->object) : "";

                if (before && before->resource == w->resource &&
                                streq(ns, object_namespace(before->item->object)))
                        continue;
                if (drift_watch(s->world->drift, s->who, w->resource, ns) < 0)
                        log_oom();
                before = w;
        }
}

/* What the object's own word, in Git or on the server, or the GitSync's says to do. */
static const char *drift_word(const struct sync *s, const struct wanted *w, const json_t *live) {
        const char *word = object_annotation(w->item->object, "keelson.dev/drift");

        if (!word)
                word = object_annotation(live, "keelson.dev/drift");
        return word ? word : json_str_or(s->object, "spec.drift", "revert");
}

static void fingerprint(const json_t *object, char ret[static INVENTORY_HASH_SIZE]) {
        char print[65];

        plan_fingerprint(object, print);
        memcpy(ret, print, INVENTORY_HASH_SIZE - 1);
        ret[INVENTORY_HASH_SIZE - 1] = 0;
}

static void settled(struct batch_slot *slot) {
        struct sync *s = sync_of(slot);

        map_remove(s->suspects, wanted_of(slot)->key);
        batch_next(slot);
}

/* What cannot be put back is left to the next whole run, which says so until it can. What is only
 * looked at is looked at again when it changes, or when the API is back. */
static void failed(struct batch_slot *slot, int error, const struct problem *p) {
        struct sync *s = sync_of(slot);
        const struct wanted *w = wanted_of(slot);
        struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        bool reverts = streq(drift_word(s, w, sync_live(s, w)), "revert");

        if (e && reverts) {
                e->hash[0] = 0;
                s->inventory_dirty = true;
        }
        if (reverts || (p->code > 0 && p->code < 500 && p->code != 429))
                map_remove(s->suspects, w->key);
        sync_slot_failed(slot, w->item, "ApplyFailed", error, p);
}

/* --- putting back --- */

static void on_reverted(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;
        struct sync *s = sync_of(slot);
        const struct wanted *w = wanted_of(slot);
        const json_t *o = w->item->object;

        slot->call = NULL;
        if (error == 0)
                error = sync_note_applied(s, w, answer);
        if (error < 0) {
                failed(slot, error, p);
                return;
        }
        log_fields(LOG_NOTICE, ((const char *const[]){"KEELSON_GITSYNC", s->key, NULL}),
                        "GitSync %s: put back %s \"%s\", which had drifted", s->key, object_kind(o),
                        object_name(o));
        api_event(s->world->client, s->object, "Normal", "DriftReverted", "put back %s \"%s\"",
                        object_kind(o), object_name(o));
        settled(slot);
}

static void apply(struct batch_slot *slot) {
        if (sync_apply_item(sync_of(slot), wanted_of(slot), "&force=true", on_reverted, slot) < 0)
                failed(slot, -ENOMEM, out_of_memory());
}

static void on_taken_over(
                int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;

        slot->call = NULL;
        if (error < 0 && p->code != 409 && error != -ENOENT) {
                failed(slot, error, p);
                return;
        }
        if (error < 0) /* it changed meanwhile: the watch brings what it is now */
                settled(slot);
        else
                apply(slot);
}

/* --- what is different --- */

static void report(struct batch_slot *slot, struct inventory_entry *e, const char *print,
                const char *what) {
        struct sync *s = sync_of(slot);
        const json_t *o = wanted_of(slot)->item->object;

        if (!streq(e->reported, print)) {
                memcpy(e->reported, print, INVENTORY_HASH_SIZE);
                api_event(s->world->client, s->object, "Warning", "DriftDetected",
                                "%s \"%s\" is not as Git says: %s", object_kind(o), object_name(o),
                                what);
        }
        (void)map_set(s->drifted, e->key, (void *)1);
        settled(slot);
}

/* The object is gone, or not as the answer of the dry run says. */
static void on_drift(struct batch_slot *slot, const json_t *live, const json_t *answer,
                const json_t *extra, const char *print) {
        struct sync *s = sync_of(slot);
        struct wanted *w = wanted_of(slot);
        struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        const char *word = drift_word(s, w, live);
        _cleanup_free_ char *field = extra ? people_first_field(extra) : NULL, *what = NULL;

        if (!streq(word, "revert")) {
                _cleanup_free_ char *changed = live ? decide_difference(live, answer) : NULL;

                if (!live)
                        what = strdup("it is gone");
                else
                        what = strformat("%s%s%s%s (resourceVersion %s)", changed ? changed : "",
                                        changed ? " was changed" : "",
                                        !field    ? ""
                                        : changed ? ", and a person added "
                                                  : "a person added ",
                                        strempty(field),
                                        json_str_or(live, "metadata.resourceVersion", ""));
                if (streq(word, "off"))
                        settled(slot);
                else
                        report(slot, e, print, strempty(what));
                return;
        }
        if (!extra)
                apply(slot);
        else if (sync_take_over(s, w, json_at(answer, "metadata.managedFields"),
                                 json_str_or(answer, "metadata.resourceVersion", ""), on_taken_over,
                                 slot) < 0)
                failed(slot, -ENOMEM, out_of_memory());
}

static void on_dry(int error, const json_t *answer, const struct problem *p, void *userdata);

static void dry_run(struct batch_slot *slot, unsigned stage) {
        slot->stage = stage;
        if (sync_apply_item(sync_of(slot), wanted_of(slot),
                            stage == STAGE_FORCED ? "&dryRun=All&force=true" : "&dryRun=All",
                            on_dry, slot) < 0)
                failed(slot, -ENOMEM, out_of_memory());
}

static void on_conflict(struct batch_slot *slot, const struct problem *p) {
        char other[256];

        if (!sync_other_owner(sync_of(slot), p, other, sizeof(other))) {
                dry_run(slot, STAGE_FORCED);
                return;
        }
        _cleanup_problem_ struct problem conflict = {0};
        problem_set(&conflict, EBUSY, 409, NULL,
                        "it belongs to GitSync \"%s\" too; keep it in one of the two", other);
        sync_slot_failed(slot, wanted_of(slot)->item, "OwnershipConflict", -EBUSY, &conflict);
}

static void on_dry(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;
        struct sync *s = sync_of(slot);
        struct wanted *w = wanted_of(slot);
        struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        const json_t *live = sync_live(s, w);
        char is[INVENTORY_HASH_SIZE], would_be[INVENTORY_HASH_SIZE];

        slot->call = NULL;
        if (error < 0 && p->code == 409 && slot->stage == STAGE_DRY) {
                on_conflict(slot, p);
                return;
        }
        if (error < 0) {
                failed(slot, error, p);
                return;
        }
        /* The answer speaks of another state than the watch has brought: the next event decides. */
        if (!e || !live ||
                        !streq(json_str_or(live, "metadata.resourceVersion", ""),
                                        json_str_or(answer, "metadata.resourceVersion", ""))) {
                settled(slot);
                return;
        }
        _cleanup_json_ json_t *extra =
                        sync_removes_additions(s, w, live)
                                        ? people_additions(
                                                          json_at(answer, "metadata.managedFields"),
                                                          s->manager)
                                        : NULL;
        fingerprint(live, is);
        fingerprint(answer, would_be);
        if (streq(is, would_be) && !extra) {
                memcpy(e->live, is, sizeof(e->live));
                e->reported[0] = 0;
                map_remove(s->drifted, w->key);
                settled(slot);
                return;
        }
        on_drift(slot, live, answer, extra, is);
}

/* The watch does not have it: is it really gone? */
static void on_looked(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;

        slot->call = NULL;
        if (error == -ENOENT)
                on_drift(slot, NULL, NULL, NULL, "gone............");
        else if (error < 0)
                failed(slot, error, p);
        else
                settled(slot);
}

static void start_look(struct batch_slot *slot) {
        struct sync *s = sync_of(slot);
        struct wanted *w = wanted_of(slot);
        struct inventory_entry *e = inventory_get(&s->inventory, w->key);
        const json_t *live = sync_live(s, w);
        char is[INVENTORY_HASH_SIZE];

        /* What the revision has not applied whole is the next run's business. */
        if (!e || !streq(e->hash, w->hash) || e->finished || (live && object_is_deleting(live))) {
                settled(slot);
                return;
        }
        if (live) {
                fingerprint(live, is);
                bool known = streq(is, e->reported) && !streq(drift_word(s, w, live), "revert");

                if (streq(is, e->live) || known)
                        settled(slot);
                else
                        dry_run(slot, STAGE_DRY);
                return;
        }
        _cleanup_free_ char *path = api_path(w->resource,
                        w->resource->namespaced ? object_namespace(w->item->object) : NULL,
                        object_name(w->item->object), NULL, NULL);
        if (!path || api_get_async(sync_client(s), path, on_looked, slot, &slot->call) < 0)
                failed(slot, -ENOMEM, out_of_memory());
}

/* Says in the status what is reported and left as it is. */
static void note_drifted(struct sync *s) {
        size_t n = map_size(s->drifted);
        const json_t *conditions = json_object_get(s->writer.status, "conditions"), *c;
        bool known = false;
        size_t i;

        json_array_foreach (conditions, i, c)
                known |= streq(json_str_or(c, "type", ""), "Drifted");
        if (n == 0) {
                if (known)
                        sync_condition(s, "Drifted", "False", "AsInGit", "");
                return;
        }
        struct map_entry *first = map_first(s->drifted);
        const struct inventory_entry *e = inventory_get(&s->inventory, map_entry_key(first));
        _cleanup_free_ char *text = strformat("%zu objects are not as Git says, one of them %s "
                                              "\"%s\"",
                        n, e ? e->kind : "", e ? e->name : "");
        sync_condition(s, "Drifted", "True", "Detected", strempty(text));
}

static void on_all_looked(void *userdata) {
        struct sync *s = userdata;

        if (sync_batch_ended_badly(s))
                return;
        note_drifted(s);
        sync_enter(s, SYNC_IDLE);
        sync_status_write(s, false);
}

void sync_drift_begin(struct sync *s) {
        free(s->todo);
        s->todo = calloc(s->current.count + 1, sizeof(*s->todo));
        s->todo_count = 0;
        for (size_t i = 0; s->todo && i < s->current.count; i++)
                if (map_get(s->suspects, s->current.wanted[i].key))
                        s->todo[s->todo_count++] = i;
        if (s->todo_count == 0)
                map_clear(s->suspects); /* they left Git meanwhile */
        s->batch_failed = false;
        batch_run(&s->batch, s->todo_count, start_look, on_all_looked, s);
}
