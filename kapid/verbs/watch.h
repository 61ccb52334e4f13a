/* The event of a change for a watch of a selection; pure, for tests. */
#pragma once

#include "kapid/cache/cache.h"
#include "kapid/verbs/selection.h"

enum watch_event { WATCH_NONE, WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED };
/* ret is set to the item to show: borrowed from the change, or a new one in *ret_made (the caller
 * unrefs) when an object no longer matches: its last matching state with the change's revision.
 * -ENOMEM, or the refusal of a conversion with p. */
int watch_transition(const struct kind *k, const struct selection *s, const struct change *c,
                enum watch_event *ret_event, struct item **ret, struct item **ret_made,
                struct problem *p);
