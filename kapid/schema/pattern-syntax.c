/* RE2's syntax (as Go's regexp/syntax documents it, with Perl's extensions) read token by token and
 * written in the words of PCRE2 that mean the same: literals escaped, classes as numbers, \s
 * without the vertical tab, scripts by their Script property. Features that RE2 lacks (look-around,
 * references, possessive and stacked quantifiers, recursion, callouts, verbs) can't come out,
 * because only what is known is written. Repetition is bounded as RE2 bounds it: a count of at most
 * 1000, and the product of counts in each other too. */
#include "kapid/schema/pattern.h"

#include "lib/hex.h"

enum token { TOKEN_NONE, TOKEN_ATOM, TOKEN_ASSERTION, TOKEN_REPEAT };

struct group {
        uint64_t product; /* of the largest repetition in it */
};

struct reader {
        const char *pattern, *s;
        struct buf *out;
        enum token last;
        size_t last_at;        /* where in out the last atom begins */
        uint64_t last_product; /* of the repetitions inside the last atom */
        struct group groups[PATTERN_DEPTH_MAX + 1];
        unsigned depth;
        char *error;
};

static int refuse(struct reader *r, const char *why) {
        if (!r->error)
                r->error = strformat("the pattern %.200s %s", r->pattern, why);
        return r->error ? -EINVAL : -ENOMEM;
}

static int lacks(struct reader *r, const char *what) {
        _cleanup_free_ char *why = strformat("uses what RE2 lacks (%s)", what);

        return why ? refuse(r, why) : -ENOMEM;
}

static void begin_atom(struct reader *r, enum token token) {
        r->last = token;
        r->last_at = r->out->size;
        r->last_product = 1;
}

