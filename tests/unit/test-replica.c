/* One member alone on a real disk: how long its log grows, that nothing is lost when it is cut, and
 * what a start makes of a database and a log that do not belong together. */
#include <sys/stat.h>

#include "kstored/replica/replica.h"
#include "kstored/state/internal.h"
#include "lib/fileio.h"
#include "proto/rpc.pb-c.h"
#include "tests/unit/disk-format-1.h"
#include "tests/unit/unit.h"

enum { LOG_BYTES_MAX = 64 * 1024, VALUE_SIZE = 1000, SEGMENT_BYTES = 64 * 1024 };

struct fixture {
        char folder[64];
        struct disk *disk;
        struct replica *replica;
        bool no_fsync; /* many writes, and nothing crashes */
        struct wal_folder files;
        const struct wal_batch *save; /* under way */
        const struct disk_batch *flush;
        uint64_t now_ms, member_id;
        struct problem p;
};

static void op_save(void *userdata, const struct wal_batch *b) {
        struct fixture *f = userdata;

        assert_null(f->save);
        f->save = b;
}

static void op_flush(void *userdata, const struct disk_batch *b) {
        struct fixture *f = userdata;

        assert_null(f->flush);
        f->flush = b;
}

static void op_send(void *userdata, const struct raft_message *m) {
        fail_msg("there is nobody to send to");
}

static bool op_waiting(void *userdata, uint64_t id) {
        return false;
}

static void op_outcome(void *userdata, uint64_t id, const struct outcome *o) {
}

static void op_read_allowed(void *userdata, const struct raft_read *read) {
}

static void op_applied(void *userdata) {
}

static void op_role_changed(void *userdata, const struct raft_status *status) {
}

static void op_failed(void *userdata, int error, const char *what) {
        fail_msg("%s", what);
}

static const struct replica_ops ops = {.save = op_save,
                .flush = op_flush,
                .send = op_send,
                .waiting = op_waiting,
                .outcome = op_outcome,
                .read_allowed = op_read_allowed,
                .applied = op_applied,
                .role_changed = op_role_changed,
                .failed = op_failed};

/* Until nothing is left to do at this time. */
static void settle(struct fixture *f) {
        replica_turn(f->replica, f->now_ms);
        while (f->save || f->flush) {
                if (f->save) {
                        int r = wal_write(f->replica->wal, TAKE_PTR(f->save));

                        replica_saved(f->replica, r);
                }
                if (f->flush) {
                        int r = disk_write(f->disk, TAKE_PTR(f->flush));
                        bool settled = r >= 0 && (f->no_fsync || disk_checkpoint(f->disk) == 1);

                        replica_flushed(f->replica, r, settled);
                }
                replica_turn(f->replica, f->now_ms);
        }
}

static int try_start(struct fixture *f, uint64_t snapshot_count) {
        struct member *member = calloc(1, sizeof(*member));
        struct replica_options o = {.ops = &ops,
                        .userdata = f,
                        .seed = 1,
                        .segment_bytes = SEGMENT_BYTES,
                        .step_bytes = SEGMENT_BYTES / 4,
                        .heartbeat_ms = 100,
                        .election_ms = 1000,
                        .snapshot_count = snapshot_count,
                        .log_bytes_max = LOG_BYTES_MAX,
                        .fragment_bytes = 512 * 1024,
                        .no_fsync = f->no_fsync,
                        .cluster_id = 7,
                        .member_id = f->member_id,
                        .members = &member,
                        .member_count = 1};
        int r;

        assert_non_null(member);
        member->id = f->member_id;
        problem_done(&f->p);
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        assert_int_equal(wal_files_new(&f->files, f->folder), 0);
        o.disk = f->disk;
        o.files = f->files;
        r = replica_new(&f->replica, &o, f->now_ms, &f->p);
        member_free(member);
        return r;
}

static void start(struct fixture *f, uint64_t snapshot_count) {
        int r = try_start(f, snapshot_count);

        if (r < 0)
                fail_msg("%d: %s", r, f->p.message);
        settle(f);
        assert_true(replica_is_leader(f->replica));
}

static void stop(struct fixture *f) {
        f->replica = replica_free(f->replica);
        f->disk = disk_free(f->disk);
        wal_files_done(&f->files);
        f->save = NULL;
        f->flush = NULL;
}

static void refused(struct fixture *f, const char *why) {
        assert_int_equal(try_start(f, 100000), -EUCLEAN);
        if (!strstr(f->p.message, why))
                fail_msg("it says: %s", f->p.message);
        assert_non_null(strstr(f->p.message, "replace this member"));
        stop(f);
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->folder, "/tmp/keelson-replica-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        f->now_ms = 1000;
        f->member_id = 5;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        stop(f);
        problem_done(&f->p);
        assert_int_equal(remove_tree(f->folder), 0);
        free(f);
        return 0;
}

