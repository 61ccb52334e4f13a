/* Answers that are too large to be made at once: they are planned and written in slices of a few
 * milliseconds, as fast as their clients read, while everything else continues. A slow client holds
 * one buffer of ANSWERS_AHEAD bytes; the rest is read from the store when it can leave.
 */
#pragma once

#include <systemd/sd-event.h>

#include "kstored/state/answer.h"
#include "lib/grpc-server.h"

enum {
        ANSWERS_AHEAD = 64 * 1024, /* bytes made ahead of what a client takes */
        ANSWERS_SLICE_US = 2000,   /* of the loop's time, then others have their turn */
        ANSWERS_OF_CONNECTION = 4, /* made at once for one connection; the others wait */
        ANSWERS_MAX = 50000,
        ANSWERS_BYTES_MAX = 128 << 20, /* what all that wait may hold */
        ANSWERS_HOLD_MS = 30000, /* how long a compaction waits for answers that began before it */
};

struct answers;
struct mvcc;

int answers_new(struct answers **ret, sd_event *event);
/* The calls must have ended. */
struct answers *answers_free(struct answers *x);
DEFINE_CLEANUP(struct answers *, answers_free);

/* Sends head and then the answer as one message and ends the call. Takes head and answer, which are
 * empty after it; they are freed also when this is refused: -ENOBUFS, -ENOMEM, the call is still
 * there then. */
int answers_send(struct answers *x, struct grpc_call *call, struct buf *head, struct kv_answer *a);
/* The store that is read from; another one after a snapshot was taken. */
void answers_set_store(struct answers *x, struct mvcc *mvcc);
/* Whether a compaction must not drop rows yet. Ends those that have had their time. */
bool answers_hold(struct answers *x, uint64_t now_ms);
/* Now and then: frees the memory held for clients that do not read. */
void answers_idle(struct answers *x);
size_t answers_count(const struct answers *x);
