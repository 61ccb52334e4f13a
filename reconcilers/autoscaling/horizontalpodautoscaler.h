/* HorizontalPodAutoscaler: how many pods its target should have. Pure: the state of everything goes
 * in, the decision comes out; autoscaler.c reads and writes. The rules, reasons and messages are
 * those of Kubernetes' controller.
 *
 *      metrics   -> a proposal for each metric, of which the largest counts   (-metrics.c)
 *      behaviour -> stabilized over a window, limited in speed                (-behavior.c)
 *      decide    -> bounds, conditions, events, status                        (this file's .c)
 *
 * The history is what the behaviours look back on. It is kept in memory, as in Kubernetes: after a
 * restart it begins with the present number of pods, so that a window holds that number for its
 * whole length. */
#pragma once

#include "lib/map.h"
#include "lib/vector.h"
#include "reconcilers/world.h"

struct hpa_config {
        double tolerance;               /* 0.1: deviations of a tenth are ignored */
        uint64_t initial_readiness_us;  /* a pod that was not ready since counts as starting */
        uint64_t cpu_initialization_us; /* CPU of a pod that is younger counts only when ready */
        uint64_t downscale_us;          /* the window where a behaviour names none */
};

/* --- history --- */

struct hpa_recommendation {
        int64_t replicas;
        uint64_t at_us; /* monotonic, as below */
};
struct hpa_change {
        int64_t replicas; /* added or removed: more than 0 */
        uint64_t at_us;
};
struct hpa_history {
        VECTOR(struct hpa_recommendation) recommendations; /* oldest first */
        VECTOR(struct hpa_change) ups, downs;
};
void hpa_history_done(struct hpa_history *h);

/* --- behaviour --- */

enum hpa_select { HPA_SELECT_MAX, HPA_SELECT_MIN, HPA_SELECT_DISABLED };
struct hpa_rules {
        uint64_t window_us;
        enum hpa_select select;
        const json_t *policies; /* borrowed; NULL: those that Kubernetes documents as the defaults
                                 */
        double tolerance;
};
/* direction: "scaleUp" or "scaleDown" of the object's spec.behavior, with the defaults. */
struct hpa_rules hpa_rules(
                const json_t *hpa, const char *direction, const struct hpa_config *config);

/* A number on its way through the behaviours; reason and message are static. */
struct hpa_step {
        int64_t replicas;
        const char *reason, *message;
};
/* The recommendation of the windows that changes the least; remembers `wanted`. The reason is
 * "ReadyForNewScale" where nothing was held back. */
struct hpa_step hpa_stabilize(struct hpa_history *h, const json_t *hpa,
                const struct hpa_config *config, int64_t current, int64_t wanted, uint64_t mono_us);
/* Limits the change by the policies and the bounds. The reason is "DesiredWithinRange" where it
 * did not have to. */
struct hpa_step hpa_limit(const struct hpa_history *h, const json_t *hpa,
                const struct hpa_config *config, int64_t current, int64_t wanted, uint64_t mono_us);
/* Remembers that the target was scaled. */
void hpa_remember_change(struct hpa_history *h, int64_t before, int64_t after, uint64_t mono_us);

/* --- metrics --- */

/* What the metrics are about. */
struct hpa_view {
        const struct objects *pods; /* of the target */
        const struct map *metrics;  /* "namespace/name" -> const json_t, PodMetrics */
        const char *metrics_error;  /* why there are none; NULL: they were read */
        const struct hpa_config *config;
        double tolerance_up, tolerance_down;
        int64_t current; /* replicas of the target */
        uint64_t now_us;
};
/* What one metric asks for. */
struct hpa_proposal {
        int64_t replicas;
        char *name;         /* "cpu resource utilization (percentage of request)"; owned */
        json_t *status;     /* for status.currentMetrics; owned */
        const char *reason; /* of a failure: FailedGetResourceMetric...; NULL: none */
        char *error;        /* its message; owned */
};
void hpa_proposal_done(struct hpa_proposal *p);
/* metric: of spec.metrics. */
void hpa_propose(const struct hpa_view *v, const json_t *metric, struct hpa_proposal *ret);

/* --- decision --- */

struct hpa_input {
        const json_t *hpa;
        const json_t *scale;     /* of the target; NULL: scale_error */
        const char *scale_error; /* why it could not be read */
        const struct objects *pods;
        const struct objects
                        *autoscalers; /* all of that target, this one among them, in any order */
        const struct map *metrics;
        const char *metrics_error;
        const struct hpa_config *config;
        uint64_t now_us, mono_us;
};
struct hpa_decision {
        bool rescale; /* the target gets `replicas` */
        int64_t replicas, current;
        char *why;      /* of the event: "All metrics below target" */
        json_t *status; /* the whole new status */
        json_t *events; /* of {type, reason, message} */
};
void hpa_decision_done(struct hpa_decision *d);
void hpa_decide(const struct hpa_input *in, struct hpa_history *h, struct hpa_decision *ret);
/* After the target was scaled, or error says why not: completes status and events. */
void hpa_rescaled(struct hpa_decision *d, const struct hpa_input *in, struct hpa_history *h,
                const char *error);
