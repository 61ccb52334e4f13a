/* Limits of the size of a local volume's folder, where its file system has them: project quotas
 * (ext4, xfs) or subvolumes with quota groups (btrfs). All by the kernel's own calls. */
#pragma once

#include "lib/base.h"

enum folder_limits {
        FOLDERS_UNLIMITED, /* the file system has no limits for folders, or they are off */
        FOLDERS_PROJECTS,  /* project quotas are on */
        FOLDERS_SUBVOLUMES /* btrfs with quota groups on */
};
/* What the file system at this path can do; that of the next folder above which is there. */
enum folder_limits folder_limits_at(const char *path);
/* The value of the label keelson.dev/volume-size of a node. */
const char *folder_limits_name(enum folder_limits limits);
/* Makes a folder that can get a limit. As mkdir(2), -EEXIST too. */
int folder_make(const char *path, mode_t mode);
/* Sets or changes the limit of a folder; name: the volume's, from which a project's number follows.
 * 1 when it is limited; 0 when it cannot be: by the file system, or because it has files from
 * before. */
int folder_set_limit(int fd, const char *name, uint64_t bytes);
/* Removes the folder with all that is in it, as remove_tree(), and its limit. */
int folder_remove(const char *path);

/* ---- projects, testable without such a file system ---- */

struct project_quota {
        uint64_t limit_bytes, used_bytes; /* 0: none */
};
/* All return 0 or a negative errno. fd: the folder. */
struct project_ops {
        int (*get_project)(int fd, uint32_t *ret);
        int (*set_project)(int fd, uint32_t project);
        int (*is_empty)(int fd);
        int (*get_quota)(int fd, uint32_t project, struct project_quota *ret);
        int (*set_limit)(int fd, uint32_t project, uint64_t bytes);
};
/* folder_set_limit() on a file system with projects: the folder keeps its project, or gets one that
 * no other folder has. */
int project_set_limit(const struct project_ops *ops, int fd, const char *name, uint64_t bytes);
