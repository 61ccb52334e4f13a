/* sd_notify(3) of a program in a process namespace, for kpod-exec. systemd takes messages of the
 * unit's main process only, which waits outside: it passes on what the program sends. */
#pragma once

struct notify {
        int from, to; /* the socket for the program, and systemd's */
};

/* In the folder, for the program. */
#define NOTIFY_SOCKET_NAME "notify"

/* Makes a socket in the folder, which is shown in the container's root, and connects to systemd's
 * of $NOTIFY_SOCKET. 1; 0 without the variable. -errno, and in ret_what what failed. */
int notify_open(const char *folder, struct notify *ret, const char **ret_what);
/* Passes on what has come, but what would change which processes or files systemd counts to the
 * unit: a program of user 0 could name any process of the machine as its own. */
void notify_pass_on(const struct notify *n);
