/* Patterns on PCRE2. A pattern is kept as text and compiled when the first value meets it; the
 * compiled forms used longest ago go first. PCRE2 writes groups out as often as they are repeated,
 * and refuses what is larger than 64 kB.
 *
 * The cost of a match is bounded by PCRE2's count of its steps, which must be a true measure: it
 * restarts at each place of the text unless the pattern is anchored, and does not see loops over
 * single characters that never come back. So what is not anchored gets a lazy ".*?" in front and
 * is (at the place where the search starts; what it skipped is no part of the match), and
 * automatic possessive quantifiers are off. PCRE2 does not give the count back; a match is
 * tried with a low bound first and with ever higher ones then, and the bound is what is charged. No
 * JIT: our units forbid memory that is written and run. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "kapid/schema/pattern.h"

#include <pcre2.h>
#include <sys/queue.h>

enum {
        CACHE_PATTERNS_MAX = 512,
        CACHE_BYTES_MAX = 4 << 20,
        HEAP_KIB_MAX = 32 << 10, /* of one match */
        STEPS_BASE = 16,
        STEPS_PER_BYTE = 2,
        STEPS_FACTOR = 8,
        ERROR_SIZE = 200,
};

struct pattern {
        struct pattern_cache *cache;
        TAILQ_ENTRY(pattern) entry; /* while it is compiled */
        pcre2_code *code;
        size_t size;
        char text[];
};

struct pattern_cache {
        TAILQ_HEAD(pattern_list, pattern) patterns; /* most lately used first */
        size_t count, bytes;
        pcre2_compile_context *compile;
        pcre2_match_context *match;
};

struct pattern_cache *pattern_cache_new(void) {
        struct pattern_cache *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        TAILQ_INIT(&c->patterns);
        c->compile = pcre2_compile_context_create(NULL);
        c->match = pcre2_match_context_create(NULL);
        if (!c->compile || !c->match)
                return pattern_cache_free(c);
        (void)pcre2_set_newline(c->compile, PCRE2_NEWLINE_LF);
        (void)pcre2_set_heap_limit(c->match, HEAP_KIB_MAX);
        return c;
}

struct pattern_cache *pattern_cache_free(struct pattern_cache *c) {
        if (!c)
                return NULL;
        assert(TAILQ_EMPTY(&c->patterns));
        pcre2_compile_context_free(c->compile);
        pcre2_match_context_free(c->match);
        return mfree(c);
}

size_t pattern_cache_count(const struct pattern_cache *c) {
        return c->count;
}

static void drop_code(struct pattern *p) {
        if (!p->code)
                return;
        TAILQ_REMOVE(&p->cache->patterns, p, entry);
        p->cache->count--;
        p->cache->bytes -= p->size;
        pcre2_code_free(p->code);
        p->code = NULL;
}

int pattern_new(struct pattern **ret, struct pattern_cache *cache, const char *text,
                char **ret_error) {
        _cleanup_buf_ struct buf unused = {0};
        size_t n = strlen(text);
        struct pattern *p;
        int r = pattern_translate(text, &unused, ret_error);

        if (r < 0)
                return r;
        p = calloc(1, sizeof(*p) + n + 1);
        if (!p)
                return -ENOMEM;
        p->cache = cache;
        memcpy(p->text, text, n);
        *ret = p;
        return 0;
}

struct pattern *pattern_free(struct pattern *p) {
        if (!p)
                return NULL;
        drop_code(p);
        return mfree(p);
}

const char *pattern_text(const struct pattern *p) {
        return p->text;
}

static pcre2_code *compile(struct pattern *p, const struct buf *text, int *ret_error) {
        const uint32_t options = PCRE2_UTF | PCRE2_NO_AUTO_CAPTURE | PCRE2_DOLLAR_ENDONLY |
                                 PCRE2_ALT_CIRCUMFLEX | PCRE2_NO_AUTO_POSSESS |
                                 PCRE2_NO_START_OPTIMIZE | PCRE2_NEVER_BACKSLASH_C;
        PCRE2_SIZE at;

        return pcre2_compile((PCRE2_SPTR)strempty(text->data), text->size, options, ret_error, &at,
                        p->cache->compile);
}

