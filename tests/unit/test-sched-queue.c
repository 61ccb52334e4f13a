/* The queue of pods without a node, in virtual time. */
#include "tests/unit/unit.h"

#include "reconcilers/sched/queue.h"

enum { S = 1000000 };

static unsigned freed;

static void count_free(void *payload, void *userdata) {
        freed++;
}

static struct sched_queue *queue_new(void) {
        struct sched_queue_options options = {.free_payload = count_free};

        freed = 0;
        return sched_queue_new(&options);
}

#define assert_pops(q, now, expected) \
        do { \
                const char *_k = sched_queue_pop(q, now); \
                assert_string_equal(_k ? _k : "nothing", expected); \
        } while (0)

static void test_order(void **state) {
        _cleanup_(sched_queue_freep) struct sched_queue *q = queue_new();

        sched_queue_put(q, "low-1", 1, 0);
        sched_queue_put(q, "low-2", 1, 0);
        sched_queue_put(q, "high", 100, 0);
        sched_queue_put(q, "middle", 50, 0);
        sched_queue_put(q, "low-1", 1, 0); /* again: keeps its place */
        sched_queue_remove(q, "middle");
        assert_pops(q, 0, "high");
        assert_pops(q, 0, "low-1");
        assert_pops(q, 0, "low-2");
        assert_pops(q, 0, "nothing");
}

/* A heap of many against the obvious order. */
static void test_many(void **state) {
        _cleanup_(sched_queue_freep) struct sched_queue *q = queue_new();
        int32_t last = INT32_MAX;
        uint64_t seed = 3;
        char name[16];

        for (unsigned i = 0; i < 1000; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                (void)snprintf(name, sizeof(name), "p%u", i);
                sched_queue_put(q, name, (int32_t)(seed >> 40) % 100, 0);
        }
        for (unsigned i = 0; i < 1000; i += 3) {
                (void)snprintf(name, sizeof(name), "p%u", i);
                sched_queue_remove(q, name);
        }
        for (unsigned i = 0; i < 666; i++) {
                const char *key = sched_queue_pop(q, 0);
                uint64_t n, check = 3;

                assert_non_null(key);
                assert_int_equal(parse_u64(key + 1, &n), 0);
                for (uint64_t k = 0; k <= n; k++)
                        check = check * 6364136223846793005u + 1442695040888963407u;
                assert_true((int32_t)(check >> 40) % 100 <= last);
                last = (int32_t)(check >> 40) % 100;
        }
        assert_pops(q, 0, "nothing");
}

static void test_backoff(void **state) {
        static const uint64_t waits[] = {1, 2, 4, 8, 10, 10};
        _cleanup_(sched_queue_freep) struct sched_queue *q = queue_new();
        uint64_t now = 5 * S;

        sched_queue_put(q, "p", 0, now);
        for (size_t i = 0; i < ELEMENTS(waits); i++) {
                assert_pops(q, now, "p");
                sched_queue_retry(q, "p", now);
                assert_int_equal(sched_queue_next_us(q), now + waits[i] * S);
                assert_false(sched_queue_is_ready(q, now + waits[i] * S - 1));
                assert_pops(q, now + waits[i] * S - 1, "nothing");
                now += waits[i] * S;
        }
        assert_pops(q, now, "p");
}

static bool only_p(const char *key, void *payload, uint32_t *waits_for, void *userdata) {
        return streq(key, "p");
}

static bool waits_for_8(const char *key, void *payload, uint32_t *waits_for, void *userdata) {
        *waits_for |= 8;
        return false;
}

/* An event that did not help may have changed for what the pod waits. */
static void test_other_reason(void **state) {
        _cleanup_(sched_queue_freep) struct sched_queue *q = queue_new();

        sched_queue_put(q, "p", 0, 0);
        assert_pops(q, 0, "p");
        sched_queue_park(q, "p", 1, 0);
        sched_queue_wake(q, 8, 1 * S, NULL, NULL);
        assert_pops(q, 1 * S, "nothing");
        sched_queue_wake(q, 1, 1 * S, waits_for_8, NULL);
        assert_pops(q, 1 * S, "nothing");
        sched_queue_wake(q, 8, 1 * S, NULL, NULL);
        assert_pops(q, 1 * S, "p");
}

