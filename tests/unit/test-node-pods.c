/* What a pod sees of the node: its hosts and resolv.conf, the services' variables, warnings about
 * fields without effect; and how what it writes becomes entries of the journal. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "lib/pki.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/plan/plan.h"

static const struct pod_facts facts = {.node_name = "n1",
                .node_ip = "192.0.2.1",
                .pod_ip = "10.244.1.7",
                .run_dir = "/run/pod",
                .host_hosts = "127.0.0.1 localhost\n192.0.2.1 n1\n",
                .host_resolv = "# ours\ndomain old.example\nnameserver 192.0.2.53\nsearch "
                               "lan.example\noptions timeout:1 rotate\n"};

static json_t *pod(const char *spec) {
        json_t *v = NULL;

        assert_int_equal(json_parse(spec, strlen(spec), 0, &v, NULL), 0);
        return json_pack("{s:{s:s, s:s, s:s}, s:o}", "metadata", "namespace", "t", "name", "web-0",
                        "uid", "1-2", "spec", v);
}

/* The text of one of the pod's files; NULL: it has none. Caller frees. */
static char *file_of(const char *spec, const struct pod_facts *f, const char *name) {
        _cleanup_json_ json_t *p = pod(spec), *volume = NULL;
        _cleanup_problem_ struct problem problem = {0};
        const json_t *file;
        size_t i, n;

        assert_true(pod_etc_volume(p, f, &volume, &problem) >= 0);
        json_array_foreach (json_at(volume, "files"), i, file) {
                _cleanup_free_ void *data = NULL;

                if (!streq(json_str(file, "path"), name))
                        continue;
                assert_int_equal(base64_decode(json_str(file, "data"), &data, &n), 0);
                return strndup(data, n);
        }
        return NULL;
}

static void has(const char *text, const char *line) {
        _cleanup_free_ char *all = strformat("\n%s", strempty(text)),
                            *want = strformat("\n%s\n", line);

        if (!strstr(all, want))
                fail_msg("no line '%s' in:\n%s", line, strempty(text));
}

static void test_hosts(void **state) {
        _cleanup_free_ char *plain = file_of("{}", &facts, "hosts"),
                            *named = file_of("{\"hostname\":\"db\",\"subdomain\":\"sub\","
                                             "\"hostAliases\":[{\"ip\":\"10.9.9.9\","
                                             "\"hostnames\":[\"a.example\",\"b\"]}]}",
                                            &facts, "hosts"),
                            *host = file_of("{\"hostNetwork\":true,\"hostAliases\":[{\"ip\":"
                                            "\"10.9.9.9\",\"hostnames\":[\"a\"]}]}",
                                            &facts, "hosts"),
                            *none = file_of("{\"hostNetwork\":true}", &facts, "hosts"),
                            *name = file_of("{\"hostname\":\"db\",\"subdomain\":\"sub\","
                                            "\"setHostnameAsFQDN\":true}",
                                            &facts, "hostname");
        _cleanup_json_ json_t *bad = pod("{\"hostAliases\":[{\"ip\":\"10.0.0.1\","
                                         "\"hostnames\":[\"a\\n1.2.3.4 bank.example\"]}]}"),
                              *volume = NULL;
        _cleanup_problem_ struct problem p = {0};

        has(plain, "127.0.0.1\tlocalhost");
        has(plain, "10.244.1.7\tweb-0");
        has(named, "10.244.1.7\tdb.sub.t.svc.cluster.local\tdb");
        has(named, "10.9.9.9\ta.example\tb");
        has(host, "192.0.2.1 n1");
        has(host, "10.9.9.9\ta");
        assert_null(none);
        assert_string_equal(name, "db.sub.t.svc.cluster.local\n");
        assert_int_equal(pod_etc_volume(bad, &facts, &volume, &p), -EINVAL);
        assert_non_null(strstr(p.message, "spec.hostAliases"));
}

/* It is all of the name: no domain, more than 63 characters, and dots. */
static void test_hostname_override(void **state) {
        static const char spec[] =
                        "{\"hostname\":\"db\",\"subdomain\":\"sub\",\"hostnameOverride\":"
                        "\"a.example.org\"}";
        _cleanup_free_ char *hosts = file_of(spec, &facts, "hosts"),
                            *name = file_of(spec, &facts, "hostname"),
                            *empty = file_of("{\"hostname\":\"db\",\"hostnameOverride\":\"\"}",
                                            &facts, "hostname");

        has(hosts, "10.244.1.7\ta.example.org");
        assert_string_equal(name, "a.example.org\n");
        assert_string_equal(empty, "db\n");
}

