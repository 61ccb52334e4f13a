/* The ConfigMaps, Secrets and claims of one pod, and the volumes of the claims, each asked for by
 * name: all that an agent may read. */
#pragma once

#include "lib/client/api.h"

struct fetch;
/* complete: every request was answered (a missing object counts as answered). resources is
 * borrowed:
 * {"configmaps": {name: object}, "secrets": {...}, "claims": {...}, "volumes": {...}}, the last two
 * only when there are some; an object that could not be fetched is taken
 * from `old`. The fetch is gone after it. */
typedef void (*fetch_done_func)(const json_t *resources, bool complete, void *userdata);
/* Sends the requests. references: of pod_references(), not empty; old: the last result or NULL.
 * done is called once, never from inside. */
int fetch_start(struct fetch **ret, struct api_client *api, const char *ns,
                const json_t *references, const json_t *old, fetch_done_func done, void *userdata);
/* done is not called after it. NULL is fine; returns NULL. */
struct fetch *fetch_cancel(struct fetch *f);
