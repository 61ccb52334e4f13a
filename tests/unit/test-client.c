/* The API client, the informer and leader election against a small server that says what the test
 * tells it to. */
#include "tests/unit/loop.h"

#include <sys/stat.h>

#include "lib/client/api-actions.h"
#include "lib/client/executor.h"
#include "lib/client/informer.h"
#include "lib/client/leader.h"
#include "lib/fileio.h"
#include "lib/http-server.h"
#include "lib/object.h"
#include "lib/timefmt.h"

struct answer {
        int code;
        const char *body;
};

struct world {
        sd_event *event;
        struct http_server *server;
        struct api_client *client;
        char dir[64], sock[96], config[96];
        struct http_stream *stream;
        struct answer lists[8]; /* answers to GETs that are no watches, in order; the last one stays
                                 */
        size_t list_count, list_next, watches, watch_410;
        char last_watch[512], log[2048], requests[4096];
        bool synced, started, stopped;
        uint64_t work_us; /* that a burst's event takes */
        unsigned next;    /* the burst's event that must come now */
        json_t *lease;
        unsigned lease_version;
        int error, code;
        size_t done;
};

static void note(char *log, size_t size, const char *fmt, ...) _printf_(3, 4);
static void note(char *log, size_t size, const char *fmt, ...) {
        size_t n = strlen(log);
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(log + n, size - n, fmt, ap);
        va_end(ap);
}

static void on_stream_gone(struct http_stream *s, void *userdata) {
        struct world *w = userdata;

        if (w->stream == s)
                w->stream = NULL;
}

static void respond(struct http_request *r, int code, const char *body) {
        http_respond(r, code, "application/json", body, strlen(body));
}

/* A Lease kept with optimistic concurrency. */
static void on_lease(struct world *w, struct http_request *r) {
        const char *method = http_request_method(r);
        _cleanup_json_ json_t *body = NULL;
        _cleanup_free_ char *text = NULL;
        char version[16];
        size_t n;
        const char *data = http_request_body(r, &n);

        if (streq(method, "GET") && !w->lease)
                return respond(r, 404,
                                "{\"kind\":\"Status\",\"code\":404,\"reason\":\"NotFound\"}");
        if (!streq(method, "GET")) {
                assert_int_equal(json_parse(data, n, 0, &body, NULL), 0);
                if (w->lease && !streq_ptr(json_str(w->lease, "metadata.resourceVersion"),
                                                json_str(body, "metadata.resourceVersion")))
                        return respond(r, 409,
                                        "{\"kind\":\"Status\",\"code\":409,\"reason\":"
                                        "\"Conflict\"}");
                (void)snprintf(version, sizeof(version), "%u", ++w->lease_version);
                assert_int_equal(json_set_str(body, "metadata.resourceVersion", version), 0);
                json_decref(w->lease);
                w->lease = TAKE_PTR(body);
        }
        text = json_text(w->lease);
        respond(r, 200, text);
}

static void on_request(struct http_request *r, void *userdata) {
        struct world *w = userdata;
        const char *path = http_request_path(r);
        size_t n;

        if (strstr(path, "/leases"))
                return on_lease(w, r);
        if (http_request_query(r, "watch")) {
                w->watches++;
                (void)snprintf(w->last_watch, sizeof(w->last_watch), "%s",
                                http_request_query_text(r));
                if (w->watch_410 > 0) {
                        w->watch_410--;
                        return respond(r, 410,
                                        "{\"kind\":\"Status\",\"code\":410,\"reason\":"
                                        "\"Expired\"}");
                }
                w->stream = http_stream_begin(
                                r, 200, "application/json", 1 << 20, on_stream_gone, w);
                return;
        }
        note(w->requests, sizeof(w->requests), "%s %s?%s %s|", http_request_method(r), path,
                        http_request_query_text(r), http_request_body(r, &n));
        assert_true(w->list_count > 0);
        respond(r, w->lists[w->list_next].code, w->lists[w->list_next].body);
        if (w->list_next + 1 < w->list_count)
                w->list_next++;
}

