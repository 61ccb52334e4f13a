/* Two levels: an array of leaves, each an array of up to LEAF_MAX items in key order. A leaf that
 * fills is split in two. Finding costs two binary searches; the upper array of a million keys is
 * a few hundred kilobytes, so that moving it at a split is cheap. Every leaf holds at least one
 * item. */
#include "kstored/index.h"

enum { LEAF_MAX = 64 };

struct history {
        uint32_t count, allocated;
        struct place places[];
};

struct leaf {
        unsigned count;
        struct item *items[LEAF_MAX];
};

struct index {
        struct leaf **leaves;
        size_t leaf_count, leaf_allocated;
        size_t count;
};

int key_compare(const void *a, size_t na, const void *b, size_t nb) {
        size_t n = na < nb ? na : nb;
        int c = n > 0 ? memcmp(a, b, n) : 0;

        if (c != 0)
                return c;
        return na < nb ? -1 : na > nb;
}

int index_new(struct index **ret) {
        struct index *x = calloc(1, sizeof(*x));

        if (!x)
                return -ENOMEM;
        *ret = x;
        return 0;
}

static void item_free(struct item *it) {
        free(it->past);
        free(it);
}

struct index *index_free(struct index *x) {
        if (!x)
                return NULL;
        for (size_t i = 0; i < x->leaf_count; i++) {
                for (unsigned k = 0; k < x->leaves[i]->count; k++)
                        item_free(x->leaves[i]->items[k]);
                free(x->leaves[i]);
        }
        free(x->leaves);
        free(x);
        return NULL;
}

size_t index_count(const struct index *x) {
        return x->count;
}

static int item_compare(const struct item *it, const void *key, size_t n) {
        return key_compare(it->key, it->key_size, key, n);
}

