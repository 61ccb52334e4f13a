/* Watches the ConfigMaps and Secrets that are in volumes of pods, each by its name: all that an
 * agent may watch. A change has the agent fetch the objects of the pods that use it. Objects that
 * are immutable, or that only fill environment variables, need no watch. */
#pragma once

#include "nodeagent/agent.h"

struct object_watches;
struct pod;

/* More than these are only fetched once a minute. */
enum { OBJECT_WATCHES_MAX = 200 };

int object_watches_new(struct object_watches **ret, struct agent *agent);
struct object_watches *object_watches_free(struct object_watches *w);
/* The pod uses these objects from now on, and no others: {"configmaps/namespace/name": true, ...};
 * NULL: none. -ENOMEM, or an errno of a watch. */
int object_watches_set(struct object_watches *w, struct pod *p, const json_t *keys);
