/* Who is called when something changed. A follower with an interest stands in a list with the
 * others of the same: a change names at most one path, one namespace, and for each label and each
 * field that someone follows the values before and after, so it finds those whom it concerns and
 * touches no others. Of several terms a follower stands in the list of the one with the fewest
 * others: thousands that ask for "app=agent,node=X" are separated by the node. */
#include "kapid/cache/internal.h"

#include "lib/selector.h"

/* The first letter of a key says what kind of interest it is. */
enum { OF_PATH = '=', OF_NAMESPACE = '/', OF_LABEL = '#', OF_FIELD = '@' };

/* A field that interests are about. */
struct watched {
        LIST_ENTRY(watched) entry;
        struct cache_key key;
        char *name, *api_version; /* the key's */
        size_t refs;
};

struct interest {
        LIST_HEAD(, cache_follower) followers;
        size_t count;
        struct watched *field; /* of OF_FIELD */
        char key[];
};

/* The text of a key: longer ones are nobody's interest. */
struct key_text {
        char text[1 + CACHE_PATH_SIZE];
        size_t n;
        bool long_one;
};

static void key_add(struct key_text *k, const char *s, size_t n) {
        if (k->long_one || n >= sizeof(k->text) - k->n) {
                k->long_one = true;
                return;
        }
        memcpy(k->text + k->n, s, n);
        k->n += n;
        k->text[k->n] = 0;
}

static void key_begin(struct key_text *k, char kind) {
        k->n = 0;
        k->long_one = false;
        key_add(k, &kind, 1);
}

/* "#namespace/key=value", "@namespace/version:field=value"; no namespace: all. */
static void key_of_value(struct key_text *k, const char *namespace, size_t namespace_size,
                const struct cache_key *field, const char *name, size_t name_size,
                const char *value, size_t value_size) {
        key_begin(k, field ? OF_FIELD : OF_LABEL);
        key_add(k, namespace, namespace_size);
        key_add(k, "/", 1);
        if (field) {
                key_add(k, strempty(field->api_version), strlen(strempty(field->api_version)));
                key_add(k, field->filled ? "?" : ":", 1);
        }
        key_add(k, name, name_size);
        key_add(k, "=", 1);
        key_add(k, value, value_size);
}

static void key_of_term(
                struct key_text *k, const char *namespace, const struct cache_term *t) {
        const struct cache_key *field = t->key.by == CACHE_BY_FIELD ? &t->key : NULL;

        key_of_value(k, strempty(namespace), strlen(strempty(namespace)), field, t->key.name,
                        strlen(t->key.name), t->value, strlen(t->value));
}

static void watched_unref(struct watched *w) {
        if (!w || --w->refs > 0)
                return;
        LIST_REMOVE(w, entry);
        free(w->name);
        free(w->api_version);
        free(w);
}

static struct watched *watched_get(struct cache *c, const struct cache_key *key) {
        struct watched *w;

        LIST_FOREACH(w, &c->watched, entry)
        if (key_equal(&w->key, key)) {
                w->refs++;
                return w;
        }
        w = calloc(1, sizeof(*w));
        if (!w)
                return NULL;
        w->refs = 1;
        w->key = *key;
        LIST_INSERT_HEAD(&c->watched, w, entry);
        w->key.name = w->name = strdup(key->name);
        w->key.api_version = w->api_version = key->api_version ? strdup(key->api_version) : NULL;
        if (w->name && !w->api_version == !key->api_version)
                return w;
        watched_unref(w);
        return NULL;
}

static struct interest *interest_new(
                struct cache *c, const struct key_text *key, const struct cache_term *t) {
        struct interest *i = calloc(1, sizeof(*i) + key->n + 1);

        if (!i)
                return NULL;
        LIST_INIT(&i->followers);
        memcpy(i->key, key->text, key->n);
        if (*i->key == OF_FIELD) {
                i->field = watched_get(c, &t->key);
                if (!i->field)
                        return mfree(i);
        }
        if (map_set(c->interests, i->key, i) < 0) {
                watched_unref(i->field);
                return mfree(i);
        }
        c->label_interests += *i->key == OF_LABEL;
        return i;
}

static void interest_free(struct cache *c, struct interest *i) {
        c->label_interests -= *i->key == OF_LABEL;
        watched_unref(i->field);
        (void)map_steal(c->interests, i->key);
        free(i);
}

/* The key of the term that the fewest follow; NULL: none can be followed. */
static const struct cache_term *choose_term(
                const struct cache *c, const struct cache_interest *wanted, struct key_text *ret) {
        const struct cache_term *best = NULL;
        size_t fewest = SIZE_MAX;

        for (size_t n = 0; n < wanted->term_count; n++) {
                const struct cache_term *t = &wanted->terms[n];
                const struct interest *i;
                struct key_text key;
                size_t count;

                /* An absent field is noted as "". */
                if (!t->value || (*t->value && cache_value_may_be_absent(&t->key, t->value)))
                        continue;
                key_of_term(&key, wanted->namespace, t);
                i = key.long_one ? NULL : map_get(c->interests, key.text);
                count = i ? i->count : 0;
                if (key.long_one || count >= fewest)
                        continue;
                fewest = count;
                best = t;
                *ret = key;
        }
        return best;
}

