/* The inside of the pod machine: struct pod and struct container, private to nodeagent/pod/. Each
 * sub-struct is written by the one file that its comment names; all files may read it.
 *
 *      event --> pod_wake() --> [ view.c --> decide*.c --> drive.c ] until nothing is left to do
 * now
 */
#pragma once

#include "nodeagent/pod/decide.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/pod/probes.h"

/* The probes of the run that is seen. probing.c */
struct container_probes {
        struct probe *probe[PROBE_KINDS];
        enum probe_verdict verdict[PROBE_KINDS];
};

/* The lifecycle hook that runs. hooks.c */
struct container_hooks {
        struct runtime_exec *command; /* preStop as a command ... */
        json_t *command_unit;         /* ... whose file is removed after it */
        struct probe *request;        /* preStop or postStart as an HTTP request */
        bool pre_stop_done, post_start_failed;
        uint64_t post_start_until_us; /* monotonic; postStart.sleep ends */
};

/* container.c, where nothing else is said. */
struct container {
        struct pod *pod;
        struct container_record *record;
        char *unit;    /* its name in the runtime */
        bool starting; /* a start was sent, and the container is not there yet */
        struct container_memory memory;
        struct container_probes probes;
        struct container_hooks hooks;
        struct container_exec *execs; /* commands of probes that run; exec.c */
        struct container *same_unit;  /* the next one of that name; pods.c */
};

/* The folders of NFS shares. shares.c */
struct pod_shares {
        struct shares_exec *binding; /* runs */
        bool bound;
        char *failed;      /* why not; or NULL */
        uint64_t retry_us; /* monotonic */
};

/* The environment of the containers. sandbox.c */
struct pod_sandbox {
        char ip[16];
        json_t *resources; /* {"configmaps": {...}, "secrets": {...}} or NULL */
        struct fetch *fetch;
        uint64_t fetch_us; /* monotonic; when to fetch them again */
        json_t *plan;      /* of pod_to_units(), or NULL */
        bool ready;        /* network and volumes are there */
        bool warned;       /* of what the plan leaves out */
};

/* The reported state. report.c */
struct pod_reporting {
        json_t *reported;     /* status written last, or NULL */
        uint64_t reported_us; /* monotonic */
        struct api_call *call;
        uint64_t retry_us, backoff_us;
        char *saved_run; /* the record on disk */
};

/* When to look again. waking.c */
struct pod_waking {
        sd_event_source *timer;
        uint64_t at_us; /* monotonic; 0: the timer is off */
        bool dirty;     /* to be looked at in this turn of the loop */
};

/* The disk volumes with a limit. usage.c */
struct pod_usage {
        struct measurement *running;
        uint64_t next_us; /* monotonic */
        char *over;       /* a volume is over its limit: the message of the eviction; or NULL */
        bool swept;       /* evicted, and the volumes are removed */
};

/* pod.c, where nothing else is said. */
struct pod {
        struct pods *pods;
        char *uid;
        unsigned flags;
        json_t *object;
        char *sandbox_name; /* in the runtime */
        char *disk_dir, *run_dir, *secret_dir, *netns;
        struct container_record *records;
        struct container *containers; /* as many, in the same order */
        size_t count;
        uint64_t start_us; /* wall clock; when the agent took the pod up */
        bool api_gone;     /* the API does not have it any longer */
        char *failed_reason, *failed_message;
        struct pod_memory memory;
        struct pod_sandbox sandbox;
        struct pod_shares shares;
        struct pod_reporting reporting;
        struct pod_waking waking;
        struct pod_usage usage;
};

struct look;

/* The set. pods.c */
struct pods {
        struct agent *agent;
        struct map *by_uid;
        struct map *by_unit;    /* name in the runtime -> first struct container */
        struct map *by_sandbox; /* name in the runtime -> struct pod */
        sd_event_source *defer;
        struct look *look;    /* carries decisions out; drive.c */
        unsigned exec_serial; /* of the next command beside a container */
        char boot_id[33];
        bool units_listed, synced;
        json_t *taints; /* of this node */
        bool node_seen;
};

