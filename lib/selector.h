/* Label and field selectors, in text form and as LabelSelector objects (docs/wire.md section 7). */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

struct label_selector;
/* Parses "a=b,c in (d,e),!f". NULL or "" selects everything. Refusal: 400 BadRequest in p. */
int label_selector_parse(const char *text, struct label_selector **ret, struct problem *p);
/* From {matchLabels, matchExpressions}: NULL selects nothing, {} everything (API convention). */
int label_selector_from_json(const json_t *v, struct label_selector **ret, struct problem *p);
/* From a map of labels as in Service.spec.selector: all must be equal; empty: nothing. */
int label_selector_from_map(const json_t *map, struct label_selector **ret);
/* spec.selector of what owns pods: a LabelSelector, or a map of labels as a ReplicationController
 * has. Their values differ in type, so the form shows. */
bool label_selector_is_map(const json_t *v);
int label_selector_from_any(const json_t *v, struct label_selector **ret, struct problem *p);
struct label_selector *label_selector_free(struct label_selector *s);
DEFINE_CLEANUP(struct label_selector *, label_selector_free);
/* labels: the object's metadata.labels, may be NULL. */
bool label_selector_matches(const struct label_selector *s, const json_t *labels);
/* The same with the JSON text of labels (n bytes; 0: none), which is not parsed. -EINVAL: it has
 * escapes or values that no label has, and must be parsed. */
int label_selector_matches_text(const struct label_selector *s, const char *labels, size_t n);
/* Bits that stand for labels, so that most objects are ruled out by one comparison: an object can
 * only match when its labels have all bits that the selector needs. */
uint64_t label_text_bits(const char *labels, size_t n);
uint64_t label_key_bits(const char *key); /* those of all that have it */
uint64_t label_selector_bits(const struct label_selector *s);
/* What each matching object must have: a label, and one of these values (NULL: any). i: 0 first;
 * the walk moves it. Borrowed. Returns false past the end. */
bool label_selector_need(const struct label_selector *s, size_t *i, const char **ret_key,
                char *const **ret_values);
/* Walks the labels in a JSON text of n bytes (0: none), borrowed from it. 1; 0: past the end;
 * -EINVAL: it has escapes or values that no label has. */
struct label_text {
        const char *at, *end;
        const char *key, *value; /* of the present one */
        size_t key_size, value_size;
};
struct label_text label_text(const char *labels, size_t n);
int label_text_next(struct label_text *t);
bool label_selector_is_everything(const struct label_selector *s);
/* Canonical text ("a=b,c in (d,e)"); caller frees. */
char *label_selector_text(const struct label_selector *s) _warn_unused_;

struct field_selector;
int field_selector_parse(const char *text, struct field_selector **ret, struct problem *p);
struct field_selector *field_selector_free(struct field_selector *s);
DEFINE_CLEANUP(struct field_selector *, field_selector_free);
bool field_selector_matches(const struct field_selector *s, const json_t *object);
/* What the path must be: the value of its first "=" term. NULL: there is none, or s is. Borrowed. */
const char *field_selector_exact(const struct field_selector *s, const char *path);
/* Walks its terms: path, value and whether it is "!=". Returns false past the end. */
bool field_selector_term(const struct field_selector *s, size_t i, const char **ret_path,
                const char **ret_value, bool *ret_negated);
