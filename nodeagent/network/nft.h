/* The driver of the nftables table `inet keelson`: keeps the state of services, applies each change
 * as one transaction, and restores the table when another program changed it. Transactions run on a
 * thread, and their text is built in pieces of bounded size: the loop is never blocked, whatever
 * the number of services. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/cidr.h"
#include "lib/client/kinds.h"
#include "lib/json.h"
#include "lib/map.h"
#include "nodeagent/network/nft-figures.h"
#include "nodeagent/network/service-table.h"

struct nft;

struct nft_options {
        const char *node_name;
        const char *node_ip[FAMILIES];          /* "": none of the family */
        const struct cidrs *cluster, *services; /* the ranges of pods and services */
        /* The address of the node's own name server, which no rule leads elsewhere; NULL: none. */
        const char *dns_address;
        /* The table no longer lists (or lists again) some pod. */
        void (*on_changed)(void *userdata);
        /* Another program has changed the table. Returns whether it is to be restored; NULL:
         * it is. */
        bool (*on_foreign)(const char *table, void *userdata);
        void *userdata;
        struct nft_figures figures;
};

/* Copies the texts and ranges of the options. A negative errno when nftables or the thread cannot
 * be used. */
int nft_new(struct nft **ret, sd_event *event, const struct nft_options *options);
struct nft *nft_free(struct nft *n);
DEFINE_CLEANUP(struct nft *, nft_free);
/* A Service or EndpointSlice was created, changed or deleted (gone). Applied after this turn of the
 * loop. 1; 0 when this version is known already. */
int nft_service(struct nft *n, const json_t *service, bool gone);
int nft_slice(struct nft *n, const json_t *slice, bool gone);
/* Addresses that no service may claim from outside: of nodes and of the API (keys; values are not
 * used). api: "address:port" of the API server in the kubeconfig, or NULL. */
void nft_reserve(struct nft *n, const struct map *addresses, const char *api);
/* A pod of this node: its host ports, and its way back to itself through a service. No address
 * ({"", ""}) removes. ports: array of {hostPort, hostIP, containerPort, protocol}. */
void nft_local_pod(struct nft *n, const char *uid, const char *const addresses[FAMILIES],
                const json_t *ports);
/* Whether any EndpointSlice in the kernel's table has this pod as a ready endpoint. */
bool nft_serves_pod(struct nft *n, const char *uid);
/* {name: service} of a namespace; NULL: none. Borrowed until the next event. */
const json_t *nft_services_in(const struct nft *n, const char *ns);
/* The services and slices themselves, to look up and to observe. Borrowed; nothing but the
 * functions here may change them. */
struct service_table *nft_table(struct nft *n);
/* The zone of this node, of its label topology.kubernetes.io/zone; "": none. */
void nft_set_zone(struct nft *n, const char *zone);
/* Compares the whole table with the kernel's and writes what differs (at start, and after manual
 * changes). */
void nft_reload(struct nft *n);
/* Whether the kernel has our table already: an earlier agent's, newer than anything on disk. Only
 * before the first nft_reload(). */
bool nft_table_is_there(struct nft *n);
/* Whether the table was loaded by this agent, or is being loaded. */
bool nft_is_loaded(const struct nft *n);
/* All services and slices, for the disk: new references in a new array, services first. */
json_t *nft_objects(const struct nft *n) _warn_unused_;
/* Forgets every service (KIND_SERVICES) and slice (KIND_ENDPOINTSLICES) that is not known. */
void nft_keep_only(struct nft *n,
                bool (*is_known)(enum kind_id kind, const char *key, void *userdata),
                void *userdata);
