/* The states:
 *
 *      IDLE --(structure differs)--> CHECKING --(good)--> LOADING --(generation answers)--> IDLE
 *       |  ^                            '--(refused)--> IDLE, until the decision changes
 *       |  '---------------------------------------------------.
 *       '--(only endpoints differ)--> UPDATING --(answered)----'
 *
 * tick() is the one place that starts something, and only in IDLE: so no command goes to a worker
 * that is being replaced. The past that counts is `loaded` and `slots`: what haproxy has now. */
#include "reconcilers/ingress/haproxy.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/log.h"
#include "lib/timefmt.h"
#include "reconcilers/ingress/decide.h"
#include "reconcilers/ingress/folder.h"
#include "reconcilers/ingress/runtime.h"
#include "reconcilers/ingress/text.h"

#define CHECK_TIMEOUT_US UINT64_C(30000000)
#define LOAD_TIMEOUT_US UINT64_C(20000000)
#define POLL_US UINT64_C(20000)
/* Reloads: the pause after one doubles while they follow each other, so that old workers, which
 * need memory, cannot pile up. */
#define PAUSE_MIN_US UINT64_C(500000)
#define PAUSE_MAX_US UINT64_C(3000000)
#define RETRY_US UINT64_C(30000000)
#define RESTART_US UINT64_C(1000000)

enum haproxy_state { IDLE, CHECKING, LOADING, UPDATING };

struct haproxy {
        struct haproxy_options options;
        char *socket;
        enum haproxy_state state;
        uint64_t generation;    /* of the newest folder */
        json_t *wanted;         /* NULL before the first decision */
        json_t *loaded, *slots; /* what it runs; NULL: nothing known */
        uint64_t loaded_generation;
        json_t *trying, *trying_slots; /* in CHECKING, LOADING and UPDATING */
        json_t *refused;      /* a decision that failed; tried again when another is wanted, */
        uint64_t retry_at_us; /* or at this time */
        uint64_t pause_us, reload_at_us, deadline_us;
        pid_t master, checker;
        sd_event_source *master_source, *checker_source, *timer;
        struct runtime_call *call;
        void (*stopped)(void *userdata);
        void *stopped_userdata;
        struct metric *reloads, *failures, *updates, *running;
};

static void tick(struct haproxy *h);

/* --- time --- */

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct haproxy *h = userdata;

        h->timer = sd_event_source_disable_unref(h->timer);
        tick(h);
        return 0;
}

/* Calls tick() after this time; an earlier call is replaced. */
static void tick_later(struct haproxy *h, uint64_t delay_us) {
        h->timer = sd_event_source_disable_unref(h->timer);
        if (sd_event_add_time_relative(h->options.event, &h->timer, CLOCK_MONOTONIC, delay_us,
                            /* accuracy= */ 1000, on_timer, h) < 0)
                log_oom();
}

static void set_json(json_t **place, json_t *value) {
        json_decref(*place);
        *place = value;
}

static void give_up_try(struct haproxy *h, bool is_refused) {
        h->state = IDLE;
        metric_add(h->failures, 1);
        if (is_refused)
                set_json(&h->refused, json_ref(h->trying));
        set_json(&h->trying, NULL);
        set_json(&h->trying_slots, NULL);
        h->retry_at_us = now_mono_us() + RETRY_US;
        tick_later(h, RETRY_US);
}

/* --- processes --- */

/* Starts haproxy; it ends with this process. words: its arguments, ended by NULL; output: a file
 * for what it prints, or NULL. */