static int compile_error(const struct pattern *p, int pcre_error, char **ret_error) {
        PCRE2_UCHAR text[ERROR_SIZE] = "";

        if (pcre_error == PCRE2_ERROR_HEAP_FAILED)
                return -ENOMEM;
        (void)pcre2_get_error_message(pcre_error, text, sizeof(text));
        *ret_error = strformat("the pattern %.200s cannot be used: %s", p->text, (char *)text);
        return *ret_error ? -EINVAL : -ENOMEM;
}

static void add_code(struct pattern *p, pcre2_code *code) {
        struct pattern_cache *c = p->cache;

        p->code = code;
        (void)pcre2_pattern_info(code, PCRE2_INFO_SIZE, &p->size);
        TAILQ_INSERT_HEAD(&c->patterns, p, entry);
        c->count++;
        c->bytes += p->size;
        while (c->count > 1 && (c->count > CACHE_PATTERNS_MAX || c->bytes > CACHE_BYTES_MAX))
                drop_code(TAILQ_LAST(&c->patterns, pattern_list));
}

int pattern_compile(struct pattern *p, size_t *size, char **ret_error) {
        _cleanup_buf_ struct buf text = {0}, search = {0};
        uint32_t options = 0;
        pcre2_code *code;
        int pcre_error, r;

        if (p->code) {
                TAILQ_REMOVE(&p->cache->patterns, p, entry);
                TAILQ_INSERT_HEAD(&p->cache->patterns, p, entry);
                return 0;
        }
        r = pattern_translate(p->text, &text, ret_error);
        if (r < 0)
                return r;
        code = compile(p, &text, &pcre_error);
        if (!code)
                return compile_error(p, pcre_error, ret_error);
        (void)pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
        if (!(options & PCRE2_ANCHORED)) {
                pcre2_code_free(code);
                buf_printf(&search, "\\G(?s:.*?)\\K(?:%s)", strempty(text.data));
                if (search.failed)
                        return -ENOMEM;
                code = compile(p, &search, &pcre_error);
                if (!code)
                        return compile_error(p, pcre_error, ret_error);
        }
        add_code(p, code);
        if (size)
                *size += p->size;
        return 0;
}

/* The first bound, and where to look from. */
struct search {
        uint64_t limit;
        size_t from;
};

static int search(struct pattern *p, const char *text, size_t n, struct search s,
                pcre2_match_data *data, uint64_t *steps) {
        uint64_t limit = s.limit;
        int r;

        do {
                limit = MIN(limit, PATTERN_STEPS_MAX - *steps);
                *steps += limit;
                (void)pcre2_set_match_limit(p->cache->match, (uint32_t)limit);
                r = pcre2_match(p->code, (PCRE2_SPTR)text, n, s.from, PCRE2_NO_UTF_CHECK, data,
                                p->cache->match);
                limit *= STEPS_FACTOR;
        } while (r == PCRE2_ERROR_MATCHLIMIT && *steps < PATTERN_STEPS_MAX);
        if (r >= 0)
                return 1;
        switch (r) {
        case PCRE2_ERROR_NOMATCH:
                return 0;
        case PCRE2_ERROR_NOMEMORY:
                return -ENOMEM;
        default: /* limits of steps, heap and depth */
                return -E2BIG;
        }
}

static int find(struct pattern *p, const char *text, size_t n, struct search s, uint64_t *steps,
                size_t *ret_start, size_t *ret_end) {
        _cleanup_free_ char *unused = NULL;
        pcre2_match_data *data;
        int r = pattern_compile(p, NULL, &unused);

        if (r < 0)
                return r == -EINVAL ? -E2BIG : r;
        if (*steps >= PATTERN_STEPS_MAX)
                return -E2BIG;
        data = pcre2_match_data_create(1, NULL);
        if (!data)
                return -ENOMEM;
        r = search(p, text, n, s, data, steps);
        if (r > 0) {
                *ret_start = pcre2_get_ovector_pointer(data)[0];
                *ret_end = pcre2_get_ovector_pointer(data)[1];
        }
        pcre2_match_data_free(data);
        return r;
}

int pattern_match(struct pattern *p, const char *text, size_t n, uint64_t *steps) {
        struct search s = {.limit = STEPS_BASE + STEPS_PER_BYTE * (uint64_t)n};
        size_t start, end;

        return find(p, text, n, s, steps, &start, &end);
}

int pattern_find(struct pattern *p, const char *text, size_t n, size_t from, uint64_t *steps,
                size_t *ret_start, size_t *ret_end) {
        struct search s = {.limit = STEPS_BASE, .from = from};

        return find(p, text, n, s, steps, ret_start, ret_end);
}
