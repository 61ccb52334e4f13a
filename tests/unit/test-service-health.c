/* spec.healthCheckNodePort: who listens when, and the answers. */
#include "tests/unit/loop.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "nodeagent/network/service-health.h"

struct world {
        sd_event *event;
        struct service_table *table;
        struct service_health *health;
        unsigned port, versions;
};

static struct sockaddr_in at_port(unsigned port) {
        return (struct sockaddr_in){.sin_family = AF_INET,
                        .sin_port = htons((uint16_t)port),
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A port that nobody uses. */
static unsigned free_port(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = at_port(0);
        socklen_t n = sizeof(a);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
        return ntohs(a.sin_port);
}

static void put_service(struct world *w, const char *policy, unsigned port) {
        _cleanup_json_ json_t *s = json_pack(
                        "{s:{s:s, s:s, s:s, s:o}, s:{s:s, s:s, s:s, s:i, s:[{s:i}]}}", "metadata",
                        "namespace", "a", "name", "web", "uid", "u", "resourceVersion",
                        json_sprintf("%u", ++w->versions), "spec", "clusterIP", "10.96.0.10",
                        "type", "LoadBalancer", "externalTrafficPolicy", policy,
                        "healthCheckNodePort", (int)port, "ports", "port", 80);

        assert_int_equal(service_table_set_service(w->table, s), 1);
}

static void put_slice(struct world *w, const char *node) {
        _cleanup_json_ json_t *s = json_pack(
                        "{s:s, s:{s:s, s:s, s:s, s:o, s:{s:s}}, s:[{s:i}], s:[{s:[s], s:s}, {s:[s], "
                        "s:s, s:{s:b}}]}",
                        "addressType", "IPv4", "metadata", "namespace", "a", "name", "web-1", "uid",
                        "v", "resourceVersion", json_sprintf("%u", ++w->versions), "labels",
                        "kubernetes.io/service-name", "web", "ports", "port", 8080, "endpoints",
                        "addresses", "10.244.1.2", "nodeName", node, "addresses", "10.244.1.3",
                        "nodeName", "n1", "conditions", "ready", 0);

        assert_int_equal(service_table_set_slice(w->table, s), 1);
}

/* The answer as text; "" when nobody listens. */
static void ask(struct world *w, char *answer, size_t size) {
        static const char question[] = "GET / HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n";
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = at_port(w->port);
        size_t n = 0;
        ssize_t got = 0;

        answer[0] = 0;
        if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
                return;
        assert_int_equal(send(fd, question, strlen(question), 0), strlen(question));
        loop_until(w->event, (got = recv(fd, answer + n, size - n - 1, MSG_DONTWAIT)) == 0 ||
                                             (got > 0 && (n += (size_t)got) && false));
        answer[n] = 0;
}

static void assert_answer(struct world *w, const char *status, const char *part) {
        char answer[1024];

        ask(w, answer, sizeof(answer));
        if (isempty(status) != isempty(answer) || !startswith(answer, status) ||
                        !strstr(answer, part))
                fail_msg("not \"%s\" with \"%s\": %s", status, part, answer);
}

static void test_answers(void **state) {
        struct world w = {.port = free_port()};

        assert_int_equal(sd_event_new(&w.event), 0);
        w.table = service_table_new();
        assert_non_null(w.table);
        assert_int_equal(service_health_new(&w.health, w.event, w.table, "n1"), 0);
        assert_answer(&w, "", "");
        put_service(&w, "Local", w.port);
        assert_answer(&w, "HTTP/1.1 503 ", "\"localEndpoints\":0");
        put_slice(&w, "n2");
        assert_answer(&w, "HTTP/1.1 503 ", "X-Load-Balancing-Endpoint-Weight: 0");
        put_slice(&w, "n1");
        assert_answer(&w, "HTTP/1.1 200 ", "X-Load-Balancing-Endpoint-Weight: 1");
        assert_answer(&w, "HTTP/1.1 200 ",
                        "{\"service\":{\"namespace\":\"a\",\"name\":\"web\"},\"localEndpoints\":1,"
                        "\"serviceProxyHealthy\":true}");
        /* With the policy Cluster, without the port, without the service nobody listens. */
        put_service(&w, "Cluster", w.port);
        assert_answer(&w, "", "");
        put_service(&w, "Local", w.port);
        assert_answer(&w, "HTTP/1.1 200 ", "");
        assert_int_equal(service_table_drop_service(w.table, "a/web"), 1);
        assert_answer(&w, "", "");
        service_health_free(w.health);
        service_table_free(w.table);
        sd_event_unref(w.event);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
