/* The HTTP client against our own server, and against silence. */
#include "tests/unit/loop.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "lib/http-client.h"
#include "lib/http-server.h"
#include "tests/unit/certs.h"

struct world {
        sd_event *event;
        struct http_server *server;
        struct http_client *client;
        struct http_stream *stream;
        struct http_call *call, *other;
        size_t streams_gone, connections, done, cancelled_in;
        char seen[256], address[64], body[256], error_text[512], warning[64];
        int error, code, retry_after_s;
        bool fail_next;
        struct buf data;
};

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct world *w = userdata;

        w->streams_gone++;
        if (w->stream == s)
                w->stream = NULL;
}

static void on_request(struct http_request *r, void *userdata) {
        struct world *w = userdata;
        const char *path = http_request_path(r);
        size_t n;

        if (!streq(w->address, http_request_peer(r)->address))
                w->connections++;
        (void)snprintf(w->address, sizeof(w->address), "%s", http_request_peer(r)->address);
        (void)snprintf(w->seen, sizeof(w->seen), "%s %s accept=%s type=%s auth=%s x=%s body=%s",
                        http_request_method(r), path, strempty(http_request_header(r, "Accept")),
                        strempty(http_request_header(r, "Content-Type")),
                        strempty(http_request_header(r, "Authorization")),
                        strempty(http_request_header(r, "X")), http_request_body(r, &n));
        if (startswith(path, "/stream"))
                w->stream = http_stream_begin(
                                r, 200, "application/json", 1 << 20, on_stream_gone, w);
        else if (startswith(path, "/silent"))
                ; /* never answered */
        else {
                (void)http_response_header(r, "Warning", "299 - \"mind \\\"this\\\"\"");
                (void)http_response_header(r, "Retry-After", "7");
                http_respond(r, startswith(path, "/bad") ? 409 : 200, "text/plain", "answer", 6);
        }
}

static void on_done(struct http_call *call, const struct http_result *result, void *userdata) {
        struct world *w = userdata;

        w->done++;
        w->call = NULL;
        w->error = result->error;
        w->code = result->code;
        w->retry_after_s = result->retry_after_s;
        (void)snprintf(w->body, sizeof(w->body), "%s", result->body);
        (void)snprintf(w->error_text, sizeof(w->error_text), "%s", strempty(result->error_text));
        (void)snprintf(w->warning, sizeof(w->warning), "%s",
                        result->warnings ? strempty(result->warnings[0]) : "");
}

static void world_start(
                struct world *w, struct http_server_options *so, struct http_client_options *co) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *url = NULL;

        *w = (struct world){0};
        assert_int_equal(sd_event_new(&w->event), 0);
        so->host = "127.0.0.1";
        so->handler = on_request;
        so->userdata = w;
        assert_int_equal(http_server_new(&w->server, w->event, so, &p), 0);
        if (!co->base_url)
                co->base_url = url = strformat("%s://127.0.0.1:%u", so->tls_cert ? "https" : "http",
                                http_server_port(w->server));
        assert_int_equal(http_client_new(&w->client, w->event, co), 0);
        co->base_url = NULL;
}

static void world_stop(struct world *w) {
        http_client_free(w->client);
        http_server_free(w->server);
        buf_done(&w->data);
        sd_event_unref(w->event);
}

static void request(struct world *w, const struct http_call_options *o) {
        struct http_call_options options = *o;
        size_t done = w->done;

        options.on_done = on_done;
        options.userdata = w;
        assert_int_equal(http_call_start(w->client, &options, &w->call), 0);
        loop_until(w->event, w->done > done);
}

