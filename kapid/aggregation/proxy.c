/* A request on its way to an extension server, and its answer on the way back: pieces as they come,
 * no more of them than the client takes. It holds no seat of fairness while the server works; how
 * many there are is bounded, a user has at most half of what is free. The answer of a server that
 * redirects does not reach the client, which would follow it with its credentials (CVE-2022-3172).
 *
 *      waits for the head --> streams --> ended
 *              \--> answered without a body (HEAD, 204, 304) --> ended */
#include "kapid/aggregation/internal.h"

#include "kapid/aggregation/forward.h"
#include "kapid/audit/audit.h"
#include "kapid/http/dispatch.h"
#include "lib/timefmt.h"

enum {
        QUEUE_MAX = 4 << 20,
        QUEUE_HIGH = 64 << 10, /* above it the server has to wait */
        HEADER_LINES_MAX = 256,
        ERROR_TEXT_MAX = 512,
};

struct proxied {
        LIST_ENTRY(proxied) entry;
        struct aggregation *all;
        struct remote *remote;
        struct request *request;
        struct webhook_share *share;
        size_t held; /* bytes of the body, for the share */
        struct http_call *call;
        struct http_stream *stream;
        sd_event_source *head_timer; /* until it streams */
        struct forward_headers answer;
        size_t lines, bytes;
        bool too_much; /* of headers */
};

/* --- the end --- */

static void proxied_end(struct proxied *p) {
        struct request *request = p->request;

        LIST_REMOVE(p, entry);
        request->on_gone = NULL;
        http_call_cancel(p->call);
        sd_event_source_disable_unref(p->head_timer);
        if (p->held > 0)
                webhook_shares_drop(p->all->shares, p->share, p->held);
        webhook_shares_leave(p->all->shares, p->share);
        forward_headers_done(&p->answer);
        remote_unref(p->remote);
        free(p);
        request_unref(request);
}

void proxied_end_all(struct aggregation *g) {
        struct proxied *p;

        while ((p = LIST_FIRST(&g->calls))) {
                if (p->stream)
                        http_stream_abort(p->stream);
                proxied_end(p);
        }
}

size_t proxied_end_of(struct aggregation *g, const char *user) {
        struct proxied *next;
        size_t n = 0;

        for (struct proxied *p = LIST_FIRST(&g->calls); p; p = next) {
                next = LIST_NEXT(p, entry);
                if (!p->request->http || !streq(request_sharer(p->request), user))
                        continue;
                http_request_hang_up(p->request->http); /* p may be gone */
                n++;
        }
        return n;
}

void proxy_refuse(struct request *request, const char *why) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, EHOSTUNREACH, 503, "ServiceUnavailable", "%s", why);
        respond_problem(request, &p);
}

static void fail(struct proxied *p, int code, const char *fmt, const char *text) {
        _cleanup_problem_ struct problem problem = {0};
        char shown[ERROR_TEXT_MAX];

        (void)snprintf(shown, sizeof(shown), "%s", text);
        shown[utf8_clean(shown, strlen(shown))] = 0;
        problem_set(&problem, EIO, code,
                        code == 503   ? "ServiceUnavailable"
                        : code == 504 ? "Timeout"
                                      : "InternalError",
                        "%s%s", fmt, shown);
        metric_add(p->all->requests[1], 1);
        respond_problem(p->request, &problem);
        proxied_end(p);
}

/* The client has left before the answer began. */
static void on_gone(struct request *request) {
        proxied_end(request->on_gone_userdata);
}

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct proxied *p = userdata;

        p->stream = NULL;
        proxied_end(p);
}

/* --- the answer --- */

static void on_header(const char *name, const char *value, void *userdata) {
        struct proxied *p = userdata;
        int r;

        if (p->too_much || !p->head_timer) /* a trailer */
                return;
        p->bytes += strlen(name) + strlen(value);
        r = ++p->lines > HEADER_LINES_MAX || p->bytes > FORWARD_BYTES_MAX
                            ? -E2BIG
                            : forward_add(&p->answer, name, value);
        p->too_much = r == -E2BIG || r == -ENOMEM;
        if (!p->too_much)
                return;
        p->call = http_call_cancel(p->call);
        (void)sd_event_source_set_time_relative(p->head_timer, 0); /* it says so */
}

static const char *answer_header(const struct proxied *p, const char *name) {
        for (size_t i = 0; i < p->answer.count; i++)
                if (strcaseeq(p->answer.items[i].name, name))
                        return p->answer.items[i].value;
        return NULL;
}

