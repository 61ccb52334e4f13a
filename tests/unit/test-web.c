/* Plain HTTP on a gRPC server's port, spoken to byte by byte: who answers late, leaves early, or
 * never ends. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "lib/grpc-server.h"
#include "lib/web.h"

struct world {
        sd_event *event;
        struct grpc_server *server;
        struct web_request *held;
        bool hold;
        size_t asked;
};

static void on_web(struct web_request *w, void *userdata) {
        struct world *x = userdata;
        static const char big[256 << 10] = {'b'};

        x->asked++;
        if (x->hold && !x->held)
                x->held = w;
        else if (streq(w->path, "/big"))
                web_answer(w, 200, "text/plain", big, sizeof(big));
        else
                web_answer_text(w, streq(w->method, "GET") ? 200 : 405, w->path);
}

static void world_start(struct world *w) {
        const struct grpc_server_options o = {.web = on_web, .userdata = w};
        _cleanup_problem_ struct problem p = {0};

        *w = (struct world){0};
        assert_int_equal(sd_event_new(&w->event), 0);
        assert_int_equal(grpc_server_new(&w->server, w->event, &o), 0);
        assert_int_equal(grpc_server_listen(w->server, "http://127.0.0.1:0", NULL, &p), 0);
}

static void world_stop(struct world *w) {
        grpc_server_free(w->server);
        sd_event_unref(w->event);
}

static int connect_to(const struct world *w) {
        const struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                        .sin_port = htons(grpc_server_port(w->server))};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        return fd;
}

static void say(int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads the bytes that have arrived; true at the end of the connection. */
static bool hear(int fd, struct buf *b) {
        char block[4096];
        ssize_t n;

        while ((n = recv(fd, block, sizeof(block), 0)) > 0)
                assert_int_equal(buf_append(b, block, (size_t)n), 0);
        return n == 0 || errno != EAGAIN;
}

