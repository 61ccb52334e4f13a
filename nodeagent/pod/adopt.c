/* Containers that are units of the machine: how one is taken and given back. */
#include <unistd.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "nodeagent/logs/logs.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"

void pod_adopt_units(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                struct container *c = p->containers[i];
                int r;

                if (!c->adopts)
                        continue;
                r = runtime_adopt(p->pods->agent->runtime, c->unit, c->adopts,
                                c->record->adoption == ADOPTION_MANAGED);
                if (r < 0)
                        log_warning_errno(r, "Cannot follow the unit %s", c->adopts);
        }
}

/* `knodeagent ssh`, another process, finds the unit's log by it. */
static int write_log_file(struct container *c) {
        _cleanup_free_ char *path = logs_adopted_path(c->pod->uid, c->record->name);
        int r = path ? mkdir_parents(c->pod->run_dir, 0755) : -ENOMEM;

        return r < 0 ? r : file_write_atomic(path, c->adopts, strlen(c->adopts), 0644);
}

static void write_log_origin(struct container *c) {
        int r = write_log_file(c);

        if (r < 0)
                log_warning_errno(r, "The log of %s cannot be shown as container %s's", c->adopts,
                                c->record->name);
}

void container_limit_adopted(struct container *c) {
        const json_t *unit = container_plan(c);
        int r = unit ? runtime_adopt_limit(c->pod->pods->agent->runtime, c->unit,
                                       json_at(unit, "properties"))
                     : -ENOENT;

        if (r < 0)
                pod_event(c->pod, "Warning", "Failed",
                                "Error: %s cannot get its unit properties: %s", c->adopts,
                                strerror(-r));
}

void container_adopt(struct container *c) {
        struct container_record *r = c->record;
        struct run_state state;
        bool runs = runtime_state(c->pod->pods->agent->runtime, c->unit, &state) > 0 &&
                    state.phase != RUN_STOPPED && state.phase != RUN_FAILED;

        r->found = runs ? UNIT_FOUND_RUNNING : UNIT_FOUND_STOPPED;
        /* On disk before anything is changed. */
        pod_report(c->pod);
        write_log_origin(c);
        if (r->adoption == ADOPTION_MANAGED)
                container_limit_adopted(c);
        pod_event(c->pod, "Normal", "Adopted",
                        "Unit %s of the machine, which %s, is container %s (%s)", c->adopts,
                        runs ? "runs" : "does not run", r->name,
                        r->adoption == ADOPTION_MANAGED ? "managed" : "read-only");
}

void pod_release_units(struct pod *p) {
        for (size_t i = 0; i < p->count; i++)
                if (p->containers[i]->adopts)
                        runtime_adopt_release(p->pods->agent->runtime, p->containers[i]->unit);
}
