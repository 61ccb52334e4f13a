/* The set of requests that are passed on for one owner, and what calls and tunnels share. A relay
 * holds no seat of fairness while the server works; how many there are is bounded, a user has at
 * most half of what is free.
 *
 *      relay_begin() --> [waits for its owner] --> relay_send() --> call or tunnel --> relay_end()
 */
#include "kapid/relay/internal.h"

#include "kapid/auth/front-proxy.h"
#include "kapid/http/dispatch.h"

int relays_new(struct relays **ret, struct api *api, const struct relay_options *o) {
        _cleanup_(relays_freep) struct relays *all = calloc(1, sizeof(*all));
        struct metrics *m = daemon_metrics(api->daemon);
        int r;

        if (!all)
                return -ENOMEM;
        all->api = api;
        all->options = *o;
        all->answered = metrics_counter(m, o->counter, "result=\"answered\"", o->counter_help);
        all->failed = metrics_counter(m, o->counter, "result=\"failed\"", o->counter_help);
        if (!all->answered || !all->failed)
                return -ENOMEM;
        r = wait_shares_new(&all->shares, o->requests_max, o->bytes_max);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(all);
        return 0;
}

struct relays *relays_free(struct relays *all) {
        struct relay *y;

        if (!all)
                return NULL;
        while ((y = LIST_FIRST(&all->list))) {
                if (y->call.stream)
                        http_stream_abort(y->call.stream);
                y->call.stream = NULL;
                relay_end(y);
        }
        wait_shares_free(all->shares);
        return mfree(all);
}

size_t relays_end_of(struct relays *all, const char *user) {
        struct relay *next;
        size_t n = 0;

        for (struct relay *y = all ? LIST_FIRST(&all->list) : NULL; y; y = next) {
                next = LIST_NEXT(y, entry);
                if (!streq(y->user, user))
                        continue;
                if (y->request && y->request->http)
                        http_request_hang_up(y->request->http); /* y may be gone */
                else if (y->tunnel)
                        relay_end(y);
                else
                        continue;
                n++;
        }
        return n;
}

void relay_end(struct relay *y) {
        struct request *request = y->request;

        LIST_REMOVE(y, entry);
        if (request)
                request->on_gone = NULL;
        call_end(y);
        y->tunnel = tunnel_free(y->tunnel);
        sd_event_source_disable_unref(y->timer);
        if (y->held > 0)
                wait_shares_drop(y->all->shares, y->share, y->held);
        wait_shares_leave(y->all->shares, y->share);
        forward_headers_done(&y->answer);
        y->ops->free(y->owner);
        free(y->user);
        free(y);
        request_unref(request);
}

/* --- answers in the server's place --- */

void relay_refuse_request(struct request *request, const char *why) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, EHOSTUNREACH, 503, "ServiceUnavailable", "%s", why);
        respond_problem(request, &p);
}

void relay_fail(struct relay *y, int code, const char *why) {
        _cleanup_problem_ struct problem p = {0};
        char shown[RELAY_ERROR_TEXT_MAX]; /* it may quote the server's certificate */

        metric_add(y->all->failed, 1);
        if (y->request) {
                (void)snprintf(shown, sizeof(shown), "%s", why);
                shown[utf8_clean(shown, strlen(shown))] = 0;
                problem_set(&p, EIO, code,
                                code == 503   ? "ServiceUnavailable"
                                : code == 504 ? "Timeout"
                                              : "InternalError",
                                "%s", shown);
                respond_problem(y->request, &p);
        }
        relay_end(y);
}

void relay_unreachable(struct relay *y, int code, const char *why) {
        const char *better = y->ops->why ? y->ops->why(y->owner) : NULL;
        char text[RELAY_ERROR_TEXT_MAX];

        (void)snprintf(text, sizeof(text), "error trying to reach service: %s",
                        better ? better : why);
        relay_fail(y, better ? 503 : code, text);
}

void relay_refuse(struct relay *y, int error, const struct problem *p) {
        respond_error(y->request, error, p);
        relay_end(y);
}

/* --- headers --- */

const char *relay_answer_header(const struct relay *y, const char *name) {
        for (size_t i = 0; i < y->answer.count; i++)
                if (strcaseeq(y->answer.items[i].name, name))
                        return y->answer.items[i].value;
        return NULL;
}

static int add_header(struct relay *y, const struct http_header *h) {
        _cleanup_free_ char *changed = NULL;
        int r = y->ops->change ? y->ops->change(y->owner, h->name, h->value, &changed) : 0;

        if (r < 0)
                return r;
        return http_response_header(y->request->http, h->name, changed ? changed : h->value);
}

