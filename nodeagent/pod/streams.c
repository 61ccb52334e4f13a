/* Commands of `kctl exec` beside a running container, and what port-forward and attach need of a
 * pod. They hold nothing of the pod: it may end while one runs, which systemd ends then. */
#include <unistd.h>

#include "lib/object.h"
#include "lib/random.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/stage.h"
#include "nodeagent/pod/volumes.h"

struct pod_stream {
        struct runtime *runtime;
        struct runtime_stream *run;
        json_t *unit;
        pod_stream_func done;
        void *userdata;
};

static struct pod_stream *stream_free(struct pod_stream *x) {
        if (!x)
                return NULL;
        if (x->unit)
                volumes_remove_commands(x->unit);
        json_decref(x->unit);
        return mfree(x);
}
DEFINE_CLEANUP(struct pod_stream *, stream_free);

static struct pod *find_pod(struct pods *p, const struct pod_target *t, struct problem *problem) {
        struct pod *pod = map_get(p->by_uid, t->uid);

        if (pod && streq(object_namespace(pod->object), t->ns) &&
                        streq(object_name(pod->object), t->pod))
                return pod;
        problem_set(problem, ENOENT, 404, "NotFound", "pod \"%s\" is not on this node", t->pod);
        return NULL;
}

/* A container that runs. */
static struct container *find_running(
                struct pods *p, const struct pod_target *t, struct problem *problem) {
        struct pod *pod = find_pod(p, t, problem);
        struct container *c = pod ? pod_container(pod, t->container) : NULL;
        struct run_state state;

        if (!pod)
                return NULL;
        if (c && c->adopts) {
                problem_set(problem, EINVAL, 400, "BadRequest",
                                "container \"%s\" is the machine's unit %s: commands and terminals "
                                "need a container of the pod's own",
                                t->container, c->adopts);
                return NULL;
        }
        if (c && runtime_state(p->agent->runtime, c->unit, &state) > 0 && state.alive)
                return c;
        problem_set(problem, ENOENT, 400, "BadRequest",
                        "container \"%s\" in pod \"%s\" is not running%s", t->container, t->pod,
                        c && c->record->asleep ? ": it starts at its next connection" : "");
        return NULL;
}

static void on_done(enum exec_outcome outcome, int exit_code, const char *message, void *userdata) {
        struct pod_stream *x = userdata;
        pod_stream_func done = x->done;
        void *about = x->userdata;

        stream_free(x);
        done(outcome == EXEC_DONE ? exit_code : -1, message, about);
}

/* After a restart of the agent there may be no plan yet. */
static int plan_missing(struct problem *problem) {
        return problem_set(problem, EAGAIN, 500, "InternalError",
                        "the agent has just started and has not read all of the pod; try again");
}

/* The terminal belongs to the container's user, who may then also open it by its name. Without the
 * user's number (the program has just ended) it stays root's. */
static void give_terminal(const struct container *c, int fd) {
        uint32_t user;

        if (container_user(c, &user) >= 0)
                (void)fchown(fd, user, (gid_t)-1);
}

static int make_unit(struct container *c, const json_t *command, unsigned flags, json_t **ret) {
        _cleanup_free_ char *name = pod_stream_unit_name(
                        c->pod->object, c->record->name, (uint32_t)random_u64());

        if (!name)
                return -ENOMEM;
        *ret = pod_stream_unit(container_plan(c), name, command, flags);
        return *ret ? 0 : -ENOMEM;
}

int pods_stream_start(struct pods *p, const struct pod_target *t,
                const struct pod_stream_options *o, struct pod_stream **ret,
                struct problem *problem) {
        _cleanup_(stream_freep) struct pod_stream *x = NULL;
        struct container *c = find_running(p, t, problem);
        int r;

        if (!c)
                return -ENOENT;
        if (!sandbox_ensure_plan(c->pod) || !container_plan(c))
                return plan_missing(problem);
        x = calloc(1, sizeof(*x));
        if (!x)
                return -ENOMEM;
        x->runtime = p->agent->runtime;
        x->done = o->done;
        x->userdata = o->userdata;
        r = make_unit(c, o->command, o->tty ? POD_STREAM_TTY : 0, &x->unit);
        if (r < 0)
                return r;
        r = container_join(c, x->unit);
        if (r < 0)
                return r;
        r = stage_command(x->unit);
        if (r < 0)
                return r;
        r = volumes_write_commands(x->unit);
        if (r < 0)
                return r;
        if (o->tty)
                give_terminal(c, o->fds[0]);
        r = runtime_stream(x->runtime, x->unit, o->fds, on_done, x, &x->run);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(x);
        return 0;
}

struct pod_stream *pod_stream_cancel(struct pod_stream *x) {
        if (!x)
                return NULL;
        runtime_stream_cancel(x->runtime, x->run);
        return stream_free(x);
}

int pods_attach(struct pods *p, const struct pod_target *t, int fd, const char **ret_tty,
                struct problem *problem) {
        struct container *c = find_running(p, t, problem);
        int r;

        if (!c)
                return -ENOENT;
        if (!sandbox_ensure_plan(c->pod) || !container_plan(c))
                return plan_missing(problem);
        r = log_sockets_attach(p->agent->log_sockets, t->uid, t->container, fd);
        if (r < 0)
                return problem_set(problem, -r, 500, "InternalError",
                                "keelson-logs.service, which has the container's output, does not "
                                "answer: %s",
                                strerror(-r));
        *ret_tty = json_str(container_plan(c), "properties.TTYPath");
        return 0;
}

int pods_netns(struct pods *p, const struct pod_target *t, struct pod_network *ret,
                struct problem *problem) {
        struct pod *pod = find_pod(p, t, problem);
        bool host;

        if (!pod)
                return -ENOENT;
        host = pod_is_host_network(pod);
        if (!pod_has_started(pod) || pod_is_terminal(pod))
                return problem_set(problem, ENOENT, 400, "BadRequest", "pod \"%s\" is not running",
                                t->pod);
        *ret = (struct pod_network){.netns = host ? "" : pod->netns,
                        .folder = pod->secret_dir,
                        .ip = host ? p->agent->node_ip : pod->sandbox.ip,
                        .ip6 = host ? p->agent->node_ip6 : pod->sandbox.ip6};
        return 0;
}
