/* -o: which form, and tables of columns of one's own. */
#include "kctl/formats.h"

#include "kctl/grid.h"
#include "lib/fileio.h"
#include "lib/jsonpath.h"
#include "lib/object.h"

enum { TEMPLATE_SIZE_MAX = JSONPATH_TEMPLATE_MAX };

enum format format_parse(const char *text, const char **ret_template) {
        static const struct {
                const char *name;
                enum format format;
        } rows[] = {{"wide", FORMAT_TABLE}, {"name", FORMAT_NAME}, {"json", FORMAT_JSON},
                        {"yaml", FORMAT_YAML}, {"jsonpath=", FORMAT_JSONPATH},
                        {"jsonpath-file=", FORMAT_JSONPATH_FILE},
                        {"jsonpath-as-json=", FORMAT_JSONPATH_AS_JSON},
                        {"custom-columns=", FORMAT_COLUMNS},
                        {"custom-columns-file=", FORMAT_COLUMNS_FILE}};

        if (isempty(text))
                return FORMAT_TABLE;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const char *rest = startswith(text, rows[i].name);
                bool with_template = endswith(rows[i].name, "=");

                if (rest && (with_template || !*rest)) {
                        *ret_template = rest;
                        return rows[i].format;
                }
        }
        return FORMAT_UNKNOWN;
}

int format_file(const char *path, char **ret, struct problem *p) {
        int r = file_read(path, TEMPLATE_SIZE_MAX, ret, NULL);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

/* The columns of a table. */
struct custom {
        char **headings;
        struct jsonpath **paths;
        size_t count;
};

static void custom_done(struct custom *c) {
        strv_free(c->headings);
        for (size_t i = 0; i < c->count; i++)
                jsonpath_free(c->paths[i]);
        free(c->paths);
}

static int add_column(struct custom *c, const char *heading, const char *path, struct problem *p) {
        struct jsonpath **paths = reallocarray(c->paths, c->count + 1, sizeof(*paths));
        int r;

        if (!paths)
                return -ENOMEM;
        c->paths = paths;
        r = jsonpath_parse(path, &paths[c->count], p);
        if (r < 0)
                return r;
        c->count++;
        return strv_extend(&c->headings, heading);
}

/* The end of a column's text: a comma outside of brackets and quotes. */
static size_t column_length(const char *s) {
        unsigned depth = 0;
        char quote = 0;
        size_t n = 0;

        for (; s[n] && (s[n] != ',' || depth > 0 || quote); n++)
                if (quote)
                        quote = s[n] == quote ? 0 : quote;
                else if (s[n] == '"' || s[n] == '\'')
                        quote = s[n];
                else if (strchr("[({", s[n]))
                        depth++;
                else if (strchr("])}", s[n]) && depth > 0)
                        depth--;
        return n;
}

static int columns_parse(const char *spec, struct custom *c, struct problem *p) {
        while (*spec) {
                size_t n = column_length(spec);
                _cleanup_free_ char *one = strndup(spec, n);
                char *colon = one ? strchr(one, ':') : NULL;
                int r;

                if (!one)
                        return -ENOMEM;
                if (!colon || colon == one || !colon[1])
                        return problem_set(p, EINVAL, 0, NULL,
                                        "custom-columns: \"%s\" is not HEADING:PATH, as "
                                        "NAME:.metadata.name",
                                        one);
                *colon = 0;
                r = add_column(c, one, colon + 1, p);
                if (r < 0)
                        return r;
                spec += n + (spec[n] == ',');
        }
        if (c->count == 0 || c->count > GRID_COLUMNS_MAX)
                return problem_set(p, EINVAL, 0, NULL,
                                "custom-columns: 1 to %d columns are needed, as "
                                "NAME:.metadata.name",
                                GRID_COLUMNS_MAX);
        return 0;
}

static bool add_value(const json_t *value, void *userdata) {
        struct buf *b = userdata;
        _cleanup_free_ char *text = json_is_string(value) ? strdup(json_string_value(value))
                                    : json_is_null(value) ? strdup("<nil>")
                                                          : json_text(value);

        buf_printf(b, "%s%s", b->size > 0 ? "," : "", strempty(text));
        return !b->failed;
}

static int add_object(struct grid *g, const struct custom *c, const json_t *object) {
        _cleanup_strv_free_ char **row = NULL;

        for (size_t i = 0; i < c->count; i++) {
                _cleanup_buf_ struct buf b = {0};
                int r;

                jsonpath_each(c->paths[i], object, add_value, &b);
                if (b.size == 0 && !b.failed && !jsonpath_first(c->paths[i], object))
                        buf_append_str(&b, "<none>");
                r = grid_push(&row, buf_take(&b));
                if (r < 0)
                        return r;
        }
        return grid_add(g, TAKE_PTR(row));
}

static int print_columns(struct kctl *k, const json_t *object, const struct custom *c) {
        const json_t *items = json_object_get(object, "items"), *item;
        _cleanup_grid_ struct grid g = {0};
        size_t i;
        int r = 0;

        if (!k->flags.no_headers)
                r = grid_add_texts(&g, (const char *const *)c->headings, c->count);
        if (r < 0)
                return r;
        if (!json_is_array(items)) {
                r = add_object(&g, c, object);
                if (r < 0)
                        return r;
        }
        json_array_foreach (items, i, item) {
                r = add_object(&g, c, item);
                if (r < 0)
                        return r;
        }
        grid_print(&g, /* widths= */ NULL);
        return 0;
}

int print_custom_columns(struct kctl *k, const json_t *object, const char *spec,
                struct problem *p) {
        _cleanup_(custom_done) struct custom c = {0};
        int r = columns_parse(spec, &c, p);

        return r < 0 ? r : print_columns(k, object, &c);
}

int print_custom_columns_file(struct kctl *k, const json_t *object, const char *text,
                struct problem *p) {
        _cleanup_strv_free_ char **lines = NULL, **headings = NULL, **paths = NULL;
        _cleanup_(custom_done) struct custom c = {0};

        if (strv_split(text, "\r\n", &lines) < 0)
                return -ENOMEM;
        if (strv_length(lines) < 2)
                return problem_set(p, EINVAL, 0, NULL,
                                "custom-columns-file: a line of headings and a line of paths are "
                                "needed");
        if (strv_split(lines[0], " \t", &headings) < 0 || strv_split(lines[1], " \t", &paths) < 0)
                return -ENOMEM;
        if (strv_length(headings) != strv_length(paths) || !headings)
                return problem_set(p, EINVAL, 0, NULL,
                                "custom-columns-file: %zu headings and %zu paths are not the same "
                                "number",
                                strv_length(headings), strv_length(paths));
        for (size_t i = 0; headings[i]; i++) {
                int r = add_column(&c, headings[i], paths[i], p);

                if (r < 0)
                        return r;
        }
        return print_columns(k, object, &c);
}
