/* The process namespace of a container, for kpod-exec. */
#pragma once

#include "nodeagent/kpod-confine.h"

struct namespace_plan {
        const char *hold;   /* the unit whose process holds the container's mounts; NULL: the
                             * program joins a container that runs */
        const char *join;   /* "PID START": of the process that is joined; "": of $MAINPID; with
                             * hold only its process namespace. NULL: none */
        const char *share;  /* the unit whose process namespace is joined; NULL: none */
        const char *proc;   /* the options of /proc */
        const char *masks;  /* "tunables": /proc/sys and the like are read-only, "logs": no kmsg */
        const char *notify; /* the folder for a socket, through which messages to systemd are
                             * passed on; NULL: none */
        struct confinement confinement;
        /* What the process that waits frees; borrowed until then. */
        void *release[3];
};

enum { NAMESPACE_NOT_HELD = 226 /* systemd's exit code for mounts that cannot be set up */ };

/* Makes the namespace or joins it, and confines the program. Returns 0 in the process that executes
 * the program: its process id is another one than before, and all files but the standard ones are
 * of the caller or for the program. Another process stays where it was: it does not return from
 * here, passes signals on and ends as the program does. -errno, and in ret_what what failed.
 * -ENOLINK: nothing holds the container's mounts, because they cannot be set up. */
int namespace_enter(const struct namespace_plan *p, const char **ret_what);
