/* The HTTP server by HTTP/2, over loopback and TLS, asked by lib/h2.h's own client. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "lib/h2.h"
#include "lib/http-server.h"
#include "lib/net.h"
#include "lib/tls.h"
#include "tests/unit/certs.h"

enum { BODY_MAX = 64 << 10, STREAM_MAX = 1 << 20 };

struct world {
        sd_event *event;
        struct http_server *server;
        struct test_cert ca, cert, client;
        struct http_request *waiting;
        struct http_stream *stream;
        size_t requests_gone, streams_gone, freed, drained;
        char last[256], cn[64];
        size_t last_body;
        bool answers_in_pieces;
        /* the client */
        struct h2_loop loop;
        struct tls_context *tls;
        struct h2_connection *connection;
        bool open, broken, goaway;
};

struct answer {
        struct h2_stream stream;
        char status[8], type[32];
        struct buf body;
        bool ended, over;
        uint32_t error;
};

/* ---- the program ---- */

static void on_gone(struct http_request *r, void *userdata) {
        struct world *w = userdata;

        w->requests_gone++;
        w->waiting = NULL;
}

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct world *w = userdata;

        w->streams_gone++;
        w->stream = NULL;
}

static void on_free(void *userdata) {
        ((struct world *)userdata)->freed++;
}

static void on_drained(struct http_stream *s, void *userdata) {
        ((struct world *)userdata)->drained++;
}

static void answer_in_pieces(struct http_request *r) {
        struct bytes *pieces[] = {bytes_new("one ", 4), bytes_new("", 0), bytes_new("two", 3)};

        http_respond_pieces(r, 200, "text/plain", pieces, ELEMENTS(pieces));
        for (size_t i = 0; i < ELEMENTS(pieces); i++)
                bytes_unref(pieces[i]);
}

static void on_request(struct http_request *r, void *userdata) {
        const char *path = http_request_path(r), *value = NULL, *rest;
        struct world *w = userdata;
        size_t n;

        http_request_set_userdata(r, w, on_free);
        http_request_body(r, &w->last_body);
        rest = http_request_header_prefixed(r, "X-Extra-", 0, &value);
        (void)snprintf(w->last, sizeof(w->last), "%s %s ?%s host=%s x1=%s %s=%s",
                        http_request_method(r), path, http_request_query_text(r),
                        strempty(http_request_header(r, "Host")),
                        strempty(http_request_header_at(r, "X-Many", 1)), strempty(rest),
                        strempty(value));
        (void)snprintf(w->cn, sizeof(w->cn), "%s", strempty(http_request_peer(r)->cn));
        assert_non_null(startswith(http_request_peer(r)->address, "127.0.0.1:"));
        if (startswith(path, "/wait")) {
                w->waiting = r;
                http_request_on_gone(r, on_gone, w);
        } else if (startswith(path, "/stream")) {
                w->stream = http_stream_begin(r, 200, "text/x", STREAM_MAX, on_stream_gone, w);
                assert_non_null(w->stream);
                http_stream_on_drained(w->stream, on_drained, w);
        } else if (startswith(path, "/pieces"))
                answer_in_pieces(r);
        else if (startswith(path, "/upgrade"))
                assert_null(http_upgrade_begin(r, NULL, NULL));
        else {
                assert_int_equal(http_response_header(r, "X-Own", "yes"), 0);
                const char *body = http_request_body(r, &n);
                http_respond(r, 200, "text/plain", n ? body : "hello", n ? n : 5);
        }
}

/* ---- the client ---- */

static struct answer *answer_of(struct h2_stream *s) {
        return container_of(s, struct answer, stream);
}

static int on_header(struct h2_stream *s, const char *name, const char *value) {
        struct answer *a = answer_of(s);

        if (streq(name, ":status"))
                (void)snprintf(a->status, sizeof(a->status), "%s", value);
        else if (streq(name, "content-type"))
                (void)snprintf(a->type, sizeof(a->type), "%s", value);
        return 0;
}

static void on_headers(struct h2_stream *s, bool end) {
        answer_of(s)->ended = end;
}

