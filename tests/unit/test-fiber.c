/* Fibers: what a function does on a stack of its own, when it pauses, and in which order several
 * have their turns. */
#include "lib/fiber.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "tests/unit/unit.h"

struct world {
        sd_event *event;
        struct fibers *fibers;
        char order[64]; /* a letter for each turn or end */
        unsigned pauses, done;
};

struct work {
        struct world *world;
        char letter;
        unsigned rounds;
        struct fiber *fiber; /* while it waits */
        uint64_t used_us;
};

static void note(struct world *w, char c) {
        size_t n = strlen(w->order);

        if (n + 1 < sizeof(w->order))
                w->order[n] = c;
}

static int setup(void **state) {
        struct world *w = calloc(1, sizeof(*w));

        assert_int_equal(sd_event_new(&w->event), 0);
        /* Each breath is a pause. */
        assert_int_equal(fibers_new(&w->fibers, w->event, 0, 2), 0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        struct world *w = *state;

        fibers_free(w->fibers);
        sd_event_unref(w->event);
        free(w);
        return 0;
}

static void run_until(struct world *w, unsigned done) {
        for (unsigned i = 0; w->done < done; i++) {
                assert_true(i < 1000000);
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
        }
}

static void on_done(void *userdata) {
        struct work *work = userdata;

        work->world->done++;
        note(work->world, (char)(work->letter - 'a' + 'A'));
}

static void breathing(struct fiber *f, void *userdata) {
        struct work *work = userdata;

        for (unsigned i = 0; i < work->rounds; i++) {
                note(work->world, work->letter);
                fiber_breathe(f);
        }
        work->used_us = fiber_clock_us(f);
}

static void test_through_at_once(void **state) {
        struct work a = {.world = *state, .letter = 'a'};

        /* No pause, no callback. */
        assert_int_equal(fibers_start(a.world->fibers, breathing, on_done, &a), 1);
        run_until(a.world, 1);
        a.rounds = 3;
        assert_int_equal(fibers_start(NULL, breathing, on_done, &a), 0);
        assert_string_equal(a.world->order, "Aaaa");
}

static void nothing(struct fiber *f, void *userdata) {
        struct work *work = userdata;

        assert_non_null(f);
        note(work->world, work->letter);
}

static void test_no_pause(void **state) {
        struct work a = {.world = *state, .letter = 'a'};

        assert_int_equal(fibers_start(a.world->fibers, nothing, on_done, &a), 0);
        assert_string_equal(a.world->order, "a");
        assert_int_equal(a.world->done, 0);
}

/* Two at a time, in turn; the third begins when one is through. */
static void test_turns(void **state) {
        struct world *w = *state;
        struct work all[] = {{.world = w, .letter = 'a', .rounds = 2},
                        {.world = w, .letter = 'b', .rounds = 3},
                        {.world = w, .letter = 'c', .rounds = 1}};

        for (size_t i = 0; i < ELEMENTS(all); i++)
                assert_int_equal(fibers_start(w->fibers, breathing, on_done, &all[i]), 1);
        assert_string_equal(w->order, "ab");
        run_until(w, 3);
        assert_int_equal(strlen(w->order), 9);
        assert_true(strchr(w->order, 'c') > strchr(w->order, 'A'));
        assert_true(strchr(w->order, 'c') < strchr(w->order, 'B'));
}

static void waiting(struct fiber *f, void *userdata) {
        struct work *work = userdata;

        work->fiber = f;
        assert_ptr_equal(fiber_if_current(f), f);
        note(work->world, work->letter);
        fiber_wait(f);
        note(work->world, work->letter);
        /* What came before the wait is not waited for. */
        fiber_continue(f);
        fiber_wait(f);
}

static void test_wait(void **state) {
        struct world *w = *state;
        struct work all[] = {{.world = w, .letter = 'a'}, {.world = w, .letter = 'b'},
                        {.world = w, .letter = 'c'}};

        /* Those that wait are not in the way of others. */
        for (size_t i = 0; i < ELEMENTS(all); i++)
                assert_int_equal(fibers_start(w->fibers, waiting, on_done, &all[i]), 1);
        assert_string_equal(w->order, "abc");
        /* From outside nothing pauses: neither it nor who calls this. */
        assert_null(fiber_if_current(all[1].fiber));
        fiber_breathe(all[1].fiber);
        assert_string_equal(w->order, "abc");
        fiber_continue(all[1].fiber);
        run_until(w, 1);
        fiber_continue(all[2].fiber);
        fiber_continue(all[0].fiber);
        run_until(w, 3);
        assert_string_equal(w->order, "abcbBcCaA");
}

/* Its stack is deep enough for what the main one is used for. */
static unsigned deep(unsigned n) {
        volatile char frame[4096];

        frame[0] = (char)n;
        return n == 0 ? 0 : deep(n - 1) + 1 + (unsigned)(frame[0] == (char)n ? 0 : 1);
}

static void going_deep(struct fiber *f, void *userdata) {
        struct work *work = userdata;

        fiber_breathe(f);
        work->rounds = deep(1500);
}

static void test_deep(void **state) {
        struct work a = {.world = *state, .letter = 'a'};

        assert_int_equal(fibers_start(a.world->fibers, going_deep, on_done, &a), 1);
        run_until(a.world, 1);
        assert_int_equal(a.rounds, 1500);
}

/* Only its own time counts. */
static void busy(struct fiber *f, void *userdata) {
        struct work *work = userdata;
        uint64_t until_us = fiber_clock_us(f) + 5000;

        while (fiber_clock_us(f) < until_us)
                ;
        work->used_us = fiber_clock_us(f);
}

static void test_clock(void **state) {
        struct world *w = *state;
        struct work a = {.world = w, .letter = 'a'}, b = {.world = w, .letter = 'b', .rounds = 3};

        assert_int_equal(fibers_start(w->fibers, breathing, on_done, &b), 1);
        assert_int_equal(fibers_start(w->fibers, busy, on_done, &a), 1);
        run_until(w, 2);
        assert_true(a.used_us >= 5000);
        assert_true(b.used_us < 5000);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        note(userdata, '!');
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/* Others have the loop between two turns. */
static void test_others(void **state) {
        struct world *w = *state;
        struct work a = {.world = w, .letter = 'a', .rounds = 20};
        sd_event_source *source;
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        assert_true(sd_event_add_io(w->event, &source, fds[0], EPOLLIN, on_readable, w) >= 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        assert_int_equal(fibers_start(w->fibers, breathing, on_done, &a), 1);
        run_until(w, 1);
        assert_non_null(strchr(w->order, '!'));
        assert_true(strchr(w->order, '!') < strrchr(w->order, 'a'));
        sd_event_source_unref(source);
        (void)close(fds[0]);
        (void)close(fds[1]);
}

/* The loop ends while some are not through. */
static void test_forgotten(void **state) {
        struct world *w = *state;
        static struct work a, b;

        a = (struct work){.world = w, .letter = 'a', .rounds = 3};
        b = (struct work){.world = w, .letter = 'b', .rounds = 3};
        assert_int_equal(fibers_start(w->fibers, breathing, on_done, &a), 1);
        assert_int_equal(fibers_start(w->fibers, breathing, on_done, &b), 1);
        assert_int_equal(w->done, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_through_at_once, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_no_pause, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_clock, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_others, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
