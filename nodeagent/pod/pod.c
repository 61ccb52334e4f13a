/* One pod: its object, its names on the machine, and the memory of its machine. */
#include "nodeagent/pod/pod.h"

#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"

struct pod *pod_free(struct pod *p) {
        if (!p)
                return NULL;
        if (p->containers)
                pod_free_containers(p);
        sandbox_done(p);
        pod_shares_done(p);
        usage_done(p);
        reporting_done(p);
        pod_waking_done(p);
        json_decref(p->object);
        free(p->uid);
        free(p->sandbox_name);
        free(p->failed_reason);
        free(p->failed_message);
        free(p->ending.reason);
        free(p->ending.message);
        free(p->resizing.reason);
        free(p->resizing.message);
        free(p->resizing.error);
        free(p->disk_dir);
        free(p->run_dir);
        free(p->secret_dir);
        free(p->netns);
        free(p);
        return NULL;
}

bool uid_is_valid(const char *uid) {
        size_t n = strspn(uid, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");

        return n > 0 && n <= 64 && !uid[n];
}

struct pod *pod_new(struct pods *all, const json_t *object, unsigned flags) {
        const char *uid = object_uid(object);
        struct pod *p = calloc(1, sizeof(*p));

        assert(uid_is_valid(uid));
        if (!p)
                return NULL;
        p->pods = all;
        p->flags = flags;
        p->object = json_ref(object);
        p->uid = strdup(uid);
        p->sandbox_name = pod_slice_name(uid);
        p->disk_dir = statedir_pod_dir(all->agent->statedir, uid);
        p->run_dir = strformat(AGENT_RUN_DIR "/pods/%s", uid);
        p->secret_dir = strformat(AGENT_SECRET_DIR "/%s", uid);
        p->netns = network_pod_path(uid);
        p->start_us = now_wall_us();
        if (!p->uid || !p->sandbox_name || !p->disk_dir || !p->run_dir || !p->secret_dir ||
                        !p->netns || pod_add_containers(p) < 0)
                return pod_free(p);
        return p;
}

/* One that runs already stays, whatever this node thinks of it now. */
static bool is_admitted(const struct pod *p, const json_t *object) {
        return (p->flags & POD_STATIC) || !p->pods->agent->api ||
               streq(json_str_or(object, "status.phase", ""), "Running");
}

void pod_update(struct pod *p, const json_t *object, bool first) {
        static const char *const parts[] = {"spec", "metadata.labels", "metadata.annotations"};
        bool changed = first;

        for (size_t i = 0; i < ELEMENTS(parts); i++)
                changed |= !json_same(json_at(p->object, parts[i]), json_at(object, parts[i]));
        reporting_follow(p, object);
        json_decref(p->object);
        p->object = json_ref(object);
        p->api_gone = false;
        if (first)
                p->memory.admitted = is_admitted(p, object);
        if (changed) {
                if (pod_add_ephemeral(p) < 0)
                        object_log(LOG_ERR, 0, object, "Pod",
                                        "Out of memory: ephemeral containers of pod %s/%s are "
                                        "left out",
                                        object_namespace(object), object_name(object));
                sandbox_drop_plan(p);
                /* Pods from disk start without another admission. */
                if (p->memory.admitted)
                        pod_save_desired(p);
        }
        if (first)
                pod_warn_no_effect(p);
        if (object_is_deleting(object))
                pod_memory_end(&p->memory, now_mono_us(), now_wall_us());
        if (p->memory.stage != POD_ALIVE)
                pod_memory_set_grace(&p->memory,
                                json_int_or(object, "metadata.deletionGracePeriodSeconds",
                                                pod_grace_s(object)));
        pod_wake(p);
}

void pod_gone(struct pod *p, bool forced) {
        int64_t grace_s = pod_grace_s(p->object);

        p->api_gone = true;
        if (p->memory.stage == POD_ALIVE) {
                pod_memory_end(&p->memory, now_mono_us(), now_wall_us());
                pod_memory_set_grace(&p->memory,
                                forced ? MIN(grace_s, (int64_t)FORCED_GRACE_S) : grace_s);
        }
        pod_wake(p);
}

void pod_set_api_gone(struct pod *p) {
        assert(p->memory.stage == POD_FINISHED);
        p->api_gone = true;
}

void pod_fail(struct pod *p, const char *reason, const char *message) {
        if (p->failed_reason)
                return;
        p->failed_reason = strdup(reason);
        p->failed_message = strdup(message);
        assert(p->failed_reason && p->failed_message);
}

void pod_end(struct pod *p, const char *reason, const char *message, int64_t grace_s) {
        if (p->ending.reason || p->failed_reason)
                return;
        p->ending = (struct pod_ending){strdup(reason), strdup(message), true, grace_s};
        assert(p->ending.reason && p->ending.message);
        pod_wake(p);
}

void pod_commit(struct pod *p, const struct pod_decision *d) {
        assert(d->memory.stage >= p->memory.stage);
        p->memory = d->memory;
        for (size_t i = 0; i < p->count; i++)
                container_commit(p->containers[i], &d->containers[i]);
}

struct container *pod_container(struct pod *p, const char *name) {
        for (size_t i = 0; i < p->count; i++)
                if (streq(p->records[i].name, name))
                        return p->containers[i];
        return NULL;
}

bool pod_is_host_network(const struct pod *p) {
        return json_bool_or(p->object, "spec.hostNetwork", false);
}

bool pod_has_started(const struct pod *p) {
        for (size_t i = 0; i < p->count; i++)
                if (p->records[i].phase != CONTAINER_WAITING || p->records[i].last)
                        return true;
        return false;
}

enum pod_phase pod_phase(const struct pod *p) {
        struct status_facts f = {.failed_reason = p->failed_reason};

        return pod_phase_from_string(status_phase(p->object, p->records, p->count, &f));
}

bool pod_is_terminal(const struct pod *p) {
        enum pod_phase phase = pod_phase(p);

        return phase == PHASE_SUCCEEDED || phase == PHASE_FAILED;
}
