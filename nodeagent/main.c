/* knodeagent: wiring. Subcommands: `ssh` (kapid's forced command), `units FILE` (what a manifest
 * becomes), `logs-collect` (the service that takes what containers write), `clean`. */
#include "config.h"

#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <systemd/sd-daemon.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/timefmt.h"
#include "nodeagent/agent.h"
#include "nodeagent/csr.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/logs/logs.h"
#include "nodeagent/manifest.h"
#include "nodeagent/network/network.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/renew.h"
#include "nodeagent/pod/stage.h"
#include "nodeagent/sync.h"
#include "nodeagent/pod/volumes.h"

enum { CHECK_US = 60 * 1000000, DRIFT_DELAY_US = 300000 };
#define TRANSIENT_DIR "/run/systemd/transient"

#define OFFSET(f) offsetof(struct agent_config, f)
static const struct option_row rows[] = {
                {"node-name", 0, OPTION_STRING, OFFSET(node_name), "NAME",
                                "name of the Node object (default: the host's name)", NULL},
                {"node-ip", 0, OPTION_STRING, OFFSET(node_ip), "ADDRESS",
                                "address other nodes reach this one by (default: of the default "
                                "route)",
                                NULL},
                {"kubeconfig", 0, OPTION_STRING, OFFSET(kubeconfig), "FILE",
                                "how to reach the API; without it only static and remembered pods "
                                "run",
                                NULL},
                {"data-dir", 0, OPTION_STRING, OFFSET(data_dir), "DIR",
                                "state that survives a reboot", "/var/lib/keelson/nodeagent"},
                {"service-cluster-ip-range", 0, OPTION_STRING, OFFSET(service_cidr), "CIDR",
                                "addresses of services", "10.96.0.0/16"},
                {"cluster-cidr", 0, OPTION_STRING, OFFSET(cluster_cidr), "CIDR",
                                "addresses of all pods", "10.244.0.0/16"},
                {"cluster-dns", 0, OPTION_STRING, OFFSET(cluster_dns), "ADDRESS",
                                "name server of the cluster's names (default: pods use the "
                                "machine's own name servers)",
                                NULL},
                {"cluster-domain", 0, OPTION_STRING, OFFSET(cluster_domain), "DOMAIN",
                                "where the cluster's names end", "cluster.local"},
                {"pod-cidr", 0, OPTION_STRING, OFFSET(pod_cidr), "CIDR",
                                "addresses of this node's pods (default: spec.podCIDR of the Node)",
                                NULL},
                {"pod-manifest-path", 0, OPTION_STRING, OFFSET(manifest_dir), "DIR",
                                "folder of static pods, read at start", NULL},
                {"health-address", 0, OPTION_STRING, OFFSET(health_address), "ADDRESS",
                                "where /healthz, /readyz and /metrics are served; empty: nowhere",
                                NULL},
                {"node-status-update-frequency", 0, OPTION_DURATION, OFFSET(status_frequency_us),
                                "TIME", "how often the node's lease is renewed", "10s"},
                {"log-level", 0, OPTION_STRING, OFFSET(log_level), "LEVEL",
                                "debug, info, notice, warning or error", "info"},
};
static const struct option_program program = {.name = "knodeagent",
                .summary = "Runs a node's pods as systemd units and its services as nftables "
                           "rules.",
                .usage = "[OPTION...] [ssh | clean | units FILE]",
                .rows = rows,
                .count = ELEMENTS(rows)};

void agent_fail(struct agent *a, int error, const char *what) {
        log_error_errno(error, "%s; ending so that systemd starts the agent afresh", what);
        (void)sd_event_exit(a->event, 1);
}

void agent_set_pod_cidr(struct agent *a, const char *cidr) {
        _cleanup_json_ json_t *v = json_pack("{s:s}", "podCIDR", cidr);
        int r;

        if (a->ipam) {
                if (!streq(ipam_cidr(a->ipam), cidr))
                        log_warning("The Node's podCIDR is %s, but pods here have addresses of %s; "
                                    "it is used after the node was drained and the agent restarted",
                                        cidr, ipam_cidr(a->ipam));
                return;
        }
        r = ipam_new(&a->ipam, cidr);
        if (r < 0) {
                log_warning_errno(r, "The pod range %s cannot be used", cidr);
                return;
        }
        if (a->network && (r = network_set_pod_range(a->network, cidr, ipam_gateway(a->ipam))) < 0)
                log_warning_errno(r, "Cannot set up the gateway of the pod range %s", cidr);
        if (v && (r = store_save(a->store, "node", v)) < 0)
                log_warning_errno(r, "Cannot keep the pod range on disk");
        if (a->pods)
                pods_wake_all(a->pods);
}

