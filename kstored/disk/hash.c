/* The hash that members compare. Read in pieces, so that the view of none of them keeps SQLite's
 * log from restarting. Rows never change; the compaction revision, which is written no later than
 * the first row is deleted, shows that none was deleted meanwhile. */
#include "kstored/disk/internal.h"

enum { PIECE_ROWS = 10000 };

static const char piece_sql[] = "SELECT " DISK_ROW_COLUMNS " FROM revision"
                                " WHERE seq >= ?1 ORDER BY seq LIMIT ?2";

/* Adds one piece; the next seq is in *seq, INT64_MAX at the end. */
static int add_piece(sqlite3_stmt *st, int64_t rev, int64_t *seq, uint64_t *sum) {
        size_t n = 0;
        int rc, r = 0;

        sqlite3_bind_int64(st, 1, *seq);
        sqlite3_bind_int64(st, 2, PIECE_ROWS);
        while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
                _cleanup_row_ struct row *row = NULL;

                r = disk_row_from(st, &row);
                if (r < 0)
                        break;
                if (row->rev > rev) { /* and so are all that follow */
                        *seq = INT64_MAX;
                        break;
                }
                *sum += row_hash(row, row->data, row_value(row));
                *seq = row->seq + 1;
                n++;
        }
        if (rc == SQLITE_DONE && n < PIECE_ROWS)
                *seq = INT64_MAX;
        sqlite3_reset(st);
        return r < 0 ? r : disk_sqlite_errno(rc);
}

static int hash_pieces(sqlite3 *db, sqlite3_stmt *st, int64_t rev, int64_t compact_rev,
                const _Atomic bool *stop, uint64_t *sum) {
        int64_t seq = 0;
        int r = 0;

        while (r >= 0 && seq != INT64_MAX) {
                int64_t compacted = 0;

                if (atomic_load(stop))
                        return -ECANCELED;
                r = disk_exec(db, "BEGIN");
                if (r >= 0)
                        r = disk_query_number(db,
                                        "SELECT value FROM number WHERE name = 'compact_revision'",
                                        &compacted);
                if (r >= 0 && compacted != compact_rev)
                        r = -ESTALE;
                if (r >= 0)
                        r = add_piece(st, rev, &seq, sum);
                if (!sqlite3_get_autocommit(db)) {
                        int q = disk_exec(db, "COMMIT");

                        r = r < 0 ? r : q;
                }
        }
        return r;
}

int disk_hash(struct disk *d, int64_t rev, int64_t compact_rev, const _Atomic bool *stop,
                uint32_t *ret) {
        sqlite3 *db = NULL;
        sqlite3_stmt *st = NULL;
        uint64_t sum = 0;
        int r = disk_connect(d->path, SQLITE_OPEN_READONLY, &db);

        if (r >= 0)
                r = disk_sqlite_errno(sqlite3_prepare_v2(db, piece_sql, -1, &st, NULL));
        if (r >= 0)
                r = hash_pieces(db, st, rev, compact_rev, stop, &sum);
        sqlite3_finalize(st);
        sqlite3_close(db);
        if (r < 0)
                return r;
        *ret = row_hash_fold(sum);
        return 0;
}
