/* Tables for users, objects for programs. */
#include "kctl/change.h"
#include "kctl/formats.h"
#include "kctl/grid.h"
#include "lib/jsonpath.h"
#include "lib/object.h"
#include "lib/plain.h"
#include "lib/yaml.h"

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

static bool shown(struct kctl *k, const json_t *definition) {
        return json_int_or(definition, "priority", 0) == 0 || streq_ptr(k->flags.output, "wide");
}

static char *upper(const char *text) {
        char *name = strdup(text);

        for (char *c = name; c && *c; c++)
                *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        return name;
}

/* -L: a label's name without what stands before its '/'. */
static char *label_heading(const char *label) {
        const char *slash = strrchr(label, '/');

        return upper(slash ? slash + 1 : label);
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
                r = grid_push(&row, upper(json_str_or(d, "name", "")));
                if (r < 0)
                        return r;
        }
        for (char **label = k->flags.label_columns; label && *label; label++) {
                r = grid_push(&row, label_heading(*label));
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
                r = grid_push(&out, strdup(object_namespace(object)));
                if (r < 0)
                        return r;
        }
        json_array_foreach (cells, i, cell) {
                if (!shown(k, json_array_get(definitions, i)))
                        continue;
                r = grid_push(&out, prefixed_text(cell, i, prefix));
                if (r < 0)
                        return r;
        }
        for (char **label = k->flags.label_columns; label && *label; label++) {
                const char *value = object_label(object, *label);

                r = grid_push(&out, strdup(strempty(value)));
                if (r < 0)
                        return r;
        }
        if (k->flags.show_labels) {
                r = grid_push(&out, labels_text(object));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(out);
        return 0;
}

void print_table(struct kctl *k, const json_t *table, bool with_namespace, const char *kind_prefix,
                struct columns *columns) {
        struct columns own = {0};
        _cleanup_grid_ struct grid grid = {0};
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
        grid_print(&grid, columns->widths);
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
                printf("%s/%s\n", object_kind_label(o, kind, label), object_name(o));
                return;
        }
        json_array_foreach (items, i, item)
                printf("%s/%s\n", object_kind_label(item, kind, label), object_name(item));
}

/* Values for a program, as they are. */
static void print_exact(struct kctl *k, const char *text) {
        output_exact(k, !isatty(STDOUT_FILENO));
        fputs(text, stdout);
        output_exact(k, false);
}

static int print_jsonpath(
                struct kctl *k, const json_t *object, const char *template, struct problem *p) {
        /* Maps come with their keys in order, as kubectl prints them. */
        _cleanup_json_ json_t *sorted = json_sorted(object);
        _cleanup_free_ char *text = NULL;
        int r = sorted ? jsonpath_print(template, sorted, &text, p) : -ENOMEM;

        if (r < 0)
                return r;
        print_exact(k, text);
        return 0;
}

static bool collect(const json_t *value, void *userdata) {
        return json_array_append(userdata, json_unconst(value)) == 0;
}

/* -o jsonpath-as-json=: every value that the path reaches, as a JSON array. */
static int print_path_as_json(const json_t *object, const char *template, struct problem *p) {
        _cleanup_(jsonpath_freep) struct jsonpath *path = NULL;
        _cleanup_json_ json_t *values = json_array(), *sorted = json_sorted(object);
        _cleanup_free_ char *text = NULL;
        int r = jsonpath_parse(template, &path, p);

        if (r < 0)
                return r;
        jsonpath_each(path, sorted, collect, values);
        text = json_text_pretty(values);
        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

static int print_document(struct kctl *k, const json_t *object, bool yaml) {
        _cleanup_json_ json_t *clean = k->flags.show_managed_fields
                                                       ? json_ref(object)
                                                       : without_managed_fields(object),
                              *sorted = clean ? json_sorted(clean) : NULL;
        _cleanup_free_ char *text = NULL;

        if (!sorted)
                return -ENOMEM;
        if (!yaml) {
                _cleanup_free_ char *raw = json_text_pretty(sorted);

                text = raw ? plain_copy(raw, strlen(raw), PLAIN_JSON) : NULL;
        } else
                text = yaml_text(sorted);
        if (!text)
                return -ENOMEM;
        fputs(text, stdout);
        if (!yaml)
                putchar('\n');
        return 0;
}

int print_object(struct kctl *k, const json_t *object, const struct kind_ref *kind,
                struct problem *p) {
        const char *template = NULL;
        _cleanup_free_ char *text = NULL;
        int r = 0;

        switch (format_parse(k->flags.output, &template)) {
        case FORMAT_NAME:
                print_names(object, kind);
                return 0;
        case FORMAT_JSON:
                return print_document(k, object, /* yaml= */ false);
        case FORMAT_YAML:
                return print_document(k, object, /* yaml= */ true);
        case FORMAT_JSONPATH:
                return print_jsonpath(k, object, template, p);
        case FORMAT_JSONPATH_FILE:
                r = format_file(template, &text, p);
                return r < 0 ? r : print_jsonpath(k, object, text, p);
        case FORMAT_JSONPATH_AS_JSON:
                return print_path_as_json(object, template, p);
        case FORMAT_COLUMNS:
                return print_custom_columns(k, object, template, p);
        case FORMAT_COLUMNS_FILE:
                r = format_file(template, &text, p);
                return r < 0 ? r : print_custom_columns_file(k, object, text, p);
        default:
                return problem_set(p, EINVAL, 0, NULL, "-o %s is not one of " FORMATS_TEXT,
                                strempty(k->flags.output));
        }
}
