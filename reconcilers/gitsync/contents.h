/* Objects in a Namespace or of a CRD that are not from one GitSync: read before it is pruned. */
#pragma once

#include "lib/client/api.h"

struct contents;

/* holds: one thing that is not the GitSync's ("Pod \"a\""), or NULL; unseen: why the contents
 * cannot be read, or NULL. Both borrowed. */
typedef void (*contents_func)(const char *holds, const char *unseen, void *userdata);

/* Everything in the namespace, kind by kind (discovery, then lists). Not counted: what the system
 * keeps in every namespace (events, the default service account, kube-root-ca.crt) and what has an
 * owner. Borrows the client, which must outlive it. */
int contents_of_namespace(struct contents **ret, struct api_client *client, const char *ns,
                const char *gitsync_ns, const char *gitsync_name, contents_func done,
                void *userdata);
/* All objects of the kinds that the CRD defines. */
int contents_of_crd(struct contents **ret, struct api_client *client, const json_t *crd,
                const char *gitsync_ns, const char *gitsync_name, contents_func done,
                void *userdata);
/* Ends it without its callback. */
struct contents *contents_free(struct contents *c);
DEFINE_CLEANUP(struct contents *, contents_free);
