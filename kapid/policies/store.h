/* The policies of a type and their bindings, compiled as kapid's caches have them. */
#pragma once

#include "kapid/api.h"
#include "kapid/policies/policy.h"
#include "lib/vector.h"

struct policy_list {
        VECTOR(struct policy *)
        v;
};

struct binding_list {
        VECTOR(struct policy_binding *)
        v;
};

struct policy_store {
        enum policy_type type;
        const char *kind; /* of the policies: "ValidatingAdmissionPolicy" */
        struct cache *policy_cache, *binding_cache;
        bool stale;
        struct policy_list all; /* by name */
        struct binding_list bindings;
        uint64_t policy_seen, binding_seen; /* the newest that was read, or could not be */
};

int policy_store_init(struct policy_store *s, enum policy_type type, struct api *a);
void policy_store_done(struct policy_store *s);
/* After a change in a cache, any. NULL: everything was reloaded. */
void policy_store_on_change(struct policy_store *s, const struct cache *c);
/* Whether a policy and a binding are there. */
bool policy_store_any(const struct policy_store *s);
/* Brings it up to date. Without memory it stays stale: the write fails, and the next one tries
 * again. */
int policy_store_refresh(struct policy_store *s, const struct policy_language *l);
