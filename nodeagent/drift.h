/* Changes that an administrator makes to our transient units (`systemctl set-property`). */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct drift;

/* Calls on_check, which compares the units with their plans, within a second of a change and once a
 * minute. When the folder cannot be watched, only once a minute. -ENOMEM or an errno of sd-event.
 */
int drift_new(struct drift **ret, sd_event *event, void (*on_check)(void *userdata),
                void *userdata);
struct drift *drift_free(struct drift *d);
DEFINE_CLEANUP(struct drift *, drift_free);
