/* Shared by checking and restoring. */
#pragma once

#include "kstored/backup/backup.h"

int backup_file_problem(const char *path, const char *what, int error, struct problem *p);
/* Opens a backup after comparing its hash; fills size and sha256. */
int backup_open(const char *path, int *ret_fd, struct backup_info *info, struct problem *p);
/* d must outlive it. */
int backup_load_state(struct state **ret, struct disk *d, struct problem *p);
/* Applies what of the log is not in the tables yet. to: where the effects are written; NULL: they
 * stay in memory. */
int backup_apply_log(struct state *s, struct disk *from, struct disk *to, struct problem *p);
int backup_write_batch(struct state *s, struct disk *d, struct problem *p);
int backup_fill_info(struct state *s, struct disk *d, struct backup_info *info);
