/* OpenAPI documents from the kinds' schemas (docs/wire.md section 12). v3 is one document a
 * group version, with the definitions it reaches; v2 in protobuf holds only the PATCH operations,
 * which is what kubectl needs of it. Documents are written as text straight from the schema nodes.
 */
#include "kapid/discovery/discovery.h"
#include "kapid/discovery/openapi-internal.h"

#include "config.h"
#include "kapid/schema/pattern.h"
#include "kapid/schema/schema.h"
#include "lib/siphash.h"

static const char *const schema_prefixes[][2] = {
                {"meta.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."},
                {"apiextensions.v1.", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."},
                {"keelson.v1.", "dev.keelson.v1."},
                {"Quantity", "io.k8s.apimachinery.pkg.api.resource.Quantity"},
                {"IntOrString", "io.k8s.apimachinery.pkg.util.intstr.IntOrString"},
                {"", "io.k8s.api."}};

/* Whether it is its own JSON but for the quotes, as all keys are, and there are many. */
static bool is_plain(const char *text) {
        for (; *text; text++)
                if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
                        return false;
        return true;
}

static void write_string(struct writer *w, const char *text) {
        _cleanup_json_ json_t *v = NULL;
        _cleanup_free_ char *s = NULL;

        if (text && is_plain(text)) {
                buf_append_char(&w->out, '"');
                buf_append_str(&w->out, text);
                buf_append_char(&w->out, '"');
                return;
        }
        v = json_string(text);
        s = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
        if (!s)
                w->out.failed = true;
        else
                buf_append_str(&w->out, s);
}

static void write_json(struct writer *w, const json_t *v) {
        _cleanup_free_ char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

        if (!s)
                w->out.failed = true;
        else
                buf_append_str(&w->out, s);
}

void writer_key(struct writer *w, const char *key) {
        char last = w->out.size > 0 ? w->out.data[w->out.size - 1] : '{';

        if (last != '{' && last != '[')
                buf_append_char(&w->out, ',');
        write_string(w, key);
        buf_append_char(&w->out, ':');
}

void writer_pair(struct writer *w, const char *key, const char *value) {
        writer_key(w, key);
        write_string(w, value);
}

static void write_definition_name(struct writer *w, const char *name) {
        for (size_t i = 0; i < ELEMENTS(schema_prefixes); i++) {
                const char *rest = startswith(name, schema_prefixes[i][0]);

                if (rest) {
                        buf_printf(&w->out, "%s%s", schema_prefixes[i][1], rest);
                        return;
                }
        }
}

void writer_ref(struct writer *w, const struct schema *s) {
        if (!map_get(w->wanted, s->name) && map_set(w->wanted, s->name, (void *)s) < 0)
                w->out.failed = true;
        writer_key(w, "$ref");
        buf_printf(&w->out, "\"%s", w->ref_prefix);
        write_definition_name(w, s->name);
        buf_append_char(&w->out, '"');
}

static void write_schema(struct writer *w, const struct schema *s, bool refer);

/* How a field refers to a definition: v3 wraps $ref in allOf where it says more beside it. */
static void write_reference(
                struct writer *w, const struct schema_field *f, const struct schema *s) {
        if (w->v2 || (!f->description && !f->fallback)) {
                writer_ref(w, s);
                return;
        }
        writer_key(w, "allOf");
        buf_append_str(&w->out, "[{");
        writer_ref(w, s);
        buf_append_str(&w->out, "}]");
        if (f->fallback) {
                writer_key(w, "default");
                write_json(w, f->fallback);
        }
        if (f->description)
                writer_pair(w, "description", f->description);
}

static void write_field(struct writer *w, const struct schema_field *f) {
        const char *strategy = !(f->flags & (FIELD_PATCH_MERGE | FIELD_PATCH_RETAIN_KEYS)) ? NULL
                               : !(f->flags & FIELD_PATCH_RETAIN_KEYS)                     ? "merge"
                               : f->flags & FIELD_PATCH_MERGE ? "merge,retainKeys"
                                                              : "retainKeys";

        writer_key(w, f->name);
        buf_append_char(&w->out, '{');
        if (f->schema->name)
                write_reference(w, f, f->schema);
        else {
                write_schema(w, f->schema, false);
                if (f->description && !f->schema->description)
                        writer_pair(w, "description", f->description);
                if (f->fallback && !f->schema->fallback) {
                        writer_key(w, "default");
                        write_json(w, f->fallback);
                }
        }
        if (strategy)
                writer_pair(w, "x-kubernetes-patch-strategy", strategy);
        buf_append_char(&w->out, '}');
}

static void write_number(struct writer *w, const char *key, double v) {
        writer_key(w, key);
        buf_printf(&w->out, "%.15g", v);
}

static void write_size(struct writer *w, const char *key, size_t v) {
        writer_key(w, key);
        buf_printf(&w->out, "%zu", v);
}

static void write_alternatives(
                struct writer *w, const char *key, const struct schema *const *list) {
        if (!list || w->v2)
                return;
        writer_key(w, key);
        buf_append_char(&w->out, '[');
        for (size_t i = 0; list[i]; i++) {
                buf_append_str(&w->out, i > 0 ? ",{" : "{");
                write_schema(w, list[i], false);
                buf_append_char(&w->out, '}');
        }
        buf_append_char(&w->out, ']');
}

static void write_rules(struct writer *w, const struct schema_rules *r) {
        if (r->enumeration) {
                writer_key(w, "enum");
                write_json(w, r->enumeration);
        }
        if (r->pattern)
                writer_pair(w, "pattern", pattern_text(r->pattern));
        if (r->bounds & BOUND_MINIMUM)
                write_number(w, "minimum", r->minimum);
        if (r->bounds & BOUND_MAXIMUM)
                write_number(w, "maximum", r->maximum);
        if (r->bounds & BOUND_MULTIPLE_OF)
                write_number(w, "multipleOf", r->multiple_of);
        if (r->bounds & BOUND_MIN_LENGTH)
                write_size(w, "minLength", r->length_min);
        if (r->bounds & BOUND_MAX_LENGTH)
                write_size(w, "maxLength", r->length_max);
        if (r->bounds & BOUND_MIN_ITEMS)
                write_size(w, "minItems", r->items_min);
        if (r->bounds & BOUND_MAX_ITEMS)
                write_size(w, "maxItems", r->items_max);
        write_alternatives(w, "allOf", r->all_of);
        write_alternatives(w, "anyOf", r->any_of);
        write_alternatives(w, "oneOf", r->one_of);
}

static void write_extensions(struct writer *w, const struct schema *s) {
        if (s->flags & SCHEMA_PRESERVE_UNKNOWN) {
                writer_key(w, "x-kubernetes-preserve-unknown-fields");
                buf_append_str(&w->out, "true");
        }
        if (s->flags & SCHEMA_MAP_ATOMIC)
                writer_pair(w, "x-kubernetes-map-type", "atomic");
        if (s->type == SCHEMA_ARRAY && s->flags & SCHEMA_LIST_TYPE_GIVEN)
                writer_pair(w, "x-kubernetes-list-type",
                                s->list == LIST_MAP   ? "map"
                                : s->list == LIST_SET ? "set"
                                                      : "atomic");
        if (s->map_keys) {
                writer_key(w, "x-kubernetes-list-map-keys");
                buf_append_char(&w->out, '[');
                for (size_t i = 0; s->map_keys[i]; i++) {
                        if (i > 0)
                                buf_append_char(&w->out, ',');
                        write_string(w, s->map_keys[i]);
                }
                buf_append_char(&w->out, ']');
        }
        if (s->merge_key)
                writer_pair(w, "x-kubernetes-patch-merge-key", s->merge_key);
}

/* Formats that only we know are left out: clients would not understand them. */
static const char *public_format(const struct schema *s) {
        switch (s->format) {
        case FORMAT_INT32:
        case FORMAT_INT64:
        case FORMAT_BYTE:
        case FORMAT_DATE_TIME:
        case FORMAT_UUID:
                return schema_format_name(s->format);
        case FORMAT_MICRO_TIME:
                return "date-time";
        default:
                return s->format >= FORMAT_CUSTOM ? schema_format_name(s->format) : NULL;
        }
}

static void write_fields(struct writer *w, const struct schema *s) {
        bool first = true;

        for (size_t i = 0; i < s->field_count; i++) {
                if (!(s->fields[i].flags & FIELD_REQUIRED))
                        continue;
                if (first)
                        writer_key(w, "required");
                buf_append_char(&w->out, first ? '[' : ',');
                write_string(w, s->fields[i].name);
                first = false;
        }
        if (!first)
                buf_append_char(&w->out, ']');
        if (s->field_count == 0)
                return;
        writer_key(w, "properties");
        buf_append_char(&w->out, '{');
        for (size_t i = 0; i < s->field_count; i++)
                write_field(w, &s->fields[i]);
        buf_append_char(&w->out, '}');
}

/* The members of a schema object, without its braces. refer: a definition is written as $ref. */
static void write_schema(struct writer *w, const struct schema *s, bool refer) {
        const char *type = schema_type_name(s->type), *format = public_format(s);

        if (refer && s->name) {
                writer_ref(w, s);
                return;
        }
        if (s->type == SCHEMA_INT_OR_STRING) {
                writer_pair(w, "format", "int-or-string");
                if (w->v2)
                        writer_pair(w, "type", "string");
                else {
                        writer_key(w, "oneOf");
                        buf_append_str(&w->out, "[{\"type\":\"integer\"},{\"type\":\"string\"}]");
                }
        } else if (type)
                writer_pair(w, "type", type);
        if (format)
                writer_pair(w, "format", format);
        if (s->description)
                writer_pair(w, "description", s->description);
        if (s->rules)
                write_rules(w, s->rules);
        write_extensions(w, s);
        write_fields(w, s);
        if (s->items) {
                writer_key(w, "items");
                buf_append_char(&w->out, '{');
                write_schema(w, s->items, true);
                buf_append_char(&w->out, '}');
        }
        if (s->additional) {
                writer_key(w, "additionalProperties");
                buf_append_char(&w->out, '{');
                write_schema(w, s->additional, true);
                buf_append_char(&w->out, '}');
        }
}

void writer_gvk(struct writer *w, const char *group, const char *version, const char *kind) {
        buf_append_char(&w->out, '{');
        writer_pair(w, "group", group);
        writer_pair(w, "kind", kind);
        writer_pair(w, "version", version);
        buf_append_char(&w->out, '}');
}

void writer_root_name(struct writer *w, const struct kind *k, bool list) {
        if (k->schema->name)
                write_definition_name(w, k->schema->name);
        else {
                _cleanup_strv_free_ char **parts = NULL;

                (void)strv_split(k->group, ".", &parts);
                for (size_t i = strv_length(parts); i-- > 0;)
                        buf_printf(&w->out, "%s.", parts[i]);
                buf_printf(&w->out, "%s.%s", k->version, k->kind);
        }
        if (list)
                buf_append_str(&w->out, "List");
}

/* The two definitions of a kind: itself and its list. */
static void write_kind(struct writer *w, const struct kind *k) {
        if (w->out.data[w->out.size - 1] != '{')
                buf_append_char(&w->out, ',');
        buf_append_char(&w->out, '"');
        writer_root_name(w, k, false);
        buf_append_str(&w->out, "\":{");
        write_schema(w, k->schema, false);
        writer_key(w, "x-kubernetes-group-version-kind");
        buf_append_char(&w->out, '[');
        writer_gvk(w, k->group, k->version, k->kind);
        buf_append_str(&w->out, "]}");
        if (!(k->verbs & KIND_LIST))
                return;
        buf_append_str(&w->out, ",\"");
        writer_root_name(w, k, true);
        buf_printf(&w->out,
                        "\":{\"type\":\"object\",\"required\":[\"items\"],\"properties\":{"
                        "\"apiVersion\":{\"type\":\"string\"},"
                        "\"kind\":{\"type\":\"string\"},\"metadata\":{\"$ref\":\"%sio.k8s."
                        "apimachinery.pkg.apis.meta.v1.ListMeta\"},"
                        "\"items\":{\"type\":\"array\",\"items\":{\"$ref\":\"%s",
                        w->ref_prefix, w->ref_prefix);
        writer_root_name(w, k, false);
        buf_append_str(&w->out, "\"}}},\"x-kubernetes-group-version-kind\":[");
        writer_gvk(w, k->group, k->version, k->list_kind);
        buf_append_str(&w->out, "]}");
}

static const char list_meta[] = ",\"io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta\":{\"type\":"
                                "\"object\",\"properties\":{"
                                "\"continue\":{\"type\":\"string\"},\"remainingItemCount\":{"
                                "\"type\":\"integer\",\"format\":\"int64\"},"
                                "\"resourceVersion\":{\"type\":\"string\"}}}";

static bool is_root(const struct kind_registry *r, const struct schema *s, const char *group,
                const char *version) {
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(r, i)); i++)
                if (k->schema == s &&
                                (!group || (streq(k->group, group) && streq(k->version, version))))
                        return true;
        return false;
}