static int setup(void **state) {
        static struct world w;
        _cleanup_problem_ struct problem p = {0};
        struct http_server_options server = {.handler = on_request, .userdata = &w};
        struct api_client_options client = {.user_agent = "tester/1"};
        _cleanup_free_ char *text = NULL;

        w = (struct world){0};
        (void)snprintf(w.dir, sizeof(w.dir), "/tmp/keelson-test-XXXXXX");
        assert_non_null(mkdtemp(w.dir));
        (void)snprintf(w.sock, sizeof(w.sock), "%s/s", w.dir);
        (void)snprintf(w.config, sizeof(w.config), "%s/config", w.dir);
        assert_int_equal(sd_event_new(&w.event), 0);
        server.unix_path = w.sock;
        assert_int_equal(http_server_new(&w.server, w.event, &server, &p), 0);
        text = strformat("current-context: c\nclusters: [{name: k, cluster: {server: "
                         "'unix://%s'}}]\n"
                         "contexts: [{name: c, context: {cluster: k, namespace: team}}]\n",
                        w.sock);
        assert_int_equal(file_write_atomic(w.config, text, strlen(text), 0600), 0);
        client.kubeconfig = w.config;
        assert_int_equal(api_client_new(&w.client, w.event, &client, &p), 0);
        *state = &w;
        return 0;
}

static int teardown(void **state) {
        struct world *w = *state;

        api_client_free(w->client);
        http_server_free(w->server);
        sd_event_unref(w->event);
        json_decref(w->lease);
        (void)remove_tree(w->dir);
        return 0;
}

/* --- informer --- */

#define POD(name, uid, rv, node) \
        "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"d\",\"uid\":\"" uid \
        "\",\"resourceVersion\":\"" rv "\",\"managedFields\":[{}]},\"spec\":{\"nodeName\":\"" node \
        "\"}}"
#define LIST(rv, more, items) \
        "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\"" more \
        "},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"

static void on_event(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct world *w = userdata;

        note(w->log, sizeof(w->log), "%c%s:%s ", "+~-"[event], object_name(object),
                        json_str_or(object, "metadata.resourceVersion", ""));
        assert_string_equal(object_kind(object), "Pod");
        assert_string_equal(object_api_version(object), "v1");
        assert_null(json_at(object, "metadata.managedFields"));
        assert_true((event == INFORMER_MODIFIED) == (old != NULL));
}

static void on_synced(struct informer *i, void *userdata) {
        ((struct world *)userdata)->synced = true;
}

static const char *by_node(const json_t *o, char *buffer, size_t n) {
        return json_str(o, "spec.nodeName");
}

/* The letters of the node's name, which are all different. */
static const char *by_letter(const json_t *o, size_t n, char *buffer, size_t size) {
        const char *node = json_str(o, "spec.nodeName");

        if (n >= strlen(node))
                return NULL;
        snprintf(buffer, size, "%c", node[n]);
        return buffer;
}

static void count_object(const json_t *object, void *userdata) {
        ++*(size_t *)userdata;
}

static size_t on_node(const struct informer *i, const char *node) {
        size_t n = 0;

        informer_by_index(i, "node", node, count_object, &n);
        return n;
}

static size_t with_letter(const struct informer *i, const char *letter) {
        size_t n = 0;

        informer_by_index(i, "letter", letter, count_object, &n);
        return n;
}

static struct informer *start(struct world *w) {
        struct informer_options options = {.resource = api_resource_find("pods"),
                        .label_selector = "a=b",
                        .on_event = on_event,
                        .on_synced = on_synced,
                        .userdata = w};
        struct informer *i;

