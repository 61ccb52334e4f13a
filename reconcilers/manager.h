/* The informers behind the world, and the runners fed by them. */
#pragma once

#include "lib/client/informer.h"
#include "reconcilers/runner.h"

struct manager;

/* Called for every change of a watched kind, beside the controllers (for the owner graph).
 */
typedef void (*manager_listener)(
                enum world_kind kind, const json_t *object, bool gone, void *userdata);

struct manager_options {
        sd_event *event;
        struct api_client *client;
        struct metrics *metrics;
        const struct world_config *config;
        const struct controller *const *controllers;
        size_t count;
        uint64_t kinds; /* WORLD_BIT() of those that something else than a controller reads */
        manager_listener listener;
        void (*on_synced)(void *userdata);
        void *userdata;
};

int manager_new(struct manager **ret, const struct manager_options *options);
struct manager *manager_free(struct manager *m);
DEFINE_CLEANUP(struct manager *, manager_free);
/* Starts the informers the first time; controllers run while leading and once the caches are full.
 */
int manager_set_leading(struct manager *m, bool leading);
bool manager_is_synced(const struct manager *m);
/* The owner graph is complete: namespaces may be emptied. */
void manager_set_graph(
                struct manager *m, const struct graph *graph, const struct catalogue *catalogue);
/* An object of any kind was deleted; NULL: some may have been, of all namespaces. */
void manager_on_deleted(
                struct manager *m, const struct api_resource *resource, const json_t *object);
/* The namespace of that name has no content left. */
void manager_wake_namespace(struct manager *m, const char *name);
const struct world *manager_world(struct manager *m);
/* Whether kind `resource` is watched here (then the listener is called for it). */
bool manager_watches(const struct manager *m, const struct api_resource *resource);
