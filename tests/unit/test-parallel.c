/* Fork and join: every item once, by one thread and by several. */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/parallel.h"
#include "tests/unit/unit.h"

enum { ITEMS = 10000, ROUNDS = 300, THREADS = 4 };

struct work {
        struct parallel *parallel;
        unsigned *times; /* of each item */
        size_t fails_from;
        atomic_uint waiting;
};

static struct parallel *make(unsigned count) {
        struct parallel *p;

        assert_int_equal(parallel_new(&p, count), 0);
        return p;
}

static int count_item(size_t i, void *userdata) {
        struct work *w = userdata;

        w->times[i]++;
        return 0;
}

static void run_and_expect(struct parallel *p, size_t count) {
        struct work w = {.times = calloc(count + 1, sizeof(*w.times))};

        assert_int_equal(parallel_run(p, count, count_item, &w), 0);
        for (size_t i = 0; i < count; i++)
                assert_int_equal(w.times[i], 1);
        assert_int_equal(w.times[count], 0);
        free(w.times);
}

static void does_each_once(void **state) {
        const unsigned counts[] = {1, 2, THREADS, PARALLEL_MAX, 0};

        for (size_t i = 0; i < ELEMENTS(counts); i++) {
                _cleanup_(parallel_freep) struct parallel *p = make(counts[i]);

                run_and_expect(p, ITEMS);
                run_and_expect(p, 0);
                run_and_expect(p, 1);
                for (size_t n = 0; n < ROUNDS; n++)
                        run_and_expect(p, n);
        }
        run_and_expect(NULL, ITEMS);
        run_and_expect(NULL, 0);
}

static void counts_threads(void **state) {
        _cleanup_(parallel_freep) struct parallel *all = make(0), *many = make(1000),
                                                  *one = make(1);

        assert_in_range(parallel_count(all), 1, PARALLEL_MAX);
        assert_int_equal(parallel_count(many), PARALLEL_MAX);
        assert_int_equal(parallel_count(one), 1);
        assert_int_equal(parallel_count(NULL), 1);
}

/* Each item waits for the others: only so many threads can do it. */
static int meet(size_t i, void *userdata) {
        struct work *w = userdata;

        atomic_fetch_add(&w->waiting, 1);
        while (atomic_load(&w->waiting) < THREADS)
                sched_yield();
        return 0;
}

static void runs_side_by_side(void **state) {
        _cleanup_(parallel_freep) struct parallel *p = make(THREADS);
        struct work w = {0};

        assert_int_equal(parallel_run(p, THREADS, meet, &w), 0);
        assert_int_equal(w.waiting, THREADS);
}

static int fail_from(size_t i, void *userdata) {
        struct work *w = userdata;

        w->times[i]++;
        return i >= w->fails_from ? -(int)i : 0;
}

static void returns_the_first_failure(void **state) {
        struct parallel *some[] = {NULL, make(1), make(THREADS)};
        const size_t from[] = {1, 77, ITEMS - 1};

        for (size_t i = 0; i < ELEMENTS(some); i++) {
                for (size_t j = 0; j < ELEMENTS(from); j++) {
                        struct work w = {.times = calloc(ITEMS, sizeof(*w.times)),
                                        .fails_from = from[j]};

                        assert_int_equal(
                                        parallel_run(some[i], ITEMS, fail_from, &w), -(int)from[j]);
                        for (size_t k = 0; k < ITEMS; k++)
                                assert_int_equal(w.times[k], 1);
                        free(w.times);
                }
                run_and_expect(some[i], ITEMS); /* what failed before does not matter */
                parallel_free(some[i]);
        }
}

static int run_within(size_t i, void *userdata) {
        struct work *w = userdata;

        return parallel_run(w->parallel, 1, count_item, w);
}

static void refuses_runs_within_runs(void **state) {
        struct work w = {.times = calloc(1, sizeof(*w.times))};

        for (unsigned count = 1; count <= THREADS; count += THREADS - 1) {
                _cleanup_(parallel_freep) struct parallel *p = make(count);

                w.parallel = p;
                assert_int_equal(parallel_run(p, ITEMS, run_within, &w), -EBUSY);
                assert_int_equal(w.times[0], 0);
                run_and_expect(p, ITEMS);
        }
        free(w.times);
}

static void knows_what_pays(void **state) {
        _cleanup_(parallel_freep) struct parallel *p = make(2);

        assert_ptr_equal(parallel_for_sending(p, 1000, 1), p);
        assert_ptr_equal(parallel_for_sending(p, 4, 4 << 20), p);
        assert_null(parallel_for_sending(p, 1, 4 << 20));
        assert_null(parallel_for_sending(p, 4, 4 << 10));
        assert_null(parallel_for_sending(NULL, 1000, 4 << 20));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(does_each_once),
                        cmocka_unit_test(counts_threads),
                        cmocka_unit_test(runs_side_by_side),
                        cmocka_unit_test(returns_the_first_failure),
                        cmocka_unit_test(refuses_runs_within_runs),
                        cmocka_unit_test(knows_what_pays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
