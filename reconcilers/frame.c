/* The common frame of the leader-elected daemons. */
#include "reconcilers/frame.h"

#include "config.h"
#include "lib/client/leader.h"
#include "lib/log.h"
#include "lib/random.h"

struct frame {
        struct frame_options options;
        struct daemon *daemon;
        struct api_client *client;
        struct leader *leader;
        struct metric *leading_metric;
        bool leading;
};

static void set_leading(struct frame *f, bool leading) {
        f->leading = leading;
        metric_set(f->leading_metric, leading);
        f->options.on_leading(leading, f->options.userdata);
}

static void on_started(void *userdata) {
        struct frame *f = userdata;

        log_info("Leading");
        set_leading(f, true);
}

static void on_stopped(void *userdata) {
        struct frame *f = userdata;

        log_notice("No longer leading: the lease could not be renewed");
        set_leading(f, false);
}

static bool is_ready(void *userdata, const char **ret_why) {
        struct frame *f = userdata;
        const char *why = f->leading ? f->options.not_ready(f->options.userdata) : NULL;

        if (why)
                *ret_why = why;
        return !why;
}

static int start_election(struct frame *f) {
        _cleanup_free_ char *identity = NULL;
        char host[256] = "", uuid[UUID_SIZE];
        struct leader_options options = {.ns = "kube-system",
                        .name = f->options.program,
                        .on_started = on_started,
                        .on_stopped = on_stopped,
                        .userdata = f};

        if (!f->options.leader_elect) {
                set_leading(f, true);
                return 0;
        }
        (void)gethostname(host, sizeof(host) - 1);
        identity = strformat("%s_%s", host, random_uuid(uuid));
        if (!identity)
                return -ENOMEM;
        options.identity = identity;
        return leader_new(&f->leader, daemon_event(f->daemon), f->client, &options);
}

int frame_new(struct frame **ret, const struct frame_options *options) {
        _cleanup_(frame_freep) struct frame *f = calloc(1, sizeof(*f));
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *agent = strformat("%s/%s", options->program, PACKAGE_VERSION);
        struct api_client_options client = {.kubeconfig = options->kubeconfig, .user_agent = agent};
        int r, level;

        if (!f || !agent)
                return log_oom();
        f->options = *options;
        level = log_level_from_string(strempty(options->log_level));
        if (level < 0) {
                log_error("--log-level \"%s\" is none of debug, info, notice, warning, error",
                                strempty(options->log_level));
                return level;
        }
        log_setup(options->program, level);
        r = daemon_new(&f->daemon, options->program);
        if (r < 0)
                return log_error_errno(r, "Cannot start the event loop");
        r = api_client_new(&f->client, daemon_event(f->daemon), &client, &p);
        if (r < 0) {
                log_error("%s", p.message ? p.message : strerror(-r));
                return r;
        }
        f->leading_metric = metrics_gauge(daemon_metrics(f->daemon), "keelson_leading", "",
                        "1 while this process leads.");
        if (!f->leading_metric)
                return log_oom();
        daemon_on_ready_check(f->daemon, is_ready, f);
        r = daemon_listen_health(f->daemon, options->health_address, &p);
        if (r < 0) {
                log_error("%s", p.message ? p.message : strerror(-r));
                return r;
        }
        *ret = TAKE_PTR(f);
        return 0;
}

struct frame *frame_free(struct frame *f) {
        if (!f)
                return NULL;
        leader_free(f->leader);
        api_client_free(f->client);
        daemon_free(f->daemon);
        free(f);
        return NULL;
}

struct api_client *frame_client(struct frame *f) {
        return f->client;
}

struct daemon *frame_daemon(struct frame *f) {
        return f->daemon;
}

int frame_run(struct frame *f) {
        int r = start_election(f);

        if (r < 0) {
                log_error_errno(r, "Cannot start leader election");
                return 1;
        }
        log_info("Serving %s", api_client_server(f->client));
        daemon_notify_ready(
                        f->daemon, f->options.leader_elect ? "Standing by or leading" : "Running");
        return daemon_run(f->daemon);
}
