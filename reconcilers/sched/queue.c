/* The queue of pods without a node. Active pods and those in back-off are binary heaps, parked ones
 * a list in the order of their parking. */
#include "reconcilers/sched/queue.h"

#include <sys/queue.h>

#include "lib/map.h"
#include "lib/vector.h"

#define BACKOFF_MIN_US UINT64_C(1000000)
#define BACKOFF_MAX_US UINT64_C(10000000)
/* A parked pod is tried again even without an event: a plugin's list of events may be wrong. */
#define PARKED_MAX_US (5 * 60 * UINT64_C(1000000))

enum state { ACTIVE, BACKOFF, PARKED, IN_WORK };

struct entry {
        enum state state;
        int32_t priority;
        uint64_t order;    /* of arrival */
        uint64_t since_us; /* active since, and in work: how long it was active */
        uint64_t tried_us; /* the last attempt */
        uint64_t due_us;   /* in back-off */
        unsigned attempts;
        uint32_t events;
        bool again; /* it changed while it was in work */
        size_t index;
        TAILQ_ENTRY(entry) parked;
        void *payload;
        char key[];
};

struct heap {
        struct entry **items;
        size_t count, allocated;
        bool (*before)(const struct entry *a, const struct entry *b);
};

struct sched_queue {
        struct sched_queue_options options;
        struct map *entries;
        struct heap active, backoff;
        TAILQ_HEAD(, entry) parked;
        size_t parked_count;
        uint64_t order, adds, retries;
};

/* --- heaps --- */