        assert_int_equal(informer_new(&i, w->client, &options), 0);
        assert_int_equal(informer_add_index(i, "node", by_node), 0);
        assert_int_equal(informer_add_index_of_many(i, "letter", by_letter), 0);
        assert_int_equal(informer_add_index_of_many(i, "second", by_letter), -E2BIG);
        return i;
}

static void say(struct world *w, const char *text) {
        assert_non_null(w->stream);
        assert_int_equal(http_stream_write_copy(w->stream, text, strlen(text)), 0);
}

static void test_informer_pages_and_watch(void **state) {
        struct world *w = *state;
        struct informer *i;

        w->lists[0] = (struct answer){
                        200, LIST("7", ",\"continue\":\"t&1\"", POD("a", "ua", "3", "n1"))};
        w->lists[1] = (struct answer){200, LIST("7", "", POD("b", "ub", "5", "n1"))};
        w->list_count = 2;
        i = start(w);
        loop_until(w->event, w->stream);
        assert_true(w->synced);
        assert_string_equal(w->log, "+a:3 +b:5 ");
        assert_non_null(strstr(w->requests, "GET /api/v1/pods?limit=150&labelSelector=a%3Db"));
        assert_non_null(strstr(w->requests, "continue=t%261"));
        assert_non_null(strstr(w->last_watch, "resourceVersion=7"));
        assert_non_null(strstr(w->last_watch, "allowWatchBookmarks=true"));
        assert_int_equal(informer_resource_version(i), 7);
        assert_int_equal(on_node(i, "n1"), 2);
        assert_int_equal(with_letter(i, "n"), 2);
        assert_int_equal(with_letter(i, "1"), 2);

        /* a line in pieces, two lines in one piece */
        say(w, "{\"type\":\"ADDED\",\"obj");
        loop_for_ms(w->event, 5);
        say(w, "ect\":" POD("c", "uc", "8", "n2") "}\n" EVENT("MODIFIED", POD("a", "ua", "9", "n2"))
                                        EVENT("DELETED", POD("b", "ub", "10", "n1")));
        loop_until(w->event, strstr(w->log, "-b:10"));
        assert_string_equal(w->log, "+a:3 +b:5 +c:8 ~a:9 -b:10 ");
        assert_int_equal(informer_count(i), 2);
        assert_int_equal(on_node(i, "n1"), 0);
        assert_int_equal(on_node(i, "n2"), 2);
        assert_int_equal(with_letter(i, "n"), 2);
        assert_int_equal(with_letter(i, "1"), 0);
        assert_int_equal(with_letter(i, "2"), 2);
        assert_non_null(informer_get(i, "d/a"));
        assert_null(informer_get2(i, "d", "b"));

        /* resumed where the bookmark says, without a list */
        say(w, EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"20\"}}"));
        loop_until(w->event, informer_resource_version(i) == 20);
        http_stream_end(TAKE_PTR(w->stream));
        loop_until(w->event, w->stream);
        assert_int_equal(w->watches, 2);
        assert_non_null(strstr(w->last_watch, "resourceVersion=20"));
        assert_string_equal(w->log, "+a:3 +b:5 +c:8 ~a:9 -b:10 ");
        informer_free(i);
}

/* On request: what changed meanwhile is reported, and the end of the list once more. */
static void test_informer_relist(void **state) {
        struct world *w = *state;
        struct informer *i;

        w->lists[0] = (struct answer){200,
                        LIST("7", "", POD("a", "ua", "3", "n1") "," POD("b", "ub", "5", "n1"))};
        w->lists[1] = (struct answer){200, LIST("9", "", POD("a", "ua", "8", "n2"))};
        w->list_count = 2;
        i = start(w);
        loop_until(w->event, w->stream);
        say(w, "{\"type\":\"ADDED\",\"obj"); /* half of a line */
        loop_for_ms(w->event, 5);
        w->synced = false;
        informer_relist(i);
        assert_false(informer_is_synced(i));
        loop_until(w->event, w->synced);
        assert_true(informer_is_synced(i));
        assert_string_equal(w->log, "+a:3 +b:5 ~a:8 -b:5 ");
        assert_int_equal(informer_resource_version(i), 9);
        loop_until(w->event, w->watches == 2);
        assert_non_null(strstr(w->last_watch, "resourceVersion=9"));
        informer_free(i);
}

