/* A leader that contradicts what was committed: each kind by hand, then a cluster in which a disk
 * loses what it had confirmed. */
#include "tests/unit/raft-cluster.h"
#include "tests/unit/unit.h"

/* Member 2 of three, its log up to 6 of term 3, committed up to `commit`; compacted up to `base`.
 */
static struct raft *follower(uint64_t base, uint64_t commit) {
        struct raft_entry *entries[6];
        struct raft_options o = {.id = 2,
                        .seed = 7,
                        .election_ticks = 10,
                        .heartbeat_ticks = 2,
                        .term = 3,
                        .commit = commit,
                        .applied = base,
                        .snapshot_index = base,
                        .snapshot_term = base > 0 ? 3 : 0,
                        .entries = entries,
                        .entry_count = 6 - base};
        struct raft *r = NULL;

        o.config.count = 3;
        for (size_t i = 0; i < 3; i++)
                o.config.members[i].id = i + 1;
        for (size_t i = 0; i < o.entry_count; i++)
                entries[i] = raft_entry_new(base + 1 + i, 3, RAFT_ENTRY_NORMAL, "x", 1);
        assert_int_equal(raft_new(&r, &o), 0);
        for (size_t i = 0; i < o.entry_count; i++)
                raft_entry_unref(entries[i]);
        return r;
}

/* Member 1 leads term 5 and sends n entries of that term after this one. */
static int append(struct raft *r, uint64_t index, uint64_t term, size_t n, uint64_t commit) {
        struct raft_entry *entries[8];
        struct raft_message m = {.type = RAFT_MSG_APPEND,
                        .from = 1,
                        .to = 2,
                        .term = 5,
                        .log_index = index,
                        .log_term = term,
                        .commit = commit,
                        .entries = entries,
                        .entry_count = n};
        int q;

        assert_true(n <= ELEMENTS(entries));
        for (size_t i = 0; i < n; i++)
                entries[i] = raft_entry_new(index + 1 + i, 5, RAFT_ENTRY_NORMAL, "y", 1);
        q = raft_step(r, &m);
        for (size_t i = 0; i < n; i++)
                raft_entry_unref(entries[i]);
        return q;
}

/* It has said nothing, changed nothing and does nothing more. */
static void assert_ended(struct raft *r, enum raft_contradiction_kind kind, uint64_t last) {
        const struct raft_contradiction *c = raft_get_contradiction(r);
        struct raft_ready ready;
        struct raft_status s;

        assert_int_equal(c->kind, kind);
        assert_int_equal(c->leader, 1);
        assert_int_equal(c->leader_term, 5);
        assert_false(raft_ready(r, true, &ready));
        assert_int_equal(append(r, 6, 3, 1, 7), -EUCLEAN);
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(raft_tick(r), 0);
        assert_false(raft_ready(r, true, &ready));
        raft_get_status(r, &s);
        assert_int_equal(s.last, last);
        assert_int_equal(s.role, RAFT_FOLLOWER);
        raft_free(r);
}

static void test_another_entry_where_one_was_committed(void **state) {
        struct raft *r = follower(0, 4);
        const struct raft_contradiction *c = raft_get_contradiction(r);

        assert_int_equal(append(r, 3, 3, 2, 5), -EUCLEAN); /* 4 is committed here */
        assert_int_equal(c->index, 4);
        assert_int_equal(c->our_term, 3);
        assert_int_equal(c->their_term, 5);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        /* What its entries follow counts, too, also where there are none and all is below. */
        r = follower(0, 4);
        assert_int_equal(append(r, 4, 2, 0, 4), -EUCLEAN);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        r = follower(0, 4);
        assert_int_equal(append(r, 2, 5, 1, 3), -EUCLEAN);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        /* What is not committed here is the leader's to replace. */
        r = follower(0, 4);
        assert_int_equal(append(r, 4, 3, 1, 4), 0);
        assert_int_equal(raft_term_at(r, 5), 5);
        assert_int_equal(raft_get_contradiction(r)->kind, RAFT_CONTRADICTION_NONE);
        raft_free(r);
        r = follower(0, 4);
        assert_int_equal(append(r, 6, 5, 1, 4), 0); /* refused with a hint */
        assert_int_equal(raft_term_at(r, 6), 3);
        raft_free(r);
}

