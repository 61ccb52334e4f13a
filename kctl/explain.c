/* kctl explain: the fields of a kind, as the server's OpenAPI document describes them. */
#include "kctl/kctl.h"
#include "lib/object.h"

enum { EXPLAIN_DEPTH_MAX = 10, REFERENCES_MAX = 8, TEXT_COLUMNS = 76, TYPE_SIZE = 160 };

/* The name that a schema refers to, by $ref or allOf; NULL when it is there itself. */
static const char *reference(const json_t *schema) {
        const json_t *one = json_array_get(json_object_get(schema, "allOf"), 0);
        const char *ref = json_string_value(json_object_get(one ? one : schema, "$ref")),
                   *name = ref ? strrchr(ref, '/') : NULL;

        return name ? name + 1 : NULL;
}

/* Follows references to the schema that is meant. */
static const json_t *resolve(const json_t *document, const json_t *schema) {
        for (int i = 0; schema && i < REFERENCES_MAX; i++) {
                const char *name = reference(schema);

                if (!name)
                        return schema;
                schema = json_get(document, "components", "schemas", name, NULL);
        }
        return schema;
}

/* "[]Container", "map[string]string", "ObjectMeta", "integer". */
static const char *type_text(const json_t *schema, char buffer[static TYPE_SIZE]) {
        char prefix[64] = "";

        for (int i = 0; i < REFERENCES_MAX; i++) {
                const json_t *items = json_object_get(schema, "items"),
                             *values = json_object_get(schema, "additionalProperties");
                const char *name = reference(schema), *dot = name ? strrchr(name, '.') : NULL;
                const char *type = json_str_or(schema, "type", "Object");
                size_t n = strlen(prefix);

                if (!name && (items || json_is_object(values))) {
                        snprintf(prefix + n, sizeof(prefix) - n, "%s",
                                        items ? "[]" : "map[string]");
                        schema = items ? items : values;
                        continue;
                }
                snprintf(buffer, TYPE_SIZE, "%s%s", prefix,
                                dot                     ? dot + 1
                                : name                  ? name
                                : streq(type, "object") ? "Object"
                                                        : type);
                break;
        }
        return buffer;
}

/* A text in lines of at most TEXT_COLUMNS characters. */
static void print_text(const char *text, unsigned indent) {
        while (*text) {
                size_t n = strcspn(text, "\n"), end = n;

                if (n > TEXT_COLUMNS) {
                        for (end = TEXT_COLUMNS; end > 0 && text[end] != ' '; end--)
                                ;
                        if (end == 0)
                                end = strcspn(text, " \n");
                }
                printf("%*s%.*s\n", (int)indent, "", (int)end, text);
                text += end;
                text += *text == ' ' || *text == '\n';
        }
}

static const char *description_of(const json_t *document, const json_t *schema) {
        return json_str_or(schema, "description",
                        json_str_or(resolve(document, schema), "description", ""));
}

/* The schema that has the fields: of the items, or the values, of what holds several. */
static const json_t *with_fields(const json_t *document, const json_t *schema) {
        const json_t *s = resolve(document, schema);

        for (int i = 0; s && i < REFERENCES_MAX && !json_object_get(s, "properties"); i++) {
                const json_t *inner = json_object_get(s, "items"),
                             *values = json_object_get(s, "additionalProperties");

                if (!inner && !json_is_object(values))
                        break;
                s = resolve(document, inner ? inner : values);
        }
        return s;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_fields(
                struct kctl *k, const json_t *document, const json_t *schema, unsigned depth) {
        const json_t *s = with_fields(document, schema), *field, *word,
                     *properties = json_object_get(s, "properties");
        _cleanup_free_ const char **names =
                        calloc(json_object_size(properties) + 1, sizeof(*names));
        const char *name;
        size_t n = 0, i;

        if (!names)
                return;
        json_object_each (properties, name, field)
                names[n++] = name;
        qsort(names, n, sizeof(*names), compare_names);
        for (size_t f = 0; f < n; f++) {
                bool required = false;
                char type[TYPE_SIZE];

                field = json_object_get(properties, names[f]);
                json_array_foreach (json_object_get(s, "required"), i, word)
                        required |= streq_ptr(json_string_value(word), names[f]);
                printf("%*s%s\t<%s>%s\n", (int)depth * 2 + 2, "", names[f], type_text(field, type),
                                required ? " -required-" : "");
                if (!k->flags.recursive) {
                        print_text(description_of(document, field), 4);
                        putchar('\n');
                } else if (depth < EXPLAIN_DEPTH_MAX)
                        print_fields(k, document, field, depth + 1);
        }
}

/* The schema whose x-kubernetes-group-version-kind is the kind's. */
static const json_t *find_schema(const json_t *document, const struct api_resource *r) {
        const json_t *schema, *gvk;
        const char *name;
        size_t i;

        json_object_each (json_at(document, "components.schemas"), name, schema)
                json_array_foreach (
                                json_object_get(schema, "x-kubernetes-group-version-kind"), i, gvk)
                        if (streq(json_str_or(gvk, "kind", ""), r->kind) &&
                                        streq(json_str_or(gvk, "group", ""), r->group) &&
                                        streq(json_str_or(gvk, "version", ""), r->version))
                                return schema;
        return NULL;
}

static void print_schema(struct kctl *k, const struct api_resource *r, const json_t *document,
                const json_t *schema, const char *field) {
        const char *description = description_of(document, schema);
        char type[TYPE_SIZE];

        if (*r->group)
                printf("GROUP:      %s\n", r->group);
        printf("KIND:       %s\nVERSION:    %s\n\n", r->kind, r->version);
        if (field)
                printf("FIELD: %s <%s>\n\n\n", field, type_text(schema, type));
        if (*description) {
                puts("DESCRIPTION:");
                print_text(description, 4);
                putchar('\n');
        }
        if (json_object_size(json_object_get(with_fields(document, schema), "properties")) == 0)
                return;
        puts("FIELDS:");
        print_fields(k, document, schema, 0);
}

int kctl_explain(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *document = NULL;
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_free_ char *path = NULL;
        const struct api_resource *r;
        struct kind_ref kind;
        const json_t *schema;
        size_t n;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "one KIND or KIND.FIELD is needed");
        if (strv_split(k->words[0], ".", &parts) < 0 || !parts)
                return kctl_usage(k, "\"%s\" is not KIND.FIELD", k->words[0]);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (kind_find(k, parts[0], &kind, &p) < 0)
                return kctl_fail(&p);
        r = &kind.resource;
        path = *r->group ? strformat("/openapi/v3/apis/%s/%s", r->group, r->version)
                         : strformat("/openapi/v3/api/%s", r->version);
        if (!path || api_get(k->client, path, &document, &p) < 0)
                return kctl_fail(&p);
        schema = find_schema(document, r);
        for (char **f = parts + 1; schema && *f; f++)
                schema = json_get(with_fields(document, schema), "properties", *f, NULL);
        if (!schema)
                return kctl_error(
                                "the server describes no \"%s\"; kctl explain %s lists the fields",
                                k->words[0], parts[0]);
        n = strv_length(parts);
        print_schema(k, r, document, schema, n > 1 ? parts[n - 1] : NULL);
        return EXIT_OK;
}
