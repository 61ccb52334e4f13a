/* Walks over a cache's items in key order: along the tree of all, or along the ranges of an index,
 * which are merged. Of several terms that have an index the one with the fewest items is taken. */
#include "kapid/cache/internal.h"

#include "lib/selector.h"

enum {
        WALK_SHORT = 32,   /* so few items need no index */
        COUNT_MAX = 1024,  /* as far as postings are counted to choose among terms */
        MANY_ITEMS = 1024, /* so many items of one term let others be asked for */
};

void cache_walk_begin(struct cache_walk *w, const struct cache *c, const char *prefix,
                const char *after, uint64_t label_bits) {
        *w = (struct cache_walk){.at = slot_from(c, after ? after : prefix, after != NULL),
                        .end = slot_behind(c, prefix),
                        .label_bits = label_bits};
}

void cache_walk_one(
                struct cache_walk *w, const struct cache *c, const char *path, const char *after) {
        const struct slot *s = slot_from(c, path, false);

        *w = (struct cache_walk){0};
        if (!s || !streq(item_path(s->item), path) || (after && strcmp(path, after) <= 0))
                return;
        w->at = s;
        w->end = RB_NEXT(slot_tree, NULL, (struct slot *)s);
}

/* --- ranges of an index --- */

static const struct posting *range_next(const struct posting *p) {
        return RB_NEXT(posting_tree, NULL, (struct posting *)p);
}

/* NULL when it is no longer in the range. */
static const struct posting *within(
                const struct cache_walk *w, const struct cache_range *r, const struct posting *p) {
        if (!p || p->hash != r->hash)
                return NULL;
        return w->prefix_size == 0 ||
                               strncmp(item_path(p->slot->item), w->prefix, w->prefix_size) == 0
                       ? p
                       : NULL;
}

/* Adds the range of a hash that is behind `after`, unless it is empty or there. */
static void range_add(
                struct cache_walk *w, const struct index *i, uint32_t hash, const char *after) {
        struct cache_range r = {.hash = hash};

        for (size_t n = 0; n < w->range_count; n++)
                if (w->ranges[n].hash == hash)
                        return;
        r.at = within(w, &r, index_from(i, hash, after ? after : w->prefix, after != NULL));
        if (!r.at)
                return;
        assert(w->range_count < CACHE_RANGES_MAX);
        w->ranges[w->range_count++] = r;
}

/* The items that may meet the term, in w, whose prefix is set. */
static void ranges_of(struct cache_walk *w, const struct cache *c, const struct index *i,
                const struct cache_term *t, const char *after) {
        bool absent = t->value && cache_value_may_be_absent(&t->key, t->value);

        w->indexed = true;
        w->range_count = 0;
        range_add(w, i, HASH_UNSURE, after);
        if (t->key.by == CACHE_HAVING_LABEL)
                range_add(w, i, HASH_HAVING, after);
        if (t->value)
                range_add(w, i, index_hash(c, t->value), after);
        if (absent)
                range_add(w, i, index_hash(c, ""), after);
        for (size_t n = 0; t->values && t->values[n]; n++)
                range_add(w, i, index_hash(c, t->values[n]), after);
}

/* Up to max. */
static size_t ranges_count(const struct cache_walk *w, size_t max) {
        size_t n = 0;

        for (size_t i = 0; i < w->range_count; i++) {
                const struct cache_range *r = &w->ranges[i];

                for (const struct posting *p = r->at; p && n < max;
                                p = within(w, r, range_next(p)))
                        n++;
        }
        return n;
}

/* Whether it has ranges for all that the term asks for. */
static bool is_usable(const struct cache_term *t) {
        return !t->values || strv_length(t->values) < CACHE_RANGES_MAX;
}

/* --- which way --- */

static bool is_short(const struct cache_walk *w) {
        const struct slot *s = w->at;

        for (size_t n = 0; n < WALK_SHORT; n++) {
                if (!s || s == w->end)
                        return true;
                s = RB_NEXT(slot_tree, NULL, (struct slot *)s);
        }
        return false;
}

/* How many items it has, up to a bound, with the best of the indexes that are there; SIZE_MAX:
 * there is none. */
static size_t take_best(struct cache_walk *w, struct cache *c, const char *after,
                const struct cache_term *terms, size_t n) {
        size_t best = SIZE_MAX;

        for (size_t k = 0; k < n; k++) {
                struct index *i = is_usable(&terms[k]) ? index_use(c, &terms[k].key) : NULL;
                struct cache_walk other = *w;
                size_t count;

                if (!i)
                        continue;
                ranges_of(&other, c, i, &terms[k], after);
                count = n == 1 ? 0 : ranges_count(&other, MIN(best, (size_t)COUNT_MAX));
                if (count < best) {
                        best = count;
                        *w = other;
                }
        }
        return best;
}

/* Asks for an index by one of the terms that have none. */
static void ask(struct cache_walk *w, struct cache *c, const char *after,
                const struct cache_term *terms, size_t n) {
        for (size_t k = 0; k < n; k++) {
                struct index *i;

                if (!is_usable(&terms[k]) || cache_is_indexed(c, &terms[k].key))
                        continue;
                i = index_ask(c, &terms[k].key);
                if (i && !w->indexed)
                        ranges_of(w, c, i, &terms[k], after);
                return;
        }
}

void cache_walk_terms(struct cache_walk *w, struct cache *c, const char *prefix, const char *after,
                uint64_t label_bits, const struct cache_term *terms, size_t n) {
        cache_walk_begin(w, c, prefix, after, label_bits);
        w->prefix = prefix;
        w->prefix_size = strlen(prefix);
        if (n == 0 || cache_count(c) <= WALK_SHORT || ((*prefix || after) && is_short(w)))
                return;
        if (take_best(w, c, after, terms, n) >= MANY_ITEMS)
                ask(w, c, after, terms, n);
}

/* The next posting in the order of paths. */
static const struct slot *next_of_ranges(struct cache_walk *w) {
        struct cache_range *first = NULL;
        const struct slot *s;

        for (size_t i = 0; i < w->range_count; i++) {
                struct cache_range *r = &w->ranges[i];

                if (r->at && (!first || strcmp(item_path(r->at->slot->item),
                                                        item_path(first->at->slot->item)) < 0))
                        first = r;
        }
        if (!first)
                return NULL;
        s = first->at->slot;
        first->at = within(w, first, range_next(first->at));
        return s;
}

static const struct slot *next_of_all(struct cache_walk *w) {
        const struct slot *s = w->at;

        if (!s || s == w->end)
                return NULL;
        w->at = RB_NEXT(slot_tree, NULL, (struct slot *)s);
        return s;
}

struct item *cache_walk_next(struct cache_walk *w) {
        const struct slot *s;

        while ((s = w->indexed ? next_of_ranges(w) : next_of_all(w)))
                if ((s->label_bits & w->label_bits) == w->label_bits)
                        return s->item;
        return NULL;
}
