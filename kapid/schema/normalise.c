/* One walk that makes an object what the schema says: unknown fields go, nulls go, quantities,
 * times and whole numbers take their canonical form. Wrong types end the walk for built-in kinds,
 * as typed decoding does; for custom kinds they are left for validation to name. */
#include <math.h>

#include "kapid/schema/format.h"
#include "kapid/schema/internal.h"
#include "lib/quantity.h"
#include "lib/timefmt.h"

#define NOT_BASE64 "illegal base64 data"

enum { UNKNOWN_MAX = 100 };

void normaliser_done(struct normaliser *n) {
        buf_done(&n->path);
        free(n->error);
        n->error = NULL;
}

static int walk(struct normaliser *n, const struct schema *s, json_t *v, json_t **ret_instead);

static int wrong_type(struct normaliser *n, const json_t *v, const char *wanted) {
        static const char *const names[] = {[JSON_OBJECT] = "object",
                        [JSON_ARRAY] = "array",
                        [JSON_STRING] = "string",
                        [JSON_INTEGER] = "number",
                        [JSON_REAL] = "number",
                        [JSON_TRUE] = "bool",
                        [JSON_FALSE] = "bool",
                        [JSON_NULL] = "null"};

        char real[JSON_REAL_SIZE] = "";
        bool whole = json_is_real(v) && number_is_whole(json_real_value(v));

        if (n->custom)
                return 0;
        if (json_is_real(v))
                json_real_text(json_real_value(v), real);
        free(n->error);
        n->error = strformat("json: cannot unmarshal %s%s%s%s into field %s of type %s",
                        names[json_typeof(v)], *real ? " " : "", real, whole ? ".0" : "",
                        n->path.size ? n->path.data : ".", wanted);
        return n->error ? -EINVAL : -ENOMEM;
}

static int bad_value(struct normaliser *n, const char *why) {
        if (n->custom)
                return 0;
        free(n->error);
        n->error = strformat("%s: %s", n->path.size ? n->path.data : ".", why);
        return n->error ? -EINVAL : -ENOMEM;
}

static size_t push(struct normaliser *n, const char *name) {
        size_t length = n->path.size;

        if (length > 0)
                buf_append_char(&n->path, '.');
        buf_append_str(&n->path, name);
        return length;
}

static void pop(struct normaliser *n, size_t length) {
        n->path.size = length;
        if (n->path.data)
                n->path.data[length] = 0;
}

static int note_unknown(struct normaliser *n, const char *key) {
        if (!n->unknown || strv_length(*n->unknown) >= UNKNOWN_MAX)
                return 0;
        _cleanup_free_ char *text = strformat("unknown field \"%s%s%s\"",
                        n->path.size ? n->path.data : "", n->path.size ? "." : "", key);

        return text ? strv_extend(n->unknown, text) : -ENOMEM;
}

/* The child's schema; NULL with *ret_known telling whether it is kept as it is or unknown. */
static const struct schema *child_of(
                struct normaliser *n, const struct schema *s, const char *key, bool *ret_known) {
        const struct schema *child = schema_child(s, key);

        *ret_known = child || s->flags & SCHEMA_PRESERVE_UNKNOWN || s->type == SCHEMA_ANY;
        if (!*ret_known && n->deduce && n->custom &&
                        (n->deduce_below || (s->field_count == 0 && !s->additional)))
                *ret_known = n->deduce_kept = true;
        return child;
}

/* Whether a null stays: where the schema takes one, or where an apply or a patch brings one for a
 * field that has no default, for validation to refuse. An apply owns fields by a null, too. */
static bool null_stays(struct normaliser *n, const struct schema *s, const char *key) {
        const struct schema_field *f = schema_field_find(s, key);
        const struct schema *cs = f ? f->schema : s->additional;

        if (!n->custom)
                return false;
        if (!cs || cs->flags & SCHEMA_NULLABLE || (cs->type == SCHEMA_ANY && n->keep_nulls))
                return true;
        if (!n->keep_nulls || n->path.size == 0 || startswith(n->path.data, "metadata"))
                return false;
        if (!f || !f->fallback)
                return true;
        n->deduce_kept |= n->deduce;
        return n->deduce;
}