/* A pod that has the PersistentVolume of that name: one that is ready to run with it or runs, not
 * one that waits; NULL: none. pods.c */
const struct pod *pods_holder_of(const struct pods *p, const char *volume);

/* ---- pod.c ---- */

/* A pod that waits to be looked at; nothing runs yet and nothing is on disk. NULL: no memory. The
 * object's uid must be valid (uid_is_valid()). */
struct pod *pod_new(struct pods *all, const json_t *object, unsigned flags);
/* Ends nothing that runs. NULL is fine; returns NULL. */
struct pod *pod_free(struct pod *p);
/* Whether it can be a folder's name and part of a unit's. */
bool uid_is_valid(const char *uid);
/* Takes a new version of its object. first: pod_new() was given the same one just now. */
void pod_update(struct pod *p, const json_t *object, bool first);
/* The API does not have the pod any longer. */
void pod_gone(struct pod *p);
/* The API does not have it any longer, and nothing runs: nothing has to be written to it. */
void pod_set_api_gone(struct pod *p);
/* The pod as a whole has failed. The first reason stays. */
void pod_fail(struct pod *p, const char *reason, const char *message);
/* Takes over the memory that a decision gives. */
void pod_commit(struct pod *p, const struct pod_decision *d);
/* Its container of this name; NULL: none. */
struct container *pod_container(struct pod *p, const char *name);
bool pod_is_host_network(const struct pod *p);
bool pod_is_terminal(const struct pod *p);
/* Whether some container of it has been started, now or before. */
bool pod_has_started(const struct pod *p);

/* ---- pod-disk.c: a pod's files on disk ---- */

/* Object and resources. Written before anything runs, so that a crash at any instant leaves either
 * nothing or a pod that is found again. */
void pod_save_desired(struct pod *p);
/* The pod of that uid as it was kept; NULL: none that can be read. */
struct pod *pod_load(struct pods *all, const char *uid);
/* The record of what runs, as JSON for the disk. */
json_t *pod_run_record(const struct pod *p) _warn_unused_;

/* ---- waking.c ---- */

void pod_wake(struct pod *p);
/* Asks for another look at this monotonic time at the latest. */
void pod_wake_at(struct pod *p, uint64_t mono_us);
/* Looks at every pod that was woken since. */
int pods_on_defer(sd_event_source *s, void *userdata);
void pod_waking_done(struct pod *p);

/* ---- view.c, drive.c ---- */

/* Fills the view of the pod. The view borrows from it and from *containers, which has p->count
 * elements. */
void pod_view(struct pod *p, uint64_t now_us, struct pod_view *ret,
                struct container_view *containers);
/* One look at the pod: everything that can be done now is done. May free the pod. */
void pod_look(struct pod *p);
/* Looks at pods, one at a time. */
int look_new(struct look **ret);
struct look *look_free(struct look *l);

/* ---- container.c ---- */

const json_t *container_spec(const struct container *c);
/* Its part of the plan; NULL: no plan. */
const json_t *container_plan(const struct container *c);
/* Sets up containers and records from the pod's object. */
int pod_add_containers(struct pod *p);
void pod_free_containers(struct pod *p);
/* Sets its fields from the record on disk. */
void container_load(struct container *c, const json_t *saved);
/* None of its containers run, although the record may say so. */
void container_not_adopted(struct container *c);
/* After a reboot: its work is lost, and it runs again. */
void container_forget_end(struct container *c);
/* Takes over the memory that a decision gives. */
void container_commit(struct container *c, const struct container_memory *m);
/* Sends the start; a failure is in the record, and is tried again later. */
void container_start(struct container *c);
/* The runtime refused the start. */
void container_start_refused(struct container *c, const char *message);
/* Observes the runtime's state, and reads the program's files when it has ended. NULL: the
 * container is gone. */
