/* Work in turns of the loop: sockets, timers and other work have theirs in between. */
#include "lib/loop-turn.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { TURNS = 40, SOON = 4 };

struct world {
        sd_event *event;
        struct loop_turn *work, *other;
        sd_event_source *io, *timer;
        int fds[2];
        unsigned turns, turns_of_other, reads;
        unsigned read_at, timer_at, other_at; /* turns of `work` by then, the last time */
        bool freed;
};

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct world *w = userdata;
        char c;

        assert_int_equal(read(fd, &c, 1), 1);
        w->read_at = w->turns;
        w->reads++;
        return 0;
}

static int on_time(sd_event_source *source, uint64_t us, void *userdata) {
        struct world *w = userdata;

        w->timer_at = w->turns;
        return 0;
}

static void on_work(void *userdata) {
        struct world *w = userdata;

        w->turns++;
        if (w->turns == TURNS / 2) { /* these become ready while the work is under way */
                assert_int_equal(write(w->fds[1], "x", 1), 1);
                assert_true(sd_event_source_set_time(w->timer, 0) >= 0);
                assert_true(sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT) >= 0);
                loop_turn_ask(w->other);
        }
        if (w->turns < TURNS)
                loop_turn_ask(w->work);
}

static void on_other(void *userdata) {
        struct world *w = userdata;

        w->other_at = w->turns;
        w->turns_of_other++;
}

static int setup(void **state) {
        struct world *w = calloc(1, sizeof(*w));

        assert_int_equal(sd_event_new(&w->event), 0);
        assert_int_equal(pipe(w->fds), 0);
        assert_true(sd_event_add_io(w->event, &w->io, w->fds[0], EPOLLIN, on_readable, w) >= 0);
        assert_true(sd_event_add_time(w->event, &w->timer, CLOCK_MONOTONIC, 0, 1, on_time, w) >= 0);
        assert_true(sd_event_source_set_enabled(w->timer, SD_EVENT_OFF) >= 0);
        assert_int_equal(
                        loop_turn_new(&w->work, w->event, SD_EVENT_PRIORITY_NORMAL, on_work, w), 0);
        assert_int_equal(loop_turn_new(&w->other, w->event, SD_EVENT_PRIORITY_NORMAL, on_other, w),
                        0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        struct world *w = *state;

        loop_turn_free(w->work);
        loop_turn_free(w->other);
        sd_event_source_unref(w->io);
        sd_event_source_unref(w->timer);
        sd_event_unref(w->event);
        (void)close(w->fds[0]);
        (void)close(w->fds[1]);
        free(w);
        return 0;
}

/* Until nothing is left that is ready. */
static void run(struct world *w) {
        for (unsigned i = 0; sd_event_run(w->event, 0) > 0; i++)
                assert_true(i < 10000);
}

/* What becomes ready waits for a few turns at most, and the work continues. */
static void test_others(void **state) {
        struct world *w = *state;

        loop_turn_ask(w->work);
        run(w);
        assert_int_equal(w->turns, TURNS);
        assert_int_equal(w->reads, 1);
        assert_int_equal(w->turns_of_other, 1);
        assert_in_range(w->read_at, TURNS / 2, TURNS / 2 + SOON);
        assert_in_range(w->timer_at, TURNS / 2, TURNS / 2 + SOON);
        assert_in_range(w->other_at, TURNS / 2, TURNS / 2 + SOON);
}

/* Nor do those that are always ready keep it waiting. */
static void test_busy(void **state) {
        struct world *w = *state;

        for (unsigned i = 0; i < TURNS; i++)
                assert_int_equal(write(w->fds[1], "x", 1), 1);
        loop_turn_ask(w->work);
        for (unsigned i = 0; i < 4 * SOON; i++)
                assert_true(sd_event_run(w->event, 0) > 0);
        assert_in_range(w->turns, SOON, 3 * SOON);
        assert_in_range(w->reads, SOON, 3 * SOON);
}

static void on_work_without_end(void *userdata) {
        struct world *w = userdata;

        w->turns++;
        loop_turn_ask(w->work);
}

static void on_other_without_end(void *userdata) {
        struct world *w = userdata;

        w->turns_of_other++;
        loop_turn_ask(w->other);
}

/* Two of them share the loop. */
static void test_two(void **state) {
        struct world *w = *state;

        loop_turn_free(w->work);
        loop_turn_free(w->other);
        assert_int_equal(loop_turn_new(&w->work, w->event, SD_EVENT_PRIORITY_NORMAL + 10,
                                         on_work_without_end, w),
                        0);
        assert_int_equal(write(w->fds[1], "x", 1), 1);
        run(w); /* the other one is made later */
        assert_int_equal(loop_turn_new(&w->other, w->event, SD_EVENT_PRIORITY_NORMAL + 10,
                                         on_other_without_end, w),
                        0);
        loop_turn_ask(w->work);
        loop_turn_ask(w->other);
        for (unsigned i = 0; i < TURNS; i++)
                assert_true(sd_event_run(w->event, 0) > 0);
        assert_in_range(w->turns, TURNS / 4, TURNS * 3 / 4);
        assert_in_range(w->turns_of_other, TURNS / 4, TURNS * 3 / 4);
}

/* Behind all that is ready. */
static void test_priority(void **state) {
        struct world *w = *state;

        loop_turn_free(w->other);
        assert_int_equal(loop_turn_new(&w->other, w->event, SD_EVENT_PRIORITY_NORMAL + 10, on_other,
                                         w),
                        0);
        loop_turn_ask(w->other);
        loop_turn_ask(w->work);
        run(w);
        assert_int_equal(w->turns_of_other, 1);
        assert_int_equal(w->other_at, TURNS);
}

static void test_ask(void **state) {
        struct world *w = *state;

        run(w);
        assert_int_equal(w->turns_of_other, 0);
        loop_turn_ask(w->other);
        loop_turn_ask(w->other);
        run(w);
        assert_int_equal(w->turns_of_other, 1);
        loop_turn_ask(w->other);
        loop_turn_drop(w->other);
        run(w);
        assert_int_equal(w->turns_of_other, 1);
        loop_turn_ask(w->other);
        run(w);
        assert_int_equal(w->turns_of_other, 2);
}

static void on_last(void *userdata) {
        struct world *w = userdata;

        w->freed = true;
        w->other = loop_turn_free(w->other);
}

static void test_freed(void **state) {
        struct world *w = *state;

        loop_turn_free(w->other);
        assert_int_equal(loop_turn_new(&w->other, w->event, SD_EVENT_PRIORITY_NORMAL, on_last, w),
                        0);
        loop_turn_ask(w->other);
        run(w);
        assert_true(w->freed);
        assert_null(w->other);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_others, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_two, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_priority, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_ask, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_freed, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
