/* HorizontalPodAutoscaler: what metrics ask for, windows and policies, the decision. A pod is a
 * word: r150 is ready and uses 150m CPU, u150 runs and is not ready (it has just started), m has no
 * metrics, p is pending, f has failed, d is being deleted. Each requests 100m. */
#include "tests/unit/fake-world.h"

#include "lib/client/informer.h"
#include "reconcilers/autoscaling/horizontalpodautoscaler.h"

#define SECOND UINT64_C(1000000)

static const struct hpa_config config = {.tolerance = 0.1,
                .initial_readiness_us = 30 * SECOND,
                .cpu_initialization_us = 300 * SECOND,
                .downscale_us = 300 * SECOND};

/* --- pods and their metrics --- */

struct scene {
        struct fake *fake;
        struct objects pods;
        struct map *metrics;
        json_t *list;
};

static void add_metrics(struct scene *s, const char *name, const char *use) {
        _cleanup_free_ char *key = strformat("default/%s", name);
        json_t *v = json_pack("{ss, ss, s[{ss, s{ss, ss}}]}", "timestamp", "2026-01-01T11:59:55Z",
                        "window", "15.000s", "containers", "name", "c", "usage", "cpu", use,
                        "memory", "64Mi");

        assert_non_null(v);
        assert_int_equal(json_array_append_new(s->list, v), 0);
        assert_int_equal(map_set(s->metrics, key, v), 0);
}

static void add_pod(struct scene *s, size_t i, const char *word, const char *requests) {
        char kind = word[0];
        bool young = kind == 'u';
        _cleanup_free_ char *name = strformat("pod%zu", i), *use = strformat("%sm", word + 1);

        objects_add(&s->pods,
                        fake_put(s->fake, WORLD_PODS,
                                        "metadata: {name: %s, namespace: default%s}\n"
                                        "spec: {containers: [{name: c, resources: {requests: {%s}}}]"
                                        "}\n"
                                        "status: {phase: %s, startTime: '%s', conditions: [{type: "
                                        "Ready, status: '%s', lastTransitionTime: '%s'}]}",
                                        name,
                                        kind == 'd' ? ", deletionTimestamp: '2026-01-01T11:00:00Z'"
                                                    : "",
                                        requests,
                                        kind == 'p'   ? "Pending"
                                        : kind == 'f' ? "Failed"
                                                      : "Running",
                                        young ? "2026-01-01T11:59:50Z" : "2026-01-01T11:00:00Z",
                                        young ? "False" : "True",
                                        young ? "2026-01-01T11:59:51Z" : "2026-01-01T11:00:10Z"));
        if (strchr("rufd", kind) && word[1])
                add_metrics(s, name, use);
}

static void scene_fill(struct scene *s, const char *words, const char *requests) {
        char word[16];

        *s = (struct scene){.fake = fake_new(), .metrics = map_new(NULL), .list = json_array()};
        assert_true(s->metrics && s->list);
        for (size_t i = 0, n; *words; words += n + (words[n] == ' '), i++) {
                n = strcspn(words, " ");
                assert_true(n < sizeof(word));
                memcpy(word, words, n);
                word[n] = 0;
                add_pod(s, i, word, requests);
        }
}

static void scene_done(struct scene *s) {
        objects_done(&s->pods);
        map_free(s->metrics);
        json_decref(s->list);
        fake_free(s->fake);
}

/* --- metrics --- */

#define CPU(target) "{type: Resource, resource: {name: cpu, target: {" target "}}}"
#define HALF CPU("averageUtilization: 50")
#define REQUESTS "cpu: 100m, memory: 64Mi"

static json_t *from_yaml(const char *text) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        if (yaml_parse(text, strlen(text), &docs, &p) < 0)
                fail_msg("%s", p.message);
        return json_incref(docs.items[0].value);
}

