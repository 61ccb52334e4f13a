/* Carries decisions out, through the executor of lib/client: a row for each type of action. What
 * comes of an action is seen in the next look; where that is at once, the decision says `again`. */
#include <signal.h>

#include "lib/timefmt.h"
#include "nodeagent/pod/crash.h"
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

static void do_use_image(struct container *c, const struct action *x) {
        container_use_image(c);
        /* The plan was made without it. */
        if (c->record->ephemeral)
                sandbox_drop_plan(c->pod);
}

static void do_pull(struct container *c, const struct action *x) {
        container_pull(c);
}

static void do_renew_root(struct container *c, const struct action *x) {
        container_renew_root(c);
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

static void do_adopt(struct container *c, const struct action *x) {
        container_adopt(c);
}

static void do_resize(struct container *c, const struct action *x) {
        container_resize(c);
}

static void do_allocate(struct pod *p, const struct action *x) {
        pod_allocate(p);
}

static void do_resize_pending(struct pod *p, const struct action *x) {
        pod_resize_pending(p, x->reason, x->message);
}

static void do_prepare(struct pod *p, const struct action *x);
static void do_finish(struct pod *p, const struct action *x);

static const struct {
        void (*pod)(struct pod *p, const struct action *x);
        void (*container)(struct container *c, const struct action *x);
} rows[POD_ACTIONS_MAX] = {[POD_SAVE] = {.pod = do_save},
                [POD_FAIL] = {.pod = do_fail},
                [POD_EVENT] = {.pod = do_event},
                [POD_FETCH] = {.pod = do_fetch},
                [POD_PREPARE] = {.pod = do_prepare},
                [POD_MEASURE] = {.pod = do_measure},
                [POD_SWEEP] = {.pod = do_sweep},
                [POD_CLEAN] = {.pod = do_clean},
                [POD_REPORT] = {.pod = do_report},
                [POD_RESIZE] = {.pod = do_allocate},
                [POD_RESIZE_PENDING] = {.pod = do_resize_pending},
                [CONTAINER_ADOPT] = {.container = do_adopt},
                [CONTAINER_RESIZE] = {.container = do_resize},
                [POD_FINISH] = {.pod = do_finish},
                [CONTAINER_USE_IMAGE] = {.container = do_use_image},
                [CONTAINER_PULL] = {.container = do_pull},
                [CONTAINER_RENEW_ROOT] = {.container = do_renew_root},
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

struct look {
        struct pod_driver driver;
        struct executor *executor;
        const char *crash;   /* of crash_file() */
        struct pod *pod;     /* the one that is looked at; NULL: none */
        bool prepare_failed; /* in this look */
        bool finished;       /* its last act is due, which may free it */
};

static void do_prepare(struct pod *p, const struct action *x) {
        p->pods->look->prepare_failed = !sandbox_prepare(p);
}

static void do_finish(struct pod *p, const struct action *x) {
        p->pods->look->finished = true;
}

static void carry_out(struct pod_driver *driver, const struct action *x) {
        struct look *l = container_of(driver, struct look, driver);
        enum pod_action what = pod_action_of(x);
        struct container *c;

        crash_here(l->crash, "before", x->type->name, l->pod->object);
        if (rows[what].pod) {
                rows[what].pod(l->pod, x);
        } else {
                c = pod_container(l->pod, x->name);
                assert(c && rows[what].container);
                rows[what].container(c, x);
        }
        crash_here(l->crash, "after", x->type->name, l->pod->object);
}

/* Actions that are only sent cannot fail. */
static void on_done(int error, const struct problem *p, void *userdata) {
        assert(error == 0);
}

struct look *look_free(struct look *l) {
        if (!l)
                return NULL;
        assert(!l->pod);
        executor_free(l->executor);
        free(l);
        return NULL;
}

int look_new(struct look **ret) {
        struct look *l = calloc(1, sizeof(*l));
        struct executor_options options = {.done = on_done};
        int r;

        if (!l)
                return -ENOMEM;
        l->driver.carry_out = carry_out;
        l->crash = crash_file();
        options.context = &l->driver;
        r = executor_new(&l->executor, &options);
        if (r < 0) {
                free(l);
                return r;
        }
        *ret = l;
        return 0;
}

/* One round. 1 when another one follows at once. */
static int look_once(struct look *l, struct container_view *containers) {
        _cleanup_(pod_decision_done) struct pod_decision d = {0};
        struct pod *p = l->pod;
        struct pod_view v;

        pod_view(p, now_mono_us(), &v, containers);
        v.prepare_failed = l->prepare_failed;
        pod_decide(&v, &d);
        pod_commit(p, &d);
        executor_run(l->executor, &d.actions);
        assert(!executor_is_running(l->executor));
        if (d.wake_us > 0)
                pod_wake_at(p, d.wake_us);
        if (d.wants_slot)
                pod_want_slot(p);
        assert(!d.again || !l->finished);
        return d.again;
}

void pod_look(struct pod *p) {
        _cleanup_free_ struct container_view *containers =
                        calloc(MAX(p->count, (size_t)1), sizeof(*containers));
        struct look *l = p->pods->look;
        int rounds = 0;

        assert(containers && !l->pod);
        l->pod = p;
        l->prepare_failed = l->finished = false;
        while (look_once(l, containers) > 0)
                assert(++rounds < ROUNDS_MAX);
        l->pod = NULL;
        if (l->finished)
                pod_finish(p);
}
