/* The end of a run: conditions, revisions, inventory and events; and the health of what was
 * applied, judged anew after changes. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/sync-internal.h"

enum { HEALTH_DEBOUNCE_US = 300000, MESSAGE_MAX = 2000 };

json_t *sync_conditions(const struct sync *s) {
        const json_t *live = informer_get2(s->world->gitsyncs, s->ns, s->name),
                     *object = live ? live : s->object, *old = json_at(object, "status.conditions");

        /* An object from before our last write would undo it: "Ready" of a run that failed. */
        if (s->written && streq_ptr(s->written_uid, object_uid(object)))
                old = s->written;
        return json_is_array(old) ? json_deep_copy(old) : json_array();
}

void sync_forget_conditions(struct sync *s) {
        json_decref(s->written);
        s->written = NULL;
        s->written_uid = mfree(s->written_uid);
}

static void remember_conditions(struct sync *s, const json_t *status) {
        const json_t *conditions = json_object_get(status, "conditions");

        if (!conditions)
                return;
        sync_forget_conditions(s);
        s->written = json_deep_copy(conditions);
        s->written_uid = strdup(strempty(object_uid(s->object)));
        if (!s->written || !s->written_uid)
                sync_forget_conditions(s);
}

int sync_write_status(struct sync *s, json_t *status, api_done_func done, struct api_call **ret) {
        _cleanup_json_ json_t *patch = json_pack("{s:o}", "status", status);
        _cleanup_free_ char *path = api_path(api_resource_find("gitsyncs"), s->ns, s->name,
                        "status", "fieldManager=kgitd");

        if (!patch || !path)
                return -ENOMEM;
        remember_conditions(s, json_object_get(patch, "status"));
        return api_patch_async(s->world->client, path, API_PATCH_MERGE, patch, done, s, ret);
}

static void on_reported(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct sync *s = userdata;

        s->call = NULL;
        if (error < 0)
                sync_forget_conditions(s);
        if (error < 0 && error != -ENOENT) {
                s->failures++;
                log_warning("GitSync %s: cannot write its status: %s", s->key,
                                strempty(p->message));
        }
        sync_enter(s, SYNC_IDLE);
}

static json_t *make_status(struct sync *s, const char *now) {
        const char *asked = object_annotation(s->object, "keelson.dev/reconcileAt");
        bool suspended = streq(s->reason, "Suspended"),
             stalled = !s->ok && !streq(s->reason, "ApiUnavailable") && !suspended;
        int64_t generation = object_generation(s->object);
        _cleanup_json_ json_t *conditions = sync_conditions(s);
        _cleanup_json_ json_t *status = NULL;

        if (!conditions ||
                        plan_condition(conditions, "Ready", s->ok ? "True" : "False", s->reason,
                                        s->message, now, generation) < 0 ||
                        plan_condition(conditions, "Stalled", stalled ? "True" : "False", s->reason,
                                        "", now, generation) < 0 ||
                        plan_condition(conditions, "Reconciling", "False", s->reason, "", now,
                                        generation) < 0)
                return NULL;
        status = json_pack("{s:I, s:O, s:s}", "observedGeneration", (json_int_t)generation,
                        "conditions", conditions, "message", s->message);
        if (!status || (asked && json_object_set_new(status, "lastHandledReconcileAt",
                                                 json_string(asked)) < 0))
                return NULL;
        if (!s->ok && s->attempted &&
                        json_object_set_new(status, "lastAttemptedRevision",
                                        json_string(s->attempted)) < 0)
                return NULL;
        if (s->ok && (json_object_set_new(status, "lastSyncTime", json_string(now)) < 0 ||
                                     json_object_set_new(status, "lastAppliedRevision",
                                                     json_string(s->current.name)) < 0 ||
                                     json_object_set_new(status, "lastAttemptedRevision",
                                                     json_string(s->current.name)) < 0 ||
                                     (s->inventory && json_object_set(status, "inventory",
                                                                      s->inventory) < 0)))
                return NULL;
        return TAKE_PTR(status);
}

static void succeed(struct sync *s) {
        const char *before = json_str(s->object, "status.lastAppliedRevision");

        s->failures = 0;
        s->reason = "Applied";
        free(s->message);
        s->message = strformat("applied %zu objects of %s (%s)", s->current.set.count,
                        s->current.name, s->current.summary);
        s->applied_generation = object_generation(s->object);
        if (!streq_ptr(before, s->current.name)) {
                log_fields(LOG_NOTICE,
                                ((const char *const[]){"KEELSON_GITSYNC", s->key,
                                                "KEELSON_REVISION", s->current.commit, NULL}),
                                "GitSync %s: %s", s->key, strempty(s->message));
                api_event(s->world->client, s->object, "Normal", "Applied", "%s",
                                strempty(s->message));
        }
}

