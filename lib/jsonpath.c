/* Paths are a row of steps in one block of memory, ended by STEP_END. The steps of a filter's own
 * path follow the filter, with an end of their own; `next` says where the outer path continues. So
 * the walk is recursive only where it branches, and no deeper than a path has steps. */
#include "lib/jsonpath.h"

#include <ctype.h>

#include "lib/buf.h"
#include "lib/vector.h"

enum step_type { STEP_END, STEP_KEY, STEP_INDEX, STEP_SLICE, STEP_ALL, STEP_FILTER };

enum comparison { EXISTS, EQUAL, UNEQUAL };

struct step {
        enum step_type type;
        const char *key;     /* STEP_KEY, in strings */
        int64_t index;       /* STEP_INDEX, STEP_SLICE; from the end when negative */
        int64_t end, stride; /* STEP_SLICE; the end likewise, INT64_MAX: all that follow */
        /* STEP_FILTER: its path begins at the next step. */
        enum comparison comparison;
        const char *literal;
        bool quoted;
        size_t next;
};

struct jsonpath {
        size_t count, count_max;
        char *strings_at, *strings_end; /* where the next word goes, and how far words may go */
        struct step steps[];
};

struct parser {
        const char *text, *at; /* all of the text, and where the parser is */
        struct jsonpath *path;
        struct problem *problem;
        bool in_filter;
};

static int bad(const struct parser *s, const char *why) {
        return problem_set(s->problem, EINVAL, 0, NULL, "jsonpath \"%s\": %s at position %zu",
                        s->text, why, (size_t)(s->at - s->text));
}

static void skip_blanks(struct parser *s) {
        while (isspace((unsigned char)*s->at))
                s->at++;
}

static struct step *add_step(struct parser *s, enum step_type type) {
        struct jsonpath *j = s->path;

        if (j->count == j->count_max)
                return NULL;
        j->steps[j->count] = (struct step){.type = type};
        return &j->steps[j->count++];
}

/* A word in quotes, or up to one of the stop characters or a blank; a backslash takes the next
 * character as it is. Borrowed from the path. */
static int read_word(struct parser *s, const char *stop, const char **ret, bool *ret_quoted) {
        char quote = *s->at == '\'' || *s->at == '"' ? *s->at : 0;
        char *word = s->path->strings_at, *out = word;

        if (quote)
                s->at++;
        for (; *s->at; s->at++) {
                if (quote ? *s->at == quote
                          : strchr(stop, *s->at) || isspace((unsigned char)*s->at))
                        break;
                if (*s->at == '\\' && s->at[1])
                        s->at++;
                if (out + 1 >= s->path->strings_end) /* the NUL needs room, too */
                        return bad(s, "the path is too long");
                *out++ = *s->at;
        }
        if (quote && *s->at != quote)
                return bad(s, "a quote is not closed");
        if (quote)
                s->at++;
        if (out >= s->path->strings_end)
                return bad(s, "the path is too long");
        *out++ = 0;
        s->path->strings_at = out;
        *ret = word;
        *ret_quoted = quote;
        return 0;
}

static int parse_steps(struct parser *s, const char *stop);

/* Behind "[?(". The filter's own path holds no filter. */
static int parse_filter(struct parser *s) {
        struct step *filter = add_step(s, STEP_FILTER);
        int r;

        if (!filter)
                return bad(s, "the path is too long");
        skip_blanks(s);
        if (*s->at != '@')
                return bad(s, "a filter begins with '@'");
        s->at++;
        s->in_filter = true;
        r = parse_steps(s, "=!<>)");
        s->in_filter = false;
        if (r < 0)
                return r;
        skip_blanks(s);
        if (*s->at != ')') {
                if (!startswith(s->at, "==") && !startswith(s->at, "!="))
                        return bad(s, "'==', '!=' or ')' is needed in a filter");
                filter->comparison = *s->at == '=' ? EQUAL : UNEQUAL;
                s->at += 2;
                skip_blanks(s);
                r = read_word(s, ")", &filter->literal, &filter->quoted);
                if (r < 0)
                        return r;
                skip_blanks(s);
        }
        if (!startswith(s->at, ")]"))
                return bad(s, "a filter is not closed");
        s->at += 2;
        filter->next = s->path->count;
        return 0;
}

