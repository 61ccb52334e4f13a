/* Events to many clients of the HTTP server, sent by several threads: to those that read, among
 * others that do not read, or that leave. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/h2.h"
#include "lib/http-server.h"
#include "lib/parallel.h"
#include "lib/tls.h"
#include "tests/unit/certs.h"

enum {
        PLAIN = 1000,
        SECURE = 96, /* handshakes take time */
        THREADS = 4,
        EVENTS = 5,
        EVENT_SIZE = 3000,
        BLOCK_SIZE = 256 << 10, /* for those that do not read */
        BLOCKS_MAX = 100,
        QUEUED_MAX = 1 << 20,
        RECEIVE_BUFFER = 8 << 10,
        PATIENCE_MS = 10 * 1000, /* less than the server's for a socket that takes nothing */
};

enum temper { READS, SLEEPS, LEAVES };

struct client {
        int fd;
        enum temper temper;
        struct tls_stream *tls;
        struct buf raw, text; /* what came; without the head and the chunks' sizes */
        bool ended;
        size_t blocks; /* that it was sent while it slept */
};

struct world {
        sd_event *event;
        struct parallel *parallel;
        struct http_server *server;
        struct test_cert ca, cert;
        struct tls_context *tls;
        struct client clients[PLAIN];
        struct http_stream *streams[PLAIN];
        size_t count, stream_count, streams_gone;
        uint64_t asleep_ms; /* since when some are */
        struct bytes *events[EVENTS], *block;
};

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct world *w = userdata;

        w->streams_gone++;
        for (size_t i = 0; i < w->count; i++)
                if (w->streams[i] == s)
                        w->streams[i] = NULL;
}

/* The path is the client's number. */
static void on_request(struct http_request *r, void *userdata) {
        struct world *w = userdata;
        uint64_t i;

        assert_int_equal(parse_u64(http_request_path(r) + 1, &i), 0);
        w->streams[i] = http_stream_begin(r, 200, "text/plain", QUEUED_MAX, on_stream_gone, w);
        assert_non_null(w->streams[i]);
        w->stream_count++;
}

static struct bytes *filled(size_t n, int c) {
        _cleanup_free_ char *text = malloc(n);
        struct bytes *b;

        assert_non_null(text);
        memset(text, c, n);
        b = bytes_new(text, n);
        assert_non_null(b);
        return b;
}

static void world_start(struct world *w, size_t count, bool secure) {
        _cleanup_problem_ struct problem p = {0};
        struct http_server_options o = {.host = "127.0.0.1",
                        .connections_max = 10 * PLAIN,
                        .handler = on_request,
                        .http2 = secure,
                        .userdata = w};

        *w = (struct world){.count = count};
        if (secure) {
                w->ca = test_cert_new(NULL, "ca", NULL, false);
                w->cert = test_cert_new(&w->ca, "server", NULL, false);
                const struct tls_files pem = {.ca = w->ca.cert};

                assert_int_equal(tls_context_new_pem(&w->tls, &pem, false, &p), 0);
                o.tls_cert = w->cert.cert;
                o.tls_key = w->cert.key;
        }
        assert_int_equal(sd_event_new(&w->event), 0);
        assert_int_equal(parallel_new(&w->parallel, THREADS), 0);
        o.parallel = w->parallel;
        if (http_server_new(&w->server, w->event, &o, &p) < 0)
                fail_msg("%s", strempty(p.message));
        for (int i = 0; i < EVENTS; i++)
                w->events[i] = filled(EVENT_SIZE, 'a' + i);
        w->block = filled(BLOCK_SIZE, 'z');
}

static void world_stop(struct world *w) {
        for (size_t i = 0; i < w->count; i++) {
                tls_stream_free(w->clients[i].tls);
                safe_close(w->clients[i].fd);
                buf_done(&w->clients[i].raw);
                buf_done(&w->clients[i].text);
        }
        w->server = http_server_free(w->server);
        parallel_free(w->parallel);
        tls_context_free(w->tls);
        sd_event_unref(w->event);
        test_cert_done(&w->ca);
        test_cert_done(&w->cert);
        for (size_t i = 0; i < EVENTS; i++) {
                assert_int_equal(w->events[i]->refs, 1); /* none was lost, or kept */
                bytes_unref(w->events[i]);
        }
        assert_int_equal(w->block->refs, 1);
        bytes_unref(w->block);
}

static int connect_to(struct world *w) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(http_server_port(w->server))};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = RECEIVE_BUFFER;

        assert_true(fd >= 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        return fd;
}

static ssize_t client_read(struct client *c, char *p, size_t n) {
        ssize_t r = c->tls ? tls_stream_read(c->tls, p, n) : recv(c->fd, p, n, 0);

        return !c->tls && r < 0 ? -errno : r;
}

