/* A data directory made of a backup. It is built whole beside the old one and changes places with
 * it in one step, so that a crash leaves one of the two.
 *
 * Changes in the database: this member alone is the cluster, under a new id, so that former
 * members that still run cannot take it for their own; it begins a new log (log_base = applied);
 * the revision moves past all that clients may have seen, and everything before it counts as
 * compacted, so that earlier watches must start again instead of waiting for revisions that now
 * mean something else. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "kstored/backup/internal.h"
#include "kstored/state/internal.h"
#include "lib/fileio.h"
#include "lib/random.h"

enum { COPY_PIECE_SIZE = 1 << 20 };

/* The directory as it is found. */
struct target_dir {
        char *dir;      /* without symbolic links; NULL: there is none */
        char *database; /* in it */
        int lock_fd;
        bool has_store;
        bool in_use; /* another process has the lock */
        uid_t uid;
        gid_t gid;
        uint64_t cluster_id; /* 0: unknown */
        int64_t revision;
};

static void target_dir_done(struct target_dir *x) {
        free(x->dir);
        free(x->database);
        safe_close(x->lock_fd);
}

void backup_result_done(struct backup_result *r) {
        free(r->data_dir);
        free(r->aside);
        *r = (struct backup_result){0};
}

/* A directory without a store must be empty: another one's is not put aside, whatever the flag. */
static int check_empty(const char *dir, struct problem *p) {
        _cleanup_strv_free_ char **names = NULL;
        int r = file_list(dir, &names);

        for (char **name = names; r >= 0 && name && *name; name++)
                if (!streq(*name, "lock") && !startswith(*name, "kstored."))
                        return problem_set(p, EEXIST, 0, NULL,
                                        "%s is not a data directory of kstored: it holds %s; give "
                                        "another --data-dir",
                                        dir, *name);
        return r < 0 ? backup_file_problem(dir, "read", r, p) : 0;
}

static int look(const char *data_dir, struct target_dir *x, struct problem *p) {
        struct stat st;

        x->dir = realpath(data_dir, NULL);
        if (!x->dir)
                return errno == ENOENT ? 0
                                       : backup_file_problem(data_dir, "use the data directory",
                                                         -errno, p);
        x->database = strformat("%s/kstored.db", x->dir);
        if (!x->database)
                return -ENOMEM;
        if (stat(x->dir, &st) < 0 || !S_ISDIR(st.st_mode))
                return backup_file_problem(x->dir, "use the data directory", -ENOTDIR, p);
        x->uid = st.st_uid;
        x->gid = st.st_gid;
        x->has_store = stat(x->database, &st) == 0 && st.st_size > 0;
        return x->has_store ? 0 : check_empty(x->dir, p);
}

static int in_use_problem(const struct target_dir *x, struct problem *p) {
        return problem_set(p, EBUSY, 0, NULL,
                        "the data directory %s is in use by a running kstored; stop it first",
                        x->dir);
}

/* Whether this backup may replace this store. */
static int judge(struct target_dir *x, const struct backup_target *t,
                const struct backup_info *info, struct problem *p) {
        if (!x->has_store)
                return 0;
        if (x->in_use) {
                if (!t->force)
                        return problem_set(p, EEXIST, 0, NULL,
                                        "%s holds a store already (a kstored runs on it); --force "
                                        "puts it aside, once that one is stopped, and restores "
                                        "the backup",
                                        x->dir);
                /* It is stopped between a dry run and the restore, which judges again. */
                return t->dry_run ? 0 : in_use_problem(x, p);
        }
        if (disk_glance(x->database, &x->cluster_id, &x->revision) < 0)
                x->cluster_id = 0; /* damaged: the very case for which there are backups */
        if (!t->force)
                return problem_set(p, EEXIST, 0, NULL,
                                "%s holds a store already (cluster %llx, revision %lld); --force "
                                "puts it aside and restores the backup",
                                x->dir, (unsigned long long)x->cluster_id, (long long)x->revision);
        if (x->cluster_id && x->cluster_id != info->cluster_id && !t->other_cluster)
                return problem_set(p, EINVAL, 0, NULL,
                                "the backup is of cluster %llx, and %s is of cluster %llx; "
                                "--other-cluster restores it anyway (with that cluster's "
                                "secrets, nodes and service accounts)",
                                (unsigned long long)info->cluster_id, x->dir,
                                (unsigned long long)x->cluster_id);
        return 0;
}

static int lock(struct target_dir *x, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/lock", x->dir);

        x->lock_fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
        if (x->lock_fd < 0)
                return backup_file_problem(strempty(path), "open", path ? -errno : -ENOMEM, p);
        x->in_use = flock(x->lock_fd, LOCK_EX | LOCK_NB) < 0;
        return 0;
}

