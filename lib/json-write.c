/* The compact text of a tree, straight into a buffer: jansson writes piece by piece through a
 * callback, and notes each object in a table against circles, which a tree does not have; a bound
 * on the depth is enough here. */
#include "lib/json-write.h"

#include "lib/json-scan.h"

enum { DEPTH_MAX = 512, INTEGER_SIZE = 24 };

static void write_escape(struct buf *b, char c) {
        static const char meant[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
        const char *known = c ? strchr(meant, c) : NULL;

        if (known) {
                const char escape[] = {'\\', names[known - meant]};

                (void)buf_append(b, escape, sizeof(escape));
        } else
                (void)buf_printf(b, "\\u%04X", (unsigned)(unsigned char)c);
}

static bool is_utf8(const char *s, size_t n) {
        _cleanup_json_ json_t *v = json_stringn(s, n);

        return v;
}

static bool write_string(struct buf *b, const char *s, size_t n) {
        const char *begin = s, *end = s + n;
        bool high = false;

        if (buf_reserve(b, n + 2) < 0)
                return false;
        b->data[b->size++] = '"';
        while (s < end) {
                size_t plain = json_scan_plain(s, (size_t)(end - s), &high);

                (void)buf_append(b, s, plain);
                s += plain;
                if (s < end)
                        write_escape(b, *s++);
        }
        return buf_append_char(b, '"') >= 0 && (!high || is_utf8(begin, n));
}

static void write_integer(struct buf *b, json_int_t v) {
        uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
        char text[INTEGER_SIZE], *at = text + sizeof(text);

        do
                *--at = (char)('0' + left % 10);
        while ((left /= 10) > 0);
        if (v < 0)
                *--at = '-';
        (void)buf_append(b, at, (size_t)(text + sizeof(text) - at));
}

/* Whole ones keep a ".0", so that they are read as floats again. */
static void write_real(struct buf *b, double d) {
        char text[JSON_REAL_SIZE];

        (void)buf_append_str(b, json_real_text(d, text));
        if (!strpbrk(text, ".e"))
                (void)buf_append_str(b, ".0");
}

static bool write_value(struct buf *b, const json_t *v, unsigned depth);

static bool write_object(struct buf *b, const json_t *v, unsigned depth) {
        json_t *object = json_unconst(v);
        char before = '{';

        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
                (void)buf_append_char(b, before);
                before = ',';
                if (!write_string(b, json_object_iter_key(i), json_object_iter_key_len(i)))
                        return false;
                (void)buf_append_char(b, ':');
                if (!write_value(b, json_object_iter_value(i), depth))
                        return false;
        }
        return buf_append_str(b, before == '{' ? "{}" : "}") >= 0;
}

static bool write_array(struct buf *b, const json_t *v, unsigned depth) {
        size_t n = json_array_size(v);

        (void)buf_append_char(b, '[');
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        (void)buf_append_char(b, ',');
                if (!write_value(b, json_array_get(v, i), depth))
                        return false;
        }
        return buf_append_char(b, ']') >= 0;
}

static bool write_value(struct buf *b, const json_t *v, unsigned depth) {
        switch (json_typeof(v)) {
        case JSON_OBJECT:
                return depth < DEPTH_MAX && write_object(b, v, depth + 1);
        case JSON_ARRAY:
                return depth < DEPTH_MAX && write_array(b, v, depth + 1);
        case JSON_STRING:
                return write_string(b, json_string_value(v), json_string_length(v));
        case JSON_INTEGER:
                write_integer(b, json_integer_value(v));
                break;
        case JSON_REAL:
                write_real(b, json_real_value(v));
                break;
        case JSON_TRUE:
                (void)buf_append_str(b, "true");
                break;
        case JSON_FALSE:
                (void)buf_append_str(b, "false");
                break;
        case JSON_NULL:
                (void)buf_append_str(b, "null");
                break;
        }
        return !b->failed;
}

bool json_write(struct buf *b, const json_t *v) {
        return write_value(b, v, 0);
}