static const struct {
        const char *metric, *pods;
        int64_t current, expected;
        const char *error, *requests;
} metric_cases[] = {
                {HALF, "r150", 1, 3, NULL, NULL},
                {HALF, "r50 r50 r50", 3, 3, NULL, NULL},
                {HALF, "r20 r20 r20 r20", 4, 2, NULL, NULL},
                /* the tolerance */
                {HALF, "r54", 1, 1, NULL, NULL},
                {HALF, "r56", 1, 2, NULL, NULL},
                {HALF, "r46 r46 r46 r46", 4, 4, NULL, NULL},
                /* without metrics: nothing on the way up, all of the request down */
                {HALF, "r100 m", 2, 2, NULL, NULL},
                {HALF, "r300 m", 2, 6, NULL, NULL},
                {HALF, "r10 r10 m", 3, 3, NULL, NULL},
                {HALF, "r10 r10 r10 r10 m", 5, 3, NULL, NULL},
                /* not ready: nothing on the way up, not there on the way down */
                {HALF, "r100 u500", 2, 2, NULL, NULL},
                {HALF, "r100 p", 2, 2, NULL, NULL},
                {HALF, "r10 u500", 2, 1, NULL, NULL},
                /* gone */
                {HALF, "r100 f500", 2, 2, NULL, NULL},
                {HALF, "r100 d500", 2, 2, NULL, NULL},
                /* values instead of shares */
                {CPU("averageValue: 100m"), "r300 r100", 2, 4, NULL, NULL},
                {CPU("averageValue: 100m"), "r10 m", 2, 2, NULL, NULL},
                {CPU("averageValue: 100m"), "r300", 1, 3, NULL, "memory: 1Mi"},
                /* memory counts from the start, and one container alone */
                {"{type: Resource, resource: {name: memory, target: {averageValue: 32Mi}}}", "u5",
                                1, 2, NULL, NULL},
                {"{type: ContainerResource, containerResource: {name: cpu, container: c, "
                 "target: {averageUtilization: 25}}}",
                                "r100", 1, 4, NULL, NULL},
                /* what is not known */
                {HALF, "u500", 1, 1,
                                "failed to get cpu utilization: did not receive metrics "
                                "for targeted pods (pods might be unready)",
                                NULL},
                {HALF, "m m", 2, 2,
                                "failed to get cpu utilization: unable to get metrics for "
                                "resource cpu: no metrics returned from resource metrics "
                                "API",
                                NULL},
                {HALF, "", 2, 2,
                                "failed to get cpu utilization: no pods returned by "
                                "selector while calculating replica count",
                                NULL},
                {HALF, "r100", 1, 1,
                                "failed to get cpu utilization: missing request for cpu in "
                                "container c of Pod pod0",
                                "memory: 1Mi"},
                {"{type: ContainerResource, containerResource: {name: cpu, container: x, "
                 "target: {averageUtilization: 25}}}",
                                "r100", 1, 1,
                                "failed to get cpu utilization: container x not found in "
                                "Pod pod0",
                                NULL},
                {"{type: External, external: {metric: {name: q}, target: {value: 1}}}", "r100", 1,
                                1,
                                "unable to get metric q: no API of this cluster serves "
                                "external metrics; use a Resource or ContainerResource "
                                "metric",
                                NULL},
                {"{type: Odd}", "r100", 1, 1, "unknown metric source type \"Odd\"", NULL},
};

static void test_metrics(void **state) {
        for (size_t i = 0; i < ELEMENTS(metric_cases); i++) {
                _cleanup_(scene_done) struct scene s;
                _cleanup_(hpa_proposal_done) struct hpa_proposal p = {0};
                _cleanup_json_ json_t *metric = from_yaml(metric_cases[i].metric);
                struct hpa_view v = {.config = &config,
                                .tolerance_up = 0.1,
                                .tolerance_down = 0.1,
                                .current = metric_cases[i].current};

                scene_fill(&s, metric_cases[i].pods,
                                metric_cases[i].requests ? metric_cases[i].requests : REQUESTS);
                v.pods = &s.pods;
                v.metrics = s.metrics;
                v.now_us = s.fake->world.now_us;
                hpa_propose(&v, metric, &p);
                if (!streq_ptr(p.error, metric_cases[i].error) ||
                                p.replicas != metric_cases[i].expected)
                        fail_msg("%s of %s: %lld, want %lld; %s", metric_cases[i].metric,
                                        metric_cases[i].pods, (long long)p.replicas,
                                        (long long)metric_cases[i].expected, strempty(p.error));
                assert_true(!p.error == !!p.status && !p.error == !p.reason);
        }
}

