/* The set of pods of this node: what comes from the API, from the disk and from the runtime finds
 * its pod here. The pod then acts by itself (pod_look()). */
#include "nodeagent/pod/pods.h"

#include <systemd/sd-id128.h>

#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "nodeagent/host-drift.h"
#include "nodeagent/eviction-plan.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/portables.h"
#include "nodeagent/pod/shares.h"
#include "nodeagent/pod/volumes.h"

static void free_pod(void *value) {
        pod_free(value);
}

int pods_new(struct pods **ret, struct agent *agent) {
        _cleanup_(pods_freep) struct pods *p = calloc(1, sizeof(*p));
        sd_id128_t id;
        int r;

        if (!p)
                return -ENOMEM;
        p->agent = agent;
        TAILQ_INIT(&p->dirty);
        TAILQ_INIT(&p->want_slots);
        start_slots_init(&p->slots, sysconf(_SC_NPROCESSORS_ONLN));
        p->by_uid = map_new(free_pod);
        p->by_unit = map_new(NULL);
        p->by_sandbox = map_new(NULL);
        if (!p->by_uid || !p->by_unit || !p->by_sandbox)
                return -ENOMEM;
        /* Commands that an agent before us started may still run under their numbers. */
        p->exec_serial = (unsigned)random_below(1000000) * 1000;
        if (sd_id128_get_boot(&id) >= 0)
                sd_id128_to_string(id, p->boot_id);
        r = look_new(&p->look);
        if (r < 0)
                return r;
        r = loop_turn_new(&p->turn, agent->event, SD_EVENT_PRIORITY_NORMAL, pods_on_turn, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

struct pods *pods_free(struct pods *p) {
        if (!p)
                return NULL;
        map_free(p->by_uid);
        map_free(p->by_unit);
        map_free(p->by_sandbox);
        json_decref(p->taints);
        look_free(p->look);
        sd_event_source_disable_unref(p->file_check);
        loop_turn_free(p->turn);
        sd_event_source_disable_unref(p->slot_timer);
        free(p);
        return NULL;
}

/* ---- the indexes ---- */

/* Two pods may have a unit of the same name: a StatefulSet's earlier pod, still stopping, and the
 * one that waits for it. */
static int index_unit(struct pods *all, struct container *c) {
        struct container *first = map_get(all->by_unit, c->unit);

        if (!first)
                return map_set(all->by_unit, c->unit, c);
        c->same_unit = first->same_unit;
        first->same_unit = c;
        return 0;
}

static void unindex_unit(struct pods *all, struct container *c) {
        struct container *first = map_get(all->by_unit, c->unit);

        if (!first)
                return;
        if (first == c) {
                (void)map_steal(all->by_unit, c->unit);
                if (c->same_unit)
                        assert(map_set(all->by_unit, c->unit, c->same_unit) >= 0);
                return;
        }
        for (struct container *i = first; i->same_unit; i = i->same_unit)
                if (i->same_unit == c) {
                        i->same_unit = c->same_unit;
                        return;
                }
}

static void unindex(struct pods *all, struct pod *p) {
        for (size_t i = 0; i < p->count; i++)
                unindex_unit(all, p->containers[i]);
        (void)map_steal(all->by_sandbox, p->sandbox_name);
}

static int index_pod(struct pods *all, struct pod *p) {
        int r = map_set(all->by_sandbox, p->sandbox_name, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < p->count; i++) {
                r = index_unit(all, p->containers[i]);
                if (r < 0)
                        return r;
        }
        return map_set(all->by_uid, p->uid, p);
}

int pods_add(struct pods *all, struct pod *p) {
        int r;

        assert(!map_get(all->by_uid, p->uid));
        r = index_pod(all, p);
        if (r < 0)
                unindex(all, p);
        else if (all->agent->runtime) /* of those from the disk: pods_runtime_there() */
                pod_adopt_units(p);
        return r;
}

void pods_runtime_there(struct pods *all) {
        map_foreach (all->by_uid, e)
                pod_adopt_units(map_entry_value(e));
}

int pods_add_container(struct pods *all, struct container *c) {
        return index_unit(all, c);
}

/* A pod may be waiting for the unit names, a volume or an address that the forgotten one held.
 * Those that run already wait for nothing. */
static void wake_waiting(struct pods *all) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (!pod_has_started(p))
                        pod_wake(p);
        }
}

void pods_forget(struct pod *p) {
        struct pods *all = p->pods;
        int r = statedir_remove_pod(all->agent->statedir, p->uid);

        if (r < 0)
                log_warning_errno(r, "Cannot remove the state of pod %s", p->uid);
        unindex(all, p);
        (void)map_remove(all->by_uid, p->uid);
        shares_sweep(all->agent->shares);
        wake_waiting(all);
}

