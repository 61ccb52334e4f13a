/* The world of the controllers: the cached objects of the kinds they work on, by key and by index,
 * and the time. Read-only; everything borrowed from it is valid until the event loop turns. Behind
 * it stand informers (manager.c), or plain objects in unit tests. */
#pragma once

#include "lib/client/api.h"
#include "lib/json.h"
#include "lib/time-zone.h"
#include "reconcilers/tables.h"

#define WORLD_KIND_ID(name, id, ns, selector) WORLD_##name,
enum world_kind { WORLD_KINDS(WORLD_KIND_ID) WORLD_KINDS_MAX };
#undef WORLD_KIND_ID
#define WORLD_BIT(kind) (UINT64_C(1) << (kind))

/* One row a kind: its place in the catalogue and which part of it is watched. */
struct world_kind_row {
        enum kind_id id;
        const char *ns; /* NULL: all */
        const char *field_selector;
};
extern const struct world_kind_row world_kinds[WORLD_KINDS_MAX];
/* Whether all objects of the kind are watched, and not a part of them. */
static inline bool world_kind_is_whole(enum world_kind kind) {
        return !world_kinds[kind].ns && !world_kinds[kind].field_selector;
}
/* Whether the row's part of its kind holds the object of that name. */
bool world_kind_holds(enum world_kind kind, const char *ns, const char *name);
static inline const struct api_resource *world_resource(enum world_kind kind) {
        return api_resource(world_kinds[kind].id);
}

#define WORLD_INDEX_ID(name, kind, by) WORLD_##name,
enum world_index {
        WORLD_INDEXES(WORLD_INDEX_ID) WORLD_INDEXES_OF_MANY(WORLD_INDEX_ID) WORLD_INDEXES_MAX
};
#undef WORLD_INDEX_ID
struct world_index_row {
        const char *name;
        enum world_kind kind;
        const char *(*func)(const json_t *object, char *buffer, size_t n);
        /* Instead of func: the n-th of several values; NULL: no more. */
        const char *(*nth)(const json_t *object, size_t n, char *buffer, size_t size);
};
extern const struct world_index_row world_indexes[WORLD_INDEXES_MAX];

/* The value of WORLD_PODS_BY_LABEL and WORLD_SERVICES_BY_SELECTOR for a pair. Returns buffer. */
enum { WORLD_LABEL_VALUE_MAX = 512 };
const char *world_label_value(
                const char *ns, const char *key, const char *value, char *buffer, size_t n);

struct objects {
        const json_t **items; /* owned array of borrowed objects */
        size_t count, allocated;
};
void objects_done(struct objects *o);
#define _cleanup_objects_ _cleanup_(objects_done)
void objects_add(struct objects *o, const json_t *object);

/* A lease that is renewed twice a second: three renewals in a row were not seen. */
#define LEASE_GAP_US UINT64_C(1200000)

struct world_source {
        const json_t *(*get)(void *data, enum world_kind kind, const char *ns, const char *name);
        void (*list)(void *data, enum world_index index, const char *value, struct objects *ret);
        void (*all)(void *data, enum world_kind kind, struct objects *ret);
        /* Monotonic local time at which the lease was last seen to change; 0: never seen. */
        uint64_t (*lease_seen)(void *data, const char *name);
        /* Since when its changes were seen with no gap above LEASE_GAP_US between two. */
        uint64_t (*lease_unbroken)(void *data, const char *name);
        /* time_zone_load() */
        int (*zone)(void *data, const char *name, struct time_zone **ret);
};

struct world_config {
        const char *cluster_cidr; /* one range of pods, or one of each family (lib/cidr.h) */
        uint32_t node_cidr_mask_size, node_cidr_mask_size_ipv6;
        uint64_t node_monitor_grace_us;
        const char *signing_cert_pem, *signing_key_pem; /* NULL: certificates are not signed here */
};

struct world {
        const struct world_source *source;
        void *data;
        const struct world_config *config;
        uint64_t now_us; /* wall clock */
        uint64_t mono_us;
        const struct graph *graph; /* NULL until it is whole; likewise: */
        const struct catalogue *catalogue;
        uint64_t started_us; /* monotonic: when the caches were first full */
};

const json_t *world_get(
                const struct world *w, enum world_kind kind, const char *ns, const char *name);
/* By "namespace/name" or "name". */
const json_t *world_get_key(const struct world *w, enum world_kind kind, const char *key);
void world_list(const struct world *w, enum world_index index, const char *value,
                struct objects *ret);
void world_all(const struct world *w, enum world_kind kind, struct objects *ret);
/* The pods of a namespace that a LabelSelector (or NULL) may match: all that it matches, and often
 * not many others, by the first of its matchLabels. */
void world_pods_for(
                const struct world *w, const char *ns, const json_t *selector, struct objects *ret);
/* Objects controlled by the owner, then those of its namespace without a controller that the
 * selector (a LabelSelector) matches, in `orphans`. index is one of the ..._BY_OWNER. */
void world_owned(const struct world *w, enum world_index index, const json_t *owner,
                struct objects *ret_owned, struct objects *ret_orphans);
/* A time zone of the tz database, the caller's. Negative errnos as time_zone_load(). */
int world_zone(const struct world *w, const char *name, struct time_zone **ret);
