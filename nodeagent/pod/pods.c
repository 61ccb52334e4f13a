/* The set of pods and their waking. A pod's step runs from one deferred event source, so that
 * however many signals come, each pod is looked at once per turn of the loop. */
#include "nodeagent/pod/internal.h"

#include <systemd/sd-id128.h>

#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/fetch.h"
#include "nodeagent/plan/pod-units.h"
#include "nodeagent/pod/volumes.h"

#define GRACE_MAX_S (INT64_C(10) * 365 * 86400)

static void containers_free(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                struct container *c = &p->containers[i];

                container_probes_stop(c);
                container_hooks_stop(c);
                free(c->unit);
                container_record_done(&p->records[i]);
        }
        p->containers = mfree(p->containers);
        p->records = mfree(p->records);
        p->count = 0;
}

static void pod_free(void *value) {
        struct pod *p = value;

        if (!p)
                return;
        containers_free(p);
        fetch_cancel(p->fetch);
        pod_usage_cancel(p);
        api_call_cancel(p->call);
        sd_event_source_disable_unref(p->timer);
        json_decref(p->object);
        json_decref(p->resources);
        json_decref(p->plan);
        json_decref(p->reported);
        free(p->uid);
        free(p->failed_reason);
        free(p->failed_message);
        free(p->disk_dir);
        free(p->run_dir);
        free(p->secret_dir);
        free(p->netns);
        free(p->saved_run);
        free(p);
}

struct container *pod_container(struct pod *p, const char *unit) {
        for (size_t i = 0; i < p->count; i++)
                if (streq(p->containers[i].unit, unit))
                        return &p->containers[i];
        return NULL;
}

static const json_t *named_in(const json_t *list, const char *key, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_str_or(v, key, ""), name))
                        return v;
        return NULL;
}

const json_t *container_spec(const struct container *c) {
        return named_in(json_at(c->pod->object, c->record->init ? "spec.initContainers"
                                                                : "spec.containers"),
                        "name", c->record->name);
}

const json_t *container_unit(const struct container *c) {
        return named_in(json_at(c->pod->plan, c->record->init ? "initContainers" : "containers"),
                        "container", c->record->name);
}

bool pod_is_host_network(const struct pod *p) {
        return json_bool_or(p->object, "spec.hostNetwork", false);
}

const char *pod_phase(const struct pod *p) {
        struct status_facts f = {.failed_reason = p->failed_reason};
        return status_phase(p->object, p->records, p->count, &f);
}

