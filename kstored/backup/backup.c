/* Checking a backup and making a data directory of it (docs/backup.md, docs/store-format.md).
 *
 * A backup of format 1 holds a log, and acknowledged entries may stand only there: so it is applied
 * before it is removed, to its end, because this member cannot know which of the last entries a
 * majority has. An entry that was not acknowledged may be applied or not. */
#include "kstored/backup/internal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/crypto.h"

enum {
        SQLITE_HEADER_SIZE = 100,
        APPLY_PIECE = 1000,      /* entries in one transaction */
        LEASE_TTL_MIN_S = 1,     /* of leases whose grant stands only in the log */
        BBOLT_MAGIC = 0xed0cdaed /* at byte 16 of etcd's database */
};

int backup_file_problem(const char *path, const char *what, int error, struct problem *p) {
        _cleanup_free_ char *text = file_error_text(path, what, error);

        return problem_set(p, -error, 0, NULL, "%s", strempty(text));
}

/* Finds the kind of the file, so that the message names the mistake and not its consequence. */
static int check_kind(const char *path, int fd, uint64_t size, struct problem *p) {
        char header[SQLITE_HEADER_SIZE] = "";
        ssize_t n = pread(fd, header, sizeof(header), 0);
        uint32_t magic;

        if (n < 0)
                return backup_file_problem(path, "read", -errno, p);
        memcpy(&magic, header + 16, sizeof(magic));
        if (magic == BBOLT_MAGIC)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s is a snapshot of etcd, which has another format: only etcdctl "
                                "restores it",
                                path);
        if (size <= SQLITE_HEADER_SIZE + BACKUP_HASH_SIZE || memcmp(header, "SQLite format 3", 16))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s is not a backup of kstored (those are made by kctl backup and "
                                "etcdctl snapshot save)",
                                path);
        return 0;
}

int backup_open(const char *path, int *ret_fd, struct backup_info *info, struct problem *p) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        uint8_t want[BACKUP_HASH_SIZE], have[BACKUP_HASH_SIZE];
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return backup_file_problem(path, "open", -errno, p);
        if (!S_ISREG(st.st_mode))
                return problem_set(p, EINVAL, 0, NULL, "%s is not a regular file", path);
        r = check_kind(path, fd, (uint64_t)st.st_size, p);
        if (r < 0)
                return r;
        info->size = (uint64_t)st.st_size - BACKUP_HASH_SIZE;
        r = sha256_file(fd, info->size, have);
        if (r < 0)
                return backup_file_problem(path, "read", r, p);
        if (pread(fd, want, sizeof(want), (off_t)info->size) != sizeof(want))
                return backup_file_problem(path, "read", -EIO, p);
        if (memcmp(want, have, sizeof(want)) != 0)
                return problem_set(p, EUCLEAN, 0, NULL,
                                "%s is damaged: its SHA-256 is not the one at its end (cut short "
                                "or changed since it was made)",
                                path);
        for (size_t i = 0; i < sizeof(have); i++)
                snprintf(info->sha256 + 2 * i, 3, "%02x", have[i]);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int source_read(void *userdata, int64_t seq, struct row **ret) {
        return disk_read_row(userdata, seq, ret);
}

static int source_find_rev(void *userdata, int64_t rev, int64_t *ret_seq) {
        return disk_find_rev(userdata, rev, ret_seq);
}

static int source_scan(void *userdata, int64_t from_seq, size_t n, struct row **ret_rows) {
        return disk_scan_rows(userdata, from_seq, n, ret_rows);
}

