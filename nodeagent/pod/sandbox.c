/* The environment of a pod's containers: the ConfigMaps and Secrets it uses, its address and
 * network, its volumes, and the plan of its units. Made before anything starts, taken down after
 * everything has ended. */
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/network/policy.h"
#include "nodeagent/dns/dns.h"
#include "nodeagent/etc-view.h"
#include "nodeagent/host-drift.h"
#include "nodeagent/node.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/fetch.h"
#include "nodeagent/pod/object-watch.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/portables.h"
#include "nodeagent/pod/users.h"
#include "nodeagent/pod/volumes.h"
#include "nodeagent/terminals.h"

enum {
        RETRY_US = 5 * 1000000,
        REFRESH_US = 60 * 1000000,
        STALE_US = 200000, /* an object that is written again and again is fetched this often */
        HOST_FILE_MAX = 256 * 1024,
};

/* Of the family; "": none, also while the pod has no address at all. */
static const char *sandbox_address(const struct pod *p, enum ip_family family) {
        bool six = strchr(p->sandbox.ip, ':') != NULL;

        return family == FAMILY_IPV6 ? (six ? p->sandbox.ip : p->sandbox.ip6)
               : six                 ? ""
                                     : p->sandbox.ip;
}

void sandbox_load(struct pod *p, const char *ip, const json_t *resources) {
        struct pod_sandbox *s = &p->sandbox;

        assert(!s->ready && !s->resources);
        s->resources = json_ref(resources);
        snprintf(s->ip, sizeof(s->ip), "%s", ip);
        sandbox_reserve(p);
}

/* Where the node has a range of IPv6, the pod has an address of it, too. */
static void set_second(struct pod *p) {
        const struct ipam *ipam = p->pods->agent->ipam;

        if (*p->sandbox.ip && ipam && !pod_is_host_network(p))
                ipam_second(ipam, p->sandbox.ip, p->sandbox.ip6);
        else
                p->sandbox.ip6[0] = 0;
}

void sandbox_reserve(struct pod *p) {
        const char *const addresses[FAMILIES] = {
                        sandbox_address(p, FAMILY_IPV4), sandbox_address(p, FAMILY_IPV6)};
        struct pod_sandbox *s = &p->sandbox;
        struct ipam *ipam = p->pods->agent->ipam;

        if (*s->ip && ipam && !pod_is_host_network(p) && ipam_reserve(ipam, s->ip) < 0)
                s->ip[0] = 0;
        set_second(p);
        /* The table must not be loaded without the pods that run already. */
        if (*s->ip && !pod_is_host_network(p))
                (void)policies_pod(p->pods->agent->policies, p->object, addresses, true);
}

void sandbox_done(struct pod *p) {
        struct pod_sandbox *s = &p->sandbox;

        if (p->pods->agent->object_watches)
                (void)object_watches_set(p->pods->agent->object_watches, p, /* keys= */ NULL);
        s->fetch = fetch_cancel(s->fetch);
        json_decref(TAKE_PTR(s->resources));
        json_decref(TAKE_PTR(s->plan));
}

void sandbox_drop_plan(struct pod *p) {
        json_decref(TAKE_PTR(p->sandbox.plan));
}

/* ---- ConfigMaps and Secrets ---- */

bool sandbox_wants_resources(const struct pod *p) {
        _cleanup_json_ json_t *references = pod_references(p->object);

        return json_object_size(json_at(references, "configmaps")) > 0 ||
               json_object_size(json_at(references, "secrets")) > 0 ||
               json_object_size(json_at(references, "claims")) > 0 ||
               json_object_size(json_at(references, "tokens")) > 0;
}

void sandbox_object_changed(
                struct pod *p, const char *kind, const char *name, const char *version) {
        const json_t *known = json_get(p->sandbox.resources, kind, name, NULL);

        if (streq(json_str_or(known, "metadata.resourceVersion", ""), version))
                return;
        p->sandbox.stale = true;
        p->sandbox.fetch_us = now_mono_us();
        pod_wake(p);
}

