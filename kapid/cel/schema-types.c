/* Types made from a structural OpenAPI schema, with the sizes that estimates of cost count with.
 * The rules are Kubernetes': a node without a type that expressions know has no type at all, and
 * fields of such nodes are not there for expressions. Its estimates count keys of maps and whole
 * objects as if they had no size; so do these, or definitions that it takes would be refused. */
#include "kapid/cel/types.h"

enum {
        REQUEST_SIZE_MAX = 3 * 1024 * 1024, /* what Kubernetes counts with */
        SCHEMA_DEPTH_MAX = 100,
        STRING_SIZE_MIN = 2, /* "" */
        BOOL_SIZE_MIN = 4,
        NUMBER_SIZE_MIN = 1,
        DATE_SIZE = 12,
        DATE_TIME_SIZE_MIN = 21,
        DATE_TIME_SIZE_MAX = 32,
        DURATION_SIZE_MIN = 3,
        DURATION_SIZE_MAX = 32,
};

static int from_schema(struct cel_types *t, const json_t *schema, unsigned flags, unsigned depth,
                const struct cel_type **ret);

static uint64_t bound(const json_t *schema, const char *word, uint64_t otherwise) {
        const json_t *v = json_object_get(schema, word);

        if (json_is_integer(v))
                return (uint64_t)MAX(json_integer_value(v), (json_int_t)0);
        if (json_is_real(v))
                return json_real_value(v) < 0      ? 0
                       : json_real_value(v) > 1e15 ? (uint64_t)1e15
                                                   : (uint64_t)json_real_value(v);
        return otherwise;
}

static int simple(struct cel_types *t, const struct cel_type *like, uint64_t most,
                uint64_t json_min, struct cel_type **ret) {
        struct cel_type *n = cel_types_alloc(t, sizeof(*n));

        if (!n)
                return -ENOMEM;
        *n = *like;
        n->size_max = most;
        n->size_json_min = json_min;
        *ret = n;
        return 0;
}

/* The longest word of an enumeration as JSON. */
static uint64_t enum_length(const json_t *words) {
        size_t i, longest = 0;
        const json_t *v;

        json_array_foreach (words, i, v)
                if (json_is_string(v))
                        longest = MAX(longest, json_string_length(v));
        return longest + 2;
}

static int string_type(struct cel_types *t, const json_t *schema, struct cel_type **ret) {
        const char *format = json_str_or(schema, "format", "");
        const json_t *words = json_object_get(schema, "enum");
        uint64_t most = REQUEST_SIZE_MAX - 2;

        if (streq(format, "byte"))
                return simple(t, &cel_bytes_type, bound(schema, "maxLength", most), STRING_SIZE_MIN,
                                ret);
        if (streq(format, "duration"))
                return simple(t, &cel_duration_type, DURATION_SIZE_MAX, DURATION_SIZE_MIN, ret);
        if (streq(format, "date"))
                return simple(t, &cel_timestamp_type, DATE_SIZE, DATE_SIZE, ret);
        if (streq(format, "date-time"))
                return simple(t, &cel_timestamp_type, DATE_TIME_SIZE_MAX, DATE_TIME_SIZE_MIN, ret);
        if (json_object_get(schema, "maxLength"))
                /* Characters of up to four bytes. */
                most = MIN(bound(schema, "maxLength", 0), (uint64_t)1 << 50) * 4;
        else if (json_array_size(words) > 0)
                most = enum_length(words);
        return simple(t, &cel_string_type, most, STRING_SIZE_MIN, ret);
}

static int keys_of(struct cel_types *t, const json_t *words, char *const **ret) {
        size_t i, n = json_array_size(words);
        char **keys = cel_types_alloc(t, (n + 1) * sizeof(*keys));
        const json_t *v;

        if (!keys)
                return -ENOMEM;
        json_array_foreach (words, i, v) {
                keys[i] = cel_types_strndup(t, strempty(json_string_value(v)),
                                json_is_string(v) ? json_string_length(v) : 0);
                if (!keys[i])
                        return -ENOMEM;
        }
        *ret = keys;
        return 0;
}