/* Definitions, and those that they refer to in turn: the map grows while it is walked. */
static void write_definitions(struct writer *w, const struct kind_registry *r, const char *group,
                const char *version) {
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(r, i)); i++)
                if (!group || (streq(k->group, group) && streq(k->version, version)))
                        write_kind(w, k);
        buf_append_str(&w->out, list_meta);
        for (struct map_entry *e = map_first(w->wanted); e; e = map_next(e)) {
                const struct schema *s = map_entry_value(e);

                if (is_root(r, s, group, version) || streq(s->name, "meta.v1.ListMeta"))
                        continue;
                buf_append_str(&w->out, ",\"");
                write_definition_name(w, s->name);
                buf_append_str(&w->out, "\":{");
                write_schema(w, s, false);
                buf_append_char(&w->out, '}');
        }
}

static char *write_document(
                const struct kind_registry *r, const char *group, const char *version, bool v2) {
        struct writer w = {.v2 = v2,
                        .ref_prefix = v2 ? "#/definitions/" : "#/components/schemas/",
                        .wanted = map_new(NULL)};

        if (!w.wanted)
                return NULL;
        buf_printf(&w.out,
                        "{\"%s\":\"%s\",\"info\":{\"title\":\"keelson\",\"version\":\"v1\"},"
                        "\"paths\":{",
                        v2 ? "swagger" : "openapi", v2 ? "2.0" : "3.0.0");
        writer_paths(&w, r, group, version);
        buf_append_str(&w.out, v2 ? "},\"definitions\":{" : "},\"components\":{\"schemas\":{");
        write_definitions(&w, r, group, version);
        buf_append_str(&w.out, v2 ? "}}" : "}}}");
        map_free(w.wanted);
        return buf_take(&w.out);
}

