/* The parts of the agent: made in order, tied to each other by callbacks, and ended. */
#include "config.h"

#include "nodeagent/agent.h"

#include <systemd/sd-daemon.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/trim.h"
#include "nodeagent/dns/dns.h"
#include "nodeagent/host-drift.h"
#include "nodeagent/image-care.h"
#include "nodeagent/image-pulls.h"
#include "nodeagent/image/store.h"
#include "nodeagent/etc-view.h"
#include "nodeagent/eviction.h"
#include "nodeagent/load-balancer.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/machine.h"
#include "nodeagent/manifest.h"
#include "nodeagent/measure.h"
#include "nodeagent/network/machine-address.h"
#include "nodeagent/network/netns-keeper.h"
#include "nodeagent/network/network-watch.h"
#include "nodeagent/network/node-address.h"
#include "nodeagent/network/policy-watch.h"
#include "nodeagent/network/policy.h"
#include "nodeagent/network/service-health.h"
#include "nodeagent/network/services-keeper.h"
#include "nodeagent/node-api.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/local-volumes.h"
#include "nodeagent/pod/object-watch.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/pod/portables.h"
#include "nodeagent/pod/shares.h"
#include "nodeagent/pod/trash.h"
#include "nodeagent/pod/volumes.h"
#include "nodeagent/proc-view.h"
#include "nodeagent/renew.h"
#include "nodeagent/shutdown.h"
#include "nodeagent/streams/server.h"
#include "nodeagent/terminals.h"
#include "nodeagent/unit-watch.h"
#include "nodeagent/watches.h"

enum {
        /* More would not be faster, and each is a connection that stays. */
        API_CALLS_MAX = 8,
        TRIM_FREE_BYTES = 2 << 20,
};

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

static int set_gateways(struct agent *a) {
        for (int f = 0; f < FAMILIES; f++) {
                const char *cidr = ipam_cidr(a->ipam, (enum ip_family)f),
                           *gateway = ipam_gateway(a->ipam, (enum ip_family)f);
                int r = *cidr ? network_set_pod_range(a->network, cidr, gateway) : 0;

                if (r < 0)
                        return log_warning_errno(
                                        r, "Cannot set up the gateway of the pod range %s", cidr);
        }
        return 0;
}

/* The first range of this agent, or one of IPv6 beside it. 1 when something is new. */
static int use_pod_cidr(struct agent *a, const char *cidr) {
        int r;

        if (a->ipam)
                return ipam_extend(a->ipam, cidr);
        r = ipam_new(&a->ipam, cidr);
        return r < 0 ? r : 1;
}

