/* Opening the database: lock, format, tables, prepared statements. Format: docs/store-format.md. */
#include "kstored/disk/disk.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "kstored/disk/damage.h"
#include "kstored/disk/internal.h"
#include "lib/fileio.h"

/* Of a database so small its pages are looked through before anyone is served; of a larger one
 * meanwhile (scrub.c). */
enum { CHECK_PAGES_AT_ONCE_BYTES = 64 * 1024 * 1024 };

const char *const disk_number_names[DISK_NUMBERS] = {
                [DISK_CLUSTER_ID] = "cluster_id",
                [DISK_MEMBER_ID] = "member_id",
                [DISK_APPLIED] = "applied",
                [DISK_APPLIED_TERM] = "applied_term",
                [DISK_REVISION] = "revision",
                [DISK_NEXT_SEQ] = "next_seq",
                [DISK_COMPACT_REV] = "compact_revision",
                [DISK_LOG_BASE] = "log_base",
                [DISK_LOG_BASE_TERM] = "log_base_term",
                [DISK_CONFIG_INDEX] = "config_index",
};

const char disk_schema[] =
                "CREATE TABLE number(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
                /* The value comes last, so that reading keys does not touch long values. */
                "CREATE TABLE revision(seq INTEGER PRIMARY KEY, rev INTEGER NOT NULL, key BLOB NOT "
                "NULL,"
                " create_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL,"
                " sum INTEGER NOT NULL, value BLOB NOT NULL);"
                "CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL, sum INTEGER NOT "
                "NULL);"
                "CREATE TABLE member(id INTEGER PRIMARY KEY, record BLOB NOT NULL, sum INTEGER NOT "
                "NULL);"
                "CREATE TABLE alarm(member INTEGER PRIMARY KEY, types INTEGER NOT NULL, sum "
                "INTEGER NOT NULL);"
                "CREATE TABLE heard(member INTEGER PRIMARY KEY, value INTEGER NOT NULL, sum "
                "INTEGER NOT NULL);"
                "CREATE TABLE term_start(term INTEGER PRIMARY KEY, idx INTEGER NOT NULL, sum "
                "INTEGER NOT NULL);";

/* Longer statements, apart from the tables that list them. */
static const char row_insert[] =
                "INSERT INTO revision(" DISK_ROW_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
static const char row_get[] = "SELECT " DISK_ROW_COLUMNS " FROM revision WHERE seq = ?1";
static const char row_scan[] = "SELECT " DISK_ROW_COLUMNS " FROM revision"
                               " WHERE seq >= ?1 ORDER BY seq LIMIT ?2";

static const char filled_sql[] =
                "SELECT EXISTS(SELECT 1 FROM number) OR EXISTS(SELECT 1 FROM revision) OR "
                "EXISTS(SELECT 1 FROM lease) OR EXISTS(SELECT 1 FROM member) OR "
                "EXISTS(SELECT 1 FROM alarm)";

static const char *const write_sql[DISK_WRITE_STATEMENTS] = {
                [DISK_BEGIN] = "BEGIN IMMEDIATE",
                [DISK_COMMIT_TXN] = "COMMIT",
                [DISK_ROLLBACK] = "ROLLBACK",
                [DISK_ROW_INSERT] = row_insert,
                [DISK_ROW_DELETE] = "DELETE FROM revision WHERE seq = ?1 RETURNING sum",
                [DISK_NUMBER_SET] = "INSERT OR REPLACE INTO number(name, value) VALUES(?1, ?2)",
                [DISK_OP_PUT + DISK_LEASE] = "INSERT INTO lease(id, ttl, sum) VALUES(?1, ?2, ?4)",
                [DISK_OP_PUT + DISK_MEMBER] =
                                "INSERT INTO member(id, record, sum) VALUES(?1, ?3, ?4)",
                [DISK_OP_PUT + DISK_ALARM] =
                                "INSERT INTO alarm(member, types, sum) VALUES(?1, ?2, ?4)",
                [DISK_OP_PUT + DISK_HEARD] =
                                "INSERT INTO heard(member, value, sum) VALUES(?1, ?2, ?4)",
                [DISK_OP_PUT + DISK_TERM_START] =
                                "INSERT INTO term_start(term, idx, sum) VALUES(?1, ?2, ?4)",
                [DISK_OP_REMOVE + DISK_LEASE] = "DELETE FROM lease WHERE id = ?1 RETURNING sum",
                [DISK_OP_REMOVE + DISK_MEMBER] = "DELETE FROM member WHERE id = ?1 RETURNING sum",
                [DISK_OP_REMOVE + DISK_ALARM] = "DELETE FROM alarm WHERE member = ?1 RETURNING sum",
                [DISK_OP_REMOVE + DISK_HEARD] = "DELETE FROM heard WHERE member = ?1 RETURNING sum",
                [DISK_OP_REMOVE + DISK_TERM_START] =
                                "DELETE FROM term_start WHERE term = ?1 RETURNING sum",
                [DISK_PAGE_COUNT] = "PRAGMA page_count",
                [DISK_FREE_COUNT] = "PRAGMA freelist_count",
};