static void watch_objects(struct pod *p) {
        struct object_watches *watches = p->pods->agent->object_watches;
        _cleanup_json_ json_t *keys = watches ? pod_watched(p->object, p->sandbox.resources) : NULL;
        int r = !watches ? 0 : keys ? object_watches_set(watches, p, keys) : -ENOMEM;

        if (r < 0)
                object_log(LOG_WARNING, r, p->object, "Pod",
                                "Cannot watch the ConfigMaps and Secrets of pod %s/%s; changes are "
                                "seen once a minute",
                                object_namespace(p->object), object_name(p->object));
}

/* What a pod that has started keeps although the control plane no longer has it. */
static int keep_used(struct pod *p, const json_t *fresh, json_t **ret) {
        _cleanup_json_ json_t *references = pod_references(p->object), *kept = NULL;
        int r;

        if (!pod_has_started(p)) {
                *ret = json_ref(fresh);
                return 0;
        }
        r = pod_keep_claims(p->sandbox.resources, fresh, &kept);
        return r < 0 ? r : pod_keep_objects(p->sandbox.resources, kept, references, ret);
}

static void on_fetched(const json_t *resources, bool complete, void *userdata) {
        struct pod *p = userdata;
        struct pod_sandbox *s = &p->sandbox;
        _cleanup_json_ json_t *kept = NULL;
        int r;

        s->fetch = NULL;
        s->fetch_us = now_mono_us() + (s->stale ? STALE_US : complete ? REFRESH_US : RETRY_US);
        r = keep_used(p, resources, &kept);
        if (r >= 0 && (complete || s->resources) &&
                        (!s->resources || !json_equal(s->resources, kept))) {
                json_decref(s->resources);
                s->resources = TAKE_PTR(kept);
                sandbox_drop_plan(p);
                pod_save_desired(p);
        }
        pod_wake(p);
}

void sandbox_fetch(struct pod *p) {
        _cleanup_json_ json_t *references = pod_references(p->object);
        struct pod_sandbox *s = &p->sandbox;
        int r;

        assert(!s->fetch);
        s->stale = false;
        if (!references || !fetch_is_due(references, s->resources, now_wall_us())) {
                s->fetch_us = now_mono_us() + REFRESH_US;
                pod_wake_at(p, s->fetch_us);
                return;
        }
        r = fetch_start(&s->fetch, p->pods->agent->api, object_namespace(p->object), references,
                        s->resources, on_fetched, p);
        if (r < 0) {
                s->fetch_us = now_mono_us() + RETRY_US;
                pod_wake_at(p, s->fetch_us);
        }
}

/* ---- network ---- */

static json_t *host_ports(const struct pod *p) {
        json_t *list = json_array();
        const json_t *port;
        size_t k;

        for (size_t i = 0; i < p->count; i++) {
                if (p->records[i].init && !p->records[i].sidecar)
                        continue;
                json_array_foreach (json_at(container_spec(p->containers[i]), "ports"), k, port)
                        if (json_int_or(port, "hostPort", 0) > 0)
                                json_array_append_new(list, json_ref(port));
        }
        return list;
}

static bool has_loopback_port(const json_t *ports) {
        const json_t *v;
        size_t i;

        json_array_foreach (ports, i, v)
                if (startswith(json_str_or(v, "hostIP", ""), "127."))
                        return true;
        return false;
}

/* The pod waits, and is looked at again after this time. Returns 0 for the caller to return. */
static int not_now(struct pod *p, const char *reason, const char *message, uint64_t again_us) {
        pod_wait_all(p, reason, message);
        pod_wake_at(p, now_mono_us() + again_us);
        return 0;
}

/* Whether its containers wait with this message already. */
static bool waits_for(const struct pod *p, const char *message) {
        for (size_t i = 0; i < p->count; i++)
                if (p->records[i].phase == CONTAINER_WAITING &&
                                streq_ptr(p->records[i].message, message))
                        return true;
        return false;
}

