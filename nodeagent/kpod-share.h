/* The process namespace of a pod with shareProcessNamespace, for kpod-exec. */
#pragma once

/* Makes a process namespace and keeps it as its first process, which is the parent of orphaned ones
 * and has no rights. Ends only with that. Returns an exit code. */
int share_run(void);
