/* Whether a member that begins empty takes part, by what the others say: a letter each, 'n' new,
 * 'r' runs, 'k' knows it, '-' silent. */
#include "kstored/server/first-life-judge.h"

#include "kstored/replica/replica.h"
#include "lib/fileio.h"
#include "tests/unit/unit.h"

static const struct {
        const char *others;
        size_t voters; /* as the others say; 0: nobody did */
        char want;     /* Confirmed, Waits, Refused */
} rows[] = {
                {"-", 0, 'W'},
                {"n", 0, 'C'},
                {"r", 0, 'C'},
                {"k", 0, 'R'},
                /* three: two new ones begin */
                {"--", 0, 'W'},
                {"n-", 0, 'C'},
                {"nn", 0, 'C'},
                /* where the cluster runs, both others must say so: this one may have been one of a
                 * majority with the one that is silent */
                {"r-", 3, 'W'},
                {"rr", 3, 'C'},
                {"rn", 3, 'C'},
                {"rk", 3, 'R'},
                {"k-", 3, 'R'},
                {"-k", 3, 'R'},
                {"nk", 3, 'R'},
                /* five */
                {"n---", 0, 'W'},
                {"nn--", 0, 'C'},
                {"rr--", 5, 'W'},
                {"rrr-", 5, 'C'},
                {"rrn-", 5, 'C'},
                {"rrrk", 5, 'R'},
                /* four: majorities are three */
                {"n--", 0, 'W'},
                {"nn-", 0, 'C'},
                {"r--", 4, 'W'},
                {"rr-", 4, 'C'},
                /* it has grown since: all that this one knows of */
                {"r-", 5, 'W'},
                {"rr", 5, 'C'},
                {"n-", 5, 'W'},
};

static void test_verdicts(void **state) {
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                enum first_life_answer answers[8];
                size_t n = strlen(rows[i].others);
                enum first_life_verdict v;

                for (size_t k = 0; k < n; k++)
                        answers[k] = rows[i].others[k] == 'n'   ? FIRST_LIFE_NEW
                                     : rows[i].others[k] == 'r' ? FIRST_LIFE_RUNS
                                     : rows[i].others[k] == 'k' ? FIRST_LIFE_KNOWS
                                                                : FIRST_LIFE_SILENT;
                v = first_life_judge(answers, n, rows[i].voters);
                assert_int_equal(v == FIRST_LIFE_CONFIRMED ? 'C'
                                 : v == FIRST_LIFE_WAIT    ? 'W'
                                                           : 'R',
                                rows[i].want);
        }
}

/* ---- the replica's side */

struct member_run {
        struct disk *disk;
        struct replica *replica;
        struct wal_folder files;
        const struct wal_batch *save; /* to be written */
        const struct disk_batch *batch;
        unsigned sent;
};

