/* The /proc of pods on the machine's own root, mounted once for all of them: a process sees those
 * that it may trace, and what systemd's ProtectKernelTunables and ProtectKernelLogs cover is
 * covered (proc-masks.h). systemd would make the same at each start. */
#pragma once

/* Mounts it at `dir`, where it is not there yet. -errno: the kernel has no such option (before
 * 5.8), or something cannot be covered; then nothing may be made of it. */
int proc_view_mount(const char *dir);