/* The sysctls of the pod's network namespace. 1 when they are set. */
static int set_sysctls(struct pod *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->object, "spec.securityContext.sysctls"), i, v) {
                const char *name = json_str_or(v, "name", ""), *value = json_str_or(v, "value", "");
                _cleanup_free_ char *text = NULL;
                int r;

                if (!startswith(name, "net.") && !startswith(name, "net/"))
                        continue; /* the plan warns of it */
                r = network_pod_sysctl(p->uid, name, value);
                if (r >= 0)
                        continue;
                text = strformat("spec.securityContext.sysctls: %.100s cannot be set to '%.100s': "
                                 "%s",
                                name, value, strerror(-r));
                pod_event(p, "Warning", "SysctlForbidden", "%s", strempty(text));
                return not_now(p, "SysctlForbidden", text, 6 * RETRY_US);
        }
        return 1;
}

static int read_and_limit(struct pod *p, struct problem *problem) {
        struct bandwidth bandwidth;
        int r = bandwidth_read(p->object, &bandwidth, problem);

        if (r < 0)
                return r;
        r = network_pod_limit(p->pods->agent->network, p->uid, &bandwidth);
        return r < 0 ? problem_set(problem, -r, 0, NULL,
                                       "the pod's bandwidth cannot be limited (tc, qdisc tbf): %s",
                                       strerror(-r))
                     : r;
}

/* The annotations about bandwidth. 1 when they are met. */
static int limit_bandwidth(struct pod *p) {
        _cleanup_problem_ struct problem problem = {0};
        int r = read_and_limit(p, &problem);

        if (r >= 0)
                return 1;
        if (!waits_for(p, problem.message))
                pod_event(p, "Warning", "FailedCreatePodSandBox", "%s", strempty(problem.message));
        return not_now(p, "ContainerCreating", problem.message, 6 * RETRY_US);
}

/* Takes an address; it is on disk before it is used. 1 when the pod has one. */
static int ensure_address(struct pod *p) {
        struct pod_sandbox *s = &p->sandbox;

        if (*s->ip)
                return 1;
        if (ipam_take(p->pods->agent->ipam, s->ip) < 0)
                return not_now(p, "ContainerCreating", "every pod address of this node is in use",
                                RETRY_US);
        set_second(p);
        pod_report(p);
        return 1;
}

static void open_host_ports(struct pod *p) {
        const char *const addresses[FAMILIES] = {
                        sandbox_address(p, FAMILY_IPV4), sandbox_address(p, FAMILY_IPV6)};
        struct agent *a = p->pods->agent;
        _cleanup_json_ json_t *ports = host_ports(p);
        int r;

        nft_local_pod(a->nft, p->uid, addresses, ports);
        dns_pod(a->dns, p->uid, object_namespace(p->object), addresses);
        if (!has_loopback_port(ports))
                return;
        r = network_pod_allow_loopback(p->uid);
        if (r < 0)
                pod_event(p, "Warning", "FailedHostPort",
                                "hostPort.hostIP: 127.0.0.1 cannot lead to the pod: %s",
                                strerror(-r));
}

/* Nothing may reach the pod, nor it anything, before the rules of its policies are there. 1 when
 * they are; the pod is woken then. */
static int ensure_rules(struct pod *p) {
        const char *const addresses[FAMILIES] = {
                        sandbox_address(p, FAMILY_IPV4), sandbox_address(p, FAMILY_IPV6)};
        struct policies *policies = p->pods->agent->policies;

        if (policies_pod(policies, p->object, addresses, pod_has_started(p)))
                return 1;
        if (policies_is_loaded(policies)) {
                pod_wake_at(p, now_mono_us() + RETRY_US);
                return 0;
        }
        return not_now(p, "ContainerCreating",
                        "the node does not have the cluster's network policies yet", RETRY_US);
}

static int bring_up(struct pod *p) {
        const char *const addresses[FAMILIES] = {
                        sandbox_address(p, FAMILY_IPV4), sandbox_address(p, FAMILY_IPV6)};

        return network_pod_up(p->pods->agent->network, p->uid, addresses);
}

