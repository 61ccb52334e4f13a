/* Carries decisions out: a row for each type of action. What comes of an action is seen in the next
 * look; an action that changes what is seen at once has the decision say `again`. */
#include <signal.h>

#include "lib/timefmt.h"
#include "nodeagent/pod/pod.h"

/* Admission, preparing, hooks that start and hooks that cannot be started: a few rounds each. */
enum { ROUNDS_MAX = 16 };

static void do_save(struct pod *p, const struct action *x) {
        pod_save_desired(p);
}

static void do_fail(struct pod *p, const struct action *x) {
        pod_fail(p, x->reason, x->message);
}

static void do_event(struct pod *p, const struct action *x) {
        pod_event(p, x->event_type, x->reason, "%s", x->message);
}

static void do_fetch(struct pod *p, const struct action *x) {
        sandbox_fetch(p);
}

static void do_measure(struct pod *p, const struct action *x) {
        usage_measure(p);
}

static void do_sweep(struct pod *p, const struct action *x) {
        usage_sweep(p);
}

static void do_clean(struct pod *p, const struct action *x) {
        sandbox_clean(p);
}

static void do_report(struct pod *p, const struct action *x) {
        pod_report(p);
}

static void do_start(struct container *c, const struct action *x) {
        container_start(c);
}

static struct runtime *runtime_of(const struct container *c) {
        return c->pod->pods->agent->runtime;
}

static void do_stop(struct container *c, const struct action *x) {
        (void)runtime_stop(runtime_of(c), c->unit);
}

static void do_restart(struct container *c, const struct action *x) {
        (void)runtime_restart(runtime_of(c), c->unit);
}

static void do_kill(struct container *c, const struct action *x) {
        (void)runtime_kill(runtime_of(c), c->unit, SIGKILL);
}

static void do_clear(struct container *c, const struct action *x) {
        (void)runtime_clear(runtime_of(c), c->unit);
}

static void do_wait(struct container *c, const struct action *x) {
        (void)container_set_waiting(c->record, x->reason, x->message);
}

static void do_back_off(struct container *c, const struct action *x) {
        container_back_off(c->record, x->message);
}

static void do_probe_startup(struct container *c, const struct action *x) {
        container_probe_start(c, PROBE_STARTUP);
}

static void do_probe_liveness(struct container *c, const struct action *x) {
        container_probe_start(c, PROBE_LIVENESS);
}

static void do_probe_readiness(struct container *c, const struct action *x) {
        container_probe_start(c, PROBE_READINESS);
}

static void do_startup_probe_stop(struct container *c, const struct action *x) {
        container_probe_stop(c, PROBE_STARTUP);
}

static void do_probes_stop(struct container *c, const struct action *x) {
        container_probes_stop(c);
}

static void do_post_start(struct container *c, const struct action *x) {
        container_post_start(c);
}

static void do_pre_stop(struct container *c, const struct action *x) {
        container_pre_stop(c);
}

static void do_hooks_stop(struct container *c, const struct action *x) {
        container_hooks_stop(c);
}

/* POD_PREPARE and POD_FINISH tell the loop something: pod_look() has them. */
static const struct {
        void (*pod)(struct pod *p, const struct action *x);
        void (*container)(struct container *c, const struct action *x);
} rows[POD_ACTIONS_MAX] = {[POD_SAVE] = {.pod = do_save},
                [POD_FAIL] = {.pod = do_fail},
                [POD_EVENT] = {.pod = do_event},
                [POD_FETCH] = {.pod = do_fetch},
                [POD_MEASURE] = {.pod = do_measure},
                [POD_SWEEP] = {.pod = do_sweep},
                [POD_CLEAN] = {.pod = do_clean},
                [POD_REPORT] = {.pod = do_report},
                [CONTAINER_START] = {.container = do_start},
                [CONTAINER_STOP] = {.container = do_stop},
                [CONTAINER_RESTART] = {.container = do_restart},
                [CONTAINER_KILL] = {.container = do_kill},
                [CONTAINER_CLEAR] = {.container = do_clear},
                [CONTAINER_WAIT] = {.container = do_wait},
                [CONTAINER_BACK_OFF] = {.container = do_back_off},
                [CONTAINER_PROBE_STARTUP] = {.container = do_probe_startup},
                [CONTAINER_PROBE_LIVENESS] = {.container = do_probe_liveness},
                [CONTAINER_PROBE_READINESS] = {.container = do_probe_readiness},
                [CONTAINER_STARTUP_PROBE_STOP] = {.container = do_startup_probe_stop},
                [CONTAINER_PROBES_STOP] = {.container = do_probes_stop},
                [CONTAINER_POST_START] = {.container = do_post_start},
                [CONTAINER_PRE_STOP] = {.container = do_pre_stop},
                [CONTAINER_HOOKS_STOP] = {.container = do_hooks_stop}};

static void carry_out(struct pod *p, const struct action *x) {
        enum pod_action what = pod_action_of(x);
        struct container *c;

        if (rows[what].pod) {
                rows[what].pod(p, x);
                return;
        }
        c = pod_container(p, x->name);
        assert(c && rows[what].container);
        rows[what].container(c, x);
}

/* What a look has found out so far. */
struct look {
        bool prepare_failed;
        bool finished; /* the pod's last act is due; it may free the pod */
};

/* One round. 1 when another one follows at once. */
static int look_once(struct pod *p, struct container_view *containers, struct look *l) {
        _cleanup_(pod_decision_done) struct pod_decision d = {0};
        struct pod_view v;

        pod_view(p, now_mono_us(), &v, containers);
        v.prepare_failed = l->prepare_failed;
        pod_decide(&v, &d);
        pod_commit(p, &d);
        for (size_t i = 0; i < d.actions.count; i++) {
                const struct action *x = &d.actions.items[i];

                if (pod_action_of(x) == POD_PREPARE)
                        l->prepare_failed = !sandbox_prepare(p);
                else if (pod_action_of(x) == POD_FINISH)
                        l->finished = true;
                else
                        carry_out(p, x);
        }
        if (d.wake_us > 0)
                pod_wake_at(p, d.wake_us);
        assert(!d.again || !l->finished);
        return d.again;
}

void pod_look(struct pod *p) {
        _cleanup_free_ struct container_view *containers =
                        calloc(MAX(p->count, (size_t)1), sizeof(*containers));
        struct look l = {0};
        int rounds = 0;

        assert(containers);
        while (look_once(p, containers, &l) > 0)
                assert(++rounds < ROUNDS_MAX);
        if (l.finished)
                pod_finish(p);
}
