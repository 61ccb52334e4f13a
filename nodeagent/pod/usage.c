/* sizeLimit of emptyDir volumes on disk: du(1) measures them from time to time. A pod over its
 * limit is evicted as by a kubelet: phase Failed, reason Evicted. (In memory, the tmpfs has that
 * size.) */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/du.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/volumes.h"

enum { PERIOD_US = 20 * 1000000, EVICTION_GRACE_S = 1 };

void usage_done(struct pod *p) {
        p->usage.running = du_free(p->usage.running);
}

static const json_t *volume_at(const struct pod *p, const char *path) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->sandbox.plan, "volumes"), i, v)
                if (streq(json_str_or(v, "path", ""), path))
                        return v;
        return NULL;
}

static const char *limit_text(const struct pod *p, const char *name) {
        return json_str_or(json_named(json_at(p->object, "spec.volumes"), name),
                        "emptyDir.sizeLimit", "");
}

static void on_path(const char *path, uint64_t bytes, void *userdata) {
        struct pod *p = userdata;
        const json_t *v = volume_at(p, path);
        const char *name = json_str_or(v, "name", "");
        _cleanup_free_ char *message = NULL;

        if (!v || bytes <= (uint64_t)json_int_or(v, "size", INT64_MAX))
                return;
        message = strformat("Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". ", name,
                        limit_text(p, name));
        if (message)
                pod_end(p, "Evicted", message, EVICTION_GRACE_S);
}

static void on_end(struct du *du, void *userdata) {
        struct pod *p = userdata;

        p->usage.running = du_free(du);
}

static bool is_limited(const json_t *volume) {
        return streq(json_str_or(volume, "type", ""), "empty") &&
               json_int_or(volume, "size", 0) > 0;
}

bool usage_is_limited(const struct pod *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->sandbox.plan, "volumes"), i, v)
                if (is_limited(v))
                        return true;
        return false;
}

static int measure(struct pod *p) {
        _cleanup_strv_free_ char **paths = NULL;
        struct du_options o = {.on_path = on_path, .on_end = on_end, .userdata = p};
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->sandbox.plan, "volumes"), i, v) {
                int r = is_limited(v) ? strv_extend(&paths, json_str_or(v, "path", "")) : 0;

                if (r < 0)
                        return r;
        }
        if (!paths)
                return 0;
        o.paths = paths;
        return du_start(&p->usage.running, p->pods->agent->event, &o);
}

void usage_measure(struct pod *p) {
        int r;

        assert(!p->usage.running);
        p->usage.next_us = now_mono_us() + PERIOD_US;
        pod_wake_at(p, p->usage.next_us);
        r = measure(p);
        if (r < 0)
                object_log(LOG_WARNING, r, p->object, "Pod",
                                "Cannot measure the volumes of pod %s/%s with du",
                                object_namespace(p->object), object_name(p->object));
}

void usage_sweep(struct pod *p) {
        assert(!p->usage.swept && p->failed_reason);
        p->usage.swept = true;
        (void)volumes_remove(p->pods->agent->trash, p->disk_dir, p->run_dir, p->secret_dir);
}
