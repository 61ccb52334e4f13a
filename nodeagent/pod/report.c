/* Reports what a pod does: the record on disk when it changed, the status to the API when
 * it differs from what was written there last, and at the end the deletion of the object. One call
 * is under way at a time. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/pod.h"

enum {
        GAP_US = 300000,
        RETRY_MIN_US = 1000000,
        RETRY_MAX_US = 30 * 1000000,
        DELETE_RETRY_US = 2 * 1000000,
        LOG_LOOK_US = 30000, /* how often the rest of a log is looked for */
};

void reporting_done(struct pod *p) {
        struct pod_reporting *w = &p->reporting;

        api_call_cancel(TAKE_PTR(w->call));
        json_decref(TAKE_PTR(w->reported));
        w->saved_run = mfree(w->saved_run);
}

/* Whether the API knows the pod, and wants to hear of it. */
static bool is_reported(const struct pod *p) {
        return p->pods->agent->api && !(p->flags & POD_STATIC) && !p->api_gone;
}

void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...) {
        char text[512];
        va_list ap;
        _cleanup_free_ char *about = strformat(
                        "Pod/%s/%s", object_namespace(p->object), object_name(p->object));
        const char *fields[] = {"KEELSON_NAMESPACE", object_namespace(p->object), "KEELSON_POD",
                        object_name(p->object), "KEELSON_OBJECT", strempty(about), NULL};

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        log_fields(streq(type, "Warning") ? LOG_WARNING : LOG_INFO, fields, "Pod %s/%s: %s: %s",
                        object_namespace(p->object), object_name(p->object), reason, text);
        if (is_reported(p))
                api_event(p->pods->agent->api, p->object, type, reason, "%s", text);
}

/* The pod ends with the machine and starts again with it: what was recorded while it ran is what
 * counts then, as after a power cut. */
static bool is_halted(const struct pod *p) {
        return p->pods->halting && p->ending.bounded && !p->ending.reason;
}

static void save_run(struct pod *p) {
        _cleanup_json_ json_t *run = pod_run_record(p);
        _cleanup_free_ char *text = run ? json_text(run) : NULL;
        int r;

        if (!text || streq_ptr(text, p->reporting.saved_run))
                return;
        r = statedir_save_run(p->pods->agent->statedir, p->uid, run);
        if (r < 0) {
                object_log(LOG_WARNING, r, p->object, "Pod",
                                "Cannot keep the record of pod %s/%s on disk",
                                object_namespace(p->object), object_name(p->object));
                return;
        }
        free(p->reporting.saved_run);
        p->reporting.saved_run = TAKE_PTR(text);
}

static void retry_in(struct pod *p, uint64_t delay_us) {
        p->reporting.retry_us = now_mono_us() + delay_us;
        pod_wake_at(p, p->reporting.retry_us);
}

static void on_reported(
                int r, const json_t *object, const struct problem *problem, void *userdata) {
        struct pod *p = userdata;
        struct pod_reporting *w = &p->reporting;

        w->call = NULL;
        if (r == 0) {
                w->backoff_us = w->retry_us = 0;
                pod_wake(p);
                return;
        }
        json_decref(TAKE_PTR(w->reported));
        if (r == -ENOENT) {
                /* The watch will report that it is gone. */
                retry_in(p, RETRY_MAX_US);
                return;
        }
        w->backoff_us = w->backoff_us == 0 ? RETRY_MIN_US
                                           : MIN(w->backoff_us * 2, (uint64_t)RETRY_MAX_US);
        object_log(LOG_DEBUG, 0, p->object, "Pod",
                        "Status of pod %s/%s was not written: %s", object_namespace(p->object),
                        object_name(p->object), strempty(problem ? problem->message : NULL));
        retry_in(p, w->backoff_us);
}

/* The status of the Ready condition; "" without one. */
static const char *ready_of(const json_t *status) {
        _cleanup_json_ json_t *object = json_pack("{s:O?}", "status", status);

        return json_str_or(object_condition(object, "Ready"), "status", "");
}

static bool is_urgent(const struct pod *p, const json_t *status) {
        const json_t *before = p->reporting.reported;

        return p->memory.stage == POD_FINISHED || !before ||
               !streq(json_str_or(status, "phase", ""), json_str_or(before, "phase", "")) ||
               !streq(ready_of(status), ready_of(before));
}

