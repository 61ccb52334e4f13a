/* A project's number is made from the volume's name. One that has a limit or files is another
 * folder's, then the next number is tried; so nothing has to be remembered. A folder that has files
 * and no project stays as it is: they would not be counted. */
#include "nodeagent/pod/folder-size.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fileio.h"

enum { PROJECT_FIRST = 0x20000000, PROJECT_MASK = 0x1fffffff, PROJECT_TRIES = 64, BLOCK = 1024 };

#define PROJECT_QUOTA 2 /* PRJQUOTA of linux/quota.h */

/* ---- projects ---- */

static int get_project(int fd, uint32_t *ret) {
        struct fsxattr x;

        if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
                return -errno;
        *ret = x.fsx_projid;
        return 0;
}

static int set_project(int fd, uint32_t project) {
        struct fsxattr x;

        if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
                return -errno;
        x.fsx_projid = project;
        x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
        return ioctl(fd, FS_IOC_FSSETXATTR, &x) < 0 ? -errno : 0;
}

static int is_empty(int fd) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        size_t n = 0;

        if (!d) {
                int r = -errno;

                if (copy >= 0)
                        (void)close(copy);
                return r;
        }
        while (readdir(d))
                n++;
        (void)closedir(d);
        return n <= 2;
}

static int get_quota(int fd, uint32_t project, struct project_quota *ret) {
        struct if_dqblk q = {0};

        if (syscall(SYS_quotactl_fd, fd, QCMD((uint32_t)Q_GETQUOTA, PROJECT_QUOTA), project, &q) <
                        0) {
                /* xfs has none of a project that was never used. */
                if (errno != ENOENT)
                        return -errno;
                q = (struct if_dqblk){0};
        }
        *ret = (struct project_quota){
                        .limit_bytes = q.dqb_bhardlimit * BLOCK, .used_bytes = q.dqb_curspace};
        return 0;
}

static int set_project_limit(int fd, uint32_t project, uint64_t bytes) {
        struct if_dqblk q = {
                        .dqb_bhardlimit = (bytes + BLOCK - 1) / BLOCK, .dqb_valid = QIF_BLIMITS};

        return syscall(SYS_quotactl_fd, fd, QCMD((uint32_t)Q_SETQUOTA, PROJECT_QUOTA), project,
                               &q) < 0
                               ? -errno
                               : 0;
}

static const struct project_ops kernel_ops = {
                get_project, set_project, is_empty, get_quota, set_project_limit};

static uint32_t hash(const char *name) {
        uint32_t h = 2166136261u;

        for (; *name; name++)
                h = (h ^ (unsigned char)*name) * 16777619u;
        return h;
}

/* Gives the folder a project that no other one has. 1; 0: its files would not be counted. */
static int take_project(
                const struct project_ops *ops, int fd, const char *name, uint32_t *ret_project) {
        int r = ops->is_empty(fd);

        if (r <= 0)
                return r;
        for (uint32_t i = 0; i < PROJECT_TRIES; i++) {
                uint32_t project = PROJECT_FIRST + ((hash(name) + i) & PROJECT_MASK);
                struct project_quota quota;

                r = ops->get_quota(fd, project, &quota);
                if (r < 0)
                        return r;
                if (quota.limit_bytes > 0 || quota.used_bytes > 0)
                        continue;
                r = ops->set_project(fd, project);
                if (r < 0)
                        return r;
                *ret_project = project;
                return 1;
        }
        return -ENOSPC;
}

/* Of the numbers that this file gives. */
static bool is_own(uint32_t project) {
        return project >= PROJECT_FIRST && project - PROJECT_FIRST <= PROJECT_MASK;
}

int project_set_limit(const struct project_ops *ops, int fd, const char *name, uint64_t bytes) {
        uint32_t project;
        int r = ops->get_project(fd, &project);

        if (r < 0)
                return r;
        /* Another one is inherited from the folder above: a limit of it would be one of all
         * volumes. */
        if (!is_own(project)) {
                r = take_project(ops, fd, name, &project);
                if (r <= 0)
                        return r;
        }
        r = ops->set_limit(fd, project, bytes);
        return r < 0 ? r : 1;
}

/* ---- subvolumes ---- */

static bool is_btrfs(int fd) {
        struct statfs fs;

        return fstatfs(fd, &fs) >= 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

static bool is_subvolume(int fd) {
        struct stat st;

        return is_btrfs(fd) && fstat(fd, &st) >= 0 && st.st_ino == BTRFS_FIRST_FREE_OBJECTID;
}

/* Whether quota groups are on: they have a tree of their own then. */
static bool has_quota_groups(int fd) {
        struct btrfs_ioctl_search_args args = {.key = {.tree_id = BTRFS_QUOTA_TREE_OBJECTID,
                                                               .max_objectid = UINT64_MAX,
                                                               .max_offset = UINT64_MAX,
                                                               .max_transid = UINT64_MAX,
                                                               .max_type = UINT32_MAX,
                                                               .nr_items = 1}};

        return ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) >= 0;
}

