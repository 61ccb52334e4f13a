/* A log in a temporary folder: a script of batches, what the log must hold after each, and files
 * whose n-th change fails. */
#pragma once

#include "kstored/wal/internal.h"

enum { WAL_MEMBER = 5 };

/* How the n-th change of a file ends. */
enum wal_fault {
        WAL_FAULT_NONE,
        WAL_FAULT_ERROR, /* nothing of it is done, and -EIO */
        WAL_FAULT_TORN,  /* half of a write is done, and -EIO */
        WAL_FAULT_FULL,  /* half of it is done, and -ENOSPC */
        WAL_FAULT_KILL,  /* half of it is done, and nothing after it */
        WAL_FAULTS,
};

struct wal_fixture {
        char folder[64];
        struct wal_folder real, faulty;
        struct wal_options options;
        enum wal_fault fault;
        unsigned fault_at, done; /* the fault_at-th change, counted in done */
        struct problem p;
};

void wal_fixture_init(struct wal_fixture *f);
void wal_fixture_done(struct wal_fixture *f);

/* What a log must hold, kept beside it. */
struct wal_model {
        uint64_t term, vote, base_index, base_term;
        struct {
                uint64_t term;
                size_t size;
        } entries[4096]; /* by index; below base_index they do not count */
        uint64_t last;
};
void wal_model_begin(struct wal_model *m);
/* The next batch of a script that has appending, cutting, voting, resetting and trimming in it. */
struct wal_batch wal_script_batch(struct wal_model *m, unsigned step);
enum { WAL_SCRIPT_STEPS = 60 };
/* Whether c is what m tells of; it may begin earlier, or with `later` also later. */
bool wal_model_holds(const struct wal_model *m, const struct wal_contents *c, bool later);

/* A folder's files as they are, to be put back. */
struct wal_saved {
        struct wal_saved_file {
                char *name;
                char *data;
                size_t size;
        } * files;
        size_t count;
};
void wal_save_files(struct wal_fixture *f, struct wal_saved *ret);
void wal_restore_files(struct wal_fixture *f, const struct wal_saved *s);
void wal_saved_done(struct wal_saved *s);
