/* The walks over an object along its schema; kapid/pipeline/prepare.c puts them in order. All
 * recurse no deeper than the object, whose depth the parser bounds. */
#pragma once

#include "kapid/schema/findings.h"
#include "kapid/schema/schema.h"

/* State of one normalisation. */
struct normaliser {
        bool custom;     /* wrong types stay for validation; nulls of nullable fields stay */
        bool keep_nulls; /* custom: nulls that no field takes stay for validation to name */
        /* custom, for an apply: an object that is declared without fields, or is below one that
         * keeps unknown fields, may have any; *_kept says that one did, or that a null stayed that
         * a default replaces. */
        bool deduce, deduce_kept, deduce_below;
        /* Integers of built-in kinds may be written with a point or an exponent, as custom ones: in
           an apply and a strategic patch, which Kubernetes reads without types first. */
        bool takes_whole;
        char ***unknown; /* NULL, or a strv that gets `unknown field "spec.x"` */
        struct buf path;
        char *error;                /* a wrong type: path and what is wrong; owned */
        const struct schema *props; /* of JSONSchemaProps, when one was met */
};
/* Prunes unknown fields, drops nulls, makes quantities, times and integers canonical, in place.
 * -EINVAL with error set, -ENOMEM. Afterwards normaliser_done. */
int normalise(struct normaliser *n, const struct schema *s, json_t *object);
/* The same for one member of an object, which is an object and has a schema, alone. */
int normalise_member(struct normaliser *n, const struct schema *s, json_t *object, const char *key);
/* Labels, annotations, finalizers and owners that are empty are as good as absent: they are
 * removed, so that they have no owner. */
void metadata_drop_empty(json_t *object);
void normaliser_done(struct normaliser *n);
#define _cleanup_normaliser_ _cleanup_(normaliser_done)

/* Removes what is absent in all but its form (FIELD_OMITS_ZERO) and fills in the schema's defaults,
 * in place. */
int schema_default(const struct schema *s, json_t *object);
/* The object without such values, as one that an older version wrote may have them: itself where
 * there are none. A new reference; NULL when out of memory. */
json_t *schema_without_zeros(const struct schema *s, const json_t *object);
/* Whether a field with FIELD_OMITS_ZERO is as good as absent with that value. */
bool schema_is_zero(const json_t *v);
/* Whether normalise() of a custom kind (SETTLED_PRUNED) and schema_default() (SETTLED_DEFAULTS)
 * would surely leave the object as it is. False: they may not. */
enum settled { SETTLED_PRUNED = 1 << 0, SETTLED_DEFAULTS = 1 << 1 };
bool schema_is_settled(const struct schema *s, const json_t *object, unsigned what);
/* Whether each default of a CustomResourceDefinition's schema fits the schema that carries it;
 * the findings' path is the schema's. */
void schema_check_defaults(struct findings *f, const struct schema *s);

/* Types, required fields, ranges, enums, patterns, unique keys. */
void schema_validate(struct findings *f, const struct schema *s, const json_t *v);
/* The same but for what is as it was in old: it stays, though a definition that came since would
 * refuse it. Items are compared where lists have keys. old NULL: nothing was there. */
void schema_validate_update(
                struct findings *f, const struct schema *s, const json_t *v, const json_t *old);

/* Whether a short keyed list, or set, surely has no item twice. False: it may have, or is long. */
bool schema_has_no_twins(const struct schema *s, const json_t *list);

/* Calls func for every keyed list and set in an object; f's path is where the list stands. */
void schema_each_list(struct findings *f, const struct schema *s, const json_t *v,
                void (*func)(struct findings *f, const struct schema *s, const json_t *list,
                                void *userdata),
                void *userdata);
/* Duplicates in every keyed list and set: server-side apply refuses them where an update of a
 * built-in kind may bring them. */
void schema_check_duplicates(struct findings *f, const struct schema *s, const json_t *v);

/* Appends a warning for each item of a keyed list or set that stands twice where validation takes
 * that (lists of built-in kinds). -ENOMEM. */
int schema_warn_hidden(const struct schema *s, const json_t *object, char ***warnings);

/* `duplicate field "spec.x"` for each key that stands twice in an object of well-formed JSON text.
 */
int json_find_duplicates(const char *text, size_t n, char ***ret);

/* Whether the string, number or boolean is there on the wire only when it is set; schema: the name
 * of a definition. And the table of them, for tests: NULL past the end. */
bool protobuf_is_pointer(const char *schema, const char *field);
const char *protobuf_pointers(size_t i, const char **ret_fields);
/* Fields of JSONSchemaProps that are a schema or something else in JSON, and in protobuf a message
 * of two fields: {schema, list of schemas}, {whether anything is allowed, schema}, {schema, list of
 * names}. */
enum protobuf_union { UNION_NONE, UNION_ARRAY, UNION_BOOL, UNION_STRINGS };
enum protobuf_union protobuf_union_of(const struct schema *s);
bool protobuf_is_props(const struct schema *s);
/* Protobuf (docs/wire.md section 4) to JSON. Message bytes without the envelope. */
int protobuf_decode(
                const struct schema *s, const void *data, size_t n, json_t **ret, char **ret_error);
/* The envelope: checks the magic; apiVersion and kind are new strings, raw points into data. */
int protobuf_unwrap(const void *data, size_t n, char **ret_api_version, char **ret_kind,
                const void **ret_raw, size_t *ret_raw_size);
