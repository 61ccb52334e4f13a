/* The approval of definitions in the groups of the Kubernetes community (k8s.io, kubernetes.io and
 * what is below them): an annotation with the address of the decision, or "unapproved...". Pure. */
#pragma once

#include "lib/json.h"

enum crd_approval {
        CRD_APPROVAL_NEEDLESS, /* another group */
        CRD_APPROVAL_MISSING,
        CRD_APPROVAL_BYPASSED, /* "unapproved..." */
        CRD_APPROVAL_INVALID,
        CRD_APPROVAL_GIVEN,
};

#define CRD_APPROVAL_ANNOTATION "api-approved.kubernetes.io"

/* *ret_why: for people; owned by the caller, NULL when out of memory. */
enum crd_approval crd_approval_of(const json_t *crd, char **ret_why);
/* The reason of the condition KubernetesAPIApprovalPolicyConformant; NULL when there is none. */
const char *crd_approval_reason(enum crd_approval approval);
