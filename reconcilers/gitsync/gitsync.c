/* Life of a GitSync: when a run starts, which steps it has, when the next one is due. The steps are
 * in step-*.c. */
#include "reconcilers/gitsync/gitsync.h"

#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/aside.h"
#include "reconcilers/gitsync/identity.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/gitsync-internal.h"

/* A deleted GitSync stays until its objects are pruned. */
#define FINALIZER "keelson.dev/gitsync"
enum { INTERVAL_DEFAULT_S = 30, INTERVAL_MIN_S = 1, MANAGER_SIZE_MAX = 128 };

enum { SUSPECT_DELAY_US = 100000, DRIFT_QUIET_US = 60000000, RETRY_US = 2000000 };

static void start_run(struct gitsync *s);
static void decide_start(struct gitsync *s);
static void on_carried_out(int error, const struct problem *p, void *userdata);

void revision_done(struct revision *r) {
        for (size_t i = 0; r->wanted && i < r->count; i++) {
                free(r->wanted[i].key);
                free(r->wanted[i].version);
                json_decref(r->wanted[i].managed);
        }
        free(r->wanted);
        map_free(r->resources);
        manifest_set_done(&r->set);
        json_decref(r->ignored);
        free(r->commit);
        free(r->name);
        free(r->summary);
        *r = (struct revision){0};
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct gitsync *s = userdata;

        if (s->state == GITSYNC_IDLE)
                start_run(s);
        else
                s->again = true;
        return 0;
}

static int init_names(struct gitsync *s, const char *ns, const char *name) {
        s->ns = strdup(ns);
        s->name = strdup(name);
        s->key = strformat("%s/%s", ns, name);
        s->manager = strformat("kgitd:%s/%s", ns, name);
        if (!s->ns || !s->name || !s->key || !s->manager)
                return -ENOMEM;
        if (strlen(s->manager) > MANAGER_SIZE_MAX)
                s->manager[MANAGER_SIZE_MAX] = 0;
        return 0;
}

int gitsync_new(struct gitsync **ret, struct gitsync_world *world, const char *ns,
                const char *name) {
        _cleanup_(gitsync_freep) struct gitsync *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->world = world;
        r = init_names(s, ns, name);
        if (r < 0)
                return r;
        r = figures_init(&s->figures, &world->figures, ns, name);
        if (r < 0)
                return r;
        s->refreshed = map_new(NULL);
        s->suspects = map_new(NULL);
        s->drifted = map_new(NULL);
        if (!s->refreshed || !s->suspects || !s->drifted)
                return -ENOMEM;
        r = inventory_init(&s->inventory);
        if (r < 0)
                return r;
        r = executor_new(&s->executor, &(struct executor_options){.context = s,
                                                       .parallel_first = EXECUTOR_PARALLEL_MAX,
                                                       .done = on_carried_out,
                                                       .userdata = s});
        if (r < 0)
                return r;
        r = gitsync_status_init(s);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        world->event, &s->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct gitsync *gitsync_free(struct gitsync *s) {
        if (!s)
                return NULL;
        figures_done(&s->figures);
        turn_leave(&s->turn);
        child_free(s->child);
        gitsync_aside_leave(s);
        api_call_cancel(s->call);
        executor_free(s->executor);
        gitsync_prune_done(s);
        gitsync_drift_done(s);
        gitsync_status_done(s);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->health_timer);
        sd_event_source_disable_unref(s->retry_timer);
        revision_done(&s->current);
        revision_done(&s->candidate);
        json_decref(s->object);
        inventory_done(&s->inventory);
        map_free(s->refreshed);
        map_free(s->suspects);
        map_free(s->drifted);
        free(s->inventory_uid);
        free(s->gone);
        free(s->kept);
        free(s->kept_before);
        free(s->manager);
        free(s->handled_at);
        free(s->attempted);
        free(s->message);
        free(s->key);
        free(s->name);
        free(s->ns);
        free(s);
        return NULL;
}