static void on_unit_change(const char *name, const struct run_state *state, void *userdata) {
        struct agent *a = userdata;
        if (a->pods)
                pods_unit_changed(a->pods, name, state);
}

static void on_start_error(const char *name, const char *message, void *userdata) {
        pods_unit_start_error(((struct agent *)userdata)->pods, name, message);
}

static void on_reloaded(void *userdata) {
        pods_check_units(((struct agent *)userdata)->pods);
}

static void on_listed(void *userdata) {
        pods_units_listed(((struct agent *)userdata)->pods);
}

static void on_lost(int error, void *userdata) {
        agent_fail(userdata, error, "The connection to systemd is lost");
}

static void on_table_changed(void *userdata) {
        struct agent *a = userdata;
        if (a->pods)
                pods_wake_ending(a->pods);
}

static void on_network_missing(void *userdata) {
        struct agent *a = userdata;
        int r = network_mend(a->network);

        if (r < 0)
                log_warning_errno(r, "Cannot put back the links and routes of the pod network");
        /* Their routes went with the gateway's address. */
        if (a->pods)
                pods_mend_network(a->pods);
}

static void start_log_service(struct agent *a) {
        int r = log_sockets_start_service(a->log_sockets, a->units);

        if (r < 0)
                log_warning_errno(r, "Cannot start " LOG_COLLECT_UNIT
                                     "; what containers write waits until it runs");
}

static int on_check(sd_event_source *s, uint64_t usec, void *userdata) {
        struct agent *a = userdata;

        pods_check_units(a->pods);
        start_log_service(a);
        (void)sd_event_source_set_time_relative(s, CHECK_US);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

static int on_drop_in(sd_event_source *s, const struct inotify_event *event, void *userdata) {
        struct agent *a = userdata;
        const char *name = event->len > 0 ? event->name : "";

        /* Of a folder of drop-ins itself, or a new one among the transient units. */
        if (startswith(name, "kpod-") && !endswith(name, ".d"))
                return 0;
        if (startswith(name, "kpod-")) {
                _cleanup_free_ char *path = strformat("%s/%s", TRANSIENT_DIR, name);
                if (path && (event->mask & IN_CREATE))
                        (void)sd_event_add_inotify(a->event, NULL, path,
                                        IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR, on_drop_in, a);
        } else if (!endswith(name, ".conf"))
                return 0;
        (void)sd_event_source_set_time_relative(a->check, DRIFT_DELAY_US);
        (void)sd_event_source_set_enabled(a->check, SD_EVENT_ONESHOT);
        return 0;
}

/* systemctl set-property writes its changes of a transient unit beside it; this is how we hear of
 * them. */
static int watch_drop_ins(struct agent *a) {
        int r = sd_event_add_time_relative(
                        a->event, &a->check, CLOCK_MONOTONIC, CHECK_US, 0, on_check, a);

        if (r >= 0)
                r = sd_event_add_inotify(a->event, NULL, TRANSIENT_DIR, IN_CREATE | IN_ONLYDIR,
                                on_drop_in, a);
        if (r < 0)
                log_debug_errno(r, "Changes of units are noticed once a minute only: cannot "
                                   "watch " TRANSIENT_DIR);
        return 0;
}

static void on_static_pod(const json_t *pod, void *userdata) {
        (void)pods_apply(((struct agent *)userdata)->pods, pod, POD_STATIC);
}

static bool is_ready(void *userdata, const char **ret_why) {
        struct agent *a = userdata;

        *ret_why = "the watches have not delivered their first lists";
        return !a->api || sync_is_synced(a->sync);
}

/* A stub resolver on the host's loopback is out of a pod's reach: show what stands behind it. */
static char *find_resolv_conf(void) {
        static const char real[] = "/run/systemd/resolve/resolv.conf";
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (file_read("/etc/resolv.conf", 65536, &text, &n) >= 0 &&
                        strstr(text, "nameserver 127.") && access(real, R_OK) == 0)
                return strdup(real);
        return NULL;
}

/* Some distributions and administrators switch user namespaces off. */
static bool user_namespaces_work(void) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        return access("/proc/self/ns/user", F_OK) == 0 &&
               (file_read("/proc/sys/user/max_user_namespaces", 64, &text, &n) < 0 || *text != '0');
}

/* All pods together leave the machine enough to be reached and mended. */
static void limit_pods(struct agent *a) {
        int64_t tasks = node_tasks_max();
        _cleanup_json_ json_t *limits = json_pack("{s:I}", "MemoryMax",
                        (json_int_t)(a->memory_bytes - node_memory_reserve(a->memory_bytes)));
        int r;

        if (limits && tasks > 0)
                json_object_set_new(limits, "TasksMax", json_integer(tasks / 4 * 3));
        r = limits ? units_set_properties(a->units, "keelson.slice", limits) : -ENOMEM;
        if (r < 0)
                log_warning_errno(r, "Cannot bound the memory and tasks of all pods together");
}

