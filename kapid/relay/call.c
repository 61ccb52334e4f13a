/* A request on its way to another server, and its answer on the way back: pieces as they come, no
 * more of them than the client takes. The answer of a server that redirects reaches the client only
 * where the owner allows it: a client would follow it with its credentials (CVE-2022-3172).
 *
 *      waits for the head --> streams --> ended
 *              \--> answered without a body (HEAD, 204, 304) --> ended */
#include "kapid/relay/internal.h"

enum {
        QUEUE_MAX = 4 << 20,
        QUEUE_HIGH = 64 << 10, /* above it the server has to wait */
        HEADER_LINES_MAX = 256,
};

void call_end(struct relay *y) {
        y->call.call = http_call_cancel(y->call.call);
}

static void refuse_answer(struct relay *y, const char *what) {
        _cleanup_free_ char *why = strformat("%s's answer has %s", y->ops->server, what);

        relay_fail(y, 502, strempty(why));
}

static const char too_many_headers[] = "too many headers";

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct relay *y = userdata;

        y->call.stream = NULL;
        relay_end(y);
}

/* --- the answer --- */

static void on_header(const char *name, const char *value, void *userdata) {
        struct relay *y = userdata;
        struct relay_call *c = &y->call;
        int r;

        if (c->too_much || c->streams) /* a trailer */
                return;
        c->bytes += strlen(name) + strlen(value);
        r = ++c->lines > HEADER_LINES_MAX || c->bytes > FORWARD_BYTES_MAX
                            ? -E2BIG
                            : forward_add(&y->answer, name, value);
        c->too_much = r == -E2BIG || r == -ENOMEM;
        if (!c->too_much)
                return;
        c->call = http_call_cancel(c->call);
        (void)sd_event_source_set_time_relative(y->timer, 0); /* it says so */
}

static void on_drained(struct http_stream *s, void *userdata) {
        struct relay *y = userdata;

        if (y->call.call)
                http_call_resume(y->call.call);
}

static bool is_head(const struct relay *y) {
        return y->request->http && streq(http_request_method(y->request->http), "HEAD");
}

static bool has_body(const struct relay *y, int code) {
        return code >= 200 && code != 204 && code != 304 && !is_head(y);
}

/* True: it was answered in place of the server. */
static bool refuse_head(struct relay *y, int code) {
        if (!y->ops->redirects && code >= 300 && code < 400 && relay_answer_header(y, "Location"))
                relay_fail(y, 502,
                                "the backend attempted to redirect this request, which is not "
                                "permitted");
        else if (code < 200 || code > 599)
                refuse_answer(y, "no valid status");
        else
                return false;
        return true;
}

static int on_headers(struct http_call *call, int code, void *userdata) {
        struct relay *y = userdata;

        if (code >= 200 && !has_body(y, code))
                return 0; /* its end brings everything, in the same time */
        if (refuse_head(y, code))
                return -ECANCELED;
        y->call.streams = true;
        y->timer = sd_event_source_disable_unref(y->timer);
        if (relay_add_headers(y) < 0) {
                refuse_answer(y, too_many_headers);
                return -ECANCELED;
        }
        metric_add(y->all->answered, 1);
        y->call.stream = respond_stream_as(y->request, code, relay_answer_header(y, "Content-Type"),
                        QUEUE_MAX, on_stream_gone, y);
        if (!y->call.stream) {
                relay_end(y);
                return -ECANCELED;
        }
        http_stream_on_drained(y->call.stream, on_drained, y);
        return 0;
}

static int on_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct relay *y = userdata;
        struct http_stream *stream = y->call.stream;
        int r = stream ? http_stream_write_copy(stream, data, n) : 0;

        if (r >= 0 && stream && http_stream_queued(stream) > QUEUE_HIGH)
                http_call_pause(call);
        return r;
}

static void end_stream(struct relay *y, const struct http_result *result) {
        struct http_stream *stream = TAKE_PTR(y->call.stream);

        if (result->error)
                http_stream_abort(stream); /* the reader must not take it for whole */
        else
                http_stream_end(stream);
        relay_end(y);
}

static void answer_head(struct relay *y, const struct http_result *result) {
        const char *type = relay_answer_header(y, "Content-Type");

        if (refuse_head(y, result->code))
                return;
        if (!y->request->http || relay_add_headers(y) < 0) {
                refuse_answer(y, too_many_headers);
                return;
        }
        metric_add(y->all->answered, 1);
        respond_data(y->request, result->code, strempty(type), "", 0);
        relay_end(y);
}

static void on_done(struct http_call *call, const struct http_result *result, void *userdata) {
        struct relay *y = userdata;

        y->call.call = NULL;
        if (y->call.stream)
                end_stream(y, result);
        else if (result->error)
                relay_unreachable(y, result->error == -ETIMEDOUT ? 504 : 503, result->error_text);
        else
                answer_head(y, result);
}

void call_on_timer(struct relay *y) {
        if (y->call.too_much)
                refuse_answer(y, too_many_headers);
        else
                relay_unreachable(y, 504, "it has not answered in time");
}

/* --- the request --- */

int call_start(struct relay *y, const struct relay_place *place, struct problem *p) {
        struct request *request = y->request;
        const char *accept = request_header(request, "Accept"),
                   *type = request_header(request, "Content-Type");
        _cleanup_forward_headers_ struct forward_headers h = {0};
        size_t n;
        const char *body = request_body(request, &n);
        int r = relay_request_headers(y, &h, p);

        if (r < 0)
                return r;
        return http_call_start(place->client,
                        &(struct http_call_options){.method = http_request_method(request->http),
                                        .path = place->target,
                                        .base_url = place->base_url,
                                        .socket_name = place->socket_name,
                                        .headers = h.items,
                                        .body = n > 0 ? body : NULL,
                                        .body_size = n,
                                        .content_type = strempty(type), /* "": libcurl adds none */
                                        .accept = isempty(accept) ? "*/*" : accept,
                                        .timeout_us = relay_is_long_running(request)
                                                                      ? UINT64_MAX
                                                                      : RELAY_TIME_US,
                                        .idle_timeout_us = place->idle_us,
                                        .stream_errors = true,
                                        .on_header = on_header,
                                        .on_headers = on_headers,
                                        .on_data = on_data,
                                        .on_done = on_done,
                                        .userdata = y},
                        &y->call.call);
}
