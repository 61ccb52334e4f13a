/* Looks for the fields of the table in an object: a walk along each path, never over the object. */
#include "lib/no-effect.h"

enum { PATH_SIZE = 512 };

struct search {
        const struct no_effect_row *row;
        void (*found)(void *userdata, const char *path, const char *text);
        void *userdata;
        char path[PATH_SIZE];
};

static const char *scalar_text(const json_t *v, char buffer[32]) {
        if (json_is_integer(v)) {
                (void)snprintf(buffer, 32, "%lld", (long long)json_integer_value(v));
                return buffer;
        }
        return json_is_true(v)     ? "true"
               : json_is_false(v)  ? "false"
               : json_is_string(v) ? json_string_value(v)
                                   : "";
}

static bool is_excepted(const char *words, const char *text) {
        while (*words) {
                size_t n = strcspn(words, " ");

                if (strncmp(text, words, n) == 0)
                        return true;
                words += n + strspn(words + n, " ");
        }
        return false;
}

/* Whether the value asks for something: a row for one value means that one; else false, 0, an empty
 * text, list or object and the default do not. */
static bool asks(const struct no_effect_row *row, const json_t *v) {
        char buffer[32];
        const char *text = scalar_text(v, buffer);

        if (row->value)
                return streq(text, row->value);
        if (row->except && is_excepted(row->except, text))
                return false;
        if (json_is_array(v) || json_is_object(v))
                return json_array_size(v) + json_object_size(v) > 0;
        return *text && !streq(text, "false") && !streq(text, "0") && !streq_ptr(text, row->usual);
}

/* rest is the remainder of the row's path; n the length of what stands in s->path so far. */
static void search(
                struct search *s, const char *rest, const json_t *old, const json_t *v, size_t n) {
        size_t length = strcspn(rest, ".["), i;
        const json_t *item, *child;
        int m;

        if (!v || json_same(old, v))
                return;
        if (!*rest) {
                if (asks(s->row, v))
                        s->found(s->userdata, s->path, s->row->text);
                return;
        }
        if (*rest == '[') { /* "[]" of a list, "{}" is not needed so far */
                rest += 2 + (rest[2] == '.');
                json_array_foreach (v, i, item) {
                        m = snprintf(s->path + n, PATH_SIZE - n, "[%zu]", i);
                        if (m > 0 && (size_t)m < PATH_SIZE - n)
                                search(s, rest, json_array_get(old, i), item, n + (size_t)m);
                }
                return;
        }
        /* Nearly all fields of the table are not there. */
        child = json_object_getn(v, rest, length);
        if (!child || n + length + 2 > PATH_SIZE)
                return;
        old = json_object_getn(old, rest, length);
        if (n > 0)
                s->path[n++] = '.';
        memcpy(s->path + n, rest, length);
        n += length;
        s->path[n] = '\0';
        rest += length;
        search(s, rest + (*rest == '.'), old, child, n);
}

void no_effect_find(const struct no_effect_table *t, const char *group, const char *kind,
                const json_t *old, const json_t *object,
                void (*found)(void *userdata, const char *path, const char *text), void *userdata) {
        for (size_t n = 0; n < t->count; n++) {
                const struct no_effect_kind *k = &t->kinds[n];

                if (!streq(k->kind, kind) || !streq(k->group, group))
                        continue;
                for (size_t i = 0; i < k->count; i++) {
                        struct search s = {
                                        .row = &k->rows[i], .found = found, .userdata = userdata};

                        search(&s, k->rows[i].path, old, object, 0);
                }
        }
}
