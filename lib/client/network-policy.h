/* NetworkPolicies as the controller of PeerSlices and the agents read them alike: what a policy
 * restricts, which pods a peer of a rule selects, which named ports a pod has. Pure. */
#pragma once

#include "lib/json.h"

enum policy_direction { POLICY_INGRESS, POLICY_EGRESS, POLICY_DIRECTIONS };

/* Whether the policy isolates its pods in the direction (spec.policyTypes, or what its absence
 * means). */
bool network_policy_isolates(const json_t *policy, enum policy_direction d);
/* The rules of a direction, and the peers of such a rule; NULL: none are given. Borrowed. */
const json_t *network_policy_rules(const json_t *policy, enum policy_direction d);
const json_t *network_policy_peers(const json_t *rule, enum policy_direction d);

/* The selectors of a peer, or of a PeerSlice, in one form: {"podSelector": {...}} for pods of the
 * policy's namespace, and "namespaceSelector" for those of others. A new object; NULL: the peer is
 * an ipBlock, or memory is short. */
json_t *peer_selector(const json_t *v) _warn_unused_;
/* Whether it selects all pods of all namespaces. */
bool peer_is_every_pod(const json_t *selector);
/* The same text for the same selector. Caller frees; NULL when out of memory. */
char *peer_selector_text(const json_t *selector) _warn_unused_;
/* Whether a LabelSelector matches labels (NULL: none). One that cannot be read matches nothing. */
bool label_selector_json_matches(const json_t *selector, const json_t *labels);

/* The named ports of a pod: a new array of {"name", "protocol", "port"}; NULL when out of memory.
 */
json_t *pod_named_ports(const json_t *pod) _warn_unused_;
/* The addresses of a pod: a new array of texts, from status.podIPs or status.podIP. */
json_t *pod_addresses(const json_t *pod) _warn_unused_;