/* The hash is compared again: it is these bytes that will be the store. */
static int copy_database(const char *from, const char *to, struct problem *p) {
        _cleanup_free_ char *piece = malloc(COPY_PIECE_SIZE);
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        struct backup_info info = {0};
        uint64_t at = 0;
        int r = piece ? backup_open(from, &in, &info, p) : -ENOMEM;

        if (r < 0)
                return r;
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (out < 0)
                return backup_file_problem(to, "make", -errno, p);
        while (at < info.size) {
                ssize_t n = pread(in, piece, (size_t)MIN(info.size - at, (uint64_t)COPY_PIECE_SIZE),
                                (off_t)at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return backup_file_problem(from, "read", n < 0 ? -errno : -EIO, p);
                r = file_write_all(out, piece, (size_t)n);
                if (r < 0)
                        return backup_file_problem(to, "write", r, p);
                at += (uint64_t)n;
        }
        return fsync(out) < 0 ? backup_file_problem(to, "write", -errno, p) : 0;
}

/* This member alone, and no alarms: they name members that no longer exist. */
static int one_member(struct state *s, const struct backup_target *t, uint64_t id) {
        _cleanup_(member_freep) struct member *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        while (s->member_count > 0) {
                r = state_remove_member(s, s->members[0]->id);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < s->alarm_count; i++) {
                struct disk_op op = {
                                .table = DISK_ALARM, .remove = true, .id = s->alarms[i].member};

                r = disk_batch_op(&s->batch, &op);
                if (r < 0)
                        return r;
        }
        m->id = id;
        m->name = strdup(t->name);
        if (!m->name)
                return -ENOMEM;
        for (char *const *u = t->peer_urls; u && *u; u++) {
                r = strv_extend(&m->peer_urls, *u);
                if (r < 0)
                        return r;
        }
        for (char *const *u = t->client_urls; u && *u; u++) {
                r = strv_extend(&m->client_urls, *u);
                if (r < 0)
                        return r;
        }
        return state_set_member(s, TAKE_PTR(m));
}

/* Everything that makes the copy of another member's past a store of its own. */
static int rewrite(struct state *s, struct disk *d, const struct backup_target *t,
                const struct target_dir *x, struct backup_info *info, struct problem *p) {
        struct disk_batch *b = &s->batch;
        uint64_t member_id = random_u64() >> 1 | 1;
        int64_t revision;
        int r = one_member(s, t, member_id);

        if (r < 0)
                return r;
        if (__builtin_add_overflow(MAX(mvcc_rev(s->kv.mvcc), x->revision), BACKUP_REVISION_BUMP,
                            &revision))
                return problem_set(p, EOVERFLOW, 0, NULL,
                                "the revision cannot be increased any further");
        if (t->other_cluster && x->cluster_id)
                info->cluster_id = x->cluster_id;
        info->member_id = member_id;
        info->revision = revision;
        info->members = 1;
        disk_batch_number(b, DISK_CLUSTER_ID, info->cluster_id);
        disk_batch_number(b, DISK_MEMBER_ID, member_id);
        disk_batch_number(b, DISK_LOG_BASE, s->applied);
        disk_batch_number(b, DISK_LOG_BASE_TERM, s->applied_term);
        disk_batch_number(b, DISK_CONFIG_INDEX, s->applied);
        disk_batch_number(b, DISK_REVISION, (uint64_t)revision);
        disk_batch_number(b, DISK_COMPACT_REV, (uint64_t)revision);
        return backup_write_batch(s, d, p);
}

/* The log begins behind all that was applied, in the same term: no other member exists that could
 * have voted in it. */
static int begin_log(const char *dir, struct state *s, const struct backup_info *info,
                struct problem *p) {
        struct wal_options o = {.member_id = info->member_id, .seed = random_u64()};
        struct wal_contents start = {.term = s->applied_term,
                        .base_index = s->applied,
                        .base_term = s->applied_term};
        _cleanup_(wal_freep) struct wal *wal = NULL;
        int r = wal_files_new(&o.files, dir);

        if (r < 0)
                return r;
        r = wal_create(&wal, &o, &start, p);
        wal = wal_free(wal);
        wal_files_done(&o.files);
        return r;
}

static int build_store(const char *dir, const char *file, const struct backup_target *t,
                const struct target_dir *x, struct backup_info *info, struct problem *p) {
        _cleanup_(disk_freep) struct disk *d = NULL;
        _cleanup_(state_freep) struct state *s = NULL; /* goes first: it reads from d */
        _cleanup_free_ char *database = strformat("%s/kstored.db", dir);
        int r;

        if (!database)
                return -ENOMEM;
        r = copy_database(file, database, p);
        if (r < 0)
                return r;
        r = disk_open(&d, dir, p);
        if (r < 0)
                return r;
        r = backup_load_state(&s, d, p);
        if (r < 0)
                return r;
        r = backup_apply_log(s, d, d, p);
        if (r < 0)
                return r;
        r = backup_fill_info(s, d, info);
        if (r < 0)
                return r;
        r = rewrite(s, d, t, x, info, p);
        if (r < 0)
                return r;
        r = begin_log(dir, s, info, p);
        if (r < 0)
                return r;
        return disk_drop_old_log(d);
}

static int build(const char *dir, const char *file, const struct backup_target *t,
                const struct target_dir *x, struct backup_info *info, struct problem *p) {
        int r = build_store(dir, file, t, x, info, p);

        return r >= 0 || p->message ? r
                                    : problem_set(p, -r, 0, NULL, "cannot make %s/kstored.db: %s",
                                                      dir, strerror(-r));
}

static int hand_over_file(const char *path, const struct target_dir *x) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return -errno;
        if (geteuid() == 0 && fchown(fd, x->uid, x->gid) < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

/* The directory and its files get the owner of the old ones, and are on the disk. */
static int hand_over(const char *dir, const struct target_dir *x, struct problem *p) {
        _cleanup_strv_free_ char **names = NULL;
        int r = file_list(dir, &names);

        if (r < 0)
                return backup_file_problem(dir, "read", r, p);
        r = strv_extend(&names, ".");
        if (r < 0)
                return backup_file_problem(dir, "hand over", r, p);
        for (char **name = names; *name; name++) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, *name);

                r = path ? hand_over_file(path, x) : -ENOMEM;
                if (r < 0)
                        return backup_file_problem(dir, "hand over", r, p);
        }
        return 0;
}

