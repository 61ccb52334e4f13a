/* The end of a CustomResourceDefinition: its objects are deleted first, held by a finalizer of the
 * definition. What is decided, without I/O; crd-cleanup.h carries it out. */
#pragma once

#include "lib/json.h"

#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

/* Whether it is being deleted and its objects are to go. */
bool crd_wants_cleanup(const json_t *crd);

enum crd_object_act {
        CRD_OBJECT_WAITS,  /* it is marked, and its finalizers hold it */
        CRD_OBJECT_MARK,   /* *ret is stored in its place: the same with a deletionTimestamp */
        CRD_OBJECT_DELETE, /* nothing holds it */
};
/* What becomes of one object of the definition, as it is stored. Negative: -ENOMEM. */
int crd_delete_object(const json_t *object, uint64_t now_us, json_t **ret);

/* What is left of the definition's objects. */
struct crd_remains {
        size_t waiting;     /* that finalizers hold */
        const char *object; /* the first of them: "namespace/name" */
        const char *finalizer;
};
/* Sets the condition Terminating of the definition. 1: it has changed; 0; -ENOMEM. */
int crd_delete_progress(json_t *crd, const struct crd_remains *r, uint64_t now_us);
/* Nothing is left: the finalizer is removed. 1: others hold the definition, which is to be stored;
 * 0: it is to be deleted; -ENOMEM. */
int crd_delete_finish(json_t *crd, uint64_t now_us);