static const char *const read_sql[DISK_READ_STATEMENTS] = {
                [DISK_READ_BEGIN] = "BEGIN",
                [DISK_READ_END] = "COMMIT",
                [DISK_ROW_GET] = row_get,
                [DISK_ROW_HEAD] = "SELECT " DISK_KEY_COLUMNS " FROM revision WHERE seq = ?1",
                [DISK_ROW_SCAN] = row_scan,
                [DISK_ROW_PROBE] = "SELECT seq, rev FROM revision WHERE seq >= ?1 ORDER BY seq "
                                   "LIMIT 1",
};

int disk_sqlite_errno(int code) {
        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_TOOBIG:
                return -EFBIG;
        default:
                return -EIO;
        }
}

int disk_failure_errno(sqlite3 *db, int code) {
        int r = (code & 0xff) == SQLITE_IOERR ? sqlite3_system_errno(db) : 0;

        return r == ENOSPC || r == EDQUOT ? -ENOSPC : disk_sqlite_errno(code);
}

int disk_exec(sqlite3 *db, const char *sql) {
        return disk_failure_errno(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int disk_connect(const char *path, int flags, sqlite3 **ret) {
        _cleanup_db_ sqlite3 *db = NULL;
        int code = sqlite3_open_v2(
                        path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        sqlite3_busy_timeout(db, BUSY_MS);
        *ret = TAKE_PTR(db);
        return 0;
}

int disk_query_number(sqlite3 *db, const char *sql, int64_t *ret) {
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                *ret = sqlite3_column_int64(st, 0);
        return disk_sqlite_errno(code);
}

int disk_query_format(sqlite3 *db, int64_t *ret_application, int64_t *ret_version) {
        int r = disk_query_number(db, "PRAGMA application_id", ret_application);

        if (r < 0)
                return r;
        return disk_query_number(db, "PRAGMA user_version", ret_version);
}

static int make_folder(const char *folder) {
        struct stat st;
        int r = mkdir_parents(folder, 0700);

        if (r < 0)
                return r;
        if (stat(folder, &st) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int lock_folder(struct disk *d, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/lock", d->folder);
        _cleanup_free_ char *text = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = make_folder(d->folder);
        if (r < 0) {
                text = file_error_text(d->folder, "use the data directory", r);
                return problem_set(p, -r, 0, NULL, "%s", strempty(text));
        }
        d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (d->lock_fd < 0) {
                r = -errno;
                text = file_error_text(path, "open", r);
                return problem_set(p, -r, 0, NULL, "%s", strempty(text));
        }
        if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return problem_set(p, EBUSY, 0, NULL,
                                "the data directory %s is in use by another kstored; stop that one "
                                "or "
                                "give this one another --data-dir",
                                d->folder);
        return 0;
}

static int refuse_database(struct disk *d, int r, struct problem *p) {
        _cleanup_free_ char *text = NULL;

        if (r == -EUCLEAN || r == -EBADMSG)
                return damage_problem(p, "%s is damaged or not a database", d->path);
        text = file_error_text(d->path, "open the database", r);
        return problem_set(p, -r, 0, NULL, "%s", strempty(text));
}

/* Checks whose file it is and which format, and makes the tables in an empty one. */
static int check_format(struct disk *d, struct problem *p) {
        _cleanup_free_ char *sql = NULL;
        int64_t application = 0, version = 0, tables = 0;
        int r = disk_query_format(d->writer, &application, &version);

        if (r < 0)
                return refuse_database(d, r, p);
        r = disk_query_number(d->writer, "SELECT count(*) FROM sqlite_master", &tables);
        if (r < 0)
                return refuse_database(d, r, p);
        if (application == 0 && version == 0 && tables == 0) {
                sql = strformat("BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA "
                                "user_version=%d; "
                                "COMMIT",
                                disk_schema, DISK_APPLICATION_ID, DISK_FORMAT);
                r = sql ? disk_exec(d->writer, sql) : -ENOMEM;
                return r < 0 ? refuse_database(d, r, p) : 0;
        }
        if (application != DISK_APPLICATION_ID)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s is a database of another program; give another --data-dir",
                                d->path);
        if (version > DISK_FORMAT)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s has format %lld, written by a newer kstored; this one knows "
                                "formats "
                                "up to %d: start the newer program",
                                d->path, (long long)version, DISK_FORMAT);
        if (version == DISK_FORMAT)
                return 0;
        r = disk_upgrade(d->writer, version);
        return r < 0 ? refuse_database(d, r, p) : 0;
}

static int prepare_all(sqlite3 *db, const char *const *sql, sqlite3_stmt **st, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int code = sqlite3_prepare_v3(
                                db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &st[i], NULL);

                if (code != SQLITE_OK)
                        return disk_sqlite_errno(code);
        }
        return 0;
}

int disk_load_numbers(sqlite3 *db, struct disk *ret) {
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(db, "SELECT name, value FROM number", -1, &st, NULL);

        memset(ret->numbers, 0, sizeof(ret->numbers));
        ret->numbers_there = 0;
        ret->sum = ret->numbers_sum = 0;
        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                const char *name;
                uint64_t value;

                name = strempty((const char *)sqlite3_column_text(st, 0));
                value = (uint64_t)sqlite3_column_int64(st, 1);
                if (streq(name, "sum")) {
                        ret->sum = value;
                        continue;
                }
                ret->numbers_sum += disk_number_part(name, value);
                for (unsigned i = 0; i < DISK_NUMBERS; i++)
                        if (streq(name, disk_number_names[i])) {
                                ret->numbers[i] = value;
                                ret->numbers_there |= 1u << i;
                        }
        }
        return disk_sqlite_errno(code);
}

int disk_prepare_reads(struct disk *d) {
        int64_t filled = 1;
        int r;

        d->is_new = false;
        r = prepare_all(d->reader, read_sql, d->read, DISK_READ_STATEMENTS);
        if (r < 0)
                return r;
        r = disk_load_numbers(d->reader, d);
        if (r < 0)
                return r;
        /* A database whose identity is damaged is not a new one, which would be begun from nothing.
         */
        r = disk_query_number(d->reader, filled_sql, &filled);
        if (r < 0)
                return r;
        d->is_new = filled == 0;
        return 0;
}

static int open_writer(struct disk *d) {
        int r = disk_connect(d->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &d->writer);

        if (r < 0)
                return r;
        /* The page size counts only before the first table is made. */
        return disk_exec(d->writer, "PRAGMA page_size=8192; PRAGMA journal_mode=WAL;"
                                    "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
                                    "PRAGMA cache_size=-4096; PRAGMA temp_store=MEMORY;"
                                    "PRAGMA foreign_keys=OFF");
}

static int open_reader(struct disk *d) {
        int r = disk_connect(d->path, SQLITE_OPEN_READONLY, &d->reader);

        if (r < 0)
                return r;
        return disk_exec(d->reader, "PRAGMA cache_size=-8192");
}

static int prepare(struct disk *d) {
        int r = prepare_all(d->writer, write_sql, d->write, DISK_WRITE_STATEMENTS);

        if (r < 0)
                return r;
        r = disk_prepare_reads(d);
        if (r < 0)
                return r;
        return disk_query_number(d->writer, "PRAGMA page_size", &d->page_size);
}

int disk_open_connections(struct disk *d, struct problem *p) {
        int r = open_writer(d);

        if (r < 0)
                return refuse_database(d, r, p);
        sqlite3_wal_hook(d->writer, disk_on_commit, d);
        r = check_format(d, p);
        if (r < 0)
                return r;
        r = open_reader(d);
        if (r < 0)
                return refuse_database(d, r, p);
        r = prepare(d);
        return r < 0 ? refuse_database(d, r, p) : 0;
}

/* Copies of the whole database that a killed process was making or taking in (kstored/snapshot/,
 * service/snapshot.c) are of no use to anyone and may be large. One that cannot be removed does no
 * harm. */
static void remove_leftovers(const struct disk *d) {
        _cleanup_strv_free_ char **names = NULL;

        (void)file_list(d->folder, &names);
        for (char **name = names; name && *name; name++) {
                const char *what = startswith(*name, "kstored.db.");
                _cleanup_free_ char *path = NULL;

                if (!what || (!startswith(what, "copy-") && !startswith(what, "send") &&
                                             !startswith(what, "receive")))
                        continue;
                path = strformat("%s/%s", d->folder, *name);
                if (path)
                        (void)unlink(path);
        }
}

int disk_open(struct disk **ret, const char *folder, struct problem *p) {
        _cleanup_(disk_freep) struct disk *d = calloc(1, sizeof(*d));
        struct disk_batch nothing = {0};
        int r;

        if (!d)
                return -ENOMEM;
        d->lock_fd = -EBADF;
        d->folder = strdup(folder);
        d->path = strformat("%s/kstored.db", folder);
        if (!d->folder || !d->path)
                return -ENOMEM;
        r = lock_folder(d, p);
        if (r < 0)
                return r;
        remove_leftovers(d);
        r = disk_open_connections(d, p);
        if (r < 0)
                return r;
        /* Durable from the start: the log is needed only for what is applied after this. */
        r = disk_checkpoint(d);
        if (r == 0)
                return problem_set(p, EBUSY, 0, NULL,
                                "another program reads %s, so that it can not be made durable; "
                                "close that one",
                                d->path);
        if (r < 0)
                return refuse_database(d, r, p);
        r = disk_write(d, &nothing); /* learns the sizes */
        if (r < 0)
                return refuse_database(d, r, p);
        if (disk_size(d).size <= CHECK_PAGES_AT_ONCE_BYTES) {
                r = disk_check_pages(d, NULL);
                if (r < 0)
                        return refuse_database(d, r, p);
        }
        *ret = TAKE_PTR(d);
        return 0;
}

void disk_close_connections(struct disk *d) {
        for (size_t i = 0; i < ELEMENTS(d->read); i++) {
                sqlite3_finalize(d->read[i]);
                d->read[i] = NULL;
        }
        for (size_t i = 0; i < ELEMENTS(d->write); i++) {
                sqlite3_finalize(d->write[i]);
                d->write[i] = NULL;
        }
        sqlite3_close(d->reader);
        sqlite3_close(d->writer); /* last: it brings the WAL in */
        d->reader = d->writer = NULL;
        d->read_open = false;
}

struct disk *disk_free(struct disk *d) {
        if (!d)
                return NULL;
        disk_close_connections(d);
        safe_close(d->lock_fd);
        free(d->folder);
        free(d->path);
        free(d);
        return NULL;
}

bool disk_is_new(const struct disk *d) {
        return d->is_new;
}

unsigned disk_format(const struct disk *d) {
        return d->unsummed ? 1 : DISK_FORMAT;
}

const char *disk_path(const struct disk *d) {
        return d->path;
}

uint64_t disk_number(const struct disk *d, enum disk_number n) {
        return d->numbers[n];
}

const char *disk_error_text(const struct disk *d) {
        return d->error;
}

struct disk_size disk_size(const struct disk *d) {
        int64_t pages = atomic_load(&d->page_count);

        return (struct disk_size){.size = pages * d->page_size,
                        .in_use = (pages - atomic_load(&d->free_count)) * d->page_size};
}

size_t disk_unsettled_bytes(const struct disk *d) {
        return (size_t)atomic_load(&d->unsettled_bytes);
}