static void op_save(void *userdata, const struct wal_batch *b) {
        ((struct member_run *)userdata)->save = b;
}
static void op_flush(void *userdata, const struct disk_batch *b) {
        ((struct member_run *)userdata)->batch = b;
}
static void op_send(void *userdata, const struct raft_message *m) {
        ((struct member_run *)userdata)->sent++;
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

/* Member 1 of 1, 2 and 3. */
static void open_member(struct member_run *x, const char *folder) {
        _cleanup_problem_ struct problem p = {0};
        struct member *members[3];
        struct replica_options o = {.ops = &ops,
                        .userdata = x,
                        .seed = 5,
                        .heartbeat_ms = 100,
                        .election_ms = 500,
                        .snapshot_count = 100,
                        .fragment_bytes = 1 << 20,
                        .cluster_id = 9,
                        .member_id = 1,
                        .members = members,
                        .member_count = 3};

        *x = (struct member_run){0};
        for (size_t i = 0; i < 3; i++) {
                members[i] = calloc(1, sizeof(*members[i]));
                assert_non_null(members[i]);
                members[i]->id = i + 1;
                members[i]->name = strdup("m");
        }
        assert_int_equal(disk_open(&x->disk, folder, &p), 0);
        assert_int_equal(wal_files_new(&x->files, folder), 0);
        o.disk = x->disk;
        o.files = x->files;
        if (!disk_is_new(x->disk))
                o.member_count = 0;
        assert_int_equal(replica_new(&x->replica, &o, 1000, &p), 0);
        if (o.member_count == 0)
                for (size_t i = 0; i < 3; i++)
                        member_free(members[i]);
}

static void close_member(struct member_run *x) {
        x->replica = replica_free(x->replica);
        x->disk = disk_free(x->disk);
        wal_files_done(&x->files);
}

static void finish_writes(struct member_run *x, uint64_t now_ms) {
        replica_turn(x->replica, now_ms);
        while (x->save || x->batch) {
                if (x->save) {
                        assert_int_equal(wal_write(x->replica->wal, TAKE_PTR(x->save)), 0);
                        replica_saved(x->replica, 0);
                }
                if (x->batch) {
                        assert_int_equal(disk_write(x->disk, TAKE_PTR(x->batch)), 0);
                        replica_flushed(x->replica, 0, false);
                }
                replica_turn(x->replica, now_ms);
        }
}

static struct raft_message vote_request(uint64_t from) {
        return (struct raft_message){.type = RAFT_MSG_VOTE,
                        .from = from,
                        .to = 1,
                        .term = 7,
                        .log_index = 9,
                        .log_term = 6};
}

static uint64_t vote_of(const struct member_run *x) {
        struct raft_status s;

        raft_get_status(x->replica->raft, &s);
        return s.vote;
}

/* Neither votes nor stands, also after a restart, until it is confirmed; and that lasts. */
static void test_a_fresh_member_takes_no_part(void **state) {
        struct raft_message m = vote_request(2);
        struct member_run x;

        open_member(&x, *state);
        for (unsigned life = 0; life < 2; life++) {
                assert_true(x.replica->fresh);
                replica_step(x.replica, &m);
                finish_writes(&x, 1000);
                for (uint64_t ms = 1000; ms < 9000; ms += 50) {
                        replica_tick(x.replica, ms);
                        finish_writes(&x, ms);
                }
                assert_int_equal(vote_of(&x), 0);
                assert_int_equal(x.sent, 0);
                close_member(&x);
                open_member(&x, *state);
        }
        replica_confirm(x.replica);
        assert_true(x.replica->fresh); /* until that is durable */
        finish_writes(&x, 1000);
        assert_false(x.replica->fresh);
        close_member(&x);
        open_member(&x, *state);
        assert_false(x.replica->fresh);
        replica_tick(x.replica, 1000);
        for (uint64_t ms = 1000; ms < 9000; ms += 50) {
                replica_tick(x.replica, ms);
                finish_writes(&x, ms);
        }
        assert_true(x.sent > 0);
        close_member(&x);
}

/* What a member says counts only once its name is on the disk; and then for good. */
static void test_whom_it_heard_is_durable_first(void **state) {
        struct raft_message m = vote_request(2), stranger = vote_request(44);
        struct member_run x;

        open_member(&x, *state);
        replica_confirm(x.replica);
        finish_writes(&x, 1000);
        assert_false(replica_knows(x.replica, 2));
        replica_step(x.replica, &m);
        replica_turn(x.replica, 1000);
        assert_int_equal(vote_of(&x), 0);
        assert_non_null(x.batch);
        assert_true(x.batch->sync);
        assert_true(replica_knows(x.replica, 2));
        replica_step(x.replica, &m);
        assert_int_equal(vote_of(&x), 0); /* it is on its way */
        finish_writes(&x, 1000);
        replica_step(x.replica, &m);
        assert_int_equal(vote_of(&x), 2);
        finish_writes(&x, 1000);
        replica_step(x.replica, &stranger); /* Raft's own business; no name to keep */
        finish_writes(&x, 1000);
        assert_int_equal(x.replica->state->heard_count, 1);
        close_member(&x);
        open_member(&x, *state);
        assert_true(replica_knows(x.replica, 2));
        assert_false(replica_knows(x.replica, 3));
        assert_true(replica_hear(x.replica, 2));
        assert_false(replica_hear(x.replica, 3));
        close_member(&x);
}

static int folder_make(void **state) {
        char *folder = strdup("/tmp/kstored-first-life-XXXXXX");

        *state = folder;
        return folder && mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
        int r = remove_tree(*state);

        free(*state);
        return r;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_verdicts),
                        cmocka_unit_test_setup_teardown(test_a_fresh_member_takes_no_part,
                                        folder_make, folder_remove),
                        cmocka_unit_test_setup_teardown(test_whom_it_heard_is_durable_first,
                                        folder_make, folder_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
