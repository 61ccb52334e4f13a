/* One direction of a NetworkPolicy -> rules of nftables, as pure text (docs/network-policy.md has
 * the table that they are for). Who the peers are and which ports have a name is in sets beside the
 * rules: a pod that comes or goes changes elements, and no rule. */
#pragma once

#include "lib/address.h"
#include "lib/buf.h"
#include "lib/client/network-policy.h"

struct policy_facts {
        const char *cluster_cidr[FAMILIES]; /* the addresses of all pods; NULL or "": not known, or
                                               none */
};

/* Names of things in the table hold a hash of what they stand for: "g4-0123456789abcdef01234567".
 */
enum { POLICY_NAME_SIZE = 48 };
/* The name of what `text` identifies. Returns buffer. */
const char *policy_name(const char *prefix, const char *text, char buffer[static POLICY_NAME_SIZE]);
/* The chain of a policy ("namespace/name"), readable where it fits. Caller frees. */
char *policy_chain_name(const char *key, enum policy_direction d) _warn_unused_;
/* The name of the set of the ports with a name ("http"): of this node's pods, or (egress) of the
 * peers of a group. family: 4 or 6. Caller frees; NULL when out of memory. */
char *policy_port_set(const char *port, int family) _warn_unused_;
char *policy_peer_port_set(const char *group, const char *port, int family) _warn_unused_;
/* Whether the text can be the name of a port (RFC 6335). */
bool policy_port_is_plain(const char *name);
/* The address ("10.0.0.1") in its usual form and its family, 4 or 6; 0: it is none. */
int policy_address(const char *text, char ret[static 46]);

/* The model of a direction, NULL when out of memory:
 * {"rules": [text],
 *  "groups": {"namespace/selector": [names of ports]}, of peers with a selector,
 *  "ports": [names of ports of this node's pods],
 *  "blocks": {set: ["10.0.0.0-10.0.0.255"]}}.
 * What cannot be read in a rule allows nothing. */
json_t *policy_model(const json_t *policy, enum policy_direction d,
                const struct policy_facts *facts) _warn_unused_;
