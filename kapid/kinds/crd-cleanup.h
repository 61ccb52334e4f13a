/* Deletes the objects of definitions that are being deleted, and then these definitions. Every
 * kapid does it: guards let one of them through, and deleting twice does no harm. */
#pragma once

#include "kapid/api.h"

struct crd_cleanup;
int crd_cleanup_start(struct crd_cleanup **ret, struct api *a);
/* The store must be freed before. */
struct crd_cleanup *crd_cleanup_free(struct crd_cleanup *x);
DEFINE_CLEANUP(struct crd_cleanup *, crd_cleanup_free);
/* A definition has changed: has a look soon. */
void crd_cleanup_wake(struct crd_cleanup *x);
/* An object of any kind has gone. */
void crd_cleanup_on_deleted(struct crd_cleanup *x);
