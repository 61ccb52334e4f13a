/* The driver of systemd's manager over sd-bus: starts and stops our transient units and follows
 * their state by signals. Names that do not start with kpod-, kpodx-, keelson-pod_ or
 * SHARE_UNIT_PREFIX are never touched, keelson-logs.service and keelson-dns.service aside. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/json.h"
#include "nodeagent/runtime/runtime.h"

struct units;

/* The state of a unit; strings are owned by the driver. */
struct unit_state {
        char active[16]; /* active, activating, deactivating, inactive, failed */
        char sub[24];    /* running, auto-restart, exited, ... */
        char result[24]; /* success, exit-code, signal, oom-kill, timeout, start-limit-hit, ... */
        char invocation[33];
        char slice[128];       /* only known of adopted units */
        char description[640]; /* likewise; holds the longest names that there are, and the hash */
        uint32_t main_pid;
        uint32_t restarts; /* NRestarts */
        int32_t exec_pid;  /* of the last main process */
        int32_t exec_code; /* CLD_EXITED, ... or 0 */
        int32_t exec_status;
        uint64_t start_us; /* wall clock, of the last main process */
        uint64_t exit_us;
        bool known; /* its properties have arrived */
};

struct units_callbacks {
        /* A unit changed. state is NULL when it is gone. */
        void (*on_change)(const char *name, const struct unit_state *state, void *userdata);
        /* A start was refused by the manager. */
        void (*on_start_error)(const char *name, const char *message, void *userdata);
        /* The manager has reloaded: properties may differ. */
        void (*on_reloaded)(void *userdata);
        /* Every unit that was there at start is known now. */
        void (*on_listed)(void *userdata);
        /* The bus is gone; the program should end and be started again. */
        void (*on_lost)(int error, void *userdata);
        void *userdata;
};

int units_new(struct units **ret, sd_event *event, const struct units_callbacks *callbacks);
struct units *units_free(struct units *u);
DEFINE_CLEANUP(struct units *, units_free);
/* systemd's version ("252.39-1~deb12u2"); "" until it has said so. */
const char *units_version(const struct units *u);
/* NULL when the unit is not there (or not yet known). Borrowed until the next event. */
const struct unit_state *units_get(struct units *u, const char *name);
/* Whether the unit is there, and its properties have yet to arrive. */
bool units_is_awaited(struct units *u, const char *name);
/* Calls for every unit whose name is ours but the name server, known or not. */
void units_each(struct units *u,
                void (*func)(const char *name, const struct unit_state *state, void *userdata),
                void *userdata);
/* Starts what pod_to_units() described. Of a unit with a socket it starts that one, which starts
 * the service. -EINVAL when it can't be put into a message. */
int units_start(struct units *u, const json_t *unit);
/* For slices and what else a pod has once: being there already is not an error. */
int units_start_slice(struct units *u, const json_t *unit);
int units_stop(struct units *u, const char *name);
/* A mount unit of an NFS share: its name is SHARE_UNIT_PREFIX<hash>.mount, which also says where.
 * It is stopped lazily and by force, so that a server that is gone cannot hold it. */
struct units_share {
        const char *name, *what, *options;
        uint64_t timeout_us; /* of mounting and unmounting */
};
int units_mount(struct units *u, const struct units_share *share);
/* Calls for each change of such a unit. state: NULL when it is gone; error: the manager refused to
 * start it, else NULL. */
typedef void (*units_mount_func)(const char *name, const struct unit_state *state,
                const char *error, void *userdata);
void units_on_mount(struct units *u, units_mount_func func, void *userdata);
/* Calls for each change of this unit, as above; one unit at most. */
void units_follow(struct units *u, const char *name, units_mount_func func, void *userdata);
int units_restart(struct units *u, const char *name);
int units_kill(struct units *u, const char *name, int signal);
int units_reset_failed(struct units *u, const char *name);
/* Changes properties of a unit for as long as the machine runs, whether or not the unit is there.
 */
int units_set_properties(struct units *u, const char *name, const json_t *properties);
/* Runs a oneshot unit; result is "done" or what the manager says ("failed", "timeout", ...), or an
 * error text. */
typedef void (*units_exec_func)(const char *result, void *userdata);
struct units_exec;
int units_exec_start(struct units *u, const json_t *unit, units_exec_func done, void *userdata,
                struct units_exec **ret);
/* The callback will no longer be called; the unit is stopped. NULL is fine; returns NULL. */
struct units_exec *units_exec_cancel(struct units_exec *x);
/* Runs a command's unit (POD_STREAM_PREFIX) with these files (units-stream.c). exit_code: 128 +
 * signal when a signal ended it. message: why it was not started; else "". */
enum units_stream_end { UNITS_STREAM_EXITED, UNITS_STREAM_NOT_STARTED, UNITS_STREAM_REFUSED };
typedef void (*units_stream_func)(
                enum units_stream_end end, int exit_code, const char *message, void *userdata);
struct units_stream;
/* fds: standard input, output and error, negative ones are none; borrowed for the call. The
 * callback is never called from inside. */
int units_stream_start(struct units *u, const json_t *unit, const int fds[3],
                units_stream_func done, void *userdata, struct units_stream **ret);
/* The callback will no longer be called; the unit is stopped. NULL is fine; returns NULL. */
struct units_stream *units_stream_cancel(struct units_stream *x);
/* Stops all units of such commands that are there now. */
int units_stream_sweep(struct units *u);
/* The connection, for units-usage.c and units-stream.c. Borrowed. */
struct sd_bus *units_bus(struct units *u);
/* The system bus, for other services than systemd itself; borrowed. When it is lost, the program
 * ends as when systemd is (on_lost). */
int units_system_bus(struct units *u, struct sd_bus **ret);
/* The sender of systemd's signals on units_bus(); NULL: they have none. */
const char *units_sender(const struct units *u);
/* What a service has used, by systemd's accounting (CPUUsageNSec, MemoryCurrent and TasksCurrent).
 * Where systemd does not account CPU, as on some machines with control groups v1, it is the sum of
 * the times of its processes. used is NULL when that is not known either, or the unit is gone.
 * name: what done is called with. It is called once, never from inside, unless the units are freed
 * before. (units-usage.c) */
typedef void (*units_usage_func)(
                const char *name, const struct runtime_usage *used, void *userdata);
int units_usage(struct units *u, const char *unit, const char *name, units_usage_func done,
                void *userdata);
/* The same for our own unit, with the manager's answer: done gets the error, or NULL. It is called
 * once, never from inside; NULL: nobody asks. *ret is set where done is given. (units-limits.c) */
struct units_limit;
typedef void (*units_limit_func)(const char *error, void *userdata);
int units_limit(struct units *u, const char *name, const json_t *properties, units_limit_func done,
                void *userdata, struct units_limit **ret);
/* done is not called after it. NULL is fine; returns NULL. */
struct units_limit *units_limit_cancel(struct units_limit *l);
/* Compares the live values of what can change on a running unit with the description; differences
 * are reported to the function, which says whether they are put back. */
typedef bool (*units_drift_func)(const char *name, const char *property, void *userdata);
int units_check(struct units *u, const json_t *unit, units_drift_func on_drift, void *userdata);
