/* One core, fed with messages by hand, where it matters which: a whole state that comes late, and
 * who stands first when a leader is lost. */
#include "tests/unit/raft-cluster.h"
#include "tests/unit/unit.h"

enum { ELECTION_TICKS = 10, LATEST = 2 * ELECTION_TICKS };

/* Member `id` of n, one of which may be a learner, in term 1, with nothing saved. */
static struct raft *core_new(uint64_t id, size_t n, uint64_t learner) {
        struct raft_options o = {.id = id,
                        .seed = 99 + id,
                        .election_ticks = ELECTION_TICKS,
                        .heartbeat_ticks = 2,
                        .term = 1};
        struct raft *r = NULL;

        o.config.count = (uint32_t)n;
        for (size_t i = 0; i < o.config.count; i++) {
                o.config.members[i].id = i + 1;
                o.config.members[i].learner = i + 1 == learner;
        }
        assert_int_equal(raft_new(&r, &o), 0);
        return r;
}

/* What one turn gave: how many were committed, the first message of a type. */
struct turn {
        size_t committed;
        uint64_t committed_last;
        size_t saved_entries;
        bool restored;
        size_t sent;
        struct raft_message of_type; /* without its entries */
};

static struct turn turn(struct raft *r, bool can_save, enum raft_message_type type) {
        struct turn t = {0};
        struct raft_ready ready;

        while (raft_ready(r, can_save, &ready)) {
                bool save = ready.must_save;

                t.restored |= ready.restored;
                t.committed += ready.committed_count;
                if (ready.committed_count > 0)
                        t.committed_last = ready.committed[ready.committed_count - 1]->index;
                t.saved_entries += ready.save.entry_count;
                for (size_t i = 0; i < ready.message_count; i++)
                        if (ready.messages[i].type == type && t.sent++ == 0)
                                t.of_type = ready.messages[i];
                raft_advance(r);
                if (save)
                        assert_int_equal(raft_saved(r), 0);
        }
        return t;
}

/* The leader, member 1 in this term, sends `n` entries after this index. */
static void append(struct raft *r, uint64_t to, uint64_t term, uint64_t after, size_t n,
                uint64_t commit) {
        struct raft_entry *entries[8];
        struct raft_message m = {.type = RAFT_MSG_APPEND,
                        .from = 1,
                        .to = to,
                        .term = term,
                        .log_index = after,
                        .log_term = raft_term_at(r, after),
                        .commit = commit,
                        .entries = entries,
                        .entry_count = n};

        assert_true(n <= ELEMENTS(entries));
        for (size_t i = 0; i < n; i++)
                entries[i] = raft_entry_new(after + 1 + i, term, RAFT_ENTRY_NORMAL, "x", 1);
        assert_int_equal(raft_step(r, &m), 0);
        for (size_t i = 0; i < n; i++)
                raft_entry_unref(entries[i]);
}

static int snapshot(
                struct raft *r, uint64_t index, uint64_t term, const struct raft_config *config) {
        return raft_step(r, &(struct raft_message){.type = RAFT_MSG_SNAPSHOT,
                                            .from = 1,
                                            .to = 2,
                                            .term = 3,
                                            .log_index = index,
                                            .log_term = term,
                                            .config = config});
}

static void assert_log(struct raft *r, uint64_t first, uint64_t last, uint64_t commit) {
        struct raft_status s;

        raft_get_status(r, &s);
        assert_int_equal(s.first, first);
        assert_int_equal(s.last, last);
        assert_int_equal(s.commit, commit);
}

/* Entries after the state's index may have been counted for a majority: they stay. */
static void test_a_late_state_leaves_the_log(void **state) {
        struct raft *r = core_new(2, 3, 0);
        struct raft_config config = *raft_get_config(r);
        struct turn t;

        append(r, 2, 3, 0, 6, 2);
        t = turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(t.committed, 2);
        assert_int_equal(t.of_type.log_index, 6);
        assert_int_equal(snapshot(r, 4, 3, &config), 0);
        assert_log(r, 1, 6, 4);
        t = turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_false(t.restored);
        assert_int_equal(t.committed, 2); /* 3 and 4, from the log */
        assert_int_equal(t.committed_last, 4);
        assert_int_equal(t.sent, 1);
        assert_false(t.of_type.reject);
        assert_int_equal(t.of_type.log_index, 4);
        assert_int_equal(raft_term_at(r, 6), 3);
        /* The leader continues after it as if nothing had happened. */
        append(r, 2, 3, 6, 1, 7);
        t = turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(t.committed_last, 7);
        raft_free(r);
}

