/* CustomResourceDefinitions that come and go, made into kinds. */
#pragma once

#include "kapid/api.h"

extern const char crd_prefix[];
/* All that the cache has, after a load. */
void crds_load(struct api *a);
void crds_on_change(struct api *a, const struct change *c);
