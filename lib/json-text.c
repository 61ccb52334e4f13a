/* A walk over the characters that knows strings and brackets, and nothing else. */
#include "lib/json-text.h"

#include <endian.h>

#include "lib/buf.h"

/* A bit in each byte of v that is c: all below the lowest such bit are right. */
static uint64_t bytes_like(uint64_t v, char c) {
        const uint64_t ones = 0x0101010101010101, x = v ^ ones * (unsigned char)c;

        return (x - ones) & ~x & ones << 7;
}

/* Eight bytes at a time: the first quote or backslash, or a place less than eight before the end.
 */
static const char *skip_plain(const char *s, const char *end) {
        while (end - s >= 8) {
                uint64_t v, found;

                memcpy(&v, s, sizeof(v));
                v = le64toh(v);
                found = bytes_like(v, '"') | bytes_like(v, '\\');
                if (found)
                        return s + __builtin_ctzll(found) / 8;
                s += 8;
        }
        return s;
}

/* Past the string that starts at s (its opening quote); NULL when it does not end. */
static const char *skip_string(const char *s, const char *end) {
        for (s = skip_plain(s + 1, end); s < end; s++) {
                if (*s == '\\')
                        s++;
                else if (*s == '"')
                        return s + 1;
        }
        return NULL;
}

static const char *skip_space(const char *s, const char *end) {
        while (s < end && (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n'))
                s++;
        return s;
}

/* Whether the string at s (its opening quote) is the name. */
static bool is_name(const char *s, const char *end, const char *name, size_t size) {
        return (size_t)(end - s) > size + 1 && memcmp(s + 1, name, size) == 0 && s[size + 1] == '"';
}

const char *json_text_member(const char *s, const char *end, const char *name) {
        const size_t size = strlen(name);
        unsigned depth = 0;

        while (s && s < end) {
                if (*s == '"') {
                        bool wanted = depth == 1 && is_name(s, end, name, size);

                        s = skip_string(s, end);
                        if (!s || !wanted)
                                continue;
                        s = skip_space(s, end);
                        if (s >= end || *s != ':') /* a value, not a name */
                                continue;
                        s = skip_space(s + 1, end);
                        return s < end ? s : NULL;
                }
                if (*s == '{' || *s == '[')
                        depth++;
                else if ((*s == '}' || *s == ']') && (depth == 0 || --depth == 0))
                        return NULL;
                s++;
        }
        return NULL;
}

const char *json_text_value_end(const char *s, const char *end) {
        unsigned depth = 0;

        while (s && s < end) {
                if (*s == '"') {
                        s = skip_string(s, end);
                        if (depth == 0)
                                return s;
                        continue;
                }
                if (*s == '{' || *s == '[')
                        depth++;
                else if (depth == 0 && (*s == ',' || *s == '}' || *s == ']'))
                        return s; /* a number or a word ended before it */
                else if ((*s == '}' || *s == ']') && --depth == 0)
                        return s + 1;
                s++;
        }
        return NULL;
}

int json_parse_without(const char *text, size_t n, const char *const *path, json_t **ret) {
        const char *end = text + n, *at = skip_space(text, end), *past;
        _cleanup_buf_ struct buf b = {0};

        for (; *path && at; path++)
                at = at < end && *at == '{' ? json_text_member(at, end, *path) : NULL;
        past = at ? json_text_value_end(at, end) : NULL;
        if (!past)
                return json_parse(text, n, /* flags= */ 0, ret, /* ret_error= */ NULL);
        buf_append(&b, text, (size_t)(at - text));
        buf_append_str(&b, "null");
        buf_append(&b, past, (size_t)(end - past));
        if (b.failed)
                return -ENOMEM;
        return json_parse(b.data, b.size, /* flags= */ 0, ret, /* ret_error= */ NULL);
}
