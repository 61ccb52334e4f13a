/* The slots are a small array: everything looks at all of them. */
#include "nodeagent/pod/start-slots.h"

#include "lib/base.h"

enum { SLOTS_EACH = 3, SLOTS_MIN = 6 };

void start_slots_init(struct start_slots *s, long processors) {
        size_t n = processors > 0 ? (size_t)processors * SLOTS_EACH : 0;

        n = MAX(n, (size_t)SLOTS_MIN);
        *s = (struct start_slots){.max = MIN(n, (size_t)START_SLOTS_MAX)};
}

bool start_slots_are_full(struct start_slots *s, uint64_t now_us) {
        for (size_t i = s->count; i-- > 0;)
                if (s->taken[i].until_us <= now_us)
                        s->taken[i] = s->taken[--s->count];
        return s->count >= s->max;
}

void start_slots_take(struct start_slots *s, const void *owner, uint64_t until_us) {
        start_slots_release(s, owner);
        if (s->count == START_SLOTS_MAX)
                return;
        s->taken[s->count].owner = owner;
        s->taken[s->count++].until_us = until_us;
}

void start_slots_release(struct start_slots *s, const void *owner) {
        for (size_t i = 0; i < s->count; i++)
                if (s->taken[i].owner == owner) {
                        s->taken[i] = s->taken[--s->count];
                        return;
                }
}

uint64_t start_slots_next_us(const struct start_slots *s) {
        uint64_t next_us = 0;

        for (size_t i = 0; i < s->count; i++)
                if (next_us == 0 || s->taken[i].until_us < next_us)
                        next_us = s->taken[i].until_us;
        return next_us;
}
