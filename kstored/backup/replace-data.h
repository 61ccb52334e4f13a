/* The data directory of a member that is replaced: the old one is put aside, never deleted, and the
 * new one names the member as which the next start joins. */
#pragma once

#include "lib/problem.h"

/* The file that the next start reads in an otherwise empty data directory. */
struct replace_ticket {
        uint64_t cluster_id;
        uint64_t member_id;
        char **peer_urls; /* of the others */
};
void replace_ticket_done(struct replace_ticket *t);
/* 1, or 0 when there is none. */
int replace_ticket_read(const char *data_dir, struct replace_ticket *ret, struct problem *p);
/* It has served its purpose: the database has the identity now. */
void replace_ticket_drop(const char *data_dir);

struct replace_dir {
        char *path; /* without symbolic links */
        int lock_fd;
        bool has_data;
        uid_t uid;
        gid_t gid;
};
void replace_dir_done(struct replace_dir *d);
/* Makes it where there is none, and locks it against a kstored that runs. */
int replace_dir_open(struct replace_dir *ret, const char *data_dir, struct problem *p);
/* Puts all of it aside and makes an empty one, locked; *ret_aside: where it is now. */
int replace_dir_put_aside(struct replace_dir *d, char **ret_aside, struct problem *p);
int replace_dir_write_ticket(
                const struct replace_dir *d, const struct replace_ticket *t, struct problem *p);
