/* kctl get -w. */
#include "kctl/get.h"
#include "lib/object.h"

/* The server sends a bookmark a minute. */
enum { WATCH_IDLE_US = 130 * 1000 * 1000, RESUME_US = 300 * 1000 };

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
        if (!get_wants_table(w->k)) {
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
                _cleanup_json_ json_t *typed = get_typed_item(list, item, kind);

                if (!typed)
                        return -ENOMEM;
                r = print_object(k, typed, kind, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The server is gone, and the cluster has others: one of them continues where this one ended. */
static bool resume(struct kctl *k, struct row_watch *w, const struct http_result *result) {
        if (!api_client_is_redundant(k->client))
                return false;
        api_client_note(k->client, result);
        buf_reset(&w->line);
        usleep(RESUME_US);
        return true;
}

int get_watch(struct kctl *k, const struct target *t) {
        struct row_watch w = {.k = k, .target = t};
        _cleanup_free_ char *field = NULL, *query = NULL, *path = NULL;
        _cleanup_json_ json_t *list = NULL;
        struct target whole = {t->kind, t->ns, NULL};
        uint64_t idle_us = api_client_is_redundant(k->client) ? WATCH_IDLE_US : 0;
        int r = 0, code = EXIT_ERROR;

        if (t->name) {
                field = strformat("metadata.name=%s", t->name);
                free(k->flags.field_selector);
                k->flags.field_selector = TAKE_PTR(field);
        }
        query = selector_query(k, NULL);
        path = query ? target_path(&whole, NULL, query) : NULL;
        r = path ? get_wants_table(k) ? get_table(k, path, &list, &w.problem)
                                  : api_get(k->client, path, &list, &w.problem)
                 : -ENOMEM;
        if (r == 0) {
                snprintf(w.version, sizeof(w.version), "%s",
                                json_str_or(list, "metadata.resourceVersion", "0"));
                w.definitions = json_incref(json_object_get(list, "columnDefinitions"));
                if (get_wants_table(k) && !k->flags.watch_only &&
                                json_array_size(json_object_get(list, "rows")) > 0)
                        print_table(k, list, k->flags.all_namespaces && t->kind.resource.namespaced,
                                        NULL, &w.columns);
                else if (!get_wants_table(k) && !k->flags.watch_only)
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
                                                .accept = get_wants_table(k)
                                                                        ? GET_ACCEPT_TABLE
                                                                        : NULL,
                                                .timeout_us = UINT64_MAX,
                                                .idle_timeout_us = idle_us,
                                                .on_data = on_watch_data,
                                                .userdata = &w},
                                &result);
                if (r == 0 && result.code != 200) {
                        problem_from_status(&w.problem, result.code, result.body, result.body_size);
                        r = -EIO;
                } else if (r < 0 && !w.problem.message && !w.gone && resume(k, &w, &result))
                        r = 0;
                else if (r < 0 && !w.problem.message)
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
