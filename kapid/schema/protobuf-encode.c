/* The JSON text of an object to its protobuf message, in one walk over the text: no tree is made.
 * What is in the text is written and nothing else; every field is optional in proto2, so that a
 * reader has the object that JSON gives it. Fields are written as they come and put in the order
 * of their numbers, the entries of maps in the order of their keys, when their message ends: the
 * same object gives the same bytes, in the order of Kubernetes' own. The length before a message
 * is written behind it, in a place that grows where one byte is too small.
 *
 * The text is the server's own; one that is not JSON, or does not fit its schema, is refused, and
 * nothing outside of it is read. Only of definitions of kinds what does not fit is left out: the
 * schemas in them were not looked into everywhere when older versions stored them, and one must
 * not break the list of all. */
#include "kapid/schema/protobuf.h"

#include "kapid/schema/format.h"
#include "kapid/schema/internal.h"
#include "kapid/schema/protobuf-output.h"
#include "lib/crypto.h"
#include "lib/json-text.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

enum {
        DEPTH_MAX = 128, /* an object has at most 100 levels */
        SORT_SMALL = 48,
        NUMBER_MAX_SIZE = 40,
};

/* A field, or an entry of a map, as it was written. */
struct segment {
        /* The numbers that lead to the field: those of inlined messages around it, the outermost
           first, then its own, 16 bits each. */
        uint64_t order;
        size_t start, size; /* in the output */
        size_t key_at;      /* of an entry: where its key stands, from start on */
        size_t key_size;
};

struct encoder {
        struct buf *out;
        struct buf copy;                 /* of a message that is put in order */
        struct buf string;               /* the last one that had escapes */
        VECTOR(struct segment) segments; /* of the messages under way, the innermost last */
        const char *at, *end;
        const struct schema *props; /* of JSONSchemaProps, when one was met */
        unsigned depth;
};

void protobuf_put_number(struct buf *b, unsigned number, uint64_t v) {
        put_tag(b, number, WIRE_VARINT);
        put_varint(b, v);
}

void protobuf_put_bytes(struct buf *b, unsigned number, const void *data, size_t n) {
        put_bytes(b, number, data, n);
}

void protobuf_put_head(struct buf *b, unsigned number, size_t n) {
        put_tag(b, number, WIRE_BYTES);
        put_varint(b, n);
}

size_t protobuf_open(struct buf *b, unsigned number) {
        put_tag(b, number, WIRE_BYTES);
        return open_message(b);
}

void protobuf_close(struct buf *b, size_t start) {
        (void)close_message(b, start);
}

/* --- the text --- */

static void skip_space(struct encoder *e) {
        while (e->at < e->end &&
                        (*e->at == ' ' || *e->at == '\n' || *e->at == '\t' || *e->at == '\r'))
                e->at++;
}

/* The next character that is no blank is taken if it is this one. */
static bool take(struct encoder *e, char c) {
        skip_space(e);
        if (e->at >= e->end || *e->at != c)
                return false;
        e->at++;
        return true;
}

static bool take_word(struct encoder *e, const char *word) {
        size_t n = strlen(word);

        skip_space(e);
        if ((size_t)(e->end - e->at) < n || memcmp(e->at, word, n) != 0)
                return false;
        e->at += n;
        return true;
}

static int read_hex(const char *s, const char *end, unsigned *ret) {
        unsigned v = 0;

        if (end - s < 4)
                return -EINVAL;
        for (int i = 0; i < 4; i++) {
                int c = s[i] | 0x20, digit = s[i] >= '0' && s[i] <= '9' ? s[i] - '0'
                                             : c >= 'a' && c <= 'f'     ? c - 'a' + 10
                                                                        : -1;
                if (digit < 0)
                        return -EINVAL;
                v = v << 4 | (unsigned)digit;
        }
        *ret = v;
        return 0;
}