int relay_add_headers(struct relay *y) {
        const char *connection = relay_answer_header(y, "Connection");
        size_t n = 0;

        for (size_t i = 0; i < y->answer.count; i++) {
                const struct http_header *h = &y->answer.items[i];
                int r;

                if (!forward_returns(h->name, h->value, connection))
                        continue;
                if (++n > FORWARD_HEADERS_MAX)
                        return -E2BIG;
                r = add_header(y, h);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* By which an authenticating proxy has said who asks. */
static bool says_user(const struct request *request, const char *name) {
        const struct front_proxy *f = request->api->front_proxy;

        return f && identity_headers_have(front_proxy_headers(f), name);
}

int relay_request_headers(struct relay *y, struct forward_headers *h, struct problem *p) {
        struct request *request = y->request;
        const char *connection = request_header(request, "Connection"), *value, *name;
        int r = y->ops->add_headers(request, y->owner, h, p);

        for (size_t i = 0; r >= 0 &&
                           (name = http_request_header_prefixed(request->http, "", i, &value));
                        i++)
                if (forward_takes(name, value, connection) && !strcaseeq(name, FORWARD_HOPS) &&
                                !says_user(request, name))
                        r = forward_add_client(h, name, value);
        if (r == -E2BIG && !p->code)
                return problem_set(p, E2BIG, 431, "BadRequest",
                                "the request's headers are too large to be passed on");
        return MIN(r, 0);
}

/* --- the beginning --- */

bool relay_is_long_running(const struct request *request) {
        static const char *const subresources[] = {"attach", "exec", "log", "portforward", "proxy"};

        if (streq(strempty(request->route.verb), "watch"))
                return true;
        for (size_t i = 0; i < ELEMENTS(subresources); i++)
                if (streq(strempty(request->route.subresource), subresources[i]))
                        return true;
        return false;
}

/* "h2c" is still HTTP, and an offer that no server has to take. */
static bool leaves_http(const struct request *request) {
        const char *to = request_header(request, "Upgrade");

        return !isempty(to) && !strcaseeq(to, "h2c") &&
               forward_lists(request_header(request, "Connection"), "upgrade");
}

/* The client has left before the answer began. */
static void on_gone(struct request *request) {
        relay_end(request->on_gone_userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct relay *y = userdata;

        if (y->tunnel)
                tunnel_on_timer(y);
        else
                call_on_timer(y);
        return 0;
}

/* Its share of what may be under way. */
static int enter(struct relay *y, struct problem *p) {
        const struct relay_options *o = &y->all->options;
        int r = wait_shares_enter(y->all->shares, y->user, &y->share);

        if (r == -EBUSY) {
                problem_set(p, EBUSY, 429, "TooManyRequests",
                                "too many %s are under way (bound: %zu, a user gets at most half "
                                "of what is free); please try again later",
                                y->ops->busy, o->requests_max);
                p->retry_after_s = 1;
        }
        if (r < 0)
                return r;
        (void)request_body(y->request, &y->held);
        if (y->held > 0)
                wait_shares_hold(y->all->shares, y->share, y->held);
        return sd_event_add_time_relative(y->all->api->event, &y->timer, CLOCK_MONOTONIC,
                        RELAY_TIME_US, 0, on_timer, y);
}

static int prepare(struct relay *y, struct problem *p) {
        y->user = strdup(request_sharer(y->request));
        if (!y->user)
                return -ENOMEM;
        if (leaves_http(y->request)) {
                int r = tunnel_new(y);

                if (r < 0)
                        return r;
        }
        return enter(y, p);
}

struct relay *relay_begin(struct relays *all, struct request *request, void *owner) {
        _cleanup_problem_ struct problem p = {0};
        struct relay *y;
        int r;

        if ((relay_is_long_running(request) || leaves_http(request)) && !dispatch_stream(request)) {
                all->options.ops->free(owner);
                return NULL;
        }
        y = calloc(1, sizeof(*y));
        if (!y) {
                all->options.ops->free(owner);
                respond_errno(request, ENOMEM);
                return NULL;
        }
        y->all = all;
        y->ops = all->options.ops;
        y->owner = owner;
        y->request = request_ref(request);
        LIST_INSERT_HEAD(&all->list, y, entry);
        request->on_gone = on_gone;
        request->on_gone_userdata = y;
        r = prepare(y, &p);
        if (r >= 0)
                return y;
        relay_refuse(y, r, &p);
        return NULL;
}

void relay_send(struct relay *y, const struct relay_place *place) {
        _cleanup_request_ struct request *request = request_ref(y->request);
        _cleanup_problem_ struct problem p = {0};
        bool tunnel = y->tunnel;
        int r = tunnel ? tunnel_start(y, place, &p) : call_start(y, place, &p);

        if (r < 0)
                relay_refuse(y, r, &p);
        else if (!tunnel && !relay_is_long_running(request))
                dispatch_leave(request); /* what the call costs is its user's */
}
