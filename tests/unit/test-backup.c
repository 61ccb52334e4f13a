/* Backups on a real disk: what stands only in the log counts, every kind of damage is told, and
 * what a restore makes is a store of one member that has forgotten nothing. */
#include <fcntl.h>
#include <sys/stat.h>

#include "kstored/backup.h"
#include "kstored/wire.h"
#include "lib/fileio.h"
#include "lib/pki.h"
#include "tests/unit/unit.h"

/* The alarm stands for all: those that are known would keep the log from being applied. */
enum { CLUSTER = 0xc1, TERM = 7, ENTRIES = 6, UNKNOWN_ALARM = 9 };

struct fixture {
        char folder[64];
        char *from, *file, *to;
        struct problem p;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->folder, "/tmp/keelson-backup-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        f->from = strformat("%s/from", f->folder);
        f->file = strformat("%s/backup?%%#", f->folder); /* with what has a meaning in URIs */
        f->to = strformat("%s/to", f->folder);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        problem_done(&f->p);
        assert_int_equal(remove_tree(f->folder), 0);
        free(f->from);
        free(f->file);
        free(f->to);
        free(f);
        return 0;
}

/* One command of the log: fields of the request that the caller wrote into b. */
static struct raft_entry *entry(uint64_t index, enum command_kind kind, struct buf *fields) {
        _cleanup_buf_ struct buf b = {0};
        uint8_t header[COMMAND_HEADER_SIZE];
        struct raft_entry *e;

        command_encode(header, kind, index + 1000);
        buf_append(&b, header, sizeof(header));
        buf_append(&b, strempty(fields->data), fields->size);
        assert_false(b.failed);
        e = raft_entry_new(index, TERM, RAFT_ENTRY_NORMAL, b.data, b.size);
        assert_non_null(e);
        buf_done(fields);
        return e;
}

static struct raft_entry *put(uint64_t index, const char *key, const char *value, uint64_t lease) {
        struct buf b = {0};

        wire_string(&b, 1, key);
        wire_string(&b, 2, value);
        wire_uint(&b, 3, lease);
        return entry(index, COMMAND_PUT, &b);
}

static struct raft_entry *drop(uint64_t index, const char *key) {
        struct buf b = {0};

        wire_string(&b, 1, key);
        return entry(index, COMMAND_DELETE_RANGE, &b);
}

static struct raft_entry *grant(uint64_t index, uint64_t id, uint64_t ttl) {
        struct buf b = {0};

        wire_uint(&b, 1, ttl);
        wire_uint(&b, 2, id);
        return entry(index, COMMAND_LEASE_GRANT, &b);
}

static void add_member(struct disk_batch *b, uint64_t id, const char *name) {
        struct member m = {.id = id, .name = (char *)name};
        _cleanup_buf_ struct buf record = {0};
        _cleanup_bytes_ struct bytes *blob = NULL;

        assert_int_equal(member_encode(&m, &record), 0);
        blob = bytes_new(record.data, record.size);
        assert_int_equal(disk_batch_op(b, &(struct disk_op){.table = DISK_MEMBER,
                                                          .id = id,
                                                          .blob = blob}),
                        0);
}

/* A member of three that was killed before anything but its log was written. */
static void make_store(struct fixture *f) {
        _cleanup_(disk_freep) struct disk *d = NULL;
        struct disk_batch b = {.sync = true};

        assert_int_equal(disk_open(&d, f->from, &f->p), 0);
        b.entries = calloc(ENTRIES, sizeof(b.entries[0]));
        assert_non_null(b.entries);
        b.entries[0] = put(1, "gone", "x", 0);
        b.entries[1] = grant(2, 77, 600);
        b.entries[2] = put(3, "leased", "y", 77);
        b.entries[3] = drop(4, "gone");
        b.entries[4] = put(5, "kept", "old", 0);
        b.entries[5] = put(6, "kept", "new", 0);
        b.entry_count = ENTRIES;
        disk_batch_number(&b, DISK_CLUSTER_ID, CLUSTER);
        disk_batch_number(&b, DISK_MEMBER_ID, 1);
        disk_batch_number(&b, DISK_TERM, TERM + 1);
        disk_batch_number(&b, DISK_VOTE, 2);
        disk_batch_number(&b, DISK_COMMIT, 3);
        add_member(&b, 1, "one");
        add_member(&b, 2, "two");
        add_member(&b, 3, "three");
        assert_int_equal(disk_batch_op(&b, &(struct disk_op){.table = DISK_ALARM,
                                                           .id = 2,
                                                           .value = 1 << UNKNOWN_ALARM}),
                        0);
        assert_int_equal(disk_write(d, &b), 0);
        disk_batch_clear(&b);
}