/* -E2BIG: more headers than an answer may have. */
static int add_headers(struct proxied *p) {
        const char *connection = answer_header(p, "Connection");
        size_t n = 0;

        for (size_t i = 0; i < p->answer.count; i++) {
                const struct http_header *h = &p->answer.items[i];
                int r;

                if (!forward_returns(h->name, h->value, connection))
                        continue;
                if (++n > FORWARD_HEADERS_MAX)
                        return -E2BIG;
                r = http_response_header(p->request->http, h->name, h->value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void on_drained(struct http_stream *s, void *userdata) {
        struct proxied *p = userdata;

        if (p->call)
                http_call_resume(p->call);
}

static bool is_head(const struct proxied *p) {
        return p->request->http && streq(http_request_method(p->request->http), "HEAD");
}

static bool has_body(const struct proxied *p, int code) {
        return code >= 200 && code != 204 && code != 304 && !is_head(p);
}

/* True: it was answered in place of the server. */
static bool refuse_head(struct proxied *p, int code) {
        if (code >= 300 && code < 400 && answer_header(p, "Location"))
                fail(p, 502,
                                "the backend attempted to redirect this request, which is not "
                                "permitted",
                                "");
        else if (code < 200 || code > 599)
                fail(p, 502, "the extension server's answer has no valid status", "");
        else
                return false;
        return true;
}

static int on_headers(struct http_call *call, int code, void *userdata) {
        struct proxied *p = userdata;
        const char *type = answer_header(p, "Content-Type");

        if (!has_body(p, code))
                return 0; /* its end brings everything, in the same time */
        if (refuse_head(p, code))
                return -ECANCELED;
        p->head_timer = sd_event_source_disable_unref(p->head_timer);
        if (add_headers(p) < 0) {
                fail(p, 502, "the extension server's answer has too many headers", "");
                return -ECANCELED;
        }
        metric_add(p->all->requests[0], 1);
        p->stream = respond_stream_as(p->request, code, type, QUEUE_MAX, on_stream_gone, p);
        if (!p->stream) {
                proxied_end(p);
                return -ECANCELED;
        }
        http_stream_on_drained(p->stream, on_drained, p);
        return 0;
}

static int on_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct proxied *p = userdata;
        int r = p->stream ? http_stream_write_copy(p->stream, data, n) : 0;

        if (r >= 0 && p->stream && http_stream_queued(p->stream) > QUEUE_HIGH)
                http_call_pause(call);
        return r;
}

static void end_stream(struct proxied *p, const struct http_result *result) {
        struct http_stream *stream = TAKE_PTR(p->stream);

        if (result->error)
                http_stream_abort(stream); /* the reader must not take it for whole */
        else
                http_stream_end(stream);
        proxied_end(p);
}

static void answer_head(struct proxied *p, const struct http_result *result) {
        const char *type = answer_header(p, "Content-Type");

        if (refuse_head(p, result->code))
                return;
        if (!p->request->http || add_headers(p) < 0) {
                fail(p, 502, "the extension server's answer has too many headers", "");
                return;
        }
        metric_add(p->all->requests[0], 1);
        respond_data(p->request, result->code, strempty(type), "", 0);
        proxied_end(p);
}

static void on_done(struct http_call *call, const struct http_result *result, void *userdata) {
        struct proxied *p = userdata;

        p->call = NULL;
        if (p->stream)
                end_stream(p, result);
        else if (result->error == -ETIMEDOUT)
                fail(p, 504, "error trying to reach service: ", result->error_text);
        else if (result->error)
                fail(p, 503, "error trying to reach service: ", result->error_text);
        else
                answer_head(p, result);
}

/* No head in time, or too much of one. */
static int on_head_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct proxied *p = userdata;

        if (p->too_much)
                fail(p, 502, "the extension server's answer has too many headers", "");
        else
                fail(p, 504, "error trying to reach service: ", "it has not answered in time");
        return 0;
}

/* --- the request --- */

/* One more API server has it. */
static int add_hops(struct request *request, struct forward_headers *h) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%u",
                        forward_hops(request_header(request, FORWARD_HOPS)) + 1);
        return forward_add(h, FORWARD_HOPS, text);
}

int proxy_headers(struct request *request, struct forward_headers *h, struct problem *p) {
        const struct identity_headers *believed =
                        front_proxy_headers(aggregation_front_proxy(request->api->aggregation));
        const char *connection = request_header(request, "Connection"), *value, *name;
        int r = forward_identity(&request->user, h, p);

        for (size_t i = 0; r >= 0 &&
                           (name = http_request_header_prefixed(request->http, "", i, &value));
                        i++)
                if (forward_takes(name, value, connection) && strcasecmp(name, FORWARD_HOPS) != 0 &&
                                !identity_headers_have(believed, name))
                        r = forward_add(h, name, value);
        if (r == -E2BIG && !p->code)
                return problem_set(p, E2BIG, 431, "BadRequest",
                                "the request's headers are too large to be passed on");
        if (r < 0)
                return r;
        r = add_hops(request, h);
        if (r < 0)
                return r;
        r = forward_add(h, "Audit-Id", request->audit_id);
        return MIN(r, 0);
}

