/* Rewrites a schema's pattern as a POSIX extended regular expression. Bracket expressions are taken
 * apart and put together again, because POSIX knows no escapes in them: "]" goes first, "^" never
 * first, "-" last. */
#include "kapid/schema/pattern.h"

#include "lib/buf.h"

enum { PATTERN_SIZE_MAX = 4096 };

static const char *class_of(char c) {
        switch (c) {
        case 'd':
                return "0-9";
        case 'w':
                return "A-Za-z0-9_";
        case 's':
                return " \t\n\r\f\v";
        default:
                return NULL;
        }
}

static char escaped_char(char c) {
        switch (c) {
        case 't':
                return '\t';
        case 'n':
                return '\n';
        case 'r':
                return '\r';
        case 'f':
                return '\f';
        case 'v':
                return '\v';
        default:
                return c;
        }
}

/* *s stands behind "["; moves behind "]". */
static int rewrite_bracket(const char **s, struct buf *out) {
        bool negated = **s == '^', close = false, hat = false, minus = false, any = false;
        _cleanup_buf_ struct buf rest = {0};

        *s += negated;
        for (const char *p = *s;; p++) {
                if (!*p)
                        return -EINVAL;
                if (*p == ']') {
                        *s = p + 1;
                        break;
                }
                if (*p == '[' && p[1] == ':') {
                        const char *end = strstr(p, ":]");

                        if (!end)
                                return -EINVAL;
                        buf_append(&rest, p, (size_t)(end + 2 - p));
                        p = end + 1;
                        any = true;
                        continue;
                }
                if (*p == '\\' && class_of(p[1])) {
                        buf_append_str(&rest, class_of(*++p));
                        any = true;
                        continue;
                }
                char c = *p == '\\' && p[1] ? escaped_char(*++p) : *p;
                bool literal_minus = c == '-' && (p[-1] == '\\' || !any || p[1] == ']');
                if (c == ']')
                        close = true;
                else if (literal_minus)
                        minus = true;
                else if (c == '^' && !any)
                        hat = true;
                else
                        buf_append_char(&rest, c);
                any = true;
        }
        buf_append_str(out, negated ? "[^" : "[");
        if (close)
                buf_append_char(out, ']');
        /* A hat alone can't stand in a POSIX bracket without company; "\^" outside is the same. */
        if (hat && !negated && !close && !minus && rest.size == 0) {
                out->size--;
                return buf_append_str(out, "\\^");
        }
        if (rest.size > 0)
                buf_append(out, rest.data, rest.size);
        if (hat)
                buf_append_char(out, '^');
        if (minus)
                buf_append_char(out, '-');
        return buf_append_char(out, ']');
}

static int rewrite_escape(char c, struct buf *out) {
        switch (c) {
        case 'd':
        case 'w':
        case 's':
                return buf_printf(out, "[%s]", class_of(c));
        case 'D':
                return buf_append_str(out, "[^0-9]");
        case 'W':
                return buf_append_str(out, "[^A-Za-z0-9_]");
        case 'S':
                return buf_append_str(out, "[^ \t\n\r\f\v]");
        case 't':
        case 'n':
        case 'r':
        case 'f':
        case 'v':
                return buf_append_char(out, escaped_char(c));
        case 'A':
                return buf_append_char(out, '^');
        case 'z':
        case 'Z':
                return buf_append_char(out, '$');
        default:
                if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                !c)
                        return -EINVAL;
                buf_append_char(out, '\\');
                return buf_append_char(out, c);
        }
}

static int rewrite(const char *s, struct buf *out) {
        while (*s) {
                int r = 0;

                if (*s == '[') {
                        s++;
                        r = rewrite_bracket(&s, out);
                } else if (*s == '\\') {
                        r = rewrite_escape(s[1], out);
                        s += 2;
                } else if (*s == '(' && s[1] == '?') {
                        if (s[2] != ':')
                                return -EINVAL;
                        r = buf_append_char(out, '(');
                        s += 3;
                } else {
                        if (*s == '?' && out->size > 0 &&
                                        strchr("*+?}", out->data[out->size - 1]) &&
                                        !(out->size > 1 && out->data[out->size - 2] == '\\'))
                                return -EINVAL; /* lazy quantifier */
                        r = buf_append_char(out, *s++);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int pattern_compile(const char *pattern, regex_t *ret, char **ret_error) {
        _cleanup_buf_ struct buf out = {0};
        char text[200];

        if (strlen(pattern) > PATTERN_SIZE_MAX) {
                *ret_error = strformat("the pattern is longer than %i bytes", PATTERN_SIZE_MAX);
                return -EINVAL;
        }
        int r = rewrite(pattern, &out);
        if (r < 0 || out.failed) {
                *ret_error = strformat("the pattern %s uses what POSIX regular expressions lack "
                                       "(look-around, lazy quantifiers, named groups, \\b)",
                                pattern);
                return out.failed ? -ENOMEM : -EINVAL;
        }
        r = regcomp(ret, out.data ? out.data : "", REG_EXTENDED | REG_NOSUB);
        if (r != 0) {
                regerror(r, ret, text, sizeof(text));
                *ret_error = strformat(
                                "the pattern %s is not a regular expression: %s", pattern, text);
                return r == REG_ESPACE ? -ENOMEM : -EINVAL;
        }
        return 0;
}
