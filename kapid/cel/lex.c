/* Tokens of expressions. */
#include <math.h>

#include "kapid/cel/internal.h"
#include "lib/hex.h"

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char peek(const struct cel_source *s, size_t at) {
        return at < s->size ? s->text[at] : '\0';
}

static size_t skip_space(const struct cel_source *s, size_t at) {
        for (; at < s->size; at++) {
                char c = s->text[at];

                if (c == '/' && peek(s, at + 1) == '/') {
                        while (at < s->size && s->text[at] != '\n')
                                at++;
                        if (at == s->size)
                                break;
                } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f')
                        break;
        }
        return at;
}

static void add_utf8(struct buf *b, uint32_t c) {
        if (c < 0x80)
                buf_append_char(b, (char)c);
        else if (c < 0x800) {
                buf_append_char(b, (char)(0xc0 | c >> 6));
                buf_append_char(b, (char)(0x80 | (c & 0x3f)));
        } else if (c < 0x10000) {
                buf_append_char(b, (char)(0xe0 | c >> 12));
                buf_append_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
                buf_append_char(b, (char)(0x80 | (c & 0x3f)));
        } else {
                buf_append_char(b, (char)(0xf0 | c >> 18));
                buf_append_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
                buf_append_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
                buf_append_char(b, (char)(0x80 | (c & 0x3f)));
        }
}

struct quoted {
        bool raw, bytes, triple;
        char quote;
};

/* A number of `digits` digits at *at. */
static bool read_number(const struct cel_source *s, size_t *at, unsigned digits, unsigned base,
                uint32_t *ret) {
        uint32_t n = 0;

        for (unsigned i = 0; i < digits; i++, (*at)++) {
                int d = hex_digit(peek(s, *at));

                if (d < 0 || (unsigned)d >= base)
                        return false;
                n = n * base + (uint32_t)d;
        }
        *ret = n;
        return true;
}

/* The escape behind a backslash; false: there is no such. */
static bool read_escape(
                const struct cel_source *s, size_t *at, const struct quoted *q, struct buf *b) {
        static const char from[] = "abfnrtv\\?\"'`", to[] = "\a\b\f\n\r\t\v\\?\"'`";
        char c = peek(s, (*at)++);
        const char *simple = c ? strchr(from, c) : NULL;
        uint32_t n = 0;
        bool ok;

        if (simple) {
                buf_append_char(b, to[simple - from]);
                return true;
        }
        switch (c) {
        case 'x':
        case 'X':
                ok = read_number(s, at, 2, 16, &n);
                break;
        case 'u':
                ok = !q->bytes && read_number(s, at, 4, 16, &n);
                break;
        case 'U':
                ok = !q->bytes && read_number(s, at, 8, 16, &n);
                break;
        case '0':
        case '1':
        case '2':
        case '3':
                (*at)--;
                ok = read_number(s, at, 3, 8, &n);
                break;
        default:
                return false;
        }
        if (!ok || n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff))
                return false;
        if (q->bytes)
                buf_append_char(b, (char)n);
        else
                add_utf8(b, n);
        return true;
}

static bool at_end_quote(const struct cel_source *s, size_t at, const struct quoted *q) {
        if (peek(s, at) != q->quote || at >= s->size)
                return false;
        return !q->triple || (peek(s, at + 1) == q->quote && peek(s, at + 2) == q->quote);
}

/* A literal's text from behind its opening quotes; false with a finding. */
static bool read_quoted(struct cel_source *s, size_t start, size_t *at, const struct quoted *q,
                struct buf *b) {
        while (!at_end_quote(s, *at, q)) {
                char c = peek(s, *at);

                if (*at >= s->size || (!q->triple && (c == '\n' || c == '\r'))) {
                        cel_finding(s, start, "Syntax error: token recognition error at: '%.*s'",
                                        (int)MIN(*at - start, (size_t)40), s->text + start);
                        return false;
                }
                (*at)++;
                if (c == '\\' && !q->raw) {
                        size_t escape = *at - 1;

                        if (!read_escape(s, at, q, b)) {
                                *at = MIN(*at, s->size);
                                cel_finding(s, escape,
                                                "Syntax error: token recognition error at: '%.*s'",
                                                (int)(*at - escape), s->text + escape);
                                return false;
                        }
                } else if (c == '\r' && q->triple) {
                        /* Line ends are line feeds. */
                        if (peek(s, *at) != '\n')
                                buf_append_char(b, '\n');
                } else
                        buf_append_char(b, c);
        }
        *at += q->triple ? 3 : 1;
        return true;
}

static struct cel_token lex_quoted(
                struct cel_source *s, size_t start, size_t *at, struct quoted q) {
        struct cel_token t = {
                        .kind = q.bytes ? CEL_TOKEN_BYTES : CEL_TOKEN_STRING, .offset = start};
        _cleanup_buf_ struct buf b = {};
        char *copy;

        q.quote = s->text[*at];
        q.triple = peek(s, *at + 1) == q.quote && peek(s, *at + 2) == q.quote;
        *at += q.triple ? 3 : 1;
        if (!read_quoted(s, start, at, &q, &b)) {
                *at = s->size;
                t.kind = CEL_TOKEN_BAD;
                return t;
        }
        copy = b.failed ? NULL : cel_types_strndup(s->memory, b.data, b.size);
        if (!copy) {
                s->failed = true;
                t.kind = CEL_TOKEN_BAD;
                return t;
        }
        t.value = q.bytes ? cel_bytes_at(copy, b.size) : cel_string_at(copy, b.size);
        t.size = *at - start;
        return t;
}

