/* Compiles schema documents into nodes. The set is an arena: strings, vectors and nodes live in its
 * blocks, JSON values and patterns are listed for the end. Definitions are registered
 * before they are filled, so that they may refer to themselves (JSONSchemaProps). */
#include "kapid/schema/schema.h"

#include "kapid/schema/format.h"
#include "kapid/schema/pattern.h"
#include "lib/map.h"

enum { BLOCK_SIZE = 32 * 1024, COMPILE_DEPTH_MAX = 60, CHECKED_BYTES_MAX = 8 << 20 };

struct block {
        struct block *next;
        size_t used, size;
        max_align_t data[];
};

struct held_json {
        struct held_json *next;
        json_t *value;
};

struct held_pattern {
        struct held_pattern *next;
        struct pattern *pattern;
};

struct schema_set {
        struct block *blocks;
        struct held_json *jsons;
        struct held_pattern *patterns;
        struct pattern_cache *pattern_cache; /* of the set without parent, for all below it */
        bool check_patterns;
        size_t checked_bytes;
        struct map *compiled; /* name -> struct schema */
        json_t *pending;      /* name -> document; NULL once sealed */
        struct schema_set *parent;
};

static const char *const format_names[] = {
                [FORMAT_INT32] = "int32",
                [FORMAT_INT64] = "int64",
                [FORMAT_BYTE] = "byte",
                [FORMAT_DATE_TIME] = "date-time",
                [FORMAT_MICRO_TIME] = "micro-time",
                [FORMAT_QUANTITY] = "quantity",
                [FORMAT_DURATION] = "duration",
                [FORMAT_DNS1123_LABEL] = "dns1123-label",
                [FORMAT_DNS1123_SUBDOMAIN] = "dns1123-subdomain",
                [FORMAT_DNS1035_LABEL] = "dns1035-label",
                [FORMAT_QUALIFIED_NAME] = "qualified-name",
                [FORMAT_LABEL_VALUE] = "label-value",
                [FORMAT_PORT_NAME] = "port-name",
                [FORMAT_IP] = "ip",
                [FORMAT_UUID] = "uuid",
                [FORMAT_CONFIG_KEY] = "config-key",
                [FORMAT_OTHER] = NULL,
};

static const char *const type_names[] = {
                [SCHEMA_OBJECT] = "object",
                [SCHEMA_ARRAY] = "array",
                [SCHEMA_STRING] = "string",
                [SCHEMA_INTEGER] = "integer",
                [SCHEMA_NUMBER] = "number",
                [SCHEMA_BOOLEAN] = "boolean",
                [SCHEMA_INT_OR_STRING] = NULL,
};

const char *schema_format_name(enum schema_format f) {
        return (size_t)f < ELEMENTS(format_names) ? format_names[f]
                                                  : format_custom_name((uint8_t)f);
}

const char *schema_type_name(enum schema_type t) {
        return (size_t)t < ELEMENTS(type_names) ? type_names[t] : NULL;
}

