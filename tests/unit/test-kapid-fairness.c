/* Who is served next, in virtual time. */
#include "tests/unit/unit.h"

#include "kapid/http/fairness.h"

enum { USER_MAX = 2200 };

static struct fairness_ticket tickets[USER_MAX];

static struct fairness_ticket *add(struct fairness *f, const char *flow, unsigned width) {
        for (size_t i = 0; i < ELEMENTS(tickets); i++)
                if (!tickets[i].flow) {
                        assert_int_equal(fairness_enqueue(f, &tickets[i], FAIRNESS_WORKLOAD, flow,
                                                         width, 0),
                                        0);
                        return &tickets[i];
                }
        fail();
        return NULL;
}

static void leave_all(struct fairness *f) {
        for (size_t i = 0; i < ELEMENTS(tickets); i++)
                fairness_leave(f, &tickets[i]);
        assert_int_equal(fairness_queued(f), 0);
        for (unsigned i = 0; i < FAIRNESS_LEVELS; i++) {
                assert_int_equal(fairness_level(f, i)->queued, 0);
                assert_int_equal(fairness_level(f, i)->seats, 0);
        }
}

static void test_levels(void **state) {
        char *const masters[] = {(char *)"system:masters", (char *)"system:authenticated", NULL};
        char *const nodes[] = {(char *)"system:nodes", (char *)"system:authenticated", NULL};
        char *const nobody[] = {(char *)"system:unauthenticated", NULL};
        char *const some[] = {(char *)"system:authenticated", NULL};

        assert_int_equal(fairness_classify("root", masters, "", "pods"), FAIRNESS_EXEMPT);
        assert_int_equal(fairness_classify("system:node:a", nodes, "", "pods"), FAIRNESS_SYSTEM);
        assert_int_equal(fairness_classify("system:kube-scheduler", some, "", "pods"),
                        FAIRNESS_SYSTEM);
        assert_int_equal(fairness_classify("jane", some, "", "pods"), FAIRNESS_WORKLOAD);
        assert_int_equal(fairness_classify("system:serviceaccount:default:x", some, "", "pods"),
                        FAIRNESS_WORKLOAD);
        assert_int_equal(fairness_classify("system:anonymous", nobody, "", ""), FAIRNESS_CATCH_ALL);
}

/* A user with a hundred dear requests; one cheap one of another is next but one. */
static void test_two_users(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        struct fairness_ticket *t, *cheap;

        for (unsigned i = 0; i < 100; i++)
                add(f, "greedy", 1);
        t = fairness_next(f);
        assert_non_null(t);
        cheap = add(f, "modest", 1);
        fairness_charge(f, t, 200000);
        fairness_leave(f, t);
        assert_ptr_equal(fairness_next(f), cheap);
        fairness_charge(f, cheap, 70);
        fairness_leave(f, cheap);
        /* Cheap ones go first for as long as they have cost less. */
        for (unsigned i = 0; i < 20; i++) {
                cheap = add(f, "modest", 1);
                assert_ptr_equal(fairness_next(f), cheap);
                fairness_charge(f, cheap, 70);
                fairness_leave(f, cheap);
        }
        assert_non_null(fairness_next(f));
        leave_all(f);
}

/* Equal users get equal time, whatever the number and cost of their requests. */
static void test_shares(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        static const char *const names[] = {"a", "b", "c"};
        static const uint64_t costs[] = {5000, 500, 50};
        uint64_t spent[3] = {0};
        struct fairness_ticket *owner[3][20];

        for (unsigned i = 0; i < 3; i++)
                for (unsigned j = 0; j < 20; j++)
                        owner[i][j] = add(f, names[i], 1);
        for (unsigned n = 0; n < 20000; n++) {
                struct fairness_ticket *t = fairness_next(f);
                unsigned who = 0;

                assert_non_null(t);
                for (unsigned i = 0; i < 3; i++)
                        for (unsigned j = 0; j < 20; j++)
                                if (owner[i][j] == t)
                                        who = i;
                spent[who] += costs[who];
                fairness_charge(f, t, costs[who]);
                fairness_yield(f, t, 0);
        }
        for (unsigned i = 1; i < 3; i++)
                assert_in_range(spent[i], spent[0] * 95 / 100, spent[0] * 105 / 100);
        leave_all(f);
}

/* Nobody saves up time by being away. */
static void test_pause(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        struct fairness_ticket *a = add(f, "a", 1), *b;
        unsigned late = 0;

        for (unsigned i = 0; i < 1000; i++) {
                assert_ptr_equal(fairness_next(f), a);
                fairness_charge(f, a, 1000);
                fairness_yield(f, a, 0);
        }
        b = add(f, "b", 1);
        for (unsigned i = 0; i < 100; i++) {
                struct fairness_ticket *t = fairness_next(f);

                late += t == b;
                fairness_charge(f, t, 1000);
                fairness_yield(f, t, 0);
        }
        assert_in_range(late, 49, 52);
        leave_all(f);
}

/* A small request waits for one slice of its user's long ones, and those go on beside many small
 * ones. */
