/* Watches over what was applied: one informer a resource, for objects that carry a GitSync's label.
 */
#pragma once

#include "lib/client/informer.h"

struct drift;

/* An object that belongs to the GitSync ns/name (by its labels) changed or went (gone: object is
 * its last state). */
typedef void (*drift_func)(const struct api_resource *resource, const char *ns, const char *name,
                const json_t *object, bool gone, void *userdata);

int drift_new(struct drift **ret, struct api_client *client, drift_func func, void *userdata);
struct drift *drift_free(struct drift *d);
DEFINE_CLEANUP(struct drift *, drift_free);
/* Watches this resource from now on; does nothing when it is watched already. */
int drift_watch(struct drift *d, const char *group, const char *version, const char *plural,
                const char *kind, bool namespaced);
/* The live object, or NULL. Borrowed. */
const json_t *drift_get(const struct drift *d, const char *group, const char *plural,
                const char *ns, const char *name);
