/* Databases without a writer: a backup is opened as it is, read-only and with the hash behind it,
 * and looked through; and a glance at the store of a data directory. */
#include <sys/stat.h>

#include "kstored/disk/internal.h"
#include "lib/fileio.h"

/* The value of one column of one row; fallback when there is no row. */
static int query_or(sqlite3 *db, const char *sql, int64_t fallback, int64_t *ret) {
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                *ret = sqlite3_column_type(st, 0) == SQLITE_NULL ? fallback
                                                                 : sqlite3_column_int64(st, 0);
        else if (code == SQLITE_DONE)
                *ret = fallback;
        return disk_sqlite_errno(code);
}

/* SQLite may complain in several lines; a refusal is one. */
static int damaged(const char *path, const char *how, struct problem *p) {
        _cleanup_free_ char *line = strdup(how);

        for (char *c = line; c && (c = strchr(c, '\n'));)
                *c = ' ';
        return problem_set(p, EUCLEAN, 0, NULL, "%s is damaged: %s", path, strempty(line));
}

static int check_owner(struct disk *d, struct problem *p) {
        int64_t application = 0, version = 0;
        int r = disk_query_format(d->reader, &application, &version);

        if (r == -EUCLEAN)
                return damaged(d->path, "SQLite cannot read it", p);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot read %s: %s", d->path, strerror(-r));
        if (application != DISK_APPLICATION_ID)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s is a database of another program, not of kstored", d->path);
        if (version > DISK_FORMAT)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s has format %lld, written by a newer kstored; this one knows "
                                "formats up to %d: use the newer program",
                                d->path, (long long)version, DISK_FORMAT);
        if (version < 1)
                return damaged(d->path, "it has no format number", p);
        d->unsummed = version < DISK_FORMAT;
        return 0;
}

/* SQLite's own check of every page; its first complaint is passed on. */
static int check_pages(struct disk *d, struct problem *p) {
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(d->reader, "PRAGMA integrity_check(1)", -1, &st, NULL);
        const char *said;

        if (code == SQLITE_OK)
                code = sqlite3_step(st);
        said = code == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
        if (!said)
                return damaged(d->path, sqlite3_errmsg(d->reader), p);
        return streq(said, "ok") ? 0 : damaged(d->path, said, p);
}

/* The invariants of docs/store-format.md that need no more than counting. */
static int check_invariants(struct disk *d, struct problem *p) {
        static const struct {
                const char *sql, *how;
        } rules[] = {
                        {"SELECT count(*) FROM number WHERE name IN ('cluster_id', 'member_id') "
                         "AND value <> 0",
                                        NULL},
                        {"SELECT ?1 <= ?2", "its log begins after the last applied entry"},
                        {"SELECT ifnull(max(rev), 0) <= ?3 AND ifnull(max(seq), 0) < ?4 FROM "
                         "revision",
                                        "it has changes after its own revision"},
                        {"SELECT count(*) > 0 FROM member", "it names no members"},
                        {"SELECT count(*) >= 0 FROM lease, alarm", NULL},
        };
        int64_t identities = 0;
        int r = query_or(d->reader, rules[0].sql, 0, &identities);

        if (r < 0)
                return damaged(d->path, sqlite3_errmsg(d->reader), p);
        if (identities != 2)
                return problem_set(p, ENODATA, 0, NULL,
                                "%s is of a store that was never started: it holds nothing",
                                d->path);
        for (size_t i = 1; i < ELEMENTS(rules); i++) {
                _cleanup_statement_ sqlite3_stmt *st = NULL;
                int code = sqlite3_prepare_v2(d->reader, rules[i].sql, -1, &st, NULL);
                const int64_t values[] = {(int64_t)d->numbers[DISK_LOG_BASE],
                                (int64_t)d->numbers[DISK_APPLIED],
                                MAX((int64_t)d->numbers[DISK_REVISION], (int64_t)1),
                                MAX((int64_t)d->numbers[DISK_NEXT_SEQ], (int64_t)1)};

                for (int v = 0; code == SQLITE_OK && v < sqlite3_bind_parameter_count(st); v++)
                        code = sqlite3_bind_int64(st, v + 1, values[v]);
                if (code == SQLITE_OK)
                        code = sqlite3_step(st);
                if (code != SQLITE_ROW)
                        return damaged(d->path, sqlite3_errmsg(d->reader), p);
                if (sqlite3_column_int64(st, 0) == 0)
                        return damaged(d->path, rules[i].how, p);
        }
        return 0;
}

