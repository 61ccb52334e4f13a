/* The hash that members compare. Read in pieces, so that the view of none of them keeps SQLite's
 * log from restarting. Rows never change; the compaction revision, which is written no later than
 * the first row is deleted, shows that none was deleted meanwhile. */
#include "kstored/disk/internal.h"

enum { PIECE_ROWS = 10000 };

static const char piece_sql[] = "SELECT " DISK_ROW_COLUMNS " FROM revision"
                                " WHERE seq >= ?1 ORDER BY seq LIMIT ?2";

/* Adds one piece; the next seq is in *seq, INT64_MAX at the end. */
static int add_piece(sqlite3_stmt *statement, int64_t rev, int64_t *seq, uint64_t *sum) {
        _cleanup_reset_ sqlite3_stmt *st = statement;
        size_t n = 0;
        int code;

        sqlite3_bind_int64(st, 1, *seq);
        sqlite3_bind_int64(st, 2, PIECE_ROWS);
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                _cleanup_row_ struct row *row = NULL;
                int r = disk_row_from(st, &row);

                if (r < 0)
                        return r;
                if (row->rev > rev) { /* and so are all that follow */
                        *seq = INT64_MAX;
                        return 0;
                }
                *sum += row_hash(row, row->data, row_value(row));
                *seq = row->seq + 1;
                n++;
        }
        if (code == SQLITE_DONE && n < PIECE_ROWS)
                *seq = INT64_MAX;
        return disk_sqlite_errno(code);
}

/* Inside of a transaction: one view of the database. */
static int hash_piece(sqlite3 *db, sqlite3_stmt *st, int64_t rev, int64_t compact_rev, int64_t *seq,
                uint64_t *sum) {
        int64_t compacted = 0;
        int r = disk_query_number(
                        db, "SELECT value FROM number WHERE name = 'compact_revision'", &compacted);

        if (r < 0)
                return r;
        if (compacted != compact_rev)
                return -ESTALE;
        return add_piece(st, rev, seq, sum);
}

/* An error may have ended the transaction already. */
static int end_transaction(sqlite3 *db) {
        return sqlite3_get_autocommit(db) ? 0 : disk_exec(db, "COMMIT");
}

static int hash_pieces(sqlite3 *db, sqlite3_stmt *st, int64_t rev, int64_t compact_rev,
                const _Atomic bool *stop, uint64_t *sum) {
        int64_t seq = 0;

        while (seq != INT64_MAX) {
                int r;

                if (atomic_load(stop))
                        return -ECANCELED;
                r = disk_exec(db, "BEGIN");
                if (r < 0)
                        return r;
                r = hash_piece(db, st, rev, compact_rev, &seq, sum);
                if (r < 0) {
                        (void)end_transaction(db);
                        return r;
                }
                r = end_transaction(db);
                if (r < 0)
                        return r;
        }
        return 0;
}

int disk_hash(struct disk *d, int64_t rev, int64_t compact_rev, const _Atomic bool *stop,
                uint32_t *ret) {
        _cleanup_db_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        uint64_t sum = 0;
        int r = disk_connect(d->path, SQLITE_OPEN_READONLY, &db);

        if (r < 0)
                return r;
        r = disk_sqlite_errno(sqlite3_prepare_v2(db, piece_sql, -1, &st, NULL));
        if (r < 0)
                return r;
        r = hash_pieces(db, st, rev, compact_rev, stop, &sum);
        if (r < 0)
                return r;
        *ret = row_hash_fold(sum);
        return 0;
}
