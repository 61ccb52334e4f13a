/* The HTTP server over loopback and Unix sockets, spoken to byte by byte. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/http-server.h"
#include "lib/net.h"
#include "lib/tls.h"
#include "tests/unit/certs.h"

enum { STREAMS = 1200, BODY_MAX = 64 << 10 };

struct world {
        sd_event *event;
        struct http_server *server;
        struct http_request *waiting;
        struct http_stream *streams[STREAMS];
        size_t stream_count, streams_gone, requests_gone, freed, drained;
        char last[512]; /* what the last request looked like */
        size_t last_body;
        char cn[64], organization[64], fingerprint[65], problem[256], address[64];
        bool certificate, unix_socket;
        uid_t uid;
        uint64_t not_after_s;
};

static void on_gone(struct http_request *r, void *userdata) {
        struct world *w = userdata;

        w->requests_gone++;
        w->waiting = NULL;
}

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct world *w = userdata;

        w->streams_gone++;
        for (size_t i = 0; i < w->stream_count; i++)
                if (w->streams[i] == s)
                        w->streams[i] = NULL;
}

static void on_free(void *userdata) {
        ((struct world *)userdata)->freed++;
}

static void on_drained(struct http_stream *s, void *userdata) {
        ((struct world *)userdata)->drained++;
}

static void note(struct world *w, struct http_request *r) {
        const struct http_peer *peer = http_request_peer(r);
        size_t n;

        http_request_body(r, &n);
        w->last_body = n;
        (void)snprintf(w->last, sizeof(w->last), "%s %s ?%s x=%s x1=%s h=%s h1=%s",
                        http_request_method(r), http_request_path(r), http_request_query_text(r),
                        strempty(http_request_query(r, "x")),
                        strempty(http_request_query_at(r, "x", 1)),
                        strempty(http_request_header(r, "accept")),
                        strempty(http_request_header_at(r, "x-many", 1)));
        w->certificate = peer->certificate;
        w->unix_socket = peer->unix_socket;
        w->uid = peer->uid;
        w->not_after_s = peer->not_after_s;
        (void)snprintf(w->cn, sizeof(w->cn), "%s", strempty(peer->cn));
        (void)snprintf(w->organization, sizeof(w->organization), "%s",
                        peer->organizations ? strempty(peer->organizations[0]) : "");
        (void)snprintf(w->fingerprint, sizeof(w->fingerprint), "%s", strempty(peer->fingerprint));
        (void)snprintf(w->problem, sizeof(w->problem), "%s", strempty(peer->certificate_problem));
        (void)snprintf(w->address, sizeof(w->address), "%s", peer->address);
}

static void on_request(struct http_request *r, void *userdata) {
        struct world *w = userdata;
        const char *path = http_request_path(r);
        size_t n;

        note(w, r);
        http_request_set_userdata(r, w, on_free);
        if (startswith(path, "/wait")) {
                w->waiting = r;
                http_request_on_gone(r, on_gone, w);
        } else if (startswith(path, "/stream")) {
                struct http_stream *s = http_stream_begin(
                                r, 200, "application/json", 1 << 20, on_stream_gone, w);

                assert_non_null(s);
                assert_true(w->stream_count < STREAMS);
                http_stream_on_drained(s, on_drained, w);
                w->streams[w->stream_count++] = s;
        } else {
                assert_int_equal(http_response_header(r, "X-Own", "yes"), 0);
                const char *body = http_request_body(r, &n);
                http_respond(r, 200, "text/plain", n ? body : "hello", n ? n : 5);
        }
}

static void world_start(struct world *w, struct http_server_options *o) {
        _cleanup_problem_ struct problem p = {0};

        *w = (struct world){0};
        assert_int_equal(sd_event_new(&w->event), 0);
        o->handler = on_request;
        o->userdata = w;
        o->body_size_max = BODY_MAX;
        if (!o->unix_path)
                o->host = "127.0.0.1";
        int r = http_server_new(&w->server, w->event, o, &p);
        if (r < 0)
                fail_msg("%s", strempty(p.message));
}

static void world_stop(struct world *w) {
        w->server = http_server_free(w->server);
        w->event = sd_event_unref(w->event);
}

static int connect_to(struct world *w) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(http_server_port(w->server))};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        return fd;
}

