/* Carries a list of actions out; the contract is in executor.h.
 *
 * An action occupies a slot from before its start() until action_ended(). Everything that calls out
 * of the executor (start, is_fine, on_action) happens between enter() and leave(): what those calls
 * do to the executor (end an action at once, stop it, free it) takes effect in leave(). */
#include "lib/client/executor.h"

#include "lib/log.h"
#include "lib/timefmt.h"

struct executor {
        struct executor_options options;
        struct actions list;
        size_t next; /* the first action that was not started */
        struct running_action slots[EXECUTOR_PARALLEL_MAX]; /* free: action is NULL */
        unsigned in_flight, window;
        unsigned entered; /* calls out of the executor that have not returned */
        sd_event_source *more; /* the next turn continues; NULL: it need not */
        bool running;     /* a list is being carried out */
        bool stopping;    /* nothing new is started */
        bool freed;       /* by a callback: the memory goes when that has returned */

        int failure; /* the error of the first action of the list that failed; 0: none */
        size_t failed_at;
        struct problem problem;
        json_t *failures; /* messages of independent actions, from the first one on */
};

int executor_new(struct executor **ret, const struct executor_options *options) {
        struct executor *e = calloc(1, sizeof(*e));

        assert(options->done);
        assert(options->parallel_max <= EXECUTOR_PARALLEL_MAX);
        if (!e)
                return -ENOMEM;
        e->options = *options;
        if (e->options.parallel_first == 0)
                e->options.parallel_first = 1;
        if (e->options.parallel_max == 0)
                e->options.parallel_max = EXECUTOR_PARALLEL_MAX;
        *ret = e;
        return 0;
}

static void cancel_all(struct executor *e) {
        for (size_t i = 0; i < ELEMENTS(e->slots); i++) {
                struct running_action *a = &e->slots[i];

                if (!a->action)
                        continue;
                if (a->action->type->cancel)
                        a->action->type->cancel(a);
                a->action = NULL;
                e->in_flight--;
        }
        assert(e->in_flight == 0);
}

static void release(struct executor *e) {
        actions_done(&e->list);
        problem_done(&e->problem);
        json_decref(e->failures);
        sd_event_source_disable_unref(e->more);
        free(e);
}

struct executor *executor_free(struct executor *e) {
        if (!e)
                return NULL;
        assert(!e->freed);
        e->freed = true;
        e->more = sd_event_source_disable_unref(e->more);
        cancel_all(e);
        if (e->entered == 0)
                release(e);
        return NULL;
}

bool executor_is_running(const struct executor *e) {
        return e->running;
}

void executor_stop(struct executor *e) {
        e->stopping = true;
}

/* The failure that is first in the list is reported. */
static void note_failure(struct executor *e, size_t at, int error, const struct problem *p) {
        bool independent = e->list.items[at].type->independent;
        const char *message = p && p->message ? p->message : strerror(-error);

        if (!e->failures)
                e->failures = json_array();
        if (independent)
                (void)json_array_append_new(e->failures, json_string(message));
        else
                e->stopping = true;
        if (e->failure < 0 && e->failed_at < at)
                return;
        e->failure = error;
        e->failed_at = at;
        problem_set(&e->problem, -error, p ? p->code : 0, p ? p->reason : NULL, "%s", message);
        if (p && p->field)
                problem_field(&e->problem, 0, "%s", p->field);
        e->problem.causes = json_ref(independent ? e->failures : p ? p->causes : NULL);
}

static bool may_start_next(const struct executor *e) {
        if (e->freed || e->stopping || e->next == e->list.count || e->in_flight >= e->window)
                return false;
        if (e->failure < 0 && !e->list.items[e->next].type->independent)
                return false;
        if (e->in_flight == 0)
                return true;
        /* A running barrier is always the last action that was started. */
        return !e->list.items[e->next].type->barrier && !e->list.items[e->next - 1].type->barrier;
}

static struct running_action *free_slot(struct executor *e) {
        for (size_t i = 0; i < ELEMENTS(e->slots); i++)
                if (!e->slots[i].action)
                        return &e->slots[i];
        assert_not_reached(); /* the window is not wider than the slots */
}

static void start_next(struct executor *e) {
        const struct action *x = &e->list.items[e->next++];
        struct running_action *a = free_slot(e);
        int r;

        *a = (struct running_action){.action = x,
                        .client = e->options.client,
                        .context = e->options.context,
                        .executor = e};
        e->in_flight++;
        r = x->type->start(a);
        if (r < 0 && a->action == x)
                action_ended(a, r, /* object= */ NULL, /* p= */ NULL);
}

static void finish(struct executor *e) {
        _cleanup_problem_ struct problem p = e->problem;
        int r = e->failure;

        assert(e->in_flight == 0);
        e->problem = (struct problem){0};
        e->failure = 0;
        json_decref(e->failures);
        e->failures = NULL;
        e->running = false;
        actions_done(&e->list);
        e->options.done(r, &p, e->options.userdata); /* e may be gone after it */
}

static void proceed(struct executor *e);

static int on_more(sd_event_source *source, void *userdata) {
        struct executor *e = userdata;

        e->more = sd_event_source_disable_unref(e->more);
        proceed(e);
        return 0;
}

/* Whether the turn has lasted long enough; then the next one continues. */
static bool turn_is_over(struct executor *e, uint64_t began_us) {
        if (!e->options.event || now_mono_us() < began_us + EXECUTOR_TURN_US)
                return false;
        return sd_event_add_defer(e->options.event, &e->more, on_more, e) >= 0;
}

/* Starts what may be started, and ends the list when it is through. Not entered again while one of
 * its own calls runs. */
static void proceed(struct executor *e) {
        uint64_t began_us = now_mono_us();

        assert(e->entered == 0 && e->running);
        if (e->more)
                return;
        e->entered++;
        while (may_start_next(e)) {
                start_next(e);
                if (may_start_next(e) && turn_is_over(e, began_us))
                        break;
        }
        e->entered--;
        if (e->freed)
                release(e);
        else if (e->in_flight == 0 && !e->more)
                finish(e);
}

void executor_run(struct executor *e, struct actions *list) {
        assert(!e->running && !e->freed);
        e->list = *list;
        *list = (struct actions){0};
        e->next = 0;
        e->window = MIN(e->options.parallel_first, e->options.parallel_max);
        e->stopping = false;
        e->running = true;
        proceed(e);
}

void action_ended(struct running_action *a, int error, const json_t *object,
                const struct problem *p) {
        struct executor *e = a->executor;
        const struct executor_options *o = &e->options;
        const struct action *x = a->action;
        bool at_once = e->entered > 0; /* from inside start() */

        assert(x && e->in_flight > 0);
        assert(error <= 0);
        a->action = NULL;
        e->in_flight--;
        log_debug("%s %s %s%s%s: %s", x->type->name, x->resource ? x->resource->plural : "",
                        strempty(x->ns), isempty(x->ns) ? "" : "/", strempty(x->name),
                        error < 0 ? strerror(-error) : "done");
        e->entered++;
        if (error == 0 && !at_once && !x->type->barrier)
                e->window = MIN(e->window * 2, o->parallel_max);
        if (error < 0 && !(o->is_fine && o->is_fine(x, error, p, o->userdata)))
                note_failure(e, (size_t)(x - e->list.items), error, p);
        if (o->on_action)
                o->on_action(x, error, object, p, o->userdata);
        e->entered--;
        if (e->entered > 0)
                return; /* proceed() continues when start() has returned */
        if (e->freed)
                release(e);
        else
                proceed(e);
}
