/* Tables for users, objects for programs. */
#include "kctl/kctl.h"
#include "lib/jsonpath.h"
#include "lib/object.h"
#include "lib/plain.h"
#include "lib/yaml.h"

enum { COLUMNS_MAX = 64, GAP = 3 };

/* Width on a terminal: code points; good enough for names of machines and objects. */
static size_t text_width(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                n += ((unsigned char)*s & 0xc0) != 0x80;
        return n;
}

static char *cell_text(const json_t *v) {
        if (!v || json_is_null(v))
                return strdup("");
        if (json_is_string(v))
                return strdup(json_string_value(v));
        return json_text(v);
}

static char *labels_text(const json_t *object) {
        _cleanup_buf_ struct buf b = {0};
        const char *key;
        json_t *v;

        json_object_foreach (json_at_mut((json_t *)object, "metadata.labels"), key, v)
                buf_printf(&b, "%s%s=%s", b.size ? "," : "", key, strempty(json_string_value(v)));
        if (b.size == 0)
                buf_append_str(&b, "<none>");
        return buf_take(&b);
}

void print_outside(const char *text, unsigned column) {
        _cleanup_free_ char *shown = plain_copy(text, strlen(text), PLAIN_TEXT);

        for (const char *line = strempty(shown); line;) {
                const char *end = strchrnul(line, '\n');

                printf("%.*s\n", (int)(end - line), line);
                line = *end && end[1] ? end + 1 : NULL;
                if (line)
                        printf("%*s", (int)column, "");
        }
}

/* The whole table as texts, so that widths are known before the first line. */
struct grid {
        char ***rows;
        size_t count;
};

static void grid_done(struct grid *g) {
        for (size_t i = 0; i < g->count; i++)
                strv_free(g->rows[i]);
        free(g->rows);
}

static int grid_add(struct grid *g, char **row) {
        char ***rows = reallocarray(g->rows, g->count + 1, sizeof(*rows));

        if (!rows) {
                strv_free(row);
                return -ENOMEM;
        }
        g->rows = rows;
        rows[g->count++] = row;
        return 0;
}

static int push(char ***row, char *text_taken) {
        _cleanup_free_ char *text = text_taken,
                            *shown = text ? plain_copy(text, strlen(text), PLAIN_LINE) : NULL;

        return shown ? strv_extend(row, shown) : -ENOMEM;
}

static bool shown(struct kctl *k, const json_t *definition) {
        return json_int_or(definition, "priority", 0) == 0 || streq_ptr(k->flags.output, "wide");
}

