/* Lists the store when its folder of names has changed, since other processes put images into it
 * (keelson-image, kctl image); frees disk space every five minutes, as the kubelet does. Images are
 * moved aside here; keelson-image deletes them. */
#include "nodeagent/image-care.h"

#include <sys/stat.h>

#include "lib/log.h"
#include "lib/timefmt.h"
#include "nodeagent/image-pulls.h"
#include "nodeagent/image/gc.h"
#include "nodeagent/image/store.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/pods.h"

enum { PERIOD_US = 300 * 1000000, ACCURACY_US = 1000000 };
#define NAMES_DIR IMAGE_STORE_DIR "/names"

struct image_care {
        struct agent *agent;
        sd_event_source *timer;
        struct timespec seen; /* when the folder of names was changed; 0: never listed */
        json_t *status;       /* Node.status.images */
        struct metric *count, *bytes, *removed;
};

/* ---- what there is ---- */

static void count_images(struct image_care *c, const json_t *records) {
        const json_t *v;
        double bytes = 0;
        size_t i;

        json_array_foreach (records, i, v)
                bytes += (double)json_int_or(v, "size", 0);
        metric_set(c->count, (double)json_array_size(records));
        metric_set(c->bytes, bytes);
}

const json_t *image_care_status(struct image_care *c) {
        _cleanup_json_ json_t *records = NULL;
        struct stat st;
        json_t *status;
        int r;

        if (stat(NAMES_DIR, &st) < 0)
                return c->status;
        if (st.st_mtim.tv_sec == c->seen.tv_sec && st.st_mtim.tv_nsec == c->seen.tv_nsec)
                return c->status;
        r = image_store_list(c->agent->images, &records);
        if (r < 0) {
                log_warning_errno(r, "Cannot list the images of this machine");
                return c->status;
        }
        status = node_images(records);
        if (!status)
                return c->status;
        count_images(c, records);
        json_decref(c->status);
        c->status = status;
        c->seen = st.st_mtim;
        return c->status;
}

/* ---- removing ---- */

static void remove_images(struct image_care *c, const json_t *ids) {
        const json_t *v;
        size_t i, removed = 0;

        json_array_foreach (ids, i, v) {
                const char *id = strempty(json_string_value(v));
                int r = image_store_remove(c->agent->images, id);

                if (r < 0 && r != -ENOENT) {
                        log_warning_errno(r, "Cannot remove the image %s", id);
                        continue;
                }
                log_info("Removed the image %s: no pod uses it, and the disk is full or its time "
                         "is over",
                                id);
                removed++;
        }
        metric_add(c->removed, (double)removed);
        if (removed > 0)
                image_pulls_sweep(c->agent->pulls);
}

/* More is wanted than images can give. */
static void warn_full(struct image_care *c, const struct image_gc_plan *plan) {
        const struct agent *a = c->agent;

        log_warning("The disk of " IMAGE_STORE_DIR
                    " is full: %llu bytes of images should be removed, %llu are not in use",
                        (unsigned long long)plan->wanted_bytes,
                        (unsigned long long)plan->freed_bytes);
        if (a->api && a->node && node_object(a->node))
                api_event(a->api, node_object(a->node), "Warning", "FreeDiskSpaceFailed",
                                "Failed to garbage collect required amount of images. Attempted to "
                                "free %llu bytes, but only found %llu bytes eligible to free.",
                                (unsigned long long)plan->wanted_bytes,
                                (unsigned long long)plan->freed_bytes);
}

static int collect(struct image_care *c) {
        _cleanup_(image_gc_plan_done) struct image_gc_plan plan = {0};
        _cleanup_json_ json_t *records = NULL, *in_use = pods_images(c->agent->pods);
        struct image_gc_disk disk;
        int r;

        if (!in_use)
                return -ENOMEM;
        r = image_store_list(c->agent->images, &records);
        if (r < 0)
                return r;
        r = image_store_disk(c->agent->images, &disk.size_bytes, &disk.free_bytes);
        if (r < 0)
                return r;
        r = image_gc_decide(records, in_use, &disk, &image_gc_policy_default, now_wall_us(), &plan);
        if (r < 0)
                return r;
        remove_images(c, plan.remove);
        if (plan.freed_bytes < plan.wanted_bytes)
                warn_full(c, &plan);
        return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct image_care *c = userdata;
        int r;

        pods_mark_images(c->agent->pods);
        r = collect(c);
        if (r < 0)
                log_warning_errno(r, "Cannot find out which images may be removed");
        (void)sd_event_source_set_time_relative(s, PERIOD_US);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

static int make_metrics(struct image_care *c) {
        struct metrics *m = daemon_metrics(c->agent->daemon);

        c->count = metrics_gauge(m, "keelson_images", "", "Images of this machine.");
        c->bytes = metrics_gauge(m, "keelson_images_bytes", "",
                        "Sum of the images' sizes; layers that they share count for each.");
        c->removed = metrics_counter(m, "keelson_images_removed_total", "",
                        "Images removed because the disk was full or they were not used.");
        return c->count && c->bytes && c->removed ? 0 : -ENOMEM;
}

int image_care_new(struct image_care **ret, struct agent *agent) {
        _cleanup_(image_care_freep) struct image_care *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->agent = agent;
        r = make_metrics(c);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(agent->event, &c->timer, CLOCK_MONOTONIC, PERIOD_US,
                        ACCURACY_US, on_timer, c);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

struct image_care *image_care_free(struct image_care *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->timer);
        json_decref(c->status);
        free(c);
        return NULL;
}
