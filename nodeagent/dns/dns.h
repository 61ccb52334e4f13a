/* The node's name server: unbound as the unit DNS_UNIT, which answers on the cluster's DNS address
 * on this machine, and is fed with the records of services and pods. It keeps running, and
 * answering, while the agent is away. docs/dns.md */
#pragma once

#include "nodeagent/agent.h"

struct dns;

/* Reads the options of the agent and finds unbound. Without it, or with --cluster-dns=none, the
 * rest of this interface does nothing, and pods use the machine's name servers. Borrows agent.
 * -EINVAL with p; -ENOMEM. */
int dns_new(struct dns **ret, struct agent *agent, struct problem *p);
struct dns *dns_free(struct dns *d);
DEFINE_CLEANUP(struct dns *, dns_free);
/* The address that pods ask; NULL: none. */
const char *dns_address(const struct dns *d);
/* Why pods that want the cluster's names do not get them; NULL: they get them, or the
 * configuration says that they shall not. */
const char *dns_trouble(const struct dns *d);
/* A service or its slices changed; key: "namespace/name". */
void dns_service_changed(struct dns *d, const char *key);
/* A pod of this node has these addresses ("": none of the family, or none left). -ENOMEM is logged.
 */
void dns_pod(struct dns *d, const char *uid, const char *ns, const char *const addresses[FAMILIES]);
/* systemd's units are known: starts unbound when it does not run. */
void dns_units_listed(struct dns *d);
/* The pod range is known, or a minute is over: unbound is restarted if its configuration has
 * changed. */
void dns_check(struct dns *d);
