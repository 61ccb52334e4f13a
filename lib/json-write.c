/* The compact text of a tree, straight into a buffer: jansson writes piece by piece through a
 * callback, and notes each object in a table against circles, which a tree does not have; a bound
 * on the depth is enough here. */
#include "lib/json-write.h"

#include "lib/json-scan.h"

enum { INTEGER_SIZE = 24, SORTED_MAX = 32 };

struct writer {
        struct buf *out;
        unsigned depth_max;
        bool sorted;
};

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

/* Room for n characters and the end; the common case without a call. */
static inline bool room(struct buf *b, size_t n) {
        return (!b->failed && n < b->allocated - b->size) || buf_reserve(b, n) >= 0;
}

static inline bool put(struct buf *b, char c) {
        if (!room(b, 1))
                return false;
        b->data[b->size++] = c;
        return true;
}

static bool write_string(struct buf *b, const char *s, size_t n) {
        const char *begin = s, *end = s + n;
        bool high = false;

        if (!room(b, n + 2))
                return false;
        b->data[b->size++] = '"';
        for (;;) {
                size_t plain = json_scan_plain(s, (size_t)(end - s), &high);

                if (!room(b, plain + 1))
                        return false;
                memcpy(b->data + b->size, s, plain);
                b->size += plain;
                s += plain;
                if (s == end)
                        break;
                write_escape(b, *s++);
        }
        return put(b, '"') && (!high || is_utf8(begin, n));
}

static bool write_integer(struct buf *b, json_int_t v) {
        uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
        char text[INTEGER_SIZE], *at = text + sizeof(text);

        do
                *--at = (char)('0' + left % 10);
        while ((left /= 10) > 0);
        if (v < 0)
                *--at = '-';
        return buf_append(b, at, (size_t)(text + sizeof(text) - at)) >= 0;
}

/* Whole ones keep a ".0", so that they are read as floats again. */
static bool write_real(struct buf *b, double d) {
        char text[JSON_REAL_SIZE];

        return buf_append_str(b, json_real_text(d, text)) >= 0 &&
               (strpbrk(text, ".e") || buf_append_str(b, ".0") >= 0);
}

static bool write_value(struct writer *w, const json_t *v, unsigned depth);

static bool write_member(struct writer *w, char before, void *member, unsigned depth) {
        return put(w->out, before) &&
               write_string(w->out, json_object_iter_key(member),
                               json_object_iter_key_len(member)) &&
               put(w->out, ':') && write_value(w, json_object_iter_value(member), depth);
}

static bool is_after(void *a, void *b) {
        size_t n = json_object_iter_key_len(a), m = json_object_iter_key_len(b);
        int order = memcmp(json_object_iter_key(a), json_object_iter_key(b), MIN(n, m));

        return order > 0 || (order == 0 && n > m);
}

/* By insertion: only few members. */
static bool write_sorted(struct writer *w, json_t *object, unsigned depth) {
        void *members[SORTED_MAX];
        size_t n = 0;

        if (json_object_size(object) > SORTED_MAX)
                return false;
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
                size_t at = n++;

                for (; at > 0 && is_after(members[at - 1], i); at--)
                        members[at] = members[at - 1];
                members[at] = i;
        }
        for (size_t i = 0; i < n; i++)
                if (!write_member(w, i > 0 ? ',' : '{', members[i], depth))
                        return false;
        return put(w->out, '}');
}

static bool write_object(struct writer *w, const json_t *v, unsigned depth) {
        json_t *object = json_unconst(v);
        char before = '{';

        if (json_object_size(object) == 0)
                return put(w->out, '{') && put(w->out, '}');
        if (w->sorted)
                return write_sorted(w, object, depth);
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
                if (!write_member(w, before, i, depth))
                        return false;
                before = ',';
        }
        return put(w->out, '}');
}

static bool write_array(struct writer *w, const json_t *v, unsigned depth) {
        size_t n = json_array_size(v);

        if (!put(w->out, '['))
                return false;
        for (size_t i = 0; i < n; i++)
                if ((i > 0 && !put(w->out, ',')) || !write_value(w, json_array_get(v, i), depth))
                        return false;
        return put(w->out, ']');
}

static bool write_value(struct writer *w, const json_t *v, unsigned depth) {
        switch (json_typeof(v)) {
        case JSON_OBJECT:
                return depth < w->depth_max && write_object(w, v, depth + 1);
        case JSON_ARRAY:
                return depth < w->depth_max && write_array(w, v, depth + 1);
        case JSON_STRING:
                return write_string(w->out, json_string_value(v), json_string_length(v));
        case JSON_INTEGER:
                return write_integer(w->out, json_integer_value(v));
        case JSON_REAL:
                return write_real(w->out, json_real_value(v));
        case JSON_TRUE:
                return buf_append_str(w->out, "true") >= 0;
        case JSON_FALSE:
                return buf_append_str(w->out, "false") >= 0;
        case JSON_NULL:
                return buf_append_str(w->out, "null") >= 0;
        }
        return false;
}

static bool write_whole(struct writer *w, const json_t *v) {
        /* The end is written here alone. */
        return write_value(w, v, 0) && buf_append(w->out, "", 0) >= 0;
}

bool json_write(struct buf *b, const json_t *v, unsigned depth_max) {
        struct writer w = {.out = b, .depth_max = depth_max};

        return write_whole(&w, v);
}

bool json_write_sorted(struct buf *b, const json_t *v, unsigned depth_max) {
        struct writer w = {.out = b, .depth_max = depth_max, .sorted = true};

        return write_whole(&w, v);
}

bool json_write_string(struct buf *b, const char *text) {
        return write_string(b, text, strlen(text));
}