/* Every command of a pod is started through it. */
static int find_exec_program(struct agent *a, struct problem *p) {
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash;

        if (n < 0)
                return -errno;
        self[n] = 0;
        slash = strrchr(self, '/');
        if (slash)
                *slash = 0;
        a->exec_program = strformat("%s/kpod-exec", self);
        if (!a->exec_program)
                return -ENOMEM;
        if (access(a->exec_program, X_OK) < 0)
                return problem_set(p, errno, 0, NULL,
                                "the program %s, through which pods are started, cannot be used: "
                                "%s (install it beside knodeagent)",
                                a->exec_program, strerror(errno));
        return 0;
}

static int learn_machine(struct agent *a, struct problem *p) {
        struct sysinfo info;
        char host[256];

        if (!a->config.node_name) {
                if (gethostname(host, sizeof(host)) < 0)
                        return -errno;
                host[sizeof(host) - 1] = 0;
                a->config.node_name = strdup(host);
        }
        if (sysinfo(&info) < 0)
                return -errno;
        a->memory_bytes = (int64_t)info.totalram * info.mem_unit;
        a->cpu_milli = (int64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000;
        a->resolv_conf = find_resolv_conf();
        a->no_user_namespaces = !user_namespaces_work();
        if (a->config.node_ip && strlen(a->config.node_ip) < sizeof(a->node_ip))
                snprintf(a->node_ip, sizeof(a->node_ip), "%s", a->config.node_ip);
        else if (network_guess_node_ip(a->node_ip) < 0)
                return problem_set(p, ENODEV, 0, NULL,
                                "this machine has no IPv4 address that other nodes could use: set "
                                "one, or pass --node-ip");
        return a->config.node_name ? 0 : -ENOMEM;
}

static int open_state(struct agent *a, struct problem *p) {
        _cleanup_json_ json_t *node = NULL;
        int r = store_new(&a->store, a->config.data_dir, p);

        if (r < 0)
                return r;
        r = mkdir_parents(AGENT_RUN_DIR, 0700);
        if (r >= 0)
                r = volumes_mount_secrets(AGENT_SECRET_DIR);
        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "cannot mount the memory file system for secrets at %s: %s (the "
                                "agent must be root)",
                                AGENT_SECRET_DIR, strerror(-r));
        if (a->config.pod_cidr)
                agent_set_pod_cidr(a, a->config.pod_cidr);
        else if (store_load(a->store, "node", &node) >= 0 && json_str(node, "podCIDR"))
                agent_set_pod_cidr(a, json_str(node, "podCIDR"));
        return 0;
}

static int start_network(struct agent *a, struct problem *p) {
        struct network_options network = {a->node_ip, a->config.service_cidr};
        struct nft_options nft = {a->config.node_name, a->node_ip, a->config.cluster_cidr,
                        a->config.service_cidr, on_table_changed, a};
        int r = network_new(&a->network, &network);

        if (r >= 0 && a->ipam)
                r = network_set_pod_range(a->network, ipam_cidr(a->ipam), ipam_gateway(a->ipam));
        if (r < 0)
                return problem_set(
                                p, -r, 0, NULL, "cannot set up the pod network: %s", strerror(-r));
        r = network_watch_new(&a->network_watch, a->event, on_network_missing, a);
        if (r < 0)
                log_warning_errno(r, "Cannot watch the machine's links; what of the pod network is "
                                     "taken away is put back when the agent starts");
        r = nft_new(&a->nft, a->event, &nft);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot open nftables: %s", strerror(-r));
        sync_load_services(a);
        sync_load_routes(a);
        /* The table of the agent before us goes on until the first lists are in: it is at least as
         * new as the disk. */
        if (!a->config.kubeconfig || !nft_table_is_there(a->nft))
                nft_reload(a->nft);
        return 0;
}

static int start_api(struct agent *a, struct problem *p) {
        struct api_client_options options = {.kubeconfig = a->config.kubeconfig,
                        .user_agent = "knodeagent/" PACKAGE_VERSION};
        int r;

        if (!a->config.kubeconfig)
                return 0;
        r = api_client_new(&a->api, a->event, &options, p);
        if (r >= 0)
                r = node_new(&a->node, a);
        if (r >= 0)
                r = sync_new(&a->sync, a);
        if (r >= 0)
                r = renew_new(&a->renew, a);
        return r;
}

