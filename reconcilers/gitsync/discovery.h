/* Which resource serves a kind: the API's own discovery documents, read on demand and kept. */
#pragma once

#include "lib/client/api.h"

struct discovery;

int discovery_new(struct discovery **ret, struct api_client *client);
struct discovery *discovery_free(struct discovery *d);
DEFINE_CLEANUP(struct discovery *, discovery_free);

/* NULL when not known (yet): discovery_refresh() the group version, then ask again. Borrowed until
 * that refresh. */
const struct api_resource *discovery_find(
                const struct discovery *d, const char *api_version, const char *kind);

/* Reads one group version again. done gets 0, -ENOENT when the server has no such group version, or
 * a transport error. */
typedef void (*discovery_done_func)(int error, const struct problem *p, void *userdata);
int discovery_refresh(struct discovery *d, const char *api_version, discovery_done_func done,
                void *userdata, struct api_call **ret);
