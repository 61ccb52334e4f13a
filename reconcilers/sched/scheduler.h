/* The scheduler's driver: informers feed the cluster (lib/sched/), a queue holds the pods without a
 * node, choices are bound through pods/binding, several at a time. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/api.h"
#include "lib/metrics.h"

struct scheduler;

struct scheduler_options {
        sd_event *event;
        struct api_client *client;
        struct metrics *metrics;
        const char *name;     /* of the default profile: pods with this spec.schedulerName */
        const json_t *config; /* a KubeSchedulerConfiguration instead, or NULL; both borrowed */
};

/* Logs the faults of the configuration. -EINVAL, -ENOMEM. */
int scheduler_new(struct scheduler **ret, const struct scheduler_options *options);
struct scheduler *scheduler_free(struct scheduler *s);
DEFINE_CLEANUP(struct scheduler *, scheduler_free);
int scheduler_set_leading(struct scheduler *s, bool leading);
bool scheduler_is_synced(const struct scheduler *s);
