/* Compiled schemas: what the documents say about the shape of objects, in a form that walks read
 * quickly. Nodes are shared (a PodSpec exists once) and may refer to themselves; they are immutable
 * and live as long as their set. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum schema_type {
        SCHEMA_ANY, /* no type given */
        SCHEMA_OBJECT,
        SCHEMA_ARRAY,
        SCHEMA_STRING,
        SCHEMA_INTEGER,
        SCHEMA_NUMBER,
        SCHEMA_BOOLEAN,
        SCHEMA_INT_OR_STRING, /* x-kubernetes-int-or-string */
};

enum schema_format {
        FORMAT_NONE,
        FORMAT_INT32,
        FORMAT_INT64,
        FORMAT_BYTE,
        FORMAT_DATE_TIME,
        FORMAT_MICRO_TIME,
        FORMAT_QUANTITY,
        FORMAT_DURATION,
        FORMAT_DNS1123_LABEL,
        FORMAT_DNS1123_SUBDOMAIN,
        FORMAT_DNS1035_LABEL,
        FORMAT_QUALIFIED_NAME,
        FORMAT_LABEL_VALUE,
        FORMAT_PORT_NAME,
        FORMAT_IP,
        FORMAT_UUID,
        FORMAT_CONFIG_KEY,  /* of ConfigMaps and Secrets */
        FORMAT_OTHER,       /* known to clients, not checked here */
        FORMAT_CUSTOM = 64, /* from here on: formats of CustomResourceDefinitions (format.h) */
};
/* The word as documents write it; NULL for FORMAT_NONE. */
const char *schema_format_name(enum schema_format f);
const char *schema_type_name(enum schema_type t); /* "object"...; NULL for SCHEMA_ANY */

enum schema_list { LIST_ATOMIC, LIST_SET, LIST_MAP };

enum schema_flag {
        SCHEMA_PRESERVE_UNKNOWN = 1 << 0,
        SCHEMA_NULLABLE = 1 << 1,
        SCHEMA_EMBEDDED_RESOURCE = 1 << 2,
        SCHEMA_MAP_ATOMIC = 1 << 3,
        SCHEMA_LIST_TYPE_GIVEN = 1 << 4,
        SCHEMA_UNIQUE_KEYS = 1 << 5, /* validation refuses duplicates, as for all lists of CRDs */
};

/* Constraints on a value beyond its type; most nodes have none. */
enum schema_bound {
        BOUND_MINIMUM = 1 << 0,
        BOUND_MAXIMUM = 1 << 1,
        BOUND_EXCLUSIVE_MINIMUM = 1 << 2,
        BOUND_EXCLUSIVE_MAXIMUM = 1 << 3,
        BOUND_MULTIPLE_OF = 1 << 4,
        BOUND_MIN_LENGTH = 1 << 5,
        BOUND_MAX_LENGTH = 1 << 6,
        BOUND_MIN_ITEMS = 1 << 7,
        BOUND_MAX_ITEMS = 1 << 8,
        BOUND_MIN_PROPERTIES = 1 << 9,
        BOUND_MAX_PROPERTIES = 1 << 10,
        BOUND_UNIQUE_ITEMS = 1 << 11,
};
struct pattern;
struct schema_rules {
        unsigned bounds; /* which of the following count */
        double minimum, maximum, multiple_of;
        size_t length_min, length_max; /* of strings, in characters */
        size_t items_min, items_max;
        size_t properties_min, properties_max;
        const json_t *enumeration; /* array or NULL */
        struct pattern *pattern;   /* compiled when the first value meets it */
        const struct schema *const *all_of,
                        *const *any_of, *const *one_of; /* NULL-terminated or NULL */
        const struct schema * not ;
};

enum schema_field_flag {
        FIELD_REQUIRED = 1 << 0,
        FIELD_PATCH_MERGE = 1 << 1,       /* x-kubernetes-patch-strategy has merge */
        FIELD_PATCH_RETAIN_KEYS = 1 << 2, /* ... retainKeys */
        FIELD_OMITS_ZERO = 1 << 3,        /* x-keelson-omits: 0, false, "", [] and {} are absent */
};
struct schema_field {
        const char *name;
        const struct schema *schema;
        const json_t *fallback;  /* default, or NULL */
        const char *description; /* of the field; NULL: see the schema's */
        uint16_t protobuf;       /* field number; 0: not in the protobuf form */
        /* Field number of the inlined message around it; 0: none. Of two, the outer one is in the
           upper byte. */
        uint16_t protobuf_outer;
        uint8_t flags;
};

struct schema {
        const char *name; /* of a shared definition ("core.v1.PodSpec"), else NULL */
        const char *description;
        uint8_t type, format, list;
        uint16_t flags;
        const struct schema_field *fields; /* by name */
        size_t field_count;
        const struct schema *items;      /* of arrays; NULL: anything */
        const struct schema *additional; /* values of a map; NULL: none (unless unknown ones are
                                            preserved) */
        char *const *map_keys;           /* of LIST_MAP */
        const char *merge_key;           /* x-kubernetes-patch-merge-key */
        const json_t *fallback; /* default of items and map values that carry one themselves */
        const struct schema_rules *rules; /* NULL: none */
};

/* O(log fields). NULL when there is none. */
const struct schema_field *schema_field_find(const struct schema *s, const char *name);
/* The schema of a child of an object: the field's, the map value's, or NULL (unknown). */
const struct schema *schema_child(const struct schema *s, const char *key);

/* Whether a custom schema (a tree, but for the server's own definitions, which are not looked into)
 * has a default, or an embedded resource, anywhere. */
bool schema_has_defaults(const struct schema *s);
bool schema_has_embedded(const struct schema *s);

/* A set owns nodes. parent (may be NULL) resolves $ref and ObjectMeta for CRDs' sets; it must live
 * longer. */
struct schema_set;
int schema_set_new(struct schema_set **ret, const struct schema_set *parent);
struct schema_set *schema_set_free(struct schema_set *s);
DEFINE_CLEANUP(struct schema_set *, schema_set_free);
/* Remembers definitions {name: schema} for $ref; they are compiled when first needed. Keeps a
 * reference until schema_set_seal. */
int schema_set_define(struct schema_set *s, json_t *definitions);
/* Drops the definitions' JSON once all kinds are compiled. */
void schema_set_seal(struct schema_set *s);
/* Compiles a schema document. as_custom_root: adds apiVersion, kind and metadata as CRDs need and
 * refuses what is not structural, with causes below `path`
 * ("spec.versions[0].schema.openAPIV3Schema"). */
int schema_compile(struct schema_set *s, const json_t *document, bool as_custom_root,
                const char *path, const struct schema **ret, struct problem *p);
/* From now on schema_compile also compiles patterns, so that a pattern which PCRE2 refuses is
 * refused with its definition: for definitions that are being written. Bounded: patterns beyond
 * the first few megabytes wait until a value is checked against them. */
void schema_set_check_patterns(struct schema_set *s);
/* A definition by name, compiled on demand; NULL when there is none. */
const struct schema *schema_set_find(struct schema_set *s, const char *name, struct problem *p);
/* Memory of the set's life: zeroed, aligned; NULL when out of memory. Used by kinds for their
 * strings. */
void *schema_set_alloc(struct schema_set *s, size_t n);
char *schema_set_strdup(struct schema_set *s, const char *text);
/* v, which stays as long as the set; NULL when out of memory. */
const json_t *schema_set_hold(struct schema_set *s, const json_t *v);
/* A NULL-terminated vector from a JSON array of strings; NULL for none. */
int schema_set_strings(struct schema_set *s, const json_t *list, char ***ret);
