/* Between the makers of kinds (kind.c) and those who find them (registry.c). */
#pragma once

#include "kapid/kinds/kind.h"
#include "kapid/schema/rules.h"

/* The data behind kinds; counted, because requests outlive CRDs. */
struct source {
        unsigned refs;
        struct schema_set *set;
        struct rules_base *rules; /* owned by the built-in source, which lives longest */
        bool owns_rules;
};

struct kind_entry {
        struct kind kind; /* first: struct kind pointers are entries */
        unsigned refs;
        struct source *source;
        const char *document; /* name of the CRD; of built-ins too */
};

/* rules NULL: its own. Owned by the caller: source_unref(). -ENOMEM. */
int source_new(struct source **ret, const struct schema_set *parent, struct rules_base *rules);
struct source *source_unref(struct source *s);

/* Makes every served version of one document; *ret is an array of *ret_count entries, owned by the
 * caller as they are. */
int kinds_make(struct source *source, const json_t *crd, bool custom, char *const *settings,
                struct kind_entry ***ret, size_t *ret_count, struct problem *p);
