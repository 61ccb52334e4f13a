/* Life of a sync: when a run starts, what it starts with, when the next one is due. The steps are
 * in sync-fetch.c, sync-apply.c and sync-status.c. */
#include "reconcilers/gitsync/sync.h"

#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/sync-internal.h"

/* Until its objects are pruned a deleted GitSync stays. */
#define FINALIZER "keelson.dev/gitsync"
enum { INTERVAL_DEFAULT_S = 30, INTERVAL_MIN_S = 1 };

static void start_run(struct sync *s);

void revision_done(struct revision *r) {
        manifest_set_done(&r->set);
        free(r->order);
        free(r->commit);
        free(r->name);
        free(r->summary);
        *r = (struct revision){0};
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct sync *s = userdata;

        if (s->state == SYNC_IDLE)
                start_run(s);
        else
                s->again = true;
        return 0;
}

int sync_new(struct sync **ret, struct sync_world *world, const char *ns, const char *name) {
        struct sync *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->world = world;
        s->ns = strdup(ns);
        s->name = strdup(name);
        s->key = strformat("%s/%s", ns, name);
        s->refreshed = map_new(NULL);
        s->fingerprints = map_new(free);
        s->drifted = map_new(NULL);
        r = s->ns && s->name && s->key && s->refreshed && s->fingerprints && s->drifted ? 0
                                                                                        : -ENOMEM;
        if (r == 0)
                r = sd_event_add_time_relative(
                                world->event, &s->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, s);
        if (r < 0) {
                sync_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

struct sync *sync_free(struct sync *s) {
        if (!s)
                return NULL;
        if (s->counted)
                s->world->fetching--;
        child_free(s->child);
        api_call_cancel(s->call);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->health_timer);
        sd_event_source_disable_unref(s->retry_timer);
        revision_done(&s->current);
        revision_done(&s->candidate);
        sync_forget_conditions(s);
        json_decref(s->object);
        json_decref(s->inventory);
        json_decref(s->prune);
        map_free(s->refreshed);
        map_free(s->fingerprints);
        map_free(s->drifted);
        free(s->handled_at);
        free(s->attempted);
        free(s->message);
        free(s->key);
        free(s->name);
        free(s->ns);
        free(s);
        return NULL;
}

bool sync_is_finished(const struct sync *s) {
        return s->finished && s->state == SYNC_IDLE;
}

static void wake_in(struct sync *s, uint64_t delay_us) {
        (void)sd_event_source_set_time_relative(s->timer, delay_us);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* Brings the timer forward, never back. */
static void wake_before(struct sync *s, uint64_t delay_us) {
        uint64_t now = now_mono_us(), due;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(s->timer, &enabled);
        if (enabled == SD_EVENT_OFF || sd_event_source_get_time(s->timer, &due) < 0 ||
                        due > now + delay_us)
                wake_in(s, delay_us);
}

void sync_poke(struct sync *s) {
        if (s->state == SYNC_IDLE)
                wake_before(s, 0);
        else
                s->again = true;
}

static uint64_t interval_us(const json_t *object) {
        uint64_t us;

        if (parse_duration_us(json_str(object, "spec.interval"), &us) < 0)
                us = INTERVAL_DEFAULT_S * 1000000ull;
        us = MAX(us, INTERVAL_MIN_S * 1000000ull);
        return us - us / 20 + random_below(us / 10 + 1); /* many syncs must not poll in step */
}

/* The end of a run: the next one is due after the interval, sooner after failures that a little
 * time may mend. */
static void end_run(struct sync *s) {
        uint64_t delay = interval_us(s->object);

        s->state = SYNC_IDLE;
        if (s->failures > 0)
                delay = MIN(delay, (uint64_t)1000000 << (s->failures < 6 ? s->failures : 6));
        /* Putting drift back again and again must not keep us from asking Git. */
        if (s->only_drifted && s->failures == 0) {
                uint64_t now = now_mono_us();

                delay = s->next_poll_us > now ? MIN(delay, s->next_poll_us - now) : 0;
        }
        s->only_drifted = false;
        s->next_poll_us = now_mono_us() + delay;
        wake_in(s, s->again ? 0 : delay);
        s->again = false;
        sync_health_soon(s);
}

void sync_enter(struct sync *s, enum sync_state state) {
        s->state = state;
        s->call = NULL;
        switch (state) {
        case SYNC_FETCHING:
                sync_fetch_begin(s);
                break;
        case SYNC_RESOLVING:
                s->resolve_tries = 0;
                map_clear(s->refreshed);
                sync_resolve_step(s);
                break;
        case SYNC_CHECKING:
                s->at = 0;
                s->forced = false;
                sync_check_step(s);
                break;
        case SYNC_RECORDING:
                sync_record_begin(s);
                break;
        case SYNC_APPLYING:
                s->at = 0;
                sync_apply_step(s);
                break;
        case SYNC_PRUNING:
                s->at = 0;
                sync_prune_step(s);
                break;
        case SYNC_REPORTING:
                sync_report_begin(s);
                break;
        case SYNC_IDLE:
                end_run(s);
                break;
        }
}

void sync_fail(struct sync *s, const char *reason, struct problem *p) {
        s->ok = false;
        s->failures++;
        s->reason = reason;
        free(s->message);
        s->message = strdup(p->message ? p->message : "out of memory");
        revision_done(&s->candidate); /* the last good one stays */
        log_fields(LOG_WARNING, ((const char *const[]){"KEELSON_GITSYNC", s->key, NULL}),
                        "GitSync %s: %s", s->key, strempty(s->message));
        sync_enter(s, SYNC_REPORTING);
}

const struct api_resource *sync_resource(struct sync *s, const struct manifest_item *item) {
        return discovery_find(s->world->discovery, object_api_version(item->object),
                        object_kind(item->object));
}

/* Another sync that must be Ready first and is not; NULL when there is none. */
static const char *missing_dependency(struct sync *s) {
        const json_t *d;
        size_t i;

        json_array_foreach (json_at(s->object, "spec.dependsOn"), i, d) {
                const char *ns = json_str_or(d, "namespace", s->ns),
                           *name = json_str_or(d, "name", "");
                const json_t *other = informer_get2(s->world->gitsyncs, ns, name);

                if (!other || !object_condition_true(other, "Ready") ||
                                json_int_or(other, "status.observedGeneration", 0) <
                                                object_generation(other))
                        return name;
        }
        return NULL;
}

static void on_finalizer(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct sync *s = userdata;

        s->call = NULL;
        s->state = SYNC_IDLE;
        if (error == 0 && s->deleting)
                s->finished = true;
        else if (error < 0 && error != -ENOENT)
                log_warning("GitSync %s: cannot write its finalizer: %s", s->key,
                                strempty(p->message));
        wake_in(s, error == 0 ? 50000 : 2000000); /* the watch brings the written object */
}

/* Writes the finalizers anew, with or without ours, bound to the resourceVersion that was read. */
static void write_finalizer(struct sync *s, bool add) {
        _cleanup_free_ char *path =
                        api_path(api_resource_find("gitsyncs"), s->ns, s->name, NULL, NULL);
        _cleanup_json_ json_t *list = json_array(), *patch = NULL;
        const json_t *old;
        size_t i;

        json_array_foreach (json_at(s->object, "metadata.finalizers"), i, old)
                if (json_is_string(old) && !streq(json_string_value(old), FINALIZER))
                        json_array_append(list, (json_t *)old);
        if (add)
                json_array_append_new(list, json_string(FINALIZER));
        patch = json_pack("{s:{s:s, s:O}}", "metadata", "resourceVersion",
                        json_str_or(s->object, "metadata.resourceVersion", ""), "finalizers", list);
        s->state = SYNC_REPORTING;
        if (!path || !patch ||
                        api_patch_async(s->world->client, path, API_PATCH_MERGE, patch,
                                        on_finalizer, s, &s->call) < 0)
                on_finalizer(-ENOMEM, NULL, &(struct problem){.message = (char *)"out of memory"},
                                s);
}

void sync_finish_deletion(struct sync *s) {
        write_finalizer(s, false);
}

/* The GitSync is going: remove what it applied, then let it go. */
static void start_deletion(struct sync *s) {
        s->deleting = true;
        if (!object_has_finalizer(s->object, FINALIZER)) {
                s->finished = true;
                return;
        }
        json_decref(s->prune);
        s->prune = json_bool_or(s->object, "spec.prune", true)
                                   ? plan_prune(json_at(s->object, "status.inventory"), NULL)
                                   : json_array();
        s->ok = true;
        sync_enter(s, SYNC_PRUNING);
}

static bool reverts_drift(const struct sync *s) {
        return streq(json_str_or(s->object, "spec.drift", "revert"), "revert");
}

static bool is_due(struct sync *s) {
        const char *asked = object_annotation(s->object, "keelson.dev/reconcileAt");

        if (!s->have_current || s->failures > 0 ||
                        s->applied_generation != object_generation(s->object) ||
                        (asked && !streq_ptr(asked, s->handled_at)))
                return true;
        /* A poke long before the interval is over (our own status write, for instance) is no reason
         * to fetch. */
        return now_mono_us() >= s->next_poll_us;
}

static void start_run(struct sync *s) {
        const json_t *object = informer_get2(s->world->gitsyncs, s->ns, s->name);
        const char *dependency;

        s->again = false;
        if (!object) {
                s->finished = true;
                return;
        }
        s->finished = false;
        json_decref(s->object);
        s->object = json_incref((json_t *)object);
        if (object_is_deleting(object)) {
                start_deletion(s);
                return;
        }
        s->deleting = false;
        if (!object_has_finalizer(object, FINALIZER)) {
                write_finalizer(s, true);
                return;
        }
        s->ok = true;
        dependency = missing_dependency(s);
        if (json_bool_or(object, "spec.suspend", false)) {
                _cleanup_problem_ struct problem p = {0};

                problem_set(&p, EAGAIN, 0, NULL,
                                "suspended by spec.suspend; `kctl sync resume %s` ends it",
                                s->name);
                sync_fail(s, "Suspended", &p);
                s->failures = 0;
        } else if (dependency) {
                _cleanup_problem_ struct problem p = {0};

                problem_set(&p, EAGAIN, 0, NULL, "waits for GitSync \"%s\", which is not Ready",
                                dependency);
                sync_fail(s, "DependencyNotReady", &p);
        } else if (map_size(s->drifted) > 0 && s->have_current && s->failures == 0 &&
                        reverts_drift(s)) {
                /* After a failure Git is asked first: its newest commit may be the cure. */
                s->only_drifted = true;
                sync_enter(s, SYNC_APPLYING);
        } else if (is_due(s))
                sync_enter(s, SYNC_FETCHING);
        else
                wake_in(s, s->next_poll_us - MIN(s->next_poll_us, now_mono_us()));
}

void sync_object_changed(struct sync *s, const struct api_resource *resource, const json_t *object,
                bool gone) {
        _cleanup_json_ json_t *entry = plan_entry(resource->group, resource->version,
                        resource->kind, resource->plural, object_namespace(object),
                        object_name(object));
        _cleanup_free_ char *key = entry ? plan_entry_key(entry) : NULL;
        const char *drift = json_str_or(s->object, "spec.drift", "revert"),
                   *known = key ? map_get(s->fingerprints, key) : NULL;
        char now_is[65];

        sync_health_soon(s);
        if (!known || s->deleting || streq(drift, "off") ||
                        json_bool_or(s->object, "spec.suspend", false))
                return;
        plan_fingerprint(object, now_is);
        if (!gone && streq(now_is, known))
                return;
        bool known_drift = map_get(s->drifted, key);
        if (map_set(s->drifted, key, (void *)1) < 0)
                return;
        if (!reverts_drift(s)) { /* told once, left as it is */
                if (!known_drift)
                        api_event(s->world->client, s->object, "Warning", "DriftDetected",
                                        "%s \"%s\" is not as Git says", resource->kind,
                                        object_name(object));
                return;
        }
        /* A fight with somebody who writes the same field is slowed down, not won by heat. */
        uint64_t now = now_mono_us();
        if (now - s->drift_round_us > 60000000)
                s->drift_rounds = 0;
        s->drift_round_us = now;
        uint64_t delay = (uint64_t)100000 << MIN(s->drift_rounds++, 9u);
        if (s->state == SYNC_IDLE)
                wake_before(s, delay);
        else
                s->again = true;
}