static void put_number(struct reader *r, uint32_t c) {
        buf_printf(r->out, "\\x{%x}", c);
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One character of valid UTF-8. */
static uint32_t next_char(const char **s) {
        const unsigned char *p = (const unsigned char *)*s;
        uint32_t c = p[0];
        unsigned n = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

        if (n > 0)
                c &= 0x3fu >> n;
        for (unsigned i = 1; i <= n && p[i]; i++)
                c = c << 6 | (p[i] & 0x3f);
        *s += 1 + n;
        return c;
}

static void put_literal(struct reader *r, const char **s) {
        char c = **s;

        begin_atom(r, TOKEN_ATOM);
        if ((unsigned char)c >= 0x80 || is_letter(c) || is_digit(c)) {
                const char *from = *s;

                (void)next_char(s);
                buf_append(r->out, from, (size_t)(*s - from));
        } else
                put_number(r, next_char(s));
}

/* Behind "\x": 7F or {10FFFF}. */
static int read_hex(struct reader *r, uint32_t *ret) {
        bool braces = *r->s == '{';
        uint32_t c = 0;
        unsigned n = 0;

        r->s += braces;
        for (; hex_digit(*r->s) >= 0 && n < (braces ? 8u : 2u); n++)
                c = c * 16 + (uint32_t)hex_digit(*r->s++);
        if (n == 0 || (!braces && n != 2) || (braces && *r->s++ != '}') || c > 0x10ffff)
                return refuse(r, "has a broken \\x escape");
        *ret = c;
        return 0;
}

/* Behind the backslash: an escape that is one character. */
static int read_escaped_char(struct reader *r, uint32_t *ret) {
        static const char letters[] = "aftnrv", values[] = "\a\f\t\n\r\v";
        char c = *r->s;
        const char *at = c ? strchr(letters, c) : NULL;

        if (!c)
                return refuse(r, "ends with a backslash");
        if (at) {
                *ret = (unsigned char)values[at - letters];
                r->s++;
                return 0;
        }
        if (c == 'x') {
                r->s++;
                return read_hex(r, ret);
        }
        if (is_digit(c)) {
                uint32_t v = 0;

                if (c >= '8' || (c != '0' && !(r->s[1] >= '0' && r->s[1] <= '7')))
                        return lacks(r, "references to groups");
                for (unsigned i = 0; i < 3 && *r->s >= '0' && *r->s <= '7'; i++)
                        v = v * 8 + (uint32_t)(*r->s++ - '0');
                *ret = v;
                return 0;
        }
        if (is_letter(c) || (unsigned char)c >= 0x80)
                return lacks(r, "an escape that it does not know");
        *ret = (unsigned char)c;
        r->s++;
        return 0;
}

/* Behind "\p" or "\P". */
static int read_property(struct reader *r, bool negated) {
        const char *name = r->s;
        size_t n = 1;

        if (*r->s == '{') {
                name = r->s + 1;
                if (*name == '^') {
                        negated = !negated;
                        name++;
                }
                for (n = 0; is_letter(name[n]) || name[n] == '_';)
                        n++;
                if (n == 0 || name[n] != '}')
                        return refuse(r, "has a \\p{...} that names no class of characters");
                r->s = name + n + 1;
        } else {
                if (!is_letter(*name))
                        return refuse(r, "has a \\p that names no class of characters");
                r->s++;
        }
        buf_printf(r->out, "\\%c{%s%.*s}", negated ? 'P' : 'p',
                        n <= 2 || strncmp(name, "Any}", 4) == 0 ? "" : "sc:", (int)n, name);
        return 0;
}

/* A class that needs no translation, outside of brackets and inside. 0: it is none. */
static int read_class(struct reader *r, bool inside) {
        switch (r->s[0]) {
        case 'd':
        case 'D':
        case 'w':
        case 'W':
                buf_printf(r->out, "\\%c", *r->s++);
                return 1;
        case 's':
                buf_append_str(r->out, inside ? "\\t\\n\\f\\r\\x{20}" : "[\\t\\n\\f\\r\\x{20}]");
                r->s++;
                return 1;
        case 'S':
                buf_append_str(r->out, inside ? "\\S\\x{b}" : "[^\\t\\n\\f\\r\\x{20}]");
                r->s++;
                return 1;
        case 'p':
        case 'P': {
                bool negated = *r->s++ == 'P';
                int k = read_property(r, negated);

                return k < 0 ? k : 1;
        }
        default:
                return 0;
        }
}

/* At "[:": a POSIX class. 0: it is none. */
static int read_posix(struct reader *r) {
        static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl", "digit",
                        "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"};
        const char *name = r->s + 2, *end = strstr(name, ":]");
        bool negated = *name == '^';

        if (!end)
                return 0;
        name += negated;
        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (strlen(names[i]) == (size_t)(end - name) &&
                                strncmp(name, names[i], (size_t)(end - name)) == 0) {
                        buf_printf(r->out, "[:%s%s:]", negated ? "^" : "", names[i]);
                        r->s = end + 2;
                        return 1;
                }
        return refuse(r, "names an unknown class of characters in [:...:]");
}

static int read_class_char(struct reader *r, uint32_t *ret) {
        if (*r->s == '\\') {
                r->s++;
                return read_escaped_char(r, ret);
        }
        if (!*r->s)
                return refuse(r, "has a [ without its ]");
        *ret = next_char(&r->s);
        return 0;
}

/* Behind "[". */
static int read_bracket(struct reader *r) {
        bool first = true;
        int k = 0;

        begin_atom(r, TOKEN_ATOM);
        buf_append_char(r->out, '[');
        if (*r->s == '^') {
                buf_append_char(r->out, '^');
                r->s++;
        }
        for (; *r->s != ']' || first; first = false) {
                uint32_t low = 0, high;

                if (!*r->s)
                        return refuse(r, "has a [ without its ]");
                if (r->s[0] == '[' && r->s[1] == ':' && (k = read_posix(r)) != 0) {
                        if (k < 0)
                                return k;
                        continue;
                }
                if (*r->s == '\\') {
                        r->s++;
                        k = read_class(r, true);
                        if (k < 0)
                                return k;
                        if (k > 0)
                                continue;
                        r->s--;
                }
                k = read_class_char(r, &low);
                high = low;
                if (k >= 0 && r->s[0] == '-' && r->s[1] && r->s[1] != ']') {
                        r->s++;
                        k = read_class_char(r, &high);
                }
                if (k < 0)
                        return k;
                if (high < low)
                        return refuse(r, "has a range of characters that runs backwards");
                put_number(r, low);
                if (high > low) {
                        buf_append_char(r->out, '-');
                        put_number(r, high);
                }
        }
        r->s++;
        buf_append_char(r->out, ']');
        return 0;
}

