/* The list of API servers, pure; and a client that moves between two servers when one falls silent.
 */
#include "tests/unit/loop.h"

#include <signal.h>
#include <sys/wait.h>

#include "lib/client/api.h"
#include "lib/client/servers.h"
#include "lib/fileio.h"
#include "lib/http-server.h"

/* --- the list --- */

static void test_valid(void **state) {
        static const char *const bad[] = {"", "a", "https://", "ftp://a", "https://a/b",
                        "https://a b", "https://u@a", "unix:///x", "https://a\n", "https://a?x"};

        assert_true(server_is_valid("https://10.0.0.1:6443"));
        assert_true(server_is_valid("https://[fd00::1]:6443"));
        assert_true(server_is_valid("http://api.example.com"));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_false(server_is_valid(bad[i]));
}

static void test_learn(void **state) {
        char *more[] = {(char *)"https://b:1", (char *)"https://a:1", NULL},
             *learned[] = {(char *)"https://c:1", (char *)"https://b:1", (char *)"rubbish", NULL},
             *less[] = {(char *)"https://c:1", NULL}, *none[] = {NULL};
        struct servers s;

        assert_int_equal(servers_init(&s, "https://a:1", more), 0);
        assert_int_equal(s.count, 2);
        assert_true(servers_are_redundant(&s));
        assert_string_equal(servers_current(&s), "https://a:1");
        assert_int_equal(servers_learn(&s, learned), 1);
        assert_int_equal(servers_learn(&s, learned), 0);
        assert_int_equal(s.count, 3);
        assert_int_equal(servers_use(&s, "https://b:1"), 1);
        assert_int_equal(servers_use(&s, "https://b:1"), 0);
        assert_int_equal(servers_use(&s, "https://unknown:1"), 0);
        assert_int_equal(servers_use(&s, "https://c:1"), 1);
        /* The configured ones stay, and so does the one in use. */
        assert_int_equal(servers_learn(&s, less), 0);
        assert_int_equal(s.count, 3);
        assert_string_equal(servers_current(&s), "https://c:1");
        assert_int_equal(servers_learn(&s, none), 0);
        servers_done(&s);
        assert_int_equal(servers_init(&s, "https://a:1", learned), -EINVAL);
}

/* A single machine has a loopback address and one of its own: nothing to move to. */
static void test_redundant(void **state) {
        char *one[] = {(char *)"https://10.0.0.1:6443", NULL},
             *two[] = {(char *)"https://10.0.0.1:6443", (char *)"https://10.0.0.2:6443", NULL};
        struct servers s;

        assert_int_equal(servers_init(&s, "https://127.0.0.1:6443", NULL), 0);
        assert_false(servers_are_redundant(&s));
        assert_int_equal(servers_learn(&s, one), 1);
        assert_false(servers_are_redundant(&s));
        assert_int_equal(servers_learn(&s, two), 1);
        assert_true(servers_are_redundant(&s));
        assert_int_equal(servers_learn(&s, one), 1);
        assert_false(servers_are_redundant(&s));
        servers_done(&s);
}

#define SLICE(address, ready, port) \
        "{\"endpoints\":[{\"addresses\":[\"" address "\"],\"conditions\":{\"ready\":" ready \
        "}}],\"ports\":[{\"name\":\"https\",\"port\":" port "}]}"

static void test_slices(void **state) {
        _cleanup_json_ json_t *list = NULL;
        _cleanup_strv_free_ char **urls = NULL, **again = NULL;
        _cleanup_free_ char *text = NULL;
        const char *body = "{\"items\":[" SLICE("10.0.0.2", "false", "6443") "," SLICE(
                        "10.0.0.1", "true", "6443") "," SLICE("fd00::1", "true",
                        "7000") "," SLICE("10.0.0.9", "true", "70000") ",{}]}";

        assert_int_equal(json_parse(body, strlen(body), 0, &list, NULL), 0);
        assert_int_equal(servers_of_slices(list, &urls), 0);
        text = servers_text(urls);
        assert_string_equal(text, "https://10.0.0.1:6443\nhttps://10.0.0.2:6443\n"
                                  "https://[fd00::1]:7000\n");
        assert_int_equal(servers_parse(text, &again), 0);
        assert_int_equal(strv_length(again), 3);
        strv_free(again);
        again = NULL;
        assert_int_equal(servers_parse("x\nhttps://a:1\nhttps://a:1\n", &again), 0);
        assert_int_equal(strv_length(again), 1);
}

