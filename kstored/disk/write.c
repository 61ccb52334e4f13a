/* The writing side: one transaction a batch, and with it the sum over everything; checkpoints. */
#include "kstored/disk/internal.h"

enum { FRAME_HEADER_BYTES = 24 };

static int run(struct disk *d, sqlite3_stmt *statement) {
        _cleanup_reset_ sqlite3_stmt *st = statement;
        int code = sqlite3_step(st);

        if (code != SQLITE_DONE && code != SQLITE_ROW)
                snprintf(d->error, sizeof(d->error), "%s", sqlite3_errmsg(d->writer));
        return disk_failure_errno(d->writer, code);
}

/* A statement that removes a row and returns its checksum: the row's part of the sum goes. */
static int run_remove(
                struct disk *d, enum disk_statement which, int table, uint64_t id, uint64_t *sum) {
        _cleanup_reset_ sqlite3_stmt *st = d->write[which];
        int code;

        sqlite3_bind_int64(st, 1, (int64_t)id);
        code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                *sum -= disk_sum_part(table, id, (uint64_t)sqlite3_column_int64(st, 0));
        else if (code != SQLITE_DONE)
                snprintf(d->error, sizeof(d->error), "%s", sqlite3_errmsg(d->writer));
        return disk_failure_errno(d->writer, code);
}

