/* The base header: helpers that every file may use. Cleanup attributes, transfer of pointers,
 * always-on assertions, small string and integer helpers. The only header that defines macros. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _warn_unused_ __attribute__((warn_unused_result))
#define _noreturn_ __attribute__((noreturn))
#define _unused_ __attribute__((unused))

/* Programmer errors end the program, in every build. Replaces the C library's macro. */
#undef assert
#define assert(expr) \
        do { \
                if (__builtin_expect(!(expr), 0)) \
                        assert_failed(#expr, __FILE__, __LINE__, __func__); \
        } while (0)
#define assert_not_reached() assert_failed("code not reached", __FILE__, __LINE__, __func__)

#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) \
        ({ \
                const typeof(a) _a = (a); \
                const typeof(b) _b = (b); \
                _a < _b ? _a : _b; \
        })
#define MAX(a, b) \
        ({ \
                const typeof(a) _a = (a); \
                const typeof(b) _b = (b); \
                _a > _b ? _a : _b; \
        })
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Built with a memory checker: caches keep no blocks then, so that it sees each free. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_IS_CHECKED 1
#endif
#endif
#ifndef MEMORY_IS_CHECKED
#define MEMORY_IS_CHECKED 0
#endif

/* Transfers the pointer: the value, and the variable becomes NULL. */
#define TAKE_PTR(p) \
        ({ \
                typeof(p) *_pp = &(p); \
                typeof(p) _v = *_pp; \
                *_pp = NULL; \
                _v; \
        })
#define TAKE_FD(fd) \
        ({ \
                int *_pf = &(fd); \
                int _v = *_pf; \
                *_pf = -EBADF; \
                _v; \
        })

/* Defines the cleanup function <func>p for a destructor that takes a pointer: use as
 * _cleanup_(func##p). */
#define DEFINE_CLEANUP(type, func) \
        static inline _unused_ void func##p(type *p) { \
                if (*p) \
                        func(*p); \
        }

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_strv_free_ _cleanup_(strv_freep)

void assert_failed(const char *expr, const char *file, int line, const char *func) _noreturn_;

static inline void freep(void *p) {
        free(*(void **)p);
}

static inline void *mfree(void *p) {
        free(p);
        return NULL;
}

static inline int safe_close(int fd) {
        if (fd >= 0) {
                int saved = errno;
                (void)close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void closep(int *fd) {
        safe_close(*fd);
}

static inline void fclosep(FILE **f) {
        if (*f)
                fclose(*f);
}

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* NULL equals only NULL. */
static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static inline bool isempty(const char *s) {
        return !s || !*s;
}

static inline const char *strempty(const char *s) {
        return s ? s : "";
}

/* The rest of s after prefix, or NULL when s does not start with it. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* The start of suffix at the end of s, or NULL. */
const char *endswith(const char *s, const char *suffix);

/* Makes a string by printf rules; the caller owns it. NULL when out of memory. */
char *strformat(const char *fmt, ...) _printf_(1, 2) _warn_unused_;

/* String vectors: NULL-terminated arrays of owned strings; NULL is the empty vector. */
char **strv_free(char **v);
static inline void strv_freep(char ***v) {
        strv_free(*v);
}
size_t strv_length(char *const *v);
bool strv_contains(char *const *v, const char *s);
/* Appends a copy of s. 0 or -ENOMEM. */
int strv_extend(char ***v, const char *s);
/* Splits s at any of the separator characters, dropping empty parts. 0 or -ENOMEM. */
int strv_split(const char *s, const char *separators, char ***ret);
/* Joins with the separator; NULL when out of memory. */
char *strv_join(char *const *v, const char *separator);

/* Strict decimal integers: the whole string, no blanks, no sign for unsigned. -EINVAL, -ERANGE. */
int parse_u64(const char *s, uint64_t *ret);
int parse_i64(const char *s, int64_t *ret);
int parse_u32(const char *s, uint32_t *ret);
int parse_port(const char *s, uint16_t *ret);
/* "30s", "5m", "1h30m", "250ms", bare seconds: microseconds. -EINVAL, -ERANGE. */
int parse_duration_us(const char *s, uint64_t *ret);

/* Whether the n bytes are well-formed UTF-8 (RFC 3629) without NUL. */
bool utf8_is_valid(const char *s, size_t n);
/* Takes out what utf8_is_valid refuses: the rest of a character that a length cut in two. The bytes
 * that are left; a NUL is behind them when they are fewer. */
size_t utf8_clean(char *s, size_t n);

/* Case-less comparison for HTTP header names and the like; ASCII only. */
bool strcaseeq(const char *a, const char *b);
