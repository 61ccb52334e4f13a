/* The grammar of expressions: one function for each level of precedence that is special, a table
 * for the binary ones. Depth and size are bounded; macros are expanded where they are met. */
#include "kapid/cel/internal.h"

struct parser {
        struct cel_source *s;
        struct cel_token token; /* the one at hand */
        size_t at;              /* behind it */
        unsigned depth;
        size_t nodes;
};

enum { NODES_MAX = 50 * 1000 };

static struct cel_expr *parse_expr(struct parser *p);

struct cel_expr *cel_expr_new(struct cel_source *s, enum cel_expr_kind kind, size_t offset) {
        struct cel_expr *e = cel_types_alloc(s->memory, sizeof(*e));

        if (!e) {
                s->failed = true;
                return NULL;
        }
        e->kind = kind;
        e->offset = (uint32_t)offset;
        e->depth = 1;
        return e;
}

static bool take_args(struct cel_source *s, struct cel_expr *e, struct cel_expr *const *args,
                size_t count) {
        e->args = cel_types_alloc(s->memory, MAX(count, (size_t)1) * sizeof(*args));
        if (!e->args) {
                s->failed = true;
                return false;
        }
        for (size_t i = 0; i < count; i++) {
                e->args[i] = args[i];
                if (args[i])
                        e->depth = MAX(e->depth, (uint16_t)(args[i]->depth + 1));
        }
        e->arg_count = count;
        if (e->depth > CEL_DEPTH_MAX * 2) {
                cel_finding(s, e->offset, "expression recursion limit exceeded: %d", CEL_DEPTH_MAX);
                return false;
        }
        return true;
}

struct cel_expr *cel_expr_call(struct cel_source *s, size_t offset, const char *name,
                struct cel_expr *const *args, size_t count) {
        struct cel_expr *e;

        for (size_t i = 0; i < count; i++)
                if (!args[i])
                        return NULL;
        e = cel_expr_new(s, CEL_EXPR_CALL, offset);
        if (!e || !take_args(s, e, args, count))
                return NULL;
        e->name = name;
        e->name_size = strlen(name);
        return e;
}

static void next(struct parser *p) {
        p->token = cel_lex(p->s, &p->at);
}

static bool is(const struct parser *p, const char *punctuation) {
        return p->token.kind == CEL_TOKEN_PUNCTUATION && p->token.size == strlen(punctuation) &&
               memcmp(p->s->text + p->token.offset, punctuation, p->token.size) == 0;
}

static bool is_word(const struct parser *p, const char *word) {
        return p->token.kind == CEL_TOKEN_IDENT && p->token.size == strlen(word) &&
               memcmp(p->s->text + p->token.offset, word, p->token.size) == 0;
}

static bool take(struct parser *p, const char *punctuation) {
        if (!is(p, punctuation))
                return false;
        next(p);
        return true;
}

/* As the parser that people know says it. */
static void unexpected(struct parser *p, const char *wanted) {
        if (p->token.kind == CEL_TOKEN_BAD || p->s->failed)
                return;
        if (p->token.kind == CEL_TOKEN_END)
                cel_finding(p->s, p->token.offset,
                                "Syntax error: mismatched input '<EOF>' expecting %s", wanted);
        else
                cel_finding(p->s, p->token.offset,
                                "Syntax error: mismatched input '%.*s' expecting %s",
                                (int)MIN(p->token.size, (size_t)40), p->s->text + p->token.offset,
                                wanted);
}

static bool expect(struct parser *p, const char *punctuation) {
        char wanted[8];

        if (take(p, punctuation))
                return true;
        (void)snprintf(wanted, sizeof(wanted), "'%s'", punctuation);
        unexpected(p, wanted);
        return false;
}

static struct cel_expr *node(struct parser *p, enum cel_expr_kind kind, size_t offset) {
        if (p->nodes++ > NODES_MAX) {
                cel_finding(p->s, offset, "expression code point size exceeds limit");
                return NULL;
        }
        return cel_expr_new(p->s, kind, offset);
}

