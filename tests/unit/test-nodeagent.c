/* The agent's other pure parts: container records and pod status, node status, addresses, probes,
 * log requests, sealing. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/wait.h>

#include "lib/crypto.h"
#include "lib/object.h"
#include "nodeagent/network/ipam.h"
#include "nodeagent/network/node-address.h"
#include "nodeagent/logs/logs.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/admission.h"
#include "nodeagent/pod/probes.h"
#include "nodeagent/pod/status.h"
#include "nodeagent/runtime/systemd.h"
#include "lib/fileio.h"
#include "nodeagent/statedir.h"

/* As the agent does it: what systemd says, in neutral terms. */
static bool observe(struct container_record *c, const struct unit_state *unit, uint64_t now_us) {
        struct run_state s;

        if (unit)
                systemd_run_state(unit, NULL, &s);
        return container_observe(c, unit ? &s : NULL, now_us);
}

static struct unit_state running(const char *invocation, uint32_t restarts, uint64_t start_us) {
        struct unit_state s = {.active = "active",
                        .sub = "running",
                        .result = "success",
                        .main_pid = 42,
                        .restarts = restarts,
                        .start_us = start_us,
                        .known = true};
        snprintf(s.invocation, sizeof(s.invocation), "%s", invocation);
        return s;
}

static struct unit_state ended(
                const char *invocation, const char *active, const char *sub, int code, int status) {
        struct unit_state s = {.result = "exit-code",
                        .exec_code = code,
                        .exec_status = status,
                        .start_us = 5000000,
                        .exit_us = 6000000,
                        .known = true};
        snprintf(s.invocation, sizeof(s.invocation), "%s", invocation);
        snprintf(s.active, sizeof(s.active), "%s", active);
        snprintf(s.sub, sizeof(s.sub), "%s", sub);
        return s;
}

static struct container_record fresh(const char *name) {
        struct container_record c = {.name = strdup(name)};
        (void)container_set_waiting(&c, "ContainerCreating", NULL);
        return c;
}

static void test_restart_counts(void **state) {
        struct container_record c = fresh("c");
        struct unit_state a = running("a", 0, 1),
                          crash = ended("a", "activating", "auto-restart", CLD_EXITED, 3);
        struct unit_state b = running("b", 1, 7000000), far = running("z", 4, 8000000),
                          manual = running("m", 0, 9000000);

        assert_true(observe(&c, &a, 1));
        assert_int_equal(c.phase, CONTAINER_RUNNING);
        assert_int_equal(c.restart_count, 0);
        assert_false(observe(&c, &a, 2));
        assert_true(observe(&c, &crash, 3));
        assert_int_equal(c.phase, CONTAINER_WAITING);
        assert_string_equal(c.reason, "CrashLoopBackOff");
        assert_int_equal(json_int_or(c.last, "exitCode", -1), 3);
        /* A process that is not the program yet is not running. */
        snprintf(b.active, sizeof(b.active), "activating");
        snprintf(b.sub, sizeof(b.sub), "start");
        (void)observe(&c, &b, 4);
        assert_int_equal(c.phase, CONTAINER_WAITING);
        b = running("b", 1, 7000000);
        assert_true(observe(&c, &b, 4));
        assert_int_equal(c.restart_count, 1);
        /* Three more while the agent was away; then a manual restart, which sets systemd's counter
         * back. */
        assert_true(observe(&c, &far, 5));
        assert_int_equal(c.restart_count, 4);
        assert_true(observe(&c, &manual, 6));
        assert_int_equal(c.restart_count, 5);
        container_record_done(&c);
}

static struct unit_state with_restarts(struct unit_state s, uint32_t restarts) {
        s.restarts = restarts;
        return s;
}

/* systemd reads the end of a short run before it reads that the program was executed: such a run is
 * never seen to run. Its end is its own, not the one of the run before. */
