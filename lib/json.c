/* Paths, parsing with bounds and duplicates, and text of JSON values. */
#include "lib/json.h"

#include <stdarg.h>

#include "lib/buf.h"
#include "lib/json-read.h"
#include "lib/json-write.h"

enum { JSON_KEY_MAX = 256 };

json_t *json_at_mut(json_t *root, const char *path) {
        while (root && *path) {
                const char *dot = strchrnul(path, '.');

                root = json_object_getn(root, path, (size_t)(dot - path));
                path = *dot ? dot + 1 : dot;
        }
        return root;
}

const json_t *json_at(const json_t *root, const char *path) {
        return json_at_mut(json_unconst(root), path);
}

const json_t *json_get(const json_t *root, ...) {
        const char *key;
        va_list ap;

        va_start(ap, root);
        while (root && (key = va_arg(ap, const char *)))
                root = json_object_get(root, key);
        va_end(ap);
        return root;
}

const char *json_str(const json_t *root, const char *path) {
        return json_string_value(json_at(root, path));
}

const char *json_str_or(const json_t *root, const char *path, const char *fallback) {
        const char *s = json_str(root, path);

        return s ? s : fallback;
}

int64_t json_int_or(const json_t *root, const char *path, int64_t fallback) {
        const json_t *v = json_at(root, path);

        return json_is_integer(v) ? json_integer_value(v) : fallback;
}

bool json_bool_or(const json_t *root, const char *path, bool fallback) {
        const json_t *v = json_at(root, path);

        return json_is_boolean(v) ? json_is_true(v) : fallback;
}

const json_t *json_named(const json_t *list, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_str_or(v, "name", ""), name))
                        return v;
        return NULL;
}

json_t *json_by_name(const json_t *list) {
        _cleanup_json_ json_t *all = json_object();
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *name = json_str_or(v, "name", "");

                if (!json_object_get(all, name) && json_object_set(all, name, v) < 0)
                        return NULL;
        }
        return TAKE_PTR(all);
}

int json_set_at(json_t *root, const char *path, json_t *value) {
        _cleanup_json_ json_t *v = value;
        char key[JSON_KEY_MAX];

        if (!v)
                return -ENOMEM;
        for (;;) {
                const char *dot = strchrnul(path, '.');
                size_t n = (size_t)(dot - path);
                json_t *child;

                if (!json_is_object(root) || n >= sizeof(key))
                        return -EINVAL;
                memcpy(key, path, n);
                key[n] = 0;
                if (!*dot)
                        return json_object_set(root, key, v) < 0 ? -ENOMEM : 0;
                child = json_object_get(root, key);
                if (!child || json_is_null(child)) {
                        child = json_object();
                        if (!child || json_object_set_new(root, key, child) < 0)
                                return -ENOMEM;
                }
                root = child;
                path = dot + 1;
        }
}

int json_set_str(json_t *root, const char *path, const char *value) {
        return json_set_at(root, path, json_string(value));
}

int json_set_int(json_t *root, const char *path, int64_t value) {
        return json_set_at(root, path, json_integer(value));
}

void json_del_at(json_t *root, const char *path) {
        const char *dot = strrchr(path, '.');
        char parent[JSON_KEY_MAX * 4];

        if (dot) {
                size_t n = (size_t)(dot - path);

                if (n >= sizeof(parent))
                        return;
                memcpy(parent, path, n);
                parent[n] = 0;
                root = json_at_mut(root, parent);
                path = dot + 1;
        }
        if (json_is_object(root))
                json_object_del(root, path);
}

/* jansson bounds the depth (2048) and checks UTF-8; ours is lower, so that walks may recurse. */
enum { JSON_DEPTH_MAX = 100, WRITE_DEPTH_MAX = 512, BOUNDED_TEXT_SIZE = 1024 };

