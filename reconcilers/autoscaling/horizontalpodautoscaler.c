/* The decision of a HorizontalPodAutoscaler: the metrics' proposals, the behaviours, the bounds;
 * with the conditions AbleToScale (the target can be read and written, windows), ScalingActive
 * (metrics) and ScalingLimited (policies and bounds). */
#include "reconcilers/autoscaling/horizontalpodautoscaler.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"
#include "reconcilers/pods.h"

void hpa_decision_done(struct hpa_decision *d) {
        free(d->why);
        json_decref(d->status);
        json_decref(d->events);
        *d = (struct hpa_decision){0};
}

static void set_condition(struct hpa_decision *d, const struct hpa_input *in, const char *type,
                bool status, const char *reason, const char *message) {
        char now[TIMEFMT_SIZE];

        condition_set(json_object_get(d->status, "conditions"), type, status ? "True" : "False",
                        reason, message, time_format(in->now_us, now),
                        /* with_update_time= */ false);
}

/* Takes message. */
static void add_event(struct hpa_decision *d, const char *type, const char *reason, char *message) {
        assert(message);
        assert(json_array_append_new(d->events, json_pack("{ss, ss, ss}", "type", type, "reason",
                                                                reason, "message", message)) == 0);
        free(message);
}

/* The status as it was, to be changed. */
static void begin(struct hpa_decision *d, const struct hpa_input *in) {
        const json_t *was = json_object_get(in->hpa, "status");

        *d = (struct hpa_decision){.events = json_array(),
                        .status = was ? json_deep_copy(was) : json_object()};
        assert(d->events && d->status);
        if (!json_is_array(json_object_get(d->status, "conditions")))
                json_object_set_new(d->status, "conditions", json_array());
        json_set_int(d->status, "observedGeneration", object_generation(in->hpa));
        if (!json_object_get(d->status, "desiredReplicas"))
                json_set_int(d->status, "desiredReplicas", 0);
}

static void cannot_read_scale(struct hpa_decision *d, const struct hpa_input *in) {
        _cleanup_free_ char *message = strformat("the HPA controller was unable to get the "
                                                 "target's current scale: %s",
                        strempty(in->scale_error));

        assert(message);
        set_condition(d, in, "AbleToScale", false, "FailedGetScale", message);
        add_event(d, "Warning", "FailedGetScale", strdup(strempty(in->scale_error)));
}

/* --- metrics --- */

/* What the metrics together ask for. */
struct wish {
        int64_t replicas;
        char *metric;  /* whose proposal it is */
        size_t failed; /* metrics */
        const char *reason;
        char *error; /* of the first that failed */
};

static void wish_done(struct wish *w) {
        free(w->metric);
        free(w->error);
}

/* Moves the proposal's parts into the wish. */
static void take_proposal(struct hpa_decision *d, struct wish *w, struct hpa_proposal *p,
                const json_t *metric, json_t *statuses) {
        if (p->error) {
                /* The statuses are in the order of the metrics. */
                json_array_append_new(statuses,
                                json_pack("{ss}", "type", json_str_or(metric, "type", "")));
                add_event(d, "Warning", p->reason, strdup(p->error));
                if (w->failed++ == 0) {
                        w->reason = p->reason;
                        w->error = TAKE_PTR(p->error);
                }
                return;
        }
        json_array_append(statuses, p->status);
        if (!w->metric || p->replicas > w->replicas) {
                free(w->metric);
                w->metric = TAKE_PTR(p->name);
                w->replicas = p->replicas;
        }
}