static void test_short_runs(void **state) {
        struct container_record c = fresh("i");
        struct unit_state starts_b = {.active = "activating",
                                          .sub = "start",
                                          .invocation = "b",
                                          .restarts = 1,
                                          .known = true},
                          starts_a = with_restarts(starts_b, 0), a, b, again;

        starts_a.invocation[0] = 'a';
        a = ended("a", "activating", "auto-restart", CLD_EXITED, 3);
        (void)observe(&c, &starts_a, 1);
        assert_true(observe(&c, &a, 2));
        assert_string_equal(c.reason, "CrashLoopBackOff");
        assert_int_equal(json_int_or(c.last, "exitCode", -1), 3);
        assert_string_equal(json_str_or(c.last, "containerID", ""), "systemd://a");
        assert_false(observe(&c, &a, 3));
        /* The second one succeeds. */
        b = with_restarts(ended("b", "active", "exited", CLD_EXITED, 0), 1);
        (void)observe(&c, &starts_b, 4);
        assert_int_equal(c.phase, CONTAINER_WAITING);
        assert_true(observe(&c, &b, 5));
        assert_int_equal(c.phase, CONTAINER_TERMINATED);
        assert_string_equal(c.reason, "Completed");
        assert_int_equal(c.exit_code, 0);
        assert_int_equal(c.restart_count, 1);
        assert_int_equal(json_int_or(c.last, "exitCode", -1), 3);
        assert_false(observe(&c, &b, 6));
        container_record_done(&c);
        /* Or fails, too. */
        c = fresh("i");
        again = with_restarts(ended("b", "activating", "auto-restart", CLD_EXITED, 5), 1);
        (void)observe(&c, &starts_a, 1);
        (void)observe(&c, &a, 2);
        (void)observe(&c, &starts_b, 3);
        assert_true(observe(&c, &again, 4));
        assert_int_equal(c.phase, CONTAINER_WAITING);
        assert_int_equal(json_int_or(c.last, "exitCode", -1), 5);
        assert_string_equal(json_str_or(c.last, "containerID", ""), "systemd://b");
        assert_int_equal(c.restart_count, 1);
        assert_false(observe(&c, &again, 5));
        /* The pause for which the agent keeps an ended run does not end by looking at it again. */
        b = with_restarts(ended("c", "failed", "failed", CLD_EXITED, 6), 2);
        assert_true(observe(&c, &b, 6));
        assert_int_equal(c.phase, CONTAINER_TERMINATED);
        container_back_off(&c, "back-off");
        assert_false(observe(&c, &b, 7));
        assert_int_equal(c.phase, CONTAINER_WAITING);
        assert_int_equal(json_int_or(c.last, "exitCode", -1), 6);
        container_record_done(&c);
}

/* The runtime counts a restart a moment before it begins the run; some runs are not seen at all. */
static void test_restarts_ahead(void **state) {
        static const struct {
                const char *what;
                struct {
                        const char *id;
                        uint32_t restarts;
                        bool waits; /* it has ended, and systemd is about to start the next one */
                } seen[4];
                uint32_t count;
        } cases[] = {{"the first run is seen when it has ended", {{"a", 1, true},
                                         {"b", 1, false}}, 1},
                        {"the first run is not seen", {{"b", 1, true}, {"c", 2, false}}, 2},
                        {"all are seen", {{"a", 0, false}, {"a", 1, true}, {"b", 1, false}}, 1},
                        {"the end of another run is", {{"a", 0, false}, {"b", 2, true},
                                         {"c", 2, false}}, 2},
                        {"also before the next one is counted", {{"a", 0, false}, {"b", 1, true},
                                         {"c", 2, false}}, 2},
                        {"one is missed", {{"a", 0, false}, {"c", 2, true}, {"d", 3, false}}, 3},
                        {"made again", {{"a", 1, false}, {"b", 1, true}, {"c", 1, false}}, 3}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct container_record c = fresh("c");

                for (size_t k = 0; k < ELEMENTS(cases[i].seen) && cases[i].seen[k].id; k++) {
                        const char *id = cases[i].seen[k].id;
                        uint32_t n = cases[i].seen[k].restarts;
                        struct unit_state ends = ended(id, "activating", "auto-restart", CLD_EXITED,
                                                          1),
                                          runs = running(id, n, k + 1);

                        ends.restarts = n;
                        (void)observe(&c, cases[i].seen[k].waits ? &ends : &runs, k + 1);
                }
                if (c.restart_count != cases[i].count)
                        fail_msg("%s: %u instead of %u", cases[i].what, c.restart_count,
                                        cases[i].count);
                container_record_done(&c);
        }
}

/* A start that ended before the program, because the mounts could not be made: no run. */
static void test_unmade(void **state) {
        struct container_record c = fresh("i"), d = fresh("i");
        struct unit_state a = running("a", 0, 1),
                          ends = ended("a", "activating", "auto-restart", CLD_EXITED, 1),
                          unmade = with_restarts(ended("b", "activating", "auto-restart",
                                                                 CLD_EXITED, 226), 1),
                          b = with_restarts(ended("c", "active", "exited", CLD_EXITED, 0), 2);
        _cleanup_json_ json_t *saved = NULL;

        (void)observe(&c, &a, 1);
        c.report = (struct start_report){.ran = true, .invocation = "a"};
        (void)observe(&c, &ends, 2);
        assert_true(observe(&c, &unmade, 3));
        assert_string_equal(json_str_or(c.last, "reason", ""), "StartError");
        assert_int_equal(c.restart_count, 1);
        assert_false(observe(&c, &unmade, 4));
        saved = container_record_save(&c);
        container_record_load(&d, saved);
        d.report = (struct start_report){.ran = true, .invocation = "c"};
        assert_true(observe(&d, &b, 5));
        assert_int_equal(d.restart_count, 1);
        assert_int_equal(d.exit_code, 0);
        container_record_done(&c);
        container_record_done(&d);
}

