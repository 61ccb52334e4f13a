/* Label and field selectors. A selector is a vector of terms joined by "and". */
#include "lib/selector.h"

#include <ctype.h>

#include "lib/buf.h"
#include "lib/json-text.h"
#include "lib/vector.h"

enum { SELECTOR_TERMS_MAX = 1000, LABEL_VALUE_SIZE = 64 };

enum label_op { LABEL_EXISTS, LABEL_NOT_EXISTS, LABEL_IN, LABEL_NOT_IN, LABEL_GREATER, LABEL_LESS };

struct label_term {
        char *key;
        enum label_op op;
        bool equals; /* written with = or !=: matters only for the canonical text */
        char **values;
};

struct label_selector {
        bool nothing;
        VECTOR(struct label_term) terms;
};

struct label_selector *label_selector_free(struct label_selector *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->terms.count; i++) {
                free(s->terms.items[i].key);
                strv_free(s->terms.items[i].values);
        }
        vector_done(&s->terms);
        free(s);
        return NULL;
}

static struct label_term *label_selector_add(
                struct label_selector *s, const char *key, size_t n, enum label_op op) {
        _cleanup_free_ char *copy = NULL;

        if (s->terms.count >= SELECTOR_TERMS_MAX)
                return NULL;
        copy = strndup(key, n);
        if (!copy || vector_append(&s->terms, ((struct label_term){.key = copy, .op = op})) < 0)
                return NULL;
        TAKE_PTR(copy);
        return &s->terms.items[s->terms.count - 1];
}

/* One running parse. */
struct cursor {
        const char *text, *at;
        struct problem *problem;
};

static int unparsable(struct cursor *c, const char *why) {
        return problem_set(c->problem, EINVAL, 400, "BadRequest",
                        "unable to parse requirement: %s in selector \"%s\" at position %zu", why,
                        c->text, (size_t)(c->at - c->text));
}

static void skip_blanks(struct cursor *c) {
        while (isspace((unsigned char)*c->at))
                c->at++;
}

/* A key or value: letters, digits and - _ . / */
static size_t word_length(const char *s) {
        size_t n = 0;

        while (isalnum((unsigned char)s[n]) || (s[n] && strchr("-_./", s[n])))
                n++;
        return n;
}

static bool keyword(struct cursor *c, const char *word) {
        size_t n = strlen(word);

        if (word_length(c->at) != n || strncmp(c->at, word, n) != 0)
                return false;
        c->at += n;
        return true;
}

static bool is_name(const char *s, size_t n) {
        if (n == 0 || n > 63 || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i]))
                        return false;
        return true;
}

/* A DNS subdomain: lower-case labels between dots. */
static bool is_prefix(const char *s, size_t n) {
        if (n == 0 || n > 253)
                return false;
        for (size_t i = 0; i < n; i++) {
                bool edge = i == 0 || i + 1 == n || s[i - 1] == '.' || s[i + 1] == '.';

                if (s[i] == '.' ? edge
                                : !(islower((unsigned char)s[i]) || isdigit((unsigned char)s[i]) ||
                                                  (s[i] == '-' && !edge)))
                        return false;
        }
        return true;
}

/* A label's key: [prefix/]name. */
static bool is_label_key(const char *s, size_t n) {
        const char *slash = memchr(s, '/', n);
        size_t before = slash ? (size_t)(slash - s) : 0;

        return slash ? is_prefix(s, before) && is_name(slash + 1, n - before - 1) : is_name(s, n);
}

static int bad_key(struct cursor *c, size_t n) {
        return problem_set(c->problem, EINVAL, 400, "BadRequest",
                        "unable to parse requirement: invalid label key \"%.*s\" in selector "
                        "\"%s\": a key is a name of at most 63 letters, digits, '-', '_' and '.' "
                        "with a letter or digit at both ends, behind an optional DNS name and '/'",
                        (int)MIN(n, (size_t)320), c->at, c->text);
}