bool pods_has_sandbox(const struct pods *all, const char *sandbox) {
        return map_get(all->by_sandbox, sandbox) != NULL;
}

/* ---- from the API and from manifests ---- */

/* Finished before this agent ever saw it: nothing to run. */
static bool is_over(const json_t *object) {
        const char *phase = json_str_or(object, "status.phase", "");

        return (streq(phase, "Succeeded") || streq(phase, "Failed")) && !object_is_deleting(object);
}

int pods_apply(struct pods *all, const json_t *object, unsigned flags) {
        const char *uid = object_uid(object);
        struct pod *p;

        if (!uid_is_valid(uid))
                return -EINVAL;
        p = map_get(all->by_uid, uid);
        if (p) {
                pod_update(p, object, /* first= */ false);
                return 0;
        }
        if (is_over(object))
                return 0;
        p = pod_new(all, object, flags);
        if (!p)
                return -ENOMEM;
        if (pods_add(all, p) < 0) {
                pod_free(p);
                return -ENOMEM;
        }
        pod_recover(p);
        if (!pod_has_started(p))
                p->arrived_us = now_mono_us();
        pod_update(p, object, /* first= */ true);
        return 0;
}

void pods_gone(struct pods *all, const char *uid) {
        struct pod *p = map_get(all->by_uid, uid);

        if (p)
                pod_gone(p, /* forced= */ true);
}

void pods_wake_all(struct pods *all) {
        map_foreach (all->by_uid, e)
                pod_wake(map_entry_value(e));
}

void pods_wake_pod(struct pods *all, const char *uid) {
        struct pod *p = map_get(all->by_uid, uid);

        if (p)
                pod_wake(p);
}

void pods_units_changed(struct pods *all, const char *uid) {
        struct pod *p = map_get(all->by_uid, uid);

        if (!p)
                return;
        pod_adopt_units(p);
        pod_wake(p);
}

void pods_set_taints(struct pods *all, const json_t *taints) {
        bool first = !all->node_seen;

        json_decref(all->taints);
        all->taints = json_ref(taints);
        all->node_seen = true;
        if (first)
                pods_wake_all(all);
}

void pods_wake_ending(struct pods *all) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                if (p->memory.stage == POD_DRAINING)
                        pod_wake(p);
        }
}

size_t pods_count(const struct pods *all) {
        return map_size(all->by_uid);
}

void pods_count_phases(const struct pods *all, size_t counts[static POD_PHASES]) {
        map_foreach (all->by_uid, e) {
                enum pod_phase phase = pod_phase(map_entry_value(e));

                if (phase < POD_PHASES)
                        counts[phase]++;
        }
}

void pods_each(struct pods *all, void (*func)(const json_t *object, void *userdata),
                void *userdata) {
        map_foreach (all->by_uid, e)
                func(((struct pod *)map_entry_value(e))->object, userdata);
}

void pods_each_container(struct pods *all,
                void (*func)(const json_t *pod, const char *container, const char *unit,
                                void *userdata),
                void *userdata) {
        map_foreach (all->by_uid, e) {
                const struct pod *p = map_entry_value(e);

                for (size_t i = 0; i < p->count; i++)
                        if (p->containers[i]->unit)
                                func(p->object, p->records[i].name, p->containers[i]->unit,
                                                userdata);
        }
}

/* ---- images ---- */

/* Adds the key to a set; "" is left out. */
static int set_add(json_t *set, const char *key) {
        return *key && json_object_set_new(set, key, json_true()) < 0 ? -ENOMEM : 0;
}

json_t *pods_images(const struct pods *all) {
        _cleanup_json_ json_t *out = json_object();

        map_foreach (all->by_uid, e) {
                const struct pod *p = map_entry_value(e);

                for (size_t i = 0; out && i < p->count; i++) {
                        const json_t *image = p->records[i].image;

                        if (!image)
                                continue;
                        if (set_add(out, json_str_or(image, "id", "")) < 0 ||
                                        set_add(out, json_str_or(image, "name", "")) < 0)
                                return NULL;
                }
        }
        return TAKE_PTR(out);
}

void pods_mark_images(const struct pods *all) {
        map_foreach (all->by_uid, e) {
                const struct pod *p = map_entry_value(e);

                for (size_t i = 0; i < p->count; i++)
                        container_image_mark_used(p->containers[i]);
        }
}

static bool is_living(const struct pod *p) {
        return p->memory.stage == POD_ALIVE && !p->failed_reason && !p->ending.reason &&
               pod_has_started(p) && !pod_is_terminal(p);
}