static void put(struct fixture *f, unsigned number, size_t value_size) {
        Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;
        uint8_t value[VALUE_SIZE] = {0}, bytes[VALUE_SIZE + 64];
        char key[16];
        size_t n;

        assert_true(value_size <= sizeof(value));
        snprintf(key, sizeof(key), "%06u", number);
        r.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)key};
        r.value = (ProtobufCBinaryData){value_size, value};
        n = etcdserverpb__put_request__pack(&r, bytes);
        assert_int_equal(replica_propose(f->replica, COMMAND_PUT, number + 1, bytes, n), 0);
        settle(f);
}

/* Rows that waited for a save to go along with are old enough now. */
static void let_time_pass(struct fixture *f) {
        f->now_ms += 1000;
        settle(f);
        f->now_ms += 1000;
        settle(f);
}

/* What the files of the log hold. */
static struct wal_contents read_log(struct fixture *f) {
        struct wal_options o = {.files = f->files, .member_id = f->member_id};
        _cleanup_(wal_freep) struct wal *w = NULL;
        struct wal_contents c = {0};

        if (wal_open(&w, &o, &c, &f->p) < 0)
                fail_msg("%s", f->p.message);
        return c;
}

/* The log in memory; on the disk are the same entries, and older ones. */
static uint64_t log_length(struct fixture *f, uint64_t *ret_older) {
        struct wal_contents c;
        struct raft_status s;

        let_time_pass(f);
        raft_get_status(f->replica->raft, &s);
        c = read_log(f);
        assert_true(c.base_index + c.entry_count == s.last);
        assert_true(c.term == s.term);
        assert_true(c.base_index < s.first);
        if (ret_older)
                *ret_older = s.first - 1 - c.base_index;
        wal_contents_done(&c);
        return s.last + 1 - s.first;
}

/* On the disk is little more than in memory: what shares a segment with what is needed. */
static void assert_short_on_disk(struct fixture *f, unsigned number) {
        uint64_t least = UINT64_MAX, older;

        /* What left memory leaves the disk with the next save. */
        for (unsigned i = 0; i < 3; i++) {
                put(f, number + i, 10);
                (void)log_length(f, &older);
                least = MIN(least, older);
        }
        assert_true(least <= 2 * SEGMENT_BYTES / 4096);
}

static void test_a_log_of_large_entries(void **state) {
        struct fixture *f = *state;
        uint64_t longest = 0, shortest = UINT64_MAX;

        f->no_fsync = true;
        start(f, 100000);
        for (unsigned i = 0; i < 300; i++) {
                uint64_t n;

                put(f, i, VALUE_SIZE);
                n = log_length(f, NULL);
                longest = MAX(longest, n);
                if (i > 100)
                        shortest = MIN(shortest, n);
        }
        /* Half of it stays, for who lags a little. */
        assert_true(shortest >= LOG_BYTES_MAX / 2 / (VALUE_SIZE + 50) - 1);
        assert_true(shortest <= LOG_BYTES_MAX / 2 / VALUE_SIZE);
        assert_true(longest >= LOG_BYTES_MAX / (VALUE_SIZE + 50) - 1);
        assert_true(longest <= LOG_BYTES_MAX / VALUE_SIZE + 1);
        assert_short_on_disk(f, 0);
        stop(f);
        start(f, 100000);
        assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), 300);
}

/* While a member takes in a state, what comes after it stays, but not without end. */
static void test_a_log_that_is_held(void **state) {
        struct fixture *f = *state;
        uint64_t n = 0;

        f->no_fsync = true;
        start(f, 100);
        put(f, 0, VALUE_SIZE);
        f->replica->keep_after = f->replica->state->applied;
        for (unsigned i = 1; i < 200; i++)
                put(f, i, VALUE_SIZE);
        n = log_length(f, NULL);
        assert_true(n >= 199);
        for (unsigned i = 200; i < 400; i++)
                put(f, i, VALUE_SIZE);
        n = log_length(f, NULL);
        assert_true(n <= LOG_BYTES_MAX * REPLICA_LOG_HELD_FACTOR / VALUE_SIZE + 1);
        f->replica->keep_after = 0;
        put(f, 400, VALUE_SIZE);
        assert_short_on_disk(f, 401);
        assert_true(log_length(f, NULL) <= LOG_BYTES_MAX / VALUE_SIZE + 1);
}

/* Small entries leave by their number. */
static void test_a_log_of_many_entries(void **state) {
        struct fixture *f = *state;
        uint64_t longest = 0, shortest = UINT64_MAX;

        f->no_fsync = true;
        start(f, 100);
        for (unsigned i = 0; i < 500; i++) {
                struct raft_status s;

                put(f, i, 1);
                raft_get_status(f->replica->raft, &s);
                longest = MAX(longest, s.last + 1 - s.first);
                if (i > 200)
                        shortest = MIN(shortest, s.last + 1 - s.first);
        }
        assert_int_equal(longest, 150);
        assert_int_equal(shortest, 100);
        assert_true(log_length(f, NULL) <= 150);
        assert_short_on_disk(f, 0);
        stop(f);
        start(f, 100);
        assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), 500);
}