/* The status as it is now, when it has to be written; NULL when the API shows it. */
static json_t *new_status(const struct pod *p) {
        const json_t *before = p->reporting.reported;
        struct status_facts f = {.host_ip = p->pods->agent->node_ip,
                        .pod_ip = p->sandbox.ip,
                        .host_ip6 = p->pods->agent->node_ip6,
                        .pod_ip6 = p->sandbox.ip6,
                        .start_us = p->start_us,
                        .now_us = now_wall_us(),
                        .sandbox_ready = p->sandbox.ready,
                        .failed_reason = p->failed_reason,
                        .failed_message = p->failed_message,
                        .resize_reason = p->resizing.reason,
                        .resize_message = p->resizing.message,
                        .resize_error = p->resizing.error,
                        .previous = before};
        _cleanup_json_ json_t *status = status_build(p->object, p->records, p->count, &f);

        if (!status)
                return NULL;
        if (before ? json_same(status, before) : status_is_shown(p->object, status))
                return NULL;
        return TAKE_PTR(status);
}

bool reporting_is_done(const struct pod *p) {
        _cleanup_json_ json_t *status = NULL;

        if (!is_reported(p) || !p->reporting.reported)
                return true;
        status = new_status(p);
        return !p->reporting.call && !status;
}

static int send_status(struct pod *p, const json_t *status) {
        _cleanup_json_ json_t *patch =
                        json_pack("{s:{s:s}, s:O}", "metadata", "uid", p->uid, "status", status);
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), object_namespace(p->object),
                        object_name(p->object), "status", NULL);

        if (!patch || !path)
                return -ENOMEM;
        return api_patch_async(p->pods->agent->api, path, API_PATCH_MERGE, patch, on_reported, p,
                        &p->reporting.call);
}

/* Once for each pod that came to this node; not one that fails before anything ran. */
static void count_start(struct pod *p) {
        enum pod_phase phase = p->arrived_us == 0 ? PHASE_PENDING : pod_phase(p);

        if (phase == PHASE_PENDING)
                return;
        if (phase != PHASE_FAILED || pod_has_started(p))
                metric_observe(p->pods->agent->figures.start_seconds,
                                (double)(now_mono_us() - p->arrived_us) / 1e6);
        p->arrived_us = 0;
}

void pod_report(struct pod *p) {
        struct pod_reporting *w = &p->reporting;
        _cleanup_json_ json_t *status = NULL;
        uint64_t now = now_mono_us();

        count_start(p);
        if (p->save_us != 0 && now >= p->save_us)
                pod_save_desired(p);
        if (p->save_us != 0)
                pod_wake_at(p, p->save_us);
        if (is_halted(p))
                return;
        if (pod_awaits_logs(p)) {
                pod_wake_at(p, now + LOG_LOOK_US);
                return;
        }
        save_run(p);
        if (!is_reported(p) || w->call)
                return;
        if (now < w->retry_us) {
                pod_wake_at(p, w->retry_us);
                return;
        }
        status = new_status(p);
        if (!status)
                return;
        /* Steps on the way up come in quick succession; only what others act upon is sent at once.
         */
        if (!is_urgent(p, status) && now < w->reported_us + GAP_US) {
                pod_wake_at(p, w->reported_us + GAP_US);
                return;
        }
        if (send_status(p, status) < 0) {
                retry_in(p, RETRY_MIN_US);
                return;
        }
        w->reported_us = now;
        json_decref(w->reported);
        w->reported = TAKE_PTR(status);
}

void reporting_follow(struct pod *p, const json_t *object) {
        struct pod_reporting *w = &p->reporting;

        /* Another writer changed our condition (a node that was cut off): re-send our status. */
        if (w->reported && !w->call &&
                        !streq(ready_of(w->reported), ready_of(json_at(object, "status"))))
                json_decref(TAKE_PTR(w->reported));
}

/* ---- the last act ---- */

static void on_deleted(int r, const json_t *object, const struct problem *problem, void *userdata) {
        struct pod *p = userdata;

        p->reporting.call = NULL;
        /* Deleted, or another pod has the name by now: ours no longer exists. */
        if (r == 0 || r == -ENOENT || r == -ESTALE)
                pod_set_api_gone(p);
        else
                p->reporting.retry_us = now_mono_us() + DELETE_RETRY_US;
        pod_wake(p);
}

static int send_deletion(struct pod *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), object_namespace(p->object),
                        object_name(p->object), NULL, NULL);
        _cleanup_json_ json_t *body = json_pack("{s:s, s:s, s:i, s:{s:s}}", "apiVersion", "v1",
                        "kind", "DeleteOptions", "gracePeriodSeconds", 0, "preconditions", "uid",
                        p->uid);

        if (!path || !body)
                return -ENOMEM;
        return api_delete_async(p->pods->agent->api, path, body, on_deleted, p, &p->reporting.call);
}

void pod_finish(struct pod *p) {
        struct pod_reporting *w = &p->reporting;

        assert(p->memory.stage == POD_FINISHED);
        if (!is_reported(p)) {
                pods_forget(p);
                return;
        }
        if (w->call)
                return;
        if (now_mono_us() < w->retry_us) {
                pod_wake_at(p, w->retry_us);
                return;
        }
        if (send_deletion(p) < 0)
                retry_in(p, DELETE_RETRY_US);
}
