/* Whether a pod that this node sees for the first time may start here. Pure. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* A pod whose spec.nodeName was written past the scheduler does not get onto a control plane's
 * machine: its node-role.kubernetes.io/control-plane taint must be tolerated. Nor does one start
 * that is for another operating system. taints: the Node's spec.taints, or NULL. pressures: what
 * the node is low on, bits by enum node_pressure: low on memory it takes no BestEffort pods but
 * those that tolerate it, low on anything else only critical ones. shutting_down: it takes none.
 * -EPERM with p: reason and message as a kubelet's admission gives them. */
int pod_admit(const json_t *pod, const json_t *taints, unsigned pressures, bool shutting_down,
                struct problem *p);