static void put_character(struct buf *b, unsigned c) {
        char utf8[4];
        size_t n = 0;

        if (c < 0x80) {
                utf8[n++] = (char)c;
        } else if (c < 0x800) {
                utf8[n++] = (char)(0xc0 | c >> 6);
                utf8[n++] = (char)(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
                utf8[n++] = (char)(0xe0 | c >> 12);
                utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
                utf8[n++] = (char)(0x80 | (c & 0x3f));
        } else {
                utf8[n++] = (char)(0xf0 | c >> 18);
                utf8[n++] = (char)(0x80 | (c >> 12 & 0x3f));
                utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
                utf8[n++] = (char)(0x80 | (c & 0x3f));
        }
        buf_append(b, utf8, n);
}

/* \uXXXX, or a pair of them; *s stands behind the first u and is moved past them. */
static int unescape_unicode(struct buf *b, const char **s, const char *end) {
        unsigned c, low;

        if (read_hex(*s, end, &c) < 0)
                return -EINVAL;
        *s += 4;
        if (c >= 0xd800 && c < 0xdc00) {
                if (end - *s < 6 || (*s)[0] != '\\' || (*s)[1] != 'u' ||
                                read_hex(*s + 2, end, &low) < 0 || low < 0xdc00 || low > 0xdfff)
                        return -EINVAL;
                *s += 6;
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        } else if (c >= 0xdc00 && c < 0xe000) {
                return -EINVAL;
        }
        put_character(b, c);
        return 0;
}

static int unescape(struct buf *b, const char *s, const char *end) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

        buf_reset(b);
        while (s < end) {
                const char *slash = memchr(s, '\\', (size_t)(end - s)), *known;

                if (!slash) {
                        buf_append(b, s, (size_t)(end - s));
                        break;
                }
                buf_append(b, s, (size_t)(slash - s));
                s = slash + 1;
                if (s == end)
                        return -EINVAL;
                if (*s == 'u') {
                        s++;
                        if (unescape_unicode(b, &s, end) < 0)
                                return -EINVAL;
                        continue;
                }
                known = memchr(from, *s, sizeof(from) - 1);
                if (!known)
                        return -EINVAL;
                buf_append_char(b, to[known - from]);
                s++;
        }
        return b->failed ? -ENOMEM : 0;
}

/* A string's characters: in the text, or in e->string until the next one. */
static int read_string(struct encoder *e, const char **ret, size_t *ret_n) {
        const char *start, *s;
        bool escaped = false;
        int r;

        if (!take(e, '"'))
                return -EINVAL;
        for (start = s = e->at; s < e->end && *s != '"'; s++)
                if (*s == '\\') {
                        escaped = true;
                        s++;
                }
        if (s >= e->end)
                return -EINVAL;
        e->at = s + 1;
        *ret = start;
        *ret_n = (size_t)(s - start);
        if (!escaped)
                return 0;
        r = unescape(&e->string, start, s);
        if (r < 0)
                return r;
        *ret = strempty(e->string.data);
        *ret_n = e->string.size;
        return 0;
}

static int skip_value(struct encoder *e) {
        const char *past;

        skip_space(e);
        past = json_text_value_end(e->at, e->end);
        if (!past)
                return -EINVAL;
        e->at = past;
        return 0;
}

/* The characters of a number, ended by NUL. */
static int read_number(struct encoder *e, char text[static NUMBER_MAX_SIZE]) {
        size_t n = 0;

        skip_space(e);
        while (e->at + n < e->end && n < NUMBER_MAX_SIZE - 1 &&
                        strchr("+-.0123456789eE", e->at[n]) && e->at[n])
                n++;
        if (n == 0)
                return -EINVAL;
        memcpy(text, e->at, n);
        text[n] = 0;
        e->at += n;
        return 0;
}

static int read_integer(struct encoder *e, int64_t *ret) {
        char text[NUMBER_MAX_SIZE], *end;
        double real;
        int r = read_number(e, text);

        if (r < 0)
                return r;
        if (parse_i64(text, ret) >= 0)
                return 0;
        real = strtod(text, &end);
        if (*end || !(real >= -9e18 && real <= 9e18) || (double)(int64_t)real != real)
                return -EINVAL;
        *ret = (int64_t)real;
        return 0;
}

/* --- single values --- */

