/* The sandboxes of the processes that read bytes from outside. Each is entered after the fork and
 * is for good. */
#pragma once

#include "lib/problem.h"

/* Closes every descriptor but standard error and these: an open folder would be a way out. */
void sandbox_keep_only(const int *fds, size_t n);
/* Talks to registries: another user (65534), no capabilities, no files but those for names and
 * certificates (Landlock, where the kernel has it), no other programs, namespaces or tracing. Its
 * open descriptors stay. 0, -errno with p. */
int sandbox_fetcher(struct problem *p);
/* Unpacks into the folder, which becomes its root: it sees nothing else, and calls only what files
 * need (a list of allowed system calls, no sockets). keep_owner: it may set owners, modes and
 * capabilities of files; else it has no capability. */
int sandbox_unpacker(int folder, bool keep_owner, struct problem *p);
