/* One resource's cache: its objects in key order and the window of its changes. */
#include "kapid/cache/internal.h"

#include "lib/selector.h"
#include "lib/timefmt.h"

enum { WINDOW_START = 64 };

static int slot_compare(const struct slot *a, const struct slot *b) {
        return strcmp(item_key(a->item), item_key(b->item));
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(slot_tree, slot, entry, slot_compare, static)
#pragma GCC diagnostic pop

static void change_done(struct change *c) {
        item_unref(c->before);
        item_unref(c->after);
        item_unref(c->gone);
        for (size_t i = 0; i < ELEMENTS(c->lines); i++)
                for (size_t j = 0; j < ELEMENTS(c->lines[i]); j++)
                        bytes_unref(c->lines[i][j]);
}

/* Bytes that a change keeps alive after the cache dropped them. */
static size_t change_bytes(const struct change *c) {
        return sizeof(*c) + (c->before ? item_text(c->before)->size : 0) +
               (c->gone ? item_text(c->gone)->size : 0);
}

static struct change *window_at(const struct cache *c, uint64_t number) {
        return &c->window[number % c->window_allocated];
}

static void window_drop_first(struct cache *c) {
        struct change *first = window_at(c, c->window_first);

        assert(c->window_first < c->window_end);
        assert(c->window_bytes >= first->bytes && c->caches->window_bytes >= first->bytes);
        c->window_after = first->revision;
        c->window_bytes -= first->bytes;
        c->caches->window_bytes -= first->bytes;
        change_done(first);
        c->window_first++;
}

static void window_clear(struct cache *c, uint64_t revision) {
        while (c->window_first < c->window_end)
                window_drop_first(c);
        c->window_after = revision;
}

/* --- the index --- */

static void index_remove(struct cache *c, struct slot *s) {
        struct bucket *b = TAKE_PTR(s->bucket);

        if (!b)
                return;
        LIST_REMOVE(s, same);
        if (LIST_EMPTY(&b->slots))
                map_remove(c->buckets, b->value);
}

static struct bucket *bucket_get(struct cache *c, const char *value) {
        struct bucket *b = map_get(c->buckets, value);
        size_t n = strlen(value);

        if (b)
                return b;
        b = calloc(1, sizeof(*b) + n + 1);
        if (!b)
                return NULL;
        LIST_INIT(&b->slots);
        memcpy(b->value, value, n + 1);
        if (map_set(c->buckets, value, b) < 0)
                return mfree(b);
        return b;
}

/* Notes what is looked up in its item, and puts the slot where it belongs; most changes leave it
 * where it is. */
static int index_put(struct cache *c, struct slot *s) {
        char value[CACHE_VALUE_SIZE];
        size_t n;
        const char *labels = item_labels_text(s->item, &n);
        struct bucket *b;
        bool has_value = c->value_of && c->value_of(s->item, value);

        s->label_bits = label_text_bits(labels, n);
        if (s->bucket && has_value && streq(s->bucket->value, value))
                return 0;
        index_remove(c, s);
        if (!has_value)
                return 0;
        b = bucket_get(c, value);
        if (!b)
                return -ENOMEM;
        LIST_INSERT_HEAD(&b->slots, s, same);
        s->bucket = b;
        return 0;
}

int cache_set_index(struct cache *c, const char *field, cache_value_func value_of) {
        assert(c->count == 0 && !c->value_of);
        c->value_field = field;
        c->buckets = map_new(free);
        if (!c->buckets)
                return -ENOMEM;
        c->value_of = value_of;
        return 0;
}

const char *cache_index_field(const struct cache *c) {
        return c->value_field;
}

bool cache_any(const struct cache *c, const char *value,
                bool (*func)(struct item *it, void *userdata), void *userdata) {
        const struct bucket *b;
        struct slot *s;

        assert(c->value_of);
        b = map_get(c->buckets, value);
        if (!b)
                return false;
        LIST_FOREACH(s, &b->slots, same)
        if (func(s->item, userdata))
                return true;
        return false;
}

/* --- the items --- */

static struct slot *slot_free(struct cache *c, struct slot *s) {
        index_remove(c, s);
        item_unref(s->item);
        return mfree(s);
}

static void cache_clear(struct cache *c) {
        struct slot *s, *next;

        RB_FOREACH_SAFE(s, slot_tree, &c->items, next) {
                RB_REMOVE(slot_tree, &c->items, s);
                slot_free(c, s);
        }
        c->count = 0;
}

void cache_free(void *p) {
        struct cache *c = p;

        followers_done(c);
        window_clear(c, 0);
        cache_clear(c);
        map_free(c->buckets);
        free(c->window);
        free(c->prefix);
        free(c);
}

const char *cache_prefix(const struct cache *c) {
        return c->prefix;
}

size_t cache_count(const struct cache *c) {
        return c->count;
}

uint64_t cache_changes(const struct cache *c) {
        return c->changes;
}

/* The first slot whose path is at or behind the given one; strictly behind it when `behind`. */
static struct slot *slot_from(const struct cache *c, const char *path, bool behind) {
        struct slot *s = RB_ROOT(&c->items), *best = NULL;

        while (s) {
                int k = strcmp(item_path(s->item), path);

                if (k > 0 || (k == 0 && !behind)) {
                        best = s;
                        s = RB_LEFT(s, entry);
                } else {
                        s = RB_RIGHT(s, entry);
                }
        }
        return best;
}

struct item *cache_find(const struct cache *c, const char *path) {
        struct slot *s = slot_from(c, path, false);

        return s && streq(item_path(s->item), path) ? s->item : NULL;
}

struct item *cache_first(const struct cache *c, const char *from) {
        struct slot *s = slot_from(c, from, false);

        return s ? s->item : NULL;
}

struct item *cache_next(const struct cache *c, const struct item *it) {
        struct slot *s = slot_from(c, item_path(it), true);

        return s ? s->item : NULL;
}

/* The first slot behind all whose path begins with the prefix; NULL: there is none. */
static struct slot *slot_behind(const struct cache *c, const char *prefix) {
        struct slot *s = RB_ROOT(&c->items), *best = NULL;
        size_t n = strlen(prefix);

        while (s) {
                if (strncmp(item_path(s->item), prefix, n) > 0) {
                        best = s;
                        s = RB_LEFT(s, entry);
                } else {
                        s = RB_RIGHT(s, entry);
                }
        }
        return best;
}

void cache_walk_begin(struct cache_walk *w, const struct cache *c, const char *prefix,
                const char *after, uint64_t label_bits) {
        *w = (struct cache_walk){.at = slot_from(c, after ? after : prefix, after != NULL),
                        .end = slot_behind(c, prefix),
                        .label_bits = label_bits};
}

static int compare_paths(const void *a, const void *b) {
        return strcmp(item_path(*(struct item *const *)a), item_path(*(struct item *const *)b));
}

int cache_walk_value(struct cache_walk *w, const struct cache *c, const char *value,
                const char *prefix, const char *after) {
        const struct bucket *b = map_get(c->buckets, value);
        size_t count = 0, n = strlen(prefix);
        struct slot *s;

        *w = (struct cache_walk){0};
        if (!b)
                return 0;
        LIST_FOREACH(s, &b->slots, same)
        count++;
        w->items = reallocarray(NULL, count, sizeof(struct item *));
        if (!w->items)
                return -ENOMEM;
        LIST_FOREACH(s, &b->slots, same) {
                const char *path = item_path(s->item);

                if (strncmp(path, prefix, n) == 0 && (!after || strcmp(path, after) > 0))
                        w->items[w->count++] = s->item;
        }
        qsort(w->items, w->count, sizeof(struct item *), compare_paths);
        return 0;
}

void cache_walk_done(struct cache_walk *w) {
        w->items = mfree(w->items);
}

struct item *cache_walk_next(struct cache_walk *w) {
        if (w->items)
                return w->next < w->count ? w->items[w->next++] : NULL;
        while (w->at && w->at != w->end) {
                const struct slot *s = w->at;

                w->at = RB_NEXT(slot_tree, NULL, (struct slot *)s);
                if ((s->label_bits & w->label_bits) == w->label_bits)
                        return s->item;
        }
        return NULL;
}

uint64_t cache_window_first(const struct cache *c) {
        return c->window_first;
}

uint64_t cache_window_end(const struct cache *c) {
        return c->window_end;
}

int cache_window_after(const struct cache *c, uint64_t revision, uint64_t *ret) {
        uint64_t low = c->window_first, high = c->window_end;

        if (revision < c->window_after)
                return -ESTALE;
        while (low < high) {
                uint64_t middle = low + (high - low) / 2;

                if (window_at(c, middle)->revision > revision)
                        high = middle;
                else
                        low = middle + 1;
        }
        *ret = low;
        return 0;
}

bool cache_is_at(const struct cache *c, uint64_t revision) {
        uint64_t number;

        return revision <= c->caches->revision && cache_window_after(c, revision, &number) == 0 &&
               number == c->window_end;
}

struct change *cache_change(const struct cache *c, uint64_t number) {
        return number >= c->window_first && number < c->window_end ? window_at(c, number) : NULL;
}

static int window_reserve(struct cache *c) {
        size_t n = c->window_allocated ? c->window_allocated * 2 : WINDOW_START;
        struct change *window;

        if (c->window_end - c->window_first < c->window_allocated)
                return 0;
        if (n > CACHE_WINDOW_CHANGES_MAX) {
                window_drop_first(c);
                return 0;
        }
        window = calloc(n, sizeof(*window));
        if (!window)
                return -ENOMEM;
        for (uint64_t i = c->window_first; i < c->window_end; i++)
                window[i % n] = *window_at(c, i);
        free(c->window);
        c->window = window;
        c->window_allocated = n;
        return 0;
}

void cache_change_grew(struct cache *c, struct change *change, size_t n) {
        change->bytes += n;
        c->window_bytes += n;
        c->caches->window_bytes += n;
}

static struct cache *largest_window(const struct caches *cs) {
        struct cache *best = NULL;

        map_foreach (cs->by_prefix, e) {
                struct cache *c = map_entry_value(e);

                if (!best || c->window_bytes > best->window_bytes)
                        best = c;
        }
        return best;
}

/* Takes the references in change. */
static int window_add(struct cache *c, const struct change *change) {
        int r = window_reserve(c);

        if (r < 0)
                return r;
        assert(c->window_end - c->window_first < c->window_allocated);
        assert(change->revision >= c->window_after); /* the store's order */
        *window_at(c, c->window_end) = *change;
        window_at(c, c->window_end)->bytes = 0;
        cache_change_grew(c, window_at(c, c->window_end), change_bytes(change));
        c->window_end++;
        while (c->window_end - c->window_first > CACHE_WINDOW_CHANGES_OLD &&
                        window_at(c, c->window_first)->seen_us + CACHE_WINDOW_AGE_US <
                                        change->seen_us)
                window_drop_first(c);
        while (c->window_bytes > CACHE_WINDOW_BYTES_MAX && c->window_end - c->window_first > 1)
                window_drop_first(c);
        while (c->caches->window_bytes > CACHE_WINDOWS_BYTES_MAX) {
                struct cache *big = largest_window(c->caches);

                if (big->window_end - big->window_first <= 1)
                        break;
                window_drop_first(big);
        }
        return 0;
}

/* s: where the object is now; NULL: nowhere. before: the value it had. Takes the references in
 * change. */
static int take_change(struct cache *c, struct slot *s, const char *path, const char *before,
                const struct change *change) {
        int r = s ? index_put(c, s) : 0;

        if (r < 0)
                return r;
        r = window_add(c, change);
        if (r >= 0)
                followers_mark(c, path, before, s && s->bucket ? s->bucket->value : NULL);
        return r;
}

int cache_put(struct cache *c, const char *path, struct item *after, uint64_t revision) {
        struct slot *s = slot_from(c, path, false);
        struct change change = {.revision = revision, .seen_us = now_mono_us()};
        char before[CACHE_VALUE_SIZE] = "";
        int r;

        if (s && !streq(item_path(s->item), path))
                s = NULL;
        assert(!after || streq(item_path(after), path));
        if (!s && !after)
                return 0; /* it was never here */
        if (s && s->bucket)
                snprintf(before, sizeof(before), "%s", s->bucket->value);
        if (s && !after) {
                assert(c->count > 0);
                RB_REMOVE(slot_tree, &c->items, s);
                index_remove(c, s);
                change.before = TAKE_PTR(s->item);
                slot_free(c, s);
                c->count--;
        } else if (s) {
                change.before = s->item;
                s->item = after;
        } else {
                s = calloc(1, sizeof(*s));
                if (!s) {
                        item_unref(after);
                        return -ENOMEM;
                }
                s->item = after;
                RB_INSERT(slot_tree, &c->items, s);
                c->count++;
        }
        change.after = item_ref(after);
        c->changes++;
        c->dirty = true;
        r = take_change(c, after ? s : NULL, path, *before ? before : NULL, &change);
        if (r < 0) {
                change_done(&change);
                return r;
        }
        if (c->caches->options.on_change)
                c->caches->options.on_change(
                                c, window_at(c, c->window_end - 1), c->caches->options.userdata);
        return 0;
}

void cache_reset(struct cache *c, uint64_t revision) {
        cache_clear(c);
        window_clear(c, revision);
        c->changes++;
}

int cache_insert(struct cache *c, struct item *it) {
        struct slot *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->item = it;
        struct slot *other = RB_INSERT(slot_tree, &c->items, s);
        assert(!other);
        c->count++;
        return index_put(c, s);
}

struct cache *cache_new(struct caches *cs, const char *prefix, uint64_t window_after) {
        struct cache *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->caches = cs;
        RB_INIT(&c->items);
        c->window_after = window_after;
        c->prefix = strdup(prefix);
        if (followers_init(c) < 0 || !c->prefix) {
                cache_free(c);
                return NULL;
        }
        return c;
}
