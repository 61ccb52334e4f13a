/* The process of kpod-exec that stays outside of a container's process namespace, as the main
 * process of the unit, while the program runs. */
#pragma once

#include <sys/types.h>

#include "nodeagent/kpod-namespace.h"
#include "nodeagent/kpod-notify.h"

/* Gives up everything but the right to signal the program, which may have another user. Nothing
 * reaches this process but signals. -errno. */
int wait_prepare(const struct namespace_plan *p);
/* Passes signals on, and messages where notify is not NULL; ends as the program does. */
_Noreturn void wait_as(pid_t child, const struct notify *notify);
