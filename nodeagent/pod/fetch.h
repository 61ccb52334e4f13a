/* The ConfigMaps and Secrets of one pod, each asked for by name: all that an agent may read. */
#pragma once

#include "lib/client/api.h"

struct fetch;
/* complete: every one was answered (a missing one counts as answered). resources is borrowed; what
 * could not be asked is taken from old. The fetch is gone after it. */
typedef void (*fetch_done_func)(const json_t *resources, bool complete, void *userdata);
int fetch_start(struct fetch **ret, struct api_client *api, const char *ns,
                const json_t *references, const json_t *old, fetch_done_func done, void *userdata);
struct fetch *fetch_cancel(struct fetch *f);
