/* One lease for each kind, kept for the time in which it is shared. */
#include "kapid/pipeline/leases.h"

#include "lib/map.h"

struct shared_lease {
        int64_t id;
        uint64_t until_us;
};

struct leases {
        struct map *by_prefix; /* kind.storage_prefix -> struct shared_lease */
};

struct leases *leases_new(void) {
        struct leases *l = calloc(1, sizeof(*l));

        if (l)
                l->by_prefix = map_new(free);
        return l && l->by_prefix ? l : leases_free(l);
}

struct leases *leases_free(struct leases *l) {
        if (!l)
                return NULL;
        map_free(l->by_prefix);
        return mfree(l);
}

int64_t leases_find(const struct leases *l, const struct kind *k, uint64_t now_us) {
        const struct shared_lease *shared = map_get(l->by_prefix, k->storage_prefix);

        assert(k->ttl_s > 0);
        return shared && now_us < shared->until_us ? shared->id : 0;
}

void leases_add(struct leases *l, const struct kind *k, int64_t lease, uint64_t now_us) {
        struct shared_lease *shared = calloc(1, sizeof(*shared));

        assert(lease != 0);
        if (!shared)
                return;
        shared->id = lease;
        shared->until_us = now_us + k->ttl_share_s * UINT64_C(1000000);
        if (map_set(l->by_prefix, k->storage_prefix, shared) < 0)
                free(shared);
}

uint64_t leases_ttl_s(const struct kind *k) {
        return (uint64_t)k->ttl_s + k->ttl_share_s;
}
