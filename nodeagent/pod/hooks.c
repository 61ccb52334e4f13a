/* The lifecycle hooks of a container. postStart.exec belongs to the unit itself (ExecStartPost);
 * everything else is done from here: preStop before the stop, and the forms httpGet and sleep. */
#include "nodeagent/pod/internal.h"

#include "lib/timefmt.h"
#include "nodeagent/plan/pod-units.h"
#include "nodeagent/pod/volumes.h"

enum { POST_START_MAX_S = 60 };

static void hook_failed(
                struct container *c, const char *reason, const char *kind, const char *message) {
        pod_event(c->pod, "Warning", reason, "%s hook of container %s: %s", kind, c->record->name,
                        message);
}

static void forget_command(struct container *c) {
        if (c->hook_unit)
                volumes_remove_commands(c->hook_unit);
        json_decref(TAKE_PTR(c->hook_unit));
}

void container_hooks_stop(struct container *c) {
        c->hook = units_exec_cancel(c->hook);
        forget_command(c);
        c->hook_request = probe_free(c->hook_request);
        c->hook_until_us = 0;
}

static void on_command_done(const char *result, void *userdata) {
        struct container *c = userdata;

        c->hook = NULL;
        forget_command(c);
        c->hook_done = true;
        if (!streq(result, "done"))
                hook_failed(c, "FailedPreStopHook", "preStop",
                                streq(result, "timeout")  ? "did not end within the grace period"
                                : streq(result, "failed") ? "the command failed"
                                                          : result);
        pod_wake(c->pod);
}

static int start_command(struct container *c, const json_t *command) {
        struct pod *p = c->pod;
        const json_t *unit = container_unit(c);
        _cleanup_free_ char *name =
                        pod_exec_unit_name(p->object, c->record->name, p->pods->exec_serial++);
        _cleanup_json_ json_t *run = NULL;
        int r;

        if (!unit)
                return -ENOENT;
        run = name ? pod_exec_unit(unit, name, command, MAX(p->grace_us, UINT64_C(1000000))) : NULL;
        r = run ? volumes_write_commands(run) : -ENOMEM;
        if (r >= 0)
                r = units_exec_start(p->pods->agent->units, run, on_command_done, c, &c->hook);
        if (r >= 0)
                c->hook_unit = TAKE_PTR(run);
        return r;
}

static int start_request(struct container *c, const json_t *hook, int64_t timeout_s,
                void (*done)(struct probe *, bool, const char *, void *)) {
        _cleanup_json_ json_t *spec = json_pack("{s:O, s:I}", "httpGet", json_at(hook, "httpGet"),
                        "timeoutSeconds", (json_int_t)MAX(timeout_s, INT64_C(1)));
        struct probe_options o = {.spec = spec,
                        .container = container_spec(c),
                        .address = c->pod->ip,
                        .once = true,
                        .on_verdict = done,
                        .userdata = c};

        return spec ? probe_new(&c->hook_request, c->pod->pods->agent->event, &o) : -ENOMEM;
}

static void on_pre_stop_answer(
                struct probe *probe, bool passed, const char *message, void *userdata) {
        struct container *c = userdata;

        c->hook_done = true;
        if (!passed)
                hook_failed(c, "FailedPreStopHook", "preStop", message);
        c->hook_request = probe_free(c->hook_request);
        pod_wake(c->pod);
}

int container_pre_stop(struct container *c, uint64_t started_us) {
        const json_t *hook = json_at(container_spec(c), "lifecycle.preStop");
        int64_t sleep_s = json_int_or(hook, "sleep.seconds", 0);
        struct pod *p = c->pod;
        int r = 0;

        if (!hook || c->hook_done || c->record->phase != CONTAINER_RUNNING)
                return 1;
        if (c->hook || c->hook_request)
                return 0;
        if (sleep_s > 0) {
                uint64_t end = started_us + (uint64_t)sleep_s * 1000000;

                if (now_mono_us() < end) {
                        pod_wake_at(p, end);
                        return 0;
                }
        } else if (json_at(hook, "exec.command")) {
                /* After a restart of the agent the plan is still to be made. */
                r = pod_ensure_plan(p) ? start_command(c, json_at(hook, "exec.command")) : -ENOENT;
        } else if (json_at(hook, "httpGet"))
                r = start_request(c, hook, (int64_t)(p->grace_us / 1000000), on_pre_stop_answer);
        else if (!json_at(hook, "sleep"))
                r = -EOPNOTSUPP;
        if (r < 0)
                hook_failed(c, "FailedPreStopHook", "preStop",
                                r == -EOPNOTSUPP ? "only exec, httpGet and sleep are supported"
                                                 : strerror(-r));
        c->hook_done = !c->hook && !c->hook_request;
        return c->hook_done;
}

static void on_post_start_answer(
                struct probe *probe, bool passed, const char *message, void *userdata) {
        struct container *c = userdata;

        if (!passed) {
                hook_failed(c, "FailedPostStartHook", "postStart", message);
                container_end(c,
                                !streq(json_str_or(c->pod->object, "spec.restartPolicy", "Always"),
                                                "Never"),
                                -1);
        }
        c->hook_request = probe_free(c->hook_request);
        pod_wake(c->pod);
}

void container_post_start(struct container *c) {
        const json_t *hook = json_at(container_spec(c), "lifecycle.postStart");
        int64_t sleep_s = json_int_or(hook, "sleep.seconds", 0);
        int r = 0;

        c->hook_request = probe_free(c->hook_request);
        c->hook_until_us = 0;
        if (sleep_s > 0)
                c->hook_until_us = now_mono_us() + (uint64_t)sleep_s * 1000000;
        else if (json_at(hook, "httpGet"))
                r = start_request(c, hook, POST_START_MAX_S, on_post_start_answer);
        if (r < 0)
                hook_failed(c, "FailedPostStartHook", "postStart", strerror(-r));
}

bool container_post_start_pending(const struct container *c) {
        if (now_mono_us() >= c->hook_until_us)
                return c->hook_request != NULL;
        pod_wake_at(c->pod, c->hook_until_us);
        return true;
}
