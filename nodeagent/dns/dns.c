/* Owners whose records may have changed are noted, and their records made again in pieces; sync.c
 * sends the changes. An unbound that was started, by us or by systemd, has read the records that
 * the agent wrote last; it is compared with the table, as after a start of the agent. */
#include "nodeagent/dns/dns.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/loop-turn.h"
#include "lib/object.h"
#include "nodeagent/dns/sync.h"
#include "nodeagent/dns/unbound-config.h"
#include "nodeagent/network/nft.h"
#include "nodeagent/network/services-keeper.h"
#include "nodeagent/runtime/units.h"

#define CONFIG_DIR "/run/keelson/dns"
#define CONFIG_PATH CONFIG_DIR "/unbound.conf"
#define RECORDS_PATH CONFIG_DIR "/records.conf"
#define RUNTIME_DIR "keelson/dns-control"
#define SOCKET_PATH "/run/" RUNTIME_DIR "/unbound.sock"

enum {
        WORK_PER_TURN = 200,  /* owners, or 256 bytes of their records */
        SAVE_PER_TURN = 5000, /* names */
        SAVE_DELAY_US = 5 * 1000000,
        RETRY_START_US = 5 * 1000000,
        RESOLV_CONF_MAX = 65536,
        DNS_HOST = 10, /* the tenth address of the service range */
};

struct dns {
        struct agent *agent;
        struct dns_table *table;
        struct dns_facts facts;
        char address[ADDRESS_TEXT_SIZE]; /* "": switched off */
        char **zones, **ranges;
        char **upstreams; /* of the configuration; NULL: those of the machine */
        struct dns_stub *stubs;
        size_t stub_count;
        char *program, *library_dir;
        struct map *dirty; /* keys of services; values are not used */
        struct dns_sync *sync;
        struct loop_turn *turn;
        sd_event_source *save, *retry;
        char invocation[33];              /* of the unbound that is fed */
        struct buf records, view_records; /* while they are written */
        bool saving;                      /* in pieces */
        bool listed;                      /* systemd's units are known */
        bool checked;                     /* the configuration of a unit that was there */
        bool started;                     /* its unit was there, or was made */
        bool stopping;                    /* to be started with another configuration */
        bool troubled;                    /* a failure was logged */
};

/* ---- the configuration ---- */