void pods_each_living(struct pods *all,
                void (*func)(const json_t *object, const char *dir, void *userdata),
                void *userdata) {
        map_foreach (all->by_uid, e) {
                const struct pod *p = map_entry_value(e);

                if (!(p->flags & POD_STATIC) && is_living(p))
                        func(p->object, p->disk_dir, userdata);
        }
}

void pods_end(struct pods *all, const char *uid, const char *reason, const char *message,
                int64_t grace_s) {
        struct pod *p = map_get(all->by_uid, uid);

        if (p && is_living(p))
                pod_end(p, reason, message, grace_s);
}

bool pods_has_processes(const struct pods *all, const char *uid) {
        const struct pod *p = map_get(all->by_uid, uid);

        for (size_t i = 0; p && i < p->count; i++)
                if (p->records[i].phase == CONTAINER_RUNNING && !p->containers[i]->adopts)
                        return true;
        return false;
}

bool pods_has_units(const struct pods *all, const char *uid) {
        const struct pod *p = map_get(all->by_uid, uid);

        return p && p->memory.stage < POD_CLEANING;
}

bool pods_has_data(const struct pods *all, const char *uid) {
        const struct pod *p = map_get(all->by_uid, uid);

        return p && !p->usage.swept && p->memory.stage < POD_CLEANING;
}

void pods_set_halting(struct pods *all, bool halting) {
        all->halting = halting;
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (!halting && !p->ending.reason)
                        p->ending.bounded = false;
                pod_wake(p);
        }
}

bool pods_are_reported(const struct pods *all) {
        map_foreach (all->by_uid, e) {
                const struct pod *p = map_entry_value(e);

                if (!(p->flags & POD_STATIC) && !p->api_gone && !reporting_is_done(p))
                        return false;
        }
        return true;
}

/* With the time that this machine's shutdown leaves. */
static void halt(struct pod *p, bool fail, int64_t grace_s) {
        p->ending.bounded = true;
        p->ending.grace_s = MIN(grace_s, pod_grace_s(p->object));
        if (fail)
                pod_end(p, "Terminated",
                                "Pod was terminated in response to imminent node shutdown.",
                                p->ending.grace_s);
        pod_wake(p);
}

void pods_halt(struct pods *all, bool critical, bool fail, int64_t grace_s) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (critical || !eviction_pod_is_critical(p->object))
                        halt(p, fail && !(p->flags & POD_STATIC), grace_s);
        }
}

bool pods_any_runs(const struct pods *all, bool critical) {
        map_foreach (all->by_uid, e) {
                const struct pod *p = map_entry_value(e);

                if ((critical || !eviction_pod_is_critical(p->object)) &&
                                pods_has_processes(all, p->uid))
                        return true;
        }
        return false;
}

void pods_set_pressures(struct pods *all, unsigned pressures) {
        all->pressures = pressures;
}

/* ---- from the disk ---- */

static void load_one(const char *uid, void *userdata) {
        struct pods *all = userdata;
        struct pod *p = pod_load(all, uid);

        if (!p)
                return;
        if (pods_add(all, p) < 0) {
                pod_free(p);
                return;
        }
        pod_wake(p);
}

int pods_load(struct pods *all) {
        return statedir_each_pod(all->agent->statedir, load_one, all);
}

/* ---- from the runtime ---- */

void pods_unit_changed(struct pods *all, const char *name, const struct run_state *state) {
        for (struct container *c = map_get(all->by_unit, name); c; c = c->same_unit)
                container_observe_run(c, state);
}

void pods_unit_start_error(struct pods *all, const char *name, const char *message) {
        for (struct container *c = map_get(all->by_unit, name); c; c = c->same_unit)
                container_start_refused(c, message);
}

static bool pod_is_here(const char *uid, void *userdata) {
        return map_get(((struct pods *)userdata)->by_uid, uid) != NULL;
}

/* An orphaned unit: it has a name of the agent's, and no pod claims it. The agent before us has
 * lost its state. */
static void stop_orphan(const char *name, bool sandbox, void *userdata) {
        struct pods *all = userdata;

        if (sandbox ? pods_has_sandbox(all, name) : map_get(all->by_unit, name) != NULL)
                return;
        log_notice("Stopping %s: no pod claims it", name);
        (void)runtime_stop(all->agent->runtime, name);
        (void)runtime_clear(all->agent->runtime, name);
}

static void remove_orphaned_network(const char *uid, void *userdata) {
        struct pods *all = userdata;

        if (!map_get(all->by_uid, uid))
                (void)network_pod_down(all->agent->network, uid);
}

static void stop_orphans(struct pods *all) {
        runtime_list(all->agent->runtime, stop_orphan, all);
        if (all->agent->network)
                network_each_pod(remove_orphaned_network, all);
}

