/* The patch of a webhook or a policy on an object. Pure. */
#pragma once

#include "kapid/kinds/kind.h"

enum { PATCHED_BYTES_MAX = 3 << 20 }; /* as a client may send */

struct patched_facts {
        const struct kind *kind;            /* of the object */
        const struct kind_subresource *sub; /* NULL: the object itself */
        const struct kind *as;              /* the version that is patched */
        const char *who;                    /* for messages: admission webhook "NAME" */
        bool strict;                        /* unknown fields are refused, not left out */
};
/* The object (NULL: the request has none that may change) with the patch: pruned, normalised, with
 * the defaults of its kind; what the server says about it is as before. A new tree. Refusals in p:
 * 500 for a patch that does not fit, 400 for one that makes it another object. */
int patched_object(const struct patched_facts *facts, const json_t *object, const json_t *patch,
                json_t **ret, struct problem *p);

/* Its last step for those who change the object themselves: what became of it, read again, in the
 * kind's own version. Refused with -EPERM when it is another object. A new tree. */
int patched_accept(const struct patched_facts *facts, const json_t *before, const json_t *patched,
                json_t **ret, struct problem *p);
/* The patch on a form that a conversion webhook made; the result is converted back before it is
 * accepted. */
int patched_apply(const struct patched_facts *facts, const json_t *form, const json_t *patch,
                json_t **ret, struct problem *p);
