/* Two lists and one timer. */
#include "reconcilers/gitsync/turns.h"

#include "lib/timefmt.h"

#define BUSY_FOR_US UINT64_C(60000000)

/* When it no longer counts as busy if nothing more comes. */
static uint64_t gives_up_us(const struct fetch_turns *s, const struct fetch_turn *i) {
        return MIN(i->heard_us + s->quiet_after_us, i->started_us + s->busy_for_us);
}

static void arm(struct fetch_turns *s) {
        uint64_t next = UINT64_MAX;
        struct fetch_turn *i;

        TAILQ_FOREACH(i, &s->running, link)
        if (i->state == TURN_BUSY)
                next = MIN(next, gives_up_us(s, i));
        if (next == UINT64_MAX || TAILQ_EMPTY(&s->waiting)) {
                (void)sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(s->timer, next);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void look_for_quiet(struct fetch_turns *s) {
        uint64_t now = now_mono_us();
        struct fetch_turn *i;

        TAILQ_FOREACH(i, &s->running, link)
        if (i->state == TURN_BUSY && now >= gives_up_us(s, i)) {
                i->state = TURN_QUIET;
                s->busy--;
                s->quiet++;
        }
}

/* go() may leave again at once, or ask for another. */
static void start_next(struct fetch_turns *s) {
        struct fetch_turn *i;

        if (!TAILQ_EMPTY(&s->waiting))
                look_for_quiet(s);
        while ((i = TAILQ_FIRST(&s->waiting)) && s->busy < s->busy_max &&
                        s->busy + s->quiet < s->all_max) {
                TAILQ_REMOVE(&s->waiting, i, link);
                TAILQ_INSERT_TAIL(&s->running, i, link);
                i->state = TURN_BUSY;
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

int turns_init(struct fetch_turns *s, sd_event *event, unsigned busy_max, unsigned all_max,
                uint64_t quiet_after_us) {
        int r;

        *s = (struct fetch_turns){.busy_max = busy_max,
                        .all_max = all_max,
                        .quiet_after_us = quiet_after_us,
                        .busy_for_us = BUSY_FOR_US};
        TAILQ_INIT(&s->waiting);
        TAILQ_INIT(&s->running);
        r = sd_event_add_time(event, &s->timer, CLOCK_MONOTONIC, 0, 10000, on_timer, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
}

void turns_done(struct fetch_turns *s) {
        s->timer = sd_event_source_disable_unref(s->timer);
}

void turn_ask(struct fetch_turns *s, struct fetch_turn *turn, void (*go)(void *userdata),
                void *userdata) {
        if (turn->state != TURN_NONE)
                return;
        turn->turns = s;
        turn->state = TURN_WAITING;
        turn->go = go;
        turn->userdata = userdata;
        TAILQ_INSERT_TAIL(&s->waiting, turn, link);
        start_next(s);
}

void turn_heard(struct fetch_turn *turn) {
        turn->heard_us = now_mono_us();
        if (turn->state != TURN_QUIET ||
                        turn->heard_us >= turn->started_us + turn->turns->busy_for_us)
                return;
        /* Busy again, even if that exceeds the limit by one: a fetch is not stopped. */
        turn->state = TURN_BUSY;
        turn->turns->quiet--;
        turn->turns->busy++;
}

void turn_leave(struct fetch_turn *turn) {
        struct fetch_turns *s = turn->turns;

        switch (turn->state) {
        case TURN_NONE:
                return;
        case TURN_WAITING:
                TAILQ_REMOVE(&s->waiting, turn, link);
                break;
        case TURN_BUSY:
        case TURN_QUIET:
                TAILQ_REMOVE(&s->running, turn, link);
                if (turn->state == TURN_BUSY)
                        s->busy--;
                else
                        s->quiet--;
        }
        turn->state = TURN_NONE;
        start_next(s);
}