static bool heard(int fd, struct buf *b, const char *text) {
        (void)hear(fd, b);
        return b->data && strstr(b->data, text);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void answers(void **state) {
        _cleanup_buf_ struct buf b = {0}, c = {0};
        struct world w;

        world_start(&w);
        _cleanup_close_ int fd = connect_to(&w);
        say(fd, GET("/one?a=b"));
        loop_until(w.event, heard(fd, &b, "\r\n\r\n/one"));
        assert_non_null(strstr(b.data, "HTTP/1.1 200 OK\r\n"));
        assert_non_null(strstr(b.data, "X-Content-Type-Options: nosniff\r\n"));
        say(fd, "POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        loop_until(w.event, heard(fd, &b, "Allow: GET"));
        /* HTTP/2, in pieces, and a GET over it. */
        _cleanup_close_ int h2 = connect_to(&w);
        say(h2, "PR");
        loop_for_ms(w.event, 20);
        say(h2, "I * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_int_equal(send(h2, "\0\0\0\4\0\0\0\0\0", 9, 0), 9);
        /* :method GET, :scheme http, :path /h2, from HPACK's static table */
        assert_int_equal(send(h2, "\0\0\7\1\5\0\0\0\1\x82\x86\x04\3/h2", 16, 0), 16);
        loop_until(w.event, w.asked == 3);
        loop_until(w.event, (hear(h2, &c), memmem(c.data, c.size, "/h2", 3)));
        world_stop(&w);
}

static void answers_late(void **state) {
        _cleanup_buf_ struct buf b = {0};
        struct world w;

        world_start(&w);
        w.hold = true;
        _cleanup_close_ int fd = connect_to(&w);
        say(fd, GET("/late"));
        loop_until(w.event, w.held);
        loop_for_ms(w.event, 20);
        web_answer_text(TAKE_PTR(w.held), 503, "sorry");
        loop_until(w.event, heard(fd, &b, "\r\n\r\nsorry"));
        assert_non_null(strstr(b.data, "HTTP/1.1 503 "));
        /* Gone before the answer. */
        say(fd, GET("/again"));
        loop_until(w.event, w.held);
        fd = safe_close(fd);
        loop_until(w.event, !w.held->client);
        web_answer_text(TAKE_PTR(w.held), 200, "nobody hears it");
        /* The server ends first. */
        _cleanup_close_ int other = connect_to(&w);
        say(other, GET("/third"));
        loop_until(w.event, w.held);
        world_stop(&w);
        assert_null(w.held->client);
        web_answer_text(w.held, 200, "nobody hears it");
}

/* More than there is room for: the ones that were served longest ago give way to those that come.
 */
static void slow_ones_give_way(void **state) {
        int slow[2 * WEB_CONNECTIONS_MAX];
        _cleanup_buf_ struct buf b = {0};
        size_t gone = 0;
        struct world w;

        world_start(&w);
        for (size_t i = 0; i < ELEMENTS(slow); i++) {
                slow[i] = connect_to(&w);
                say(slow[i], "GET /slow HTTP/1.1\r\nX: ");
                loop_for_ms(w.event, 1);
        }
        _cleanup_close_ int fd = connect_to(&w);
        say(fd, GET("/me"));
        loop_until(w.event, heard(fd, &b, "\r\n\r\n/me"));
        for (size_t i = 0; i < ELEMENTS(slow); i++) {
                _cleanup_buf_ struct buf none = {0};

                gone += hear(slow[i], &none);
                safe_close(slow[i]);
        }
        assert_int_equal(gone, WEB_CONNECTIONS_MAX + 1);
        world_stop(&w);
}

/* Asks and asks and does not read: the server stops reading and asking. */
static void bounded_for_who_does_not_read(void **state) {
        struct world w;
        size_t asked;

        world_start(&w);
        _cleanup_close_ int fd = connect_to(&w);
        for (size_t i = 0; i < 20000; i++)
                if (send(fd, GET("/big"), strlen(GET("/big")), MSG_NOSIGNAL) < 0)
                        break;
        loop_until(w.event, w.asked > 0);
        do {
                asked = w.asked;
                loop_for_ms(w.event, 200);
        } while (asked != w.asked && w.asked < 100);
        assert_true(w.asked < 100);
        world_stop(&w);
}

/* libmicrohttpd forgets requests with such queries; the server must not. */
static void long_queries(void **state) {
        _cleanup_buf_ struct buf ask = {0}, b = {0};
        struct world w;

        world_start(&w);
        (void)buf_append_str(&ask, "GET /x?");
        for (size_t i = 0; i < 3000; i++)
                (void)buf_append_str(&ask, "a=b&");
        (void)buf_append_str(&ask, " HTTP/1.1\r\nHost: x\r\n\r\n");
        _cleanup_close_ int fd = connect_to(&w);
        say(fd, ask.data);
        loop_until(w.event, heard(fd, &b, "HTTP/1.1 4") || hear(fd, &b));
        assert_int_equal(w.asked, 0);
        world_stop(&w);
}

static void queries(void **state) {
        struct web_request *w = web_request_new("GET", "/", "a=1&b&c=x+y%20z&a=%4eO&d=%zz&=e");
        _cleanup_free_ char *a = web_query(w, "a"), *b = web_query(w, "b"), *c = web_query(w, "c"),
                            *d = web_query(w, "d"), *none = web_query(w, "none");

        assert_string_equal(a, "1");
        assert_string_equal(b, "");
        assert_string_equal(c, "x y z");
        assert_string_equal(d, "%zz");
        assert_null(none);
        assert_true(web_query_has(w, "a", "1") && web_query_has(w, "a", "NO"));
        assert_false(web_query_has(w, "a", "2") || web_query_has(w, "x", ""));
        web_answer_text(w, 200, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(answers),
                        cmocka_unit_test(answers_late),
                        cmocka_unit_test(slow_ones_give_way),
                        cmocka_unit_test(bounded_for_who_does_not_read),
                        cmocka_unit_test(long_queries),
                        cmocka_unit_test(queries),
        };

        return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
