/* The certificates of the nodes' agents, over SSH: agents renew theirs themselves, but one that
 * could not for too long, or that does not know a new authority, has to be helped. */
#pragma once

#include "kctl/certs-seen.h"

struct nodes_wish {
        const char *bundle; /* authorities that they are to trust; NULL: what they trust stays */
        bool renew;         /* those that are due, expired or not signed by `signer` */
        const char *signer; /* NULL: whoever */
};

/* Does it on every node, several at a time, and says what was done; the certificates that were
 * found are added to `seen` unless it is NULL. *ret_failed counts the nodes that could not be
 * brought there; their reasons are printed. An error: none was tried. */
int nodes_converge(struct kctl *k, const struct nodes_wish *wish, struct certs_seen *seen,
                size_t *ret_failed, struct problem *p);
