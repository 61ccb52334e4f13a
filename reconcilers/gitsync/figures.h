/* The figures of GitSyncs for /metrics: a few series for each, at most FIGURES_MAX of them; what is
 * above the bound has none of its own, and a gauge says how many that are. */
#pragma once

#include "lib/json.h"
#include "lib/metrics.h"

enum { FIGURES_MAX = 500 };

/* Shared by all; zero-initialise, and nothing is counted while metrics is NULL. */
struct figures_shared {
        struct metrics *metrics;
        struct metric *without; /* GitSyncs without series */
        size_t with, without_count;
};
int figures_shared_init(struct figures_shared *f, struct metrics *metrics);

/* Of one GitSync; zero-initialised. */
struct figures {
        struct figures_shared *shared;
        struct metric *last_good, *ready, *suspended, *interval, *good, *failed, *seconds;
        uint64_t began_us; /* monotonic; 0: no run */
        bool has_last;
};
int figures_init(
                struct figures *f, struct figures_shared *shared, const char *ns, const char *name);
/* Removes its series. */
void figures_done(struct figures *f);
/* The object as it is now: its interval, whether it is suspended, and, when this process has not
 * seen a good run yet, the last one of its status. */
void figures_see(struct figures *f, const json_t *object, uint64_t interval_us);
/* A run begins, ends well (Git was read and what it says holds), or fails. */
void figures_begin(struct figures *f);
void figures_good(struct figures *f);
void figures_failed(struct figures *f);
