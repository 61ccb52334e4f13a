/* Looking for damage in what has not been read yet. */
#include "kstored/disk/internal.h"

enum { STOP_STEPS = 10000 };

int disk_scrub(struct disk *d, int64_t *seq, size_t n) {
        sqlite3 *db = NULL;
        sqlite3_stmt *st = NULL;
        size_t count = 0;
        int rc, r = disk_connect(d->path, SQLITE_OPEN_READONLY, &db);

        if (r >= 0)
                r = disk_sqlite_errno(sqlite3_prepare_v2(db,
                                "SELECT " DISK_ROW_COLUMNS " FROM revision WHERE seq >= ?1 "
                                "ORDER BY seq LIMIT ?2",
                                -1, &st, NULL));
        if (r >= 0) {
                sqlite3_bind_int64(st, 1, *seq);
                sqlite3_bind_int64(st, 2, (int64_t)n);
        }
        while (r >= 0 && (rc = sqlite3_step(st)) != SQLITE_DONE) {
                _cleanup_row_ struct row *row = NULL;

                r = rc == SQLITE_ROW ? disk_row_from(st, &row) : disk_sqlite_errno(rc);
                if (r < 0)
                        break;
                *seq = row->seq + 1;
                count++;
        }
        sqlite3_finalize(st);
        sqlite3_close(db);
        if (r >= 0 && count < n)
                *seq = INT64_MAX;
        return r;
}

static int on_progress(void *userdata) {
        const _Atomic bool *stop = userdata;

        return stop && atomic_load(stop);
}

/* Whether the disk refused a read of this connection, of the database or of SQLite's own log. */
static bool read_failed(sqlite3 *db) {
        sqlite3_file *log = NULL;
        int error = 0, log_error = 0;

        (void)sqlite3_file_control(db, NULL, SQLITE_FCNTL_LAST_ERRNO, &error);
        if (sqlite3_file_control(db, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
                        log && log->pMethods)
                (void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &log_error);
        return error != 0 || log_error != 0;
}

int disk_check_pages(struct disk *d, const _Atomic bool *stop) {
        sqlite3 *db = NULL;
        sqlite3_stmt *st = NULL;
        int rc, r = disk_connect(d->path, SQLITE_OPEN_READONLY, &db);

        if (r < 0)
                return r;
        sqlite3_progress_handler(db, STOP_STEPS, on_progress, (void *)stop);
        rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(st);
        if (rc == SQLITE_ROW && !streq(strempty((const char *)sqlite3_column_text(st, 0)), "ok"))
                /* A page that cannot be read is reported in the same way as a malformed one. */
                r = read_failed(db) ? -EUCLEAN : -EBADMSG;
        else if ((rc & 0xff) == SQLITE_INTERRUPT)
                r = -ECANCELED;
        else
                r = disk_sqlite_errno(rc);
        sqlite3_finalize(st);
        sqlite3_close(db);
        return r;
}
