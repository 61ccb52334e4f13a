/* kctl get: the tables that the server makes, page by page. */
#include "kctl/formats.h"
#include "kctl/get.h"
#include "lib/object.h"

int get_table(struct kctl *k, const char *path, json_t **ret, struct problem *p) {
        struct http_result result;
        char *error = NULL;
        int r = http_client_do(api_client_http(k->client),
                        &(struct http_call_options){
                                        .method = "GET", .path = path, .accept = GET_ACCEPT_TABLE},
                        &result);

        if (r < 0)
                problem_set(p, r, 0, NULL, "%s", strempty(result.error_text));
        else if (result.code != 200) {
                problem_from_status(p, result.code, result.body, result.body_size);
                r = result.code == 404 ? -ENOENT : -EINVAL;
        } else if (json_parse(result.body, result.body_size, 0, ret, &error) < 0)
                r = problem_set(p, EINVAL, 0, NULL, "the server's answer is not JSON: %s",
                                strempty(error));
        free(error);
        http_result_done(&result);
        return r;
}

/* Appends the rows of a table to another, which is made of the first. Takes table. */
static int append_rows(json_t **all, json_t *table_taken) {
        _cleanup_json_ json_t *table = table_taken;

        if (!*all) {
                *all = TAKE_PTR(table);
                return 0;
        }
        return json_array_extend(json_object_get(*all, "rows"), json_object_get(table, "rows")) < 0
                               ? -ENOMEM
                               : 0;
}

/* Adds the rows of a target to a table, page by page. */
static int read_rows(struct kctl *k, const struct target *t, json_t **all, struct problem *p) {
        /* To sort by a field, the rows must have whole objects. */
        const char *include = k->flags.sort_by ? "includeObject=Object" : NULL,
                   *first = include ? "limit=500&includeObject=Object" : "limit=500";
        _cleanup_free_ char *query = t->name ? strdup(strempty(include)) : selector_query(k, first);

        while (query) {
                _cleanup_free_ char *path = target_path(t, NULL, query), *token = NULL,
                                    *more = NULL;
                _cleanup_json_ json_t *page = NULL;
                int r;

                if (!path)
                        return -ENOMEM;
                r = get_table(k, path, &page, p);
                if (r < 0)
                        return r;
                if (!isempty(json_str(page, "metadata.continue"))) {
                        token = url_escape(json_str(page, "metadata.continue"));
                        more = token ? strformat("%s&continue=%s", first, token) : NULL;
                        if (!more)
                                return -ENOMEM;
                }
                r = append_rows(all, TAKE_PTR(page));
                if (r < 0 || !more)
                        return r;
                free(query);
                query = selector_query(k, more);
        }
        return -ENOMEM;
}

static bool same_kind(const struct target *a, const struct target *b) {
        return streq(a->kind.resource.plural, b->kind.resource.plural) &&
               streq(a->kind.resource.group, b->kind.resource.group);
}

static void print_no_resources(const struct kctl *k, const struct target *t) {
        fflush(stdout);
        if (k->flags.all_namespaces || !t->kind.resource.namespaced)
                fprintf(stderr, "No resources found\n");
        else
                fprintf(stderr, "No resources found in %s namespace.\n", t->ns);
}

int get_tables(struct kctl *k, const struct targets *t) {
        bool prefix = k->flags.show_kind, printed = false;
        int code = EXIT_OK;

        for (size_t i = 1; i < t->count; i++)
                prefix |= !same_kind(&t->items[i], &t->items[0]);
        for (size_t i = 0, end; i < t->count; i = end) {
                const struct kind_ref *kind = &t->items[i].kind;
                _cleanup_json_ json_t *all = NULL;
                char label[320];

                for (end = i; end < t->count && same_kind(&t->items[end], &t->items[i]); end++) {
                        _cleanup_problem_ struct problem p = {0};
                        int r = read_rows(k, &t->items[end], &all, &p);

                        if (r < 0 && !(r == -ENOENT && k->flags.ignore_not_found))
                                code = kctl_fail(&p);
                }
                if (json_array_size(json_object_get(all, "rows")) == 0)
                        continue;
                if (k->flags.sort_by) {
                        _cleanup_problem_ struct problem p = {0};

                        if (sort_by_path(json_object_get(all, "rows"), "object", k->flags.sort_by,
                                            &p) < 0)
                                return kctl_fail(&p);
                }
                if (printed)
                        putchar('\n');
                print_table(k, all, k->flags.all_namespaces && kind->resource.namespaced,
                                prefix ? kind_label(kind, label) : NULL, /* columns= */ NULL);
                printed = true;
        }
        if (!printed && code == EXIT_OK && !k->flags.ignore_not_found)
                print_no_resources(k, &t->items[0]);
        return code;
}
