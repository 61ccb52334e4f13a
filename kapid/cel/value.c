/* Values: making them, reading JSON along declared types, their run-time types. */
#include "kapid/cel/value.h"

#include <math.h>
#include <stdarg.h>

#include "kapid/cel/internal.h"
#include "lib/crypto.h"

void *cel_alloc(struct cel_run *run, size_t n) {
        void *p = cel_arena_alloc(&run->arena, n);

        if (!p)
                run->no_memory = true;
        return p;
}

struct cel_value cel_no_memory(struct cel_run *run) {
        static const char text[] = "the expression needs more memory than it may use";

        run->no_memory = true;
        return (struct cel_value){.kind = CEL_ERROR, .text = {text, sizeof(text) - 1}};
}

static struct cel_value text_copy(
                struct cel_run *run, enum cel_kind kind, const char *data, size_t size) {
        char *p = cel_alloc(run, size);

        if (!p)
                return cel_no_memory(run);
        if (size > 0)
                memcpy(p, data, size);
        return (struct cel_value){.kind = kind, .text = {p, size}};
}

struct cel_value cel_error(struct cel_run *run, const char *fmt, ...) {
        char text[CEL_ERROR_TEXT_MAX];
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        n = MAX(n, 0);
        /* It is cut here, and what it is made of where that was long. */
        return text_copy(run, CEL_ERROR, text, utf8_clean(text, MIN((size_t)n, sizeof(text) - 1)));
}

struct cel_value cel_no_overload(struct cel_run *run, const char *function) {
        (void)function;
        return cel_error(run, "no such overload");
}

struct cel_value cel_string(struct cel_run *run, const char *data, size_t size) {
        return text_copy(run, CEL_STRING, data, size);
}

struct cel_value cel_bytes(struct cel_run *run, const char *data, size_t size) {
        return text_copy(run, CEL_BYTES, data, size);
}

struct cel_value cel_some(struct cel_run *run, struct cel_value v) {
        struct cel_value *inner = cel_alloc(run, sizeof(*inner));

        if (!inner)
                return cel_no_memory(run);
        *inner = v;
        return (struct cel_value){.kind = CEL_OPTIONAL, .inner = inner};
}

char *cel_c_text(struct cel_run *run, struct cel_value text) {
        char *p;

        if (memchr(text.text.data, '\0', text.text.size))
                return NULL;
        p = cel_alloc(run, text.text.size + 1);
        if (!p)
                return NULL;
        memcpy(p, text.text.data, text.text.size);
        p[text.text.size] = '\0';
        return p;
}

size_t cel_string_length(struct cel_value v) {
        size_t n = 0;

        for (size_t i = 0; i < v.text.size; i++)
                n += ((unsigned char)v.text.data[i] & 0xc0) != 0x80;
        return n;
}

static struct cel_value bytes_of_json(struct cel_run *run, const json_t *tree) {
        _cleanup_free_ void *data = NULL;
        size_t size = 0;

        if (base64_decode(json_string_value(tree), &data, &size) < 0)
                return cel_error(run, "Invalid data, expected a byte format string");
        return cel_bytes(run, data, size);
}

static struct cel_value text_of_json(
                struct cel_run *run, const json_t *tree, const struct cel_type *type) {
        const char *text = json_string_value(tree);
        size_t n = json_string_length(tree);
        struct cel_value v;

        switch (type ? type->kind : CEL_TYPE_DYN) {
        case CEL_TYPE_BYTES:
                return bytes_of_json(run, tree);
        case CEL_TYPE_TIMESTAMP:
                if (cel_parse_timestamp(text, n, &v) || cel_parse_date(text, n, &v))
                        return v;
                return cel_error(run, "Invalid date/time string '%.100s'", text);
        case CEL_TYPE_DURATION:
                if (cel_parse_duration(text, n, &v))
                        return v;
                return cel_error(run, "Invalid duration string '%.100s'", text);
        default:
                return cel_string_at(text, n);
        }
}

static struct cel_value tree_of_json(const json_t *tree, const struct cel_type *type) {
        bool list = json_is_array(tree);

