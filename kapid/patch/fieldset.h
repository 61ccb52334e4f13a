/* Sets of fields in the form that managedFields stores them (fieldsV1): a trie of JSON objects
 * whose keys are "f:name" (a field), "k:{...}" (an item of a list map), "v:value" (a member of a
 * set) and
 * "." (the node itself). A node that is {} or holds "." is a member. NULL is the empty set; sets
 * are immutable and shared. All functions return new references and NULL for the empty set. */
#pragma once

#include "kapid/schema/schema.h"

json_t *fieldset_union(const json_t *a, const json_t *b);
json_t *fieldset_difference(const json_t *a, const json_t *b);
json_t *fieldset_intersection(const json_t *a, const json_t *b);

/* The fields that a value sets. -EINVAL with *ret_error (caller frees) when an item of a list map
 * lacks a key. */
int fieldset_of(const struct schema *s, const json_t *value, json_t **ret, char **ret_error);
/* The difference between two objects: fields added or changed, and fields removed. */
void fieldset_compare(const struct schema *s, const json_t *old, const json_t *new,
                json_t **ret_changed, json_t **ret_removed);
/* Calls func with the text of each member (".spec.containers[name=\"c\"].image"). */
void fieldset_each(
                const json_t *set, void (*func)(const char *path, void *userdata), void *userdata);

/* A new object: config over live by the lists' types; untouched parts are shared. */
json_t *typed_merge(const struct schema *s, const json_t *live, const json_t *config);
/* Removes from an object (owned alone) what `last` names and `keep` does not. */
int typed_prune(const struct schema *s, json_t *object, const json_t *last, const json_t *keep);