static int write_rows(struct disk *d, const struct disk_batch *b, uint64_t *sum) {
        sqlite3_stmt *st = d->write[DISK_ROW_INSERT];
        int r;

        for (size_t i = 0; i < b->rows.count; i++) {
                const struct row *row = b->rows.items[i];
                uint64_t own = disk_row_sum(row, row->data, row_value(row));

                sqlite3_bind_int64(st, 1, row->seq);
                sqlite3_bind_int64(st, 2, row->rev);
                sqlite3_bind_blob64(st, 3, row->data, row->key_size, SQLITE_STATIC);
                sqlite3_bind_int64(st, 4, row->create);
                sqlite3_bind_int64(st, 5, row->version);
                sqlite3_bind_int64(st, 6, row->lease);
                sqlite3_bind_int64(st, 7, (int64_t)own);
                sqlite3_bind_blob64(st, 8, row_value(row), row->value_size, SQLITE_STATIC);
                r = run(d, st);
                if (r < 0)
                        return r;
                *sum += disk_sum_part(DISK_REVISION_TABLE, (uint64_t)row->seq, own);
        }
        for (size_t i = 0; i < b->dead.count; i++) {
                r = run_remove(d, DISK_ROW_DELETE, DISK_REVISION_TABLE, (uint64_t)b->dead.items[i],
                                sum);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_op(struct disk *d, const struct disk_op *op, uint64_t *sum) {
        sqlite3_stmt *st = d->write[DISK_OP_PUT + (int)op->table];
        size_t size = op->blob ? op->blob->size : 0;
        uint64_t own = disk_op_sum(
                        op->table, op->id, op->value, op->blob ? op->blob->data : "", size);
        int r = run_remove(d, DISK_OP_REMOVE + (int)op->table, (int)op->table, op->id, sum);

        if (r < 0 || op->remove)
                return r;
        sqlite3_bind_int64(st, 1, (int64_t)op->id);
        if (op->table == DISK_MEMBER)
                sqlite3_bind_blob64(st, 3, op->blob->data, size, SQLITE_STATIC);
        else
                sqlite3_bind_int64(st, 2, op->value);
        sqlite3_bind_int64(st, 4, (int64_t)own);
        *sum += disk_sum_part((int)op->table, op->id, own);
        return run(d, st);
}

static int set_number(struct disk *d, const char *name, uint64_t value) {
        sqlite3_bind_text(d->write[DISK_NUMBER_SET], 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(d->write[DISK_NUMBER_SET], 2, (int64_t)value);
        return run(d, d->write[DISK_NUMBER_SET]);
}

static int write_small(struct disk *d, const struct disk_batch *b, uint64_t *sum) {
        int r;

        for (size_t i = 0; i < b->ops.count; i++) {
                r = write_op(d, &b->ops.items[i], sum);
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; i < DISK_NUMBERS; i++) {
                const char *name = disk_number_names[i];

                if (!(b->numbers_set & (1u << i)))
                        continue;
                r = set_number(d, name, b->numbers[i]);
                if (r < 0)
                        return r;
                *sum += disk_number_part(name, b->numbers[i]);
                if (d->numbers_there & (1u << i))
                        *sum -= disk_number_part(name, d->numbers[i]);
        }
        return set_number(d, "sum", *sum);
}

static int64_t query_number(struct disk *d, enum disk_statement which) {
        int64_t v = 0;

        if (sqlite3_step(d->write[which]) == SQLITE_ROW)
                v = sqlite3_column_int64(d->write[which], 0);
        sqlite3_reset(d->write[which]);
        return v;
}

/* Cheap inside of a transaction, which holds the locks already. */
static void learn_sizes(struct disk *d) {
        atomic_store(&d->page_count, query_number(d, DISK_PAGE_COUNT));
        atomic_store(&d->free_count, query_number(d, DISK_FREE_COUNT));
}

static int set_synchronous(struct disk *d, bool full) {
        int r = disk_exec(
                        d->writer, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");

        if (r < 0)
                snprintf(d->error, sizeof(d->error), "%s", sqlite3_errmsg(d->writer));
        return r;
}

/* Between begin and commit, which it does at the end. */
static int write_all(struct disk *d, const struct disk_batch *b, uint64_t *sum) {
        int r = write_rows(d, b, sum);

        if (r < 0)
                return r;
        if (!disk_batch_empty(b)) {
                r = write_small(d, b, sum);
                if (r < 0)
                        return r;
        }
        learn_sizes(d);
        return run(d, d->write[DISK_COMMIT_TXN]);
}

static int write_transaction(struct disk *d, const struct disk_batch *b) {
        uint64_t sum = d->sum;
        int r = run(d, d->write[DISK_BEGIN]);

        if (r < 0)
                return r;
        r = write_all(d, b, &sum);
        if (r < 0) {
                char why[sizeof(d->error)];

                memcpy(why, d->error, sizeof(why));
                if (!sqlite3_get_autocommit(d->writer))
                        (void)run(d, d->write[DISK_ROLLBACK]);
                memcpy(d->error, why, sizeof(why));
                return r;
        }
        for (unsigned i = 0; i < DISK_NUMBERS; i++)
                if (b->numbers_set & (1u << i))
                        d->numbers[i] = b->numbers[i];
        d->numbers_there |= b->numbers_set;
        d->sum = sum;
        return 0;
}

static int write_durably(struct disk *d, const struct disk_batch *b) {
        int r = set_synchronous(d, true);

        if (r < 0)
                return r;
        return write_transaction(d, b);
}

int disk_write(struct disk *d, const struct disk_batch *b) {
        int r;

        if (!b->sync)
                return write_transaction(d, b);
        r = write_durably(d, b);
        (void)set_synchronous(d, false);
        return r;
}

/* SQLite calls it after each commit with the pages that its log holds now. */
int disk_on_commit(void *userdata, sqlite3 *db, const char *name, int pages) {
        struct disk *d = userdata;

        atomic_store(&d->unsettled_bytes, pages * (d->page_size + FRAME_HEADER_BYTES));
        return SQLITE_OK;
}

/* The copy that SQLite makes meanwhile is a file (in $SQLITE_TMPDIR), not memory. It fills
 * SQLite's log, also when it fails: the log is emptied at once. */
int disk_vacuum(struct disk *d) {
        int r = disk_exec(d->writer, "PRAGMA temp_store=FILE; VACUUM");

        if (r < 0)
                snprintf(d->error, sizeof(d->error), "%s", sqlite3_errmsg(d->writer));
        (void)disk_exec(d->writer, "PRAGMA temp_store=MEMORY");
        learn_sizes(d);
        (void)disk_checkpoint(d);
        return r;
}

/* SQLite takes the first bad frame of its log for the end, and its frames stay valid after they
 * were copied: so the log is emptied, that nothing in it is ever played into a newer database. */
int disk_checkpoint(struct disk *d) {
        int code;

        /* Writes do not wait for a reader, such as a copy in progress: later will do. */
        sqlite3_busy_timeout(d->writer, 0);
        code = sqlite3_wal_checkpoint_v2(d->writer, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        sqlite3_busy_timeout(d->writer, BUSY_MS);
        if (code == SQLITE_OK)
                atomic_store(&d->unsettled_bytes, 0);
        else if ((code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_LOCKED) {
                snprintf(d->error, sizeof(d->error), "%s", sqlite3_errmsg(d->writer));
                return disk_failure_errno(d->writer, code);
        }
        return code == SQLITE_OK;
}