/* --- behaviour --- */

static json_t *autoscaler(const char *behavior) {
        _cleanup_free_ char *text =
                        strformat("metadata: {name: h, namespace: default, generation: 3}"
                                  "\nspec: {minReplicas: 2, maxReplicas: 50, behavior: "
                                  "{%s}, metrics: [" HALF "]}",
                                        behavior);

        return from_yaml(text);
}

static void test_windows(void **state) {
        static const struct {
                const char *behavior;
                int64_t current;
                struct {
                        uint64_t at_s;
                        int64_t wanted, expected;
                } steps[4];
                const char *reason; /* of the last one */
        } cases[] = {
                        /* up at once, down by the highest of five minutes */
                        {"", 5, {{1000, 9, 9}}, "ReadyForNewScale"},
                        {"", 5, {{1000, 5, 5}, {1010, 3, 5}, {1299, 3, 5}, {1301, 3, 3}},
                                        "ReadyForNewScale"},
                        {"", 5, {{1000, 5, 5}, {1010, 3, 5}}, "ScaleDownStabilized"},
                        {"scaleDown: {stabilizationWindowSeconds: 0}", 5,
                                        {{1000, 5, 5}, {1001, 3, 3}}, "ReadyForNewScale"},
                        {"scaleUp: {stabilizationWindowSeconds: 60}", 5,
                                        {{1000, 6, 6}, {1030, 9, 6}, {1061, 9, 9}},
                                        "ReadyForNewScale"},
                        {"scaleUp: {stabilizationWindowSeconds: 60}", 5,
                                        {{1000, 6, 6}, {1030, 9, 6}}, "ScaleUpStabilized"},
                        /* a low one does not pull below the present number */
                        {"scaleUp: {stabilizationWindowSeconds: 60}, scaleDown: "
                         "{stabilizationWindowSeconds: 60}",
                                        5, {{1000, 2, 2}, {1010, 9, 5}}, "ScaleUpStabilized"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(hpa_history_done) struct hpa_history h = {0};
                _cleanup_json_ json_t *hpa = autoscaler(cases[i].behavior);
                struct hpa_step s = {0};

                for (size_t k = 0; k < ELEMENTS(cases[i].steps) && cases[i].steps[k].at_s; k++) {
                        s = hpa_stabilize(&h, hpa, &config, cases[i].current,
                                        cases[i].steps[k].wanted, cases[i].steps[k].at_s * SECOND);
                        if (s.replicas != cases[i].steps[k].expected)
                                fail_msg("case %zu, step %zu: %lld", i, k, (long long)s.replicas);
                }
                assert_string_equal(s.reason, cases[i].reason);
        }
}

#define POLICY(type, value, s) "{type: " type ", value: " value ", periodSeconds: " s "}"

static void test_policies(void **state) {
        static const struct {
                const char *behavior;
                struct hpa_change up, down; /* that came before; at_us 0: none */
                int64_t current, wanted, expected;
                const char *reason;
        } cases[] = {
                        /* the defaults: 4 or 100 % up in 15 s, everything down */
                        {"", {0}, {0}, 2, 50, 6, "ScaleUpLimit"},
                        {"", {0}, {0}, 10, 50, 20, "ScaleUpLimit"},
                        {"", {0}, {0}, 10, 15, 15, "DesiredWithinRange"},
                        {"", {0}, {0}, 40, 60, 50, "TooManyReplicas"},
                        {"", {0}, {0}, 40, 1, 2, "TooFewReplicas"},
                        {"", {5, 990 * SECOND}, {0}, 10, 50, 10, "ScaleUpLimit"},
                        {"", {5, 980 * SECOND}, {0}, 10, 50, 20, "ScaleUpLimit"},
                        {"scaleUp: {policies: [" POLICY("Pods", "1", "60") "]}", {0}, {0}, 10, 50,
                                        11, "ScaleUpLimit"},
                        {"scaleUp: {policies: [" POLICY("Percent", "15", "60") "]}", {0}, {0}, 10,
                                        50, 12, "ScaleUpLimit"},
                        {"scaleUp: {selectPolicy: Min, policies: [" POLICY(
                                         "Percent", "15", "60") "," POLICY("Pods", "1", "60") "]}",
                                        {0}, {0}, 10, 50, 11, "ScaleUpLimit"},
                        {"scaleUp: {selectPolicy: Disabled}", {0}, {0}, 10, 50, 10, "ScaleUpLimit"},
                        {"scaleDown: {selectPolicy: Disabled}", {0}, {0}, 10, 5, 10,
                                        "ScaleDownLimit"},
                        {"scaleDown: {policies: [" POLICY("Pods", "3", "60") "]}", {0}, {0}, 10, 2,
                                        7, "ScaleDownLimit"},
                        {"scaleDown: {policies: [" POLICY("Percent", "15", "60") "]}", {0}, {0}, 10,
                                        2, 8, "ScaleDownLimit"},
                        {"scaleDown: {policies: [" POLICY("Pods", "3", "60") "]}", {0},
                                        {2, 950 * SECOND}, 10, 2, 9, "ScaleDownLimit"},
                        {"scaleDown: {selectPolicy: Min, policies: [" POLICY(
                                         "Percent", "50", "60") "," POLICY("Pods", "1", "60") "]}",
                                        {0}, {0}, 10, 2, 9, "ScaleDownLimit"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(hpa_history_done) struct hpa_history h = {0};
                _cleanup_json_ json_t *hpa = autoscaler(cases[i].behavior);
                struct hpa_step s;

                if (cases[i].up.at_us)
                        hpa_remember_change(&h, 0, cases[i].up.replicas, cases[i].up.at_us);
                if (cases[i].down.at_us)
                        hpa_remember_change(&h, cases[i].down.replicas, 0, cases[i].down.at_us);
                s = hpa_limit(&h, hpa, &config, cases[i].current, cases[i].wanted, 1000 * SECOND);
                if (s.replicas != cases[i].expected || !streq(s.reason, cases[i].reason))
                        fail_msg("case %zu: %lld %s", i, (long long)s.replicas, s.reason);
        }
}

/* --- the decision --- */

/* "Type=Status Reason" of each condition, then the reasons of the events. */
static char *summary(const struct hpa_decision *d) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(d->status, "conditions"), i, v)
                buf_printf(&b, "%s=%s %s;", json_str_or(v, "type", ""),
                                json_str_or(v, "status", ""), json_str_or(v, "reason", ""));
        json_array_foreach (d->events, i, v)
                buf_printf(&b, " %s", json_str_or(v, "reason", ""));
        return buf_take(&b);
}