static void test_long_and_small(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        struct fairness_ticket *t, *small;
        unsigned slices = 0;

        for (unsigned i = 0; i < 20; i++)
                add(f, "a", 1);
        for (unsigned i = 0; i < 40; i++) {
                t = fairness_next(f);
                fairness_charge(f, t, 1000);
                fairness_yield(f, t, 0);
        }
        for (unsigned i = 0; i < 50; i++) {
                small = add(f, "a", 1);
                t = fairness_next(f);
                if (t != small) {
                        slices++;
                        fairness_yield(f, t, 0);
                        t = fairness_next(f);
                }
                assert_ptr_equal(t, small);
                fairness_leave(f, t);
        }
        assert_in_range(slices, 40, 50);
        leave_all(f);
}

/* One user never takes the last seats; wide requests take several. */
static void test_seats(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        const struct fairness_level_state *l = fairness_level(f, FAIRNESS_WORKLOAD);
        struct fairness_ticket *t;
        unsigned first = 0;

        for (unsigned i = 0; i < 200; i++)
                add(f, "greedy", 10);
        while (fairness_next(f))
                first++;
        assert_in_range(first * 10, l->seats_max / 2 - 20, l->seats_max / 2);
        assert_int_equal(l->seats, first * 10);
        t = add(f, "modest", 10);
        assert_ptr_equal(fairness_next(f), t);
        assert_null(fairness_next(f));
        for (unsigned i = 0; i < 30; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "user%u", i);
                t = add(f, name, 1);
                assert_ptr_equal(fairness_next(f), t);
        }
        /* What is given back is used. */
        first = 0;
        for (size_t i = 0; i < ELEMENTS(tickets) && first < 4; i++)
                if (tickets[i].seated && tickets[i].width == 10) {
                        fairness_leave(f, &tickets[i]);
                        first++;
                }
        assert_non_null(fairness_next(f));
        leave_all(f);
}

static void test_bounds(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        struct fairness_ticket more = {0}, *late;
        const struct fairness_level_state *l = fairness_level(f, FAIRNESS_WORKLOAD);

        for (unsigned i = 0; i < FAIRNESS_FLOW_QUEUE_MAX; i++)
                add(f, "greedy", 1);
        assert_int_equal(fairness_enqueue(f, &more, FAIRNESS_WORKLOAD, "greedy", 1, 0), -EBUSY);
        assert_int_equal(l->rejected, 1);
        assert_int_equal(fairness_enqueue(f, &more, FAIRNESS_WORKLOAD, "modest", 1, 0), 0);
        fairness_leave(f, &more);
        assert_int_equal(fairness_enqueue(f, &more, FAIRNESS_EXEMPT, "root", 1, 0), 0);
        fairness_leave(f, &more);
        assert_null(fairness_overdue(f, FAIRNESS_WAIT_US - 1));
        late = fairness_overdue(f, FAIRNESS_WAIT_US);
        assert_non_null(late);
        assert_int_equal(late->state, TICKET_IDLE);
        leave_all(f);
}

/* Streams take no seats, and one user never has them all. */
static void test_streams(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();
        struct fairness_ticket *t;
        unsigned n = 0;

        while ((t = add(f, "greedy", 1)) && fairness_next(f) && fairness_stream(f, t, 100))
                n++;
        assert_in_range(n, 50, 51);
        t = add(f, "modest", 1);
        assert_non_null(fairness_next(f));
        assert_true(fairness_stream(f, t, 100));
        assert_int_equal(fairness_level(f, FAIRNESS_WORKLOAD)->seats, 1);
        leave_all(f);
}

/* Flows of users who have gone are not kept for ever. */
static void test_many_flows(void **state) {
        _cleanup_(fairness_freep) struct fairness *f = fairness_new();

        for (unsigned i = 0; i < 10000; i++) {
                struct fairness_ticket t = {0}, *next;
                char name[16];

                (void)snprintf(name, sizeof(name), "user%u", i);
                assert_int_equal(fairness_enqueue(f, &t, FAIRNESS_WORKLOAD, name, 1, 0), 0);
                next = fairness_next(f);
                assert_ptr_equal(next, &t);
                fairness_charge(f, &t, 10);
                fairness_leave(f, &t);
                t = (struct fairness_ticket){0};
                /* A user with many requests advances the clock. */
                assert_int_equal(fairness_enqueue(f, &t, FAIRNESS_WORKLOAD, "busy", 1, 0), 0);
                assert_non_null(fairness_next(f));
                fairness_charge(f, &t, 100);
                fairness_leave(f, &t);
        }
        assert_in_range(fairness_flows(f), 1, 2049);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_levels),
                        cmocka_unit_test(test_two_users),
                        cmocka_unit_test(test_shares),
                        cmocka_unit_test(test_pause),
                        cmocka_unit_test(test_long_and_small),
                        cmocka_unit_test(test_seats),
                        cmocka_unit_test(test_bounds),
                        cmocka_unit_test(test_streams),
                        cmocka_unit_test(test_many_flows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