/* One index and term, two entries: there were two leaders of that term. */
static void test_two_entries_of_one_term(void **state) {
        struct raft_entry *same = raft_entry_new(4, 3, RAFT_ENTRY_NORMAL, "x", 1);
        struct raft_entry *other = raft_entry_new(5, 3, RAFT_ENTRY_NORMAL, "z", 1);
        struct raft_entry *entries[] = {same, other};
        struct raft_message m = {.type = RAFT_MSG_APPEND,
                        .from = 1,
                        .to = 2,
                        .term = 5,
                        .log_index = 3,
                        .log_term = 3,
                        .commit = 4,
                        .entries = entries,
                        .entry_count = 1};
        struct raft *r = follower(0, 4);

        assert_int_equal(raft_step(r, &m), 0);
        m.entry_count = 2;
        assert_int_equal(raft_step(r, &m), -EUCLEAN);
        assert_int_equal(raft_get_contradiction(r)->index, 5);
        assert_int_equal(raft_get_contradiction(r)->our_term, 3);
        assert_int_equal(raft_get_contradiction(r)->their_term, 3);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        raft_entry_unref(same);
        raft_entry_unref(other);
}

/* Of entries that are gone only bounds are known, and they are enough. */
static void test_contradictions_below_and_above_the_log(void **state) {
        struct raft *r = follower(4, 5);
        const struct raft_contradiction *c = raft_get_contradiction(r);

        assert_int_equal(append(r, 1, 5, 1, 2), -EUCLEAN); /* term 5 before term 3 */
        assert_int_equal(c->index, 1);
        assert_int_equal(c->our_term, 0);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        r = follower(4, 5);
        assert_int_equal(append(r, 4, 2, 0, 4), -EUCLEAN); /* where it begins */
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        r = follower(4, 5);
        assert_int_equal(append(r, 9, 2, 0, 4), -EUCLEAN); /* term 2 after term 3 */
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        r = follower(4, 5);
        assert_int_equal(append(r, 2, 2, 0, 2), 0); /* may be */
        assert_int_equal(append(r, 9, 4, 0, 4), 0);
        raft_free(r);
}

static int snapshot(struct raft *r, uint64_t index, uint64_t term, const struct raft_config *c) {
        return raft_step(r, &(struct raft_message){.type = RAFT_MSG_SNAPSHOT,
                                            .from = 1,
                                            .to = 2,
                                            .term = 5,
                                            .log_index = index,
                                            .log_term = term,
                                            .config = c});
}

static void test_states_that_cannot_be(void **state) {
        struct raft *r = follower(2, 5);

        assert_int_equal(snapshot(r, 4, 4, raft_get_config(r)), -EUCLEAN);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        r = follower(2, 5);
        assert_int_equal(snapshot(r, 1, 4, raft_get_config(r)), -EUCLEAN);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        r = follower(2, 5);
        assert_int_equal(snapshot(r, 20, 2, raft_get_config(r)), -EUCLEAN);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
        r = follower(2, 5);
        assert_int_equal(snapshot(r, 4, 3, NULL), 0); /* known already: its members are not asked */
        assert_int_equal(snapshot(r, 6, 4, raft_get_config(r)), 0); /* not committed: replaced */
        assert_int_equal(raft_term_at(r, 6), 4);
        raft_free(r);
}

/* The leader's log of those indexes is gone: where its terms began says enough. */
static void test_a_state_whose_terms_cannot_be(void **state) {
        static const struct raft_term_start lost[] = {{2, 1}, {3, 2}, {5, 4}}, /* 4 is of term 5 */
                        right[] = {{2, 1}, {3, 2}, {5, 6}}, late[] = {{5, 7}};
        struct raft *r = follower(2, 5);
        struct raft_message m = {.type = RAFT_MSG_SNAPSHOT,
                        .from = 1,
                        .to = 2,
                        .term = 5,
                        .log_index = 900,
                        .log_term = 5};

        assert_int_equal(raft_check_terms(r, &m, right, ELEMENTS(right)), 0);
        assert_int_equal(raft_check_terms(r, &m, late, ELEMENTS(late)), 0); /* older ones unknown */
        assert_int_equal(raft_check_terms(r, &m, NULL, 0), 0);
        m.term = 2;
        assert_int_equal(raft_check_terms(r, &m, lost, ELEMENTS(lost)), 0); /* leads nobody */
        m.term = 5;
        m.log_index = 4; /* sent before 5 was committed: a term may begin there that it lacks */
        assert_int_equal(raft_check_terms(r, &m, right, 1), 0);
        m.log_index = 900;
        assert_int_equal(raft_check_terms(r, &m, lost, ELEMENTS(lost)), -EUCLEAN);
        assert_int_equal(raft_get_contradiction(r)->index, 5);
        assert_int_equal(raft_get_contradiction(r)->our_term, 3);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
}

