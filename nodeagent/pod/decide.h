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

/* What follows the preStop hook of a run that is being ended. */
enum container_ending { ENDING_NONE, ENDING_RESTART, ENDING_STOP };

struct container_memory {
        uint64_t backoff_us;          /* the pause before the next start, the last one made */
        uint64_t retry_us;            /* when that pause ends */
        uint64_t failed_us;           /* since when it is seen as failed */
        uint64_t kill_us;             /* when a stop asked for has to be done */
        char kill_of[RUN_ID_SIZE];    /* the run that has to be gone then */
        char announced[RUN_ID_SIZE];  /* the run whose start was reported as an event */
        char seen[RUN_ID_SIZE];       /* the run that probes and readiness are about */
        char hooked[RUN_ID_SIZE];     /* the run whose postStart hook is over; in the record, too */
        enum container_ending ending; /* the hook runs first */
        uint64_t hook_us;             /* since when */
        bool restarting;              /* a restart or a stop of the present run was asked for */
        bool clearing;                /* the pause is over: what is left of the run is removed */
        bool adopted;                 /* ran and was ready when this agent started */
        bool ready, started;          /* as in the status; copied to the record */
        uint64_t pull_backoff_us;    /* the pause before the next pull, the last one made */
        uint64_t pull_retry_us;      /* when that pause ends */
        uint64_t pull_shown_us;      /* until when the failure itself is shown as the reason */
        bool pull_failed;            /* the failure that is seen was announced */
        char renewed[RUN_ID_SIZE];   /* the run after which the root was made new */
};

/* How a container's image stands. */
enum image_state {
        IMAGE_READY,   /* the plan can be made with it */
        IMAGE_INVALID, /* not the name of an image */
        IMAGE_BROKEN,  /* what the store has cannot be used */
        IMAGE_MISSING, /* not in the store */
        IMAGE_THERE,   /* in the store, and not the container's yet */
        IMAGE_PULLING,
        IMAGE_PULLED, /* the pull that was asked for has succeeded ... */
        IMAGE_FAILED, /* ... has failed */
};

struct image_view {
        enum image_state state;
        const char *name, *policy; /* as in the spec; imagePullPolicy with its default */
        const char *reason;        /* INVALID, BROKEN, FAILED: of the waiting container; or NULL */
        const char *message;       /* of these: why; of PULLING: how far */
        uint64_t took_us, waited_us, size_bytes; /* PULLED */
        uint64_t retry_after_us;                 /* FAILED: the registry asks for that; 0: not */
        bool layered;                            /* the root has a writable layer of its own */
};

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };
/* PROBE_ASKING: no verdict yet, so that what was before still holds. */
enum probe_verdict { PROBE_OFF, PROBE_ASKING, PROBE_PASSED, PROBE_FAILED };

enum node_resource { RESOURCE_CPU, RESOURCE_MEMORY, NODE_RESOURCES };
/* Milli-units of CPU, bytes of memory. */
struct node_room {
        int64_t capacity[NODE_RESOURCES]; /* for pods */
        int64_t used[NODE_RESOURCES];     /* what the other pods request */
        int64_t own[NODE_RESOURCES];      /* what this one has */
};

/* One container as it is seen. */
struct container_view {
        const json_t *spec;
        const struct container_record *record;
        struct container_memory memory;
        bool starting; /* a start was sent, and the container is not there yet */
        bool there;
        struct run_state run; /* when there */
        bool known;           /* adopted: the unit's state is (run) */
        bool foreign;         /* the container of that name is another pod's ... */
        bool claimed;         /* ... which this node knows */
        bool outdated;        /* it was made from another spec */
        enum probe_verdict probes[PROBE_KINDS];
        struct image_view image;
        bool hook_busy;     /* a lifecycle hook runs */
        bool pre_stop_done; /* of this run */
        bool post_start_failed;
        uint64_t post_start_until_us; /* postStart.sleep ends */
        bool resizing;                /* its unit is getting new limits */
        uint64_t resize_retry_us;     /* after an error */
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
        const char *end_reason;     /* it is to fail as a whole: "Evicted", ...; or NULL */
        const char *end_message;
        int64_t stop_grace_s;  /* what its containers have then; negative: its own grace period */
        unsigned pressures;    /* of this node: bits by enum node_pressure */
        bool shutting_down;    /* the machine: no new pod is taken */
        struct node_room room; /* when a resize is wanted */
        const char *resize_reason, *resize_message; /* why one waits; or NULL */
        bool halting;                               /* it is this pod's turn to end for it */
        bool slots_full;                            /* enough containers are being started */
        bool swept;                                 /* evicted, and its data is removed */
        bool served;                                /* a service leads to it now */
        const struct container_record *records;
        const struct container_view *containers;
        size_t count;
};

struct pod_decision {
        struct actions actions; /* in the order in which they are carried out */
        bool again;             /* decide again at once: the actions change what is seen */
        bool wants_slot;        /* a container waits for others to be started first */
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
/* decide-image.c: whether all images of the pod's own containers are here; else what is missing is
 * asked for, and the containers say for what they wait. */
bool decide_images(struct decide *d);
/* An image of another name: what was known of the last one's pulls is forgotten. */
void container_memory_new_image(struct container_memory *m);
/* decide-container.c: what a living pod's container needs. 1 when it runs or has ended well. */
int decide_container(struct decide *d, size_t i);
/* Results of probes and hooks for the present run. */
void decide_verdicts(struct decide *d, size_t i);
/* Announces a run that has ended. */
void decide_note_end(struct decide *d, size_t i);
void decide_stop_probes(struct decide *d, size_t i);
/* Stops the container, its preStop hook first; it is killed when it takes longer than the pod's
 * grace period. */
void decide_stop(struct decide *d, size_t i);
/* Continues an end that was begun: the stop after the hook, SIGKILL when the time is over. */
void decide_continue_end(struct decide *d, size_t i);
/* Every container that has not started waits with this reason. */
void decide_all_wait(struct decide *d, const char *reason, const char *message);
/* decide-resize.c: 1 when other resources are granted now. */
int decide_resize(struct decide *d);
/* Has the container's unit follow; 1 when the container is to be restarted for it. */
int decide_container_resize(struct decide *d, size_t i);
/* decide-end.c: all stages but POD_ALIVE. */
void decide_end(struct decide *d);
/* 1 when the preStop hook of the container has ended, or there is none; since_us: when it was due.
 */
int decide_pre_stop_done(struct decide *d, size_t i, uint64_t since_us);
/* Whether the end of the present run was asked for. */
bool decide_is_asked(const struct decide *d, size_t i);
/* decide-adopted.c: 1 when the container is one that is started and stopped like others. */
int decide_adopted(struct decide *d, size_t i);
/* decide-ephemeral.c: the ephemeral containers of a living pod, which start once each. */
void decide_ephemeral(struct decide *d);
/* The pod's work is over: they end with it. */
void decide_stop_ephemeral(struct decide *d);
/* decide-sidecars.c: whether something of the container runs or may run again. */
bool decide_is_active(const struct container_view *c);
/* Whether the ordinary containers have been started. */
bool decide_is_initialized(const struct decide *d);
/* Whether the next container may start after this sidecar. */
bool decide_sidecar_is_started(const struct decide *d, size_t i);
/* Whether everything has ended that ends before this sidecar: the ordinary containers, and the
 * sidecars after it. True for all other containers. */
bool decide_is_turn(const struct decide *d, size_t i);
/* Stops the sidecars whose turn it is. */
void decide_stop_sidecars(struct decide *d);