/* As the reference server. */
bool proxy_is_long_running(const struct request *request) {
        static const char *const subresources[] = {"attach", "exec", "log", "portforward", "proxy"};

        if (streq(strempty(request->route.verb), "watch"))
                return true;
        for (size_t i = 0; i < ELEMENTS(subresources); i++)
                if (streq(strempty(request->route.subresource), subresources[i]))
                        return true;
        return false;
}

static int start_call(struct proxied *p, const char *address, const char *target,
                const struct forward_headers *h) {
        struct request *request = p->request;
        const char *accept = request_header(request, "Accept"),
                   *type = request_header(request, "Content-Type");
        size_t n;
        const char *body = request_body(request, &n);

        return http_call_start(p->remote->client,
                        &(struct http_call_options){.method = http_request_method(request->http),
                                        .path = target,
                                        .base_url = address,
                                        .headers = h->items,
                                        .body = n > 0 ? body : NULL,
                                        .body_size = n,
                                        .content_type = strempty(type), /* "": libcurl adds none */
                                        .accept = isempty(accept) ? "*/*" : accept,
                                        .timeout_us = proxy_is_long_running(request)
                                                                      ? UINT64_MAX
                                                                      : PROXY_TIME_US,
                                        .stream_errors = true,
                                        .on_header = on_header,
                                        .on_headers = on_headers,
                                        .on_data = on_data,
                                        .on_done = on_done,
                                        .userdata = p},
                        &p->call);
}

/* Its share of what may be under way. */
static int enter(struct proxied *p, struct problem *problem) {
        int r = webhook_shares_enter(p->all->shares, request_sharer(p->request), &p->share);

        if (r == -EBUSY) {
                problem_set(problem, EBUSY, 429, "TooManyRequests",
                                "too many requests to extension servers are under way (bound: %d, "
                                "a user gets at most half of what is free); please try again later",
                                PROXY_CALLS_MAX);
                problem->retry_after_s = 1;
        }
        if (r < 0)
                return r;
        (void)request_body(p->request, &p->held);
        if (p->held > 0)
                webhook_shares_hold(p->all->shares, p->share, p->held);
        return 0;
}

static int begin(struct proxied *p, struct problem *problem) {
        _cleanup_forward_headers_ struct forward_headers h = {0};
        _cleanup_free_ char *target = NULL, *address = NULL, *why = NULL;
        struct request *request = p->request;
        int r = enter(p, problem);

        if (r < 0)
                return r;
        r = forward_target(http_request_path(request->http), http_request_query_text(request->http),
                        &target, problem);
        if (r < 0)
                return r;
        r = proxy_headers(request, &h, problem);
        if (r < 0)
                return r;
        r = remote_add_host(p->remote, &h);
        if (r < 0)
                return r;
        r = remote_address(p->remote, &address, &why);
        if (r == -ENOENT)
                return problem_set(problem, ENOENT, 503, "ServiceUnavailable",
                                "service unavailable: %s", why);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(request->api->event, &p->head_timer, CLOCK_MONOTONIC,
                        PROXY_TIME_US, 0, on_head_timer, p);
        return r < 0 ? r : start_call(p, address, target, &h);
}

static void audit_body(struct request *request) {
        size_t n;
        const char *body = request_body(request, &n);

        if (n > 0)
                audit_request_text(request, body, n);
}

void proxy_run(struct request *request) {
        struct remote *remote = request->remote;
        _cleanup_problem_ struct problem problem = {0};
        struct proxied *p;
        int r;

        if (!remote->all || !remote_is_available(remote)) {
                proxy_refuse(request, "service unavailable");
                return;
        }
        audit_body(request);
        if (forward_hops(request_header(request, FORWARD_HOPS)) >= FORWARD_HOPS_MAX) {
                proxy_refuse(request, "the APIService leads back to an API server that has passed the "
                                      "request on already; change its spec.service");
                return;
        }
        if (!isempty(request_header(request, "Upgrade")) &&
                        forward_lists(request_header(request, "Connection"), "upgrade")) {
                tunnel_run(request);
                return;
        }
        if (proxy_is_long_running(request) && !dispatch_stream(request))
                return;
        p = calloc(1, sizeof(*p));
        if (!p) {
                respond_errno(request, ENOMEM);
                return;
        }
        p->all = remote->all;
        p->remote = remote_ref(remote);
        p->request = request_ref(request);
        LIST_INSERT_HEAD(&p->all->calls, p, entry);
        request->on_gone = on_gone;
        request->on_gone_userdata = p;
        r = begin(p, &problem);
        if (r < 0) {
                respond_error(request, r, &problem);
                proxied_end(p);
        } else if (!proxy_is_long_running(request))
                dispatch_leave(request); /* what the call costs is its user's */
}
