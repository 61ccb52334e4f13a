/* Walks the fields of the kinds' documents and finds those called without effect: writes the table
 * of lib/no-effect.h, the list of docs/fields-without-effect.md or the counts of docs/kinds.md. */
#include "kapid/kinds/no-effect.h"

#include "kapid/kinds/c-text.h"
#include "lib/buf.h"

struct walk {
        const json_t *documents;
        void (*row)(struct walk *w, const char *path, const json_t *field);
        const char *kind;
        struct buf rows;
        size_t count;
        bool no_templates; /* their fields are those of Pod */
        size_t realized;   /* fields with an effect that have no fields of their own */
};

static const json_t *definition(const json_t *documents, const char *name) {
        const json_t *d;
        size_t i;

        json_array_foreach (documents, i, d) {
                const json_t *found = json_get(d, "definitions", name, NULL);

                if (found)
                        return found;
        }
        return NULL;
}

/* The definitions that the walk is in: one within itself is not entered again. */
struct entered {
        const struct entered *before;
        const json_t *schema;
};

static bool is_entered(const struct entered *e, const json_t *schema) {
        for (; e; e = e->before)
                if (e->schema == schema)
                        return true;
        return false;
}

static void walk(struct walk *w, const json_t *schema, const char *path,
                const struct entered *before) {
        const char *ref = json_string_value(json_object_get(schema, "$ref")), *key;
        struct entered here = {before, NULL};
        json_t *field;

        if (ref)
                schema = definition(w->documents, ref);
        if (!schema || is_entered(before, schema) ||
                        (w->no_templates && ref && streq(ref, "core.v1.PodTemplateSpec")))
                return;
        here.schema = schema;
        json_object_foreach (json_object_get(schema, "properties"), key, field) {
                _cleanup_free_ char *at =
                                *path ? strformat("%s.%s", path, key) : strformat("%s", key);

                assert(at);
                if (streq(at, "status") || streq(at, "metadata"))
                        continue;
                if (json_object_get(field, "x-keelson-no-effect")) {
                        w->row(w, at, field);
                } else {
                        size_t before_it = w->realized + w->count;

                        walk(w, field, at, &here);
                        if (w->realized + w->count == before_it)
                                w->realized++;
                }
        }
        if (json_object_get(schema, "items")) {
                _cleanup_free_ char *at = strformat("%s[]", path);

                assert(at);
                walk(w, json_object_get(schema, "items"), at, &here);
        }
}

static const char *text_of(const json_t *field) {
        const json_t *mark = json_object_get(field, "x-keelson-no-effect");

        return json_is_string(mark) ? json_string_value(mark) : json_str_or(mark, "text", "");
}

static char *value_text(const json_t *v) {
        return !v                  ? NULL
               : json_is_string(v) ? strdup(json_string_value(v))
                                   : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void c_row(struct walk *w, const char *path, const json_t *field) {
        _cleanup_free_ char *value = value_text(json_at(field, "x-keelson-no-effect.value"));
        _cleanup_free_ char *usual = value_text(json_object_get(field, "default"));
        const char *parts[] = {path, text_of(field), value,
                        json_str(field, "x-keelson-no-effect.except"), usual};

        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                buf_append_str(&w->rows, i > 0 ? ", " : "        {");
                c_string(&w->rows, parts[i]);
        }
        buf_append_str(&w->rows, "},\n");
        w->count++;
}

/* Fields of a template are listed under Pod already. */
static void document_row(struct walk *w, const char *path, const json_t *field) {
        _cleanup_free_ char *value = value_text(json_at(field, "x-keelson-no-effect.value"));
        const char *except = json_str(field, "x-keelson-no-effect.except");

        if (strstr(path, "template."))
                return;
        printf("| %s | `%s`%s%s%s | %s |\n", w->kind, path,
                        value    ? ": `"
                        : except ? ", but for `"
                                 : "",
                        value    ? value
                        : except ? except
                                 : "",
                        value    ? "`"
                        : except ? "*`"
                                 : "",
                        text_of(field));
}

/* The fields of a pod template count under Pod. */
static void count_row(struct walk *w, const char *path, const json_t *field) {
        w->count++;
}

static void each_kind(const json_t *documents,
                void (*row)(struct walk *w, const char *path, const json_t *field),
                void (*done)(const struct walk *w, const json_t *document, struct buf *kinds),
                struct buf *kinds) {
        const json_t *d;
        size_t i;

        json_array_foreach (documents, i, d) {
                const json_t *version = json_array_get(json_at(d, "spec.versions"), 0);
                struct walk w = {.documents = documents,
                                .row = row,
                                .no_templates = row == count_row,
                                .kind = json_str_or(d, "spec.names.kind", "")};

                walk(&w, json_at(version, "schema.openAPIV3Schema"), "", NULL);
                assert(!w.rows.failed);
                if (done)
                        done(&w, d, kinds);
                buf_done(&w.rows);
        }
}

static void c_kind(const struct walk *w, const json_t *document, struct buf *kinds) {
        if (w->count == 0)
                return;
        printf("static const struct no_effect_row rows_%zu[] = {\n%s};\n", kinds->size,
                        w->rows.data);
        buf_printf(kinds, "        {\"%s\", \"%s\", rows_%zu, %zu},\n",
                        json_str_or(document, "spec.group", ""), w->kind, kinds->size, w->count);
}

void no_effect_write_c(const json_t *documents) {
        _cleanup_buf_ struct buf kinds = {0};

        printf("/* Made from kapid/kinds/ at build time. */\n#include \"lib/no-effect.h\"\n\n");
        each_kind(documents, c_row, c_kind, &kinds);
        assert(!kinds.failed);
        printf("static const struct no_effect_kind kinds[] = {\n%s};\n"
               "const struct no_effect_table no_effect_table = {kinds, ELEMENTS(kinds)};\n",
                        strempty(kinds.data));
}

void no_effect_write_list(const json_t *documents) {
        printf("| kind | field | why |\n|---|---|---|\n");
        each_kind(documents, document_row, NULL, NULL);
}

static void coverage_row(const struct walk *w, const json_t *document, struct buf *kinds) {
        const char *stored = json_str_or(document, "spec.group", ""), *separator = "";
        const json_t *version;
        size_t i;

        if (!*w->kind)
                return;
        printf("| %s | `", w->kind);
        json_array_foreach (json_at(document, "spec.versions"), i, version) {
                const char *group = json_str_or(version, "x-keelson.group", stored);

                printf("%s%s%s%s", separator, group, *group ? "/" : "",
                                json_str_or(version, "name", ""));
                separator = "`, `";
        }
        printf("` | %zu | %zu |\n", w->realized, w->count);
}

void no_effect_write_coverage(const json_t *documents) {
        printf("| kind | versions | fields with effect | kept with a warning |\n"
               "|---|---|---|---|\n");
        each_kind(documents, count_row, coverage_row, NULL);
}
