/* The work queue: names collapse, one worker a name, back-off, pauses. */
#include "tests/unit/loop.h"

#include "lib/client/workqueue.h"

struct world {
        sd_event *event;
        struct workqueue *q;
        char log[512];
        unsigned at_once, at_once_max, fail;
        bool hold; /* work is ended by the test */
        struct metrics *metrics;
};

static void work(struct workqueue *q, const char *name, void *userdata) {
        struct world *w = userdata;
        size_t n = strlen(w->log);

        (void)snprintf(w->log + n, sizeof(w->log) - n, "%s ", name);
        w->at_once++;
        w->at_once_max = MAX(w->at_once_max, w->at_once);
        if (w->hold)
                return;
        w->at_once--;
        workqueue_done(q, name, w->fail > 0 ? -EIO : 0, 0);
        w->fail -= w->fail > 0;
}

/* The value of a series of the queue. */
static double figure(struct world *w, const char *name) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ char *start = strformat("\n%s{name=\"test\"} ", name);
        const char *at;

        assert_int_equal(metrics_render(w->metrics, &b), 0);
        at = strstr(b.data, start);
        if (!at)
                fail_msg("no series %s", name);
        return strtod(at + strlen(start), NULL);
}

static int setup(void **state) {
        static struct world w;
        struct workqueue_options options = {.parallel_max = 2,
                        .backoff_min_us = 4000,
                        .backoff_max_us = 16000,
                        .work = work,
                        .userdata = &w,
                        .name = "test"};

        w = (struct world){.metrics = metrics_new()};
        options.metrics = w.metrics;
        assert_int_equal(sd_event_new(&w.event), 0);
        assert_int_equal(workqueue_new(&w.q, w.event, &options), 0);
        *state = &w;
        return 0;
}

static int teardown(void **state) {
        struct world *w = *state;

        workqueue_free(w->q);
        assert_true(figure(w, "workqueue_depth") >= 0); /* rendered without the queue */
        metrics_free(w->metrics);
        sd_event_unref(w->event);
        return 0;
}

static void test_duplicates_collapse(void **state) {
        struct world *w = *state;

        workqueue_add(w->q, "a");
        workqueue_add(w->q, "b");
        workqueue_add(w->q, "a");
        assert_int_equal(workqueue_depth(w->q), 2);
        assert_string_equal(w->log, ""); /* never from inside add() */
        loop_for_ms(w->event, 10);
        assert_string_equal(w->log, "a b ");
}

static void test_one_worker_a_name(void **state) {
        struct world *w = *state;

        w->hold = true;
        workqueue_add(w->q, "a");
        loop_until(w->event, w->at_once == 1);
        workqueue_add(w->q, "a"); /* while it is worked on: once more afterwards */
        workqueue_add(w->q, "a");
        loop_for_ms(w->event, 5);
        assert_string_equal(w->log, "a ");
        w->hold = false;
        w->at_once = 0;
        workqueue_done(w->q, "a", 0, 0);
        loop_for_ms(w->event, 10);
        assert_string_equal(w->log, "a a ");
}

static void test_parallel_bound(void **state) {
        struct world *w = *state;

        w->hold = true;
        workqueue_add(w->q, "a");
        workqueue_add(w->q, "b");
        workqueue_add(w->q, "c");
        loop_for_ms(w->event, 10);
        assert_int_equal(w->at_once_max, 2);
        assert_string_equal(w->log, "a b ");
        w->at_once--;
        workqueue_done(w->q, "a", 0, 0);
        loop_for_ms(w->event, 10);
        assert_string_equal(w->log, "a b c ");
}

static void test_backoff_grows_and_ends(void **state) {
        struct world *w = *state;
        uint64_t start = loop_now_ms();

        w->fail = 4; /* pauses of at least 3, 6, 12, 12 ms */
        workqueue_add(w->q, "a");
        loop_until(w->event, streq(w->log, "a a a a a "));
        assert_in_range(loop_now_ms() - start, 30, 500);
        loop_for_ms(w->event, 30);
        assert_string_equal(w->log, "a a a a a "); /* success forgets the failures */
}

static void test_after_keeps_the_earlier(void **state) {
        struct world *w = *state;

        workqueue_add_after(w->q, "a", 5000);
        workqueue_add_after(w->q, "a", 60000000);
        loop_until(w->event, streq(w->log, "a "));
        workqueue_add_after(w->q, "b", 60000000);
        workqueue_add_after(w->q, "b", 5000);
        loop_until(w->event, streq(w->log, "a b "));
}

static void test_requeue_after(void **state) {
        struct world *w = *state;

        w->hold = true;
        workqueue_add(w->q, "a");
        loop_until(w->event, w->at_once == 1);
        w->hold = false;
        workqueue_done(w->q, "a", 0, 5000);
        loop_until(w->event, streq(w->log, "a a "));
}

static void test_paused(void **state) {
        struct world *w = *state;

        workqueue_set_paused(w->q, true);
        workqueue_add(w->q, "a");
        loop_for_ms(w->event, 10);
        assert_string_equal(w->log, "");
        workqueue_set_paused(w->q, false);
        loop_until(w->event, streq(w->log, "a "));
}

/* With Kubernetes' meaning: an addition that changes nothing does not count, one during the work
 * does; a retry is an addition after a failure. */
static void test_figures(void **state) {
        struct world *w = *state;

        w->hold = true;
        workqueue_add(w->q, "a");
        workqueue_add(w->q, "a");
        workqueue_add(w->q, "b");
        assert_true(figure(w, "workqueue_adds_total") == 2);
        assert_true(figure(w, "workqueue_depth") == 2);
        loop_for_ms(w->event, 20);
        assert_true(figure(w, "workqueue_depth") == 0);
        assert_true(figure(w, "workqueue_queue_duration_seconds_count") == 2);
        assert_true(figure(w, "workqueue_unfinished_work_seconds") > 0.01);
        assert_true(figure(w, "workqueue_longest_running_processor_seconds") > 0.005);
        assert_true(figure(w, "workqueue_work_duration_seconds_count") == 0);
        workqueue_add(w->q, "a");
        workqueue_add(w->q, "a");
        assert_true(figure(w, "workqueue_adds_total") == 3);
        w->hold = false;
        workqueue_done(w->q, "b", 0, 0);
        workqueue_done(w->q, "a", -EIO, 0);
        loop_until(w->event, streq(w->log, "a b a a ") || streq(w->log, "a b a "));
        loop_for_ms(w->event, 20);
        assert_true(figure(w, "workqueue_retries_total") == 1);
        assert_true(figure(w, "workqueue_work_duration_seconds_count") >= 3);
        assert_true(figure(w, "workqueue_unfinished_work_seconds") == 0);
        assert_true(figure(w, "workqueue_longest_running_processor_seconds") == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_duplicates_collapse, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_one_worker_a_name, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_parallel_bound, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_backoff_grows_and_ends, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_after_keeps_the_earlier, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_requeue_after, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_paused, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_figures, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
