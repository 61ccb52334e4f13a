/* The end of a run: conditions, revisions, inventory and events; and the health of what was
 * applied, judged again after changes.
 *
 * This file is the only writer of the status. It keeps its own copy of all that the status says
 * (taken over once from the object) and writes the whole of it by server-side apply, one write at a
 * time: a watch that is late can't undo anything. The write names the object's uid, so that an
 * object that was created again under the same name never gets it (a resourceVersion, which other
 * controllers name, would fail at each change of the spec). The inventory goes into separate
 * objects where it is large; those are written first, then the status that names them, then the
 * ones it named before go. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/gitsync-internal.h"

enum { HEALTH_DEBOUNCE_US = 300000, MESSAGE_MAX = 2000 };

/* --- its contents --- */

void gitsync_status_load(struct gitsync *s) {
        struct status_writer *w = &s->writer;
        const json_t *old = json_object_get(s->object, "status"), *names;

        if (w->status && s->inventory_uid)
                return;
        assert(!w->writing);
        json_decref(w->status);
        w->status = json_is_object(old) ? json_deep_copy(old) : json_object();
        names = json_object_get(w->status, "inventoryIn");
        json_decref(w->names);
        w->names = json_is_array(names) ? json_deep_copy(names) : json_array();
        json_object_del(w->status, "inventory");
        json_object_del(w->status, "inventoryIn");
        if (!json_is_array(json_object_get(w->status, "conditions")))
                (void)json_object_set_new(w->status, "conditions", json_array());
        w->chunked = false;
        free(w->hashes);
        w->hashes = NULL;
        w->numbers = mfree(w->numbers); /* divides again: the names are another object's */
        w->chunks = 0;
}

void gitsync_status_done(struct gitsync *s) {
        struct status_writer *w = &s->writer;

        executor_free(w->executor);
        api_call_cancel(w->call);
        json_decref(w->status);
        json_decref(w->names);
        json_decref(w->old_names);
        free(w->hashes);
        free(w->numbers);
        *w = (struct status_writer){0};
}

void gitsync_status_set(struct gitsync *s, const char *field, json_t *value) {
        if (json_equal(json_object_get(s->writer.status, field), value)) {
                json_decref(value);
                return;
        }
        if (json_object_set_new(s->writer.status, field, value) < 0)
                log_oom();
        s->writer.dirty = true;
}

static const json_t *find_condition(const struct gitsync *s, const char *type) {
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(s->writer.status, "conditions"), i, c)
                if (streq(json_str_or(c, "type", ""), type))
                        return c;
        return NULL;
}

void gitsync_condition(struct gitsync *s, const char *type, const char *status, const char *reason,
                const char *message) {
        const json_t *old = find_condition(s, type);
        char now[TIMEFMT_SIZE];

        if (old && streq(json_str_or(old, "status", ""), status) &&
                        streq(json_str_or(old, "reason", ""), reason) &&
                        streq(json_str_or(old, "message", ""), strempty(message)) &&
                        json_int_or(old, "observedGeneration", 0) == object_generation(s->object))
                return;
        if (plan_condition(json_object_get(s->writer.status, "conditions"), type, status, reason,
                            message, time_format(now_wall_us(), now),
                            object_generation(s->object)) < 0)
                log_oom();
        s->writer.dirty = true;
}

/* --- writing it --- */

static void write_begin(struct gitsync *s);

static void write_end(struct gitsync *s, int error) {
        struct status_writer *w = &s->writer;

        w->writing = false;
        if (error < 0)
                w->dirty = true;
        if (error == 0 && w->again) {
                w->again = false;
                write_begin(s);
                return;
        }
        w->again = false;
        if (s->start_waits) {
                s->start_waits = false;
                gitsync_poke(s);
        }
        if (!w->waited)
                return;
        w->waited = false;
        if (s->state == GITSYNC_RECORDING)
                gitsync_recorded(s, error);
        else if (s->state == GITSYNC_REPORTING) {
                if (error < 0 && error != -ENOENT)
                        s->failures++;
                gitsync_next(s);
        }
}

