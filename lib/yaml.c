/* YAML to JSON over libyaml's event parser: a small recursive descent that resolves plain scalars,
 * expands aliases by copies within a bound and remembers the line of each value; and back through
 * libyaml's emitter. Nothing outside this file knows libyaml. */
#include "lib/yaml.h"

#include <yaml.h>

#include "lib/buf.h"
#include "lib/map.h"
#include "lib/plain.h"

enum { YAML_NODES_MAX = 100000, YAML_DEPTH_MAX = 100 };

struct yaml_places {
        struct map *lines; /* field path -> line, as a pointer-sized number */
};

static void places_free(struct yaml_places *places) {
        if (places)
                map_free(places->lines);
        free(places);
}

void yaml_docs_done(struct yaml_docs *d) {
        for (size_t i = 0; i < d->count; i++) {
                json_decref(d->items[i].value);
                places_free(d->items[i].places);
        }
        free(d->items);
        *d = (struct yaml_docs){0};
}

static void json_decref_void(void *v) {
        json_decref(v);
}

/* One parse under way. */
struct reader {
        yaml_parser_t parser;
        struct problem *problem;
        struct map *anchors; /* name -> json_t of this document */
        struct yaml_places *places;
        struct buf path; /* field path of the value being read */
        unsigned nodes;
};

static int refuse(struct reader *r, const yaml_mark_t *mark, const char *why) {
        return problem_set(r->problem, EINVAL, 400, "BadRequest", "line %zu column %zu: %s",
                        mark->line + 1, mark->column + 1, why);
}

