/* The inside of the pod machine: struct pod and struct container, private to nodeagent/pod/. Each
 * sub-struct is written by the one file that its comment names; all files may read it.
 *
 *      event --> pod_wake() --> [ view.c --> decide*.c --> drive.c ] until nothing is left to do
 * now
 */
#pragma once

#include <sys/queue.h>

#include "lib/loop-turn.h"
#include "nodeagent/pod/decide.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/pod/probes.h"
#include "nodeagent/pod/start-slots.h"

/* The probes of the run that is seen. probing.c */
struct container_probes {
        struct probe *probe[PROBE_KINDS];
        enum probe_verdict verdict[PROBE_KINDS];
};

/* The lifecycle hook that runs. hooks.c */
struct container_hooks {
        struct runtime_exec *command;  /* preStop as a command ... */
        json_t *command_unit;          /* ... whose file is removed after it */
        struct probe *request;         /* preStop or postStart as a request */
        char pre_stop_of[RUN_ID_SIZE]; /* the run that preStop was begun for */
        bool pre_stop_done, post_start_failed;
        uint64_t post_start_until_us; /* monotonic; postStart.sleep ends */
};

/* Its image. image.c */
struct container_image {
        char *of;                /* the spec's image that all of this is about; NULL: none yet */
        json_t *kind;            /* of image_resolve(); NULL: the name is not valid ... */
        char *invalid;           /* ... and this is why */
        json_t *used;            /* as the plan takes it (plan/image.h); NULL: not decided */
        char *broken;            /* why what the store has cannot be used; or NULL */
        struct image_wait *wait; /* the pull that was asked for, while it runs */
        bool pulled;             /* it has succeeded ... */
        char *reason, *message;  /* ... or failed: why; or NULL */
        uint64_t took_us, waited_us, size_bytes, retry_after_us;
};

/* The end of a run's log, which becomes its termination message. container-files.c */
struct container_log_end {
        char of[RUN_ID_SIZE]; /* the run; "": nothing is awaited */
        uint64_t until_us;    /* monotonic: what has arrived by then is taken */
};

/* The unit is getting new limits. resize.c */
struct container_resizing {
        struct runtime_limit *call; /* or NULL */
        json_t *to;                 /* the resources that it asks for */
        uint64_t retry_us;          /* monotonic */
};

/* container.c, where nothing else is said. */
struct container {
        struct pod *pod;
        struct container_record *record;
        char *unit;    /* its name in the runtime */
        char *adopts;  /* the unit of the machine that it is; NULL: none */
        bool starting; /* a start was sent, and the container is not there yet */
        struct container_memory memory;
        struct container_image image;
        struct container_probes probes;
        struct container_hooks hooks;
        struct container_log_end log_end;
        struct container_resizing resize;
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
        char ip[ADDRESS_TEXT_SIZE];
        char ip6[ADDRESS_TEXT_SIZE]; /* "": none, or ip is of IPv6; follows from ip */
        json_t *resources;           /* {"configmaps": {...}, "secrets": {...}} or NULL */
        struct fetch *fetch;
        bool stale;           /* an object has changed since the fetch began */
        uint64_t fetch_us;    /* monotonic; when to fetch them again */
        json_t *plan;         /* of pod_to_units(), or NULL */
        bool ready;           /* network and volumes are there */
        bool warned;          /* of what the plan leaves out */
        unsigned user_try;    /* of its dynamic user's name (plan/dynamic-user.h); pod-user.c */
        bool user_chosen;     /* that is for good; it is in the record */
        uint32_t user_number; /* that is its dynamic user's; 0: it has none, or it is not known */
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
        uint64_t at_us;          /* monotonic; 0: the timer is off */
        bool dirty;              /* to be looked at; it is in the set's list then */
        TAILQ_ENTRY(pod) others; /* in that list */
        bool wants_slot;         /* it is in the set's list of those */
        TAILQ_ENTRY(pod) slot_others;
};

/* The disk volumes with a limit. usage.c */
struct pod_usage {
        struct du *running;
        uint64_t next_us; /* monotonic */
        bool swept;       /* evicted, and the volumes are removed */
};

/* Why a resize waits or fails; or NULL. resize.c */
struct pod_resizing {
        char *reason, *message, *error;
};

