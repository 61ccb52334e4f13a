/* JSONPath templates, the part of kubectl's that people use: text, {.a.b[0]['c']}, {.items[*].x},
 * {..} not, {range PATH}...{end}, filters {[?(@.type=="Ready")]}, and "\n" "\t" in quotes. */
#include <ctype.h>

#include "kctl/kctl.h"
#include "lib/buf.h"

enum { DEPTH_MAX = 8 };

struct template {
        const char *text, *at;
        struct buf out;
        struct problem *problem;
};

static int bad(struct template *t, const char *why) {
        return problem_set(t->problem, EINVAL, 0, NULL, "jsonpath \"%s\": %s at position %zu",
                        t->text, why, (size_t)(t->at - t->text));
}

/* A step's result: the values that a path reaches. */
static int steps(struct template *t, const char **path, const char *end, const json_t *value,
                json_t *reached);

static int next_key(struct template *t, const char *s, size_t n, const char *rest, const char *end,
                const json_t *value, json_t *reached) {
        _cleanup_free_ char *key = strndup(s, n);

        if (!key)
                return -ENOMEM;
        const json_t *v = json_object_get(value, key);
        return v ? steps(t, &rest, end, v, reached) : 0;
}

static int each(struct template *t, const char *rest, const char *end, const json_t *value,
                json_t *reached) {
        const json_t *v;
        const char *key, *at;
        json_t *member;
        size_t i;
        int r = 0;

        json_array_foreach (value, i, v)
                if (r == 0) {
                        at = rest;
                        r = steps(t, &at, end, v, reached);
                }
        json_object_foreach ((json_t *)value, key, member)
                if (r == 0) {
                        at = rest;
                        r = steps(t, &at, end, member, reached);
                }
        return r;
}

/* [?(@.path=="value")], also != and bare existence. */
static int filter(struct template *t, const char *expression, const char *close, const char *rest,
                const char *end, const json_t *value, json_t *reached) {
        const char *operator_at = NULL, *quote = NULL;
        bool negated = false;
        const json_t *item;
        size_t i;
        int r = 0;

        for (const char *c = expression; c + 1 < close && !operator_at; c++)
                if ((c[0] == '=' || c[0] == '!') && c[1] == '=') {
                        operator_at = c;
                        negated = c[0] == '!';
                }
        const char *path_end = operator_at ? operator_at : close;
        while (path_end > expression && path_end[-1] == ' ')
                path_end--;
        if (operator_at) {
                quote = operator_at + 2;
                while (*quote == ' ')
                        quote++;
        }
        json_array_foreach (value, i, item) {
                _cleanup_json_ json_t *found = json_array();
                const char *at = expression + 1;
                bool match;

                r = steps(t, &at, path_end, item, found);
                if (r < 0)
                        return r;
                const json_t *v = json_array_get(found, 0);
                if (!operator_at)
                        match = v != NULL;
                else {
                        size_t n = (size_t)(close - quote);
                        while (n > 0 && quote[n - 1] == ' ')
                                n--;
                        _cleanup_free_ char *have = json_is_string(v) ? strdup(json_string_value(v))
                                                    : v               ? json_text(v)
                                                                      : strdup("");
                        bool quoted = n >= 2 && (*quote == '"' || *quote == '\'');
                        const char *want = quote + quoted;
                        n -= quoted ? 2 : 0;
                        match = (have && strlen(have) == n && strncmp(have, want, n) == 0) !=
                                negated;
                }
                if (match) {
                        at = rest;
                        r = steps(t, &at, end, item, reached);
                }
                if (r < 0)
                        return r;
        }
        return r;
}

static int bracket(struct template *t, const char *at, const char *end, const json_t *value,
                json_t *reached) {
        const char *close;
        int64_t index;

        if (startswith(at, "[?(")) {
                close = strstr(at, ")]");
                if (!close || close > end)
                        return bad(t, "a filter is not closed");
                return filter(t, at + 3, close, close + 2, end, value, reached);
        }
        close = strchr(at, ']');
        if (!close || close > end)
                return bad(t, "a bracket is not closed");
        size_t n = (size_t)(close - at - 1);
        if (n == 1 && at[1] == '*')
                return each(t, close + 1, end, value, reached);
        if (n >= 2 && (at[1] == '\'' || at[1] == '"'))
                return next_key(t, at + 2, n - 2, close + 1, end, value, reached);
        _cleanup_free_ char *number = strndup(at + 1, n);
        if (!number || parse_i64(number, &index) < 0)
                return bad(t, "an index, '*', a quoted key or a filter is needed in brackets");
        if (index < 0)
                index += (int64_t)json_array_size(value);
        const json_t *v = index >= 0 ? json_array_get(value, (size_t)index) : NULL;
        const char *rest = close + 1;
        return v ? steps(t, &rest, end, v, reached) : 0;
}

