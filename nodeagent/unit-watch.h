/* Changes that an administrator makes to our transient units (`systemctl set-property`). */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct unit_watch;

/* Calls on_check, which compares the units with their plans, within a second of a change and once a
 * minute. When the folder cannot be watched, only once a minute. -ENOMEM or an errno of sd-event.
 */
int unit_watch_new(struct unit_watch **ret, sd_event *event, void (*on_check)(void *userdata),
                void *userdata);
struct unit_watch *unit_watch_free(struct unit_watch *w);
DEFINE_CLEANUP(struct unit_watch *, unit_watch_free);