bool gitsync_is_finished(const struct gitsync *s) {
        return s->finished && s->state == GITSYNC_IDLE;
}

static void wake_in(struct gitsync *s, uint64_t delay_us) {
        (void)sd_event_source_set_time_relative(s->timer, delay_us);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* Brings the timer forward, never back. */
static void wake_before(struct gitsync *s, uint64_t delay_us) {
        uint64_t now = now_mono_us(), due;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(s->timer, &enabled);
        if (enabled == SD_EVENT_OFF || sd_event_source_get_time(s->timer, &due) < 0 ||
                        due > now + delay_us)
                wake_in(s, delay_us);
}

void gitsync_poke(struct gitsync *s) {
        if (s->state == GITSYNC_IDLE)
                wake_before(s, 0);
        else
                s->again = true;
}

static uint64_t nominal_interval_us(const json_t *object) {
        uint64_t us;

        if (parse_duration_us(json_str(object, "spec.interval"), &us) < 0)
                us = INTERVAL_DEFAULT_S * 1000000ull;
        return MAX(us, INTERVAL_MIN_S * 1000000ull);
}

static uint64_t interval_us(const json_t *object) {
        uint64_t us = nominal_interval_us(object);

        return us - us / 20 + random_below(us / 10 + 1); /* GitSyncs must not poll in lockstep */
}

/* Backs off when another writer changes the same field again and again, or when drift cannot be
 * corrected. */
static uint64_t drift_delay(struct gitsync *s) {
        uint64_t now = now_mono_us(), delay;

        if (now > s->drift_round_us + DRIFT_QUIET_US)
                s->drift_rounds = 0;
        delay = (uint64_t)SUSPECT_DELAY_US << MIN(s->drift_rounds++, 9u);
        s->drift_round_us = now + delay;
        return delay;
}

/* At the end of a run. After a failure or a comparison in vain they are compared less and less
 * soon, and a poke (by our own status write, say) does not start it earlier. */
static void wake_for_suspects(struct gitsync *s) {
        bool failed = !s->ok || s->failures > 0;
        uint64_t now = now_mono_us();

        if (failed || s->drift_in_vain)
                s->suspects_due_us = now + drift_delay(s);
        s->drift_in_vain = false;
        if (!failed) /* else a whole run must succeed first */
                wake_before(s, MAX(s->suspects_due_us, now + SUSPECT_DELAY_US) - now);
}

/* The end of a run: the next one is due after the interval, sooner after failures that may be
 * transient. */
static void end_run(struct gitsync *s) {
        bool was_drift = s->was == GITSYNC_DRIFT;
        uint64_t delay = interval_us(s->object), now = now_mono_us();

        if (s->failures > 0)
                delay = MIN(delay, (uint64_t)1000000 << (s->failures < 6 ? s->failures : 6));
        /* Repeated correction of drift must not delay the next fetch. */
        if (was_drift && s->failures == 0)
                delay = s->next_poll_us > now ? MIN(delay, s->next_poll_us - now) : 0;
        s->next_poll_us = now + delay;
        wake_in(s, s->again ? 0 : delay);
        s->again = false;
        if (map_size(s->suspects) > 0)
                wake_for_suspects(s);
        gitsync_health_soon(s);
}

/* A step sees (asks the API, in actions that only read), decides (decide.h) and carries out; it
 * ends with gitsync_next(), gitsync_enter() or gitsync_fail(). */
static const struct run_step {
        const char *name;
        void (*begin)(struct gitsync *s);
        enum gitsync_state next;
} steps[GITSYNC_STATES_MAX] = {
                [GITSYNC_IDLE] = {"idle", end_run, GITSYNC_IDLE},
                [GITSYNC_STARTING] = {"decide what is due", decide_start, GITSYNC_IDLE},
                [GITSYNC_LOADING] = {"load the inventory", gitsync_load_begin, GITSYNC_STARTING},
                [GITSYNC_FETCHING] = {"fetch", gitsync_fetch_begin, GITSYNC_RESOLVING},
                [GITSYNC_RESOLVING] = {"resolve kinds", gitsync_resolve_begin, GITSYNC_CHECKING},
                [GITSYNC_CHECKING] = {"check", gitsync_check_begin, GITSYNC_RECORDING},
                [GITSYNC_RECORDING] = {"record the inventory", gitsync_record_begin,
                                GITSYNC_APPLYING_BASE},
                [GITSYNC_APPLYING_BASE] = {"apply namespaces and CRDs", gitsync_apply_begin,
                                GITSYNC_AWAITING_KINDS},
                [GITSYNC_AWAITING_KINDS] = {"await kinds", gitsync_await_kinds_begin,
                                GITSYNC_CHECKING_LATE},
                [GITSYNC_CHECKING_LATE] = {"check the rest", gitsync_check_begin, GITSYNC_APPLYING},
                [GITSYNC_APPLYING] = {"apply", gitsync_apply_begin, GITSYNC_PRUNING},
                [GITSYNC_PRUNING] = {"prune", gitsync_prune_begin, GITSYNC_REPORTING},
                [GITSYNC_REPORTING] = {"report", gitsync_report_begin, GITSYNC_IDLE},
                [GITSYNC_DRIFT] = {"correct drift", gitsync_drift_begin, GITSYNC_IDLE},
};

void gitsync_log(const struct gitsync *s, int level, const char *other, const char *fmt, ...) {
        _cleanup_free_ char *own = NULL;
        va_list ap;

        if (level > log_level_max())
                return;
        own = strformat("GitSync/%s", s->key);
        /* A field may be there several times. */
        const char *fields[] = {"KEELSON_OBJECT", strempty(own), "KEELSON_GITSYNC", s->key,
                        "KEELSON_REVISION", strempty(s->current.commit),
                        other ? "KEELSON_OBJECT" : NULL, other, NULL};
        va_start(ap, fmt);
        (void)log_fullv(level, 0, fields, fmt, ap);
        va_end(ap);
}

void gitsync_enter(struct gitsync *s, enum gitsync_state state) {
        assert(state < GITSYNC_STATES_MAX);
        assert(!s->call && !s->child && !s->aside && !executor_is_running(s->executor));
        gitsync_log(s, LOG_DEBUG, NULL, "GitSync %s: %s", s->key, steps[state].name);
        s->was = s->state;
        s->state = state;
        steps[state].begin(s);
}

void gitsync_next(struct gitsync *s) {
        gitsync_enter(s, steps[s->state].next);
}

static void on_carried_out(int error, const struct problem *p, void *userdata) {
        struct gitsync *s = userdata;

        if (error < 0)
                gitsync_fail(s, p->reason ? p->reason : "ApiUnavailable", p);
        else
                s->then(s);
}

void gitsync_carry_out(struct gitsync *s, struct actions *list, void (*then)(struct gitsync *s)) {
        s->then = then;
        executor_run(s->executor, list);
}

struct api_client *gitsync_client(const struct gitsync *s) {
        return s->identity->client;
}

bool gitsync_is_confirmed(const struct gitsync *s, const struct revision *r) {
        return r->commit &&
               streq_ptr(object_annotation(s->object, "keelson.dev/prune-confirm"), r->commit);
}

void gitsync_fail(struct gitsync *s, const char *reason, const struct problem *p) {
        s->ok = false;
        s->failures++;
        s->reason = reason;
        if (!streq(reason, "Suspended"))
                figures_failed(&s->figures);
        free(s->message);
        s->message = strdup(p->message ? p->message : "out of memory");
        gitsync_discard(s, &s->candidate); /* the last good one stays */
        gitsync_log(s, LOG_WARNING, NULL, "GitSync %s: %s", s->key, strempty(s->message));
        gitsync_enter(s, GITSYNC_REPORTING);
}

/* A GitSync that must be Ready first and is not; NULL when there is none. */
static const char *missing_dependency(struct gitsync *s) {
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
        struct gitsync *s = userdata;

        s->call = NULL;
        s->state = GITSYNC_IDLE;
        if (error == 0 && s->deleting)
                s->finished = true;
        else if (error < 0 && error != -ENOENT)
                gitsync_log(s, LOG_WARNING, NULL, "GitSync %s: cannot write its finalizer: %s",
                                s->key, strempty(p->message));
        wake_in(s, error == 0 ? 50000 : RETRY_US); /* the watch brings the written object */
}

/* Writes the finalizers again, with or without kgitd's, bound to the resourceVersion that was read.
 */
static void write_finalizer(struct gitsync *s, bool add) {
        _cleanup_free_ char *path =
                        api_path(api_resource(KIND_GITSYNCS), s->ns, s->name, NULL, NULL);
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
        s->state = GITSYNC_REPORTING;
        if (!path || !patch ||
                        api_patch_async(s->world->client, path, API_PATCH_MERGE, patch,
                                        on_finalizer, s, &s->call) < 0)
                on_finalizer(-ENOMEM, NULL, out_of_memory(), s);
}

void gitsync_finish_deletion(struct gitsync *s) {
        write_finalizer(s, false);
}

/* The facts that decide whether a run starts, and with which step. */
static struct run_view see_run(struct gitsync *s) {
        const char *asked = object_annotation(s->object, "keelson.dev/reconcileAt");

        return (struct run_view){
                        .deleting = s->deleting,
                        .has_finalizer = object_has_finalizer(s->object, FINALIZER),
                        .inventory_loaded = s->inventory_uid,
                        .suspended = json_bool_or(s->object, "spec.suspend", false),
                        .dependency = missing_dependency(s),
                        .suspects = now_mono_us() >= s->suspects_due_us ? map_size(s->suspects) : 0,
                        .drift_off = gitsync_drift_is(s, "off"),
                        .have_current = s->have_current,
                        .failures = s->failures,
                        .spec_changed = s->applied_generation != object_generation(s->object),
                        .asked = asked && !streq_ptr(asked, s->handled_at),
                        .look_again = s->look_again ||
                                      (s->kept && gitsync_is_confirmed(s, &s->current)),
                        .now_us = now_mono_us(),
                        .next_poll_us = s->next_poll_us,
        };
}

static void wait_for_dependency(struct gitsync *s, const char *name) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, EAGAIN, 0, NULL, "waits for GitSync \"%s\", which is not Ready", name);
        gitsync_fail(s, "DependencyNotReady", &p);
}

