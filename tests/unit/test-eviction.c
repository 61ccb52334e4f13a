/* Node-pressure eviction and the shutdown of a node, as tables. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "nodeagent/eviction-plan.h"
#include "nodeagent/pod/admission.h"
#include "nodeagent/shutdown.h"

#define MIB (INT64_C(1024) * 1024)
#define S UINT64_C(1000000)

static struct eviction_settings settings(const char *hard, const char *soft, const char *grace) {
        struct eviction_settings s = {.transition_us = 300 * S, .soft_grace_max_s = 20};
        _cleanup_problem_ struct problem p = {0};
        struct eviction_texts t = {.hard = hard, .soft = soft, .soft_grace = grace};

        if (eviction_settings_parse(&s, &t, &p) < 0)
                fail_msg("%s", p.message);
        return s;
}

static void test_settings(void **state) {
        struct eviction_settings s = settings("memory.available<100Mi,nodefs.available<12.5%",
                        "pid.available<1000", "pid.available=1m30s");

        assert_int_equal(s.count, 3);
        assert_int_equal(s.items[0].signal, SIGNAL_MEMORY);
        assert_true(s.items[0].below.value == 100 * MIB && !s.items[0].below.is_part);
        assert_true(s.items[1].below.value == 125000 && s.items[1].below.is_part);
        assert_true(s.items[2].soft && s.items[2].grace_us == 90 * S);
        s = settings("", NULL, NULL);
        assert_int_equal(s.count, 0);
}

static void test_refused_settings(void **state) {
        static const struct {
                struct eviction_texts texts;
                const char *says;
        } cases[] = {{{.hard = "memory<1"}, "'memory' is not a signal"},
                        {{.hard = "memory.available"}, "write SIGNAL<AMOUNT"},
                        {{.hard = "memory.available<-1"}, "is not an amount"},
                        {{.hard = "memory.available<101%"}, "is not an amount"},
                        {{.hard = "memory.available<x%"}, "is not an amount"},
                        {{.hard = "pid.available<1,pid.available<2"}, "given twice"},
                        {{.soft = "pid.available<1"}, "needs a grace period"},
                        {{.soft_grace = "pid.available=1s"}, "no soft threshold"},
                        {{.soft = "pid.available<1", .soft_grace = "pid.available=soon"},
                                        "is not a time"},
                        {{.reclaim = "pid.available=?"}, "is not an amount"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct eviction_settings s = {0};

                assert_int_equal(eviction_settings_parse(&s, &cases[i].texts, &p), -EINVAL);
                if (!strstr(p.message, cases[i].says))
                        fail_msg("'%s' is not in: %s", cases[i].says, p.message);
        }
}

/* One look of a story: the time, what is available, and what must follow. */
struct look {
        uint64_t at_s;
        int64_t memory_mib, disk_percent;
        bool memory_pressure, disk_pressure;
        int due; /* signal; -1: none */
};

static void play(const struct eviction_settings *s, const struct look *looks, size_t n) {
        struct eviction_memory m = {0};

        for (size_t i = 0; i < n; i++) {
                const struct look *l = &looks[i];
                struct eviction_observation seen[EVICTION_SIGNALS] = {
                                [SIGNAL_MEMORY] = {true, l->memory_mib * MIB, 1000 * MIB},
                                [SIGNAL_DISK] = {true, l->disk_percent * MIB, 100 * MIB}};
                struct eviction_verdict v;

                eviction_look(s, &m, seen, (1000 + l->at_s) * S, &v);
                if (v.pressure[PRESSURE_MEMORY] != l->memory_pressure ||
                                v.pressure[PRESSURE_DISK] != l->disk_pressure ||
                                (v.due ? (int)v.due->signal : -1) != l->due)
                        fail_msg("at %d s: memory pressure %d, disk pressure %d, due %d",
                                        (int)l->at_s, v.pressure[PRESSURE_MEMORY],
                                        v.pressure[PRESSURE_DISK], v.due ? (int)v.due->signal : -1);
        }
}

static void test_hard(void **state) {
        struct eviction_settings s =
                        settings("nodefs.available<10%,memory.available<100Mi", NULL, NULL);
        static const struct look looks[] = {{0, 500, 50, false, false, -1},
                        {10, 99, 50, true, false, SIGNAL_MEMORY},
                        {20, 100, 50, true, false, -1},         /* the condition stays ... */
                        {30, 99, 9, true, true, SIGNAL_MEMORY}, /* memory comes first */
                        {40, 500, 9, true, true, SIGNAL_DISK},
                        {329, 500, 50, true, true, -1}, /* ... for five minutes */
                        {330, 500, 50, false, true, -1}, {340, 500, 50, false, false, -1}};

        play(&s, looks, ELEMENTS(looks));
}

