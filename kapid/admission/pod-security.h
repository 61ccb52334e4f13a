/* Pod security (KEP-2579, the Pod Security Standards): which pods a level allows. Pure: the pod and
 * the level come in, a list of violations in Kubernetes' own words goes out. Beside Kubernetes'
 * controls there are two of keelson: users of the machine's own root, and unit properties.
 * docs/who-may-do-what.md has the list. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"
#include "lib/unit-properties.h"

enum { POD_SECURITY_LATEST = 1000000 }; /* minor version: whatever is newest */

/* One mode of a namespace: a level as of a minor version of Kubernetes 1. */
struct pod_security_policy {
        enum security_level level;
        unsigned minor;
};

struct pod_security_violation {
        const char *reason; /* static: "host namespaces" */
        char *detail;       /* owned: "hostNetwork=true" */
};

struct pod_security_report {
        struct pod_security_violation *items;
        size_t count;
};
void pod_security_report_done(struct pod_security_report *r);
#define _cleanup_pod_security_report_ _cleanup_(pod_security_report_done)

/* "privileged", "baseline", "restricted". -EINVAL for every other word. */
int pod_security_level_parse(const char *word, enum security_level *ret);
const char *pod_security_level_name(enum security_level level);
/* "latest", "v1.24". -EINVAL for every other word. */
int pod_security_version_parse(const char *word, unsigned *ret_minor);

/* Everything of a pod (or of a pod template) that the policy does not allow. metadata may be NULL.
 * 0 (also when there are violations), -ENOMEM. */
int pod_security_check(const json_t *metadata, const json_t *spec,
                const struct pod_security_policy *policy, struct pod_security_report *ret);
/* `PodSecurity "baseline:latest": privileged (container "x" must not ...), ...`, with what goes
 * before it. Caller frees; NULL when out of memory. */
char *pod_security_text(const struct pod_security_report *r,
                const struct pod_security_policy *policy, const char *before) _warn_unused_;
/* The reasons alone: "host namespaces, privileged". Caller frees. */
char *pod_security_reasons(const struct pod_security_report *r) _warn_unused_;

/* Annotations that name a unit property which is not in the table (lib/unit-properties.h): refused
 * on every level. -EINVAL with p (422) for the first; 0 when there is none. */
int pod_security_check_names(const json_t *metadata, const char *field, struct problem *p);
/* Whether both have the same annotations as far as this file looks at them. */
bool pod_security_annotations_equal(const json_t *metadata_a, const json_t *metadata_b);