/* After 410 only the differences are reported; the same name with another uid is another object. */
static void relist(struct world *w, const char *how) {
        struct informer *i;

        w->lists[0] = (struct answer){
                        200, LIST("7", "",
                                             POD("a", "ua", "3", "n1") "," POD("b", "ub", "4",
                                                             "n1") "," POD("c", "uc", "5",
                                                             "n1") "," POD("d", "ud", "6", "n1"))};
        w->lists[1] = (struct answer){200,
                        LIST("30", "",
                                        POD("a", "ua", "3", "n1") "," POD("b", "ub", "21",
                                                        "n2") "," POD("c", "uc2", "22", "n1"))};
        w->list_count = 2;
        i = start(w);
        loop_until(w->event, w->stream);
        w->log[0] = 0;
        if (how)
                say(w, how);
        else {
                w->watch_410 = 1;
                http_stream_abort(TAKE_PTR(w->stream));
        }
        loop_until(w->event, strstr(w->last_watch, "resourceVersion=30"));
        assert_string_equal(w->log, "~b:21 -c:5 +c:22 -d:6 ");
        assert_int_equal(on_node(i, "n1"), 2);
        informer_free(i);
}

static void test_informer_gone(void **state) {
        relist(*state, NULL);
}

static void test_informer_error_event(void **state) {
        relist(*state, EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}"));
}

static void test_informer_retries(void **state) {
        struct world *w = *state;
        struct informer *i;

        w->lists[0] = (struct answer){503, "{\"kind\":\"Status\",\"code\":503}"};
        w->lists[1] = (struct answer){200, "[]"};
        w->lists[2] = (struct answer){413, "{\"kind\":\"Status\",\"code\":413}"};
        w->lists[3] = (struct answer){200, LIST("7", "", POD("a", "ua", "3", "n1"))};
        w->list_count = 4;
        i = start(w);
        loop_until(w->event, w->stream);
        assert_string_equal(w->log, "+a:3 ");
        assert_non_null(strstr(w->requests, "limit=5&")); /* pages were too large */
        say(w, "this is no JSON\n");
        loop_until(w->event, w->watches == 2); /* the stream is left and taken up again */
        assert_non_null(strstr(w->last_watch, "resourceVersion=7"));
        informer_free(i);
}

/* --- a burst of events --- */

enum { BURST = 150 };

/* Events come in order, each once, and each takes its time. */
static void on_burst(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct world *w = userdata;
        uint64_t end = now_mono_us() + w->work_us;

        if (streq(object_name(object), "a")) {
                note(w->log, sizeof(w->log), "a:%s ",
                                json_str(object, "metadata.resourceVersion"));
                return;
        }
        if (event == INFORMER_DELETED) /* a list lacked it */
                return;
        assert_int_equal(object_resource_version(object), w->next++);
        while (now_mono_us() < end)
                ;
}

