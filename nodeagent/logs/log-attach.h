/* Clients that are attached to a running container (`kctl attach`): they get what it writes from
 * now on, byte by byte, and what they send is its standard input. A client that does not read is
 * cut off, so that it neither stops the container nor fills memory. */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "lib/base.h"

enum { LOG_ATTACHED_MAX = 16, LOG_ATTACHED_QUEUE_MAX = 256 << 10 };

/* Those of one run. Zero-initialise, LIST_INIT(&clients). */
struct log_attached {
        LIST_HEAD(, log_client) clients;
        size_t count;
};

enum {
        LOG_ATTACH_INPUT = 1 << 0,      /* the container has a standard input */
        LOG_ATTACH_INPUT_ONCE = 1 << 1, /* which ends with this client */
};

/* Takes fd, a socket, also after an error. container: where the run's input goes; borrowed for the
 * call. -EBUSY above LOG_ATTACHED_MAX. */
int log_attached_add(
                struct log_attached *a, sd_event *event, int fd, int container, unsigned flags);
/* The container has written. */
void log_attached_output(struct log_attached *a, const void *data, size_t n);
/* The run has ended: the clients get the rest and their end. */
void log_attached_end(struct log_attached *a);
