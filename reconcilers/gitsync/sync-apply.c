/* The middle of a run: check every object that changed by a dry run, record the inventory, apply.
 * Many requests at a time, but never past a rank: namespaces, CRDs, then what needs them. What
 * can't be checked before these two are applied (a new namespace's objects, kinds of new CRDs) is
 * checked right after them, before anything else is applied. */
#include "lib/log.h"
#include "lib/object.h"
#include "reconcilers/gitsync/people.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/sync-internal.h"

static struct sync *sync_of(const struct batch_slot *slot) {
        return slot->batch->userdata;
}

static struct wanted *wanted_of(const struct batch_slot *slot) {
        struct sync *s = sync_of(slot);

        return &s->revision->wanted[s->todo[slot->at]];
}

/* --- one request --- */

int sync_apply_item(struct sync *s, const struct wanted *w, const char *flags, api_done_func done,
                struct batch_slot *slot) {
        const json_t *o = w->item->object;
        _cleanup_free_ char *escaped = url_escape(s->manager), *query = NULL, *path = NULL;

        query = escaped ? strformat("fieldManager=%s&fieldValidation=Strict%s", escaped, flags)
                        : NULL;
        path = query ? api_path(w->resource, w->resource->namespaced ? object_namespace(o) : NULL,
                                       object_name(o), NULL, query)
                     : NULL;
        return path ? api_patch_async(sync_client(s), path, API_PATCH_APPLY, o, done, slot,
                                      &slot->call)
                    : -ENOMEM;
}

int sync_take_over(struct sync *s, const struct wanted *w, const json_t *managed,
                const char *version, api_done_func done, struct batch_slot *slot) {
        const json_t *o = w->item->object;
        _cleanup_free_ char *escaped = url_escape(s->manager), *query = NULL, *path = NULL;
        _cleanup_json_ json_t *fields = people_take_over(
                                              managed, s->manager, object_api_version(o)),
                              *patch = NULL;

        query = escaped ? strformat("fieldManager=%s", escaped) : NULL;
        path = query ? api_path(w->resource, w->resource->namespaced ? object_namespace(o) : NULL,
                                       object_name(o), NULL, query)
                     : NULL;
        if (!path || !fields)
                return -ENOMEM;
        patch = json_pack("{s:{s:s, s:O}}", "metadata", "resourceVersion", version, "managedFields",
                        fields);
        return patch ? api_patch_async(sync_client(s), path, API_PATCH_MERGE, patch, done, slot,
                                       &slot->call)
                     : -ENOMEM;
}

bool sync_removes_additions(const struct sync *s, const struct wanted *w, const json_t *live) {
        const char *word = object_annotation(w->item->object, "keelson.dev/additions");

        if (!word)
                word = object_annotation(live, "keelson.dev/additions");
        if (!word)
                word = json_str_or(s->object, "spec.additions", "remove");
        return !streq(word, "keep");
}

const char *sync_other_owner(
                const struct sync *s, const struct problem *p, char *buffer, size_t n) {
        const char *at = p->message ? strstr(p->message, "kgitd:") : NULL;
        size_t length;

        if (!at)
                return NULL;
        at += strlen("kgitd:");
        length = strcspn(at, "\" :,");
        if (length >= n)
                length = n - 1;
        memcpy(buffer, at, length);
        buffer[length] = 0;
        return streq(buffer, s->manager + strlen("kgitd:")) ? NULL : buffer;
}

/* --- failures --- */

/* Errors that say nothing about the manifest: the API is away or overloaded, the same commit may
 * pass a moment later. */
static bool is_transport_error(int error, const struct problem *p) {
        return p->code == 0 || p->code >= 500 || p->code == 429 || error == -EAGAIN;
}

