/* Removal of secrets. Texts are read line by line, twice: first the values that the cluster's
 * Secrets have, found by their first eight bytes in a sorted table; then what looks like a secret:
 * PEM blocks of private keys, JSON web tokens, bootstrap tokens, user and password of a URL, the
 * word after "Bearer" or "Basic", and everything after a name such as password= or token:. */
#include "kctl/redact.h"

#include <ctype.h>

#include "lib/crypto.h"
#include "lib/object.h"
#include "lib/vector.h"

#define GONE "(removed)"
enum { PREFIX = 8, DEPTH_MAX = 128 };

struct value {
        uint64_t prefix; /* its first bytes */
        char *text;
        size_t n;
};

struct redactor { /* a vector, sorted by prefix and then by length, longest first */
        struct value *items;
        size_t count, allocated;
        uint8_t seen[8192]; /* a bit for each hash of a prefix: almost no byte of a text has one */
};

struct redactor *redactor_new(void) {
        return calloc(1, sizeof(struct redactor));
}

struct redactor *redactor_free(struct redactor *x) {
        if (!x)
                return NULL;
        for (size_t i = 0; i < x->count; i++)
                free(x->items[i].text);
        vector_done(x);
        free(x);
        return NULL;
}

static uint64_t prefix_of(const char *text) {
        uint64_t v;

        memcpy(&v, text, sizeof(v));
        return v;
}

static unsigned bit_of(uint64_t prefix) {
        return (unsigned)((prefix * UINT64_C(0x9e3779b97f4a7c15)) >> 48);
}

int redactor_add(struct redactor *x, const char *text, size_t n) {
        struct value v = {0};

        while (n > 0 && isspace((unsigned char)text[n - 1]))
                n--;
        if (n < REDACT_VALUE_MIN)
                return 0;
        v.n = MIN(n, (size_t)REDACT_VALUE_MAX);
        v.text = malloc(v.n);
        if (!v.text)
                return -ENOMEM;
        memcpy(v.text, text, v.n);
        v.prefix = prefix_of(v.text);
        if (vector_append(x, v) < 0) {
                free(v.text);
                return -ENOMEM;
        }
        x->seen[bit_of(v.prefix) / 8] |= (uint8_t)(1 << bit_of(v.prefix) % 8);
        return 0;
}

/* A value of several lines, as a key, stands in a text with its lines apart, or with \n between. */
static int add_lines(struct redactor *x, const char *text, size_t n) {
        int r = redactor_add(x, text, n);

        for (size_t i = 0; i < n && r >= 0;) {
                const char *end = memchr(text + i, '\n', n - i);
                size_t part = end ? (size_t)(end - text) - i : n - i;

                if (part < n)
                        r = redactor_add(x, text + i, part);
                i += part + 1;
        }
        return r;
}

/* Keys of which the value is no secret, and may be a word that stands everywhere. */
static bool is_public(const char *key) {
        static const char *const keys[] = {"namespace", "ca.crt", "tls.crt", "known_hosts",
                        "description", "expiration", "auth-extra-groups"};

        for (size_t i = 0; i < ELEMENTS(keys); i++)
                if (streq(key, keys[i]))
                        return true;
        return false;
}

