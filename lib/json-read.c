/* One walk over the text that makes jansson's values. It takes what nearly every text consists of
 * and gives the rest up, the whole text with it: then jansson reads it from the start. So what is
 * refused, and why, is jansson's word alone, and what is accepted here must be what jansson accepts
 * (RFC 8259; UTF-8; the last of equal names counts, in the place of the first). */
#include "lib/json-read.h"

#include "lib/buf.h"
#include "lib/hex.h"
#include "lib/json-scan.h"

enum { DIGITS_MAX = 18 }; /* of an integer that surely has 64 bits */

struct reader {
        const char *at, *end;
        struct buf text; /* of a string with escapes */
        unsigned depth, depth_max;
        bool unique; /* equal names are an error */
};

/* A string in the text, or in the reader's buffer until the next one. */
struct piece {
        const char *data;
        size_t size;
        bool high; /* not only ASCII: is it UTF-8? */
};

static char next(struct reader *r) {
        while (r->at < r->end &&
                        (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n'))
                r->at++;
        return r->at < r->end ? *r->at : 0;
}

/* Behind "\u". */
static int read_code(struct reader *r) {
        char out[3];
        int code = 0, n = 0;

        if (r->end - r->at < 4)
                return -EAGAIN;
        for (int i = 0; i < 4; i++) {
                int digit = hex_digit(*r->at++);

                if (digit < 0)
                        return -EAGAIN;
                code = code * 16 + digit;
        }
        if (code == 0 || (code >= 0xd800 && code < 0xe000))
                return -EAGAIN;
        if (code < 0x80)
                out[n++] = (char)code;
        else {
                if (code < 0x800)
                        out[n++] = (char)(0xc0 | code >> 6);
                else {
                        out[n++] = (char)(0xe0 | code >> 12);
                        out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
                }
                out[n++] = (char)(0x80 | (code & 0x3f));
        }
        return buf_append(&r->text, out, (size_t)n);
}

static int read_escape(struct reader *r) {
        static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        const char *name;

        if (r->at == r->end || *r->at == 0)
                return -EAGAIN;
        if (*r->at == 'u') {
                r->at++;
                return read_code(r);
        }
        name = strchr(names, *r->at++);
        return name ? buf_append_char(&r->text, meanings[name - names]) : -EAGAIN;
}

/* The string at the reader's place (its opening quote), and past it. */
static int read_string(struct reader *r, struct piece *ret) {
        struct piece p = {0};
        bool copied = false;

        r->at++;
        for (;;) {
                const char *from = r->at;
                size_t n = json_scan_plain(from, (size_t)(r->end - from), &p.high);
                int k = 0;

                r->at += n;
                if (r->at == r->end)
                        return -EAGAIN;
                if (*r->at == '"' && !copied) {
                        p.data = from;
                        p.size = n;
                        break;
                }
                if (!copied)
                        buf_reset(&r->text);
                copied = true;
                (void)buf_append(&r->text, from, n);
                if (*r->at == '"') {
                        p.data = r->text.data;
                        p.size = r->text.size;
                        p.high = true; /* what escapes made may be more than ASCII */
                        break;
                }
                if (*r->at++ != '\\')
                        return -EAGAIN;
                k = read_escape(r);
                if (k < 0)
                        return k;
        }
        r->at++;
        *ret = p;
        return copied && r->text.failed ? -ENOMEM : 0;
}

static int read_integer(struct reader *r, json_t **ret) {
        bool negative = *r->at == '-';
        const char *digits = r->at + negative, *at = digits;
        json_int_t v = 0;

        for (; at < r->end && *at >= '0' && *at <= '9'; at++) {
                if (at - digits >= DIGITS_MAX)
                        return -EAGAIN;
                v = v * 10 + (*at - '0');
        }
        if (at == digits || (*digits == '0' && at - digits > 1))
                return -EAGAIN;
        if (at < r->end && (*at == '.' || *at == 'e' || *at == 'E'))
                return -EAGAIN;
        r->at = at;
        *ret = json_integer(negative ? -v : v);
        return *ret ? 0 : -ENOMEM;
}

static bool take_word(struct reader *r, const char *word) {
        size_t n = strlen(word);

        if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
                return false;
        r->at += n;
        return true;
}

static int read_value(struct reader *r, json_t **ret);

/* Past the comma: 1; past the closing bracket: 0. */
static int read_more(struct reader *r, char close) {
        char c = next(r);

        if (c != ',' && c != close)
                return -EAGAIN;
        r->at++;
        return c == ',';
}

/* The value of the member goes in before the next string is read: its name may be in the buffer. */
static int read_member(struct reader *r, json_t *object) {
        _cleanup_free_ char *copy = NULL;
        size_t before = json_object_size(object);
        struct piece name;
        json_t *v = NULL;
        int k = next(r) == '"' ? read_string(r, &name) : -EAGAIN;

        if (k < 0)
                return k;
        if (name.data == r->text.data) {
                copy = strndup(name.data, name.size);
                if (!copy)
                        return -ENOMEM;
                name.data = copy;
        }
        if (next(r) != ':')
                return -EAGAIN;
        r->at++;
        k = read_value(r, &v);
        if (k < 0)
                return k;
        k = name.high ? json_object_setn_new(object, name.data, name.size, v)
                      : json_object_setn_new_nocheck(object, name.data, name.size, v);
        if (k < 0)
                return -EAGAIN; /* not UTF-8, or no memory */
        return r->unique && json_object_size(object) == before ? -EAGAIN : 0;
}

static int read_item(struct reader *r, json_t *array) {
        json_t *v = NULL;
        int k = read_value(r, &v);

        if (k < 0)
                return k;
        return json_array_append_new(array, v) < 0 ? -ENOMEM : 0;
}

static int read_members(struct reader *r, json_t *v, char close) {
        int k = 1;

        r->at++;
        if (next(r) == close) {
                r->at++;
                return 0;
        }
        while (k > 0) {
                k = close == '}' ? read_member(r, v) : read_item(r, v);
                if (k < 0)
                        return k;
                k = read_more(r, close);
        }
        return k;
}

static int read_container(struct reader *r, json_t **ret) {
        const bool object = *r->at == '{';
        _cleanup_json_ json_t *v = object ? json_object() : json_array();
        int k;

        if (!v)
                return -ENOMEM;
        if (++r->depth > r->depth_max)
                return -EAGAIN;
        k = read_members(r, v, object ? '}' : ']');
        r->depth--;
        if (k < 0)
                return k;
        *ret = TAKE_PTR(v);
        return 0;
}

static int read_text(struct reader *r, json_t **ret) {
        struct piece p;
        int k = read_string(r, &p);

        if (k < 0)
                return k;
        *ret = p.high ? json_stringn(p.data, p.size) : json_stringn_nocheck(p.data, p.size);
        return *ret ? 0 : -EAGAIN; /* not UTF-8, or no memory */
}

static int read_value(struct reader *r, json_t **ret) {
        char c = next(r);

        if (c == '"')
                return read_text(r, ret);
        if (c == '{' || c == '[')
                return read_container(r, ret);
        if (c == '-' || (c >= '0' && c <= '9'))
                return read_integer(r, ret);
        if (take_word(r, "true"))
                *ret = json_true();
        else if (take_word(r, "false"))
                *ret = json_false();
        else if (take_word(r, "null"))
                *ret = json_null();
        else
                return -EAGAIN;
        return 0;
}

int json_read(const char *text, size_t n, unsigned depth_max, unsigned flags, json_t **ret) {
        struct reader r = {.at = text,
                        .end = text + n,
                        .depth_max = depth_max,
                        .unique = flags & JSON_PARSE_REJECT_DUPLICATES_FLAG};
        _cleanup_json_ json_t *v = NULL;
        int k = read_value(&r, &v);

        buf_done(&r.text);
        if (k < 0)
                return k;
        if (next(&r) || r.at < r.end)
                return -EAGAIN;
        *ret = TAKE_PTR(v);
        return 0;
}