static int start_process(
                struct haproxy *h, const char *const *words, const char *output, pid_t *ret) {
        _cleanup_strv_free_ char **argv = NULL;
        pid_t parent = getpid(), pid;
        sigset_t none;

        for (; *words; words++) {
                int r = strv_extend(&argv, *words);

                if (r < 0)
                        return r;
        }
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                int fd = output ? open(output, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -EBADF;

                sigemptyset(&none);
                if ((output && (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)) ||
                                prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent ||
                                sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                        _exit(127);
                (void)signal(SIGPIPE, SIG_DFL);
                execv(h->options.program, argv);
                _exit(127);
        }
        *ret = pid;
        return 0;
}

static int on_master_exit(sd_event_source *s, const siginfo_t *si, void *userdata) {
        struct haproxy *h = userdata;

        h->master_source = sd_event_source_disable_unref(h->master_source);
        h->master = 0;
        metric_set(h->running, 0);
        set_json(&h->loaded, NULL);
        set_json(&h->slots, NULL);
        if (h->stopped) {
                h->stopped(h->stopped_userdata);
                return 0;
        }
        log_error("haproxy %s %i; it is started again",
                        si->si_code == CLD_EXITED ? "ended with status" : "was killed by signal",
                        si->si_status);
        h->call = runtime_call_free(h->call);
        if (h->state == LOADING || h->state == UPDATING) {
                set_json(&h->trying, NULL);
                set_json(&h->trying_slots, NULL);
                h->state = IDLE;
        }
        h->reload_at_us = now_mono_us() + RESTART_US;
        if (h->state == IDLE)
                tick_later(h, RESTART_US);
        return 0;
}

static int start_master(struct haproxy *h) {
        _cleanup_free_ char *config = strformat("%s/current/haproxy.cfg", h->options.run_dir),
                            *control = strformat("%s/master.sock", h->options.run_dir);
        const char *const words[] = {
                        "haproxy", "-W", "-db", "-q", "-f", config, "-S", control, NULL};
        int r;

        if (!config || !control)
                return -ENOMEM;
        r = start_process(h, words, /* output= */ NULL, &h->master);
        if (r < 0)
                return r;
        r = sd_event_add_child(
                        h->options.event, &h->master_source, h->master, WEXITED, on_master_exit, h);
        return r < 0 ? r : 0;
}

/* --- loading --- */

static void poll_generation(struct haproxy *h);

static void on_loaded(struct haproxy *h) {
        int r;

        set_json(&h->loaded, TAKE_PTR(h->trying));
        set_json(&h->slots, TAKE_PTR(h->trying_slots));
        h->loaded_generation = h->generation;
        h->state = IDLE;
        metric_set(h->running, 1);
        metric_add(h->reloads, 1);
        r = folder_clean(h->options.run_dir, h->generation);
        if (r < 0)
                log_warning_errno(r, "Cannot remove old configurations in %s", h->options.run_dir);
        tick(h);
}

static void on_poll(int error, const char *why, void *userdata) {
        struct haproxy *h = userdata;

        h->call = NULL;
        if (error == 0) {
                on_loaded(h);
                return;
        }
        tick_later(h, POLL_US);
}

static void poll_generation(struct haproxy *h) {
        _cleanup_json_ json_t *none = json_array();
        int r;

        if (now_mono_us() > h->deadline_us) {
                log_error("haproxy did not load a new configuration within %llu s; is a port in "
                          "use by another program?",
                                (unsigned long long)(LOAD_TIMEOUT_US / 1000000));
                give_up_try(h, /* is_refused= */ true);
                return;
        }
        r = none ? runtime_call_new(&h->call, h->options.event, h->socket, h->generation, none,
                                   on_poll, h)
                 : -ENOMEM;
        if (r < 0)
                tick_later(h, POLL_US);
}

static int load(struct haproxy *h) {
        int r = folder_link(h->options.run_dir, h->generation);

        if (r < 0)
                return r;
        if (h->master > 0)
                return kill(h->master, SIGUSR2) < 0 ? -errno : 0;
        return start_master(h);
}

static void begin_load(struct haproxy *h) {
        uint64_t now = now_mono_us();
        int r = load(h);

        if (r < 0) {
                log_error_errno(r, "Cannot load a configuration");
                give_up_try(h, /* is_refused= */ false);
                return;
        }
        h->state = LOADING;
        h->deadline_us = now + LOAD_TIMEOUT_US;
        /* Reloads that follow each other get rarer; a pause of twice the last one resets that. */
        h->pause_us = now < h->reload_at_us + 2 * h->pause_us ? MIN(h->pause_us * 2, PAUSE_MAX_US)
                                                              : PAUSE_MIN_US;
        h->reload_at_us = now + h->pause_us;
        poll_generation(h);
}

/* --- the check --- */

static void on_refused(const char *file, const char *why, void *userdata) {
        json_t *files = userdata;

        (void)json_object_set_new(files, file, json_string(why));
}

/* Certificates that haproxy does not like are reported, and the next decision is without them. */
static void check_failed(struct haproxy *h) {
        _cleanup_free_ char *dir = folder_path(h->options.run_dir, h->generation), *text = NULL;
        _cleanup_json_ json_t *files = json_object(); /* {file: why} */
        const json_t *why;
        const char *file;
        int r = dir && files ? folder_read_check(dir, on_refused, files, &text) : -ENOMEM;

        give_up_try(h, /* is_refused= */ true);
        if (r <= 0)
                log_error("haproxy refuses the new configuration, the present one stays: %s",
                                strempty(text));
        json_object_each (files, file, why)
                h->options.on_refused_certificate(
                                file, json_string_value(why), h->options.userdata);
}

static int on_checked(sd_event_source *s, const siginfo_t *si, void *userdata) {
        struct haproxy *h = userdata;

        h->checker_source = sd_event_source_disable_unref(h->checker_source);
        h->checker = 0;
        if (h->stopped)
                return 0;
        if (si->si_code == CLD_EXITED && si->si_status == 0)
                begin_load(h);
        else
                check_failed(h);
        return 0;
}

static int start_check(struct haproxy *h) {
        _cleanup_free_ char *dir = NULL, *config = NULL, *output = NULL;
        const char *words[] = {"haproxy", "-c", "-f", NULL, NULL};
        int r;

        h->generation++;
        dir = folder_path(h->options.run_dir, h->generation);
        config = dir ? strformat("%s/haproxy.cfg", dir) : NULL;
        output = dir ? strformat("%s/check.log", dir) : NULL;
        if (!config || !output)
                return -ENOMEM;
        r = folder_write(h->options.run_dir, h->generation, h->trying, h->trying_slots);
        if (r < 0)
                return r;
        words[3] = config;
        r = start_process(h, words, output, &h->checker);
        if (r < 0)
                return r;
        h->deadline_us = now_mono_us() + CHECK_TIMEOUT_US;
        tick_later(h, CHECK_TIMEOUT_US);
        r = sd_event_add_child(
                        h->options.event, &h->checker_source, h->checker, WEXITED, on_checked, h);
        return r < 0 ? r : 0;
}

static void begin_check(struct haproxy *h) {
        bool grown;
        int r;

        set_json(&h->trying, json_ref(h->wanted));
        set_json(&h->trying_slots, ingress_slots(h->wanted, h->slots, &grown));
        set_json(&h->refused, NULL);
        h->state = CHECKING;
        r = start_check(h);
        if (r < 0) {
                log_error_errno(r, "Cannot write a configuration below %s", h->options.run_dir);
                give_up_try(h, /* is_refused= */ false);
        }
}

/* --- endpoints --- */

static void on_updated(int error, const char *why, void *userdata) {
        struct haproxy *h = userdata;

        h->call = NULL;
        h->state = IDLE;
        if (error < 0) {
                /* Its slots are not known now: the next step loads a whole configuration. */
                log_warning_errno(error, "haproxy did not take new endpoints%s%s; it is reloaded",
                                why ? ": " : "", strempty(why));
                metric_add(h->failures, 1);
                set_json(&h->loaded, NULL);
                set_json(&h->slots, NULL);
        } else {
                set_json(&h->loaded, json_ref(h->trying));
                set_json(&h->slots, json_ref(h->trying_slots));
                metric_add(h->updates, 1);
        }
        set_json(&h->trying, NULL);
        set_json(&h->trying_slots, NULL);
        tick(h);
}

/* What it runs with the endpoints that are wanted now, as far as they fit: all that can be done
 * before the next reload. */
static bool begin_update(struct haproxy *h) {
        _cleanup_json_ json_t *commands = json_array();
        bool grown;
        int r;

        if (!commands || !h->loaded || !h->slots)
                return false;
        set_json(&h->trying, ingress_with_endpoints(h->loaded, h->wanted, h->slots));
        set_json(&h->trying_slots, ingress_slots(h->trying, h->slots, &grown));
        ingress_commands(h->slots, h->trying_slots, commands);
        if (json_array_size(commands) > 0) {
                r = runtime_call_new(&h->call, h->options.event, h->socket, h->loaded_generation,
                                commands, on_updated, h);
                if (r >= 0) {
                        h->state = UPDATING;
                        return true;
                }
                log_warning_errno(r, "Cannot reach haproxy's socket %s", h->socket);
                tick_later(h, RESTART_US);
        }
        set_json(&h->trying, NULL);
        set_json(&h->trying_slots, NULL);
        return json_array_size(commands) > 0;
}

/* --- the whole --- */

/* Whether what it runs has the structure that is wanted, and room for all endpoints. */
static bool is_loaded(const struct haproxy *h) {
        _cleanup_json_ json_t *slots = NULL;
        bool grown;

        if (h->master <= 0 || !h->loaded || !ingress_same_structure(h->loaded, h->wanted))
                return false;
        slots = ingress_slots(h->wanted, h->slots, &grown);
        return !grown;
}

static void tick_idle(struct haproxy *h) {
        uint64_t now = now_mono_us();

        if (!h->wanted || h->stopped)
                return;
        if (begin_update(h))
                return;
        if (is_loaded(h)) {
                set_json(&h->refused, NULL);
                return;
        }
        if (h->refused && ingress_same_structure(h->refused, h->wanted) && now < h->retry_at_us) {
                tick_later(h, h->retry_at_us - now);
                return;
        }
        if (now < h->reload_at_us) {
                tick_later(h, h->reload_at_us - now);
                return;
        }
        begin_check(h);
}

static void tick(struct haproxy *h) {
        switch (h->state) {
        case IDLE:
                tick_idle(h);
                return;
        case CHECKING:
                if (h->checker > 0 && now_mono_us() >= h->deadline_us)
                        (void)kill(h->checker, SIGKILL); /* on_checked() follows */
                return;
        case LOADING:
                if (!h->call)
                        poll_generation(h);
                return;
        case UPDATING:
                return;
        }
        assert_not_reached();
}

void haproxy_want(struct haproxy *h, json_t *decision) {
        set_json(&h->wanted, decision);
        if (h->state == IDLE)
                tick(h);
}

const char *haproxy_not_ready(const struct haproxy *h) {
        if (h->stopped)
                return "it is being stopped";
        if (h->master <= 0 || h->loaded_generation == 0)
                return "haproxy has not loaded a configuration yet";
        return NULL;
}

static int on_drain_over(sd_event_source *s, uint64_t usec, void *userdata) {
        struct haproxy *h = userdata;

        h->timer = sd_event_source_disable_unref(h->timer);
        if (h->master > 0) {
                log_notice("haproxy still has connections: they are closed");
                (void)kill(h->master, SIGTERM);
        }
        return 0;
}

void haproxy_stop(struct haproxy *h, uint64_t drain_us, void (*done)(void *userdata),
                void *userdata) {
        h->stopped = done;
        h->stopped_userdata = userdata;
        h->timer = sd_event_source_disable_unref(h->timer);
        h->call = runtime_call_free(h->call);
        if (h->master <= 0 || kill(h->master, SIGUSR1) < 0) {
                done(userdata);
                return;
        }
        if (sd_event_add_time_relative(h->options.event, &h->timer, CLOCK_MONOTONIC, drain_us,
                            /* accuracy= */ 0, on_drain_over, h) < 0)
                (void)kill(h->master, SIGTERM);
}

static int make_metrics(struct haproxy *h) {
        struct metrics *m = h->options.metrics;

        h->reloads = metrics_counter(m, "keelson_ingress_reloads_total", "",
                        "Configurations that haproxy has loaded.");
        h->failures = metrics_counter(m, "keelson_ingress_failures_total", "",
                        "Configurations and commands that haproxy has refused.");
        h->updates = metrics_counter(m, "keelson_ingress_updates_total", "",
                        "Changes of endpoints without a reload.");
        h->running = metrics_gauge(m, "keelson_ingress_haproxy_up", "", "1 while haproxy runs.");
        return h->reloads && h->failures && h->updates && h->running ? 0 : -ENOMEM;
}

int haproxy_new(struct haproxy **ret, const struct haproxy_options *options) {
        _cleanup_(haproxy_freep) struct haproxy *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return -ENOMEM;
        h->options = *options;
        h->pause_us = PAUSE_MIN_US;
        h->socket = strformat("%s/admin.sock", options->run_dir);
        if (!h->socket)
                return -ENOMEM;
        r = make_metrics(h);
        if (r < 0)
                return r;
        r = folder_clean(options->run_dir, /* generation= */ 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

static void end_process(pid_t pid, sd_event_source *source) {
        sd_event_source_disable_unref(source);
        if (pid <= 0)
                return;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
}

struct haproxy *haproxy_free(struct haproxy *h) {
        if (!h)
                return NULL;
        runtime_call_free(h->call);
        sd_event_source_disable_unref(h->timer);
        end_process(h->checker, h->checker_source);
        end_process(h->master, h->master_source);
        json_decref(h->wanted);
        json_decref(h->loaded);
        json_decref(h->slots);
        json_decref(h->trying);
        json_decref(h->trying_slots);
        json_decref(h->refused);
        free(h->socket);
        free(h);
        return NULL;
}
