/* The runtime's pure parts: systemd's words in neutral terms, and what an image means. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/wait.h>

#include "nodeagent/runtime/images.h"
#include "nodeagent/runtime/systemd.h"

static void test_phases(void **state) {
        static const struct {
                const char *active, *sub;
                uint32_t main_pid;
                enum run_phase phase;
                bool runs, runs_notify; /* without and with a readiness of its own */
        } cases[] = {
                        {"activating", "start", 7, RUN_STARTING, false, true},
                        {"activating", "start-pre", 0, RUN_STARTING, false, false},
                        {"activating", "start-post", 7, RUN_RUNNING, true, true},
                        {"active", "running", 7, RUN_RUNNING, true, true},
                        {"reloading", "reload", 7, RUN_RUNNING, true, true},
                        {"active", "exited", 0, RUN_EXITED, false, false},
                        {"deactivating", "stop-sigterm", 7, RUN_STOPPING, true, true},
                        {"deactivating", "stop-post", 0, RUN_STOPPING, false, false},
                        {"activating", "auto-restart", 0, RUN_RESTARTING, false, false},
                        {"failed", "failed", 0, RUN_FAILED, false, false},
                        {"inactive", "dead", 0, RUN_STOPPED, false, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct unit_state u = {.main_pid = cases[i].main_pid, .known = true};
                struct run_state s;

                snprintf(u.active, sizeof(u.active), "%s", cases[i].active);
                snprintf(u.sub, sizeof(u.sub), "%s", cases[i].sub);
                systemd_run_state(&u, &s);
                assert_int_equal(s.phase, cases[i].phase);
                assert_int_equal(run_state_is_running(&s, false), cases[i].runs);
                assert_int_equal(run_state_is_running(&s, true), cases[i].runs_notify);
                assert_false(run_state_has_ended(&s));
        }
        assert_false(run_state_is_running(NULL, true));
}

static void test_ends(void **state) {
        static const struct {
                int code, status;
                const char *result;
                int exit_code, signal;
                enum run_cause cause;
                bool given_up, start_failure;
        } cases[] = {
                        {CLD_EXITED, 0, "success", 0, 0, RUN_CAUSE_OWN, false, false},
                        {CLD_EXITED, 3, "exit-code", 3, 0, RUN_CAUSE_OWN, false, false},
                        {CLD_EXITED, 203, "exit-code", 203, 0, RUN_CAUSE_OWN, false, true},
                        {CLD_KILLED, SIGKILL, "oom-kill", 137, SIGKILL, RUN_CAUSE_OUT_OF_MEMORY,
                                        false, false},
                        {CLD_DUMPED, SIGABRT, "watchdog", 134, SIGABRT, RUN_CAUSE_WATCHDOG, false,
                                        false},
                        {CLD_EXITED, 0, "timeout", 0, 0, RUN_CAUSE_TIMEOUT, false, false},
                        {CLD_EXITED, 1, "start-limit-hit", 1, 0, RUN_CAUSE_OWN, true, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct unit_state u = {.active = "failed",
                                .sub = "failed",
                                .exec_code = cases[i].code,
                                .exec_status = cases[i].status,
                                .known = true};
                struct run_state s;

                snprintf(u.result, sizeof(u.result), "%s", cases[i].result);
                systemd_run_state(&u, &s);
                assert_true(run_state_has_ended(&s));
                assert_int_equal(s.exit_code, cases[i].exit_code);
                assert_int_equal(s.signal, cases[i].signal);
                assert_int_equal(s.cause, cases[i].cause);
                assert_int_equal(s.given_up, cases[i].given_up);
                assert_int_equal(s.start_failure != NULL, cases[i].start_failure);
        }
}

static void test_images(void **state) {
        static const struct {
                const char *image, *root, *path;
        } cases[] = {
                        {"", "host", NULL},
                        {"host", "host", NULL},
                        {"/srv/x", "directory", "/srv/x"},
                        {"/srv//x/./y/", "directory", "/srv/x/y"},
                        {"/srv/x.raw", "raw", "/srv/x.raw"},
                        {"/srv/x.img/", "raw", "/srv/x.img"},
                        {"/srv/x.squashfs", "raw", "/srv/x.squashfs"},
                        {"nginx:1.27", NULL, "not something this node can run"},
                        {"/srv/../etc", NULL, "not something this node can run"},
                        {"/usr", NULL, "the machine's own"},
                        {"/run/x.raw", NULL, "folder of the system"},
                        {"/var/lib/keelson/x", NULL, "keelson's own files are there"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *pod = json_pack("{s:{s:[{s:s, s:s}]}}", "spec", "containers",
                                                      "name", "c", "image", cases[i].image),
                                      *images = NULL;
                _cleanup_problem_ struct problem p = {0};
                int r = images_resolve(pod, &images, &p);

                if (!cases[i].root) {
                        assert_int_equal(r, -EINVAL);
                        assert_string_equal(p.reason, "InvalidImageName");
                        assert_non_null(strstr(p.message, cases[i].path));
                        continue;
                }
                assert_int_equal(r, 0);
                assert_string_equal(json_str(images, "c.root"), cases[i].root);
                if (cases[i].path)
                        assert_string_equal(json_str(images, "c.path"), cases[i].path);
                else
                        assert_null(json_str(images, "c.path"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_phases),
                        cmocka_unit_test(test_ends), cmocka_unit_test(test_images)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