/* Of this thread: what other programs take of the processor does not count. */
static uint64_t cpu_us(void) {
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* The longest turn of the loop until the condition holds. */
#define longest_turn(w, condition)                                                                 \
        ({                                                                                         \
                uint64_t _longest = 0, _begin;                                                     \
                while (!(condition)) {                                                             \
                        int _r = sd_event_prepare((w)->event);                                     \
                        _r = _r == 0 ? sd_event_wait((w)->event, 2000000) : _r;                    \
                        assert_true(_r > 0);                                                       \
                        _begin = cpu_us();                                                         \
                        assert_true(sd_event_dispatch((w)->event) >= 0);                           \
                        _longest = MAX(_longest, cpu_us() - _begin);                               \
                }                                                                                  \
                _longest;                                                                          \
        })

/* BURST events from this version on and then `last`, in one piece. */
static void burst(struct world *w, unsigned version, const char *last) {
        _cleanup_buf_ struct buf b = {0};

        w->next = version;
        for (unsigned n = version; n < version + BURST; n++)
                buf_printf(&b, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"p%u\","
                               "\"namespace\":\"d\",\"uid\":\"u%u\",\"resourceVersion\":\"%u\"}}}\n",
                                n, n, n);
        buf_append_str(&b, last);
        say(w, b.data);
}

static struct informer *start_burst(struct world *w) {
        struct informer_options options = {.resource = api_resource_find("pods"),
                        .on_event = on_burst,
                        .on_synced = on_synced,
                        .userdata = w};
        struct informer *i;

        w->lists[0] = (struct answer){200, LIST("7", "", POD("a", "ua", "3", "n1"))};
        w->list_count = 1;
        w->work_us = 1000;
        assert_int_equal(informer_new(&i, w->client, &options), 0);
        loop_until(w->event, w->stream);
        return i;
}

/* 150 ms of work come in one piece: no turn takes the whole of it, and what stands after the events
 * comes after them. */
static void test_informer_burst(void **state) {
        struct world *w = *state;
        struct informer *i = start_burst(w);
        uint64_t longest;

        burst(w, 100, EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"900\"}}"));
        longest = longest_turn(w, informer_resource_version(i) == 900);
        assert_int_equal(w->next, 100 + BURST);
        assert_in_range(longest, 1, 45000);
        /* the stream's end comes in while events wait, and the next watch begins after them */
        burst(w, 1000, EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"2000\"}}"));
        http_stream_end(TAKE_PTR(w->stream));
        longest = longest_turn(w, w->watches == 2);
        assert_int_equal(w->next, 1000 + BURST);
        assert_in_range(longest, 1, 45000);
        assert_non_null(strstr(w->last_watch, "resourceVersion=2000"));
        assert_int_equal(informer_count(i), 1 + 2 * BURST);
        informer_free(i);
}

/* The same with ends that are errors: the events before them count. */
static void test_informer_burst_and_error(void **state) {
        struct world *w = *state;
        struct informer *i = start_burst(w);

        burst(w, 100, EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}")
                                        EVENT("ADDED", POD("z", "uz", "999", "n1")));
        w->lists[0] = (struct answer){200, LIST("970", "", POD("a", "ua", "960", "n1"))};
        w->work_us = 200;
        w->log[0] = 0;
        w->synced = false;
        loop_until(w->event, strstr(w->log, "a:960")); /* listed again */
        assert_int_equal(w->next, 100 + BURST);
        loop_until(w->event, w->watches == 2);
        assert_int_equal(informer_count(i), 1);
        assert_null(informer_get(i, "d/z"));
        informer_free(i);
}

/* Freed, or listed again, while events wait. */
static void test_informer_burst_is_dropped(void **state) {
        struct world *w = *state;
        struct informer *i = start_burst(w);

        burst(w, 100, "");
        loop_until(w->event, w->next > 100);
        assert_true(w->next < 100 + BURST);
        w->synced = false;
        informer_relist(i);
        loop_until(w->event, w->watches == 2 && w->stream);
        assert_true(w->next < 100 + BURST);
        burst(w, 100, "");
        loop_until(w->event, w->next > 100);
        informer_free(i);
        loop_for_ms(w->event, 20);
        assert_true(w->next < 100 + BURST);
}

/* --- requests --- */

static void on_done(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct world *w = userdata;

        w->error = error;
        w->code = p->code;
        w->done++;
}