static void report_suspended(struct gitsync *s) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, EAGAIN, 0, NULL,
                        "suspended by spec.suspend; `kctl sync resume %s` resumes it", s->name);
        gitsync_fail(s, "Suspended", &p);
        s->failures = 0;
}

static void decide_start(struct gitsync *s) {
        const struct run_view v = see_run(s);

        s->state = GITSYNC_IDLE; /* unless a step begins below */
        s->ok = true;
        switch (decide_run(&v)) {
        case RUN_NOTHING:
                wake_in(s, s->next_poll_us - MIN(s->next_poll_us, v.now_us));
                if (map_size(s->suspects) > 0 && s->suspects_due_us > v.now_us)
                        wake_before(s, s->suspects_due_us - v.now_us);
                break;
        case RUN_LET_GO:
                s->finished = true;
                break;
        case RUN_ADD_FINALIZER:
                write_finalizer(s, /* add= */ true);
                break;
        case RUN_LOAD:
                gitsync_enter(s, GITSYNC_LOADING);
                break;
        case RUN_REMOVE_ALL:
                gitsync_enter(s, GITSYNC_PRUNING);
                break;
        case RUN_SUSPENDED:
                report_suspended(s);
                break;
        case RUN_WAIT:
                wait_for_dependency(s, v.dependency);
                break;
        case RUN_DRIFT:
                gitsync_enter(s, GITSYNC_DRIFT);
                break;
        case RUN_FETCH:
                figures_begin(&s->figures);
                gitsync_enter(s, GITSYNC_FETCHING);
                break;
        }
}