static void test_soft(void **state) {
        struct eviction_settings s = settings("", "memory.available<200Mi", "memory.available=30s");
        static const struct look looks[] = {{0, 150, 50, true, false, -1},
                        {29, 150, 50, true, false, -1}, {30, 150, 50, true, false, SIGNAL_MEMORY},
                        {31, 300, 50, true, false, -1}, {32, 150, 50, true, false, -1},
                        {61, 150, 50, true, false, -1}, {62, 150, 50, true, false, SIGNAL_MEMORY}};

        play(&s, looks, ELEMENTS(looks));
}

static void test_reclaim(void **state) {
        struct eviction_settings s = {.transition_us = 300 * S};
        struct eviction_texts t = {
                        .hard = "nodefs.available<10%", .reclaim = "nodefs.available=5%"};
        static const struct look looks[] = {{0, 500, 12, false, false, -1},
                        {1, 500, 9, false, true, SIGNAL_DISK},
                        {2, 500, 14, false, true, SIGNAL_DISK}, {3, 500, 15, false, true, -1},
                        {4, 500, 12, false, true, -1}};

        assert_int_equal(eviction_settings_parse(&s, &t, NULL), 0);
        play(&s, looks, ELEMENTS(looks));
}

static void test_unknown(void **state) {
        struct eviction_settings s = settings("nodefs.inodesFree<5%", NULL, NULL);
        const struct eviction_observation seen[EVICTION_SIGNALS] = {0};
        struct eviction_memory m = {0};
        struct eviction_verdict v;

        eviction_look(&s, &m, seen, 1000 * S, &v);
        assert_null(v.due);
        assert_false(v.pressure[PRESSURE_DISK]);
}

static json_t *pod(const char *uid, int priority, const char *memory) {
        json_t *requests = *memory ? json_pack("{s:s}", "memory", memory) : json_object();

        return json_pack("{s:{s:s, s:s, s:s}, s:{s:i, s:[{s:s, s:{s:o}}]}}", "metadata", "uid", uid,
                        "name", uid, "namespace", "t", "spec", "priority", priority, "containers",
                        "name", "c", "resources", "requests", requests);
}

static void test_rank(void **state) {
        static const struct {
                const char *uid;
                int priority;
                const char *request;
                int64_t mib;
        } rows[] = {{"within", 0, "200Mi", 150}, {"over-high", 1000, "100Mi", 900},
                        {"best-effort", 0, "", 50}, {"over", 0, "100Mi", 190},
                        {"within-low", -5, "200Mi", 199}};
        static const struct {
                enum eviction_signal signal;
                const char *want;
        } cases[] = {{SIGNAL_MEMORY, "over best-effort over-high within-low within "},
                        /* Nobody asks for process ids. */
                        {SIGNAL_PIDS, "within-low over within best-effort over-high "}};

        for (size_t k = 0; k < ELEMENTS(cases); k++) {
                struct eviction_pod pods[ELEMENTS(rows)] = {0};
                char got[200] = "";

                for (size_t i = 0; i < ELEMENTS(rows); i++) {
                        pods[i].object = pod(rows[i].uid, rows[i].priority, rows[i].request);
                        pods[i].usage = rows[i].mib * MIB;
                        eviction_pod_rate(&pods[i], cases[k].signal);
                }
                eviction_rank(pods, ELEMENTS(pods), cases[k].signal);
                for (size_t i = 0; i < ELEMENTS(pods); i++) {
                        strcat(strcat(got, object_uid(pods[i].object)), " ");
                        json_decref(json_unconst(pods[i].object));
                }
                assert_string_equal(got, cases[k].want);
        }
}

