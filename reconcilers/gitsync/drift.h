/* Watches over what was applied: one informer a resource and identity, for objects that carry a
 * GitSync's label. kgitd itself watches all namespaces at once; a service account watches the
 * namespaces in which it has applied objects, with its own rights. */
#pragma once

#include "lib/client/informer.h"
#include "reconcilers/gitsync/identity.h"

struct drift;

struct drift_events {
        /* An object that belongs to the GitSync ns/name (by its labels) changed or was deleted
         * (gone: object is its last state), as user ("": kgitd itself) sees it. */
        void (*changed)(const char *user, const struct api_resource *resource, const char *ns,
                        const char *name, const json_t *object, bool gone, void *userdata);
        /* The first full list of a watch is there. */
        void (*synced)(const char *user, const struct api_resource *resource, void *userdata);
        void *userdata;
};

int drift_new(struct drift **ret, const struct drift_events *events);
struct drift *drift_free(struct drift *d);
DEFINE_CLEANUP(struct drift *, drift_free);
/* Watches this resource from now on; does nothing when it is watched already. One that was
 * forbidden is tried again, not more than twice a minute. */
int drift_watch(struct drift *d, const struct identity *identity,
                const struct api_resource *resource, const char *ns);
/* Why the resource cannot be watched, or NULL. Borrowed until the next drift_watch(). */
const char *drift_denied(const struct drift *d, const struct identity *identity,
                const struct api_resource *resource, const char *ns);
/* The live object, or NULL. Borrowed. */
const json_t *drift_get(const struct drift *d, const struct identity *identity,
                const struct api_resource *resource, const char *ns, const char *name);