static int steps(struct template *t, const char **path, const char *end, const json_t *value,
                json_t *reached) {
        const char *at = *path;

        if (at >= end)
                return json_array_append(reached, (json_t *)value) < 0 ? -ENOMEM : 0;
        if (*at == '[')
                return bracket(t, at, end, value, reached);
        if (*at != '.')
                return bad(t, "'.' or '[' is needed between the steps of a path");
        at++;
        if (at >= end)
                return json_array_append(reached, (json_t *)value) < 0 ? -ENOMEM : 0;
        if (*at == '*')
                return each(t, at + 1, end, value, reached);
        if (*at == '[')
                return bracket(t, at, end, value, reached);
        _cleanup_buf_ struct buf key = {0};
        for (; at < end && *at != '.' && *at != '['; at++) {
                if (*at == '\\' && at + 1 < end)
                        at++;
                buf_append_char(&key, *at);
        }
        if (key.size == 0)
                return bad(t, "a key is missing");
        return next_key(t, key.data, key.size, at, end, value, reached);
}

static int print_values(struct template *t, const json_t *values) {
        const json_t *v;
        size_t i;

        json_array_foreach (values, i, v) {
                _cleanup_free_ char *text =
                                json_is_string(v) ? strdup(json_string_value(v)) : json_text(v);

                buf_printf(&t->out, "%s%s", i > 0 ? " " : "", strempty(text));
        }
        return 0;
}

static int evaluate(struct template *t, const char *path, const char *end, const json_t *value,
                json_t **ret) {
        _cleanup_json_ json_t *reached = json_array();
        int r;

        while (path < end && isspace((unsigned char)*path))
                path++;
        while (end > path && isspace((unsigned char)end[-1]))
                end--;
        if (path < end && (*path == '$' || *path == '@'))
                path++;
        _cleanup_free_ char *dotted = NULL;
        if (path < end && *path != '.' &&
                        *path != '[') { /* kubectl allows to leave the first dot out */
                dotted = strformat(".%.*s", (int)(end - path), path);
                if (!dotted)
                        return -ENOMEM;
                path = dotted;
                end = dotted + strlen(dotted);
        }
        r = steps(t, &path, end, value, reached);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(reached);
        return 0;
}

/* Prints until {end} or the end; *depth guards against templates nested without end. */
static int run(struct template *t, const json_t *value, unsigned depth);

static int run_range(struct template *t, const char *path, const char *close, const json_t *value,
                unsigned depth) {
        _cleanup_json_ json_t *items = NULL;
        const char *body = close + 1, *after = NULL;
        const json_t *item;
        size_t i;
        int r = depth >= DEPTH_MAX ? bad(t, "ranges are nested too deeply")
                                   : evaluate(t, path, close, value, &items);

        json_array_foreach (items, i, item)
                if (r == 0) {
                        t->at = body;
                        r = run(t, item, depth + 1);
                        after = t->at;
                }
        if (r == 0 && !after) { /* nothing to print: only find the end */
                struct buf kept = t->out;

                t->out = (struct buf){0};
                t->at = body;
                r = run(t, NULL, depth + 1);
                buf_done(&t->out);
                t->out = kept;
        }
        return r;
}

static void print_quoted(struct template *t, const char *s, const char *end) {
        for (; s < end; s++) {
                char c = *s;

                if (c == '\\' && s + 1 < end) {
                        s++;
                        c = *s == 'n' ? '\n' : *s == 't' ? '\t' : *s;
                }
                buf_append_char(&t->out, c);
        }
}

static int run(struct template *t, const json_t *value, unsigned depth) {
        while (*t->at) {
                const char *open = t->at + strcspn(t->at, "{"), *close, *inner;
                _cleanup_json_ json_t *values = NULL;
                int r = 0;

                buf_append(&t->out, t->at, (size_t)(open - t->at));
                t->at = open;
                if (!*open)
                        break;
                inner = open + 1;
                close = strchr(inner, '}');
                if (!close)
                        return bad(t, "'}' is missing");
                if (startswith(inner, "end}")) {
                        t->at = close + 1;
                        return depth > 0 ? 0 : bad(t, "{end} without {range}");
                }
                if (startswith(inner, "range ")) {
                        r = run_range(t, inner + 6, close, value, depth);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (*inner == '"' || *inner == '\'')
                        print_quoted(t, inner + 1, close - 1);
                else {
                        r = evaluate(t, inner, close, value, &values);
                        if (r == 0)
                                r = print_values(t, values);
                }
                if (r < 0)
                        return r;
                t->at = close + 1;
        }
        return depth > 0 ? bad(t, "{end} is missing") : 0;
}

int jsonpath_print(const char *text, const json_t *value, char **ret, struct problem *p) {
        _cleanup_free_ char *braced = strchr(text, '{') ? strdup(text) : strformat("{%s}", text);
        struct template t = {.text = braced, .at = braced, .problem = p};
        int r = braced ? run(&t, value, 0) : -ENOMEM;

        if (r == 0) {
                *ret = buf_take(&t.out);
                r = *ret ? 0 : -ENOMEM;
        }
        buf_done(&t.out);
        return r;
}