/* "FROM:TO" or "FROM:TO:STRIDE", each of which may be empty. */
static int parse_slice(struct parser *s, const char *word, struct step *step) {
        int64_t *const numbers[] = {&step->index, &step->end, &step->stride};

        step->end = INT64_MAX;
        step->stride = 1;
        for (size_t i = 0; i < ELEMENTS(numbers); i++) {
                size_t n = strcspn(word, ":");
                _cleanup_free_ char *number = strndup(word, n);

                if (!number)
                        return -ENOMEM;
                if (n > 0 && parse_i64(number, numbers[i]) < 0)
                        break;
                word += n;
                if (!*word)
                        return step->stride > 0 ? 0 : bad(s, "a slice goes forwards");
                word++;
        }
        return bad(s, "a slice is FROM:TO or FROM:TO:STRIDE");
}

/* Behind "[". Empty brackets are the first item, as in Kubernetes. */
static int parse_bracket(struct parser *s) {
        const char *word;
        struct step *step;
        bool quoted;
        int r;

        if (startswith(s->at, "?(")) {
                if (s->in_filter)
                        return bad(s, "a filter cannot hold another");
                s->at += 2;
                return parse_filter(s);
        }
        r = read_word(s, "]", &word, &quoted);
        if (r < 0)
                return r;
        if (*s->at != ']')
                return bad(s, "a bracket is not closed");
        step = add_step(s, quoted              ? STEP_KEY
                           : streq(word, "*")  ? STEP_ALL
                           : strchr(word, ':') ? STEP_SLICE
                                               : STEP_INDEX);
        if (!step)
                return bad(s, "the path is too long");
        r = step->type == STEP_SLICE ? parse_slice(s, word, step) : 0;
        if (r < 0)
                return r;
        if (quoted)
                step->key = word;
        else if (step->type == STEP_INDEX && *word && parse_i64(word, &step->index) < 0)
                return bad(s, "an index, '*', a quoted key or a filter is needed in brackets");
        s->at++;
        return 0;
}

/* Behind the dot, if there was one. */
static int parse_key(struct parser *s, const char *stop) {
        char stops[16];
        struct step *step;
        bool quoted;
        int r;

        snprintf(stops, sizeof(stops), ".[%s", stop);
        step = add_step(s, *s->at == '*' ? STEP_ALL : STEP_KEY);
        if (!step)
                return bad(s, "the path is too long");
        if (step->type == STEP_ALL) {
                s->at++;
                return 0;
        }
        r = read_word(s, stops, &step->key, &quoted);
        if (r < 0)
                return r;
        return isempty(step->key) ? bad(s, "a key is missing") : 0;
}

static bool at_end(const struct parser *s, const char *stop) {
        return !*s->at || strchr(stop, *s->at) || isspace((unsigned char)*s->at);
}

/* Up to a stop character, a blank or the end of the text. Adds the end. */
static int parse_steps(struct parser *s, const char *stop) {
        bool first = true;
        int r;

        while (!at_end(s, stop)) {
                if (*s->at == '.' && (at_end(&(struct parser){.at = s->at + 1}, stop))) {
                        s->at++; /* "." is the value itself, and a last dot says nothing */
                        break;
                }
                if (!first && *s->at != '.' && *s->at != '[')
                        return bad(s, "'.' or '[' is needed between the steps of a path");
                first = false;
                if (*s->at == '.')
                        s->at++;
                if (*s->at == '[') {
                        s->at++;
                        r = parse_bracket(s);
                } else
                        r = parse_key(s, stop);
                if (r < 0)
                        return r;
        }
        return add_step(s, STEP_END) ? 0 : bad(s, "the path is too long");
}

