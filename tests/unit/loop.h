/* Running an event loop in a test until something has happened; too long fails the test. */
#pragma once

#include <systemd/sd-event.h>
#include <time.h>

#include "tests/unit/unit.h"

static inline uint64_t loop_now_ms(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Turns the loop until the condition holds. */
#define loop_until(event, condition)                                                               \
        do {                                                                                       \
                uint64_t _end = loop_now_ms() + 10000;                                             \
                while (!(condition)) {                                                             \
                        assert_true(sd_event_run((event), 20000) >= 0);                            \
                        if (loop_now_ms() > _end)                                                  \
                                fail_msg("not within 10 s: %s", #condition);                       \
                }                                                                                  \
        } while (0)

/* Turns the loop for a while: for things that must not happen. */
static inline void loop_for_ms(sd_event *event, uint64_t ms) {
        uint64_t end = loop_now_ms() + ms;

        while (loop_now_ms() < end)
                assert_true(sd_event_run(event, 2000) >= 0);
}
