/* Whole databases: copies for backups and for members that fell behind, and taking one in. */
#include <fcntl.h>
#include <stdio.h>

#include "kstored/disk/internal.h"
#include "lib/fileio.h"

int disk_copy(struct disk *d, const char *to) {
        _cleanup_db_ sqlite3 *from = NULL;
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code, r = disk_connect(d->path, SQLITE_OPEN_READONLY, &from);

        if (r < 0)
                return r;
        code = sqlite3_prepare_v2(from, "VACUUM INTO ?1", -1, &st, NULL);
        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        sqlite3_bind_text(st, 1, to, -1, SQLITE_STATIC);
        return disk_sqlite_errno(sqlite3_step(st));
}

static int check_copy(const char *path, sqlite3 *db, struct problem *p) {
        int64_t application = 0, version = 0;
        int r = disk_query_format(db, &application, &version);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "%s is damaged or not a database", path);
        if (application != DISK_APPLICATION_ID)
                return problem_set(p, EINVAL, 0, NULL, "%s is not a database of kstored", path);
        if (version != DISK_FORMAT)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s has format %lld; this program knows format %d: use the kstored "
                                "that wrote it",
                                path, (long long)version, DISK_FORMAT);
        return 0;
}

int disk_peek(const char *path, uint64_t numbers[static DISK_NUMBERS], struct problem *p) {
        _cleanup_db_ sqlite3 *db = NULL;
        struct disk d = {0};
        int r = disk_connect(path, SQLITE_OPEN_READONLY, &db);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot open %s: %s", path, strerror(-r));
        r = check_copy(path, db, p);
        if (r < 0)
                return r;
        r = disk_load_numbers(db, &d);
        if (r < 0)
                return r;
        memcpy(numbers, d.numbers, sizeof(d.numbers));
        return 0;
}

/* The numbers that make the copy this member's, and the sum with them. */
static void numbers_sql(const struct disk *d, uint64_t member_id, struct buf *sql) {
        const struct {
                enum disk_number which;
                uint64_t value;
        } ours[] = {{DISK_MEMBER_ID, member_id}, {DISK_LOG_BASE, d->numbers[DISK_APPLIED]},
                        {DISK_LOG_BASE_TERM, d->numbers[DISK_APPLIED_TERM]}};
        uint64_t sum = d->sum;

        buf_append_str(sql, "PRAGMA synchronous=FULL; BEGIN IMMEDIATE;");
        for (size_t i = 0; i < ELEMENTS(ours); i++) {
                const char *name = disk_number_names[ours[i].which];

                buf_printf(sql,
                                "INSERT OR REPLACE INTO number(name, value) "
                                "VALUES('%s', %lld);",
                                name, (long long)ours[i].value);
                sum += disk_number_part(name, ours[i].value);
                if (d->numbers_there & (1u << ours[i].which))
                        sum -= disk_number_part(name, d->numbers[ours[i].which]);
        }
        buf_printf(sql, "INSERT OR REPLACE INTO number(name, value) VALUES('sum', %lld); COMMIT",
                        (long long)sum);
}

/* One durable transaction in the copy, before it takes its place. */
static int make_ours(const char *path, uint64_t member_id) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf sql = {0};
        _cleanup_db_ sqlite3 *db = NULL;
        struct disk d = {0};
        int r = disk_connect(path, SQLITE_OPEN_READWRITE, &db);

        if (r < 0)
                return r;
        r = check_copy(path, db, &p);
        if (r < 0)
                return r;
        r = disk_load_numbers(db, &d);
        if (r < 0)
                return r;
        numbers_sql(&d, member_id, &sql);
        return sql.failed ? -ENOMEM : disk_exec(db, sql.data);
}

/* The WAL must be gone before another file takes the database's name: it would be played into it.
 */
static int drop_wal(struct disk *d) {
        _cleanup_free_ char *wal = strformat("%s-wal", d->path);
        _cleanup_free_ char *shm = strformat("%s-shm", d->path);
        int code;

        if (!wal || !shm)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(d->read); i++)
                (void)sqlite3_reset(d->read[i]);
        code = sqlite3_wal_checkpoint_v2(d->writer, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        disk_close_connections(d);
        if ((unlink(wal) < 0 && errno != ENOENT) || (unlink(shm) < 0 && errno != ENOENT))
                return -errno;
        return sync_folder(d->folder);
}

int disk_adopt(struct disk *d, const char *path, uint64_t member_id) {
        _cleanup_problem_ struct problem p = {0};
        int r = make_ours(path, member_id);

        if (r < 0)
                return r;
        r = drop_wal(d);
        if (r < 0)
                return r;
        if (rename(path, d->path) < 0)
                return -errno;
        r = sync_folder(d->folder);
        return r < 0 ? r : disk_open_connections(d, &p);
}