bool pod_is_terminal(const struct pod *p) {
        const char *phase = pod_phase(p);
        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static int on_defer(sd_event_source *s, void *userdata);

void pod_wake(struct pod *p) {
        p->dirty = true;
        (void)sd_event_source_set_enabled(p->pods->defer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct pod *p = userdata;

        p->wake_us = 0;
        pod_wake(p);
        return 0;
}

void pod_wake_at(struct pod *p, uint64_t mono_us) {
        if (p->wake_us != 0 && p->wake_us <= mono_us)
                return;
        p->wake_us = mono_us;
        if (!p->timer)
                (void)sd_event_add_time(p->pods->agent->event, &p->timer, CLOCK_MONOTONIC, mono_us,
                                20000, on_timer, p);
        else {
                (void)sd_event_source_set_time(p->timer, mono_us);
                (void)sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
        }
}

static void step(struct pod *p) {
        if (!p->pods->units_listed)
                return;
        if (p->stage == POD_ALIVE)
                pod_step_start(p);
        if (p->stage != POD_ALIVE)
                pod_step_stop(p);
}

static int on_defer(sd_event_source *s, void *userdata) {
        struct pods *all = userdata;

        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (!p->dirty)
                        continue;
                p->dirty = false;
                /* A step may end in pod_forget(): nothing may touch the pod after it. */
                step(p);
        }
        return 0;
}

int pods_new(struct pods **ret, struct agent *agent) {
        _cleanup_(pods_freep) struct pods *p = calloc(1, sizeof(*p));
        sd_id128_t id;
        int r;

        if (!p)
                return -ENOMEM;
        p->agent = agent;
        p->by_uid = map_new(pod_free);
        if (!p->by_uid)
                return -ENOMEM;
        /* Commands that an agent before us started may still run under their numbers. */
        p->exec_serial = (unsigned)random_below(1000000) * 1000;
        if (sd_id128_get_boot(&id) >= 0)
                sd_id128_to_string(id, p->boot_id);
        r = sd_event_add_defer(agent->event, &p->defer, on_defer, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->defer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

struct pods *pods_free(struct pods *p) {
        if (!p)
                return NULL;
        map_free(p->by_uid);
        json_decref(p->taints);
        sd_event_source_disable_unref(p->defer);
        free(p);
        return NULL;
}

void pod_forget(struct pod *p) {
        struct pods *all = p->pods;
        int r = statedir_remove_pod(all->agent->statedir, p->uid);

        if (r < 0)
                log_warning_errno(r, "Cannot remove the state of pod %s", p->uid);
        (void)map_remove(all->by_uid, p->uid);
        /* A pod of the same name may be waiting for the unit names. */
        pods_wake_all(all);
}

static int add_containers(struct pod *p) {
        static const char *const lists[] = {"spec.initContainers", "spec.containers"};
        size_t n = json_array_size(json_at(p->object, lists[0])) +
                   json_array_size(json_at(p->object, lists[1]));

        p->records = calloc(MAX(n, (size_t)1), sizeof(*p->records));
        p->containers = calloc(MAX(n, (size_t)1), sizeof(*p->containers));
        if (!p->records || !p->containers)
                return -ENOMEM;
        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                const json_t *v;
                size_t i;

                json_array_foreach (json_at(p->object, lists[l]), i, v) {
                        struct container_record *r = &p->records[p->count];
                        struct container *c = &p->containers[p->count];

                        p->count++;
                        r->name = strdup(json_str_or(v, "name", ""));
                        r->init = l == 0;
                        r->notify = r->name && pod_readiness_is_notify(p->object, r->name);
                        c->pod = p;
                        c->record = r;
                        c->unit = r->name ? pod_unit_name(p->object, r->name) : NULL;
                        if (!c->unit)
                                return -ENOMEM;
                        (void)container_set_waiting(r,
                                        l == 1 && json_array_size(json_at(p->object, lists[0])) > 0
                                                        ? "PodInitializing"
                                                        : "ContainerCreating",
                                        NULL);
                }
        }
        return 0;
}

static struct pod *pod_make(struct pods *all, const json_t *object, unsigned flags) {
        const char *uid = object_uid(object);
        struct pod *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        p->pods = all;
        p->flags = flags;
        p->object = json_incref((json_t *)object);
        p->uid = strdup(uid);
        p->disk_dir = statedir_pod_dir(all->agent->statedir, uid);
        p->run_dir = strformat(AGENT_RUN_DIR "/pods/%s", uid);
        p->secret_dir = strformat(AGENT_SECRET_DIR "/%s", uid);
        p->netns = network_pod_path(uid);
        p->start_us = now_wall_us();
        if (!p->uid || !p->disk_dir || !p->run_dir || !p->secret_dir || !p->netns ||
                        add_containers(p) < 0 || map_set(all->by_uid, uid, p) < 0) {
                pod_free(p);
                return NULL;
        }
        return p;
}

/* Written before anything runs, so that a crash at any instant leaves either nothing or a pod that
 * is found again. */
static void save_desired(struct pod *p) {
        _cleanup_json_ json_t *v = json_pack("{s:O, s:O?, s:b}", "pod", p->object, "resources",
                        p->resources, "static", (p->flags & POD_STATIC) != 0);
        int r = v ? statedir_save_pod(p->pods->agent->statedir, p->uid, v) : -ENOMEM;

        if (r < 0)
                log_warning_errno(r,
                                "Cannot keep pod %s/%s on disk; it would not start without the "
                                "control plane",
                                object_namespace(p->object), object_name(p->object));
}

void pod_save_desired(struct pod *p) {
        save_desired(p);
}

static bool uid_is_tame(const char *uid) {
        size_t n = strspn(uid, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        return n > 0 && n <= 64 && !uid[n];
}

static const char *ready_status(const json_t *status) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(status, "conditions"), i, v)
                if (streq(json_str_or(v, "type", ""), "Ready"))
                        return json_str_or(v, "status", "");
        return "";
}

/* Both absent is the same as well: json_equal() has it otherwise. */
static bool same_at(const json_t *a, const json_t *b, const char *path) {
        const json_t *x = json_at(a, path), *y = json_at(b, path);

        return x == y || json_equal(x, y);
}

static int64_t grace_of(const json_t *object) {
        return json_int_or(object, "spec.terminationGracePeriodSeconds", 30);
}

/* The grace period begins once, also where the agent is restarted in it (see load_run()). */
static void begin_end(struct pod *p) {
        if (p->stage != POD_ALIVE)
                return;
        p->stage = POD_DRAINING;
        p->deleted_us = now_mono_us();
        p->deleted_wall_us = now_wall_us();
}

static void set_grace(struct pod *p, int64_t seconds) {
        seconds = MAX(seconds, INT64_C(0));
        p->grace_us = (uint64_t)MIN(seconds, GRACE_MAX_S) * 1000000;
}

int pods_apply(struct pods *all, const json_t *object, unsigned flags) {
        const char *uid = object_uid(object);
        struct pod *p = map_get(all->by_uid, uid);
        bool fresh = !p, spec_changed;

        if (!uid_is_tame(uid))
                return -EINVAL;
        if (!p) {
                const char *phase = json_str_or(object, "status.phase", "");
                /* Finished before this agent ever saw it: nothing to run. */
                if ((streq(phase, "Succeeded") || streq(phase, "Failed")) &&
                                !object_is_deleting(object))
                        return 0;
                p = pod_make(all, object, flags);
                if (!p)
                        return -ENOMEM;
                /* One that runs already stays, whatever this node thinks of it now. */
                p->admitted = (flags & POD_STATIC) || !all->agent->api || streq(phase, "Running");
        }
        spec_changed = fresh || !same_at(p->object, object, "spec") ||
                       !same_at(p->object, object, "metadata.labels") ||
                       !same_at(p->object, object, "metadata.annotations");
        /* Somebody else wrote our condition (a node that was cut off): ours is told again. */
        if (p->reported && !p->call &&
                        !streq(ready_status(p->reported), ready_status(json_at(object, "status"))))
                json_decref(TAKE_PTR(p->reported));
        json_decref(p->object);
        p->object = json_incref((json_t *)object);
        p->from_disk = false;
        p->api_gone = false;
        if (spec_changed) {
                json_decref(TAKE_PTR(p->plan));
                /* What is on disk starts without being asked again. */
                if (p->admitted)
                        save_desired(p);
        }
        if (fresh)
                pod_warn_no_effect(p);
        if (object_is_deleting(object))
                begin_end(p);
        if (p->stage != POD_ALIVE)
                set_grace(p, json_int_or(object, "metadata.deletionGracePeriodSeconds",
                                             grace_of(object)));
        pod_wake(p);
        return 0;
}

void pods_gone(struct pods *all, const char *uid) {
        struct pod *p = map_get(all->by_uid, uid);

        if (!p)
                return;
        p->api_gone = true;
        if (p->stage == POD_ALIVE) {
                begin_end(p);
                set_grace(p, grace_of(p->object));
        }
        pod_wake(p);
}

void pods_wake_all(struct pods *all) {
        map_foreach (all->by_uid, e)
                pod_wake(map_entry_value(e));
}

void pods_set_taints(struct pods *all, const json_t *taints) {
        bool first = !all->node_seen;

        json_decref(all->taints);
        all->taints = json_incref((json_t *)taints);
        all->node_seen = true;
        if (first)
                pods_wake_all(all);
}

void pods_wake_ending(struct pods *all) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                if (p->stage == POD_DRAINING)
                        pod_wake(p);
        }
}