static int put_seconds(struct encoder *e, unsigned number, const char *text, size_t n, bool micro) {
        char few[TIMEFMT_SIZE * 2];
        _cleanup_free_ char *many = NULL;
        char *copy = few;
        uint64_t us;
        size_t start;

        if (n >= sizeof(few)) { /* a fraction has as many digits as one likes */
                copy = many = malloc(n + 1);
                if (!many)
                        return -ENOMEM;
        }
        memcpy(copy, text, n);
        copy[n] = 0;
        if (n > 0 && time_parse(copy, &us) < 0)
                return -EINVAL;
        start = protobuf_open(e->out, number);
        if (n > 0) {
                protobuf_put_number(e->out, 1, us / 1000000);
                protobuf_put_number(e->out, 2, micro ? us % 1000000 * 1000 : 0);
        }
        (void)close_message(e->out, start);
        return 0;
}

static int put_base64(struct encoder *e, unsigned number, const char *text, size_t n) {
        _cleanup_free_ char *copy = strndup(text, n);
        _cleanup_free_ void *data = NULL;
        size_t size, at;
        char last;
        int r;

        if (!copy)
                return -ENOMEM;
        last = base64_last(copy, strlen(copy), &at); /* a NUL ends it */
        if (last)
                copy[at] = last;
        r = base64_decode(copy, &data, &size);
        if (r >= 0)
                put_bytes(e->out, number, data, size);
        return r;
}

static void put_inside(struct encoder *e, unsigned number, const char *text, size_t n) {
        size_t start = protobuf_open(e->out, number);

        put_bytes(e->out, 1, text, n);
        (void)close_message(e->out, start);
}

/* metav1.Duration: {nanoseconds=1}; "15.003s", or any that parse_duration_us() takes. */
static int put_duration(struct encoder *e, unsigned number, const char *text, size_t n) {
        char copy[NUMBER_MAX_SIZE], *end;
        uint64_t us;
        double seconds;
        size_t start;

        if (n == 0 || n >= sizeof(copy))
                return -EINVAL;
        memcpy(copy, text, n);
        copy[n] = 0;
        seconds = strtod(copy, &end);
        if (streq(end, "s") && seconds >= 0 && seconds < 9e9)
                us = (uint64_t)(seconds * 1e6 + 0.5);
        else if (parse_duration_us(copy, &us) < 0 || us > INT64_MAX / 1000)
                return -EINVAL;
        start = protobuf_open(e->out, number);
        protobuf_put_number(e->out, 1, us * 1000);
        (void)close_message(e->out, start);
        return 0;
}

static int put_string(struct encoder *e, unsigned number, const struct schema *s) {
        char figures[NUMBER_MAX_SIZE];
        const char *text = figures;
        size_t n;
        int r;

        skip_space(e);
        if (s->format == FORMAT_QUANTITY && e->at < e->end && *e->at != '"') {
                r = read_number(e, figures);
                n = r < 0 ? 0 : strlen(figures);
        } else {
                r = read_string(e, &text, &n);
        }
        if (r < 0)
                return r;
        switch (s->format) {
        case FORMAT_BYTE:
                return put_base64(e, number, text, n);
        case FORMAT_QUANTITY:
                put_inside(e, number, text, n);
                return 0;
        case FORMAT_DATE_TIME:
        case FORMAT_MICRO_TIME:
                return put_seconds(e, number, text, n, s->format == FORMAT_MICRO_TIME);
        case FORMAT_DURATION:
                return put_duration(e, number, text, n);
        default:
                put_bytes(e->out, number, text, n);
                return 0;
        }
}

static int put_int_or_string(struct encoder *e, unsigned number) {
        const char *text = "";
        int64_t v = 0;
        size_t n = 0, start;
        bool is_string;
        int r;

        skip_space(e);
        is_string = e->at < e->end && *e->at == '"';
        r = is_string ? read_string(e, &text, &n) : read_integer(e, &v);
        if (r < 0)
                return r;
        start = protobuf_open(e->out, number);
        protobuf_put_number(e->out, 1, is_string);
        protobuf_put_number(e->out, 2, (uint64_t)v);
        put_bytes(e->out, 3, text, n);
        (void)close_message(e->out, start);
        return 0;
}