/* With restartPolicy Never it is tried again, too, but not for ever. */
static void test_unmade_never(void **state) {
        struct container_record c = fresh("c");
        struct unit_state a = ended("a", "failed", "failed", CLD_EXITED, 226), b = a, own = a;

        c.never = true;
        for (size_t i = 0; i < 2; i++) {
                assert_true(observe(&c, &a, 1));
                assert_int_equal(c.phase, CONTAINER_WAITING);
                assert_string_equal(c.reason, "CreateContainerError");
                assert_non_null(strstr(c.message, "226/NAMESPACE"));
                assert_null(c.last);
                assert_false(observe(&c, &a, 2));
                (void)observe(&c, NULL, 3);
                a.invocation[0]++;
        }
        assert_int_equal(c.restart_count, 0);
        b.invocation[0] = 'x';
        assert_true(observe(&c, &b, 4));
        assert_int_equal(c.phase, CONTAINER_TERMINATED);
        assert_string_equal(c.reason, "StartError");
        container_record_done(&c);
        /* A program's own exit code is its end. */
        c = fresh("c");
        c.never = true;
        c.report = (struct start_report){.ran = true, .invocation = "a"};
        assert_true(observe(&c, &own, 1));
        assert_int_equal(c.phase, CONTAINER_TERMINATED);
        assert_string_equal(c.reason, "Error");
        container_record_done(&c);
}

static void test_ends(void **state) {
        static const struct {
                int code, status;
                const char *result, *reason;
                int exit_code;
        } cases[] = {{CLD_EXITED, 0, "success", "Completed", 0},
                        {CLD_EXITED, 2, "exit-code", "Error", 2},
                        {CLD_KILLED, SIGKILL, "oom-kill", "OOMKilled", 137},
                        {CLD_EXITED, 203, "exit-code", "StartError", 203},
                        {CLD_DUMPED, SIGABRT, "watchdog", "WatchdogTimeout", 134}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct container_record c = fresh("c");
                struct unit_state a = running("a", 0, 5000000),
                                  e = ended("a", "failed", "failed", cases[i].code,
                                                  cases[i].status);

                snprintf(e.result, sizeof(e.result), "%s", cases[i].result);
                (void)observe(&c, &a, 1);
                assert_true(observe(&c, &e, 2));
                assert_int_equal(c.phase, CONTAINER_TERMINATED);
                assert_string_equal(c.reason, cases[i].reason);
                assert_int_equal(c.exit_code, cases[i].exit_code);
                container_record_done(&c);
        }
}

static void report(struct container_record *c, const char *text) {
        start_report_parse(text, strlen(text), &c->report);
}

/* A program's exit codes are its own; kpod-exec and systemd say otherwise when they could not start
 * it. */
static void test_start_reports(void **state) {
#define ID "0123456789abcdef0123456789abcdef"
        static const struct {
                const char *text;
                int status;
                const char *reason, *message;
        } cases[] = {{"ran " ID "\n", 203, "Error", NULL}, {"ran " ID "\n", 226, "Error", NULL},
                        {"ran " ID "\n", 0, "Completed", NULL},
                        {"error " ID " cannot be executed \"x\"\n", 128, "StartError",
                                        "cannot be executed \"x\""},
                        {"ran ffffffffffffffffffffffffffffffff\n", 203, "StartError",
                                        "the command cannot be executed: is it there, and "
                                        "executable? (203/EXEC)"},
                        {"", 128, "Error", NULL}, {"ran " ID, 128, "Error", NULL},
                        {"error " ID " \xff\n", 128, "Error", NULL},
                        {"error 0123 x\n", 128, "Error", NULL}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct container_record c = fresh("c");
                struct unit_state a = running(ID, 0, 5000000),
                                  e = ended(ID, "failed", "failed", CLD_EXITED, cases[i].status);

                (void)observe(&c, &a, 1);
                report(&c, cases[i].text);
                (void)observe(&c, &e, 2);
                assert_string_equal(c.reason, cases[i].reason);
                assert_int_equal(c.exit_code, cases[i].status);
                if (cases[i].message)
                        assert_string_equal(c.message, cases[i].message);
                else
                        assert_null(c.message);
                container_record_done(&c);
        }
#undef ID
}

static void test_long_report(void **state) {
        struct start_report r;
        char text[2000] = "error 0123456789abcdef0123456789abcdef ";

        for (size_t n = strlen(text); n + 3 < sizeof(text); n += 2)
                memcpy(text + n, "\xc3\xa9", 3);
        text[strlen(text) - 1] = 0;
        text[strlen(text) - 1] = '\n';
        start_report_parse(text, strlen(text), &r);
        assert_true(r.message[0] != 0);
        assert_true(utf8_is_valid(r.message, strlen(r.message)));
}

