/* The node's name server: services -> records (tests/golden/dns-records/NAME.yaml: a list of
 * services, each with its slices), the difference to what unbound has, its configuration. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "lib/yaml.h"
#include "nodeagent/dns/feed.h"
#include "nodeagent/dns/records.h"
#include "nodeagent/dns/table.h"
#include "nodeagent/dns/unbound-config.h"
#include "tests/unit/golden.h"

static struct dns_facts facts(void) {
        struct dns_facts f = {.domain = "cluster.local", .service_count = 1, .pod_count = 2};

        assert_int_equal(address_range_parse("10.96.0.0/16", &f.services[0]), 0);
        assert_int_equal(address_range_parse("10.244.0.0/16", &f.pods[0]), 0);
        assert_int_equal(address_range_parse("fd00:244::/64", &f.pods[1]), 0);
        return f;
}

static char *convert(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf out = {0};
        struct dns_facts f = facts();
        const json_t *service;
        size_t i;

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        json_array_foreach (docs.items[0].value, i, service) {
                buf_printf(&out, "# %zu\n", i + 1);
                assert_int_equal(dns_service_records(service, json_at(service, "slices"), &f, &out),
                                0);
        }
        return buf_take(&out);
}

static void test_goldens(void **state) {
        golden_check("dns-records", "kinds", convert);
        golden_check("dns-records", "hostile", convert);
}

static void test_pods_and_zones(void **state) {
        _cleanup_strv_free_ char **zones = NULL;
        _cleanup_buf_ struct buf out = {0};
        struct dns_facts f = facts();

        assert_int_equal(dns_pod_records("shop", "10.244.1.7", &f, &out), 0);
        assert_string_equal(out.data, "10-244-1-7.shop.pod.cluster.local.\tA 10.244.1.7\n");
        buf_reset(&out);
        assert_int_equal(dns_pod_records("shop", "", &f, &out), 0);
        assert_int_equal(dns_pod_records("a.b", "10.244.1.7", &f, &out), 0);
        assert_int_equal(out.size, 0);
        assert_int_equal(strv_extend(&zones, "96.10.in-addr.arpa"), 0);
        assert_int_equal(dns_zone_records(&f, zones, &out), 0);
        assert_string_equal(out.data,
                        "cluster.local.\tSOA ns.dns.cluster.local. hostmaster.cluster.local. 1 "
                        "7200 1800 86400 5\n"
                        "96.10.in-addr.arpa.\tSOA ns.dns.cluster.local. hostmaster.cluster.local. "
                        "1 7200 1800 86400 5\n"
                        "cluster.local.\tNS ns.dns.cluster.local.\n"
                        "dns-version.cluster.local.\tTXT \"1.1.0\"\n");
}

static void test_reverse_zones(void **state) {
        static const struct {
                const char *cidr, *first, *last;
                size_t count;
        } rows[] = {
                        {"10.96.0.0/16", "96.10.in-addr.arpa", "96.10.in-addr.arpa", 1},
                        {"10.96.0.0/12", "96.10.in-addr.arpa", "111.10.in-addr.arpa", 16},
                        {"10.0.0.0/8", "10.in-addr.arpa", "10.in-addr.arpa", 1},
                        {"10.128.0.0/9", "128.10.in-addr.arpa", "255.10.in-addr.arpa", 128},
                        {"10.244.4.0/23", "4.244.10.in-addr.arpa", "5.244.10.in-addr.arpa", 2},
                        {"10.244.4.4/32", "4.4.244.10.in-addr.arpa", "4.4.244.10.in-addr.arpa", 1},
                        {"fd00:244::/30", "4.4.2.0.0.0.d.f.ip6.arpa", "7.4.2.0.0.0.d.f.ip6.arpa",
                                        4},
                        {"10.0.0.0/7", NULL, NULL, 0},
                        {"10.0.0.0", NULL, NULL, 0},
                        {"ten/8", NULL, NULL, 0},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_strv_free_ char **zones = NULL;
                int r = dns_reverse_zones(rows[i].cidr, &zones);

                assert_int_equal(r, rows[i].count > 0 ? 0 : -EINVAL);
                assert_int_equal(strv_length(zones), rows[i].count);
                if (rows[i].count == 0)
                        continue;
                assert_true(strv_contains(zones, rows[i].first));
                assert_true(strv_contains(zones, rows[i].last));
        }
}

static void test_names(void **state) {
        static const struct {
                const char *name;
                bool valid;
        } rows[] = {{"cluster.local", true}, {"cluster.local.", true}, {"a", true}, {"", false},
                        {".", false}, {"a..b", false}, {"a..", false}, {".a", false}, {"-a", false},
                        {"a-", false}, {"_sip._tcp.x", true}, {"A.b", false}, {"a b", false},
                        {"a123456789012345678901234567890123456789012345678901234567890123",
                                        false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                assert_int_equal(dns_name_is_valid(rows[i].name), rows[i].valid);
}

/* ---- the table ---- */

