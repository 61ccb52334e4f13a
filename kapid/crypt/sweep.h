/* Goes over the stored values that the configuration of encryption covers: counts with which keys
 * they are encrypted, and rewrites those that a write would store in another way. */
#pragma once

#include "kapid/api.h"

struct sweep_count {
        char *with; /* "aesgcm:key1", "identity" */
        uint64_t count;
        bool stale; /* it is not what a write would take */
};
enum { SWEEP_UNREADABLE_MAX = 10 };
struct sweep_result {
        int error; /* 0, or as in struct store_result; then message says why */
        const char *message;
        const struct sweep_count *counts;
        size_t count;
        uint64_t unreadable;
        char *const *why; /* of the first of them, ended by NULL; may be NULL */
        uint64_t rewritten;
};
typedef void (*sweep_done)(const struct sweep_result *res, void *userdata);

enum sweep_mode { SWEEP_COUNT, SWEEP_REWRITE };
/* Calls done once, perhaps at once. Values that others write meanwhile are left to them: they are
 * written with the present key. */
int sweep_start(struct api *a, enum sweep_mode mode, sweep_done done, void *userdata);
/* Those that have not ended do not call done. The store was freed before. */
void sweeps_free(struct api *a);