static int heartbeat(struct raft *r, uint64_t commit) {
        return raft_step(r, &(struct raft_message){.type = RAFT_MSG_HEARTBEAT,
                                            .from = 1,
                                            .to = 2,
                                            .term = 5,
                                            .commit = commit});
}

/* Its commit is never above what this member has acknowledged. */
static void test_a_log_that_lost_what_it_acknowledged(void **state) {
        struct raft *r = follower(0, 4);

        assert_int_equal(heartbeat(r, 6), 0);
        assert_int_equal(heartbeat(r, 7), -EUCLEAN);
        assert_int_equal(raft_get_contradiction(r)->index, 7);
        assert_int_equal(raft_get_contradiction(r)->our_index, 6);
        assert_ended(r, RAFT_CONTRADICTION_LOST, 6);
}

static struct raft_message asked(struct raft *r, uint64_t context) {
        struct raft_message m = {0};
        struct raft_ready ready;

        assert_int_equal(raft_read_index(r, context), 0);
        while (raft_ready(r, true, &ready)) {
                bool save = ready.must_save;

                for (size_t i = 0; i < ready.message_count; i++)
                        if (ready.messages[i].type == RAFT_MSG_READ_INDEX)
                                m = ready.messages[i];
                raft_advance(r);
                if (save)
                        assert_int_equal(raft_saved(r), 0);
        }
        assert_int_equal(m.type, RAFT_MSG_READ_INDEX);
        return m;
}

static int answer(struct raft *r, const struct raft_message *question, uint64_t index) {
        return raft_step(r, &(struct raft_message){.type = RAFT_MSG_READ_INDEX_REPLY,
                                            .from = 1,
                                            .to = 2,
                                            .term = 5,
                                            .context = question->context,
                                            .commit = question->commit,
                                            .log_index = index,
                                            .reject = index == 0});
}

static void test_an_answer_from_the_past(void **state) {
        struct raft *r = follower(0, 4);
        struct raft_message early, late;
        struct raft_ready ready;

        assert_int_equal(heartbeat(r, 4), 0);
        early = asked(r, 11);
        assert_int_equal(early.commit, 4);
        assert_int_equal(heartbeat(r, 6), 0);
        late = asked(r, 12);
        assert_int_equal(late.commit, 6);
        /* What was committed only after the question may be missing in the answer. */
        assert_int_equal(answer(r, &early, 5), 0);
        assert_true(raft_ready(r, true, &ready));
        assert_int_equal(ready.read_count, 1);
        raft_advance(r);
        assert_int_equal(answer(r, &late, 0), 0); /* "ask again" */
        assert_int_equal(answer(r, &late, 5), -EUCLEAN);
        assert_int_equal(raft_get_contradiction(r)->index, 5);
        assert_int_equal(raft_get_contradiction(r)->our_index, 6);
        assert_ended(r, RAFT_CONTRADICTION_READ, 6);
}

/* As far as what is committed here, and another entry there: what this member would serve is not
 * what the leader allowed. */
static void test_an_answer_from_another_history(void **state) {
        struct raft *r = follower(0, 4);
        struct raft_message question, reply;

        assert_int_equal(heartbeat(r, 6), 0);
        question = asked(r, 11);
        reply = (struct raft_message){.type = RAFT_MSG_READ_INDEX_REPLY,
                        .from = 1,
                        .to = 2,
                        .term = 5,
                        .context = question.context,
                        .commit = question.commit,
                        .log_index = 6,
                        .log_term = raft_term_at(r, 6)};
        assert_int_equal(raft_step(r, &reply), 0);
        reply.log_term = 5;
        assert_int_equal(raft_step(r, &reply), -EUCLEAN);
        assert_int_equal(raft_get_contradiction(r)->index, 6);
        assert_ended(r, RAFT_CONTRADICTION_ENTRY, 6);
}

/* ---- a disk loses what it had confirmed */

static void propose(struct cluster *c, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                uint64_t v = i;

                while (cluster_leader(c) < 0 ||
                                raft_propose(c->nodes[cluster_leader(c)].raft, &v, sizeof(v)) < 0)
                        cluster_run(c, 1);
                cluster_run(c, 2);
        }
}

