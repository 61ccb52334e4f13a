/* Every INTERVAL the revision that was current one interval ago is compacted: pages of a list and
 * watches that resume have at least that long. Several kapids may do it; the store ignores what is
 * compacted already. */
#include "kapid/store/compact.h"

#include "lib/log.h"

enum { INTERVAL_US = 5 * 60 * 1000 * 1000 };

struct compact {
        struct api *api;
        sd_event_source *timer;
        uint64_t last;
};

static void on_compacted(const struct store_result *res, void *userdata) {
        if (res->error && !strstr(res->message, "compacted"))
                log_debug_errno(res->error, "The store was not compacted: %s", res->message);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct compact *c = userdata;
        uint64_t now = caches_revision(c->api->caches);

        if (c->last > 0 && store_is_connected(c->api->store))
                (void)store_compact(c->api->store, c->last, on_compacted, NULL);
        c->last = now;
        (void)sd_event_source_set_time_relative(source, INTERVAL_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int compact_start(struct compact **ret, struct api *a) {
        struct compact *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->api = a;
        r = sd_event_add_time_relative(a->event, &c->timer, CLOCK_MONOTONIC, INTERVAL_US,
                        10 * 1000 * 1000, on_timer, c);
        if (r < 0) {
                free(c);
                return r;
        }
        *ret = c;
        return 0;
}

struct compact *compact_free(struct compact *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->timer);
        return mfree(c);
}