static void test_last_words(void **state) {
        struct container_record c = fresh("c");
        struct unit_state a = running("a", 0, 5000000),
                          e = ended("a", "failed", "failed", CLD_EXITED, 2);

        (void)observe(&c, &a, 1);
        c.last_words = strdup("no disk");
        (void)observe(&c, &e, 2);
        assert_string_equal(c.message, "no disk");
        container_record_done(&c);
}

static void test_record_survives(void **state) {
        struct container_record c = fresh("c"), d = fresh("c");
        struct unit_state a = running("a", 2, 5000000), b = running("b", 3, 6000000);
        _cleanup_json_ json_t *saved = NULL;

        (void)observe(&c, &a, 1);
        saved = container_record_save(&c);
        container_record_load(&d, saved);
        assert_int_equal(d.phase, CONTAINER_RUNNING);
        assert_int_equal(d.restart_count, 2);
        assert_false(observe(&d, &a, 2));
        assert_true(observe(&d, &b, 2));
        assert_int_equal(d.restart_count, 3);
        /* Gone with the machine. */
        assert_true(observe(&d, NULL, 3));
        assert_string_equal(d.reason, "ContainerStatusUnknown");
        container_record_done(&c);
        container_record_done(&d);
}

static void test_phases(void **state) {
        static const struct {
                const char *policy, *phase;
                int init; /* -1: none, else its exit code; 100: running */
                int a, b; /* exit codes; 100 running, 101 waiting, 102 crash loop */
        } cases[] = {{"Always", "Pending", -1, 101, 101}, {"Always", "Running", -1, 100, 101},
                        {"Always", "Pending", 100, 101, 101}, {"Never", "Failed", 1, 101, 101},
                        {"OnFailure", "Pending", 1, 101, 101}, {"Never", "Succeeded", 0, 0, 0},
                        {"Never", "Failed", -1, 0, 1}, {"OnFailure", "Running", -1, 0, 1},
                        {"Always", "Running", -1, 0, 0}, {"Always", "Running", -1, 102, 101},
                        {"Always", "Running", -1, 102, 100}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *pod =
                                json_pack("{s:{s:s}}", "spec", "restartPolicy", cases[i].policy);
                struct container_record c[3] = {fresh("i"), fresh("a"), fresh("b")};
                const int codes[] = {cases[i].init, cases[i].a, cases[i].b};
                struct status_facts f = {0};
                size_t first = cases[i].init < 0;

                c[0].init = true;
                for (size_t k = 0; k < 3; k++) {
                        if (codes[k] == 100)
                                c[k].phase = CONTAINER_RUNNING;
                        else if (codes[k] == 102)
                                c[k].last = json_object();
                        else if (codes[k] != 101) {
                                c[k].phase = CONTAINER_TERMINATED;
                                c[k].exit_code = codes[k];
                        }
                }
                assert_string_equal(status_phase(pod, c + first, 3 - first, &f), cases[i].phase);
                f.failed_reason = "DeadlineExceeded";
                assert_string_equal(status_phase(pod, c + first, 3 - first, &f), "Failed");
                for (size_t k = 0; k < 3; k++)
                        container_record_done(&c[k]);
        }
}

static void test_status(void **state) {
        static const char text[] =
                        "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"/srv/"
                        "x\"}]},\"status\":{\"conditions\":["
                        "{\"type\":\"PodScheduled\",\"status\":\"True\"},{\"type\":\"Ready\","
                        "\"status\":\"True\",\"lastTransitionTime\":\"2020-01-01T00:00:00Z\"}]}}";
        struct container_record c = fresh("a");
        struct unit_state a = running("a", 0, 1000000);
        struct status_facts f = {.host_ip = "192.0.2.1",
                        .pod_ip = "10.244.1.7",
                        .pod_ip6 = "fd00:244:1::7",
                        .start_us = 1000000,
                        .now_us = 2000000,
                        .sandbox_ready = true};
        json_t *pod;
        _cleanup_json_ json_t *v = NULL, *w = NULL, *wrap = NULL;

        assert_int_equal(json_parse(text, strlen(text), 0, &pod, NULL), 0);
        (void)observe(&c, &a, 1);
        v = status_build(pod, &c, 1, &f);
        wrap = json_pack("{s:O}", "status", v);
        assert_string_equal(json_str(v, "phase"), "Running");
        assert_string_equal(json_str(v, "podIP"), "10.244.1.7");
        assert_int_equal(json_array_size(json_at(v, "podIPs")), 2);
        assert_string_equal(json_str(json_array_get(json_at(v, "podIPs"), 1), "ip"), "fd00:244:1::7");
        assert_int_equal(json_array_size(json_at(v, "hostIPs")), 1);
        assert_false(object_condition_true(wrap, "Ready"));
        assert_true(object_condition_true(wrap, "PodScheduled"));
        assert_string_equal(json_str(object_condition(wrap, "Ready"), "message"),
                        "containers with unready status: [a]");
        c.ready = c.started = true;
        w = status_build(pod, &c, 1, &f);
        json_object_set(wrap, "status", w);
        assert_true(object_condition_true(wrap, "Ready"));
        /* The time of the last change is that of the change. */
        assert_string_equal(json_str(object_condition(wrap, "Ready"), "lastTransitionTime"),
                        "2020-01-01T00:00:00Z");
        assert_string_equal(json_str(json_array_get(json_at(w, "containerStatuses"), 0), "image"),
                        "/srv/x");
        json_decref(pod);
        container_record_done(&c);
}

