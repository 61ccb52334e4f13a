/* Conversion between the versions of one kind. A kind's objects are stored in one version (the
 * storage version) and served in several; kind_strategy.convert changes one form into another and
 * may refuse. This is the only door: nobody else looks at an object's apiVersion to convert it.
 * pipeline/forms.h asks for items through it. Pure. */
#pragma once

#include "kapid/kinds/kind.h"

/* The object as the kind's version: a new reference to the object itself when it has that version
 * already, else to a converted copy. Refusal of the kind's convert: a negative errno with p (500
 * unless convert said otherwise), as for what cannot be converted the API answers every verb with
 * InternalError. -ENOMEM. */
int object_as(const json_t *object, const struct kind *k, json_t **ret, struct problem *p);
/* The object as it is stored: in the storage version, without metadata.resourceVersion. The object
 * is in the kind's version. Returns a new tree that shares parts with the object: immutable. */
int kind_store_form(const struct kind *k, const json_t *object, json_t **ret, struct problem *p);
/* Whether the n bytes of a stored value are an object in the kind's present storage version. */
bool kind_stores_as(const struct kind *k, const char *value, size_t n);
