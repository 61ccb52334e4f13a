/* gRPC: our client against our server, over TCP, TLS and Unix sockets; and the pure parts. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/grpc-client.h"
#include "lib/grpc-internal.h"
#include "lib/grpc-server.h"
#include "tests/unit/certs.h"

enum { MANY = 3000 };

struct world {
        sd_event *event;
        struct grpc_server *server;
        struct grpc_channel *channel;
        char folder[64], url[128];
        struct grpc_call *call; /* the server's side of the last held call */
        size_t gone, drained, half_closed, server_messages, held;
        size_t messages, done, bytes, states;
        size_t pieces, stop_at, queued_max;
        bool connected, free_on_done, free_server;
        enum grpc_code code;
        char text[256], last[256], metadata[64];
        uint64_t server_deadline_us;
};

static void on_gone(struct grpc_call *call, void *userdata) {
        struct world *w = userdata;

        w->gone++;
        if (w->call == call)
                w->call = NULL;
}

static void on_drained(struct grpc_call *call, void *userdata) {
        ((struct world *)userdata)->drained++;
}

static void echo(struct grpc_call *call, const void *data, size_t n, void *userdata) {
        struct world *w = userdata;

        w->server_messages++;
        (void)snprintf(w->metadata, sizeof(w->metadata), "%s",
                        strempty(grpc_call_metadata(call, "x-own")));
        w->server_deadline_us = grpc_call_deadline_us(call);
        grpc_call_reply(call, data, n);
}

static void refuse(struct grpc_call *call, const void *data, size_t n, void *userdata) {
        grpc_call_finish(call, GRPC_NOT_FOUND, "there is no \xc3\xa4 100%\nthing");
}

static void hold(struct grpc_call *call, const void *data, size_t n, void *userdata) {
        struct world *w = userdata;

        w->held++;
        w->server_messages++;
        w->call = call;
        grpc_call_set_userdata(call, w);
        grpc_call_on_gone(call, on_gone, w);
        grpc_call_on_drained(call, on_drained, w);
        if (w->free_server)
                w->server = grpc_server_free(w->server);
}

enum { PIECES = 500, PIECE = 10007 };

/* A message longer than anything may be queued, a piece whenever the one before is out. */
static void next_piece(struct grpc_call *call, void *userdata) {
        struct world *w = userdata;
        char piece[PIECE];

        memset(piece, 'a' + (int)(w->pieces % 26), sizeof(piece));
        w->queued_max = MAX(w->queued_max, grpc_call_connection_queued(call));
        if (w->pieces == PIECES)
                grpc_call_finish(call, GRPC_OK, NULL);
        else if (w->pieces == w->stop_at)
                grpc_call_finish(call, GRPC_OUT_OF_RANGE, "gone meanwhile");
        else {
                w->pieces++;
                assert_int_equal(grpc_call_piece(call, piece, sizeof(piece)), 0);
        }
}

static void in_pieces(struct grpc_call *call, const void *data, size_t n, void *userdata) {
        assert_int_equal(grpc_call_begin(call, (uint64_t)PIECES * PIECE), 0);
        grpc_call_on_drained(call, next_piece, userdata);
}

static void too_long(struct grpc_call *call, const void *data, size_t n, void *userdata) {
        assert_int_equal(grpc_call_begin(call, (uint64_t)INT32_MAX + 1), -EMSGSIZE);
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too long");
}

static void on_half_close(struct grpc_call *call, void *userdata) {
        ((struct world *)userdata)->half_closed++;
}

static const struct grpc_method methods[] = {
                {.path = "/test.T/Echo", .on_message = echo},
                {.path = "/test.T/Fail", .on_message = refuse},
                {.path = "/test.T/Hold", .on_message = hold},
                {.path = "/test.T/Pieces", .on_message = in_pieces},
                {.path = "/test.T/TooLong", .on_message = too_long},
                {.path = "/test.T/Stream",
                                .on_message = hold,
                                .on_half_close = on_half_close,
                                .streaming = true},
};

static bool admit(struct grpc_call *call, void *userdata) {
        if (!streq_ptr(grpc_call_metadata(call, "x-own"), "refused"))
                return true;
        grpc_call_finish(call, GRPC_UNAVAILABLE, "not admitted");
        return false;
}

