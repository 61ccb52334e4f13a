/* The runtime driver for systemd: containers are transient services, a sandbox is a slice, logs are
 * in the journal. All systemd words (states, results, exit statuses) end here. */
#pragma once

#include "nodeagent/runtime/runtime.h"
#include "nodeagent/runtime/units.h"

struct log_sockets;

struct systemd_options {
        sd_event *event;
        struct log_sockets *log_sockets; /* borrowed: where the services' output goes */
        struct runtime_callbacks callbacks;
};
/* Connects to the system bus and asks for the units that are there. -errno when it cannot. */
int systemd_runtime_new(struct runtime **ret, const struct systemd_options *options);
/* The bus below it, for units that belong to no pod. Borrowed. */
struct units *systemd_runtime_units(struct runtime *r);

/* Pure: the properties of a service, and of the socket that starts it, in neutral terms. Either may
 * be NULL: it is not there. Strings of the result are borrowed from them. */
void systemd_run_state(const struct unit_state *unit, const struct unit_state *socket,
                struct run_state *ret);
