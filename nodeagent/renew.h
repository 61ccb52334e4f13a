/* Renews the node's client certificate through the API after two thirds of its lifetime. */
#pragma once

#include "nodeagent/agent.h"

struct renew;

/* Checks cert.pem beside the kubeconfig a minute after the start and then every hour; without a
 * certificate there is nothing to renew. Borrows agent. -ENOMEM or an errno of sd-event. */
int renew_new(struct renew **ret, struct agent *agent);
struct renew *renew_free(struct renew *r);
DEFINE_CLEANUP(struct renew *, renew_free);
/* Whether a certificate with this lifetime is due for renewal. Seconds since 1970. Pure. */
bool renew_is_due(uint64_t not_before_s, uint64_t not_after_s, uint64_t now_s);