        if (!type || type->kind == CEL_TYPE_DYN)
                type = list ? &cel_list_dyn_type : &cel_map_dyn_type;
        return (struct cel_value){.kind = list ? CEL_LIST : CEL_MAP,
                        .json = true,
                        .wrapped = {.tree = tree, .type = type}};
}

/* Whether JSON of that type may stand where the type is declared. */
static bool json_fits(const json_t *tree, const struct cel_type *type) {
        switch (type->kind) {
        case CEL_TYPE_BOOL:
                return json_is_boolean(tree);
        case CEL_TYPE_INT:
                return json_is_integer(tree) ||
                       (json_is_real(tree) && fabs(json_real_value(tree)) < 9.2e18 &&
                                       trunc(json_real_value(tree)) == json_real_value(tree));
        case CEL_TYPE_DOUBLE:
                return json_is_number(tree);
        case CEL_TYPE_STRING:
        case CEL_TYPE_BYTES:
        case CEL_TYPE_TIMESTAMP:
        case CEL_TYPE_DURATION:
                return json_is_string(tree);
        case CEL_TYPE_LIST:
                return json_is_array(tree);
        case CEL_TYPE_MAP:
        case CEL_TYPE_OBJECT:
                return json_is_object(tree);
        default:
                return true;
        }
}

struct cel_value cel_from_json(
                struct cel_run *run, const json_t *tree, const struct cel_type *type) {
        if (!tree || json_is_null(tree)) {
                if (!type || type->nullable || type->kind == CEL_TYPE_DYN ||
                                type->kind == CEL_TYPE_NULL)
                        return cel_null();
                return cel_error(run, "invalid data, got null for schema with nullable=false");
        }
        if (type && !json_fits(tree, type))
                return cel_error(run, "invalid data, expected a value of another type");
        switch (json_typeof(tree)) {
        case JSON_TRUE:
        case JSON_FALSE:
                return cel_bool(json_is_true(tree));
        case JSON_INTEGER:
                if (type && type->kind == CEL_TYPE_DOUBLE)
                        return cel_double((double)json_integer_value(tree));
                return cel_int(json_integer_value(tree));
        case JSON_REAL:
                if (type && type->kind == CEL_TYPE_INT)
                        return cel_int((int64_t)json_real_value(tree));
                return cel_double(json_real_value(tree));
        case JSON_STRING:
                return text_of_json(run, tree, type);
        default:
                return tree_of_json(tree, type);
        }
}

static int text_to_json(struct cel_run *run, struct cel_value v, json_t **ret) {
        _cleanup_free_ char *encoded = NULL;

        (void)run;
        if (v.kind == CEL_STRING)
                *ret = json_stringn(v.text.data, v.text.size);
        else {
                encoded = base64_encode(v.text.data, v.text.size);
                *ret = encoded ? json_string(encoded) : NULL;
        }
        return *ret ? 0 : -ENOMEM;
}

