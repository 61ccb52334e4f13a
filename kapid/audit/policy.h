/* Which requests are audited, and how much of them: a Policy of audit.k8s.io/v1, with the meaning
 * that kube-apiserver gives it. The first rule that matches decides; without one nothing is
 * written. Pure. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum audit_level { AUDIT_NONE, AUDIT_METADATA, AUDIT_REQUEST, AUDIT_REQUEST_RESPONSE };
/* "None", "Metadata", "Request", "RequestResponse". */
const char *audit_level_name(enum audit_level level);

enum audit_stage {
        AUDIT_RECEIVED = 1 << 0,
        AUDIT_STARTED = 1 << 1, /* of what is answered by a stream */
        AUDIT_COMPLETE = 1 << 2,
        AUDIT_PANIC = 1 << 3, /* known in policies; there is no such stage here */
};
/* "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic". */
const char *audit_stage_name(enum audit_stage stage);

/* What the rules look at. Strings are never NULL but path. */
struct audit_attributes {
        const char *user;
        char *const *groups; /* may be NULL */
        const char *verb;
        const char *path; /* NULL: a resource */
        const char *group, *resource, *subresource, *namespace, *name;
};

struct audit_decision {
        enum audit_level level;
        unsigned omit_stages; /* of enum audit_stage */
        bool omit_managed_fields;
};

struct audit_policy;
/* Reads the text of a policy, YAML or JSON. -EINVAL with p: it is none, or it has a field that is
 * not known or a value that has no meaning. */
int audit_policy_new(struct audit_policy **ret, const char *text, size_t n, struct problem *p);
struct audit_policy *audit_policy_free(struct audit_policy *policy);
DEFINE_CLEANUP(struct audit_policy *, audit_policy_free);
struct audit_decision audit_policy_decide(
                const struct audit_policy *policy, const struct audit_attributes *a);