/* The path from s->at to one of the stop characters; blanks around it are skipped. */
static int parse_path(struct parser *s, const char *stop, struct jsonpath **ret) {
        size_t size = strlen(s->at), steps = MIN(size, (size_t)JSONPATH_STEPS_MAX) + 3;
        _cleanup_(jsonpath_freep) struct jsonpath *j = NULL;
        int r;

        /* Each word ends with a NUL, in the place of the character before or behind it. */
        size = MIN(size, (size_t)JSONPATH_SIZE_MAX);
        j = calloc(1, sizeof(*j) + steps * sizeof(j->steps[0]) + 2 * size + 2);
        if (!j)
                return -ENOMEM;
        j->count_max = steps;
        j->strings_at = (char *)&j->steps[steps];
        j->strings_end = j->strings_at + 2 * size + 2;
        s->path = j;
        skip_blanks(s);
        if (*s->at == '$' || *s->at == '@')
                s->at++;
        r = parse_steps(s, stop);
        if (r < 0)
                return r;
        skip_blanks(s);
        if (*s->at && !strchr(stop, *s->at))
                return bad(s, "nothing may follow the path");
        *ret = TAKE_PTR(j);
        return 0;
}

int jsonpath_parse(const char *text, struct jsonpath **ret, struct problem *p) {
        struct parser s = {.text = text, .at = text, .problem = p};
        _cleanup_(jsonpath_freep) struct jsonpath *j = NULL;
        bool braced = *text == '{';
        int r;

        if (strlen(text) > JSONPATH_SIZE_MAX)
                return problem_set(p, EINVAL, 0, NULL, "a jsonpath is longer than %d bytes",
                                JSONPATH_SIZE_MAX);
        if (braced)
                s.at++;
        r = parse_path(&s, braced ? "}" : "", &j);
        if (r < 0)
                return r;
        if (braced && !streq(s.at, "}"))
                return bad(&s, "'}' is missing or not the last character");
        *ret = TAKE_PTR(j);
        return 0;
}

const char *jsonpath_key(const struct jsonpath *j, size_t i) {
        for (size_t k = 0; k <= i; k++)
                if (j->steps[k].type != STEP_KEY)
                        return NULL;
        return j->steps[i].key;
}

struct jsonpath *jsonpath_free(struct jsonpath *j) {
        return mfree(j);
}

/* --- evaluation --- */

struct walk {
        const struct jsonpath *path;
        bool (*func)(const json_t *value, void *userdata);
        void *userdata;
};

static bool walk(const struct walk *w, size_t at, const json_t *v);

static bool keep_first(const json_t *value, void *userdata) {
        *(const json_t **)userdata = value;
        return false;
}

/* Whether a value is the literal: a literal in quotes is a string only, one without is what compact
 * JSON writes for the value, or the string itself. */
static bool is_literal(const json_t *v, const struct step *filter) {
        _cleanup_free_ char *text = NULL;

        if (json_is_string(v))
                return streq(json_string_value(v), filter->literal);
        if (filter->quoted)
                return false;
        text = json_text(v);
        return text && streq(text, filter->literal);
}

/* A missing value is neither equal nor unequal to anything. */
static bool filter_matches(const struct walk *w, size_t at, const json_t *item) {
        const struct step *filter = &w->path->steps[at];
        const json_t *found = NULL;
        const struct walk inner = {.path = w->path, .func = keep_first, .userdata = &found};

        (void)walk(&inner, at + 1, item);
        if (!found || filter->comparison == EXISTS)
                return found;
        return is_literal(found, filter) == (filter->comparison == EQUAL);
}

static bool walk_all(const struct walk *w, size_t at, const json_t *v) {
        const char *key;
        json_t *child;
        size_t i;

        json_array_foreach (v, i, child)
                if (!walk(w, at, child))
                        return false;
        json_object_each (v, key, child)
                if (!walk(w, at, child))
                        return false;
        return true;
}

static bool walk_slice(const struct walk *w, size_t at, const json_t *v) {
        const struct step *step = &w->path->steps[at];
        int64_t n = (int64_t)json_array_size(v), from = step->index, end = step->end;

        from = from < 0 ? MAX(from + n, (int64_t)0) : from;
        end = end < 0 ? end + n : MIN(end, n);
        for (int64_t i = from; i < end; i += MIN(step->stride, n))
                if (!walk(w, at + 1, json_array_get(v, (size_t)i)))
                        return false;
        return true;
}