/* 1 when the pod has its network. */
static int ensure_network(struct pod *p) {
        struct agent *a = p->pods->agent;
        struct pod_sandbox *s = &p->sandbox;
        _cleanup_free_ char *text = NULL;
        int r;

        if (pod_is_host_network(p)) {
                snprintf(s->ip, sizeof(s->ip), "%s", a->node_ip);
                snprintf(s->ip6, sizeof(s->ip6), "%s", a->node_ip6);
                return 1;
        }
        if (s->ready)
                return 1;
        if (!a->ipam || !a->network) {
                /* Every pod is woken when the range is known. */
                pod_wait_all(p, "ContainerCreating",
                                "the node has no pod address range yet (spec.podCIDR)");
                return 0;
        }
        if (!ensure_address(p))
                return 0;
        if (!ensure_rules(p))
                return 0;
        /* Does nothing where all is there; repairs what was removed manually. */
        r = bring_up(p);
        if (r < 0) {
                text = strformat("cannot set up the pod's network: %s", strerror(-r));
                pod_event(p, "Warning", "FailedCreatePodSandBox", "%s", strempty(text));
                return not_now(p, "ContainerCreating", text, RETRY_US);
        }
        if (!limit_bandwidth(p) || !set_sysctls(p))
                return 0;
        if (a->nft)
                open_host_ports(p);
        return 1;
}

static bool is_link_repaired(const struct pod *p) {
        _cleanup_free_ char *what = strformat("the link of pod %s/%s was removed",
                        object_namespace(p->object), object_name(p->object));

        return what &&
               host_drift_found(p->pods->agent->drift, DRIFT_NETWORK, what, /* ret_news= */ NULL);
}

void sandbox_mend_network(struct pod *p) {
        struct agent *a = p->pods->agent;

        if (!p->sandbox.ready || p->memory.stage >= POD_CLEANING || pod_is_host_network(p) ||
                        !*p->sandbox.ip || !a->ipam || !a->network)
                return;
        if (network_pod_lost_link(p->uid) && !is_link_repaired(p))
                return;
        if (bring_up(p) < 0)
                return;
        (void)set_sysctls(p);
        if (a->nft)
                open_host_ports(p);
}

void sandbox_doubt(struct pod *p) {
        if (!p->sandbox.ready || p->memory.stage != POD_ALIVE)
                return;
        sandbox_mend_network(p);
        sandbox_drop_plan(p);
}

/* ---- the plan ---- */

/* Warns of requests that cannot be met at present; pod_warn_no_effect() names the fields that
 * never have an effect. */
static void warn_once(struct pod *p) {
        const struct dns *dns = p->pods->agent->dns;
        const json_t *v;
        size_t i;

        if (p->sandbox.warned)
                return;
        json_array_foreach (json_at(p->sandbox.plan, "warnings"), i, v) {
                const char *text = json_string_value(v);

                pod_event(p, "Warning",
                                startswith(text, "spec.") ? "FieldWithoutEffect"
                                                          : "DNSConfigForming",
                                "%s", text);
        }
        if (pod_wants_cluster_dns(p->object) && dns_trouble(dns))
                pod_event(p, "Warning", "MissingClusterDNS",
                                "The cluster's names cannot be offered: %s. Falling back to the "
                                "policy \"Default\"",
                                dns_trouble(dns));
        p->sandbox.warned = true;
}

static bool is_for_one_pod(const json_t *volume) {
        const json_t *modes = json_at(volume, "spec.accessModes");

        return json_array_size(modes) == 1 &&
               streq_ptr(json_string_value(json_array_get(modes, 0)), "ReadWriteOncePod");
}

