/* Who is called when something changed. A follower with an interest stands in a list with the
 * others of the same: a change names at most one path, one namespace and two values of the index
 * (before and after), so it finds those whom it concerns and touches no others. */
#include "kapid/cache/internal.h"

/* The first letter of a key says what kind of interest it is. */
enum { OF_PATH = '=', OF_NAMESPACE = '/', OF_VALUE = '@' };

struct interest {
        LIST_HEAD(, cache_follower) followers;
        char key[];
};

static struct interest *interest_get(struct cache *c, const char *key) {
        struct interest *i = map_get(c->interests, key);
        size_t n = strlen(key);

        if (i)
                return i;
        i = calloc(1, sizeof(*i) + n + 1);
        if (!i)
                return NULL;
        LIST_INIT(&i->followers);
        memcpy(i->key, key, n);
        return map_set(c->interests, key, i) < 0 ? mfree(i) : i;
}

/* NULL: everything. */
static char *key_of(const struct cache *c, const struct cache_interest *wanted) {
        const bool by_value =
                        wanted->value && c->value_of && strlen(wanted->value) < CACHE_VALUE_SIZE;
        const char *what = wanted->path ? wanted->path
                           : by_value   ? wanted->value
                                        : wanted->namespace;
        const char kind = wanted->path ? OF_PATH : by_value ? OF_VALUE : OF_NAMESPACE;

        return what && strlen(what) < CACHE_PATH_SIZE ? strformat("%c%s", kind, what) : NULL;
}

void cache_follow(struct cache *c, struct cache_follower *f, const struct cache_interest *wanted) {
        _cleanup_free_ char *key = wanted ? key_of(c, wanted) : NULL;

        assert(f->func);
        assert(!f->cache);
        f->cache = c;
        f->interest = key ? interest_get(c, key) : NULL; /* without memory: everything */
        if (!f->interest) {
                LIST_INSERT_HEAD(&c->followers, f, entry);
                return;
        }
        LIST_INSERT_HEAD(&c->choosy, f, entry);
        LIST_INSERT_HEAD(&f->interest->followers, f, same);
}

void cache_unfollow(struct cache_follower *f) {
        struct cache *c = f->cache;

        if (!c)
                return;
        if (c->calling == f)
                c->calling = LIST_NEXT(f, entry);
        LIST_REMOVE(f, entry);
        f->cache = NULL;
        if (f->due)
                TAILQ_REMOVE(&c->due, f, due_entry);
        f->due = false;
        if (!f->interest)
                return;
        LIST_REMOVE(f, same);
        if (LIST_EMPTY(&f->interest->followers))
                map_remove(c->interests, f->interest->key);
        f->interest = NULL;
}

static void mark(struct cache *c, char kind, const char *what, size_t n, uint64_t number) {
        char key[1 + CACHE_PATH_SIZE]; /* longer ones are nobody's interest */
        struct cache_follower *f;
        struct interest *i;

        if (n + 2 > sizeof(key))
                return;
        key[0] = kind;
        memcpy(key + 1, what, n);
        key[1 + n] = 0;
        i = map_get(c->interests, key);
        if (!i)
                return;
        LIST_FOREACH(f, &i->followers, same) {
                if (f->due)
                        continue;
                f->due = true;
                f->first = number;
                TAILQ_INSERT_TAIL(&c->due, f, due_entry);
        }
}

void followers_mark(struct cache *c, const char *path, const char *before, const char *after) {
        const uint64_t number = c->window_end - 1;
        const char *slash;

        if (map_size(c->interests) == 0)
                return;
        slash = strchr(path, '/');
        mark(c, OF_PATH, path, strlen(path), number);
        if (slash)
                mark(c, OF_NAMESPACE, path, (size_t)(slash - path), number);
        if (before)
                mark(c, OF_VALUE, before, strlen(before), number);
        if (after)
                mark(c, OF_VALUE, after, strlen(after), number);
}

uint64_t cache_follower_next(const struct cache_follower *f) {
        return f->due ? f->first : f->cache->window_end;
}

static void call_all(struct cache *c, struct cache_follower *first, bool lost) {
        struct cache_follower *f = first;

        assert(!c->calling); /* not from within */
        while (f) {
                assert(f->cache == c);
                c->calling = LIST_NEXT(f, entry);
                f->func(f, lost);
                f = c->calling;
        }
        c->calling = NULL;
}

void cache_call_followers(struct cache *c, bool lost) {
        struct cache_follower *f;

        call_all(c, LIST_FIRST(&c->followers), lost);
        if (lost)
                call_all(c, LIST_FIRST(&c->choosy), lost);
        while ((f = TAILQ_FIRST(&c->due))) {
                TAILQ_REMOVE(&c->due, f, due_entry);
                f->due = false;
                f->func(f, lost);
        }
}

int followers_init(struct cache *c) {
        LIST_INIT(&c->followers);
        LIST_INIT(&c->choosy);
        TAILQ_INIT(&c->due);
        c->interests = map_new(free);
        return c->interests ? 0 : -ENOMEM;
}

void followers_done(struct cache *c) {
        while (!LIST_EMPTY(&c->followers))
                cache_unfollow(LIST_FIRST(&c->followers));
        while (!LIST_EMPTY(&c->choosy))
                cache_unfollow(LIST_FIRST(&c->choosy));
        map_free(c->interests);
}
