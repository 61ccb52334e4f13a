/* The probes of one container's run. Verdicts are kept for the next look, which acts on them. */
#include "lib/log.h"
#include "nodeagent/pod/pod.h"

static const struct {
        const char *field, *name;
} kinds[PROBE_KINDS] = {[PROBE_STARTUP] = {"startupProbe", "Startup"},
                [PROBE_LIVENESS] = {"livenessProbe", "Liveness"},
                [PROBE_READINESS] = {"readinessProbe", "Readiness"}};

static enum probe_kind kind_of(const struct container *c, const struct probe *probe) {
        for (size_t k = 0; k < PROBE_KINDS; k++)
                if (c->probes.probe[k] == probe)
                        return (enum probe_kind)k;
        assert_not_reached();
}

static void on_verdict(struct probe *probe, bool passed, const char *message, void *userdata) {
        struct container *c = userdata;

        c->probes.verdict[kind_of(c, probe)] = passed ? PROBE_PASSED : PROBE_FAILED;
        pod_wake(c->pod);
}

static void on_check(struct probe *probe, bool passed, void *userdata) {
        struct container *c = userdata;

        metric_add(c->pod->pods->agent->figures.probes[kind_of(c, probe)][passed], 1);
}

static void on_failure(struct probe *probe, const char *message, void *userdata) {
        struct container *c = userdata;

        pod_event(c->pod, "Warning", "Unhealthy", "%s probe failed: %s",
                        kinds[kind_of(c, probe)].name, message);
}

static int on_exec(
                struct probe *probe, const json_t *command, uint64_t timeout_us, void *userdata) {
        return container_exec_probe(userdata, probe, command, timeout_us);
}

static void on_exec_cancel(struct probe *probe, void *userdata) {
        container_exec_cancel(userdata, probe);
}

/* The verdict that holds until the probe's own: liveness is taken for granted, readiness is what it
 * was (an adopted container stays ready), startup is still to come. */
static bool initial(const struct container *c, enum probe_kind kind) {
        return kind == PROBE_LIVENESS || (kind == PROBE_READINESS && c->memory.ready);
}

void container_probe_start(struct container *c, enum probe_kind kind) {
        const json_t *spec = container_spec(c);
        struct probe_options o = {.spec = json_at(spec, kinds[kind].field),
                        .container = spec,
                        .address = c->pod->sandbox.ip,
                        .initial = initial(c, kind),
                        .exec = on_exec,
                        .exec_cancel = on_exec_cancel,
                        .on_verdict = on_verdict,
                        .on_check = on_check,
                        .on_failure = on_failure,
                        .userdata = c};

        assert(kind < PROBE_KINDS && !c->probes.probe[kind]);
        if (probe_new(&c->probes.probe[kind], c->pod->pods->agent->event, &o) < 0) {
                log_oom();
                return;
        }
        c->probes.verdict[kind] = PROBE_ASKING;
}

void container_probe_stop(struct container *c, enum probe_kind kind) {
        assert(kind < PROBE_KINDS);
        c->probes.probe[kind] = probe_free(c->probes.probe[kind]);
        c->probes.verdict[kind] = PROBE_OFF;
}

void container_probes_stop(struct container *c) {
        for (size_t k = 0; k < PROBE_KINDS; k++)
                container_probe_stop(c, (enum probe_kind)k);
}