/* RawExtension {raw=1} and FieldsV1 {Raw=1}. */
static int put_json(struct encoder *e, unsigned number) {
        const char *from;
        int r;

        skip_space(e);
        from = e->at;
        r = skip_value(e);
        if (r >= 0)
                put_inside(e, number, from, (size_t)(e->at - from));
        return r;
}

static int put_real(struct encoder *e, unsigned number) {
        char text[NUMBER_MAX_SIZE], *end;
        unsigned char bytes[8];
        uint64_t bits;
        double v;
        int r = read_number(e, text);

        if (r < 0)
                return r;
        v = strtod(text, &end);
        if (*end)
                return -EINVAL;
        memcpy(&bits, &v, sizeof(bits));
        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (unsigned char)(bits >> 8 * i);
        put_tag(e->out, number, WIRE_FIXED64);
        buf_append(e->out, bytes, sizeof(bytes));
        return 0;
}

static int put_boolean(struct encoder *e, unsigned number) {
        bool v = take_word(e, "true");

        if (!v && !take_word(e, "false"))
                return -EINVAL;
        protobuf_put_number(e->out, number, v);
        return 0;
}

static int put_integer(struct encoder *e, unsigned number) {
        int64_t v;
        int r = read_integer(e, &v);

        if (r >= 0)
                protobuf_put_number(e->out, number, (uint64_t)v);
        return r;
}

/* --- messages --- */

static int encode_message(struct encoder *e, const struct schema *s);
static int put_list(struct encoder *e, unsigned number, const struct schema *items);
static int put_value(struct encoder *e, unsigned number, const struct schema *s);

static bool is_json(const struct schema *s) {
        return s->type == SCHEMA_ANY || (s->type == SCHEMA_OBJECT && s->field_count == 0 &&
                                                        s->flags & SCHEMA_PRESERVE_UNKNOWN);
}

/* What in a CustomResourceDefinition is a schema or something else. What it can not be counts as
 * nothing, as it does where Go reads it: a list must not fail for it. */
static int put_union(struct encoder *e, unsigned number, enum protobuf_union form) {
        static const struct schema name = {.type = SCHEMA_STRING};
        size_t start = protobuf_open(e->out, number);
        char next;
        int r;

        skip_space(e);
        next = e->at < e->end ? *e->at : 0;
        if (next == '[' && form != UNION_BOOL)
                r = put_list(e, 2, form == UNION_STRINGS ? &name : e->props);
        else if (form == UNION_BOOL && (next == 't' || next == 'f'))
                r = put_boolean(e, 1);
        else if (next != '{')
                r = skip_value(e);
        else {
                if (form == UNION_BOOL)
                        protobuf_put_number(e->out, 1, true);
                r = e->props ? put_value(e, form == UNION_BOOL ? 2 : 1, e->props) : -EINVAL;
        }
        (void)close_message(e->out, start);
        return r;
}

static int put_value(struct encoder *e, unsigned number, const struct schema *s) {
        enum protobuf_union form = protobuf_union_of(s);
        size_t start;
        int r;

        if (form != UNION_NONE)
                return put_union(e, number, form);
        if (is_json(s))
                return put_json(e, number);
        switch (s->type) {
        case SCHEMA_STRING:
                return put_string(e, number, s);
        case SCHEMA_INTEGER:
                return put_integer(e, number);
        case SCHEMA_NUMBER:
                return put_real(e, number);
        case SCHEMA_BOOLEAN:
                return put_boolean(e, number);
        case SCHEMA_INT_OR_STRING:
                return put_int_or_string(e, number);
        default: /* an object, or a map's value that is a list: a message {items=1} */
                if (e->depth >= DEPTH_MAX)
                        return -EINVAL;
                e->depth++;
                start = protobuf_open(e->out, number);
                r = s->type == SCHEMA_ARRAY ? put_list(e, 1, s->items) : encode_message(e, s);
                (void)close_message(e->out, start);
                e->depth--;
                return r;
        }
}