/* The chunks that the status names no longer. */
static void remove_old_chunks(struct gitsync *s) {
        struct status_writer *w = &s->writer;
        const json_t *name, *kept;
        size_t i, k;

        json_array_foreach (w->old_names, i, name) {
                bool stays = false;

                json_array_foreach (w->names, k, kept)
                        stays |= json_equal(name, kept);
                _cleanup_free_ char *path =
                                stays ? NULL
                                      : api_path(api_resource(KIND_GITSYNCINVENTORIES), s->ns,
                                                        strempty(json_string_value(name)), NULL,
                                                        NULL);
                if (path) /* one that stays behind goes with the GitSync, which owns it */
                        (void)api_delete_async(s->world->client, path, NULL, NULL, NULL, NULL);
        }
        json_decref(w->old_names);
        w->old_names = NULL;
}

static void on_written(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct gitsync *s = userdata;

        s->writer.call = NULL;
        if (error == 0)
                remove_old_chunks(s);
        else if (error != -ENOENT)
                gitsync_log(s, LOG_WARNING, NULL, "GitSync %s: cannot write its status: %s",
                                s->key, strempty(p->message));
        write_end(s, error);
}

static json_t *status_document(struct gitsync *s) {
        struct status_writer *w = &s->writer;
        _cleanup_json_ json_t *status = json_copy(w->status), *items = NULL;

        if (s->inventory_uid) {
                items = w->chunked ? json_array() : inventory_items(&s->inventory);
                (void)json_object_set_new(status, "objects",
                                json_integer((json_int_t)inventory_size(&s->inventory)));
        } else { /* it could not be read yet: it stays as it is */
                const json_t *old = json_at(s->object, "status.inventory");

                items = json_is_array(old) ? json_incref((json_t *)old) : json_array();
        }
        if (!status || !items || json_object_set(status, "inventory", items) < 0 ||
                        json_object_set(status, "inventoryIn", w->names) < 0)
                return NULL;
        return json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:O}", "apiVersion", "keelson.dev/v1",
                        "kind", "GitSync", "metadata", "name", s->name, "namespace", s->ns, "uid",
                        object_uid(s->object), "status", status);
}

static void write_status(struct gitsync *s) {
        _cleanup_json_ json_t *o = status_document(s);
        _cleanup_free_ char *path = api_path(api_resource(KIND_GITSYNCS), s->ns, s->name, "status",
                        "fieldManager=kgitd&force=true");

        if (!path || !o ||
                        api_patch_async(s->world->client, path, API_PATCH_APPLY, o, on_written, s,
                                        &s->writer.call) < 0)
                on_written(-ENOMEM, NULL, out_of_memory(), s);
}

/* --- the inventory in separate objects --- */

static json_t *chunk_document(struct gitsync *s, unsigned n, json_t *sets) {
        return json_pack("{s:s, s:s, s:{s:O, s:s, s:[{s:s, s:s, s:s, s:s}]}, s:O}", "apiVersion",
                        "keelson.dev/v1", "kind", "GitSyncInventory", "metadata", "name",
                        json_array_get(s->writer.names, n), "namespace", s->ns, "ownerReferences",
                        "apiVersion", "keelson.dev/v1", "kind", "GitSync", "name", s->name, "uid",
                        object_uid(s->object), "sets", sets);
}

static void hash_sets(const json_t *sets, char ret[static 65]) {
        _cleanup_free_ char *text = json_dumps(sets, JSON_COMPACT);

        sha256_hex(strempty(text), text ? strlen(text) : 0, ret);
}

static void on_chunk(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct running_action *a = userdata;

        a->handle = NULL;
        action_ended(a, error, object, p);
}

