/* kctl api-resources and api-versions: what the server serves, by its discovery. */
#include "kctl/grid.h"
#include "kctl/kctl.h"
#include "lib/object.h"

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "a,b" of a list of texts. Caller frees. */
static char *joined(const json_t *list) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                buf_printf(&b, "%s%s", i > 0 ? "," : "", strempty(json_string_value(v)));
        return buf_take(&b);
}

/* --namespaced: only those kinds, or only the others. */
static bool is_wanted(const struct kctl *k, const json_t *resource) {
        const char *wanted = k->flags.namespaced;

        return !strchr(json_str_or(resource, "name", "/"), '/') &&
               (!wanted || json_bool_or(resource, "namespaced", false) == streq(wanted, "true"));
}

static int add_resource(
                struct kctl *k, struct grid *g, const char *api_version, const json_t *resource) {
        bool wide = streq_ptr(k->flags.output, "wide");
        _cleanup_free_ char *shorts = joined(json_object_get(resource, "shortNames")),
                            *actions = joined(json_object_get(resource, "verbs")),
                            *categories = joined(json_object_get(resource, "categories"));
        const char *texts[] = {json_str_or(resource, "name", ""), shorts, api_version,
                        json_bool_or(resource, "namespaced", false) ? "true" : "false",
                        json_str_or(resource, "kind", ""), actions, categories};

        if (!shorts || !actions || !categories)
                return -ENOMEM;
        return grid_add_texts(g, texts, ELEMENTS(texts) - (wide ? 0 : 2));
}

/* The kinds of one version, as rows, or as names. */
static int add_group(struct kctl *k, struct grid *g, const char *api_version, struct problem *p) {
        const char *slash = strchr(api_version, '/');
        _cleanup_free_ char *path = strformat("%s/%s", slash ? "/apis" : "/api", api_version);
        _cleanup_json_ json_t *list = NULL;
        const json_t *resource;
        size_t i;
        int r = path ? api_get(k->client, path, &list, p) : -ENOMEM;

        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "resources"), i, resource) {
                if (!is_wanted(k, resource))
                        continue;
                if (streq_ptr(k->flags.output, "name"))
                        printf("%s%s%.*s\n", json_str_or(resource, "name", ""), slash ? "." : "",
                                        slash ? (int)(slash - api_version) : 0, api_version);
                else
                        r = add_resource(k, g, api_version, resource);
                if (r < 0)
                        return r;
        }
        return 0;
}

int kctl_api_resources(struct kctl *k) {
        static const char *const headings[] = {"NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED",
                        "KIND", "VERBS", "CATEGORIES"};
        bool wide = streq_ptr(k->flags.output, "wide");
        const char *only = k->flags.api_group, *namespaced = k->flags.namespaced;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *groups = NULL;
        _cleanup_grid_ struct grid g = {0};
        const json_t *group;
        size_t i;

        if (k->flags.output && !wide && !streq(k->flags.output, "name"))
                return kctl_usage(k, "-o %s is not one of wide, name", k->flags.output);
        if (namespaced && !streq(namespaced, "true") && !streq(namespaced, "false"))
                return kctl_usage(k, "--namespaced %s is not true or false", namespaced);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (api_get(k->client, "/apis", &groups, &p) < 0)
                return kctl_fail(&p);
        if (!k->flags.no_headers)
                (void)grid_add_texts(&g, headings, ELEMENTS(headings) - (wide ? 0 : 2));
        if (isempty(only) && add_group(k, &g, "v1", &p) < 0)
                return kctl_fail(&p);
        json_array_foreach (json_object_get(groups, "groups"), i, group)
                if ((!only || streq(only, json_str_or(group, "name", ""))) &&
                                add_group(k, &g,
                                                json_str_or(group, "preferredVersion.groupVersion",
                                                                ""),
                                                &p) < 0)
                        return kctl_fail(&p);
        if (!streq_ptr(k->flags.output, "name"))
                grid_print(&g, /* widths= */ NULL);
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
