/* The parts of the agent: made in order, tied to each other by callbacks, and ended. */
#include "config.h"

#include "nodeagent/agent.h"

#include <systemd/sd-daemon.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "nodeagent/load-balancer.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/machine.h"
#include "nodeagent/manifest.h"
#include "nodeagent/measure.h"
#include "nodeagent/network/network-watch.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/local-volumes.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/pod/shares.h"
#include "nodeagent/pod/trash.h"
#include "nodeagent/pod/volumes.h"
#include "nodeagent/renew.h"
#include "nodeagent/unit-watch.h"
#include "nodeagent/watches.h"

void agent_fail(struct agent *a, int error, const char *what) {
        log_error_errno(error, "%s; exiting so that systemd restarts the agent", what);
        (void)sd_event_exit(a->event, 1);
}

static void save_pod_cidr(struct agent *a, const char *cidr) {
        _cleanup_json_ json_t *v = json_pack("{s:s}", "podCIDR", cidr);
        int r = v ? statedir_save(a->statedir, "node", v) : -ENOMEM;

        if (r < 0)
                log_warning_errno(r, "Cannot keep the pod range on disk");
}

void agent_set_pod_cidr(struct agent *a, const char *cidr) {
        int r;

        if (a->ipam) {
                if (!streq(ipam_cidr(a->ipam), cidr))
                        log_warning("The Node's podCIDR is %s, but pods here have addresses of %s: "
                                    "drain the node and restart the agent to use the new range",
                                        cidr, ipam_cidr(a->ipam));
                return;
        }
        r = ipam_new(&a->ipam, cidr);
        if (r < 0) {
                log_warning_errno(r, "The pod range %s cannot be used", cidr);
                return;
        }
        if (a->network) {
                r = network_set_pod_range(a->network, cidr, ipam_gateway(a->ipam));
                if (r < 0)
                        log_warning_errno(r, "Cannot set up the gateway of the pod range %s", cidr);
        }
        save_pod_cidr(a, cidr);
        if (a->pods)
                pods_wake_all(a->pods);
}

static void on_unit_change(const char *name, const struct run_state *state, void *userdata) {
        struct agent *a = userdata;

        if (a->pods)
                pods_unit_changed(a->pods, name, state);
}

static void on_start_error(const char *name, const char *message, void *userdata) {
        struct agent *a = userdata;

        pods_unit_start_error(a->pods, name, message);
}

static void on_reloaded(void *userdata) {
        struct agent *a = userdata;

        pods_check_units(a->pods);
}

static void on_listed(void *userdata) {
        struct agent *a = userdata;

        pods_units_listed(a->pods);
        shares_sweep(a->shares);
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
        int r = network_repair(a->network);

        if (r < 0)
                log_warning_errno(r, "Cannot restore the links and routes of the pod network");
        /* Their routes went with the gateway's address. */
        if (a->pods)
                pods_mend_network(a->pods);
}

static void start_log_service(struct agent *a) {
        int r = log_sockets_start_service(a->log_sockets, a->units);

        if (r < 0)
                log_warning_errno(r, "Cannot start " LOG_COLLECT_UNIT
                                     "; the output of containers waits until it runs");
}

static void on_check(void *userdata) {
        struct agent *a = userdata;

        pods_check_units(a->pods);
        start_log_service(a);
}

static void on_static_pod(const json_t *pod, void *userdata) {
        struct agent *a = userdata;

        (void)pods_apply(a->pods, pod, POD_STATIC);
}

static bool is_ready(void *userdata, const char **ret_why) {
        struct agent *a = userdata;

        *ret_why = "the watches have not delivered their first lists";
        return !a->api || watches_are_synced(a->watches);
}

/* All pods together leave the machine enough for sshd, the agent and an administrator. */
static void limit_pods(struct agent *a) {
        int64_t tasks = node_tasks_max(), memory = a->machine.memory_bytes;
        _cleanup_json_ json_t *limits = json_pack(
                        "{s:I}", "MemoryMax", (json_int_t)(memory - node_memory_reserve(memory)));
        int r;

        if (limits && tasks > 0)
                json_object_set_new(limits, "TasksMax", json_integer(tasks / 4 * 3));
        r = limits ? units_set_properties(a->units, "keelson.slice", limits) : -ENOMEM;
        if (r < 0)
                log_warning_errno(r, "Cannot limit the memory and tasks of all pods together");
}

