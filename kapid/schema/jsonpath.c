/* A small recursive JSONPath walk without compilation: paths are short and columns few. */
#include "kapid/schema/jsonpath.h"

enum { STEPS_MAX = 50, KEY_MAX = 256 };

struct walk {
        bool (*func)(const json_t *v, void *userdata);
        void *userdata;
        bool stopped;
};

static int step(struct walk *w, const json_t *v, const char *path, unsigned depth);

/* A key in quotes or up to one of the stop characters; unescapes backslashes. */
static int read_key(const char **s, const char *stop, char key[static KEY_MAX]) {
        char quote = **s == '\'' || **s == '"' ? *(*s)++ : 0;
        size_t n = 0;

        for (; **s && (quote ? **s != quote : !strchr(stop, **s)); (*s)++) {
                if (**s == '\\' && (*s)[1])
                        (*s)++;
                if (n + 1 >= KEY_MAX)
                        return -EINVAL;
                key[n++] = **s;
        }
        if (quote && *(*s)++ != quote)
                return -EINVAL;
        key[n] = 0;
        return 0;
}

static bool filter_matches(
                const json_t *item, const char *key, bool equal, const char *literal, bool quoted) {
        const json_t *v = json_at(item, key);
        char number[32];

        if (!v)
                return false;
        if (json_is_string(v))
                return streq(json_string_value(v), literal) == equal;
        if (quoted)
                return !equal;
        if (json_is_boolean(v))
                return streq(json_is_true(v) ? "true" : "false", literal) == equal;
        if (json_is_integer(v)) {
                snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
                return streq(number, literal) == equal;
        }
        return !equal;
}

static void skip_blanks(const char **s) {
        *s += strspn(*s, " ");
}

/* path stands behind "[?(". */
static int step_filter(struct walk *w, const json_t *v, const char *path, unsigned depth) {
        char key[KEY_MAX] = "", literal[KEY_MAX];
        const json_t *item;
        size_t i;

        skip_blanks(&path);
        if (*path++ != '@')
                return -EINVAL;
        if (*path == '.')
                path++;
        if (read_key(&path, " =!<>)", key) < 0)
                return -EINVAL;
        skip_blanks(&path);
        bool exists = *path == ')', equal = startswith(path, "==");
        bool quoted = false;
        if (!exists) {
                if (!equal && !startswith(path, "!="))
                        return -EINVAL;
                path += 2;
                skip_blanks(&path);
                quoted = *path == '"' || *path == '\'';
                if (read_key(&path, " )", literal) < 0)
                        return -EINVAL;
                skip_blanks(&path);
        }
        if (!startswith(path, ")]"))
                return -EINVAL;
        json_array_foreach (v, i, item) {
                bool hit = exists ? json_at(item, key) != NULL
                                  : filter_matches(item, key, equal, literal, quoted);
                int r = hit && !w->stopped ? step(w, item, path + 2, depth + 1) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int step_all(struct walk *w, const json_t *v, const char *path, unsigned depth) {
        const char *key;
        json_t *child;
        size_t i;
        int r = 0;

        if (json_is_array(v))
                json_array_foreach (v, i, child) {
                        r = w->stopped ? 0 : step(w, child, path, depth + 1);
                        if (r < 0)
                                return r;
                }
        else
                json_object_foreach ((json_t *)v, key, child) {
                        r = w->stopped ? 0 : step(w, child, path, depth + 1);
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int step_bracket(struct walk *w, const json_t *v, const char *path, unsigned depth) {
        char key[KEY_MAX];
        int64_t index;

        if (startswith(path, "?("))
                return step_filter(w, v, path + 2, depth);
        if (startswith(path, "*]"))
                return step_all(w, v, path + 2, depth);
        bool quoted = *path == '\'' || *path == '"';
        if (read_key(&path, "]", key) < 0 || *path++ != ']')
                return -EINVAL;
        if (quoted)
                return (v = json_object_get(v, key)) ? step(w, v, path, depth + 1) : 0;
        if (parse_i64(key, &index) < 0)
                return -EINVAL;
        if (index < 0)
                index += (int64_t)json_array_size(v);
        v = index >= 0 ? json_array_get(v, (size_t)index) : NULL;
        return v ? step(w, v, path, depth + 1) : 0;
}

static int step(struct walk *w, const json_t *v, const char *path, unsigned depth) {
        char key[KEY_MAX];

        if (depth > STEPS_MAX)
                return -EINVAL;
        if (!*path) {
                w->stopped = !w->func(v, w->userdata);
                return 0;
        }
        if (*path == '[')
                return step_bracket(w, v, path + 1, depth);
        if (*path == '.')
                path++;
        if (*path == '[')
                return step_bracket(w, v, path + 1, depth);
        if (*path == '*')
                return step_all(w, v, path + 1, depth);
        if (!*path)
                return step(w, v, path, depth + 1);
        if (read_key(&path, ".[", key) < 0)
                return -EINVAL;
        v = json_object_get(v, key);
        return v ? step(w, v, path, depth + 1) : 0;
}

int jsonpath_each(const json_t *root, const char *path,
                bool (*func)(const json_t *v, void *userdata), void *userdata) {
        struct walk w = {.func = func, .userdata = userdata};
        char plain[1024];
        size_t n;

        if (*path == '{') {
                n = strlen(++path);
                if (n == 0 || path[n - 1] != '}' || n > sizeof(plain))
                        return -EINVAL;
                memcpy(plain, path, n - 1);
                plain[n - 1] = 0;
                path = plain;
        }
        if (*path == '$')
                path++;
        return step(&w, root, path, 0);
}

static bool keep_first(const json_t *v, void *userdata) {
        *(const json_t **)userdata = v;
        return false;
}

const json_t *jsonpath_first(const json_t *root, const char *path) {
        const json_t *found = NULL;

        return jsonpath_each(root, path, keep_first, &found) < 0 ? NULL : found;
}
