/* YAML to JSON over libyaml's event parser: a small recursive descent that resolves plain scalars,
 * expands aliases by copies within a bound and remembers the line of each value; and back through
 * libyaml's emitter. No other file uses libyaml. */
#include "lib/yaml.h"

#include <yaml.h>

#include "lib/buf.h"
#include "lib/map.h"
#include "lib/plain.h"
#include "lib/vector.h"

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

/* One running parse. */
struct reader {
        yaml_parser_t parser;
        struct problem *problem;
        struct map *anchors; /* name -> json_t of this document */
        struct yaml_places *places;
        struct buf path; /* field path of the value being read */
        unsigned nodes;
        const struct yaml_breath *breath;
        unsigned events; /* since the last one */
};

enum { EVENTS_A_BREATH = 256 };

static int refuse(struct reader *x, const yaml_mark_t *mark, const char *why) {
        return problem_set(x->problem, EINVAL, 400, "BadRequest", "line %zu column %zu: %s",
                        mark->line + 1, mark->column + 1, why);
}

static int next_event(struct reader *x, yaml_event_t *ret) {
        if (x->breath && ++x->events % EVENTS_A_BREATH == 0)
                x->breath->func(x->breath->userdata);
        if (yaml_parser_parse(&x->parser, ret))
                return 0;
        if (x->parser.error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (x->parser.error == YAML_READER_ERROR)
                return problem_set(x->problem, EINVAL, 400, "BadRequest", "byte %zu: %s",
                                x->parser.problem_offset, strempty(x->parser.problem));
        return problem_set(x->problem, EINVAL, 400, "BadRequest", "line %zu column %zu: %s%s%s",
                        x->parser.problem_mark.line + 1, x->parser.problem_mark.column + 1,
                        strempty(x->parser.problem), x->parser.context ? " " : "",
                        strempty(x->parser.context));
}

static bool any_of(const char *s, const char *const *words) {
        for (; *words; words++)
                if (streq(s, *words))
                        return true;
        return false;
}

/* The base of an integer and where its digits begin; 0 when the text is none. */
static int integer_base(const char *digits, const char **ret_from) {
        static const struct {
                const char *prefix, *digits;
                int base;
        } forms[] = {
                        {"0x", "0123456789abcdefABCDEF", 16},
                        {"0o", "01234567", 8},
                        {"0b", "01", 2},
                        {"0", "01234567", 8},
                        {"", "0123456789", 10},
        };

        for (size_t i = 0; i < ELEMENTS(forms); i++) {
                const char *from = startswith(digits, forms[i].prefix);

                if (!from || !*from || from[strspn(from, forms[i].digits)])
                        continue;
                *ret_from = from;
                return forms[i].base;
        }
        return 0;
}

/* Where a number ends: digits with a point and an exponent. NULL when the text begins with none. */
static const char *real_end(const char *s) {
        size_t whole = strspn(s, "0123456789"), part = 0;

        s += whole;
        if (*s == '.') {
                part = strspn(s + 1, "0123456789");
                s += 1 + part;
        }
        if (whole + part == 0)
                return NULL;
        if (*s == 'e' || *s == 'E') {
                s += 1 + (s[1] == '-' || s[1] == '+');
                if (!strspn(s, "0123456789"))
                        return NULL;
                s += strspn(s, "0123456789");
        }
        return s;
}

/* 0 and a value when the text is a number in one of the forms kubectl reads (YAML 1.1: 0777, 0b11,
 * 1_000); 1 when it is not a number. As in JSON, 1e3 and 1.0 are integers, and an integer that
 * needs more than 64 bits is a real. */
static int number_value(const char *s, json_t **ret) {
        char plain[64], *out = plain;
        const char *digits, *from, *end;
        int base;
        double d;

        if (!*s || !strchr("+-.0123456789", *s) || strlen(s) >= sizeof(plain))
                return 1;
        for (const char *c = s; *c; c++)
                if (*c != '_')
                        *out++ = *c;
        *out = '\0';
        digits = plain + (*plain == '-' || *plain == '+');
        base = integer_base(digits, &from);
        errno = 0;
        if (base != 0) {
                long long v = strtoll(from, NULL, base);

                if (errno == 0) {
                        *ret = json_integer(*plain == '-' ? -v : v);
                        return *ret ? 0 : -ENOMEM;
                }
        }
        end = real_end(digits);
        if (!end || *end)
                return 1;
        errno = 0;
        d = strtod(plain, NULL);
        if (errno != 0)
                return 1;
        *ret = d > -1e15 && d < 1e15 && d == (double)(json_int_t)d ? json_integer((json_int_t)d)
                                                                   : json_real(d);
        return *ret ? 0 : -ENOMEM;
}

static json_t *plain_value(const char *s) {
        static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
        static const char *const trues[] = {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES",
                        "on", "On", "ON", NULL};
        static const char *const falses[] = {"false", "False", "FALSE", "n", "N", "no", "No", "NO",
                        "off", "Off", "OFF", NULL};
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

static int scalar_value(struct reader *x, const yaml_event_t *e, json_t **ret) {
        const char *s = (const char *)e->data.scalar.value, *tag = (const char *)e->data.scalar.tag;
        static const char prefix[] = "tag:yaml.org,2002:";

        if (e->data.scalar.length != strlen(s) || !utf8_is_valid(s, e->data.scalar.length))
                return refuse(x, &e->start_mark, "the text holds a NUL or is not UTF-8");
        if (tag && !streq(tag, "!")) {
                const char *word = startswith(tag, prefix);

                if (!word)
                        return refuse(x, &e->start_mark,
                                        "tags other than YAML's own are not allowed");
                *ret = streq(word, "str") || streq(word, "binary") || streq(word, "timestamp")
                                       ? json_string(s)
                                       : plain_value(s);
        } else
                *ret = e->data.scalar.plain_implicit && !tag ? plain_value(s) : json_string(s);
        return *ret ? 0 : -ENOMEM;
}

static int read_node(struct reader *x, yaml_event_t *e, unsigned depth, json_t **ret);

static int read_sequence(struct reader *x, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *list = json_array();
        size_t length = x->path.size;

        if (!list)
                return -ENOMEM;
        for (size_t i = 0;; i++) {
                yaml_event_t e;
                json_t *item = NULL;
                int r = next_event(x, &e);

                if (r < 0)
                        return r;
                if (e.type == YAML_SEQUENCE_END_EVENT) {
                        yaml_event_delete(&e);
                        break;
                }
                buf_printf(&x->path, "[%zu]", i);
                r = read_node(x, &e, depth + 1, &item);
                yaml_event_delete(&e);
                x->path.size = length;
                if (r < 0)
                        return r;
                if (json_array_append_new(list, item) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

/* `<<: *base` (or a list of them): keys that the mapping does not set itself. */
static int merge_into(
                struct reader *x, const yaml_mark_t *mark, json_t *object, const json_t *from) {
        const json_t *item;
        const char *key;
        json_t *v;
        size_t i;

        if (json_is_array(from)) {
                json_array_foreach (from, i, item) {
                        int r = json_is_object(item) ? merge_into(x, mark, object, item)
                                                     : refuse(x, mark, "<< needs mappings");
                        if (r < 0)
                                return r;
                }
                return 0;
        }
        if (!json_is_object(from))
                return refuse(x, mark, "<< needs a mapping");
        json_object_each (from, key, v)
                if (!json_object_get(object, key) && json_object_set(object, key, v) < 0)
                        return -ENOMEM;
        return 0;
}

/* A key that would be a number or boolean as a value is that value's text, as kubectl has it: of
 * `1_0: x` and `y: x` the keys are "10" and "true". NULL: there is no such key (null), or no
 * memory. Caller frees. */
static char *key_text(const yaml_event_t *e) {
        const char *text = (const char *)e->data.scalar.value;
        _cleanup_json_ json_t *v = NULL;

        if (!e->data.scalar.plain_implicit || e->data.scalar.tag)
                return strdup(text);
        v = plain_value(text);
        if (!v || json_is_null(v))
                return NULL;
        return json_is_string(v) ? strdup(text)
                                 : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
}

static int read_pair(struct reader *x, const yaml_event_t *key_event, unsigned depth,
                json_t *object, json_t *own_keys) {
        _cleanup_free_ char *key = NULL;
        const char *text = (const char *)key_event->data.scalar.value;
        _cleanup_json_ json_t *value = NULL;
        size_t length = x->path.size;
        yaml_event_t e;
        int r;

        if (key_event->type != YAML_SCALAR_EVENT)
                return refuse(x, &key_event->start_mark, "keys must be plain texts");
        if (key_event->data.scalar.length != strlen(text) ||
                        !utf8_is_valid(text, key_event->data.scalar.length))
                return refuse(x, &key_event->start_mark, "a key holds a NUL or is not UTF-8");
        key = key_text(key_event);
        if (!key)
                return refuse(x, &key_event->start_mark,
                                "null is not a valid key; put it in quotes");
        if (json_object_get(own_keys, key)) {
                _cleanup_free_ char *why = strformat("key \"%s\" is given twice", key);

                return refuse(x, &key_event->start_mark, strempty(why));
        }
        buf_printf(&x->path, "%s%s", length > 0 ? "." : "", key);
        r = next_event(x, &e);
        if (r < 0)
                return r;
        r = read_node(x, &e, depth + 1, &value);
        yaml_event_delete(&e);
        x->path.size = length;
        if (r < 0)
                return r;
        if (streq(key, "<<") && key_event->data.scalar.plain_implicit)
                return merge_into(x, &key_event->start_mark, object, value);
        if (json_object_set(object, key, value) < 0 ||
                        json_object_set_new(own_keys, key, json_true()) < 0)
                return -ENOMEM;
        return 0;
}

static int read_mapping(struct reader *x, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *object = json_object(), *own_keys = json_object();

        if (!object || !own_keys)
                return -ENOMEM;
        for (;;) {
                yaml_event_t e;
                int r = next_event(x, &e);

                if (r < 0)
                        return r;
                bool end = e.type == YAML_MAPPING_END_EVENT;
                r = end ? 0 : read_pair(x, &e, depth, object, own_keys);
                yaml_event_delete(&e);
                if (r < 0)
                        return r;
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
        json_object_each (v, key, member) {
                if (n >= limit)
                        return n;
                n += count_nodes(member, limit - n);
        }
        return n;
}

static int read_alias(struct reader *x, const yaml_event_t *e, json_t **ret) {
        const json_t *v = map_get(x->anchors, (const char *)e->data.alias.anchor);

        if (!v)
                return refuse(x, &e->start_mark, "the alias names no anchor before it");
        x->nodes += count_nodes(v, YAML_NODES_MAX + 1 - x->nodes);
        if (x->nodes > YAML_NODES_MAX)
                return refuse(x, &e->start_mark, "aliases expand to too much");
        *ret = json_deep_copy(v);
        return *ret ? 0 : -ENOMEM;
}

static int read_node(struct reader *x, yaml_event_t *e, unsigned depth, json_t **ret) {
        _cleanup_json_ json_t *v = NULL;
        const char *anchor = NULL;
        int r;

        if (depth > YAML_DEPTH_MAX)
                return refuse(x, &e->start_mark, "nested too deeply");
        if (++x->nodes > YAML_NODES_MAX)
                return refuse(x, &e->start_mark, "too many values in one document");
        if (x->path.failed)
                return -ENOMEM;
        x->path.data[x->path.size] = 0;
        r = map_set(x->places->lines, x->path.data, (void *)(uintptr_t)(e->start_mark.line + 1));
        if (r < 0)
                return r;
        switch (e->type) {
        case YAML_SCALAR_EVENT:
                anchor = (const char *)e->data.scalar.anchor;
                r = scalar_value(x, e, &v);
                break;
        case YAML_SEQUENCE_START_EVENT:
                anchor = (const char *)e->data.sequence_start.anchor;
                r = read_sequence(x, depth, &v);
                break;
        case YAML_MAPPING_START_EVENT:
                anchor = (const char *)e->data.mapping_start.anchor;
                r = read_mapping(x, depth, &v);
                break;
        case YAML_ALIAS_EVENT:
                r = read_alias(x, e, &v);
                break;
        default:
                r = refuse(x, &e->start_mark, "a value is missing");
        }
        if (r < 0)
                return r;
        if (anchor) {
                r = map_set(x->anchors, anchor, json_incref(v));
                if (r < 0) {
                        json_decref(v);
                        return r;
                }
        }
        *ret = TAKE_PTR(v);
        return 0;
}

static int add_document(
                struct yaml_docs *docs, json_t *value, unsigned line, struct yaml_places *places) {
        int r = vector_reserve(docs, 1);

        if (r < 0)
                return r;
        docs->items[docs->count++] = (struct yaml_doc){json_incref(value), line, places};
        return 0;
}

static int read_document(struct reader *x, struct yaml_docs *docs) {
        _cleanup_json_ json_t *value = NULL;
        yaml_event_t e;
        int r = next_event(x, &e);

        if (r < 0)
                return r;
        unsigned line = (unsigned)e.start_mark.line + 1;
        map_clear(x->anchors);
        x->nodes = 0;
        buf_reset(&x->path);
        buf_append_str(&x->path, "");
        x->places = calloc(1, sizeof(*x->places));
        if (x->places)
                x->places->lines = map_new(NULL);
        r = x->places && x->places->lines ? read_node(x, &e, 0, &value) : -ENOMEM;
        yaml_event_delete(&e);
        if (r < 0)
                return r;
        if (json_is_null(value)) { /* an empty document */
                places_free(TAKE_PTR(x->places));
                return 0;
        }
        r = add_document(docs, value, line, x->places);
        if (r == 0)
                x->places = NULL;
        return r;
}

static int read_stream(struct reader *x, struct yaml_docs *docs) {
        for (;;) {
                yaml_event_t e;
                int r = next_event(x, &e);

                if (r < 0)
                        return r;
                yaml_event_type_t type = e.type;
                yaml_event_delete(&e);
                if (type == YAML_STREAM_END_EVENT)
                        return 0;
                if (type != YAML_DOCUMENT_START_EVENT)
                        continue;
                r = read_document(x, docs);
                if (r < 0)
                        return r;
        }
}

#define BOM "\xef\xbb\xbf"

/* Files that editors of Windows wrote begin with a byte order mark; put together with others they
 * have it at the start of a document, where libyaml takes it for text. NULL: there is none to take
 * out. Caller frees. */
static int without_marks(const char *text, size_t *n, char **ret) {
        const char *end = text + *n;
        struct buf b = {0};
        bool may_begin = true; /* a document, at this line */

        *ret = NULL;
        if (!memmem(text, *n, BOM, 3))
                return 0;
        for (const char *line = text, *next; line < end; line = next) {
                const char *newline = memchr(line, '\n', (size_t)(end - line));
                size_t skip = (size_t)(end - line) >= 3 && memcmp(line, BOM, 3) == 0 ? 3 : 0;

                next = newline ? newline + 1 : end;
                if (!may_begin && ((size_t)(next - line) < skip + 3 ||
                                                  memcmp(line + skip, "---", 3) != 0))
                        skip = 0;
                buf_append(&b, line + skip, (size_t)(next - line) - skip);
                may_begin = (size_t)(next - line) >= skip + 3 && memcmp(line + skip, "---", 3) == 0;
        }
        *n = b.size;
        *ret = buf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

int yaml_parse(const char *text, size_t n, struct yaml_docs *ret, struct problem *p) {
        return yaml_parse_breathing(text, n, NULL, ret, p);
}

/* Our copy. */
static int keep_text(const char *text, size_t n, char **ret) {
        char *copy = malloc(n + 1);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, text, n);
        *ret = copy;
        return 0;
}

int yaml_parse_breathing(const char *text, size_t n, const struct yaml_breath *breath,
                struct yaml_docs *ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_free_ char *clean = NULL;
        struct reader x = {.problem = p, .breath = breath};
        int r = without_marks(text, &n, &clean);

        if (r < 0)
                return r;
        if (breath && !clean) {
                r = keep_text(text, n, &clean);
                if (r < 0)
                        return r;
        }
        if (!yaml_parser_initialize(&x.parser))
                return -ENOMEM;
        r = -ENOMEM;
        if (clean)
                text = clean;
        yaml_parser_set_input_string(&x.parser, (const unsigned char *)text, n);
        x.anchors = map_new(json_decref_void);
        if (x.anchors)
                r = read_stream(&x, &docs);
        yaml_parser_delete(&x.parser);
        map_free(x.anchors);
        places_free(x.places);
        buf_done(&x.path);
        if (r < 0)
                return r;
        *ret = docs;
        docs = (struct yaml_docs){0};
        return 0;
}

static unsigned count_lines(const char *text, const char *end) {
        unsigned n = 0;

        for (; text < end; text++)
                n += *text == '\n';
        return n;
}

int yaml_parse_json(const char *text, size_t n, struct yaml_docs *ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        const char *at = text, *end = text + n;
        unsigned line = 1;

        if (!json_depth_ok(text, n))
                return problem_set(p, EINVAL, 400, "BadRequest", "nested too deeply");
        for (;;) {
                _cleanup_json_ json_t *v = NULL;
                json_error_t error;
                const char *from = at;

                while (at < end && strchr(" \t\r\n", *at) && *at)
                        at++;
                line += count_lines(from, at);
                if (at == end)
                        break;
                v = json_loadb(at, (size_t)(end - at),
                                JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES,
                                &error);
                if (!v)
                        return problem_set(p, EINVAL, 400, "BadRequest", "line %u column %i: %s",
                                        line + (unsigned)MAX(error.line, 1) - 1,
                                        MAX(error.column, 1), error.text);
                if (add_document(&docs, v, line, NULL) < 0)
                        return -ENOMEM;
                from = at;
                at += error.position; /* jansson: how much it read */
                line += count_lines(from, at);
        }
        *ret = docs;
        docs = (struct yaml_docs){0};
        return 0;
}

unsigned yaml_line_of(const struct yaml_doc *doc, const char *field_path) {
        _cleanup_free_ char *path = strdup(strempty(field_path));

        while (doc->places && path && *path) {
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
                json_object_each (v, key, member)
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