static int put_list(struct encoder *e, unsigned number, const struct schema *items) {
        if (!items || !take(e, '['))
                return -EINVAL;
        if (take(e, ']'))
                return 0;
        do {
                int r = take_word(e, "null") ? 0 : put_value(e, number, items);

                if (r < 0)
                        return r;
        } while (take(e, ','));
        return take(e, ']') ? 0 : -EINVAL;
}

static int compare_orders(const void *x, const void *y) {
        const struct segment *a = x, *b = y;

        return a->order != b->order ? (a->order < b->order ? -1 : 1)
                                    : (a->start > b->start) - (a->start < b->start);
}

/* Most often few, and nearly in order. */
static void sort_segments(struct segment *s, size_t n) {
        if (n > SORT_SMALL) {
                qsort(s, n, sizeof(*s), compare_orders);
                return;
        }
        for (size_t i = 1; i < n; i++) {
                const struct segment moving = s[i];
                size_t j = i;

                for (; j > 0 && s[j - 1].order > moving.order; j--)
                        s[j] = s[j - 1];
                s[j] = moving;
        }
}

/* userdata: the copy, in which the segments stand from `start` on. */
static int compare_keys(const void *x, const void *y, void *userdata) {
        const struct segment *a = x, *b = y;
        const char *copy = userdata;
        int order = memcmp(copy + a->start + a->key_at, copy + b->start + b->key_at,
                        MIN(a->key_size, b->key_size));

        return order ? order : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

/* Takes the output from `start` on away, into e->copy; segments then count from there. */
static int take_output(struct encoder *e, size_t start, struct segment *segments, size_t n) {
        if (e->out->failed)
                return -ENOMEM;
        buf_reset(&e->copy);
        buf_append(&e->copy, e->out->data + start, e->out->size - start);
        if (e->copy.failed)
                return -ENOMEM;
        e->out->size = start;
        for (size_t i = 0; i < n; i++)
                segments[i].start -= start;
        return 0;
}

static unsigned number_at(const struct segment *s, unsigned level) {
        return (unsigned)(s->order >> (32 - 16 * level)) & 0xffff;
}

/* Writes segments that are in order; those below an inlined message together in it. */
static void put_ordered(struct encoder *e, const struct segment *s, size_t n, unsigned level) {
        for (size_t i = 0, next; i < n; i = next) {
                next = i + 1;
                if (level == 2 || number_at(&s[i], level + 1) == 0) {
                        buf_append(e->out, e->copy.data + s[i].start, s[i].size);
                        continue;
                }
                while (next < n && number_at(&s[next], level) == number_at(&s[i], level))
                        next++;
                size_t start = protobuf_open(e->out, number_at(&s[i], level));
                put_ordered(e, s + i, next - i, level + 1);
                (void)close_message(e->out, start);
        }
}

/* The fields of a message that was written from `start` on, whose segments begin at `first`. */
static int arrange_fields(struct encoder *e, size_t start, size_t first) {
        size_t n = e->segments.count - first;
        struct segment *s = n > 0 ? e->segments.items + first : NULL;
        bool ordered = true;

        e->segments.count = first;
        for (size_t i = 0; i < n && ordered; i++)
                ordered = number_at(&s[i], 1) == 0 && (i == 0 || s[i - 1].order < s[i].order);
        if (ordered)
                return 0;
        int r = take_output(e, start, s, n);
        if (r < 0)
                return r;
        sort_segments(s, n);
        put_ordered(e, s, n, 0);
        return 0;
}

static int arrange_entries(struct encoder *e, size_t start, size_t first) {
        size_t n = e->segments.count - first;
        struct segment *s = n > 0 ? e->segments.items + first : NULL;

        e->segments.count = first;
        if (n < 2)
                return 0;
        int r = take_output(e, start, s, n);
        if (r < 0)
                return r;
        qsort_r(s, n, sizeof(*s), compare_keys, e->copy.data);
        for (size_t i = 0; i < n; i++)
                buf_append(e->out, e->copy.data + s[i].start, s[i].size);
        return 0;
}

static int put_entry(struct encoder *e, unsigned number, const struct schema *values) {
        struct segment s = {.start = e->out->size};
        const char *key;
        size_t message;
        int r = read_string(e, &key, &s.key_size);

        if (r < 0)
                return r;
        message = protobuf_open(e->out, number);
        put_bytes(e->out, 1, key, s.key_size);
        s.key_at = e->out->size - s.start - s.key_size;
        if (!take(e, ':'))
                return -EINVAL;
        if (take_word(e, "null"))
                put_bytes(e->out, 2, "", 0);
        else
                r = put_value(e, 2, values);
        if (r < 0)
                return r;
        s.key_at += close_message(e->out, message);
        s.size = e->out->size - s.start;
        return vector_append(&e->segments, s);
}

static int put_map(struct encoder *e, unsigned number, const struct schema *values) {
        size_t first = e->segments.count, start = e->out->size;

        if (!take(e, '{'))
                return -EINVAL;
        if (take(e, '}'))
                return 0;
        do {
                int r = put_entry(e, number, values);

                if (r < 0)
                        return r;
        } while (take(e, ','));
        return take(e, '}') ? arrange_entries(e, start, first) : -EINVAL;
}

static bool is_map(const struct schema *s) {
        return s->type == SCHEMA_OBJECT && s->additional && s->field_count == 0;
}

static int put_field(struct encoder *e, const struct schema_field *f) {
        const struct schema *s = f->schema;
        unsigned outer = f->protobuf_outer;
        struct segment segment = {.start = e->out->size};
        const char *before = e->at;
        size_t first = e->segments.count;
        unsigned depth = e->depth;
        int r;

        if (outer > 0xff)
                segment.order = (uint64_t)(outer >> 8) << 32 | (outer & 0xff) << 16 | f->protobuf;
        else if (outer)
                segment.order = (uint64_t)outer << 32 | (uint64_t)f->protobuf << 16;
        else
                segment.order = (uint64_t)f->protobuf << 32;
        if (s->type == SCHEMA_ARRAY)
                r = put_list(e, f->protobuf, s->items);
        else if (is_map(s))
                r = put_map(e, f->protobuf, s->additional);
        else
                r = put_value(e, f->protobuf, s);
        if (r == -EINVAL && e->props) {
                e->out->size = segment.start;
                e->segments.count = first;
                e->depth = depth;
                e->at = before;
                return skip_value(e);
        }
        if (r < 0)
                return r;
        segment.size = e->out->size - segment.start;
        return vector_append(&e->segments, segment);
}

/* As schema_field_find(), for a name without an end. */
static const struct schema_field *find_field(const struct schema *s, const char *name, size_t n) {
        size_t low = 0, high = s->field_count;

        while (low < high) {
                size_t middle = (low + high) / 2, i = 0;
                const char *other = s->fields[middle].name;

                while (i < n && other[i] == name[i] && other[i])
                        i++;
                if (i == n && !other[i])
                        return &s->fields[middle];
                if (i == n || (unsigned char)name[i] < (unsigned char)other[i])
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

static int encode_member(struct encoder *e, const struct schema *s) {
        const struct schema_field *f;
        const char *name;
        size_t n;
        int r = read_string(e, &name, &n);

        if (r < 0)
                return r;
        f = find_field(s, name, n);
        if (!take(e, ':'))
                return -EINVAL;
        if (take_word(e, "null"))
                return 0;
        return f && f->protobuf ? put_field(e, f) : skip_value(e);
}

/* The object that the text goes on with. */
static int encode_message(struct encoder *e, const struct schema *s) {
        size_t first = e->segments.count, start = e->out->size;

        if (protobuf_is_props(s))
                e->props = s;
        if (!take(e, '{'))
                return -EINVAL;
        if (take(e, '}'))
                return 0;
        do {
                int r = encode_member(e, s);

                if (r < 0)
                        return r;
        } while (take(e, ','));
        return take(e, '}') ? arrange_fields(e, start, first) : -EINVAL;
}

int protobuf_encode(struct buf *b, const struct schema *s, const char *text, size_t n) {
        struct encoder e = {.out = b, .at = text, .end = text + n};
        int r = encode_message(&e, s);

        buf_done(&e.copy);
        buf_done(&e.string);
        vector_done(&e.segments);
        if (b->failed)
                return -ENOMEM;
        return r;
}
