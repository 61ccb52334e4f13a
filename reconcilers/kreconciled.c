/* kreconciled: the controllers. Wiring only. */
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/options.h"
#include "reconcilers/collector.h"
#include "reconcilers/frame.h"
#include "reconcilers/manager.h"

enum { PEM_SIZE_MAX = 1024 * 1024 };

struct arguments {
        char *kubeconfig, *health_address, *log_level;
        bool leader_elect;
        char *cluster_cidr;
        uint32_t node_cidr_mask_size;
        char *signing_cert_file, *signing_key_file;
        uint64_t node_monitor_grace_us;
};

#define AT(field) offsetof(struct arguments, field)
static const struct option_row rows[] = {
                {"kubeconfig", 0, OPTION_STRING, AT(kubeconfig), "FILE",
                                "how to reach the API and as whom ($KUBECONFIG, ~/.kube/config)",
                                NULL},
                {"health-address", 0, OPTION_STRING, AT(health_address), "ADDR",
                                "where /healthz and /metrics are served; empty: nowhere", NULL},
                {"log-level", 0, OPTION_STRING, AT(log_level), "LEVEL",
                                "debug, info, notice, warning or error", "info"},
                {"leader-elect", 0, OPTION_BOOL, AT(leader_elect), NULL,
                                "act only while holding the lease kube-system/kreconciled", "true"},
                {"cluster-cidr", 0, OPTION_STRING, AT(cluster_cidr), "CIDR",
                                "range of the pods' addresses", "10.244.0.0/16"},
                {"node-cidr-mask-size", 0, OPTION_U32, AT(node_cidr_mask_size), "BITS",
                                "prefix length of a node's part of it", "24"},
                {"cluster-signing-cert-file", 0, OPTION_STRING, AT(signing_cert_file), "FILE",
                                "CA certificate for signing requests of nodes; absent: no signing",
                                NULL},
                {"cluster-signing-key-file", 0, OPTION_STRING, AT(signing_key_file), "FILE",
                                "its key", NULL},
                {"node-monitor-grace-period", 0, OPTION_DURATION, AT(node_monitor_grace_us), "TIME",
                                "how long a node may be silent before it counts as out of reach",
                                "40s"},
};
static const struct option_program program = {"kreconciled",
                "Runs the controllers that bring the cluster to its desired state.", "[OPTION...]",
                rows, ELEMENTS(rows)};

static const struct controller *const controllers[] = {
                &deployment_controller,
                &replicaset_controller,
                &endpointslice_controller,
                &node_controller,
                &podcidr_controller,
                &podgc_controller,
                &job_controller,
                &namespace_controller,
                &serviceaccount_controller,
                &csr_controller,
                &clusterrole_controller,
};

struct kreconciled {
        struct manager *manager;
        struct collector *collector;
};

static void on_leading(bool leading, void *userdata) {
        struct kreconciled *k = userdata;
        int r = manager_set_leading(k->manager, leading);

        if (r >= 0)
                r = collector_set_leading(k->collector, leading);
        if (r < 0)
                log_error_errno(r, "Cannot watch the cluster");
}

static void on_change(enum world_kind kind, const json_t *object, bool gone, void *userdata) {
        struct kreconciled *k = userdata;

        if (!world_kinds[kind].ns)
                collector_on_change(k->collector, world_resource(kind), object, gone);
}

static void on_synced(void *userdata) {
        collector_on_world_synced(((struct kreconciled *)userdata)->collector);
}

static const char *not_ready(void *userdata) {
        return manager_is_synced(((struct kreconciled *)userdata)->manager)
                               ? NULL
                               : "the caches are not filled yet";
}

static int read_pem(const char *path, char **ret) {
        int r;

        if (!path)
                return 0;
        r = file_read(path, PEM_SIZE_MAX, ret, NULL);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                log_error("%s", strempty(why));
        }
        return r;
}

static int run(const struct arguments *args) {
        _cleanup_free_ char *cert = NULL, *key = NULL;
        struct world_config config = {.cluster_cidr = args->cluster_cidr,
                        .node_cidr_mask_size = args->node_cidr_mask_size,
                        .node_monitor_grace_us = args->node_monitor_grace_us};
        _cleanup_problem_ struct problem p = {0};
        struct kreconciled k = {0};
        struct frame_options frame_options = {.program = "kreconciled",
                        .kubeconfig = args->kubeconfig,
                        .health_address = args->health_address,
                        .log_level = args->log_level,
                        .leader_elect = args->leader_elect,
                        .on_leading = on_leading,
                        .not_ready = not_ready,
                        .userdata = &k};
        _cleanup_(frame_freep) struct frame *frame = NULL;
        int r;

        if (read_pem(args->signing_cert_file, &cert) < 0 ||
                        read_pem(args->signing_key_file, &key) < 0)
                return 1;
        config.signing_cert_pem = cert;
        config.signing_key_pem = key;
        if (!cert != !key) {
                log_error("--cluster-signing-cert-file and --cluster-signing-key-file go together");
                return 1;
        }
        if (podcidr_check(&config, &p) < 0) {
                log_error("%s", strempty(p.message));
                return 1;
        }
        if (frame_new(&frame, &frame_options) < 0)
                return 1;
        struct manager_options manager = {.event = daemon_event(frame_daemon(frame)),
                        .client = frame_client(frame),
                        .metrics = daemon_metrics(frame_daemon(frame)),
                        .config = &config,
                        .controllers = controllers,
                        .count = ELEMENTS(controllers),
                        .listener = on_change,
                        .on_synced = on_synced,
                        .userdata = &k};
        struct collector_options collector = {.event = manager.event,
                        .client = manager.client,
                        .metrics = manager.metrics};

        r = manager_new(&k.manager, &manager);
        collector.manager = k.manager;
        if (r >= 0)
                r = collector_new(&k.collector, &collector);
        if (r < 0) {
                log_error_errno(r, "Cannot start");
                r = 1;
        } else
                r = frame_run(frame);
        collector_free(k.collector);
        manager_free(k.manager);
        return r;
}

int main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        struct arguments args = {0};
        int r;

        log_setup("kreconciled", LOG_INFO);
        r = options_parse(&program, &args, argc, argv, NULL, &p);
        if (r < 0)
                log_error("%s", strempty(p.message));
        r = r < 0 ? 2 : r > 0 ? 0 : run(&args);
        options_done(&program, &args);
        return r;
}
