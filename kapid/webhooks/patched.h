/* A webhook's patch on an object. Pure. */
#pragma once

#include "kapid/kinds/kind.h"

struct patched_facts {
        const struct kind *kind;            /* of the object */
        const struct kind_subresource *sub; /* NULL: the object itself */
        const struct kind *as;              /* the version that the webhook was sent */
        const char *webhook;                /* its name */
};
/* The object (NULL: the request has none that may change) with the patch: pruned, normalised, with
 * the defaults of its kind; what the server says about it is as before. A new tree. Refusals in p:
 * 500 for a patch that does not fit, 400 for one that makes it another object. */
int patched_object(const struct patched_facts *facts, const json_t *object, const json_t *patch,
                json_t **ret, struct problem *p);
/* Its halves, where a conversion webhook makes the version that was patched and the object's of it:
 * the form with the patch, and the object of what that was converted to. */
int patched_form(const struct patched_facts *facts, const json_t *form, const json_t *patch,
                json_t **ret, struct problem *p);
int patched_read(const struct patched_facts *facts, const json_t *object, const json_t *converted,
                json_t **ret, struct problem *p);