static int start(struct agent *a, struct problem *p) {
        struct systemd_options runtime = {.callbacks = {
                        on_unit_change, on_start_error, on_reloaded, on_listed, on_lost, a}};
        int r;

        /* Before anything on the machine is touched. */
        if (sd_booted() <= 0)
                return problem_set(p, ENOTSUP, 0, NULL,
                                "systemd does not run this machine; a node needs it as PID 1");
        r = daemon_new(&a->daemon, "knodeagent");
        if (r < 0)
                return r;
        a->event = daemon_event(a->daemon);
        r = find_exec_program(a, p);
        if (r >= 0)
                r = learn_machine(a, p);
        if (r >= 0)
                r = open_state(a, p);
        if (r >= 0)
                r = start_network(a, p);
        if (r >= 0)
                r = pods_new(&a->pods, a);
        if (r >= 0)
                r = pods_load(a->pods);
        if (r < 0)
                return r;
        r = log_sockets_new(&a->log_sockets, a->event);
        if (r < 0)
                return problem_set(
                                p, -r, 0, NULL, "cannot use %s: %s", LOG_COLLECT_DIR, strerror(-r));
        runtime.event = a->event;
        runtime.log_sockets = a->log_sockets;
        r = systemd_runtime_new(&a->runtime, &runtime);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot reach systemd over the system bus: %s",
                                strerror(-r));
        a->units = systemd_runtime_units(a->runtime);
        limit_pods(a);
        start_log_service(a);
        r = start_api(a, p);
        if (r >= 0 && a->config.manifest_dir) {
                r = manifest_each(a->config.manifest_dir, a->config.node_name, on_static_pod, a);
                if (r < 0)
                        return problem_set(p, -r, 0, NULL, "cannot read the static pods in %s: %s",
                                        a->config.manifest_dir, strerror(-r));
        }
        if (r >= 0)
                r = watch_drop_ins(a);
        daemon_on_ready_check(a->daemon, is_ready, a);
        return r < 0 ? r : daemon_listen_health(a->daemon, a->config.health_address, p);
}

static void agent_done(struct agent *a) {
        /* Pods go on: ending the agent stops nothing. */
        sd_event_source_disable_unref(a->check);
        renew_free(a->renew);
        sync_free(a->sync);
        node_free(a->node);
        pods_free(a->pods);
        runtime_free(a->runtime);
        log_sockets_free(a->log_sockets);
        api_client_free(a->api);
        nft_free(a->nft);
        network_watch_free(a->network_watch);
        network_free(a->network);
        ipam_free(a->ipam);
        store_free(a->store);
        daemon_free(a->daemon);
        free(a->resolv_conf);
        free(a->exec_program);
        options_done(&program, &a->config);
}

int main(int argc, char **argv) {
        struct agent a = {0};
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r, level;

        if (argc > 1 && streq(argv[1], "csr"))
                return csr_main(argc, argv);
        r = options_parse(&program, &a.config, argc, argv, &words, &p);
        if (r > 0)
                return 0;
        if (r < 0) {
                fprintf(stderr, "knodeagent: %s\n", strempty(p.message));
                return 2;
        }
        if (words && streq(words[0], "ssh")) {
                r = logs_ssh_main(getenv("SSH_ORIGINAL_COMMAND"));
                options_done(&program, &a.config);
                return r;
        }
        if (words && streq(words[0], "logs-collect") && strv_length(words) == 1) {
                r = log_collect_main();
                options_done(&program, &a.config);
                return r;
        }
        if (words && streq(words[0], "clean") && strv_length(words) == 1) {
                stage_unmount_below(AGENT_RUN_DIR);
                r = network_clean();
                options_done(&program, &a.config);
                if (r < 0)
                        fprintf(stderr, "knodeagent clean: %s\n", strerror(-r));
                return r < 0 ? 1 : 0;
        }
        if (words && streq(words[0], "units") && strv_length(words) == 2) {
                r = manifest_print_units(
                                words[1], a.config.node_name ? a.config.node_name : "node");
                options_done(&program, &a.config);
                return r;
        }
        if (words) {
                fprintf(stderr, "knodeagent: '%s' is not understood; see --help\n", words[0]);
                options_done(&program, &a.config);
                return 2;
        }
        level = log_level_from_string(a.config.log_level);
        log_setup("knodeagent", level < 0 ? LOG_INFO : level);
        /* Folders of volumes are for others to read; what is secret asks for its own mode. */
        umask(0022);
        r = start(&a, &p);
        if (r < 0) {
                log_error("Cannot start: %s", p.message ? p.message : strerror(-r));
                r = 1;
        } else {
                log_info("Node %s (%s): %zu pods remembered", a.config.node_name, a.node_ip,
                                pods_count(a.pods));
                daemon_notify_ready(a.daemon, "running");
                r = daemon_run(a.daemon);
        }
        agent_done(&a);
        return r;
}