void container_observe_run(struct container *c, const struct run_state *state);
/* Every container that has not started waits with this reason. */
void pod_wait_all(struct pod *p, const char *reason, const char *message);
/* The awaited event has come. */
void pod_wait_over(struct pod *p);

/* ---- container-files.c: the files of kpod-exec and of the program ---- */

void container_read_report(struct container *c);
/* The termination message; NULL: none. Caller frees. */
char *container_last_words(struct container *c, const struct run_state *state);

/* ---- sandbox.c ---- */

/* From the record on disk. Takes nothing; an address that is in use already is left out. */
void sandbox_load(struct pod *p, const char *ip, const json_t *resources);
void sandbox_done(struct pod *p);
/* The object has changed: the next look makes the plan again. */
void sandbox_drop_plan(struct pod *p);
/* Asks for the ConfigMaps and Secrets; the pod is woken when they are there. */
void sandbox_fetch(struct pod *p);
/* Whether the pod uses ConfigMaps, Secrets or claims. */
bool sandbox_wants_resources(const struct pod *p);
/* Network, volumes, plan and the runtime's sandbox, as far as they are missing. 1 when all is
 * there; 0: not now, the containers say why and the pod is woken for the next try. */
int sandbox_prepare(struct pod *p);
/* The plan, for a pod that ends: an adopted pod may have none yet. 1 when it is there. */
int sandbox_ensure_plan(struct pod *p);
/* Gives the pod its link, addresses and routes again, where something took them away. */
void sandbox_mend_network(struct pod *p);
/* Takes down everything that the pod has on the machine, its record aside. */
void sandbox_clean(struct pod *p);

/* ---- shares.c ---- */

/* The NFS shares of a plan: mounted, and their folders bound. 1 when all is there; 0: not yet, p
 * says for what and the pod is woken. -EAGAIN with p: it failed, and is tried again. */
int shares_prepare(struct pod *pod, const json_t *plan, struct problem *p);
/* Ends what is being bound; the mounts stay. */
void pod_shares_done(struct pod *p);

/* ---- probing.c, exec.c ---- */

void container_probe_start(struct container *c, enum probe_kind kind);
void container_probe_stop(struct container *c, enum probe_kind kind);
void container_probes_stop(struct container *c);
/* Runs a probe's command beside the container; probe_exec_done() gets its outcome. */
int container_exec_probe(struct container *c, struct probe *probe, const json_t *command,
                uint64_t timeout_us);
void container_exec_cancel(struct container *c, struct probe *probe);

/* ---- hooks.c ---- */

void container_pre_stop(struct container *c);
/* postStart of a new run, where the unit itself does not run it. */
void container_post_start(struct container *c);
bool container_hook_is_busy(const struct container *c);
void container_hooks_stop(struct container *c);

/* ---- usage.c ---- */

/* Whether it has disk volumes with a limit. */
bool usage_is_limited(const struct pod *p);
/* Measures them; when one is over its limit, the next look evicts the pod. */
void usage_measure(struct pod *p);
/* Removes the volumes of an evicted pod. */
void usage_sweep(struct pod *p);
void usage_done(struct pod *p);

/* ---- report.c ---- */

/* Writes the record to disk and the status to the API, where they differ from the last ones. */
void pod_report(struct pod *p);
/* An Event about the pod, and a line in the log. */
void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...)
                _printf_(4, 5);
/* The object has a new version: another writer may have changed our status. */
void reporting_follow(struct pod *p, const json_t *object);
/* The last act: the object is deleted from the API, then the pod is forgotten here. May free it. */
void pod_finish(struct pod *p);
void reporting_done(struct pod *p);

/* ---- no-effect.c ---- */

/* An Event that names the fields of the pod that have no effect. */
void pod_warn_no_effect(struct pod *p);

/* ---- pods.c ---- */

/* Indexes a new pod. -ENOMEM. */
int pods_add(struct pods *all, struct pod *p);
/* Frees the pod and its record on disk. */
void pods_forget(struct pod *p);
/* Whether the sandbox is a known pod's. */
bool pods_has_sandbox(const struct pods *all, const char *sandbox);
