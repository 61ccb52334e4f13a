/* A queue of writes for each key; the first of a queue has the turn. */
#include "kapid/pipeline/turns.h"

#include "lib/map.h"

/* How long the caches may lag before the next one is let in all the same: the guards of its
 * transaction keep it right. */
enum { CATCH_UP_US = 2 * 1000 * 1000 };

/* After this number of writes in a row the line pauses, longer than another kapid needs for a
 * transaction. Without it one that lost the race for the quota once would lose it again: it sees
 * the change when our next one does, and has more to do. */
enum { IN_A_ROW_MAX = 16, PAUSE_US = 8 * 1000 };

struct turn_line {
        struct turns *turns;
        char *key;
        TAILQ_HEAD(, turn) waiting;
        unsigned in_a_row; /* turns that have written since the last pause */
        bool taken;        /* a write has the turn, or the caches have not caught up */
        bool passing;      /* next() calls one that waited: */
        bool again;        /* that one has left already */
};

struct turns {
        struct caches *caches;
        struct map *lines;
};

static void line_free(void *p) {
        struct turn_line *l = p;

        free(l->key);
        free(l);
}

struct turns *turns_new(struct caches *caches) {
        struct turns *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->caches = caches;
        t->lines = map_new(line_free);
        return t->lines ? t : turns_free(t);
}

struct turns *turns_free(struct turns *t) {
        if (!t)
                return NULL;
        map_free(t->lines);
        return mfree(t);
}

static struct turn_line *line_get(struct turns *t, const char *key) {
        struct turn_line *l = map_get(t->lines, key);

        if (l)
                return l;
        l = calloc(1, sizeof(*l));
        if (!l)
                return NULL;
        TAILQ_INIT(&l->waiting);
        l->turns = t;
        l->key = strdup(key);
        if (!l->key || map_set(t->lines, key, l) < 0) {
                line_free(l);
                return NULL;
        }
        return l;
}

int turns_take(struct turns *t, const char *key, struct turn *turn) {
        struct turn_line *l = line_get(t, key);

        assert(!turn->line && turn->func);
        if (!l)
                return -ENOMEM;
        turn->line = l;
        if (l->taken) {
                TAILQ_INSERT_TAIL(&l->waiting, turn, entry);
                return 0;
        }
        l->taken = turn->is_mine = true;
        return 1;
}

/* The caches are there, or too late. A loop and not a recursion: many that wait may be refused one
 * after another. */
static void next(int error, void *userdata) {
        struct turn_line *l = userdata;

        l->again = true;
        if (l->passing)
                return;
        while (l->again) {
                struct turn *turn = TAILQ_FIRST(&l->waiting);

                if (!turn) {
                        map_remove(l->turns->lines, l->key);
                        return;
                }
                TAILQ_REMOVE(&l->waiting, turn, entry);
                l->again = false;
                l->passing = true;
                turn->is_mine = true;
                turn->func(turn);
                l->passing = false;
        }
}

void turns_leave(struct turns *t, struct turn *turn, uint64_t revision) {
        struct turn_line *l = TAKE_PTR(turn->line);

        if (!l)
                return;
        if (!turn->is_mine) {
                TAILQ_REMOVE(&l->waiting, turn, entry);
                return;
        }
        turn->is_mine = false;
        l->in_a_row += revision > 0;
        if (l->in_a_row >= IN_A_ROW_MAX) {
                l->in_a_row = 0;
                if (caches_wait(t->caches, UINT64_MAX, PAUSE_US, next, l) >= 0)
                        return; /* next() is called when the time is over */
        }
        if (revision <= caches_revision(t->caches) ||
                        caches_wait(t->caches, revision, CATCH_UP_US, next, l) < 0)
                next(0, l);
}
