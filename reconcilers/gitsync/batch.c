/* The pump is never entered twice: a job that ends at once is counted, and the loop that started it
 * carries on. */
#include "reconcilers/gitsync/batch.h"

static struct batch_slot *free_slot(struct batch *b) {
        for (size_t i = 0; i < BATCH_WIDTH; i++)
                if (!b->slots[i].used)
                        return &b->slots[i];
        return NULL;
}

static void pump(struct batch *b) {
        struct batch_slot *slot;

        if (b->pumping)
                return;
        b->pumping = true;
        while (!b->stopping && b->next < b->count && (slot = free_slot(b))) {
                *slot = (struct batch_slot){.batch = b, .at = b->next++, .used = true};
                b->running++;
                b->start(slot);
        }
        b->pumping = false;
        if (b->running == 0 && b->end) {
                void (*end)(void *) = b->end;

                b->end = NULL;
                end(b->userdata);
        }
}

void batch_run(struct batch *b, size_t count, void (*start)(struct batch_slot *slot),
                void (*end)(void *userdata), void *userdata) {
        assert(b->running == 0 && !b->pumping);
        *b = (struct batch){.count = count, .start = start, .end = end, .userdata = userdata};
        pump(b);
}

void batch_next(struct batch_slot *slot) {
        struct batch *b = slot->batch;

        assert(slot->used && b->running > 0);
        *slot = (struct batch_slot){0};
        b->running--;
        pump(b);
}

void batch_stop(struct batch *b) {
        b->stopping = true;
}

void batch_cancel(struct batch *b) {
        for (size_t i = 0; i < BATCH_WIDTH; i++)
                if (b->slots[i].used)
                        api_call_cancel(b->slots[i].call);
        *b = (struct batch){0};
}