static int header_row(struct kctl *k, const json_t *table, bool with_namespace, char ***ret) {
        _cleanup_strv_free_ char **row = NULL;
        const json_t *d;
        size_t i;
        int r;

        if (with_namespace) {
                r = strv_extend(&row, "NAMESPACE");
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_object_get(table, "columnDefinitions"), i, d) {
                if (!shown(k, d))
                        continue;
                char *name = strdup(json_str_or(d, "name", ""));

                for (char *c = name; c && *c; c++)
                        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
                r = push(&row, name);
                if (r < 0)
                        return r;
        }
        if (k->flags.show_labels) {
                r = strv_extend(&row, "LABELS");
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(row);
        return 0;
}

/* The text of a cell; the first one begins with the prefix. */
static char *prefixed_text(const json_t *cell, size_t i, const char *prefix) {
        _cleanup_free_ char *text = cell_text(cell);

        if (i > 0 || !prefix || !text)
                return TAKE_PTR(text);
        return strformat("%s/%s", prefix, text);
}

static int data_row(struct kctl *k, const json_t *definitions, const json_t *row,
                bool with_namespace, const char *prefix, char ***ret) {
        const json_t *object = json_object_get(row, "object"),
                     *cells = json_object_get(row, "cells"), *cell;
        _cleanup_strv_free_ char **out = NULL;
        size_t i;
        int r;

        if (with_namespace) {
                r = push(&out, strdup(object_namespace(object)));
                if (r < 0)
                        return r;
        }
        json_array_foreach (cells, i, cell) {
                if (!shown(k, json_array_get(definitions, i)))
                        continue;
                r = push(&out, prefixed_text(cell, i, prefix));
                if (r < 0)
                        return r;
        }
        if (k->flags.show_labels) {
                r = push(&out, labels_text(object));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(out);
        return 0;
}

static void print_row(char *const *row, const size_t *widths) {
        for (size_t i = 0; row && row[i] && i < COLUMNS_MAX; i++) {
                fputs(row[i], stdout);
                if (row[i + 1])
                        for (size_t n = text_width(row[i]); n < widths[i] + GAP; n++)
                                putchar(' ');
        }
        putchar('\n');
}

void print_table(struct kctl *k, const json_t *table, bool with_namespace, const char *kind_prefix,
                struct columns *columns) {
        struct columns own = {0};
        _cleanup_(grid_done) struct grid grid = {0};
        /* A watch gives the definitions once. */
        const json_t *definitions = json_object_get(table, "columnDefinitions"), *row;
        char **line = NULL;
        size_t i;

        if (!columns)
                columns = &own;
        if (!k->flags.no_headers && !columns->header_done &&
                        (header_row(k, table, with_namespace, &line) < 0 ||
                                        grid_add(&grid, line) < 0))
                return;
        columns->header_done = true;
        json_array_foreach (json_object_get(table, "rows"), i, row) {
                line = NULL;
                if (data_row(k, definitions, row, with_namespace, kind_prefix, &line) < 0 ||
                                grid_add(&grid, line) < 0)
                        return;
        }
        for (i = 0; i < grid.count; i++)
                for (size_t j = 0; grid.rows[i] && grid.rows[i][j] && j < COLUMNS_MAX; j++)
                        columns->widths[j] = MAX(columns->widths[j], text_width(grid.rows[i][j]));
        for (i = 0; i < grid.count; i++)
                print_row(grid.rows[i], columns->widths);
}

/* managedFields are for machines; kubectl leaves them out too. */
static json_t *without_managed_fields(const json_t *o) {
        json_t *copy = json_copy((json_t *)o), *metadata = json_object_get(o, "metadata"),
               *items = json_object_get(o, "items"), *item;
        size_t i;

        if (json_object_get(metadata, "managedFields")) {
                json_t *m = json_copy(metadata);

                json_object_del(m, "managedFields");
                json_object_set_new(copy, "metadata", m);
        }
        if (json_is_array(items)) {
                json_t *list = json_array();

                json_array_foreach (items, i, item)
                        json_array_append_new(list, without_managed_fields(item));
                json_object_set_new(copy, "items", list);
        }
        return copy;
}

static void print_names(const json_t *o, const struct kind_ref *kind) {
        const json_t *items = json_object_get(o, "items"), *item;
        char label[320];
        size_t i;

        if (!json_is_array(items)) {
                printf("%s/%s\n", kind_label(kind, label), object_name(o));
                return;
        }
        json_array_foreach (items, i, item)
                printf("%s/%s\n", kind_label(kind, label), object_name(item));
}

int print_object(struct kctl *k, const json_t *object, const struct kind_ref *kind,
                struct problem *p) {
        const char *format = strempty(k->flags.output), *template;
        _cleanup_json_ json_t *clean = NULL;
        _cleanup_free_ char *text = NULL;

        if (streq(format, "name")) {
                print_names(object, kind);
                return 0;
        }
        template = startswith(format, "jsonpath=");
        if (template) {
                int r = jsonpath_print(template, object, &text, p);

                if (r < 0)
                        return r;
                /* A program takes the value as it is. */
                output_exact(k, !isatty(STDOUT_FILENO));
                fputs(text, stdout);
                output_exact(k, false);
                return 0;
        }
        clean = without_managed_fields(object);
        if (streq(format, "json")) {
                _cleanup_free_ char *raw = clean ? json_text_pretty(clean) : NULL;

                text = raw ? plain_copy(raw, strlen(raw), PLAIN_JSON) : NULL;
        } else if (streq(format, "yaml"))
                text = clean ? yaml_text(clean) : NULL;
        else
                return problem_set(p, EINVAL, 0, NULL,
                                "-o %s is not one of wide, yaml, json, name, jsonpath=TEMPLATE",
                                format);
        if (!text)
                return -ENOMEM;
        fputs(text, stdout);
        if (streq(format, "json"))
                putchar('\n');
        return 0;
}
