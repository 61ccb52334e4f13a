/* A run of a Descheduling, as an action of the controller (descheduling.c has claimed it before):
 *
 *      objects of the caches, by reference
 *        -> slices: fed into the decision (descheduling.h), then its steps
 *        -> EVICT: POST pods/eviction, the answer goes back into the decision, more slices
 *        -> END, or a reason to stop: the memory is freed in slices, the report is written to the
 *           status
 *
 * A slice ends after SLICE_US, so that the other controllers run in between. Evictions go out one
 * by one: each changes what the next decision sees. The caches' objects are not copied; those that
 * change during the run live until its end. */
#include "lib/client/api-actions.h"
#include "lib/log.h"
#include "lib/loop-turn.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/descheduling/descheduling-internal.h"
#include "reconcilers/runner.h"

#define SLICE_US (10 * UINT64_C(1000))
#define PROGRESS_US (2 * UINT64_C(1000000))

enum { THRESHOLD_DEFAULT = 2000000000 }; /* the value of system-cluster-critical */

struct input {
        enum world_kind kind;
        json_t *object;
};

struct run {
        struct running_action *action;
        struct runner *runner;
        json_t *object; /* the Descheduling as it was claimed */
        struct desched *desched;
        VECTOR(struct input) inputs;
        size_t next; /* of inputs */
        struct loop_turn *slices;
        struct api_call *call;
        uint64_t started_us;  /* wall clock */
        uint64_t progress_us; /* monotonic: when the status was last written */
        uint64_t busy_us, longest_us;
        json_t *report; /* the run is over: what is written when its memory is free again */
        bool dry;
};

static struct run *run_free(struct run *o) {
        if (!o)
                return NULL;
        loop_turn_free(o->slices);
        api_call_cancel(o->call);
        for (size_t i = o->next; i < o->inputs.count; i++)
                json_decref(o->inputs.items[i].object);
        vector_done(&o->inputs);
        desched_free(o->desched);
        json_decref(o->object);
        json_decref(o->report);
        free(o);
        return NULL;
}
DEFINE_CLEANUP(struct run *, run_free);

static void run_continue(struct run *o) {
        loop_turn_ask(o->slices);
}

/* --- the report --- */

static void on_reported(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct run *o = userdata;
        struct running_action *action = o->action;

        o->call = NULL;
        action->handle = NULL;
        run_free(o);
        action_ended(action, error == -ENOENT ? 0 : error, error == 0 ? object : NULL, p);
}

static int patch_status(struct run *o, json_t *status_taken, api_done_func done) {
        _cleanup_json_ json_t *body = json_pack("{s:o}", "status", status_taken);
        _cleanup_free_ char *path = api_path(world_resource(WORLD_DESCHEDULINGS), /* ns= */ NULL,
                        object_name(o->object), "status", /* query= */ NULL);

        assert(body && path);
        return api_patch_async(o->action->client, path, API_PATCH_MERGE, body, done, o, &o->call);
}

/* result: "Completed", "Stopped" or "Failed"; why: the message, NULL: the report's own. Written by
 * write_report() at the end of the slices. */
static void run_end(struct run *o, const char *result, const char *why) {
        char started[TIMEFMT_SIZE], now[TIMEFMT_SIZE];

        o->report = o->desched ? desched_report(o->desched) : json_object();
        assert(o->report);
        if (why)
                assert(json_set_str(o->report, "message", why) >= 0);
        assert(json_set_str(o->report, "result", result) >= 0);
        assert(json_set_str(o->report, "startTime", time_format(o->started_us, started)) >= 0);
        assert(json_set_str(o->report, "completionTime", time_format(now_wall_us(), now)) >= 0);
        assert(json_object_set_new(o->report, "dryRun", json_boolean(o->dry)) == 0);
}

static void write_report(struct run *o) {
        const char *result = json_str_or(o->report, "result", ""),
                   *message = json_str_or(o->report, "message", "");
        bool completed = streq(result, "Completed");
        int r;

        log_debug("descheduling %s: %s: %s; %llu ms of work, the longest slice %llu us",
                        object_name(o->object), result, message,
                        (unsigned long long)(o->busy_us / 1000), (unsigned long long)o->longest_us);
        api_event(o->action->client, o->object, completed ? "Normal" : "Warning",
                        !completed ? result
                        : o->dry   ? "DryRun"
                                   : "Descheduled",
                        "%s", message);
        r = patch_status(o, json_pack("{s:n, s:O}", "running", "lastRun", o->report), on_reported);
        if (r < 0)
                on_reported(r, /* object= */ NULL, /* p= */ NULL, o);
}

