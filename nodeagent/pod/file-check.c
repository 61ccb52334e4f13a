/* Whether the files that pods read are as they were made: once a minute, and after a daemon-reload.
 * A few pods at a time, so that the loop is not held, whatever their number. */
#include "lib/log.h"
#include "lib/object.h"
#include "nodeagent/host-drift.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/volumes.h"

enum { PODS_PER_TURN = 8, TURN_US = 10000 };

static void check(struct pod *p) {
        struct host_drift *drift = p->pods->agent->drift;
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_free_ char *file = NULL, *what = NULL;
        const json_t *volumes = json_at(p->sandbox.plan, "volumes");
        bool news = false, repair;
        int r;

        if (p->memory.stage != POD_ALIVE || !p->sandbox.ready || p->usage.swept ||
                        volumes_check(volumes, &file) <= 0)
                return;
        what = strformat("%s of pod %s/%s was changed", file, object_namespace(p->object),
                        object_name(p->object));
        repair = what && host_drift_found(drift, DRIFT_FILE, what, &news);
        if (news)
                pod_event(p, "Warning", "FileDrift", "%s and %s", what,
                                repair ? "has been restored" : "is left as it is (--drift=report)");
        r = repair ? volumes_restore(volumes, &problem) : 0;
        if (r < 0)
                log_warning_errno(r, "%s", strempty(problem.message));
}

static int on_turn(sd_event_source *s, uint64_t usec, void *userdata) {
        struct pods *all = userdata;
        unsigned n = 0;

        all->file_check = sd_event_source_disable_unref(all->file_check);
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (!p->files_due)
                        continue;
                if (n++ == PODS_PER_TURN)
                        return sd_event_add_time_relative(all->agent->event, &all->file_check,
                                        CLOCK_MONOTONIC, TURN_US, 0, on_turn, all);
                p->files_due = false;
                check(p);
        }
        return 0;
}

void pods_check_files(struct pods *all) {
        map_foreach (all->by_uid, e)
                ((struct pod *)map_entry_value(e))->files_due = true;
        if (!all->file_check)
                (void)sd_event_add_time_relative(all->agent->event, &all->file_check,
                                CLOCK_MONOTONIC, TURN_US, 0, on_turn, all);
}
