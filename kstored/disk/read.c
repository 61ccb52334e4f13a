/* The reading side: single rows, scans, and what is loaded at start. */
#include "kstored/disk/internal.h"

int disk_read_row(struct disk *d, int64_t seq, struct row **ret) {
        sqlite3_stmt *st = d->read[DISK_ROW_GET];
        int rc, r;

        sqlite3_bind_int64(st, 1, seq);
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                r = disk_row_from(st, ret);
                if (r >= 0)
                        r = 1;
        } else
                r = disk_sqlite_errno(rc);
        sqlite3_reset(st);
        return r;
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
        sqlite3_stmt *st = d->read[DISK_ROW_HEAD];
        _cleanup_free_ struct row *row = NULL;
        size_t allocated = 0;
        int rc, r;

        sqlite3_bind_int64(st, 1, seq);
        rc = sqlite3_step(st);
        r = disk_sqlite_errno(rc);
        if (rc == SQLITE_ROW) {
                r = key_from(st, &row, &allocated);
                if (r >= 0) {
                        *ret = TAKE_PTR(row);
                        r = 1;
                }
        }
        sqlite3_reset(st);
        return r;
}

int disk_scan_rows(struct disk *d, int64_t from_seq, size_t n, struct row **ret_rows) {
        sqlite3_stmt *st = d->read[DISK_ROW_SCAN];
        size_t count = 0;
        int rc, r = 0;

        sqlite3_bind_int64(st, 1, from_seq);
        sqlite3_bind_int64(st, 2, (int64_t)n);
        while ((rc = sqlite3_step(st)) == SQLITE_ROW && count < n) {
                r = disk_row_from(st, &ret_rows[count]);
                if (r < 0)
                        break;
                count++;
        }
        sqlite3_reset(st);
        if (r >= 0)
                r = disk_sqlite_errno(rc);
        if (r < 0) {
                while (count > 0)
                        row_unref(ret_rows[--count]);
                return r;
        }
        return (int)count;
}

/* The first row at or after seq: 1 with its figures, 0 when there is none. */
static int probe(struct disk *d, int64_t seq, int64_t *ret_seq, int64_t *ret_rev) {
        sqlite3_stmt *st = d->read[DISK_ROW_PROBE];
        int rc, r;

        sqlite3_bind_int64(st, 1, seq);
        rc = sqlite3_step(st);
        r = disk_sqlite_errno(rc);
        if (rc == SQLITE_ROW) {
                *ret_seq = sqlite3_column_int64(st, 0);
                *ret_rev = sqlite3_column_int64(st, 1);
                r = 1;
        }
        sqlite3_reset(st);
        return r;
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
        sqlite3_stmt *st = NULL;
        size_t allocated = 0;
        int64_t last = INT64_MIN;
        int rc = sqlite3_prepare_v2(d->reader,
                        "SELECT " DISK_KEY_COLUMNS " FROM revision ORDER BY seq", -1, &st, NULL);
        int r = disk_sqlite_errno(rc);

        d->rows_sum = 0;
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                uint64_t sum = (uint64_t)sqlite3_column_int64(st, 6);

                r = key_from(st, &row, &allocated);
                if (r >= 0 && row->seq <= last)
                        r = -EBADMSG;
                if (r < 0)
                        break;
                last = row->seq;
                d->rows_sum += disk_sum_part(DISK_REVISION_TABLE, (uint64_t)row->seq, sum);
                r = func(row, userdata);
        }
        if (r >= 0)
                r = disk_sqlite_errno(rc);
        sqlite3_finalize(st);
        return r;
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

int disk_load_ops(struct disk *d, int (*func)(const struct disk_op *op, void *userdata),
                void *userdata) {
        static const char *const sql[] = {
                        [DISK_LEASE] = "SELECT id, ttl, sum FROM lease",
                        [DISK_MEMBER] = "SELECT id, record, sum FROM member",
                        [DISK_ALARM] = "SELECT member, types, sum FROM alarm",
                        [DISK_HEARD] = "SELECT member, value, sum FROM heard",
                        [DISK_TERM_START] = "SELECT term, idx, sum FROM term_start ORDER BY term",
        };
        int r = 0;

        d->ops_sum = 0;
        for (size_t table = 0; table < ELEMENTS(sql) && r >= 0; table++) {
                sqlite3_stmt *st = NULL;
                int rc = sqlite3_prepare_v2(d->reader, sql[table], -1, &st, NULL);

                r = disk_sqlite_errno(rc);
                while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
                        r = load_op(d, (enum disk_table)table, st, func, userdata);
                if (r >= 0)
                        r = disk_sqlite_errno(rc);
                sqlite3_finalize(st);
        }
        return r;
}

int disk_check_loaded(const struct disk *d) {
        struct disk now = {0};
        int r = disk_load_numbers(d->reader, &now);

        if (r < 0 || d->unsummed)
                return r;
        return now.numbers_sum + d->ops_sum + d->rows_sum == now.sum ? 0 : -EBADMSG;
}
