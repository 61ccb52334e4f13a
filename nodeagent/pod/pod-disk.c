/* A pod's files on disk: the desired pod (object and resources), and the record of what runs. A
 * pod starts from them without the control plane, and is adopted from them after the agent was
 * restarted. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/pod.h"

enum { SAVE_RETRY_US = 10 * 1000000 }; /* a full disk */

void pod_save_desired(struct pod *p) {
        _cleanup_json_ json_t *v = json_pack("{s:O, s:O?, s:b}", "pod", p->object, "resources",
                        p->sandbox.resources, "static", (p->flags & POD_STATIC) != 0);
        int r = v ? statedir_save_pod(p->pods->agent->statedir, p->uid, v) : -ENOMEM;

        p->save_us = r < 0 ? now_mono_us() + SAVE_RETRY_US : 0;
        if (r < 0)
                object_log(LOG_WARNING, r, p->object, "Pod",
                                "Cannot keep pod %s/%s on disk; it would not start without the "
                                "control plane",
                                object_namespace(p->object), object_name(p->object));
}

json_t *pod_run_record(const struct pod *p) {
        _cleanup_json_ json_t *list = json_array();
        json_t *run;

        for (size_t i = 0; i < p->count; i++)
                json_array_append_new(list, container_record_save(&p->records[i]));
        run = json_pack("{s:s, s:s, s:I, s:i, s:O, s:s*, s:s*}", "boot", p->pods->boot_id, "ip",
                        p->sandbox.ip, "startUs", (json_int_t)p->start_us, "stage",
                        (int)p->memory.stage, "containers", list, "failedReason", p->failed_reason,
                        "failedMessage", p->failed_message);
        if (run && p->memory.stage != POD_ALIVE) {
                json_object_set_new(run, "deletedUs",
                                json_integer((json_int_t)p->memory.deleted_wall_us));
                json_object_set_new(run, "graceUs", json_integer((json_int_t)p->memory.grace_us));
        }
        if (run && p->sandbox.user_chosen)
                json_object_set_new(run, "userTry", json_integer(p->sandbox.user_try));
        return run;
}

/* Where the agent before us was in the pod's end: the part of the grace period that is over stays
 * over, and hooks that are done are not run again. */
static void load_end(struct pod *p, const json_t *run) {
        uint64_t mono = now_mono_us(), wall = now_wall_us(), over;
        int64_t grace_us = json_int_or(run, "graceUs", -1);
        struct pod_memory *m = &p->memory;

        pod_memory_end(m, mono, wall);
        m->deleted_wall_us = (uint64_t)json_int_or(run, "deletedUs", (int64_t)wall);
        over = wall > m->deleted_wall_us ? wall - m->deleted_wall_us : 0;
        m->deleted_us = mono > over ? mono - over : 0;
        pod_memory_set_grace(m, grace_us >= 0 ? grace_us / 1000000 : pod_grace_s(p->object));
        if (json_int_or(run, "stage", 0) >= POD_STOPPING) {
                m->stage = POD_STOPPING;
                m->step_us = mono;
        }
}

static void load_run(struct pod *p, const json_t *run) {
        bool other_boot = !streq(json_str_or(run, "boot", p->pods->boot_id), p->pods->boot_id);
        const json_t *v;
        size_t i;

        p->start_us = (uint64_t)json_int_or(run, "startUs", (int64_t)p->start_us);
        pod_load_user(p, json_int_or(run, "userTry", -1));
        if (json_str(run, "failedReason"))
                pod_fail(p, json_str(run, "failedReason"), json_str_or(run, "failedMessage", ""));
        json_array_foreach (json_at(run, "containers"), i, v) {
                struct container *c = pod_container(p, json_str_or(v, "name", ""));

                if (c)
                        container_load(c, v);
        }
        /* Memory volumes and the network went with the machine: the init containers have work
         * again. */
        for (size_t k = 0; k < p->count && other_boot; k++)
                p->records[k].found = UNIT_NOT_SEEN;
        for (size_t k = 0; k < p->count && other_boot; k++)
                if (p->records[k].init && !p->records[k].sidecar && !pod_is_terminal(p))
                        container_forget_end(p->containers[k]);
        if (json_int_or(run, "stage", 0) >= POD_DRAINING)
                load_end(p, run);
}

struct pod *pod_load(struct pods *all, const char *uid) {
        _cleanup_json_ json_t *v = NULL, *run = NULL;
        struct statedir *store = all->agent->statedir;
        int r = statedir_load_pod(store, uid, &v);
        const json_t *object = json_object_get(v, "pod"), *resources;
        struct pod *p;

        if (r < 0 || !json_is_object(object) || !streq(object_uid(object), uid) ||
                        !uid_is_valid(uid)) {
                log_warning("The state of pod %s on disk cannot be read (%s); leaving it alone "
                            "until the control plane reports the pod",
                                uid, strerror(r < 0 ? -r : EBADMSG));
                return NULL;
        }
        p = pod_new(all, object, json_bool_or(v, "static", false) ? POD_STATIC : 0);
        if (!p)
                return NULL;
        p->memory.admitted = true;
        resources = json_object_get(v, "resources");
        if (statedir_load_run(store, uid, &run) >= 0)
                load_run(p, run);
        sandbox_load(p, json_str_or(run, "ip", ""), json_is_object(resources) ? resources : NULL);
        return p;
}

/* What the API has heard of the container; NULL: nothing. */
static const json_t *reported_status(const struct pod *p, const char *container) {
        static const char *const lists[] = {"status.containerStatuses",
                        "status.initContainerStatuses", "status.ephemeralContainerStatuses"};
        const json_t *v = NULL;

        for (size_t k = 0; k < ELEMENTS(lists) && !v; k++)
                v = json_named(json_at(p->object, lists[k]), container);
        return v;
}

static uint32_t reported_restarts(const struct pod *p, const char *container) {
        int64_t n = json_int_or(reported_status(p, container), "restartCount", 0);

        return n > 0 && n <= INT32_MAX ? (uint32_t)n : 0;
}

/* Whether the container is there. Without a record its restarts are counted from those that the API
 * has. */
static bool recover_container(struct container *c, bool recorded) {
        struct pod *p = c->pod;
        struct run_state state;
        bool there = runtime_state(p->pods->agent->runtime, c->unit, &state) > 0;

        if (!there && !recorded && c->record->ephemeral)
                container_record_recover(c->record, reported_status(p, c->record->name));
        if (!there && (recorded || c->record->ephemeral) && p->pods->units_listed)
                container_not_adopted(c);
        if (!there || (state.owner[0] && !streq(state.owner, p->sandbox_name)))
                return false;
        if (!recorded) {
                uint32_t n = reported_restarts(p, c->record->name);

                c->record->restart_count = n > state.restarts ? n - state.restarts : 0;
                /* The comparison of units with their plans corrects what differs. */
                container_record_resized(c->record, c->record->allocated);
        }
        container_observe_run(c, &state);
        return true;
}

void pod_recover(struct pod *p) {
        _cleanup_json_ json_t *run = NULL;
        bool recorded = statedir_load_run(p->pods->agent->statedir, p->uid, &run) >= 0,
             runs = false;

        if (recorded)
                load_run(p, run);
        for (size_t i = 0; i < p->count; i++)
                runs |= recover_container(p->containers[i], recorded);
        if (recorded)
                sandbox_load(p, json_str_or(run, "ip", ""), NULL);
        else if (runs)
                sandbox_load(p, json_str_or(p->object, "status.podIP", ""), NULL);
}