void sync_slot_failed(struct batch_slot *slot, const struct manifest_item *item, const char *reason,
                int error, const struct problem *why) {
        struct sync *s = sync_of(slot);
        _cleanup_problem_ struct problem p = {0};

        batch_stop(&s->batch);
        if (!s->batch_failed || slot->at < s->failed_at) {
                bool transport = is_transport_error(error, why);

                problem_set(&p, error, why->code, NULL, "%s", strempty(why->message));
                if (why->field)
                        problem_field(&p, 0, "%s", why->field);
                p.causes = json_incref(why->causes);
                if (transport)
                        problem_prefix(&p, "the API cannot be asked");
                else if (item)
                        manifest_blame(item, &p);
                if (error == -EACCES && *s->ns && json_str(s->object, "spec.serviceAccountName"))
                        problem_prefix(&p, "as the service account \"%s\" of \"%s\"",
                                        json_str(s->object, "spec.serviceAccountName"), s->ns);
                s->batch_failed = true;
                s->failed_at = slot->at;
                s->failed_reason = transport ? "ApiUnavailable" : reason;
                problem_done(&s->failure);
                s->failure = p;
                p = (struct problem){0};
        }
        batch_next(slot);
}

bool sync_batch_ended_badly(struct sync *s) {
        _cleanup_problem_ struct problem p = s->failure;

        if (!s->batch_failed)
                return false;
        s->failure = (struct problem){0};
        s->batch_failed = false;
        sync_fail(s, s->failed_reason, &p);
        return true;
}

/* --- check --- */

static bool commit_makes_namespace(const struct revision *r, const char *ns) {
        _cleanup_free_ char *key = inventory_key("", "Namespace", "", ns);

        for (size_t i = 0; key && i < r->count && r->wanted[i].rank == 0; i++)
                if (streq(r->wanted[i].key, key))
                        return true;
        return false;
}

/* Whether the refusal names something missing that the commit brings before the object itself: a
 * Pod's ServiceAccount, say. */
static bool commit_brings_it(
                const struct revision *r, const struct wanted *w, const struct problem *p) {
        if (!p->message || !strstr(p->message, "not found"))
                return false;
        for (size_t i = 0; i < r->count && r->wanted[i].rank < w->rank; i++) {
                const json_t *o = r->wanted[i].item->object;
                _cleanup_free_ char *quoted = strformat("\"%s\"", object_name(o));

                if (r->wanted[i].apply && quoted && strstr(p->message, quoted))
                        return true;
        }
        return false;
}

static bool crd_changes(const struct revision *r, const json_t *crd) {
        for (size_t i = 0; i < r->count && r->wanted[i].rank <= KIND_RANK_BASE; i++)
                if (r->wanted[i].item->object == crd)
                        return r->wanted[i].apply;
        return false;
}

static void on_checked(int error, const json_t *answer, const struct problem *p, void *userdata);

static void check_slot(struct batch_slot *slot, const char *flags) {
        struct wanted *w = wanted_of(slot);

        if (sync_apply_item(sync_of(slot), w, flags, on_checked, slot) < 0)
                sync_slot_failed(slot, w->item, "BuildFailed", -ENOMEM, out_of_memory());
}

/* Somebody else owns a field: another GitSync is refused, anybody else gives way. */
static void on_conflict(struct batch_slot *slot, const struct problem *p) {
        struct wanted *w = wanted_of(slot);
        char other[256];

        if (sync_other_owner(sync_of(slot), p, other, sizeof(other))) {
                _cleanup_problem_ struct problem conflict = {0};

                problem_set(&conflict, EBUSY, 409, NULL,
                                "it belongs to GitSync \"%s\" too; keep it in one of the two",
                                other);
                sync_slot_failed(slot, w->item, "OwnershipConflict", -EBUSY, &conflict);
                return;
        }
        slot->stage = 1; /* drift or first adoption: the real apply forces as well */
        check_slot(slot, "&dryRun=All&force=true");
}