static void ask_metrics(const struct hpa_input *in, struct hpa_decision *d, struct wish *w) {
        const json_t *metrics = json_at(in->hpa, "spec.metrics"), *metric;
        struct hpa_view v = {.pods = in->pods,
                        .metrics = in->metrics,
                        .metrics_error = in->metrics_error,
                        .config = in->config,
                        .tolerance_up = hpa_rules(in->hpa, "scaleUp", in->config).tolerance,
                        .tolerance_down = hpa_rules(in->hpa, "scaleDown", in->config).tolerance,
                        .current = d->current,
                        .now_us = in->now_us};
        json_t *statuses = json_array();
        size_t i;

        assert(statuses);
        json_array_foreach (metrics, i, metric) {
                struct hpa_proposal p = {0};

                hpa_propose(&v, metric, &p);
                take_proposal(d, w, &p, metric, statuses);
                hpa_proposal_done(&p);
        }
        if (w->metric)
                json_object_set(d->status, "currentMetrics", statuses);
        else
                json_object_del(d->status, "currentMetrics");
        json_decref(statuses);
}

/* Whether the metrics say enough: a metric that fails does not keep the others from asking for
 * more, but it might be the one that asks for the most. */
static bool judge_metrics(
                const struct hpa_input *in, struct hpa_decision *d, const struct wish *w) {
        size_t n = json_array_size(json_at(in->hpa, "spec.metrics"));
        _cleanup_free_ char *message = NULL;

        if (!w->metric || (w->failed > 0 && w->replicas < d->current)) {
                message = strformat("the HPA was unable to compute the replica count: %s",
                                strempty(w->error));
                assert(message);
                set_condition(d, in, "ScalingActive", false, strempty(w->reason), message);
                add_event(d, "Warning", "FailedComputeMetricsReplicas",
                                strformat("invalid metrics (%zu invalid out of %zu), first error "
                                          "is: %s",
                                                w->failed, n, strempty(w->error)));
                return false;
        }
        message = strformat("the HPA was able to successfully calculate a replica count from %s",
                        w->metric);
        assert(message);
        set_condition(d, in, "ScalingActive", true, "ValidMetricFound", message);
        return true;
}

static bool check_selector(const struct hpa_input *in, struct hpa_decision *d) {
        const char *text = json_str_or(in->scale, "status.selector", "");
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *message = NULL;

        if (!*text) {
                set_condition(d, in, "ScalingActive", false, "InvalidSelector",
                                "the HPA target's scale is missing a selector");
                add_event(d, "Warning", "SelectorRequired", strdup("selector is required"));
                return false;
        }
        if (label_selector_parse(text, &selector, &p) >= 0)
                return true;
        message = strformat("couldn't convert selector into a corresponding internal selector "
                            "object: %s",
                        strempty(p.message));
        assert(message);
        set_condition(d, in, "ScalingActive", false, "InvalidSelector", message);
        add_event(d, "Warning", "InvalidSelector", strdup(message));
        return false;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(object_name(*(const json_t *const *)a),
                        object_name(*(const json_t *const *)b));
}

/* "ns/a ns/b" */
static char *names_of(const struct objects *autoscalers) {
        _cleanup_objects_ struct objects sorted = {0};
        _cleanup_buf_ struct buf b = {0};
        char *text;

        for (size_t i = 0; i < autoscalers->count; i++)
                objects_add(&sorted, autoscalers->items[i]);
        qsort(sorted.items, sorted.count, sizeof(*sorted.items), compare_names);
        for (size_t i = 0; i < sorted.count; i++)
                buf_printf(&b, "%s%s/%s", i > 0 ? " " : "", object_namespace(sorted.items[i]),
                                object_name(sorted.items[i]));
        text = buf_take(&b);
        assert(text);
        return text;
}

/* Two of one target would undo each other's work in every round. */
static bool check_rivals(const struct hpa_input *in, struct hpa_decision *d) {
        _cleanup_free_ char *names = NULL, *message = NULL;

        if (in->autoscalers->count <= 1)
                return true;
        names = names_of(in->autoscalers);
        message = strformat("pods by selector %s are controlled by multiple HPAs: [%s]; delete all "
                            "but one of them",
                        json_str_or(in->scale, "status.selector", ""), names);
        assert(message);
        set_condition(d, in, "ScalingActive", false, "AmbiguousSelector", message);
        add_event(d, "Warning", "AmbiguousSelector", strdup(message));
        return false;
}