/* All commands of the next changes, as text. Caller frees. */
static char *changes(struct dns_table *t) {
        _cleanup_dns_commands_ struct dns_commands commands = {0};
        _cleanup_dns_changes_ struct dns_changes c = {0};
        _cleanup_buf_ struct buf out = {0};

        assert_true(dns_table_take(t, 1000, &c) >= 0);
        assert_int_equal(dns_table_pending(t), 0);
        assert_int_equal(dns_changes_commands(&c, "v", &commands), 0);
        for (size_t i = 0; i < commands.list.count; i++)
                buf_printf(&out, "> %s\n%s", commands.list.items[i].text,
                                strempty(commands.list.items[i].body));
        return buf_take(&out);
}

static void assert_changes(struct dns_table *t, const char *want) {
        _cleanup_free_ char *got = changes(t);

        assert_string_equal(got, want);
}

#define WEB "web.t.svc.cluster.local."
#define EXT "ext.t.svc.cluster.local."

static void test_changes(void **state) {
        _cleanup_(dns_table_freep) struct dns_table *t = dns_table_new();

        assert_int_equal(dns_table_set(t, "a", WEB "\tA 10.0.0.1\n"), 0);
        assert_true(dns_table_has_owner(t, "a"));
        assert_changes(t, "> local_datas\n" WEB " 5 IN A 10.0.0.1\n");
        assert_int_equal(dns_table_set(t, "a", WEB "\tA 10.0.0.1\n"), 0);
        assert_changes(t, "");
        /* Only more: what is there stays. */
        assert_int_equal(dns_table_set(t, "a", WEB "\tA 10.0.0.1\n" WEB "\tA 10.0.0.2\n"), 0);
        assert_changes(t, "> local_datas\n" WEB " 5 IN A 10.0.0.2\n");
        /* One goes, one stays: through the view. */
        assert_int_equal(dns_table_set(t, "a", WEB "\tA 10.0.0.2\n"), 0);
        assert_changes(t, "> view_local_datas v\n" WEB " 5 IN A 10.0.0.2\n"
                          "> local_datas_remove\n" WEB "\n"
                          "> local_datas\n" WEB " 5 IN A 10.0.0.2\n"
                          "> view_local_zone_remove v " WEB "\n");
        /* A record of two owners goes with the last. */
        assert_int_equal(dns_table_set(t, "b", WEB "\tA 10.0.0.2\n"), 0);
        assert_int_equal(dns_table_set(t, "a", ""), 0);
        assert_false(dns_table_has_owner(t, "a"));
        assert_changes(t, "");
        assert_int_equal(dns_table_set(t, "b", ""), 0);
        assert_changes(t, "> local_datas_remove\n" WEB "\n");
        /* There and gone before it was sent. */
        assert_int_equal(dns_table_set(t, "a", WEB "\tA 10.0.0.9\n"), 0);
        assert_int_equal(dns_table_set(t, "a", ""), 0);
        assert_changes(t, "");
}