static void on_checked(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;
        struct sync *s = sync_of(slot);
        struct wanted *w = wanted_of(slot);
        const json_t *o = w->item->object;

        slot->call = NULL;
        if (error < 0 && p->code == 409 && slot->stage == 0) {
                on_conflict(slot, p);
                return;
        }
        if (error < 0 && p->code > 0 && p->code < 500) {
                bool namespace_comes = error == -ENOENT && p->message &&
                                       startswith(p->message, "namespaces \"") &&
                                       commit_makes_namespace(s->revision, object_namespace(o));

                if ((!s->late_done && (namespace_comes || (error == -ENOENT && w->crd))) ||
                                commit_brings_it(s->revision, w, p)) {
                        w->unchecked = !s->late_done;
                        batch_next(slot);
                        return;
                }
        }
        if (error < 0) {
                sync_slot_failed(slot, w->item, "BuildFailed", error, p);
                return;
        }
        w->unchecked = false;
        const json_t *managed = json_at(answer, "metadata.managedFields");
        _cleanup_json_ json_t *extra = sync_removes_additions(s, w, answer)
                                                       ? people_additions(managed, s->manager)
                                                       : NULL;
        w->adopt = extra != NULL;
        json_decref(w->managed);
        free(w->version);
        w->managed = extra ? json_incref((json_t *)managed) : NULL;
        w->version = extra ? strdup(json_str_or(answer, "metadata.resourceVersion", "")) : NULL;
        batch_next(slot);
}

static void start_check(struct batch_slot *slot) {
        struct sync *s = sync_of(slot);
        struct wanted *w = wanted_of(slot);

        if (!s->late_done && w->crd &&
                        (crd_changes(s->revision, w->crd) ||
                                        !discovery_find(s->world->discovery,
                                                        object_api_version(w->item->object),
                                                        object_kind(w->item->object)))) {
                w->unchecked = true;
                batch_next(slot);
                return;
        }
        check_slot(slot, "&dryRun=All");
}

/* Runs jobs for all wanted that pick() wants. */
static void run(struct sync *s, size_t from, size_t to, bool late,
                void (*start)(struct batch_slot *slot), void (*end)(void *userdata)) {
        const struct revision *r = s->revision;

        free(s->todo);
        s->todo = calloc(to - from + 1, sizeof(*s->todo));
        s->todo_count = 0;
        for (size_t i = from; s->todo && i < to; i++)
                if (r->wanted[i].apply && (!late || r->wanted[i].unchecked))
                        s->todo[s->todo_count++] = i;
        s->batch_failed = false;
        batch_run(&s->batch, s->todo_count, start, end, s);
}

static void on_all_checked(void *userdata) {
        struct sync *s = userdata;

        if (!sync_batch_ended_badly(s))
                sync_enter(s, SYNC_RECORDING);
}

void sync_check_begin(struct sync *s) {
        s->late_done = false;
        run(s, 0, s->revision->count, false, start_check, on_all_checked);
}

/* --- record --- */

/* What left Git and was not kept back before; of how many. */
static size_t count_gone(const struct sync *s, size_t *ret_had) {
        size_t gone = 0, kept = 0;

        map_foreach (s->inventory.entries, m)
                kept += ((const struct inventory_entry *)map_entry_value(m))->kept;
        for (size_t i = 0; i < s->gone_count; i++)
                gone += !s->gone[i]->kept;
        *ret_had = inventory_size(&s->inventory) - kept;
        return gone;
}

static int check_brakes(struct sync *s, struct problem *p) {
        const struct revision *r = s->revision;
        size_t had, gone = count_gone(s, &had);
        unsigned limit = decide_limit(json_str(s->object, "spec.pruneLimit"));
        enum brake brake = decide_brake(had, gone, r->count, limit);

        if (brake == BRAKE_NONE || sync_is_confirmed(s, r) ||
                        !json_bool_or(s->object, "spec.prune", true))
                return 0;
        return problem_set(p, EPERM, 0, NULL,
                        "revision %s %s (%zu of %zu objects); nothing was done. If that is meant: "
                        "kctl annotate --overwrite gitsync %s -n %s keelson.dev/prune-confirm=%s%s",
                        r->name,
                        brake == BRAKE_NOTHING_LEFT ? "would remove everything: no object is left"
                                                    : "would remove too much at once",
                        gone, had, s->name, s->ns, r->commit,
                        brake == BRAKE_SHARE ? " (or raise spec.pruneLimit)" : "");
}

