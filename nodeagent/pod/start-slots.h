/* How many containers may be started at a time. For each start systemd makes a mount namespace and
 * reads its table of mounts, under one lock of the kernel, some dozen times: hundreds at the same
 * time hinder each other until none comes through. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        START_SLOTS_MAX = 64,
        /* A slot is free again when its container has been started, or after this time ... */
        START_SLOT_US = 60000000,
        /* ... which is shorter for one that reports itself when it is ready: that may take long. */
        START_SLOT_NOTIFY_US = 5000000,
};

struct start_slots {
        struct {
                const void *owner;
                uint64_t until_us; /* monotonic */
        } taken[START_SLOTS_MAX];
        size_t count, max;
};

/* For a machine with so many processors. */
void start_slots_init(struct start_slots *s, long processors);
bool start_slots_are_full(struct start_slots *s, uint64_t now_us);
/* Also when they are full: a pod starts its containers together, but at most START_SLOTS_MAX count.
 * An owner has one slot; a new time replaces its old one. */
void start_slots_take(struct start_slots *s, const void *owner, uint64_t until_us);
/* An owner without one is fine. */
void start_slots_release(struct start_slots *s, const void *owner);
/* When the first slot is free at the latest; 0: none is taken. */
uint64_t start_slots_next_us(const struct start_slots *s);