static int start_chunk(struct running_action *a) {
        struct gitsync *s = a->context;
        struct status_writer *w = &s->writer;
        unsigned n = *(const unsigned *)a->action->subject;
        _cleanup_json_ json_t *sets = inventory_sets(&s->inventory, n, w->chunks),
                              *o = sets ? chunk_document(s, n, sets) : NULL;
        _cleanup_free_ char *path = api_path(a->action->resource, s->ns, a->action->name,
                        /* subresource= */ NULL, "fieldManager=kgitd&force=true");
        struct api_call *call = NULL;
        int r;

        if (!path || !o)
                return -ENOMEM;
        hash_sets(sets, w->hashes[n]);
        r = api_patch_async(s->world->client, path, API_PATCH_APPLY, o, on_chunk, a, &call);
        a->handle = call;
        return r;
}

static const struct action_type write_chunk = {
                .name = "write", .start = start_chunk, .cancel = gitsync_cancel_call};

/* The next attempt writes it again. */
static void on_chunk_ended(const struct action *x, int error, const json_t *object,
                const struct problem *p, void *userdata) {
        struct gitsync *s = userdata;

        if (error < 0)
                s->writer.hashes[*(const unsigned *)x->subject][0] = 0;
}

static void on_chunks(int error, const struct problem *p, void *userdata) {
        struct gitsync *s = userdata;

        if (error < 0) {
                gitsync_log(s, LOG_WARNING, NULL, "GitSync %s: cannot write its inventory: %s",
                                s->key, strempty(p->message));
                s->inventory_dirty = true;
                write_end(s, error);
        } else
                write_status(s);
}

int gitsync_status_init(struct gitsync *s) {
        const struct executor_options options = {.context = s,
                        .parallel_first = EXECUTOR_PARALLEL_MAX,
                        .on_action = on_chunk_ended,
                        .done = on_chunks,
                        .userdata = s};

        return executor_new(&s->writer.executor, &options);
}

/* Another number of chunks is another set of objects: the old ones stay unchanged until the status
 * names the new ones. */
static int divide(struct gitsync *s, unsigned chunks) {
        struct status_writer *w = &s->writer;
        _cleanup_json_ json_t *names = json_array();

        for (unsigned i = 0; names && i < chunks; i++) {
                _cleanup_free_ char *name = strformat("%s-%u-%u", object_uid(s->object), chunks, i);
                if (!name || json_array_append_new(names, json_string(name)) < 0)
                        return -ENOMEM;
        }
        if (!json_equal(names, w->names)) /* they have to be written first */
                s->inventory_dirty = true;
        char(*hashes)[65] = calloc(chunks + 1, sizeof(*hashes));
        unsigned *numbers = calloc(chunks + 1, sizeof(*numbers));
        if (!names || !hashes || !numbers) {
                free(hashes);
                free(numbers);
                return -ENOMEM;
        }
        free(w->hashes);
        free(w->numbers);
        w->hashes = hashes;
        w->numbers = numbers;
        w->chunks = chunks;
        w->chunked = chunks > 0;
        if (!w->old_names)
                w->old_names = w->names;
        else
                json_decref(w->names);
        w->names = TAKE_PTR(names);
        return 0;
}

static void add_chunk(struct status_writer *w, unsigned n, struct actions *list) {
        const char *name = strempty(json_string_value(json_array_get(w->names, n)));

        w->numbers[n] = n;
        actions_add(list, &write_chunk, api_resource(KIND_GITSYNCINVENTORIES), /* ns= */ NULL, name,
                        /* body= */ NULL)
                        ->subject = &w->numbers[n];
}

static void write_begin(struct gitsync *s) {
        struct status_writer *w = &s->writer;
        unsigned chunks = inventory_chunks(inventory_size(&s->inventory));
        struct actions list = {0};
        bool dirty;

        w->writing = true;
        if (s->inventory_uid && (!w->numbers || chunks != w->chunks) && divide(s, chunks) < 0) {
                write_end(s, -ENOMEM);
                return;
        }
        dirty = s->inventory_dirty;
        w->dirty = s->inventory_dirty = false;
        for (unsigned i = 0; dirty && i < w->chunks; i++) {
                _cleanup_json_ json_t *sets = inventory_sets(&s->inventory, i, w->chunks);
                char hash[65];

                hash_sets(sets, hash);
                if (!sets || !streq(hash, w->hashes[i]))
                        add_chunk(w, i, &list);
        }
        executor_run(w->executor, &list);
}

