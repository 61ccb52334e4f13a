/* The interface to the runtime of this node's containers, in neutral terms. The pod machine speaks
 * to this interface only; a driver fills in struct runtime_ops (systemd.c is the first one). A
 * container is known by the name that its plan gave it, a run of it by an id that is new at each
 * start. Calls return at once: their results arrive through the callbacks, as a new state. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/json.h"

struct runtime;
struct runtime_exec;
struct runtime_limit;

enum run_phase {
        RUN_STARTING,   /* the program is not executed yet, or has not reported that it is ready */
        RUN_RUNNING,    /* the program runs */
        RUN_STOPPING,   /* it was asked to stop */
        RUN_RESTARTING, /* it has ended; the runtime starts it again by itself */
        RUN_EXITED,     /* it has ended and is kept; the runtime does not start it again */
        RUN_FAILED,     /* it has ended badly; the runtime may be about to restart it (given_up) */
        RUN_STOPPED,    /* it has ended, and the runtime is about to forget it */
        RUN_ASLEEP,     /* the runtime listens for it, and starts it at a connection */
};

/* Why a run ended, where it was not the program's own decision. */
enum run_cause { RUN_CAUSE_OWN, RUN_CAUSE_OUT_OF_MEMORY, RUN_CAUSE_TIMEOUT, RUN_CAUSE_WATCHDOG };

enum { RUN_ID_SIZE = 33 };

/* The runtime's state of one container. Strings are borrowed until the next event. */
struct run_state {
        enum run_phase phase;
        bool alive;    /* a main process is there */
        bool ready;    /* the program has reported that it is ready, or need not do so */
        bool ended;    /* exit_code, signal and cause of the last main process are known */
        bool given_up; /* too many restarts: the runtime has stopped restarting */
        uint32_t pid;  /* of the main process; 0: none */
        int exit_code; /* 128 + signal when a signal ended it */
        int signal;    /* 0: it exited */
        enum run_cause cause;
        bool hook_failed; /* a command that belongs to its start has failed, which ended it */
        const char *start_failure; /* why the program was not reached, by the exit code; or NULL */
        char id[RUN_ID_SIZE];      /* of this run; "" before the first one */
        const char *owner;         /* the sandbox that it runs in; "": not known */
        const char *description;   /* ends in the hash of what it was made from; "": not known */
        uint32_t restarts;         /* by the runtime itself, since the container was made */
        uint64_t start_us;         /* wall clock, of the last main process; 0: none */
        uint64_t exit_us;
        const char *trouble; /* why an adopted unit cannot be; NULL: none */
};

/* Whether the pod's program runs. notify: it reports its readiness itself, so that it runs while
 * the runtime still takes it as starting. NULL: not there. */
bool run_state_is_running(const struct run_state *s, bool notify);
/* Whether the program has ended, and its end is known. */
bool run_state_has_ended(const struct run_state *s);

struct runtime_callbacks {
        /* A container changed. state is NULL when it is gone. */
        void (*on_change)(const char *name, const struct run_state *state, void *userdata);
        /* A start was refused. */
        void (*on_start_error)(const char *name, const char *message, void *userdata);
        /* The runtime has read its configuration again: limits may differ from the plans. */
        void (*on_reloaded)(void *userdata);
        /* Every container that was there at the start is known now. */
        void (*on_listed)(void *userdata);
        /* The connection is lost; the program should end and be started again. */
        void (*on_lost)(int error, void *userdata);
        void *userdata;
};

enum exec_outcome { EXEC_DONE, EXEC_FAILED, EXEC_TIMEOUT, EXEC_REFUSED };
/* message: why it was refused, else "". */
typedef void (*runtime_exec_func)(enum exec_outcome outcome, const char *message, void *userdata);
/* A command with files: outcome EXEC_DONE with its exit code (128 + signal), EXEC_FAILED: it could
 * not be started, EXEC_REFUSED; message: why, else "". */
typedef void (*runtime_stream_func)(
                enum exec_outcome outcome, int exit_code, const char *message, void *userdata);
struct runtime_stream;
/* What a container uses. */
struct runtime_usage {
        uint64_t cpu_ns; /* since the present run began */
        uint64_t memory_bytes;
        uint64_t tasks; /* processes and threads */
};
/* used NULL: not known, or the container is gone. */
typedef void (*runtime_usage_func)(
                const char *name, const struct runtime_usage *used, void *userdata);
/* error: why the limits could not be set; NULL: they are. */
typedef void (*runtime_limit_func)(const char *error, void *userdata);
typedef void (*runtime_list_func)(const char *name, bool sandbox, void *userdata);
/* Returns whether it is put back. */
typedef bool (*runtime_drift_func)(const char *name, const char *property, void *userdata);

/* A driver. unit: a container of the plan that pod_to_units() made; plan: all of it. All return 0
 * or a negative errno when the request could not be sent. */