static void add_hash(const char *path) {
        uint8_t hash[SHA256_SIZE];
        struct stat st;
        int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(sha256_file(fd, (uint64_t)st.st_size, hash), 0);
        assert_int_equal(file_write_all(fd, hash, sizeof(hash)), 0);
        close(fd);
}

static void make_backup(struct fixture *f) {
        _cleanup_(disk_freep) struct disk *d = NULL;

        make_store(f);
        assert_int_equal(disk_open(&d, f->from, &f->p), 0);
        assert_int_equal(disk_copy(d, f->file), 0);
        add_hash(f->file);
}

static void test_the_log_counts(void **state) {
        struct fixture *f = *state;
        struct backup_info info;

        make_backup(f);
        assert_int_equal(backup_check(f->file, &info, &f->p), 0);
        assert_true(info.cluster_id == CLUSTER);
        assert_int_equal(info.member_id, 1);
        assert_int_equal(info.revision, 6); /* five changes after revision 1 */
        assert_int_equal(info.keys, 2);
        assert_int_equal(info.leases, 1);
        assert_int_equal(info.members, 3);
        assert_int_equal(strlen(info.sha256), 64);
}

static void test_every_byte_counts(void **state) {
        struct fixture *f = *state;
        struct backup_info info;
        struct stat st;
        int fd;

        make_backup(f);
        fd = open(f->file, O_RDWR | O_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        for (off_t at = 0; at < st.st_size; at += 997) {
                char was, is;

                assert_int_equal(pread(fd, &was, 1, at), 1);
                is = was ^ 4;
                assert_int_equal(pwrite(fd, &is, 1, at), 1);
                assert_true(backup_check(f->file, &info, &f->p) < 0);
                assert_non_null(f->p.message);
                problem_done(&f->p);
                assert_int_equal(pwrite(fd, &was, 1, at), 1);
        }
        assert_int_equal(backup_check(f->file, &info, &f->p), 0);
        for (off_t size = st.st_size - 1; size > 0; size -= 4001) {
                assert_int_equal(ftruncate(fd, size), 0);
                assert_true(backup_check(f->file, &info, &f->p) < 0);
                problem_done(&f->p);
        }
        close(fd);
}

static const struct backup_target *target_of(struct fixture *f, struct backup_target *t) {
        static char *const urls[] = {(char *)"http://127.0.0.1:2380", NULL};

        *t = (struct backup_target){.data_dir = f->to, .name = "alone", .peer_urls = urls};
        return t;
}

static int see_member(const struct disk_op *op, void *userdata) {
        struct member **seen = userdata;

        assert_true(op->table != DISK_ALARM);
        if (op->table == DISK_MEMBER) {
                assert_null(*seen);
                assert_int_equal(member_decode(op->blob->data, op->blob->size, seen), 0);
        }
        return 0;
}

static void test_a_restored_store(void **state) {
        struct fixture *f = *state;
        _cleanup_(backup_result_done) struct backup_result result = {0};
        _cleanup_(disk_freep) struct disk *d = NULL;
        _cleanup_(member_freep) struct member *m = NULL;
        struct raft_entry **log = NULL;
        struct backup_target t;
        struct row *rows[8];
        size_t n = 1;
        int count;

        make_backup(f);
        assert_int_equal(backup_restore(f->file, target_of(f, &t), &result, &f->p), 0);
        assert_null(result.aside);
        assert_int_equal(disk_open(&d, f->to, &f->p), 0);
        assert_true(disk_number(d, DISK_CLUSTER_ID) == CLUSTER);
        assert_true(disk_number(d, DISK_MEMBER_ID) > 3);
        assert_true(disk_number(d, DISK_MEMBER_ID) == result.info.member_id);
        assert_int_equal(disk_number(d, DISK_TERM), TERM + 1);
        assert_int_equal(disk_number(d, DISK_VOTE), 0);
        assert_int_equal(disk_number(d, DISK_APPLIED), ENTRIES);
        assert_int_equal(disk_number(d, DISK_LOG_BASE), ENTRIES);
        assert_int_equal(disk_number(d, DISK_LOG_BASE_TERM), TERM);
        assert_int_equal(disk_number(d, DISK_COMMIT), ENTRIES);
        assert_int_equal(disk_number(d, DISK_REVISION), 6 + BACKUP_REVISION_BUMP);
        assert_int_equal(disk_number(d, DISK_COMPACT_REV), 6 + BACKUP_REVISION_BUMP);
        assert_int_equal(disk_load_log(d, &log, &n), 0);
        assert_int_equal(n, 0);
        free(log);
        assert_int_equal(disk_load_ops(d, see_member, &m), 0);
        assert_non_null(m);
        assert_string_equal(m->name, "alone");
        assert_string_equal(m->peer_urls[0], "http://127.0.0.1:2380");
        count = disk_scan_rows(d, 0, ELEMENTS(rows), rows);
        assert_int_equal(count, 5);
        assert_int_equal(rows[1]->lease, 77);
        assert_memory_equal(row_value(rows[4]), "new", 3);
        for (int i = 0; i < count; i++)
                row_unref(rows[i]);
}

static void test_who_is_refused(void **state) {
        struct fixture *f = *state;
        _cleanup_(backup_result_done) struct backup_result result = {0}, again = {0};
        struct backup_target t;
        struct disk *d = NULL;
        struct stat st;

        make_backup(f);
        assert_int_equal(backup_restore(f->file, target_of(f, &t), &result, &f->p), 0);
        assert_int_equal(backup_restore(f->file, &t, &again, &f->p), -EEXIST);
        problem_done(&f->p);
        t.force = true;
        assert_int_equal(disk_open(&d, f->to, &f->p), 0);
        assert_int_equal(backup_restore(f->file, &t, &again, &f->p), -EBUSY);
        problem_done(&f->p);
        disk_free(d);
        assert_int_equal(backup_restore(f->file, &t, &again, &f->p), 0);
        assert_non_null(again.aside);
        assert_int_equal(stat(again.aside, &st), 0);
        /* Above what the store that was there had given to clients. */
        assert_int_equal(again.info.revision, 6 + 2ll * BACKUP_REVISION_BUMP);
}

static void test_another_cluster(void **state) {
        struct fixture *f = *state;
        _cleanup_(backup_result_done) struct backup_result result = {0};
        struct disk_batch b = {.sync = true};
        struct backup_target t;
        struct disk *d = NULL;

        make_backup(f);
        assert_int_equal(disk_open(&d, f->to, &f->p), 0);
        disk_batch_number(&b, DISK_CLUSTER_ID, CLUSTER + 1);
        disk_batch_number(&b, DISK_MEMBER_ID, 9);
        assert_int_equal(disk_write(d, &b), 0);
        d = disk_free(d);
        (void)target_of(f, &t);
        t.force = true;
        assert_int_equal(backup_restore(f->file, &t, &result, &f->p), -EINVAL);
        assert_non_null(strstr(f->p.message, "--other-cluster"));
        problem_done(&f->p);
        t.other_cluster = true;
        assert_int_equal(backup_restore(f->file, &t, &result, &f->p), 0);
        assert_true(result.info.cluster_id == CLUSTER + 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_the_log_counts, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_every_byte_counts, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_restored_store, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_who_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_another_cluster, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
