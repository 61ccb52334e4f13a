/* How requests wait until the caches are fresh enough. A linearizable read asks the store for its
 * revision, once for all that came in the same turn of the loop: the question is made in a turn of
 * its own. Those that come while a question is under way share the next one, because the answer
 * under way may be from before them. */
#include "kapid/cache/internal.h"

static struct wait *wait_free(struct wait *w) {
        sd_event_source_disable_unref(w->timer);
        return mfree(w);
}

static void wait_end(struct wait *w, int error) {
        caches_func func = w->func;
        void *userdata = w->userdata;

        wait_free(w);
        func(error, userdata);
}

/* Callers may start new waits from within: the due ones are taken out first. */
void freshness_end_due(struct caches *cs) {
        struct wait_list due = LIST_HEAD_INITIALIZER(due);
        struct wait *w, *next;

        for (w = LIST_FIRST(&cs->waits); w; w = next) {
                next = LIST_NEXT(w, entry);
                if (w->revision > cs->revision)
                        continue;
                LIST_REMOVE(w, entry);
                LIST_INSERT_HEAD(&due, w, entry);
        }
        while ((w = LIST_FIRST(&due))) {
                LIST_REMOVE(w, entry);
                wait_end(w, 0);
        }
}

static int on_wait_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct wait *w = userdata;

        LIST_REMOVE(w, entry);
        wait_end(w, -ETIMEDOUT);
        return 0;
}

static int wait_start(struct caches *cs, struct wait *w) {
        int r;

        if (w->revision <= cs->revision && cs->loaded) {
                wait_end(w, 0);
                return 0;
        }
        r = sd_event_add_time_relative(cs->event, &w->timer, CLOCK_MONOTONIC, w->timeout_us, 0,
                        on_wait_timeout, w);
        if (r < 0) {
                wait_end(w, r);
                return 0;
        }
        LIST_INSERT_HEAD(&cs->waits, w, entry);
        return 0;
}

static struct wait *wait_new(struct caches *cs, caches_func func, void *userdata) {
        struct wait *w = calloc(1, sizeof(*w));

        if (w)
                *w = (struct wait){.caches = cs, .func = func, .userdata = userdata};
        return w;
}

int caches_wait(struct caches *cs, uint64_t revision, uint64_t timeout_us, caches_func func,
                void *userdata) {
        struct wait *w = wait_new(cs, func, userdata);

        if (!w)
                return -ENOMEM;
        w->revision = revision;
        w->timeout_us = timeout_us;
        return wait_start(cs, w);
}

static void ask_index(struct caches *cs);

/* Moves all waits; `to` is empty. */
static void take_waits(struct wait_list *to, struct wait_list *from) {
        struct wait *w;

        assert(LIST_EMPTY(to));
        while ((w = LIST_FIRST(from))) {
                LIST_REMOVE(w, entry);
                LIST_INSERT_HEAD(to, w, entry);
        }
}

static void on_index(const struct store_result *res, void *userdata) {
        struct wait_list list = LIST_HEAD_INITIALIZER(list);
        struct caches *cs = userdata;
        struct wait *w;

        take_waits(&list, &cs->asking);
        cs->index_pending = false;
        if (!res->error && cs->loaded && res->revision < cs->asked_at)
                caches_reload(cs); /* a store that was put back to an earlier state */
        if (!LIST_EMPTY(&cs->to_ask))
                ask_index(cs);
        while ((w = LIST_FIRST(&list))) {
                LIST_REMOVE(w, entry);
                w->revision = res->revision;
                if (res->error) /* a question that was not answered did no harm */
                        wait_end(w, res->error == -ETIMEDOUT ? -EHOSTUNREACH : res->error);
                else
                        wait_start(cs, w);
        }
}

static void ask_index(struct caches *cs) {
        struct wait *w;
        int r;

        take_waits(&cs->asking, &cs->to_ask);
        cs->index_pending = true;
        cs->asked_at = cs->revision;
        r = cs->store ? store_read_index(cs->store, on_index, cs) : -EHOSTUNREACH;
        if (r >= 0)
                return;
        cs->index_pending = false;
        while ((w = LIST_FIRST(&cs->asking))) {
                LIST_REMOVE(w, entry);
                wait_end(w, r);
        }
}

static int on_ask_soon(sd_event_source *source, void *userdata) {
        struct caches *cs = userdata;

        cs->ask_soon = sd_event_source_disable_unref(cs->ask_soon);
        if (!cs->index_pending && !LIST_EMPTY(&cs->to_ask))
                ask_index(cs);
        return 0;
}

int caches_freshen(struct caches *cs, caches_func func, void *userdata) {
        struct wait *w = wait_new(cs, func, userdata);

        if (!w)
                return -ENOMEM;
        w->timeout_us = 3 * 1000 * 1000;
        LIST_INSERT_HEAD(&cs->to_ask, w, entry);
        /* A question that left before us may be answered with a revision from before us. */
        if (cs->index_pending || cs->ask_soon)
                return 0;
        if (sd_event_add_defer(cs->event, &cs->ask_soon, on_ask_soon, cs) < 0)
                ask_index(cs);
        return 0;
}

static void waits_free(struct wait_list *list) {
        struct wait *w;

        while ((w = LIST_FIRST(list))) {
                LIST_REMOVE(w, entry);
                wait_free(w);
        }
}

void freshness_done(struct caches *cs) {
        sd_event_source_disable_unref(cs->ask_soon);
        waits_free(&cs->waits);
        waits_free(&cs->asking);
        waits_free(&cs->to_ask);
}
