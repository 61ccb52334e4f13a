/* What stands in the database is what was written, or it is found; and databases of format 1, which
 * had no checksums. */
#include <limits.h>
#include <sqlite3.h>

#include "kstored/disk/disk.h"
#include "lib/fileio.h"
#include "tests/unit/disk-format-1.h"
#include "tests/unit/unit.h"

enum { ROWS = 40, VALUE_SIZE = 9000 };

struct fixture {
        char folder[64];
        char *path;
        struct disk *disk;
        struct problem p;
};

static void add_op(struct disk_batch *b, enum disk_table table, uint64_t id, int64_t value,
                const char *text) {
        _cleanup_bytes_ struct bytes *blob = text ? bytes_new(text, strlen(text)) : NULL;

        assert_int_equal(disk_batch_op(b, &(struct disk_op){.table = table,
                                                          .id = id,
                                                          .value = value,
                                                          .blob = blob}),
                        0);
}

/* Rows 1 to ROWS of two revisions each, some of long values; and one of all else. */
static void write_all(struct fixture *f) {
        _cleanup_free_ char *value = calloc(1, VALUE_SIZE);
        struct disk_batch b = {0};

        assert_non_null(value);
        for (int64_t seq = 1; seq <= ROWS; seq++) {
                char key[16];
                struct row *r;

                snprintf(key, sizeof(key), "key%02d", (int)seq);
                r = row_new(key, strlen(key), value, seq % 4 == 0 ? VALUE_SIZE : (size_t)seq);
                assert_non_null(r);
                r->seq = seq;
                r->rev = r->create = 2 + seq / 2;
                r->version = 1;
                r->lease = seq % 3 == 0 ? 70 : 0;
                assert_int_equal(disk_batch_row(&b, r), 0);
                row_unref(r);
        }
        add_op(&b, DISK_LEASE, 70, 600, NULL);
        add_op(&b, DISK_LEASE, 71, 600, NULL);
        add_op(&b, DISK_MEMBER, 5, 0, "record of five");
        add_op(&b, DISK_MEMBER, 6, 0, "record of six");
        add_op(&b, DISK_ALARM, 5, 2, NULL);
        add_op(&b, DISK_HEARD, 6, 1, NULL);
        add_op(&b, DISK_TERM_START, 3, 20, NULL);
        disk_batch_number(&b, DISK_CLUSTER_ID, 77);
        disk_batch_number(&b, DISK_MEMBER_ID, 5);
        disk_batch_number(&b, DISK_APPLIED, 30);
        disk_batch_number(&b, DISK_APPLIED_TERM, 3);
        disk_batch_number(&b, DISK_REVISION, 2 + ROWS / 2);
        disk_batch_number(&b, DISK_NEXT_SEQ, ROWS + 1);
        assert_int_equal(disk_write(f->disk, &b), 0);
        disk_batch_clear(&b);
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->folder, "/tmp/keelson-sum-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        f->path = strformat("%s/kstored.db", f->folder);
        *state = f;
        return 0;
}

static int setup_full(void **state) {
        struct fixture *f;

        assert_int_equal(setup(state), 0);
        f = *state;
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        write_all(f);
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        disk_free(f->disk);
        problem_done(&f->p);
        assert_int_equal(remove_tree(f->folder), 0);
        free(f->path);
        free(f);
        return 0;
}

static void run_sql(struct fixture *f, const char *sql) {
        sqlite3 *db;

        f->disk = disk_free(f->disk);
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        sqlite3_close(db);
}

/* ---- reading in all ways */

static int ignore_row(const struct row *row, void *userdata) {
        return 0;
}

static int ignore_op(const struct disk_op *op, void *userdata) {
        return 0;
}

static int load(struct fixture *f) {
        int r = disk_load_ops(f->disk, ignore_op, NULL);

        if (r >= 0)
                r = disk_load_keys(f->disk, ignore_row, NULL);
        return r < 0 ? r : disk_check_loaded(f->disk);
}

static int scrub(struct fixture *f) {
        int64_t seq = 0;
        int r = 0;

        while (r >= 0 && seq != INT64_MAX)
                r = disk_scrub(f->disk, &seq, 7);
        return r;
}

static int scan(struct fixture *f) {
        struct row *rows[8];
        int64_t seq = 0;
        int n = ELEMENTS(rows);

        while (n == ELEMENTS(rows)) {
                n = disk_scan_rows(f->disk, seq, ELEMENTS(rows), rows);
                for (int i = 0; i < n; i++) {
                        seq = rows[i]->seq + 1;
                        row_unref(rows[i]);
                }
        }
        return n < 0 ? n : 0;
}

