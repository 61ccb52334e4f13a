/* A kubeconfig with embedded credentials, as `kctl up` writes it, taken apart: to read or renew the
 * certificate in it. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

struct kubeconfig_parts {
        char *context;         /* the current one */
        char *server;          /* of its cluster */
        char *ca, *cert, *key; /* PEM; NULL where it has none embedded */
};
void kubeconfig_parts_done(struct kubeconfig_parts *parts);
/* -EINVAL with p when the text is not a kubeconfig or its current context is incomplete. */
int kubeconfig_take_apart(const char *text, struct kubeconfig_parts *ret, struct problem *p);
/* The same text with other credentials embedded in its current context; everything else stays.
 * Any of them may be NULL: it stays. Caller frees. */
int kubeconfig_put(const char *text, const char *ca, const char *cert, const char *key, char **ret,
                struct problem *p);
/* The current context's certificate and key as the files NAME.crt and NAME.key beside it, and
 * ca.crt as its authority. */
int kubeconfig_refer(const char *text, const char *name, char **ret, struct problem *p);
