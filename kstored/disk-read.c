/* The reading side: single rows, scans, and what is loaded at start. */
#include "kstored/disk-internal.h"

static int row_from(sqlite3_stmt *st, struct row **ret) {
        int key_size = sqlite3_column_bytes(st, 2), value_size = sqlite3_column_bytes(st, 6);
        struct row *row = row_new(sqlite3_column_blob(st, 2), (size_t)key_size,
                        sqlite3_column_blob(st, 6), (size_t)value_size);

        if (!row)
                return -ENOMEM;
        row->seq = sqlite3_column_int64(st, 0);
        row->rev = sqlite3_column_int64(st, 1);
        row->create = sqlite3_column_int64(st, 3);
        row->version = sqlite3_column_int64(st, 4);
        row->lease = sqlite3_column_int64(st, 5);
        *ret = row;
        return 0;
}

int disk_read_row(struct disk *d, int64_t seq, struct row **ret) {
        sqlite3_stmt *st = d->read[DISK_ROW_GET];
        int rc, r;

        sqlite3_bind_int64(st, 1, seq);
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                r = row_from(st, ret);
                if (r >= 0)
                        r = 1;
        } else
                r = disk_sqlite_errno(rc);
        sqlite3_reset(st);
        return r;
}

int disk_read_head(struct disk *d, int64_t seq, struct row **ret) {
        sqlite3_stmt *st = d->read[DISK_ROW_HEAD];
        int rc, r;

        sqlite3_bind_int64(st, 1, seq);
        rc = sqlite3_step(st);
        r = disk_sqlite_errno(rc);
        if (rc == SQLITE_ROW) {
                struct row *row = row_new(sqlite3_column_blob(st, 2),
                                (size_t)sqlite3_column_bytes(st, 2), NULL, 0);

                r = row ? 1 : -ENOMEM;
                if (row) {
                        row->seq = sqlite3_column_int64(st, 0);
                        row->rev = sqlite3_column_int64(st, 1);
                        row->create = sqlite3_column_int64(st, 3);
                        row->version = sqlite3_column_int64(st, 4);
                        row->lease = sqlite3_column_int64(st, 5);
                        row->value_size = (uint32_t)sqlite3_column_int64(st, 6);
                        *ret = row;
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
                r = row_from(st, &ret_rows[count]);
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

/* Revisions rise with seq, so halving finds it without an index of its own. */
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
        sqlite3_stmt *st = NULL;
        struct row *row = NULL;
        size_t allocated = 0;
        int rc = sqlite3_prepare_v2(d->reader,
                        "SELECT seq, rev, key, create_rev, version, lease FROM revision ORDER BY "
                        "seq",
                        -1, &st, NULL);
        int r = disk_sqlite_errno(rc);

        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                size_t n = (size_t)sqlite3_column_bytes(st, 2);

                if (!row || n > allocated) {
                        free(row);
                        allocated = MAX(n, (size_t)256);
                        row = malloc(sizeof(*row) + allocated);
                        if (!row) {
                                r = -ENOMEM;
                                break;
                        }
                }
                *row = (struct row){.refs = 1,
                                .key_size = (uint32_t)n,
                                .seq = sqlite3_column_int64(st, 0),
                                .rev = sqlite3_column_int64(st, 1),
                                .create = sqlite3_column_int64(st, 3),
                                .version = sqlite3_column_int64(st, 4),
                                .lease = sqlite3_column_int64(st, 5)};
                if (n > 0)
                        memcpy(row->data, sqlite3_column_blob(st, 2), n);
                r = func(row, userdata);
        }
        if (r >= 0)
                r = disk_sqlite_errno(rc);
        sqlite3_finalize(st);
        free(row);
        return r;
}

int disk_load_log(struct disk *d, struct raft_entry ***ret, size_t *ret_count) {
        struct raft_entry **v = NULL;
        size_t count = 0, allocated = 0;
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(d->reader,
                        "SELECT idx, term, type, data FROM log WHERE idx > ?1 ORDER BY idx", -1,
                        &st, NULL);
        int r = disk_sqlite_errno(rc);

        if (r >= 0)
                sqlite3_bind_int64(st, 1, (int64_t)d->numbers[DISK_LOG_BASE]);
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                if (count == allocated) {
                        size_t want = allocated ? allocated * 2 : 256;
                        struct raft_entry **n = realloc(v, want * sizeof(*v));

                        if (!n) {
                                r = -ENOMEM;
                                break;
                        }
                        v = n;
                        allocated = want;
                }
                v[count] = raft_entry_new((uint64_t)sqlite3_column_int64(st, 0),
                                (uint64_t)sqlite3_column_int64(st, 1),
                                (uint32_t)sqlite3_column_int64(st, 2), sqlite3_column_blob(st, 3),
                                (size_t)sqlite3_column_bytes(st, 3));
                if (!v[count])
                        r = -ENOMEM;
                else
                        count++;
        }
        if (r >= 0)
                r = disk_sqlite_errno(rc);
        sqlite3_finalize(st);
        if (r < 0) {
                while (count > 0)
                        raft_entry_unref(v[--count]);
                free(v);
                return r;
        }
        *ret = v;
        *ret_count = count;
        return 0;
}

static int load_table(struct disk *d, enum disk_table table, const char *sql,
                int (*func)(const struct disk_op *op, void *userdata), void *userdata) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(d->reader, sql, -1, &st, NULL);
        int r = disk_sqlite_errno(rc);

        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                struct disk_op op = {.table = table, .id = (uint64_t)sqlite3_column_int64(st, 0)};
                _cleanup_bytes_ struct bytes *blob = NULL;

                if (table == DISK_MEMBER) {
                        blob = bytes_new(sqlite3_column_blob(st, 1),
                                        (size_t)sqlite3_column_bytes(st, 1));
                        if (!blob) {
                                r = -ENOMEM;
                                break;
                        }
                        op.blob = blob;
                } else
                        op.value = sqlite3_column_int64(st, 1);
                r = func(&op, userdata);
        }
        if (r >= 0)
                r = disk_sqlite_errno(rc);
        sqlite3_finalize(st);
        return r;
}

int disk_load_ops(struct disk *d, int (*func)(const struct disk_op *op, void *userdata),
                void *userdata) {
        int r = load_table(d, DISK_LEASE, "SELECT id, ttl FROM lease", func, userdata);

        if (r >= 0)
                r = load_table(d, DISK_MEMBER, "SELECT id, record FROM member", func, userdata);
        if (r >= 0)
                r = load_table(d, DISK_ALARM, "SELECT member, types FROM alarm", func, userdata);
        return r;
}
