/* Rules of a CustomResourceDefinition beyond its schemas. */
#pragma once

#include "kapid/schema/findings.h"

/* Names, versions, conversion, scale, columns and selectable fields. */
void crd_validate_spec(struct findings *f, const json_t *crd);
/* status.storedVersions: versions in which objects may be stored stay in spec.versions. */
void crd_validate_stored_versions(struct findings *f, const json_t *crd);
