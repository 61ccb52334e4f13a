/* The driver of the nftables table `inet keelson-policy`: keeps it as policy-table.h says, one
 * transaction after the other, restores it when another program changed it, and says when the rules
 * of a pod are in the kernel. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/cidr.h"
#include "nodeagent/network/nft-figures.h"
#include "nodeagent/network/policy-table.h"

struct policies;

struct policies_options {
        const struct cidrs *cluster; /* the ranges of pods */
        /* The rules of the pod are in the kernel, after policies_pod() said that they are not. */
        void (*on_ready)(const char *uid, void *userdata);
        /* Another program has changed the table. Returns whether it is to be restored. */
        bool (*on_foreign)(const char *table, void *userdata);
        void *userdata;
        struct nft_figures figures;
};

/* Copies the options' texts. A negative errno when nftables or the thread cannot be used. */
int policies_new(struct policies **ret, sd_event *event, const struct policies_options *options);
struct policies *policies_free(struct policies *p);
DEFINE_CLEANUP(struct policies *, policies_free);
/* Called once after each time that the table's contents were brought up to date (the watches follow
 * policy_table_peer_namespaces()); NULL: nobody. */
void policies_on_settled(struct policies *p, void (*func)(void *userdata), void *userdata);
/* Whether the kernel has the table of an earlier agent. It stays until policies_load(). */
bool policies_inherited(const struct policies *p);
/* Replaces the kernel's table by the wanted one, and keeps it so from now on. */
void policies_load(struct policies *p);
bool policies_is_loaded(const struct policies *p);
/* Whether the table's contents hold everything that was passed on so far. */
bool policies_is_settled(const struct policies *p);

/* As policy-table.h's; applied after this turn of the loop. gone: the object was deleted. 1; 0 when
 * nothing has changed. */
int policies_policy(struct policies *p, const json_t *policy, bool gone);
int policies_slice(struct policies *p, const json_t *slice, bool gone);
/* A pod of this node that is about to get the addresses ("": none of the family). Whether its rules
 * are in the kernel; it must not start before. running: its processes have started, and the table
 * of an earlier agent has its rules. */
bool policies_pod(struct policies *p, const json_t *pod, const char *const addresses[FAMILIES],
                bool running);
/* The nodes whose VXLAN packets are accepted: the values (addresses as text, char *) of
 * network_routes(); NULL: none. */
void policies_nodes(struct policies *p, const struct map *routes);
/* The pod's object has changed; nothing when it has no address here. */
void policies_pod_changed(struct policies *p, const json_t *pod);
void policies_pod_gone(struct policies *p, const char *uid);
/* Borrowed; read-only. */
const struct policy_table *policies_table(const struct policies *p);