static unsigned embedded_flag(const json_t *schema) {
        return json_is_true(json_object_get(schema, "x-kubernetes-embedded-resource"))
                               ? CEL_SCHEMA_ROOT
                               : 0;
}

static int list_type(
                struct cel_types *t, const json_t *schema, unsigned depth, struct cel_type **ret) {
        const json_t *items = json_object_get(schema, "items");
        const char *kind = json_str_or(schema, "x-kubernetes-list-type", "");
        const struct cel_type *item = NULL;
        struct cel_type *n;
        int r;

        if (!json_is_object(items))
                return 0;
        r = from_schema(t, items, embedded_flag(items), depth + 1, &item);
        if (r < 0 || !item)
                return r;
        r = simple(t, &cel_list_dyn_type,
                        bound(schema, "maxItems",
                                        (REQUEST_SIZE_MAX - 2) / (item->size_json_min + 1)),
                        2, &n);
        if (r < 0)
                return r;
        n->of[0] = item;
        if (streq(kind, "set"))
                n->list_kind = CEL_LIST_SET;
        if (streq(kind, "map")) {
                n->list_kind = CEL_LIST_KEYED;
                r = keys_of(t, json_object_get(schema, "x-kubernetes-list-map-keys"), &n->keys);
                if (r < 0)
                        return r;
        }
        *ret = n;
        return 0;
}

static int map_type(struct cel_types *t, const json_t *values, const json_t *schema, unsigned depth,
                struct cel_type **ret) {
        const struct cel_type *value = NULL;
        struct cel_type *n, *key;
        int r;

        r = from_schema(t, values, embedded_flag(values), depth + 1, &value);
        if (r < 0 || !value)
                return r;
        /* Keys of two quotes, a colon and a comma at least. */
        r = simple(t, &cel_map_dyn_type,
                        bound(schema, "maxProperties",
                                        (REQUEST_SIZE_MAX - 2) / (value->size_json_min + 6)),
                        2, &n);
        if (r < 0)
                return r;
        r = simple(t, &cel_string_type, 0, STRING_SIZE_MIN, &key);
        if (r < 0)
                return r;
        n->of[0] = key;
        n->of[1] = value;
        *ret = n;
        return 0;
}

static bool required_has(const json_t *schema, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(schema, "required"), i, v)
                if (streq_ptr(json_string_value(v), name))
                        return true;
        return false;
}

static int add_field(struct cel_types *t, struct cel_field *fields, size_t *count,
                const char *property, const struct cel_type *type, bool required) {
        const char *name = cel_escape(t, property);

        if (!name)
                return 0; /* expressions cannot name it */
        fields[*count].name = name;
        fields[*count].property = cel_types_strndup(t, property, strlen(property));
        fields[*count].type = type;
        fields[*count].required = required;
        if (!fields[*count].property)
                return -ENOMEM;
        (*count)++;
        return 0;
}

static int metadata_type(struct cel_types *t, const struct cel_type **ret) {
        static const char *const names[] = {"name", "generateName"};
        struct cel_field *fields = cel_types_alloc(t, ELEMENTS(names) * sizeof(*fields));
        struct cel_type *text;
        size_t count = 0;
        int r = 0;

        if (!fields || simple(t, &cel_string_type, REQUEST_SIZE_MAX - 2, STRING_SIZE_MIN, &text) <
                                        0)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(names) && r >= 0; i++)
                r = add_field(t, fields, &count, names[i], text, false);
        if (r < 0)
                return r;
        *ret = cel_object_type(t, "object", fields, count);
        return *ret ? 0 : -ENOMEM;
}

static int object_fields(struct cel_types *t, const json_t *schema, unsigned flags, unsigned depth,
                struct cel_field *fields, size_t *count, uint64_t *json_min) {
        const json_t *child;
        const char *name;

        json_object_each (json_object_get(schema, "properties"), name, child) {
                const struct cel_type *type = NULL;
                bool required = required_has(schema, name);
                int r;

                if ((flags & CEL_SCHEMA_ROOT) &&
                                (streq(name, "apiVersion") || streq(name, "kind") ||
                                                streq(name, "metadata")))
                        continue;
                r = from_schema(t, child, embedded_flag(child), depth + 1, &type);
                if (r < 0)
                        return r;
                if (!type)
                        continue;
                r = add_field(t, fields, count, name, type, required);
                if (r < 0)
                        return r;
                if (required && !json_object_get(child, "default"))
                        *json_min += strlen(name) + type->size_json_min + 4;
        }
        return 0;
}