static void test_node_status(void **state) {
        struct node_facts f = {.name = "n1",
                        .address = "192.0.2.1",
                        .address6 = "fd00::1",
                        .pods_max = 500,
                        .cpu_milli = 2000,
                        .memory_bytes = INT64_C(1) << 30,
                        .disk_bytes = 1000000,
                        .machine_id = "m",
                        .boot_id = "b",
                        .kernel = "k",
                        .os_image = "o",
                        .architecture = "amd64",
                        .runtime = "systemd://252",
                        .version = "v1",
                        .now_us = 1000000};
        _cleanup_json_ json_t *a = node_status(NULL, &f), *old = json_pack("{s:O}", "status", a),
                              *b = NULL, *c = NULL;

        assert_string_equal(json_str(a, "capacity.cpu"), "2");
        assert_string_equal(json_str(a, "capacity.memory"), "1048576Ki");
        assert_string_equal(json_str(a, "capacity.pods"), "500");
        assert_int_equal(json_array_size(json_at(a, "addresses")), 3);
        assert_string_equal(json_str(json_array_get(json_at(a, "addresses"), 1), "type"), "InternalIP");
        assert_string_equal(json_str(json_array_get(json_at(a, "addresses"), 1), "address"), "fd00::1");
        assert_true(object_condition_true(old, "Ready"));
        f.now_us = 99000000;
        b = node_status(old, &f);
        assert_false(node_status_differs(a, b));
        f.pressure[PRESSURE_DISK] = true;
        f.shutting_down = true;
        c = json_pack("{s:o}", "status", node_status(old, &f));
        assert_true(node_status_differs(a, json_at(c, "status")));
        assert_true(object_condition_true(c, "DiskPressure"));
        assert_false(object_condition_true(c, "MemoryPressure"));
        assert_false(object_condition_true(c, "Ready"));
        assert_string_equal(
                        json_str(object_condition(c, "Ready"), "message"), "node is shutting down");
}

static void test_ipam(void **state) {
        _cleanup_(ipam_freep) struct ipam *i = NULL;
        char a[ADDRESS_TEXT_SIZE], first[ADDRESS_TEXT_SIZE];

        assert_int_equal(ipam_new(&i, "10.0.0.0/8"), -EINVAL);
        assert_int_equal(ipam_new(&i, "10.244.3.0"), -EINVAL);
        assert_int_equal(ipam_new(&i, "10.244.3.0/29"), 0);
        assert_string_equal(ipam_gateway(i, FAMILY_IPV4), "10.244.3.1");
        assert_string_equal(ipam_gateway(i, FAMILY_IPV6), "");
        assert_int_equal(ipam_size(i), 5);
        assert_int_equal(ipam_reserve(i, "10.244.3.3"), 0);
        assert_int_equal(ipam_reserve(i, "10.244.3.3"), -EADDRINUSE);
        assert_int_equal(ipam_reserve(i, "10.244.4.3"), -EADDRNOTAVAIL);
        assert_int_equal(ipam_reserve(i, "10.244.3.1"), -EADDRNOTAVAIL);
        assert_int_equal(ipam_take(i, first), 0);
        assert_string_equal(first, "10.244.3.4");
        ipam_release(i, first);
        /* A freed address rests. */
        assert_int_equal(ipam_take(i, a), 0);
        assert_string_equal(a, "10.244.3.5");
        assert_int_equal(ipam_take(i, a), 0);
        assert_string_equal(a, "10.244.3.6");
        assert_int_equal(ipam_take(i, a), 0);
        assert_string_equal(a, "10.244.3.2");
        assert_int_equal(ipam_take(i, a), 0);
        assert_string_equal(a, "10.244.3.4");
        assert_int_equal(ipam_take(i, a), -ENOSPC);
}