static void send_text(int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads what there is; 1 at the end of the connection. */
static bool receive(int fd, struct buf *b) {
        char block[4096];
        ssize_t n;

        while ((n = recv(fd, block, sizeof(block), 0)) > 0)
                assert_int_equal(buf_append(b, block, (size_t)n), 0);
        return n == 0 || errno != EAGAIN;
}

static void expect(struct world *w, int fd, struct buf *b, const char *text) {
        loop_until(w->event, ((void)receive(fd, b), b->data && strstr(b->data, text)));
}

static void answers_and_keeps_alive(void **state) {
        struct http_server_options o = {0};
        _cleanup_buf_ struct buf b = {0};
        struct world w;

        world_start(&w, &o);
        _cleanup_close_ int fd = connect_to(&w);
        send_text(fd, "GET /a%2Fb/../c+d?x=1%202&x=b+c&watch HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n"
                      "X-Many: 1\r\nx-many: 2\r\n\r\n");
        expect(&w, fd, &b, "hello");
        assert_string_equal(
                        w.last, "GET /a%2Fb/../c+d ?x=1%202&x=b+c&watch x=1 2 x1=b c h=*/* h1=2");
        assert_non_null(strstr(b.data, "HTTP/1.1 200 "));
        assert_non_null(strstr(b.data, "X-Own: yes\r\n"));
        assert_non_null(strstr(b.data, "Content-Length: 5\r\n"));
        assert_non_null(startswith(w.address, "127.0.0.1:"));
        assert_false(w.certificate);
        buf_reset(&b);
        send_text(fd, "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, fd, &b, "\r\n\r\n");
        assert_null(strstr(b.data, "hello"));
        assert_non_null(strstr(b.data, "Content-Length: 5\r\n"));
        buf_reset(&b);
        send_text(fd, "PATCH /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo");
        loop_for_ms(w.event, 20);
        send_text(fd, "dy");
        expect(&w, fd, &b, "body");
        assert_int_equal(w.last_body, 4);
        loop_until(w.event, w.freed == 3);
        world_stop(&w);
}

static void refuses_large_bodies(void **state) {
        struct http_server_options o = {0};
        _cleanup_buf_ struct buf b = {0};
        struct world w;

        world_start(&w, &o);
        _cleanup_close_ int fd = connect_to(&w);
        send_text(fd, "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                      "Content-Length: 70000\r\n\r\n");
        expect(&w, fd, &b, "HTTP/1.1 413 ");
        assert_string_equal(w.last, "");

        /* Who sends without asking is answered when all is there, or it would see a reset. */
        _cleanup_close_ int whole = connect_to(&w);
        _cleanup_free_ char *body = malloc(70000 + 1);
        memset(body, 'x', 70000);
        body[70000] = 0;
        buf_reset(&b);
        send_text(whole, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n");
        for (size_t i = 0; i < 7; i++) {
                _cleanup_free_ char *part = strndup(body + i * 10000, 10000);

                send_text(whole, part);
                loop_for_ms(w.event, 2);
        }
        expect(&w, whole, &b, "HTTP/1.1 413 ");
        assert_string_equal(w.last, "");

        /* Chunked: the size shows only while reading. */
        _cleanup_close_ int chunked = connect_to(&w);
        _cleanup_free_ char *block = malloc(8192 + 1);
        memset(block, 'x', 8192);
        block[8192] = 0;
        buf_reset(&b);
        send_text(chunked, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t i = 0; i < 10; i++) {
                send_text(chunked, "2000\r\n");
                send_text(chunked, block);
                send_text(chunked, "\r\n");
                loop_for_ms(w.event, 2);
        }
        send_text(chunked, "0\r\n\r\n");
        expect(&w, chunked, &b, "HTTP/1.1 413 ");
        assert_non_null(strstr(b.data, "limit is 65536 bytes"));
        assert_string_equal(w.last, "");
        world_stop(&w);
}

static void survives_garbage(void **state) {
        static const char *const inputs[] = {"\r\n\r\n\r\n", "GET\r\n\r\n",
                        "GET / HTTP/9.9\r\n\r\n",
                        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: many\r\n\r\n",
                        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nhalf",
                        "\x16\x03\x01"};
        struct http_server_options o = {0};
        struct world w;

        world_start(&w, &o);
        for (size_t i = 0; i < ELEMENTS(inputs); i++) {
                int fd = connect_to(&w);

                send_text(fd, inputs[i]);
                loop_for_ms(w.event, 10);
                close(fd);
        }
        loop_for_ms(w.event, 10);
        assert_string_equal(w.last, "");
        world_stop(&w);
}

static void answers_later(void **state) {
        struct http_server_options o = {0};
        _cleanup_buf_ struct buf b = {0};
        struct world w;

        world_start(&w, &o);
        _cleanup_close_ int fd = connect_to(&w);
        send_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        loop_until(w.event, w.waiting);
        loop_for_ms(w.event, 20);
        struct bytes *body = bytes_new("late", 4);
        http_respond_bytes(TAKE_PTR(w.waiting), 404, "text/plain", body);
        bytes_unref(body);
        expect(&w, fd, &b, "late");
        assert_non_null(startswith(b.data, "HTTP/1.1 404 "));
        /* The same connection again, and this time the client goes away first. */
        send_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        loop_until(w.event, w.waiting);
        fd = safe_close(fd);
        loop_until(w.event, w.requests_gone == 1);
        loop_until(w.event, w.freed == 2);
        /* A client that waits while the server ends. */
        fd = connect_to(&w);
        send_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        loop_until(w.event, w.waiting);
        world_stop(&w);
        assert_int_equal(w.requests_gone, 2);
        assert_int_equal(w.freed, 3);
}

static void streams(void **state) {
        struct http_server_options o = {0};
        _cleanup_buf_ struct buf b = {0};
        struct world w;

        world_start(&w, &o);
        _cleanup_close_ int fd = connect_to(&w);
        send_text(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, fd, &b, "\r\n\r\n"); /* headers before any data */
        assert_non_null(strstr(b.data, "chunked"));
        struct http_stream *s = w.streams[0];
        for (unsigned i = 0; i < 3; i++) {
                char text[16];

                buf_reset(&b);
                (void)snprintf(text, sizeof(text), "event-%u", i);
                assert_int_equal(http_stream_write_copy(s, text, strlen(text)), 0);
                expect(&w, fd, &b, text);
                loop_until(w.event, w.drained == i + 1);
        }
        assert_int_equal(http_stream_queued(s), 0);
        buf_reset(&b);
        assert_int_equal(http_stream_write_copy(s, "last", 4), 0);
        http_stream_end(s);
        expect(&w, fd, &b, "last\r\n0\r\n\r\n");
        assert_int_equal(w.streams_gone, 0);
        /* The connection goes on; the next stream breaks without a final chunk. */
        buf_reset(&b);
        send_text(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
        loop_until(w.event, w.stream_count == 2);
        assert_int_equal(http_stream_write_copy(w.streams[1], "part", 4), 0);
        expect(&w, fd, &b, "part");
        http_stream_abort(w.streams[1]);
        loop_until(w.event, receive(fd, &b));
        assert_null(strstr(b.data, "0\r\n\r\n"));
        assert_int_equal(w.streams_gone, 0);
        world_stop(&w);
}

static void slow_and_vanished_readers(void **state) {
        struct http_server_options o = {0};
        struct world w;
        int r = 0;

        world_start(&w, &o);
        _cleanup_close_ int fd = connect_to(&w);
        send_text(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
        loop_until(w.event, w.stream_count == 1);
        _cleanup_free_ char *zeros = calloc(1, 256 << 10);
        _cleanup_bytes_ struct bytes *block = bytes_new(zeros, 256 << 10);
        for (unsigned i = 0; i < 200 && r == 0; i++) {
                r = http_stream_write(w.streams[0], block);
                loop_for_ms(w.event, 1);
        }
        assert_int_equal(r, -ENOBUFS); /* nobody reads: bounded */
        assert_true(http_stream_queued(w.streams[0]) <= (1 << 20));
        assert_true(block->refs > 1); /* shared, not copied */
        fd = safe_close(fd);
        loop_until(w.event, w.streams_gone == 1);
        assert_int_equal(block->refs, 1);
        /* A silent stream notices the client's end without a write. */
        fd = connect_to(&w);
        send_text(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
        loop_until(w.event, w.stream_count == 2);
        loop_for_ms(w.event, 10);
        fd = safe_close(fd);
        loop_until(w.event, w.streams_gone == 2);
        world_stop(&w);
}

static void many_streams(void **state) {
        struct http_server_options o = {0};
        struct rlimit files;
        static int fds[STREAMS];
        struct world w;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
        files.rlim_cur = files.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        if (files.rlim_max < 3 * STREAMS)
                skip();
        world_start(&w, &o);
        for (size_t i = 0; i < STREAMS; i++) {
                fds[i] = connect_to(&w);
                send_text(fds[i], "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
                if (i % 50 == 0)
                        loop_for_ms(w.event, 1);
        }
        loop_until(w.event, w.stream_count == STREAMS);
        _cleanup_bytes_ struct bytes *event = bytes_new("one event for all", 17);
        for (unsigned round = 0; round < 3; round++) {
                for (size_t i = 0; i < STREAMS; i++)
                        assert_int_equal(http_stream_write(w.streams[i], event), 0);
                for (size_t i = 0; i < STREAMS; i++) {
                        _cleanup_buf_ struct buf b = {0};

                        expect(&w, fds[i], &b, "one event for all");
                }
        }
        assert_int_equal(event->refs, 1);
        for (size_t i = 0; i < STREAMS / 2; i++)
                close(fds[i]);
        loop_until(w.event, w.streams_gone == STREAMS / 2);
        world_stop(&w);
        assert_int_equal(w.streams_gone, STREAMS);
        assert_int_equal(w.freed, STREAMS);
        for (size_t i = STREAMS / 2; i < STREAMS; i++)
                close(fds[i]);
}

static void unix_sockets(void **state) {
        char folder[] = "/tmp/keelson-test-XXXXXX";
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf b = {0};
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        struct http_server *second = NULL;
        struct world w;

        assert_non_null(mkdtemp(folder));
        (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", folder);
        struct http_server_options o = {.unix_path = a.sun_path, .handler = on_request};
        world_start(&w, &o);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, fd, &b, "hello");
        assert_true(w.unix_socket);
        assert_int_equal(w.uid, getuid());
        assert_int_equal(http_server_new(&second, w.event, &o, &p), -EADDRINUSE);
        assert_non_null(strstr(p.message, a.sun_path));
        world_stop(&w);
        assert_int_equal(access(a.sun_path, F_OK), -1);
        /* A socket file that a killed server left behind is replaced. */
        _cleanup_close_ int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(stale, (struct sockaddr *)&a, sizeof(a)), 0);
        stale = safe_close(stale);
        world_start(&w, &o);
        world_stop(&w);
        assert_int_equal(rmdir(folder), 0);
}

static void refuses_addresses(void **state) {
        _cleanup_problem_ struct problem p = {0};
        struct http_server_options o = {0};
        struct http_server *second = NULL;
        struct world w;

        world_start(&w, &o);
        o.port = http_server_port(w.server);
        assert_int_equal(http_server_new(&second, w.event, &o, &p), -EADDRINUSE);
        assert_non_null(strstr(p.message, "another program listens there"));
        o.host = "not-an-address";
        assert_int_equal(http_server_new(&second, w.event, &o, &p), -EINVAL);
        /* Once it stops accepting the port is free, and the connection under way is served. */
        _cleanup_close_ int fd = connect_to(&w);
        loop_for_ms(w.event, 10);
        http_server_stop_accepting(w.server);
        o.host = "127.0.0.1";
        assert_int_equal(http_server_new(&second, w.event, &o, &p), 0);
        _cleanup_buf_ struct buf b = {0};
        send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, fd, &b, "hello");
        http_server_free(second);
        world_stop(&w);
}

/* One request over TLS with the given client certificate; the answer's first bytes, or NULL when
 * the server is not trusted. */
static void tls_request(
                struct world *w, const char *ca, const struct test_cert *client, int expected) {
        const struct tls_files pem = {.ca = ca,
                        .cert = client ? client->cert : NULL,
                        .key = client ? client->key : NULL};
        _cleanup_(tls_context_freep) struct tls_context *context = NULL;
        _cleanup_(tls_stream_freep) struct tls_stream *stream = NULL;
        static const char request[] = "GET /tls HTTP/1.1\r\nHost: localhost\r\n\r\n";
        _cleanup_problem_ struct problem p = {0};
        char answer[512];
        bool want_write;
        ssize_t n;
        int r;

        assert_int_equal(tls_context_new_pem(&context, &pem, false, &p), 0);
        _cleanup_close_ int fd = connect_to(w);
        assert_int_equal(tls_stream_new(&stream, context, fd, "localhost", NULL), 0);
        loop_until(w->event, (r = tls_stream_handshake(stream, &want_write)) != -EAGAIN);
        assert_int_equal(r, expected);
        if (r < 0) {
                assert_true(strlen(tls_stream_error_text(stream)) > 0);
                return;
        }
        assert_int_equal(tls_stream_write(stream, request, sizeof(request) - 1),
                        sizeof(request) - 1);
        loop_until(w->event, (n = tls_stream_read(stream, answer, sizeof(answer) - 1)) != -EAGAIN);
        assert_true(n > 0);
        answer[n] = 0;
        assert_non_null(startswith(answer, "HTTP/1.1 200 "));
}

static void tls(void **state) {
        struct test_cert ca = test_cert_new(NULL, "ca", NULL, false);
        struct test_cert other_ca = test_cert_new(NULL, "other", NULL, false);
        struct test_cert server = test_cert_new(&ca, "server", NULL, false);
        struct test_cert rotated = test_cert_new(&other_ca, "server", NULL, false);
        struct test_cert client = test_cert_new(&ca, "alice", "system:masters", false);
        struct test_cert expired = test_cert_new(&ca, "old", "system:masters", true);
        struct test_cert foreign = test_cert_new(&other_ca, "mallory", "system:masters", false);
        struct http_server_options o = {
                        .tls_cert = server.cert, .tls_key = server.key, .tls_client_ca = ca.cert};
        struct world w;

        world_start(&w, &o);
        tls_request(&w, ca.cert, &client, 0);
        assert_true(w.certificate);
        assert_string_equal(w.cn, "alice");
        assert_string_equal(w.organization, "system:masters");
        assert_int_equal(strlen(w.fingerprint), 64);
        assert_int_equal(w.not_after_s, 4000000000);
        tls_request(&w, ca.cert, NULL, 0);
        assert_false(w.certificate);
        assert_string_equal(w.problem, "");
        tls_request(&w, ca.cert, &expired, 0);
        assert_false(w.certificate);
        assert_non_null(strstr(w.problem, "expired"));
        assert_string_equal(w.cn, "");
        tls_request(&w, ca.cert, &foreign, 0);
        assert_false(w.certificate);
        assert_string_equal(w.cn, "");
        tls_request(&w, other_ca.cert, &client, -EKEYREJECTED);
        assert_int_equal(http_server_set_certificate(w.server, server.cert, client.key), -EINVAL);
        assert_int_equal(http_server_set_certificate(w.server, rotated.cert, rotated.key), 0);
        tls_request(&w, other_ca.cert, &client, 0);
        assert_string_equal(w.cn, "alice");
        world_stop(&w);
        struct test_cert *all[] = {&ca, &other_ca, &server, &rotated, &client, &expired, &foreign};
        for (size_t i = 0; i < ELEMENTS(all); i++)
                test_cert_done(all[i]);
}

/* libmicrohttpd wants to be run without a pause while a handshake waits for its client. */
static void stalled_handshakes_cost_nothing(void **state) {
        struct test_cert ca = test_cert_new(NULL, "ca", NULL, false);
        struct test_cert server = test_cert_new(&ca, "server", NULL, false);
        struct http_server_options o = {.tls_cert = server.cert, .tls_key = server.key};
        uint64_t end, turns = 0;
        struct world w;

        world_start(&w, &o);
        _cleanup_close_ int fd = connect_to(&w);
        assert_int_equal(send(fd, "\x16\x03\x01\x01\x00", 5, MSG_NOSIGNAL), 5);
        end = loop_now_ms() + 200;
        for (; loop_now_ms() < end; turns++)
                assert_true(sd_event_run(w.event, 20000) >= 0);
        assert_true(turns < 200);
        world_stop(&w);
        test_cert_done(&ca);
        test_cert_done(&server);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(answers_and_keeps_alive),
                        cmocka_unit_test(refuses_large_bodies),
                        cmocka_unit_test(survives_garbage),
                        cmocka_unit_test(answers_later),
                        cmocka_unit_test(streams),
                        cmocka_unit_test(slow_and_vanished_readers),
                        cmocka_unit_test(many_streams),
                        cmocka_unit_test(unix_sockets),
                        cmocka_unit_test(refuses_addresses),
                        cmocka_unit_test(tls),
                        cmocka_unit_test(stalled_handshakes_cost_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
