/* Changes that an administrator makes to our transient units (`systemctl set-property`). */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct drift;

/* Calls on_check, in which the units are compared with what they should be, within a second of a
 * change and once a minute. A folder that cannot be watched leaves the minute. -ENOMEM. */
int drift_new(struct drift **ret, sd_event *event, void (*on_check)(void *userdata),
                void *userdata);
struct drift *drift_free(struct drift *d);
DEFINE_CLEANUP(struct drift *, drift_free);
