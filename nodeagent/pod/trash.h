/* Folders of pods that have ended, with whatever they hold: they are moved aside at once, and
 * removed on a thread, for a volume may hold millions of files. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct trash;
/* dir is made (0700) where it is missing; what an agent before this one has left in it is removed.
 * Nothing else may be in it. -ENOMEM or an errno. */
int trash_new(struct trash **ret, sd_event *event, const char *dir);
/* Waits for the folder that is being removed; the others stay for the next agent. */
struct trash *trash_free(struct trash *t);
DEFINE_CLEANUP(struct trash *, trash_free);
/* Removes a folder. Afterwards nothing is at path; 0 also when nothing was. Only where it cannot be
 * moved (another file system) is it removed before this returns. */
int trash_put(struct trash *t, const char *path);
/* Whether something is still being removed. */
bool trash_is_busy(const struct trash *t);