static int exchange(const char *made, const char *dir, const char *aside) {
        int r;

        if (renameat2(AT_FDCWD, made, AT_FDCWD, dir, RENAME_EXCHANGE) == 0) {
                if (rename(made, aside) == 0)
                        return 0;
                r = -errno;
                assert(renameat2(AT_FDCWD, made, AT_FDCWD, dir, RENAME_EXCHANGE) == 0);
                return r;
        }
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        /* A file system that cannot exchange. */
        if (rename(dir, aside) < 0)
                return -errno;
        if (rename(made, dir) < 0) {
                r = -errno;
                (void)rename(aside, dir);
                return r;
        }
        return 0;
}

/* made becomes x->dir, and the old directory is then called `aside`. On failure everything is as
 * before. */
static int change_places(const char *made, const struct target_dir *x, const char *aside,
                struct problem *p) {
        int r = exchange(made, x->dir, aside);

        if (r == -EBUSY)
                return problem_set(p, EBUSY, 0, NULL,
                                "%s is a mount point, which can not be put aside: make the data "
                                "directory a folder in it (--data-dir)",
                                x->dir);
        return r < 0 ? backup_file_problem(x->dir, "replace", r, p) : 0;
}

static int make_directory(const char *data_dir, struct target_dir *x, struct problem *p) {
        int r = mkdir_parents(data_dir, 0700);

        return r < 0 ? backup_file_problem(data_dir, "make the data directory", r, p)
                     : look(data_dir, x, p);
}

static int make_and_place(const char *made, const char *aside, const char *file,
                const struct backup_target *t, const struct target_dir *x, struct backup_info *info,
                struct problem *p) {
        int r = build(made, file, t, x, info, p);

        if (r < 0)
                return r;
        r = hand_over(made, x, p);
        if (r < 0)
                return r;
        return change_places(made, x, aside, p);
}

static int restore_into(struct target_dir *x, const char *file, const struct backup_target *t,
                struct backup_result *ret, struct problem *p) {
        _cleanup_free_ char *made = NULL, *aside = NULL;
        int r = x->dir ? 0 : make_directory(t->data_dir, x, p);

        if (r < 0)
                return r;
        if (x->lock_fd < 0) {
                r = lock(x, p);
                if (r < 0)
                        return r;
        }
        if (x->in_use)
                return in_use_problem(x, p);
        made = strformat("%s.restoring-XXXXXX", x->dir);
        aside = file_aside_name(x->dir, "before-restore");
        if (!made || !aside)
                return -ENOMEM;
        if (!mkdtemp(made))
                return backup_file_problem(made, "make", -errno, p);
        r = make_and_place(made, aside, file, t, x, &ret->info, p);
        if (r < 0) {
                (void)remove_tree(made);
                return r;
        }
        if (x->has_store)
                ret->aside = TAKE_PTR(aside);
        else
                (void)remove_tree(aside); /* it was empty */
        r = file_sync_folder_of(x->dir);
        if (r < 0)
                return backup_file_problem(x->dir, "make durable", r, p);
        ret->data_dir = TAKE_PTR(x->dir);
        return 0;
}

int backup_restore(const char *path, const struct backup_target *target, struct backup_result *ret,
                struct problem *p) {
        _cleanup_(target_dir_done) struct target_dir x = {.lock_fd = -EBADF};
        _cleanup_(backup_result_done) struct backup_result result = {0};
        int r = backup_check(path, &result.info, p);

        if (r < 0)
                return r;
        r = look(target->data_dir, &x, p);
        if (r < 0)
                return r;
        /* A database that is in use is not opened. */
        if (x.has_store) {
                r = lock(&x, p);
                if (r < 0)
                        return r;
        }
        r = judge(&x, target, &result.info, p);
        if (r < 0)
                return r;
        if (!target->dry_run) {
                r = restore_into(&x, path, target, &result, p);
                if (r < 0)
                        return r;
        }
        *ret = result;
        result = (struct backup_result){0};
        return 0;
}
