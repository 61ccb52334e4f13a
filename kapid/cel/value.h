/* Values of the Common Expression Language. Small structs that are passed by value; what they point
 * to lives in the arena of one evaluation, in the program (constants) or in a JSON tree that
 * outlives the evaluation. JSON is wrapped, never copied: a list or map of JSON is read item by
 * item along its declared type. Errors are values too (`kind` CEL_ERROR). */
#pragma once

#include "kapid/cel/types.h"
#include "lib/json.h"

enum cel_kind {
        CEL_ERROR,
        CEL_NULL,
        CEL_BOOL,
        CEL_INT,
        CEL_UINT,
        CEL_DOUBLE,
        CEL_STRING,
        CEL_BYTES,
        CEL_LIST,
        CEL_MAP, /* objects of a declared type too */
        CEL_TIMESTAMP,
        CEL_DURATION,
        CEL_TYPE,
        CEL_OPTIONAL,
        CEL_OPAQUE, /* quantities, URLs, addresses...: see cel_opaque_class */
};

struct cel_value;
struct cel_list; /* not JSON: made by expressions */
struct cel_map;
struct cel_run; /* one evaluation: kapid/cel/function.h */

/* A kind of opaque values; the address of the struct is its identity. */
struct cel_opaque_class {
        struct cel_type type; /* CEL_TYPE_OPAQUE with the name that type() gives ("net.IP") */
        bool (*equal)(const void *a, const void *b);
};

struct cel_value {
        uint8_t kind;
        bool json;      /* CEL_LIST and CEL_MAP: `wrapped` counts, not list and map */
        uint32_t nanos; /* CEL_TIMESTAMP: 0...999999999 */
        union {
                bool boolean;
                int64_t integer; /* CEL_INT; CEL_TIMESTAMP: seconds since 1970; CEL_DURATION:
                                    nanoseconds */
                uint64_t natural;
                double real;
                struct {
                        const char *data; /* not NUL-terminated; strings are valid UTF-8 */
                        size_t size;      /* in bytes */
                } text;                   /* CEL_STRING, CEL_BYTES; CEL_ERROR: its message */
                struct {
                        const json_t *tree;
                        const struct cel_type *type; /* how its children are read */
                } wrapped;
                const struct cel_list *list;
                const struct cel_map *map;
                const struct cel_type *type;
                const struct cel_value *inner; /* CEL_OPTIONAL; NULL: none */
                struct {
                        const struct cel_opaque_class *class;
                        const void *data;
                } opaque;
        };
};

enum {
        CEL_TIMESTAMP_NANOS = 1000 * 1000 * 1000,
        CEL_ERROR_TEXT_MAX = 1024, /* longer messages are cut */
};
/* Years 1 to 9999, in seconds. */
#define CEL_TIMESTAMP_MIN INT64_C(-62135596800)
#define CEL_TIMESTAMP_MAX INT64_C(253402300799)

static inline struct cel_value cel_null(void) {
        return (struct cel_value){.kind = CEL_NULL};
}
static inline struct cel_value cel_bool(bool b) {
        return (struct cel_value){.kind = CEL_BOOL, .boolean = b};
}
static inline struct cel_value cel_int(int64_t i) {
        return (struct cel_value){.kind = CEL_INT, .integer = i};
}
static inline struct cel_value cel_uint(uint64_t u) {
        return (struct cel_value){.kind = CEL_UINT, .natural = u};
}
static inline struct cel_value cel_double(double d) {
        return (struct cel_value){.kind = CEL_DOUBLE, .real = d};
}
static inline struct cel_value cel_duration(int64_t nanoseconds) {
        return (struct cel_value){.kind = CEL_DURATION, .integer = nanoseconds};
}
static inline struct cel_value cel_timestamp(int64_t seconds, uint32_t nanos) {
        return (struct cel_value){.kind = CEL_TIMESTAMP, .integer = seconds, .nanos = nanos};
}
/* Borrow the text; `data` must live as long as the value. */
static inline struct cel_value cel_string_at(const char *data, size_t size) {
        return (struct cel_value){.kind = CEL_STRING, .text = {data, size}};
}
static inline struct cel_value cel_bytes_at(const char *data, size_t size) {
        return (struct cel_value){.kind = CEL_BYTES, .text = {data, size}};
}
static inline struct cel_value cel_type_value(const struct cel_type *t) {
        return (struct cel_value){.kind = CEL_TYPE, .type = t};
}
static inline struct cel_value cel_opaque(const struct cel_opaque_class *class, const void *data) {
        return (struct cel_value){.kind = CEL_OPAQUE, .opaque = {class, data}};
}
static inline struct cel_value cel_none(void) {
        return (struct cel_value){.kind = CEL_OPTIONAL};
}
static inline bool cel_is_error(struct cel_value v) {
        return v.kind == CEL_ERROR;
}
static inline bool cel_is_opaque(struct cel_value v, const struct cel_opaque_class *class) {
        return v.kind == CEL_OPAQUE && v.opaque.class == class;
}
static inline bool cel_is_text(struct cel_value v, const char *text) {
        return v.kind == CEL_STRING && v.text.size == strlen(text) &&
               memcmp(v.text.data, text, v.text.size) == 0;
}

