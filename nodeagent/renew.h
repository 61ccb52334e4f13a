/* The node's client certificate is renewed through the API when two thirds of its life are over. */
#pragma once

#include "nodeagent/agent.h"

struct renew;
/* Looks at cert.pem and key.pem beside the kubeconfig; without them there is nothing to renew. */
int renew_new(struct renew **ret, struct agent *agent);
struct renew *renew_free(struct renew *r);
DEFINE_CLEANUP(struct renew *, renew_free);
/* Whether a certificate of this life should be renewed now. Pure. */
bool renew_is_due(uint64_t not_before_s, uint64_t not_after_s, uint64_t now_s);
