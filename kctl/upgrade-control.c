/* One machine of the control plane: its store's member, its API server, its reconcilers. The next
 * one waits until this one is whole again. A daemon that stops gives up its leadership by itself: a
 * leader of the store transfers it first, kapid answers what is in flight, a reconciler releases
 * its lease. */
#include "kctl/configs.h"
#include "kctl/texts.h"
#include "kctl/upgrade.h"
#include "lib/ssh.h"
#include "lib/timefmt.h"

enum { COMMAND_S = 120, WAIT_DEFAULT_S = 120, LOOK_US = 500000, UNITS_EACH = 4 };

static void say(const struct control *c, const char *what) {
        printf("%s: %s\n", c->name, what);
        fflush(stdout);
}

/* --- shared with agents --- */

int upgrade_install(const struct upgrade_run *run, struct machine *m, const char *name,
                struct problem *p) {
        _cleanup_free_ char *quoted = NULL, *command = NULL;
        _cleanup_buf_ struct buf out = {0};
        int r;

        if (run->bundles)
                return machine_unpack_bundle(m,
                                streq(name, "agent") ? &run->bundles->agent
                                                     : &run->bundles->control,
                                run->id, p);
        quoted = shell_quote(text_put_back_sh);
        command = quoted ? strformat("sh -c %s put-back %s %s", quoted, name, run->id) : NULL;
        r = command ? machine_run(m, command, /* input= */ NULL, 0, COMMAND_S, &out, p) : -ENOMEM;
        return r < 0 ? r : streq(strempty(out.data), "nothing\n") ? 0 : 1;
}

int upgrade_installed_version(struct machine *m, const char *name, char **ret, struct problem *p) {
        _cleanup_free_ char *command = strformat("cd /opt/keelson && cat .%s.version VERSION "
                                                 "2>/dev/null | head -n 1",
                        name);
        _cleanup_buf_ struct buf out = {0};
        int r = command ? machine_run(m, command, /* input= */ NULL, 0, COMMAND_S, &out, p)
                        : -ENOMEM;

        if (r < 0)
                return r;
        *ret = strndup(strempty(out.data), strcspn(strempty(out.data), "\n"));
        return *ret ? 0 : -ENOMEM;
}

int upgrade_is_running(struct machine *m, const char *daemon, struct problem *p) {
        _cleanup_free_ char *quoted = shell_quote(text_running_sh),
                            *command = quoted ? strformat("sh -c %s running %s", quoted, daemon)
                                              : NULL;
        _cleanup_buf_ struct buf out = {0};
        int r = command ? machine_run(m, command, /* input= */ NULL, 0, COMMAND_S, &out, p)
                        : -ENOMEM;

        if (r < 0)
                return r;
        return out.size == 0 ? 1 : 0;
}

/* --- waiting --- */

static uint64_t deadline_of(const struct upgrade_run *run) {
        uint64_t timeout = run->k->flags.timeout_us;

        return now_mono_us() + (timeout ? timeout : WAIT_DEFAULT_S * UINT64_C(1000000));
}

/* 1, 0: not yet; why says so (may stay NULL). */
typedef int (*look_func)(const struct upgrade_run *run, struct machine *m, const char *what,
                char **ret_why, struct problem *p);

/* Looks until it is so. A daemon that ends again and again ends the wait with its own words. */
static int wait_until(const struct upgrade_run *run, struct machine *m, look_func look,
                const char *what, const char *wanted, struct problem *p) {
        uint64_t deadline = deadline_of(run);

        for (unsigned i = 1;; i++) {
                _cleanup_free_ char *why = NULL;
                int r = look(run, m, what, &why, p);

                if (r != 0)
                        return r;
                r = i % UNITS_EACH == 0 ? machine_units_failing(m, p) : 0;
                if (r < 0)
                        return r;
                if (now_mono_us() > deadline)
                        return problem_set(p, ETIMEDOUT, 0, NULL, "%s: %s in time%s%s",
                                        machine_name(m), wanted, why ? ": " : "", strempty(why));
                usleep(LOOK_US);
        }
}

/* What the member's /readyz says holds a linearizable read: it has applied all that was committed
 * when it was asked. Where the member has no such socket, or kctl no such verb (2), the API is
 * asked. */
static int look_member(const struct upgrade_run *run, struct machine *m, const char *what,
                char **ret_why, struct problem *p) {
        _cleanup_buf_ struct buf out = {0}, err = {0};
        int status, r = machine_try(m,
                                    "s=/run/keelson/kstored/metrics.sock; test ! -S $s || "
                                    "/opt/keelson/bin/kctl ask-socket $s /readyz || test $? -eq 2",
                                    /* input= */ NULL, 0, COMMAND_S, &out, &err, &status, p);

        if (r < 0)
                return r;
        if (status == 0)
                return 1;
        *ret_why = strndup(strempty(err.size ? err.data : out.data),
                        strcspn(strempty(err.size ? err.data : out.data), "\n"));
        return 0;
}

static int ask(struct kctl *k, const char *url, const char *path, char **ret_body) {
        struct http_result result;
        int code;

        (void)http_client_do(api_client_http(k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = path,
                                        .accept = "*/*",
                                        .base_url = url,
                                        .timeout_us = 3000000},
                        &result);
        code = result.error == 0 ? result.code : 0;
        *ret_body = strdup(strempty(result.error ? result.error_text : result.body));
        http_result_done(&result);
        return code;
}

static int look_api(const struct upgrade_run *run, struct machine *m, const char *url,
                char **ret_why, struct problem *p) {
        return ask(run->k, url, "/readyz", ret_why) == 200 ? 1 : 0;
}

