/* Where a container's program runs, for kpod-exec: the namespaces of a process, as files, and
 * entering them. */
#pragma once

#include <stdbool.h>

/* Files; -1: none, or it is that of this process already. */
struct container_place {
        int folder; /* the process's folder in /proc */
        int mounts, ipc, net, names, users, pids;
        int root; /* its root folder */
};

#define PLACE_NONE \
        { \
                -1, -1, -1, -1, -1, -1, -1, -1 \
        }

/* The place of the process that holds a container's mounts: the only one in the control group of
 * the unit `hold`, beside this process's own (plan/pids.c). -ESRCH: it is not there. -EACCES: it is
 * another process. Below, *ret_what becomes what failed. */
int place_of_unit(const char *hold, struct container_place *ret, const char **ret_what);
/* That of the process "PID START", of $MAINPID with "", once its program has begun. -ESRCH. */
int place_of_process(const char *process, struct container_place *ret, const char **ret_what);
/* Only its process namespace. -ESRCH, also when it has none of its own. */
int place_pids_of(const char *process, struct container_place *to, const char **ret_what);
/* That of the unit `share`, beside this process's own (kpod-share.c). -ESRCH. */
int place_pids_of_unit(const char *share, struct container_place *to, const char **ret_what);
/* The holder is not needed any longer, once its files are open. */
void place_release(const struct container_place *p);
/* Enters all of them but the user namespace, which place_enter_users() does: the process namespace
 * counts for children. */
int place_enter(const struct container_place *p, const char **ret_what);
int place_enter_users(const struct container_place *p, const char **ret_what);
void place_close(struct container_place *p);

/* Lets this program run from a mount of its own that nobody can write to, by executing it again.
 * Otherwise user 0 of a container could open the machine's file as /proc/PID/exe, and write to it.
 * Returns when that is so already. -errno. */
int place_run_read_only(char *const *argv, char *const *envp);
