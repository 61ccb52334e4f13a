/* Compaction in small batches over the index, and the hash that members compare. */
#include "kstored/mvcc/internal.h"

int mvcc_compact(struct mvcc *m, int64_t rev) {
        if (rev <= m->compact_rev)
                return -ERANGE;
        if (rev > m->rev)
                return -EOVERFLOW;
        assert(!m->in_txn);
        m->compact_rev = rev;
        m->compacting = true;
        m->compact_next = mfree(m->compact_next);
        m->compact_next_size = 0;
        return 0;
}

bool mvcc_compacting(const struct mvcc *m) {
        return m->compacting;
}

int mvcc_compact_step(struct mvcc *m, size_t items, void (*dropped)(int64_t seq, void *userdata),
                void *userdata) {
        _cleanup_free_ char *from = TAKE_PTR(m->compact_next);
        int r;

        if (!m->compacting)
                return 0;
        assert(!m->in_txn); /* a txn holds on to items */
        assert(from || m->compact_next_size == 0);
        r = index_compact(m->index, m->compact_rev + bug(BUG_COMPACT_TOO_MUCH), strempty(from),
                        m->compact_next_size, items, dropped, userdata, &m->compact_next,
                        &m->compact_next_size);
        if (r <= 0) {
                m->compacting = false;
                m->compact_next_size = 0;
        }
        return r;
}

static int hash_place(struct mvcc *m, const struct place *p, uint64_t *sum) {
        _cleanup_row_ struct row *row = NULL;
        int r = mvcc_row(m, place_seq(p), &row);

        if (r < 0)
                return r;
        *sum += row_hash(row, row->data, row_value(row));
        return 0;
}

/* From the newest visible change back to the one that counts at the compaction revision. */
static int hash_item(struct mvcc *m, const struct index_item *it, int64_t rev, uint64_t *sum) {
        struct place p;

        for (bool found = index_item_at(it, rev, &p); found;
                        found = index_item_before(it, p.rev, &p)) {
                int r;

                if (p.rev < m->compact_rev && place_dead(&p))
                        return 0;
                r = hash_place(m, &p, sum);
                if (r < 0)
                        return r;
                if (p.rev <= m->compact_rev)
                        return 0;
        }
        return 0;
}

int mvcc_hash(struct mvcc *m, int64_t rev, uint32_t *ret) {
        uint64_t sum = 0;
        struct index_cursor c;
        struct index_item *it;
        int r = 0;

        mvcc_hold(m, true);
        for (index_seek(m->index, "", 0, &c); r >= 0 && (it = index_cursor_item(&c));
                        index_cursor_next(&c))
                r = hash_item(m, it, rev, &sum);
        mvcc_hold(m, false);
        if (r < 0)
                return r;
        *ret = row_hash_fold(sum);
        return 0;
}