static void test_errors(void **state) {
        static const struct {
                struct answer answer;
                int error;
        } cases[] = {
                        {{200, "{}"}, 0},
                        {{404, "{\"reason\":\"NotFound\"}"}, -ENOENT},
                        {{409, "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\"}"}, -EEXIST},
                        {{409, "{\"kind\":\"Status\",\"reason\":\"Conflict\"}"}, -ESTALE},
                        {{403, "{}"}, -EACCES},
                        {{422, "{}"}, -EINVAL},
                        {{429, "{}"}, -EAGAIN},
                        {{500, "not JSON"}, -EREMOTEIO},
                        {{200, "not JSON"}, -EINVAL},
        };
        struct world *w = *state;

        w->list_count = 1;
        for (size_t k = 0; k < ELEMENTS(cases); k++) {
                w->lists[0] = cases[k].answer;
                assert_int_equal(api_get_async(w->client, "/api/v1/pods/x", on_done, w, NULL), 0);
                loop_until(w->event, w->done == k + 1);
                assert_int_equal(w->error, cases[k].error);
                if (cases[k].answer.code >= 300)
                        assert_int_equal(w->code, cases[k].answer.code);
        }
}

/* No server is no answer: above all not "there is no such object". */
static void test_no_server(void **state) {
        struct world *w = *state;

        http_server_free(w->server);
        w->server = NULL;
        (void)unlink(w->sock);
        assert_int_equal(api_get_async(w->client, "/api/v1/pods/x", on_done, w, NULL), 0);
        loop_until(w->event, w->done == 1);
        assert_int_equal(w->error, -ECONNREFUSED);
        assert_int_equal(w->code, 0);
}

static void test_apply_names_its_manager(void **state) {
        struct world *w = *state;
        _cleanup_json_ json_t *body = json_object();

        w->lists[0] = (struct answer){200, "{}"};
        w->list_count = 1;
        assert_int_equal(api_patch_async(w->client, "/api/v1/namespaces/d/pods/x?force=true",
                                         API_PATCH_APPLY, body, on_done, w, NULL),
                        0);
        loop_until(w->event, w->done == 1);
        assert_non_null(strstr(w->requests,
                        "PATCH /api/v1/namespaces/d/pods/x?force=true&fieldManager=tester"));
}

static void test_paths(void **state) {
        _cleanup_free_ char *a =
                        api_path(api_resource_find("deployments"), "n s", "x", "scale", "q=1");
        _cleanup_free_ char *b = api_path(api_resource_find("nodes"), "ignored", NULL, NULL, NULL);

        assert_string_equal(a, "/apis/apps/v1/namespaces/n%20s/deployments/x/scale?q=1");
        assert_string_equal(b, "/api/v1/nodes");
        assert_null(api_resource_find("unknowns"));
}

static void test_events_aggregate(void **state) {
        struct world *w = *state;
        _cleanup_json_ json_t *pod = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "kind", "Pod",
                        "apiVersion", "v1", "metadata", "name", "a", "namespace", "d", "uid", "ua");

        w->lists[0] = (struct answer){201, "{}"};
        w->list_count = 1;
        for (int k = 0; k < 5; k++)
                api_event(w->client, pod, "Warning", "Failed", "it failed: %d", 1);
        api_event(w->client, pod, "Normal", "Other", "x");
        loop_until(w->event, strstr(w->requests, "Other"));
        loop_for_ms(w->event, 5);
        /* one write for the five */
        assert_non_null(strstr(w->requests, "POST /api/v1/namespaces/d/events"));
        assert_null(strstr(strstr(w->requests, "it failed") + 1, "it failed"));
        assert_non_null(strstr(w->requests, "\"involvedObject\":{\"kind\":\"Pod\""));
}

static void on_list_done(int error, const struct problem *p, void *userdata) {
        ((struct world *)userdata)->done++;
}

