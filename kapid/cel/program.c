/* From a text to a program: lexer, parser, checker, estimate, and the findings on the way. */
#include <stdarg.h>

#include "kapid/cel/internal.h"
#include "kapid/schema/pattern.h"

void cel_findings_done(struct cel_findings *f) {
        for (size_t i = 0; i < f->count; i++)
                free(f->items[i].message);
        free(f->text);
        *f = (struct cel_findings){};
}

void cel_finding(struct cel_source *s, size_t offset, const char *fmt, ...) {
        struct cel_findings *f = s->findings;
        struct cel_finding n = {.line = 1, .column = 1};
        char text[CEL_ERROR_TEXT_MAX];
        va_list ap;

        if (f->count == CEL_FINDINGS_MAX) {
                f->left_off++;
                return;
        }
        for (size_t i = 0; i < offset && i < s->size; i++) {
                if (s->text[i] == '\n') {
                        n.line++;
                        n.column = 1;
                } else if (((unsigned char)s->text[i] & 0xc0) != 0x80)
                        n.column++;
        }
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        (void)utf8_clean(text, strlen(text));
        n.message = strdup(text);
        if (!n.message)
                s->failed = true;
        else
                f->items[f->count++] = n;
}

static int by_place(const void *a, const void *b) {
        const struct cel_finding *x = a, *y = b;

        if (x->line != y->line)
                return x->line < y->line ? -1 : 1;
        return x->column < y->column ? -1 : x->column > y->column;
}

static void append_line(struct buf *b, const struct cel_source *s, const struct cel_finding *f) {
        const char *line = s->text, *end = s->text + s->size, *stop;

        for (unsigned i = 1; i < f->line && line < end; i++) {
                line = memchr(line, '\n', (size_t)(end - line));
                line = line ? line + 1 : end;
        }
        stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        if (!stop)
                stop = end;
        buf_append_str(b, "\n | ");
        for (const char *c = line; c < stop; c++)
                buf_append_char(b, *c == '\t' ? ' ' : *c);
        buf_append_str(b, "\n | ");
        for (unsigned i = 1; i < f->column; i++)
                buf_append_char(b, '.');
        buf_append_char(b, '^');
}

void cel_findings_finish(struct cel_source *s) {
        struct cel_findings *f = s->findings;
        _cleanup_buf_ struct buf b = {};

        qsort(f->items, f->count, sizeof(*f->items), by_place);
        for (size_t i = 0; i < f->count; i++) {
                buf_printf(&b, "%sERROR: <input>:%u:%u: %s", i > 0 ? "\n" : "", f->items[i].line,
                                f->items[i].column, f->items[i].message);
                append_line(&b, s, &f->items[i]);
        }
        if (f->left_off > 0)
                buf_printf(&b, "\n%zu more errors", f->left_off);
        f->text = buf_take(&b);
        if (!f->text)
                s->failed = true;
}

/* Literals that could never be what they are given for are found at once. */
static void check_literals(struct cel_source *s, const struct cel_functions *functions,
                const struct cel_expr *e) {
        const struct cel_expr *last = e->arg_count > 0 ? e->args[e->arg_count - 1] : NULL;
        _cleanup_free_ char *error = NULL;
        struct pattern *pattern = NULL;
        struct cel_value v;

        for (size_t i = 0; i < e->arg_count; i++)
                check_literals(s, functions, e->args[i]);
        if (e->kind != CEL_EXPR_CALL || !last || last->kind != CEL_EXPR_CONST ||
                        last->constant.kind != CEL_STRING)
                return;
        if (e->arg_count == 1 && streq(e->name, "timestamp") &&
                        !cel_parse_timestamp(
                                        last->constant.text.data, last->constant.text.size, &v))
                cel_finding(s, last->offset, "invalid timestamp argument");
        if (e->arg_count == 1 && streq(e->name, "duration") &&
                        !cel_parse_duration(last->constant.text.data, last->constant.text.size, &v))
                cel_finding(s, last->offset, "invalid duration argument");
        if (e->arg_count != 2 || !streq(e->name, "matches"))
                return;
        if (pattern_new(&pattern, functions->patterns, last->constant.text.data, &error) == -EINVAL)
                cel_finding(s, last->offset, "invalid matches argument");
        pattern_free(pattern);
}

static int compile(struct cel_source *s, const struct cel_env *env, struct cel_program *p) {
        int r;

        if (s->size > CEL_TEXT_MAX) {
                cel_finding(s, 0, "expression code point size exceeds limit: size: %zu, limit %d",
                                s->size, CEL_TEXT_MAX);
                return -EINVAL;
        }
        if (!utf8_is_valid(s->text, s->size)) {
                cel_finding(s, 0, "Syntax error: the text is not UTF-8");
                s->size = 0;
                return -EINVAL;
        }
        p->root = cel_parse(s);
        if (!p->root)
                return s->failed ? -ENOMEM : -EINVAL;
        r = cel_check(s, env, p);
        if (r < 0)
                return r;
        check_literals(s, env->functions, p->root);
        if (s->findings->count > 0)
                return -EINVAL;
        p->estimate = cel_estimate_cost(p, env);
        return s->failed ? -ENOMEM : 0;
}

int cel_compile(const struct cel_env *env, const char *text, size_t n, struct cel_program **ret,
                struct cel_findings *ret_findings) {
        _cleanup_(cel_program_freep) struct cel_program *p = calloc(1, sizeof(*p));
        struct cel_source s = {.text = text, .size = n, .findings = ret_findings};
        int r;

        *ret_findings = (struct cel_findings){};
        if (!p)
                return -ENOMEM;
        s.memory = p->memory = cel_types_new();
        p->functions = env->functions;
        p->variable_count = env->variable_count;
        p->reads = calloc(MAX(env->variable_count, (size_t)1), sizeof(*p->reads));
        if (!p->memory || !p->reads)
                return -ENOMEM;
        r = compile(&s, env, p);
        if (r == -EINVAL)
                cel_findings_finish(&s);
        if (s.failed)
                r = -ENOMEM;
        if (r < 0) {
                if (r == -ENOMEM)
                        cel_findings_done(ret_findings);
                return r;
        }
        *ret = TAKE_PTR(p);
        return 0;
}

struct cel_program *cel_program_free(struct cel_program *p) {
        if (!p)
                return NULL;
        cel_types_free(p->memory);
        free(p->reads);
        return mfree(p);
}

const struct cel_type *cel_program_type(const struct cel_program *p) {
        return p->root->type;
}

bool cel_program_reads(const struct cel_program *p, size_t variable) {
        return variable < p->variable_count && p->reads[variable];
}

struct cel_range cel_program_estimate(const struct cel_program *p) {
        return p->estimate;
}
