/* Verbs that ask the server about itself: api-resources, api-versions, explain, version. */
#include "kctl/kctl.h"
#include "lib/object.h"

#include "config.h"

static char *join_strings(const json_t *list) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                buf_printf(&b, "%s%s", i > 0 ? "," : "", strempty(json_string_value(v)));
        return buf_take(&b);
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int print_group(struct kctl *k, const char *api_version, struct problem *p) {
        _cleanup_free_ char *path = strformat(
                        "%s/%s", strchr(api_version, '/') ? "/apis" : "/api", api_version);
        _cleanup_json_ json_t *list = NULL;
        const json_t *resource;
        size_t i;
        int r = path ? api_get(k->client, path, &list, p) : -ENOMEM;

        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "resources"), i, resource) {
                _cleanup_free_ char *shorts = join_strings(json_object_get(resource, "shortNames"));
                const char *name = json_str_or(resource, "name", "");

                if (strchr(name, '/'))
                        continue;
                printf("%-32s %-12s %-34s %-12s %s\n", name, strempty(shorts), api_version,
                                json_bool_or(resource, "namespaced", false) ? "true" : "false",
                                json_str_or(resource, "kind", ""));
        }
        return 0;
}

int kctl_api_resources(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *groups = NULL;
        const char *only = k->flags.api_group;
        const json_t *g;
        size_t i;

        if (!kctl_client(k))
                return EXIT_ERROR;
        if (api_get(k->client, "/apis", &groups, &p) < 0)
                return kctl_fail(&p);
        if (!k->flags.no_headers)
                printf("%-32s %-12s %-34s %-12s %s\n", "NAME", "SHORTNAMES", "APIVERSION",
                                "NAMESPACED", "KIND");
        if ((!only || !*only) && print_group(k, "v1", &p) < 0)
                return kctl_fail(&p);
        json_array_foreach (json_object_get(groups, "groups"), i, g)
                if ((!only || streq(only, json_str_or(g, "name", ""))) &&
                                print_group(k, json_str_or(g, "preferredVersion.groupVersion", ""),
                                                &p) < 0)
                        return kctl_fail(&p);
        return EXIT_OK;
}

/* Follows $ref and allOf to the schema that is meant. */
static const json_t *resolve(const json_t *document, const json_t *schema) {
        for (int i = 0; schema && i < 8; i++) {
                const json_t *one = json_array_get(json_object_get(schema, "allOf"), 0);
                const char *ref = json_string_value(json_object_get(one ? one : schema, "$ref")),
                           *name = ref ? strrchr(ref, '/') : NULL;

                if (!name)
                        return schema;
                schema = json_get(document, "components", "schemas", name + 1, NULL);
        }
        return schema;
}

static const char *type_text(const json_t *document, const json_t *schema, char buffer[static 64]) {
        const json_t *s = resolve(document, schema),
                     *items = resolve(document, json_object_get(s, "items"));
        const char *type = json_str_or(s, "type", "Object");

        if (items)
                snprintf(buffer, 64, "[]%s", json_str_or(items, "type", "Object"));
        else if (json_object_get(s, "additionalProperties"))
                snprintf(buffer, 64, "map[string]%s",
                                json_str_or(resolve(document,
                                                            json_object_get(s,
                                                                            "additionalProperties")),
                                                "type", "Object"));
        else
                snprintf(buffer, 64, "%s", streq(type, "object") ? "Object" : type);
        return buffer;
}

enum { EXPLAIN_DEPTH_MAX = 10 };

static void print_fields(
                struct kctl *k, const json_t *document, const json_t *schema, unsigned depth) {
        const json_t *s = resolve(document, schema), *items = json_object_get(s, "items");
        const char *name;
        json_t *field;

        if (items)
                s = resolve(document, items);
        json_object_foreach (json_object_get(s, "properties"), name, field) {
                const char *description = json_str_or(field, "description",
                                json_str_or(resolve(document, field), "description", ""));
                bool required = false;
                const json_t *r;
                char type[64];
                size_t i;

                json_array_foreach (json_object_get(s, "required"), i, r)
                        required |= streq_ptr(json_string_value(r), name);
                printf("%*s%-*s <%s>%s\n", (int)depth * 2 + 2, "", 24, name,
                                type_text(document, field, type), required ? " -required-" : "");
                if (k->flags.recursive) {
                        if (depth < EXPLAIN_DEPTH_MAX)
                                print_fields(k, document, field, depth + 1);
                } else if (*description)
                        printf("      %s\n", description);
        }
}

