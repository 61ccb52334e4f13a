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
                systemd_run_state(&u, NULL, &s);
                assert_int_equal(s.phase, cases[i].phase);
                assert_int_equal(run_state_is_running(&s, false), cases[i].runs);
                assert_int_equal(run_state_is_running(&s, true), cases[i].runs_notify);
                assert_false(run_state_has_ended(&s));
        }
        assert_false(run_state_is_running(NULL, true));
}

/* A service and the socket that starts it. */
static void test_sockets(void **state) {
        static const struct {
                const char *service, *socket, *result;
                enum run_phase phase;
                bool given_up;
        } cases[] = {
                        {NULL, "active", "success", RUN_ASLEEP, false},
                        {"inactive", "active", "success", RUN_ASLEEP, false},
                        {"active", "active", "success", RUN_RUNNING, false},
                        {"activating", "active", "success", RUN_STARTING, false},
                        {"deactivating", "active", "success", RUN_STOPPING, false},
                        {"failed", "active", "success", RUN_FAILED, false},
                        {"inactive", "activating", "success", RUN_STARTING, false},
                        {"inactive", "deactivating", "success", RUN_STOPPED, false},
                        {"inactive", "inactive", "success", RUN_STOPPED, false},
                        {NULL, "failed", "resources", RUN_FAILED, true},
                        {"inactive", "failed", "trigger-limit-hit", RUN_FAILED, true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct unit_state service = {.known = true},
                                  socket = {.known = true,
                                                  .slice = "keelson-pod_a.slice",
                                                  .invocation = "s"};
                struct run_state s;

                snprintf(service.active, sizeof(service.active), "%s", strempty(cases[i].service));
                service.main_pid = streq(service.active, "active") ? 7 : 0;
                snprintf(socket.active, sizeof(socket.active), "%s", cases[i].socket);
                snprintf(socket.result, sizeof(socket.result), "%s", cases[i].result);
                systemd_run_state(cases[i].service ? &service : NULL, &socket, &s);
                assert_int_equal(s.phase, cases[i].phase);
                assert_int_equal(s.given_up, cases[i].given_up);
                assert_string_equal(s.owner, "keelson-pod_a.slice");
                assert_int_equal(s.start_failure != NULL, cases[i].given_up);
                assert_string_equal(s.id, cases[i].given_up ? "s" : "");
        }
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
                        {CLD_EXITED, 209, "exit-code", 209, 0, RUN_CAUSE_OWN, false, true},
                        {CLD_EXITED, 219, "exit-code", 219, 0, RUN_CAUSE_OWN, false, true},
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
                systemd_run_state(&u, NULL, &s);
                assert_true(run_state_has_ended(&s));
                assert_int_equal(s.exit_code, cases[i].exit_code);
                assert_int_equal(s.signal, cases[i].signal);
                assert_int_equal(s.cause, cases[i].cause);
                assert_int_equal(s.given_up, cases[i].given_up);
                assert_int_equal(s.start_failure != NULL, cases[i].start_failure);
        }
}

/* systemd's result is the first failure: of a hook when the main process cannot have had it. */
static void test_failed_hooks(void **state) {
        static const struct {
                int code, status;
                const char *result;
                bool failed;
        } cases[] = {
                        {CLD_KILLED, SIGTERM, "exit-code", true}, /* ended because of it */
                        {CLD_EXITED, 0, "exit-code", true},
                        {CLD_EXITED, 3, "exit-code", false}, /* its own */
                        {CLD_EXITED, 0, "signal", true},     /* the hook was killed */
                        {CLD_EXITED, 0, "core-dump", true}, {CLD_KILLED, SIGKILL, "signal", false},
                        {CLD_EXITED, 0, "success", false},
                        {CLD_KILLED, SIGTERM, "success", false}, /* stopped */
                        {CLD_KILLED, SIGKILL, "oom-kill", false},
                        {0, 0, "exit-code", false}, /* it runs still */
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct unit_state u = {.active = "failed",
                                .sub = "failed",
                                .exec_code = cases[i].code,
                                .exec_status = cases[i].status};
                struct run_state s;

                snprintf(u.result, sizeof(u.result), "%s", cases[i].result);
                systemd_run_state(&u, NULL, &s);
                assert_int_equal(s.hook_failed, cases[i].failed);
        }
}

static void test_images(void **state) {
        static const struct {
                const char *image, *root, *path; /* path: of an OCI image its full name */
        } cases[] = {
                        {"", "host", NULL},
                        {"host", "host", NULL},
                        {"/srv/x", "directory", "/srv/x"},
                        {"/srv//x/./y/", "directory", "/srv/x/y"},
                        {"/srv/x.raw", "raw", "/srv/x.raw"},
                        {"/srv/x.img/", "raw", "/srv/x.img"},
                        {"/srv/x.squashfs", "raw", "/srv/x.squashfs"},
                        {"nginx:1.27", "oci", "docker.io/library/nginx:1.27"},
                        {"registry.lan:5000/a/b.img", "oci", "registry.lan:5000/a/b.img:latest"},
                        {"Nginx:1.27", NULL, ""},
                        {"./srv", NULL, ""},
                        {"/srv/../etc", NULL, "it must be absolute"},
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
                if (streq(cases[i].root, "oci"))
                        assert_string_equal(json_str(images, "c.name"), cases[i].path);
                else if (cases[i].path)
                        assert_string_equal(json_str(images, "c.path"), cases[i].path);
                else
                        assert_null(json_str(images, "c.path"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_phases),
                        cmocka_unit_test(test_sockets), cmocka_unit_test(test_ends),
                        cmocka_unit_test(test_failed_hooks), cmocka_unit_test(test_images)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