static void asks_and_reuses_connections(void **state) {
        const struct http_header headers[] = {{"X", "own"}, {NULL, NULL}};
        struct http_client_options co = {.token = "secret", .user_agent = "test/1"};
        struct http_server_options so = {0};
        struct world w;

        world_start(&w, &so, &co);
        request(&w, &(struct http_call_options){.method = "GET", .path = "/a%2Fb/../c"});
        assert_int_equal(w.code, 200);
        assert_string_equal(w.body, "answer");
        assert_string_equal(w.warning, "mind \"this\"");
        assert_string_equal(w.seen, "GET /a%2Fb/../c accept=application/json type= "
                                    "auth=Bearer secret x= body=");
        request(&w, &(struct http_call_options){.method = "PATCH",
                                    .path = "/bad",
                                    .body = "{}",
                                    .body_size = 2,
                                    .content_type = "application/json-patch+json",
                                    .accept = "*/*",
                                    .headers = headers});
        assert_int_equal(w.error, 0);
        assert_int_equal(w.code, 409);
        assert_int_equal(w.retry_after_s, 7);
        assert_string_equal(w.seen, "PATCH /bad accept=*/* type=application/json-patch+json "
                                    "auth=Bearer secret x=own body={}");
        request(&w, &(struct http_call_options){.method = "DELETE", .path = "/x"});
        assert_non_null(startswith(w.seen, "DELETE /x "));
        assert_int_equal(w.connections, 1);
        world_stop(&w);
}

static int on_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct world *w = userdata;

        buf_append(&w->data, data, n);
        if (strstr(w->data.data, "cancel")) {
                w->call = http_call_cancel(call);
                w->cancelled_in++;
        }
        if (strstr(w->data.data, "other")) { /* another call is started and cancelled from here */
                const struct http_call_options o = {
                                .method = "GET", .path = "/x", .on_done = on_done, .userdata = w};

                w->other = http_call_cancel(w->other);
                assert_int_equal(http_call_start(w->client, &o, NULL), 0);
                buf_reset(&w->data);
        }
        if (strstr(w->data.data, "free"))
                w->client = http_client_free(w->client);
        return w->data.size > 0 && strstr(w->data.data, "fail") ? -EBADMSG : 0;
}

static void start_stream(struct world *w, uint64_t idle_us, struct http_call **ret) {
        const struct http_call_options o = {.method = "GET",
                        .path = "/stream?watch=1",
                        .timeout_us = UINT64_MAX,
                        .idle_timeout_us = idle_us,
                        .on_data = on_data,
                        .on_done = on_done,
                        .userdata = w};

        buf_reset(&w->data);
        w->stream = NULL;
        assert_int_equal(http_call_start(w->client, &o, ret), 0);
        loop_until(w->event, w->stream);
}

static void write_stream(struct world *w, const char *text) {
        assert_int_equal(http_stream_write_copy(w->stream, text, strlen(text)), 0);
}

static void streams(void **state) {
        struct http_client_options co = {0};
        struct http_server_options so = {0};
        struct world w;

        world_start(&w, &so, &co);
        start_stream(&w, 0, &w.call);
        write_stream(&w, "one");
        loop_until(w.event, w.data.size == 3);
        write_stream(&w, "two");
        loop_until(w.event, w.data.size == 6);
        http_stream_end(w.stream);
        loop_until(w.event, w.done == 1);
        assert_int_equal(w.error, 0);
        /* Broken off by the server. */
        start_stream(&w, 0, &w.call);
        http_stream_abort(w.stream);
        loop_until(w.event, w.done == 2);
        assert_int_equal(w.error, -ECONNRESET);
        /* Silent for too long. */
        start_stream(&w, 60000, &w.call);
        loop_until(w.event, w.done == 3);
        assert_int_equal(w.error, -ETIMEDOUT);
        loop_until(w.event, w.streams_gone == 1);
        /* Refused by the reader. */
        start_stream(&w, 0, &w.call);
        write_stream(&w, "fail");
        loop_until(w.event, w.done == 4);
        assert_int_equal(w.error, -EBADMSG);
        /* Cancelled from outside and from inside of its own callback: no callback any more. */
        start_stream(&w, 0, &w.call);
        w.call = http_call_cancel(w.call);
        loop_until(w.event, w.streams_gone == 3);
        start_stream(&w, 0, &w.call);
        write_stream(&w, "cancel");
        loop_until(w.event, w.streams_gone == 4);
        assert_int_equal(w.cancelled_in, 1);
        assert_int_equal(w.done, 4);
        world_stop(&w);
}