int redactor_add_secret(struct redactor *x, const json_t *secret) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_object_get(secret, "data"), key, v) {
                const char *encoded = strempty(json_string_value(v));
                _cleanup_free_ void *data = NULL;
                size_t n;
                int r = is_public(key) ? 0 : redactor_add(x, encoded, strlen(encoded));

                if (r < 0)
                        return r;
                if (is_public(key) || base64_decode(encoded, &data, &n) < 0)
                        continue;
                r = add_lines(x, data, n);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare(const void *a, const void *b) {
        const struct value *v = a, *w = b;

        if (v->prefix != w->prefix)
                return v->prefix < w->prefix ? -1 : 1;
        return v->n > w->n ? -1 : v->n < w->n;
}

void redactor_seal(struct redactor *x) {
        if (x->count > 0)
                qsort(x->items, x->count, sizeof(*x->items), compare);
}

/* The length of the value that begins here; 0: none. */
static size_t value_at(const struct redactor *x, const char *s, size_t n) {
        size_t low = 0, high = x->count;
        uint64_t prefix;

        if (n < PREFIX)
                return 0;
        prefix = prefix_of(s);
        if (!(x->seen[bit_of(prefix) / 8] & 1 << bit_of(prefix) % 8))
                return 0;
        while (low < high) {
                size_t middle = (low + high) / 2;

                if (x->items[middle].prefix < prefix)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; low < x->count && x->items[low].prefix == prefix; low++)
                if (x->items[low].n <= n && memcmp(x->items[low].text, s, x->items[low].n) == 0)
                        return x->items[low].n;
        return 0;
}

static void drop_values(const struct redactor *x, const char *s, size_t n, struct buf *out) {
        size_t from = 0;

        for (size_t i = 0; i < n;) {
                size_t found = value_at(x, s + i, n - i);

                if (found == 0) {
                        i++;
                        continue;
                }
                buf_append(out, s + from, i - from);
                buf_append_str(out, GONE);
                i += found;
                from = i;
        }
        buf_append(out, s + from, n - from);
}

/* --- what looks like a secret --- */

bool redact_is_secret_name(const char *name, size_t n) {
        static const char *const ends[] = {"password", "passwd", "passphrase", "pass", "pwd",
                        "token", "secret", "apikey", "accesskey", "secretkey", "privatekey",
                        "keydata", "credential", "credentials", "authorization"};
        char plain[64];
        size_t k = 0;

        for (size_t i = 0; i < n; i++)
                if (isalnum((unsigned char)name[i])) {
                        if (k + 1 == sizeof(plain)) { /* its end counts */
                                memmove(plain, plain + 1, k - 1);
                                k--;
                        }
                        plain[k++] = (char)tolower((unsigned char)name[i]);
                }
        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                size_t m = strlen(ends[i]);

                if (k >= m && memcmp(plain + k - m, ends[i], m) == 0)
                        return true;
        }
        return false;
}

static bool is_word(char c) {
        return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool is_token(char c) {
        return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static size_t token_size(const char *s, size_t n) {
        size_t i = 0;

        while (i < n && is_token(s[i]))
                i++;
        return i;
}

/* "eyJ...": header, claims and signature of a JSON web token, or the first two of them. */
static size_t web_token_at(const char *s, size_t n) {
        size_t a, b;

        if (n < 20 || memcmp(s, "eyJ", 3) != 0)
                return 0;
        a = token_size(s, n);
        if (a < 10 || a >= n || s[a] != '.')
                return 0;
        b = token_size(s + a + 1, n - a - 1);
        a += 1 + b;
        if (a < n && s[a] == '.')
                a += 1 + token_size(s + a + 1, n - a - 1);
        return b > 0 ? a : 0;
}

/* A bootstrap token, "abcdef.0123456789abcdef", and no longer word. */
static size_t bootstrap_token_at(const char *s, size_t n) {
        if (n < 23 || s[6] != '.' || (n > 23 && is_word(s[23])))
                return 0;
        for (size_t i = 0; i < 23; i++)
                if (i != 6 && !islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]))
                        return 0;
        return 23;
}

/* After "://": the length of "user:password@". */
static size_t user_at(const char *s, size_t n) {
        for (size_t i = 0; i < n && !isspace((unsigned char)s[i]) && !strchr("/?#\"'<>", s[i]); i++)
                if (s[i] == '@')
                        return i;
        return 0;
}

static size_t scheme_at(const char *s, size_t n) {
        static const char *const words[] = {"Bearer ", "bearer ", "Basic "};

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (n > strlen(words[i]) && memcmp(s, words[i], strlen(words[i])) == 0)
                        return strlen(words[i]);
        return 0;
}