static struct cel_expr *call(struct parser *p, size_t offset, const char *name,
                struct cel_expr *const *args, size_t count) {
        if (p->nodes++ > NODES_MAX) {
                cel_finding(p->s, offset, "expression code point size exceeds limit");
                return NULL;
        }
        return cel_expr_call(p->s, offset, name, args, count);
}

static char *token_text(struct parser *p, const struct cel_token *t) {
        bool quoted = t->kind == CEL_TOKEN_QUOTED;
        char *text = cel_types_strndup(p->s->memory, p->s->text + t->offset + quoted,
                        t->size - 2 * (size_t)quoted);

        if (!text)
                p->s->failed = true;
        return text;
}

static bool digits_value(const char *text, size_t n, bool negative, bool is_unsigned,
                struct cel_value *ret) {
        unsigned base = n > 2 && text[0] == '0' && text[1] == 'x' ? 16 : 10;
        uint64_t value = 0;

        for (size_t i = base == 16 ? 2 : 0; i < n; i++) {
                char c = text[i];
                unsigned d = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);

                if (value > (UINT64_MAX - d) / base)
                        return false;
                value = value * base + d;
        }
        if (is_unsigned)
                *ret = cel_uint(value);
        else if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
                return false;
        else
                *ret = cel_int(negative ? (int64_t)(0 - value) : (int64_t)value);
        return !is_unsigned || !negative;
}

static struct cel_expr *literal(struct parser *p, size_t offset, bool negative) {
        struct cel_expr *e = node(p, CEL_EXPR_CONST, offset);
        const struct cel_token *t = &p->token;
        const char *text = p->s->text + t->offset;

        if (!e)
                return NULL;
        e->constant = t->value;
        if (t->kind == CEL_TOKEN_DOUBLE && negative)
                e->constant.real = -e->constant.real;
        if (t->kind == CEL_TOKEN_INT &&
                        !digits_value(text, t->size, negative, false, &e->constant)) {
                cel_finding(p->s, offset, "invalid int literal");
                return NULL;
        }
        if (t->kind == CEL_TOKEN_UINT &&
                        !digits_value(text, t->size - 1, negative, true, &e->constant)) {
                cel_finding(p->s, offset, "invalid uint literal");
                return NULL;
        }
        next(p);
        return e;
}

struct args {
        VECTOR(struct cel_expr *)
        list;
};

/* Expressions up to the closing mark. `optional`: each may begin with a question mark. */
static bool parse_items(struct parser *p, const char *close, bool optional, struct args *args) {
        while (!is(p, close)) {
                bool mark = optional && take(p, "?");
                struct cel_expr *e = parse_expr(p);

                if (!e)
                        return false;
                e->optional = mark;
                if (vector_append(&args->list, e) < 0) {
                        p->s->failed = true;
                        return false;
                }
                if (!take(p, ","))
                        break;
                if (is(p, close) && !optional) {
                        unexpected(p, "an expression");
                        return false;
                }
        }
        return expect(p, close);
}

static struct cel_expr *parse_list(struct parser *p) {
        struct cel_expr *e = node(p, CEL_EXPR_LIST, p->token.offset);
        struct args args = {};
        bool ok;

        next(p);
        ok = e && parse_items(p, "]", true, &args) &&
             take_args(p->s, e, args.list.items, args.list.count);
        vector_done(&args.list);
        return ok ? e : NULL;
}

/* Past the key: its colon and its value; both are taken. */
static bool parse_pair(struct parser *p, struct args *args, struct cel_expr *key, bool mark) {
        struct cel_expr *value;

        if (!key || !expect(p, ":"))
                return false;
        key->optional = mark;
        value = parse_expr(p);
        if (!value)
                return false;
        if (vector_append(&args->list, key) < 0 || vector_append(&args->list, value) < 0) {
                p->s->failed = true;
                return false;
        }
        return true;
}

static bool parse_entries(struct parser *p, struct args *args) {
        while (!is(p, "}")) {
                bool mark = take(p, "?");

                if (!parse_pair(p, args, parse_expr(p), mark))
                        return false;
                if (!take(p, ","))
                        break;
        }
        return expect(p, "}");
}

