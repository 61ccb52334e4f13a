/* Where a pod may run. */
#pragma once

#include "kapid/strategy/strategy.h"

/* nodeSelector, affinity and topologySpreadConstraints of a pod's spec, at the path's end. */
void pod_placement_validate(struct findings *f, const json_t *spec);
/* The nodeSelector of a pod's spec, or of what adds to it. */
void pod_placement_validate_labels(struct findings *f, const json_t *spec);
/* A NodeSelector at the path's end: of a pod's affinity, or of a volume. */
void strategy_validate_node_selector(struct findings *f, const json_t *selector);