static int pause_in_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct world *w = userdata;

        buf_append(&w->data, data, n);
        http_call_pause(call);
        return w->fail_next ? -EBADMSG : 0;
}

static void resume_all(struct world *w, size_t n) {
        while (w->data.size < n) {
                size_t before = w->data.size;

                http_call_resume(w->call);
                loop_until(w->event, w->data.size > before);
                before = w->data.size;
                loop_for_ms(w->event, 2);
                assert_int_equal(w->data.size, before); /* paused again by the piece */
        }
}

static void pauses(struct world *w) {
        enum { PIECE = 5003, PIECES = 40 };
        const struct http_call_options o = {.method = "GET",
                        .path = "/stream",
                        .timeout_us = UINT64_MAX,
                        .on_data = pause_in_data,
                        .on_done = on_done,
                        .userdata = w};
        _cleanup_free_ char *piece = malloc(PIECE);

        assert_int_equal(http_call_start(w->client, &o, &w->call), 0);
        loop_until(w->event, w->stream);
        for (int k = 0; k < PIECES; k++) {
                memset(piece, 'a' + k % 26, PIECE);
                assert_int_equal(http_stream_write_copy(w->stream, piece, PIECE), 0);
        }
        loop_until(w->event, w->data.size > 0);
        resume_all(w, PIECE * 20);
        http_stream_end(TAKE_PTR(w->stream));
        while (w->data.size < (size_t)PIECE * PIECES && w->call) {
                http_call_resume(w->call);
                loop_for_ms(w->event, 1);
        }
        if (w->call)
                http_call_resume(w->call);
        loop_until(w->event, w->done == 1);
        assert_int_equal(w->error, 0);
        assert_int_equal(w->data.size, PIECE * PIECES);
        for (size_t k = 0; k < w->data.size; k++)
                assert_int_equal(w->data.data[k], 'a' + k / PIECE % 26);
        /* what was held back is refused by the receiver: the call ends, once */
        buf_reset(&w->data);
        assert_int_equal(http_call_start(w->client, &o, &w->call), 0);
        loop_until(w->event, w->stream);
        write_stream(w, "x");
        loop_until(w->event, w->data.size == 1);
        write_stream(w, "y");
        loop_for_ms(w->event, 5);
        assert_int_equal(w->data.size, 1);
        w->fail_next = true;
        http_call_resume(w->call);
        loop_until(w->event, w->done == 2);
        assert_int_equal(w->error, -EBADMSG);
        loop_for_ms(w->event, 5);
        assert_int_equal(w->done, 2);
}

static void pauses_streams(void **state) {
        struct test_cert ca = test_cert_new(NULL, "ca", NULL, false);
        struct test_cert server = test_cert_new(&ca, "server", NULL, false);
        struct http_client_options co = {0}, tls_co = {.ca_pem = ca.cert};
        struct http_server_options so = {0},
                                   tls_so = {.tls_cert = server.cert, .tls_key = server.key};
        struct world w;

        world_start(&w, &so, &co);
        pauses(&w);
        world_stop(&w);
        world_start(&w, &tls_so, &tls_co);
        pauses(&w);
        world_stop(&w);
        test_cert_done(&ca);
        test_cert_done(&server);
}

