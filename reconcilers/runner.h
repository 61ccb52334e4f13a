/* Runs one controller: a queue of names, and for each a round: plan, carry the actions out, report.
 *
 *      queued --> [stale? wait] --> plan --> executor carries the actions out --> report --> done
 *
 * After a write, the name waits until the caches hold that write (its resourceVersion has been
 * seen): no plan is made on a cache that lacks what the last plan did. The wait is bounded by
 * RUNNER_AWAIT_US: a watch that lags longer is broken, and waiting does not repair it, and a
 * plan on an old cache is safe, for its writes carry uids and resourceVersions.
 *
 * A round that fails is planned again with the queue's back-off. Its actions go out as executor.h
 * says: in order around guards, otherwise up to EXECUTOR_PARALLEL_MAX at a time after a slow start.
 */
#pragma once

#include <systemd/sd-event.h>

#include "lib/metrics.h"
#include "reconcilers/controller.h"

/* How long a name waits for the caches, and how many names are worked on at once. */
#define RUNNER_AWAIT_US UINT64_C(15000000)
enum { RUNNER_ROUNDS_MAX = 16 };

struct runner;

struct runner_options {
        sd_event *event;
        struct api_client *client;
        struct metrics *metrics;
        const struct controller *controller;
        /* Refreshes the clocks and returns the world. */
        const struct world *(*world)(void *userdata);
        /* The newest resourceVersion seen of a kind. */
        uint64_t (*seen_version)(void *userdata, enum world_kind kind);
        void *userdata;
};

int runner_new(struct runner **ret, const struct runner_options *options);
struct runner *runner_free(struct runner *r);
DEFINE_CLEANUP(struct runner *, runner_free);
/* Not leading: no round is started, and those under way start no further action. */
void runner_set_leading(struct runner *r, bool leading);
void runner_add(struct runner *r, const char *name);
/* Passes the deletion of an object of any kind to the controller's deleted(); NULL as there. */
void runner_on_deleted(struct runner *r, const struct api_resource *resource, const json_t *object);
/* Passes a change to the controller's wake(), and continues with names that waited for it. */
void runner_on_event(struct runner *r, enum world_kind kind, const json_t *old,
                const json_t *object, bool gone);

/* For actions that are the controller's own (their running_action.context is the runner): the event
 * loop, the world as it is now, and whether the action may still change something. An action that
 * takes long ends soon after that is false. */
sd_event *runner_event(const struct runner *r);
const struct world *runner_world(const struct runner *r);
bool runner_is_leading(const struct runner *r);
