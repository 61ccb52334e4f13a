/* Shared by the parts of the agent: one struct, made in main() and borrowed by all. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/api.h"
#include "lib/daemon.h"
#include "lib/map.h"
#include "nodeagent/figures.h"
#include "nodeagent/machine.h"
#include "nodeagent/network/ipam.h"
#include "nodeagent/network/network.h"
#include "nodeagent/network/nft.h"
#include "nodeagent/runtime/systemd.h"
#include "nodeagent/statedir.h"

struct pods;
struct watches;
struct node;
struct renew;
struct unit_watch;
struct log_sockets;
struct local_volumes;
struct service_health;
struct services_keeper;
struct load_balancer;
struct shares;
struct portables;
struct host_drift;
struct trash;
struct trim;
struct measure;
struct policies;
struct policy_watch;
struct dns;
struct image_store;
struct image_pulls;
struct image_care;
struct eviction;
struct shutdown;
struct object_watches;
struct node_api;
struct stream_server;

struct agent_config {
        char *node_name;
        char *node_ip;
        char *kubeconfig;
        char *data_dir;
        char *service_cidr, *cluster_cidr; /* one of each family at most (lib/cidr.h) */
        char *cluster_dns;
        char **dns_upstreams;
        char **dns_stubs;
        char *cluster_domain;
        char *pod_cidr;
        uint32_t pods_max;
        char *manifest_dir;
        char *health_address;
        char *drift;
        char *log_level;
        uint64_t status_frequency_us;
        char *eviction_hard, *eviction_soft, *eviction_soft_grace, *eviction_reclaim;
        uint64_t eviction_transition_us, eviction_pod_grace_us;
        uint64_t shutdown_us, shutdown_critical_us;
};

struct agent {
        struct agent_config config;
        struct daemon *daemon;
        struct agent_figures figures;
        sd_event *event;
        struct api_client *api;  /* NULL: standalone */
        struct runtime *runtime; /* of the pods */
        struct units *units;     /* systemd, for units of no pod; borrowed from the runtime */
        struct log_sockets *log_sockets;
        struct network *network;
        struct network_watch *network_watch;
        struct ipam *ipam; /* NULL until the node's pod range is known */
        struct statedir *statedir;
        struct trash *trash; /* of pods that have ended */
        struct trim *trim;
        struct nft *nft;
        struct policies *policies;
        struct policy_watch *policy_watch;
        struct dns *dns; /* the node's name server */
        struct service_health *service_health;
        struct services_keeper *services; /* the disk's copy of nft's table of services */
        struct shares *shares;            /* NFS */
        struct host_drift *drift;
        struct portables *portables; /* images of portable services */
        struct image_store *images;
        struct image_pulls *pulls;
        struct image_care *image_care;
        struct pods *pods;
        struct watches *watches;
        struct local_volumes *local_volumes;
        struct load_balancer *load_balancer;
        struct node *node;
        struct renew *renew;
        struct measure *measure;
        struct object_watches *object_watches; /* NULL without an API */
        struct eviction *eviction;
        struct shutdown *shutdown;
        struct stream_server *stream_server;
        struct node_api *node_api; /* for /api/v1/nodes/NAME/proxy */
        struct unit_watch *unit_watch;
        struct etc_view *etc_view;
        bool has_proc_view; /* at AGENT_PROC_DIR */
        struct machine_facts machine;
        struct cidrs cluster_ranges, service_ranges; /* of the configuration */
        /* Of IPv4, or of IPv6 where the cluster has only that. */
        char node_ip[ADDRESS_TEXT_SIZE];
        char node_ip6[ADDRESS_TEXT_SIZE]; /* a second one, of IPv6; "": none */
};

#define AGENT_RUN_DIR "/run/keelson/nodeagent"
#define AGENT_SECRET_DIR "/run/keelson/nodeagent/secrets"
#define AGENT_TERMINAL_DIR "/run/keelson/nodeagent/terminals"
#define AGENT_ETC_DIR "/run/keelson/nodeagent/etc"           /* etc-view.h */
/* Another list of hidden paths: another number, and another AGENT_ETC_DIR, which stays mounted. */
#define AGENT_ETC_MASK "/run/keelson/nodeagent/etc-hidden-1"
#define AGENT_PROC_DIR "/run/keelson/nodeagent/proc"         /* proc-view.h */
#define AGENT_ETC_BASE "/run/keelson/nodeagent/etc-points"

/* Makes all parts from a->config; a is zero otherwise. The caller ends it with agent_done(), also
 * after an error. -errno, with p where the user must change something. */
int agent_start(struct agent *a, struct problem *p);
/* Frees all parts but the configuration. Pods keep running: this stops no unit. */
void agent_done(struct agent *a);
/* An error that the agent cannot recover from: logs `what` and exits the loop with code 1, so that
 * systemd restarts the agent. */
void agent_fail(struct agent *a, int error, const char *what);
/* The node's pod range ("10.244.3.0/24", or with one of IPv6 after a comma) has become known or is
 * confirmed. The first one is kept until the agent ends, but a range of IPv6 may be added; errors
 * are logged. */
void agent_set_pod_cidr(struct agent *a, const char *cidr);
/* Looks for the machine's address of IPv6 where the cluster has such pods and none is known yet:
 * the link may get it later. */
void agent_find_second_ip(struct agent *a);
/* Whether the cluster's pods and services have addresses of IPv6 only. */
bool agent_is_ipv6_only(const struct agent *a);
/* The node's address of the family; "": none. */
const char *agent_node_ip(const struct agent *a, enum ip_family family);
