/* The common parts of all daemons: one sd-event loop, SIGTERM/SIGINT for a clean exit, sd_notify
 * READY/STOPPING/WATCHDOG, and an HTTP listener with /healthz /livez /readyz /metrics for daemons
 * that have no API of their own. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/metrics.h"
#include "lib/problem.h"

struct daemon;

typedef void (*daemon_stop_func)(void *userdata);
/* Fills ret_why with a static or daemon-owned sentence when not ready. */
typedef bool (*daemon_ready_func)(void *userdata, const char **ret_why);

/* Blocks SIGTERM/SIGINT, ignores SIGPIPE, makes the loop, starts the watchdog if systemd asks. */
int daemon_new(struct daemon **ret, const char *program);
struct daemon *daemon_free(struct daemon *d);
DEFINE_CLEANUP(struct daemon *, daemon_free);
sd_event *daemon_event(struct daemon *d);
struct metrics *daemon_metrics(struct daemon *d);
/* Called on SIGTERM or SIGINT; it must lead to sd_event_exit(). Without one the loop exits. */
void daemon_on_stop(struct daemon *d, daemon_stop_func func, void *userdata);
void daemon_on_ready_check(struct daemon *d, daemon_ready_func func, void *userdata);
/* Listens on "127.0.0.1:10257" or "unix:///run/keelson/x.sock"; NULL or "" listens nowhere. */
int daemon_listen_health(struct daemon *d, const char *address, struct problem *p);
/* Notifies systemd of READY=1 with a status sentence; may be called again to change the sentence.
 */
void daemon_notify_ready(struct daemon *d, const char *status);
/* Runs until the end; returns the exit code (0 after SIGTERM). */
int daemon_run(struct daemon *d);
/* Bodies for the standard paths, for programs with an HTTP server of their own (kapid). */
bool daemon_is_ready(struct daemon *d, const char **ret_why);