static void on_data(struct h2_stream *s, const void *data, size_t n) {
        assert_int_equal(buf_append(&answer_of(s)->body, data, n), 0);
}

static void on_remote_end(struct h2_stream *s) {
        answer_of(s)->ended = true;
}

static int on_local_end(struct h2_stream *s) {
        return 0;
}

static void on_nothing(struct h2_stream *s) {
}

static void on_closed(struct h2_stream *s, uint32_t error) {
        answer_of(s)->error = error;
        answer_of(s)->over = true;
        h2_stream_done(s);
}

static void on_open(struct h2_connection *c) {
        ((struct world *)c->owner)->open = true;
}

static void on_goaway(struct h2_connection *c) {
        ((struct world *)c->owner)->goaway = true;
}

static void on_broken(struct h2_connection *c, const char *why) {
        struct world *w = c->owner;

        w->broken = true;
        w->connection = NULL;
}

static const struct h2_handler client_handler = {
                .on_header = on_header,
                .on_headers = on_headers,
                .on_data = on_data,
                .on_remote_end = on_remote_end,
                .on_local_end = on_local_end,
                .on_drained = on_nothing,
                .on_expired = on_nothing,
                .on_closed = on_closed,
                .on_open = on_open,
                .on_goaway = on_goaway,
                .on_broken = on_broken,
};

static void on_deadline(struct h2_loop *loop, uint64_t now_us) {
}

static void client_connect(struct world *w) {
        const struct tls_files pem = {
                        .ca = w->ca.cert, .cert = w->client.cert, .key = w->client.key};
        _cleanup_problem_ struct problem p = {0};
        int fd;

        assert_int_equal(h2_loop_init(&w->loop, w->event, on_deadline), 0);
        assert_int_equal(tls_context_new_pem(&w->tls, &pem, false, &p), 0);
        assert_int_equal(net_connect_tcp_start(&fd, "127.0.0.1", http_server_port(w->server)), 0);
        assert_int_equal(h2_connection_new(&w->connection, &w->loop, &client_handler, w, fd, w->tls,
                                         "localhost", H2_CLIENT),
                        0);
        loop_until(w->event, w->open || w->broken);
        assert_true(w->open);
}

static void client_close(struct world *w) {
        w->connection = h2_connection_free(w->connection);
        h2_loop_done(&w->loop);
        w->tls = tls_context_free(w->tls);
        w->open = w->broken = w->goaway = false;
}

static void world_start(struct world *w, struct http_server_options o) {
        _cleanup_problem_ struct problem p = {0};
        int r;

        *w = (struct world){.ca = test_cert_new(NULL, "ca", NULL, false)};
        w->cert = test_cert_new(&w->ca, "server", NULL, false);
        w->client = test_cert_new(&w->ca, "anna", "team", false);
        assert_int_equal(sd_event_new(&w->event), 0);
        o.host = "127.0.0.1";
        o.tls_cert = w->cert.cert;
        o.tls_key = w->cert.key;
        o.tls_client_ca = w->ca.cert;
        o.http2 = true;
        o.handler = on_request;
        o.userdata = w;
        o.body_size_max = BODY_MAX;
        r = http_server_new(&w->server, w->event, &o, &p);
        if (r < 0)
                fail_msg("%s", strempty(p.message));
        client_connect(w);
}

static void world_stop(struct world *w) {
        client_close(w);
        w->server = http_server_free(w->server);
        w->event = sd_event_unref(w->event);
        test_cert_done(&w->ca);
        test_cert_done(&w->cert);
        test_cert_done(&w->client);
}

static void ask(struct world *w, struct answer *a, const char *method, const char *path,
                const void *body, size_t n) {
        const struct h2_header h[] = {{":method", method}, {":scheme", "https"},
                        {":authority", "localhost"}, {":path", path}, {"x-many", "1"},
                        {"x-many", "2"}, {"x-extra-a", "b"}};
        _cleanup_bytes_ struct bytes *b = bytes_new(body, n);

        *a = (struct answer){.stream.deadline_us = UINT64_MAX};
        if (n > 0)
                assert_int_equal(h2_stream_send(&a->stream, NULL, 0, b), 0);
        a->stream.ending = true;
        assert_int_equal(h2_submit_request(w->connection, &a->stream, h, ELEMENTS(h)), 0);
}