/* The schema whose x-kubernetes-group-version-kind is the kind's. */
static const json_t *find_schema(const json_t *document, const struct kind_ref *kind) {
        const char *name;
        json_t *schema;
        size_t i;

        json_object_foreach (json_at_mut((json_t *)document, "components.schemas"), name, schema) {
                const json_t *list = json_object_get(schema, "x-kubernetes-group-version-kind"),
                             *gvk;

                json_array_foreach (list, i, gvk)
                        if (streq(json_str_or(gvk, "kind", ""), kind->resource.kind) &&
                                        streq(json_str_or(gvk, "group", ""),
                                                        kind->resource.group) &&
                                        streq(json_str_or(gvk, "version", ""),
                                                        kind->resource.version))
                                return schema;
        }
        return NULL;
}

int kctl_explain(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *document = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_strv_free_ char **parts = NULL;
        struct kind_ref kind;
        const json_t *schema;
        char type[64];

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "one KIND or KIND.FIELD is needed");
        if (strv_split(k->words[0], ".", &parts) < 0 || !parts)
                return kctl_usage(k, "\"%s\" is not KIND.FIELD", k->words[0]);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (kind_find(k, parts[0], &kind, &p) < 0)
                return kctl_fail(&p);
        path = *kind.resource.group ? strformat("/openapi/v3/apis/%s/%s", kind.resource.group,
                                                      kind.resource.version)
                                    : strformat("/openapi/v3/api/%s", kind.resource.version);
        if (!path || api_get(k->client, path, &document, &p) < 0)
                return kctl_fail(&p);
        schema = find_schema(document, &kind);
        for (char **f = parts + 1; schema && *f; f++) {
                const json_t *s = resolve(document, schema), *items = json_object_get(s, "items");

                schema = json_get(items ? resolve(document, items) : s, "properties", *f, NULL);
        }
        if (!schema)
                return kctl_error(
                                "the server describes no \"%s\"; kctl explain %s lists the fields",
                                k->words[0], parts[0]);
        if (*kind.resource.group)
                printf("GROUP:      %s\n", kind.resource.group);
        printf("KIND:       %s\nVERSION:    %s\n\n", kind.resource.kind, kind.resource.version);
        if (parts[1])
                printf("FIELD: %s <%s>\n\n", parts[strv_length(parts) - 1],
                                type_text(document, schema, type));
        const char *description = json_str_or(schema, "description",
                        json_str_or(resolve(document, schema), "description", ""));
        if (*description)
                printf("DESCRIPTION:\n    %s\n\n", description);
        puts("FIELDS:");
        print_fields(k, document, schema, 0);
        return EXIT_OK;
}

int kctl_version(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;

        printf("Client Version: v%s\n", PACKAGE_VERSION);
        if (k->flags.client_only)
                return EXIT_OK;
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (api_get(k->client, "/version", &v, &p) < 0)
                return kctl_fail(&p);
        printf("Server Version: %s\n", json_str_or(v, "gitVersion", "?"));
        return EXIT_OK;
}

int kctl_api_versions(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *groups = NULL;
        _cleanup_strv_free_ char **names = NULL;
        const json_t *g, *v;
        size_t i, j;

        if (!kctl_client(k))
                return EXIT_ERROR;
        if (api_get(k->client, "/apis", &groups, &p) < 0 || strv_extend(&names, "v1") < 0)
                return kctl_fail(&p);
        json_array_foreach (json_object_get(groups, "groups"), i, g)
                json_array_foreach (json_object_get(g, "versions"), j, v)
                        if (strv_extend(&names, json_str_or(v, "groupVersion", "")) < 0)
                                return kctl_fail(&p);
        qsort(names, strv_length(names), sizeof(*names), compare_texts);
        for (char **name = names; *name; name++)
                puts(*name);
        return EXIT_OK;
}