static bool is_new_ignored(const struct sync *s, const json_t *word) {
        const json_t *old;
        size_t i;

        json_array_foreach (json_object_get(s->writer.status, "ignored"), i, old)
                if (json_equal(old, word))
                        return false;
        return true;
}

/* A link, a submodule or a document that is no object: what left Git may be meant by it. */
static bool may_stand_for(const json_t *word) {
        const char *text = strempty(json_string_value(word));

        return strstr(text, " (a link") || strstr(text, " (a submodule") ||
               strstr(text, " (no Kubernetes object");
}

/* What left Git in the commit that brings such a thing may be what that stands for. */
static void mark_links(struct sync *s) {
        const struct revision *r = s->revision;
        const json_t *word;
        bool fresh = false;
        size_t i;

        json_array_foreach (r->ignored, i, word)
                if (is_new_ignored(s, word) && may_stand_for(word)) {
                        if (!fresh)
                                api_event(s->world->client, s->object, "Warning", "FileIgnored",
                                                "left out: %s%s", strempty(json_string_value(word)),
                                                json_array_size(r->ignored) > 1 ? " and others"
                                                                                : "");
                        fresh = true;
                }
        for (i = 0; i < s->gone_count; i++) {
                struct inventory_entry *e = s->gone[i];

                if (fresh && !e->kept)
                        e->kept = e->by_link = s->inventory_dirty = true;
                else if (json_array_size(r->ignored) == 0)
                        e->by_link = false;
        }
}

/* Every wanted object has an entry, in full, before it is applied: a crash forgets nothing. */
static int record_wanted(struct sync *s) {
        const struct revision *r = s->revision;
        struct inventory_entry *e;
        bool is_new;

        for (size_t i = 0; i < r->count; i++) {
                const json_t *o = r->wanted[i].item->object;
                int q = inventory_put(&s->inventory, r->wanted[i].resource,
                                r->wanted[i].resource->namespaced ? object_namespace(o) : "",
                                object_name(o), &e, &is_new);
                if (q < 0)
                        return q;
                if (is_new || e->kept)
                        s->inventory_dirty = true;
                e->kept = e->by_link = false;
        }
        return 0;
}

void sync_record_begin(struct sync *s) {
        struct revision *r = s->revision;
        _cleanup_problem_ struct problem p = {0};
        int q;

        free(s->gone);
        s->gone = decide_gone(&s->inventory, r->wanted, r->count, &s->gone_count);
        if (!s->gone)
                s->gone_count = 0;
        q = s->gone ? check_brakes(s, &p) : -ENOMEM;
        if (q == -EPERM) {
                sync_fail(s, "PruneNotConfirmed", &p);
                return;
        }
        if (q == 0) {
                mark_links(s);
                q = record_wanted(s);
        }
        if (q < 0) {
                problem_set(&p, -q, 0, NULL, "cannot record the inventory: %s", strerror(-q));
                sync_fail(s, "ApiUnavailable", &p);
                return;
        }
        sync_condition(s, "Reconciling", "True", "Applying", r->name);
        sync_status_set(s, "lastAttemptedRevision", json_string(r->name));
        sync_status_set(s, "ignored", json_incref(r->ignored));
        if (s->inventory_dirty || decide_apply(r->wanted, r->count, &s->inventory) > 0)
                sync_status_write(s, true);
        else
                sync_recorded(s, 0);
}

