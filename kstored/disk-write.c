/* The writing side: one transaction a batch; checkpoints; copies. */
#include <fcntl.h>
#include <sys/stat.h>

#include "kstored/disk-internal.h"

enum {
        WAL_FRAME_HEADER_BYTES = 24,
        WAL_ROOM_BYTES = 256 * 1024,  /* kept ahead of the writer */
        WAL_STEP_BYTES = 1024 * 1024, /* by which the file grows */
        WAL_ZEROS_BYTES = 64 * 1024,
};

static int run(struct disk *d, sqlite3_stmt *st) {
        int rc = sqlite3_step(st);

        if (rc != SQLITE_DONE && rc != SQLITE_ROW)
                snprintf(d->error, sizeof(d->error), "%s", sqlite3_errmsg(d->writer));
        sqlite3_reset(st);
        return disk_sqlite_errno(rc);
}

static int run_with(struct disk *d, enum disk_statement which, int64_t value) {
        sqlite3_bind_int64(d->write[which], 1, value);
        return run(d, d->write[which]);
}

static int write_log(struct disk *d, const struct disk_batch *b) {
        sqlite3_stmt *st = d->write[DISK_LOG_INSERT];
        int r = 0;

        if (b->truncate_from > 0)
                r = run_with(d, DISK_LOG_TRUNCATE, (int64_t)b->truncate_from);
        for (size_t i = 0; i < b->entry_count && r >= 0; i++) {
                const struct raft_entry *e = b->entries[i];

                sqlite3_bind_int64(st, 1, (int64_t)e->index);
                sqlite3_bind_int64(st, 2, (int64_t)e->term);
                sqlite3_bind_int64(st, 3, e->type);
                sqlite3_bind_blob64(st, 4, e->size > 0 ? (const void *)e->data : "", e->size,
                                SQLITE_STATIC);
                r = run(d, st);
        }
        if (r >= 0 && b->trim_to > 0)
                r = run_with(d, DISK_LOG_TRIM, (int64_t)b->trim_to);
        return r;
}

static int write_rows(struct disk *d, const struct disk_batch *b) {
        sqlite3_stmt *st = d->write[DISK_ROW_INSERT];
        int r = 0;

        for (size_t i = 0; i < b->row_count && r >= 0; i++) {
                const struct row *row = b->rows[i];

                sqlite3_bind_int64(st, 1, row->seq);
                sqlite3_bind_int64(st, 2, row->rev);
                sqlite3_bind_blob64(st, 3, row->data, row->key_size, SQLITE_STATIC);
                sqlite3_bind_int64(st, 4, row->create);
                sqlite3_bind_int64(st, 5, row->version);
                sqlite3_bind_int64(st, 6, row->lease);
                sqlite3_bind_blob64(st, 7, row_value(row), row->value_size, SQLITE_STATIC);
                r = run(d, st);
        }
        for (size_t i = 0; i < b->dead_count && r >= 0; i++)
                r = run_with(d, DISK_ROW_DELETE, b->dead[i]);
        return r;
}

