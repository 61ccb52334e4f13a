/* The agent's feeder of unbound, for tests/clients/dns: its records, table and sync, without an
 * agent.
 *
 *      dns-feeder config ADDRESS DIR [UPSTREAM [STUB]]     prints an unbound.conf
 *      dns-feeder feed DIR                                 does what standard input says, a line
 *                                                          each, and answers each when unbound has
 *                                                          it: "ok MILLISECONDS NAMES-VISITED"
 *
 * started: unbound was started. load FILE: a YAML list of services with their "slices", replacing
 * those of the same names. drop NAMESPACE/NAME. many COUNT: as many services, of one port each.
 * records: writes DIR/records.conf. */
#include <stdio.h>

#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"
#include "nodeagent/dns/sync.h"
#include "nodeagent/dns/unbound-config.h"

#define SERVICES "10.96.0.0/16"
#define PODS "10.244.0.0/16"
enum { WAIT_US = 120 * 1000000 };

struct feeder {
        sd_event *event;
        struct dns_table *table;
        struct dns_sync *sync;
        struct dns_facts facts;
        char **zones;
        const char *dir;
};

static void die(const char *what) {
        fprintf(stderr, "dns-feeder: %s\n", what);
        exit(1);
}

static void check(int r, const char *what) {
        if (r < 0) {
                fprintf(stderr, "dns-feeder: %s: %s\n", what, strerror(-r));
                exit(1);
        }
}

static char *in_dir(const char *dir, const char *name) {
        char *path = strformat("%s/%s", dir, name);

        if (!path)
                die("out of memory");
        return path;
}

static int print_config(char **words, int count) {
        _cleanup_strv_free_ char **zones = NULL, **clients = NULL, **ranges = NULL;
        char *upstreams[] = {count > 2 ? dns_server_parse(words[2]) : NULL, NULL};
        _cleanup_free_ char *socket = in_dir(words[1], "unbound.sock"),
                            *records = in_dir(words[1], "records.conf");
        struct dns_config c = {.address = words[0],
                        .domain = "cluster.local",
                        .socket_path = socket,
                        .records_path = records,
                        .upstreams = upstreams};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf out = {0};
        struct dns_stub *stubs = NULL;

        check(strv_split("127.0.0.1 127.0.0.77", " ", &clients), "clients");
        check(strv_split(SERVICES " " PODS, " ", &ranges), "ranges");
        check(dns_reverse_zones(SERVICES, &zones), "zones");
        check(dns_reverse_zones(PODS, &zones), "zones");
        c.clients = clients;
        c.ranges = ranges;
        c.zones = zones;
        if (count > 3)
                check(dns_stub_add(&stubs, &c.stub_count, words[3], &p), "the stub");
        c.stubs = stubs;
        check(dns_config_text(&c, &out), "the configuration");
        fputs(out.data, stdout);
        dns_stubs_free(stubs, c.stub_count);
        free(upstreams[0]);
        return 0;
}

static void set(struct feeder *f, const char *key, const struct buf *lines) {
        check(dns_table_set(f->table, key, strempty(lines->data)), key);
}

static void load(struct feeder *f, const char *path) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        const json_t *service;
        size_t n, i;

        check(file_read(path, 1024 * 1024, &text, &n), path);
        check(yaml_parse(text, n, &docs, &p), path);
        json_array_foreach (docs.items[0].value, i, service) {
                _cleanup_free_ char *key = object_key(service);
                _cleanup_buf_ struct buf lines = {0};

                check(dns_service_records(service, json_at(service, "slices"), &f->facts, &lines),
                                path);
                set(f, strempty(key), &lines);
        }
}