static int use_ranges(struct dns *d, const struct cidrs *ranges, struct address_range *list,
                size_t *count) {
        for (size_t i = 0; i < ranges->count && *count < DNS_RANGES_MAX; i++) {
                const struct cidr *c = &ranges->items[i];
                int r;

                list[*count] = c->range;
                *count += 1;
                r = strv_extend(&d->ranges, c->text);
                if (r < 0)
                        return r;
                r = dns_reverse_zones(c->text, &d->zones);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int choose_address(struct dns *d, const char *wish, const struct cidrs *services) {
        const struct cidr *range = services->count > 0 ? &services->items[0] : NULL;
        struct address a;

        if (streq(strempty(wish), "none"))
                return 0;
        if (isempty(wish)) {
                if (!range || address_range_count(&range->range) <= DNS_HOST)
                        return -EINVAL;
                a = range->range.first;
                address_add(&a, DNS_HOST);
        } else {
                a = address_parse(wish);
                if (a.size == 0 || !cidrs_of(services, address_family(&a)))
                        return -EINVAL;
        }
        address_text(&a, d->address);
        return 0;
}

static int read_servers(struct dns *d, const struct agent_config *c, struct problem *p) {
        int r;

        for (char **s = c->dns_upstreams; s && *s; s++) {
                _cleanup_free_ char *server = dns_server_parse(*s);

                if (!server)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "dns-upstream: '%.100s' is not the address of a name "
                                        "server, such as 192.0.2.53 or 192.0.2.53:5353",
                                        *s);
                r = strv_extend(&d->upstreams, server);
                if (r < 0)
                        return r;
        }
        for (char **s = c->dns_stubs; s && *s; s++) {
                r = dns_stub_add(&d->stubs, &d->stub_count, *s, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_options(struct dns *d, struct problem *p) {
        const struct agent_config *c = &d->agent->config;

        d->facts.domain = c->cluster_domain;
        if (!dns_name_is_valid(c->cluster_domain) || endswith(c->cluster_domain, "."))
                return problem_set(p, EINVAL, 0, NULL,
                                "cluster-domain: '%.100s' is not a domain name, such as "
                                "cluster.local",
                                c->cluster_domain);
        if (choose_address(d, c->cluster_dns, &d->agent->service_ranges) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "cluster-dns: '%.100s' is no address of a family of the service "
                                "range %s, which has no tenth one, either; give an address, or "
                                "none",
                                strempty(c->cluster_dns), strempty(c->service_cidr));
        if (use_ranges(d, &d->agent->service_ranges, d->facts.services, &d->facts.service_count) <
                                        0 ||
                        use_ranges(d, &d->agent->cluster_ranges, d->facts.pods,
                                        &d->facts.pod_count) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "service-cluster-ip-range %s and cluster-cidr %s must be no larger "
                                "than a /8, and of IPv6 than a /16",
                                strempty(c->service_cidr), strempty(c->cluster_cidr));
        return read_servers(d, c, p);
}

/* The bundle's unbound first: it is in ../lib with its libraries, and no profile of AppArmor that
 * is for the machine's own instance keeps it from our files. */
static int find_program(struct dns *d) {
        static const char *const places[] = {"/usr/sbin/unbound", "/usr/local/sbin/unbound"};
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        _cleanup_free_ char *beside = NULL, *library_dir = NULL;
        char *slash;

        if (n < 0)
                return -errno;
        self[n] = 0;
        slash = strrchr(self, '/');
        if (slash)
                *slash = 0;
        library_dir = strformat("%s/../lib", self);
        beside = strformat("%s/../lib/unbound", self);
        if (!beside || !library_dir)
                return -ENOMEM;
        if (access(beside, X_OK) == 0) {
                d->program = TAKE_PTR(beside);
                d->library_dir = TAKE_PTR(library_dir);
                return 0;
        }
        for (size_t i = 0; i < ELEMENTS(places) && !d->program; i++)
                if (access(places[i], X_OK) == 0) {
                        d->program = strdup(places[i]);
                        if (!d->program)
                                return -ENOMEM;
                }
        return 0;
}

/* Of the configuration, or those that the machine asks now. */
static int current_upstreams(const struct dns *d, char ***ret) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (!d->upstreams) {
                if (file_read("/etc/resolv.conf", RESOLV_CONF_MAX, &text, &n) < 0)
                        return 0;
                return dns_upstreams_of(text, d->address, ret);
        }
        for (char **s = d->upstreams; *s; s++) {
                int r = strv_extend(ret, *s);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The machine itself (the address that is asked is the asker's own there), and its pods. */
static int clients(const struct dns *d, char ***ret) {
        bool six = strchr(d->address, ':') != NULL;
        const char *const list[] = {six ? "::1/128" : "127.0.0.0/8", d->address,
                        agent_node_ip(d->agent, six ? FAMILY_IPV6 : FAMILY_IPV4),
                        ipam_cidr(d->agent->ipam, six ? FAMILY_IPV6 : FAMILY_IPV4)};

        for (size_t i = 0; i < ELEMENTS(list); i++) {
                int r = *list[i] ? strv_extend(ret, list[i]) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int config_text(const struct dns *d, struct buf *out) {
        _cleanup_strv_free_ char **upstreams = NULL, **may_ask = NULL;
        struct dns_config c = {.address = d->address,
                        .domain = d->facts.domain,
                        .socket_path = SOCKET_PATH,
                        .records_path = RECORDS_PATH,
                        .zones = d->zones,
                        .ranges = d->ranges,
                        .stubs = d->stubs,
                        .stub_count = d->stub_count};
        int r = current_upstreams(d, &upstreams);

        if (r < 0)
                return r;
        r = clients(d, &may_ask);
        if (r < 0)
                return r;
        c.upstreams = upstreams;
        c.clients = may_ask;
        return dns_config_text(&c, out);
}

/* Nothing secret is in these files. They are in memory: after a reboot they are made from the
 * services that the agent keeps on disk. */
static int write_file(const char *path, const struct buf *text) {
        _cleanup_free_ char *beside = strformat("%s.new", path);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (text->failed || !beside)
                return -ENOMEM;
        fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return -errno;
        r = file_write_all(fd, strempty(text->data), text->size);
        if (r < 0)
                return r;
        if (fchmod(fd, 0644) < 0)
                return -errno;
        return rename(beside, path) < 0 ? -errno : 0;
}

/* The file of records: what is left of the server's clause, and the view. */
static int write_records(struct dns *d) {
        int r = buf_printf(&d->records,
                        "view:\n    name: \"" DNS_VIEW "\"\n    view-first: yes\n%s",
                        strempty(d->view_records.data));

        r = r < 0 ? r : write_file(RECORDS_PATH, &d->records);
        buf_done(&d->records);
        buf_done(&d->view_records);
        return r;
}

static int write_all_records(struct dns *d) {
        int r;

        buf_reset(&d->records);
        buf_reset(&d->view_records);
        dns_table_rewind(d->table);
        r = dns_table_config(d->table, SIZE_MAX, &d->records, &d->view_records);
        return r < 0 ? r : write_records(d);
}

static int on_save(sd_event_source *s, uint64_t usec, void *userdata) {
        struct dns *d = userdata;
        int r;

        if (!d->saving) {
                buf_reset(&d->records);
                buf_reset(&d->view_records);
                dns_table_rewind(d->table);
                d->saving = true;
        }
        r = dns_table_config(d->table, SAVE_PER_TURN, &d->records, &d->view_records);
        if (r > 0) {
                (void)sd_event_source_set_time_relative(s, 0);
                return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        d->save = sd_event_source_disable_unref(d->save);
        d->saving = false;
        r = r < 0 ? r : write_records(d);
        if (r < 0)
                log_warning_errno(r, "Cannot write " RECORDS_PATH "; unbound has old records for a "
                                     "moment should it be restarted");
        return 0;
}

/* unbound has changed: what it would read after a restart follows. */
static void on_changed(void *userdata) {
        struct dns *d = userdata;

        if (!d->save)
                (void)sd_event_add_time_relative(d->agent->event, &d->save, CLOCK_MONOTONIC,
                                SAVE_DELAY_US, 0, on_save, d);
}

/* ---- the unit ---- */

static int start_unit(struct dns *d, const struct buf *config) {
        _cleanup_json_ json_t *unit =
                        dns_unit(d->program, d->library_dir, CONFIG_PATH, RUNTIME_DIR);
        int r = mkdir_parents(CONFIG_DIR, 0755);

        if (r < 0)
                return r;
        r = write_file(CONFIG_PATH, config);
        if (r < 0)
                return r;
        d->save = sd_event_source_disable_unref(d->save);
        d->saving = false;
        r = write_all_records(d);
        if (r < 0)
                return r;
        return unit ? units_start(d->agent->units, unit) : -ENOMEM;
}

static bool is_same_config(const struct buf *config) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        return file_read(CONFIG_PATH, 1024 * 1024, &text, &n) >= 0 && n == config->size &&
               memcmp(text, config->data, n) == 0;
}

/* Starts the unit where it is not there; one with another configuration is stopped, and started
 * when systemd says that it is gone. */
static void ensure_unit(struct dns *d) {
        _cleanup_buf_ struct buf config = {0};
        int r;

        if (!d->listed || !d->agent->ipam || d->stopping || map_size(d->dirty) > 0 ||
                        services_keeper_is_reading(d->agent->services))
                return;
        d->checked = true;
        r = config_text(d, &config);
        if (r < 0 || config.failed) {
                log_oom();
                return;
        }
        if (!d->started)
                r = start_unit(d, &config);
        else if (is_same_config(&config))
                return;
        else {
                log_info("The configuration of the node's name server has changed: restarting it");
                d->stopping = true;
                r = units_stop(d->agent->units, DNS_UNIT);
        }
        if (r < 0) {
                d->stopping = false;
                log_warning_errno(r, "Cannot start " DNS_UNIT);
                return;
        }
        d->started = true;
}

static void again(struct dns *d) {
        loop_turn_ask(d->turn);
}

static void say_trouble(struct dns *d, const char *sub) {
        if (d->troubled || !streq(sub, "auto-restart"))
                return;
        d->troubled = true;
        log_warning(DNS_UNIT " fails and is started again and again: see journalctl -u " DNS_UNIT
                             "; perhaps another program of this machine listens on port 53 of all "
                             "addresses");
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        struct dns *d = userdata;

        d->retry = sd_event_source_disable_unref(d->retry);
        again(d);
        return 0;
}

static void on_unit(const char *name, const struct unit_state *state, const char *error,
                void *userdata) {
        struct dns *d = userdata;

        if (error) {
                log_warning("systemd does not start " DNS_UNIT ": %s", error);
                if (!d->retry)
                        (void)sd_event_add_time_relative(d->agent->event, &d->retry,
                                        CLOCK_MONOTONIC, RETRY_START_US, 0, on_retry, d);
        }
        if (!state) {
                d->started = d->stopping = false;
                *d->invocation = 0;
                dns_sync_stop(d->sync);
                again(d);
                return;
        }
        d->started = true;
        say_trouble(d, state->sub);
        if (!streq(state->active, "active") || streq(state->invocation, d->invocation))
                return;
        snprintf(d->invocation, sizeof(d->invocation), "%s", state->invocation);
        d->troubled = false;
        log_info("unbound answers names of %s on %s", d->facts.domain, d->address);
        dns_sync_start(d->sync);
}

void dns_units_listed(struct dns *d) {
        const struct unit_state *state;

        if (!d->program || !*d->address)
                return;
        if (!d->listed)
                units_follow(d->agent->units, DNS_UNIT, on_unit, d);
        d->listed = true;
        state = units_get(d->agent->units, DNS_UNIT);
        if (state)
                on_unit(DNS_UNIT, state, /* error= */ NULL, d);
        again(d);
}

void dns_check(struct dns *d) {
        if (d->program && *d->address)
                ensure_unit(d);
}

/* ---- records ---- */

/* An array of the objects, perhaps empty. Caller unrefs; NULL when out of memory. */
static json_t *slices_of(struct dns *d, const char *key) {
        const struct slice_list *list = service_table_slices(nft_table(d->agent->nft), key);
        _cleanup_json_ json_t *slices = json_array();

        for (size_t i = 0; list && i < list->count; i++)
                if (json_array_append(slices, list->items[i]->object) < 0)
                        return NULL;
        return TAKE_PTR(slices);
}

static int make_records(struct dns *d, const char *key, struct buf *lines) {
        const struct service_view *service = service_table_service(nft_table(d->agent->nft), key);
        _cleanup_json_ json_t *slices = slices_of(d, key);
        _cleanup_free_ char *owner = strformat("svc:%s", key);
        int r;

        if (!owner || !slices)
                return -ENOMEM;
        r = service ? dns_service_records(service->object, slices, &d->facts, lines) : 0;
        if (r < 0)
                return r;
        return dns_table_set(d->table, owner, strempty(lines->data));
}

static void work(struct dns *d) {
        size_t cost = 0;

        map_foreach (d->dirty, e) {
                _cleanup_free_ char *key = strdup(map_entry_key(e));
                _cleanup_buf_ struct buf lines = {0};

                if (!key || cost >= WORK_PER_TURN)
                        break;
                (void)map_remove(d->dirty, key);
                if (make_records(d, key, &lines) < 0)
                        log_oom();
                cost += 1 + lines.size / 256;
        }
}

static void on_turn(void *userdata) {
        struct dns *d = userdata;

        if (map_size(d->dirty) > 0) {
                work(d);
                again(d);
                return;
        }
        if ((!d->started || !d->checked) && !d->retry)
                ensure_unit(d);
        dns_sync_wake(d->sync);
}

void dns_service_changed(struct dns *d, const char *key) {
        if (!d->program || !*d->address)
                return;
        if (map_set(d->dirty, key, d) < 0)
                log_oom();
        again(d);
}

static int set_pod(struct dns *d, const char *uid, const char *ns,
                const char *const addresses[FAMILIES]) {
        _cleanup_free_ char *owner = strformat("pod:%s", uid);
        _cleanup_buf_ struct buf lines = {0};

        if (!owner)
                return -ENOMEM;
        for (int f = 0; f < FAMILIES; f++) {
                int r = *addresses[f] ? dns_pod_records(ns, addresses[f], &d->facts, &lines) : 0;

                if (r < 0)
                        return r;
        }
        return dns_table_set(d->table, owner, strempty(lines.data));
}

void dns_pod(struct dns *d, const char *uid, const char *ns,
                const char *const addresses[FAMILIES]) {
        if (!d->program || !*d->address)
                return;
        if (set_pod(d, uid, ns, addresses) < 0)
                log_oom();
        again(d);
}

/* ---- life ---- */

const char *dns_address(const struct dns *d) {
        return d->program && *d->address ? d->address : NULL;
}

const char *dns_trouble(const struct dns *d) {
        return *d->address && !d->program ? "the program unbound is not installed on this node"
                                          : NULL;
}

static int add_zone_records(struct dns *d) {
        _cleanup_buf_ struct buf lines = {0};
        int r = dns_zone_records(&d->facts, d->zones, &lines);

        return r < 0 ? r : dns_table_set(d->table, "zones", strempty(lines.data));
}

static int make_sync(struct dns *d) {
        const struct dns_sync_options options = {.event = d->agent->event,
                        .table = d->table,
                        .socket_path = SOCKET_PATH,
                        .domain = d->facts.domain,
                        .zones = d->zones,
                        .on_changed = on_changed,
                        .userdata = d};
        int r = loop_turn_new(&d->turn, d->agent->event, SD_EVENT_PRIORITY_NORMAL + 10, on_turn, d);
        if (r < 0)
                return r;
        return dns_sync_new(&d->sync, &options);
}

int dns_new(struct dns **ret, struct agent *a, struct problem *p) {
        _cleanup_(dns_freep) struct dns *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->agent = a;
        d->table = dns_table_new();
        d->dirty = map_new(NULL);
        if (!d->table || !d->dirty)
                return -ENOMEM;
        r = read_options(d, p);
        if (r < 0)
                return r;
        r = find_program(d);
        if (r < 0)
                return r;
        r = add_zone_records(d);
        if (r < 0)
                return r;
        r = make_sync(d);
        if (r < 0)
                return r;
        if (dns_trouble(d))
                log_warning("Pods do not see the cluster's names: %s; install the package unbound "
                            "and restart the agent",
                                dns_trouble(d));
        *ret = TAKE_PTR(d);
        return 0;
}

struct dns *dns_free(struct dns *d) {
        if (!d)
                return NULL;
        dns_sync_free(d->sync);
        loop_turn_free(d->turn);
        sd_event_source_disable_unref(d->save);
        sd_event_source_disable_unref(d->retry);
        dns_table_free(d->table);
        map_free(d->dirty);
        strv_free(d->zones);
        strv_free(d->ranges);
        strv_free(d->upstreams);
        dns_stubs_free(d->stubs, d->stub_count);
        free(d->program);
        free(d->library_dir);
        buf_done(&d->records);
        buf_done(&d->view_records);
        free(d);
        return NULL;
}
