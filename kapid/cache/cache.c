/* One resource's cache: its objects in key order and the window of its changes. */
#include "kapid/cache/internal.h"

#include "lib/selector.h"
#include "lib/timefmt.h"

enum { WINDOW_START = 64 };

static int slot_compare(const struct slot *a, const struct slot *b) {
        return strcmp(item_key(a->item), item_key(b->item));
}

RB_GENERATE(slot_tree, slot, entry, slot_compare)

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

/* --- the items --- */

/* Notes what is looked up in its item; before: the item that it had. */
static int slot_note(struct cache *c, struct slot *s, const struct item *before) {
        size_t n;
        const char *labels = item_labels_text(s->item, &n);

        s->label_bits = label_text_bits(labels, n);
        return indexes_put(c, s, before);
}

static struct slot *slot_free(struct cache *c, struct slot *s) {
        indexes_remove(c, s);
        item_unref(s->item);
        return mfree(s);
}

static void cache_clear(struct cache *c) {
        struct slot *s, *next;

        indexes_clear(c);
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
        indexes_done(c);
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

struct slot *slot_from(const struct cache *c, const char *path, bool behind) {
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

struct slot *slot_behind(const struct cache *c, const char *prefix) {
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

/* s: where the object is now; NULL: nowhere. Takes the references in change. */
static int take_change(
                struct cache *c, struct slot *s, const char *path, const struct change *change) {
        int r = s ? slot_note(c, s, change->before) : 0;

        if (r < 0)
                return r;
        r = window_add(c, change);
        if (r >= 0)
                followers_mark(c, path, change);
        return r;
}

int cache_put(struct cache *c, const char *path, struct item *after, uint64_t revision) {
        struct slot *s = slot_from(c, path, false);
        struct change change = {.revision = revision, .seen_us = now_mono_us()};
        int r;

        if (s && !streq(item_path(s->item), path))
                s = NULL;
        assert(!after || streq(item_path(after), path));
        if (!s && !after)
                return 0; /* it was never here */
        if (s && !after) {
                assert(c->count > 0);
                indexes_remove(c, s);
                RB_REMOVE(slot_tree, &c->items, s);
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
        r = take_change(c, after ? s : NULL, path, &change);
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
        return slot_note(c, s, NULL);
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
