/* The tail holds the newest rows by seq, without gaps: [tail_first, next_seq). Rows from `flushed`
 * on exist only there; those below it are a cache of what the table has too. */
#include "kstored/mvcc/mvcc.h"

#include "kstored/mvcc/internal.h"

int mvcc_new(struct mvcc **ret, const struct row_source *source) {
        _cleanup_(mvcc_freep) struct mvcc *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->source = *source;
        m->rev = 1; /* as etcd: an empty store is at revision 1 */
        m->tail_first = m->flushed = m->next_seq = 1;
        r = index_new(&m->index);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

struct mvcc *mvcc_free(struct mvcc *m) {
        if (!m)
                return NULL;
        for (int64_t s = m->tail_first; s < m->next_seq; s++)
                row_unref(m->tail[s & m->tail_mask]);
        for (size_t i = 0; i < m->changes.count; i++)
                row_unref(m->changes.items[i]);
        free(m->tail);
        vector_done(&m->changes);
        free(m->compact_next);
        index_free(m->index);
        free(m);
        return NULL;
}

void mvcc_restore(struct mvcc *m, int64_t rev, int64_t next_seq, int64_t compact_rev) {
        m->rev = rev;
        m->tail_first = m->flushed = m->next_seq = next_seq;
        m->compact_rev = compact_rev;
        m->compacting = compact_rev > 0; /* a crash may have interrupted the deletion */
}

int mvcc_restore_row(struct mvcc *m, const struct row *row) {
        struct place place = {.rev = row->rev, .seq_dead = row->seq * 2 + (row->version == 0)};

        return index_add(m->index, row->data, row->key_size, place, row->create, row->version,
                        row->lease);
}

int64_t mvcc_rev(const struct mvcc *m) {
        return m->rev;
}

int64_t mvcc_next_seq(const struct mvcc *m) {
        return m->next_seq;
}

int64_t mvcc_compact_rev(const struct mvcc *m) {
        return m->compact_rev;
}

size_t mvcc_key_count(const struct mvcc *m) {
        return index_count(m->index);
}

void mvcc_begin(struct mvcc *m) {
        assert(!m->in_txn);
        assert(m->tail_first <= m->flushed && m->flushed <= m->next_seq);
        m->in_txn = true;
        m->txn_changed = false;
}

bool mvcc_end(struct mvcc *m) {
        assert(m->in_txn);
        assert(!m->txn_changed || m->changes.count > 0);
        m->in_txn = false;
        if (m->txn_changed)
                m->rev++;
        return m->txn_changed;
}

int64_t mvcc_txn_rev(const struct mvcc *m) {
        return m->rev + (m->in_txn && m->txn_changed);
}

static void tail_drop_first(struct mvcc *m) {
        struct row *row = m->tail[m->tail_first & m->tail_mask];

        assert(m->tail_first < m->flushed); /* the table has it too */
        assert(row->seq == m->tail_first && m->tail_bytes >= row_bytes(row));
        m->tail_bytes -= row_bytes(row);
        m->tail[m->tail_first & m->tail_mask] = row_unref(row);
        m->tail_first++;
}

static int tail_reserve(struct mvcc *m) {
        size_t size = m->tail ? (size_t)m->tail_mask + 1 : 0, want = size ? size * 2 : 1024;
        struct row **v;

        assert(m->tail_first <= m->next_seq && (size_t)(m->next_seq - m->tail_first) <= size);
        assert((want & (want - 1)) == 0); /* the mask picks the place */
        if ((size_t)(m->next_seq - m->tail_first) < size)
                return 0;
        v = calloc(want, sizeof(*v));
        if (!v)
                return -ENOMEM;
        for (int64_t s = m->tail_first; s < m->next_seq; s++)
                v[s & (int64_t)(want - 1)] = m->tail[s & m->tail_mask];
        free(m->tail);
        m->tail = v;
        m->tail_mask = (int64_t)want - 1;
        return 0;
}

/* Takes the row. */
static int add_row(struct mvcc *m, struct row *taken) {
        _cleanup_row_ struct row *row = taken;
        struct place place = {.rev = m->rev + 1, .seq_dead = m->next_seq * 2 + (row->version == 0)};
        int r = tail_reserve(m);

        if (r < 0)
                return r;
        r = vector_reserve(&m->changes, 1);
        if (r < 0)
                return r;
        r = index_add(m->index, row->data, row->key_size, place, row->create, row->version,
                        row->lease);
        if (r < 0)
                return r;
        assert(m->in_txn);
        assert(!m->tail[m->next_seq & m->tail_mask]); /* nothing in the ring is overwritten */
        row->rev = place.rev;
        row->seq = m->next_seq++;
        m->tail_bytes += row_bytes(row);
        m->changes.items[m->changes.count++] = row_ref(row);
        m->txn_changed = true;
        m->tail[place_seq(&place) & m->tail_mask] = TAKE_PTR(row);
        return 0;
}

int mvcc_put(struct mvcc *m, const void *key, size_t key_size, const void *value, size_t value_size,
                int64_t lease) {
        const struct index_item *it = mvcc_get(m, key, key_size);
        struct row *row;

        assert(m->in_txn);
        if (key_size > INDEX_KEY_SIZE_MAX || value_size > UINT32_MAX)
                return -E2BIG;
        row = row_new(key, key_size, value, value_size);
        if (!row)
                return -ENOMEM;
        row->create = it ? index_item_create(it) : m->rev + 1;
        row->version = it ? index_item_version(it) + 1 : 1;
        row->lease = lease;
        return add_row(m, row);
}

int mvcc_delete(struct mvcc *m, const void *key, size_t key_size) {
        const struct index_item *it = mvcc_get(m, key, key_size);
        struct row *row;
        int r;

        assert(m->in_txn);
        if (!it)
                return 0;
        row = row_new(key, key_size, NULL, 0);
        if (!row)
                return -ENOMEM;
        r = add_row(m, row);
        return r < 0 ? r : 1;
}

struct row **mvcc_take_changes(struct mvcc *m, size_t *ret_count) {
        struct row **v = m->changes.items;

        assert(!m->in_txn); /* whole revisions only */
        *ret_count = m->changes.count;
        m->changes.items = NULL;
        m->changes.count = m->changes.allocated = 0;
        return v;
}

void mvcc_flushed(struct mvcc *m, int64_t below_seq) {
        assert(!m->in_txn);
        assert(below_seq <= m->next_seq);
        if (below_seq > m->flushed)
                m->flushed = below_seq;
        while (m->tail_first < m->flushed && m->tail_bytes > MVCC_CACHE_BYTES)
                tail_drop_first(m);
}

const struct index_item *mvcc_get(const struct mvcc *m, const void *key, size_t n) {
        const struct index_item *it = index_get(m->index, key, n);

        return it && index_item_version(it) > 0 ? it : NULL;
}

int mvcc_row(struct mvcc *m, int64_t seq, struct row **ret) {
        int r;

        if (seq >= m->tail_first && seq < m->next_seq) {
                assert(m->tail[seq & m->tail_mask]->seq == seq);
                *ret = row_ref(m->tail[seq & m->tail_mask]);
                return 0;
        }
        r = m->source.read(m->source.userdata, seq, ret);
        return r > 0 ? 0 : r < 0 ? r : -ENODATA;
}

int mvcc_head(struct mvcc *m, int64_t seq, struct row **ret) {
        int r;

        if (!m->source.head || (seq >= m->tail_first && seq < m->next_seq))
                return mvcc_row(m, seq, ret);
        r = m->source.head(m->source.userdata, seq, ret);
        return r > 0 ? 0 : r < 0 ? r : -ENODATA;
}

void mvcc_hold(struct mvcc *m, bool open) {
        if (m->source.hold)
                m->source.hold(m->source.userdata, open);
}

bool key_range_is_single(const struct key_range *r) {
        return r->end_size == 0;
}

static bool unbounded(const struct key_range *r) {
        return r->end_size == 1 && r->end[0] == 0;
}

bool key_in_range(const struct key_range *r, const void *key, size_t n) {
        if (key_range_is_single(r))
                return key_compare(r->key, r->key_size, key, n) == 0;
        return key_compare(key, n, r->key, r->key_size) >= 0 &&
               (unbounded(r) || key_compare(key, n, r->end, r->end_size) < 0);
}

void mvcc_walk_begin(struct mvcc *m, const struct key_range *range, const char *from,
                size_t from_size, struct mvcc_walk *ret) {
        ret->range = *range;
        index_seek(m->index, from ? from : range->key, from ? from_size : range->key_size,
                        &ret->cursor);
}

const struct index_item *mvcc_walk_item(const struct mvcc_walk *w) {
        const struct index_item *it = index_cursor_item(&w->cursor);

        return it && key_in_range(&w->range, it->key, index_item_key_size(it)) ? it : NULL;
}

void mvcc_walk_next(struct mvcc_walk *w) {
        index_cursor_next(&w->cursor);
}

int mvcc_range(struct mvcc *m, const struct key_range *range, int64_t rev, size_t walk_max,
                struct mvcc_match **ret, size_t *ret_n) {
        VECTOR(struct mvcc_match) found = {0};
        const struct index_item *it;
        struct mvcc_walk w;
        size_t walked = 0;
        int r = 0;

        for (mvcc_walk_begin(m, range, NULL, 0, &w); (it = mvcc_walk_item(&w));
                        mvcc_walk_next(&w)) {
                struct place place;

                if (walked++ == walk_max) {
                        r = -E2BIG;
                        break;
                }
                if (index_item_at(it, rev, &place) && !place_dead(&place))
                        r = vector_append(
                                        &found, ((struct mvcc_match){.item = it, .place = place}));
                if (r < 0 || key_range_is_single(range))
                        break;
        }
        if (r < 0) {
                vector_done(&found);
                return r;
        }
        *ret = found.items;
        *ret_n = found.count;
        return 0;
}

int mvcc_find_rev(struct mvcc *m, int64_t rev, int64_t *ret_seq) {
        int64_t low = m->tail_first, high = m->next_seq;
        int r;

        if (m->tail_first < m->next_seq && m->tail[low & m->tail_mask]->rev < rev) {
                while (low < high) {
                        int64_t mid = low + (high - low) / 2;

                        if (m->tail[mid & m->tail_mask]->rev < rev)
                                low = mid + 1;
                        else
                                high = mid;
                }
                assert(low > m->tail_first && m->tail[(low - 1) & m->tail_mask]->rev < rev);
                assert(low == m->next_seq || m->tail[low & m->tail_mask]->rev >= rev);
                *ret_seq = low;
                return 0;
        }
        r = m->source.find_rev(m->source.userdata, rev, ret_seq);
        if (r >= 0 && *ret_seq > m->tail_first)
                *ret_seq = m->tail_first;
        return r;
}

int mvcc_scan(struct mvcc *m, int64_t from_seq, size_t n, struct row **ret_rows) {
        size_t count = 0;

        if (from_seq < m->tail_first) {
                int r = m->source.scan(m->source.userdata, from_seq, n, ret_rows);

                if (r < 0)
                        return r;
                assert((size_t)r <= n);
                /* The table may reach into what memory has too. */
                while (r > 0 && ret_rows[r - 1]->seq >= m->tail_first)
                        row_unref(ret_rows[--r]);
                count = (size_t)r;
                if (count == n)
                        return (int)count;
                from_seq = m->tail_first;
        }
        assert(from_seq >= m->tail_first);
        for (; from_seq < m->next_seq && count < n; from_seq++)
                ret_rows[count++] = row_ref(m->tail[from_seq & m->tail_mask]);
        return (int)count;
}

int mvcc_previous(struct mvcc *m, const struct row *row, struct row **ret) {
        const struct index_item *it = index_get(m->index, row->data, row->key_size);
        struct place p;
        int r;

        if (!it || !index_item_before(it, row->rev, &p) || place_dead(&p))
                return 0;
        r = mvcc_row(m, place_seq(&p), ret);
        return r == -ENODATA ? 0 : r < 0 ? r : 1;
}
