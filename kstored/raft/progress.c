/* The leader's view of one member: how far it matches, what is in flight. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <string.h>

/* The next index to send is above the matched one; the window's counts agree with its content. */
static void check(const struct progress *p) {
        assert(p->next > p->match);
        assert(p->inflight_count <= RAFT_INFLIGHT_MAX);
        assert(p->inflight_count > 0 || p->inflight_bytes == 0);
}

static void inflight_clear(struct progress *p) {
        p->inflight_start = p->inflight_count = 0;
        p->inflight_bytes = 0;
}

void progress_reset(struct progress *p, uint64_t next) {
        p->match = 0;
        p->next = next;
        p->state = PROGRESS_PROBE;
        p->paused = false;
        p->snapshot_index = 0;
        p->read_ack = 0;
        inflight_clear(p);
        check(p);
}

void progress_become_probe(struct progress *p) {
        if (p->state == PROGRESS_SNAPSHOT && p->snapshot_index > p->match)
                p->next = p->snapshot_index + 1;
        else
                p->next = p->match + 1;
        p->state = PROGRESS_PROBE;
        p->paused = false;
        p->snapshot_index = 0;
        inflight_clear(p);
        check(p);
}

void progress_become_replicate(struct progress *p) {
        p->state = PROGRESS_REPLICATE;
        p->paused = false;
        p->snapshot_index = 0;
        p->next = p->match + 1;
        inflight_clear(p);
        check(p);
}

void progress_become_snapshot(struct progress *p, uint64_t index) {
        p->state = PROGRESS_SNAPSHOT;
        p->snapshot_index = index;
        p->paused = false;
        inflight_clear(p);
        check(p);
}

bool progress_paused(const struct progress *p) {
        switch (p->state) {
        case PROGRESS_PROBE:
                return p->paused;
        case PROGRESS_REPLICATE:
                return p->inflight_count == RAFT_INFLIGHT_MAX ||
                       p->inflight_bytes >= RAFT_INFLIGHT_BYTES_MAX;
        case PROGRESS_SNAPSHOT:
                return true;
        }
        return true;
}

void progress_sent(struct progress *p, uint64_t last, size_t bytes) {
        unsigned slot = (p->inflight_start + p->inflight_count) % RAFT_INFLIGHT_MAX;

        assert(p->state == PROGRESS_REPLICATE && p->inflight_count < RAFT_INFLIGHT_MAX);
        p->inflight[slot].last = last;
        p->inflight[slot].bytes = bytes;
        p->inflight_count++;
        p->inflight_bytes += bytes;
        check(p);
}

void progress_free_to(struct progress *p, uint64_t index) {
        while (p->inflight_count > 0 && p->inflight[p->inflight_start].last <= index) {
                p->inflight_bytes -= p->inflight[p->inflight_start].bytes;
                p->inflight_start = (p->inflight_start + 1) % RAFT_INFLIGHT_MAX;
                p->inflight_count--;
        }
        check(p);
}

bool progress_update(struct progress *p, uint64_t match) {
        bool news = match > p->match;

        if (news) {
                p->match = match;
                p->paused = false;
        }
        if (p->next <= match)
                p->next = match + 1;
        check(p);
        return news;
}