static int bad_value(struct cursor *c, size_t n) {
        return problem_set(c->problem, EINVAL, 400, "BadRequest",
                        "unable to parse requirement: invalid label value \"%.*s\" in selector "
                        "\"%s\": a value is empty or at most 63 letters, digits, '-', '_' and '.' "
                        "with a letter or digit at both ends",
                        (int)MIN(n, (size_t)320), c->at, c->text);
}

static int add_value(struct label_term *t, const char *s, size_t n) {
        _cleanup_free_ char *v = strndup(s, n);

        return v ? strv_extend(&t->values, v) : -ENOMEM;
}

static int parse_set(struct cursor *c, struct label_term *t) {
        skip_blanks(c);
        if (*c->at != '(')
                return unparsable(c, "'(' is missing after in or notin");
        do {
                c->at++;
                skip_blanks(c);
                size_t n = word_length(c->at);
                if (n > 0 && !is_name(c->at, n))
                        return bad_value(c, n);
                int r = add_value(t, c->at, n);
                if (r < 0)
                        return r;
                c->at += n;
                skip_blanks(c);
        } while (*c->at == ',');
        if (*c->at != ')')
                return unparsable(c, "')' is missing");
        c->at++;
        return 0;
}

static int parse_comparison(struct cursor *c, struct label_term *t) {
        static const struct {
                const char *text;
                enum label_op op;
        } operators[] = {
                        {"==", LABEL_IN},
                        {"=", LABEL_IN},
                        {"!=", LABEL_NOT_IN},
                        {">", LABEL_GREATER},
                        {"<", LABEL_LESS},
        };
        int64_t number;
        size_t i, n;

        for (i = 0; i < ELEMENTS(operators) && !startswith(c->at, operators[i].text); i++)
                ;
        if (i == ELEMENTS(operators))
                return unparsable(c, "an operator (=, ==, !=, in, notin, <, >) is missing");
        c->at += strlen(operators[i].text);
        t->op = operators[i].op;
        t->equals = true;
        skip_blanks(c);
        n = word_length(c->at);
        bool number_wanted = t->op == LABEL_GREATER || t->op == LABEL_LESS;
        if (n > 0 && !number_wanted && !is_name(c->at, n))
                return bad_value(c, n);
        int r = add_value(t, c->at, n);
        if (r < 0)
                return r;
        if ((t->op == LABEL_GREATER || t->op == LABEL_LESS) && parse_i64(t->values[0], &number) < 0)
                return unparsable(c, "an integer is missing after < or >");
        c->at += n;
        return 0;
}

static int parse_term(struct cursor *c, struct label_selector *s) {
        bool negated;
        struct label_term *t;
        size_t n;

        skip_blanks(c);
        negated = *c->at == '!';
        if (negated) {
                c->at++;
                skip_blanks(c);
        }
        n = word_length(c->at);
        if (n == 0)
                return unparsable(c, "a label key is missing");
        if (!is_label_key(c->at, n))
                return bad_key(c, n);
        t = label_selector_add(s, c->at, n, negated ? LABEL_NOT_EXISTS : LABEL_EXISTS);
        if (!t)
                return s->terms.count >= SELECTOR_TERMS_MAX ? unparsable(c, "too many terms")
                                                            : -ENOMEM;
        c->at += n;
        skip_blanks(c);
        if (negated || !*c->at || *c->at == ',')
                return 0;
        if (keyword(c, "in")) {
                t->op = LABEL_IN;
                return parse_set(c, t);
        }
        if (keyword(c, "notin")) {
                t->op = LABEL_NOT_IN;
                return parse_set(c, t);
        }
        return parse_comparison(c, t);
}