static void on_state(struct grpc_channel *ch, bool connected, void *userdata) {
        struct world *w = userdata;

        w->connected = connected;
        w->states++;
}

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct world *w = userdata;

        w->messages++;
        w->bytes += n;
        (void)snprintf(w->last, sizeof(w->last), "%.*s", (int)MIN(n, (size_t)200),
                        (const char *)data);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct world *w = userdata;

        w->done++;
        w->code = code;
        (void)snprintf(w->text, sizeof(w->text), "%s", message);
        if (w->free_on_done)
                w->channel = grpc_channel_free(w->channel);
}

static void world_start(struct world *w, const char *url, const struct tls_files *server_tls,
                const struct tls_files *client_tls) {
        const struct grpc_server_options options = {.methods = methods,
                        .method_count = ELEMENTS(methods),
                        .admit = admit,
                        .userdata = w};
        _cleanup_problem_ struct problem p = {0};

        *w = (struct world){.folder = "/tmp/keelson-test-XXXXXX"};
        assert_non_null(mkdtemp(w->folder));
        assert_int_equal(sd_event_new(&w->event), 0);
        assert_int_equal(grpc_server_new(&w->server, w->event, &options), 0);
        if (url)
                (void)snprintf(w->url, sizeof(w->url), "%s:0", url);
        else
                (void)snprintf(w->url, sizeof(w->url), "unix://%s/s", w->folder);
        if (grpc_server_listen(w->server, w->url, server_tls, &p) < 0)
                fail_msg("%s", strempty(p.message));
        if (url)
                (void)snprintf(w->url, sizeof(w->url), "%s:%u", url, grpc_server_port(w->server));
        char *endpoints[] = {w->url, NULL};
        const struct grpc_channel_options co = {.endpoints = endpoints,
                        .tls = client_tls,
                        .on_state = on_state,
                        .userdata = w};
        if (grpc_channel_new(&w->channel, w->event, &co, &p) < 0)
                fail_msg("%s", strempty(p.message));
}

static void world_stop(struct world *w) {
        grpc_channel_free(w->channel);
        grpc_server_free(w->server);
        sd_event_unref(w->event);
        assert_int_equal(remove_tree(w->folder), 0);
}

static void ask_with(struct world *w, const char *path, const char *text, uint64_t timeout_us,
                const char *own) {
        const struct grpc_metadata metadata[] = {{"x-own", own}, {NULL, NULL}};
        const struct grpc_client_call_options o = {.path = path,
                        .timeout_us = timeout_us,
                        .metadata = metadata,
                        .on_message = on_message,
                        .on_done = on_done,
                        .userdata = w};
        size_t done = w->done;

        assert_int_equal(grpc_client_unary(w->channel, &o, text, strlen(text), NULL), 0);
        loop_until(w->event, w->done > done);
}

static void ask(struct world *w, const char *path, const char *text, uint64_t timeout_us) {
        ask_with(w, path, text, timeout_us, "value");
}

static struct grpc_client_call *start_with(
                struct world *w, const char *path, const char *text, const char *own) {
        const struct grpc_metadata metadata[] = {{own ? "x-own" : NULL, own}, {NULL, NULL}};
        const struct grpc_client_call_options o = {.path = path,
                        .timeout_us = UINT64_MAX,
                        .metadata = metadata,
                        .on_message = on_message,
                        .on_done = on_done,
                        .userdata = w};
        struct grpc_client_call *call;
        size_t held = w->held;

        assert_int_equal(grpc_client_call_start(w->channel, &o, &call), 0);
        assert_int_equal(grpc_client_call_send(call, text, strlen(text)), 0);
        loop_until(w->event, w->held > held);
        return call;
}

static struct grpc_client_call *start(struct world *w, const char *path, const char *text) {
        return start_with(w, path, text, NULL);
}

static void unary(struct world *w) {
        ask(w, "/test.T/Echo", "hello", 0);
        assert_int_equal(w->code, GRPC_OK);
        assert_string_equal(w->last, "hello");
        assert_string_equal(w->metadata, "value");
        assert_true(w->server_deadline_us != UINT64_MAX);
        ask(w, "/test.T/Echo", "", 0);
        assert_int_equal(w->code, GRPC_OK);
        assert_int_equal(w->messages, 2);
        ask(w, "/test.T/Fail", "x", 0);
        assert_int_equal(w->code, GRPC_NOT_FOUND);
        assert_string_equal(w->text, "there is no \xc3\xa4 100%\nthing");
        ask(w, "/test.T/Nothing", "x", 0);
        assert_int_equal(w->code, GRPC_UNIMPLEMENTED);
        assert_non_null(strstr(w->text, "unknown method Nothing for service test.T"));
        loop_until(w->event, w->connected);
}

