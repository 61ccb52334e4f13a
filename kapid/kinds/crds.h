/* CustomResourceDefinitions that come and go, made into kinds. */
#pragma once

#include "kapid/api.h"

extern const char crd_prefix[];
/* All that the cache has, after a load. */
void crds_load(struct api *a);
void crds_on_change(struct api *a, const struct change *c);
/* A definition that was just stored: its kind is served before the answer goes out. */
void crds_stored(struct api *a, const json_t *crd);