/* The same index, but the entry there is another leader's: the log is worth nothing. */
static void test_a_state_replaces_another_log(void **state) {
        struct raft *r = core_new(2, 3, 0);
        struct raft_config config = {.index = 3, .count = 4};
        struct turn t;

        for (unsigned i = 0; i < config.count; i++)
                config.members[i].id = i + 1;
        append(r, 2, 2, 0, 6, 2);
        (void)turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(snapshot(r, 4, 3, &config), 0);
        assert_log(r, 5, 4, 4);
        t = turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_true(t.restored);
        assert_int_equal(t.committed, 0); /* the state holds them */
        assert_int_equal(t.of_type.log_index, 4);
        assert_int_equal(raft_get_config(r)->count, 4);
        append(r, 2, 3, 4, 2, 6);
        t = turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(t.committed, 2);
        assert_int_equal(t.committed_last, 6);
        raft_free(r);
}

/* One that brings nothing new is only answered; one that makes no sense is refused. */
static void test_states_that_change_nothing(void **state) {
        struct raft *r = core_new(2, 3, 0);
        struct raft_config config = *raft_get_config(r), none = {0};
        struct turn t;

        append(r, 2, 3, 0, 6, 5);
        (void)turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(snapshot(r, 5, 3, &config), 0);
        assert_log(r, 1, 6, 5);
        t = turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_false(t.restored);
        assert_int_equal(t.of_type.log_index, 5);
        assert_int_equal(snapshot(r, 9, 3, NULL), -EBADMSG);
        assert_int_equal(snapshot(r, 9, 3, &none), -EBADMSG);
        assert_log(r, 1, 6, 5);
        raft_free(r);
}

/* The answer says that the entry is durable here, so it waits for the save. */
static void test_a_late_state_is_answered_after_the_save(void **state) {
        struct raft *r = core_new(2, 3, 0);
        struct raft_config config = *raft_get_config(r);
        struct turn t;

        append(r, 2, 3, 0, 6, 2);
        assert_int_equal(snapshot(r, 4, 3, &config), 0);
        t = turn(r, false, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(t.sent, 0);
        t = turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(t.saved_entries, 6);
        assert_int_equal(t.sent, 2);
        raft_free(r);
}

/* What the log holds in bytes, however it changes. */
static void test_bytes_of_the_log(void **state) {
        struct raft *r = core_new(2, 3, 0);
        struct raft_config config = *raft_get_config(r);

        assert_int_equal(raft_log_bytes(r), 0);
        append(r, 2, 1, 0, 8, 5);
        (void)turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(raft_log_bytes(r), 8);
        assert_int_equal(raft_log_excess(r, 8), 0);
        assert_int_equal(raft_log_excess(r, 7), 1);
        assert_int_equal(raft_log_excess(r, 0), 5); /* what is not applied stays */
        append(r, 2, 2, 6, 1, 5);                   /* another leader: 7 and 8 go */
        (void)turn(r, true, RAFT_MSG_APPEND_REPLY);
        assert_int_equal(raft_log_bytes(r), 7);
        raft_compact(r, 3);
        assert_int_equal(raft_log_bytes(r), 4);
        assert_int_equal(raft_log_excess(r, 3), 4);
        assert_int_equal(snapshot(r, 50, 3, &config), 0);
        assert_int_equal(raft_log_bytes(r), 0);
        assert_int_equal(raft_log_excess(r, 0), 0);
        raft_free(r);
}

/* Ticks until it stands, LATEST + 1 when it does not. */
static unsigned ticks_to_stand(struct raft *r) {
        for (unsigned i = 1; i <= LATEST; i++) {
                assert_int_equal(raft_tick(r), 0);
                if (turn(r, true, RAFT_MSG_PRE_VOTE).sent > 0)
                        return i;
        }
        return LATEST + 1;
}

static struct raft *follower_of_1(uint64_t id, size_t n, uint64_t learner) {
        struct raft *r = core_new(id, n, learner);

        assert_int_equal(raft_step(r, &(struct raft_message){.type = RAFT_MSG_HEARTBEAT,
                                                      .from = 1,
                                                      .to = id,
                                                      .term = 3}),
                        0);
        (void)turn(r, true, RAFT_MSG_HEARTBEAT_REPLY);
        return r;
}

/* One after the other, a round trip apart, without the one that is gone: no votes split. */
static void test_who_stands_first(void **state) {
        for (uint64_t id = 2; id <= 5; id++) {
                struct raft *r = follower_of_1(id, 5, 0);

                raft_hurry(r, 1);
                assert_int_equal(ticks_to_stand(r), 1 + 2 * (id - 2));
                raft_free(r);
        }
        /* A learner counts for nobody and never stands. */
        for (uint64_t id = 2; id <= 4; id++) {
                struct raft *r = follower_of_1(id, 4, 2);

                raft_hurry(r, 1);
                assert_int_equal(ticks_to_stand(r), id == 2 ? LATEST + 1 : 1 + 2 * (id - 3));
                raft_free(r);
        }
}

/* Another's end, or one that only came in reach, is no reason while there is a leader; and no
 * member waits longer than without the notification. */
static void test_when_nobody_hurries(void **state) {
        struct raft *r = follower_of_1(2, 3, 0), *same = follower_of_1(2, 3, 0);
        struct raft_status s;
        unsigned usual = ticks_to_stand(same);

        assert_true(usual >= ELECTION_TICKS);
        raft_hurry(r, 3);
        raft_hurry(r, 0);
        raft_get_status(r, &s);
        assert_int_equal(s.leader, 1);
        assert_int_equal(ticks_to_stand(r), usual);
        raft_free(same);
        raft_free(r);
        /* At the end of its time the third need not wait for the second's turn any more. */
        same = follower_of_1(3, 3, 0);
        usual = ticks_to_stand(same);
        raft_free(same);
        same = follower_of_1(3, 3, 0);
        for (unsigned i = 1; i < usual; i++)
                assert_int_equal(raft_tick(same), 0);
        raft_hurry(same, 1);
        assert_int_equal(ticks_to_stand(same), 1);
        raft_free(same);
        /* Without a leader, news that the others are there is enough. */
        r = core_new(1, 3, 0);
        raft_hurry(r, 0);
        assert_int_equal(ticks_to_stand(r), 1);
        raft_free(r);
}

static struct cluster *settled(size_t n, uint64_t seed) {
        struct cluster *c = malloc(sizeof(*c));

        assert_non_null(c);
        cluster_init(c, n, n, seed);
        cluster_until(c, 4000, cluster_settled);
        return c;
}

static bool follows_again(struct cluster *c) {
        struct raft_status s;

        for (size_t i = 0; i < c->count; i++) {
                raft_get_status(c->nodes[i].raft, &s);
                if (s.role != RAFT_LEADER && (s.role != RAFT_FOLLOWER || s.leader == 0))
                        return false;
        }
        return true;
}

/* Only a connection broke: PreVote keeps whoever stands from disturbing the leader. */
static void test_hurry_is_harmless_while_the_leader_lives(void **state) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
                struct cluster *c = settled(3, seed);
                struct raft_status before, after;
                int leader = cluster_leader(c), hasty = (leader + 1) % 3;

                raft_get_status(c->nodes[leader].raft, &before);
                for (int i = 0; i < 5; i++) {
                        raft_hurry(c->nodes[hasty].raft, (uint64_t)leader + 1);
                        /* The leader itself is not to be hurried out of its office. */
                        raft_hurry(c->nodes[leader].raft, (uint64_t)leader + 1);
                        raft_hurry(c->nodes[leader].raft, 0);
                        cluster_run(c, 20);
                        cluster_until(c, 200, follows_again);
                }
                raft_get_status(c->nodes[leader].raft, &after);
                assert_int_equal(after.role, RAFT_LEADER);
                assert_int_equal(after.term, before.term);
                cluster_done(c);
                free(c);
        }
}

