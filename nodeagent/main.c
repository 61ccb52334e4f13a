/* knodeagent: the options, the subcommands, and the daemon when there is none. */
#include "config.h"

#include <malloc.h>
#include <sys/stat.h>

#include "lib/ask-socket.h"
#include "lib/log.h"
#include "lib/options.h"
#include "nodeagent/agent.h"
#include "nodeagent/clean.h"
#include "nodeagent/csr.h"
#include "nodeagent/image-command.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/logs/logs.h"
#include "nodeagent/manifest.h"
#include "nodeagent/pod/actions.h"
#include "nodeagent/pod/share-folder.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/streams/session.h"

#define HEALTH_SOCKET AGENT_RUN_DIR "/health.sock"
#define OFFSET(f) offsetof(struct agent_config, f)
static const struct option_row rows[] = {
                {"node-name", 0, OPTION_STRING, OFFSET(node_name), "NAME",
                                "name of the Node object (default: the host's name)", NULL},
                {"node-ip", 0, OPTION_STRING, OFFSET(node_ip), "ADDRESS",
                                "address other nodes reach this one by (default: of the default "
                                "route); one of IPv6 may follow after a comma (default: of the "
                                "same link, where the cluster has pods of IPv6)",
                                NULL},
                {"kubeconfig", 0, OPTION_STRING, OFFSET(kubeconfig), "FILE",
                                "credentials and address of the API; without it only static and "
                                "remembered pods run",
                                NULL},
                {"data-dir", 0, OPTION_STRING, OFFSET(data_dir), "DIR",
                                "state that survives a reboot", "/var/lib/keelson/nodeagent"},
                {"service-cluster-ip-range", 0, OPTION_STRING, OFFSET(service_cidr), "CIDR",
                                "addresses of services; one of IPv6 may follow after a comma",
                                "10.96.0.0/16"},
                {"cluster-cidr", 0, OPTION_STRING, OFFSET(cluster_cidr), "CIDR",
                                "addresses of all pods; likewise", "10.244.0.0/16"},
                {"cluster-dns", 0, OPTION_STRING, OFFSET(cluster_dns), "ADDRESS",
                                "address of the cluster's names on this node (default: the tenth "
                                "of the service range; none: pods use the machine's name servers)",
                                NULL},
                {"dns-upstream", 0, OPTION_STRINGS, OFFSET(dns_upstreams), "ADDRESS[:PORT]",
                                "name server of all other names, may repeat (default: those of "
                                "the machine's /etc/resolv.conf)",
                                NULL},
                {"dns-stub", 0, OPTION_STRINGS, OFFSET(dns_stubs), "DOMAIN=ADDRESS[:PORT]",
                                "name server of one domain's names, may repeat", NULL},
                {"cluster-domain", 0, OPTION_STRING, OFFSET(cluster_domain), "DOMAIN",
                                "domain of the cluster's names", "cluster.local"},
                {"pod-cidr", 0, OPTION_STRING, OFFSET(pod_cidr), "CIDR",
                                "addresses of this node's pods; one of IPv6 may follow after a comma "
                                "(default: spec.podCIDRs of the Node)",
                                NULL},
                {"max-pods", 0, OPTION_U32, OFFSET(pods_max), "N",
                                "how many pods the node takes; 0: 250 for each /24 of its range",
                                "0"},
                {"pod-manifest-path", 0, OPTION_STRING, OFFSET(manifest_dir), "DIR",
                                "folder of static pods, read at start", NULL},
                {"health-address", 0, OPTION_STRING, OFFSET(health_address), "ADDRESS",
                                "address of /healthz, /readyz and /metrics; empty: not served",
                                NULL},
                {"node-status-update-frequency", 0, OPTION_DURATION, OFFSET(status_frequency_us),
                                "TIME", "how often the node's lease is renewed", "10s"},
                {"eviction-hard", 0, OPTION_STRING, OFFSET(eviction_hard), "LIST",
                                "a pod ends at once when less than this is available; empty: none",
                                "memory.available<100Mi,nodefs.available<10%,"
                                "nodefs.inodesFree<5%,pid.available<10%"},
                {"eviction-soft", 0, OPTION_STRING, OFFSET(eviction_soft), "LIST",
                                "... when that lasts for eviction-soft-grace-period", NULL},
                {"eviction-soft-grace-period", 0, OPTION_STRING, OFFSET(eviction_soft_grace),
                                "LIST", "SIGNAL=TIME for each soft threshold", NULL},
                {"eviction-minimum-reclaim", 0, OPTION_STRING, OFFSET(eviction_reclaim), "LIST",
                                "SIGNAL=AMOUNT that must be free beyond a threshold once it was met",
                                NULL},
                {"eviction-pressure-transition-period", 0, OPTION_DURATION,
                                OFFSET(eviction_transition_us), "TIME",
                                "how long a pressure condition stays after its threshold", "5m"},
                {"eviction-max-pod-grace-period", 0, OPTION_DURATION, OFFSET(eviction_pod_grace_us),
                                "TIME", "grace period of pods that a soft threshold ends", "30s"},
                {"shutdown-grace-period", 0, OPTION_DURATION, OFFSET(shutdown_us), "TIME",
                                "how long a shutdown of the machine waits for its pods; 0: not",
                                "30s"},
                {"shutdown-grace-period-critical-pods", 0, OPTION_DURATION,
                                OFFSET(shutdown_critical_us), "TIME",
                                "the part of it that is for critical pods", "10s"},
                {"drift", 0, OPTION_STRING, OFFSET(drift), "WHAT",
                                "what becomes of changes that other programs make to units, "
                                "rules, links, routes and files of pods: repair or report",
                                "repair"},
                {"log-level", 0, OPTION_STRING, OFFSET(log_level), "LEVEL",
                                "debug, info, notice, warning or error", "info"},
};
static const struct option_program program = {.name = "knodeagent",
                .summary = "Runs a node's pods as systemd units and its services as nftables "
                           "rules.",
                .usage = "[OPTION...] [ssh | clean | units FILE]",
                .rows = rows,
                .count = ELEMENTS(rows)};

