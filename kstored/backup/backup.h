/* Backups: the file that Maintenance.Snapshot streams (an SQLite database and after it the SHA-256
 * of its bytes, as etcd's snapshots end) is checked wholly, and made the data directory of a
 * cluster of one member. For a program that does not serve meanwhile. */
#pragma once

#include "kstored/state/state.h"

enum {
        BACKUP_HASH_SIZE = 32,
        /* Added to the revision at a restore, as etcd's documentation advises: whatever a client
         * saw after the backup was made lies below it, at 10,000 changes a second for a day. */
        BACKUP_REVISION_BUMP = 1000000000,
};

struct backup_info {
        uint64_t cluster_id;
        uint64_t member_id; /* the member it was taken from */
        int64_t revision;
        uint64_t keys;
        uint64_t leases;
        uint64_t members;
        uint32_t hash; /* as HashKV of a member gives at this revision */
        uint64_t size; /* of the database, the hash not counted */
        unsigned format;
        char sha256[2 * BACKUP_HASH_SIZE + 1];
};

/* Reads the file from end to end: hash, whose database it is, format, SQLite's own check, and that
 * it loads with every entry of its log. p says what is wrong. */
int backup_check(const char *path, struct backup_info *ret, struct problem *p);

struct backup_target {
        const char *data_dir;
        const char *name; /* of the one member */
        char *const *peer_urls;
        char *const *client_urls;
        bool force;         /* puts the existing store aside */
        bool other_cluster; /* the backup may be of another cluster; this one's id stays */
        bool dry_run;       /* only says whether it would be refused */
};
struct backup_result {
        struct backup_info info; /* of what was restored: the new ids and revision */
        char *data_dir;          /* without symbolic links; owned */
        char *aside;             /* where the old directory is now; NULL: there was none; owned */
};
void backup_result_done(struct backup_result *r);

/* Nothing is changed unless everything went well: the new directory is made beside the old one and
 * takes its place in one step. */
int backup_restore(const char *path, const struct backup_target *target, struct backup_result *ret,
                struct problem *p);