/* A pod has the same place in both ranges; a range of IPv6 may come later. */
/* The only range is of IPv6. */
static void test_ipam_six(void **state) {
        _cleanup_(ipam_freep) struct ipam *i = NULL, *small = NULL;
        char a[ADDRESS_TEXT_SIZE], second[ADDRESS_TEXT_SIZE];

        assert_int_equal(ipam_new(&i, "fd00:10:244:1::/64,10.244.3.0/24"), -EINVAL);
        assert_int_equal(ipam_new(&i, "fd00:10:244:1::/127"), -EINVAL);
        assert_int_equal(ipam_new(&i, "fd00:10:244:1::/64"), 0);
        assert_string_equal(ipam_ranges(i), "fd00:10:244:1::/64");
        assert_string_equal(ipam_cidr(i, FAMILY_IPV4), "");
        assert_string_equal(ipam_gateway(i, FAMILY_IPV6), "fd00:10:244:1::1");
        assert_int_equal(ipam_size(i), 65533);
        assert_int_equal(ipam_take(i, a), 0);
        assert_string_equal(a, "fd00:10:244:1::2");
        assert_string_equal(ipam_second(i, a, second), "");
        assert_int_equal(ipam_reserve(i, a), -EADDRINUSE);
        assert_int_equal(ipam_reserve(i, "fd00:10:244:1::ffff"), -EADDRNOTAVAIL);
        assert_int_equal(ipam_reserve(i, "fd00:10:244:1::fffe"), 0);
        assert_int_equal(ipam_reserve(i, "fd00:10:244:1::1:2"), -EADDRNOTAVAIL);
        assert_int_equal(ipam_reserve(i, "fd00:10:244:1:1::2"), -EADDRNOTAVAIL);
        assert_int_equal(ipam_reserve(i, "10.244.3.2"), -EADDRNOTAVAIL);
        ipam_release(i, a);
        assert_int_equal(ipam_reserve(i, a), 0);
        assert_int_equal(ipam_extend(i, "fd00:10:244:1::/64"), 0);
        assert_int_equal(ipam_extend(i, "fd00:10:244:2::/64"), -EINVAL);
        assert_int_equal(ipam_new(&small, "fd00:10:244:1::/126"), 0);
        assert_int_equal(ipam_size(small), 1);
}

static void test_ipam_dual(void **state) {
        static const char *const bad[] = {"fd00::/127", "fd00::/64,10.244.3.0/24",
                        "10.244.2.0/23,fd00::/120", "10.244.3.0/24,10.244.4.0/24",
                        "10.244.3.0/24,fd00::/64,fd01::/64"};
        _cleanup_(ipam_freep) struct ipam *i = NULL, *late = NULL;
        char a[ADDRESS_TEXT_SIZE], six[ADDRESS_TEXT_SIZE];

        for (size_t k = 0; k < ELEMENTS(bad); k++)
                assert_int_equal(ipam_new(&i, bad[k]), -EINVAL);
        assert_int_equal(ipam_new(&i, "10.244.2.0/23,fd00:10:244:1::/64"), 0);
        assert_string_equal(ipam_ranges(i), "10.244.2.0/23,fd00:10:244:1::/64");
        assert_string_equal(ipam_cidr(i, FAMILY_IPV6), "fd00:10:244:1::/64");
        assert_string_equal(ipam_gateway(i, FAMILY_IPV6), "fd00:10:244:1::1");
        assert_int_equal(ipam_size(i), 509);
        for (int k = 0; k < 300; k++)
                assert_int_equal(ipam_take(i, a), 0);
        assert_string_equal(a, "10.244.3.45");
        assert_string_equal(ipam_second(i, a, six), "fd00:10:244:1::12d");
        assert_string_equal(ipam_second(i, "10.244.4.1", six), "");
        assert_int_equal(ipam_extend(i, "10.244.2.0/23"), 0);
        assert_int_equal(ipam_extend(i, "10.244.2.0/23,fd00:10:244:2::/64"), -EINVAL);
        assert_int_equal(ipam_extend(i, "10.244.4.0/23"), -EINVAL);

        assert_int_equal(ipam_new(&late, "10.244.3.0/24"), 0);
        assert_int_equal(ipam_take(late, a), 0);
        assert_string_equal(ipam_second(late, a, six), "");
        assert_int_equal(ipam_extend(late, "10.244.3.0/24,fd00:10:244:2::/64"), 1);
        assert_string_equal(ipam_second(late, a, six), "fd00:10:244:2::2");
        assert_int_equal(ipam_reserve(late, a), -EADDRINUSE);
}

