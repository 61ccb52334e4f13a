/* The queue of fetches: fair, bounded, and not held up by servers that hang. */
#include "tests/unit/unit.h"

#include "reconcilers/gitsync/turns.h"

enum { FETCHES = 40 };

struct bench {
        sd_event *event;
        struct fetch_turns turns;
        struct fetch_turn turn[FETCHES];
        int order[FETCHES], ran;
        struct job {
                struct bench *bench;
                int number;
        } jobs[FETCHES];
};

static void go(void *userdata) {
        struct job *j = userdata;

        j->bench->order[j->bench->ran++] = j->number;
}

static void bench_new(struct bench *b, unsigned busy, unsigned all, uint64_t quiet_us) {
        *b = (struct bench){0};
        assert_true(sd_event_new(&b->event) >= 0);
        assert_true(turns_init(&b->turns, b->event, busy, all, quiet_us) >= 0);
        for (int i = 0; i < FETCHES; i++)
                b->jobs[i] = (struct job){b, i};
}

static void ask(struct bench *b, int i) {
        turn_ask(&b->turns, &b->turn[i], go, &b->jobs[i]);
}

static void bench_done(struct bench *b) {
        turns_done(&b->turns);
        sd_event_unref(b->event);
}

static void test_order(void **state) {
        struct bench b;

        bench_new(&b, 2, 10, 60000000);
        for (int i = 0; i < 6; i++)
                ask(&b, i);
        assert_int_equal(b.ran, 2);
        turn_leave(&b.turn[1]);
        assert_int_equal(b.ran, 3);
        assert_int_equal(b.order[2], 2);
        turn_leave(&b.turn[3]); /* it waited only */
        ask(&b, 1);
        turn_leave(&b.turn[0]);
        turn_leave(&b.turn[2]);
        assert_int_equal(b.ran, 5);
        assert_int_equal(b.order[3], 4);
        assert_int_equal(b.order[4], 5);
        turn_leave(&b.turn[4]);
        assert_int_equal(b.order[5], 1);
        bench_done(&b);
}

/* Eight dead servers in front of a healthy one: it waits for moments, not for their time-outs. */
static void test_quiet(void **state) {
        struct bench b;

        bench_new(&b, 4, 30, 20000);
        for (int i = 0; i < 9; i++)
                ask(&b, i);
        assert_int_equal(b.ran, 4);
        for (int n = 0; b.ran < 9 && n < 100; n++)
                assert_true(sd_event_run(b.event, 1000000) >= 0);
        assert_int_equal(b.ran, 9);
        assert_int_equal(b.order[8], 8);
        assert_int_equal(b.turns.quiet, 8);
        turn_heard(&b.turn[0]);
        assert_int_equal(b.turns.busy, 2);
        for (int i = 0; i < 9; i++)
                turn_leave(&b.turn[i]);
        assert_int_equal(b.turns.busy + b.turns.quiet, 0);
        bench_done(&b);
}

/* A server that keeps sending a word holds nobody up for longer than its share. */
static void test_busy_for_long(void **state) {
        struct bench b;

        bench_new(&b, 1, 30, 60000000);
        b.turns.busy_for_us = 20000;
        ask(&b, 0);
        ask(&b, 1);
        for (int n = 0; b.ran < 2 && n < 100; n++) {
                turn_heard(&b.turn[0]);
                assert_true(sd_event_run(b.event, 5000) >= 0);
        }
        assert_int_equal(b.ran, 2);
        turn_heard(&b.turn[0]); /* too late to count again */
        assert_int_equal(b.turns.busy, 1);
        turn_leave(&b.turn[0]);
        turn_leave(&b.turn[1]);
        bench_done(&b);
}

static void test_bound(void **state) {
        struct bench b;

        bench_new(&b, 4, 6, 1000);
        for (int i = 0; i < FETCHES; i++)
                ask(&b, i);
        for (int n = 0; b.ran < 6 && n < 100; n++)
                assert_true(sd_event_run(b.event, 1000000) >= 0);
        assert_true(sd_event_run(b.event, 50000) >= 0);
        assert_int_equal(b.ran, 6);
        turn_leave(&b.turn[2]);
        assert_int_equal(b.ran, 7);
        bench_done(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_order),
                        cmocka_unit_test(test_quiet),
                        cmocka_unit_test(test_busy_for_long),
                        cmocka_unit_test(test_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