struct runtime_ops {
        const char *name;
        struct runtime *(*free)(struct runtime *r);
        /* The sandbox of a pod and what its containers write to; being there already is fine. */
        int (*prepare)(struct runtime *r, const json_t *plan);
        int (*start)(struct runtime *r, const json_t *plan, const json_t *unit);
        int (*stop)(struct runtime *r, const char *name);
        int (*restart)(struct runtime *r, const char *name);
        int (*kill)(struct runtime *r, const char *name, int signal);
        /* Forgets a container that has ended. */
        int (*clear)(struct runtime *r, const char *name);
        /* 1 with its state; 0 when it is not there, or not known yet. */
        int (*state)(struct runtime *r, const char *name, struct run_state *ret);
        /* Asks what a container uses; done is called once, never from inside, unless the runtime is
         * freed before. */
        int (*usage)(struct runtime *r, const char *name, runtime_usage_func done, void *userdata);
        /* Runs a command once beside a container; done is called when it has ended, never from
         * inside. */
        int (*exec)(struct runtime *r, const json_t *unit, runtime_exec_func done, void *userdata,
                        struct runtime_exec **ret);
        struct runtime_exec *(*exec_cancel)(struct runtime *r, struct runtime_exec *x);
        /* New limits of a container or sandbox that runs: properties of its plan. done may be NULL,
         * and *ret is set where it is not; it is called once, never from inside. */
        int (*limit)(struct runtime *r, const char *name, const json_t *properties,
                        runtime_limit_func done, void *userdata, struct runtime_limit **ret);
        struct runtime_limit *(*limit_cancel)(struct runtime *r, struct runtime_limit *l);
        /* Runs a command beside a container with these files as its standard input, output and
         * error (negative: none; a terminal becomes its controlling one). They are borrowed for the
         * call. done is called when it has ended, never from inside. A cancelled one is killed. */
        int (*stream)(struct runtime *r, const json_t *unit, const int fds[3],
                        runtime_stream_func done, void *userdata, struct runtime_stream **ret);
        struct runtime_stream *(*stream_cancel)(struct runtime *r, struct runtime_stream *x);
        /* Kills those that an earlier agent has left. */
        int (*stream_sweep)(struct runtime *r);
        /* The end of what a run wrote to its log, at most lines_max lines and size_max bytes; NULL:
         * nothing. Caller frees. */
        char *(*logs)(struct runtime *r, const char *uid, const char *container, const char *id,
                        size_t lines_max, size_t size_max);
        /* Whether all that the run wrote is in its log. */
        bool (*logs_are_complete)(struct runtime *r, const char *id);
        /* Calls for every container and every sandbox that is there. */
        void (*list)(struct runtime *r, runtime_list_func func, void *userdata);
        /* Compares the live limits of a container with its plan, and makes sure that its output is
         * taken; reports differences, and puts them back where the function says so. */
        int (*check)(struct runtime *r, const json_t *unit, runtime_drift_func func,
                        void *userdata);
        /* The container of this name is a unit of the machine from now on: its state is known
         * later. Of one that is not managed start, stop, restart, kill, clear and adopt_limit do
         * nothing. Again is fine. */
        int (*adopt)(struct runtime *r, const char *name, const char *unit, bool managed);
        /* What a managed one gets: properties of its plan, whether or not it runs. */
        int (*adopt_limit)(struct runtime *r, const char *name, const json_t *properties);
        /* It no longer is: its properties are as they were before. */
        void (*adopt_release)(struct runtime *r, const char *name);
        /* The same for what orphaned containers have left. */
        void (*adopt_sweep)(struct runtime *r);
        /* Takes down the sandbox and the log endpoints of a pod; containers is the list of names.
         */
        void (*remove)(struct runtime *r, const char *uid, const char *sandbox,
                        const char *const *containers, size_t count);
};

/* The first member of a driver's own struct. */
struct runtime {
        const struct runtime_ops *ops;
};

/* The driver's functions; names and arguments as above. */
struct runtime *runtime_free(struct runtime *r);
DEFINE_CLEANUP(struct runtime *, runtime_free);
int runtime_prepare(struct runtime *r, const json_t *plan);
int runtime_start(struct runtime *r, const json_t *plan, const json_t *unit);
int runtime_stop(struct runtime *r, const char *name);
int runtime_restart(struct runtime *r, const char *name);
int runtime_kill(struct runtime *r, const char *name, int signal);
int runtime_clear(struct runtime *r, const char *name);
int runtime_state(struct runtime *r, const char *name, struct run_state *ret);
int runtime_usage(struct runtime *r, const char *name, runtime_usage_func done, void *userdata);
int runtime_exec(struct runtime *r, const json_t *unit, runtime_exec_func done, void *userdata,
                struct runtime_exec **ret);
/* The callback is not called after it. NULL is fine; returns NULL. */
struct runtime_exec *runtime_exec_cancel(struct runtime *r, struct runtime_exec *x);
int runtime_limit(struct runtime *r, const char *name, const json_t *properties,
                runtime_limit_func done, void *userdata, struct runtime_limit **ret);
/* done is not called after it. NULL is fine; returns NULL. */
struct runtime_limit *runtime_limit_cancel(struct runtime *r, struct runtime_limit *l);
int runtime_stream(struct runtime *r, const json_t *unit, const int fds[3],
                runtime_stream_func done, void *userdata, struct runtime_stream **ret);
/* The callback is not called after it. NULL is fine; returns NULL. */
struct runtime_stream *runtime_stream_cancel(struct runtime *r, struct runtime_stream *x);
int runtime_stream_sweep(struct runtime *r);
char *runtime_logs(struct runtime *r, const char *uid, const char *container, const char *id,
                size_t lines_max, size_t size_max) _warn_unused_;
bool runtime_logs_are_complete(struct runtime *r, const char *id);
void runtime_list(struct runtime *r, runtime_list_func func, void *userdata);
int runtime_check(struct runtime *r, const json_t *unit, runtime_drift_func func, void *userdata);
int runtime_adopt(struct runtime *r, const char *name, const char *unit, bool managed);
int runtime_adopt_limit(struct runtime *r, const char *name, const json_t *properties);
void runtime_adopt_release(struct runtime *r, const char *name);
void runtime_adopt_sweep(struct runtime *r);
void runtime_remove(struct runtime *r, const char *uid, const char *sandbox,
                const char *const *containers, size_t count);
