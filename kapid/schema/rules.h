/* x-kubernetes-validations of CustomResourceDefinitions: compiled once with their version's schema,
 * judged when a definition is written, carried out when an object is. Pure. */
#pragma once

#include "kapid/schema/findings.h"

/* The rules of one version's schema. Immutable but for the patterns that are compiled when they are
 * first needed. */
struct rules;

/* The functions that rules may call, ready for all definitions of a server. */
struct rules_base;
int rules_base_new(struct rules_base **ret);
struct rules_base *rules_base_free(struct rules_base *b);
DEFINE_CLEANUP(struct rules_base *, rules_base_free);

/* NULL in *ret when the schema has none. Borrows the base, which must live longer. Rules that do
 * not compile (their definition was stored before rules were judged) are kept: they refuse objects
 * with that reason, as in Kubernetes. */
int rules_new(const json_t *schema, const struct rules_base *base, struct rules **ret);
struct rules *rules_free(struct rules *r);
DEFINE_CLEANUP(struct rules *, rules_free);

/* What is wrong with the rules of a schema; f's path is where it stands. The schema is structural.
 */
void rules_check_definition(struct findings *f, const json_t *schema);

/* What an object breaks. old: the object before an update, NULL for a new one. What a part that did
 * not change breaks is a warning (warnings may be NULL: they are dropped) unless the rule compares
 * with oldSelf. The object is valid along its schema. */
void rules_validate(struct findings *f, struct rules *r, const json_t *object, const json_t *old,
                char ***warnings);