static bool repeats(const char *s) {
        return *s == '*' || *s == '+' || *s == '?' || (*s == '{' && is_digit(s[1]));
}

/* Places in the text. In a group of their own where they are repeated: PCRE2 wants that. */
static void put_assertion(struct reader *r, const char *text) {
        begin_atom(r, TOKEN_ASSERTION);
        if (repeats(r->s))
                buf_printf(r->out, "(?:%s)", text);
        else
                buf_append_str(r->out, text);
}

/* Behind the backslash. */
static int read_escape(struct reader *r) {
        uint32_t c;
        int k;

        switch (*r->s) {
        case 'A':
        case 'b':
        case 'B':
        case 'z': {
                char text[3] = {'\\', *r->s++, 0};

                put_assertion(r, text);
                return 0;
        }
        case 'Q':
                for (r->s++; *r->s && !(r->s[0] == '\\' && r->s[1] == 'E');)
                        put_literal(r, &r->s);
                r->s += *r->s ? 2 : 0;
                return 0;
        default:
                break;
        }
        begin_atom(r, TOKEN_ATOM);
        k = read_class(r, false);
        if (k != 0)
                return k;
        k = read_escaped_char(r, &c);
        if (k >= 0)
                put_number(r, c);
        return k;
}

static int open_group(struct reader *r, const char *text) {
        if (r->depth == PATTERN_DEPTH_MAX)
                return refuse(r, "has too many parentheses in each other");
        r->groups[++r->depth] = (struct group){.product = 1};
        r->last = TOKEN_NONE;
        buf_append_str(r->out, text);
        return 0;
}

/* Behind "(?": a name, or flags for a group or for the rest of this one. */
static int read_flags(struct reader *r) {
        const char *from = r->s;
        bool minus = false, any = false;

        if (*r->s == 'P' && r->s[1] == '<')
                r->s++;
        if (*r->s == '<' && r->s[1] != '=' && r->s[1] != '!') {
                const char *name = ++r->s;

                while (is_letter(*r->s) || is_digit(*r->s) || *r->s == '_')
                        r->s++;
                if (r->s == name || *r->s++ != '>')
                        return refuse(r, "has a group whose name is not made of letters, digits "
                                         "and _");
                return open_group(r, "(?:");
        }
        for (; *r->s && strchr("imsU-", *r->s); r->s++) {
                if (*r->s == '-') {
                        if (minus)
                                break;
                        minus = true;
                        any = false;
                } else
                        any = true;
        }
        if ((*r->s != ')' && *r->s != ':') || (minus && !any))
                return lacks(r, "look-around, references, atomic and conditional groups, "
                                "recursion");
        _cleanup_free_ char *text = strformat("(?%.*s%c", (int)(r->s - from), from, *r->s);

        if (!text)
                return -ENOMEM;
        if (*r->s++ == ':')
                return open_group(r, text);
        r->last = TOKEN_NONE;
        return r->s - from > 1 ? buf_append_str(r->out, text) : 0;
}

static int close_group(struct reader *r) {
        uint64_t product = r->groups[r->depth].product;

        if (r->depth == 0)
                return refuse(r, "has a ) without its (");
        r->depth--;
        buf_append_char(r->out, ')');
        r->last = TOKEN_ATOM;
        r->last_product = product;
        r->groups[r->depth].product = MAX(r->groups[r->depth].product, product);
        return 0;
}

/* A count without leading zeros; more than enough counts as too many. */
static bool read_count(const char **s, uint64_t *ret) {
        const char *p = *s;

        if (!is_digit(*p) || (p[0] == '0' && is_digit(p[1])))
                return false;
        for (*ret = 0; is_digit(*p); p++)
                *ret = MIN(*ret * 10 + (uint64_t)(*p - '0'), (uint64_t)1000000);
        *s = p;
        return true;
}