static void expect(struct world *w, struct answer *a, const char *status, const char *body) {
        loop_until(w->event, a->over);
        assert_string_equal(a->status, status);
        if (body) {
                assert_int_equal(a->body.size, strlen(body));
                assert_memory_equal(strempty(a->body.data), body, strlen(body));
        }
        buf_done(&a->body);
}

/* ---- cases ---- */

static void answers(void **state) {
        struct answer a;
        struct world w;

        world_start(&w, (struct http_server_options){0});
        ask(&w, &a, "GET", "/a%2Fb?x=1&y", NULL, 0);
        expect(&w, &a, "200", "hello");
        assert_string_equal(w.last, "GET /a%2Fb ?x=1&y host=localhost x1=2 a=b");
        assert_string_equal(w.cn, "anna");
        assert_string_equal(a.type, "text/plain");
        ask(&w, &a, "PUT", "/x", "body", 4);
        expect(&w, &a, "200", "body");
        ask(&w, &a, "HEAD", "/x", NULL, 0);
        expect(&w, &a, "200", "");
        ask(&w, &a, "GET", "/pieces", NULL, 0);
        expect(&w, &a, "200", "one two");
        ask(&w, &a, "GET", "/upgrade", NULL, 0);
        expect(&w, &a, "505", NULL);
        loop_until(w.event, w.freed == 5);
        assert_int_equal(http_server_http2(w.server), 1);
        assert_int_equal(http_server_strangers(w.server), 0);
        world_stop(&w);
}

static void refuses_large_bodies(void **state) {
        _cleanup_free_ char *body = calloc(1, BODY_MAX + 1);
        struct answer a;
        struct world w;

        world_start(&w, (struct http_server_options){0});
        ask(&w, &a, "POST", "/x", body, BODY_MAX + 1);
        expect(&w, &a, "413", NULL);
        assert_int_equal(w.freed, 0);
        ask(&w, &a, "POST", "/x", body, BODY_MAX);
        expect(&w, &a, "200", NULL);
        assert_int_equal(w.last_body, BODY_MAX);
        loop_until(w.event, http_server_bodies(w.server) == 0);
        world_stop(&w);
}

static void answers_later_or_never(void **state) {
        struct answer a, b;
        struct world w;

        world_start(&w, (struct http_server_options){0});
        ask(&w, &a, "GET", "/wait", NULL, 0);
        loop_until(w.event, w.waiting);
        ask(&w, &b, "GET", "/x", NULL, 0);
        expect(&w, &b, "200", "hello"); /* nobody waits for the first */
        http_respond(TAKE_PTR(w.waiting), 201, "text/plain", "late", 4);
        expect(&w, &a, "201", "late");
        /* The client gives up. */
        ask(&w, &a, "GET", "/wait", NULL, 0);
        loop_until(w.event, w.waiting && w.freed == 2);
        h2_stream_reset(&a.stream, H2_CANCEL);
        loop_until(w.event, w.requests_gone == 1 && w.freed == 3);
        /* The program hangs up: the request is gone, its connection is not. */
        ask(&w, &a, "GET", "/wait", NULL, 0);
        loop_until(w.event, w.waiting);
        http_request_hang_up(w.waiting);
        expect(&w, &a, "", "");
        assert_int_equal(a.error, H2_CANCEL);
        assert_int_equal(w.requests_gone, 2);
        ask(&w, &a, "GET", "/x", NULL, 0);
        expect(&w, &a, "200", "hello");
        world_stop(&w);
}

