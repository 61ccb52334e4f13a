/* What a pod is doing, written down: the running record on disk when it changed, the status to the
 * API when it differs from what was written there last. One call is under way at a time. */
#include "nodeagent/pod/internal.h"

#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { GAP_US = 300000, RETRY_MIN_US = 1000000, RETRY_MAX_US = 30 * 1000000 };

void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...) {
        char text[512];
        va_list ap;
        const char *fields[] = {"KEELSON_NAMESPACE", object_namespace(p->object), "KEELSON_POD",
                        object_name(p->object), NULL};

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        log_fields(streq(type, "Warning") ? LOG_WARNING : LOG_INFO, fields, "Pod %s/%s: %s: %s",
                        object_namespace(p->object), object_name(p->object), reason, text);
        if (p->pods->agent->api && !(p->flags & POD_STATIC) && !p->api_gone)
                api_event(p->pods->agent->api, p->object, type, reason, "%s", text);
}

static void save_run(struct pod *p) {
        _cleanup_json_ json_t *run = NULL, *list = json_array();
        _cleanup_free_ char *text = NULL;
        int r;

        for (size_t i = 0; i < p->count; i++)
                json_array_append_new(list, container_record_save(&p->records[i]));
        run = json_pack("{s:s, s:s, s:I, s:i, s:O, s:s*, s:s*}", "boot", p->pods->boot_id, "ip",
                        p->ip, "startUs", (json_int_t)p->start_us, "stage", (int)p->stage,
                        "containers", list, "failedReason", p->failed_reason, "failedMessage",
                        p->failed_message);
        if (run && p->stage != POD_ALIVE) {
                json_object_set_new(run, "deletedUs", json_integer((json_int_t)p->deleted_wall_us));
                json_object_set_new(run, "graceUs", json_integer((json_int_t)p->grace_us));
        }
        text = run ? json_text(run) : NULL;
        if (!text || streq_ptr(text, p->saved_run))
                return;
        r = statedir_save_run(p->pods->agent->statedir, p->uid, run);
        if (r < 0) {
                log_warning_errno(r, "Cannot keep the record of pod %s/%s on disk",
                                object_namespace(p->object), object_name(p->object));
                return;
        }
        free(p->saved_run);
        p->saved_run = TAKE_PTR(text);
}

static void on_reported(
                int error, const json_t *object, const struct problem *problem, void *userdata) {
        struct pod *p = userdata;

        p->call = NULL;
        if (error == 0) {
                p->report_backoff_us = p->report_retry_us = 0;
                pod_wake(p);
                return;
        }
        json_decref(TAKE_PTR(p->reported));
        if (error == -ENOENT) {
                /* The watch will tell; nothing to write to. */
                p->report_retry_us = now_mono_us() + RETRY_MAX_US;
                pod_wake_at(p, p->report_retry_us);
                return;
        }
        p->report_backoff_us = p->report_backoff_us == 0 ? RETRY_MIN_US
                                                         : MIN(p->report_backoff_us * 2,
                                                                           (uint64_t)RETRY_MAX_US);
        p->report_retry_us = now_mono_us() + p->report_backoff_us;
        log_debug("Status of pod %s/%s was not written: %s", object_namespace(p->object),
                        object_name(p->object), strempty(problem ? problem->message : NULL));
        pod_wake_at(p, p->report_retry_us);
}

static const char *ready_of(const json_t *status) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(status, "conditions"), i, v)
                if (streq(json_str_or(v, "type", ""), "Ready"))
                        return json_str_or(v, "status", "");
        return "";
}

static bool is_urgent(const struct pod *p, const json_t *status) {
        return p->stage == POD_FINISHED || !p->reported ||
               !streq(json_str_or(status, "phase", ""), json_str_or(p->reported, "phase", "")) ||
               !streq(ready_of(status), ready_of(p->reported));
}

void pod_report(struct pod *p) {
        struct agent *a = p->pods->agent;
        struct status_facts f = {.host_ip = a->node_ip,
                        .pod_ip = p->ip,
                        .start_us = p->start_us,
                        .now_us = now_wall_us(),
                        .sandbox_ready = p->sandbox_ready,
                        .failed_reason = p->failed_reason,
                        .failed_message = p->failed_message};
        _cleanup_json_ json_t *status = NULL, *patch = NULL;
        _cleanup_free_ char *path = NULL;

        save_run(p);
        if (!a->api || (p->flags & POD_STATIC) || p->api_gone || p->call)
                return;
        if (now_mono_us() < p->report_retry_us) {
                pod_wake_at(p, p->report_retry_us);
                return;
        }
        f.previous = p->reported;
        status = status_build(p->object, p->records, p->count, &f);
        if (!status || (p->reported ? json_equal(status, p->reported)
                                    : status_is_shown(p->object, status)))
                return;
        /* Steps on the way up come in quick succession; only what others act upon is told at once.
         */
        if (!is_urgent(p, status) && now_mono_us() < p->told_us + GAP_US) {
                pod_wake_at(p, p->told_us + GAP_US);
                return;
        }
        patch = json_pack("{s:{s:s}, s:O}", "metadata", "uid", p->uid, "status", status);
        path = api_path(api_resource_find("pods"), object_namespace(p->object),
                        object_name(p->object), "status", NULL);
        if (!patch || !path ||
                        api_patch_async(a->api, path, API_PATCH_MERGE, patch, on_reported, p,
                                        &p->call) < 0) {
                p->report_retry_us = now_mono_us() + RETRY_MIN_US;
                pod_wake_at(p, p->report_retry_us);
                return;
        }
        p->told_us = now_mono_us();
        json_decref(p->reported);
        p->reported = TAKE_PTR(status);
}
