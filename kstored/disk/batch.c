/* Building a batch: what one transaction of the store writes. */
#include "kstored/disk/disk.h"

static int grow(void **v, size_t *allocated, size_t n, size_t element) {
        size_t want = *allocated ? *allocated : 16;
        void *p;

        if (n <= *allocated)
                return 0;
        while (want < n)
                want *= 2;
        p = realloc(*v, want * element);
        if (!p)
                return -ENOMEM;
        *v = p;
        *allocated = want;
        return 0;
}

int disk_batch_row(struct disk_batch *b, struct row *row) {
        int r = grow((void **)&b->rows, &b->row_allocated, b->row_count + 1, sizeof(b->rows[0]));

        if (r < 0)
                return r;
        b->rows[b->row_count++] = row_ref(row);
        b->row_bytes += row_bytes(row);
        return 0;
}

int disk_batch_dead(struct disk_batch *b, int64_t seq) {
        int r = grow((void **)&b->dead, &b->dead_allocated, b->dead_count + 1, sizeof(b->dead[0]));

        if (r < 0)
                return r;
        b->dead[b->dead_count++] = seq;
        return 0;
}

int disk_batch_op(struct disk_batch *b, const struct disk_op *op) {
        int r = grow((void **)&b->ops, &b->op_allocated, b->op_count + 1, sizeof(b->ops[0]));

        if (r < 0)
                return r;
        b->ops[b->op_count] = *op;
        if (op->blob)
                bytes_ref(op->blob);
        b->op_count++;
        return 0;
}

bool disk_batch_empty(const struct disk_batch *b) {
        return b->numbers_set == 0 && b->row_count == 0 && b->dead_count == 0 && b->op_count == 0;
}

int disk_batch_merge(struct disk_batch *b, struct disk_batch *more) {
        int r = grow((void **)&b->rows, &b->row_allocated, b->row_count + more->row_count,
                        sizeof(b->rows[0]));

        if (r >= 0)
                r = grow((void **)&b->dead, &b->dead_allocated, b->dead_count + more->dead_count,
                                sizeof(b->dead[0]));
        if (r >= 0)
                r = grow((void **)&b->ops, &b->op_allocated, b->op_count + more->op_count,
                                sizeof(b->ops[0]));
        if (r < 0)
                return r;
        for (size_t i = 0; i < more->row_count; i++)
                b->rows[b->row_count++] = more->rows[i];
        for (size_t i = 0; i < more->dead_count; i++)
                b->dead[b->dead_count++] = more->dead[i];
        for (size_t i = 0; i < more->op_count; i++)
                b->ops[b->op_count++] = more->ops[i];
        b->row_bytes += more->row_bytes;
        b->sync |= more->sync;
        for (unsigned i = 0; i < DISK_NUMBERS; i++)
                if (more->numbers_set & (1u << i))
                        disk_batch_number(b, i, more->numbers[i]);
        more->row_count = more->dead_count = more->op_count = 0;
        disk_batch_clear(more);
        return 0;
}

void disk_batch_clear(struct disk_batch *b) {
        for (size_t i = 0; i < b->row_count; i++)
                row_unref(b->rows[i]);
        for (size_t i = 0; i < b->op_count; i++)
                bytes_unref(b->ops[i].blob);
        free(b->rows);
        free(b->dead);
        free(b->ops);
        *b = (struct disk_batch){0};
}
