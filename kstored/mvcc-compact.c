/* Compaction in small batches over the index, and the hash that members compare. */
#include "kstored/mvcc-internal.h"

int mvcc_compact(struct mvcc *m, int64_t rev) {
        if (rev <= m->compact_rev)
                return -ERANGE;
        if (rev > m->rev)
                return -EOVERFLOW;
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
        r = index_compact(m->index, m->compact_rev, strempty(from), m->compact_next_size, items,
                        dropped, userdata, &m->compact_next, &m->compact_next_size);
        if (r <= 0) {
                m->compacting = false;
                m->compact_next_size = 0;
        }
        return r;
}

/* CRC-32C, bit by bit through a small table made of the polynomial (RFC 3720). */
static uint32_t crc32c(uint32_t crc, const void *data, size_t n) {
        static const uint32_t nibble[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                        0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17,
                        0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
        const uint8_t *p = data;

        crc = ~crc;
        while (n-- > 0) {
                crc ^= *p++;
                crc = (crc >> 4) ^ nibble[crc & 15];
                crc = (crc >> 4) ^ nibble[crc & 15];
        }
        return ~crc;
}

static int hash_place(struct mvcc *m, const struct place *p, uint32_t *crc) {
        _cleanup_row_ struct row *row = NULL;
        int64_t figures[5];
        int r = mvcc_row(m, place_seq(p), &row);

        if (r < 0)
                return r;
        figures[0] = row->rev;
        figures[1] = row->create;
        figures[2] = row->version;
        figures[3] = row->lease;
        figures[4] = (int64_t)row->key_size << 32 | row->value_size;
        *crc = crc32c(*crc, figures, sizeof(figures));
        *crc = crc32c(*crc, row->data, row->key_size + row->value_size);
        return 0;
}

/* From the newest visible change back to the one that counts at the compaction revision. */
static int hash_item(struct mvcc *m, const struct item *it, int64_t rev, uint32_t *crc) {
        for (const struct place *p = item_at(it, rev); p; p = item_before(it, p->rev)) {
                int r;

                if (p->rev < m->compact_rev && place_dead(p))
                        return 0;
                r = hash_place(m, p, crc);
                if (r < 0)
                        return r;
                if (p->rev <= m->compact_rev)
                        return 0;
        }
        return 0;
}

int mvcc_hash(struct mvcc *m, int64_t rev, uint32_t *ret) {
        uint32_t crc = 0;
        struct cursor c;
        struct item *it;
        int r = 0;

        mvcc_hold(m, true);
        for (index_seek(m->index, "", 0, &c); r >= 0 && (it = cursor_item(&c)); cursor_next(&c))
                r = hash_item(m, it, rev, &crc);
        mvcc_hold(m, false);
        if (r < 0)
                return r;
        *ret = crc;
        return 0;
}