/* The pod is to fail as a whole. pod_end() */
struct pod_ending {
        char *reason, *message; /* or NULL */
        bool bounded;           /* its containers have only this time: */
        int64_t grace_s;
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
        struct container **containers; /* as many, in the same order */
        size_t count;                  /* grows by ephemeral containers */
        uint64_t start_us;             /* wall clock; when the agent took the pod up */
        uint64_t arrived_us;           /* monotonic, until its start was counted; 0: it is not */
        bool files_due;                /* file-check.c */
        bool api_gone;                 /* the API does not have it any longer */
        uint64_t save_us; /* monotonic; it could not be kept on disk: the next try, or 0 */
        char *failed_reason, *failed_message;
        struct pod_memory memory;
        struct pod_sandbox sandbox;
        struct pod_shares shares;
        struct pod_reporting reporting;
        struct pod_waking waking;
        struct pod_usage usage;
        struct pod_ending ending;
        struct pod_resizing resizing;
};

struct look;

/* The set. pods.c */
struct pods {
        struct agent *agent;
        struct map *by_uid;
        struct map *by_unit;    /* name in the runtime -> first struct container */
        struct map *by_sandbox; /* name in the runtime -> struct pod */
        struct loop_turn *turn; /* waking.c */
        sd_event_source *file_check; /* file-check.c */
        TAILQ_HEAD(pods_dirty, pod) dirty; /* to be looked at; waking.c */
        struct start_slots slots;
        TAILQ_HEAD(pods_slots, pod) want_slots; /* in this order; waking.c */
        sd_event_source *slot_timer;
        struct look *look;                 /* carries decisions out; drive.c */
        unsigned exec_serial;              /* of the next command beside a container */
        char boot_id[33];
        bool units_listed, synced;
        json_t *taints;     /* of this node */
        unsigned pressures; /* bits by enum node_pressure */
        bool halting;       /* the machine is being shut down */
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
/* The API does not have the pod any longer. forced: it was removed there before its containers have
 * ended, so another one may have taken its place: they have FORCED_GRACE_S at most. */
enum { FORCED_GRACE_S = 2 };
void pod_gone(struct pod *p, bool forced);
/* The API does not have it any longer, and nothing runs: nothing has to be written to it. */
void pod_set_api_gone(struct pod *p);
/* The pod as a whole has failed. The first reason stays. */
void pod_fail(struct pod *p, const char *reason, const char *message);
/* The pod shall fail with this reason, its containers have so many seconds to end: the next look
 * does it. The first reason stays. */
void pod_end(struct pod *p, const char *reason, const char *message, int64_t grace_s);
/* Takes over the memory that a decision gives. */
void pod_commit(struct pod *p, const struct pod_decision *d);
/* Its container of this name; NULL: none. */
struct container *pod_container(struct pod *p, const char *name);
bool pod_is_host_network(const struct pod *p);
bool pod_is_terminal(const struct pod *p);
enum pod_phase pod_phase(const struct pod *p);
/* Whether some container of it has been started, now or before. */
bool pod_has_started(const struct pod *p);

/* ---- pod-disk.c: a pod's files on disk ---- */

/* Object and resources. Written before anything runs, so that a crash at any instant leaves either
 * nothing or a pod that is found again. */
void pod_save_desired(struct pod *p);
/* The pod of that uid as it was kept; NULL: none that can be read. */
struct pod *pod_load(struct pods *all, const char *uid);
/* A new pod from the API: what ran of it under an agent that has lost its definition is found
 * again, by the record on disk or, without one, by its units and its status. */
void pod_recover(struct pod *p);
/* The record of what runs, as JSON for the disk. */
json_t *pod_run_record(const struct pod *p) _warn_unused_;

/* ---- waking.c ---- */

void pod_wake(struct pod *p);
/* Asks for another look at this monotonic time at the latest. */
void pod_wake_at(struct pod *p, uint64_t mono_us);
/* Asks for another look when fewer containers are being started. */
void pod_want_slot(struct pod *p);
/* Looks at every pod that was woken since. */
void pods_on_turn(void *userdata);
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
/* Its part of the plan; NULL: no plan, or it is in none (yet). */
const json_t *container_plan(const struct container *c);
/* Sets up containers and records from the pod's object. */
int pod_add_containers(struct pod *p);
/* The same for ephemeral containers that the object has now. */
int pod_add_ephemeral(struct pod *p);
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
/* An empty writable layer for its root. */
void container_renew_root(struct container *c);
/* The runtime refused the start. */
void container_start_refused(struct container *c, const char *message);
/* Observes the runtime's state, and reads the program's files when it has ended. NULL: the
 * container is gone. */
void container_observe_run(struct container *c, const struct run_state *state);
/* Every container that has not started waits with this reason. */
void pod_wait_all(struct pod *p, const char *reason, const char *message);
/* The awaited event has come. */
void pod_wait_over(struct pod *p);

/* ---- file-check.c ---- */

/* Compares the files that pods read with what was made, soon and a few pods at a time. */
void pods_check_files(struct pods *all);

/* ---- adopt.c: containers that are units of the machine ---- */

/* Follows the units of the pod; before their states are asked for. */
void pod_adopt_units(struct pod *p);
/* Records how the unit was found, and gives it its properties. */
void container_adopt(struct container *c);
void container_limit_adopted(struct container *c);
/* Takes its properties away; the unit stays as it is. */
void pod_release_units(struct pod *p);

/* ---- image.c ---- */

/* What a look sees of the container's image; borrowed from the container until the next one. */
void container_image_view(struct container *c, struct image_view *ret);
/* The image that the store has becomes the container's; without one the next look says so. */
void container_use_image(struct container *c);
/* Asks for its image; the pod is woken when it is there, or when the pull has failed. */
void container_pull(struct container *c);
/* Notes in the store that its image is used now. */
void container_image_mark_used(const struct container *c);
void container_image_done(struct container *c);

/* ---- container-files.c: the files of kpod-exec and of the program ---- */

void container_read_report(struct container *c);
/* The termination message; NULL: none, or it is the end of the log, which is awaited. Caller frees.
 */
char *container_last_words(struct container *c, const struct run_state *state);
/* Puts an awaited end of a log into the record, once all of the log is there. Whether a container
 * of the pod still waits for its own. */
bool pod_awaits_logs(struct pod *p);

/* ---- sandbox.c ---- */

/* From the record on disk. Takes nothing; an address that is in use already is left out. */
void sandbox_load(struct pod *p, const char *ip, const json_t *resources);
/* Its address is in use; one that is not of this node's range, or another's, is left out. */
void sandbox_reserve(struct pod *p);
/* The runtime could not set the container up: the next look makes the files and the network of the
 * pod again, where something took them away. */
void sandbox_doubt(struct pod *p);
void sandbox_done(struct pod *p);
/* A ConfigMap or Secret ("configmaps", "secrets") that the pod uses has this version now; "": it is
 * gone. */
void sandbox_object_changed(struct pod *p, const char *kind, const char *name, const char *version);
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

/* ---- pod-user.c: its dynamic user ---- */

/* From the record on disk; negative: none is in it. */
void pod_load_user(struct pod *p, int64_t attempt);
/* For its plan (pod_facts.user_try): chosen here when the pod has not started. */
unsigned pod_choose_user(struct pod *p);
/* Notes whether the plan has that user, another one (of a claim), or none. */
void pod_note_user(struct pod *p, const json_t *plan);

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

/* ---- join.c: process namespaces ---- */

/* The user of its main process, which may be the one that waits beside the program. -ESRCH. */
int container_user(const struct container *c, uint32_t *ret);

/* What a command beside the container needs to join its process namespace: sets it in the unit of
 * pod_exec_unit() or pod_stream_unit(). -ESRCH: the container does not run. */
int container_join(const struct container *c, json_t *unit);
/* The same for an ephemeral container's unit, whose target has one: *ret is a copy of it, to be
 * unref'd, or NULL when it joins none. -ESRCH with p. */
int container_join_target(const struct container *c, const json_t *unit, json_t **ret,
                struct problem *p);

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

/* ---- resize.c ---- */

/* The object with the resources that are granted instead of those of its spec. NULL when out of
 * memory; the caller unrefs. */
json_t *pod_allocated_object(const struct pod *p) _warn_unused_;
/* Whether its spec names other resources than those that are granted. */
bool pod_wants_resize(const struct pod *p);
void pod_room(const struct pod *p, struct node_room *ret);
/* Grants what the spec names. */
void pod_allocate(struct pod *p);
/* A resize waits for this reason; "": none waits. */
void pod_resize_pending(struct pod *p, const char *reason, const char *message);
void container_resize(struct container *c);
void container_resize_done(struct container *c);

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
/* Whether the API has the pod's present status, as far as that was ever sent. */
bool reporting_is_done(const struct pod *p);

/* ---- no-effect.c ---- */

/* An Event that names the fields of the pod that have no effect. */
void pod_warn_no_effect(struct pod *p);

/* ---- pods.c ---- */

/* Indexes a new pod. -ENOMEM. */
int pods_add(struct pods *all, struct pod *p);
/* Indexes a container that a pod has got later. -ENOMEM. */
int pods_add_container(struct pods *all, struct container *c);
/* Frees the pod and its record on disk. */
void pods_forget(struct pod *p);
/* Whether the sandbox is a known pod's. */
bool pods_has_sandbox(const struct pods *all, const char *sandbox);
