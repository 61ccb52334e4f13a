/* The indexes of a cache: by a label, by whether there is a label, by a field. An index is a tree
 * of postings in the order of the values' hashes, and of paths where those are equal, so that all
 * with a value are a range of it in key order. A range may have more than what is asked for (other
 * values of the hash; and who uses it asks for the unsure items as well): the items are matched
 * anyway. It never has less.
 *
 *      (none) --asked for--> ASKED --again--> FILLING --all slots--> READY
 *      any of them --unused, or its place is needed--> GOING --> (none)
 *      FILLING, READY --no room--> GOING --> REFUSED
 *
 * Each walk that would have used it fills some of it, so that the first ones pay for it: no more
 * than FILL_WORK at a time. A change puts its item into all that are FILLING or READY. What clients
 * ask for is not trusted: there are few indexes (CACHE_INDEXES_MAX), a new key takes the place of
 * the one that is worth the least, but only after that was passed by as often as it was used (up to
 * SCORE_MAX, less when it was not used lately), and a key that was asked for once costs nothing but
 * its place. A value costs no memory beyond that of its postings, however many there are. GOING
 * ones are taken apart some postings at a time. */
#include "kapid/cache/internal.h"

#include "lib/selector.h"
#include "lib/siphash.h"
#include "lib/timefmt.h"

enum {
        SCORE_READY = 8,
        SCORE_MAX = 64,
        FILL_WORK = 64 * 1024, /* slots that are passed by; */
        FILL_WORK_ITEM = 8,    /* one whose item is read costs so many, */
        FILL_WORK_BYTES = 512, /* and one for each such piece of its text, if a field is sought */
        REAP_MAX = 1024,
        TEND_US = 50 * 1000,
        UNUSED_US = 10 * 60 * 1000 * 1000,
        HALF_US = 60 * 1000 * 1000,
        YIELD_US = 60 * 1000 * 1000, /* unused for that long: another one may have its memory */
};

enum index_state { INDEX_ASKED, INDEX_FILLING, INDEX_READY, INDEX_GOING, INDEX_REFUSED };

struct index {
        struct posting_tree postings;
        enum index_state state;
        bool kept;          /* for good */
        bool refused;       /* GOING: it is REFUSED then */
        uint8_t place;      /* in the cache's indexes */
        unsigned score;
        uint64_t used_us;   /* monotonic; REFUSED: since when */
        struct slot *next;  /* FILLING: this one and those behind it are not yet in it */
        uint64_t label_bits; /* that the slots in it have */
        struct cache_key key;
        char *name, *api_version; /* NULL: the key's are borrowed */
};

static int posting_compare(const struct posting *a, const struct posting *b) {
        if (a->hash != b->hash)
                return a->hash < b->hash ? -1 : 1;
        return strcmp(item_path(a->slot->item), item_path(b->slot->item));
}

RB_GENERATE(posting_tree, posting, entry, posting_compare)

static uint32_t hash_text(const struct cache *c, const char *text, size_t n) {
        uint32_t h = (uint32_t)siphash(c->caches->secret, text, n);

        return h < HASH_FIRST ? h + HASH_FIRST : h;
}

uint32_t index_hash(const struct cache *c, const char *value) {
        return hash_text(c, value, strlen(value));
}

static uint32_t hash_of(const struct cache *c, const struct index *i, const struct item *it) {
        const char *text;
        size_t n;
        enum cache_held held = cache_held(&i->key, it, &text, &n);

        if (held != HELD_TEXT)
                return held == HELD_NOTHING ? HASH_NONE : HASH_UNSURE;
        return i->key.by == CACHE_HAVING_LABEL ? HASH_HAVING : hash_text(c, text, n);
}

/* --- postings --- */

/* Where the slot's posting of the index is noted, or would be. */
static struct posting **posting_of(struct slot *s, const struct index *i) {
        struct posting **at = &s->postings;

        while (*at && (*at)->place != i->place)
                at = &(*at)->next;
        return at;
}

