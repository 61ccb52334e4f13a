/* The way of a pod without a node:
 *
 *      queued --> choose --node--> assumed --> binding --ok--> (its watch event confirms)
 *        ^          | none                        | refused: forgotten, queued with back-off
 *        |          v
 *        |       preemption: victims deleted, the node promised to the pod
 *        |          v
 *        '-- parked, until an event one of the refusing plugins named (with back-off)
 *
 * "No node" is not an error: it is reported in the pod's PodScheduled condition and an Event, and
 * costs nothing until something changes. An assumed pod counts on its node at once, so the next
 * choice sees it. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "reconcilers/sched/internal.h"

/* Choices in one turn of the loop, so that sockets and timers are looked at in between. */
enum { CHOICES_A_TURN = 32 };
/* How often pods that wait for volumes are looked at without an event. */
#define WAITING_LOOK_US (5 * UINT64_C(1000000))

/* --- one pod --- */

static struct sched_pod *read_pod(struct scheduler *s, const char *key, const json_t *object,
                const struct sched_profile *profile) {
        const char *node = json_str_or(object, "status.nominatedNodeName", "");
        struct sched_pod *pod = sched_queue_payload(s->queue, key);

        if (pod)
                return pod;
        pod = sched_pod_new(s->cluster, profile, object);
        if (*node)
                sched_cluster_nominate(s->cluster, pod, node);
        sched_queue_set_payload(s->queue, key, pod);
        return pod;
}

static void no_node(struct scheduler *s, const char *key, struct sched_pod *pod,
                const json_t *object, const struct sched_reasons *why) {
        struct sched_preemption preemption;

        sched_preempt(s->cluster, pod, random_u64(), &preemption);
        metric_add(s->unschedulable_total, 1);
        scheduler_report(s, pod, object, why, &preemption);
        sched_preemption_done(&preemption);
        sched_queue_park(s->queue, key, why->events, now_mono_us());
}

static int bind_or_wait(struct scheduler *s, struct sched_pod *pod, const json_t *object,
                const char *node) {
        _cleanup_strv_free_ char **to_select = NULL;
        int r = sched_pod_claims_to_bind(s->cluster, pod, node, &to_select);

        if (r < 0)
                return r;
        if (r == 0)
                return scheduler_bind(s, pod, object, node);
        scheduler_wait_for_claims(s, pod, object, node, to_select);
        return 0;
}

static void place(struct scheduler *s, const char *key) {
        const json_t *object = scheduler_pod(s, key);
        const struct sched_profile *profile = scheduler_profile_of(s, object);
        _cleanup_sched_reasons_ struct sched_reasons why = {0};
        uint64_t begin = now_mono_us();
        struct sched_pod *pod;
        const char *node;

        /* Bound already, and the watch lags: also done. */
        if (!profile || sched_cluster_node_of(s->cluster, object_uid(object))) {
                sched_queue_remove(s->queue, key);
                return;
        }
        pod = read_pod(s, key, object, profile);
        node = sched_choose(s->cluster, pod, random_u64(), &why);
        metric_observe(s->choice, (double)(now_mono_us() - begin) / 1e6);
        if (!node) {
                no_node(s, key, pod, object, &why);
                scheduler_metrics_end(s, begin);
        } else if (bind_or_wait(s, pod, object, node) < 0)
                sched_queue_retry(s->queue, key, now_mono_us());
}

/* --- the loop --- */

static bool may_work(const struct scheduler *s) {
        return s->leading && scheduler_is_synced(s) && map_size(s->bindings) < BINDINGS_MAX &&
               map_size(s->writes) < WRITES_MAX;
}

static void set_timer(struct scheduler *s) {
        uint64_t next = sched_queue_next_us(s->queue);

        if (map_size(s->waiting) > 0)
                next = MIN(next, now_mono_us() + WAITING_LOOK_US);
        if (next == UINT64_MAX) {
                (void)sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(s->timer, next);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

void scheduler_arm(struct scheduler *s) {
        if (may_work(s))
                loop_turn_ask(s->work);
}

static void on_work(void *userdata) {
        struct scheduler *s = userdata;

        if (!may_work(s))
                return;
        scheduler_check_claims(s);
        scheduler_apply_wakes(s);
        for (unsigned i = 0; i < CHOICES_A_TURN && may_work(s); i++) {
                const char *key = sched_queue_pop(s->queue, now_mono_us());

                if (!key)
                        break;
                scheduler_metrics_begin(s, key);
                place(s, key);
        }
        if (sched_queue_is_ready(s->queue, now_mono_us()))
                scheduler_arm(s);
        set_timer(s);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        scheduler_arm(userdata);
        return 0;
}

bool scheduler_is_synced(const struct scheduler *s) {
        for (size_t i = 0; i < WATCHES; i++)
                if (!s->watches[i] || !informer_is_synced(s->watches[i]))
                        return false;
        return true;
}

int scheduler_set_leading(struct scheduler *s, bool leading) {
        s->leading = leading;
        if (leading) {
                int r = scheduler_watch(s);

                if (r < 0)
                        return r;
        }
        scheduler_arm(s);
        return 0;
}

/* --- life --- */

static void free_payload(void *payload, void *userdata) {
        struct scheduler *s = userdata;

        sched_pod_free(s->cluster, payload);
}

static int read_profiles(struct scheduler *s, struct problem *p) {
        _cleanup_json_ json_t *only = json_pack("{s:s}", "schedulerName", s->options.name);
        const struct sched_profile *profile;

        if (!s->options.config)
                return only ? sched_profile_add(s->cluster, only, &profile, p) : -ENOMEM;
        if (json_array_size(json_object_get(s->options.config, "profiles")) == 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "profiles: is empty: name at least one, with a schedulerName");
        return sched_profiles_read(s->cluster, s->options.config, p);
}

static int make_sources(struct scheduler *s) {
        int r = loop_turn_new(&s->work, s->options.event, SD_EVENT_PRIORITY_NORMAL, on_work, s);

        if (r < 0)
                return r;
        r = sd_event_add_time(s->options.event, &s->timer, CLOCK_MONOTONIC, UINT64_MAX,
                        /* accuracy= */ 1000, on_timer, s);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
}

int scheduler_new(struct scheduler **ret, const struct scheduler_options *options) {
        _cleanup_(scheduler_freep) struct scheduler *s = calloc(1, sizeof(*s));
        struct sched_queue_options queue = {.free_payload = free_payload, .userdata = s};
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (!s)
                return -ENOMEM;
        s->options = *options;
        s->bindings = map_new(scheduler_binding_free);
        s->writes = map_new(scheduler_write_free);
        s->waiting = map_new(scheduler_waiting_free);
        if (!s->bindings || !s->writes || !s->waiting)
                return -ENOMEM;
        s->cluster = sched_cluster_new();
        s->queue = sched_queue_new(&queue);
        r = read_profiles(s, &p);
        if (r < 0) {
                log_error("The scheduler's configuration: %s", strempty(p.message));
                return r;
        }
        r = scheduler_metrics_make(s);
        if (r < 0)
                return r;
        r = make_sources(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct scheduler *scheduler_free(struct scheduler *s) {
        if (!s)
                return NULL;
        scheduler_metrics_done(s);
        map_free(s->bindings);
        map_free(s->writes);
        map_free(s->waiting);
        for (size_t i = 0; i < WATCHES; i++)
                informer_free(s->watches[i]);
        loop_turn_free(s->work);
        sd_event_source_disable_unref(s->timer);
        scheduler_wakes_done(s);
        sched_queue_free(s->queue);
        sched_cluster_free(s->cluster);
        free(s);
        return NULL;
}
