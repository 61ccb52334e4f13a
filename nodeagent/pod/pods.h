/* The pods of this node: from an object to running units, and back to nothing. Level-triggered:
 * every event only wakes its pod, which then looks at everything and does what is next. This is all
 * that the rest of the agent sees of pods. */
#pragma once

#include "nodeagent/agent.h"

int pods_new(struct pods **ret, struct agent *agent);
struct pods *pods_free(struct pods *p);
DEFINE_CLEANUP(struct pods *, pods_free);
/* Loads the pods on disk, which ran here before; call it before anything of the API is known. */
int pods_load(struct pods *p);
/* The runtime is there: pods from the disk follow the units that they have adopted. */
void pods_runtime_there(struct pods *all);
/* The desired pod, new or changed. static pods come from files and are not the API's. */
enum { POD_STATIC = 1 << 0 };
int pods_apply(struct pods *p, const json_t *object, unsigned flags);
/* It was removed from the API, while this node looked on. */
void pods_gone(struct pods *p, const char *uid);
/* The API's list is complete: pods that it does not know (func says no) are gone. */
void pods_synced(struct pods *p, bool (*is_known)(const char *uid, void *userdata), void *userdata);
/* The same for static pods, once all their files were read. */
void pods_static_listed(
                struct pods *p, bool (*is_known)(const char *uid, void *userdata), void *userdata);
void pods_wake_all(struct pods *p);
void pods_wake_pod(struct pods *p, const char *uid);
/* The machine has got units that the pod may adopt. */
void pods_units_changed(struct pods *p, const char *uid);
/* This node's own taints (or NULL): new pods wait until they are known. */
void pods_set_taints(struct pods *p, const json_t *taints);
/* Only those that wait for the services to forget them. */
void pods_wake_ending(struct pods *p);
/* Callbacks of the runtime (struct runtime_callbacks). */
void pods_unit_changed(struct pods *p, const char *name, const struct run_state *state);
void pods_unit_start_error(struct pods *p, const char *name, const char *message);
void pods_units_listed(struct pods *p);
/* Compares the live units with their plans, and restores those that differ. */
void pods_check_units(struct pods *p);
/* Gives every pod its link, addresses and routes again, where something took them away. */
void pods_mend_network(struct pods *p);
/* The same for the pod that has this link, if there is one. */
void pods_mend_link(struct pods *p, const char *link);
/* The node's range of addresses is known only now: those that pods have are in use. */
void pods_reserve_addresses(struct pods *p);
/* Calls for every pod's object (resource accounting). */
void pods_each(struct pods *p, void (*func)(const json_t *object, void *userdata), void *userdata);
/* Calls for every container, one pod after another; unit: its name in the runtime. */
void pods_each_container(struct pods *p,
                void (*func)(const json_t *pod, const char *container, const char *unit,
                                void *userdata),
                void *userdata);
/* Calls for every pod that is neither static nor about to end; dir: its folder on disk. */
void pods_each_living(struct pods *p,
                void (*func)(const json_t *object, const char *dir, void *userdata),
                void *userdata);
/* The pod shall fail with this reason, its containers have so many seconds to end. Nothing happens
 * when it is not here or is about to end. */
void pods_end(struct pods *p, const char *uid, const char *reason, const char *message,
                int64_t grace_s);
/* Whether containers of it run. */
bool pods_has_processes(const struct pods *p, const char *uid);
/* Whether its volumes are still on disk. */
bool pods_has_data(const struct pods *p, const char *uid);
/* Whether units of it may run: it is here, and does not clean up yet. */
bool pods_has_units(const struct pods *p, const char *uid);
/* What the node is low on, bits by enum node_pressure: new pods may be refused for it. */
void pods_set_pressures(struct pods *p, unsigned pressures);
/* The machine is being shut down: nothing starts any longer; or it is not after all. */
void pods_set_halting(struct pods *p, bool halting);
/* Ends the pods of the machine that is being shut down: all, or only those that are not critical.
 * fail: their phase becomes Failed, so that their controllers replace them; else they start again
 * with the machine. */
void pods_halt(struct pods *p, bool critical, bool fail, int64_t grace_s);
/* Whether containers of any pod run; critical false: only of those that are not critical. */
bool pods_any_runs(const struct pods *p, bool critical);
/* Whether the API has the last status of every pod. */
bool pods_are_reported(const struct pods *p);
size_t pods_count(const struct pods *p);
/* How many pods have each phase; added to what is there. */
void pods_count_phases(const struct pods *p, size_t counts[static POD_PHASES]);
/* The OCI images of all containers: an object whose keys are their ids and names. The caller
 * unrefs; NULL when out of memory. */
json_t *pods_images(const struct pods *p) _warn_unused_;
/* Notes in the store that these are in use now. */
void pods_mark_images(const struct pods *p);
/* Whether one of which processes may run uses the PersistentVolume of that name. */
bool pods_use_volume(const struct pods *p, const char *volume);
/* Whether one of them has the NFS share that is mounted at `where`. */
bool pods_use_share(const struct pods *p, const char *where);

/* ---- streams.c: exec, attach, port-forward and proxies ---- */

struct pod_target {
        const char *ns, *pod, *uid, *container;
};
/* exit_code: 128 + signal when a signal ended it; negative: it was not started, see message. */
typedef void (*pod_stream_func)(int exit_code, const char *message, void *userdata);
struct pod_stream_options {
        const json_t *command;
        bool tty;
        int fds[3]; /* standard input, output, error; negative: none; borrowed for the call */
        pod_stream_func done;
        void *userdata;
};
struct pod_stream;
/* Runs a command beside a running container, with its user, root, mounts, network and limits. p
 * with a code when it cannot be: no such pod, not running. */
int pods_stream_start(struct pods *p, const struct pod_target *target,
                const struct pod_stream_options *o, struct pod_stream **ret,
                struct problem *problem);
/* Kills it; the callback is not called. NULL is fine; returns NULL. */
struct pod_stream *pod_stream_cancel(struct pod_stream *x);
/* Connects a socket to a running container's output and input; fd is borrowed. *ret_tty: the path
 * of its terminal, borrowed from the plan, or NULL. */
int pods_attach(struct pods *p, const struct pod_target *target, int fd, const char **ret_tty,
                struct problem *problem);
/* Strings are the pod's. */
struct pod_network {
        const char *netns;  /* path of its network namespace; "": the machine's own */
        const char *folder; /* removed when the pod has ended */
        const char *ip, *ip6; /* its addresses; "": none, no second one */
};
/* Of a running pod. */
int pods_netns(struct pods *p, const struct pod_target *target, struct pod_network *ret,
                struct problem *problem);