size_t pods_count(const struct pods *all) {
        return map_size(all->by_uid);
}

void pods_each(struct pods *all, void (*func)(const json_t *object, void *userdata),
                void *userdata) {
        map_foreach (all->by_uid, e)
                func(((struct pod *)map_entry_value(e))->object, userdata);
}

/* Where the agent before us was in the pod's end: what of the grace period is over stays over, and
 * hooks that are done are not run again. */
static void load_end(struct pod *p, const json_t *run) {
        uint64_t mono = now_mono_us(), wall = now_wall_us(), over;
        int64_t grace_us = json_int_or(run, "graceUs", -1);

        begin_end(p);
        p->deleted_wall_us = (uint64_t)json_int_or(run, "deletedUs", (int64_t)wall);
        over = wall > p->deleted_wall_us ? wall - p->deleted_wall_us : 0;
        p->deleted_us = mono > over ? mono - over : 0;
        set_grace(p, grace_us >= 0 ? grace_us / 1000000 : grace_of(p->object));
        if (json_int_or(run, "stage", 0) >= POD_STOPPING) {
                p->stage = POD_STOPPING;
                p->drained_us = mono;
        }
}

static void load_run(struct pod *p) {
        _cleanup_json_ json_t *run = NULL;
        const json_t *v;
        size_t i;

        if (statedir_load_run(p->pods->agent->statedir, p->uid, &run) < 0)
                return;
        snprintf(p->ip, sizeof(p->ip), "%s", json_str_or(run, "ip", ""));
        p->start_us = (uint64_t)json_int_or(run, "startUs", (int64_t)p->start_us);
        if (json_str(run, "failedReason")) {
                p->failed_reason = strdup(json_str(run, "failedReason"));
                p->failed_message = strdup(json_str_or(run, "failedMessage", ""));
        }
        json_array_foreach (json_at(run, "containers"), i, v)
                for (size_t k = 0; k < p->count; k++)
                        if (streq(p->records[k].name, json_str_or(v, "name", ""))) {
                                container_record_load(&p->records[k], v);
                                memcpy(p->containers[k].announced, p->records[k].invocation,
                                                sizeof(p->containers[k].announced));
                                p->containers[k].adopted = json_bool_or(v, "ready", false);
                        }
        /* Memory volumes and the network went with the machine: the init containers have work
         * again. */
        for (size_t k = 0; k < p->count &&
                           !streq(json_str_or(run, "boot", p->pods->boot_id), p->pods->boot_id);
                        k++)
                if (p->records[k].init && !pod_is_terminal(p))
                        (void)container_set_waiting(&p->records[k], "PodInitializing", NULL);
        if (json_int_or(run, "stage", 0) >= POD_DRAINING)
                load_end(p, run);
}

