/* The lifecycle hooks of a container. postStart.exec belongs to the unit itself (ExecStartPost);
 * everything else is done from here: preStop before the stop, and the forms httpGet and sleep. */
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/volumes.h"

enum { POST_START_MAX_S = 60 };

static void hook_failed(
                struct container *c, const char *reason, const char *kind, const char *message) {
        pod_event(c->pod, "Warning", reason, "%s hook of container %s: %s", kind, c->record->name,
                        message);
}

static void pre_stop_failed(struct container *c, const char *message) {
        hook_failed(c, "FailedPreStopHook", "preStop", message);
}

static void forget_command(struct container *c) {
        if (c->hooks.command_unit)
                volumes_remove_commands(c->hooks.command_unit);
        json_decref(TAKE_PTR(c->hooks.command_unit));
}

bool container_hook_is_busy(const struct container *c) {
        return c->hooks.command || c->hooks.request;
}

void container_hooks_stop(struct container *c) {
        struct container_hooks *h = &c->hooks;

        h->command = runtime_exec_cancel(c->pod->pods->agent->runtime, h->command);
        forget_command(c);
        h->request = probe_free(h->request);
        h->post_start_until_us = 0;
        assert(!container_hook_is_busy(c));
}

static void on_command_done(enum exec_outcome outcome, const char *message, void *userdata) {
        struct container *c = userdata;

        c->hooks.command = NULL;
        forget_command(c);
        c->hooks.pre_stop_done = true;
        if (outcome == EXEC_TIMEOUT)
                pre_stop_failed(c, "did not end within the grace period");
        else if (outcome == EXEC_FAILED)
                pre_stop_failed(c, "the command failed");
        else if (outcome == EXEC_REFUSED)
                pre_stop_failed(c, message);
        pod_wake(c->pod);
}

static int start_command(struct container *c, const json_t *command) {
        struct pod *p = c->pod;
        _cleanup_free_ char *name = NULL;
        _cleanup_json_ json_t *run = NULL;
        int r;

        /* After a restart of the agent there may be no plan yet. */
        if (!sandbox_ensure_plan(p) || !container_plan(c))
                return -ENOENT;
        name = pod_exec_unit_name(p->object, c->record->name, p->pods->exec_serial++);
        if (!name)
                return -ENOMEM;
        run = pod_exec_unit(container_plan(c), name, command,
                        MAX(p->memory.grace_us, UINT64_C(1000000)));
        if (!run)
                return -ENOMEM;
        r = volumes_write_commands(run);
        if (r < 0)
                return r;
        r = runtime_exec(p->pods->agent->runtime, run, on_command_done, c, &c->hooks.command);
        if (r < 0)
                return r;
        c->hooks.command_unit = TAKE_PTR(run);
        return 0;
}

static int start_request(struct container *c, const json_t *hook, int64_t timeout_s,
                void (*done)(struct probe *, bool, const char *, void *)) {
        _cleanup_json_ json_t *spec = json_pack("{s:O, s:I}", "httpGet", json_at(hook, "httpGet"),
                        "timeoutSeconds", (json_int_t)MAX(timeout_s, INT64_C(1)));
        struct probe_options o = {.spec = spec,
                        .container = container_spec(c),
                        .address = c->pod->sandbox.ip,
                        .once = true,
                        .on_verdict = done,
                        .userdata = c};

        return spec ? probe_new(&c->hooks.request, c->pod->pods->agent->event, &o) : -ENOMEM;
}

static void on_pre_stop_answer(
                struct probe *probe, bool passed, const char *message, void *userdata) {
        struct container *c = userdata;

        c->hooks.pre_stop_done = true;
        if (!passed)
                pre_stop_failed(c, message);
        c->hooks.request = probe_free(c->hooks.request);
        pod_wake(c->pod);
}

void container_pre_stop(struct container *c) {
        const json_t *hook = json_at(container_spec(c), "lifecycle.preStop");
        int64_t grace_s = (int64_t)(c->pod->memory.grace_us / 1000000);
        int r = -EOPNOTSUPP;

        assert(!c->hooks.pre_stop_done && !container_hook_is_busy(c));
        if (json_at(hook, "exec.command"))
                r = start_command(c, json_at(hook, "exec.command"));
        else if (json_at(hook, "httpGet"))
                r = start_request(c, hook, grace_s, on_pre_stop_answer);
        if (r >= 0)
                return;
        c->hooks.pre_stop_done = true;
        pre_stop_failed(c, r == -EOPNOTSUPP ? "only exec, httpGet and sleep are supported"
                                            : strerror(-r));
}

static void on_post_start_answer(
                struct probe *probe, bool passed, const char *message, void *userdata) {
        struct container *c = userdata;

        if (!passed)
                hook_failed(c, "FailedPostStartHook", "postStart", message);
        c->hooks.post_start_failed = !passed;
        c->hooks.request = probe_free(c->hooks.request);
        pod_wake(c->pod);
}

void container_post_start(struct container *c) {
        const json_t *hook = json_at(container_spec(c), "lifecycle.postStart");
        int64_t sleep_s = json_int_or(hook, "sleep.seconds", 0);
        struct container_hooks *h = &c->hooks;
        int r;

        h->request = probe_free(h->request);
        h->post_start_failed = false;
        h->post_start_until_us = 0;
        if (sleep_s > 0) {
                h->post_start_until_us = now_mono_us() + seconds_us(sleep_s);
                return;
        }
        if (!json_at(hook, "httpGet"))
                return;
        r = start_request(c, hook, POST_START_MAX_S, on_post_start_answer);
        if (r < 0)
                hook_failed(c, "FailedPostStartHook", "postStart", strerror(-r));
}
