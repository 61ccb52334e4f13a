/* The machines of a control plane as kctl knows them, and kubeconfigs with several servers. */
#include "tests/unit/unit.h"

#include "kctl/api-address.h"
#include "kctl/cluster.h"
#include "kctl/control.h"
#include "lib/fileio.h"
#include "lib/json.h"
#include "lib/pki.h"

static json_t *data(const char *text) {
        json_t *v = NULL;

        assert_int_equal(json_parse(text, strlen(text), 0, &v, NULL), 0);
        return v;
}

static void test_machines(void **state) {
        _cleanup_json_ json_t *v = data(
                        "{\"n2\": \"{\\\"address\\\":\\\"10.0.0.2\\\",\\\"ssh\\\":\\\"root@two:2222\\\","
                        "\\\"port\\\":7000}\","
                        "\"n1\": \"{\\\"address\\\":\\\"fd00::1\\\",\\\"ssh\\\":\\\"\\\",\\\"port\\\":7000}\"}");
        _cleanup_controls_ struct controls c = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_strv_free_ char **servers = NULL;

        assert_int_equal(controls_parse(v, &c, &p), 0);
        assert_int_equal(c.count, 2);
        assert_int_equal(c.port, 7000);
        assert_string_equal(c.items[0].name, "n1");
        assert_string_equal(controls_find(&c, "n2")->name, "n2");
        assert_string_equal(controls_find(&c, "fd00::1")->name, "n1");
        assert_string_equal(controls_find(&c, "root@two:2222")->name, "n2");
        assert_string_equal(controls_find(&c, "two")->name, "n2");
        assert_string_equal(controls_find(&c, "admin@10.0.0.2")->name, "n2");
        assert_null(controls_find(&c, "tw"));
        assert_null(controls_find(&c, "10.0.0.22"));
        assert_int_equal(controls_servers(&c, &servers), 0);
        assert_string_equal(servers[0], "https://[fd00::1]:7000");
        assert_string_equal(servers[1], "https://10.0.0.2:7000");
}

static void test_damaged(void **state) {
        static const char *const bad[] = {
                        "{\"n1\": \"\"}", "{\"n1\": \"{}\"}", "{\"n1\": \"[1\"}", "{\"n1\": 7}"};
        struct controls c;

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *v = data(bad[i]);

                assert_int_equal(controls_parse(v, &c, &p), -EINVAL);
                assert_non_null(strstr(p.message, "key n1"));
        }
        assert_int_equal(controls_parse(NULL, &c, NULL), 0);
        assert_int_equal(c.count, 0);
}

static void test_kubeconfig(void **state) {
        static const char text[] =
                        "clusters:\n- name: keelson\n  cluster:\n    server: https://a:1\n"
                        "    extensions:\n    - {name: other, extension: {x: 1}}\n";
        char *two[] = {(char *)"https://a:1", (char *)"https://b:1", NULL},
             *one[] = {(char *)"https://a:1", NULL};
        _cleanup_free_ char *with = NULL, *again = NULL, *without = NULL, *moved = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(kubeconfig_with_servers(text, two, &with, &p), 0);
        assert_non_null(strstr(with, "name: other"));
        assert_non_null(strstr(with, "https://b:1"));
        assert_int_equal(kubeconfig_with_servers(with, two, &again, &p), 0);
        assert_string_equal(with, again);
        /* A single server needs no list. */
        assert_int_equal(kubeconfig_with_servers(with, one, &without, &p), 0);
        assert_null(strstr(without, "keelson.dev/servers"));
        assert_non_null(strstr(without, "name: other"));
        assert_int_equal(kubeconfig_with_server(with, "https://c:1", &moved, &p), 0);
        assert_non_null(strstr(moved, "server: https://c:1"));
}

static void write_config(const char *path, const char *server) {
        _cleanup_free_ char *text = strformat("clusters:\n- name: keelson\n  cluster: {server: %s}\n"
                                              "- name: other\n  cluster: {server: https://o:1}\n",
                        server);

        assert_non_null(text);
        assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), 0);
}

