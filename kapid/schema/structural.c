/* Whether the document of a CustomResourceDefinition is a structural schema, in the words of
 * Kubernetes (the page on CustomResourceDefinitions, "Specifying a structural schema"): each node
 * has its type, value validations (allOf, anyOf, oneOf, not) only narrow what the structure around
 * them says, and what Kubernetes does not support is refused. Recurses no deeper than the document,
 * whose depth the parser bounds. */
#include "kapid/schema/internal.h"
#include "kapid/schema/structural.h"

enum level { LEVEL_ROOT, LEVEL_ITEM, LEVEL_FIELD };

static const json_t *get(const json_t *doc, const char *key) {
        return json_object_get(doc, key);
}

static bool is_set(const json_t *doc, const char *key) {
        return json_is_true(get(doc, key));
}

static const char *text_of(const json_t *doc, const char *key) {
        return strempty(json_string_value(get(doc, key)));
}

static bool equals(const json_t *doc, const char *key, const char *word) {
        return streq(text_of(doc, key), word);
}

/* --- what is not supported anywhere --- */

static void check_unsupported(struct findings *f, const json_t *doc) {
        static const struct {
                const char *key, *message;
        } rows[] = {
                        {"id", "id is not supported"},
                        {"$schema", "schema is not supported"},
                        {"additionalItems", "additionalItems is not supported"},
                        {"patternProperties", "patternProperties is not supported"},
                        {"definitions", "definitions is not supported"},
                        {"dependencies", "dependencies is not supported"},
                        {"$ref", "$ref is not supported"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const json_t *v = get(doc, rows[i].key);

                if (!v || (json_is_string(v) && json_string_length(v) == 0) ||
                                (json_is_object(v) && json_object_size(v) == 0))
                        continue;
                finding_add(f, FINDING_FORBIDDEN, rows[i].key, NULL, "%s", rows[i].message);
        }
        if (equals(doc, "type", "null"))
                finding_add(f, FINDING_FORBIDDEN, "type", NULL,
                                "type cannot be set to null, use nullable as an alternative");
        if (json_is_array(get(doc, "items")))
                finding_add(f, FINDING_FORBIDDEN, "items", NULL,
                                "items must be a schema object and not an array");
        if (is_set(doc, "uniqueItems"))
                finding_add(f, FINDING_FORBIDDEN, "uniqueItems", NULL,
                                "uniqueItems cannot be set to true since the runtime complexity "
                                "becomes quadratic");
        if (json_is_false(get(doc, "additionalProperties")))
                finding_add(f, FINDING_FORBIDDEN, "additionalProperties", NULL,
                                "additionalProperties cannot be set to false");
        else if (get(doc, "additionalProperties") && json_object_size(get(doc, "properties")) > 0)
                finding_add(f, FINDING_FORBIDDEN, "additionalProperties", NULL,
                                "additionalProperties and properties are mutual exclusive");
}

/* --- value validations --- */

static bool is_type_only(const json_t *doc, const char *type) {
        return json_object_size(doc) == 1 && equals(doc, "type", type);
}

/* anyOf: [{type: integer}, {type: string}], which goes with x-kubernetes-int-or-string. */
static bool is_int_or_string(const json_t *list) {
        return json_array_size(list) == 2 && is_type_only(json_array_get(list, 0), "integer") &&
               is_type_only(json_array_get(list, 1), "string");
}

static void check_forbidden(struct findings *f, const json_t *doc) {
        static const char *const undefined[] = {"additionalProperties", "default",
                        "x-kubernetes-list-type", "x-kubernetes-map-type"};
        static const char *const empty[] = {"type", "title", "description"};
        /* Kubernetes takes rules below none of allOf, anyOf, oneOf and not. */
        static const char *const empty_lists[] = {
                        "x-kubernetes-list-map-keys", "x-kubernetes-validations"};
        static const char *const off[] = {"nullable", "x-kubernetes-preserve-unknown-fields",
                        "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"};

        for (size_t i = 0; i < ELEMENTS(empty); i++)
                if (*text_of(doc, empty[i]))
                        finding_add(f, FINDING_FORBIDDEN, empty[i], NULL,
                                        "must be empty to be structural");
        for (size_t i = 0; i < ELEMENTS(empty_lists); i++)
                if (json_array_size(get(doc, empty_lists[i])) > 0)
                        finding_add(f, FINDING_FORBIDDEN, empty_lists[i], NULL,
                                        "must be empty to be structural");
        for (size_t i = 0; i < ELEMENTS(undefined); i++)
                if (get(doc, undefined[i]))
                        finding_add(f, FINDING_FORBIDDEN, undefined[i], NULL,
                                        "must be undefined to be structural");
        for (size_t i = 0; i < ELEMENTS(off); i++)
                if (is_set(doc, off[i]))
                        finding_add(f, FINDING_FORBIDDEN, off[i], NULL,
                                        "must be false to be structural");
}

/* structure: what stands around the validation at the same place, at the path `at`; NULL: nothing,
 * which has been reported. */
/* at: where the structure is, or NULL: validations below a field may name fields that it does not
 * have, because the reference server looks at those of the root only and real definitions do it. */
static void check_nested(
                struct findings *f, const json_t *doc, const json_t *structure, const char *at);

static void check_alternatives(struct findings *f, const json_t *doc, const json_t *structure,
                const char *at, bool skip_any_of) {
        static const char *const words[] = {"allOf", "anyOf", "oneOf"};
        const json_t *item;
        size_t i, length;

        for (size_t w = 0; w < ELEMENTS(words); w++) {
                const json_t *list = get(doc, words[w]);

                if (skip_any_of && streq(words[w], "anyOf") && is_int_or_string(list))
                        continue;
                json_array_foreach (list, i, item) {
                        length = findings_push(f, words[w]);
                        findings_push_index(f, i);
                        /* In an allOf the types of an int-or-string may stand, too. */
                        if (skip_any_of && w == 0 && json_object_size(item) == 1 &&
                                        is_int_or_string(get(item, "anyOf"))) {
                                findings_pop(f, length);
                                continue;
                        }
                        check_nested(f, item, structure, at);
                        findings_pop(f, length);
                }
        }
        if (json_is_object(get(doc, "not"))) {
                length = findings_push(f, "not");
                check_nested(f, get(doc, "not"), structure, at);
                findings_pop(f, length);
        }
}

/* A child of a validation must be one of the structure. */
static void check_nested_child(struct findings *f, const json_t *doc, const json_t *structure,
                const char *at, bool reports) {
        struct buf here = f->path;

        if (!structure && reports) {
                f->path = (struct buf){0}; /* `at` is a whole path */
                finding_add(f, FINDING_REQUIRED, at, NULL, "because it is defined in %s",
                                strempty(here.data));
                f->path = here;
        }
        check_nested(f, doc, structure, at);
}

static void check_nested(
                struct findings *f, const json_t *doc, const json_t *structure, const char *at) {
        const json_t *properties = get(structure, "properties");
        const char *name;
        json_t *child;
        size_t length;

        check_unsupported(f, doc);
        check_forbidden(f, doc);
        json_object_foreach ((json_t *)get(doc, "properties"), name, child) {
                _cleanup_free_ char *below =
                                at ? strformat("%s.properties[%s]", at, name) : NULL;

                length = findings_push(f, "properties");
                findings_push_key(f, name);
                check_nested_child(f, child, get(properties, name), below,
                                structure && at);
                findings_pop(f, length);
        }
        if (get(get(doc, "properties"), "metadata"))
                finding_add(f, FINDING_FORBIDDEN, "properties[metadata]", NULL,
                                "must not be specified in a nested context");
        if (json_is_object(get(doc, "items"))) {
                _cleanup_free_ char *below = at ? strformat("%s.items", at) : NULL;

                length = findings_push(f, "items");
                check_nested_child(f, get(doc, "items"), get(structure, "items"), below,
                                structure && at);
                findings_pop(f, length);
        }
        check_alternatives(f, doc, structure, at, is_set(structure, "x-kubernetes-int-or-string"));
}

/* --- the structure itself --- */

static void check_type(struct findings *f, const json_t *doc, enum level level) {
        static const char *const missing[] = {
                        [LEVEL_ROOT] = "must not be empty at the root",
                        [LEVEL_ITEM] = "must not be empty for specified array items",
                        [LEVEL_FIELD] = "must not be empty for specified object fields",
        };
        static const char *const types[] = {
                        "array", "boolean", "integer", "number", "object", "string"};
        const char *type = text_of(doc, "type");
        bool known = !*type || streq(type, "null");

        for (size_t i = 0; i < ELEMENTS(types); i++)
                known |= streq(type, types[i]);
        if (!known)
                finding_add(f, FINDING_NOT_SUPPORTED, "type", get(doc, "type"),
                                "supported values: \"array\", \"boolean\", \"integer\", "
                                "\"number\", \"object\", \"string\"");
        if (is_set(doc, "x-kubernetes-embedded-resource") && !streq(type, "object"))
                finding_add(f, *type ? FINDING_INVALID : FINDING_REQUIRED, "type",
                                *type ? get(doc, "type") : NULL,
                                "must be object if x-kubernetes-embedded-resource is true");
        else if (!*type && !is_set(doc, "x-kubernetes-int-or-string") &&
                        !is_set(doc, "x-kubernetes-preserve-unknown-fields"))
                finding_add(f, FINDING_REQUIRED, "type", NULL, "%s", missing[level]);
        else if (level == LEVEL_ROOT && *type && !streq(type, "object"))
                finding_add(f, FINDING_INVALID, "type", get(doc, "type"),
                                "must be object at the root");
        if (streq(type, "array") && !get(doc, "items"))
                finding_add(f, FINDING_REQUIRED, "items", NULL, "must be specified");
}

static void check_extensions(struct findings *f, const json_t *doc) {
        static const char *const against[] = {
                        "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"};
        bool embedded = is_set(doc, "x-kubernetes-embedded-resource");

        for (size_t i = 0; i < ELEMENTS(against); i++)
                if (is_set(doc, "x-kubernetes-int-or-string") && is_set(doc, against[i]))
                        finding_add(f, FINDING_INVALID, against[i], get(doc, against[i]),
                                        "must be false if x-kubernetes-int-or-string is true");
        if (json_is_false(get(doc, "x-kubernetes-preserve-unknown-fields")))
                finding_add(f, FINDING_INVALID, "x-kubernetes-preserve-unknown-fields",
                                get(doc, "x-kubernetes-preserve-unknown-fields"),
                                "must be true or undefined");
        if (embedded && get(doc, "additionalProperties"))
                finding_add(f, FINDING_FORBIDDEN, "additionalProperties", NULL,
                                "must not be used if x-kubernetes-embedded-resource is set");
        if (embedded && !is_set(doc, "x-kubernetes-preserve-unknown-fields") &&
                        json_object_size(get(doc, "properties")) == 0)
                finding_add(f, FINDING_REQUIRED, "properties", NULL,
                                "must not be empty if x-kubernetes-embedded-resource is true "
                                "without x-kubernetes-preserve-unknown-fields");
}

static bool is_required(const json_t *doc, const char *name) {
        const json_t *item;
        size_t i;

        json_array_foreach (get(doc, "required"), i, item)
                if (json_is_string(item) && streq(json_string_value(item), name))
                        return true;
        return false;
}

static bool is_scalar(const json_t *doc) {
        return !equals(doc, "type", "object") && !equals(doc, "type", "array");
}

static void check_map_key(struct findings *f, const json_t *items, const json_t *keys, size_t at) {
        const json_t *key = json_array_get(keys, at), *other;
        const char *name = json_string_value(key);
        const json_t *property = name ? get(get(items, "properties"), name) : NULL;
        _cleanup_free_ char *place = strformat("x-kubernetes-list-map-keys[%zu]", at);
        _cleanup_free_ char *below = strformat("items.properties[%s]", strempty(name));
        _cleanup_free_ char *fallback = strformat("%s.default", strempty(below));
        size_t i;

        json_array_foreach (keys, i, other)
                if (i < at && json_equal((json_t *)other, (json_t *)key)) {
                        finding_add(f, FINDING_DUPLICATE, place, key, NULL);
                        return;
                }
        if (!property) {
                finding_add(f, FINDING_INVALID, place, key,
                                "entries must all be names of item properties");
                return;
        }
        if (!is_scalar(property) || is_set(property, "x-kubernetes-preserve-unknown-fields"))
                finding_add(f, FINDING_INVALID, place, key,
                                "entries must be of scalar type; \"%s\" is of type \"%s\"", name,
                                text_of(property, "type"));
        if (!get(property, "default") && !is_required(items, name))
                finding_add(f, FINDING_REQUIRED, fallback, NULL,
                                "this property is in x-kubernetes-list-map-keys, so it must have "
                                "a default or be a required property");
        if (is_set(property, "nullable"))
                finding_add(f, FINDING_FORBIDDEN, below, NULL,
                                "this property is in x-kubernetes-list-map-keys, so it cannot be "
                                "nullable");
}

static void check_list_map(struct findings *f, const json_t *doc) {
        const json_t *items = get(doc, "items"), *keys = get(doc, "x-kubernetes-list-map-keys");
        size_t n = json_array_size(keys);

        if (n == 0)
                finding_add(f, FINDING_REQUIRED, "x-kubernetes-list-map-keys", NULL,
                                "must not be empty if x-kubernetes-list-type is map");
        if (!json_is_object(items)) {
                finding_add(f, FINDING_REQUIRED, "items", NULL,
                                "must have a schema if x-kubernetes-list-type is map");
                return;
        }
        if (!equals(items, "type", "object")) {
                finding_add(f, FINDING_INVALID, "items.type", get(items, "type"),
                                "must be object if parent array's x-kubernetes-list-type is map");
                return;
        }
        for (size_t i = 0; i < n; i++)
                check_map_key(f, items, keys, i);
}

/* Items of a set are compared whole. */
static void check_set_items(struct findings *f, const json_t *items) {
        static const char why[] = "must be atomic as item of a list with x-kubernetes-list-type=set";

        if (equals(items, "type", "object") && !equals(items, "x-kubernetes-map-type", "atomic"))
                finding_add(f, FINDING_INVALID, "items.x-kubernetes-map-type",
                                get(items, "x-kubernetes-map-type"), "%s", why);
        if (equals(items, "type", "array") && get(items, "x-kubernetes-list-type") &&
                        !equals(items, "x-kubernetes-list-type", "atomic"))
                finding_add(f, FINDING_INVALID, "items.x-kubernetes-list-type",
                                get(items, "x-kubernetes-list-type"), "%s", why);
        if (is_set(items, "nullable"))
                finding_add(f, FINDING_FORBIDDEN, "items.nullable", NULL,
                                "cannot be nullable when x-kubernetes-list-type is set");
}

static void check_lists_and_maps(struct findings *f, const json_t *doc) {
        const json_t *list = get(doc, "x-kubernetes-list-type"),
                     *map = get(doc, "x-kubernetes-map-type");
        const char *type = text_of(doc, "type"), *word = text_of(doc, "x-kubernetes-list-type");

        if (list && !streq(type, "array"))
                finding_add(f, *type ? FINDING_INVALID : FINDING_REQUIRED, "type",
                                *type ? get(doc, "type") : NULL,
                                "must be array if x-kubernetes-list-type is specified");
        if (list && !streq(word, "atomic") && !streq(word, "set") && !streq(word, "map"))
                finding_add(f, FINDING_NOT_SUPPORTED, "x-kubernetes-list-type", list,
                                "supported values: \"atomic\", \"set\", \"map\"");
        if (!streq(word, "map") && json_array_size(get(doc, "x-kubernetes-list-map-keys")) > 0)
                finding_add(f, list ? FINDING_INVALID : FINDING_REQUIRED, "x-kubernetes-list-type",
                                list, "must be map if x-kubernetes-list-map-keys is non-empty");
        if (streq(word, "set") && streq(type, "array"))
                check_set_items(f, get(doc, "items"));
        if (streq(word, "map") && streq(type, "array"))
                check_list_map(f, doc);
        if (map && !equals(doc, "x-kubernetes-map-type", "atomic") &&
                        !equals(doc, "x-kubernetes-map-type", "granular"))
                finding_add(f, FINDING_NOT_SUPPORTED, "x-kubernetes-map-type", map,
                                "supported values: \"atomic\", \"granular\"");
        if (map && !streq(type, "object"))
                finding_add(f, *type ? FINDING_INVALID : FINDING_REQUIRED, "type",
                                *type ? get(doc, "type") : NULL,
                                "must be object if x-kubernetes-map-type is specified");
}

/* Of the metadata, which every object has, a definition may only restrict the name. */
static void check_own_metadata(struct findings *f, const json_t *doc) {
        const json_t *metadata = get(get(doc, "properties"), "metadata");
        const char *key;
        json_t *v;

        if (!json_is_object(metadata))
                return;
        json_object_foreach ((json_t *)metadata, key, v) {
                const char *name;
                json_t *unused;
                bool fine = streq(key, "type") || streq(key, "default") ||
                            streq(key, "properties") || json_is_false(v);

                if (streq(key, "properties"))
                        json_object_foreach (v, name, unused)
                                fine &= streq(name, "name") || streq(name, "generateName");
                if (fine)
                        continue;
                finding_add(f, FINDING_FORBIDDEN, "properties[metadata]", NULL,
                                "must not specify anything other than name and generateName, but "
                                "metadata is implicitly specified");
                return;
        }
}

static void check_whole_object(struct findings *f, const json_t *doc) {
        static const struct {
                const char *name, *type;
        } rows[] = {{"kind", "string"}, {"apiVersion", "string"}, {"metadata", "object"}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const json_t *child = get(get(doc, "properties"), rows[i].name);
                _cleanup_free_ char *at = strformat("properties[%s].type", rows[i].name);

                if (child && *text_of(child, "type") && !equals(child, "type", rows[i].type))
                        finding_add(f, FINDING_INVALID, at, get(child, "type"), "must be %s",
                                        rows[i].type);
        }
}

static void check_structure(struct findings *f, const json_t *doc, enum level level) {
        _cleanup_free_ char *at = strdup(f->path.size ? f->path.data : "");
        const char *name;
        json_t *child;
        size_t length;

        check_unsupported(f, doc);
        check_type(f, doc, level);
        check_extensions(f, doc);
        check_lists_and_maps(f, doc);
        if (level == LEVEL_ROOT && is_set(doc, "nullable"))
                finding_add(f, FINDING_FORBIDDEN, "nullable", NULL,
                                "nullable cannot be true at the root");
        if (level == LEVEL_ROOT)
                check_own_metadata(f, doc);
        if (level == LEVEL_ROOT || is_set(doc, "x-kubernetes-embedded-resource"))
                check_whole_object(f, doc);
        check_alternatives(f, doc, doc, level == LEVEL_ROOT ? strempty(at) : NULL,
                        is_set(doc, "x-kubernetes-int-or-string"));
        json_object_foreach ((json_t *)get(doc, "properties"), name, child) {
                length = findings_push(f, "properties");
                findings_push_key(f, name);
                check_structure(f, child, LEVEL_FIELD);
                findings_pop(f, length);
        }
        if (json_is_object(get(doc, "items"))) {
                length = findings_push(f, "items");
                check_structure(f, get(doc, "items"), LEVEL_ITEM);
                findings_pop(f, length);
        }
        if (json_is_object(get(doc, "additionalProperties"))) {
                length = findings_push(f, "additionalProperties");
                check_structure(f, get(doc, "additionalProperties"), LEVEL_FIELD);
                findings_pop(f, length);
        }
}

void schema_check_structural(struct findings *f, const json_t *doc) {
        check_structure(f, doc, LEVEL_ROOT);
}
