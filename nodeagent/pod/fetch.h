/* The ConfigMaps, Secrets and claims of one pod, the volumes of the claims, and tokens of its
 * service account, each asked for by name: all that an agent may read. */
#pragma once

#include "lib/client/api.h"

struct fetch;
/* complete: every request was answered (a missing object counts as answered). resources is
 * borrowed:
 * {"configmaps": {name: object}, "secrets": {...}, "claims": {...}, "volumes": {...}, "tokens":
 * {...}}, the last three only when there are some; an object that could not be fetched is taken
 * from `old`. The fetch is gone after it. */
typedef void (*fetch_done_func)(const json_t *resources, bool complete, void *userdata);
/* Whether there is anything to ask for: tokens that are not due are kept. */
bool fetch_is_due(const json_t *references, const json_t *old, uint64_t now_us);
/* Sends the requests. references: of pod_references(), due; old: the last result or NULL.
 * done is called once, never from inside. */
int fetch_start(struct fetch **ret, struct api_client *api, const char *ns,
                const json_t *references, const json_t *old, fetch_done_func done, void *userdata);
/* done is not called after it. NULL is fine; returns NULL. */
struct fetch *fetch_cancel(struct fetch *f);