/* Carries out a list of one create about an owner; the server answers as w->lists says. */
static void create_about(struct world *w, const char *owner_uid) {
        _cleanup_json_ json_t *owner = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "kind",
                        "StatefulSet", "apiVersion", "apps/v1", "metadata", "name", "web",
                        "namespace", "d", "uid", owner_uid);
        struct executor_options options = {
                        .client = w->client, .done = on_list_done, .userdata = w};
        _cleanup_(executor_freep) struct executor *e = NULL;
        _cleanup_actions_ struct actions list = {0};
        size_t done = w->done;

        w->list_next = 0;
        w->requests[0] = 0;
        action_create(&list, "pods", "d",
                        json_pack("{s:{s:s}}", "metadata", "generateName", "web-"));
        action_report_end(&list, owner, "Create", "made {} well", "made nothing: ");
        assert_int_equal(executor_new(&e, &options), 0);
        executor_run(e, &list);
        loop_until(w->event, w->done > done);
        loop_for_ms(w->event, 20);
}

static void test_actions_report_their_end(void **state) {
        struct world *w = *state;

        w->list_count = 2;
        w->lists[1] = (struct answer){201, "{}"};
        w->lists[0] = (struct answer){201, "{\"metadata\":{\"name\":\"web-x7\"}}"};
        create_about(w, "u1");
        assert_non_null(strstr(w->requests, "\"type\":\"Normal\",\"reason\":\"SuccessfulCreate\""
                                            ",\"message\":\"made web-x7 well\""));
        w->lists[0] = (struct answer){403,
                        "{\"kind\":\"Status\",\"code\":403,\"reason\":\"Forbidden\",\"message\":"
                        "\"no\"}"};
        create_about(w, "u2");
        assert_non_null(strstr(w->requests, "\"type\":\"Warning\",\"reason\":\"FailedCreate\","
                                            "\"message\":\"made nothing: no\""));
        /* a namespace that ends is not a failure of the owner's */
        w->lists[0] = (struct answer){403,
                        "{\"kind\":\"Status\",\"code\":403,\"reason\":\"Forbidden\",\"message\":"
                        "\"no\",\"details\":{\"causes\":[{\"reason\":\"NamespaceTerminating\"}]}}"};
        create_about(w, "u3");
        assert_null(strstr(w->requests, "FailedCreate"));
}

/* An owner of thousands of pods does not cost thousands of events. */
static void test_events_of_one_object_are_bounded(void **state) {
        struct world *w = *state;
        _cleanup_json_ json_t *set = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "kind",
                        "ReplicaSet", "apiVersion", "apps/v1", "metadata", "name", "a", "namespace",
                        "d", "uid", "ua");
        _cleanup_json_ json_t *other = json_deep_copy(set);
        size_t count = 0;

        w->lists[0] = (struct answer){201, "{}"};
        w->list_count = 1;
        json_set_str(other, "metadata.uid", "ub");
        for (int k = 0; k < 100; k++) {
                api_event(w->client, set, "Normal", "SuccessfulCreate", "Created pod: a-%d", k);
                w->requests[0] = 0;
                loop_for_ms(w->event, 1);
                count += strstr(w->requests, "Created pod") != NULL;
        }
        loop_for_ms(w->event, 20);
        assert_true(count > 0 && count <= 25);
        w->requests[0] = 0;
        api_event(w->client, other, "Normal", "SuccessfulCreate", "Created pod: b-%d", 1);
        loop_until(w->event, strstr(w->requests, "b-1"));
}

/* --- kubeconfig --- */

static void write_config(struct world *w, const char *text) {
        assert_int_equal(file_write_atomic(w->config, text, strlen(text), 0600), 0);
}

static void refuse(struct world *w, const char *context, const char *why) {
        struct api_client_options options = {.kubeconfig = w->config, .context = context};
        _cleanup_problem_ struct problem p = {0};
        struct api_client *c = NULL;

        assert_true(api_client_new(&c, NULL, &options, &p) < 0);
        if (!strstr(strempty(p.message), why))
                fail_msg("\"%s\" does not say \"%s\"", strempty(p.message), why);
        assert_non_null(strstr(p.message, w->dir));
}

