/* A child process with JSON in and JSON out, inside the event loop, with a deadline after which it
 * is killed. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/json.h"

struct child;

/* reply is borrowed; NULL when the child died, was killed or did not answer JSON: `why` is a
 * sentence then. */
typedef void (*child_done_func)(const json_t *reply, const char *why, void *userdata);
/* A line {"progress": text} came before the answer. */
typedef void (*child_progress_func)(const char *text, void *userdata);

/* Starts argv (NULL-terminated; argv[0] a path) and writes input to it. done is called once unless
 * the child is freed. */
int child_start(struct child **ret, sd_event *event, char *const *argv, const json_t *input,
                uint64_t timeout_us, child_done_func done, void *userdata);
/* May be called once, right after the start. */
void child_on_progress(struct child *c, child_progress_func progress);
/* Kills it if it runs, without the callback. */
struct child *child_free(struct child *c);
DEFINE_CLEANUP(struct child *, child_free);
