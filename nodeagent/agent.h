/* What the parts of the agent share. One struct, made by main.c and borrowed by all. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/api.h"
#include "lib/daemon.h"
#include "lib/map.h"
#include "nodeagent/network/ipam.h"
#include "nodeagent/network/network.h"
#include "nodeagent/network/nft.h"
#include "nodeagent/store.h"
#include "nodeagent/runtime/systemd.h"

struct pods;
struct sync;
struct node;
struct renew;
struct log_sockets;

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
        sd_event_source *check; /* next comparison of live units */
        sd_event *event;
        struct api_client *api; /* NULL: standalone */
        struct runtime *runtime; /* of the pods */
        struct units *units;     /* systemd, for units that are no pod's; borrowed of the runtime */
        struct log_sockets *log_sockets;
        struct network *network;
        struct network_watch *network_watch;
        struct ipam *ipam; /* NULL until the node's pod range is known */
        struct store *store;
        struct nft *nft;
        struct pods *pods;
        struct sync *sync;
        struct node *node;
        struct renew *renew;
        char node_ip[16];
        int64_t cpu_milli; /* of the machine */
        int64_t memory_bytes;
        bool no_user_namespaces;
        char *exec_program; /* kpod-exec, beside our own program */
        char *resolv_conf;  /* NULL, or the file pods see as /etc/resolv.conf */
};

#define AGENT_RUN_DIR "/run/keelson/nodeagent"
#define AGENT_SECRET_DIR "/run/keelson/nodeagent/secrets"
/* A condition that ends the program, so that systemd starts it afresh. */
void agent_fail(struct agent *a, int error, const char *what);
/* The node's pod range has become known or is confirmed. */
void agent_set_pod_cidr(struct agent *a, const char *cidr);