/* At "{": {n}, {n,} or {n,m}. 0: it is a brace like any other character. */
static int read_counts(struct reader *r) {
        const char *s = r->s + 1;
        uint64_t low, high;
        bool open = false;

        if (!read_count(&s, &low))
                return 0;
        high = low;
        if (*s == ',') {
                s++;
                open = *s == '}';
                if (!open && !read_count(&s, &high))
                        return 0;
        }
        if (*s != '}')
                return 0;
        if (r->last == TOKEN_NONE)
                return refuse(r, "repeats nothing: {...} follows no character and no group");
        if (r->last == TOKEN_REPEAT)
                return lacks(r, "one repetition right behind another");
        if (low > PATTERN_REPEAT_MAX || high > PATTERN_REPEAT_MAX || low > high)
                return refuse(r, "repeats more than 1000 times, or less than no times");
        uint64_t product = MAX(high, (uint64_t)1) * r->last_product;
        if (product > PATTERN_REPEAT_MAX)
                return refuse(r, "repeats what is repeated: more than 1000 times together; lower "
                                 "the numbers in { }");
        r->groups[r->depth].product = MAX(r->groups[r->depth].product, product);
        if (open)
                buf_printf(r->out, "{%u,}", (unsigned)low);
        else
                buf_printf(r->out, "{%u,%u}", (unsigned)low, (unsigned)high);
        r->s = s + 1;
        return 1;
}

static int read_repetition(struct reader *r) {
        if (*r->s == '{') {
                int k = read_counts(r);

                if (k < 0)
                        return k;
                if (k == 0) {
                        put_literal(r, &r->s);
                        return 0;
                }
        } else {
                if (r->last == TOKEN_NONE)
                        return refuse(r, "repeats nothing: *, + or ? follows no character and no "
                                         "group");
                if (r->last == TOKEN_REPEAT)
                        return lacks(r, "possessive quantifiers, one repetition right behind "
                                        "another");
                buf_append_char(r->out, *r->s++);
        }
        if (*r->s == '?')
                buf_append_char(r->out, *r->s++);
        r->last = TOKEN_REPEAT;
        return 0;
}

static int read_token(struct reader *r) {
        switch (*r->s) {
        case '\\':
                r->s++;
                return read_escape(r);
        case '[':
                r->s++;
                return read_bracket(r);
        case '(':
                r->s++;
                if (*r->s != '?')
                        return open_group(r, "(?:");
                r->s++;
                return read_flags(r);
        case ')':
                r->s++;
                return close_group(r);
        case '|':
                r->s++;
                r->last = TOKEN_NONE;
                return buf_append_char(r->out, '|');
        case '^':
        case '$': {
                char text[2] = {*r->s++, 0};

                put_assertion(r, text);
                return 0;
        }
        case '.':
                r->s++;
                begin_atom(r, TOKEN_ATOM);
                return buf_append_char(r->out, '.');
        case '*':
        case '+':
        case '?':
        case '{':
                return read_repetition(r);
        default:
                put_literal(r, &r->s);
                return 0;
        }
}

int pattern_translate(const char *pattern, struct buf *ret, char **ret_error) {
        struct reader r = {.pattern = pattern, .s = pattern, .out = ret};
        int k = 0;

        r.groups[0].product = 1;
        if (strlen(pattern) > PATTERN_SIZE_MAX) {
                *ret_error = strformat("the pattern is longer than %i bytes", PATTERN_SIZE_MAX);
                return *ret_error ? -EINVAL : -ENOMEM;
        }
        if (!utf8_is_valid(pattern, strlen(pattern)))
                k = refuse(&r, "is not UTF-8");
        while (k >= 0 && *r.s)
                k = read_token(&r);
        if (k >= 0 && r.depth > 0)
                k = refuse(&r, "has a ( without its )");
        if (ret->failed)
                k = -ENOMEM;
        if (k == -EINVAL)
                *ret_error = r.error;
        else
                free(r.error);
        return k < 0 ? k : 0;
}