static void test_kubeconfig(void **state) {
        struct world *w = *state;

        assert_string_equal(api_client_namespace(w->client), "team");
        refuse(w, "other", "no context \"other\"");
        write_config(w, "contexts: []\n");
        refuse(w, NULL, "no current-context");
        write_config(w, "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n");
        refuse(w, NULL, "no cluster \"k\"");
        write_config(w, "current-context: c\nclusters: [{name: k, cluster: {server: 'h:1'}}]\n"
                        "contexts: [{name: c, context: {cluster: k}}]\n");
        refuse(w, NULL, "not https://host:port");
        write_config(w, "current-context: c\n"
                        "clusters: [{name: k, cluster: {server: 'https://h:1', "
                        "certificate-authority: gone.pem}}]\n"
                        "contexts: [{name: c, context: {cluster: k}}]\n");
        refuse(w, NULL, "gone.pem");
        write_config(w, "a: [\n");
        refuse(w, NULL, "line 2");
        assert_int_equal(unlink(w->config), 0);
        refuse(w, NULL, "no kubeconfig file");
}

/* --- leader --- */

static void on_started(void *userdata) {
        ((struct world *)userdata)->started = true;
}

static void on_stopped(void *userdata) {
        ((struct world *)userdata)->stopped = true;
}

static void test_leader(void **state) {
        struct world *w = *state;
        struct leader_options options = {.ns = "kube-system",
                        .name = "x",
                        .identity = "me",
                        .on_started = on_started,
                        .on_stopped = on_stopped,
                        .userdata = w};
        struct leader *l;

        assert_int_equal(leader_new(&l, w->event, w->client, &options), 0);
        loop_until(w->event, w->started);
        assert_true(leader_is(l));
        assert_string_equal(json_str(w->lease, "spec.holderIdentity"), "me");
        assert_int_equal(json_int_or(w->lease, "spec.leaseDurationSeconds", 0), 15);
        /* The server is in this very loop, so the lease cannot be given up in a blocking call here.
         */
        http_server_free(w->server);
        w->server = NULL;
        leader_free(l);
        assert_false(w->stopped);
}

static void test_leader_waits(void **state) {
        struct world *w = *state;
        struct leader_options options = {.ns = "kube-system",
                        .name = "x",
                        .identity = "me",
                        .on_started = on_started,
                        .userdata = w};
        struct leader *l;

        w->lease = json_pack("{s:{s:s}, s:{s:s, s:i}}", "metadata", "resourceVersion", "0", "spec",
                        "holderIdentity", "other", "leaseTransitions", 3);
        assert_int_equal(leader_new(&l, w->event, w->client, &options), 0);
        loop_for_ms(w->event, 30);
        assert_false(w->started); /* another holds it, however old its time stamps are */
        assert_string_equal(json_str(w->lease, "spec.holderIdentity"), "other");
        leader_free(l);

        /* given up: taken at once */
        assert_int_equal(json_set_str(w->lease, "spec.holderIdentity", ""), 0);
        assert_int_equal(leader_new(&l, w->event, w->client, &options), 0);
        loop_until(w->event, w->started);
        http_server_free(w->server);
        w->server = NULL;
        leader_free(l);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(
                                        test_informer_pages_and_watch, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_informer_relist, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_informer_gone, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_informer_error_event, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_informer_retries, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_informer_burst, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_informer_burst_and_error, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_informer_burst_is_dropped, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_no_server, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_apply_names_its_manager, setup, teardown),
                        cmocka_unit_test(test_paths),
                        cmocka_unit_test_setup_teardown(test_events_aggregate, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_actions_report_their_end, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_events_of_one_object_are_bounded, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_kubeconfig, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_leader, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_leader_waits, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
