/* The NFS shares that are mounted on this node: mount units, one for each server, path and options.
 * Nothing is remembered: whether a share is mounted is in systemd, who has it follows from the
 * pods. A share that no pod has is unmounted; what an agent before this one has mounted is adopted.
 */
#pragma once

#include "nodeagent/agent.h"

struct shares;
/* Borrows agent, whose units must be there. */
int shares_new(struct shares **ret, struct agent *agent);
struct shares *shares_free(struct shares *s);
DEFINE_CLEANUP(struct shares *, shares_free);
/* Mounts a share (of pod_share()). 1 when it is mounted; 0: not yet, p says so, and all pods are
 * woken when that changes. -EAGAIN with p: it failed; the next try is due after some time. */
int shares_want(struct shares *s, const json_t *share, struct problem *p);
/* Unmounts the shares that no pod has. NULL is fine. */
void shares_sweep(struct shares *s);
/* Keeps a share mounted that no pod has; where: its folder, or NULL for none. One at a time. */
int shares_hold(struct shares *s, const char *where);
/* Runs `knodeagent` with these commands ([[subcommand, words after ERRORS]]) in a unit with a time
 * limit. done gets NULL, or why it failed; it is not called from inside. */
typedef void (*shares_exec_func)(const char *why, void *userdata);
struct shares_exec;
int shares_exec_start(struct shares *s, const json_t *commands, shares_exec_func done,
                void *userdata, struct shares_exec **ret);
/* done is no longer called. NULL is fine; returns NULL. */
struct shares_exec *shares_exec_cancel(struct shares_exec *x);