char *openapi_v3_document(const struct kind_registry *r, const char *group, const char *version) {
        return kind_registry_has_group_version(r, group, version)
                               ? write_document(r, group, version, false)
                               : NULL;
}

char *openapi_v2_json(const struct kind_registry *r) {
        return write_document(r, NULL, NULL, true);
}

/* Of all that the document of a group's version comes from: making the documents themselves, for
 * their hashes, took the longer the more definitions there are. */
static json_t *index_entry(const char *path, uint64_t hash) {
        return json_pack("{s:o}", "serverRelativeURL",
                        json_sprintf("/openapi/v3/%s?hash=%016llX", path,
                                        (unsigned long long)hash));
}

static uint64_t mix(uint64_t hash, uint64_t more) {
        const uint64_t key[2] = {hash, 0};

        return siphash(key, &more, sizeof(more));
}

json_t *openapi_v3_index(const struct kind_registry *r) {
        static const uint64_t key[2] = {0};
        const uint64_t base = mix(kind_registry_fingerprint(r),
                        siphash(key, PACKAGE_VERSION, strlen(PACKAGE_VERSION)));
        json_t *index = json_pack("{s:{}}", "paths"), *paths = json_object_get(index, "paths");
        const struct kind *k, *next;
        uint64_t hash = base;

        for (size_t i = 0; index && (k = kind_registry_at(r, i)); i++) {
                hash = mix(hash, k->fingerprint);
                next = kind_registry_at(r, i + 1);
                if (next && streq(next->api_version, k->api_version))
                        continue;
                _cleanup_free_ char *path =
                                strformat("%s/%s", *k->group ? "apis" : "api", k->api_version);
                if (!path || json_object_set_new(paths, path, index_entry(path, hash)) < 0)
                        return json_decref(index), NULL;
                hash = base;
        }
        return index;
}