int label_selector_parse(const char *text, struct label_selector **ret, struct problem *p) {
        _cleanup_(label_selector_freep) struct label_selector *s = calloc(1, sizeof(*s));
        struct cursor c = {strempty(text), strempty(text), p};

        if (!s)
                return -ENOMEM;
        skip_blanks(&c);
        while (*c.at) {
                int r = parse_term(&c, s);
                if (r < 0)
                        return r;
                skip_blanks(&c);
                if (!*c.at)
                        break;
                if (*c.at != ',')
                        return unparsable(&c, "',' is missing between terms");
                c.at++;
                skip_blanks(&c);
                if (!*c.at)
                        return unparsable(&c, "a term is missing behind ','");
        }
        *ret = TAKE_PTR(s);
        return 0;
}

static int add_expression(struct label_selector *s, const json_t *e, struct problem *p) {
        static const char *const names[] = {[LABEL_EXISTS] = "Exists",
                        [LABEL_NOT_EXISTS] = "DoesNotExist",
                        [LABEL_IN] = "In",
                        [LABEL_NOT_IN] = "NotIn",
                        [LABEL_GREATER] = "Gt",
                        [LABEL_LESS] = "Lt"};
        const char *key = json_str(e, "key"), *word = json_str_or(e, "operator", "");
        struct label_term *t;
        const json_t *v;
        size_t op, i;

        for (op = 0; op < ELEMENTS(names) && !streq(names[op], word); op++)
                ;
        if (!key || op == ELEMENTS(names))
                return problem_set(p, EINVAL, 422, "Invalid",
                                "matchExpressions: \"%s\" is not a valid label selector operator "
                                "for "
                                "key \"%s\"",
                                word, strempty(key));
        t = label_selector_add(s, key, strlen(key), (enum label_op)op);
        if (!t)
                return -ENOMEM;
        json_array_foreach (json_object_get(e, "values"), i, v)
                if (json_is_string(v) && strv_extend(&t->values, json_string_value(v)) < 0)
                        return -ENOMEM;
        if (op >= LABEL_IN && !t->values)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "matchExpressions: values must be specified when operator is %s",
                                word);
        return 0;
}

static int add_labels(struct label_selector *s, const json_t *labels) {
        const char *key;
        json_t *v;

        json_object_each (labels, key, v) {
                struct label_term *t = label_selector_add(s, key, strlen(key), LABEL_IN);

                if (!t || strv_extend(&t->values, strempty(json_string_value(v))) < 0)
                        return -ENOMEM;
                t->equals = true;
        }
        return 0;
}

int label_selector_from_json(const json_t *v, struct label_selector **ret, struct problem *p) {
        _cleanup_(label_selector_freep) struct label_selector *s = calloc(1, sizeof(*s));
        const json_t *e;
        size_t i;

        if (!s)
                return -ENOMEM;
        if (!v || json_is_null(v))
                s->nothing = true;
        int r = add_labels(s, json_object_get(v, "matchLabels"));
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(v, "matchExpressions"), i, e) {
                r = add_expression(s, e, p);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

int label_selector_from_map(const json_t *map, struct label_selector **ret) {
        _cleanup_(label_selector_freep) struct label_selector *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->nothing = json_object_size(map) == 0;
        int r = add_labels(s, map);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

bool label_selector_is_map(const json_t *v) {
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)v, key, value)
                if (!json_is_string(value))
                        return false;
        return json_object_size(v) > 0;
}

int label_selector_from_any(const json_t *v, struct label_selector **ret, struct problem *p) {
        return label_selector_is_map(v) ? label_selector_from_map(v, ret)
                                        : label_selector_from_json(v, ret, p);
}

/* value NULL: there is no such label. */
static bool label_term_matches(const struct label_term *t, const char *value) {
        int64_t have, want;

        switch (t->op) {
        case LABEL_EXISTS:
                return value;
        case LABEL_NOT_EXISTS:
                return !value;
        case LABEL_IN:
                return value && strv_contains(t->values, value);
        case LABEL_NOT_IN:
                return !value || !strv_contains(t->values, value);
        case LABEL_GREATER:
        case LABEL_LESS:
                if (!value || !t->values || parse_i64(value, &have) < 0 ||
                                parse_i64(t->values[0], &want) < 0)
                        return false;
                return t->op == LABEL_GREATER ? have > want : have < want;
        }
        assert_not_reached();
}

