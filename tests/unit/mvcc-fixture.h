/* A store in memory for the tests of mvcc, requests and watches: rows go to a plain table as they
 * go to the disk in kstored. */
#pragma once

#include "kstored/state/kv.h"
#include "kstored/mvcc/watch.h"
#include "tests/unit/unit.h"

/* The table: what the tests moved out of mvcc's memory. */
struct table {
        struct row *rows[4096];
        size_t count;
        size_t scanned; /* rows that were read in order */
};

struct fixture {
        struct table table;
        struct kv kv;
        struct hub *hub;
        struct arena arena;
        struct buf out; /* fields of the last answer */
};

struct fixture *fixture_new(void);
void fixture_free(struct fixture *f);
/* Ends a write: watchers hear of it, rows go to the table. */
void fixture_settle(struct fixture *f);
enum store_error fixture_put(struct fixture *f, const char *key, const char *value, int64_t lease);
/* How many it deleted. */
int64_t fixture_del(struct fixture *f, const char *key, const char *end);
/* For mvcc_compact_step(): takes a row out of the table, which is given; it must be there. */
void fixture_drop(int64_t seq, void *table);
/* Compacts and drops all that it made needless. */
void fixture_compact(struct fixture *f, int64_t rev);