static void test_host_name_is_cut(void **state) {
        _cleanup_json_ json_t *p = json_pack("{s:{s:s, s:s}, s:{}}", "metadata", "namespace", "t",
                        "name",
                        "a123456789-123456789-123456789-123456789-123456789-123456789-1--456789",
                        "spec");
        _cleanup_free_ char *name = pod_host_name(p, &facts);

        assert_string_equal(name, "a123456789-123456789-123456789-123456789-123456789-123456789-1");
}

static void test_resolv_conf(void **state) {
        struct pod_facts f = facts;
        _cleanup_free_ char *own = file_of("{}", &f, "resolv.conf"),
                            *none = file_of("{\"dnsPolicy\":\"None\",\"dnsConfig\":{"
                                            "\"nameservers\":[\"9.9.9.9\"],\"searches\":[\"x.y\"],"
                                            "\"options\":[{\"name\":\"ndots\",\"value\":\"2\"},"
                                            "{\"name\":\"edns0\"}]}}",
                                            &f, "resolv.conf"),
                            *merged = file_of("{\"dnsPolicy\":\"Default\",\"dnsConfig\":{"
                                              "\"nameservers\":[\"192.0.2.53\",\"9.9.9.9\"],"
                                              "\"searches\":[\"x.y\"],\"options\":[{\"name\":"
                                              "\"timeout\",\"value\":\"3\"}]}}",
                                            &f, "resolv.conf"),
                            *cluster = NULL, *host = NULL;

        assert_null(own);
        assert_string_equal(none, "nameserver 9.9.9.9\nsearch x.y\noptions ndots:2 edns0\n");
        assert_string_equal(merged, "nameserver 192.0.2.53\nnameserver 9.9.9.9\nsearch lan.example "
                                    "x.y\noptions timeout:3 rotate\n");
        f.cluster_dns = "10.96.0.10";
        cluster = file_of("{}", &f, "resolv.conf");
        assert_string_equal(cluster, "nameserver 10.96.0.10\nsearch t.svc.cluster.local "
                                     "svc.cluster.local cluster.local lan.example\noptions "
                                     "ndots:5\n");
        host = file_of("{\"hostNetwork\":true}", &f, "resolv.conf");
        assert_null(host);
}

static void test_service_variables(void **state) {
        _cleanup_json_ json_t *services = json_pack("{s:{s:{s:s}, s:{s:s, s:[{s:s, s:i}, {s:s, "
                                                    "s:i, s:s}]}}, s:{s:{s:s}, s:{s:s, "
                                                    "s:[{s:i}]}}}",
                        "my-db", "metadata", "name", "my-db", "spec", "clusterIP", "10.96.0.5",
                        "ports", "name", "sql", "port", 5432, "name", "stats-u", "port", 99,
                        "protocol", "UDP", "headless", "metadata", "name", "headless", "spec",
                        "clusterIP", "None", "ports", "port", 80);
        _cleanup_json_ json_t *api = json_pack("{s:{s:s}, s:{s:s, s:[{s:s, s:i}]}}", "metadata",
                        "name", "kubernetes", "spec", "clusterIP", "10.96.0.1", "ports", "name",
                        "https", "port", 443);
        _cleanup_json_ json_t *p = pod("{}"), *off = pod("{\"enableServiceLinks\":false}"),
                              *env = NULL, *only_api = NULL, *many = json_object(), *big = NULL;
        static const char *const want[][2] = {{"MY_DB_SERVICE_HOST", "10.96.0.5"},
                        {"MY_DB_SERVICE_PORT", "5432"}, {"MY_DB_SERVICE_PORT_SQL", "5432"},
                        {"MY_DB_SERVICE_PORT_STATS_U", "99"},
                        {"MY_DB_PORT", "tcp://10.96.0.5:5432"},
                        {"MY_DB_PORT_5432_TCP", "tcp://10.96.0.5:5432"},
                        {"MY_DB_PORT_5432_TCP_PROTO", "tcp"}, {"MY_DB_PORT_5432_TCP_PORT", "5432"},
                        {"MY_DB_PORT_5432_TCP_ADDR", "10.96.0.5"},
                        {"MY_DB_PORT_99_UDP", "udp://10.96.0.5:99"},
                        {"KUBERNETES_SERVICE_HOST", "10.96.0.1"},
                        {"KUBERNETES_SERVICE_PORT_HTTPS", "443"}};
        struct pod_facts f = facts;

        f.services = services;
        f.api_service = api;
        assert_int_equal(pod_service_env(p, &f, &env), 0);
        for (size_t i = 0; i < ELEMENTS(want); i++)
                assert_string_equal(json_str_or(env, want[i][0], "-"), want[i][1]);
        assert_null(json_object_get(env, "HEADLESS_SERVICE_HOST"));
        assert_int_equal(pod_service_env(off, &f, &only_api), 0);
        assert_null(json_object_get(only_api, "MY_DB_SERVICE_HOST"));
        assert_non_null(json_object_get(only_api, "KUBERNETES_SERVICE_HOST"));
        /* More than an environment can hold: none, and the plan reports it. */
        for (int i = 0; i < 3000; i++) {
                char name[16];
                json_t *one = json_deep_copy(json_object_get(services, "my-db"));

                snprintf(name, sizeof(name), "s%d", i);
                json_set_str(one, "metadata.name", name);
                json_object_set_new(many, name, one);
        }
        f.services = many;
        assert_int_equal(pod_service_env(p, &f, &big), -E2BIG);
}

