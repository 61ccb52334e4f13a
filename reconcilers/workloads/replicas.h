/* ReplicaSet and ReplicationController are one controller for two kinds. */
#pragma once

#include "reconcilers/controller.h"

struct replicas_type {
        enum world_kind primary;
        enum world_index by_ns;
        const char *group, *api_version, *kind;
        bool reports_terminating; /* status.terminatingReplicas */
};

/* As the functions of struct controller. */
void replicas_wake(const struct replicas_type *t, const struct world *w, const struct wake *out,
                enum world_kind kind, const json_t *old, const json_t *object, bool gone);
void replicas_plan(const struct replicas_type *t, const struct world *w, const char *name,
                struct actions *a);
json_t *replicas_report(const struct replicas_type *t, const struct world *w, const char *name,
                const struct problem *failed);
