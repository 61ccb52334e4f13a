/* The process namespace of containers with a root of their own (docs/pod-security.md). kpod-exec
 * makes it, and the unit gives it what it needs for that. So a unit has more capabilities and
 * system calls than its program, which begins with those of "pids". Pure. */
#pragma once

#include "nodeagent/plan/plan.h"

/* Gives the units of a plan that should have one their namespace: "hold" becomes the unit
 * {"name", "properties"} that holds the container's mounts, and in "start" is "pids": {"program":
 * kpod-exec's path, "hold": that unit's name, "proc": options of /proc, "masks": words, "notify",
 * "noNewPrivileges": bool, "capabilities", "ambient", "namespaces": lists as properties; "calls":
 * names, where there is a filter; "target": the container whose process namespace is joined
 * instead of a new one; "share": the name of plan.share, the
 * unit of the pod's process namespace, where the pod has one; "join": "PID START" of the process
 * whose namespaces are joined, which is set when that is known}. To be called when all
 * else of the plan is there. -ENOMEM. */
int pod_pids(const json_t *pod, const struct pod_facts *facts, json_t *plan);
/* The fields of a file for kpod-exec (command.c). Does nothing without "pids". */
void pids_command_fields(const json_t *start, const char *file, struct buf *b);
/* Whether the processes of this unit of a plan are in a namespace of their own, or of another
 * container. */
bool pids_has_namespace(const json_t *unit);
/* The commands of the unit for kpod-exec with this file of "dir": [[words]]. report: whether there
 * is one. Only with a namespace. */
json_t *pids_words(const json_t *start, const char *file, bool report) _warn_unused_;
/* What a command beside the container does not need of the container's unit. */
void pids_strip(json_t *unit);
