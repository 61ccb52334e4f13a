/* Tables: columns from the kind, cells by JSONPath or by the function that the column names
 * (cells.c). */
#include "kapid/table/table.h"

#include "kapid/table/cells.h"
#include "lib/json-part.h"
#include "lib/json-text.h"
#include "lib/jsonpath.h"

enum { CELL_SIZE_MAX = 64 * 1024 };

static const struct kind_column scale_columns[] = {
                {.name = "Name",
                                .type = "string",
                                .format = "name",
                                .description = "The name of the object that is scaled.",
                                .path = ".metadata.name"},
                {.name = "Desired",
                                .type = "integer",
                                .format = "",
                                .description = "How many pods there should be.",
                                .path = ".spec.replicas",
                                .absent = "0"},
                {.name = "Available",
                                .type = "integer",
                                .format = "",
                                .description = "How many pods there are.",
                                .path = ".status.replicas"},
                {.name = "Age",
                                .type = "date",
                                .format = "",
                                .description = "Time since the object was created.",
                                .path = ".metadata.creationTimestamp"},
};

const struct kind table_of_scales = {
                .columns = scale_columns, .column_count = ELEMENTS(scale_columns)};

int table_include_parse(const char *word, enum table_include *ret, struct problem *p) {
        if (isempty(word) || streq(word, "Metadata"))
                *ret = TABLE_INCLUDE_METADATA;
        else if (streq(word, "None"))
                *ret = TABLE_INCLUDE_NONE;
        else if (streq(word, "Object"))
                *ret = TABLE_INCLUDE_OBJECT;
        else
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "unrecognized includeObject value: \"%s\" (None, Metadata or "
                                "Object)",
                                word);
        return 0;
}

json_t *table_new(const struct kind *k, const char *version, const json_t *list_metadata,
                bool with_columns) {
        _cleanup_free_ char *api_version = strformat("meta.k8s.io/%s", version);
        json_t *table = json_pack("{s:s, s:s, s:O?, s:o, s:[]}", "kind", "Table", "apiVersion",
                        strempty(api_version), "metadata", (json_t *)list_metadata,
                        "columnDefinitions", with_columns ? json_array() : json_null(), "rows");
        json_t *columns = json_object_get(table, "columnDefinitions");

        if (table && !list_metadata)
                json_object_set_new(table, "metadata", json_object());
        for (size_t i = 0; with_columns && columns && i < k->column_count; i++) {
                const struct kind_column *c = &k->columns[i];

                json_array_append_new(
                                columns, json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", c->name,
                                                         "type", c->shown ? c->shown : c->type,
                                                         "format", c->format, "description",
                                                         c->description, "priority", c->priority));
        }
        return table;
}

/* All matches of a path, as one text joined by commas when there are several; or the first alone,
 * as the reference server has it for definitions. */
struct matches {
        bool alone;
        json_t *first;
        struct buf text;
        size_t count;
};

static void add_text(struct buf *b, const json_t *v) {
        if (json_is_string(v))
                buf_append_str(b, json_string_value(v));
        else {
                _cleanup_free_ char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

                buf_append_str(b, strempty(text));
        }
}

static bool meet(const json_t *v, void *userdata) {
        struct matches *m = userdata;

        if (m->count++ == 0)
                m->first = (json_t *)v;
        else
                buf_append_char(&m->text, ',');
        add_text(&m->text, v);
        return !m->alone && m->text.size < CELL_SIZE_MAX;
}

/* The cell of a column whose path finds nothing. */
static json_t *absent_cell(const struct kind_column *c) {
        if (c->first)
                return json_null();
        if (!c->absent)
                return streq(c->type, "string") ? json_string("")
                       : streq(c->type, "date") ? json_string("<unknown>")
                                                : json_null();
        if (streq(c->type, "integer"))
                return json_integer(strtoll(c->absent, NULL, 10));
        if (streq(c->type, "boolean"))
                return json_boolean(streq(c->absent, "true"));
        return json_string(c->absent);
}