static int read_one(struct fixture *f, int64_t seq) {
        struct row *row = NULL;
        int r = disk_read_row(f->disk, seq, &row);

        row_unref(row);
        return r;
}

static int hash(struct fixture *f) {
        _Atomic bool stop = false;
        uint32_t sum;

        return disk_hash(f->disk, 1000, 0, &stop, &sum);
}

static int open_copy(struct fixture *f) {
        struct disk *copy = NULL;
        int r;

        problem_done(&f->p);
        r = disk_open_copy(&copy, f->path, &f->p);
        disk_free(copy);
        return r;
}

/* ---- checksums */

static void test_sound_data_are_sound(void **state) {
        struct fixture *f = *state;
        struct disk_batch b = {0};

        for (int round = 0; round < 3; round++) {
                assert_int_equal(load(f), 0);
                assert_int_equal(scrub(f), 0);
                assert_int_equal(scan(f), 0);
                assert_int_equal(hash(f), 0);
                assert_int_equal(disk_check_pages(f->disk, NULL), 0);
                f->disk = disk_free(f->disk);
                assert_int_equal(open_copy(f), 0);
                assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
                /* What goes, comes twice or was never there counts as it should. */
                assert_int_equal(disk_batch_dead(&b, 1 + round), 0);
                assert_int_equal(disk_batch_dead(&b, 1000), 0);
                add_op(&b, DISK_LEASE, 70, 601 + round, NULL);
                assert_int_equal(disk_batch_op(&b, &(struct disk_op){.table = DISK_LEASE,
                                                                   .id = 71,
                                                                   .remove = true}),
                                0);
                disk_batch_number(&b, DISK_APPLIED, 31 + (uint64_t)round);
                assert_int_equal(disk_write(f->disk, &b), 0);
                disk_batch_clear(&b);
        }
        assert_int_equal(disk_vacuum(f->disk), 0);
        assert_int_equal(load(f), 0);
}

enum { BY_LOAD = 1, BY_SCRUB = 2, BY_READ = 4 };

