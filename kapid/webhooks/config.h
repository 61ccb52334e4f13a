/* Webhook configurations in the form in which requests are compared with them. Pure. Immutable and
 * counted, because a request that waits keeps those that it began with. */
#pragma once

#include "kapid/webhooks/target.h"
#include "lib/selector.h"

struct webhook_conditions;

enum webhook_type { WEBHOOK_MUTATING, WEBHOOK_VALIDATING, WEBHOOK_TYPES };

enum {
        WEBHOOK_CREATE = 1 << 0,
        WEBHOOK_UPDATE = 1 << 1,
        WEBHOOK_DELETE = 1 << 2,
        WEBHOOK_CONNECT = 1 << 3,
        WEBHOOK_ALL = 15,
};
/* "CREATE" ..., and "*" for all; 0: no such word. */
unsigned webhook_operation(const char *word);
const char *webhook_operation_name(unsigned operation);

enum webhook_scope { WEBHOOK_ANY_SCOPE, WEBHOOK_CLUSTER, WEBHOOK_NAMESPACED };

/* Lists borrow from the configuration's tree. */
struct webhook_rule {
        unsigned operations;
        enum webhook_scope scope;
        const json_t *groups, *versions, *resources;
        const json_t *names; /* of objects, for policies; NULL: all */
};

struct webhook {
        const char *name; /* borrows, as the rules do */
        struct webhook_config *config;
        struct webhook_rule *rules;
        size_t rule_count;
        struct label_selector *namespaces, *objects; /* NULL: all */
        struct webhook_conditions *conditions;       /* NULL: none */
        const char *version;                         /* of AdmissionReview: "v1", "v1beta1" */
        struct webhook_target target;
        uint64_t timeout_us;
        bool ignores_failures, exact, reinvoked;
        unsigned in_flight; /* calls, counted by client.c */
        uint64_t next_address, logged_us;
};

struct webhook_config {
        unsigned refs;
        enum webhook_type type;
        json_t *object;
        const char *name;
        struct webhook *webhooks;
        size_t count;
};

/* From an object that passed validation. -EINVAL with p for one that did not (an older kapid, or a
 * hand in the store), -ENOMEM. Takes a reference on the object. */
int webhook_config_new(struct webhook_config **ret, enum webhook_type type, const json_t *object,
                struct problem *p);
struct webhook_config *webhook_config_ref(struct webhook_config *c);
struct webhook_config *webhook_config_unref(struct webhook_config *c);
DEFINE_CLEANUP(struct webhook_config *, webhook_config_unref);

/* Of policies (kapid/policies/): the rules of this field, selectors and matchPolicy, and nothing
 * else, of a webhook that is zeroed. Borrows from v. -EINVAL with p, -ENOMEM. */
int webhook_matcher_read(const json_t *v, const char *rules, struct webhook *w, struct problem *p);
void webhook_matcher_done(struct webhook *w);

/* The first of the versions of a review (of admission or conversion) that kapid speaks; NULL: none.
 */
const char *webhook_review_version(const json_t *versions);