static bool before_active(const struct entry *a, const struct entry *b) {
        return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

static bool before_backoff(const struct entry *a, const struct entry *b) {
        return a->due_us < b->due_us;
}

static void heap_set(struct heap *h, size_t i, struct entry *e) {
        h->items[i] = e;
        e->index = i;
}

static void heap_rise(struct heap *h, size_t i, struct entry *e) {
        while (i > 0 && h->before(e, h->items[(i - 1) / 2])) {
                heap_set(h, i, h->items[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        heap_set(h, i, e);
}

static void heap_sink(struct heap *h, size_t i, struct entry *e) {
        for (;;) {
                size_t child = 2 * i + 1;

                if (child + 1 < h->count && h->before(h->items[child + 1], h->items[child]))
                        child++;
                if (child >= h->count || !h->before(h->items[child], e))
                        break;
                heap_set(h, i, h->items[child]);
                i = child;
        }
        heap_set(h, i, e);
}

static void heap_add(struct heap *h, struct entry *e) {
        assert(vector_append(h, e) >= 0);
        heap_rise(h, h->count - 1, e);
}

static void heap_remove(struct heap *h, struct entry *e) {
        size_t i = e->index;
        struct entry *last = h->items[--h->count];

        if (last == e)
                return;
        heap_sink(h, i, last);
        heap_rise(h, last->index, last);
}

/* --- states --- */

static void leave(struct sched_queue *q, struct entry *e) {
        if (e->state == ACTIVE)
                heap_remove(&q->active, e);
        else if (e->state == BACKOFF)
                heap_remove(&q->backoff, e);
        else if (e->state == PARKED) {
                TAILQ_REMOVE(&q->parked, e, parked);
                q->parked_count--;
        }
}

static void enter(struct sched_queue *q, struct entry *e, enum state state) {
        e->state = state;
        if (state == ACTIVE)
                heap_add(&q->active, e);
        else if (state == BACKOFF)
                heap_add(&q->backoff, e);
        else if (state == PARKED) {
                TAILQ_INSERT_TAIL(&q->parked, e, parked);
                q->parked_count++;
        }
}

static void move(struct sched_queue *q, struct entry *e, enum state state) {
        leave(q, e);
        enter(q, e, state);
}

static void activate(struct sched_queue *q, struct entry *e, uint64_t now_us) {
        if (e->state != ACTIVE) {
                q->adds++;
                e->since_us = now_us;
        }
        move(q, e, ACTIVE);
}

static uint64_t backoff_of(unsigned attempts) {
        unsigned doublings = attempts > 0 ? MIN(attempts - 1, 10u) : 0;

        return MIN(BACKOFF_MIN_US << doublings, BACKOFF_MAX_US);
}

static void set_payload(struct sched_queue *q, struct entry *e, void *payload) {
        if (e->payload && e->payload != payload)
                q->options.free_payload(e->payload, q->options.userdata);
        e->payload = payload;
}

static void entry_free(struct sched_queue *q, struct entry *e) {
        set_payload(q, e, NULL);
        free(e);
}

struct sched_queue *sched_queue_new(const struct sched_queue_options *options) {
        struct sched_queue *q = calloc(1, sizeof(*q));

        assert(q);
        q->options = *options;
        q->entries = map_new(NULL);
        assert(q->entries);
        q->active.before = before_active;
        q->backoff.before = before_backoff;
        TAILQ_INIT(&q->parked);
        return q;
}

struct sched_queue *sched_queue_free(struct sched_queue *q) {
        if (!q)
                return NULL;
        map_foreach (q->entries, e)
                entry_free(q, map_entry_value(e));
        map_free(q->entries);
        vector_done(&q->active);
        vector_done(&q->backoff);
        free(q);
        return NULL;
}

static struct entry *find(const struct sched_queue *q, const char *key) {
        return map_get(q->entries, key);
}

/* --- the caller's side --- */

void sched_queue_put(struct sched_queue *q, const char *key, int32_t priority, uint64_t now_us) {
        struct entry *e = find(q, key);
        size_t n = strlen(key);

        if (!e) {
                e = calloc(1, sizeof(*e) + n + 1);
                assert(e && map_set(q->entries, key, e) >= 0);
                memcpy(e->key, key, n + 1);
                e->order = q->order++;
                e->priority = priority;
                e->since_us = now_us;
                q->adds++;
                enter(q, e, ACTIVE);
                return;
        }
        if (e->state == IN_WORK) {
                e->again = true;
                e->priority = priority;
                return;
        }
        set_payload(q, e, NULL);
        if (e->state == ACTIVE)
                leave(q, e);
        e->priority = priority;
        if (e->state == ACTIVE)
                enter(q, e, ACTIVE);
        else
                activate(q, e, now_us);
}

bool sched_queue_has(const struct sched_queue *q, const char *key) {
        return find(q, key);
}

void sched_queue_remove(struct sched_queue *q, const char *key) {
        struct entry *e = find(q, key);

        if (!e)
                return;
        leave(q, e);
        map_steal(q->entries, key);
        entry_free(q, e);
}

static void make_due(struct sched_queue *q, uint64_t now_us) {
        struct entry *e;

        while (q->backoff.count > 0 && q->backoff.items[0]->due_us <= now_us)
                activate(q, q->backoff.items[0], now_us);
        while ((e = TAILQ_FIRST(&q->parked)) && e->tried_us + PARKED_MAX_US <= now_us)
                activate(q, e, now_us);
}

const char *sched_queue_pop(struct sched_queue *q, uint64_t now_us) {
        struct entry *e;

        make_due(q, now_us);
        if (q->active.count == 0)
                return NULL;
        e = q->active.items[0];
        e->since_us = now_us - MIN(now_us, e->since_us);
        move(q, e, IN_WORK);
        return e->key;
}

void *sched_queue_payload(const struct sched_queue *q, const char *key) {
        const struct entry *e = find(q, key);

        return e ? e->payload : NULL;
}

void sched_queue_set_payload(struct sched_queue *q, const char *key, void *payload) {
        struct entry *e = find(q, key);

        assert(e && e->state == IN_WORK);
        set_payload(q, e, payload);
}

/* The end of work that did not place the pod. */
static bool changed_meanwhile(struct sched_queue *q, struct entry *e, uint64_t now_us) {
        assert(e->state == IN_WORK);
        e->attempts++;
        e->tried_us = now_us;
        if (!e->again)
                return false;
        e->again = false;
        set_payload(q, e, NULL);
        activate(q, e, now_us);
        return true;
}

void sched_queue_park(struct sched_queue *q, const char *key, uint32_t events, uint64_t now_us) {
        struct entry *e = find(q, key);

        if (!e || changed_meanwhile(q, e, now_us))
                return;
        e->events = events;
        move(q, e, PARKED);
}

void sched_queue_retry(struct sched_queue *q, const char *key, uint64_t now_us) {
        struct entry *e = find(q, key);

        if (!e || changed_meanwhile(q, e, now_us))
                return;
        q->retries++;
        e->due_us = now_us + backoff_of(e->attempts);
        move(q, e, BACKOFF);
}

void sched_queue_wake(struct sched_queue *q, uint32_t events, uint64_t now_us,
                bool (*may_help)(const char *key, void *payload, uint32_t *waits_for,
                                void *userdata),
                void *userdata) {
        struct entry *e, *next;

        for (e = TAILQ_FIRST(&q->parked); e; e = next) {
                next = TAILQ_NEXT(e, parked);
                if (!(e->events & events))
                        continue;
                if (may_help && !may_help(e->key, e->payload, &e->events, userdata))
                        continue;
                /* The first retry is immediate: a node that has just joined is used at once. */
                e->due_us = e->attempts <= 1 ? now_us : e->tried_us + backoff_of(e->attempts - 1);
                if (e->due_us <= now_us)
                        activate(q, e, now_us);
                else
                        move(q, e, BACKOFF);
        }
}

uint64_t sched_queue_next_us(const struct sched_queue *q) {
        const struct entry *e = TAILQ_FIRST(&q->parked);
        uint64_t next = e ? e->tried_us + PARKED_MAX_US : UINT64_MAX;

        return q->backoff.count > 0 ? MIN(next, q->backoff.items[0]->due_us) : next;
}

bool sched_queue_is_ready(const struct sched_queue *q, uint64_t now_us) {
        return q->active.count > 0 || sched_queue_next_us(q) <= now_us;
}

uint64_t sched_queue_waited_us(const struct sched_queue *q, const char *key) {
        const struct entry *e = find(q, key);

        assert(e && e->state == IN_WORK);
        return e->since_us;
}

struct sched_queue_counts sched_queue_counts(const struct sched_queue *q) {
        return (struct sched_queue_counts){.active = q->active.count,
                        .backoff = q->backoff.count,
                        .parked = q->parked_count,
                        .adds = q->adds,
                        .retries = q->retries};
}