void sync_report_begin(struct sync *s) {
        char now[TIMEFMT_SIZE];
        const char *asked = object_annotation(s->object, "keelson.dev/reconcileAt");
        json_t *status;

        if (s->deleting) { /* pruned, or not: either way the next run looks again */
                s->failures = 0;
                if (s->ok && s->at >= json_array_size(s->prune)) {
                        sync_finish_deletion(s);
                        return;
                }
        } else if (s->ok)
                succeed(s);
        if (s->message && strlen(s->message) > MESSAGE_MAX)
                s->message[MESSAGE_MAX] = 0;
        free(s->handled_at);
        s->handled_at = asked ? strdup(asked) : NULL;
        /* A failure that was told already is not told at every poll. */
        const json_t *ready = object_condition(s->object, "Ready");
        bool told = ready && streq(json_str_or(ready, "message", ""), strempty(s->message)) &&
                    streq(json_str_or(ready, "status", ""), s->ok ? "True" : "False") &&
                    json_int_or(s->object, "status.observedGeneration", 0) ==
                                    object_generation(s->object) &&
                    streq_ptr(json_str(s->object, "status.lastHandledReconcileAt"), asked);
        if (!s->ok && !told && !streq(s->reason, "Suspended"))
                api_event(s->world->client, s->object, "Warning", s->reason, "%s",
                                strempty(s->message));
        if (!s->ok && told) {
                sync_enter(s, SYNC_IDLE);
                return;
        }
        status = make_status(s, time_format(now_wall_us(), now));
        if (!status || sync_write_status(s, status, on_reported, &s->call) < 0)
                on_reported(-ENOMEM, NULL, &(struct problem){.message = (char *)"out of memory"},
                                s);
}

/* The first object that is not ready decides the words; a failed one wins over one in progress. */
static enum health judge(struct sync *s, char **ret_why) {
        enum health worst = HEALTH_READY;

        *ret_why = NULL;
        for (size_t i = 0; i < s->current.set.count; i++) {
                const json_t *o = s->current.set.items[s->current.order[i]].object;
                const struct api_resource *r =
                                sync_resource(s, &s->current.set.items[s->current.order[i]]);
                const json_t *live = r ? drift_get(s->world->drift, r->group, r->plural,
                                                         object_namespace(o), object_name(o))
                                       : NULL;
                _cleanup_free_ char *why = NULL;
                _cleanup_json_ json_t *typed = NULL;
                enum health h;

                if (!live)
                        why = strdup("not seen yet");
                else {
                        typed = json_copy((json_t *)live); /* items of a list come without their
                                                              kind */
                        json_object_set_new(typed, "kind", json_string(object_kind(o)));
                }
                h = live ? plan_health(typed, &why) : HEALTH_PROGRESSING;
                if (h > worst) {
                        worst = h;
                        free(*ret_why);
                        *ret_why = strformat("%s \"%s\": %s", object_kind(o), object_name(o),
                                        strempty(why));
                }
        }
        return worst;
}

static void on_health_written(
                int error, const json_t *object, const struct problem *p, void *userdata) {
}

static int on_health(sd_event_source *source, uint64_t usec, void *userdata) {
        static const struct {
                const char *status, *reason;
        } words[] = {[HEALTH_READY] = {"True", "Healthy"},
                        [HEALTH_PROGRESSING] = {"Unknown", "Progressing"},
                        [HEALTH_FAILED] = {"False", "Failed"}};
        const json_t *live, *old;
        _cleanup_json_ json_t *conditions = NULL;
        _cleanup_free_ char *why = NULL;
        struct sync *s = userdata;
        char now[TIMEFMT_SIZE];

        s->health_timer = sd_event_source_disable_unref(s->health_timer);
        live = informer_get2(s->world->gitsyncs, s->ns, s->name);
        if (!s->have_current || !live || object_is_deleting(live) || s->state != SYNC_IDLE)
                return 0; /* the end of the run asks again */
        enum health h = judge(s, &why);
        old = object_condition(live, "Healthy");
        if (old && streq(json_str_or(old, "status", ""), words[h].status) &&
                        streq(json_str_or(old, "message", ""), strempty(why)))
                return 0;
        conditions = sync_conditions(s);
        if (!conditions || plan_condition(conditions, "Healthy", words[h].status, words[h].reason,
                                           strempty(why), time_format(now_wall_us(), now),
                                           object_generation(live)) < 0)
                return 0;
        /* A lost race only leaves an older sentence, and the next change writes a newer one. */
        (void)sync_write_status(
                        s, json_pack("{s:O}", "conditions", conditions), on_health_written, NULL);
        return 0;
}

void sync_health_soon(struct sync *s) {
        if (!s->health_timer)
                (void)sd_event_add_time_relative(s->world->event, &s->health_timer, CLOCK_MONOTONIC,
                                HEALTH_DEBOUNCE_US, 50000, on_health, s);
}
