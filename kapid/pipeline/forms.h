/* Stored objects as a version of their kind shows them: converted to it, without what its schema
 * does not have, and with the defaults that it has now (a definition may have changed since they
 * were written). The store does not change. */
#pragma once

#include "kapid/cache/item.h"
#include "kapid/kinds/kind.h"

/* The item in the kind's form: the item itself, or one that it keeps for the next reader. Borrowed;
 * it lives as long as the item and until another version of the kind asks. A conversion's refusal:
 * a negative errno with p (convert.h). -ENOMEM. */
int item_as(struct item *it, const struct kind *k, struct item **ret, struct problem *p);
/* The same, and the object of that form: a new reference to something immutable. The tree is not
 * kept (item_keep_object() does). */
int item_as_object(struct item *it, const struct kind *k, struct item **ret,
                json_t **ret_object, struct problem *p);
/* Keeps the form that a webhook has made of the item's object (kapid/conversion/). -EINVAL,
 * -ENOMEM. */
int item_take_form(struct item *it, const struct kind *k, json_t *converted);
/* Keeps a form again that the item has had, unless it has one. */
void item_keep_form(struct item *it, const struct kind *k, struct item *form);
/* The item at another revision, as item_at_revision(), with the form that a webhook has made of it.
 */
int item_gone_as(struct item *it, const struct kind *k, uint64_t revision, struct item **ret);
/* The object of that form: a new reference to something immutable. The tree is not kept: for
 * answers and walks over many items. Errors as above. */
int item_object_as(struct item *it, const struct kind *k, json_t **ret, struct problem *p);
