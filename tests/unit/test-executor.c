/* The executor: order, barriers, slow start, failures, stopping, freeing from every callback. */
#include "tests/unit/unit.h"

#include "lib/client/api-actions.h"
#include "lib/client/executor.h"
#include "lib/object.h"
#include "lib/problem.h"
#include "lib/timefmt.h"

enum { RUNNING_MAX = 32 };

/* A world in which actions end when the test says so. */
struct world {
        struct executor *executor;
        struct running_action *running[RUNNING_MAX]; /* as started */
        char log[2048];
        unsigned dones;
        int error;
        char message[64], messages[64];
        const char *stop_at, *free_at; /* when that action has ended */
        bool free_in_done;
        struct actions next; /* run from done() when it is not empty */
};

static void note(struct world *w, const char *what, const char *name) {
        size_t n = strlen(w->log);

        (void)snprintf(w->log + n, sizeof(w->log) - n, "%s%s ", what, name);
}

static int start_held(struct running_action *a) {
        struct world *w = a->context;

        note(w, "", a->action->name);
        for (size_t i = 0; i < RUNNING_MAX; i++)
                if (!w->running[i]) {
                        w->running[i] = a;
                        a->handle = &w->running[i];
                        return 0;
                }
        fail_msg("too many at once");
        return 0;
}

static void cancel_held(struct running_action *a) {
        note(a->context, "cancel-", a->action->name);
        *(struct running_action **)a->handle = NULL;
}

static int start_at_once(struct running_action *a) {
        note(a->context, "", a->action->name);
        action_ended(a, 0, NULL, NULL);
        return 0;
}

static int start_badly(struct running_action *a) {
        note(a->context, "", a->action->name);
        return -ENOMEM;
}

/* As long as a turn. */
static int start_slowly(struct running_action *a) {
        uint64_t end_us = now_mono_us() + EXECUTOR_TURN_US + 1;

        while (now_mono_us() < end_us)
                ;
        return start_at_once(a);
}

static const struct action_type slowly = {.name = "slowly", .start = start_slowly};
static const struct action_type held = {.name = "held", .start = start_held, .cancel = cancel_held};
static const struct action_type held_barrier = {.name = "held-barrier",
                .barrier = true,
                .start = start_held,
                .cancel = cancel_held};
static const struct action_type independent = {
                .name = "independent", .independent = true, .start = start_held};
static const struct action_type at_once = {.name = "at-once", .start = start_at_once};
static const struct action_type badly = {.name = "badly", .start = start_badly};

static bool is_fine(const struct action *x, int error, const struct problem *p, void *userdata) {
        return error == -ENOENT;
}

static void on_action(const struct action *x, int error, const json_t *object,
                const struct problem *p, void *userdata) {
        struct world *w = userdata;

        note(w, error < 0 ? "!" : "=", x->name);
        if (w->stop_at && streq(w->stop_at, x->name))
                executor_stop(w->executor);
        if (w->free_at && streq(w->free_at, x->name))
                w->executor = executor_free(w->executor);
}

static void on_done(int error, const struct problem *p, void *userdata) {
        _cleanup_free_ char *causes = NULL;
        struct world *w = userdata;

        w->dones++;
        w->error = error;
        (void)snprintf(w->message, sizeof(w->message), "%s", strempty(p->message));
        causes = p->causes ? json_text(p->causes) : NULL;
        (void)snprintf(w->messages, sizeof(w->messages), "%s", strempty(causes));
        note(w, "", "done");
        if (w->free_in_done)
                w->executor = executor_free(w->executor);
        else if (w->next.count > 0)
                executor_run(w->executor, &w->next);
}

static void make(struct world *w, unsigned first, unsigned max) {
        *w = (struct world){0};
        assert_int_equal(executor_new(&w->executor, &(struct executor_options){.context = w,
                                                                    .parallel_first = first,
                                                                    .parallel_max = max,
                                                                    .is_fine = is_fine,
                                                                    .on_action = on_action,
                                                                    .done = on_done,
                                                                    .userdata = w}),
                        0);
}

static void add(struct actions *a, const struct action_type *type, const char *name) {
        actions_add(a, type, NULL, NULL, name, NULL);
}

