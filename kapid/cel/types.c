/* Declared types: constants, constructors, their text. */
#include "kapid/cel/types.h"

#include "kapid/cel/arena.h"
#include "lib/buf.h"

#define SIMPLE(k) \
        { .kind = (k), .size_max = UINT64_MAX }

const struct cel_type cel_dyn_type = SIMPLE(CEL_TYPE_DYN), cel_null_type = SIMPLE(CEL_TYPE_NULL),
                      cel_bool_type = SIMPLE(CEL_TYPE_BOOL), cel_int_type = SIMPLE(CEL_TYPE_INT),
                      cel_uint_type = SIMPLE(CEL_TYPE_UINT),
                      cel_double_type = SIMPLE(CEL_TYPE_DOUBLE),
                      cel_string_type = SIMPLE(CEL_TYPE_STRING),
                      cel_bytes_type = SIMPLE(CEL_TYPE_BYTES),
                      cel_timestamp_type = SIMPLE(CEL_TYPE_TIMESTAMP),
                      cel_duration_type = SIMPLE(CEL_TYPE_DURATION),
                      cel_type_type = SIMPLE(CEL_TYPE_TYPE),
                      cel_error_type = SIMPLE(CEL_TYPE_ERROR);
const struct cel_type cel_list_dyn_type = {
                .kind = CEL_TYPE_LIST, .of = {&cel_dyn_type}, .size_max = UINT64_MAX};
const struct cel_type cel_map_dyn_type = {
                .kind = CEL_TYPE_MAP, .of = {&cel_dyn_type, &cel_dyn_type}, .size_max = UINT64_MAX};
const struct cel_type cel_optional_dyn_type = {
                .kind = CEL_TYPE_OPTIONAL, .of = {&cel_dyn_type}, .size_max = UINT64_MAX};

struct cel_types {
        struct cel_arena arena;
};

struct cel_types *cel_types_new(void) {
        return calloc(1, sizeof(struct cel_types));
}

struct cel_types *cel_types_free(struct cel_types *t) {
        if (!t)
                return NULL;
        cel_arena_done(&t->arena);
        return mfree(t);
}

void *cel_types_alloc(struct cel_types *t, size_t n) {
        void *p = cel_arena_alloc(&t->arena, n);

        if (p)
                memset(p, 0, n);
        return p;
}

char *cel_types_strndup(struct cel_types *t, const char *s, size_t n) {
        char *p = cel_types_alloc(t, n + 1);

        if (p && n > 0)
                memcpy(p, s, n);
        return p;
}

static const struct cel_type *constructed(struct cel_types *t, enum cel_type_kind kind,
                const struct cel_type *first, const struct cel_type *second) {
        struct cel_type *n;

        if (!first)
                return NULL;
        n = cel_types_alloc(t, sizeof(*n));
        if (n)
                *n = (struct cel_type){.kind = kind, .of = {first, second}, .size_max = UINT64_MAX};
        return n;
}

const struct cel_type *cel_list_type(struct cel_types *t, const struct cel_type *item) {
        return constructed(t, CEL_TYPE_LIST, item, NULL);
}

const struct cel_type *cel_map_type(
                struct cel_types *t, const struct cel_type *key, const struct cel_type *value) {
        return value ? constructed(t, CEL_TYPE_MAP, key, value) : NULL;
}

const struct cel_type *cel_optional_type(struct cel_types *t, const struct cel_type *of) {
        return constructed(t, CEL_TYPE_OPTIONAL, of, NULL);
}

const struct cel_type *cel_type_type_of(struct cel_types *t, const struct cel_type *of) {
        return constructed(t, CEL_TYPE_TYPE, of, NULL);
}

static int by_name(const void *a, const void *b) {
        const struct cel_field *x = a, *y = b;

        return strcmp(x->name, y->name);
}

const struct cel_type *cel_object_type(
                struct cel_types *t, const char *name, struct cel_field *fields, size_t count) {
        struct cel_type *n = cel_types_alloc(t, sizeof(*n));

        if (!n)
                return NULL;
        if (count > 0)
                qsort(fields, count, sizeof(*fields), by_name);
        *n = (struct cel_type){.kind = CEL_TYPE_OBJECT,
                        .name = name,
                        .fields = fields,
                        .field_count = count,
                        .size_max = UINT64_MAX,
                        .size_json_min = 2};
        return n;
}

/* A name with a text of n bytes. */
static int compare_name(const char *name, const char *text, size_t n) {
        int r = strncmp(name, text, n);

        return r != 0 ? r : name[n] != '\0';
}

enum { RESERVED_SIZE = 32 };

/* Words of the language that a property name must not be. */
static const char *const reserved_words[] = {"true", "false", "null", "in", "as", "break", "const",
                "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
                "namespace", "return", "var", "void", "while", "__namespace__"};

