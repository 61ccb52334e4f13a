/* The process namespace of containers with a root of their own (docs/pod-security.md). kpod-exec
 * makes it, and the unit gives it what it needs for that. So a unit has more capabilities and
 * system calls than its program, which begins with those of "pids". Pure. */
#pragma once

#include "nodeagent/plan/plan.h"

/* Gives the units of a plan that should have one their namespace, and "pids" in their "start":
 * {"proc": mount options, "masks": words, "users", "notify": bool, "capabilities", "ambient",
 * "namespaces": lists as properties; "calls": names, where there is a filter; "target": the
 * container whose namespace is joined instead of a new one; "join": "PID START" of the process
 * whose namespace is joined, which is set when that is known}. To be called when all else of the
 * plan is there. -ENOMEM. */
int pod_pids(const json_t *pod, const struct pod_facts *facts, json_t *plan);
/* The fields of a file for kpod-exec (command.c). Does nothing without "pids". */
void pids_command_fields(const json_t *start, const char *file, struct buf *b);
/* Whether the processes of this unit of a plan are in a namespace of their own, or of another
 * container. */
bool pids_has_namespace(const json_t *unit);