static size_t skip_blanks(const char *s, size_t n, size_t i) {
        while (i < n && (s[i] == ' ' || s[i] == '\t'))
                i++;
        return i;
}

/* Of a value that begins here: its length. In quotes up to the closing one, after = a word, else
 * all that follows. */
static size_t setting_size(const char *s, size_t n, bool word) {
        size_t i = 0;

        if (n > 0 && (*s == '"' || *s == '\'')) {
                for (i = 1; i < n && s[i] != *s; i++)
                        i += s[i] == '\\' && i + 1 < n;
                return MIN(i + 1, n);
        }
        while (i < n && !(word && isspace((unsigned char)s[i])))
                i++;
        return i;
}

/* A name that ends at s[name] and says that a secret follows: where that begins, and its length. */
static size_t setting_at(const char *s, size_t n, size_t name, size_t *ret_begin) {
        size_t i = name;
        bool flag = s[0] == '-';

        if (!redact_is_secret_name(s, name))
                return 0;
        i += i < n && (s[i] == '"' || s[i] == '\'');
        i = skip_blanks(s, n, i);
        if (i < n && (s[i] == '=' || s[i] == ':')) {
                bool word = s[i] == '=';

                i = skip_blanks(s, n, i + 1);
                *ret_begin = i;
                return setting_size(s + i, n - i, word);
        }
        if (!flag || i == name)
                return 0;
        *ret_begin = i;
        return setting_size(s + i, n - i, true);
}

/* The pieces of one line that has no private key in it. */
static void redact_line(const char *s, size_t n, struct buf *out) {
        for (size_t i = 0; i < n;) {
                bool starts = i == 0 || !is_word(s[i - 1]);
                size_t found, name = 0, begin = 0;

                if (i + 3 < n && memcmp(s + i, "://", 3) == 0) {
                        buf_append(out, s + i, 3);
                        i += 3;
                        found = user_at(s + i, n - i);
                        if (found > 0)
                                buf_append_str(out, GONE);
                        i += found;
                        continue;
                }
                if (!starts) {
                        buf_append_char(out, s[i++]);
                        continue;
                }
                found = web_token_at(s + i, n - i);
                if (found == 0)
                        found = bootstrap_token_at(s + i, n - i);
                if (found > 0) {
                        buf_append_str(out, GONE);
                        i += found;
                        continue;
                }
                found = scheme_at(s + i, n - i);
                if (found > 0) {
                        buf_append(out, s + i, found);
                        buf_append_str(out, GONE);
                        i += found + setting_size(s + i + found, n - i - found, true);
                        continue;
                }
                while (i + name < n && is_word(s[i + name]))
                        name++;
                found = name > 0 ? setting_at(s + i, n - i, name, &begin) : 0;
                if (found > 0) {
                        buf_append(out, s + i, begin);
                        buf_append_str(out, GONE);
                        i += begin + found;
                } else if (name > 0) {
                        buf_append(out, s + i, name);
                        i += name;
                } else
                        buf_append_char(out, s[i++]);
        }
}

/* Lines, with private keys in PEM left out as a whole. */
static void redact_lines(const char *s, size_t n, struct buf *out) {
        static const char begin[] = "-----BEGIN ", end[] = "-----END ", key[] = "PRIVATE KEY-----";
        bool inside = false;

        for (size_t i = 0; i < n;) {
                const char *newline = memchr(s + i, '\n', n - i), *at, *line = s + i;
                size_t size = newline ? (size_t)(newline - line) : n - i;

                i += size + (newline != NULL);
                if (inside) {
                        at = memmem(line, size, end, sizeof(end) - 1);
                        inside = !at;
                        continue;
                }
                at = memmem(line, size, begin, sizeof(begin) - 1);
                if (at && memmem(at, size - (size_t)(at - line), key, sizeof(key) - 1)) {
                        /* All after it: a key in one line has \n in it. */
                        inside = !memmem(at, size - (size_t)(at - line), end, sizeof(end) - 1);
                        redact_line(line, (size_t)(at - line), out);
                        buf_append_str(out, GONE);
                } else
                        redact_line(line, size, out);
                if (newline)
                        buf_append_char(out, '\n');
        }
}

