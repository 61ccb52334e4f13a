/* One member alone on a real disk: how long its log grows, and that nothing is lost when it is cut.
 */
#include "kstored/replica.h"
#include "kstored/state-internal.h"
#include "lib/fileio.h"
#include "proto/rpc.pb-c.h"
#include "tests/unit/unit.h"

enum { LOG_BYTES_MAX = 64 * 1024, VALUE_SIZE = 1000 };

struct fixture {
        char folder[64];
        struct disk *disk;
        struct replica *replica;
        struct wal_folder files;
        const struct wal_batch *save; /* under way */
        const struct disk_batch *flush;
        uint64_t now_ms;
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

                        replica_flushed(f->replica, r, r >= 0 && disk_checkpoint(f->disk) == 1);
                }
                replica_turn(f->replica, f->now_ms);
        }
}

static void start(struct fixture *f, uint64_t snapshot_count) {
        struct member *member = calloc(1, sizeof(*member));
        struct replica_options o = {.ops = &ops,
                        .userdata = f,
                        .seed = 1,
                        .heartbeat_ms = 100,
                        .election_ms = 1000,
                        .snapshot_count = snapshot_count,
                        .log_bytes_max = LOG_BYTES_MAX,
                        .fragment_bytes = 512 * 1024,
                        .no_fsync = true,
                        .cluster_id = 7,
                        .member_id = 5,
                        .members = &member,
                        .member_count = 1};

        assert_non_null(member);
        member->id = 5;
        assert_int_equal(disk_open(&f->disk, f->folder, &f->p), 0);
        o.disk = f->disk;
        assert_int_equal(replica_new(&f->replica, &o, f->now_ms, &f->p), 0);
        member_free(member);
        settle(f);
        assert_true(replica_is_leader(f->replica));
}

static void stop(struct fixture *f) {
        f->replica = replica_free(f->replica);
        f->disk = disk_free(f->disk);
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->folder, "/tmp/keelson-replica-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        f->now_ms = 1000;
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

static uint64_t log_length(struct fixture *f) {
        struct raft_entry **log = NULL;
        struct raft_status s;
        size_t n = 0;

        let_time_pass(f);
        raft_get_status(f->replica->raft, &s);
        assert_int_equal(disk_load_log(f->disk, &log, &n), 0);
        assert_int_equal(n, s.last + 1 - s.first); /* as in memory */
        if (n > 0) {
                assert_true(log[0]->index == disk_number(f->disk, DISK_LOG_BASE) + 1);
                assert_true(log[n - 1]->index == s.last);
        }
        for (size_t i = 0; i < n; i++)
                raft_entry_unref(log[i]);
        free(log);
        return n;
}

static void test_a_log_of_large_entries(void **state) {
        struct fixture *f = *state;
        uint64_t longest = 0, shortest = UINT64_MAX;

        start(f, 100000);
        for (unsigned i = 0; i < 300; i++) {
                uint64_t n;

                put(f, i, VALUE_SIZE);
                n = log_length(f);
                longest = MAX(longest, n);
                if (i > 100)
                        shortest = MIN(shortest, n);
        }
        /* Half of it stays, for who lags a little. */
        assert_true(shortest >= LOG_BYTES_MAX / 2 / (VALUE_SIZE + 50) - 1);
        assert_true(shortest <= LOG_BYTES_MAX / 2 / VALUE_SIZE);
        assert_true(longest >= LOG_BYTES_MAX / (VALUE_SIZE + 50) - 1);
        assert_true(longest <= LOG_BYTES_MAX / VALUE_SIZE + 1);
        stop(f);
        start(f, 100000);
        assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), 300);
}

/* While a member takes in a state, what comes after it stays, but not without end. */
static void test_a_log_that_is_held(void **state) {
        struct fixture *f = *state;
        uint64_t n = 0;

        start(f, 100);
        put(f, 0, VALUE_SIZE);
        f->replica->keep_after = f->replica->state->applied;
        for (unsigned i = 1; i < 200; i++)
                put(f, i, VALUE_SIZE);
        n = log_length(f);
        assert_true(n >= 199);
        for (unsigned i = 200; i < 400; i++)
                put(f, i, VALUE_SIZE);
        n = log_length(f);
        assert_true(n <= LOG_BYTES_MAX * REPLICA_LOG_HELD_FACTOR / VALUE_SIZE + 1);
        f->replica->keep_after = 0;
        put(f, 400, VALUE_SIZE);
        assert_true(log_length(f) <= LOG_BYTES_MAX / VALUE_SIZE + 1);
}

/* Small entries leave by their number. */
static void test_a_log_of_many_entries(void **state) {
        struct fixture *f = *state;
        uint64_t longest = 0, shortest = UINT64_MAX;

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
        assert_true(log_length(f) <= 150);
        stop(f);
        start(f, 100);
        assert_int_equal(mvcc_key_count(f->replica->state->kv.mvcc), 500);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(
                                        test_a_log_of_large_entries, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_log_that_is_held, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_log_of_many_entries, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
