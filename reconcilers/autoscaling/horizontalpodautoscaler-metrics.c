/* What one metric of a HorizontalPodAutoscaler asks for. Pods without a sample, and pods that have
 * just started, count as the careful assumption: nothing when the rest asks for more pods, at the
 * target when it asks for fewer. So a roll-out or a missing report never makes the number jump. */
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/timefmt.h"
#include "reconcilers/autoscaling/horizontalpodautoscaler.h"
#include "reconcilers/pods.h"

#define SECOND_US UINT64_C(1000000)

enum sample_state { SAMPLE_READY, SAMPLE_UNREADY, SAMPLE_MISSING, SAMPLE_IGNORED };

/* One pod. Amounts in thousandths. */
struct sample {
        enum sample_state state;
        int64_t value, request;
        bool counted;
};

struct samples {
        VECTOR(struct sample) pods;
        const char *resource, *container; /* container NULL: the whole pod */
        bool utilization;                 /* target is a percentage of the requests */
        int64_t target;
        /* of the counted ones */
        int64_t average, percent;
        size_t counted;
};

void hpa_proposal_done(struct hpa_proposal *p) {
        free(p->name);
        free(p->error);
        json_decref(p->status);
        *p = (struct hpa_proposal){0};
}

/* --- samples --- */

/* The pod's use of the resource: 1 with *ret, 0 when it is not (or not all) known. */
static int measured(const struct samples *s, const json_t *metrics, int64_t *ret) {
        const json_t *c;
        int64_t sum = 0;
        size_t i, found = 0;

        json_array_foreach (json_object_get(metrics, "containers"), i, c) {
                int64_t n;

                if (s->container && !streq(json_str_or(c, "name", ""), s->container))
                        continue;
                if (quantity_parse_milli(json_get(c, "usage", s->resource, NULL), &n) < 0 || n < 0)
                        return 0;
                if (__builtin_add_overflow(sum, n, &sum))
                        return 0;
                found++;
        }
        *ret = sum;
        return found > 0;
}

static uint64_t window_us(const json_t *metrics) {
        const char *text = json_str_or(metrics, "window", "");
        uint64_t seconds = strtoull(text, NULL, 10);

        return MIN(seconds, UINT64_C(3600)) * SECOND_US;
}

/* A pod that starts: its CPU says more about the start than about the load. */
static bool cpu_is_initial(const struct hpa_view *v, const json_t *pod, const json_t *metrics) {
        const json_t *ready = object_condition(pod, "Ready");
        uint64_t start = time_at(pod, "status.startTime"),
                 since = time_at(ready, "lastTransitionTime");
        bool is_false = streq(json_str_or(ready, "status", ""), "False");

        if (!ready || start == 0)
                return true;
        if (start + v->config->cpu_initialization_us > v->now_us)
                return is_false || time_at(metrics, "timestamp") < since + window_us(metrics);
        /* It never was ready. */
        return is_false && start + v->config->initial_readiness_us > since;
}

static enum sample_state state_of(const struct hpa_view *v, const struct samples *s,
                const json_t *pod, int64_t *ret_value) {
        _cleanup_free_ char *key = object_key(pod);
        const json_t *metrics = key ? map_get(v->metrics, key) : NULL;
        const char *phase = json_str_or(pod, "status.phase", "Pending");

        if (object_is_deleting(pod) || streq(phase, "Failed"))
                return SAMPLE_IGNORED;
        if (streq(phase, "Pending"))
                return SAMPLE_UNREADY;
        if (!metrics || !measured(s, metrics, ret_value))
                return SAMPLE_MISSING;
        if (streq(s->resource, "cpu") && cpu_is_initial(v, pod, metrics))
                return SAMPLE_UNREADY;
        return SAMPLE_READY;
}

static char *add_requests(const struct samples *s, const json_t *pod, const json_t *list,
                bool sidecars, int64_t *sum, size_t *found) {
        const json_t *c;
        size_t i;

        json_array_foreach (list, i, c) {
                const char *name = json_str_or(c, "name", "");
                int64_t n;

                if (s->container && !streq(name, s->container))
                        continue;
                if (sidecars && !streq(json_str_or(c, "restartPolicy", ""), "Always"))
                        continue;
                if (quantity_parse_milli(json_get(c, "resources", "requests", s->resource, NULL),
                                    &n) < 0)
                        return strformat("missing request for %s in container %s of Pod %s",
                                        s->resource, name, object_name(pod));
                if (__builtin_add_overflow(*sum, n, sum))
                        *sum = INT64_MAX;
                (*found)++;
        }
        return NULL;
}