/* --- evictions --- */

static void on_progress(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct run *o = userdata;

        o->call = NULL;
        run_continue(o);
}

/* Long runs say how far they are. */
static void report_progress(struct run *o) {
        if (now_mono_us() - o->progress_us < PROGRESS_US) {
                run_continue(o);
                return;
        }
        o->progress_us = now_mono_us();
        if (patch_status(o, json_pack("{s:o}", "running", desched_progress(o->desched)),
                            on_progress) < 0)
                run_continue(o);
}

static enum desched_outcome outcome_of(int error, const struct problem *p) {
        if (error == 0)
                return DESCHED_EVICTED;
        if (p && p->code == 429)
                return DESCHED_REFUSED;
        /* Another pod of that name, or none. */
        if (error == -ENOENT || error == -ESTALE)
                return DESCHED_GONE;
        return DESCHED_FAILED;
}

static void on_evicted(int error, const json_t *object, const struct problem *p, void *userdata) {
        enum desched_outcome outcome = outcome_of(error, p);
        struct run *o = userdata;
        struct desched_eviction e;

        o->call = NULL;
        desched_eviction(o->desched, &e);
        if (outcome == DESCHED_EVICTED)
                api_event(o->action->client, e.pod, "Normal", "Descheduled",
                                "evicted from node %s by Descheduling %s (%s): %s", e.node,
                                object_name(o->object), e.strategy, e.reason);
        desched_answer(o->desched, outcome, error < 0 && p ? p->message : NULL);
        report_progress(o);
}

/* True: an answer must come first. */
static bool evict(struct run *o) {
        _cleanup_json_ json_t *body = NULL;
        _cleanup_free_ char *path = NULL;
        struct desched_eviction e;
        int r;

        desched_eviction(o->desched, &e);
        if (o->dry) {
                desched_answer(o->desched, DESCHED_WOULD_EVICT, /* message= */ NULL);
                return false;
        }
        body = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:{s:s}}}", "apiVersion", "policy/v1", "kind",
                        "Eviction", "metadata", "name", object_name(e.pod), "namespace",
                        object_namespace(e.pod), "deleteOptions", "preconditions", "uid",
                        object_uid(e.pod));
        path = api_path(world_resource(WORLD_PODS), object_namespace(e.pod), object_name(e.pod),
                        "eviction", /* query= */ NULL);
        assert(body && path);
        r = api_create_async(o->action->client, path, body, on_evicted, o, &o->call);
        if (r < 0)
                on_evicted(r, /* object= */ NULL, /* p= */ NULL, o);
        return true;
}

/* --- slices --- */

/* Why the run must not continue; NULL: it may. */
static const char *why_stop(const struct run *o) {
        const json_t *now = world_get(runner_world(o->runner), WORLD_DESCHEDULINGS, /* ns= */ NULL,
                        object_name(o->object));

        if (!runner_is_leading(o->runner))
                return "another kreconciled leads now";
        if (!now || object_is_deleting(now) || !streq(object_uid(now), object_uid(o->object)))
                return "the Descheduling was deleted";
        if (json_bool_or(now, "spec.suspend", false))
                return "the Descheduling was suspended";
        if (object_generation(now) != object_generation(o->object))
                return "the Descheduling was changed";
        return NULL;
}

/* Feeds the next object. The caches' reference is enough from here on. */
static void feed(struct run *o) {
        struct input *x = &o->inputs.items[o->next++];

        desched_put(o->desched, x->kind, x->object);
        json_decref(x->object);
}

/* Frees the run's memory piece by piece, then writes the report. */
static bool wind_up(struct run *o) {
        if (o->next < o->inputs.count) {
                json_decref(o->inputs.items[o->next++].object);
                return false;
        }
        if (o->desched && desched_shrink(o->desched))
                return false;
        write_report(o);
        return true;
}