/* Go decodes a null into a list's item or a map's value as the zero value of its type. NULL: there
 * is none here, or out of memory. */
static json_t *zero_of(const struct normaliser *n, const struct schema *s) {
        if (n->custom || !s)
                return NULL;
        switch (s->type) {
        case SCHEMA_OBJECT:
                return json_object();
        case SCHEMA_STRING:
                return json_string(s->format == FORMAT_QUANTITY ? "0" : "");
        case SCHEMA_INTEGER:
        case SCHEMA_INT_OR_STRING:
                return json_integer(0);
        case SCHEMA_BOOLEAN:
                return json_false();
        default:
                return NULL;
        }
}

/* A null that the object has: it stays, it goes, or the value of a map becomes zero. */
static int walk_null(struct normaliser *n, const struct schema *s, json_t *object, const char *key,
                const struct schema *cs) {
        json_t *zero = schema_field_find(s, key) ? NULL : zero_of(n, cs);

        if (zero)
                return json_object_set_new(object, key, zero) < 0 ? -ENOMEM : 0;
        if (!null_stays(n, s, key))
                json_object_del(object, key);
        return 0;
}

static int walk_members(struct normaliser *n, const struct schema *s, json_t *object) {
        const char *key;
        json_t *child;
        void *next;

        if (!n->custom && protobuf_is_props(s))
                n->props = s;
        json_object_foreach_safe(object, next, key, child) {
                bool known;
                const struct schema *cs = child_of(n, s, key, &known);
                json_t *instead = NULL;
                int r = 0;

                if (!known) {
                        r = note_unknown(n, key);
                        if (r < 0)
                                return r;
                        json_object_del(object, key);
                        continue;
                }
                if (!cs && !n->custom)
                        continue; /* what is kept as it is keeps its nulls */
                if (json_is_null(child)) {
                        r = walk_null(n, s, object, key, cs);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (!cs)
                        continue;
                size_t length = push(n, key);
                r = walk(n, cs, child, &instead);
                pop(n, length);
                if (r < 0)
                        return r;
                if (json_is_null(instead)) { /* a union of nothing */
                        json_decref(instead);
                        json_object_del(object, key);
                } else if (instead && json_object_set_new(object, key, instead) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int walk_object(struct normaliser *n, const struct schema *s, json_t *object) {
        bool below = n->deduce_below;
        int r;

        n->deduce_below |= (s->flags & SCHEMA_PRESERVE_UNKNOWN) != 0;
        r = walk_members(n, s, object);
        n->deduce_below = below;
        return r;
}

static int walk_array(struct normaliser *n, const struct schema *s, json_t *list) {
        json_t *child;
        size_t i;

        if (!s->items)
                return 0;
        json_array_foreach (list, i, child) {
                size_t length = n->path.size;
                json_t *instead = NULL;

                if (json_is_null(child) && (instead = zero_of(n, s->items))) {
                        if (json_array_set_new(list, i, instead) < 0)
                                return -ENOMEM;
                        continue;
                }
                buf_append_index(&n->path, i);
                int r = walk(n, s->items, child, &instead);
                pop(n, length);
                if (r < 0)
                        return r;
                if (instead && json_array_set_new(list, i, instead) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int canonical_quantity(struct normaliser *n, const json_t *v, json_t **ret) {
        _cleanup_free_ char *text = NULL, *canonical = NULL;

        if (json_is_string(v))
                text = strdup(json_string_value(v));
        else if (json_is_integer(v))
                text = strformat("%" JSON_INTEGER_FORMAT, json_integer_value(v));
        else if (json_is_real(v) && isfinite(json_real_value(v)))
                text = strformat("%.9f", json_real_value(v));
        else
                return wrong_type(n, v, "Quantity");
        if (!text)
                return -ENOMEM;
        int r = quantity_canonical(text, &canonical);
        if (r == -EINVAL)
                return bad_value(n, format_check(FORMAT_QUANTITY, "x"));
        if (r == -ERANGE)
                return bad_value(n, "the quantity is too large");
        if (r < 0)
                return r;
        if (json_is_string(v) && streq(json_string_value(v), canonical))
                return 0;
        *ret = json_string(canonical);
        return *ret ? 0 : -ENOMEM;
}

static int canonical_time(
                struct normaliser *n, const struct schema *s, const json_t *v, json_t **ret) {
        char buffer[TIMEFMT_SIZE];
        uint64_t t;

        if (!*json_string_value(v))
                return bad_value(n, "a time must not be empty");
        if (time_parse(json_string_value(v), &t) < 0)
                return bad_value(n, format_check(FORMAT_DATE_TIME, "x"));
        if (n->custom)
                return 0;
        const char *text = s->format == FORMAT_MICRO_TIME ? time_format_micro(t, buffer)
                                                          : time_format(t, buffer);
        if (streq(text, json_string_value(v)))
                return 0;
        *ret = json_string(text);
        return *ret ? 0 : -ENOMEM;
}

/* The bytes are what counts: the text is the one that everybody decodes. */
static int canonical_bytes(struct normaliser *n, const json_t *v, json_t **ret) {
        const char *text = json_string_value(v);
        size_t size = json_string_length(v), kept = 0, at;
        _cleanup_free_ char *copy = NULL;
        char last;

        if (n->custom)
                return base64_is_valid(text, size, NULL) ? 0 : bad_value(n, NOT_BASE64);
        copy = malloc(size + 1);
        if (!copy)
                return -ENOMEM;
        /* Go's decoder skips the line breaks of a text that was wrapped. */
        for (size_t i = 0; i < size; i++)
                if (text[i] != '\n' && text[i] != '\r')
                        copy[kept++] = text[i];
        copy[kept] = 0;
        if (!base64_is_valid(copy, kept, NULL))
                return bad_value(n, NOT_BASE64);
        last = base64_last(copy, kept, &at);
        if (last)
                copy[at] = last;
        if (kept == size && memcmp(copy, text, size) == 0)
                return 0;
        *ret = json_string(copy);
        return *ret ? 0 : -ENOMEM;
}

static int walk_string(
                struct normaliser *n, const struct schema *s, const json_t *v, json_t **ret) {
        if (s->format == FORMAT_QUANTITY)
                return canonical_quantity(n, v, ret);
        if (!json_is_string(v))
                return wrong_type(n, v, "string");
        if (s->format == FORMAT_DATE_TIME || s->format == FORMAT_MICRO_TIME)
                return canonical_time(n, s, v, ret);
        return s->format == FORMAT_BYTE ? canonical_bytes(n, v, ret) : 0;
}

static bool is_int32(json_int_t i) {
        return i >= INT32_MIN && i <= INT32_MAX;
}

static int walk_integer(
                struct normaliser *n, const struct schema *s, const json_t *v, json_t **ret) {
        if (json_is_real(v)) {
                double d = json_real_value(v);

                if (!number_is_whole(d) || !(n->custom || n->takes_whole))
                        return wrong_type(n, v, s->format == FORMAT_INT32 ? "int32" : "int64");
                *ret = json_integer((json_int_t)d);
                return *ret ? 0 : -ENOMEM;
        }
        if (!json_is_integer(v))
                return wrong_type(n, v, s->format == FORMAT_INT32 ? "int32" : "int64");
        if (s->format == FORMAT_INT32 && !is_int32(json_integer_value(v)))
                return wrong_type(n, v, "int32");
        return 0;
}

static int walk_int_or_string(struct normaliser *n, const json_t *v, json_t **ret) {
        json_int_t i = json_integer_value(v);

        if (json_is_string(v))
                return 0;
        if (json_is_real(v) && number_is_whole(json_real_value(v)) &&
                        (n->custom || n->takes_whole))
                i = (json_int_t)json_real_value(v);
        else if (!json_is_integer(v))
                return wrong_type(n, v, "IntOrString");
        if (!n->custom && !is_int32(i))
                return wrong_type(n, v, "int32");
        if (json_is_integer(v))
                return 0;
        *ret = json_integer(i);
        return *ret ? 0 : -ENOMEM;
}

static int walk_names(struct normaliser *n, const json_t *list) {
        const json_t *name;
        size_t i;

        json_array_foreach (list, i, name) {
                size_t length = n->path.size;

                if (json_is_string(name))
                        continue;
                buf_append_index(&n->path, i);
                int r = wrong_type(n, name, "string");
                pop(n, length);
                return r;
        }
        return 0;
}

/* A schema or something else, in a definition. Kubernetes reads it apart from the whole, so that
 * unknown fields go without a word; what it can not be counts as nothing, but for a schema or a
 * boolean. *ret_instead: null for nothing. */
static int walk_union(struct normaliser *n, enum protobuf_union form, json_t *v,
                json_t **ret_instead) {
        const struct schema list = {.type = SCHEMA_ARRAY, .items = n->props};
        char ***unknown = n->unknown;
        int r = 0;

        n->unknown = NULL;
        if (json_is_object(v))
                r = walk_object(n, n->props, v);
        else if (form == UNION_BOOL)
                r = json_is_boolean(v) ? 0 : bad_value(n, "boolean or JSON schema expected");
        else if (!json_is_array(v) || json_array_size(v) == 0)
                *ret_instead = json_null();
        else
                r = form == UNION_ARRAY ? walk_array(n, &list, v) : walk_names(n, v);
        n->unknown = unknown;
        return r;
}

static int walk_any(
                struct normaliser *n, const struct schema *s, json_t *v, json_t **ret_instead) {
        enum protobuf_union form = n->props ? protobuf_union_of(s) : UNION_NONE;

        if (form != UNION_NONE)
                return walk_union(n, form, v, ret_instead);
        return json_is_object(v) && (s->field_count > 0 || s->additional) ? walk_object(n, s, v)
                                                                          : 0;
}

/* *ret_instead: a value to put in the place of v, or untouched. */
static int walk(struct normaliser *n, const struct schema *s, json_t *v, json_t **ret_instead) {
        switch (s->type) {
        case SCHEMA_OBJECT:
                return json_is_object(v) ? walk_object(n, s, v)
                                         : wrong_type(n, v, s->additional ? "map" : "object");
        case SCHEMA_ARRAY:
                return json_is_array(v) ? walk_array(n, s, v) : wrong_type(n, v, "array");
        case SCHEMA_STRING:
                return walk_string(n, s, v, ret_instead);
        case SCHEMA_INTEGER:
                return walk_integer(n, s, v, ret_instead);
        case SCHEMA_NUMBER:
                return json_is_number(v) ? 0 : wrong_type(n, v, "number");
        case SCHEMA_BOOLEAN:
                return json_is_boolean(v) ? 0 : wrong_type(n, v, "bool");
        case SCHEMA_INT_OR_STRING:
                return walk_int_or_string(n, v, ret_instead);
        default:
                return walk_any(n, s, v, ret_instead);
        }
}

void metadata_drop_empty(json_t *object) {
        static const char *const keys[] = {
                        "labels", "annotations", "finalizers", "ownerReferences"};
        json_t *metadata = json_object_get(object, "metadata");

        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                const json_t *v = json_object_get(metadata, keys[i]);

                if ((json_is_object(v) && json_object_size(v) == 0) ||
                                (json_is_array(v) && json_array_size(v) == 0))
                        json_object_del(metadata, keys[i]);
        }
}

int normalise(struct normaliser *n, const struct schema *s, json_t *object) {
        json_t *instead = NULL;
        int r = walk(n, s, object, &instead);

        json_decref(instead); /* only scalars are replaced; an object is none */
        metadata_drop_empty(object);
        return r;
}

int normalise_member(
                struct normaliser *n, const struct schema *s, json_t *object, const char *key) {
        size_t length = push(n, key);
        json_t *instead = NULL;
        int r = walk(n, schema_child(s, key), json_object_get(object, key), &instead);

        json_decref(instead);
        pop(n, length);
        return r;
}
