/* The lifecycle hooks of a container. postStart.exec belongs to the unit itself (ExecStartPost);
 * everything else is done from here: preStop before the stop, and the forms httpGet, tcpSocket and
 * sleep. */
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/stage.h"
#include "nodeagent/pod/volumes.h"

enum { POST_START_MAX_S = 60 };

static void hook_failed(struct container *c, const char *hook, const char *message) {
        _cleanup_free_ char *reason = strformat("Failed%s", hook);

        assert(reason);
        pod_event(c->pod, "Warning", reason, "%s failed: container %s: %s", hook, c->record->name,
                        message);
}

static void pre_stop_failed(struct container *c, const char *message) {
        hook_failed(c, "PreStopHook", message);
}

static void post_start_failed(struct container *c, const char *message) {
        hook_failed(c, "PostStartHook", message);
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

/* What the hook may take: of the pod's end, or of a restart of one container. */
static uint64_t grace_us(const struct pod *p) {
        uint64_t us = p->memory.stage == POD_ALIVE ? seconds_us(pod_grace_s(p->object))
                                                   : p->memory.grace_us;

        return MAX(us, UINT64_C(1000000));
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
        run = pod_exec_unit(container_plan(c), name, command, grace_us(p));
        if (!run)
                return -ENOMEM;
        r = container_join(c, run);
        if (r < 0)
                return r;
        r = stage_command(run);
        if (r < 0)
                return r;
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
        _cleanup_json_ json_t *spec = json_pack("{s:O*, s:O*, s:I}", "httpGet",
                        json_at(hook, "httpGet"), "tcpSocket", json_at(hook, "tcpSocket"),
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
        int64_t grace_s = (int64_t)(grace_us(c->pod) / 1000000);
        struct run_state state;
        int r = -EOPNOTSUPP;

        assert(!container_hook_is_busy(c));
        c->hooks.pre_stop_done = false;
        c->hooks.pre_stop_of[0] = 0;
        if (runtime_state(c->pod->pods->agent->runtime, c->unit, &state) > 0)
                memcpy(c->hooks.pre_stop_of, state.id, sizeof(c->hooks.pre_stop_of));
        if (json_at(hook, "exec.command"))
                r = start_command(c, json_at(hook, "exec.command"));
        else if (json_at(hook, "httpGet") || json_at(hook, "tcpSocket"))
                r = start_request(c, hook, grace_s, on_pre_stop_answer);
        if (r >= 0)
                return;
        c->hooks.pre_stop_done = true;
        pre_stop_failed(c, r == -EOPNOTSUPP
                                           ? "only exec, httpGet, tcpSocket and sleep are supported"
                                           : strerror(-r));
}

static void on_post_start_answer(
                struct probe *probe, bool passed, const char *message, void *userdata) {
        struct container *c = userdata;

        if (!passed)
                post_start_failed(c, message);
        c->hooks.post_start_failed = !passed;
        c->hooks.request = probe_free(c->hooks.request);
        pod_wake(c->pod);
}

/* Since the start: an agent before this one may have waited for a part of it. */
static uint64_t sleep_until(const struct container *c, uint64_t sleep_us) {
        uint64_t now = now_wall_us(), since = c->record->started_us,
                 over = now > since ? now - since : 0;

        return sleep_us > over ? now_mono_us() + sleep_us - over : 0;
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
                h->post_start_until_us = sleep_until(c, seconds_us(sleep_s));
                return;
        }
        if (!json_at(hook, "httpGet") && !json_at(hook, "tcpSocket"))
                return;
        r = start_request(c, hook, POST_START_MAX_S, on_post_start_answer);
        if (r < 0)
                post_start_failed(c, strerror(-r));
}