/* A pod that has not started yet waits for another one that has such a volume. */
static int check_only_user(const struct pod *p, struct problem *problem) {
        const char *name;
        json_t *volume;

        if (p->sandbox.ready || pod_has_started(p))
                return 0;
        json_object_each (json_object_get(p->sandbox.resources, "volumes"), name, volume) {
                const struct pod *other =
                                is_for_one_pod(volume) ? pods_holder_of(p->pods, name) : NULL;

                if (other && other != p)
                        return problem_set(problem, EAGAIN, 0, "ContainerCreating",
                                        "volume %s has the access mode ReadWriteOncePod, and pod "
                                        "%s/%s has it",
                                        name, object_namespace(other->object),
                                        object_name(other->object));
        }
        return 0;
}

/* The images of its containers, as the plan takes them: decided before (decide-image.c). */
static int all_images(const struct pod *p, json_t **ret, struct problem *problem) {
        _cleanup_json_ json_t *images = json_object();

        if (!images)
                return -ENOMEM;
        for (size_t i = 0; i < p->count; i++) {
                const struct container *c = p->containers[i];

                if (!c->image.used && c->record->ephemeral)
                        continue;
                if (!c->image.used)
                        return problem_set(problem, EAGAIN, 0, "ContainerCreating",
                                        "the image of container %s is not decided yet",
                                        c->record->name);
                if (json_object_set(images, c->record->name, c->image.used) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(images);
        return 0;
}

/* 1 with the plan; 0: problem says for what the pod waits. */
static int make_plan(struct pod *p, json_t **ret, struct problem *problem) {
        struct agent *a = p->pods->agent;
        const char *ns = object_namespace(p->object);
        _cleanup_free_ char *hosts = NULL, *resolv = NULL;
        _cleanup_json_ json_t *images = NULL, *plan = NULL, *granted = pod_allocated_object(p);
        struct pod_facts facts = {.node_name = a->config.node_name,
                        .node_ip = a->node_ip,
                        .pod_ip = p->sandbox.ip,
                        .node_ip6 = a->node_ip6,
                        .pod_ip6 = p->sandbox.ip6,
                        .netns_path = pod_is_host_network(p) ? NULL : p->netns,
                        .disk_dir = p->disk_dir,
                        .run_dir = p->run_dir,
                        .secret_dir = p->secret_dir,
                        .terminal_dir = AGENT_TERMINAL_DIR,
                        .etc_dir = etc_view_dir(a->etc_view),
                        .proc_dir = a->has_proc_view ? AGENT_PROC_DIR : NULL,
                        .exec_program = a->machine.exec_program,
                        .resolv_conf = a->machine.resolv_conf,
                        .cluster_dns = dns_address(a->dns),
                        .cluster_domain = a->config.cluster_domain,
                        .cpu_milli = a->machine.cpu_milli,
                        .memory_bytes = a->machine.memory_bytes,
                        .no_user_namespaces = a->machine.no_user_namespaces};
        size_t n;
        int r;

        if (a->nft) {
                facts.services = nft_services_in(a->nft, ns);
                facts.api_service =
                                json_object_get(nft_services_in(a->nft, "default"), "kubernetes");
        }
        (void)file_read("/etc/hosts", HOST_FILE_MAX, &hosts, &n);
        (void)file_read(a->machine.resolv_conf ? a->machine.resolv_conf : "/etc/resolv.conf",
                        HOST_FILE_MAX, &resolv, &n);
        facts.host_hosts = hosts;
        facts.host_resolv = resolv;
        facts.node = a->node ? node_object(a->node) : NULL;
        r = all_images(p, &images, problem);
        if (r < 0)
                return r;
        facts.images = images;
        r = granted ? 0 : -ENOMEM;
        if (r < 0)
                return r;
        r = terminals_mount(AGENT_TERMINAL_DIR);
        if (r < 0)
                return problem_set(problem, -r, 0, "ContainerCreating",
                                "the file system for the terminals of pods (devpts) cannot be "
                                "mounted at %s: %s",
                                AGENT_TERMINAL_DIR, strerror(-r));
        facts.user_try = pod_choose_user(p);
        r = pod_to_units(granted, p->sandbox.resources, &facts, &plan, problem);
        if (r < 0)
                return r;
        pod_note_user(p, plan);
        r = check_only_user(p, problem);
        if (r < 0)
                return r;
        r = shares_prepare(p, plan, problem);
        if (r <= 0)
                return r;
        r = portables_prepare(p, problem);
        if (r <= 0)
                return r;
        r = volumes_make(json_at(plan, "volumes"), problem);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(plan);
        return 1;
}

/* The event's reason for a container's waiting reason. */
static const char *plan_event(const char *reason) {
        /* A volume is not there yet. */
        return streq(reason, "ContainerCreating") ? "FailedMount" : "Failed";
}

/* Before the first of them starts: systemd cannot hide a file of the user database (/etc/shadow)
 * from a unit in the moment in which it is replaced. What fails is reported at the container's
 * start. */
static void make_users(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                _cleanup_problem_ struct problem problem = {0};
                const json_t *unit = container_plan(p->containers[i]);

                if (unit)
                        (void)users_ensure(unit, &problem);
        }
}

int sandbox_ensure_plan(struct pod *p) {
        struct pod_sandbox *s = &p->sandbox;
        _cleanup_problem_ struct problem problem = {0};
        int r;

        if (s->plan)
                return 1;
        r = make_plan(p, &s->plan, &problem);
        if (r == 0)
                return not_now(p, strempty(problem.reason), strempty(problem.message), RETRY_US);
        if (r < 0) {
                const char *reason = problem.reason ? problem.reason : "CreateContainerConfigError";
                const char *message = problem.message ? problem.message : strerror(-r);

                if (!waits_for(p, message))
                        pod_event(p, "Warning", plan_event(reason), "%s", message);
                s->fetch_us = MIN(s->fetch_us, now_mono_us() + RETRY_US);
                return not_now(p, reason, message, 2 * RETRY_US);
        }
        warn_once(p);
        watch_objects(p);
        pod_wait_over(p);
        s->ready = true;
        r = runtime_prepare(p->pods->agent->runtime, s->plan);
        if (r < 0)
                object_log(LOG_WARNING, r, p->object, "Pod",
                                "Cannot prepare the sandbox of pod %s/%s",
                                object_namespace(p->object), object_name(p->object));
        assert(s->plan && s->ready);
        make_users(p);
        return 1;
}

int sandbox_prepare(struct pod *p) {
        if (!ensure_network(p))
                return 0;
        return sandbox_ensure_plan(p);
}

/* ---- the end ---- */

static void remove_network(struct pod *p) {
        static const char *const none[FAMILIES] = {"", ""};
        struct agent *a = p->pods->agent;
        int r;

        if (a->nft)
                nft_local_pod(a->nft, p->uid, none, NULL);
        if (a->dns)
                dns_pod(a->dns, p->uid, object_namespace(p->object), none);
        if (pod_is_host_network(p) || !a->network)
                return;
        policies_pod_gone(a->policies, p->uid);
        r = network_pod_down(a->network, p->uid);
        if (r < 0)
                object_log(LOG_WARNING, r, p->object, "Pod",
                                "Cannot remove the network of pod %s/%s",
                                object_namespace(p->object), object_name(p->object));
        if (a->ipam && *p->sandbox.ip)
                ipam_release(a->ipam, p->sandbox.ip);
}

void sandbox_clean(struct pod *p) {
        _cleanup_free_ const char **names = calloc(MAX(p->count, (size_t)1), sizeof(*names));
        int r;

        assert(names);
        for (size_t i = 0; i < p->count; i++)
                names[i] = p->records[i].name;
        pod_release_units(p);
        portables_leave(p->pods->agent->portables, p->uid);
        runtime_remove(p->pods->agent->runtime, p->uid, p->sandbox_name, names, p->count);
        remove_network(p);
        pod_shares_done(p);
        r = volumes_remove(p->pods->agent->trash, p->disk_dir, p->run_dir, p->secret_dir);
        if (r < 0)
                object_log(LOG_WARNING, r, p->object, "Pod",
                                "Cannot remove the volumes of pod %s/%s",
                                object_namespace(p->object), object_name(p->object));
}