static void load_one(const char *uid, void *userdata) {
        struct pods *all = userdata;
        _cleanup_json_ json_t *v = NULL;
        json_t *object;
        struct pod *p;
        int r = statedir_load_pod(all->agent->statedir, uid, &v);

        object = json_object_get(v, "pod");
        if (r < 0 || !json_is_object(object) || !streq(object_uid(object), uid) ||
                        !uid_is_tame(uid)) {
                log_warning("The state of pod %s on disk cannot be read (%s); it is left alone "
                            "until the control plane says more",
                                uid, strerror(r < 0 ? -r : EBADMSG));
                return;
        }
        p = pod_make(all, object, json_bool_or(v, "static", false) ? POD_STATIC : 0);
        if (!p)
                return;
        p->from_disk = p->admitted = true;
        if (json_is_object(json_object_get(v, "resources")))
                p->resources = json_incref(json_object_get(v, "resources"));
        load_run(p);
        if (*p->ip && all->agent->ipam && !pod_is_host_network(p) &&
                        ipam_reserve(all->agent->ipam, p->ip) < 0)
                p->ip[0] = 0;
        pod_wake(p);
}

int pods_load(struct pods *all) {
        return statedir_each_pod(all->agent->statedir, load_one, all);
}

void pods_unit_changed(struct pods *all, const char *name, const struct unit_state *state) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                struct container *c = pod_container(p, name);

                if (!c)
                        continue;
                /* A unit of the same name that belongs to another pod (a StatefulSet's earlier
                 * one). */
                if (state && state->slice[0]) {
                        _cleanup_free_ char *slice = pod_slice_name(p->uid);
                        if (slice && !streq(slice, state->slice)) {
                                pod_wake(p);
                                continue;
                        }
                }
                if (all->units_listed)
                        c->starting = false;
                container_look(c, state);
                pod_wake(p);
        }
}

