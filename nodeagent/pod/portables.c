/* A pod's image goes through: asked for its state, recorded, attached; at the end asked again,
 * detached, the record removed. What fails is tried again after a pause. */
#include "nodeagent/pod/portables.h"

#include <unistd.h>

#include "lib/adoptable-units.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/runtime/images.h"
#include "nodeagent/runtime/portable.h"

#define REASON "ContainerCreating"
enum { RETRY_US = 3 * 1000000, PATH_SIZE_MAX = 8192 };

/* One pod's image. */
struct portable {
        struct portables *all;
        char *uid, *image, *profile;
        struct portable_call *call;
        bool attached, leaves;
        char *failed;      /* why it is not attached; or NULL */
        uint64_t retry_us; /* monotonic */
};

struct portables {
        struct agent *agent;
        struct map *by_uid; /* -> struct portable */
        sd_event_source *timer;
};

static void portable_free(void *value) {
        struct portable *x = value;

        portable_cancel(x->call);
        free(x->uid);
        free(x->image);
        free(x->profile);
        free(x->failed);
        free(x);
}

static int make(struct portables *s, const char *uid, const char *image, const char *profile,
                struct portable **ret) {
        struct portable *x = calloc(1, sizeof(*x));

        if (!x)
                return -ENOMEM;
        *x = (struct portable){.all = s,
                        .uid = strdup(uid),
                        .image = strdup(image),
                        .profile = strdup(profile)};
        if (!x->uid || !x->image || !x->profile || map_set(s->by_uid, uid, x) < 0) {
                portable_free(x);
                return -ENOMEM;
        }
        *ret = x;
        return 0;
}

static char *record_path(const char *uid) {
        return strformat(PORTABLES_DIR "/%s", uid);
}

/* ---- attaching ---- */

static bool is_recorded(const struct portable *x) {
        _cleanup_free_ char *path = record_path(x->uid);

        return path && access(path, F_OK) == 0;
}

static int record(const struct portable *x) {
        _cleanup_free_ char *path = record_path(x->uid);
        int r = path ? mkdir_parents(PORTABLES_DIR, 0700) : -ENOMEM;

        return r < 0 ? r : file_write_atomic(path, x->image, strlen(x->image), 0600);
}

static void remove_record(const struct portable *x) {
        _cleanup_free_ char *path = record_path(x->uid);

        if (path)
                (void)unlink(path);
}

static void failed(struct portable *x, const char *why) {
        free(x->failed);
        x->failed = strdup(why);
        x->retry_us = now_mono_us() + RETRY_US;
        pods_wake_pod(x->all->agent->pods, x->uid);
}

static void on_attached(const char *error, const char *state, void *userdata) {
        struct portable *x = userdata;

        x->call = NULL;
        if (error) {
                remove_record(x);
                failed(x, error);
                return;
        }
        x->attached = true;
        x->failed = mfree(x->failed);
        log_info("The units of %s are attached to the machine", x->image);
        pods_units_changed(x->all->agent->pods, x->uid);
}

static int ask(struct portable *x, enum portable_verb verb, portable_func done) {
        struct portable_request q = {.verb = verb, .image = x->image, .profile = x->profile};

        return portable_call(x->all->agent->units, &q, done, x, &x->call);
}

static void on_state(const char *error, const char *state, void *userdata) {
        struct portable *x = userdata;
        bool there = startswith(state, "attached") || startswith(state, "running") ||
                     startswith(state, "enabled");
        int r;

        x->call = NULL;
        if (error) {
                failed(x, error);
                return;
        }
        if (there && is_recorded(x)) {
                x->attached = true;
                pods_wake_pod(x->all->agent->pods, x->uid);
                return;
        }
        if (there) {
                failed(x, "the image is attached already, and not by this pod: portablectl detach "
                          "it, or adopt its units without unit.keelson.dev/portable");
                return;
        }
        r = record(x);
        if (r < 0) {
                failed(x, strerror(-r));
                return;
        }
        r = ask(x, PORTABLE_ATTACH, on_attached);
        if (r < 0)
                failed(x, strerror(-r));
}