void agent_set_pod_cidr(struct agent *a, const char *cidr) {
        /* Without a range of IPv6 in the configuration there would be no rules for it. */
        size_t n = cidrs_of(&a->cluster_ranges, FAMILY_IPV6) ? strlen(cidr) : strcspn(cidr, ",");
        _cleanup_free_ char *usable = strndup(cidr, n);
        bool first = !a->ipam;
        int r = usable ? use_pod_cidr(a, usable) : -ENOMEM;

        if (r == -EINVAL && a->ipam)
                log_warning("The Node's podCIDR is %s, but pods here have addresses of %s: drain "
                            "the node and restart the agent to use the new range",
                                cidr, ipam_ranges(a->ipam));
        else if (r < 0)
                log_warning_errno(r, "The pod range %s cannot be used", cidr);
        if (r <= 0)
                return;
        if (a->network)
                (void)set_gateways(a);
        save_pod_cidr(a, cidr);
        if (a->dns)
                dns_check(a->dns);
        /* Pods that are there keep the address that they have, also when a range is added. */
        if (a->pods && first) {
                pods_reserve_addresses(a->pods);
                pods_wake_all(a->pods);
        }
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
        dns_units_listed(a->dns);
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

static void on_rules_ready(const char *uid, void *userdata) {
        struct agent *a = userdata;

        if (a->pods)
                pods_wake_pod(a->pods, uid);
}

static void on_service(const char *key, void *userdata) {
        struct agent *a = userdata;

        dns_service_changed(a->dns, key);
}

static bool on_foreign_rules(const char *table, void *userdata) {
        struct agent *a = userdata;
        _cleanup_free_ char *what =
                        strformat("the nftables table %s was changed by another program", table);

        return what && host_drift_found(a->drift, DRIFT_RULES, what, /* ret_news= */ NULL);
}

static void on_network_missing(void *userdata) {
        struct agent *a = userdata;
        _cleanup_free_ char *what = NULL;
        int r = network_missing(a->network, &what);

        /* Also what is not understood is repaired. */
        if (r > 0 && !host_drift_found(a->drift, DRIFT_NETWORK, what, /* ret_news= */ NULL))
                return;
        if (r == 0 && !host_drift_is_repaired(a->drift))
                return;
        r = network_repair(a->network);
        if (r < 0)
                log_warning_errno(r, "Cannot restore the links and routes of the pod network");
        /* Their routes went with the gateway's address. */
        if (a->pods)
                pods_mend_network(a->pods);
}

static void on_pod_link_gone(const char *link, void *userdata) {
        struct agent *a = userdata;

        if (a->pods)
                pods_mend_link(a->pods, link);
}

static void start_helper_units(struct agent *a) {
        int r = log_sockets_start_service(a->log_sockets, a->units);

        if (r < 0)
                log_warning_errno(r, "Cannot start " LOG_COLLECT_UNIT
                                     "; the output of containers waits until it runs");
        r = netns_keeper_start(a->units);
        if (r < 0)
                log_warning_errno(r, "Cannot start " NETNS_KEEPER_UNIT
                                     "; pods start more slowly where there are many");
}

static void on_check(void *userdata) {
        struct agent *a = userdata;

        pods_check_units(a->pods);
        start_helper_units(a);
        dns_check(a->dns);
}

struct static_pods {
        struct agent *agent;
        struct map *uids; /* the values are not used */
};

static void on_static_pod(const json_t *pod, void *userdata) {
        struct static_pods *s = userdata;

        (void)pods_apply(s->agent->pods, pod, POD_STATIC);
        assert(map_set(s->uids, object_uid(pod), s) >= 0);
}

static bool is_static_pod(const char *uid, void *userdata) {
        return map_get(((struct static_pods *)userdata)->uids, uid) != NULL;
}

static bool is_ready(void *userdata, const char **ret_why) {
        struct agent *a = userdata;

        *ret_why = "the watches have not delivered their first lists";
        return !a->api ||
               (watches_are_synced(a->watches) && policy_watch_is_synced(a->policy_watch));
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

bool agent_is_ipv6_only(const struct agent *a) {
        return !cidrs_of(&a->cluster_ranges, FAMILY_IPV4);
}

const char *agent_node_ip(const struct agent *a, enum ip_family family) {
        bool six = strchr(a->node_ip, ':') != NULL;

        if (family == FAMILY_IPV6)
                return six ? a->node_ip : a->node_ip6;
        return six ? "" : a->node_ip;
}

void agent_find_second_ip(struct agent *a) {
        if (*a->node_ip6 || agent_is_ipv6_only(a) || !cidrs_of(&a->cluster_ranges, FAMILY_IPV6) ||
                        machine_address_second(a->node_ip, a->node_ip6) < 0)
                return;
        log_info("Other nodes reach this one over IPv6 by %s", a->node_ip6);
        if (a->network)
                network_set_second_ip(a->network, a->node_ip6);
}

/* The address that was given, that of the link of the one that was given, or the machine's. */
static int find_ipv6(struct agent *a, const struct node_addresses *given, struct problem *p) {
        const char *four = given->text[FAMILY_IPV4];

        snprintf(a->node_ip, sizeof(a->node_ip), "%s", given->text[FAMILY_IPV6]);
        if (*a->node_ip || (*four && machine_address_second(four, a->node_ip) >= 0) ||
                        machine_address_ipv6(a->node_ip) >= 0)
                return 0;
        return problem_set(p, ENODEV, 0, NULL,
                        "this machine has no IPv6 address that other nodes could use, and the "
                        "cluster has only IPv6: set one, or pass --node-ip");
}

/* --node-ip: an address of each family at most. */
static int read_node_ip(struct agent *a, struct problem *p) {
        const struct node_addresses given = node_addresses_read(strempty(a->config.node_ip));

        if (!isempty(a->config.node_ip) && !*given.text[FAMILY_IPV4] && !*given.text[FAMILY_IPV6])
                return problem_set(p, EINVAL, 0, NULL,
                                "--node-ip \"%.100s\" is no address by which other nodes reach this "
                                "one: give one, and one of IPv6 after a comma where the machine "
                                "has one",
                                a->config.node_ip);
        if (agent_is_ipv6_only(a))
                return find_ipv6(a, &given, p);
        snprintf(a->node_ip, sizeof(a->node_ip), "%s", given.text[FAMILY_IPV4]);
        snprintf(a->node_ip6, sizeof(a->node_ip6), "%s", given.text[FAMILY_IPV6]);
        if (!*a->node_ip && machine_address(a->node_ip) < 0)
                return problem_set(p, ENODEV, 0, NULL,
                                "this machine has no IPv4 address that other nodes could use: set "
                                "one, or pass --node-ip");
        agent_find_second_ip(a);
        return 0;
}

/* Leaves the network of IPv4. */
static void drop_second(struct cidrs *all) {
        const struct cidr four = *cidrs_of(all, FAMILY_IPV4);

        *all = (struct cidrs){.items = {four}, .count = 1};
}

static int read_ranges(struct agent *a, struct problem *p) {
        int r = cidrs_parse(a->config.cluster_cidr, "--cluster-cidr", &a->cluster_ranges, p);

        if (r < 0)
                return r;
        r = cidrs_parse(a->config.service_cidr, "--service-cluster-ip-range", &a->service_ranges,
                        p);
        if (r < 0)
                return r;
        if (agent_is_ipv6_only(a) != !cidrs_of(&a->service_ranges, FAMILY_IPV4))
                return problem_set(p, EINVAL, 0, NULL,
                                "--cluster-cidr %s and --service-cluster-ip-range %s must both have "
                                "a network of IPv4, or neither",
                                a->config.cluster_cidr, a->config.service_cidr);
        if (machine_has_ipv6())
                return 0;
        if (agent_is_ipv6_only(a))
                return problem_set(p, EAFNOSUPPORT, 0, NULL,
                                "this machine has no IPv6 (net.ipv6.conf.default.disable_ipv6 is "
                                "1, or its kernel lacks it), and the cluster has nothing else: "
                                "switch it on");
        if (a->cluster_ranges.count > 1 || a->service_ranges.count > 1)
                log_warning("This machine has no IPv6 (net.ipv6.conf.default.disable_ipv6 is 1, or "
                            "its kernel lacks it): pods here have IPv4 only; switch it on and "
                            "restart the agent");
        drop_second(&a->cluster_ranges);
        drop_second(&a->service_ranges);
        return 0;
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
        r = read_ranges(a, p);
        if (r < 0)
                return r;
        return read_node_ip(a, p);
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

static int mount_terminals(struct problem *p) {
        int r = terminals_mount(AGENT_TERMINAL_DIR);

        return r < 0 ? problem_set(p, -r, 0, NULL,
                                       "cannot mount the file system for the terminals of pods "
                                       "(devpts) at %s: %s",
                                       AGENT_TERMINAL_DIR, strerror(-r))
                     : 0;
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
        r = mount_terminals(p);
        if (r < 0)
                return r;
        r = proc_view_mount(AGENT_PROC_DIR);
        a->has_proc_view = r >= 0;
        if (r < 0)
                log_info("No /proc for pods at %s (%s): systemd makes one at each start",
                                AGENT_PROC_DIR, strerror(-r));
        r = etc_view_new(&a->etc_view, a->event);
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
                        .node_ip = {agent_node_ip(a, FAMILY_IPV4), agent_node_ip(a, FAMILY_IPV6)},
                        .service_cidr = {cidrs_text(&a->service_ranges, FAMILY_IPV4),
                                        cidrs_text(&a->service_ranges, FAMILY_IPV6)},
                        .dns_address = dns_address(a->dns)};
        int r = network_new(&a->network, &options);

        if (r < 0 || !a->ipam)
                return r;
        return set_gateways(a);
}

/* The table of the previous agent stays until the first lists are in: it is at least as new as the
 * disk. */
static void on_services_loaded(void *userdata) {
        struct agent *a = userdata;

        dns_check(a->dns);
        if (!nft_is_loaded(a->nft) && (!a->config.kubeconfig || !nft_table_is_there(a->nft)))
                nft_reload(a->nft);
}

static int start_services(struct agent *a) {
        _cleanup_free_ char *path = strformat("%s/services.jsonl", a->config.data_dir);

        int r = path ? service_health_new(&a->service_health, a->event, nft_table(a->nft),
                                       a->config.node_name)
                     : -ENOMEM;

        if (r < 0)
                return r;
        return services_keeper_new(&a->services, a->event, path, a->nft, on_services_loaded, a);
}

static int start_network(struct agent *a, struct problem *p) {
        const struct nft_options options = {.node_name = a->config.node_name,
                        .node_ip = {agent_node_ip(a, FAMILY_IPV4), agent_node_ip(a, FAMILY_IPV6)},
                        .cluster = &a->cluster_ranges,
                        .services = &a->service_ranges,
                        .dns_address = dns_address(a->dns),
                        .on_changed = on_table_changed,
                        .on_foreign = on_foreign_rules,
                        .userdata = a,
                        .figures = a->figures.services};
        const struct network_watch_callbacks watch = {.missing = on_network_missing,
                        .pod_link_gone = on_pod_link_gone,
                        .userdata = a};
        int r = start_links(a);

        if (r < 0)
                return problem_set(
                                p, -r, 0, NULL, "cannot set up the pod network: %s", strerror(-r));
        r = network_watch_new(&a->network_watch, a->event, &watch);
        if (r < 0)
                log_warning_errno(r, "Cannot watch the machine's links; a part of the pod network "
                                     "that is removed is restored when the agent starts");
        r = nft_new(&a->nft, a->event, &options);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot open nftables: %s", strerror(-r));
        watches_load_routes(a);
        r = service_table_observe(nft_table(a->nft), on_service, a);
        return r < 0 ? r : start_services(a);
}

static int start_policies(struct agent *a, struct problem *p) {
        const struct policies_options options = {.cluster = &a->cluster_ranges,
                        .on_ready = on_rules_ready,
                        .on_foreign = on_foreign_rules,
                        .userdata = a,
                        .figures = a->figures.policies};
        int r = policies_new(&a->policies, a->event, &options);
        bool kept;

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot open nftables: %s", strerror(-r));
        policies_nodes(a->policies, network_routes(a->network));
        kept = policy_watch_load(a);
        /* As the services' table. Without any list of policies nothing may start. */
        if (!a->config.kubeconfig || (kept && !policies_inherited(a->policies)))
                policies_load(a->policies);
        return 0;
}

static int start_dns(struct agent *a, struct problem *p) {
        return dns_new(&a->dns, a, p);
}

static int open_images(struct agent *a, struct problem *p) {
        return image_store_open(&a->images, IMAGE_STORE_DIR, p);
}

static int start_images(struct agent *a, struct problem *p) {
        int r = image_pulls_new(&a->pulls, a);

        return r < 0 ? r : image_care_new(&a->image_care, a);
}

static void count_pods(void *userdata) {
        struct agent *a = userdata;
        size_t counts[POD_PHASES] = {0};

        pods_count_phases(a->pods, counts);
        for (size_t i = 0; i < POD_PHASES; i++)
                metric_set(a->figures.pods[i], (double)counts[i]);
}

static int start_pods(struct agent *a, struct problem *p) {
        int r = pods_new(&a->pods, a);

        if (r < 0)
                return r;
        r = metrics_on_render(daemon_metrics(a->daemon), count_pods, a);
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
        pods_runtime_there(a->pods);
        r = shares_new(&a->shares, a);
        if (r < 0)
                return r;
        r = portables_new(&a->portables, a);
        if (r < 0)
                return r;
        limit_pods(a);
        start_helper_units(a);
        r = node_api_new(&a->node_api, a, p);
        if (r < 0)
                return r;
        return stream_server_new(&a->stream_server, a, p);
}

static int start_api(struct agent *a, struct problem *p) {
        _cleanup_free_ char *servers = strformat("%s/servers", a->config.data_dir);
        const struct api_client_options options = {.kubeconfig = a->config.kubeconfig,
                        .user_agent = "knodeagent/" PACKAGE_VERSION,
                        .calls_max = API_CALLS_MAX,
                        .servers_file = servers};
        int r;

        if (!a->config.kubeconfig)
                return 0;
        if (!servers)
                return -ENOMEM;
        r = api_client_new(&a->api, a->event, &options, p);
        if (r < 0)
                return r;
        r = api_client_set_host(a->api, a->config.node_name);
        if (r < 0)
                return r;
        r = node_new(&a->node, a);
        if (r < 0)
                return r;
        r = watches_new(&a->watches, a);
        if (r < 0)
                return r;
        r = policy_watch_new(&a->policy_watch, a);
        if (r < 0)
                return r;
        r = local_volumes_new(&a->local_volumes, a);
        if (r < 0)
                return r;
        r = measure_new(&a->measure, a);
        if (r < 0)
                return r;
        r = object_watches_new(&a->object_watches, a);
        if (r < 0)
                return r;
        r = load_balancer_new(&a->load_balancer, a);
        if (r < 0)
                return r;
        return renew_new(&a->renew, a);
}

static int start_guards(struct agent *a, struct problem *p) {
        int r = eviction_new(&a->eviction, a, p);

        return r < 0 ? r : shutdown_new(&a->shutdown, a);
}

static int start_static_pods(struct agent *a, struct problem *p) {
        _cleanup_(map_freep) struct map *uids = map_new(NULL);
        struct static_pods s = {.agent = a, .uids = uids};
        int r = 0;

        if (!uids)
                return -ENOMEM;
        if (a->config.manifest_dir)
                r = manifest_each(a->config.manifest_dir, a->config.node_name, on_static_pod, &s);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot read the static pods in %s: %s",
                                a->config.manifest_dir, strerror(-r));
        /* A file that cannot be read may be the one of a pod that runs. */
        if (r == 0)
                pods_static_listed(a->pods, is_static_pod, &s);
        return 0;
}

int agent_start(struct agent *a, struct problem *p) {
        /* The order matters: what the disk remembers is there before systemd lists its units, and
         * these before the API speaks. */
        int (*const steps[])(struct agent * agent, struct problem * problem) = {learn_machine,
                        open_state, start_dns, start_network, start_policies, open_images,
                        start_pods, start_runtime, start_images, start_api, start_guards,
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
        r = agent_figures_init(&a->figures, daemon_metrics(a->daemon));
        if (r < 0)
                return r;
        r = trim_new(&a->trim, a->event, TRIM_FREE_BYTES);
        if (r < 0)
                return r;
        r = trim_libraries(a->trim);
        if (r < 0)
                return r;
        r = host_drift_new(&a->drift, a, p);
        if (r < 0)
                return r;
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
        stream_server_free(a->stream_server);
        node_api_free(a->node_api);
        unit_watch_free(a->unit_watch);
        etc_view_free(a->etc_view);
        shutdown_free(a->shutdown);
        a->eviction = eviction_free(a->eviction);
        a->object_watches = object_watches_free(a->object_watches);
        renew_free(a->renew);
        measure_free(a->measure);
        load_balancer_free(a->load_balancer);
        local_volumes_free(a->local_volumes);
        policy_watch_free(a->policy_watch);
        watches_free(a->watches);
        node_free(a->node);
        pods_free(a->pods);
        image_care_free(a->image_care);
        image_pulls_free(a->pulls);
        image_store_free(a->images);
        portables_free(a->portables);
        shares_free(a->shares);
        runtime_free(a->runtime);
        log_sockets_free(a->log_sockets);
        api_client_free(a->api);
        dns_free(a->dns);
        services_keeper_free(a->services);
        service_health_free(a->service_health);
        nft_free(a->nft);
        policies_free(a->policies);
        network_watch_free(a->network_watch);
        network_free(a->network);
        ipam_free(a->ipam);
        trim_free(a->trim);
        statedir_free(a->statedir);
        trash_free(a->trash);
        host_drift_free(a->drift);
        daemon_free(a->daemon);
        machine_facts_done(&a->machine);
}