static int learn_machine(struct agent *a, struct problem *p) {
        int r = machine_facts_read(&a->machine, p);

        if (r < 0)
                return r;
        if (!a->config.node_name) {
                a->config.node_name = strdup(a->machine.host_name);
                if (!a->config.node_name)
                        return -ENOMEM;
        }
        if (a->config.node_ip && strlen(a->config.node_ip) < sizeof(a->node_ip)) {
                snprintf(a->node_ip, sizeof(a->node_ip), "%s", a->config.node_ip);
                return 0;
        }
        if (network_guess_node_ip(a->node_ip) < 0)
                return problem_set(p, ENODEV, 0, NULL,
                                "this machine has no IPv4 address that other nodes could use: set "
                                "one, or pass --node-ip");
        return 0;
}

static int make_secret_dir(void) {
        int r = mkdir_parents(AGENT_RUN_DIR, 0700);

        if (r < 0)
                return r;
        return volumes_mount_secrets(AGENT_SECRET_DIR);
}

static int mount_secrets(struct problem *p) {
        int r = make_secret_dir();

        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "cannot mount the memory file system for secrets at %s: %s (the "
                                "agent must be root)",
                                AGENT_SECRET_DIR, strerror(-r));
        return 0;
}

static int open_trash(struct agent *a, struct problem *p) {
        _cleanup_free_ char *dir = strformat("%s/removed", a->config.data_dir), *text = NULL;
        int r = dir ? trash_new(&a->trash, a->event, dir) : -ENOMEM;

        if (r >= 0)
                return 0;
        text = file_error_text(strempty(dir), "use", r);
        return problem_set(p, -r, 0, NULL, "%s", strempty(text));
}

static int open_state(struct agent *a, struct problem *p) {
        _cleanup_json_ json_t *node = NULL;
        int r = statedir_new(&a->statedir, a->config.data_dir, p);

        if (r < 0)
                return r;
        r = open_trash(a, p);
        if (r < 0)
                return r;
        r = mount_secrets(p);
        if (r < 0)
                return r;
        if (a->config.pod_cidr)
                agent_set_pod_cidr(a, a->config.pod_cidr);
        else if (statedir_load(a->statedir, "node", &node) >= 0 && json_str(node, "podCIDR"))
                agent_set_pod_cidr(a, json_str(node, "podCIDR"));
        return 0;
}

static int start_links(struct agent *a) {
        const struct network_options options = {
                        .node_ip = a->node_ip, .service_cidr = a->config.service_cidr};
        int r = network_new(&a->network, &options);

        if (r < 0 || !a->ipam)
                return r;
        return network_set_pod_range(a->network, ipam_cidr(a->ipam), ipam_gateway(a->ipam));
}

static int start_network(struct agent *a, struct problem *p) {
        const struct nft_options options = {.node_name = a->config.node_name,
                        .node_ip = a->node_ip,
                        .cluster_cidr = a->config.cluster_cidr,
                        .service_cidr = a->config.service_cidr,
                        .on_changed = on_table_changed,
                        .userdata = a};
        int r = start_links(a);

        if (r < 0)
                return problem_set(
                                p, -r, 0, NULL, "cannot set up the pod network: %s", strerror(-r));
        r = network_watch_new(&a->network_watch, a->event, on_network_missing, a);
        if (r < 0)
                log_warning_errno(r, "Cannot watch the machine's links; a part of the pod network "
                                     "that is removed is restored when the agent starts");
        r = nft_new(&a->nft, a->event, &options);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot open nftables: %s", strerror(-r));
        watches_load_services(a);
        watches_load_routes(a);
        /* The table of the previous agent stays until the first lists are in: it is at least as
         * new as the disk. */
        if (!a->config.kubeconfig || !nft_table_is_there(a->nft))
                nft_reload(a->nft);
        return 0;
}