int redact_text(const struct redactor *x, const char *text, size_t n, struct buf *out) {
        _cleanup_buf_ struct buf without = {0};

        if (n == 0)
                return out->failed ? -ENOMEM : 0;
        drop_values(x, text, n, &without);
        if (without.failed)
                return -ENOMEM;
        redact_lines(without.data, without.size, out);
        return out->failed ? -ENOMEM : 0;
}

/* --- objects --- */

static int walk(const struct redactor *x, json_t *v, const char *name, unsigned depth);

/* Says how large it was: an empty password is a fault that support must see. */
static int set_removed(json_t *v) {
        _cleanup_free_ char *text = strformat("(removed, %zu bytes)", json_string_length(v));

        return text && json_string_set(v, text) == 0 ? 0 : -ENOMEM;
}

static int remove_all(json_t *map) {
        const char *key;
        json_t *v;

        json_object_foreach (map, key, v)
                if (json_is_string(v) && set_removed(v) < 0)
                        return -ENOMEM;
        return 0;
}

static int walk_string(const struct redactor *x, json_t *v, const char *name) {
        _cleanup_buf_ struct buf out = {0};
        const char *text = json_string_value(v);

        if (redact_is_secret_name(name, strlen(name)) && *text)
                return set_removed(v);
        if (redact_text(x, text, strlen(text), &out) < 0)
                return -ENOMEM;
        if (!out.data || streq(out.data, text))
                return 0;
        /* What is left must be UTF-8 again. */
        return json_string_set(v, out.data) == 0 ? 0 : set_removed(v);
}

/* [{"name": "PASSWORD", "value": "..."}]: environments and headers. */
static int remove_values(json_t *list) {
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                json_t *value = json_object_get(v, "value");

                if (json_is_string(value) && json_string_length(value) > 0 &&
                                set_removed(value) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Words of a command: the one after "--password" is removed, too. */
static int walk_list(const struct redactor *x, json_t *list, const char *name, unsigned depth) {
        bool secret = false;
        json_t *v;
        size_t i;

        if ((streq(name, "env") || streq(name, "httpHeaders")) && remove_values(list) < 0)
                return -ENOMEM;
        json_array_foreach (list, i, v) {
                const char *text = strempty(json_string_value(v));
                bool empty = !*text, names = *text == '-' && !strchr(text, '=') &&
                                             redact_is_secret_name(text, strlen(text));

                /* The text is gone after it. */
                if (secret && !empty ? set_removed(v) < 0 : walk(x, v, "", depth) < 0)
                        return -ENOMEM;
                secret = names;
        }
        return 0;
}

static int walk(const struct redactor *x, json_t *v, const char *name, unsigned depth) {
        const char *key;
        json_t *child;
        void *next;

        if (depth > DEPTH_MAX)
                return -ELOOP;
        if (json_is_string(v))
                return walk_string(x, v, name);
        if (json_is_array(v))
                return walk_list(x, v, name, depth + 1);
        json_object_foreach_safe(v, next, key, child) {
                int r = walk(x, child, key, depth + 1);

                if (r < 0)
                        return r;
        }
        return 0;
}

int redact_object(const struct redactor *x, json_t *o) {
        static const char *const data[] = {"data", "stringData", "binaryData"};
        json_t *metadata = json_object_get(o, "metadata");
        const char *kind = object_kind(o);

        if (streq(kind, "Secret") || streq(kind, "ConfigMap"))
                for (size_t i = 0; i < ELEMENTS(data); i++)
                        if (remove_all(json_object_get(o, data[i])) < 0)
                                return -ENOMEM;
        json_object_del(metadata, "managedFields");
        json_object_del(json_object_get(metadata, "annotations"),
                        "kubectl.kubernetes.io/last-applied-configuration");
        return walk(x, o, "", 0);
}