static int root_fields(struct cel_types *t, struct cel_field *fields, size_t *count) {
        static const char *const words[] = {"apiVersion", "kind"};
        const struct cel_type *metadata = NULL;
        struct cel_type *text;
        int r;

        for (size_t i = 0; i < ELEMENTS(words); i++) {
                r = simple(t, &cel_string_type, REQUEST_SIZE_MAX - 2, STRING_SIZE_MIN, &text);
                if (r < 0)
                        return r;
                r = add_field(t, fields, count, words[i], text, false);
                if (r < 0)
                        return r;
        }
        r = metadata_type(t, &metadata);
        if (r < 0)
                return r;
        return add_field(t, fields, count, "metadata", metadata, false);
}

static int object_type(struct cel_types *t, const json_t *schema, unsigned flags, unsigned depth,
                struct cel_type **ret) {
        size_t count = 0, room = json_object_size(json_object_get(schema, "properties")) + 3;
        struct cel_field *fields = cel_types_alloc(t, room * sizeof(*fields));
        const struct cel_type *n;
        uint64_t json_min = 2;
        int r;

        if (!fields)
                return -ENOMEM;
        if (flags & CEL_SCHEMA_ROOT) {
                r = root_fields(t, fields, &count);
                if (r < 0)
                        return r;
        }
        r = object_fields(t, schema, flags, depth, fields, &count, &json_min);
        if (r < 0)
                return r;
        n = cel_object_type(t, "object", fields, count);
        if (!n)
                return -ENOMEM;
        return simple(t, n, 0, json_min, ret);
}

static int typed(struct cel_types *t, const json_t *schema, const char *type, unsigned flags,
                unsigned depth, struct cel_type **ret) {
        const json_t *values = json_object_get(schema, "additionalProperties");

        if (streq(type, "array"))
                return list_type(t, schema, depth, ret);
        if (streq(type, "object") && json_is_object(values))
                return map_type(t, values, schema, depth, ret);
        if (streq(type, "object"))
                return object_type(t, schema, flags, depth, ret);
        if (streq(type, "string"))
                return string_type(t, schema, ret);
        if (streq(type, "boolean"))
                return simple(t, &cel_bool_type, UINT64_MAX, BOOL_SIZE_MIN, ret);
        if (streq(type, "number"))
                return simple(t, &cel_double_type, UINT64_MAX, NUMBER_SIZE_MIN, ret);
        if (streq(type, "integer"))
                return simple(t, &cel_int_type, UINT64_MAX, NUMBER_SIZE_MIN, ret);
        return 0;
}

static int from_schema(struct cel_types *t, const json_t *schema, unsigned flags, unsigned depth,
                const struct cel_type **ret) {
        const char *type = json_str_or(schema, "type", "");
        struct cel_type *n = NULL;
        int r;

        if (depth > SCHEMA_DEPTH_MAX)
                return -E2BIG;
        if (json_is_true(json_object_get(schema, "x-kubernetes-int-or-string")))
                r = simple(t, &cel_dyn_type, REQUEST_SIZE_MAX - 2, 1, &n);
        else
                r = typed(t, schema, (flags & CEL_SCHEMA_ROOT) ? "object" : type, flags, depth, &n);
        if (r < 0)
                return r;
        if (n)
                n->nullable = json_is_true(json_object_get(schema, "nullable"));
        *ret = n;
        return 0;
}

int cel_type_from_schema(struct cel_types *t, const json_t *schema, unsigned flags,
                const struct cel_type **ret) {
        const struct cel_type *found = NULL;
        int r = from_schema(t, schema, flags, 0, &found);

        if (r < 0)
                return r;
        *ret = found;
        return 0;
}
