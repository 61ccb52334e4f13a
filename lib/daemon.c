/* The daemons' common frame around sd-event: signals, notifications, health listener. */
#include "lib/daemon.h"

#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "lib/http-server.h"
#include "lib/log.h"
#include "lib/timefmt.h"

struct daemon {
        sd_event *event;
        struct metrics *metrics;
        struct metric *turns, *longest_turn, *longest_cpu;
        double longest_s;
        double cpu_s, longest_cpu_s; /* at the end of the last turn; of the worst one */
        struct http_server *health;
        sd_event_source *sources[2];
        daemon_stop_func on_stop;
        void *stop_userdata;
        daemon_ready_func ready;
        void *ready_userdata;
        bool stopping;
};

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        struct daemon *d = userdata;

        if (d->stopping) /* a second signal: stop at once */
                return sd_event_exit(d->event, 1);
        d->stopping = true;
        sd_notify(0, "STOPPING=1");
        log_info("Stopping on signal %s", strsignal((int)si->ssi_signo));
        if (d->on_stop)
                d->on_stop(d->stop_userdata);
        else
                sd_event_exit(d->event, 0);
        return 0;
}

/* Whatever one turn of the loop does, everything else waits for it. */
static int count_turns(struct daemon *d) {
        static const double bounds[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5};

        d->turns = metrics_histogram_bounds(d->metrics, "keelson_loop_turn_seconds", "",
                        "Turns of the event loop, without the time it waits", bounds,
                        ELEMENTS(bounds));
        d->longest_turn = metrics_gauge(d->metrics, "keelson_loop_longest_turn_seconds", "",
                        "The longest turn of the event loop since the start");
        d->longest_cpu = metrics_gauge(d->metrics, "keelson_loop_longest_turn_cpu_seconds", "",
                        "The most processor time of one turn of the event loop since the start");
        return d->turns && d->longest_turn && d->longest_cpu ? 0 : -ENOMEM;
}