/* What the pod requests. The error, or NULL; caller frees. */
static char *requested(const struct samples *s, const json_t *pod, int64_t *ret) {
        int64_t sum = 0;
        size_t found = 0;
        char *error = add_requests(s, pod, json_at(pod, "spec.containers"), false, &sum, &found);

        if (!error)
                error = add_requests(
                                s, pod, json_at(pod, "spec.initContainers"), true, &sum, &found);
        if (!error && s->container && found == 0)
                error = strformat(
                                "container %s not found in Pod %s", s->container, object_name(pod));
        *ret = sum;
        return error;
}

/* All pods. The error, or NULL; caller frees. */
static char *collect(const struct hpa_view *v, struct samples *s) {
        size_t known = 0;

        if (v->metrics_error)
                return strformat("unable to get metrics for resource %s: %s", s->resource,
                                v->metrics_error);
        if (v->pods->count == 0)
                return strdup("no pods returned by selector while calculating replica count");
        for (size_t i = 0; i < v->pods->count; i++) {
                const json_t *pod = v->pods->items[i];
                _cleanup_free_ char *key = object_key(pod);
                struct sample one = {0};
                char *error = s->utilization ? requested(s, pod, &one.request) : NULL;

                if (error)
                        return error;
                one.state = state_of(v, s, pod, &one.value);
                one.counted = one.state == SAMPLE_READY;
                known += key && map_get(v->metrics, key) != NULL;
                assert(vector_append(&s->pods, one) >= 0);
        }
        if (known == 0)
                return strformat("unable to get metrics for resource %s: no metrics returned from "
                                 "resource metrics API",
                                s->resource);
        return NULL;
}

/* --- the proposal --- */

/* Present value against target, of the counted pods. Negative: there is nothing to divide. */
static double ratio_of(struct samples *s) {
        __int128 values = 0, requests = 0;

        s->counted = 0;
        for (size_t i = 0; i < s->pods.count; i++) {
                if (!s->pods.items[i].counted)
                        continue;
                values += s->pods.items[i].value;
                requests += s->pods.items[i].request;
                s->counted++;
        }
        if (s->counted == 0 || s->target <= 0 || (s->utilization && requests == 0))
                return -1;
        s->average = (int64_t)(values / (__int128)s->counted);
        if (!s->utilization)
                return (double)s->average / (double)s->target;
        s->percent = (int64_t)MIN(values * 100 / requests, (__int128)INT32_MAX);
        return (double)s->percent / (double)s->target;
}

static int64_t rounded_up(double x) {
        int64_t n;

        if (x >= (double)INT32_MAX)
                return INT32_MAX;
        n = (int64_t)x;
        return n < x ? n + 1 : n;
}

static bool is_tolerated(const struct hpa_view *v, double ratio) {
        return ratio >= 1.0 - v->tolerance_down && ratio <= 1.0 + v->tolerance_up;
}

static size_t count_state(const struct samples *s, enum sample_state state) {
        size_t n = 0;

        for (size_t i = 0; i < s->pods.count; i++)
                n += s->pods.items[i].state == state;
        return n;
}

static void assume(struct samples *s, enum sample_state state, bool at_target) {
        for (size_t i = 0; i < s->pods.count; i++) {
                struct sample *one = &s->pods.items[i];
                /* Above 100 % the pod is assumed to use as much as the others should. */
                int64_t percent = MAX(s->target, INT64_C(100));

                if (one->state != state)
                        continue;
                one->counted = true;
                one->value = !at_target       ? 0
                             : s->utilization ? (int64_t)((__int128)one->request * percent / 100)
                                              : s->target;
        }
}