static void posting_drop(struct cache *c, struct posting **at) {
        struct posting *p = *at;

        assert(c->caches->postings > 0);
        *at = p->next;
        RB_REMOVE(posting_tree, &c->indexes[p->place]->postings, p);
        c->caches->postings--;
        free(p);
}

static int posting_add(struct cache *c, struct index *i, struct slot *s, uint32_t hash) {
        struct posting *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        *p = (struct posting){.slot = s, .next = s->postings, .hash = hash, .place = i->place};
        s->postings = p;
        struct posting *other = RB_INSERT(posting_tree, &i->postings, p);
        assert(!other);
        c->caches->postings++;
        return 0;
}

/* --- an index's life --- */

static void index_free(struct cache *c, struct index *i) {
        assert(RB_EMPTY(&i->postings));
        c->indexes[i->place] = NULL;
        free(i->name);
        free(i->api_version);
        free(i);
}

static void index_reap(struct cache *c, struct index *i) {
        struct posting *p;

        for (size_t n = 0; n < REAP_MAX && (p = RB_MIN(posting_tree, &i->postings)); n++)
                posting_drop(c, posting_of(p->slot, i));
        if (!RB_EMPTY(&i->postings))
                return;
        if (!i->refused) {
                index_free(c, i);
                return;
        }
        i->state = INDEX_REFUSED;
        i->used_us = now_mono_us();
}

static void index_end(struct cache *c, struct index *i, bool refused) {
        assert(!i->kept);
        i->state = INDEX_GOING;
        i->refused = refused;
        i->next = NULL;
        index_reap(c, i);
}

static struct index *index_find(const struct cache *c, const struct cache_key *key) {
        for (size_t n = 0; n < CACHE_INDEXES_MAX; n++)
                if (c->indexes[n] && key_equal(&c->indexes[n]->key, key))
                        return c->indexes[n];
        return NULL;
}

static bool is_kept_up(const struct index *i) {
        return i->state == INDEX_FILLING || i->state == INDEX_READY;
}

/* The one of all that is kept up and was not used for the longest time; not `but`. */
static struct index *least_used(
                const struct caches *cs, const struct index *but, struct cache **ret_cache) {
        struct index *best = NULL;

        map_foreach (cs->by_prefix, e) {
                struct cache *c = map_entry_value(e);

                for (size_t n = 0; n < CACHE_INDEXES_MAX; n++) {
                        struct index *i = c->indexes[n];

                        if (!i || i == but || i->kept || !is_kept_up(i) ||
                                        (best && best->used_us <= i->used_us))
                                continue;
                        best = i;
                        *ret_cache = c;
                }
        }
        return best;
}

static bool any_going(const struct caches *cs) {
        map_foreach (cs->by_prefix, e) {
                const struct cache *c = map_entry_value(e);

                for (size_t n = 0; n < CACHE_INDEXES_MAX; n++)
                        if (c->indexes[n] && c->indexes[n]->state == INDEX_GOING)
                                return true;
        }
        return false;
}

/* Whether the index may grow; false: not now, or never. */
static bool have_room(struct cache *c, struct index *i) {
        struct caches *cs = c->caches;
        struct cache *of = NULL;
        struct index *other;

        if (cs->postings < CACHE_POSTINGS_MAX)
                return true;
        if (any_going(cs))
                return false;
        other = least_used(cs, i, &of);
        if (other && other->used_us + YIELD_US < now_mono_us())
                index_end(of, other, false);
        else
                index_end(c, i, true);
        return false;
}

/* The text of a large object is read to its end for a field that stands there. */
static size_t fill_work(const struct index *i, const struct item *it) {
        return FILL_WORK_ITEM +
               (i->key.by == CACHE_BY_FIELD ? item_text(it)->size / FILL_WORK_BYTES : 0);
}