/* Every change that somebody could make without SQLite noticing. */
static const struct {
        const char *sql;
        unsigned by;
} changes[] = {
                {"UPDATE revision SET key = x'6b657939' WHERE seq = 8",
                                BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET rev = 5 WHERE seq = 8", BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET create_rev = 5 WHERE seq = 8", BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET version = 2 WHERE seq = 8", BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET lease = 71 WHERE seq = 8", BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET sum = sum + 1 WHERE seq = 8", BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET sum = sum + 4294967296 WHERE seq = 8",
                                BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET seq = 100 WHERE seq = 8", BY_LOAD | BY_SCRUB},
                /* Values are not read at the start, their sizes are. */
                {"UPDATE revision SET value = value || x'00' WHERE seq = 8",
                                BY_LOAD | BY_SCRUB | BY_READ},
                {"UPDATE revision SET value = CAST(zeroblob(length(value) - 1) || x'01' AS BLOB) "
                 "WHERE seq = 8",
                                BY_SCRUB | BY_READ},
                {"UPDATE revision SET value = x'' WHERE seq = 8", BY_LOAD | BY_SCRUB | BY_READ},
                /* Rows that are right by themselves. */
                {"DELETE FROM revision WHERE seq = 8", BY_LOAD},
                {"DELETE FROM revision WHERE seq = 40", BY_LOAD},
                {"DELETE FROM revision", BY_LOAD},
                {"DELETE FROM lease WHERE id = 71", BY_LOAD},
                {"DELETE FROM member WHERE id = 6", BY_LOAD},
                {"DELETE FROM alarm", BY_LOAD},
                {"DELETE FROM heard", BY_LOAD},
                {"UPDATE heard SET member = 7", BY_LOAD},
                {"DELETE FROM term_start", BY_LOAD},
                {"UPDATE term_start SET idx = 21", BY_LOAD},
                {"DELETE FROM number WHERE name = 'revision'", BY_LOAD},
                {"DELETE FROM number WHERE name = 'sum'", BY_LOAD},
                {"INSERT INTO revision SELECT 41, rev, key, create_rev, version, lease, sum, value "
                 "FROM revision WHERE seq = 40",
                                BY_LOAD | BY_SCRUB},
                {"INSERT INTO lease SELECT 72, ttl, sum FROM lease WHERE id = 71", BY_LOAD},
                {"UPDATE lease SET ttl = 601 WHERE id = 71", BY_LOAD},
                {"UPDATE lease SET id = 73 WHERE id = 71", BY_LOAD},
                {"UPDATE member SET record = x'00' WHERE id = 6", BY_LOAD},
                {"UPDATE member SET id = 7 WHERE id = 6", BY_LOAD},
                {"UPDATE alarm SET types = 3", BY_LOAD},
                {"UPDATE number SET value = value + 1 WHERE name = 'revision'", BY_LOAD},
                {"UPDATE number SET value = value - 1 WHERE name = 'applied'", BY_LOAD},
                {"UPDATE number SET value = value + 1 WHERE name = 'applied_term'", BY_LOAD},
                {"UPDATE number SET value = value + 1 WHERE name = 'cluster_id'", BY_LOAD},
                {"UPDATE number SET value = value + 1 WHERE name = 'member_id'", BY_LOAD},
                {"UPDATE number SET name = 'mfmber_id' WHERE name = 'member_id'", BY_LOAD},
                {"UPDATE number SET value = 0 WHERE name = 'member_id'", BY_LOAD},
                {"UPDATE number SET name = 'xpplied' WHERE name = 'applied'", BY_LOAD},
                {"DELETE FROM number WHERE name = 'member_id'", BY_LOAD},
                {"INSERT INTO number VALUES('unheard_of', 1)", BY_LOAD},
                {"UPDATE number SET value = value + 1 WHERE name = 'sum'", BY_LOAD},
};

static void test_every_change_is_found(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *whole = NULL;
        size_t n;

        f->disk = disk_free(f->disk); /* all of it is in the one file now */
        assert_int_equal(file_read(f->path, 1 << 24, &whole, &n), 0);
        for (size_t i = 0; i < ELEMENTS(changes); i++) {
                unsigned found;

                assert_int_equal(file_write_atomic(f->path, whole, n, 0600), 0);
                run_sql(f, changes[i].sql);
                if (open_copy(f) == 0)
                        fail_msg("as a copy it is taken: %s", changes[i].sql);
                assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
                if (disk_is_new(f->disk))
                        fail_msg("it counts as an empty one: %s", changes[i].sql);
                found = (load(f) == -EBADMSG ? BY_LOAD : 0u) |
                        (scrub(f) == -EBADMSG ? BY_SCRUB : 0u) |
                        (read_one(f, 8) == -EBADMSG ? BY_READ : 0u);
                if (found != changes[i].by)
                        fail_msg("found by %u, not %u: %s", found, changes[i].by, changes[i].sql);
                assert_int_equal(scan(f), found & BY_SCRUB ? -EBADMSG : 0);
                assert_int_equal(hash(f), found & BY_SCRUB ? -EBADMSG : 0);
                f->disk = disk_free(f->disk);
        }
}

/* A transaction that goes over a damaged row does not make it right again. */
static void test_damage_stays_found(void **state) {
        struct fixture *f = *state;
        struct disk_batch b = {0};

        run_sql(f, "UPDATE lease SET sum = sum + 1 WHERE id = 71");
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        add_op(&b, DISK_LEASE, 71, 600, NULL);
        disk_batch_number(&b, DISK_APPLIED, 31);
        assert_int_equal(disk_write(f->disk, &b), 0);
        disk_batch_clear(&b);
        assert_int_equal(load(f), -EBADMSG);
}

static void test_a_stopped_check(void **state) {
        struct fixture *f = *state;
        _Atomic bool stop = true;
        int r = disk_check_pages(f->disk, &stop);

        assert_true(r == -ECANCELED || r == 0); /* a small one is done before it looks */
}

static unsigned reads_left;
static ssize_t (*real_pread)(int fd, void *data, size_t n, off_t at);

static ssize_t failing_pread(int fd, void *data, size_t n, off_t at) {
        if (reads_left == 0) {
                errno = EIO;
                return -1;
        }
        reads_left--;
        return real_pread(fd, data, n, at);
}

/* A disk that fails in the middle of the check is not taken for damage, whichever read it is. */
static void check_pages_on_failing_disk(struct fixture *f) {
        unsigned failures = 0;
        int r;

        do {
                assert_true(failures < 1000);
                reads_left = failures++;
                r = disk_check_pages(f->disk, NULL);
                assert_true(r == 0 || r == -EUCLEAN || r == -EIO);
        } while (r < 0);
        assert_true(failures > 5);
}

static void test_unreadable_is_not_damaged(void **state) {
        struct fixture *f = *state;
        sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
        const char *name = vfs->xGetSystemCall(vfs, "pread64") ? "pread64" : "pread";

        real_pread = (ssize_t(*)(int, void *, size_t, off_t))vfs->xGetSystemCall(vfs, name);
        assert_non_null(real_pread);
        assert_int_equal(vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)failing_pread), 0);
        check_pages_on_failing_disk(f); /* the rows are in SQLite's log */
        reads_left = UINT_MAX;
        assert_int_equal(disk_checkpoint(f->disk), 1);
        check_pages_on_failing_disk(f); /* and in the database */
        assert_int_equal(vfs->xSetSystemCall(vfs, name, NULL), 0);
        assert_int_equal(disk_check_pages(f->disk, NULL), 0);
}