bool json_depth_ok(const char *text, size_t n) {
        bool in_string = false;
        unsigned depth = 0;

        for (size_t i = 0; i < n; i++) {
                char c = text[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"')
                        in_string = true;
                else if (c == '{' || c == '[') {
                        if (++depth > JSON_DEPTH_MAX)
                                return false;
                } else if ((c == '}' || c == ']') && depth > 0)
                        depth--;
        }
        return true;
}

static json_t *load(const char *text, size_t n, unsigned flags, json_error_t *error) {
        return json_loadb(text, n,
                        JSON_DECODE_ANY | (flags & JSON_PARSE_REJECT_DUPLICATES_FLAG
                                                                          ? JSON_REJECT_DUPLICATES
                                                                          : 0),
                        error);
}

/* Length of the string that starts at text, with its quotes. */
static size_t string_size(const char *text, size_t n) {
        size_t i = 1;

        while (i < n && text[i] != '"')
                i += text[i] == '\\' ? 2 : 1;
        return MIN(i + 1, n);
}

static size_t number_size(const char *text, size_t n, bool *ret_whole) {
        size_t i = 0;

        *ret_whole = true;
        for (; i < n && text[i] && strchr("+-0123456789.eE", text[i]); i++)
                *ret_whole = *ret_whole && !strchr(".eE+", text[i]);
        return i;
}

/* Integers that could be beyond 64 bits get a ".0": then they are floats. */
static json_t *load_big(const char *text, size_t n, unsigned flags, json_error_t *error) {
        enum { SAFE_DIGITS = 18 };
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < n;) {
                bool whole = false;
                size_t size = text[i] == '"' ? string_size(text + i, n - i)
                                             : number_size(text + i, n - i, &whole);

                buf_append(&b, text + i, MAX(size, (size_t)1));
                if (whole && size > SAFE_DIGITS) {
                        _cleanup_free_ char *number = strndup(text + i, size);

                        errno = 0;
                        if (number)
                                (void)strtoll(number, NULL, 10);
                        if (errno == ERANGE)
                                buf_append_str(&b, ".0");
                }
                i += MAX(size, (size_t)1);
        }
        return b.failed ? NULL : load(b.data, b.size, flags, error);
}

int json_parse(const char *text, size_t n, unsigned flags, json_t **ret, char **ret_error) {
        json_error_t error = {0};

        if (json_read(text, n, JSON_DEPTH_MAX, flags, ret) == 0)
                return 0;
        if (!json_depth_ok(text, n)) {
                if (ret_error)
                        *ret_error = strformat("nested deeper than %i levels", JSON_DEPTH_MAX);
                return -EINVAL;
        }
        json_t *v = load(text, n, flags, &error);
        if (!v && json_error_code(&error) == json_error_numeric_overflow)
                v = load_big(text, n, flags, &error);
        if (!v) {
                if (ret_error)
                        *ret_error = strformat("line %i column %i: %s", error.line, error.column,
                                        error.text);
                return -EINVAL;
        }
        *ret = v;
        return 0;
}

const char *json_real_text(double d, char buffer[static JSON_REAL_SIZE]) {
        char digits[JSON_REAL_SIZE / 2], *exponent;
        int precision = 0, e;

        do {
                snprintf(digits, sizeof(digits), "%.*e", precision, d);
        } while (strtod(digits, NULL) != d && ++precision < 17);
        exponent = strchr(digits, 'e');
        e = exponent ? (int)strtol(exponent + 1, NULL, 10) : 0;
        if (d != 0 && exponent && (e < -6 || e >= 21)) {
                *exponent = 0;
                snprintf(buffer, JSON_REAL_SIZE, "%se%c%d", digits, e < 0 ? '-' : '+', abs(e));
        } else
                snprintf(buffer, JSON_REAL_SIZE, "%.*f", MAX(precision - e, 0), d);
        return buffer;
}

/* jansson writes floats with 17 digits; the text gets the shortest form instead. Whole floats keep
 * a ".0", so that they are read as floats again. Takes text. */
static char *shorten_reals(char *text) {
        _cleanup_buf_ struct buf b = {0};
        size_t n = text ? strlen(text) : 0, done = 0;

        for (size_t i = 0; i < n;) {
                char shortest[JSON_REAL_SIZE];
                bool whole;
                size_t size;

                if (text[i] == '"') {
                        i += string_size(text + i, n - i);
                        continue;
                }
                size = text[i] == '-' || (text[i] >= '0' && text[i] <= '9')
                                       ? number_size(text + i, n - i, &whole)
                                       : 0;
                if (size > 0 && !whole) {
                        buf_append(&b, text + done, i - done);
                        buf_append_str(&b, json_real_text(strtod(text + i, NULL), shortest));
                        if (!strpbrk(shortest, ".e"))
                                buf_append_str(&b, ".0");
                        done = i + size;
                }
                i += MAX(size, (size_t)1);
        }
        if (done == 0)
                return text;
        buf_append(&b, text + done, n - done);
        free(text);
        return buf_take(&b);
}