static void test_node_addresses(void **state) {
        static const struct {
                const char *text, *four, *six, *back;
        } cases[] = {
                        {"10.98.0.12", "10.98.0.12", "", "10.98.0.12"},
                        {"10.98.0.12,fd00:98:0::12", "10.98.0.12", "fd00:98::12",
                                        "10.98.0.12,fd00:98::12"},
                        {"fd00:98::12,10.98.0.12", "10.98.0.12", "fd00:98::12",
                                        "10.98.0.12,fd00:98::12"},
                        {"fd00:98::12", "", "fd00:98::12", "fd00:98::12"},
                        {"name,10.98.0.12,10.98.0.13,", "10.98.0.12", "", "10.98.0.12"},
                        {"", "", "", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct node_addresses a = node_addresses_read(cases[i].text);
                _cleanup_free_ char *back = node_addresses_text(&a);

                assert_string_equal(a.text[FAMILY_IPV4], cases[i].four);
                assert_string_equal(a.text[FAMILY_IPV6], cases[i].six);
                assert_string_equal(back, cases[i].back);
        }
}

/* As many pods as the range has room for. */
static void test_pods_max(void **state) {
        static const struct {
                uint32_t addresses;
                int64_t pods;
        } cases[] = {{0, 250}, {13, 13}, {125, 125}, {253, 250}, {509, 500}, {1021, 1000},
                        {65533, 4000}};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(node_pods_max(cases[i].addresses), cases[i].pods);
}

static void test_probe_parts(void **state) {
        _cleanup_json_ json_t *container = json_pack(
                        "{s:[{s:s, s:i}]}", "ports", "name", "web", "containerPort", 8080);
        _cleanup_json_ json_t *named = json_string("web"), *number = json_integer(99),
                              *wrong = json_string("none");
        _cleanup_json_ json_t *get = json_pack("{s:s, s:[{s:s, s:s}, {s:s, s:s}]}", "path", "ok",
                        "httpHeaders", "name", "Host", "value", "h", "name", "X-A", "value", "b");
        _cleanup_free_ char *request = probe_http_request(get, "10.0.0.1", 80);
        struct probe_counter c = {.success_needed = 2, .failure_needed = 2};

        assert_int_equal(probe_port(named, container), 8080);
        assert_int_equal(probe_port(number, container), 99);
        assert_int_equal(probe_port(wrong, container), 0);
        assert_non_null(strstr(request, "GET /ok HTTP/1.1\r\nHost: h\r\nX-A: b\r\n"));
        assert_int_equal(probe_http_status("HTTP/1.1 204 x", 14), 204);
        assert_int_equal(probe_http_status("HTTP/1.1", 8), 0);
        assert_int_equal(probe_http_status("SSH-2.0-x", 9), -EBADMSG);
        assert_int_equal(probe_count(&c, true), 0);
        assert_int_equal(probe_count(&c, true), 1);
        assert_true(c.passed);
        assert_int_equal(probe_count(&c, false), 0);
        assert_int_equal(probe_count(&c, true), 0);
        assert_int_equal(probe_count(&c, false), 0);
        assert_int_equal(probe_count(&c, false), 1);
        assert_false(c.passed);
}

static void test_log_requests(void **state) {
        static const char *const bad[] = {"", "bash", "logs a b c", "logs a b c d follow extra",
                        "logs a b c d tail=x", "logs a b ../c d",
                        "logs a b c d since-time=yesterday", "logs a;b c d e"};
        _cleanup_(logs_request_done) struct logs_request r = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(logs_request_parse("logs demo web 11-22 c follow timestamps tail=5 "
                                            "since-time=2024-01-02T03:04:05Z limit-bytes=9",
                                         &r, &p),
                        0);
        assert_string_equal(r.uid, "11-22");
        assert_true(r.follow && r.timestamps && !r.previous);
        assert_int_equal(r.tail, 5);
        assert_int_equal(r.limit_bytes, 9);
        assert_true(r.since_us > 0);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                struct logs_request x = {0};
                assert_int_equal(logs_request_parse(bad[i], &x, &p), -EINVAL);
        }
}

static void test_sealing(void **state) {
        uint8_t key[SEAL_KEY_SIZE] = {1}, other[SEAL_KEY_SIZE] = {2};
        _cleanup_free_ void *sealed = NULL, *open = NULL;
        size_t n, m;

        assert_int_equal(seal(key, "secret", 6, &sealed, &n), 0);
        assert_null(memmem(sealed, n, "secret", 6));
        assert_int_equal(unseal(key, sealed, n, &open, &m), 0);
        assert_int_equal(m, 6);
        assert_memory_equal(open, "secret", 6);
        free(TAKE_PTR(open));
        assert_int_equal(unseal(other, sealed, n, &open, &m), -EBADMSG);
        ((uint8_t *)sealed)[n - 1] ^= 1;
        assert_int_equal(unseal(key, sealed, n, &open, &m), -EBADMSG);
        assert_int_equal(unseal(key, sealed, 10, &open, &m), -EBADMSG);
}

