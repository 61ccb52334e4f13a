/* The actions of a pod's decision: their types, and how a decision writes them down. They are sent
 * and not waited for: the results are seen in the next look. Pure; drive.c carries them out.
 */
#pragma once

#include "lib/client/executor.h"

enum pod_action {
        /* Of the pod as a whole. */
        POD_SAVE,           /* object and resources to disk */
        POD_FAIL,           /* the pod has failed, with reason and message */
        POD_EVENT,          /* an Event about it */
        POD_FETCH,          /* ask for its ConfigMaps and Secrets */
        POD_PREPARE,        /* network, volumes, the plan of its units, the sandbox */
        POD_MEASURE,        /* how full its volumes are */
        POD_SWEEP,          /* its volumes go, the object stays */
        POD_CLEAN,          /* all it has on the machine goes */
        POD_REPORT,         /* record to disk, status to the API */
        POD_RESIZE,         /* the resources of its spec are granted; its plan is made again */
        POD_RESIZE_PENDING, /* they are not: reason and message; "": nothing waits any longer */
        POD_FINISH,         /* the object goes from the API, then the pod from here */
        /* Of one container. */
        CONTAINER_USE_IMAGE,  /* the one in the store becomes the container's */
        CONTAINER_PULL,       /* its image is asked of the registry */
        CONTAINER_RENEW_ROOT, /* an empty writable layer, between two runs */
        CONTAINER_START,
        CONTAINER_STOP,
        CONTAINER_RESTART,
        CONTAINER_KILL,
        CONTAINER_CLEAR,    /* what is left of a run that has ended goes */
        CONTAINER_WAIT,     /* it waits, with reason and message */
        CONTAINER_BACK_OFF, /* its end becomes the last state, and it waits for its next start */
        CONTAINER_PROBE_STARTUP,
        CONTAINER_PROBE_LIVENESS,
        CONTAINER_PROBE_READINESS,
        CONTAINER_STARTUP_PROBE_STOP,
        CONTAINER_PROBES_STOP,
        CONTAINER_POST_START,
        CONTAINER_PRE_STOP,
        CONTAINER_HOOKS_STOP,
        CONTAINER_ADOPT,  /* how its unit was found is recorded, and it gets its properties */
        CONTAINER_RESIZE, /* its unit gets the granted resources */
        POD_ACTIONS_MAX,
};

/* Strings are copied. */
void action_pod(struct actions *a, enum pod_action what);
void action_pod_fail(struct actions *a, const char *reason, const char *message);
void action_resize_pending(struct actions *a, const char *reason, const char *message);
void action_pod_event(struct actions *a, const char *type, const char *reason, const char *fmt, ...)
                _printf_(4, 5);
void action_container(struct actions *a, enum pod_action what, const char *container);
/* message may be NULL. */
void action_wait(struct actions *a, const char *container, const char *reason, const char *message);
void action_back_off(
                struct actions *a, const json_t *pod, const char *container, uint64_t pause_us);
enum pod_action pod_action_of(const struct action *x);
/* "start", "clean" and so on. */
const char *pod_action_name(enum pod_action what);

/* Context of the executor that carries the actions out (executor_options.context). */
struct pod_driver {
        void (*carry_out)(struct pod_driver *d, const struct action *x);
};
