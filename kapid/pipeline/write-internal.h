/* Inside of writes: one under way, and what the files of write.h have of each other. */
#pragma once

#include "kapid/pipeline/turns.h"
#include "kapid/pipeline/write.h"
#include "kapid/webhooks/webhooks.h"

/* One write under way; `write` is what its verb sees. */
struct run {
        struct write write; /* borrows from the rest */
        struct decision decision;
        struct kind *kind;
        char *namespace, *name;
        write_decide decide;
        write_done done;
        char *key;
        json_t *live;      /* NULL: not stored */
        uint64_t revision; /* of live; 0: not stored */
        bool fresh;        /* live is the store's own, or the guard is to find out */
        bool stale;        /* a write would store it in another form: with another key
                              (kapid/store/store.h), in another version */
        unsigned attempts, charge_attempts;
        char *text;  /* what is stored */
        bool filled; /* it is what its kind shows, too */
        int64_t lease;
        struct turn turn;         /* of those that are charged to the namespace's quotas */
        uint64_t stored_revision; /* 0: nothing was stored (yet) */
        bool confirmed;           /* the caches were freshened after a refusal by quotas */
        bool asked;               /* webhooks, about the decision that is being made */
        char **warned;            /* by them */
        struct policy_judging *judging;  /* admission policies that take several turns */
        struct webhooks_later settling; /* webhooks that wait for mutating policies */
        /* What was found out about an object that is not fresh: it counts if the store has it so,
         * without asking webhooks again. */
        bool confirming;
        int verdict;
        struct problem refusal;
};

/* Ends it with p, or for an empty p with the error (negative). */
void write_fail(struct run *run, int error, struct problem *p);
/* A decision is made. r: what decide has returned, or webhooks: WRITE_ASKS_WEBHOOKS, WRITE_LATER;
 * negative: a refusal, with p. */
void write_decided(struct run *run, int r, struct problem *p);
/* What was decided on an object from the cache, a refusal (r negative, with p) or that nothing is
 * to be done, is confirmed by the store. */
void write_confirm(struct run *run, int r, struct problem *p);
/* The decision stands: it was made on the store's object, or its guard will find out. */
void write_carry_out(struct run *run);

/* While it waited, its namespace may have gone, or the definition of its kind changed. */
int write_check_place(struct run *run, struct problem *p);

/* Ask webhooks, and continue with write_decided() or write_carry_out() when they have answered; at
 * once when there are none to be asked. The deletion's: mutating ones judge it too. */
void write_ask_mutating(struct run *run);
/* It holds no turn while it waits for wake() or another callback. */
void write_wait(struct run *run);
/* The write's wake(). */
void write_wake(struct write *w);
void write_ask_validating(struct run *run);
void write_ask_about_deletion(struct run *run);
