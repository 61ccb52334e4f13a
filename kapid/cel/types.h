/* Declared types of expressions: the simple ones, list(T), map(K, V), objects with fields, optional
 * and opaque ones, parameters of signatures. Immutable; simple ones are constants, others live in a
 * struct cel_types or in tables of the program text. */
#pragma once

#include "lib/json.h"

enum cel_type_kind {
        CEL_TYPE_DYN,
        CEL_TYPE_NULL,
        CEL_TYPE_BOOL,
        CEL_TYPE_INT,
        CEL_TYPE_UINT,
        CEL_TYPE_DOUBLE,
        CEL_TYPE_STRING,
        CEL_TYPE_BYTES,
        CEL_TYPE_LIST,
        CEL_TYPE_MAP,
        CEL_TYPE_OBJECT,
        CEL_TYPE_TIMESTAMP,
        CEL_TYPE_DURATION,
        CEL_TYPE_TYPE,
        CEL_TYPE_OPTIONAL,
        CEL_TYPE_OPAQUE,
        CEL_TYPE_PARAM, /* T of a signature */
        CEL_TYPE_ERROR, /* of an expression that has findings already */
};

/* How an array of a schema is compared and added to (x-kubernetes-list-type). */
enum cel_list_kind { CEL_LIST_ATOMIC, CEL_LIST_SET, CEL_LIST_KEYED };

struct cel_type;
struct cel_field {
        const char *name;     /* as expressions write it: __dash__ and so on escaped */
        const char *property; /* as JSON has it */
        const struct cel_type *type;
        bool required;
};

struct cel_type {
        uint8_t kind;
        uint8_t list_kind; /* arrays of schemas */
        bool nullable;     /* JSON null is a value and not an error */
        bool message;      /* of NAME{...}: a name is one type; without fields it has any */
        const char *name;  /* objects, opaque types, parameters */
        const struct cel_type *of[2];   /* list, optional, type: [0]; map: key and value */
        const struct cel_field *fields; /* objects: by name */
        size_t field_count;
        uint64_t size_max;      /* most items, entries or bytes; UINT64_MAX: not known */
        uint64_t size_json_min; /* least bytes in JSON */
        char *const *keys;      /* CEL_LIST_KEYED: properties that are the key */
};

extern const struct cel_type cel_dyn_type, cel_null_type, cel_bool_type, cel_int_type,
                cel_uint_type, cel_double_type, cel_string_type, cel_bytes_type, cel_timestamp_type,
                cel_duration_type, cel_type_type, cel_error_type, cel_list_dyn_type,
                cel_map_dyn_type, cel_optional_dyn_type;

/* Memory of types. */
struct cel_types;
struct cel_types *cel_types_new(void) _warn_unused_;
struct cel_types *cel_types_free(struct cel_types *t);
DEFINE_CLEANUP(struct cel_types *, cel_types_free);
/* Zeroed memory of its life; NULL when out of memory. */
void *cel_types_alloc(struct cel_types *t, size_t n) _warn_unused_;
char *cel_types_strndup(struct cel_types *t, const char *s, size_t n) _warn_unused_;
/* NULL when out of memory. */
const struct cel_type *cel_list_type(struct cel_types *t, const struct cel_type *item);
const struct cel_type *cel_map_type(
                struct cel_types *t, const struct cel_type *key, const struct cel_type *value);
const struct cel_type *cel_optional_type(struct cel_types *t, const struct cel_type *of);
const struct cel_type *cel_type_type_of(struct cel_types *t, const struct cel_type *of);
/* An object type; fields are kept, sorted by name in place. */
const struct cel_type *cel_object_type(
                struct cel_types *t, const char *name, struct cel_field *fields, size_t count);

enum cel_schema_flags {
        CEL_SCHEMA_ROOT = 1 << 0, /* apiVersion, kind, metadata.name are there in any case */
};
/* The type of values along a structural OpenAPI schema (a JSON object), as Kubernetes makes it.
 * *ret is NULL when expressions cannot see such values (no type given, unknown fields kept).
 * -ENOMEM, -E2BIG (too deep). */
int cel_type_from_schema(struct cel_types *t, const json_t *schema, unsigned flags,
                const struct cel_type **ret);

const struct cel_field *cel_field_find(const struct cel_type *object, const char *name, size_t n);
/* Property names as expressions write them: "a-b" is a__dash__b. NULL: cannot be written, or out
 * of memory. In the types' memory. */
const char *cel_escape(struct cel_types *t, const char *property);

/* "list(map(string, int))"; appended. Large ones are cut. */
struct buf;
int cel_type_text(struct buf *b, const struct cel_type *type);
/* The same type, parameters aside. *steps: how often a part may be looked at; counted down, and
 * true when it comes to 0. */
bool cel_type_same(const struct cel_type *a, const struct cel_type *b, uint64_t *steps);