static int ignore_row(const struct row *row, void *userdata) {
        return 0;
}

static int ignore_op(const struct disk_op *op, void *userdata) {
        return 0;
}

static int read_values(struct disk *d) {
        struct row *rows[64];
        int64_t seq = 0;
        int n;

        do {
                n = disk_scan_rows(d, seq, ELEMENTS(rows), rows);
                for (int i = 0; i < n; i++) {
                        seq = rows[i]->seq + 1;
                        row_unref(rows[i]);
                }
        } while (n == ELEMENTS(rows));
        return MIN(n, 0);
}

static int read_everything(struct disk *d) {
        int r = disk_load_ops(d, ignore_op, NULL);

        if (r < 0)
                return r;
        r = disk_load_keys(d, ignore_row, NULL);
        if (r < 0)
                return r;
        r = disk_check_loaded(d);
        if (r < 0)
                return r;
        return read_values(d);
}

/* Every row with its value, and that none is missing. */
static int check_rows(struct disk *d, struct problem *p) {
        int r = read_everything(d);

        if (r == -EUCLEAN || r == -EBADMSG)
                return damaged(d->path, "its rows are not those that were written", p);
        return r < 0 ? problem_set(p, -r, 0, NULL, "cannot read %s: %s", d->path, strerror(-r)) : 0;
}

/* A file: URI of a path: characters with a meaning in URIs are escaped. */
static char *file_uri(const char *path) {
        _cleanup_buf_ struct buf b = {0};

        buf_append_str(&b, "file:");
        for (const char *c = path; *c; c++)
                if (strchr("?#%", *c))
                        buf_printf(&b, "%%%02x", (unsigned char)*c);
                else
                        buf_append_char(&b, *c);
        buf_append_str(&b, "?mode=ro&immutable=1");
        return buf_take(&b);
}

int disk_open_copy(struct disk **ret, const char *path, struct problem *p) {
        _cleanup_(disk_freep) struct disk *d = calloc(1, sizeof(*d));
        _cleanup_free_ char *uri = file_uri(path);
        int r;

        if (!d)
                return -ENOMEM;
        d->lock_fd = -EBADF;
        d->path = strdup(path);
        if (!d->path || !uri)
                return -ENOMEM;
        r = disk_connect(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &d->reader);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot open %s: %s", path, strerror(-r));
        (void)disk_exec(d->reader, "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384");
        r = check_owner(d, p);
        if (r < 0)
                return r;
        r = check_pages(d, p);
        if (r < 0)
                return r;
        if (d->unsummed) {
                r = disk_view_old(d->reader);
                if (r < 0)
                        return damaged(path, sqlite3_errmsg(d->reader), p);
        }
        r = disk_prepare_reads(d);
        if (r < 0)
                return damaged(path, sqlite3_errmsg(d->reader), p);
        r = check_invariants(d, p);
        if (r < 0)
                return r;
        r = check_rows(d, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

int disk_glance(const char *path, uint64_t *ret_cluster_id, int64_t *ret_revision) {
        int64_t application = 0, cluster = 0, revision = 0;
        _cleanup_db_ sqlite3 *db = NULL;
        int r = disk_connect(path, SQLITE_OPEN_READWRITE, &db);

        if (r < 0)
                return r;
        r = query_or(db, "PRAGMA application_id", 0, &application);
        if (r < 0)
                return r;
        if (application != DISK_APPLICATION_ID)
                return -EMEDIUMTYPE;
        r = query_or(db, "SELECT value FROM number WHERE name = 'cluster_id'", 0, &cluster);
        if (r < 0)
                return r;
        r = query_or(db, "SELECT value FROM number WHERE name = 'revision'", 0, &revision);
        if (r < 0)
                return r;
        *ret_cluster_id = (uint64_t)cluster;
        *ret_revision = revision;
        return 0;
}