/* NULL: everything; without memory too. */
static struct interest *interest_get(struct cache *c, const struct cache_interest *wanted) {
        const char *what = wanted->path ? wanted->path : wanted->namespace;
        const struct cache_term *t;
        struct interest *i;
        struct key_text key;

        t = wanted->path ? NULL : choose_term(c, wanted, &key);
        if (!t && !what)
                return NULL;
        if (!t) {

                key_begin(&key, wanted->path ? OF_PATH : OF_NAMESPACE);
                key_add(&key, what, strlen(what));
        }
        if (key.long_one)
                return NULL;
        i = map_get(c->interests, key.text);
        return i ? i : interest_new(c, &key, t);
}

void cache_follow(struct cache *c, struct cache_follower *f, const struct cache_interest *wanted) {
        assert(f->func);
        assert(!f->cache);
        f->cache = c;
        f->interest = wanted ? interest_get(c, wanted) : NULL;
        if (!f->interest) {
                LIST_INSERT_HEAD(&c->followers, f, entry);
                return;
        }
        LIST_INSERT_HEAD(&c->choosy, f, entry);
        LIST_INSERT_HEAD(&f->interest->followers, f, same);
        f->interest->count++;
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
        if (--f->interest->count == 0)
                interest_free(c, f->interest);
        f->interest = NULL;
}

/* --- what a change concerns --- */

static void mark_follower(struct cache *c, struct cache_follower *f) {
        if (f->due)
                return;
        f->due = true;
        f->first = c->window_end - 1;
        TAILQ_INSERT_TAIL(&c->due, f, due_entry);
}

static void mark(struct cache *c, const struct key_text *key) {
        const struct interest *i = key->long_one ? NULL : map_get(c->interests, key->text);
        struct cache_follower *f;

        if (!i)
                return;
        LIST_FOREACH(f, &i->followers, same)
        mark_follower(c, f);
}

/* The item may have any value: all that follow the field, or a label (NULL). */
static void mark_unsure(struct cache *c, const struct watched *field) {
        struct cache_follower *f;

        LIST_FOREACH(f, &c->choosy, entry)
        if (field ? f->interest->field == field : *f->interest->key == OF_LABEL)
                mark_follower(c, f);
}

/* For those of all namespaces, and of this one. */
static void mark_value(struct cache *c, const char *namespace, size_t namespace_size,
                const struct cache_key *field, const char *name, size_t name_size,
                const char *value, size_t value_size) {
        struct key_text key;

        key_of_value(&key, "", 0, field, name, name_size, value, value_size);
        mark(c, &key);
        if (namespace_size == 0)
                return;
        key_of_value(&key, namespace, namespace_size, field, name, name_size, value, value_size);
        mark(c, &key);
}

static void mark_labels(struct cache *c, const char *namespace, size_t namespace_size,
                const struct item *it) {
        size_t n;
        const char *labels = item_labels_text(it, &n);
        struct label_text t = label_text(labels, n);
        int r;

        while ((r = label_text_next(&t)) > 0)
                mark_value(c, namespace, namespace_size, NULL, t.key, t.key_size, t.value,
                                t.value_size);
        if (r < 0)
                mark_unsure(c, NULL);
}

static void mark_fields(struct cache *c, const char *namespace, size_t namespace_size,
                const struct item *it) {
        const struct watched *w;

        LIST_FOREACH(w, &c->watched, entry) {
                const char *text;
                size_t n;

                if (cache_held(&w->key, it, &text, &n) == HELD_TEXT)
                        mark_value(c, namespace, namespace_size, &w->key, w->key.name,
                                        strlen(w->key.name), text, n);
                else
                        mark_unsure(c, w);
        }
}

void followers_mark(struct cache *c, const char *path, const struct change *change) {
        const struct item *before = change->before, *after = change->after;
        const char *slash;
        struct key_text key;
        size_t n; /* of the namespace */

        if (map_size(c->interests) == 0)
                return;
        slash = strchr(path, '/');
        n = slash ? (size_t)(slash - path) : 0;
        key_begin(&key, OF_PATH);
        key_add(&key, path, strlen(path));
        mark(c, &key);
        if (slash) {
                key_begin(&key, OF_NAMESPACE);
                key_add(&key, path, n);
                mark(c, &key);
        }
        if (before)
                mark_fields(c, path, n, before);
        if (after)
                mark_fields(c, path, n, after);
        if (c->label_interests == 0)
                return;
        if (before)
                mark_labels(c, path, n, before);
        if (after && !(before && item_same_labels(before, after)))
                mark_labels(c, path, n, after);
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
        LIST_INIT(&c->watched);
        c->interests = map_new(NULL);
        return c->interests ? 0 : -ENOMEM;
}

void followers_done(struct cache *c) {
        while (!LIST_EMPTY(&c->followers))
                cache_unfollow(LIST_FIRST(&c->followers));
        while (!LIST_EMPTY(&c->choosy))
                cache_unfollow(LIST_FIRST(&c->choosy));
        map_free(c->interests);
}
