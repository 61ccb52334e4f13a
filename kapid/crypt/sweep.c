/* Page after page of each place in the store. What is to be rewritten of a page is kept, and
 * written value by value, each guarded by its revision: a value that was changed since was
 * encrypted with the key that writes, and one that was deleted stays so. The lease of a value stays
 * with it. */
#include "kapid/crypt/sweep.h"

#include "kapid/crypt/crypt.h"
#include "lib/vector.h"

enum { PAGE = 200 };

struct kept {
        char *key, *value;
        size_t size;
        uint64_t revision;
        int64_t lease;
};

struct sweep {
        struct api *api;
        bool rewrites;
        sweep_done done;
        void *userdata;
        size_t place;
        char *last; /* the last key of the place that was read; NULL: none */
        bool more;
        VECTOR(struct kept) kept; /* of the page */
        size_t at;
        VECTOR(struct sweep_count) counts;
        uint64_t unreadable, rewritten;
        char **why;
        LIST_ENTRY(sweep) entry; /* of the API's */
};

static void next_page(struct sweep *s);
static void write_next(struct sweep *s);

static void drop_kept(struct sweep *s) {
        for (size_t i = 0; i < s->kept.count; i++) {
                free(s->kept.items[i].key);
                free(s->kept.items[i].value);
        }
        s->kept.count = s->at = 0;
}

static void sweep_free(struct sweep *s) {
        LIST_REMOVE(s, entry);
        drop_kept(s);
        vector_done(&s->kept);
        for (size_t i = 0; i < s->counts.count; i++)
                free(s->counts.items[i].with);
        vector_done(&s->counts);
        strv_free(s->why);
        free(s->last);
        free(s);
}

void sweeps_free(struct api *a) {
        while (!LIST_EMPTY(&a->sweeps))
                sweep_free(LIST_FIRST(&a->sweeps));
}

static void finish(struct sweep *s, int error, const char *message) {
        const struct sweep_result res = {.error = error,
                        .message = message,
                        .counts = s->counts.items,
                        .count = s->counts.count,
                        .unreadable = s->unreadable,
                        .why = s->why,
                        .rewritten = s->rewritten};

        s->done(&res, s->userdata);
        sweep_free(s);
}

/* --- reading --- */

static int count(struct sweep *s, const struct store_kv *kv) {
        struct sweep_count c = {.count = 1, .stale = kv->stale};
        int r;

        for (size_t i = 0; i < s->counts.count; i++)
                if (streq(s->counts.items[i].with, kv->with) &&
                                s->counts.items[i].stale == kv->stale) {
                        s->counts.items[i].count++;
                        return 0;
                }
        c.with = strdup(kv->with);
        r = c.with ? vector_append(&s->counts, c) : -ENOMEM;
        if (r < 0)
                free(c.with);
        return r;
}

/* For an empty value too. */
static char *copy_of(const char *value, size_t n) {
        char *copy = malloc(n + 1);

        return copy ? memcpy(copy, value, n) : NULL;
}

static int keep(struct sweep *s, const struct store_kv *kv) {
        struct kept k = {.key = strdup(kv->key),
                        .value = copy_of(kv->value, kv->size),
                        .size = kv->size,
                        .revision = kv->revision,
                        .lease = kv->lease};
        int r = k.key && k.value ? vector_append(&s->kept, k) : -ENOMEM;

        if (r < 0) {
                free(k.key);
                free(k.value);
        }
        return r;
}

static int take(struct sweep *s, const struct store_kv *kv) {
        int r;

        if (kv->unreadable) {
                if (s->unreadable++ < SWEEP_UNREADABLE_MAX)
                        return strv_extend(&s->why, kv->unreadable);
                return 0;
        }
        r = count(s, kv);
        return r < 0 || !kv->stale || !s->rewrites ? r : keep(s, kv);
}

static int take_page(struct sweep *s, const struct store_result *res) {
        const char *prefix = crypt_prefix_at(s->api->crypt, s->place);

        for (size_t i = 0; i < res->count; i++) {
                int r = crypt_is_in(s->api->crypt, res->kvs[i].key, prefix) ? take(s, &res->kvs[i])
                                                                           : 0;

                if (r < 0)
                        return r;
        }
        s->more = res->more && res->count > 0;
        if (!s->more)
                return 0;
        free(s->last);
        s->last = strdup(res->kvs[res->count - 1].key);
        return s->last ? 0 : -ENOMEM;
}

static void on_page(const struct store_result *res, void *userdata) {
        struct sweep *s = userdata;
        int r;

        r = res->error ? res->error : take_page(s, res);
        if (r < 0)
                finish(s, r, res->error ? res->message : strerror(-r));
        else
                write_next(s);
}

static void next_page(struct sweep *s) {
        const char *prefix = crypt_prefix_at(s->api->crypt, s->place);
        _cleanup_free_ char *from = NULL, *end = NULL;
        int r = -ENOMEM;

        if (!prefix) {
                finish(s, 0, "");
                return;
        }
        from = s->last ? strformat("%s\x01", s->last) : strdup(prefix);
        end = strdup(prefix);
        if (from && end) {
                end[strlen(end) - 1]++; /* it ends in '/': the next character ends the range */
                r = store_range(s->api->store,
                                &(struct store_range){.key = from, .end = end, .limit = PAGE},
                                on_page, s);
        }
        if (r < 0)
                finish(s, r, strerror(-r));
}

/* --- writing --- */

static void on_written(const struct store_result *res, void *userdata) {
        struct sweep *s = userdata;

        if (res->error) {
                finish(s, res->error, res->message);
                return;
        }
        if (res->succeeded)
                s->rewritten++;
        s->at++;
        write_next(s);
}

static void write_next(struct sweep *s) {
        const struct kept *k = s->at < s->kept.count ? &s->kept.items[s->at] : NULL;
        int r;

        if (!k) {
                drop_kept(s);
                if (!s->more) {
                        s->last = mfree(s->last);
                        s->place++;
                }
                next_page(s);
                return;
        }
        const struct store_guard guard = {.key = k->key, .revision = k->revision};
        const struct store_op op = {
                        .key = k->key, .value = k->value, .size = k->size, .lease = k->lease};

        r = store_txn(s->api->store,
                        &(struct store_txn){.guards = &guard,
                                        .guard_count = 1,
                                        .ops = &op,
                                        .op_count = 1},
                        on_written, s);
        if (r < 0)
                finish(s, r, strerror(-r));
}

int sweep_start(struct api *a, enum sweep_mode mode, sweep_done done, void *userdata) {
        struct sweep *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->api = a;
        s->rewrites = mode == SWEEP_REWRITE;
        s->done = done;
        s->userdata = userdata;
        LIST_INSERT_HEAD(&a->sweeps, s, entry);
        next_page(s);
        return 0;
}
