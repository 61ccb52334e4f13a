/* kschedd: the scheduler. Wiring only. */
#include "lib/log.h"
#include "lib/options.h"
#include "reconcilers/frame.h"
#include "reconcilers/scheduler.h"

struct arguments {
        char *kubeconfig, *health_address, *log_level, *scheduler_name;
        bool leader_elect;
};

#define AT(field) offsetof(struct arguments, field)
static const struct option_row rows[] = {
                {"kubeconfig", 0, OPTION_STRING, AT(kubeconfig), "FILE",
                                "how to reach the API and as whom ($KUBECONFIG, ~/.kube/config)",
                                NULL},
                {"health-address", 0, OPTION_STRING, AT(health_address), "ADDR",
                                "where /healthz and /metrics are served; empty: nowhere",
                                NULL},
                {"log-level", 0, OPTION_STRING, AT(log_level), "LEVEL",
                                "debug, info, notice, warning or error", "info"},
                {"leader-elect", 0, OPTION_BOOL, AT(leader_elect), NULL,
                                "act only while holding the lease kube-system/kschedd", "true"},
                {"scheduler-name", 0, OPTION_STRING, AT(scheduler_name), "NAME",
                                "schedule the pods that name this in spec.schedulerName",
                                "default-scheduler"},
};
static const struct option_program program = {"kschedd",
                "Finds a node for every pod that has none.", "[OPTION...]", rows, ELEMENTS(rows)};

struct kschedd {
        struct scheduler *scheduler;
};

static void on_leading(bool leading, void *userdata) {
        int r = scheduler_set_leading(((struct kschedd *)userdata)->scheduler, leading);

        if (r < 0)
                log_error_errno(r, "Cannot watch the cluster");
}

static const char *not_ready(void *userdata) {
        return scheduler_is_synced(((struct kschedd *)userdata)->scheduler)
                               ? NULL
                               : "the caches are not filled yet";
}

static int run(const struct arguments *args) {
        _cleanup_(frame_freep) struct frame *frame = NULL;
        struct kschedd k = {0};
        struct frame_options options = {.program = "kschedd",
                        .kubeconfig = args->kubeconfig,
                        .health_address = args->health_address,
                        .log_level = args->log_level,
                        .leader_elect = args->leader_elect,
                        .on_leading = on_leading,
                        .not_ready = not_ready,
                        .userdata = &k};
        int r = 1;

        if (frame_new(&frame, &options) < 0)
                return 1;
        struct scheduler_options scheduler = {.event = daemon_event(frame_daemon(frame)),
                        .client = frame_client(frame),
                        .metrics = daemon_metrics(frame_daemon(frame)),
                        .name = args->scheduler_name};

        if (scheduler_new(&k.scheduler, &scheduler) < 0)
                log_oom();
        else
                r = frame_run(frame);
        scheduler_free(k.scheduler);
        return r;
}

int main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        struct arguments args = {0};
        int r;

        log_setup("kschedd", LOG_INFO);
        r = options_parse(&program, &args, argc, argv, NULL, &p);
        if (r < 0)
                log_error("%s", strempty(p.message));
        r = r < 0 ? 2 : r > 0 ? 0 : run(&args);
        options_done(&program, &args);
        return r;
}