/* The number of pods; the error, or NULL. */
static char *calculate(const struct hpa_view *v, struct samples *s, int64_t *ret) {
        size_t missing = count_state(s, SAMPLE_MISSING), unready = count_state(s, SAMPLE_UNREADY),
               ready = count_state(s, SAMPLE_READY);
        double ratio, careful;
        int64_t average, percent, n;
        bool with_unready;

        *ret = v->current;
        if (ready == 0)
                return strdup("did not receive metrics for targeted pods (pods might be unready)");
        ratio = ratio_of(s);
        if (ratio < 0)
                return strdup("no metrics returned matched known pods");
        average = s->average;
        percent = s->percent;
        with_unready = unready > 0 && ratio > 1.0;
        if (!with_unready && missing == 0) {
                if (!is_tolerated(v, ratio))
                        *ret = rounded_up(ratio * (double)ready);
                return NULL;
        }
        if (ratio != 1.0)
                assume(s, SAMPLE_MISSING, ratio < 1.0);
        if (with_unready)
                assume(s, SAMPLE_UNREADY, false);
        careful = ratio_of(s);
        s->average = average; /* the status shows what was measured */
        s->percent = percent;
        n = rounded_up(careful * (double)s->counted);
        /* The assumptions must not turn the direction. */
        if (is_tolerated(v, careful) || (ratio < 1.0 && careful > 1.0) ||
                        (ratio > 1.0 && careful < 1.0) || (careful < 1.0 && n > v->current) ||
                        (careful > 1.0 && n < v->current))
                return NULL;
        *ret = n;
        return NULL;
}

/* An amount of thousandths as the API writes it. */
static json_t *amount(int64_t milli) {
        struct quantity q = {.milli = milli, .family = QUANTITY_DECIMAL};
        _cleanup_free_ char *text = quantity_write(q);

        assert(text);
        return json_string(text);
}

static json_t *resource_status(const struct samples *s, const char *type, const char *field) {
        json_t *current = json_pack("{so}", "averageValue", amount(s->average)), *source, *status;

        assert(current);
        if (s->utilization)
                json_object_set_new(current, "averageUtilization", json_integer(s->percent));
        source = json_pack("{ss, so}", "name", s->resource, "current", current);
        assert(source);
        if (s->container)
                json_object_set_new(source, "container", json_string(s->container));
        status = json_pack("{ss, so}", "type", type, field, source);
        assert(status);
        return status;
}

static void propose_resource(const struct hpa_view *v, const json_t *source, const char *type,
                const char *field, struct hpa_proposal *ret) {
        const json_t *percent = json_at(source, "target.averageUtilization"),
                     *value = json_at(source, "target.averageValue");
        struct samples s = {.resource = json_str_or(source, "name", ""),
                        .container = json_str(source, "container"),
                        .utilization = json_is_integer(percent),
                        .target = json_integer_value(percent)};
        _cleanup_free_ char *why = NULL;

        if (!s.utilization && quantity_parse_milli(value, &s.target) < 0)
                why = strdup("invalid resource metric source: neither an average utilization "
                             "target nor an average value (usage) target was set");
        if (!why)
                why = collect(v, &s);
        if (!why)
                why = calculate(v, &s, &ret->replicas);
        if (why)
                ret->error = strformat("failed to get %s %s: %s", s.resource,
                                s.utilization ? "utilization" : "usage", why);
        else
                ret->status = resource_status(&s, type, field);
        ret->name = strformat("%s %sresource%s", s.resource, s.container ? "container " : "",
                        s.utilization ? " utilization (percentage of request)" : "");
        assert(ret->name && (!why || ret->error));
        vector_done(&s.pods);
}

void hpa_propose(const struct hpa_view *v, const json_t *metric, struct hpa_proposal *ret) {
        static const struct {
                const char *type, *field, *reason, *api;
        } types[] = {{"Resource", "resource", "FailedGetResourceMetric", NULL},
                        {"ContainerResource", "containerResource",
                                        "FailedGetContainerResourceMetric", NULL},
                        {"Pods", "pods", "FailedGetPodsMetric", "custom"},
                        {"Object", "object", "FailedGetObjectMetric", "custom"},
                        {"External", "external", "FailedGetExternalMetric", "external"}};
        const char *type = json_str_or(metric, "type", "");

        *ret = (struct hpa_proposal){.replicas = v->current};
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                const json_t *source = json_object_get(metric, types[i].field);

                if (!streq(type, types[i].type))
                        continue;
                if (!types[i].api)
                        propose_resource(v, source, type, types[i].field, ret);
                else
                        ret->error = strformat("unable to get metric %s: no API of this cluster "
                                               "serves %s metrics; use a Resource or "
                                               "ContainerResource metric",
                                        json_str_or(source, "metric.name", ""), types[i].api);
                ret->reason = ret->error ? types[i].reason : NULL;
                return;
        }
        ret->reason = "InvalidMetricSourceType";
        ret->error = strformat("unknown metric source type \"%s\"", type);
}
