/* The objects that every cluster has: namespaces, default roles and bindings, the API's own
 * Service. */
#pragma once

#include "kapid/api.h"

/* Makes what is missing, one after the other; a->bootstrapped is set at the end, and it is tried
 * again when the store fails on the way. Call when everything is loaded. */
struct bootstrap;
int bootstrap_start(struct bootstrap **ret, struct api *a);
struct bootstrap *bootstrap_free(struct bootstrap *b);
DEFINE_CLEANUP(struct bootstrap *, bootstrap_free);