char *json_text(const json_t *v) {
        _cleanup_buf_ struct buf b = {0};

        if (!v)
                return NULL;
        if (json_write(&b, v, WRITE_DEPTH_MAX))
                return buf_take(&b);
        return b.failed ? NULL : shorten_reals(json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY));
}

int json_text_bounded(const json_t *v, char **ret) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ char *text = NULL;

        (void)buf_reserve(&b, BOUNDED_TEXT_SIZE);
        if (v && json_write(&b, v, JSON_DEPTH_MAX)) {
                *ret = buf_take(&b);
                return 0;
        }
        text = b.failed ? NULL : json_text(v);
        if (!text)
                return -ENOMEM;
        if (!json_depth_ok(text, strlen(text)))
                return -E2BIG;
        *ret = TAKE_PTR(text);
        return 0;
}

char *json_text_sorted(const json_t *v) {
        _cleanup_buf_ struct buf b = {0};

        if (v && json_write_sorted(&b, v, WRITE_DEPTH_MAX))
                return buf_take(&b);
        if (b.failed)
                return NULL;
        return shorten_reals(json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS));
}

char *json_text_pretty(const json_t *v) {
        return shorten_reals(json_dumps(v, JSON_INDENT(4) | JSON_ENCODE_ANY));
}

const json_t *json_beside_get(struct json_beside *b, const char *key, size_t n) {
        void *at = b->next;

        if (!at || json_object_iter_key_len(at) != n ||
                        memcmp(json_object_iter_key(at), key, n) != 0)
                return json_object_getn(b->object, key, n);
        b->next = json_object_iter_next(json_unconst(b->object), at);
        return json_object_iter_value(at);
}

static bool same_objects(const json_t *a, const json_t *b) {
        struct json_beside beside = json_beside(b);
        json_t *object = json_unconst(a);

        if (json_object_size(a) != json_object_size(b))
                return false;
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
                if (!json_same(json_object_iter_value(i),
                                    json_beside_get(&beside, json_object_iter_key(i),
                                                    json_object_iter_key_len(i))))
                        return false;
        return true;
}

static bool same_arrays(const json_t *a, const json_t *b) {
        size_t n = json_array_size(a);

        if (n != json_array_size(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!json_same(json_array_get(a, i), json_array_get(b, i)))
                        return false;
        return true;
}

bool json_same(const json_t *a, const json_t *b) {
        if (a == b)
                return true;
        if (!a || !b || json_typeof(a) != json_typeof(b))
                return false;
        return json_is_object(a)  ? same_objects(a, b)
               : json_is_array(a) ? same_arrays(a, b)
                                  : json_equal(json_unconst(a), json_unconst(b));
}

static json_t *copy_object(const json_t *v) {
        json_t *copy = json_object(), *object = json_unconst(v);

        for (void *i = json_object_iter(object); copy && i; i = json_object_iter_next(object, i)) {
                json_t *child = json_tree_copy(json_object_iter_value(i));

                if (json_object_setn_new_nocheck(copy, json_object_iter_key(i),
                                    json_object_iter_key_len(i), child) < 0) {
                        json_decref(copy);
                        return NULL;
                }
        }
        return copy;
}

static json_t *copy_array(const json_t *v) {
        json_t *copy = json_array();
        size_t n = json_array_size(v);

        for (size_t i = 0; copy && i < n; i++)
                if (json_array_append_new(copy, json_tree_copy(json_array_get(v, i))) < 0) {
                        json_decref(copy);
                        return NULL;
                }
        return copy;
}

json_t *json_tree_copy(const json_t *v) {
        return json_is_object(v)  ? copy_object(v)
               : json_is_array(v) ? copy_array(v)
                                  : json_ref(v);
}

/* Jansson 2.14 on 64 bits with glibc's malloc: an object begins with 8 buckets; each member is a
 * pair of the key's text and links. */
size_t json_size(const json_t *v) {
        enum { OBJECT = 256, MEMBER = 64, ARRAY = 128, ITEM = 8, STRING = 64, OTHER = 32 };
        size_t n = OTHER, i;
        const char *key;
        json_t *child;

        switch (json_typeof(v)) {
        case JSON_OBJECT:
                n = OBJECT;
                json_object_each (v, key, child)
                        n += MEMBER + strlen(key) + json_size(child);
                return n;
        case JSON_ARRAY:
                n = ARRAY;
                json_array_foreach (v, i, child)
                        n += ITEM + json_size(child);
                return n;
        case JSON_STRING:
                return STRING + json_string_length(v);
        default:
                return n;
        }
}