/* Only when it is certain which pods there are: the API may still know what the disk has lost. */
static void sweep(struct pods *all) {
        if (!all->units_listed || (all->agent->api && !all->synced))
                return;
        stop_orphans(all);
        runtime_adopt_sweep(all->agent->runtime);
        portables_sweep(all->agent->portables);
        volumes_sweep(AGENT_RUN_DIR "/pods", pod_is_here, all);
        volumes_sweep(AGENT_SECRET_DIR, pod_is_here, all);
}

void pods_units_listed(struct pods *all) {
        struct run_state state;

        all->units_listed = true;
        sweep(all);
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                for (size_t i = 0; i < p->count; i++)
                        if (runtime_state(all->agent->runtime, p->containers[i]->unit, &state) == 0)
                                container_not_adopted(p->containers[i]);
                pod_wake(p);
        }
}

/* Of the pods with exactly these flags, those that are not known any longer end. */
static void end_unknown(struct pods *all, unsigned flags,
                bool (*is_known)(const char *uid, void *userdata), void *userdata) {
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);
                if ((p->flags & POD_STATIC) == flags && !is_known(p->uid, userdata))
                        pod_gone(p, /* forced= */ false);
        }
}

void pods_static_listed(struct pods *all, bool (*is_known)(const char *uid, void *userdata),
                void *userdata) {
        end_unknown(all, POD_STATIC, is_known, userdata);
}

void pods_synced(struct pods *all, bool (*is_known)(const char *uid, void *userdata),
                void *userdata) {
        end_unknown(all, /* flags= */ 0, is_known, userdata);
        all->synced = true;
        sweep(all);
}

/* ---- from the machine ---- */

void pods_mend_network(struct pods *all) {
        map_foreach (all->by_uid, e)
                sandbox_mend_network(map_entry_value(e));
}

void pods_mend_link(struct pods *all, const char *link) {
        map_foreach (all->by_uid, e)
                if (network_pod_has_link(map_entry_key(e), link))
                        sandbox_mend_network(map_entry_value(e));
}

void pods_reserve_addresses(struct pods *all) {
        map_foreach (all->by_uid, e)
                sandbox_reserve(map_entry_value(e));
}

static bool on_drift(const char *name, const char *property, void *userdata) {
        struct pods *all = userdata;
        _cleanup_free_ char *what = strformat("%s of unit %s was changed manually", property, name);
        bool news, repair = what && host_drift_found(all->agent->drift, DRIFT_UNIT, what, &news);

        if (!what || !news)
                return repair;
        for (struct container *c = map_get(all->by_unit, name); c; c = c->same_unit)
                pod_event(c->pod, "Warning", "UnitDrift", "%s and %s", what,
                                repair ? "has been put back" : "is left as it is (--drift=report)");
        return repair;
}

void pods_check_units(struct pods *all) {
        pods_check_files(all);
        map_foreach (all->by_uid, e) {
                struct pod *p = map_entry_value(e);

                if (p->memory.stage != POD_ALIVE)
                        continue;
                for (size_t i = 0; i < p->count; i++) {
                        const json_t *unit = container_plan(p->containers[i]);
                        if (unit)
                                (void)runtime_check(all->agent->runtime, unit, on_drift, all);
                }
        }
}

/* Whether processes of it may run: of one that has failed as a whole (a deadline, an eviction) they
 * do until its grace period ends. */
static bool may_run(const struct pod *p) {
        for (size_t i = 0; i < p->count; i++)
                if (p->records[i].phase == CONTAINER_RUNNING)
                        return true;
        return !pod_is_terminal(p);
}

static bool has_volume(const struct pod *p, const char *volume) {
        return may_run(p) && json_get(p->sandbox.resources, "volumes", volume, NULL);
}

bool pods_use_share(const struct pods *p, const char *where) {
        map_foreach (p->by_uid, e) {
                const struct pod *pod = map_entry_value(e);

                if (pod_uses_share(pod->object, pod->sandbox.resources, where))
                        return true;
        }
        return false;
}

const struct pod *pods_holder_of(const struct pods *p, const char *volume) {
        map_foreach (p->by_uid, e) {
                const struct pod *pod = map_entry_value(e);

                if ((pod->sandbox.ready || pod_has_started(pod)) && has_volume(pod, volume))
                        return pod;
        }
        return NULL;
}

bool pods_use_volume(const struct pods *p, const char *volume) {
        map_foreach (p->by_uid, e) {
                const struct pod *pod = map_entry_value(e);

                if (has_volume(pod, volume))
                        return true;
        }
        return false;
}
