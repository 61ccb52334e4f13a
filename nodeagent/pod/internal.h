/* Inside of the pod machine (pods.c, pod-start.c, pod-stop.c, pod-report.c). */
#pragma once

#include "nodeagent/pod/pods.h"
#include "nodeagent/pod/probes.h"
#include "nodeagent/pod/status.h"

enum pod_stage {
        POD_ALIVE,    /* being started, or running */
        POD_DRAINING, /* deleted; still served until services know */
        POD_PRESTOP,  /* hooks run */
        POD_STOPPING, /* SIGTERM is out */
        POD_CLEANING, /* units are gone; folders and network go */
        POD_FINISHED, /* only the API has to be told */
};

struct container {
        struct pod *pod;
        struct container_record *record;
        char *unit;    /* name */
        bool starting; /* a start is on its way */
        uint64_t backoff_us;
        uint64_t retry_us;  /* monotonic; 0: now */
        uint64_t failed_us; /* monotonic; since when the unit is seen failed */
        struct probe *startup, *liveness, *readiness;
        struct container_exec *execs; /* running commands of probes */
        struct units_exec *hook;      /* preStop, as a command ... */
        json_t *hook_unit;            /* ... whose file is removed after it */
        struct probe *hook_request;   /* preStop or postStart, as an HTTP request */
        bool hook_done;
        uint64_t hook_until_us; /* monotonic; postStart.sleep ends */
        uint64_t kill_us;       /* monotonic; a stop asked for is to be done by then */
        char kill_of[33];       /* the invocation that is to be gone */
        char announced[33];     /* the invocation whose start was reported as an event */
        bool restarting;        /* we have asked for a restart or a stop of this invocation */
        bool adopted;           /* ran and was ready when this agent started */
        char seen[33];          /* the invocation that probes and readiness are about */
};

struct pod {
        struct pods *pods;
        char *uid;
        json_t *object;
        json_t *resources; /* {"configmaps": {...}, "secrets": {...}} or NULL */
        json_t *plan;      /* of pod_to_units(), or NULL */
        unsigned flags;
        struct container_record *records;
        struct container *containers;
        size_t count;
        char ip[16];
        uint64_t start_us; /* wall clock */
        bool sandbox_ready, slice_started, from_disk, api_gone, verified, warned;
        bool admitted; /* may start on this node */
        bool swept;    /* evicted, and its volumes are removed */
        char *failed_reason, *failed_message;
        char *disk_dir, *run_dir, *secret_dir, *netns;
        /* stopping */
        enum pod_stage stage;
        uint64_t deleted_us; /* monotonic */
        uint64_t deleted_wall_us;
        uint64_t grace_us;
        uint64_t drained_us;
        bool was_served, killed;
        /* reporting */
        uint64_t told_us; /* monotonic; when the status was written last */
        json_t *reported; /* status last written */
        struct api_call *call;
        uint64_t report_retry_us, report_backoff_us;
        char *saved_run;
        /* waking */
        sd_event_source *timer;
        uint64_t wake_us;
        bool dirty;
        /* resources on their way */
        struct fetch *fetch;
        uint64_t fetch_us;
        /* the disk volumes being measured */
        struct pod_usage *usage;
        uint64_t usage_us; /* monotonic; when next */
};

struct pods {
        struct agent *agent;
        struct map *by_uid;
        sd_event_source *defer;
        unsigned exec_serial;
        char boot_id[33];
        bool units_listed, synced;
        json_t *taints; /* of this node */
        bool node_seen;
};

void pod_wake(struct pod *p);
/* Asks for another step at this monotonic time at the latest. */
void pod_wake_at(struct pod *p, uint64_t mono_us);
struct container *pod_container(struct pod *p, const char *unit);
const json_t *container_spec(const struct container *c);
const json_t *container_unit(const struct container *c);
bool pod_is_host_network(const struct pod *p);
bool pod_is_terminal(const struct pod *p);
const char *pod_phase(const struct pod *p);
/* pod-start.c: one look at a living pod. */
void pod_step_start(struct pod *p);
void container_probes_stop(struct container *c);
/* pod-usage.c: measures disk volumes with a limit when it is time, and evicts the pod over it. */
void pod_check_usage(struct pod *p);
void pod_usage_cancel(struct pod *p);
/* Removes the volumes of an evicted pod once nothing of it runs. */
void pod_sweep_evicted(struct pod *p);
/* Somebody listens where its containers write to. */
void pod_ensure_logs(struct pod *p);
/* The unit of a container is stopped (or, with restart, started again); SIGKILL when it takes
 * longer than grace_s seconds, -1: than the pod's grace period. */
void container_end(struct container *c, bool restart, int64_t grace_s);
/* Makes the pod's plan when there is none. 1 when it is there. */
int pod_ensure_plan(struct pod *p);
/* pod-exec.c: commands beside a container. */
int container_exec_probe(struct container *c, struct probe *probe, const json_t *command,
                uint64_t timeout_us);
void container_exec_cancel(struct container *c, struct probe *probe);
/* container-files.c: what kpod-exec and the program have left. */
void container_read_report(struct container *c);
/* Takes over what systemd says of the unit, and what was left in files when it has ended. */
void container_look(struct container *c, const struct unit_state *state);
/* pod-hooks.c: 1 when the preStop hook has ended or there is none, 0 while it runs. started_us:
 * monotonic, when the hooks of the pod began. */
int container_pre_stop(struct container *c, uint64_t started_us);
/* Starts postStart of a new invocation, where the unit itself does not run it. */
void container_post_start(struct container *c);
bool container_post_start_pending(const struct container *c);
void container_hooks_stop(struct container *c);
/* pod-stop.c */
void pod_step_stop(struct pod *p);
/* pod-report.c: record on disk, status to the API. */
void pod_report(struct pod *p);
/* pod-no-effect.c: an event that names the fields of the pod that nothing comes of. */
void pod_warn_no_effect(struct pod *p);
/* pods.c: object and resources to disk. */
void pod_save_desired(struct pod *p);
void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...)
                _printf_(4, 5);
/* Whether a pod of this slice is known. */
bool pods_claim_slice(struct pods *all, const char *slice);
/* pods.c: frees the pod and all it has on disk. */
void pod_forget(struct pod *p);
