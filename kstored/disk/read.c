/* The reading side: single rows, scans, and what is loaded at start. */
#include "kstored/disk/internal.h"

int disk_read_row(struct disk *d, int64_t seq, struct row **ret) {
        _cleanup_reset_ sqlite3_stmt *st = d->read[DISK_ROW_GET];
        int code, r;

        sqlite3_bind_int64(st, 1, seq);
        code = sqlite3_step(st);
        if (code != SQLITE_ROW)
                return disk_sqlite_errno(code);
        r = disk_row_from(st, ret);
        return r < 0 ? r : 1;
}

/* One row without its value, in memory that grows as needed; of a statement that selects
 * DISK_KEY_COLUMNS. */
static int key_from(sqlite3_stmt *st, struct row **row, size_t *allocated) {
        size_t n = (size_t)sqlite3_column_bytes(st, 2);

        if (!*row || n > *allocated) {
                size_t want = MAX(n, (size_t)256);
                struct row *fresh = realloc(*row, sizeof(**row) + want);

                if (!fresh)
                        return -ENOMEM;
                *row = fresh;
                *allocated = want;
        }
        **row = (struct row){.refs = 1,
                        .key_size = (uint32_t)n,
                        .seq = sqlite3_column_int64(st, 0),
                        .rev = sqlite3_column_int64(st, 1),
                        .create = sqlite3_column_int64(st, 3),
                        .version = sqlite3_column_int64(st, 4),
                        .lease = sqlite3_column_int64(st, 5),
                        .value_size = (uint32_t)sqlite3_column_int64(st, 7)};
        if (n > 0)
                memcpy((*row)->data, sqlite3_column_blob(st, 2), n);
        return disk_key_sum_ok(*row, (*row)->data, (uint64_t)sqlite3_column_int64(st, 6))
                               ? 0
                               : -EBADMSG;
}

int disk_read_head(struct disk *d, int64_t seq, struct row **ret) {
        _cleanup_reset_ sqlite3_stmt *st = d->read[DISK_ROW_HEAD];
        _cleanup_free_ struct row *row = NULL;
        size_t allocated = 0;
        int code, r;

        sqlite3_bind_int64(st, 1, seq);
        code = sqlite3_step(st);
        if (code != SQLITE_ROW)
                return disk_sqlite_errno(code);
        r = key_from(st, &row, &allocated);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(row);
        return 1;
}

static void unref_rows(struct row **rows, size_t n) {
        while (n > 0)
                row_unref(rows[--n]);
}

int disk_scan_rows(struct disk *d, int64_t from_seq, size_t n, struct row **ret_rows) {
        _cleanup_reset_ sqlite3_stmt *st = d->read[DISK_ROW_SCAN];
        size_t count = 0;
        int code, r;

        sqlite3_bind_int64(st, 1, from_seq);
        sqlite3_bind_int64(st, 2, (int64_t)n);
        while ((code = sqlite3_step(st)) == SQLITE_ROW && count < n) {
                r = disk_row_from(st, &ret_rows[count]);
                if (r < 0) {
                        unref_rows(ret_rows, count);
                        return r;
                }
                count++;
        }
        r = disk_sqlite_errno(code);
        if (r < 0) {
                unref_rows(ret_rows, count);
                return r;
        }
        return (int)count;
}

/* The first row at or after seq: 1 with its figures, 0 when there is none. */
static int probe(struct disk *d, int64_t seq, int64_t *ret_seq, int64_t *ret_rev) {
        _cleanup_reset_ sqlite3_stmt *st = d->read[DISK_ROW_PROBE];
        int code;

        sqlite3_bind_int64(st, 1, seq);
        code = sqlite3_step(st);
        if (code != SQLITE_ROW)
                return disk_sqlite_errno(code);
        *ret_seq = sqlite3_column_int64(st, 0);
        *ret_rev = sqlite3_column_int64(st, 1);
        return 1;
}