int backup_load_state(struct state **ret, struct disk *d, struct problem *p) {
        const struct row_source source = {.read = source_read,
                        .find_rev = source_find_rev,
                        .scan = source_scan,
                        .userdata = d};
        _cleanup_(state_freep) struct state *s = NULL;
        int r = state_new(&s, &source, LEASE_TTL_MIN_S);

        if (r < 0)
                return r;
        r = state_load(s, d, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

/* The rows that applying made; kept for the disk when it is written. */
static int take_rows(struct state *s, bool keep) {
        size_t n;
        struct row **rows = mvcc_take_changes(s->kv.mvcc, &n);
        int r = 0;

        for (size_t i = 0; keep && i < n; i++) {
                r = disk_batch_row(&s->batch, rows[i]);
                if (r < 0)
                        break;
        }
        for (size_t i = 0; i < n; i++)
                row_unref(rows[i]);
        free(rows);
        return r;
}

int backup_write_batch(struct state *s, struct disk *d, struct problem *p) {
        int64_t next_seq = mvcc_next_seq(s->kv.mvcc);
        int r = disk_write(d, &s->batch);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot write %s: %s", disk_path(d),
                                disk_error_text(d));
        mvcc_flushed(s->kv.mvcc, next_seq);
        disk_batch_clear(&s->batch);
        return 0;
}

static int apply_entry(struct state *s, const struct raft_entry *e, bool keep) {
        struct outcome o = {0};
        int r;

        if (e->index != s->applied + 1)
                return -EUCLEAN;
        r = state_apply(s, e, &o);
        if (r < 0)
                return r;
        return take_rows(s, keep);
}

/* `to` NULL: nothing is kept for a disk. */
static int apply_entries(struct state *s, const struct wal_contents *log, struct disk *to,
                struct problem *p) {
        size_t since = 0;

        for (size_t i = 0; i < log->entry_count; i++) {
                int r;

                if (log->entries[i]->index <= s->applied)
                        continue;
                r = apply_entry(s, log->entries[i], to);
                if (r < 0)
                        return r;
                if (!to) {
                        disk_batch_clear(&s->batch);
                        continue;
                }
                if (++since % APPLY_PIECE != 0)
                        continue;
                r = backup_write_batch(s, to, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

int backup_apply_log(struct state *s, struct disk *from, struct disk *to, struct problem *p) {
        _cleanup_(wal_contents_done) struct wal_contents log = {0};
        int r = disk_old_log(from, &log);

        if (r > 0)
                r = apply_entries(s, &log, to, p);
        if (r == -EPROTO)
                return problem_set(p, EPROTO, 0, NULL,
                                "the log in %s holds a command of a newer kstored: use the newer "
                                "program",
                                disk_path(from));
        if (r < 0 && !p->message)
                return problem_set(p, -r, 0, NULL, "cannot apply the log in %s: %s",
                                disk_path(from), strerror(-r));
        return r;
}

int backup_fill_info(struct state *s, struct disk *d, struct backup_info *info) {
        const struct key_range all = {.key = "", .end = "", .end_size = 1};
        const struct index_item *it;
        struct mvcc_walk w;

        info->keys = 0;
        for (mvcc_walk_begin(s->kv.mvcc, &all, NULL, 0, &w); (it = mvcc_walk_item(&w));
                        mvcc_walk_next(&w))
                info->keys += index_item_version(it) > 0;
        info->cluster_id = disk_number(d, DISK_CLUSTER_ID);
        info->member_id = disk_number(d, DISK_MEMBER_ID);
        info->revision = mvcc_rev(s->kv.mvcc);
        info->leases = lessor_count(s->kv.lessor);
        info->members = s->member_count;
        info->format = disk_format(d);
        return 0;
}

static int load_copy(const char *path, struct backup_info *info, struct problem *p) {
        _cleanup_(disk_freep) struct disk *d = NULL;
        _cleanup_(state_freep) struct state *s = NULL; /* goes first: it reads from d */
        int r = disk_open_copy(&d, path, p);

        if (r < 0)
                return r;
        r = backup_load_state(&s, d, p);
        if (r < 0)
                return r;
        r = backup_apply_log(s, d, NULL, p);
        if (r < 0)
                return r;
        r = backup_fill_info(s, d, info);
        if (r < 0)
                return r;
        return mvcc_hash(s->kv.mvcc, info->revision, &info->hash);
}

static int check_opened(const char *path, struct backup_info *info, struct problem *p) {
        int r = load_copy(path, info, p);

        return r < 0 && !p->message ? backup_file_problem(path, "read", r, p) : r;
}

int backup_check(const char *path, struct backup_info *ret, struct problem *p) {
        _cleanup_close_ int fd = -EBADF;
        struct backup_info info = {0};
        int r = backup_open(path, &fd, &info, p);

        if (r < 0)
                return r;
        r = check_opened(path, &info, p);
        if (r < 0)
                return r;
        *ret = info;
        return 0;
}