static void over_tcp(void **state) {
        struct world w;

        world_start(&w, "http://127.0.0.1", NULL, NULL);
        unary(&w);
        world_stop(&w);
}

static void over_unix(void **state) {
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        unary(&w);
        world_stop(&w);
}

static void over_names(void **state) {
        struct world w;

        world_start(&w, "http://localhost", NULL, NULL);
        unary(&w);
        world_stop(&w);
}

static const char *write_pem(const char *folder, const char *name, const char *text, char *path) {
        (void)snprintf(path, 128, "%s/%s", folder, name);
        assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), 0);
        return path;
}

static void over_tls(void **state) {
        struct test_cert ca = test_cert_new(NULL, "ca", NULL, false);
        struct test_cert other = test_cert_new(NULL, "other", NULL, false);
        struct test_cert server = test_cert_new(&ca, "server", NULL, false);
        struct test_cert client = test_cert_new(&ca, "client", NULL, false);
        char folder[] = "/tmp/keelson-test-XXXXXX", paths[6][128];
        struct world w;

        assert_non_null(mkdtemp(folder));
        const struct tls_files stls = {.cert = write_pem(folder, "s.crt", server.cert, paths[0]),
                        .key = write_pem(folder, "s.key", server.key, paths[1]),
                        .ca = write_pem(folder, "ca.crt", ca.cert, paths[2])};
        const struct tls_files ctls = {.cert = write_pem(folder, "c.crt", client.cert, paths[3]),
                        .key = write_pem(folder, "c.key", client.key, paths[4]),
                        .ca = paths[2]};
        const struct tls_files anonymous = {.ca = paths[2]},
                               stranger = {.ca = write_pem(folder, "o.crt", other.cert, paths[5])};
        world_start(&w, "https://127.0.0.1", &stls, &ctls);
        unary(&w);
        world_stop(&w);
        /* Neither side talks to whom it cannot verify; the client says why. */
        world_start(&w, "https://127.0.0.1", &stls, &stranger);
        ask(&w, "/test.T/Echo", "x", 300000);
        assert_int_equal(w.code, GRPC_DEADLINE_EXCEEDED);
        assert_non_null(strstr(w.text, "127.0.0.1"));
        assert_non_null(strstr(w.text, "certificate"));
        world_stop(&w);
        world_start(&w, "https://127.0.0.1", &stls, &anonymous);
        ask(&w, "/test.T/Echo", "x", 300000);
        assert_true(w.code != GRPC_OK);
        assert_int_equal(w.server_messages, 0);
        world_stop(&w);
        assert_int_equal(remove_tree(folder), 0);
        struct test_cert *all[] = {&ca, &other, &server, &client};
        for (size_t i = 0; i < ELEMENTS(all); i++)
                test_cert_done(all[i]);
}

static void deadlines(void **state) {
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        /* Long enough for the call to reach the server, on a slow machine too. */
        ask(&w, "/test.T/Hold", "x", 500000);
        assert_int_equal(w.code, GRPC_DEADLINE_EXCEEDED);
        loop_until(w.event, w.gone == 1);
        assert_null(w.call);
        /* Nobody listens: the call ends at its deadline and names the address. */
        w.server = grpc_server_free(w.server);
        loop_until(w.event, !w.connected);
        ask(&w, "/test.T/Echo", "x", 50000);
        assert_int_equal(w.code, GRPC_DEADLINE_EXCEEDED);
        assert_non_null(strstr(w.text, w.folder));
        world_stop(&w);
}

