/* Objects of one request in other versions, as a conversion webhook made them for admission. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/vector.h"

struct made_form;
struct made_forms {
        VECTOR(struct made_form *) v;
};
void made_forms_done(struct made_forms *f);
/* The object in the version of the kind; borrowed. NULL: it was not made, with *ret_why (which may
 * be NULL) where that was tried, else NULL. f may be NULL. */
const json_t *made_forms_find(const struct made_forms *f, const struct kind *as,
                const json_t *object, const char **ret_why);
/* Takes form, also with -ENOMEM; NULL: it could not be made, and why. */
int made_forms_add(struct made_forms *f, const struct kind *as, const json_t *object, json_t *form,
                const char *why);