/* Memory of the evaluation's life, aligned, not zeroed. NULL when out of memory or beyond its
 * bound: return cel_no_memory() then. */
void *cel_alloc(struct cel_run *run, size_t n) _warn_unused_;
/* The value that says so. */
struct cel_value cel_no_memory(struct cel_run *run);
/* An error value. Messages are cel-go's where they are known ("division by zero"). */
struct cel_value cel_error(struct cel_run *run, const char *fmt, ...) _printf_(2, 3);
/* "no such overload": an operand is of a kind that the function does not take. */
struct cel_value cel_no_overload(struct cel_run *run, const char *function);
/* Copies of the text. cel_string: the bytes must be valid UTF-8. */
struct cel_value cel_string(struct cel_run *run, const char *data, size_t size);
struct cel_value cel_bytes(struct cel_run *run, const char *data, size_t size);
struct cel_value cel_some(struct cel_run *run, struct cel_value v);
/* A NUL-terminated copy for functions of lib/; NULL when it has a NUL within or there is no memory.
 */
char *cel_c_text(struct cel_run *run, struct cel_value text) _warn_unused_;

/* A JSON tree as a value. type NULL or dyn: as JSON says (whole numbers are int); else as the
 * declared type says (format byte: bytes; date-time: timestamp; number: double...). Borrows the
 * tree. */
struct cel_value cel_from_json(
                struct cel_run *run, const json_t *tree, const struct cel_type *type);
/* A new JSON tree, in *ret. -EINVAL when the value has no JSON form, -ENOMEM. */
int cel_to_json(struct cel_run *run, struct cel_value v, json_t **ret);

/* Strings: code points. */
size_t cel_string_length(struct cel_value v);

/* Lists. The item may be an error value (a JSON text that is no date, say). */
size_t cel_list_count(struct cel_value list);
struct cel_value cel_list_at(struct cel_run *run, struct cel_value list, size_t i);
/* A list of these items (copied). */
struct cel_value cel_list_of(struct cel_run *run, const struct cel_value *items, size_t count);
/* Builds a list item by item: start with cel_list_of(run, NULL, 0). Cheap: the memory is shared
 * with the list before, which stays what it was. */
struct cel_value cel_list_append(struct cel_run *run, struct cel_value list, struct cel_value item);

/* Maps; objects by their property names. Keys: bool, int, uint, string. */
size_t cel_map_count(struct cel_value map);
/* false when there is no such key. */
bool cel_map_find(struct cel_run *run, struct cel_value map, struct cel_value key,
                struct cel_value *ret);
/* Walks in the order of insertion; start with *at NULL... until false. */
struct cel_map_at {
        size_t i;
        void *iter;
        bool started;
};
bool cel_map_next(struct cel_run *run, struct cel_value map, struct cel_map_at *at,
                struct cel_value *ret_key, struct cel_value *ret_value);
/* A map with one more entry; an error value when the key is there or can be none. Start with
 * cel_map_empty(). Shares memory as lists do. */
struct cel_value cel_map_empty(struct cel_run *run);
struct cel_value cel_map_insert(struct cel_run *run, struct cel_value map, struct cel_value key,
                struct cel_value v);

/* The type of an object that an expression made by NAME{...}; NULL: it is something else. */
const struct cel_type *cel_message_of(struct cel_value v);

/* Equality of CEL: numbers across their kinds, lists and maps deeply, other kinds never equal.
 * Returns a bool value or an error value. */
struct cel_value cel_equal(struct cel_run *run, struct cel_value a, struct cel_value b);
/* Order of two values of one ordered kind (or two numbers): -1, 0, 1 in *ret; false when there is
 * none (also NaN). */
bool cel_compare(struct cel_value a, struct cel_value b, int *ret);

/* The run-time type of a value, as type() gives it. */
const struct cel_type *cel_type_of(struct cel_value v);
/* Whether a value may be given where the type is asked for (dyn and parameters take all). */
bool cel_value_is(struct cel_value v, const struct cel_type *type);
