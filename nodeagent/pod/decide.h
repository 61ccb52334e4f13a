/* Decides the next step of a pod's machine, as a pure function of its view: no I/O, no clock.
 *
 *      view.c: struct pod_view --> pod_decide() --> struct pod_decision --> drive.c carries it out
 *
 * The machine is level-triggered: an event only wakes the pod, and each look starts from everything
 * that can be seen. State that must be kept between two looks (when a pause ends, which run was
 * announced) is in struct pod_memory and struct container_memory. A decision holds their next
 * values; nothing else changes them, the events in the second half of this header aside. */
#pragma once

#include "nodeagent/pod/actions.h"
#include "nodeagent/pod/status.h"

/* The order is the order of a pod's life, and the numbers are in the records on disk. */
enum pod_stage {
        POD_ALIVE,    /* being started, or running */
        POD_DRAINING, /* deleted; still served until services know */
        POD_PRESTOP,  /* hooks run */
        POD_STOPPING, /* containers were asked to stop */
        POD_CLEANING, /* containers are gone; folders and network go */
        POD_FINISHED, /* only the API has to be notified */
};

/* Times are monotonic, in microseconds, unless said otherwise; 0 means none. */
struct pod_memory {
        enum pod_stage stage;
        bool admitted;       /* may start on this node */
        bool was_served;     /* some service led to it */
        bool killed;         /* the grace period is over, and SIGKILL was sent */
        uint64_t deleted_us; /* when the end began ... */
        uint64_t deleted_wall_us;
        uint64_t grace_us; /* ... and how long it may take */
        uint64_t step_us;  /* when the present step of the end began */
};

struct container_memory {
        uint64_t backoff_us;         /* the pause before the next start, the last one made */
        uint64_t retry_us;           /* when that pause ends */
        uint64_t failed_us;          /* since when it is seen as failed */
        uint64_t kill_us;            /* when a stop asked for has to be done */
        char kill_of[RUN_ID_SIZE];   /* the run that has to be gone then */
        char announced[RUN_ID_SIZE]; /* the run whose start was reported as an event */
        char seen[RUN_ID_SIZE];      /* the run that probes and readiness are about */
        bool restarting;             /* a restart or a stop of the present run was asked for */
        bool adopted;                /* ran and was ready when this agent started */
        bool ready, started;         /* as in the status; copied to the record */
};

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };
/* PROBE_ASKING: no verdict yet, so that what was before still holds. */
enum probe_verdict { PROBE_OFF, PROBE_ASKING, PROBE_PASSED, PROBE_FAILED };

/* One container as it is seen. */
struct container_view {
        const json_t *spec;
        const struct container_record *record;
        struct container_memory memory;
        bool starting; /* a start was sent, and the container is not there yet */
        bool there;
        struct run_state run; /* when there */
        bool foreign;         /* the container of that name is another pod's ... */
        bool claimed;         /* ... which this node knows */
        bool outdated;        /* it was made from another spec */
        enum probe_verdict probes[PROBE_KINDS];
        bool hook_busy; /* a lifecycle hook runs */
        bool pre_stop_done, post_start_failed;
        uint64_t post_start_until_us; /* postStart.sleep ends */
};

/* The pod as it is seen. Everything is borrowed. */
struct pod_view {
        const json_t *object;
        uint64_t now_us, wall_us;
        struct pod_memory memory;
        const char *failed_reason;  /* the pod has failed as a whole; or NULL */
        uint64_t start_us;          /* wall clock; when the agent took the pod up */
        bool standalone;            /* there is no control plane */
        bool synced;                /* the control plane's list of pods is complete */
        bool taints_known;          /* of this node */
        const json_t *taints;       /* NULL: none */
        bool resources_wanted;      /* it uses ConfigMaps or Secrets that can be fetched ... */
        bool resources_known;       /* ... and has them, perhaps old ones */
        bool fetching;              /* they are being fetched */
        uint64_t fetch_us;          /* when to fetch them again */
        bool prepared;              /* network, volumes and the plan of its units are there */
        bool prepare_failed;        /* in this very look; the next try has its time */
        bool measurable, measuring; /* it has volumes with a limit; du runs */
        uint64_t measure_us;        /* when to measure them again */
        const char *over_limit;     /* a volume is over its limit: in words; or NULL */
        bool swept;                 /* evicted, and its data is removed */
        bool served;                /* a service leads to it now */
        const struct container_record *records;
        const struct container_view *containers;
        size_t count;
};

struct pod_decision {
        struct actions actions; /* in the order in which they are carried out */
        bool again;             /* decide again at once: the actions change what is seen */
        uint64_t wake_us;       /* decide again at the latest then */
        struct pod_memory memory;
        struct container_memory *containers; /* as many as the view has */
};

/* Fills *ret, which the caller ends with pod_decision_done(). Cannot fail: without memory the
 * program ends, and starts again from its records. */
void pod_decide(const struct pod_view *v, struct pod_decision *ret);
void pod_decision_done(struct pod_decision *d);

/* The pod's grace period by its spec, in seconds, within bounds. */
int64_t pod_grace_s(const json_t *object);

/* ---- events that change the memory outside of a look ---- */

/* The pod is deleted: its end begins, once. */
void pod_memory_end(struct pod_memory *m, uint64_t now_us, uint64_t wall_us);
/* The grace period, in seconds; a deletion may shorten or extend it. */
void pod_memory_set_grace(struct pod_memory *m, int64_t seconds);
/* A start could not be sent: it is tried again soon. */
void container_memory_not_started(struct container_memory *m, uint64_t now_us);
/* The runtime refused a start: it is tried again after a growing pause. */
void container_memory_refused(struct container_memory *m, uint64_t now_us);

/* ---- between the parts of pod_decide() ---- */

struct decide {
        const struct pod_view *v;
        struct pod_decision *out;
};
/* Looks again at the latest then. */
void decide_wake(struct decide *d, uint64_t at_us);
/* decide-container.c: what a living pod's container needs. 1 when it runs or has ended well. */
int decide_container(struct decide *d, size_t i);
/* Results of probes and hooks for the present run. */
void decide_verdicts(struct decide *d, size_t i);
/* Announces a run that has ended. */
void decide_note_end(struct decide *d, size_t i);
void decide_stop_probes(struct decide *d, size_t i);
/* Stops the container; it is killed when it takes longer than the pod's grace period. */
void decide_stop(struct decide *d, size_t i);
/* Every container that has not started waits with this reason. */
void decide_all_wait(struct decide *d, const char *reason, const char *message);
/* decide-end.c: all stages but POD_ALIVE. */
void decide_end(struct decide *d);
