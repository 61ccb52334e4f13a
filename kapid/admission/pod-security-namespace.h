/* A namespace's pod security labels (KEP-2579): pod-security.kubernetes.io/{enforce,warn,audit} and
 * the same with -version. Pure. */
#pragma once

#include "kapid/admission/pod-security.h"

struct pod_security_modes {
        struct pod_security_policy enforce, warn, audit;
};

/* Reads the levels from the labels (an object, may be NULL) of the namespace. Without the label
 * `enforce` the namespace kube-system is privileged and every other has the cluster's default;
 * without the other two they are as `enforce`. A level that is none (from before validation) counts
 * as restricted. */
struct pod_security_modes pod_security_modes(
                const char *namespace, const json_t *labels, enum security_level cluster_default);
/* The first of the labels that differs; NULL when none does. */
const char *pod_security_label_changed(const json_t *before, const json_t *after);
/* -EINVAL with p (422) when a level or a version is none. */
int pod_security_labels_validate(const json_t *labels, struct problem *p);
/* "baseline:latest", "restricted:v1.30". Caller frees. */
char *pod_security_policy_text(const struct pod_security_policy *policy) _warn_unused_;