static void calls_from_callbacks(void **state) {
        struct http_client_options co = {0};
        struct http_server_options so = {0};
        struct world w;

        world_start(&w, &so, &co);
        start_stream(&w, 0, &w.other);
        start_stream(&w, 0, &w.call);
        write_stream(&w, "other");
        loop_until(w.event, w.done == 1);
        assert_int_equal(w.code, 200);
        assert_string_equal(w.body, "answer");
        assert_int_equal(w.streams_gone, 1);
        w.data.size = 0;
        write_stream(&w, "free");
        loop_until(w.event, !w.client);
        assert_int_equal(w.done, 1);
        world_stop(&w);
}

static void free_in_done(struct http_call *call, const struct http_result *r, void *userdata) {
        struct world *w = userdata;

        w->done++;
        w->client = http_client_free(w->client);
}

static void freed_when_done(void **state) {
        struct http_client_options co = {0};
        struct http_server_options so = {0};
        struct world w;

        world_start(&w, &so, &co);
        const struct http_call_options o = {
                        .method = "GET", .path = "/x", .on_done = free_in_done, .userdata = &w};
        assert_int_equal(http_call_start(w.client, &o, NULL), 0);
        assert_int_equal(http_call_start(w.client, &o, NULL), 0);
        loop_until(w.event, w.done == 1);
        loop_for_ms(w.event, 20);
        assert_int_equal(w.done, 1);
        world_stop(&w);
}

static void says_what_failed(void **state) {
        struct http_client_options co = {0};
        struct http_server_options so = {0};
        _cleanup_free_ char *url = NULL;
        struct world w;

        world_start(&w, &so, &co);
        request(&w, &(struct http_call_options){
                                    .method = "GET", .path = "/silent", .timeout_us = 50000});
        assert_int_equal(w.error, -ETIMEDOUT);
        url = strformat("127.0.0.1:%u", http_server_port(w.server));
        assert_non_null(strstr(w.error_text, url));
        http_server_stop_accepting(w.server);
        w.client = http_client_free(w.client);
        co.base_url = url;
        assert_int_equal(http_client_new(&w.client, w.event, &co), 0);
        request(&w, &(struct http_call_options){.method = "GET", .path = "/"});
        assert_int_equal(w.error, -ECONNREFUSED);
        assert_non_null(strstr(w.error_text, url));
        assert_non_null(strstr(w.error_text, "is the server running"));
        w.client = http_client_free(w.client);
        co = (struct http_client_options){
                        .base_url = "http://localhost", .unix_path = "/nowhere/s"};
        assert_int_equal(http_client_new(&w.client, w.event, &co), 0);
        request(&w, &(struct http_call_options){.method = "GET", .path = "/"});
        assert_true(w.error < 0);
        assert_non_null(strstr(w.error_text, "/nowhere/s"));
        world_stop(&w);
}

static unsigned sessions;

/* As kapid does it where anybody may run the server. */
static void on_session(void *gnutls_session) {
        sessions++;
        tls_bound_keys(gnutls_session);
}

static void tls(void **state) {
        struct test_cert ca = test_cert_new(NULL, "ca", NULL, false);
        struct test_cert other = test_cert_new(NULL, "other", NULL, false);
        struct test_cert server = test_cert_new(&ca, "server", NULL, false);
        struct test_cert client = test_cert_new(&ca, "alice", NULL, false);
        struct http_server_options so = {
                        .tls_cert = server.cert, .tls_key = server.key, .tls_client_ca = ca.cert};
        struct http_client_options co = {
                        .ca_pem = ca.cert, .cert_pem = client.cert, .key_pem = client.key};
        const struct http_call_options get = {.method = "GET", .path = "/x"};
        struct world w;

        world_start(&w, &so, &co);
        request(&w, &get);
        assert_int_equal(w.code, 200);
        assert_int_equal(sessions, 0);
        world_stop(&w);
        co.on_session = on_session;
        co.tls_server_name = "localhost";
        world_start(&w, &so, &co);
        request(&w, &get);
        assert_int_equal(w.code, 200);
        assert_true(sessions > 0);
        world_stop(&w);
        co.tls_server_name = "another.example";
        world_start(&w, &so, &co);
        request(&w, &get);
        assert_int_equal(w.error, -EKEYREJECTED);
        world_stop(&w);
        co.tls_server_name = NULL;
        co.ca_pem = other.cert;
        world_start(&w, &so, &co);
        request(&w, &get);
        assert_int_equal(w.error, -EKEYREJECTED);
        assert_non_null(strstr(w.error_text, "https://127.0.0.1:"));
        world_stop(&w);
        struct test_cert *all[] = {&ca, &other, &server, &client};
        for (size_t i = 0; i < ELEMENTS(all); i++)
                test_cert_done(all[i]);
}

