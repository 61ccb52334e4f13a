/* The Raft core in clusters of one to seven, on bad networks and through crashes. */
#include "tests/unit/raft-cluster.h"
#include "tests/unit/unit.h"

static struct cluster *cluster_make(size_t n, size_t voters, uint64_t seed) {
        struct cluster *c = malloc(sizeof(*c));

        assert_non_null(c);
        cluster_init(c, n, voters, seed);
        return c;
}

static void cluster_end(struct cluster *c) {
        cluster_done(c);
        free(c);
}

static int propose_number(struct cluster *c, int node, uint64_t n) {
        return raft_propose(c->nodes[node].raft, &n, sizeof(n));
}

static void test_one_commits_after_its_own_save(void **state) {
        struct cluster *c = cluster_make(1, 1, 1);
        struct raft_ready ready;
        struct raft *r = c->nodes[0].raft;
        uint64_t n = 7;

        /* Its own vote counts when it is durable. */
        assert_int_equal(raft_campaign(r), 0);
        assert_int_equal(raft_propose(r, &n, sizeof(n)), -ENOTCONN);
        assert_true(raft_ready(r, true, &ready));
        assert_true(ready.must_save);
        assert_int_equal(ready.save.term, 1);
        assert_int_equal(ready.save.vote, 1);
        assert_int_equal(ready.save.entry_count, 0);
        raft_advance(r);
        assert_int_equal(raft_saved(r), 0);
        assert_int_equal(raft_propose(r, &n, sizeof(n)), 0);
        assert_true(raft_ready(r, true, &ready));
        assert_true(ready.must_save);
        assert_int_equal(ready.save.entry_count, 2); /* its term's first, and ours */
        assert_int_equal(ready.committed_count, 0);
        raft_advance(r);
        assert_false(raft_ready(r, true, &ready));
        /* What comes during the save goes into the next one. */
        assert_int_equal(raft_propose(r, &n, sizeof(n)), 0);
        assert_false(raft_ready(r, true, &ready));
        assert_int_equal(raft_saved(r), 0);
        assert_int_equal(raft_read_index(r, 42), 0);
        assert_true(raft_ready(r, true, &ready));
        assert_int_equal(ready.committed_count, 2);
        assert_int_equal(ready.save.entry_count, 1);
        assert_int_equal(ready.read_count, 1);
        assert_int_equal(ready.reads[0].context, 42);
        assert_int_equal(ready.reads[0].index, 2);
        raft_advance(r);
        assert_int_equal(raft_saved(r), 0);
        assert_true(raft_ready(r, true, &ready));
        assert_int_equal(ready.committed_count, 1);
        raft_advance(r);
        cluster_end(c);
}

static void test_elects_and_replicates(void **state) {
        for (size_t n = 2; n <= 7; n++) {
                struct cluster *c = cluster_make(n, n, n);
                int leader;

                cluster_until(c, 2000, cluster_has_leader);
                leader = cluster_leader(c);
                for (uint64_t i = 0; i < 50; i++)
                        assert_int_equal(propose_number(c, leader, i), 0);
                cluster_until(c, 2000, cluster_settled);
                assert_true(c->max_committed >= 51);
                cluster_end(c);
        }
}

static void test_members_pass_proposals_on(void **state) {
        struct cluster *c = cluster_make(3, 3, 9);
        int leader;

        cluster_until(c, 2000, cluster_has_leader);
        cluster_until(c, 2000, cluster_settled);
        leader = cluster_leader(c);
        assert_int_equal(propose_number(c, (leader + 1) % 3, 5), 0);
        cluster_run(c, 100);
        cluster_until(c, 2000, cluster_settled);
        assert_int_equal(c->max_committed, 2);
        cluster_end(c);
}

static void test_a_cut_off_member_does_not_disturb(void **state) {
        struct cluster *c = cluster_make(3, 3, 4);
        struct raft_status before, after;
        int leader, other;

        cluster_until(c, 2000, cluster_settled);
        leader = cluster_leader(c);
        other = (leader + 1) % 3;
        raft_get_status(c->nodes[leader].raft, &before);
        cluster_isolate(c, (size_t)other, true);
        cluster_run(c, 2000);
        cluster_isolate(c, (size_t)other, false);
        cluster_run(c, 500);
        raft_get_status(c->nodes[leader].raft, &after);
        assert_int_equal(after.role, RAFT_LEADER);
        assert_int_equal(after.term, before.term); /* PreVote */
        cluster_end(c);
}

static void test_a_leader_without_majority_gives_up(void **state) {
        struct cluster *c = cluster_make(3, 3, 5);
        struct raft_status s;
        int leader;

        cluster_until(c, 2000, cluster_settled);
        leader = cluster_leader(c);
        cluster_isolate(c, (size_t)leader, true);
        cluster_run(c, 400);
        raft_get_status(c->nodes[leader].raft, &s);
        assert_int_not_equal(s.role, RAFT_LEADER);
        assert_true(cluster_leader(c) >= 0); /* the others have a new one */
        cluster_isolate(c, (size_t)leader, false);
        cluster_until(c, 4000, cluster_settled);
        cluster_end(c);
}

