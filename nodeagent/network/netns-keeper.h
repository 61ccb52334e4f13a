/* keelson-netns.service: the process that keeps the network namespaces of pods (kpod-netns.c). */
#pragma once

#define NETNS_DIR "/run/netns"
#define NETNS_KEEPER_UNIT "keelson-netns.service"
#define NETNS_KEEPER_DIR "/run/keelson/netns"
#define NETNS_KEEPER_SOCKET NETNS_KEEPER_DIR "/socket"
enum { NETNS_NAME_MAX = 128, NETNS_COUNT_MAX = 8192 };

struct units;

/* Starts the service. It is not an error when it runs already. */
int netns_keeper_start(struct units *units);
/* NETNS_DIR/NAME is this namespace from now on; fd is borrowed. -EBUSY when something is mounted
 * there, -ECONNREFUSED or -ENOENT when the service does not run. Waits for two seconds at most. */
int netns_keep(const char *name, int fd);
/* It need not be kept any longer, and the name is gone. -ENOENT when it was not kept. */
int netns_drop(const char *name);
