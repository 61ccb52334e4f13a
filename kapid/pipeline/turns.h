/* Writes that need the same other object take turns: those of a namespace whose quotas are charged.
 * Without it each of n writes would be decided on the same state, and all but one of their
 * transactions would fail, again and again. The turn passes on when the caches hold what the one
 * before has written. */
#pragma once

#include <sys/queue.h>

#include "kapid/cache/cache.h"

struct turns;
struct turn_line;
struct turns *turns_new(struct caches *caches) _warn_unused_;
/* Those that wait are forgotten. */
struct turns *turns_free(struct turns *t);
DEFINE_CLEANUP(struct turns *, turns_free);

/* One that waits or has its turn. Embedded by its owner; zeroed memory has none. */
struct turn {
        void (*func)(struct turn *turn);
        struct turn_line *line; /* NULL: neither waits nor has it */
        bool is_mine;
        TAILQ_ENTRY(turn) entry;
};

/* 1: it is turn's now; 0: turn->func is called once when it is, never before this returns. key: a
 * namespace. -ENOMEM. */
int turns_take(struct turns *t, const char *key, struct turn *turn);
/* Leaves the queue, waiting or not. revision: of the write; 0: nothing was written. */
void turns_leave(struct turns *t, struct turn *turn, uint64_t revision);