/* ---- files that do not belong together */

static char *path_in(struct fixture *f, const char *name) {
        char *path = strformat("%s/%s", f->folder, name);

        assert_non_null(path);
        return path;
}

static void copy_file(const char *from, const char *to) {
        _cleanup_free_ char *data = NULL;
        size_t n;

        assert_int_equal(file_read(from, 1 << 26, &data, &n), 0);
        assert_int_equal(file_write_atomic(to, data, n, 0600), 0);
}

/* The files of the log go; with `to` their copies stand there. */
static void take_log_away(struct fixture *f, const char *to, bool mark_too) {
        _cleanup_strv_free_ char **names = NULL;

        assert_int_equal(file_list(f->folder, &names), 0);
        for (char **name = names; *name; name++) {
                _cleanup_free_ char *path = path_in(f, *name);
                _cleanup_free_ char *copy = to ? strformat("%s/%s", to, *name) : NULL;

                if (!startswith(*name, "kstored.log."))
                        continue;
                if (copy)
                        copy_file(path, copy);
                if (mark_too || !streq(*name, "kstored.log.mark"))
                        assert_int_equal(unlink(path), 0);
        }
}

static void puts_from(struct fixture *f, unsigned from, unsigned n) {
        for (unsigned i = from; i < from + n; i++)
                put(f, i, 100);
        let_time_pass(f);
}

static void assert_serves(struct fixture *f, size_t keys) {
        start(f, 100000);
        assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), keys);
        put(f, 900000, 10);
        stop(f);
        start(f, 100000);
        assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), keys + 1);
        stop(f);
}

/* The database of an earlier time comes back: the log makes up for it as far as it goes. */
static void test_an_old_database(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *db = path_in(f, "kstored.db"), *old = path_in(f, "old");
        _cleanup_free_ char *new = path_in(f, "new");

        start(f, 100);
        puts_from(f, 0, 40);
        stop(f);
        copy_file(db, old);
        start(f, 100);
        puts_from(f, 40, 30);
        stop(f);
        copy_file(db, new);
        copy_file(old, db);
        start(f, 100);
        assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), 70);
        for (unsigned i = 0; i < 40; i++)
                puts_from(f, 70 + i * 10, 10); /* the log keeps what the database lacks */
        stop(f);
        copy_file(old, db);
        refused(f, "the entries between them are missing");
        copy_file(new, db);
        refused(f, "the entries between them are missing");
}

/* What was killed before anything was written into the database. */
static void test_a_database_behind_the_log(void **state) {
        struct fixture *f = *state;

        start(f, 100000);
        for (unsigned i = 0; i < 20; i++)
                put(f, i, 100);
        assert_true(disk_number(f->disk, DISK_APPLIED) < 20);
        stop(f);
        assert_serves(f, 20);
}

static void test_a_log_that_is_gone(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *aside = path_in(f, "aside"), *db = path_in(f, "kstored.db");
        _cleanup_free_ char *mark = path_in(f, "kstored.log.mark");
        _cleanup_free_ char *mark_aside = path_in(f, "aside/kstored.log.mark");
        struct wal_contents c;

        start(f, 100000);
        puts_from(f, 0, 20);
        stop(f);
        assert_int_equal(mkdir(aside, 0700), 0);
        take_log_away(f, aside, false);
        refused(f, "the files of the log are gone");
        assert_int_equal(unlink(mark), 0);
        refused(f, "is gone");
        strcpy(f->folder + strlen(f->folder), "/aside");
        assert_int_equal(wal_files_new(&f->files, f->folder), 0);
        assert_int_equal(unlink(mark_aside), 0);
        {
                struct wal_options o = {.files = f->files, .member_id = f->member_id};
                struct wal *w = NULL;

                assert_int_equal(wal_open(&w, &o, &c, &f->p), -EUCLEAN);
                assert_non_null(strstr(f->p.message, "mark (kstored.log.mark) is gone"));
        }
        wal_files_done(&f->files);
        *strrchr(f->folder, '/') = 0;
        assert_int_equal(unlink(db), 0);
        start(f, 100000); /* nothing is left of it: a new one */
}

/* Nothing of a log that was written is ever removed for an empty database. */
static void test_a_database_that_is_gone(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *db = path_in(f, "kstored.db"), *old = path_in(f, "old");

        start(f, 100000);
        puts_from(f, 0, 20);
        stop(f);
        copy_file(db, old);
        assert_int_equal(truncate(db, 0), 0);
        refused(f, "is empty, and the log beside it");
        assert_int_equal(unlink(db), 0);
        refused(f, "is empty, and the log beside it");
        copy_file(old, db);
        assert_serves(f, 20);
}

