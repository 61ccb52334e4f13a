/* glibc gives back what is free at the heap's end only; one small block there holds everything
 * below it. So now and then, if much is free, malloc_trim() releases whole pages in between. It
 * costs about a millisecond per 10 MB, and is left for longer each time that it did not help. */
#include "lib/trim.h"

#include <malloc.h>

#include "lib/base.h"
#include "lib/json-memory.h"
#include "lib/library-pages.h"

enum {
        TICK_US = 3 * 1000 * 1000,
        TICK_US_MAX = 60 * 1000 * 1000,
        LIBRARIES_FIRST_US = 15 * 1000 * 1000, /* the start is over */
        LIBRARIES_US_MAX = 600 * 1000 * 1000,
};

struct trim {
        sd_event_source *timer, *libraries;
        uint64_t tick_us, libraries_us;
        size_t free_bytes;
        size_t free_after; /* the last time: what could not be given back */
};

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct trim *t = userdata;
        size_t before = mallinfo2().fordblks;

        /* fordblks counts what was given back already, too. */
        if (before > t->free_after + t->free_bytes) {
                int r;

                json_memory_drop();
                r = malloc_trim(1 << 20);
                t->free_after = mallinfo2().fordblks;
                t->tick_us = r ? TICK_US : MIN(2 * t->tick_us, (uint64_t)TICK_US_MAX);
        } else if (before < t->free_after)
                t->free_after = before;
        (void)sd_event_source_set_time_relative(source, t->tick_us);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int trim_new(struct trim **ret, sd_event *event, size_t free_bytes) {
        struct trim *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        t->tick_us = TICK_US;
        t->free_bytes = free_bytes;
        r = sd_event_add_time_relative(
                        event, &t->timer, CLOCK_MONOTONIC, TICK_US, TICK_US / 4, on_tick, t);
        if (r < 0) {
                trim_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

static int on_libraries(sd_event_source *source, uint64_t usec, void *userdata) {
        struct trim *t = userdata;

        library_pages_release();
        t->libraries_us = MIN(2 * t->libraries_us, (uint64_t)LIBRARIES_US_MAX);
        (void)sd_event_source_set_time_relative(source, t->libraries_us);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int trim_libraries(struct trim *t) {
        t->libraries_us = LIBRARIES_FIRST_US;
        return sd_event_add_time_relative(sd_event_source_get_event(t->timer), &t->libraries,
                        CLOCK_MONOTONIC, LIBRARIES_FIRST_US, LIBRARIES_FIRST_US / 4, on_libraries,
                        t);
}

struct trim *trim_free(struct trim *t) {
        if (!t)
                return NULL;
        sd_event_source_disable_unref(t->libraries);
        sd_event_source_disable_unref(t->timer);
        return mfree(t);
}
