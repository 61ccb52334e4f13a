/* The common part of the leader-elected daemons. */
#include "reconcilers/program.h"

#include "config.h"
#include "lib/client/leader.h"
#include "lib/log.h"
#include "lib/random.h"

struct program {
        struct program_options options;
        struct daemon *daemon;
        struct api_client *client;
        struct leader *leader;
        struct metric *leading_metric, *master_metric;
        bool leading;
};

#define AT(field) offsetof(struct program_flags, field)
static const struct option_row common_rows[] = {
                {"kubeconfig", 0, OPTION_STRING, AT(kubeconfig), "FILE",
                                "how to reach the API and as whom ($KUBECONFIG, ~/.kube/config)",
                                NULL},
                {"health-address", 0, OPTION_STRING, AT(health_address), "ADDR",
                                "where /healthz and /metrics are served; empty: nowhere", NULL},
                {"log-level", 0, OPTION_STRING, AT(log_level), "LEVEL",
                                "debug, info, notice, warning or error", "info"},
                {"leader-elect", 0, OPTION_BOOL, AT(leader_elect), NULL,
                                "act only while holding its lease in kube-system", "true"},
};

static int set_log_level(const struct program_entry *entry, struct problem *p) {
        const char *text = strempty(entry->flags->log_level);
        int level = log_level_from_string(text);

        if (level < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "--log-level \"%s\" is none of debug, info, notice, warning, error",
                                text);
        log_setup(entry->name, level);
        return 0;
}

/* 1 when there is nothing left to do, as after --help. */
static int read_flags(const struct program_entry *entry, const struct option_program *options,
                int argc, char **argv, struct problem *p) {
        int r = options_parse(options, entry->flags, argc, argv, /* ret_words= */ NULL, p);

        if (r != 0)
                return r;
        return set_log_level(entry, p);
}

int program_main(int argc, char **argv, const struct program_entry *entry) {
        size_t count = ELEMENTS(common_rows) + entry->row_count;
        _cleanup_free_ struct option_row *rows = calloc(count, sizeof(*rows));
        struct option_program options = {entry->name, entry->summary, "[OPTION...]", rows, count};
        _cleanup_problem_ struct problem p = {0};
        int r, code;

        log_setup(entry->name, LOG_INFO);
        if (!rows) {
                log_oom();
                return 1;
        }
        memcpy(rows, common_rows, sizeof(common_rows));
        if (entry->row_count > 0)
                memcpy(rows + ELEMENTS(common_rows), entry->rows, entry->row_count * sizeof(*rows));
        r = read_flags(entry, &options, argc, argv, &p);
        if (r < 0)
                log_error("%s", strempty(p.message));
        code = r < 0 ? 2 : r > 0 ? 0 : entry->run(entry->flags);
        options_done(&options, entry->flags);
        return code;
}

static void set_leading(struct program *program, bool leading) {
        program->leading = leading;
        metric_set(program->leading_metric, leading);
        metric_set(program->master_metric, leading);
        program->options.on_leading(leading, program->options.userdata);
}

static void on_started(void *userdata) {
        struct program *program = userdata;

        log_info("Leading");
        set_leading(program, true);
}

static void on_stopped(void *userdata) {
        struct program *program = userdata;

        log_notice("No longer leading: the lease could not be renewed");
        set_leading(program, false);
}

static bool is_ready(void *userdata, const char **ret_why) {
        struct program *program = userdata;
        const char *why = program->options.not_ready(program->leading, program->options.userdata);

        if (why)
                *ret_why = why;
        return !why;
}

static int start_election(struct program *program) {
        _cleanup_free_ char *identity = NULL;
        char host[256] = "", uuid[UUID_SIZE];
        struct leader_options options = {.ns = "kube-system",
                        .name = program->options.lease ? program->options.lease
                                                       : program->options.name,
                        .on_started = on_started,
                        .on_stopped = on_stopped,
                        .userdata = program};

        if (!program->options.flags->leader_elect) {
                set_leading(program, true);
                return 0;
        }
        (void)gethostname(host, sizeof(host) - 1);
        identity = strformat("%s_%s", host, random_uuid(uuid));
        if (!identity)
                return -ENOMEM;
        options.identity = identity;
        return leader_new(
                        &program->leader, daemon_event(program->daemon), program->client, &options);
}

int program_new(struct program **ret, const struct program_options *options) {
        _cleanup_(program_freep) struct program *program = calloc(1, sizeof(*program));
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *agent = strformat("%s/%s", options->name, PACKAGE_VERSION),
                            *labels = NULL;
        struct api_client_options client = {
                        .kubeconfig = options->flags->kubeconfig, .user_agent = agent};
        int r;

        if (!program || !agent)
                return log_oom();
        program->options = *options;
        r = daemon_new(&program->daemon, options->name);
        if (r < 0)
                return log_error_errno(r, "Cannot start the event loop");
        r = api_client_new(&program->client, daemon_event(program->daemon), &client, &p);
        if (r < 0) {
                log_error("%s", p.message ? p.message : strerror(-r));
                return r;
        }
        program->leading_metric = metrics_gauge(daemon_metrics(program->daemon), "keelson_leading",
                        "", "1 while this process leads.");
        labels = strformat("name=\"%s\"", options->lease ? options->lease : options->name);
        program->master_metric = labels ? metrics_gauge(daemon_metrics(program->daemon),
                                                          "leader_election_master_status", labels,
                                                          "1 while this process holds the lease.")
                                        : NULL;
        if (!program->leading_metric || !program->master_metric)
                return log_oom();
        daemon_on_ready_check(program->daemon, is_ready, program);
        r = daemon_listen_health(program->daemon, options->flags->health_address, &p);
        if (r < 0) {
                log_error("%s", p.message ? p.message : strerror(-r));
                return r;
        }
        *ret = TAKE_PTR(program);
        return 0;
}

struct program *program_free(struct program *program) {
        if (!program)
                return NULL;
        leader_free(program->leader);
        api_client_free(program->client);
        daemon_free(program->daemon);
        free(program);
        return NULL;
}

struct api_client *program_client(struct program *program) {
        return program->client;
}

struct daemon *program_daemon(struct program *program) {
        return program->daemon;
}

int program_run(struct program *program) {
        int r = start_election(program);

        if (r < 0) {
                log_error_errno(r, "Cannot start leader election");
                return 1;
        }
        log_info("Serving %s", api_client_server(program->client));
        daemon_notify_ready(program->daemon, program->options.flags->leader_elect
                                                             ? "Standing by or leading"
                                                             : "Running");
        return daemon_run(program->daemon);
}