void sync_recorded(struct sync *s, int error) {
        if (error < 0) {
                _cleanup_problem_ struct problem why = {0};

                problem_set(&why, -error, 0, NULL, "cannot record the inventory: %s",
                                strerror(-error));
                sync_fail(s, "ApiUnavailable", &why);
                return;
        }
        /* From here on the new revision is what the fleet shall be: drift is corrected towards it.
         */
        if (s->revision == &s->candidate) {
                revision_done(&s->current);
                s->current = s->candidate;
                s->candidate = (struct revision){0};
                s->revision = &s->current;
                map_clear(s->drifted);
        }
        s->have_current = true;
        sync_enter(s, SYNC_APPLYING);
}

/* --- apply --- */

int sync_note_applied(struct sync *s, const struct wanted *w, const json_t *answer) {
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
        map_remove(s->suspects, w->key);
        map_remove(s->drifted, w->key);
        s->inventory_dirty = true;
        return 0;
}

static void on_applied(int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;
        struct sync *s = sync_of(slot);
        struct wanted *w = wanted_of(slot);

        slot->call = NULL;
        if (error == 0)
                error = sync_note_applied(s, w, answer);
        if (error < 0) {
                sync_slot_failed(slot, w->item, "ApplyFailed", error, p);
                return;
        }
        w->apply = w->unchecked = w->adopt = false;
        batch_next(slot);
}

static void apply_slot(struct batch_slot *slot) {
        struct wanted *w = wanted_of(slot);

        if (sync_apply_item(sync_of(slot), w, "&force=true", on_applied, slot) < 0)
                sync_slot_failed(slot, w->item, "ApplyFailed", -ENOMEM, out_of_memory());
}

static void on_taken_over(
                int error, const json_t *answer, const struct problem *p, void *userdata) {
        struct batch_slot *slot = userdata;

        slot->call = NULL;
        if (error < 0) /* it changed meanwhile: the watch brings what it is now */
                log_debug("Cannot take over what people own of %s: %s", wanted_of(slot)->key,
                                strempty(p->message));
        apply_slot(slot);
}

static void start_apply(struct batch_slot *slot) {
        struct sync *s = sync_of(slot);
        struct wanted *w = wanted_of(slot);

        if (!w->adopt || !w->version ||
                        sync_take_over(s, w, w->managed, w->version, on_taken_over, slot) < 0)
                apply_slot(slot);
}

static void on_rank_applied(void *userdata) {
        struct sync *s = userdata;

        if (sync_batch_ended_badly(s))
                return;
        s->at = s->to;
        sync_apply_step(s);
}

static void on_late_checked(void *userdata) {
        struct sync *s = userdata;

        if (sync_batch_ended_badly(s))
                return;
        s->at = 0;
        sync_apply_step(s);
}

void sync_apply_begin(struct sync *s) {
        s->at = 0;
        s->late_done = false;
        s->resolve_tries = 0;
        sync_apply_step(s);
}

/* The next rank that has something to apply. Between the base ranks and the rest stands the late
 * check: sync_await_kinds() comes back here with at beyond everything. */
void sync_apply_step(struct sync *s) {
        const struct revision *r = s->revision;

        if (s->at >= r->count && !s->late_done) { /* the kinds are there now */
                s->late_done = true;
                run(s, 0, r->count, true, start_check, on_late_checked);
                return;
        }
        while (s->at < r->count && !r->wanted[s->at].apply)
                s->at++;
        if (!s->late_done && (s->at >= r->count || r->wanted[s->at].rank > KIND_RANK_BASE)) {
                sync_await_kinds(s);
                return;
        }
        if (s->at >= r->count) {
                sync_enter(s, SYNC_PRUNING);
                return;
        }
        for (s->to = s->at; s->to < r->count && r->wanted[s->to].rank == r->wanted[s->at].rank;)
                s->to++;
        run(s, s->at, s->to, false, start_apply, on_rank_applied);
}