int daemon_new(struct daemon **ret, const char *program) {
        _cleanup_(daemon_freep) struct daemon *d = calloc(1, sizeof(*d));
        struct rlimit files;
        sigset_t mask;
        int r;

        if (!d)
                return -ENOMEM;
        log_setup(program, log_level_max());
        signal(SIGPIPE, SIG_IGN);
        /* Every watch is a connection: take what the hard limit allows. */
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        r = sd_event_default(&d->event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(d->event, &d->sources[0], SIGTERM, on_signal, d);
        if (r < 0)
                return r;
        r = sd_event_add_signal(d->event, &d->sources[1], SIGINT, on_signal, d);
        if (r < 0)
                return r;
        (void)sd_event_set_watchdog(d->event, true);
        d->metrics = metrics_new();
        if (!d->metrics)
                return -ENOMEM;
        r = count_turns(d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

struct daemon *daemon_free(struct daemon *d) {
        if (!d)
                return NULL;
        http_server_free(d->health);
        for (size_t i = 0; i < ELEMENTS(d->sources); i++)
                sd_event_source_unref(d->sources[i]);
        metrics_free(d->metrics);
        sd_event_unref(d->event);
        free(d);
        return NULL;
}

sd_event *daemon_event(struct daemon *d) {
        return d->event;
}

struct metrics *daemon_metrics(struct daemon *d) {
        return d->metrics;
}

void daemon_on_stop(struct daemon *d, daemon_stop_func func, void *userdata) {
        d->on_stop = func;
        d->stop_userdata = userdata;
}

void daemon_on_ready_check(struct daemon *d, daemon_ready_func func, void *userdata) {
        d->ready = func;
        d->ready_userdata = userdata;
}

bool daemon_is_ready(struct daemon *d, const char **ret_why) {
        if (d->stopping) {
                *ret_why = "stopping";
                return false;
        }
        return !d->ready || d->ready(d->ready_userdata, ret_why);
}

static void on_health_request(struct http_request *req, void *userdata) {
        struct daemon *d = userdata;
        const char *path = http_request_path(req), *why = "not ready";

        if (!streq(http_request_method(req), "GET") && !streq(http_request_method(req), "HEAD"))
                http_respond(req, 405, "text/plain", "only GET\n", 9);
        else if (streq(path, "/healthz") || streq(path, "/livez"))
                http_respond(req, 200, "text/plain", "ok", 2);
        else if (streq(path, "/readyz")) {
                if (daemon_is_ready(d, &why))
                        http_respond(req, 200, "text/plain", "ok", 2);
                else
                        http_respond(req, 503, "text/plain", why, strlen(why));
        } else if (streq(path, "/metrics")) {
                _cleanup_buf_ struct buf b = {0};

                if (metrics_render(d->metrics, &b) < 0)
                        http_respond(req, 500, "text/plain", "out of memory\n", 14);
                else
                        http_respond(req, 200, "text/plain; version=0.0.4; charset=utf-8", b.data,
                                        b.size);
        } else
                http_respond(req, 404, "text/plain",
                                "not found; there are /healthz /livez /readyz /metrics\n", 54);
}

int daemon_listen_health(struct daemon *d, const char *address, struct problem *p) {
        struct http_server_options options = {
                        .handler = on_health_request, .userdata = d, .connections_max = 64};
        _cleanup_free_ char *host = NULL;
        const char *path, *colon;

        if (isempty(address))
                return 0;
        path = startswith(address, "unix://");
        if (path)
                options.unix_path = path;
        else {
                const char *rest = startswith(address, "http://");

                address = rest ? rest : address;
                colon = strrchr(address, ':');
                if (!colon || parse_port(colon + 1, &options.port) < 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "health address \"%s\" is not ADDRESS:PORT or unix:///path",
                                        address);
                host = address[0] == '[' && colon[-1] == ']'
                                       ? strndup(address + 1, (size_t)(colon - address) - 2)
                                       : strndup(address, (size_t)(colon - address));
                if (!host)
                        return -ENOMEM;
                options.host = host;
        }
        return http_server_new(&d->health, d->event, &options, p);
}

void daemon_notify_ready(struct daemon *d, const char *status) {
        (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

/* Of this thread: a machine with other work to do makes turns longer, and not this. */
static double cpu_s(void) {
        struct timespec t = {0};

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void count_cpu(struct daemon *d) {
        double now_s = cpu_s(), used_s = now_s - d->cpu_s;

        d->cpu_s = now_s;
        if (used_s > d->longest_cpu_s) {
                d->longest_cpu_s = used_s;
                metric_set(d->longest_cpu, used_s);
        }
}

static int dispatch(struct daemon *d) {
        uint64_t begin = now_mono_us();
        int r = sd_event_dispatch(d->event);
        double took_s = (double)(now_mono_us() - begin) / 1e6;

        metric_observe(d->turns, took_s);
        count_cpu(d);
        if (took_s > d->longest_s) {
                d->longest_s = took_s;
                metric_set(d->longest_turn, took_s);
        }
        return r;
}

/* More than 0: something is there to dispatch. */
static int wait_for_event(struct daemon *d) {
        int r = sd_event_prepare(d->event);

        return r != 0 ? r : sd_event_wait(d->event, UINT64_MAX);
}

/* As sd_event_loop(), with each turn measured. */
static int loop(struct daemon *d) {
        int r, code;

        d->cpu_s = cpu_s(); /* the start of the program is no turn */
        while (sd_event_get_state(d->event) != SD_EVENT_FINISHED) {
                r = wait_for_event(d);
                if (r < 0)
                        return r;
                r = r > 0 ? dispatch(d) : 0;
                if (r < 0)
                        return r;
        }
        r = sd_event_get_exit_code(d->event, &code);
        return r < 0 ? r : code;
}

int daemon_run(struct daemon *d) {
        int r = loop(d);

        if (r < 0)
                log_error_errno(r, "The event loop failed");
        return r < 0 ? 1 : r;
}