/* Revisions rise with seq, so a binary search finds it without another index. */
int disk_find_rev(struct disk *d, int64_t rev, int64_t *ret_seq) {
        int64_t low = 0, high = INT64_MAX - 1, seq = 0, found_rev = 0, best = INT64_MAX;
        sqlite3_stmt *st = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(d->reader, "SELECT max(seq) FROM revision", -1, &st, NULL) ==
                                        SQLITE_OK &&
                        sqlite3_step(st) == SQLITE_ROW)
                high = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        while (low <= high) {
                int64_t mid = low + (high - low) / 2;

                r = probe(d, mid, &seq, &found_rev);
                if (r < 0)
                        return r;
                if (r == 0)
                        high = mid - 1;
                else if (found_rev >= rev) {
                        best = seq;
                        high = mid - 1;
                } else
                        low = seq + 1;
        }
        *ret_seq = best;
        return 0;
}

void disk_read_begin(struct disk *d) {
        if (d->read_open)
                return;
        d->read_open = sqlite3_step(d->read[DISK_READ_BEGIN]) == SQLITE_DONE;
        sqlite3_reset(d->read[DISK_READ_BEGIN]);
}

void disk_read_end(struct disk *d) {
        if (!d->read_open)
                return;
        (void)sqlite3_step(d->read[DISK_READ_END]);
        sqlite3_reset(d->read[DISK_READ_END]);
        d->read_open = false;
}

int disk_load_keys(struct disk *d, int (*func)(const struct row *row, void *userdata),
                void *userdata) {
        _cleanup_free_ struct row *row = NULL;
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        size_t allocated = 0;
        int64_t last = INT64_MIN;
        int code = sqlite3_prepare_v2(d->reader,
                        "SELECT " DISK_KEY_COLUMNS " FROM revision ORDER BY seq", -1, &st, NULL);

        d->rows_sum = 0;
        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                uint64_t sum = (uint64_t)sqlite3_column_int64(st, 6);
                int r = key_from(st, &row, &allocated);

                if (r < 0)
                        return r;
                if (row->seq <= last)
                        return -EBADMSG;
                last = row->seq;
                d->rows_sum += disk_sum_part(DISK_REVISION_TABLE, (uint64_t)row->seq, sum);
                r = func(row, userdata);
                if (r < 0)
                        return r;
        }
        return disk_sqlite_errno(code);
}

static int load_op(struct disk *d, enum disk_table table, sqlite3_stmt *st,
                int (*func)(const struct disk_op *op, void *userdata), void *userdata) {
        struct disk_op op = {.table = table, .id = (uint64_t)sqlite3_column_int64(st, 0)};
        uint64_t sum = (uint64_t)sqlite3_column_int64(st, 2);
        _cleanup_bytes_ struct bytes *blob = NULL;

        if (table == DISK_MEMBER) {
                blob = bytes_new(sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
                if (!blob)
                        return -ENOMEM;
                op.blob = blob;
        } else
                op.value = sqlite3_column_int64(st, 1);
        if (disk_op_sum(table, op.id, op.value, blob ? blob->data : "", blob ? blob->size : 0) !=
                        sum)
                return -EBADMSG;
        d->ops_sum += disk_sum_part((int)table, op.id, sum);
        return func(&op, userdata);
}

static int load_table(struct disk *d, enum disk_table table, const char *sql,
                int (*func)(const struct disk_op *op, void *userdata), void *userdata) {
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(d->reader, sql, -1, &st, NULL);

        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                int r = load_op(d, table, st, func, userdata);

                if (r < 0)
                        return r;
        }
        return disk_sqlite_errno(code);
}

int disk_load_ops(struct disk *d, int (*func)(const struct disk_op *op, void *userdata),
                void *userdata) {
        static const char *const sql[] = {
                        [DISK_LEASE] = "SELECT id, ttl, sum FROM lease",
                        [DISK_MEMBER] = "SELECT id, record, sum FROM member",
                        [DISK_ALARM] = "SELECT member, types, sum FROM alarm",
                        [DISK_HEARD] = "SELECT member, value, sum FROM heard",
                        [DISK_TERM_START] = "SELECT term, idx, sum FROM term_start ORDER BY term",
        };

        d->ops_sum = 0;
        for (size_t table = 0; table < ELEMENTS(sql); table++) {
                int r = load_table(d, (enum disk_table)table, sql[table], func, userdata);

                if (r < 0)
                        return r;
        }
        return 0;
}

int disk_check_loaded(const struct disk *d) {
        struct disk now = {0};
        int r = disk_load_numbers(d->reader, &now);

        if (r < 0 || d->unsummed)
                return r;
        return now.numbers_sum + d->ops_sum + d->rows_sum == now.sum ? 0 : -EBADMSG;
}