static bool walk_filter(const struct walk *w, size_t at, const json_t *v) {
        const json_t *item;
        size_t i;

        json_array_foreach (v, i, item)
                if (filter_matches(w, at, item) && !walk(w, w->path->steps[at].next, item))
                        return false;
        return true;
}

static const json_t *item_at(const json_t *array, int64_t index) {
        if (index < 0)
                index += (int64_t)json_array_size(array);
        return index < 0 ? NULL : json_array_get(array, (size_t)index);
}

/* From the step `at` on. False when func stops it. */
static bool walk(const struct walk *w, size_t at, const json_t *v) {
        for (; v; at++) {
                const struct step *step = &w->path->steps[at];

                assert(at < w->path->count);
                switch (step->type) {
                case STEP_END:
                        return w->func(v, w->userdata);
                case STEP_KEY:
                        v = json_object_get(v, step->key);
                        break;
                case STEP_INDEX:
                        v = item_at(v, step->index);
                        break;
                case STEP_SLICE:
                        return walk_slice(w, at, v);
                case STEP_ALL:
                        return walk_all(w, at + 1, v);
                case STEP_FILTER:
                        return walk_filter(w, at, v);
                }
        }
        return true;
}

void jsonpath_each(const struct jsonpath *j, const json_t *root,
                bool (*func)(const json_t *value, void *userdata), void *userdata) {
        (void)walk(&(struct walk){.path = j, .func = func, .userdata = userdata}, 0, root);
}

const json_t *jsonpath_first(const struct jsonpath *j, const json_t *root) {
        const json_t *found = NULL;

        jsonpath_each(j, root, keep_first, &found);
        return found;
}

/* --- templates --- */

enum piece_type { PIECE_TEXT, PIECE_PATH, PIECE_RANGE, PIECE_END };

struct piece {
        enum piece_type type;
        struct jsonpath *path; /* PIECE_PATH, PIECE_RANGE */
        char *text;            /* PIECE_TEXT */
        size_t next;           /* PIECE_RANGE: the piece behind its end */
};

struct template {
        VECTOR(struct piece) pieces;
};

static void template_done(struct template *t) {
        for (size_t i = 0; i < t->pieces.count; i++) {
                jsonpath_free(t->pieces.items[i].path);
                free(t->pieces.items[i].text);
        }
        vector_done(&t->pieces);
}

/* Takes text and path. */
static int add_piece(struct template *t, struct piece piece) {
        int r = vector_append(&t->pieces, piece);

        if (r < 0) {
                free(piece.text);
                jsonpath_free(piece.path);
        }
        return r;
}

static int add_text(struct template *t, struct buf *text) {
        char *taken = buf_take(text);

        return taken ? add_piece(t, (struct piece){.type = PIECE_TEXT, .text = taken}) : -ENOMEM;
}

/* At a quote. */
static int parse_quoted(struct parser *s, struct template *t) {
        _cleanup_buf_ struct buf text = {0};
        char quote = *s->at++;

        for (; *s->at && *s->at != quote; s->at++) {
                char c = *s->at;

                if (c == '\\' && s->at[1]) {
                        c = *++s->at;
                        c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
                }
                buf_append_char(&text, c);
        }
        if (!*s->at)
                return bad(s, "a quote is not closed");
        s->at++;
        return add_text(t, &text);
}

/* Behind "{": a path, a range, an end or quoted text, without its "}". *depth counts open ranges.
 */
static int parse_braces(struct parser *s, struct template *t, unsigned *depth) {
        const char *rest = startswith(s->at, "range ");
        struct piece piece = {.type = rest ? PIECE_RANGE : PIECE_PATH};
        int r;

        if (*s->at == '"' || *s->at == '\'')
                return parse_quoted(s, t);
        if (startswith(s->at, "end}")) {
                if (*depth == 0)
                        return bad(s, "{end} without {range}");
                (*depth)--;
                s->at += 3;
                return add_piece(t, (struct piece){.type = PIECE_END});
        }
        if (rest) {
                if (++*depth > JSONPATH_RANGES_MAX)
                        return bad(s, "ranges are nested too deeply");
                s->at = rest;
        }
        r = parse_path(s, "}", &piece.path);
        return r < 0 ? r : add_piece(t, piece);
}

