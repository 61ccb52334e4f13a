/* The commands of exec probes: oneshot units with the container's own user, root, mounts, limits
 * and network. */
#include "nodeagent/pod/internal.h"

#include "nodeagent/plan/pod-units.h"
#include "nodeagent/pod/volumes.h"

struct container_exec {
        struct container *container;
        struct probe *probe;
        struct units_exec *run;
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

static void on_probe_done(const char *result, void *userdata) {
        struct container_exec *x = userdata;
        struct probe *probe = x->probe;
        char message[256];
        bool passed = streq(result, "done");

        exec_free(x);
        snprintf(message, sizeof(message), "command %s",
                        streq(result, "timeout") ? "timed out"
                        : passed                 ? "done"
                                                 : "failed");
        probe_exec_done(probe, passed, message);
}

int container_exec_probe(struct container *c, struct probe *probe, const json_t *command,
                uint64_t timeout_us) {
        const json_t *unit = container_unit(c);
        _cleanup_free_ char *name = pod_exec_unit_name(
                        c->pod->object, c->record->name, c->pod->pods->exec_serial++);
        _cleanup_json_ json_t *run =
                        unit && name ? pod_exec_unit(unit, name, command, timeout_us) : NULL;
        struct container_exec *x = run ? calloc(1, sizeof(*x)) : NULL;
        int r;

        if (!x)
                return unit ? -ENOMEM : -ENOENT;
        *x = (struct container_exec){c, probe, NULL, json_incref(run), c->execs};
        r = volumes_write_commands(run);
        if (r >= 0)
                r = units_exec_start(c->pod->pods->agent->units, run, on_probe_done, x, &x->run);
        if (r < 0) {
                exec_free(x);
                return r;
        }
        c->execs = x;
        return 0;
}

void container_exec_cancel(struct container *c, struct probe *probe) {
        for (struct container_exec *x = c->execs; x; x = x->next)
                if (x->probe == probe) {
                        units_exec_cancel(x->run);
                        exec_free(x);
                        return;
                }
}
