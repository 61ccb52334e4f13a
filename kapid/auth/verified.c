/* The remembered tokens: a map by digest and the order of their use. The digest covers the
 * signature, so that the same claims with another one are another token; nobody finds a second
 * token with the same SHA-256, and how long a look takes tells at most something about digests. The
 * tokens themselves are not kept. */
#include "kapid/auth/verified.h"

#include <sys/queue.h>

#include "lib/crypto.h"
#include "lib/map.h"
#include "lib/metrics.h"

struct entry {
        TAILQ_ENTRY(entry) order;
        json_t *claims;
        size_t size;
        enum verified_by by;
        struct token_digest digest;
};

struct verified {
        struct map *entries; /* by digest; owned by the list */
        TAILQ_HEAD(entry_list, entry) order; /* the least lately used first */
        size_t bytes;
        struct metric *computed, *remembered;
};

static int add_metrics(struct verified *v, struct metrics *m) {
        static const char name[] = "keelson_token_signatures_total",
                          help[] = "Bearer tokens with a good signature: computed, or remembered "
                                   "from an earlier request.";

        if (!m)
                return 0;
        v->computed = metrics_counter(m, name, "how=\"computed\"", help);
        v->remembered = metrics_counter(m, name, "how=\"remembered\"", help);
        return v->computed && v->remembered ? 0 : -ENOMEM;
}

int verified_new(struct verified **ret, struct metrics *m) {
        _cleanup_(verified_freep) struct verified *v = calloc(1, sizeof(*v));
        int r;

        if (!v)
                return -ENOMEM;
        TAILQ_INIT(&v->order);
        v->entries = map_new(NULL);
        if (!v->entries)
                return -ENOMEM;
        r = add_metrics(v, m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

static void entry_drop(struct verified *v, struct entry *e) {
        (void)map_remove(v->entries, e->digest.hex);
        TAILQ_REMOVE(&v->order, e, order);
        v->bytes -= e->size;
        json_decref(e->claims);
        free(e);
}

struct verified *verified_free(struct verified *v) {
        if (!v)
                return NULL;
        while (!TAILQ_EMPTY(&v->order))
                entry_drop(v, TAILQ_FIRST(&v->order));
        map_free(v->entries);
        return mfree(v);
}

struct token_digest token_digest(const char *token) {
        struct token_digest d;

        sha256_hex(token, strlen(token), d.hex);
        return d;
}

static struct entry *find(
                const struct verified *v, const struct token_digest *d, enum verified_by by) {
        struct entry *e = v ? map_get(v->entries, d->hex) : NULL;

        return e && e->by == by ? e : NULL;
}

bool verified_has(const struct verified *v, const struct token_digest *d, enum verified_by by) {
        return find(v, d, by);
}

json_t *verified_find(struct verified *v, const struct token_digest *d, enum verified_by by) {
        struct entry *e = find(v, d, by);

        if (!e)
                return NULL;
        TAILQ_REMOVE(&v->order, e, order);
        TAILQ_INSERT_TAIL(&v->order, e, order);
        if (v->remembered)
                metric_add(v->remembered, 1);
        return json_incref(e->claims);
}

void verified_add(struct verified *v, const struct token_digest *d, enum verified_by by,
                json_t *claims, size_t size) {
        struct entry *e;

        if (!v)
                return;
        if (v->computed)
                metric_add(v->computed, 1);
        e = map_get(v->entries, d->hex);
        if (e)
                entry_drop(v, e);
        e = size <= VERIFIED_BYTES_MAX ? calloc(1, sizeof(*e)) : NULL;
        if (!e)
                return; /* it is verified again */
        *e = (struct entry){.size = size, .by = by, .digest = *d};
        if (map_set(v->entries, d->hex, e) < 0) {
                free(e);
                return;
        }
        e->claims = json_incref(claims);
        TAILQ_INSERT_TAIL(&v->order, e, order);
        v->bytes += size;
        while (map_size(v->entries) > VERIFIED_TOKENS_MAX || v->bytes > VERIFIED_BYTES_MAX)
                entry_drop(v, TAILQ_FIRST(&v->order));
}

void verified_forget(struct verified *v, enum verified_by by) {
        struct entry *next;

        if (!v)
                return;
        for (struct entry *e = TAILQ_FIRST(&v->order); e; e = next) {
                next = TAILQ_NEXT(e, order);
                if (e->by == by)
                        entry_drop(v, e);
        }
}

size_t verified_count(const struct verified *v) {
        return map_size(v->entries);
}