/* The same paths as of a container's image. */
static int begin(struct portables *s, const struct pod *pod, const char *image,
                struct portable **ret, struct problem *p) {
        _cleanup_json_ json_t *container = json_pack("{s:s}", "image", image), *root = NULL;
        const char *path, *profile = adoption_profile(json_object_get(pod->object, "metadata"));
        int r = container ? image_resolve(container, &root, p) : -ENOMEM;

        if (r < 0)
                return r;
        path = json_str(root, "path");
        if (!path)
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "annotation unit.keelson.dev/portable: %.200s is not a folder or "
                                "disk image of this machine",
                                image);
        return make(s, pod->uid, path, profile, ret);
}

int portables_prepare(struct pod *pod, struct problem *p) {
        struct portables *s = pod->pods->agent->portables;
        const char *image = adoption_portable(json_object_get(pod->object, "metadata"));
        struct portable *x = map_get(s->by_uid, pod->uid);
        int r;

        if (!image)
                return 1;
        if (!x) {
                r = begin(s, pod, image, &x, p);
                if (r < 0)
                        return r;
        }
        if (x->attached)
                return 1;
        if (!x->call && x->failed && now_mono_us() < x->retry_us)
                return problem_set(p, EAGAIN, 0, REASON, "the units of %s cannot be attached: %s",
                                x->image, x->failed);
        if (!x->call) {
                r = ask(x, PORTABLE_STATE, on_state);
                if (r < 0)
                        return r;
        }
        (void)problem_set(p, EAGAIN, 0, REASON, "the units of %s are being attached", x->image);
        return 0;
}

/* ---- detaching ---- */

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct portables *s = userdata;

        s->timer = sd_event_source_disable_unref(s->timer);
        portables_sweep(s);
        return 0;
}

static void sweep_later(struct portables *s) {
        if (!s->timer)
                (void)sd_event_add_time_relative(s->agent->event, &s->timer, CLOCK_MONOTONIC,
                                RETRY_US, 0, on_retry, s);
}

static void on_detached(const char *error, const char *state, void *userdata) {
        struct portable *x = userdata;
        struct portables *s = x->all;

        x->call = NULL;
        if (error) {
                log_warning("Cannot detach the units of %s: %s; trying again", x->image, error);
                x->leaves = false;
                sweep_later(s);
                return;
        }
        log_info("The units of %s are detached", x->image);
        remove_record(x);
        (void)map_remove(s->by_uid, x->uid);
}

static void on_leaving_state(const char *error, const char *state, void *userdata) {
        struct portable *x = userdata;

        x->call = NULL;
        if (error || streq(state, "detached"))
                on_detached(error, "", x);
        else if (ask(x, PORTABLE_DETACH, on_detached) < 0)
                on_detached("out of memory", "", x);
}

static void leave(struct portable *x) {
        if (x->leaves)
                return;
        x->leaves = true;
        x->call = portable_cancel(x->call);
        if (!is_recorded(x)) {
                (void)map_remove(x->all->by_uid, x->uid);
                return;
        }
        if (ask(x, PORTABLE_STATE, on_leaving_state) < 0)
                x->leaves = false;
}

/* A record of an agent before this one. */
static struct portable *of_record(struct portables *s, const char *uid) {
        struct portable *x = map_get(s->by_uid, uid);
        _cleanup_free_ char *path = record_path(uid), *image = NULL;
        size_t n;

        if (x || !path || file_read(path, PATH_SIZE_MAX, &image, &n) < 0)
                return x;
        return make(s, uid, image, "", &x) < 0 ? NULL : x;
}

void portables_leave(struct portables *s, const char *uid) {
        struct portable *x = of_record(s, uid);

        if (x)
                leave(x);
}

void portables_sweep(struct portables *s) {
        _cleanup_strv_free_ char **uids = NULL;

        map_foreach (s->by_uid, e)
                if (!pods_has_units(s->agent->pods, map_entry_key(e)))
                        leave(map_entry_value(e));
        if (file_list(PORTABLES_DIR, &uids) < 0)
                return;
        for (char **uid = uids; uid && *uid; uid++)
                if (!pods_has_units(s->agent->pods, *uid) && of_record(s, *uid))
                        leave(map_get(s->by_uid, *uid));
}

int portables_new(struct portables **ret, struct agent *agent) {
        struct portables *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->agent = agent;
        s->by_uid = map_new(portable_free);
        if (!s->by_uid) {
                free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

struct portables *portables_free(struct portables *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->timer);
        map_free(s->by_uid);
        free(s);
        return NULL;
}
