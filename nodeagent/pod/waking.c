/* Waking pods. Pods that were woken are in a list, which is worked off in turns of the loop: a pod
 * is looked at once per turn of the loop, however many signals come, and a turn ends after
 * TURN_US, however many pods there are. Pods whose containers wait for a slot (start-slots.h) are
 * in another list, and are woken in its order. */
#include "nodeagent/pod/pod.h"

#include "lib/timefmt.h"
#include "nodeagent/eviction-plan.h"

enum { ACCURACY_US = 20000, TURN_US = 20000 };

void pod_wake(struct pod *p) {
        if (!p->waking.dirty)
                TAILQ_INSERT_TAIL(&p->pods->dirty, p, waking.others);
        p->waking.dirty = true;
        loop_turn_ask(p->pods->turn);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct pod *p = userdata;

        p->waking.at_us = 0;
        pod_wake(p);
        return 0;
}

void pod_wake_at(struct pod *p, uint64_t mono_us) {
        struct pod_waking *w = &p->waking;

        if (w->at_us != 0 && w->at_us <= mono_us)
                return;
        w->at_us = mono_us;
        if (!w->timer) {
                (void)sd_event_add_time(p->pods->agent->event, &w->timer, CLOCK_MONOTONIC, mono_us,
                                ACCURACY_US, on_timer, p);
                return;
        }
        (void)sd_event_source_set_time(w->timer, mono_us);
        (void)sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void sleep_again(struct pod *p) {
        if (p->waking.dirty)
                TAILQ_REMOVE(&p->pods->dirty, p, waking.others);
        p->waking.dirty = false;
}

void pod_want_slot(struct pod *p) {
        struct pods *all = p->pods;

        if (p->waking.wants_slot)
                return;
        p->waking.wants_slot = true;
        if (eviction_pod_is_critical(p->object))
                TAILQ_INSERT_HEAD(&all->want_slots, p, waking.slot_others);
        else
                TAILQ_INSERT_TAIL(&all->want_slots, p, waking.slot_others);
}

static void want_no_slot(struct pod *p) {
        if (p->waking.wants_slot)
                TAILQ_REMOVE(&p->pods->want_slots, p, waking.slot_others);
        p->waking.wants_slot = false;
}

static int on_slot_timer(sd_event_source *s, uint64_t usec, void *userdata);

/* Wakes as many as there are free slots: those that want none any longer leave theirs to the next
 * ones, when they have been looked at. */
static void give_slots(struct pods *all) {
        bool full = start_slots_are_full(&all->slots, now_mono_us());
        uint64_t next_us = start_slots_next_us(&all->slots);
        struct pod *p;

        for (size_t n = all->slots.count; n < all->slots.max; n++) {
                p = TAILQ_FIRST(&all->want_slots);
                if (!p)
                        return;
                want_no_slot(p);
                pod_wake(p);
        }
        if (!full || TAILQ_EMPTY(&all->want_slots))
                return;
        if (!all->slot_timer) {
                (void)sd_event_add_time(all->agent->event, &all->slot_timer, CLOCK_MONOTONIC,
                                next_us, ACCURACY_US, on_slot_timer, all);
                return;
        }
        (void)sd_event_source_set_time(all->slot_timer, next_us);
        (void)sd_event_source_set_enabled(all->slot_timer, SD_EVENT_ONESHOT);
}

static int on_slot_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        give_slots(userdata);
        return 0;
}

void pods_on_turn(void *userdata) {
        struct pods *all = userdata;
        uint64_t end = now_mono_us() + TURN_US;
        struct pod *p, *last = TAILQ_LAST(&all->dirty, pods_dirty);
        bool more = all->units_listed;

        /* Not before the runtime has listed its units. Those that a look wakes have their turn. */
        while (more && (p = TAILQ_FIRST(&all->dirty))) {
                more = p != last && now_mono_us() < end;
                sleep_again(p);
                /* It may free the pod: nothing may touch it after this. */
                pod_look(p);
        }
        give_slots(all);
        if (all->units_listed && !TAILQ_EMPTY(&all->dirty))
                loop_turn_ask(all->turn);
}

void pod_waking_done(struct pod *p) {
        sleep_again(p);
        want_no_slot(p);
        sd_event_source_disable_unref(p->waking.timer);
}