void gitsync_status_write(struct gitsync *s, bool wait) {
        struct status_writer *w = &s->writer;

        if (!w->dirty && !s->inventory_dirty && !w->writing) {
                if (wait) {
                        w->waited = true;
                        write_end(s, 0);
                }
                return;
        }
        w->waited |= wait;
        if (w->writing)
                w->again = true;
        else
                write_begin(s);
}

/* --- the report --- */

static void set_conditions(struct gitsync *s) {
        bool suspended = streq(s->reason, "Suspended"),
             stalled = !s->ok && !streq(s->reason, "ApiUnavailable") && !suspended;

        gitsync_condition(s, "Ready", s->ok ? "True" : "False", s->reason, s->message);
        gitsync_condition(s, "Stalled", stalled ? "True" : "False", s->reason, "");
        gitsync_condition(s, "Reconciling", "False", s->reason, "");
}

static void make_status(struct gitsync *s) {
        const char *asked = object_annotation(s->object, "keelson.dev/reconcileAt");
        char now[TIMEFMT_SIZE];

        set_conditions(s);
        gitsync_status_set(s, "observedGeneration",
                        json_integer((json_int_t)object_generation(s->object)));
        gitsync_status_set(s, "message", json_string(s->message));
        if (asked)
                gitsync_status_set(s, "lastHandledReconcileAt", json_string(asked));
        if (!s->ok && s->attempted)
                gitsync_status_set(s, "lastAttemptedRevision", json_string(s->attempted));
        if (s->ok && !s->deleting) {
                gitsync_status_set(s, "lastSyncTime", json_string(time_format(now_wall_us(), now)));
                gitsync_status_set(s, "lastAppliedRevision", json_string(s->current.name));
                gitsync_status_set(s, "lastAttemptedRevision", json_string(s->current.name));
        }
}

/* Reports the first resource that the identity of the GitSync may not watch, once. */
static void report_unwatched(struct gitsync *s) {
        const struct wanted *before = NULL;

        for (size_t i = 0; i < s->current.count && *s->identity->user; i++) {
                const struct wanted *w = &s->current.wanted[i];
                const char *ns = w->resource->namespaced ? object_namespace(w->item->object) : "",
                           *denied;

                if (before && before->resource == w->resource &&
                                streq(ns, object_namespace(before->item->object)))
                        continue;
                before = w;
                denied = drift_denied(s->world->drift, s->identity, w->resource, ns);
                if (!denied)
                        continue;
                _cleanup_free_ char *text = strformat(
                                "drift and health of %s cannot be watched: %s; allow the service "
                                "account to list and watch them",
                                w->resource->plural, denied);
                const json_t *old = find_condition(s, "Watching");
                if (text && !streq(json_str_or(old, "message", ""), text))
                        api_event(s->world->client, s->object, "Warning", "WatchForbidden", "%s",
                                        text);
                gitsync_condition(s, "Watching", "False", "Forbidden", strempty(text));
                return;
        }
        if (find_condition(s, "Watching"))
                gitsync_condition(s, "Watching", "True", "Watching", "");
}

static void succeed(struct gitsync *s) {
        const char *before = json_str(s->writer.status, "lastAppliedRevision");

        s->failures = 0;
        s->reason = "Applied";
        free(s->message);
        s->message = strformat("applied %zu objects of %s (%s)", s->current.count, s->current.name,
                        s->current.summary);
        s->applied_generation = object_generation(s->object);
        figures_good(&s->figures);
        gitsync_watch_all(s);
        report_unwatched(s);
        if (!gitsync_drift_is(s, "detect")) { /* drift that was only reported is corrected now */
                map_foreach (s->drifted, m)
                        (void)map_set(s->suspects, map_entry_key(m), SUSPECT_NEW);
                map_clear(s->drifted);
        }
        if (!streq_ptr(before, s->current.name)) {
                gitsync_log(s, LOG_NOTICE, NULL, "GitSync %s: %s", s->key, strempty(s->message));
                api_event(s->world->client, s->object, "Normal", "Applied", "%s",
                                strempty(s->message));
        }
}

