/* Two levels: an array of leaves, each an array of up to LEAF_MAX items in key order. A leaf that
 * fills is split in two. Finding costs two binary searches; the upper array of a million keys is
 * a few hundred kilobytes, so that moving it at a split is cheap. Every leaf holds at least one
 * item. Most keys are written once: an item holds what such a key needs, and the rest only when
 * there is more to say. */
#include "kstored/mvcc/index.h"

#include "kstored/mvcc/slab.h"
#include "lib/vector.h"

enum { LEAF_MAX = 64, LEAF_STEP = 8 };

/* A leaf grows by steps; a whole one at once would be half empty after a split. */
struct leaf {
        uint32_t count, allocated;
        struct index_item *items[];
};

/* Of the newest change, unless it is a deletion; and older changes in order. Not there when the
 * newest change is the first, without a lease. */
struct more {
        int64_t create, version, lease;
        uint32_t count, allocated;
        struct place past[];
};

struct index {
        VECTOR(struct leaf *) leaves;
        struct slab items;
        size_t count;
        size_t hint; /* the leaf of the last search: a change of a key searches several times */
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

static void index_item_free(struct index *x, struct index_item *it) {
        free(it->more);
        slab_give_back(&x->items, it, sizeof(*it) + index_item_key_size(it));
}

struct index *index_free(struct index *x) {
        if (!x)
                return NULL;
        for (size_t i = 0; i < x->leaves.count; i++) {
                x->count -= x->leaves.items[i]->count;
                for (unsigned k = 0; k < x->leaves.items[i]->count; k++)
                        index_item_free(x, x->leaves.items[i]->items[k]);
                free(x->leaves.items[i]);
        }
        assert(x->count == 0);
        vector_done(&x->leaves);
        slab_done(&x->items);
        free(x);
        return NULL;
}

size_t index_count(const struct index *x) {
        return x->count;
}

static int index_item_compare(const struct index_item *it, const void *key, size_t n) {
        return key_compare(it->key, index_item_key_size(it), key, n);
}

/* The last leaf whose first key is not above the key (or the first leaf). */
static size_t find_leaf(struct index *x, const void *key, size_t n) {
        size_t low = 0, high = x->leaves.count, hint = x->hint;

        assert(high > 0);
        if (hint < high && index_item_compare(x->leaves.items[hint]->items[0], key, n) <= 0) {
                if (hint + 1 == high ||
                                index_item_compare(x->leaves.items[hint + 1]->items[0], key, n) > 0)
                        return hint;
                low = hint + 1;
        }
        while (low < high) {
                size_t mid = (low + high) / 2;

                if (index_item_compare(x->leaves.items[mid]->items[0], key, n) <= 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        x->hint = low == 0 ? 0 : low - 1;
        assert(x->leaves.items[x->hint]->count > 0);
        return x->hint;
}

/* The first slot whose key is not below. */
static unsigned find_slot(const struct leaf *l, const void *key, size_t n) {
        unsigned low = 0, high = l->count;

        assert(l->count > 0 && l->count <= l->allocated);
        while (low < high) {
                unsigned mid = (low + high) / 2;

                if (index_item_compare(l->items[mid], key, n) < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

void index_seek(struct index *x, const void *key, size_t n, struct index_cursor *ret) {
        *ret = (struct index_cursor){.index = x};
        if (x->leaves.count == 0)
                return;
        ret->leaf = find_leaf(x, key, n);
        ret->slot = find_slot(x->leaves.items[ret->leaf], key, n);
        if (ret->slot == x->leaves.items[ret->leaf]->count) {
                ret->leaf++;
                ret->slot = 0;
        }
}

struct index_item *index_cursor_item(const struct index_cursor *c) {
        if (c->leaf >= c->index->leaves.count)
                return NULL;
        assert(c->slot < c->index->leaves.items[c->leaf]->count);
        return c->index->leaves.items[c->leaf]->items[c->slot];
}

void index_cursor_next(struct index_cursor *c) {
        if (c->leaf >= c->index->leaves.count)
                return;
        assert(c->slot < c->index->leaves.items[c->leaf]->count);
        if (++c->slot == c->index->leaves.items[c->leaf]->count) {
                c->leaf++;
                c->slot = 0;
        }
}

struct index_item *index_get(struct index *x, const void *key, size_t n) {
        struct index_cursor c;
        struct index_item *it;

        index_seek(x, key, n, &c);
        it = index_cursor_item(&c);
        return it && index_item_compare(it, key, n) == 0 ? it : NULL;
}

static int leaf_resize(struct leaf **l, size_t items) {
        size_t want = (items + LEAF_STEP - 1) / LEAF_STEP * LEAF_STEP;
        struct leaf *n;

        assert(items > 0 && items <= LEAF_MAX);
        assert(!*l || (*l)->count <= want); /* no item is cut off */
        n = realloc(*l, sizeof(*n) + want * sizeof(n->items[0]));
        if (!n)
                return -ENOMEM;
        if (!*l)
                n->count = 0;
        n->allocated = (uint32_t)want;
        *l = n;
        return 0;
}

/* Keys often come in order: then the old leaf stays full and the new one takes only the last. */
static int split_leaf(struct index *x, size_t at, size_t slot) {
        struct leaf *l = x->leaves.items[at], *n = NULL;
        uint32_t keep = slot == LEAF_MAX && at + 1 == x->leaves.count ? LEAF_MAX - 1 : LEAF_MAX / 2;
        int r;

        assert(l->count == LEAF_MAX && slot <= LEAF_MAX);
        r = leaf_resize(&n, l->count - keep);
        if (r < 0)
                return r;
        n->count = l->count - keep;
        memcpy(n->items, l->items + keep, n->count * sizeof(n->items[0]));
        r = vector_insert(&x->leaves, at + 1, n);
        if (r < 0) {
                free(n);
                return r;
        }
        l->count = keep;
        assert(l->count > 0 && n->count > 0 && l->count + n->count == LEAF_MAX);
        (void)leaf_resize(&x->leaves.items[at], keep);
        return 0;
}

static int add_first_leaf(struct index *x) {
        _cleanup_free_ struct leaf *l = NULL;
        int r = leaf_resize(&l, 1);

        if (r < 0)
                return r;
        r = vector_insert(&x->leaves, 0, l);
        if (r < 0)
                return r;
        l = NULL;
        return 0;
}

static bool item_before(const struct index_item *a, const struct index_item *b) {
        return index_item_compare(a, b->key, index_item_key_size(b)) < 0;
}

/* Where index_seek() has looked for its key and not found it. */
static int insert_item(struct index *x, size_t at, size_t slot, struct index_item *it) {
        struct leaf *l;
        int r;

        if (x->leaves.count == 0) {
                r = add_first_leaf(x);
                if (r < 0)
                        return r;
        }
        if (x->leaves.items[at]->count == LEAF_MAX) {
                r = split_leaf(x, at, slot);
                if (r < 0)
                        return r;
                if (slot > x->leaves.items[at]->count) {
                        slot -= x->leaves.items[at]->count;
                        at++;
                }
        }
        if (x->leaves.items[at]->count == x->leaves.items[at]->allocated) {
                r = leaf_resize(&x->leaves.items[at], x->leaves.items[at]->count + 1);
                if (r < 0)
                        return r;
        }
        l = x->leaves.items[at];
        assert(slot <= l->count && l->count < l->allocated);
        assert(slot == 0 || item_before(l->items[slot - 1], it));
        assert(slot == l->count || item_before(it, l->items[slot]));
        memmove(&l->items[slot + 1], &l->items[slot], (l->count - slot) * sizeof(l->items[0]));
        l->items[slot] = it;
        l->count++;
        x->count++;
        return 0;
}

struct place index_item_newest(const struct index_item *it) {
        return (struct place){.rev = it->rev, .seq_dead = it->seq_dead};
}

static bool index_item_dead(const struct index_item *it) {
        return it->seq_dead & 1;
}

int64_t index_item_create(const struct index_item *it) {
        return index_item_dead(it) ? 0 : it->more ? it->more->create : (int64_t)it->rev;
}

int64_t index_item_version(const struct index_item *it) {
        return index_item_dead(it) ? 0 : it->more ? it->more->version : 1;
}

int64_t index_item_lease(const struct index_item *it) {
        return index_item_dead(it) || !it->more ? 0 : it->more->lease;
}

static int more_resize(struct index_item *it, uint32_t places) {
        struct more *m;

        assert(!it->more || it->more->count <= places); /* no change is cut off */
        m = realloc(it->more, sizeof(*m) + places * sizeof(m->past[0]));
        if (!m)
                return -ENOMEM;
        if (!it->more)
                *m = (struct more){.create = (int64_t)it->rev, .version = 1};
        m->allocated = places;
        it->more = m;
        return 0;
}

static int push_past(struct index_item *it) {
        struct more *m = it->more;

        if (!m || m->count == m->allocated) {
                int r = more_resize(it, m && m->count > 0 ? m->count * 2 : 2);

                if (r < 0)
                        return r;
        }
        m = it->more;
        assert(m->count < m->allocated);
        m->past[m->count++] = index_item_newest(it);
        return 0;
}

static int new_item(
                struct index *x, const void *key, size_t n, bool more, struct index_item **ret) {
        struct index_item *it = slab_alloc(&x->items, sizeof(*it) + n);

        if (!it)
                return -ENOMEM;
        *it = (struct index_item){.key_low = n & UINT16_MAX, .key_high = n >> 16 & UINT16_MAX};
        memcpy(it->key, key, n);
        if (more && more_resize(it, 0) < 0) {
                index_item_free(x, it);
                return -ENOMEM;
        }
        *ret = it;
        return 0;
}

int index_add(struct index *x, const void *key, size_t n, struct place place, int64_t create,
                int64_t version, int64_t lease) {
        uint64_t mask = ((uint64_t)1 << INDEX_PLACE_BITS) - 1;
        struct index_cursor c;
        struct index_item *it;
        int r;

        if (place.rev >> INDEX_PLACE_BITS != 0 || place.seq_dead >> INDEX_PLACE_BITS != 0 ||
                        n > INDEX_KEY_SIZE_MAX)
                return -ERANGE;
        /* A key that is behind all of a leaf goes there, not before all of the next. */
        if (x->leaves.count == 0)
                c = (struct index_cursor){.index = x};
        else {
                c.leaf = find_leaf(x, key, n);
                c.slot = find_slot(x->leaves.items[c.leaf], key, n);
        }
        it = x->leaves.count > 0 && c.slot < x->leaves.items[c.leaf]->count
                             ? x->leaves.items[c.leaf]->items[c.slot]
                             : NULL;
        if (it && index_item_compare(it, key, n) == 0) {
                r = push_past(it);
                if (r < 0)
                        return r;
        } else {
                r = new_item(x, key, n, create != place.rev || version > 1 || lease != 0, &it);
                if (r < 0)
                        return r;
                r = insert_item(x, c.leaf, c.slot, it);
                if (r < 0) {
                        index_item_free(x, it);
                        return r;
                }
        }
        it->rev = (uint64_t)place.rev & mask;
        it->seq_dead = (uint64_t)place.seq_dead & mask;
        if (it->more) {
                it->more->create = create;
                it->more->version = version;
                it->more->lease = lease;
        }
        return 0;
}

/* The number of past places with a revision not above rev. */
static uint32_t past_upto(const struct index_item *it, int64_t rev) {
        uint32_t low = 0, high = it->more ? it->more->count : 0;

        while (low < high) {
                uint32_t mid = (low + high) / 2;

                if (it->more->past[mid].rev <= rev)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

bool index_item_at(const struct index_item *it, int64_t rev, struct place *ret) {
        uint32_t n;

        if ((int64_t)it->rev <= rev) {
                *ret = index_item_newest(it);
                return true;
        }
        n = past_upto(it, rev);
        if (n == 0)
                return false;
        *ret = it->more->past[n - 1];
        assert(ret->rev <= rev);
        return true;
}

bool index_item_at_seq(
                const struct index_item *it, int64_t rev, int64_t below_seq, struct place *ret) {
        uint32_t n;

        if ((int64_t)it->rev <= rev && index_item_seq(it) < below_seq) {
                *ret = index_item_newest(it);
                return true;
        }
        n = past_upto(it, rev);
        while (n > 0 && place_seq(&it->more->past[n - 1]) >= below_seq)
                n--;
        if (n == 0)
                return false;
        *ret = it->more->past[n - 1];
        assert(ret->rev <= rev && place_seq(ret) < below_seq);
        return true;
}

bool index_item_before(const struct index_item *it, int64_t rev, struct place *ret) {
        return index_item_at(it, rev - 1, ret);
}

/* Drops the first n of the past. */
static void drop_past(struct index_item *it, uint32_t n, void (*dropped)(int64_t, void *),
                void *userdata) {
        struct more *m = it->more;

        assert(n == 0 || (m && n <= m->count && m->count <= m->allocated));
        for (uint32_t i = 0; i < n; i++)
                dropped(place_seq(&m->past[i]), userdata);
        if (n == 0)
                return;
        m->count -= n;
        memmove(m->past, m->past + n, m->count * sizeof(m->past[0]));
        if (m->count > 0)
                return;
        if (index_item_dead(it) ||
                        (m->version == 1 && m->create == (int64_t)it->rev && m->lease == 0))
                it->more = mfree(m);
        else
                (void)more_resize(it, 0);
}

/* Returns whether the item is gone altogether. */
static bool compact_item(struct index_item *it, int64_t rev, void (*dropped)(int64_t, void *),
                void *userdata) {
        struct place newest = index_item_newest(it);
        uint32_t n = past_upto(it, rev);

        if (newest.rev <= rev) {
                drop_past(it, n, dropped, userdata);
                /* A deletion at the very revision is still an event that a watch may ask for. */
                if (!place_dead(&newest) || newest.rev == rev)
                        return false;
                dropped(place_seq(&newest), userdata);
                return true;
        }
        if (n == 0)
                return false;
        /* The one that counts at rev stays, unless it is an earlier deletion. */
        if (place_dead(&it->more->past[n - 1]) && it->more->past[n - 1].rev < rev)
                drop_past(it, n, dropped, userdata);
        else
                drop_past(it, n - 1, dropped, userdata);
        return false;
}

static void remove_slot(struct index *x, size_t at, unsigned slot) {
        struct leaf *l = x->leaves.items[at];

        assert(slot < l->count);
        assert(x->count >= l->count); /* the index counts what its leaves hold */
        index_item_free(x, l->items[slot]);
        l->count--;
        x->count--;
        memmove(&l->items[slot], &l->items[slot + 1], (l->count - slot) * sizeof(l->items[0]));
        if (l->count > 0)
                return;
        free(l);
        x->leaves.count--;
        memmove(&x->leaves.items[at], &x->leaves.items[at + 1],
                        (x->leaves.count - at) * sizeof(x->leaves.items[0]));
}

int index_compact(struct index *x, int64_t compact_rev, const void *from, size_t from_size,
                size_t items, void (*dropped)(int64_t seq, void *userdata), void *userdata,
                char **ret_next, size_t *ret_next_size) {
        struct index_cursor c;
        struct index_item *it;

        index_seek(x, from, from_size, &c);
        for (size_t i = 0; i < items; i++) {
                it = index_cursor_item(&c);
                if (!it)
                        return 0;
                if (!compact_item(it, compact_rev, dropped, userdata)) {
                        index_cursor_next(&c);
                        continue;
                }
                size_t leaves = x->leaves.count;

                remove_slot(x, c.leaf, (unsigned)c.slot);
                if (leaves == x->leaves.count && c.slot == x->leaves.items[c.leaf]->count) {
                        c.leaf++;
                        c.slot = 0;
                } else if (leaves != x->leaves.count)
                        c.slot = 0;
        }
        it = index_cursor_item(&c);
        if (!it)
                return 0;
        *ret_next_size = index_item_key_size(it);
        *ret_next = malloc(*ret_next_size + 1);
        if (!*ret_next)
                return -ENOMEM;
        memcpy(*ret_next, it->key, *ret_next_size);
        return 1;
}
