/* A thread for work that blocks (SQLite), fed from the event loop: jobs run in order, one at a
 * time; the done function of each is called on the loop. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct worker;

enum { WORKER_JOBS_MAX = 64 };

int worker_new(struct worker **ret, sd_event *event);
/* Waits for the jobs that were given (their done functions are no longer called). */
struct worker *worker_free(struct worker *w);
DEFINE_CLEANUP(struct worker *, worker_free);
/* run is called on the thread, done on the loop with what run returned. -ENOBUFS when too many
 * wait. */
int worker_submit(struct worker *w, int (*run)(void *userdata),
                void (*done)(int result, void *userdata), void *userdata);
size_t worker_pending(const struct worker *w);