static void many(struct feeder *f, unsigned count) {
        for (unsigned i = 0; i < count; i++) {
                _cleanup_free_ char *key = strformat("many/svc-%u", i),
                                    *ip = strformat("10.96.%u.%u", 100 + i / 250, 1 + i % 250),
                                    *name = strformat("svc-%u", i);
                _cleanup_json_ json_t *service = json_pack(
                                "{s:{s:s, s:s}, s:{s:s, s:[{s:s, s:i}]}}", "metadata", "name", name,
                                "namespace", "many", "spec", "clusterIP", ip, "ports", "name",
                                "http", "port", 80);
                _cleanup_buf_ struct buf lines = {0};

                check(dns_service_records(service, /* slices= */ NULL, &f->facts, &lines), "many");
                set(f, key, &lines);
        }
}

static void write_records(struct feeder *f) {
        _cleanup_free_ char *path = in_dir(f->dir, "records.conf");
        _cleanup_buf_ struct buf text = {0}, in_view = {0};

        dns_table_rewind(f->table);
        check(dns_table_config(f->table, SIZE_MAX, &text, &in_view), "the records");
        buf_printf(&text, "view:\n  name: \"" DNS_VIEW "\"\n  view-first: yes\n%s",
                        strempty(in_view.data));
        check(file_write_atomic(path, strempty(text.data), text.size, 0644), path);
}

static void carry_out(struct feeder *f, const char *line) {
        const char *rest;
        uint64_t n;

        if (streq(line, "started"))
                dns_sync_start(f->sync);
        else if (streq(line, "records"))
                write_records(f);
        else if ((rest = startswith(line, "load ")))
                load(f, rest);
        else if ((rest = startswith(line, "drop ")))
                set(f, rest, &(struct buf){0});
        else if ((rest = startswith(line, "many ")) && parse_u64(rest, &n) >= 0)
                many(f, (unsigned)n);
        else
                die("unknown command");
        dns_sync_wake(f->sync);
}

static void settle(struct feeder *f) {
        uint64_t end = now_mono_us() + WAIT_US;

        while (!dns_sync_is_settled(f->sync)) {
                check(sd_event_run(f->event, 100000), "the loop");
                if (now_mono_us() > end)
                        die("unbound does not take the changes");
        }
}

static int feed(const char *dir) {
        struct feeder f = {.facts = {.domain = "cluster.local", .service_count = 1, .pod_count = 1},
                        .dir = dir};
        _cleanup_free_ char *socket = in_dir(dir, "unbound.sock");
        _cleanup_buf_ struct buf lines = {0};
        char line[4096];

        check(address_range_parse(SERVICES, &f.facts.services[0]), "range");
        check(address_range_parse(PODS, &f.facts.pods[0]), "range");
        check(dns_reverse_zones(SERVICES, &f.zones), "zones");
        check(dns_reverse_zones(PODS, &f.zones), "zones");
        check(sd_event_default(&f.event), "the loop");
        f.table = dns_table_new();
        if (!f.table)
                die("out of memory");
        check(dns_zone_records(&f.facts, f.zones, &lines), "zones");
        set(&f, "zones", &lines);
        check(dns_sync_new(&f.sync, &(struct dns_sync_options){.event = f.event,
                                                    .table = f.table,
                                                    .socket_path = socket,
                                                    .domain = "cluster.local",
                                                    .zones = f.zones}),
                        "the sync");
        while (fgets(line, sizeof(line), stdin)) {
                uint64_t from = now_mono_us(), steps = dns_table_steps(f.table);

                line[strcspn(line, "\n")] = 0;
                carry_out(&f, line);
                settle(&f);
                printf("ok %llu %llu\n", (unsigned long long)(now_mono_us() - from) / 1000,
                                (unsigned long long)(dns_table_steps(f.table) - steps));
                fflush(stdout);
        }
        dns_sync_free(f.sync);
        dns_table_free(f.table);
        strv_free(f.zones);
        sd_event_unref(f.event);
        return 0;
}

int main(int argc, char **argv) {
        if (argc >= 4 && streq(argv[1], "config"))
                return print_config(argv + 2, argc - 2);
        if (argc == 3 && streq(argv[1], "feed"))
                return feed(argv[2]);
        die("see the comment in its source");
}
