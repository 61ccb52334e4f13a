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
/* The desired pod, new or changed. static pods come from files and are not the API's. */
enum { POD_STATIC = 1 << 0 };
int pods_apply(struct pods *p, const json_t *object, unsigned flags);
/* The API no longer has it. */
void pods_gone(struct pods *p, const char *uid);
/* The API's list is complete: pods that it does not know (func says no) are gone. */
void pods_synced(struct pods *p, bool (*is_known)(const char *uid, void *userdata), void *userdata);
void pods_wake_all(struct pods *p);
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
/* Calls for every pod's object (resource accounting). */
void pods_each(struct pods *p, void (*func)(const json_t *object, void *userdata), void *userdata);
/* Calls for every container, one pod after another; unit: its name in the runtime. */
void pods_each_container(struct pods *p,
                void (*func)(const json_t *pod, const char *container, const char *unit,
                                void *userdata),
                void *userdata);
size_t pods_count(const struct pods *p);
/* Whether one of which processes may run uses the PersistentVolume of that name. */
bool pods_use_volume(const struct pods *p, const char *volume);
/* Whether one of them has the NFS share that is mounted at `where`. */
bool pods_use_share(const struct pods *p, const char *where);
