/* Backups on a real disk: every kind of damage is found, and what a restore makes is a store of one
 * member that has forgotten nothing; of format 1 what stands only in the log counts. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "kstored/backup/backup.h"
#include "lib/fileio.h"
#include "lib/pki.h"
#include "tests/unit/disk-format-1.h"
#include "tests/unit/unit.h"

/* The alarm stands for all. */
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

static void add_row(struct disk_batch *b, int64_t seq, const char *key, const char *value,
                int64_t lease) {
        struct row *r = value ? row_new(key, strlen(key), value, strlen(value))
                              : row_new(key, strlen(key), "", 0);

        assert_non_null(r);
        r->seq = seq;
        r->rev = seq + 1;
        r->lease = lease;
        if (value) { /* else it was deleted */
                r->create = streq(key, "kept") ? 5 : r->rev;
                r->version = r->rev - r->create + 1;
        }
        assert_int_equal(disk_batch_row(b, r), 0);
        row_unref(r);
}

/* A member of three. */
static void make_store(struct fixture *f) {
        _cleanup_(disk_freep) struct disk *d = NULL;
        struct disk_batch b = {0};

        assert_int_equal(disk_open(&d, f->from, &f->p), 0);
        add_row(&b, 1, "gone", "x", 0);
        add_row(&b, 2, "leased", "y", 77);
        add_row(&b, 3, "gone", NULL, 0);
        add_row(&b, 4, "kept", "old", 0);
        add_row(&b, 5, "kept", "new", 0);
        disk_batch_number(&b, DISK_CLUSTER_ID, CLUSTER);
        disk_batch_number(&b, DISK_MEMBER_ID, 1);
        disk_batch_number(&b, DISK_APPLIED, ENTRIES);
        disk_batch_number(&b, DISK_APPLIED_TERM, TERM);
        disk_batch_number(&b, DISK_REVISION, 6);
        disk_batch_number(&b, DISK_NEXT_SEQ, 6);
        assert_int_equal(disk_batch_op(&b, &(struct disk_op){.table = DISK_LEASE,
                                                           .id = 77,
                                                           .value = 600}),
                        0);
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

static void copy_store(struct fixture *f) {
        _cleanup_(disk_freep) struct disk *d = NULL;

        assert_int_equal(disk_open(&d, f->from, &f->p), 0);
        assert_int_equal(disk_copy(d, f->file), 0);
        add_hash(f->file);
}

static void make_backup(struct fixture *f) {
        make_store(f);
        copy_store(f);
}

static void test_a_backup(void **state) {
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

static struct wal_contents read_log(struct fixture *f, const char *dir, uint64_t member_id) {
        struct wal_options o = {.member_id = member_id};
        _cleanup_(wal_freep) struct wal *w = NULL;
        struct wal_contents c = {0};

        assert_int_equal(wal_files_new(&o.files, dir), 0);
        if (wal_open(&w, &o, &c, &f->p) < 0)
                fail_msg("%s", f->p.message);
        w = wal_free(w);
        wal_files_done(&o.files);
        return c;
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
        struct wal_contents log;
        struct backup_target t;
        struct row *rows[8];
        int count;

        make_backup(f);
        assert_int_equal(backup_restore(f->file, target_of(f, &t), &result, &f->p), 0);
        assert_null(result.aside);
        assert_int_equal(disk_open(&d, f->to, &f->p), 0);
        assert_true(disk_number(d, DISK_CLUSTER_ID) == CLUSTER);
        assert_true(disk_number(d, DISK_MEMBER_ID) > 3);
        assert_true(disk_number(d, DISK_MEMBER_ID) == result.info.member_id);
        assert_int_equal(disk_number(d, DISK_APPLIED), ENTRIES);
        assert_int_equal(disk_number(d, DISK_LOG_BASE), ENTRIES);
        assert_int_equal(disk_number(d, DISK_LOG_BASE_TERM), TERM);
        assert_int_equal(disk_number(d, DISK_REVISION), 6 + BACKUP_REVISION_BUMP);
        assert_int_equal(disk_number(d, DISK_COMPACT_REV), 6 + BACKUP_REVISION_BUMP);
        log = read_log(f, f->to, result.info.member_id);
        assert_int_equal(log.term, TERM);
        assert_int_equal(log.vote, 0);
        assert_int_equal(log.base_index, ENTRIES);
        assert_int_equal(log.base_term, TERM);
        assert_int_equal(log.entry_count, 0);
        assert_int_equal(disk_old_log(d, &log), 0);
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
        struct disk_batch b = {0};
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

static void run_sql(const char *path, const char *sql) {
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        sqlite3_close(db);
}

/* What SQLite and SHA-256 find nothing wrong with: changed before the copy was made. */
static void test_rows_that_were_changed(void **state) {
        static const char *const changes[] = {
                        "UPDATE revision SET value = CAST('neu' AS BLOB) WHERE seq = 5",
                        "UPDATE revision SET key = CAST('kepd' AS BLOB) WHERE seq = 5",
                        "DELETE FROM revision WHERE seq = 5",
                        "UPDATE lease SET ttl = 601",
                        "DELETE FROM lease",
                        "UPDATE member SET record = substr(record, 2) WHERE id = 2",
                        "DELETE FROM member WHERE id = 2",
                        "UPDATE number SET value = value + 1 WHERE name = 'revision'",
                        "UPDATE number SET value = value - 1 WHERE name = 'applied'",
        };
        struct fixture *f = *state;
        _cleanup_(backup_result_done) struct backup_result result = {0};
        struct backup_info info;
        struct backup_target t;

        for (size_t i = 0; i < ELEMENTS(changes); i++) {
                _cleanup_free_ char *db = strformat("%s/kstored.db", f->from);

                assert_int_equal(remove_tree(f->from), 0);
                (void)unlink(f->file);
                make_store(f);
                run_sql(db, changes[i]);
                copy_store(f);
                if (backup_check(f->file, &info, &f->p) != -EUCLEAN)
                        fail_msg("it is taken: %s", changes[i]);
                assert_non_null(strstr(f->p.message, "is damaged: its rows are not those"));
                problem_done(&f->p);
                assert_int_equal(backup_restore(f->file, target_of(f, &t), &result, &f->p),
                                -EUCLEAN);
                problem_done(&f->p);
                assert_int_equal(access(f->to, F_OK), -1);
        }
}

/* A backup of before: what was acknowledged may stand only in its log. */
static void test_format_1(void **state) {
        struct fixture *f = *state;
        _cleanup_(backup_result_done) struct backup_result result = {0};
        _cleanup_(disk_freep) struct disk *d = NULL;
        struct wal_contents log = {0};
        struct backup_target t;
        struct backup_info info;
        struct row *rows[8];
        int count;

        format_1_make(f->file);
        run_sql(f->file, "PRAGMA journal_mode=DELETE"); /* one file, as VACUUM INTO makes it */
        add_hash(f->file);
        assert_int_equal(backup_check(f->file, &info, &f->p), 0);
        assert_int_equal(info.format, 1);
        assert_int_equal(info.keys, FORMAT_1_ALL_KEYS);
        assert_int_equal(info.revision, 1 + FORMAT_1_LAST - FORMAT_1_BASE);
        assert_int_equal(info.leases, 1);
        assert_int_equal(backup_restore(f->file, target_of(f, &t), &result, &f->p), 0);
        assert_int_equal(disk_open(&d, f->to, &f->p), 0);
        assert_int_equal(disk_number(d, DISK_APPLIED), FORMAT_1_LAST);
        assert_int_equal(disk_number(d, DISK_APPLIED_TERM), FORMAT_1_TERM);
        count = disk_scan_rows(d, 0, ELEMENTS(rows), rows);
        assert_int_equal(count, FORMAT_1_LAST - FORMAT_1_BASE);
        assert_memory_equal(row_value(rows[5]), "five", 4);
        assert_int_equal(rows[5]->lease, FORMAT_1_LEASE);
        for (int i = 0; i < count; i++)
                row_unref(rows[i]);
        assert_int_equal(disk_old_log(d, &log), 0);
        log = read_log(f, f->to, result.info.member_id);
        assert_int_equal(log.term, FORMAT_1_TERM);
        assert_int_equal(log.base_index, FORMAT_1_LAST);
        assert_int_equal(log.entry_count, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_a_backup, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_every_byte_counts, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_restored_store, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_who_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_another_cluster, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_rows_that_were_changed, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_format_1, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