bool label_selector_matches(const struct label_selector *s, const json_t *labels) {
        if (s->nothing)
                return false;
        for (size_t i = 0; i < s->terms.count; i++) {
                const struct label_term *t = &s->terms.items[i];

                if (!label_term_matches(t, json_string_value(json_object_get(labels, t->key))))
                        return false;
        }
        return true;
}

/* In a text without escapes. 1; 0: there is no such label. */
static int value_in_text(const char *labels, const char *end, const char *key,
                char value[static LABEL_VALUE_SIZE]) {
        const char *at = json_text_member(labels, end, key), *quote;
        size_t n;

        if (!at)
                return 0;
        quote = *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
        n = quote ? (size_t)(quote - at - 1) : LABEL_VALUE_SIZE;
        if (n >= LABEL_VALUE_SIZE)
                return -EINVAL;
        memcpy(value, at + 1, n);
        value[n] = 0;
        return 1;
}

int label_selector_matches_text(const struct label_selector *s, const char *labels, size_t n) {
        char value[LABEL_VALUE_SIZE];

        if (n > 0 && memchr(labels, '\\', n))
                return -EINVAL;
        if (s->nothing)
                return 0;
        for (size_t i = 0; i < s->terms.count; i++) {
                const struct label_term *t = &s->terms.items[i];
                int r = n > 0 ? value_in_text(labels, labels + n, t->key, value) : 0;

                if (r < 0)
                        return r;
                if (!label_term_matches(t, r > 0 ? value : NULL))
                        return 0;
        }
        return 1;
}

/* FNV-1a. */
static uint64_t hash(uint64_t h, const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                h = (h ^ (unsigned char)s[i]) * 0x100000001b3;
        return h;
}

static uint64_t bit_of(uint64_t h) {
        return UINT64_C(1) << ((h ^ h >> 32) & 63);
}

/* One bit for the key, one for key and value. */
static uint64_t label_bits(const char *key, size_t key_size, const char *value, size_t value_size) {
        uint64_t h = hash(0xcbf29ce484222325, key, key_size);

        return value ? bit_of(h) | bit_of(hash(h * 31, value, value_size)) : bit_of(h);
}

struct label_text label_text(const char *labels, size_t n) {
        return (struct label_text){.at = labels, .end = n > 0 ? labels + n : labels};
}

int label_text_next(struct label_text *t) {
        const char *at = t->at < t->end ? memchr(t->at, '"', (size_t)(t->end - t->at)) : NULL,
                   *word[4];

        if (!at)
                return 0;
        /* The quotes around the key, and around the value. */
        for (size_t i = 0; i < ELEMENTS(word); i++) {
                word[i] = at ? memchr(at, '"', (size_t)(t->end - at)) : NULL;
                at = word[i] ? word[i] + 1 : NULL;
        }
        if (!at || memchr(word[1], ',', (size_t)(word[2] - word[1])) ||
                        memchr(word[0], '\\', (size_t)(at - word[0])))
                return -EINVAL; /* the value is not a string, or has escapes */
        t->at = at;
        t->key = word[0] + 1;
        t->key_size = (size_t)(word[1] - t->key);
        t->value = word[2] + 1;
        t->value_size = (size_t)(word[3] - t->value);
        return 1;
}

uint64_t label_text_bits(const char *labels, size_t n) {
        struct label_text t = label_text(labels, n);
        uint64_t bits = 0;
        int r;

        while ((r = label_text_next(&t)) > 0)
                bits |= label_bits(t.key, t.key_size, t.value, t.value_size);
        return r < 0 ? UINT64_MAX : bits;
}

