/* Runs the HorizontalPodAutoscalers: a round every 15 s, as in Kubernetes. It is not a controller
 * of the table because it decides about things that change without an event, and reads two of them
 * over the API: what pods use (metrics.k8s.io, one list for all autoscalers of a round), and the
 * scale of each target, which may be of any kind.
 *
 *      timer --> list of metrics --> for each: GET scale --> decide --> [PUT scale] --> events,
 *                                                                               status if changed
 *
 * The history of each is kept in memory, and dropped with the leadership. */
#pragma once

#include <systemd/sd-event.h>

#include "reconcilers/autoscaling/horizontalpodautoscaler.h"
#include "reconcilers/manager.h"

/* The kinds that the manager must watch for it. */
#define AUTOSCALER_KINDS (WORLD_BIT(WORLD_AUTOSCALERS) | WORLD_BIT(WORLD_PODS))

struct autoscaler;

struct autoscaler_options {
        sd_event *event;
        struct api_client *client;
        struct manager *manager;
        uint64_t period_us;
        struct hpa_config config;
};

int autoscaler_new(struct autoscaler **ret, const struct autoscaler_options *options);
struct autoscaler *autoscaler_free(struct autoscaler *a);
DEFINE_CLEANUP(struct autoscaler *, autoscaler_free);
/* Not leading: the round ends where it is, without another write. */
void autoscaler_set_leading(struct autoscaler *a, bool leading);
