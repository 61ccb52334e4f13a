/* The plain mappings, one row each: a field of a pod or container that alone decides one property
 * of the container's unit. A mapping that needs more than the field's own value is code, in
 * pod-to-units.c and the files beside it. tests/unit/test-pod-fields.c checks that
 * docs/pod-to-units.md lists every row. */
#pragma once

#include "lib/json.h"

enum pod_field_flags {
        FIELD_OF_CONTAINER = 0,
        FIELD_OF_POD = 1 << 0,         /* the path begins at the pod, not at the container */
        FIELD_INHERITED = 1 << 1,      /* securityContext: the container's, else the pod's */
        FIELD_NOT_PRIVILEGED = 1 << 2, /* without effect on a privileged container */
};

struct pod_field {
        const char *field;    /* path as json_at() takes it; NULL: every container gets it */
        const char *property; /* as on D-Bus; see prop_find() */
        /* Returns 1 with a new reference, 0 when this value sets nothing, -ENOMEM. */
        int (*convert)(const json_t *value, json_t **ret);
        const char *constant; /* without a field: the property's value as JSON */
        unsigned flags;       /* enum pod_field_flags */
};

/* The i-th row; NULL past the end. */
const struct pod_field *pod_field_at(size_t i);
/* Sets the properties of all rows whose field is there. -ENOMEM. */
int pod_fields_apply(const json_t *pod, const json_t *container, json_t *properties);
