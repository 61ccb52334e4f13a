/* The few functions behind the base header: assertion failure, string vectors, strict numbers,
 * UTF-8. */
#include "lib/base.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>

void assert_failed(const char *expr, const char *file, int line, const char *func) {
        fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, func, expr);
        abort();
}

const char *endswith(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && memcmp(s + n - m, suffix, m) == 0 ? s + n - m : NULL;
}

char *strformat(const char *fmt, ...) {
        va_list ap;
        char *s;

        va_start(ap, fmt);
        int r = vasprintf(&s, fmt, ap);
        va_end(ap);
        return r < 0 ? NULL : s;
}

char **strv_free(char **v) {
        if (v)
                for (char **p = v; *p; p++)
                        free(*p);
        free(v);
        return NULL;
}

size_t strv_length(char *const *v) {
        size_t n = 0;

        while (v && v[n])
                n++;
        return n;
}

bool strv_contains(char *const *v, const char *s) {
        for (; v && *v; v++)
                if (streq(*v, s))
                        return true;
        return false;
}

static int strv_append_n(char ***v, const char *s, size_t length) {
        size_t n = strv_length(*v);
        char *copy = strndup(s, length);

        if (!copy)
                return -ENOMEM;
        char **w = reallocarray(*v, n + 2, sizeof(char *));
        if (!w) {
                free(copy);
                return -ENOMEM;
        }
        w[n] = copy;
        w[n + 1] = NULL;
        *v = w;
        return 0;
}

int strv_extend(char ***v, const char *s) {
        return strv_append_n(v, s, strlen(s));
}

int strv_split(const char *s, const char *separators, char ***ret) {
        _cleanup_strv_free_ char **v = NULL;

        while (s && *s) {
                size_t n = strcspn(s, separators);

                if (n > 0) {
                        int r = strv_append_n(&v, s, n);
                        if (r < 0)
                                return r;
                }
                s += n;
                s += strspn(s, separators);
        }
        *ret = TAKE_PTR(v);
        return 0;
}

char *strv_join(char *const *v, const char *separator) {
        size_t size = 1, m = strlen(separator);

        for (char *const *p = v; p && *p; p++)
                size += strlen(*p) + m;
        char *s = malloc(size), *t = s;
        if (!s)
                return NULL;
        for (char *const *p = v; p && *p; p++) {
                if (p != v)
                        t = mempcpy(t, separator, m);
                t = mempcpy(t, *p, strlen(*p));
        }
        *t = 0;
        return s;
}

int parse_u64(const char *s, uint64_t *ret) {
        uint64_t v = 0;

        if (isempty(s))
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(v, 10, &v) ||
                                __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
                        return -ERANGE;
        }
        *ret = v;
        return 0;
}

int parse_i64(const char *s, int64_t *ret) {
        bool negative = s && *s == '-';
        uint64_t v;
        int r = parse_u64(negative ? s + 1 : s, &v);

        if (r < 0)
                return r;
        if (v > (uint64_t)INT64_MAX + negative)
                return -ERANGE;
        *ret = negative ? (int64_t)-v : (int64_t)v;
        return 0;
}

int parse_u32(const char *s, uint32_t *ret) {
        uint64_t v;
        int r = parse_u64(s, &v);

        if (r < 0)
                return r;
        if (v > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t)v;
        return 0;
}

int parse_port(const char *s, uint16_t *ret) {
        uint64_t v;
        int r = parse_u64(s, &v);

        if (r < 0)
                return r;
        if (v > UINT16_MAX)
                return -ERANGE;
        *ret = (uint16_t)v;
        return 0;
}

int parse_duration_us(const char *s, uint64_t *ret) {
        static const struct {
                const char *suffix;
                uint64_t us;
        } units[] = {
                        {"ms", 1000},
                        {"us", 1},
                        {"s", 1000000},
                        {"m", 60000000},
                        {"h", 3600000000},
                        {"d", 86400000000},
        };
        uint64_t total = 0;

        if (isempty(s))
                return -EINVAL;
        while (*s) {
                size_t digits = strspn(s, "0123456789");
                char number[24];
                uint64_t v, factor = 1000000;

                if (digits == 0 || digits >= sizeof(number))
                        return -EINVAL;
                memcpy(number, s, digits);
                number[digits] = 0;
                int r = parse_u64(number, &v);
                if (r < 0)
                        return r;
                s += digits;
                if (*s) {
                        size_t i;
                        for (i = 0; i < ELEMENTS(units) && !startswith(s, units[i].suffix); i++)
                                ;
                        if (i == ELEMENTS(units))
                                return -EINVAL;
                        factor = units[i].us;
                        s += strlen(units[i].suffix);
                }
                if (__builtin_mul_overflow(v, factor, &v) ||
                                __builtin_add_overflow(total, v, &total))
                        return -ERANGE;
        }
        *ret = total;
        return 0;
}

/* The size of the well-formed character at the beginning; 0: there is none. */
static size_t utf8_character(const unsigned char *p, size_t n) {
        unsigned char c = n > 0 ? p[0] : 0;
        unsigned more, min;
        uint32_t v;

        if (c < 0x80)
                return c != 0;
        if (c >= 0xc2 && c < 0xe0)
                more = 1, min = 0x80, v = c & 0x1f;
        else if ((c & 0xf0) == 0xe0)
                more = 2, min = 0x800, v = c & 0x0f;
        else if (c >= 0xf0 && c < 0xf5)
                more = 3, min = 0x10000, v = c & 0x07;
        else
                return 0;
        if (n <= more)
                return 0;
        for (unsigned i = 1; i <= more; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                v = v << 6 | (p[i] & 0x3f);
        }
        return v < min || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0 : more + 1;
}

bool utf8_is_valid(const char *s, size_t n) {
        while (n > 0) {
                size_t size = utf8_character((const unsigned char *)s, n);

                if (size == 0)
                        return false;
                s += size;
                n -= size;
        }
        return true;
}

size_t utf8_clean(char *s, size_t n) {
        size_t kept = 0, size;

        for (size_t at = 0; at < n; at += MAX(size, (size_t)1)) {
                size = utf8_character((const unsigned char *)s + at, n - at);
                memmove(s + kept, s + at, size);
                kept += size;
        }
        if (kept < n)
                s[kept] = '\0';
        return kept;
}

bool strcaseeq(const char *a, const char *b) {
        for (; *a && tolower((unsigned char)*a) == tolower((unsigned char)*b); a++, b++)
                ;
        return tolower((unsigned char)*a) == tolower((unsigned char)*b);
}