static int start_pods(struct agent *a, struct problem *p) {
        int r = pods_new(&a->pods, a);

        return r < 0 ? r : pods_load(a->pods);
}

static int start_runtime(struct agent *a, struct problem *p) {
        struct systemd_options options = {.event = a->event,
                        .callbacks = {on_unit_change, on_start_error, on_reloaded, on_listed,
                                        on_lost, a}};
        int r = log_sockets_new(&a->log_sockets, a->event);

        if (r < 0)
                return problem_set(
                                p, -r, 0, NULL, "cannot use %s: %s", LOG_COLLECT_DIR, strerror(-r));
        options.log_sockets = a->log_sockets;
        r = systemd_runtime_new(&a->runtime, &options);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot reach systemd over the system bus: %s",
                                strerror(-r));
        a->units = systemd_runtime_units(a->runtime);
        r = shares_new(&a->shares, a);
        if (r < 0)
                return r;
        limit_pods(a);
        start_log_service(a);
        return 0;
}

static int start_api(struct agent *a, struct problem *p) {
        const struct api_client_options options = {.kubeconfig = a->config.kubeconfig,
                        .user_agent = "knodeagent/" PACKAGE_VERSION};
        int r;

        if (!a->config.kubeconfig)
                return 0;
        r = api_client_new(&a->api, a->event, &options, p);
        if (r < 0)
                return r;
        r = node_new(&a->node, a);
        if (r < 0)
                return r;
        r = watches_new(&a->watches, a);
        if (r < 0)
                return r;
        r = local_volumes_new(&a->local_volumes, a);
        if (r < 0)
                return r;
        r = measure_new(&a->measure, a);
        if (r < 0)
                return r;
        r = load_balancer_new(&a->load_balancer, a);
        if (r < 0)
                return r;
        return renew_new(&a->renew, a);
}

static int start_static_pods(struct agent *a, struct problem *p) {
        int r;

        if (!a->config.manifest_dir)
                return 0;
        r = manifest_each(a->config.manifest_dir, a->config.node_name, on_static_pod, a);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot read the static pods in %s: %s",
                                a->config.manifest_dir, strerror(-r));
        return 0;
}

int agent_start(struct agent *a, struct problem *p) {
        /* The order matters: what the disk remembers is there before systemd lists its units, and
         * these before the API speaks. */
        int (*const steps[])(struct agent * agent, struct problem * problem) = {learn_machine,
                        open_state, start_network, start_pods, start_runtime, start_api,
                        start_static_pods};
        int r;

        /* Before anything on the machine is touched. */
        if (sd_booted() <= 0)
                return problem_set(p, ENOTSUP, 0, NULL,
                                "systemd does not run this machine; a node needs it as PID 1");
        r = daemon_new(&a->daemon, "knodeagent");
        if (r < 0)
                return r;
        a->event = daemon_event(a->daemon);
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                r = steps[i](a, p);
                if (r < 0)
                        return r;
        }
        r = unit_watch_new(&a->unit_watch, a->event, on_check, a);
        if (r < 0)
                return r;
        daemon_on_ready_check(a->daemon, is_ready, a);
        return daemon_listen_health(a->daemon, a->config.health_address, p);
}

void agent_done(struct agent *a) {
        unit_watch_free(a->unit_watch);
        renew_free(a->renew);
        measure_free(a->measure);
        load_balancer_free(a->load_balancer);
        local_volumes_free(a->local_volumes);
        watches_free(a->watches);
        node_free(a->node);
        pods_free(a->pods);
        shares_free(a->shares);
        runtime_free(a->runtime);
        log_sockets_free(a->log_sockets);
        api_client_free(a->api);
        nft_free(a->nft);
        network_watch_free(a->network_watch);
        network_free(a->network);
        ipam_free(a->ipam);
        statedir_free(a->statedir);
        trash_free(a->trash);
        daemon_free(a->daemon);
        machine_facts_done(&a->machine);
}