static int subvolume_id(int fd, uint64_t *ret) {
        struct btrfs_ioctl_ino_lookup_args args = {.objectid = BTRFS_FIRST_FREE_OBJECTID};

        if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) < 0)
                return -errno;
        *ret = args.treeid;
        return 0;
}

static int subvolume_set_limit(int fd, uint64_t bytes) {
        struct btrfs_ioctl_qgroup_limit_args args = {
                        .lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = bytes}};
        uint64_t id = 0;
        int r;

        if (!is_subvolume(fd) || !has_quota_groups(fd))
                return 0;
        r = subvolume_id(fd, &id);
        if (r < 0)
                return r;
        args.qgroupid = id;
        return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0 ? -errno : 1;
}

/* The folder above, and the name in it. */
static int open_above(const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *above = slash ? strndup(path, (size_t)(slash - path)) : NULL;
        int fd;

        if (!slash)
                return -EINVAL;
        if (!above)
                return -ENOMEM;
        fd = open(*above ? above : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *ret_name = slash + 1;
        return fd < 0 ? -errno : fd;
}

static int fill_name(struct btrfs_ioctl_vol_args *args, const char *name) {
        size_t n = strlen(name);

        if (n >= sizeof(args->name))
                return -ENAMETOOLONG;
        memcpy(args->name, name, n + 1);
        return 0;
}

/* 0; 1: it is none, or cannot be removed at once. */
static int subvolume_remove(const char *path) {
        struct btrfs_ioctl_vol_args args = {0};
        struct btrfs_ioctl_qgroup_create_args group = {.create = 0};
        uint64_t id = 0;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                            above = -EBADF;
        const char *name;
        int r;

        if (fd < 0 || !is_subvolume(fd))
                return 1;
        r = subvolume_id(fd, &id);
        if (r < 0)
                return r;
        above = open_above(path, &name);
        if (above < 0)
                return above;
        r = fill_name(&args, name);
        if (r < 0)
                return r;
        if (ioctl(above, BTRFS_IOC_SNAP_DESTROY, &args) < 0)
                return 1;
        /* Newer kernels do this themselves, and older ones may still be at work. */
        group.qgroupid = id;
        (void)ioctl(above, BTRFS_IOC_QGROUP_CREATE, &group);
        return 0;
}

/* ---- either ---- */

static enum folder_limits limits_of(int fd) {
        struct project_quota quota;
        uint32_t project;

        if (is_btrfs(fd))
                return has_quota_groups(fd) ? FOLDERS_SUBVOLUMES : FOLDERS_UNLIMITED;
        if (get_project(fd, &project) < 0 || get_quota(fd, PROJECT_FIRST, &quota) < 0)
                return FOLDERS_UNLIMITED;
        return FOLDERS_PROJECTS;
}

enum folder_limits folder_limits_at(const char *path) {
        _cleanup_free_ char *copy = strdup(path);

        while (copy) {
                _cleanup_close_ int fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                char *slash = strrchr(copy, '/');

                if (fd >= 0)
                        return limits_of(fd);
                if (errno != ENOENT || !slash || slash == copy)
                        break;
                *slash = 0;
        }
        return FOLDERS_UNLIMITED;
}

const char *folder_limits_name(enum folder_limits limits) {
        return limits == FOLDERS_PROJECTS     ? "project-quota"
               : limits == FOLDERS_SUBVOLUMES ? "btrfs-quota"
                                              : "unlimited";
}

int folder_make(const char *path, mode_t mode) {
        struct btrfs_ioctl_vol_args args = {0};
        _cleanup_close_ int above = -EBADF;
        const char *name;
        int r;

        above = open_above(path, &name);
        if (above < 0)
                return above;
        if (!is_btrfs(above))
                return mkdirat(above, name, mode) < 0 ? -errno : 0;
        r = fill_name(&args, name);
        if (r < 0)
                return r;
        if (ioctl(above, BTRFS_IOC_SUBVOL_CREATE, &args) < 0)
                return -errno;
        return fchmodat(above, name, mode, /* flags= */ 0) < 0 ? -errno : 0;
}

int folder_set_limit(int fd, const char *name, uint64_t bytes) {
        switch (limits_of(fd)) {
        case FOLDERS_SUBVOLUMES:
                return subvolume_set_limit(fd, bytes);
        case FOLDERS_PROJECTS:
                return project_set_limit(&kernel_ops, fd, name, bytes);
        default:
                return 0;
        }
}

int folder_remove(const char *path) {
        _cleanup_close_ int above = -EBADF, fd = -EBADF;
        uint32_t project = 0;
        const char *name;
        int r = subvolume_remove(path);

        if (r <= 0)
                return r;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        above = open_above(path, &name);
        if (fd >= 0 && limits_of(fd) == FOLDERS_PROJECTS)
                (void)get_project(fd, &project);
        r = remove_tree(path);
        if (r >= 0 && above >= 0 && is_own(project))
                (void)set_project_limit(above, project, 0);
        return r;
}
