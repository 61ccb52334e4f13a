/* The grpc probe against a server with each of its answers. */
#include "tests/unit/loop.h"

#include "lib/grpc-server.h"
#include "nodeagent/pod/probe-grpc.h"
#include "proto/health.pb-c.h"

struct world {
        sd_event *event;
        struct grpc_server *server;
        struct probe_grpc *probe;
        int status;     /* that the server answers; negative: it does not answer */
        char asked[64]; /* the service that was asked for */
        bool ended, passed;
        char message[300];
};

static void check(struct grpc_call *call, const void *data, size_t n, void *userdata) {
        struct world *w = userdata;
        Grpc__Health__V1__HealthCheckRequest *request =
                        grpc__health__v1__health_check_request__unpack(NULL, n, data);
        Grpc__Health__V1__HealthCheckResponse answer =
                        GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
        uint8_t packed[16];

        assert_non_null(request);
        snprintf(w->asked, sizeof(w->asked), "%s", request->service);
        grpc__health__v1__health_check_request__free_unpacked(request, NULL);
        if (w->status < 0)
                return;
        answer.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)w->status;
        n = grpc__health__v1__health_check_response__pack(&answer, packed);
        grpc_call_reply(call, packed, n);
}

static const struct grpc_method methods[] = {
                {.path = "/grpc.health.v1.Health/Check", .on_message = check}};
static const struct grpc_method others[] = {{.path = "/test.T/Other", .on_message = check}};

static void on_done(bool passed, const char *message, void *userdata) {
        struct world *w = userdata;

        w->ended = true;
        w->passed = passed;
        snprintf(w->message, sizeof(w->message), "%s", message);
        w->probe = probe_grpc_free(w->probe);
}

static uint16_t serve(struct world *w, const struct grpc_method *table) {
        struct grpc_server_options o = {.methods = table, .method_count = 1, .userdata = w};

        assert_true(sd_event_new(&w->event) >= 0);
        assert_int_equal(grpc_server_new(&w->server, w->event, &o), 0);
        assert_int_equal(grpc_server_listen(w->server, "http://127.0.0.1:0", NULL, NULL), 0);
        return grpc_server_port(w->server);
}

static void probe(struct world *w, uint16_t port, const char *service) {
        struct probe_grpc_options o = {.address = "127.0.0.1",
                        .port = port,
                        .service = service,
                        .timeout_us = 1000000,
                        .done = on_done,
                        .userdata = w};

        w->ended = false;
        assert_int_equal(probe_grpc_start(&w->probe, w->event, &o), 0);
        loop_until(w->event, w->ended);
}

static void end(struct world *w) {
        w->server = grpc_server_free(w->server);
        w->event = sd_event_unref(w->event);
}

static void test_statuses(void **state) {
        static const struct {
                int status;
                bool passed;
                const char *message;
        } cases[] = {{0, false, "service unhealthy (responded with \"UNKNOWN\")"}, {1, true, ""},
                        {2, false, "service unhealthy (responded with \"NOT_SERVING\")"},
                        {3, false, "service unhealthy (responded with \"SERVICE_UNKNOWN\")"},
                        {-1, false, "timeout: health rpc did not complete within 1s"}};
        struct world w = {0};
        uint16_t port = serve(&w, methods);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                w.status = cases[i].status;
                probe(&w, port, "db");
                assert_string_equal(w.asked, "db");
                assert_int_equal(w.passed, cases[i].passed);
                assert_string_equal(w.message, cases[i].message);
        }
        end(&w);
}

static void test_no_health_service(void **state) {
        struct world w = {0};
        uint16_t port = serve(&w, others);

        probe(&w, port, "");
        assert_false(w.passed);
        assert_non_null(strstr(w.message, "does not implement the grpc health protocol"));
        end(&w);
}

static void test_nothing_listens(void **state) {
        struct world w = {0};
        uint16_t port = serve(&w, methods);

        w.server = grpc_server_free(w.server);
        probe(&w, port, "");
        assert_false(w.passed);
        assert_non_null(strstr(w.message, "failed to connect service \"127.0.0.1:"));
        end(&w);
}

static void test_cancel(void **state) {
        struct probe_grpc_options o = {.address = "127.0.0.1",
                        .service = "",
                        .timeout_us = 1000000,
                        .done = on_done};
        struct world w = {.status = -1};

        o.port = serve(&w, methods);
        o.userdata = &w;
        assert_int_equal(probe_grpc_start(&w.probe, w.event, &o), 0);
        w.probe = probe_grpc_free(w.probe);
        loop_for_ms(w.event, 50);
        assert_false(w.ended);
        end(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_statuses),
                        cmocka_unit_test(test_no_health_service),
                        cmocka_unit_test(test_nothing_listens), cmocka_unit_test(test_cancel)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