static void lose_tail(struct cluster_node *n, size_t count) {
        while (count-- > 0 && n->log_count > 0)
                raft_entry_unref(n->log[--n->log_count]);
        n->applied = MIN(n->applied, n->base_index + n->log_count);
        n->commit = MIN(n->commit, n->applied);
}

/* c is down while a and b agree; all stop; b's log loses its end; b and c start and agree on other
 * things; a returns. */
static void scenario(uint64_t seed, bool takes_writes) {
        struct cluster *c = malloc(sizeof(*c));
        struct cluster_node *a, *b;
        size_t had;
        int lead;

        assert_non_null(c);
        cluster_init(c, 3, 3, seed);
        cluster_until(c, 4000, cluster_settled);
        lead = cluster_leader(c);
        cluster_crash(c, (size_t)(lead + 2) % 3);
        propose(c, 20);
        cluster_until(c, 4000, cluster_settled);
        a = &c->nodes[lead];
        b = &c->nodes[(lead + 1) % 3];
        had = a->log_count;
        cluster_crash(c, (size_t)lead);
        cluster_crash(c, (size_t)(lead + 1) % 3);
        a->commit = a->applied; /* written with the state */
        cluster_run(c, 10);     /* what is on its way gets lost */
        c->forked = true;
        lose_tail(b, 19);
        cluster_start(c, (size_t)(lead + 1) % 3);
        cluster_start(c, (size_t)(lead + 2) % 3);
        cluster_until(c, 4000, cluster_has_leader);
        if (takes_writes)
                propose(c, 30);
        cluster_until(c, 4000, cluster_settled);
        cluster_start(c, (size_t)lead);
        a->last_read = 0;
        for (unsigned i = 0; i < 4000 && !a->contradicted; i++) {
                if (i % 8 == 0)
                        assert_int_equal(raft_read_index(a->raft, 1000 + i), 0);
                cluster_run(c, 1);
        }
        assert_true(a->contradicted);
        /* A read may have been allowed once more is applied, which never comes: none was served. */
        assert_true(a->last_read == 0 || a->last_read_index > a->applied);
        assert_int_equal(a->log_count, had);
        assert_true(a->contradiction.kind == RAFT_CONTRADICTION_ENTRY ||
                        a->contradiction.kind == RAFT_CONTRADICTION_READ);
        /* The others, which do not know better, go on. */
        assert_true(cluster_leader(c) >= 0);
        cluster_done(c);
        free(c);
}

static void test_a_member_that_knows_better_stops(void **state) {
        for (uint64_t seed = 1; seed <= 200; seed++)
                scenario(seed, seed % 2);
}

/* A follower that lost its end while its leader still counts on it. */
static void test_who_lost_the_end_of_its_log_stops(void **state) {
        for (uint64_t seed = 1; seed <= 100; seed++) {
                struct cluster *c = malloc(sizeof(*c));
                size_t loser;

                assert_non_null(c);
                cluster_init(c, 3, 3, seed);
                cluster_until(c, 4000, cluster_settled);
                propose(c, 20);
                cluster_until(c, 4000, cluster_settled);
                loser = (size_t)(cluster_leader(c) + 1) % 3;
                c->forked = true;
                cluster_crash(c, loser);
                lose_tail(&c->nodes[loser], 10);
                cluster_start(c, loser);
                for (unsigned i = 0; i < 1000 && !c->nodes[loser].contradicted; i++)
                        cluster_run(c, 1);
                assert_true(c->nodes[loser].contradicted);
                assert_int_equal(c->nodes[loser].contradiction.kind, RAFT_CONTRADICTION_LOST);
                assert_true(cluster_leader(c) >= 0);
                cluster_done(c);
                free(c);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_another_entry_where_one_was_committed),
                        cmocka_unit_test(test_two_entries_of_one_term),
                        cmocka_unit_test(test_contradictions_below_and_above_the_log),
                        cmocka_unit_test(test_states_that_cannot_be),
                        cmocka_unit_test(test_a_state_whose_terms_cannot_be),
                        cmocka_unit_test(test_a_log_that_lost_what_it_acknowledged),
                        cmocka_unit_test(test_an_answer_from_the_past),
                        cmocka_unit_test(test_an_answer_from_another_history),
                        cmocka_unit_test(test_a_member_that_knows_better_stops),
                        cmocka_unit_test(test_who_lost_the_end_of_its_log_stops),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
