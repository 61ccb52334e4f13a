/* kschedd: the scheduler. Wiring only. */
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/yaml.h"
#include "reconcilers/program.h"
#include "reconcilers/sched/scheduler.h"

struct kschedd_flags {
        struct program_flags common;
        char *scheduler_name, *scheduler_config, *lease;
};

static const struct option_row rows[] = {
                {"scheduler-name", 0, OPTION_STRING, offsetof(struct kschedd_flags, scheduler_name),
                                "NAME", "schedule the pods that name this in spec.schedulerName",
                                "default-scheduler"},
                {"scheduler-config", 0, OPTION_STRING,
                                offsetof(struct kschedd_flags, scheduler_config), "FILE",
                                "a KubeSchedulerConfiguration: profiles with their names, plugins "
                                "and arguments, instead of --scheduler-name",
                                NULL},
                {"lease", 0, OPTION_STRING, offsetof(struct kschedd_flags, lease), "NAME",
                                "the lease in kube-system of this scheduler and its stand-bys; "
                                "schedulers side by side need different ones",
                                "kschedd"},
};

enum { CONFIG_SIZE_MAX = 1 << 20 };

/* The file's first document; NULL without a file. */
static int read_config(const char *path, json_t **ret) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r;

        if (isempty(path))
                return 0;
        r = file_read(path, CONFIG_SIZE_MAX, &text, &n);
        if (r < 0)
                return log_error_errno(r, "Cannot read --scheduler-config %s", path);
        r = yaml_parse(text, n, &docs, &p);
        if (r < 0) {
                log_error("--scheduler-config %s: %s", path, strempty(p.message));
                return r;
        }
        if (docs.count == 0) {
                log_error("--scheduler-config %s is empty", path);
                return -EINVAL;
        }
        *ret = json_incref(docs.items[0].value);
        return 0;
}

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
        _cleanup_json_ json_t *config = NULL;
        struct program_options options = {.name = "kschedd",
                        .lease = flags->lease,
                        .flags = common,
                        .on_leading = on_leading,
                        .not_ready = not_ready,
                        .userdata = &k};
        int code = 1;

        if (read_config(flags->scheduler_config, &config) < 0)
                return 1;
        if (program_new(&program, &options) < 0)
                return 1;
        api_client_set_lean(program_client(program));
        struct scheduler_options scheduler = {.event = daemon_event(program_daemon(program)),
                        .client = program_client(program),
                        .metrics = daemon_metrics(program_daemon(program)),
                        .name = flags->scheduler_name,
                        .config = config};

        if (scheduler_new(&k.scheduler, &scheduler) >= 0)
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
