/* The contents of ConfigMaps and Secrets: literals, files, folders and files of environment
 * variables. */
#include <ctype.h>
#include <sys/stat.h>

#include "kctl/create/create.h"
#include "lib/crypto.h"
#include "lib/fileio.h"

enum { SOURCE_SIZE_MAX = 1 << 20, HASH_CHARACTERS = 10 };

static bool is_key(const char *s) {
        size_t n = strspn(s, "-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

        return n > 0 && !s[n] && n <= 253 && !streq(s, ".") && !startswith(s, "..");
}

/* Where values go (create.h). */
struct sink {
        json_t *data, *binary;
};

static int add_value(
                struct sink *to, const char *key, const char *value, size_t n, struct problem *p) {
        bool text = to->binary && utf8_is_valid(value, n);
        _cleanup_free_ char *encoded = text ? NULL : base64_encode(value, n);
        json_t *v;

        if (!is_key(key))
                return problem_set(p, EINVAL, 0, NULL,
                                "\"%s\" is not a valid key: letters, digits, '-', '_' and '.' are "
                                "allowed",
                                key);
        if (json_object_get(to->data, key) || json_object_get(to->binary, key))
                return problem_set(p, EEXIST, 0, NULL,
                                "the key \"%s\" is given twice; each key may have one value", key);
        v = text ? json_stringn(value, n) : encoded ? json_string(encoded) : NULL;
        return json_object_set_new(text || !to->binary ? to->data : to->binary, key, v) < 0
                               ? -ENOMEM
                               : 0;
}

static int add_literal(struct sink *to, const char *text, struct problem *p) {
        const char *equals = strchr(text, '=');
        _cleanup_free_ char *key = equals ? strndup(text, (size_t)(equals - text)) : NULL;

        if (!equals || equals == text)
                return problem_set(p, EINVAL, 0, NULL,
                                "--from-literal: a text is not of the form KEY=VALUE");
        return key ? add_value(to, key, equals + 1, strlen(equals + 1), p) : -ENOMEM;
}

static int add_file(struct sink *to, const char *key, const char *path, struct problem *p) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, SOURCE_SIZE_MAX, &text, &n);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        r = add_value(to, key, text, n, p);
        explicit_bzero(text, n);
        return r;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The regular files of a folder whose names can be keys, as kubectl takes them. */
static int add_folder(struct sink *to, const char *path, struct problem *p) {
        _cleanup_strv_free_ char **names = NULL;
        int r = file_list(path, &names);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot read the folder %s: %s", path,
                                strerror(-r));
        qsort(names, strv_length(names), sizeof(*names), compare_names);
        for (char **name = names; name && *name; name++) {
                _cleanup_free_ char *file = strformat("%s/%s", path, *name);
                struct stat st;

                if (!file)
                        return -ENOMEM;
                if (!is_key(*name) || stat(file, &st) < 0 || !S_ISREG(st.st_mode))
                        continue;
                r = add_file(to, *name, file, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* "PATH" or "KEY=PATH". */
static int add_file_source(struct sink *to, const char *text, struct problem *p) {
        const char *equals = strchr(text, '='), *path = equals ? equals + 1 : text;
        _cleanup_free_ char *key = equals ? strndup(text, (size_t)(equals - text)) : NULL;
        const char *slash = strrchr(path, '/');
        struct stat st;

        if (equals && (equals == text || !*path))
                return problem_set(p, EINVAL, 0, NULL,
                                "--from-file %s is neither PATH nor KEY=PATH", text);
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                if (key)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--from-file %s: a folder has many files, which are their "
                                        "own keys; give the path alone",
                                        text);
                return add_folder(to, path, p);
        }
        return add_file(to, key ? key : slash ? slash + 1 : path, path, p);
}

/* One line of a file of environment variables: empty, a comment, KEY=VALUE, or KEY, whose value is
 * that of our own environment. */
static int add_env_line(struct sink *to, char *line, struct problem *p) {
        char *equals, *value;

        while (isspace((unsigned char)*line))
                line++;
        if (!*line || *line == '#')
                return 0;
        equals = strchr(line, '=');
        if (equals)
                *equals = 0;
        value = equals ? equals + 1 : getenv(line);
        return add_value(to, line, strempty(value), strlen(strempty(value)), p);
}

static int add_env_file(struct sink *to, const char *path, struct problem *p) {
        _cleanup_free_ char *text = NULL;
        unsigned number = 0;
        size_t n;
        int r = file_read(path, SOURCE_SIZE_MAX, &text, &n);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        for (char *line = text, *end; line; line = end) {
                end = strchr(line, '\n');
                if (end)
                        *end++ = 0;
                line[strcspn(line, "\r")] = 0;
                number++;
                r = add_env_line(to, line, p);
                if (r < 0) {
                        problem_prefix(p, "%s line %u", path, number);
                        break;
                }
        }
        explicit_bzero(text, n);
        return r;
}

int sources_read(struct kctl *k, json_t *data, json_t *binary, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        struct sink to = {data, binary};
        int r;

        if (f->from_env_file && (f->from_file || f->from_literal))
                return problem_set(p, EINVAL, 0, NULL,
                                "--from-env-file is not combined with --from-file or "
                                "--from-literal");
        for (char **s = f->from_file; s && *s; s++) {
                r = add_file_source(&to, *s, p);
                if (r < 0)
                        return r;
        }
        for (char **s = f->from_literal; s && *s; s++) {
                r = add_literal(&to, *s, p);
                if (r < 0)
                        return r;
        }
        for (char **s = f->from_env_file; s && *s; s++) {
                r = add_env_file(&to, *s, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Go's JSON writes what HTML would take for a tag as escapes. */
static char *html_escaped(const char *text) {
        _cleanup_buf_ struct buf b = {0};

        for (; *text; text++)
                if (strchr("<>&", *text))
                        buf_printf(&b, "\\u%04x", (unsigned)*text);
                else
                        buf_append_char(&b, *text);
        return buf_take(&b);
}

int append_hash(json_t *object, struct problem *p) {
        static const char from[] = "013ae", to[] = "ghkmt";
        _cleanup_json_ json_t *hashed = json_pack("{s:O*, s:O, s:s, s:O*, s:O*}", "binaryData",
                        json_object_get(object, "binaryData"), "kind",
                        json_object_get(object, "kind"), "name", json_str(object, "metadata.name"),
                        "type", json_object_get(object, "type"), "immutable",
                        json_object_get(object, "immutable"));
        _cleanup_free_ char *text = NULL, *escaped = NULL, *name = NULL;
        char hash[SHA256_HEX_SIZE];
        json_t *data = json_object_get(object, "data");

        if (!hashed || json_object_set_new(hashed, "data",
                                       data ? json_incref(data) : json_object()) < 0)
                return -ENOMEM;
        /* Of a Secret the type belongs to it, also when none was given. */
        if (streq(json_str_or(object, "kind", ""), "Secret") && !json_object_get(hashed, "type"))
                json_set_str(hashed, "type", "");
        text = json_text_sorted(hashed);
        escaped = text ? html_escaped(text) : NULL;
        if (!escaped)
                return -ENOMEM;
        sha256_hex(escaped, strlen(escaped), hash);
        hash[HASH_CHARACTERS] = 0;
        for (char *c = hash; *c; c++) {
                const char *at = strchr(from, *c);

                *c = at ? to[at - from] : *c;
        }
        name = strformat("%s-%s", json_str_or(object, "metadata.name", ""), hash);
        return name ? json_set_str(object, "metadata.name", name) : -ENOMEM;
}
