/* Many small jobs at once, with a bound: each is a chain of API calls of its own. */
#pragma once

#include "lib/client/api.h"

enum { BATCH_WIDTH = 16 }; /* jobs under way at a time */

struct batch;

/* One job under way. */
struct batch_slot {
        struct batch *batch;
        size_t at;             /* which job: 0 .. count-1 */
        struct api_call *call; /* what it waits for */
        unsigned stage;        /* for the job's own use; 0 when it starts */
        bool used;
};

struct batch {
        size_t count, next;
        unsigned running;
        bool stopping, pumping;
        void (*start)(struct batch_slot *slot); /* must lead to batch_next(), at once or later */
        void (*end)(void *userdata);
        void *userdata;
        struct batch_slot slots[BATCH_WIDTH];
};

/* Starts the jobs 0 .. count-1 in order; end is called once, when all that were started are done.
 * The batch must not be running. end may start the next one in the same batch. */
void batch_run(struct batch *b, size_t count, void (*start)(struct batch_slot *slot),
                void (*end)(void *userdata), void *userdata);
/* The slot's job is done. The slot must not be used after it. */
void batch_next(struct batch_slot *slot);
/* No further job is started; those under way come to their end. */
void batch_stop(struct batch *b);
/* Ends every call without its callback; end is not called. */
void batch_cancel(struct batch *b);