static struct cel_expr *parse_map(struct parser *p) {
        struct cel_expr *e = node(p, CEL_EXPR_MAP, p->token.offset);
        struct args args = {};
        bool ok;

        next(p);
        ok = e && parse_entries(p, &args) && take_args(p->s, e, args.list.items, args.list.count);
        vector_done(&args.list);
        return ok ? e : NULL;
}

/* name(args) or receiver.name(args); the parenthesis is at hand. */
static struct cel_expr *parse_call(struct parser *p, struct cel_expr *receiver, const char *name) {
        size_t offset = p->token.offset;
        struct cel_expr *e = NULL;
        struct args args = {};

        next(p);
        if (receiver && vector_append(&args.list, receiver) < 0)
                p->s->failed = true;
        else if (parse_items(p, ")", false, &args))
                e = call(p, offset, name, args.list.items, args.list.count);
        vector_done(&args.list);
        if (!e)
                return NULL;
        e->member = receiver != NULL;
        return cel_expand(p->s, e);
}

static bool reserved(const char *word) {
        static const char *const words[] = {"as", "break", "const", "continue", "else", "for",
                        "function", "if", "import", "let", "loop", "package", "namespace", "return",
                        "var", "void", "while"};

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (streq(word, words[i]))
                        return true;
        return false;
}

static struct cel_expr *parse_word(struct parser *p) {
        struct cel_token t = p->token;
        struct cel_expr *e;
        char *name;

        if (is_word(p, "true") || is_word(p, "false") || is_word(p, "null")) {
                e = node(p, CEL_EXPR_CONST, t.offset);
                if (e)
                        e->constant = is_word(p, "null") ? cel_null()
                                                         : cel_bool(is_word(p, "true"));
                next(p);
                return e;
        }
        if (is_word(p, "in")) {
                unexpected(p, "an expression");
                return NULL;
        }
        name = token_text(p, &t);
        if (!name)
                return NULL;
        if (reserved(name)) {
                cel_finding(p->s, t.offset, "reserved identifier: %s", name);
                return NULL;
        }
        next(p);
        if (is(p, "("))
                return parse_call(p, NULL, name);
        e = node(p, CEL_EXPR_IDENT, t.offset);
        if (!e)
                return NULL;
        e->name = name;
        e->name_size = t.size;
        return e;
}

static struct cel_expr *parse_primary(struct parser *p) {
        struct cel_expr *e;

        switch (p->token.kind) {
        case CEL_TOKEN_INT:
        case CEL_TOKEN_UINT:
        case CEL_TOKEN_DOUBLE:
        case CEL_TOKEN_STRING:
        case CEL_TOKEN_BYTES:
                return literal(p, p->token.offset, false);
        case CEL_TOKEN_IDENT:
                return parse_word(p);
        case CEL_TOKEN_PUNCTUATION:
                break;
        default:
                goto bad;
        }
        if (is(p, "["))
                return parse_list(p);
        if (is(p, "{"))
                return parse_map(p);
        if (take(p, "(")) {
                e = parse_expr(p);
                return e && expect(p, ")") ? e : NULL;
        }
        if (is(p, ".")) {
                next(p);
                if (p->token.kind == CEL_TOKEN_IDENT)
                        return parse_word(p);
        }
bad:
        unexpected(p, "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, "
                      "NUM_UINT, STRING, BYTES, IDENTIFIER}");
        return NULL;
}

static struct cel_expr *text_const(struct parser *p, size_t offset, const char *text) {
        struct cel_expr *e = node(p, CEL_EXPR_CONST, offset);

        if (e)
                e->constant = cel_string_at(text, strlen(text));
        return e;
}

/* Whether the name of a field is at hand. */
static bool at_name(struct parser *p) {
        if ((p->token.kind == CEL_TOKEN_IDENT || p->token.kind == CEL_TOKEN_QUOTED) &&
                        !is_word(p, "in") && !is_word(p, "true") && !is_word(p, "false") &&
                        !is_word(p, "null"))
                return true;
        unexpected(p, "IDENTIFIER");
        return false;
}

