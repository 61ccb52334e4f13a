/* Fork and join: a function is called for each of many items, by the caller and by a few threads
 * beside it, and the caller continues when all of them are done. So nothing ever runs beside the
 * caller's other work, and that needs no locks. What the function touches is its item's alone, or
 * is read by all: not reference counts, event sources or anything else of the caller's. */
#pragma once

#include "lib/base.h"

struct parallel;

enum {
        PARALLEL_MAX = 8, /* threads at work, the caller among them */
};

/* Makes no thread yet. count: at work, the caller among them; 0: one for two processors that this
 * process may use. At most PARALLEL_MAX. */
int parallel_new(struct parallel **ret, unsigned count);
/* Not from within a function that it calls. Its threads have ended when it returns. */
struct parallel *parallel_free(struct parallel *p);
DEFINE_CLEANUP(struct parallel *, parallel_free);
/* How many are at work at most. NULL: the caller alone. */
unsigned parallel_count(const struct parallel *p);

/* Calls func for 0 to count - 1, once each, in no order. The first run of more than one starts the
 * threads; where there may be none (one processor, a limit of tasks), and for p NULL, the caller
 * does all. 0, or the negative result of the first of the items that failed: the others were done
 * nevertheless. -EBUSY, nothing done: called from within such a function. */
typedef int (*parallel_func)(size_t i, void *userdata);
int parallel_run(struct parallel *p, size_t count, parallel_func func, void *userdata);

/* The one of p that pays for so many writes to sockets, of so many bytes in all: p, or NULL where
 * the caller has done them before another thread wakes. */
struct parallel *parallel_for_sending(struct parallel *p, size_t count, size_t bytes);