static void test_external_names(void **state) {
        _cleanup_(dns_table_freep) struct dns_table *t = dns_table_new();

        assert_int_equal(dns_table_set(t, "x", EXT "\tCNAME www.example.com.\n"), 0);
        assert_changes(t, "> view_local_zone v " EXT " redirect\n"
                          "> view_local_datas v\n" EXT " 5 IN CNAME www.example.com.\n");
        assert_int_equal(dns_table_set(t, "x", EXT "\tCNAME www.example.org.\n"), 0);
        assert_changes(t, "> view_local_zone_remove v " EXT "\n"
                          "> view_local_zone v " EXT " redirect\n"
                          "> view_local_datas v\n" EXT " 5 IN CNAME www.example.org.\n");
        /* To a name of the cluster that is not there yet. */
        assert_int_equal(dns_table_set(t, "x", EXT "\tALIAS " WEB "\n"), 0);
        assert_changes(t, "> view_local_zone_remove v " EXT "\n");
        assert_int_equal(
                        dns_table_set(t, "a",
                                        WEB "\tA 10.0.0.1\n_p._tcp." WEB "\tSRV 0 100 1 " WEB "\n"),
                        0);
        assert_changes(t, "> local_datas\n" WEB " 5 IN A 10.0.0.1\n" EXT
                          " 5 IN A 10.0.0.1\n_p._tcp." WEB " 5 IN SRV 0 100 1 " WEB "\n");
        /* The target goes, and the follower with it; then a chain out of the cluster. */
        assert_int_equal(dns_table_set(t, "a", WEB "\tCNAME far.example.\n"), 0);
        assert_changes(t, "> view_local_zone v " WEB " redirect\n"
                          "> view_local_zone v " EXT " redirect\n"
                          "> view_local_datas v\n" WEB " 5 IN CNAME far.example.\n" EXT
                          " 5 IN CNAME far.example.\n"
                          "> local_datas_remove\n" WEB "\n" EXT "\n_p._tcp." WEB "\n");
        /* A circle has no addresses. */
        assert_int_equal(dns_table_set(t, "a", WEB "\tALIAS " EXT "\n"), 0);
        assert_changes(t,
                        "> view_local_zone_remove v " WEB "\n> view_local_zone_remove v " EXT "\n");
        assert_int_equal(dns_table_set(t, "a", ""), 0);
        assert_int_equal(dns_table_set(t, "x", ""), 0);
        assert_changes(t, "");
}

/* unbound was restarted: what it lists is compared. */
static void test_compare(void **state) {
        _cleanup_(dns_table_freep) struct dns_table *t = dns_table_new();
        _cleanup_buf_ struct buf config = {0}, in_view = {0};

        assert_int_equal(dns_table_set(t, "a", "b.x.\tA 10.0.0.2\nb.x.\tA 10.0.0.1\n"), 0);
        assert_int_equal(dns_table_set(t, "b", "c.x.\tTXT \"1\"\n"), 0);
        assert_int_equal(dns_table_set(t, "c", "d.x.\tCNAME e.y.\n"), 0);
        free(changes(t));
        dns_table_compare_all(t);
        assert_int_equal(dns_table_found(t, "b.x.", "A 10.0.0.1"), 0);
        assert_int_equal(dns_table_found(t, "b.x.", "A 10.0.0.2"), 0);
        assert_int_equal(dns_table_found(t, "old.x.", "A 10.0.0.7"), 0);
        assert_int_equal(dns_table_found(t, "d.x.", "CNAME e.y."), 0);
        assert_changes(t, "> local_datas_remove\nold.x.\n> local_datas\nc.x. 5 IN TXT \"1\"\n");
        dns_table_rewind(t);
        assert_int_equal(dns_table_config(t, 1, &config, &in_view), 1);
        /* One that is next goes. */
        assert_int_equal(dns_table_set(t, "b", ""), 0);
        free(changes(t));
        assert_int_equal(dns_table_config(t, 10, &config, &in_view), 0);
        assert_string_equal(config.data, "    local-data: 'b.x. 5 IN A 10.0.0.1'\n"
                                         "    local-data: 'b.x. 5 IN A 10.0.0.2'\n");
        assert_string_equal(in_view.data, "    local-zone: \"d.x.\" redirect\n"
                                          "    local-data: 'd.x. 5 IN CNAME e.y.'\n");
}

