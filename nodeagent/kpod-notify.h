/* sd_notify(3) of a program in a process namespace, for kpod-exec. systemd takes messages of the
 * unit's main process only, which waits outside: it passes on what the program sends. */
#pragma once

struct notify {
        int from, to; /* the socket for the program, and systemd's */
};

/* Puts a socket of our own in the place of $NOTIFY_SOCKET, for everything that has this root; what
 * is mounted at /proc is covered meanwhile. 1; 0 without the variable. -errno, and in ret_what what
 * failed. */
int notify_open(struct notify *ret, const char **ret_what);
/* Passes on what has come, but what would change which processes or files systemd counts to the
 * unit: a program of user 0 could name any process of the machine as its own. */
void notify_pass_on(const struct notify *n);
