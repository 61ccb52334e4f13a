/* The database on a real disk: what a batch wrote is there after opening again; who may not open
 * it. */
#include <sqlite3.h>
#include <sys/stat.h>

#include "kstored/disk/disk.h"
#include "kstored/mvcc/mvcc.h"
#include "lib/fileio.h"
#include "tests/unit/unit.h"

struct fixture {
        char folder[64];
        struct disk *disk;
        struct problem p;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->folder, "/tmp/keelson-disk-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        disk_free(f->disk);
        problem_done(&f->p);
        assert_int_equal(remove_tree(f->folder), 0);
        free(f);
        return 0;
}

static void reopen(struct fixture *f) {
        f->disk = disk_free(f->disk);
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
}

static void run_sql(struct fixture *f, const char *sql) {
        _cleanup_free_ char *path = strformat("%s/kstored.db", f->folder);
        sqlite3 *db;

        f->disk = disk_free(f->disk);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

static struct row *row_with(int64_t seq, int64_t rev, const char *key, const char *value) {
        struct row *r = row_new(key, strlen(key), value, strlen(value));

        assert_non_null(r);
        r->seq = seq;
        r->rev = r->create = rev;
        r->version = 1;
        return r;
}

static void write_rows(struct fixture *f, int64_t from, size_t n) {
        struct disk_batch b = {0};

        for (size_t i = 0; i < n; i++) {
                _cleanup_row_ struct row *r = row_with(
                                from + (int64_t)i, (from + (int64_t)i) * 10, "key", "value");

                assert_int_equal(disk_batch_row(&b, r), 0);
        }
        assert_int_equal(disk_write(f->disk, &b), 0);
        disk_batch_clear(&b);
}

static void test_what_was_written_is_there(void **state) {
        struct fixture *f = *state;
        struct disk_batch b = {0};
        struct row *rows[8], *row;

        assert_true(disk_is_new(f->disk));
        disk_batch_number(&b, DISK_MEMBER_ID, UINT64_MAX - 1);
        disk_batch_number(&b, DISK_APPLIED, 3);
        assert_int_equal(disk_write(f->disk, &b), 0);
        disk_batch_clear(&b);
        write_rows(f, 1, 3);
        reopen(f);
        assert_false(disk_is_new(f->disk));
        assert_true(disk_number(f->disk, DISK_MEMBER_ID) == UINT64_MAX - 1);
        assert_int_equal(disk_number(f->disk, DISK_APPLIED), 3);
        assert_int_equal(disk_read_row(f->disk, 2, &row), 1);
        assert_int_equal(row->rev, 20);
        assert_memory_equal(row_value(row), "value", 5);
        row_unref(row);
        assert_int_equal(disk_read_row(f->disk, 4, &row), 0);
        assert_int_equal(disk_scan_rows(f->disk, 2, 8, rows), 2);
        row_unref(rows[0]);
        row_unref(rows[1]);
}

/* The head of a row is all of it but the value. */
static void test_heads(void **state) {
        _cleanup_free_ char *value = calloc(1, 300001);
        _cleanup_row_ struct row *row = NULL, *head = NULL, *whole = NULL;
        struct fixture *f = *state;
        struct disk_batch b = {0};

        memset(value, 'x', 300000);
        row = row_with(7, 70, "a key", value);
        row->version = 3;
        row->lease = 9;
        row->create = 50;
        assert_int_equal(disk_batch_row(&b, row), 0);
        assert_int_equal(disk_write(f->disk, &b), 0);
        disk_batch_clear(&b);
        assert_int_equal(disk_read_head(f->disk, 8, &head), 0);
        assert_null(head);
        assert_int_equal(disk_read_head(f->disk, 7, &head), 1);
        assert_int_equal(disk_read_row(f->disk, 7, &whole), 1);
        assert_int_equal(head->value_size, 300000);
        assert_int_equal(head->key_size, 5);
        assert_memory_equal(head->data, "a key", 5);
        assert_true(head->seq == 7 && head->rev == 70 && head->version == 3 && head->lease == 9 &&
                        head->create == 50);
        assert_int_equal(whole->value_size, 300000);
        assert_memory_equal(row_value(whole), value, 300000);
}

static void test_revisions_are_found(void **state) {
        struct fixture *f = *state;
        struct disk_batch b = {0};
        int64_t seq;

        assert_int_equal(disk_find_rev(f->disk, 1, &seq), 0);
        assert_true(seq == INT64_MAX);
        write_rows(f, 1, 100);
        for (int64_t s = 20; s < 80; s++) /* what compaction leaves has gaps */
                assert_int_equal(disk_batch_dead(&b, s), 0);
        assert_int_equal(disk_write(f->disk, &b), 0);
        disk_batch_clear(&b);
        assert_int_equal(disk_find_rev(f->disk, 0, &seq), 0);
        assert_int_equal(seq, 1);
        assert_int_equal(disk_find_rev(f->disk, 55, &seq), 0);
        assert_int_equal(seq, 6);
        assert_int_equal(disk_find_rev(f->disk, 300, &seq), 0);
        assert_int_equal(seq, 80);
        assert_int_equal(disk_find_rev(f->disk, 1001, &seq), 0);
        assert_true(seq == INT64_MAX);
}

static void test_nothing_of_a_failed_batch_is_there(void **state) {
        struct fixture *f = *state;
        struct disk_batch b = {0};
        struct row *row;

        write_rows(f, 1, 1);
        for (int64_t seq = 2; seq >= 1; seq--) { /* the second is there already */
                _cleanup_row_ struct row *r = row_with(seq, 50, "k", "v");

                assert_int_equal(disk_batch_row(&b, r), 0);
        }
        disk_batch_number(&b, DISK_APPLIED, 77);
        assert_true(disk_write(f->disk, &b) < 0);
        assert_true(strstr(disk_error_text(f->disk), "UNIQUE") != NULL);
        disk_batch_clear(&b);
        reopen(f);
        assert_int_equal(disk_number(f->disk, DISK_APPLIED), 0);
        assert_int_equal(disk_read_row(f->disk, 2, &row), 0);
}

static void test_only_one_process(void **state) {
        struct fixture *f = *state;
        struct disk *second = NULL;

        assert_int_equal(disk_open(&second, f->folder, &f->p), -EBUSY);
        assert_non_null(strstr(f->p.message, "in use by another kstored"));
}

/* What a killed process was copying goes; files that are not ours stay. */
static void test_leftovers_go(void **state) {
        static const struct {
                const char *name;
                bool stays;
        } files[] = {{"kstored.db.copy-123", false}, {"kstored.db.copy-123-journal", false},
                        {"kstored.db.send", false}, {"kstored.db.receive", false},
                        {"kstored.db.receive-journal", false}, {"kstored.db.bak", true},
                        {"kstored.db-mine", true}, {"other.db.send", true}};
        struct fixture *f = *state;
        struct disk *second = NULL;
        struct row *row;

        write_rows(f, 1, 1);
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                _cleanup_free_ char *path = strformat("%s/%s", f->folder, files[i].name);

                assert_int_equal(file_write_atomic(path, "x", 1, 0600), 0);
        }
        /* Not by one that is refused: the other is at work on them. */
        assert_int_equal(disk_open(&second, f->folder, &f->p), -EBUSY);
        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < ELEMENTS(files); i++) {
                        _cleanup_free_ char *path = strformat("%s/%s", f->folder, files[i].name);

                        assert_int_equal(access(path, F_OK), round == 0 || files[i].stays ? 0 : -1);
                }
                reopen(f);
        }
        assert_int_equal(disk_read_row(f->disk, 1, &row), 1);
        row_unref(row);
}

