/* systemctl set-property writes its changes of a transient unit as drop-ins beside it, so the
 * folder of transient units is watched. */
#include "nodeagent/unit-watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include "lib/log.h"

#define SYSTEMD_DIR "/run/systemd"
#define TRANSIENT_NAME "transient"
#define TRANSIENT_DIR SYSTEMD_DIR "/" TRANSIENT_NAME
enum {
        CHECK_US = 60 * 1000000,
        DRIFT_DELAY_US = 300000, /* one command writes several files */
};

struct unit_watch {
        sd_event *event;
        sd_event_source *check; /* the next comparison */
        sd_event_source *folder;
        bool is_parent; /* what is watched is the folder's parent */
        void (*on_check)(void *userdata);
        void *userdata;
};

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct unit_watch *w = userdata;

        w->on_check(w->userdata);
        (void)sd_event_source_set_time_relative(s, CHECK_US);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

static int on_drop_in(sd_event_source *s, const struct inotify_event *event, void *userdata) {
        struct unit_watch *w = userdata;
        const char *name = event->len > 0 ? event->name : "";

        /* A folder of drop-ins itself, or a new one among the transient units. */
        if (startswith(name, "kpod-") && !endswith(name, ".d"))
                return 0;
        if (startswith(name, "kpod-")) {
                _cleanup_free_ char *path = strformat("%s/%s", TRANSIENT_DIR, name);

                if (path && (event->mask & IN_CREATE))
                        (void)sd_event_add_inotify(w->event, NULL, path,
                                        IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR, on_drop_in, w);
        } else if (!endswith(name, ".conf"))
                return 0;
        (void)sd_event_source_set_time_relative(w->check, DRIFT_DELAY_US);
        (void)sd_event_source_set_enabled(w->check, SD_EVENT_ONESHOT);
        return 0;
}

static void watch_folder(struct unit_watch *w);

/* systemd makes the folder with the first transient unit since the machine's start. */
static int on_folder(sd_event_source *s, const struct inotify_event *event, void *userdata) {
        if (event->len > 0 && streq(event->name, TRANSIENT_NAME))
                watch_folder(userdata);
        return 0;
}

static void watch_folder(struct unit_watch *w) {
        int r;

        sd_event_source_disable_unref(w->folder);
        w->folder = NULL;
        r = sd_event_add_inotify(
                        w->event, &w->folder, TRANSIENT_DIR, IN_CREATE | IN_ONLYDIR, on_drop_in, w);
        w->is_parent = r == -ENOENT;
        if (w->is_parent)
                r = sd_event_add_inotify(w->event, &w->folder, SYSTEMD_DIR, IN_CREATE | IN_ONLYDIR,
                                on_folder, w);
        if (r < 0)
                log_warning_errno(r, "Changes of units are noticed once a minute only: cannot "
                                     "watch " TRANSIENT_DIR);
        else if (w->is_parent && access(TRANSIENT_DIR, F_OK) >= 0) /* made meanwhile */
                watch_folder(w);
}

int unit_watch_new(struct unit_watch **ret, sd_event *event, void (*on_check)(void *userdata),
                void *userdata) {
        _cleanup_(unit_watch_freep) struct unit_watch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->event = event;
        w->on_check = on_check;
        w->userdata = userdata;
        r = sd_event_add_time_relative(event, &w->check, CLOCK_MONOTONIC, CHECK_US,
                        /* accuracy= */ 0, on_timer, w);
        if (r < 0)
                return r;
        watch_folder(w);
        *ret = TAKE_PTR(w);
        return 0;
}

struct unit_watch *unit_watch_free(struct unit_watch *w) {
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->check);
        sd_event_source_disable_unref(w->folder);
        free(w);
        return NULL;
}
