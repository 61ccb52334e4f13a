/* What an object of a kind has before anyone wrote a field of it, as Kubernetes' types have it: the
 * structs in it that are no pointers. They belong to nobody. Pure. */
#pragma once

#include "kapid/kinds/kind.h"

/* The parts of it that object has, too; the caller's, NULL without memory. Custom resources have
 * none. */
json_t *empty_object(const struct kind *k, const json_t *object);
