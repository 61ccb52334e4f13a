/* Carries out the decisions of fairness.c. A request's cost is the time that the loop was in its
 * hands; work in answers of the store that does not come by dispatch_continue() is small and not
 * counted. */
#include "kapid/http/dispatch.h"

#include "lib/loop-turn.h"
#include "lib/timefmt.h"

enum {
        SLICE_US = 500,    /* long work stops here */
        TURN_US = 2 * 500, /* of one turn of the loop */
        WAIT_TICK_US = 1000 * 1000,
        BODY_WIDTH_BYTES = 64 << 10,
        LIST_WIDTH_OBJECTS = 500,
        LIST_WIDTH_MAX = 40,
        LIST_WIDTH_COPY = 4,
        SMALL_ANSWER = 64 << 10,
};

struct dispatch {
        struct api *api;
        struct fairness *fairness;
        struct loop_turn *turn;
        sd_event_source *tick;
        uint64_t burst_us; /* work done since the loop had its turn */
        uint64_t started_us;
        bool running;
        struct request *current;
        struct metric *queued[FAIRNESS_LEVELS], *seats[FAIRNESS_LEVELS],
                        *dispatched[FAIRNESS_LEVELS], *rejected[FAIRNESS_LEVELS], *wait;
};

static void refuse(struct request *request) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, EBUSY, 429, "TooManyRequests",
                        "The server has received too many requests, please try again later.");
        p.retry_after_s = 1;
        respond_problem(request, &p);
}

/* How much of the server an answer holds. */
static unsigned width_of(const struct request *request) {
        size_t n = 0;

        if (streq(strempty(request->route.verb), "list") && request->cache) {
                uint64_t limit = 0, count = cache_count(request->cache);
                const char *text = request_query(request, "limit");

                if (text && parse_u64(text, &limit) >= 0 && limit > 0)
                        count = MIN(count, limit);
                count = 1 + MIN(count / LIST_WIDTH_OBJECTS, (uint64_t)LIST_WIDTH_MAX);
                /* Texts made for the answer, or read from the store, against the cache's own. */
                if (request->form == FORM_TABLE || request->protobuf ||
                                request_query(request, "continue") ||
                                request_query(request, "resourceVersionMatch"))
                        count *= LIST_WIDTH_COPY;
                return (unsigned)count;
        }
        (void)request_body(request, &n);
        return 1 + (unsigned)(n / BODY_WIDTH_BYTES);
}

static void run(struct dispatch *d, struct request *request) {
        void (*func)(struct request * request) = request->next;
        bool outer = !d->running;
        uint64_t spent_us;

        request_ref(request);
        d->running = true;
        d->current = request;
        d->started_us = now_mono_us();
        if (request->http)
                func(request);
        spent_us = now_mono_us() - d->started_us;
        d->burst_us += spent_us;
        fairness_charge(d->fairness, &request->ticket, spent_us);
        d->current = NULL;
        d->running = !outer;
        request_unref(request);
}

static struct request *request_of(struct fairness_ticket *t) {
        return container_of(t, struct request, ticket);
}

