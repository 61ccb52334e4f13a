/* The view of a pod, gathered for one decision. Nothing is changed here, with one
 * exception that is read late: kpod-exec's report of a start, a file without notification. */
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"

/* Whether the container was made from another spec than the pod's present one (an image changed
 * while the agent was away). */
static bool is_outdated(const struct container *c, const struct run_state *state) {
        return state->description[0] &&
               !pod_container_made(c->pod->object, container_spec(c), state->description);
}

static void view_run(struct container *c, struct container_view *v) {
        const struct pods *all = c->pod->pods;
        const struct run_state *run = &v->run;

        v->there = runtime_state(all->agent->runtime, c->unit, &v->run) > 0;
        if (!v->there)
                return;
        v->foreign = run->owner[0] && !streq(run->owner, c->pod->sandbox_name);
        v->claimed = v->foreign && pods_has_sandbox(all, run->owner);
        v->outdated = !v->foreign && is_outdated(c, run);
        if (run->id[0] && !streq(run->id, c->memory.announced) &&
                        !start_report_matches(&c->record->report, run))
                container_read_report(c);
}

/* The pod ends, and leaves a unit that ran before it as it is. */
static bool is_left_alone(const struct container *c) {
        const struct pod *p = c->pod;

        return c->record->adoption != ADOPTION_MANAGED ||
               (c->record->found != UNIT_FOUND_STOPPED &&
                               (p->memory.stage != POD_ALIVE || p->failed_reason ||
                                               p->ending.reason || p->pods->halting));
}

static void view_adopted(struct container *c, struct container_view *v) {
        v->known = runtime_state(c->pod->pods->agent->runtime, c->unit, &v->run) > 0;
        if (!v->known) {
                /* It was started for the pod, and is stopped with it. */
                v->starting = c->record->found == UNIT_FOUND_STOPPED && !is_left_alone(c);
                return;
        }
        v->there = v->run.phase != RUN_STOPPED && !v->run.trouble && !is_left_alone(c);
        if (v->run.alive) {
                c->record->report = (struct start_report){.ran = true};
                memcpy(c->record->report.invocation, v->run.id, sizeof(v->run.id));
        }
}

static void view_container(struct container *c, struct container_view *v) {
        struct image_view image;

        /* First: another image in the spec changes the memory. */
        container_image_view(c, &image);
        *v = (struct container_view){.spec = container_spec(c),
                        .record = c->record,
                        .memory = c->memory,
                        .starting = c->starting,
                        .hook_busy = container_hook_is_busy(c),
                        .post_start_failed = c->hooks.post_start_failed,
                        .post_start_until_us = c->hooks.post_start_until_us,
                        .resizing = c->resize.call,
                        .resize_retry_us = c->resize.retry_us};
        memcpy(v->probes, c->probes.verdict, sizeof(v->probes));
        v->image = image;
        if (c->adopts)
                view_adopted(c, v);
        else
                view_run(c, v);
        v->pre_stop_done = c->hooks.pre_stop_done && v->there &&
                           streq(c->hooks.pre_stop_of, v->run.id);
}

void pod_view(struct pod *p, uint64_t now_us, struct pod_view *ret,
                struct container_view *containers) {
        const struct agent *a = p->pods->agent;

        *ret = (struct pod_view){.object = p->object,
                        .now_us = now_us,
                        .wall_us = now_wall_us(),
                        .memory = p->memory,
                        .failed_reason = p->failed_reason,
                        .start_us = p->start_us,
                        .standalone = !a->api,
                        .synced = p->pods->synced,
                        .taints_known = p->pods->node_seen,
                        .taints = p->pods->taints,
                        .resources_wanted = a->api && sandbox_wants_resources(p),
                        .resources_known = p->sandbox.resources,
                        .fetching = p->sandbox.fetch,
                        .fetch_us = p->sandbox.fetch_us,
                        .prepared = p->sandbox.ready && p->sandbox.plan,
                        .measurable = usage_is_limited(p),
                        .measuring = p->usage.running,
                        .measure_us = p->usage.next_us,
                        .end_reason = p->ending.reason,
                        .end_message = p->ending.message,
                        .stop_grace_s = p->ending.bounded ? p->ending.grace_s : -1,
                        .pressures = p->pods->pressures,
                        .shutting_down = p->pods->halting,
                        .halting = p->pods->halting && p->ending.bounded,
                        .swept = p->usage.swept,
                        .slots_full = start_slots_are_full(&p->pods->slots, now_us),
                        .served = a->nft && nft_serves_pod(a->nft, p->uid),
                        .resize_reason = p->resizing.reason,
                        .resize_message = p->resizing.message,
                        .records = p->records,
                        .containers = containers,
                        .count = p->count};
        if (pod_wants_resize(p))
                pod_room(p, &ret->room);
        for (size_t i = 0; i < p->count; i++)
                view_container(p->containers[i], &containers[i]);
}
