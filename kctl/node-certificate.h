/* The certificate of a node's agent: its key is made on its machine and stays there. */
#pragma once

#include "kctl/machine.h"

/* A request for the node's key, which is made there where there is none. The name is a node's
 * (RFC 1123): it goes into a command. Caller frees. */
int node_certificate_request(
                struct machine *m, const char *node, char **ret_csr, struct problem *p);
/* Has the API sign the request: checks that it is this node's and nothing else (an administrator's
 * approval is at stake), approves it and waits for the certificate. machine: its name in
 * messages. Caller frees. */
int node_certificate_sign(struct kctl *k, const char *machine, const char *node, const char *csr,
                char **ret_cert, struct problem *p);