int schema_set_new(struct schema_set **ret, const struct schema_set *parent) {
        struct schema_set *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->parent = (struct schema_set *)parent;
        s->compiled = map_new(NULL);
        s->pending = json_object();
        s->pattern_cache = parent ? NULL : pattern_cache_new();
        if (!s->compiled || !s->pending || (!parent && !s->pattern_cache)) {
                schema_set_free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

struct schema_set *schema_set_free(struct schema_set *s) {
        if (!s)
                return NULL;
        for (struct held_json *j = s->jsons; j; j = j->next)
                json_decref(j->value);
        for (struct held_pattern *p = s->patterns; p; p = p->next)
                pattern_free(p->pattern);
        pattern_cache_free(s->pattern_cache);
        for (struct block *b = s->blocks, *next; b; b = next) {
                next = b->next;
                free(b);
        }
        map_free(s->compiled);
        json_decref(s->pending);
        free(s);
        return NULL;
}

void schema_set_check_patterns(struct schema_set *s) {
        s->check_patterns = true;
}

void *schema_set_alloc(struct schema_set *s, size_t n) {
        struct block *b = s->blocks;
        void *p;

        n = (n + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
        if (!b || b->size - b->used < n) {
                size_t size = MAX(n, (size_t)BLOCK_SIZE);

                b = calloc(1, sizeof(*b) + size);
                if (!b)
                        return NULL;
                b->size = size;
                b->next = s->blocks;
                s->blocks = b;
        }
        p = (char *)b->data + b->used;
        b->used += n;
        return p;
}

char *schema_set_strdup(struct schema_set *s, const char *text) {
        size_t n = strlen(text) + 1;
        char *p = schema_set_alloc(s, n);

        return p ? memcpy(p, text, n) : NULL;
}

int schema_set_strings(struct schema_set *s, const json_t *list, char ***ret) {
        size_t n = json_array_size(list), used = 0;
        const json_t *item;
        char **v = NULL;
        size_t i;

        if (n > 0) {
                v = schema_set_alloc(s, (n + 1) * sizeof(*v));
                if (!v)
                        return -ENOMEM;
                json_array_foreach (list, i, item) {
                        if (!json_is_string(item))
                                continue;
                        v[used] = schema_set_strdup(s, json_string_value(item));
                        if (!v[used++])
                                return -ENOMEM;
                }
        }
        *ret = v;
        return 0;
}

int schema_set_define(struct schema_set *s, json_t *definitions) {
        assert(s->pending);
        return json_object_update(s->pending, definitions) < 0 ? -ENOMEM : 0;
}

void schema_set_seal(struct schema_set *s) {
        json_decref(s->pending);
        s->pending = NULL;
}

const json_t *schema_set_hold(struct schema_set *s, const json_t *v) {
        struct held_json *h = schema_set_alloc(s, sizeof(*h));

        if (!h)
                return NULL;
        h->value = json_incref((json_t *)v);
        h->next = s->jsons;
        s->jsons = h;
        return v;
}

/* One compilation under way. */
struct compiler {
        struct schema_set *set;
        bool custom; /* a user's document: structural, x-keelson extensions are ignored */
        struct problem *problem;
};

static int refuse(struct compiler *c, const char *path, const char *why) {
        _cleanup_free_ char *message = strformat("%s: Invalid value: %s", path, why);

        problem_set(c->problem, EINVAL, 422, "Invalid", "%s", strempty(message));
        problem_field(c->problem, 0, "%s", path);
        problem_cause(c->problem, "FieldValueInvalid", path, why);
        return -EINVAL;
}

static int compile_node(struct compiler *c, const json_t *doc, bool structural, const char *path,
                unsigned depth, const struct schema **ret);

static int find_definition(struct compiler *c, const char *name, const char *path, unsigned depth,
                const struct schema **ret) {
        for (struct schema_set *s = c->set; s; s = s->parent) {
                const struct schema *found = map_get(s->compiled, name);
                const json_t *doc;
                struct schema *node;

                if (found) {
                        *ret = found;
                        return 0;
                }
                doc = s->pending ? json_object_get(s->pending, name) : NULL;
                if (!doc)
                        continue;
                node = schema_set_alloc(s, sizeof(*node));
                if (!node || !(node->name = schema_set_strdup(s, name)) ||
                                map_set(s->compiled, name, node) < 0)
                        return -ENOMEM;
                const char *own_name = node->name;
                struct compiler inner = {.set = s, .problem = c->problem};
                const struct schema *filled;
                int r = compile_node(&inner, doc, true, name, depth + 1, &filled);
                if (r < 0)
                        return r;
                *node = *filled;
                node->name = own_name;
                *ret = node;
                return 0;
        }
        return refuse(c, path, "$ref names no definition");
}

static int compile_type(struct compiler *c, const json_t *doc, struct schema *s, const char *path) {
        const char *type = json_string_value(json_object_get(doc, "type"));
        const char *format = json_string_value(json_object_get(doc, "format"));

        if (json_is_true(json_object_get(doc, "x-kubernetes-int-or-string")))
                s->type = SCHEMA_INT_OR_STRING;
        else if (type) {
                for (size_t i = SCHEMA_OBJECT; i <= SCHEMA_BOOLEAN; i++)
                        if (streq(type, type_names[i]))
                                s->type = (uint8_t)i;
                if (s->type == SCHEMA_ANY)
                        return refuse(c, path,
                                        "type must be one of object, array, string, integer, "
                                        "number, boolean");
        }
        if (format && c->custom && !startswith(format, "int")) {
                s->format = format_custom_find(format);
        } else if (format) {
                s->format = FORMAT_OTHER;
                for (size_t i = FORMAT_INT32; i < FORMAT_OTHER; i++)
                        if (streq(format, format_names[i]))
                                s->format = (uint8_t)i;
        }
        return 0;
}

static int compile_extensions(
                struct compiler *c, const json_t *doc, struct schema *s, const char *path) {
        const char *list = json_string_value(json_object_get(doc, "x-kubernetes-list-type"));
        const char *map = json_string_value(json_object_get(doc, "x-kubernetes-map-type"));
        const char *key = json_string_value(json_object_get(doc, "x-kubernetes-patch-merge-key"));
        const char *description = json_string_value(json_object_get(doc, "description"));

        if (json_is_true(json_object_get(doc, "x-kubernetes-preserve-unknown-fields")))
                s->flags |= SCHEMA_PRESERVE_UNKNOWN;
        if (json_is_true(json_object_get(doc, "x-kubernetes-embedded-resource")))
                s->flags |= SCHEMA_EMBEDDED_RESOURCE;
        if (json_is_true(json_object_get(doc, "nullable")))
                s->flags |= SCHEMA_NULLABLE;
        if (c->custom || json_is_true(json_object_get(doc, "x-keelson-unique-keys")))
                s->flags |= SCHEMA_UNIQUE_KEYS;
        if (map && streq(map, "atomic"))
                s->flags |= SCHEMA_MAP_ATOMIC;
        if (list) {
                s->flags |= SCHEMA_LIST_TYPE_GIVEN;
                s->list = streq(list, "set")   ? LIST_SET
                          : streq(list, "map") ? LIST_MAP
                                               : LIST_ATOMIC;
        }
        if (schema_set_strings(c->set, json_object_get(doc, "x-kubernetes-list-map-keys"),
                            (char ***)&s->map_keys) < 0)
                return -ENOMEM;
        if (s->list == LIST_MAP && !s->map_keys)
                return refuse(c, path,
                                "x-kubernetes-list-type map needs x-kubernetes-list-map-keys");
        if (key && !(s->merge_key = schema_set_strdup(c->set, key)))
                return -ENOMEM;
        if (description && !(s->description = schema_set_strdup(c->set, description)))
                return -ENOMEM;
        return 0;
}

static void bound_number(
                const json_t *doc, const char *key, unsigned bit, unsigned *bits, double *ret) {
        const json_t *v = json_object_get(doc, key);

        if (json_is_number(v)) {
                *ret = json_number_value(v);
                *bits |= bit;
        }
}

static void bound_size(
                const json_t *doc, const char *key, unsigned bit, unsigned *bits, size_t *ret) {
        const json_t *v = json_object_get(doc, key);

        if (json_is_integer(v) && json_integer_value(v) >= 0) {
                *ret = (size_t)json_integer_value(v);
                *bits |= bit;
        }
}

static int compile_alternatives(struct compiler *c, const json_t *list, const char *path,
                const char *word, unsigned depth, const struct schema *const **ret) {
        size_t n = json_array_size(list);
        const struct schema **v;
        const json_t *doc;
        size_t i;

        if (n == 0)
                return 0;
        v = schema_set_alloc(c->set, (n + 1) * sizeof(*v));
        if (!v)
                return -ENOMEM;
        json_array_foreach (list, i, doc) {
                _cleanup_free_ char *at = strformat("%s.%s[%zu]", path, word, i);
                int r = at ? compile_node(c, doc, false, at, depth + 1, &v[i]) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        *ret = v;
        return 0;
}

static int compile_pattern(struct compiler *c, const char *pattern, struct schema_rules *rules,
                const char *path) {
        struct held_pattern *h = schema_set_alloc(c->set, sizeof(*h));
        struct schema_set *set = c->set, *root = set;
        _cleanup_free_ char *error = NULL, *at = strformat("%s.pattern", path), *why = NULL;

        if (!h || !at)
                return -ENOMEM;
        while (root->parent)
                root = root->parent;
        int r = pattern_new(&h->pattern, root->pattern_cache, pattern, &error);
        if (r >= 0) {
                h->next = set->patterns;
                set->patterns = h;
                if (set->check_patterns && set->checked_bytes < CHECKED_BYTES_MAX)
                        r = pattern_compile(h->pattern, &set->checked_bytes, &error);
        }
        if (r == -EINVAL) {
                why = strformat("must be a valid regular expression, but isn't: %s",
                                strempty(error));
                return refuse(c, at, strempty(why));
        }
        if (r < 0)
                return r;
        rules->pattern = h->pattern;
        return 0;
}

static int compile_rules(struct compiler *c, const json_t *doc, struct schema *s, const char *path,
                unsigned depth) {
        const char *pattern = json_string_value(json_object_get(doc, "pattern"));
        const json_t *enumeration = json_object_get(doc, "enum"),
                     *not = json_object_get(doc, "not");
        struct schema_rules rules = {0}, *kept;
        unsigned *b = &rules.bounds;
        int r;

        bound_number(doc, "minimum", BOUND_MINIMUM, b, &rules.minimum);
        bound_number(doc, "maximum", BOUND_MAXIMUM, b, &rules.maximum);
        bound_number(doc, "multipleOf", BOUND_MULTIPLE_OF, b, &rules.multiple_of);
        bound_size(doc, "minLength", BOUND_MIN_LENGTH, b, &rules.length_min);
        bound_size(doc, "maxLength", BOUND_MAX_LENGTH, b, &rules.length_max);
        bound_size(doc, "minItems", BOUND_MIN_ITEMS, b, &rules.items_min);
        bound_size(doc, "maxItems", BOUND_MAX_ITEMS, b, &rules.items_max);
        bound_size(doc, "minProperties", BOUND_MIN_PROPERTIES, b, &rules.properties_min);
        bound_size(doc, "maxProperties", BOUND_MAX_PROPERTIES, b, &rules.properties_max);
        if (json_is_true(json_object_get(doc, "exclusiveMinimum")))
                *b |= BOUND_EXCLUSIVE_MINIMUM;
        if (json_is_true(json_object_get(doc, "exclusiveMaximum")))
                *b |= BOUND_EXCLUSIVE_MAXIMUM;
        if (json_is_true(json_object_get(doc, "uniqueItems")))
                *b |= BOUND_UNIQUE_ITEMS;
        if (json_array_size(enumeration) > 0 &&
                        !(rules.enumeration = schema_set_hold(c->set, enumeration)))
                return -ENOMEM;
        if (!isempty(pattern) && (r = compile_pattern(c, pattern, &rules, path)) < 0)
                return r;
        if ((r = compile_alternatives(c, json_object_get(doc, "allOf"), path, "allOf", depth,
                             &rules.all_of)) < 0 ||
                        (r = compile_alternatives(c, json_object_get(doc, "anyOf"), path, "anyOf",
                                         depth, &rules.any_of)) < 0 ||
                        (r = compile_alternatives(c, json_object_get(doc, "oneOf"), path, "oneOf",
                                         depth, &rules.one_of)) < 0)
                return r;
        if (not &&(r = compile_node(c, not, false, path, depth + 1, &rules.not )) < 0)
                return r;
        if (!rules.bounds && !rules.enumeration && !rules.pattern && !rules.all_of &&
                        !rules.any_of && !rules.one_of && !rules.not )
                return 0;
        kept = schema_set_alloc(c->set, sizeof(*kept));
        if (!kept)
                return -ENOMEM;
        *kept = rules;
        s->rules = kept;
        return 0;
}

static int compile_field(struct compiler *c, const char *name, const json_t *doc, bool structural,
                const char *path, unsigned depth, struct schema_field *f) {
        const char *strategy =
                        json_string_value(json_object_get(doc, "x-kubernetes-patch-strategy"));
        const char *description = json_string_value(json_object_get(doc, "description"));
        const json_t *fallback = json_object_get(doc, "default");
        const json_t *number = json_object_get(doc, "x-protobuf");
        _cleanup_free_ char *at = strformat("%s.properties[%s]", path, name);
        int r;

        if (!at || !(f->name = schema_set_strdup(c->set, name)))
                return -ENOMEM;
        r = compile_node(c, doc, structural, at, depth + 1, &f->schema);
        if (r < 0)
                return r;
        if (fallback && !(f->fallback = schema_set_hold(c->set, fallback)))
                return -ENOMEM;
        if (description && f->schema->description && !streq(description, f->schema->description) &&
                        !(f->description = schema_set_strdup(c->set, description)))
                return -ENOMEM;
        if (description && !f->schema->description &&
                        !(f->description = schema_set_strdup(c->set, description)))
                return -ENOMEM;
        if (strategy && strstr(strategy, "merge"))
                f->flags |= FIELD_PATCH_MERGE;
        if (strategy && strstr(strategy, "retainKeys"))
                f->flags |= FIELD_PATCH_RETAIN_KEYS;
        if (!c->custom && json_is_integer(number))
                f->protobuf = (uint16_t)json_integer_value(number);
        else if (!c->custom && json_array_size(number) == 2) {
                f->protobuf_outer = (uint16_t)json_integer_value(json_array_get(number, 0));
                f->protobuf = (uint16_t)json_integer_value(json_array_get(number, 1));
        } else if (!c->custom && json_array_size(number) == 3) {
                f->protobuf_outer = (uint16_t)(json_integer_value(json_array_get(number, 0)) << 8 |
                                               json_integer_value(json_array_get(number, 1)));
                f->protobuf = (uint16_t)json_integer_value(json_array_get(number, 2));
        }
        return 0;
}

/* Fields that Kubernetes' own types leave out of an object when they have their zero value. */
static void mark_omitted(struct compiler *c, const json_t *names, struct schema_field *f) {
        const json_t *name;
        size_t i;

        json_array_foreach (c->custom ? NULL : names, i, name)
                if (streq(strempty(json_string_value(name)), f->name))
                        f->flags |= FIELD_OMITS_ZERO;
}

static int compare_fields(const void *a, const void *b) {
        return strcmp(((const struct schema_field *)a)->name,
                        ((const struct schema_field *)b)->name);
}

static int compile_fields(struct compiler *c, const json_t *doc, bool structural, struct schema *s,
                const char *path, unsigned depth) {
        const json_t *properties = json_object_get(doc, "properties");
        const json_t *required = json_object_get(doc, "required");
        size_t n = json_object_size(properties) + json_array_size(required), used = 0;
        struct schema_field *fields;
        const json_t *item;
        const char *name;
        json_t *child;
        size_t i;

        if (n == 0)
                return 0;
        fields = schema_set_alloc(c->set, n * sizeof(*fields));
        if (!fields)
                return -ENOMEM;
        json_object_foreach ((json_t *)properties, name, child) {
                int r = compile_field(c, name, child, structural, path, depth, &fields[used]);

                if (r < 0)
                        return r;
                mark_omitted(c, json_object_get(doc, "x-keelson-omits"), &fields[used++]);
        }
        qsort(fields, used, sizeof(*fields), compare_fields);
        json_array_foreach (required, i, item) {
                const char *word = json_string_value(item);
                size_t at = 0;

                while (word && at < used && !streq(fields[at].name, word))
                        at++;
                if (!word)
                        continue;
                if (at == used) {
                        static const struct schema anything = {.flags = SCHEMA_PRESERVE_UNKNOWN};

                        /* Required without being described: allowed in value validations. */
                        fields[used].name = schema_set_strdup(c->set, word);
                        fields[used++].schema = &anything;
                        if (!fields[at].name)
                                return -ENOMEM;
                }
                fields[at].flags |= FIELD_REQUIRED;
        }
        qsort(fields, used, sizeof(*fields), compare_fields);
        s->fields = fields;
        s->field_count = used;
        return 0;
}

/* ObjectMeta, with what the definition itself says about the name. It may say nothing else. */
static int compile_metadata(struct compiler *c, const struct schema *own, unsigned depth,
                const struct schema **ret) {
        static const char *const names[] = {"name", "generateName"};
        const struct schema *metadata;
        struct schema_field *fields;
        struct schema *copy;
        int r = find_definition(c, "meta.v1.ObjectMeta", "", depth, &metadata);

        if (r < 0)
                return r;
        *ret = metadata;
        if (!own || (!schema_field_find(own, names[0]) && !schema_field_find(own, names[1])))
                return 0;
        copy = schema_set_alloc(c->set, sizeof(*copy));
        fields = schema_set_alloc(c->set, metadata->field_count * sizeof(*fields));
        if (!copy || !fields)
                return -ENOMEM;
        *copy = *metadata;
        copy->fields = fields;
        for (size_t i = 0; i < metadata->field_count; i++) {
                const struct schema_field *f = NULL;

                fields[i] = metadata->fields[i];
                for (size_t k = 0; k < ELEMENTS(names) && !f; k++)
                        if (streq(fields[i].name, names[k]))
                                f = schema_field_find(own, names[k]);
                if (f)
                        fields[i].schema = f->schema;
        }
        *ret = copy;
        return 0;
}

/* apiVersion, kind and metadata of a custom resource's root or an embedded object. */
static int add_type_and_metadata(struct compiler *c, struct schema *s, unsigned depth) {
        static const struct schema string = {.type = SCHEMA_STRING};
        static const char *const names[] = {"apiVersion", "kind", "metadata"};
        struct schema_field *fields =
                        schema_set_alloc(c->set, (s->field_count + 3) * sizeof(*fields));
        const struct schema_field *own = schema_field_find(s, "metadata");
        size_t used = 0;

        if (!fields)
                return -ENOMEM;
        for (size_t i = 0; i < s->field_count; i++)
                if (!streq(s->fields[i].name, "apiVersion") && !streq(s->fields[i].name, "kind") &&
                                !streq(s->fields[i].name, "metadata"))
                        fields[used++] = s->fields[i];
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                fields[used].name = names[i];
                fields[used].schema = &string;
                if (i == 2) {
                        int r = compile_metadata(
                                        c, own ? own->schema : NULL, depth, &fields[used].schema);

                        if (r < 0)
                                return r;
                }
                used++;
        }
        qsort(fields, used, sizeof(*fields), compare_fields);
        s->fields = fields;
        s->field_count = used;
        return 0;
}

static int compile_children(struct compiler *c, const json_t *doc, bool structural,
                struct schema *s, const char *path, unsigned depth) {
        const json_t *items = json_object_get(doc, "items"),
                     *more = json_object_get(doc, "additionalProperties");
        int r = compile_fields(c, doc, structural, s, path, depth);

        if (r < 0)
                return r;
        if (json_is_object(items)) {
                _cleanup_free_ char *at = strformat("%s.items", path);

                r = at ? compile_node(c, items, structural, at, depth + 1, &s->items) : -ENOMEM;
        } else if (s->type == SCHEMA_ARRAY && structural && c->custom)
                return refuse(c, path, "items must be given for an array");
        if (r >= 0 && json_is_object(more)) {
                _cleanup_free_ char *at = strformat("%s.additionalProperties", path);

                if (json_object_size(json_object_get(doc, "properties")) > 0 && c->custom)
                        return refuse(c, path,
                                        "additionalProperties and properties exclude each other");
                r = at ? compile_node(c, more, structural, at, depth + 1, &s->additional) : -ENOMEM;
        } else if (json_is_true(more))
                s->flags |= SCHEMA_PRESERVE_UNKNOWN;
        return r;
}

static int compile_node(struct compiler *c, const json_t *doc, bool structural, const char *path,
                unsigned depth, const struct schema **ret) {
        const char *ref = json_string_value(json_object_get(doc, "$ref"));
        const json_t *fallback = json_object_get(doc, "default");
        struct schema *s;
        int r;

        if (!json_is_object(doc))
                return refuse(c, path, "a schema must be an object");
        if (depth > COMPILE_DEPTH_MAX)
                return refuse(c, path, "the schema is nested too deeply");
        if (ref)
                return c->custom ? refuse(c, path, "$ref is not allowed")
                                 : find_definition(c, ref, path, depth, ret);
        s = schema_set_alloc(c->set, sizeof(*s));
        if (!s)
                return -ENOMEM;
        if ((r = compile_type(c, doc, s, path)) < 0 ||
                        (r = compile_extensions(c, doc, s, path)) < 0 ||
                        (r = compile_rules(c, doc, s, path, depth)) < 0 ||
                        (r = compile_children(c, doc, structural, s, path, depth)) < 0)
                return r;
        if (c->custom && structural && s->type == SCHEMA_ANY &&
                        !(s->flags & SCHEMA_PRESERVE_UNKNOWN))
                return refuse(c, path, "type must be given: the schema is not structural");
        if (fallback && !(s->fallback = schema_set_hold(c->set, fallback)))
                return -ENOMEM;
        if (s->flags & SCHEMA_EMBEDDED_RESOURCE)
                r = add_type_and_metadata(c, s, depth);
        *ret = s;
        return r;
}

int schema_compile(struct schema_set *s, const json_t *document, bool as_custom_root,
                const char *path, const struct schema **ret, struct problem *p) {
        struct compiler c = {.set = s, .custom = as_custom_root, .problem = p};
        const struct schema *node;
        int r = compile_node(&c, document, true, path, 0, &node);

        if (r < 0)
                return r == -ENOMEM ? problem_set(p, ENOMEM, 500, "InternalError", "out of memory")
                                    : r;
        if (as_custom_root) {
                if (node->type != SCHEMA_OBJECT)
                        return refuse(&c, path, "type must be object at the root");
                r = add_type_and_metadata(&c, (struct schema *)node, 0);
                if (r < 0)
                        return r;
        }
        *ret = node;
        return 0;
}

const struct schema *schema_set_find(struct schema_set *s, const char *name, struct problem *p) {
        struct compiler c = {.set = s, .problem = p};
        const struct schema *found = NULL;

        return find_definition(&c, name, name, 0, &found) < 0 ? NULL : found;
}

const struct schema_field *schema_field_find(const struct schema *s, const char *name) {
        size_t low = 0, high = s->field_count;

        while (low < high) {
                size_t middle = (low + high) / 2;
                const char *other = s->fields[middle].name;
                int order = (unsigned char)*name - (unsigned char)*other;

                if (order == 0)
                        order = strcmp(name, other);
                if (order == 0)
                        return &s->fields[middle];
                if (order < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

const struct schema *schema_child(const struct schema *s, const char *key) {
        const struct schema_field *f = schema_field_find(s, key);

        return f ? f->schema : s->additional;
}