static void waits_without_a_loop(void **state) {
        _cleanup_(http_client_freep) struct http_client *client = NULL;
        const struct http_client_options co = {.base_url = "http://127.0.0.1:9"};
        const struct http_call_options o = {.method = "GET", .path = "/"};
        struct http_result result = {0};

        assert_int_equal(http_client_new(&client, NULL, &co), 0);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(http_client_do(client, &o, &result), -ECONNREFUSED);
                assert_non_null(strstr(result.error_text, "127.0.0.1:9"));
                http_result_done(&result);
        }
}

static void begin(struct world *w, const char *path, bool urgent, struct http_call **ret) {
        const struct http_call_options options = {.method = "GET",
                        .path = path,
                        .urgent = urgent,
                        .on_done = on_done,
                        .userdata = w};

        assert_int_equal(http_call_start(w->client, &options, ret), 0);
}

/* With a limit, calls wait in order; an urgent one does not. */
static void takes_turns(void **state) {
        struct http_client_options co = {.calls_max = 1};
        struct http_server_options so = {0};
        struct http_call *first;
        struct world w;

        world_start(&w, &so, &co);
        begin(&w, "/silent", false, &first);
        begin(&w, "/1", false, NULL);
        begin(&w, "/2", false, NULL);
        begin(&w, "/now", true, NULL);
        loop_until(w.event, w.done == 1);
        assert_non_null(startswith(w.seen, "GET /now "));
        http_call_cancel(first);
        loop_until(w.event, w.done == 2);
        assert_non_null(startswith(w.seen, "GET /1 "));
        loop_until(w.event, w.done == 3);
        assert_non_null(startswith(w.seen, "GET /2 "));
        world_stop(&w);
}

static void escapes(void **state) {
        _cleanup_free_ char *s = url_escape("a b/ä=1,~");

        assert_string_equal(s, "a%20b%2F%C3%A4%3D1%2C~");
}

static void shows_no_password(void **state) {
        static const char *const cases[][2] = {
                        {"https://me:secret@git.example/x.git", "https://git.example/x.git"},
                        {"https://token@git.example:8443", "https://git.example:8443"},
                        {"https://a:b@c@git.example/@x", "https://git.example/@x"},
                        {"https://git.example/a@b?c=d@e", "https://git.example/a@b?c=d@e"},
                        {"ssh://git@git.example/x", "ssh://git@git.example/x"},
                        {"ssh://git:secret@git.example/x", "ssh://git.example/x"},
                        {"git@git.example:x", "git@git.example:x"},
                        {"/srv/git/x", "/srv/git/x"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *s = url_shown(cases[i][0]);

                assert_string_equal(s, cases[i][1]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(asks_and_reuses_connections),
                        cmocka_unit_test(streams),
                        cmocka_unit_test(pauses_streams),
                        cmocka_unit_test(calls_from_callbacks),
                        cmocka_unit_test(freed_when_done),
                        cmocka_unit_test(says_what_failed),
                        cmocka_unit_test(tls),
                        cmocka_unit_test(waits_without_a_loop),
                        cmocka_unit_test(takes_turns),
                        cmocka_unit_test(escapes),
                        cmocka_unit_test(shows_no_password),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
