/* Renews the node's client certificate through the API after two thirds of its lifetime. */
#pragma once

#include "nodeagent/agent.h"

struct renew;

/* Checks cert.pem beside the kubeconfig a minute after the start and then every hour; without a
 * certificate there is nothing to renew. Borrows agent. -ENOMEM or an errno of sd-event. */
int renew_new(struct renew **ret, struct agent *agent);
struct renew *renew_free(struct renew *r);
DEFINE_CLEANUP(struct renew *, renew_free);