static void streams(void **state) {
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        struct grpc_client_call *call = start(&w, "/test.T/Stream", "a");
        assert_int_equal(grpc_client_call_send(call, "b", 1), 0);
        loop_until(w.event, w.server_messages == 2);
        for (size_t i = 1; i <= 3; i++) {
                assert_int_equal(grpc_call_send(w.call, "event", 5), 0);
                loop_until(w.event, w.messages == i && w.drained == i);
        }
        assert_int_equal(grpc_call_queued(w.call), 0);
        assert_int_equal(grpc_client_call_half_close(call), 0);
        loop_until(w.event, w.half_closed == 1);
        grpc_call_finish(w.call, GRPC_OK, NULL);
        loop_until(w.event, w.done == 1);
        assert_int_equal(w.code, GRPC_OK);
        assert_int_equal(w.gone, 0);
        /* The client cancels. */
        call = start(&w, "/test.T/Stream", "a");
        grpc_client_call_cancel(call);
        loop_until(w.event, w.gone == 1);
        assert_int_equal(w.done, 1);
        /* The server ends it first; what the client still sends is dropped. */
        call = start(&w, "/test.T/Stream", "a");
        assert_int_equal(grpc_call_send(w.call, "last", 4), 0);
        grpc_call_finish(w.call, GRPC_OUT_OF_RANGE, "compacted");
        loop_until(w.event, w.done == 2);
        assert_int_equal(w.code, GRPC_OUT_OF_RANGE);
        /* A second message where one is due. */
        call = start(&w, "/test.T/Hold", "a");
        assert_int_equal(grpc_client_call_send(call, "b", 1), 0);
        loop_until(w.event, w.done == 3);
        assert_int_equal(w.code, GRPC_INVALID_ARGUMENT);
        assert_int_equal(w.gone, 2);
        /* The client vanishes. */
        (void)start(&w, "/test.T/Stream", "a");
        w.channel = grpc_channel_free(w.channel);
        loop_until(w.event, w.gone == 3);
        assert_int_equal(w.done, 3);
        world_stop(&w);
}

/* Calls that are not admitted, and streams ended for what they came with. */
static void by_metadata(void **state) {
        const struct grpc_metadata with = {"x-own", "value"};
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        ask_with(&w, "/test.T/Echo", "x", 0, "refused");
        assert_int_equal(w.code, GRPC_UNAVAILABLE);
        assert_string_equal(w.text, "not admitted");
        assert_int_equal(w.server_messages, 0);
        (void)start_with(&w, "/test.T/Stream", "a", "value");
        (void)start_with(&w, "/test.T/Hold", "b", "value");
        (void)start_with(&w, "/test.T/Stream", "c", "other");
        (void)start(&w, "/test.T/Stream", "d");
        grpc_server_end_streams(w.server, &with, GRPC_UNAVAILABLE, "no more");
        loop_until(w.event, w.done == 2);
        assert_int_equal(w.code, GRPC_UNAVAILABLE);
        assert_string_equal(w.text, "no more");
        assert_int_equal(w.gone, 1);
        ask(&w, "/test.T/Echo", "still", 0);
        assert_int_equal(w.code, GRPC_OK);
        assert_int_equal(w.done, 3);
        world_stop(&w);
}

static void large_messages(void **state) {
        struct world w;
        const size_t size = 3 << 20;
        _cleanup_free_ char *block = malloc(size + 1);

        memset(block, 'x', size);
        block[size] = 0;
        world_start(&w, "http://127.0.0.1", NULL, NULL);
        /* More than frames and windows hold, in both directions. */
        block[1 << 20] = 0;
        ask(&w, "/test.T/Echo", block, 0);
        assert_int_equal(w.code, GRPC_OK);
        assert_int_equal(w.bytes, 1 << 20);
        block[1 << 20] = 'x';
        ask(&w, "/test.T/Echo", block, 0);
        assert_int_equal(w.code, GRPC_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(w.text, "larger than max"));
        (void)start(&w, "/test.T/Stream", "a");
        w.bytes = 0;
        _cleanup_bytes_ struct bytes *b = bytes_new(block, size);
        for (size_t i = 0; i < 10; i++) {
                assert_int_equal(grpc_call_send_bytes(w.call, b), 0);
                loop_until(w.event, w.bytes == (i + 1) * size);
        }
        assert_int_equal(b->refs, 1);
        world_stop(&w);
}