/* A piece of work. True: the slice is over, because the run waits for an answer. */
static bool work(struct run *o) {
        if (o->report)
                return wind_up(o);
        if (o->next < o->inputs.count) {
                feed(o);
                return false;
        }
        switch (desched_step(o->desched)) {
        case DESCHED_EVICT:
                return evict(o);
        case DESCHED_END:
                run_end(o, "Completed", /* why= */ NULL);
                break;
        case DESCHED_MORE:
                break;
        }
        return false;
}

static void on_slice(void *userdata) {
        struct run *o = userdata;
        uint64_t begin = now_mono_us(), now = begin;
        const char *why = o->report ? NULL : why_stop(o);

        if (why)
                run_end(o, "Stopped", why);
        while (now - begin < SLICE_US) {
                uint64_t before = now;

                if (work(o)) /* o may be gone */
                        return;
                now = now_mono_us();
                o->busy_us += now - before;
                o->longest_us = MAX(o->longest_us, now - begin);
        }
        run_continue(o);
}

/* --- the beginning --- */

static void add_inputs(struct run *o, const struct world *w, enum world_kind kind) {
        _cleanup_objects_ struct objects all = {0};

        world_all(w, kind, &all);
        assert(vector_reserve(&o->inputs, all.count) >= 0);
        for (size_t i = 0; i < all.count; i++)
                assert(vector_append(&o->inputs, ((struct input){kind, json_ref(all.items[i])})) >=
                                0);
}

static int read_threshold(struct run *o, const struct world *w, int32_t *ret, struct problem *p) {
        const json_t *threshold = json_at(o->object, "spec.filter.priorityThreshold"), *class;
        const char *name = json_str(threshold, "name");

        *ret = (int32_t)json_int_or(threshold, "value", THRESHOLD_DEFAULT);
        if (!name)
                return 0;
        class = world_get(w, WORLD_PRIORITYCLASSES, /* ns= */ NULL, name);
        if (!class)
                return problem_set(p, ENOENT, 0, NULL,
                                "there is no PriorityClass %s, which filter.priorityThreshold "
                                "names; create it or give a value",
                                name);
        *ret = (int32_t)json_int_or(class, "value", 0);
        return 0;
}

static int prepare(struct run *o, struct problem *p) {
        static const enum world_kind kinds[] = {WORLD_NODES, WORLD_NAMESPACES, WORLD_CLASSES,
                        WORLD_VOLUMES, WORLD_CLAIMS, WORLD_PODS};
        const struct world *w = runner_world(o->runner);
        int32_t threshold = 0;
        int r = read_threshold(o, w, &threshold, p);

        if (r < 0)
                return r;
        r = desched_new(&o->desched, json_at(o->object, "spec"), threshold, w->now_us, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                add_inputs(o, w, kinds[i]);
        return 0;
}

static int start_run(struct running_action *a) {
        _cleanup_(run_freep) struct run *o = calloc(1, sizeof(*o));
        _cleanup_problem_ struct problem p = {0};
        int r;

        assert(o);
        *o = (struct run){.action = a,
                        .runner = a->context,
                        .object = json_ref(a->action->body),
                        .started_us = now_wall_us(),
                        .progress_us = now_mono_us(),
                        .dry = json_bool_or(a->action->body, "spec.dryRun", false)};
        r = loop_turn_new(
                        &o->slices, runner_event(o->runner), SD_EVENT_PRIORITY_NORMAL, on_slice, o);
        if (r < 0)
                return r;
        r = prepare(o, &p);
        a->handle = o;
        if (r < 0)
                run_end(o, "Failed", strempty(p.message));
        run_continue(TAKE_PTR(o));
        return 0;
}

static void cancel_run(struct running_action *a) {
        a->handle = run_free(a->handle);
}

static void run_text(const struct action *x, struct buf *b) {
}

static const struct action_type action_type_deschedule = {
                .name = "deschedule", .start = start_run, .cancel = cancel_run, .text = run_text};

void action_deschedule(struct actions *a, const json_t *descheduling) {
        struct action *x = actions_add(a, &action_type_deschedule,
                        world_resource(WORLD_DESCHEDULINGS), /* ns= */ NULL,
                        object_name(descheduling), json_ref(descheduling));

        x->uid = action_string(object_uid(descheduling));
}