static void start_run(struct gitsync *s) {
        const json_t *object = informer_get2(s->world->gitsyncs, s->ns, s->name);

        s->again = false;
        if (!object) {
                s->finished = true;
                return;
        }
        s->finished = false;
        if (!streq_ptr(s->inventory_uid, strempty(object_uid(object)))) {
                /* Not read yet, or created again under the same name. What is being written of the
                 * one before needs its inventory. */
                if (s->writer.writing) {
                        s->start_waits = true;
                        return;
                }
                s->applied_generation = 0; /* nothing was applied for this one */
                s->inventory_uid = mfree(s->inventory_uid);
        }
        json_decref(s->object);
        s->object = json_incref((json_t *)object);
        s->deleting = object_is_deleting(object);
        figures_see(&s->figures, object, nominal_interval_us(object));
        s->identity = identity_get(s->world->identities, s->world->client, s->ns,
                        json_str(object, "spec.serviceAccountName"));
        if (!s->identity) {
                wake_in(s, RETRY_US);
                return;
        }
        gitsync_status_load(s);
        gitsync_enter(s, GITSYNC_STARTING);
}

static void suspect(struct gitsync *s, const struct inventory_entry *e) {
        bool known = map_get(s->suspects, e->key);

        if (map_set(s->suspects, e->key, SUSPECT_NEW) < 0)
                return;
        if (s->state != GITSYNC_IDLE) /* they are compared at the end of the run */
                return;
        if (!known)
                wake_before(s, drift_delay(s));
}

