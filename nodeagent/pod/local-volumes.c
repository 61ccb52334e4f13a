/* A volume is looked at when it changes, and again after a failure. Its folder is removed on a
 * thread, for it may hold anything; one at a time, and never while a pod of this node has it. They
 * take turns by name, so that one whose folder cannot be removed does not hold up the others. */
#include "nodeagent/pod/local-volumes.h"

#include "lib/client/informer.h"
#include "lib/volumes.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/worker.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/pod/shares.h"
#include "nodeagent/pod/volume-folder.h"

enum { LOOK_SOON_US = 200 * 1000, LOOK_AGAIN_US = 10 * 1000000 };

struct local_volumes {
        struct agent *agent;
        struct informer *informer;
        struct worker *worker;
        sd_event_source *timer;
        char *selector;
        char *removing; /* the volume whose folder is being removed, or whose patch is sent */
        char *uid;      /* of the same */
        char *last;     /* the name of the one before */
        json_t *share;  /* its folder is on this one, which is being mounted */
        struct shares_exec *exec;
        struct api_call *call;
};

static void look(struct local_volumes *l);
static void remove_from_share(struct local_volumes *l);

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct local_volumes *l = userdata;

        l->timer = sd_event_source_disable_unref(l->timer);
        if (l->share && !l->exec)
                remove_from_share(l);
        else
                look(l);
        return 0;
}

static void look_in(struct local_volumes *l, uint64_t delay_us) {
        l->timer = sd_event_source_disable_unref(l->timer);
        (void)sd_event_add_time_relative(
                        l->agent->event, &l->timer, CLOCK_MONOTONIC, delay_us, 0, on_timer, l);
}

static void look_later(struct local_volumes *l) {
        look_in(l, LOOK_AGAIN_US);
}

/* The turn of a volume is over; the next one comes after this time. */
static void end_turn(struct local_volumes *l, uint64_t delay_us) {
        json_decref(TAKE_PTR(l->share));
        (void)shares_hold(l->agent->shares, /* where= */ NULL);
        shares_sweep(l->agent->shares);
        free(l->last);
        l->last = TAKE_PTR(l->removing);
        l->uid = mfree(l->uid);
        look_in(l, delay_us);
}

static void on_patched(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct local_volumes *l = userdata;

        l->call = NULL;
        if (error < 0 && error != -ENOENT)
                log_warning("Cannot report that the data of volume %s is gone: %s", l->removing,
                                p ? strempty(p->message) : strerror(-error));
        /* The next one, once the cache has lost this one. */
        end_turn(l, error < 0 ? LOOK_AGAIN_US : LOOK_SOON_US);
}

static json_t *finalizers_left(const json_t *volume) {
        json_t *kept = json_array(), *f;
        size_t i;

        json_array_foreach (json_at(volume, "metadata.finalizers"), i, f)
                if (!streq_ptr(json_string_value(f), VOLUME_DATA_FINALIZER))
                        json_array_append(kept, f);
        return kept;
}

static void release(struct local_volumes *l, const json_t *volume) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_PERSISTENTVOLUMES), NULL,
                        object_name(volume), NULL, NULL);
        _cleanup_json_ json_t *body = json_pack("{s:{s:o, s:s, s:s}}", "metadata", "finalizers",
                        finalizers_left(volume), "resourceVersion",
                        json_str_or(volume, "metadata.resourceVersion", ""), "uid",
                        object_uid(volume));

        if (path && body &&
                        api_patch_async(l->agent->api, path, API_PATCH_MERGE, body, on_patched, l,
                                        &l->call) >= 0)
                return;
        end_turn(l, LOOK_AGAIN_US);
}

static int run_remove(void *userdata) {
        const struct local_volumes *l = userdata;

        return local_volume_remove(LOCAL_VOLUMES_DIR, l->removing);
}

static void on_removed(int result, void *userdata) {
        struct local_volumes *l = userdata;
        const json_t *volume = informer_get(l->informer, l->removing);

        if (result < 0)
                log_warning_errno(result,
                                "Cannot remove the folder of volume %s; it is tried again",
                                l->removing);
        else
                log_info("Removed the folder of volume %s", l->removing);
        /* Another volume of that name is not released. */
        if (result >= 0 && volume && streq(object_uid(volume), l->uid))
                release(l, volume);
        else
                end_turn(l, result < 0 ? LOOK_AGAIN_US : LOOK_SOON_US);
}

/* ---- folders on NFS shares ---- */