/* The cost of a change does not grow with the number of services. */
static void test_cost(void **state) {
        _cleanup_(dns_table_freep) struct dns_table *t = dns_table_new();
        uint64_t before;

        for (unsigned i = 0; i < 10000; i++) {
                _cleanup_free_ char *owner = strformat("svc:t/s%u", i),
                                    *lines = strformat("s%u.t.svc.cluster.local.\tA 10.96.%u.%u\n",
                                                    i, i / 250, i % 250);

                assert_int_equal(dns_table_set(t, owner, lines), 0);
        }
        while (dns_table_pending(t) > 0) {
                _cleanup_dns_changes_ struct dns_changes c = {0};

                assert_int_equal(dns_table_take(t, 100, &c), 100);
        }
        before = dns_table_steps(t);
        assert_int_equal(dns_table_set(t, "svc:t/s77", "s77.t.svc.cluster.local.\tA 10.96.99.1\n"),
                        0);
        assert_changes(t, "> view_local_datas v\ns77.t.svc.cluster.local. 5 IN A 10.96.99.1\n"
                          "> local_datas_remove\ns77.t.svc.cluster.local.\n"
                          "> local_datas\ns77.t.svc.cluster.local. 5 IN A 10.96.99.1\n"
                          "> view_local_zone_remove v s77.t.svc.cluster.local.\n");
        assert_true(dns_table_steps(t) - before < 10);
}

/* ---- the configuration ---- */

static void test_servers(void **state) {
        static const struct {
                const char *text, *want;
        } rows[] = {{"192.0.2.53", "192.0.2.53"}, {"192.0.2.53:5353", "192.0.2.53@5353"},
                        {"2001:db8::1", "2001:db8::1"}, {"[2001:db8::1]:5353", "2001:db8::1@5353"},
                        {"[2001:db8::1]", "2001:db8::1"}, {"fe80::1%eth0", "fe80::1%eth0"},
                        {"192.0.2.53:0", NULL}, {"192.0.2.53:70000", NULL}, {"dns.example", NULL},
                        {"", NULL}, {"192.0.2.53 x", NULL}, {"fe80::1%a b", NULL}};
        _cleanup_strv_free_ char **list = NULL;

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_free_ char *got = dns_server_parse(rows[i].text);

                if (rows[i].want)
                        assert_string_equal(got, rows[i].want);
                else
                        assert_null(got);
        }
        assert_int_equal(dns_upstreams_of("# x\nnameserver 192.0.2.1\nnameserver 10.96.0.10\n"
                                          "search a.b\nnameserver 192.0.2.1\nnameserver evil\"\n"
                                          "nameserver 127.0.0.53",
                                         "10.96.0.10", &list),
                        0);
        assert_int_equal(strv_length(list), 2);
        assert_string_equal(list[0], "192.0.2.1");
        assert_string_equal(list[1], "127.0.0.53");
}