static struct running_action *find(struct world *w, const char *name) {
        for (size_t i = 0; i < RUNNING_MAX; i++)
                if (w->running[i] && streq(w->running[i]->action->name, name)) {
                        struct running_action *a = w->running[i];

                        w->running[i] = NULL;
                        return a;
                }
        fail_msg("%s is not under way: %s", name, w->log);
        return NULL;
}

static void end(struct world *w, const char *name) {
        action_ended(find(w, name), 0, NULL, NULL);
}

static void end_badly(struct world *w, const char *name, int error) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, -error, 0, NULL, "%s failed", name);
        action_ended(find(w, name), error, NULL, &p);
}

#define assert_log(w, expected) \
        do { \
                assert_string_equal((w)->log, expected); \
                (w)->log[0] = 0; \
        } while (0)

static void test_slow_start_doubles(void **state) {
        static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
        struct actions list = {0};
        struct world w;

        make(&w, 0, 4);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                add(&list, &held, names[i]);
        executor_run(w.executor, &list);
        assert_int_equal(list.count, 0); /* taken */
        assert_log(&w, "a ");
        end(&w, "a");
        assert_log(&w, "=a b c ");
        end(&w, "c");
        assert_log(&w, "=c d e f ");
        end(&w, "b");
        assert_log(&w, "=b g "); /* never more than four */
        end(&w, "d");
        end(&w, "e");
        assert_log(&w, "=d h =e i ");
        for (size_t i = 5; i < ELEMENTS(names); i++)
                end(&w, names[i]);
        assert_log(&w, "=f =g =h =i done ");
        assert_int_equal(w.dones, 1);
        assert_int_equal(w.error, 0);
        assert_false(executor_is_running(w.executor));
        executor_free(w.executor);
}

static void test_barriers_wait_and_are_waited_for(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 16, 16);
        add(&list, &held, "a");
        add(&list, &held, "b");
        add(&list, &held_barrier, "guard");
        add(&list, &held, "c");
        add(&list, &held, "d");
        actions_barrier(&list);
        add(&list, &held, "e");
        executor_run(w.executor, &list);
        assert_log(&w, "a b ");
        end(&w, "b");
        assert_log(&w, "=b ");
        end(&w, "a");
        assert_log(&w, "=a guard ");
        end(&w, "guard");
        assert_log(&w, "=guard c d ");
        end(&w, "c");
        w.log[0] = 0;
        end(&w, "d");
        assert_non_null(strstr(w.log, "e "));
        end(&w, "e");
        assert_int_equal(w.dones, 1);
        executor_free(w.executor);
}

static void test_a_failure_drops_the_rest(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 3, 3);
        for (char name[] = "a"; *name <= 'e'; (*name)++)
                add(&list, &held, name);
        executor_run(w.executor, &list);
        assert_log(&w, "a b c ");
        end_badly(&w, "c", -EACCES);
        assert_log(&w, "!c ");
        end_badly(&w, "a", -EBUSY); /* later, but first in the list */
        end(&w, "b");
        assert_log(&w, "!a =b done ");
        assert_int_equal(w.error, -EBUSY);
        assert_string_equal(w.message, "a failed");
        executor_free(w.executor);
}

/* The failures of independent ones keep only the others back, and are all named. */
static void test_independent_failures(void **state) {
        _cleanup_actions_ struct actions a = {0};
        struct world w;

        make(&w, 1, 4);
        add(&a, &independent, "a");
        add(&a, &independent, "b");
        add(&a, &independent, "c");
        add(&a, &held, "d");
        executor_run(w.executor, &a);
        end_badly(&w, "a", -EACCES);
        end(&w, "b");
        end_badly(&w, "c", -EAGAIN);
        assert_log(&w, "a !a b =b c !c done ");
        assert_int_equal(w.error, -EACCES);
        assert_string_equal(w.message, "a failed");
        assert_string_equal(w.messages, "[\"a failed\",\"c failed\"]");
        add(&a, &held, "e"); /* and the next list begins without them */
        executor_run(w.executor, &a);
        end_badly(&w, "e", -EIO);
        assert_string_equal(w.messages, "");
        executor_free(w.executor);
}