/* .field, .?field, .method(...); the dot is at hand. */
static struct cel_expr *parse_select(struct parser *p, struct cel_expr *operand) {
        size_t offset = p->token.offset;
        struct cel_expr *e;
        bool optional;
        char *name;

        next(p);
        optional = take(p, "?");
        if (!at_name(p))
                return NULL;
        name = token_text(p, &p->token);
        if (!name)
                return NULL;

        bool quoted = p->token.kind == CEL_TOKEN_QUOTED;

        next(p);
        if (!optional && !quoted && is(p, "("))
                return parse_call(p, operand, name);
        if (optional)
                return call(p, offset, "_?._",
                                (struct cel_expr *[]){operand, text_const(p, offset, name)}, 2);
        e = node(p, CEL_EXPR_SELECT, offset);
        if (!e || !take_args(p->s, e, &operand, 1))
                return NULL;
        e->name = name;
        e->name_size = strlen(name);
        return e;
}

/* NAME.NAME... appended; false: something else is within. */
static bool message_name(const struct cel_expr *e, struct buf *b) {
        if (e->kind == CEL_EXPR_SELECT && !e->test_only && e->arg_count == 1) {
                if (!message_name(e->args[0], b))
                        return false;
                buf_append_char(b, '.');
        } else if (e->kind != CEL_EXPR_IDENT)
                return false;
        buf_append_str(b, e->name);
        return true;
}

/* field: value, or ?field: optional. */
static bool parse_field(struct parser *p, struct args *args) {
        bool mark = take(p, "?");
        struct cel_expr *key;
        char *name;

        if (!at_name(p))
                return false;
        name = token_text(p, &p->token);
        key = name ? text_const(p, p->token.offset, name) : NULL;
        next(p);
        return parse_pair(p, args, key, mark);
}

static bool parse_fields(struct parser *p, struct args *args) {
        while (!is(p, "}")) {
                if (!parse_field(p, args))
                        return false;
                if (!take(p, ","))
                        break;
        }
        return expect(p, "}");
}

/* NAME{...}; the brace is at hand. */
static struct cel_expr *parse_message(struct parser *p, const struct cel_expr *type) {
        struct cel_expr *e = node(p, CEL_EXPR_MESSAGE, p->token.offset);
        _cleanup_buf_ struct buf name = {};
        struct args args = {};
        bool ok;

        if (!e)
                return NULL;
        if (!message_name(type, &name)) {
                unexpected(p, "<EOF>");
                return NULL;
        }
        e->name = name.failed ? NULL : cel_types_strndup(p->s->memory, name.data, name.size);
        if (!e->name) {
                p->s->failed = true;
                return NULL;
        }
        next(p);
        ok = parse_fields(p, &args) && take_args(p->s, e, args.list.items, args.list.count);
        vector_done(&args.list);
        return ok ? e : NULL;
}

static struct cel_expr *parse_member(struct parser *p) {
        struct cel_expr *e = parse_primary(p);

        while (e) {
                if (is(p, "."))
                        e = parse_select(p, e);
                else if (is(p, "[")) {
                        size_t offset = p->token.offset;
                        struct cel_expr *args[2] = {e};
                        bool optional;

                        next(p);
                        optional = take(p, "?");
                        args[1] = parse_expr(p);
                        e = args[1] && expect(p, "]")
                                            ? call(p, offset, optional ? "_[?_]" : "_[_]", args, 2)
                                            : NULL;
                } else if (is(p, "{"))
                        e = parse_message(p, e);
                else
                        break;
        }
        return e;
}

static struct cel_expr *parse_unary(struct parser *p) {
        size_t offset = p->token.offset, count = 0;
        const char *mark = is(p, "!") ? "!" : is(p, "-") ? "-" : NULL;
        struct cel_expr *e;