static void test_a_log_of_another(void **state) {
        struct fixture *f = *state;
        struct fixture other = {.now_ms = 1000, .member_id = 6};
        _cleanup_free_ char *mark = path_in(f, "kstored.log.mark");
        _cleanup_free_ char *old_mark = path_in(f, "old");

        start(f, 100000);
        puts_from(f, 0, 20);
        stop(f);
        snprintf(other.folder, sizeof(other.folder), "%.40s/other", f->folder);
        start(&other, 100000);
        puts_from(&other, 0, 30);
        stop(&other);
        copy_file(mark, old_mark);
        take_log_away(f, NULL, true);
        take_log_away(&other, f->folder, true);
        refused(f, "(kstored.log.mark) is of another member (6, not 5)");
        copy_file(old_mark, mark);
        refused(f, "is of another member");
        /* Of the same member, and too short; of another history. */
        for (unsigned n = 5; n <= 40; n += 35) {
                assert_int_equal(remove_tree(other.folder), 0);
                other.member_id = f->member_id;
                for (unsigned terms = 0; terms < 3; terms++) {
                        start(&other, 100000);
                        if (terms == 2)
                                puts_from(&other, 0, n);
                        stop(&other);
                }
                take_log_away(f, NULL, true);
                take_log_away(&other, f->folder, true);
                refused(f, n == 5 ? "its log ends at" : "are not of one history");
        }
        problem_done(&other.p);
}

/* The power goes between the two steps of taking in a leader's state. */
static void test_a_log_from_before_the_state(void **state) {
        struct fixture *f = *state;
        struct fixture other = {.now_ms = 1000, .member_id = 5};
        _cleanup_free_ char *copy = path_in(f, "state");
        struct wal_contents c;
        uint64_t applied;

        snprintf(other.folder, sizeof(other.folder), "%.40s/other", f->folder);
        for (unsigned own = 10; own <= 300; own += 290) { /* shorter and longer than that state */
                assert_int_equal(remove_tree(other.folder), 0);
                start(&other, 100000);
                stop(&other);
                start(&other, 100000);
                puts_from(&other, 0, 200);
                assert_int_equal(disk_copy(other.disk, copy), 0);
                applied = other.replica->state->applied;
                stop(&other);
                start(f, 100000);
                puts_from(f, 1000, own);
                assert_int_equal(disk_adopt(f->disk, copy, 5), 0);
                stop(f);
                start(f, 100000);
                assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), 200);
                c = read_log(f);
                assert_true(c.base_index == applied);
                wal_contents_done(&c);
                stop(f);
                assert_serves(f, 200);
                take_log_away(f, NULL, true);
                {
                        _cleanup_free_ char *db = path_in(f, "kstored.db");

                        assert_int_equal(unlink(db), 0);
                }
        }
        problem_done(&other.p);
}

/* ---- format 1 */

static void test_upgrade(void **state) {
        struct fixture *f = *state;
        _cleanup_free_ char *db = path_in(f, "kstored.db"), *old = path_in(f, "old");
        struct wal_contents c = {0};
        struct raft_status s;

        format_1_make(db);
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        f->disk = disk_free(f->disk);
        copy_file(db, old); /* upgraded, and the log not moved */
        for (unsigned round = 0; round < 3; round++) {
                copy_file(old, db); /* a crash before the old log was dropped */
                if (round == 2) {   /* and one in the midst of beginning the new one */
                        _cleanup_free_ char *path = path_in(f, "kstored.log.mark");

                        assert_int_equal(truncate(path, 100), 0);
                }
                start(f, 100000);
                assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), FORMAT_1_ALL_KEYS);
                raft_get_status(f->replica->raft, &s);
                assert_int_equal(s.term, FORMAT_1_TERM + 1); /* it has led in a new one */
                assert_int_equal(s.first, FORMAT_1_BASE + 1);
                assert_int_equal(disk_old_log(f->disk, &c), 0);
                c = read_log(f);
                assert_int_equal(c.base_index, FORMAT_1_BASE);
                assert_int_equal(c.entries[FORMAT_1_LAST - FORMAT_1_BASE - 1]->term, FORMAT_1_TERM);
                wal_contents_done(&c);
                stop(f);
        }
        f->member_id = FORMAT_1_MEMBER;
        assert_serves(f, FORMAT_1_ALL_KEYS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(
                                        test_a_log_of_large_entries, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_log_that_is_held, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_log_of_many_entries, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_an_old_database, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_database_behind_the_log, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_log_that_is_gone, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_database_that_is_gone, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_log_of_another, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_log_from_before_the_state, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
