/* Tables and rows of format 1; the commands of the log are those of kstored/state/command.h. */
#include "tests/unit/disk-format-1.h"

#include <sqlite3.h>

#include "kstored/state/command.h"
#include "kstored/state/state.h"
#include "kstored/state/wire.h"
#include "lib/buf.h"
#include "tests/unit/unit.h"

static const char schema[] =
                "PRAGMA page_size=4096; PRAGMA journal_mode=WAL;"
                "CREATE TABLE number(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
                "CREATE TABLE log(idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, type INTEGER NOT "
                "NULL, data BLOB NOT NULL);"
                "CREATE TABLE revision(seq INTEGER PRIMARY KEY, rev INTEGER NOT NULL, key BLOB NOT "
                "NULL, create_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT "
                "NULL, value BLOB NOT NULL);"
                "CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL);"
                "CREATE TABLE member(id INTEGER PRIMARY KEY, record BLOB NOT NULL);"
                "CREATE TABLE alarm(member INTEGER PRIMARY KEY, types INTEGER NOT NULL);"
                "PRAGMA application_id=1801809011; PRAGMA user_version=1;";

static const char rows[] =
                "INSERT INTO number VALUES('cluster_id', 193), ('member_id', 5), ('term', 3),"
                " ('vote', 5), ('commit', 6), ('applied', 5), ('applied_term', 2), ('revision', 4),"
                " ('next_seq', 4), ('compact_revision', 0), ('log_base', 2), ('log_base_term', 1),"
                " ('config_index', 1);"
                "INSERT INTO revision VALUES(1, 2, CAST('first' AS BLOB), 2, 1, 70, CAST('one' AS "
                "BLOB)), (2, 3, CAST('second' AS BLOB), 3, 1, 0, CAST('two' AS BLOB)),"
                " (3, 4, CAST('first' AS BLOB), 2, 2, 70, CAST('new' AS BLOB));"
                "INSERT INTO lease VALUES(70, 600);"
                "INSERT INTO alarm VALUES(9, 512);"; /* of a kind that nobody knows */

static const struct {
        uint64_t index, term, lease;
        const char *key, *value;
} puts_[] = {
                {3, 1, FORMAT_1_LEASE, "first", "one"},
                {4, 2, 0, "second", "two"},
                {5, 2, FORMAT_1_LEASE, "first", "new"},
                {6, 2, 0, "third", "three"},
                {7, 3, 0, "fourth", "four"},
                {FORMAT_1_LAST, FORMAT_1_TERM, FORMAT_1_LEASE, "fifth", "five"},
};

static void insert(sqlite3 *db, const char *sql, uint64_t id, uint64_t term, const struct buf *b) {
        sqlite3_stmt *st;

        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_bind_int64(st, 1, (int64_t)id), SQLITE_OK);
        assert_int_equal(sqlite3_bind_blob64(st, 2, b->data, b->size, SQLITE_STATIC), SQLITE_OK);
        if (sqlite3_bind_parameter_count(st) > 2)
                assert_int_equal(sqlite3_bind_int64(st, 3, (int64_t)term), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_DONE);
        sqlite3_finalize(st);
}

static void insert_put(sqlite3 *db, size_t i) {
        _cleanup_buf_ struct buf b = {0};
        uint8_t header[COMMAND_HEADER_SIZE];

        command_encode(header, COMMAND_PUT, 1000 + puts_[i].index);
        buf_append(&b, header, sizeof(header));
        wire_string(&b, 1, puts_[i].key);
        wire_string(&b, 2, puts_[i].value);
        wire_uint(&b, 3, puts_[i].lease);
        assert_false(b.failed);
        insert(db, "INSERT INTO log(idx, data, term, type) VALUES(?1, ?2, ?3, 0)", puts_[i].index,
                        puts_[i].term, &b);
}

static void insert_member(sqlite3 *db, uint64_t id, const char *name) {
        struct member m = {.id = id, .name = (char *)name};
        _cleanup_buf_ struct buf record = {0};

        assert_int_equal(member_encode(&m, &record), 0);
        insert(db, "INSERT INTO member(id, record) VALUES(?1, ?2)", id, 0, &record);
}

void format_1_make(const char *path) {
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, schema, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
        insert_member(db, FORMAT_1_MEMBER, "five");
        for (size_t i = 0; i < ELEMENTS(puts_); i++)
                insert_put(db, i);
        sqlite3_close(db);
}
