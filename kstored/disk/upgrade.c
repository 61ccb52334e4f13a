/* Databases of format 1, which had no checksums and held the log in tables of their own: the rows
 * get their checksums here; the log table stays until its entries are in the log's own files. */
#include "kstored/disk/internal.h"

/* row_sum(seq, rev, key, create_rev, version, lease, value) */
static void sql_row_sum(sqlite3_context *context, int n, sqlite3_value **v) {
        struct row row = {.seq = sqlite3_value_int64(v[0]),
                        .rev = sqlite3_value_int64(v[1]),
                        .key_size = (uint32_t)sqlite3_value_bytes(v[2]),
                        .create = sqlite3_value_int64(v[3]),
                        .version = sqlite3_value_int64(v[4]),
                        .lease = sqlite3_value_int64(v[5]),
                        .value_size = (uint32_t)sqlite3_value_bytes(v[6])};

        sqlite3_result_int64(context, (int64_t)disk_row_sum(&row, sqlite3_value_blob(v[2]),
                                                      sqlite3_value_blob(v[6])));
}

/* op_sum(table, id, value, blob) */
static void sql_op_sum(sqlite3_context *context, int n, sqlite3_value **v) {
        sqlite3_result_int64(context,
                        (int64_t)disk_op_sum((enum disk_table)sqlite3_value_int(v[0]),
                                        (uint64_t)sqlite3_value_int64(v[1]),
                                        sqlite3_value_int64(v[2]), sqlite3_value_blob(v[3]),
                                        (size_t)sqlite3_value_bytes(v[3])));
}

static const char move_rows[] =
                "ALTER TABLE number RENAME TO old_number; ALTER TABLE revision RENAME TO "
                "old_revision;"
                "ALTER TABLE lease RENAME TO old_lease; ALTER TABLE member RENAME TO old_member;"
                "ALTER TABLE alarm RENAME TO old_alarm;";
static const char take_rows[] =
                "INSERT INTO number SELECT name, value FROM old_number;"
                "INSERT INTO revision(" DISK_ROW_COLUMNS ") SELECT seq, rev, key, create_rev, "
                "version, lease, row_sum(seq, rev, key, create_rev, version, lease, value), value "
                "FROM old_revision ORDER BY seq;"
                "INSERT INTO lease SELECT id, ttl, op_sum(0, id, ttl, NULL) FROM old_lease;"
                "INSERT INTO member SELECT id, record, op_sum(1, id, 0, record) FROM old_member;"
                "INSERT INTO alarm SELECT member, types, op_sum(2, member, types, NULL) FROM "
                "old_alarm;"
                "DROP TABLE old_number; DROP TABLE old_revision; DROP TABLE old_lease;"
                "DROP TABLE old_member; DROP TABLE old_alarm;";

/* Adds what the rows of one table contribute. */
static int add_parts(sqlite3 *db, int table, const char *sql, uint64_t *sum) {
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        while ((code = sqlite3_step(st)) == SQLITE_ROW)
                *sum += disk_sum_part(table, (uint64_t)sqlite3_column_int64(st, 0),
                                (uint64_t)sqlite3_column_int64(st, 1));
        return disk_sqlite_errno(code);
}

static int store_sum(sqlite3 *db, uint64_t sum) {
        _cleanup_free_ char *sql =
                        strformat("INSERT OR REPLACE INTO number(name, value) VALUES('sum', %lld)",
                                        (long long)sum);

        return sql ? disk_exec(db, sql) : -ENOMEM;
}

static int sum_up(sqlite3 *db) {
        static const struct {
                int table;
                const char *sql;
        } tables[] = {
                        {DISK_REVISION_TABLE, "SELECT seq, sum FROM revision"},
                        {DISK_LEASE, "SELECT id, sum FROM lease"},
                        {DISK_MEMBER, "SELECT id, sum FROM member"},
                        {DISK_ALARM, "SELECT member, sum FROM alarm"},
        };
        struct disk d = {0};
        int r = disk_load_numbers(db, &d);
        uint64_t sum = d.numbers_sum;

        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(tables); i++) {
                r = add_parts(db, tables[i].table, tables[i].sql, &sum);
                if (r < 0)
                        return r;
        }
        return store_sum(db, sum);
}