static const struct {
        const char *scale, *pods, *metrics, *rescale_error;
        int64_t expected;
        const char *summary;
} decide_cases[] = {
                {"{spec: {replicas: 2}, status: {selector: a=b}}", "r50 r50", HALF, NULL, 2,
                                "AbleToScale=True ReadyForNewScale;ScalingActive=True "
                                "ValidMetricFound;ScalingLimited=False "
                                "DesiredWithinRange;"},
                {"{spec: {replicas: 2}, status: {selector: a=b}}", "r100 r100", HALF, NULL, 4,
                                "AbleToScale=True SucceededRescale;ScalingActive=True "
                                "ValidMetricFound;ScalingLimited=False DesiredWithinRange; "
                                "SuccessfulRescale"},
                {"{spec: {replicas: 2}, status: {selector: a=b}}", "r100 r100", HALF, "no", 4,
                                "AbleToScale=False FailedUpdateScale;ScalingActive=True "
                                "ValidMetricFound;ScalingLimited=False DesiredWithinRange; "
                                "FailedRescale"},
                {"{spec: {replicas: 0}}", "", HALF, NULL, 0,
                                "AbleToScale=True SucceededGetScale;ScalingActive=False "
                                "ScalingDisabled;"},
                {"{spec: {replicas: 60}}", "", HALF, NULL, 50,
                                "AbleToScale=True SucceededRescale; SuccessfulRescale"},
                {"{spec: {replicas: 1}}", "", HALF, NULL, 2,
                                "AbleToScale=True SucceededRescale; SuccessfulRescale"},
                {"{spec: {replicas: 2}, status: {}}", "", HALF, NULL, 2,
                                "AbleToScale=True SucceededGetScale;ScalingActive=False "
                                "InvalidSelector; SelectorRequired"},
                {"{spec: {replicas: 2}, status: {selector: 'a b'}}", "", HALF, NULL, 2,
                                "AbleToScale=True SucceededGetScale;ScalingActive=False "
                                "InvalidSelector; InvalidSelector"},
                {NULL, "", HALF, NULL, 0,
                                "AbleToScale=False FailedGetScale; "
                                "FailedGetScale"},
                /* a failing metric keeps the others from scaling down, not up */
                {"{spec: {replicas: 2}, status: {selector: a=b}}", "r100 r100",
                                HALF ", {type: Pods}", NULL, 4,
                                "AbleToScale=True SucceededRescale;ScalingActive=True "
                                "ValidMetricFound;ScalingLimited=False DesiredWithinRange; "
                                "FailedGetPodsMetric SuccessfulRescale"},
                {"{spec: {replicas: 4}, status: {selector: a=b}}", "r1 r1 r1 r1",
                                HALF ", {type: Pods}", NULL, 4,
                                "AbleToScale=True SucceededGetScale;ScalingActive=False "
                                "FailedGetPodsMetric; FailedGetPodsMetric "
                                "FailedComputeMetricsReplicas"},
                /* the largest counts */
                {"{spec: {replicas: 2}, status: {selector: a=b}}", "r50 r50",
                                HALF ", " CPU("averageUtilization: 25"), NULL, 4,
                                "AbleToScale=True SucceededRescale;ScalingActive=True "
                                "ValidMetricFound;ScalingLimited=False DesiredWithinRange; "
                                "SuccessfulRescale"},
};