        if (!mark)
                return parse_member(p);
        while (is(p, mark)) {
                size_t here = p->token.offset;

                next(p);
                if (*mark == '-' && count == 0 && p->token.offset == here + 1 &&
                                (p->token.kind == CEL_TOKEN_INT ||
                                                p->token.kind == CEL_TOKEN_DOUBLE))
                        return literal(p, here, true);
                count++;
        }
        e = parse_member(p);
        if (e && count % 2 == 1)
                e = call(p, offset, *mark == '!' ? "!_" : "-_", &e, 1);
        return e;
}

static const struct binary {
        const char *mark, *name;
        unsigned level;
} binaries[] = {
                {"||", "_||_", 0},
                {"&&", "_&&_", 1},
                {"==", "_==_", 2},
                {"!=", "_!=_", 2},
                {"<=", "_<=_", 2},
                {">=", "_>=_", 2},
                {"<", "_<_", 2},
                {">", "_>_", 2},
                {"+", "_+_", 3},
                {"-", "_-_", 3},
                {"*", "_*_", 4},
                {"/", "_/_", 4},
                {"%", "_%_", 4},
};
static const struct binary binary_in = {"in", "@in", 2};

static const struct binary *binary_at(const struct parser *p) {
        if (is_word(p, "in"))
                return &binary_in;
        for (size_t i = 0; i < ELEMENTS(binaries); i++)
                if (is(p, binaries[i].mark))
                        return &binaries[i];
        return NULL;
}

/* a && b && c is one node with all of them; the others group from the left. */
static struct cel_expr *parse_binary(struct parser *p, unsigned level) {
        struct cel_expr *e = level > 4 ? parse_unary(p) : parse_binary(p, level + 1);
        const struct binary *b;
        struct args args = {};
        size_t offset = 0;

        if (level > 4 || !e)
                return e;
        for (b = binary_at(p); e && b && b->level == level; b = binary_at(p)) {
                struct cel_expr *right;

                if (level >= 2 || args.list.count == 0)
                        offset = p->token.offset;
                next(p);
                right = parse_binary(p, level + 1);
                if (!right)
                        e = NULL;
                else if (level >= 2)
                        e = call(p, offset, b->name, (struct cel_expr *[]){e, right}, 2);
                else {
                        if ((args.list.count == 0 && vector_append(&args.list, e) < 0) ||
                                        vector_append(&args.list, right) < 0)
                                p->s->failed = true;
                        if (p->s->failed)
                                e = NULL;
                }
        }
        if (e && args.list.count > 0)
                e = call(p, offset, level == 0 ? "_||_" : "_&&_", args.list.items, args.list.count);
        vector_done(&args.list);
        return e;
}

static struct cel_expr *parse_expr(struct parser *p) {
        struct cel_expr *args[3];
        size_t offset = 0;

        if (p->depth >= CEL_DEPTH_MAX) {
                cel_finding(p->s, p->token.offset, "expression recursion limit exceeded: %d",
                                CEL_DEPTH_MAX);
                return NULL;
        }
        p->depth++;
        args[0] = parse_binary(p, 0);
        if (args[0] && is(p, "?")) {
                offset = p->token.offset;
                next(p);
                args[1] = parse_binary(p, 0);
                args[2] = args[1] && expect(p, ":") ? parse_expr(p) : NULL;
                args[0] = args[2] ? call(p, offset, "_?_:_", args, 3) : NULL;
        }
        p->depth--;
        return args[0];
}

struct cel_expr *cel_parse(struct cel_source *s) {
        struct parser p = {.s = s};
        struct cel_expr *e;

        next(&p);
        e = parse_expr(&p);
        if (!e)
                return NULL;
        if (p.token.kind != CEL_TOKEN_END) {
                if (p.token.kind != CEL_TOKEN_BAD)
                        cel_finding(s, p.token.offset,
                                        "Syntax error: extraneous input '%.*s' expecting <EOF>",
                                        (int)MIN(p.token.size, (size_t)40),
                                        s->text + p.token.offset);
                return NULL;
        }
        return s->failed || s->findings->count > 0 ? NULL : e;
}
