/* kreconciled: the controllers. Wiring only. */
#include "lib/log.h"
#include "lib/quantity.h"
#include "reconcilers/autoscaling/autoscaler.h"
#include "reconcilers/cluster/podcidr.h"
#include "reconcilers/collector.h"
#include "reconcilers/manager.h"
#include "reconcilers/program.h"
#include "reconcilers/signing.h"

struct kreconciled_flags {
        struct program_flags common;
        char *cluster_cidr;
        uint32_t node_cidr_mask_size, node_cidr_mask_size_ipv4, node_cidr_mask_size_ipv6;
        char *signing_cert_file, *signing_key_file;
        uint64_t node_monitor_grace_us;
        uint64_t hpa_period_us, hpa_initialization_us, hpa_readiness_us, hpa_downscale_us;
        char *hpa_tolerance;
};

#define AT(field) offsetof(struct kreconciled_flags, field)
static const struct option_row rows[] = {
                {"cluster-cidr", 0, OPTION_STRING, AT(cluster_cidr), "CIDR",
                                "range of the pods' addresses, or one of IPv4 and one of IPv6 with "
                                "a comma between them",
                                "10.244.0.0/16"},
                {"node-cidr-mask-size", 0, OPTION_U32, AT(node_cidr_mask_size), "BITS",
                                "prefix length of a node's part of the range of IPv4", "24"},
                {"node-cidr-mask-size-ipv4", 0, OPTION_U32, AT(node_cidr_mask_size_ipv4), "BITS",
                                "the same, where it is not 0", "0"},
                {"node-cidr-mask-size-ipv6", 0, OPTION_U32, AT(node_cidr_mask_size_ipv6), "BITS",
                                "prefix length of a node's part of the range of IPv6", "64"},
                {"cluster-signing-cert-file", 0, OPTION_STRING, AT(signing_cert_file), "FILE",
                                "CA certificate for signing requests of nodes; absent: no signing",
                                NULL},
                {"cluster-signing-key-file", 0, OPTION_STRING, AT(signing_key_file), "FILE",
                                "its key", NULL},
                {"node-monitor-grace-period", 0, OPTION_DURATION, AT(node_monitor_grace_us), "TIME",
                                "how long a node may be silent before it counts as unreachable",
                                "40s"},
                {"horizontal-pod-autoscaler-sync-period", 0, OPTION_DURATION, AT(hpa_period_us),
                                "TIME", "how often HorizontalPodAutoscalers decide", "15s"},
                {"horizontal-pod-autoscaler-tolerance", 0, OPTION_STRING, AT(hpa_tolerance),
                                "SHARE", "deviation of a metric from its target that they ignore",
                                "0.1"},
                {"horizontal-pod-autoscaler-downscale-stabilization", 0, OPTION_DURATION,
                                AT(hpa_downscale_us), "TIME",
                                "how long a higher number of pods is remembered", "5m"},
                {"horizontal-pod-autoscaler-cpu-initialization-period", 0, OPTION_DURATION,
                                AT(hpa_initialization_us), "TIME",
                                "how long after a pod's start its CPU counts only if it is ready",
                                "5m"},
                {"horizontal-pod-autoscaler-initial-readiness-delay", 0, OPTION_DURATION,
                                AT(hpa_readiness_us), "TIME",
                                "how long after its start a pod may become ready for the first "
                                "time",
                                "30s"},
};
#define CONTROLLER_ROW(name) &name##_controller,
static const struct controller *const controllers[] = {CONTROLLERS(CONTROLLER_ROW)};

struct kreconciled {
        struct manager *manager;
        struct collector *collector;
        struct autoscaler *autoscaler;
        struct world_config config;
        struct signing signing;
        bool leading;
};

static int set_leading(struct kreconciled *k, bool leading) {
        int r = manager_set_leading(k->manager, leading);

        if (r < 0)
                return r;
        autoscaler_set_leading(k->autoscaler, leading);
        return collector_set_leading(k->collector, leading);
}

static void on_leading(bool leading, void *userdata) {
        struct kreconciled *k = userdata;
        int r = set_leading(k, leading);

        k->leading = leading;
        if (r < 0)
                log_error_errno(r, "Cannot watch the cluster");
}

/* Everything is looked at again, as by a new leader: what was made from the old ones is renewed. */
static void on_signing(void *userdata) {
        struct kreconciled *k = userdata;

        k->config.signing_cert_pem = k->signing.cert;
        k->config.signing_key_pem = k->signing.key;
        if (!k->leading)
                return;
        on_leading(false, k);
        on_leading(true, k);
}

static void on_change(enum world_kind kind, const json_t *object, bool gone, void *userdata) {
        struct kreconciled *k = userdata;

        if (world_kind_is_whole(kind))
                collector_on_change(k->collector, world_resource(kind), object, gone);
}

static void on_synced(void *userdata) {
        collector_on_world_synced(((struct kreconciled *)userdata)->collector);
}