uint64_t label_key_bits(const char *key) {
        return label_bits(key, strlen(key), NULL, 0);
}

uint64_t label_selector_bits(const struct label_selector *s) {
        uint64_t bits = 0;

        for (size_t i = 0; i < s->terms.count; i++) {
                const struct label_term *t = &s->terms.items[i];
                const char *only = t->op == LABEL_IN && strv_length(t->values) == 1 ? t->values[0]
                                                                                    : NULL;

                if (t->op != LABEL_NOT_EXISTS && t->op != LABEL_NOT_IN)
                        bits |= label_bits(t->key, strlen(t->key), only, strlen(strempty(only)));
        }
        return bits;
}

bool label_selector_need(const struct label_selector *s, size_t *i, const char **ret_key,
                char *const **ret_values) {
        for (; s && *i < s->terms.count; (*i)++) {
                const struct label_term *t = &s->terms.items[*i];

                if (t->op == LABEL_NOT_EXISTS || t->op == LABEL_NOT_IN)
                        continue;
                *ret_key = t->key;
                *ret_values = t->op == LABEL_IN ? t->values : NULL;
                (*i)++;
                return true;
        }
        return false;
}

bool label_selector_is_everything(const struct label_selector *s) {
        return !s->nothing && s->terms.count == 0;
}

static int compare_keys(const void *a, const void *b) {
        const struct label_term *x = *(const struct label_term *const *)a,
                                *y = *(const struct label_term *const *)b;
        int c = strcmp(x->key, y->key);

        return c ? c : (x > y) - (x < y);
}

static int compare_values(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The terms by their keys, those of one key as they came. */
static const struct label_term **terms_by_key(const struct label_selector *s) {
        const struct label_term **terms = calloc(s->terms.count + 1, sizeof(*terms));

        for (size_t i = 0; terms && i < s->terms.count; i++)
                terms[i] = &s->terms.items[i];
        if (terms)
                qsort(terms, s->terms.count, sizeof(*terms), compare_keys);
        return terms;
}

static char *values_text(const struct label_term *t) {
        size_t n = strv_length(t->values);
        _cleanup_free_ char **sorted = calloc(n + 1, sizeof(*sorted));

        if (!sorted)
                return NULL;
        memcpy(sorted, t->values, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), compare_values);
        return strv_join(sorted, ",");
}

char *label_selector_text(const struct label_selector *s) {
        _cleanup_free_ const struct label_term **terms = terms_by_key(s);
        _cleanup_buf_ struct buf b = {0};

        if (!terms)
                return NULL;
        for (size_t i = 0; i < s->terms.count; i++) {
                const struct label_term *t = terms[i];

                if (i > 0)
                        buf_append_char(&b, ',');
                if (t->op == LABEL_NOT_EXISTS)
                        buf_append_char(&b, '!');
                buf_append_str(&b, t->key);
                if (t->op == LABEL_EXISTS || t->op == LABEL_NOT_EXISTS)
                        continue;
                if (t->op == LABEL_GREATER || t->op == LABEL_LESS || t->equals) {
                        static const char *const signs[] = {[LABEL_IN] = "=",
                                        [LABEL_NOT_IN] = "!=",
                                        [LABEL_GREATER] = ">",
                                        [LABEL_LESS] = "<"};

                        buf_printf(&b, "%s%s", signs[t->op], t->values[0]);
                        continue;
                }
                _cleanup_free_ char *values = values_text(t);
                buf_printf(&b, " %s (%s)", t->op == LABEL_IN ? "in" : "notin", strempty(values));
        }
        return buf_take(&b);
}

struct field_term {
        char *path;
        char *value;
        bool negated;
};

struct field_selector {
        VECTOR(struct field_term) terms;
};

struct field_selector *field_selector_free(struct field_selector *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->terms.count; i++) {
                free(s->terms.items[i].path);
                free(s->terms.items[i].value);
        }
        vector_done(&s->terms);
        free(s);
        return NULL;
}

