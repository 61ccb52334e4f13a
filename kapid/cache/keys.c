/* What items have for the keys by which they are found, read from their texts. Where a text does
 * not say it plainly (escapes, other types than a selector compares, another version) the item is
 * unsure: it is looked at whatever is asked for, so that a walk along an index leaves out nothing
 * that matches. */
#include "kapid/cache/internal.h"

#include "lib/json-text.h"

enum { NAME_SIZE = 128, DIGITS_MAX = 15 };

bool key_equal(const struct cache_key *a, const struct cache_key *b) {
        return a->by == b->by && a->filled == b->filled && streq(a->name, b->name) &&
               streq(strempty(a->api_version), strempty(b->api_version));
}

/* An absent boolean is false to a selector, an absent number 0 (kapid/kinds/fields.c). */
bool cache_value_may_be_absent(const struct cache_key *k, const char *value) {
        return k->by == CACHE_BY_FIELD &&
               (!*value || streq(value, "false") || streq(value, "0"));
}

/* The text of the string whose opening quote is at `at`. */
static enum cache_held string_held(
                const char *at, const char *end, const char **ret, size_t *ret_n) {
        const char *quote = memchr(at + 1, '"', (size_t)(end - at - 1));
        size_t n = quote ? (size_t)(quote - at - 1) : 0;

        if (!quote || memchr(at + 1, '\\', n))
                return HELD_UNSURE;
        *ret = at + 1;
        *ret_n = n;
        return HELD_TEXT;
}

static enum cache_held label_held(
                const char *name, const struct item *it, const char **ret, size_t *ret_n) {
        size_t n;
        const char *labels = item_labels_text(it, &n), *end, *at;

        if (n == 0)
                return HELD_NOTHING;
        end = labels + n;
        if (memchr(labels, '\\', n))
                return HELD_UNSURE;
        at = json_text_member(labels, end, name);
        if (!at)
                return HELD_NOTHING;
        return *at == '"' ? string_held(at, end, ret, ret_n) : HELD_UNSURE;
}

/* Where the value at the dotted path begins; NULL: it is absent. */
static const char *field_at(const char *text, const char *end, const char *path) {
        char name[NAME_SIZE];

        while (text && *path) {
                const char *dot = strchrnul(path, '.');
                size_t n = (size_t)(dot - path);

                if (*text != '{' || n >= sizeof(name))
                        return NULL;
                memcpy(name, path, n);
                name[n] = 0;
                text = json_text_member(text, end, name);
                path = *dot ? dot + 1 : dot;
        }
        return text;
}

/* A word or number that is written in one way only. */
static enum cache_held word_held(const char *at, const char *end, const char **ret, size_t *ret_n) {
        size_t n = 0;

        while (at + n < end && at[n] && !strchr(",]} \t\r\n", at[n]))
                n++;
        *ret = at;
        *ret_n = n;
        if ((n == 4 && memcmp(at, "true", n) == 0) || (n == 5 && memcmp(at, "false", n) == 0))
                return HELD_TEXT;
        if (n == 0 || n > DIGITS_MAX || (n > 1 && *at == '0'))
                return HELD_UNSURE;
        for (size_t i = 0; i < n; i++)
                if (at[i] < '0' || at[i] > '9')
                        return HELD_UNSURE;
        return HELD_TEXT;
}

static enum cache_held field_held(
                const struct cache_key *k, const struct item *it, const char **ret, size_t *ret_n) {
        const struct bytes *text = item_text(it);
        const char *end = text->data + text->size, *at, *slash;

        if (streq(k->name, "metadata.name")) {
                slash = strrchr(item_path(it), '/');
                *ret = slash ? slash + 1 : item_path(it);
                *ret_n = strlen(*ret);
                return HELD_TEXT;
        }
        if (k->api_version && !item_has_api_version(it, k->api_version))
                return HELD_UNSURE;
        at = field_at(text->data, end, k->name);
        if (!at || *at == 'n') { /* null */
                *ret = "";
                *ret_n = 0;
                return k->filled ? HELD_UNSURE : HELD_TEXT;
        }
        return *at == '"' ? string_held(at, end, ret, ret_n) : word_held(at, end, ret, ret_n);
}

enum cache_held cache_held(const struct cache_key *k, const struct item *it, const char **ret_text,
                size_t *ret_n) {
        return k->by == CACHE_BY_FIELD ? field_held(k, it, ret_text, ret_n)
                                       : label_held(k->name, it, ret_text, ret_n);
}