/* Turns without a leader after the death of one. */
static unsigned turns_leaderless(uint64_t seed, bool hurry) {
        struct cluster *c = settled(3, seed);
        uint64_t lost = (uint64_t)cluster_leader(c) + 1;
        unsigned turns = 0;

        c->delay_max = c->save_delay_max = 0; /* much less than a tick, as on a real network */
        cluster_crash(c, lost - 1);
        for (size_t i = 0; i < c->count && hurry; i++)
                if (c->nodes[i].up)
                        raft_hurry(c->nodes[i].raft, lost);
        for (; cluster_leader(c) < 0; turns++) {
                assert_true(turns < 4000);
                cluster_run(c, 1);
        }
        cluster_done(c);
        free(c);
        return turns;
}

/* The ticks of this cluster come at random, so that hurried votes split too, but seldom. */
static void test_a_dead_leader_is_soon_replaced(void **state) {
        unsigned hurried = 0, waited = 0;

        for (uint64_t seed = 1; seed <= 20; seed++) {
                hurried += turns_leaderless(seed, true);
                waited += turns_leaderless(seed, false);
        }
        assert_true(hurried * 3 < waited * 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_late_state_leaves_the_log),
                        cmocka_unit_test(test_a_state_replaces_another_log),
                        cmocka_unit_test(test_states_that_change_nothing),
                        cmocka_unit_test(test_a_late_state_is_answered_after_the_save),
                        cmocka_unit_test(test_bytes_of_the_log),
                        cmocka_unit_test(test_who_stands_first),
                        cmocka_unit_test(test_when_nobody_hurries),
                        cmocka_unit_test(test_hurry_is_harmless_while_the_leader_lives),
                        cmocka_unit_test(test_a_dead_leader_is_soon_replaced),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