static json_t *path_cell(const struct kind_column *c, const json_t *object, uint64_t now_us) {
        _cleanup_(jsonpath_freep) struct jsonpath *made = NULL;
        _cleanup_problem_ struct problem unreadable = {0};
        const struct jsonpath *steps = c->steps;
        _cleanup_buf_ struct buf unused = {0};
        struct matches m = {.alone = c->first};
        json_t *cell = NULL;

        if (!steps && jsonpath_parse(c->path, &made, &unreadable) >= 0)
                steps = made; /* of no kind: a scale's */
        if (steps)
                jsonpath_each(steps, object, meet, &m);
        if (m.count == 0 || json_is_null(m.first)) {
                unused = m.text;
                return absent_cell(c);
        }
        unused = m.text;
        if (streq(c->type, "date"))
                cell = json_is_string(m.first) ? cells_age(json_string_value(m.first), now_us)
                                               : json_null();
        else if (streq(c->type, "integer"))
                cell = json_is_integer(m.first) ? json_incref(m.first) : json_null();
        else if (streq(c->type, "number"))
                cell = json_is_number(m.first) ? json_incref(m.first) : json_null();
        else if (streq(c->type, "boolean"))
                cell = json_is_boolean(m.first) ? json_incref(m.first) : json_null();
        else if (c->absent && m.text.size == 0)
                cell = absent_cell(c);
        else
                cell = json_string(strempty(unused.data));
        return cell;
}

/* NULL when out of memory. */
static json_t *cells_of(const struct kind *k, const json_t *object, uint64_t now_us) {
        _cleanup_json_ json_t *cells = json_array();

        for (size_t i = 0; cells && i < k->column_count; i++) {
                const struct kind_column *c = &k->columns[i];
                json_t *cell = c->path   ? path_cell(c, object, now_us)
                               : c->cell ? c->cell(object, now_us)
                                         : json_null();

                if (json_array_append_new(cells, cell ? cell : json_null()) < 0)
                        return NULL;
        }
        return TAKE_PTR(cells);
}

int table_add_row(json_t *table, const struct kind *k, const json_t *object,
                enum table_include include, uint64_t now_us) {
        json_t *cells = cells_of(k, object, now_us), *row = json_pack("{s:o}", "cells", cells);

        if (!row)
                return -ENOMEM;
        if (include == TABLE_INCLUDE_METADATA)
                json_object_set_new(row, "object", partial_metadata(object, "v1"));
        else if (include == TABLE_INCLUDE_OBJECT)
                json_object_set(row, "object", (json_t *)object);
        return json_array_append_new(json_object_get(table, "rows"), row) < 0 ? -ENOMEM : 0;
}

/* What the kind's cells read of the text: a part of it where that is known and the text is
 * understood. */
static json_t *object_for_row(const struct kind *k, const char *text, size_t n) {
        json_t *object = NULL;

        if (json_part_parse(k->row, text, n, &object) < 0)
                (void)json_parse(text, n, /* flags= */ 0, &object, /* ret_error= */ NULL);
        return object;
}

int table_write_row(struct buf *b, const struct kind *k, const char *text, size_t n,
                enum table_include include, uint64_t now_us) {
        _cleanup_json_ json_t *object = object_for_row(k, text, n),
                              *cells = object ? cells_of(k, object, now_us) : NULL;
        _cleanup_free_ char *cells_text = cells ? json_text(cells) : NULL;
        int r = 0;

        if (!cells_text)
                return -ENOMEM;
        buf_append_str(b, "{\"cells\":");
        buf_append_str(b, cells_text);
        if (include != TABLE_INCLUDE_NONE)
                buf_append_str(b, ",\"object\":");
        if (include == TABLE_INCLUDE_OBJECT)
                r = buf_append(b, text, n);
        else if (include == TABLE_INCLUDE_METADATA)
                r = partial_metadata_write(b, text, n, "v1");
        buf_append_char(b, '}');
        return b->failed ? -ENOMEM : r;
}

int partial_metadata_write(struct buf *b, const char *text, size_t n, const char *version) {
        const char *end = text + n, *at = json_text_member(text, end, "metadata"),
                   *past = at ? json_text_value_end(at, end) : NULL;

        if (!past) /* no object is stored without */
                return -EINVAL;
        buf_append_str(b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/");
        buf_append_str(b, version);
        buf_append_str(b, "\",\"metadata\":");
        buf_append(b, at, (size_t)(past - at));
        return buf_append_char(b, '}');
}

json_t *partial_metadata(const json_t *object, const char *version) {
        _cleanup_free_ char *api_version = strformat("meta.k8s.io/%s", version);

        return json_pack("{s:s, s:s, s:O?}", "kind", "PartialObjectMetadata", "apiVersion",
                        strempty(api_version), "metadata", json_object_get(object, "metadata"));
}
