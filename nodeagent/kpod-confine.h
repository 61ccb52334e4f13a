/* What kpod-exec takes from itself before a container's program begins: the capabilities that only
 * the making of its namespaces has needed, and the system calls that were for them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct confinement {
        uint64_t bounding, ambient; /* the capabilities that the program may have, and has */
        /* "ALLOWED CALL...": the flags of namespaces (CLONE_NEW*) that the program may make, in
         * hexadecimal, "-": all; and system calls that it may not make. NULL: no filter. */
        const char *filter;
        bool no_new_privileges; /* set-uid programs and the like have no effect */
};

/* Applies to this process and all that it executes; nothing can undo it. Returns -errno, and in
 * ret_what what failed. */
int confine_program(const struct confinement *c, const char **ret_what);

/* Those that this process may have, with all that it executes. To be read before a user namespace
 * is entered, where they are all of them again. */
uint64_t confine_bounding(void);
/* Keeps these capabilities, and none that a program executed later could get. -errno. */
int confine_to_capabilities(uint64_t keep);