/* Whether the status has the same message already: a failure is not reported at every poll. */
static bool is_known(const struct gitsync *s, const char *asked) {
        const json_t *ready = find_condition(s, "Ready");

        return ready && streq(json_str_or(ready, "message", ""), strempty(s->message)) &&
               streq(json_str_or(ready, "status", ""), s->ok ? "True" : "False") &&
               json_int_or(s->writer.status, "observedGeneration", 0) ==
                               object_generation(s->object) &&
               (!asked || streq_ptr(json_str(s->writer.status, "lastHandledReconcileAt"), asked));
}

void gitsync_report_begin(struct gitsync *s) {
        const char *asked = object_annotation(s->object, "keelson.dev/reconcileAt");

        if (s->deleting) { /* pruned, or not: either way the next run looks again */
                s->failures = 0;
                if (s->ok) {
                        gitsync_finish_deletion(s);
                        return;
                }
        } else if (s->ok)
                succeed(s);
        if (s->message && strlen(s->message) > MESSAGE_MAX)
                s->message[MESSAGE_MAX] = 0;
        free(s->handled_at);
        s->handled_at = asked ? strdup(asked) : NULL;
        if (!s->ok && !is_known(s, asked) && !streq(s->reason, "Suspended"))
                api_event(s->world->client, s->object, "Warning", s->reason, "%s",
                                strempty(s->message));
        make_status(s);
        gitsync_status_write(s, true);
}

/* --- health --- */

/* The message is of the first object that is not ready; failed ones come before those in progress.
 */
static enum health judge(struct gitsync *s, char **ret_why) {
        enum health worst = HEALTH_READY;

        *ret_why = NULL;
        for (size_t i = 0; i < s->current.count; i++) {
                const struct wanted *w = &s->current.wanted[i];
                const json_t *o = w->item->object, *live = gitsync_live(s, w);
                const struct inventory_entry *e = inventory_get(&s->inventory, w->key);
                _cleanup_free_ char *why = NULL;
                _cleanup_json_ json_t *typed = NULL;
                enum health h;

                if (!live && e && e->finished) /* finished, and removed for that */
                        continue;
                if (!live)
                        why = strdup("not seen yet");
                else if (isempty(object_kind(live))) { /* items of a list come without */
                        typed = json_copy((json_t *)live);
                        json_object_set_new(typed, "kind", json_string(object_kind(o)));
                        json_object_set_new(
                                        typed, "apiVersion", json_string(object_api_version(o)));
                }
                h = live ? plan_health(typed ? typed : live, &why) : HEALTH_PROGRESSING;
                if (h > worst) {
                        worst = h;
                        free(*ret_why);
                        *ret_why = strformat("%s \"%s\": %s", object_kind(o), object_name(o),
                                        strempty(why));
                }
        }
        return worst;
}

static int on_health(sd_event_source *source, uint64_t usec, void *userdata) {
        static const struct {
                const char *status, *reason;
        } words[] = {[HEALTH_READY] = {"True", "Healthy"},
                        [HEALTH_PROGRESSING] = {"Unknown", "Progressing"},
                        [HEALTH_FAILED] = {"False", "Failed"}};
        _cleanup_free_ char *why = NULL;
        struct gitsync *s = userdata;

        s->health_timer = sd_event_source_disable_unref(s->health_timer);
        if (!s->have_current || s->deleting || s->state != GITSYNC_IDLE)
                return 0; /* the end of the run judges again */
        enum health h = judge(s, &why);
        gitsync_condition(s, "Healthy", words[h].status, words[h].reason, strempty(why));
        if (*s->identity->user)
                report_unwatched(s);
        gitsync_status_write(s, false);
        return 0;
}

void gitsync_health_soon(struct gitsync *s) {
        if (!s->health_timer)
                (void)sd_event_add_time_relative(s->world->event, &s->health_timer, CLOCK_MONOTONIC,
                                HEALTH_DEBOUNCE_US, 50000, on_health, s);
}