/* The server of one cluster changes, that of another stays. */
static void test_server_in_file(void **state) {
        char path[] = "/tmp/keelson-test-control-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL, *same = NULL;

        assert_true(fd >= 0);
        write_config(path, "https://a:1");
        assert_int_equal(kubeconfig_set_server(path, "keelson", "https://b:1", &p), 0);
        assert_int_equal(file_read(path, 4096, &text, NULL), 0);
        assert_null(strstr(text, "https://a:1"));
        assert_non_null(strstr(text, "https://b:1"));
        assert_non_null(strstr(text, "https://o:1"));
        assert_int_equal(kubeconfig_set_server(path, "absent", "https://c:1", &p), 0);
        assert_int_equal(file_read(path, 4096, &same, NULL), 0);
        assert_string_equal(same, text);
        (void)unlink(path);
}

static void test_api_address(void **state) {
        static const struct {
                const char *text;
                int kind;
        } cases[] = {
                        {"10.0.0.9", API_ADDRESS_FLOATING},
                        {"fd00::9", API_ADDRESS_FLOATING},
                        {"api.example.com", API_ADDRESS_NAME},
                        {"api", API_ADDRESS_NAME},
                        {"fd00:0:0::9", -EINVAL}, /* not as it is compared elsewhere */
                        {"10.0.0.999", -EINVAL},
                        {"fd00::", -EINVAL},
                        {"10.0.0", -EINVAL},
                        {"API", -EINVAL},
                        {"a..b", -EINVAL},
                        {"-a", -EINVAL},
                        {"a|b", -EINVAL},
                        {"a b", -EINVAL},
                        {"a\nb", -EINVAL},
                        {"https://a", -EINVAL},
                        {"10.0.0.9/24", -EINVAL},
                        {"", -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(api_address_kind(cases[i].text, &p), cases[i].kind);
                if (cases[i].kind < 0)
                        assert_non_null(strstr(p.message, "--api-address"));
        }
        assert_int_equal(api_address_router("10.0.0.9"), 9);
        assert_int_equal(api_address_router("10.0.1.0"), 255);
        assert_int_equal(api_address_router("fd00::1:7"), 7);
}

static void test_api_url(void **state) {
        const struct api_place with = {.address = "10.0.0.1", .api = "fd00::9", .port = 7000},
                               without = {.address = "10.0.0.1", .port = 6443};
        _cleanup_free_ char *a = api_place_url(&with), *b = api_place_url(&without);

        assert_string_equal(a, "https://[fd00::9]:7000");
        assert_string_equal(b, "https://10.0.0.1:6443");
}

/* A further machine's certificates are the cluster's, and name its own addresses. */
static void test_certificates(void **state) {
        const char *names[] = {"n2", NULL}, *addresses[] = {"10.0.0.2", NULL};
        _cleanup_free_ char *ca = NULL, *ca_key = NULL, *store = NULL, *store_key = NULL;
        _cleanup_cluster_ struct cluster_files f = {0};
        _cleanup_problem_ struct problem p = {0};
        struct cluster_ranges ranges;
        const struct cluster_spec spec = {
                        .names = names, .addresses = addresses, .ranges = &ranges};

        assert_int_equal(ranges_read(NULL, NULL, (const uint32_t[FAMILIES]){0}, &ranges, &p), 0);
        assert_int_equal(pki_ca_new("a", 10, &ca, &ca_key), 0);
        assert_int_equal(pki_ca_new("b", 10, &store, &store_key), 0);
        assert_int_equal(
                        cluster_files_make_machine(&spec, ca, ca_key, store, store_key, &f, &p), 0);
        assert_int_equal(f.count, 4);
        assert_null(cluster_file_text(&f, "ca.key"));
        assert_int_equal(pki_cert_covers(cluster_file_text(&f, "kapid.crt"), "10.0.0.2"), 1);
        assert_int_equal(pki_cert_covers(cluster_file_text(&f, "kapid.crt"), "n2"), 1);
        assert_int_equal(pki_cert_covers(cluster_file_text(&f, "kapid.crt"), "10.96.0.1"), 1);
        assert_int_equal(pki_cert_covers(cluster_file_text(&f, "kapid.crt"), "10.0.0.3"), 0);
        assert_int_equal(pki_cert_covers(cluster_file_text(&f, "peer.crt"), "10.0.0.2"), 1);
        assert_true(pki_cert_covers("rubbish", "a") < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_machines),
                        cmocka_unit_test(test_damaged),
                        cmocka_unit_test(test_kubeconfig),
                        cmocka_unit_test(test_certificates),
                        cmocka_unit_test(test_server_in_file),
                        cmocka_unit_test(test_api_address),
                        cmocka_unit_test(test_api_url),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