static const struct objects alone = {.count = 1};

static void test_decide(void **state) {
        for (size_t i = 0; i < ELEMENTS(decide_cases); i++) {
                _cleanup_(scene_done) struct scene s;
                _cleanup_(hpa_history_done) struct hpa_history h = {0};
                _cleanup_(hpa_decision_done) struct hpa_decision d = {0};
                _cleanup_json_ json_t *hpa = autoscaler(""),
                                      *scale = decide_cases[i].scale
                                                               ? from_yaml(decide_cases[i].scale)
                                                               : NULL;
                _cleanup_free_ char *metrics = strformat("[%s]", decide_cases[i].metrics),
                                    *got = NULL;
                struct hpa_input in = {.hpa = hpa,
                                .scale = scale,
                                .scale_error = "not found",
                                .autoscalers = &alone,
                                .config = &config,
                                .mono_us = 1000 * SECOND};

                assert_int_equal(json_set_at(hpa, "spec.metrics", from_yaml(metrics)), 0);
                scene_fill(&s, decide_cases[i].pods, REQUESTS);
                in.pods = &s.pods;
                in.metrics = s.metrics;
                in.now_us = s.fake->world.now_us;
                hpa_decide(&in, &h, &d);
                assert_int_equal(d.rescale, d.replicas != d.current);
                if (d.rescale)
                        hpa_rescaled(&d, &in, &h, decide_cases[i].rescale_error);
                got = summary(&d);
                if (d.replicas != decide_cases[i].expected || !streq(got, decide_cases[i].summary))
                        fail_msg("case %zu: %lld\n got: %s\nwant: %s", i, (long long)d.replicas,
                                        got, decide_cases[i].summary);
                assert_int_equal(json_int_or(d.status, "observedGeneration", 0), 3);
                assert_int_equal(json_str(d.status, "lastScaleTime") != NULL,
                                d.rescale && !decide_cases[i].rescale_error);
        }
}