static const char *not_ready(bool leading, void *userdata) {
        const struct kreconciled *k = userdata;

        return leading && !manager_is_synced(k->manager) ? "the caches are not filled yet" : NULL;
}

/* The settings of the controllers; the key pair is borrowed from signing. Logs errors. */
static int make_config(const struct kreconciled_flags *flags, struct world_config *ret,
                struct signing *signing) {
        _cleanup_problem_ struct problem p = {0};
        int r;

        r = signing_read(signing, flags->signing_cert_file, flags->signing_key_file, &p);
        if (r < 0) {
                log_error("%s", p.message ? p.message : strerror(-r));
                return r;
        }
        *ret = (struct world_config){.cluster_cidr = flags->cluster_cidr,
                        .node_cidr_mask_size = flags->node_cidr_mask_size_ipv4
                                                               ? flags->node_cidr_mask_size_ipv4
                                                               : flags->node_cidr_mask_size,
                        .node_cidr_mask_size_ipv6 = flags->node_cidr_mask_size_ipv6,
                        .node_monitor_grace_us = flags->node_monitor_grace_us,
                        .signing_cert_pem = signing->cert,
                        .signing_key_pem = signing->key};
        r = podcidr_check(ret, &p);
        if (r < 0)
                log_error("%s", strempty(p.message));
        return r;
}

/* The settings of the autoscaler. Logs errors. */
static int make_autoscaler_config(
                const struct kreconciled_flags *flags, struct autoscaler_options *ret) {
        int64_t tolerance;

        if (quantity_parse_str_milli(flags->hpa_tolerance, &tolerance) < 0 || tolerance < 0 ||
                        tolerance > 1000) {
                log_error("--horizontal-pod-autoscaler-tolerance %s: use a share from 0 to 1, as "
                          "0.1",
                                flags->hpa_tolerance);
                return -EINVAL;
        }
        if (flags->hpa_period_us < 1000000) {
                log_error("--horizontal-pod-autoscaler-sync-period must be at least 1s");
                return -EINVAL;
        }
        *ret = (struct autoscaler_options){.period_us = flags->hpa_period_us,
                        .config = {.tolerance = (double)tolerance / 1000,
                                        .initial_readiness_us = flags->hpa_readiness_us,
                                        .cpu_initialization_us = flags->hpa_initialization_us,
                                        .downscale_us = flags->hpa_downscale_us}};
        return 0;
}

static int setup(struct kreconciled *k, struct program *program, const struct world_config *config,
                struct autoscaler_options *autoscaler) {
        struct manager_options manager = {.event = daemon_event(program_daemon(program)),
                        .client = program_client(program),
                        .metrics = daemon_metrics(program_daemon(program)),
                        .config = config,
                        .controllers = controllers,
                        .count = ELEMENTS(controllers),
                        .kinds = AUTOSCALER_KINDS,
                        .listener = on_change,
                        .on_synced = on_synced,
                        .userdata = k};
        struct collector_options collector = {.event = manager.event,
                        .client = manager.client,
                        .metrics = manager.metrics};
        int r;

        r = manager_new(&k->manager, &manager);
        if (r < 0)
                return r;
        autoscaler->event = manager.event;
        autoscaler->client = manager.client;
        autoscaler->manager = k->manager;
        r = autoscaler_new(&k->autoscaler, autoscaler);
        if (r < 0)
                return r;
        collector.manager = k->manager;
        r = collector_new(&k->collector, &collector);
        return r < 0 ? r : signing_watch(&k->signing, manager.event, on_signing, k);
}

static int run(struct program_flags *common) {
        const struct kreconciled_flags *flags =
                        container_of(common, struct kreconciled_flags, common);
        _cleanup_(program_freep) struct program *program = NULL;
        struct autoscaler_options autoscaler;
        struct kreconciled k = {0};
        struct program_options options = {.name = "kreconciled",
                        .flags = common,
                        .on_leading = on_leading,
                        .not_ready = not_ready,
                        .userdata = &k};
        int r, code = 1;

        if (make_config(flags, &k.config, &k.signing) < 0 ||
                        make_autoscaler_config(flags, &autoscaler) < 0 ||
                        program_new(&program, &options) < 0) {
                signing_done(&k.signing);
                return 1;
        }
        api_client_set_lean(program_client(program));
        r = setup(&k, program, &k.config, &autoscaler);
        if (r < 0)
                log_error_errno(r, "Cannot start");
        else
                code = program_run(program);
        autoscaler_free(k.autoscaler);
        collector_free(k.collector);
        manager_free(k.manager);
        signing_done(&k.signing);
        return code;
}

int main(int argc, char **argv) {
        struct kreconciled_flags flags = {0};
        const struct program_entry entry = {.name = "kreconciled",
                        .summary = "Runs the controllers that bring the cluster to its desired "
                                   "state.",
                        .rows = rows,
                        .row_count = ELEMENTS(rows),
                        .flags = &flags.common,
                        .run = run};

        return program_main(argc, argv, &entry);
}
