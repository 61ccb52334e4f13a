/* Paths, parsing with bounds and duplicates, and text of JSON values. */
#include "lib/json.h"

#include <stdarg.h>

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
        return json_at_mut((json_t *)root, path);
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
enum { JSON_DEPTH_MAX = 100 };

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

int json_parse(const char *text, size_t n, unsigned flags, json_t **ret, char **ret_error) {
        size_t how = JSON_DECODE_ANY |
                     (flags & JSON_PARSE_REJECT_DUPLICATES_FLAG ? JSON_REJECT_DUPLICATES : 0);
        json_error_t error;

        if (!json_depth_ok(text, n)) {
                if (ret_error)
                        *ret_error = strformat("nested deeper than %i levels", JSON_DEPTH_MAX);
                return -EINVAL;
        }
        json_t *v = json_loadb(text, n, how, &error);
        if (!v) {
                if (ret_error)
                        *ret_error = strformat("line %i column %i: %s", error.line, error.column,
                                        error.text);
                return -EINVAL;
        }
        *ret = v;
        return 0;
}

char *json_text(const json_t *v) {
        return json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *json_text_pretty(const json_t *v) {
        return json_dumps(v, JSON_INDENT(4) | JSON_ENCODE_ANY);
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
                json_object_foreach ((json_t *)v, key, child)
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
