/* Gives memory back to the machine after much of it was freed. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct trim;
/* free_bytes: so much may be free, for what comes next. */
int trim_new(struct trim **ret, sd_event *event, size_t free_bytes);
/* Also what the libraries have touched and no longer use (library-pages.h): once the start is over,
 * then after twice the time, and so on up to ten minutes. */
int trim_libraries(struct trim *t);
struct trim *trim_free(struct trim *t);
DEFINE_CLEANUP(struct trim *, trim_free);
