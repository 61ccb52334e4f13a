/* The end of a pod, in the order that keeps a steady load free of errors:
 *
 *   DRAINING   go on serving until our own service table no longer lists the pod, and a second
 * longer for the other nodes (established connections go on through conntrack) PRESTOP    the hooks
 * of the containers STOPPING   SIGTERM through systemd; SIGKILL when the grace period is over
 *   CLEANING   network, volumes, slice
 *   FINISHED   last status, then the object is deleted with grace 0; then nothing is left on disk
 *
 * All of it fits in the grace period, which began with the deletion. */
#include "nodeagent/pod/internal.h"

#include <signal.h>

#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/plan/pod-units.h"
#include "nodeagent/pod/volumes.h"

enum {
        DRAIN_MAX_US = 5 * 1000000,
        MARGIN_US = 1000000,
        RETRY_US = 2 * 1000000,
};

static uint64_t deadline_us(const struct pod *p) {
        return p->deleted_us + p->grace_us;
}

static bool any_unit(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                const struct unit_state *s =
                                units_get(p->pods->agent->units, p->containers[i].unit);
                _cleanup_free_ char *slice = pod_slice_name(p->uid);

                if (s && s->slice[0] && slice && !streq(s->slice, slice))
                        continue;
                if (s || p->containers[i].starting)
                        return true;
        }
        return false;
}

/* 1 when the pod may be stopped. */
static int drained(struct pod *p) {
        uint64_t now = now_mono_us(),
                 end = p->deleted_us + MIN((uint64_t)DRAIN_MAX_US, p->grace_us / 2);
        bool served = p->pods->agent->nft && nft_serves_pod(p->pods->agent->nft, p->uid);

        p->was_served |= served;
        if (!any_unit(p) || !p->was_served)
                return 1;
        if (served && now < end) {
                pod_wake_at(p, end);
                return 0;
        }
        if (p->drained_us == 0)
                p->drained_us = now;
        end = MIN(p->drained_us + MARGIN_US, deadline_us(p));
        if (now < end) {
                pod_wake_at(p, end);
                return 0;
        }
        return 1;
}

/* 1 when every hook has ended or the time is over. */
static int hooks_done(struct pod *p) {
        bool pending = false;

        for (size_t i = 0; i < p->count; i++)
                pending |= !container_pre_stop(&p->containers[i], p->drained_us);
        if (!pending || now_mono_us() >= deadline_us(p))
                return 1;
        pod_wake_at(p, deadline_us(p));
        return 0;
}

static void stop_units(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                struct container *c = &p->containers[i];

                container_hooks_stop(c);
                container_probes_stop(c);
                if (!units_get(p->pods->agent->units, c->unit))
                        continue;
                pod_event(p, "Normal", "Killing", "Stopping container %s", c->record->name);
                c->restarting = true;
                (void)units_stop(p->pods->agent->units, c->unit);
        }
}

/* 1 when all units are gone. */
static int stopped(struct pod *p) {
        uint64_t now = now_mono_us(), end = MAX(deadline_us(p), p->drained_us + 2000000);

        for (size_t i = 0; i < p->count; i++) {
                struct container *c = &p->containers[i];
                const struct unit_state *s = units_get(p->pods->agent->units, c->unit);

                if (s && (streq(s->active, "failed") || streq(s->active, "inactive")))
                        (void)units_reset_failed(p->pods->agent->units, c->unit);
                else if (s && now >= end && !p->killed)
                        (void)units_kill(p->pods->agent->units, c->unit, SIGKILL);
                /* Started at the last moment, or again by hand. */
                else if (s && !streq(s->active, "deactivating") && now >= p->drained_us + RETRY_US)
                        (void)units_stop(p->pods->agent->units, c->unit);
        }
        if (!any_unit(p))
                return 1;
        p->killed |= now >= end;
        pod_wake_at(p, p->killed ? now + RETRY_US : MIN(end, now + RETRY_US));
        return 0;
}

static void clean(struct pod *p) {
        struct agent *a = p->pods->agent;
        _cleanup_free_ char *slice = pod_slice_name(p->uid);
        int r;

        if (slice)
                (void)units_stop(a->units, slice);
        if (a->nft)
                nft_local_pod(a->nft, p->uid, "", NULL);
        if (!pod_is_host_network(p) && a->network) {
                r = network_pod_down(a->network, p->uid);
                if (r < 0)
                        log_warning_errno(r, "Cannot remove the network of pod %s/%s",
                                        object_namespace(p->object), object_name(p->object));
                if (a->ipam && *p->ip)
                        ipam_release(a->ipam, p->ip);
        }
        for (size_t i = 0; i < p->count && a->log_sockets; i++)
                log_sockets_remove(a->log_sockets, p->uid, p->records[i].name);
        r = volumes_remove(p->disk_dir, p->run_dir, p->secret_dir);
        if (r < 0)
                log_warning_errno(r, "Cannot remove the volumes of pod %s/%s",
                                object_namespace(p->object), object_name(p->object));
}

static void on_deleted(
                int error, const json_t *object, const struct problem *problem, void *userdata) {
        struct pod *p = userdata;

        p->call = NULL;
        /* Gone, or another pod has the name by now: either way ours is no more. */
        if (error == 0 || error == -ENOENT || error == -ESTALE)
                p->api_gone = true;
        else
                p->report_retry_us = now_mono_us() + RETRY_US;
        pod_wake(p);
}

static void finish(struct pod *p) {
        struct api_client *api = p->pods->agent->api;
        uint64_t now = now_mono_us();
        _cleanup_free_ char *path = NULL;
        _cleanup_json_ json_t *body = NULL;

        if (p->api_gone || (p->flags & POD_STATIC) || !api) {
                pod_forget(p);
                return;
        }
        if (p->call)
                return;
        if (now < p->report_retry_us) {
                pod_wake_at(p, p->report_retry_us);
                return;
        }
        path = api_path(api_resource_find("pods"), object_namespace(p->object),
                        object_name(p->object), NULL, NULL);
        body = json_pack("{s:s, s:s, s:i, s:{s:s}}", "apiVersion", "v1", "kind", "DeleteOptions",
                        "gracePeriodSeconds", 0, "preconditions", "uid", p->uid);
        if (!path || !body || api_delete_async(api, path, body, on_deleted, p, &p->call) < 0) {
                p->report_retry_us = now + RETRY_US;
                pod_wake_at(p, p->report_retry_us);
        }
}

/* Falls through the stages as far as it can. May free the pod. */
void pod_step_stop(struct pod *p) {
        if (p->stage == POD_DRAINING) {
                /* Readiness goes on being probed, so that the picture stays true until the end. */
                if (!drained(p)) {
                        pod_report(p);
                        return;
                }
                p->stage = POD_PRESTOP;
                p->drained_us = now_mono_us();
        }
        if (p->stage == POD_PRESTOP) {
                if (!hooks_done(p)) {
                        pod_report(p);
                        return;
                }
                p->stage = POD_STOPPING;
                p->drained_us = now_mono_us();
                stop_units(p);
        }
        if (p->stage == POD_STOPPING) {
                if (!stopped(p)) {
                        pod_report(p);
                        return;
                }
                p->stage = POD_CLEANING;
        }
        if (p->stage == POD_CLEANING) {
                clean(p);
                p->stage = POD_FINISHED;
        }
        pod_report(p);
        if (!p->call || p->api_gone)
                finish(p);
}
