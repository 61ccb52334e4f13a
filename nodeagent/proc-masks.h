/* What is masked in a container's /proc: by kpod-exec in one of a process namespace, by the agent
 * in that of pods on the machine's own root (proc-view.h). */
#pragma once

#include <stdbool.h>

/* Those of systemd's ProtectKernelTunables and ProtectKernelLogs, below /proc. */
static const struct proc_mask {
        const char *path, *word;
        bool hidden; /* or read-only */
} proc_masks[] = {{"acpi", "tunables", false}, {"apm", "tunables", false},
                {"asound", "tunables", false}, {"bus", "tunables", false},
                {"fs", "tunables", false}, {"irq", "tunables", false},
                {"kallsyms", "tunables", true}, {"kcore", "tunables", true}, {"kmsg", "logs", true},
                {"latency_stats", "tunables", false}, {"mtrr", "tunables", false},
                {"scsi", "tunables", false}, {"sys", "tunables", false},
                {"sysrq-trigger", "tunables", false}, {"timer_stats", "tunables", false}};

enum { PROC_MASKS = sizeof(proc_masks) / sizeof(*proc_masks) };
