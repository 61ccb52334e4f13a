/* Two lists and one timer. */
#include "reconcilers/gitsync/slots.h"

#include "lib/timefmt.h"

#define BUSY_FOR_US UINT64_C(60000000)

/* When it no longer counts as busy if nothing more comes. */
static uint64_t gives_up_us(const struct slots *s, const struct slot *i) {
        return MIN(i->heard_us + s->quiet_after_us, i->started_us + s->busy_for_us);
}

static void arm(struct slots *s) {
        uint64_t next = UINT64_MAX;
        struct slot *i;

        TAILQ_FOREACH(i, &s->running, link)
        if (i->state == SLOT_BUSY)
                next = MIN(next, gives_up_us(s, i));
        if (next == UINT64_MAX || TAILQ_EMPTY(&s->waiting)) {
                (void)sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(s->timer, next);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void look_for_quiet(struct slots *s) {
        uint64_t now = now_mono_us();
        struct slot *i;

        TAILQ_FOREACH(i, &s->running, link)
        if (i->state == SLOT_BUSY && now >= gives_up_us(s, i)) {
                i->state = SLOT_QUIET;
                s->busy--;
                s->quiet++;
        }
}

/* go() may leave again at once, or ask for another. */
static void start_next(struct slots *s) {
        struct slot *i;

        if (!TAILQ_EMPTY(&s->waiting))
                look_for_quiet(s);
        while ((i = TAILQ_FIRST(&s->waiting)) && s->busy < s->busy_max &&
                        s->busy + s->quiet < s->all_max) {
                TAILQ_REMOVE(&s->waiting, i, link);
                TAILQ_INSERT_TAIL(&s->running, i, link);
                i->state = SLOT_BUSY;
                i->heard_us = i->started_us = now_mono_us();
                s->busy++;
                i->go(i->userdata);
        }
        arm(s);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        start_next(userdata);
        return 0;
}

int slots_init(struct slots *s, sd_event *event, unsigned busy_max, unsigned all_max,
                uint64_t quiet_after_us) {
        int r;

        *s = (struct slots){.busy_max = busy_max,
                        .all_max = all_max,
                        .quiet_after_us = quiet_after_us,
                        .busy_for_us = BUSY_FOR_US};
        TAILQ_INIT(&s->waiting);
        TAILQ_INIT(&s->running);
        r = sd_event_add_time(event, &s->timer, CLOCK_MONOTONIC, 0, 10000, on_timer, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
}

void slots_done(struct slots *s) {
        s->timer = sd_event_source_disable_unref(s->timer);
}

void slot_ask(struct slots *s, struct slot *slot, void (*go)(void *userdata), void *userdata) {
        if (slot->state != SLOT_NONE)
                return;
        slot->slots = s;
        slot->state = SLOT_WAITING;
        slot->go = go;
        slot->userdata = userdata;
        TAILQ_INSERT_TAIL(&s->waiting, slot, link);
        start_next(s);
}

void slot_heard(struct slot *slot) {
        slot->heard_us = now_mono_us();
        if (slot->state != SLOT_QUIET ||
                        slot->heard_us >= slot->started_us + slot->slots->busy_for_us)
                return;
        /* At work again, even if that makes one more than there should be: it is not stopped. */
        slot->state = SLOT_BUSY;
        slot->slots->quiet--;
        slot->slots->busy++;
}

void slot_leave(struct slot *slot) {
        struct slots *s = slot->slots;

        switch (slot->state) {
        case SLOT_NONE:
                return;
        case SLOT_WAITING:
                TAILQ_REMOVE(&s->waiting, slot, link);
                break;
        case SLOT_BUSY:
        case SLOT_QUIET:
                TAILQ_REMOVE(&s->running, slot, link);
                if (slot->state == SLOT_BUSY)
                        s->busy--;
                else
                        s->quiet--;
        }
        slot->state = SLOT_NONE;
        start_next(s);
}
