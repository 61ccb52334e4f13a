/* The objects that a GitSync has applied: each with its full identity, what of it was applied (a
 * hash of the manifest) and its state on the server then (a hash of the object). Pure. */
#pragma once

#include "lib/client/api.h"
#include "lib/map.h"

enum { INVENTORY_HASH_SIZE = 17, INVENTORY_INLINE_MAX = 200, INVENTORY_CHUNK = 1000 };

struct inventory_entry {
        char *group, *version, *kind, *resource, *ns, *name;
        char *key;                      /* see inventory_key() */
        char hash[INVENTORY_HASH_SIZE]; /* of the manifest as applied; "": never, or not whole */
        char live[INVENTORY_HASH_SIZE]; /* of the object in its correct state; "": compare again */
        char reported[INVENTORY_HASH_SIZE]; /* of the drift that was reported (not stored) */
        bool finished;                      /* finished and was removed for that: not drift */
        bool kept;                          /* left Git, stays until a person allows its removal */
        bool by_link;                       /* kept because a link or submodule may refer to it */
};

struct inventory {
        struct map *entries; /* key -> struct inventory_entry */
};

int inventory_init(struct inventory *v);
void inventory_done(struct inventory *v);
void inventory_clear(struct inventory *v);

/* "group/kind/namespace/name": the identity, whatever the version. Caller frees. */
char *inventory_key(const char *group, const char *kind, const char *ns, const char *name);
struct inventory_entry *inventory_get(const struct inventory *v, const char *key);
/* The object's entry, made when it is new (*ret_new); group, version and resource are brought up to
 * date. */
int inventory_put(struct inventory *v, const struct api_resource *resource, const char *ns,
                const char *name, struct inventory_entry **ret, bool *ret_new);
void inventory_remove(struct inventory *v, const char *key);
size_t inventory_size(const struct inventory *v);
/* The entry's resource; borrows from it. */
struct api_resource inventory_resource(const struct inventory_entry *e);

/* The number of GitSyncInventory objects that hold it: 0 when the status does, else a power of two.
 */
unsigned inventory_chunks(size_t size);
/* The chunk that holds the key, of `chunks`; depends on nothing else. */
unsigned inventory_chunk_of(const char *key, unsigned chunks);

/* [{group, version, kind, resource, namespace, name, hash, live, state}] sorted by key, for the
 * status. Secrets are written without hashes: a short one could be guessed from it. A new array. */
json_t *inventory_items(const struct inventory *v);
/* The same for chunk n of chunks in a short form: [{group, version, kind, resource, objects:
 * ["namespace/name hash live state"]}]. A new array. */
json_t *inventory_sets(const struct inventory *v, unsigned n, unsigned chunks);
/* Adds what either form holds; malformed items are skipped. -ENOMEM. */
int inventory_read_items(struct inventory *v, const json_t *items);
int inventory_read_sets(struct inventory *v, const json_t *sets);