/* Connects and talks just enough HTTP/2 to open a call, then never reads. */
static void slow_readers(void **state) {
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                      "\0\0\0\4\0\0\0\0\0"; /* and empty SETTINGS */
        /* HPACK: POST, http, two literals of known names (the authority as Go sends it for a
         * Unix socket), one of a new name */
        static const char block[] = "\x83\x86\x04\x0e/test.T/Stream\x01\x02/s"
                                    "\x40\x0c"
                                    "content-type\x10"
                                    "application/grpc";
        const char head[] = {0, 0, sizeof(block) - 1, 1, 4, 0, 0, 0, 1};
        struct world w;
        int r = 0;

        world_start(&w, "http://127.0.0.1", NULL, NULL);
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(grpc_server_port(w.server))};
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(send(fd, preface, sizeof(preface) - 1, 0), sizeof(preface) - 1);
        assert_int_equal(send(fd, head, sizeof(head), 0), sizeof(head));
        assert_int_equal(send(fd, block, sizeof(block) - 1, 0), sizeof(block) - 1);
        static const unsigned char message[] = "\0\0\6\0\0\0\0\0\1" /* DATA */
                                               "\0\0\0\0\1x";
        /* Split inside of the prefix by the socket. */
        for (size_t i = 0; i < sizeof(message) - 1; i++) {
                assert_int_equal(send(fd, message + i, 1, MSG_NOSIGNAL), 1);
                loop_for_ms(w.event, 1);
        }
        loop_until(w.event, w.call);
        _cleanup_free_ char *zeros = calloc(1, 1 << 20);
        _cleanup_bytes_ struct bytes *b = bytes_new(zeros, 1 << 20);
        for (size_t i = 0; i < 100 && r == 0; i++) {
                r = grpc_call_send_bytes(w.call, b);
                loop_for_ms(w.event, 1);
        }
        assert_int_equal(r, -ENOBUFS);
        assert_true(grpc_call_queued(w.call) <= (16 << 20) + 4096);
        grpc_call_finish(TAKE_PTR(w.call), GRPC_RESOURCE_EXHAUSTED, "too slow");
        fd = safe_close(fd);
        loop_until(w.event, b->refs == 1);
        assert_int_equal(w.gone, 0);
        world_stop(&w);
}

static void garbage(void **state) {
        static const char *const inputs[] = {"GET / HTTP/1.1\r\n\r\n",
                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxx", "\x16\x03\x01",
                        ""};
        struct world w;

        world_start(&w, "http://127.0.0.1", NULL, NULL);
        struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(grpc_server_port(w.server))};
        for (size_t i = 0; i < ELEMENTS(inputs); i++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

                assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
                assert_true(send(fd, inputs[i], strlen(inputs[i]), MSG_NOSIGNAL) >= 0);
                loop_for_ms(w.event, 5);
                close(fd);
        }
        unary(&w);
        world_stop(&w);
}

static void reconnects(void **state) {
        const struct grpc_server_options options = {
                        .methods = methods, .method_count = ELEMENTS(methods)};
        _cleanup_problem_ struct problem p = {0};
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        (void)start(&w, "/test.T/Stream", "a");
        loop_until(w.event, w.connected);
        w.server = grpc_server_free(w.server);
        loop_until(w.event, w.done == 1 && !w.connected);
        assert_int_equal(w.code, GRPC_UNAVAILABLE);
        assert_int_equal(w.gone, 1);
        /* A call that waits for the server to come back. */
        const struct grpc_client_call_options o = {
                        .path = "/test.T/Fail", .on_done = on_done, .userdata = &w};
        assert_int_equal(grpc_client_unary(w.channel, &o, "x", 1, NULL), 0);
        loop_for_ms(w.event, 30);
        assert_int_equal(grpc_server_new(&w.server, w.event, &options), 0);
        assert_int_equal(grpc_server_listen(w.server, w.url, NULL, &p), 0);
        loop_until(w.event, w.done == 2);
        assert_int_equal(w.code, GRPC_NOT_FOUND);
        loop_until(w.event, w.connected);
        assert_int_equal(w.states, 3);
        world_stop(&w);
}

static void freed_in_callbacks(void **state) {
        const struct grpc_client_call_options o = {.path = "/test.T/Echo", .on_done = on_done};
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        struct grpc_client_call_options mine = o;
        mine.userdata = &w;
        w.free_on_done = true;
        for (size_t i = 0; i < 10; i++)
                assert_int_equal(grpc_client_unary(w.channel, &mine, "x", 1, NULL), 0);
        loop_until(w.event, !w.channel);
        loop_for_ms(w.event, 10);
        assert_int_equal(w.done, 1);
        world_stop(&w);
        /* On a connection that breaks under many calls. */
        world_start(&w, NULL, NULL, NULL);
        for (size_t i = 0; i < 5; i++)
                (void)start(&w, "/test.T/Hold", "x");
        w.free_on_done = true;
        w.server = grpc_server_free(w.server);
        loop_until(w.event, !w.channel);
        assert_int_equal(w.done, 1);
        assert_int_equal(w.gone, 5);
        world_stop(&w);
        /* The server, from inside of a method. */
        world_start(&w, NULL, NULL, NULL);
        w.free_server = true;
        mine.path = "/test.T/Hold";
        assert_int_equal(grpc_client_unary(w.channel, &mine, "x", 1, NULL), 0);
        loop_until(w.event, !w.server && w.done == 1);
        assert_int_equal(w.gone, 1);
        world_stop(&w);
}

