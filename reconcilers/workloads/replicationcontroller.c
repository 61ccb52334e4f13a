/* ReplicationController; the work is in replicas.c. */
#include "reconcilers/workloads/replicas.h"

static const struct replicas_type type = {.primary = WORLD_REPLICATIONCONTROLLERS,
                .by_ns = WORLD_REPLICATIONCONTROLLERS_BY_NS,
                .group = "",
                .api_version = "v1",
                .kind = "ReplicationController",
                .reports_terminating = false};

static void wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        replicas_wake(&type, w, out, kind, old, object, gone);
}

static void plan(const struct world *w, const char *name, struct actions *a) {
        replicas_plan(&type, w, name, a);
}

static json_t *report(const struct world *w, const char *name, const struct problem *failed) {
        return replicas_report(&type, w, name, failed);
}

const struct controller replicationcontroller_controller = {
                .name = "replicationcontroller",
                .primary = WORLD_REPLICATIONCONTROLLERS,
                .kinds = WORLD_BIT(WORLD_REPLICATIONCONTROLLERS) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_NODES),
                .wake = wake,
                .plan = plan,
                .report = report,
};