static int look_daemon(const struct upgrade_run *run, struct machine *m, const char *daemon,
                char **ret_why, struct problem *p) {
        int r = upgrade_is_running(m, daemon, p);

        if (r == 0)
                *ret_why = strformat("keelson-%s does not run the new program", daemon);
        return r;
}

/* --- the steps --- */

/* The others must be whole before one more is taken away. */
static int wait_others(const struct upgrade_run *run, struct machine *m, const struct control *c,
                struct problem *p) {
        /* On the way back each is verified before the next, and one that is broken is repaired. */
        for (size_t i = 0; run->bundles && i < run->controls->count; i++) {
                const struct control *x = &run->controls->items[i];
                _cleanup_free_ char *url = control_url(x->address, run->controls->port),
                                    *wanted = strformat("it has to wait for the API server of %s, "
                                                        "which was not ready",
                                                    x->name);
                int r;

                if (!url || !wanted)
                        return -ENOMEM;
                if (x == c || strv_contains(run->k->flags.except, x->name))
                        continue;
                r = wait_until(run, m, look_api, url, wanted, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int install(const struct upgrade_run *run, struct machine *m, const struct control *c,
                struct problem *p) {
        _cleanup_free_ char *prepare = strformat(
                        "%s\n%s", run->bundles ? "" : "certificates=no", text_start_units_sh);
        int r = prepare ? upgrade_install(run, m, "control", p) : -ENOMEM;

        if (r < 0)
                return r;
        say(c, r == 0                  ? "its programs are in place already"
                        : run->bundles ? "its programs were copied, the earlier ones are kept"
                                       : "its earlier programs were put back");
        r = run->bundles ? configs_refresh(m, p) : 0;
        if (r < 0)
                return r;
        r = machine_run(m, prepare, /* input= */ NULL, 0, COMMAND_S, /* ret_stdout= */ NULL, p);
        if (r < 0 || !run->bundles)
                return r;
        return machine_run(m, text_keep_after_sh, /* input= */ NULL, 0, COMMAND_S,
                        /* ret_stdout= */ NULL, p);
}

/* One that runs with what there is now is left alone. The second command waits for the job of the
 * first. A daemon's own words are better than systemd's about a start that failed. */
static int restart(struct machine *m, const char *daemon, struct problem *p) {
        _cleanup_free_ char *command = strformat("systemctl start keelson-%s", daemon);
        _cleanup_problem_ struct problem failing = {0};
        int r = command ? configs_start(m, daemon, /* ret= */ NULL, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = machine_run(m, command, /* input= */ NULL, 0, COMMAND_S, /* ret_stdout= */ NULL, p);
        if (r >= 0)
                return 0;
        for (int i = 0; i < 10; i++) {
                if (machine_units_failing(m, &failing) < 0)
                        return problem_set(p, EIO, 0, NULL, "%s", failing.message);
                usleep(LOOK_US);
        }
        return r;
}

static int do_store(const struct upgrade_run *run, struct machine *m, const struct control *c,
                struct problem *p) {
        int r = restart(m, "kstored", p);

        if (r < 0)
                return r;
        r = wait_until(run, m, look_daemon, "kstored", "its member of the store does not run", p);
        if (r < 0)
                return r;
        r = wait_until(run, m, look_member, NULL, "its member of the store has not caught up", p);
        if (r >= 0)
                say(c, "its member of the store has caught up");
        return r;
}

static int do_api(const struct upgrade_run *run, struct machine *m, const struct control *c,
                struct problem *p) {
        _cleanup_free_ char *url = control_url(c->address, run->controls->port), *version = NULL,
                            *want = NULL, *body = NULL;
        int r = url ? restart(m, "kapid", p) : -ENOMEM;

        if (r < 0)
                return r;
        r = wait_until(run, m, look_daemon, "kapid", "its API server does not run", p);
        if (r < 0)
                return r;
        r = wait_until(run, m, look_api, url, "its API server is not ready", p);
        if (r < 0)
                return r;
        r = upgrade_installed_version(m, "control", &version, p);
        if (r < 0)
                return r;
        want = strformat("+keelson-%s\"", version);
        if (!want)
                return -ENOMEM;
        if (ask(run->k, url, "/version", &body) != 200 || !strstr(strempty(body), want))
                return problem_set(p, EIO, 0, NULL,
                                "%s: its API server answers, but not as version %s: %.100s",
                                machine_name(m), version, strempty(body));
        say(c, "its API server is ready");
        return 0;
}

static int do_reconcilers(const struct upgrade_run *run, struct machine *m, const struct control *c,
                struct problem *p) {
        static const char *const daemons[] = {"kreconciled", "kschedd", "kgitd"};
        int r;

        for (size_t i = 0; i < ELEMENTS(daemons); i++) {
                r = restart(m, daemons[i], p);
                if (r < 0)
                        return r;
                r = wait_until(run, m, look_daemon, daemons[i], "a reconciler does not run", p);
                if (r < 0)
                        return r;
        }
        /* A daemon that ends again and again may have run when it was looked at. */
        return machine_units_failing(m, p);
}

int upgrade_control(const struct upgrade_run *run, const struct control *c, struct problem *p) {
        static int (*const steps[])(const struct upgrade_run *, struct machine *,
                        const struct control *, struct problem *) = {
                        wait_others, install, do_store, do_api, do_reconcilers};
        _cleanup_(machine_freep) struct machine *m = NULL;
        int r = control_open(run->k, c, &m, p);

        for (size_t i = 0; r >= 0 && i < ELEMENTS(steps); i++)
                r = steps[i](run, m, c, p);
        if (r >= 0)
                say(c, "done");
        return r < 0 ? r : 0;
}
