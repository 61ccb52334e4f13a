/* Waking pods. Pods that were woken are in a list, which one deferred event source works off: a pod
 * is looked at once per turn of the loop, however many signals come, and a turn ends after
 * TURN_US, however many pods there are. */
#include "nodeagent/pod/pod.h"

#include "lib/timefmt.h"

enum { ACCURACY_US = 20000, TURN_US = 20000 };

void pod_wake(struct pod *p) {
        if (!p->waking.dirty)
                TAILQ_INSERT_TAIL(&p->pods->dirty, p, waking.others);
        p->waking.dirty = true;
        (void)sd_event_source_set_enabled(p->pods->defer, SD_EVENT_ONESHOT);
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

int pods_on_defer(sd_event_source *s, void *userdata) {
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
        if (all->units_listed && !TAILQ_EMPTY(&all->dirty))
                (void)sd_event_source_set_enabled(all->defer, SD_EVENT_ONESHOT);
        return 0;
}

void pod_waking_done(struct pod *p) {
        sleep_again(p);
        sd_event_source_disable_unref(p->waking.timer);
}
