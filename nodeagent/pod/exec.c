/* The commands of exec probes: they run once beside the container, with its own user, root, mounts,
 * limits and network. */
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/stage.h"
#include "nodeagent/pod/volumes.h"

struct container_exec {
        struct container *container;
        struct probe *probe;
        struct runtime_exec *run;
        json_t *unit;
        struct container_exec *next;
};

static void exec_free(struct container_exec *x) {
        for (struct container_exec **i = &x->container->execs; *i; i = &(*i)->next)
                if (*i == x) {
                        *i = x->next;
                        break;
                }
        volumes_remove_commands(x->unit);
        json_decref(x->unit);
        free(x);
}

static void on_done(enum exec_outcome outcome, const char *message, void *userdata) {
        struct container_exec *x = userdata;
        struct probe *probe = x->probe;

        exec_free(x);
        probe_exec_done(probe, outcome == EXEC_DONE,
                        outcome == EXEC_DONE      ? "command done"
                        : outcome == EXEC_TIMEOUT ? "command timed out"
                                                  : "command failed");
}

static int start(struct container_exec *x) {
        int r = container_join(x->container, x->unit);

        if (r < 0)
                return r;
        r = stage_command(x->unit);
        if (r < 0)
                return r;
        r = volumes_write_commands(x->unit);
        if (r < 0)
                return r;
        return runtime_exec(x->container->pod->pods->agent->runtime, x->unit, on_done, x, &x->run);
}

int container_exec_probe(struct container *c, struct probe *probe, const json_t *command,
                uint64_t timeout_us) {
        struct pods *all = c->pod->pods;
        const json_t *unit = container_plan(c);
        _cleanup_free_ char *name =
                        pod_exec_unit_name(c->pod->object, c->record->name, all->exec_serial++);
        struct container_exec *x;
        json_t *run;
        int r;

        if (!unit)
                return -ENOENT;
        run = name ? pod_exec_unit(unit, name, command, timeout_us) : NULL;
        if (!run)
                return -ENOMEM;
        x = calloc(1, sizeof(*x));
        if (!x) {
                json_decref(run);
                return -ENOMEM;
        }
        *x = (struct container_exec){.container = c, .probe = probe, .unit = run, .next = c->execs};
        c->execs = x;
        r = start(x);
        if (r < 0)
                exec_free(x);
        return r;
}

void container_exec_cancel(struct container *c, struct probe *probe) {
        for (struct container_exec *x = c->execs; x; x = x->next)
                if (x->probe == probe) {
                        runtime_exec_cancel(c->pod->pods->agent->runtime, x->run);
                        exec_free(x);
                        return;
                }
}
