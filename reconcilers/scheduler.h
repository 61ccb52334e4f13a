/* The scheduler's driver: informers of pods and nodes feed the cluster, a queue holds the pods
 * without a node, the choice is bound through pods/binding. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/api.h"
#include "lib/metrics.h"

struct scheduler;

struct scheduler_options {
        sd_event *event;
        struct api_client *client;
        struct metrics *metrics;
        const char *name; /* pods with this spec.schedulerName are ours; borrowed */
};

int scheduler_new(struct scheduler **ret, const struct scheduler_options *options);
struct scheduler *scheduler_free(struct scheduler *s);
DEFINE_CLEANUP(struct scheduler *, scheduler_free);
int scheduler_set_leading(struct scheduler *s, bool leading);
bool scheduler_is_synced(const struct scheduler *s);
