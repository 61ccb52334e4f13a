/* Shared by disk.c and the other files of kstored/disk/. */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "kstored/disk/disk.h"

/* Declare a connection before its statements: they are finalized first. */
DEFINE_CLEANUP(sqlite3 *, sqlite3_close);
DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);
DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_reset);
#define _cleanup_db_ _cleanup_(sqlite3_closep)
#define _cleanup_statement_ _cleanup_(sqlite3_finalizep)
/* A prepared statement that stays. */
#define _cleanup_reset_ _cleanup_(sqlite3_resetp)

enum disk_statement {
        DISK_BEGIN,
        DISK_COMMIT_TXN,
        DISK_ROLLBACK,
        DISK_ROW_INSERT,
        DISK_ROW_DELETE,
        DISK_NUMBER_SET,
        DISK_OP_PUT, /* one for each table */
        DISK_OP_REMOVE = DISK_OP_PUT + DISK_TABLES,
        DISK_PAGE_COUNT = DISK_OP_REMOVE + DISK_TABLES,
        DISK_FREE_COUNT,
        DISK_WRITE_STATEMENTS,
};

enum disk_read_statement {
        DISK_READ_BEGIN,
        DISK_READ_END,
        DISK_ROW_GET,
        DISK_ROW_HEAD,
        DISK_ROW_SCAN,
        DISK_ROW_PROBE,
        DISK_READ_STATEMENTS,
};

enum { BUSY_MS = 10000 };

struct disk {
        char *folder;
        char *path;
        int lock_fd;
        sqlite3 *writer;
        sqlite3 *reader;
        sqlite3_stmt *write[DISK_WRITE_STATEMENTS];
        sqlite3_stmt *read[DISK_READ_STATEMENTS];
        bool read_open;
        bool is_new;
        uint64_t numbers[DISK_NUMBERS];
        uint32_t numbers_there;                  /* bit set: those that have a row */
        uint64_t sum;                            /* over all rows of all tables, as stored */
        uint64_t numbers_sum, ops_sum, rows_sum; /* as they were read */
        bool unsummed;                           /* a copy of format 1, which had no checksums */
        char error[256];                         /* of the writing side */
        _Atomic int64_t page_count, free_count, unsettled_bytes;
        int64_t page_size;
};

int disk_sqlite_errno(int code);
/* The same where the system may have said more: an exhausted quota counts as a full disk. */
int disk_failure_errno(sqlite3 *db, int code);
int disk_exec(sqlite3 *db, const char *sql);
int disk_connect(const char *path, int flags, sqlite3 **ret);
int disk_query_number(sqlite3 *db, const char *sql, int64_t *ret);
/* The marks in SQLite's header: the program that owns the database, and its format. They are 0 in
 * an empty file. */
int disk_query_format(sqlite3 *db, int64_t *ret_application, int64_t *ret_version);
int disk_load_numbers(sqlite3 *db, struct disk *ret); /* numbers, and what goes with them */
int disk_open_connections(struct disk *d, struct problem *p);
void disk_close_connections(struct disk *d);
/* The statements of the reading side, and the numbers. */
int disk_prepare_reads(struct disk *d);
int disk_on_commit(void *userdata, sqlite3 *db, const char *name, int pages);
extern const char *const disk_number_names[DISK_NUMBERS];

/* sum.c: checksums. A row's own is in its column `sum`: the upper half of all but the
 * value, the lower half of the value, so that keys can be read and checked without the values. */
uint64_t disk_row_sum(const struct row *figures, const void *key, const void *value);
/* Whether all but the value is as it was written. */
bool disk_key_sum_ok(const struct row *figures, const void *key, uint64_t sum);
uint64_t disk_op_sum(enum disk_table table, uint64_t id, int64_t value, const void *blob, size_t n);
/* The share of rows in the sum over everything. */
enum { DISK_REVISION_TABLE = 100 }; /* beside enum disk_table */
uint64_t disk_sum_part(int table, uint64_t id, uint64_t sum);
uint64_t disk_number_part(const char *name, uint64_t value);
/* The row under the cursor of a statement that begins with seq, rev, key, create_rev, version,
 * lease, sum, value. -EBADMSG when its checksum is wrong. */
int disk_row_from(sqlite3_stmt *st, struct row **ret);
#define DISK_ROW_COLUMNS "seq, rev, key, create_rev, version, lease, sum, value"
/* The same with the value's size in place of the value, which is not read then. */
#define DISK_KEY_COLUMNS "seq, rev, key, create_rev, version, lease, sum, length(value)"

/* upgrade.c: an older format becomes this one, in one transaction. */
int disk_upgrade(sqlite3 *db, int64_t version);
/* Makes one that can not be written look like this format. */
int disk_view_old(sqlite3 *db);
extern const char disk_schema[];
