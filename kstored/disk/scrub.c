/* Looking for damage in what has not been read yet. */
#include "kstored/disk/internal.h"

enum { STOP_STEPS = 10000 };

int disk_scrub(struct disk *d, int64_t *seq, size_t n) {
        _cleanup_db_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        size_t count = 0;
        int code, r = disk_connect(d->path, SQLITE_OPEN_READONLY, &db);

        if (r < 0)
                return r;
        code = sqlite3_prepare_v2(db,
                        "SELECT " DISK_ROW_COLUMNS " FROM revision WHERE seq >= ?1 "
                        "ORDER BY seq LIMIT ?2",
                        -1, &st, NULL);
        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        sqlite3_bind_int64(st, 1, *seq);
        sqlite3_bind_int64(st, 2, (int64_t)n);
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                _cleanup_row_ struct row *row = NULL;

                r = disk_row_from(st, &row);
                if (r < 0)
                        return r;
                *seq = row->seq + 1;
                count++;
        }
        if (code != SQLITE_DONE)
                return disk_sqlite_errno(code);
        if (count < n)
                *seq = INT64_MAX;
        return 0;
}

static int on_progress(void *userdata) {
        const _Atomic bool *stop = userdata;

        return stop && atomic_load(stop);
}

/* Whether the disk refused a read of this connection, of the database or of SQLite's own log. */
static bool read_failed(sqlite3 *db) {
        sqlite3_file *log = NULL;
        int database_errno = 0, log_errno = 0;

        (void)sqlite3_file_control(db, NULL, SQLITE_FCNTL_LAST_ERRNO, &database_errno);
        if (sqlite3_file_control(db, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
                        log && log->pMethods)
                (void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &log_errno);
        return database_errno != 0 || log_errno != 0;
}

int disk_check_pages(struct disk *d, const _Atomic bool *stop) {
        _cleanup_db_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code, r = disk_connect(d->path, SQLITE_OPEN_READONLY, &db);

        if (r < 0)
                return r;
        sqlite3_progress_handler(db, STOP_STEPS, on_progress, (void *)stop);
        code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_step(st);
        if (code == SQLITE_ROW && !streq(strempty((const char *)sqlite3_column_text(st, 0)), "ok"))
                /* A page that cannot be read is reported in the same way as a malformed one. */
                return read_failed(db) ? -EUCLEAN : -EBADMSG;
        return (code & 0xff) == SQLITE_INTERRUPT ? -ECANCELED : disk_sqlite_errno(code);
}
