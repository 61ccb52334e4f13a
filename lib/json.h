/* Small helpers over jansson. A json_t that more than one place holds is immutable: a function that
 * changes it makes a copy first (json_copy / json_deep_copy), so an object is an immutable,
 * reference-counted tree. */
#pragma once

#include <jansson.h>

#include "lib/base.h"

/* json_decrefp() is jansson's own. */
#define _cleanup_json_ _cleanup_(json_decrefp)

/* jansson's functions take trees that they do not change without const. These take them with it, so
 * that nothing else casts. */
static inline json_t *json_unconst(const json_t *v) {
        return (json_t *)v;
}
/* A new reference; NULL for NULL. The tree stays immutable. */
static inline json_t *json_ref(const json_t *v) {
        return json_incref(json_unconst(v));
}
/* A copy of the value itself; its members are shared with it. NULL when out of memory. */
static inline json_t *json_shallow_copy(const json_t *v) {
        return json_copy(json_unconst(v));
}
/* A copy whose objects and lists may be changed without changing those of v. Strings, numbers and
 * words are shared: nobody changes these in place. NULL for NULL, or when out of memory. The depth
 * of v is bounded by who made it. */
json_t *json_tree_copy(const json_t *v);
/* Whether the trees are equal, as json_equal() has it; NULL equals only NULL. Quick for objects
 * whose members stand in the same order, and for what is shared. */
bool json_same(const json_t *a, const json_t *b);

/* Looks members up in an object in the order of another one that is much like it: the next one is
 * nearly always the one that is asked for. */
struct json_beside {
        const json_t *object; /* NULL or not an object: nothing is found */
        void *next;
};
static inline struct json_beside json_beside(const json_t *object) {
        return (struct json_beside){object, json_object_iter(json_unconst(object))};
}
const json_t *json_beside_get(struct json_beside *b, const char *key, size_t n);
/* Each member of an object (none when it is not one); `value` may point to const. */
#define json_object_each(object, key, value) json_object_foreach (json_unconst(object), key, value)

/* Value at a dotted path of object keys ("metadata.name"), or NULL. Borrows. Keys that hold dots
 * need json_get with each key. A NULL root is allowed. */
const json_t *json_at(const json_t *root, const char *path);
json_t *json_at_mut(json_t *root, const char *path);
/* Value under a chain of keys ended by NULL: json_get(o, "metadata", "labels", "a.b/c", NULL). */
const json_t *json_get(const json_t *root, ...) __attribute__((sentinel));
/* String, integer and boolean at a dotted path; the fallback when absent or of another type. */
const char *json_str(const json_t *root, const char *path); /* NULL when absent */
const char *json_str_or(const json_t *root, const char *path, const char *fallback);
int64_t json_int_or(const json_t *root, const char *path, int64_t fallback);
bool json_bool_or(const json_t *root, const char *path, bool fallback);
/* The first object of a list whose "name" is that; NULL when there is none. Borrows. */
const json_t *json_named(const json_t *list, const char *name);
/* name -> that object, for many names of a list that a user writes. NULL: out of memory. */
json_t *json_by_name(const json_t *list);

/* Sets a value at a dotted path, making the objects on the way. Takes value (also on failure).
 * 0, -ENOMEM, -EINVAL when something on the way is not an object. Only on trees one owns alone. */
int json_set_at(json_t *root, const char *path, json_t *value);
int json_set_str(json_t *root, const char *path, const char *value);
int json_set_int(json_t *root, const char *path, int64_t value);
/* Removes the key at a dotted path, if there. */
void json_del_at(json_t *root, const char *path);

/* Parses n bytes of JSON text. Refuses: bad UTF-8, NUL in strings, depth over 100, duplicate keys
 * when the flag says so. On failure -EINVAL with "line L column C: ..." in *ret_error (caller
 * frees), which may be NULL. */
/* Whether a JSON text is nested no deeper than a parser should follow. */
bool json_depth_ok(const char *text, size_t n);
enum { JSON_PARSE_REJECT_DUPLICATES_FLAG = 1 };
int json_parse(const char *text, size_t n, unsigned flags, json_t **ret, char **ret_error);
/* An integer beyond 64 bits is read as a float, as the API does. */
/* A float in the shortest form that reads back as the same (0.1, not 0.10000000000000001), with an
 * exponent below 1e-6 and from 1e21 on, as JSON.stringify and Go do; whole ones without ".0". */
enum { JSON_REAL_SIZE = 64 };
const char *json_real_text(double d, char buffer[static JSON_REAL_SIZE]);
/* Compact text of it; the caller frees. NULL when out of memory. */
char *json_text(const json_t *v) _warn_unused_;
/* The same into *ret for what will be read again. -E2BIG: deeper than json_parse reads; -ENOMEM. */
int json_text_bounded(const json_t *v, char **ret);
/* The same with the keys sorted: texts that are compared. */
char *json_text_sorted(const json_t *v) _warn_unused_;
char *json_text_pretty(const json_t *v) _warn_unused_;
/* About how many bytes of memory the tree takes. */
size_t json_size(const json_t *v);
