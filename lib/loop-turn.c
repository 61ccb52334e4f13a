/* A new deferred source for each turn: it lines up behind what is pending. That takes no system
 * call, and no more time than to enable an old one. */
#include "lib/loop-turn.h"

struct loop_turn {
        sd_event *event;
        sd_event_source *source; /* the last one; it serves again where there is no memory */
        int64_t priority;
        loop_turn_func func;
        void *userdata;
        bool asked;
};

static int on_turn(sd_event_source *source, void *userdata) {
        struct loop_turn *t = userdata;

        t->asked = false;
        t->func(t->userdata); /* t may be gone after it */
        return 0;
}

static int source_new(struct loop_turn *t, sd_event_source **ret) {
        sd_event_source *source = NULL;
        int r = sd_event_add_defer(t->event, &source, on_turn, t);

        if (r < 0)
                return r;
        r = sd_event_source_set_priority(source, t->priority);
        if (r < 0) {
                sd_event_source_disable_unref(source);
                return r;
        }
        *ret = source;
        return 0;
}

int loop_turn_new(struct loop_turn **ret, sd_event *event, int64_t priority, loop_turn_func func,
                void *userdata) {
        _cleanup_(loop_turn_freep) struct loop_turn *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        *t = (struct loop_turn){.event = sd_event_ref(event),
                        .priority = priority,
                        .func = func,
                        .userdata = userdata};
        r = source_new(t, &t->source);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

struct loop_turn *loop_turn_free(struct loop_turn *t) {
        if (!t)
                return NULL;
        sd_event_source_disable_unref(t->source);
        sd_event_unref(t->event);
        return mfree(t);
}

void loop_turn_ask(struct loop_turn *t) {
        sd_event_source *fresh;

        if (t->asked)
                return;
        t->asked = true;
        if (source_new(t, &fresh) < 0) {
                (void)sd_event_source_set_enabled(t->source, SD_EVENT_ONESHOT);
                return;
        }
        sd_event_source_disable_unref(t->source);
        t->source = fresh;
}

void loop_turn_drop(struct loop_turn *t) {
        t->asked = false;
        (void)sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
}
