/* One walk that makes an object what the schema says: unknown fields go, nulls go, quantities,
 * times and whole numbers take their canonical form. Wrong types end the walk for built-in kinds,
 * as typed decoding does; for custom kinds they are left for validation to name. */
#include <math.h>

#include "kapid/schema/format.h"
#include "kapid/schema/internal.h"
#include "lib/quantity.h"
#include "lib/timefmt.h"

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

        if (n->custom)
                return 0;
        free(n->error);
        n->error = strformat("json: cannot unmarshal %s into field %s of type %s",
                        names[json_typeof(v)], n->path.size ? n->path.data : ".", wanted);
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
static const struct schema *child_of(const struct schema *s, const char *key, bool *ret_known) {
        const struct schema *child = schema_child(s, key);

        *ret_known = child || s->flags & SCHEMA_PRESERVE_UNKNOWN || s->type == SCHEMA_ANY;
        return child;
}

/* Whether a null stays: where the schema takes one, or where an apply or a patch brings one for a
 * field that has no default, for validation to refuse. */
static bool null_stays(const struct normaliser *n, const struct schema *s, const char *key) {
        const struct schema_field *f = schema_field_find(s, key);
        const struct schema *cs = f ? f->schema : s->additional;

        if (!n->custom)
                return false;
        if (!cs || cs->flags & SCHEMA_NULLABLE || cs->type == SCHEMA_ANY)
                return true;
        return n->keep_nulls && !(f && f->fallback) && n->path.size > 0 &&
               !startswith(n->path.data, "metadata");
}

static int walk_object(struct normaliser *n, const struct schema *s, json_t *object) {
        const char *key;
        json_t *child;
        void *next;

        json_object_foreach_safe(object, next, key, child) {
                bool known;
                const struct schema *cs = child_of(s, key, &known);
                json_t *instead = NULL;
                int r = 0;

                if (!known) {
                        r = note_unknown(n, key);
                        if (r < 0)
                                return r;
                        json_object_del(object, key);
                        continue;
                }
                if (json_is_null(child)) {
                        if (!null_stays(n, s, key))
                                json_object_del(object, key);
                        continue;
                }
                if (!cs)
                        continue;
                size_t length = push(n, key);
                r = walk(n, cs, child, &instead);
                pop(n, length);
                if (r < 0)
                        return r;
                if (instead && json_object_set_new(object, key, instead) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int walk_array(struct normaliser *n, const struct schema *s, json_t *list) {
        json_t *child;
        size_t i;

        if (!s->items)
                return 0;
        json_array_foreach (list, i, child) {
                size_t length = n->path.size;
                json_t *instead = NULL;

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
        size_t size = json_string_length(v), at;
        char last;

        if (!base64_is_valid(text, size, NULL))
                return bad_value(n, "illegal base64 data");
        last = n->custom ? 0 : base64_last(text, size, &at);
        if (!last || text[at] == last)
                return 0;
        _cleanup_free_ char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        copy[at] = last;
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

static int walk_integer(
                struct normaliser *n, const struct schema *s, const json_t *v, json_t **ret) {
        if (json_is_real(v)) {
                double d = json_real_value(v);

                if (!number_is_whole(d))
                        return wrong_type(n, v, s->format == FORMAT_INT32 ? "int32" : "int64");
                *ret = json_integer((json_int_t)d);
                return *ret ? 0 : -ENOMEM;
        }
        if (!json_is_integer(v))
                return wrong_type(n, v, s->format == FORMAT_INT32 ? "int32" : "int64");
        json_int_t i = json_integer_value(v);
        if (s->format == FORMAT_INT32 && (i > INT32_MAX || i < INT32_MIN))
                return wrong_type(n, v, "int32");
        return 0;
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
                if (json_is_real(v) && number_is_whole(json_real_value(v))) {
                        *ret_instead = json_integer((json_int_t)json_real_value(v));
                        return *ret_instead ? 0 : -ENOMEM;
                }
                return json_is_integer(v) || json_is_string(v) ? 0
                                                               : wrong_type(n, v, "IntOrString");
        default:
                return json_is_object(v) && (s->field_count > 0 || s->additional)
                                       ? walk_object(n, s, v)
                                       : 0;
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