static void test_parked(void **state) {
        _cleanup_(sched_queue_freep) struct sched_queue *q = queue_new();

        sched_queue_put(q, "p", 0, 0);
        sched_queue_put(q, "q", 0, 0);
        assert_pops(q, 0, "p");
        assert_pops(q, 0, "q");
        sched_queue_park(q, "p", 1 | 2, 0);
        sched_queue_park(q, "q", 2, 0);
        assert_int_equal(sched_queue_counts(q).parked, 2);
        sched_queue_wake(q, 4, 1 * S, NULL, NULL);
        assert_pops(q, 1 * S, "nothing");
        sched_queue_wake(q, 2, 1 * S, only_p, NULL); /* the first retry is immediate */
        assert_pops(q, 1 * S, "p");
        sched_queue_park(q, "p", 1, 1 * S);
        sched_queue_wake(q, 1, 1 * S, NULL, NULL); /* the second waits a second */
        assert_pops(q, 1 * S + S / 2, "nothing");
        assert_pops(q, 2 * S, "p");
        sched_queue_park(q, "p", 1, 2 * S);
        assert_pops(q, 300 * S - 1, "nothing");
        assert_pops(q, 300 * S, "q"); /* without an event after five minutes */
        assert_pops(q, 302 * S, "p");
}

/* The figures of the queue: how long a pod was active, how often it became so, and errors. */
static void test_counts(void **state) {
        _cleanup_(sched_queue_freep) struct sched_queue *q = queue_new();

        sched_queue_put(q, "p", 0, 1 * S);
        sched_queue_put(q, "p", 0, 2 * S); /* it waits since the first time */
        assert_pops(q, 4 * S, "p");
        assert_int_equal(sched_queue_waited_us(q, "p"), 3 * S);
        sched_queue_retry(q, "p", 4 * S);
        assert_int_equal(sched_queue_counts(q).adds, 1);
        assert_int_equal(sched_queue_counts(q).retries, 1);
        assert_pops(q, 6 * S, "p"); /* active when the queue looked, not since its back-off ended */
        assert_int_equal(sched_queue_waited_us(q, "p"), 0);
        sched_queue_park(q, "p", 1, 6 * S);
        sched_queue_put(q, "p", 0, 7 * S);
        assert_pops(q, 9 * S, "p");
        assert_int_equal(sched_queue_waited_us(q, "p"), 2 * S);
        assert_int_equal(sched_queue_counts(q).adds, 3);
        assert_int_equal(sched_queue_counts(q).retries, 1);
}

/* A change while the pod is in work is not lost, and its old payload is. */
static void test_changed_in_work(void **state) {
        _cleanup_(sched_queue_freep) struct sched_queue *q = queue_new();
        int payload;

        sched_queue_put(q, "p", 0, 0);
        assert_pops(q, 0, "p");
        sched_queue_set_payload(q, "p", &payload);
        assert_ptr_equal(sched_queue_payload(q, "p"), &payload);
        sched_queue_put(q, "p", 7, 0);
        assert_pops(q, 0, "nothing");
        sched_queue_park(q, "p", 1, 0);
        assert_int_equal(freed, 1);
        assert_pops(q, 0, "p");
        assert_null(sched_queue_payload(q, "p"));
        sched_queue_set_payload(q, "p", &payload);
        sched_queue_remove(q, "p");
        assert_int_equal(freed, 2);
        assert_false(sched_queue_has(q, "p"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_order),
                        cmocka_unit_test(test_many),
                        cmocka_unit_test(test_backoff),
                        cmocka_unit_test(test_parked),
                        cmocka_unit_test(test_counts),
                        cmocka_unit_test(test_other_reason),
                        cmocka_unit_test(test_changed_in_work),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