/* Takes whole chunks out of what came. */
static void decode(struct client *c) {
        char *at = c->raw.data, *end = at + c->raw.size, *line;

        if (c->raw.size > 0 && startswith(at, "HTTP/")) {
                line = memmem(at, c->raw.size, "\r\n\r\n", 4);
                if (!line)
                        return;
                at = line + 4;
        }
        while (at < end && (line = memmem(at, (size_t)(end - at), "\r\n", 2))) {
                size_t size = strtoul(at, NULL, 16);

                if ((size_t)(end - line) < size + 4)
                        break;
                assert_memory_equal(line + 2 + size, "\r\n", 2);
                assert_int_equal(buf_append(&c->text, line + 2, size), 0);
                c->ended = c->ended || size == 0;
                at = line + 4 + size;
        }
        buf_consume(&c->raw, (size_t)(at - c->raw.data));
}

/* Whether it has at least n bytes of text now. */
static bool has(struct client *c, size_t n) {
        char block[16 << 10];
        ssize_t r;

        while ((r = client_read(c, block, sizeof(block))) > 0)
                assert_int_equal(buf_append(&c->raw, block, (size_t)r), 0);
        decode(c);
        return c->text.size >= n;
}

static void client_begin(struct world *w, size_t i, enum temper temper) {
        struct client *c = &w->clients[i];
        char request[64];
        bool want_write;
        int n = snprintf(request, sizeof(request), "GET /%zu HTTP/1.1\r\nHost: h\r\n\r\n", i), r;

        *c = (struct client){.fd = connect_to(w), .temper = temper};
        if (w->tls) {
                assert_int_equal(
                                tls_stream_new(&c->tls, w->tls, c->fd, "localhost", "http/1.1"), 0);
                loop_until(w->event, (r = tls_stream_handshake(c->tls, &want_write)) != -EAGAIN);
                assert_int_equal(r, 0);
                assert_int_equal(tls_stream_write(c->tls, request, (size_t)n), n);
        } else
                assert_int_equal(send(c->fd, request, (size_t)n, MSG_NOSIGNAL), n);
}

/* More than its socket takes, so that some of it waits: partly written, perhaps within a record. */
static void overfill(struct world *w, size_t i) {
        struct client *c = &w->clients[i];

        for (;;) {
                assert_true(c->blocks < BLOCKS_MAX);
                assert_int_equal(http_stream_write(w->streams[i], w->block), 0);
                c->blocks++;
                for (int n = 0; n < 20 && http_stream_queued(w->streams[i]) > 0; n++)
                        assert_true(sd_event_run(w->event, 1000) >= 0);
                if (http_stream_queued(w->streams[i]) > BLOCK_SIZE / 4)
                        return;
        }
}

static void expect_text(struct client *c) {
        const char *at = c->text.data;

        for (size_t i = 0; i < c->blocks * BLOCK_SIZE; i++)
                assert_int_equal(*at++, 'z');
        for (int e = 0; e < EVENTS; e++)
                for (size_t i = 0; i < EVENT_SIZE; i++)
                        assert_int_equal(*at++, 'a' + e);
}

static void begin_all(struct world *w) {
        for (size_t i = 0; i < w->count; i++) {
                client_begin(w, i, i % 64 == 5 ? SLEEPS : i % 16 == 11 ? LEAVES : READS);
                if (i % 50 == 0)
                        loop_for_ms(w->event, 1);
        }
        loop_until(w->event, w->stream_count == w->count);
        for (size_t i = 0; i < w->count; i++)
                if (w->clients[i].temper == READS)
                        loop_until(w->event, (has(&w->clients[i], 0), w->clients[i].raw.size == 0));
}

static void wake_and_expect(struct world *w) {
        const size_t size = (size_t)EVENTS * EVENT_SIZE;

        for (size_t i = 0; i < w->count; i++) {
                struct client *c = &w->clients[i];

                if (c->temper == LEAVES)
                        continue;
                /* On a slow machine it was given up (net_tune()). */
                if (c->temper == SLEEPS && !w->streams[i] &&
                                loop_now_ms() > w->asleep_ms + PATIENCE_MS)
                        continue;
                assert_non_null(w->streams[i]);
                http_stream_end(w->streams[i]);
                loop_until(w->event, (has(c, 0), c->ended));
                assert_int_equal(c->text.size, c->blocks * BLOCK_SIZE + size);
                expect_text(c);
        }
}