static void test_what_is_fine_is_no_failure(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 1, 1);
        add(&list, &held, "a");
        add(&list, &held, "b");
        executor_run(w.executor, &list);
        end_badly(&w, "a", -ENOENT);
        end(&w, "b");
        assert_log(&w, "a !a b =b done ");
        assert_int_equal(w.error, 0);
        executor_free(w.executor);
}

static void test_ends_inside_start(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 1, 1);
        executor_run(w.executor, &list); /* an empty list is done at once */
        assert_log(&w, "done ");
        add(&list, &at_once, "a");
        add(&list, &at_once, "b");
        executor_run(w.executor, &list);
        assert_log(&w, "a =a b =b done ");
        add(&list, &at_once, "a");
        add(&list, &badly, "b");
        add(&list, &at_once, "c");
        executor_run(w.executor, &list);
        assert_log(&w, "a =a b !b done ");
        assert_int_equal(w.error, -ENOMEM);
        assert_true(*w.message);
        executor_free(w.executor);
}

/* With a loop, those that end at once do not hold it: one of them lasts a turn here. */
static void test_turns(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_actions_ struct actions a = {0};
        struct world w = {0};

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(executor_new(&w.executor, &(struct executor_options){.event = event,
                                                                    .context = &w,
                                                                    .on_action = on_action,
                                                                    .done = on_done,
                                                                    .userdata = &w}),
                        0);
        add(&a, &slowly, "a");
        add(&a, &slowly, "b");
        add(&a, &slowly, "c");
        executor_run(w.executor, &a);
        assert_log(&w, "a =a ");
        assert_true(sd_event_run(event, 0) > 0);
        assert_log(&w, "b =b ");
        assert_true(sd_event_run(event, 0) > 0);
        assert_log(&w, "c =c done ");
        add(&a, &slowly, "d");
        add(&a, &slowly, "e");
        executor_run(w.executor, &a);
        executor_stop(w.executor); /* the rest is not started, and done() comes all the same */
        assert_true(sd_event_run(event, 0) > 0);
        assert_log(&w, "d =d done ");
        add(&a, &slowly, "f");
        add(&a, &slowly, "g");
        executor_run(w.executor, &a);
        executor_free(w.executor);
        assert_int_equal(sd_event_run(event, 0), 0);
        assert_log(&w, "f =f ");
}

static void test_stopping(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 2, 2);
        for (char name[] = "a"; *name <= 'd'; (*name)++)
                add(&list, &held, name);
        executor_run(w.executor, &list);
        executor_stop(w.executor);
        assert_int_equal(w.dones, 0); /* what is under way comes to its end */
        end(&w, "a");
        end(&w, "b");
        assert_log(&w, "a b =a =b done ");
        assert_int_equal(w.error, 0);
        executor_stop(w.executor); /* nothing is under way: the next list is not stopped */
        add(&list, &at_once, "a");
        add(&list, &at_once, "b");
        w.stop_at = "a";
        executor_run(w.executor, &list);
        assert_log(&w, "a =a done ");
        assert_int_equal(w.dones, 2);
        executor_free(w.executor);
}

static void test_freed_from_outside(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 2, 2);
        for (char name[] = "a"; *name <= 'd'; (*name)++)
                add(&list, &held, name);
        executor_run(w.executor, &list);
        executor_free(w.executor);
        assert_log(&w, "a b cancel-a cancel-b ");
        assert_int_equal(w.dones, 0);
}

static void test_freed_from_its_callbacks(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 2, 2);
        w.free_at = "a";
        add(&list, &held, "a");
        add(&list, &held, "b");
        add(&list, &held, "c");
        executor_run(w.executor, &list);
        end(&w, "a");
        assert_log(&w, "a b =a cancel-b ");
        assert_null(w.executor);

        make(&w, 2, 2); /* from inside start() of the next one */
        w.free_at = "b";
        add(&list, &held, "a");
        add(&list, &at_once, "b");
        add(&list, &held, "c");
        executor_run(w.executor, &list);
        assert_log(&w, "a b =b cancel-a ");
        assert_int_equal(w.dones, 0);

        make(&w, 2, 2);
        w.free_in_done = true;
        add(&list, &at_once, "a");
        executor_run(w.executor, &list);
        assert_log(&w, "a =a done ");
        assert_null(w.executor);
}

