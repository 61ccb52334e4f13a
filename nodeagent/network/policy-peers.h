/* The peers of policies in the table: PeerSlices -> the elements of sets. A group is all slices of
 * one selector in one namespace, "namespace/selector" (policy-rules.h); its elements are in the
 * table while a policy uses it. Pure. */
#pragma once

#include "lib/map.h"
#include "nodeagent/network/policy-nft.h"
#include "nodeagent/network/policy-rules.h"

struct policy_peers;

/* Borrows the table; *steps counts the elements that are touched. */
struct policy_peers *policy_peers_new(struct policy_nft *nft, uint64_t *steps) _warn_unused_;
struct policy_peers *policy_peers_free(struct policy_peers *p);
DEFINE_CLEANUP(struct policy_peers *, policy_peers_free);
/* As policy_table_set_slice() and policy_table_drop_slice(). */
int policy_peers_set(struct policy_peers *p, const json_t *slice);
int policy_peers_drop(struct policy_peers *p, const char *key);
/* A policy uses the group, or no longer. */
void policy_peers_use(struct policy_peers *p, const char *group);
void policy_peers_unuse(struct policy_peers *p, const char *group);
/* ... and the ports of that name of its peers. Only while it uses the group. */
void policy_peers_use_port(struct policy_peers *p, const char *group, const char *port);
void policy_peers_unuse_port(struct policy_peers *p, const char *group, const char *port);
/* The namespaces of the groups in use (keys; values are not used). Borrowed. */
const struct map *policy_peers_namespaces(const struct policy_peers *p);
/* All slices by key (json_t *). Borrowed. */
const struct map *policy_peers_slices(const struct policy_peers *p);

/* Adds (or removes) the elements of the set for the ports of that name: "ADDRESS . tcp . 80". */
void policy_port_elements(struct policy_nft *nft, bool add, const char *set, const char *address,
                const json_t *ports, const char *name);
/* A set of such elements. family: 4 or 6. */
void policy_declare_ports(struct policy_nft *nft, const char *set, int family);
