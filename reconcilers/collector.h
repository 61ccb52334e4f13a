/* Fills the graph and the catalogue for the garbage collector and the namespace controller:
 * discovery, metadata watches of every served kind that the manager does not watch in full anyway,
 * and waking. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/metrics.h"
#include "reconcilers/manager.h"

struct collector;

struct collector_options {
        sd_event *event;
        struct api_client *client;
        struct metrics *metrics;
        struct manager *manager; /* its namespace controller is woken when content is deleted */
};

int collector_new(struct collector **ret, const struct collector_options *options);
struct collector *collector_free(struct collector *c);
DEFINE_CLEANUP(struct collector *, collector_free);
int collector_set_leading(struct collector *c, bool leading);
/* The manager's listener. */
void collector_on_change(struct collector *c, const struct api_resource *resource,
                const json_t *object, bool gone);
/* The manager's caches are full. */
void collector_on_world_synced(struct collector *c);