static void streams(void **state) {
        _cleanup_free_ char *zeros = calloc(1, STREAM_MAX);
        _cleanup_bytes_ struct bytes *big = bytes_new(zeros, STREAM_MAX);
        struct answer a, b;
        struct world w;

        world_start(&w, (struct http_server_options){0});
        ask(&w, &a, "GET", "/stream", NULL, 0);
        loop_until(w.event, *a.status); /* the head goes out before anything is written */
        assert_int_equal(http_stream_write_copy(w.stream, "one", 3), 0);
        assert_int_equal(http_stream_queued(w.stream), 3);
        loop_until(w.event, a.body.size == 3 && w.drained > 0);
        assert_int_equal(http_stream_write_copy(w.stream, "two", 3), 0);
        http_stream_end(w.stream);
        expect(&w, &a, "200", "onetwo");
        assert_int_equal(w.streams_gone, 0);
        /* A bounded queue: what does not fit is the program's again. */
        ask(&w, &a, "GET", "/stream", NULL, 0);
        loop_until(w.event, *a.status);
        assert_int_equal(http_stream_write(w.stream, big), 0);
        assert_int_equal(http_stream_write(w.stream, big), -ENOBUFS);
        http_stream_abort(w.stream);
        loop_until(w.event, a.over);
        assert_int_equal(a.error, H2_INTERNAL_ERROR);
        assert_false(a.ended);
        buf_done(&a.body);
        /* The client leaves. */
        ask(&w, &a, "GET", "/stream", NULL, 0);
        ask(&w, &b, "GET", "/x", NULL, 0);
        expect(&w, &b, "200", "hello");
        h2_stream_reset(&a.stream, H2_CANCEL);
        loop_until(w.event, w.streams_gone == 1);
        world_stop(&w);
}

static void ends_with_its_streams(void **state) {
        struct answer a, b;
        struct world w;

        world_start(&w, (struct http_server_options){0});
        ask(&w, &a, "GET", "/stream", NULL, 0);
        ask(&w, &b, "GET", "/wait", NULL, 0);
        loop_until(w.event, w.stream && w.waiting);
        http_server_stop_accepting(w.server);
        loop_until(w.event, w.goaway);
        http_respond(w.waiting, 200, NULL, "end", 3); /* what is under way is answered */
        expect(&w, &b, "200", "end");
        w.server = http_server_free(w.server);
        assert_int_equal(w.streams_gone, 1);
        loop_until(w.event, w.broken);
        world_stop(&w);
}

/* A request and the notice cross each other on their way. */
static void answers_what_crossed_the_notice(void **state) {
        struct answer a;
        struct world w;

        world_start(&w, (struct http_server_options){0});
        ask(&w, &a, "GET", "/wait", NULL, 0);
        loop_until(w.event, w.waiting);
        http_respond(w.waiting, 200, NULL, "one", 3);
        w.waiting = NULL;
        expect(&w, &a, "200", "one");
        http_server_stop_accepting(w.server);
        ask(&w, &a, "GET", "/wait", NULL, 0);
        loop_until(w.event, w.waiting || a.over);
        assert_false(a.over);
        http_respond(w.waiting, 200, NULL, "two", 3);
        expect(&w, &a, "200", "two");
        loop_until(w.event, w.goaway && w.broken);
        world_stop(&w);
}

static void idle_connections_end(void **state) {
        struct answer a;
        struct world w;

        world_start(&w, (struct http_server_options){.idle_timeout_s = 1});
        ask(&w, &a, "GET", "/stream", NULL, 0);
        loop_until(w.event, *a.status);
        loop_for_ms(w.event, 1500);
        assert_false(w.goaway); /* a stream without a byte is not idle */
        http_stream_end(w.stream);
        expect(&w, &a, "200", "");
        loop_until(w.event, w.goaway && w.broken);
        loop_until(w.event, http_server_http2(w.server) == 0);
        world_stop(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(answers),
                        cmocka_unit_test(refuses_large_bodies),
                        cmocka_unit_test(answers_later_or_never),
                        cmocka_unit_test(streams),
                        cmocka_unit_test(ends_with_its_streams),
                        cmocka_unit_test(answers_what_crossed_the_notice),
                        cmocka_unit_test(idle_connections_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