static void test_config(void **state) {
        _cleanup_strv_free_ char **zones = NULL, **clients = NULL, **ranges = NULL,
                                 **upstreams = NULL;
        struct dns_stub *stubs = NULL;
        struct dns_config c = {.address = "10.96.0.10",
                        .domain = "cluster.local",
                        .socket_path = "/run/s",
                        .records_path = "/run/r"};
        static const char *const wanted[] = {"    interface: 10.96.0.10\n",
                        "    access-control: 0.0.0.0/0 deny\n",
                        "    access-control: 10.244.1.0/24 allow\n",
                        "    access-control-view: 10.244.1.0/24 keelson\n",
                        "    private-address: 10.96.0.0/16\n",
                        "    local-zone: \"cluster.local.\" static\n",
                        "    local-zone: \"96.10.in-addr.arpa.\" static\n",
                        "    include: \"/run/r\"\n", "    control-interface: \"/run/s\"\n",
                        "    private-domain: \"corp.example.\"\n",
                        "forward-zone:\n    name: \"corp.example.\"\n    forward-addr: 192.0.2.7\n"
                        "    forward-addr: 192.0.2.8@54\n",
                        "forward-zone:\n    name: \".\"\n    forward-addr: 192.0.2.53\n    "
                        "forward-addr: 192.0.2.54@5353\n"};
        _cleanup_buf_ struct buf out = {0}, offline = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(strv_split("96.10.in-addr.arpa", " ", &zones), 0);
        assert_int_equal(strv_split("10.96.0.10 10.244.1.0/24", " ", &clients), 0);
        assert_int_equal(strv_split("10.96.0.0/16", " ", &ranges), 0);
        assert_int_equal(strv_split("192.0.2.53 192.0.2.54@5353", " ", &upstreams), 0);
        c.zones = zones;
        c.clients = clients;
        c.ranges = ranges;
        c.upstreams = upstreams;
        assert_int_equal(dns_stub_add(&stubs, &c.stub_count, "corp.example.=192.0.2.7", &p), 0);
        assert_int_equal(dns_stub_add(&stubs, &c.stub_count, "corp.example=192.0.2.8:54", &p), 0);
        assert_int_equal(c.stub_count, 1);
        assert_int_equal(dns_stub_add(&stubs, &c.stub_count, "corp.example", &p), -EINVAL);
        assert_non_null(strstr(p.message, "dns-stub: 'corp.example'"));
        assert_int_equal(dns_stub_add(&stubs, &c.stub_count, "a\"b=192.0.2.8", &p), -EINVAL);
        c.stubs = stubs;
        assert_int_equal(dns_config_text(&c, &out), 0);
        for (size_t i = 0; i < ELEMENTS(wanted); i++)
                assert_non_null(strstr(out.data, wanted[i]));
        assert_null(strstr(out.data, "do-not-query-address"));
        c.upstreams = NULL;
        assert_int_equal(dns_config_text(&c, &offline), 0);
        assert_non_null(strstr(offline.data, "    do-not-query-address: 0.0.0.0/0\n"));
        assert_null(strstr(offline.data, "name: \".\""));
        dns_stubs_free(stubs, c.stub_count);
}

static void test_unit(void **state) {
        _cleanup_json_ json_t *unit = dns_unit("/opt/keelson/bin/unbound", "/opt/keelson/lib",
                                              "/run/c", "keelson/d"),
                              *plain = dns_unit("/usr/sbin/unbound", NULL, "/run/c", "keelson/d");

        assert_string_equal(json_str(unit, "name"), "keelson-dns.service");
        assert_true(json_bool_or(unit, "properties.DynamicUser", false));
        assert_int_equal(json_array_size(json_at(unit, "properties.CapabilityBoundingSet")), 1);
        assert_string_equal(json_string_value(json_array_get(
                                            json_at(unit, "properties.Environment"), 0)),
                        "LD_LIBRARY_PATH=/opt/keelson/lib");
        assert_null(json_at(plain, "properties.Environment"));
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens),
                        cmocka_unit_test(test_pods_and_zones), cmocka_unit_test(test_reverse_zones),
                        cmocka_unit_test(test_names), cmocka_unit_test(test_changes),
                        cmocka_unit_test(test_external_names), cmocka_unit_test(test_compare),
                        cmocka_unit_test(test_cost), cmocka_unit_test(test_servers),
                        cmocka_unit_test(test_config), cmocka_unit_test(test_unit)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