/* r, R, b, B before a quote. */
static bool quoted_prefix(const struct cel_source *s, size_t *at, struct quoted *q) {
        size_t i = *at;

        for (; i < *at + 2; i++) {
                char c = peek(s, i);

                if ((c == 'r' || c == 'R') && !q->raw)
                        q->raw = true;
                else if ((c == 'b' || c == 'B') && !q->bytes)
                        q->bytes = true;
                else
                        break;
        }
        if (peek(s, i) != '"' && peek(s, i) != '\'')
                return false;
        *at = i;
        return true;
}

static struct cel_token lex_double(struct cel_source *s, size_t start, size_t end) {
        struct cel_token t = {.kind = CEL_TOKEN_DOUBLE, .offset = start, .size = end - start};
        char *text = cel_types_strndup(s->memory, s->text + start, end - start);

        if (!text)
                s->failed = true;
        else
                t.value = cel_double(strtod(text, NULL));
        if (!text || !isfinite(t.value.real)) {
                cel_finding(s, start, "invalid double literal");
                t.kind = CEL_TOKEN_BAD;
        }
        return t;
}

static struct cel_token lex_number(struct cel_source *s, size_t *at) {
        size_t start = *at, i = start;
        bool real = false;

        if (peek(s, i) == '0' && peek(s, i + 1) == 'x' && hex_digit(peek(s, i + 2)) >= 0) {
                for (i += 2; hex_digit(peek(s, i)) >= 0; i++)
                        ;
        } else {
                while (is_digit(peek(s, i)))
                        i++;
                if (peek(s, i) == '.' && is_digit(peek(s, i + 1))) {
                        real = true;
                        for (i++; is_digit(peek(s, i)); i++)
                                ;
                }
                if (peek(s, i) == 'e' || peek(s, i) == 'E') {
                        size_t e = i + 1;

                        if (peek(s, e) == '+' || peek(s, e) == '-')
                                e++;
                        if (is_digit(peek(s, e))) {
                                real = true;
                                for (i = e; is_digit(peek(s, i)); i++)
                                        ;
                        }
                }
        }
        if (real) {
                *at = i;
                return lex_double(s, start, i);
        }

        struct cel_token t = {.kind = CEL_TOKEN_INT, .offset = start};

        if (peek(s, i) == 'u' || peek(s, i) == 'U') {
                t.kind = CEL_TOKEN_UINT;
                i++;
        }
        *at = i;
        t.size = i - start;
        return t;
}

static struct cel_token lex_backquoted(struct cel_source *s, size_t *at) {
        struct cel_token t = {.kind = CEL_TOKEN_QUOTED, .offset = *at};
        size_t i = *at + 1;

        while (i < s->size && s->text[i] != '`' &&
                        (is_letter(s->text[i]) || is_digit(s->text[i]) ||
                                        strchr(".-/ ", s->text[i])))
                i++;
        if (peek(s, i) != '`' || i == *at + 1) {
                cel_finding(s, *at, "Syntax error: token recognition error at: '`'");
                t.kind = CEL_TOKEN_BAD;
                *at = s->size;
                return t;
        }
        t.size = i + 1 - *at;
        *at = i + 1;
        return t;
}

static struct cel_token lex_punctuation(struct cel_source *s, size_t *at) {
        static const char *const two[] = {"==", "!=", "<=", ">=", "&&", "||"};
        struct cel_token t = {.kind = CEL_TOKEN_PUNCTUATION, .offset = *at, .size = 1};
        size_t width = 1;

        for (size_t i = 0; i < ELEMENTS(two); i++)
                if (peek(s, *at) == two[i][0] && peek(s, *at + 1) == two[i][1])
                        t.size = 2;
        if (t.size == 1 && !strchr("()[]{}.,:?!<>+-*/%", s->text[*at])) {
                while (*at + width < s->size &&
                                ((unsigned char)s->text[*at + width] & 0xc0) == 0x80)
                        width++;
                cel_finding(s, *at, "Syntax error: token recognition error at: '%.*s'", (int)width,
                                s->text + *at);
                t.kind = CEL_TOKEN_BAD;
                t.size = width;
        }
        *at += t.size;
        return t;
}

struct cel_token cel_lex(struct cel_source *s, size_t *at) {
        struct quoted q = {};
        size_t start;
        char c;

        *at = skip_space(s, *at);
        start = *at;
        if (start >= s->size)
                return (struct cel_token){.kind = CEL_TOKEN_END, .offset = s->size};
        c = s->text[start];
        if (quoted_prefix(s, at, &q))
                return lex_quoted(s, start, at, q);
        if (is_digit(c) || (c == '.' && is_digit(peek(s, start + 1))))
                return lex_number(s, at);
        if (is_letter(c)) {
                while (is_letter(peek(s, *at)) || is_digit(peek(s, *at)))
                        (*at)++;
                return (struct cel_token){
                                .kind = CEL_TOKEN_IDENT, .offset = start, .size = *at - start};
        }
        if (c == '`')
                return lex_backquoted(s, at);
        return lex_punctuation(s, at);
}