static void index_fill(struct cache *c, struct index *i) {
        for (size_t work = 0; i->next && work < FILL_WORK; work++) {
                struct slot *s = i->next;
                uint32_t hash;

                if ((s->label_bits & i->label_bits) == i->label_bits && !*posting_of(s, i)) {
                        work += fill_work(i, s->item);
                        hash = hash_of(c, i, s->item);
                        if (hash != HASH_NONE && !have_room(c, i))
                                return;
                        if (hash != HASH_NONE && posting_add(c, i, s, hash) < 0) {
                                index_end(c, i, true);
                                return;
                        }
                }
                i->next = RB_NEXT(slot_tree, &c->items, s);
        }
        if (i->next)
                return;
        i->state = INDEX_READY;
        i->score = MAX(i->score, (unsigned)SCORE_READY);
}

/* Owned: the key's texts are copied. */
static struct index *index_new(
                struct cache *c, uint8_t place, const struct cache_key *key, bool owned) {
        struct index *i = calloc(1, sizeof(*i));

        if (!i)
                return NULL;
        RB_INIT(&i->postings);
        i->place = place;
        i->key = *key;
        i->label_bits = key->by == CACHE_BY_FIELD ? 0 : label_key_bits(key->name);
        if (owned) {
                i->key.name = i->name = strdup(key->name);
                i->api_version = key->api_version ? strdup(key->api_version) : NULL;
                i->key.api_version = i->api_version;
                if (!i->name || (key->api_version && !i->api_version)) {
                        index_free(c, i);
                        return NULL;
                }
        }
        c->indexes[place] = i;
        return i;
}

/* What it is worth: half for each minute in which it was not used. */
static unsigned worth(const struct index *i, uint64_t now_us) {
        return i->score >> MIN((now_us - i->used_us) / HALF_US, (uint64_t)31);
}

/* A place for a new key; -1: there is none now. */
static int take_place(struct cache *c) {
        const uint64_t now_us = now_mono_us();
        struct index *lowest = NULL;
        uint8_t place;

        for (size_t n = 0; n < CACHE_INDEXES_MAX; n++) {
                struct index *i = c->indexes[n];

                if (!i)
                        return (int)n;
                if (!i->kept && i->state != INDEX_GOING &&
                                (!lowest || worth(i, now_us) < worth(lowest, now_us)))
                        lowest = i;
        }
        if (!lowest)
                return -1;
        lowest->score -= lowest->score > 0;
        if (worth(lowest, now_us) > 0)
                return -1;
        place = lowest->place;
        index_end(c, lowest, false);
        return c->indexes[place] ? -1 : (int)place;
}

static struct index *use(struct index *i) {
        if (i->state == INDEX_REFUSED)
                return NULL;
        i->used_us = now_mono_us();
        if (i->score < SCORE_MAX)
                i->score++;
        return i->state == INDEX_READY ? i : NULL;
}

struct index *index_use(struct cache *c, const struct cache_key *key) {
        struct index *i = index_find(c, key);

        return i && i->state == INDEX_READY ? use(i) : NULL;
}

struct index *index_ask(struct cache *c, const struct cache_key *key) {
        struct index *i = index_find(c, key);
        int place;

        if (!i) {
                place = take_place(c);
                i = place >= 0 ? index_new(c, (uint8_t)place, key, true) : NULL;
                if (i)
                        (void)use(i);
                return NULL;
        }
        if (i->state == INDEX_GOING || use(i))
                return i->state == INDEX_READY ? i : NULL;
        if (i->state == INDEX_ASKED) {
                i->state = INDEX_FILLING;
                i->next = RB_MIN(slot_tree, &c->items);
        }
        if (i->state == INDEX_FILLING)
                index_fill(c, i);
        return i->state == INDEX_READY ? i : NULL;
}

bool cache_is_indexed(const struct cache *c, const struct cache_key *key) {
        const struct index *i = index_find(c, key);

        return i && i->state == INDEX_READY;
}

