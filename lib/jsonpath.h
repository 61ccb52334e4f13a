/* JSONPath as Kubernetes uses it (the "JSONPath Support" page of kubectl's reference): paths for
 * printer columns and selectable fields, and templates for kctl's -o jsonpath= and wait. A text is
 * parsed once into a small program that can be evaluated many times.
 *
 * Paths: .a.b  .a\.b  ['a.b']  [0]  [-1]  [1:3]  [-1:]  [*]  .*  [?(@.type=="Ready")]  [?(@.x!=1)]
 * [?(@.x)]. A leading "$" or "@" and the first dot may be missing. There is no recursive descent
 * ("..") and no union. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum {
        JSONPATH_SIZE_MAX = 4096,      /* bytes of a path */
        JSONPATH_STEPS_MAX = 50,       /* steps of a path, those of its filters included */
        JSONPATH_RANGES_MAX = 8,       /* ranges inside each other in a template */
        JSONPATH_TEMPLATE_MAX = 65536, /* bytes of a template */
};

struct jsonpath;

/* Parses a path; "{...}" around it is allowed. -EINVAL with p, -ENOMEM. */
int jsonpath_parse(const char *text, struct jsonpath **ret, struct problem *p);
/* The i-th of the keys that it begins with, before the first index, '*' or filter; NULL past the
 * last. Borrowed. */
const char *jsonpath_key(const struct jsonpath *j, size_t i);
struct jsonpath *jsonpath_free(struct jsonpath *j);
DEFINE_CLEANUP(struct jsonpath *, jsonpath_free);
/* Calls func with each value that the path reaches, in the document's order, until func returns
 * false. The values are borrowed from root, which may be NULL (nothing is reached then, but by the
 * empty path). */
void jsonpath_each(const struct jsonpath *j, const json_t *root,
                bool (*func)(const json_t *value, void *userdata), void *userdata);
/* The first value that it reaches, borrowed from root, or NULL. */
const json_t *jsonpath_first(const struct jsonpath *j, const json_t *root);

/* Templates: text, {PATH}, {"text with \n and \t"}, {range PATH}...{end}. A template without braces
 * is one path. Several values of one path are printed with blanks between them: strings as they
 * are, all else as compact JSON. *ret is the caller's. -EINVAL with p when the template can't be
 * read. */
int jsonpath_print(const char *template, const json_t *value, char **ret, struct problem *p);
