/* kctl get: tables made by the server, the objects themselves, or any path of the API (--raw). */
#include "kctl/get.h"

#include "kctl/change.h"
#include "kctl/formats.h"
#include "lib/object.h"

bool get_wants_table(const struct kctl *k) {
        return !k->flags.output || streq(k->flags.output, "wide");
}

static bool is_single(const struct targets *t) {
        return t->count == 1 && t->items[0].name;
}

json_t *get_typed_item(const json_t *list, const json_t *item, const struct kind_ref *kind) {
        json_t *typed = json_pack("{s:s, s:s}", "apiVersion", json_str_or(list, "apiVersion", "v1"),
                        "kind", kind->resource.kind);

        if (typed)
                json_object_update(typed, (json_t *)item);
        return typed;
}

/* One named object is printed as it is, anything else as a List. */
static int print_objects(struct kctl *k, const struct targets *t) {
        _cleanup_json_ json_t *items = json_array(), *list = NULL;
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        for (size_t i = 0; i < t->count; i++) {
                const struct target *x = &t->items[i];
                _cleanup_free_ char *query = x->name ? strdup("") : selector_query(k, NULL),
                                    *path = query ? target_path(x, NULL, query) : NULL;
                _cleanup_json_ json_t *o = NULL;
                json_t *item;
                size_t j;
                int r = path ? api_get(k->client, path, &o, &p) : -ENOMEM;

                if (r < 0) {
                        if (!(r == -ENOENT && k->flags.ignore_not_found))
                                code = kctl_fail(&p);
                        continue;
                }
                if (is_single(t))
                        return print_object(k, o, &x->kind, &p) < 0 ? kctl_fail(&p) : code;
                if (streq(k->flags.output, "name") && !k->flags.sort_by) {
                        print_object(k, o, &x->kind, &p);
                        continue;
                }
                if (x->name)
                        json_array_append(items, o);
                json_array_foreach (json_object_get(o, "items"), j, item) {
                        _cleanup_json_ json_t *typed = get_typed_item(o, item, &x->kind);

                        if (!typed)
                                return kctl_error("out of memory");
                        json_array_append(items, typed);
                }
        }
        /* Named objects that do not exist do not make an empty list. */
        if ((streq(k->flags.output, "name") && !k->flags.sort_by) ||
                        (t->items[0].name && json_array_size(items) == 0))
                return code;
        if (k->flags.sort_by && sort_by_path(items, NULL, k->flags.sort_by, &p) < 0)
                return kctl_fail(&p);
        list = json_pack("{s:s, s:s, s:O, s:{s:s}}", "apiVersion", "v1", "kind", "List", "items",
                        items, "metadata", "resourceVersion", "");
        if (print_object(k, list, &t->items[0].kind, &p) < 0)
                return kctl_fail(&p);
        return code;
}

static int on_raw(struct http_call *call, const char *data, size_t n, void *userdata) {
        fwrite(data, 1, n, stdout);
        return fflush(stdout) == 0 ? 0 : -EPIPE;
}

/* --raw PATH: what the server answers, as it is. */
static int get_raw(struct kctl *k, const char *path) {
        _cleanup_problem_ struct problem p = {0};
        struct http_result result;
        int r;

        if (*path != '/' || strpbrk(path, " \r\n"))
                return kctl_usage(k, "--raw %s is not a path of the API, as /version", path);
        output_exact(k, !isatty(STDOUT_FILENO));
        r = http_client_do(api_client_http(k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = path,
                                        .accept = "*/*",
                                        .timeout_us = UINT64_MAX,
                                        .on_data = on_raw},
                        &result);
        output_exact(k, false);
        if (r < 0)
                problem_set(&p, r, 0, NULL, "%s", strempty(result.error_text));
        else if (result.code >= 300)
                problem_from_status(&p, result.code, result.body, result.body_size);
        http_result_done(&result);
        return p.message ? kctl_fail(&p) : EXIT_OK;
}

int kctl_get(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        const char *template;
        int r;

        if (format_parse(k->flags.output, &template) == FORMAT_UNKNOWN)
                return kctl_usage(k, "-o %s is not one of " FORMATS_TEXT, k->flags.output);
        if (k->words && k->flags.filenames)
                return kctl_usage(k, "either -f FILE or words name the objects, not both");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (k->flags.raw)
                return get_raw(k, k->flags.raw);
        r = k->flags.filenames ? targets_of_files(k, &t, &p) : targets_parse(k, 0, &t, &p);
        if (r < 0)
                return kctl_fail(&p);
        if (k->flags.watch || k->flags.watch_only)
                return t.count == 1 ? get_watch(k, &t.items[0])
                                    : kctl_usage(k, "-w follows one kind, or one object");
        return get_wants_table(k) ? get_tables(k, &t) : print_objects(k, &t);
}
