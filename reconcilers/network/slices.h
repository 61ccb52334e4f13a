/* EndpointSlices as the controllers share them: which service a slice belongs to, which controller
 * wrote it (the labels of KEP-752). */
#pragma once

#include "reconcilers/wake.h"

#define SLICE_SERVICE_LABEL "kubernetes.io/service-name"
#define SLICE_MANAGED_BY_LABEL "endpointslice.kubernetes.io/managed-by"
#define SLICE_MANAGED_BY_SERVICES "endpointslice-controller.k8s.io"
#define SLICE_MANAGED_BY_MIRROR "endpointslicemirroring-controller.k8s.io"
#define SLICE_MANAGED_BY_KAPID "kapid"
#define SLICE_SKIP_MIRROR_LABEL "endpointslice.kubernetes.io/skip-mirror"

/* Labels for what is made from the object: a copy of its own. The caller unrefs. */
json_t *slices_copy_labels(const json_t *object) _warn_unused_;
/* ... of a service, with the mark of a headless one. */
json_t *slices_service_labels(const json_t *service) _warn_unused_;
/* Wakes the service of the slice, if it has one. */
void slices_wake_service(const struct wake *out, const json_t *slice);
bool slice_is_managed_by(const json_t *slice, const char *controller);
/* Whether pods serve it that its selector finds: not one of type ExternalName, nor one whose
 * endpoints a person writes. */
bool service_has_selector(const json_t *service);