static void share_failed(struct local_volumes *l, const json_t *volume, const char *why) {
        log_warning("Cannot remove the folder of volume %s; it is tried again: %s", l->removing,
                        why);
        api_event(l->agent->api, volume, "Warning", "VolumeFailedDelete", "%s", why);
        end_turn(l, LOOK_AGAIN_US);
}

static void on_share_done(const char *why, void *userdata) {
        struct local_volumes *l = userdata;
        const json_t *volume = informer_get(l->informer, l->removing);

        l->exec = NULL;
        if (!volume || !streq(object_uid(volume), l->uid))
                end_turn(l, LOOK_SOON_US);
        else if (why)
                share_failed(l, volume, why);
        else {
                log_info("Removed the folder of volume %s from its share", l->removing);
                release(l, volume);
        }
}

static void remove_from_share(struct local_volumes *l) {
        const json_t *volume = informer_get(l->informer, l->removing);
        const char *where = json_str_or(l->share, "where", "");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *command = NULL;
        int r;

        if (!volume || !streq(object_uid(volume), l->uid) || !volume_share_folder(volume)) {
                end_turn(l, LOOK_SOON_US);
                return;
        }
        r = shares_want(l->agent->shares, l->share, &p);
        if (r == 0) {
                look_in(l, LOOK_SOON_US);
                return;
        }
        command = r > 0 ? share_remove_command(volume, where) : NULL;
        if (command)
                r = shares_exec_start(l->agent->shares, command, on_share_done, l, &l->exec);
        if (!command || r < 0)
                share_failed(l, volume, p.message ? p.message : strerror(ENOMEM));
}

static int start_on_share(struct local_volumes *l, const json_t *volume) {
        int r = pod_share_of_volume(volume, &l->share, /* p= */ NULL);

        if (r < 0)
                return r;
        r = shares_hold(l->agent->shares, json_str_or(l->share, "where", ""));
        if (r >= 0)
                remove_from_share(l);
        return r;
}

static void start(struct local_volumes *l, const json_t *volume, enum volume_end end) {
        int r = 0;

        l->removing = strdup(object_name(volume));
        l->uid = strdup(object_uid(volume));
        if (l->removing && l->uid && end == VOLUME_KEEPS)
                release(l, volume);
        else if (l->removing && l->uid && volume_share_folder(volume)) {
                r = start_on_share(l, volume);
                if (r < 0)
                        end_turn(l, LOOK_AGAIN_US);
        } else if (!l->removing || !l->uid ||
                        worker_submit(l->worker, run_remove, on_removed, l) < 0)
                end_turn(l, LOOK_AGAIN_US);
}

/* Begins with the next volume, if there is one. */
static void look(struct local_volumes *l) {
        const char *node = l->agent->config.node_name;
        const json_t *next = NULL;

        if (l->removing)
                return;
        informer_foreach(l->informer, e) {
                const json_t *volume = informer_object(e);

                if (local_volume_end(volume, node) == VOLUME_STAYS)
                        continue;
                if (pods_use_volume(l->agent->pods, object_name(volume)))
                        look_later(l);
                else if (!next || local_volume_is_before(l->last, volume, next))
                        next = volume;
        }
        if (next)
                start(l, next, local_volume_end(next, node));
}

static void on_volume(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct local_volumes *l = userdata;

        if (event != INFORMER_DELETED && object_is_deleting(object) && informer_is_synced(i))
                look_in(l, LOOK_SOON_US);
}

static void on_synced(struct informer *i, void *userdata) {
        look_in(userdata, LOOK_SOON_US);
}

int local_volumes_new(struct local_volumes **ret, struct agent *agent) {
        _cleanup_(local_volumes_freep) struct local_volumes *l = calloc(1, sizeof(*l));
        struct informer_options options = {.resource = api_resource(KIND_PERSISTENTVOLUMES),
                        .on_event = on_volume,
                        .on_synced = on_synced};
        int r;

        if (!l)
                return -ENOMEM;
        l->agent = agent;
        l->selector = strformat(VOLUME_NODE_LABEL "=%s", agent->config.node_name);
        if (!l->selector)
                return -ENOMEM;
        r = worker_new(&l->worker, agent->event);
        if (r < 0)
                return r;
        options.label_selector = l->selector;
        options.userdata = l;
        r = informer_new(&l->informer, agent->api, &options);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

struct local_volumes *local_volumes_free(struct local_volumes *l) {
        if (!l)
                return NULL;
        worker_free(l->worker);
        shares_exec_cancel(l->exec);
        json_decref(l->share);
        api_call_cancel(l->call);
        informer_free(l->informer);
        sd_event_source_disable_unref(l->timer);
        free(l->removing);
        free(l->uid);
        free(l->last);
        free(l->selector);
        free(l);
        return NULL;
}