void pods_unit_start_error(struct pods *all, const char *name, const char *message) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                struct container *c = pod_container(p, name);

                if (!c || !c->starting)
                        continue;
                c->starting = false;
                c->backoff_us = c->backoff_us == 0 ? 1000000
                                                   : MIN(c->backoff_us * 2, UINT64_C(300000000));
                c->retry_us = now_mono_us() + c->backoff_us;
                if (c->record->phase == CONTAINER_RUNNING)
                        (void)container_observe(c->record, NULL, now_wall_us());
                (void)container_set_waiting(c->record, "CreateContainerError", message);
                pod_event(p, "Warning", "Failed", "Error: container %s: %s", c->record->name,
                                message);
                pod_wake(p);
        }
}

static bool pod_is_here(const char *uid, void *userdata) {
        return map_get(((struct pods *)userdata)->by_uid, uid) != NULL;
}

static bool slice_is_claimed(struct pods *all, const char *slice) {
        map_foreach (all->by_uid, e) {
                _cleanup_free_ char *name = pod_slice_name(map_entry_key(e));
                if (name && streq(name, slice))
                        return true;
        }
        return false;
}

bool pods_claim_slice(struct pods *all, const char *slice) {
        return slice_is_claimed(all, slice);
}

/* A unit with a name of ours that no pod claims: left by an agent whose state is lost. */
static void stop_unclaimed(const char *name, const struct unit_state *state, void *userdata) {
        struct pods *all = userdata;
        bool claimed = false;

        if (startswith(name, "kpodx-"))
                return;
        if (endswith(name, ".slice"))
                claimed = slice_is_claimed(all, name);
        map_foreach (all->by_uid, e)
                claimed |= pod_container(map_entry_value(e), name) != NULL;
        if (!claimed) {
                log_notice("Stopping %s: no pod claims it", name);
                (void)units_stop(all->agent->units, name);
                (void)units_reset_failed(all->agent->units, name);
        }
}

static void remove_unclaimed_network(const char *uid, void *userdata) {
        struct pods *all = userdata;

        if (!map_get(all->by_uid, uid))
                (void)network_pod_down(all->agent->network, uid);
}

/* Only when it is certain which pods there are: what the disk lost the API may still know. */
static void sweep(struct pods *all) {
        if (!all->units_listed || (all->agent->api && !all->synced))
                return;
        units_each(all->agent->units, stop_unclaimed, all);
        if (all->agent->network)
                network_each_pod(remove_unclaimed_network, all);
        volumes_sweep(AGENT_RUN_DIR "/pods", pod_is_here, all);
        volumes_sweep(AGENT_SECRET_DIR, pod_is_here, all);
}

void pods_units_listed(struct pods *all) {
        all->units_listed = true;
        units_each(all->agent->units, stop_unclaimed, all);
        if (all->agent->network)
                network_each_pod(remove_unclaimed_network, all);
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                for (size_t i = 0; i < p->count; i++)
                        if (!units_get(all->agent->units, p->containers[i].unit)) {
                                p->containers[i].adopted = false;
                                (void)container_observe(&p->records[i], NULL, now_wall_us());
                        }
                pod_wake(p);
        }
}

void pods_synced(struct pods *all, bool (*is_known)(const char *uid, void *userdata),
                void *userdata) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                if (!(p->flags & POD_STATIC) && !is_known(p->uid, userdata))
                        pods_gone(all, p->uid);
        }
        all->synced = true;
        sweep(all);
}

void pods_mend_network(struct pods *all) {
        struct agent *a = all->agent;

        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (p->sandbox_ready && p->stage < POD_CLEANING && !pod_is_host_network(p) &&
                                *p->ip && a->ipam && a->network)
                        (void)network_pod_up(a->network, p->uid, p->ip, ipam_gateway(a->ipam));
        }
}

static void on_drift(const char *name, const char *property, void *userdata) {
        struct pods *all = userdata;

        log_notice("%s of %s was changed by hand; put back", property, name);
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                if (pod_container(p, name))
                        pod_event(p, "Warning", "UnitDrift",
                                        "%s of unit %s was changed by hand and has been put back",
                                        property, name);
        }
}

void pods_check_units(struct pods *all) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (p->stage != POD_ALIVE)
                        continue;
                pod_ensure_logs(p);
                for (size_t i = 0; i < p->count; i++) {
                        const json_t *unit = container_unit(&p->containers[i]);
                        if (unit && units_get(all->agent->units, p->containers[i].unit))
                                (void)units_check(all->agent->units, unit, on_drift, all);
                }
        }
}