/* --- moving --- */

struct server {
        struct world *world;
        struct http_server *http;
        char url[64];
        bool silent, unready;
        size_t asked, watches, learned;
};

struct world {
        sd_event *event;
        struct server servers[2];
        struct api_client *client;
        char dir[64], config[96], file[96];
        int watch_error, error;
        size_t ended, done;
};

static void on_request(struct http_request *r, void *userdata) {
        struct server *s = userdata;
        const char *path = http_request_path(r);
        _cleanup_free_ char *body = NULL;

        if (s->silent)
                return;
        if (streq(path, "/readyz")) {
                s->asked++;
                http_respond(r, s->unready ? 500 : 200, "text/plain", "ok", 2);
        } else if (http_request_query(r, "watch")) {
                s->watches++;
                (void)http_stream_begin(r, 200, "application/json", 1 << 20, NULL, NULL);
        } else if (strstr(path, "endpointslices")) {
                s->learned++;
                body = strdup("{\"items\":[" SLICE("127.0.0.8", "true", "1") "," SLICE(
                                "127.0.0.9", "true", "1") "]}");
                http_respond(r, 200, "application/json", body, strlen(body));
        } else
                http_respond(r, 200, "application/json", "{}", 2);
}

static void start(struct server *s, struct world *w) {
        _cleanup_problem_ struct problem p = {0};
        const struct http_server_options o = {
                        .host = "127.0.0.1", .handler = on_request, .userdata = s};

        s->world = w;
        assert_int_equal(http_server_new(&s->http, w->event, &o, &p), 0);
        (void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", http_server_port(s->http));
}

static int setup(void **state) {
        static struct world w;
        _cleanup_problem_ struct problem p = {0};
        struct api_client_options o = {
                        .user_agent = "tester/1", .kubeconfig = w.config, .servers_file = w.file};
        _cleanup_free_ char *text = NULL;

        w = (struct world){0};
        (void)snprintf(w.dir, sizeof(w.dir), "/tmp/keelson-test-XXXXXX");
        assert_non_null(mkdtemp(w.dir));
        (void)snprintf(w.config, sizeof(w.config), "%s/config", w.dir);
        (void)snprintf(w.file, sizeof(w.file), "%s/servers", w.dir);
        assert_int_equal(sd_event_new(&w.event), 0);
        start(&w.servers[0], &w);
        start(&w.servers[1], &w);
        text = strformat("current-context: c\nclusters: [{name: k, cluster: {server: '%s', "
                         "extensions: [{name: keelson.dev/servers, extension: {servers: "
                         "['%s']}}]}}]\ncontexts: [{name: c, context: {cluster: k}}]\n",
                        w.servers[0].url, w.servers[1].url);
        assert_int_equal(file_write_atomic(w.config, text, strlen(text), 0600), 0);
        assert_int_equal(api_client_new(&w.client, w.event, &o, &p), 0);
        *state = &w;
        return 0;
}

static int teardown(void **state) {
        struct world *w = *state;

        api_client_free(w->client);
        http_server_free(w->servers[0].http);
        http_server_free(w->servers[1].http);
        sd_event_unref(w->event);
        (void)remove_tree(w->dir);
        return 0;
}

static void on_watch_done(
                struct http_call *call, const struct http_result *result, void *userdata) {
        struct world *w = userdata;

        w->ended++;
        w->watch_error = result->error;
}

static void watch(struct world *w) {
        assert_int_equal(http_call_start(api_client_http(w->client),
                                         &(struct http_call_options){.method = "GET",
                                                         .path = "/api/v1/pods?watch=1",
                                                         .timeout_us = UINT64_MAX,
                                                         .on_done = on_watch_done,
                                                         .userdata = w},
                                         NULL),
                        0);
}

static void on_done(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct world *w = userdata;

        w->done++;
        w->error = error;
}

/* The one in use falls silent under a watch and a request: both end, and the next go to the other.
 */
static void test_silent(void **state) {
        struct world *w = *state;
        uint64_t begin;

        watch(w);
        loop_until(w->event, w->servers[0].watches == 1 && w->servers[0].asked >= 1);
        assert_true(api_client_is_redundant(w->client));
        w->servers[0].silent = true;
        begin = loop_now_ms();
        assert_int_equal(api_get_async(w->client, "/x", on_done, w, NULL), 0);
        loop_until(w->event, w->ended == 1 && w->done == 1);
        assert_true(loop_now_ms() - begin < 2000);
        assert_int_equal(w->watch_error, -ECONNRESET);
        assert_int_equal(w->error, -ECONNRESET);
        assert_string_equal(api_client_server(w->client), w->servers[1].url);
        watch(w);
        assert_int_equal(api_get_async(w->client, "/x", on_done, w, NULL), 0);
        loop_until(w->event, w->servers[1].watches == 1 && w->done == 2);
        assert_int_equal(w->error, 0);
}

/* It is not ready (its store has no leader): the same. Nobody is ready: nothing is gained by
 * moving, and the watch goes on. */
static void test_unready(void **state) {
        struct world *w = *state;
        size_t asked;

        watch(w);
        loop_until(w->event, w->servers[0].watches == 1);
        w->servers[0].unready = w->servers[1].unready = true;
        loop_until(w->event, w->servers[1].asked >= 1);
        assert_int_equal(w->ended, 0);
        w->servers[1].unready = false;
        loop_until(w->event, w->ended == 1);
        assert_string_equal(api_client_server(w->client), w->servers[1].url);
        asked = w->servers[1].asked;
        loop_until(w->event, w->servers[1].asked > asked);
}

/* It is gone: the first request that fails starts the move. */
static void test_gone(void **state) {
        struct world *w = *state;

        loop_until(w->event, w->servers[0].asked >= 1);
        w->servers[0].http = http_server_free(w->servers[0].http);
        assert_int_equal(api_get_async(w->client, "/x", on_done, w, NULL), 0);
        loop_until(w->event, w->done == 1);
        loop_until(w->event, streq(api_client_server(w->client), w->servers[1].url));
}

static void test_learns(void **state) {
        struct world *w = *state;
        _cleanup_free_ char *text = NULL;

        loop_until(w->event, w->servers[0].learned == 1 && access(w->file, R_OK) == 0);
        assert_int_equal(file_read(w->file, 1000, &text, NULL), 0);
        assert_string_equal(text, "https://127.0.0.8:1\nhttps://127.0.0.9:1\n");
}

/* Without a loop, in a process of its own: 0 when the request was answered by this server. */
static int ask_blocking(const char *config, const char *url) {
        _cleanup_problem_ struct problem p = {0};
        struct api_client_options o = {.user_agent = "tester/1", .kubeconfig = config};
        _cleanup_(api_client_freep) struct api_client *c = NULL;

        return api_client_new(&c, NULL, &o, &p) < 0 || api_get(c, "/x", NULL, &p) < 0 ||
               !streq(api_client_server(c), url);
}

/* The command line: its first server is silent. */
static void test_blocking(void **state) {
        struct world *w = *state;
        int status = -1;
        pid_t pid;

        w->servers[0].silent = true;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(ask_blocking(w->config, w->servers[1].url));
        loop_until(w->event, waitpid(pid, &status, WNOHANG) == pid);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_valid),
                        cmocka_unit_test(test_learn),
                        cmocka_unit_test(test_redundant),
                        cmocka_unit_test(test_slices),
                        cmocka_unit_test_setup_teardown(test_silent, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_unready, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_learns, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_blocking, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