/* A controller that has just started does not scale down on the first look. */
static void test_restart(void **state) {
        _cleanup_(scene_done) struct scene s;
        _cleanup_(hpa_history_done) struct hpa_history h = {0};
        _cleanup_json_ json_t *hpa = autoscaler(""),
                              *scale = from_yaml("{spec: {replicas: 4}, status: {selector: a=b}}");
        struct hpa_input in = {
                        .hpa = hpa, .scale = scale, .autoscalers = &alone, .config = &config};
        static const struct {
                uint64_t at_s;
                int64_t expected;
        } steps[] = {{1000, 4}, {1299, 4}, {1301, 2}};

        scene_fill(&s, "r10 r10 r10 r10", REQUESTS);
        in.pods = &s.pods;
        in.metrics = s.metrics;
        in.now_us = s.fake->world.now_us;
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                _cleanup_(hpa_decision_done) struct hpa_decision d = {0};

                in.mono_us = steps[i].at_s * SECOND;
                hpa_decide(&in, &h, &d);
                assert_int_equal(d.replicas, steps[i].expected);
        }
}

/* Two autoscalers of one target, whatever version they name it with, would undo each other's work.
 */
static void test_rivals(void **state) {
        static const struct {
                const char *target;
                bool is_rival;
        } rows[] = {{"{apiVersion: apps/v1, kind: Deployment, name: web}", true},
                        {"{apiVersion: apps/v1beta1, kind: Deployment, name: web}", true},
                        {"{apiVersion: apps/v1, kind: Deployment, name: other}", false},
                        {"{apiVersion: apps/v1, kind: StatefulSet, name: web}", false},
                        {"{apiVersion: other.io/v1, kind: Deployment, name: web}", false},
                        {"{kind: Deployment, name: web}", false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_(scene_done) struct scene s;
                _cleanup_(hpa_history_done) struct hpa_history h = {0};
                _cleanup_(hpa_decision_done) struct hpa_decision d = {0};
                _cleanup_objects_ struct objects autoscalers = {0};
                _cleanup_json_ json_t *hpa = autoscaler(""), *other = autoscaler(""),
                                      *scale = from_yaml("{spec: {replicas: 2}, status: "
                                                         "{selector: a=b}}");
                struct hpa_input in = {.hpa = hpa,
                                .scale = scale,
                                .autoscalers = &autoscalers,
                                .config = &config,
                                .mono_us = 1000 * SECOND};
                char mine[INFORMER_INDEX_VALUE_MAX], its[INFORMER_INDEX_VALUE_MAX];
                const struct world_index_row *index = &world_indexes[WORLD_AUTOSCALERS_BY_TARGET];
                _cleanup_free_ char *got = NULL;

                json_set_at(hpa, "spec.scaleTargetRef", from_yaml(rows[0].target));
                json_set_at(other, "spec.scaleTargetRef", from_yaml(rows[i].target));
                json_set_str(other, "metadata.name", "a-second");
                objects_add(&autoscalers, hpa);
                if (streq(index->func(hpa, mine, sizeof(mine)),
                                    index->func(other, its, sizeof(its))))
                        objects_add(&autoscalers, other);
                assert_int_equal(autoscalers.count, rows[i].is_rival ? 2 : 1);
                scene_fill(&s, "r100 r100", REQUESTS);
                in.pods = &s.pods;
                in.metrics = s.metrics;
                in.now_us = s.fake->world.now_us;
                hpa_decide(&in, &h, &d);
                assert_int_equal(d.rescale, !rows[i].is_rival);
                got = summary(&d);
                assert_int_equal(strstr(got, "ScalingActive=False AmbiguousSelector; "
                                             "AmbiguousSelector") != NULL,
                                rows[i].is_rival);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_metrics),
                        cmocka_unit_test(test_windows),
                        cmocka_unit_test(test_policies),
                        cmocka_unit_test(test_decide),
                        cmocka_unit_test(test_restart),
                        cmocka_unit_test(test_rivals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