/* Reads a value up to an unescaped comma; backslash escapes , = and itself. */
static int field_value(const char **at, struct buf *value) {
        const char *s = *at;

        for (; *s && *s != ','; s++) {
                if (*s == '\\') {
                        if (!s[1] || !strchr(",=\\", s[1]))
                                return -EINVAL;
                        s++;
                } else if (*s == '=')
                        return -EINVAL;
                buf_append_char(value, *s);
        }
        *at = s;
        return 0;
}

static int field_term_parse(
                const char *text, const char **at, struct field_selector *s, struct problem *p) {
        _cleanup_buf_ struct buf value = {0};
        size_t n = strcspn(*at, "=!,");
        const char *path = *at, *word = path + n;
        bool negated = startswith(word, "!=");

        if (n == 0 || (!negated && *word != '='))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "invalid selector: '%s'; can't understand '%.*s': each term has "
                                "the form path=value, path==value or path!=value",
                                text, (int)strcspn(path, ","), path);
        *at = word + (negated || startswith(word, "==") ? 2 : 1);
        if (field_value(at, &value) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "invalid field selector \"%s\": unescaped '=' or bad escape in a "
                                "value",
                                text);
        if (s->terms.count >= SELECTOR_TERMS_MAX)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "invalid field selector: more than %i terms", SELECTOR_TERMS_MAX);
        if (vector_reserve(&s->terms, 1) < 0)
                return -ENOMEM;
        struct field_term *term = &s->terms.items[s->terms.count++];
        *term = (struct field_term){strndup(path, n), buf_take(&value), negated};
        return term->path && term->value ? 0 : -ENOMEM;
}

int field_selector_parse(const char *text, struct field_selector **ret, struct problem *p) {
        _cleanup_(field_selector_freep) struct field_selector *s = calloc(1, sizeof(*s));
        const char *at = strempty(text);

        if (!s)
                return -ENOMEM;
        while (*at) {
                int r = field_term_parse(text, &at, s, p);
                if (r < 0)
                        return r;
                if (*at == ',')
                        at++;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

/* The field's value as a selector sees it: strings as they are, numbers and booleans as text,
 * absent as empty; a list (status.podIPs) matches by any of its items' ip. */
static bool field_equals(const json_t *v, const char *value) {
        char number[32];
        const json_t *item;
        size_t i;

        if (json_is_string(v))
                return streq(json_string_value(v), value);
        if (json_is_boolean(v))
                return streq(json_is_true(v) ? "true" : "false", value);
        if (json_is_integer(v)) {
                snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
                return streq(number, value);
        }
        json_array_foreach (v, i, item)
                if (streq(json_str_or(item, "ip", ""), value))
                        return true;
        return !*value && !json_is_array(v);
}

bool field_selector_matches(const struct field_selector *s, const json_t *object) {
        for (size_t i = 0; i < s->terms.count; i++) {
                const struct field_term *t = &s->terms.items[i];
                const json_t *v = json_at(object, t->path);

                /* An absent boolean is false: spec.unschedulable=false finds nodes that never set
                 * it. */
                bool equal = field_equals(v, t->value) || (!v && streq(t->value, "false"));
                if (equal == t->negated)
                        return false;
        }
        return true;
}

bool field_selector_term(const struct field_selector *s, size_t i, const char **ret_path,
                const char **ret_value, bool *ret_negated) {
        if (i >= s->terms.count)
                return false;
        *ret_path = s->terms.items[i].path;
        *ret_value = s->terms.items[i].value;
        *ret_negated = s->terms.items[i].negated;
        return true;
}

const char *field_selector_exact(const struct field_selector *s, const char *path) {
        for (size_t i = 0; s && i < s->terms.count; i++)
                if (!s->terms.items[i].negated && streq(s->terms.items[i].path, path))
                        return s->terms.items[i].value;
        return NULL;
}
