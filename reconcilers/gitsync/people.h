/* Manual changes on an object that Git manages, read from managedFields.
 * Pure. FieldsV1 as in KEP-555: nested objects, "f:name" a field, "k:{...}" and "v:..." a list's
 * item, "." the thing itself. */
#pragma once

#include "lib/json.h"

/* kubectl in all its forms (kubectl, kubectl-edit, kubectl-patch, kubectl-client-side-apply, ...),
 * kctl, and the name that server-side apply gives to owners from before it was used. */
bool people_is_manager(const char *manager);

/* The fields that only people's managers own, and neither `manager` (ours) nor another program.
 * NULL when there are none (or no memory). Not counted: status, subresources, finalizers, owner
 * references, annotations under keelson.dev/, and the time of a restart that was asked for
 * (kubectl.kubernetes.io/restartedAt). A new reference. */
json_t *people_additions(const json_t *managed, const char *manager);

/* managedFields in which `manager` took over what people own, so that its next apply removes what
 * is not in Git. A new reference; NULL when out of memory. */
json_t *people_take_over(const json_t *managed, const char *manager, const char *api_version);

/* One field's name for a message ("data.b", "spec.template.metadata.labels.x"); caller frees. */
char *people_first_field(const json_t *fields);
