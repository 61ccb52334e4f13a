/* The history of a pod's containers, and the pod status that follows from it. Pure: states of the
 * runtime and times come in, records and JSON come out. */
#pragma once

#include "lib/adoptable-units.h"
#include "lib/json.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/runtime.h"

enum container_phase { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_TERMINATED };

/* kpod-exec's report of a start. */
struct start_report {
        char invocation[RUN_ID_SIZE]; /* "" without a report */
        bool ran;                     /* the program was run: exit codes are its own */
        char message[600];            /* else why not */
};
/* Parses the text of a report; anything else leaves *ret empty. The container can write there, so
 * the text can be anything. */
void start_report_parse(const char *text, size_t n, struct start_report *ret);

/* How an adopted unit was when the pod took it; the numbers are in the records on disk. */
enum unit_found { UNIT_NOT_SEEN, UNIT_FOUND_RUNNING, UNIT_FOUND_STOPPED };

/* One container's history. Zeroed to start; name and init are set by the owner. */
struct container_record {
        char *name;
        bool init;
        bool sidecar;   /* an init container that runs beside the others (KEP-753) */
        bool ephemeral; /* added to the pod while it runs; no part of its work (KEP-277) */
        bool notify; /* reports its readiness itself: it runs while the runtime still starts it */
        bool socket; /* starts at its first connection */
        bool never;  /* it is not started again once its program has run */
        enum adoption adoption; /* it is a unit of the machine ... */
        enum unit_found found;  /* ... and how that was */
        bool asleep; /* of such a one: nothing of it runs now, and it counts as running */
        enum container_phase phase;
        char *reason; /* of waiting or of the end */
        char *message;
        int exit_code;
        int signal;
        uint64_t started_us; /* wall clock */
        uint64_t finished_us;
        json_t *last; /* lastState.terminated or NULL */
        uint32_t restart_count;
        uint32_t restarts_seen;       /* the runtime's count at the run seen last */
        char invocation[RUN_ID_SIZE]; /* id of that run */
        char hooked[RUN_ID_SIZE];     /* the run whose postStart hook is over */
        char unmade[RUN_ID_SIZE];     /* the last one that ended before kpod-exec, of which ... */
        uint32_t unmade_count;        /* ... there were so many without another one between */
        struct start_report report;   /* read by the owner before an end is observed ... */
        char *last_words;             /* ... and the termination message; NULL: none */
        json_t *allocated; /* resources that the node grants; NULL: not known (an older record) */
        json_t *resources; /* those that the run has; NULL: there was none */
        bool ready;        /* by probes; true without any */
        bool started;      /* startup probe passed or none */
        /* The OCI image that it has, or NULL: {"of": the spec's image, "name": full reference,
         * "id": in the store, "shown": imageID of the status}. */
        json_t *image;
};

void container_record_done(struct container_record *c);
/* The list of the pod's spec that has the container. */
enum container_list container_record_list(const struct container_record *c);
/* Whether the report is about the last start of this container. */
bool start_report_matches(const struct start_report *r, const struct run_state *s);
/* Takes the runtime's state into the record; now_us: wall clock. Returns whether anything changed.
 * state is NULL when the container is gone. */
bool container_observe(struct container_record *c, const struct run_state *state, uint64_t now_us);
/* Sets waiting with reason and message (copied). Returns whether it changed. */
bool container_set_waiting(struct container_record *c, const char *reason, const char *message);
/* The end becomes lastState, and the container waits as CrashLoopBackOff. */
void container_back_off(struct container_record *c, const char *message);
/* The node grants these resources (NULL: none are named); the run has these. */
void container_record_allocate(struct container_record *c, const json_t *resources);
void container_record_resized(struct container_record *c, const json_t *resources);
/* The termination message of a run that has ended, when it comes late: of the present end or the
 * last one. A message that is there stays. */
void container_record_words(struct container_record *c, const char *id, const char *text);
/* Takes over what the API has of an ephemeral container that has been started, where the record on
 * disk is lost: it is not started again. */
void container_record_recover(struct container_record *c, const json_t *status);
/* For the running record on disk. */
json_t *container_record_save(const struct container_record *c) _warn_unused_;
void container_record_load(struct container_record *c, const json_t *v);

struct status_facts {
        const char *host_ip;
        const char *pod_ip;             /* "" when none yet */
        const char *host_ip6, *pod_ip6; /* NULL or "": none */
        uint64_t start_us;              /* when the agent took the pod up */
        uint64_t now_us;
        bool sandbox_ready;        /* network and volumes are there */
        const char *failed_reason; /* the pod as a whole has failed: "DeadlineExceeded", "Evicted";
                                      or NULL */
        const char *failed_message;
        const char *resize_reason; /* a resize has to wait: "Deferred", "Infeasible"; or NULL */
        const char *resize_message;
        const char *resize_error; /* a resize that is being made fails with it; or NULL */
        const json_t *previous;   /* the status written last, newer than the pod's; or NULL */
};
/* The phase of a pod with these containers: "Pending", "Running", "Succeeded", "Failed". A pod of
 * which a sidecar still runs is "Running". */
const char *status_phase(const json_t *pod, const struct container_record *c, size_t n,
                const struct status_facts *facts);
/* Whether the pod's work is over: only its sidecars may still run. */
bool status_is_over(const json_t *pod, const struct container_record *c, size_t n,
                const struct status_facts *facts);
/* Whether two container.resources are the same; NULL and {} are. (decide-resize.c) */
bool resources_are_same(const json_t *a, const json_t *b);
/* Whether the object shows all of this status already. */
bool status_is_shown(const json_t *pod, const json_t *status);
/* The whole status; conditions of other writers in pod.status are kept. Returns a new reference. */
json_t *status_build(const json_t *pod, const struct container_record *c, size_t n,
                const struct status_facts *facts) _warn_unused_;
