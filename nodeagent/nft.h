/* The driver of the nftables table `inet keelson`: keeps the services' state, applies each change
 * as one transaction, and puts the table back when somebody else changed it. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/json.h"

struct nft;

struct nft_options {
        const char *node_name;
        const char *node_ip;
        const char *cluster_cidr;
        /* The table no longer lists (or lists again) some pod. */
        void (*on_changed)(void *userdata);
        void *userdata;
};

int nft_new(struct nft **ret, sd_event *event, const struct nft_options *options);
struct nft *nft_free(struct nft *n);
DEFINE_CLEANUP(struct nft *, nft_free);
/* A Service or EndpointSlice appeared, changed or (gone) went away. Applied in one transaction at
 * the end of this turn. */
void nft_service(struct nft *n, const json_t *service, bool gone);
void nft_slice(struct nft *n, const json_t *slice, bool gone);
/* A pod of this node: its host ports, and its way back to itself through a service. pod_ip ""
 * removes. ports: array of {hostPort, containerPort, protocol}. */
void nft_local_pod(struct nft *n, const char *uid, const char *pod_ip, const json_t *ports);
/* Whether any EndpointSlice has this pod as a ready endpoint, as far as the kernel's table goes. */
bool nft_serves_pod(struct nft *n, const char *uid);
/* Loads the whole table (start, and after changes by hand). */
void nft_reload(struct nft *n);
/* Whether the kernel has our table already: an earlier agent's, newer than anything on disk. */
bool nft_table_is_there(struct nft *n);
/* Whether the table was loaded by this agent. */
bool nft_is_loaded(const struct nft *n);
/* {"services": [...], "slices": [...]} for the disk; returns a new reference. */
json_t *nft_save(const struct nft *n);
/* Forgets every service and slice for which the function says no. */
void nft_keep_only(struct nft *n,
                bool (*is_known)(const char *kind, const char *key, void *userdata),
                void *userdata);
