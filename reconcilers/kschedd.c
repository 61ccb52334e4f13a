/* kschedd: the scheduler. Wiring only. */
#include "lib/log.h"
#include "reconcilers/program.h"
#include "reconcilers/scheduler.h"

struct kschedd_flags {
        struct program_flags common;
        char *scheduler_name;
};

static const struct option_row rows[] = {
                {"scheduler-name", 0, OPTION_STRING, offsetof(struct kschedd_flags, scheduler_name),
                                "NAME", "schedule the pods that name this in spec.schedulerName",
                                "default-scheduler"},
};

struct kschedd {
        struct scheduler *scheduler;
};

static void on_leading(bool leading, void *userdata) {
        int r = scheduler_set_leading(((struct kschedd *)userdata)->scheduler, leading);

        if (r < 0)
                log_error_errno(r, "Cannot watch the cluster");
}

static const char *not_ready(bool leading, void *userdata) {
        const struct kschedd *k = userdata;

        return leading && !scheduler_is_synced(k->scheduler) ? "the caches are not filled yet"
                                                             : NULL;
}

static int run(struct program_flags *common) {
        const struct kschedd_flags *flags = container_of(common, struct kschedd_flags, common);
        _cleanup_(program_freep) struct program *program = NULL;
        struct kschedd k = {0};
        struct program_options options = {.name = "kschedd",
                        .flags = common,
                        .on_leading = on_leading,
                        .not_ready = not_ready,
                        .userdata = &k};
        int code = 1;

        if (program_new(&program, &options) < 0)
                return 1;
        struct scheduler_options scheduler = {.event = daemon_event(program_daemon(program)),
                        .client = program_client(program),
                        .metrics = daemon_metrics(program_daemon(program)),
                        .name = flags->scheduler_name};

        if (scheduler_new(&k.scheduler, &scheduler) < 0)
                log_oom();
        else
                code = program_run(program);
        scheduler_free(k.scheduler);
        return code;
}

int main(int argc, char **argv) {
        struct kschedd_flags flags = {0};
        const struct program_entry entry = {.name = "kschedd",
                        .summary = "Finds a node for every pod that has none.",
                        .rows = rows,
                        .row_count = ELEMENTS(rows),
                        .flags = &flags.common,
                        .run = run};

        return program_main(argc, argv, &entry);
}