static int list_to_json(struct cel_run *run, struct cel_value v, json_t **ret) {
        _cleanup_json_ json_t *list = json_array();
        int r;

        for (size_t i = 0; i < cel_list_count(v); i++) {
                json_t *item = NULL;

                r = cel_to_json(run, cel_list_at(run, v, i), &item);
                if (r < 0)
                        return r;
                if (json_array_append_new(list, item) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(list);
        return *ret ? 0 : -ENOMEM;
}

static int map_to_json(struct cel_run *run, struct cel_value v, json_t **ret) {
        _cleanup_json_ json_t *object = json_object();
        struct cel_map_at at = {};
        struct cel_value key, value;
        int r;

        while (cel_map_next(run, v, &at, &key, &value)) {
                json_t *item = NULL;
                char *name = key.kind == CEL_STRING ? cel_c_text(run, key) : NULL;

                if (!name)
                        return run->no_memory ? -ENOMEM : -EINVAL;
                r = cel_to_json(run, value, &item);
                if (r < 0)
                        return r;
                if (json_object_set_new(object, name, item) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(object);
        return *ret ? 0 : -ENOMEM;
}

/* Neither a list nor a map. */
static int scalar_to_json(struct cel_run *run, struct cel_value v, json_t **ret) {
        switch (v.kind) {
        case CEL_NULL:
                *ret = json_null();
                return 0;
        case CEL_BOOL:
                *ret = json_boolean(v.boolean);
                return 0;
        case CEL_INT:
                *ret = json_integer(v.integer);
                return *ret ? 0 : -ENOMEM;
        case CEL_UINT:
                if (v.natural > INT64_MAX)
                        return -EINVAL;
                *ret = json_integer((json_int_t)v.natural);
                return *ret ? 0 : -ENOMEM;
        case CEL_DOUBLE:
                *ret = isfinite(v.real) ? json_real(v.real) : NULL;
                return *ret ? 0 : -EINVAL;
        case CEL_STRING:
        case CEL_BYTES:
                return text_to_json(run, v, ret);
        default:
                return -EINVAL;
        }
}

int cel_to_json(struct cel_run *run, struct cel_value v, json_t **ret) {
        int r;

        if (v.json) {
                *ret = json_ref(v.wrapped.tree);
                return 0;
        }
        if (v.kind != CEL_LIST && v.kind != CEL_MAP)
                return scalar_to_json(run, v, ret);
        if (!cel_deeper(run))
                return -EINVAL;
        r = v.kind == CEL_LIST ? list_to_json(run, v, ret) : map_to_json(run, v, ret);
        run->depth--;
        return r;
}

const struct cel_type *cel_type_of(struct cel_value v) {
        switch (v.kind) {
        case CEL_NULL:
                return &cel_null_type;
        case CEL_BOOL:
                return &cel_bool_type;
        case CEL_INT:
                return &cel_int_type;
        case CEL_UINT:
                return &cel_uint_type;
        case CEL_DOUBLE:
                return &cel_double_type;
        case CEL_STRING:
                return &cel_string_type;
        case CEL_BYTES:
                return &cel_bytes_type;
        case CEL_LIST:
                return &cel_list_dyn_type;
        case CEL_MAP:
                if (cel_message_of(v))
                        return cel_message_of(v);
                return v.json && v.wrapped.type->kind == CEL_TYPE_OBJECT ? v.wrapped.type
                                                                         : &cel_map_dyn_type;
        case CEL_TIMESTAMP:
                return &cel_timestamp_type;
        case CEL_DURATION:
                return &cel_duration_type;
        case CEL_TYPE:
                return &cel_type_type;
        case CEL_OPTIONAL:
                return &cel_optional_dyn_type;
        case CEL_OPAQUE:
                return &v.opaque.class->type;
        default:
                return &cel_error_type;
        }
}

bool cel_value_is(struct cel_value v, const struct cel_type *type) {
        switch (type->kind) {
        case CEL_TYPE_DYN:
        case CEL_TYPE_PARAM:
                return true;
        case CEL_TYPE_NULL:
                return v.kind == CEL_NULL;
        case CEL_TYPE_BOOL:
                return v.kind == CEL_BOOL;
        case CEL_TYPE_INT:
                return v.kind == CEL_INT;
        case CEL_TYPE_UINT:
                return v.kind == CEL_UINT;
        case CEL_TYPE_DOUBLE:
                return v.kind == CEL_DOUBLE;
        case CEL_TYPE_STRING:
                return v.kind == CEL_STRING;
        case CEL_TYPE_BYTES:
                return v.kind == CEL_BYTES;
        case CEL_TYPE_LIST:
                return v.kind == CEL_LIST;
        case CEL_TYPE_MAP:
        case CEL_TYPE_OBJECT:
                return v.kind == CEL_MAP;
        case CEL_TYPE_TIMESTAMP:
                return v.kind == CEL_TIMESTAMP;
        case CEL_TYPE_DURATION:
                return v.kind == CEL_DURATION;
        case CEL_TYPE_TYPE:
                return v.kind == CEL_TYPE;
        case CEL_TYPE_OPTIONAL:
                return v.kind == CEL_OPTIONAL;
        case CEL_TYPE_OPAQUE:
                return v.kind == CEL_OPAQUE && streq(v.opaque.class->type.name, type->name);
        default:
                return false;
        }
}
