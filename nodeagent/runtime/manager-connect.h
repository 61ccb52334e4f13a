/* The connection to systemd. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* To systemd itself, as systemctl does it, or else to the system bus (*ret_direct false). For a
 * client of the system bus the manager keeps a match rule with each job, and the bus allows it 512
 * of them: with more pods that start or end at a time it would lose its connection. Signals of a
 * direct connection have no sender. The caller closes it. */
int manager_connect(sd_bus **ret, bool *ret_direct);
/* *bus is a working connection to the system bus after it, the one that it was or a new one, which
 * calls on_lost when it ends. */
int system_bus_ensure(sd_bus **bus, sd_event *event, sd_bus_message_handler_t on_lost,
                void *userdata);