static void on_turn(void *userdata) {
        struct dispatch *d = userdata;
        struct fairness_ticket *t;

        d->burst_us = 0;
        while (d->burst_us < TURN_US && (t = fairness_next(d->fairness))) {
                struct request *request = request_of(t);
                uint64_t queued_us = t->queued_us;

                if (d->wait)
                        metric_observe(d->wait, (double)(now_mono_us() - queued_us) / 1e6);
                run(d, request);
        }
        if (d->burst_us >= TURN_US && fairness_queued(d->fairness) > 0)
                loop_turn_ask(d->turn);
        d->burst_us = 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct dispatch *d = userdata;
        struct fairness_ticket *t;

        while ((t = fairness_overdue(d->fairness, now_mono_us())))
                refuse(request_of(t));
        if (fairness_queued(d->fairness) > 0) {
                loop_turn_ask(d->turn);
                (void)sd_event_source_set_time_relative(source, WAIT_TICK_US);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

static void wait_for_turn(struct dispatch *d) {
        int on = SD_EVENT_OFF;

        loop_turn_ask(d->turn);
        (void)sd_event_source_get_enabled(d->tick, &on);
        if (on != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time_relative(d->tick, WAIT_TICK_US);
        (void)sd_event_source_set_enabled(d->tick, SD_EVENT_ONESHOT);
}

void dispatch_submit(struct request *request, void (*func)(struct request *request)) {
        struct dispatch *d = request->api->dispatch;
        const struct user *u = request->real_user.name ? &request->real_user : &request->user;
        const struct route *t = &request->route;
        enum fairness_level level = fairness_classify(
                        strempty(u->name), u->groups, strempty(t->group), strempty(t->plural));
        bool idle = d->burst_us < SLICE_US && !d->running;
        int r = fairness_enqueue(d->fairness, &request->ticket, level, strempty(u->name),
                        width_of(request), now_mono_us());

        request->next = func;
        if (r == -EBUSY)
                refuse(request);
        else if (r < 0)
                respond_errno(request, r);
        else if (idle && fairness_is_next(d->fairness, &request->ticket)) {
                /* Its answer leaves in this turn of the loop, also beside long work of others. */
                (void)fairness_next(d->fairness);
                run(d, request);
                if (d->burst_us >= SLICE_US)
                        loop_turn_ask(d->turn); /* the loop's turn: it ends the burst */
        } else
                wait_for_turn(d);
}

bool dispatch_is_long(const struct request *request) {
        const struct dispatch *d = request->api->dispatch;

        return d && d->current == request && now_mono_us() - d->started_us > SLICE_US;
}

void dispatch_continue(struct request *request, void (*func)(struct request *request)) {
        struct dispatch *d = request->api->dispatch;

        request->next = func;
        if (request->ticket.state == TICKET_SEATED)
                fairness_yield(d->fairness, &request->ticket, now_mono_us());
        wait_for_turn(d);
}

bool dispatch_stream(struct request *request) {
        if (!request->api->dispatch || fairness_stream(request->api->dispatch->fairness,
                                                       &request->ticket, API_STREAMS_MAX))
                return true;
        refuse(request);
        return false;
}

void dispatch_leave(struct request *request) {
        struct dispatch *d = request->api->dispatch;

        if (!d)
                return;
        /* Whoever runs it no longer can. */
        if (d->current == request)
                fairness_charge(d->fairness, &request->ticket, now_mono_us() - d->started_us);
        fairness_leave(d->fairness, &request->ticket);
        if (fairness_queued(d->fairness) > 0)
                loop_turn_ask(d->turn);
}

void dispatch_answered(struct request *request, size_t size) {
        struct dispatch *d = request->api->dispatch;

        if (d && size <= SMALL_ANSWER && request->ticket.seated)
                dispatch_end(request);
}

void dispatch_hold(struct request *request) {
        request->holds++;
}

void dispatch_release(struct request *request) {
        assert(request->holds > 0);
        if (--request->holds == 0 && request->leaves)
                dispatch_leave(request);
}

void dispatch_end(struct request *request) {
        if (request->holds > 0)
                request->leaves = true;
        else
                dispatch_leave(request);
}

void dispatch_return(struct request *request, void (*func)(struct request *request)) {
        if (request->api->dispatch)
                dispatch_submit(request, func);
        else
                func(request);
}

void dispatch_render(struct dispatch *d) {
        for (unsigned i = 0; i < FAIRNESS_LEVELS; i++) {
                const struct fairness_level_state *l = fairness_level(d->fairness, i);

                metric_set(d->queued[i], l->queued);
                metric_set(d->seats[i], l->seats);
                metric_set(d->dispatched[i], (double)l->dispatched);
                metric_set(d->rejected[i], (double)l->rejected);
        }
}

static int add_metrics(struct dispatch *d) {
        struct metrics *m = daemon_metrics(d->api->daemon);

        for (unsigned i = 0; i < FAIRNESS_LEVELS; i++) {
                _cleanup_free_ char *labels = strformat(
                                "priority_level=\"%s\"", fairness_level(d->fairness, i)->name);

                if (!labels)
                        return -ENOMEM;
                d->queued[i] = metrics_gauge(m, "apiserver_flowcontrol_current_inqueue_requests",
                                labels, "Requests that wait for their turn.");
                d->seats[i] = metrics_gauge(m, "apiserver_flowcontrol_current_executing_seats",
                                labels, "Seats taken by requests whose answer was not taken yet.");
                d->dispatched[i] = metrics_counter(m,
                                "apiserver_flowcontrol_dispatched_requests_total", labels,
                                "Requests that had their turn.");
                d->rejected[i] = metrics_counter(m, "apiserver_flowcontrol_rejected_requests_total",
                                labels, "Requests refused with 429.");
                if (!d->queued[i] || !d->seats[i] || !d->dispatched[i] || !d->rejected[i])
                        return -ENOMEM;
        }
        d->wait = metrics_histogram(m, "apiserver_flowcontrol_request_wait_duration_seconds", "",
                        "Time that requests waited for their turn, those that did.");
        return d->wait ? 0 : -ENOMEM;
}

int dispatch_new(struct dispatch **ret, struct api *a) {
        _cleanup_(dispatch_freep) struct dispatch *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->api = a;
        d->fairness = fairness_new();
        if (!d->fairness)
                return -ENOMEM;
        r = loop_turn_new(&d->turn, a->event, SD_EVENT_PRIORITY_NORMAL, on_turn, d);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(a->event, &d->tick, CLOCK_MONOTONIC, 0, 0, on_tick, d);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(d->tick, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = add_metrics(d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

struct dispatch *dispatch_free(struct dispatch *d) {
        if (!d)
                return NULL;
        loop_turn_free(d->turn);
        sd_event_source_disable_unref(d->tick);
        fairness_free(d->fairness);
        return mfree(d);
}
