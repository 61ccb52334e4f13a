/* Building a batch: what one transaction of the store writes. */
#include "kstored/disk/disk.h"

int disk_batch_row(struct disk_batch *b, struct row *row) {
        int r = vector_append(&b->rows, row);

        if (r < 0)
                return r;
        row_ref(row);
        b->row_bytes += row_bytes(row);
        return 0;
}

int disk_batch_dead(struct disk_batch *b, int64_t seq) {
        return vector_append(&b->dead, seq);
}

int disk_batch_op(struct disk_batch *b, const struct disk_op *op) {
        int r = vector_append(&b->ops, *op);

        if (r >= 0 && op->blob)
                bytes_ref(op->blob);
        return r;
}

bool disk_batch_empty(const struct disk_batch *b) {
        return b->numbers_set == 0 && b->rows.count == 0 && b->dead.count == 0 && b->ops.count == 0;
}

int disk_batch_merge(struct disk_batch *b, struct disk_batch *more) {
        int r = vector_reserve(&b->rows, more->rows.count);

        if (r < 0)
                return r;
        r = vector_reserve(&b->dead, more->dead.count);
        if (r < 0)
                return r;
        r = vector_reserve(&b->ops, more->ops.count);
        if (r < 0)
                return r;
        for (size_t i = 0; i < more->rows.count; i++)
                b->rows.items[b->rows.count++] = more->rows.items[i];
        for (size_t i = 0; i < more->dead.count; i++)
                b->dead.items[b->dead.count++] = more->dead.items[i];
        for (size_t i = 0; i < more->ops.count; i++)
                b->ops.items[b->ops.count++] = more->ops.items[i];
        b->row_bytes += more->row_bytes;
        b->sync |= more->sync;
        for (unsigned i = 0; i < DISK_NUMBERS; i++)
                if (more->numbers_set & (1u << i))
                        disk_batch_number(b, i, more->numbers[i]);
        more->rows.count = more->dead.count = more->ops.count = 0;
        disk_batch_clear(more);
        return 0;
}

void disk_batch_clear(struct disk_batch *b) {
        for (size_t i = 0; i < b->rows.count; i++)
                row_unref(b->rows.items[i]);
        for (size_t i = 0; i < b->ops.count; i++)
                bytes_unref(b->ops.items[i].blob);
        vector_done(&b->rows);
        vector_done(&b->dead);
        vector_done(&b->ops);
        *b = (struct disk_batch){0};
}
