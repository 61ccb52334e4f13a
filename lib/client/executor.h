/* Carries a list of actions out: the last of the three steps see, decide, carry out.
 *
 *      executor_run() --> actions, several at a time --> done
 *                          | first failure, or executor_stop():
 *                          '--> nothing new is started; the running actions end --> done
 *
 * Order. Actions start in the order of the list and run in parallel, but a barrier waits for
 * everything before it, and what follows waits for the barrier.
 *
 * Slow start. At first `parallel_first` actions run at a time; each success doubles that
 * up to `parallel_max` (the controllers of Kubernetes create pods in such batches: what a quota or
 * a webhook refuses is refused once and not a thousand times).
 *
 * Failure. The first failure drops what was not started. done() gets the failure that is first in
 * the list, so that the same list ends with the same message in whatever order the answers arrive.
 * What counts as a failure is the caller's choice: is_fine().
 *
 * Turns. Actions that end inside their start (Events) would all run in one turn of the loop: with a
 * loop, those of EXECUTOR_TURN_US run, and the rest in the next turns. */
#pragma once

#include "lib/client/actions.h"

enum { EXECUTOR_PARALLEL_MAX = 32, EXECUTOR_TURN_US = 5000 };

struct executor_options {
        struct api_client *client; /* for the types of api-actions.h; NULL when the list has none */
        sd_event *event;           /* borrowed; NULL: a list is not cut into turns */
        void *context;             /* for the program's own types */
        unsigned parallel_first;   /* 0: 1 */
        unsigned parallel_max;     /* 0: EXECUTOR_PARALLEL_MAX, which is the most */
        /* Whether that failure leaves things as they were wanted (a deleted object is gone
         * already). p may be NULL. NULL: every failure counts. */
        bool (*is_fine)(const struct action *x, int error, const struct problem *p, void *userdata);
        /* An action has ended, well or not, before anything that waited for it starts. May call
         * executor_stop() and executor_free(). May be NULL. */
        void (*on_action)(const struct action *x, int error, const json_t *object,
                        const struct problem *p, void *userdata);
        /* The list is through, or stopped. error and p (its message is set) are the failure, or 0
         * and an empty problem. The last thing that an executor does with a list: done() may run
         * the next list in the same executor, or free it. */
        void (*done)(int error, const struct problem *p, void *userdata);
        void *userdata;
};

int executor_new(struct executor **ret, const struct executor_options *options);
/* Cancels the running actions: neither on_action() nor done() is called afterwards. Allowed at any
 * moment, also from the executor's own callbacks. Returns NULL. */
struct executor *executor_free(struct executor *e);
DEFINE_CLEANUP(struct executor *, executor_free);
/* Takes the list (it is empty after it). done() is called exactly once, perhaps before this
 * returns: the executor may be gone then. No other list may be running. */
void executor_run(struct executor *e, struct actions *list);
/* Starts nothing new; done() follows when the running actions have ended. Without effect when no
 * list is running. */
void executor_stop(struct executor *e);
bool executor_is_running(const struct executor *e);