static int next_event(struct reader *r, yaml_event_t *ret) {
        if (yaml_parser_parse(&r->parser, ret))
                return 0;
        if (r->parser.error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (r->parser.error == YAML_READER_ERROR)
                return problem_set(r->problem, EINVAL, 400, "BadRequest", "byte %zu: %s",
                                r->parser.problem_offset, strempty(r->parser.problem));
        return problem_set(r->problem, EINVAL, 400, "BadRequest", "line %zu column %zu: %s%s%s",
                        r->parser.problem_mark.line + 1, r->parser.problem_mark.column + 1,
                        strempty(r->parser.problem), r->parser.context ? " " : "",
                        strempty(r->parser.context));
}

static bool any_of(const char *s, const char *const *words) {
        for (; *words; words++)
                if (streq(s, *words))
                        return true;
        return false;
}

/* 0 and a value when the text is a number in one of the forms kubectl reads; 1 when it is not a
 * number. */
static int number_value(const char *s, json_t **ret) {
        const char *digits = s + (*s == '-' || *s == '+');
        size_t decimal = strspn(digits, "0123456789");
        char *end;

        if (!*digits || (!decimal && *digits != '.'))
                return 1;
        errno = 0;
        int base = 0;
        if (startswith(digits, "0x") && digits[2] &&
                        !digits[2 + strspn(digits + 2, "0123456789abcdefABCDEF")])
                base = 16;
        else if (startswith(digits, "0o") && digits[2] &&
                        !digits[2 + strspn(digits + 2, "01234567")])
                base = 8;
        else if (!digits[decimal])
                base = digits[0] == '0' && digits[1] && !digits[strspn(digits, "01234567")] ? 8
                                                                                            : 10;
        if (base != 0) {
                const char *from = startswith(digits, "0o") ? digits + 2 : digits;
                long long v = strtoll(from, &end, base);

                if (errno == 0) {
                        *ret = json_integer(*s == '-' ? -v : v);
                        return *ret ? 0 : -ENOMEM;
                }
                return 1; /* too large for an integer: kept as text rather than rounded */
        }
        if (digits[strspn(digits, "0123456789.eE+-")])
                return 1;
        double d = strtod(s, &end);
        if (*end || errno != 0)
                return 1;
        *ret = json_real(d);
        return *ret ? 0 : 1;
}

static json_t *plain_value(const char *s) {
        static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
        static const char *const trues[] = {"true", "True", "TRUE", NULL};
        static const char *const falses[] = {"false", "False", "FALSE", NULL};
        json_t *v;

        if (any_of(s, nulls))
                return json_null();
        if (any_of(s, trues))
                return json_true();
        if (any_of(s, falses))
                return json_false();
        int r = number_value(s, &v);
        if (r == 0)
                return v;
        return r < 0 ? NULL : json_string(s);
}

static int scalar_value(struct reader *r, const yaml_event_t *e, json_t **ret) {
        const char *s = (const char *)e->data.scalar.value, *tag = (const char *)e->data.scalar.tag;
        static const char prefix[] = "tag:yaml.org,2002:";

        if (e->data.scalar.length != strlen(s) || !utf8_is_valid(s, e->data.scalar.length))
                return refuse(r, &e->start_mark, "the text holds a NUL or is not UTF-8");
        if (tag && !streq(tag, "!")) {
                const char *word = startswith(tag, prefix);

                if (!word)
                        return refuse(r, &e->start_mark,
                                        "tags other than YAML's own are not allowed");
                *ret = streq(word, "str") || streq(word, "binary") || streq(word, "timestamp")
                                       ? json_string(s)
                                       : plain_value(s);
        } else
                *ret = e->data.scalar.plain_implicit && !tag ? plain_value(s) : json_string(s);
        return *ret ? 0 : -ENOMEM;
}

static int read_node(struct reader *r, yaml_event_t *e, unsigned depth, json_t **ret);

static int read_sequence(struct reader *r, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *list = json_array();
        size_t length = r->path.size;

        if (!list)
                return -ENOMEM;
        for (size_t i = 0;; i++) {
                yaml_event_t e;
                json_t *item = NULL;
                int q = next_event(r, &e);

                if (q < 0)
                        return q;
                if (e.type == YAML_SEQUENCE_END_EVENT) {
                        yaml_event_delete(&e);
                        break;
                }
                buf_printf(&r->path, "[%zu]", i);
                q = read_node(r, &e, depth + 1, &item);
                yaml_event_delete(&e);
                r->path.size = length;
                if (q < 0)
                        return q;
                if (json_array_append_new(list, item) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

/* `<<: *base` (or a list of them): keys that the mapping does not set itself. */
static int merge_into(
                struct reader *r, const yaml_mark_t *mark, json_t *object, const json_t *from) {
        const json_t *item;
        const char *key;
        json_t *v;
        size_t i;

        if (json_is_array(from)) {
                json_array_foreach (from, i, item) {
                        int q = json_is_object(item) ? merge_into(r, mark, object, item)
                                                     : refuse(r, mark, "<< needs mappings");
                        if (q < 0)
                                return q;
                }
                return 0;
        }
        if (!json_is_object(from))
                return refuse(r, mark, "<< needs a mapping");
        json_object_foreach ((json_t *)from, key, v)
                if (!json_object_get(object, key) && json_object_set(object, key, v) < 0)
                        return -ENOMEM;
        return 0;
}

static int read_pair(struct reader *r, const yaml_event_t *key_event, unsigned depth,
                json_t *object, json_t *own_keys) {
        const char *key = (const char *)key_event->data.scalar.value;
        _cleanup_json_ json_t *value = NULL;
        size_t length = r->path.size;
        yaml_event_t e;
        int q;

        if (key_event->type != YAML_SCALAR_EVENT)
                return refuse(r, &key_event->start_mark, "keys must be plain texts");
        if (key_event->data.scalar.length != strlen(key) ||
                        !utf8_is_valid(key, key_event->data.scalar.length))
                return refuse(r, &key_event->start_mark, "a key holds a NUL or is not UTF-8");
        if (json_object_get(own_keys, key)) {
                _cleanup_free_ char *why = strformat("key \"%s\" is given twice", key);

                return refuse(r, &key_event->start_mark, strempty(why));
        }
        buf_printf(&r->path, "%s%s", length > 0 ? "." : "", key);
        q = next_event(r, &e);
        if (q < 0)
                return q;
        q = read_node(r, &e, depth + 1, &value);
        yaml_event_delete(&e);
        r->path.size = length;
        if (q < 0)
                return q;
        if (streq(key, "<<") && key_event->data.scalar.plain_implicit)
                return merge_into(r, &key_event->start_mark, object, value);
        if (json_object_set(object, key, value) < 0 ||
                        json_object_set_new(own_keys, key, json_true()) < 0)
                return -ENOMEM;
        return 0;
}

static int read_mapping(struct reader *r, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *object = json_object(), *own_keys = json_object();

        if (!object || !own_keys)
                return -ENOMEM;
        for (;;) {
                yaml_event_t e;
                int q = next_event(r, &e);

                if (q < 0)
                        return q;
                bool end = e.type == YAML_MAPPING_END_EVENT;
                q = end ? 0 : read_pair(r, &e, depth, object, own_keys);
                yaml_event_delete(&e);
                if (q < 0)
                        return q;
                if (end)
                        break;
        }
        *ret = TAKE_PTR(object);
        return 0;
}

static unsigned count_nodes(const json_t *v, unsigned limit) {
        unsigned n = 1;
        const json_t *item;
        const char *key;
        json_t *member;
        size_t i;

        json_array_foreach (v, i, item) {
                if (n >= limit)
                        return n;
                n += count_nodes(item, limit - n);
        }
        json_object_foreach ((json_t *)v, key, member) {
                if (n >= limit)
                        return n;
                n += count_nodes(member, limit - n);
        }
        return n;
}

static int read_alias(struct reader *r, const yaml_event_t *e, json_t **ret) {
        const json_t *v = map_get(r->anchors, (const char *)e->data.alias.anchor);

        if (!v)
                return refuse(r, &e->start_mark, "the alias names no anchor before it");
        r->nodes += count_nodes(v, YAML_NODES_MAX + 1 - r->nodes);
        if (r->nodes > YAML_NODES_MAX)
                return refuse(r, &e->start_mark, "aliases expand to too much");
        *ret = json_deep_copy(v);
        return *ret ? 0 : -ENOMEM;
}

static int read_node(struct reader *r, yaml_event_t *e, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *v = NULL;
        const char *anchor = NULL;
        int q;

        if (depth > YAML_DEPTH_MAX)
                return refuse(r, &e->start_mark, "nested too deeply");
        if (++r->nodes > YAML_NODES_MAX)
                return refuse(r, &e->start_mark, "too many values in one document");
        if (r->path.failed)
                return -ENOMEM;
        r->path.data[r->path.size] = 0;
        q = map_set(r->places->lines, r->path.data, (void *)(uintptr_t)(e->start_mark.line + 1));
        if (q < 0)
                return q;
        switch (e->type) {
        case YAML_SCALAR_EVENT:
                anchor = (const char *)e->data.scalar.anchor;
                q = scalar_value(r, e, &v);
                break;
        case YAML_SEQUENCE_START_EVENT:
                anchor = (const char *)e->data.sequence_start.anchor;
                q = read_sequence(r, depth, &v);
                break;
        case YAML_MAPPING_START_EVENT:
                anchor = (const char *)e->data.mapping_start.anchor;
                q = read_mapping(r, depth, &v);
                break;
        case YAML_ALIAS_EVENT:
                q = read_alias(r, e, &v);
                break;
        default:
                q = refuse(r, &e->start_mark, "a value is missing");
        }
        if (q < 0)
                return q;
        if (anchor) {
                q = map_set(r->anchors, anchor, json_incref(v));
                if (q < 0) {
                        json_decref(v);
                        return q;
                }
        }
        *ret = TAKE_PTR(v);
        return 0;
}

static int read_document(struct reader *r, struct yaml_docs *docs) {
        _cleanup_json_ json_t *value = NULL;
        yaml_event_t e;
        int q = next_event(r, &e);

        if (q < 0)
                return q;
        unsigned line = (unsigned)e.start_mark.line + 1;
        map_clear(r->anchors);
        r->nodes = 0;
        buf_reset(&r->path);
        buf_append_str(&r->path, "");
        r->places = calloc(1, sizeof(*r->places));
        if (r->places)
                r->places->lines = map_new(NULL);
        q = r->places && r->places->lines ? read_node(r, &e, 0, &value) : -ENOMEM;
        yaml_event_delete(&e);
        if (q < 0)
                return q;
        if (json_is_null(value)) { /* an empty document */
                places_free(TAKE_PTR(r->places));
                return 0;
        }
        struct yaml_doc *items = reallocarray(docs->items, docs->count + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        docs->items = items;
        items[docs->count++] = (struct yaml_doc){TAKE_PTR(value), line, TAKE_PTR(r->places)};
        return 0;
}

static int read_stream(struct reader *r, struct yaml_docs *docs) {
        for (;;) {
                yaml_event_t e;
                int q = next_event(r, &e);

                if (q < 0)
                        return q;
                yaml_event_type_t type = e.type;
                yaml_event_delete(&e);
                if (type == YAML_STREAM_END_EVENT)
                        return 0;
                if (type != YAML_DOCUMENT_START_EVENT)
                        continue;
                q = read_document(r, docs);
                if (q < 0)
                        return q;
        }
}

int yaml_parse(const char *text, size_t n, struct yaml_docs *ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        struct reader r = {.problem = p};
        int q = -ENOMEM;

        if (!yaml_parser_initialize(&r.parser))
                return -ENOMEM;
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
        r.anchors = map_new(json_decref_void);
        if (r.anchors)
                q = read_stream(&r, &docs);
        yaml_parser_delete(&r.parser);
        map_free(r.anchors);
        places_free(r.places);
        buf_done(&r.path);
        if (q < 0)
                return q;
        *ret = docs;
        docs = (struct yaml_docs){0};
        return 0;
}

unsigned yaml_line_of(const struct yaml_doc *doc, const char *field_path) {
        _cleanup_free_ char *path = strdup(strempty(field_path));

        while (path && *path) {
                void *line = map_get(doc->places->lines, path);
                char *dot = strrchr(path, '.'), *bracket = strrchr(path, '['),
                     *cut = MAX(dot, bracket);

                if (line)
                        return (unsigned)(uintptr_t)line;
                if (!cut)
                        break;
                *cut = 0;
        }
        return doc->line;
}

/* Writing. */

static int on_write(void *data, unsigned char *text, size_t n) {
        return buf_append(data, text, n) == 0;
}

/* Whether a text must be quoted so that it is read as a text again (by YAML 1.1 readers too). */
static bool needs_quotes(const char *s) {
        static const char *const words[] = {"y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No",
                        "NO", "on", "On", "ON", "off", "Off", "OFF", "=", "<<", NULL};
        _cleanup_json_ json_t *v = plain_value(s);

        return !json_is_string(v) || any_of(s, words) ||
               (s[0] >= '0' && s[0] <= '9' && strspn(s, "0123456789-:.TtZz +_xobeE") == strlen(s));
}

static int emit_string(yaml_emitter_t *emitter, const char *s) {
        yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;
        const char *newline = strchr(s, '\n');
        yaml_event_t e;

        if (plain_is_needed(s)) /* escapes are there in double quotes only */
                style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        else if (newline && s[0] != '\n' && s[0] != ' ' && !strstr(s, " \n") && !strchr(s, '\t'))
                style = YAML_LITERAL_SCALAR_STYLE;
        else if (needs_quotes(s) || newline)
                style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        return yaml_scalar_event_initialize(&e, NULL, NULL, (const unsigned char *)s,
                               (int)strlen(s), 1, 1, style) &&
               yaml_emitter_emit(emitter, &e);
}

static int emit_plain(yaml_emitter_t *emitter, const char *s) {
        yaml_event_t e;

        return yaml_scalar_event_initialize(&e, NULL, NULL, (const unsigned char *)s,
                               (int)strlen(s), 1, 1, YAML_PLAIN_SCALAR_STYLE) &&
               yaml_emitter_emit(emitter, &e);
}

static int emit_value(yaml_emitter_t *emitter, const json_t *v) {
        yaml_event_t e;
        const json_t *item;
        const char *key;
        json_t *member;
        size_t i;

        if (json_is_string(v))
                return emit_string(emitter, json_string_value(v));
        if (json_is_object(v)) {
                yaml_mapping_style_t style = json_object_size(v) ? YAML_BLOCK_MAPPING_STYLE
                                                                 : YAML_FLOW_MAPPING_STYLE;

                if (!yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, style) ||
                                !yaml_emitter_emit(emitter, &e))
                        return 0;
                json_object_foreach ((json_t *)v, key, member)
                        if (!emit_string(emitter, key) || !emit_value(emitter, member))
                                return 0;
                return yaml_mapping_end_event_initialize(&e) && yaml_emitter_emit(emitter, &e);
        }
        if (json_is_array(v)) {
                yaml_sequence_style_t style = json_array_size(v) ? YAML_BLOCK_SEQUENCE_STYLE
                                                                 : YAML_FLOW_SEQUENCE_STYLE;

                if (!yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, style) ||
                                !yaml_emitter_emit(emitter, &e))
                        return 0;
                json_array_foreach (v, i, item)
                        if (!emit_value(emitter, item))
                                return 0;
                return yaml_sequence_end_event_initialize(&e) && yaml_emitter_emit(emitter, &e);
        }
        _cleanup_free_ char *text = json_text(v);
        return text && emit_plain(emitter, text);
}

char *yaml_text(const json_t *v) {
        _cleanup_buf_ struct buf out = {0};
        yaml_emitter_t emitter;
        yaml_event_t e;

        if (!yaml_emitter_initialize(&emitter))
                return NULL;
        yaml_emitter_set_output(&emitter, on_write, &out);
        yaml_emitter_set_unicode(&emitter, 1);
        yaml_emitter_set_width(&emitter, -1);
        int ok = yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING) &&
                 yaml_emitter_emit(&emitter, &e) &&
                 yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1) &&
                 yaml_emitter_emit(&emitter, &e) && emit_value(&emitter, v) &&
                 yaml_document_end_event_initialize(&e, 1) && yaml_emitter_emit(&emitter, &e) &&
                 yaml_stream_end_event_initialize(&e) && yaml_emitter_emit(&emitter, &e);
        yaml_emitter_delete(&emitter);
        return ok ? plain_copy(strempty(out.data), out.size, PLAIN_YAML) : NULL;
}