void gitsync_object_changed(struct gitsync *s, const char *user,
                const struct api_resource *resource, const json_t *object, bool gone) {
        _cleanup_free_ char *key = inventory_key(resource->group, resource->kind,
                        object_namespace(object), object_name(object));
        struct inventory_entry *e = key ? inventory_get(&s->inventory, key) : NULL;
        char print[65];

        if (!e || !s->identity || !streq(user, s->identity->user))
                return;
        gitsync_health_soon(s);
        if (e->kept) { /* a person may have allowed its removal */
                s->look_again = true;
                gitsync_poke(s);
                return;
        }
        if (!*e->hash || s->deleting || gitsync_drift_is(s, "off") ||
                        json_bool_or(s->object, "spec.suspend", false))
                return;
        if (gone) {
                if (e->finished || decide_is_finished(NULL, object, now_wall_us())) {
                        s->inventory_dirty |= !e->finished;
                        e->finished = true;
                        return;
                }
        } else {
                e->finished = false;
                plan_fingerprint(object, print);
                print[INVENTORY_HASH_SIZE - 1] = 0;
                if (streq(print, e->live) || streq(print, e->reported))
                        return;
        }
        suspect(s, e);
}

void gitsync_watch_synced(
                struct gitsync *s, const char *user, const struct api_resource *resource) {
        if (!s->identity || !streq(user, s->identity->user) || !s->have_current)
                return;
        for (size_t i = 0; i < s->current.count; i++) {
                const struct wanted *w = &s->current.wanted[i];
                struct inventory_entry *e = inventory_get(&s->inventory, w->key);

                if (!e || !*e->hash || e->finished ||
                                !streq(w->resource->plural, resource->plural) ||
                                !streq(w->resource->group, resource->group) || gitsync_live(s, w))
                        continue;
                if (decide_is_finished(w->item->object, NULL, now_wall_us())) {
                        e->finished = s->inventory_dirty = true;
                        continue;
                }
                if (!gitsync_drift_is(s, "off"))
                        suspect(s, e);
        }
}