static int add_functions(sqlite3 *db) {
        int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
        int code = sqlite3_create_function(db, "row_sum", 7, flags, NULL, sql_row_sum, NULL, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_create_function(
                                db, "op_sum", 4, flags, NULL, sql_op_sum, NULL, NULL);
        return disk_sqlite_errno(code);
}

int disk_view_old(sqlite3 *db) {
        int r = add_functions(db);

        return r < 0 ? r
                     : disk_exec(db, "CREATE TEMP VIEW revision AS SELECT seq, rev, key, "
                                     "create_rev, version, lease, row_sum(seq, rev, key, "
                                     "create_rev, version, lease, value) AS sum, value FROM "
                                     "main.revision;"
                                     "CREATE TEMP VIEW lease AS SELECT id, ttl, op_sum(0, id, "
                                     "ttl, NULL) AS sum FROM main.lease;"
                                     "CREATE TEMP VIEW member AS SELECT id, record, op_sum(1, "
                                     "id, 0, record) AS sum FROM main.member;"
                                     "CREATE TEMP VIEW heard AS SELECT 0 AS member, 0 AS value, 0 "
                                     "AS sum WHERE 0;"
                                     "CREATE TEMP VIEW term_start AS SELECT 0 AS term, 0 AS idx, 0 "
                                     "AS sum WHERE 0;"
                                     "CREATE TEMP VIEW alarm AS SELECT member, types, op_sum(2, "
                                     "member, types, NULL) AS sum FROM main.alarm");
}

/* In a transaction, which it commits. */
static int upgrade_rows(sqlite3 *db, const char *set_version) {
        int r = disk_exec(db, move_rows);

        if (r < 0)
                return r;
        r = disk_exec(db, disk_schema);
        if (r < 0)
                return r;
        r = disk_exec(db, take_rows);
        if (r < 0)
                return r;
        r = sum_up(db);
        if (r < 0)
                return r;
        r = disk_exec(db, set_version);
        if (r < 0)
                return r;
        return disk_exec(db, "COMMIT");
}

int disk_upgrade(sqlite3 *db, int64_t version) {
        _cleanup_free_ char *set_version = strformat("PRAGMA user_version=%d", DISK_FORMAT);
        int r;

        if (version != 1)
                return -EUCLEAN;
        r = set_version ? add_functions(db) : -ENOMEM;
        if (r < 0)
                return r;
        r = disk_exec(db, "BEGIN IMMEDIATE");
        if (r < 0)
                return r;
        r = upgrade_rows(db, set_version);
        if (r < 0)
                (void)disk_exec(db, "ROLLBACK");
        return r;
}

/* 0 where there is none; a vote that can not be read is not one that was never given. */
static int old_number(sqlite3 *db, const char *name, uint64_t *ret) {
        _cleanup_free_ char *sql = strformat("SELECT value FROM number WHERE name = '%s'", name);
        int64_t v = 0;
        int r = sql ? disk_query_number(db, sql, &v) : -ENOMEM;

        if (r < 0)
                return r;
        *ret = (uint64_t)v;
        return 0;
}

static int take_entry(struct wal_contents *c, sqlite3_stmt *st) {
        struct raft_entry *e = raft_entry_new((uint64_t)sqlite3_column_int64(st, 0),
                        (uint64_t)sqlite3_column_int64(st, 1),
                        (uint32_t)sqlite3_column_int64(st, 2), sqlite3_column_blob(st, 3),
                        (size_t)sqlite3_column_bytes(st, 3));

        if (!e)
                return -ENOMEM;
        if (e->index != c->base_index + c->entry_count + 1) {
                raft_entry_unref(e);
                return -EUCLEAN;
        }
        return wal_contents_add(c, e);
}

static int take_entries(struct disk *d, struct wal_contents *c) {
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(d->reader,
                        "SELECT idx, term, type, data FROM log WHERE idx > ?1 ORDER BY idx", -1,
                        &st, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_bind_int64(st, 1, (int64_t)c->base_index);
        if (code != SQLITE_OK)
                return disk_sqlite_errno(code);
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                int r = take_entry(c, st);

                if (r < 0)
                        return r;
        }
        return disk_sqlite_errno(code);
}

int disk_old_log(struct disk *d, struct wal_contents *ret) {
        struct wal_contents c = {.base_index = d->numbers[DISK_LOG_BASE],
                        .base_term = d->numbers[DISK_LOG_BASE_TERM]};
        int64_t there = 0;
        int r = disk_query_number(
                        d->reader, "SELECT count(*) FROM sqlite_master WHERE name = 'log'", &there);

        if (r < 0 || there == 0)
                return r;
        r = old_number(d->reader, "term", &c.term);
        if (r < 0)
                return r;
        r = old_number(d->reader, "vote", &c.vote);
        if (r < 0)
                return r;
        r = take_entries(d, &c);
        if (r < 0) {
                wal_contents_done(&c);
                return r;
        }
        *ret = c;
        return 1;
}

/* The number goes, and its part of the sum. */
static int drop_number(sqlite3 *db, const char *name, uint64_t *sum) {
        _cleanup_free_ char *sql =
                        strformat("DELETE FROM number WHERE name = '%s' RETURNING value", name);
        _cleanup_statement_ sqlite3_stmt *st = NULL;
        int code = sql ? sqlite3_prepare_v2(db, sql, -1, &st, NULL) : SQLITE_NOMEM;

        if (code == SQLITE_OK)
                code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                *sum -= disk_number_part(name, (uint64_t)sqlite3_column_int64(st, 0));
        return disk_sqlite_errno(code);
}

/* One transaction; it stays open when this fails. */
static int drop_log(sqlite3 *db, uint64_t *sum) {
        static const char *const names[] = {"term", "vote", "commit"};
        int r = disk_exec(db, "BEGIN IMMEDIATE; DROP TABLE IF EXISTS log");

        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                r = drop_number(db, names[i], sum);
                if (r < 0)
                        return r;
        }
        r = store_sum(db, *sum);
        if (r < 0)
                return r;
        return disk_exec(db, "COMMIT");
}

int disk_drop_old_log(struct disk *d) {
        uint64_t sum = d->sum;
        int r = drop_log(d->writer, &sum);

        if (r < 0) {
                (void)disk_exec(d->writer, "ROLLBACK");
                return r;
        }
        d->sum = sum;
        return 0;
}
