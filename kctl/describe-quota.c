/* Tables of amounts. */
#include "kctl/describe-quota.h"

#include "lib/object.h"

static int by_text(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The sorted keys of an object; a vector that borrows them, to be freed. NULL when out of memory.
 */
static const char **sorted_keys(const json_t *o) {
        const char **keys = calloc(json_object_size(o) + 1, sizeof(*keys));
        const char *key;
        size_t n = 0;
        json_t *v;

        if (!keys)
                return NULL;
        json_object_each (o, key, v)
                keys[n++] = key;
        qsort(keys, n, sizeof(*keys), by_text);
        return keys;
}

static const char *text_of(const json_t *amounts, const char *resource) {
        const char *s = json_string_value(json_object_get(amounts, resource));

        return isempty(s) ? "-" : s;
}

static void print_scopes(const json_t *quota) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(quota, "spec.scopes"), i, v)
                printf("Scope:                %s\n", strempty(json_string_value(v)));
        json_array_foreach (json_at(quota, "spec.scopeSelector.matchExpressions"), i, v) {
                _cleanup_free_ char *values = json_text(json_object_get(v, "values"));

                printf("Scope:                %s %s %s\n", json_str_or(v, "scopeName", ""),
                                json_str_or(v, "operator", ""), strempty(values));
        }
}

void describe_quota(const json_t *quota, bool titled) {
        const json_t *hard = json_at(quota, "status.hard"), *used = json_at(quota, "status.used");
        const char **keys = sorted_keys(hard);
        size_t width = strlen("Resource");

        if (titled)
                printf("  Name:               %s\n", object_name(quota));
        print_scopes(quota);
        for (size_t i = 0; keys && keys[i]; i++)
                width = MAX(width, strlen(keys[i]));
        printf("  %-*s %-12s %s\n", (int)width, "Resource", "Used", "Hard");
        for (size_t i = 0; keys && keys[i]; i++)
                printf("  %-*s %-12s %s\n", (int)width, keys[i], text_of(used, keys[i]),
                                text_of(hard, keys[i]));
        free(keys);
}

static const char *const amounts[] = {
                "min", "max", "defaultRequest", "default", "maxLimitRequestRatio"};

static void print_limit(const json_t *limit) {
        _cleanup_json_ json_t *all = json_object();
        const char **keys = NULL;

        for (size_t a = 0; all && a < ELEMENTS(amounts); a++) {
                json_t *some = json_object_get(limit, amounts[a]);

                if (some && json_object_update(all, some) < 0)
                        return;
        }
        keys = sorted_keys(all);
        for (size_t i = 0; keys && keys[i]; i++) {
                printf("  %-21s %-18s", json_str_or(limit, "type", ""), keys[i]);
                for (size_t a = 0; a < ELEMENTS(amounts); a++)
                        printf(" %-*s", a < 2 ? 8 : 15,
                                        text_of(json_object_get(limit, amounts[a]), keys[i]));
                putchar('\n');
        }
        free(keys);
}

void describe_limit_range(const json_t *range) {
        const json_t *limit;
        size_t i;

        printf("  %-21s %-18s %-8s %-8s %-15s %-15s %s\n", "Type", "Resource", "Min", "Max",
                        "Default Request", "Default Limit", "Max Limit/Request Ratio");
        json_array_foreach (json_at(range, "spec.limits"), i, limit)
                print_limit(limit);
}

static json_t *list_of(struct kctl *k, enum kind_id kind, const char *namespace) {
        _cleanup_free_ char *path = api_path(api_resource(kind), namespace, NULL, NULL, NULL);
        _cleanup_problem_ struct problem p = {0};
        json_t *list = NULL;

        if (!path || api_get(k->client, path, &list, &p) < 0)
                return NULL;
        return list;
}

void describe_bounds(struct kctl *k, const char *namespace) {
        _cleanup_json_ json_t *quotas = list_of(k, KIND_RESOURCEQUOTAS, namespace),
                              *ranges = list_of(k, KIND_LIMITRANGES, namespace);
        const json_t *o;
        size_t i;

        printf("Resource Quotas:%s\n", json_array_size(json_object_get(quotas, "items")) == 0
                                                       ? "      <none>"
                                                       : "");
        json_array_foreach (json_object_get(quotas, "items"), i, o)
                describe_quota(o, true);
        printf("Resource Limits:%s\n", json_array_size(json_object_get(ranges, "items")) == 0
                                                       ? "      <none>"
                                                       : "");
        json_array_foreach (json_object_get(ranges, "items"), i, o)
                describe_limit_range(o);
}