static void test_done_runs_the_next_list(void **state) {
        struct actions list = {0};
        struct world w;

        make(&w, 1, 1);
        add(&list, &held, "a");
        add(&w.next, &held, "b");
        executor_run(w.executor, &list);
        end_badly(&w, "a", -EIO);
        assert_int_equal(w.error, -EIO);
        end(&w, "b");
        assert_log(&w, "a !a done b =b done ");
        assert_int_equal(w.error, 0); /* the first list's failure is not the second one's */
        executor_free(w.executor);
}

/* Many actions, every third of which ends inside start(): never more at once than allowed. */
static void test_many_with_a_bound(void **state) {
        struct actions list = {0};
        struct world w;
        unsigned ended = 0;

        make(&w, EXECUTOR_PARALLEL_MAX, EXECUTOR_PARALLEL_MAX);
        for (int stopped = 0; stopped < 2; stopped++) {
                for (unsigned i = 0; i < 1000; i++)
                        add(&list, i % 3 == 0 ? &at_once : &held, "a");
                executor_run(w.executor, &list);
                if (stopped)
                        executor_stop(w.executor);
                for (ended = 0; executor_is_running(w.executor); ended++) {
                        unsigned under_way = 0;

                        for (size_t i = 0; i < RUNNING_MAX; i++)
                                under_way += w.running[i] != NULL;
                        if (!stopped && ended < 600)
                                assert_int_equal(under_way, EXECUTOR_PARALLEL_MAX);
                        w.log[0] = 0;
                        end(&w, "a");
                }
                assert_int_equal(ended, stopped ? EXECUTOR_PARALLEL_MAX : 666);
        }
        assert_int_equal(w.dones, 2);
        executor_free(w.executor);
}

static void test_text(void **state) {
        _cleanup_json_ json_t *pod = json_pack("{s:{s:s, s:s, s:s, s:s}}", "metadata", "namespace",
                        "d", "name", "web", "uid", "u1", "resourceVersion", "7");
        _cleanup_actions_ struct actions list = {0};
        _cleanup_free_ char *text = NULL;

        action_create(&list, "pods", "d",
                        json_pack("{s:{s:s}}", "metadata", "generateName", "web-"));
        action_patch(&list, "pods", pod, "status", json_object());
        action_delete(&list, "pods", pod, -1, NULL);
        action_guard_empty(&list, api_resource_find("pods"), "d");
        action_event(&list, pod, "Normal", "Killing", "stopped %i", 1);
        actions_barrier(&list);
        actions_add(&list, &held, NULL, NULL, "pod-u1.scope", NULL);
        actions_requeue(&list, 5000000);
        actions_requeue(&list, 7000000);
        assert_int_equal(list.requeue_after_us, 5000000);
        text = actions_text(&list);
        assert_string_equal(text,
                        "create pods d/web- {\"metadata\":{\"generateName\":\"web-\"}}\n"
                        "patch pods d/web status {\"metadata\":{\"resourceVersion\":\"7\"}}\n"
                        "delete pods d/web {\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
                        "\"preconditions\":{\"uid\":\"u1\"},\"propagationPolicy\":\"Background\"}\n"
                        "guard-empty pods d/\n"
                        "event events d/web Normal Killing: stopped 1\n"
                        "barrier\n"
                        "held pod-u1.scope\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_slow_start_doubles),
                        cmocka_unit_test(test_barriers_wait_and_are_waited_for),
                        cmocka_unit_test(test_a_failure_drops_the_rest),
                        cmocka_unit_test(test_independent_failures),
                        cmocka_unit_test(test_what_is_fine_is_no_failure),
                        cmocka_unit_test(test_ends_inside_start),
                        cmocka_unit_test(test_turns),
                        cmocka_unit_test(test_stopping),
                        cmocka_unit_test(test_freed_from_outside),
                        cmocka_unit_test(test_freed_from_its_callbacks),
                        cmocka_unit_test(test_done_runs_the_next_list),
                        cmocka_unit_test(test_many_with_a_bound),
                        cmocka_unit_test(test_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
