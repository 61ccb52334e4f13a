/* The process namespace of a container, for kpod-exec. */
#pragma once

#include <stdbool.h>

#include "nodeagent/kpod-confine.h"

struct namespace_plan {
        const char *proc;  /* the options of its /proc; NULL: no namespace is made */
        const char *masks; /* "tunables": /proc/sys and the like are read-only, "logs": no kmsg */
        const char *join;  /* "PID START": of the process whose namespace is joined; "": of
                            * $MAINPID; NULL: none */
        bool users;        /* a user namespace, made or joined likewise */
        bool notify;       /* messages to systemd are passed on; not when joining */
        struct confinement confinement;
        /* What the process that waits frees; borrowed until then. */
        void *release[3];
};

/* Makes the namespace or joins it, and confines the program. Returns 0 in the process that executes
 * the program: its process id is another one than before. Another process stays where it was: it
 * does not return from here, passes signals on and ends as the program does. -errno, and in
 * ret_what what failed. */
int namespace_enter(const struct namespace_plan *p, const char **ret_what);