static void test_message(void **state) {
        struct eviction_settings s = settings("memory.available<10%", NULL, NULL);
        _cleanup_json_ json_t *object = pod("u", 0, "64Mi"),
                              *containers = json_pack("{s:I}", "c", (json_int_t)(200 * MIB));
        struct eviction_pod p = {.object = object, .containers = containers, .usage = 200 * MIB};
        struct eviction_observation seen = {true, 50 * MIB, 1000 * MIB};
        _cleanup_free_ char *text = eviction_message(&p, &s.items[0], &seen);

        assert_string_equal(text,
                        "The node was low on resource: memory. Threshold quantity: 100Mi, "
                        "available: 50Mi. Container c was using 200Mi, request is 64Mi, has larger "
                        "consumption of memory. ");
        assert_int_equal(eviction_grace_s(&s, &s.items[0], object), 1);
        s.items[0].soft = true;
        s.soft_grace_max_s = 20;
        assert_int_equal(eviction_grace_s(&s, &s.items[0], object), 20);
}

/* What a node under pressure takes. */
static void test_admission(void **state) {
        static const struct {
                unsigned pressures;
                int priority;
                const char *memory;
                bool shutting_down;
                const char *reason; /* NULL: it is taken */
        } cases[] = {{0, 0, "", false, NULL}, {1U << PRESSURE_MEMORY, 0, "", false, "Evicted"},
                        {1U << PRESSURE_MEMORY, 0, "1Mi", false, NULL},
                        {1U << PRESSURE_DISK, 0, "1Mi", false, "Evicted"},
                        {1U << PRESSURE_DISK, 2000000000, "", false, NULL},
                        {1U << PRESSURE_MEMORY | 1U << PRESSURE_PIDS, 0, "1Mi", false, "Evicted"},
                        {0, 2000000000, "", true, "NodeShutdown"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *object = pod("u", cases[i].priority, cases[i].memory);
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(pod_admit(object, NULL, cases[i].pressures, cases[i].shutting_down,
                                                 &p),
                                cases[i].reason ? -EPERM : 0);
                if (cases[i].reason)
                        assert_string_equal(p.reason, cases[i].reason);
        }
}

static void test_shutdown(void **state) {
        static const struct {
                uint64_t at_s;
                bool ordinary, any, reported;
                enum shutdown_stage from, to;
                bool in_touch;
        } cases[] = {{1, true, true, false, SHUTDOWN_ASKING, SHUTDOWN_ASKING},
                        {1, true, true, false, SHUTDOWN_ASKING, SHUTDOWN_ORDINARY,
                                        .in_touch = true},
                        {2, true, true, false, SHUTDOWN_ASKING, SHUTDOWN_ORDINARY},
                        {0, true, true, false, SHUTDOWN_ORDINARY, SHUTDOWN_ORDINARY},
                        {19, true, true, false, SHUTDOWN_ORDINARY, SHUTDOWN_ORDINARY},
                        {20, true, true, false, SHUTDOWN_ORDINARY, SHUTDOWN_CRITICAL},
                        {3, false, true, false, SHUTDOWN_ORDINARY, SHUTDOWN_CRITICAL},
                        {29, true, true, true, SHUTDOWN_CRITICAL, SHUTDOWN_CRITICAL},
                        {30, true, true, true, SHUTDOWN_CRITICAL, SHUTDOWN_REPORTING},
                        {4, false, false, true, SHUTDOWN_CRITICAL, SHUTDOWN_REPORTING},
                        {5, false, false, false, SHUTDOWN_REPORTING, SHUTDOWN_REPORTING},
                        {5, false, false, true, SHUTDOWN_REPORTING, SHUTDOWN_DONE},
                        {32, false, false, false, SHUTDOWN_REPORTING, SHUTDOWN_DONE},
                        {99, true, true, false, SHUTDOWN_DONE, SHUTDOWN_DONE},
                        {99, true, true, true, SHUTDOWN_OFF, SHUTDOWN_OFF}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct shutdown_view v = {.since_us = 1000 * S,
                                .total_us = 30 * S,
                                .critical_us = 10 * S,
                                .in_touch = cases[i].in_touch,
                                .ordinary_runs = cases[i].ordinary,
                                .any_runs = cases[i].any,
                                .reported = cases[i].reported};

                assert_int_equal(shutdown_next(cases[i].from, &v, (1000 + cases[i].at_s) * S),
                                cases[i].to);
        }
        assert_true(shutdown_delay_us(30 * S) > 32 * S);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_settings),
                        cmocka_unit_test(test_refused_settings), cmocka_unit_test(test_hard),
                        cmocka_unit_test(test_soft), cmocka_unit_test(test_reclaim),
                        cmocka_unit_test(test_unknown), cmocka_unit_test(test_rank),
                        cmocka_unit_test(test_message), cmocka_unit_test(test_admission),
                        cmocka_unit_test(test_shutdown)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
