/* Shared by the parts of the agent: one struct, made in main() and borrowed by all. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/api.h"
#include "lib/daemon.h"
#include "lib/map.h"
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
struct load_balancer;
struct shares;
struct trash;
struct measure;

struct agent_config {
        char *node_name;
        char *node_ip;
        char *kubeconfig;
        char *data_dir;
        char *service_cidr;
        char *cluster_cidr;
        char *cluster_dns;
        char *cluster_domain;
        char *pod_cidr;
        char *manifest_dir;
        char *health_address;
        char *log_level;
        uint64_t status_frequency_us;
};

struct agent {
        struct agent_config config;
        struct daemon *daemon;
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
        struct nft *nft;
        struct shares *shares; /* NFS */
        struct pods *pods;
        struct watches *watches;
        struct local_volumes *local_volumes;
        struct load_balancer *load_balancer;
        struct node *node;
        struct renew *renew;
        struct measure *measure;
        struct unit_watch *unit_watch;
        struct machine_facts machine;
        char node_ip[16];
};

#define AGENT_RUN_DIR "/run/keelson/nodeagent"
#define AGENT_SECRET_DIR "/run/keelson/nodeagent/secrets"

/* Makes all parts from a->config; a is zero otherwise. The caller ends it with agent_done(), also
 * after an error. -errno, with p where the user must change something. */
int agent_start(struct agent *a, struct problem *p);
/* Frees all parts but the configuration. Pods keep running: this stops no unit. */
void agent_done(struct agent *a);
/* An error that the agent cannot recover from: logs `what` and exits the loop with code 1, so that
 * systemd restarts the agent. */
void agent_fail(struct agent *a, int error, const char *what);
/* The node's pod range ("10.244.3.0/24") has become known or is confirmed. The first one is kept
 * until the agent ends; errors are logged. */
void agent_set_pod_cidr(struct agent *a, const char *cidr);
