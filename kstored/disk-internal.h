/* What disk.c and disk-*.c share. */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "kstored/disk.h"

enum disk_statement {
        DISK_BEGIN,
        DISK_COMMIT_TXN,
        DISK_ROLLBACK,
        DISK_LOG_TRUNCATE,
        DISK_LOG_TRIM,
        DISK_LOG_INSERT,
        DISK_ROW_INSERT,
        DISK_ROW_DELETE,
        DISK_NUMBER_SET,
        DISK_OP_PUT, /* one for each table */
        DISK_OP_REMOVE = DISK_OP_PUT + 3,
        DISK_PAGE_COUNT = DISK_OP_REMOVE + 3,
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
        bool synced_mode;
        size_t wal_file_bytes; /* the WAL's file is at least so long */
        bool is_new;
        uint64_t numbers[DISK_NUMBERS];
        char error[256]; /* of the writing side */
        _Atomic int64_t page_count, free_count, wal_bytes;
        int64_t page_size;
};

int disk_sqlite_errno(int rc);
int disk_exec(sqlite3 *db, const char *sql);
int disk_connect(const char *path, int flags, sqlite3 **ret);
int disk_query_number(sqlite3 *db, const char *sql, int64_t *ret);
int disk_load_numbers(sqlite3 *db, uint64_t numbers[static DISK_NUMBERS]);
int disk_open_connections(struct disk *d, struct problem *p);
void disk_close_connections(struct disk *d);
/* The statements of the reading side, and the numbers. */
int disk_prepare_reads(struct disk *d);
int disk_on_wal(void *userdata, sqlite3 *db, const char *name, int pages);
extern const char *const disk_number_names[DISK_NUMBERS];