static int write_small(struct disk *d, const struct disk_batch *b) {
        int r = 0;

        for (size_t i = 0; i < b->op_count && r >= 0; i++) {
                const struct disk_op *op = &b->ops[i];
                sqlite3_stmt *st = d->write[(op->remove ? DISK_OP_REMOVE : DISK_OP_PUT) +
                                            (int)op->table];

                sqlite3_bind_int64(st, 1, (int64_t)op->id);
                if (!op->remove && op->table == DISK_MEMBER)
                        sqlite3_bind_blob64(st, 3, op->blob->data, op->blob->size, SQLITE_STATIC);
                else if (!op->remove)
                        sqlite3_bind_int64(st, 2, op->value);
                r = run(d, st);
        }
        for (unsigned i = 0; i < DISK_NUMBERS && r >= 0; i++) {
                if (!(b->numbers_set & (1u << i)))
                        continue;
                sqlite3_bind_text(d->write[DISK_NUMBER_SET], 1, disk_number_names[i], -1,
                                SQLITE_STATIC);
                sqlite3_bind_int64(d->write[DISK_NUMBER_SET], 2, (int64_t)b->numbers[i]);
                r = run(d, d->write[DISK_NUMBER_SET]);
        }
        return r;
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

/* Lengthens the WAL's file ahead of SQLite, by zeros, which it takes for no frame: a sync after
 * writing into what is there already is cheap, one that must make a new length durable is not. Only
 * the writer appends to the WAL, and not now. A failure is no matter: the write itself will tell.
 */
static void reserve_wal(struct disk *d) {
        static const char zeros[WAL_ZEROS_BYTES];
        size_t used = (size_t)atomic_load(&d->wal_bytes), end;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (used + WAL_ROOM_BYTES <= d->wal_file_bytes)
                return;
        path = strformat("%s-wal", d->path);
        fd = path ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        end = (size_t)st.st_size;
        if (end < used + WAL_ROOM_BYTES)
                for (size_t n = 0; n < WAL_STEP_BYTES; n += sizeof(zeros)) {
                        ssize_t m = pwrite(fd, zeros, sizeof(zeros), (off_t)end);

                        if (m <= 0)
                                break;
                        end += (size_t)m;
                }
        d->wal_file_bytes = end;
}

/* Without a sync the commit is still in order: a later synced one makes it durable too, and a crash
 * loses only what the log brings back. */
static int set_mode(struct disk *d, bool sync) {
        int r;

        if (d->synced_mode == sync)
                return 0;
        r = disk_exec(d->writer, sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
        if (r >= 0)
                d->synced_mode = sync;
        return r;
}

int disk_write(struct disk *d, const struct disk_batch *b) {
        int r = set_mode(d, b->sync);

        reserve_wal(d);
        if (r >= 0)
                r = run(d, d->write[DISK_BEGIN]);
        if (r < 0)
                return r;
        r = write_log(d, b);
        if (r >= 0)
                r = write_rows(d, b);
        if (r >= 0)
                r = write_small(d, b);
        if (r >= 0) {
                learn_sizes(d);
                r = run(d, d->write[DISK_COMMIT_TXN]);
        }
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
        return 0;
}

/* SQLite calls it after each commit with the pages that the WAL holds now. */
int disk_on_wal(void *userdata, sqlite3 *db, const char *name, int pages) {
        struct disk *d = userdata;

        atomic_store(&d->wal_bytes, pages * (d->page_size + WAL_FRAME_HEADER_BYTES));
        return SQLITE_OK;
}

int disk_vacuum(struct disk *d) {
        int r = set_mode(d, true);

        if (r >= 0)
                r = disk_exec(d->writer, "VACUUM");
        if (r < 0)
                snprintf(d->error, sizeof(d->error), "%s", sqlite3_errmsg(d->writer));
        learn_sizes(d);
        return r;
}

/* The file keeps its length: overwriting needs no change of its size to be made durable each time.
 */
int disk_wal_restart(struct disk *d) {
        int rc;

        /* Writes do not wait for who reads, such as a copy under way: later will do. */
        sqlite3_busy_timeout(d->writer, 0);
        rc = sqlite3_wal_checkpoint_v2(d->writer, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
        sqlite3_busy_timeout(d->writer, BUSY_MS);
        if (rc == SQLITE_OK)
                atomic_store(&d->wal_bytes, 0);
        return disk_sqlite_errno(rc);
}

int disk_checkpoint(struct disk *d) {
        sqlite3 *db = NULL;
        int r = disk_connect(d->path, SQLITE_OPEN_READWRITE, &db);

        if (r >= 0)
                r = disk_sqlite_errno(sqlite3_wal_checkpoint_v2(
                                db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
        sqlite3_close(db);
        return r;
}
