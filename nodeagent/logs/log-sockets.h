/* The agent's side of the containers' output: makes the socket that is a container's standard
 * output and hands it to keelson-logs.service (log-collect.c), which it keeps running. */
#pragma once

#include <systemd/sd-event.h>

#include "nodeagent/runtime/units.h"

struct log_sockets;

/* Creates the folder of the sockets. A negative errno. */
int log_sockets_new(struct log_sockets **ret, sd_event *event);
struct log_sockets *log_sockets_free(struct log_sockets *l);
DEFINE_CLEANUP(struct log_sockets *, log_sockets_free);
/* Starts the collecting service when it does not run. */
int log_sockets_start_service(struct log_sockets *l, struct units *units);
/* Makes sure that a socket listens at the unit's StandardOutputFile (unit: of pod_to_units()), or
 * that a terminal is at its TTYPath. Does nothing for a unit that writes elsewhere. */
int log_sockets_ensure(struct log_sockets *l, const json_t *unit);
/* Passes a connected socket to the collecting service: it carries the container's output from now
 * on, and its input. Borrows fd. */
int log_sockets_attach(struct log_sockets *l, const char *pod_uid, const char *container, int fd);
/* A run of a container with a terminal has ended: so do those that are attached to it. */
void log_sockets_run_ended(struct log_sockets *l, const char *pod_uid, const char *container,
                const char *invocation);
/* The container is gone for good: removes its socket. */
void log_sockets_remove(struct log_sockets *l, const char *pod_uid, const char *container);