/* ---- what a container writes ---- */

/* Puts the entries together again as `logs` does, and compares. */
static void goes_round(const char *text, size_t n, size_t piece, size_t entries_want) {
        struct buf in = {0}, out = {0};
        size_t entries = 0, used;
        struct log_line line;

        for (size_t done = 0; done <= n; done += piece) {
                size_t take = MIN(piece, n - done);

                if (take > 0)
                        buf_append(&in, text + done, take);
                while (log_line_next(in.size > 0 ? in.data : "", in.size, done + take == n, &line,
                                       &used) > 0) {
                        buf_append(&out, line.data, line.size);
                        if (line.ended)
                                buf_append_char(&out, '\n');
                        buf_consume(&in, used);
                        entries++;
                }
                if (done + take == n)
                        break;
        }
        assert_int_equal(out.size, n);
        if (n > 0)
                assert_memory_equal(out.data, text, n);
        assert_int_equal(entries, entries_want);
        buf_done(&in);
        buf_done(&out);
}

static void test_budget(void **state) {
        struct log_budget b = {0}, other = {0};
        uint64_t start = 5000000;

        assert_int_equal(log_budget_take(&b, start, LOG_BUDGET_LINES, 20000), 0);
        /* A writer of more waits for the end of the interval that the first line began. */
        assert_int_equal(log_budget_take(&b, start + 1000, 1, 2), start + LOG_BUDGET_US);
        assert_int_equal(log_budget_take(&other, start + 1000, 1, 2), 0);
        assert_int_equal(log_budget_take(&b, start + LOG_BUDGET_US - 1, 1, 2),
                        start + LOG_BUDGET_US);
        assert_int_equal(log_budget_take(&b, start + LOG_BUDGET_US, LOG_BUDGET_LINES, 2), 0);
        assert_int_equal(log_budget_take(&b, start + 2 * LOG_BUDGET_US, 1, LOG_BUDGET_BYTES), 0);
        assert_int_equal(log_budget_take(&b, start + 2 * LOG_BUDGET_US, 0, 1),
                        start + 3 * LOG_BUDGET_US);
}

static void test_lines(void **state) {
        static const char odd[] = "one\n\n  indented\ntrail  \n<3>x\nnul \0 \xff\ncr\r\nnonl";
        size_t size = 2 * LOG_LINE_MAX + 100;
        _cleanup_free_ char *large = malloc(size);

        for (size_t piece = 1; piece < sizeof(odd); piece++)
                goes_round(odd, sizeof(odd) - 1, piece, 8);
        goes_round("", 0, 1, 0);
        goes_round("\n", 1, 1, 1);
        memset(large, 'L', size);
        goes_round(large, 100000, 4096, 1);
        goes_round(large, size, 65536, 3);
        large[LOG_LINE_MAX] = '\n';
        goes_round(large, size, 65536, 3);
}

static void test_socket_names(void **state) {
        static const char *const uid = "3351b5f7-536e-4397-a531-547302632e4b";
        _cleanup_free_ char
                        *a = log_socket_path(uid,
                                        "a123456789-123456789-123456789-123456789-123456789-12"),
                        *b = log_socket_path(uid, "b");

        assert_true(strlen(a) <= 107);
        assert_string_not_equal(a, b);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts),
                        cmocka_unit_test(test_hostname_override),
                        cmocka_unit_test(test_host_name_is_cut), cmocka_unit_test(test_resolv_conf),
                        cmocka_unit_test(test_service_variables), cmocka_unit_test(test_lines),
                        cmocka_unit_test(test_budget), cmocka_unit_test(test_socket_names)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