int cache_keep_index(struct cache *c, const struct cache_key *key) {
        struct index *i;
        int place = take_place(c);

        assert(c->count == 0 && place >= 0);
        i = index_new(c, (uint8_t)place, key, false);
        if (!i)
                return -ENOMEM;
        i->kept = true;
        i->state = INDEX_READY;
        return 0;
}

/* --- changes --- */

static int put_one(struct cache *c, struct index *i, struct slot *s) {
        uint32_t hash = hash_of(c, i, s->item);
        struct posting **at = posting_of(s, i);

        if (*at && (*at)->hash == hash)
                return 0;
        if (*at)
                posting_drop(c, at);
        return hash == HASH_NONE ? 0 : posting_add(c, i, s, hash);
}

int indexes_put(struct cache *c, struct slot *s, const struct item *before) {
        bool same = before && item_same_labels(before, s->item);

        for (size_t n = 0; n < CACHE_INDEXES_MAX; n++) {
                struct index *i = c->indexes[n];
                int r;

                if (!i || !is_kept_up(i) || (same && i->key.by != CACHE_BY_FIELD))
                        continue;
                r = put_one(c, i, s);
                if (r < 0 && i->kept)
                        return r;
                if (r < 0)
                        index_end(c, i, true);
        }
        return 0;
}

void indexes_remove(struct cache *c, struct slot *s) {
        for (size_t n = 0; n < CACHE_INDEXES_MAX; n++)
                if (c->indexes[n] && c->indexes[n]->next == s)
                        c->indexes[n]->next = RB_NEXT(slot_tree, &c->items, s);
        while (s->postings)
                posting_drop(c, &s->postings);
}

void indexes_clear(struct cache *c) {
        struct slot *s;

        RB_FOREACH(s, slot_tree, &c->items) {
                while (s->postings) {
                        struct posting *p = s->postings;

                        s->postings = p->next;
                        c->caches->postings--;
                        free(p);
                }
        }
        for (size_t n = 0; n < CACHE_INDEXES_MAX; n++) {
                struct index *i = c->indexes[n];

                if (!i)
                        continue;
                RB_INIT(&i->postings);
                if (!i->kept)
                        index_free(c, i);
        }
}

void indexes_done(struct cache *c) {
        for (size_t n = 0; n < CACHE_INDEXES_MAX; n++)
                if (c->indexes[n])
                        index_free(c, c->indexes[n]);
}

void indexes_tend(struct caches *cs) {
        const uint64_t now_us = now_mono_us();
        struct cache *of;
        struct index *i;

        if (now_us < cs->tend_us)
                return;
        cs->tend_us = now_us + TEND_US;
        map_foreach (cs->by_prefix, e) {
                struct cache *c = map_entry_value(e);

                for (size_t n = 0; n < CACHE_INDEXES_MAX; n++) {
                        i = c->indexes[n];
                        if (!i || i->kept)
                                continue;
                        if (i->state == INDEX_GOING)
                                index_reap(c, i);
                        else if (i->used_us + UNUSED_US < now_us)
                                index_end(c, i, false);
                }
        }
        /* They grew with their objects. */
        if (cs->postings <= CACHE_POSTINGS_MAX + CACHE_POSTINGS_MAX / 8 || any_going(cs))
                return;
        i = least_used(cs, NULL, &of);
        if (i)
                index_end(of, i, true);
}

size_t caches_postings(const struct caches *cs) {
        return cs->postings;
}

const struct posting *index_from(
                const struct index *i, uint32_t hash, const char *path, bool behind) {
        const struct posting *p = RB_ROOT(&i->postings), *best = NULL;

        while (p) {
                int k = p->hash < hash ? -1 : p->hash > hash;

                if (k == 0)
                        k = strcmp(item_path(p->slot->item), path);
                if (k > 0 || (k == 0 && !behind)) {
                        best = p;
                        p = RB_LEFT(p, entry);
                } else {
                        p = RB_RIGHT(p, entry);
                }
        }
        return best;
}