static void test_many(size_t count, bool secure) {
        static struct world w;
        size_t left = 0;
        struct rlimit files;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
        files.rlim_cur = files.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        if (files.rlim_max < 3 * PLAIN)
                skip();
        world_start(&w, count, secure);
        begin_all(&w);
        w.asleep_ms = loop_now_ms();
        for (size_t i = 0; i < count; i++)
                if (w.clients[i].temper == SLEEPS)
                        overfill(&w, i);
        for (size_t e = 0; e < EVENTS; e++) {
                for (size_t i = 0; i < count; i++)
                        if (w.streams[i])
                                assert_int_equal(http_stream_write(w.streams[i], w.events[e]), 0);
                for (size_t i = 0; e == 1 && i < count; i++)
                        if (w.clients[i].temper == LEAVES) {
                                w.clients[i].tls = tls_stream_free(w.clients[i].tls);
                                w.clients[i].fd = safe_close(w.clients[i].fd);
                                left++;
                        }
                for (size_t i = 0; i < count; i++)
                        if (w.clients[i].temper == READS)
                                loop_until(w.event, has(&w.clients[i], (e + 1) * EVENT_SIZE));
        }
        loop_until(w.event, w.streams_gone >= left);
        wake_and_expect(&w);
        world_stop(&w);
}

static void plain(void **state) {
        test_many(PLAIN, false);
}

static void secure(void **state) {
        test_many(SECURE, true);
}

/* ---- HTTP/2 ---- */

struct follower {
        struct h2_stream stream;
        struct buf text;
        bool over;
};

struct crowd {
        struct world *world;
        struct h2_loop loop;
        struct h2_connection *connections[SECURE];
        struct follower followers[SECURE];
        size_t open, next;
};

static struct follower *of(struct h2_stream *s) {
        return container_of(s, struct follower, stream);
}

static int on_header(struct h2_stream *s, const char *name, const char *value) {
        return 0;
}

static void on_headers(struct h2_stream *s, bool end) {
}

static void on_data(struct h2_stream *s, const void *data, size_t n) {
        assert_int_equal(buf_append(&of(s)->text, data, n), 0);
}

static void on_nothing(struct h2_stream *s) {
}

static int on_local_end(struct h2_stream *s) {
        return 0;
}

static void on_closed(struct h2_stream *s, uint32_t error) {
        of(s)->over = true;
        h2_stream_done(s);
}

static void on_open(struct h2_connection *c) {
        ((struct crowd *)c->owner)->open++;
}

static void on_broken(struct h2_connection *c, const char *why) {
        fail_msg("a connection broke: %s", why);
}

static void on_deadline(struct h2_loop *loop, uint64_t now_us) {
}

static const struct h2_handler client_handler = {.on_header = on_header,
                .on_headers = on_headers,
                .on_data = on_data,
                .on_remote_end = on_nothing,
                .on_local_end = on_local_end,
                .on_drained = on_nothing,
                .on_expired = on_nothing,
                .on_closed = on_closed,
                .on_open = on_open,
                .on_broken = on_broken};

static void crowd_begin(struct crowd *c, struct world *w) {
        c->world = w;
        assert_int_equal(h2_loop_init(&c->loop, w->event, on_deadline), 0);
        for (size_t i = 0; i < w->count; i++) {
                w->clients[i].fd = -EBADF;
                assert_int_equal(h2_connection_new(&c->connections[i], &c->loop, &client_handler, c,
                                                 connect_to(w), w->tls, "localhost", H2_CLIENT),
                                0);
                loop_until(w->event, c->open == i + 1);
        }
        for (size_t i = 0; i < w->count; i++) {
                struct follower *f = &c->followers[i];
                char path[24];
                const struct h2_header headers[] = {{":method", "GET"}, {":scheme", "https"},
                                {":path", path}, {":authority", "h"}};

                (void)snprintf(path, sizeof(path), "/%zu", i);
                f->stream.deadline_us = UINT64_MAX;
                assert_int_equal(h2_submit_request(c->connections[i], &f->stream, headers,
                                                 ELEMENTS(headers)),
                                0);
                h2_stream_end(&f->stream);
        }
        loop_until(w->event, w->stream_count == w->count);
}

static void http2(void **state) {
        static struct world w;
        static struct crowd c;

        world_start(&w, SECURE, true);
        crowd_begin(&c, &w);
        for (size_t e = 0; e < EVENTS; e++) {
                for (size_t i = 0; i < SECURE; i++)
                        if (w.streams[i])
                                assert_int_equal(http_stream_write(w.streams[i], w.events[e]), 0);
                for (size_t i = 11; e == 1 && i < SECURE; i += 16)
                        c.connections[i] = h2_connection_free(c.connections[i]);
                for (size_t i = 0; i < SECURE; i++)
                        if (!c.followers[i].over)
                                loop_until(w.event,
                                                c.followers[i].text.size == (e + 1) * EVENT_SIZE);
        }
        loop_until(w.event, w.streams_gone == SECURE / 16);
        for (size_t i = 0; i < SECURE; i++) {
                struct client text = {.text = c.followers[i].text};

                if (!c.followers[i].over)
                        expect_text(&text);
                h2_connection_free(c.connections[i]);
                buf_done(&c.followers[i].text);
        }
        h2_loop_done(&c.loop);
        world_stop(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(plain),
                        cmocka_unit_test(secure),
                        cmocka_unit_test(http2),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
