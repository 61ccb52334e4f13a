/* A controller: a few pure functions in a table entry. The runner (runner.h) owns
 * everything else: queue, back-off, leadership, not acting on a stale cache, carrying actions out.
 */
#pragma once

#include "lib/client/api-actions.h"
#include "lib/problem.h"
#include "reconcilers/wake.h"

struct controller {
        const char *name;        /* also its log and metric name */
        enum world_kind primary; /* the kind of its names; WORLD_KINDS_MAX: its names are not those
                                    of objects */
        uint64_t kinds;          /* WORLD_BIT() of the kinds that wake it */
        unsigned rounds_max;     /* names that are worked on at once; 0: RUNNER_ROUNDS_MAX */
        /* An object was created (old NULL), changed, or deleted (gone: object is its last state).
         */
        void (*wake)(const struct world *w, const struct wake *out, enum world_kind kind,
                        const json_t *old, const json_t *object, bool gone);
        /* An object of any served kind was deleted, also of those that the world does not have;
         * object NULL: some may have been, before the kind was watched. The function may be NULL.
         */
        void (*deleted)(const struct world *w, const struct wake *out, const struct api_resource *r,
                        const json_t *object);
        void (*plan)(const struct world *w, const char *name, struct actions *a);
        /* The whole new status of the primary object `name`; NULL: no change. failed: why the
         * plan's actions failed, NULL on success. The function may be NULL. */
        json_t *(*report)(const struct world *w, const char *name, const struct problem *failed);
        /* What a written report says for the first time, as events: the world may have moved
         * between plan and report, so plan cannot know. The primary object before and after the
         * write. Nothing but events. The function may be NULL. */
        void (*reported)(const json_t *before, const json_t *after, struct actions *a);
};

#define DECLARE_CONTROLLER(name) extern const struct controller name##_controller;
CONTROLLERS(DECLARE_CONTROLLER)
DECLARE_CONTROLLER(gc)
#undef DECLARE_CONTROLLER
