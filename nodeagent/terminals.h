/* The terminals of pods. They are in an instance of devpts of their own, which is /dev/pts in every
 * container: no pod sees the terminals of the machine, and every user of a pod may open new ones
 * (on a machine /dev/pts/ptmx is for root alone, or for nobody). */
#pragma once

#include <stddef.h>

/* Mounts it, where it is not mounted yet. -errno. */
int terminals_mount(const char *dir);
enum { TERMINAL_PATH_SIZE = 64 };
/* A new terminal in it, unlocked: returns its master, the caller closes it. slave: the path on the
 * machine. */
int terminal_open(char slave[static TERMINAL_PATH_SIZE]);
/* The same path of a master that is open; also of one in the machine's own /dev/pts, which an agent
 * before this one has made. -errno. */
int terminal_path(int master, char slave[static TERMINAL_PATH_SIZE]);