static void test_reads_wait_for_a_majority(void **state) {
        struct cluster *c = cluster_make(3, 3, 6);
        int leader, other;

        cluster_until(c, 2000, cluster_settled);
        leader = cluster_leader(c);
        other = (leader + 2) % 3;
        assert_int_equal(raft_read_index(c->nodes[leader].raft, 1), 0);
        assert_int_equal(raft_read_index(c->nodes[other].raft, 2), 0);
        cluster_run(c, 100);
        assert_int_equal(c->nodes[leader].last_read, 1);
        assert_int_equal(c->nodes[other].last_read, 2);
        assert_true(c->nodes[other].last_read_index >= 1);
        cluster_isolate(c, (size_t)leader, true);
        assert_int_equal(raft_read_index(c->nodes[leader].raft, 3), 0);
        cluster_run(c, 1000);
        assert_int_equal(
                        c->nodes[leader].last_read, 1); /* never answered by one that was deposed */
        cluster_end(c);
}

static void test_leadership_moves(void **state) {
        struct cluster *c = cluster_make(3, 3, 8);
        int leader, heir;

        cluster_until(c, 2000, cluster_settled);
        leader = cluster_leader(c);
        heir = (leader + 1) % 3;
        for (uint64_t i = 0; i < 10; i++)
                assert_int_equal(propose_number(c, leader, i), 0);
        assert_int_equal(raft_transfer(c->nodes[leader].raft, (uint64_t)heir + 1), 0);
        assert_int_equal(propose_number(c, leader, 1), -ENOTCONN);
        cluster_run(c, 100);
        assert_int_equal(cluster_leader(c), heir);
        assert_int_equal(raft_transfer(c->nodes[heir].raft, 99), -ENOENT);
        cluster_until(c, 2000, cluster_settled);
        cluster_end(c);
}

static void test_a_member_far_behind_gets_a_snapshot(void **state) {
        struct cluster *c = cluster_make(3, 3, 10);
        int leader, other;

        c->compact_after = 20;
        cluster_until(c, 2000, cluster_settled);
        leader = cluster_leader(c);
        other = (leader + 1) % 3;
        cluster_crash(c, (size_t)other);
        for (uint64_t i = 0; i < 200; i++) {
                assert_int_equal(propose_number(c, leader, i), 0);
                cluster_run(c, 5);
        }
        cluster_start(c, (size_t)other);
        cluster_until(c, 4000, cluster_settled);
        assert_true(c->nodes[other].base_index > 100);
        cluster_end(c);
}

static bool change(struct cluster *c, enum raft_change_op op, uint64_t id) {
        struct raft_change x = {.op = op, .id = id};
        int leader = cluster_leader(c);

        return leader >= 0 && raft_propose_change(c->nodes[leader].raft, &x, NULL, 0) == 0;
}

static void test_membership_changes_one_at_a_time(void **state) {
        struct cluster *c = cluster_make(5, 1, 11);
        struct raft_change x = {.op = RAFT_ADD_LEARNER, .id = 3};
        struct raft_status s;
        int leader;

        /* Nodes 2 to 5 know only of node 1 and wait. */
        cluster_until(c, 2000, cluster_has_leader);
        cluster_run(c, 20);
        leader = cluster_leader(c);
        assert_int_equal(leader, 0);
        assert_true(change(c, RAFT_ADD_LEARNER, 2));
        assert_int_equal(raft_propose_change(c->nodes[0].raft, &x, NULL, 0), -EBUSY);
        cluster_run(c, 100);
        raft_get_status(c->nodes[1].raft, &s);
        assert_true(s.learner);
        assert_int_equal(c->nodes[1].applied, c->nodes[0].applied);
        assert_false(change(c, RAFT_ADD_LEARNER, 2)); /* it is one */
        assert_true(change(c, RAFT_ADD_VOTER, 2));
        cluster_run(c, 100);
        assert_true(change(c, RAFT_ADD_VOTER, 3));
        cluster_run(c, 100);
        assert_int_equal(raft_get_config(c->nodes[2].raft)->count, 3);
        /* The leader removes itself: it leads until that is committed, then another does. */
        assert_true(change(c, RAFT_REMOVE, 1));
        cluster_run(c, 600);
        leader = cluster_leader(c);
        assert_true(leader == 1 || leader == 2);
        assert_int_equal(raft_get_config(c->nodes[leader].raft)->count, 2);
        cluster_end(c);
}

/* A cluster of one takes in a second voter: that can run only after it was added, so the first
 * decides alone, and knows it after a crash too; what comes after needs both. */
