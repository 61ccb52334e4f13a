/* Which API servers live. Each kapid holds a key below /registry/kapids/ with a lease of a few
 * seconds, which the others delete when they cannot connect to it, and publishes an EndpointSlice
 * of Service default/kubernetes (bootstrap.c). Where a key is gone, the other kapids set `ready:
 * false` in its slice, so that the service's address leads to the living ones. The slice itself
 * stays: clients learn from it which servers there are, and a server that is away comes back.
 * `kctl control remove` deletes it. */
#pragma once

#include "kapid/api.h"

#define PRESENCE_PREFIX "/registry/kapids/"

struct presence;
int presence_start(struct presence **ret, struct api *a);
struct presence *presence_free(struct presence *p);
DEFINE_CLEANUP(struct presence *, presence_free);
/* A key below PRESENCE_PREFIX; value NULL: it is gone. Other keys are ignored. */
void presence_observe(struct presence *p, const char *key, const char *value);
/* Forgets everything that was observed. */
void presence_reset(struct presence *p);
/* Whether the store's member here takes no change because its disk is full, and there are other API
 * servers, which have members of their own. */
bool presence_disk_full(const struct presence *p);
/* Whether this kapid is the one, of those that live, that writes what one of them must. Two may
 * take themselves for it for a moment: their writes have guards. */
bool presence_is_first(const struct presence *p);
/* The name of the slice (and of the key) of the kapid at this address. Caller frees. */
char *presence_name(const char *address) _warn_unused_;
/* The slice as it should be: a changed copy, or NULL when it is so already. Pure. */
json_t *presence_correct(const json_t *slice, bool lives);