static void test_formats_that_are_refused(void **state) {
        struct fixture *f = *state;

        run_sql(f, "PRAGMA user_version=3");
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), -EINVAL);
        assert_non_null(strstr(f->p.message, "newer kstored"));
        run_sql(f, "PRAGMA user_version=2; PRAGMA application_id=1");
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), -EINVAL);
        assert_non_null(strstr(f->p.message, "another program"));
}

static void test_damage_is_reported(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *path = strformat("%s/kstored.db", f->folder);
        _cleanup_free_ char *wal = strformat("%s/kstored.db-wal", f->folder);

        f->disk = disk_free(f->disk);
        (void)unlink(wal);
        assert_int_equal(file_write_atomic(path, "this is no database, whatever its name may say",
                                         46, 0600),
                        0);
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), -EUCLEAN);
        assert_non_null(strstr(f->p.message, "damaged"));
}

static void test_checkpoint_and_copy(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *copy = strformat("%s/copy", f->folder);
        _cleanup_free_ char *wal = strformat("%s/kstored.db-wal", f->folder);
        struct stat st;
        struct row *row;

        write_rows(f, 1, 500);
        assert_true(disk_unsettled_bytes(f->disk) > 0);
        /* Not while somebody reads what is in the way: nobody waits for that. */
        disk_read_begin(f->disk);
        assert_int_equal(disk_read_row(f->disk, 500, &row), 1);
        row_unref(row);
        write_rows(f, 501, 1);
        assert_int_equal(disk_checkpoint(f->disk), 0);
        assert_true(disk_unsettled_bytes(f->disk) > 0);
        disk_read_end(f->disk);
        assert_int_equal(disk_checkpoint(f->disk), 1);
        assert_int_equal(disk_unsettled_bytes(f->disk), 0);
        assert_int_equal(stat(wal, &st), 0);
        assert_int_equal(st.st_size, 0); /* nothing is ever played into a newer database */
        assert_int_equal(disk_copy(f->disk, copy), 0);
        assert_int_equal(stat(copy, &st), 0);
        assert_int_equal(st.st_size % 512, 0);
        assert_int_equal(disk_vacuum(f->disk), 0);
        assert_int_equal(disk_read_row(f->disk, 500, &row), 1);
        row_unref(row);
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

static void on_dropped(int64_t seq, void *userdata) {
        assert_int_equal(disk_batch_dead(userdata, seq), 0);
}

/* Everything that is in memory goes to the disk. */
static void flush(struct fixture *f, struct mvcc *m, struct disk_batch *b) {
        size_t n;
        struct row **rows = mvcc_take_changes(m, &n);

        for (size_t i = 0; i < n; i++) {
                assert_int_equal(disk_batch_row(b, rows[i]), 0);
                row_unref(rows[i]);
        }
        free(rows);
        disk_batch_number(b, DISK_COMPACT_REV, (uint64_t)mvcc_compact_rev(m));
        assert_int_equal(disk_write(f->disk, b), 0);
        disk_batch_clear(b);
        mvcc_flushed(m, mvcc_next_seq(m));
}

static uint32_t hash_of(struct fixture *f, struct mvcc *m, int64_t rev) {
        _Atomic bool stop = false;
        uint32_t table = 0, memory = 1;

        assert_int_equal(mvcc_hash(m, rev, &memory), 0);
        assert_int_equal(disk_hash(f->disk, rev, mvcc_compact_rev(m), &stop, &table), 0);
        assert_int_equal(table, memory);
        return table;
}

/* One kind of hash: over the index, and over the table however it lies on the disk. */
static void test_hash(void **state) {
        struct fixture *f = *state;
        struct row_source source = {.read = source_read,
                        .find_rev = source_find_rev,
                        .scan = source_scan,
                        .userdata = f->disk};
        struct disk_batch b = {0};
        _Atomic bool stop = true;
        uint32_t hash, other;
        struct mvcc *m;

        assert_int_equal(mvcc_new(&m, &source), 0);
        for (int i = 0; i < 300; i++) {
                char key[8], value[32];

                snprintf(key, sizeof(key), "key%d", i * 7 % 40);
                snprintf(value, sizeof(value), "%*d", i % 20, i);
                mvcc_begin(m);
                if (i % 11 == 10)
                        assert_true(mvcc_delete(m, key, strlen(key)) >= 0);
                else
                        assert_int_equal(mvcc_put(m, key, strlen(key), value, strlen(value), i % 3),
                                        0);
                (void)mvcc_end(m);
        }
        flush(f, m, &b);
        hash = hash_of(f, m, 200);
        assert_int_not_equal(hash_of(f, m, 201), hash);
        assert_int_not_equal(hash_of(f, m, mvcc_rev(m)), hash);
        for (int64_t rev = 50; rev <= 200; rev += 3) {
                assert_int_equal(mvcc_compact(m, rev), 0);
                assert_int_equal(mvcc_hash(m, 200, &hash), 0);
                while (mvcc_compact_step(m, 5, on_dropped, &b) > 0)
                        ;
                assert_int_equal(disk_hash(f->disk, 200, rev, &stop, &other), -ECANCELED);
                stop = false;
                assert_int_equal(disk_hash(f->disk, 200, rev, &stop, &other), -ESTALE);
                stop = true;
                flush(f, m, &b);
                assert_int_equal(hash_of(f, m, 200), hash);
        }
        f->disk = disk_free(f->disk);
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        assert_int_equal(disk_vacuum(f->disk), 0);
        stop = false;
        assert_int_equal(disk_hash(f->disk, 200, mvcc_compact_rev(m), &stop, &other), 0);
        assert_int_equal(other, hash);
        mvcc_free(m);
}

/* A second database, of the member that leads: more rows, names of its own. */
static struct disk *make_leader(struct fixture *f, const char *folder) {
        struct fixture of_leader = {0};
        struct disk_batch b = {0};
        struct bytes *record = bytes_new("record", 6);

        assert_int_equal(mkdir(folder, 0700), 0);
        assert_int_equal(disk_open(&of_leader.disk, folder, &f->p), 0);
        write_rows(&of_leader, 1, 300);
        disk_batch_number(&b, DISK_CLUSTER_ID, 77);
        disk_batch_number(&b, DISK_MEMBER_ID, 6);
        disk_batch_number(&b, DISK_APPLIED, 17);
        disk_batch_number(&b, DISK_APPLIED_TERM, 3);
        disk_batch_number(&b, DISK_REVISION, 3000);
        disk_batch_number(&b, DISK_NEXT_SEQ, 301);
        disk_batch_number(&b, DISK_COMPACT_REV, 5);
        disk_batch_number(&b, DISK_LOG_BASE, 10);
        disk_batch_number(&b, DISK_LOG_BASE_TERM, 2);
        disk_batch_number(&b, DISK_CONFIG_INDEX, 4);
        assert_int_equal(disk_batch_op(&b, &(struct disk_op){.table = DISK_LEASE,
                                                           .id = 70,
                                                           .value = 9}),
                        0);
        assert_int_equal(disk_batch_op(&b, &(struct disk_op){.table = DISK_MEMBER,
                                                           .id = 5,
                                                           .blob = record}),
                        0);
        assert_int_equal(disk_batch_op(&b,
                                         &(struct disk_op){
                                                         .table = DISK_ALARM, .id = 6, .value = 2}),
                        0);
        assert_int_equal(disk_write(of_leader.disk, &b), 0);
        disk_batch_clear(&b);
        bytes_unref(record);
        return of_leader.disk;
}

/* The one that fell behind: rows of its own, in a WAL that is not brought in. */
static void make_behind(struct fixture *f) {
        struct disk_batch b = {0};
        struct row *row;

        write_rows(f, 1, 20);
        disk_batch_number(&b, DISK_CLUSTER_ID, 77);
        disk_batch_number(&b, DISK_MEMBER_ID, 5);
        disk_batch_number(&b, DISK_APPLIED, 3);
        disk_batch_number(&b, DISK_REVISION, 200);
        assert_int_equal(disk_write(f->disk, &b), 0);
        disk_batch_clear(&b);
        assert_true(disk_unsettled_bytes(f->disk) > 0);
        assert_int_equal(disk_read_row(f->disk, 20, &row), 1);
        row_unref(row);
}

static int count_op(const struct disk_op *op, void *userdata) {
        unsigned *sum = userdata;

        if (op->table == DISK_MEMBER)
                assert_true(op->id == 5 && op->blob->size == 6);
        *sum += op->table == DISK_LEASE ? 1 : op->table == DISK_MEMBER ? 10 : 100;
        return 0;
}

static void assert_behind(struct fixture *f) {
        struct row *row;

        assert_true(disk_number(f->disk, DISK_MEMBER_ID) == 5);
        assert_true(disk_number(f->disk, DISK_APPLIED) == 3);
        assert_int_equal(disk_read_row(f->disk, 20, &row), 1);
        row_unref(row);
        assert_int_equal(disk_read_row(f->disk, 300, &row), 0);
}

static void assert_adopted(struct fixture *f) {
        static const uint64_t numbers[DISK_NUMBERS] = {[DISK_CLUSTER_ID] = 77,
                        /* its own */
                        [DISK_MEMBER_ID] = 5,
                        /* the log begins behind what is applied */
                        [DISK_APPLIED] = 17,
                        [DISK_APPLIED_TERM] = 3,
                        [DISK_LOG_BASE] = 17,
                        [DISK_LOG_BASE_TERM] = 3,
                        /* the leader's */
                        [DISK_REVISION] = 3000,
                        [DISK_NEXT_SEQ] = 301,
                        [DISK_COMPACT_REV] = 5,
                        [DISK_CONFIG_INDEX] = 4};
        struct row *row;
        unsigned sum = 0;

        assert_false(disk_is_new(f->disk));
        for (unsigned i = 0; i < DISK_NUMBERS; i++)
                assert_true(disk_number(f->disk, i) == numbers[i]);
        assert_int_equal(disk_load_ops(f->disk, count_op, &sum), 0);
        assert_int_equal(sum, 111);
        assert_int_equal(disk_read_row(f->disk, 300, &row), 1);
        assert_int_equal(row->rev, 3000);
        row_unref(row);
}

static void test_a_copy_takes_the_place(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *folder = strformat("%s/leader", f->folder);
        _cleanup_free_ char *copy = strformat("%s/kstored.db.copy", f->folder);
        struct disk *leader = make_leader(f, folder);
        uint64_t numbers[DISK_NUMBERS];

        make_behind(f);
        assert_int_equal(disk_copy(leader, copy), 0);
        assert_int_equal(disk_copy(leader, copy), -EIO); /* never over another file */
        disk_free(leader);
        assert_int_equal(disk_peek(copy, numbers, &f->p), 0);
        assert_true(numbers[DISK_CLUSTER_ID] == 77 && numbers[DISK_MEMBER_ID] == 6);
        assert_true(numbers[DISK_APPLIED] == 17 && numbers[DISK_APPLIED_TERM] == 3);
        assert_int_equal(disk_adopt(f->disk, copy, 5), 0);
        assert_int_equal(access(copy, F_OK), -1);
        assert_adopted(f);
        /* It continues from there. */
        write_rows(f, 301, 1);
        assert_int_equal(disk_checkpoint(f->disk), 1);
        reopen(f);
        assert_adopted(f);
}

/* The copy was made ours, then the power went before the exchange: the old one is there with its
 * WAL. A copy that is ours already is taken like another. */
static void test_a_copy_that_was_made_ours(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *folder = strformat("%s/leader", f->folder);
        _cleanup_free_ char *other = strformat("%s/other", f->folder);
        _cleanup_free_ char *copy = strformat("%s/kstored.db.copy", f->folder);
        struct disk *leader = make_leader(f, folder), *second = NULL;

        make_behind(f);
        assert_int_equal(disk_copy(leader, copy), 0);
        disk_free(leader);
        /* The work on the copy, done where its exchange does no harm. */
        assert_int_equal(mkdir(other, 0700), 0);
        assert_int_equal(disk_open(&second, other, &f->p), 0);
        assert_int_equal(disk_adopt(second, copy, 5), 0);
        disk_free(second);
        reopen(f);
        assert_behind(f);
        free(TAKE_PTR(copy));
        copy = strformat("%s/kstored.db", other);
        assert_int_equal(disk_adopt(f->disk, copy, 5), 0);
        assert_adopted(f);
}

/* What peek refuses, adopt does too, and leaves everything as it was. */
static void refused(struct fixture *f, const char *path, int error, const char *why) {
        uint64_t numbers[DISK_NUMBERS];

        problem_done(&f->p);
        assert_int_equal(disk_peek(path, numbers, &f->p), error);
        assert_non_null(strstr(f->p.message, why));
        assert_int_equal(disk_adopt(f->disk, path, 5), error);
        assert_behind(f);
}

static void change_copy(const char *path, const char *sql) {
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

static void test_copies_that_are_refused(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *folder = strformat("%s/leader", f->folder);
        _cleanup_free_ char *copy = strformat("%s/kstored.db.copy", f->folder);
        struct disk *leader = make_leader(f, folder);
        struct stat st;

        make_behind(f);
        assert_int_equal(disk_copy(leader, copy), 0);
        disk_free(leader);
        change_copy(copy, "PRAGMA user_version=3");
        refused(f, copy, -EINVAL, "has format 3; this program knows format 2");
        change_copy(copy, "PRAGMA user_version=0");
        refused(f, copy, -EINVAL, "has format 0");
        change_copy(copy, "PRAGMA user_version=2; PRAGMA application_id=1");
        refused(f, copy, -EINVAL, "is not a database of kstored");
        change_copy(copy, "PRAGMA application_id=1801809011");
        assert_int_equal(stat(copy, &st), 0);
        assert_int_equal(truncate(copy, st.st_size / 2), 0);
        refused(f, copy, -EUCLEAN, "is damaged");
        assert_int_equal(truncate(copy, 50), 0);
        refused(f, copy, -EINVAL, "is not a database of kstored");
        assert_int_equal(truncate(copy, 0), 0);
        refused(f, copy, -EINVAL, "is not a database of kstored");
        assert_int_equal(file_write_atomic(copy, "this is no database", 19, 0600), 0);
        refused(f, copy, -EUCLEAN, "is damaged");
        assert_int_equal(unlink(copy), 0);
        refused(f, copy, -EACCES, "cannot open");
        write_rows(f, 21, 1);
        reopen(f);
        assert_behind(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(
                                        test_what_was_written_is_there, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_heads, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_revisions_are_found, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_nothing_of_a_failed_batch_is_there, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_only_one_process, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_formats_that_are_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_leftovers_go, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_damage_is_reported, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_checkpoint_and_copy, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_hash, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_copy_takes_the_place, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_copy_that_was_made_ours, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_copies_that_are_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