/* ---- format 1 */

static void assert_upgraded(struct fixture *f, bool log) {
        struct wal_contents c = {0};
        struct row *row;

        assert_int_equal(load(f), 0);
        assert_int_equal(scrub(f), 0);
        assert_false(disk_is_new(f->disk));
        assert_true(disk_number(f->disk, DISK_MEMBER_ID) == FORMAT_1_MEMBER);
        assert_int_equal(disk_number(f->disk, DISK_APPLIED), FORMAT_1_APPLIED);
        assert_int_equal(disk_read_row(f->disk, 1, &row), 1);
        assert_int_equal(row->lease, FORMAT_1_LEASE);
        assert_int_equal(row->key_size, strlen("first"));
        assert_memory_equal(row_value(row), "one", 3);
        row_unref(row);
        assert_int_equal(disk_old_log(f->disk, &c), log);
        if (log) {
                assert_int_equal(c.term, FORMAT_1_TERM);
                assert_int_equal(c.vote, FORMAT_1_VOTE);
                assert_int_equal(c.base_index, FORMAT_1_BASE);
                assert_int_equal(c.base_term, 1);
                assert_int_equal(c.entry_count, FORMAT_1_LAST - FORMAT_1_BASE);
                assert_int_equal(c.entries[0]->index, FORMAT_1_BASE + 1);
                assert_int_equal(c.entries[c.entry_count - 1]->term, FORMAT_1_TERM);
        }
        wal_contents_done(&c);
}

static void test_upgrade(void **state) {
        struct fixture *f = *state;

        format_1_make(f->path);
        for (int round = 0; round < 2; round++) { /* also again, as after a crash */
                assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
                assert_upgraded(f, true);
                f->disk = disk_free(f->disk);
                assert_int_equal(open_copy(f), 0);
        }
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        for (int round = 0; round < 2; round++) {
                assert_int_equal(disk_drop_old_log(f->disk), 0);
                assert_upgraded(f, false);
                f->disk = disk_free(f->disk);
                assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
                assert_upgraded(f, false);
        }
        assert_int_equal(disk_check_pages(f->disk, NULL), 0);
}

static void test_an_old_log_with_a_gap(void **state) {
        struct fixture *f = *state;
        struct wal_contents c = {0};

        format_1_make(f->path);
        run_sql(f, "DELETE FROM log WHERE idx = 6");
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        assert_int_equal(disk_old_log(f->disk, &c), -EUCLEAN);
        assert_null(c.entries);
}

/* Nobody writes a copy: it is read as it is, and keeps its format. */
static void test_an_old_copy(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *before = NULL, *after = NULL;
        size_t n, m;

        format_1_make(f->path);
        assert_int_equal(file_read(f->path, 1 << 24, &before, &n), 0);
        assert_int_equal(disk_open_copy(&f->disk, f->path, &f->p), 0);
        assert_int_equal(scan(f), 0);
        f->disk = disk_free(f->disk);
        assert_int_equal(file_read(f->path, 1 << 24, &after, &m), 0);
        assert_int_equal(n, m);
        assert_memory_equal(before, after, n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(
                                        test_sound_data_are_sound, setup_full, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_every_change_is_found, setup_full, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_unreadable_is_not_damaged, setup_full, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_damage_stays_found, setup_full, teardown),
                        cmocka_unit_test_setup_teardown(test_a_stopped_check, setup_full, teardown),
                        cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_an_old_log_with_a_gap, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_an_old_copy, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
