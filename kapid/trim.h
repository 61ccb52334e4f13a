/* Gives memory back to the machine after much of it was freed. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct trim;
int trim_new(struct trim **ret, sd_event *event);
struct trim *trim_free(struct trim *t);
DEFINE_CLEANUP(struct trim *, trim_free);
