/* Waking pods. A pod is looked at from one deferred event source, so that it is looked at once per
 * turn of the loop, however many signals come. */
#include "nodeagent/pod/pod.h"

enum { ACCURACY_US = 20000 };

void pod_wake(struct pod *p) {
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

int pods_on_defer(sd_event_source *s, void *userdata) {
        struct pods *all = userdata;

        /* Not before the runtime has listed its units. */
        if (!all->units_listed)
                return 0;
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (!p->waking.dirty)
                        continue;
                p->waking.dirty = false;
                /* A look may free the pod: nothing may touch it after this. */
                pod_look(p);
        }
        return 0;
}

void pod_waking_done(struct pod *p) {
        sd_event_source_disable_unref(p->waking.timer);
}
