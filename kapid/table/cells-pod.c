/* A pod's row: how many containers are ready, and its state in one word, by the rules of
 * docs/wire.md section 16. */
#include "kapid/table/cells.h"

#include "lib/object.h"
#include "lib/timefmt.h"

/* Gathered by the walk over the container statuses. */
struct pod_view {
        char *reason; /* owned */
        size_t ready, total, restarts;
        const char *last_restart;
        bool initializing;
};

static void say(struct pod_view *v, char *text) {
        free(v->reason);
        v->reason = text;
}

static bool is_sidecar(const json_t *pod, const char *name) {
        const json_t *c = json_named(json_at(pod, "spec.initContainers"), name);

        return streq(json_str_or(c, "restartPolicy", ""), "Always");
}

static void count_restarts(struct pod_view *v, const json_t *status) {
        const char *finished = json_str(status, "lastState.terminated.finishedAt");

        v->restarts += (size_t)MAX(json_int_or(status, "restartCount", 0), (int64_t)0);
        if (finished && (!v->last_restart || strcmp(finished, v->last_restart) > 0))
                v->last_restart = finished;
}

static char *terminated_word(const json_t *terminated, const char *prefix) {
        const char *reason = json_str_or(terminated, "reason", "");

        if (*reason)
                return strformat("%s%s", prefix, reason);
        if (json_int_or(terminated, "signal", 0) != 0)
                return strformat("%sSignal:%i", prefix, (int)json_int_or(terminated, "signal", 0));
        return strformat("%sExitCode:%i", prefix, (int)json_int_or(terminated, "exitCode", 0));
}

/* True when an init container has not done its part: its word is the pod's. */
static bool look_at_init(struct pod_view *v, const json_t *pod) {
        const json_t *list = json_at(pod, "status.initContainerStatuses"), *status;
        size_t total = json_array_size(json_at(pod, "spec.initContainers")), i;

        json_array_foreach (list, i, status) {
                const json_t *terminated = json_at(status, "state.terminated"),
                             *waiting = json_at(status, "state.waiting");
                const char *why = json_str_or(waiting, "reason", "");
                bool sidecar = is_sidecar(pod, json_str_or(status, "name", ""));

                count_restarts(v, status);
                if (sidecar) {
                        v->total++;
                        v->ready += json_bool_or(status, "ready", false);
                }
                if (terminated && json_int_or(terminated, "exitCode", -1) == 0)
                        continue;
                if (sidecar && json_bool_or(status, "started", false))
                        continue;
                if (terminated)
                        say(v, terminated_word(terminated, "Init:"));
                else if (*why && !streq(why, "PodInitializing"))
                        say(v, strformat("Init:%s", why));
                else
                        say(v, strformat("Init:%zu/%zu", i, total));
                return true;
        }
        return false;
}

static void look_at_containers(struct pod_view *v, const json_t *pod) {
        const json_t *list = json_at(pod, "status.containerStatuses");
        bool running = false;

        for (size_t i = json_array_size(list); i-- > 0;) {
                const json_t *status = json_array_get(list, i);
                const json_t *waiting = json_at(status, "state.waiting"),
                             *terminated = json_at(status, "state.terminated");

                count_restarts(v, status);
                if (*json_str_or(waiting, "reason", ""))
                        say(v, strdup(json_str_or(waiting, "reason", "")));
                else if (terminated)
                        say(v, terminated_word(terminated, ""));
                else if (json_bool_or(status, "ready", false) && json_at(status, "state.running")) {
                        running = true;
                        v->ready++;
                }
        }
        if (v->reason && streq(v->reason, "Completed") && running)
                say(v, strdup(object_condition_true(pod, "Ready") ? "Running" : "NotReady"));
}

static void look(struct pod_view *v, const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "Unknown"),
                   *reason = json_str_or(pod, "status.reason", "");

        v->total = json_array_size(json_at(pod, "spec.containers"));
        say(v, strdup(*reason ? reason : phase));
        v->initializing = look_at_init(v, pod);
        if (!v->initializing || object_condition_true(pod, "Initialized"))
                look_at_containers(v, pod);
        if (object_is_deleting(pod)) {
                if (streq(reason, "NodeLost"))
                        say(v, strdup("Unknown"));
                else if (!streq(phase, "Succeeded") && !streq(phase, "Failed"))
                        say(v, strdup("Terminating"));
        }
}

json_t *cells_pod_gates(const json_t *pod, uint64_t now_us) {
        const json_t *gates = json_at(pod, "spec.readinessGates"), *gate;
        size_t n = json_array_size(gates), met = 0, i;

        if (n == 0)
                return json_string("<none>");
        json_array_foreach (gates, i, gate)
                met += object_condition_true(pod, json_str_or(gate, "conditionType", ""));
        return json_sprintf("%zu/%zu", met, n);
}

json_t *cells_pod_ready(const json_t *pod, uint64_t now_us) {
        struct pod_view v = {0};

        look(&v, pod);
        free(v.reason);
        return json_sprintf("%zu/%zu", v.ready, v.total);
}

json_t *cells_pod_status(const json_t *pod, uint64_t now_us) {
        struct pod_view v = {0};
        json_t *cell;

        look(&v, pod);
        cell = json_string(strempty(v.reason));
        free(v.reason);
        return cell;
}

json_t *cells_pod_restarts(const json_t *pod, uint64_t now_us) {
        struct pod_view v = {0};
        char buffer[TIMEFMT_SIZE];
        uint64_t then;

        look(&v, pod);
        free(v.reason);
        if (v.restarts > 0 && v.last_restart && time_parse(v.last_restart, &then) == 0)
                return json_sprintf("%zu (%s ago)", v.restarts,
                                age_format(now_us > then ? now_us - then : 0, buffer));
        return json_sprintf("%zu", v.restarts);
}