static void test_admission(void **state) {
        static const struct {
                const char *taints, *tolerations;
                int want;
        } cases[] = {
                        {"[]", "[]", 0},
                        {"[{\"key\":\"node-role.kubernetes.io/control-plane\",\"effect\":"
                         "\"NoSchedule\"}]",
                                        "[]", -EPERM},
                        {"[{\"key\":\"node-role.kubernetes.io/control-plane\",\"effect\":"
                         "\"NoSchedule\"}]",
                                        "[{\"key\":\"node-role.kubernetes.io/control-plane\","
                                        "\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}]",
                                        0},
                        {"[{\"key\":\"node-role.kubernetes.io/control-plane\",\"effect\":"
                         "\"NoSchedule\"}]",
                                        "[{\"operator\":\"Exists\"}]", 0},
                        {"[{\"key\":\"node-role.kubernetes.io/control-plane\",\"effect\":"
                         "\"PreferNoSchedule\"}]",
                                        "[]", 0},
                        /* A cordoned node takes what was sent to it. */
                        {"[{\"key\":\"node.kubernetes.io/unschedulable\",\"effect\":"
                         "\"NoSchedule\"}]",
                                        "[]", 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *taints = json_loads(cases[i].taints, 0, NULL),
                                      *pod = json_object();
                _cleanup_problem_ struct problem p = {0};

                json_set_at(pod, "spec.tolerations", json_loads(cases[i].tolerations, 0, NULL));
                assert_int_equal(pod_admit(pod, taints, /* pressures= */ 0,
                                                 /* shutting_down= */ false, &p),
                                cases[i].want);
                if (cases[i].want < 0) {
                        assert_string_equal(p.reason, "TaintToleration");
                        assert_non_null(strstr(p.message, "control-plane:NoSchedule"));
                }
        }
}

static void test_admission_by_system(void **state) {
        static const char *const systems[] = {"linux", "windows"};

        for (size_t i = 0; i < ELEMENTS(systems); i++) {
                _cleanup_json_ json_t *pod =
                                json_pack("{s:{s:{s:s}}}", "spec", "os", "name", systems[i]);
                _cleanup_problem_ struct problem p = {0};
                int r = pod_admit(pod, /* taints= */ NULL, /* pressures= */ 0,
                                /* shutting_down= */ false, &p);

                assert_int_equal(r, i == 0 ? 0 : -EPERM);
                if (r < 0)
                        assert_string_equal(p.reason, "PodOSNotSupported");
        }
}

static void test_memory_reserve(void **state) {
        const int64_t mib = 1024 * 1024;

        assert_true(node_memory_reserve(512 * mib) == 128 * mib);
        assert_true(node_memory_reserve(2048 * mib) == 256 * mib);
        assert_true(node_memory_reserve(10240 * mib) == 1024 * mib);
        assert_true(node_memory_reserve(102400 * mib) == 2048 * mib);
}

/* What a later version wrote is refused before it is read. */
static void test_state_format(void **state) {
        char dir[] = "/tmp/keelson-upgrade-XXXXXX";
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(statedir_freep) struct statedir *s = NULL;
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t n;

        assert_non_null(mkdtemp(dir));
        path = strformat("%s/format", dir);
        assert_int_equal(statedir_new(&s, dir, &p), 0);
        assert_int_equal(file_read(path, 64, &text, &n), 0);
        assert_string_equal(text, "1\n");
        s = statedir_free(s);
        assert_int_equal(statedir_new(&s, dir, &p), 0); /* its own */
        s = statedir_free(s);
        assert_int_equal(file_write_atomic(path, "2\n", 2, 0600), 0);
        assert_int_equal(statedir_new(&s, dir, &p), -EINVAL);
        assert_non_null(strstr(p.message, "written by a newer knodeagent"));
        assert_int_equal(file_write_atomic(path, "x\n", 2, 0600), 0);
        assert_int_equal(statedir_new(&s, dir, &p), -EINVAL);
        remove_tree(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_restart_counts),
                        cmocka_unit_test(test_state_format), cmocka_unit_test(test_short_runs),
                        cmocka_unit_test(test_restarts_ahead), cmocka_unit_test(test_unmade),
                        cmocka_unit_test(test_unmade_never), cmocka_unit_test(test_ends),
                        cmocka_unit_test(test_start_reports), cmocka_unit_test(test_long_report),
                        cmocka_unit_test(test_last_words), cmocka_unit_test(test_record_survives),
                        cmocka_unit_test(test_phases), cmocka_unit_test(test_status),
                        cmocka_unit_test(test_node_status), cmocka_unit_test(test_ipam),
                        cmocka_unit_test(test_ipam_dual), cmocka_unit_test(test_ipam_six),
                        cmocka_unit_test(test_node_addresses), cmocka_unit_test(test_pods_max),
                        cmocka_unit_test(test_probe_parts), cmocka_unit_test(test_log_requests),
                        cmocka_unit_test(test_sealing), cmocka_unit_test(test_admission),
                        cmocka_unit_test(test_admission_by_system),
                        cmocka_unit_test(test_memory_reserve)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