static const struct cel_field *find_field(
                const struct cel_type *object, const char *name, size_t n) {
        size_t from = 0, to = object->field_count;

        while (from < to) {
                size_t middle = (from + to) / 2;
                const struct cel_field *f = &object->fields[middle];
                int r = compare_name(f->name, name, n);

                if (r == 0)
                        return f;
                if (r < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        return NULL;
}

/* A word of the language may stand behind a dot as it is, too. */
const struct cel_field *cel_field_find(const struct cel_type *object, const char *name, size_t n) {
        const struct cel_field *f = find_field(object, name, n);
        char escaped[RESERVED_SIZE];

        for (size_t i = 0; !f && i < ELEMENTS(reserved_words) - 1; i++)
                if (strlen(reserved_words[i]) == n && memcmp(reserved_words[i], name, n) == 0) {
                        (void)snprintf(escaped, sizeof(escaped), "__%s__", reserved_words[i]);
                        return find_field(object, escaped, strlen(escaped));
                }
        return f;
}

static const char *escaped_part(const char *s, size_t *ret_used) {
        static const struct {
                const char *from, *to;
        } parts[] = {{"__", "__underscores__"}, {".", "__dot__"}, {"-", "__dash__"},
                        {"/", "__slash__"}};

        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (startswith(s, parts[i].from)) {
                        *ret_used = strlen(parts[i].from);
                        return parts[i].to;
                }
        return NULL;
}

const char *cel_escape(struct cel_types *t, const char *property) {
        _cleanup_buf_ struct buf b = {};

        for (size_t i = 0; i < ELEMENTS(reserved_words) - 1; i++)
                if (streq(property, reserved_words[i])) {
                        buf_printf(&b, "__%s__", property);
                        return b.failed ? NULL : cel_types_strndup(t, b.data, b.size);
                }
        if (!*property || (*property >= '0' && *property <= '9'))
                return NULL;
        for (const char *s = property; *s;) {
                size_t used = 1;
                const char *part = escaped_part(s, &used);

                if (part)
                        buf_append_str(&b, part);
                else if (*s == '_' || (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
                                (*s >= 'A' && *s <= 'Z'))
                        buf_append_char(&b, *s);
                else
                        return NULL;
                s += used;
        }
        return b.failed ? NULL : cel_types_strndup(t, b.data, b.size);
}

static const char *const kind_words[] = {
                [CEL_TYPE_DYN] = "dyn",
                [CEL_TYPE_NULL] = "null",
                [CEL_TYPE_BOOL] = "bool",
                [CEL_TYPE_INT] = "int",
                [CEL_TYPE_UINT] = "uint",
                [CEL_TYPE_DOUBLE] = "double",
                [CEL_TYPE_STRING] = "string",
                [CEL_TYPE_BYTES] = "bytes",
                [CEL_TYPE_LIST] = "list",
                [CEL_TYPE_MAP] = "map",
                [CEL_TYPE_OBJECT] = "object",
                [CEL_TYPE_TIMESTAMP] = "timestamp",
                [CEL_TYPE_DURATION] = "duration",
                [CEL_TYPE_TYPE] = "type",
                [CEL_TYPE_OPTIONAL] = "optional_type",
                [CEL_TYPE_OPAQUE] = "opaque",
                [CEL_TYPE_PARAM] = "dyn",
                [CEL_TYPE_ERROR] = "!error!",
};

enum { TEXT_DEPTH_MAX = 20, TEXT_SIZE_MAX = 2000 };

static void append_type(struct buf *b, const struct cel_type *type, unsigned depth) {
        buf_append_str(b, type->name ? type->name : kind_words[type->kind]);
        if (!type->of[0] || depth > TEXT_DEPTH_MAX || b->size > TEXT_SIZE_MAX)
                return;
        buf_append_char(b, '(');
        append_type(b, type->of[0], depth + 1);
        if (type->of[1]) {
                buf_append_str(b, ", ");
                append_type(b, type->of[1], depth + 1);
        }
        buf_append_char(b, ')');
}

int cel_type_text(struct buf *b, const struct cel_type *type) {
        append_type(b, type, 0);
        return b->failed ? -ENOMEM : 0;
}

bool cel_type_same(const struct cel_type *a, const struct cel_type *b, uint64_t *steps) {
        for (;;) {
                if (a == b || *steps == 0 || --*steps == 0)
                        return true;
                if (!a || !b || a->kind != b->kind)
                        return false;
                switch (a->kind) {
                case CEL_TYPE_OBJECT:
                        return a->message && b->message && streq(a->name, b->name);
                case CEL_TYPE_PARAM:
                        return false; /* each is its own */
                case CEL_TYPE_OPAQUE:
                        return streq_ptr(a->name, b->name);
                case CEL_TYPE_MAP:
                        if (!cel_type_same(a->of[0], b->of[0], steps))
                                return false;
                        a = a->of[1];
                        b = b->of[1];
                        break;
                case CEL_TYPE_LIST:
                case CEL_TYPE_OPTIONAL:
                case CEL_TYPE_TYPE:
                        a = a->of[0];
                        b = b->of[0];
                        break;
                default:
                        return true;
                }
        }
}