static int parse_template(struct parser *s, struct template *t) {
        unsigned depth = 0;
        int r;

        while (*s->at) {
                size_t n = strcspn(s->at, "{");
                _cleanup_buf_ struct buf text = {0};

                if (n > 0) {
                        buf_append(&text, s->at, n);
                        r = add_text(t, &text);
                        s->at += n;
                } else {
                        s->at++;
                        r = parse_braces(s, t, &depth);
                        if (r >= 0 && *s->at++ != '}') {
                                s->at--;
                                r = bad(s, "'}' is missing");
                        }
                }
                if (r < 0)
                        return r;
        }
        return depth > 0 ? bad(s, "{end} is missing") : 0;
}

/* Sets `next` of each range. */
static void link_ranges(struct template *t) {
        size_t open[JSONPATH_RANGES_MAX], depth = 0;

        for (size_t i = 0; i < t->pieces.count; i++) {
                if (t->pieces.items[i].type == PIECE_RANGE) {
                        assert(depth < ELEMENTS(open));
                        open[depth++] = i;
                } else if (t->pieces.items[i].type == PIECE_END) {
                        assert(depth > 0);
                        t->pieces.items[open[--depth]].next = i + 1;
                }
        }
        assert(depth == 0);
}

/* One running print. */
struct printer {
        const struct template *template;
        struct buf *out;
        size_t body;    /* a range's first piece */
        bool separated; /* the path has printed a value */
};

static bool print_value(const json_t *value, void *userdata) {
        struct printer *p = userdata;

        if (p->separated)
                buf_append_char(p->out, ' ');
        p->separated = true;
        if (json_is_string(value))
                buf_append_str(p->out, json_string_value(value));
        else {
                _cleanup_free_ char *text = json_text(value);

                buf_append_str(p->out, strempty(text));
        }
        return !p->out->failed;
}

static void print_pieces(const struct template *t, size_t at, const json_t *value, struct buf *out);

static bool print_body(const json_t *value, void *userdata) {
        struct printer *p = userdata;

        print_pieces(p->template, p->body, value, p->out);
        return !p->out->failed;
}

/* Up to the end of the range that `at` is in, or of the template. */
static void print_pieces(
                const struct template *t, size_t at, const json_t *value, struct buf *out) {
        while (at < t->pieces.count && t->pieces.items[at].type != PIECE_END) {
                const struct piece *piece = &t->pieces.items[at++];
                struct printer p = {.template = t, .out = out, .body = at};

                if (piece->type == PIECE_TEXT)
                        buf_append_str(out, piece->text);
                else if (piece->type == PIECE_PATH)
                        jsonpath_each(piece->path, value, print_value, &p);
                else {
                        jsonpath_each(piece->path, value, print_body, &p);
                        at = piece->next;
                }
        }
}

int jsonpath_print(const char *template, const json_t *value, char **ret, struct problem *p) {
        _cleanup_free_ char *text =
                        strchr(template, '{') ? strdup(template) : strformat("{%s}", template);
        _cleanup_(template_done) struct template t = {0};
        _cleanup_buf_ struct buf out = {0};
        struct parser s = {.text = text, .at = text, .problem = p};
        int r;

        if (!text)
                return -ENOMEM;
        if (strlen(text) > JSONPATH_TEMPLATE_MAX)
                return problem_set(p, EINVAL, 0, NULL,
                                "a jsonpath template is longer than %d bytes",
                                JSONPATH_TEMPLATE_MAX);
        r = parse_template(&s, &t);
        if (r < 0)
                return r;
        link_ranges(&t);
        print_pieces(&t, 0, value, &out);
        *ret = buf_take(&out);
        return *ret ? 0 : -ENOMEM;
}