struct subcommand {
        const char *name;
        int arguments; /* words after the name; ANY_ARGUMENTS: any number */
        /* Either one returns the exit code. */
        int (*run)(const struct agent_config *config, char **arguments);
        int (*run_with_own_options)(int argc, char **argv);
};
enum { ANY_ARGUMENTS = -1 };

static int run_ssh(const struct agent_config *config, char **arguments) {
        const char *command = getenv("SSH_ORIGINAL_COMMAND");

        return streq_ptr(command, STREAM_COMMAND) ? streams_ssh_main() : logs_ssh_main(command);
}

static int run_logs_collect(const struct agent_config *config, char **arguments) {
        return log_collect_main();
}

static int run_clean(const struct agent_config *config, char **arguments) {
        return clean_main();
}

static int run_share_bind(const struct agent_config *config, char **arguments) {
        return share_bind_main(arguments);
}

static int run_share_remove(const struct agent_config *config, char **arguments) {
        return share_remove_main(arguments);
}

static int run_actions(const struct agent_config *config, char **arguments) {
        for (size_t i = 0; i < POD_ACTIONS_MAX; i++)
                puts(pod_action_name((enum pod_action)i));
        return 0;
}

static int run_image(const struct agent_config *config, char **arguments) {
        return image_command_main(config->data_dir, arguments);
}

static int run_units(const struct agent_config *config, char **arguments) {
        return manifest_print_units(arguments[0], config->node_name ? config->node_name : "node");
}

static int run_metrics(const struct agent_config *config, char **arguments) {
        const char *path = startswith(strempty(config->health_address), "unix://");
        _cleanup_problem_ struct problem p = {0};

        if (ask_socket(path ? path : HEALTH_SOCKET, "/metrics", &p) >= 0)
                return 0;
        fprintf(stderr, "knodeagent: %s\n", strempty(p.message));
        return 1;
}

static const struct subcommand subcommands[] = {
                {"ssh", ANY_ARGUMENTS, .run = run_ssh},       /* kapid's forced command */
                {"units", 1, .run = run_units},               /* what a manifest becomes */
                {"logs-collect", 0, .run = run_logs_collect}, /* keelson-logs.service */
                {"share-bind", 5, .run = run_share_bind},     /* folders of NFS shares */
                {"share-remove", 4, .run = run_share_remove},
                {"image", ANY_ARGUMENTS, .run = run_image}, /* kctl image */
                {"clean", 0, .run = run_clean},             /* of a node that leaves */
                {"metrics", 0, .run = run_metrics},         /* of the agent that runs */
                {"actions", 0, .run = run_actions}, /* every step of a pod's life, for tests */
                {"csr", ANY_ARGUMENTS, .run_with_own_options = csr_main},
};

static const struct subcommand *subcommand_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(subcommands); i++)
                if (streq(subcommands[i].name, name))
                        return &subcommands[i];
        return NULL;
}

static int run_subcommand(const struct agent_config *config, char **words) {
        const struct subcommand *s = subcommand_find(words[0]);
        int arguments = (int)strv_length(words) - 1;

        if (!s || !s->run || (s->arguments != ANY_ARGUMENTS && s->arguments != arguments)) {
                fprintf(stderr, "knodeagent: cannot understand '%s'; see --help\n", words[0]);
                return 2;
        }
        return s->run(config, words + 1);
}

static int run_daemon(struct agent *a) {
        _cleanup_problem_ struct problem p = {0};
        int level = log_level_from_string(a->config.log_level), r;

        log_setup("knodeagent", level < 0 ? LOG_INFO : level);
        /* The threads do little: a heap of their own for each would only take memory. */
        (void)mallopt(M_ARENA_MAX, 1);
        /* Folders of volumes are for others to read; secret ones set their own mode. */
        umask(0022);
        r = agent_start(a, &p);
        if (r < 0) {
                log_error("Cannot start: %s", p.message ? p.message : strerror(-r));
                r = 1;
        } else {
                log_info("Node %s (%s): %zu pods remembered", a->config.node_name, a->node_ip,
                                pods_count(a->pods));
                daemon_notify_ready(a->daemon, "running");
                r = daemon_run(a->daemon);
        }
        agent_done(a);
        return r;
}

int main(int argc, char **argv) {
        struct agent a = {0};
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_problem_ struct problem p = {0};
        const struct subcommand *first = argc > 1 ? subcommand_find(argv[1]) : NULL;
        int r;

        if (first && first->run_with_own_options)
                return first->run_with_own_options(argc, argv);
        r = options_parse(&program, &a.config, argc, argv, &words, &p);
        if (r > 0)
                return 0;
        if (r < 0) {
                fprintf(stderr, "knodeagent: %s\n", strempty(p.message));
                return 2;
        }
        r = words ? run_subcommand(&a.config, words) : run_daemon(&a);
        options_done(&program, &a.config);
        return r;
}