/* The last leaf whose first key is not above the key (or the first leaf). */
static size_t find_leaf(const struct index *x, const void *key, size_t n) {
        size_t low = 0, high = x->leaf_count;

        while (low < high) {
                size_t mid = (low + high) / 2;

                if (item_compare(x->leaves[mid]->items[0], key, n) <= 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low == 0 ? 0 : low - 1;
}

/* The first slot whose key is not below. */
static unsigned find_slot(const struct leaf *l, const void *key, size_t n) {
        unsigned low = 0, high = l->count;

        while (low < high) {
                unsigned mid = (low + high) / 2;

                if (item_compare(l->items[mid], key, n) < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

void index_seek(const struct index *x, const void *key, size_t n, struct cursor *ret) {
        *ret = (struct cursor){.index = x};
        if (x->leaf_count == 0)
                return;
        ret->leaf = find_leaf(x, key, n);
        ret->slot = find_slot(x->leaves[ret->leaf], key, n);
        if (ret->slot == x->leaves[ret->leaf]->count) {
                ret->leaf++;
                ret->slot = 0;
        }
}

struct item *cursor_item(const struct cursor *c) {
        if (c->leaf >= c->index->leaf_count)
                return NULL;
        return c->index->leaves[c->leaf]->items[c->slot];
}

void cursor_next(struct cursor *c) {
        if (c->leaf >= c->index->leaf_count)
                return;
        if (++c->slot == c->index->leaves[c->leaf]->count) {
                c->leaf++;
                c->slot = 0;
        }
}

struct item *index_get(const struct index *x, const void *key, size_t n) {
        struct cursor c;
        struct item *it;

        index_seek(x, key, n, &c);
        it = cursor_item(&c);
        return it && item_compare(it, key, n) == 0 ? it : NULL;
}

static int insert_leaf(struct index *x, size_t at, struct leaf *l) {
        if (x->leaf_count == x->leaf_allocated) {
                size_t want = x->leaf_allocated ? x->leaf_allocated * 2 : 16;
                struct leaf **v = realloc(x->leaves, want * sizeof(v[0]));

                if (!v)
                        return -ENOMEM;
                x->leaves = v;
                x->leaf_allocated = want;
        }
        memmove(&x->leaves[at + 1], &x->leaves[at], (x->leaf_count - at) * sizeof(x->leaves[0]));
        x->leaves[at] = l;
        x->leaf_count++;
        return 0;
}

/* Keys often come in order: then the old leaf stays full and the new one takes only the last. */
static int split_leaf(struct index *x, size_t at, unsigned slot) {
        struct leaf *l = x->leaves[at], *n;
        unsigned keep = slot == LEAF_MAX && at + 1 == x->leaf_count ? LEAF_MAX - 1 : LEAF_MAX / 2;
        int r;

        n = malloc(sizeof(*n));
        if (!n)
                return -ENOMEM;
        n->count = l->count - keep;
        memcpy(n->items, l->items + keep, n->count * sizeof(n->items[0]));
        r = insert_leaf(x, at + 1, n);
        if (r < 0) {
                free(n);
                return r;
        }
        l->count = keep;
        return 0;
}

static int insert_item(struct index *x, struct item *it) {
        struct leaf *l;
        size_t at;
        unsigned slot;
        int r;

        if (x->leaf_count == 0) {
                l = malloc(sizeof(*l));
                if (!l)
                        return -ENOMEM;
                l->count = 1;
                l->items[0] = it;
                r = insert_leaf(x, 0, l);
                if (r < 0)
                        free(l);
                else
                        x->count = 1;
                return r;
        }
        at = find_leaf(x, it->key, it->key_size);
        slot = find_slot(x->leaves[at], it->key, it->key_size);
        if (x->leaves[at]->count == LEAF_MAX) {
                r = split_leaf(x, at, slot);
                if (r < 0)
                        return r;
                if (slot > x->leaves[at]->count) {
                        slot -= x->leaves[at]->count;
                        at++;
                }
        }
        l = x->leaves[at];
        memmove(&l->items[slot + 1], &l->items[slot], (l->count - slot) * sizeof(l->items[0]));
        l->items[slot] = it;
        l->count++;
        x->count++;
        return 0;
}

static int push_past(struct item *it) {
        struct history *h = it->past;

        if (!h || h->count == h->allocated) {
                uint32_t want = h ? h->allocated * 2 : 2;

                h = realloc(h, sizeof(*h) + want * sizeof(h->places[0]));
                if (!h)
                        return -ENOMEM;
                if (!it->past)
                        h->count = 0;
                h->allocated = want;
                it->past = h;
        }
        h->places[h->count++] = it->newest;
        return 0;
}

int index_add(struct index *x, const void *key, size_t n, struct place place, int64_t create,
                uint64_t version, int64_t lease) {
        struct item *it = index_get(x, key, n);
        int r;

        if (it) {
                r = push_past(it);
                if (r < 0)
                        return r;
        } else {
                it = malloc(sizeof(*it) + n);
                if (!it)
                        return -ENOMEM;
                *it = (struct item){.key_size = n & INDEX_KEY_SIZE_MAX};
                memcpy(it->key, key, n);
                r = insert_item(x, it);
                if (r < 0) {
                        free(it);
                        return r;
                }
        }
        it->newest = place;
        it->create = create;
        it->version = version & (((uint64_t)1 << 40) - 1);
        it->lease = lease;
        return 0;
}

/* The number of past places with a revision not above rev. */
static uint32_t past_upto(const struct item *it, int64_t rev) {
        uint32_t low = 0, high = it->past ? it->past->count : 0;

        while (low < high) {
                uint32_t mid = (low + high) / 2;

                if (it->past->places[mid].rev <= rev)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

const struct place *item_at(const struct item *it, int64_t rev) {
        uint32_t n;

        if (it->newest.rev <= rev)
                return &it->newest;
        n = past_upto(it, rev);
        return n == 0 ? NULL : &it->past->places[n - 1];
}

const struct place *item_before(const struct item *it, int64_t rev) {
        return item_at(it, rev - 1);
}

/* Returns whether the item is gone altogether. */
static bool compact_item(
                struct item *it, int64_t rev, void (*dropped)(int64_t, void *), void *userdata) {
        uint32_t n = past_upto(it, rev), drop;

        if (it->newest.rev <= rev) {
                for (uint32_t i = 0; it->past && i < it->past->count; i++)
                        dropped(place_seq(&it->past->places[i]), userdata);
                it->past = mfree(it->past);
                /* A deletion at the very revision is still an event that a watch may ask for. */
                if (!place_dead(&it->newest) || it->newest.rev == rev)
                        return false;
                dropped(place_seq(&it->newest), userdata);
                return true;
        }
        if (n == 0)
                return false;
        /* The one that counts at rev stays, unless it is an earlier deletion. */
        drop = place_dead(&it->past->places[n - 1]) && it->past->places[n - 1].rev < rev ? n
                                                                                         : n - 1;
        for (uint32_t i = 0; i < drop; i++)
                dropped(place_seq(&it->past->places[i]), userdata);
        it->past->count -= drop;
        memmove(it->past->places, it->past->places + drop,
                        it->past->count * sizeof(it->past->places[0]));
        if (it->past->count == 0)
                it->past = mfree(it->past);
        return false;
}

static void remove_slot(struct index *x, size_t at, unsigned slot) {
        struct leaf *l = x->leaves[at];

        item_free(l->items[slot]);
        l->count--;
        x->count--;
        memmove(&l->items[slot], &l->items[slot + 1], (l->count - slot) * sizeof(l->items[0]));
        if (l->count > 0)
                return;
        free(l);
        x->leaf_count--;
        memmove(&x->leaves[at], &x->leaves[at + 1], (x->leaf_count - at) * sizeof(x->leaves[0]));
}

int index_compact(struct index *x, int64_t compact_rev, const void *from, size_t from_size,
                size_t items, void (*dropped)(int64_t seq, void *userdata), void *userdata,
                char **ret_next, size_t *ret_next_size) {
        struct cursor c;
        struct item *it;

        index_seek(x, from, from_size, &c);
        for (size_t i = 0; i < items; i++) {
                it = cursor_item(&c);
                if (!it)
                        return 0;
                if (!compact_item(it, compact_rev, dropped, userdata)) {
                        cursor_next(&c);
                        continue;
                }
                size_t leaves = x->leaf_count;

                remove_slot(x, c.leaf, (unsigned)c.slot);
                if (leaves == x->leaf_count && c.slot == x->leaves[c.leaf]->count) {
                        c.leaf++;
                        c.slot = 0;
                } else if (leaves != x->leaf_count)
                        c.slot = 0;
        }
        it = cursor_item(&c);
        if (!it)
                return 0;
        *ret_next = malloc(it->key_size + 1);
        if (!*ret_next)
                return -ENOMEM;
        memcpy(*ret_next, it->key, it->key_size);
        *ret_next_size = it->key_size;
        return 1;
}
