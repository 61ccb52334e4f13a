/* kctl get: tables made by the server, or the objects themselves. */
#include "kctl/kctl.h"
#include "lib/object.h"

#define ACCEPT_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

static bool wants_table(const struct kctl *k) {
        return !k->flags.output || streq(k->flags.output, "wide");
}

/* GET as a Table. 0, or negative with p. */
static int get_table(struct kctl *k, const char *path, json_t **ret, struct problem *p) {
        struct http_result result;
        char *error = NULL;
        int r = http_client_do(api_client_http(k->client),
                        &(struct http_call_options){
                                        .method = "GET", .path = path, .accept = ACCEPT_TABLE},
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

static bool is_single(const struct targets *t) {
        return t->count == 1 && t->items[0].name;
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
        _cleanup_free_ char *query = t->name ? strdup("") : selector_query(k, "limit=500");

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
                        more = token ? strformat("limit=500&continue=%s", token) : NULL;
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

/* Tables of several names of one kind are printed as one. */
static int print_tables(struct kctl *k, const struct targets *t) {
        bool prefix = false, printed = false;
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

/* Items of a list come without their kind: a copy that has it. */
static json_t *typed_item(const json_t *list, const json_t *item, const struct kind_ref *kind) {
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
                if (streq(k->flags.output, "name")) {
                        print_object(k, o, &x->kind, &p);
                        continue;
                }
                if (x->name)
                        json_array_append(items, o);
                json_array_foreach (json_object_get(o, "items"), j, item) {
                        _cleanup_json_ json_t *typed = typed_item(o, item, &x->kind);

                        if (!typed)
                                return kctl_error("out of memory");
                        json_array_append(items, typed);
                }
        }
        /* Named objects that do not exist do not make an empty list. */
        if (streq(k->flags.output, "name") || (t->items[0].name && json_array_size(items) == 0))
                return code;
        list = json_pack("{s:s, s:s, s:O, s:{s:s}}", "apiVersion", "v1", "kind", "List", "items",
                        items, "metadata", "resourceVersion", "");
        if (print_object(k, list, &t->items[0].kind, &p) < 0)
                return kctl_fail(&p);
        return code;
}

/* A running watch. */
struct row_watch {
        struct kctl *k;
        struct buf line;
        json_t *definitions; /* of the first table; later events leave them out */
        struct columns columns;
        const struct target *target;
        char version[32];
        struct problem problem;
        bool gone;
};

static int on_watch_line(struct row_watch *w, const char *line, size_t n) {
        _cleanup_json_ json_t *event = NULL, *table = NULL;
        json_t *object;
        const char *type;

        if (json_parse(line, n, 0, &event, NULL) < 0)
                return -EPROTO;
        type = json_str_or(event, "type", "");
        object = json_object_get(event, "object");
        if (streq(type, "ERROR")) {
                w->gone = json_int_or(object, "code", 0) == 410;
                problem_set(&w->problem, EIO, (int)json_int_or(object, "code", 500), NULL, "%s",
                                json_str_or(object, "message", "the watch failed"));
                return -EIO;
        }
        const char *version = json_str(object, "metadata.resourceVersion");
        if (!version && json_is_array(json_object_get(object, "rows")))
                version = json_str(
                                json_object_get(json_array_get(json_object_get(object, "rows"), 0),
                                                "object"),
                                "metadata.resourceVersion");
        if (version)
                snprintf(w->version, sizeof(w->version), "%s", version);
        if (streq(type, "BOOKMARK"))
                return 0;
        if (!wants_table(w->k)) {
                int r = print_object(w->k, object, &w->target->kind, &w->problem);

                return r < 0 ? r : fflush(stdout) == 0 ? 0 : -EPIPE;
        }
        if (json_array_size(json_object_get(object, "columnDefinitions")) > 0) {
                json_decref(w->definitions);
                w->definitions = json_incref(json_object_get(object, "columnDefinitions"));
        }
        table = json_copy(object);
        if (w->definitions)
                json_object_set(table, "columnDefinitions", w->definitions);
        print_table(w->k, table, w->k->flags.all_namespaces && w->target->kind.resource.namespaced,
                        NULL, &w->columns);
        return fflush(stdout) == 0 ? 0 : -EPIPE;
}

static int on_watch_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct row_watch *w = userdata;
        char *newline;
        int r = buf_append(&w->line, data, n);

        if (r < 0)
                return r;
        while (w->line.size > 0 && (newline = memchr(w->line.data, '\n', w->line.size))) {
                size_t length = (size_t)(newline - w->line.data);

                r = on_watch_line(w, w->line.data, length);
                buf_consume(&w->line, length + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Each object of a list as a watch will show it: with its kind, which items come without. */
static int print_items(struct kctl *k, const json_t *list, const struct kind_ref *kind,
                struct problem *p) {
        json_t *item;
        size_t i;
        int r;

        json_array_foreach (json_object_get(list, "items"), i, item) {
                _cleanup_json_ json_t *typed = typed_item(list, item, kind);

                if (!typed)
                        return -ENOMEM;
                r = print_object(k, typed, kind, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Shows the list once, then follows changes; a stream that ends is resumed where it ended. */
static int watch(struct kctl *k, const struct target *t) {
        struct row_watch w = {.k = k, .target = t};
        _cleanup_free_ char *field = NULL, *query = NULL, *path = NULL;
        _cleanup_json_ json_t *list = NULL;
        struct target whole = {t->kind, t->ns, NULL};
        int r = 0, code = EXIT_ERROR;

        if (t->name) {
                field = strformat("metadata.name=%s", t->name);
                free(k->flags.field_selector);
                k->flags.field_selector = TAKE_PTR(field);
        }
        query = selector_query(k, NULL);
        path = query ? target_path(&whole, NULL, query) : NULL;
        r = path ? wants_table(k) ? get_table(k, path, &list, &w.problem)
                                  : api_get(k->client, path, &list, &w.problem)
                 : -ENOMEM;
        if (r == 0) {
                snprintf(w.version, sizeof(w.version), "%s",
                                json_str_or(list, "metadata.resourceVersion", "0"));
                w.definitions = json_incref(json_object_get(list, "columnDefinitions"));
                if (wants_table(k) && !k->flags.watch_only &&
                                json_array_size(json_object_get(list, "rows")) > 0)
                        print_table(k, list, k->flags.all_namespaces && t->kind.resource.namespaced,
                                        NULL, &w.columns);
                else if (!wants_table(k) && !k->flags.watch_only)
                        r = print_items(k, list, &t->kind, &w.problem);
                fflush(stdout);
        }
        while (r >= 0) {
                _cleanup_free_ char *more = strformat("watch=true&allowWatchBookmarks=true&"
                                                      "resourceVersion=%s",
                                                    w.version),
                                    *watch_query = more ? selector_query(k, more) : NULL,
                                    *watch_path = watch_query ? target_path(&whole, NULL,
                                                                                watch_query)
                                                              : NULL;
                struct http_result result;

                if (!watch_path)
                        break;
                r = http_client_do(api_client_http(k->client),
                                &(struct http_call_options){.method = "GET",
                                                .path = watch_path,
                                                .accept = wants_table(k) ? ACCEPT_TABLE : NULL,
                                                .timeout_us = UINT64_MAX,
                                                .on_data = on_watch_data,
                                                .userdata = &w},
                                &result);
                if (r == 0 && result.code != 200) {
                        problem_from_status(&w.problem, result.code, result.body, result.body_size);
                        r = -EIO;
                } else if (r < 0 && !w.problem.message)
                        problem_set(&w.problem, r, 0, NULL, "%s", strempty(result.error_text));
                http_result_done(&result);
        }
        if (w.gone)
                code = kctl_error("the watch fell too far behind; start it again");
        else
                code = kctl_fail(&w.problem);
        problem_done(&w.problem);
        buf_done(&w.line);
        json_decref(w.definitions);
        return code;
}

int kctl_get(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};

        if (!kctl_client(k))
                return EXIT_ERROR;
        if (targets_parse(k, 0, &t, &p) < 0)
                return kctl_fail(&p);
        if (k->flags.output && !wants_table(k) && !streq(k->flags.output, "yaml") &&
                        !streq(k->flags.output, "json") && !streq(k->flags.output, "name") &&
                        !startswith(k->flags.output, "jsonpath="))
                return kctl_usage(k,
                                "-o %s is not one of wide, yaml, json, name, jsonpath=TEMPLATE",
                                k->flags.output);
        if (k->flags.watch || k->flags.watch_only)
                return t.count == 1 ? watch(k, &t.items[0])
                                    : kctl_usage(k, "-w follows one kind, or one object");
        return wants_table(k) ? print_tables(k, &t) : print_objects(k, &t);
}