static void many_calls(void **state) {
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        const struct grpc_client_call_options o = {.path = "/test.T/Echo",
                        .on_message = on_message,
                        .on_done = on_done,
                        .userdata = &w};
        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(grpc_client_unary(w.channel, &o, "payload", 7, NULL), 0);
        loop_until(w.event, w.done == MANY);
        assert_int_equal(w.messages, MANY);
        assert_int_equal(w.code, GRPC_OK);
        world_stop(&w);
}

static void a_message_in_pieces(void **state) {
        struct world w;

        world_start(&w, NULL, NULL, NULL);
        w.stop_at = SIZE_MAX;
        ask(&w, "/test.T/Pieces", "x", 0);
        assert_int_equal(w.code, GRPC_OK);
        assert_int_equal(w.messages, 1);
        assert_int_equal(w.bytes, (size_t)PIECES * PIECE);
        assert_true(w.queued_max <= PIECE);
        assert_memory_equal(w.last, "aaaaaa", 6);
        /* One that cannot go on ends with its reason, not with half a message. */
        w.pieces = 0;
        w.stop_at = 20;
        ask(&w, "/test.T/Pieces", "x", 0);
        assert_int_equal(w.messages, 1);
        assert_int_equal(w.code, GRPC_OUT_OF_RANGE);
        assert_string_equal(w.text, "gone meanwhile");
        ask(&w, "/test.T/TooLong", "x", 0);
        assert_int_equal(w.code, GRPC_RESOURCE_EXHAUSTED);
        ask(&w, "/test.T/Echo", "and on", 0);
        assert_string_equal(w.last, "and on");
        world_stop(&w);
}

static void pure_parts(void **state) {
        static const struct {
                const char *text;
                uint64_t us;
        } timeouts[] = {{"1S", 1000000}, {"250m", 250000}, {"7u", 7}, {"5000n", 5},
                        {"2H", 7200000000}, {"99999999M", 5999999940000000}};
        char buffer[GRPC_TIMEOUT_SIZE];
        struct grpc_endpoint e;
        uint64_t us;

        for (size_t i = 0; i < ELEMENTS(timeouts); i++) {
                assert_int_equal(grpc_timeout_parse(timeouts[i].text, &us), 0);
                assert_int_equal(us, timeouts[i].us);
        }
        assert_int_equal(grpc_timeout_parse("1", &us), -EINVAL);
        assert_int_equal(grpc_timeout_parse("-1S", &us), -EINVAL);
        assert_int_equal(grpc_timeout_parse("123456789S", &us), -EINVAL);
        grpc_timeout_format(buffer, 1);
        assert_string_equal(buffer, "1u");
        grpc_timeout_format(buffer, 100000001);
        assert_string_equal(buffer, "100001m");
        grpc_timeout_format(buffer, UINT64_MAX);
        assert_string_equal(buffer, "99999999H");
        _cleanup_free_ char *m = grpc_message_decode("100%25 %zz%");
        assert_string_equal(m, "100% %zz%");
        static const char *const bad[] = {"", "unix://x", "unix:", "http://", "http://h",
                        "http://:1", "http://h:0x", "http://h:99999", "ftp://h:1", "http://::1:1"};
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(grpc_endpoint_parse(&e, bad[i], &p), -EINVAL);
                assert_non_null(p.message);
        }
        _cleanup_problem_ struct problem p = {0};
        assert_int_equal(grpc_endpoint_parse(&e, "https://[::1]:2379/", &p), 0);
        assert_string_equal(e.host, "::1");
        assert_true(e.tls && e.port == 2379);
        grpc_endpoint_done(&e);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(pure_parts),
                        cmocka_unit_test(over_unix),
                        cmocka_unit_test(over_tcp),
                        cmocka_unit_test(over_names),
                        cmocka_unit_test(over_tls),
                        cmocka_unit_test(deadlines),
                        cmocka_unit_test(streams),
                        cmocka_unit_test(by_metadata),
                        cmocka_unit_test(large_messages),
                        cmocka_unit_test(a_message_in_pieces),
                        cmocka_unit_test(slow_readers),
                        cmocka_unit_test(garbage),
                        cmocka_unit_test(reconnects),
                        cmocka_unit_test(freed_in_callbacks),
                        cmocka_unit_test(many_calls),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