static void test_one_grows_to_two(void **state) {
        struct cluster *c = cluster_make(2, 1, 12);
        uint64_t number;

        cluster_crash(c, 1);
        cluster_until(c, 2000, cluster_has_leader);
        cluster_until(c, 2000, cluster_settled);
        assert_true(change(c, RAFT_ADD_VOTER, 2));
        assert_int_equal(propose_number(c, 0, 1), 0);
        cluster_run(c, 20);
        number = raft_get_config(c->nodes[0].raft)->index;
        assert_int_equal(raft_get_config(c->nodes[0].raft)->count, 2);
        assert_int_equal(c->nodes[0].applied, number);
        /* Neither a commit index nor what it applied need have reached its disk. */
        cluster_crash(c, 0);
        c->nodes[0].commit = c->nodes[0].applied = number - 1;
        c->nodes[0].applied_hash = c->state_hash[number - 1];
        c->nodes[0].config = (struct raft_config){.count = 1, .members[0].id = 1};
        cluster_start(c, 0);
        cluster_run(c, 200);
        assert_int_equal(c->nodes[0].applied, number);
        assert_false(cluster_has_leader(c));
        cluster_start(c, 1);
        cluster_until(c, 2000, cluster_has_leader);
        cluster_until(c, 2000, cluster_settled);
        assert_true(c->nodes[1].applied > number + 1);
        assert_int_equal(raft_get_config(c->nodes[1].raft)->count, 2);
        cluster_end(c);
}

/* Or it would never let the others elect one, should it be a voter without knowing. */
static void test_a_learner_forgets_a_silent_leader(void **state) {
        struct cluster *c = cluster_make(2, 1, 13);
        struct raft_status s;

        cluster_until(c, 2000, cluster_has_leader);
        cluster_run(c, 20);
        assert_true(change(c, RAFT_ADD_LEARNER, 2));
        cluster_until(c, 2000, cluster_settled);
        raft_get_status(c->nodes[1].raft, &s);
        assert_true(s.learner && s.leader == 1);
        cluster_crash(c, 0);
        cluster_run(c, 200);
        raft_get_status(c->nodes[1].raft, &s);
        assert_int_equal(s.leader, 0);
        cluster_end(c);
}

/* Losses, delays, repeats, crashes, cuts, changes of membership and proposals at random; then
 * peace, in which everything must come together. The cluster checks safety at every step. */
static void storm(uint64_t seed) {
        struct cluster *c = cluster_make(5, 1 + 2 * (seed % 3), seed);
        uint64_t number = 0;
        enum raft_change_op op;

        c->loss_percent = (unsigned)(seed % 30);
        c->repeat_percent = (unsigned)(seed % 10);
        c->delay_max = 1 + (unsigned)(seed % 8);
        c->save_delay_max = (unsigned)(seed % 5);
        c->compact_after = seed % 3 == 0 ? 15 : 0;
        for (unsigned step = 0; step < 400; step++) {
                size_t i = (size_t)cluster_chance(c, 5);

                switch (cluster_chance(c, 12)) {
                case 0:
                        if (c->nodes[i].up)
                                cluster_crash(c, i);
                        else
                                cluster_start(c, i);
                        break;
                case 1:
                        cluster_isolate(c, i, cluster_chance(c, 2));
                        break;
                case 2:
                        op = 1 + (enum raft_change_op)cluster_chance(c, 3);
                        (void)change(c, op, 1 + cluster_chance(c, 5));
                        break;
                case 3:
                        if (c->nodes[i].up)
                                (void)raft_transfer(c->nodes[i].raft, 1 + cluster_chance(c, 5));
                        break;
                case 4:
                        if (c->nodes[i].up)
                                (void)raft_read_index(c->nodes[i].raft, step);
                        break;
                default:
                        if (c->nodes[i].up)
                                (void)propose_number(c, (int)i, ++number);
                        break;
                }
                cluster_run(c, (unsigned)cluster_chance(c, 12));
        }
        c->loss_percent = c->repeat_percent = 0;
        for (size_t i = 0; i < c->count; i++) {
                cluster_isolate(c, i, false);
                if (!c->nodes[i].up)
                        cluster_start(c, i);
        }
        cluster_until(c, 20000, cluster_has_leader);
        cluster_run(c, 1000);
        cluster_until(c, 20000, cluster_has_leader);
        number = c->max_committed;
        assert_int_equal(propose_number(c, cluster_leader(c), 1), 0);
        cluster_run(c, 500);
        assert_true(c->max_committed > number);
        cluster_end(c);
}

static void test_storms(void **state) {
        for (uint64_t seed = 1; seed <= 1000; seed++)
                storm(seed);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_one_commits_after_its_own_save),
                        cmocka_unit_test(test_elects_and_replicates),
                        cmocka_unit_test(test_members_pass_proposals_on),
                        cmocka_unit_test(test_a_cut_off_member_does_not_disturb),
                        cmocka_unit_test(test_a_leader_without_majority_gives_up),
                        cmocka_unit_test(test_reads_wait_for_a_majority),
                        cmocka_unit_test(test_leadership_moves),
                        cmocka_unit_test(test_a_member_far_behind_gets_a_snapshot),
                        cmocka_unit_test(test_membership_changes_one_at_a_time),
                        cmocka_unit_test(test_one_grows_to_two),
                        cmocka_unit_test(test_a_learner_forgets_a_silent_leader),
                        cmocka_unit_test(test_storms),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
