/* What strangers and single accounts may hold of an HTTP server. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "lib/http-server.h"

enum { CONNECTIONS_MAX = 400, BODY_MAX = 3 << 20 };

struct world {
        sd_event *event;
        struct http_server *server;
        unsigned admitted, handled;
        size_t last_body;
};

/* X-User names an account; X-Drop: no body is wanted. */
static enum http_admission on_admit(struct http_request *r, void *userdata) {
        const char *user = http_request_header(r, "X-User");

        ((struct world *)userdata)->admitted++;
        if (user)
                http_request_trust(r, user);
        return http_request_header(r, "X-Drop") ? HTTP_DROP_BODY : HTTP_READ_BODY;
}

static void on_request(struct http_request *r, void *userdata) {
        struct world *w = userdata;

        w->handled++;
        (void)http_request_body(r, &w->last_body);
        if (streq(http_request_path(r), "/pieces")) {
                struct bytes *b = bytes_new("ab", 2), *empty = bytes_new("", 0);
                struct bytes *pieces[] = {b, empty, b, b, empty};

                http_respond_pieces(r, 200, "text/plain", pieces, ELEMENTS(pieces));
                bytes_unref(b);
                bytes_unref(empty);
        } else
                http_respond(r, 200, "text/plain", "hello", 5);
}

static void world_start(struct world *w) {
        _cleanup_problem_ struct problem p = {0};
        const struct http_server_options o = {.host = "127.0.0.1",
                        .handler = on_request,
                        .admit = on_admit,
                        .userdata = w,
                        .body_size_max = BODY_MAX,
                        .connections_max = CONNECTIONS_MAX};

        *w = (struct world){0};
        assert_int_equal(sd_event_new(&w->event), 0);
        if (http_server_new(&w->server, w->event, &o, &p) < 0)
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

static void expect(struct world *w, int fd, const char *text) {
        _cleanup_buf_ struct buf b = {0};
        char block[4096];
        ssize_t n;

        loop_until(w->event, ({
                while ((n = recv(fd, block, sizeof(block), 0)) > 0)
                        assert_int_equal(buf_append(&b, block, (size_t)n), 0);
                b.data &&strstr(b.data, text);
        }));
}

static bool has_ended(int fd) {
        char c;

        return recv(fd, &c, 1, MSG_PEEK) == 0;
}

/* More strangers than there is room for: the oldest go; who is known stays and gets in. */
static void test_strangers(void **state) {
        int fds[150];
        struct world w;
        unsigned ended = 0;

        world_start(&w);
        _cleanup_close_ int known = connect_to(&w);
        send_text(known, "GET / HTTP/1.1\r\nHost: h\r\nX-User: jane\r\n\r\n");
        expect(&w, known, "hello");
        assert_int_equal(http_server_strangers(w.server), 0);
        for (size_t i = 0; i < ELEMENTS(fds); i++) {
                fds[i] = connect_to(&w);
                loop_for_ms(w.event, 1);
        }
        loop_until(w.event, http_server_ended(w.server) == 50);
        assert_int_equal(http_server_strangers(w.server), CONNECTIONS_MAX / 4);
        loop_until(w.event, has_ended(fds[49]));
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                ended += has_ended(fds[i]);
        assert_int_equal(ended, 50);
        assert_true(has_ended(fds[0]));
        assert_false(has_ended(fds[149]));
        send_text(known, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, known, "hello");
        /* One that says who it is no longer counts. */
        send_text(fds[149], "GET / HTTP/1.1\r\nHost: h\r\nX-User: joe\r\n\r\n");
        expect(&w, fds[149], "hello");
        assert_int_equal(http_server_strangers(w.server), CONNECTIONS_MAX / 4 - 1);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                close(fds[i]);
        loop_until(w.event, http_server_strangers(w.server) == 0);
        world_stop(&w);
}

/* A body that nobody wants is not kept, and a large one of a stranger's not even awaited. */
static void test_dropped(void **state) {
        struct world w;

        world_start(&w);
        _cleanup_close_ int large = connect_to(&w);
        send_text(large, "POST / HTTP/1.1\r\nHost: h\r\nX-Drop: 1\r\nContent-Length: "
                         "100000\r\n\r\nx");
        expect(&w, large, "hello");
        assert_int_equal(w.last_body, 0);
        loop_until(w.event, has_ended(large));
        _cleanup_close_ int small = connect_to(&w);
        send_text(small, "POST / HTTP/1.1\r\nHost: h\r\nX-Drop: 1\r\nContent-Length: 4\r\n\r\nbo");
        loop_for_ms(w.event, 20);
        assert_int_equal(w.handled, 1);
        assert_int_equal(http_server_bodies(w.server), 0);
        send_text(small, "dyPOST / HTTP/1.1\r\nHost: h\r\nX-Drop: 1\r\nTransfer-Encoding: "
                         "chunked\r\n\r\n"
                         "3\r\nabc\r\n0\r\n\r\n");
        loop_until(w.event, w.handled == 3);
        assert_int_equal(w.last_body, 0);
        world_stop(&w);
}

/* An account has its bound, whether the size was said at first or not; another still has room. */
static void test_accounts(void **state) {
        static const char mine[] = "POST / HTTP/1.1\r\nHost: h\r\nX-User: greedy\r\n"
                                   "Content-Length: 3000000\r\n\r\n";
        int fds[40];
        struct world w;
        size_t held;

        world_start(&w);
        for (size_t i = 0; i < ELEMENTS(fds); i++) {
                fds[i] = connect_to(&w);
                send_text(fds[i], mine);
        }
        loop_until(w.event, w.admitted == ELEMENTS(fds));
        held = http_server_bodies(w.server);
        assert_in_range(held, 30 * 1000 * 1000, 64 << 20);
        _cleanup_close_ int asks = connect_to(&w);
        send_text(asks, "POST / HTTP/1.1\r\nHost: h\r\nX-User: greedy\r\nExpect: 100-continue\r\n"
                        "Content-Length: 3000000\r\n\r\n");
        expect(&w, asks, "HTTP/1.1 429 ");
        _cleanup_close_ int other = connect_to(&w);
        send_text(other, "POST / HTTP/1.1\r\nHost: h\r\nX-User: modest\r\nTransfer-Encoding: "
                         "chunked\r\n\r\n"
                         "3\r\nabc\r\n0\r\n\r\n");
        expect(&w, other, "hello");
        assert_int_equal(w.last_body, 3);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                close(fds[i]);
        loop_until(w.event, http_server_bodies(w.server) == 0);
        world_stop(&w);
}

static void test_pieces(void **state) {
        struct world w;

        world_start(&w);
        _cleanup_close_ int fd = connect_to(&w);
        send_text(fd, "GET /pieces HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, fd, "Content-Length: 6\r\n");
        send_text(fd, "GET /pieces HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, fd, "ababab");
        send_text(fd, "HEAD /pieces HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&w, fd, "Content-Length: 6\r\n");
        world_stop(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_strangers),
                        cmocka_unit_test(test_dropped),
                        cmocka_unit_test(test_accounts),
                        cmocka_unit_test(test_pieces),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
