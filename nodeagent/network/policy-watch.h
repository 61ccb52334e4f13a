/* Brings NetworkPolicies and PeerSlices to the driver (policy.h): all policies, and the PeerSlices
 * of the namespaces whose policies select peers for a pod of this node. What it has seen is kept on
 * disk for a start without the control plane. */
#pragma once

#include "nodeagent/agent.h"

struct policy_watch;

/* What the disk remembers goes to the agent's policies. Whether there was something to read, even
 * if it was empty. */
bool policy_watch_load(struct agent *a);
/* Borrows agent, whose api and policies must be there. A negative errno. */
int policy_watch_new(struct policy_watch **ret, struct agent *a);
struct policy_watch *policy_watch_free(struct policy_watch *w);
DEFINE_CLEANUP(struct policy_watch *, policy_watch_free);
/* Whether the first list of the policies is in. */
bool policy_watch_is_synced(const struct policy_watch *w);
