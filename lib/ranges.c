/* Sets of numbers as sorted ranges. */
#include "lib/ranges.h"

#include "lib/buf.h"
#include "lib/vector.h"

void ranges_done(struct ranges *r) {
        vector_done(r);
}

/* The index of the first range that ends at n or after it; count when there is none. */
static size_t find(const struct ranges *r, uint32_t n) {
        size_t low = 0, high = r->count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (r->items[middle].last >= n)
                        high = middle;
                else
                        low = middle + 1;
        }
        return low;
}

bool ranges_have(const struct ranges *r, uint32_t n) {
        size_t at = find(r, n);

        return at < r->count && r->items[at].first <= n;
}

uint32_t ranges_next_free(const struct ranges *r, uint32_t from) {
        size_t at = find(r, from);

        /* No two ranges touch, so the number after one is free. */
        return at < r->count && r->items[at].first <= from ? r->items[at].last + 1 : from;
}

int ranges_add(struct ranges *r, uint32_t n) {
        size_t at = find(r, n);
        bool after = at > 0 && r->items[at - 1].last + 1 == n,
             before = at < r->count && r->items[at].first == n + 1;

        if (at < r->count && r->items[at].first <= n)
                return 0;
        if (after && before) {
                r->items[at - 1].last = r->items[at].last;
                vector_remove(r, at);
        } else if (after)
                r->items[at - 1].last = n;
        else if (before)
                r->items[at].first = n;
        else
                return vector_insert(r, at, ((struct range){n, n}));
        return 0;
}

uint64_t ranges_count(const struct ranges *r) {
        uint64_t n = 0;

        for (size_t i = 0; i < r->count; i++)
                n += (uint64_t)r->items[i].last - r->items[i].first + 1;
        return n;
}

uint64_t ranges_count_common(const struct ranges *a, const struct ranges *b) {
        uint64_t n = 0;

        for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
                uint32_t first = MAX(a->items[i].first, b->items[j].first);
                uint32_t last = MIN(a->items[i].last, b->items[j].last);

                if (first <= last)
                        n += (uint64_t)last - first + 1;
                if (a->items[i].last < b->items[j].last)
                        i++;
                else
                        j++;
        }
        return n;
}

char *ranges_text(const struct ranges *r) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < r->count; i++) {
                const struct range *x = &r->items[i];

                buf_printf(&b, "%s%u", i > 0 ? "," : "", x->first);
                if (x->last > x->first)
                        buf_printf(&b, "%c%u", x->last == x->first + 1 ? ',' : '-', x->last);
        }
        return b.failed ? NULL : strdup(strempty(b.data));
}

/* A number up to the next separator; *s moves behind it. */
static bool read_number(const char **s, uint32_t *ret) {
        uint64_t n = 0;
        const char *at = *s;

        while (*at >= '0' && *at <= '9' && n <= UINT32_MAX)
                n = n * 10 + (uint64_t)(*at++ - '0');
        if (at == *s || n > UINT32_MAX)
                return false;
        *s = at;
        *ret = (uint32_t)n;
        return true;
}

static int read_range(const char **s, struct range *ret) {
        if (!read_number(s, &ret->first))
                return -EINVAL;
        ret->last = ret->first;
        if (**s != '-')
                return 0;
        (*s)++;
        return read_number(s, &ret->last) ? 0 : -EINVAL;
}

/* Appends a range that begins after all others. */
static int append(struct ranges *r, struct range x) {
        if (r->count > 0 && r->items[r->count - 1].last + 1 == x.first) {
                r->items[r->count - 1].last = x.last;
                return 0;
        }
        return vector_append(r, x);
}

static int refuse(const char **ret_error, const char *why) {
        if (ret_error)
                *ret_error = why;
        return -EINVAL;
}

int ranges_parse(const char *text, uint32_t limit, struct ranges *ret, const char **ret_error) {
        _cleanup_ranges_ struct ranges parsed = {0};
        const char *s = strempty(text);

        while (*s) {
                bool more = parsed.count > 0;
                struct range x;
                int r;

                if (read_range(&s, &x) < 0 || (*s && *s != ',') || (*s == ',' && !s[1]))
                        return refuse(ret_error, "must be numbers and ranges of numbers, separated "
                                                 "by commas (\"1,3-5\")");
                if (x.last < x.first || (more && x.first <= parsed.items[parsed.count - 1].last))
                        return refuse(ret_error, "must be ascending, without overlaps");
                if (x.last >= limit)
                        return refuse(ret_error, "must be below the number of completions");
                if (parsed.count >= RANGES_MAX)
                        return refuse(ret_error, "has too many ranges");
                r = append(&parsed, x);
                if (r < 0)
                        return r;
                s += *s == ',';
        }
        vector_done(ret);
        *ret = parsed;
        parsed = (struct ranges){0};
        return 0;
}