/* The metrics' number within windows, policies and bounds. False: it is not known. */
static bool follow_metrics(
                const struct hpa_input *in, struct hpa_history *h, struct hpa_decision *d) {
        _cleanup_(wish_done) struct wish w = {0};
        struct hpa_step stable, limited;

        if (!check_selector(in, d) || !check_rivals(in, d))
                return false;
        ask_metrics(in, d, &w);
        if (!judge_metrics(in, d, &w))
                return false;
        stable = hpa_stabilize(h, in->hpa, in->config, d->current, w.replicas, in->mono_us);
        set_condition(d, in, "AbleToScale", true, stable.reason, stable.message);
        limited = hpa_limit(h, in->hpa, in->config, d->current, stable.replicas, in->mono_us);
        set_condition(d, in, "ScalingLimited", limited.replicas != stable.replicas, limited.reason,
                        limited.message);
        d->replicas = limited.replicas;
        d->rescale = d->replicas != d->current;
        d->why = w.replicas > d->current ? strformat("%s above target", w.metric)
                                         : strdup("All metrics below target");
        assert(d->why);
        return true;
}

static void to_bound(struct hpa_decision *d, int64_t bound, const char *why) {
        d->replicas = bound;
        d->rescale = true;
        d->why = strdup(why);
        assert(d->why);
}

/* After a restart, what was recommended before is not known: the present number was. */
static void begin_history(struct hpa_history *h, int64_t current, uint64_t mono_us) {
        struct hpa_recommendation first = {current, mono_us};

        if (h->recommendations.count == 0)
                assert(vector_append(&h->recommendations, first) >= 0);
}

void hpa_decide(const struct hpa_input *in, struct hpa_history *h, struct hpa_decision *d) {
        int64_t most = json_int_or(in->hpa, "spec.maxReplicas", 0),
                least = json_int_or(in->hpa, "spec.minReplicas", 1);

        begin(d, in);
        if (!in->scale) {
                cannot_read_scale(d, in);
                return;
        }
        set_condition(d, in, "AbleToScale", true, "SucceededGetScale",
                        "the HPA controller was able to get the target's current scale");
        d->current = d->replicas = json_int_or(in->scale, "spec.replicas", 0);
        json_set_int(d->status, "currentReplicas", d->current);
        begin_history(h, d->current, in->mono_us);
        if (d->current == 0 && least != 0)
                set_condition(d, in, "ScalingActive", false, "ScalingDisabled",
                                "scaling is disabled since the replica count of the target is "
                                "zero");
        else if (d->current > most)
                to_bound(d, most, "Current number of replicas above Spec.MaxReplicas");
        else if (d->current < least)
                to_bound(d, least, "Current number of replicas below Spec.MinReplicas");
        else if (!follow_metrics(in, h, d))
                return;
        json_set_int(d->status, "desiredReplicas", d->replicas);
}

void hpa_rescaled(struct hpa_decision *d, const struct hpa_input *in, struct hpa_history *h,
                const char *error) {
        _cleanup_free_ char *message = NULL;
        char now[TIMEFMT_SIZE];

        if (error) {
                message = strformat("the HPA controller was unable to update the target scale: %s",
                                error);
                assert(message);
                set_condition(d, in, "AbleToScale", false, "FailedUpdateScale", message);
                add_event(d, "Warning", "FailedRescale",
                                strformat("New size: %lld; reason: %s; error: %s",
                                                (long long)d->replicas, d->why, error));
                json_set_int(d->status, "desiredReplicas", d->current);
                return;
        }
        message = strformat("the HPA controller was able to update the target scale to %lld",
                        (long long)d->replicas);
        assert(message);
        set_condition(d, in, "AbleToScale", true, "SucceededRescale", message);
        add_event(d, "Normal", "SuccessfulRescale",
                        strformat("New size: %lld; reason: %s", (long long)d->replicas, d->why));
        json_set_str(d->status, "lastScaleTime", time_format(in->now_us, now));
        hpa_remember_change(h, d->current, d->replicas, in->mono_us);
}
